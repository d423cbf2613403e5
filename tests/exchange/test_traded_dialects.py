"""Public calls and streams of both dialects over the matching engine's market: true, and safe whatever is asked."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.exchange.dialects.binance import BinanceRest
from engine.exchange.dialects.binance_streams import BinanceStreams
from engine.exchange.dialects.bybit import BybitRest
from engine.exchange.dialects.bybit_streams import BybitStreams
from engine.exchange.dialects.refusal import VenueRefusal
from engine.exchange.dialects.sessions import Opening
from engine.exchange.enforcement import Enforcement
from engine.exchange.served import ServedMarket
from engine.exchange.traded_market import traded_markets
from engine.exchange.venue_rules import RULES
from engine.flow.simulator import Simulator
from engine.flow.symbols import SYMBOLS

S = 1_000_000_000
START = 29_916_666 * 60 * S
SPOT = Opening("binance_spot")


class Exchange:
    """The dialects over one small engine, with two minutes of history and a second of trading, or with nothing."""

    def __init__(self, *, quiet: bool) -> None:
        self.simulator = Simulator(5, 0.0, [replace(each, resting_orders=500) for each in SYMBOLS])
        self.markets = traded_markets(self.simulator.engine, self.simulator.symbols)
        self.served = {key: ServedMarket(each) for key, each in self.markets.items()}
        self.binance = BinanceRest(self.served["binance_spot"], Enforcement(RULES["binance_spot"]))
        self.streams = BinanceStreams(self.served["binance_spot"])
        self.bybit_streams = BybitStreams({"bybit_spot": self.served["bybit_spot"]})
        self.bybit = BybitRest({"bybit_spot": self.served["bybit_spot"]}, self.bybit_streams.book_number)
        self.now = START
        if not quiet:
            for batch in self.simulator.warm_up_history(120, START):
                self.markets["binance_spot"].on_past(batch)
            self.simulator.rate = 20_000.0
        for _ in range(200):
            self.turn()

    def turn(self) -> None:
        self.now += S // 200
        turn = self.simulator.turn(self.now)
        for market in self.markets.values():
            market.on_turn(turn)

    def spot(self, path: str, **arguments: Any) -> Any:
        given = {name: str(value) for name, value in arguments.items()}
        return msgspec.json.decode(self.binance.answer("GET", f"/api/v3/{path}", given, self.now))

    def v5(self, path: str, **arguments: Any) -> Any:
        given = {name: str(value) for name, value in arguments.items()}
        whole = msgspec.json.decode(self.bybit.answer("GET", f"/v5/market/{path}", given, self.now))
        assert whole["retCode"] == 0
        return whole["result"]


BUSY, QUIET = Exchange(quiet=False), Exchange(quiet=True)
BTC: dict[str, Any] = {"symbol": "BTCUSDT"}
V5: dict[str, Any] = {"category": "spot", "symbol": "BTCUSDT"}


def test_trades_and_aggregates_are_the_same_trades() -> None:
    trades, whole = BUSY.spot("trades", **BTC, limit=1000), BUSY.spot("aggTrades", **BTC, limit=1000)
    assert [each["id"] for each in trades] == list(range(trades[0]["id"], trades[0]["id"] + len(trades)))
    by_id = {each["id"]: each for each in trades}
    assert len(whole) < len(trades)
    for each, later in zip(whole, [*whole[1:], None], strict=True):
        parts = [by_id[number] for number in range(each["f"], each["l"] + 1)]
        assert {(part["price"], part["isBuyerMaker"]) for part in parts} == {(each["p"], each["m"])}
        assert sum(float(part["qty"]) for part in parts) == pytest.approx(float(each["q"]))
        assert later is None or later["f"] == each["l"] + 1
    middle = whole[len(whole) // 2]["a"]
    assert BUSY.spot("aggTrades", **BTC, fromId=middle, limit=3) == [x for x in whole if x["a"] >= middle][:3]
    # Whole ones, also where what is asked for begins or ends within one.
    for each in whole[5:40]:
        for number in range(each["f"], each["l"] + 1):
            following = next(x for x in whole if x["a"] >= number)
            assert BUSY.spot("aggTrades", **BTC, fromId=number, limit=1) == [following]
    early = BUSY.spot("trades", **BTC)[0]["time"] - 1_000
    since = BUSY.spot("aggTrades", **BTC, startTime=early, limit=5)
    assert since[0]["T"] >= early
    assert all(later["f"] == each["l"] + 1 for each, later in itertools.pairwise(since))
    newest = by_id[trades[-1]["id"]]
    assert BUSY.spot("historicalTrades", **BTC, fromId=newest["id"]) == [newest]


def test_a_stream_says_the_same_aggregates_as_the_call() -> None:
    topic = BUSY.streams.topic(SPOT, "btcusdt@aggTrade")
    assert topic is not None
    market = BUSY.served["binance_spot"]
    market.watch("BTCUSDT", BUSY.now)
    market.advance(BUSY.now)
    said: list[Any] = []
    for _ in range(40):
        BUSY.turn()
        for change in market.advance(BUSY.now):
            if change.symbol == "BTCUSDT":
                said += [msgspec.json.decode(text) for text in topic.on_change(change)]
    asked = BUSY.spot("aggTrades", **BTC, fromId=said[0]["a"], limit=1000)
    assert len(said) > 10
    assert [[each[key] for key in "apqflTmM"] for each in said] == [
        [each[key] for key in "apqflTmM"] for each in asked
    ]


def test_candles_tickers_and_averages_add_up_to_what_traded() -> None:
    minutes = BUSY.spot("klines", **BTC, interval="1m", limit=1000)
    seconds = BUSY.spot("klines", **BTC, interval="1s", limit=1000)
    day = BUSY.spot("ticker/24hr", **BTC)
    assert BUSY.spot("uiKlines", **BTC, interval="1m", limit=1000) == minutes
    assert 2 <= len(minutes) <= 4
    for rows in (minutes, seconds):
        assert sum(row[8] for row in rows) == day["count"]
        assert sum(float(row[5]) for row in rows) == pytest.approx(float(day["volume"]))
        assert sum(float(row[7]) for row in rows) == pytest.approx(float(day["quoteVolume"]))
        assert max(float(row[2]) for row in rows) == float(day["highPrice"])
        assert (rows[0][1], rows[-1][4]) == (day["openPrice"], day["lastPrice"])
    assert day["lastId"] - day["firstId"] + 1 == day["count"]
    average = BUSY.spot("avgPrice", **BTC)
    assert float(average["price"]) == pytest.approx(
        float(day["quoteVolume"]) / float(day["volume"]), rel=1e-6
    )
    assert BUSY.spot("ticker/price", **BTC)["price"] == day["lastPrice"]
    ticker = BUSY.v5("tickers", **V5)["list"][0]
    assert float(ticker["turnover24h"]) == pytest.approx(float(day["quoteVolume"]))
    assert float(ticker["lastPrice"]) == float(day["lastPrice"])
    rows = BUSY.v5("kline", **V5, interval="1")["list"]
    assert [int(row[0]) for row in reversed(rows)] == [row[0] for row in minutes]
    assert [float(row[5]) for row in reversed(rows)] == [float(row[5]) for row in minutes]
    newest = BUSY.v5("recent-trade", **V5, limit=60)["list"]
    assert [float(each["price"]) for each in reversed(newest)] == [
        float(each["price"]) for each in BUSY.spot("trades", **BTC, limit=60)
    ]


def test_a_small_ticker_is_the_same_day_in_fewer_words() -> None:
    whole, small = (BUSY.spot("ticker/24hr", **BTC, type=kind) for kind in ("FULL", "MINI"))
    assert small == {key: whole[key] for key in small}
    assert (len(small), "priceChange" in small) == (12, False)
    with pytest.raises(VenueRefusal, match="-1100"):
        BUSY.spot("ticker/24hr", type="small")


@pytest.mark.parametrize("name", ["miniTicker", "ticker"])
def test_the_tickers_of_all_are_those_of_each(name: str) -> None:
    whole = BUSY.streams.topic(SPOT, f"!{name}@arr")
    assert whole is not None
    (text,) = whole.on_turn(BUSY.now)
    rows = {row["s"]: row for row in msgspec.json.decode(text)}
    assert len(rows) == 5
    for native, row in rows.items():
        one = BUSY.streams.topic(SPOT, f"{native.lower()}@{name}")
        assert one is not None
        assert [msgspec.json.decode(each) for each in one.on_turn(BUSY.now)] == [row]


def test_there_is_nothing_before_the_beginning() -> None:
    first = BUSY.spot("klines", **BTC, interval="1m", limit=1000)[0][0]
    assert BUSY.spot("klines", **BTC, interval="1m", startTime=0, limit=1)[0][0] == first
    assert BUSY.spot("klines", **BTC, interval="1m", endTime=first - 1) == []
    assert BUSY.v5("kline", **V5, interval="D", end=first - 86_400_000)["list"] == []


def test_only_spot_is_listed_and_its_filters_are_the_engines() -> None:
    rows = {row["symbol"]: row for row in BUSY.v5("instruments-info", category="spot")["list"]}
    assert set(rows) == {"BTCUSDT", "ETHUSDT", "SOLUSDT", "BNBUSDT", "XRPUSDT"}
    assert rows["BTCUSDT"]["priceFilter"]["tickSize"] == "0.1"
    lots = rows["BTCUSDT"]["lotSizeFilter"]
    assert (lots["basePrecision"], lots["minOrderQty"], lots["minOrderAmt"]) == ("0.00001", "0.00001", "5")
    for category in ("linear", "inverse", "option"):
        for path in ("instruments-info", "tickers"):
            assert BUSY.v5(path, category=category)["list"] == []
        with pytest.raises(VenueRefusal, match="10001"):
            BUSY.v5("tickers", category=category, symbol="BTCUSDT")
    with pytest.raises(VenueRefusal, match="Illegal category"):
        BUSY.v5("tickers", category="none")


def test_an_exchange_on_which_nothing_traded_yet_answers_everything() -> None:
    assert QUIET.spot("trades", **BTC) == QUIET.spot("aggTrades", **BTC) == []
    assert QUIET.spot("klines", **BTC, interval="1m") == []
    assert QUIET.v5("recent-trade", **V5)["list"] == QUIET.v5("kline", **V5, interval="1")["list"] == []
    day = QUIET.spot("ticker/24hr", **BTC)
    assert (day["count"], float(day["volume"]), float(day["priceChange"])) == (0, 0.0, 0.0)
    assert float(day["bidPrice"]) <= float(day["lastPrice"]) <= float(day["askPrice"])
    assert float(QUIET.spot("avgPrice", **BTC)["price"]) == float(day["lastPrice"])
    for name in ("kline_1m", "kline_1s", "miniTicker", "ticker", "depth5", "depth@100ms"):
        topic = QUIET.streams.topic(SPOT, f"btcusdt@{name}")
        assert topic is not None
        for text in (*topic.greeting(QUIET.now), *topic.on_turn(QUIET.now)):
            msgspec.json.decode(text)
    for name in ("orderbook.50", "publicTrade", "tickers", "kline.1"):
        topic = QUIET.bybit_streams.topic(Opening("bybit_spot"), f"{name}.BTCUSDT")
        assert topic is not None
        for text in (*topic.greeting(QUIET.now), *topic.on_turn(QUIET.now)):
            msgspec.json.decode(text)


def test_a_candle_stream_closes_each_candle_once_with_all_that_traded_in_it() -> None:
    exchange = Exchange(quiet=False)
    market = exchange.served["binance_spot"]
    topic = exchange.streams.topic(SPOT, "btcusdt@kline_1s")
    assert topic is not None
    closed: list[Any] = []
    for _ in range(700):
        exchange.turn()
        market.advance(exchange.now)
        rows = [msgspec.json.decode(text)["k"] for text in topic.on_turn(exchange.now)]
        closed += [row for row in rows if row["x"]]
    assert [row["t"] for row in closed] == list(range(closed[0]["t"], closed[0]["t"] + 3_000, 1_000))
    asked = {row[0]: row for row in exchange.spot("klines", **BTC, interval="1s", limit=1000)}
    for row in closed:
        whole = asked[row["t"]]
        assert [row[key] for key in ("o", "h", "l", "c", "v", "q", "n")] == [*whole[1:6], whole[7], whole[8]]


VALUES = st.one_of(
    st.sampled_from(
        ["BTCUSDT", "BTCUSD", "spot", "linear", "option", "1m", "1s", "1w", "1", "D", "5", "1000"]
    ),
    st.integers(-(1 << 70), 1 << 70).map(str),
    st.integers(START // 1_000_000 - 10**9, START // 1_000_000 + 10**9).map(str),
    st.text(max_size=8),
)
NAMES = (
    "symbol", "symbols", "limit", "interval", "startTime", "endTime", "fromId", "category", "start", "end",
    "cursor", "status", "baseCoin", "type",
)  # fmt: skip
CALLS = (
    "/api/v3/ping", "/api/v3/time", "/api/v3/exchangeInfo", "/api/v3/depth", "/api/v3/trades",
    "/api/v3/historicalTrades", "/api/v3/aggTrades", "/api/v3/klines", "/api/v3/uiKlines", "/api/v3/avgPrice",
    "/api/v3/ticker/24hr", "/api/v3/ticker/price", "/api/v3/ticker/bookTicker", "/api/v3/nothing",
    "/v5/market/time", "/v5/market/instruments-info", "/v5/market/orderbook", "/v5/market/recent-trade",
    "/v5/market/kline", "/v5/market/tickers", "/v5/market/funding/history", "/v5/market/nothing",
)  # fmt: skip
USUAL = st.fixed_dictionaries(
    {"symbol": st.just("BTCUSDT"), "category": st.just("spot"), "interval": st.sampled_from(["1m", "1", "D"])}
)


@settings(max_examples=300, deadline=None)
@given(
    call=st.sampled_from(CALLS),
    usual=st.one_of(st.just({}), USUAL),
    given_=st.dictionaries(st.sampled_from(NAMES), VALUES, max_size=5),
    quiet=st.booleans(),
)
def test_whatever_is_asked_is_answered_or_refused(
    call: str, usual: Mapping[str, str], given_: dict[str, str], quiet: bool
) -> None:
    exchange = QUIET if quiet else BUSY
    dialect = exchange.bybit if call.startswith("/v5") else exchange.binance
    with contextlib.suppress(VenueRefusal):
        msgspec.json.decode(dialect.answer("GET", call, {**usual, **given_}, exchange.now))
