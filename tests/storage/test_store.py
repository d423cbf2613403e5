"""The store on a loop: opened when something is to be recorded, closed with all that came, told of by its view."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import apsw
import numpy as np
import pytest

from engine.errors import BadCommand, BadFrame
from engine.group_commit import JOIN_TIMEOUT_S
from engine.intake import Intake
from engine.market.batches import CANDLE, TRADE, Batch, Kind, Source
from engine.market.instruments import Instrument
from engine.market.sequencing import Rule
from engine.runtime import STOP_TIMEOUT_S, Runtime
from engine.storage import commands, jobs
from engine.storage import store as store_module
from engine.storage.journal import Journal
from engine.storage.journal_writer import Writer
from engine.storage.names import RecordKind
from engine.storage.pens import Hole
from engine.storage.query import query
from engine.storage.recorder import Recorder
from engine.storage.records import BACKFILLED
from engine.storage.refetch import WAITING_MOST
from engine.storage.store import Store, StoreOptions
from engine.telemetry.hub import Telemetry
from engine.venues import Filled

LIVE = Source("binance_spot", "live")
UNIT = Instrument("binance_spot", "BTC-USDT", "BTC", "USDT", 2, 3, native="BTCUSDT")


@pytest.fixture(autouse=True)
def _looks_often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits whole seconds for the store's care."""
    monkeypatch.setattr(store_module, "CARE_S", 0.1)


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
        ("retention_preview", {"days": 1, "budget_gb": -1}, "budget_gb must be a whole number of GB"),
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


class Broken:
    """A part that fails so many times, then waits for ever."""

    def __init__(self, times: int, error: Exception) -> None:
        self.left, self.error, self.began = times, error, 0

    async def __call__(self) -> None:
        self.began += 1
        if self.left:
            self.left -= 1
            raise self.error
        await asyncio.Event().wait()


@pytest.mark.parametrize("part", ["the exports", "the archive", "the backfill"])
def test_a_part_that_fails_is_begun_again_and_recording_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, part: str
) -> None:
    async def whole() -> None:
        rig = Rig(tmp_path, record=("binance_spot",), what=("trades",))
        broken = Broken(2, ZeroDivisionError("unforeseen"))
        if part == "the exports":
            monkeypatch.setattr(rig.store.jobs, "run", broken)
        elif part == "the backfill":
            monkeypatch.setattr(rig.store._refetch, "run", broken)
        else:
            monkeypatch.setattr("engine.storage.archiver.Archiver.run", lambda _self: broken())
        async with running(rig) as store:
            await until(lambda: store.journal is not None)
            rig.trade(1)
            await until(lambda: broken.began == 3)
            rig.trade(2)
            await until(lambda: len(rig.ids()) == 2)
            assert store.failures[part] == 2
            assert [text for text in rig.said if part in text] == [
                f"error {part} failed and is begun again: ZeroDivisionError: unforeseen"
            ]
        assert rig.ids() == [1, 2]

    asyncio.run(whole())


def test_a_damaged_list_of_exports_is_begun_anew_and_recording_goes_on(tmp_path: Path) -> None:
    with contextlib.closing(jobs._opened(tmp_path)) as cache:
        cache.set("job:aaaaaaaaaaaa", {"name": 7})
    with contextlib.closing(sqlite3.connect(tmp_path / "jobs" / "cache.db")) as database:
        database.execute("UPDATE Cache SET value = ?", (b"\x00 no json, and not packed",))
        database.commit()

    async def whole() -> None:
        rig = Rig(tmp_path, record=("binance_spot",), what=("trades",))
        async with running(rig) as store:
            await until(lambda: store.journal is not None)
            rig.trade(1)
            await until(lambda: rig.ids() == [1])
            assert not store.failures

    asyncio.run(whole())
    assert list(tmp_path.glob("jobs-damaged-*"))


def test_a_store_that_is_served_again_goes_on_with_new_numbers(tmp_path: Path) -> None:
    async def whole() -> None:
        rig = Rig(tmp_path, record=("binance_spot",), what=("trades",))
        for number in (1, 11):
            async with running(rig) as store:
                await until(lambda: store.journal is not None)
                rig.trade(number, 5)
                await until(lambda: len(rig.ids()) == (5 if number == 1 else 10))  # noqa: B023
            rig.trade(100)  # meanwhile nothing is taken
            assert store.recorder.flush() == []
        async with running(rig) as store:
            await until(lambda: store.view.gaps)
            assert "recording was interrupted" in {gap.reason for gap in store.view.gaps}
        assert rig.ids() == [1, 2, 3, 4, 5, 11, 12, 13, 14, 15]

    asyncio.run(whole())


def test_a_journal_that_failed_is_opened_again_and_what_was_lost_is_a_hole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_self: Writer, *_given: object) -> None:
        raise apsw.IOError("disk I/O error")

    monkeypatch.setattr("engine.storage.store.REOPEN_FIRST_S", 0.1)

    async def whole() -> None:
        rig = Rig(tmp_path, record=("binance_spot",), what=("trades",))
        async with running(rig) as store:
            await until(lambda: store.journal is not None)
            rig.trade(1, 5)
            await until(lambda: len(rig.ids()) == 5)
            with monkeypatch.context() as patch:
                patch.setattr(Writer, "write", broken)
                rig.trade(6, 3)
                await until(lambda: any("disk I/O error" in text for text in rig.said))
            await until(lambda: store.journal is not None and not store.journal.ended)
            rig.trade(20, 2)
            await until(lambda: len(rig.ids()) == 7)
            await until(lambda: store.view.state == "ready" and len(store.view.gaps) >= 2)
            assert any("3 rows of trades were not kept" in gap.reason for gap in store.view.gaps)
            assert store.given_up == 3
            assert store.written >= 7
        assert rig.ids() == [1, 2, 3, 4, 5, 20, 21]

    asyncio.run(whole())


