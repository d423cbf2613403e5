"""The journal's database: versions forward, none backward; what others change in it, wholly or not at all."""

from __future__ import annotations

from pathlib import Path

import apsw
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import BadDataFolder, StorageError
from engine.market.instruments import Instrument
from engine.market.sequencing import Rule
from engine.storage import catalog, schema
from engine.storage.journal import Journal
from engine.storage.names import RecordKind
from engine.storage.records import FILLED, Stream
from tests.storage.drawn import NOON_NS, STREAM
from tests.storage.journals import (
    WAIT_S,
    draft_of,
    file_of,
    gap_block,
    put,
    replace_blocks,
    seqs_in,
    written,
)

DAY_NS = 86_400 * 10**9
PAYLOAD = (  # two trades
    "5653424C0100390002000000090000000000000021753C4C28B52FFD2051D5010074020700010080AB5F3CB579181400"
    "00011E000001280000010100000100000101050501FFDCFE00000700600638021A5111E2792FCB3E03C002"
)
# What version 1 made, as it was released. Never changed: other versions have to bring it up to date.
VERSION_1 = """
CREATE TABLE streams (
    id INTEGER PRIMARY KEY, venue TEXT NOT NULL, symbol TEXT NOT NULL, revision INT NOT NULL, body TEXT NOT NULL,
    UNIQUE (venue, symbol, revision, body)
) STRICT;
CREATE TABLE blocks (
    first_seq INTEGER PRIMARY KEY, last_seq INT NOT NULL, kind TEXT NOT NULL, stream INT NOT NULL,
    rows INT NOT NULL, first_ns INT NOT NULL, last_ns INT NOT NULL, payload BLOB NOT NULL
) STRICT;
CREATE TABLE files (
    id INTEGER PRIMARY KEY, path TEXT NOT NULL UNIQUE, kind TEXT NOT NULL, stream INT NOT NULL, date TEXT NOT NULL,
    first_seq INT NOT NULL, last_seq INT NOT NULL, rows INT NOT NULL, size_bytes INT NOT NULL,
    first_ns INT NOT NULL, last_ns INT NOT NULL, sha256 TEXT NOT NULL, added_ns INT NOT NULL,
    uploaded_ns INT NOT NULL DEFAULT 0, state TEXT NOT NULL DEFAULT 'here', detail TEXT NOT NULL DEFAULT ''
) STRICT;
CREATE INDEX files_by_time ON files (stream, kind, first_ns);
CREATE TABLE spans (
    id INTEGER PRIMARY KEY, venue TEXT NOT NULL, symbol TEXT NOT NULL, what TEXT NOT NULL, from_ns INT NOT NULL,
    to_ns INT NOT NULL, rows INT NOT NULL, size_bytes INT NOT NULL, session INT NOT NULL
) STRICT;
CREATE INDEX spans_by_key ON spans (venue, symbol, what);
CREATE TABLE gaps (
    id INTEGER PRIMARY KEY, first_seq INT NOT NULL, venue TEXT NOT NULL, symbol TEXT NOT NULL, what TEXT NOT NULL,
    from_ns INT NOT NULL, to_ns INT NOT NULL, reason TEXT NOT NULL, state INT NOT NULL, filled INT NOT NULL,
    UNIQUE (venue, symbol, what, from_ns)
) STRICT;
CREATE TABLE "values" (name TEXT PRIMARY KEY, value ANY) STRICT, WITHOUT ROWID;
PRAGMA application_id = 1448299084;
PRAGMA user_version = 1;
INSERT INTO streams VALUES (3, 'builtin', 'BTC-USDT', 0, '{"instrument":{"base":"BTC","contracts":false,"lot_size":1,
"native":"BTCUSDT","price_decimals":2,"quote":"USDT","revision":0,"size_decimals":3,"symbol":"BTC-USDT","tick_size":1,
"venue":"builtin"},"label":"Built-in exchange","rule":"binance_spot","symbol":"BTC-USDT","venue":"builtin"}');
INSERT INTO blocks VALUES (7, 8, 'trades', 3, 2, 1763640000000000000, 1763640000000000005, x'PAYLOAD');
INSERT INTO "values" VALUES ('next_seq', 41), ('session', 2);
""".replace("PAYLOAD", PAYLOAD)


def version_1(folder: Path) -> None:
    folder.mkdir(parents=True)
    connection = apsw.Connection(str(folder / schema.NAME))
    connection.execute(VERSION_1)
    connection.close()


def test_a_version_1_database_is_taken_over(tmp_path: Path) -> None:
    version_1(tmp_path / "store")
    journal = Journal.open(tmp_path / "store")
    assert journal.next_seq == 41
    added = put(journal)
    written(journal)
    assert journal.close()
    found, damaged = catalog.snapshot(tmp_path / "store").decoded()
    assert not damaged
    assert [block.first_seq for block in found] == [7, added.first_seq]
    assert (found[0].stream, found[0].rows["price"].tolist()) == (STREAM, [30, 29])


