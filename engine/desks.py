"""What is held of each open source, and what pages see of it. Pure; the intake calls it, on the engine's loop."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal

from engine.market.batches import Rows, Source
from engine.market.metrics import imbalance
from engine.market.sequencing import BookState
from engine.market.state import SymbolState
from engine.telemetry.board import BookView, SourceState, SourceView, WholeBook
from engine.telemetry.counters import SourceCounters
from engine.telemetry.events import Level
from engine.telemetry.hub import (
    IMBALANCE_LEVELS,
    MarketRings,
)
from engine.telemetry.past import Past

SECOND_NS: Final = 1_000_000_000
LEVELS_SHOWN: Final = 240
LEVELS_WHOLE: Final = 10_000  # a side, once a second: at most 320 kB a market
STALE_AFTER_NS: Final = 6 * SECOND_NS
SYMBOLS_NAMED: Final = 8
OUTAGES_KEPT: Final = 32

TURN_STAGES: Final = (
    "turn",
    "batch",
)  # ns and commands of each turn; the matching engine's own panel has them

ENDINGS: Final = ("ended", "stopped", "closed")  # any other reason of closing is the sentence of what failed
SILENT_NS: Final = 2 * SECOND_NS  # of the wall clock, for which nothing comes from a replay that is silent


@dataclass(slots=True)
class MarketDesk:
    """One symbol of an open source."""

    state: SymbolState
    rings: MarketRings
    changed: bool = False
    book_event_ns: int = 0
    book_recv_ns: int = 0
    was_synced: bool = False
    whole: WholeBook | None = None
    outages: deque[tuple[int, int]] = field(default_factory=lambda: deque(maxlen=OUTAGES_KEPT))


@dataclass(slots=True)
class Desk:
    """One open source."""

    source: Source
    label: str
    colour: int | Literal["sim"]
    clock: Callable[[int], int]
    counters: SourceCounters
    markets: dict[str, MarketDesk]
    stages: tuple[str, ...]
    opened_ns: int
    since_ns: int
    state: SourceState = "loading"
    detail: str = ""
    ended: str = ""
    newest_ns: int = 0
    second_ns: int = 0
    frames: int = 0
    malformed: int = 0
    unread: int = 0  # frames dropped before they were decoded
    batch: int = 0
    batch_ns: int = 0
    offset_ns: int | None = None
    up: bool = True  # a live source's connections stand
    why: str = ""  # why they do not
    was_live: bool = False  # since it was opened
    parted: list[int] = field(default_factory=lambda: [0] * 8)  # `tallies` of symbols that were removed
    samples: dict[str, list[int]] = field(default_factory=dict)
    past: Past | None = None  # of a replay: its counts and events by its own clock
    begins_ns: int = 0  # of a replay, by its clock: what comes from before only makes its books
    recorded_offset_ns: int | None = None  # with the recorded latencies of `receive`
    looked_ns: int = 0  # what its clock said at the last look
    looked_newest_ns: int = 0
    looked_wall_ns: int = 0
    silent_ns: int = 0  # of the wall clock, while its own moved and nothing came
    measures: bool = True  # its latencies are measured here; else they come out of its records

    def count(self, **counts: int) -> None:
        """Add to the running second by counter name."""
        self.counters.add(**counts)
        if self.past is not None:
            self.past.add(counts)


def hold_sample(desk: Desk, stage: str, value_ns: int) -> None:
    """Hold one latency until its second ends: a list append costs 12 ns, a histogram call 1 us."""
    if not desk.measures:
        return
    samples = desk.samples.get(stage)
    if samples is None:
        desk.samples[stage] = [value_ns]
    else:
        samples.append(value_ns)


def stages_of(desk: Desk) -> tuple[str, ...]:
    """Every stage of a source that is measured here, also those that no latency chart has."""
    if not desk.measures:
        return ()
    return (*desk.stages, *TURN_STAGES) if desk.source.run == "sim" else desk.stages


def watch_silence(desk: Desk, now_ns: int, wall_ns: int) -> None:
    """How long nothing has come from a source whose clock moves: one that is paused is not silent."""
    if desk.newest_ns != desk.looked_newest_ns:
        desk.silent_ns = 0
    elif now_ns != desk.looked_ns:
        desk.silent_ns += max(0, wall_ns - desk.looked_wall_ns)
    desk.looked_ns, desk.looked_newest_ns, desk.looked_wall_ns = now_ns, desk.newest_ns, wall_ns


def condition_of(desk: Desk, now_ns: int) -> tuple[SourceState, str]:
    """(state, why) of a source by its own clock."""
    if desk.ended:
        return ("ended", "") if desk.ended in ENDINGS else ("error", desk.ended)
    if not desk.up:
        return "reconnecting", desk.why
    if not desk.newest_ns:
        return "loading", "no data yet"
    waiting = [s for s, market in desk.markets.items() if market.state.state is not BookState.SYNCED]
    if waiting:
        source = "capture" if desk.source.run == "replay" else "venue"
        return "resyncing", f"{named(waiting)}: waiting for the {source}'s next snapshot"
    # A replay's clock may run fast, or ahead of what is read for a moment it was sent to.
    silent = desk.source.run != "replay" or desk.silent_ns >= SILENT_NS
    if silent and now_ns - desk.newest_ns > STALE_AFTER_NS:
        quiet = desk.source.run == "sim"
        return "stale", "the simulation rate is 0" if quiet else "no data for more than 6 s"
    return "live", ""


def level_of(source: Source, state: SourceState, was_live: bool) -> Level:
    """How much a source's new state matters: while it opens, nothing is lost. A quiet simulator is one whose rate
    somebody set to 0.
    """
    if state == "error":
        return "error"
    if not was_live:
        return "info"
    silent = state == "stale" and source.run != "sim"
    return "warn" if silent or state in ("resyncing", "reconnecting") else "info"


def named(symbols: Sequence[str]) -> str:
    """Symbols as a sentence names them: at most eight, then how many more."""
    more = len(symbols) - SYMBOLS_NAMED
    return ", ".join(symbols[:SYMBOLS_NAMED]) + (f" and {more:,} more" if more > 0 else "")


def book_view(market: MarketDesk, levels: int = LEVELS_SHOWN) -> BookView:
    """A symbol as it stands, with the best `levels` of each side; copies, so that it never changes."""
    state = market.state
    bids, asks = state.book.top(levels)
    trade = state.last_trade
    return BookView(
        instrument=state.instrument,
        state=state.state.name,
        sequence=state.sync.sequence,
        ts_event_ns=market.book_event_ns,
        ts_recv_ns=market.book_recv_ns,
        bids=bids,
        asks=asks,
        counts=state.book.counts(),
        candle=state.candles.running(),
        last_price=int(trade["price"][0]) if trade is not None else 0,
        last_trade_ns=int(trade["ts_recv_ns"][0]) if trade is not None else 0,
        outages=tuple(market.outages),
        quote=state.quote,
        funding=state.funding,
        whole=market.whole,
    )


def hold_whole(market: MarketDesk) -> tuple[Rows, Rows] | None:
    """The market's levels of both sides as its second ends, None while its book is not synced; what pages see of them
    is held where they reach past what is frozen at any time.

    Cost: 14 us for 5,000 levels a side; nothing is copied where the book did not change.
    """
    state, held = market.state, market.whole
    if state.state is not BookState.SYNCED:
        market.whole = None
        return None
    now = (state.instrument.revision, state.sync.sequence, market.book_recv_ns)
    if held is not None and (held.revision, held.sequence, held.ts_recv_ns) == now:
        return held.bids, held.asks
    levels = state.book.top(LEVELS_WHOLE)
    if max(state.book.counts()) > LEVELS_SHOWN:
        market.whole = WholeBook(*now, *levels)
        market.changed = True
    else:  # pages have all of it anyway
        market.whole = None
    return levels


def metric_row(second_ns: int, market: MarketDesk) -> tuple[int, ...]:
    """The METRIC row of a second: best prices and imbalance as they stand."""
    bids, asks = market.state.book.top(IMBALANCE_LEVELS)
    share = imbalance(bids, asks, IMBALANCE_LEVELS) or 0.0
    return (second_ns, *market.state.book.bbo(), round(share * 1e6))


def tallies(state: SymbolState) -> tuple[int, ...]:
    """What a source adds up over its symbols, in the order `source_view` takes it."""
    sync = state.sync
    agreed, checked = state.agreement
    return (
        sync.gaps + state.crossings,
        sync.resyncs,
        sync.dropped,
        agreed,
        checked,
        state.check.unchecked,
        state.candles.late,
        state.book.dropped,
    )


def source_view(desk: Desk) -> SourceView:
    """A source's condition as it stands."""
    states = [market.state for market in desk.markets.values()]
    counts = [sum(each) for each in zip(desk.parted, *map(tallies, states), strict=True)]
    gaps, resyncs, dropped, agreed, checked, unchecked, late, levels_dropped = counts
    return SourceView(
        source=desk.source,
        label=desk.label,
        colour=desk.colour,
        opened_ns=desk.opened_ns,
        state=desk.state,
        detail=desk.detail,
        since_ns=desk.since_ns,
        newest_ns=desk.newest_ns,
        clock=desk.clock,
        symbols=tuple(desk.markets),
        stages=desk.stages,
        books_synced=sum(state.state is BookState.SYNCED for state in states),
        frames=desk.frames,
        gaps=gaps,
        resyncs=resyncs,
        dropped=dropped + desk.unread,
        malformed=desk.malformed,
        offset_ns=desk.offset_ns if desk.measures else desk.recorded_offset_ns,
        agreement=(agreed, checked),
        unchecked=unchecked,
        late=late,
        levels_dropped=levels_dropped,
        recorded=tuple(sorted(desk.past.recorded)) if desk.past is not None else (),
    )
