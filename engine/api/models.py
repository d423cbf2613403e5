"""What the market-data API answers, as declared shapes: they encode the answers and describe them in OpenAPI.

Prices and sizes are exact decimal text, never floats; every time is there twice, as ISO 8601 text in the zone asked
for and as whole milliseconds UTC; what is not known is null, never a made-up number.
"""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct

Decimal = Annotated[
    str,
    Meta(
        description="Exact decimal text",
        pattern=r"^-?[0-9]+(\.[0-9]+)?$",
        max_length=80,
        examples=["69000.10"],
    ),
]
Moment = Annotated[
    str,
    Meta(
        description="ISO 8601 time with milliseconds, in the zone of `tz`, by default UTC",
        max_length=40,
        examples=["2026-11-20T12:00:00.123Z"],
    ),
]
Ms = Annotated[
    int, Meta(description="The same time as milliseconds since 1970, UTC", examples=[1_795_176_000_123])
]
Whole = Annotated[int, Meta(ge=0, description="A whole number")]
Venue = Annotated[str, Meta(description="Venue and market, as `venue=` takes it", examples=["binance_spot"])]
SourceKey = Annotated[
    str,
    Meta(
        description="Venue and run: live, sim (the built-in exchange) or replay; `venue=` takes it too",
        examples=["binance_spot:live", "builtin:sim"],
    ),
]
Symbol = Annotated[
    str, Meta(description="Universal name of the symbol", examples=["BTC-USDT", "BTC-USDT-PERP"])
]
BookStateName = Annotated[
    Literal["EMPTY", "BUFFERING", "SYNCED", "STALE"],
    Meta(description="What the book is worth: only a SYNCED one is known to be as at the venue"),
]
SourceStateName = Annotated[
    Literal["loading", "live", "resyncing", "stale", "reconnecting", "ended", "error"],
    Meta(description="Condition of the source"),
]
Interval = Annotated[
    Literal["1s", "5s", "1m", "5m", "15m", "1h"], Meta(description="Length of a candle, aligned to the clock")
]
Side = Annotated[Literal["buy", "sell"], Meta(description="Side of an order")]
BasisPoints = Annotated[float, Meta(description="Hundredths of a percent, to four decimals")]
Micros = Annotated[float, Meta(description="Microseconds")]
Rate = Annotated[float, Meta(ge=0, description="Per second, the mean of the window")]
Level = Annotated[
    tuple[Decimal, Decimal], Meta(description="[price, size]", examples=[["69000.10", "0.52000"]])
]


class Tick(Struct, kw_only=True, frozen=True):
    """Best bid and ask and last trade of one symbol. The same until something changes: it holds no age."""

    venue: Venue
    source: SourceKey
    symbol: Symbol
    state: BookStateName
    source_state: SourceStateName
    sequence: Annotated[int, Meta(description="The venue's number of the book's newest change")]
    bid: Decimal | None
    bid_size: Decimal | None
    ask: Decimal | None
    ask_size: Decimal | None
    last: Annotated[Decimal | None, Meta(description="Price of the newest trade")]
    mid: Annotated[Decimal | None, Meta(description="Between best bid and ask")]
    spread: Annotated[Decimal | None, Meta(description="Best ask less best bid")]
    spread_bp: Annotated[BasisPoints | None, Meta(description="Spread over mid, in basis points")]
    ts: Annotated[Moment | None, Meta(description="The venue's time of the book; null where it gives none")]
    ts_ms: Ms | None
    received_ts: Annotated[Moment | None, Meta(description="When the book's newest change was received")]
    received_ts_ms: Ms | None
    last_ts: Annotated[Moment | None, Meta(description="When the newest trade was received")]
    last_ts_ms: Ms | None


class Candle(Struct, kw_only=True, frozen=True):
    """One candle. An interval without trades has none."""

    ts: Annotated[Moment, Meta(description="When it opens")]
    ts_ms: Ms
    interval: Interval
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    volume: Annotated[Decimal, Meta(description="Sum of the sizes traded")]
    vwap: Annotated[
        Decimal | None,
        Meta(description="Volume-weighted average price, rounded; null where nothing traded"),
    ]
    trades: Annotated[int, Meta(ge=0, description="Trades in it; 0 where the venue does not count them")]
    final: Annotated[bool, Meta(description="Whether it will not change any more")]


