"""The built-in exchange over restarts: nothing delivered is lost, and no foreign folder is taken over."""

from __future__ import annotations

import asyncio
import errno
import functools
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import app
from engine import durable_files, exchange_log, settings
from engine.builtin import BuiltIn
from engine.clock import SteadyClock
from engine.errors import BadDataFolder, LogDamaged, LogFailed, StorageError
from engine.exchange_log import NAME, ExchangeLog
from engine.flow.simulator import SOURCE, Simulator, new_engine
from engine.flow.symbols import SYMBOLS
from engine.intake import Intake
from engine.market.batches import Batch
from engine.matching import frames
from engine.matching.engine import MatchingEngine
from engine.matching.log import CommandLog
from engine.matching.orders import CANCEL, REJECTED
from engine.matching.recovery import recover
from engine.telemetry.hub import Telemetry
from tests.engine.exchange_child import LEVELS, SEED

ROOT = Path(__file__).resolve().parents[2]
WAIT_S = 60.0
NO_SPACE = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
Said = dict[str, Any]


def until(condition: Callable[[], object]) -> None:
    end = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < end, "did not happen in time"
        time.sleep(0.01)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "exchange"


# Killed at any time.


def traded_until_killed(folder: Path, mode: str, turns: int) -> list[Said]:
    """What a child delivered before it was killed, so many turns after its first."""
    assert "NUMBA_CACHE_DIR" in os.environ
    child = subprocess.Popen(
        [sys.executable, "-m", "tests.engine.exchange_child", str(folder), mode, "10000"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
    )
    assert child.stdout is not None
    lines = [child.stdout.readline() for _ in range(turns)]
    child.kill()
    lines += child.stdout.readlines()
    child.wait()
    return [json.loads(line) for line in lines if line.startswith(b"{") and line.endswith(b"\n")]


def oldest(folder: Path) -> tuple[MatchingEngine, np.ndarray[Any, Any]]:
    """The engine of the oldest snapshot, and every command kept since."""
    sequence, path = frames.snapshots(folder)[0]
    engine = MatchingEngine.restore(frames.read_snapshot(path, sequence))
    parts = [
        rows.copy()
        for first, path in frames.segments(folder)
        if first >= sequence
        for rows in frames.SegmentReader(path, first)
    ]
    return engine, np.concatenate(parts)


def shown(engine: MatchingEngine) -> dict[str, list[Any]]:
    """The books as they are delivered."""
    found = {}
    for at, each in enumerate(SYMBOLS):
        symbol, instrument = engine.symbols[at], each.instrument
        units = np.array([instrument.tick_size, instrument.lot_size])
        sides = [
            (np.array(side.tolist(), np.int64).reshape(-1, 2) * units).tolist()
            for side in engine.top(symbol, LEVELS)
        ]
        found[symbol] = [engine.update_number(symbol), *sides]
    return found


@pytest.mark.parametrize("mode", ["sync", "async"])
def test_killed_and_started_again_it_goes_on_with_all_it_had_delivered(folder: Path, mode: str) -> None:
    last: Said = {"sequence": 0}
    trades: dict[str, int] = {}
    for life in range(2):
        said = traded_until_killed(folder, mode, 60)
        assert said[0]["sequence"] >= last["sequence"]
        for symbol, trade_id, *_ in (trade for each in said for trade in each["trades"]):
            assert trade_id == trades.get(symbol, trade_id - 1) + 1, (
                "a trade's number is missing or there twice"
            )
            trades[symbol] = trade_id
        if life:
            updates = {symbol: book[0] for symbol, book in said[0]["books"].items()}
            assert all(updates[symbol] >= book[0] for symbol, book in last["books"].items())
        last = said[-1]

        again = recover(folder, new_engine)
        assert again.sequence >= last["sequence"]
        replayed, commands = oldest(folder)
        before = replayed.commands_taken
        for each in (said[0], said[len(said) // 2], last):  # as it was delivered, the log brings it back
            replayed.submit(commands[replayed.commands_taken - before : each["sequence"] - before])
            assert shown(replayed) == {
                symbol: [update, *([list(level) for level in side] for side in sides)]
                for symbol, (update, *sides) in each["books"].items()
            }
        replayed.submit(commands[replayed.commands_taken - before :])
        assert again.engine.picture() == replayed.picture()
        trades = {each.symbol: each.trades for each in again.engine.statistics().symbols}


def test_an_exchange_that_goes_on_uses_new_order_ids_and_does_not_fill_its_books_again(folder: Path) -> None:
    start_ns = 1_700_000_000 * 10**9
    log = CommandLog(folder, "async")
    first = Simulator(SEED, 50_000, on_commands=lambda rows: log.append(rows) and None)
    for at in range(100):
        first.turn(start_ns + at * 5_000_000)
    log.close()
    used = np.concatenate(list(frames.SegmentReader(frames.segment_path(folder, 0), 0)))
    again = recover(folder, new_engine).engine
    assert again.picture() == first.engine.picture()

    told: list[Any] = []
    taken = again.commands_taken
    after = Simulator(SEED, 50_000, engine=again, on_commands=lambda rows: told.append(rows.copy()))
    assert again.commands_taken == taken
    assert told == []
    rejected = 0
    for at in range(100, 200):
        after.turn(start_ns + at * 5_000_000)
        rejected += int((again.event_rows()["kind"] == REJECTED).sum())
    new = np.concatenate(told)
    placed = new[new["kind"] != CANCEL]
    assert placed["order_id"].min() > used["order_id"].max()
    assert len(np.unique(placed["order_id"])) == len(placed)
    assert rejected < len(new) * 0.05
    assert again.commands_taken == taken + len(new)


# While it trades.


class Exchange:
    """The built-in exchange on this loop, and what it delivered."""

    def __init__(self, folder: Path, mode: Any, rate: int, history_s: int) -> None:
        clock = SteadyClock()
        self.telemetry = Telemetry(clock())
        self.intake = Intake(self.telemetry, clock)
        self.log = ExchangeLog(folder, mode, SEED)
        self.task = asyncio.create_task(BuiltIn(SEED, rate, history_s, clock, self.log).run(self.intake))

    @property
    def delivered(self) -> int:
        """The newest update of the first book."""
        self.intake.publish()
        book = self.telemetry.board.books.get((SOURCE.key, "BTC-USDT"))
        return book.sequence if book else 0

    def said(self, level: str) -> list[str]:
        """What the event log has of this level."""
        return [event.text for event in self.telemetry.events.since(0) if event.level == level]

    async def until(self, condition: Callable[[], object]) -> None:
        async with asyncio.timeout(WAIT_S):
            while not condition():
                assert not self.task.done(), self.task
                await asyncio.sleep(0.005)

    async def goes_on(self) -> None:
        """Returns when it has delivered some more."""
        await self.until(lambda: self.delivered)
        before = self.delivered
        await self.until(lambda: self.delivered > before + 50)


@asynccontextmanager
async def exchange(
    folder: Path, mode: str, rate: int = 20_000, history_s: int = 0
) -> AsyncIterator[Exchange]:
    """One that trades, until the end of the block."""
    made = Exchange(folder, mode, rate, history_s)
    try:
        yield made
    finally:
        made.task.cancel()
        with suppress(asyncio.CancelledError, StorageError, BadDataFolder):
            await made.task


class Disk:
    """Syncs of the log's commands can be held back."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.free = threading.Event()
        self.free.set()
        self.held = threading.Event()
        self._sync = durable_files.sync_file
        monkeypatch.setattr(durable_files, "sync_file", self.sync)

    def sync(self, file: int) -> None:
        if not self.free.is_set():
            self.held.set()
            assert self.free.wait(WAIT_S)
        self._sync(file)


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    return Disk(monkeypatch)


def test_in_mode_sync_nothing_is_delivered_before_it_is_durable(folder: Path, disk: Disk) -> None:
    async def main() -> None:
        async with exchange(folder, "sync") as trading:
            await trading.goes_on()
            disk.free.clear()
            await trading.until(disk.held.is_set)
            before = trading.delivered
            for _ in range(100):  # the loop is free
                await asyncio.sleep(0.001)
            assert trading.delivered == before
            view = trading.log.view()
            assert view.sequence > view.durable_sequence
            disk.free.set()
            await trading.goes_on()

    asyncio.run(main())


def test_in_mode_async_nothing_waits_for_the_disk(folder: Path, disk: Disk) -> None:
    async def main() -> None:
        async with exchange(folder, "async") as trading:
            await trading.goes_on()
            disk.free.clear()
            await trading.until(disk.held.is_set)
            await trading.goes_on()
            view = trading.log.view()
            assert view.sequence > view.durable_sequence
            disk.free.set()

    asyncio.run(main())


def test_a_full_backlog_slows_the_exchange_and_loses_nothing(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = functools.partial(CommandLog, backlog_limit_bytes=5_000)
    monkeypatch.setattr(exchange_log, "CommandLog", small)
    sync = durable_files.sync_file
    monkeypatch.setattr(durable_files, "sync_file", lambda file: (time.sleep(0.1), sync(file)))

    async def main() -> int:
        async with exchange(folder, "async", rate=100_000) as trading:
            await trading.goes_on()
            await trading.until(lambda: trading.log.view().refused > 5)
            await trading.goes_on()
            return trading.delivered

    delivered = asyncio.run(main())
    assert recover(folder, new_engine).engine.update_number("BTC-USDT") >= delivered


def test_snapshots_are_taken_beside_the_loop_and_bound_the_disk(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    every_bytes = 1_000_000
    monkeypatch.setattr(exchange_log, "SNAPSHOT_EVERY_BYTES", every_bytes)
    threads: list[str] = []
    snapshot = MatchingEngine.snapshot

    def noted(engine: MatchingEngine) -> bytes:
        threads.append(threading.current_thread().name)
        return snapshot(engine)

    monkeypatch.setattr(MatchingEngine, "snapshot", noted)

    async def main() -> None:
        async with exchange(folder, "async", rate=100_000) as trading:
            await trading.until(lambda: trading.log.view().snapshots >= 4)
            await trading.goes_on()

    asyncio.run(main())
    assert set(threads) == {"command log_0"}
    assert len(frames.snapshots(folder)) <= 3
    assert sum(path.stat().st_size for _, path in frames.segments(folder)) < 5 * every_bytes
    replayed, commands = oldest(folder)
    replayed.submit(commands)
    again = recover(folder, new_engine)
    assert again.replayed < 3 * every_bytes / commands.itemsize
    assert again.engine.picture() == replayed.picture()


def test_an_exchange_whose_snapshots_keep_failing_ends(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exchange_log, "SNAPSHOT_EVERY_BYTES", 100_000)

    def refused(*_: object) -> None:
        raise LogFailed("snapshot", "no")

    monkeypatch.setattr(CommandLog, "write_snapshot", refused)

    async def main() -> None:
        async with exchange(folder, "async", rate=100_000) as trading:
            with pytest.raises(LogFailed):
                await asyncio.wait_for(trading.task, WAIT_S)
            assert len(trading.said("warn")) == exchange_log.SNAPSHOT_TRIES

    asyncio.run(main())


def test_a_full_disk_ends_the_exchange_and_nothing_that_was_delivered_is_lost(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise NO_SPACE

    async def main() -> int:
        async with exchange(folder, "sync") as trading:
            await trading.goes_on()
            with monkeypatch.context() as patch:
                patch.setattr(durable_files, "write_all", full)
                with pytest.raises(LogFailed, match="No space left"):
                    await asyncio.wait_for(trading.task, WAIT_S)
            trading.intake.publish()
            (source,) = trading.telemetry.board.sources
            assert source.state == "error"
            assert str(folder) in source.detail
            assert any("No space left" in text for text in trading.said("error"))
            view = trading.log.view()
            assert view.state == "failed"
            return trading.delivered

    delivered = asyncio.run(main())
    assert recover(folder, new_engine).engine.update_number("BTC-USDT") >= delivered

    async def again() -> None:
        async with exchange(folder, "sync") as trading:
            await trading.goes_on()
            assert trading.delivered > delivered

    asyncio.run(again())


# What a start finds.


def test_only_a_first_start_has_an_invented_past(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    past: list[Batch] = []
    monkeypatch.setattr(Intake, "backfill", lambda _self, batch: past.append(batch))

    async def start() -> list[str]:
        async with exchange(folder, "async", history_s=5) as trading:
            await trading.goes_on()
            return trading.said("info")

    said = asyncio.run(start())
    assert len(past) > 10
    assert not any("goes on after" in text for text in said)
    past.clear()
    said = asyncio.run(start())
    assert past == []
    assert any("goes on after" in text for text in said)


def test_a_first_start_that_was_cut_short_is_finished(folder: Path) -> None:
    told: list[Any] = []
    Simulator(SEED, on_commands=lambda rows: told.append(rows.copy()))
    assert len(told) > 3
    folder.mkdir()
    log = CommandLog(folder, "async")
    for rows in told[:2]:
        log.append(rows)
    log.close()
    (folder / NAME).write_text(json.dumps(ExchangeLog(folder, "async", SEED)._make_up))

    async def start() -> None:
        async with exchange(folder, "async") as trading:
            await trading.goes_on()

    asyncio.run(start())
    engine = recover(folder, new_engine).engine
    for each in SYMBOLS:
        assert engine.live(each.instrument.symbol) > 0.8 * each.resting_orders


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"seed": 12}, "holds an exchange with seed 12, not 11: start with seed 12,"),
        ({"versions": [0, 1, 2]}, "another version of this program kept"),
        ({"books": [{"symbol": "A-B"}]}, "holds an exchange of A-B, not of BTC-USDT, ETH-USDT"),
        ({"books": [{"symbol": each.instrument.symbol} for each in SYMBOLS]}, "other units"),
        ({"books": 7}, "is damaged"),
        (None, f"but not its {NAME}: put that file back"),
    ],
)
def test_the_state_of_another_exchange_is_refused_and_kept(
    folder: Path, change: dict[str, Any] | None, says: str
) -> None:
    async def start() -> None:
        async with exchange(folder, "sync") as trading:
            await trading.goes_on()

    asyncio.run(start())
    path = folder / NAME
    if change is None:
        path.unlink()
    else:
        path.write_text(json.dumps(json.loads(path.read_text()) | change))
    before = contents(folder)
    with pytest.raises(BadDataFolder) as refused:
        ExchangeLog(folder, "sync", SEED).check()
    assert str(refused.value).startswith(f"{folder} ")
    assert says in str(refused.value)
    assert "choose another data_dir, or move the folder away" in str(refused.value)

    async def start_again() -> None:
        async with exchange(folder, "sync") as trading:
            with pytest.raises(BadDataFolder):
                await asyncio.wait_for(trading.task, WAIT_S)

    asyncio.run(start_again())
    assert contents(folder) == before


def test_damaged_commands_are_named_and_kept(folder: Path) -> None:
    async def start() -> None:
        async with exchange(folder, "sync") as trading:
            await trading.goes_on()
            await trading.until(lambda: frames.segments(folder)[-1][1].stat().st_size > 50_000)

    asyncio.run(start())
    _, path = frames.segments(folder)[-1]
    data = bytearray(path.read_bytes())
    data[40] ^= 1
    path.write_bytes(data)
    before = contents(folder)

    async def start_again() -> None:
        async with exchange(folder, "sync") as trading:
            with pytest.raises(LogDamaged, match=rf"move {folder} away to begin anew"):
                await asyncio.wait_for(trading.task, WAIT_S)

    asyncio.run(start_again())
    assert contents(folder) == before


def test_another_process_is_not_joined(folder: Path) -> None:
    async def main() -> None:
        async with exchange(folder, "sync") as first:
            await first.goes_on()
            async with exchange(folder, "sync") as second:
                with pytest.raises(LogFailed, match="another process uses it"):
                    await asyncio.wait_for(second.task, WAIT_S)
            await first.goes_on()

    asyncio.run(main())


@pytest.mark.parametrize("mode", ["off", "sync"])
def test_the_application_writes_only_what_it_is_told_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: str
) -> None:
    monkeypatch.chdir(tmp_path)
    data = tmp_path / "data"
    chosen = settings.load(
        command_log=mode,
        data_dir=data,
        config_dir=tmp_path / "config",
        cache_dir=ROOT / ".venuescope",
        history_s=0,
        rate=2_000,
        api_port=0,
    )
    for life in range(2):
        engine = app.build(chosen).engine
        engine.start()
        try:
            board = engine.telemetry.board
            until(lambda: board.sources and board.sources[-1].state == "live")  # noqa: B023
            events = [event.text for event in engine.telemetry.events.since(0)]
            assert any("goes on after" in text for text in events) == (mode == "sync" and life == 1)
            if mode == "sync":
                until(lambda: board.command_log is not None and board.command_log.syncs > 3)  # noqa: B023
                assert board.command_log is not None
                assert (board.command_log.mode, board.command_log.state) == ("sync", "open")
                assert board.command_log.written_bytes > 0
            else:
                assert board.command_log is None
        finally:
            assert engine.stop()
    if mode == "off":
        assert not data.exists()
        assert not chosen.config_dir.exists()
    else:
        assert [path.name for path in data.iterdir()] == ["exchange"]
