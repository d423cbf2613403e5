"""What a listener may say: its operations, read from JSON text, each checked; and the names of topics. Pure.

{"op": "subscribe", "id": 1, "channel": "candles", "venue": "builtin", "symbol": "BTC-USDT"}
{"op": "subscribe", "channel": "book", "symbol": "BTC-USDT", "depth": 50, "resume": {"epoch": "..", "seq": 7}}
{"op": "unsubscribe", "id": 3, "topic": "candles:builtin:BTC-USDT"}
{"op": "auth", "token": ".."}  {"op": "ping", "id": 4}  {"op": "list", "id": 5}
"""

from __future__ import annotations

from typing import Annotated, Final

import msgspec

from engine.market.batches import Source
from engine.market.candles import INTERVALS_NS

CANDLES: Final = "candles"
TICKS: Final = "ticks"
BOOK: Final = "book"
TRADES: Final = "trades"
LATENCY: Final = "latency"
THROUGHPUT: Final = "throughput"
ALERTS: Final = "alerts"
CHANNELS: Final = (CANDLES, TICKS, BOOK, TRADES, LATENCY, THROUGHPUT, ALERTS)
OF_A_SYMBOL: Final = frozenset({CANDLES, TICKS, BOOK, TRADES})
OPERATIONS: Final = ("subscribe", "unsubscribe", "auth", "ping", "list")
DEPTHS: Final = (10, 20, 50, 200)
DEPTH: Final = 20
INTERVAL: Final = "1s"
FORMATS: Final = ("json", "msgpack", "protobuf")

MESSAGE_MOST: Final = 1 << 16  # bytes of one message from a listener

# What is refused within a connection, beside the codes of `engine.api.problems`. Stable: programs tell by them.
CODES: Final = (
    "bad_json",
    "bad_message",
    "bad_operation",
    "bad_channel",
    "binary",
    "not_following",
    "too_many_messages",
    "too_many_subscriptions",
    "too_many_topics",
)

Name = Annotated[str, msgspec.Meta(max_length=64)]
Id = Annotated[int, msgspec.Meta(ge=-(2**53), le=2**53)] | Name | None


class Resume(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where a listener was: the last `seq` it got of a topic of that `epoch`."""

    epoch: Name
    seq: Annotated[int, msgspec.Meta(ge=0, le=2**53)]


class Asked(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One operation. What it does not need stays as it is by default."""

    op: str
    id: Id = None
    channel: Name = ""
    venue: Name = ""
    symbol: Name = ""
    interval: Name = INTERVAL
    depth: int = DEPTH
    topic: Annotated[str, msgspec.Meta(max_length=200)] = ""
    token: Annotated[str, msgspec.Meta(max_length=4_096)] = ""
    resume: Resume | None = None

    @property
    def variant(self) -> str:
        """What tells topics of one symbol apart: the interval or the depth, "" for the usual one."""
        if self.channel == CANDLES and self.interval != INTERVAL:
            return self.interval
        if self.channel == BOOK and self.depth != DEPTH:
            return str(self.depth)
        return ""


class Refused(msgspec.Struct, frozen=True):
    """An operation that is not carried out, with a stable code and a sentence that says what would work."""

    id: int | str | None
    code: str
    detail: str


_DECODER: Final = msgspec.json.Decoder(Asked)
_ANY: Final = msgspec.json.Decoder()


def parse(data: bytes) -> Asked | Refused:
    """One operation out of one text message, or why it is none."""
    if len(data) > MESSAGE_MOST:
        return Refused(None, "too_large", f"a message may have {MESSAGE_MOST:,} bytes, not {len(data):,}")
    try:
        asked = _DECODER.decode(data)
    except msgspec.ValidationError as error:
        return Refused(_id_of(data), "bad_message", f"{error}")
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        return Refused(None, "bad_json", f"a message is one JSON object: {error}")
    return _checked(asked)


def _checked(asked: Asked) -> Asked | Refused:
    if asked.op not in OPERATIONS:
        return Refused(asked.id, "bad_operation", f"op is one of {', '.join(OPERATIONS)}")
    if asked.op == "auth" and not asked.token:
        return Refused(asked.id, "bad_message", 'auth needs a "token": an API key or a token made of one')
    if asked.op == "subscribe" or (asked.op == "unsubscribe" and not asked.topic):
        return _checked_topic(asked)
    return asked


def _checked_topic(asked: Asked) -> Asked | Refused:
    if asked.channel not in CHANNELS:
        return Refused(asked.id, "bad_channel", f"channel is one of {', '.join(CHANNELS)}")
    if asked.channel in OF_A_SYMBOL and not asked.symbol:
        return Refused(asked.id, "bad_message", f'{asked.channel} need a "symbol", as "BTC-USDT"')
    if asked.interval not in INTERVALS_NS:
        return Refused(asked.id, "bad_interval", f"interval is one of {', '.join(INTERVALS_NS)}")
    if asked.depth not in DEPTHS:
        return Refused(asked.id, "bad_argument", f"depth is one of {', '.join(map(str, DEPTHS))}")
    return asked


def _id_of(data: bytes) -> int | str | None:
    """The id of a message that is not as it should be, so that its sender can tell which one it was."""
    try:
        found = _ANY.decode(data)
    except (msgspec.DecodeError, RecursionError):
        return None
    given = found.get("id") if isinstance(found, dict) else None
    if isinstance(given, str):
        return given[:64]
    return given if type(given) is int and abs(given) <= 2**53 else None


def venue_name(source: Source) -> str:
    """What a topic calls a source: its venue; a replay says that it is one."""
    return f"{source.venue}:replay" if source.run == "replay" else source.venue


def topic_name(channel: str, source: Source | None, symbol: str = "", variant: str = "") -> str:
    """`candles:binance_spot:BTC-USDT`; other than one-second candles and the best 20 levels say so at the end:
    `candles:binance_spot:BTC-USDT:1m`, `book:builtin:BTC-USDT:50`.
    """
    parts = [channel, venue_name(source) if source is not None else "", symbol, variant]
    return ":".join(part for part in parts if part)
