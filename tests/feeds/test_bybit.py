"""Bybit's frames, calls and answers, in the shapes of its documents and of published samples."""

from __future__ import annotations

import io
import json
import re
import tarfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import BadAnswer, BadFrame
from engine.market.batches import BUY, SELL, Batch, Kind, Source
from engine.market.candles import notional
from engine.market.instruments import INT64_MAX, Instrument
from engine.market.sequencing import Rule
from feeds.dialect import Control
from feeds.frames import join
from feeds.venues import bybit
from feeds.venues.bybit import DIALECTS, BybitDialect
from feeds.venues.bybit_frames import MAX_LEVELS, MAX_SYMBOLS, BybitDecoder, Decoded
from feeds.venues.bybit_rows import MAX_MILLIS, BadField, candle_row, candle_rows, millis_of

SAMPLES = Path(__file__).parents[3] / "shared/data/shapes/jkorf_bybit.net_samples.tar.gz"
SOURCE = Source("bybit_linear", "live")
BTC = Instrument("bybit_linear", "BTC-USDT-PERP", "BTC", "USDT", 2, 3, native="BTCUSDT")
ETH = Instrument("bybit_linear", "ETH-USDT-PERP", "ETH", "USDT", 2, 3, native="ETHUSDT")
INVERSE = Instrument("bybit_inverse", "BTC-USD-PERP", "BTC", "USD", 1, 0, native="BTCUSD", contracts=True)
SPOT, LINEAR, COIN = DIALECTS
MINUTE_NS = 60 * 10**9

BOOK: dict[str, Any] = {
    "topic": "orderbook.200.BTCUSDT",
    "type": "delta",
    "ts": 1672304484978,
    "data": {
        "s": "BTCUSDT",
        "b": [["16493.50", "0.006"], ["16493.00", "0"]],
        "a": [["16611.00", "0.029"]],
        "u": 18521288,
        "seq": 7961638724,
    },
    "cts": 1672304484976,
}
TRADE: dict[str, Any] = {
    "T": 1672304486865,
    "s": "BTCUSDT",
    "S": "Buy",
    "v": "0.001",
    "p": "16578.50",
    "L": "PlusTick",
    "i": "20f43950-d8dd-5b31-9112-a178eb6023af",
    "BT": False,
}
CANDLE: dict[str, Any] = {
    "start": 1672324800000,
    "end": 1672324859999,
    "interval": "1",
    "open": "16649.5",
    "close": "16677",
    "high": "16677",
    "low": "16608",
    "volume": "2.081",
    "turnover": "34666.4005",
    "confirm": True,
    "timestamp": 1672324988882,
}
TICKER: dict[str, Any] = {
    "symbol": "BTCUSDT",
    "lastPrice": "17216.00",
    "markPrice": "17217.335",
    "nextFundingTime": "1673280000000",
    "fundingRate": "-0.000212",
}


def wire(body: Any) -> bytes:
    return json.dumps(body, separators=(",", ":")).encode()


def best(bids: list, asks: list, kind: str = "snapshot") -> bytes:
    data = {"s": "BTCUSDT", "b": bids, "a": asks, "u": 5, "seq": 6}
    return wire({"topic": "orderbook.1.BTCUSDT", "type": kind, "ts": 1000, "data": data})


def trades(*rows: dict[str, Any]) -> bytes:
    return wire({"topic": "publicTrade.BTCUSDT", "type": "snapshot", "ts": 1672304486868, "data": list(rows)})


def candles(*rows: dict[str, Any]) -> bytes:
    return wire({"topic": "kline.1.BTCUSDT", "data": list(rows), "ts": 1672324988882, "type": "snapshot"})


def ticker(kind: str, ts: int, **fields: str) -> bytes:
    data = {"symbol": "BTCUSDT", **fields}
    return wire({"topic": "tickers.BTCUSDT", "type": kind, "data": data, "cs": 24987956059, "ts": ts})


def decoder(*instruments: Instrument) -> BybitDecoder:
    return BybitDecoder(SOURCE, instruments or (BTC,))


def decode(feed: BybitDecoder, *frames: bytes) -> list[Decoded]:
    return feed.decode(join(frames, [7 + number for number in range(len(frames))]))


def only(items: list[Decoded]) -> Batch:
    assert len(items) == 1, items
    assert isinstance(items[0], Batch)
    return items[0]


def bad_field(*frames: bytes, feed: BybitDecoder | None = None) -> str:
    items = decode(feed or decoder(), *frames)
    assert len(items) == 1, items
    assert isinstance(items[0], BadFrame)
    return items[0].field


# --- frames ------------------------------------------------------------------------------------------------


