"""The archive at work: what becomes of blocks, of files that are old, damaged or to be elsewhere, and of a kill -9."""

from __future__ import annotations

import asyncio
import shutil
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine.errors import BadCommand, StorageError, StoreFailed
from engine.storage import archiver, catalog, manifest, schema
from engine.storage.dates import DAY_NS
from engine.storage.names import RecordKind
from engine.storage.query import query
from engine.storage.records import Block
from engine.storage.steps import FOLDER, Step, Written
from tests.storage import killed_writer
from tests.storage.archiving import WITHIN_S, contents, killed_rounds, leaving, running, until
from tests.storage.drawn import NOON_NS, drawn_block


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archiver, "RETRY_FIRST_S", 0.05)
    monkeypatch.setattr(archiver, "RETRY_MAX_S", 0.2)
    monkeypatch.setattr(archiver, "LOOK_S", 0.02)


def test_what_waits_becomes_files_by_itself_and_the_view_says_so(tmp_path: Path) -> None:
    async def scene() -> None:
        async with running(tmp_path) as store:
            store.put(drawn_block(RecordKind.TRADES, 100), drawn_block(RecordKind.QUOTES, 50, seq=101))
            await until(lambda: store.archiver.view().files == 2)
            view = store.archiver.view()
            assert (view.rows, view.remote, view.waiting, view.damaged) == (150, False, 0, ())
            assert view.size_bytes == sum((store.root / path).stat().st_size for path in store.files())
            assert view.newest_ns == NOON_NS
            assert view.uri == str(store.root)
            assert store.seqs() == list(range(1, 101))
            assert store.journal.view().blocks == 0
            await until(lambda: store.archiver.view().state == "idle")

    asyncio.run(scene())


def test_compacting_at_once_takes_everything_that_is_acknowledged(tmp_path: Path) -> None:
    async def scene() -> None:
        async with running(tmp_path, every_s=3_600) as store:
            store.put(*(drawn_block(RecordKind.TRADES, 10, seq=1 + 10 * place) for place in range(5)))
            assert store.archiver.view().files == 0
            await store.archiver.compact_now()
            assert (store.archiver.view().files, store.archiver.view().rows) == (1, 50)
            assert store.journal.view().blocks == 0

    asyncio.run(scene())


def test_the_loop_stays_free_meanwhile(tmp_path: Path) -> None:
    async def scene() -> None:
        async with running(tmp_path, every_s=3_600) as store:
            store.put(drawn_block(RecordKind.DELTAS, 200_000))
            task = asyncio.create_task(store.archiver.compact_now())
            longest = turns = 0.0
            while not task.done():
                began = time.perf_counter()
                await asyncio.sleep(0)
                longest, turns = max(longest, time.perf_counter() - began), turns + 1
                await asyncio.sleep(0.001)
            await task
            assert longest < 0.25  # a shared machine stalls by itself
            assert turns > 20

    asyncio.run(scene())


def test_being_cancelled_gives_up_the_running_process_at_once(tmp_path: Path) -> None:
    endless = ("-c", "import sys, time; sys.stdin.readline(); time.sleep(600)")

    async def scene() -> None:
        began = time.monotonic()
        async with running(tmp_path, compact=endless) as store:
            store.put(drawn_block(RecordKind.TRADES, 10))
            await until(lambda: store.archiver.view().state == "compacting")
        assert time.monotonic() - began < 5
        assert catalog.snapshot(tmp_path).blocks[0].rows == 10

    asyncio.run(scene())


