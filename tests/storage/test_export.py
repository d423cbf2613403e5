"""Exports: what tools read from them, whole or not at all, in bounded memory."""

from __future__ import annotations

import errno
import io
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet
import pytest

from engine.errors import BadQuery, StorageError
from engine.storage import arrow, csv_text, export, query, sql
from engine.storage.catalog import MAX_NS
from engine.storage.export_request import (
    FORMS,
    Canceled,
    ExportRequest,
    Form,
    checked_form,
    checked_kind,
    file_name,
)
from engine.storage.names import RecordKind
from engine.storage.records import times_of
from tests.reference import csv_plain
from tests.storage.drawn import NOON_NS, STREAM, UNIT, drawn_block
from tests.storage.kept import Kept

TRADES = RecordKind.TRADES
KINDS = list(RecordKind)
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def kept(tmp_path: Path) -> Iterator[Kept]:
    store = Kept(tmp_path / "store")
    yield store
    store.close()


def filled(kept: Kept, kind: RecordKind = TRADES) -> None:
    blocks = [drawn_block(kind, 50, seq=1 + 50 * n, at_ns=NOON_NS + 50_000_000 * n) for n in range(3)]
    kept.put(*blocks)
    kept.archive(blocks[:2])


def asked(kind: RecordKind = TRADES, form: Form = "csv", **given: Any) -> ExportRequest:
    return replace(ExportRequest(kind, "", "", 0, MAX_NS, form), **given)


def opened(path: Path, form: Form) -> pa.Table:
    return pa.parquet.read_table(path) if form == "parquet" else pa.feather.read_table(path)


@pytest.mark.parametrize("kind", KINDS)
def test_csv_has_every_row_as_the_plain_twin_writes_it(kept: Kept, kind: RecordKind, tmp_path: Path) -> None:
    filled(kept, kind)
    out = tmp_path / "out.csv"
    result = export.export(kept.folder, asked(kind), out)
    rows = query.query(kept.folder, kind)
    plain = csv_plain.lines(kind, rows.to_pylist(), query.times(kind, rows).tolist())
    assert out.read_bytes() == csv_text.header(kind) + plain
    assert (result.rows, result.size_bytes, result.skipped) == (150, out.stat().st_size, ())


@pytest.mark.parametrize("form", ["parquet", "feather"])
@pytest.mark.parametrize("kind", KINDS)
def test_parquet_and_feather_have_the_columns_of_sql(
    kept: Kept, kind: RecordKind, form: Form, tmp_path: Path
) -> None:
    filled(kept, kind)
    export.export(kept.folder, asked(kind, form), tmp_path / "out")
    table = opened(tmp_path / "out", form)
    assert table.schema.field("time").type == pa.timestamp("ns", "UTC")
    same = sql.sql(kept.folder, f"SELECT * EXCLUDE time FROM {kind} ORDER BY time_ns, seq")
    assert table.drop(["time"]).to_pylist() == same.to_pylist()


@pytest.mark.parametrize("form", FORMS)
def test_pandas_has_numbers_and_times(kept: Kept, form: Form, tmp_path: Path) -> None:
    filled(kept)
    out = tmp_path / "out"
    export.export(kept.folder, asked(form=form), out)
    readers = {
        "csv": lambda: pd.read_csv(out, parse_dates=["time"]),
        "parquet": lambda: pd.read_parquet(out),
        "feather": lambda: pd.read_feather(out),
    }
    frame = readers[form]()
    rows = query.query(kept.folder, TRADES)
    assert frame["price"].dtype == frame["size"].dtype == "float64"
    assert frame["price"].tolist() == [price / 100 for price in rows["price"].to_pylist()]
    assert frame["time"].astype("int64").tolist() == query.times(TRADES, rows).tolist()
    assert set(frame["symbol"]) == {"BTC-USDT"}
    if form != "csv":
        assert frame["price_units"].tolist() == rows["price"].to_pylist()


@pytest.mark.parametrize("form", FORMS)
def test_of_nothing_no_file_is_made(kept: Kept, form: Form, tmp_path: Path) -> None:
    out = tmp_path / "out"
    with pytest.raises(BadQuery, match="nothing is recorded then"):
        export.export(kept.folder, asked(form=form), out)
    assert not any(path.is_file() and path.name.startswith("out") for path in tmp_path.iterdir())


def test_only_what_is_asked_for_is_in_it(kept: Kept, tmp_path: Path) -> None:
    ether = replace(STREAM, symbol="ETH-USDT", instrument=replace(UNIT, symbol="ETH-USDT"))
    kept.put(drawn_block(TRADES, 30), drawn_block(TRADES, 30, seq=31, stream=ether))
    request = asked(
        venue="builtin", symbol="ETH-USDT", from_ns=NOON_NS + 5_000_000, to_ns=NOON_NS + 10_000_000
    )
    export.export(kept.folder, request, tmp_path / "out.csv")
    frame = pd.read_csv(tmp_path / "out.csv")
    assert frame["seq"].tolist() == [36, 37, 38, 39, 40]


@pytest.mark.parametrize("form", FORMS)
def test_a_canceled_export_leaves_nothing(kept: Kept, form: Form, tmp_path: Path) -> None:
    filled(kept)
    out = tmp_path / "exports" / "out"
    out.parent.mkdir()

    def cancel(rows: int, total: int) -> None:
        raise Canceled

    with pytest.raises(Canceled):
        export.export(kept.folder, asked(form=form), out, cancel)
    assert list(out.parent.iterdir()) == []


