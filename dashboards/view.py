"""A frozen view: what one page looked at, at one moment, so that an export can show exactly the same.

Rings only grow, so a view is cheap: the cursors of that moment and references to views on the board that
are never changed. The book of that moment lives as long as the view does.

A page whose primary source is a replay out of the store looks at the past. What is counted there (rates, tiles, events,
stages) is of that source alone, by its own clock; on all other pages that source is left out of what is counted, since
its seconds are of another time.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from threading import Lock
from typing import Any, Final

from engine.alerts.views import AlertsView
from engine.errors import BadCommand
from engine.market.batches import Rows
from engine.market.studies import Study, parse_all
from engine.telemetry.board import BookView, EngineView, LimitsView, SourceView, VenueView
from engine.telemetry.events import EventLog
from engine.telemetry.hub import MarketRings, Telemetry
from engine.telemetry.latency import StageLatency
from engine.telemetry.ring import Ring, Slice

WINDOWS_S: Final = (60, 300, 900, 3_600, 14_400)  # the last is as far back as is kept
INTERVALS_S: Final = (1, 5, 60, 300, 900, 3_600)
# Some 60 candles: wide enough to tell hollow from filled on every page.
AUTO_INTERVAL_S: Final = {60: 1, 300: 5, 900: 15, 3_600: 60, 14_400: 300}
SPANS: Final = {"0.1": 0.001, "0.5": 0.005, "1": 0.01, "5": 0.05}  # of the depth chart, %
GROUPS: Final = {"1": 1, "10": 10, "100": 100}  # ticks that are joined
ROWS_TICKS_MOST: Final = 10**7
VIEWS_A_PAGE: Final = 16
PAGES: Final = 32
CLIENT_MAX: Final = 32
SLO_MAX_US: Final = 1e9
NS_A_SECOND: Final = 1_000_000_000
FOREVER_NS: Final = 2**63 - 1
COMPARING: Final = frozenset(
    ("prices", "mids", "indexed")
)  # streams that look at more than the primary source


@dataclass(frozen=True, slots=True)
class Params:
    """A page's parameters after checking; anything unknown has become its default."""

    client: str = ""
    symbol: str = ""
    hidden: frozenset[str] = frozenset()
    source: str = ""
    window_s: int = 300
    interval_s: int = 1
    stage: str = "receive"
    budget: str = ""
    amount: str = ""
    span: float = 0.0  # share of the mid that the depth chart reaches; 0: as far as it has levels
    group: int = 1  # ticks that a level of depth and ladder joins
    rows: int = 0  # ticks that a row of the liquidity heatmap is asked to be; 0: by what there is
    studies: tuple[Study, ...] = ()
    slo_ns: int = 0  # latency threshold; 0 is none
    streams: tuple[str, ...] = ()

    @classmethod
    def of(cls, raw: dict[str, Any], known_streams: Sequence[str]) -> Params:
        """Checked parameters of what a browser sent; never raises for a bad value, which a URL may hold."""
        window_s = one_of(raw.get("window"), WINDOWS_S, 300)
        interval_s = one_of(raw.get("interval"), INTERVALS_S, AUTO_INTERVAL_S[window_s])
        hidden, streams = raw.get("hidden"), raw.get("streams")
        studies = raw.get("studies")
        return cls(
            client=str(raw.get("client", ""))[:CLIENT_MAX],
            symbol=str(raw.get("symbol") or "")[:40],
            hidden=frozenset(str(item)[:80] for item in hidden[:64])
            if isinstance(hidden, list)
            else frozenset(),
            source=str(raw.get("source") or "")[:80],
            window_s=window_s,
            interval_s=interval_s,
            stage=str(raw.get("stage") or "receive")[:20],
            budget=str(raw.get("budget") or "")[:40],
            amount=str(raw.get("amount") or "")[:20],
            span=SPANS.get(str(raw.get("span") or ""), 0.0),
            group=GROUPS.get(str(raw.get("group") or ""), 1),
            rows=ticks(raw.get("rows")),
            studies=parse_all([str(item)[:12] for item in studies[:16]]) if isinstance(studies, list) else (),
            slo_ns=threshold_ns(raw.get("slo")),
            streams=tuple(name for name in known_streams if name in streams)
            if isinstance(streams, list)
            else (),
        )


