"""What a consumer of L1, L2 and L3 can rebuild from them alone is what the engine's books are."""

from __future__ import annotations

import hashlib
import os
import random
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, note, settings
from hypothesis import strategies as st

from engine.market.batches import BUY, SELL, Rows
from engine.matching import layout
from engine.matching import orders as o
from engine.matching.engine import Bbo, BookSpec, Events, MatchingEngine
from engine.matching.market_data import (
    ADD,
    DELETE,
    EXECUTE,
    ORDER_CHANGE,
    REDUCE,
    DepthDiff,
    DepthFeed,
    DepthSnapshot,
    OrderFeed,
    OrderSnapshot,
    quotes,
)
from tests.matching.invariants import EVERY_LEVEL
from tests.matching.streams import (
    ACCOUNTS,
    BOOKS,
    FUNDS,
    FUTURE,
    ROOM,
    STREAMS,
    Row,
    amend,
    as_test_case,
    cancel,
    limit,
    market,
    moving_stream,
    phase,
    random_stream,
    replace,
    rows,
    stop,
    stop_limit,
)
from tests.reference.market_data_plain import PlainOrderFeed

PLAIN = "PLAIN"
Levels = dict[tuple[int, int], int]  # displayed lots by side and price


class Gap(Exception):
    """A consumer has missed something."""


class BookMirror:
    """One symbol's levels, from a snapshot and the diffs after it, as Binance's clients keep them."""

    def __init__(self, snapshot: DepthSnapshot) -> None:
        self.update = snapshot.last_update
        self.levels: Levels = {}
        self.set(snapshot)

    def apply(self, diff: DepthDiff) -> None:
        if diff.last_update <= self.update:
            return
        if diff.first_update > self.update + 1:
            raise Gap
        self.update = diff.last_update
        self.set(diff)

    def set(self, news: DepthSnapshot | DepthDiff) -> None:
        for side, levels in ((BUY, news.bids), (SELL, news.asks)):
            for price, lots in levels.tolist():
                self.levels[side, price] = lots
                if not lots:
                    del self.levels[side, price]


class OrderMirror:
    """Every symbol's queues of orders, from snapshots and the L3 rows after them."""

    def __init__(self, snapshots: Sequence[OrderSnapshot] = ()) -> None:
        self.numbers: dict[int, int] = defaultdict(int)
        self.queues: dict[tuple[int, int, int], dict[int, int]] = defaultdict(
            dict
        )  # lots by order, first first
        for at, snapshot in enumerate(snapshots):
            self.numbers[at] = snapshot.last_number
            for row in snapshot.rows:
                assert (row["kind"], row["symbol"], row["number"]) == (ADD, at, snapshot.last_number)
                self.change(row)

    def apply(self, changes: Rows) -> None:
        for row in changes:
            if row["number"] != self.numbers[int(row["symbol"])] + 1:
                raise Gap
            self.numbers[int(row["symbol"])] += 1
            self.change(row)

    def change(self, row: Any) -> None:
        level = int(row["symbol"]), int(row["side"]), int(row["price_ticks"])
        queue, order, lots = self.queues[level], int(row["order_id"]), int(row["lots"])
        assert lots > 0
        if row["kind"] == ADD:
            assert order not in queue
            queue[order] = lots  # a dict keeps the order of entry
        else:
            queue[order] -= lots
        assert queue[order] == row["displayed_lots"]
        assert row["kind"] == EXECUTE or (queue[order] == 0) == (row["kind"] == DELETE)
        assert row["kind"] == EXECUTE or (row["trade_id"], row["trade_ticks"], row["flags"]) == (0, 0, 0)
        if not queue[order]:
            del queue[order]
        if not queue:
            del self.queues[level]

    def resting(self, symbol: int) -> list[tuple[int, int, int, int]]:
        """(side, price, order, displayed lots): bids, then asks, best level first, each queue in its order."""
        levels = sorted(key for key in self.queues if key[0] == symbol)
        bids = [key for key in reversed(levels) if key[1] == BUY]
        asks = [key for key in levels if key[1] == SELL]
        return [(*key[1:], *order) for key in bids + asks for order in self.queues[key].items()]


