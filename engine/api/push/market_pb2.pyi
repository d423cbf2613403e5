# ruff: noqa
# mypy: ignore-errors
# fmt: off
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Candle(_message.Message):
    __slots__ = ("ts", "ts_ms", "interval", "open", "high", "low", "close", "volume", "vwap", "trades", "final")
    TS_FIELD_NUMBER: _ClassVar[int]
    TS_MS_FIELD_NUMBER: _ClassVar[int]
    INTERVAL_FIELD_NUMBER: _ClassVar[int]
    OPEN_FIELD_NUMBER: _ClassVar[int]
    HIGH_FIELD_NUMBER: _ClassVar[int]
    LOW_FIELD_NUMBER: _ClassVar[int]
    CLOSE_FIELD_NUMBER: _ClassVar[int]
    VOLUME_FIELD_NUMBER: _ClassVar[int]
    VWAP_FIELD_NUMBER: _ClassVar[int]
    TRADES_FIELD_NUMBER: _ClassVar[int]
    FINAL_FIELD_NUMBER: _ClassVar[int]
    ts: str
    ts_ms: int
    interval: str
    open: str
    high: str
    low: str
    close: str
    volume: str
    vwap: str
    trades: int
    final: bool
    def __init__(self, ts: _Optional[str] = ..., ts_ms: _Optional[int] = ..., interval: _Optional[str] = ..., open: _Optional[str] = ..., high: _Optional[str] = ..., low: _Optional[str] = ..., close: _Optional[str] = ..., volume: _Optional[str] = ..., vwap: _Optional[str] = ..., trades: _Optional[int] = ..., final: _Optional[bool] = ...) -> None: ...

class Tick(_message.Message):
    __slots__ = ("venue", "source", "symbol", "state", "source_state", "sequence", "bid", "bid_size", "ask", "ask_size", "last", "mid", "spread", "spread_bp", "ts", "ts_ms", "received_ts", "received_ts_ms", "last_ts", "last_ts_ms")
    VENUE_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    SYMBOL_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    SOURCE_STATE_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    BID_FIELD_NUMBER: _ClassVar[int]
    BID_SIZE_FIELD_NUMBER: _ClassVar[int]
    ASK_FIELD_NUMBER: _ClassVar[int]
    ASK_SIZE_FIELD_NUMBER: _ClassVar[int]
    LAST_FIELD_NUMBER: _ClassVar[int]
    MID_FIELD_NUMBER: _ClassVar[int]
    SPREAD_FIELD_NUMBER: _ClassVar[int]
    SPREAD_BP_FIELD_NUMBER: _ClassVar[int]
    TS_FIELD_NUMBER: _ClassVar[int]
    TS_MS_FIELD_NUMBER: _ClassVar[int]
    RECEIVED_TS_FIELD_NUMBER: _ClassVar[int]
    RECEIVED_TS_MS_FIELD_NUMBER: _ClassVar[int]
    LAST_TS_FIELD_NUMBER: _ClassVar[int]
    LAST_TS_MS_FIELD_NUMBER: _ClassVar[int]
    venue: str
    source: str
    symbol: str
    state: str
    source_state: str
    sequence: int
    bid: str
    bid_size: str
    ask: str
    ask_size: str
    last: str
    mid: str
    spread: str
    spread_bp: float
    ts: str
    ts_ms: int
    received_ts: str
    received_ts_ms: int
    last_ts: str
    last_ts_ms: int
    def __init__(self, venue: _Optional[str] = ..., source: _Optional[str] = ..., symbol: _Optional[str] = ..., state: _Optional[str] = ..., source_state: _Optional[str] = ..., sequence: _Optional[int] = ..., bid: _Optional[str] = ..., bid_size: _Optional[str] = ..., ask: _Optional[str] = ..., ask_size: _Optional[str] = ..., last: _Optional[str] = ..., mid: _Optional[str] = ..., spread: _Optional[str] = ..., spread_bp: _Optional[float] = ..., ts: _Optional[str] = ..., ts_ms: _Optional[int] = ..., received_ts: _Optional[str] = ..., received_ts_ms: _Optional[int] = ..., last_ts: _Optional[str] = ..., last_ts_ms: _Optional[int] = ...) -> None: ...

