"""What faults get: nothing waits, nothing acknowledged is lost, what is given up is said, and it goes on by itself."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import threading
import time
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path

import apsw
import numpy as np
import pytest

from engine.errors import BadDataFolder, StoreFailed, StoreLocked
from engine.storage import catalog, schema
from engine.storage.journal import Journal
from engine.storage.journal_writer import Writer
from engine.storage.names import RecordKind
from engine.storage.records import Block, Stream
from tests.storage.drawn import OF_A_VENUE, drawn_block
from tests.storage.journals import WAIT_S, draft_of, held_back, put, seqs_in, until, written

ROOM_BYTES = 3 << 20
Shed = list[tuple[str, str, RecordKind, int, int, int, str]]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 3 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    options = ["-t", "tmpfs", "-o", f"size={ROOM_BYTES}", "tmpfs", str(folder)]
    try:
        subprocess.run(["mount", *options], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"a small file system cannot be mounted here: {error}")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)  # a test that failed left a journal open


def listen(journal: Journal) -> Shed:
    """What the journal says it gave up."""
    said: Shed = []
    journal.on_shed = lambda *given_up: said.append(given_up)
    return said


def fill(journal: Journal, until_true: Callable[[], object]) -> dict[RecordKind, list[Block]]:
    """Puts records of three kinds until it is true, and says what it put. No put takes long."""
    blocks: dict[RecordKind, list[Block]] = {}
    took = []
    for _ in range(4_000):
        if until_true():
            assert not took or np.median(took) < 0.001
            return blocks
        for kind in (RecordKind.TRADES, RecordKind.DELTAS, RecordKind.RAW):
            block = drawn_block(kind, 200, seq=journal.next_seq)
            journal.next_seq += 200
            drafts = [draft_of(block)]
            began = time.perf_counter()
            journal.put(drafts)
            took.append(time.perf_counter() - began)
            blocks.setdefault(kind, []).append(block)
        time.sleep(0.001)  # the loop has other things to do
    raise AssertionError("it never came to that")


def check_full_disk(journal: Journal, folder: Path, make_room: Callable[[], None]) -> None:
    """Fill the disk and more; then make room: what was acknowledged is there, what was given up was said."""
    said = listen(journal)
    blocks = fill(journal, lambda: journal.state == "full")
    acknowledged = journal.view().durable_seq
    assert "the disk is full" in journal.detail
    with pytest.raises(StoreFailed, match="the disk is full"):
        journal.transact(lambda c: schema.put_value(c, "ballast", bytes(ROOM_BYTES))).result(WAIT_S)
    more = fill(journal, lambda: dict(journal.view().shed).get("raw", 0) > 1_000)
    for kind, added in more.items():
        blocks[kind] += added
    view = journal.view()
    assert view.pending_bytes <= view.pending_limit_bytes
    assert view.durable_seq < journal.next_seq  # nothing is acknowledged that is not there
    assert view.durable_seq >= acknowledged
    shed = dict(view.shed)
    assert set(shed) <= {"deltas", "raw"}  # trades are wanted most
    assert shed["deltas"] >= shed["raw"]
    assert set(seqs_in(folder)) >= set(range(1, view.durable_seq)) - given_up(blocks, folder)

    make_room()
    until(lambda: journal.state == "ready", "it goes on by itself")
    blocks.setdefault(RecordKind.TRADES, []).append(put(journal))
    written(journal)
    until(lambda: sum(one[5] for one in said) == sum(dict(journal.view().shed).values()), "all of it is said")
    assert {one[2] for one in said} == {RecordKind.DELTAS, RecordKind.RAW}
    assert "the disk is full" in {one[6] for one in said}
    assert all(0 < one[3] <= one[4] <= time.time_ns() for one in said)
    there = seqs_in(folder)
    assert len(there) == len(set(there))
    for kind, put_blocks in blocks.items():
        found = set(seqs_in(folder, kind))
        every = {seq for block in put_blocks for seq in block.rows["seq"].tolist()}
        assert found <= every
        assert len(every) - len(found) == dict(journal.view().shed).get(kind.value, 0)
    with catalog.reading(folder) as connection:
        assert connection.pragma("integrity_check") == "ok"
    assert journal.close()
    again = Journal.open(folder)
    assert sorted(seqs_in(folder)) == sorted(there)
    assert again.close()


def given_up(blocks: dict[RecordKind, list[Block]], folder: Path) -> set[int]:
    """Numbers of sheddable kinds that are not in the journal: they may have been given up."""
    every = {
        seq
        for kind in (RecordKind.DELTAS, RecordKind.RAW)
        for block in blocks[kind]
        for seq in block.rows["seq"].tolist()
    }
    return every - set(seqs_in(folder))


def test_a_full_disk(small_disk: Path) -> None:
    ballast = small_disk / "ballast"
    ballast.write_bytes(bytes(ROOM_BYTES // 2))
    journal = Journal.open(small_disk / "store", pace_s=0.005, pending_limit_bytes=1_000_000)

    def make_room() -> None:
        ballast.unlink()

    check_full_disk(journal, small_disk / "store", make_room)


def test_what_makes_room_can_be_written_down_on_a_full_disk(small_disk: Path) -> None:
    journal = Journal.open(small_disk / "store", pace_s=0.005)
    reserve = small_disk / "store" / "reserve"
    assert reserve.exists()
    with (small_disk / "ballast").open("wb", buffering=0) as ballast, contextlib.suppress(OSError):
        while True:  # to the last byte
            ballast.write(bytes(4_096))
    put(journal)
    until(lambda: journal.state == "full", "the disk is full")
    journal.transact(lambda c: schema.put_value(c, "deleting", "ballast")).result(WAIT_S)
    assert not reserve.exists()
    (small_disk / "ballast").unlink()
    written(journal)
    with catalog.reading(small_disk / "store") as connection:
        assert schema.value(connection, "deleting") == "ballast"
    assert journal.close()
    again = Journal.open(small_disk / "store")
    assert reserve.exists()
    assert again.close()


def test_a_database_that_may_not_grow(tmp_path: Path) -> None:
    journal = Journal.open(tmp_path, pace_s=0.005, pending_limit_bytes=1_000_000)
    pages = journal.transact(lambda c: c.pragma("page_count")).result(WAIT_S)
    journal.transact(lambda c: c.pragma("max_page_count", pages + 100)).result(WAIT_S)

    def make_room() -> None:
        until(lambda: _unlimited(journal), "a change is made though the disk is full")

    check_full_disk(journal, tmp_path, make_room)


def _unlimited(journal: Journal) -> bool:
    return journal.transact(lambda c: c.pragma("max_page_count", 2**30)).result(WAIT_S) == 2**30


def test_a_full_disk_at_the_end_is_no_reason_to_hang(tmp_path: Path) -> None:
    journal = Journal.open(tmp_path, pace_s=0.005)
    first = put(journal)
    written(journal)
    pages = journal.transact(lambda c: c.pragma("page_count")).result(WAIT_S)
    journal.transact(lambda c: c.pragma("max_page_count", pages)).result(WAIT_S)
    put(journal, RecordKind.RAW, 2_000)
    until(lambda: journal.state == "full", "the disk is full")
    began = time.monotonic()
    assert journal.close()
    assert time.monotonic() - began < 5.0
    assert journal.state == "failed"
    assert journal.view().shed == (("raw", 2_000),)
    assert seqs_in(tmp_path) == first.rows["seq"].tolist()
    with pytest.raises(StoreFailed, match="the disk is full"):
        journal.wait_durable(journal.next_seq, 1.0)
    again = Journal.open(tmp_path)
    put(again)
    written(again)
    assert again.close()


def test_a_disk_that_answers_too_late_is_not_waited_for_at_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("engine.group_commit.JOIN_TIMEOUT_S", 0.05)
    journal = Journal.open(tmp_path)
    with held_back(journal):
        put(journal)
        assert not journal.close()
        with pytest.raises(StoreLocked):
            Journal.open(tmp_path)  # its thread still writes
    monkeypatch.undo()
    assert journal.close()
    assert len(seqs_in(tmp_path)) == 5


@pytest.mark.parametrize("how", ["BEGIN IMMEDIATE", "BEGIN EXCLUSIVE"])
def test_a_program_that_holds_the_database_delays_what_is_put_and_no_more(tmp_path: Path, how: str) -> None:
    journal = Journal.open(tmp_path, pace_s=0.005)
    put(journal)
    written(journal)
    foreign = apsw.Connection(str(tmp_path / schema.NAME))
    foreign.execute(how)
    began = time.perf_counter()
    put(journal)
    assert time.perf_counter() - began < 0.1
    until(lambda: "another program" in journal.detail, "it is said")
    assert journal.state == "ready"  # for half a minute
    assert not journal.wait_durable(journal.next_seq, 0.05)
    with pytest.raises(StoreFailed, match="another program"):
        journal.transact(lambda c: schema.put_value(c, "a", 1)).result(WAIT_S)
    foreign.execute("COMMIT")
    foreign.close()
    written(journal)
    until(lambda: not journal.detail, "it is over")
    assert sorted(seqs_in(tmp_path)) == list(range(1, 11))
    assert journal.close()


def test_a_program_that_holds_it_for_long_is_a_failure_that_can_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("engine.storage.journal.LOCKED_LIMIT_S", 0.3)
    journal = Journal.open(tmp_path, pace_s=0.005)
    foreign = apsw.Connection(str(tmp_path / schema.NAME))
    foreign.execute("BEGIN IMMEDIATE")
    put(journal)
    until(lambda: journal.state == "failed", "it takes too long")
    foreign.execute("COMMIT")
    foreign.close()
    written(journal)
    until(lambda: journal.state == "ready", "it went on trying")
    assert sorted(seqs_in(tmp_path)) == [1, 2, 3, 4, 5]
    assert journal.close()


def test_a_slow_disk_makes_no_put_wait_and_costs_what_is_least_wanted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    leave = threading.Event()
    write = Writer.write

    def slow(self: Writer, *given: object) -> None:
        assert leave.wait(WAIT_S)
        write(self, *given)  # type: ignore[arg-type]

    monkeypatch.setattr(Writer, "write", slow)
    monkeypatch.setattr("engine.storage.journal.STRETCH_S", 0.0)
    journal = Journal.open(tmp_path, pace_s=0.005, pending_limit_bytes=1_000_000)
    said = listen(journal)
    blocks = fill(journal, lambda: dict(journal.view().shed).get("deltas", 0) > 1_000)
    assert journal.view().pending_bytes <= 1_000_000
    assert journal.state == "ready"
    leave.set()
    written(journal)
    until(lambda: said, "what was given up is said")
    assert {(one[2], one[6]) for one in said} == {(RecordKind.DELTAS, "more came than the disk could take")}
    trades = [seq for block in blocks[RecordKind.TRADES] for seq in block.rows["seq"].tolist()]
    assert sorted(seqs_in(tmp_path, RecordKind.TRADES)) == trades
    assert journal.close()


def test_an_unknown_failure_ends_the_journal_and_tells_everybody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = Journal.open(tmp_path, pace_s=0.005)
    kept = put(journal)
    written(journal)

    def broken(_self: Writer, *_given: object) -> None:
        raise apsw.IOError("disk I/O error")

    monkeypatch.setattr(Writer, "write", broken)
    put(journal)
    with pytest.raises(StoreFailed, match="disk I/O error"):
        journal.wait_durable(journal.next_seq, WAIT_S)
    assert (journal.state, journal.detail) == ("failed", "disk I/O error")
    put(journal)
    assert journal.view().shed == (("trades", 10),)
    assert journal.view().pending_rows == 0
    with pytest.raises(StoreFailed):
        journal.transact(lambda c: schema.put_value(c, "a", 1)).result(WAIT_S)
    assert journal.close()
    monkeypatch.undo()
    again = Journal.open(tmp_path)  # the lock is released
    assert seqs_in(tmp_path) == kept.rows["seq"].tolist()
    assert again.close()


def test_who_is_told_of_a_loss_and_fails_does_not_end_the_journal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("engine.storage.journal.STRETCH_S", 0.0)
    journal = Journal.open(tmp_path, pace_s=0.005, pending_limit_bytes=2_000)
    told = threading.Event()

    def breaks(*_given_up: object) -> None:
        told.set()
        raise KeyError("somewhere else")

    journal.on_shed = breaks
    put(journal, RecordKind.DELTAS, 100)  # more than may wait
    put(journal, RecordKind.TRADES, 1)
    until(told.is_set, "it is told")
    put(journal, RecordKind.TRADES, 1)
    written(journal)
    assert journal.state == "ready"
    assert seqs_in(tmp_path) == [101, 102]
    assert journal.close()


def full(_self: Writer, *_given: object) -> None:
    raise apsw.FullError("database or disk is full")


def test_many_little_drafts_hold_no_more_memory_than_they_may(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    limit = 8 << 20
    monkeypatch.setattr("engine.storage.journal.RETRY_MAX_S", 0.2)
    monkeypatch.setattr(Writer, "write", full)
    journal = Journal.open(tmp_path, pace_s=0.005, pending_limit_bytes=limit)
    streams = [Stream("builtin", f"S{number}-USDT") for number in range(100)]
    row = drawn_block(RecordKind.TRADES, 1).rows
    tracemalloc.start()
    took = []
    try:
        for _ in range(200):
            drafts = []
            for stream in streams:
                rows = row.copy()
                rows["seq"] = journal.next_seq
                drafts.append(draft_of(Block(RecordKind.TRADES, stream, rows)))
                journal.next_seq += 1
            began = time.perf_counter()
            journal.put(drafts)
            took.append(time.perf_counter() - began)
            del drafts
            time.sleep(0.002)
            held, _ = tracemalloc.get_traced_memory()
            assert journal.view().pending_bytes <= limit
            assert held < 2 * limit
    finally:
        tracemalloc.stop()
    assert journal.state == "full"
    assert np.median(took) < 0.01  # tracemalloc makes it slow
    assert journal.view().pending_rows + sum(rows for _, rows in journal.view().shed) == 20_000
    monkeypatch.undo()
    written(journal)
    assert len(seqs_in(tmp_path)) == 20_000 - sum(rows for _, rows in journal.view().shed)
    assert journal.close()


def test_a_disk_that_takes_again_is_found_so_though_nothing_waits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Writer, "write", full)
    journal = Journal.open(tmp_path, pace_s=0.005)
    said = listen(journal)
    put(journal)
    until(lambda: journal.state == "full", "it is full")
    journal._pending.limit_bytes = 1
    put(journal)  # all of it is given up
    until(lambda: not journal.view().pending_rows, "nothing waits")
    time.sleep(0.3)
    assert journal.state == "full"  # it is tried, and still is
    monkeypatch.undo()
    until(lambda: journal.state == "ready", "it is ready by itself")
    until(lambda: said, "what was given up is said")
    assert sum(one[5] for one in said) == 10
    assert journal.close()


def test_what_was_given_up_at_the_end_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_self: Writer, *_given: object) -> None:
        raise apsw.IOError("disk I/O error")

    journal = Journal.open(tmp_path, pace_s=0.005)
    said = listen(journal)
    monkeypatch.setattr(Writer, "write", broken)
    put(journal)
    until(lambda: said, "it is told")
    assert journal.ended
    put(journal)
    journal.tell_given_up()
    assert [(one[5], one[6]) for one in said] == [(5, "disk I/O error"), (5, "disk I/O error")]
    assert journal.close()


def test_every_commit_is_synced(tmp_path: Path) -> None:
    journal = Journal.open(tmp_path)
    asked = ("journal_mode", "synchronous", "fullfsync", "wal_autocheckpoint", "mmap_size", "page_size")
    found = journal.transact(lambda c: [c.pragma(name) for name in asked]).result(WAIT_S)
    assert found == ["wal", 2, 1, 0, 0, 8_192]  # 2: FULL
    assert journal.close()


def test_a_torn_tail_of_the_log_costs_only_what_is_torn(tmp_path: Path) -> None:
    journal = Journal.open(tmp_path / "store")
    for _ in range(12):
        put(journal)
        written(journal)
    random = np.random.default_rng(2)
    log = (tmp_path / "store" / f"{schema.NAME}-wal").read_bytes()
    prefixes = set()
    for turn, length in enumerate(sorted(random.integers(0, len(log), 12).tolist())):
        folder = tmp_path / str(turn)
        folder.mkdir()
        shutil.copy(tmp_path / "store" / schema.NAME, folder)
        (folder / f"{schema.NAME}-wal").write_bytes(log[:length] + bytes(random.bytes(500)))
        again = Journal.open(folder)
        numbers = sorted(seqs_in(folder))
        assert numbers == list(range(1, len(numbers) + 1))
        assert len(numbers) % 5 == 0  # whole transactions
        assert again.next_seq == len(numbers) + 1
        prefixes.add(len(numbers))
        put(again)
        written(again)
        assert again.close()
    assert len(prefixes) > 3
    assert sorted(prefixes)[-1] <= 60
    assert journal.close()


def test_a_damaged_database_is_not_written_to(tmp_path: Path) -> None:
    journal = Journal.open(tmp_path)
    for kind in OF_A_VENUE:
        put(journal, kind, 500)
        written(journal)
    assert journal.close()
    path = tmp_path / schema.NAME
    data = bytearray(path.read_bytes())
    for page in range(1, len(data) // 8_192):
        data[page * 8_192 : page * 8_192 + 16] = b"\xff" * 16
    path.write_bytes(data)
    with pytest.raises(BadDataFolder, match=r"damaged journal\.db"):
        Journal.open(tmp_path)
    assert path.read_bytes() == data
