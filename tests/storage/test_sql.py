"""SQL over what is kept: friendly columns, exact units beside them, and nothing else within reach."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pytest

from engine.errors import BadQuery
from engine.storage import archive, sql
from engine.storage.columns import COLUMNS, exact_of
from engine.storage.names import RecordKind
from engine.storage.query import skipped_of
from engine.storage.records import Block, times_of
from tests.storage.drawn import NOON_NS, STREAM, UNIT, drawn_block
from tests.storage.kept import Kept

TRADES = RecordKind.TRADES
KINDS = list(RecordKind)


@pytest.fixture
def kept(tmp_path: Path) -> Iterator[Kept]:
    store = Kept(tmp_path / "store")
    yield store
    store.close()


def filled(kept: Kept, kind: RecordKind = TRADES) -> list[Block]:
    blocks = [drawn_block(kind, 50, seq=1 + 50 * n, at_ns=NOON_NS + 50_000_000 * n) for n in range(3)]
    kept.put(*blocks)
    kept.archive(blocks[:2])
    return blocks


def ask(kept: Kept, text: str) -> list[dict]:
    return sql.sql(kept.folder, text).to_pylist()


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_is_a_view_over_archive_and_journal(kept: Kept, kind: RecordKind) -> None:
    filled(kept, kind)
    table = sql.sql(kept.folder, f"SELECT * FROM {kind} ORDER BY seq")
    assert table["seq"].to_pylist() == list(range(1, 151))
    names = [column.name for column in COLUMNS[kind]] + [name for name, _ in exact_of(kind)]
    assert table.schema.names == names
    assert table.schema.field("time").type == pa.timestamp("us", "UTC")
    assert table["time_ns"].to_pylist() == [
        int(at)
        for n in range(3)
        for at in times_of(kind, drawn_block(kind, 50, seq=1 + 50 * n, at_ns=NOON_NS + 50_000_000 * n).rows)
    ]


@pytest.mark.parametrize("kind", KINDS)
def test_a_kind_that_is_not_there_has_its_columns_all_the_same(kept: Kept, kind: RecordKind) -> None:
    full, empty = sql.sql(kept.folder, f"SELECT * FROM {kind}"), sql.sql(kept.folder, "SHOW TABLES")
    assert len(full) == 0
    assert set(empty["name"].to_pylist()) == {str(one) for one in KINDS}


def test_prices_are_what_their_text_says_and_their_units_are_beside_them(kept: Kept) -> None:
    block = drawn_block(TRADES, 4)
    rows = block.rows.copy()
    rows["price"], rows["size"] = [5000010, -1, 0, 2**53 - 1], [1, 10, 100, 12345]
    rows["aggressor"] = [1, -1, 0, 1]
    kept.put(replace(block, rows=rows))
    found = ask(kept, "SELECT * FROM trades ORDER BY seq")
    assert [row["price"] for row in found] == [50000.10, -0.01, 0.0, 90071992547409.91]
    assert [row["size"] for row in found] == [0.001, 0.01, 0.1, 12.345]
    assert [row["price_units"] for row in found] == [5000010, -1, 0, 2**53 - 1]
    assert [row["side"] for row in found] == ["buy", "sell", "", "buy"]
    assert {(row["price_decimals"], row["size_decimals"]) for row in found} == {(2, 3)}
    assert found[0]["time"] == datetime(2025, 11, 20, 12, tzinfo=UTC)
    assert {(row["venue"], row["symbol"]) for row in found} == {("builtin", "BTC-USDT")}


def test_each_revision_is_read_in_its_own_units(kept: Kept) -> None:
    finer = replace(STREAM, instrument=UNIT.with_decimals(4, 3))
    blocks = drawn_block(TRADES, 1), drawn_block(TRADES, 1, seq=2, stream=finer)
    for block in blocks:
        block.rows["price"] = 12345
    kept.put(*blocks)
    kept.archive(blocks[:1])
    assert [row["price"] for row in ask(kept, "FROM trades ORDER BY seq")] == [123.45, 1.2345]


def test_books_are_lists_and_text(kept: Kept) -> None:
    filled(kept, RecordKind.SNAPSHOTS)
    row = ask(
        kept, "SELECT bid_prices, bid_prices_units, bids FROM snapshots WHERE len(bid_prices) > 0 LIMIT 1"
    )[0]
    assert row["bid_prices"] == [price / 100 for price in row["bid_prices_units"]]
    assert row["bids"].startswith('[["')


def test_where_group_and_order_work(kept: Kept) -> None:
    blocks = filled(kept)
    sides = np.concatenate([block.rows["aggressor"] for block in blocks])
    found = ask(
        kept, "SELECT side, count(*) AS n FROM trades WHERE symbol = 'BTC-USDT' GROUP BY ALL ORDER BY side"
    )
    counts = {"buy": int((sides == 1).sum()), "": int((sides != 1).sum())}
    assert {row["side"]: row["n"] for row in found} == {side: n for side, n in counts.items() if n}
    assert ask(kept, "SELECT count(*) AS n FROM trades WHERE venue = 'okx'") == [{"n": 0}]
    noon = "TIMESTAMPTZ '2025-11-20 12:00:00Z'"
    assert ask(kept, f"SELECT count(*) AS n FROM trades WHERE time < {noon} + INTERVAL 20 MILLISECOND") == [
        {"n": 20}
    ]
    assert ask(kept, "SELECT max(time_ns) - min(time_ns) AS ns FROM trades") == [{"ns": 149_000_000}]


def test_kinds_can_be_joined(kept: Kept) -> None:
    filled(kept)
    kept.put(drawn_block(RecordKind.QUOTES, 10, seq=1_000))
    text = "SELECT count(*) AS n FROM trades ASOF JOIN quotes USING (symbol, time_ns)"
    assert ask(kept, text) == [{"n": 150}]


def test_a_stretch_leaves_the_rest_out(kept: Kept) -> None:
    filled(kept)
    low, high = NOON_NS + 40_000_000, NOON_NS + 120_000_000
    table = sql.sql(kept.folder, "SELECT seq FROM trades ORDER BY seq", from_ns=low, to_ns=high)
    assert table["seq"].to_pylist() == list(range(41, 121))


def test_a_damaged_file_is_left_out_by_name(kept: Kept) -> None:
    block = drawn_block(TRADES, 5, seq=500)
    kept.put(block)
    (bad,) = kept.archive([block])
    filled(kept)
    bad.write_bytes(bad.read_bytes()[:-20])
    with sql.answered(kept.folder, "SELECT count(*) AS n FROM trades") as answer:
        assert answer.reader.read_all().to_pylist() == [{"n": 150}]
        assert [path for path, _ in answer.skipped] == [
            bad.relative_to(kept.folder / archive.FOLDER).as_posix()
        ]


def test_an_answer_knows_what_it_is_without(kept: Kept) -> None:
    block = drawn_block(TRADES, 5, seq=500)
    kept.put(block)
    (path,) = kept.archive([block])
    path.unlink()
    kept.put(drawn_block(TRADES, 5, seq=600))
    kept.connection.execute("UPDATE blocks SET payload = zeroblob(9) WHERE first_seq = 600")
    filled(kept)
    table = sql.sql(kept.folder, "SELECT count(*) AS n FROM trades")
    assert table.to_pylist() == [{"n": 150}]
    name = path.relative_to(kept.folder / archive.FOLDER).as_posix()
    assert dict(skipped_of(table)) == {
        name: "no such file or directory",
        "journal block 600": "it is cut off",
    }


def test_a_file_deleted_before_it_was_looked_at_is_no_damage(
    kept: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    filled(kept)
    (path,) = (kept.folder / archive.FOLDER).rglob("*.parquet")
    examine = archive.examine

    def delete_first(one: Path) -> archive.FileInfo:
        if path.exists():
            kept.forget(path)
            path.unlink()
        return examine(one)

    monkeypatch.setattr(archive, "examine", delete_first)
    table = sql.sql(kept.folder, "SELECT count(*) AS n FROM trades")
    assert table.to_pylist() == [{"n": 50}]
    assert skipped_of(table) == ()


def test_a_file_that_goes_meanwhile_is_looked_for_again(kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    filled(kept)
    (path,) = (kept.folder / archive.FOLDER).rglob("*.parquet")
    check = sql._check

    def delete_first(connection: duckdb.DuckDBPyConnection, text: str) -> None:
        if path.exists():
            kept.forget(path)
            path.unlink()
        check(connection, text)

    monkeypatch.setattr(sql, "_check", delete_first)
    assert ask(kept, "SELECT sum(price) >= 0 AS ok, count(*) AS n FROM trades") == [{"ok": True, "n": 50}]


@pytest.mark.parametrize(
    "text",
    [
        "CREATE TABLE x (a INT)",
        "CREATE TABLE trades AS SELECT 1",
        "DROP VIEW trades",
        "INSERT INTO candles SELECT * FROM candles",
        "DELETE FROM candles",
        "UPDATE candles SET open = 1",
        "COPY (SELECT 1) TO 'FOLDER/stolen.csv'",
        "COPY trades TO 'FOLDER/stolen.parquet'",
        "EXPLAIN ANALYZE COPY (SELECT 1) TO 'FOLDER/stolen.csv'",
        "EXPORT DATABASE 'FOLDER/all'",
        "ATTACH 'FOLDER/other.db'",
        "ATTACH 'FOLDER/journal.db' (TYPE sqlite)",
        "SET memory_limit = '100GB'",
        "SET enable_external_access = true",
        "RESET lock_configuration",
        "PRAGMA memory_limit = '100GB'",
        "LOAD httpfs",
        "INSTALL httpfs",
        "CALL pragma_version()",
        "CHECKPOINT",
        "BEGIN",
        "PREPARE p AS SELECT 1",
        "SELECT 1; SELECT 2",
        "SELECT 1; DROP VIEW trades",
        "",
        "-- nothing",
        "SELECT * FROM 'FOLDER/secret.csv'",
        "SELECT * FROM read_csv('FOLDER/secret.csv')",
        "SELECT * FROM read_text('FOLDER/secret.csv')",
        "SELECT * FROM read_blob('FOLDER/journal.db')",
        "SELECT * FROM read_parquet('FOLDER/archive/**/*.parquet')",
        "SELECT * FROM glob('FOLDER/*')",
        "SELECT * FROM sniff_csv('FOLDER/secret.csv')",
        "SELECT * FROM read_csv('https://127.0.0.1:9/x.csv')",
        "SELECT getenv('HOME')",
        "SELECT * FROM query('COPY (SELECT 1) TO ''FOLDER/stolen.csv''')",
        "SELECT * FROM connection",
        "SELECT * FROM kept",
    ],
)
def test_what_is_no_reading_of_the_views_is_refused(kept: Kept, text: str) -> None:
    filled(kept)
    (kept.folder / "secret.csv").write_text("a\n1\n")
    before = {path: path.stat().st_size for path in kept.folder.rglob("*.*") if path.suffix != ".db-shm"}
    with pytest.raises(BadQuery):
        sql.sql(kept.folder, text.replace("FOLDER", str(kept.folder)))
    assert {
        path: path.stat().st_size for path in kept.folder.rglob("*.*") if path.suffix != ".db-shm"
    } == before


@pytest.mark.parametrize(
    "text",
    [
        "DESCRIBE trades",
        "SHOW TABLES",
        "SUMMARIZE trades",
        "EXPLAIN FROM trades",
        "WITH t AS (FROM trades) FROM t",
        "VALUES (1)",
        "TABLE trades;",
    ],
)
def test_reading_statements_of_all_sorts_are_answered(kept: Kept, text: str) -> None:
    filled(kept)
    assert ask(kept, text)


def test_a_mistake_is_one_sentence_with_its_place(kept: Kept) -> None:
    with pytest.raises(BadQuery) as caught:
        ask(kept, "SELECT time,\n  prize\nFROM trades")
    text = str(caught.value)
    assert text.startswith(
        'the query: Binder Error: Referenced column "prize" not found in FROM clause! Candidate'
    )
    assert text.endswith("(line 2, column 3)")
    assert "\n" not in text
    with pytest.raises(BadQuery, match=r"syntax error at or near \"selec\" \(line 1, column 1\)$"):
        ask(kept, "selec 1")
    with pytest.raises(BadQuery, match=r"Could not convert string 'a' to INT32"):
        ask(kept, "SELECT 'a'::INT")


def test_an_answer_that_is_too_large_is_refused(kept: Kept) -> None:
    with pytest.raises(BadQuery, match="it has more than 1,000 rows: add a LIMIT"):
        sql.sql(kept.folder, "SELECT * FROM range(1000000000)", most=1_000)


def test_a_query_that_takes_too_long_is_ended(kept: Kept) -> None:
    begun = time.monotonic()
    with pytest.raises(BadQuery, match="it took too long"):
        sql.sql(kept.folder, "SELECT count(*) FROM range(100000000) a, range(10000) b", timeout_s=0.2)
    assert time.monotonic() - begun < 10


def test_what_goes_wrong_in_the_midst_of_an_answer_is_said_as_well(kept: Kept) -> None:
    text = "SELECT CASE WHEN range < 400000 THEN '1' ELSE 'x' END::INT AS a FROM range(500000)"
    with (
        pytest.raises(BadQuery, match="Could not convert string 'x' to INT32"),
        sql.answered(kept.folder, text) as answer,
    ):
        for _ in answer.reader:
            pass
    endless = "SELECT range AS a FROM range(100000000000)"
    with (
        pytest.raises(BadQuery, match="it took too long"),
        sql.answered(kept.folder, endless, timeout_s=0.3) as answer,
    ):
        for _ in answer.reader:
            pass


def test_a_failure_of_whoever_takes_the_rows_is_their_own(kept: Kept) -> None:
    with pytest.raises(BrokenPipeError), sql.answered(kept.folder, "SELECT 1"):
        raise BrokenPipeError(32, "Broken pipe")


def test_a_large_sort_goes_to_a_folder_of_its_own_and_leaves_nothing(
    kept: Kept, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spill = tmp_path / "spill"
    spill.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(spill))
    monkeypatch.setattr(sql, "_MEMORY", "40MB")
    text = "SELECT range AS a, hash(range) AS b, repeat('x', 20) AS c FROM range(1500000) ORDER BY b"
    with sql.answered(kept.folder, text) as answer:
        assert sum(len(batch) for batch in answer.reader) == 1_500_000
    assert list(spill.iterdir()) == []
