"""The project's own feeds at the built-in exchange: their books are the engine's at every update id they apply.

Crowd and a client trade meanwhile. The engine's books are noted each time it matched; a feed's book is compared as
soon as an update was applied to it, all levels that the venue showed.
"""

from __future__ import annotations

import asyncio
import random
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec
import numpy as np
import pytest

from engine.exchange.desk import FIRST_CLIENT
from engine.exchange.faults import Fault
from engine.exchange.house import House
from engine.exchange.trading import Order
from engine.limits import rules
from engine.limits.desk import LimitDesk
from engine.market import state
from engine.market.batches import BUY, SELL, Batch, Source
from engine.market.instruments import Instrument
from engine.market.sequencing import Outcome, Rule
from engine.market.state import SymbolState
from engine.matching.orders import LIMIT, MARKET
from feeds.live import LiveVenues
from feeds.venues import DIALECTS, binance
from tests.exchange.running import RunningExchange
from tests.feeds.live_desk import QUICK, Books, Shelf

SYMBOLS = ("BTC-USDT", "ETH-USDT")
KEPT = 3_000  # books noted of each symbol
CAPACITY = 16_384
Sides = tuple[np.ndarray, np.ndarray]
Noted = OrderedDict[int, Sides]


class Ledger:
    """The engine's books by update number, and what Bybit's message numbers stand for."""

    def __init__(self) -> None:
        self.books: dict[str, Noted] = {symbol: OrderedDict() for symbol in SYMBOLS}
        self.sequences: OrderedDict[tuple[str, int], int] = (
            OrderedDict()
        )  # (topic's symbol, u) -> update number

    def watch(self, house: House) -> None:
        """Note after each match of clients' orders, and each book message of Bybit's. On the exchange's loop."""
        matcher: Any = house.floor.desk._matcher
        match = matcher.match

        def watched(*given: Any) -> Any:
            events = match(*given)
            self.note(house)
            return events

        matcher.match = watched
        hub: Any = house.budgets["bybit"].hub
        made = hub._frame

        def framed(connection: Any, name: str, text: str) -> Any:
            if name.startswith("orderbook.200."):
                data = msgspec.json.decode(text)["data"]
                self.sequences[data["s"], data["u"]] = data["seq"]
                if len(self.sequences) > 2 * KEPT:
                    self.sequences.popitem(last=False)
            return made(connection, name, text)

        hub._frame = framed

    def note(self, house: House) -> None:
        """The books as they are."""
        engine = house.floor.simulator.engine
        for symbol, books in self.books.items():
            number = engine.update_number(symbol)
            if number in books:
                continue
            books[number] = engine.top(symbol, CAPACITY)
            if len(books) > KEPT:
                books.popitem(last=False)


class Compared(SymbolState):
    """A symbol's state that is compared with the engine's after each update."""

    ledger: Ledger
    updates = 0

    def on_batch(self, batch: Batch) -> Outcome:
        """Compare after a snapshot, too."""
        outcome = super().on_batch(batch)
        if batch.kind is state._SNAPSHOT and outcome is Outcome.APPLIED:
            self.compare(self.sync.sequence)
        return outcome

    def _on_snapshot(self, batch: Batch) -> Outcome:
        bids, asks = batch.rows["price"][: batch.bids], batch.rows["price"][batch.bids :]
        self.shown = len(bids), len(asks)
        self.worst = int(bids.min()), int(asks.max())
        return super()._on_snapshot(batch)

    def _apply(self, delta: Batch) -> Outcome:
        outcome = super()._apply(delta)
        self.compare(delta.last_sequence)
        return outcome

    def compare(self, sequence: int) -> None:
        """All levels that the venue showed, at this update."""
        bybit = self.source.venue == "bybit_spot"
        native = self.instrument.native
        number = self.ledger.sequences[native, sequence] if bybit else sequence
        engine = self.ledger.books[self.instrument.symbol][number]
        own = self.book.top(CAPACITY)
        for side, (theirs, mine) in enumerate(zip(engine, own, strict=True)):
            rows, held = theirs.view(np.int64).reshape(-1, 2), mine.view(np.int64).reshape(-1, 2)
            if bybit:
                rows = rows[:200]
            else:
                # Levels behind the snapshot's last one are not known until they change.
                away = -1 if side == 0 else 1
                if self.shown[side] == 5_000 or self.shown[side] == 1_000:
                    rows = rows[(self.worst[side] - rows[:, 0]) * away >= 0]
                    held = held[(self.worst[side] - held[:, 0]) * away >= 0]
            assert np.array_equal(rows, held), (self.source.venue, native, sequence, len(rows), len(held))
        self.updates += 1