def test_a_version_1_database_becomes_what_a_new_one_is(tmp_path: Path) -> None:
    version_1(tmp_path / "old")
    old, new = apsw.Connection(str(tmp_path / "old" / schema.NAME)), apsw.Connection(":memory:")
    later = (
        *schema.MIGRATIONS,
        "ALTER TABLE files ADD COLUMN note TEXT NOT NULL DEFAULT ''; CREATE TABLE more (a ANY)",
    )
    assert schema.migrate(old, "old", later) == 1
    assert schema.migrate(new, "new", later) == 0
    made = "SELECT type, name, tbl_name FROM sqlite_schema ORDER BY type, name"
    assert old.execute(made).fetchall() == new.execute(made).fetchall()
    for table in ("streams", "blocks", "files", "spans", "gaps", "values"):
        columns = "SELECT name, type, pk FROM pragma_table_info(?)"
        assert old.execute(columns, (table,)).fetchall() == new.execute(columns, (table,)).fetchall()
    assert old.execute("SELECT first_seq FROM blocks").get == 7
    assert schema.migrate(old, "old", later) == len(later)  # nothing is left to do


def test_a_migration_that_fails_leaves_the_old_database_whole(tmp_path: Path) -> None:
    version_1(tmp_path / "store")
    connection = apsw.Connection(str(tmp_path / "store" / schema.NAME))
    before = connection.execute("SELECT sql FROM sqlite_schema").fetchall()
    breaks = "CREATE TABLE more (a ANY); DELETE FROM blocks; INSERT INTO nowhere VALUES (1)"
    with pytest.raises(apsw.SQLError, match="nowhere"):
        schema.migrate(connection, "store", (*schema.MIGRATIONS, breaks))
    assert connection.execute("SELECT sql FROM sqlite_schema").fetchall() == before
    assert connection.execute("SELECT first_seq FROM blocks").get == 7
    assert connection.pragma("user_version") == 1
    connection.close()
    assert seqs_in(tmp_path / "store") == [7, 8]


@pytest.mark.parametrize("reads", [True, False])
def test_a_newer_database_is_refused_and_left_alone(tmp_path: Path, reads: bool) -> None:
    version_1(tmp_path / "store")
    path = tmp_path / "store" / schema.NAME
    connection = apsw.Connection(str(path))
    connection.pragma("user_version", schema.VERSION + 1)
    connection.close()
    before = path.read_bytes()
    with pytest.raises(BadDataFolder, match="written by a newer Venuescope"):
        catalog.snapshot(path.parent) if reads else Journal.open(path.parent)
    assert path.read_bytes() == before
    assert [entry.name for entry in path.parent.iterdir()] == [schema.NAME]


@pytest.mark.parametrize("reads", [True, False])
def test_another_programs_database_is_refused_and_left_alone(tmp_path: Path, reads: bool) -> None:
    path = tmp_path / schema.NAME
    connection = apsw.Connection(str(path))
    connection.execute("CREATE TABLE mail (subject TEXT)")
    connection.close()
    before = path.read_bytes()
    with pytest.raises(BadDataFolder, match="another program made"):
        catalog.snapshot(tmp_path) if reads else Journal.open(tmp_path)
    assert path.read_bytes() == before


@pytest.mark.parametrize("reads", [True, False])
def test_what_is_no_database_is_refused_and_left_alone(tmp_path: Path, reads: bool) -> None:
    path = tmp_path / schema.NAME
    path.write_bytes(b"not at all " * 1_000)
    with pytest.raises(BadDataFolder, match=r"damaged journal\.db"):
        catalog.snapshot(tmp_path) if reads else Journal.open(tmp_path)
    assert path.read_bytes() == b"not at all " * 1_000


@given(
    st.builds(
        Stream,
        st.text(max_size=8),
        st.text(max_size=8),
        st.none()
        | st.builds(
            Instrument,
            *[st.text(max_size=6)] * 4,
            *[st.integers(0, 18)] * 2,
            *[st.integers(1, 2**62)] * 2,
            st.integers(0, 9),
            st.text(max_size=6),
            st.booleans(),
        ),
        st.none() | st.sampled_from(Rule),
        st.text(max_size=12),
    )
)
def test_streams_survive_as_text(stream: Stream) -> None:
    assert schema.stream_of(schema.body_of(stream)) == stream


