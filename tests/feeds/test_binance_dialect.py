from __future__ import annotations

import gzip
import json
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine.errors import BadAnswer
from engine.market.batches import BUY, SELL, Batch, Kind, Source
from engine.market.candles import notional
from engine.market.instruments import Instrument
from engine.market.sequencing import Rule
from feeds.dialect import Call, Control
from feeds.venues import DIALECTS
from feeds.venues.binance_dialect import BinanceDialect

DATA = Path(__file__).resolve().parents[2].parent / "shared" / "data"
SHAPES = DATA / "shapes" / "gocryptotrader_binance_rest_mock.json.gz"
SPOT, USDM, COINM = (BinanceDialect(m) for m in ("binance_spot", "binance_usdm", "binance_coinm"))
ALL = (SPOT, USDM, COINM)
BTC = Instrument("binance_spot", "BTC-USDT", "BTC", "USDT", 2, 5, native="BTCUSDT")
PERP = Instrument("binance_usdm", "BTC-USDT-PERP", "BTC", "USDT", 1, 3, native="BTCUSDT")
DATED = Instrument("binance_usdm", "BTC-USDT-240927", "BTC", "USDT", 1, 3, native="BTCUSDT_240927")
COIN = Instrument("binance_coinm", "BTC-USD-PERP", "BTC", "USD", 1, 0, native="BTCUSD_PERP", contracts=True)
MINUTE_NS = 60_000_000_000


@cache
def recorded() -> dict[str, Any]:
    if not SHAPES.exists():
        pytest.skip(f"no recorded shapes at {SHAPES}")
    return json.loads(gzip.decompress(SHAPES.read_bytes()))["routes"]


def body(path: str) -> bytes:
    """The first recorded answer of a route that is no refusal."""
    answers = [one["data"] for one in recorded()[path]["GET"]]
    return json.dumps(next(one for one in answers if not (isinstance(one, dict) and "code" in one))).encode()


def encoded(value: object) -> bytes:
    return json.dumps(value).encode()


def symbol(**changes: Any) -> dict[str, Any]:
    filters = [
        {"filterType": "PRICE_FILTER", "tickSize": "0.01000000", "minPrice": "0.01"},
        {"filterType": "LOT_SIZE", "stepSize": "0.00001000"},
        {"filterType": "NOTIONAL", "minNotional": "5"},
    ]
    whole = {"symbol": "BTCUSDT", "baseAsset": "BTC", "quoteAsset": "USDT", "status": "TRADING"}
    return whole | {"filters": filters} | changes


def test_every_market_is_in_the_registry_by_its_key() -> None:
    assert [DIALECTS[key].key for key in ("binance_spot", "binance_usdm", "binance_coinm")] == [
        "binance_spot", "binance_usdm", "binance_coinm",
    ]  # fmt: skip
    assert [dialect.rule for dialect in ALL] == [
        Rule.BINANCE_SPOT,
        Rule.BINANCE_FUTURES,
        Rule.BINANCE_FUTURES,
    ]


def test_a_local_venue_has_each_market_below_its_key() -> None:
    assert USDM.endpoints().stream == "wss://fstream.binance.com"
    local = USDM.endpoints("http://127.0.0.1:8051")
    assert local.rest == "http://127.0.0.1:8051/binance_usdm"
    assert local.stream == "ws://127.0.0.1:8051/binance_usdm"


def test_recorded_spot_listings_are_read() -> None:
    listing = SPOT.parse_instruments(body("/api/v3/exchangeInfo"))
    assert listing.limits == (
        ("REQUEST_WEIGHT", 60, 6000), ("ORDERS", 10, 100), ("ORDERS", 86_400, 200_000), ("RAW_REQUESTS", 300, 61_000),
    )  # fmt: skip
    eth = next(one for one in listing.instruments if one.native == "ETHBTC")
    assert (eth.symbol, eth.base, eth.quote) == ("ETH-BTC", "ETH", "BTC")
    assert (eth.price_decimals, eth.size_decimals, eth.tick_size, eth.lot_size) == (5, 4, 1, 1)
    assert listing.more is None