def test_a_process_that_fails_is_said_and_tried_again(tmp_path: Path) -> None:
    mark = tmp_path / "fails"
    mark.touch()
    now_and_then = (
        "-c",
        f"import os, sys\nif os.path.exists({str(mark)!r}): sys.exit('no luck today')\n"
        "from engine.storage import compaction\nsys.exit(compaction.main())",
    )

    async def scene() -> None:
        async with running(tmp_path / "store", compact=now_and_then) as store:
            store.put(drawn_block(RecordKind.TRADES, 10))
            await until(lambda: store.archiver.view().state == "failing")
            detail = store.archiver.view().detail
            assert detail.startswith(
                "the compacting process ended with 1: no luck today; tried again at 12:00:0"
            )
            mark.unlink()
            await until(lambda: store.archiver.view().files == 1)
            await until(lambda: store.archiver.view().detail == "")
            assert store.seqs() == list(range(1, 11))
            assert [note[0] for note in store.notes] == ["warn", "info"]

    asyncio.run(scene())


def test_damaged_blocks_and_foreign_files_are_shown_and_kept(tmp_path: Path) -> None:
    async def scene() -> None:
        (tmp_path / FOLDER).mkdir()
        (tmp_path / FOLDER / "notes.txt").write_text("mine")
        async with running(tmp_path, sweep=True) as store:
            store.put(drawn_block(RecordKind.TRADES, 10), drawn_block(RecordKind.QUOTES, 10, seq=11))
            spoil = "UPDATE blocks SET payload = zeroblob(length(payload)) WHERE first_seq = 1"
            store.journal.transact(lambda connection: connection.execute(spoil)).result(WITHIN_S)
            await until(lambda: len(store.archiver.view().damaged) == 2)
            await until(lambda: store.archiver.view().files == 1)
            damaged = dict(store.archiver.view().damaged)
            assert damaged.keys() == {"notes.txt", "journal.db, block 1"}
            assert damaged["notes.txt"] == "it is not named as the archive's files are"
            store.put(drawn_block(RecordKind.QUOTES, 10, seq=21))
            await until(lambda: store.archiver.view().files == 2)
            assert store.journal.view().blocks == 1
        assert (tmp_path / FOLDER / "notes.txt").read_text() == "mine"

    asyncio.run(scene())


def test_a_file_that_is_gone_is_marked_and_comes_back_once_it_is_whole(tmp_path: Path) -> None:
    async def first() -> None:
        async with running(tmp_path) as store:
            store.put(drawn_block(RecordKind.TRADES, 10), drawn_block(RecordKind.QUOTES, 10, seq=11))
            await store.archiver.compact_now()

    async def second() -> None:
        (path,) = (tmp_path / FOLDER).rglob("1-10.parquet")
        path.rename(tmp_path / "aside")
        async with running(tmp_path, sweep=True) as store:
            await until(lambda: store.archiver.view().damaged)
            assert store.archiver.view().damaged == ((path.relative_to(store.root).as_posix(), "it is gone"),)
        path.parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "aside").rename(path)
        async with running(tmp_path, sweep=True) as store:
            await until(lambda: not store.archiver._sweep)
            assert store.archiver.view().damaged == ()
            assert store.seqs() == list(range(1, 11))

    asyncio.run(first())
    asyncio.run(second())


def test_a_file_that_a_reader_finds_damaged_is_marked_once_and_kept(tmp_path: Path) -> None:
    async def scene() -> None:
        async with running(tmp_path, every_s=3_600) as store:
            store.put(drawn_block(RecordKind.TRADES, 10))
            await store.archiver.compact_now()
            (path,) = store.files()
            for _ in range(2):
                await store.archiver.report(path, "its checksum is wrong")
            await store.archiver.report("no/such/file", "whatever")
            assert store.archiver.view().damaged == ((path, "its checksum is wrong"),)
            assert len([note for note in store.notes if note[0] == "error"]) == 1
            assert store.files() == [path]
            await store.archiver.compact_now()
            assert store.archiver.view().damaged == ((path, "its checksum is wrong"),)

    asyncio.run(scene())


# --- retention ----------------------------------------------------------------------------------------------


def days_of(count: int) -> list[Block]:
    """Trades of the last days, one block each, the oldest first."""
    return [
        drawn_block(RecordKind.TRADES, 10, seq=1 + 10 * place, at_ns=NOON_NS - (count - 1 - place) * DAY_NS)
        for place in range(count)
    ]