def test_a_delta() -> None:
    batch = only(decode(decoder(), wire(BOOK)))
    assert (batch.kind, batch.symbol, batch.bids) == (Kind.DELTA, "BTC-USDT-PERP", 2)
    assert batch.rows.tolist() == [(1649350, 6), (1649300, 0), (1661100, 29)]
    assert (batch.first_sequence, batch.last_sequence, batch.previous_sequence) == (18521288, 18521288, -1)
    assert (batch.ts_event_ns, batch.ts_recv_ns) == (1672304484978 * 10**6, 7)


def test_a_snapshot() -> None:
    batch = only(decode(decoder(), wire(BOOK | {"type": "snapshot"})))
    assert (batch.kind, batch.last_sequence) == (Kind.SNAPSHOT, 18521288)


def test_the_order_of_keys_does_not_matter() -> None:
    spot = {key: BOOK[key] for key in ("topic", "ts", "type", "data", "cts")}
    expected = only(decode(decoder(), wire(BOOK)))
    for form in (wire(spot), wire(dict(reversed(BOOK.items()))), json.dumps(BOOK, indent=1).encode()):
        have = only(decode(decoder(), form))
        assert have.rows.tolist() == expected.rows.tolist()
        assert (have.kind, have.last_sequence, have.ts_event_ns) == (
            expected.kind,
            expected.last_sequence,
            expected.ts_event_ns,
        )


def test_best_prices_are_unnumbered_quotes() -> None:
    batch = only(decode(decoder(), best([["100.5", "2"]], [["100.6", "3.5"]])))
    assert batch.kind is Kind.QUOTES
    assert batch.rows.tolist() == [(1000 * 10**6, 7, 0, 10050, 2000, 10060, 3500)]


def test_a_side_that_a_delta_leaves_out_is_as_it_was() -> None:
    feed = decoder()
    frames = (
        best([["100.5", "2"]], [["100.6", "3"]]),
        best([["100.5", "0"], ["100.4", "1"]], [], "delta"),
        best([], [["100.6", "4"]], "delta"),
    )
    rows = only(decode(feed, *frames)).rows
    assert rows[["bid_price", "bid_size", "ask_price", "ask_size"]].tolist() == [
        (10050, 2000, 10060, 3000),
        (10040, 1000, 10060, 3000),
        (10040, 1000, 10060, 4000),
    ]


def test_a_market_without_one_side_has_no_quote() -> None:
    feed = decoder()
    assert decode(feed, best([["100.5", "2"]], [])) == []
    assert feed.ignored == {"one-sided quote": 1}


def test_trades_of_derivatives_and_of_spot() -> None:
    spot = TRADE | {"i": "2290000000050703789", "S": "Sell", "v": "1.5"}
    batch = only(decode(decoder(), trades(TRADE, spot)))
    assert batch.kind is Kind.TRADES
    assert batch.rows[["price", "size", "aggressor"]].tolist() == [(1657850, 1, BUY), (1657850, 1500, SELL)]
    assert batch.rows["trade_id"].tolist() == [0x20F43950D8DD5B3, 2290000000050703789]
    assert batch.rows["ts_event_ns"].tolist() == [1672304486865 * 10**6] * 2


def test_quotes_and_trades_of_a_chunk_are_one_batch_a_symbol() -> None:
    eth = wire(json.loads(trades(TRADE | {"s": "ETHUSDT"})) | {"topic": "publicTrade.ETHUSDT"})
    quote = best([["1", "1"]], [["2", "1"]])
    items = decode(decoder(BTC, ETH), trades(TRADE), eth, quote, wire(BOOK), trades(TRADE), quote)
    assert [(item.kind, item.symbol, len(item.rows)) for item in items if isinstance(item, Batch)] == [
        (Kind.DELTA, "BTC-USDT-PERP", 3),
        (Kind.QUOTES, "BTC-USDT-PERP", 2),
        (Kind.TRADES, "BTC-USDT-PERP", 2),
        (Kind.TRADES, "ETH-USDT-PERP", 1),
    ]


def test_only_closed_candles_are_handed_on() -> None:
    running = CANDLE | {"start": 1672324860000, "confirm": False}
    batch = only(decode(decoder(), candles(CANDLE, running), candles(running)))
    assert (batch.kind, batch.interval_ns) == (Kind.CANDLES, MINUTE_NS)
    assert batch.rows[["ts_open_ns", "open", "high", "low", "close", "volume", "trades"]].tolist() == [
        (1672324800000 * 10**6, 1664950, 1667700, 1660800, 1667700, 2081, 0)
    ]
    assert notional(batch.rows) == 3_466_640_050  # 34,666.4005 in units of 10^-5


