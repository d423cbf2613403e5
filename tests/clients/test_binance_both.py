"""Two clients nobody here wrote, by turns on one account, agree with each other and with the desk to the last atom."""

from __future__ import annotations

import pytest

from engine.exchange.dialects.binance_trading_views import status_text
from engine.exchange.units import atoms_text, units_of
from engine.flow.simulator import books
from engine.flow.symbols import SYMBOLS
from tests.clients.environment import run
from tests.exchange.running import RunningExchange

UNITS = units_of([each.instrument for each in SYMBOLS], books())


@pytest.mark.parametrize(
    ("steps", "seed", "pause_s"),
    [(60, 1, 0.0), pytest.param(250, 2, 0.06, marks=pytest.mark.nightly)],  # within 100 orders in 10 s
    ids=["short", "long"],
)
def test_two_clients_and_the_desk_agree(steps: int, seed: int, pause_s: float) -> None:
    with RunningExchange(rate=2_000) as exchange:
        key = exchange.key()
        seen = run(
            "binance_both.py",
            within_s=20 + steps * (pause_s + 0.05),
            url=exchange.url,
            key=key.api_key,
            secret=key.secret,
            steps=steps,
            seed=seed,
            pause_s=pause_s,
        )
        desk = exchange.floor(lambda floor: floor.desk)
        orders = exchange.do(lambda _: desk.ended_orders(key.account))
        left = exchange.do(lambda _: desk.open_orders(key.account))
        fills = exchange.do(lambda _: desk.fills(key.account))
        balances = exchange.do(lambda _: desk.balances(key.account))
    assert seen["agree"] == [True, True, True]
    assert left == []
    assert seen["refused"] < steps / 2
    assert fills
    by_index = {each.index: each for each in UNITS.values()}
    orders.sort(key=lambda each: (each.symbol, each.order_id))
    assert seen["orders"] == [
        [
            each.order_id,
            status_text(each.status, each.reason),
            f"{each.lots / 10 ** by_index[each.symbol].instrument.size_decimals:.8f}",
            f"{each.filled_lots / 10 ** by_index[each.symbol].instrument.size_decimals:.8f}",
            atoms_text(by_index[each.symbol].notional_atoms(each.filled_notional)),
        ]
        for each in orders
    ]
    fills.sort(key=lambda each: each.symbol)
    assert seen["trades"] == [
        [
            each.trade_id,
            each.order_id,
            f"{each.price_ticks / 10 ** by_index[each.symbol].instrument.price_decimals:.8f}",
            f"{each.lots / 10 ** by_index[each.symbol].instrument.size_decimals:.8f}",
            atoms_text(each.fee_atoms),
            each.maker,
        ]
        for each in fills
    ]
    assert seen["balances"] == {
        each.asset: [atoms_text(each.free), atoms_text(each.reserved)] for each in balances
    }
