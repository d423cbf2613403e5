"""Windows of limits as venues keep them, and what one of them holds. Pure: time is an argument."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Final, Literal

SECOND_NS: Final = 1_000_000_000
NO_ARGUMENTS: Final[Mapping[str, str]] = {}

Kind = Literal["REQUEST_WEIGHT", "RAW_REQUESTS", "ORDERS", "ENDPOINT", "CONNECTIONS"]
Style = Literal["binance", "bybit"]
Weigher = Callable[[str, Mapping[str, str]], int]

_UNITS: Final = ((86_400, "D", "DAY"), (3_600, "H", "HOUR"), (60, "M", "MINUTE"), (1, "S", "SECOND"))


@dataclass(frozen=True, slots=True)
class Window:
    """At most `limit` in each `interval_s`.

    Fixed windows are aligned to the clock (a minute begins at :00); sliding ones hold over any span. What is
    counted follows from `kind`: weight, calls, orders of an account, calls to `endpoints` together, or connects;
    `weigh` says it otherwise. Of an address, or with `by_account` of an account, whatever its addresses.
    """

    kind: Kind
    interval_s: float
    limit: int
    sliding: bool = False
    endpoints: frozenset[str] = frozenset()  # counted are only these; empty: all
    by_account: bool = False
    weigh: Weigher | None = None  # what a call adds
    name: str = ""  # where several windows of a kind are as long

    def __post_init__(self) -> None:
        if self.interval_s < 0.001 or self.limit < 1:
            raise ValueError(f"a window needs at least a millisecond and a limit of 1, not {self}")

    @property
    def interval_ns(self) -> int:
        """How long it is."""
        return round(self.interval_s * SECOND_NS)

    @property
    def unit(self) -> tuple[int, str, str]:
        """How the venue writes the interval: (1, "M", "MINUTE") for 60 s, (6, "S", "SECOND") for 6 s.

        No venue has parts of a second; they are written as the next whole one.
        """
        whole = math.ceil(self.interval_s)
        for seconds, letter, name in _UNITS:
            if whole % seconds == 0:
                return whole // seconds, letter, name
        raise AssertionError("every whole second has a unit")

    @property
    def label(self) -> str:
        """`REQUEST_WEIGHT 1M`, unique among a venue's windows but for those of single endpoints without a name."""
        number, letter, _ = self.unit
        return f"{self.kind} {number}{letter}" + (f" {self.name}" if self.name else "")


@dataclass(frozen=True, slots=True)
class Rules:
    """One venue's limits and what it does to those who pass them. Times in seconds."""

    style: Style
    windows: tuple[Window, ...]
    weigh: Weigher  # weight of a call by endpoint ("GET /api/v3/depth") and arguments
    messages_per_s: int  # a client may send on one WebSocket connection
    refusals_before_ban: int = 10  # 429s; the next one is a ban. Bybit bans at the first.
    refusals_kept_s: int = 300  # so long without a 429 and they are forgotten
    first_ban_s: int = 120  # doubles with each ban
    longest_ban_s: int = 3 * 86_400
    bans_kept_s: int = 86_400  # so long after a ban and the next is a first one again
    streams_per_connection: int = 1024
    topics_per_message: int = 0  # 0: no limit
    connection_lasts_s: float = 86_400.0
    ping_every_s: float = 0.0  # the venue's own ping frames; 0: none
    pong_within_s: float = 60.0
    silence_s: float = 0.0  # a client silent for so long is cut; 0: never
    maker_gives_back: int = (
        5  # orders that count no more when one that had to wait trades first; Binance's example
    )

    def with_window(self, kind: Kind, interval_s: float, limit: int) -> Rules:
        """The same rules with the first window of `kind` replaced: a benchmark has no minute to wait.

        ValueError when the venue has no such window.
        """
        for at, window in enumerate(self.windows):
            if window.kind == kind:
                changed = replace(window, interval_s=interval_s, limit=limit)
                return replace(self, windows=(*self.windows[:at], changed, *self.windows[at + 1 :]))
        raise ValueError(f"there is no window of {kind}")


@dataclass(frozen=True, slots=True)
class Verdict:
    """The answer to a call as far as limits go: 200 and the headers, or a refusal in the venue's own numbers."""

    status: int
    headers: Mapping[str, str]
    code: int = 0  # the venue's own; 0 when the call is served
    message: str = ""

    @property
    def served(self) -> bool:
        """Whether the call may be answered. (Bybit refuses some with status 200 and a code.)"""
        return self.status == 200 and self.code == 0


class Counter:
    """What one window holds for one address or account."""

    __slots__ = ("_entries", "_index", "_interval_ns", "_used")

    def __init__(self, window: Window) -> None:
        self._interval_ns = window.interval_ns
        self._used = 0
        self._index = -1
        self._entries: deque[tuple[int, int]] | None = deque() if window.sliding else None

    def add(self, now_ns: int, amount: int) -> int:
        """Count `amount` at `now_ns`; what the window then holds."""
        used = self.used(now_ns) + amount
        self._used = used
        if self._entries is not None and amount:
            self._entries.append((now_ns, amount))
        return used

    def take_back(self, now_ns: int, amount: int) -> None:
        """Count `amount` less, the newest first; never below nothing."""
        left = min(amount, self.used(now_ns))
        self._used -= left
        entries = self._entries
        while left and entries:
            at_ns, newest = entries.pop()
            if newest > left:
                entries.append((at_ns, newest - left))
            left -= min(newest, left)

    def used(self, now_ns: int) -> int:
        """What the window holds at `now_ns`. A clock set back reads as the newest time seen (sliding)."""
        entries = self._entries
        if entries is None:
            index = now_ns // self._interval_ns
            if index != self._index:
                self._index, self._used = index, 0
            return self._used
        horizon = now_ns - self._interval_ns
        while entries and entries[0][0] <= horizon:
            self._used -= entries.popleft()[1]
        return self._used

    def frees_ns(self, now_ns: int) -> int:
        """When some of it is free again: the fixed window's end, or when the oldest entry leaves."""
        if self._entries is None:
            return (now_ns // self._interval_ns + 1) * self._interval_ns
        return self._entries[0][0] + self._interval_ns if self._entries else now_ns


class MessageRate:
    """The messages a client sends on one connection: at most so many in any second. Constant memory."""

    def __init__(self, per_s: int) -> None:
        self._times: deque[int] = deque([-SECOND_NS] * per_s, per_s)

    def admit(self, now_ns: int) -> bool:
        """Whether one more message at `now_ns` is within the limit; if not, the venue cuts the connection."""
        fits = now_ns - self._times[0] >= SECOND_NS
        self._times.append(now_ns)
        return fits
