"""Answers made of what the engine holds: views, rows and books become declared shapes. Pure; times are arguments.

Whole numbers become exact text here and nowhere before. Cost: some 4 us a candle, 2 us a trade, 0.7 us a level.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any, Final, Literal, cast

import numpy as np

from engine.api import models
from engine.api.problems import Problem
from engine.api.reading import plain
from engine.market import impact as impact_of
from engine.market.batches import BUY, SELL, Rows
from engine.market.candles import INTERVALS_NS, WORD
from engine.market.comparison import basis_points, top
from engine.market.instruments import Instrument, format_decimal
from engine.telemetry.board import BookView, LimitsView, SourceView, VenueView
from engine.telemetry.histogram import QUANTILES, quantiles
from engine.telemetry.latency import COARSE_S, StageLatency, counts_since, reaches
from engine.telemetry.stages import STAGES

Interval = Literal["1s", "5s", "1m", "5m", "15m", "1h"]
NS_A_MS: Final = 1_000_000
SECOND_NS: Final = 1_000_000_000
MORE_DECIMALS: Final = 2  # of a vwap, beyond those of prices
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_SIDES: Final[dict[int, Literal["buy", "sell"]]] = {BUY: "buy", SELL: "sell"}


# --- times and numbers ----------------------------------------------------------------------------------------


def iso(ns: int, zone: tzinfo) -> str:
    """ISO 8601 with milliseconds, cut off: `2026-11-20T12:00:00.123Z`, or with the zone's offset."""
    when = _EPOCH + timedelta(milliseconds=ns // NS_A_MS)
    if zone is UTC:
        return when.isoformat(timespec="milliseconds")[:-6] + "Z"
    return when.astimezone(zone).isoformat(timespec="milliseconds")


def iso_list(ns: Rows, zone: tzinfo) -> list[str]:
    """`iso` of many times."""
    if zone is UTC:
        texts = np.datetime_as_string((ns // NS_A_MS).astype("M8[ms]"), unit="ms").tolist()
        return [text + "Z" for text in texts]
    return [iso(at, zone) for at in ns.tolist()]


def moment(ns: int, zone: tzinfo) -> tuple[str | None, int | None]:
    """(ISO 8601, ms) of a time; nulls of 0, which is none."""
    return (iso(ns, zone), ns // NS_A_MS) if ns else (None, None)


def half(doubled: int, decimals: int) -> str:
    """The text of half a number; with one decimal more where it is odd."""
    return (
        format_decimal(doubled * 5, decimals + 1) if doubled % 2 else format_decimal(doubled // 2, decimals)
    )


def decimals_list(values: Iterable[int], decimals: int) -> list[str]:
    """`format_decimal` of many."""
    if not decimals:
        return [str(value) for value in values]
    unit = 10**decimals
    return [
        f"{value // unit}.{value % unit:0{decimals}d}" if value >= 0 else format_decimal(value, decimals)
        for value in values
    ]


def price_and_size(pair: tuple[int, int] | None, instrument: Instrument) -> tuple[str | None, str | None]:
    """A level as texts; nulls of none."""
    if pair is None:
        return None, None
    price, size = pair
    return format_decimal(price, instrument.price_decimals), format_decimal(size, instrument.size_decimals)


def _state(book: BookView) -> Any:
    return book.state


def place_of(source: SourceView) -> dict[str, Any]:
    """Its names."""
    return {"venue": source.source.venue, "source": source.source.key}


# --- one symbol -----------------------------------------------------------------------------------------------


def tick(source: SourceView, symbol: str, book: BookView, zone: tzinfo) -> models.Tick:
    """Best bid and ask and last trade."""
    unit = book.instrument
    bid, ask = top(book.bids), top(book.asks)
    bid_text, bid_size = price_and_size(bid, unit)
    ask_text, ask_size = price_and_size(ask, unit)
    mid2 = bid[0] + ask[0] if bid and ask else None
    spread = ask[0] - bid[0] if bid and ask else None
    ts, ts_ms = moment(book.ts_event_ns, zone)
    received_ts, received_ts_ms = moment(book.ts_recv_ns, zone)
    last_ts, last_ts_ms = moment(book.last_trade_ns, zone)
    return models.Tick(
        **place_of(source),
        symbol=symbol,
        state=_state(book),
        source_state=source.state,
        sequence=book.sequence,
        bid=bid_text,
        bid_size=bid_size,
        ask=ask_text,
        ask_size=ask_size,
        last=format_decimal(book.last_price, unit.price_decimals) if book.last_trade_ns else None,
        mid=half(mid2, unit.price_decimals) if mid2 is not None else None,
        spread=format_decimal(spread, unit.price_decimals) if spread is not None else None,
        spread_bp=basis_points(2 * spread, mid2) if spread is not None and mid2 else None,
        ts=ts,
        ts_ms=ts_ms,
        received_ts=received_ts,
        received_ts_ms=received_ts_ms,
        last_ts=last_ts,
        last_ts_ms=last_ts_ms,
    )


def book(source: SourceView, symbol: str, view: BookView, depth: int, zone: tzinfo) -> models.Book:
    """The best `depth` levels of each side of a view."""
    unit = view.instrument
    ts, ts_ms = moment(view.ts_event_ns, zone)
    received_ts, received_ts_ms = moment(view.ts_recv_ns, zone)
    return models.Book(
        **place_of(source),
        symbol=symbol,
        state=_state(view),
        source_state=source.state,
        sequence=view.sequence,
        ts=ts,
        ts_ms=ts_ms,
        received_ts=received_ts,
        received_ts_ms=received_ts_ms,
        size_unit=unit.size_unit,
        bid_levels=view.counts[0],
        ask_levels=view.counts[1],
        bids=levels(view.bids[:depth], unit),
        asks=levels(view.asks[:depth], unit),
    )


def levels(rows: Rows, instrument: Instrument) -> list[tuple[str, str]]:
    """LEVEL rows as (price, size) texts."""
    prices = decimals_list(rows["price"].tolist(), instrument.price_decimals)
    return list(zip(prices, decimals_list(rows["size"].tolist(), instrument.size_decimals), strict=True))


def candles(
    rows: Rows, instrument: Instrument, interval: Interval, zone: tzinfo, final_ns: int
) -> list[models.Candle]:
    """CANDLE rows of that length; final are those that end at `final_ns` or before."""
    step_ns = INTERVALS_NS[interval]
    prices = [
        decimals_list(rows[name].tolist(), instrument.price_decimals)
        for name in ("open", "high", "low", "close")
    ]
    volumes = rows["volume"].tolist()
    sums = zip(rows["notional_high"].tolist(), rows["notional_low"].tolist(), volumes, strict=True)
    columns = zip(
        iso_list(rows["ts_open_ns"], zone),
        rows["ts_open_ns"].tolist(),
        *prices,
        decimals_list(volumes, instrument.size_decimals),
        [vwap((high << WORD) + low, volume, instrument.price_decimals) for high, low, volume in sums],
        rows["trades"].tolist(),
        strict=True,
    )
    return [
        models.Candle(
            ts=ts,
            ts_ms=at_ns // NS_A_MS,
            interval=interval,
            open=opened,
            high=high,
            low=low,
            close=close,
            volume=volume,
            vwap=mean,
            trades=trades,
            final=at_ns + step_ns <= final_ns,
        )
        for ts, at_ns, opened, high, low, close, volume, mean, trades in columns
    ]


def vwap(notional: int, volume: int, price_decimals: int) -> str | None:
    """A sum of price times size over a sum of sizes, as text with two decimals more than prices, half up."""
    if not volume:
        return None
    rounded = (2 * notional * 10**MORE_DECIMALS + volume) // (2 * volume)
    return format_decimal(rounded, price_decimals + MORE_DECIMALS)


def trade_times(rows: Rows) -> Rows:
    """Times of TRADE rows in ns: the venue's where it gave one, else ours."""
    return np.where(rows["ts_event_ns"] > 0, rows["ts_event_ns"], rows["ts_recv_ns"])


def trades(rows: Rows, instrument: Instrument, zone: tzinfo) -> list[models.Trade]:
    """TRADE rows, in their order."""
    times = trade_times(rows)
    columns = zip(
        iso_list(times, zone),
        (times // NS_A_MS).tolist(),
        rows["trade_id"].tolist(),
        decimals_list(rows["price"].tolist(), instrument.price_decimals),
        decimals_list(rows["size"].tolist(), instrument.size_decimals),
        rows["aggressor"].tolist(),
        strict=True,
    )
    return [
        models.Trade(ts=ts, ts_ms=ts_ms, id=number, price=price, size=size, side=_SIDES.get(side))
        for ts, ts_ms, number, price, size, side in columns
    ]


def impact(
    source: SourceView, symbol: str, view: BookView, side: impact_of.Side, quote: str, zone: tzinfo
) -> models.Impact:
    """What a market order of `quote` (decimal text) would get of a view that has the whole book.

    Problem no_data without a synced book or the side; bad_argument for what pays for no lot; conflict where sizes
    count contracts, whose worth nothing here knows.
    """
    unit = view.instrument
    if unit.contracts:
        raise Problem(
            "conflict",
            f"sizes of {symbol} at {source.source.venue} count contracts, and what one is worth is not known here: "
            f"walk GET /book/{symbol} with the venue's contract size",
        )
    if view.state != "SYNCED":
        raise Problem(
            "no_data", f"the book of {symbol} is {view.state}: an impact is only told of a synced one"
        )
    asked = impact_of.amount_of(unit, quote)
    if not asked:
        raise Problem("bad_argument", f"quote cannot be {quote!r}: give an amount above 0", argument="quote")
    found = impact_of.walk(view.bids, view.asks, side, asked, unit.lot_size)
    if found is None:
        takes = "asks" if side == "buy" else "bids"
        raise Problem("no_data", f"the book of {symbol} has no {takes} now")
    average, slippage_bp = found.average(), found.slippage_bp()
    if average is None or slippage_bp is None:
        least = impact_of.quote_text(unit, found.best * unit.lot_size)
        raise Problem(
            "bad_argument",
            f"quote={quote} pays for no lot of {symbol}: the least is {least} {unit.quote} now",
            argument="quote",
        )
    ts, ts_ms = moment(view.ts_event_ns, zone)
    received_ts, received_ts_ms = moment(view.ts_recv_ns, zone)
    return models.Impact(
        **place_of(source),
        symbol=symbol,
        state=_state(view),
        side=side,
        quote=quote,
        average=format_decimal(average, unit.price_decimals + impact_of.MORE_DECIMALS),
        worst=format_decimal(found.worst, unit.price_decimals),
        best=format_decimal(found.best, unit.price_decimals),
        mid=half(found.mid2, unit.price_decimals) if found.mid2 is not None else None,
        impact_bp=found.impact_bp(),
        slippage_bp=slippage_bp,
        base_filled=format_decimal(found.base, unit.size_decimals),
        quote_filled=impact_of.quote_text(unit, found.quote),
        levels=found.levels,
        exhausted=found.exhausted,
        sequence=view.sequence,
        ts=ts,
        ts_ms=ts_ms,
        received_ts=received_ts,
        received_ts_ms=received_ts_ms,
    )


# --- sources --------------------------------------------------------------------------------------------------


def stage_row(source: SourceView, stage: StageLatency, start_ns: int) -> models.StageRow:
    """One stage since `start_ns`, by the clock of its rows; since the half-minute that holds it where the stage is so
    busy that the buckets of the window's first seconds are gone: then it is told from steps of 30 s.
    """
    heads: tuple[int, ...] = (stage.buckets.head, stage.seconds.head)
    if not reaches(stage, start_ns, stage.buckets.head):
        start_ns -= start_ns % (COARSE_S * SECOND_NS)
        heads = (*heads, stage.coarse.head, stage.long.head)
    counts, greatest = counts_since(stage, start_ns, *heads)
    total = int(counts.sum())
    found = quantiles(counts, QUANTILES, greatest) if total else [None] * len(QUANTILES)
    p50, p90, p95, p99, p999 = (_us(value) for value in found)
    offset_ns = source.offset_ns if stage.stage == "receive" else None
    return models.StageRow(
        **place_of(source),
        stage=stage.stage,
        what=STAGES.get(stage.stage, (stage.stage, ""))[1],
        from_ms=start_ns // NS_A_MS,
        count=total,
        p50_us=p50,
        p90_us=p90,
        p95_us=p95,
        p99_us=p99,
        p999_us=p999,
        max_us=_us(greatest) if total else None,
        offset_ms=round(offset_ns / NS_A_MS, 3) if offset_ns is not None else None,
    )


def _us(ns: int | None) -> float | None:
    return round(ns / 1e3, 3) if ns is not None else None


def throughput_row(source: SourceView, rows: Rows, window_s: int, closed_ns: int) -> models.ThroughputRow:
    """COUNT rows of a source over the last `window_s` of the seconds before `closed_ns`: rates are means of those
    there are.
    """
    inside = (rows["ts_ns"] >= closed_ns - window_s * SECOND_NS) & (rows["ts_ns"] < closed_ns)
    rows = rows[inside]
    seconds = len(rows)
    sums = {name: int(rows[name].sum()) for name in rows.dtype.names or () if name != "ts_ns"}

    def rate(name: str) -> float:
        return round(sums[name] / seconds, 3) if seconds else 0.0

    return models.ThroughputRow(
        **place_of(source),
        seconds=seconds,
        messages_per_s=rate("messages"),
        bytes_per_s=rate("size_bytes"),
        orders_per_s=rate("orders"),
        trades_per_s=rate("trades"),
        rejects_per_s=rate("rejects"),
        gaps=sums["gaps"],
        malformed=sums["malformed"],
        skipped=sums["skipped"],
    )


def limit_budget(view: LimitsView, now_ns: int, zone: tzinfo) -> models.LimitBudget:
    """One venue's budget."""
    banned = view.banned_until_ns > now_ns
    until_ts, until_ms = moment(view.banned_until_ns if banned else 0, zone)
    state = "banned" if banned else "within limits" if view.state == "banned" else view.state
    windows = []
    for one in view.windows:
        resets_ts, resets_ms = moment(one.resets_ns, zone)
        windows.append(
            models.LimitWindow(
                name=one.name,
                scope=one.scope,
                window_s=one.window_ns / SECOND_NS,
                limit=one.limit,
                used=one.used,
                reserved=one.reserved,
                foreign=one.foreign,
                resets_ts=resets_ts,
                resets_ts_ms=resets_ms,
                note=one.note,
            )
        )
    endpoints = [
        models.LimitEndpoint(
            endpoint=one.endpoint,
            weight=one.weight,
            calls=one.calls,
            throttled=one.throttled,
            waiting=one.waiting,
            refused=one.refused,
            mean_ms=milliseconds(one.mean_ns),
            p99_ms=milliseconds(one.p99_ns),
            max_ms=milliseconds(one.max_ns),
            last_status=one.last_status,
        )
        for one in view.endpoints
    ]
    return models.LimitBudget(
        venue=view.venue,
        label=view.label,
        state=cast(Any, state),
        banned_until_ts=until_ts,
        banned_until_ts_ms=until_ms,
        ban_reason=view.ban_reason if banned else "",
        calls=view.allowed,
        throttled=view.throttled,
        waiting=view.waiting,
        refused=view.refused_429 + view.refused_418 + view.refused_403,
        wait_mean_ms=milliseconds(view.wait_mean_ns),
        wait_max_ms=milliseconds(view.wait_max_ns),
        windows=windows,
        endpoints=endpoints,
    )


def milliseconds(ns: int) -> float:
    """ns as ms, to the microsecond."""
    return round(ns / NS_A_MS, 3)


def active_symbol(source: SourceView, symbol: str, instrument: Instrument, state: str) -> models.ActiveSymbol:
    """One followed symbol. A venue's tick or lot of one unit says nothing: it is what stands where none is known."""
    tick_size, lot_size = instrument.tick_size, instrument.lot_size
    known = source.source.run == "sim"
    return models.ActiveSymbol(
        **place_of(source),
        symbol=symbol,
        native=instrument.native,
        base=instrument.base,
        quote=instrument.quote,
        price_decimals=instrument.price_decimals,
        size_decimals=instrument.size_decimals,
        tick_size=format_decimal(tick_size, instrument.price_decimals) if known or tick_size > 1 else None,
        lot_size=format_decimal(lot_size, instrument.size_decimals) if known or lot_size > 1 else None,
        size_unit=instrument.size_unit,
        state=cast(Any, state),
        source_state=source.state,
    )


def available_venue(
    venue: str, label: str, state: str, listed: Sequence[str], contains: str, most: int
) -> models.AvailableVenue:
    """What a venue lists, of it at most `most` that hold `contains`, letters and digits alone, in any case."""
    wanted = plain(contains)
    found = [symbol for symbol in listed if wanted in plain(symbol)] if wanted else list(listed)
    return models.AvailableVenue(
        venue=venue, label=label, state=state, count=len(listed), symbols=sorted(found[:most])
    )


def venue_state(view: VenueView, source: SourceView | None) -> str:
    """How a live market stands: its source says more, once there is one."""
    return source.state if source is not None else view.state
