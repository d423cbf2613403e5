"""What rules are held against: each metric by source, read out of telemetry, exact. Replays are left out."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Final

import numpy as np

from engine.alerts.judge import Reading
from engine.alerts.rules import SECOND_NS, Rule
from engine.market.batches import Rows
from engine.market.instruments import format_decimal
from engine.telemetry.board import BookView, SourceView
from engine.telemetry.histogram import quantiles
from engine.telemetry.hub import Telemetry
from engine.telemetry.latency import StageLatency, merge
from engine.telemetry.ring import Ring

WINDOW_S: Final = 10  # of p99: over the newest ten seconds that had samples
FRESH_S: Final = 15  # a latency older than this is of the past
RATE_S: Final = 60
RATE_NS: Final = RATE_S * SECOND_NS
BUCKETS_READ: Final = 4_096  # of what was there before the first rule asked
FRESHENED_MOST: Final = 6  # histograms merged in one round; the others keep their value till the next
CURRENT: Final = ("live", "resyncing")  # states of a source whose books are of now
REPLAY: Final = "replay"

Readings = Mapping[str, Reading | None]


class Values:
    """Values of one moment, each worked out once however many rules ask. `begin` starts the next moment."""

    def __init__(self, telemetry: Telemetry) -> None:
        self._telemetry = telemetry
        self._now_ns = 0
        self._sources: tuple[SourceView, ...] = ()
        self._clocks: dict[str, int] = {}  # by source: its own time now
        self._budgets: dict[str, str] = {}  # of venues whose calls spend another's budget
        self._found: dict[tuple[str, str, str, str], Readings] = {}
        self._p99: dict[tuple[str, str], _Window] = {}
        self._rates: dict[tuple[str, str], tuple[Ring, int, int, int]] = {}  # -> ring, head, second, count
        self._freshened = 0

    def begin(self, now_ns: int) -> None:
        """Begin the moment `now_ns`, wall clock."""
        board = self._telemetry.board
        self._now_ns = now_ns
        self._freshened = 0
        self._found.clear()
        self._sources = tuple(source for source in board.sources if source.source.run != REPLAY)
        self._clocks = {source.source.key: source.clock(now_ns) for source in self._sources}
        self._budgets = {venue.venue: venue.limits for venue in board.venues if venue.limits}
        for key in [key for key in self._p99 if key not in self._telemetry.stages]:
            del self._p99[key]

    def of(self, rule: Rule) -> Readings:
        """What the rule is judged by, by source; None where a source has no data now."""
        key = (rule.metric, rule.symbol, rule.venue, rule.stage)
        found = self._found.get(key)
        if found is None:
            found = self._found[key] = self._read(rule)
        return found

    def _read(self, rule: Rule) -> Readings:
        if rule.venue:  # every venue's values are worked out once for the rules of any
            asked = Rule(rule.metric, rule.symbol, "", rule.above, rule.threshold, stage=rule.stage)
            venue = self._budgets.get(rule.venue, rule.venue) if rule.metric == "throttled" else rule.venue
            return {key: value for key, value in self.of(asked).items() if key.partition(":")[0] == venue}
        match rule.metric:
            case "p99_ms":
                return self._latencies(rule.stage)
            case "throttled":
                limits = self._telemetry.limits
                return {name: self._rate("throttled", name, ring) for name, ring in list(limits.items())}
            case "gaps":
                counters = self._telemetry.counters
                keys = [source.source.key for source in self._sources if source.source.key in counters]
                return {key: self._rate("gaps", key, counters[key].ring) for key in keys}
            case "stale_s":
                return {source.source.key: self._silence(source) for source in self._sources}
        return {
            source.source.key: self._price(rule.metric, source, rule.symbol)
            for source in self._sources
            if rule.symbol in source.symbols
        }

    def _price(self, metric: str, source: SourceView, symbol: str) -> Reading | None:
        book = self._telemetry.board.books.get((source.source.key, symbol))
        if book is None or book.state != "SYNCED" or source.state not in CURRENT:
            return None
        return price_of(metric, book)

    def _silence(self, source: SourceView) -> Reading | None:
        """Since its newest event; since it was opened, where none has come."""
        if source.state == "ended":
            return None
        newest_ns = source.newest_ns
        silent_ns = (
            self._clocks[source.source.key] - newest_ns if newest_ns else self._now_ns - source.opened_ns
        )
        silent_ns = max(0, silent_ns)
        return Reading(silent_ns, SECOND_NS, f"{silent_ns / 1e9:.1f} s")

    def _latencies(self, stage: str) -> Readings:
        """p99 of one stage; of each source's main one where `stage` is ""."""
        main = {source.source.key: source.stages[0] for source in self._sources if source.stages}
        found: dict[str, Reading | None] = {}
        for (key, name), latency in list(self._telemetry.stages.items()):
            if name != (stage or main.get(key)) or key.endswith(":" + REPLAY):
                continue
            window = self._p99.get((key, name))
            if window is None or window.latency is not latency:
                window = self._p99[key, name] = _Window(latency)
            if self._freshened < FRESHENED_MOST and window.freshen():
                self._freshened += 1
            found[key] = window.reading(self._clocks.get(key, self._now_ns))
        return found

    def _rate(self, column: str, name: str, ring: Ring) -> Reading | None:
        """Counted over the newest minute. The sum is kept while its second lasts."""
        second = self._now_ns // SECOND_NS
        kept = self._rates.get((column, name))
        if kept is None or kept[0] is not ring or kept[1:3] != (ring.head, second):
            rows = ring.last(RATE_S + 1).rows
            recent = rows["ts_ns"] > self._now_ns - RATE_NS - SECOND_NS
            kept = self._rates[column, name] = (ring, ring.head, second, int(rows[column][recent].sum()))
        return Reading(kept[3], 1, f"{kept[3]} per minute") if ring.head else None