class Ohlc(Struct, kw_only=True, frozen=True):
    """Candles of one symbol, oldest first. The oldest may be of less than its interval, where the data begins in it."""

    venue: Venue
    source: SourceKey
    symbol: Symbol
    interval: Interval
    truncated: Annotated[
        bool, Meta(description="Whether `limit` left out candles of the stretch asked for by `from`")
    ]
    venue_until_ms: Annotated[
        int | None,
        Meta(description="Candles that open before this are made of the venue's own minutes; null: none"),
    ]
    archive_until_ms: Annotated[
        int | None, Meta(description="Candles that open before this are of what was recorded; null: none")
    ]
    candles: list[Candle]


class Book(Struct, kw_only=True, frozen=True):
    """The book of one symbol, best levels first."""

    venue: Venue
    source: SourceKey
    symbol: Symbol
    state: BookStateName
    source_state: SourceStateName
    sequence: Annotated[int, Meta(description="The venue's number of the newest change in it")]
    ts: Annotated[Moment | None, Meta(description="The venue's time of it; null where it gives none")]
    ts_ms: Ms | None
    received_ts: Annotated[Moment | None, Meta(description="When its newest change was received")]
    received_ts_ms: Ms | None
    size_unit: Annotated[str, Meta(description='What sizes count: the base, or "contracts"')]
    bid_levels: Annotated[Whole, Meta(description="Levels the whole book has on this side")]
    ask_levels: Annotated[Whole, Meta(description="Levels the whole book has on this side")]
    bids: list[Level]
    asks: list[Level]


class Trade(Struct, kw_only=True, frozen=True):
    """One trade."""

    ts: Annotated[Moment, Meta(description="The venue's time; ours of receipt where it gives none")]
    ts_ms: Ms
    id: Annotated[int, Meta(description="The venue's number of the trade")]
    price: Decimal
    size: Decimal
    side: Annotated[
        Literal["buy", "sell"] | None, Meta(description="Who took: null where the venue does not say")
    ]


class Trades(Struct, kw_only=True, frozen=True):
    """Trades of one symbol, oldest first."""

    venue: Venue
    source: SourceKey
    symbol: Symbol
    size_unit: Annotated[str, Meta(description='What sizes count: the base, or "contracts"')]
    truncated: Annotated[bool, Meta(description="Whether `limit` left out trades behind these")]
    trades: list[Trade]


class StageRow(Struct, kw_only=True, frozen=True):
    """One stage's latencies over the window, to within 1 %."""

    venue: Venue
    source: SourceKey
    stage: Annotated[str, Meta(description="What is measured", examples=["receive", "ack"])]
    what: Annotated[str, Meta(description="Between which two points")]
    from_ms: Annotated[
        int,
        Meta(
            description="Samples are counted from here on, milliseconds since 1970, UTC: the window's start, or up to "
            "29 s before it for a stage of so many different values that a part of the window is kept by half-minutes"
        ),
    ]
    count: Annotated[Whole, Meta(description="Samples in the window")]
    p50_us: Micros | None
    p90_us: Micros | None
    p95_us: Micros | None
    p99_us: Micros | None
    p999_us: Micros | None
    max_us: Micros | None
    offset_ms: Annotated[
        float | None,
        Meta(description="Clock offset that was taken off, of `receive`; null where none is"),
    ]


class Latency(Struct, kw_only=True, frozen=True):
    """Latencies by stage over a window that ends now."""

    venue: Venue
    source: SourceKey
    window_s: Annotated[int, Meta(ge=1, description="Length of the window, seconds")]
    ts: Annotated[Moment, Meta(description="End of the window")]
    ts_ms: Ms
    stages: list[StageRow]


class ThroughputRow(Struct, kw_only=True, frozen=True):
    """What one source brought over the window's complete seconds."""

    venue: Venue
    source: SourceKey
    seconds: Annotated[Whole, Meta(description="Complete seconds that are counted")]
    messages_per_s: Annotated[Rate, Meta(description="Frames received from outside, a second")]
    bytes_per_s: Rate
    orders_per_s: Annotated[Rate, Meta(description="Orders matched by the built-in exchange, a second")]
    trades_per_s: Rate
    rejects_per_s: Annotated[Rate, Meta(description="Of those orders, refused")]
    gaps: Annotated[Whole, Meta(description="Gaps in sequence numbers, in the window")]
    malformed: Annotated[Whole, Meta(description="Frames that could not be read, in the window")]
    skipped: Annotated[Whole, Meta(description="Simulated orders given up to keep up, in the window")]


