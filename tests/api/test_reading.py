"""Which source and symbol a name means, and what is said where it means none."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest

from engine.api.encoding import encode
from engine.api.problems import Problem
from engine.errors import BadCommand
from engine.market.instruments import Instrument
from engine.telemetry.histogram import MIDPOINT_NS
from engine.telemetry.latency import StageLatency
from tests.api.market_rig import BYBIT, COINM, REPLAY, SECOND, SIM, SPOT, START, Rig, coin, listed


@pytest.fixture
def rig() -> Rig:
    """A synced live market, the built-in exchange, and a replay of the same venue."""
    made = Rig().open(SIM).open(SPOT, coin("binance_spot")).open(REPLAY)
    for source in (SIM, SPOT, REPLAY):
        made.snapshot(source, [(100, 5)], [(102, 2)])
    made.telemetry.board.venues = (listed("binance_spot"), listed("bybit_spot", "off", ()))
    return made.at(0.1)


def refused(rig: Rig, route: str, query: str = "", body: bytes = b"", **path: str) -> tuple[str, str]:
    with pytest.raises(Problem) as caught:
        rig.call(route, query, body, **path)
    return caught.value.code, caught.value.detail


def test_the_first_live_source_is_meant_and_never_a_replay(rig: Rig) -> None:
    assert rig.markets.source("").source is SPOT
    rig.intake.condition(SPOT, up=False, detail="away")
    rig.at(0.2)
    assert rig.markets.source("").source is SIM
    assert rig.markets.find("", "BTC-USDT")[0].source is SIM
    rig.intake.close_source(SIM, "closed")
    rig.intake.close_source(SPOT, "stopped")
    rig.at(0.3)
    with pytest.raises(Problem, match="no market is open") as caught:
        rig.markets.source("")
    assert caught.value.code == "not_ready"


@pytest.mark.parametrize("venue", ["binance_spot", "BINANCE_SPOT", "binance_spot:live", " binance_spot "])
def test_a_venue_is_named_in_any_case_or_by_its_key(rig: Rig, venue: str) -> None:
    assert rig.markets.source(venue).source is SPOT


def test_a_replay_is_named_by_its_key(rig: Rig) -> None:
    assert rig.markets.source("binance_spot:replay").source is REPLAY
    rig.intake.close_source(SPOT, "stopped")
    rig.at(0.2)
    with pytest.raises(Problem, match="venue=binance_spot:replay") as caught:
        rig.markets.source("binance_spot")
    assert caught.value.code == "no_data"


def test_a_venue_that_is_not_there_is_told_with_those_that_are(rig: Rig) -> None:
    with pytest.raises(Problem, match=r"open are binance_spot.*not connected are bybit_spot") as caught:
        rig.markets.source("kraken")
    assert caught.value.code == "unknown_venue"
    with pytest.raises(Problem, match="bybit_spot is off; it can be connected") as caught:
        rig.markets.source("bybit_spot")
    assert caught.value.code == "no_data"
    rig.telemetry.board.venues = (listed("bybit_spot", "connecting"),)
    with pytest.raises(Problem, match="bybit_spot is connecting") as caught:
        rig.markets.source("bybit_spot")
    assert caught.value.code == "not_ready"


@pytest.mark.parametrize("name", ["BTC-USDT", "btc-usdt", "btc/usdt", "BTCUSDT", "btc_usdt", " BTC-USDT "])
def test_a_symbol_is_named_in_any_way(rig: Rig, name: str) -> None:
    assert rig.markets.find("", name) == (rig.markets.source("binance_spot"), "BTC-USDT")


def test_the_venues_own_name_goes_before_a_universal_one_without_its_signs() -> None:
    perpetual = coin("binance_usdm", symbol="BTC-USDT-PERP", native="BTCUSDT")
    odd = coin("binance_usdm", symbol="BTC-USDT", native="BTCUSDT_1")
    rig = Rig().open(SPOT, odd, perpetual).at(0.1)
    assert rig.markets.find("", "btcusdt")[1] == "BTC-USDT-PERP"
    assert rig.markets.find("", "btc-usdt")[1] == "BTC-USDT"


def test_what_is_listed_and_not_followed_can_be_added(rig: Rig) -> None:
    code, detail = refused(rig, "GET /tick/{symbol}", symbol="ethusdt")
    assert code == "not_subscribed"
    assert 'POST /add_symbol with {"symbol": "ETH-USDT", "venue": "binance_spot"}' in detail


def test_what_nobody_lists_is_told_with_what_is_close(rig: Rig) -> None:
    assert refused(rig, "GET /tick/{symbol}", symbol="BTC-USDX") == (
        "unknown_symbol",
        "no open venue has 'BTC-USDX'; close are BTC-USDT",
    )
    code, detail = refused(rig, "GET /tick/{symbol}", "venue=builtin", symbol="XYZ")
    assert (code, detail) == ("unknown_symbol", "builtin:sim has no 'XYZ'; followed are BTC-USDT")


def test_names_that_were_found_are_forgotten_with_the_sources(rig: Rig) -> None:
    before = rig.markets.find("", "BTC-USDT")
    assert rig.markets.find("", "BTC-USDT") is before
    rig.at(0.2)
    assert rig.markets.find("", "BTC-USDT") is not before


def test_before_any_data_there_is_none(rig: Rig) -> None:
    rig.open(BYBIT)
    assert refused(rig, "GET /tick/{symbol}", "venue=bybit_spot", symbol="BTC-USDT")[0] == "no_data"
    rig.telemetry.board.sources = (*rig.telemetry.board.sources, rig.markets.source("binance_spot"))
    rig.telemetry.forget_market(SPOT.key, "BTC-USDT")
    assert refused(rig, "GET /tick/{symbol}", "venue=binance_spot", symbol="BTC-USDT")[0] == "no_data"


# --- ticks ------------------------------------------------------------------------------------------------------


def test_a_tick_is_exact(rig: Rig) -> None:
    rig.delta(SPOT, [(101, 7)], []).trade(SPOT, 102, 3).at(0.2)
    tick = rig.call("GET /tick/{symbol}", symbol="BTC-USDT")
    told = msgspec.to_builtins(tick)
    assert told == {
        "venue": "binance_spot",
        "source": "binance_spot:live",
        "symbol": "BTC-USDT",
        "state": "SYNCED",
        "source_state": "live",
        "sequence": 2,
        "bid": "1.01",
        "bid_size": "0.00007",
        "ask": "1.02",
        "ask_size": "0.00002",
        "last": "1.02",
        "mid": "1.015",
        "spread": "0.01",
        "spread_bp": 98.5222,
        "ts": "2027-01-15T08:00:00.095Z",
        "ts_ms": 1_800_000_000_095,
        "received_ts": "2027-01-15T08:00:00.100Z",
        "received_ts_ms": 1_800_000_000_100,
        "last_ts": "2027-01-15T08:00:00.100Z",
        "last_ts_ms": 1_800_000_000_100,
    }


def test_a_tick_in_a_zone_has_its_times_in_it(rig: Rig) -> None:
    tick = rig.call("GET /tick/{symbol}", "tz=Europe/Berlin", symbol="BTC-USDT")
    assert tick.ts == "2027-01-15T08:59:59.995+01:00"
    assert tick.ts_ms == 1_799_999_999_995


def test_a_tick_stays_the_same_object_and_bytes_until_something_changes(rig: Rig) -> None:
    first = rig.call("GET /tick/{symbol}", symbol="BTC-USDT")
    rig.at(0.2).at(0.3)
    again = rig.call("GET /tick/{symbol}", symbol="btcusdt")
    assert again is first
    assert encode(again, "json") is encode(first, "json")
    assert encode(again, "msgpack") is not encode(first, "json")
    rig.delta(SPOT, [(101, 7)], []).at(0.4)
    changed = rig.call("GET /tick/{symbol}", symbol="BTC-USDT")
    assert (changed.bid, first.bid) == ("1.01", "1.00")
    rig.intake.condition(SPOT, up=False, detail="away")
    rig.at(0.5)
    away = rig.call("GET /tick/{symbol}", "venue=binance_spot", symbol="BTC-USDT")
    assert away.source_state == "reconnecting"


def test_an_empty_side_is_null_and_so_is_what_needs_it() -> None:
    rig = Rig().open(SPOT).snapshot(SPOT, [(100, 5)], []).at(0.1)
    tick = rig.call("GET /tick/{symbol}", symbol="BTC-USDT")
    assert (tick.bid, tick.ask, tick.mid, tick.spread, tick.spread_bp, tick.last) == ("1.00", *[None] * 5)


# --- books, trades, impact --------------------------------------------------------------------------------------


def test_a_book_is_the_engines_own_to_the_last_level() -> None:
    bids = [(1_000 - n, n + 1) for n in range(900)]
    rig = Rig().open(SPOT).snapshot(SPOT, bids, [(2_000, 3)]).at(0.1)
    book = rig.call("GET /book/{symbol}", "depth=5000", symbol="BTC-USDT")
    assert len(book.bids) == 900
    assert (book.bids[0], book.bids[-1]) == (("10.00", "0.00001"), ("1.01", "0.00900"))
    assert (book.asks, book.bid_levels, book.ask_levels) == ([("20.00", "0.00003")], 900, 1)
    assert len(rig.call("GET /book/{symbol}", symbol="BTC-USDT").bids) == 100
    rig.delta(SPOT, [(1_001, 4)], [])  # not published yet: this one is of now
    book = rig.call("GET /book/{symbol}", "depth=1", symbol="BTC-USDT")
    assert (book.bids, book.sequence, book.size_unit) == ([("10.01", "0.00004")], 2, "BTC")


def test_a_book_that_is_not_synced_says_so(rig: Rig) -> None:
    rig.delta(SPOT, [(101, 1)], [], skip=5).at(0.2)
    assert rig.call("GET /book/{symbol}", "venue=binance_spot", symbol="BTC-USDT").state == "STALE"
    code, detail = refused(rig, "GET /impact/{symbol}", "quote=1&venue=binance_spot", symbol="BTC-USDT")
    assert (code, "is STALE" in detail) == ("no_data", True)


def test_trades_are_the_newest_or_from_a_number_on(rig: Rig) -> None:
    for number, price in enumerate((101, 103, 102, 104)):
        rig.trade(SPOT, price, 10, side=1 if number % 2 else -1)
    newest = rig.call("GET /trades/{symbol}", "limit=2", symbol="BTC-USDT")
    assert [(t.id, t.price, t.size, t.side) for t in newest.trades] == [
        (3, "1.02", "0.00010", "sell"),
        (4, "1.04", "0.00010", "buy"),
    ]
    assert not newest.truncated
    early = rig.call("GET /trades/{symbol}", "limit=2&from_id=2", symbol="BTC-USDT")
    assert ([t.id for t in early.trades], early.truncated) == ([2, 3], True)
    assert rig.call("GET /trades/{symbol}", "from_id=3", symbol="BTC-USDT").truncated is False


def test_many_trades_are_as_exact(rig: Rig) -> None:
    for number in range(1_000):
        rig.trade(SPOT, 100 + number % 7)
    found = rig.call("GET /trades/{symbol}", "limit=1000", symbol="BTC-USDT").trades
    assert [t.price for t in found[:8]] == ["1.00", "1.01", "1.02", "1.03", "1.04", "1.05", "1.06", "1.00"]
    assert (len(found), found[0].ts) == (1_000, "2027-01-15T08:00:00.100Z")


def test_impact_walks_the_whole_book() -> None:
    asks = [(10_000 + n, 100_000) for n in range(1_000)]  # one coin each at 100.00, 100.01, ..
    rig = Rig().open(SPOT).snapshot(SPOT, [(9_998, 100_000)], asks).at(0.1)
    # 300 whole coins: 300 * 100 + 0.01 * (0 + .. + 299) = 30448.50
    found = rig.call("GET /impact/{symbol}", "side=buy&quote=30448.50", symbol="BTC-USDT")
    assert (found.base_filled, found.quote_filled, found.levels) == ("300.00000", "30448.50", 300)
    assert (found.average, found.best, found.worst, found.mid) == ("101.495000", "100.00", "102.99", "99.99")
    assert found.slippage_bp == 149.5
    assert found.impact_bp == pytest.approx((101.495 - 99.99) / 99.99 * 1e4, abs=1e-4)
    assert not found.exhausted
    sold = rig.call("GET /impact/{symbol}", "side=sell&quote=500", symbol="BTC-USDT")
    assert (sold.base_filled, sold.quote_filled, sold.exhausted) == ("1.00000", "99.98", True)


def test_an_impact_that_cannot_be_told_is_refused_with_a_sentence(rig: Rig) -> None:
    assert refused(rig, "GET /impact/{symbol}", symbol="BTC-USDT") == (
        "bad_argument",
        "quote is missing, as quote=100000: Amount in the quote currency",
    )
    tiny = "quote=0.0000001"
    code, detail = refused(rig, "GET /impact/{symbol}", tiny, symbol="BTC-USDT")
    assert (code, "the least is 0.0000102 USDT" in detail) == ("bad_argument", True)
    assert "above 0" in refused(rig, "GET /impact/{symbol}", "quote=0.00", symbol="BTC-USDT")[1]
    contract = coin("binance_coinm", (1, 0), symbol="BTC-USD-PERP", quote="USD", contracts=True)
    rig.open(COINM, contract).snapshot(COINM, [(1_000, 1)], [(1_001, 1)], "BTC-USD-PERP").at(0.2)
    code, detail = refused(rig, "GET /impact/{symbol}", "quote=100", symbol="BTC-USD-PERP")
    assert (code, "count contracts" in detail) == ("conflict", True)
    one_sided = Rig().open(SPOT).snapshot(SPOT, [(100, 5)], []).at(0.1)
    assert refused(one_sided, "GET /impact/{symbol}", "quote=1", symbol="BTC-USDT")[0] == "no_data"


# --- one pair over venues ---------------------------------------------------------------------------------------


def priced() -> Rig:
    rig = Rig().open(SIM).open(SPOT).open(BYBIT, coin("bybit_spot", (1, 5)))
    rig.snapshot(SIM, [(50, 5)], [(51, 2)])
    rig.snapshot(SPOT, [(10_000, 5)], [(10_004, 2)])
    return rig.snapshot(BYBIT, [(1_001, 6)], [(1_002, 3)]).at(0.1)


def test_a_price_is_compared_over_live_venues_alone() -> None:
    found = priced().call("GET /price/{base}/{quote}", base="btc", quote="usdt")
    assert (found.base, found.quote, found.symbol, found.simulated) == ("BTC", "USDT", "BTC-USDT", False)
    assert (found.bid, found.bid_venue, found.ask, found.ask_venue) == (
        "100.10",
        "bybit_spot",
        "100.04",
        "binance_spot",
    )
    assert (found.spread, found.compared) == ("-0.06", 2)
    assert found.spread_bp == pytest.approx(-0.06 / 100.07 * 1e4, abs=1e-4)
    assert found.mid == "100.085"  # between 100.02 and 100.15
    assert found.apart_bp == pytest.approx(0.13 / 100.085 * 1e4, abs=1e-4)
    rows = {row.source: row for row in found.venues}
    assert rows["builtin:sim"].left_out == "simulated"
    assert rows["bybit_spot:live"].mid == "100.15"
    assert rows["bybit_spot:live"].difference_bp == pytest.approx(0.065 / 100.085 * 1e4, abs=1e-4)
    assert rows["builtin:sim"].difference_bp is None
    assert rows["binance_spot:live"].age_ms == 100.0


def test_one_venue_that_is_behind_is_left_out() -> None:
    rig = priced().delta(BYBIT, [(1_003, 1)], [], skip=5).at(0.2)
    found = rig.call("GET /price/{base}/{quote}", base="BTC", quote="USDT")
    assert (found.bid, found.mid, found.compared, found.apart_bp) == ("100.00", "100.02", 1, None)
    assert {row.source: row.left_out for row in found.venues} == {
        "binance_spot:live": "",
        "bybit_spot:live": "stale",
        "builtin:sim": "simulated",
    }


def test_without_a_real_venue_the_built_in_exchange_stands_alone() -> None:
    rig = Rig().open(SIM).snapshot(SIM, [(50, 5)], [(51, 2)]).at(0.1)
    found = rig.call("GET /price/{base}/{quote}", base="BTC", quote="USDT")
    assert (found.simulated, found.bid, found.mid, found.bid_venue) == (True, "0.50", "0.505", "builtin")
    assert found.venues[0].counted


def test_another_form_of_the_pair_is_compared_where_more_have_it() -> None:
    perpetual = {"symbol": "BTC-USDT-PERP", "native": "BTCUSDT"}
    rig = Rig().open(SPOT, coin("binance_spot"), coin("binance_spot", **perpetual))
    rig.open(BYBIT, coin("bybit_spot", **perpetual))
    rig.snapshot(SPOT, [(100, 5)], [(102, 2)])
    for source in (SPOT, BYBIT):
        rig.snapshot(source, [(200, 5)], [(202, 2)], "BTC-USDT-PERP")
    found = rig.at(0.1).call("GET /price/{base}/{quote}", base="BTC", quote="USDT")
    assert (found.symbol, found.mid, found.compared) == ("BTC-USDT-PERP", "2.01", 2)
    assert [row.left_out for row in found.venues] == ["other form", "", ""]


def test_a_pair_that_nobody_follows_is_told_with_those_that_are() -> None:
    assert refused(priced(), "GET /price/{base}/{quote}", base="DOGE", quote="EUR") == (
        "unknown_symbol",
        "no open venue follows DOGE/EUR; followed are BTC/USDT",
    )


# --- latency, throughput, limits --------------------------------------------------------------------------------


def test_latencies_are_those_of_the_window(rig: Rig) -> None:
    for second in range(1, 8):
        rig.at(second).trade(SPOT, 101).at(second)
    found = rig.call("GET /latency", "venue=binance_spot&window=5&stage=sequence")
    assert [row.stage for row in found.stages] == ["sequence"]
    assert (found.window_s, found.ts_ms) == (5, 1_800_000_007_000)
    row = found.stages[0]
    assert (row.count, row.from_ms) == (5, found.ts_ms - 5_000)
    assert row.p50_us is not None
    assert row.max_us is not None
    assert 0 < row.p50_us <= row.max_us
    every = rig.call("GET /latency", "venue=binance_spot")
    assert [row.stage for row in every.stages] == ["receive", "decode", "sequence", "publish"]
    code, detail = refused(rig, "GET /latency", "stage=ack&venue=binance_spot")
    assert (code, detail) == (
        "bad_argument",
        "stage cannot be 'ack': binance_spot:live has receive, decode, sequence, publish",
    )


@pytest.mark.parametrize(("window", "begun"), [(60, 847), (300, 600), (900, 0)])
def test_latencies_of_a_busy_stage_are_those_of_the_whole_window(rig: Rig, window: int, begun: int) -> None:
    """Seconds of 531 buckets are kept for two minutes: what is before is told by half-minutes, and from when."""
    rig.trade(SPOT, 101).at(1)
    stage, plain = StageLatency("binance_spot:live", "receive"), dict[int, list[int]]()
    for second in range(907):
        plain[second] = [*MIDPOINT_NS[:530].tolist(), 10**7 + 10**4 * (907 - second)]
        stage.record(START + second * SECOND, np.array(plain[second], np.int64))
    rig.telemetry.stages["binance_spot:live", "receive"] = stage
    stage.advance(START + 907 * SECOND)
    found = rig.at(907).call("GET /latency", f"venue=binance_spot&window={window}&stage=receive")
    row = found.stages[0]
    assert row.from_ms == START // 10**6 + begun * 1_000
    inside = sorted(value for second in range(begun, 907) for value in plain[second])
    assert row.count == len(inside) == 531 * (907 - begun)
    assert row.p50_us == pytest.approx(inside[len(inside) // 2] / 1e3, rel=0.01)
    assert row.p999_us == pytest.approx(inside[-(len(inside) // 1_000) - 1] / 1e3, rel=0.01)
    assert row.max_us == inside[-1] / 1e3


def test_throughput_counts_complete_seconds(rig: Rig) -> None:
    rig.trade(SPOT, 101).trade(SPOT, 101).at(1.0)
    rig.trade(SPOT, 101).at(2.0).at(3.5)
    found = rig.call("GET /throughput", "window=3")
    rows = {row.source: row for row in found.sources}
    assert set(rows) == {"binance_spot:live", "builtin:sim"}
    assert (rows["binance_spot:live"].trades_per_s, rows["binance_spot:live"].seconds) == (1.0, 3)
    assert found.ts_ms == 1_800_000_003_000
    one = rig.call("GET /throughput", "window=1&venue=binance_spot")
    assert [row.trades_per_s for row in one.sources] == [0.0]


# --- symbols ----------------------------------------------------------------------------------------------------


def test_active_symbols_are_those_of_every_source(rig: Rig) -> None:
    found = rig.call("GET /symbols").symbols
    assert [row.source for row in found] == ["binance_spot:live", "binance_spot:replay", "builtin:sim"]
    assert (found[0].native, found[0].state, found[0].tick_size) == ("BTCUSDT", "SYNCED", None)
    assert (found[2].tick_size, found[2].lot_size) == ("0.01", "0.00001")
    assert len(rig.call("GET /symbols", "venue=builtin").symbols) == 1


def test_available_symbols_are_what_venues_list(rig: Rig) -> None:
    venues = {row.venue: row for row in rig.call("GET /symbols/available").venues}
    assert venues["builtin"].symbols == ["BTC-USDT"]
    assert (venues["binance_spot"].symbols, venues["binance_spot"].state) == (
        ["BTC-USDT", "ETH-USDT"],
        "live",
    )
    assert (venues["bybit_spot"].count, venues["bybit_spot"].state) == (0, "off")
    (row,) = rig.call("GET /symbols/available", "venue=binance_spot&contains=eth/u").venues
    assert (row.symbols, row.count) == (["ETH-USDT"], 2)
    assert refused(rig, "GET /symbols/available", "venue=x")[0] == "unknown_venue"


def test_a_symbol_is_added_by_its_universal_name(rig: Rig) -> None:
    body = b'{"symbol": "eth/usdt", "venue": "Binance_Spot"}'
    answer = rig.call("POST /add_symbol", body=body)
    assert rig.commands == [("add_symbol", {"venue": "binance_spot", "symbol": "ETH-USDT"})]
    assert (answer.state, answer.symbol) == ("followed", "ETH-USDT")
    waiting = rig.call("POST /add_symbol", body=b'{"symbol": "SOLUSDT", "venue": "bybit_spot"}')
    assert (waiting.state, "as soon as" in waiting.detail) == ("waiting", True)


def test_what_cannot_be_added_is_a_problem(rig: Rig) -> None:
    rig.refusal = BadCommand("Binance lists no symbol 'X'; close ones are Y")
    known = b'{"symbol": "BTC-USDT", "venue": "binance_spot"}'
    assert refused(rig, "POST /add_symbol", body=known)[0] == "conflict"
    unknown = b'{"symbol": "X", "venue": "binance_spot"}'
    assert refused(rig, "POST /add_symbol", body=unknown) == ("unknown_symbol", str(rig.refusal))
    assert refused(rig, "POST /add_symbol", body=b'{"symbol": "X", "venue": "kraken"}')[0] == "unknown_venue"
    code, detail = refused(rig, "POST /add_symbol", body=b'{"symbol": "X", "venue": "builtin"}')
    assert (code, "live markets are binance_spot, bybit_spot" in detail) == ("conflict", True)
    code, detail = refused(rig, "POST /add_symbol", body=b'{"symbol": "X"}')
    assert (code, "no live venue lists 'X': name the one" in detail) == ("bad_argument", True)
    assert "binance_spot, bybit_spot" in detail


def test_without_a_venue_a_symbol_is_added_at_the_first_live_one_that_lists_it(rig: Rig) -> None:
    venues = (
        listed("kraken_spot", "off"),
        listed("okx_spot", symbols=("SOL-USDT",)),
        listed("binance_spot"),
        listed("bybit_spot"),
    )
    rig.telemetry.board.venues = venues
    answer = rig.call("POST /add_symbol", body=b'{"symbol": "ethusdt"}')
    assert (answer.venue, answer.symbol) == ("binance_spot", "ETH-USDT")
    assert rig.call("POST /add_symbol", body=b'{"symbol": "SOL-USDT", "venue": ""}').venue == "okx_spot"
    rig.telemetry.board.venues = venues[:1]
    code, detail = refused(rig, "POST /add_symbol", body=b'{"symbol": "ETH-USDT"}')
    assert (code, "kraken_spot lists it, and none is live now" in detail) == ("bad_argument", True)


def test_a_symbol_is_removed_where_it_is_followed(rig: Rig) -> None:
    answer = rig.call("DELETE /remove_symbol/{symbol}", symbol="btcusdt")
    assert rig.commands == [("remove_symbol", {"venue": "binance_spot", "symbol": "BTC-USDT"})]
    assert answer.state == "removed"
    assert refused(rig, "DELETE /remove_symbol/{symbol}", symbol="DOGE")[0] == "unknown_symbol"
    code, _ = refused(rig, "DELETE /remove_symbol/{symbol}", "venue=builtin", symbol="BTC-USDT")
    assert code == "conflict"
    rig.open(BYBIT).snapshot(BYBIT, [(100, 5)], [(102, 2)]).at(0.2)
    code, detail = refused(rig, "DELETE /remove_symbol/{symbol}", symbol="BTC-USDT")
    assert (code, "name one by venue" in detail) == ("bad_argument", True)
    rig.intake.close_source(SPOT, "stopped")
    rig.intake.close_source(BYBIT, "stopped")
    rig.at(0.3)
    code, detail = refused(rig, "DELETE /remove_symbol/{symbol}", symbol="BTC-USDT")
    assert (code, "only live markets" in detail) == ("conflict", True)


def test_tick_and_lot_are_told_where_they_are_known() -> None:
    unit = Instrument("binance_spot", "BTC-USDT", "BTC", "USDT", 2, 5, tick_size=10, lot_size=100)
    rig = Rig().open(SPOT, unit).at(0.1)
    (row,) = rig.call("GET /symbols").symbols
    assert (row.tick_size, row.lot_size, row.size_unit) == ("0.10", "0.00100", "BTC")
