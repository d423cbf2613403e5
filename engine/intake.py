"""Where every source's data meets the same code: books, candles, latency, counters, rings and the board.

Live, recorded and simulated sources deliver batches here (`engine.market.sink.Sink`), on the engine's loop.
Batches change state at once; what pages see of a book is frozen at most 20 times a second, by `publish`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Final, Literal

import numpy as np
import numpy.typing as npt

from engine.desks import (
    ENDINGS,
    SECOND_NS,
    TURN_STAGES,
    Desk,
    MarketDesk,
    book_view,
    condition_of,
    hold_sample,
    hold_whole,
    level_of,
    metric_row,
    named,
    source_view,
    stages_of,
    tallies,
    watch_silence,
)
from engine.errors import BadFrame
from engine.market.batches import Batch, Kind, Rows, Source
from engine.market.instruments import Instrument
from engine.market.sequencing import BookState, Outcome, Rule
from engine.market.state import SymbolState
from engine.market.tap import Tap
from engine.matching.statistics import EngineStatistics
from engine.storage.names import RecordKind
from engine.storage.records import Block
from engine.storage.telemetry_records import KINDS, count_rows, event_rows, latency_rows
from engine.telemetry.board import BookView, MatchingView
from engine.telemetry.book_frames import LEVELS
from engine.telemetry.events import Level
from engine.telemetry.hub import (
    BAD_FRAME_MAX_BYTES,
    MINUTE_NS,
    BadFrameRow,
    Telemetry,
)
from engine.telemetry.past import EVENTS, LATENCY, Past

Nanos = int

CANDLE_GRACE_NS: Final = SECOND_NS  # a trade may arrive this long after its second ended by our clock
SECONDS_CAUGHT_UP: Final = 60
SAMPLES_HELD: Final = 4_096
# Of the charts' venue colours; these markets keep their own, whatever else is open.
COLOURS: Final = {
    "binance_spot": 1,
    "binance_usdm": 2,
    "binance_coinm": 3,
    "bybit_spot": 4,
    "bybit_linear": 5,
    "bybit_inverse": 6,
}
COLOURS_MOST: Final = 7


# Stages of a source from outside and of the built-in exchange, the main one first.
MEASURED: Final = ("receive", "decode", "sequence", "publish")
SIMULATED: Final = ("ack", "match", "sequence", "publish")
SIMULATOR: Final = "builtin"


class Intake:
    """The sink of every feed and of the built-in exchange. One writer: the engine's loop."""

    def __init__(
        self,
        telemetry: Telemetry,
        wall: Callable[[], Nanos] = time.time_ns,
        on_second: Callable[[Nanos], None] | None = None,
    ) -> None:
        self._telemetry = telemetry
        self._on_second = on_second  # told of each second that is over before pages may count on it
        self._wall = wall
        self._desks: dict[Source, Desk] = {}
        self._rules: dict[Source, Rule] = {}
        self._second_ns = 0
        self.tap: Tap | None = None  # what records is told of all that comes in

    # --- what feeds call ---------------------------------------------------------------------------------

    def open_source(
        self,
        source: Source,
        label: str,
        instruments: Sequence[Instrument],
        rule: Rule,
        clock: Callable[[int], int],
    ) -> None:
        """A source begins; one of the same name that was open before is forgotten with its rings."""
        now_ns = self._wall()
        before = self._desks.pop(source, None)
        if before is not None:
            self._telemetry.forget(source.key)
            now_ns = max(now_ns, before.opened_ns + 1)  # pages tell openings apart by it
        self._desks[source] = Desk(
            source=source,
            label=label,
            colour=self._colour(source),
            clock=clock,
            counters=self._telemetry.counter(source.key),
            markets={
                instrument.symbol: MarketDesk(
                    SymbolState(source, instrument, rule),
                    self._telemetry.market(source.key, instrument.symbol),
                )
                for instrument in instruments
            },
            stages=SIMULATED if source.run == "sim" else MEASURED,
            opened_ns=now_ns,
            since_ns=now_ns,
            looked_wall_ns=now_ns,
            past=self._telemetry.past(source.key) if source.run == "replay" else None,
            begins_ns=clock(now_ns) if source.run == "replay" else 0,
        )
        self._rules[source] = rule
        if self.tap is not None:
            self.tap.opened(source, label, instruments, rule)
        self.note("info", source, "open", f"{label} opened with {named([i.symbol for i in instruments])}")

    def add_symbol(self, source: Source, instrument: Instrument) -> None:
        """One more symbol of an open source. KeyError when it is not open; TelemetryFull when there is no room."""
        desk = self._desks[source]
        if instrument.symbol in desk.markets:
            return
        rings = self._telemetry.market(source.key, instrument.symbol)
        desk.markets[instrument.symbol] = MarketDesk(
            SymbolState(source, instrument, self._rules[source]), rings, changed=True
        )
        if self.tap is not None:
            self.tap.opened(source, desk.label, (instrument,), self._rules[source])
        self.note("info", source, "symbol", f"{instrument.symbol} added")

    def remove_symbol(self, source: Source, symbol: str) -> None:
        """Forget a symbol of an open source, with its rings and its book on the board."""
        desk = self._desks[source]
        market = desk.markets.pop(symbol, None)
        if market is None:
            return
        desk.parted = [a + b for a, b in zip(desk.parted, tallies(market.state), strict=True)]
        self._telemetry.forget_market(source.key, symbol)
        if self.tap is not None:
            self.tap.closed(source, (symbol,), "removed")
        self.note("info", source, "symbol", f"{symbol} removed")

    def _colour(self, source: Source) -> int | Literal["sim"]:
        """A market's own colour, or the last one that no open source has."""
        if source.run == "sim":
            return "sim"
        used = {desk.colour for desk in self._desks.values()}
        free = [number for number in range(COLOURS_MOST, 0, -1) if number not in used]
        return COLOURS.get(source.venue, free[0] if free else COLOURS_MOST)

    def revise(self, source: Source, instrument: Instrument) -> None:
        """Bring a symbol's state to the finer units of a new revision; its rings begin anew in them."""
        market = self._desks[source].markets[instrument.symbol]
        market.state.revise(instrument)
        market.changed = True
        self._telemetry.renew_market(source.key, instrument.symbol)
        market.rings = self._telemetry.market(source.key, instrument.symbol)
        if self.tap is not None:
            self.tap.opened(source, self._desks[source].label, (instrument,), self._rules[source])
        self.note(
            "warn", source, "revision", f"{instrument.symbol} now has {instrument.price_decimals} price and "
            f"{instrument.size_decimals} size decimals; its rings begin anew"
        )  # fmt: skip

    def on_batch(self, batch: Batch) -> Outcome:
        """Take one batch; what became of it. KeyError for a source or symbol that was not opened."""
        desk = self._desks[batch.source]
        market = desk.markets[batch.symbol]
        kind, rows = batch.kind, batch.rows
        if kind is Kind.CANDLES or kind is Kind.FUNDING:
            outcome = self._on_rest(desk, market, batch)
            if self.tap is not None:
                self.tap.on_batch(batch, outcome, market.state)
            return outcome
        per_row = kind is Kind.TRADES or kind is Kind.QUOTES
        if per_row and not len(rows):
            return Outcome.NOTED
        newest_ns = int(rows["ts_recv_ns"][-1]) if per_row else batch.ts_recv_ns
        if newest_ns - desk.second_ns >= SECOND_NS:
            self._turn_second(desk, newest_ns)
        started = time.perf_counter_ns()
        outcome = market.state.on_batch(batch)
        hold_sample(desk, "sequence", time.perf_counter_ns() - started)
        desk.newest_ns = max(desk.newest_ns, newest_ns)
        market.changed = True
        if per_row:
            self._note_rows(desk, market, batch)
        else:
            self._note_depth(desk, market, batch, outcome)
        if self.tap is not None:
            self.tap.on_batch(batch, outcome, market.state)
        return outcome

    def _on_rest(self, desk: Desk, market: MarketDesk, batch: Batch) -> Outcome:
        """What is no market event: it says nothing of the stream's latency or age."""
        outcome = market.state.on_batch(batch)
        market.changed = True
        if batch.kind is Kind.CANDLES and batch.interval_ns == MINUTE_NS:
            market.rings.add_minutes(batch.rows, desk.clock(self._wall()))
        return outcome

    def on_frames(
        self, source: Source, frames: int, size_bytes: int, decode_ns: npt.NDArray[np.int64]
    ) -> None:
        """Count frames of one chunk and their decode times."""
        desk = self._desks[source]
        desk.frames += frames
        desk.count(messages=frames, size_bytes=size_bytes)
        if desk.measures:
            self._telemetry.stage(source.key, "decode").record(desk.second_ns, decode_ns)

    def wants_raw(self, source: Source) -> bool:
        """Whether the source's frames are recorded."""
        return self.tap is not None and self.tap.wants_raw(source)

    def on_raw(self, source: Source, path: str, frames: Sequence[bytes], recv_ns: Sequence[int]) -> None:
        """Frames as they came, for whoever records them."""
        if self.tap is not None:
            self.tap.on_raw(source, path, frames, recv_ns)

    def on_bad_frame(self, source: Source, error: BadFrame) -> None:
        """Count a malformed frame and keep it for inspection: the newest 100 of all sources."""
        desk = self._desks[source]
        desk.malformed += 1
        desk.count(malformed=1)
        self._telemetry.bad_frames.append(
            BadFrameRow(self._wall(), source.key, error.field, bytes(error.frame[:BAD_FRAME_MAX_BYTES]))
        )
        self.note("warn", source, "malformed", str(error))

    def interrupted(self, source: Source, symbols: Sequence[str], reason: str) -> None:
        """The stream of these symbols broke: their books are STALE until a snapshot follows."""
        desk = self._desks[source]
        broken = [symbol for symbol in symbols if symbol in desk.markets]
        for symbol in broken:
            market = desk.markets[symbol]
            market.state.disconnected()
            market.changed = True
            self._follow_sync(desk, market, desk.clock(self._wall()))
        if broken:
            if self.tap is not None:
                self.tap.broke(source, broken, reason)
            self.note("warn", source, "interrupted", f"{named(broken)}: {reason}")

    def missed(self, source: Source, symbols: Sequence[str], reason: str) -> None:
        """Trades of these symbols were missed; their books go on."""
        missing = [symbol for symbol in symbols if symbol in self._desks[source].markets]
        if missing:
            if self.tap is not None:
                self.tap.broke(source, missing, reason, ("trades",))
            self.note("warn", source, "interrupted", f"trades of {named(missing)}: {reason}")

    def condition(self, source: Source, up: bool, detail: str) -> None:
        """Whether a live source's connections stand, and why not."""
        desk = self._desks[source]
        desk.up, desk.why = up, detail

    def on_dropped(self, source: Source, frames: int) -> None:
        """Count frames given up unread because too many waited."""
        desk = self._desks[source]
        desk.unread += frames
        if self.tap is not None:
            self.tap.broke(source, tuple(desk.markets), "frames were given up unread: too many waited")
        self.note("warn", source, "dropped", f"{frames:,} frames given up unread: too many waited")

    def close_source(self, source: Source, reason: str) -> None:
        """A source ended. What it showed stays until it is opened again; a live one that was stopped and a replay that
        was closed are forgotten, since whoever asks for that wants to see them no more.
        """
        desk = self._desks[source]
        if reason == "closed" or (source.run == "live" and reason in ENDINGS):
            if self.tap is not None:
                self.tap.closed(source, tuple(desk.markets), reason)
            del self._desks[source]
            self._telemetry.forget(source.key)
            how = "closed" if reason == "closed" else "disconnected"
            self.note("info", source, "close", f"{desk.label} {how}")
            return
        for market in desk.markets.values():
            market.state.settle()
            self._publish_candles(source, market, market.state.candles.advance(1 << 62))
            market.changed = True
        if self.tap is not None:
            self.tap.closed(source, tuple(desk.markets), reason)
        self._flush(desk)
        for stage in stages_of(desk):
            self._telemetry.stage(source.key, stage).advance(desk.second_ns + SECOND_NS)
        if desk.past is not None and desk.second_ns:
            desk.past.close(desk.second_ns, desk.second_ns + SECOND_NS)
        desk.ended = reason
        well = reason in ENDINGS
        self.note(
            "info" if well else "error",
            source,
            "close",
            f"{desk.label} {reason if well else 'failed: ' + reason}",
        )

    # --- what the built-in exchange calls besides --------------------------------------------------------

    def on_orders(
        self,
        source: Source,
        orders: int,
        skipped: int,
        ack_ns: npt.NDArray[np.int64],
        match_ns: int,
        *,
        events: int = 0,
        rejects: int = 0,
    ) -> None:
        """Count one turn of the simulator: its orders, how long each waited, kernel time of the whole turn,
        and what the matching engine said.
        """
        desk = self._desks[source]
        desk.counters.add(orders=orders, skipped=skipped, events=events, rejects=rejects)
        if orders:
            desk.batch, desk.batch_ns = orders, match_ns
            hold_sample(desk, "turn", match_ns)
            hold_sample(desk, "batch", orders)
            desk.newest_ns = max(desk.newest_ns, desk.clock(self._wall()))
            self._telemetry.stage(source.key, "ack").record(desk.second_ns or self._wall(), ack_ns)
            hold_sample(desk, "match", match_ns // orders)

    def on_matching(self, source: Source, statistics: EngineStatistics, resident_bytes: int | None) -> None:
        """Show the source's matching engine as it stands."""
        desk = self._desks[source]
        self._telemetry.board.matching = MatchingView(
            source, self._wall(), statistics, resident_bytes, desk.batch, desk.batch_ns
        )

    def backfill(self, batch: Batch) -> None:
        """Take trades of a past that was simulated at once: candles and tape, no latency, no counters."""
        if batch.kind is not Kind.TRADES or not len(batch.rows):
            return
        market = self._desks[batch.source].markets[batch.symbol]
        market.state.on_batch(batch)
        market.rings.trades.publish(batch.rows)
        market.rings.candles.publish(market.state.closed)

    def on_recorded(self, source: Source, block: Block) -> None:
        """Show what was recorded of a replayed source besides its market: LATENCY, COUNTERS and EVENTS, each at its
        own times, in the order they were recorded. ValueError for any other source or kind.

        From the first of a kind on, the recorded ones alone are shown: latencies and counts that were made of what is
        played are forgotten. Cost: some 10 us for each second and stage of a block, so hand over a minute at most.
        """
        desk = self._desks[source]
        if desk.past is None or block.kind not in KINDS:
            raise ValueError(f"{source.key} cannot show recorded {block.kind}")
        if block.kind is RecordKind.LATENCY:
            self._take_latency(desk, desk.past, block)
        elif block.kind is RecordKind.COUNTERS:
            desk.past.take_counts(count_rows(block))
        else:
            desk.past.recorded |= {EVENTS}
            for ts_ns, level, what, text in event_rows(block):
                desk.past.events.add(ts_ns, level, block.stream.venue, what, text)

    def _take_latency(self, desk: Desk, past: Past, block: Block) -> None:
        key = desk.source.key
        known = SIMULATED if desk.source.venue == SIMULATOR else MEASURED
        if desk.measures:
            past.recorded |= {LATENCY}
            desk.measures = False
            desk.samples.clear()
            desk.stages = known
            self._telemetry.renew_stages(key)
        for stage, seconds, buckets in latency_rows(block):
            if stage in known or stage in TURN_STAGES:  # others have no place on a page
                self._telemetry.stage(key, stage).publish_closed(seconds, buckets)
            if stage == "receive":
                desk.recorded_offset_ns = int(seconds["offset_ns"][-1])

    def wants_snapshot(self, source: Source) -> list[str]:
        """Symbols of a source whose book cannot go on without a snapshot."""
        return [
            symbol for symbol, market in self._desks[source].markets.items() if market.state.wants_snapshot
        ]

    # --- what the market-data API reads, on the same loop ------------------------------------------------

    def state_of(self, source: Source, symbol: str) -> SymbolState | None:
        """A symbol's own state, to be read and not kept; None where it is not open."""
        desk = self._desks.get(source)
        market = desk.markets.get(symbol) if desk is not None else None
        return market.state if market is not None else None

    def book_of(self, source: Source, symbol: str, levels: int) -> BookView | None:
        """A symbol as it stands now, with the best `levels` of each side of its whole book; None where it is not
        open.
        """
        desk = self._desks.get(source)
        market = desk.markets.get(symbol) if desk is not None else None
        return book_view(market, levels) if market is not None else None

    # --- what the engine calls on its timers -------------------------------------------------------------

    def publish(self) -> None:
        """Freeze what changed for the pages; close the second's counters. At most 20 times a second."""
        wall_ns = self._wall()
        for desk in self._desks.values():
            started = time.perf_counter_ns()
            now_ns = desk.clock(wall_ns)
            moved = now_ns != desk.looked_ns and not desk.ended
            self._advance(desk, now_ns)
            for symbol, market in desk.markets.items():
                if market.changed:
                    self._telemetry.board.books[desk.source.key, symbol] = book_view(market)
                    market.changed = False
            if moved:  # while a clock stands still no second ends, and samples would pile up
                hold_sample(desk, "publish", time.perf_counter_ns() - started)
            watch_silence(desk, now_ns, wall_ns)
            self._judge(desk, now_ns, wall_ns)
        self._telemetry.board.sources = tuple(
            source_view(desk) for desk in sorted(self._desks.values(), key=lambda d: d.source.run == "sim")
        )
        self._close_counters(wall_ns)

    def _advance(self, desk: Desk, now_ns: int) -> None:
        if desk.ended or not desk.newest_ns:  # while a past is filled in, its own times count
            return
        if now_ns - desk.second_ns >= SECOND_NS:
            self._turn_second(desk, now_ns)
        if desk.past is not None:
            desk.past.advance(now_ns)
        late_ns = max(0, desk.offset_ns or 0) + CANDLE_GRACE_NS
        for market in desk.markets.values():
            closed = market.state.candles.advance(now_ns - late_ns)
            if len(closed):
                self._publish_candles(desk.source, market, closed)
                market.changed = True

    def _turn_second(self, desk: Desk, now_ns: int) -> None:
        """The source's clock entered a new second: file samples and the second's last quotes."""
        self._flush(desk)
        if desk.second_ns and desk.second_ns >= desk.begins_ns - desk.begins_ns % SECOND_NS:
            for market in desk.markets.values():
                if market.state.state is BookState.SYNCED:
                    market.rings.metrics.publish_one(metric_row(desk.second_ns, market))
                book = hold_whole(market)
                market.rings.frames.add(
                    desk.second_ns,
                    (book[0][:LEVELS], book[1][:LEVELS]) if book is not None else None,
                    market.rings.trades,
                    market.state.instrument.tick_size,
                )
        second_ns = now_ns - now_ns % SECOND_NS
        if desk.past is not None and desk.second_ns:
            desk.past.close(desk.second_ns, second_ns)
        desk.second_ns = second_ns
        for stage in stages_of(desk):
            self._telemetry.stage(desk.source.key, stage).advance(desk.second_ns)

    def _flush(self, desk: Desk) -> None:
        if not desk.second_ns:  # published before anything came: of no second
            desk.samples.clear()
            return
        for stage, values in desk.samples.items():
            offset = desk.offset_ns or 0 if stage == "receive" else 0
            self._telemetry.stage(desk.source.key, stage).record(
                desk.second_ns, np.array(values, np.int64), offset
            )
        desk.samples.clear()

    def _note_rows(self, desk: Desk, market: MarketDesk, batch: Batch) -> None:
        rows = batch.rows
        if batch.kind is Kind.TRADES:
            desk.count(trades=len(rows))
            market.rings.frames.make_room(market.rings.trades, rows)
            market.rings.trades.publish(rows)
            if len(market.state.closed):
                self._publish_candles(desk.source, market, market.state.closed)
        if desk.source.run != "sim" and rows["ts_event_ns"][0] > 0:
            raw = rows["ts_recv_ns"] - rows["ts_event_ns"]
            least = int(raw.min())
            desk.offset_ns = least if desk.offset_ns is None else min(desk.offset_ns, least)
            if desk.measures:
                self._telemetry.stage(desk.source.key, "receive").record(
                    desk.second_ns, np.ascontiguousarray(raw), desk.offset_ns
                )

    def _publish_candles(self, source: Source, market: MarketDesk, rows: Rows) -> None:
        market.rings.candles.publish(rows)
        if self.tap is not None:
            self.tap.on_candles(source, market.state.instrument.symbol, rows)

    def _note_depth(self, desk: Desk, market: MarketDesk, batch: Batch, outcome: Outcome) -> None:
        market.book_event_ns = batch.ts_event_ns or market.book_event_ns
        market.book_recv_ns = batch.ts_recv_ns
        if desk.source.run != "sim" and batch.ts_event_ns:
            raw = batch.ts_recv_ns - batch.ts_event_ns
            desk.offset_ns = raw if desk.offset_ns is None else min(desk.offset_ns, raw)
            hold_sample(desk, "receive", raw)
            if len(desk.samples.get("receive", ())) >= SAMPLES_HELD:
                self._flush(desk)
        if outcome is Outcome.GAP or outcome is Outcome.CROSSED:
            desk.count(gaps=1)
            what = "sequence gap" if outcome is Outcome.GAP else "crossed book"
            self.note(
                "warn", batch.source, "gap", f"{batch.symbol}: {what} at {batch.last_sequence:,}; resyncing"
            )
        self._follow_sync(desk, market, batch.ts_recv_ns)

    @staticmethod
    def _follow_sync(desk: Desk, market: MarketDesk, now_ns: int) -> None:
        """Note where a stretch without a synced book begins and ends: none before the book was there at all."""
        if now_ns < desk.begins_ns:
            return
        synced = market.state.state is BookState.SYNCED
        if market.was_synced and not synced:
            market.outages.append((now_ns, 0))
        elif synced and market.outages and not market.outages[-1][1]:
            market.outages[-1] = (market.outages[-1][0], now_ns)
        market.was_synced = synced

    def _judge(self, desk: Desk, now_ns: int, wall_ns: int) -> None:
        state, detail = condition_of(desk, now_ns)
        if (state, detail) != (desk.state, desk.detail):
            if state != desk.state:
                desk.since_ns = wall_ns
                if state == "live":
                    desk.was_live = True
                level = level_of(desk.source, state, desk.was_live)
                self.note(
                    level, desk.source, "state", f"{desk.label} is {state}{': ' if detail else ''}{detail}"
                )
            desk.state, desk.detail = state, detail

    def _close_counters(self, wall_ns: int) -> None:
        second = wall_ns - wall_ns % SECOND_NS
        if not self._second_ns:
            self._second_ns = second
        self._second_ns = max(self._second_ns, second - SECONDS_CAUGHT_UP * SECOND_NS)
        while self._second_ns < second:
            for desk in self._desks.values():
                desk.counters.close(self._second_ns)
            if self._on_second is not None:
                self._on_second(self._second_ns)
            self._second_ns += SECOND_NS
        self._telemetry.board.closed_second_ns = self._second_ns

    def note(self, level: Level, source: Source, what: str, text: str) -> None:
        """Put a sentence about a source into the event log."""
        self._telemetry.events.add(self._wall(), level, source.key, what, text)