def test_days_that_are_too_old_go_with_their_spans_and_it_is_said_before(tmp_path: Path) -> None:
    async def scene() -> None:
        async with running(tmp_path, every_s=3_600, days=5) as store:
            store.put(*days_of(4))
            await store.archiver.compact_now()
            store.as_they_came()
            await store.archiver.set_retention(2, 0)
            view = store.archiver.retention_view()
            assert [(each.date, each.files, each.why) for each in view.next] == [
                ("2025-11-17", 1, "older than 2 days"),
                ("2025-11-18", 1, "older than 2 days"),
                ("2025-11-19", 1, "older than 2 days"),
                ("2025-11-20", 1, "older than 2 days"),
            ]
            assert [each.due_ns <= store.now_ns for each in view.next] == [True, False, False, False]
            assert len(store.files()) == 4  # a minute to think again
            await store.archiver._delete_due()
            assert [path.split("/")[1] for path in store.files()] == [
                "date=2025-11-18",
                "date=2025-11-19",
                "date=2025-11-20",
            ]
            assert not (store.root / "kind=trades" / "date=2025-11-17").exists()
            assert store.archiver.retention_view().deleted_bytes == view.next[0].size_bytes
            with catalog.reading(tmp_path) as reader:
                assert min(span.from_ns for span in catalog.spans(reader)[0]) > NOON_NS - 3 * DAY_NS
                assert manifest.leaving(reader) == []
            assert ("info", "retention") in [note[:2] for note in store.notes]

    asyncio.run(scene())


def test_what_was_imported_is_kept_from_then_on_and_the_rest_of_its_date_goes(tmp_path: Path) -> None:
    async def scene() -> None:
        async with running(tmp_path, every_s=3_600) as store:
            old, imported = (
                days_of(4)[0],
                drawn_block(RecordKind.QUOTES, 10, seq=11, at_ns=NOON_NS - 3 * DAY_NS),
            )
            store.put(old)
            await store.archiver.compact_now()
            store.as_they_came()
            store.put(imported, drawn_block(RecordKind.QUOTES, 10, seq=21))
            await store.archiver.compact_now()
            await store.archiver.set_retention(2, 0)
            await store.archiver._delete_due()
            assert (store.seqs(), store.seqs(RecordKind.QUOTES)) == ([], list(range(11, 31)))
            store.now_ns += DAY_NS + DAY_NS // 2  # and no further than what is recorded
            store.put(drawn_block(RecordKind.QUOTES, 10, seq=31, at_ns=store.now_ns))
            await store.archiver.compact_now()
            store.now_ns += DAY_NS // 2
            await store.archiver._delete_due()
            assert store.seqs(RecordKind.QUOTES) == list(range(21, 41))

    asyncio.run(scene())


def test_a_clock_that_is_set_to_2100_deletes_nothing_at_once(tmp_path: Path) -> None:
    async def scene() -> None:
        async with running(tmp_path, every_s=3_600, days=7, steady=lambda: 5) as store:
            store.put(*days_of(3))
            await store.archiver.compact_now()
            store.as_they_came()
            store.now_ns += 74 * 365 * DAY_NS
            await store.archiver._delete_due()
            store.put(drawn_block(RecordKind.TRADES, 10, seq=31, at_ns=store.now_ns))
            await store.archiver.compact_now()
            await store.archiver._delete_due()
            assert store.seqs() == list(range(1, 41))

    asyncio.run(scene())


