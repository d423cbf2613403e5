"""Queries over archive and journal: each row once, in order, whatever moves, is damaged, or is gone meanwhile."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import BadQuery
from engine.storage import archive, query
from engine.storage.arrow import SCHEMAS, to_table
from engine.storage.names import RecordKind
from engine.storage.query import Piece, Question, Scan, windows
from engine.storage.records import Block, times_of
from tests.storage.drawn import NOON_NS, STREAM, UNIT, drawn_block
from tests.storage.kept import Kept

TRADES = RecordKind.TRADES
KINDS = list(RecordKind)
BIG = (RecordKind.SNAPSHOTS, RecordKind.LATENCY)
ROOT = Path(__file__).resolve().parents[2]
ETHER = replace(STREAM, symbol="ETH-USDT", instrument=replace(UNIT, symbol="ETH-USDT"))


@pytest.fixture
def kept(tmp_path: Path) -> Iterator[Kept]:
    store = Kept(tmp_path / "store")
    yield store
    store.close()


def filled(kept: Kept, kind: RecordKind, **given: Any) -> list[Block]:
    """Six blocks of 50 rows: the first four in two files."""
    blocks = [
        drawn_block(kind, 50, seq=1 + 50 * n, at_ns=NOON_NS + 50_000_000 * n, **given) for n in range(6)
    ]
    kept.put(*blocks)
    kept.archive(blocks[:2])
    kept.archive(blocks[2:4])
    return blocks


def in_order(kind: RecordKind, blocks: list[Block]) -> pa.Table:
    table = pa.concat_tables([to_table(block) for block in blocks])
    times = np.concatenate([times_of(kind, block.rows) for block in blocks])
    return table.take(pa.array(np.lexsort((table["seq"].to_numpy(), times))))


def same(left: pa.Table, right: pa.Table) -> bool:
    return left.schema == right.schema and left.to_pylist() == right.to_pylist()


@pytest.mark.parametrize("kind", KINDS)
def test_archive_and_journal_are_one_table(kept: Kept, kind: RecordKind) -> None:
    blocks = filled(kept, kind)
    answer = query.query(kept.folder, kind)
    assert same(answer, in_order(kind, blocks))
    assert query.skipped_of(answer) == ()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("order", ["time", "seq"])
def test_small_windows_give_the_same_rows_as_one(kept: Kept, kind: RecordKind, order: Any) -> None:
    filled(kept, kind)
    whole = query.query(kept.folder, kind, order=order)
    scan = Scan(kept.folder, Question(kind), order=order, window_bytes=60_000 if kind in BIG else 3_000)
    parts = list(scan)
    assert len(parts) > 1
    assert same(pa.Table.from_batches(parts, scan.schema), whole)
    assert scan.rows == scan.expected == len(whole)


def test_rows_come_by_the_venues_time_then_by_seq(kept: Kept) -> None:
    early, late = drawn_block(TRADES, 40), drawn_block(TRADES, 40, seq=41)  # a clock that was set back
    kept.put(early, late)
    kept.archive([early])
    answer = query.query(kept.folder, TRADES)
    times = query.times(TRADES, answer)
    assert (np.diff(times) >= 0).all()
    assert answer["seq"].to_pylist() == [seq for n in range(40) for seq in (1 + n, 41 + n)]
    assert query.query(kept.folder, TRADES, order="seq")["seq"].to_pylist() == list(range(1, 81))


def test_our_time_stands_in_where_the_venue_gives_none(kept: Kept) -> None:
    block = drawn_block(TRADES, 40)
    rows = block.rows.copy()
    rows["ts_event_ns"][::2] = 0
    rows["ts_recv_ns"] += 500_000
    other = replace(block, rows=rows)
    kept.put(other)
    kept.archive([other])
    expected = times_of(TRADES, rows)
    low, high = int(expected[5]), int(expected[30])
    answer = query.query(kept.folder, TRADES, from_ns=low, to_ns=high)
    assert answer["seq"].to_pylist() == rows["seq"][(expected >= low) & (expected < high)].tolist()


@pytest.mark.parametrize("kind", KINDS)
def test_the_stretch_is_half_open(kept: Kept, kind: RecordKind) -> None:
    blocks = filled(kept, kind)
    for low, high in ((20, 230), (120, 121), (0, 60), (290, 400)):
        from_ns, to_ns = NOON_NS + low * 1_000_000, NOON_NS + high * 1_000_000
        answer = query.query(kept.folder, kind, from_ns=from_ns, to_ns=to_ns)
        whole = in_order(kind, blocks)
        times = query.times(kind, whole)
        assert same(answer, whole.filter(pa.array((times >= from_ns) & (times < to_ns))))


def test_other_venues_and_symbols_are_left_out(kept: Kept) -> None:
    bitcoin, ether = drawn_block(TRADES, 30), drawn_block(TRADES, 30, seq=100, stream=ETHER)
    foreign = drawn_block(TRADES, 30, seq=200, stream=replace(STREAM, venue="okx"))
    kept.put(bitcoin, ether, foreign)
    kept.archive([ether])
    assert query.query(kept.folder, TRADES, symbol="ETH-USDT")["seq"].to_pylist() == list(range(100, 130))
    assert len(query.query(kept.folder, TRADES, symbol="BTC-USDT")) == 60
    assert len(query.query(kept.folder, TRADES, venue="okx", symbol="BTC-USDT")) == 30
    assert len(query.query(kept.folder, TRADES, venue="kraken")) == 0
    assert query.query(kept.folder, RecordKind.QUOTES).schema == SCHEMAS[RecordKind.QUOTES]


def test_only_the_named_columns_are_given(kept: Kept) -> None:
    filled(kept, TRADES)
    answer = query.query(kept.folder, TRADES, columns=["size", "price"])
    assert answer.schema.names == ["size", "price"]
    assert answer.to_pylist() == query.query(kept.folder, TRADES).select(["size", "price"]).to_pylist()
    with pytest.raises(BadQuery, match=r"^prize: trades have no such column; they have venue, "):
        query.query(kept.folder, TRADES, columns=["prize"])


def test_a_folder_without_a_store_has_no_rows(tmp_path: Path) -> None:
    assert len(query.query(tmp_path / "none", TRADES)) == 0
    assert not (tmp_path / "none").exists()


def test_a_damaged_file_is_left_out_by_name(kept: Kept) -> None:
    blocks = [drawn_block(TRADES, 50, seq=1 + 50 * n) for n in range(3)]
    kept.put(*blocks)
    bad, _ = kept.archive([blocks[0]])[0], kept.archive([blocks[1]])
    data = bytearray(bad.read_bytes())
    data[len(data) // 2] ^= 4
    bad.write_bytes(data)
    answer = query.query(kept.folder, TRADES)
    assert set(answer["seq"].to_pylist()) == set(range(51, 151))
    name = bad.relative_to(kept.folder / archive.FOLDER).as_posix()
    assert query.skipped_of(answer) == ((name, "its checksum is wrong"),)
    assert bad.read_bytes() == bytes(data)


def test_a_damaged_block_is_left_out_by_name(kept: Kept) -> None:
    kept.put(drawn_block(TRADES, 5), drawn_block(TRADES, 5, seq=6))
    kept.connection.execute("UPDATE blocks SET payload = zeroblob(300) WHERE first_seq = 1")
    answer = query.query(kept.folder, TRADES)
    assert answer["seq"].to_pylist() == [6, 7, 8, 9, 10]
    assert [name for name, _ in query.skipped_of(answer)] == ["journal block 1"]


def test_a_file_that_the_manifest_names_and_is_not_there_is_named(kept: Kept) -> None:
    blocks = filled(kept, TRADES)
    again = drawn_block(TRADES, 5, seq=1_000)
    kept.put(again)
    (gone,) = kept.archive([again])
    gone.unlink()
    answer = query.query(kept.folder, TRADES)
    assert len(answer) == sum(len(block.rows) for block in blocks)
    assert query.skipped_of(answer) == (
        (gone.relative_to(kept.folder / archive.FOLDER).as_posix(), "it is missing"),
    )


def test_a_file_deleted_while_it_is_read_is_no_damage(kept: Kept) -> None:
    blocks = filled(kept, TRADES)
    extra = drawn_block(TRADES, 50, seq=1_000, at_ns=NOON_NS + 10**9)
    kept.put(extra)
    (path,) = kept.archive([extra])
    scan = iter(whole := Scan(kept.folder, Question(TRADES), window_bytes=3_000))
    first = next(scan)
    kept.forget(path)
    path.unlink()
    rest = list(scan)
    assert [seq for batch in (first, *rest) for seq in batch.column("seq").to_pylist()] == list(range(1, 301))
    assert whole.skipped == ()
    assert len(blocks) == 6


def test_rows_that_move_into_another_file_meanwhile_come_once(kept: Kept) -> None:
    blocks = filled(kept, TRADES)
    scan = iter(whole := Scan(kept.folder, Question(TRADES), window_bytes=3_000))
    seqs = next(scan).column("seq").to_pylist()
    # The second file is written anew under another name, with later rows that were not there when we asked.
    old = next(path for path in kept.folder.rglob("*.parquet") if path.name.startswith("101-"))
    kept.forget(old)
    old.unlink()
    kept.put(*blocks[2:4])
    kept.put(later := drawn_block(TRADES, 50, seq=301, at_ns=NOON_NS + 100_000_000))
    kept.archive([*blocks[2:4], later])
    for batch in scan:
        seqs += batch.column("seq").to_pylist()
    assert seqs == list(range(1, 301))
    assert whole.skipped == ()


@given(
    st.lists(st.tuples(st.integers(0, 1_000), st.integers(0, 500), st.integers(1, 10_000)), max_size=12),
    st.integers(0, 1_200),
    st.integers(0, 1_200),
    st.integers(0, 5_000),
)
def test_windows_cover_every_piece_once(
    drawn: list[tuple[int, int, int]], start: int, end: int, most: int
) -> None:
    pieces = [Piece(low, low + wide, 1, size, None) for low, wide, size in drawn]  # type: ignore[arg-type]
    found = list(windows(pieces, start, end, most))
    assert all(low < high for low, high in found)
    assert all(before[1] <= after[0] for before, after in pairwise(found))
    inside = {place for low, high in found for place in range(low, high)}
    wanted = {place for piece in pieces for place in range(max(start, piece.first), min(end, piece.last + 1))}
    assert wanted <= inside <= set(range(start, end))
    if not most:
        assert len(found) <= 1


WRITER = """
import sys, time
from pathlib import Path
from engine.storage.journal import Journal
from tests.storage.drawn import NOON_NS
from tests.storage.journals import put, written
from tests.storage.kept import archived
folder = Path(sys.argv[1])
journal = Journal.open(folder, pace_s=0.005)
waiting, end = [], time.monotonic() + float(sys.argv[2])
while time.monotonic() < end:
    waiting.append(put(journal, count=40, at_ns=NOON_NS + journal.next_seq * 1_000_000))
    written(journal)
    print(waiting[-1].last_seq, flush=True)
    if len(waiting) == 7:
        _, change = archived(folder, waiting)
        journal.transact(change).result()
        waiting = []
