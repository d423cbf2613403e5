"""What Binance's REST answers say: instruments, candles, trades, funding, time, refusals. Pure."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

import msgspec
import numpy as np

from engine.errors import BadAnswer
from engine.market.batches import BUY, CANDLE, FUNDING, SELL, Batch, Kind, Source
from engine.market.instruments import INT64_MAX, MAX_DECIMALS, Instrument, needed_decimals
from feeds.dialect import Listing
from feeds.venues.binance import NAME_BYTES, Market
from feeds.venues.binance_frames import decode
from feeds.venues.binance_rows import TIME_LIMIT, BadField, candle_row, nanoseconds, rate_of, rounded, scaled
from feeds.venues.trade_rows import Told, trade_rows

SECONDS: Final = {"SECOND": 1, "MINUTE": 60, "HOUR": 3_600, "DAY": 86_400}
SECOND_NS: Final = 1_000_000_000
SAID_MAX: Final = 200  # characters kept of what the venue says

LIMIT_MOST: Final = 1_000_000_000  # of an announced limit, or of its intervals: more is no limit

Time = Annotated[int, msgspec.Meta(ge=0, le=TIME_LIMIT)]
Number = Annotated[int, msgspec.Meta(ge=0, lt=10**18)]
Code = Annotated[int, msgspec.Meta(ge=-1_000_000, le=1_000_000)]
Entry = Literal["instruments", "candles", "funding", "funding history", "time"]


class Filter(msgspec.Struct):
    filter_type: str = msgspec.field(name="filterType")
    tick_size: str = msgspec.field(name="tickSize", default="")
    step_size: str = msgspec.field(name="stepSize", default="")


class Symbol(msgspec.Struct, rename="camel"):
    symbol: str
    base_asset: str
    quote_asset: str
    filters: list[Filter]
    status: str = ""  # of spot and USD-M
    contract_status: str = ""  # of COIN-M
    contract_type: str = ""
    is_spot_trading_allowed: bool = True


class RateLimit(msgspec.Struct, rename="camel"):
    rate_limit_type: str
    interval: str
    interval_num: int
    limit: int


class ExchangeInfo(msgspec.Struct, rename="camel"):
    symbols: list[Symbol]
    rate_limits: list[RateLimit] = []


class ServerTime(msgspec.Struct):
    time: Time = msgspec.field(name="serverTime")


class PremiumIndex(msgspec.Struct, rename="camel"):
    symbol: str
    mark_price: str
    time: Time
    last_funding_rate: str = ""
    next_funding_time: Time = 0


class FundingRate(msgspec.Struct, rename="camel"):
    symbol: str
    funding_rate: str
    funding_time: Time
    mark_price: str = ""


class Trade(msgspec.Struct):
    id: Number
    price: str
    size: str = msgspec.field(name="qty")
    time: Time
    buyer_is_maker: bool = msgspec.field(name="isBuyerMaker")


class Aggregate(msgspec.Struct):
    a: Number
    p: str
    q: str
    f: Number
    T: Time
    m: bool


class Failure(msgspec.Struct):
    code: Code
    msg: str = ""


# Opening time, open, high, low, close, volume, closing time, the other volume, trades; what follows is not used.
KLINE_FIELDS: Final = 9

_info: Final = msgspec.json.Decoder(ExchangeInfo)
_time: Final = msgspec.json.Decoder(ServerTime)
_premium: Final = msgspec.json.Decoder(PremiumIndex | list[PremiumIndex])
_history: Final = msgspec.json.Decoder(list[FundingRate])
_klines: Final = msgspec.json.Decoder(list[list[int | str]])
_singles: Final = msgspec.json.Decoder(list[Trade])
_aggregates: Final = msgspec.json.Decoder(list[Aggregate])
_failure: Final = msgspec.json.Decoder(Failure)


def parse_instruments(market: Market, call: str, body: bytes) -> Listing:
    """The symbols that trade, and the limits announced. BadAnswer for a body of another form.

    A symbol whose filters say nothing usable is left out: one odd listing must not hide a thousand good ones.
    """
    info: ExchangeInfo = _decoded(_info, market, call, body)
    found = [_instrument(market, symbol) for symbol in info.symbols if _trades(market, symbol)]
    limits = tuple(
        (limit.rate_limit_type, SECONDS[limit.interval] * limit.interval_num, limit.limit)
        for limit in info.rate_limits
        if limit.interval in SECONDS
        and 0 < limit.interval_num <= LIMIT_MOST
        and 0 < limit.limit <= LIMIT_MOST
    )
    return Listing(tuple(instrument for instrument in found if instrument is not None), limits)


def parse_time(market: Market, call: str, body: bytes) -> int:
    """The venue's clock, ns UTC."""
    said: ServerTime = _decoded(_time, market, call, body)
    return nanoseconds(said.time)


