"""Everything known of one symbol at one source: book, sequence state, quote, trades, candles, funding, check.

All market data ends here, live, recorded or simulated. Pure: no clock, no waiting; the caller fetches
snapshots when `wants_snapshot` says so, and closes candles by `candles.advance`.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from engine.market import book, candles
from engine.market.batches import CANDLE, Batch, Kind, Rows, Source
from engine.market.book import L2Book
from engine.market.candles import CandleBuilder
from engine.market.instruments import Instrument, rescale_factors
from engine.market.sequencing import BookState, Outcome, Rule, Synchroniser
from engine.market.top_check import Agreement, TopCheck, rescale_quotes

_DELTA, _SNAPSHOT, _TRADES, _QUOTES = Kind.DELTA, Kind.SNAPSHOT, Kind.TRADES, Kind.QUOTES
_APPLIED = Outcome.APPLIED


class SymbolState:
    """One symbol's market, fed batch by batch; one writer.

    `closed` holds the CANDLE rows closed by the last batch of trades. Times are 0 until one is known; event
    times are the venue's, and only batches that carry one count. The quote is the newest by arrival, not by
    sequence. The venue's own candles and funding move no times: they are fetched too, and a fetched answer says
    nothing of whether the stream is alive.
    """

    def __init__(
        self, source: Source, instrument: Instrument, rule: Rule, book_capacity: int = book.CAPACITY
    ) -> None:
        self.source = source
        self.instrument = instrument
        self.sync = Synchroniser(rule)
        self.book = L2Book(book_capacity)
        self.candles = CandleBuilder()
        self.check = TopCheck()
        # Where quotes have no numbers there is nothing to compare, and tops would only pile up.
        self._on_top = self.check.on_top if rule.numbers_quotes else _unchecked
        self.closed: Rows = np.empty(0, CANDLE)
        self.last_trade: Rows | None = None  # one TRADE row, shape (1,)
        self.quote: Rows | None = None  # one BBO row, shape (1,)
        self.funding: Rows | None = None  # one FUNDING row, shape (1,): the newest by the venue's time
        self.venue_candles: Batch | None = None  # the last CANDLES batch: the venue's own, its newest may run
        self.first_event_ns = self.last_event_ns = 0
        self.first_recv_ns = self.last_recv_ns = 0
        self.trades = 0
        self.crossings = 0

    @property
    def state(self) -> BookState:
        """What the book is worth now."""
        return self.sync.state

    @property
    def wants_snapshot(self) -> bool:
        """Whether the book cannot go on without one."""
        return self.sync.wants_snapshot

    @property
    def agreement(self) -> Agreement:
        """(agreed, checked): tops after a delta that equalled the venue's quote, of those compared so far."""
        return self.check.agreement

    def on_batch(self, batch: Batch) -> Outcome:
        """What became of the batch: see `Outcome`. NOTED for all that is not the book."""
        kind = batch.kind
        if kind is _DELTA or kind is _SNAPSHOT:
            event_ns, recv_ns = batch.ts_event_ns, batch.ts_recv_ns
            if event_ns > self.last_event_ns:
                self.last_event_ns = event_ns
                self.first_event_ns = self.first_event_ns or event_ns
            if recv_ns > self.last_recv_ns:
                self.last_recv_ns = recv_ns
                self.first_recv_ns = self.first_recv_ns or recv_ns
            if kind is _SNAPSHOT:
                return self._on_snapshot(batch)
            outcome = self.sync.on_delta(batch)
            return self._apply(batch) if outcome is _APPLIED else outcome
        rows = batch.rows
        if not len(rows):
            return Outcome.NOTED
        if kind is not _TRADES and kind is not _QUOTES:
            return self._on_fetched(batch)
        events, receives = rows["ts_event_ns"], rows["ts_recv_ns"]
        self.first_event_ns = self.first_event_ns or int(events[0])
        self.last_event_ns = max(self.last_event_ns, int(events[-1]))
        self.first_recv_ns = self.first_recv_ns or int(receives[0])
        self.last_recv_ns = max(self.last_recv_ns, int(receives[-1]))
        if kind is _TRADES:
            self.last_trade = rows[-1:].copy()
            self.trades += len(rows)
            self.closed = self.candles.on_trades(rows)
        else:
            self.quote = rows[-1:].copy()
            self.check.on_quotes(rows)
        return Outcome.NOTED

    def disconnected(self) -> None:
        """Call when the source's stream broke: the book is STALE, and quotes before and after don't join."""
        self.sync.disconnect()
        self.check.forget()

    def settle(self) -> Agreement:
        """Compare the tops that still wait for a newer quote; call at the end of a source."""
        self.check.settle()
        return self.check.agreement

    def revise(self, instrument: Instrument) -> None:
        """Bring everything held to the finer units of the instrument's next revision, exactly.

        ValueError when units get coarser; OverflowError when the book's numbers pass int64 in them.
        """
        price_factor, size_factor = rescale_factors(
            self.instrument, instrument.price_decimals, instrument.size_decimals
        )
        self.book.rescale(price_factor, size_factor)
        self.candles.rescale(price_factor, size_factor)
        self.check.rescale(price_factor, size_factor)
        self.sync.replace_waiting(
            [
                replace(delta, rows=_rescale_pairs(delta.rows, price_factor, size_factor))
                for delta in self.sync.waiting_deltas()
            ]
        )
        if self.last_trade is not None:
            self.last_trade = _rescale_pairs(self.last_trade, price_factor, size_factor)
        if self.quote is not None:
            self.quote = rescale_quotes(self.quote, price_factor, size_factor)
        self.closed = candles.rescale_candles(self.closed, price_factor, size_factor)
        if self.funding is not None:
            self.funding = rescale_funding(self.funding, price_factor)
        if self.venue_candles is not None:
            rows = candles.rescale_candles(self.venue_candles.rows, price_factor, size_factor)
            self.venue_candles = replace(self.venue_candles, rows=rows)
        self.instrument = instrument

    def _on_fetched(self, batch: Batch) -> Outcome:
        """Candles and funding: what the venue worked out itself."""
        if batch.kind is Kind.CANDLES:
            self.venue_candles = batch
        else:
            newest = batch.rows[-1:]
            if self.funding is None or newest["ts_event_ns"][0] >= self.funding["ts_event_ns"][0]:
                self.funding = newest.copy()  # a fetched history may end before what the stream said
        return Outcome.NOTED

    def _on_snapshot(self, batch: Batch) -> Outcome:
        outcome, ready = self.sync.on_snapshot(batch.last_sequence, batch.ts_event_ns)
        if outcome is not Outcome.APPLIED:
            return outcome
        if self.book.load(batch.rows, batch.bids) and not ready:
            return self._crossed()
        for delta in ready:
            if self._apply(delta) is Outcome.CROSSED:
                return Outcome.CROSSED
        return Outcome.APPLIED if self.sync.state is BookState.SYNCED else Outcome.GAP

    def _apply(self, delta: Batch) -> Outcome:
        crossed = self.book.apply(delta.rows, delta.bids)
        self._on_top(delta.last_sequence, self.book.packed_bbo())
        return self._crossed() if crossed else _APPLIED

    def _crossed(self) -> Outcome:
        self.crossings += 1
        self.sync.invalidate()
        return Outcome.CROSSED


def _unchecked(sequence: int, top: bytes) -> None:
    del sequence, top


def _rescale_pairs(rows: Rows, price_factor: int, size_factor: int) -> Rows:
    out = rows.copy()
    out["price"] *= price_factor
    out["size"] *= size_factor
    return out


def rescale_funding(rows: Rows, price_factor: int) -> Rows:
    """FUNDING rows in finer units: only the mark price is in the instrument's."""
    out = rows.copy()
    out["mark_price"] *= price_factor
    return out


def warm_up() -> None:
    """Compile every kernel a symbol's state uses."""
    book.warm_up()
    candles.warm_up()
