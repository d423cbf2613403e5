"""What is recorded, as a user meets it: recorded, killed, started again, asked for, replayed and taken away."""

from __future__ import annotations

import gzip
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pandas as pd
import pytest
import structlog

import app
from engine.storage import catalog
from engine.storage.journal import Journal
from engine.storage.names import RecordKind
from engine.storage.query import query
from tests.benchmarks.served import FREE_PORTS

ROOT = Path(__file__).resolve().parent.parent
NO_BREAK = 120


@pytest.fixture(autouse=True)
def log_as_it_was() -> Iterator[None]:
    """A command configures the process's log: for the tests that follow it is as it was."""
    before = structlog.get_config()
    yield
    structlog.reset_defaults()
    structlog.configure(**before)


def environment(data: Path) -> dict[str, str]:
    return (
        os.environ
        | FREE_PORTS
        | {
            "VENUESCOPE_CACHE_DIR": str(ROOT / ".venuescope"),
            "VENUESCOPE_CONFIG_DIR": str(data / "config"),
            "VENUESCOPE_DATA_DIR": str(data / "data"),
        }
    )


def command(data: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "app.py", *arguments],
        cwd=ROOT,
        env=environment(data),
        capture_output=True,
        text=True,
        timeout=NO_BREAK,
        check=False,
    )


def start(data: Path, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "app.py", *arguments],
        cwd=ROOT,
        env=environment(data),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def lines_of(process: subprocess.Popen[str], count: int) -> list[str]:
    assert process.stdout is not None
    return [process.stdout.readline() for _ in range(count)]


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder in which the built-in exchange was recorded until the program was killed."""
    data = tmp_path_factory.mktemp("recorded")
    process = start(data, "record", "--venue", "builtin", "--rate", "2000")
    said = lines_of(process, 4)
    assert all("builtin" in line and "rows/s" in line for line in said), said
    process.kill()
    process.communicate()
    return data


def test_what_was_recorded_outlives_a_kill(killed: Path) -> None:
    done = command(
        killed, "query", "select count(*) n, count(distinct seq) seqs from trades", "--format", "json"
    )
    assert done.returncode == 0, done.stderr
    (row,) = [json.loads(line) for line in done.stdout.splitlines()]
    assert row["n"] == row["seqs"] > 100
    with catalog.reading(killed / "data" / "store") as connection:
        spans, _ = catalog.spans(connection)
    trades = [span for span in spans if (span.symbol, span.what) == ("BTC-USDT", "trades")]
    assert len(trades) == 1
    assert trades[0].to_ns - trades[0].from_ns > 2 * 10**9


def test_what_was_recorded_is_taken_away_as_a_table_for_pandas(killed: Path, tmp_path: Path) -> None:
    out = tmp_path / "trades.csv"
    done = command(killed, "export", "--kind", "trades", "--symbol", "BTC-USDT", "--out", str(out))
    assert done.returncode == 0, done.stderr
    frame = pd.read_csv(out, parse_dates=["time"])
    kept = query(killed / "data" / "store", RecordKind.TRADES, symbol="BTC-USDT")
    assert len(frame) == len(kept) > 0
    assert frame["trade_id"].tolist() == kept["trade_id"].to_pylist()
    scaled = (frame["price"] * 10 ** kept["price_decimals"][0].as_py()).round().astype("int64")
    assert scaled.tolist() == kept["price"].to_pylist()
    assert str(frame["time"].dt.tz) == "UTC"


def test_recording_goes_on_behind_what_was_there(killed: Path) -> None:
    before = query(killed / "data" / "store", RecordKind.TRADES)["seq"].to_pylist()
    done = command(
        killed, "record", "--venue", "builtin", "--rate", "2000", "--seconds", "1", "--what", "trades"
    )
    assert done.returncode == 0, done.stderr
    assert "rows recorded" in done.stdout.splitlines()[-1]
    after = query(killed / "data" / "store", RecordKind.TRADES, order="seq")["seq"].to_pylist()
    assert after[: len(before)] == sorted(before)
    assert len(after) > len(before)
    assert len(set(after)) == len(after)


def test_two_do_not_write_to_one_store(killed: Path) -> None:
    process = start(killed, "record", "--venue", "builtin", "--rate", "100")
    try:
        lines_of(process, 1)
        done = command(killed, "record", "--venue", "builtin", "--seconds", "1")
        assert done.returncode == 1
        assert "another Venuescope writes to" in done.stderr
        assert "Traceback" not in done.stderr
    finally:
        process.send_signal(signal.SIGINT)
        out, said = process.communicate(timeout=30)
    assert process.returncode == 0, said
    assert "rows recorded; the History page has them" in out


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("record", "--venue", "nowhere"), "setting venue cannot be 'nowhere': there is no such market"),
        (("record", "--venue", "builtin", "--what", "noise"), "setting record_what cannot be"),
        (("record", "--venue", "builtin", "--seconds", "-1"), "setting seconds cannot be -1"),
        (("store", "mend"), "setting store cannot be 'mend': choose verify or compact"),
        (
            ("replay", "--venue", "bybit_spot", "--speed", "10"),
            "nothing of it is recorded; recorded: builtin",
        ),
        (("replay", "--venue", "builtin", "--speed", "7"), "setting speed cannot be '7'"),
        (("import", "nowhere.gz"), "there is no such file"),
        (("query", "select * from nothing"), "nothing"),
        (("export", "--kind", "noise"), "noise"),
    ],
)
def test_a_mistake_is_one_sentence(
    killed: Path,
    arguments: tuple[str, ...],
    says: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name, value in environment(killed).items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SystemExit) as ended:
        app.main(list(arguments))
    assert ended.value.code == 2
    said = capsys.readouterr().err
    assert says in said
    assert said.startswith("venuescope: ")
    assert len(said.splitlines()) == 1


def test_an_archive_that_is_no_place_is_refused_at_the_start_without_its_secret(
    killed: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in environment(killed).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("VENUESCOPE_ARCHIVE", "s3://key:hunter2@bucket/there")
    with pytest.raises(SystemExit) as ended:
        app.main(["record", "--venue", "builtin", "--seconds", "1"])
    assert ended.value.code == 2
    said = capsys.readouterr().err
    assert said.startswith("venuescope: ")
    assert "AWS_ACCESS_KEY_ID" in said
    assert "hunter2" not in said


def test_what_the_disk_refuses_is_one_sentence(tmp_path: Path) -> None:
    journal = Journal.open(tmp_path / "data" / "store")
    try:
        for arguments in (("import", str(capture(tmp_path / "foreign.gz", 5))), ("store", "compact")):
            done = command(tmp_path, *arguments)
            assert done.returncode == 1, done.stderr
            assert "another Venuescope writes to" in done.stderr
            assert len(done.stderr.splitlines()) == 1
    finally:
        journal.close()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full here")
def test_output_that_nobody_takes_is_one_sentence(killed: Path) -> None:
    for arguments in (("query", "select 1 as a"), ("store", "verify")):
        with Path("/dev/full").open("w") as full:
            done = subprocess.run(
                [sys.executable, "app.py", *arguments],
                cwd=ROOT,
                env=environment(killed),
                stdout=full,
                stderr=subprocess.PIPE,
                text=True,
                timeout=NO_BREAK,
                check=False,
            )
        assert done.returncode == 1
        assert done.stderr == "venuescope: the output cannot be written: No space left on device\n"
    line = f"{sys.executable} app.py query 'select 1 as a' >&-"
    done = subprocess.run(
        ["sh", "-c", line], cwd=ROOT, env=environment(killed), capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert done.stderr == "venuescope: the output cannot be written: Bad file descriptor\n"


def test_what_is_kept_is_verified_and_moved_into_files(tmp_path: Path) -> None:
    assert command(tmp_path, "import", str(capture(tmp_path / "foreign.gz", 500))).returncode == 0
    done = command(tmp_path, "store", "compact")
    assert done.returncode == 0, done.stderr
    assert "the journal 0" in done.stdout
    done = command(tmp_path, "store", "verify")
    assert (done.returncode, done.stderr) == (0, "")
    assert "all as they were written" in done.stdout
    one = next((tmp_path / "data" / "store" / "archive").rglob("*.parquet"))
    spoilt = bytearray(one.read_bytes())
    spoilt[len(spoilt) // 2] ^= 1
    one.write_bytes(spoilt)
    done = command(tmp_path, "store", "verify")
    assert done.returncode == 1
    assert done.stdout.splitlines()[0].startswith("kind=")
    assert "1 damaged" in done.stdout
    one.unlink()
    assert "it is gone" in command(tmp_path, "store", "verify").stdout


def capture(path: Path, trades: int) -> Path:
    """A capture of Binance's spot trades."""
    lines = []
    for number in range(trades):
        at_ms = 1_723_101_300_000 + number * 10
        data: dict[str, Any] = {
            "e": "trade", "E": at_ms, "s": "BTCUSDT", "t": 100 + number, "p": "57000.10", "q": "0.5", "T": at_ms,
            "m": bool(number % 2), "M": True,
        }  # fmt: skip
        frame = msgspec.json.encode({"stream": "btcusdt@trade", "data": data}).decode()
        lines.append(f"{at_ms * 1_000_000 + 5_000_000} {frame}\n")
    path.write_bytes(gzip.compress("".join(lines).encode()))
    return path


