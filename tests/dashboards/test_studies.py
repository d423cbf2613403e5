"""Studies and the indexed comparison over the real transport: deltas, warm-up, and a CSV that equals the screen."""

from __future__ import annotations

import csv
import io
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dashboards.view import Params, look
from engine.errors import BadCommand
from engine.market import studies as studies_of
from engine.market.batches import CANDLE, Rows, Source
from engine.market.sequencing import Rule
from engine.market.studies import Study, lines, parse
from engine.telemetry.hub import Telemetry
from engine.telemetry.ring import Ring
from tests.dashboards.test_prices import Tab
from tests.dashboards.test_transport import Page
from tests.engine.markets import BTC, SECOND, SIM, START, Desk

ALL = ["sma-20", "ema-10", "bb-20-2", "vwap", "profile"]


def merged(rows: dict[float, dict[str, Any]], stream: dict[str, Any]) -> None:
    """As the page does it: upsert by time."""
    for i, at in enumerate(stream["t"]):
        rows[at] = {name: values[i] for name, values in stream["values"].items()}


def test_deltas_put_together_are_what_a_fresh_tab_gets() -> None:
    tab = Tab(["candles", "studies"], studies=ALL, history_s=200)
    rows: dict[float, dict[str, Any]] = {}
    stream = tab.poll()["studies"]
    assert stream["reset"]
    assert stream["tokens"] == ALL
    merged(rows, stream)
    first = len(stream["t"])
    for _ in range(12):
        tab.now += 0.25
        stream = tab.poll()["studies"]
        assert not stream["reset"]
        assert len(stream["t"]) <= 3
        merged(rows, stream)
    fresh = Tab(["studies"], studies=ALL, history_s=200)
    fresh.now, fresh.source = tab.now, tab.source
    whole = fresh.poll()["studies"]
    assert len(whole["t"]) >= first - 1 > 50
    kept = {at: values for at, values in rows.items() if at >= whole["keep"]}
    wanted: dict[float, dict[str, Any]] = {}
    merged(wanted, whole)
    assert kept == wanted


def test_the_first_value_in_the_window_is_warmed_up() -> None:
    tab = Tab(["studies"], studies=ALL, history_s=300)
    stream = tab.poll()["studies"]
    for name, values in stream["values"].items():
        assert values[0] is not None, name
    short = Tab(["studies"], studies=["sma-20"], history_s=30).poll()["studies"]["values"]["sma-20"]
    assert short[:19] == [None] * 19
    assert None not in short[19:]


