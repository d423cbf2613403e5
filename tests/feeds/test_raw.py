"""Frames as they came: what is handed over before it is decoded is all that is needed to decode it again."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from typing import Any
from urllib.parse import parse_qs

import pytest

from engine.exchange.faults import Fault
from engine.market.batches import Batch, Kind, Source
from engine.market.instruments import Instrument
from feeds.dialect import Call, Dialect
from feeds.frames import join
from feeds.live_market import raw_path
from feeds.venues import DIALECTS
from tests.feeds.live_desk import Scene, scene

FOLLOWED = {
    "binance_spot": ("BTC-USDT", "ETH-USDT"),
    "binance_usdm": ("BTC-USDT-PERP", "ETH-USDT-PERP"),
    "bybit_linear": ("BTC-USDT-PERP", "ETH-USDT-PERP"),
}

Columns = dict[tuple[str, Kind], list[Any]]


async def recorded(stage: Scene, key: str) -> None:
    """Some second of it, with a break in the middle."""
    await stage.until(lambda: stage.books.synced(key, 2))
    shelf = stage.books.open[key]
    await stage.until(lambda: len(shelf.trades) == 2)
    stage.venue.inject(Fault(kind="close", market=key))
    await stage.until(lambda: shelf.interrupted)
    await stage.until(lambda: stage.books.synced(key, 2))
    await stage.until(lambda: all(len(ids) > 10 for ids in shelf.trades.values()))


def columns(batches: list[Batch]) -> Columns:
    """All rows of each symbol and kind in order, books with what stands beside their rows."""
    out: Columns = defaultdict(list)
    for batch in batches:
        if batch.kind in (Kind.SNAPSHOT, Kind.DELTA):
            numbers = (batch.first_sequence, batch.last_sequence, batch.previous_sequence, batch.bids)
            times = (batch.ts_event_ns, batch.ts_recv_ns)
            out[batch.symbol, batch.kind].append((*numbers, *times, batch.rows.tolist()))
        else:
            out[batch.symbol, batch.kind] += batch.rows.tolist()
    return out


def decoded_again(
    dialect: Dialect, instruments: list[Instrument], raw: list[tuple[str, bytes, int]]
) -> list[Batch]:
    source = Source(dialect.key, "live")
    decoder = dialect.decoder(source, instruments)
    by_native = {instrument.native: instrument for instrument in instruments}
    made: list[Any] = []
    for path, frame, recv_ns in raw:
        if not path.startswith("GET "):
            made += decoder.decode(join([frame], [recv_ns]))
            continue
        endpoint, _, query = path.partition("?")
        told = {name: values[0] for name, values in parse_qs(query).items()}
        instrument = by_native[told["symbol"]]
        snapshot, funding = dialect.snapshot_call(instrument), dialect.funding_call(instrument)
        if snapshot is not None and endpoint == snapshot.endpoint:
            made += decoder.snapshot(instrument.symbol, frame, recv_ns)
        elif funding is not None and endpoint == funding.endpoint:
            made.append(dialect.parse_funding(instrument, frame, source, recv_ns))
        else:
            assert told["interval"] in ("1m", "1")
            made.append(dialect.parse_candles(instrument, 60, frame, source, recv_ns))
    assert all(isinstance(one, Batch) for one in made)
    return made


@pytest.mark.parametrize("key", FOLLOWED)
def test_what_was_handed_over_raw_decodes_to_the_same_batches(key: str) -> None:
    async def run() -> tuple[Scene, list[Instrument]]:
        async with scene({key: FOLLOWED[key]}, keeps_raw=True) as stage:
            await recorded(stage, key)
            return stage, [one.instrument for one in stage.books.open[key].states.values()]

    stage, instruments = asyncio.run(run())
    kept = stage.books.batches or []
    made = decoded_again(DIALECTS[key], instruments, stage.books.raw)
    kept_rows, made_rows = columns(kept), columns(made)
    for name, rows in kept_rows.items():
        if name[1] is Kind.CANDLES:  # some of a page's candles run still, or were delivered before
            assert {row[0] for row in rows} <= {row[0] for row in made_rows[name]}
        else:
            assert made_rows[name][: len(rows)] == rows, name
    assert kept_rows.keys() >= {(s, k) for s in FOLLOWED[key] for k in (Kind.TRADES, Kind.DELTA, Kind.QUOTES)}


def test_nothing_is_handed_over_where_nobody_wants_it() -> None:
    async def run() -> Scene:
        async with scene({"binance_spot": FOLLOWED["binance_spot"]}) as stage:
            await stage.until(lambda: stage.books.synced("binance_spot", 2))
        return stage

    assert asyncio.run(run()).books.raw == []


def test_a_body_is_kept_under_what_it_takes_to_read_it() -> None:
    depth = Call("/api/v3/depth", {"symbol": "BTCUSDT", "limit": 1_000})
    candles = Call("/v5/market/kline", {"category": "spot", "symbol": "BTCUSDT", "interval": "1", "limit": 9})
    assert raw_path(depth) == "GET /api/v3/depth?symbol=BTCUSDT"
    assert raw_path(candles) == "GET /v5/market/kline?symbol=BTCUSDT&interval=1"
    assert raw_path(Call("/api/v3/time")) == "GET /api/v3/time"


def test_times_and_clocks_are_no_market_data() -> None:
    async def run() -> Scene:
        async with scene({"bybit_linear": ("BTC-USDT-PERP",)}, keeps_raw=True) as stage:
            await stage.until(lambda: stage.view("bybit_linear").offset_ns is not None)
            await stage.until(lambda: stage.books.synced("bybit_linear", 1))
        return stage

    paths = {path for path, _, _ in asyncio.run(run()).books.raw}
    assert "/v5/public/linear" in paths
    assert not any("time" in path or "instruments" in path for path in paths)
    assert all(len(path) <= 64 for path in paths)
