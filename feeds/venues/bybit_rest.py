"""Bybit's REST answers as instruments and batches. Pure. BadAnswer names the field of a body of another form."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, Final, Literal

import msgspec
import numpy as np

from engine.errors import BadAnswer
from engine.market.batches import BUY, FUNDING, SELL, Batch, Kind, Rows, Source
from engine.market.instruments import INT64_MAX, Instrument, needed_decimals, parse_decimal
from feeds.dialect import Call, Listing
from feeds.venues.bybit_rows import (
    MAX_MILLIS,
    MS,
    BadField,
    CandleTexts,
    candle_rows,
    decoded,
    hours_of,
    millis_of,
    rate_of,
    rounded,
    trade_id_of,
)
from feeds.venues.trade_rows import Told, trade_rows

GOOD: Final = b'{"retCode":0,'  # how a success begins
PERPETUAL: Final = ("LinearPerpetual", "InversePerpetual")


class Outcome(msgspec.Struct):
    retCode: int  # noqa: N815
    retMsg: str = ""  # noqa: N815


class Clock(msgspec.Struct):
    timeNano: str  # noqa: N815


class ClockAnswer(msgspec.Struct):
    result: Clock


class PriceFilter(msgspec.Struct):
    tickSize: str  # noqa: N815


class SizeFilter(msgspec.Struct):
    basePrecision: str = ""  # noqa: N815  (spot)
    qtyStep: str = ""  # noqa: N815  (derivatives)


class Listed(msgspec.Struct):
    symbol: str
    status: str
    baseCoin: str  # noqa: N815
    quoteCoin: str  # noqa: N815
    priceFilter: PriceFilter  # noqa: N815
    lotSizeFilter: SizeFilter  # noqa: N815
    contractType: str = ""  # noqa: N815
    deliveryTime: str = "0"  # noqa: N815


class ListedPage(msgspec.Struct):
    rows: list[Listed] = msgspec.field(name="list")
    nextPageCursor: str = ""  # noqa: N815


class ListedAnswer(msgspec.Struct):
    result: ListedPage


class Candles(msgspec.Struct):
    rows: list[CandleTexts] = msgspec.field(name="list")


class CandlesAnswer(msgspec.Struct):
    result: Candles


class Trade(msgspec.Struct):
    execId: str  # noqa: N815
    price: str
    size: str
    side: Literal["Buy", "Sell"]
    time: str


class Trades(msgspec.Struct):
    rows: list[Trade] = msgspec.field(name="list")


class TradesAnswer(msgspec.Struct):
    result: Trades


class Ticker(msgspec.Struct):
    symbol: str
    fundingRate: str = ""  # noqa: N815
    nextFundingTime: str = ""  # noqa: N815
    fundingIntervalHour: str = ""  # noqa: N815
    markPrice: str = ""  # noqa: N815


class Tickers(msgspec.Struct):
    rows: list[Ticker] = msgspec.field(name="list")


class TickersAnswer(msgspec.Struct):
    result: Tickers
    time: int


class Paid(msgspec.Struct):
    symbol: str
    fundingRate: str  # noqa: N815
    fundingRateTimestamp: str  # noqa: N815


class PaidList(msgspec.Struct):
    rows: list[Paid] = msgspec.field(name="list")


class PaidAnswer(msgspec.Struct):
    result: PaidList


_outcome: Final = msgspec.json.Decoder(Outcome)
_clock: Final = msgspec.json.Decoder(ClockAnswer)
_listed: Final = msgspec.json.Decoder(ListedAnswer)
_candles: Final = msgspec.json.Decoder(CandlesAnswer)
_trades: Final = msgspec.json.Decoder(TradesAnswer)
_tickers: Final = msgspec.json.Decoder(TickersAnswer)
_paid: Final = msgspec.json.Decoder(PaidAnswer)


@contextmanager
def answer_of(venue: str, call: Call) -> Iterator[None]:
    """Says of whose answer a field is wrong."""
    try:
        yield
    except BadField as error:
        raise BadAnswer(venue, call.endpoint, f"bad {error.field!r}") from error


def error_code(status: int, body: bytes) -> tuple[int, str]:
    """(retCode, retMsg) where it is no success. 403 comes with no JSON when the address has called too often."""
    if status == 200 and body.startswith(GOOD):
        return 0, ""
    try:
        outcome = _outcome.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return (0, "access too frequent") if status == 403 else (0, "")
    return (outcome.retCode, outcome.retMsg) if outcome.retCode else (0, "")


def parse_time(venue: str, call: Call, body: bytes) -> int:
    """The venue's clock, ns UTC."""
    with answer_of(venue, call):
        text: str = decoded(_clock, body).result.timeNano
        if not text.isascii() or not text.isdigit() or len(text) > 19 or int(text) > INT64_MAX:
            raise BadField("timeNano")
        return int(text)