def test_what_is_wanted_is_recorded_once_the_other_lets_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("engine.storage.store.REOPEN_FIRST_S", 0.1)

    async def whole() -> None:
        other = Journal.open(tmp_path)
        rig = Rig(tmp_path, record=("binance_spot",), what=("trades",))
        async with running(rig) as store:
            await until(lambda: store.view.state == "read only")
            other.close()
            await until(lambda: store.journal is not None)
            rig.trade(1)
            await until(lambda: rig.ids() == [1])
            await until(lambda: store.view.state == "ready")
            assert len([text for text in rig.said if "another Venuescope" in text]) == 1

    asyncio.run(whole())


def test_the_switch_of_the_page_opens_it_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.storage.store.REOPEN_FIRST_S", 60.0)

    async def whole() -> None:
        other = Journal.open(tmp_path)
        rig = Rig(tmp_path)
        async with running(rig) as store:
            await until(lambda: store.view.state == "read only")
            other.close()
            await commands.carry_out(store, "record_start", {"venue": "binance_spot", "what": ["trades"]})
            assert store.journal is not None

    asyncio.run(whole())


def test_the_store_is_as_its_journal_is_whenever_that_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("engine.storage.journal.LOCKED_LIMIT_S", 0.3)

    async def whole() -> None:
        rig = Rig(tmp_path, record=("binance_spot",), what=("trades",))
        async with running(rig) as store:
            await until(lambda: store.journal is not None)
            other = apsw.Connection(str(tmp_path / "journal.db"))
            other.execute("BEGIN IMMEDIATE")
            rig.trade(1)
            await until(lambda: store.view.state == "failed")
            assert "another program holds the database" in store.view.detail
            other.execute("ROLLBACK")
            other.close()
            await until(lambda: store.view.state == "ready")
            assert store.view.detail == ""
            await until(lambda: rig.ids() == [1])

    asyncio.run(whole())


def test_holes_for_which_there_is_no_room_are_counted_and_told(tmp_path: Path) -> None:
    async def backfill(*_: Any, **__: Any) -> Filled:
        raise AssertionError("nobody serves it")

    rig = Rig(tmp_path, backfill)
    for number in range(WAITING_MOST + 3):
        rig.store._refetch.on_hole(Hole(LIVE, f"S{number}", 1, 2, "cut"))
    assert rig.store._refetch.left == 3
    assert rig.said[0] == f"warn S{WAITING_MOST}: the hole stays: too many wait (1 so far)"


def test_an_answer_nobody_foresaw_leaves_its_hole_and_the_next_is_filled(tmp_path: Path) -> None:
    asked: list[str] = []

    async def backfill(venue: str, symbol: str, *_: Any, **__: Any) -> Filled:
        asked.append(symbol)
        raise BadFrame(venue, "price", b"1e99")

    async def whole() -> None:
        rig = Rig(tmp_path, backfill, record=("binance_spot",), what=("trades",))
        async with running(rig) as store:
            await until(lambda: store.journal is not None)
            for symbol in ("A-USDT", "B-USDT"):
                store._refetch.on_hole(Hole(LIVE, symbol, 1, 2, "cut"))
            await until(lambda: len(asked) == 2)
            rig.trade(1)
            await until(lambda: rig.ids() == [1])
            assert store._refetch.failures == 2
        assert any("A-USDT: the hole stays: BadFrame" in text for text in rig.said)

    asyncio.run(whole())


def test_a_slow_disk_is_waited_for_at_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write = Writer.write

    def slow(self: Writer, *given: Any) -> None:
        time.sleep(1.0)
        write(self, *given)

    rig = Rig(tmp_path, record=("binance_spot",), what=("trades",))
    runtime = Runtime()

    async def main() -> None:
        runtime.supervise("store", rig.store.run)

    runtime.start(main)
    for _ in range(1_000):
        if rig.store.journal is not None:
            break
        time.sleep(0.01)
    monkeypatch.setattr(Writer, "write", slow)
    runtime.submit(lambda: rig.trade(1, 50)).result(5)
    assert STOP_TIMEOUT_S > JOIN_TIMEOUT_S
    assert STOP_TIMEOUT_S + 1.0 < 10.0  # with what the server takes
    assert runtime.stop()
    monkeypatch.undo()
    assert len(rig.ids()) == 50


def test_a_store_that_cannot_begin_lets_go_of_its_journal_and_tries_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    failed: list[int] = []
    use = Recorder.use

    def once(self: Recorder, numbers: Any) -> None:
        if not failed:
            failed.append(1)
            raise ZeroDivisionError("unforeseen")
        use(self, numbers)

    monkeypatch.setattr(Recorder, "use", once)

    async def whole() -> None:
        rig = Rig(tmp_path, record=("binance_spot",), what=("trades",))
        async with running(rig) as store:
            await until(lambda: failed and store.journal is not None)
            rig.trade(1)
            await until(lambda: rig.ids() == [1])
            assert store.failures["the journal"] == 1

    asyncio.run(whole())