def one_of(given: object, known: Sequence[int], otherwise: int) -> int:
    """`given` where it is one of the whole numbers `known`: neither true nor 1.0 is 1."""
    return given if type(given) is int and given in known else otherwise


def threshold_ns(given: object) -> int:
    """A latency threshold in ns of microseconds as text or number; 0 for none, and for what is not one."""
    try:
        us = float(given) if isinstance(given, str | int | float) else 0.0
    except (ValueError, OverflowError):  # the second: a whole number past what a float holds
        return 0
    return round(us * 1_000) if 0.001 <= us <= SLO_MAX_US else 0


def ticks(given: object) -> int:
    """A number of ticks given as text, 1 to 10,000,000; 0 for what is none."""
    text = given if isinstance(given, str) and given.isascii() and given.isdigit() else ""
    return int(text) if 0 < len(text) <= 8 and int(text) <= ROWS_TICKS_MOST else 0


@dataclass(frozen=True, slots=True)
class Quoted:
    """One shown source's book of the symbol looked at, or of another form of the same base and quote."""

    source: SourceView
    symbol: str
    book: BookView
    market: MarketRings | None


@dataclass(frozen=True, slots=True)
class View:
    """What one poll saw. Ring reads go through it, so that they end where they ended then."""

    number: int
    epoch: str
    params: Params
    wall_ns: int
    now_ns: int  # the primary source's clock at that moment
    closed_ns: int  # wall-clock seconds before this are complete in every counter ring
    past: bool  # whether the primary source is of the past
    counted: tuple[SourceView, ...]  # of those shown, the ones whose rates, gaps and books are added up
    counted_ns: int  # now by the clock of what is counted: the wall's, in the past the source's
    counted_closed_ns: int  # seconds before this are complete in `counters`
    engine: EngineView
    sources: tuple[SourceView, ...]
    shown: tuple[SourceView, ...]
    source: SourceView | None
    symbol: str
    book: BookView | None
    market: MarketRings | None
    quotes: tuple[Quoted, ...]  # of the streams that compare venues, where it asked for one
    venues: tuple[VenueView, ...]
    limits: tuple[LimitsView, ...]
    limit_rings: dict[str, Ring]
    stages: dict[str, StageLatency]
    counters: dict[str, Ring]  # COUNT rows of what is counted
    clients: Ring | None  # seconds of the built-in exchange's clients, while it is shown and serves
    heads: dict[str, int]
    events: EventLog  # of now, or what was said in that past
    events_head: int
    alerts: AlertsView
    tables: dict[str, dict[str, Any]]  # of the streams that are tables of one moment, where it asked for them

    def since(self, ring: Ring, cursor: int, until: int | None = None) -> Slice:
        """Rows of `ring` from `cursor` to where it stood in this view, or to the cursor `until` if that is earlier."""
        end = self.heads.get(ring.name, 0)
        return ring.since(cursor, end if until is None else min(until, end))

    def last(self, ring: Ring, count: int) -> Rows:
        """The newest `count` rows of `ring` as it stood in this view."""
        return ring.last(count, self.heads.get(ring.name, 0)).rows

    def kept_ns(self, ring: Ring, column: str = "ts_ns") -> int:
        """Time of the oldest row that is left of those that `ring` held in this view; 0 while all of them are. To be
        asked once they are read: what is overwritten meanwhile then counts as gone.
        """
        end = self.heads.get(ring.name, 0)
        oldest = ring.head - ring.capacity
        if oldest <= max(0, end - ring.capacity):
            return 0
        rows = ring.since(oldest, min(oldest + 1, end)).rows[column]
        return int(rows[0]) if len(rows) else FOREVER_NS

    def place(self, ring: Ring, at_ns: int, column: str = "ts_open_ns") -> int:
        """Cursor of the first row of `ring` at `at_ns` or later, where it stood in this view; behind its last row where
        none is. Rows are in the order of their times. Cost: reads one row for each halving of as many seconds.
        """
        end = self.heads.get(ring.name, 0)
        oldest = min(end, max(0, ring.head - ring.capacity))

        def older(cursor: int) -> bool:
            row = ring.since(cursor, cursor + 1).rows
            return not len(row) or bool(
                row[column][0] < at_ns
            )  # overwritten meanwhile: older than all there are

        if end == oldest or older(end - 1):
            return end
        # Rows are a second apart or more, so that the first of them is mostly not further away than this.
        newest_ns = int(ring.since(end - 1, end).rows[column].max(initial=at_ns))
        far = (newest_ns - at_ns) // NS_A_SECOND + 2
        low, high = max(oldest, end - far), end - 1
        while low > oldest and not older(low):
            low, high, far = max(oldest, low - 2 * far), low, 2 * far
        while low < high:
            middle = (low + high) // 2
            low, high = (middle + 1, high) if older(middle) else (low, middle)
        return low

    @property
    def start_ns(self) -> int:
        """Start of the window by the primary source's clock, aligned to the second."""
        return start_of(self.now_ns, self.params.window_s)

    @property
    def wall_start_ns(self) -> int:
        """Start of the window by the wall clock, aligned to the second."""
        return start_of(self.wall_ns, self.params.window_s)

    @property
    def counted_start_ns(self) -> int:
        """Start of the window by the clock of what is counted, aligned to the second."""
        return start_of(self.counted_ns, self.params.window_s)

    @property
    def stage(self) -> StageLatency | None:
        """The latency stage asked for; where there is no such stage, the source's main one."""
        return self.stages.get(self.params.stage) or self.main_stage

    @property
    def main_stage(self) -> StageLatency | None:
        """The primary source's main stage, None while it has no samples."""
        return self.stages.get(self.source.stages[0]) if self.source is not None else None


