"""One listener: what waits to be sent to it, and what happens when it is slow.

Frames are written whole, straight into its transport, never awaited. While the transport is full what waits is
conflated: of ticks and running candles only the newest stays, a book's diffs give way to a snapshot. Who is too slow
even for that is cut, with a reason. Nobody else waits.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from engine.access.identity import Identity
from engine.api.push.deflate import Deflater
from engine.api.push.encodings import Kind, Message
from engine.api.push.messages import Envelope
from engine.websocket_frames import PING, close_frame, frame

if TYPE_CHECKING:
    from engine.api.push.topics import Topic

HIGH_WATER: Final = 64 << 10  # bytes in the transport above which nothing more is given to it
SOFT_LIMIT: Final = 64 << 10  # bytes that wait here above which they are conflated
HARD_LIMIT: Final = 1 << 20  # cut
STUCK_NS: Final = 10_000_000_000  # cut when it took nothing at all for so long
MESSAGES_PER_S: Final = 20.0
MESSAGES_BURST: Final = 100.0


@dataclass(slots=True)
class Counts:
    """What was sent, and what was not."""

    messages: int = 0
    bytes: int = 0
    conflated: int = 0  # messages left out because newer ones follow


@dataclass(slots=True, eq=False)
class Listener:
    """One connection. Times are monotonic, ns."""

    number: int
    address: str
    transport: asyncio.Transport
    form: int  # of `encodings.form_of`
    deflater: Deflater
    opened_ns: int
    identity: Identity | None = None
    counted: Identity | None = None  # whose connection the door counts it as
    topics: dict[str, Topic] = field(default_factory=dict)
    heard_ns: int = 0
    pinged_ns: int = 0
    counts: Counts = field(default_factory=Counts)
    ended: str = ""  # why, once it is
    slow: bool = False  # and it is because it was
    ignored: int = 0  # messages of it that came too fast, one after another
    _waiting: list[tuple[Message | None, bytes]] = field(default_factory=list)
    _waiting_bytes: int = 0
    _conflate_above: int = SOFT_LIMIT
    _renewed: dict[Topic, None] = field(default_factory=dict)  # topics that it gets a snapshot of
    _skipped: dict[str, int] = field(default_factory=dict)  # messages left out, by topic
    _full_ns: int = 0  # since when the transport took nothing; 0 = it does
    _full_bytes: int = 0
    _allowed: float = MESSAGES_BURST
    _allowed_ns: int = 0

    def admit(self, now_ns: int) -> bool:
        """Whether one more message of it is listened to."""
        passed_s = max(0, now_ns - (self._allowed_ns or now_ns)) / 1e9
        self._allowed = min(MESSAGES_BURST, self._allowed + passed_s * MESSAGES_PER_S)
        self._allowed_ns = now_ns
        if self._allowed < 1:
            self.ignored += 1
            return False
        self._allowed -= 1
        self.ignored = 0
        return True

    def push(self, topic: Topic | None, message: Message) -> None:
        """One message to be sent with the next flush."""
        if topic is not None and message.kind is Kind.DIFF and topic in self._renewed:
            self._skip(topic)  # the snapshot will have it
            return
        whole = message.frame(self.form, self.deflater)
        self._waiting.append((message, whole))
        self._waiting_bytes += len(whole)

    def ping(self, now_ns: int) -> None:
        """A ping frame, which every client answers by itself."""
        self.pinged_ns = now_ns
        self._control(frame(str(now_ns // 1_000_000).encode(), PING))

    def pong(self, whole: bytes) -> None:
        """The answer to its own ping."""
        self._control(whole)

    def forget(self, topic: Topic) -> None:
        """It does not follow the topic any more; what waits is sent nevertheless."""
        self._renewed.pop(topic, None)
        self._skipped.pop(topic.name, None)

    def flush(self, now_ns: int, wall_ns: int) -> bool:
        """Give what waits to the transport if it has room. False: something still waits."""
        if self.ended or self.transport.is_closing():
            self._clear()
            return True
        held = self.transport.get_write_buffer_size()
        if held < HIGH_WATER:
            self._full_ns = 0
            if self._renewed or self._skipped:
                self._renew(wall_ns)
            waiting = self._waiting
            if waiting:
                self.transport.write(
                    waiting[0][1] if len(waiting) == 1 else b"".join([each[1] for each in waiting])
                )
                self.counts.messages += len(waiting)
                self.counts.bytes += self._waiting_bytes
                self._clear()
            return True
        if not self._full_ns or held != self._full_bytes:
            self._full_ns, self._full_bytes = now_ns, held
        if self._waiting_bytes > self._conflate_above:
            # Going through all that waits at every turn would be the others' time.
            self._conflate()
            self._conflate_above = max(SOFT_LIMIT, self._waiting_bytes + SOFT_LIMIT // 2)
        if self._waiting_bytes > HARD_LIMIT:
            self._cut(f"too slow: more than {HARD_LIMIT >> 10:,} KiB waited for you")
        elif now_ns - self._full_ns > STUCK_NS:
            self._cut(f"too slow: nothing was read for {STUCK_NS // 1_000_000_000} s")
        return bool(self.ended)

    def end(self, code: int, reason: str) -> None:
        """Say why, after what waits, and send no more. Whoever calls closes the transport a while later."""
        if self.ended:
            return
        self.ended = reason
        if not self.transport.is_closing():
            if self.transport.get_write_buffer_size() < HIGH_WATER and self._waiting:
                self.transport.write(b"".join([each[1] for each in self._waiting]))
            self.transport.write(close_frame(code, reason))
        self._clear()

    def _cut(self, reason: str) -> None:
        self.slow = True
        self._clear()
        self.end(1013, reason)

    def _control(self, whole: bytes) -> None:
        self._waiting.append((None, whole))
        self._waiting_bytes += len(whole)

    def _clear(self) -> None:
        self._waiting = []
        self._waiting_bytes = 0
        self._conflate_above = SOFT_LIMIT

    def _conflate(self) -> None:
        """Keep of what waits what must not be left out, and the newest of the rest."""
        newest: dict[str | None, int] = {}
        for at, (message, _) in enumerate(self._waiting):
            if message is not None and message.kind is Kind.NEWEST:
                newest[message.envelope.topic] = at
        kept: list[tuple[Message | None, bytes]] = []
        for at, (message, whole) in enumerate(self._waiting):
            name = message.envelope.topic if message is not None else None
            if message is None or message.kind is Kind.KEPT or newest.get(name) == at:
                kept.append((message, whole))
                continue
            topic = self.topics.get(name or "")
            if topic is not None:
                self._skip(topic)
                if message.kind is Kind.DIFF:
                    self._renewed[topic] = None
        self._waiting = kept
        self._waiting_bytes = sum([len(whole) for _, whole in kept])

    def _skip(self, topic: Topic) -> None:
        self._skipped[topic.name] = self._skipped.get(topic.name, 0) + 1
        self.counts.conflated += 1

    def _renew(self, wall_ns: int) -> None:
        """There is room again: say what was left out, and how the books stand now."""
        skipped, self._skipped = self._skipped, {}
        renewed, self._renewed = self._renewed, {}
        for name, count in skipped.items():
            topic = self.topics.get(name)
            if topic is not None:
                envelope = Envelope(
                    type="conflated", topic=name, seq=topic.seq, ts_ms=wall_ns // 1_000_000, skipped=count
                )
                self.push(None, Message(envelope))
        for topic in renewed:
            message = topic.snapshot(wall_ns)
            if message is not None:
                self.push(None, message)
