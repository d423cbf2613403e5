from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import BadFrame
from engine.market.batches import BUY, SELL, Batch, Kind, Source
from engine.market.instruments import Instrument
from engine.market.sequencing import Rule
from feeds.frames import join
from feeds.venues.binance import BinanceDecoder, Decoded, Market, instrument_of, rule_of

MS = 1_000_000
RECV_NS = 1_723_161_254_000_000_000

SPOT_DEPTH = {
    "e": "depthUpdate", "E": 1723161255208, "s": "BTCUSDT", "U": 11, "u": 14,
    "b": [["61837.63000000", "0.00000000"], ["56854.58000000", "1.5"]], "a": [["61837.64", "1.54698000"]],
}  # fmt: skip
SPOT_QUOTE = {"u": 12, "s": "BTCUSDT", "b": "61837.63", "B": "3.78826", "a": "61837.64000000", "A": "1.5"}
SPOT_TRADE = {
    "e": "trade", "E": 1723161255343, "s": "BTCUSDT", "t": 3735683259, "p": "61837.63", "q": "0.02",
    "T": 1723161255342, "m": True, "M": True,
}  # fmt: skip
USDM_DEPTH = {
    "e": "depthUpdate", "E": 1723161256299, "T": 1723161256298, "s": "BTCUSDT", "U": 5123107832006,
    "u": 5123107837557, "pu": 5123107831937, "b": [["58710.20", "0.014"]], "a": [],
}  # fmt: skip
USDM_QUOTE = {
    "e": "bookTicker", "u": 5123107839020, "s": "BTCUSDT", "b": "61800.20", "B": "2.507", "a": "61800.30",
    "A": "2.510", "T": 1723161256313, "E": 1723161256314,
}  # fmt: skip
USDM_TRADE = {
    "e": "trade", "E": 1723161256322, "T": 1723161256321, "s": "BTCUSDT", "t": 5266583935, "p": "61800.30",
    "q": "0.006", "X": "MARKET", "m": False,
}  # fmt: skip
COINM_QUOTE = {
    "u": 1007198632021, "e": "bookTicker", "s": "BTCUSD_PERP", "ps": "BTCUSD", "b": "61804.7", "B": "35",
    "a": "61804.8", "A": "1645", "T": 1723161257465, "E": 1723161257476,
}  # fmt: skip
SNAPSHOT = {"lastUpdateId": 10, "bids": [["61837.63", "3.5"], ["61836", "1"]], "asks": [["61837.64", "2"]]}


def wire(body: dict[str, Any], stream: str = "btcusdt@x") -> bytes:
    return json.dumps({"stream": stream, "data": body}, separators=(",", ":")).encode()


def bare(body: dict[str, Any]) -> bytes:
    return json.dumps(body, separators=(",", ":")).encode()


def decoder(
    market: Market = "binance_spot",
    natives: tuple[str, ...] = ("BTCUSDT",),
    decimals: tuple[int, int] = (2, 5),
) -> BinanceDecoder:
    instruments = [instrument_of(market, native, *decimals) for native in natives]
    return BinanceDecoder(Source(market, "replay"), market, instruments)


def decode(feed: BinanceDecoder, *frames: bytes) -> list[Decoded]:
    return feed.decode(join(frames, [RECV_NS + index for index in range(len(frames))]))


def only(items: list[Decoded]) -> Batch:
    assert len(items) == 1
    assert isinstance(items[0], Batch), items[0]
    return items[0]


@pytest.mark.parametrize("form", [wire, bare])
def test_spot_depth(form) -> None:
    batch = only(decode(decoder(), form(SPOT_DEPTH)))
    assert (batch.kind, batch.symbol, batch.bids) == (Kind.DELTA, "BTC-USDT", 2)
    assert batch.rows.tolist() == [(6183763, 0), (5685458, 150000), (6183764, 154698)]
    assert (batch.first_sequence, batch.last_sequence, batch.previous_sequence) == (11, 14, -1)
    assert (batch.ts_event_ns, batch.ts_recv_ns) == (1723161255208 * MS, RECV_NS)


