"""Every market's polled endpoints against the local venue."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest

from engine.exchange.server import LocalVenue
from engine.limits import rules
from engine.limits.desk import LimitDesk
from engine.market.batches import Batch, Kind, Source
from feeds.dialect import Listing
from feeds.polls import CANDLES_BACK, Deliver, Poller
from feeds.rest import RestClient
from feeds.venues import DIALECTS

MINUTE_NS = 60 * 10**9


@pytest.mark.parametrize("market", list(DIALECTS))
def test_every_endpoint_of_every_market_is_polled(market: str) -> None:
    dialect = DIALECTS[market]
    batches: list[Batch] = []
    listings: list[Listing] = []
    offsets: list[int] = []

    async def run() -> Poller:
        desk = LimitDesk(rules.load())
        async with LocalVenue(symbols=3) as venue:
            client = RestClient(dialect, desk.gate(dialect.limits), base=venue.url)
            listing = await client.instruments()
            followed = [one for one in listing.instruments if one.symbol in dialect.default_symbols]
            assert len(followed) == len(dialect.default_symbols)
            poller = Poller(
                client,
                Source(market, "live"),
                lambda: followed,
                Deliver(batches.append, listings.append, lambda offset_ns, _: offsets.append(offset_ns)),
                chance=lambda: 0.0,
            )
            task = asyncio.create_task(poller.run())
            async with asyncio.timeout(8):
                while not all(view.done or view.failed for view in poller.views()):
                    await asyncio.sleep(0.01)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            await client.close()
            desk.close()
            return poller

    poller = asyncio.run(run())
    assert {view.endpoint: view.error for view in poller.views()} == dict.fromkeys(
        (view.endpoint for view in poller.views()), ""
    )
    assert ("funding" in {view.endpoint for view in poller.views()}) == (not market.endswith("_spot"))
    assert len(listings) == len(offsets) == 1
    for symbol in dialect.default_symbols:
        opened = np.concatenate(
            [
                batch.rows["ts_open_ns"]
                for batch in batches
                if batch.symbol == symbol and batch.kind is Kind.CANDLES
            ]
        )
        assert len(opened) == CANDLES_BACK
        assert (np.diff(opened) == MINUTE_NS).all()
    assert {batch.kind for batch in batches} <= {Kind.CANDLES, Kind.FUNDING}