def test_funding_keeps_what_a_ticker_leaves_out() -> None:
    first = {key: value for key, value in TICKER.items() if key != "symbol"}
    items = decode(
        decoder(),
        ticker("snapshot", 1000, **first),
        ticker("delta", 1100, lastPrice="17217"),
        ticker("delta", 1200, markPrice="17218"),
        ticker("delta", 1300, fundingRate="0.0001", fundingIntervalHour="4"),
        ticker("snapshot", 1400, markPrice="17219", fundingRate=""),
    )
    rows = [item.rows.tolist()[0] for item in items if isinstance(item, Batch)]
    paid_ns = 1673280000000 * 10**6
    assert rows == [
        (1000 * 10**6, 7, -212_000_000, paid_ns, 0, 1721734),
        (1200 * 10**6, 9, -212_000_000, paid_ns, 0, 1721800),
        (1300 * 10**6, 10, 100_000_000, paid_ns, 14_400, 1721800),
    ]


def test_finer_numbers_open_a_revision_before_their_batch() -> None:
    feed = decoder()
    finer = json.loads(wire(BOOK))
    finer["data"]["b"] = [["16493.505", "0.0061"]]
    before, revised, after = decode(feed, best([["1", "1"]], [["2", "1"]]), wire(finer))
    assert isinstance(before, Batch)
    assert isinstance(revised, Instrument)
    assert isinstance(after, Batch)
    assert (before.kind, after.kind) == (Kind.QUOTES, Kind.DELTA)
    assert (revised.price_decimals, revised.size_decimals, revised.revision) == (3, 4, 1)
    assert after.rows.tolist() == [(16493505, 61), (16611000, 290)]
    assert feed.instruments == [revised]
    again = only(decode(feed, best([], [["3", "1"]], "delta")))
    assert again.rows[["bid_price", "bid_size", "ask_price"]].tolist() == [(1000, 10_000, 3000)]


def test_finer_trades_open_a_revision() -> None:
    revised, batch = decode(decoder(), trades(TRADE, TRADE | {"p": "16578.505", "v": "0.0015"}))
    assert isinstance(revised, Instrument)
    assert isinstance(batch, Batch)
    assert batch.rows[["price", "size"]].tolist() == [(16578500, 10), (16578505, 15)]


def test_units_too_fine_for_the_book_are_a_bad_frame() -> None:
    """One damaged number must not bring a whole book to units that it does not fit."""
    data = {"s": "BTCUSDT", "b": [["0.01", "99999999999.999"]], "a": [], "u": 1}
    for price, size, field in (("0.01", "0.00000000001", "b"), ("0.01", "0.0001", "")):
        feed = decoder()
        decode(feed, wire(BOOK | {"type": "snapshot", "data": data}))
        frame = wire(BOOK | {"data": data | {"b": [[price, size]], "u": 2}})
        if field:
            assert bad_field(frame, feed=feed) == field
            assert feed.instruments == [BTC]
            assert bad_field(trades(TRADE | {"v": size}), feed=feed) == "v"
        else:
            assert isinstance(decode(feed, frame)[0], Instrument)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"type": "update"}, "type"),
        ({"ts": "soon"}, "ts"),
        ({"ts": -1}, "ts"),
        ({"data": {"s": "BTCUSDT", "b": [], "a": []}}, "u"),
        ({"data": {"s": "BTCUSDT", "b": [], "u": 1}}, "a"),
        ({"data": {"s": "ETHUSDT", "b": [], "a": [], "u": 1}}, "s"),
        ({"data": {"s": "BTCUSDT", "b": [["1"]], "a": [], "u": 1}}, "b"),
        ({"data": {"s": "BTCUSDT", "b": [], "a": [["1", "-2"]], "u": 1}}, "a"),
        ({"data": {"s": "BTCUSDT", "b": [["x", "2"]], "a": [], "u": 1}}, "b"),
        ({"data": {"s": "BTCUSDT", "b": [["1.0000000000001", "2"]], "a": [], "u": 1}}, "b"),
        ({"data": {"s": "BTCUSDT", "b": [["1" * 30, "2"]], "a": [], "u": 1}}, "b"),
        ({"data": {"s": "BTCUSDT", "b": [], "a": [], "u": 10**18}}, "u"),
        ({"data": {"s": "BTCUSDT", "b": [["1", "1"]] * (MAX_LEVELS + 1), "a": [], "u": 1}}, "b"),
        ({"data": {"s": "BTCUSDT", "b": [], "a": [["1", "1"]] * (MAX_LEVELS + 1), "u": 1}}, "a"),
    ],
)
def test_a_bad_book_frame_names_its_field(change: dict[str, Any], field: str) -> None:
    feed = decoder()
    assert bad_field(wire(BOOK | change), feed=feed) == field
    assert feed.instruments == [BTC]


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"S": "Bought"}, "S"),
        ({"p": "0"}, "p"),
        ({"v": "0.000"}, "v"),
        ({"p": '1","1"],["2'}, "p"),
        ({"i": "no id"}, "i"),
        ({"i": "9" * 19}, "i"),
        ({"s": "ETHUSDT"}, "s"),
        ({"T": None}, "T"),
    ],
)
def test_a_bad_trade_names_its_field(change: dict[str, Any], field: str) -> None:
    assert bad_field(trades(TRADE, TRADE | change)) == field


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"open": "1.001"}, "open"),
        ({"start": 1672324800001}, "start"),
        ({"volume": "-1"}, "volume"),
        ({"volume": str(INT64_MAX)}, "volume"),
        ({"turnover": "1e9"}, "turnover"),
        ({"turnover": "9" * 32}, "turnover"),
        ({"confirm": 1}, "confirm"),
    ],
)
def test_a_bad_candle_names_its_field(change: dict[str, Any], field: str) -> None:
    assert bad_field(candles(CANDLE | change)) == field


