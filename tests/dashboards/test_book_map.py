"""The liquidity heatmap: columns, their codes, deltas, the CSV."""

from __future__ import annotations

import csv
import io
import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dashboards.streams.book_map import (
    CODES,
    DECADES,
    JOINS,
    MOST,
    ROWS_LEAST,
    ROWS_MOST,
    STEP_S,
    Raster,
    coded,
    columns,
    drawn,
    raster,
)
from dashboards.view import WINDOWS_S, ticks
from engine.errors import BadCommand
from engine.market.batches import LEVEL, TRADE, Batch, Kind
from engine.market.instruments import format_decimal
from engine.telemetry.book_frames import BINS, FRAME
from tests.dashboards.test_transport import Page
from tests.engine.markets import BUY, SECOND, SELL, START, Desk

LETTERS = CODES.tobytes().decode()
NAMES = ("t", "bin", "first", "bid", "ask", "bought", "bought_at", "sold", "sold_at", "z")


def size_of(letter: str, most: int) -> float | None:
    """What a letter of the wire says, as the contract has it."""
    if letter == ".":
        return None
    code = LETTERS.index(letter)
    return float(most * 10 ** (DECADES * ((code - 1) / (MOST - 1) - 1)) if code else 0)


def market(seconds: int, desk: Desk | None = None, start: int = 0) -> Desk:
    """A book of 20 levels a side whose best prices rise by one each second, with trades on both sides."""
    desk = desk or Desk().at(0).snapshot([(10_000, 50)], [(10_002, 60)])
    for second in range(start, start + seconds):
        desk.at(second)
        bids = [(9_999 + second - k, 100 + k) for k in range(20)]
        asks = [(10_002 + second + k, 200 + k) for k in range(20)]
        desk.snapshot(bids, asks).trade(10_001 + second, 10).trade(10_000 + second, 4, SELL)
    return desk


def long_market(seconds: int, desk: Desk | None = None, start: int = 0, every: int = 1) -> Desk:
    """Many seconds (the last of each `every`) of one book, a purchase of 2 in each, not by way of the intake."""
    desk = desk or market(2)
    rings = desk.telemetry.market(desk.source.key, "BTC-USDT")
    row = np.zeros(1, TRADE)
    row["price"], row["size"], row["aggressor"] = 10_001, 2, BUY
    book = np.array([(10_000, 50)], LEVEL), np.array([(10_002, 60)], LEVEL)
    for second in range(max(start, 2), start + seconds):
        if second % every != every - 1:
            continue
        rings.trades.publish(row)
        rings.frames.add(START + second * SECOND, book, rings.trades, 1)
    desk.now = START + (start + seconds) * SECOND
    return desk


def merged(held: dict[int, Any], stream: dict[str, Any]) -> dict[int, Any]:
    """What a browser keeps: columns by their time."""
    if stream["reset"]:
        held = {}
    for i, t in enumerate(stream["t"]):
        held[t] = {name: stream[name][i] for name in NAMES}
    return {t: row for t, row in held.items() if t >= stream["keep"]}


@given(st.lists(st.one_of(st.none(), st.floats(0, 1e9)), min_size=BINS, max_size=BINS))
def test_codes_tell_sizes_to_a_tenth(sizes: list[float | None]) -> None:
    most = 10**9
    given_sizes = np.array([np.nan if size is None else size for size in sizes], np.float32)
    for size, letter in zip(given_sizes.tolist(), coded(given_sizes, most), strict=True):
        told = size_of(letter, most)
        if np.isnan(size):
            assert told is None
        elif size == 0:
            assert told == 0
        else:
            assert told is not None
            assert told == pytest.approx(max(size, most / 10**DECADES), rel=0.1)