class Throughput(Struct, kw_only=True, frozen=True):
    """Rates of each source over a window of complete seconds."""

    window_s: Annotated[int, Meta(ge=1, description="Length of the window, seconds")]
    ts: Annotated[Moment, Meta(description="End of the window: the newest complete second's")]
    ts_ms: Ms
    sources: list[ThroughputRow]


class LimitWindow(Struct, kw_only=True, frozen=True):
    """One window of a venue's rate limit."""

    name: str
    scope: Annotated[str, Meta(description="What it counts by", examples=["ip", "account"])]
    window_s: Annotated[float, Meta(ge=0, description="Its length, seconds")]
    limit: Whole
    used: Whole
    reserved: Annotated[Whole, Meta(description="By calls that wait")]
    foreign: Annotated[Whole, Meta(description="Of `used`, spent by others on this address")]
    resets_ts: Annotated[Moment | None, Meta(description="When all that is used now is free again")]
    resets_ts_ms: Ms | None
    note: str


class LimitEndpoint(Struct, kw_only=True, frozen=True):
    """One endpoint of a venue as it was called since the start."""

    endpoint: Annotated[str, Meta(examples=["GET /api/v3/depth"])]
    weight: Whole
    calls: Whole
    throttled: Annotated[Whole, Meta(description="Calls that were held back before they were sent")]
    waiting: Whole
    refused: Annotated[Whole, Meta(description="Answers that said too many")]
    mean_ms: float
    p99_ms: float
    max_ms: float
    last_status: Annotated[int, Meta(description="HTTP status of the newest answer; 0: none came")]


class LimitBudget(Struct, kw_only=True, frozen=True):
    """One venue's budget: all its calls and connects have to fit into it."""

    venue: Annotated[str, Meta(description="Name of the budget; several markets may share one")]
    label: str
    state: Literal["within limits", "throttling", "banned"]
    banned_until_ts: Annotated[Moment | None, Meta(description="When the ban ends; null: not banned")]
    banned_until_ts_ms: Ms | None
    ban_reason: str
    calls: Annotated[Whole, Meta(description="Sent since the start")]
    throttled: Annotated[Whole, Meta(description="Of those, held back first")]
    waiting: Annotated[Whole, Meta(description="Calls that wait now")]
    refused: Annotated[Whole, Meta(description="Answers that said too many: 429, 418, 403")]
    wait_mean_ms: Annotated[float, Meta(description="Of those held back")]
    wait_max_ms: float
    windows: list[LimitWindow]
    endpoints: list[LimitEndpoint]


class Limits(Struct, kw_only=True, frozen=True):
    """The rate limits of the venues, and what was spent of them."""

    ts: Moment
    ts_ms: Ms
    budgets: list[LimitBudget]


class Impact(Struct, kw_only=True, frozen=True):
    """What a market order would get, by walking the book as it stands. Fees are not in it."""

    venue: Venue
    source: SourceKey
    symbol: Symbol
    state: BookStateName
    side: Side
    quote: Annotated[Decimal, Meta(description="The amount of the quote currency asked for")]
    average: Annotated[Decimal, Meta(description="Average price, rounded half up")]
    worst: Annotated[Decimal, Meta(description="Price of the last level it takes from")]
    best: Annotated[Decimal, Meta(description="Price of the best level")]
    mid: Annotated[Decimal | None, Meta(description="Between best bid and ask; null without the other side")]
    impact_bp: Annotated[
        BasisPoints | None,
        Meta(description="How much worse than the mid the average is, in basis points; null without a mid"),
    ]
    slippage_bp: Annotated[
        BasisPoints, Meta(description="How much worse than the best price the average is, in basis points")
    ]
    base_filled: Decimal
    quote_filled: Annotated[
        Decimal, Meta(description="Sum of price times size; `quote` less what no lot fits")
    ]
    levels: Annotated[int, Meta(ge=1, description="Levels it takes from")]
    exhausted: Annotated[bool, Meta(description="Whether the book ends before the amount is filled")]
    sequence: Annotated[int, Meta(description="The venue's number of the book's newest change")]
    ts: Annotated[Moment | None, Meta(description="The venue's time of the book; null where it gives none")]
    ts_ms: Ms | None
    received_ts: Annotated[Moment | None, Meta(description="When the book's newest change was received")]
    received_ts_ms: Ms | None


