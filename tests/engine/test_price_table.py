"""The table of latest prices on the console: exact, aligned, bounded, and quiet when nobody reads it."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
import time
from decimal import Decimal

import numpy as np
import pytest

from engine.market.sequencing import Rule
from engine.price_table import NOTHING, PriceRow, frame, price_rows, print_prices, text
from tests.engine.markets import BTC, SIM, START, Desk
from tests.engine.replays import Played


def row(symbol: str = "BTC-USDT", venue: str = "Binance Spot", last: str | None = "64000.10") -> PriceRow:
    price = None if last is None else Decimal(last)
    return PriceRow(venue, symbol, price, price, price, 0.5, price, 12.34, 0.05, "live")


def quoted() -> Desk:
    """A book of 640.00 to 640.10, the last trade at 640.05, and ten trades in each of some seconds."""
    desk = Desk().at(0).snapshot([(64_000, 5)], [(64_010, 2)])
    for tenth in range(200):
        desk.at(tenth / 10).trade(64_005)
    return desk.at(20.5)


def test_a_row_has_exact_prices_and_the_sources_own_age() -> None:
    desk = quoted()
    (found,) = price_rows(desk.telemetry, desk.now)
    assert (found.venue, found.symbol, found.state) == ("Test venue", "BTC-USDT", "live")
    assert (found.last, found.bid, found.ask) == (Decimal("640.05"), Decimal("640.00"), Decimal("640.10"))
    assert str(found.mid) == "640.050"
    assert found.spread_bp == pytest.approx(1.5624, abs=1e-3)
    assert found.trades_per_s == pytest.approx(10)
    assert found.age_s == pytest.approx(20.5)


def test_a_book_with_one_side_has_no_spread_and_no_mid() -> None:
    desk = Desk().at(0).snapshot([(64_000, 5)], []).at(0.5)
    (found,) = price_rows(desk.telemetry, desk.now)
    assert (found.bid, found.ask, found.mid, found.spread_bp, found.last) == (
        Decimal("640.00"),
        None,
        None,
        None,
        None,
    )
    assert (found.trades_per_s, found.state) == (0, "live")


def test_a_book_that_is_not_synced_says_so_and_so_does_its_source() -> None:
    desk = Desk().at(0).snapshot([(100, 5)], [(110, 2)]).at(0.5)
    desk.delta([(100, 6)], [], skip=3).at(0.6)
    assert [found.state for found in price_rows(desk.telemetry, desk.now)] == ["resyncing"]


def test_every_source_has_its_rows_in_the_boards_order() -> None:
    desk = quoted()
    desk.intake.open_source(SIM, "Built-in", [BTC], Rule.BINANCE_SPOT, lambda wall_ns: wall_ns)
    desk.source, desk.sequence = SIM, 0
    desk.snapshot([(1, 1)], [(2, 1)]).at(21)
    assert [found.venue for found in price_rows(desk.telemetry, desk.now)] == ["Test venue", "Built-in"]


def test_the_age_of_a_replay_is_by_its_own_clock() -> None:
    desk = Played().then(0).then(1).wait(3_600, step=60)
    (found,) = price_rows(desk.telemetry, desk.now)
    assert found.age_s == 0


def test_the_frame_has_decimals_for_prices_and_floats_for_the_rest() -> None:
    table = frame([row(), row("ETH-USDT", last=None)])
    assert table["last"].iloc[0] == Decimal("64000.10")
    assert [str(table[name].dtype) for name in ("spread_bp", "trades_per_s", "age_s")] == ["float64"] * 3
    assert len(table) == 2
    assert frame([]).empty


def test_the_text_is_aligned_and_exact() -> None:
    lines = text(frame([row(), row("DOGE-USDT", "OKX", last="0.0812345")]), START).splitlines()
    assert lines[0] == "2027-01-15 08:00:00 UTC"
    head, first, second = lines[1:]
    assert head.split() == [
        "venue",
        "symbol",
        "last",
        "bid",
        "ask",
        "spread",
        "bp",
        "mid",
        "trades/s",
        "age",
        "s",
        "state",
    ]
    assert first.split()[:2] == ["Binance", "Spot"]
    assert "64000.10" in first
    assert "0.0812345" in second
    for name in ("last", "bid", "ask"):  # right-aligned: they end below the end of their head
        end = head.index(f" {name}") + 1 + len(name)
        assert first[:end].endswith("64000.10"), name
        assert second[:end].endswith("0.0812345"), name
    assert first.index("BTC-USDT") == second.index("DOGE-USDT") == head.index("symbol")
    assert not any(line.endswith(" ") for line in lines)


def test_the_text_is_bounded_and_says_what_it_leaves_out() -> None:
    table = frame([row(f"S{number}-USDT") for number in range(140)])
    lines = text(table, START, rows_max=5).splitlines()
    assert len(lines) == 1 + 1 + 5 + 1
    assert lines[-1] == "and 135 more"


def test_what_is_missing_is_a_dash_and_no_prices_is_a_sentence() -> None:
    missing = PriceRow("V", "A-B", None, None, None, None, None, 0.0, None, "no book")
    assert text(frame([missing]), START).splitlines()[-1].split() == [
        "V",
        "A-B",
        *[NOTHING] * 5,
        "0.0",
        NOTHING,
        "no",
        "book",
    ]
    assert text(frame([]), START) == "2027-01-15 08:00:00 UTC  no prices yet\n"


def test_nothing_is_imported_before_it_is_asked_for() -> None:
    code = "import sys, engine.price_table; sys.exit('pandas' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=60).returncode == 0


def printed(desk: Desk, out: int, during: float) -> bool:
    """Whether printing ended by itself within `during` seconds."""

    async def run() -> bool:
        task = asyncio.create_task(print_prices(desk.telemetry, 0.01, wall=lambda: desk.now, out=out))
        done, _ = await asyncio.wait([task], timeout=during)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        for each in done:
            each.result()
        return bool(done)

    return asyncio.run(run())


@pytest.fixture
def pipe():  # type: ignore[no-untyped-def]
    ends = list(os.pipe())
    yield ends
    for end in ends:
        if end >= 0:
            os.close(end)


def test_the_table_is_written_again_and_again(pipe: list[int]) -> None:
    frame([])  # pandas is there
    assert not printed(quoted(), pipe[1], 0.5)
    got = os.read(pipe[0], 1 << 16).decode()
    assert got.count("2027-01-15 08:00:20 UTC") > 1
    assert "640.05" in got


def test_it_ends_quietly_when_nobody_reads_any_more(pipe: list[int]) -> None:
    os.close(pipe[0])
    pipe[0] = -1
    assert printed(quoted(), pipe[1], 10)


def test_output_that_is_held_back_holds_up_neither_the_loop_nor_the_end(pipe: list[int]) -> None:
    desk = Desk()
    os.set_blocking(pipe[1], False)
    while True:
        try:
            os.write(pipe[1], bytes(1 << 16))
        except BlockingIOError:
            break
    os.set_blocking(pipe[1], True)
    lags: list[float] = []

    async def run() -> None:
        task = asyncio.create_task(print_prices(desk.telemetry, 0.01, wall=lambda: desk.now, out=pipe[1]))
        for _ in range(20):
            began = time.perf_counter()
            await asyncio.sleep(0.01)
            lags.append(time.perf_counter() - began)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    began = time.perf_counter()
    asyncio.run(run())
    assert time.perf_counter() - began < 5
    assert np.median(lags) < 0.1
    held = [thread for thread in threading.enumerate() if thread.name == "price table"]
    assert len(held) == 1
    assert held[0].daemon
    while held[0].is_alive():  # let it end
        os.read(pipe[0], 1 << 16)
        held[0].join(0.05)


def test_output_that_is_full_for_a_moment_is_written_when_there_is_room(pipe: list[int]) -> None:
    os.set_blocking(pipe[1], False)
    read = bytearray()

    def drain() -> None:
        while data := os.read(pipe[0], 50):
            read.extend(data)

    drainer = threading.Thread(target=drain, daemon=True)
    drainer.start()
    assert not printed(quoted(), pipe[1], 0.3)
    os.close(pipe[1])
    pipe[1] = -1
    drainer.join(5)
    assert read.decode().count("Test venue") >= 1


def test_an_error_of_another_kind_is_not_swallowed() -> None:
    assert printed(quoted(), 9_999, 10)  # closed: as good as nobody reading
    with open("/dev/full", "wb", buffering=0) as full, pytest.raises(OSError, match="No space"):
        printed(quoted(), full.fileno(), 10)
