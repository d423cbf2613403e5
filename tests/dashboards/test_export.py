"""CSV: the same numbers as the drawn view, whatever happened since; names, guards and refusals."""

from __future__ import annotations

import csv
import io
from typing import Any

import numpy as np
import pytest

from dashboards.sheet import OF_ALL, guarded, in_sight, x_range
from dashboards.view import VIEWS_A_PAGE
from engine.errors import BadCommand
from tests.dashboards.test_transport import ALL, Page, busy, matched
from tests.engine.markets import SECOND, START, Desk


def table(page: Page, chart: str, view: int, **more: Any) -> list[dict[str, str]]:
    _, text = page.transport.export({"chart": chart, "view": view, "client": "tab", "range": None, **more})
    return list(csv.DictReader(io.StringIO(text)))


def test_candles_are_those_of_the_view_though_time_went_on() -> None:
    desk = busy(5)
    page = Page(desk)
    answer = page.poll()
    drawn = answer["streams"]["candles"]
    busy(20, desk, 5)
    rows = table(page, "candles", answer["v"])
    assert [int(row["epoch_ms"]) for row in rows] == drawn["t"]
    assert [row["close"] for row in rows] == [f"{close / 100:.2f}" for close in drawn["c"]]
    assert [row["volume"] for row in rows] == [f"{volume / 1e5:.5f}" for volume in drawn["v"]]
    assert [row["provisional"] for row in rows] == ["0"] * (len(rows) - 1) + ["1"]
    assert rows[0]["time_utc"].endswith("Z")


def test_depth_is_the_drawn_book_with_running_sums() -> None:
    desk = Desk().snapshot([(10_000, 5), (9_999, 7)], [(10_001, 2)]).at(0.1)
    page = Page(desk)
    view = page.poll()["v"]
    desk.delta([(10_000, 0)], []).at(0.2)
    rows = table(page, "depth", view)
    assert [(r["side"], r["price"], r["size"], r["cumulative_size"]) for r in rows] == [
        ("bid", "100.00", "0.00005", "0.00005"),
        ("bid", "99.99", "0.00007", "0.00012"),
        ("ask", "100.01", "0.00002", "0.00002"),
    ]


def test_latency_and_throughput_are_the_drawn_rows() -> None:
    desk = busy(6)
    page = Page(desk, stage="receive")
    answer = page.poll()
    busy(3, desk, 6)
    drawn = answer["streams"]["latency"]
    rows = table(page, "latency", answer["v"])
    assert [int(row["epoch_ms"]) for row in rows] == [
        t for t, p in zip(drawn["t"], drawn["p50"], strict=True) if p is not None
    ]
    held = [k for k, p in enumerate(drawn["p50"]) if p is not None]
    for name in ("p50", "p90", "p99", "p999"):
        cells = [int(row[f"{name}_ns"]) / 1e3 if row[f"{name}_ns"] else None for row in rows]
        assert cells == [
            p if p is None else pytest.approx(p, rel=0.01) for p in (drawn[name][k] for k in held)
        ]
    assert {row["p999_ns"] for row in rows} == {""}  # a thousand samples would tell it
    drawn = answer["streams"]["throughput"]
    rows = table(page, "throughput", answer["v"], part="trades")
    values = [(t, v) for t, v in zip(drawn["t"], drawn["series"][0]["trades"], strict=True) if v is not None]
    assert [(int(row["epoch_ms"]), float(row["per_s"])) for row in rows] == values
    assert {row["counts"] for row in rows} == {"trades"}
    (total,) = table(page, "throughput", answer["v"], part="totals")
    assert float(total["trades_total"]) == sum(v for _, v in values)
    assert float(total["trades_peak_per_s"]) == max(v for _, v in values)
    assert {row["counts"] for row in table(page, "throughput", answer["v"])} == {"messages"}
    assert list(table(page, "latency", answer["v"], part="count")[0]) == [
        "time_utc",
        "epoch_ms",
        "stage",
        "samples",
    ]


def test_the_range_drawn_is_the_range_exported() -> None:
    page = Page(busy(8))
    answer = page.poll()
    t = answer["streams"]["candles"]["t"]
    by_number = table(page, "candles", answer["v"], range=[t[2], t[4]])
    stamps = [np.datetime_as_string(np.datetime64(x, "ms")).item().replace("T", " ") for x in (t[2], t[4])]
    by_text = table(page, "candles", answer["v"], range=stamps)
    assert [int(row["epoch_ms"]) for row in by_number] == t[2:4]
    assert by_text == by_number


@pytest.mark.parametrize(
    "chart",
    ["candles", "studies", "indexed", "metrics", "latency", "throughput", "book_map", "latency_map"],
)
def test_what_the_edge_of_a_chart_cuts_is_in_its_csv_and_what_touches_it_is_not(chart: str) -> None:
    page = Page(busy(9), ["candles", "indexed"], stage="receive")
    view = page.poll()["v"]

    def times(low: int, high: int) -> list[int]:
        return sorted({int(row["epoch_ms"]) for row in table(page, chart, view, range=[low, high])})

    whole = times(0, 2**52)
    a, b, c = whole[2:5]
    assert (b - a, c - b) == (1_000, 1_000)
    assert times(a, c) == [a, b]
    assert times(a + 999, c + 1) == [a, b, c]
    assert times(b + 400, b + 600) == [b]