def test_each_second_is_a_column_with_its_book_and_trades() -> None:
    desk = market(10)
    stream = Page(desk, ["book_map"]).stream("book_map")
    rows = desk.telemetry.market("binance_spot:replay", "BTC-USDT").frames.fine.since(0).rows
    assert stream["t"] == (rows["ts_ns"] // 1_000_000).tolist()
    assert stream["bid"] == [9_999 + second for second in range(9)]
    assert stream["ask"] == [10_002 + second for second in range(9)]
    # The first second's trades came before there was a frame to hold them.
    assert stream["bought"][1:] == [10] * 8
    assert stream["sold_at"][1:] == [10_000 + second for second in range(1, 9)]
    for sizes, text in zip(rows["sizes"], stream["z"], strict=True):
        told = [size_of(letter, stream["most"]) for letter in text]
        assert told == [None if np.isnan(size) else pytest.approx(float(size), rel=0.1) for size in sizes]


@pytest.mark.parametrize("window", WINDOWS_S)
def test_deltas_come_to_what_a_page_that_comes_later_is_sent_at_once(window: int) -> None:
    desk = market(5)
    turns = max(7, 25 * STEP_S[window] // 60)  # seconds between two polls
    page, held = Page(desk, ["book_map"], window=window), {}
    for turn in range(8):
        held = merged(held, page.stream("book_map"))
        desk = market(turns, desk, 5 + turn * turns)
    held = merged(held, page.stream("book_map"))
    whole = Page(desk, ["book_map"], window=window).stream("book_map")
    assert held == merged({}, whole)
    assert len(held) >= 8 * turns // STEP_S[window] > 0


@pytest.mark.parametrize("window", WINDOWS_S)
def test_a_window_is_columns_of_its_step_with_every_trade_of_them(window: int) -> None:
    step = STEP_S[window]
    desk = market(2 * step + 61)
    stream = Page(desk, ["book_map"], window=window).stream("book_map")
    first = START // 1_000_000
    assert stream["step"] == step
    assert set(np.diff(stream["t"]).tolist()) == {1000 * step}
    assert stream["t"][0] % (1000 * step) == 0
    # The first column begins before the first frame, the newest one runs.
    for at in range(1, len(stream["t"]) - 1):
        newest = (stream["t"][at] - first) // 1000 + step - 1
        assert (stream["bought"][at], stream["sold"][at]) == (10 * step, 4 * step)
        assert (stream["bid"][at], stream["ask"][at]) == (9_999 + newest, 10_002 + newest)
        assert stream["bought_at"][at] == pytest.approx(10_001 + newest - (step - 1) / 2, abs=1)
    assert len(stream["t"]) > 2


def test_a_long_window_keeps_its_columns_when_seconds_are_skipped() -> None:
    desk = market(29)
    desk.at(30)  # the thirtieth second is skipped: the loop stood still
    market(31, desk, 30)
    stream = Page(desk, ["book_map"], window=3_600).stream("book_map")
    assert stream["t"] == [START // SECOND * 1000 + 30_000 * k for k in range(2)]
    assert stream["bought"][0] == 10 * 28
    assert stream["bought"][1] == 10 * 30


@pytest.mark.parametrize("window", [300, 3_600, 14_400])
def test_what_is_not_known_for_part_of_a_column_is_not_known_at_any_window(window: int) -> None:
    step = STEP_S[window]
    desk = market(9)
    desk.intake.interrupted(desk.source, ["BTC-USDT"], "a test")
    desk.at(11)
    market(2 * step + 60, desk, 11)
    stream = Page(desk, ["book_map"], window=window).stream("book_map")
    unknown = [t // 1000 for t, text in zip(stream["t"], stream["z"], strict=True) if not text]
    broken = {(START // SECOND + second) // step * step for second in (8, 9)}
    assert unknown == sorted(broken)


def test_a_second_of_more_trades_than_the_tape_keeps_is_told_whole() -> None:
    desk = market(3)
    row = np.zeros(20_000, TRADE)
    row["ts_event_ns"] = row["ts_recv_ns"] = desk.now
    row["price"], row["size"], row["aggressor"] = 10_005, 1, BUY
    for _ in range(2):
        desk.intake.on_batch(Batch(Kind.TRADES, desk.source, "BTC-USDT", row))
    market(2, desk, 3)
    assert max(Page(desk, ["book_map"]).stream("book_map")["bought"]) == 40_000 + 10


# The most seconds that a window's first column begins before it: none, 5 of 6, 119 of 120.
@pytest.mark.parametrize(("window", "seconds"), [(900, 1_104), (900, 1_103), (14_400, 14_759)])
def test_the_whole_window_is_exported_also_after_a_pause_of_two_minutes(window: int, seconds: int) -> None:
    every = STEP_S[window] // 6
    desk = long_market(seconds, every=every)
    page = Page(desk, ["book_map"], window=window)
    answer = page.poll()
    stream = answer["streams"]["book_map"]
    assert stream["t"][0] == stream["keep"]
    long_market(120, desk, seconds, every)
    _, text = page.transport.export(
        {"chart": "book_map", "view": answer["v"], "client": "tab", "range": None}
    )
    rows = list(csv.DictReader(io.StringIO(text)))
    assert sorted({int(row["epoch_ms"]) for row in rows}) == stream["t"]
    bought = {int(row["epoch_ms"]): row["bought"] for row in rows if row["bought"]}
    assert bought == {
        t: format_decimal(size, 5) for t, size in zip(stream["t"], stream["bought"], strict=True) if size
    }


def test_columns_that_are_no_longer_kept_are_not_exported_as_if_they_were_all() -> None:
    desk = long_market(1_100)
    page = Page(desk, ["book_map"], window=900)
    answer = page.poll()
    stream = answer["streams"]["book_map"]
    long_market(400, desk, 1_100)
    request = {"chart": "book_map", "view": answer["v"], "client": "tab", "range": None}
    with pytest.raises(BadCommand, match="no longer kept"):
        page.transport.export(request)
    low, high = stream["t"][-60], stream["t"][-1] + 6_000
    _, text = page.transport.export(request | {"range": [low, high]})
    rows = list(csv.DictReader(io.StringIO(text)))
    assert sorted({int(row["epoch_ms"]) for row in rows}) == stream["t"][-60:]


def test_a_page_that_stood_longer_than_the_window_draws_no_column_of_which_a_part_is_lost() -> None:
    desk = long_market(100)
    page = Page(desk, ["book_map"], window=900)
    page.poll()
    long_market(1_300, desk, 100)
    stream = page.stream("book_map")
    whole = Page(desk, ["book_map"], window=900).stream("book_map")
    assert stream["lost"] > 0
    assert {name: stream[name] for name in ("t", "bid", "bought")} == {
        name: whole[name] for name in ("t", "bid", "bought")
    }
    assert stream["bought"][:-1] == [2 * 6] * (len(stream["t"]) - 1)


def test_nothing_is_sent_twice_and_a_refresh_is_small() -> None:
    desk = market(20)
    page = Page(desk, ["book_map"])
    page.poll()
    again = page.stream("book_map")
    assert (again["t"], again["reset"]) == ([], False)
    market(1, desk, 20)
    fresh = page.stream("book_map")
    assert fresh["t"] == [(START // SECOND + 19) * 1000]
    assert len(json.dumps(fresh)) < 1_500


def test_a_column_is_never_made_of_too_little_for_any_window() -> None:
    for window in WINDOWS_S:
        assert window / STEP_S[window] <= 150


def test_a_size_above_the_scale_sends_all_again_on_a_larger_one() -> None:
    desk = market(5)
    page = Page(desk, ["book_map"])
    first = page.stream("book_map")
    desk.at(5).snapshot([(10_000, 5_000_000)], [(10_002, 5)]).at(7)
    stream = page.stream("book_map")
    assert stream["reset"]
    assert stream["most"] == 10_000_000 > first["most"]
    assert set(first["t"]) < set(stream["t"])


def test_a_column_with_a_second_without_a_right_book_is_not_known() -> None:
    desk = market(10)
    page = Page(desk, ["book_map"], window=300)
    desk.intake.interrupted(desk.source, ["BTC-USDT"], "a test")
    desk.at(11)
    market(5, desk, 11)
    stream = page.stream("book_map")
    unknown = [
        t // 1000 - START // SECOND for t, text in zip(stream["t"], stream["z"], strict=True) if not text
    ]
    assert unknown == [8]  # the book broke in second 9, which is of this column
    at = stream["t"].index((START // SECOND + 8) * 1000)
    assert (stream["bid"][at], stream["ask"][at]) == (None, None)
    assert stream["gaps"]


def test_columns_add_trades_up_and_take_the_newest_book() -> None:
    rows = np.zeros(4, FRAME)
    rows["ts_ns"] = np.array([10, 11, 12, 14]) * SECOND
    rows["synced"] = 1
    rows["bid"] = [5, 6, 7, 8]
    rows["bought"], rows["bought_price"] = [10, 30, 0, 1], [100, 200, 0, 9]
    found = columns(rows, 2 * SECOND)
    assert (found.starts_ns // SECOND).tolist() == [10, 12, 14]
    assert found.frames["bid"].tolist() == [6, 7, 8]
    assert found.bought == [(40, 175), (0, 0), (1, 9)]
    assert len(columns(rows[:0], SECOND).frames) == 0


def test_csv_is_every_known_bin_of_the_visible_columns() -> None:
    desk = market(6)
    page = Page(desk, ["book_map"])
    answer = page.poll()
    stream = answer["streams"]["book_map"]
    market(3, desk, 6)
    low, high = stream["t"][1], stream["t"][2] + 1
    name, text = page.transport.export(
        {"chart": "book_map", "view": answer["v"], "client": "tab", "range": [low, high]}
    )
    rows = list(csv.DictReader(io.StringIO(text)))
    assert "book_map" in name
    assert {int(row["epoch_ms"]) for row in rows} == {low, high - 1}
    first = [row for row in rows if int(row["epoch_ms"]) == low]
    assert len(first) == sum(letter != "." for letter in stream["z"][1])
    sizes = {row["price_from"]: row["size"] for row in first}
    assert sizes["100.00"] == "0.00100"  # bid 10,000 of the second's book
    assert [row["bought"] for row in first if row["bought"]] == ["0.00010"]
    with pytest.raises(BadCommand):
        page.transport.export({"chart": "book_map", "view": 10**6, "client": "tab", "range": None})


PRICES = st.integers(1_000, 10**9)


@given(PRICES, st.integers(0, 10**6), st.sampled_from([1, 2, 5, 20, 500]), st.integers(0, 10**7))
def test_rows_are_whole_bins_joined_bounded_and_nearest_to_what_is_asked(
    low: int, way: int, unit: int, asked: int
) -> None:
    held = ((low // unit - 64) * unit, ((low + way) // unit + 64) * unit)
    rows = raster(unit, (low, low + way), held, asked)
    assert list(rows.offered) == sorted(rows.offered)
    assert all(offered // unit in JOINS and offered % unit == 0 for offered in rows.offered)
    assert rows.unit * ROWS_LEAST <= held[1] - held[0]
    assert rows.count <= ROWS_MOST or rows.offered == (unit * JOINS[-1],)
    # All of the mid's way, and no row of which the frames say nothing.
    assert rows.first * rows.unit <= low
    assert low + way <= (rows.first + rows.count) * rows.unit
    assert held[0] < (rows.first + 1) * rows.unit
    assert (rows.first + rows.count - 1) * rows.unit < held[1]
    if asked:
        far = [max(offered / asked, asked / offered) for offered in rows.offered]
        assert rows.unit == rows.offered[far.index(min(far))]
    else:
        assert rows.unit == rows.offered[0]
    for offered in rows.offered:
        assert raster(unit, (low, low + way), held, offered).unit == offered


@given(
    st.lists(st.one_of(st.none(), st.integers(0, 1_000)), min_size=BINS, max_size=BINS),
    st.sampled_from([1, 2, 5, 20, 50]),
    st.integers(0, 500),
    st.sampled_from([1, 2, 5, 10, 20, 100]),
    st.integers(-60, 60),
)
def test_a_row_holds_all_of_its_bins_and_only_what_is_known(
    sizes: list[int | None], step: int, first: int, unit: int, shift: int
) -> None:
    rows = Raster(first * step // unit + shift, 40, unit, step, ())
    given_sizes = np.array([np.nan if size is None else size for size in sizes], np.float32)
    wanted: dict[tuple[int, int], float] = {}
    wide = max(unit, step)
    for place, size in enumerate(sizes):
        low = (first + place) * step // wide * wide
        inside = low + wide > rows.first * unit and low < (rows.first + rows.count) * unit
        whole = low >= first * step and low + wide <= (first + BINS) * step
        if size is not None and inside and whole:
            wanted[low, low + wide] = wanted.get((low, low + wide), 0) + size
    assert drawn(given_sizes, step, first, rows) == [(*edges, size) for edges, size in wanted.items()]


@pytest.mark.parametrize(
    ("given_text", "found"),
    [("50", 50), ("1", 1), ("10000000", 10**7), ("0050", 50)]
    + [(bad, 0) for bad in ("", "0", "-5", "1.5", "10000001", "999999999", "\u0665", None, 50, "five")],
)
def test_what_is_no_number_of_ticks_asks_for_none(given_text: object, found: int) -> None:
    assert ticks(given_text) == found


def test_another_choice_is_told_at_once_and_the_same_not_again() -> None:
    desk = market(10)
    page = Page(desk, ["book_map"])
    rows = page.stream("book_map")["raster"]
    assert (rows["unit"], rows["asked"], rows["bin"]) == (1, 0, 1)
    assert rows["offered"] == [1, 2, 5, 10]
    assert "raster" not in page.stream("book_map")
    page.params["rows"] = "5"
    stream = page.stream("book_map")
    assert (stream["t"], stream["reset"]) == ([], False)
    assert (stream["raster"]["unit"], stream["raster"]["asked"]) == (5, 5)
    assert "raster" not in page.stream("book_map")
    page.params["rows"] = "4000"  # so coarse that nothing would be told apart
    assert page.stream("book_map")["raster"] | {"first": 0, "count": 0} == {
        **{"first": 0, "count": 0, "unit": 10, "bin": 1, "asked": 4_000},
        **{"offered": [1, 2, 5, 10], "tick": 1},
    }
    market(1, desk, 10)
    assert len(page.stream("book_map")["t"]) == 1


def test_csv_is_in_the_rows_that_are_drawn() -> None:
    desk = market(9)
    page = Page(desk, ["book_map"], rows="5")
    answer = page.poll()
    _, text = page.transport.export(
        {"chart": "book_map", "view": answer["v"], "client": "tab", "range": None}
    )
    found = list(csv.DictReader(io.StringIO(text)))
    cells = {
        (int(row["epoch_ms"]), round(float(row["price_from"]) * 100)): round(float(row["size"]) * 10**5)
        for row in found
    }
    assert all(round((float(r["price_below"]) - float(r["price_from"])) * 100) == 5 for r in found)
    frames = desk.telemetry.market("binance_spot:replay", "BTC-USDT").frames.fine.since(0).rows
    for frame in frames:
        known = {int(frame["first"]) + at: size for at, size in enumerate(frame["sizes"]) if size == size}
        wanted: dict[int, float] = {}
        for price, size in known.items():
            wanted[price // 5 * 5] = wanted.get(price // 5 * 5, 0) + size
        at = int(frame["ts_ns"]) // 1_000_000
        assert {price: size for (t, price), size in cells.items() if t == at} == wanted
