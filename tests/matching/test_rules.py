"""The rules of `engine/matching/RULES.md`, one by one, for the compiled engine and for its plain twin."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine.market.batches import BUY, SELL
from engine.matching import orders as o
from engine.matching.engine import Bbo, MatchingEngine
from tests.matching.invariants import EVERY_LEVEL, apply, check, check_empty
from tests.matching.streams import (
    BOOKS,
    BTC,
    COIN,
    FUTURE,
    USD,
    Row,
    amend,
    cancel,
    cancel_all,
    command,
    configure,
    deposit,
    limit,
    market,
    phase,
    replace,
    rows,
    stop,
    stop_limit,
    take_profit,
    take_profit_limit,
    time,
    trailing,
    withdraw,
)
from tests.reference.matching_plain import PlainEngine

ROOM = 24
ACCOUNTS = 4
PLAIN = "PLAIN"
Event = dict[str, int]
KINDS = {
    getattr(o, name): name.lower()
    for name in (
        "ACCEPTED", "REJECTED", "TRADED", "CANCELED", "REPLACED", "AMENDED", "ARMED", "TRIGGERED", "REFRESHED",
        "PREVENTED", "PHASE_CHANGED", "CONFIGURED", "DEPOSITED", "WITHDRAWN", "ALL_CANCELED",
    )
}  # fmt: skip


@pytest.fixture(params=["plain", "compiled"])
def engine(request: pytest.FixtureRequest) -> Any:
    if request.param == "plain":
        return PlainEngine(BOOKS, ACCOUNTS, ROOM)
    return MatchingEngine(BOOKS, ACCOUNTS, ROOM)


def submit(engine: Any, *commands: Row) -> list[Event]:
    """Every event, as a dict of its fields that are not 0, with its kind by name and `id` for order_id."""
    batch = engine.submit(rows(commands)).rows
    check(engine, BOOKS)
    events = []
    for row in batch.tolist():
        event = {name: value for name, value in zip(batch.dtype.names, row, strict=True) if value}
        event["kind"] = KINDS[event["kind"]]
        event["id"] = event.pop("order_id", 0)
        events.append(event)
    return events


def kinds(events: Sequence[Event]) -> list[Any]:
    return [event["kind"] for event in events]


def told(events: Sequence[Event]) -> list[tuple[Any, ...]]:
    """(kind, order id) of each event."""
    return [(event["kind"], event["id"]) for event in events]


def trades(events: Sequence[Event]) -> list[tuple[int, int, int, int]]:
    """(maker, taker, price, lots) of each."""
    return [
        (event["maker_id"], event["id"], event["price_ticks"], event["lots"])
        for event in events
        if event["kind"] == "traded"
    ]


def canceled(events: Sequence[Event]) -> list[tuple[int, int, int]]:
    """(order, lots, reason) of each."""
    return [(e["id"], e["lots"], e.get("reason", 0)) for e in events if e["kind"] == "canceled"]


def reasons(events: Sequence[Event]) -> list[int]:
    return [event["reason"] for event in events if event["kind"] == "rejected"]


def fields(event: Event, *names: str) -> tuple[int, ...]:
    return tuple(event.get(name, 0) for name in names)


def ids(engine: Any, side: int, symbol: int = 0) -> list[int]:
    """Resting orders of a side, best first."""
    return [row[2] for row in engine.picture()["symbols"][symbol][6] if row[0] == side]


def waiting(engine: Any, symbol: int = 0) -> list[int]:
    return [row[0] for row in engine.picture()["symbols"][symbol][7]]


def levels(engine: Any, symbol: str = PLAIN) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
    bids, asks = engine.top(symbol, EVERY_LEVEL)
    return bids.tolist(), asks.tolist()


def last(engine: Any, price: int, symbol: int = 0) -> list[Event]:
    """Make a trade at this price, between orders 901 and 902 of account 3, with nothing left of them."""
    pair = [limit(901, SELL, price, 1), limit(902, BUY, price, 1)]
    return submit(engine, *(with_fields(row, symbol=symbol, account=3) for row in pair))


def with_fields(row: Row, **values: int) -> Row:
    named = dict(zip(o.COMMAND.names or (), row, strict=True))
    return tuple((named | values).values())


def funded(engine: Any, *, fees: bool = False) -> None:
    """Accounts 0 and 1 with 300 BTC atoms and 10,000 USD atoms, 100 lots and, at price 100, 50 lots' worth."""
    submit(engine, *(deposit(BTC, account, 300) for account in (0, 1)))
    submit(engine, *(deposit(USD, account, 10_000) for account in (0, 1)))
    if fees:
        for symbol in (COIN, FUTURE):
            submit(engine, configure(o.MAKER_PPM, 1_000, symbol=symbol))
            submit(engine, configure(o.TAKER_PPM, 2_000, symbol=symbol))


def balance(engine: Any, account: int, asset: int) -> tuple[int, int]:
    """(free, reserved)."""
    return engine.picture()["balances"].get((account, asset), (0, 0))  # type: ignore[no-any-return]


def account(engine: Any, number: int, symbol: int) -> tuple[int, ...]:
    """(open orders, open buy lots, open sell lots, position, cash)."""
    return engine.picture()["accounts"].get((number, symbol), (0, 0, 0, 0, 0))  # type: ignore[no-any-return]


# An engine.


def test_symbols_and_assets_are_in_the_order_of_books(engine: Any) -> None:
    assert engine.symbols == ("PLAIN", "COIN", "FUTURE")
    assert engine.assets == ("BTC", "USD")


def test_sequences_count_commands_over_all_calls(engine: Any) -> None:
    first = submit(engine, limit(1, BUY, 100, 1), time(5), cancel(2))
    assert [fields(event, "sequence") for event in first] == [(0,), (2,)]
    assert [fields(event, "sequence") for event in submit(engine, cancel(1))] == [(3,)]


def test_symbols_do_not_meet(engine: Any) -> None:
    funded(engine)
    submit(
        engine,
        limit(1, BUY, 100, 1),
        limit(2, SELL, 100, 1, symbol=COIN),
        limit(3, SELL, 90, 1, symbol=FUTURE),
    )
    assert [engine.live(symbol) for symbol in engine.symbols] == [1, 1, 1]


def test_an_id_is_free_again_when_its_order_is_gone(engine: Any) -> None:
    submit(engine, limit(1, SELL, 100, 1), limit(2, BUY, 100, 1))
    events = submit(engine, limit(1, BUY, 100, 1), cancel(1), limit(1, BUY, 100, 1, symbol=FUTURE))
    assert kinds(events) == ["accepted", "canceled", "accepted"]


# Time.


def test_time_brings_only_the_time(engine: Any) -> None:
    before = engine.state_hash()
    assert submit(engine, time(10)) == []
    assert engine.state_hash() == before


def test_time_never_goes_back(engine: Any) -> None:
    events = submit(engine, time(10), time(5), limit(1, BUY, 100, 1, tif=o.GTD, expire=10))
    assert reasons(events) == [o.BAD_EXPIRY]
    assert reasons(submit(engine, time(-(2**63)), limit(1, BUY, 100, 1, tif=o.GTD, expire=11))) == []


def test_time_ends_at_its_maximum(engine: Any) -> None:
    order = limit(1, BUY, 100, 1, tif=o.GTD, expire=o.MAX_TS_NS + 1)
    assert kinds(submit(engine, time(2**63 - 1), order, time(2**63 - 1))) == ["accepted"]


def test_orders_expire_before_the_command_that_brings_the_time(engine: Any) -> None:
    submit(engine, limit(1, SELL, 100, 2, tif=o.GTD, expire=10))
    assert submit(engine, time(9)) == []
    events = submit(engine, limit(2, BUY, 100, 2, ts=10))
    assert told(events) == [("canceled", 1), ("accepted", 2)]
    assert canceled(events) == [(1, 2, o.EXPIRED)]
    assert {event["sequence"] for event in events} == {2}


def test_a_rejected_command_brings_the_time_too(engine: Any) -> None:
    submit(engine, limit(1, SELL, 100, 2, tif=o.GTD, expire=10))
    assert told(submit(engine, command(99, ts=10))) == [("canceled", 1), ("rejected", 0)]


def test_the_earliest_expiry_goes_first_then_the_oldest_order(engine: Any) -> None:
    dated = {"tif": o.GTD}
    submit(
        engine,
        limit(5, BUY, 100, 1, expire=12, **dated),
        limit(4, BUY, 100, 1, expire=11, **dated),
        limit(3, BUY, 100, 1, expire=12, symbol=FUTURE, **dated),
        stop(2, BUY, 200, 1, expire=11, **dated),
        limit(1, BUY, 100, 1, expire=10, **dated),
        limit(6, BUY, 100, 1, expire=30, **dated),
        replace(5, 101, 1, new_id=7),  # as old as before
    )
    assert canceled(submit(engine, time(20))) == [(order, 1, o.EXPIRED) for order in (1, 4, 2, 7, 3)]
    assert ids(engine, BUY) == [6]


# Price-time priority.


def test_an_order_that_meets_nothing_rests(engine: Any) -> None:
    events = engine.submit(rows([limit(1, BUY, 100, 5, account=2)]))
    assert events.changed.tolist() == [(0, BUY, 100, 5)]
    (event,) = events.rows
    assert (event["kind"], event["order_id"], event["account"], event["side"]) == (o.ACCEPTED, 1, 2, BUY)
    assert (event["price_ticks"], event["lots"]) == (100, 5)
    assert (event["remaining_lots"], event["maker_remaining_lots"]) == (5, 5)
    assert engine.bbo(PLAIN) == Bbo(100, 5, 0, 0)
    assert engine.update_number(PLAIN) == 1


def test_a_trade_prints_at_the_makers_price_and_names_both(engine: Any) -> None:
    submit(engine, limit(1, SELL, 100, 5, account=1))
    accepted, trade = submit(engine, limit(2, BUY, 110, 3, account=2))
    assert fields(accepted, "price_ticks", "lots", "remaining_lots") == (110, 3, 0)
    assert trade == {
        "kind": "traded", "side": BUY, "sequence": 1, "id": 2, "account": 2, "maker_id": 1, "maker_account": 1,
        "price_ticks": 100, "lots": 3, "maker_remaining_lots": 2, "trade_id": 1,
    }  # fmt: skip
    assert levels(engine) == ([], [(100, 2)])


def test_better_prices_trade_first_and_the_rest_of_a_limit_order_rests(engine: Any) -> None:
    submit(engine, limit(1, BUY, 99, 1), limit(2, BUY, 100, 1), limit(3, BUY, 98, 1))
    events = submit(engine, limit(4, SELL, 99, 5))
    assert trades(events) == [(2, 4, 100, 1), (1, 4, 99, 1)]
    assert fields(events[0], "remaining_lots", "maker_remaining_lots") == (3, 3)
    assert engine.bbo(PLAIN) == Bbo(98, 1, 99, 3)


def test_a_level_is_first_in_first_out(engine: Any) -> None:
    submit(engine, limit(1, SELL, 100, 2), limit(2, SELL, 100, 2), limit(3, SELL, 100, 2))
    submit(engine, cancel(1), limit(1, SELL, 100, 2))  # who cancels and returns queues again
    assert trades(submit(engine, limit(9, BUY, 100, 5))) == [(2, 9, 100, 2), (3, 9, 100, 2), (1, 9, 100, 1)]


def test_a_partly_filled_maker_keeps_its_place(engine: Any) -> None:
    submit(engine, limit(1, BUY, 100, 5), limit(2, BUY, 100, 5), limit(3, SELL, 100, 2))
    assert trades(submit(engine, limit(4, SELL, 100, 4))) == [(1, 4, 100, 3), (2, 4, 100, 1)]


def test_a_filled_order_has_no_further_event(engine: Any) -> None:
    events = submit(engine, limit(1, SELL, 100, 2), limit(2, BUY, 100, 2))
    assert told(events) == [("accepted", 1), ("accepted", 2), ("traded", 2)]
    assert fields(events[2], "remaining_lots", "maker_remaining_lots") == (0, 0)
    assert engine.live(PLAIN) == 0


