"""The store as pages get it: coverage by cell, parts when they change, exports of what was shown, downloads by id."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dashboards import history_coverage as coverage
from dashboards.history_coverage import DAY, FULL, HOUR, MINUTE, SECOND, Stretch
from dashboards.shell import create_app
from engine.errors import BadCommand
from engine.storage.views import GapView, SpanView
from tests.browser.history_source import HistorySource
from tests.dashboards.test_prices import Tab
from tests.reference import history_plain

CLOCK = 1_800_000_000.25  # 2027-01-15 08:00:00
NOW = 1_800_000_000 * SECOND
MIDNIGHT = NOW - NOW % DAY


class HistoryTab(Tab):
    """A browser tab at a played store whose clock stands until it is moved."""

    def __init__(self, mode: str = "live", **params: Any) -> None:
        self.now = CLOCK
        self.source: HistorySource = HistorySource(clock=lambda: self.now, history_s=4)
        if mode != "live":
            self.source.switch(mode)
        self.params = {"client": "tab", "streams": ["history"], "window": 60, **params}
        self.cursors: dict[str, Any] = {}
        self.answer: dict[str, Any] = {}


def history(tab: HistoryTab, **params: Any) -> dict[str, Any]:
    found: dict[str, Any] = tab.poll(**params)["history"]
    return found


def span(start: int, end: int, what: str = "trades", symbol: str = "BTC-USDT", size: int = 0) -> SpanView:
    return SpanView("binance_spot", symbol, what, start, end, 10, size)


def gap(start: int, end: int, state: Any = "open", what: str = "trades", symbol: str = "BTC-USDT") -> GapView:
    return GapView("binance_spot", symbol, what, start, end, "sequence gap", state, 0)


def cells(row: coverage.Row) -> list[tuple[int, int, int]]:
    return [shares for count, *rest in row.runs for shares in [tuple(rest[:3])] * count]  # type: ignore[misc]


HOUR_OF = Stretch("hour", NOW - HOUR, 60, MINUTE)


def only(spans: list[SpanView], gaps: list[GapView] | None = None, what: str = "") -> coverage.Row:
    (row,) = coverage.coverage(spans, gaps or [], HOUR_OF, NOW, what)
    return row


def test_a_cell_that_was_recorded_whole_is_full_and_one_in_part_is_not() -> None:
    row = only([span(NOW - 50 * MINUTE, NOW - 47 * MINUTE - 30 * SECOND)])
    assert cells(row)[9:14] == [(0, 0, 0), (FULL, 0, 0), (FULL, 0, 0), (500, 0, 0), (0, 0, 0)]
    assert sum(count for count, *_ in row.runs) == 60


def test_next_to_nothing_is_not_nothing_and_next_to_all_is_not_all() -> None:
    row = only(
        [span(NOW - 50 * MINUTE, NOW - 50 * MINUTE + 1), span(NOW - 49 * MINUTE, NOW - 48 * MINUTE - 1)]
    )
    assert cells(row)[10:12] == [(1, 0, 0), (FULL - 1, 0, 0)]


def test_a_hole_beats_a_span_that_claims_to_cover_it_and_what_was_fetched_is_told_apart() -> None:
    start = NOW - 30 * MINUTE
    lost = [gap(start, start + 30 * SECOND), gap(start + MINUTE, start + 2 * MINUTE, "filled")]
    row = only([span(start - MINUTE, start + 5 * MINUTE)], lost)
    assert cells(row)[29:33] == [(FULL, 0, 0), (500, 0, 500), (0, FULL, 0), (FULL, 0, 0)]
    assert row.holes == 1


def test_what_was_fetched_in_part_stays_a_hole() -> None:
    start = NOW - 30 * MINUTE
    row = only([span(start - MINUTE, start)], [gap(start, start + MINUTE, "partly filled")])
    assert cells(row)[30] == (0, 0, FULL)


def test_only_what_has_all_its_kinds_is_full() -> None:
    spans = [span(NOW - HOUR, NOW), span(NOW - 30 * MINUTE, NOW, "book")]
    row = only(spans)
    assert (row.kinds, cells(row)[0], cells(row)[-1]) == (("book", "trades"), (0, 0, 0), (FULL, 0, 0))
    assert (row.of, row.runs[0]) == (("book", "trades"), (30, 0, 0, 0, FULL))
    assert set(cells(only(spans, what="trades"))) == {(FULL, 0, 0)}


def test_a_hole_of_everything_and_one_of_the_whole_venue_count_for_each_kind() -> None:
    spans = [span(NOW - HOUR, NOW), span(NOW - HOUR, NOW, "book")]
    for lost in (gap(NOW - MINUTE, NOW, what="all"), gap(NOW - MINUTE, NOW, what="all", symbol="")):
        assert cells(only(spans, [lost]))[-1] == (0, 0, FULL)
    assert cells(only(spans, [gap(NOW - MINUTE, NOW, what="book")]))[-1] == (0, 0, FULL)
    assert cells(only(spans, [gap(NOW - MINUTE, NOW, symbol="ETH-USDT")]))[-1] == (FULL, 0, 0)


def test_the_running_cell_is_measured_against_what_of_it_is_over() -> None:
    now = NOW + 15 * SECOND
    (row,) = coverage.coverage(
        [span(NOW - HOUR, now - 2 * SECOND)], [], Stretch("hour", NOW, 60, MINUTE), now
    )
    assert cells(row)[0] == (FULL, 0, 0)  # the span goes on: the store is 2 s behind
    assert set(cells(row)[1:]) == {(0, 0, 0)}
    (row,) = coverage.coverage(
        [span(NOW - HOUR, NOW + 6 * SECOND)], [], Stretch("hour", NOW, 60, MINUTE), now
    )
    assert cells(row)[0] == (400, 0, 0)


TIMES = st.tuples(st.integers(-20, 260), st.integers(0, 120))


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(TIMES, st.sampled_from(["trades", "book"])), max_size=6),
    st.lists(
        st.tuples(TIMES, st.sampled_from(["trades", "all"]), st.sampled_from(["open", "filled"])), max_size=5
    ),
    st.integers(100, 250),
)
def test_cells_agree_with_counting_second_by_second(spans: Any, gaps: Any, over: int) -> None:
    base = NOW // SECOND

    def ns(times: tuple[int, int]) -> tuple[int, int]:
        return (base + times[0]) * SECOND, (base + times[0] + times[1]) * SECOND

    # Spans that end just now would be taken to go on, which the twin knows nothing of.
    made = [span(*ns(times), what) for times, what in spans if not 0 <= over - sum(times) <= 5]
    lost = [gap(*ns(times), state, what) for times, what, state in gaps]
    stretch = Stretch("test", NOW, 20, 12 * SECOND)
    rows = coverage.coverage(made, lost, stretch, NOW + over * SECOND)
    if not rows:
        assert not made
        return
    plain = history_plain.shares(made, lost, base, 20, 12, base + over)
    every = [shares for count, *shares in rows[0].runs for _ in range(count)]
    for cell, (shares, counted) in enumerate(zip(every, plain, strict=True)):
        length = max(0, min(12, over - cell * 12))
        for share, seconds in zip(shares, counted, strict=True):
            wanted = 0 if not seconds else FULL if seconds >= length else seconds * FULL // length
            assert share == wanted, cell


def test_a_day_of_candles_alone_is_not_recorded_and_a_venue_is_the_mean_of_its_symbols() -> None:
    spans = [
        span(NOW - HOUR, NOW, "candles"),
        span(NOW - HOUR, NOW - 50 * MINUTE),
        span(NOW - HOUR, NOW, symbol="ETH-USDT"),
        span(NOW - HOUR, NOW, "events", symbol=""),
    ]
    venue, btc, eth = coverage.coverage(spans, [], HOUR_OF, NOW)
    assert (btc.of, btc.shares, btc.runs[-1]) == (("trades",), (166, 0, 0, 833), (50, 0, 0, 0, FULL))
    assert (eth.shares[0], venue.of, venue.shares[0]) == (FULL, ("trades",), 583)
    assert coverage.coverage(spans[3:], [], HOUR_OF, NOW)[0].of == ("events",)


def test_short_interruptions_are_of_one_recording_and_the_one_before_is_known() -> None:
    spans = [
        span(NOW - 9 * HOUR, NOW - 8 * HOUR),
        span(NOW - 5 * HOUR, NOW - 3 * HOUR),
        span(NOW - 3 * HOUR + 9 * MINUTE, NOW - 2 * HOUR),
        span(NOW - 80 * MINUTE, NOW - HOUR, "book"),
        span(NOW - MINUTE, NOW - SECOND, "candles"),
    ]
    assert only(spans).sessions == (
        (NOW - 80 * MINUTE, NOW - HOUR),
        (NOW - 5 * HOUR, NOW - 2 * HOUR),
    )


def test_of_a_chosen_stretch_it_is_told_how_much_was_recorded_and_how_many_rows_that_is() -> None:
    whose, now = ("binance_spot", "BTC-USDT"), NOW + HOUR
    spans = [span(NOW, NOW + 2 * MINUTE), span(NOW, NOW + MINUTE, "book"), span(NOW, NOW + HOUR, symbol="X")]
    lost = [gap(NOW + 30 * SECOND, NOW + 32 * SECOND, what="book"), gap(NOW + 50, NOW + 60, "filled")]
    found = coverage.looked_at(spans, lost, whose, (NOW, NOW + MINUTE), now)
    assert (found.recorded_ns, found.holes, found.lost_ns) == (58 * SECOND, 1, 2 * SECOND)
    assert found.rows == (("book", 10, 0), ("trades", 5, 0))
    nothing = coverage.looked_at(spans, lost, whose, (NOW - 2 * MINUTE, NOW), now)
    assert (nothing.recorded_ns, nothing.of, nothing.rows) == (0, (), ())
    after = coverage.looked_at(spans, lost, whose, (NOW + MINUTE, NOW + 3 * MINUTE), now)
    assert (after.recorded_ns, after.of) == (MINUTE, ("trades",))
    whole = coverage.looked_at(spans, lost, ("binance_spot", ""), (NOW, NOW + 3 * MINUTE), now)
    assert whole.recorded_ns == 3 * MINUTE


def test_the_chosen_stretch_comes_with_the_poll_and_nonsense_is_none() -> None:
    tab = HistoryTab()
    end = round(CLOCK * 1e3)
    asked = ["binance_spot", "BTC-USDT", end - 120_000, end - 60_000]
    found = history(tab, histof=asked)["chosen"]
    assert (found["from"], found["to"]) == (end - 120_000, end - 60_000)
    assert 0 < found["recorded"] <= 60_000
    assert {row[0] for row in found["rows"]} >= {"book", "trades"}
    for bad in ("x", [], ["a", "b", 2, 1], ["a", "b", "c", 1], ["a" * 99, "", 0, 1], [1, 2, 3, 4]):
        assert history(tab, histof=bad).get("chosen") is None


def test_time_in_which_nobody_asked_for_recording_is_empty_and_no_hole() -> None:
    row = only([span(NOW - 30 * MINUTE, NOW)], [gap(NOW - 20 * MINUTE, NOW - 10 * MINUTE, "not recorded")])
    assert row.holes == 0
    assert {(recorded, hole) for recorded, _, hole in cells(row)} == {(0, 0), (1000, 0)}
    assert sum(recorded for recorded, _, _ in cells(row)) == 20 * 1000


def test_between_two_runs_of_the_program_nothing_is_claimed_and_nothing_is_a_hole() -> None:
    row = only([span(NOW - 50 * MINUTE, NOW - 40 * MINUTE), span(NOW - 10 * MINUTE, NOW)])
    assert (row.holes, sum(recorded for recorded, _, _ in cells(row))) == (0, 20 * 1000)


def test_a_hole_that_goes_on_reaches_up_to_now() -> None:
    row = only([span(NOW - 30 * MINUTE, NOW - 3 * MINUTE)], [gap(NOW - 3 * MINUTE, NOW)])
    over = [each for each in cells(row) if each != (0, 0, 0)]
    assert [each[2] for each in over[-3:]] == [1000] * 3


def test_candles_of_the_time_before_do_not_widen_the_first_look() -> None:
    spans = [span(NOW - 60 * coverage.DAY, NOW - MINUTE, "candles"), span(NOW - MINUTE, NOW)]
    assert coverage.chosen("", 0, spans, NOW).zoom == "hour"
    assert coverage.chosen("", 0, [*spans, span(NOW - 5 * HOUR, NOW)], NOW).zoom == "day"
    assert coverage.chosen("", 0, [*spans, span(NOW - 25 * HOUR, NOW)], NOW).zoom == "30d"


def test_a_zoom_that_is_not_asked_for_fits_what_there_is() -> None:
    for length, zoom in ((10 * MINUTE, "hour"), (5 * HOUR, "day"), (9 * DAY, "30d")):
        assert coverage.chosen("", 0, [span(NOW - length, NOW)], NOW).zoom == zoom


def test_newest_ends_with_the_data_and_a_time_shows_its_whole_hour_or_day() -> None:
    spans = [span(NOW - 3 * DAY, NOW - 2 * DAY)]
    newest = coverage.chosen("hour", 0, spans, NOW)
    assert newest.to_ns - MINUTE <= spans[0].to_ns < newest.to_ns
    assert (
        coverage.chosen("hour", NOW - 90 * MINUTE, spans, NOW).from_ns == (NOW - 90 * MINUTE) // HOUR * HOUR
    )
    assert coverage.chosen("day", NOW - 90 * MINUTE, spans, NOW).from_ns == MIDNIGHT
    days = coverage.chosen("30d", NOW, spans, NOW)
    assert (days.from_ns, days.to_ns) == (MIDNIGHT - 29 * DAY, MIDNIGHT + DAY)


def test_times_that_are_no_times_are_the_newest() -> None:
    tab = HistoryTab()
    for at in ("yesterday", -5, 1e300, None, [], True):
        frame = history(tab, histat=at, histzoom="nonsense", histwhat="nonsense")
        assert tab.answer["streams"]["history"]["key"]
        del frame
    assert history(HistoryTab(histat=1e300))["calendar"]["from"] > 1.7e12


def test_where_nothing_was_recorded_is_drawn_under_a_replay() -> None:
    spans = [span(NOW, NOW + 10), span(NOW + 20, NOW + 40, "book")]
    lost = [gap(NOW + 25, NOW + 30), gap(NOW + 32, NOW + 33, "filled"), gap(NOW + 2, NOW + 4, what="funding")]
    found = coverage.uncovered(spans, lost, "binance_spot", NOW, NOW + 50, 10)
    assert [(a - NOW, b - NOW) for a, b in found] == [(10, 20), (25, 30), (40, 50)]
    assert len(coverage.uncovered(spans, lost, "binance_spot", NOW, NOW + 50, 2)) == 2


# ---------- the stream ----------


def test_parts_come_when_they_change_and_only_those() -> None:
    tab = HistoryTab()
    first = history(tab)
    parts = {"head", "names", "recorder", "holes", "jobs", "retention", "calendar", "rows", "newest"}
    assert parts <= first.keys()
    assert len(first["rows"]) == len(first["calendar"]["order"]) == len(first["newest"])
    assert not parts & history(tab).keys()
    tab.source.command("export_forget", {"job": "j6"})
    assert "jobs" in history(tab)
    tab.source.command("retention_set", {"days": 7, "budget_gb": 10})
    changed = history(tab)
    assert changed["retention"]["days"] == 7
    assert not {"jobs", "calendar", "names"} & changed.keys()


def test_another_zoom_brings_all_rows_and_the_same_one_only_those_that_changed() -> None:
    tab = HistoryTab(histzoom="hour")
    whole = len(history(tab)["rows"])
    tab.now += 60
    later = history(tab)
    assert "calendar" in later  # the newest hour moved by a minute
    tab.now += 10
    assert len(history(tab).get("rows", [])) < whole
    assert len(history(tab, histzoom="30d")["rows"]) == whole


def test_a_poll_of_an_unchanged_store_is_small() -> None:
    tab = HistoryTab(histzoom="30d")
    history(tab)
    tab.now += 1
    assert len(json.dumps(history(tab))) < 7_000
    assert len(json.dumps(history(tab))) < 200


STATES = {"off": "off", "opening": "opening", "full": "full", "readonly": "read only", "failed": "failed"}


@pytest.mark.parametrize(("mode", "state"), [*STATES.items(), ("fresh", "ready")])
def test_every_state_of_the_store_is_told(mode: str, state: str) -> None:
    head = history(HistoryTab(mode))["head"]
    assert head["state"] == state
    assert (head["journal"] is None) == (mode in ("off", "opening"))


def test_what_is_open_and_what_is_recorded_are_one_list() -> None:
    rows = {row["venue"]: row for row in history(HistoryTab())["recorder"]["rows"]}
    assert rows["binance_spot"]["state"] == "recording"
    assert (rows["binance_usdm"]["state"], rows["binance_usdm"]["open"]) == ("off", True)
    assert rows["bybit_linear"]["state"] == "waiting"


def test_the_replay_is_told_with_its_own_clock_and_its_holes() -> None:
    tab = HistoryTab()
    history(tab)
    assert tab.answer["engine"]["replay"] is None
    start = round((CLOCK - 6 * 3_600) * 1e3)
    asked = {"venue": "binance_spot", "symbols": [], "from_ms": start, "to_ms": start + 4 * 3_600_000}
    tab.source.command("replay_open", asked | {"at_ms": start + 60_000, "speed": 10, "paused": True})
    history(tab)
    replay = tab.answer["engine"]["replay"]
    assert (replay["state"], replay["speed"], replay["recorded"]) == ("paused", "10x", True)
    assert (replay["from"], replay["at"]) == (start, start + 60_000)
    assert replay["holes"]
    assert all(start <= a < b <= start + 4 * 3_600_000 for a, b in replay["holes"])


# ---------- exports ----------


def test_each_table_is_exported_as_it_is_seen() -> None:
    tab = HistoryTab(histzoom="30d", histwhat="trades")
    shown = history(tab)
    covered = tab.table("history", part="coverage")
    assert len(covered) == sum(len(row["runs"]) for _, row in shown["rows"])
    assert covered[0].keys() >= {"time_utc", "epoch_ms", "to_utc", "venue", "symbol", "recorded", "hole"}
    assert {row["what"] for row in covered} <= {"trades", ""}
    assert len(tab.table("history", part="holes")) == len(shown["holes"])
    assert [row["id"] for row in tab.table("history", part="jobs")] == [job["id"] for job in shown["jobs"]]
    assert len(tab.table("history", part="recorder")) == len(shown["recorder"]["rows"])
    assert tab.table("history", part="retention")[0]["why"] == "over the disk budget"
    request = {
        "chart": "history",
        "part": "coverage",
        "view": tab.answer["v"],
        "client": "tab",
        "range": None,
    }
    assert tab.source.export(request)[0] == "venuescope_history_coverage-30d-trades_2027-01-15T080000Z.csv"
    with pytest.raises(BadCommand, match="no table"):
        tab.source.export(request | {"part": "nothing"})


def test_text_in_a_table_runs_as_no_formula() -> None:
    tab = HistoryTab()
    bad = replace(tab.source.storage.gaps[-1], reason="=HYPERLINK(1)")
    tab.source.storage = replace(tab.source.storage, gaps=(*tab.source.storage.gaps[:-1], bad), version=99)
    history(tab)
    request = {"chart": "history", "part": "holes", "view": tab.answer["v"], "client": "tab", "range": None}
    rows = list(csv.DictReader(io.StringIO(tab.source.export(request)[1])))
    assert rows[0]["reason"] == "'=HYPERLINK(1)"


# ---------- downloads ----------


def test_a_finished_export_is_downloaded_by_its_id() -> None:
    source = HistorySource(clock=lambda: CLOCK, history_s=4)
    answer = create_app(source).server.test_client().get("/history/exports/j6")
    assert answer.status_code == 200
    assert answer.headers["Content-Disposition"].startswith("attachment; filename=candles_builtin_BTC-USDT")
    assert answer.headers["Cache-Control"] == "no-store"
    assert int(answer.headers["Content-Length"]) == len(answer.data)
    assert answer.data.startswith(b"time_utc,price\n")


@pytest.mark.parametrize("job", ["j9", "j5", "nothing", "..%2F..%2Fetc%2Fpasswd", "../j6", "%00", "a" * 65])
def test_what_is_no_finished_export_is_not_found(job: str) -> None:
    source = HistorySource(clock=lambda: CLOCK, history_s=4)
    asked: list[str] = []
    found = source.export_path
    source.export_path = lambda name: asked.append(name) or found(name)  # type: ignore[method-assign,func-returns-value]
    answer = create_app(source).server.test_client().get(f"/history/exports/{job}")
    # What has a slash in it is another address, of which Dash makes the page that says so.
    assert answer.status_code == 404 or answer.mimetype == "text/html"
    assert "Content-Disposition" not in answer.headers
    assert all("/" not in name and "." not in name for name in asked)


def test_an_export_whose_file_is_gone_is_not_found(tmp_path: Path) -> None:
    source = HistorySource(clock=lambda: CLOCK, history_s=4)
    source.export_path = lambda name: tmp_path / "gone.csv"  # type: ignore[method-assign]
    answer = create_app(source).server.test_client().get("/history/exports/j6")
    assert (answer.status_code, answer.mimetype) == (404, "text/plain")