@pytest.mark.parametrize(
    ("field", "text"),
    [
        ("fundingRate", "much"),
        ("nextFundingTime", "99999999999999"),
        ("fundingIntervalHour", "99999"),
        ("markPrice", str(INT64_MAX)),
    ],
)
def test_a_bad_ticker_names_its_field_and_changes_nothing(field: str, text: str) -> None:
    feed = decoder()
    assert (
        bad_field(ticker("delta", 1, **{field: text, "fundingRate": "1"} | {field: text}), feed=feed) == field
    )
    assert decode(feed, ticker("delta", 2, markPrice="5")) == []


@pytest.mark.parametrize("ts", [MAX_MILLIS, MAX_MILLIS + 1, 10**13 - 1, 10**30])
def test_times_past_int64_are_bad(ts: int) -> None:
    quote = json.loads(best([["1", "1"]], [["2", "1"]])) | {"ts": ts}
    frames = [
        wire(BOOK | {"ts": ts}),
        wire(quote),
        trades(TRADE | {"T": ts}),
        candles(CANDLE | {"start": ts}),
    ]
    frames.append(ticker("snapshot", ts, fundingRate="1", nextFundingTime=str(ts)))
    good = ts <= MAX_MILLIS
    for frame in frames:
        (item,) = decode(decoder(), frame)
        on_a_minute = b"kline" not in frame
        assert isinstance(item, Batch if good and on_a_minute else BadFrame)


def test_frames_that_are_no_data_are_counted() -> None:
    feed = decoder()
    other = wire({"topic": "liquidation.BTCUSDT", "data": {}})
    deeper = wire(BOOK | {"topic": "orderbook.50.BTCUSDT"})
    pong = wire({"success": True, "ret_msg": "pong", "conn_id": "x", "req_id": "", "op": "ping"})
    assert decode(feed, other, other, deeper, pong) == []
    assert feed.ignored == {"liquidation": 2, "orderbook": 1, "reply": 1}
    assert bad_field(b"[]", feed=feed) == "json"
    assert bad_field(b"{}", feed=feed) == "topic"


@given(st.data())
def test_damaged_frames_never_raise(data) -> None:
    frames = [
        wire(BOOK),
        wire(BOOK | {"type": "snapshot"}),
        best([["1", "1"]], [["2", "1"]]),
        trades(TRADE, TRADE),
        candles(CANDLE),
        ticker("snapshot", 5, **{key: value for key, value in TICKER.items() if key != "symbol"}),
    ]
    good = bytearray(data.draw(st.sampled_from(frames)))
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(good) - 1))
        good[at : at + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=2))
    feed = decoder()
    items = decode(feed, bytes(good), wire(BOOK), *frames)
    deltas = [item for item in items if isinstance(item, Batch) and item.kind is Kind.DELTA]
    assert len(deltas) >= 2
    feed.snapshot("BTC-USDT-PERP", bytes(good), 1)
    for dialect in DIALECTS:
        dialect.control(bytes(good))
        dialect.error_code(200, bytes(good))