def test_a_foreign_capture_is_taken_over_once_and_asked_for_like_all_else(tmp_path: Path) -> None:
    path = capture(tmp_path / "foreign.gz", 500)
    done = command(tmp_path, "import", str(path))
    assert done.returncode == 0, done.stderr
    assert "500 frames of BTC-USDT" in done.stdout
    table = query(tmp_path / "data" / "store", RecordKind.TRADES, venue="binance_spot")
    assert table["trade_id"].to_pylist() == list(range(100, 600))
    raw = query(tmp_path / "data" / "store", RecordKind.RAW)
    assert raw["frame"][0].as_py() == gzip.decompress(path.read_bytes()).split(b"\n")[0].split(b" ", 1)[1]
    again = command(tmp_path, "import", str(path))
    assert again.returncode == 2
    assert "it was imported already" in again.stderr
    assert len(query(tmp_path / "data" / "store", RecordKind.TRADES)) == 500


def test_an_import_that_is_killed_leaves_nothing(tmp_path: Path) -> None:
    path = capture(tmp_path / "foreign.gz", 60_000)
    process = start(tmp_path, "import", str(path))
    store = tmp_path / "data" / "store"
    until = time.monotonic() + 60
    while time.monotonic() < until and process.poll() is None:
        if (store / "journal.db").exists() and len(query(store, RecordKind.TRADES, columns=["seq"])) > 1_000:
            break
        time.sleep(0.01)
    was_running = process.poll() is None
    process.kill()
    process.communicate()
    assert was_running
    done = command(tmp_path, "import", str(path))
    assert done.returncode == 0, done.stderr
    ids = query(store, RecordKind.TRADES, columns=["trade_id"])["trade_id"].to_pylist()
    assert sorted(ids) == list(range(100, 60_100))