@pytest.mark.parametrize(
    ("start", "step", "seen"),
    [
        (9, 1, 0),
        (9, 2, 1),
        (10, 5, 1),
        (5, 90, 1),
        (19, 5, 1),
        (20, 5, 0),
        (10, 0, 1),
        (20, 0, 1),
        (21, 0, 0),
    ],
)
def test_in_sight_is_what_overlaps_the_view(start: int, step: int, seen: int) -> None:
    assert in_sight(start * 1_000_000, step * 1_000_000, 10, 20) is bool(seen)
    assert in_sight(start * 1_000_000, step * 1_000_000, -np.inf, np.inf)


def test_the_market_pages_candles_say_who_made_them() -> None:
    page = Page(busy(5), ["studies"], studies=["sma-2"])
    view = page.poll()["v"]
    plain, studied = table(page, "candles", view), table(page, "studies", view)
    assert [{name: row[name] for name in plain[0]} for row in studied] == plain
    assert {row["made_by"] for row in studied} == {"us"}
    assert list(studied[0])[-1] == "sma-2"


@pytest.mark.parametrize("chart", ALL)
def test_every_stream_exports_with_its_times_and_a_telling_name(chart: str) -> None:
    page = Page(busy(4))
    view = page.poll()["v"]
    name, text = page.transport.export({"chart": chart, "view": view, "client": "tab", "range": None})
    # A replay's own date and symbol are no name for what is counted of all sources, by our clock.
    whose = "engine_all" if chart in OF_ALL else "binance_spot-replay_BTC-USDT"
    assert name.startswith(f"venuescope_{whose}_{chart}")
    assert name.endswith(".csv")
    assert ":" not in name
    assert text.startswith("time_utc,epoch_ms")


def test_a_view_is_kept_for_16_polls_of_its_page_whatever_others_do() -> None:
    desk = busy(2)
    page = Page(desk, ["depth"])
    first = page.poll()["v"]
    for _ in range(100):
        page.transport.poll({"client": "another", "streams": ["depth"]}, {})
    assert table(page, "depth", first)
    for _ in range(VIEWS_A_PAGE):
        page.poll()
    with pytest.raises(BadCommand, match="no longer kept"):
        table(page, "depth", first)


@pytest.mark.parametrize(
    ("request_", "says"),
    [
        ({"chart": "nonsense"}, "no chart named"),
        ({"chart": "candles", "range": [1]}, "two values"),
        ({"chart": "candles", "range": ["x", "y"]}, "not two times"),
        ({"chart": "candles", "range": [1, 10**400]}, "not two times"),
        ({"chart": "health", "part": "secrets"}, "no table"),
        ({"chart": "candles", "view": "1"}, "no longer kept"),
    ],
)
def test_a_bad_request_is_refused_with_a_sentence(request_: dict[str, Any], says: str) -> None:
    page = Page(busy(2))
    view = page.poll()["v"]
    with pytest.raises(BadCommand, match=says):
        page.transport.export({"view": view, "client": "tab", "range": None, **request_})


def test_the_health_tables_exported_are_those_drawn() -> None:
    desk = busy(3)
    page = Page(desk)
    answer = page.poll()
    drawn = {row["name"]: row["written"] for row in answer["streams"]["health"]["rings"]}
    busy(5, desk, 3)
    rows = table(page, "health", answer["v"], part="rings")
    assert {row["name"]: int(row["written"]) for row in rows} == drawn


def test_the_matching_engines_tables_are_exported_without_their_lines() -> None:
    page = Page(matched(3), ["matching"])
    view = page.poll()["v"]
    (book,) = table(page, "matching", view, part="symbols")
    assert (book["symbol"], book["phase"], book["used"], book["slots"]) == ("BTC-USDT", "halted", "7", "16")
    rows = table(page, "matching", view, part="figures")
    assert {row["label"]: row["total"] for row in rows}["Commands/s"] == "120"
    assert "spark" not in rows[0]
    with pytest.raises(BadCommand, match="no table"):
        table(page, "matching", view, part="secrets")


def test_sizes_say_what_they_count() -> None:
    desk = busy(2)
    page = Page(desk)
    view = page.poll()["v"]
    for chart in ("depth", "candles", "trades"):
        assert {row["size_unit"] for row in table(page, chart, view)} == {"BTC"}


@pytest.mark.parametrize("cell", ["=1+1", "+cmd", "-2+3", "@x", "\tx", "\rx"])
def test_text_that_a_spreadsheet_would_run_is_quoted(cell: str) -> None:
    assert guarded(cell) == "'" + cell


@pytest.mark.parametrize("cell", ["-1.5", "-0.00001", "+3", "12", "plain", "", 5, -7])
def test_numbers_and_plain_text_are_left_alone(cell: object) -> None:
    assert guarded(cell) == cell


def test_events_with_foreign_text_are_guarded() -> None:
    desk = busy(2)
    desk.telemetry.events.add(START, "warn", "x", "malformed", "=HYPERLINK(1)")
    page = Page(desk)
    rows = table(page, "events", page.poll()["v"])
    assert rows[-1]["text"] == "'=HYPERLINK(1)"


def test_ranges_are_sorted_and_dates_are_utc() -> None:
    low, high = x_range(["2027-01-15 08:00:01.5", "2027-01-15 08:00:00"], dated=True)
    assert (low, high) == (START / 1e6, START / 1e6 + 1_500)
    assert START == 1_800_000_000 * SECOND
