"""Faults on command: what goes wrong, where, and how often. Pure but for the clock given.

A fault names what it applies to (budget, market, symbol, connection, account; what is not named matches all) and is
bounded by a count, a duration, or both. The server asks `take` at each place where something can go wrong: an
occasion. With a `rate` it happens on that share of its occasions, drawn from the seed and the fault's number alone: the
same seed, faults and occasions give the same run, whatever other faults do meanwhile.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Final, Literal, get_args

import msgspec

from engine.errors import UserError
from engine.telemetry.board import FaultView

Data = Literal["book", "trades", "all"]
Kind = Literal[
    "drop",  # a message of market data (`data`: of books alone, of trades, of all streams) is not sent
    "duplicate",  # it is sent twice
    "reorder",  # it is sent after the next one of its stream
    "malformed",  # cut text is sent in its place
    "huge",  # a frame of `bytes` is sent before it
    "stall",  # connections stay open and say nothing; those that take orders say it when it is over
    "disconnect",  # a connection ends without a closing handshake, as it is to be sent market data
    "close",  # connections end without a closing handshake (1006), now
    "cut",  # all matching connections are closed at once, as after 24 hours
    "shutdown",  # clients are told of the end, and cut `delay_s` later
    "restart",  # Bybit's books begin at u = 1 again
    "refuse",  # WebSocket connects are broken off
    "unreachable",  # REST calls get no answer
    "broken",  # REST calls get a 503
    "slow_snapshot",  # the book by REST comes `delay_s` late, and is that old
    "old_snapshot",  # the book by REST says it is `lag` updates older than it is
    "429",  # refused as over the limit (Bybit: 10006)
    "418",  # the address is banned for `ban_s`
    "403",  # the address is banned for `ban_s` by the firewall
    "jitter",  # REST calls arrive up to `delay_s` later, each by its own random time
    "reject",  # orders are refused with the venue's own error
    "slow_ack",  # answers to orders come `delay_s` late
    "halt",  # a symbol is halted for `duration_s`, then trades again
]
KINDS: Final[tuple[str, ...]] = get_args(Kind)
NATIVE: Final = "native"  # the budget of those who speak the native protocol; it has no limits
DATA_KINDS: Final = frozenset({"drop", "duplicate", "reorder", "malformed", "huge"})
INSTANT_KINDS: Final = frozenset({"close", "cut", "shutdown", "restart"})
ORDER_KINDS: Final = frozenset({"reject", "slow_ack"})
LASTING_KINDS: Final = frozenset({"stall", "jitter", "halt"})  # they need a duration
CERTAIN_KINDS: Final = INSTANT_KINDS | {"stall", "halt"}  # they have no occasions to share out
MAX_ACTIVE: Final = 100
MAX_COUNT: Final = 1_000_000
MAX_DURATION_S: Final = 86_400.0
MAX_DELAY_S: Final = 60.0
MAX_BYTES: Final = 64 << 20


class BadFault(UserError):
    """A fault that cannot be; `key` names the field."""

    def __init__(self, key: str, reason: str) -> None:
        super().__init__(key, reason)
        self.key, self.reason = key, reason

    def __str__(self) -> str:
        return f"fault: {self.key}: {self.reason}"


class Fault(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """One fault as it is ordered. Empty names match everything; without count and duration it happens once."""

    kind: Kind
    budget: str = ""  # "binance_spot", "bybit", .., "native"
    market: str = ""  # "bybit_linear", ..
    symbol: str = ""  # native or universal
    connection: str = ""  # id, from the statistics
    account: str = ""  # name; of faults with orders
    rate: float = 1.0  # share of occasions on which it happens
    data: Data = "book"  # which streams lose, double or spoil messages
    count: int = 0  # so many times; 0 with a duration: no limit
    duration_s: float = 0.0
    delay_s: float = 0.0  # 0: the kind's own usual
    bytes: int = 8 << 20
    lag: int = 1_000_000
    retry_after_s: int = 0  # 0: until the window ends
    ban_s: float = 120.0

    def check(self) -> None:
        """BadFault when a value is out of range."""
        _in_range("count", self.count, 0, MAX_COUNT)
        _in_range("duration_s", self.duration_s, 0, MAX_DURATION_S)
        _in_range("delay_s", self.delay_s, 0, MAX_DELAY_S)
        _in_range("bytes", self.bytes, 1, MAX_BYTES)
        _in_range("lag", self.lag, 1, 1 << 40)
        _in_range("retry_after_s", self.retry_after_s, 0, int(MAX_DURATION_S))
        _in_range("ban_s", self.ban_s, 1, 3 * 86_400)
        if not 0 < self.rate <= 1:
            raise BadFault("rate", f"{self.rate:g} is outside 0 to 1, 0 excluded")
        if self.rate < 1 and self.kind in CERTAIN_KINDS:
            raise BadFault("rate", f"{self.kind!r} happens as a whole")
        if self.account and self.kind not in ORDER_KINDS:
            raise BadFault("account", f"{self.kind!r} happens to connections and markets, not to accounts")
        if self.kind in LASTING_KINDS and not self.duration_s:
            raise BadFault("duration_s", f"{self.kind!r} needs one")

    def matches(
        self, budget: str, market: str, symbol: tuple[str, ...], connection: str, account: str = ""
    ) -> bool:
        """Whether it applies there; `symbol` are all names of the symbol, none where there is none."""
        return (
            self.budget in ("", budget)
            and self.market in ("", market)
            and (not self.symbol or self.symbol in symbol)
            and self.connection in ("", connection)
            and self.account in ("", account)
        )

    @property
    def where(self) -> str:
        """What it applies to, in words."""
        named = [self.market or self.budget, self.symbol, self.account, self.connection]
        return " ".join(each for each in named if each) or "everywhere"


class Order(msgspec.Struct):
    """A fault with what is left of it."""

    id: int
    fault: Fault
    left: int  # -1: no limit
    until_ns: int  # monotonic; 0: no limit
    random: random.Random
    done: int = 0

    def happens(self) -> bool:
        """Whether it does on this occasion."""
        return self.fault.rate >= 1 or self.random.random() < self.fault.rate


class Faults:
    """What was ordered. Times are monotonic nanoseconds."""

    def __init__(self, seed: int = 1) -> None:
        self.seed: Final = seed
        self.on_first: Callable[[], None] | None = (
            None  # called when nothing was ordered and now something is
        )
        self._orders: list[Order] = []
        self._last_id = 0
        self.done: dict[str, int] = {}  # times each kind happened

    @property
    def any(self) -> bool:
        """Whether anything is ordered: cheap, asked before every frame."""
        return bool(self._orders)

    def add(self, now_ns: int, fault: Fault) -> int:
        """Its number. BadFault when it cannot be, or too many are active."""
        fault.check()
        self._expire(now_ns)
        if len(self._orders) >= MAX_ACTIVE:
            raise BadFault("kind", f"{MAX_ACTIVE} faults are active already")
        self._last_id += 1
        count = fault.count or (-1 if fault.duration_s else 1)
        until_ns = now_ns + int(fault.duration_s * 1e9) if fault.duration_s else 0
        chance = random.Random(f"{self.seed}:{self._last_id}")  # noqa: S311 - faults, not a secret
        if not self._orders and self.on_first is not None:
            self.on_first()
        self._orders.append(Order(self._last_id, fault, count, until_ns, chance))
        return self._last_id

    def take(
        self,
        now_ns: int,
        kinds: frozenset[str],
        budget: str,
        market: str = "",
        symbol: tuple[str, ...] = (),
        connection: str = "",
        *,
        account: str = "",
        data: str = "",
    ) -> Fault | None:
        """The oldest fault of these kinds that happens there, used once; None when none does.

        `data` says what a message carries: "book", "trades", "other".
        """
        if not self._orders:
            return None
        self._expire(now_ns)
        for order in self._orders:
            fault = order.fault
            if (
                fault.kind in kinds
                and (not data or fault.data in ("all", data))
                and fault.matches(budget, market, symbol, connection, account)
                and order.happens()
            ):
                order.done += 1
                self.done[fault.kind] = self.done.get(fault.kind, 0) + 1
                if order.left > 0:
                    order.left -= 1
                    if not order.left:
                        self._orders.remove(order)
                return fault
        return None

    def active(self, now_ns: int, kind: str) -> dict[int, Fault]:
        """The faults of a kind that are ordered now, by number."""
        self._expire(now_ns)
        return {each.id: each.fault for each in self._orders if each.fault.kind == kind}

    def note(self, fault: Fault, times: int) -> None:
        """Count a fault that was carried out at once."""
        self.done[fault.kind] = self.done.get(fault.kind, 0) + times

    def clear(self, number: int = 0) -> int:
        """Forget one, or all; how many were forgotten."""
        before = len(self._orders)
        self._orders = [each for each in self._orders if number and each.id != number]
        return before - len(self._orders)

    def rows(self, now_ns: int) -> list[dict[str, object]]:
        """What is active, for `GET /faults`."""
        self._expire(now_ns)
        return [
            {
                "id": each.id,
                "fault": msgspec.to_builtins(each.fault),
                "done": each.done,
                "left": None if each.left < 0 else each.left,
                "ends_in_s": (each.until_ns - now_ns) / 1e9 if each.until_ns else None,
            }
            for each in self._orders
        ]

    def views(self, now_ns: int, wall_ns: int) -> tuple[FaultView, ...]:
        """What is active, for the board."""
        self._expire(now_ns)
        return tuple(
            FaultView(
                id=each.id,
                kind=each.fault.kind,
                where=each.fault.where,
                rate=each.fault.rate,
                done=each.done,
                left=each.left,
                ends_ns=wall_ns + each.until_ns - now_ns if each.until_ns else 0,
            )
            for each in self._orders
        )

    def _expire(self, now_ns: int) -> None:
        if any(each.until_ns and each.until_ns <= now_ns for each in self._orders):
            self._orders = [each for each in self._orders if not each.until_ns or each.until_ns > now_ns]


def read(body: bytes) -> Fault:
    """A fault from JSON. BadFault names the field that is wrong."""
    try:
        fault = msgspec.json.decode(body, type=Fault)
    except msgspec.ValidationError as error:
        reason, _, place = str(error).partition(" - at `$.")
        raise BadFault(place.rstrip("`") or "body", reason) from None
    except msgspec.DecodeError as error:
        raise BadFault("body", f"not JSON: {error}") from None
    fault.check()
    return fault


def _in_range(key: str, value: float, least: float, most: float) -> None:
    if not least <= value <= most:
        raise BadFault(key, f"{value:g} is outside {least:g} to {most:g}")
