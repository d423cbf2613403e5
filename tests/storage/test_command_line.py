"""`query` and `export` as a user has them: what is printed, what is written, and the exit code."""

from __future__ import annotations

import csv
import io
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import BadQuery, BadSetting
from engine.storage import answers, csv_text
from engine.storage.command_line import elsewhere, run_export, run_query
from engine.storage.names import RecordKind
from tests.storage.drawn import NOON_NS, STREAM, UNIT, drawn_block
from tests.storage.kept import Kept

ROOT = Path(__file__).resolve().parents[2]
ETHER = replace(STREAM, symbol="ETH-USDT", instrument=replace(UNIT, symbol="ETH-USDT"))


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Path]:
    kept = Kept(tmp_path / "store")
    kept.put(drawn_block(RecordKind.TRADES, 100), drawn_block(RecordKind.TRADES, 20, seq=101, stream=ETHER))
    yield kept.folder
    kept.close()


def test_an_answer_is_an_aligned_table(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = "SELECT symbol, count(*) AS rows, min(time) AS first FROM trades GROUP BY ALL ORDER BY symbol"
    assert run_query(store, text) == 0
    assert capsys.readouterr().out.splitlines() == [
        "symbol   │ rows │ first",
        "─────────┼──────┼────────────────────────────",
        "BTC-USDT │  100 │ 2025-11-20T12:00:00.000000Z",
        "ETH-USDT │   20 │ 2025-11-20T12:00:00.000000Z",
        "(2 rows)",
    ]


def test_of_a_long_answer_the_first_rows_are_shown_and_all_are_counted(
    store: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_query(store, "FROM trades", rows=5) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 8
    assert lines[-1] == "(120 rows, the first 5 shown)"
    assert run_query(store, "SELECT 1 AS a WHERE false") == 0
    assert capsys.readouterr().out.splitlines() == ["a", "─", "(0 rows)"]


def test_csv_json_and_parquet_say_the_same(
    store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = "SELECT time, symbol, price, price_units, seq FROM trades ORDER BY seq, symbol"
    assert run_query(store, text, "csv") == 0
    printed = capsys.readouterr().out
    frame = pd.read_csv(io.StringIO(printed), parse_dates=["time"])
    assert run_query(store, text, "json") == 0
    objects = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [one["price"] for one in objects] == frame["price"].tolist()
    assert objects[0]["time"] == "2025-11-20T12:00:00.000000Z"
    assert run_query(store, text, "parquet", tmp_path / "out.parquet") == 0
    assert capsys.readouterr().out.startswith(f"{tmp_path / 'out.parquet'}: 120 rows, ")
    table = pa.parquet.read_table(tmp_path / "out.parquet")
    assert table["price"].to_pylist() == frame["price"].tolist()
    assert table["seq"].to_pylist() == frame["seq"].tolist() == [one["seq"] for one in objects]
    assert run_query(store, text, "csv", tmp_path / "out.csv") == 0
    assert (tmp_path / "out.csv").read_text() == printed


def test_moments_bound_what_is_looked_at(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def count(start: str, end: str) -> str:
        text = "SELECT count(*) AS n FROM trades"
        assert run_query(store, text, "csv", start=start, end=end, wall=lambda: NOON_NS + 60 * 10**9) == 0
        return capsys.readouterr().out.split()[-1]

    assert count("", "") == "120"
    assert count("2025-11-20T12:00:00.050Z", "") == "50"
    assert count("1m ago", "2025-11-20T12:00:00.010Z") == "20"
    assert count("now", "") == "0"
    with pytest.raises(BadQuery, match="must be before --to"):
        run_query(store, "FROM trades", start="now", end="1m ago")
    with pytest.raises(BadSetting, match="--from"):
        run_query(store, "FROM trades", start="yesterday")


def test_what_cannot_be_is_one_sentence(store: Path) -> None:
    with pytest.raises(BadQuery, match=r"^--format: 'xml' is not one of table, csv, json"):
        run_query(store, "FROM trades", "xml")
    with pytest.raises(BadQuery, match="parquet is no text"):
        run_query(store, "FROM trades", "parquet")
    with pytest.raises(BadQuery, match="it would change something"):
        run_query(store, "DROP VIEW trades")
    with pytest.raises(BadQuery, match=r"^--kind: 'trade' is not one of trades"):
        run_export(store, kind="trade")
    with pytest.raises(BadQuery, match=r"^--venue: nothing of 'okx' was recorded; there is builtin$"):
        run_export(store, venue="okx")
    with pytest.raises(
        BadQuery,
        match=r"^symbol 'XRPUSDT': nothing of it is recorded of any venue; recorded: BTC-USDT, ETH-USDT$",
    ):
        run_export(store, symbol="XRPUSDT")


def test_a_symbol_may_be_named_as_the_venue_does_in_any_case(
    store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ripple = replace(UNIT, symbol="XRP-USDT", native="XRPUSDT")
    kept = Kept(tmp_path / "other")
    kept.put(
        drawn_block(RecordKind.TRADES, 7),
        drawn_block(
            RecordKind.TRADES, 9, seq=8, stream=replace(STREAM, symbol="XRP-USDT", instrument=ripple)
        ),
    )
    for name in ("XRPUSDT", "xrpusdt", "xrp-usdt", "XRP-USDT"):
        assert run_export(kept.folder, venue="builtin", symbol=name, out=tmp_path / "out.csv") == 0
        assert ": 9 rows" in capsys.readouterr().out
    kept.close()


def test_of_a_stretch_without_records_no_file_is_made(store: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.csv"
    with pytest.raises(
        BadQuery, match=r"^trades builtin, 2026-01-01 00:00:00 to .*: nothing is recorded then; "
    ):
        run_export(store, venue="builtin", start="2026-01-01", end="2026-01-02", out=out)
    assert list(tmp_path.glob("out*")) == []


def test_an_export_has_a_name_of_its_own_and_says_what_it_has(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run_export(store, venue="builtin", symbol="BTC-USDT", start="2025-11-20", end="2025-11-21") == 0
    name = "trades_builtin_BTC-USDT_20251120T000000Z_20251121T000000Z.csv"
    said = capsys.readouterr()
    assert said.out == f"{name}: 100 rows, {(tmp_path / name).stat().st_size:,} bytes\n"
    assert said.err == ""
    assert run_export(store, out=Path("mine.parquet")) == 0
    assert pa.parquet.read_table("mine.parquet").num_rows == 120


def test_a_folder_that_is_not_there_is_exit_code_1(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_export(store, out=store / "none" / "x.csv") == 1
    assert "cannot be written: no such file or directory" in capsys.readouterr().err


def test_where_nothing_was_recorded_that_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_query(tmp_path / "none", "SELECT count(*) AS n FROM trades", "csv") == 0
    said = capsys.readouterr()
    assert said.out == "n\n0\n"
    assert "nothing has been recorded in" in said.err


def test_damaged_files_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    kept = Kept(tmp_path / "store")
    block = drawn_block(RecordKind.TRADES, 10)
    kept.put(block)
    (path,) = kept.archive([block])
    kept.close()
    path.write_bytes(path.read_bytes()[:-1])
    assert run_query(kept.folder, "SELECT count(*) AS n FROM trades") == 0
    assert "left out: kind=trades/date=2025-11-20/" in capsys.readouterr().err
    assert run_export(kept.folder, out=tmp_path / "x.csv") == 0
    assert "left out: kind=trades/date=2025-11-20/" in capsys.readouterr().err


SLOW = "SELECT count(*) FROM range(1000000000) a, range(1000000) b"
COMMAND = """
import sys
from pathlib import Path
import duckdb, pyarrow  # an interrupt within their own start-up is theirs
from engine.storage.command_line import run_query
from engine.storage import sql
try:
    print("ready", flush=True)
    sys.exit(run_query(Path(sys.argv[1]), sys.argv[2], sys.argv[3]))
except KeyboardInterrupt:  # it came before the query began
    print("venuescope: ended before it was done; no file was left", file=sys.stderr)
    sys.exit(130)
"""


@pytest.mark.parametrize("wait_s", [0.0, 0.1, 0.5])
def test_control_c_ends_a_query(store: Path, wait_s: float) -> None:
    command = [sys.executable, "-c", COMMAND, str(store), SLOW, "table"]
    with subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            process.stdout.readline()
            time.sleep(wait_s)
            process.send_signal(signal.SIGINT)
            _, said = process.communicate(timeout=30)
        finally:
            process.kill()
    assert process.returncode == 130, said
    assert said == "venuescope: ended before it was done; no file was left\n"


def test_a_reader_that_has_seen_enough_is_no_error(store: Path) -> None:
    text = "SELECT range AS a, repeat('x', 100) AS b FROM range(1000000)"
    command = [sys.executable, "-c", COMMAND, str(store), text, "csv"]
    with subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        said = process.stderr.read()
        process.wait(timeout=20)
    assert (process.returncode, said) == (0, "")


@given(st.lists(st.text(max_size=10), min_size=1, max_size=5))
def test_a_table_for_a_terminal_has_only_what_can_be_printed(texts: list[str]) -> None:
    clean = [text.encode("utf-8", "replace").decode() for text in texts]
    batch = pa.record_batch({"a": pa.array(clean, pa.string())})
    lines = list(answers.table([batch], batch.schema, 100))
    assert len(lines) == len(texts) + 3
    assert all(line.isprintable() for line in lines)


@given(st.lists(st.text(st.characters(codec="utf-8"), max_size=6), min_size=1, max_size=5))
def test_text_in_an_answers_csv_is_guarded(texts: list[str]) -> None:
    batch = pa.record_batch({"=a": pa.array(texts, pa.string()), "n": pa.array([-1] * len(texts))})
    text = answers.csv_header(batch.schema) + answers.csv_lines(batch)
    rows = list(csv.reader(io.StringIO(text, newline="")))
    assert rows[0] == ["'=a", "n"]
    for row, cell in zip(rows[1:], texts, strict=True):
        guarded = "'" + cell if cell[:1] in tuple(csv_text.GUARDED) else cell
        assert row == [guarded, "-1"]


def test_cells_of_all_types_are_text(capsys: pytest.CaptureFixture[str], store: Path) -> None:
    text = (
        "SELECT NULL AS a, 1.5::DECIMAL(18, 8) AS b, 0.00000001::DECIMAL(18, 8) AS c, [1, 2] AS d, {'x': 'y'} AS e,"
        " 'ä\\x00'::BLOB AS f, true AS g, 'nan'::DOUBLE AS h, DATE '2026-01-31' AS i, '=1+1' AS j"
    )
    assert run_query(store, text.replace("ä", ""), "csv") == 0
    (row,) = csv.DictReader(io.StringIO(capsys.readouterr().out))
    assert list(row.values()) == [
        *("", "1.50000000", "0.00000001", "[1, 2]", '{"x": "y"}'),
        *("'\x00", "true", "nan", "2026-01-31", "'=1+1"),
    ]
    assert run_query(store, text.replace("ä", ""), "json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["h"] is None
    assert (found["d"], found["e"], found["g"], found["j"]) == ([1, 2], {"x": "y"}, True, "=1+1")
    assert run_query(store, text.replace("ä", "")) == 0
    assert "\x00" not in capsys.readouterr().out


def test_progress_is_shown_to_a_terminal_only(store: Path, tmp_path: Path) -> None:
    reader, writer = os.openpty()
    code = (
        "import sys\nfrom pathlib import Path\nfrom engine.storage.command_line import run_export\n"
        "sys.exit(run_export(Path(sys.argv[1]), out=Path(sys.argv[2])))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(store), str(tmp_path / "x.csv")], cwd=ROOT, stderr=writer, check=True,
        stdout=subprocess.PIPE,
    )  # fmt: skip
    os.close(writer)
    assert b"120 of about 120 rows" in os.read(reader, 1_000)
    os.close(reader)
    assert b"120 rows" in done.stdout


def test_where_a_store_is_empty_the_one_beside_it_is_named(
    store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    local = tmp_path / "store-local"
    assert elsewhere(store) == ""
    said = elsewhere(local)
    assert said == f"nothing is recorded here, but {store} has something: without --local you ask for it"
    assert run_query(local, "SELECT count(*) FROM trades") == 0
    assert said in capsys.readouterr().err
    assert elsewhere(tmp_path / "other") == ""