def resting(engine: Any, symbol: int) -> list[tuple[int, int, int, int]]:
    """The same, of the engine."""
    return [(row[0], row[1], row[2], row[4]) for row in engine.picture()["symbols"][symbol][6]]


def levels(engine: Any, symbol: str) -> Levels:
    return {
        (side, price): lots
        for side, top in zip((BUY, SELL), engine.top(symbol, EVERY_LEVEL), strict=True)
        for price, lots in top.tolist()
    }


class Consumers:
    """An engine, and consumers of all it publishes, compared after each batch."""

    def __init__(self, room: int = ROOM) -> None:
        self.engine = MatchingEngine(BOOKS, ACCOUNTS, room)
        self.depth, self.orders = DepthFeed(self.engine), OrderFeed(self.engine)
        self.plain = PlainOrderFeed()
        self.books = [self.book(symbol) for symbol in self.engine.symbols]
        self.mirrors = [OrderMirror()]
        self.bbos = {symbol: self.engine.bbo(symbol) for symbol in self.engine.symbols}
        self.seen: list[Any] = []  # every L3 row
        self.submit(FUNDS)

    def book(self, symbol: str) -> BookMirror:
        return BookMirror(self.depth.snapshot(symbol, EVERY_LEVEL))

    def join(self) -> None:
        """Another consumer of L3, and books that begin again."""
        self.mirrors.append(OrderMirror([self.orders.snapshot(symbol) for symbol in self.engine.symbols]))
        self.books = [self.book(symbol) for symbol in self.engine.symbols]

    def submit(self, commands: Sequence[Row]) -> None:
        self.publish(self.engine.submit(rows(commands)))

    def publish(self, events: Events) -> None:
        self.publish_levels(events.changed)
        changes = self.orders.on_events(events.rows)
        assert changes.dtype == ORDER_CHANGE
        assert changes.tolist() == self.plain.on_events(events.rows)
        self.seen += changes.tolist()
        for mirror in self.mirrors:
            mirror.apply(changes)
            for at in range(len(self.engine.symbols)):
                assert mirror.resting(at) == resting(self.engine, at)
                assert mirror.numbers[at] == self.orders.snapshot(self.engine.symbols[at]).last_number

    def publish_levels(self, changed: Rows) -> None:
        engine = self.engine
        found = quotes(engine, changed)
        assert len(set(found["symbol"].tolist())) == len(found)
        for at, update, *bbo in found.tolist():
            assert (Bbo(*bbo), update) == (
                engine.bbo(engine.symbols[at]),
                engine.update_number(engine.symbols[at]),
            )
            self.bbos[engine.symbols[at]] = Bbo(*bbo)
        diffs = self.depth.diffs(changed)
        assert [diff.symbol for diff in diffs] == [engine.symbols[at] for at in found["symbol"]]
        for diff in diffs:
            self.books[engine.index(diff.symbol)].apply(diff)
        for symbol, book in zip(engine.symbols, self.books, strict=True):
            assert self.bbos[symbol] == engine.bbo(symbol)
            assert (book.update, book.levels) == (engine.update_number(symbol), levels(engine, symbol))


def agree(commands: Sequence[Row], batch: int = 7, room: int = ROOM) -> Consumers:
    """Run a stream, some commands at a time; consumers join on the way."""
    consumers = Consumers(room)
    for count, at in enumerate(range(0, len(commands), batch)):
        consumers.submit(commands[at : at + batch])
        if count in (3, 40):
            consumers.join()
    return consumers


@settings(max_examples=150, deadline=None)
@given(STREAMS, st.integers(1, 20))
def test_consumers_see_the_books_of_any_commands(commands: list[Row], batch: int) -> None:
    note(as_test_case(commands))
    agree(commands, batch)


@pytest.mark.nightly
@pytest.mark.timeout(3_600)
@settings(max_examples=10_000, deadline=None)
@given(STREAMS, st.integers(1, 20))
def test_consumers_see_the_books_of_many_commands(commands: list[Row], batch: int) -> None:
    note(as_test_case(commands))
    agree(commands, batch)


@pytest.mark.parametrize("seed", range(3))
def test_consumers_see_the_books_of_long_streams(seed: int) -> None:
    consumers = agree(random_stream(seed, 4_000), 20)
    kinds = [row[0] for row in consumers.seen]
    assert min(kinds.count(kind) for kind in (ADD, EXECUTE, REDUCE, DELETE)) > 10
    assert any(row[2] for row in consumers.seen)  # auctions