class ComparedBooks(Books):
    """A sink whose books are compared."""

    def __init__(self, ledger: Ledger) -> None:
        super().__init__()
        self.ledger = ledger
        self.failed: list[AssertionError | LookupError] = []
        self.notes: list[tuple[str, ...]] = []

    def open_source(
        self,
        source: Source,
        label: str,
        instruments: Sequence[Instrument],
        rule: Rule,
        clock: Callable[[int], int],
    ) -> None:
        states: dict[str, SymbolState] = {}
        for one in instruments:
            made = states[one.symbol] = Compared(source, one, rule, CAPACITY)
            made.ledger = self.ledger
        self.open[source.venue] = Shelf(states, rule)

    def on_batch(self, batch: Batch) -> Outcome:
        try:
            return super().on_batch(batch)
        except (AssertionError, LookupError) as error:
            self.failed.append(error)
            raise

    def updates(self, key: str) -> list[int]:
        """Compared updates of each book."""
        shelf = self.open.get(key)
        return [one.updates for one in shelf.states.values()] if shelf is not None else [0]  # type: ignore[attr-defined]


def trade(exchange: RunningExchange, stop: threading.Event) -> None:
    """A client that places, trades and cancels around the best prices, until told to stop."""
    chance = random.Random(11)

    def step(house: House) -> None:
        desk, engine = house.floor.desk, house.floor.simulator.engine
        for symbol in SYMBOLS:
            index, best = engine.index(symbol), engine.bbo(symbol)
            side = chance.choice((BUY, SELL))
            price = (
                best.bid_ticks - chance.randrange(30)
                if side == BUY
                else best.ask_ticks + chance.randrange(30)
            )
            desk.place(Order(FIRST_CLIENT, index, side, LIMIT, 7 + chance.randrange(5) * 100, price))
            if chance.random() < 0.2:
                desk.place(Order(FIRST_CLIENT, index, chance.choice((BUY, SELL)), MARKET, 100))
            if chance.random() < 0.1:
                desk.cancel_all(FIRST_CLIENT, index)

    while not stop.wait(0.01):
        exchange.do(step)


def play(
    key: str,
    act: Callable[[RunningExchange, ComparedBooks, LiveVenues], Any],
    *,
    rate: int,
    seconds: float = 15,
) -> ComparedBooks:
    """Run the feeds of a venue at an exchange with a crowd and a client until `act` is through."""
    state.warm_up()
    binance.warm_up()
    ledger = Ledger()
    books = ComparedBooks(ledger)
    follow: Mapping[str, Sequence[str]] = {key: SYMBOLS}

    async def run(url: str, exchange: RunningExchange) -> None:
        live = LiveVenues(
            DIALECTS.values(),
            LimitDesk(rules.load()),
            base=url,
            symbols=follow,
            random=random.Random(5),
            note=lambda *said: books.notes.append(said),
            timing=QUICK,
        )
        live.connect(key)
        running = asyncio.create_task(live.run(books))
        try:
            async with asyncio.timeout(seconds):
                await act(exchange, books, live)
        finally:
            running.cancel()
            await asyncio.wait([running])

    with RunningExchange(rate=rate, on_turn=lambda house, _: ledger.note(house)) as exchange:
        exchange.do(ledger.watch)
        exchange.do(ledger.note)
        stop = threading.Event()
        client = threading.Thread(target=trade, args=(exchange, stop))
        client.start()
        try:
            asyncio.run(run(exchange.url, exchange))
        finally:
            stop.set()
            client.join()
    return books