# Orders and their time in force.


def test_a_market_order_takes_any_price_and_never_rests(engine: Any) -> None:
    submit(engine, limit(1, SELL, 100, 2), limit(2, SELL, 2**40, 2))
    events = submit(engine, market(3, BUY, 9, price=7))
    assert trades(events) == [(1, 3, 100, 2), (2, 3, 2**40, 2)]
    assert canceled(events) == [(3, 5, o.IOC_REMAINDER)]
    assert "price_ticks" not in events[0]
    assert "price_ticks" not in events[-1]
    assert levels(engine) == ([], [])


def test_market_takes_gtc_or_ioc_without_difference(engine: Any) -> None:
    for tif in (o.GTC, o.IOC):
        events = submit(engine, limit(1, SELL, 100, 2), market(2, BUY, 3, tif=tif))
        assert canceled(events) == [(2, 1, o.IOC_REMAINDER)]


def test_a_market_order_in_an_empty_book_is_canceled(engine: Any) -> None:
    assert kinds(submit(engine, market(1, SELL, 1))) == ["accepted", "canceled"]


def test_ioc_remainder_is_canceled(engine: Any) -> None:
    submit(engine, limit(1, SELL, 100, 2), limit(2, SELL, 102, 2))
    events = submit(engine, limit(3, BUY, 101, 5, tif=o.IOC))
    assert kinds(events) == ["accepted", "traded", "canceled"]
    assert fields(events[-1], "id", "price_ticks", "lots", "reason") == (3, 101, 3, o.IOC_REMAINDER)
    assert engine.live(PLAIN) == 1


def test_fok_trades_whole_or_not_at_all(engine: Any) -> None:
    submit(engine, limit(1, SELL, 100, 2), limit(2, SELL, 101, 2), limit(3, SELL, 102, 9))
    before = engine.state_hash()
    events = submit(engine, limit(4, BUY, 101, 5, tif=o.FOK))
    assert kinds(events) == ["accepted", "canceled"]
    assert canceled(events) == [(4, 5, o.FOK_UNFILLED)]
    assert engine.state_hash() == before
    assert trades(submit(engine, limit(4, BUY, 101, 4, tif=o.FOK))) == [(1, 4, 100, 2), (2, 4, 101, 2)]


def test_fok_counts_hidden_quantity(engine: Any) -> None:
    submit(engine, limit(1, SELL, 100, 10, display=2))
    assert len(trades(submit(engine, limit(2, BUY, 100, 10, tif=o.FOK)))) == 5


def test_fok_passes_over_its_own_orders_if_they_expire(engine: Any) -> None:
    submit(
        engine, limit(1, SELL, 100, 5, account=1), limit(2, SELL, 100, 4), limit(3, SELL, 101, 5, account=1)
    )
    order = limit(9, BUY, 101, 5, account=1, tif=o.FOK, stp=o.EXPIRE_MAKER)
    assert canceled(submit(engine, order)) == [(9, 5, o.FOK_UNFILLED)]
    events = submit(engine, with_fields(order, lots=4))
    assert told(events) == [("accepted", 9), ("canceled", 1), ("traded", 9)]


@pytest.mark.parametrize("mode", [o.EXPIRE_TAKER, o.EXPIRE_BOTH, o.DECREMENT])
def test_fok_counts_only_what_is_displayed_ahead_of_its_own_order(engine: Any, mode: int) -> None:
    submit(engine, limit(1, SELL, 99, 4, display=2), limit(2, SELL, 100, 9, display=3))
    submit(engine, limit(3, SELL, 100, 9, account=1), limit(4, SELL, 100, 9))
    order = limit(9, BUY, 100, 8, account=1, tif=o.FOK, stp=mode)
    assert canceled(submit(engine, order)) == [(9, 8, o.FOK_UNFILLED)]
    assert sum(lots for *_, lots in trades(submit(engine, with_fields(order, lots=7)))) == 7


def test_fok_does_not_mind_its_own_orders_without_a_mode(engine: Any) -> None:
    submit(engine, limit(1, SELL, 100, 5, account=1))
    assert len(trades(submit(engine, limit(2, BUY, 100, 5, account=1, tif=o.FOK)))) == 1


def test_fok_does_not_count_an_order_whose_partner_trades_first(engine: Any) -> None:
    submit(engine, limit(1, SELL, 100, 3), limit(2, SELL, 101, 3, link=1), limit(3, SELL, 101, 1))
    assert canceled(submit(engine, limit(4, BUY, 101, 5, tif=o.FOK))) == [(4, 5, o.FOK_UNFILLED)]
    events = submit(engine, limit(4, BUY, 101, 4, tif=o.FOK))
    assert told(events)[1:] == [("traded", 4), ("canceled", 2), ("traded", 4)]


def test_gtd_rests_until_its_time(engine: Any) -> None:
    submit(engine, limit(1, BUY, 100, 5, tif=o.GTD, expire=10), limit(2, SELL, 100, 2))
    assert canceled(submit(engine, time(10))) == [(1, 3, o.EXPIRED)]
    assert engine.live(PLAIN) == 0


def test_gtd_ends_waiting_orders_too(engine: Any) -> None:
    submit(engine, stop_limit(1, BUY, 110, 111, 5, tif=o.GTD, expire=10))
    assert canceled(submit(engine, time(10))) == [(1, 5, o.EXPIRED)]
    assert waiting(engine) == []


def test_gtd_counts_on_after_the_trigger(engine: Any) -> None:
    submit(engine, stop_limit(1, BUY, 110, 105, 5, tif=o.GTD, expire=10))
    last(engine, 110)
    assert ids(engine, BUY) == [1]
    assert canceled(submit(engine, time(10))) == [(1, 5, o.EXPIRED)]


def test_post_only_is_rejected_if_it_would_trade(engine: Any) -> None:
    submit(engine, limit(1, SELL, 100, 2))
    events = submit(engine, limit(2, BUY, 100, 2, flags=o.POST_ONLY), limit(2, BUY, 99, 2, flags=o.POST_ONLY))
    assert kinds(events) == ["rejected", "accepted"]
    assert reasons(events) == [o.WOULD_TAKE]


def test_post_only_stays_with_a_replaced_order(engine: Any) -> None:
    submit(engine, limit(1, SELL, 100, 2), limit(2, BUY, 99, 2, flags=o.POST_ONLY))
    assert reasons(submit(engine, replace(2, 100, 2))) == [o.WOULD_TAKE]
    assert levels(engine) == ([(99, 2)], [(100, 2)])


def test_an_auction_does_not_look_at_post_only(engine: Any) -> None:
    submit(engine, phase(o.AUCTION), limit(1, SELL, 100, 2), limit(2, BUY, 101, 2, flags=o.POST_ONLY))
    assert trades(submit(engine, phase(o.CONTINUOUS))) == [(1, 2, 100, 2)]


# Icebergs.


def test_an_iceberg_shows_its_parts_one_after_the_other_at_the_back(engine: Any) -> None:
    accepted, *_ = submit(engine, limit(1, SELL, 100, 7, display=3), limit(2, SELL, 100, 1))
    assert fields(accepted, "lots", "remaining_lots", "maker_remaining_lots") == (7, 7, 3)
    assert levels(engine) == ([], [(100, 4)])
    events = submit(engine, limit(3, BUY, 100, 5))
    assert told(events) == [("accepted", 3), ("traded", 3), ("refreshed", 1), ("traded", 3), ("traded", 3)]
    assert [event["maker_id"] for event in events if event["kind"] == "traded"] == [1, 2, 1]
    assert fields(events[1], "maker_remaining_lots") == (4,)
    assert fields(events[2], "price_ticks", "lots", "remaining_lots", "side") == (100, 3, 4, SELL)
    assert levels(engine) == ([], [(100, 2)])
    assert trades(submit(engine, limit(4, BUY, 100, 9))) == [(1, 4, 100, 2), (1, 4, 100, 1)]


def test_all_of_an_iceberg_takes_on_entry(engine: Any) -> None:
    submit(engine, limit(1, SELL, 100, 5))
    accepted, *_ = events = submit(engine, limit(2, BUY, 100, 12, display=3))
    assert trades(events) == [(1, 2, 100, 5)]
    assert fields(accepted, "remaining_lots", "maker_remaining_lots") == (7, 3)


def test_what_is_left_of_an_iceberg_may_be_less_than_a_part(engine: Any) -> None:
    submit(engine, limit(1, SELL, 100, 5))
    accepted, *_ = submit(engine, limit(2, BUY, 100, 7, display=3))
    assert fields(accepted, "remaining_lots", "maker_remaining_lots") == (2, 2)


def test_an_iceberg_that_displays_all_is_none(engine: Any) -> None:
    submit(engine, limit(1, SELL, 100, 5, display=5))
    assert engine.picture()["symbols"][0][6][0][9] == 0


def test_an_iceberg_has_at_most_a_hundred_parts(engine: Any) -> None:
    wide = type(engine)(BOOKS, ACCOUNTS, 128)
    events = submit(wide, limit(1, SELL, 100, 201, display=2), limit(1, SELL, 100, 200, display=2))
    assert kinds(events) == ["rejected", "accepted"]
    assert reasons(events) == [o.BAD_DISPLAY]
    assert reasons(submit(wide, replace(1, 100, 201))) == [o.BAD_DISPLAY]


def test_amend_takes_from_the_hidden_part_first(engine: Any) -> None:
    submit(engine, limit(1, SELL, 100, 9, display=3), limit(2, SELL, 100, 1))
    (amended,) = submit(engine, amend(1, 4))
    assert fields(amended, "price_ticks", "lots", "remaining_lots", "maker_remaining_lots") == (100, 5, 4, 3)
    (amended,) = submit(engine, amend(1, 2))
    assert fields(amended, "lots", "remaining_lots", "maker_remaining_lots") == (2, 2, 2)
    assert trades(submit(engine, limit(3, BUY, 100, 3))) == [(1, 3, 100, 2), (2, 3, 100, 1)]


def test_cancel_tells_the_hidden_part_too(engine: Any) -> None:
    submit(engine, limit(1, SELL, 100, 9, display=3))
    assert canceled(submit(engine, cancel(1))) == [(1, 9, 0)]


# Cancel, replace, amend.


def test_cancel_ends_a_resting_order(engine: Any) -> None:
    submit(engine, limit(1, SELL, 100, 5, account=2), limit(2, BUY, 100, 2))
    (event,) = submit(engine, cancel(1, account=2))
    assert fields(event, "id", "account", "side", "price_ticks", "lots", "reason") == (1, 2, SELL, 100, 3, 0)
    assert levels(engine) == ([], [])


def test_cancel_ends_a_waiting_order(engine: Any) -> None:
    submit(engine, stop(1, BUY, 110, 5), stop_limit(2, BUY, 110, 111, 5))
    events = submit(engine, cancel(1), cancel(2))
    assert [fields(event, "price_ticks", "lots") for event in events] == [(0, 5), (111, 5)]
    assert waiting(engine) == []


def test_canceling_the_best_level_finds_the_next(engine: Any) -> None:
    submit(engine, limit(1, BUY, 2**30, 1), limit(2, BUY, 100, 4), cancel(1))
    assert engine.bbo(PLAIN) == Bbo(100, 4, 0, 0)


def test_cancel_all_ends_the_accounts_orders_in_the_symbol_oldest_first(engine: Any) -> None:
    submit(
        engine,
        limit(5, BUY, 100, 1),
        stop(4, BUY, 110, 2),
        limit(3, BUY, 100, 3, account=1),
        limit(2, SELL, 105, 4),
        limit(1, BUY, 100, 5, symbol=FUTURE),
        replace(5, 90, 6, new_id=8),
    )
    events = submit(engine, cancel_all())
    assert canceled(events) == [(order, lots, o.BY_CANCEL_ALL) for order, lots in ((8, 6), (4, 2), (2, 4))]
    assert events[-1] == {"kind": "all_canceled", "sequence": 6, "lots": 3, "id": 0}
    assert (ids(engine, BUY), ids(engine, BUY, FUTURE)) == ([3], [1])


