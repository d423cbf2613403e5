"""The command log keeps what it was given, tells a torn end from damage, and promises no more than the disk has."""

from __future__ import annotations

import asyncio
import errno
import os
import random
import shutil
import subprocess
import sys
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from engine import durable_files
from engine.errors import LogDamaged, LogFailed, LogFull, StorageError
from engine.market.batches import Rows
from engine.matching import frames
from engine.matching.log import PACE_S, CommandLog
from engine.matching.orders import COMMAND
from engine.matching.recovery import BATCH_ROWS, Recovered, recover

ROW = COMMAND.itemsize
FRAME = frames.HEADER_BYTES + ROW  # with one command
WAIT_S = 30.0  # disks of shared machines stall for seconds


class Tape:
    """An engine that is what it was given: nothing missed, doubled or out of order goes unseen."""

    def __init__(self, data: bytes = b"") -> None:
        self.data = data
        self.largest = 0

    @property
    def commands_taken(self) -> int:
        return len(self.data) // ROW

    def submit(self, rows: Rows) -> Rows:
        self.data += rows.tobytes()
        self.largest = max(self.largest, len(rows))
        return rows

    def snapshot(self) -> bytes:
        return self.data

    @classmethod
    def restore(cls, data: bytes) -> Tape:
        return cls(data)


def commands(count: int, seed: int = 1) -> Rows:
    """Rows of arbitrary bytes: the log looks at none of them."""
    return np.frombuffer(np.random.default_rng(seed).bytes(count * ROW), COMMAND)


def recovered(folder: Path) -> Recovered[Tape]:
    return recover(folder, Tape)


def filled(folder: Path, counts: list[int]) -> Rows:
    """A closed log with one frame for each count; -> the commands in it."""
    rows = commands(sum(counts))
    log = CommandLog(folder, "async")
    at = 0
    for count in counts:
        at = log.append(rows[at : at + count])
    log.close()
    return rows


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def save(log: CommandLog, engine: Tape) -> None:
    log.write_snapshot(log.rotate(), engine.snapshot())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "log"


# What is written is read.


@pytest.mark.parametrize("mode", ["async", "sync"])
@pytest.mark.parametrize("counts", [[1], [3, 1, 1, 200, 2], [1] * 50, [frames.MAX_ROWS + 10, 1]])
def test_commands_come_back_as_they_were_given(folder: Path, mode: str, counts: list[int]) -> None:
    rows = commands(sum(counts))
    log = CommandLog(folder, mode)
    at = 0
    for count in counts:
        assert log.append(rows[at : at + count]) == at + count
        at += count
    log.close()
    again = recovered(folder)
    assert again.engine.data == rows.tobytes()
    assert (again.sequence, again.replayed, again.dropped_bytes) == (len(rows), len(rows), 0)


def test_a_new_folder_is_an_empty_log(folder: Path) -> None:
    assert recovered(folder).sequence == 0
    CommandLog(folder, "sync").close()
    again = recovered(folder)
    assert (again.sequence, again.engine.data) == (0, b"")


def test_an_empty_append_writes_nothing(folder: Path) -> None:
    log = CommandLog(folder, "sync")
    assert log.append(commands(0)) == 0
    log.close()
    assert contents(folder) == {"commands-00000000000000000000.log": b""}


def test_rows_that_lie_apart_are_written_in_order(folder: Path) -> None:
    rows = commands(20)
    log = CommandLog(folder, "sync")
    log.append(rows[::2])
    log.close()
    assert recovered(folder).engine.data == rows[::2].tobytes()


def test_a_log_goes_on_where_it_ended_and_never_over_it(folder: Path) -> None:
    rows = commands(30)
    for at in range(0, 30, 10):
        before = contents(folder) if folder.exists() else {}
        log = CommandLog(folder, "sync", at)
        assert log.sequence == log.durable_sequence == at
        log.append(rows[at : at + 10])
        log.close()
        assert all(contents(folder)[name].startswith(data) for name, data in before.items())
    assert recovered(folder).engine.data == rows.tobytes()


@pytest.mark.parametrize("sequence", [0, 9, 11])
def test_an_engine_at_another_command_may_not_go_on(folder: Path, sequence: int) -> None:
    filled(folder, [4, 6])
    before = contents(folder)
    with pytest.raises(LogDamaged, match=f"command 10 is next, but the engine has taken {sequence}"):
        CommandLog(folder, "sync", sequence)
    assert contents(folder) == before


