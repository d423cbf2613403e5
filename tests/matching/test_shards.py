"""Several engines side by side do for each symbol what one engine does."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pytest

from engine.errors import KernelError
from engine.market.batches import BUY, SELL, Rows
from engine.matching import orders as o
from engine.matching.engine import BookSpec, MatchingEngine
from engine.matching.market_data import DepthFeed, OrderFeed
from engine.matching.shards import Shards
from tests.matching.invariants import EVERY_LEVEL, apply, check
from tests.matching.streams import (
    ACCOUNTS,
    BOOKS,
    BTC,
    COIN,
    FIELDS,
    FUNDS,
    FUTURE,
    PLAIN,
    ROOM,
    USD,
    Row,
    command,
    deposit,
    limit,
    market,
    moving_stream,
    random_stream,
    rows,
    time,
    withdraw,
)

# Spot and linear symbols share no money, whatever engine they are in.
SPLITS = [
    [[PLAIN, COIN], [FUTURE]],
    [[PLAIN], [COIN], [FUTURE]],
    [[FUTURE, PLAIN], [COIN]],
    [[COIN, FUTURE, PLAIN]],
]

NOWHERE = 100  # what is added to the number of a symbol or asset that does not exist


MADE: list[Shards] = []  # by the test that runs


def made(engines: Sequence[MatchingEngine]) -> Shards:
    MADE.append(Shards(engines))
    return MADE[-1]


class Split:
    """Shards, and how the numbers of one engine with all symbols are theirs."""

    def __init__(self, symbols: Sequence[Sequence[int]], room: int = ROOM) -> None:
        books = [[BOOKS[at] for at in part] for part in symbols]
        self.shards = made([MatchingEngine(part, ACCOUNTS, room) for part in books])
        self.symbols = [self.shards.index(book.symbol) for book in BOOKS]
        self.assets = [self.shards.asset_index("COIN", asset) for asset in ("BTC", "USD")]

    def commands(self, stream: Sequence[Row]) -> Rows:
        """The stream in the numbers of the shards."""
        commands = rows(stream)
        money = np.isin(commands["kind"], (o.DEPOSIT, o.WITHDRAW))
        for numbers, which in ((self.symbols, ~money), (self.assets, money)):
            known = which & (commands["symbol"] >= 0) & (commands["symbol"] < len(numbers))
            commands["symbol"][known] = np.array(numbers)[commands["symbol"][known]]
            commands["symbol"][which & ~known] += NOWHERE
        return commands


@pytest.fixture(autouse=True)
def _every_thread_ends() -> Iterator[None]:
    before = threading.active_count()
    yield
    while MADE:
        assert MADE.pop().close()
    assert threading.active_count() == before


def with_own_ids(stream: Sequence[Row]) -> list[Row]:
    """The stream with ids that are used in one symbol only: engines do not know of each other's."""
    own = []
    for row in stream:
        fields = dict(zip(FIELDS, row, strict=True))
        for name in ("order_id", "link_id"):
            if 0 < fields[name] < 2**20:
                fields[name] = 4 * fields[name] + fields["symbol"] % 4
        own.append(tuple(fields.values()))
    return own


def parted(events: Rows, commands: Sequence[Row]) -> tuple[Rows, Rows]:
    """The events of books, and those of money: their symbols are assets."""
    kinds = np.array([row[0] for row in commands])[events["sequence"]]
    money = np.isin(kinds, (o.DEPOSIT, o.WITHDRAW)) & (events["kind"] != o.CANCELED)
    return events[~money], events[money]


def of_symbol(events: Rows, symbol: int, sequences: bool) -> list[tuple[Any, ...]]:
    """The events of a symbol, without its number, and without sequences if so asked."""
    own = events[events["symbol"] == symbol]
    own["symbol"] = 0
    if not sequences:
        own["sequence"] = 0
    return own.tolist()  # type: ignore[no-any-return]


def book_of(engine: Any, symbol: str) -> Any:
    """What the picture says of a symbol, without sequences."""
    (found,) = (row for row in engine.picture()["symbols"] if row[0] == symbol)
    *head, resting, waiting = found
    return head, [row[:-1] for row in resting], [row[:-1] for row in waiting]


