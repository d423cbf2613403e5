"""One WebSocket client as the venue sees it: its streams, and what waits to be sent to it.

Frames are written whole, straight into the transport, once for all that a turn brought; the venue never waits.
What a slow client has not taken is conflated where only the newest counts, and when that is not enough the
client is cut, as venues do.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Final

from engine.exchange.dialects.sessions import Opening
from engine.exchange.limit_windows import MessageRate
from engine.exchange.topics import Topic
from engine.websocket_frames import PING, frame

HIGH_WATER: Final = 1 << 20  # bytes in the transport above which nothing more is given to it
SOFT_LIMIT: Final = (
    1 << 20
)  # bytes that wait here: conflate, and once more with each half of it that comes on top
HARD_LIMIT: Final = 8 << 20  # cut


@dataclass(slots=True)
class Sent:
    """What was sent, and what was not."""

    frames: int = 0
    bytes: int = 0
    conflated: int = 0  # frames replaced by newer ones


@dataclass(slots=True, eq=False)
class Connection:
    """One client. `names` maps its streams to their topics, None for silent ones, in order."""

    id: str
    budget: str
    address: str
    opening: Opening
    transport: asyncio.Transport
    rate: MessageRate
    opened_ns: int  # monotonic, as all times here
    names: dict[str, Topic | None] = field(default_factory=dict)
    heard_ns: int = 0
    pinged_ns: int = 0
    ponged_ns: int = 0
    stalled: bool = False
    messages: int = 0  # from the client
    sent: Sent = field(default_factory=Sent)
    slow: bool = False  # cut because of it
    held: dict[str, bytes] = field(default_factory=dict)  # frames of the fault "reorder"
    _waiting: list[tuple[str, bytes, int]] = field(default_factory=list)  # key, frames in one piece, how many
    _waiting_bytes: int = 0
    _conflate_above: int = SOFT_LIMIT

    @property
    def waiting(self) -> bool:
        """Whether anything is to be sent."""
        return bool(self._waiting)

    def push(self, whole: bytes, key: str = "", frames: int = 1) -> None:
        """Whole frames to be sent with the next flush; of those with the same `key` only the newest matter."""
        self._waiting.append((key, whole, frames))
        self._waiting_bytes += len(whole)

    def flush(self) -> bool:
        """Give what waits to the transport if it has room. False when the client is too slow: it is cut."""
        if not self._waiting or self.transport.is_closing():
            self._clear()
            return True
        if self.transport.get_write_buffer_size() < HIGH_WATER:
            waiting = self._waiting
            if len(waiting) == 1:
                self.transport.write(waiting[0][1])
                self.sent.frames += waiting[0][2]
            else:
                self.transport.write(b"".join([each[1] for each in waiting]))
                self.sent.frames += sum([each[2] for each in waiting])
            self.sent.bytes += self._waiting_bytes
            self._clear()
            return True
        if self._waiting_bytes > self._conflate_above:
            # Going through all that waits at every turn would be the others' time.
            self._conflate()
            self._conflate_above = max(SOFT_LIMIT, self._waiting_bytes + SOFT_LIMIT // 2)
        if self._waiting_bytes > HARD_LIMIT:
            self.slow = True
            self.abort()
            return False
        return True

    def ping(self, now_ns: int) -> None:
        """The venue's own ping frame."""
        self.pinged_ns = now_ns
        self.push(frame(str(now_ns // 1_000_000).encode(), PING))

    def abort(self) -> None:
        """End it without a word: the client sees 1006."""
        self._clear()
        self.transport.abort()

    def _clear(self) -> None:
        self._waiting = []
        self._waiting_bytes = 0
        self._conflate_above = SOFT_LIMIT

    def _conflate(self) -> None:
        newest: dict[str, int] = {}
        for at, (key, _, _) in enumerate(self._waiting):
            if key:
                newest[key] = at
        kept = [each for at, each in enumerate(self._waiting) if not each[0] or newest[each[0]] == at]
        self.sent.conflated += sum([each[2] for each in self._waiting]) - sum([each[2] for each in kept])
        self._waiting = kept
        self._waiting_bytes = sum([len(whole) for _, whole, _ in kept])
