"""The board: latest frozen views of what has no history, replaced whole by the engine's thread."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from engine.alerts.views import AlertsView
from engine.market.batches import Rows, Source
from engine.market.instruments import Instrument
from engine.matching.statistics import EngineStatistics
from engine.storage.views import StorageView

if TYPE_CHECKING:
    from engine.matching.log import LogView
    from engine.profiling import ProfileView

SourceState = Literal["loading", "live", "resyncing", "stale", "reconnecting", "ended", "error"]
VenueState = Literal["off", "connecting", "live", "reconnecting"]
StreamState = Literal["connecting", "open", "backing off", "closed"]
LimitState = Literal["within limits", "throttling", "banned"]
EngineState = Literal["compiling", "running", "failed"]


@dataclass(frozen=True, slots=True)
class WholeBook:
    """A book's levels, also those far from its best prices, as they were when a second ended."""

    revision: int  # of the instrument, whose units these are
    sequence: int
    ts_recv_ns: int  # receipt of the newest depth event in it
    bids: Rows  # LEVEL, best first
    asks: Rows


@dataclass(frozen=True, slots=True)
class BookView:
    """One symbol's book and running candle as they were at one moment; never changed once published."""

    instrument: Instrument
    state: str  # EMPTY, BUFFERING, SYNCED, STALE
    sequence: int
    ts_event_ns: int
    ts_recv_ns: int  # receipt of the newest depth event in it, by the source's clock
    bids: Rows  # LEVEL, best first
    asks: Rows
    counts: tuple[int, int]  # levels in the whole book
    candle: Rows | None  # CANDLE, one row: the running second, provisional
    last_price: int  # 0 = no trade yet
    last_trade_ns: int
    outages: tuple[
        tuple[int, int], ...
    ]  # newest 32 stretches without a synced book, (from, to) ns; to 0 = still
    quote: Rows | None = None  # BBO, one row: the venue's own newest best bid and ask
    funding: Rows | None = None  # FUNDING, one row: the newest; of perpetuals
    whole: WholeBook | None = (
        None  # where the book holds more levels than these; None before its first second
    )


@dataclass(frozen=True, slots=True)
class SourceView:
    """One source's condition."""

    source: Source
    label: str
    colour: int | Literal["sim"]
    opened_ns: int  # wall clock: tells one opening of a source from the next
    state: SourceState
    detail: str
    since_ns: int  # wall clock: when `state` began
    newest_ns: int  # receipt of the newest event, by the source's clock; 0 = none yet
    clock: Callable[[int], int]  # wall ns -> the source's ns; safe to call from any thread
    symbols: tuple[str, ...]
    stages: tuple[str, ...]
    books_synced: int
    frames: int
    gaps: int
    resyncs: int
    dropped: int
    malformed: int
    offset_ns: int | None  # estimated clock offset: running minimum of receive minus event
    agreement: tuple[int, int]  # tops of book that agreed with the venue's own, and compared
    unchecked: int  # tops with no quote to compare
    late: int  # trades too late for their candle
    levels_dropped: int  # far levels pushed out of a full book
    recorded: tuple[
        str, ...
    ] = ()  # of a replay: what came out of its records besides its market, `telemetry.past`


@dataclass(frozen=True, slots=True)
class MatchingView:
    """A source's matching engine as it stood between two turns."""

    source: Source
    ts_ns: int  # wall clock
    statistics: EngineStatistics
    resident_bytes: (
        int | None
    )  # of its memory, what is in physical memory; None where the system does not tell
    batch: int  # commands of its newest turn that had some; 0 before the first
    batch_ns: int  # what that turn took: orders made, matched and published


@dataclass(frozen=True, slots=True)
class ReplayView:
    """What is being replayed, and how far it is.

    `state` is opening, seeking, playing, paused, ended or failed ("waiting" before the first frame is due).
    """

    file: str  # its name, or "binance_spot, 2026-11-20 14:00:00 to 14:01:00 UTC"
    speed: str  # "1x", "10x", "100x", "max"
    state: str
    progress: float
    detail: str = ""  # why it failed
    source: str = ""  # its source's key, "binance_spot:replay"; "" before it opened
    recorded: bool = False  # out of the store, so that it can be sought in
    from_ns: int = 0  # of the stretch, by its own clock; as all times here
    to_ns: int = 0
    at_ns: int = 0
    events: int = 0  # played since it began at `from_ns`, or was last sought
    hash: str = ""  # of those events; the same stretch gives the same at any speed


@dataclass(frozen=True, slots=True)
class EngineView:
    """The engine's own state, the same for every browser."""

    state: EngineState = "compiling"
    detail: str = ""
    kernels_done: int = 0
    kernels_total: int = 0
    kernels_seconds: float = 0.0
    kernels_directory: str = ""
    rate: int = 0
    rate_actual: float = 0.0
    skipped: int = 0
    replay: ReplayView | None = None