@pytest.mark.parametrize("seed", range(3))
def test_consumers_see_deep_books_of_moving_markets(seed: int) -> None:
    agree(moving_stream(seed, 4_000), 50, 150)


# L2.


def test_a_run_has_one_diff_for_each_symbol_that_changed() -> None:
    engine = MatchingEngine(BOOKS, ACCOUNTS, ROOM)
    depth = DepthFeed(engine)
    first = engine.submit(
        rows(
            [
                limit(1, SELL, 101, 5),
                limit(2, BUY, 99, 4),
                limit(3, BUY, 101, 2),
                limit(4, SELL, 7, 1, symbol=FUTURE),
            ]
        )
    )
    diffs = depth.diffs(first.changed)
    assert [(diff.symbol, diff.first_update, diff.last_update) for diff in diffs] == [
        ("PLAIN", 1, 3),
        ("FUTURE", 1, 1),
    ]
    assert (diffs[0].bids.tolist(), diffs[0].asks.tolist()) == ([(99, 4)], [(101, 3)])
    (second,) = depth.diffs(engine.submit(rows([cancel(2), limit(2, BUY, 98, 1), cancel(2)])).changed)
    assert (second.first_update, second.last_update) == (4, 6)
    assert second.bids.tolist() == [(99, 0), (98, 0)]  # 98 came and went
    assert not len(second.asks)
    assert depth.diffs(engine.submit(rows([cancel(9)])).changed) == []


def test_a_missed_diff_is_a_gap_and_a_snapshot_ends_it() -> None:
    engine = MatchingEngine(BOOKS, ACCOUNTS, ROOM)
    depth = DepthFeed(engine)
    book = BookMirror(depth.snapshot(PLAIN, 10))
    diffs = [
        diff
        for at in range(1, 5)
        for diff in depth.diffs(engine.submit(rows([limit(at, BUY, 90 + at, at)])).changed)
    ]
    book.apply(diffs[0])
    with pytest.raises(Gap):
        book.apply(diffs[2])
    again = BookMirror(depth.snapshot(PLAIN, 10))
    for diff in diffs:  # it has them already
        again.apply(diff)
    assert again.levels == levels(engine, PLAIN)


def test_a_snapshot_has_the_best_levels() -> None:
    engine = MatchingEngine(BOOKS, ACCOUNTS, ROOM)
    engine.submit(rows([limit(at, BUY, 100 - at, at) for at in range(1, 5)]))
    snapshot = DepthFeed(engine).snapshot(PLAIN, 2)
    assert (snapshot.symbol, snapshot.last_update) == (PLAIN, 4)
    assert (snapshot.bids.tolist(), snapshot.asks.tolist()) == ([(99, 1), (98, 2)], [])


def test_levels_may_be_taken_from_each_run() -> None:
    consumers = Consumers(150)
    engine = consumers.engine
    matrix = o.as_matrix(rows(moving_stream(5, 2_000)))
    at = 0
    while at < len(matrix) or engine.unfinished:
        at += engine.run(matrix, at, min(len(matrix), at + 30))
        consumers.publish(Events(engine.event_rows(), engine.changed_rows()))


def test_runs_that_are_full_end_between_whole_orders() -> None:
    consumers = Consumers(150)
    engine = consumers.engine
    engine.memory[layout.H_ROOM] = 3 * 300 + 40  # as if there were little room for events
    matrix = o.as_matrix(rows(random_stream(6, 4_000)))
    at = runs = 0
    while at < len(matrix) or engine.unfinished:
        at += engine.run(matrix, at, len(matrix))
        consumers.publish(Events(engine.event_rows(), engine.changed_rows()))
        runs += 1
    assert runs > 5


# L3.


def changes(*commands: Row, before: Sequence[Row] = ()) -> list[tuple[int, ...]]:
    """(kind, side, order, level, lots, displayed lots) of each L3 row."""
    engine = MatchingEngine(BOOKS, ACCOUNTS, ROOM)
    engine.submit(rows(before))
    found = OrderFeed(engine).on_events(engine.submit(rows(commands)).rows)
    names = ("kind", "side", "order_id", "price_ticks", "lots", "displayed_lots")
    return [tuple(int(row[name]) for name in names) for row in found]