def parse_instruments(venue: str, call: Call, body: bytes) -> Listing:
    """One page: what is trading and can be followed; entries with sizes that are no decimals are left out."""
    with answer_of(venue, call):
        page: ListedPage = decoded(_listed, body).result
    found = [instrument_of(venue, entry) for entry in page.rows if entry.status == "Trading"]
    more = None
    if page.nextPageCursor:
        more = Call(call.path, {**call.arguments, "cursor": page.nextPageCursor})
    return Listing(tuple(instrument for instrument in found if instrument is not None), more=more)


def instrument_of(venue: str, entry: Listed) -> Instrument | None:
    """The instrument an entry of the list describes; None where it cannot be used.

    The universal symbol is built from its currencies and, of a dated contract, its day of delivery: names differ from
    one kind of contract to the next (BTCPERP, BTC-27SEP24, BTCUSDU24).
    """
    terms: tuple[str, ...] = ()
    try:
        if entry.contractType in PERPETUAL:
            terms = ("PERP",)
        elif entry.contractType:
            day = datetime.fromtimestamp(millis_of("deliveryTime", entry.deliveryTime) // 10**9, UTC)
            terms = (f"{day:%y%m%d}",)
        tick, lot = (
            entry.priceFilter.tickSize,
            entry.lotSizeFilter.qtyStep or entry.lotSizeFilter.basePrecision,
        )
        price_decimals, size_decimals = needed_decimals(tick), needed_decimals(lot)
        return Instrument(
            venue,
            "-".join((entry.baseCoin, entry.quoteCoin, *terms)),
            entry.baseCoin,
            entry.quoteCoin,
            price_decimals,
            size_decimals,
            parse_decimal(tick, price_decimals),
            parse_decimal(lot, size_decimals),
            native=entry.symbol,
            contracts=entry.contractType.startswith("Inverse"),
        )
    except (BadField, ValueError):
        return None


def parse_candles(
    instrument: Instrument, call: Call, interval_s: int, body: bytes, source: Source, recv_ns: int
) -> Batch:
    """CANDLES, oldest first: Bybit gives the newest first."""
    with answer_of(instrument.venue, call):
        rows = candle_rows(instrument, decoded(_candles, body).result.rows[::-1])
    interval_ns = interval_s * 10**9
    return Batch(
        Kind.CANDLES,
        source,
        instrument.symbol,
        rows,
        ts_recv_ns=recv_ns,
        interval_ns=interval_ns,
    )


def parse_trades(instrument: Instrument, call: Call, body: bytes, source: Source, recv_ns: int) -> Batch:
    """TRADES, oldest first: Bybit gives the newest first."""
    with answer_of(instrument.venue, call):
        trades: list[Trade] = decoded(_trades, body).result.rows
        told: list[Told] = [
            (
                millis_of("time", one.time),
                trade_id_of(one.execId),
                one.price,
                one.size,
                BUY if one.side == "Buy" else SELL,
            )
            for one in reversed(trades)
        ]
        rows = trade_rows("price", "size", told, instrument, recv_ns)
    return Batch(Kind.TRADES, source, instrument.symbol, rows, ts_recv_ns=recv_ns)


def parse_funding(instrument: Instrument, call: Call, body: bytes, source: Source, recv_ns: int) -> Batch:
    """FUNDING: one row, or none where the contract has no funding."""
    with answer_of(instrument.venue, call):
        answer: TickersAnswer = decoded(_tickers, body)
        ticker = next((entry for entry in answer.result.rows if entry.symbol == instrument.native), None)
        if ticker is None or not 0 <= answer.time <= MAX_MILLIS:
            raise BadField("symbol" if ticker is None else "time")
        rows = []
        if ticker.fundingRate:
            next_ns = millis_of("nextFundingTime", ticker.nextFundingTime) if ticker.nextFundingTime else 0
            hours = ticker.fundingIntervalHour
            mark = ticker.markPrice
            rows.append(
                (
                    answer.time * MS,
                    recv_ns,
                    rate_of("fundingRate", ticker.fundingRate),
                    next_ns,
                    hours_of("fundingIntervalHour", hours) if hours else 0,
                    rounded("markPrice", mark, instrument.price_decimals) if mark else 0,
                )
            )
    return _funding(instrument, rows, source, recv_ns)


def parse_funding_history(
    instrument: Instrument, call: Call, body: bytes, source: Source, recv_ns: int
) -> Batch:
    """FUNDING that was paid, oldest first: Bybit gives the newest first."""
    with answer_of(instrument.venue, call):
        rows = [
            (
                millis_of("fundingRateTimestamp", paid.fundingRateTimestamp),
                recv_ns,
                rate_of("fundingRate", paid.fundingRate),
                0,
                0,
                0,
            )
            for paid in reversed(decoded(_paid, body).result.rows)
        ]
    return _funding(instrument, rows, source, recv_ns)


def _funding(instrument: Instrument, rows: list[Any], source: Source, recv_ns: int) -> Batch:
    array: Rows = np.array(rows, FUNDING)
    return Batch(Kind.FUNDING, source, instrument.symbol, array, ts_recv_ns=recv_ns)
