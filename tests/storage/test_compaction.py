"""Which blocks become which files: plans, the work itself, what a killed child leaves, and what is kept of others."""

from __future__ import annotations

import itertools
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import apsw
import msgspec
import numpy as np
import pytest

from engine.storage import archive, catalog, compaction, schema, sweeping
from engine.storage.arrow import from_table, to_table
from engine.storage.compaction import Group, due, groups, merges
from engine.storage.dates import DAY_NS, day_of
from engine.storage.names import RecordKind
from engine.storage.records import Block, encode, joined
from engine.storage.steps import Request, Spoilt, Step, Told
from tests.storage.drawn import STREAM, drawn_block

DATE = "2025-11-20"
ROOT = Path(__file__).resolve().parents[2]


class Store:
    """A store's folder with a database, written here as the journal writes it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.root = folder / archive.FOLDER
        self.connection = apsw.Connection(str(folder / schema.NAME))
        self.connection.pragma("journal_mode", "wal")
        schema.migrate(self.connection, str(folder))

    def put(self, *blocks: Block) -> None:
        with self.connection:
            for block in blocks:
                stream = schema.stream_id(self.connection, block.stream)
                places = (block.first_seq, block.last_seq, block.kind.value, stream, len(block.rows))
                values = (*places, *block.times_ns, encode(block.rows, block.heap))
                self.connection.execute("INSERT INTO blocks VALUES (?, ?, ?, ?, ?, ?, ?, ?)", values)

    def run(self, **asked: object) -> list[Told]:
        """What a child tells that is asked for everything."""
        found: list[Told] = []
        keys = [group.key for group in groups(self.connection)]
        request = Request(**{"groups": keys, "today": DATE, **asked})
        compaction.work(self.folder, request, found.append, lambda: False)
        return found

    def commit(self, told: Sequence[Told]) -> None:
        """As the process does that has the journal."""
        known = catalog.streams(self.connection)
        for step in (each.step for each in told):
            if step is None:
                continue
            rows = [
                schema.FileRow(
                    file.path, RecordKind(file.kind), step.stream, known[step.stream], file.date, file.first_seq,
                    file.last_seq, file.rows, file.size_bytes, file.first_ns, file.last_ns, file.sha256, 1,
                )
                for file in step.files
            ]  # fmt: skip
            with self.connection:
                if step.blocks:
                    schema.add_files_and_drop_blocks(self.connection, rows, step.blocks)
                else:
                    for row in rows:
                        schema.add_file(self.connection, row)
                    for file in step.merged:
                        schema.drop_file(self.connection, file, moved=True)

    def rows(self, kind: RecordKind) -> np.ndarray:
        """All rows of a kind in archive and journal, by seq."""
        found = catalog.snapshot(self.folder, kind)
        parts = [from_table(kind, archive.read_file(self.root / file.path))[0] for file in found.files]
        blocks, damaged = found.decoded()
        assert not damaged
        together = np.concatenate([*parts, *(block.rows for block in blocks)])
        return together[np.argsort(together["seq"], kind="stable")]

    def files(self) -> list[str]:
        return sorted(
            path.relative_to(self.root).as_posix() for path in self.root.rglob("*") if path.is_file()
        )


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path)


def test_blocks_of_one_stream_and_kind_become_one_file(store: Store) -> None:
    blocks = [drawn_block(RecordKind.TRADES, 50, seq=1 + 100 * place) for place in range(4)]
    quotes = drawn_block(RecordKind.QUOTES, 10, seq=51)
    store.put(*blocks, quotes)
    told = store.run()
    assert [(len(each.step.files), each.step.blocks) for each in told if each.step] == [
        (1, [1, 101, 201, 301]),
        (1, [51]),
    ]
    store.commit(told)
    assert groups(store.connection) == []
    assert store.files() == [
        "kind=quotes/date=2025-11-20/pair=BTC-USDT/venue=builtin/51-60.parquet",
        "kind=trades/date=2025-11-20/pair=BTC-USDT/venue=builtin/1-350.parquet",
    ]
    assert store.rows(RecordKind.TRADES).tobytes() == joined(blocks).rows.tobytes()


@pytest.mark.parametrize("kind", RecordKind)
def test_each_kind_goes_through_to_the_bit(store: Store, kind: RecordKind) -> None:
    blocks = [drawn_block(kind, 40, seq=1 + 100 * place) for place in range(3)]
    store.put(*blocks)
    told = store.run()
    (file,) = told[0].step.files
    rows, heap = from_table(kind, archive.read_file(store.root / file.path))
    whole = joined(blocks)
    assert (rows.tobytes(), heap) == (whole.rows.tobytes(), whole.heap)


def test_a_block_over_midnight_becomes_a_file_of_each_date_in_one_step(store: Store) -> None:
    midnight_ns = DAY_NS * (day_of(DATE) + 1)
    before = drawn_block(RecordKind.TRADES, 10, seq=1)
    over = drawn_block(RecordKind.TRADES, 10, seq=11, at_ns=midnight_ns - 5_000_000)
    over.rows["ts_event_ns"][[0, 9]] = midnight_ns + 1, midnight_ns - 1  # and not in order
    store.put(before, over)
    (told,) = store.run()
    assert told.step.blocks == [1, 11]
    assert [(file.date, file.rows) for file in told.step.files] == [(DATE, 15), ("2025-11-21", 5)]
    store.commit([told])
    assert store.rows(RecordKind.TRADES).tobytes() == joined([before, over]).rows.tobytes()
    (later,) = (file for file in told.step.files if file.date == "2025-11-21")
    assert later.first_ns == midnight_ns


def test_a_file_takes_only_so_many_rows(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compaction, "TAKE_ROWS", 100)
    store.put(*(drawn_block(RecordKind.TRADES, 40, seq=1 + 40 * place) for place in range(5)))
    told = store.run(merge=False)
    assert [[file.rows for file in each.step.files] for each in told] == [[80], [80], [40]]
    monkeypatch.setattr(compaction, "TAKE_BYTES", 1)
    assert [each.step.blocks for each in store.run(merge=False)] == [[1], [41], [81], [121], [161]]


def test_two_revisions_of_a_symbol_never_share_a_file(store: Store) -> None:
    finer = replace(STREAM, instrument=STREAM.instrument.with_decimals(4, 4))
    store.put(drawn_block(RecordKind.TRADES, 5), drawn_block(RecordKind.TRADES, 5, seq=6, stream=finer))
    told = store.run()
    assert len(told) == 2
    streams = {archive.examine(store.root / each.step.files[0].path).stream for each in told}
    assert streams == {STREAM, finer}


def test_rows_that_share_a_seq_keep_their_order(store: Store) -> None:
    blocks = [drawn_block(RecordKind.DELTAS, 30, seq=1 + 10 * place) for place in range(2)]
    for place, block in enumerate(blocks):
        block.rows["seq"] = np.repeat(np.arange(3) + 1 + 10 * place, 10)
    store.put(*blocks)
    (told,) = store.run()
    rows, _ = from_table(RecordKind.DELTAS, archive.read_file(store.root / told.step.files[0].path))
    assert rows.tobytes() == joined(blocks).rows.tobytes()


def test_a_damaged_block_is_told_and_kept_and_stops_no_other(store: Store) -> None:
    store.put(*(drawn_block(RecordKind.TRADES, 10, seq=1 + 10 * place) for place in range(3)))
    store.connection.execute("UPDATE blocks SET payload = zeroblob(length(payload)) WHERE first_seq = 11")
    spoilt, step = store.run()
    assert spoilt.spoilt.first_seq == 11
    assert "checksum" in spoilt.spoilt.reason or "block of version" in spoilt.spoilt.reason
    assert step.step.blocks == [1, 21]
    store.commit([spoilt, step])
    assert [group.blocks for group in groups(store.connection)] == [1]
    assert groups(store.connection, [11]) == []
    assert store.run(skip=[11]) == []


def test_many_small_files_of_the_running_day_become_one(store: Store) -> None:
    blocks = [drawn_block(RecordKind.TRADES, 10, seq=1 + 10 * place) for place in range(26)]
    for block in blocks[:24]:
        store.put(block)
        store.commit(store.run())
    assert not any(each.step.merged for each in store.run() if each.step)
    store.put(blocks[24])
    store.commit(store.run(merge=False))
    store.put(blocks[25])
    told = store.run()
    assert [len(each.step.merged) for each in told] == [0, 25]  # the last file has no row in the manifest yet
    store.commit(told)
    assert store.rows(RecordKind.TRADES).tobytes() == joined(blocks).rows.tobytes()
    assert sorted(file.rows for file in catalog.snapshot(store.folder).files) == [10, 250]


def test_days_that_are_over_keep_one_small_file(store: Store) -> None:
    blocks = [drawn_block(RecordKind.EVENTS, 10, seq=1 + 10 * place) for place in range(3)]
    for block in blocks:
        store.put(block)
        store.commit(store.run())
    assert len(catalog.snapshot(store.folder).files) == 3
    told = store.run(today="2025-11-21")
    assert [len(each.step.merged) for each in told] == [3]
    store.commit(told)
    assert store.run(today="2025-11-21") == []
    assert store.rows(RecordKind.EVENTS)["seq"].tolist() == list(range(1, 31))


def test_a_damaged_file_is_told_and_merged_with_no_other(store: Store) -> None:
    for place in range(3):
        store.put(drawn_block(RecordKind.TRADES, 10, seq=1 + 10 * place))
        store.commit(store.run())
    name = store.files()[1]
    middle = store.root / name
    middle.write_bytes(middle.read_bytes()[:-30])
    spoilt, step = store.run(today="2025-11-21")
    assert (spoilt.spoilt.path, spoilt.spoilt.reason) == (name, "it is cut off, or no Parquet file")
    assert len(step.step.merged) == 2
    assert step.step.files[0].rows == 20


def test_a_stop_comes_between_two_files(store: Store) -> None:
    store.put(
        *(
            drawn_block(kind, 10, seq=1 + 10 * place)
            for place, kind in enumerate((RecordKind.TRADES, RecordKind.QUOTES))
        )
    )
    found: list[Told] = []
    request = Request([group.key for group in groups(store.connection)], DATE)
    compaction.work(store.folder, request, found.append, lambda: len(found) > 0)
    assert len(found) == 1


def test_a_stream_that_cannot_be_written_keeps_no_other_waiting(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.put(drawn_block(RecordKind.TRADES, 500), drawn_block(RecordKind.QUOTES, 10, seq=501))
    real = archive.write_file

    def fails(root: Path, kind: RecordKind, *given: object, **options: object) -> object:
        if kind is RecordKind.TRADES:
            raise ValueError("no such encoding")
        return real(root, kind, *given, **options)

    monkeypatch.setattr(archive, "write_file", fails)
    found: list[Told] = []
    request = Request([group.key for group in groups(store.connection)], DATE)
    with pytest.raises(ValueError, match="no such encoding"):
        compaction.work(store.folder, request, found.append, lambda: False)
    assert [each.step.blocks for each in found] == [[501]]


def test_blocks_of_an_unreadable_stream_or_kind_are_told_and_kept(store: Store) -> None:
    store.put(drawn_block(RecordKind.TRADES, 10), drawn_block(RecordKind.EVENTS, 10, seq=11))
    store.connection.execute("UPDATE streams SET body = 'no JSON' WHERE symbol = ''")
    store.connection.execute("UPDATE blocks SET kind = 'rumours' WHERE first_seq = 1")
    told = store.run()
    assert sorted(each.first_seq for each in spoilt_of(told)) == [1, 11]
    assert store.files() == []


# --- plans ---------------------------------------------------------------------------------------------------


def group(kind: str, size_bytes: int, stream: int = 1) -> Group:
    return Group(kind, stream, 1, 1, size_bytes)


def test_much_goes_after_one_wait_and_little_after_ten() -> None:
    much, little = group("deltas", 2 << 20), group("trades", 1_000)
    waiting = [much, little]
    assert due(waiting, {}, 60, 64 << 20) == []
    assert due(waiting, {much.key: 59, little.key: 59}, 60, 64 << 20) == []
    assert due(waiting, {much.key: 60, little.key: 60}, 60, 64 << 20) == [much]
    assert due(waiting, {little.key: 600}, 60, 64 << 20) == [little]


def test_a_full_journal_gives_up_all_that_has_some_size_at_once() -> None:
    waiting = [group("deltas", 60 << 20), group("quotes", 5 << 20), group("events", 1_000)]
    assert due(waiting, {}, 60, 64 << 20) == waiting[:2]
    many = [group("trades", 1_000, stream) for stream in range(100_000)]
    assert due(many, {}, 60, 64 << 20) == many


def file(first_seq: int, rows: int, size_bytes: int, date: str = DATE, state: str = "here") -> schema.FileRow:
    return schema.FileRow(
        f"{first_seq}", RecordKind.TRADES, 1, STREAM, date, first_seq, first_seq, rows, size_bytes, 1, 1, "", 1,
        state=state, id=first_seq,
    )  # fmt: skip


def test_merging_ends_with_at_most_one_small_file() -> None:
    random = np.random.default_rng(3)
    files = [
        file(place, int(random.integers(1, 600_000)), int(random.integers(1, 5 << 20)))
        for place in range(200)
    ]
    rounds = 0
    numbers = itertools.count(1_000)
    while runs := merges(files, "2025-11-21"):
        rounds += 1
        for run in runs:
            rows, size = sum(each.rows for each in run), sum(each.size_bytes for each in run)
            assert rows <= compaction.TAKE_ROWS
            assert size <= 2 * compaction.SMALL_BYTES
            files = [each for each in files if each not in run] + [file(next(numbers), rows, size)]
    assert rounds <= 2
    small = [
        each
        for each in files
        if each.rows < compaction.SMALL_ROWS and each.size_bytes < compaction.SMALL_BYTES
    ]
    assert len(small) <= 1


def test_damaged_and_given_up_files_are_not_merged() -> None:
    files = [file(1, 1, 1, state="damaged"), file(2, 1, 1, state="deleting"), file(3, 1, 1), file(4, 1, 1)]
    assert merges(files, "2025-11-21") == [files[2:]]


# --- leftovers and strangers ----------------------------------------------------------------------------------


def spoilt_of(told: Sequence[Told]) -> list[Spoilt]:
    return [each.spoilt for each in told if each.spoilt is not None]


def test_leftovers_of_a_killed_child_go_and_their_rows_come_again(store: Store) -> None:
    blocks = [drawn_block(RecordKind.RAW, 40, seq=1 + 40 * place) for place in range(3)]
    store.put(*blocks[:2])
    store.run()  # told nobody
    (left,) = store.files()
    draft = store.root / (left + ".tmp")
    draft.write_bytes(b"half a fi")
    store.put(blocks[2])
    told = store.run(sweep=True)
    assert store.files() == [told[0].step.files[0].path] != [left]
    store.commit(told)
    assert store.rows(RecordKind.RAW)["seq"].tolist() == list(range(1, 121))


def test_leftovers_of_a_killed_merge_go(store: Store) -> None:
    for place in range(3):
        store.put(drawn_block(RecordKind.EVENTS, 10, seq=1 + 10 * place))
        store.commit(store.run())
    before = store.files()
    store.run(today="2025-11-21")
    assert len(store.files()) == 4
    assert spoilt_of(store.run(sweep=True, merge=False)) == []
    assert store.files() == before


def test_a_file_of_ours_with_rows_nobody_else_has_is_kept_and_told(store: Store) -> None:
    """The journal may have been put back to an older copy: these rows are the only ones."""
    store.put(drawn_block(RecordKind.TRADES, 10), drawn_block(RecordKind.QUOTES, 10, seq=11))
    store.run()
    store.connection.execute("DELETE FROM blocks WHERE kind = 'quotes'")
    other = to_table(drawn_block(RecordKind.TRADES, 10, seed=9))  # same names, other rows
    path = store.root / next(path for path in store.files() if "trades" in path)
    shutil.rmtree(path.parent)
    archive.write_file(store.root, RecordKind.TRADES, STREAM, DATE, other)
    stranger = archive.write_file(store.root, RecordKind.TRADES, replace(STREAM, venue="else"), DATE, other)
    told = spoilt_of(store.run(sweep=True, groups=[]))
    assert sorted(each.path for each in told) == store.files()
    assert stranger.path in store.files()
    assert len(told) == 3
    assert {each.reason for each in told} == {"the journal does not know it, and has not all of its rows"}


def test_foreign_files_are_kept_and_told(store: Store) -> None:
    store.put(drawn_block(RecordKind.TRADES, 10))
    store.commit(store.run())
    folder = (store.root / store.files()[0]).parent
    (folder / "notes.txt").write_text("mine")
    (folder / "7-8.parquet").write_bytes(b"no Parquet at all, though it has such a name")
    (folder / "9-10.parquet").symlink_to("/etc/passwd")
    (store.root / "draft.tmp").write_text("not one of our names")
    told = {each.path.rpartition("/")[2]: each.reason for each in spoilt_of(store.run(sweep=True))}
    assert told == {
        "notes.txt": "it is not named as the archive's files are",
        "7-8.parquet": "the journal does not know it; it is cut off, or no Parquet file",
        "9-10.parquet": "it is no file of the archive",
        "draft.tmp": "it is not named as the archive's files are",
    }
    assert len(store.files()) == 5


def test_a_missing_file_is_told_and_one_that_is_whole_again_too(store: Store) -> None:
    store.put(drawn_block(RecordKind.TRADES, 10), drawn_block(RecordKind.QUOTES, 10, seq=11))
    store.commit(store.run())
    quotes, trades = store.files()
    aside = store.folder / "aside"
    (store.root / trades).rename(aside)
    (told,) = spoilt_of(store.run(sweep=True))
    assert (told.path, told.reason, told.mended) == (trades, "it is gone", False)
    store.connection.execute("UPDATE files SET state = 'damaged'")
    aside.rename(store.root / trades)
    (store.root / quotes).write_bytes(b"x")
    (told,) = spoilt_of(store.run(sweep=True))
    assert (told.path, told.mended) == (trades, True)


def test_verifying_says_of_each_file_whether_it_is_as_it_was_written(store: Store) -> None:
    store.put(*(drawn_block(kind, 10, seq=1 + 10 * place) for place, kind in enumerate(RecordKind)))
    store.commit(store.run())
    assert {reason for _, reason in sweeping.verify(store.folder)} == {""}
    one, two, three = (store.root / path for path in store.files()[:3])
    data = bytearray(one.read_bytes())
    data[len(data) // 2] ^= 4
    one.write_bytes(data)
    two.unlink()
    shutil.copy(store.root / store.files()[-1], three)
    wrong = {row.path: reason for row, reason in sweeping.verify(store.folder) if reason}
    assert wrong == {
        one.relative_to(store.root).as_posix(): "its checksum is wrong",
        two.relative_to(store.root).as_posix(): "no such file or directory",
        three.relative_to(store.root).as_posix(): "it is not the file that was written in its place",
    }


# --- the process ----------------------------------------------------------------------------------------------


def child(folder: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "engine.storage.compaction", str(folder)]
    return subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=ROOT
    )


def asked(store: Store) -> bytes:
    return msgspec.json.encode(Request([group.key for group in groups(store.connection)], DATE)) + b"\n"


def test_the_child_tells_its_steps_and_that_it_is_done(store: Store) -> None:
    store.put(drawn_block(RecordKind.TRADES, 10), drawn_block(RecordKind.SNAPSHOTS, 10, seq=11))
    running = child(store.folder)
    running.stdin.write(asked(store))
    running.stdin.flush()
    told = [msgspec.json.decode(line, type=Told) for line in running.stdout]
    assert running.wait(10) == 0, running.stderr.read()
    running.stdin.close()
    assert told[-1] == Told()
    assert all(isinstance(each.step, Step) for each in told[:-1])
    store.commit(told)
    assert groups(store.connection) == []


def test_a_child_whose_parent_is_gone_ends_and_one_that_finds_another_at_work_waits_for_it(
    store: Store,
) -> None:
    store.put(drawn_block(RecordKind.TRADES, 10))
    holder = compaction._lock(store.folder, compaction.threading.Event())
    assert holder is not None
    running = child(store.folder)
    out, error = running.communicate(asked(store), timeout=20)  # closes its input: nobody listens
    assert (running.returncode, out) == (compaction.BUSY, b"")
    assert b"another process compacts this archive" in error
    compaction.os.close(holder)
    assert store.files() == []
