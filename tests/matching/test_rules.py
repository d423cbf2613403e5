"""The rules of the book, one by one, and the reason each bad command gets."""

from __future__ import annotations

import numpy as np
import pytest

from engine.errors import KernelError
from engine.market.batches import BUY, SELL
from engine.matching.engine import Bbo, BookSpec, Events, MatchingEngine
from engine.matching.orders import (
    ACCEPTED,
    BAD_ID,
    BAD_KIND,
    BAD_LOTS,
    BAD_SIDE,
    BAD_TIME_IN_FORCE,
    BOOK_FULL,
    CANCEL,
    CANCELED,
    COMMAND,
    DONE,
    DUPLICATE_ID,
    GTC,
    IOC,
    LIMIT,
    MARKET,
    MAX_LOTS,
    NOT_OWNER,
    PRICE_OUT_OF_RANGE,
    REASONS,
    REJECTED,
    TRADED,
    UNKNOWN_ID,
    UNKNOWN_SYMBOL,
)
from tests.matching.invariants import check

PRICE = 1_000_000
MAKER, TAKER = 1, 2


@pytest.fixture
def engine() -> MatchingEngine:
    return MatchingEngine([BookSpec("BTC-USDT", PRICE), BookSpec("XRP-USDT", 24_000)], 16)


def limit(order_id: int, side: int, price: int, lots: int, owner: int = MAKER, tif: int = GTC) -> tuple:
    return (LIMIT, 0, side, tif, order_id, owner, price, lots, 0)


def market(order_id: int, side: int, lots: int, owner: int = TAKER) -> tuple:
    return (MARKET, 0, side, GTC, order_id, owner, 0, lots, 0)


def cancel(order_id: int, owner: int = MAKER, symbol: int = 0) -> tuple:
    return (CANCEL, symbol, 0, 0, order_id, owner, 0, 0, 0)


def submit(engine: MatchingEngine, *commands: tuple) -> Events:
    events = engine.submit(np.array(list(commands), COMMAND))
    check(engine)
    return events


def kinds(events: Events) -> list[int]:
    return events.rows["kind"].tolist()


def trades(events: Events) -> list[tuple[int, int, int, int]]:
    """(maker, taker, price, lots) of each."""
    rows = events.rows[events.rows["kind"] == TRADED]
    return rows[["maker_id", "order_id", "price_ticks", "lots"]].tolist()


def test_an_order_that_meets_nothing_rests(engine: MatchingEngine) -> None:
    events = submit(engine, limit(1, BUY, PRICE, 5))
    assert kinds(events) == [ACCEPTED]
    assert events.changed.tolist() == [(0, BUY, PRICE, 5)]
    assert engine.bbo("BTC-USDT") == Bbo(PRICE, 5, 0, 0)
    assert engine.sequence("BTC-USDT") == 1


def test_a_trade_prints_at_the_makers_price_and_names_both(engine: MatchingEngine) -> None:
    submit(engine, limit(1, SELL, PRICE, 5, owner=7))
    events = submit(engine, limit(2, BUY, PRICE + 10, 3, owner=8))
    assert kinds(events) == [ACCEPTED, TRADED, DONE]
    trade = events.rows[1]
    assert (trade["price_ticks"], trade["lots"], trade["side"]) == (PRICE, 3, BUY)
    assert (trade["order_id"], trade["owner"], trade["maker_id"], trade["maker_owner"]) == (2, 8, 1, 7)
    assert events.changed.tolist() == [(0, SELL, PRICE, 2)]


def test_a_level_is_first_in_first_out(engine: MatchingEngine) -> None:
    submit(engine, limit(1, SELL, PRICE, 2), limit(2, SELL, PRICE, 2), limit(3, SELL, PRICE, 2))
    submit(engine, cancel(1), limit(1, SELL, PRICE, 2))  # who cancels and returns queues again
    events = submit(engine, limit(9, BUY, PRICE, 5))
    assert trades(events) == [(2, 9, PRICE, 2), (3, 9, PRICE, 2), (1, 9, PRICE, 1)]


def test_a_partly_filled_maker_keeps_its_place(engine: MatchingEngine) -> None:
    submit(engine, limit(1, BUY, PRICE, 5), limit(2, BUY, PRICE, 5))
    submit(engine, limit(3, SELL, PRICE, 2))
    assert trades(submit(engine, limit(4, SELL, PRICE, 4))) == [(1, 4, PRICE, 3), (2, 4, PRICE, 1)]


