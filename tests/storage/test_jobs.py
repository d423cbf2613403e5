"""Exports as processes: turns, progress, cancel, failures, restarts, and what is kept of them."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import stat
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import psutil
import pytest

from engine.errors import BadCommand, BadQuery
from engine.storage import jobs
from engine.storage.export_request import MAX_NS, Canceled, ExportRequest
from engine.storage.jobs import JobReport, Jobs
from engine.storage.names import RecordKind
from engine.storage.views import JobState, JobView
from tests.storage.drawn import NOON_NS, drawn_block
from tests.storage.kept import Kept

CHILD = Path(__file__).with_name("export_child.py")
ALL = ExportRequest(RecordKind.TRADES, "builtin", "BTC-USDT", 0, MAX_NS, "csv")
ENDED: tuple[JobState, ...] = ("done", "failed", "canceled")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Path]:
    kept = Kept(tmp_path / "store")
    kept.put(drawn_block(RecordKind.TRADES, 200))
    yield kept.folder
    kept.close()


def opened(store: Path, mode: str = "real", **given: Any) -> Jobs:
    return Jobs(store, command=(sys.executable, str(CHILD), mode), **given)


@asynccontextmanager
async def running(made: Jobs) -> AsyncIterator[Jobs]:
    task = asyncio.create_task(made.run())
    try:
        yield made
    finally:
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


async def until(condition: Callable[[], bool], seconds: float = 20.0) -> None:
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.01)


def of(made: Jobs, job: str) -> JobView:
    return next(view for view in made.views() if view.id == job)


async def ended(made: Jobs, job: str) -> JobView:
    await until(lambda: of(made, job).state in ENDED)
    return of(made, job)


def test_an_export_is_a_finished_file_only_its_owner_may_read(store: Path) -> None:
    async def main() -> None:
        async with running(opened(store)) as made:
            part = replace(ALL, from_ns=NOON_NS + 50_000_000, to_ns=NOON_NS + 150_000_000)
            job = made.start(part)
            assert of(made, job).state == "waiting"
            assert made.path_of(job) is None
            view = await ended(made, job)
            assert (view.state, view.detail, view.rows, view.total) == ("done", "", 100, 100)
            path = made.path_of(job)
            assert path is not None
            assert path.name == view.name == "trades_builtin_BTC-USDT_20251120T120000Z_20251120T120000Z.csv"
            assert path.stat().st_size == view.size_bytes
            assert len(pd.read_csv(path)) == 100
            assert view.ended_ns >= view.started_ns > 0
            for folder in (store / "exports", store / "jobs"):
                assert stat.S_IMODE(folder.stat().st_mode) == 0o700

    asyncio.run(main())


def test_the_process_is_the_command_line_a_user_has(store: Path) -> None:
    async def main() -> None:
        async with running(Jobs(store)) as made:
            job = made.start(replace(ALL, from_ns=NOON_NS, to_ns=NOON_NS + 20_000_000, form="parquet"))
            view = await ended(made, job)
            assert (view.state, view.detail, view.rows) == ("done", "", 20)
            path = made.path_of(job)
            assert path is not None
            assert len(pd.read_parquet(path)) == 20
            refused = await ended(made, made.start(replace(ALL, from_ns=20, to_ns=10)))
            assert (refused.state, refused.detail) == (
                "failed",
                "--from: 0000000000000000020 must be before --to (0000000000000000010)",
            )

    asyncio.run(main())


def test_two_run_and_the_others_wait_their_turn(store: Path) -> None:
    async def main() -> None:
        async with running(opened(store, "slow")) as made:
            started = [made.start(ALL) for _ in range(4)]
            await until(lambda: [of(made, job).rows for job in started] == [5, 5, 0, 0])
            assert [of(made, job).state for job in started] == ["running", "running", "waiting", "waiting"]
            assert [view.id for view in made.views()] == started[::-1]
            assert len({view.name for view in made.views()}) == 4
            made.cancel(started[0])
            await until(lambda: of(made, started[2]).state == "running")
            assert of(made, started[3]).state == "waiting"

    asyncio.run(main())


def test_too_many_waiting_are_refused(store: Path) -> None:
    made = opened(store)
    for _ in range(20):
        made.start(ALL)
    with pytest.raises(BadCommand, match="20 exports wait already"):
        made.start(ALL)


def test_a_canceled_export_leaves_no_file(store: Path) -> None:
    async def main() -> None:
        async with running(opened(store, "slow")) as made:
            first, second, third = (made.start(ALL) for _ in range(3))
            await until(lambda: of(made, first).rows == 5)
            made.cancel(third)
            assert of(made, third).state == "canceled"
            made.cancel(first)
            assert (await ended(made, first)).state == "canceled"
            assert of(made, second).state == "running"
            assert not list((store / "exports").glob(of(made, first).name + "*"))
            with pytest.raises(BadCommand, match="has ended already"):
                made.cancel(first)

    asyncio.run(main())


def test_one_that_does_not_notice_is_killed(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs, "GRACE_S", 0.2)

    async def main() -> None:
        async with running(opened(store, "stubborn")) as made:
            job = made.start(ALL)
            await until(lambda: bool(list((store / "exports").glob("*.tmp"))))
            made.cancel(job)
            assert (await ended(made, job)).state == "canceled"
            assert list((store / "exports").iterdir()) == []

    asyncio.run(main())


@pytest.mark.parametrize(
    ("mode", "detail"), [("fail", "the disk is full"), ("crash", "its process was ended by signal 9")]
)
def test_a_process_that_fails_is_said_why(store: Path, mode: str, detail: str) -> None:
    async def main() -> None:
        async with running(opened(store, mode)) as made:
            view = await ended(made, made.start(ALL))
            assert (view.state, view.detail) == ("failed", detail)
            assert made.path_of(view.id) is None

    asyncio.run(main())


def test_a_command_that_cannot_be_started_is_said(store: Path) -> None:
    async def main() -> None:
        async with running(Jobs(store, command=("/no/such/program",))) as made:
            view = await ended(made, made.start(ALL))
            assert view.state == "failed"
            assert view.detail.startswith("it could not be started: ")

    asyncio.run(main())


def test_ending_the_program_ends_its_exports(store: Path) -> None:
    async def main() -> None:
        async with running(opened(store, "slow")) as made:
            job = made.start(ALL)
            await until(lambda: of(made, job).rows == 5)
        assert (of(made, job).state, of(made, job).detail) == ("failed", "the program ended")

    asyncio.run(main())
    assert not [
        child for child in psutil.Process().children() if "export_child.py" in " ".join(child.cmdline())
    ]
    assert list((store / "exports").iterdir()) == []


def test_after_a_restart_the_list_is_as_it_was(store: Path) -> None:
    async def first() -> tuple[JobView, ...]:
        async with running(opened(store, "quick")) as made:
            for form in ("csv", "parquet"):
                await ended(made, made.start(replace(ALL, form=form)))
        return made.views()

    async def second() -> Jobs:
        async with running(opened(store, "quick")) as made:
            await until(lambda: len(made.views()) == 2)
        return made

    before = asyncio.run(first())
    again = asyncio.run(second())
    assert again.views() == before
    assert all(again.path_of(view.id) is not None for view in before)


def test_what_is_asked_for_before_the_list_is_read_comes_behind_it(store: Path) -> None:
    async def main() -> None:
        async with running(opened(store, "quick")) as made:
            old = made.start(ALL)
            await ended(made, old)
        made = opened(store, "quick")
        new = made.start(ALL)
        async with running(made):
            await ended(made, new)
            assert [view.id for view in made.views()] == [new, old]
            assert of(made, new).name != of(made, old).name

    asyncio.run(main())


def test_it_can_be_run_again(store: Path) -> None:
    async def main() -> None:
        made = opened(store, "slow")
        async with running(made):
            first = [made.start(ALL) for _ in range(3)]
            await until(lambda: of(made, first[0]).rows == 5)
        assert [of(made, job).state for job in first] == ["failed", "failed", "waiting"]
        async with running(made):
            await until(lambda: of(made, first[2]).rows == 5)
            assert [of(made, job).state for job in first] == ["failed", "failed", "running"]

    asyncio.run(main())


def test_what_ran_when_the_program_was_killed_has_failed(store: Path) -> None:
    left = JobView(
        "0123456789ab", "x.csv", "trades", "", "", 0, MAX_NS, "csv", "running", "", 5, 10, 0, time.time_ns(), 0
    )  # fmt: skip
    with closing(jobs._opened(store)) as cache:
        cache.set(f"job:{left.id}", {field: getattr(left, field) for field in left.__dataclass_fields__})
        cache.set("job:000000000000", {"of": "another version"})
        bad = {field: getattr(left, field) for field in left.__dataclass_fields__} | {
            "name": "../../etc/passwd"
        }
        cache.set("job:ffffffffffff", bad | {"id": "ffffffffffff"})
    (store / "exports").mkdir()
    (store / "exports" / "x.csv.77.tmp").write_text("half")

    async def main() -> None:
        async with running(opened(store, "quick")) as made:
            await until(lambda: len(made.views()) == 1)
            assert (of(made, left.id).state, of(made, left.id).detail) == ("failed", "the program ended")
            made.forget(left.id)

    asyncio.run(main())
    assert list((store / "exports").iterdir()) == []


def test_a_damaged_list_is_moved_aside(store: Path) -> None:
    with closing(jobs._opened(store)) as cache:
        cache.set("job:0", {})
    for name in ("cache.db-wal", "cache.db-shm"):
        (store / "jobs" / name).unlink(missing_ok=True)
    (store / "jobs" / "cache.db").write_bytes(b"not a database" * 500)

    async def main() -> None:
        async with running(opened(store, "quick")) as made:
            assert (await ended(made, made.start(ALL))).state == "done"

    asyncio.run(main())
    assert len(list(store.glob("jobs-damaged-*"))) == 1


def test_what_is_no_job_in_the_list_is_left_out_and_a_value_that_is_damaged_begins_it_anew(
    store: Path,
) -> None:
    async def once() -> Jobs:
        async with running(opened(store)) as made:
            await asyncio.sleep(0.2)
            assert made.views() == ()
            job = made.start(ALL)
            assert (await ended(made, job)).state == "done"
            made.forget(job)
            await until(lambda: not made.views())
            return made

    with closing(jobs._opened(store)) as cache:
        for number, fields in enumerate(({"name": 7}, ["no", "job"], "text", {"id": "a" * 12, "name": None})):
            cache.set(f"job:{number:012}", fields)
    asyncio.run(once())
    assert not list(store.glob("jobs-damaged-*"))
    with closing(sqlite3.connect(store / "jobs" / "cache.db")) as database:
        database.execute("UPDATE Cache SET value = ?", (b"neither packed nor json",))
        database.commit()
    asyncio.run(once())
    assert list(store.glob("jobs-damaged-*"))


def test_a_forgotten_export_is_gone(store: Path) -> None:
    async def main() -> None:
        async with running(opened(store, "quick")) as made:
            job = made.start(ALL)
            with pytest.raises(BadCommand, match="cancel it first"):
                made.forget(job)
            await ended(made, job)
            path = made.path_of(job)
            assert path is not None
            made.forget(job)
            assert made.views() == ()
            await until(lambda: not path.exists())
            with pytest.raises(BadCommand, match="there is no such export any more"):
                made.forget(job)

    asyncio.run(main())
    with closing(jobs._opened(store)) as cache:
        assert list(cache) == []


def test_finished_files_are_kept_for_a_week_and_up_to_a_bound(
    store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [time.time_ns()]

    async def main() -> None:
        async with running(opened(store, "quick", wall=lambda: now[0])) as made:
            first = made.start(ALL)
            size = (await ended(made, first)).size_bytes
            now[0] += 86_400 * 10**9
            second = made.start(ALL)
            await ended(made, second)
            assert {view.id for view in made.views()} == {first, second}
            now[0] += 6 * 86_400 * 10**9 + 10**9
            third = made.start(ALL)
            await ended(made, third)
            assert {view.id for view in made.views()} == {second, third}
            monkeypatch.setattr(jobs, "KEPT_BYTES", 2 * size)
            fourth = made.start(ALL)
            await ended(made, fourth)
            await until(lambda: {view.id for view in made.views()} == {third, fourth})
            await until(lambda: len(list((store / "exports").iterdir())) == 2)

    asyncio.run(main())


def test_nothing_is_written_before_an_export_is_asked_for(tmp_path: Path) -> None:
    async def main() -> None:
        async with running(opened(tmp_path / "store")) as made:
            with pytest.raises(BadCommand, match="nothing has been recorded yet"):
                made.start(ALL)
            assert made.views() == ()
            await asyncio.sleep(0)

    asyncio.run(main())
    assert not (tmp_path / "store").exists()


def test_names_from_a_browser_are_checked(store: Path) -> None:
    made = opened(store)
    for name in ("a\0b", "x" * 200, "\ud800", "a\nb"):
        with pytest.raises(BadCommand, match="is no name of a venue or symbol"):
            made.start(replace(ALL, symbol=name))
    with pytest.raises(BadQuery, match="--format"):
        made.start(replace(ALL, form="exe"))
    job = made.start(replace(ALL, venue="--out=/etc/passwd", symbol="../../x"))
    assert "/" not in of(made, job).name


def test_the_engines_side_imports_nothing_heavy() -> None:
    code = "import sys, engine.storage.jobs; print(*{'pyarrow', 'duckdb', 'pandas'} & set(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=CHILD.parents[2], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == ""


def test_reports_come_at_most_four_times_a_second_and_see_a_cancel(store: Path) -> None:
    clock = [0.0]
    report = JobReport(store, "0123456789ab", lambda: clock[0])
    with closing(jobs._opened(store)) as cache:
        report(1, 10)
        report(2, 10)
        assert cache.get("report:0123456789ab")["rows"] == 1
        clock[0] = 0.25
        report(3, 10)
        assert cache.get("report:0123456789ab")["rows"] == 3
        cache.set("cancel:0123456789ab", 1)
        report(4, 10)
        clock[0] = 0.5
        with pytest.raises(Canceled):
            report(5, 10)
    report.close()


def test_a_process_whose_program_is_gone_ends(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with closing(JobReport(store, "0123456789ab")) as report:
        monkeypatch.setattr(os, "getppid", lambda: 1)
        with pytest.raises(Canceled):
            report(1, 10)


def test_views_cost_nothing_and_the_loop_never_waits(store: Path) -> None:
    slow: list[float] = []

    async def main() -> None:
        async with running(opened(store, "slow")) as made:
            jobs_started = [made.start(ALL) for _ in range(2)]
            await until(lambda: all(of(made, job).rows == 5 for job in jobs_started))
            begun = time.perf_counter()
            for _ in range(1_000):
                made.views()
            slow.append(time.perf_counter() - begun)

    asyncio.run(main())
    assert slow[0] < 0.05