def test_futures_depth_has_the_previous_sequence() -> None:
    batch = only(decode(decoder("binance_usdm", decimals=(1, 3)), wire(USDM_DEPTH)))
    assert batch.symbol == "BTC-USDT-PERP"
    assert batch.previous_sequence == 5123107831937
    assert (batch.rows.tolist(), batch.bids) == ([(587102, 14)], 1)


def test_spot_quotes_have_no_event_time() -> None:
    batch = only(decode(decoder(), wire(SPOT_QUOTE)))
    assert batch.kind is Kind.QUOTES
    assert batch.rows.tolist() == [(0, RECV_NS, 12, 6183763, 378826, 6183764, 150000)]


def test_futures_quotes_have_the_venues_time() -> None:
    batch = only(decode(decoder("binance_usdm", decimals=(1, 3)), wire(USDM_QUOTE)))
    assert batch.rows["ts_event_ns"].tolist() == [1723161256314 * MS]


def test_coinm_sizes_are_contracts() -> None:
    feed = decoder("binance_coinm", ("BTCUSD_PERP",), (1, 0))
    batch = only(decode(feed, wire(COINM_QUOTE)))
    assert batch.symbol == "BTC-USD-PERP"
    assert batch.rows[["bid_size", "ask_size"]].tolist() == [(35, 1645)]


def test_trades_have_their_own_time_and_an_aggressor() -> None:
    spot = only(decode(decoder(), wire(SPOT_TRADE)))
    assert spot.rows.tolist() == [(1723161255342 * MS, RECV_NS, 3735683259, 6183763, 2000, SELL)]
    usdm = only(decode(decoder("binance_usdm", decimals=(1, 3)), wire(USDM_TRADE)))
    assert usdm.rows[["ts_event_ns", "price", "size", "aggressor"]].tolist() == [
        (1723161256321 * MS, 618003, 6, BUY)
    ]


def test_microsecond_times_are_understood() -> None:
    batch = only(decode(decoder(), wire(SPOT_TRADE | {"T": 1723161255342123})))
    assert batch.rows["ts_event_ns"].tolist() == [1723161255342123_000]


def test_a_rest_snapshot_belongs_to_the_only_symbol() -> None:
    batch = only(decode(decoder(), bare(SNAPSHOT)))
    assert (batch.kind, batch.bids, batch.last_sequence) == (Kind.SNAPSHOT, 2, 10)
    assert batch.rows.tolist() == [(6183763, 350000), (6183600, 100000), (6183764, 200000)]
    items = decode(decoder(natives=("BTCUSDT", "ETHUSDT")), bare(SNAPSHOT))
    assert [item.field for item in items if isinstance(item, BadFrame)] == ["s"]
    named = decode(decoder(natives=("BTCUSDT", "ETHUSDT")), bare(SNAPSHOT | {"symbol": "ETHUSDT"}))
    assert only(named).symbol == "ETH-USDT"


def test_quotes_and_trades_are_collected_by_symbol_and_deltas_are_not() -> None:
    feed = decoder(natives=("BTCUSDT", "ETHUSDT"))
    eth = {"s": "ETHUSDT"}
    frames = [
        SPOT_QUOTE,
        SPOT_DEPTH,
        SPOT_QUOTE | eth,
        SPOT_TRADE | eth,
        SPOT_QUOTE | {"u": 13},
        SPOT_DEPTH | eth,
    ]
    items = decode(feed, *map(wire, frames))
    assert [(b.kind, b.symbol, len(b.rows)) for b in items if isinstance(b, Batch)] == [
        (Kind.DELTA, "BTC-USDT", 3),
        (Kind.DELTA, "ETH-USDT", 3),
        (Kind.QUOTES, "BTC-USDT", 2),
        (Kind.QUOTES, "ETH-USDT", 1),
        (Kind.TRADES, "ETH-USDT", 1),
    ]
    assert feed.patient_frames == 0


