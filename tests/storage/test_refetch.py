"""Holes fetched again: the recorded gap itself is filled, and nothing is recorded twice."""

from __future__ import annotations

import asyncio
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine.errors import BadCommand
from engine.market.batches import CANDLE, TRADE, Rows
from engine.storage import commands
from engine.storage import store as store_module
from engine.storage.names import RecordKind
from engine.storage.query import query
from engine.storage.store import Store
from engine.storage.views import GapView
from engine.venues import Filled
from tests.storage.test_store import LIVE, UNIT, Rig, running, until

SECOND_NS = 10**9


class Venue:
    """A venue that has trades 1 to `last`, and gives those that are asked for, as far as it has them."""

    def __init__(self, *, complete: bool = True, overlap: int = 0, candles: int = 0) -> None:
        self.asked: list[tuple[int, int]] = []
        self.complete, self.overlap, self.candles = complete, overlap, candles
        self.gone = False

    async def __call__(
        self, venue: str, symbol: str, from_ns: int, to_ns: int, *, after_id: int = 0, before_id: int = 0
    ) -> Filled:
        self.asked.append((after_id, before_id))
        if self.gone:
            raise BadCommand("Binance spot is not connected")
        trades = np.zeros(max(0, before_id - after_id - 1 + 2 * self.overlap), TRADE)
        trades["trade_id"] = np.arange(len(trades)) + after_id + 1 - self.overlap
        trades["ts_event_ns"] = from_ns
        if not self.complete:
            trades = trades[:2]
        candles: Rows = np.zeros(self.candles, CANDLE)
        candles["ts_open_ns"] = from_ns // SECOND_NS * SECOND_NS + np.arange(self.candles) * SECOND_NS
        return Filled(UNIT, trades, candles, SECOND_NS, self.complete, "as it is")


@pytest.fixture(autouse=True)
def _looks_often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits whole seconds for the store's care."""
    monkeypatch.setattr(store_module, "CARE_S", 0.1)


def rig(folder: Path, venue: Any) -> Rig:
    return Rig(folder, venue, record=("binance_spot",), what=("trades",))


async def cut(rig: Rig, store: Store) -> GapView:
    """Trades 1 to 3, a hole, 7 and 8; the hole as pages see it, left by a venue that has gone."""
    await until(lambda: store.journal is not None)
    rig.trade(1, 3)
    rig.intake.interrupted(LIVE, ["BTC-USDT"], "cut; why")
    await asyncio.sleep(0.002)
    rig.trade(7, 2)
    await until(lambda: any("the hole stays" in text for text in rig.said))
    await until(lambda: any(gap.id for gap in store.view.gaps))
    (gap,) = store.view.gaps
    return gap


async def ask(store: Store, gap: GapView) -> None:
    await commands.carry_out(store, "gap_backfill", {"gap": gap.id})


def test_a_hole_named_by_a_page_is_the_one_that_is_filled(tmp_path: Path) -> None:
    async def whole() -> None:
        venue = Venue(overlap=2)
        venue.gone = True
        desk = rig(tmp_path, venue)
        async with running(desk) as store:
            gap = await cut(desk, store)
            assert (gap.state, gap.reason) == ("open", "cut; why")
            venue.gone = False
            await ask(store, gap)
            await until(lambda: store.view.gaps[0].state == "filled")
            (filled,) = store.view.gaps
            assert (filled.id, filled.from_ns, filled.to_ns) == (gap.id, gap.from_ns, gap.to_ns)
            assert (filled.filled, filled.reason) == (3, "cut; why; fetched: as it is")
            with pytest.raises(BadCommand, match="filled already"):
                await ask(store, filled)
        assert venue.asked[-1] == (3, 7)  # its edges are found in what is kept
        assert sorted(desk.ids()) == [1, 2, 3, 4, 5, 6, 7, 8]

    asyncio.run(whole())


def test_what_is_fetched_twice_is_kept_once(tmp_path: Path) -> None:
    async def whole() -> None:
        venue = Venue(complete=False, candles=2)
        venue.gone = True
        desk = rig(tmp_path, venue)
        async with running(desk) as store:
            gap = await cut(desk, store)
            venue.gone = False
            await ask(store, gap)
            await until(lambda: store.view.gaps[0].state == "partly filled")
            assert store.view.gaps[0].filled == 4
            venue.complete = True
            await ask(store, store.view.gaps[0])
            await until(lambda: store.view.gaps[0].state == "filled")
            assert len(store.view.gaps) == 1
            assert (store.view.gaps[0].filled, store.view.gaps[0].reason) == (
                5,
                "cut; why; fetched: as it is",
            )
        assert sorted(desk.ids()) == [1, 2, 3, 4, 5, 6, 7, 8]
        assert len(query(tmp_path, RecordKind.CANDLES)) == 2

    asyncio.run(whole())


def test_a_stretch_that_is_no_hole_is_fetched_without_making_one(tmp_path: Path) -> None:
    async def whole() -> None:
        venue = Venue(overlap=1)
        desk = rig(tmp_path, venue)
        async with running(desk) as store:
            await until(lambda: store.journal is not None)
            desk.trade(1, 3)
            now_ms = time.time_ns() // 10**6
            args = {"venue": "binance_spot", "symbol": "BTC-USDT", "from_ms": now_ms - 9, "to_ms": now_ms + 9}
            await commands.carry_out(store, "gap_backfill", args)
            await until(lambda: any("candles fetched" in text for text in desk.said))
            assert store.view.gaps == ()
        assert sorted(set(desk.ids())) == sorted(desk.ids())

    asyncio.run(whole())


def test_a_venue_that_is_cut_is_missed_up_to_now_and_its_recording_does_not_grow(tmp_path: Path) -> None:
    async def whole() -> None:
        desk = rig(tmp_path, Venue())
        async with running(desk) as store:
            await until(lambda: store.journal is not None)
            desk.trade(1)
            await until(lambda: store.view.spans)
            desk.intake.interrupted(LIVE, ["BTC-USDT"], "cut")
            await until(lambda: store.view.gaps)
            (before,), (span,) = store.view.gaps, store.view.spans
            assert (before.id, before.state, before.what) == (0, "open", "trades")
            await until(lambda: store.view.gaps[0].to_ns > before.to_ns)
            assert store.view.spans[0].to_ns == span.to_ns
            with pytest.raises(BadCommand, match="no such hole"):
                await ask(store, GapView("binance_spot", "BTC-USDT", "trades", 1, 2, "", "open", 0, 99))

    asyncio.run(whole())


def test_between_two_runs_of_the_program_nothing_is_claimed(tmp_path: Path) -> None:
    async def once(number: int) -> None:
        desk = rig(tmp_path, Venue())
        async with running(desk) as store:
            await until(lambda: store.journal is not None)
            desk.trade(number)
            await until(lambda: len(store.view.spans) == number)
            spans = sorted((span.from_ns, span.to_ns) for span in store.view.spans)
            assert all(end < start for (_, end), (start, _) in pairwise(spans))
            assert store.view.gaps == ()

    for number in (1, 2):
        asyncio.run(once(number))