def test_values_are_those_of_the_candles_of_the_whole_past() -> None:
    tab = Tab(["studies"], studies=["ema-10"], history_s=300)
    stream = tab.poll()["studies"]
    ring = tab.source.telemetry.markets["binance_spot:live", "BTC-USDT"].candles
    study = parse("ema-10")
    assert study is not None
    rows = ring.last(ring.capacity).rows
    every = dict(
        zip((rows["ts_open_ns"] // 1_000_000).tolist(), lines(study, rows)[""].tolist(), strict=True)
    )
    assert stream["values"]["ema-10"] == pytest.approx([every[at] for at in stream["t"]], abs=0.02)


def test_the_profile_comes_once_a_second_and_holds_the_window_s_volume() -> None:
    tab = Tab(["candles", "studies"], studies=["profile"], history_s=200)
    streams = tab.poll()
    profile = streams["studies"]["profile"]
    assert sum(profile["volumes"]) == sum(streams["candles"]["v"])
    assert profile["low"] <= profile["control"] <= profile["high"] < len(profile["volumes"])
    tab.now += 0.1
    assert "profile" not in tab.poll()["studies"]
    tab.now += 1
    assert "profile" in tab.poll()["studies"]


@pytest.mark.parametrize("bad", [None, "sma-20", 3, ["rsi-14", 5, None, "bb-20-9"]])
def test_studies_nobody_knows_are_dropped(bad: object) -> None:
    stream = Tab(["studies"], studies=bad).poll()["studies"]
    assert (stream["tokens"], stream["t"]) == ([], [])


def test_the_csv_is_what_the_page_drew() -> None:
    tab = Tab(["candles", "studies"], studies=ALL, history_s=200)
    streams = tab.poll()
    drawn, candles = streams["studies"], streams["candles"]
    table = tab.table("studies")
    assert [int(row["epoch_ms"]) for row in table] == drawn["t"] == candles["t"]
    paid = volume = 0.0
    for i, row in enumerate(table):
        assert float(row["close"]) == pytest.approx(candles["c"][i] / 100)
        for name in ("sma-20", "ema-10", "bb-20-2", "bb-20-2.upper", "bb-20-2.lower"):
            assert float(row[name]) == pytest.approx(drawn["values"][name][i] / 100, abs=1e-9)
        paid += drawn["values"]["vwap.mean"][i] * drawn["values"]["vwap.volume"][i]
        volume += drawn["values"]["vwap.volume"][i]
        assert float(row["vwap"]) == pytest.approx(paid / volume / 100, abs=2e-4)
    rows = tab.table("studies", part="profile")
    profile = drawn["profile"]
    assert [float(row["volume"]) * 1e5 for row in reversed(rows)] == pytest.approx(profile["volumes"])
    assert [i for i, row in enumerate(reversed(rows)) if row["control"] == "1"] == [profile["control"]]
    assert sum(row["value_area"] == "1" for row in rows) == profile["high"] - profile["low"] + 1
    low, high = drawn["t"][10], drawn["t"][20]
    part = tab.table("studies", range=[low, high])
    assert [int(row["epoch_ms"]) for row in part] == drawn["t"][10:20]


def test_every_form_and_source_is_indexed_to_its_own_first() -> None:
    tab = Tab(["indexed"], history_s=100)
    stream = tab.poll()["indexed"]
    told = [(one["id"], one["symbol"], one["run"]) for one in stream["series"]]
    assert ("binance_spot:live BTC-USDT", "", "live") in told
    assert ("binance_usdm:live BTC-USDT-PERP", "BTC-USDT-PERP", "live") in told
    assert all(len(one["close"]) == len(stream["t"]) for one in stream["series"])
    held = {at: [one["close"][i] for one in stream["series"]] for i, at in enumerate(stream["t"])}
    for _ in range(8):
        tab.now += 0.5
        delta = tab.poll()["indexed"]
        assert not delta["reset"]
        assert len(delta["t"]) <= 5
        held |= {at: [one["close"][i] for one in delta["series"]] for i, at in enumerate(delta["t"])}
    table = tab.table("indexed")
    seen = {at: closes for at, closes in held.items() if at >= delta["keep"]}
    assert len(table) == sum(close is not None for closes in seen.values() for close in closes)
    first: dict[str, float] = {}
    for row in table:
        base = first.setdefault(row["source"] + row["symbol"], float(row["close"]))
        assert float(row["index"]) == pytest.approx(float(row["close"]) / base * 100, abs=1e-4)


def test_every_line_of_the_comparison_has_the_outages_of_its_own_book() -> None:
    desk = Desk(SIM).at(0).snapshot([(100, 5)], [(110, 2)])
    venue = Source("bybit_spot", "live")
    desk.intake.open_source(venue, "Bybit", [BTC], Rule.BINANCE_SPOT, lambda wall_ns: wall_ns)
    for second in range(1, 31):
        desk.source = SIM
        desk.at(second).trade(100 + second)
        desk.source = venue
        if second in (1, 20):  # there at first, and again
            desk.snapshot([(100, 5)], [(110, 2)])
        if second == 12:
            desk.intake.interrupted(venue, ["BTC-USDT"], "a test")
        if not 12 <= second < 20:
            desk.trade(200 + second)
        if second == 15:
            desk.intake.publish()
            still = Page(desk, ["indexed"], source=SIM.key).stream("indexed")
    desk.at(31)
    whole = Page(desk, ["indexed"], source=SIM.key).stream("indexed")
    start = START // 1_000_000
    for stream, until in ((still, 15), (whole, 20)):
        gaps = {one["label"]: one["gaps"] for one in stream["series"]}
        assert gaps.pop("Bybit") == [[start + 12_000, start + until * 1_000]]
        assert list(gaps.values()) == [[]]


def test_there_is_no_other_part() -> None:
    tab = Tab(["studies"], studies=ALL)
    tab.poll()
    with pytest.raises(BadCommand):
        tab.table("studies", part="nothing")


def test_all_studies_of_a_running_page_stay_small() -> None:
    tab = Tab(["candles", "studies", "indexed"], studies=ALL, history_s=300, window=300)
    tab.poll()
    for _ in range(8):
        tab.now += 0.25
        assert len(str(tab.poll()["studies"])) < 2_000


SPARSE = ["sma-20", "ema-20", "bb-10-2", "vwap"]


def sparse(desk: Desk, from_s: int, to_s: int) -> Desk:
    """A trade every seventh second."""
    for second in range(from_s, to_s, 7):
        desk.at(second + 0.5).trade(10_000 + second * 31 % 97, 100 + second % 5)
    return desk


def rows_of(page: Page, chart: str, part: str = "") -> list[dict[str, str]]:
    """The CSV of the page's newest view."""
    request = {"client": "tab", "view": page.answer["v"], "chart": chart, "part": part}
    return list(csv.DictReader(io.StringIO(page.transport.export(request)[1])))


class Tabbed(Page):
    """A tab that keeps its newest answer."""

    def poll(self, **params: Any) -> dict[str, Any]:
        self.answer = super().poll(**params)
        return self.answer


@pytest.mark.parametrize("interval", [1, 5])
def test_a_study_of_a_quiet_market_counts_candles_not_seconds(interval: int) -> None:
    desk = Desk().at(0).snapshot([(100, 5)], [(110, 2)])
    page = Tabbed(desk, ["candles", "studies"], window=300, studies=SPARSE, interval=interval)
    rows: dict[float, dict[str, Any]] = {}
    for second in range(0, 900, 7):
        sparse(desk, second, second + 1)
        merged(rows, page.stream("studies"))
    last = page.stream("studies")
    merged(rows, last)
    drawn = {at: values for at, values in rows.items() if at >= last["keep"]}
    assert len(drawn) > 40
    assert all(values[name] is not None for values in drawn.values() for name in ("sma-20", "ema-20"))
    fresh: dict[float, dict[str, Any]] = {}
    merged(fresh, Tabbed(desk, ["studies"], window=300, studies=SPARSE, interval=interval).stream("studies"))
    assert fresh == drawn
    table = rows_of(page, "studies")
    assert [int(row["epoch_ms"]) for row in table] == list(drawn)
    for row in table:
        for name in ("sma-20", "ema-20", "bb-10-2.upper"):
            assert float(row[name]) * 100 == pytest.approx(drawn[int(row["epoch_ms"])][name], abs=1e-6)


@pytest.mark.parametrize("behind_s", [5, 0, -5])
def test_a_source_whose_clock_is_not_ours_is_compared_all_the_time(behind_s: int) -> None:
    desk = Desk(SIM).at(0).snapshot([(100, 5)], [(110, 2)])
    venue = Source("bybit_spot", "live")
    away_ns = behind_s * SECOND
    desk.intake.open_source(venue, "Bybit", [BTC], Rule.BINANCE_SPOT, lambda wall_ns: wall_ns - away_ns)
    held: dict[float, list[Any]] = {}
    page = Page(desk, ["indexed"], source=SIM.key)
    for half in range(20, 100):
        desk.source = SIM
        desk.at(half / 2).trade(100 + half)
        if not 60 < half < 80:  # nothing for 10 s: what comes then comes all the same
            desk.source = venue
            desk.trade(200 + half, latency_ns=away_ns)
        desk.intake.publish()
        stream = page.stream("indexed")
        assert len(stream["t"]) < 8 or stream["reset"]
        held |= {at: [one["close"][i] for one in stream["series"]] for i, at in enumerate(stream["t"])}
    whole = Page(desk, ["indexed"], source=SIM.key).stream("indexed")
    seen = {at: closes for at, closes in held.items() if at >= whole["keep"]}
    fresh = {at: [one["close"][i] for one in whole["series"]] for i, at in enumerate(whole["t"])}
    assert seen == fresh
    assert [sum(close is not None for close in one["close"]) > 25 for one in whole["series"]] == [True, True]


def test_the_profile_exported_is_the_one_that_was_sent() -> None:
    desk = sparse(Desk().at(0).snapshot([(100, 5)], [(110, 2)]), 0, 60)
    page = Tabbed(desk, ["candles", "studies"], studies=["profile"])
    desk.at(60.1).trade(10_100, 190).at(60.2)
    sent = page.stream("studies")["profile"]
    for part in range(5):
        desk.at(60.3 + part / 10).trade(10_300, 102).at(60.35 + part / 10)
        assert "profile" not in page.stream("studies")
    table = rows_of(page, "studies", "profile")
    assert [round(float(row["volume"]) * 1e5) for row in reversed(table)] == sent["volumes"]
    assert {int(row["epoch_ms"]) for row in table} == {START // 1_000_000 + 60_200}
    desk.at(61.2)
    later = page.stream("studies")["profile"]
    assert sum(later["volumes"]) > sum(sent["volumes"])
    assert sum(round(float(row["volume"]) * 1e5) for row in rows_of(page, "studies", "profile")) == sum(
        later["volumes"]
    )


def test_a_poll_without_a_trade_sends_no_candle_and_no_value_again() -> None:
    desk = sparse(Desk().at(0).snapshot([(100, 5)], [(110, 2)]), 0, 60)
    page = Page(desk, ["candles", "studies", "indexed"], studies=ALL)
    desk.at(60.1).trade(10_100).at(60.2)
    first = page.poll()["streams"]
    assert first["candles"]["open"] == first["candles"]["t"][-1] == START // 1_000_000 + 60_000
    desk.at(60.3)
    for name in ("candles", "studies", "indexed"):
        assert page.stream(name)["t"] == [], name
    assert page.stream("candles")["open"] == first["candles"]["open"]
    desk.at(60.4).trade(10_111).at(60.5)
    again = page.poll()["streams"]
    assert [again[name]["t"] for name in again] == [[START // 1_000_000 + 60_000]] * 3
    assert again["candles"]["c"] == [10_111]


def test_a_delta_is_made_from_no_more_candles_than_it_rests_on(monkeypatch: pytest.MonkeyPatch) -> None:
    fed: list[int] = []
    whole = studies_of.lines

    def lines_of(study: Study, candles: Rows) -> dict[str, Any]:
        fed.append(len(candles))
        return whole(study, candles)

    monkeypatch.setattr(studies_of, "lines", lines_of)
    copied: list[int] = []
    copy = Ring._copy

    def copy_of(ring: Ring, start: int, end: int) -> Rows:
        copied.append(max(0, end - start))
        return copy(ring, start, end)

    monkeypatch.setattr(Ring, "_copy", copy_of)
    asked = ["sma-20", "bb-20-2"]
    tab = Tab(["studies", "indexed"], studies=asked, history_s=400, window=300, interval=1)
    tab.poll()
    assert max(fed) == 319
    for _ in range(6):
        tab.now += 0.5
        tab.source.advance()
        fed.clear()
        copied.clear()
        tab.poll()
        assert max(fed, default=0) <= 19 + 2
        assert sum(copied) < 200


@given(
    st.lists(st.sampled_from([0, 1, SECOND // 2, SECOND, SECOND, 2 * SECOND, 50 * SECOND]), max_size=40),
    st.integers(0, 45),
    st.sampled_from([-1, 0, 1]),
    st.integers(1, 20),
    st.integers(0, 8),
)
def test_a_place_in_a_ring_is_found_without_reading_it(
    apart: list[int], near: int, beside: int, capacity: int, grown: int
) -> None:
    ring = Ring("candles x y", CANDLE, capacity)
    rows = np.zeros(len(apart), CANDLE)
    rows["ts_open_ns"] = START + np.cumsum(apart)
    ring.publish(rows)
    times = rows["ts_open_ns"].tolist()
    at_ns = (times[near] if near < len(times) else START + 10**11) + beside
    end = max(0, ring.head - grown)  # the ring has grown since the view was made
    view = replace(look(Telemetry(START), Params(), 1, START, {}), heads={ring.name: end})
    oldest = min(end, max(0, ring.head - capacity))
    assert view.place(ring, at_ns) == next((i for i in range(oldest, end) if times[i] >= at_ns), end)


def test_studies_over_a_venues_own_minutes_are_the_same_in_a_running_page_and_in_a_fresh_one() -> None:
    asked = {"studies": ["sma-5", "ema-3", "vwap"], "interval": 60, "window": 3_600, "history_s": 130}
    tab = Tab(["candles", "studies", "indexed"], **asked)
    rows: dict[float, dict[str, Any]] = {}
    closes: dict[float, list[Any]] = {}
    for _ in range(6):
        tab.now += 13
        streams = tab.poll()
        if streams["studies"]["reset"]:
            rows.clear()
        merged(rows, streams["studies"])
        told = streams["indexed"]
        closes |= {at: [one["close"][i] for one in told["series"]] for i, at in enumerate(told["t"])}
    fresh = Tab(["candles", "studies", "indexed"], **asked)
    fresh.source = tab.source  # and its clock
    whole = fresh.poll()
    wanted: dict[float, dict[str, Any]] = {}
    merged(wanted, whole["studies"])
    assert [*wanted] == whole["candles"]["t"]
    assert len(wanted) > 50
    assert {at: values for at, values in rows.items() if at >= whole["studies"]["keep"]} == wanted
    assert {at: one for at, one in closes.items() if at >= whole["indexed"]["keep"]} == {
        at: [one["close"][i] for one in whole["indexed"]["series"]]
        for i, at in enumerate(whole["indexed"]["t"])
    }


def test_seconds_over_all_that_is_kept_have_their_studies_from_the_first_on_also_after_a_pause() -> None:
    desk = Desk().at(0).snapshot([(100, 5)], [(110, 2)]).trade(100).at(2)
    ring = desk.telemetry.market(desk.source.key, "BTC-USDT").candles

    def traded(first: int, until: int) -> None:
        rows = np.zeros(until - first, CANDLE)
        rows["ts_open_ns"] = START + np.arange(first, until) * SECOND
        for name in ("open", "high", "low", "close"):
            rows[name] = 1_000 + np.arange(first, until) % 97
        rows["volume"] = rows["trades"] = 1
        rows["notional_low"] = rows["close"]
        ring.publish(rows)
        desk.now = START + until * SECOND

    traded(2, 16_000)
    page = Page(desk, ["studies"], window=14_400, interval=1, studies=["sma-200", "ema-20"])
    answer = page.poll()
    drawn = answer["streams"]["studies"]
    assert drawn["t"][0] == drawn["keep"]
    assert all(values[0] is not None for values in drawn["values"].values())
    traded(16_000, 16_120)
    _, text = page.transport.export({"chart": "studies", "view": answer["v"], "client": "tab", "range": None})
    table = list(csv.DictReader(io.StringIO(text)))
    assert [int(row["epoch_ms"]) for row in table[:-1]] == drawn["t"][: len(table) - 1]
    for name, values in drawn["values"].items():
        told = [float(row[name]) for row in table[:300]]
        assert told == pytest.approx([value / 100 for value in values[:300]], abs=1e-9)
