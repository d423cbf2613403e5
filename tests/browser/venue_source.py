"""Live venues made by hand: the real transport over telemetry that a fake market fills.

Six live markets that can be connected and disconnected, with books, candles, latencies, limits and funding that
are functions of the time and a seed. What pages show of them goes through `dashboards.transport` as it does in the
application; only the engine behind it is played. `switch(mode)`: "live" (four markets on), "off" (none), "away"
(Binance spot and COIN-M cannot be reached), "throttling", "banned", "stale" (one market's book and data),
"crossed" (one venue bids more than another asks).
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from dashboards.transport import Transport
from engine.errors import BadCommand
from engine.market.batches import CANDLE, FUNDING, LEVEL, TRADE, Source
from engine.market.instruments import Instrument
from engine.telemetry.board import (
    BookView,
    EndpointView,
    EngineView,
    LimitsView,
    LiveSymbolView,
    PollView,
    ProcessView,
    QueueView,
    SourceView,
    StreamView,
    TaskView,
    VenueView,
    WindowView,
)
from engine.telemetry.hub import Telemetry
from tests.browser.fake_source import gauss, noise

SECOND = 1_000_000_000
HISTORY_S = 330
PRICES = {"BTC": 104_238.65, "ETH": 3_812.40, "SOL": 241.185}
LEVELS = 160


@dataclass
class Market:
    """One live market: what is fixed, and what commands change."""

    key: str
    label: str
    colour: int
    form: str  # "{}-USDT", "{}-USDT-PERP", "{}-USD-PERP"
    decimals: tuple[int, int]
    basis_bp: float
    rate: int
    streams: tuple[str, ...]
    budget: str
    state: str = "off"
    detail: str = ""
    since_ns: int = 0
    next_try_ns: int = 0
    symbols: list[str] = field(default_factory=list)
    polls: dict[str, int] = field(default_factory=dict)

    @property
    def source(self) -> Source:
        return Source(self.key, "live")

    def instrument(self, symbol: str) -> Instrument:
        base, quote = symbol.split("-")[:2]
        return Instrument(
            *(self.key, symbol, base, quote, *self.decimals),
            native=base + quote,
            contracts=quote == "USD",
        )


def markets() -> list[Market]:
    """The six, as the engine orders them."""
    spot, linear, inverse = "{}-USDT", "{}-USDT-PERP", "{}-USD-PERP"
    return [
        Market("binance_spot", "Binance spot", 1, spot, (2, 5), 0.0, 940, ("spot 1",), "binance_spot"),
        Market("binance_usdm", "Binance USD-M", 2, linear, (1, 3), 3.1, 1_620, ("public 1", "market 1"),
               "binance_usdm"),
        Market("binance_coinm", "Binance COIN-M", 3, inverse, (1, 0), 2.2, 210, ("stream 1",), "binance_coinm"),
        Market("bybit_spot", "Bybit spot", 4, spot, (2, 6), 0.35, 410, ("public 1",), "bybit"),
        Market("bybit_linear", "Bybit linear", 5, linear, (1, 3), 2.6, 730, ("public 1",), "bybit"),
        Market("bybit_inverse", "Bybit inverse", 6, inverse, (2, 0), 1.9, 120, ("public 1",), "bybit"),
    ]  # fmt: skip


@lru_cache(maxsize=1 << 14)
def walk(seed: int, k: int) -> float:
    """Slow waves and a bounded walk, by the second: how far a price is from where it began, as a share."""
    steps = sum(gauss(seed, k // (4**j), j, 3) * 0.00006 * 1.7**j for j in range(5))
    return steps + 0.0006 * math.sin(k / 97) + 0.0003 * math.sin(k / 31 + 1)


class VenueSource:
    """PageSource and engine in one; `commands` records what pages asked for."""

    def __init__(
        self, *, seed: int = 7, clock: Callable[[], float] = time.time, history_s: int = HISTORY_S
    ) -> None:
        self.seed, self.clock = seed, clock
        self._turn = threading.RLock()
        self.commands: list[tuple[str, dict[str, Any]]] = []
        self.exports: list[dict[str, Any]] = []
        self.params: dict[str, Any] = {}
        self.mode = "live"
        self.rate = 5_000
        self.markets = {market.key: market for market in markets()}
        self.started_ns = self._now()
        self.telemetry = Telemetry(self.started_ns - 3_912 * SECOND)
        self.transport = Transport(self, self._now)
        self._second = self.started_ns // SECOND - history_s
        self._past_ns = self._second * SECOND  # when what has no time of its own was opened
        self.opened: dict[str, int] = {}
        self.switch("live")

    # ---------- what the shell calls ----------

    def poll(self, params: dict[str, Any], cursors: dict[str, Any]) -> dict[str, Any]:
        """One answer of the real transport."""
        self.params = params
        self.advance()
        return self.transport.poll(params, cursors)

    def export(self, request: dict[str, Any]) -> tuple[str, str]:
        """The real export."""
        self.exports.append(request)
        return self.transport.export(request)

    def download(self, job: str) -> Path:
        """The real download."""
        return self.transport.download(job)

    def export_path(self, job: str) -> Path | None:
        """There is no export here."""
        return None

    def note_page(self, stage: str, values_ns: list[int]) -> None:
        """Latencies that pages measured, as the engine keeps them."""
        for value in values_ns:
            self.telemetry.stage("page", stage).record_one(self._now(), value)

    def command(self, name: str, args: dict[str, Any]) -> None:
        """Venues and rate, as the engine takes them."""
        self.commands.append((name, args))
        if name == "set_rate":
            self.rate = args["orders_per_s"]
            return
        market = self.markets.get(str(args.get("venue")))
        if market is None:
            raise BadCommand(f"there is no market {args.get('venue')!r}")
        if name == "connect_venue":
            self.connect(market.key)
        elif name == "disconnect_venue":
            self._set(market, "off")
            self.telemetry.forget(market.source.key)
        elif name == "add_symbol":
            symbol = str(args["symbol"])
            if symbol not in self.listed(market):
                raise BadCommand(f"{market.label} lists no {symbol!r}; close: {market.symbols[0]}")
            market.symbols.append(symbol)
        elif name == "remove_symbol":
            market.symbols.remove(args["symbol"])
        elif name == "set_poll":
            if not 0 <= args["interval_s"] <= 86_400:
                raise BadCommand("interval_s must be 0 to 86,400")
            market.polls[args["endpoint"]] = args["interval_s"]
        else:
            raise BadCommand(f"there is no command {name!r}")
        self.advance()

    # ---------- states ----------

    def switch(self, mode: str) -> None:
        """Enter a state now."""
        self.mode = mode
        on = [] if mode == "off" else ["binance_spot", "binance_usdm", "bybit_spot", "bybit_linear"]
        if mode == "crossed":
            on.append("bybit_inverse")
        for key, market in self.markets.items():
            if key in on and market.state != "live":
                self.connect(key)
            elif key not in on and market.state != "off":
                self.command("disconnect_venue", {"venue": key})
        if mode == "away":
            for key in ("binance_spot", "binance_coinm"):
                self.lose(key, f"cannot resolve {'d' if key.endswith('coinm') else ''}api.binance.com")
        self.commands.clear()
        self.advance()

    def connect(self, key: str) -> None:
        """Have a market live."""
        market = self.markets[key]
        self._set(market, "live")
        if not market.symbols:
            market.symbols = [market.form.format(base) for base in ("BTC", "ETH")]
        polls = {"time": 30, "instruments": 3_600, "candles": 60}
        market.polls = market.polls or polls | ({"funding": 15} if "PERP" in market.form else {})

    def lose(self, key: str, why: str, next_s: float = 4.3) -> None:
        """Have a market not reachable, tried again in `next_s` seconds."""
        market = self.markets[key]
        if not market.symbols:
            self.connect(key)
        self._set(market, "reconnecting", why)
        market.since_ns -= 20 * SECOND
        market.next_try_ns = self._now() + round(next_s * SECOND)

    def listed(self, market: Market) -> tuple[str, ...]:
        """What the venue lists."""
        bases = ["BTC", "ETH", "SOL", "BNB", "XRP", "DOGE", "ADA", "TON", *(f"COIN{k}" for k in range(200))]
        return tuple(sorted(market.form.format(base) for base in bases))

    def _set(self, market: Market, state: str, detail: str = "") -> None:
        market.state, market.detail, market.since_ns, market.next_try_ns = state, detail, self._now(), 0

    def _now(self) -> int:
        return round(self.clock() * 1e9)

    # ---------- the market ----------

    def mid(self, base: str, at_s: float, basis_bp: float = 0.0) -> float:
        """Price of a coin at a time."""
        k = math.floor(at_s)
        here, there = walk(self.seed, k), walk(self.seed, k + 1)
        price = PRICES.get(base, 12.5) * (1 + here + (there - here) * (at_s - k))
        wobble = 0.25 * gauss(self.seed, k, round(basis_bp * 100), 5) if basis_bp else 0.0
        return price * (1 + (basis_bp + wobble) / 1e4)

    def advance(self) -> None:
        """Bring telemetry and board up to now; by one thread at a time, as telemetry has one writer."""
        with self._turn:
            self._advance()

    def _advance(self) -> None:
        now_ns = self._now()
        second = now_ns // SECOND
        while self._second < second:
            self._close(self._second)
            self._second += 1
        board = self.telemetry.board
        board.closed_second_ns = second * SECOND
        board.engine = EngineView(
            "running",
            kernels_done=8,
            kernels_total=8,
            kernels_seconds=11.4,
            rate=self.rate,
            rate_actual=self.rate,
        )
        board.process = ProcessView(41.2, 412_000_000, 14)
        on = [market for market in self.markets.values() if market.state != "off"]
        board.tasks = tuple(
            TaskView(name, "running", 0, "", self.telemetry.started_ns)
            for name in ("simulator", "publisher", "sampler", *(f"venue {m.key}" for m in on))
        )
        board.queues = (QueueView("commands", 0, 4, 1_024, 0), QueueView("market", 2, 61, 4_096, 0))
        for market in on:
            for symbol in market.symbols:
                board.books[market.source.key, symbol] = self._book(market, symbol, now_ns)
        builtin = self._builtin()
        board.books["builtin:sim", "BTC-USDT"] = self._book(builtin, "BTC-USDT", now_ns)
        board.sources = (*(self._source(m, now_ns) for m in on), self._source(builtin, now_ns, "sim"))
        for market in on:
            if market.state == "reconnecting" and market.next_try_ns < now_ns:
                market.next_try_ns = now_ns + 8 * SECOND
        board.venues = tuple(self._venue(market, now_ns) for market in self.markets.values())
        board.limits = self._limits(now_ns)

    def _builtin(self) -> Market:
        market = Market("builtin", "Built-in", 0, "{}-USDT", (1, 5), -40.0, self.rate, (), "")
        market.state, market.symbols = "live", ["BTC-USDT"]
        return market

    def _behind(self, market: Market) -> int:
        return 12_400_000_000 if self._stuck(market) else 42_000_000

    def _stuck(self, market: Market) -> bool:
        return market.state == "reconnecting" or (self.mode == "stale" and market.key == "bybit_spot")

    def _tops(self, market: Market, symbol: str, at_s: float) -> tuple[int, int]:
        scale = 10 ** market.decimals[0]
        basis = market.basis_bp - (6 if self.mode == "crossed" and market.key == "bybit_spot" else 0)
        mid = self.mid(symbol.split("-")[0], at_s, basis) * scale
        tick = 1 if market.decimals[0] < 2 else 5
        bid = math.floor(mid / tick) * tick
        return bid, bid + tick * (1 + (int(at_s * 3) % 7 == 0))

    def _book(self, market: Market, symbol: str, now_ns: int) -> BookView:
        at_s = (now_ns - self._behind(market)) / 1e9
        bid, ask = self._tops(market, symbol, at_s)
        unit = 10 ** market.decimals[1]
        sides = []
        for price, sign in ((bid, -1), (ask, 1)):
            steps = np.arange(LEVELS)
            prices = price + sign * (steps * (1 if market.decimals[0] < 2 else 5))
            sizes = [
                max(
                    1,
                    round((0.4 + 2.6 * noise(self.seed, int(p), int(at_s * 2)) * (1 + i / 40)) * unit * 0.4),
                )
                for i, p in enumerate(prices.tolist())
            ]
            rows = np.zeros(LEVELS, LEVEL)
            rows["price"], rows["size"] = prices, sizes
            sides.append(rows)
        state = "STALE" if self._stuck(market) else "SYNCED"
        book = BookView(
            instrument=market.instrument(symbol),
            state=state,
            sequence=58_201_774_113 + int(at_s * 10),
            ts_event_ns=now_ns - self._behind(market) - 18_000_000,
            ts_recv_ns=now_ns - self._behind(market),
            bids=sides[0],
            asks=sides[1],
            counts=(1_204, 1_188),
            candle=None,
            last_price=bid,
            last_trade_ns=now_ns - self._behind(market) - 70_000_000,
            outages=(),
        )
        if "PERP" in symbol:
            period = 8 * 3_600 * SECOND
            following = now_ns - now_ns % period + period
            row = np.array(
                [(now_ns - 4 * SECOND, now_ns - 4 * SECOND, 103_400_000, following, 28_800, bid + 12)],
                FUNDING,
            )
            book = replace(book, funding=row)
        return book

    def _close(self, second: int) -> None:
        at_ns = second * SECOND
        for market in (*self.markets.values(), self._builtin()):
            if market.state == "off" or self._stuck(market):
                continue
            run = "sim" if market.key == "builtin" else "live"
            key = f"{market.key}:{run}"
            bump = math.exp(-((((second % 240) - 120) / 8) ** 2))
            rate = round(
                market.rate
                * (1 + 0.1 * math.sin(second / 30) + 0.05 * gauss(second, market.colour) + 0.4 * bump)
            )
            counts = {
                "messages": 0 if run == "sim" else rate,
                "orders": rate if run == "sim" else 0,
                "trades": rate // 20,
            }
            counter = self.telemetry.counter(key)
            counter.add(**counts)
            counter.close(at_ns)
            for symbol in market.symbols:
                self._close_market(market, key, symbol, second)
            stage = self.telemetry.stage(key, "ack" if run == "sim" else "receive")
            scale = 180_000 if run == "sim" else 18_400_000
            values = scale * np.exp(np.abs(np.random.default_rng(second).normal(0, 0.5 + bump, 60)))
            stage.record(at_ns, values.astype(np.int64))
            stage.advance(at_ns + SECOND)
        self._say(second)
        for budget in self._budgets():
            heavy = budget == "bybit"
            bump = math.exp(-((((second % 120) - 60) / 7) ** 2)) if heavy else 0.0
            refused = int(heavy and second % 120 == 66)
            self.telemetry.limit(budget).publish_one(
                (
                    at_ns,
                    12 + int(8 * noise(second, 50)),
                    int(12 * bump),
                    int(14 * bump + 0.4 * heavy),
                    refused,
                )
            )

    def _say(self, second: int) -> None:
        said = (
            ("info", "binance_spot:live", "connected", "depth, trades and tops of 2 symbols"),
            ("warn", "bybit_linear:live", "gap", "sequence 58,201 to 58,209; resyncing BTC-USDT-PERP"),
            ("info", "bybit_linear:live", "resynced", "BTC-USDT-PERP after 0.8 s"),
            ("warn", "bybit", "throttle", "31 calls held, longest 611 ms"),
            ("warn", "binance_spot", "corrected", "header says 3,310, ours said 3,262"),
            ("error", "bybit", "429", "10006 from GET /v5/market/orderbook; waiting 1.2 s"),
            ("info", "binance_usdm:live", "rotated", "public 1 after 23 h 30 m, without a gap"),
        )
        if second % 20 == 0 and self.markets["bybit_spot"].state != "off":
            level, source, what, text = said[second // 20 % len(said)]
            self.telemetry.events.add(second * SECOND, level, source, what, text)  # type: ignore[arg-type]

    def _close_market(self, market: Market, key: str, symbol: str, second: int) -> None:
        rings = self.telemetry.market(key, symbol)
        at_ns = second * SECOND
        path = [self._tops(market, symbol, second + part / 4)[0] for part in range(5)]
        volume = round((0.3 + 2 * noise(self.seed, second, market.colour, 12)) * 10 ** market.decimals[1])
        if not rings.minutes.head and key.endswith(":live"):
            self._backfill(market, rings, symbol, second)
        candle = (at_ns, path[0], max(path), min(path), path[-1], volume, 0, path[0] * volume, 9)
        rings.candles.publish(np.array([candle], CANDLE))
        bid, ask = self._tops(market, symbol, second + 0.99)
        swing = round(350_000 * math.sin(second / 23))
        rings.metrics.publish_one((at_ns, bid, volume, ask, volume, swing))
        trades = [
            (at_ns + part * 200_000_000, at_ns + part * 200_000_000, second * 10 + part, path[part],
             1 + round(volume * noise(second, part) / 5), 1 if noise(second, part, 2) < 0.5 else -1)
            for part in range(4)
        ]  # fmt: skip
        rings.trades.publish(np.array(trades, TRADE))

    def _backfill(self, market: Market, rings: Any, symbol: str, second: int) -> None:
        first = second // 60 * 60
        volume = 60 * 10 ** market.decimals[1]
        rows = []
        for start in range(first - 3_600, first + 60, 60):
            path = [self._tops(market, symbol, start + part)[0] for part in range(0, 61, 10)]
            rows.append(
                (start * SECOND, path[0], max(path), min(path), path[-1], volume, 0, path[0] * volume, 540)
            )
        rings.minutes.publish(np.array(rows, CANDLE))

    # ---------- views ----------

    def _source(self, market: Market, now_ns: int, run: str = "live") -> SourceView:
        source = Source(market.key, run)  # type: ignore[arg-type]
        stale = self.mode == "stale" and market.key == "bybit_spot"
        state = "reconnecting" if market.state == "reconnecting" else "stale" if stale else "live"
        return SourceView(
            source=source,
            label=market.label,
            colour="sim" if run == "sim" else market.colour,
            opened_ns=self.opened.get(market.key, self._past_ns),
            state=state,
            detail=market.detail if state == "reconnecting" else "no message for 12 s" if stale else "",
            since_ns=market.since_ns or self.started_ns,
            newest_ns=now_ns
            - self._behind(market)
            - round(3e7 * noise(market.colour, now_ns // 250_000_000)),
            clock=lambda wall_ns: wall_ns,
            symbols=tuple(market.symbols),
            stages=("ack",) if run == "sim" else ("receive",),
            books_synced=0 if state != "live" else len(market.symbols),
            frames=2_531_170 // (market.colour + 1),
            gaps=2 if market.key == "bybit_linear" else 0,
            resyncs=2 if market.key == "bybit_linear" else 0,
            dropped=0,
            malformed=0,
            offset_ns=None,
            agreement=(118_204, 118_204),
            unchecked=0,
            late=0,
            levels_dropped=0,
        )

    def _venue(self, market: Market, now_ns: int) -> VenueView:
        on, live = market.state != "off", market.state == "live"
        streams = [
            StreamView(
                name=name,
                state="open" if live else "backing off",
                since_ns=market.since_ns,
                newest_ns=now_ns - self._behind(market),
                subscriptions=6 * len(market.symbols) // len(market.streams),
                frames=2_531_170 // (market.colour + place),
                frames_per_s=market.rate / (place + 1) if live else 0.0,
                size_bytes=1_204_553_211,
                dropped=0,
                reconnects=7 if not live else int(market.key == "bybit_linear"),
                rotations=1 if market.key == "binance_spot" else 0,
                stalls=1 if market.key == "bybit_linear" else 0,
                next_try_ns=market.next_try_ns,
                reason=market.detail
                if not live
                else "stalled: no depth for 6 s" * (market.key == "bybit_linear"),
            )
            for place, name in enumerate(market.streams)
            if on
        ]
        books = {True: "SYNCED", False: "STALE"}[live and not self._stuck(market)]
        waiting = self.mode == "throttling" and market.key == "bybit_linear"
        return VenueView(
            venue=market.key,
            label=market.label,
            state=market.state,  # type: ignore[arg-type]
            detail=market.detail,
            since_ns=market.since_ns or self.started_ns,
            next_try_ns=market.next_try_ns,
            offset_ns=1_820_000 + 200_000 * market.colour if on else None,
            round_trip_ns=9_400_000 if on else None,
            symbols=tuple(
                LiveSymbolView(s, s.replace("-", ""), "BUFFERING" if waiting and i == 1 else books, waiting and i == 1)
                for i, s in enumerate(market.symbols if on else ())
            ),
            listed=self.listed(market) if on else (),
            streams=tuple(streams),
            polls=tuple(
                PollView(
                    endpoint=name,
                    call=f"GET /{name}",
                    interval_s=seconds,
                    last_ns=now_ns - 7 * SECOND if seconds else 0,
                    next_ns=now_ns - now_ns % (seconds * SECOND) + seconds * SECOND if seconds else 0,
                    error="answer took more than 10 s" if name == "funding" and self.mode == "throttling" else "",
                    done=131,
                    failed=2 if name == "funding" else 0,
                )
                for name, seconds in (market.polls.items() if on else ())
            ),
            snapshots_waiting=int(waiting),
            snapshots_done=4 if on else 0,
            snapshots_failed=0,
        )  # fmt: skip

    def _budgets(self) -> list[str]:
        return sorted({market.budget for market in self.markets.values() if market.state != "off"})

    def _limits(self, now_ns: int) -> tuple[LimitsView, ...]:
        minute = now_ns - now_ns % (60 * SECOND) + 60 * SECOND

        def window(name: str, scope: str, seconds: int, used: int, limit: int, *rest: Any) -> WindowView:
            reserved, foreign, note = (*rest, 0, 0, "")[:3] if len(rest) < 3 else rest
            resets = minute if used and seconds >= 60 else now_ns + 2 * SECOND if used else 0
            return WindowView(name, scope, seconds * SECOND, limit, used, reserved, foreign, resets, note)

        heavy, banned = self.mode in ("throttling", "banned"), self.mode == "banned"
        wave = int(300 * noise(self.seed, now_ns // (3 * SECOND)))
        spot = (
            window("Weight, 1 min", "ip", 60, 3_100 + wave, 6_000, 180, 1_220, "header agrees"),
            window("Raw requests, 5 min", "ip", 300, 8_120, 61_000),
            window("Connects, 5 min", "connect", 300, 2, 300),
            window("Orders, 10 s", "order", 10, 0, 100),
        )
        usdm = (
            window("Weight, 1 min", "ip", 60, 412, 2_400, 0, 0, "header agrees"),
            window("Connects, 5 min", "connect", 300, 2, 300),
            window("Orders, 10 s", "order", 10, 0, 300),
        )
        coinm = (
            window("Weight, 1 min", "ip", 60, 0, 2_400),
            window("Connects, 5 min", "connect", 300, 0, 300),
        )
        bybit = (
            window(
                "Requests per address, 5 s",
                "ip",
                5,
                561 if heavy else 41,
                600,
                30 * heavy,
                0,
                "14 waiting" * heavy,
            ),
            window("Connects, 5 min", "connect", 300, 4, 500),
        )
        plan = (
            ("binance_spot", "Binance spot", spot),
            ("binance_usdm", "Binance USD-M", usdm),
            ("binance_coinm", "Binance COIN-M", coinm),
            ("bybit", "Bybit", bybit),
        )
        views = []
        for key, label, windows in plan:
            out, held = banned and key == "binance_spot", heavy and key == "bybit"
            views.append(
                LimitsView(
                    venue=key,
                    label=label,
                    state="banned" if out else "throttling" if held else "within limits",
                    banned_until_ns=self.started_ns + 362 * SECOND if out else 0,
                    ban_reason="418 from GET /api/v3/depth with 6,012 of 6,000 weight in 1 min" * out,
                    windows=windows,
                    endpoints=self._endpoints(key, heavy),
                    allowed=12_371 if key in self._budgets() else 0,
                    throttled=37 if held else 0,
                    waiting=14 if held else 9 if out else 0,
                    wait_mean_ns=118_000_000,
                    wait_max_ns=2_914_000_000,
                    refused_429=int(held),
                    refused_418=int(out),
                    refused_403=0,
                )
            )
        return tuple(views)

    def _endpoints(self, budget: str, heavy: bool) -> tuple[EndpointView, ...]:
        if budget not in self._budgets():
            return ()
        root = {"binance_spot": "/api/v3", "binance_usdm": "/fapi/v1", "binance_coinm": "/dapi/v1"}.get(
            budget
        )
        calls = (
            (("depth", 50, 48), ("klines", 2, 3_120), ("time", 1, 131), ("exchangeInfo", 20, 4))
            if root
            else (("orderbook", 1, 1_840), ("kline", 1, 960), ("tickers", 1, 300), ("instruments-info", 1, 4))
        )
        held = heavy and budget == "bybit"
        return tuple(
            EndpointView(
                endpoint=f"GET {root or '/v5/market'}/{name}",
                weight=weight,
                calls=count,
                throttled=(21, 10, 6, 0)[place] if held else 0,
                waiting=14 if held and place == 0 else 0,
                mean_ns=(41 + 7 * place) * 1_000_000,
                p99_ns=(160 + 11 * place) * 1_000_000,
                max_ns=(611 - 40 * place) * 1_000_000,
                refused=int(held and place == 0),
                last_status=429 if held and place == 0 else 200,
            )
            for place, (name, weight, count) in enumerate(calls)
        )