class Trade(_message.Message):
    __slots__ = ("ts", "ts_ms", "id", "price", "size", "side")
    TS_FIELD_NUMBER: _ClassVar[int]
    TS_MS_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    PRICE_FIELD_NUMBER: _ClassVar[int]
    SIZE_FIELD_NUMBER: _ClassVar[int]
    SIDE_FIELD_NUMBER: _ClassVar[int]
    ts: str
    ts_ms: int
    id: int
    price: str
    size: str
    side: str
    def __init__(self, ts: _Optional[str] = ..., ts_ms: _Optional[int] = ..., id: _Optional[int] = ..., price: _Optional[str] = ..., size: _Optional[str] = ..., side: _Optional[str] = ...) -> None: ...

class Level(_message.Message):
    __slots__ = ("price", "size")
    PRICE_FIELD_NUMBER: _ClassVar[int]
    SIZE_FIELD_NUMBER: _ClassVar[int]
    price: str
    size: str
    def __init__(self, price: _Optional[str] = ..., size: _Optional[str] = ...) -> None: ...

class Book(_message.Message):
    __slots__ = ("venue", "source", "symbol", "depth", "state", "sequence", "ts", "ts_ms", "bids", "asks")
    VENUE_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    SYMBOL_FIELD_NUMBER: _ClassVar[int]
    DEPTH_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    TS_FIELD_NUMBER: _ClassVar[int]
    TS_MS_FIELD_NUMBER: _ClassVar[int]
    BIDS_FIELD_NUMBER: _ClassVar[int]
    ASKS_FIELD_NUMBER: _ClassVar[int]
    venue: str
    source: str
    symbol: str
    depth: int
    state: str
    sequence: int
    ts: str
    ts_ms: int
    bids: _containers.RepeatedCompositeFieldContainer[Level]
    asks: _containers.RepeatedCompositeFieldContainer[Level]
    def __init__(self, venue: _Optional[str] = ..., source: _Optional[str] = ..., symbol: _Optional[str] = ..., depth: _Optional[int] = ..., state: _Optional[str] = ..., sequence: _Optional[int] = ..., ts: _Optional[str] = ..., ts_ms: _Optional[int] = ..., bids: _Optional[_Iterable[_Union[Level, _Mapping]]] = ..., asks: _Optional[_Iterable[_Union[Level, _Mapping]]] = ...) -> None: ...

class LatencyRow(_message.Message):
    __slots__ = ("source", "stage", "ts", "ts_ms", "count", "p50_us", "p90_us", "p95_us", "p99_us", "p999_us", "max_us")
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    STAGE_FIELD_NUMBER: _ClassVar[int]
    TS_FIELD_NUMBER: _ClassVar[int]
    TS_MS_FIELD_NUMBER: _ClassVar[int]
    COUNT_FIELD_NUMBER: _ClassVar[int]
    P50_US_FIELD_NUMBER: _ClassVar[int]
    P90_US_FIELD_NUMBER: _ClassVar[int]
    P95_US_FIELD_NUMBER: _ClassVar[int]
    P99_US_FIELD_NUMBER: _ClassVar[int]
    P999_US_FIELD_NUMBER: _ClassVar[int]
    MAX_US_FIELD_NUMBER: _ClassVar[int]
    source: str
    stage: str
    ts: str
    ts_ms: int
    count: int
    p50_us: float
    p90_us: float
    p95_us: float
    p99_us: float
    p999_us: float
    max_us: float
    def __init__(self, source: _Optional[str] = ..., stage: _Optional[str] = ..., ts: _Optional[str] = ..., ts_ms: _Optional[int] = ..., count: _Optional[int] = ..., p50_us: _Optional[float] = ..., p90_us: _Optional[float] = ..., p95_us: _Optional[float] = ..., p99_us: _Optional[float] = ..., p999_us: _Optional[float] = ..., max_us: _Optional[float] = ...) -> None: ...

