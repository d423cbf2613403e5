"""The store on a loop: opened when something is to be recorded, closed with all that came, told of by its view."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine.errors import BadCommand
from engine.intake import Intake
from engine.market.batches import CANDLE, TRADE, Batch, Kind, Source
from engine.market.instruments import Instrument
from engine.market.sequencing import Rule
from engine.storage import commands
from engine.storage.journal import Journal
from engine.storage.query import query
from engine.storage.records import BACKFILLED, RecordKind
from engine.storage.store import Store, StoreOptions
from engine.telemetry.hub import Telemetry
from engine.venues import Filled

LIVE = Source("binance_spot", "live")
UNIT = Instrument("binance_spot", "BTC-USDT", "BTC", "USDT", 2, 3, native="BTCUSDT")


class Rig:
    """A store with an intake before it."""

    def __init__(self, folder: Path, backfill: Any = None, **options: Any) -> None:
        self.folder = folder
        self.telemetry = Telemetry(time.time_ns())
        self.said: list[str] = []
        self.intake = Intake(self.telemetry)
        self.store = Store(
            StoreOptions(folder, **options),
            self.telemetry,
            time.time_ns,
            lambda level, source, what, text: self.said.append(f"{level} {text}"),
            backfill,
        )
        self.intake.tap = self.store.recorder
        self.intake.open_source(LIVE, "Binance spot", (UNIT,), Rule.BINANCE_SPOT, lambda ns: ns)

    def trade(self, number: int, count: int = 1) -> None:
        rows = np.zeros(count, TRADE)
        rows["trade_id"] = np.arange(number, number + count)
        rows["ts_event_ns"] = rows["ts_recv_ns"] = time.time_ns()
        rows["price"], rows["size"] = 5_000_000, 7
        self.intake.on_batch(Batch(Kind.TRADES, LIVE, "BTC-USDT", rows))

    def ids(self) -> list[int]:
        found: list[int] = query(self.folder, RecordKind.TRADES, order="seq")["trade_id"].to_pylist()
        return found


@contextlib.asynccontextmanager
async def running(rig: Rig) -> AsyncIterator[Store]:
    """The store served, and ended as the engine ends it."""
    task = asyncio.create_task(rig.store.run())
    await asyncio.sleep(0)
    try:
        yield rig.store
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.02)


def test_a_folder_stays_without_a_store_until_something_is_recorded(tmp_path: Path) -> None:
    async def whole() -> None:
        rig = Rig(tmp_path / "store")
        async with running(rig) as store:
            await until(lambda: store.view.recordable)
            assert store.view.state == "off"
            assert not rig.folder.exists()
            await commands.carry_out(store, "record_start", {"venue": "binance_spot", "what": ["trades"]})
            rig.trade(1, 5)
            await until(lambda: store.view.journal is not None and store.view.journal.rows >= 5)
            assert (store.view.state, store.view.detail) == ("ready", "")

    asyncio.run(whole())


def test_what_came_before_the_end_is_on_the_disk(tmp_path: Path) -> None:
    async def whole() -> None:
        rig = Rig(tmp_path, record=("binance_spot",), what=("trades",))
        async with running(rig) as store:
            await until(lambda: store.journal is not None)
            for number in range(1, 2_001):
                rig.trade(number)
        assert rig.ids() == list(range(1, 2_001))

    asyncio.run(whole())


def test_the_view_tells_what_is_recorded_and_since_when(tmp_path: Path) -> None:
    async def whole() -> None:
        rig = Rig(tmp_path, record=("binance_spot", "bybit_spot"), what=("trades",))
        async with running(rig) as store:
            await until(lambda: store.journal is not None)
            rig.trade(1, 50)
            await until(lambda: store.view.spans)
            recording, waiting = store.view.recordings
            assert (recording.venue, recording.state, recording.rows) == ("binance_spot", "recording", 50)
            assert (waiting.venue, waiting.state, waiting.detail) == (
                *("bybit_spot", "waiting"),
                "it is not connected",
            )
            (span,) = store.view.spans
            assert (span.symbol, span.what, span.rows) == ("BTC-USDT", "trades", 50)
            await commands.carry_out(store, "record_stop", {"venue": "bybit_spot"})
            await until(lambda: len(store.view.recordings) == 1)

    asyncio.run(whole())


def test_while_another_writes_it_is_read_only_and_says_so(tmp_path: Path) -> None:
    async def whole() -> None:
        other = Journal.open(tmp_path)
        rig = Rig(tmp_path)
        try:
            async with running(rig) as store:
                await until(lambda: store.view.state == "read only")
                assert "another Venuescope writes to" in store.view.detail
                with pytest.raises(BadCommand, match="another Venuescope writes to"):
                    await commands.carry_out(store, "record_start", {"venue": "binance_spot"})
                assert not store.recorder.wanted
        finally:
            other.close()

    asyncio.run(whole())


def test_a_second_of_telemetry_is_recorded_with_the_venue(tmp_path: Path) -> None:
    async def whole() -> None:
        rig = Rig(tmp_path, record=("binance_spot",), what=("counters", "events"))
        async with running(rig) as store:
            await until(lambda: store.journal is not None)
            await until(lambda: rig.intake.publish() or len(query(tmp_path, RecordKind.COUNTERS)) >= 2)
            rig.intake.note("warn", LIVE, "test", "something happened")
            await until(lambda: len(query(tmp_path, RecordKind.EVENTS)))
        (event,) = query(tmp_path, RecordKind.EVENTS).to_pylist()
        assert (event["text"], event["level"], event["venue"]) == (
            "something happened",
            "warn",
            "binance_spot",
        )
        rows = query(tmp_path, RecordKind.COUNTERS).to_pylist()
        assert len({row["ts_ns"] for row in rows}) == len(rows)

    asyncio.run(whole())


def test_a_hole_is_fetched_again_and_marked(tmp_path: Path) -> None:
    asked: list[tuple[Any, ...]] = []

    async def backfill(
        venue: str, symbol: str, from_ns: int, to_ns: int, *, after_id: int = 0, before_id: int = 0
    ) -> Filled:
        asked.append((venue, symbol, after_id, before_id))
        rows = np.zeros(before_id - after_id - 1, TRADE)
        rows["trade_id"] = np.arange(after_id + 1, before_id)
        rows["ts_event_ns"] = from_ns
        return Filled(UNIT, rows, np.zeros(0, CANDLE), 60 * 10**9, True, "all of them")

    async def whole() -> None:
        rig = Rig(tmp_path, backfill, record=("binance_spot",), what=("trades",))
        async with running(rig) as store:
            await until(lambda: store.journal is not None)
            rig.trade(1, 3)
            rig.intake.interrupted(LIVE, ["BTC-USDT"], "cut")
            rig.trade(7, 2)
            await until(lambda: len(rig.ids()) == 8)
            await until(lambda: any(gap.state == "filled" for gap in store.view.gaps))
        assert asked == [("binance_spot", "BTC-USDT", 3, 7)]
        assert sorted(rig.ids()) == [1, 2, 3, 4, 5, 6, 7, 8]
        origins = dict(
            query(tmp_path, RecordKind.TRADES)
            .select(["trade_id", "origin"])
            .to_pandas()
            .itertuples(index=False)
        )
        assert [number for number, origin in sorted(origins.items()) if origin == BACKFILLED] == [4, 5, 6]

    asyncio.run(whole())


def test_a_hole_that_cannot_be_fetched_stays_and_is_told(tmp_path: Path) -> None:
    async def backfill(*_: Any, **__: Any) -> Filled:
        raise BadCommand("Binance spot is not connected")

    async def whole() -> None:
        rig = Rig(tmp_path, backfill, record=("binance_spot",), what=("trades",))
        async with running(rig) as store:
            await until(lambda: store.journal is not None)
            rig.trade(1)
            rig.intake.interrupted(LIVE, ["BTC-USDT"], "cut")
            rig.trade(5)
            await until(
                lambda: any("the hole stays: Binance spot is not connected" in text for text in rig.said)
            )
            await until(lambda: store.view.gaps)
            assert [gap.state for gap in store.view.gaps] == ["open"]

    asyncio.run(whole())


@pytest.mark.parametrize(
    ("name", "args", "says"),
    [
        ("record_start", {}, "the command needs venue"),
        ("record_start", {"venue": 5}, "the command needs venue"),
        ("record_start", {"venue": "binance_spot", "symbols": "BTC"}, "symbols must be a list"),
        ("record_start", {"venue": "binance_spot", "symbols": ["NOPE"]}, "Binance spot does not follow NOPE"),
        ("record_start", {"venue": "binance_spot", "what": ["noise"]}, "'noise' cannot be recorded"),
        ("record_stop", {"venue": "kraken"}, "kraken is not being recorded"),
        ("retention_set", {"days": -1, "budget_gb": 1}, "days must be a whole number of days"),
        ("retention_set", {"days": True, "budget_gb": 1}, "days must be a whole number of days"),
        ("retention_set", {"days": 1}, "budget_gb must be a whole number of GB"),
        ("gap_backfill", {"venue": "builtin", "symbol": "BTC-USDT", "from_ms": 1, "to_ms": 2}, "of builtin"),
        (
            "gap_backfill",
            {"venue": "binance_spot", "symbol": "X", "from_ms": 2, "to_ms": 1},
            "before it ends",
        ),
        ("export_start", {"kind": "noise", "form": "csv"}, "'noise' is not recorded"),
        ("export_start", {"kind": "trades", "form": "xls"}, "'xls' is no format"),
        (
            "export_start",
            {"kind": "trades", "form": "csv", "from_ms": 0.5, "to_ms": 9},
            "from_ms must be a whole",
        ),
        ("export_cancel", {"job": "nothing"}, "there is no such export"),
        ("export_forget", {"job": "../x"}, "there is no such export"),
    ],
)
def test_bad_arguments_are_one_sentence_and_change_nothing(
    tmp_path: Path, name: str, args: dict[str, Any], says: str
) -> None:
    async def whole() -> None:
        rig = Rig(tmp_path, record=("binance_spot",))
        async with running(rig) as store:
            await until(lambda: store.journal is not None)
            before = dict(store.recorder.wanted)
            with pytest.raises(BadCommand, match=says):
                await commands.carry_out(store, name, args)
            assert store.recorder.wanted == before

    asyncio.run(whole())