def test_cancel_all_counts_partners(engine: Any) -> None:
    submit(engine, limit(1, BUY, 100, 1), limit(2, BUY, 101, 2), limit(3, BUY, 99, 3, link=1))
    events = submit(engine, cancel_all())
    assert canceled(events) == [(1, 1, o.BY_CANCEL_ALL), (3, 3, o.PARTNER), (2, 2, o.BY_CANCEL_ALL)]
    assert fields(events[-1], "lots") == (3,)


def test_cancel_all_of_nothing_says_so(engine: Any) -> None:
    assert submit(engine, cancel_all(2)) == [{"kind": "all_canceled", "account": 2, "id": 0}]


def test_a_replaced_order_goes_to_the_back_of_its_level(engine: Any) -> None:
    submit(engine, limit(1, SELL, 100, 2), limit(2, SELL, 100, 2))
    (event,) = submit(engine, replace(1, 100, 3, side=SELL))
    names = (
        "kind",
        "id",
        "maker_id",
        "side",
        "price_ticks",
        "lots",
        "remaining_lots",
        "maker_remaining_lots",
    )
    assert fields(event, *names) == ("replaced", 1, 1, SELL, 100, 3, 3, 3)
    assert ids(engine, SELL) == [2, 1]


def test_a_replaced_order_is_a_fresh_taker(engine: Any) -> None:
    submit(engine, limit(1, SELL, 105, 2, account=1), limit(2, BUY, 100, 5))
    events = submit(engine, replace(1, 99, 7, account=1))
    assert told(events) == [("replaced", 1), ("traded", 1)]
    assert fields(events[0], "remaining_lots") == (2,)
    assert levels(engine) == ([], [(99, 2)])


def test_replace_gives_a_new_id(engine: Any) -> None:
    submit(engine, limit(1, BUY, 100, 2))
    (event,) = submit(engine, replace(1, 101, 2, new_id=7))
    assert fields(event, "id", "maker_id") == (7, 1)
    assert reasons(submit(engine, cancel(1))) == [o.UNKNOWN_ID]
    assert kinds(submit(engine, limit(1, BUY, 100, 1), cancel(7))) == ["accepted", "canceled"]


def test_replace_may_name_the_id_it_has(engine: Any) -> None:
    submit(engine, limit(1, BUY, 100, 2))
    assert kinds(submit(engine, replace(1, 101, 2, new_id=1))) == ["replaced"]


def test_a_replaced_order_keeps_its_terms(engine: Any) -> None:
    terms = {"stp": o.DECREMENT, "flags": o.POST_ONLY, "display": 2, "tif": o.GTD, "expire": 50}
    submit(engine, limit(1, BUY, 100, 9, account=2, **terms), limit(2, BUY, 90, 1, account=2, link=1))
    before = engine.picture()["symbols"][0][6][0]
    submit(engine, replace(1, 100, 9, account=2, new_id=7))
    after = engine.picture()["symbols"][0][6][0]
    assert after == (*before[:2], 7, *before[3:])
    assert engine.picture()["symbols"][0][6][1][11] == 7


def test_a_rejected_replace_leaves_the_order_where_it_was(engine: Any) -> None:
    submit(engine, limit(1, SELL, 100, 2), limit(2, SELL, 100, 2))
    assert reasons(submit(engine, replace(1, 0, 3))) == [o.BAD_PRICE]
    assert ids(engine, SELL) == [1, 2]


def test_amend_keeps_the_place(engine: Any) -> None:
    submit(engine, limit(1, SELL, 100, 5), limit(2, SELL, 100, 2))
    (event,) = submit(engine, amend(1, 2))
    assert fields(event, "kind", "id", "side", "price_ticks", "lots") == ("amended", 1, SELL, 100, 3)
    assert fields(event, "remaining_lots", "maker_remaining_lots") == (2, 2)
    assert levels(engine) == ([], [(100, 4)])
    assert trades(submit(engine, limit(3, BUY, 100, 3))) == [(1, 3, 100, 2), (2, 3, 100, 1)]


# One cancels other.


def test_a_partner_ends_when_the_other_trades_as_a_maker(engine: Any) -> None:
    submit(engine, limit(1, BUY, 100, 5, display=2), limit(2, SELL, 110, 5, link=1), limit(3, BUY, 99, 1))
    events = submit(engine, limit(4, SELL, 99, 3))
    assert told(events)[1:] == [("traded", 4), ("canceled", 2), ("refreshed", 1), ("traded", 4)]
    assert canceled(events) == [(2, 5, o.PARTNER)]
    assert levels(engine) == ([(100, 1), (99, 1)], [])
    assert kinds(submit(engine, cancel(1))) == ["canceled"]  # the link is gone


def test_a_partner_ends_when_the_other_has_quantity_prevented(engine: Any) -> None:
    submit(engine, limit(1, BUY, 100, 5), limit(2, BUY, 90, 5, link=1))
    events = submit(engine, limit(3, SELL, 100, 2, stp=o.DECREMENT))
    assert told(events)[1:] == [("prevented", 3), ("canceled", 2)]


def test_a_partner_ends_before_the_other_trades_on_entry(engine: Any) -> None:
    submit(engine, limit(1, SELL, 100, 1, account=1), limit(2, BUY, 95, 5))
    events = submit(engine, limit(3, BUY, 101, 2, link=2))
    assert told(events) == [("accepted", 3), ("canceled", 2), ("traded", 3)]
    assert canceled(events) == [(2, 5, o.PARTNER)]
    assert ids(engine, BUY) == [3]


def test_a_partner_may_be_what_the_other_reaches(engine: Any) -> None:
    submit(engine, limit(1, SELL, 100, 1))
    assert told(submit(engine, limit(2, BUY, 100, 1, link=1))) == [("accepted", 2), ("canceled", 1)]
    assert levels(engine) == ([(100, 1)], [])


def test_a_replaced_order_that_reaches_the_other_side_ends_its_partner(engine: Any) -> None:
    submit(engine, limit(1, SELL, 100, 1, account=1), limit(2, BUY, 95, 5), stop(3, BUY, 120, 1, link=2))
    assert told(submit(engine, replace(2, 96, 5))) == [("replaced", 2)]
    assert told(submit(engine, replace(2, 100, 5))) == [("replaced", 2), ("canceled", 3), ("traded", 2)]


def test_a_partner_ends_when_the_other_triggers(engine: Any) -> None:
    submit(engine, limit(1, SELL, 120, 1), stop(2, SELL, 90, 1, link=1), limit(3, BUY, 80, 1))
    assert told(last(engine, 90))[-3:] == [("canceled", 1), ("triggered", 2), ("traded", 2)]


def test_of_partners_that_trigger_together_the_first_goes_on(engine: Any) -> None:
    submit(engine, stop(1, BUY, 110, 1), stop(2, BUY, 111, 1, link=1))
    events = last(engine, 120)
    assert told(events)[-3:] == [("canceled", 2), ("triggered", 1), ("canceled", 1)]
    assert canceled(events) == [(2, 1, o.PARTNER), (1, 1, o.IOC_REMAINDER)]


@pytest.mark.parametrize(
    ("ending", "reason"),
    [
        (cancel(1), 0),
        (time(9), o.EXPIRED),
        (limit(9, SELL, 100, 1, stp=o.EXPIRE_MAKER), o.SELF_TRADE),
        (cancel_all(), o.BY_CANCEL_ALL),
    ],
)
def test_a_partner_ends_with_the_other(engine: Any, ending: Row, reason: int) -> None:
    submit(engine, limit(1, BUY, 100, 1, tif=o.GTD, expire=9), limit(2, SELL, 105, 2, link=1))
    assert canceled(submit(engine, ending))[:2] == [(1, 1, reason), (2, 2, o.PARTNER)]


def test_amending_leaves_the_link(engine: Any) -> None:
    submit(engine, limit(1, BUY, 100, 2), limit(2, SELL, 105, 2, link=1), amend(1, 1))
    assert canceled(submit(engine, cancel(2))) == [(2, 2, 0), (1, 1, o.PARTNER)]


def test_a_rejected_command_links_nothing(engine: Any) -> None:
    submit(engine, limit(1, BUY, 100, 2))
    assert reasons(submit(engine, stop(2, BUY, 0, 1, link=1))) == [o.BAD_TRIGGER]
    assert kinds(submit(engine, stop(2, BUY, 120, 1, link=1))) == ["armed"]


# Self-trade prevention.


def own_orders(engine: Any) -> None:
    submit(
        engine, limit(1, SELL, 100, 2, account=1), limit(2, SELL, 100, 4), limit(3, SELL, 100, 3, account=1)
    )


def test_without_a_mode_an_account_trades_with_itself(engine: Any) -> None:
    own_orders(engine)
    assert len(trades(submit(engine, limit(9, BUY, 100, 9)))) == 3


def test_only_the_takers_mode_decides(engine: Any) -> None:
    submit(engine, limit(1, SELL, 100, 2, stp=o.EXPIRE_BOTH))
    assert len(trades(submit(engine, limit(2, BUY, 100, 2)))) == 1


def test_expire_taker_cancels_the_rest_of_the_taker(engine: Any) -> None:
    own_orders(engine)
    events = submit(engine, limit(9, BUY, 100, 9, stp=o.EXPIRE_TAKER))
    assert told(events) == [("accepted", 9), ("traded", 9), ("canceled", 9)]
    assert canceled(events) == [(9, 7, o.SELF_TRADE)]
    assert fields(events[-1], "price_ticks") == (100,)
    assert ids(engine, SELL) == [2, 3]


def test_expire_maker_cancels_the_maker_and_goes_on(engine: Any) -> None:
    own_orders(engine)
    events = submit(engine, limit(9, BUY, 100, 9, stp=o.EXPIRE_MAKER))
    assert told(events) == [("accepted", 9), ("traded", 9), ("canceled", 2), ("traded", 9)]
    assert canceled(events) == [(2, 4, o.SELF_TRADE)]
    assert levels(engine) == ([(100, 4)], [])


def test_expire_both_cancels_the_maker_then_the_taker(engine: Any) -> None:
    own_orders(engine)
    events = submit(engine, limit(9, BUY, 100, 9, stp=o.EXPIRE_BOTH))
    assert canceled(events) == [(2, 4, o.SELF_TRADE), (9, 7, o.SELF_TRADE)]
    assert ids(engine, SELL) == [3]


def test_decrement_takes_the_smaller_quantity_off_both(engine: Any) -> None:
    own_orders(engine)
    events = submit(engine, limit(9, BUY, 100, 9, stp=o.DECREMENT))
    assert told(events) == [("accepted", 9), ("traded", 9), ("prevented", 9), ("traded", 9)]
    assert events[2] == {
        "kind": "prevented", "side": BUY, "sequence": 3, "id": 9, "maker_id": 2, "price_ticks": 100, "lots": 4,
        "remaining_lots": 3,
    }  # fmt: skip
    assert fields(events[3], "lots", "trade_id") == (3, 2)


def test_decrement_meets_only_what_is_displayed(engine: Any) -> None:
    submit(engine, limit(1, SELL, 100, 5, display=2), limit(2, SELL, 100, 1, account=1))
    events = submit(engine, limit(9, BUY, 100, 4, stp=o.DECREMENT))
    assert told(events)[1:] == [("prevented", 9), ("refreshed", 1), ("traded", 9), ("prevented", 9)]
    assert levels(engine) == ([], [(100, 1)])


def test_prevented_quantity_moves_no_money_and_sets_no_last_price(engine: Any) -> None:
    funded(engine, fees=True)
    submit(engine, limit(1, SELL, 100, 5, symbol=COIN), stop(2, BUY, 100, 1, symbol=FUTURE))
    submit(engine, limit(3, SELL, 100, 1, symbol=FUTURE))
    submit(
        engine,
        market(9, BUY, 5, symbol=COIN, stp=o.DECREMENT),
        market(9, BUY, 1, symbol=FUTURE, stp=o.DECREMENT),
    )
    assert balance(engine, 0, BTC) == (300, 0)
    assert balance(engine, 0, USD) == (10_000, 0)
    assert waiting(engine, FUTURE) == [2]