@pytest.mark.parametrize(
    ("frame", "field"),
    [
        (b"", "json"),
        (b"nonsense", "json"),
        (b"\xff\xfe{}", "json"),
        (b"[1]", "json"),
        (b"{}", "e"),
        (wire(SPOT_DEPTH)[:-30], "json"),
        (wire({k: v for k, v in SPOT_DEPTH.items() if k != "U"}), "U"),
        (wire({k: v for k, v in SPOT_DEPTH.items() if k != "b"}), "b"),
        (wire(SPOT_DEPTH | {"U": "11"}), "U"),
        (wire(SPOT_DEPTH | {"u": 10}), "u"),
        (wire(SPOT_DEPTH | {"u": -1}), "u"),
        (wire(SPOT_DEPTH | {"pu": 10}), "pu"),
        (wire(SPOT_DEPTH | {"a": [["1", "-2"]]}), "a"),
        (wire(SPOT_DEPTH | {"a": [["1", "x"]]}), "a"),
        (wire(SPOT_DEPTH | {"a": [["1"]]}), "a"),
        (wire(SPOT_DEPTH | {"a": [["1", "1e5"]]}), "a"),
        (wire(SPOT_DEPTH | {"a": [["1" * 30, "1"]]}), "a"),
        (wire(SPOT_DEPTH | {"a": [["0." + "1" * 30, "1"]]}), "a"),
        (wire(SPOT_DEPTH | {"b": "61837"}), "b"),
        (wire(SPOT_DEPTH | {"b": [["1", "1"]] * 20_000}), "b"),
        (wire(SPOT_DEPTH | {"s": "XRPUSDT"}), "s"),
        (wire(SPOT_DEPTH | {"s": 7}), "s"),
        (wire(SPOT_QUOTE | {"B": "-1"}), "B"),
        (wire({k: v for k, v in SPOT_QUOTE.items() if k != "A"}), "A"),
        (wire(SPOT_TRADE | {"p": "1,5"}), "p"),
        (wire(SPOT_TRADE | {"T": 10**17}), "T"),
        (wire(SPOT_TRADE | {"m": "yes"}), "m"),
        (bare(SNAPSHOT | {"bids": None}), "bids"),
        (bare({"lastUpdateId": 5}), "bids"),
    ],
)
def test_a_malformed_frame_is_named_and_the_rest_go_on(frame: bytes, field: str) -> None:
    feed = decoder()
    items = decode(feed, wire(SPOT_QUOTE), frame, wire(SPOT_QUOTE | {"u": 99}))
    bad = [item for item in items if isinstance(item, BadFrame)]
    assert [(error.venue, error.field, error.frame) for error in bad] == [("binance_spot", field, frame)]
    sequences = [int(row) for item in items if isinstance(item, Batch) for row in item.rows["sequence"]]
    assert sequences == [12, 99]
    assert feed.instruments == decoder().instruments


def test_futures_depth_without_pu_is_malformed() -> None:
    body = {key: value for key, value in USDM_DEPTH.items() if key != "pu"}
    items = decode(decoder("binance_usdm", decimals=(1, 3)), wire(body))
    assert [item.field for item in items if isinstance(item, BadFrame)] == ["pu"]


def test_other_good_frames_are_ignored_and_counted() -> None:
    feed = decoder()
    frames = [wire({"e": "aggTrade", "s": "BTCUSDT"}), bare({"result": None, "id": 1})]
    zero = wire(USDM_TRADE | {"p": "0", "q": "0.000"})
    assert decode(feed, *frames, frames[0], zero) == []
    assert feed.ignored == {"aggTrade": 2, "reply": 1, "trade without price or size": 1}