class ThroughputRow(_message.Message):
    __slots__ = ("source", "ts", "ts_ms", "messages", "orders", "events", "rejects", "trades", "size_bytes", "gaps", "malformed", "skipped")
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    TS_FIELD_NUMBER: _ClassVar[int]
    TS_MS_FIELD_NUMBER: _ClassVar[int]
    MESSAGES_FIELD_NUMBER: _ClassVar[int]
    ORDERS_FIELD_NUMBER: _ClassVar[int]
    EVENTS_FIELD_NUMBER: _ClassVar[int]
    REJECTS_FIELD_NUMBER: _ClassVar[int]
    TRADES_FIELD_NUMBER: _ClassVar[int]
    SIZE_BYTES_FIELD_NUMBER: _ClassVar[int]
    GAPS_FIELD_NUMBER: _ClassVar[int]
    MALFORMED_FIELD_NUMBER: _ClassVar[int]
    SKIPPED_FIELD_NUMBER: _ClassVar[int]
    source: str
    ts: str
    ts_ms: int
    messages: int
    orders: int
    events: int
    rejects: int
    trades: int
    size_bytes: int
    gaps: int
    malformed: int
    skipped: int
    def __init__(self, source: _Optional[str] = ..., ts: _Optional[str] = ..., ts_ms: _Optional[int] = ..., messages: _Optional[int] = ..., orders: _Optional[int] = ..., events: _Optional[int] = ..., rejects: _Optional[int] = ..., trades: _Optional[int] = ..., size_bytes: _Optional[int] = ..., gaps: _Optional[int] = ..., malformed: _Optional[int] = ..., skipped: _Optional[int] = ...) -> None: ...

class Alert(_message.Message):
    __slots__ = ("what", "id", "rule", "text", "source", "symbol", "value", "ts", "ts_ms", "ended_ts", "ended_ts_ms", "acknowledged_ts", "acknowledged_ts_ms")
    WHAT_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    RULE_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    SYMBOL_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    TS_FIELD_NUMBER: _ClassVar[int]
    TS_MS_FIELD_NUMBER: _ClassVar[int]
    ENDED_TS_FIELD_NUMBER: _ClassVar[int]
    ENDED_TS_MS_FIELD_NUMBER: _ClassVar[int]
    ACKNOWLEDGED_TS_FIELD_NUMBER: _ClassVar[int]
    ACKNOWLEDGED_TS_MS_FIELD_NUMBER: _ClassVar[int]
    what: str
    id: int
    rule: str
    text: str
    source: str
    symbol: str
    value: str
    ts: str
    ts_ms: int
    ended_ts: str
    ended_ts_ms: int
    acknowledged_ts: str
    acknowledged_ts_ms: int
    def __init__(self, what: _Optional[str] = ..., id: _Optional[int] = ..., rule: _Optional[str] = ..., text: _Optional[str] = ..., source: _Optional[str] = ..., symbol: _Optional[str] = ..., value: _Optional[str] = ..., ts: _Optional[str] = ..., ts_ms: _Optional[int] = ..., ended_ts: _Optional[str] = ..., ended_ts_ms: _Optional[int] = ..., acknowledged_ts: _Optional[str] = ..., acknowledged_ts_ms: _Optional[int] = ...) -> None: ...

class Available(_message.Message):
    __slots__ = ("venue", "source", "state", "symbols")
    VENUE_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    SYMBOLS_FIELD_NUMBER: _ClassVar[int]
    venue: str
    source: str
    state: str
    symbols: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, venue: _Optional[str] = ..., source: _Optional[str] = ..., state: _Optional[str] = ..., symbols: _Optional[_Iterable[str]] = ...) -> None: ...

