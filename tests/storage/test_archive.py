"""The archive's files: their names, that they hold what they were given, and that they appear whole."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import BlockDamaged
from engine.storage import archive
from engine.storage.arrow import SCHEMAS, from_table, to_table
from engine.storage.dates import DAY_NS, date_text, day_of
from engine.storage.names import RecordKind
from engine.storage.records import Block, Stream, joined
from engine.storage.steps import Written
from tests.storage.drawn import OF_A_VENUE, STREAM, WHOLE, drawn_block

DATE = "2025-11-20"


def written(root: Path, block: Block) -> Written:
    return archive.write_file(root, block.kind, block.stream, DATE, to_table(block))


@pytest.mark.parametrize("kind", RecordKind)
def test_a_file_gives_back_each_row_and_its_heap(tmp_path: Path, kind: RecordKind) -> None:
    block = joined([drawn_block(kind, 300), drawn_block(kind, 200, seq=301, seed=2)])
    told = written(tmp_path, block)
    table = archive.read_file(tmp_path / told.path)
    assert table.schema.equals(SCHEMAS[kind])
    rows, heap = from_table(kind, table)
    assert rows.tobytes() == block.rows.tobytes()
    assert heap == block.heap


@pytest.mark.parametrize("kind", RecordKind)
def test_a_file_explains_itself(tmp_path: Path, kind: RecordKind) -> None:
    block = drawn_block(kind, 50, seq=7)
    told = written(tmp_path, block)
    info = archive.examine(tmp_path / told.path)
    assert info == archive.FileInfo(
        archive.VERSION, kind, block.stream, DATE, 7, 56, 50, *block.times_ns
    )  # fmt: skip
    assert (told.rows, told.first_seq, told.last_seq, (told.first_ns, told.last_ns)) == (
        50,
        7,
        56,
        block.times_ns,
    )
    data = (tmp_path / told.path).read_bytes()
    assert told.size_bytes == len(data)
    assert told.sha256 == hashlib.sha256(data).hexdigest() == archive.digest_of(tmp_path / told.path)


def test_names_come_from_kind_date_pair_venue_and_seq(tmp_path: Path) -> None:
    assert (
        written(tmp_path, drawn_block(RecordKind.TRADES, 10, seq=5)).path
        == "kind=trades/date=2025-11-20/pair=BTC-USDT/venue=builtin/5-14.parquet"
    )
    of_a_venue = written(tmp_path, drawn_block(RecordKind.COUNTERS, 10, seq=5))
    assert of_a_venue.path == "kind=counters/date=2025-11-20/pair=all/venue=builtin/5-14.parquet"
    own = written(tmp_path, drawn_block(RecordKind.COUNTERS, 10, seq=5, stream=Stream("")))
    assert own.path == "kind=counters/date=2025-11-20/pair=all/venue=engine/5-14.parquet"


def test_a_file_of_the_same_range_gets_a_name_of_its_own(tmp_path: Path) -> None:
    block = drawn_block(RecordKind.TRADES, 10)
    taken: set[str] = set()
    for _ in range(3):
        taken.add(
            archive.write_file(tmp_path, block.kind, block.stream, DATE, to_table(block), taken=taken).path
        )
    folder = archive.folder_of(block.kind, DATE, block.stream)
    assert taken == {f"{folder}/{name}.parquet" for name in ("1-10", "1-10-2", "1-10-3")}
    assert all(archive.is_ours(path) for path in taken)


def test_no_file_is_written_over(tmp_path: Path) -> None:
    """One of the same name may have the only copy of other rows: of a journal put back to an older state."""
    first = written(tmp_path, drawn_block(RecordKind.TRADES, 10))
    before = (tmp_path / first.path).read_bytes()
    second = written(tmp_path, drawn_block(RecordKind.TRADES, 10, seed=2))
    assert second.path == first.path.replace("1-10", "1-10-2")
    assert (tmp_path / first.path).read_bytes() == before


@pytest.mark.parametrize(
    "name",
    [
        "../../x",
        "..",
        ".",
        "/etc/passwd",
        "a\\b",
        "C:",
        "x\0y",
        "a=b",
        "%2e%2e",
        ".hidden",
        "dot.",
        "\ud800",
        "Ü" * 300,
    ],
)
def test_no_name_of_a_symbol_leads_elsewhere(tmp_path: Path, name: str) -> None:
    stream = Stream(name, name)
    folder = archive.folder_of(RecordKind.TRADES, DATE, stream)
    parts = folder.split("/")
    assert [part.partition("=")[0] for part in parts] == ["kind", "date", "pair", "venue"]
    assert (tmp_path / folder).resolve().is_relative_to(tmp_path.resolve())
    for part in parts:
        value = part.partition("=")[2]
        assert value not in {"", ".", ".."}
        assert set(value) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.%~")
        assert len(part.encode()) < 200


def test_a_symbol_named_like_the_lack_of_one_lies_elsewhere() -> None:
    folders = {
        archive.folder_of(RecordKind.TRADES, DATE, stream)
        for stream in (Stream("engine", "all"), Stream("", ""), Stream("engine"), Stream("", "all"))
    }
    assert len(folders) == 4


@given(st.sets(st.text(max_size=200), min_size=2, max_size=8))
def test_two_names_never_share_a_folder(names: set[str]) -> None:
    assert len({archive.quoted(name, "all") for name in names}) == len(names)


def test_what_a_symbol_is_called_comes_back_to_the_letter(tmp_path: Path) -> None:
    stream = replace(WHOLE, label='../../x "Ü"')
    told = written(tmp_path, drawn_block(RecordKind.EVENTS, 3, stream=stream))
    assert archive.examine(tmp_path / told.path).stream == stream


def test_columns_and_filters_give_what_was_asked_for_in_that_order(tmp_path: Path) -> None:
    block = drawn_block(RecordKind.TRADES, 1_000)
    path = tmp_path / written(tmp_path, block).path
    table = archive.read_file(path, ["price", "seq"], pc.field("seq") > 990)
    assert table.schema.names == ["price", "seq"]
    assert table["seq"].to_pylist() == list(range(991, 1_001))
    assert table["price"].to_pylist() == block.rows["price"][990:].tolist()


def test_other_tools_read_the_same_numbers(tmp_path: Path) -> None:
    block = drawn_block(RecordKind.SNAPSHOTS, 20)
    path = tmp_path / written(tmp_path, block).path
    found = duckdb.sql(
        f"select sum(seq), min(symbol), min(exchange), sum(len(bid_price)), min(venue) from '{path}'"
    ).fetchall()
    assert found == [(block.rows["seq"].sum(), "BTC-USDT", "builtin", block.rows["bids"].sum(), "builtin")]
    text = pq.read_table(path)
    assert text.select(["timestamp", "exchange", "symbol", "bids", "asks"]).num_rows == 20


def test_dates_are_of_utc() -> None:
    block = drawn_block(RecordKind.TRADES, 3)
    block.rows["ts_event_ns"] = [DAY_NS * 20_000 - 1, DAY_NS * 20_000, 0]
    days = archive.dates_of(block.kind, block.rows)
    assert days.tolist() == [19_999, 20_000, day_of("2025-11-20")]  # the last by our own clock
    assert [date_text(day) for day in days[:2].tolist()] == ["2024-10-03", "2024-10-04"]
    for day in (date_text(int(each)) for each in (-(2**63) // DAY_NS, 2**63 // DAY_NS)):
        assert len(day) == 10


def test_the_disk_has_the_file_before_its_name_and_the_name_before_it_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Power may fail at any moment: what `write_file` returns must be there afterwards."""
    calls: list[str] = []
    import engine.durable_files as durable

    for name in ("sync_file", "sync_folder"):
        real = getattr(durable, name)
        monkeypatch.setattr(
            durable, name, lambda what, real=real, name=name: (calls.append(name), real(what))[1]
        )
    real_replace = durable.os.replace
    monkeypatch.setattr(durable.os, "replace", lambda a, b: (calls.append("replace"), real_replace(a, b))[1])
    written(tmp_path, drawn_block(RecordKind.TRADES, 10))
    named = calls.index("replace")
    assert calls[:named].count("sync_folder") == 4  # kind, date, pair, venue
    assert "sync_file" in calls[:named]
    assert calls[named:] == ["replace", "sync_folder"]