def test_auctions_do_not_look_at_self_trades(engine: Any) -> None:
    submit(engine, phase(o.AUCTION), limit(1, SELL, 100, 1, stp=o.EXPIRE_BOTH))
    submit(engine, limit(2, BUY, 100, 1, stp=o.EXPIRE_BOTH))
    assert len(trades(submit(engine, phase(o.CONTINUOUS)))) == 1


# Triggers.


def test_a_stop_waits_and_then_acts_as_a_market_order(engine: Any) -> None:
    (armed,) = submit(engine, stop(1, BUY, 110, 3, account=2))
    assert fields(armed, "kind", "id", "account", "side", "price_ticks", "lots") == (
        "armed",
        1,
        2,
        BUY,
        110,
        3,
    )
    assert (engine.live(PLAIN), levels(engine)) == (1, ([], []))
    submit(engine, limit(2, SELL, 111, 2))
    assert "triggered" not in kinds(last(engine, 109))
    events = last(engine, 110)
    assert told(events)[-3:] == [("triggered", 1), ("traded", 1), ("canceled", 1)]
    assert fields(events[-3], "account", "price_ticks", "lots") == (2, 0, 3)
    assert canceled(events) == [(1, 1, o.IOC_REMAINDER)]
    assert len({event["sequence"] for event in events[1:]}) == 1


def test_a_stop_limit_acts_as_a_limit_order(engine: Any) -> None:
    submit(engine, stop_limit(1, SELL, 90, 95, 3), limit(2, BUY, 96, 1))
    submit(engine, cancel(2))
    events = last(engine, 90)
    assert told(events)[-1] == ("triggered", 1)
    assert fields(events[-1], "price_ticks", "lots", "remaining_lots", "maker_remaining_lots") == (
        95,
        3,
        3,
        3,
    )
    assert levels(engine) == ([], [(95, 3)])


@pytest.mark.parametrize(
    ("tif", "reason"), [(o.IOC, o.IOC_REMAINDER), (o.FOK, o.FOK_UNFILLED), (o.GTC, None), (o.GTD, None)]
)
def test_a_triggered_order_has_its_time_in_force(engine: Any, tif: int, reason: int | None) -> None:
    submit(engine, stop_limit(1, BUY, 110, 115, 3, tif=tif, expire=50))
    events = last(engine, 110)
    assert canceled(events) == ([(1, 3, reason)] if reason else [])


@pytest.mark.parametrize(
    ("order", "before", "at"),
    [
        (stop(1, BUY, 110, 1), 109, 110),
        (stop(1, BUY, 110, 1), 109, 111),
        (stop(1, SELL, 90, 1), 91, 90),
        (stop_limit(1, BUY, 110, 100, 1), 109, 110),
        (stop_limit(1, SELL, 90, 100, 1), 91, 90),
        (take_profit(1, BUY, 90, 1), 91, 90),
        (take_profit(1, SELL, 110, 1), 109, 111),
        (take_profit_limit(1, BUY, 90, 80, 1), 91, 90),
        (take_profit_limit(1, SELL, 110, 120, 1), 109, 110),
    ],
)
def test_orders_trigger_at_their_price_or_beyond(engine: Any, order: Row, before: int, at: int) -> None:
    submit(engine, order)
    assert "triggered" not in kinds(last(engine, before))
    assert "triggered" in kinds(last(engine, at))


def test_a_stop_that_is_due_when_it_arrives_is_rejected(engine: Any) -> None:
    last(engine, 100)
    due = [stop(1, BUY, 100, 1), stop_limit(1, SELL, 100, 90, 1), take_profit(1, BUY, 101, 1)]
    assert reasons(submit(engine, *due, take_profit_limit(1, SELL, 99, 90, 1))) == [o.WOULD_TRIGGER] * 4
    assert kinds(submit(engine, stop(1, BUY, 101, 1), stop(2, SELL, 99, 1))) == ["armed", "armed"]


def test_a_trailing_stop_follows_the_market_and_not_back(engine: Any) -> None:
    last(engine, 100)
    sell, buy = submit(engine, trailing(1, SELL, 5, 1), trailing(2, BUY, 8, 1))
    assert [fields(event, "kind", "price_ticks") for event in (sell, buy)] == [("armed", 95), ("armed", 108)]
    last(engine, 104)
    last(engine, 101)
    assert [row[6:9] for row in engine.picture()["symbols"][0][7]] == [(99, 5, 104), (108, 8, 100)]
    assert told(last(engine, 99))[-2:] == [("triggered", 1), ("canceled", 1)]
    assert [row[6:9] for row in engine.picture()["symbols"][0][7]] == [(107, 8, 99)]


def test_a_trailing_stop_has_no_trigger_before_the_first_trade(engine: Any) -> None:
    (armed,) = submit(engine, trailing(1, SELL, 5, 1))
    assert "price_ticks" not in armed
    last(engine, 100)
    assert [row[6:9] for row in engine.picture()["symbols"][0][7]] == [(95, 5, 100)]


def test_a_trailing_stop_triggers_at_one_tick_at_least(engine: Any) -> None:
    submit(engine, trailing(1, SELL, 2**40, 1))
    last(engine, 100)
    assert engine.picture()["symbols"][0][7][0][6] == 1
    assert "triggered" in kinds(last(engine, 1))


def test_orders_trigger_upwards_first_then_by_price_then_by_age(engine: Any) -> None:
    last(engine, 100)
    submit(
        engine,
        take_profit(1, BUY, 98, 1),
        stop(2, SELL, 99, 1),
        stop(3, SELL, 98, 1),
        take_profit(4, BUY, 99, 1),
    )
    assert [order for kind, order in told(last(engine, 90)) if kind == "triggered"] == [2, 4, 1, 3]
    submit(
        engine,
        stop(5, BUY, 102, 1),
        stop(6, BUY, 101, 1),
        take_profit(7, SELL, 101, 1),
        trailing(8, BUY, 12, 1),
    )
    assert [order for kind, order in told(last(engine, 110)) if kind == "triggered"] == [6, 7, 5, 8]


def test_those_that_trigger_upwards_come_before_those_downwards(engine: Any) -> None:
    # Before the first trade nothing is due, so the first trade can set off both.
    submit(
        engine, stop(1, SELL, 110, 1), take_profit(2, BUY, 120, 1), stop(3, BUY, 95, 1), stop(4, BUY, 90, 1)
    )
    assert [order for kind, order in told(last(engine, 100)) if kind == "triggered"] == [4, 3, 2, 1]


def test_stops_set_each_other_off_in_a_queue(engine: Any) -> None:
    submit(engine, limit(1, SELL, 100, 1), limit(2, SELL, 101, 1), limit(3, SELL, 105, 9))
    submit(engine, stop(4, BUY, 100, 1), stop(5, BUY, 100, 1), stop(6, BUY, 101, 1), limit(7, SELL, 110, 1))
    events = submit(engine, market(8, BUY, 1))
    assert [order for kind, order in told(events) if kind == "triggered"] == [4, 5, 6]
    assert trades(events) == [(1, 8, 100, 1), (2, 4, 101, 1), (3, 5, 105, 1), (3, 6, 105, 1)]
    assert {event["sequence"] for event in events} == {7}


def test_what_triggers_later_waits_behind_the_queue(engine: Any) -> None:
    submit(engine, limit(1, SELL, 100, 1), limit(2, SELL, 102, 5))
    submit(engine, stop(3, BUY, 101, 1), stop(4, BUY, 100, 1), take_profit(5, SELL, 100, 1))
    events = submit(engine, market(6, BUY, 1))
    assert [order for kind, order in told(events) if kind == "triggered"] == [4, 5, 3]


def test_the_next_command_waits_until_the_queue_is_empty(engine: Any) -> None:
    submit(engine, limit(1, SELL, 100, 1), limit(2, SELL, 101, 1), stop(3, BUY, 100, 1))
    events = submit(engine, market(4, BUY, 1), limit(5, BUY, 101, 1))
    assert told(events)[-1] == ("accepted", 5)
    assert ids(engine, BUY) == [5]


def test_a_triggered_order_is_activated_without_further_checks(engine: Any) -> None:
    submit(engine, stop_limit(1, BUY, 110, 105, 3))
    submit(engine, configure(o.LOT_STEP, 2), configure(o.TICK_STEP, 10), configure(o.MIN_NOTIONAL, 10**6))
    submit(engine, configure(o.LOT_STEP, 1), configure(o.MIN_NOTIONAL, 0))
    last(engine, 110)
    assert ids(engine, BUY) == [1]


def test_orders_trigger_only_in_continuous_trading(engine: Any) -> None:
    submit(engine, stop(1, BUY, 105, 1), phase(o.AUCTION), limit(2, BUY, 110, 1), limit(3, SELL, 110, 1))
    assert "triggered" not in kinds(submit(engine, phase(o.CLOSED)))
    assert told(submit(engine, phase(o.CONTINUOUS)))[1:] == [("triggered", 1), ("canceled", 1)]


# Phases.


def test_a_phase_change_says_the_phase(engine: Any) -> None:
    for number in (o.AUCTION, o.HALTED, o.CLOSED, o.CONTINUOUS):
        (event,) = submit(engine, phase(number, symbol=FUTURE))
        assert fields(event, "kind", "flags", "symbol", "price_ticks", "lots") == (
            "phase_changed",
            number,
            2,
            0,
            0,
        )


def test_an_auction_collects_orders_that_may_cross(engine: Any) -> None:
    submit(engine, phase(o.AUCTION), limit(1, BUY, 101, 2), limit(2, SELL, 99, 1), limit(3, SELL, 100, 1))
    assert levels(engine) == ([(101, 2)], [(99, 1), (100, 1)])
    assert (
        kinds(submit(engine, replace(3, 98, 1), amend(1, 1), cancel(2), stop(4, BUY, 9, 1, tif=o.IOC)))[-1]
        == "armed"
    )


@pytest.mark.parametrize(
    "order", [market(1, BUY, 1), limit(1, BUY, 9, 1, tif=o.IOC), limit(1, BUY, 9, 1, tif=o.FOK)]
)
def test_an_auction_takes_no_order_that_cannot_rest(engine: Any, order: Row) -> None:
    assert reasons(submit(engine, phase(o.AUCTION), order)) == [o.WRONG_PHASE]


@pytest.mark.parametrize("number", [o.HALTED, o.CLOSED])
def test_when_trading_rests_orders_may_only_go_or_shrink(engine: Any, number: int) -> None:
    submit(engine, limit(1, BUY, 100, 3), stop(2, BUY, 110, 1), phase(number))
    assert (
        reasons(submit(engine, limit(3, BUY, 9, 1), market(3, BUY, 1), replace(1, 9, 1)))
        == [o.WRONG_PHASE] * 3
    )
    assert kinds(submit(engine, amend(1, 2), cancel(2), cancel_all())) == [
        "amended",
        "canceled",
        "canceled",
        "all_canceled",
    ]


def test_an_opening_auction_trades_at_one_price(engine: Any) -> None:
    submit(
        engine,
        phase(o.AUCTION),
        limit(1, BUY, 103, 2, account=1),
        limit(2, BUY, 102, 5),
        limit(3, BUY, 100, 5),
    )
    submit(engine, limit(4, SELL, 99, 3, account=2), limit(5, SELL, 101, 2), limit(6, SELL, 104, 5))
    changed, *events = submit(engine, phase(o.CONTINUOUS))
    # 5 would trade at 101 and at 102: the surplus is 2 either way, so the lower counts.
    assert fields(changed, "kind", "flags", "price_ticks", "lots") == ("phase_changed", 0, 101, 5)
    assert trades(events) == [(4, 1, 101, 2), (4, 2, 101, 1), (5, 2, 101, 2)]
    assert events[0] == {
        "kind": "traded", "side": BUY, "flags": o.IN_AUCTION, "sequence": 7, "id": 1, "account": 1, "maker_id": 4,
        "maker_account": 2, "price_ticks": 101, "lots": 2, "maker_remaining_lots": 1, "trade_id": 1,
    }  # fmt: skip
    assert levels(engine) == ([(102, 2), (100, 5)], [(104, 5)])