def start_of(now_ns: int, window_s: int) -> int:
    """Start of a window that ends now, aligned to the second, ns."""
    return now_ns - now_ns % NS_A_SECOND - window_s * NS_A_SECOND


def pick(
    sources: Sequence[SourceView], params: Params, recorded: str = ""
) -> tuple[tuple[SourceView, ...], SourceView | None, str]:
    """(shown sources, the primary one, its symbol) for a page's parameters.

    The primary is the one asked for if it is shown; else, of those that have the symbol, or of all when none
    has, the first shown that is not simulated, else the first shown. The replay out of the store, `recorded`, comes
    after all that is live: a past that one browser opens is not at once everybody's. A symbol the primary does not
    have becomes its first of the same base, or its first.
    """
    shown = tuple(s for s in sources if s.source.key not in params.hidden)
    asked = next((s for s in shown if s.source.key == params.source), None)
    having = [s for s in shown if params.symbol in s.symbols] or shown
    ranked = sorted(having, key=lambda s: (s.source.run == "sim", s.source.key == recorded))
    primary = asked or next(iter(ranked), None)
    if primary is None or not primary.symbols:
        return shown, primary, ""
    if params.symbol in primary.symbols:
        return shown, primary, params.symbol
    base = params.symbol.split("-")[0]
    same = (symbol for symbol in primary.symbols if symbol.split("-")[0] == base)
    return shown, primary, next(same, primary.symbols[0])


def quoted(telemetry: Telemetry, shown: Sequence[SourceView], symbol: str) -> tuple[Quoted, ...]:
    """Books of `symbol` at every shown source, then those of other forms of the same base and quote
    (`BTC-USDT-PERP` beside `BTC-USDT`); each in the order of the sources.
    """
    pair = symbol.split("-")[:2]
    same: list[Quoted] = []
    others: list[Quoted] = []
    for source in shown:
        for name in source.symbols:
            book = telemetry.board.books.get((source.source.key, name))
            if book is None or name.split("-")[:2] != pair:
                continue
            market = telemetry.markets.get((source.source.key, name))
            (same if name == symbol else others).append(Quoted(source, name, book, market))
    return (*same, *others)