class PriceRow(Struct, kw_only=True, frozen=True):
    """One venue's top of book in the comparison."""

    venue: Venue
    source: SourceKey
    symbol: Symbol
    counted: Annotated[bool, Meta(description="Whether it is in the comparison")]
    left_out: Annotated[str, Meta(description='Why it is not; "" where it is', examples=["stale", ""])]
    bid: Decimal | None
    bid_size: Decimal | None
    ask: Decimal | None
    ask_size: Decimal | None
    mid: Decimal | None
    spread_bp: BasisPoints | None
    difference_bp: Annotated[
        BasisPoints | None, Meta(description="Its mid less the median of those counted, in basis points")
    ]
    size_unit: Annotated[str, Meta(description='What sizes count: the base, or "contracts"')]
    age_ms: Annotated[float | None, Meta(description="Since its newest change, milliseconds")]
    ts: Annotated[Moment | None, Meta(description="When its newest change was received")]
    ts_ms: Ms | None


class Price(Struct, kw_only=True, frozen=True):
    """One pair over all venues: who bids most, who asks least, and what they agree on.

    Only synced books of live venues are compared; where no real venue has the pair, the built-in exchange stands alone.
    """

    base: str
    quote: str
    symbol: Annotated[Symbol, Meta(description="The form of the pair that is compared")]
    simulated: Annotated[bool, Meta(description="Whether it is the built-in exchange that is compared")]
    compared: Annotated[Whole, Meta(description="Mids that are in the median")]
    bid: Annotated[Decimal | None, Meta(description="The highest bid anywhere")]
    bid_venue: Venue | None
    ask: Annotated[Decimal | None, Meta(description="The lowest ask anywhere")]
    ask_venue: Venue | None
    mid: Annotated[Decimal | None, Meta(description="Median of the venues' mids")]
    spread: Annotated[
        Decimal | None,
        Meta(description="Lowest ask less highest bid: negative where one venue bids more than another asks"),
    ]
    spread_bp: BasisPoints | None
    apart_bp: Annotated[
        BasisPoints | None,
        Meta(description="Between the highest and the lowest mid; null with fewer than two"),
    ]
    ts: Annotated[Moment, Meta(description="When they were compared")]
    ts_ms: Ms
    venues: list[PriceRow]


class ActiveSymbol(Struct, kw_only=True, frozen=True):
    """One symbol that is followed."""

    venue: Venue
    source: SourceKey
    symbol: Symbol
    native: Annotated[str, Meta(description="The venue's own name of it")]
    base: str
    quote: str
    price_decimals: Whole
    size_decimals: Whole
    tick_size: Annotated[Decimal | None, Meta(description="Least step of a price; null where not known")]
    lot_size: Annotated[Decimal | None, Meta(description="Least step of a size; null where not known")]
    size_unit: Annotated[str, Meta(description='What sizes count: the base, or "contracts"')]
    state: BookStateName
    source_state: SourceStateName


class ActiveSymbols(Struct, kw_only=True, frozen=True):
    """Every symbol that is followed, by source."""

    symbols: list[ActiveSymbol]


class AvailableVenue(Struct, kw_only=True, frozen=True):
    """What one venue lists."""

    venue: Venue
    label: str
    state: Annotated[str, Meta(description="off, connecting, live, reconnecting, or that of the source")]
    count: Annotated[Whole, Meta(description="Symbols listed, found or not; 0 until the list is known")]
    symbols: Annotated[list[str], Meta(description="Universal names, sorted")]


class AvailableSymbols(Struct, kw_only=True, frozen=True):
    """What each venue lists."""

    venues: list[AvailableVenue]


class NewSymbol(Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """A symbol to follow."""

    symbol: Annotated[
        str,
        Meta(
            min_length=1,
            max_length=40,
            description="Universal name or the venue's own, in any case",
            examples=["SOL-USDT"],
        ),
    ]
    venue: Annotated[
        str,
        Meta(
            max_length=40,
            description="The live market; without it, the first live one that lists the symbol",
            examples=["binance_spot"],
        ),
    ] = ""


class SymbolChange(Struct, kw_only=True, frozen=True):
    """What became of a symbol."""

    venue: Venue
    symbol: Symbol
    state: Annotated[
        Literal["followed", "waiting", "removed"],
        Meta(description="waiting: it is followed as soon as its venue is connected"),
    ]
    detail: Annotated[str, Meta(description="As a sentence")]
