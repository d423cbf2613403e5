from __future__ import annotations

import asyncio
import errno
import json
import os
import random
import signal
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import BadDataFolder, BadSetting
from engine.exchange.server import LocalVenue
from engine.limits import rules
from engine.limits.desk import LimitDesk
from engine.market.batches import CANDLE, Rows
from engine.market.instruments import Instrument
from feeds import history
from feeds.history_plan import Progress, Range, aligned, clock_text, examine, missing, plan
from feeds.history_store import HEADER_BYTES, HistoryStore, frame, path_of, read
from feeds.history_words import Cell, chosen, interval_of, interval_text, numbers_of, table
from feeds.venues import DIALECTS
from tests.feeds.history_venue import DAY_MS, MINUTE_MS, NOW_MS, SPOT, SYMBOLS, CandleVenue, download

SECOND_NS = 1_000_000_000
DAY_NS = 86_400 * SECOND_NS
CHILD = Path(__file__).with_name("history_child.py")


def candles(opened: list[int], price: int = 100) -> Rows:
    return np.array([(at, price, price + 1, price - 1, price, 7, 0, 700, 0) for at in opened], CANDLE)


# --- planning ----------------------------------------------------------------------------------------------

RANGES = st.lists(
    st.tuples(st.integers(0, 60), st.integers(0, 20)).map(lambda one: (one[0], one[0] + one[1])), max_size=6
)


@given(RANGES, st.integers(0, 60), st.integers(0, 30))
def test_what_is_missing_is_what_is_wanted_and_not_held(held: list[Range], first: int, length: int) -> None:
    wanted = (first, first + length)
    ranges = missing(wanted, held)
    points = {at for at in range(*wanted) if not any(one <= at < other for one, other in held)}
    assert [at for start, end in ranges for at in range(start, end)] == sorted(points)
    assert all(start < end for start, end in ranges)


@given(RANGES, RANGES, st.integers(1, 7))
def test_chunks_cover_each_range_once_and_keep_to_the_batch(
    one: list[Range], other: list[Range], batch: int
) -> None:
    interval = 10
    wanted = [
        (name, [(start * interval, end * interval) for start, end in missing((0, 80), ranges)])
        for name, ranges in (("A", one), ("B", other))
    ]
    chunks = plan(wanted, interval, batch)
    for name, ranges in wanted:
        own = [chunk for chunk in chunks if chunk.symbol == name]
        covered = [at for chunk in own for at in range(chunk.start_ns, chunk.end_ns, interval)]
        assert covered == [at for start, end in ranges for at in range(start, end, interval)]
        assert all(0 < chunk.end_ns - chunk.start_ns <= batch * interval for chunk in own)


def test_symbols_take_turns() -> None:
    chunks = plan([("A", [(0, 30)]), ("B", [(0, 10)]), ("C", [(0, 20)])], 10, 1)
    assert [chunk.symbol for chunk in chunks] == ["A", "B", "C", "A", "C", "A"]


def test_a_range_is_the_candles_that_open_in_it() -> None:
    assert aligned(1, 119, 60) == (60, 120)
    assert aligned(60, 120, 60) == (60, 120)


# --- checking ----------------------------------------------------------------------------------------------


def test_a_whole_history_is_complete() -> None:
    verdict = examine("A", candles(list(range(0, 600, 60))), (0, 600), 60)
    assert verdict.complete
    assert (verdict.candles, verdict.expected) == (10, 10)