def test_an_order_is_added_once_it_has_taken() -> None:
    assert changes(limit(1, SELL, 100, 2), limit(2, BUY, 101, 5)) == [
        (ADD, SELL, 1, 100, 2, 2),
        (EXECUTE, SELL, 1, 100, 2, 0),
        (ADD, BUY, 2, 101, 3, 3),
    ]


def test_what_does_not_rest_is_not_seen() -> None:
    book = [limit(1, SELL, 100, 5), limit(2, SELL, 101, 5, account=1)]
    assert (
        changes(
            limit(3, BUY, 99, 1, tif=o.IOC), market(4, SELL, 1), stop_limit(5, BUY, 200, 200, 1), cancel(5)
        )
        == []
    )
    assert changes(limit(3, BUY, 100, 4, tif=o.FOK, account=2), before=book) == [
        (EXECUTE, SELL, 1, 100, 4, 1)
    ]


def test_amending_and_canceling_an_order() -> None:
    book = [limit(1, SELL, 100, 5)]
    assert changes(amend(1, 2), cancel(1), before=book) == [
        (REDUCE, SELL, 1, 100, 3, 2),
        (DELETE, SELL, 1, 100, 2, 0),
    ]


def test_a_replaced_order_leaves_and_comes_again() -> None:
    book = [limit(1, SELL, 100, 5), limit(2, BUY, 90, 5), limit(3, BUY, 90, 5)]
    assert changes(replace(2, 90, 4), replace(3, 100, 9, new_id=7), before=book) == [
        (DELETE, BUY, 2, 90, 5, 0),
        (ADD, BUY, 2, 90, 4, 4),
        (DELETE, BUY, 3, 90, 5, 0),
        (EXECUTE, SELL, 1, 100, 5, 0),
        (ADD, BUY, 7, 100, 4, 4),
    ]


def test_prevented_quantity_is_no_execution() -> None:
    book = [limit(1, SELL, 100, 5), limit(2, SELL, 101, 5)]
    assert changes(limit(3, BUY, 101, 7, stp=o.DECREMENT), before=book) == [
        (DELETE, SELL, 1, 100, 5, 0),
        (REDUCE, SELL, 2, 101, 2, 3),
    ]


def test_an_icebergs_parts_go_to_the_back_of_the_queue() -> None:
    book = [limit(1, SELL, 100, 7, display=3), limit(2, SELL, 100, 1)]
    assert changes(market(3, BUY, 5), before=book) == [
        (EXECUTE, SELL, 1, 100, 3, 0),
        (ADD, SELL, 1, 100, 3, 3),
        (EXECUTE, SELL, 2, 100, 1, 0),
        (EXECUTE, SELL, 1, 100, 1, 2),
    ]