def test_recorded_futures_listings_are_read() -> None:
    usdm = {one.symbol: one for one in USDM.parse_instruments(body("/fapi/v1/exchangeInfo")).instruments}
    assert usdm["BTC-USDT-PERP"].native == "BTCUSDT"
    assert not usdm["BTC-USDT-PERP"].contracts
    coinm = {one.symbol: one for one in COINM.parse_instruments(body("/dapi/v1/exchangeInfo")).instruments}
    assert (coinm["BTC-USD-PERP"].native, coinm["BTC-USD-PERP"].contracts) == ("BTCUSD_PERP", True)
    assert coinm["BTC-USD-PERP"].size_decimals == 0


def test_only_what_trades_is_listed() -> None:
    symbols = [
        symbol(),
        symbol(symbol="ETHUSDT", baseAsset="ETH", status="BREAK"),
        symbol(symbol="XRPUSDT", baseAsset="XRP", isSpotTradingAllowed=False),
        symbol(symbol="ODDUSDT", baseAsset="ODD", filters=[]),
        symbol(symbol="X" * 33, baseAsset="X"),
    ]
    listing = SPOT.parse_instruments(encoded({"symbols": symbols}))
    assert [one.symbol for one in listing.instruments] == ["BTC-USDT"]
    dated = symbol(symbol="BTCUSDT_260925", contractType="CURRENT_QUARTER")
    assert [one.symbol for one in USDM.parse_instruments(encoded({"symbols": [dated]})).instruments] == [
        "BTC-USDT-260925"
    ]


def test_ticks_that_are_no_power_of_ten_keep_their_size() -> None:
    filters = [
        {"filterType": "PRICE_FILTER", "tickSize": "0.50"},
        {"filterType": "LOT_SIZE", "stepSize": "25"},
    ]
    (found,) = SPOT.parse_instruments(encoded({"symbols": [symbol(filters=filters)]})).instruments
    assert (found.price_decimals, found.tick_size, found.size_decimals, found.lot_size) == (1, 5, 0, 25)


@pytest.mark.parametrize(
    ("text", "field"),
    [(b"<html>", "json"), (b"{}", "symbols"), (encoded({"symbols": [{"symbol": 5}]}), "symbols")],
)
def test_a_listing_of_another_form_names_the_field(text: bytes, field: str) -> None:
    with pytest.raises(BadAnswer, match=f"GET /api/v3/exchangeInfo: '{field}'"):
        SPOT.parse_instruments(text)


def test_recorded_times_are_read() -> None:
    assert USDM.parse_time(body("/fapi/v1/time")) == 1620099477465 * 1_000_000
    with pytest.raises(BadAnswer, match="serverTime"):
        USDM.parse_time(b'{"serverTime":"soon"}')


def test_a_hundred_snapshots_fit_in_one_minute_of_each_budget() -> None:
    # Weight of 1,000 levels, and what a minute allows: from the venue's documents.
    for dialect, weight, minute in ((SPOT, 50, 6_000), (USDM, 20, 2_400), (COINM, 20, 2_400)):
        call = dialect.snapshot_call(BTC)
        assert call is not None
        assert call.arguments == {"symbol": "BTCUSDT", "limit": 1_000}
        assert 100 * weight <= minute
    assert SPOT.snapshot_call(BTC).endpoint == "GET /api/v3/depth"


def test_candle_calls_leave_out_the_end() -> None:
    call = SPOT.candles_call(BTC, 60, 10 * MINUTE_NS, 20 * MINUTE_NS, 5_000)
    assert call == Call(
        "/api/v3/klines",
        {"symbol": "BTCUSDT", "interval": "1m", "startTime": 600_000, "endTime": 1_199_999, "limit": 1_000},
    )


def test_recorded_candles_are_read_exactly() -> None:
    source = Source("binance_spot", "live")
    finer = Instrument("binance_spot", "BTC-USDT", "BTC", "USDT", 2, 8, native="BTCUSDT")
    batch = SPOT.parse_candles(finer, 300, body("/api/v3/klines"), source, 77)
    assert (batch.kind, batch.symbol, batch.interval_ns, batch.ts_recv_ns) == (
        Kind.CANDLES, "BTC-USDT", 300 * 10**9, 77,
    )  # fmt: skip
    first = batch.rows[:1]
    assert first.tolist()[0][:6] == (1586987400000 * 10**6, 673355, 673779, 672661, 672714, 12120139100)
    assert notional(first) == 8158794941681800  # 815879.49416818 in units of 10^-10
    assert first["trades"][0] == 2208