@pytest.mark.parametrize(
    ("bids", "asks", "last_price", "price"),
    [
        ([(105, 5), (101, 9)], [(100, 4)], 0, 105),  # most trade at all three; the surplus is least at 105
        ([(105, 5)], [(101, 5)], 104, 105),  # then nearest to the last trade
        ([(105, 5)], [(101, 5)], 102, 101),
        ([(105, 5)], [(101, 5)], 103, 101),  # then the lower
        ([(105, 5)], [(101, 5)], 0, 101),
        ([(105, 3), (104, 9)], [(101, 2), (104, 9)], 101, 104),  # most trade
    ],
)
def test_the_auctions_price(engine: Any, bids: Any, asks: Any, last_price: int, price: int) -> None:
    if last_price:
        last(engine, last_price)
    submit(engine, phase(o.AUCTION))
    submit(engine, *(limit(at + 1, BUY, *level) for at, level in enumerate(bids)))
    submit(engine, *(limit(at + 11, SELL, *level) for at, level in enumerate(asks)))
    changed, *events = submit(engine, phase(o.CONTINUOUS))
    assert fields(changed, "price_ticks") == (price,)
    assert {at for _, _, at, _ in trades(events)} == {price}


def test_an_auction_counts_hidden_quantity_and_trades_displayed_parts(engine: Any) -> None:
    submit(
        engine,
        phase(o.AUCTION),
        limit(1, BUY, 101, 5, display=2),
        limit(2, BUY, 101, 1),
        limit(3, SELL, 100, 5),
    )
    changed, *events = submit(engine, phase(o.CONTINUOUS))
    assert fields(changed, "price_ticks", "lots") == (100, 5)
    part = [("traded", 1), ("refreshed", 1)]
    assert told(events) == [*part, ("traded", 2), *part]
    assert levels(engine) == ([(101, 1)], [])


def test_an_auction_that_does_not_cross_trades_nothing(engine: Any) -> None:
    submit(engine, phase(o.AUCTION), limit(1, BUY, 100, 5), limit(2, SELL, 101, 5))
    assert kinds(submit(engine, phase(o.CONTINUOUS))) == ["phase_changed"]


def test_a_closing_auction_uncrosses_too(engine: Any) -> None:
    submit(engine, phase(o.AUCTION), limit(1, BUY, 100, 5), limit(2, SELL, 100, 5))
    assert kinds(submit(engine, phase(o.CLOSED))) == ["phase_changed", "traded"]


def test_halting_in_an_auction_uncrosses_nothing_until_trading_goes_on(engine: Any) -> None:
    submit(engine, phase(o.AUCTION), limit(1, BUY, 101, 5), limit(2, SELL, 100, 5))
    assert kinds(submit(engine, phase(o.HALTED), phase(o.AUCTION), phase(o.HALTED))) == ["phase_changed"] * 3
    assert kinds(submit(engine, phase(o.CONTINUOUS))) == ["phase_changed", "traded"]


def test_orders_rest_through_a_halt(engine: Any) -> None:
    submit(engine, limit(1, BUY, 100, 1), limit(2, BUY, 100, 1), phase(o.HALTED), phase(o.CONTINUOUS))
    assert trades(submit(engine, market(3, SELL, 2))) == [(1, 3, 100, 1), (2, 3, 100, 1)]


def test_in_an_auction_the_buy_orders_partner_goes_first(engine: Any) -> None:
    submit(engine, phase(o.AUCTION), limit(1, BUY, 100, 4, display=2), stop(2, BUY, 200, 1, link=1))
    submit(engine, limit(3, SELL, 100, 3, account=1, display=2), stop(4, SELL, 50, 1, account=1, link=3))
    _, *events = submit(engine, phase(o.CONTINUOUS))
    parts = [("canceled", 2), ("refreshed", 1), ("canceled", 4), ("refreshed", 3)]
    assert told(events) == [("traded", 1), *parts, ("traded", 1)]


def test_partners_that_meet_in_an_auction(engine: Any) -> None:
    for buy_lots, sell_lots, left in ((5, 3, [(1, 2, o.PARTNER)]), (3, 5, [(2, 2, o.PARTNER)]), (3, 3, [])):
        submit(engine, phase(o.AUCTION), limit(1, BUY, 100, buy_lots), limit(2, SELL, 100, sell_lots, link=1))
        assert canceled(submit(engine, phase(o.CONTINUOUS))) == left
        assert engine.live(PLAIN) == 0


def test_what_ended_partners_leave_crossed_trades_at_the_nearest_price(engine: Any) -> None:
    submit(engine, phase(o.AUCTION), limit(1, BUY, 105, 10), limit(2, BUY, 105, 10, link=1))
    submit(engine, limit(3, BUY, 100, 10), limit(4, SELL, 99, 20))
    changed, *events = submit(engine, phase(o.CONTINUOUS))
    assert fields(changed, "price_ticks", "lots") == (105, 20)  # as it was determined first
    assert trades(events) == [(4, 1, 105, 10), (4, 3, 100, 10)]


# Accounts.


def test_an_unaccounted_symbol_counts_nothing(engine: Any) -> None:
    submit(engine, limit(1, BUY, 100, 5), limit(2, SELL, 100, 3, account=1))
    assert engine.picture()["accounts"] == {}
    assert engine.picture()["balances"] == {}


def test_deposits_and_withdrawals_move_free_balances(engine: Any) -> None:
    (event,) = submit(engine, deposit(USD, 2, 70))
    assert event == {
        "kind": "deposited",
        "symbol": USD,
        "account": 2,
        "lots": 70,
        "remaining_lots": 70,
        "id": 0,
    }
    (event,) = submit(engine, withdraw(USD, 2, 30))
    assert fields(event, "kind", "symbol", "account", "lots", "remaining_lots") == (
        "withdrawn",
        USD,
        2,
        30,
        40,
    )
    assert engine.picture()["supply"] == [0, 40]


def test_spot_orders_reserve_what_they_may_need(engine: Any) -> None:
    funded(engine)
    spot = {"symbol": COIN}
    submit(engine, limit(1, BUY, 100, 7, **spot), limit(2, SELL, 110, 5, **spot))
    submit(
        engine,
        stop_limit(3, BUY, 120, 130, 2, **spot),
        stop(4, SELL, 90, 6, **spot),
        stop(5, BUY, 120, 9, **spot),
    )
    assert balance(engine, 0, USD) == (10_000 - 1_400 - 520, 1_920)
    assert balance(engine, 0, BTC) == (300 - 15 - 18, 33)
    assert account(engine, 0, COIN) == (5, 18, 11, 0, 0)
    submit(engine, amend(1, 3, **spot), replace(2, 111, 1, **spot), cancel(3, **spot))
    assert balance(engine, 0, USD) == (10_000 - 600, 600)
    assert balance(engine, 0, BTC) == (300 - 21, 21)
    submit(engine, cancel_all(**spot))
    check_empty(engine)


def test_a_spot_taker_pays_the_makers_price_from_its_free_balance(engine: Any) -> None:
    funded(engine)
    submit(engine, limit(1, SELL, 90, 4, symbol=COIN, account=1))
    submit(engine, limit(2, BUY, 100, 10, symbol=COIN))
    assert balance(engine, 0, USD) == (10_000 - 4 * 90 * 2 - 6 * 100 * 2, 6 * 100 * 2)
    assert balance(engine, 0, BTC) == (312, 0)
    assert balance(engine, 1, USD) == (10_720, 0)
    assert balance(engine, 1, BTC) == (288, 0)


def test_spot_fees_are_a_share_of_what_is_received_rounded_down(engine: Any) -> None:
    funded(engine)
    spot = {"symbol": COIN}
    submit(engine, configure(o.TAKER_PPM, 5_000, **spot), configure(o.MAKER_PPM, 1_000, **spot))
    trade = submit(engine, limit(1, SELL, 101, 49, account=1, **spot), limit(2, BUY, 101, 49, **spot))[-1]
    # 147 BTC atoms * 0.005 = 0.735; 9,898 USD atoms * 0.001 = 9.898.
    assert fields(trade, "fee", "maker_fee") == (0, 9)
    assert (balance(engine, 0, BTC), balance(engine, 1, USD)) == ((447, 0), (19_889, 0))
    trade = submit(engine, limit(3, BUY, 101, 40, account=1, **spot), market(4, SELL, 40, **spot))[-1]
    # 8,080 USD atoms * 0.005 = 40.4; 120 BTC atoms * 0.001 = 0.12.
    assert fields(trade, "fee", "maker_fee") == (40, 0)
    assert engine.picture()["fees"] == [0, 49]


def test_spot_fees_are_no_rebates(engine: Any) -> None:
    for parameter in (o.MAKER_PPM, o.TAKER_PPM):
        assert reasons(submit(engine, configure(parameter, -1, symbol=COIN))) == [o.BAD_VALUE]
        assert kinds(submit(engine, configure(parameter, -1, symbol=FUTURE))) == ["configured"]


def test_a_market_buy_takes_what_the_free_balance_pays(engine: Any) -> None:
    funded(engine)
    submit(
        engine,
        limit(1, SELL, 100, 30, symbol=COIN, account=1),
        limit(2, SELL, 300, 30, symbol=COIN, account=1),
    )
    events = submit(engine, market(3, BUY, 60, symbol=COIN))
    # 4,000 of 10,000 are left for 600 a lot.
    assert trades(events) == [(1, 3, 100, 30), (2, 3, 300, 6)]
    assert canceled(events) == [(3, 24, o.OUT_OF_FUNDS)]
    assert balance(engine, 0, USD) == (400, 0)
    events = submit(engine, market(4, BUY, 1, symbol=COIN))
    assert (trades(events), canceled(events)) == ([], [(4, 1, o.OUT_OF_FUNDS)])


def test_a_market_buy_that_runs_dry_does_not_spend_what_its_own_sale_brings(engine: Any) -> None:
    funded(engine)
    submit(engine, limit(1, SELL, 100, 80, symbol=COIN))
    events = submit(engine, market(2, BUY, 80, symbol=COIN))
    assert (trades(events), canceled(events)) == ([(1, 2, 100, 50)], [(2, 30, o.OUT_OF_FUNDS)])


def test_a_triggered_market_buy_pays_as_far_as_it_can(engine: Any) -> None:
    funded(engine)
    submit(engine, stop(1, BUY, 100, 80, symbol=COIN), limit(2, SELL, 100, 90, symbol=COIN, account=1))
    submit(engine, deposit(USD, 3, 200))
    events = submit(engine, market(3, BUY, 1, symbol=COIN, account=3))
    assert trades(events) == [(2, 3, 100, 1), (2, 1, 100, 50)]
    assert canceled(events) == [(1, 30, o.OUT_OF_FUNDS)]


def test_a_market_buy_without_anything_to_take_is_not_out_of_funds(engine: Any) -> None:
    assert canceled(submit(engine, market(1, BUY, 5, symbol=COIN))) == [(1, 5, o.IOC_REMAINDER)]


def test_in_a_spot_auction_the_difference_to_the_limit_is_freed(engine: Any) -> None:
    funded(engine, fees=True)
    submit(engine, phase(o.AUCTION, symbol=COIN), limit(1, BUY, 110, 10, symbol=COIN))
    submit(engine, limit(2, SELL, 100, 4, symbol=COIN, account=1))
    trade = submit(engine, phase(o.CONTINUOUS, symbol=COIN))[-1]
    assert fields(trade, "price_ticks", "lots") == (100, 4)
    submit(engine, phase(o.AUCTION, symbol=COIN), limit(3, BUY, 105, 2, symbol=COIN))
    submit(engine, limit(4, SELL, 104, 8, symbol=COIN, account=1))
    trades_told = submit(engine, phase(o.CONTINUOUS, symbol=COIN))[1:]
    assert [fields(trade, "price_ticks", "lots") for trade in trades_told] == [(104, 6), (104, 2)]
    # Both pay the maker's fee, here 0.1 %: of 18 BTC atoms, and of 1,248 USD atoms.
    assert fields(trades_told[0], "fee", "maker_fee") == (0, 1)
    assert balance(engine, 0, USD) == (10_000 - 800 - 1_664, 0)