@given(st.sets(st.integers(0, 30)))
def test_every_gap_is_named(present: set[int]) -> None:
    verdict = examine("A", candles([at * 10 for at in sorted(present)]), (0, 310), 10)
    absent = [at for start, end in verdict.gaps for at in range(start // 10, end // 10)]
    assert absent == sorted(set(range(31)) - present)
    assert verdict.gap_count == len(verdict.gaps)
    assert verdict.wrong == ()
    assert all(start < end for start, end in verdict.gaps)


@pytest.mark.parametrize(
    ("opened", "word"),
    [([60, 0], "order"), ([0, 0], "repeat"), ([5], "steps"), ([600], "outside")],
)
def test_what_contradicts_itself_is_named(opened: list[int], word: str) -> None:
    verdict = examine("A", candles(opened), (0, 120), 60)
    assert word in " ".join(verdict.wrong)
    assert not verdict.complete


def test_a_high_below_the_close_is_wrong() -> None:
    rows = candles([0, 60])
    rows["high"][1] = rows["close"][1] - 1
    assert "highest" in " ".join(examine("A", rows, (0, 120), 60).wrong)


def test_progress_says_what_is_left() -> None:
    progress = Progress(25, 105, 5, 25_000, 50, 10 * SECOND_NS)
    assert progress.candles_per_s == 2500
    assert progress.left_s == 30
    assert str(progress) == "25 of 105 chunks, 25,000 candles, 2,500 candles/s, weight 50, 0:30 left"
    assert Progress(0, 5, 0, 0, 0, 0).left_s is None
    assert clock_text(3_725) == "1:02:05"


# --- keeping -----------------------------------------------------------------------------------------------


def store(folder: Path) -> HistoryStore:
    return HistoryStore(folder, "fake", 60)


def kept(folder: Path) -> Path:
    """A file of two chunks, the later one first."""
    with store(folder) as files:
        files.open("A")
        files.append("A", 120, 240, candles([120]), (1, 1))
        files.append("A", 0, 120, candles([0, 60]), (1, 1))
    return path_of(folder, "fake", "A", 60)


def test_chunks_come_back_sorted(tmp_path: Path) -> None:
    contents = read(kept(tmp_path), 60)
    rows, decimals = contents.rows()
    assert rows["ts_open_ns"].tolist() == [0, 60, 120]
    assert decimals == (1, 1)
    assert [(held.start_ns, held.end_ns) for held in contents.chunks] == [(120, 240), (0, 120)]


def test_a_chunk_without_candles_is_known_too(tmp_path: Path) -> None:
    with store(tmp_path) as files:
        files.open("A")
        files.append("A", 0, 120, candles([]), (1, 1))
        (held,) = files.open("A").chunks
    assert (held.start_ns, held.end_ns, len(held.rows)) == (0, 120, 0)


def test_candles_in_finer_units_are_brought_together(tmp_path: Path) -> None:
    with store(tmp_path) as files:
        files.open("A")
        files.append("A", 0, 60, candles([0], price=100), (1, 1))
        files.append("A", 60, 120, candles([60], price=10_000), (3, 1))
        rows, decimals = files.open("A").rows()
    assert decimals == (3, 1)
    assert rows["close"].tolist() == [10_000, 10_000]


def test_a_candle_fetched_twice_counts_once_as_it_was_last(tmp_path: Path) -> None:
    with store(tmp_path) as files:
        files.open("A")
        files.append("A", 0, 120, candles([0, 60], price=100), (1, 1))
        files.append("A", 60, 120, candles([60], price=200), (1, 1))
        rows, _ = files.open("A").rows()
    assert rows["close"].tolist() == [100, 200]


def test_a_file_cut_at_any_byte_keeps_its_whole_chunks(tmp_path: Path) -> None:
    whole = kept(tmp_path).read_bytes()
    first = HEADER_BYTES + CANDLE.itemsize
    for length in range(len(whole)):
        path_of(tmp_path, "fake", "A", 60).write_bytes(whole[:length])
        with store(tmp_path) as files:
            held = files.open("A").chunks
            assert len(held) == (length >= first)
            files.append("A", 0, 120, candles([0, 60]), (1, 1))
            assert len(files.open("A").chunks) == len(held) + 1
        assert files.torn_bytes == length - (first if length >= first else 0)


def test_a_changed_byte_is_noticed(tmp_path: Path) -> None:
    path = kept(tmp_path)
    whole = path.read_bytes()
    for at in range(len(whole)):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        assert len(read(path, 60).chunks) == (at >= HEADER_BYTES + CANDLE.itemsize)


def test_another_interval_or_version_is_not_cut(tmp_path: Path) -> None:
    path = kept(tmp_path)
    with pytest.raises(BadDataFolder, match="another version or interval"):
        read(path, 300)
    data = frame(candles([0]), 0, 60, 60 * SECOND_NS, (1, 1))
    assert len(data) == HEADER_BYTES + CANDLE.itemsize


def test_a_folder_belongs_to_one_download(tmp_path: Path) -> None:
    with store(tmp_path), pytest.raises(BadDataFolder, match="another download"):
        store(tmp_path)
    with store(tmp_path):
        pass


def test_any_symbol_names_a_file(tmp_path: Path) -> None:
    assert path_of(tmp_path, "v", "../A/B", 60).parent == tmp_path / "v"


# --- words -------------------------------------------------------------------------------------------------


def test_intervals_are_the_venue_s() -> None:
    assert [interval_of(SPOT, interval_text(seconds)) for seconds in SPOT.candle_intervals_s] == list(
        SPOT.candle_intervals_s
    )
    with pytest.raises(BadSetting, match="Bybit spot has candles of 1m, 3m"):
        interval_of(SPOT, "7m")


def test_lists_of_numbers() -> None:
    assert numbers_of("--batch", "100, 500,100", 1000) == (100, 500)
    for text in ("0", "1001", "x", "", "1,,2"):
        with pytest.raises(BadSetting, match="--batch"):
            numbers_of("--batch", text, 1000)


def test_symbols_by_either_name() -> None:
    listed = [Instrument("v", "BTC-USDT", "BTC", "USDT", 1, 1, native="BTCUSDT")]
    assert list(chosen(listed, ["btc-usdt", "BTCUSDT"])) == ["BTC-USDT"]
    with pytest.raises(BadSetting, match="did you mean BTC-USDT"):
        chosen(listed, ["BTC-USD"])
    with pytest.raises(BadSetting, match="1 to"):
        chosen(listed, [])


def test_the_table_marks_the_fastest() -> None:
    cells = [Cell(1, 100, 1000, 10, 1.0, rate, 10.0, 5.0, 9.0, 0.0, 10, 0) for rate in (500.0, 900.0)]
    lines = table(cells).splitlines()
    assert lines[0].split()[:2] == ["calls", "at"]
    assert [line.endswith("most candles") for line in lines] == [False, False, True]


# --- against a venue ---------------------------------------------------------------------------------------


def run(venue: CandleVenue, folder: Path, **options: Any) -> tuple[int, list[str]]:
    """Exit code and what was said."""
    said: list[str] = []

    async def go() -> int:
        async with venue.serving() as base:
            return await download(folder, base, say=said.append, **options)

    return asyncio.run(go()), said


def opened(folder: Path, symbol: str) -> list[int]:
    """Of all kept candles, in ms."""
    rows, _ = read(path_of(folder, "bybit_spot", symbol, 60), 60).rows()
    return (rows["ts_open_ns"] // 10**6).tolist()


def a_day() -> list[int]:
    """When the candles of the last day opened, ms; the running one is not among them."""
    end = NOW_MS // MINUTE_MS * MINUTE_MS
    return list(range(-(-(NOW_MS - DAY_MS) // MINUTE_MS) * MINUTE_MS, end, MINUTE_MS))


def test_a_day_of_two_symbols(tmp_path: Path) -> None:
    venue = CandleVenue()
    code, said = run(venue, tmp_path, batch="500", concurrency="3")
    figures = json.loads(said[-1])
    assert code == 0
    assert len(venue.asked) == figures["chunks"] == 6
    assert figures["candles"] == 2 * len(a_day()) == 2 * 1439
    assert "BTC-USDT: 1,439 of 1,439 candles, no gaps" in said
    for symbol in SYMBOLS:
        assert opened(tmp_path, symbol) == a_day()
    assert (figures["weight"], figures["refused"], figures["failed"]) == (6, 0, 0)


def test_what_is_there_is_not_fetched_again(tmp_path: Path) -> None:
    venue = CandleVenue()
    run(venue, tmp_path, symbols=["BTC-USDT"], start="12h")
    venue.asked.clear()
    code, _ = run(venue, tmp_path, symbols=["BTC-USDT"], batch="700")
    middle = a_day()[-719]
    assert [(start, end // MINUTE_MS * MINUTE_MS) for _, start, end in venue.asked] == [
        (a_day()[0], a_day()[699]),
        (a_day()[700], middle - MINUTE_MS),
    ]
    assert opened(tmp_path, "BTC-USDT") == a_day()
    venue.asked.clear()
    assert run(venue, tmp_path, symbols=["BTC-USDT"])[0] == code == 0
    assert venue.asked == []


def test_gaps_are_named(tmp_path: Path) -> None:
    venue = CandleVenue()
    venue.holes = set(a_day()[100:103]) | {a_day()[-1]}
    code, said = run(venue, tmp_path, symbols=["BTC-USDT"])
    assert code == 0
    (sentence,) = [text for text in said if text.startswith("BTC-USDT:")]
    assert sentence.startswith(
        "BTC-USDT: 1,435 of 1,439 candles; 2 gaps: 2024-10-03 01:41:00 to 2024-10-03 01:43:00"
    )
    assert json.loads(said[-1])["symbols"]["BTC-USDT"]["gaps"] == 2


def test_a_chunk_the_venue_refuses_fails_alone(tmp_path: Path) -> None:
    venue = CandleVenue()
    bad = a_day()[500]
    refusal = {"retCode": 10001, "retMsg": "params error", "result": {}}
    venue.answer = lambda symbol, start: (
        web.json_response(refusal) if start == bad and symbol == "BTCUSDT" else None
    )
    code, said = run(venue, tmp_path, batch="500")
    assert code == 1
    assert json.loads(said[-1])["failed"] == 1
    assert any("10001: params error" in text for text in said)
    assert opened(tmp_path, "BTC-USDT") == a_day()[:500] + a_day()[1000:]
    assert opened(tmp_path, "ETH-USDT") == a_day()


def test_a_venue_that_breaks_now_and_then_is_asked_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("feeds.rest.RETRY_FIRST_S", 0.001)
    chance = random.Random(5)
    venue = CandleVenue()
    venue.answer = lambda symbol, start: web.Response(status=503) if chance.random() < 0.5 else None
    code, _ = run(venue, tmp_path, batch="100")
    assert code == 0
    assert opened(tmp_path, "BTC-USDT") == opened(tmp_path, "ETH-USDT") == a_day()


def test_a_venue_that_stays_broken_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("feeds.rest.RETRY_FIRST_S", 0.001)
    venue = CandleVenue()
    venue.answer = lambda symbol, start: web.Response(status=503)
    code, said = run(venue, tmp_path)
    assert code == 1
    assert "HTTP 503" in json.loads(said[-1])["stopped"]


def test_candles_in_finer_units_than_today_s_are_kept(tmp_path: Path) -> None:
    venue = CandleVenue()

    def finer(symbol: str, start: int) -> web.Response | None:
        if start != a_day()[0]:
            return None
        row = [str(start), "100.0505", "100.0505", "100.0505", "100.0505", "1.25", "1"]
        return web.json_response({"retCode": 0, "result": {"list": [row]}})

    venue.answer = finer
    assert run(venue, tmp_path, symbols=["BTC-USDT"])[0] == 0
    rows, decimals = read(path_of(tmp_path, "bybit_spot", "BTC-USDT", 60), 60).rows()
    assert rows["close"][0] == 1_000_505 * 10 ** (decimals[0] - 4)
    assert rows["close"][-1] % 10 ** (decimals[0] - 1) == 0


def test_a_full_disk_ends_it_and_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written = 0

    def fills_up(file: int, data: bytes) -> None:
        nonlocal written
        written += 1
        if written > 3:
            os.write(file, data[:100])
            raise OSError(errno.ENOSPC, "No space left on device")
        os.write(file, data)

    with monkeypatch.context() as patch:
        patch.setattr("feeds.history_store.write_all", fills_up)
        with pytest.raises(BadDataFolder, match="No space left"):
            run(CandleVenue(), tmp_path, batch="100")
    venue = CandleVenue()
    code, said = run(venue, tmp_path, batch="100")
    assert code == 0
    assert any("bytes of an unfinished chunk were dropped" in text for text in said)
    assert len(venue.asked) == 30 - 3
    assert opened(tmp_path, "BTC-USDT") == opened(tmp_path, "ETH-USDT") == a_day()


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"symbols": ["DOGE"]}, "symbols"),
        ({"interval": "7m"}, "--interval"),
        ({"concurrency": "0"}, "--concurrency"),
        ({"batch": "5000"}, "--batch"),
        ({"start": "now"}, "--from"),
    ],
)
def test_what_cannot_be_fetched(tmp_path: Path, options: dict[str, Any], word: str) -> None:
    with pytest.raises(BadSetting, match=word):
        run(CandleVenue(), tmp_path, **options)
    assert list(tmp_path.rglob("*.candles")) == []


def test_a_killed_download_goes_on_without_fetching_twice(tmp_path: Path) -> None:
    venue = CandleVenue()
    venue.delay_s = 0.01

    async def go() -> tuple[list, list]:
        async with venue.serving() as base:
            child = await asyncio.create_subprocess_exec(
                sys.executable, str(CHILD), str(tmp_path), base, "10", stdout=asyncio.subprocess.PIPE
            )
            async with asyncio.timeout(60):
                while len(venue.asked) < 80:
                    venue.on_asked.clear()
                    await venue.on_asked.wait()
            os.kill(child.pid, signal.SIGKILL)
            await child.communicate()
            before = list(venue.asked)
            held = [
                (name, chunk.start_ns // 10**6)
                for symbol, name in (("BTC-USDT", "BTCUSDT"), ("ETH-USDT", "ETHUSDT"))
                for chunk in read(path_of(tmp_path, "bybit_spot", symbol, 60), 60).chunks
            ]
            assert len(before) - len(held) <= 4, "only what was under way is lost"
            assert len(held) > 50
            venue.asked.clear()
            venue.delay_s = 0.0
            assert await download(tmp_path, base, batch="10", say=lambda text: None) == 0
            return held, list(venue.asked)

    held, asked = asyncio.run(go())
    assert not set(held) & {(symbol, start) for symbol, start, _ in asked}
    assert len(held) + len(asked) == 2 * 144
    for symbol in SYMBOLS:
        assert opened(tmp_path, symbol) == a_day()


def test_a_sweep_waits_between_cells_and_ends_each_in_time(tmp_path: Path) -> None:
    venue = CandleVenue()
    venue.delay_s = 0.3
    before = time.monotonic()
    code, said = run(venue, tmp_path, sweep=True, cell_s=1.0, concurrency="1", batch="10,20", window_s=1.0)
    cells = json.loads(said[-1])["cells"]
    assert code == 0
    assert all(0 < cell["calls"] <= 3 for cell in cells)
    assert time.monotonic() - before > 3.0, "the second cell waits for the first one's calls to be forgotten"


def test_a_sweep_measures_each_pair_and_keeps_nothing(tmp_path: Path) -> None:
    venue = CandleVenue()
    code, said = run(
        *(venue, tmp_path),
        sweep=True,
        cell_s=20.0,
        concurrency="1,4",
        batch="100,1000",
        symbols=["BTC-USDT"],
        window_s=0.2,
    )
    cells = json.loads(said[-1])["cells"]
    assert code == 0
    assert [(cell["batch"], cell["concurrency"]) for cell in cells] == [
        (100, 1),
        (100, 4),
        (1000, 1),
        (1000, 4),
    ]
    assert all(cell["candles"] == 1439 and cell["refused"] == 0 for cell in cells)
    assert all(0 < cell["mean_ms"] <= cell["p99_ms"] for cell in cells)
    assert [cell["weight"] for cell in cells] == [15, 15, 2, 2]
    assert list(tmp_path.rglob("*.candles")) == []


@pytest.mark.parametrize("market", list(DIALECTS))
def test_every_market_of_the_local_venue(market: str, tmp_path: Path) -> None:
    dialect = DIALECTS[market]
    symbol = dialect.default_symbols[0]
    said: list[str] = []

    async def go() -> int:
        desk = LimitDesk(rules.load())
        async with LocalVenue(symbols=3) as venue:
            try:
                return await history.main(
                    *(dialect, desk, [symbol]),
                    start="5h",
                    batch="100",
                    folder=tmp_path,
                    base=venue.url,
                    say=said.append,
                )
            finally:
                desk.close()

    assert asyncio.run(go()) == 0
    figures = json.loads(said[-1])
    found = figures["symbols"][symbol]
    assert found["candles"] == found["expected"] in (299, 300)
    assert (found["gaps"], found["wrong"]) == (0, [])
    assert (figures["chunks"], figures["refused"], figures["failed"]) == (3, 0, 0)
    assert figures["weight"] > 0
