"""The matching engine's books under venues' names."""

from __future__ import annotations

from dataclasses import replace

import aiohttp
import pytest

from engine.exchange.listings import MARKETS
from engine.exchange.market import Market
from engine.exchange.server import LocalVenue
from engine.exchange.simulated_market import simulated_markets
from engine.flow.simulator import Simulator
from engine.flow.symbols import SYMBOLS
from tests.exchange.support import get, messages, with_venue

S = 1_000_000_000
START = 1_795_000_000 * S


@pytest.fixture(scope="module")
def markets() -> dict[str, Market]:
    make = simulated_markets(Simulator(3, 20_000.0, [replace(each, resting_orders=500) for each in SYMBOLS]))
    return {key: make(key) for key in MARKETS}


def test_changes_of_every_market_lead_from_one_snapshot_to_the_next(markets: dict[str, Market]) -> None:
    names = {key: [each.native for each in market.listings] for key, market in markets.items()}
    assert names["binance_coinm"][0] == "BTCUSD_PERP"
    for key, market in markets.items():
        for name in names[key]:
            market.activate(name, START)
        market.advance(START)
    books = {
        (key, name): market.snapshot(name, 100_000) for key, market in markets.items() for name in names[key]
    }
    sides = {at: (dict(book.bids), dict(book.asks)) for at, book in books.items()}
    updates = {at: book.last_update for at, book in books.items()}
    traded = 0
    for turn in range(1, 60):
        for key, market in markets.items():
            for change in market.advance(START + turn * S // 100):
                at = key, change.symbol
                assert change.previous_update == updates[at]
                assert (change.first_update == change.previous_update + 1) == (MARKETS[key] == "spot")
                updates[at] = change.last_update
                for side, levels in zip(sides[at], (change.bids, change.asks), strict=True):
                    for price, size in levels:
                        side.pop(price, None)
                        if size:
                            side[price] = size
                bids, asks = sides[at]
                assert change.quote == (max(bids), bids[max(bids)], min(asks), asks[min(asks)])
                assert all(trade.size > 0 for trade in change.trades)
                traded += len(change.trades)
    assert traded
    for key, market in markets.items():
        for name in names[key]:
            book = market.snapshot(name, 100_000)
            assert (dict(book.bids), dict(book.asks)) == sides[key, name]
            assert book.last_update == updates[key, name] == market.last_update(name)
    with pytest.raises(KeyError):
        markets["bybit_spot"].activate("NOPE", START)


def test_it_is_served_like_any_other() -> None:
    async def test(_: LocalVenue, session: aiohttp.ClientSession) -> None:
        depth = await get(session, "/binance_usdm/fapi/v1/depth", symbol="BTCUSDT", limit=5)
        assert len(depth["bids"]) == 5
        async with session.ws_connect("/binance_spot/ws/btcusdt@depth@100ms") as socket:
            first, second = await messages(socket, 2)
            assert second["U"] == first["u"] + 1
        mark = (await get(session, "/binance_coinm/dapi/v1/premiumIndex", symbol="BTCUSD_PERP"))[0][
            "markPrice"
        ]
        assert float(mark) == pytest.approx(float(depth["bids"][0][0]), rel=0.01)

    with_venue(test, make=simulated_markets(Simulator(3, 20_000.0)))