def parse_candles(
    instrument: Instrument, call: str, interval_s: int, body: bytes, source: Source, recv_ns: int
) -> Batch:
    """CANDLES, as the venue orders them: oldest first."""
    rows: list[list[Any]] = _decoded(_klines, instrument.venue, call, body)
    out: list[tuple[int, ...]] = []
    for number, row in enumerate(rows):
        try:
            out.append(_candle(instrument, row))
        except BadField as error:
            what = f"candle {number}: {error.field} is not what it should be"
            raise BadAnswer(instrument.venue, call, what) from error
    return Batch(
        Kind.CANDLES,
        source,
        instrument.symbol,
        np.array(out, CANDLE),
        ts_recv_ns=recv_ns,
        interval_ns=interval_s * SECOND_NS,
    )


def parse_first_trade(market: Market, call: str, body: bytes) -> int | None:
    """The number that the market's stream gives the first trade of an `aggTrades` answer; None for an empty one.

    Spot's stream has the trades themselves, the futures' the aggregates.
    """
    said: list[Aggregate] = _decoded(_aggregates, market, call, body)
    if not said:
        return None
    return said[0].f if market == "binance_spot" else said[0].a


def parse_trades(instrument: Instrument, call: str, body: bytes, source: Source, recv_ns: int) -> Batch:
    """TRADES of a `historicalTrades` or `aggTrades` answer, as the venue orders them: oldest first."""
    told: list[Told]
    if call.endswith("/aggTrades"):
        fields = ("p", "q")
        aggregates: list[Aggregate] = _decoded(_aggregates, instrument.venue, call, body)
        told = [(nanoseconds(one.T), one.a, one.p, one.q, SELL if one.m else BUY) for one in aggregates]
    else:
        fields = ("price", "qty")
        trades: list[Trade] = _decoded(_singles, instrument.venue, call, body)
        told = [
            (nanoseconds(one.time), one.id, one.price, one.size, SELL if one.buyer_is_maker else BUY)
            for one in trades
        ]
    try:
        rows = trade_rows(*fields, told, instrument, recv_ns)
    except BadField as error:
        raise _bad(instrument.venue, call, error) from error
    return Batch(Kind.TRADES, source, instrument.symbol, rows, ts_recv_ns=recv_ns)


def parse_funding(instrument: Instrument, call: str, body: bytes, source: Source, recv_ns: int) -> Batch:
    """FUNDING: the running rate; no row where the contract has none. USD-M answers one object, COIN-M a list."""
    said = _decoded(_premium, instrument.venue, call, body)
    rows = []
    for one in said if isinstance(said, list) else [said]:
        if one.symbol != instrument.native or not one.last_funding_rate:
            continue
        try:
            mark = rounded("markPrice", one.mark_price, instrument.price_decimals)
            rate = rate_of("lastFundingRate", one.last_funding_rate)
        except BadField as error:
            raise _bad(instrument.venue, call, error) from error
        rows.append((nanoseconds(one.time), recv_ns, rate, nanoseconds(one.next_funding_time), 0, mark))
    return Batch(Kind.FUNDING, source, instrument.symbol, np.array(rows, FUNDING), ts_recv_ns=recv_ns)