def test_replay_joins_small_frames_and_holds_few_rows(folder: Path) -> None:
    filled(folder, [1] * (2 * BATCH_ROWS) + [100])
    engine = recovered(folder).engine
    assert engine.largest == BATCH_ROWS


def test_events_of_the_replay_are_handed_on(folder: Path) -> None:
    rows = filled(folder, [10, 20])
    seen: list[Rows] = []
    recover(folder, Tape, seen.append)
    assert np.concatenate(seen).tobytes() == rows.tobytes()


def test_the_layout_of_commands_is_part_of_the_format() -> None:
    """Change VERSION in `frames.py` only if the headers change: another COMMAND is noticed by itself."""
    changed = [*COMMAND.descr[:-1], ("other", "<i8")]
    assert zlib.crc32(repr(changed).encode()) != frames.LAYOUT


# Torn ends and damage.


@pytest.mark.parametrize("counts", [[2, 1, 3], [1], [1, 1]])
def test_a_frame_cut_short_anywhere_is_cut_off_and_reported(tmp_path: Path, counts: list[int]) -> None:
    rows = filled(tmp_path / "whole", counts)
    name = frames.segment_path(Path(), 0).name
    whole = (tmp_path / "whole" / name).read_bytes()
    kept = len(rows) - counts[-1]
    begin = len(whole) - frames.HEADER_BYTES - counts[-1] * ROW
    for size in range(begin, len(whole)):
        folder = tmp_path / str(size)
        folder.mkdir()
        (folder / name).write_bytes(whole[:size])
        again = recovered(folder)
        assert (again.engine.data, again.dropped_bytes) == (rows[:kept].tobytes(), size - begin)
        assert (folder / name).stat().st_size == size  # reading changes nothing
        log = CommandLog(folder, "async", again.sequence)
        assert log.view().torn_bytes == size - begin
        assert (folder / name).stat().st_size == begin
        log.append(rows[kept:])
        log.close()
        assert (folder / name).read_bytes() == whole


def test_a_flipped_bit_ends_the_log_in_its_last_frame_and_is_an_error_before(folder: Path) -> None:
    counts = [2, 1, 2]
    rows = filled(folder, counts)
    path = frames.segment_path(folder, 0)
    whole = path.read_bytes()
    ends = np.cumsum([frames.HEADER_BYTES + count * ROW for count in counts]).tolist()
    begins = [0, *ends[:-1]]
    for at in range(len(whole)):
        damaged = bytearray(whole)
        damaged[at] ^= 1 << (at * 5 % 8)
        path.write_bytes(damaged)
        begin = max(offset for offset in begins if offset <= at)
        if begin == begins[-1]:
            again = recovered(folder)
            assert again.engine.data == rows[: -counts[-1]].tobytes()
            assert again.dropped_bytes == len(whole) - begin
        else:
            with pytest.raises(LogDamaged) as refused:
                recovered(folder)
            assert (refused.value.path, refused.value.offset) == (str(path), begin)
            with pytest.raises(LogDamaged):
                CommandLog(folder, "sync")
        assert path.read_bytes() == damaged


@pytest.mark.parametrize("fill", [b"\0", b"\xff", b"VSCL"])
@pytest.mark.parametrize("size", [1, 40, 5_000])
def test_an_end_that_was_never_written_is_cut_off(folder: Path, fill: bytes, size: int) -> None:
    """A power cut can leave a file longer than what reached it."""
    rows = filled(folder, [5, 5])
    path = frames.segment_path(folder, 0)
    with path.open("ab") as file:
        file.write(fill * size)
    assert recovered(folder).engine.data == rows.tobytes()
    log = CommandLog(folder, "sync")
    assert (log.sequence, log.view().torn_bytes) == (10, len(fill) * size)
    log.close()