def test_linear_positions_and_cash(engine: Any) -> None:
    submit(engine, limit(1, SELL, 100, 7, symbol=FUTURE, account=1), limit(2, BUY, 101, 9, symbol=FUTURE))
    assert account(engine, 0, FUTURE) == (1, 2, 0, 7, -3_500)
    assert account(engine, 1, FUTURE) == (0, 0, 0, -7, 3_500)
    assert engine.picture()["balances"] == {}


def test_linear_fees_are_a_share_of_the_notional_out_of_the_cash(engine: Any) -> None:
    submit(
        engine, configure(o.MAKER_PPM, -1_000, symbol=FUTURE), configure(o.TAKER_PPM, 2_000, symbol=FUTURE)
    )
    submit(engine, limit(1, SELL, 100, 7, symbol=FUTURE, account=1))
    trade = submit(engine, market(2, BUY, 7, symbol=FUTURE))[-1]
    assert fields(trade, "fee", "maker_fee") == (7, -4)
    assert account(engine, 0, FUTURE)[3:] == (7, -3_507)
    assert account(engine, 1, FUTURE)[3:] == (-7, 3_504)
    assert engine.picture()["fees"] == [0, 3]


def test_linear_open_orders_are_counted_as_if_filled(engine: Any) -> None:
    submit(engine, configure(o.MAX_POSITION_LOTS, 10, symbol=FUTURE))
    future = {"symbol": FUTURE}
    submit(engine, limit(1, SELL, 100, 4, account=1, **future), limit(2, BUY, 100, 4, **future))
    submit(engine, limit(3, BUY, 90, 4, **future), stop(4, BUY, 120, 2, **future))
    assert (
        reasons(submit(engine, limit(5, BUY, 90, 1, **future), market(5, BUY, 1, **future)))
        == [o.POSITION_LIMIT] * 2
    )
    assert kinds(submit(engine, limit(5, SELL, 110, 14, **future))) == ["accepted"]
    assert (
        reasons(submit(engine, limit(6, SELL, 110, 1, **future), replace(3, 91, 5, **future)))
        == [o.POSITION_LIMIT] * 2
    )
    assert kinds(submit(engine, replace(3, 91, 4, **future))) == ["replaced"]
    submit(engine, cancel_all(**future))
    check_empty(engine)


def test_an_account_has_a_number_of_open_orders(engine: Any) -> None:
    submit(engine, configure(o.MAX_OPEN_ORDERS, 2, symbol=FUTURE))
    future = {"symbol": FUTURE}
    submit(engine, limit(1, BUY, 100, 1, **future), stop(2, BUY, 110, 1, **future))
    events = submit(engine, limit(3, BUY, 100, 1, **future), trailing(3, BUY, 1, 1, **future))
    assert reasons(events) == [o.TOO_MANY_ORDERS] * 2
    passing = [market(3, BUY, 1, **future), limit(3, BUY, 1, 1, tif=o.FOK, **future)]
    assert (
        reasons(
            submit(engine, *passing, replace(1, 90, 1, **future), limit(4, BUY, 9, 1, account=1, **future))
        )
        == []
    )


def test_money_is_conserved_with_every_fee(engine: Any) -> None:
    funded(engine, fees=True)
    submit(engine, configure(o.TAKER_PPM, 100_000, symbol=COIN))
    for symbol in (COIN, FUTURE):
        for at in range(4):
            both = [
                limit(1, SELL, 97 + at, 7, account=1),
                limit(2, BUY, 97 + at, 9),
                market(3, SELL, 2, account=1),
            ]
            submit(engine, *(with_fields(row, symbol=symbol) for row in both), cancel_all(0, symbol=symbol))
    picture = engine.picture()
    assert all(picture["fees"])
    cash = sum(account(engine, number, FUTURE)[4] for number in (0, 1))
    for asset, owed in ((BTC, 0), (USD, cash)):
        held = sum(sum(row) for key, row in picture["balances"].items() if key[1] == asset)
        assert held + owed + picture["fees"][asset] == picture["supply"][asset]
    assert sum(account(engine, number, FUTURE)[3] for number in (0, 1)) == 0
    check_empty(engine)


# Settings.


def test_configure_says_what_it_set(engine: Any) -> None:
    (event,) = submit(engine, configure(o.TAKER_PPM, 70, symbol=COIN))
    assert fields(event, "kind", "flags", "lots", "symbol", "id") == ("configured", o.TAKER_PPM, 70, COIN, 0)
    assert engine.picture()["symbols"][COIN][5] == (1, 1, 0, 0, 0, 2**40, 2**40, 0, 70)


@pytest.mark.parametrize(
    ("parameter", "least", "most"),
    [
        (o.TICK_STEP, 1, 2**40),
        (o.LOT_STEP, 1, 2**40),
        (o.MIN_NOTIONAL, 0, 2**60),
        (o.BAND_UP_PPM, 0, 4_000_000),
        (o.BAND_DOWN_PPM, 0, 1_000_000),
        (o.MAX_OPEN_ORDERS, 1, 2**40),
        (o.MAX_POSITION_LOTS, 1, 2**40),
        (o.MAKER_PPM, -100_000, 100_000),
        (o.TAKER_PPM, -100_000, 100_000),
    ],
)
def test_each_setting_has_a_range(engine: Any, parameter: int, least: int, most: int) -> None:
    events = submit(engine, *(configure(parameter, value) for value in (least - 1, least, most, most + 1)))
    assert kinds(events) == ["rejected", "configured", "configured", "rejected"]
    assert reasons(events) == [o.BAD_VALUE] * 2


def test_settings_leave_open_orders_alone(engine: Any) -> None:
    submit(engine, limit(1, BUY, 101, 3))
    submit(engine, configure(o.TICK_STEP, 10), configure(o.LOT_STEP, 2), configure(o.MIN_NOTIONAL, 10**6))
    assert levels(engine) == ([(101, 3)], [])
    assert kinds(submit(engine, amend(1, 2), cancel(1))) == ["amended", "canceled"]


def test_the_band_around_the_last_trade_is_inclusive(engine: Any) -> None:
    submit(
        engine,
        configure(o.BAND_UP_PPM, 55_000),
        configure(o.BAND_DOWN_PPM, 15_000),
        limit(1, BUY, 2, 1),
        cancel(1),
    )
    last(engine, 199)  # 199 + 10, 199 - 2
    events = submit(engine, *(limit(price, BUY, price, 1) for price in (196, 197)))
    assert kinds(events) == ["rejected", "accepted"]
    events = submit(engine, *(limit(price, SELL, price, 1) for price in (209, 210)), replace(209, 210, 1))
    assert kinds(events) == ["accepted", "rejected", "rejected"]
    assert reasons(events) == [o.OUTSIDE_BAND] * 2


def test_the_band_follows_the_last_trade_and_can_be_lifted(engine: Any) -> None:
    submit(engine, configure(o.BAND_UP_PPM, 100_000))
    last(engine, 100)
    last(engine, 110)
    assert (
        kinds(submit(engine, limit(1, SELL, 121, 1), configure(o.BAND_UP_PPM, 0), limit(2, SELL, 999, 1)))[-1]
        == "accepted"
    )


def test_the_band_is_for_limit_orders_and_replaces_alone(engine: Any) -> None:
    submit(engine, configure(o.BAND_UP_PPM, 10_000), configure(o.BAND_DOWN_PPM, 10_000))
    last(engine, 100)
    submit(engine, limit(1, SELL, 101, 1))
    events = submit(engine, stop_limit(2, BUY, 150, 200, 1), market(3, BUY, 1))
    assert kinds(events) == ["armed", "accepted", "traded"]


# What is rejected.