def test_symbols_come_and_go() -> None:
    feed = decoder()
    eth = wire(json.loads(trades(TRADE | {"s": "ETHUSDT"})) | {"topic": "publicTrade.ETHUSDT"})
    assert decode(feed, eth) == []
    feed.add(ETH)
    assert only(decode(feed, eth)).symbol == "ETH-USDT-PERP"
    feed.remove("ETH-USDT-PERP")
    assert decode(feed, eth) == []
    assert feed.instruments == [BTC]
    feed.remove("ETH-USDT-PERP")


def test_a_decoder_takes_so_many_symbols() -> None:
    many = [
        Instrument("bybit_linear", f"A{n}-USDT", "A", "USDT", 1, 1, native=f"A{n}")
        for n in range(MAX_SYMBOLS)
    ]
    feed = decoder(*many)
    with pytest.raises(ValueError, match="at most"):
        feed.add(BTC)
    feed.add(many[0])


def test_a_book_by_rest() -> None:
    body = wire({"retCode": 0, "result": BOOK["data"] | {"ts": 1709199771584, "cts": 1}, "time": 2})
    batch = only(decoder().snapshot("BTC-USDT-PERP", body, 9))
    assert (batch.kind, batch.last_sequence, batch.ts_event_ns) == (
        Kind.SNAPSHOT,
        18521288,
        1709199771584 * 10**6,
    )
    bad = decoder().snapshot("BTC-USDT-PERP", b"{}", 9)
    assert [item.field for item in bad if isinstance(item, BadFrame)] == ["result"]


# --- REST --------------------------------------------------------------------------------------------------


def listed(**fields: Any) -> dict[str, Any]:
    return {
        "symbol": "BTCUSDT",
        "contractType": "LinearPerpetual",
        "status": "Trading",
        "baseCoin": "BTC",
        "quoteCoin": "USDT",
        "deliveryTime": "0",
        "priceFilter": {"tickSize": "0.10"},
        "lotSizeFilter": {"qtyStep": "0.001"},
    } | fields


def page(*entries: dict[str, Any], cursor: str = "") -> bytes:
    result = {"category": "linear", "list": list(entries), "nextPageCursor": cursor}
    return wire({"retCode": 0, "retMsg": "OK", "result": result, "time": 1})


def one_listed(dialect: BybitDialect, **fields: Any) -> Instrument:
    (instrument,) = dialect.parse_instruments(page(listed(**fields))).instruments
    return instrument


def test_a_linear_perpetual() -> None:
    assert one_listed(LINEAR) == Instrument(
        "bybit_linear", "BTC-USDT-PERP", "BTC", "USDT", 1, 3, 1, 1, native="BTCUSDT"
    )


def test_a_spot_instrument() -> None:
    entry = listed(lotSizeFilter={"basePrecision": "0.000001"}, priceFilter={"tickSize": "0.05"})
    del entry["contractType"], entry["deliveryTime"]
    (instrument,) = SPOT.parse_instruments(page(entry)).instruments
    assert instrument == Instrument("bybit_spot", "BTC-USDT", "BTC", "USDT", 2, 6, 5, 1, native="BTCUSDT")


@pytest.mark.parametrize(
    ("fields", "symbol", "contracts"),
    [
        ({"symbol": "BTCPERP", "quoteCoin": "USDC"}, "BTC-USDC-PERP", False),
        (
            {"symbol": "BTC-27SEP24", "contractType": "LinearFutures", "deliveryTime": "1727424000000"},
            "BTC-USDT-240927",
            False,
        ),
        ({"symbol": "BTCUSD", "contractType": "InversePerpetual", "quoteCoin": "USD"}, "BTC-USD-PERP", True),
        (
            {
                "symbol": "BTCUSDU24",
                "contractType": "InverseFutures",
                "quoteCoin": "USD",
                "deliveryTime": "1727424000000",
            },
            "BTC-USD-240927",
            True,
        ),
    ],
)
def test_universal_symbols(fields: dict[str, Any], symbol: str, contracts: bool) -> None:
    instrument = one_listed(COIN, **fields)
    assert (instrument.symbol, instrument.contracts, instrument.native) == (
        symbol,
        contracts,
        fields["symbol"],
    )


def test_only_what_trades_and_makes_sense_is_listed() -> None:
    entries = [
        listed(status="PreLaunch"),
        listed(priceFilter={"tickSize": "dear"}),
        listed(contractType="LinearFutures", deliveryTime="never"),
        listed(symbol="GOOD"),
    ]
    assert [one.native for one in LINEAR.parse_instruments(page(*entries)).instruments] == ["GOOD"]


def test_listings_go_on_at_their_cursor() -> None:
    more = LINEAR.parse_instruments(page(listed(), cursor="first%3DA")).more
    assert more is not None
    assert more.arguments == {"category": "linear", "limit": 1000, "cursor": "first%3DA"}
    assert LINEAR.parse_instruments(page(listed())).more is None


