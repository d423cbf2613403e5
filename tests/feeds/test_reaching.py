"""Venues are asked for their time: those that answer, and those that do not."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path

from engine import settings
from engine.exchange.server import LocalVenue
from feeds.reaching import reach
from feeds.venues import DIALECTS


def test_each_market_of_a_local_venue_answers_with_a_clock_like_ours(tmp_path: Path) -> None:
    async def run() -> None:
        async with LocalVenue(seed=7) as venue:
            found = await reach(settings.load(venue_url=venue.url, data_dir=tmp_path))
        assert [each.venue for each in found] == [dialect.label for dialect in DIALECTS.values()]
        assert [each.why for each in found] == [""] * len(DIALECTS)
        for each in found:
            assert each.round_trip_ns > 0
            assert abs(each.offset_ns) < 2_000_000_000

    asyncio.run(run())


def test_a_venue_that_is_not_there_is_told_with_the_reason(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))  # bound and not listening: refused
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
        found = asyncio.run(reach(settings.load(venue_url=url, data_dir=tmp_path)))
    assert len(found) == len(DIALECTS)
    assert all(each.why and not each.round_trip_ns for each in found)