OPEN = [
    limit(1, BUY, 90, 6),
    limit(2, BUY, 90, 6, account=1),
    stop(3, BUY, 500, 6),
    limit(4, BUY, 89, 6, display=2),
    limit(5, BUY, 88, 6),
    limit(6, BUY, 87, 6, link=5),
    limit(7, BUY, 86, 6, flags=o.POST_ONLY),
    limit(8, BUY, 90, 6, symbol=FUTURE),
    limit(9, SELL, 110, 6, account=1),
    stop(10, SELL, 20, 6),
    limit(11, SELL, 300, 6, symbol=COIN),
]
STEPS = [configure(o.TICK_STEP, 10), configure(o.LOT_STEP, 2)]
HUGE = limit(20, BUY, 2**40, 2**20 + 1)
REJECTED = {
    "unknown kind": ([], command(17), o.BAD_KIND),
    "kind 0": ([], command(0, symbol=9), o.BAD_KIND),
    "symbol too high": ([], limit(20, BUY, 100, 1, symbol=3), o.UNKNOWN_SYMBOL),
    "symbol negative": ([], limit(20, BUY, 100, 1, symbol=-1, account=-1), o.UNKNOWN_SYMBOL),
    "account too high": ([], limit(20, BUY, 100, 1, account=4), o.UNKNOWN_ACCOUNT),
    "account negative": ([], market(0, BUY, 1, account=-1), o.UNKNOWN_ACCOUNT),
    "id 0": ([], limit(0, 0, 100, 1), o.BAD_ID),
    "id negative": ([], stop(-5, BUY, 100, 1), o.BAD_ID),
    "no side": ([], limit(20, 0, 100, 1, tif=9), o.BAD_SIDE),
    "side 2": ([], market(20, 2, 1), o.BAD_SIDE),
    "unknown time in force": ([], limit(20, BUY, 100, 1, tif=4, stp=9), o.BAD_TIME_IN_FORCE),
    "negative time in force": ([], limit(20, BUY, 100, 1, tif=-1), o.BAD_TIME_IN_FORCE),
    "market with FOK": ([], market(20, BUY, 1, tif=o.FOK), o.BAD_TIME_IN_FORCE),
    "market with GTD": ([], market(20, BUY, 1, tif=o.GTD, expire=99), o.BAD_TIME_IN_FORCE),
    "stop with FOK": ([], stop(20, BUY, 500, 1, tif=o.FOK), o.BAD_TIME_IN_FORCE),
    "take-profit with FOK": ([], take_profit(20, BUY, 50, 1, tif=o.FOK), o.BAD_TIME_IN_FORCE),
    "trailing stop with FOK": ([], trailing(20, BUY, 5, 1, tif=o.FOK), o.BAD_TIME_IN_FORCE),
    "unknown self-trade mode": ([], limit(20, BUY, 100, 1, stp=5, flags=9), o.BAD_SELF_TRADE),
    "negative self-trade mode": ([], limit(20, BUY, 100, 1, stp=-1), o.BAD_SELF_TRADE),
    "unknown flag": ([], limit(20, BUY, 100, 0, flags=2), o.BAD_FLAGS),
    "negative flags": ([], limit(20, BUY, 100, 1, flags=-1), o.BAD_FLAGS),
    "post-only market": ([], market(20, BUY, 1, flags=o.POST_ONLY), o.BAD_FLAGS),
    "post-only IOC": ([], limit(20, BUY, 100, 1, flags=o.POST_ONLY, tif=o.IOC), o.BAD_FLAGS),
    "post-only stop-limit": ([], stop_limit(20, BUY, 500, 100, 1, flags=o.POST_ONLY), o.BAD_FLAGS),
    "no quantity": (STEPS, limit(20, BUY, 0, 0), o.BAD_LOTS),
    "negative quantity": ([], market(20, BUY, -1), o.BAD_LOTS),
    "too much": ([], limit(20, BUY, 1, 2**40 + 1), o.BAD_LOTS),
    "off lot": (STEPS, limit(20, BUY, 0, 3), o.OFF_LOT),
    "price 0": ([], limit(20, BUY, 0, 1), o.BAD_PRICE),
    "price negative": ([], stop_limit(20, BUY, 500, -1, 1), o.BAD_PRICE),
    "price too high": ([], limit(20, SELL, 2**40 + 1, 1, display=-1), o.BAD_PRICE),
    "off tick": (STEPS, limit(20, BUY, 101, 2, display=-1), o.OFF_TICK),
    "off tick stop-limit": (STEPS, stop_limit(20, BUY, 500, 101, 2), o.OFF_TICK),
    "negative display": ([], limit(20, BUY, 100, 5, display=-1), o.BAD_DISPLAY),
    "display above quantity": ([], limit(20, BUY, 100, 5, display=6), o.BAD_DISPLAY),
    "too many parts": ([], limit(20, BUY, 100, 101, display=1), o.BAD_DISPLAY),
    "iceberg market": ([], market(20, BUY, 5, display=2), o.BAD_DISPLAY),
    "iceberg IOC": ([], limit(20, BUY, 100, 5, display=2, tif=o.IOC), o.BAD_DISPLAY),
    "iceberg stop-limit": ([], stop_limit(20, BUY, 0, 100, 5, display=2), o.BAD_DISPLAY),
    "trigger 0": ([], stop(20, BUY, 0, 1), o.BAD_TRIGGER),
    "trigger too high": ([], take_profit(20, SELL, 2**40 + 1, 1, tif=o.GTD), o.BAD_TRIGGER),
    "trigger off tick": (STEPS, stop_limit(20, BUY, 505, 100, 2), o.BAD_TRIGGER),
    "distance 0": ([], trailing(20, BUY, 0, 1), o.BAD_TRIGGER),
    "distance too far": ([], trailing(20, BUY, 2**40 + 1, 1), o.BAD_TRIGGER),
    "expiry now": ([time(7)], limit(20, BUY, 100, 1, tif=o.GTD, expire=7), o.BAD_EXPIRY),
    "expiry with the command": ([], stop(20, BUY, 500, 1, tif=o.GTD, expire=7, ts=7), o.BAD_EXPIRY),
    "notional": ([phase(o.HALTED)], HUGE, o.NOTIONAL_TOO_LARGE),
    "notional in atoms": ([], limit(20, BUY, 2**30, 2**29 + 1, symbol=COIN, ts=1), o.NOTIONAL_TOO_LARGE),
    "halted": ([last, phase(o.HALTED)], limit(20, BUY, 100, 1), o.WRONG_PHASE),
    "halted market": ([phase(o.HALTED)], market(20, BUY, 1), o.WRONG_PHASE),
    "closed stop": ([phase(o.CLOSED)], stop(20, BUY, 500, 1), o.WRONG_PHASE),
    "above the band": ([last, configure(o.BAND_UP_PPM, 10_000)], limit(20, BUY, 102, 1), o.OUTSIDE_BAND),
    "below the band": (
        [last, configure(o.BAND_DOWN_PPM, 10_000), configure(o.MIN_NOTIONAL, 10**9)],
        limit(20, BUY, 98, 1),
        o.OUTSIDE_BAND,
    ),
    "small": ([configure(o.MIN_NOTIONAL, 1_000)], limit(1, BUY, 333, 3), o.NOTIONAL_TOO_SMALL),
    "small stop-limit": ([configure(o.MIN_NOTIONAL, 1_000)], stop_limit(1, BUY, 500, 333, 3), o.NOTIONAL_TOO_SMALL),
    "duplicate": ([], limit(1, BUY, 100, 1, link=99), o.DUPLICATE_ID),
    "duplicate of a waiting order": ([], market(3, BUY, 1), o.DUPLICATE_ID),
    "duplicate in another symbol": ([], limit(8, BUY, 100, 1, account=1), o.DUPLICATE_ID),
    "no partner": ([last], stop(20, BUY, 99, 1, link=99), o.BAD_LINK),
    "itself as partner": ([], limit(20, BUY, 100, 1, link=20), o.BAD_LINK),
    "negative partner": ([], limit(20, BUY, 100, 1, link=-1), o.BAD_LINK),
    "another's partner": ([], limit(20, BUY, 100, 1, link=2), o.BAD_LINK),
    "partner in another symbol": ([], limit(20, BUY, 100, 1, link=8), o.BAD_LINK),
    "taken partner": ([], limit(20, BUY, 100, 1, link=5), o.BAD_LINK),
    "linked IOC": ([], limit(20, BUY, 100, 1, link=1, tif=o.IOC), o.BAD_LINK),
    "linked market": ([], market(20, BUY, 1, link=1), o.BAD_LINK),
    "due stop": ([last], stop(20, SELL, 100, 1), o.WOULD_TRIGGER),
    "due take-profit": ([last], take_profit(20, SELL, 100, 1), o.WOULD_TRIGGER),
    "post-only": ([], limit(20, BUY, 110, 1, flags=o.POST_ONLY), o.WOULD_TAKE),
    "many orders": (
        [configure(o.MAX_OPEN_ORDERS, 1, symbol=FUTURE)], limit(20, BUY, 9, 1, symbol=FUTURE), o.TOO_MANY_ORDERS
    ),
    "position": (
        [configure(o.MAX_POSITION_LOTS, 9, symbol=FUTURE)], limit(20, BUY, 9, 4, symbol=FUTURE), o.POSITION_LIMIT
    ),
    "short position": (
        [configure(o.MAX_POSITION_LOTS, 9, symbol=FUTURE)], market(20, SELL, 10, symbol=FUTURE), o.POSITION_LIMIT
    ),
    "no money": ([], limit(20, BUY, 100, 51, symbol=COIN), o.INSUFFICIENT_FUNDS),
    "no money for an IOC": ([], limit(20, BUY, 100, 51, symbol=COIN, tif=o.IOC), o.INSUFFICIENT_FUNDS),
    "no money for a stop": ([], stop_limit(20, BUY, 500, 100, 51, symbol=COIN), o.INSUFFICIENT_FUNDS),
    "no coins": ([], market(20, SELL, 95, symbol=COIN), o.INSUFFICIENT_FUNDS),
    "no coins for a stop": ([], stop(20, SELL, 50, 95, symbol=COIN), o.INSUFFICIENT_FUNDS),
    "full book": ([limit(at, BUY, 9, 1) for at in range(21, 21 + ROOM - 9)], limit(20, BUY, 9, 1), o.BOOK_FULL),
    "full of stops": ([stop(at, BUY, 999, 1) for at in range(21, 21 + ROOM - 9)], stop(20, BUY, 999, 1), o.BOOK_FULL),
    "full of hidden parts": ([limit(21, BUY, 9, 23, display=1)], limit(20, BUY, 9, 2, display=1), o.BOOK_FULL),
    "replace symbol": ([], replace(1, 100, 1, symbol=3, account=9), o.UNKNOWN_SYMBOL),
    "replace account": ([], replace(0, 100, 1, account=9), o.UNKNOWN_ACCOUNT),
    "replace id": ([], replace(0, 100, 1), o.BAD_ID),
    "replace with a negative id": ([], replace(99, 100, 1, new_id=-1), o.BAD_ID),
    "replace unknown": ([], replace(99, 100, 1), o.UNKNOWN_ID),
    "replace in another symbol": ([], replace(8, 100, 1), o.UNKNOWN_ID),
    "replace another's": ([], replace(2, 100, 1), o.NOT_OWNER),
    "replace another's stop": ([], replace(3, 100, 1, account=1), o.NOT_OWNER),
    "replace a stop": ([], replace(3, 100, 1, side=SELL), o.NOT_RESTING),
    "replace on the other side": (STEPS, replace(1, 100, 0, side=SELL), o.BAD_SIDE),
    "replace with a bad side": ([], replace(1, 100, 1, side=3), o.BAD_SIDE),
    "replace with nothing": (STEPS, replace(1, 0, 0), o.BAD_LOTS),
    "replace with too much": ([], replace(1, 1, 2**40 + 1), o.BAD_LOTS),
    "replace off lot": (STEPS, replace(1, 0, 3), o.OFF_LOT),
    "replace at 0": (STEPS, replace(1, 0, 2), o.BAD_PRICE),
    "replace too high": ([], replace(1, 2**40 + 1, 2), o.BAD_PRICE),
    "replace off tick": (STEPS, replace(4, 101, 202), o.OFF_TICK),
    "replace with too many parts": ([phase(o.HALTED)], replace(4, 2**40, 2**40), o.BAD_DISPLAY),
    "replace with too large a notional": ([phase(o.HALTED)], replace(1, 2**40, 2**20 + 1), o.NOTIONAL_TOO_LARGE),
    "replace in a halt": ([last, configure(o.BAND_UP_PPM, 1), phase(o.HALTED)], replace(1, 200, 1), o.WRONG_PHASE),
    "replace outside the band": (
        [last, configure(o.BAND_UP_PPM, 1), configure(o.MIN_NOTIONAL, 10**9)], replace(1, 200, 1), o.OUTSIDE_BAND
    ),
    "replace with little": ([configure(o.MIN_NOTIONAL, 10**9)], replace(1, 100, 1, new_id=2), o.NOTIONAL_TOO_SMALL),
    "replace with a used id": ([], replace(7, 110, 1, new_id=8), o.DUPLICATE_ID),
    "replace post-only": ([], replace(7, 110, 1), o.WOULD_TAKE),
    "replace with too much position": (
        [configure(o.MAX_POSITION_LOTS, 9, symbol=FUTURE)], replace(8, 9, 10, symbol=FUTURE), o.POSITION_LIMIT
    ),
    "replace without coins": ([], replace(11, 300, 101, symbol=COIN), o.INSUFFICIENT_FUNDS),
    "replace with hidden parts": ([], replace(4, 89, 54), o.BOOK_FULL),
    "cancel in no symbol": ([], cancel(1, symbol=3), o.UNKNOWN_SYMBOL),
    "cancel for no account": ([], cancel(0, account=4), o.UNKNOWN_ACCOUNT),
    "cancel id 0": ([], cancel(0), o.BAD_ID),
    "cancel unknown": ([], cancel(99), o.UNKNOWN_ID),
    "cancel in another symbol": ([], cancel(8), o.UNKNOWN_ID),
    "cancel another's": ([], cancel(2), o.NOT_OWNER),
    "amend in no symbol": ([], amend(1, 1, symbol=-1), o.UNKNOWN_SYMBOL),
    "amend for no account": ([], amend(1, 1, account=-1), o.UNKNOWN_ACCOUNT),
    "amend id negative": ([], amend(-1, 1), o.BAD_ID),
    "amend unknown": ([], amend(99, 1), o.UNKNOWN_ID),
    "amend another's": ([], amend(2, 0), o.NOT_OWNER),
    "amend a stop": ([], amend(3, 0), o.NOT_RESTING),
    "amend to nothing": ([], amend(1, 0), o.BAD_LOTS),
    "amend to as much": (STEPS, amend(4, 6), o.BAD_LOTS),
    "amend off lot": (STEPS, amend(1, 3), o.OFF_LOT),
    "cancel all in no symbol": ([], cancel_all(9, symbol=3), o.UNKNOWN_SYMBOL),
    "cancel all of no account": ([], cancel_all(4), o.UNKNOWN_ACCOUNT),
    "phase of no symbol": ([], phase(9, symbol=3), o.UNKNOWN_SYMBOL),
    "unknown phase": ([], phase(4), o.BAD_VALUE),
    "negative phase": ([], phase(-1), o.BAD_VALUE),
    "the phase it has": ([], phase(o.CONTINUOUS), o.WRONG_PHASE),
    "setting of no symbol": ([], configure(9, 0, symbol=-1), o.UNKNOWN_SYMBOL),
    "unknown setting": ([], configure(o.PARAMETERS, -1), o.BAD_PARAMETER),
    "negative setting": ([], configure(-1, 0), o.BAD_PARAMETER),
    "bad value": ([], configure(o.TICK_STEP, 0), o.BAD_VALUE),
    "deposit of no asset": ([], deposit(2, 9, 1), o.UNKNOWN_ASSET),
    "deposit for no account": ([], deposit(BTC, 4, 0), o.UNKNOWN_ACCOUNT),
    "deposit of nothing": ([], deposit(BTC, 0, 0), o.BAD_LOTS),
    "deposit of too much": ([], deposit(BTC, 0, 2**60 + 1), o.BAD_LOTS),
    "deposit past the supply": ([deposit(BTC, 3, 2**60)] * 3, deposit(BTC, 2, 2**60), o.BAD_LOTS),
    "withdrawal of no asset": ([], withdraw(-1, 9, 1), o.UNKNOWN_ASSET),
    "withdrawal for no account": ([], withdraw(BTC, -1, 0), o.UNKNOWN_ACCOUNT),
    "withdrawal of nothing": ([], withdraw(BTC, 2, 0), o.BAD_LOTS),
    "withdrawal of what is reserved": ([], withdraw(BTC, 0, 283), o.INSUFFICIENT_FUNDS),
}  # fmt: skip


