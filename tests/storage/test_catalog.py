"""The read side: one moment of journal and archive together, from any process, whatever the writer does."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import Any

import apsw
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.errors import BadDataFolder, StorageError
from engine.market.instruments import Instrument
from engine.storage import catalog, schema
from engine.storage.journal import Journal
from engine.storage.names import RecordKind
from engine.storage.records import Block, Stream
from tests.storage.drawn import NOON_NS, STREAM, UNIT, WHOLE, drawn_block
from tests.storage.journals import (
    WAIT_S,
    draft_of,
    file_of,
    held_back,
    put,
    replace_blocks,
    same_rows,
    seqs_in,
    written,
)

ROOT = Path(__file__).resolve().parents[2]
OTHER = Stream("binance", "ETH-USDT", Instrument("binance", "ETH-USDT", "ETH", "USDT", 2, 4), None, "Binance")
FINER = Stream("builtin", "BTC-USDT", UNIT.with_decimals(4, 4), STREAM.rule, STREAM.label)
SECOND_NS = 10**9


def test_a_folder_without_a_store_is_an_empty_one_and_stays_so(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "nothing"):
        found = catalog.snapshot(folder)
        assert (found.files, found.blocks, found.damaged, found.next_seq) == ([], [], [], 1)
        with catalog.reading(folder) as connection:
            assert catalog.spans(connection) == ([], 0)
            assert catalog.gaps(connection) == catalog.all_files(connection) == []
            assert catalog.streams(connection) == {}
            assert catalog.totals(connection) == catalog.Totals(0, 0, 0, 0, 0, 0, 0, 0, 1)
    assert list(tmp_path.iterdir()) == []


def test_a_database_that_is_being_made_is_an_empty_one(tmp_path: Path) -> None:
    (tmp_path / schema.NAME).touch()
    assert catalog.snapshot(tmp_path).blocks == []


def test_a_reader_cannot_write(tmp_path: Path) -> None:
    journal = Journal.open(tmp_path)
    put(journal)
    written(journal)
    connection = catalog.open_reader(tmp_path)
    with pytest.raises(apsw.ReadOnlyError):
        connection.execute("DELETE FROM blocks")
    connection.close()
    assert journal.close()


def test_a_database_that_another_program_keeps_to_itself_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(catalog, "BUSY_MS", 5)
    journal = Journal.open(tmp_path)
    put(journal)
    assert journal.close()
    foreign = apsw.Connection(str(tmp_path / schema.NAME))
    foreign.pragma("locking_mode", "exclusive")
    foreign.execute("DELETE FROM spans")
    with pytest.raises(StorageError, match="cannot be read now"):
        catalog.snapshot(tmp_path)
    foreign.close()
    assert len(seqs_in(tmp_path)) == 5


def test_blocks_that_overlap_a_half_open_time_come_whole(tmp_path: Path) -> None:
    journal = Journal.open(tmp_path)
    blocks = [put(journal, count=11, at_ns=NOON_NS + n * SECOND_NS) for n in (0, 100, 200)]  # 10 ms long each
    written(journal)

    def found(from_ns: int, to_ns: int) -> list[int]:
        return [row.first_seq for row in catalog.snapshot(tmp_path, from_ns=from_ns, to_ns=to_ns).blocks]

    first, second, third = (block.first_seq for block in blocks)
    least, greatest = blocks[1].times_ns
    assert found(0, catalog.MAX_NS) == [first, second, third]
    assert found(least, least + 1) == [second]
    assert found(greatest, greatest + 1) == [second]
    assert found(least - 10, least) == []  # its end is outside
    assert found(greatest + 1, greatest + 9) == []
    assert found(least + 2, least + 3) == [second]  # between two rows: the caller filters them
    assert found(greatest, third + NOON_NS * 2) == [second, third]
    assert found(0, 10**30) == [first, second, third]
    assert found(5, 5) == []
    assert journal.close()


def test_kind_venue_and_symbol_select(tmp_path: Path) -> None:
    journal = Journal.open(tmp_path)
    for stream in (STREAM, FINER, OTHER):
        for kind in (RecordKind.TRADES, RecordKind.DELTAS):
            put(journal, kind, stream=stream)
    put(journal, RecordKind.EVENTS, stream=WHOLE)
    written(journal)

    def found(*asked: Any) -> list[tuple[str, str, int]]:
        rows = catalog.snapshot(tmp_path, *asked).blocks
        return [(row.kind.value, row.stream.symbol, schema.revision_of(row.stream)) for row in rows]

    assert len(found()) == 7
    assert found(RecordKind.TRADES, "builtin") == [("trades", "BTC-USDT", 0), ("trades", "BTC-USDT", 1)]
    assert found((RecordKind.DELTAS, RecordKind.EVENTS), None, "ETH-USDT") == [("deltas", "ETH-USDT", 0)]
    assert found(None, "builtin", "") == [("events", "", 0)]
    assert found((), "builtin") == found(None, "nobody") == found(None, "") == []
    assert journal.close()


def test_archive_and_journal_together_hold_each_row_once_while_blocks_move(tmp_path: Path) -> None:
    journal = Journal.open(tmp_path)
    stop, errors = threading.Event(), []
    for _ in range(40):
        put(journal, count=3)
        written(journal)

    def look() -> None:
        while not stop.is_set():
            found = catalog.snapshot(tmp_path)
            blocks = [seq for row in found.blocks for seq in row.block().rows["seq"].tolist()]
            files = [seq for file in found.files for seq in json.loads(file.detail)]
            if sorted(blocks + files) != list(range(1, 121)):
                errors.append((blocks, files))

    readers = [threading.Thread(target=look) for _ in range(2)]
    for reader in readers:
        reader.start()
    try:
        while rows := catalog.snapshot(tmp_path).blocks[:3]:
            file = file_of(rows, f"{rows[0].first_seq}.parquet")
            seqs = [row.first_seq for row in rows]
            detail = json.dumps([seq for row in rows for seq in row.block().rows["seq"].tolist()])

            def move(
                connection: apsw.Connection, file: Any = file, seqs: Any = seqs, detail: str = detail
            ) -> None:
                number = replace_blocks(connection, file, seqs)
                schema.mark_file(connection, number, detail=detail)

            journal.transact(move).result(WAIT_S)
    finally:
        stop.set()
        for reader in readers:
            reader.join()
    assert errors == []
    assert len(catalog.snapshot(tmp_path).files) == 14
    assert journal.close()


def test_another_process_reads_while_it_is_written(tmp_path: Path) -> None:
    text = (
        "import sys; from pathlib import Path; from engine.storage import catalog;"
        "print(*(row.first_seq for row in catalog.snapshot(Path(sys.argv[1])).blocks))"
    )
    journal = Journal.open(tmp_path)
    put(journal)
    written(journal)
    put(journal)
    said = subprocess.run(
        [sys.executable, "-c", text, str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    written(journal)
    assert said.stdout.split() in (["1"], ["1", "6"])
    assert journal.close()


@pytest.mark.parametrize("kind", [RecordKind.TRADES, RecordKind.RAW, RecordKind.SNAPSHOTS])
def test_a_flipped_bit_is_reported_and_costs_its_block_only(tmp_path: Path, kind: RecordKind) -> None:
    journal = Journal.open(tmp_path)
    for _ in range(3):
        put(journal, kind, 20)
        written(journal)
    random = np.random.default_rng(5)

    def flip(connection: apsw.Connection) -> None:
        payload = bytearray(connection.execute("SELECT payload FROM blocks WHERE first_seq = 21").get)
        payload[int(random.integers(len(payload)))] ^= 1 << int(random.integers(8))
        connection.execute("UPDATE blocks SET payload = ? WHERE first_seq = 21", (bytes(payload),))

    for _ in range(10):  # the second flip may undo the first, or it is another
        before = catalog.snapshot(tmp_path).blocks[1].payload
        journal.transact(flip).result(WAIT_S)
        good, damaged = catalog.snapshot(tmp_path).decoded()
        assert [block.first_seq for block in good] == [1, 41]
        assert [seq for seq, _ in damaged] == [21]
        assert damaged[0][1]
        journal.transact(
            lambda c, before=before: (
                c.execute("UPDATE blocks SET payload = ? WHERE first_seq = 21", (before,)).get
            )
        ).result(WAIT_S)
    assert len(catalog.snapshot(tmp_path).decoded()[0]) == 3
    assert journal.close()


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE streams SET body = '{'",
        "UPDATE streams SET body = '{\"venue\": 1}'",
        "UPDATE blocks SET kind = 'tardes'",
        "UPDATE blocks SET stream = 77",
        "UPDATE blocks SET kind = 'quotes'",
        "UPDATE blocks SET rows = 4",
        "UPDATE blocks SET last_seq = 6",
        "UPDATE blocks SET payload = x''",
        "UPDATE blocks SET first_seq = 2",
    ],
)
def test_what_does_not_fit_together_is_reported(tmp_path: Path, change: str) -> None:
    journal = Journal.open(tmp_path)
    put(journal)
    written(journal)
    journal.transact(lambda connection: connection.execute(change).get).result(WAIT_S)
    good, damaged = catalog.snapshot(tmp_path).decoded()
    assert good == []
    assert len(damaged) == 1
    assert journal.close()


def test_a_damaged_page_costs_no_exception(tmp_path: Path) -> None:
    journal = Journal.open(tmp_path)
    blocks = []
    for _ in range(12):
        blocks.append(put(journal, RecordKind.RAW, 200))
        written(journal)
    assert journal.close()
    path = tmp_path / schema.NAME
    whole = path.read_bytes()
    random = np.random.default_rng(9)
    left_out = 0
    for _ in range(15):
        data = bytearray(whole)
        at = int(random.integers(8_192, len(data) - 512))
        data[at : at + 512] = bytes(512)
        path.write_bytes(data)
        try:
            good, damaged = catalog.snapshot(tmp_path).decoded()
        except BadDataFolder:  # a page of the schema, or of the streams
            continue
        left_out += bool(damaged)
        assert same_rows(
            good, [block for block in blocks if block.first_seq in {one.first_seq for one in good}]
        )
    assert left_out


def test_the_newest_spans_and_gaps_come_first_and_the_rest_is_counted(tmp_path: Path) -> None:
    journal = Journal.open(tmp_path)

    def fill(connection: apsw.Connection) -> None:
        for place in range(20):
            connection.execute(
                "INSERT INTO spans (venue, symbol, what, from_ns, to_ns, rows, size_bytes, session)"
                " VALUES ('v', 'S', 'book', ?, ?, 1, 2, 1)",
                (10 * place, 10 * place + 5),
            )
            connection.execute(
                "INSERT INTO gaps (first_seq, venue, symbol, what, from_ns, to_ns, reason, state, filled)"
                " VALUES (?, 'v', 'S', 'book', ?, ?, 'silence', 2, 7)",
                (place, 10 * place + 5, 10 * place + 10),
            )

    journal.transact(fill).result(WAIT_S)
    with catalog.reading(tmp_path) as connection:
        spans, left_out = catalog.spans(connection, 3)
        gaps = catalog.gaps(connection, 3)
    assert ([span.from_ns for span in spans], left_out) == ([170, 180, 190], 17)
    assert [gap.from_ns for gap in gaps] == [175, 185, 195]
    assert (gaps[0].state, gaps[0].filled, gaps[0].reason) == ("partly filled", 7, "silence")
    assert journal.close()


def test_totals_count_journal_and_archive(tmp_path: Path) -> None:
    journal = Journal.open(tmp_path)
    for second in range(3):
        put(journal, at_ns=NOON_NS + second * SECOND_NS)
        written(journal)
    row = catalog.snapshot(tmp_path).blocks[1]
    journal.transact(lambda c: replace_blocks(c, file_of([row]), [row.first_seq])).result(WAIT_S)
    with catalog.reading(tmp_path) as connection:
        found = catalog.totals(connection)
    assert (found.blocks, found.block_rows, found.files, found.file_rows, found.file_bytes) == (
        2,
        10,
        1,
        5,
        100,
    )
    assert found.block_bytes == 2 * len(row.payload)
    assert (found.first_ns, found.last_ns) == (NOON_NS, NOON_NS + 2 * SECOND_NS + 4_000_000)
    assert found.next_seq == 16
    assert journal.close()


STREAMS = (STREAM, OTHER, FINER)
STEP = st.tuples(
    st.sampled_from(["put", "put", "put", "write", "restart", "hold"]),
    st.lists(
        st.tuples(st.sampled_from(list(RecordKind)), st.sampled_from(STREAMS), st.integers(1, 12)),
        min_size=1,
        max_size=4,
    ),
)


@settings(max_examples=25)
@given(st.lists(STEP, min_size=1, max_size=12))
def test_whatever_is_put_in_whatever_order_is_given_back_exactly(
    steps: list[tuple[str, list[tuple[RecordKind, Stream, int]]]],
) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "store"
        journal = Journal.open(folder, pace_s=0.001)
        blocks: list[Block] = []

        def put_all(drawn: list[tuple[RecordKind, Stream, int]]) -> None:
            added = []
            for kind, stream, count in drawn:
                added.append(drawn_block(kind, count, seq=journal.next_seq, stream=stream))
                journal.next_seq += count
            journal.put([draft_of(block) for block in added])
            blocks.extend(added)

        for step, drawn in steps:
            if step == "restart":
                above = journal.next_seq
                assert journal.close()
                journal = Journal.open(folder, pace_s=0.001)
                assert journal.next_seq == above
            elif step == "hold":  # puts that come while the disk is busy go together
                with held_back(journal):
                    put_all(drawn)
                    put_all(drawn)
            else:
                put_all(drawn)
                if step == "write":
                    written(journal)
        written(journal)
        found, damaged = catalog.snapshot(folder).decoded()
        assert not damaged
        assert same_rows(found, blocks)
        assert sorted(seqs_in(folder)) == list(range(1, journal.next_seq))
        assert journal.view().rows == journal.next_seq - 1
        assert journal.close()
