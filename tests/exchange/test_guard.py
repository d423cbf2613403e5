"""Who may ask the local venue: programs on this machine, no page of another site."""

from __future__ import annotations

import asyncio

import aiohttp
import pytest

from engine.exchange.server import LocalVenue
from tests.exchange.support import with_venue


@pytest.mark.parametrize("path", ["/statistics", "/faults", "/binance_spot/api/v3/time"])
@pytest.mark.parametrize(
    "headers", [{"Host": "evil.example"}, {"Origin": "http://evil.example"}, {"Origin": "null"}]
)
def test_foreign_hosts_and_origins_are_refused(path: str, headers: dict[str, str]) -> None:
    async def test(venue: LocalVenue, session: aiohttp.ClientSession) -> None:
        async with session.get(path, headers=headers) as answer:
            assert answer.status == 403
        async with session.get(path, headers={"Origin": venue.url}) as answer:
            assert answer.status == 200

    with_venue(test)


def test_a_foreign_page_cannot_order_a_fault() -> None:
    async def test(venue: LocalVenue, session: aiohttp.ClientSession) -> None:
        fault = {"kind": "close"}
        async with session.post("/faults", json=fault, headers={"Origin": "http://evil.example"}) as answer:
            assert answer.status == 403
        assert venue.statistics()["faults_done"] == {}

    with_venue(test)


def test_it_binds_to_this_machine_only() -> None:
    with pytest.raises(ValueError, match="loopback"):
        asyncio.run(LocalVenue().start(0, "0.0.0.0"))