def test_one_time_that_cannot_be_makes_no_span_and_no_date_and_is_found(tmp_path: Path) -> None:
    async def scene() -> None:
        async with running(tmp_path, every_s=3_600) as store:
            block = drawn_block(RecordKind.QUOTES, 10)
            block.rows["ts_event_ns"][[3, 6]] = [1, 4_102_444_800 * 10**9]
            store.put(block)
            for archived in (False, True):
                if archived:
                    await store.archiver.compact_now()
                with catalog.reading(tmp_path) as reader:
                    (span,) = catalog.spans(reader)[0]
                assert (span.from_ns, span.to_ns) == (NOON_NS, NOON_NS + 9_000_000)
                for place, at_ns in ((3, 1), (6, 4_102_444_800 * 10**9), (4, NOON_NS + 4_000_000)):
                    found = query(tmp_path, RecordKind.QUOTES, from_ns=at_ns, to_ns=at_ns + 1)
                    assert found["seq"].to_pylist() == [1 + place]
            assert [path.split("/")[1] for path in store.files()] == ["date=2025-11-20"]

    asyncio.run(scene())


def test_over_the_budget_the_oldest_go_and_of_the_running_day_file_by_file(tmp_path: Path) -> None:
    async def scene() -> None:
        async with running(tmp_path, every_s=3_600) as store:
            store.put(*days_of(3))
            await store.archiver.compact_now()
            store.put(drawn_block(RecordKind.TRADES, 10, seq=31))
            await store.archiver.compact_now()
            one = (store.root / store.files()[0]).stat().st_size
            store.archiver._journal_bytes = lambda: 1_000
            await store.archiver.set_retention(0, 1_000 + 2 * one + one // 2)
            await store.archiver._delete_due()
            assert store.seqs() == list(range(21, 41))
            await store.archiver.set_retention(0, 1_000 + one + one // 2)
            await store.archiver._delete_due()
            assert store.seqs() == list(range(31, 41))

    asyncio.run(scene())


def test_a_preview_says_exactly_what_the_rule_then_deletes_and_changes_nothing(tmp_path: Path) -> None:
    async def scene() -> None:
        async with running(tmp_path, every_s=3_600) as store:
            store.put(*days_of(4))
            await store.archiver.compact_now()
            store.as_they_came()
            sizes = [(store.root / path).stat().st_size for path in sorted(store.files())]
            store.archiver._journal_bytes = lambda: 1_000
            for rule in ((2, 0), (0, 1_000 + sum(sizes[2:])), (0, 0), (9, 1 << 40), (1, 1_000)):
                before = (store.archiver.retention_view(), store.files())
                told = await store.archiver.preview(*rule)
                assert (store.archiver.retention_view(), store.files()) == before
                assert told.size_bytes == sum(day[2] for day in told.days)
                kept = {2: 3, 0: 2 if rule[1] else 4, 9: 4, 1: 0}[rule[0]]
                assert (told.rows, told.size_bytes) == (10 * (4 - kept), sum(sizes[: 4 - kept]))
                assert sorted((day[0][-2:], day[3]) for day in told.days) == [
                    (str(17 + n), 10) for n in range(4 - kept)
                ]
            with pytest.raises(BadCommand):
                await store.archiver.preview(-1, 0)
            told = await store.archiver.preview(0, 1_000 + sum(sizes[2:]))
            await store.archiver.set_retention(0, 1_000 + sum(sizes[2:]))
            await store.archiver._delete_due()
            assert len(store.seqs()) == 40 - told.rows

    asyncio.run(scene())


def test_on_a_full_disk_a_file_that_is_due_makes_room_for_saying_so(tmp_path: Path) -> None:
    async def scene() -> None:
        async with running(tmp_path, every_s=3_600) as store:
            store.put(*days_of(3))
            await store.archiver.compact_now()
            store.as_they_came()
            await store.archiver.set_retention(1, 0)
            real = store.journal.transact

            def full(change: Callable[..., Any]) -> Any:
                if len(store.files()) == 3:
                    raise StoreFailed("journal.db", "the disk is full")
                return real(change)

            store.journal.transact = full
            await store.archiver._delete_due()
            assert store.seqs() == list(range(11, 31))
            assert len(store.files()) == 2
            assert leaving(store) == 0

    asyncio.run(scene())


def test_a_reader_has_a_moment_to_open_what_it_was_told_of(tmp_path: Path) -> None:
    async def scene() -> None:
        async with running(tmp_path, every_s=3_600, grace_s=3_600) as store:
            store.put(*days_of(2))
            await store.archiver.compact_now()
            await store.archiver.set_retention(1, 0)
            store.now_ns += DAY_NS
            await store.archiver._delete_due()
            assert store.seqs() == list(range(11, 21))
            assert len(store.files()) == 2

    asyncio.run(scene())


def test_what_was_chosen_is_kept_over_a_start_and_nonsense_is_refused(tmp_path: Path) -> None:
    async def scene() -> None:
        async with running(tmp_path, days=30, budget_bytes=5) as store:
            for days, budget_bytes in ((-1, 0), (40_000, 0), (0, -1), (0, 1 << 62)):
                with pytest.raises(BadCommand):
                    await store.archiver.set_retention(days, budget_bytes)
            assert (store.archiver.retention_view().days, store.archiver.retention_view().budget_bytes) == (
                30,
                5,
            )
            await store.archiver.set_retention(7, 1 << 40)
        async with running(tmp_path, days=30, budget_bytes=5) as store:
            await until(lambda: store.archiver.retention_view().days == 7)
            assert store.archiver.retention_view().budget_bytes == 1 << 40

    asyncio.run(scene())


# --- uploading ----------------------------------------------------------------------------------------------


def test_files_go_to_the_other_place_too_and_merged_ones_leave_it(tmp_path: Path) -> None:
    there = tmp_path / "other disk"

    async def scene() -> None:
        async with running(tmp_path / "store", uri=str(there)) as store:
            for place in range(3):
                store.put(drawn_block(RecordKind.TRADES, 10, seq=1 + 10 * place))
                await store.archiver.compact_now()
            await until(lambda: store.archiver.view().waiting == 0)
            assert contents(there) == contents(store.root)
            assert len(contents(there)) == 3
            store.now_ns += DAY_NS  # that day is over: its files become one
            await until(lambda: len(contents(there)) == 1 and len(store.files()) == 1)
            await until(lambda: store.archiver.view().waiting == 0)
            assert contents(there) == contents(store.root)
            assert store.seqs() == list(range(1, 31))
            await until(lambda: leaving(store) == 0)

    asyncio.run(scene())


def test_what_was_sent_before_a_kill_and_merged_after_it_is_not_there_twice(tmp_path: Path) -> None:
    there, flag = tmp_path / "there", tmp_path / "flag"
    later = (
        "-c",
        f"import os, sys\nif not os.path.exists({str(flag)!r}): sys.exit('not yet')\n"
        "from engine.storage import upload\nsys.exit(upload.main())",
    )

    async def scene() -> None:
        async with running(tmp_path / "store", every_s=3_600) as store:
            for place in range(2):
                store.put(drawn_block(RecordKind.TRADES, 10, seq=1 + 10 * place))
                await store.archiver.compact_now()
        shutil.copytree(tmp_path / "store" / FOLDER, there)  # sent, and nobody was told
        async with running(tmp_path / "store", uri=str(there), upload=later) as store:
            store.now_ns += DAY_NS
            await until(lambda: len(store.files()) == 1)
            assert len(contents(there)) == 2
            flag.touch()
            await until(lambda: contents(there) == contents(store.root) and leaving(store) == 0)

    asyncio.run(scene())


def test_while_the_other_place_fails_nothing_is_lost_and_then_it_goes_on(tmp_path: Path) -> None:
    there = tmp_path / "other"
    there.write_text("no folder")

    async def scene() -> None:
        async with running(tmp_path / "store", uri=str(there), every_s=0.05, days=1) as store:
            store.put(*days_of(2))
            await store.archiver.compact_now()
            store.now_ns += 5 * DAY_NS  # all of it is too old, and none of it is elsewhere
            await until(lambda: store.archiver.view().state == "failing")
            view = store.archiver.view()
            assert view.detail.startswith(f"{there} does not take it: file exists; tried again at 12:00:0")
            assert view.waiting == 2
            assert (
                store.archiver.retention_view().next[0].why
                == "older than 1 day, once 1 files of it are uploaded"
            )
            await store.archiver._delete_due()
            assert store.seqs() == list(range(1, 21))
            there.unlink()
            await until(lambda: len(contents(there)) == 2)
            await until(lambda: store.archiver.view().state == "idle" and store.files() == [])
            assert len(contents(there)) == 2  # what went by age here stays there

    asyncio.run(scene())


def test_another_place_gets_everything(tmp_path: Path) -> None:
    async def scene(uri: Path) -> None:
        async with running(tmp_path / "store", uri=f"file://{uri}") as store:
            if not store.journal.view().blocks and not store.files():
                store.put(drawn_block(RecordKind.TRADES, 10))
                await store.archiver.compact_now()
            await until(lambda: uri.exists() and contents(uri) == contents(store.root) != {})
            await until(lambda: store.archiver.view().waiting == 0)

    asyncio.run(scene(tmp_path / "first"))
    asyncio.run(scene(tmp_path / "second"))


def test_a_damaged_file_is_not_sent_and_is_shown(tmp_path: Path) -> None:
    there = tmp_path / "other"

    async def scene() -> None:
        async with running(tmp_path / "store", every_s=3_600) as store:
            store.put(drawn_block(RecordKind.TRADES, 10), drawn_block(RecordKind.QUOTES, 10, seq=11))
            await store.archiver.compact_now()
            (path,) = (each for each in store.files() if "trades" in each)
            (store.root / path).write_bytes(b"spoilt")
        async with running(tmp_path / "store", uri=str(there)) as store:
            await until(lambda: store.archiver.view().damaged)
            await until(lambda: store.archiver.view().waiting == 0)
            assert store.archiver.view().damaged == ((path, "its checksum is wrong"),)
            assert [name.split("/")[0] for name in contents(there)] == ["kind=quotes"]
            assert (store.root / path).read_bytes() == b"spoilt"

    asyncio.run(scene())


def test_a_bad_place_is_said_without_its_secret_and_stops_nothing_else(tmp_path: Path) -> None:
    async def scene() -> None:
        async with running(tmp_path, uri="s3://KEY:s3cr3t@bucket/x") as store:
            store.put(drawn_block(RecordKind.TRADES, 10))
            await until(lambda: store.archiver.view().files == 1)
            view = store.archiver.view()
            assert (view.state, view.uri) == ("failing", "s3://bucket/x")
            assert "must not have a key in it" in view.detail
            assert "s3cr3t" not in f"{view} {store.notes}"

    asyncio.run(scene())


# --- kill -9 ------------------------------------------------------------------------------------------------


def test_ten_kills_at_any_point_lose_nothing_and_double_nothing(tmp_path: Path) -> None:
    killed_rounds(tmp_path, 10, 0.5)


@pytest.mark.nightly
@pytest.mark.timeout(900)
def test_a_hundred_kills_at_any_point_lose_nothing_and_double_nothing(tmp_path: Path) -> None:
    killed_rounds(tmp_path, 100, 1.5)


@pytest.mark.parametrize("point", ["half", "renamed"])
def test_a_compacting_process_killed_at_each_point_leaves_each_row_once(tmp_path: Path, point: str) -> None:
    once = tmp_path / "once"
    once.touch()
    killed = (
        "-c",
        "import os, sys\nfrom engine.storage import compaction\n"
        f"def passed(point):\n    if point == {point!r} and os.path.exists({str(once)!r}):\n"
        f"        os.unlink({str(once)!r}); os.kill(os.getpid(), 9)\n"
        "sys.exit(compaction.main(passed=passed))",
    )

    async def scene() -> None:
        async with running(tmp_path / "store", compact=killed, every_s=3_600) as store:
            blocks = [drawn_block(RecordKind.TRADES, 10, at_ns=killed_writer.MIDNIGHT_NS - 5_000_000)]
            store.put(*blocks, drawn_block(RecordKind.RAW, 10, seq=11))
            with pytest.raises(StorageError, match="the compacting process ended by signal 9"):
                await store.archiver.compact_now()
            assert store.seqs() == list(range(1, 11))
            store.put(drawn_block(RecordKind.TRADES, 10, seq=21))
            await store.archiver.compact_now()
            assert store.seqs() == [*range(1, 11), *range(21, 31)]
            assert store.seqs(RecordKind.RAW) == list(range(11, 21))
            assert set(store.files()) == {file.path for file in catalog.snapshot(store.folder).files}
            assert store.archiver.view().damaged == ()

    asyncio.run(scene())


def test_a_transaction_that_is_refused_changes_nothing_and_its_files_go(tmp_path: Path) -> None:
    async def scene() -> None:
        async with running(tmp_path, every_s=3_600) as store:
            store.put(drawn_block(RecordKind.TRADES, 10))
            real = manifest.add_files_and_drop_blocks
            with pytest.MonkeyPatch.context() as patch:

                def full(*given: Any) -> list[int]:
                    real(*given)
                    raise StorageError("no room for that")

                patch.setattr(manifest, "add_files_and_drop_blocks", full)
                with pytest.raises(StorageError, match="no room for that"):
                    await store.archiver.compact_now()
            assert store.archiver._sweep
            assert store.seqs() == list(range(1, 11))
            assert store.journal.view().blocks == 1
            await store.archiver.compact_now()
            assert store.seqs() == list(range(1, 11))
            assert len(store.files()) == 1

    asyncio.run(scene())


def test_a_merge_is_refused_where_a_file_isleaving(tmp_path: Path) -> None:
    async def scene() -> None:
        async with running(tmp_path, every_s=3_600) as store:
            for place in range(2):
                store.put(drawn_block(RecordKind.TRADES, 10, seq=1 + 10 * place))
                await store.archiver.compact_now()
            first, second = catalog.snapshot(tmp_path).files
            places = (1, 20, 20, first.size_bytes, first.first_ns, second.last_ns)
            merged = Written("kind=trades/x.parquet", "trades", first.date, *places, first.sha256)
            step = Step(first.stream_id, [merged], merged=[first.id, second.id])
            leave = store.journal.transact(
                lambda connection: schema.mark_file(connection, first.id, state="deleting")
            )
            assert leave.result(WITHIN_S)
            with pytest.raises(StorageError, match="cannot take the place of a file that is gone"):
                store.journal.transact(lambda connection: manifest.commit(connection, step, 1)).result(
                    WITHIN_S
                )
            assert store.seqs() == list(range(11, 21))

    asyncio.run(scene())


def test_the_check_of_the_kill_loop_sees_a_row_that_is_missing_twice_or_other(tmp_path: Path) -> None:
    from tests.storage.kept import Kept

    blocks = killed_writer.blocks_of(1)
    for name, spoil in (
        ("missing", lambda rows: rows[:-1]),
        ("twice", lambda rows: np.append(rows, rows[-1:])),
        ("other", lambda rows: _changed(rows)),
    ):
        store = Kept(tmp_path / name)
        spoilt = replace(blocks[0], rows=spoil(blocks[0].rows))
        store.put(spoilt, *blocks[1:])
        with pytest.raises(AssertionError, match="twice" if name == "twice" else "missing or differ"):
            killed_writer.check(store.folder, {1})
    whole = Kept(tmp_path / "whole")
    whole.put(*blocks)
    assert killed_writer.check(whole.folder, {1}) == sum(killed_writer.COUNTS.values())


def _changed(rows: np.ndarray) -> np.ndarray:
    rows = rows.copy()
    rows["price"][3] += 1
    return rows
