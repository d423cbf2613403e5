"""A robot's books, from answers and events in whatever order they come."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from engine.bots.ledger import Ledger
from engine.bots.wire import FillState, Listed, Message, OrderState, Symbol

BTC = Symbol.of(Listed("BTC-USDT", "0.1", "0.00001", "5"))


def placed(order_id: int, status: str = "new", filled: str = "0") -> Message:
    return Message(op="place", id=1, ok=True, order_id=order_id, status=status, filled=filled)


def event(kind: str, order_id: int, status: str, **more: Any) -> Message:
    return Message(ch="account", type=kind, symbol="BTC-USDT", order_id=order_id, status=status, **more)


def trade(
    trade_id: int,
    order_id: int,
    status: str,
    side: str = "buy",
    price: str = "100.0",
    size: str = "0.5",
    **more: Any,
) -> Message:
    return event(
        "trade",
        order_id,
        status,
        trade_id=trade_id,
        side=side,
        price=price,
        size=size,
        fee="0",
        fee_asset="BTC",
        **more,
    )


def test_an_order_is_open_from_its_answer_until_its_end() -> None:
    ledger = Ledger(BTC)
    ledger.on_placed(placed(7), "buy", 1_000, 100_000, 5)
    assert ledger.orders[7][1:4] == ("buy", 1_000, 100_000)
    ledger.on_event(trade(1, 7, "partially_filled", open="0.50000"))
    assert ledger.orders[7].lots == 50_000
    ledger.on_event(trade(2, 7, "filled", open="0.00000"))
    assert ledger.orders == {}
    assert (ledger.position_lots, ledger.fills) == (100_000, 2)


def test_an_answer_that_comes_after_the_orders_end_does_not_open_it_again() -> None:
    ledger = Ledger(BTC)
    ledger.on_event(event("canceled", 7, "canceled"))
    ledger.on_placed(placed(7), "buy", 1_000, 100_000, 5)
    assert ledger.orders == {}


def test_an_order_that_ended_at_once_was_never_open() -> None:
    ledger = Ledger(BTC)
    ledger.on_placed(placed(7, "expired"), "buy", 1_000, 100_000, 5)
    ledger.on_placed(placed(8, "partially_filled", "0.40000"), "buy", 1_000, 100_000, 5)
    assert [(each.order_id, each.lots) for each in ledger.orders.values()] == [(8, 60_000)]


def test_money_and_fees_are_exact() -> None:
    ledger = Ledger(BTC)
    bought = trade(1, 7, "filled", price="100.0", size="2.00000")
    ledger.on_event(_with(bought, fee="0.00200000", fee_asset="BTC"))
    sold = trade(2, 8, "filled", side="sell", price="110.0", size="1.00000")
    ledger.on_event(_with(sold, fee="0.11000000", fee_asset="USDT"))
    assert ledger.position_lots == 100_000
    assert ledger.base_atoms == 99_800_000
    assert ledger.cash_atoms == -200_00000000 + 110_00000000 - 11000000
    assert ledger.turnover_atoms == 310_00000000
    assert ledger.profit_atoms(1_200) == ledger.cash_atoms + round(0.998 * 120 * 1e8)


def test_other_symbols_and_money_that_comes_are_not_its_business() -> None:
    ledger = Ledger(BTC)
    ledger.on_event(Message(ch="account", type="trade", symbol="ETH-USDT", order_id=1, status="filled"))
    ledger.on_event(Message(ch="account", type="transfer"))
    assert (ledger.fills, ledger.orders) == (0, {})


@given(st.lists(st.tuples(st.integers(1, 6), st.integers(1, 3)), max_size=30))
def test_a_trade_told_twice_counts_once(told: list[tuple[int, int]]) -> None:
    ledger = Ledger(BTC)
    for trade_id, order_id in told:
        ledger.on_event(trade(trade_id, order_id, "partially_filled", open="0.1"))
    assert ledger.fills == len(set(told))
    assert ledger.position_lots == 50_000 * len(set(told))


def test_a_resync_finds_what_was_missed() -> None:
    ledger = Ledger(BTC)
    ledger.on_placed(placed(7), "buy", 1_000, 100_000, 5)
    ledger.on_placed(placed(8), "sell", 2_000, 100_000, 5)
    ledger.on_event(trade(1, 7, "partially_filled", open="0.50000"))
    fills = [
        FillState(number, 7, "BTC-USDT", "buy", "100.0", "0.50000", "0", "BTC", True, 9) for number in (1, 2)
    ]
    left = [
        OrderState(8, "BTC-USDT", "sell", "partially_filled", "1.0", "0.4", "0.60000", price="200.0"),
        OrderState(9, "BTC-USDT", "buy", "new", "1.0", "0", "1.00000", price="50.0"),
        OrderState(10, "ETH-USDT", "buy", "new", "1.0", "0", "1.00000", price="50.0"),
    ]
    ledger.resync(left, fills, 6)
    assert ledger.position_lots == 100_000
    assert [(each.order_id, each.side, each.lots, each.placed_ns) for each in ledger.orders.values()] == [
        (8, "sell", 60_000, 5),
        (9, "buy", 100_000, 6),
    ]
    ledger.on_placed(placed(7), "buy", 1_000, 100_000, 5)
    assert 7 not in ledger.orders


def _with(message: Message, **fields: Any) -> Message:
    import msgspec

    return msgspec.structs.replace(message, **fields)