def look(
    telemetry: Telemetry,
    params: Params,
    number: int,
    wall_ns: int,
    tables: dict[str, dict[str, Any]],
) -> View:
    """Freeze what `params` asks for, as it stands now. Cost: a few dozen reads, no copies."""
    board = telemetry.board
    closed_ns = board.closed_second_ns  # read before the heads: rows it promises are in them
    replay = board.engine.replay
    recorded = replay.source if replay is not None and replay.recorded else ""
    shown, primary, symbol = pick(board.sources, params, recorded)
    key = primary.source.key if primary else ""
    market = telemetry.markets.get((key, symbol))
    now_ns = primary.clock(wall_ns) if primary else wall_ns
    past = telemetry.pasts.get(key) if key and key == recorded else None
    then_closed_ns = past.closed_ns if past is not None else 0  # read before the heads, as above
    then_closed_ns = then_closed_ns or now_ns - now_ns % NS_A_SECOND
    counted = tuple(s for s in shown if (s.source.key == key if past else s.source.key != recorded))
    stages = {
        name: found
        for name in (primary.stages if primary else ())
        if (found := telemetry.stages.get((key, name))) is not None
    }
    for name in PAGE_STAGES if past is None else ():
        if (found := telemetry.stages.get((PAGE_SOURCE, name))) is not None:
            stages[name] = found
    counters = {
        s.source.key: c.ring for s in counted if (c := telemetry.counters.get(s.source.key)) is not None
    }
    if past is not None:
        counters = {key: past.counts}
    served = board.exchange.state == "serving" and any(s.source.run == "sim" for s in counted)
    clients = telemetry.exchange if served else None  # made by the engine by then
    comparing = symbol and COMPARING & set(params.streams)
    quotes = quoted(telemetry, shown, symbol) if comparing else ()
    limit_rings = dict(telemetry.limits)
    events = past.events if past is not None else telemetry.events
    rings = [
        *(market or ()),
        *(ring for s in stages.values() for ring in s.rings),
        *counters.values(),
        *limit_rings.values(),
        *((clients,) if clients is not None else ()),
        *(ring for quote in quotes if quote.market is not None for ring in quote.market),
    ]
    return View(
        number=number,
        epoch=telemetry.epoch,
        params=params,
        wall_ns=wall_ns,
        now_ns=now_ns,
        closed_ns=closed_ns,
        past=past is not None,
        counted=counted,
        counted_ns=now_ns if past is not None else wall_ns,
        counted_closed_ns=then_closed_ns if past is not None else closed_ns,
        engine=board.engine,
        sources=board.sources,
        shown=shown,
        source=primary,
        symbol=symbol,
        book=board.books.get((key, symbol)),
        market=market,
        quotes=quotes,
        venues=board.venues,
        limits=board.limits,
        limit_rings=limit_rings,
        stages=stages,
        counters=counters,
        clients=clients,
        heads={ring.name: ring.head for ring in rings},
        events=events,
        events_head=events.written,
        alerts=board.alerts,
        tables=tables,
    )


PAGE_SOURCE: Final = "page"
PAGE_STAGES: Final = ("poll", "draw", "total")


class Views:
    """The last 16 views of each of the last 32 pages: bounded, and safe from any thread."""

    def __init__(self) -> None:
        self._pages: OrderedDict[str, OrderedDict[int, View]] = OrderedDict()
        self._lock = Lock()
        self._number = 0

    def next_number(self) -> int:
        """A number no other view of this process has."""
        with self._lock:
            self._number += 1
            return self._number

    def keep(self, view: View) -> None:
        """Remember a view for its page; the page's oldest goes, and the page that asked longest ago."""
        with self._lock:
            page = self._pages.setdefault(view.params.client, OrderedDict())
            self._pages.move_to_end(view.params.client)
            page[view.number] = view
            while len(page) > VIEWS_A_PAGE:
                page.popitem(last=False)
            while len(self._pages) > PAGES:
                self._pages.popitem(last=False)

    def find(self, client: str, number: int) -> View:
        """The view of that number; BadCommand when it is gone."""
        with self._lock:
            view = self._pages.get(client, OrderedDict()).get(number)
        if view is None:
            raise BadCommand("that view is no longer kept; let the page refresh once and export again")
        return view