def test_a_full_disk_leaves_no_draft(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import engine.durable_files as durable

    def full(file: int, data: bytes) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(durable, "write_all", full)
    with pytest.raises(OSError, match="No space"):
        written(tmp_path, drawn_block(RecordKind.TRADES, 10))
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_a_file_known_as_whole_is_proved_again_once_it_has_changed(tmp_path: Path) -> None:
    path = tmp_path / written(tmp_path, drawn_block(RecordKind.TRADES, 100)).path
    archive.examine(path)
    data = bytearray(path.read_bytes())
    data[100] ^= 1
    path.write_bytes(data)
    with pytest.raises(BlockDamaged, match="its checksum is wrong"):
        archive.examine(path)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "cut off"),
        (b"PAR1", "cut off"),
        (b"hello, this is no Parquet file at all, only some text of a stranger", "cut off"),
        (b"\0" * 1_000, "cut off"),
        (b"x" * 1_000 + b"\xff\xff\xff\xffPAR1", "cut off"),
    ],
)
def test_a_foreign_file_is_refused_with_a_reason(tmp_path: Path, data: bytes, reason: str) -> None:
    path = tmp_path / "1-2.parquet"
    path.write_bytes(data)
    for read in (archive.examine, archive.read_file):
        with pytest.raises(BlockDamaged, match=reason):
            read(path)


def test_parquet_of_a_stranger_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "1-2.parquet"
    pq.write_table(pa.table({"seq": np.arange(100)}), path)
    with pytest.raises(BlockDamaged, match="it has no seal of ours"):
        archive.read_file(path)


def test_a_file_of_a_newer_version_is_refused_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archive, "VERSION", 9)
    path = tmp_path / written(tmp_path, drawn_block(RecordKind.TRADES, 3)).path
    monkeypatch.setattr(archive, "VERSION", 1)
    with pytest.raises(BlockDamaged, match="version 9, which a newer Venuescope has written"):
        archive.examine(path)


def test_a_missing_file_and_a_folder_of_that_name_are_damage_not_a_crash(tmp_path: Path) -> None:
    with pytest.raises(BlockDamaged, match="no such file"):
        archive.read_file(tmp_path / "1-2.parquet")
    (tmp_path / "3-4.parquet").mkdir()
    with pytest.raises(BlockDamaged, match="directory"):
        archive.read_file(tmp_path / "3-4.parquet")


def test_kinds_of_a_venue_have_no_symbol() -> None:
    assert {drawn_block(kind, 1).stream for kind in RecordKind} == {STREAM, WHOLE}
    assert all(drawn_block(kind, 1).stream == WHOLE for kind in OF_A_VENUE)