def parse_funding_history(
    instrument: Instrument, call: str, body: bytes, source: Source, recv_ns: int
) -> Batch:
    """FUNDING: the rates that were paid, oldest first."""
    said: list[FundingRate] = _decoded(_history, instrument.venue, call, body)
    rows = []
    for one in said:
        try:
            mark = (
                rounded("markPrice", one.mark_price, instrument.price_decimals) if one.mark_price else 0
            )  # fmt: skip
            rate = rate_of("fundingRate", one.funding_rate)
        except BadField as error:
            raise _bad(instrument.venue, call, error) from error
        rows.append((nanoseconds(one.funding_time), recv_ns, rate, 0, 0, mark))
    return Batch(Kind.FUNDING, source, instrument.symbol, np.array(rows, FUNDING), ts_recv_ns=recv_ns)


def error_code(status: int, body: bytes) -> tuple[int, str]:
    """(code, sentence) of a refusal; (0, "") for a success. BadAnswer never: a proxy's page has no code."""
    if status < 400:
        return 0, ""
    try:
        said = _failure.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return 0, body[:SAID_MAX].decode(errors="replace").strip()
    return said.code, said.msg[:SAID_MAX]


def _trades(market: Market, symbol: Symbol) -> bool:
    status = symbol.contract_status if market == "binance_coinm" else symbol.status
    return status == "TRADING" and symbol.is_spot_trading_allowed


def _instrument(market: Market, symbol: Symbol) -> Instrument | None:
    native = symbol.symbol
    if not 1 <= len(native.encode()) <= NAME_BYTES:
        return None
    sizes = {one.filter_type: one for one in symbol.filters}
    tick = sizes["PRICE_FILTER"].tick_size if "PRICE_FILTER" in sizes else ""
    lot = sizes["LOT_SIZE"].step_size if "LOT_SIZE" in sizes else ""
    try:
        price_decimals, size_decimals = needed_decimals(tick), needed_decimals(lot)
        if max(price_decimals, size_decimals) > MAX_DECIMALS:
            return None
        tick_size, lot_size = scaled("tickSize", tick, price_decimals), scaled("stepSize", lot, size_decimals)
    except (ValueError, BadField):
        return None
    if not tick_size or not lot_size:
        return None
    term = ""
    if market != "binance_spot":
        # The type of a dated contract changes as it comes near (NEXT_QUARTER, CURRENT_QUARTER); its name does not.
        term = native.partition("_")[2] or "PERP"
    return Instrument(
        market,
        "-".join(part for part in (symbol.base_asset, symbol.quote_asset, term) if part),
        symbol.base_asset,
        symbol.quote_asset,
        price_decimals,
        size_decimals,
        tick_size=tick_size,
        lot_size=lot_size,
        native=native,
        contracts=market == "binance_coinm",
    )


def _candle(instrument: Instrument, row: list[Any]) -> tuple[int, ...]:
    if len(row) < KLINE_FIELDS:
        raise BadField("its length")
    opened, texts, trades = row[0], (*row[1:6], row[7]), row[8]
    if type(opened) is not int or type(trades) is not int or opened < 0 or trades < 0:
        raise BadField("its time or number of trades")
    if opened > TIME_LIMIT or trades > INT64_MAX:
        raise BadField("its time or number of trades")
    if not all(type(text) is str for text in texts):
        raise BadField("a price or volume")
    return candle_row("a price or volume", instrument, nanoseconds(opened), texts, trades)


def _decoded(decoder: msgspec.json.Decoder[Any], venue: str, call: str, body: bytes) -> Any:
    try:
        return decode(decoder, body)
    except BadField as error:
        raise _bad(venue, call, error) from error


def _bad(venue: str, call: str, error: BadField) -> BadAnswer:
    return BadAnswer(venue, call, f"{error.field!r} is missing or not what it should be")