@dataclass(frozen=True, slots=True)
class TaskView:
    """A supervised task: `restarts` after failures, `error` the last one's sentence."""

    name: str
    state: Literal["running", "backing off", "ended", "failed"]
    restarts: int
    error: str
    since_ns: int


@dataclass(frozen=True, slots=True)
class ProcessView:
    """This process over the last second."""

    cpu_pct: float  # of one core
    rss_bytes: int
    threads: int


@dataclass(frozen=True, slots=True)
class QueueView:
    """A bounded queue's fill."""

    name: str
    depth: int
    peak: int
    capacity: int
    dropped: int


@dataclass(frozen=True, slots=True)
class StreamView:
    """One WebSocket connection to a venue. Counts are since the venue was connected; times wall clock, 0 = none."""

    name: str  # "public 1"
    state: StreamState
    since_ns: int  # when `state` began
    newest_ns: int  # receipt of its newest market data
    subscriptions: int
    frames: int
    frames_per_s: float  # over the last whole second
    size_bytes: int
    dropped: int  # frames given up unread
    reconnects: int  # after failures
    rotations: int  # planned, before the venue's own cut
    stalls: int  # connections given up because data that should move did not
    next_try_ns: int
    reason: str  # of the last end


@dataclass(frozen=True, slots=True)
class LiveSymbolView:
    """One symbol of a connected venue."""

    symbol: str
    native: str
    state: str  # the book's: EMPTY, BUFFERING, SYNCED, STALE
    waiting: bool  # in the snapshot queue


@dataclass(frozen=True, slots=True)
class PollView:
    """One endpoint that is fetched at an interval. Times wall clock, 0 = none."""

    endpoint: str  # "funding": what is polled, in our words
    call: str  # "GET /fapi/v1/premiumIndex"
    interval_s: int  # 0 = not polled
    last_ns: int  # last good answer
    next_ns: int
    error: str  # of the last try; "" = it was good
    done: int
    failed: int


@dataclass(frozen=True, slots=True)
class VenueView:
    """One live market of a venue, connected or not."""

    venue: str  # "binance_spot"; connected, its source is `binance_spot:live`
    label: str
    state: VenueState
    detail: str  # why it is not live
    since_ns: int  # when `state` began; wall clock, as all times
    next_try_ns: int  # 0 = none planned
    offset_ns: int | None  # the venue's clock less ours, by its time endpoint
    round_trip_ns: int | None  # of the newest of those calls
    symbols: tuple[LiveSymbolView, ...]
    listed: tuple[str, ...]  # universal symbols that can be added, sorted; () until the venue's list is known
    streams: tuple[StreamView, ...]
    polls: tuple[PollView, ...]
    snapshots_waiting: int
    snapshots_done: int
    snapshots_failed: int
    limits: str = ""  # the budget its calls spend, as `LimitsView.venue` names it; "" = one of its own name


@dataclass(frozen=True, slots=True)
class WindowView:
    """One window of a limit: what was spent in it, by the greater of our count and the venue's."""

    name: str  # "Weight, 1 min"
    scope: str  # "ip", "account", "order", "connect"
    window_ns: int
    limit: int
    used: int
    reserved: int  # by calls that wait
    foreign: int  # of `used`, spent by others on this address
    resets_ns: int  # wall clock: when all that is used now is free again; 0 = nothing used
    note: str  # "header agrees", "header says 3,310"; "" = the venue says nothing


@dataclass(frozen=True, slots=True)
class EndpointView:
    """One REST endpoint as it was called since the start. Latencies are from sending to the whole answer."""

    endpoint: str  # "GET /api/v3/depth"
    weight: int  # of the newest call
    calls: int
    throttled: int  # of those, held back before they were sent
    waiting: int  # now
    mean_ns: int
    p99_ns: int
    max_ns: int
    refused: int  # answers that say too many: 429, 418, 403, 10006
    last_status: int  # HTTP status of the newest answer; 0 = none came


@dataclass(frozen=True, slots=True)
class LimitsView:
    """One venue's budgets: everything its REST calls and connects have to fit."""

    venue: str  # "binance_spot", "bybit"
    label: str
    state: LimitState
    banned_until_ns: int  # wall clock; 0 = not banned
    ban_reason: str  # "418 from GET /api/v3/depth"
    windows: tuple[WindowView, ...]
    endpoints: tuple[EndpointView, ...]
    allowed: int  # calls sent since the start
    throttled: int  # of those, held back first
    waiting: int  # now
    wait_mean_ns: int  # of the throttled
    wait_max_ns: int
    refused_429: int
    refused_418: int
    refused_403: int


