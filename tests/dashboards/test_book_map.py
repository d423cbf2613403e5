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

from dashboards.streams.book_map import CODES, DECADES, MOST, STEP_S, coded, columns
from dashboards.view import WINDOWS_S
from engine.errors import BadCommand
from engine.telemetry.book_frames import BINS, FRAME
from tests.dashboards.test_transport import Page
from tests.engine.markets import SECOND, SELL, START, Desk

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


@pytest.mark.parametrize("window", [60, 300, 900])
def test_deltas_come_to_what_a_page_that_comes_later_is_sent_at_once(window: int) -> None:
    desk = market(5)
    page, held = Page(desk, ["book_map"], window=window), {}
    for turn in range(8):
        held = merged(held, page.stream("book_map"))
        desk = market(7, desk, 5 + turn * 7)
    held = merged(held, page.stream("book_map"))
    whole = Page(desk, ["book_map"], window=window).stream("book_map")
    assert held == merged({}, whole)
    assert len(held) > 50 // STEP_S[window]


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
    low, high = stream["t"][1], stream["t"][2]
    name, text = page.transport.export(
        {"chart": "book_map", "view": answer["v"], "client": "tab", "range": [low, high]}
    )
    rows = list(csv.DictReader(io.StringIO(text)))
    assert "book_map" in name
    assert {int(row["epoch_ms"]) for row in rows} == {low, high}
    first = [row for row in rows if int(row["epoch_ms"]) == low]
    assert len(first) == sum(letter != "." for letter in stream["z"][1])
    sizes = {row["price_from"]: row["size"] for row in first}
    assert sizes["100.00"] == "0.00100"  # bid 10,000 of the second's book
    assert [row["bought"] for row in first if row["bought"]] == ["0.00010"]
    with pytest.raises(BadCommand):
        page.transport.export({"chart": "book_map", "view": 10**6, "client": "tab", "range": None})