def test_finer_numbers_open_a_revision_before_their_batch() -> None:
    feed = decoder(decimals=(1, 2))
    items = decode(feed, wire(SPOT_QUOTE | {"b": "1.5", "B": "1", "a": "2", "A": "1"}), wire(SPOT_QUOTE))
    first, revised, second = items
    assert isinstance(first, Batch)
    assert isinstance(second, Batch)
    assert isinstance(revised, Instrument)
    assert (revised.price_decimals, revised.size_decimals, revised.revision) == (2, 5, 1)
    assert first.rows["bid_price"].tolist() == [15]
    assert second.rows["bid_price"].tolist() == [6183763]
    assert only(decode(feed, wire(SPOT_QUOTE))).rows["bid_price"].tolist() == [6183763]
    assert feed.patient_frames == 1


def test_a_bad_frame_does_not_change_the_units() -> None:
    feed = decoder(decimals=(1, 2))
    items = decode(feed, wire(SPOT_QUOTE | {"B": "-3"}))
    assert [type(item) for item in items] == [BadFrame]
    assert feed.instruments[0].revision == 0


@pytest.mark.parametrize("body", [SPOT_DEPTH, SPOT_QUOTE, SPOT_TRADE])
def test_spaces_and_another_order_of_fields_change_nothing(body: dict[str, Any]) -> None:
    fast, patient = decoder(), decoder()
    expected = only(decode(fast, wire(body)))
    shuffled = dict(reversed(body.items()))
    spaced = json.dumps({"data": shuffled, "stream": "x"}, indent=1).encode()
    have = only(decode(patient, spaced))
    assert have.rows.tolist() == expected.rows.tolist()
    assert (have.kind, have.first_sequence, have.last_sequence) == (
        expected.kind,
        expected.first_sequence,
        expected.last_sequence,
    )
    assert (fast.patient_frames, patient.patient_frames) == (0, 1)


@given(st.data())
def test_damaged_frames_never_raise(data) -> None:
    good = bytearray(wire(data.draw(st.sampled_from([SPOT_DEPTH, SPOT_QUOTE, SPOT_TRADE]))))
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(good) - 1))
        good[at : at + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=2))
    items = decode(decoder(), bytes(good), wire(SPOT_QUOTE))
    assert isinstance(items[-1], Batch)


def test_a_chunk_with_more_levels_than_fit_comes_out_whole() -> None:
    body = SPOT_DEPTH | {"b": [["61837.63", "1"]] * 6000, "a": []}
    items = decode(decoder(), *[wire(body | {"U": n, "u": n}) for n in range(7)])
    assert [(item.last_sequence, len(item.rows)) for item in items if isinstance(item, Batch)] == [
        (n, 6000) for n in range(7)
    ]


@pytest.mark.parametrize(
    ("market", "native", "symbol"),
    [
        ("binance_spot", "BTCUSDT", "BTC-USDT"),
        ("binance_spot", "BTCFDUSD", "BTC-FDUSD"),
        ("binance_spot", "ETHBTC", "ETH-BTC"),
        ("binance_spot", "USDTTRY", "USDT-TRY"),
        ("binance_usdm", "BTCUSDT", "BTC-USDT-PERP"),
        ("binance_usdm", "BTCUSDT_240927", "BTC-USDT-240927"),
        ("binance_coinm", "BTCUSD_PERP", "BTC-USD-PERP"),
        ("binance_coinm", "ETHUSD_240927", "ETH-USD-240927"),
        ("binance_spot", "ABCXYZ", "ABCXYZ"),
    ],
)
def test_universal_symbols(market: Market, native: str, symbol: str) -> None:
    instrument = instrument_of(market, native, 1, 1)
    assert (instrument.symbol, instrument.native) == (symbol, native)


def test_rules_of_the_markets() -> None:
    assert rule_of("binance_spot") is Rule.BINANCE_SPOT
    assert rule_of("binance_usdm") is rule_of("binance_coinm") is Rule.BINANCE_FUTURES


