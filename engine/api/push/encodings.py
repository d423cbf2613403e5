"""Messages as frames: each encoded once for each format that somebody listens in, however many listen. Pure."""

from __future__ import annotations

from collections.abc import Callable
from enum import IntEnum
from typing import Any, Final

import msgspec

from engine.api.push import market_pb2
from engine.api.push.deflate import Deflater
from engine.api.push.messages import Envelope
from engine.api.push.protocol import FORMATS
from engine.websocket_frames import BINARY, TEXT, frame


class Kind(IntEnum):
    """What may become of a message when its listener is slow."""

    KEPT = 0  # nothing: closed candles, trades, alerts, answers
    NEWEST = 1  # of its topic only the newest is sent: ticks, the running candle
    DIFF = 2  # it is left out with all behind it, and a snapshot sent instead: books


class Message:
    """One message to any number of listeners."""

    __slots__ = ("_frames", "_payloads", "envelope", "kind")

    def __init__(self, envelope: Envelope, kind: Kind = Kind.KEPT) -> None:
        self.envelope, self.kind = envelope, kind
        self._payloads: list[bytes | None] = [None] * len(FORMATS)
        self._frames: list[bytes | None] = [None] * (2 * len(FORMATS))

    def frame(self, form: int, deflater: Deflater) -> bytes:
        """The whole frame in a form (see `form_of`), made at first use."""
        found = self._frames[form]
        if found is None:
            opcode = TEXT if form < 2 else BINARY
            payload = self.payload(form >> 1)
            found = deflater.frame(payload, opcode) if form & 1 else frame(payload, opcode)
            self._frames[form] = found
        return found

    def payload(self, number: int) -> bytes:
        """The message in the format of that number in FORMATS, made at first use."""
        found = self._payloads[number]
        if found is None:
            found = self._payloads[number] = _ENCODERS[number](self.envelope)
        return found


def form_of(format_name: str, deflated: bool) -> int:
    """The number of a form: a format of FORMATS, deflated or not."""
    return 2 * FORMATS.index(format_name) + deflated


def as_protobuf(envelope: Envelope) -> bytes:
    """The bytes of `market.proto`'s Envelope."""
    fields: dict[str, Any] = msgspec.to_builtins(envelope)
    number = fields.pop("id", None)
    if number is not None:
        fields["id_number" if isinstance(number, int) else "id_text"] = number
    book = fields.get("book")
    if book is not None:
        for side in ("bids", "asks"):
            book[side] = [{"price": price, "size": size} for price, size in book[side]]
    made: bytes = market_pb2.Envelope(**fields).SerializeToString()
    return made


_ENCODERS: Final[tuple[Callable[[Envelope], bytes], ...]] = (
    msgspec.json.Encoder().encode,
    msgspec.msgpack.Encoder().encode,
    as_protobuf,
)