def test_better_prices_trade_first_and_the_rest_of_a_limit_order_rests(engine: MatchingEngine) -> None:
    submit(engine, limit(1, BUY, PRICE - 1, 1), limit(2, BUY, PRICE, 1), limit(3, BUY, PRICE - 2, 1))
    events = submit(engine, limit(4, SELL, PRICE - 1, 5))
    assert trades(events) == [(2, 4, PRICE, 1), (1, 4, PRICE - 1, 1)]
    assert engine.bbo("BTC-USDT") == Bbo(PRICE - 2, 1, PRICE - 1, 3)
    # The level at PRICE - 1 went as a bid and came as an ask: both are told.
    assert events.changed.tolist() == [(0, BUY, PRICE, 0), (0, BUY, PRICE - 1, 0), (0, SELL, PRICE - 1, 3)]


def test_ioc_remainder_is_canceled(engine: MatchingEngine) -> None:
    submit(engine, limit(1, SELL, PRICE, 2))
    events = submit(engine, limit(2, BUY, PRICE, 5, tif=IOC))
    assert kinds(events) == [ACCEPTED, TRADED, DONE, CANCELED]
    assert events.rows[-1][["order_id", "lots", "remaining_lots"]].item() == (2, 3, 0)
    assert engine.live("BTC-USDT") == 0


def test_a_market_order_takes_any_price_and_never_rests(engine: MatchingEngine) -> None:
    submit(engine, limit(1, SELL, PRICE, 2), limit(2, SELL, PRICE + 100_000, 2))
    events = submit(engine, market(3, BUY, 9))
    assert trades(events) == [(1, 3, PRICE, 2), (2, 3, PRICE + 100_000, 2)]
    assert kinds(events)[-1] == CANCELED
    assert engine.bbo("BTC-USDT") == Bbo(0, 0, 0, 0)


def test_a_market_order_in_an_empty_book_is_canceled(engine: MatchingEngine) -> None:
    assert kinds(submit(engine, market(1, SELL, 1))) == [ACCEPTED, CANCELED]


def test_cancel_tells_what_was_left(engine: MatchingEngine) -> None:
    submit(engine, limit(1, SELL, PRICE, 5), limit(2, BUY, PRICE, 2))
    events = submit(engine, cancel(1))
    assert kinds(events) == [CANCELED]
    assert events.rows[0][["side", "price_ticks", "lots"]].item() == (SELL, PRICE, 3)
    assert events.changed.tolist() == [(0, SELL, PRICE, 0)]


def test_canceling_the_best_level_finds_the_next(engine: MatchingEngine) -> None:
    submit(engine, limit(1, BUY, PRICE, 1), limit(2, BUY, PRICE - 100_000, 4), cancel(1))
    assert engine.bbo("BTC-USDT") == Bbo(PRICE - 100_000, 4, 0, 0)


def test_an_id_is_free_again_when_its_order_is_gone(engine: MatchingEngine) -> None:
    submit(engine, limit(1, SELL, PRICE, 1), limit(2, BUY, PRICE, 1))
    assert kinds(submit(engine, limit(1, BUY, PRICE, 1), cancel(1), limit(1, BUY, PRICE, 1))) == [1, 5, 1]


def test_symbols_do_not_meet(engine: MatchingEngine) -> None:
    other = (LIMIT, 1, SELL, GTC, 2, MAKER, 24_000, 1, 0)
    assert kinds(submit(engine, limit(1, BUY, PRICE, 1), other)) == [ACCEPTED, ACCEPTED]
    assert engine.sequence("XRP-USDT") == 1


