"""One symbol over venues: exact whatever the decimals, and only what is live and synced counts."""

from __future__ import annotations

import csv
import io
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.market.comparison import Quote, basis_points, compare, median4
from tests.browser.venue_source import SECOND, VenueSource
from tests.reference import prices_plain

CLOCK = 1_800_000_000.25
SIDE = st.none() | st.integers(1, 10**12)
VENUE = st.tuples(SIDE, SIDE, st.integers(0, 6))  # best bid and ask in units of that many decimals


class Tab:
    """A browser tab at a made-up market whose clock stands until it is moved."""

    def __init__(self, streams: list[str], mode: str = "live", *, history_s: int = 8, **params: Any) -> None:
        self.now = CLOCK
        self.source = VenueSource(clock=lambda: self.now, history_s=history_s)
        if mode != "live":
            self.source.switch(mode)
        self.params = {"client": "tab", "streams": streams, "window": 60, "symbol": "BTC-USDT", **params}
        self.cursors: dict[str, Any] = {}
        self.answer: dict[str, Any] = {}

    def poll(self, **params: Any) -> dict[str, Any]:
        self.params |= params
        self.answer = self.source.poll(self.params, self.cursors)
        self.cursors = self.answer["cursors"]
        streams: dict[str, Any] = self.answer["streams"]
        return streams

    def table(self, chart: str, **more: Any) -> list[dict[str, str]]:
        request = {"chart": chart, "view": self.answer["v"], "client": "tab", "range": None, **more}
        return list(csv.DictReader(io.StringIO(self.source.export(request)[1])))


@given(st.lists(VENUE, max_size=6))
def test_venues_of_any_decimals_are_compared_exactly(
    venues: list[tuple[int | None, int | None, int]],
) -> None:
    finest = max((decimals for *_, decimals in venues), default=0)

    def scaled(value: int | None, decimals: int) -> int | None:
        return None if value is None else value * 10 ** (finest - decimals)

    def exact(value: int | None, decimals: int) -> Fraction | None:
        return None if value is None else Fraction(value, 10**decimals)

    quotes = [Quote(i, scaled(bid, k), scaled(ask, k)) for i, (bid, ask, k) in enumerate(venues)]
    plain = prices_plain.compare([(exact(bid, k), exact(ask, k)) for bid, ask, k in venues])
    found, unit = compare(quotes), 10**finest
    for side in ("bid", "ask"):
        assert (None if found[side] is None else Fraction(found[side][0], unit)) == plain[side]
    assert (None if found["between"] is None else Fraction(found["between"], unit)) == plain["between"]
    assert (None if found["apart2"] is None else Fraction(found["apart2"], 2 * unit)) == plain["apart"]
    consensus = found["consensus4"]
    assert (None if consensus is None else Fraction(consensus, 4 * unit)) == plain["consensus"]


def test_at_the_same_price_the_first_row_is_named() -> None:
    found = compare([Quote(0, 100, 102), Quote(1, 100, 102)])
    assert (found["bid"], found["ask"]) == ((100, 0), (102, 0))
    assert (found["between"], found["apart2"]) == (2, 0)


def test_one_venue_alone_agrees_with_nobody() -> None:
    found = compare([Quote(0, 100, 102)])
    assert found["consensus4"] is None
    assert found["apart2"] is None
    assert median4([]) is None


def test_a_venue_that_bids_more_than_another_asks_is_a_negative_spread() -> None:
    found = compare([Quote(0, 100, 101), Quote(1, 105, 106)])
    assert found["between"] == 101 - 105
    assert found["between_bp"] == pytest.approx(-4 / 103 * 1e4, abs=1e-4)
    assert (found["highest"], found["lowest"]) == (1, 0)


def test_prices_past_what_a_float_holds_are_still_told_apart() -> None:
    big = 2**60
    found = compare([Quote(0, big, big + 3), Quote(1, big + 1, big + 2)])
    assert (found["bid"], found["ask"], found["between"]) == ((big + 1, 1), (big + 2, 1), 1)
    assert basis_points(1, 0) is None


def rows(tab: Tab) -> dict[str, dict[str, Any]]:
    return {row["id"]: row for row in tab.poll()["prices"]["rows"]}