@dataclass(frozen=True, slots=True)
class ClientView:
    """One client of the built-in exchange: a socket that takes orders, tells private events or streams market data."""

    id: str
    dialect: str  # "native", "binance", "bybit"
    use: str  # "orders", "market data"
    address: str
    account: str  # its name; "" while unknown
    since_ns: int  # wall clock, as all times here
    messages: int  # from the client, since it came
    messages_per_s: float  # over the last whole second
    orders: int  # placed and canceled, since it came
    in_flight: int  # not answered yet
    queue_bytes: int  # that wait to be sent
    sent_bytes: int
    conflated: int  # market data messages replaced by newer ones
    rejects: tuple[tuple[str, int], ...]  # by the dialect's own code, most first


@dataclass(frozen=True, slots=True)
class OrderView:
    """One order as text, in the symbol's own decimals."""

    order_id: int
    client_id: str
    symbol: str
    side: str  # "buy", "sell"
    kind: str  # "limit", "market", "stop", ...
    price: str  # "" where it has none
    trigger: str
    size: str
    filled: str
    average: str  # price of what is filled; "" when nothing is
    status: str
    reason: str  # why it ended or was refused, as a sentence; "" = nothing to say
    dialect: str
    created_ns: int
    updated_ns: int


@dataclass(frozen=True, slots=True)
class FillView:
    """One trade of an account as text."""

    trade_id: int
    order_id: int
    symbol: str
    side: str
    price: str
    size: str
    fee: str
    fee_asset: str
    maker: bool
    ts_ns: int


@dataclass(frozen=True, slots=True)
class BalanceView:
    """What an account holds of one asset, as text with 8 decimals."""

    asset: str
    free: str
    reserved: str


@dataclass(frozen=True, slots=True)
class AccountView:
    """One account of the built-in exchange: open orders, ended ones and trades, the newest 50 of each first."""

    name: str
    number: int
    open: tuple[OrderView, ...]
    open_count: int
    ended: tuple[OrderView, ...]
    fills: tuple[FillView, ...]
    balances: tuple[BalanceView, ...]


@dataclass(frozen=True, slots=True)
class KeyView:
    """One API key, without its secret."""

    api_key: str
    account: str
    label: str
    trade: bool
    created_ns: int
    used_ns: int  # 0 = not since the start


@dataclass(frozen=True, slots=True)
class FaultView:
    """One fault that is ordered."""

    id: int
    kind: str
    where: str  # "binance_spot BTC-USDT", "everywhere"
    rate: float  # share of occasions
    done: int
    left: int  # -1: no limit
    ends_ns: int  # wall clock; 0: no limit


@dataclass(frozen=True, slots=True)
class ExchangeView:
    """The built-in exchange as its clients see it. Counts are since the start, rates over the last whole second."""

    state: Literal["off", "starting", "serving", "failed"] = "off"
    detail: str = ""  # why it is not serving, or not at the port of orders
    url: str = ""  # "http://127.0.0.1:8051"
    order_url: str = ""  # "ws://127.0.0.1:8053": the same order sockets, faster; "" = not served
    clients: tuple[ClientView, ...] = ()  # the first 200
    client_count: int = 0
    orders: int = 0  # commands of clients: placed, changed, canceled
    rejects: tuple[tuple[str, int], ...] = ()  # "binance -2010" and how often, most first
    rejected: int = 0
    fills: int = 0  # of clients
    trades: int = 0  # of the whole exchange
    orders_per_s: float = 0.0
    acks_per_s: float = 0.0
    fills_per_s: float = 0.0
    cut_slow: int = 0  # clients disconnected because they did not read
    refused: int = 0  # connections refused: too many
    waiting: int = 0  # commands
    symbols: tuple[tuple[str, str], ...] = ()  # with their phase: "trading", "auction", "halted", "closed"
    accounts: tuple[AccountView, ...] = ()
    keys: tuple[KeyView, ...] = ()
    faults: tuple[FaultView, ...] = ()
    faults_done: tuple[tuple[str, int], ...] = ()


@dataclass(slots=True)
class Board:
    """Latest views. One writer (the engine's thread); each attribute is replaced, never edited, so reading
    one gives a consistent picture without a lock. `books` gains keys but each value is replaced whole.
    """

    engine: EngineView = field(default_factory=EngineView)
    sources: tuple[SourceView, ...] = ()
    books: dict[tuple[str, str], BookView] = field(default_factory=dict)
    matching: MatchingView | None = None
    tasks: tuple[TaskView, ...] = ()
    queues: tuple[QueueView, ...] = ()
    command_log: LogView | None = None  # of the built-in exchange; None when it is off
    process: ProcessView | None = None
    venues: tuple[VenueView, ...] = ()  # every live market there is, connected or not
    limits: tuple[LimitsView, ...] = ()
    exchange: ExchangeView = field(default_factory=ExchangeView)
    storage: StorageView = field(default_factory=StorageView)
    alerts: AlertsView = field(default_factory=AlertsView)
    profile: ProfileView | None = None  # the engine thread's, of the newest profile, also while it runs
    closed_second_ns: int = 0  # wall clock: seconds that begin before this are complete in every counter ring