def test_candles_come_oldest_first() -> None:
    rows = [
        ["1670608860000", "17071", "17073", "17027", "17055.5", "268611", "15.74462667"],
        ["1670608800000", "17071.5", "17071.5", "17061", "17071", "4177", "0.24469757"],
    ]
    body = wire({"retCode": 0, "result": {"symbol": "BTCUSD", "category": "inverse", "list": rows}})
    batch = COIN.parse_candles(INVERSE, 60, body, SOURCE, 5)
    assert batch.rows["ts_open_ns"].tolist() == [1670608800000 * 10**6, 1670608860000 * 10**6]
    assert batch.rows[["open", "high", "low", "close", "volume"]].tolist()[1] == (
        170710,
        170730,
        170270,
        170555,
        268611,
    )
    # Contracts of 1 USD: their mean price is contracts by coins, within the candle.
    mean = notional(batch.rows[1:]) / 268611 / 10
    assert 17027 <= mean <= 17073


def test_recent_trades_come_oldest_first() -> None:
    def told(number: str, at: int, **change: str) -> dict[str, str]:
        whole = {"execId": number, "price": "16618.5", "size": "0.12", "side": "Buy", "time": str(at)}
        return whole | change

    newest = [
        told("2100000000007764264", 1672052955759, side="Sell"),
        told("2100000000007764263", 1672052955758),
    ]
    body = wire({"retCode": 0, "result": {"category": "spot", "list": newest}})
    batch = SPOT.parse_trades(BTC, body, SOURCE, 5)
    assert batch.kind is Kind.TRADES
    assert batch.rows.tolist() == [
        (1672052955758 * 10**6, 5, 2100000000007764263, 1661850, 120, BUY),
        (1672052955759 * 10**6, 5, 2100000000007764264, 1661850, 120, SELL),
    ]
    call = LINEAR.trades_call(BTC, 0)
    assert (call.endpoint, call.arguments) == (
        "GET /v5/market/recent-trade",
        {"category": "linear", "symbol": "BTCUSDT", "limit": 1_000},
    )
    assert SPOT.trades_call(BTC, 0).arguments["limit"] == 60
    assert SPOT.first_trade_call(BTC, 0) is None
    for change, field in (
        ({"time": "x"}, "time"),
        ({"execId": "?"}, "i"),
        ({"side": "Hold"}, "side"),
        ({"price": "1.234"}, "price"),
    ):
        bad = wire({"retCode": 0, "result": {"list": [told("1", 1672052955759, **change)]}})
        with pytest.raises(BadAnswer, match=f"bad '{field}'"):
            SPOT.parse_trades(BTC, bad, SOURCE, 5)


def test_candles_of_another_form_name_the_field() -> None:
    body = wire({"retCode": 0, "result": {"list": [["1670608800000", "x", "1", "1", "1", "1", "1"]]}})
    with pytest.raises(BadAnswer, match="bad 'open'"):
        LINEAR.parse_candles(BTC, 60, body, SOURCE, 5)


def digits(whole: int, decimals: int) -> st.SearchStrategy[str]:
    """Decimal texts with so many digits, at most, before and behind the point."""
    fraction = st.integers(0, 10**decimals - 1).map(
        lambda number: f".{number:0{decimals}}" if decimals else ""
    )
    return st.builds(lambda big, small: f"{big}{small}", st.integers(0, 10**whole - 1), fraction)


CANDLE_TEXTS = st.tuples(
    st.integers(0, 10**13 - 1).map(str),
    *[digits(8, 1)] * 4,
    st.one_of(digits(9, 0), digits(20, 4)),
    st.one_of(digits(9, 8), digits(12, 11), st.just("x"), st.just('1","2"],["3')),
)


@given(st.lists(CANDLE_TEXTS, max_size=4), st.sampled_from([BTC, INVERSE]))
def test_many_candles_at_once_are_as_one_by_one(texts: list, instrument: Instrument) -> None:
    def patiently() -> list:
        return [candle_row(instrument, millis_of("start", one[0]), one[1:5], *one[5:]) for one in texts]

    try:
        expected = patiently()
    except BadField:
        with pytest.raises(BadField):
            candle_rows(instrument, texts)
    else:
        assert candle_rows(instrument, texts).tolist() == expected