def test_hidden_quantity_never_shows() -> None:
    """Icebergs that differ in what they hide alone give the same rows, as long as it stays hidden."""

    def seen(hidden: int) -> list[tuple[int, ...]]:
        book = [limit(1, SELL, 100, 3 + hidden, display=3), limit(2, SELL, 100, 4)]
        takes = [
            limit(3, BUY, 100, 2),
            amend(1, 1 + hidden // 2),
            limit(4, BUY, 100, 1),
            limit(5, BUY, 100, 3),
        ]
        return changes(*book, *takes, replace(2, 99, 1), cancel(1))

    assert seen(30) == seen(12)
    assert (REDUCE, SELL, 1) not in [row[:3] for row in seen(12)]


def test_in_an_auction_both_orders_are_executed_at_their_levels() -> None:
    engine = MatchingEngine(BOOKS, ACCOUNTS, ROOM)
    feed = OrderFeed(engine)
    book = [phase(o.AUCTION), limit(1, BUY, 105, 4), limit(2, SELL, 95, 3), phase(o.CONTINUOUS)]
    found = feed.on_events(engine.submit(rows(book)).rows)[2:]
    names = [
        "kind",
        "side",
        "flags",
        "order_id",
        "price_ticks",
        "lots",
        "displayed_lots",
        "trade_ticks",
        "trade_id",
    ]
    assert found[names].tolist() == [
        (EXECUTE, BUY, o.IN_AUCTION, 1, 105, 3, 1, 95, 1),
        (EXECUTE, SELL, o.IN_AUCTION, 2, 95, 3, 0, 95, 1),
    ]


def test_a_triggered_order_is_added_when_it_rests() -> None:
    book = [
        limit(1, SELL, 100, 2),
        limit(2, SELL, 101, 2),
        stop(3, SELL, 100, 1),
        stop_limit(4, BUY, 100, 101, 5),
    ]
    assert changes(limit(5, BUY, 100, 2), before=book) == [
        (EXECUTE, SELL, 1, 100, 2, 0),
        (EXECUTE, SELL, 2, 101, 2, 0),
        (ADD, BUY, 4, 101, 3, 3),
        (EXECUTE, BUY, 4, 101, 1, 2),
    ]


def test_a_missed_row_is_a_gap() -> None:
    engine = MatchingEngine(BOOKS, ACCOUNTS, ROOM)
    found = OrderFeed(engine).on_events(
        engine.submit(rows([limit(at, BUY, 90, 1) for at in range(1, 4)])).rows
    )
    mirror = OrderMirror()
    mirror.apply(found[:1])
    with pytest.raises(Gap):
        mirror.apply(found[2:])


def test_events_may_be_translated_any_number_at_a_time() -> None:
    """As long as they are whole runs; several engines' feeds do not disturb each other."""
    one, other = (MatchingEngine(BOOKS, ACCOUNTS, ROOM) for _ in range(2))
    feeds = OrderFeed(one), OrderFeed(other)
    stream = FUNDS + random_stream(12, 3_000)
    whole = feeds[0].on_events(one.submit(rows(stream)).rows)
    parts = [feeds[1].on_events(other.submit(rows(part)).rows) for part in pieces(stream)]
    assert np.array_equal(whole, np.concatenate(parts))


def pieces(stream: list[Row]) -> Iterator[list[Row]]:
    source = random.Random(1)
    ends = sorted({0, len(stream), *(source.randrange(len(stream)) for _ in range(200))})
    return (stream[start:end] for start, end in pairwise(ends))


def test_a_feed_that_has_missed_events_says_so() -> None:
    engine = MatchingEngine([BookSpec(PLAIN)], 4, ROOM)
    feed = OrderFeed(engine)
    engine.submit(rows([limit(1, BUY, 100, 5)]))
    events = engine.submit(rows([limit(2, SELL, 100, 1)])).rows
    with pytest.raises(AssertionError, match="come next"):
        feed.on_events(events)
    again = [limit(1, BUY, 100, 5)], [limit(at, BUY, 90, 1) for at in range(5, 5 + ROOM)]
    for commands in again:  # it is displayed already; more than there can be
        events = MatchingEngine([BookSpec(PLAIN)], 4, ROOM).submit(rows(commands)).rows
        with pytest.raises(AssertionError, match="come next"):
            OrderFeed(engine).on_events(events)


def test_rows_of_another_engine_are_refused() -> None:
    engine, other = MatchingEngine([BookSpec(PLAIN)], 4, ROOM), MatchingEngine(BOOKS, ACCOUNTS, ROOM)
    events = other.submit(rows([limit(1, BUY, 100, 5, symbol=FUTURE)]))
    with pytest.raises(AssertionError, match="another engine"):
        quotes(engine, events.changed)
    with pytest.raises(AssertionError, match="another engine"):
        DepthFeed(engine).diffs(events.changed)
    with pytest.raises(AssertionError, match="come next"):
        OrderFeed(engine).on_events(events.rows)


UNCOMPILED = """
import warnings
warnings.simplefilter("ignore")  # NumPy's scalars warn where compiled code wraps around
from numba import config
from tests.matching.test_market_data import small_run
assert config.DISABLE_JIT
print(small_run())
"""


def small_run() -> str:
    """A hash of all that some commands publish."""
    consumers = agree(random_stream(3, 800), 40)
    return hashlib.sha256(repr(consumers.seen).encode()).hexdigest()


def test_the_kernels_give_the_same_uncompiled() -> None:
    done = subprocess.run(
        [sys.executable, "-c", UNCOMPILED],
        env=os.environ | {"NUMBA_DISABLE_JIT": "1", "PYTHONPATH": os.getcwd()},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == small_run()