AGGREGATE = {
    "e": "aggTrade", "E": 1723161256322, "a": 123456, "s": "BTCUSDT", "p": "61800.30", "q": "0.006", "f": 100,
    "l": 105, "T": 1723161256321, "m": True,
}  # fmt: skip
KLINE = {
    "e": "kline", "E": 1723161256322, "s": "BTCUSDT",
    "k": {
        "t": 1723161240000, "T": 1723161299999, "s": "BTCUSDT", "i": "1m", "f": 100, "L": 200, "o": "61800.1",
        "c": "61801.5", "h": "61802.0", "l": "61799.9", "v": "10.005", "n": 100, "x": False, "q": "618328.20150000",
        "V": "5", "Q": "3", "B": "0",
    },
}  # fmt: skip
MARK = {
    "e": "markPriceUpdate", "E": 1723161256000, "s": "BTCUSDT", "p": "61800.25963414", "i": "61801.1",
    "P": "61800.5", "r": "-0.00012345", "T": 1723190400000,
}  # fmt: skip


def live(natives: tuple[str, ...] = ("BTCUSDT",)) -> BinanceDecoder:
    instruments = [instrument_of("binance_usdm", native, 1, 3) for native in natives]
    return BinanceDecoder(Source("binance_usdm", "live"), "binance_usdm", instruments, aggregates=True)


@pytest.mark.parametrize("form", [wire, bare, lambda body: json.dumps(body).encode()])
def test_aggregated_trades_are_trades_where_they_are_wanted(form) -> None:
    batch = only(decode(live(), form(AGGREGATE)))
    assert batch.kind is Kind.TRADES
    assert batch.rows.tolist() == [(1723161256321 * MS, RECV_NS, 123456, 618003, 6, SELL)]
    single = live()
    assert decode(single, form(USDM_TRADE)) == []  # it is in an aggregate
    assert single.ignored == {"trade": 1}


def test_a_spot_trades_order_ids_are_not_its_number() -> None:
    batch = only(decode(decoder(), wire(SPOT_TRADE | {"b": 88, "a": 50})))
    assert batch.rows["trade_id"].tolist() == [3735683259]


def test_the_running_minute_is_a_candle() -> None:
    batch = only(decode(live(), wire(KLINE)))
    assert (batch.kind, batch.interval_ns, batch.ts_event_ns) == (
        Kind.CANDLES,
        60 * 10**9,
        1723161256322 * MS,
    )
    row = batch.rows[0]
    assert row.tolist()[:6] == (1723161240000 * MS, 618001, 618020, 617999, 618015, 10005)
    assert (int(row["notional_high"]) << 40) + int(row["notional_low"]) == 6183282015
    assert row["trades"] == 100


def test_the_mark_price_brings_the_running_rate() -> None:
    batch = only(decode(live(), wire(MARK)))
    assert batch.kind is Kind.FUNDING
    assert batch.rows.tolist() == [
        (1723161256000 * MS, RECV_NS, -123_450_000, 1723190400000 * MS, 0, 618003)
    ]  # fmt: skip
    dated = live()
    assert decode(dated, wire(MARK | {"r": ""})) == []


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (AGGREGATE | {"q": "-1"}, "q"),
        ({key: value for key, value in AGGREGATE.items() if key != "a"}, "a"),
        (KLINE | {"k": KLINE["k"] | {"o": "x"}}, "k"),
        (KLINE | {"k": 5}, "k"),
        (MARK | {"r": "much"}, "r"),
        (MARK | {"p": ""}, "p"),
    ],
)
def test_live_kinds_that_are_malformed_are_named(body: dict[str, Any], field: str) -> None:
    items = decode(live(), wire(body), wire(USDM_QUOTE))
    assert [item.field for item in items if isinstance(item, BadFrame)] == [field]
    assert isinstance(items[-1], Batch)