def test_a_day_s_turnover_of_a_cheap_coin_is_exact() -> None:
    cheap = Instrument("bybit_spot", "PEPE-USDT", "PEPE", "USDT", 10, 1, native="PEPEUSDT")
    row = [
        "1670544000000",
        "0.0000100001",
        "0.00002",
        "0.00001",
        "0.000015",
        "99999999999999.9",
        "1500000001.5",
    ]
    body = wire({"retCode": 0, "result": {"list": [row]}})
    batch = SPOT.parse_candles(cheap, 86_400, body, SOURCE, 5)
    assert notional(batch.rows) == 15000000015 * 10**10


def test_calls_name_their_category_and_take_no_more_than_the_venue() -> None:
    call = LINEAR.candles_call(BTC, 3600, 10 * 3600 * 10**9, 12 * 3600 * 10**9, 5000)
    assert call.endpoint == "GET /v5/market/kline"
    assert call.arguments == {
        "category": "linear",
        "symbol": "BTCUSDT",
        "interval": "60",
        "start": 36_000_000,
        "end": 43_199_999,
        "limit": 1000,
    }
    assert SPOT.instruments_call().arguments == {"category": "spot"}
    assert SPOT.snapshot_call(BTC) is None
    assert {dialect.limits for dialect in DIALECTS} == {"bybit"}


def test_time_is_told_in_nanoseconds() -> None:
    body = wire({"retCode": 0, "result": {"timeSecond": "1688639403", "timeNano": "1688639403423213947"}})
    assert LINEAR.parse_time(body) == 1688639403423213947
    with pytest.raises(BadAnswer, match="timeNano"):
        LINEAR.parse_time(wire({"retCode": 0, "result": {}}))


def test_funding_by_rest() -> None:
    answer = {"retCode": 0, "result": {"list": [TICKER]}, "time": 1672376496682}
    batch = LINEAR.parse_funding(BTC, wire(answer), SOURCE, 5)
    assert batch.rows.tolist() == [
        (1672376496682 * 10**6, 5, -212_000_000, 1673280000000 * 10**6, 0, 1721734)
    ]
    answer["result"]["list"] = [{"symbol": "BTCUSDT", "fundingRate": ""}]
    assert len(LINEAR.parse_funding(BTC, wire(answer), SOURCE, 5).rows) == 0
    with pytest.raises(BadAnswer, match="symbol"):
        LINEAR.parse_funding(ETH, wire(answer), SOURCE, 5)


def test_funding_history_comes_oldest_first() -> None:
    rates = [
        {"symbol": "BTCUSDT", "fundingRate": rate, "fundingRateTimestamp": when}
        for rate, when in (("0.0001", "1672041600000"), ("-0.0002", "1672012800000"))
    ]
    body = wire({"retCode": 0, "result": {"category": "linear", "list": rates}})
    batch = LINEAR.parse_funding_history(BTC, body, SOURCE, 5)
    assert batch.rows["ts_event_ns"].tolist() == [1672012800000 * 10**6, 1672041600000 * 10**6]
    assert batch.rows["rate_e12"].tolist() == [-200_000_000, 100_000_000]


def test_only_perpetuals_have_funding() -> None:
    dated = Instrument("bybit_linear", "BTC-USDT-240927", "BTC", "USDT", 1, 3, native="BTC-27SEP24")
    assert LINEAR.funding_call(dated) is None
    assert LINEAR.funding_history_call(dated, 0, 10**9, 10) is None
    assert SPOT.funding_call(BTC) is None
    assert LINEAR.funding_call(BTC) is not None
    assert all("tickers" not in topic for topic in LINEAR.topics(dated)[0].topics)


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (200, b'{"retCode":0,"retMsg":"OK","result":{}}', (0, "")),
        (200, b'{"retMsg":"OK","retCode":0}', (0, "")),
        (200, b'{"retCode":10006,"retMsg":"Too many visits!"}', (10006, "Too many visits!")),
        (403, b"<html>", (0, "access too frequent")),
        (502, b"<html>", (0, "")),
    ],
)
def test_error_codes(status: int, body: bytes, expected: tuple[int, str]) -> None:
    assert LINEAR.error_code(status, body) == expected


# --- streams -----------------------------------------------------------------------------------------------


def test_topics_of_the_markets() -> None:
    (spot,) = SPOT.topics(BTC)
    (linear,) = LINEAR.topics(BTC)
    assert spot.path == "/v5/public/spot"
    assert linear.path == "/v5/public/linear"
    assert spot.book == linear.book == ("orderbook.200.BTCUSDT",)
    assert set(linear.topics) - set(spot.topics) == {"tickers.BTCUSDT"}
    assert SPOT.streams.topics_per_message == 10
    assert all(dialect.rule is Rule.BYBIT for dialect in DIALECTS)