@pytest.mark.parametrize("form", FORMS)
def test_a_full_disk_is_said_and_leaves_what_was_there(
    kept: Kept, form: Form, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    filled(kept)
    out = tmp_path / "exports" / "out"
    out.parent.mkdir()
    out.write_text("before")
    write = export.DraftFile.write

    def full(self: export.DraftFile, data: Any) -> int:
        if self.tell() > 3:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return write(self, data)

    monkeypatch.setattr(export.DraftFile, "write", full)
    with pytest.raises(
        StorageError, match=r"out cannot be written: the disk is full; nothing of it was kept$"
    ):
        export.export(kept.folder, asked(form=form), out)
    assert [path.name for path in out.parent.iterdir()] == ["out"]
    assert out.read_text() == "before"


def test_a_folder_that_is_not_there_is_said(kept: Kept, tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="cannot be written: no such file or directory"):
        export.export(kept.folder, asked(), tmp_path / "none" / "out.csv")


def test_progress_is_told_of_rows_and_of_how_many_there_will_be(kept: Kept, tmp_path: Path) -> None:
    filled(kept)
    said: list[tuple[int, int]] = []
    export.export(kept.folder, asked(), tmp_path / "out.csv", lambda rows, total: said.append((rows, total)))
    assert said[-1] == (150, 150)
    assert all(rows <= total for rows, total in said)


def test_a_damaged_file_is_named_and_the_rest_is_exported(kept: Kept, tmp_path: Path) -> None:
    block = drawn_block(TRADES, 5, seq=500)
    kept.put(block)
    (bad,) = kept.archive([block])
    bad.write_bytes(b"PAR1")
    filled(kept)
    result = export.export(kept.folder, asked(), tmp_path / "out.csv")
    assert result.rows == 150
    assert [Path(path).name for path, _ in result.skipped] == [bad.name]


def test_names_of_files_are_made_of_plain_characters() -> None:
    hour = 3_600 * 10**9
    request = ExportRequest(TRADES, "builtin", "BTC-USDT", NOON_NS, NOON_NS + hour, "csv")
    assert file_name(request) == "trades_builtin_BTC-USDT_20251120T120000Z_20251120T130000Z.csv"
    assert file_name(replace(request, venue="../..", symbol="a/b\\c\0 é" + "x" * 300)).isascii()
    assert "/" not in file_name(replace(request, venue="../..", symbol="a/b\\c"))
    assert file_name(replace(request, venue="", symbol="", from_ns=0, to_ns=MAX_NS, form="feather")) == (
        "trades_all_all_begin_end.feather"
    )
    assert file_name(replace(request, venue="../..")).startswith("trades_x_BTC")


def test_unknown_forms_and_kinds_are_refused() -> None:
    with pytest.raises(BadQuery, match=r"^--format: 'xlsx' is not one of csv, parquet, feather$"):
        checked_form("xlsx")
    with pytest.raises(BadQuery, match=r"^--kind: 'trade' is not one of trades, quotes"):
        checked_kind("trade")
    assert checked_kind("trades") is TRADES
    assert checked_form("csv") == "csv"


EXPORTER = """
import sys
from pathlib import Path
from engine.storage import export, export_request
from engine.storage.catalog import MAX_NS
from engine.storage.names import RecordKind
def greatest_kb():  # of this program alone: getrusage counts what its parent had
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))
before = greatest_kb()
request = export_request.ExportRequest(RecordKind.TRADES, "", "", 0, MAX_NS, sys.argv[2])
result = export.export(Path(sys.argv[1]), request, Path(sys.argv[3]))
print(result.rows, greatest_kb() - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="/proc tells a process's greatest memory")
@pytest.mark.nightly
@pytest.mark.timeout(900)
def test_ten_million_rows_are_exported_in_bounded_memory(kept: Kept, tmp_path: Path) -> None:
    count = 1_000_000
    for n in range(10):
        block = drawn_block(TRADES, count, seq=1 + n * count, at_ns=NOON_NS + n * count * 1_000_000)
        kept.put(block)
        kept.archive([block])
    for form in FORMS:
        out = tmp_path / f"out.{form}"
        done = subprocess.run(
            [sys.executable, "-c", EXPORTER, str(kept.folder), form, str(out)],
            cwd=ROOT, capture_output=True, text=True, check=True,
        )  # fmt: skip
        rows, grown_kb = map(int, done.stdout.split())
        print(
            f"{form}: {rows:,} rows, {out.stat().st_size >> 20:,} MB, {grown_kb / 1024:,.0f} MB more memory"
        )
        assert rows == 10 * count
        assert grown_kb < 700 * 1024
        out.unlink()


@pytest.mark.nightly
@pytest.mark.timeout(300)
def test_csv_is_five_times_faster_than_pandas(tmp_path: Path) -> None:
    import time

    block = drawn_block(TRADES, 1_000_000)
    block.rows["ts_event_ns"] += np.random.default_rng(5).integers(0, 999_999, len(block.rows))
    table, happened = arrow.to_table(block), times_of(TRADES, block.rows)
    whole = csv_text.header(TRADES) + bytes(csv_text.lines(TRADES, table, happened))
    frame = pd.read_csv(io.BytesIO(whole), parse_dates=["time"])
    ours, theirs = [], []
    for _ in range(3):
        begun = time.perf_counter()
        with export.whole_file(tmp_path / "ours.csv") as file:
            writer = export._CsvWriter(TRADES, file)
            for batch in table.to_batches(max_chunksize=query.BATCH_ROWS):
                writer.write(pa.Table.from_batches([batch]))
        ours.append(time.perf_counter() - begun)
        begun = time.perf_counter()
        frame.to_csv(tmp_path / "theirs.csv", index=False)
        theirs.append(time.perf_counter() - begun)
    print(f"ours {min(ours):.2f} s, pandas {min(theirs):.2f} s: {min(theirs) / min(ours):.1f} times")
    assert (tmp_path / "ours.csv").read_bytes() == whole
    assert min(theirs) > 5 * min(ours)