@pytest.mark.parametrize("symbols", SPLITS, ids=str)
@pytest.mark.parametrize("stream", [random_stream, moving_stream])
def test_each_symbol_has_the_events_it_has_in_one_engine(symbols: list[list[int]], stream: Any) -> None:
    split, one = Split(symbols, 150), MatchingEngine(BOOKS, ACCOUNTS, 150)
    shards = split.shards
    whole: list[Rows] = []
    parts: list[Rows] = []
    levels: dict[tuple[int, int, int], int] = {}
    commands = FUNDS + with_own_ids(stream(31, 6_000))
    for at in range(0, len(commands), 61):
        batch = commands[at : at + 61]
        whole.append(one.submit(rows(batch)).rows)
        events = shards.submit(split.commands(batch))
        parts.append(events.rows)
        apply(levels, events.changed)
        assert len({tuple(row[:3]) for row in events.changed.tolist()}) == len(events.changed)
        assert shards.commands_taken == one.commands_taken
    (wanted, wanted_money), (got, got_money) = (
        parted(np.concatenate(part), commands) for part in (whole, parts)
    )
    assert (np.diff(got["sequence"]) >= 0).all()
    assert len(got) == len(wanted)
    for at, book in enumerate(BOOKS):
        symbol = split.symbols[at]
        assert of_symbol(got, symbol, False) == of_symbol(wanted, at, False)
        in_time = [events[~np.isin(events["reason"], (o.EXPIRED, o.PARTNER))] for events in (got, wanted)]
        assert of_symbol(in_time[0], symbol, True) == of_symbol(in_time[1], at, True)
        assert book_of(shards.engine_of(book.symbol), book.symbol) == book_of(one, book.symbol)
        for side, top in zip((BUY, SELL), one.top(book.symbol, EVERY_LEVEL), strict=True):
            assert {key[2]: lots for key, lots in levels.items() if key[:2] == (symbol, side)} == dict(
                top.tolist()
            )
    known = np.isin(wanted_money["symbol"], (BTC, USD))
    wanted_money["symbol"][known] = np.array(split.assets)[wanted_money["symbol"][known]]
    wanted_money["symbol"][~known] += NOWHERE
    assert len(got_money) > 20
    assert np.array_equal(got_money, wanted_money)
    for engine in shards.engines:
        check(engine, engine.books)
        assert engine.now_ns == one.now_ns


def test_each_engine_for_itself_has_its_own_numbers() -> None:
    one, other = Split(SPLITS[2]), Split(SPLITS[2])
    for each in (one, other):
        each.shards.submit(each.commands(FUNDS))
    feeds = [(OrderFeed(engine), DepthFeed(engine)) for engine in other.shards.engines]
    for at in range(8):
        batch = [row for row in with_own_ids(random_stream(at, 400)) if row[0] not in (o.DEPOSIT, o.WITHDRAW)]
        together = one.shards.submit(one.commands(batch))
        parts = other.shards.submit_each(other.commands(batch))
        numbers = 0
        for engine, part, (orders, depth) in zip(other.shards.engines, parts, feeds, strict=True):
            known = (part.rows["symbol"] >= 0) & (part.rows["symbol"] < len(engine.symbols))
            own, symbols = part.rows[known], range(numbers, numbers + len(engine.symbols))
            assert (own["sequence"] < engine.commands_taken).all()
            own["symbol"] += numbers
            own["sequence"] = 0
            same = together.rows[np.isin(together.rows["symbol"], symbols)]
            same["sequence"] = 0
            assert (
                np.array_equal(own, same) or at == 0
            )  # at first there is money in it, whose numbers are of assets
            orders.on_events(part.rows)
            for symbol in engine.symbols:
                shown = [(row[0], row[1], row[2], row[4]) for row in book_of(engine, symbol)[1]]
                names = ["side", "price_ticks", "order_id", "displayed_lots"]
                assert orders.snapshot(symbol).rows[names].tolist() == shown
            assert {diff.symbol for diff in depth.diffs(part.changed)} <= set(engine.symbols)
            numbers += len(engine.symbols)


def test_a_batch_is_in_the_order_of_its_commands() -> None:
    split = Split(SPLITS[0])
    batch = [limit(at, BUY, 100, 1, symbol=(PLAIN, FUTURE)[at % 2]) for at in range(1, 9)]
    events = split.shards.submit(split.commands(batch))
    assert events.rows["order_id"].tolist() == list(range(1, 9))
    assert events.rows["sequence"].tolist() == list(range(8))
    assert events.rows["symbol"].tolist() == [FUTURE, PLAIN] * 4
    assert events.changed.tolist() == [(PLAIN, BUY, 100, 4), (FUTURE, BUY, 100, 4)]
    assert split.shards.submit(rows([market(9, SELL, 1)])).rows["sequence"].tolist() == [8, 8]