@pytest.mark.parametrize("name", REJECTED)
def test_a_rejected_command_changes_nothing(engine: Any, name: str) -> None:
    before, wrong, reason = REJECTED[name]
    funded(engine)
    assert reasons(submit(engine, *OPEN)) == []
    for part in before:
        assert reasons(last(engine, 100) if part is last else submit(engine, part)) == []
    state = engine.state_hash()
    update_numbers = [engine.update_number(symbol) for symbol in engine.symbols]
    (event,) = submit(engine, wrong)
    named = dict(zip(o.COMMAND.names or (), wrong, strict=True))
    echoed = ("side", "symbol", "account", "price_ticks", "lots")
    assert fields(event, "kind", "reason", "id") == ("rejected", reason, named["order_id"])
    assert fields(event, *echoed) == tuple(named[name] for name in echoed)
    assert fields(event, "remaining_lots", "maker_id", "maker_account", "flags") == (0, 0, 0, 0)
    assert engine.state_hash() == state
    assert [engine.update_number(symbol) for symbol in engine.symbols] == update_numbers


def test_every_reason_to_reject_has_a_case() -> None:
    assert {reason for *_, reason in REJECTED.values()} == {
        reason for reason in o.REASONS if reason < o.BY_CANCEL_ALL
    }


def test_a_symbol_has_a_number_of_trailing_stops(engine: Any) -> None:
    wide = type(engine)([BOOKS[0]], ACCOUNTS, 2_048)
    wide.submit(rows([trailing(at + 1, BUY, 5, 1) for at in range(o.MAX_TRAILING)]))
    events = wide.submit(rows([trailing(5_000, BUY, 5, 1), stop(5_001, BUY, 500, 1)])).rows
    assert events["kind"].tolist() == [o.REJECTED, o.ARMED]
    assert events["reason"].tolist() == [o.BOOK_FULL, 0]


def test_a_full_book_still_takes_orders_that_do_not_rest(engine: Any) -> None:
    submit(engine, *(limit(at + 1, BUY, 100, 1) for at in range(ROOM)))
    assert reasons(submit(engine, limit(99, SELL, 101, 1))) == [o.BOOK_FULL]
    assert len(trades(submit(engine, market(99, SELL, 1)))) == 1
    assert kinds(submit(engine, limit(99, SELL, 101, 1), replace(2, 99, 5))) == ["accepted", "replaced"]


def test_what_a_kind_does_not_use_is_not_looked_at(engine: Any) -> None:
    submit(engine, configure(o.TICK_STEP, 10))
    noise = {"trigger": -1, "expire": -1, "parameter": -1}
    assert reasons(submit(engine, market(1, BUY, 1, price=-3, **noise), limit(2, BUY, 100, 2, **noise))) == []
    noise |= {"side": 9, "tif": 9, "stp": 9, "flags": 9, "display": -1}
    assert reasons(submit(engine, amend(2, 1, price=-3, **noise), cancel(2, lots=-1, link=-1, **noise))) == []
    noise |= {"order_id": -1, "price": -3}
    assert reasons(submit(engine, cancel_all(lots=-1, **noise), deposit(BTC, 0, 1, **noise))) == []
    del noise["parameter"]
    assert reasons(submit(engine, phase(1, account=-1, **noise), configure(0, 1, account=-1, **noise))) == []
    assert submit(engine, command(o.TIME, symbol=-1, account=-1, **noise)) == []


# Market data.


def test_changed_rebuilds_the_book(engine: Any) -> None:
    book: dict[tuple[int, int, int], int] = {}
    for batch in (
        [
            limit(1, SELL, 100, 9, display=2),
            limit(2, SELL, 100, 1),
            limit(3, BUY, 99, 5),
            limit(4, BUY, 2**39, 4),
        ],
        [amend(3, 2), replace(1, 101, 9), limit(5, SELL, 99, 1)],
        [limit(6, BUY, 101, 3), cancel(3), market(7, SELL, 9)],
        [phase(o.AUCTION), limit(8, BUY, 105, 4), limit(9, SELL, 90, 1), phase(o.CONTINUOUS)],
    ):
        changed = engine.submit(rows(batch)).changed
        assert len({tuple(row[:3]) for row in changed.tolist()}) == len(changed)
        apply(book, changed)
        for side, top in zip((BUY, SELL), engine.top(PLAIN, EVERY_LEVEL), strict=True):
            assert {price: lots for (_, at, price), lots in book.items() if at == side} == dict(top.tolist())


def test_a_level_that_came_and_went_is_told_as_gone(engine: Any) -> None:
    changed = engine.submit(rows([limit(1, BUY, 100, 1), cancel(1)])).changed
    assert changed.tolist() == [(0, BUY, 100, 0)]


def test_the_update_number_counts_changes_of_levels(engine: Any) -> None:
    steps = [
        (limit(1, SELL, 100, 5, display=2), 1),  # rest
        (limit(2, BUY, 100, 3), 3),  # trade, refresh, trade
        (amend(1, 1), 1),
        (replace(1, 101, 2), 2),  # removal, rest
        (limit(3, BUY, 101, 1, stp=o.DECREMENT), 1),  # prevention
        (stop(4, BUY, 500, 1), 0),
        (cancel(1), 1),
        (phase(o.AUCTION), 0),
        (limit(5, BUY, 100, 1), 1),
        (limit(6, SELL, 100, 1), 1),
        (phase(o.CONTINUOUS), 2),  # an auction's trade changes two levels
    ]
    for step, more in steps:
        before = engine.update_number(PLAIN)
        submit(engine, step)
        assert engine.update_number(PLAIN) - before == more, step
    assert engine.update_number("FUTURE") == 0


def test_orders_can_be_followed_by_their_events(engine: Any) -> None:
    commands = [
        limit(1, SELL, 100, 9, display=2), limit(2, SELL, 100, 3), limit(3, BUY, 100, 4), amend(2, 1),
        replace(2, 101, 5, new_id=4), stop_limit(5, BUY, 101, 99, 2), limit(6, BUY, 99, 1, link=5), market(7, BUY, 9),
        limit(8, SELL, 99, 1), cancel(1),
    ]  # fmt: skip
    book: dict[int, tuple[int, int, int]] = {}  # by id, in the order of joining: side, price, displayed
    for step in commands:
        joins: tuple[int, ...] = ()
        for event in [*submit(engine, step), {"kind": "end"}]:
            if joins and event["kind"] in ("end", "triggered"):
                book[joins[0]] = (joins[1], joins[2], joins[3])
                joins = ()
            order_id, price = event.get("id", 0), event.get("price_ticks", 0)
            if event["kind"] in ("accepted", "triggered", "replaced"):
                book.pop(event.get("maker_id", 0), None)
                if event.get("maker_remaining_lots"):
                    joins = (order_id, event["side"], price, event["maker_remaining_lots"])
            elif event["kind"] in ("traded", "prevented"):
                side, at, shown = book[event["maker_id"]]
                book[event["maker_id"]] = (side, at, shown - event["lots"])
                if not event.get("maker_remaining_lots"):
                    del book[event["maker_id"]]
            elif event["kind"] == "refreshed":
                del book[order_id]
                book[order_id] = (event["side"], price, event["lots"])
            elif event["kind"] == "amended":
                book[order_id] = (event["side"], price, event["maker_remaining_lots"])
            elif event["kind"] == "canceled":
                book.pop(order_id, None)
        for side in (BUY, SELL):
            queue = [(row[2], row[1], row[4]) for row in engine.picture()["symbols"][0][6] if row[0] == side]
            mine = [(order_id, price, shown) for order_id, (at, price, shown) in book.items() if at == side]
            assert sorted(mine, key=lambda row: -side * row[1]) == queue


# Limits.


def test_prices_far_from_the_best_rest_and_trade_like_any_other(engine: Any) -> None:
    prices = [100, 100 + 2**18 - 1, 100 + 2**18, 100 + 2**19, 2**40, 99, 101]
    submit(engine, *(limit(at + 1, SELL, price, 1) for at, price in enumerate(prices)))
    submit(engine, limit(20, SELL, 100 + 2**19, 1), amend(4, 1), cancel(5))
    assert levels(engine)[1] == [
        (price, 2 if price == 100 + 2**19 else 1) for price in sorted(prices) if price < 2**40
    ]
    events = submit(engine, market(10, BUY, 7))
    assert [price for _, _, price, _ in trades(events)] == [
        99,
        100,
        101,
        100 + 2**18 - 1,
        100 + 2**18,
        *[100 + 2**19] * 2,
    ]
    assert [maker for maker, *_ in trades(events)][-2:] == [4, 20]
    assert levels(engine) == ([], [])


def test_a_market_that_moves_far_finds_its_orders(engine: Any) -> None:
    prices = [100, 2**20, 2**30, 2**40 - 2, 2**10, 5]
    for price in prices:
        submit(engine, limit(1, BUY, price, 1), limit(2, SELL, price + 1, 1))
        assert engine.bbo(PLAIN) == Bbo(price, 1, price + 1, 1)
        submit(engine, cancel(1), cancel(2))
    submit(engine, *(limit(price, BUY, price, 1) for price in prices))
    for price in sorted(prices, reverse=True):
        assert engine.bbo(PLAIN) == Bbo(price, 1, 0, 0)
        submit(engine, cancel(price))


def test_far_orders_are_seen_by_fok_and_auctions(engine: Any) -> None:
    submit(
        engine,
        limit(1, SELL, 100, 1),
        limit(2, SELL, 2**30, 2),
        limit(3, SELL, 2**20, 2),
        limit(4, SELL, 2**31, 2),
    )
    assert canceled(submit(engine, limit(5, BUY, 2**30, 6, tif=o.FOK))) == [(5, 6, o.FOK_UNFILLED)]
    assert len(trades(submit(engine, limit(5, BUY, 2**30, 5, tif=o.FOK)))) == 3
    submit(engine, phase(o.AUCTION), limit(6, BUY, 2**31, 1), limit(7, BUY, 5, 1))
    assert trades(submit(engine, phase(o.CONTINUOUS))) == [(4, 6, 2**31, 1)]


def test_rows_may_come_in_batches_of_any_size(engine: Any) -> None:
    events = engine.submit(np.zeros(0, o.COMMAND))
    assert (len(events.rows), len(events.changed)) == (0, 0)
    assert (events.rows.dtype, events.changed.dtype) == (o.EVENT, o.LEVEL_CHANGE)


def test_top_gives_the_best_levels(engine: Any) -> None:
    submit(
        engine, *(limit(at + 1, BUY, 100 - at, at + 1) for at in range(5)), limit(9, SELL, 101, 3, display=1)
    )
    bids, asks = engine.top(PLAIN, 2)
    assert (bids.dtype, bids.tolist(), asks.tolist()) == (o.LEVEL_TICKS, [(100, 1), (99, 2)], [(101, 1)])
    assert engine.bbo("COIN") == Bbo(0, 0, 0, 0)


# The page.


def test_the_rules_name_every_test_and_no_other() -> None:
    page = (Path(__file__).parents[2] / "engine" / "matching" / "RULES.md").read_text(encoding="utf-8")
    table = page.partition("## Where each rule is tested")[2]
    named = re.findall(r"`(test_\w+)`", table)
    assert len(set(named)) == len(named)
    assert set(named) == {name for name in globals() if name.startswith("test_")}
