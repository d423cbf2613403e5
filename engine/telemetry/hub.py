"""Everything pages read, in one place, within one memory budget."""

from __future__ import annotations

import secrets
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np

from engine.market.batches import CANDLE, TRADE, Rows
from engine.telemetry.board import Board
from engine.telemetry.book_frames import BookFrames
from engine.telemetry.counters import LONGEST_S, SECONDS_KEPT, SourceCounters
from engine.telemetry.events import EventLog
from engine.telemetry.latency import StageLatency
from engine.telemetry.past import Past
from engine.telemetry.ring import Ring

METRIC: Final = np.dtype(
    [
        ("ts_ns", np.int64),  # start of the second, by the source's clock; values as at its end
        ("bid_price", np.int64),
        ("bid_size", np.int64),
        ("ask_price", np.int64),
        ("ask_size", np.int64),
        ("imbalance_ppm", np.int64),  # over the top 10 levels, -1,000,000 (asks only) .. 1,000,000
    ]
)
LIMIT: Final = np.dtype(
    [
        ("ts_ns", np.int64),  # start of the second, wall clock
        ("allowed", np.int64),  # calls sent in it
        ("throttled", np.int64),  # of those, held back first
        ("waiting", np.int64),  # calls in the queue at its end
        ("refused", np.int64),  # answers that say too many
    ]
)
EXCHANGE: Final = np.dtype(
    [
        ("ts_ns", np.int64),  # start of the second, wall clock
        ("orders", np.int64),  # commands of the built-in exchange's clients in it
        ("acks", np.int64),  # of commands, answered with good news
        ("rejects", np.int64),
        ("fills", np.int64),
        ("messages", np.int64),  # from clients
        ("clients", np.int64),  # connected at its end
    ]
)
IMBALANCE_LEVELS: Final = 10
# More than the window of four hours: an average of 200 candles of a second, or an EMA of 20, is right from the window's
# first one on, and a page that is paused exports all it shows, as long as that is for up to two minutes.
CANDLES_KEPT: Final = LONGEST_S + 340 + 120
# What full tables take, 863 MB, and a little: 140 markets of 3.56 MB, 96 stages of 3.11 MB, 20 sources of 2.3 MB, 32
# budgets of 0.59 MB. A laptop of 8 GB has it. Rows that were never written are not taken from the system: two symbols
# of each of six markets come to some 100 MB after four hours.
BUDGET_BYTES: Final = 832 * 2**20
MARKETS: Final = 140  # a hundred symbols of one venue, and what else is open
SOURCES: Final = 20
LIMITS: Final = 32  # budgets of REST calls: as many as a limits file may name
BAD_FRAMES_KEPT: Final = 100
BAD_FRAME_MAX_BYTES: Final = 2_000
STAGES: Final = 96  # more than the sources there may be can have: none is refused while a second is closed
MINUTES_KEPT: Final = 1_500  # a day and an hour
MINUTE_NS: Final = 60_000_000_000


@dataclass(frozen=True, slots=True)
class BadFrameRow:
    """A malformed frame, kept for inspection."""

    ts_ns: int
    source: str
    field: str
    frame: bytes


class MarketRings:
    """Rings of one symbol of one source."""

    def __init__(self, source: str, symbol: str) -> None:
        self.trades = Ring(f"trades {source} {symbol}", TRADE, 16_384)
        self.minutes = Ring(f"minutes {source} {symbol}", CANDLE, MINUTES_KEPT)  # the venue's own, closed
        self.candles = Ring(f"candles {source} {symbol}", CANDLE, CANDLES_KEPT)  # closed seconds only
        self.metrics = Ring(f"metrics {source} {symbol}", METRIC, SECONDS_KEPT)
        self.frames = BookFrames(source, symbol)

    def add_minutes(self, rows: Rows, now_ns: int) -> None:
        """Take the venue's one-minute CANDLE rows, oldest first: those that are over at `now_ns` are kept, once.

        A history may come behind what was published before: then the ring begins anew with both.
        """
        closed = rows[rows["ts_open_ns"] + MINUTE_NS <= now_ns]
        if not len(closed):
            return
        held = self.minutes.last(self.minutes.capacity).rows
        if not len(held) or closed["ts_open_ns"][0] > held["ts_open_ns"][-1]:
            self.minutes.publish(closed)
            return
        both = np.concatenate((closed, held))
        _, first = np.unique(both["ts_open_ns"], return_index=True)  # sorted; the new row where both have one
        if np.array_equal(both[first], held):
            return
        renewed = Ring(self.minutes.name, CANDLE, MINUTES_KEPT)
        renewed.publish(both[first])
        self.minutes = renewed

    def __iter__(self) -> Iterator[Ring]:
        return iter((self.trades, self.candles, self.metrics, self.minutes, *self.frames))


class TelemetryFull(MemoryError):
    """A table (of markets, stages, sources, budgets) is full, or a ring would exceed the memory budget."""