def test_coin_margined_candles_have_a_notional_near_the_mean_price() -> None:
    row = [
        1602669900000,
        "11000.0",
        "11010.0",
        "10990.0",
        "11005.0",
        "5000",
        1602670199999,
        "45.45454545",
        77,
        "",
        "",
    ]
    batch = COINM.parse_candles(COIN, 60, encoded([row]), Source("binance_coinm", "live"), 1)
    # 5,000 contracts of 100 dollars for 45.45 coins: 11,000 a coin.
    assert notional(batch.rows) / 5000 == pytest.approx(110_000, abs=1)


@pytest.mark.parametrize(
    "row",
    [
        [1, "1"],
        [1, "x", "1", "1", "1", "1", 1, "1", 1],
        [-1, *["1"] * 5, 1, "1", 1],
        [1, *["-1"] * 5, 1, "1", 1],
        [2**62, *["1"] * 5, 1, "1", 1],
        [10**30, *["1"] * 5, 1, "1", 1],
        [1, *["1"] * 5, 1, "1", 2**63],
    ],
)
def test_a_bad_candle_is_named_by_its_number(row: list[Any]) -> None:
    good = [1586987400000, "1", "1", "1", "1", "1", 1586987699999, "1", 1]
    with pytest.raises(BadAnswer, match="candle 1"):
        SPOT.parse_candles(BTC, 60, encoded([good, row]), Source("binance_spot", "live"), 1)


def test_recorded_trades_are_read_exactly() -> None:
    finer = Instrument("binance_spot", "BTC-USDT", "BTC", "USDT", 2, 6, native="BTCUSDT")
    batch = SPOT.parse_trades(finer, body("/api/v3/historicalTrades"), Source("binance_spot", "live"), 77)
    assert (batch.kind, batch.symbol) == (Kind.TRADES, "BTC-USDT")
    assert batch.rows[2].item() == (1621933656001 * 10**6, 77, 870281752, 3817137, 4472, SELL)
    assert (np.diff(batch.rows["trade_id"]) > 0).all()


def test_recorded_aggregates_are_the_futures_trades_and_name_the_first_spot_trade() -> None:
    batch = COINM.parse_trades(COIN, body("/dapi/v1/aggTrades"), Source("binance_coinm", "live"), 77)
    assert batch.rows["trade_id"].tolist() == [4773826, 4773827, 4773828, 4773829, 4773830]
    assert batch.rows[3].item() == (1607294301845 * 10**6, 77, 4773829, 190997, 10, BUY)
    assert COINM.parse_first_trade(body("/dapi/v1/aggTrades")) == 4773826
    assert SPOT.parse_first_trade(body("/api/v3/aggTrades")) == 310207484
    assert SPOT.parse_first_trade(b"[]") is None


def test_trades_are_asked_for_by_number_and_their_first_by_time() -> None:
    call = SPOT.trades_call(BTC, 7)
    assert (call.endpoint, call.arguments) == (
        "GET /api/v3/historicalTrades",
        {"symbol": "BTCUSDT", "fromId": 7, "limit": 1_000},
    )
    assert USDM.trades_call(PERP, 7).endpoint == "GET /fapi/v1/aggTrades"
    first = COINM.first_trade_call(COIN, 1_500_001)
    assert first is not None
    assert (first.endpoint, first.arguments) == (
        "GET /dapi/v1/aggTrades",
        {"symbol": "BTCUSD_PERP", "startTime": 2, "limit": 1},
    )


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"price": "1.001"}, "price"),
        ({"price": "-1"}, "price"),
        ({"price": '1","2'}, "price"),
        ({"qty": "1e3"}, "qty"),
        ({"qty": 3}, "qty"),
        ({"id": -1}, "id"),
        ({"time": 2**63}, "time"),
        ({"isBuyerMaker": "no"}, "isBuyerMaker"),
    ],
)
def test_a_bad_trade_names_its_field(change: dict[str, Any], field: str) -> None:
    good = {"id": 1, "price": "1.50", "qty": "2", "time": 1_600_000_000_000, "isBuyerMaker": True}
    coarse = Instrument("binance_spot", "BTC-USDT", "BTC", "USDT", 2, 0, native="BTCUSDT")
    with pytest.raises(BadAnswer, match=f"historicalTrades: '{field}'"):
        SPOT.parse_trades(coarse, encoded([good, good | change]), Source("binance_spot", "live"), 1)


