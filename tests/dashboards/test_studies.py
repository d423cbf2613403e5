"""Studies and the indexed comparison over the real transport: deltas, warm-up, and a CSV that equals the screen."""

from __future__ import annotations

from typing import Any

import pytest

from engine.errors import BadCommand
from engine.market.studies import lines, parse
from tests.dashboards.test_prices import Tab

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
    assert int(part[-1]["epoch_ms"]) == high
    assert int(part[0]["epoch_ms"]) in (low, low - 1000)  # the candle that ends where the view begins


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