def test_a_following_frame_is_found_wherever_it_lies(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However the file is cut into the pieces that are read of it."""
    filled(folder, [3, 1])
    path = frames.segment_path(folder, 0)
    whole = path.read_bytes()
    for block_bytes in range(frames.HEADER_BYTES, frames.HEADER_BYTES + FRAME):
        monkeypatch.setattr(frames, "_BLOCK_BYTES", block_bytes)
        for at in (0, FRAME):
            path.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
            with pytest.raises(LogDamaged):
                recovered(folder)


def test_an_unreadable_file_is_not_taken_for_a_torn_end(folder: Path) -> None:
    folder.mkdir()
    path = frames.segment_path(folder, 0)
    with path.open("wb") as file:
        file.truncate(frames.MAX_TORN_BYTES + 1)
    with pytest.raises(LogDamaged, match="no readable frame"):
        CommandLog(folder, "sync")
    assert path.stat().st_size == frames.MAX_TORN_BYTES + 1


def foreign(data: bytes, version: int) -> bytes:
    """The same file as another version would write it: its header's checksum is right."""
    head = bytearray(data[:28])
    head[4:6] = version.to_bytes(2, "little")
    return bytes(frames._sealed(bytes(head))) + data[frames.HEADER_BYTES :]


def test_a_foreign_version_or_layout_is_named_and_kept(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    filled(folder, [3])
    path = frames.segment_path(folder, 0)
    whole = path.read_bytes()
    path.write_bytes(foreign(whole, 2))
    for act in (recovered, lambda folder: CommandLog(folder, "sync")):
        with pytest.raises(LogDamaged, match="of version 2, this program reads 1"):
            act(folder)
    assert path.read_bytes() == foreign(whole, 2)
    path.write_bytes(whole)
    monkeypatch.setattr(frames, "LAYOUT", 7)
    with pytest.raises(LogDamaged, match="another layout"):
        recovered(folder)


def test_a_frame_out_of_its_place_is_an_error(folder: Path) -> None:
    filled(folder, [1, 1, 1])
    path = frames.segment_path(folder, 0)
    parts = [path.read_bytes()[at : at + FRAME] for at in range(0, 3 * FRAME, FRAME)]
    for order in ([0, 2], [0, 0, 1, 2], [1, 0, 2], [0, 1, 1]):
        path.write_bytes(b"".join(parts[at] for at in order))
        with pytest.raises(LogDamaged, match="should follow"):
            recovered(folder)


# Segments and snapshots.


def with_snapshots(folder: Path, counts: list[int]) -> Rows:
    """A closed log with a snapshot after each count but the last."""
    rows = commands(sum(counts))
    engine = Tape()
    log = CommandLog(folder, "sync")
    at = 0
    for count in counts[:-1]:
        log.append(rows[at : at + count])
        engine.submit(rows[at : at + count])
        at += count
        save(log, engine)
    log.append(rows[at:])
    log.close()
    return rows


def names(folder: Path) -> list[str]:
    return sorted(f"{path.name[:8]} {int(path.stem[9:])}" for path in folder.iterdir())


def test_two_snapshots_and_the_commands_since_the_older_are_kept(folder: Path) -> None:
    rows = with_snapshots(folder, [10, 7])
    assert names(folder) == ["commands 0", "commands 10", "snapshot 10"]
    again = recovered(folder)
    assert (again.snapshot_sequence, again.replayed, again.engine.data) == (10, 7, rows.tobytes())
    shutil.rmtree(folder)
    with_snapshots(folder, [10, 20, 7])
    assert names(folder) == ["commands 10", "commands 30", "snapshot 10", "snapshot 30"]
    shutil.rmtree(folder)
    rows = with_snapshots(folder, [10, 20, 5, 7])
    assert names(folder) == ["commands 30", "commands 35", "snapshot 30", "snapshot 35"]
    assert recovered(folder).engine.data == rows.tobytes()


def test_a_snapshot_without_new_commands_begins_no_segment(folder: Path) -> None:
    log, engine = CommandLog(folder, "sync"), Tape()
    save(log, engine)
    save(log, engine)
    assert names(folder) == ["commands 0", "snapshot 0"]
    rows = commands(4)
    log.append(rows)
    log.close()
    again = recovered(folder)
    assert (again.snapshot_sequence, again.replayed, again.engine.data) == (0, 4, rows.tobytes())


def test_a_damaged_snapshot_is_passed_over_for_the_one_before(folder: Path) -> None:
    rows = with_snapshots(folder, [2, 1, 4])
    path = frames.snapshot_path(folder, 3)
    whole = path.read_bytes()
    for at in range(len(whole)):
        damaged = bytearray(whole)
        damaged[at] ^= 1 << (at % 8)
        path.write_bytes(damaged)
        again = recovered(folder)
        assert (again.snapshot_sequence, again.replayed, again.engine.data) == (2, 5, rows.tobytes())
        assert len(again.unusable) == 1
        assert path.name in again.unusable[0]
    for size in (0, 10, frames.HEADER_BYTES, len(whole) - 1):
        path.write_bytes(whole[:size])
        assert recovered(folder).snapshot_sequence == 2
    path.write_bytes(foreign(whole, 9))
    assert "of version 9" in recovered(folder).unusable[0]


def test_without_a_usable_snapshot_deleted_commands_are_missed(folder: Path) -> None:
    with_snapshots(folder, [2, 1, 4])
    for path in folder.glob("snapshot-*"):
        path.write_bytes(b"nothing")
    with pytest.raises(LogDamaged, match=r"commands 0 to 1 are missing; snapshot-.*; snapshot-"):
        recovered(folder)


def test_a_snapshot_that_is_not_of_its_sequence_is_passed_over(folder: Path) -> None:
    rows = with_snapshots(folder, [2, 1, 4])
    data = rows[:1].tobytes()
    frames.snapshot_path(folder, 3).write_bytes(frames.snapshot_header(data, 3) + data)
    assert "its engine has taken 1 commands" in recovered(folder).unusable[0]
    os.replace(frames.snapshot_path(folder, 2), frames.snapshot_path(folder, 3))
    with pytest.raises(LogDamaged, match="it is the snapshot 2"):
        recovered(folder)


def test_unusable_snapshots_do_not_count_among_those_kept(folder: Path) -> None:
    rows = with_snapshots(folder, [10, 20, 5])
    frames.snapshot_path(folder, 30).write_bytes(b"nothing")
    log = CommandLog(folder, "sync")
    save(log, Tape(rows.tobytes()))
    log.close()
    assert names(folder) == [f"commands {at}" for at in (10, 30, 35)] + [
        f"snapshot {at}" for at in (10, 30, 35)
    ]
    frames.snapshot_path(folder, 35).unlink()
    assert recovered(folder).engine.data == rows.tobytes()


def test_recovery_reads_over_segments_whose_snapshot_was_not_written(folder: Path) -> None:
    rows = commands(12)
    log = CommandLog(folder, "sync")
    for at in range(0, 12, 3):
        log.append(rows[at : at + 3])
        log.rotate()
    log.close()
    again = recovered(folder)
    assert (again.replayed, again.engine.data) == (12, rows.tobytes())


def test_a_missing_segment_is_an_error(folder: Path) -> None:
    rows = commands(12)
    log = CommandLog(folder, "sync")
    for at in range(0, 12, 4):
        log.append(rows[at : at + 4])
        log.rotate()
    log.close()
    frames.segment_path(folder, 4).unlink()
    with pytest.raises(LogDamaged, match="commands 4 to 7 are missing"):
        recovered(folder)
    frames.segment_path(folder, 0).unlink()
    with pytest.raises(LogDamaged, match="commands 0 to 7 are missing"):
        recovered(folder)


def test_a_torn_end_before_the_last_segment_is_an_error(folder: Path) -> None:
    with_snapshots(folder, [4, 6, 3])
    path = frames.segment_path(folder, 4)
    frames.snapshot_path(folder, 10).unlink()
    whole = path.read_bytes()
    for size in (len(whole) - 1, len(whole) - 6 * ROW - 1, 0):
        path.write_bytes(whole[:size])
        with pytest.raises(LogDamaged) as refused:
            recovered(folder)
        assert refused.value.path == str(path)


def test_a_snapshot_without_its_commands_is_an_error(folder: Path) -> None:
    with_snapshots(folder, [4, 6, 3])
    frames.segment_path(folder, 10).unlink()
    with pytest.raises(LogDamaged, match="the commands are missing"):
        recovered(folder)
    with pytest.raises(LogDamaged, match="command 10 is next, but the engine has taken 13"):
        CommandLog(folder, "sync", 13)
    frames.segment_path(folder, 4).unlink()
    with pytest.raises(LogDamaged, match="the commands are missing"):
        CommandLog(folder, "sync")


def test_drafts_are_swept_and_foreign_files_left_alone(folder: Path) -> None:
    rows = filled(folder, [3])
    draft = frames.snapshot_path(folder, 3).with_suffix(".bin.tmp")
    for path in (draft, folder / "commands-7.log", folder / "notes.txt"):
        path.write_bytes(b"x")
    assert recovered(folder).engine.data == rows.tobytes()
    CommandLog(folder, "sync").close()
    assert not draft.exists()
    assert (folder / "notes.txt").exists()
    assert (folder / "commands-7.log").exists()


# Modes, waiting, the disk.


class Disk:
    """Stands between the log and the disk: syncs can be held back, counted and made to fail."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.free = threading.Event()
        self.free.set()
        self.begun = threading.Semaphore(0)
        self.syncs = 0
        self.error: OSError | None = None
        self._sync = durable_files.sync_file
        monkeypatch.setattr(durable_files, "sync_file", self.sync)

    def sync(self, file: int) -> None:
        self.begun.release()
        assert self.free.wait(WAIT_S)
        self.syncs += 1
        if self.error is not None:
            raise self.error
        self._sync(file)


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Iterator[Disk]:
    disk = Disk(monkeypatch)
    yield disk
    disk.free.set()


NO_SPACE = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def until(true: Callable[[], bool]) -> None:
    end = time.monotonic() + WAIT_S
    while not true():
        assert time.monotonic() < end
        time.sleep(0.001)


def test_mode_off_touches_no_file_and_counts_on(folder: Path) -> None:
    log = CommandLog(folder, "off", 100)
    assert log.append(commands(5)) == 105
    assert not log.acks_wait
    assert log.rotate() == 105
    log.write_snapshot(105, b"x")
    assert (log.durable_sequence, log.state) == (0, "open")
    log.close()
    assert not folder.exists()


def test_mode_sync_makes_commands_durable_unasked(folder: Path) -> None:
    log = CommandLog(folder, "sync")
    assert log.acks_wait
    sequence = log.append(commands(5))
    until(lambda: log.durable_sequence == sequence)
    assert log.view().backlog_bytes == 0
    assert log.view().written_bytes == frames.HEADER_BYTES + 5 * ROW
    log.close()


def test_mode_async_writes_at_once_and_syncs_once_in_a_while(folder: Path, disk: Disk) -> None:
    log = CommandLog(folder, "async")
    assert not log.acks_wait
    before = disk.syncs
    begin = time.monotonic()
    for _ in range(20):
        log.append(commands(5))
    assert frames.segment_path(folder, 0).stat().st_size == 20 * (frames.HEADER_BYTES + 5 * ROW)
    assert (log.durable_sequence, disk.syncs) == (0, before)
    until(lambda: log.durable_sequence == 100)
    assert time.monotonic() - begin > 0.8
    assert disk.syncs == before + 1
    log.close()


def test_who_waits_in_mode_async_has_it_synced_at_once(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(PACE_S, "async", 1_000.0)
    log = CommandLog(folder, "async")
    assert log.wait(log.append(commands(5)), WAIT_S)
    asyncio.run(asyncio.wait_for(log.durable(log.append(commands(5))), WAIT_S))
    log.close()


def test_closing_makes_all_durable(folder: Path, disk: Disk) -> None:
    log = CommandLog(folder, "async")
    log.append(commands(5))
    log.close()
    assert (log.durable_sequence, log.state) == (5, "closed")
    log.close()
    with pytest.raises(LogFailed, match="closed"):
        log.append(commands(1))


def test_appends_do_not_wait_for_a_sync_and_share_the_next(folder: Path, disk: Disk) -> None:
    log = CommandLog(folder, "sync")
    before = disk.syncs
    disk.begun = threading.Semaphore(0)
    disk.free.clear()
    first = log.append(commands(1))
    assert disk.begun.acquire(timeout=WAIT_S)
    for _ in range(50):
        last = log.append(commands(2))
    assert not log.wait(first, 0.05)
    assert log.durable_sequence == 0
    disk.free.set()
    assert log.wait(last, WAIT_S)
    assert disk.syncs == before + 2
    log.close()


def test_waiting_leaves_the_loop_free_and_wakes_each_in_time(folder: Path, disk: Disk) -> None:
    log = CommandLog(folder, "sync")

    async def main() -> None:
        disk.begun = threading.Semaphore(0)
        disk.free.clear()
        first = log.append(commands(1))
        await asyncio.to_thread(disk.begun.acquire)
        second = log.append(commands(1))
        woken: list[int] = []

        async def waits(sequence: int) -> None:
            await log.durable(sequence)
            assert log.durable_sequence >= sequence
            woken.append(sequence)

        tasks = [asyncio.create_task(waits(sequence)) for sequence in (second, first, second, first)]
        gone = asyncio.create_task(waits(first))
        for _ in range(20):
            await asyncio.sleep(0.001)
        assert woken == []
        gone.cancel()
        disk.free.set()
        await asyncio.wait_for(asyncio.gather(*tasks), WAIT_S)
        assert woken == [first, first, second, second]
        await log.durable(second)
        await log.durable(0)

    asyncio.run(main())
    log.close()


def test_a_loop_that_is_gone_does_not_stop_the_log(folder: Path, disk: Disk) -> None:
    log = CommandLog(folder, "sync")
    disk.free.clear()

    async def leave() -> None:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(log.durable(log.append(commands(1))), 0.01)

    asyncio.run(leave())
    disk.free.set()
    assert log.wait(1, WAIT_S)
    assert log.wait(log.append(commands(1)), WAIT_S)
    log.close()


def test_waiting_for_what_never_comes_ends_with_the_log(folder: Path) -> None:
    log = CommandLog(folder, "sync")

    async def main() -> None:
        waits = asyncio.create_task(log.durable(5))
        await asyncio.sleep(0.01)
        log.close()
        with pytest.raises(StorageError, match="closed"):
            await asyncio.wait_for(waits, WAIT_S)
        with pytest.raises(StorageError, match="closed"):
            await log.durable(5)

    asyncio.run(main())
    assert not log.wait(5, 0.01)


def test_a_full_backlog_refuses_whole_appends_and_says_so(folder: Path, disk: Disk) -> None:
    log = CommandLog(folder, "sync", backlog_limit_bytes=10 * ROW)
    disk.free.clear()
    rows = commands(20)
    assert log.append(rows[:6]) == 6
    with pytest.raises(LogFull) as refused:
        log.append(rows[6:16])
    assert refused.value.limit_bytes == 10 * ROW
    assert log.append(rows[6:9]) == 9
    assert (log.sequence, log.view().refused, log.state) == (9, 1, "open")
    disk.free.set()
    assert log.wait(9, WAIT_S)
    assert log.append(rows[9:]) == 20  # alone, any append is taken
    log.close()
    assert recovered(folder).engine.data == rows.tobytes()


def test_half_a_backlog_hastens_the_sync_in_mode_async(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(PACE_S, "async", 1_000.0)
    log = CommandLog(folder, "async", backlog_limit_bytes=10 * ROW)
    log.append(commands(8))
    until(lambda: log.durable_sequence == 8)
    log.close()


@pytest.mark.parametrize("written", [0, 1, 31, 32, 100])
def test_a_full_disk_fails_the_append_and_leaves_whole_frames(
    folder: Path, monkeypatch: pytest.MonkeyPatch, written: int
) -> None:
    log = CommandLog(folder, "sync")
    rows = commands(9)
    log.append(rows[:3])
    write = os.write
    left = [written]

    def nearly_full(file: int, data: bytes) -> int:
        part = data[: left.pop()] if left else b""
        if not part:
            raise NO_SPACE
        return write(file, part)

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", nearly_full)
        with pytest.raises(LogFailed, match=r"commands-.*No space left"):
            log.append(rows[3:])
    assert (log.sequence, log.state) == (3, "failed")
    assert log.wait(3, WAIT_S)  # what was taken before is still made durable
    with pytest.raises(LogFailed):
        log.append(rows[3:])
    with pytest.raises(LogFailed):
        log.rotate()
    assert frames.segment_path(folder, 0).stat().st_size == frames.HEADER_BYTES + 3 * ROW
    log.close()
    log = CommandLog(folder, "sync", 3)
    log.append(rows[3:])
    log.close()
    assert recovered(folder).engine.data == rows.tobytes()


def test_a_frame_that_cannot_be_taken_back_is_cut_off_by_the_next(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = CommandLog(folder, "sync")
    log.append(commands(3))
    write = os.write

    def no_space(file: int, data: bytes) -> int:
        if len(data) < frames.HEADER_BYTES + ROW:
            raise NO_SPACE
        return write(file, data[:50])

    def broken(*_: int) -> None:
        raise OSError(errno.EIO, "broken")

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", no_space)
        patch.setattr(os, "ftruncate", broken)
        with pytest.raises(LogFailed):
            log.append(commands(1))
    log.close()
    again = recovered(folder)
    assert (again.sequence, again.dropped_bytes) == (3, 50)
    log = CommandLog(folder, "sync", 3)
    assert log.view().torn_bytes == 50
    log.close()


def test_a_failed_sync_is_final_and_acknowledges_nothing(folder: Path, disk: Disk) -> None:
    log = CommandLog(folder, "sync")
    assert log.wait(log.append(commands(2)), WAIT_S)
    disk.error = OSError(errno.EIO, "Input/output error")
    disk.free.clear()
    sequence = log.append(commands(2))

    async def main() -> None:
        waits = [asyncio.create_task(log.durable(sequence)) for _ in range(3)]
        await asyncio.sleep(0.01)
        disk.free.set()
        for task in waits:
            with pytest.raises(LogFailed, match="Input/output error"):
                await asyncio.wait_for(task, WAIT_S)
        with pytest.raises(LogFailed):
            await log.durable(sequence)
        await log.durable(2)

    asyncio.run(main())
    disk.error = None  # a further sync would succeed, and lie
    with pytest.raises(LogFailed):
        log.wait(sequence, WAIT_S)
    with pytest.raises(LogFailed):
        log.append(commands(1))
    assert (log.durable_sequence, log.state) == (2, "failed")
    assert log.wait(2, 0)
    with pytest.raises(LogFailed):
        log.close()
    CommandLog(folder, "sync").close()  # it gave the folder free all the same


@pytest.mark.parametrize("call", ["write", "fdatasync", "replace"])
def test_a_snapshot_that_does_not_fit_leaves_the_log_as_it_is(
    folder: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    rows = commands(8)
    log = CommandLog(folder, "sync")
    log.append(rows[:4])
    log.wait(4, WAIT_S)
    sequence = log.rotate()

    def no_space(*_: object) -> None:
        raise NO_SPACE

    with monkeypatch.context() as patch:
        patch.setattr(os, call, no_space)
        with pytest.raises(LogFailed, match=r"snapshot-.*No space left"):
            log.write_snapshot(sequence, rows[:4].tobytes())
    assert log.state == "open"
    assert names(folder) == ["commands 0", "commands 4"]
    log.append(rows[4:])
    log.close()
    assert recovered(folder).engine.data == rows.tobytes()


def test_a_segment_that_cannot_begin_fails_the_log(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = CommandLog(folder, "sync")
    rows = commands(4)
    log.append(rows)

    def no_space(*_: object, **__: object) -> int:
        raise NO_SPACE

    with monkeypatch.context() as patch:
        patch.setattr(durable_files, "open_append", no_space)
        with pytest.raises(LogFailed, match="No space left"):
            log.rotate()
    assert log.state == "failed"
    log.close()
    assert recovered(folder).engine.data == rows.tobytes()


def test_a_folder_has_one_log_at_a_time(folder: Path) -> None:
    log = CommandLog(folder, "sync")
    with pytest.raises(LogFailed, match="another process uses it"):
        CommandLog(folder, "async")
    code = (
        "import sys; from pathlib import Path; from engine.matching.log import CommandLog\n"
        "CommandLog(Path(sys.argv[1]), 'sync')"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(folder)],
        cwd=Path(__file__).resolve().parents[2],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert "another process uses it" in done.stderr
    log.close()
    CommandLog(folder, "async").close()


def test_a_folder_that_cannot_be_made_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(LogFailed, match=r"Not a directory|File exists"):
        CommandLog(tmp_path / "file" / "log", "sync")


def test_what_a_killed_process_left_unsynced_is_synced_before_it_counts(folder: Path, disk: Disk) -> None:
    filled(folder, [3])
    before = disk.syncs
    log = CommandLog(folder, "async")
    assert (disk.syncs, log.durable_sequence) == (before + 1, 3)
    log.close()


def test_rotating_waits_for_a_sync_that_runs(folder: Path, disk: Disk) -> None:
    """The thread would sync a file that is closed, or another that has got its number."""
    log = CommandLog(folder, "sync")
    disk.begun = threading.Semaphore(0)
    disk.free.clear()
    log.append(commands(1))
    assert disk.begun.acquire(timeout=WAIT_S)
    rotating = threading.Thread(target=log.rotate)
    rotating.start()
    rotating.join(0.05)
    assert rotating.is_alive()
    assert not disk.begun.acquire(blocking=False)
    disk.free.set()
    rotating.join(WAIT_S)
    assert not rotating.is_alive()
    log.close()


def test_a_snapshot_is_on_the_disk_before_it_has_its_name(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = CommandLog(folder, "sync")
    done: list[str] = []

    def noted(module: object, name: str) -> None:
        call = getattr(module, name)
        monkeypatch.setattr(module, name, lambda *given: (done.append(name), call(*given))[1])

    noted(durable_files, "sync_file")
    noted(durable_files, "sync_folder")
    noted(os, "write")
    noted(os, "replace")
    log.write_snapshot(0, b"x")
    assert done == ["write", "sync_file", "write", "sync_file", "replace", "sync_folder"]
    log.close()


# Power cuts: of each file, only what was synced is sure to be there.


class Synced:
    """Knows of each file how much of it, and which names, were synced."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.sizes: dict[int, int] = {}  # by inode: a file's name changes
        self.names: set[str] = set()
        open_append = durable_files.open_append
        sync_file, sync_folder = durable_files.sync_file, durable_files.sync_folder

        def opened(path: Path, *, new: bool = False) -> int:
            handle = open_append(path, new=new)
            if new:
                self.sizes[os.fstat(handle).st_ino] = 0
            return handle

        def file(handle: int) -> None:
            state = os.fstat(handle)
            sync_file(handle)
            self.sizes[state.st_ino] = state.st_size

        def folder(path: Path) -> None:
            found = {entry.name for entry in path.iterdir()}
            sync_folder(path)
            self.names |= found

        monkeypatch.setattr(durable_files, "open_append", opened)
        monkeypatch.setattr(durable_files, "sync_file", file)
        monkeypatch.setattr(durable_files, "sync_folder", folder)

    def mount(self, folder: Path) -> None:
        """All there is now is on the disk."""
        self.names = {path.name for path in folder.iterdir()}
        self.sizes = {path.stat().st_ino: path.stat().st_size for path in folder.iterdir()}

    def cut(self, folder: Path, to: Path, choice: random.Random) -> None:
        """What the folder may be after a power cut now."""
        to.mkdir()
        for path in folder.iterdir():
            if path.name not in self.names and choice.random() < 0.5:
                continue
            data = path.read_bytes()
            synced = self.sizes[path.stat().st_ino]
            size = choice.randint(synced, len(data))
            reached = choice.randint(synced, size)
            (to / path.name).write_bytes(data[:reached] + bytes(size - reached))


@pytest.mark.parametrize("seed", range(30))
def test_a_power_cut_takes_nothing_that_was_durable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    choice = random.Random(seed)
    synced = Synced(monkeypatch)
    folder, engine = tmp_path / "0", Tape()
    for cut in range(1, 5):
        log = CommandLog(folder, choice.choice(["async", "sync"]), engine.commands_taken)
        for _ in range(choice.randint(0, 12)):
            rows = commands(choice.randint(1, 9), choice.randrange(1 << 30))
            log.append(rows)
            engine.submit(rows)
            if choice.random() < 0.3:
                log.wait(log.sequence, WAIT_S)
            if choice.random() < 0.3:
                sequence = log.rotate()
                if choice.random() < 0.7:
                    log.write_snapshot(sequence, engine.snapshot())
        durable = log.durable_sequence
        after = tmp_path / str(cut)
        synced.cut(folder, after, choice)
        log.close()
        again = recovered(after)
        assert again.sequence >= durable
        assert again.engine.data == engine.data[: again.sequence * ROW]
        synced.mount(after)  # the next round goes on with what is left
        folder, engine = after, again.engine