def test_trades_without_price_or_size_are_none() -> None:
    rows = [
        {"id": at, "price": price, "qty": qty, "time": 1_600_000_000_000, "isBuyerMaker": False}
        for at, (price, qty) in enumerate((("1", "1"), ("0.00", "1"), ("1", "0"), ("2", "3")))
    ]
    batch = SPOT.parse_trades(BTC, encoded(rows), Source("binance_spot", "live"), 1)
    assert batch.rows["trade_id"].tolist() == [0, 3]


def test_funding_is_read_from_an_object_and_from_a_list() -> None:
    batch = USDM.parse_funding(PERP, body("/fapi/v1/premiumIndex"), Source("binance_usdm", "live"), 5)
    assert batch.rows.tolist() == [
        (1687244112000 * 10**6, 5, 12_260_000, 1687248000000 * 10**6, 0, 267808)
    ]  # fmt: skip
    said = {"symbol": "BTCUSD_PERP", "pair": "BTCUSD", "markPrice": "61000.05", "lastFundingRate": "-0.0001",
            "nextFundingTime": 1_000, "time": 900}  # fmt: skip
    other = said | {"symbol": "BTCUSD_240927", "lastFundingRate": "", "nextFundingTime": 0}
    batch = COINM.parse_funding(COIN, encoded([other, said]), Source("binance_coinm", "live"), 5)
    assert batch.rows[["rate_e12", "mark_price"]].tolist() == [(-100_000_000, 610001)]


def test_the_history_of_funding_has_the_moments_of_payment() -> None:
    batch = COINM.parse_funding_history(
        COIN, body("/dapi/v1/fundingRate"), Source("binance_coinm", "live"), 5
    )
    assert batch.rows["rate_e12"].tolist()[:2] == [100_000_000, 251_410_000]
    assert batch.rows["ts_event_ns"].tolist()[1] == 1605542400000 * 10**6
    assert set(batch.rows["next_ns"].tolist()) == {0}


@pytest.mark.parametrize("number", [2**62, 2**63, 10**30, -1])
def test_times_that_no_row_can_hold_are_no_answer(number: int) -> None:
    source = Source("binance_usdm", "live")
    said = {"symbol": "BTCUSDT", "markPrice": "1", "lastFundingRate": "0", "nextFundingTime": 1, "time": 1}
    for field in ("time", "nextFundingTime"):
        with pytest.raises(BadAnswer, match="premiumIndex"):
            USDM.parse_funding(PERP, encoded(said | {field: number}), source, 5)
    paid = {"symbol": "BTCUSDT", "fundingRate": "0", "fundingTime": number, "markPrice": "1"}
    with pytest.raises(BadAnswer, match="fundingRate"):
        USDM.parse_funding_history(PERP, encoded([paid]), source, 5)
    with pytest.raises(BadAnswer, match="serverTime"):
        USDM.parse_time(encoded({"serverTime": number}))


def test_a_mark_price_that_only_rounding_takes_past_64_bits_is_no_answer() -> None:
    most = str(2**63 - 1)
    text = most[: -PERP.price_decimals] + "." + most[-PERP.price_decimals :] + "9"
    said = {"symbol": "BTCUSDT", "markPrice": text, "lastFundingRate": "0", "time": 1}
    with pytest.raises(BadAnswer, match="markPrice"):
        USDM.parse_funding(PERP, encoded(said), Source("binance_usdm", "live"), 5)


def test_announced_limits_of_absurd_size_are_left_out() -> None:
    limit = {"rateLimitType": "REQUEST_WEIGHT", "interval": "MINUTE", "intervalNum": 1, "limit": 6_000}
    said = {"symbols": [], "rateLimits": [limit, limit | {"limit": 10**18}, limit | {"intervalNum": 10**18}]}
    assert SPOT.parse_instruments(encoded(said)).limits == (("REQUEST_WEIGHT", 60, 6_000),)


