"""Whatever is asked, a dialect answers or refuses in the venue's way; nothing else comes out of it."""

from __future__ import annotations

from typing import Any

import msgspec
from hypothesis import example, given
from hypothesis import strategies as st

from engine.exchange.dialects.binance import ROOTS, BinanceRest
from engine.exchange.dialects.binance_streams import BinanceStreams
from engine.exchange.dialects.bybit import MARKETS, BybitRest
from engine.exchange.dialects.bybit_streams import BybitStreams
from engine.exchange.dialects.refusal import VenueRefusal
from engine.exchange.dialects.sessions import Opening
from engine.exchange.enforcement import Enforcement
from engine.exchange.listings import listings
from engine.exchange.random_market import RandomMarket
from engine.exchange.served import ServedMarket
from engine.exchange.venue_rules import RULES

NOW = 1_795_000_000 * 1_000_000_000


def served(key: str) -> ServedMarket:
    return ServedMarket(RandomMarket(key, listings(key, 2), levels=5))


BINANCE = {key: BinanceRest(served(key), Enforcement(RULES[key])) for key in ROOTS}
BYBIT_MARKETS = {key: served(key) for key in MARKETS.values()}
BYBIT = BybitRest(BYBIT_MARKETS, lambda *_: 7)
STREAMS = {key: BinanceStreams(each.market) for key, each in BINANCE.items()}

VALUES = st.one_of(
    st.sampled_from(
        ["BTCUSDT", "BTCUSD", "BTCUSD_PERP", "spot", "linear", "inverse", "1m", "1", "D", "5", "1000"]
    ),
    st.integers(-(1 << 70), 1 << 70).map(str),
    st.integers(1_500_000_000_000, 1_900_000_000_000).map(str),
    st.text(max_size=8),
)
NAMES = (
    "symbol", "symbols", "limit", "interval", "startTime", "endTime", "fromId", "category", "start", "end",
    "cursor", "status", "baseCoin",
)  # fmt: skip
ARGUMENTS = st.dictionaries(st.sampled_from(NAMES), VALUES, max_size=6)
CALLS = (
    "ping", "time", "exchangeInfo", "depth", "trades", "aggTrades", "klines", "ticker/24hr", "ticker/price",
    "ticker/bookTicker", "premiumIndex", "fundingRate", "fundingInfo", "nothing",
)  # fmt: skip
BYBIT_CALLS = (
    "time",
    "instruments-info",
    "orderbook",
    "recent-trade",
    "kline",
    "tickers",
    "funding/history",
    "no",
)


def asked(rest: BinanceRest | BybitRest, path: str, arguments: dict[str, str]) -> bytes | VenueRefusal:
    try:
        return rest.answer("GET", path, arguments, NOW)
    except VenueRefusal as refusal:
        return refusal


@given(key=st.sampled_from(sorted(ROOTS)), call=st.sampled_from(CALLS), arguments=ARGUMENTS)
@example("binance_usdm", "klines", {"symbol": "BTCUSDT", "interval": "1m", "startTime": "1" * 20})
@example("binance_spot", "depth", {"symbol": "BTCUSDT", "limit": "٣"})
def test_binance_answers_or_refuses_anything(key: str, call: str, arguments: dict[str, str]) -> None:
    rest = BINANCE[key]
    body = asked(rest, f"{rest.root}/{call}", arguments)
    if isinstance(body, VenueRefusal):
        assert 400 <= body.status < 500
        assert body.code < 0
        kind, text = rest.refusal(body.status, body.code, body.message, NOW)
        assert (kind, msgspec.json.decode(text)["code"]) == ("application/json", body.code)
    else:
        msgspec.json.decode(body)
    RULES[key].weigh(f"GET {rest.root}/{call}", arguments)


@given(call=st.sampled_from(BYBIT_CALLS), arguments=ARGUMENTS)
def test_bybit_answers_or_refuses_anything(call: str, arguments: dict[str, str]) -> None:
    body = asked(BYBIT, f"/v5/market/{call}", arguments)
    if isinstance(body, VenueRefusal):
        assert body.code in (10001, 404)
    else:
        whole = msgspec.json.decode(body)
        assert (whole["retCode"], whole["retMsg"]) == (0, "OK")


JSON: Any = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=12) | st.sampled_from(["SUBSCRIBE", "ping"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["method", "params", "id", "op", "args", "req_id"]), inner, max_size=6
        )
    ),
    max_leaves=12,
)


@given(message=JSON | st.text(max_size=30), key=st.sampled_from(sorted(ROOTS)))
def test_any_message_gets_a_reply_that_is_json(message: Any, key: str) -> None:
    text = message if isinstance(message, str) else msgspec.json.encode(message).decode()
    for streams, opening in (
        (STREAMS[key], Opening(key)),
        (BybitStreams(BYBIT_MARKETS), Opening("bybit_spot")),
    ):
        reaction = streams.on_message(text, opening, {}, "c-1")
        msgspec.json.decode(reaction.reply)
        for name in reaction.subscribe:
            streams.topic(opening, name)


@given(name=st.text(max_size=24), path=st.text(max_size=30), query=st.text(max_size=30))
@example("btcusdt@depth7", "/stream", "streams=%ff/@")
def test_any_address_and_stream_name_can_be_asked_for(name: str, path: str, query: str) -> None:
    for key, streams in STREAMS.items():
        streams.opening(path, query)
        assert streams.topic(Opening(key, route="public"), f"btcusdt@{name}") is None or name
    bybit = BybitStreams(BYBIT_MARKETS)
    bybit.opening(path, query)
    bybit.topic(Opening("bybit_linear"), name)


def test_asking_for_tickers_of_all_does_not_make_all_move() -> None:
    market = served("binance_spot")
    rest = BinanceRest(market, Enforcement(RULES["binance_spot"]))
    rows = msgspec.json.decode(rest.answer("GET", "/api/v3/ticker/24hr", {}, NOW))
    assert all(float(each["bidPrice"]) < float(each["askPrice"]) for each in rows)
    assert market.advance(NOW + 10**9) == []
    rest.answer("GET", "/api/v3/depth", {"symbol": "BTCUSDT"}, NOW)
    assert [each.symbol for each in market.advance(NOW + 10**9)] == ["BTCUSDT"]