@given(st.data())
def test_symbols_come_and_go_and_each_frame_finds_its_own(data) -> None:
    names = [
        f"{base}{quote}" for base in ("BTC", "ETH", "A", "1000PEPE", "XRP") for quote in ("USDT", "USDC")
    ]
    feed = live(())
    followed: dict[str, Instrument] = {}
    gone: set[str] = set()
    for _ in range(data.draw(st.integers(1, 30))):
        name = data.draw(st.sampled_from(names))
        instrument = instrument_of("binance_usdm", name, 1, 3)
        if name in followed:
            feed.remove(followed.pop(name).symbol)
            gone.add(name)
        else:
            feed.add(instrument)
            followed[name] = instrument
            gone.discard(name)
        assert {one.native for one in feed.instruments} == set(followed)
        items = decode(feed, *[wire(USDM_QUOTE | {"s": name}) for name in names])
        assert sorted(b.symbol for b in items if isinstance(b, Batch)) == sorted(
            one.symbol for one in followed.values()
        )
        # Of a symbol that was removed the last frames may still come; one that never was is a mistake.
        assert sum(isinstance(item, BadFrame) for item in items) == len(names) - len(followed) - len(gone)


def test_a_hundred_and_fifty_symbols_are_told_apart_by_compiled_code() -> None:
    names = tuple(f"S{number}USDT" for number in range(150))
    feed = live(names[:100])
    for name in names[100:]:
        feed.add(instrument_of("binance_usdm", name, 1, 3))
    items = decode(feed, *[wire(AGGREGATE | {"s": name, "a": at}) for at, name in enumerate(names)])
    assert {batch.symbol: int(batch.rows["trade_id"][0]) for batch in items if isinstance(batch, Batch)} == {
        f"S{number}-USDT-PERP": number for number in range(150)
    }
    assert feed.patient_frames == 0


def test_a_decoder_refuses_what_it_has_and_what_it_has_not() -> None:
    feed = live()
    with pytest.raises(ValueError, match="decoded already"):
        feed.add(instrument_of("binance_usdm", "BTCUSDT", 1, 3))
    with pytest.raises(ValueError, match="not decoded"):
        feed.remove("ETH-USDT-PERP")


def test_a_snapshot_is_the_named_symbols() -> None:
    feed = live(("BTCUSDT", "ETHUSDT"))
    body = bare(
        {"lastUpdateId": 10, "E": 5, "T": 4, "bids": [["61837.6", "3.5"]], "asks": [["61837.7", "2"]]}
    )
    batch = only(feed.snapshot("ETH-USDT-PERP", body, 7))
    assert (batch.symbol, batch.kind, batch.last_sequence, batch.ts_recv_ns) == (
        "ETH-USDT-PERP", Kind.SNAPSHOT, 10, 7,
    )  # fmt: skip
    (wrong,) = feed.snapshot("ETH-USDT-PERP", body[:-1] + b',"symbol":"BTCUSDT"}', 7)
    assert isinstance(wrong, BadFrame)
    assert wrong.field == "symbol"
    (cut,) = feed.snapshot("ETH-USDT-PERP", body[:-10], 7)
    assert isinstance(cut, BadFrame)
    revised, finer = feed.snapshot("ETH-USDT-PERP", body.replace(b"61837.6", b"61837.65"), 7)
    assert isinstance(revised, Instrument)
    assert isinstance(finer, Batch)
    assert finer.rows["price"].tolist() == [6183765, 6183770]


def timed(time: int, patient: bool) -> list[Decoded]:
    """What a trade of this time becomes; a frame with spaces is for the patient decoder."""
    trade = SPOT_TRADE | {"E": time, "T": time}
    return decode(decoder(), json.dumps(trade).encode() if patient else bare(trade))


@pytest.mark.parametrize("patient", [False, True])
@pytest.mark.parametrize("time", [(2**63 - 1) // 1_000 + 1, 99_999_999_999_999_999])
def test_a_time_past_int64_nanoseconds_is_a_bad_frame(time: int, patient: bool) -> None:
    (error,) = timed(time, patient)
    assert isinstance(error, BadFrame)


@pytest.mark.parametrize("patient", [False, True])
@pytest.mark.parametrize("time", [99_999_999_999_999, (2**63 - 1) // 1_000, (2**63 - 1) // 1_000_000])
def test_the_last_times_that_fit_are_exact(time: int, patient: bool) -> None:
    expected = time * (1_000_000 if time <= (2**63 - 1) // 1_000_000 else 1_000)
    assert int(only(timed(time, patient)).rows["ts_event_ns"][0]) == expected
