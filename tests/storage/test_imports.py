"""What an import leaves: all of it and once, or nothing, whatever ends it and whoever opens the journal next."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import apsw
import pytest

from engine.errors import BadImport, BadSetting, StoreFailed, StoreLocked
from engine.storage import catalog, schema
from engine.storage.imports import Inlet, taking_over
from engine.storage.journal import Draft, Journal
from engine.storage.journal_writer import Writer
from engine.storage.names import RecordKind
from engine.storage.records import Stream
from tests.storage.archiving import running
from tests.storage.journals import put, seqs_in, until, written

LIVE = Stream("binance_spot", "BTC-USDT")
FOREIGN = Stream("okx", "ETH-USDT")
WHAT = ("trades",)


@dataclass(frozen=True)
class File:
    name: str = "capture.gz"
    sha256: str = "f" * 64


def rows_by_venue(folder: Path) -> dict[str, int]:
    with catalog.reading(folder) as connection:
        found = connection.execute(
            "SELECT venue, sum(rows) FROM (SELECT stream, rows FROM blocks UNION ALL SELECT stream, rows FROM files"
            " WHERE state = 'here') AS part JOIN streams ON streams.id = part.stream GROUP BY venue"
        ).fetchall()
    return dict(found)


def span_venues(folder: Path) -> list[str]:
    with catalog.reading(folder) as connection:
        return sorted({span.venue for span in catalog.spans(connection)[0]})


def importing(folder: Path, steps: Callable[[Inlet], None]) -> None:
    with taking_over(folder, [File()], WHAT, stalled_s=2.0) as inlet:
        steps(inlet)


def take_over(folder: Path, rows: int = 100, file: File | None = None) -> None:
    with taking_over(folder, [file or File()], WHAT) as inlet:
        if rows:
            put(inlet._journal, count=rows, stream=FOREIGN)


def ended_by(folder: Path, number: int) -> subprocess.CompletedProcess[str]:
    """An import in a process of its own that was ended by the signal once a hundred rows were on the disk."""
    child = (
        "import os, pathlib, sys, time\n"
        "from engine.storage.imports import ended_well, taking_over\n"
        "from tests.storage.journals import put, written\n"
        "from tests.storage.test_imports import FOREIGN, File\n"
        "with ended_well(), taking_over(pathlib.Path(sys.argv[1]), [File()], ('trades',)) as inlet:\n"
        "    put(inlet._journal, count=100, stream=FOREIGN)\n"
        "    written(inlet._journal)\n"
        "    os.kill(os.getpid(), int(sys.argv[2]))\n"
        "    time.sleep(20)\n"
    )
    root = Path(__file__).parents[2]
    return subprocess.run(
        [sys.executable, "-c", child, str(folder), str(number)],
        cwd=root, env={**os.environ, "PYTHONPATH": str(root)}, capture_output=True, text=True, timeout=60,
        check=False,
    )  # fmt: skip


def test_a_killed_import_is_undone_by_whoever_opens_the_journal_next(tmp_path: Path) -> None:
    assert ended_by(tmp_path, signal.SIGKILL).returncode == -signal.SIGKILL
    assert rows_by_venue(tmp_path) == {"okx": 100}

    async def record_and_compact() -> None:
        async with running(tmp_path, every_s=3_600) as store:
            put(store.journal, count=5_000, stream=LIVE)
            written(store.journal)
            await store.archiver.compact_now()
            put(store.journal, count=10, stream=LIVE)
            written(store.journal)

    asyncio.run(record_and_compact())
    assert rows_by_venue(tmp_path) == {"binance_spot": 5_010}
    assert span_venues(tmp_path) == ["binance_spot"]
    take_over(tmp_path)
    assert rows_by_venue(tmp_path) == {"binance_spot": 5_010, "okx": 100}
    with pytest.raises(BadImport, match="imported already"):
        take_over(tmp_path)


@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP", "SIGINT"])
def test_a_signal_breaks_it_off_with_a_sentence_and_nothing_is_left(tmp_path: Path, name: str) -> None:
    ended = ended_by(tmp_path, getattr(signal, name))
    assert (ended.returncode, ended.stdout) == (130, "")
    assert ended.stderr.splitlines()[-1] == "venuescope: the import was broken off; nothing of it was kept"
    assert rows_by_venue(tmp_path) == {}
    with catalog.reading(tmp_path) as connection:
        assert schema.value(connection, "import") is None


def test_signals_are_as_before_afterwards(tmp_path: Path) -> None:
    before = signal.getsignal(signal.SIGTERM)
    take_over(tmp_path)
    assert signal.getsignal(signal.SIGTERM) is before


def full(*_: object) -> None:
    raise apsw.FullError("database or disk is full")


def test_what_a_full_disk_does_not_take_fails_the_import_and_nothing_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def steps(inlet: Inlet) -> None:
        put(inlet._journal, count=100, stream=FOREIGN)
        written(inlet._journal)
        monkeypatch.setattr(Writer, "write", full)
        put(inlet._journal, count=100, stream=FOREIGN)

    with pytest.raises(StoreFailed, match="the disk is full"):
        importing(tmp_path, steps)
    monkeypatch.undo()
    assert rows_by_venue(tmp_path) == {}
    take_over(tmp_path)
    assert rows_by_venue(tmp_path) == {"okx": 100}


def test_flushing_to_a_full_disk_ends_with_the_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("engine.storage.imports.WAITING_BYTES", 100)

    def steps(inlet: Inlet) -> None:
        monkeypatch.setattr(Writer, "write", full)
        put(inlet._journal, count=100, stream=FOREIGN)
        inlet.flush()
        raise AssertionError("it went on")

    with pytest.raises(StoreFailed, match="the disk is full"):
        importing(tmp_path, steps)
    assert rows_by_venue(tmp_path) == {}


def test_a_record_that_is_lost_fails_the_import(tmp_path: Path) -> None:
    def steps(inlet: Inlet) -> None:
        put(inlet._journal, count=100, stream=FOREIGN)
        journal = inlet._journal
        journal.next_seq += 1
        journal.put([Draft(RecordKind.TRADES, FOREIGN, 1, 50, journal.next_seq - 1, lambda: 1 // 0)])

    with pytest.raises(StoreFailed, match="lost: 1 trades"):
        importing(tmp_path, steps)
    assert rows_by_venue(tmp_path) == {}


def test_what_waits_when_it_is_broken_off_never_comes_to_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = Writer.write

    def steps(inlet: Inlet) -> None:
        journal = inlet._journal
        monkeypatch.setattr(Writer, "write", full)
        put(journal, count=100, stream=FOREIGN)
        until(lambda: journal.state == "full", "the disk refuses")
        close = journal.close

        def close_later() -> bool:  # there is room again, and time for another try
            monkeypatch.setattr(Writer, "write", write)
            journal.transact(lambda _connection: None).result()
            return close()

        monkeypatch.setattr(journal, "close", close_later)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        importing(tmp_path, steps)
    assert (rows_by_venue(tmp_path), seqs_in(tmp_path)) == ({}, [])


def test_nothing_else_can_be_written_meanwhile(tmp_path: Path) -> None:
    with taking_over(tmp_path, [File()], WHAT) as inlet:
        put(inlet._journal, count=1, stream=FOREIGN)
        with pytest.raises(StoreLocked):
            Journal.open(tmp_path)


def test_without_a_record_it_is_refused_and_may_be_tried_again(tmp_path: Path) -> None:
    with pytest.raises(BadImport, match="nothing in it of what was asked for"):
        take_over(tmp_path, rows=0)
    take_over(tmp_path)
    assert rows_by_venue(tmp_path) == {"okx": 100}


def test_what_no_capture_has_is_refused(tmp_path: Path) -> None:
    with (
        pytest.raises(BadSetting, match="choose of trades, book, candles, funding, raw"),
        taking_over(tmp_path, [File()], ("latency", "counters")),
    ):
        raise AssertionError("it began")
    assert not list(tmp_path.iterdir())


def test_what_was_deleted_can_be_imported_again(tmp_path: Path) -> None:
    take_over(tmp_path)
    take_over(tmp_path, file=File("other", "e" * 64))
    journal = Journal.open(tmp_path)
    put(journal, count=10, stream=LIVE)
    delete = "DELETE FROM blocks WHERE first_seq <= 100"
    journal.transact(lambda connection: connection.execute(delete).fetchall()).result()
    assert journal.close()
    with pytest.raises(BadImport, match="imported already, as other"):
        take_over(tmp_path, file=File("other", "e" * 64))
    take_over(tmp_path)
    assert rows_by_venue(tmp_path) == {"binance_spot": 10, "okx": 200}


def test_what_an_older_version_wrote_behind_a_broken_import_is_kept(tmp_path: Path) -> None:
    journal = Journal.open(tmp_path)
    put(journal, count=10, stream=LIVE)
    written(journal)
    journal.transact(lambda connection: schema.put_value(connection, "import", "1 0")).result()
    assert journal.close()
    assert Journal.open(tmp_path).close()
    assert rows_by_venue(tmp_path) == {"binance_spot": 10}