def test_only_perpetuals_have_funding() -> None:
    assert SPOT.funding_call(BTC) is None
    assert USDM.funding_call(DATED) is None
    assert USDM.funding_history_call(DATED, 0, 1, 1) is None
    assert USDM.funding_call(PERP) == Call("/fapi/v1/premiumIndex", {"symbol": "BTCUSDT"})


@pytest.mark.parametrize(
    ("status", "text", "expected"),
    [
        (200, b"[]", (0, "")),
        (400, b'{"code":-1121,"msg":"Invalid symbol."}', (-1121, "Invalid symbol.")),
        (
            429,
            b'{"code":-1003,"msg":"Too much request weight used"}',
            (-1003, "Too much request weight used"),
        ),
        (403, b"<html>Forbidden</html>", (0, "<html>Forbidden</html>")),
        (502, b"\xff", (0, "\ufffd")),
        (400, b'{"x":' + b"[" * 5_000, (0, '{"x":' + "[" * 195)),
        (400, b'{"code":%d}' % 10**30, (0, '{"code":1000000000000000000000000000000}')),
    ],
)
def test_refusals_are_read(status: int, text: bytes, expected: tuple[int, str]) -> None:
    assert SPOT.error_code(status, text) == expected


def test_streams_of_an_instrument() -> None:
    (spot,) = SPOT.topics(BTC)
    assert spot.path == "/stream"
    assert spot.topics == ("btcusdt@depth@100ms", "btcusdt@bookTicker", "btcusdt@trade", "btcusdt@kline_1m")
    assert spot.book == ("btcusdt@depth@100ms",)
    public, market = USDM.topics(PERP)
    assert (public.path, public.topics) == ("/public/stream", ("btcusdt@depth@100ms", "btcusdt@bookTicker"))
    assert market.path == "/market/stream"
    assert market.topics == ("btcusdt@aggTrade", "btcusdt@kline_1m", "btcusdt@markPrice@1s")
    (coin,) = COINM.topics(COIN)
    assert coin.path == "/stream"
    assert coin.topics[0] == "btcusd_perp@depth@100ms"


def test_subscriptions_are_requests_with_an_id() -> None:
    assert json.loads(SPOT.subscribe(["a@trade", "b@trade"], "7")) == {
        "method": "SUBSCRIBE", "params": ["a@trade", "b@trade"], "id": 7,
    }  # fmt: skip
    assert json.loads(SPOT.unsubscribe(["a@trade"], "x8"))["id"] == "x8"


@pytest.mark.parametrize(
    ("frame", "expected"),
    [
        (b'{"result":null,"id":7}', Control("ack", "7")),
        (b'{"id":"x8","result":null}', Control("ack", "x8")),
        (
            b'{"error":{"code":2,"msg":"Invalid request"},"id":3}',
            Control("refused", "3", "2: Invalid request"),
        ),
        (b'{"code":1,"msg":"Invalid JSON"}', Control("refused", "", "1: Invalid JSON")),
        (b'{"e":"serverShutdown","E":1}', Control("shutdown", text="the venue announced its shutdown")),
        (
            b'{"stream":"x","data":{"e":"serverShutdown","E":1}}',
            Control("shutdown", text="the venue announced its shutdown"),
        ),
        (b'{"stream":"btcusdt@trade","data":{"e":"trade"}}', None),
        (b'{"u":400900217,"s":"BNBUSDT","b":"25.35"}', None),
        (b'{"e":"trade","s":"serverShutdown"}', None),
        (b"nonsense", None),
        (b"\xff", None),
        (b"", None),
    ],
)
def test_control_frames_are_told_from_market_data(frame: bytes, expected: Control | None) -> None:
    assert SPOT.control(frame) == expected


def test_a_decoder_takes_a_recorded_snapshot() -> None:
    decoder = SPOT.decoder(Source("binance_spot", "live"), [BTC])
    *revised, batch = decoder.snapshot("BTC-USDT", body("/api/v3/depth"), 9)
    assert isinstance(batch, Batch)
    assert (batch.kind, batch.ts_recv_ns) == (Kind.SNAPSHOT, 9)
    assert batch.bids > 0
    assert [type(one) for one in revised] in ([], [Instrument])