def test_a_file_takes_the_place_of_exactly_its_blocks(tmp_path: Path) -> None:
    journal = Journal.open(tmp_path)
    for _ in range(3):
        put(journal, at_ns=NOON_NS)
        written(journal)
    rows = catalog.snapshot(tmp_path).blocks
    assert len(rows) == 3
    took = rows[:2]
    number = journal.transact(
        lambda connection: replace_blocks(connection, file_of(took), [row.first_seq for row in took])
    ).result(WAIT_S)
    after = catalog.snapshot(tmp_path)
    assert [row.first_seq for row in after.blocks] == [rows[2].first_seq]
    assert [(file.id, file.rows, file.stream) for file in after.files] == [(number, 10, STREAM)]
    assert (journal.view().blocks, journal.view().rows) == (1, 5)
    assert journal.close()


def test_a_file_takes_no_place_of_blocks_that_are_gone_or_others(tmp_path: Path) -> None:
    journal = Journal.open(tmp_path)
    put(journal)
    put(journal, RecordKind.QUOTES)
    written(journal)
    trades, quotes = catalog.snapshot(tmp_path).blocks
    wrong = (
        ([trades.first_seq, 999], file_of([trades])),
        ([trades.first_seq, quotes.first_seq], file_of([trades])),
        ([trades.first_seq, trades.first_seq], file_of([trades, trades])),
        ([trades.first_seq], file_of([trades, quotes])),
    )
    for seqs, file in wrong:
        future = journal.transact(lambda c, seqs=seqs, file=file: replace_blocks(c, file, seqs))
        with pytest.raises(StorageError, match="cannot take the place"):
            future.result(WAIT_S)
    after = catalog.snapshot(tmp_path)
    assert (after.files, [row.first_seq for row in after.blocks]) == (
        [],
        [trades.first_seq, quotes.first_seq],
    )
    assert journal.close()


def test_files_are_marked_and_a_file_being_deleted_is_not_read(tmp_path: Path) -> None:
    journal = Journal.open(tmp_path)
    put(journal)
    written(journal)
    rows = catalog.snapshot(tmp_path).blocks
    seqs = [row.first_seq for row in rows]
    number = journal.transact(lambda c: replace_blocks(c, file_of(rows), seqs)).result(WAIT_S)
    assert journal.transact(lambda c: schema.mark_file(c, number, uploaded_ns=5, detail="x")).result(WAIT_S)
    (file,) = catalog.snapshot(tmp_path).files
    assert (file.state, file.detail, file.uploaded_ns) == ("here", "x", 5)
    journal.transact(lambda c: schema.mark_file(c, number, state="deleting")).result(WAIT_S)
    assert not catalog.snapshot(tmp_path).files
    with catalog.reading(tmp_path) as connection:
        assert [file.state for file in catalog.all_files(connection)] == ["deleting"]
    assert journal.transact(lambda c: schema.drop_file(c, number)).result(WAIT_S)
    assert not journal.transact(lambda c: schema.drop_file(c, number)).result(WAIT_S)
    assert not journal.transact(lambda c: schema.mark_file(c, number, detail="y")).result(WAIT_S)
    assert journal.close()


def test_spans_and_gaps_end_where_what_is_left_begins(tmp_path: Path) -> None:
    journal = Journal.open(tmp_path)
    for day in range(3):  # trades: one span over all days
        put(journal, at_ns=NOON_NS + day * DAY_NS)
        written(journal)
    assert journal.close()
    journal = Journal.open(tmp_path)
    journal.put([draft_of(gap_block(50, NOON_NS - 9, NOON_NS - 5, stream=STREAM, state=FILLED))])
    journal.next_seq = 60
    written(journal)
    files = []
    for row in catalog.snapshot(tmp_path, RecordKind.TRADES).blocks:
        file = file_of([row], f"{row.first_seq}.parquet")
        change = lambda c, file=file, row=row: replace_blocks(c, file, [row.first_seq])  # noqa: E731
        files.append(journal.transact(change).result(WAIT_S))
    with catalog.reading(tmp_path) as connection:
        ((before,), left_out), gaps = catalog.spans(connection), catalog.gaps(connection)
    assert (before.from_ns, before.rows, before.size_bytes, left_out, len(gaps)) == (NOON_NS, 15, 300, 0, 1)
    journal.transact(lambda c: schema.drop_file(c, files[0])).result(WAIT_S)
    with catalog.reading(tmp_path) as connection:
        ((after,), _), gaps = catalog.spans(connection), catalog.gaps(connection)
    assert (after.from_ns, after.to_ns, gaps) == (NOON_NS + DAY_NS, before.to_ns, [])
    assert 0 < after.rows < before.rows
    for number in files[1:]:
        journal.transact(lambda c, number=number: schema.drop_file(c, number)).result(WAIT_S)
    with catalog.reading(tmp_path) as connection:
        assert catalog.spans(connection) == ([], 0)
    assert journal.close()