class _Window:
    """p99 of one stage over its newest seconds, merged from histograms when a second has closed."""

    def __init__(self, latency: StageLatency) -> None:
        self.latency = latency
        self._head = -1
        self._cursor = max(0, latency.buckets.head - BUCKETS_READ)
        self._parts: deque[Rows] = deque(maxlen=4 * WINDOW_S)
        self._reading: Reading | None = None
        self._newest_ns = 0

    def freshen(self) -> bool:
        """Whether there was something new to merge. Some 30 us then."""
        latency = self.latency
        if latency.seconds.head == self._head:
            return False
        self._head = latency.seconds.head
        seconds = latency.seconds.last(WINDOW_S).rows
        if not len(seconds):
            return False
        self._newest_ns = int(seconds["ts_ns"][-1])
        from_ns = self._newest_ns - (WINDOW_S - 1) * SECOND_NS
        new = latency.buckets.since(self._cursor)
        self._cursor = new.cursor
        self._parts.append(new.rows)
        while self._parts and (not len(self._parts[0]) or int(self._parts[0]["ts_ns"][-1]) < from_ns):
            self._parts.popleft()
        if not self._parts:
            return False
        rows = np.concatenate(list(self._parts))
        rows = rows[rows["ts_ns"] >= from_ns]
        greatest = int(seconds["greatest"][seconds["ts_ns"] >= from_ns].max())
        (p99,) = quantiles(merge(rows), (0.99,), greatest)
        self._reading = Reading(
            p99, 1_000_000, f"{p99 / 1e6:.3g} ms" if p99 < 999_500_000 else f"{p99 / 1e6:.0f} ms"
        )
        return True

    def reading(self, now_ns: int) -> Reading | None:
        """None while the newest sample is of the past, by the source's clock."""
        return self._reading if now_ns - self._newest_ns < FRESH_S * SECOND_NS else None


def price_of(metric: str, book: BookView) -> Reading | None:
    """bid, ask, mid, last or spread_bp of a book; None where a side it needs is empty, or nothing was traded."""
    decimals = book.instrument.price_decimals
    if metric == "last":
        return _price(book.last_price, decimals) if book.last_price > 0 else None
    bid = int(book.bids["price"][0]) if len(book.bids) and metric != "ask" else 0
    ask = int(book.asks["price"][0]) if len(book.asks) and metric != "bid" else 0
    if metric == "bid":
        return _price(bid, decimals) if len(book.bids) else None
    if metric == "ask":
        return _price(ask, decimals) if len(book.asks) else None
    if not len(book.bids) or not len(book.asks):
        return None
    total = bid + ask
    if metric == "mid":
        half = total % 2
        return Reading(
            total, 2 * 10**decimals, format_decimal(total * 5 if half else total // 2, decimals + half)
        )
    top = (ask - bid) * 20_000  # the difference by the mid, in hundredths of a percent
    return Reading(top, total, f"{top / total:.3f} bp") if total > 0 else None


def _price(units: int, decimals: int) -> Reading:
    return Reading(units, 10**decimals, format_decimal(units, decimals))