async def until(books: ComparedBooks, condition: Callable[[], object]) -> None:
    """Wait for it; stop at once when a book differs."""
    deadline = time.monotonic() + 20
    while not condition():
        assert not books.failed, books.failed[0]
        assert time.monotonic() < deadline, (
            {key: books.updates(key) for key in books.open},
            books.notes[-5:],
        )
        await asyncio.sleep(0.01)


@pytest.mark.parametrize("key", ["binance_spot", "bybit_spot"])
def test_a_feeds_books_are_the_engines_at_every_update(key: str) -> None:
    """From the first snapshot on, and again after a lost message and a broken connection."""

    async def act(exchange: RunningExchange, books: ComparedBooks, live: LiveVenues) -> None:
        del live
        await until(books, lambda: books.synced(key, 2) and min(books.updates(key)) >= 8)
        shelf = books.open[key]
        assert (shelf.wrong, shelf.bad) == ([], [])
        trades = {symbol: list(numbers) for symbol, numbers in shelf.trades.items()}
        for numbers in trades.values():
            assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
        loaded = len(shelf.snapshots)
        # Long enough for some of those messages that are 200 ms apart.
        lost = Fault("drop", market=key, symbol=SYMBOLS[0], duration_s=0.5)
        exchange.do(lambda house: house.server.inject(lost))
        await until(books, lambda: shelf.wrong)
        await asyncio.sleep(0.5)
        assert set(shelf.wrong) == {(SYMBOLS[0], Outcome.GAP)}
        await until(books, lambda: len(shelf.snapshots) > loaded and books.synced(key, 2))
        before = min(books.updates(key))
        exchange.do(lambda house: house.server.inject(Fault("close", market=key)))
        await until(books, lambda: len(shelf.interrupted) > 0 and books.synced(key, 2))
        await until(books, lambda: min(books.updates(key)) >= before + 5)

    books = play(key, act, rate=2_000)
    assert not books.failed, books.failed[0]


@pytest.mark.parametrize("key", ["binance_spot", "bybit_spot"])
def test_what_a_cut_stream_left_out_is_had_from_what_the_engine_traded(key: str) -> None:
    """All of it by number; where only the newest are to be had, those, and that it is not all."""

    async def act(exchange: RunningExchange, books: ComparedBooks, live: LiveVenues) -> None:
        await until(books, lambda: books.synced(key, 2))
        shelf = books.open[key]
        heard = [shelf.trades.setdefault(symbol, []) for symbol in SYMBOLS]
        await until(books, lambda: all(len(one) > 5 for one in heard))
        for fault in (Fault("refuse", duration_s=0.5), Fault("close", market=key)):
            exchange.do(lambda house, fault=fault: house.server.inject(fault))
        await until(books, lambda: shelf.interrupted)
        broke_ns, counts = time.time_ns(), [len(one) for one in heard]
        await until(books, lambda: all(len(one) > count for one, count in zip(heard, counts, strict=True)))
        back_ns = time.time_ns()
        for symbol, numbers, count in zip(SYMBOLS, heard, counts, strict=True):
            before, behind = numbers[count - 1], numbers[count]
            found = await live.backfill(key, symbol, broke_ns, back_ns, after_id=before, before_id=behind)
            fetched = found.trades["trade_id"].tolist()
            assert fetched == list(range(behind - len(fetched), behind))
            assert found.complete == (len(fetched) == behind - before - 1)
            assert found.complete or key == "bybit_spot"

    books = play(key, act, rate=2_000)
    assert not books.failed, books.failed[0]


@pytest.mark.nightly
@pytest.mark.parametrize("key", ["binance_spot", "bybit_spot"])
def test_they_are_when_the_crowd_is_in_a_rush(key: str) -> None:
    async def act(exchange: RunningExchange, books: ComparedBooks, live: LiveVenues) -> None:
        del exchange, live
        await until(books, lambda: books.synced(key, 2) and min(books.updates(key)) >= 45)
        assert (books.open[key].wrong, books.open[key].bad) == ([], [])

    books = play(key, act, rate=30_000, seconds=30)
    assert not books.failed, books.failed[0]
