"""The routes that read the market: each handler finds what is asked for and has it put into words."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from datetime import UTC, tzinfo
from typing import Any, Final

from engine.api import answers, models, ohlc
from engine.api.ohlc import OhlcHistory, Stretch
from engine.api.pair import price
from engine.api.problems import Problem
from engine.api.reading import Markets
from engine.api.route import Call, Parameter, Route
from engine.intake import CANDLE_GRACE_NS
from engine.market.batches import Rows
from engine.market.book import CAPACITY
from engine.market.candles import INTERVALS_NS, SECOND_NS
from engine.telemetry.board import BookView, SourceView
from engine.telemetry.counters import LONGEST_S

LIMIT_MOST: Final = 5_000  # candles, trades, levels a side
USUAL_CANDLES: Final = 500  # of a stretch, where no limit is given
THREAD_FROM: Final = 400  # rows: more take the loop longer than it may be held
LEVELS_THREAD_FROM: Final = 2_000
TICKS_KEPT: Final = 1_024
LATE_NS: Final = (
    CANDLE_GRACE_NS + 100_000_000
)  # a closed second is published this long after its end, at most
LATENCY_WINDOW_MOST_S: Final = 900  # what the histograms of seconds reach back

VENUE: Final = Parameter(
    "venue",
    "query",
    "text",
    "Venue, as binance_spot or builtin; a replay by its own key, binance_spot:replay. "
    "Default: the first that is live and has the symbol, real ones before the built-in exchange",
    default="",
    example="builtin",
)
ZONE: Final = Parameter(
    "tz", "query", "zone", "Time zone of the times as text", default=UTC, example="Europe/Berlin"
)
SYMBOL: Final = Parameter(
    "symbol",
    "path",
    "text",
    "Symbol by its universal name or the venue's own, in any case: BTC-USDT, btcusdt",
    example="BTC-USDT",
)
FINDING: Final = ("unknown_venue", "unknown_symbol", "not_subscribed", "no_data", "not_ready")


class MarketRoutes:
    """Handlers over `Markets`. Ticks that did not change are the same object, so that their bytes are kept."""

    def __init__(self, markets: Markets, history: OhlcHistory) -> None:
        self._markets, self._history = markets, history
        self._ticks: OrderedDict[tuple[str, str, int], tuple[BookView, str, tzinfo, models.Tick]] = (
            OrderedDict()
        )

    def tick(self, call: Call) -> models.Tick:
        """Best bid and ask and last trade."""
        given = call.arguments
        source, symbol = self._markets.find(given["venue"], given["symbol"])
        view, zone = self._markets.book(source, symbol), given["tz"]
        key = (source.source.key, symbol, id(zone))
        held = self._ticks.get(key)
        if held is not None and held[0] is view and held[1] == source.state and held[2] is zone:
            return held[3]
        made = answers.tick(source, symbol, view, zone)
        self._ticks.pop(key, None)
        self._ticks[key] = (view, source.state, zone, made)
        if len(self._ticks) > TICKS_KEPT:
            self._ticks.popitem(last=False)
        return made

    async def ohlc(self, call: Call) -> models.Ohlc:
        """Candles of a stretch, or the latest."""
        given = call.arguments
        source, symbol = self._markets.find(given["venue"], given["symbol"])
        rings = self._markets.rings(source, symbol)
        state = self._markets.state(source, symbol)
        instrument, running = state.instrument, state.candles.running()
        now_ns = source.clock(call.now_ns)
        from_ns, to_ns, limit = given["from"], given["to"], given["limit"]
        if from_ns is not None and to_ns is not None and from_ns >= to_ns:
            raise Problem("bad_argument", "from must be before to", argument="from")
        if limit is None:
            limit = 1 if from_ns is None and to_ns is None else USUAL_CANDLES
        interval, zone = given["interval"], given["tz"]
        newest_ns = int(running["ts_open_ns"][0]) if running is not None else 0
        # A venue's clock may be ahead of ours: what it says is still before now.
        stretch = Stretch(
            INTERVALS_NS[interval], limit, from_ns, max(now_ns, newest_ns) + 1 if to_ns is None else to_ns
        )
        late_ns = LATE_NS + max(0, source.offset_ns or 0)
        final_ns = ohlc.closed_before(rings, running, now_ns, late_ns)
        found = await self._history.candles(
            source.source.venue if source.source.run != "replay" else "",
            instrument,
            stretch,
            ohlc.held(rings, running, stretch),
            call.now_ns,
        )
        candles = await _built(
            found.rows, lambda rows: answers.candles(rows, found.instrument, interval, zone, final_ns)
        )
        return models.Ohlc(
            venue=source.source.venue,
            source=source.source.key,
            symbol=symbol,
            interval=interval,
            truncated=found.truncated,
            venue_until_ms=_ms(found.venue_until_ns, found.rows),
            archive_until_ms=_ms(found.archive_until_ns, found.rows),
            candles=candles,
        )

    async def book(self, call: Call) -> models.Book:
        """The book as it stands now."""
        given = call.arguments
        depth, zone = given["depth"], given["tz"]
        source, symbol = self._markets.find(given["venue"], given["symbol"])
        view = self._markets.deep_book(source, symbol, depth)
        if len(view.bids) + len(view.asks) < LEVELS_THREAD_FROM:
            return answers.book(source, symbol, view, depth, zone)
        return await asyncio.to_thread(answers.book, source, symbol, view, depth, zone)

    async def trades(self, call: Call) -> models.Trades:
        """The newest trades, or those from a number on."""
        given = call.arguments
        source, symbol = self._markets.find(given["venue"], given["symbol"])
        ring = self._markets.rings(source, symbol).trades
        instrument = self._markets.state(source, symbol).instrument
        limit, from_id, truncated = given["limit"], given["from_id"], False
        if from_id is None:
            rows = ring.last(limit).rows
        else:
            rows = ring.last(ring.capacity).rows
            rows = rows[rows["trade_id"] >= from_id]
            truncated = len(rows) > limit
            rows = rows[:limit]
        zone = given["tz"]
        return models.Trades(
            venue=source.source.venue,
            source=source.source.key,
            symbol=symbol,
            size_unit=instrument.size_unit,
            truncated=truncated,
            trades=await _built(rows, lambda rows: answers.trades(rows, instrument, zone)),
        )

    async def latency(self, call: Call) -> models.Latency:
        """Latencies of a source by stage."""
        given = call.arguments
        source = self._markets.source(given["venue"])
        key, asked = source.source.key, given["stage"]
        names = [name for name in source.stages if (key, name) in self._markets.telemetry.stages]
        if asked and asked not in names:
            there = ", ".join(names) or "none yet"
            raise Problem(
                "bad_argument", f"stage cannot be {asked[:40]!r}: {key} has {there}", argument="stage"
            )
        now_ns = source.clock(call.now_ns)
        end_ns = now_ns - now_ns % SECOND_NS
        start_ns = end_ns - given["window"] * SECOND_NS
        rows = []
        for name in [asked] if asked else names:
            rows.append(answers.stage_row(source, self._markets.telemetry.stages[key, name], start_ns))
            await asyncio.sleep(0)  # a stage takes a millisecond: others have their turn between two
        return models.Latency(
            venue=source.source.venue,
            source=key,
            window_s=given["window"],
            ts=answers.iso(end_ns, given["tz"]),
            ts_ms=end_ns // answers.NS_A_MS,
            stages=rows,
        )

    def throughput(self, call: Call) -> models.Throughput:
        """Rates of every source, or of one."""
        given = call.arguments
        telemetry, window_s = self._markets.telemetry, given["window"]
        sources = (self._markets.source(given["venue"]),) if given["venue"] else self._markets.sources()
        closed_ns = telemetry.board.closed_second_ns or call.now_ns - call.now_ns % SECOND_NS
        rows = []
        for source in sources:
            counter = telemetry.counters.get(source.source.key)
            if counter is not None:
                counted = counter.ring.last(window_s + 3).rows
                rows.append(answers.throughput_row(source, counted, window_s, closed_ns))
        return models.Throughput(
            window_s=window_s,
            ts=answers.iso(closed_ns, given["tz"]),
            ts_ms=closed_ns // answers.NS_A_MS,
            sources=rows,
        )

    def limits(self, call: Call) -> models.Limits:
        """Every venue's budgets, or one's."""
        given, board = call.arguments, self._markets.telemetry.board
        budgets = board.limits
        if given["venue"]:
            wanted = given["venue"].strip().lower().removesuffix(":live")
            spent = {view.venue.lower(): view.limits or view.venue for view in board.venues}
            budgets = tuple(one for one in budgets if one.venue.lower() in (wanted, spent.get(wanted)))
            if not budgets:
                known = ", ".join(sorted({one.venue for one in board.limits} | set(spent))) or "none"
                raise Problem(
                    "unknown_venue", f"venue {given['venue'][:40]!r} has no limits here; there are {known}"
                )
        return models.Limits(
            ts=answers.iso(call.now_ns, given["tz"]),
            ts_ms=call.now_ns // answers.NS_A_MS,
            budgets=[answers.limit_budget(one, call.now_ns, given["tz"]) for one in budgets],
        )

    def impact(self, call: Call) -> models.Impact:
        """What a market order would get."""
        given = call.arguments
        source, symbol = self._markets.find(given["venue"], given["symbol"])
        view = self._markets.deep_book(source, symbol, CAPACITY)
        return answers.impact(source, symbol, view, given["side"], given["quote"], given["tz"])

    def price(self, call: Call) -> models.Price:
        """A pair over venues."""
        given = call.arguments
        base, quote = given["base"].strip().upper(), given["quote"].strip().upper()
        if given["venue"]:
            sources: tuple[SourceView, ...] = (self._markets.source(given["venue"]),)
        else:
            sources = self._markets.sources()
        books = []
        for source in sources:
            for symbol in source.symbols:
                view = self._markets.telemetry.board.books.get((source.source.key, symbol))
                if view is not None and (view.instrument.base, view.instrument.quote) == (base, quote):
                    books.append((source, symbol, view))
        if not books:
            pairs = sorted(
                {
                    f"{view.instrument.base}/{view.instrument.quote}"
                    for (key, _), view in self._markets.telemetry.board.books.items()
                    if not key.endswith(":replay")
                }
            )
            there = ", ".join(pairs[:8]) or "none yet"
            raise Problem(
                "unknown_symbol", f"no open venue follows {base[:40]}/{quote[:40]}; followed are {there}"
            )
        return price(base, quote, books, call.now_ns, given["tz"])


def routes(markets: Markets, history: OhlcHistory) -> tuple[Route, ...]:
    """All routes that read the market."""
    market = MarketRoutes(markets, history)
    return (
        _route("/tick/{symbol}", "Best bid and ask and last trade", market.tick, models.Tick, SYMBOL),
        _route(
            "/ohlc/{symbol}",
            "Candles: the latest, or those of a stretch, from memory and from what was recorded",
            market.ohlc,
            models.Ohlc,
            SYMBOL,
            Parameter(
                "interval",
                "query",
                "choice",
                "Length of a candle, aligned to the clock",
                default="1s",
                choices=tuple(INTERVALS_NS),
                example="1m",
            ),
            _whole(
                "limit", f"Candles at most; default 1, of a stretch {USUAL_CANDLES}", None, LIMIT_MOST, "60"
            ),
            Parameter(
                "from",
                "query",
                "moment",
                "Candles that open at this time or later, the oldest first to be given: milliseconds since 1970, "
                "ISO 8601, or so long ago",
                example="10m",
            ),
            Parameter(
                "to", "query", "moment", "Candles that open before this time, as `from`", example="now"
            ),
            problems=("bad_interval",),
        ),
        _route(
            "/book/{symbol}",
            "The book as it stands, best levels first",
            market.book,
            models.Book,
            SYMBOL,
            _whole("depth", "Levels a side at most", 100, LIMIT_MOST, "20"),
        ),
        _route(
            "/trades/{symbol}",
            "Trades, oldest first: the newest, or those from a number on",
            market.trades,
            models.Trades,
            SYMBOL,
            _whole("limit", "Trades at most", 100, LIMIT_MOST, "50"),
            Parameter(
                "from_id",
                "query",
                "whole",
                "Trades with this number or a later one, as far back as they are held; default: the newest",
                most=2**63 - 1,
            ),
        ),
        _route(
            "/latency",
            "Latencies by stage over a window",
            market.latency,
            models.Latency,
            _whole("window", "Length of the window, seconds", 60, LATENCY_WINDOW_MOST_S, "60"),
            Parameter(
                "stage", "query", "text", "One stage alone, as receive or ack", default="", example="ack"
            ),
        ),
        _route(
            "/throughput",
            "Messages, orders and trades a second of every source",
            market.throughput,
            models.Throughput,
            _whole("window", "Length of the window, seconds", 10, LONGEST_S - 60, "60"),
        ),
        _route("/limits", "Rate limits of the venues, and what was spent", market.limits, models.Limits),
        _route(
            "/impact/{symbol}",
            "What a market order would get: average price and impact, by walking the book",
            market.impact,
            models.Impact,
            SYMBOL,
            Parameter(
                "side",
                "query",
                "choice",
                "buy takes asks, sell takes bids",
                default="buy",
                choices=("buy", "sell"),
                example="buy",
            ),
            Parameter(
                "quote",
                "query",
                "decimal",
                "Amount in the quote currency",
                required=True,
                example="100000",
            ),
            problems=("conflict",),
        ),
        _route(
            "/price/{base}/{quote}",
            "A pair over all venues: best bid and ask and where, and the median of the mids",
            market.price,
            models.Price,
            Parameter("base", "path", "text", "Currency that is traded", example="BTC"),
            Parameter("quote", "path", "text", "Currency it is paid in", example="USDT"),
        ),
    )


def _route(
    path: str,
    summary: str,
    handler: Callable[[Call], Any],
    answer: Any,
    *parameters: Parameter,
    problems: tuple[str, ...] = (),
) -> Route:
    return Route(
        "GET",
        path,
        "read",
        "Market",
        summary,
        handler,
        answer,
        parameters=(*parameters, VENUE, ZONE),
        problems=(*FINDING, *problems),
    )


def _whole(name: str, text: str, default: int | None, most: int, example: str) -> Parameter:
    return Parameter(name, "query", "whole", text, default=default, least=1, most=most, example=example)


async def _built(rows: Rows, build: Callable[[Rows], list[Any]]) -> list[Any]:
    """The rows put into words; many of them in a thread, since the loop may not be held so long."""
    if len(rows) < THREAD_FROM:
        return build(rows)
    return await asyncio.to_thread(build, rows)


def _ms(until_ns: int, rows: Rows) -> int | None:
    """A seam in ms; None where no candle lies before it."""
    if not until_ns or not len(rows) or int(rows["ts_open_ns"][0]) >= until_ns:
        return None
    return until_ns // answers.NS_A_MS