sys.exit(0 if journal.close() else 1)
"""


def test_a_journal_that_moves_is_seen_as_a_growing_beginning(tmp_path: Path) -> None:
    folder = tmp_path / "store"
    command = [sys.executable, "-c", WRITER, str(folder), "1"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None
        acknowledged = int(writer.stdout.readline())
        seen, questions = 0, 0
        while writer.poll() is None:
            answer = query.query(folder, TRADES, columns=["seq"])
            assert query.skipped_of(answer) == ()
            seqs = answer["seq"].to_numpy()
            assert np.array_equal(seqs, np.arange(1, len(seqs) + 1))
            assert len(seqs) >= max(seen, acknowledged)
            seen, questions = len(seqs), questions + 1
            acknowledged = int(writer.stdout.readline() or acknowledged)
        last = int((writer.stdout.read().split() or [acknowledged])[-1])
    assert writer.returncode == 0
    assert questions > 2
    assert len(query.query(folder, TRADES)) == last


READER = """
import sys
from pathlib import Path
from engine.storage import query
from engine.storage.names import RecordKind
def greatest_kb():  # of this program alone: getrusage counts what its parent had
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))
before = greatest_kb()
rows, last = 0, 0
for batch in query.batches(Path(sys.argv[1]), RecordKind.TRADES):
    seqs = batch.column("seq").to_numpy()
    assert seqs[0] == last + 1
    rows, last = rows + len(seqs), int(seqs[-1])
print(rows, greatest_kb() - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="/proc tells a process's greatest memory")
@pytest.mark.nightly
@pytest.mark.timeout(600)
def test_ten_million_rows_do_not_fill_memory(kept: Kept) -> None:
    count = 1_000_000
    for n in range(10):
        block = drawn_block(TRADES, count, seq=1 + n * count, at_ns=NOON_NS + n * count * 1_000_000)
        kept.put(block)
        kept.archive([block])
    started = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", READER, str(kept.folder)], cwd=ROOT, capture_output=True, text=True, check=True
    )
    rows, grown_kb = map(int, done.stdout.split())
    print(f"{rows:,} rows, {grown_kb / 1024:,.0f} MB more, {time.monotonic() - started:.1f} s")
    assert rows == 10 * count
    assert grown_kb < 600 * 1024


def test_what_happened_within_a_nanosecond_is_found(tmp_path: Path) -> None:
    kept = Kept(tmp_path)
    for number in range(1, 5):
        kept.put(drawn_block(RecordKind.COUNTERS, 1, seq=number, at_ns=1_795_217_149_000_000_000 + number))
    kept.close()
    assert query.query(tmp_path, RecordKind.COUNTERS)["seq"].to_pylist() == [1, 2, 3, 4]