def test_what_is_subscribed_is_decoded() -> None:
    """Each topic a dialect asks for is one its decoder knows."""
    feed = decoder()
    for topic in LINEAR.topics(BTC)[0].topics:
        decode(feed, wire({"topic": topic, "nonsense": 1}))
    assert feed.ignored == {}


def test_requests() -> None:
    assert json.loads(LINEAR.subscribe(["a", "b"], "7")) == {
        "op": "subscribe",
        "req_id": "7",
        "args": ["a", "b"],
    }
    assert json.loads(LINEAR.unsubscribe(["a"], "8"))["op"] == "unsubscribe"


@pytest.mark.parametrize(
    ("frame", "control"),
    [
        (
            {"success": True, "ret_msg": "", "conn_id": "x", "req_id": "7", "op": "subscribe"},
            Control("ack", "7", ""),
        ),
        (
            {"success": False, "ret_msg": "error:handler not found", "req_id": "7", "op": "subscribe"},
            Control("refused", "7", "error:handler not found"),
        ),
        (
            {"success": True, "ret_msg": "pong", "conn_id": "x", "req_id": "", "op": "ping"},
            Control("pong", "", ""),
        ),
        ({"req_id": "3", "op": "pong", "args": ["1"], "conn_id": "x"}, Control("pong", "3", "")),
        (BOOK, None),
        ({"op": "subscribe", "topic": "x"}, None),
        ({"hello": "op"}, None),
    ],
)
def test_control_frames(frame: dict[str, Any], control: Control | None) -> None:
    assert LINEAR.control(wire(frame)) == control


def test_a_local_venue_has_one_address_for_all_three() -> None:
    for dialect in DIALECTS:
        assert dialect.endpoints().rest == "https://api.bybit.com"
        local = dialect.endpoints("http://127.0.0.1:8051")
        assert local.rest == "http://127.0.0.1:8051/bybit"
        assert local.stream == "ws://127.0.0.1:8051/bybit"


# --- published samples -------------------------------------------------------------------------------------


def samples() -> dict[str, str]:
    """Texts of the archive, by path."""
    with tarfile.open(SAMPLES) as archive:
        files = {member.name: archive.extractfile(member) for member in archive if member.isfile()}
        return {name: io.TextIOWrapper(file, errors="replace").read() for name, file in files.items() if file}


needs_samples = pytest.mark.skipif(not SAMPLES.exists(), reason="no samples beside the project")


@needs_samples
def test_published_answers_are_read() -> None:
    found = {
        Path(name).stem: text[text.index("{") :].encode()
        for name, text in samples().items()
        if "/V5Api/ExchangeData/" in name
    }
    linear = LINEAR.parse_instruments(found["GetLinearInverseSymbols"]).instruments
    assert [(one.symbol, one.price_decimals, one.size_decimals) for one in linear] == [
        ("BTC-USDT-PERP", 1, 3)
    ]
    spot = SPOT.parse_instruments(found["GetSpotSymbols"]).instruments
    assert [(one.symbol, one.price_decimals, one.size_decimals) for one in spot] == [("BTC-USDT", 2, 6)]
    assert len(COIN.parse_candles(INVERSE, 3600, found["GetKlines"], SOURCE, 1).rows) == 3
    finer = replace(BTC, size_decimals=6)
    assert len(SPOT.parse_trades(finer, found["GetTradeHistory"], SOURCE, 1).rows) > 0
    assert COIN.parse_funding(INVERSE, found["GetLinearInverseTickers"], SOURCE, 1).rows[
        "rate_e12"
    ].tolist() == [-1_034_000_000]
    assert len(LINEAR.parse_funding_history(ETH, found["GetFundingRateHistory"], SOURCE, 1).rows) == 1
    assert all(LINEAR.error_code(200, body) == (0, "") for body in found.values())


@needs_samples
def test_published_pushes_and_replies_are_read() -> None:
    kinds, controls = [], []
    for name, text in samples().items():
        if not re.search(r"/Subscriptions/V5/(Linear|Spot)/(Trades|Ticker)\.txt", name):
            continue
        reply, _, push = text.partition("\n=")
        control = LINEAR.control(reply[reply.index("\n<") + 2 :].strip().encode())
        assert control is not None
        controls.append(control.kind)
        frame = json.dumps(json.loads(push)).encode()
        kinds += [item.kind for item in decode(decoder(), frame) if isinstance(item, Batch)]
    assert controls == ["ack"] * 4
    assert sorted(kinds) == [Kind.TRADES, Kind.TRADES, Kind.FUNDING]


def test_warming_up_leaves_no_trace() -> None:
    bybit.warm_up()
    assert np.array_equal(only(decode(decoder(), wire(BOOK))).rows["size"], [6, 0, 29])