class Telemetry:
    """Rings, histograms, counters, the event log and the board. Written by the engine's thread alone."""

    def __init__(self, started_ns: int) -> None:
        self.epoch = secrets.token_hex(6)
        self.started_ns = started_ns
        self.board = Board()
        self.events = EventLog()
        self.bad_frames: deque[BadFrameRow] = deque(maxlen=BAD_FRAMES_KEPT)
        self.markets: dict[tuple[str, str], MarketRings] = {}
        self.stages: dict[tuple[str, str], StageLatency] = {}
        self.counters: dict[str, SourceCounters] = {}
        self.pasts: dict[str, Past] = {}  # of replayed sources, by their own clocks
        self._exchange: Ring | None = None
        self.limits: dict[str, Ring] = {}  # LIMIT rows by venue, as `Board.limits` names them
        self.bytes_held = 0

    def limit(self, venue: str) -> Ring:
        """The limit counters of a venue, made at first use; TelemetryFull past 32 of them."""
        found = self.limits.get(venue)
        if found is None:
            self._check(len(self.limits) < LIMITS, f"more than {LIMITS} budgets of calls")
            found = Ring(f"limits {venue}", LIMIT, SECONDS_KEPT)
            self._admit(found.nbytes)
            self.limits[venue] = found
        return found

    @property
    def exchange(self) -> Ring:
        """EXCHANGE rows of the built-in exchange's clients, made at first use."""
        if self._exchange is None:
            ring = Ring("exchange clients", EXCHANGE, SECONDS_KEPT)
            self._admit(ring.nbytes)
            self._exchange = ring
        return self._exchange

    def market(self, source: str, symbol: str) -> MarketRings:
        """The rings of a symbol, made at first use; TelemetryFull past 140 markets."""
        found = self.markets.get((source, symbol))
        if found is None:
            self._check(len(self.markets) < MARKETS, f"more than {MARKETS} markets")
            found = MarketRings(source, symbol)
            self._admit(sum(ring.nbytes for ring in found))
            self.markets[source, symbol] = found
        return found

    def renew_market(self, source: str, symbol: str) -> None:
        """Forget the rows of a symbol whose units changed."""
        found = self.markets.pop((source, symbol), None)
        if found is not None:
            self.bytes_held -= sum(ring.nbytes for ring in found)

    def forget_market(self, source: str, symbol: str) -> None:
        """Drop a symbol's rings and its book; readers hold their copies."""
        self.renew_market(source, symbol)
        self.board.books.pop((source, symbol), None)

    def stage(self, source: str, stage: str) -> StageLatency:
        """The latency rings of one stage of a source, made at first use; TelemetryFull past 96 stages."""
        found = self.stages.get((source, stage))
        if found is None:
            self._check(len(self.stages) < STAGES, f"more than {STAGES} stages")
            found = StageLatency(source, stage)
            self._admit(sum(ring.nbytes for ring in found.rings))
            self.stages[source, stage] = found
        return found

    def counter(self, source: str) -> SourceCounters:
        """The counters of a source, made at first use; TelemetryFull past 20 sources."""
        found = self.counters.get(source)
        if found is None:
            self._check(len(self.counters) < SOURCES, f"more than {SOURCES} sources")
            found = SourceCounters(source)
            self._admit(found.ring.nbytes)
            self.counters[source] = found
        return found

    def past(self, source: str) -> Past:
        """What is shown of a replayed source by its own clock, made at first use; TelemetryFull past 20 sources."""
        found = self.pasts.get(source)
        if found is None:
            self._check(len(self.pasts) < SOURCES, f"more than {SOURCES} sources")
            found = Past(source)
            self._admit(found.counts.nbytes)
            self.pasts[source] = found
        return found

    def renew_stages(self, source: str) -> None:
        """Forget the latencies of a source."""
        for key in [key for key in self.stages if key[0] == source]:
            self.bytes_held -= sum(ring.nbytes for ring in self.stages.pop(key).rings)

    def forget(self, source: str) -> None:
        """Drop every ring of a source, giving its memory back; readers hold their copies."""
        for key in [key for key in self.markets if key[0] == source]:
            self.bytes_held -= sum(ring.nbytes for ring in self.markets.pop(key))
        self.renew_stages(source)
        if source in self.counters:
            self.bytes_held -= self.counters.pop(source).ring.nbytes
        if source in self.pasts:
            self.bytes_held -= self.pasts.pop(source).counts.nbytes
        for key in [key for key in self.board.books if key[0] == source]:
            del self.board.books[key]
        if self.board.matching is not None and self.board.matching.source.key == source:
            self.board.matching = None

    def rings(self) -> list[Ring]:
        """Every ring there is, in order of creation by kind."""
        found = [ring for market in list(self.markets.values()) for ring in market]
        found += [ring for stage in list(self.stages.values()) for ring in stage.rings]
        found += [counter.ring for counter in list(self.counters.values())]
        found += [past.counts for past in list(self.pasts.values())]
        found += [self._exchange] if self._exchange is not None else []
        return found + list(self.limits.values())

    def _admit(self, size_bytes: int) -> None:
        self._check(
            self.bytes_held + size_bytes <= BUDGET_BYTES, f"more than {BUDGET_BYTES:,} bytes of rings"
        )
        self.bytes_held += size_bytes

    @staticmethod
    def _check(allowed: bool, what: str) -> None:
        if not allowed:
            raise TelemetryFull(f"telemetry would hold {what}")