def test_money_is_of_one_engine() -> None:
    shards = made(
        [MatchingEngine([BookSpec(name, "BTC", "USD", o.SPOT)], ACCOUNTS, ROOM) for name in ("A", "B")]
    )
    assert shards.assets == ("BTC", "USD", "BTC", "USD")
    number = shards.asset_index("B", "USD")
    events = shards.submit(
        rows(
            [
                deposit(number, 1, 500),
                limit(1, BUY, 100, 5, symbol=shards.index("A"), account=1),
                limit(2, BUY, 100, 5, symbol=shards.index("B"), account=1),
                withdraw(number, 1, 1),
                deposit(4, 1, 1),
            ]
        )
    ).rows
    kinds = [o.DEPOSITED, o.REJECTED, o.ACCEPTED, o.REJECTED, o.REJECTED]
    assert events["kind"].tolist() == kinds
    assert events["symbol"].tolist() == [number, 0, 1, number, 4]
    assert events["reason"].tolist() == [0, o.INSUFFICIENT_FUNDS, 0, o.INSUFFICIENT_FUNDS, o.UNKNOWN_ASSET]
    assert [engine.balance(1, USD) for engine in shards.engines] == [(0, 0), (0, 500)]
    assert shards.asset_index("A", "BTC") == BTC


def test_what_exists_nowhere_is_rejected() -> None:
    split = Split(SPLITS[1])
    batch = [limit(1, BUY, 100, 1, symbol=3), limit(1, BUY, 100, 1, symbol=-1), command(99, symbol=FUTURE)]
    events = split.shards.submit(rows(batch)).rows
    assert events["reason"].tolist() == [o.UNKNOWN_SYMBOL, o.UNKNOWN_SYMBOL, o.BAD_KIND]
    assert events["symbol"].tolist() == [3, -1, FUTURE]


def test_time_is_one() -> None:
    split = Split(SPLITS[0])
    dated = [
        limit(at, BUY, 100, 1, symbol=symbol, tif=o.GTD, expire=10)
        for at, symbol in ((3, PLAIN), (4, FUTURE))
    ]
    assert set(split.shards.submit(rows(dated)).rows["kind"]) == {o.ACCEPTED}
    late = [limit(6, BUY, 90, 1, ts=10), limit(7, BUY, 90, 1, tif=o.GTD, expire=10, symbol=FUTURE)]
    events = split.shards.submit(rows(late)).rows
    expired = events[events["reason"] == o.EXPIRED]
    assert sorted(expired["order_id"].tolist()) == [3, 4]
    assert events[events["order_id"] == 7]["reason"].tolist() == [o.BAD_EXPIRY]
    assert len(split.shards.submit(rows([time(20)])).rows) == 0
    assert [engine.now_ns for engine in split.shards.engines] == [20, 20]
    assert len(split.shards.submit(rows([])).rows) == 0


def test_engines_may_have_come_to_different_times() -> None:
    engines = [MatchingEngine([book], ACCOUNTS, ROOM) for book in (BOOKS[PLAIN], BOOKS[FUTURE])]
    engines[0].submit(rows([time(20)]))
    engines[1].submit(rows([limit(1, BUY, 100, 1, tif=o.GTD, expire=10)]))
    shards = made(engines)
    assert len(shards.submit(rows([])).rows) == 0
    events = shards.submit(rows([limit(1, BUY, 100, 1, symbol=shards.index("PLAIN"))])).rows
    assert events[["kind", "symbol", "reason"]].tolist() == [(o.ACCEPTED, 0, 0), (o.CANCELED, 1, o.EXPIRED)]
    assert len(shards.submit(rows([time(2**63 - 1)])).rows) == 0
    assert {engine.now_ns for engine in engines} == {o.MAX_TS_NS}


def test_shards_need_engines_with_symbols_of_their_own() -> None:
    for books in ([], [[BookSpec("A")], [BookSpec("B"), BookSpec("A")]]):
        with pytest.raises(KernelError):
            Shards([MatchingEngine(part, 1, 1) for part in books])
    shards = made([MatchingEngine([BookSpec("A")], 1, 1)])
    for name, asset in (("B", ""), ("A", "USD")):
        with pytest.raises(KeyError):
            shards.asset_index(name, asset)
    with pytest.raises(KeyError):
        shards.engine_of("B")
