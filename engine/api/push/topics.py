"""A topic: its numbers, what of it is kept for those who come back, and its followers. Pure: no sockets, time is given.

What it says comes from a reader (`market_readers`, `program_readers`); a topic exists while somebody follows it, and a
minute longer, so that a listener whose connection broke finds it as it was.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

from engine.api.push.encodings import Kind, Message
from engine.api.push.messages import Envelope
from engine.api.push.protocol import Resume

if TYPE_CHECKING:
    from engine.api.push.listener import Listener

KEPT: Final = 600  # messages: ten minutes of closed one-second candles
KEPT_BYTES: Final = 256 << 10  # about
LINGERS_NS: Final = 60_000_000_000


class Said(NamedTuple):
    """One message before it is numbered."""

    envelope: Envelope
    kind: Kind


class Reader(Protocol):
    """Where a topic's messages come from. Made when the topic begins: what was before is not said."""

    def read(self, now_ns: int) -> Sequence[Said]:
        """What is due by now, oldest first; mostly nothing."""
        ...

    def snapshot(self, now_ns: int) -> Envelope | None:
        """How things stand after all that was read, for one who comes new; None where there is nothing to show."""
        ...

    def gone(self) -> str:
        """Why there will be no more, as a sentence; "" while there will be."""
        ...


class Resumption(NamedTuple):
    """What one who comes back is told: all it missed, or that it has to begin with a snapshot."""

    resumed: bool
    missed: tuple[Message, ...]


class Topic:
    """One topic. `seq` is the number of its newest message, and `epoch` tells one life of it from the next."""

    def __init__(self, name: str, epoch: str, reader: Reader, now_ns: int) -> None:
        self.name, self.epoch = name, epoch
        self.seq = 0
        self.followers: dict[Listener, None] = {}
        self.left_ns = now_ns  # when the last follower left
        self.reader: Final = reader
        self._kept: deque[Message] = deque()
        self._kept_bytes = 0
        self._floor = 0  # messages that must not be missed are all kept after this number
        self._newest: Message | None = None  # of those that only count while they are the newest
        self._snapshot: Message | None = None  # as of `seq`

    @property
    def kept_bytes(self) -> int:
        """What is held for those who come back."""
        return self._kept_bytes

    def read(self, now_ns: int) -> list[Message]:
        """The messages that are due, numbered; they are kept from now on."""
        return [self._number(said) for said in self.reader.read(now_ns)]

    def forgotten(self, now_ns: int) -> bool:
        """Whether nobody has followed it for so long that nobody will come back."""
        return not self.followers and now_ns - self.left_ns > LINGERS_NS

    def snapshot(self, now_ns: int) -> Message | None:
        """How it stands, as of `seq`, the same for all until the next message."""
        if self._snapshot is None:
            envelope = self.reader.snapshot(now_ns)
            if envelope is None:
                return None
            envelope.topic, envelope.seq, envelope.epoch = self.name, self.seq, self.epoch
            self._snapshot = Message(envelope)
        return self._snapshot

    def resume(self, resume: Resume | None) -> Resumption:
        """What followed the message that a listener had last, as far as it is kept."""
        if resume is None or resume.epoch != self.epoch or not self._floor <= resume.seq <= self.seq:
            return Resumption(False, ())
        found = [each for each in self._kept if (each.envelope.seq or 0) > resume.seq]
        newest = self._newest
        if newest is not None and (newest.envelope.seq or 0) > resume.seq:
            at = sum((each.envelope.seq or 0) < (newest.envelope.seq or 0) for each in found)
            found.insert(at, newest)
        return Resumption(True, tuple(found))

    def _number(self, said: Said) -> Message:
        self.seq += 1
        said.envelope.topic, said.envelope.seq = self.name, self.seq
        message = Message(said.envelope, said.kind)
        if said.kind is Kind.NEWEST:
            self._newest = message
        else:
            self._keep(message)
        self._snapshot = None
        return message

    def _keep(self, message: Message) -> None:
        self._kept.append(message)
        self._kept_bytes += weight(message.envelope)
        while len(self._kept) > KEPT or self._kept_bytes > KEPT_BYTES:
            oldest = self._kept.popleft()
            self._kept_bytes -= weight(oldest.envelope)
            self._floor = oldest.envelope.seq or 0


def weight(envelope: Envelope) -> int:
    """About what a message holds, bytes."""
    book = envelope.book
    levels = len(book.bids) + len(book.asks) if book is not None else 0
    rows = len(envelope.latency or ()) + len(envelope.throughput or ())
    return 400 + 120 * levels + 250 * len(envelope.trades or ()) + 400 * rows