def test_rows_are_the_symbol_at_every_source_then_its_other_forms() -> None:
    tab = Tab(["prices"])
    found = rows(tab)
    assert list(found) == [
        *("binance_spot:live", "bybit_spot:live", "builtin:sim"),
        *("binance_usdm:live", "bybit_linear:live"),
    ]
    assert [row["why"] for row in found.values()] == ["", "", "simulated", "other form", "other form"]
    assert [row["same"] for row in found.values()] == [True, True, True, False, False]
    tab = Tab(["prices"], symbol="BTC-USDT-PERP", source="binance_usdm:live")
    assert [row["symbol"] for row in rows(tab).values()][:2] == ["BTC-USDT-PERP"] * 2


def test_prices_travel_in_the_finest_decimals_and_keep_their_own() -> None:
    tab = Tab(["prices"])
    found = rows(tab)
    assert tab.answer["streams"]["prices"]["decimals"] == 2
    spot, perpetual = found["binance_spot:live"], found["binance_usdm:live"]
    assert (spot["price_decimals"], perpetual["price_decimals"]) == (2, 1)
    assert perpetual["bid"] % 10 == 0
    book = tab.source.telemetry.board.books["binance_usdm:live", "BTC-USDT-PERP"]
    assert perpetual["bid"] == int(book.bids["price"][0]) * 10
    assert perpetual["mid2"] == perpetual["bid"] + perpetual["ask"]


@pytest.mark.parametrize(
    ("mode", "source", "why"),
    [("stale", "bybit_spot:live", "stale"), ("away", "binance_spot:live", "reconnecting")],
)
def test_a_source_that_is_behind_is_left_out_of_the_best(mode: str, source: str, why: str) -> None:
    tab = Tab(["prices"], mode)
    found = rows(tab)
    assert found[source]["why"] == why
    best = tab.answer["streams"]["prices"]["found"]
    ids = list(found)
    assert {ids[best["bid"][1]], ids[best["ask"][1]]} == {"binance_spot:live", "bybit_spot:live"} - {source}
    assert best["consensus4"] is None  # one book is left, which agrees with nobody
    assert found[source]["diff_bp"] is None


def test_a_hidden_source_is_no_row() -> None:
    tab = Tab(["prices"], hidden=["bybit_spot:live"])
    assert "bybit_spot:live" not in rows(tab)


def test_the_table_comes_when_a_top_changed_and_ages_come_always() -> None:
    tab = Tab(["prices"])
    tab.poll()
    again = tab.poll()["prices"]
    assert "rows" not in again
    assert len(again["ages"]) == 5
    tab.now += 7
    assert "rows" in tab.poll()["prices"]


def test_mids_come_once_and_sum_up_to_what_a_new_page_gets() -> None:
    tab = Tab(["mids"])
    first = tab.poll()["mids"]
    assert {one["id"] for one in first["series"]} == {"binance_spot:live", "bybit_spot:live"}
    assert tab.poll()["mids"]["t"] == []
    tab.now += 3
    second = tab.poll()["mids"]
    assert len(second["t"]) == 3
    tab.cursors = {}
    fresh = tab.poll()["mids"]
    held = dict(
        zip(first["t"] + second["t"], first["series"][0]["bp"] + second["series"][0]["bp"], strict=True)
    )
    assert [held[t] for t in fresh["t"]] == fresh["series"][0]["bp"]
    # Two mids lie as far to either side of their median.
    pairs = [pair for pair in zip(*(one["bp"] for one in fresh["series"]), strict=True) if None not in pair]
    assert len(pairs) > 5
    assert [a + b for a, b in pairs] == [0] * len(pairs)