LOW = PRICE - 2**17
BAD = {
    "unknown symbol": ((LIMIT, 2, BUY, GTC, 5, 1, PRICE, 1, 0), UNKNOWN_SYMBOL),
    "negative symbol": ((CANCEL, -1, BUY, GTC, 1, 1, PRICE, 1, 0), UNKNOWN_SYMBOL),
    "unknown kind": ((4, 0, BUY, GTC, 5, 1, PRICE, 1, 0), BAD_KIND),
    "no side": (limit(5, 0, PRICE, 1), BAD_SIDE),
    "unknown time in force": (limit(5, BUY, PRICE, 1, tif=2), BAD_TIME_IN_FORCE),
    "id zero": (limit(0, BUY, PRICE, 1), BAD_ID),
    "negative id": (limit(-5, BUY, PRICE, 1), BAD_ID),
    "cancel of id zero": (cancel(0), BAD_ID),
    "zero quantity": (limit(5, BUY, PRICE, 0), BAD_LOTS),
    "negative quantity": (market(5, BUY, -1), BAD_LOTS),
    "too much": (limit(5, BUY, PRICE, MAX_LOTS + 1), BAD_LOTS),
    "below the ladder": (limit(5, BUY, LOW - 1, 1), PRICE_OUT_OF_RANGE),
    "above the ladder": (limit(5, SELL, LOW + 2**18, 1), PRICE_OUT_OF_RANGE),
    "negative price": (limit(5, SELL, -1, 1), PRICE_OUT_OF_RANGE),
    "the least price": (limit(5, SELL, -(2**63), 1), PRICE_OUT_OF_RANGE),
    "the greatest price": (limit(5, BUY, 2**63 - 1, 1), PRICE_OUT_OF_RANGE),
    "duplicate id": (limit(1, BUY, PRICE - 5, 1), DUPLICATE_ID),
    "duplicate id in another symbol": ((LIMIT, 1, BUY, GTC, 1, 1, 24_000, 1, 0), DUPLICATE_ID),
    "cancel of an unknown id": (cancel(77), UNKNOWN_ID),
    "cancel in another symbol": (cancel(1, symbol=1), UNKNOWN_ID),
    "cancel of another's order": (cancel(1, owner=TAKER), NOT_OWNER),
    "cancel of a filled order": (cancel(3), UNKNOWN_ID),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_command_gets_its_reason_and_changes_nothing(engine: MatchingEngine, name: str) -> None:
    submit(engine, limit(1, SELL, PRICE + 1, 5), limit(3, SELL, PRICE, 1), limit(4, BUY, PRICE, 1))
    before = engine.state_hash()
    command, reason = BAD[name]
    events = submit(engine, command)
    assert kinds(events) == [REJECTED]
    assert events.rows["reason"].tolist() == [reason]
    assert reason in REASONS
    assert len(events.changed) == 0
    assert engine.state_hash() == before


def test_the_ends_of_the_ladder_are_in_it(engine: MatchingEngine) -> None:
    events = submit(engine, limit(1, BUY, LOW, 1), limit(2, SELL, LOW + 2**18 - 1, 1))
    assert kinds(events) == [ACCEPTED, ACCEPTED]
    assert engine.bbo("BTC-USDT") == Bbo(LOW, 1, LOW + 2**18 - 1, 1)


def test_the_largest_ids_and_quantities_are_taken(engine: MatchingEngine) -> None:
    largest = 2**63 - 1
    submit(engine, limit(largest, BUY, PRICE, MAX_LOTS), limit(largest - 1, BUY, PRICE, MAX_LOTS))
    assert engine.bbo("BTC-USDT").bid_lots == 2 * MAX_LOTS
    assert kinds(submit(engine, cancel(largest))) == [CANCELED]


def test_a_full_book_takes_no_more_orders_but_still_trades(engine: MatchingEngine) -> None:
    submit(engine, *(limit(order, BUY, PRICE - order, 1) for order in range(1, 17)))
    full = submit(engine, limit(17, SELL, PRICE, 1))
    assert full.rows["reason"].tolist() == [BOOK_FULL]
    assert trades(submit(engine, limit(18, SELL, PRICE - 1, 1, tif=IOC))) == [(1, 18, PRICE - 1, 1)]
    assert kinds(submit(engine, limit(17, SELL, PRICE, 1))) == [ACCEPTED]
    other = (LIMIT, 1, SELL, GTC, 99, MAKER, 24_000, 1, 0)
    assert kinds(submit(engine, other)) == [ACCEPTED]  # a full symbol leaves the others alone


def test_events_say_which_command_they_answer(engine: MatchingEngine) -> None:
    events = submit(engine, limit(1, SELL, PRICE, 1), limit(0, SELL, PRICE, 1), limit(2, BUY, PRICE, 1))
    assert events.rows["command"].tolist() == [0, 1, 2, 2, 2, 2]


def test_an_empty_batch_gives_nothing(engine: MatchingEngine) -> None:
    events = engine.submit(np.zeros(0, COMMAND))
    assert (len(events.rows), len(events.changed)) == (0, 0)


def test_top_gives_at_most_what_is_asked_for_best_first(engine: MatchingEngine) -> None:
    submit(engine, *(limit(order, SELL, PRICE + 5_000 * order, order) for order in range(1, 9)))
    bids, asks = engine.top("BTC-USDT", 3)
    assert len(bids) == 0
    assert asks.tolist() == [(PRICE + 5_000, 1), (PRICE + 10_000, 2), (PRICE + 15_000, 3)]


def test_an_engine_without_room_is_refused() -> None:
    with pytest.raises(KernelError, match="needs a symbol"):
        MatchingEngine([])
    with pytest.raises(KernelError, match="room for 1 to"):
        MatchingEngine([BookSpec("A", 5)], 0)