class Envelope(_message.Message):
    __slots__ = ("type", "topic", "seq", "ts_ms", "id_number", "id_text", "epoch", "resumed", "candle", "candles", "tick", "trades", "book", "latency", "throughput", "alert", "alerts", "lost", "skipped", "code", "detail", "reason", "topics", "channels", "available")
    TYPE_FIELD_NUMBER: _ClassVar[int]
    TOPIC_FIELD_NUMBER: _ClassVar[int]
    SEQ_FIELD_NUMBER: _ClassVar[int]
    TS_MS_FIELD_NUMBER: _ClassVar[int]
    ID_NUMBER_FIELD_NUMBER: _ClassVar[int]
    ID_TEXT_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    RESUMED_FIELD_NUMBER: _ClassVar[int]
    CANDLE_FIELD_NUMBER: _ClassVar[int]
    CANDLES_FIELD_NUMBER: _ClassVar[int]
    TICK_FIELD_NUMBER: _ClassVar[int]
    TRADES_FIELD_NUMBER: _ClassVar[int]
    BOOK_FIELD_NUMBER: _ClassVar[int]
    LATENCY_FIELD_NUMBER: _ClassVar[int]
    THROUGHPUT_FIELD_NUMBER: _ClassVar[int]
    ALERT_FIELD_NUMBER: _ClassVar[int]
    ALERTS_FIELD_NUMBER: _ClassVar[int]
    LOST_FIELD_NUMBER: _ClassVar[int]
    SKIPPED_FIELD_NUMBER: _ClassVar[int]
    CODE_FIELD_NUMBER: _ClassVar[int]
    DETAIL_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    TOPICS_FIELD_NUMBER: _ClassVar[int]
    CHANNELS_FIELD_NUMBER: _ClassVar[int]
    AVAILABLE_FIELD_NUMBER: _ClassVar[int]
    type: str
    topic: str
    seq: int
    ts_ms: int
    id_number: int
    id_text: str
    epoch: str
    resumed: bool
    candle: Candle
    candles: _containers.RepeatedCompositeFieldContainer[Candle]
    tick: Tick
    trades: _containers.RepeatedCompositeFieldContainer[Trade]
    book: Book
    latency: _containers.RepeatedCompositeFieldContainer[LatencyRow]
    throughput: _containers.RepeatedCompositeFieldContainer[ThroughputRow]
    alert: Alert
    alerts: _containers.RepeatedCompositeFieldContainer[Alert]
    lost: int
    skipped: int
    code: str
    detail: str
    reason: str
    topics: _containers.RepeatedScalarFieldContainer[str]
    channels: _containers.RepeatedScalarFieldContainer[str]
    available: _containers.RepeatedCompositeFieldContainer[Available]
    def __init__(self, type: _Optional[str] = ..., topic: _Optional[str] = ..., seq: _Optional[int] = ..., ts_ms: _Optional[int] = ..., id_number: _Optional[int] = ..., id_text: _Optional[str] = ..., epoch: _Optional[str] = ..., resumed: _Optional[bool] = ..., candle: _Optional[_Union[Candle, _Mapping]] = ..., candles: _Optional[_Iterable[_Union[Candle, _Mapping]]] = ..., tick: _Optional[_Union[Tick, _Mapping]] = ..., trades: _Optional[_Iterable[_Union[Trade, _Mapping]]] = ..., book: _Optional[_Union[Book, _Mapping]] = ..., latency: _Optional[_Iterable[_Union[LatencyRow, _Mapping]]] = ..., throughput: _Optional[_Iterable[_Union[ThroughputRow, _Mapping]]] = ..., alert: _Optional[_Union[Alert, _Mapping]] = ..., alerts: _Optional[_Iterable[_Union[Alert, _Mapping]]] = ..., lost: _Optional[int] = ..., skipped: _Optional[int] = ..., code: _Optional[str] = ..., detail: _Optional[str] = ..., reason: _Optional[str] = ..., topics: _Optional[_Iterable[str]] = ..., channels: _Optional[_Iterable[str]] = ..., available: _Optional[_Iterable[_Union[Available, _Mapping]]] = ...) -> None: ...