def test_what_is_exported_is_the_table_and_the_lines() -> None:
    tab = Tab(["prices", "mids"])
    drawn = tab.poll()
    exported = tab.table("prices")
    assert [row["source"] for row in exported] == [row["id"] for row in drawn["prices"]["rows"]]
    for row, shown in zip(exported, drawn["prices"]["rows"], strict=True):
        assert Fraction(row["bid"]) == Fraction(shown["bid"], 100)
        assert Fraction(row["mid"]) == Fraction(shown["mid2"], 200)
        assert (row["left_out"], row["counts"]) == (shown["why"], str(int(not shown["why"])))
    lines = tab.table("mids")
    one = [row for row in lines if row["source"] == "bybit_spot:live"]
    values = next(x["bp"] for x in drawn["mids"]["series"] if x["id"] == "bybit_spot:live")
    known = [(t, value) for t, value in zip(drawn["mids"]["t"], values, strict=True) if value is not None]
    assert [(int(row["epoch_ms"]), float(row["mid_less_consensus_bp"])) for row in one] == known
    assert known


def test_funding_is_told_of_a_perpetual_and_of_nothing_else() -> None:
    tab = Tab(["funding"])
    assert tab.poll()["funding"]["funding"] is None
    assert tab.table("funding") == []
    found = tab.poll(symbol="BTC-USDT-PERP", source="binance_usdm:live")["funding"]["funding"]
    assert found["rate_pct"] == pytest.approx(0.01034)
    assert found["apr_pct"] == pytest.approx(0.01034 * 3 * 365)
    assert found["next"] % (8 * 3_600_000) == 0
    (row,) = tab.table("funding")
    assert float(row["apr_pct"]) == found["apr_pct"]


def test_older_candles_are_the_venues_own_up_to_the_first_minute_that_is_all_ours() -> None:
    tab = Tab(["candles"], history_s=130, window=3600, interval=60)
    stream = tab.poll()["candles"]
    rings = tab.source.telemetry.market("binance_spot:live", "BTC-USDT")
    ours = int(rings.candles.since(0).rows["ts_open_ns"][0])
    assert stream["seam"] == -(-ours // (60 * SECOND)) * 60_000
    assert stream["t"] == list(range(stream["t"][0], stream["t"][-1] + 1, 60_000))
    assert len(stream["t"]) == 60
    theirs = {int(row["ts_open_ns"]) // 1_000_000: int(row["close"]) for row in rings.minutes.since(0).rows}
    older = [(at, close) for at, close in zip(stream["t"], stream["c"], strict=True) if at < stream["seam"]]
    assert [close for _, close in older] == [theirs[at] for at, _ in older]
    made_by = {int(row["epoch_ms"]): row["made_by"] for row in tab.table("candles")}
    assert {made_by[at] for at in stream["t"] if at < stream["seam"]} == {"venue"}
    assert {made_by[at] for at in stream["t"] if at >= stream["seam"]} == {"us"}


def test_candles_of_seconds_are_all_ours() -> None:
    assert Tab(["candles"], window=60, interval=1).poll()["candles"]["seam"] is None


def test_a_minute_that_the_venue_gives_later_is_drawn_in_its_place() -> None:
    tab = Tab(["candles"], window=3600, interval=60)
    before = tab.poll()["candles"]
    assert not tab.poll()["candles"]["reset"]
    minutes = tab.source.telemetry.market("binance_spot:live", "BTC-USDT").minutes
    row = minutes.last(1).rows
    row["ts_open_ns"], row["close"] = round(before["t"][3] * 1e6), 4_242
    minutes.publish(row)
    after = tab.poll()["candles"]
    assert after["reset"]
    assert after["c"][3] == 4_242


def test_with_one_spot_book_the_perpetuals_are_compared_and_their_basis_is_told() -> None:
    tab = Tab(["prices", "mids"], hidden=["bybit_spot:live"])
    stream = tab.poll()
    prices = stream["prices"]
    counted = [row["id"] for row in prices["rows"] if not row["why"]]
    assert counted == ["binance_usdm:live", "bybit_linear:live"]
    assert prices["found"]["symbol"] == "BTC-USDT-PERP"
    (spot,) = (row for row in prices["rows"] if row["id"] == "binance_spot:live")
    consensus2 = sum(row["mid2"] for row in prices["rows"] if not row["why"]) / 2
    wanted = (consensus2 - spot["mid2"]) / spot["mid2"] * 10_000
    assert prices["found"]["basis_bp"] == pytest.approx(wanted, abs=1e-4)
    assert [one["id"] for one in stream["mids"]["series"]] == counted
    assert tab.poll(hidden=[])["prices"]["found"]["symbol"] == "BTC-USDT"
