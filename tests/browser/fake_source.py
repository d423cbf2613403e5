"""A deterministic source of believable, moving data: what browser tests and screenshots are made with.

Every value is a function of the time asked for and a seed, so any number of pages, polls and restarts see the same
market. `mode` switches the states a page must draw: "live", "compiling", "stale", "resyncing", "ended", "empty",
"error", "broken" (polls raise), "frozen" (the clock stands still), "bare" (only the built-in exchange, no venues,
no limits), "limits" (venues with budgets, as `tests/browser/shots.py` shows them), "replay" (a capture of another
day plays), "failed" (it broke off), "unopened" (it could not be opened) and "silent" (the matching engine's figures
stopped coming).
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from dashboards.streams.book_map import raster, raster_fields
from dashboards.streams.depth import MARGIN, coded, far_step, side_of
from dashboards.view import SPANS, ticks
from engine.errors import BadCommand
from engine.market.batches import CANDLE, LEVEL
from engine.market.studies import lines, parse_all, profile

Row = dict[str, float | int | None]

SYMBOLS = {
    "BTC-USDT": (104_238.65, 1, 3),
    "ETH-USDT": (3_812.40, 2, 4),
    "SOL-USDT": (241.185, 3, 2),
}
STAGES = (
    ("receive", "Receive", "venue's clock to our receipt, less clock offset", 18_400.0),
    ("decode", "Decode", "bytes to batch, one frame", 21.0),
    ("apply", "Apply", "order and gap check, book, candle, one batch", 8.0),
    ("publish", "Publish", "rings and board, one turn", 3.0),
    ("poll", "Poll", "page's request to the server's reply", 2_400.0),
    ("paint", "Paint", "reply to painted frame, in the browser", 31_000.0),
    ("total", "Total", "newest event received to painted frame", 52_600.0),
)
MAP = ("t", "bin", "first", "bid", "ask", "bought", "bought_at", "sold", "sold_at", "z")
MAP_BINS = {"BTC-USDT": 50, "ETH-USDT": 10, "SOL-USDT": 10}  # price units
MAP_STEPS = {60: 1, 300: 2, 900: 6, 3600: 30, 14400: 120}
MAP_LETTERS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz-_"
INTERVALS = {60: 1, 300: 5, 900: 15, 3600: 60, 14400: 300}
REPLAY_MS = 1_723_120_000_000.0  # 2024-08-08
SPREADS = (1.0, 1.0, 1.0, 1.0, 2.0, 1.0, 1.0, 3.0)
QUANTILES = (("p50", 1.0), ("p90", 1.6), ("p95", 2.05), ("p99", 3.3), ("p999", 4.6))
ALERTS: dict[str, Any] = {
    "state": "running",
    "detail": "",
    "most": 500,
    "kept": 0,
    "rules": [],
    "values": [],
    "firings": [],
    "webhooks": [],
    "metrics": [
        ["mid", "Mid price", "mid", "", True, "70000"],
        ["spread_bp", "Spread", "spread", "bp", True, "5"],
    ],
}
EXCHANGE: dict[str, dict[str, Any]] = {
    "exchange": {
        **{name: [] for name in ("t", "orders", "acks", "rejects", "fills", "messages", "clients")},
        "step": 1,
        "keep": 0,
        "head": {"state": "off", "detail": "", "url": "", "order_url": ""}
        | dict.fromkeys(
            ("clients", "orders", "rejected", "fills", "trades", "cut_slow", "refused", "waiting"), 0
        )
        | dict.fromkeys(("orders_per_s", "acks_per_s", "fills_per_s"), 0.0),
        "load": {"clients": [], "rejects": []},
        "lists": {
            "symbols": [],
            "accounts": [],
            "keys": [],
            "keys_count": 0,
            "faults": [],
            "faults_done": [],
        },
        "account": None,
    },
    "exchange_book": {"symbol": "", "state": "EMPTY", "bids": [], "asks": []},
    "exchange_latency": {
        **{name: [] for name in ("t", "p50", "p90", "p95", "p99", "p999", "max", "count")},
        **{"stage": "ack", "label": "Acknowledge", "what": "whole way", "step": 1, "unit": "us", "keep": 0},
    },
    "exchange_stages": {"rows": []},
    "profile": {"profile": None},
}
HISTORY: dict[str, Any] = {
    "head": {"state": "off", "detail": "", "folder": "", "recording": 0, "journal": None, "archive": None,
             "free": None, "used": None, "budget": None, "full": None, "spans_left_out": 0},
    "names": {}, "recorder": {"rows": [], "what": []}, "holes": [], "holes_open": 0,
    "newest": [], "sizes": [], "jobs": [], "retention": None,
    "calendar": {"zoom": "hour", "from": 0, "step": 60_000, "cells": 60, "what": "", "kinds": [], "order": [],
                 "left_out": 0},
    "rows": [],
}  # fmt: skip


def noise(*keys: int) -> float:
    """A number in 0..1 that depends on nothing but the keys."""
    h = 0x9E3779B97F4A7C15
    for key in keys:
        h = ((h ^ (key & 0xFFFFFFFFFFFFFFFF)) * 0xBF58476D1CE4E5B9) & 0xFFFFFFFFFFFFFFFF
        h ^= h >> 27
        h = (h * 0x94D049BB133111EB) & 0xFFFFFFFFFFFFFFFF
        h ^= h >> 31
    return h / 2**64


@lru_cache(maxsize=1 << 16)  # asked for the same again and again, by every market of a coin
def gauss(*keys: int) -> float:
    """A normal number made from two of those."""
    return math.sqrt(-2 * math.log(noise(*keys, 1) + 1e-12)) * math.cos(2 * math.pi * noise(*keys, 2))


class FakeSource:
    """PageSource over made-up data; `calls` and `commands` record what pages asked for."""

    def __init__(self, *, seed: int = 7, clock: Callable[[], float] = time.time) -> None:
        self.seed, self.clock = seed, clock
        self.mode = "live"
        self.epoch = "fake-1"
        self.rate = 12_000
        self.replay: dict[str, Any] | None = None
        self.commands: list[tuple[str, dict[str, Any]]] = []
        self.exports: list[dict[str, Any]] = []
        self.bad_frames: list[dict[str, Any]] = []
        self.size_unit = ""  # "" is the base
        self.flooded = 0  # trades of each poll that are counted, but too many to be sent
        self.polls = 0
        self.params: dict[str, Any] = {}
        self.since = clock() * 1000
        self._frozen: float | None = None
        self.behind_ms = 0.0  # how far the data's clock lies behind ours
        self._lock = threading.Lock()
        self._made: dict[tuple[str, int, int], Row] = {}  # candles that are over

    # ---------- what the shell calls ----------

    def poll(self, params: dict[str, Any], cursors: dict[str, Any]) -> dict[str, Any]:
        """One answer; rows since the cursors, everything when they are of something else."""
        with self._lock:
            self.polls += 1
            self.params = params
            view = self.polls
        if self.mode == "broken":
            raise RuntimeError("the fake source was told to fail")
        now = self._now()
        answer: dict[str, Any] = {
            "v": view,
            "epoch": self.epoch,
            "now": now,
            "cursors": {},
            "engine": self._engine(now),
            "sources": self._sources(params, now),
            "market": None,
            "venues": [],
            "bans": [],
            "alerts": {"state": "running", "unacknowledged": 0, "firing": 0, "newest": None},
            "streams": {},
        }
        shown = [s for s in answer["sources"] if s["shown"]]
        if self.mode == "compiling":
            answer["cursors"] = {"key": "compiling"}
            return answer
        primary = next((s for s in shown if s["id"] == params.get("source")), shown[0] if shown else None)
        if primary is None:
            return answer
        symbol = params.get("symbol") if params.get("symbol") in SYMBOLS else "BTC-USDT"
        window = params.get("window", 300)
        step = params.get("interval") or INTERVALS.get(window, 1)
        asked = (primary["id"], symbol, window, step, params.get("stage"), sorted(params.get("hidden", [])))
        key = ":".join(map(str, (self.epoch, self.mode, *asked)))
        answer["market"] = self._market(primary["id"], symbol, window, now)
        old = cursors if cursors.get("key") == key else {}
        new: dict[str, Any] = {"key": key}
        if self.mode == "empty":
            answer["streams"] = {
                name: {
                    **self._empty(name),
                    "key": key,
                    "reset": True,
                    "age_ms": None,
                    "n": 0,
                    "lost": 0,
                    "note": "",
                }
                for name in params.get("streams", [])
            }
            return answer
        for name in params.get("streams", []):
            body, cursor, age, n = self._stream(
                name, old.get(name), primary, symbol, window, step, shown, now, params
            )
            new[name] = cursor
            answer["streams"][name] = {
                "key": key,
                "reset": name not in old,
                "age_ms": age
                + max(0.0, now - self.since)
                * (self.mode in ("stale", "ended", "failed") or (self.mode, name) == ("silent", "matching")),
                "n": n,
                "lost": 214 if name == "throughput" else 0,
                "note": "",
                **body,
            }
        answer["cursors"] = new
        return answer

    def export(self, request: dict[str, Any]) -> tuple[str, str]:
        """A small file that names what was asked for."""
        self.exports.append(request)
        if request.get("view", 0) < self.polls - 64:
            raise BadCommand("that view is gone; the newest 16 are kept")
        name = f"venuescope_binance_BTC-USDT_{request['chart']}.csv"
        return (
            name,
            f"time_utc,epoch_ms,value\n2026-11-20T14:32:08.416Z,{int(self._now())},{request['view']}\n",
        )

    def command(self, name: str, args: dict[str, Any]) -> None:
        """Rate and replay, as the engine takes them."""
        self.commands.append((name, args))
        if name == "set_rate":
            if not 0 <= args["orders_per_s"] <= 1_000_000:
                raise BadCommand("the rate must be between 0 and 1,000,000 orders/s")
            self.rate = args["orders_per_s"]
        elif name in ("restart_replay", "start_replay"):
            self.replay = {"file": "sample", "speed": 1, "state": "running", "progress": 0.2}
            self.mode = "live"
        else:
            raise BadCommand(f"there is no command {name!r}")

    def download(self, job: str) -> Path:
        """There is no export here."""
        raise BadCommand(f"there is no export {job!r}")

    def switch(self, mode: str) -> None:
        """Enter a state now."""
        self.since = self.clock() * 1000
        self._frozen = self.clock() * 1000 if mode in ("stale", "ended", "frozen", "failed") else None
        if mode == "ended":
            self.replay = {"file": "sample", "speed": 1, "state": "ended", "progress": 1.0}
        elif mode == "replay":
            self.replay = {"file": "sample", "speed": 1, "state": "playing", "progress": 0.4, "detail": ""}
        elif mode in ("failed", "unopened"):
            self.replay = {
                "file": "sample" if mode == "failed" else "",
                "speed": 1,
                "state": "failed",
                "progress": 0.4,
                "detail": "the capture ends in the middle of a frame"
                if mode == "failed"
                else "sample.gz: no such file",
            }
        self.behind_ms = self.clock() * 1000 - REPLAY_MS if mode in ("replay", "failed") else 0.0
        self.mode = mode

    # ---------- parts of an answer ----------

    def _now(self) -> float:
        return self.clock() * 1000

    def _data_now(self) -> float:
        at = self._frozen if self._frozen is not None else self._now()
        return at - self.behind_ms

    def _engine(self, now: float) -> dict[str, Any]:
        compiling = self.mode == "compiling"
        return {
            "state": "compiling" if compiling else "running",
            "detail": "matching" if compiling else "",
            "kernels": [3, 6] if compiling else [6, 6],
            "uptime_s": 31.4 if compiling else 3_912.4,
            "rate": self.rate,
            "rate_actual": self.rate * (0.995 + 0.01 * noise(self.seed, int(now // 1000))),
            "rate_max": 1_000_000,
            "replay": self.replay,
        }

    def _sources(self, params: dict[str, Any], now: float) -> list[dict[str, Any]]:
        hidden = set(params.get("hidden", []))
        rows = [
            ("binance_usdm", "Binance", 1, "live", 42.0),
            ("bybit_linear", "Bybit", 2, "live", 38.0),
            ("okx_swap", "OKX", 3, "live", 61.0),
            ("builtin", "Built-in", "sim", "sim", 0.3),
        ]
        if self.mode in ("bare", "compiling"):
            rows = rows[3:]
        playing = ("replay_sample", "Replay: sample", 7, "replay", 90.0)
        if self.mode in ("replay", "failed"):
            rows = [playing, *rows[3:]]
        elif self.replay and self.mode != "unopened":
            rows.append(playing)
        word = {
            "stale": "stale",
            "resyncing": "resyncing",
            "ended": "ended",
            "error": "error",
            "failed": "error",
        }.get(self.mode, "live")
        out = []
        for i, (key, label, colour, run, age) in enumerate(rows):
            state = word if i == 0 or (self.mode == "ended" and run == "replay") else "live"
            if self.mode == "compiling":
                state = "loading"
            behind = self.behind_ms if run == "replay" else 0.0
            stuck = state in ("stale", "ended", "error")
            details = {
                "stale": "no message for 12 s; retry 4 in 3 s",
                "resyncing": "sequence gap; snapshot requested",
                "ended": "the capture has played to its end",
                "error": "the venue refused the connection: code 1008",
                "loading": "waiting for the kernels",
            }
            if run == "replay":
                details["error"] = "the capture ends in the middle of a frame"
            out.append(
                {
                    "id": key,
                    "venue": label.split(":", maxsplit=1)[0].lower(),
                    "label": label,
                    "colour": colour,
                    "run": run,
                    "state": state,
                    "detail": details.get(state, ""),
                    "shown": key not in hidden,
                    "age_ms": age * (0.8 + 0.4 * noise(i, int(now // 250)))
                    + (now - self.since if stuck else 0),
                    "now": now - behind,
                    "since": self.since - behind,
                    "symbols": list(SYMBOLS),
                    "books": [2 if state == "resyncing" else 3, 3],
                    "gaps": 2 if i == 2 else 0,
                    "malformed": 0,
                    "offset_ms": 1.8 if run == "live" else None,
                    "agreement": [118_204, 118_204],
                }
            )
        return out

    def _mid(self, symbol: str, ms: float) -> float:
        """Price at a time: slow waves and a bounded second-by-second walk, interpolated."""
        base = SYMBOLS[symbol][0]
        s = ms / 1000

        def at(k: int) -> float:
            walk = sum(gauss(self.seed, k // (4**j), j, 3) * 0.00006 * 1.7**j for j in range(5))
            return walk + 0.0006 * math.sin(k / 97) + 0.0003 * math.sin(k / 31 + 1)

        k = math.floor(s)
        return base * (1 + at(k) + (at(k + 1) - at(k)) * (s - k))

    def _market(self, source: str, symbol: str, window: int, now: float) -> dict[str, Any]:
        _, decimals, size_decimals = SYMBOLS[symbol]
        last, first = self._mid(symbol, self._data_now()), self._mid(symbol, self._data_now() - window * 1000)
        scale = 10**decimals
        dead = self.mode == "empty"
        return {
            "source": source,
            "symbol": symbol,
            "base": symbol.split("-")[0],
            "size_unit": self.size_unit or symbol.split("-")[0],
            "quote": symbol.split("-")[1],
            "price_decimals": decimals,
            "size_decimals": size_decimals,
            "last": None if dead else round(last * scale),
            "change": None if dead else round(last * scale) - round(first * scale),
            "change_pct": None if dead else (last / first - 1) * 100,
            "window": window,
        }

    def _empty(self, name: str) -> dict[str, Any]:
        return {
            "depth": {"seq": 0, "ts": 0, "state": "EMPTY", "levels": [0, 0], "bid": None, "ask": None,
                      "imbalance": 0.0, "b": {"p": [], "q": []}, "a": {"p": [], "q": []}},
            "candles": {"interval": 5, **{k: [] for k in ("t", "o", "h", "l", "c", "v", "n_trades")}, "open": None,
                        "gaps": [], "keep": 0},
            "latency": {"stage": "receive", "step": 2, "unit": "us", "keep": 0,
                        **{k: [] for k in ("t", "p50", "p90", "p95", "p99", "p999", "max", "count")}},
            "stages": {"rows": []},
            "distribution": {"nines": [], "us": []},
            "latency_map": {"stage": "receive", "step": 2, "parts": 8, "keep": 0, "t": [], "c": [], "slo": None},
            "throughput": {"t": [], "series": [], "keep": 0},
            "trades": {k: [] for k in ("t", "p", "q", "side", "id")},
            "metrics": {**{k: [] for k in ("t", "bid", "ask", "imbalance")}, "keep": 0},
            "limits": self._limits(0, 0),
            "tiles": {**{k: [] for k in ("t", "real", "sim", "p50", "p99", "spread", "throttled", "gaps")}, "keep": 0,
                      "figures": {"real": None, "sim": None, "p50": None, "p99": None, "spread": None,
                                  "spread_bp": None, "throttled": 0, "gaps": 0, "books": [0, 0]}},
            "events": {"rows": []},
            "health": {},
            "matching": {"symbols": [], "figures": [], "engine": None, "ts": None},
            "prices": {"ages": [], "decimals": 1, "rows": [], "found": {}},
            "mids": {"t": [], "series": [], "step": 1, "keep": 0},
            "indexed": {"t": [], "series": [], "step": 1, "keep": 0},
            "studies": {"t": [], "tokens": [], "values": {}, "keep": 0},
            "funding": {"funding": None},
            "venues": {"rows": []},
            "listing": {"lists": {}},
            "impact": {"state": "EMPTY", "rows": []},
            "book_map": {**{k: [] for k in MAP}, "most": 1, "step": 2, "gaps": [], "keep": 0},
            "alerts": ALERTS,
            **EXCHANGE,
        }[name]  # fmt: skip

    def _stream(
        self,
        name: str,
        cursor: Any,
        primary: dict[str, Any],
        symbol: str,
        window: int,
        step: int,
        shown: list[dict[str, Any]],
        now: float,
        params: dict[str, Any],
    ) -> tuple[dict[str, Any], Any, float, int]:
        at = self._data_now()
        if name in ("venues", "listing", "funding"):
            return (
                {"venues": {"rows": []}, "listing": {"lists": {}}, "funding": {"funding": None}}[name],
                1,
                0.0,
                0,
            )
        if name == "history":  # a store is played by `history_source.py`; here there is none
            return HISTORY, 1, 0.0, 0
        if name == "alerts":  # alerts are played by `alert_source.py`; here nothing is watched
            return ALERTS, 1, 0.0, 0
        if name == "impact":
            return self._impact(symbol, at), 1, 42.0, 480
        if name in EXCHANGE:  # the built-in exchange is played by `exchange_source.py`; here it is off
            return EXCHANGE[name], 1, 0.0, 0
        if name == "prices":
            return self._prices(symbol, shown, at), 1, 42.0, len(shown)
        if name in ("throughput", "limits", "tiles", "events", "health", "matching", "mids"):
            at += self.behind_ms
        second = int(at // 1000)
        start = second - window
        if name == "depth":
            body = self._depth(symbol, at, SPANS.get(params.get("span"), 0.0), int(params.get("group", 1)))
            return body, 1, 42.0, 480
        if name == "candles":
            return self._candles(symbol, cursor, start, step, at)
        if name == "book_map":
            return self._book_map(symbol, cursor, window, second, at, params)
        if name == "studies":
            return self._studies(symbol, cursor, start, step, at, params)
        if name == "indexed":
            return self._indexed(symbol, cursor, start, step, at, shown)
        if name == "trades":
            return self._trades(symbol, cursor, at)
        if name in ("latency", "throughput", "metrics", "tiles", "limits", "mids"):
            every = {
                "latency": max(1, window // 300) * 1,
                "throughput": 1,
                "metrics": 1 if window <= 900 else 10,
                "tiles": 1,
                "limits": 3,
                "mids": 1,
            }[name]
            keep = second - 60 if name == "tiles" else start
            first = keep if cursor is None else cursor + every
            first = -(-first // every) * every
            times = list(range(first, second, every))
            last = times[-1] if times else cursor
            columns = [getattr(self, f"_{name}_row")(t, symbol, shown) for t in times]
            body = getattr(self, f"_{name}")(times, columns, primary, symbol, shown, params, every, at)
            body |= {"t": [t * 1000 for t in times], "keep": keep * 1000}
            count = {"latency": 1_442_806, "throughput": 2_531_170}.get(name, second - keep)
            return body, last, at - second * 1000 + 120, count
        if name == "latency_map":
            return self._latency_map(cursor, start, second, window, primary, params)
        if name == "events":
            body = self._events(cursor, second)
            return body, second, 12_000.0, 60
        if cursor == second:
            return {}, second, at - second * 1000, 1_442_806
        return getattr(self, f"_{name}")(primary, second, at), second, at - second * 1000, 1_442_806

    def _depth(self, symbol: str, at: float, span: float = 0.0, group: int = 1) -> dict[str, Any]:
        _, decimals, size_decimals = SYMBOLS[symbol]
        scale, lots = 10**decimals, 10**size_decimals
        beat = int(at // 100)
        mid = round(self._mid(symbol, at) * scale)
        gap = SPREADS[beat % len(SPREADS)]
        sides: dict[str, Any] = {}
        totals = []
        for side, sign in (("b", -1), ("a", 1)):
            price = mid if sign < 0 else mid + int(gap)
            prices, sizes = [price], []
            for i in range(240):
                wall = 34.0 if noise(self.seed, price // 4, 5) > 0.992 and price % 4 == 0 else 0.0
                churn = noise(self.seed, price, beat // (3 + i // 8), 9)
                q = math.exp(gauss(self.seed, price, 4) * 0.75 - 1.9) * (1 + i / 60) * (
                    0.6 + churn
                ) + wall * (i > 6)
                sizes.append(max(1, round(q * lots)))
                if i < 239:
                    jump = sign * (1 + int(noise(self.seed, price, 6) * 3.2))
                    price += jump
                    prices.append(jump)
            totals.append(sum(sizes[:20]))
            sides[side] = {"p": prices, "q": sizes}
        state = {"resyncing": "BUFFERING", "stale": "STALE"}.get(self.mode, "SYNCED")
        sides |= {"tick": 1, "step": group if group > 1 else 1, "near": 240, "far": 0, "span": span}
        if span or group > 1:
            middle, drawn = mid + gap / 2, []
            for side, sign in (("b", -1), ("a", 1)):
                edge = round(middle * (1 + sign * span * MARGIN)) if span else None
                drawn.append(side_of(*self._whole(symbol, sides[side], sign, beat), sign, 1, group, edge))
                sides[side] = coded(drawn[-1])
            sides |= {"far": far_step((drawn[0], drawn[1])), "reach": [side.reach for side in drawn]}
        if state == "BUFFERING":
            sides |= {"b": {"p": [], "q": []}, "a": {"p": [], "q": []}}
        return {
            "seq": 58_201_774_113 + beat,
            "ts": at - 42,
            "state": state,
            "levels": [1204, 1188],
            "bid": mid,
            "ask": mid + int(gap),
            "imbalance": (totals[0] - totals[1]) / (totals[0] + totals[1]),
            **sides,
        }

    def _whole(self, symbol: str, near: dict[str, Any], sign: int, beat: int) -> tuple[Any, Any]:
        """(the best levels, the whole side of the book, which reaches some 2 % from the mid), LEVEL rows."""
        prices, sizes = np.cumsum(near["p"]).tolist(), list(near["q"])
        wide = SYMBOLS[symbol][0] * 10 ** SYMBOLS[symbol][1] * 0.018 / 900
        for i in range(900):
            prices.append(prices[-1] + sign * max(1, round(wide * (0.5 + noise(self.seed, i, 13)))))
            sizes.append(max(1, round(sizes[i % 240] * (2 + noise(self.seed, prices[-1], beat // 40, 14)))))
        whole = np.zeros(len(prices), LEVEL)
        whole["price"], whole["size"] = prices, sizes
        return whole[:240], whole

    def map_column(self, symbol: str, t: int, step: int) -> Row:
        """The column of the liquidity map that begins at second `t`."""
        _, decimals, size_decimals = SYMBOLS[symbol]
        scale, lots = 10**decimals, 10**size_decimals
        unit = MAP_BINS[symbol]
        mid = round(self._mid(symbol, (t + step) * 1000) * scale)
        first = mid // unit - 64
        letters = []
        for place in range(first, first + 128):
            far = abs(place * unit - mid) / unit
            wall = noise(self.seed, place, 71) > 0.965 and noise(self.seed, place, t // 90, 72) > 0.35
            size = math.exp(gauss(self.seed, place, 73) * 0.5) * (0.5 + min(far, 20) / 16)
            size *= 0.75 + 0.5 * noise(self.seed, place, t // step, 74)
            size = (size + (26 + 30 * noise(self.seed, place, 75) if wall and far > 5 else 0)) * (far > 1)
            code = min(63, max(1, 1 + round(62 * (1 + math.log10(size / 1000) / 5)))) if size else 0
            letters.append(MAP_LETTERS[code] if far < 60 else ".")
        gap = t // step % 71 in (20, 21)
        row: Row = {"bin": unit, "first": first, "bid": None if gap else mid, "ask": None if gap else mid + 1}
        for k, name in enumerate(("bought", "sold")):
            size = max(0.0, gauss(self.seed, t, 76 + k)) ** 3 * 2.4
            row[name] = round(size * lots) if size > 0.4 else 0
            row[f"{name}_at"] = mid + (1 if k == 0 else 0) if row[name] else 0
        return row | {"z": "" if gap else "".join(letters)}  # type: ignore[dict-item]

    def _book_map(
        self, symbol: str, cursor: Any, window: int, second: int, at: float, params: dict[str, Any]
    ) -> Any:
        step = MAP_STEPS[window]
        keep = (second - window) // step * step
        times = list(range(keep if cursor is None else cursor, second, step))
        rows = [self.map_column(symbol, t, step) for t in times]
        body = {name: [row[name] for row in rows] for name in MAP if name != "t"}
        gaps = [[t * 1000, (t + 2 * step) * 1000] for t in range(keep, second, step) if t // step % 71 == 20]
        body |= {
            "t": [t * 1000 for t in times],
            "most": 1000 * 10 ** SYMBOLS[symbol][2],
            "step": step,
            "gaps": gaps,
            "keep": keep * 1000,
            "raster": self._raster(symbol, range(keep, second, step), step, ticks(params.get("rows"))),
        }
        return body, times[-1] if times else cursor, at - second * 1000 + 120, len(rows)

    def _raster(self, symbol: str, times: range, step: int, asked: int) -> Row | None:
        """The rows of a map of those columns; a tick is one price unit here."""
        scale, unit = 10 ** SYMBOLS[symbol][1], MAP_BINS[symbol]
        mids = [
            round(self._mid(symbol, (t + step) * 1000) * scale)
            for t in times
            if t // step % 71 not in (20, 21)
        ]
        firsts = [mid // unit - 64 for mid in mids]
        held = (min(firsts) * unit, (max(firsts) + 128) * unit)
        return raster_fields(raster(unit, (min(mids), max(mids) + 1), held, asked), asked, 1)

    def _impact(self, symbol: str, at: float) -> dict[str, Any]:
        mid = self._mid(symbol, at)
        walk = {
            "average": f"{mid:.2f}",
            "worst": f"{mid:.2f}",
            "bp": 0.42,
            "filled": "0.5",
            "cost": "10000",
            "levels": 3,
            "exhausted": False,
        }
        rows = [
            {"amount": amount, "own": False, "buy": walk, "sell": walk}
            for amount in ("1000", "10000", "100000", "1000000")
        ]
        return {"state": "STALE" if self.mode == "stale" else "SYNCED", "rows": rows}

    def _candle(self, symbol: str, t: int, step: int, at: float) -> Row:
        _, decimals, size_decimals = SYMBOLS[symbol]
        scale = 10**decimals
        end = min(t + step, at / 1000)
        points = [
            self._mid(symbol, (t + (end - t) * i / 8) * 1000) * scale
            + (gauss(self.seed, t, i, 8) * 0.00002 * SYMBOLS[symbol][0] * scale * (0 < i < 8))
            for i in range(9)
        ]
        volume = math.exp(gauss(self.seed, t, 11) * 0.5 + 0.2) * step * (end - t) / step
        return {
            "t": t * 1000,
            "o": round(points[0]),
            "h": round(max(points)),
            "l": round(min(points)),
            "c": round(points[-1]),
            "v": round(volume * 10**size_decimals),
            "n_trades": int(volume * 9),
        }

    def _candles(self, symbol: str, cursor: Any, start: int, step: int, at: float) -> Any:
        first = start // step * step
        gap = ((int(at // 1000) // 300) * 300 - 120) // step * step
        hole = range(gap, gap + max(step, 12 // step * step), step)
        running = int(at // 1000) // step * step
        times = [t for t in range(first if cursor is None else cursor, running + 1, step) if t not in hole]
        rows = [self._candle(symbol, t, step, at) for t in times]
        body: dict[str, Any] = {
            "interval": step,
            **{k: [r[k] for r in rows] for k in ("t", "o", "h", "l", "c", "v", "n_trades")},
            "open": running * 1000,
            "vwap": round(self._mid(symbol, at) * 10 ** SYMBOLS[symbol][1], 2),
            "gaps": [[gap * 1000, (gap + len(hole) * step) * 1000]] if gap > first else [],
            "keep": first * 1000,
        }
        return body, running, 112.0, 3_911

    def _rows(self, symbol: str, first: int, step: int, at: float) -> Any:
        """CANDLE rows from `first` to now; those that are over are kept, since others ask for them again."""
        running = int(at // 1000) // step * step
        rows = np.zeros(max(0, (running - first) // step + 1), CANDLE)
        for i, t in enumerate(range(first, running + 1, step)):
            key = (symbol, t, step)
            row = self._made.get(key) or self._candle(symbol, t, step, at)
            if t < running:
                self._made[key] = row
            price, volume = int(row["c"] or 0), int(row["v"] or 0)
            rows[i] = (t * 10**9, row["o"], row["h"], row["l"], price, volume, 0, 0, row["n_trades"])
            rows["notional_high"][i], rows["notional_low"][i] = divmod(price * volume, 1 << 40)
        return rows

    def _studies(
        self, symbol: str, cursor: Any, start: int, step: int, at: float, params: dict[str, Any]
    ) -> Any:
        """The engine's own studies over these candles; what is fed to them before the window is short here."""
        asked = parse_all(params.get("studies") or [])
        first, second = start // step * step, int(at // 1000)
        tokens = [study.token for study in asked]
        body: dict[str, Any] = {"tokens": tokens, "t": [], "keep": first * 1000}
        key = ",".join(tokens)
        if not asked:
            return body | {"key": key}, (key, 0, 0), 112.0, 0
        rows = self._rows(symbol, first - step * max(study.period for study in asked), step, at)
        shown = rows["ts_open_ns"] >= first * 10**9
        running = int(rows["ts_open_ns"][-1]) // 10**9
        of, since, told = cursor if cursor else ("", 0, 0)
        again = of != key
        fresh = shown & (rows["ts_open_ns"] >= (0 if again else since) * 10**9)
        values: dict[str, list[Any]] = {}
        for study in asked:
            if study.period:
                for name, found in lines(study, rows).items():
                    column = f"{study.token}.{name}" if name else study.token
                    values[column] = [None if x != x else round(x, 2) for x in found[fresh].tolist()]
            elif study.kind == "vwap":
                values["vwap.mean"] = rows["close"][fresh].tolist()
                values["vwap.volume"] = rows["volume"][fresh].tolist()
        body |= {"t": (rows["ts_open_ns"][fresh] // 10**6).tolist(), "values": values}
        by_price = profile(rows[shown]) if "profile" in tokens and (again or told != second) else None
        if by_price is not None:
            names = ("base", "step", "control", "low", "high", "volumes")
            body["profile"] = {name: getattr(by_price, name) for name in names}
        return body | {"key": key, "reset": again}, (key, running, second), 112.0, len(asked)

    def _indexed(
        self, symbol: str, cursor: Any, start: int, step: int, at: float, shown: list[dict[str, Any]]
    ) -> Any:
        """Every source's close, each a little off in its own way; the simulated one has none in every seventh."""
        first = start // step * step
        rows = self._rows(symbol, first if cursor is None else cursor, step, at)
        times = (rows["ts_open_ns"] // 10**9).tolist()
        closes = rows["close"].tolist()
        series = [
            {key: source[key] for key in ("id", "label", "colour", "run")}
            | {
                "close": [
                    None
                    if source["run"] == "sim" and t // step % 7 == 3
                    else round(close * (1 + 0.0004 * i * math.sin(t / (60 + 20 * i))))
                    for t, close in zip(times, closes, strict=True)
                ]
            }
            for i, source in enumerate(shown)
        ]
        body = {"t": [t * 1000 for t in times], "series": series, "step": step, "keep": first * 1000}
        return body, times[-1], 112.0, len(series)

    def _trades(self, symbol: str, cursor: Any, at: float) -> Any:
        _, decimals, size_decimals = SYMBOLS[symbol]
        beat = int(at // 90)
        beats = [
            b
            for b in range(beat - 200 if cursor is None else cursor + 1, beat + 1)
            if noise(self.seed, b, 13) < 0.5
        ]
        side = [1 if noise(self.seed, b, 14) < 0.5 else -1 for b in beats]
        body = {
            "t": [b * 90.0 for b in beats],
            "p": [
                round(self._mid(symbol, b * 90) * 10**decimals) + (s > 0)
                for b, s in zip(beats, side, strict=True)
            ],
            "q": [max(1, round(math.exp(gauss(self.seed, b, 15) - 2) * 10**size_decimals)) for b in beats],
            "side": side,
            "id": beats,
        }
        return body, beat, 112.0, 1_284 if cursor is None else len(beats) + self.flooded

    def _bump(self, t: int) -> float:
        return math.exp(-((((t % 240) - 120) / 8) ** 2))

    def _latency_row(self, t: int, symbol: str, shown: list[dict[str, Any]]) -> Row:
        row: Row = {"count": int(7_200 * (0.9 + 0.2 * noise(self.seed, t, 20)))}
        for k, (name, factor) in enumerate(QUANTILES):
            wobble = gauss(self.seed, t, k, 21) * (0.015 + 0.012 * k) + 0.03 * math.sin(t / 40 + k)
            row[name] = round(factor * math.exp(wobble + self._bump(t) * (0.1 + 0.25 * k)), 4)
        row["max"] = round(float(row["p999"] or 0) * (1.2 + 2 * noise(self.seed, t, 22)), 4)
        return row

    def _latency(
        self, times: Any, rows: Any, primary: Any, symbol: Any, shown: Any, params: Any, every: int, at: float
    ) -> Any:
        stage = params.get("stage") or "receive"
        base = next((b for key, _, _, b in STAGES if key == stage), 18_400.0)
        if primary["run"] == "sim" and stage == "receive":
            base = 180.0
        columns = {k: [round(r[k] * base, 3) for r in rows] for k, _ in QUANTILES}
        columns["max"] = [round(r["max"] * base, 3) for r in rows]
        return {
            "stage": stage,
            "step": every,
            "unit": "us",
            **columns,
            "count": [r["count"] * every for r in rows],
        }

    def _latency_map(
        self, cursor: Any, start: int, second: int, window: int, primary: Any, params: Any
    ) -> tuple[dict[str, Any], Any, float, int]:
        """A log-normal body, its tail and a bump, by eighths of octaves; each column a function of its second."""
        step = next(step for step in (1, 2, 5, 30, 120) if window <= step * 180)
        first = start // step * step if cursor is None else cursor
        stage = params.get("stage") or "receive"
        base = next((b for key, _, _, b in STAGES if key == stage), 18_400.0)
        if primary["run"] == "sim" and stage == "receive":
            base = 180.0
        times, columns = list(range(first, second, step)), []
        for t in times:
            middle = 1 + 8 * math.log2(base / 0.008 * (1 + 0.12 * math.sin(t / 40) + 0.3 * self._bump(t)))
            low, high = int(middle - 7), int(middle + 14 + 13 * self._bump(t) + 7 * noise(self.seed, t, 70))
            counts = []
            for row in range(low, high):
                far = (row + 0.5 - middle) / (4.5 if row > middle else 2.6)
                body = math.exp(-far * far / 2) + 0.012 * math.exp(-max(0.0, far) / (1.1 + 2 * self._bump(t)))
                counts.append(int(530 * step * body * (0.75 + 0.5 * noise(self.seed, t, row, 71))))
            columns.append([low, *counts])
        told: dict[str, Any] = {"stage": stage, "step": step, "parts": 8, "keep": start * 1000, "from": None}
        told |= {"t": [t * 1000 for t in times], "c": columns, "slo": None}
        if params.get("slo"):
            us = float(params["slo"])
            worst = {"t": (second - 60) * 1000, "s": 1 if window <= 900 else 30, "n": 214, "of": 7_212}
            told["slo"] = {"us": us, "n": 1_212, "unsure": 3, "of": 1_442_806, "worst": worst}
        return told, times[-1] if times else cursor, 120.0, 1_442_806

    def _throughput_row(self, t: int, symbol: str, shown: list[dict[str, Any]]) -> Row:
        row: Row = {}
        for i, source in enumerate(shown):
            base = {"binance_usdm": 2150, "bybit_linear": 1480, "okx_swap": 930}.get(source["id"], self.rate)
            wave = (
                1 + 0.07 * math.sin(t / 30 + i) + 0.05 * gauss(self.seed, t, i, 30) * (source["run"] != "sim")
            )
            row[source["id"]] = max(
                0, int(base * wave * (1 + 0.5 * self._bump(t) * (source["run"] != "sim")))
            )
        return row

    def _throughput(
        self, times: Any, rows: Any, primary: Any, symbol: Any, shown: Any, params: Any, every: int, at: float
    ) -> Any:
        series = []
        for source in shown:
            sim = source["run"] == "sim"
            rate = [r[source["id"]] for r in rows]
            series.append(
                {
                    "id": source["id"],
                    "label": source["label"],
                    "colour": source["colour"],
                    "run": source["run"],
                    "messages": [int(x * 1.6) if sim else x for x in rate],
                    "orders": rate if sim else [0] * len(rate),
                    "trades": [int(x * (0.22 if sim else 0.03)) for x in rate],
                }
            )
        return {"series": series}

    def _metrics_row(self, t: int, symbol: str, shown: list[dict[str, Any]]) -> Row:
        mid = round(self._mid(symbol, t * 1000) * 10 ** SYMBOLS[symbol][1])
        return {
            "bid": mid,
            "ask": mid + int(SPREADS[t % len(SPREADS)]),
            "imbalance": round(0.35 * math.sin(t / 23) + 0.12 * gauss(self.seed, t, 40), 3),
        }

    def _metrics(
        self, times: Any, rows: Any, primary: Any, symbol: Any, shown: Any, params: Any, every: int, at: float
    ) -> Any:
        return {k: [r[k] for r in rows] for k in ("bid", "ask", "imbalance")}

    def _tiles_row(self, t: int, symbol: str, shown: list[dict[str, Any]]) -> Row:
        rates = self._throughput_row(t, symbol, shown)
        lat = self._latency_row(t, symbol, shown)
        sim = {s["id"] for s in shown if s["run"] == "sim"}
        real = [v for k, v in rates.items() if k not in sim and v is not None]
        return {
            "real": sum(real) if real else None,
            "sim": sum(v or 0 for k, v in rates.items() if k in sim),
            "p50": float(lat["p50"] or 0),
            "p99": float(lat["p99"] or 0),
            "spread": SPREADS[t % len(SPREADS)],
            "throttled": None if self.mode == "bare" else int(9 * self._bump(t)),
            "gaps": 1 if t % 97 == 0 and self.mode != "bare" else 0,
        }

    def _tiles(
        self, times: Any, rows: Any, primary: Any, symbol: Any, shown: Any, params: Any, every: int, at: float
    ) -> Any:
        base = 180.0 if primary["run"] == "sim" else 18_400.0
        columns: dict[str, Any] = {k: [r[k] for r in rows] for k in ("real", "sim", "throttled", "gaps")}
        columns["spread"] = [int(r["spread"]) for r in rows]
        columns |= {k: [round(r[k] * base, 2) for r in rows] for k in ("p50", "p99")}
        last = self._tiles_row(int(at // 1000) - 1, symbol, shown)
        scale = 10 ** SYMBOLS[symbol][1]
        return {
            **columns,
            "figures": {
                "real": last["real"],
                "sim": last["sim"],
                "p50": float(last["p50"] or 0) * base,
                "p99": float(last["p99"] or 0) * base,
                "spread": int(last["spread"] or 0),
                "spread_bp": float(last["spread"] or 0) / scale / SYMBOLS[symbol][0] * 1e4,
                "stage_label": "Receive",
                "throttled": None if self.mode == "bare" else 37,
                "gaps": 0 if self.mode == "bare" else 2,
                "books": [3 * len(shown), 3 * len(shown)],
            },
        }

    def _prices(self, symbol: str, shown: list[dict[str, Any]], at: float) -> dict[str, Any]:
        """Every source's top, a few units from the common one; the built-in one is left out."""
        _, decimals, size_decimals = SYMBOLS[symbol]
        depth = self._depth(symbol, at)
        rows = []
        for i, source in enumerate(shown):
            bid, ask = depth["bid"] + 3 * i, depth["ask"] + 3 * i
            rows.append(
                {
                    **{key: source[key] for key in ("id", "label", "colour", "run", "state")},
                    "symbol": symbol, "same": True,
                    "why": {"sim": "simulated"}.get(source["run"], "stale" * (source["state"] == "stale")),
                    "book": depth["state"], "bid": bid, "ask": ask, "bid_size": 1_000 + i, "ask_size": 2_000 + i,
                    "mid2": bid + ask, "spread_bp": 0.01, "diff_bp": 0.3 * i, "price_decimals": decimals,
                    "size_decimals": size_decimals, "size_unit": symbol.split("-")[0],
                }
            )  # fmt: skip
        live = [i for i, row in enumerate(rows) if not row["why"]]
        found: dict[str, Any] = dict.fromkeys(("bid", "ask", "between", "between_bp", "apart2", "apart_bp"))
        if live:
            found |= {
                "bid": [rows[live[-1]]["bid"], live[-1]],
                "ask": [rows[live[0]]["ask"], live[0]],
                "between": rows[live[0]]["ask"] - rows[live[-1]]["bid"],
                "between_bp": -0.05,
                "apart2": 6 * (len(live) - 1),
                "apart_bp": 0.3 * (len(live) - 1),
                "lowest": live[0],
                "highest": live[-1],
            }
        return {"ages": [42.0] * len(rows), "decimals": decimals, "rows": rows, "found": found}

    def _mids_row(self, t: int, symbol: str, shown: list[dict[str, Any]]) -> Row:
        return {s["id"]: round(0.3 * i + 0.1 * gauss(self.seed, t, i, 80), 4) for i, s in enumerate(shown)}

    def _mids(
        self, times: Any, rows: Any, primary: Any, symbol: Any, shown: Any, params: Any, every: int, at: float
    ) -> Any:
        series = [
            {key: s[key] for key in ("id", "label", "colour", "run")} | {"bp": [r[s["id"]] for r in rows]}
            for s in shown
            if s["run"] == "live"
        ]
        return {"series": series, "step": every}

    def _limits_row(self, t: int, symbol: str, shown: list[dict[str, Any]]) -> Row:
        return {
            "allowed": 40 + int(8 * noise(self.seed, t, 50)),
            "throttled": int(12 * self._bump(t)),
            "refused": int(t % 240 == 126),
            "waiting": int(14 * self._bump(t - 6) + noise(self.seed, t, 51)),
        }

    def _limits(self, *args: Any) -> Any:
        rows = args[1] or []
        at = args[7] if len(args) > 7 else 0.0
        columns = {k: [r[k] for r in rows] for k in ("allowed", "throttled", "refused", "waiting")}
        venues = []
        if self.mode not in ("bare", "empty"):
            used = 3412 + int(100 * noise(int(at // 1000)))
            plan = [
                ("binance", "Binance", 1, "ok", [("Weight, 1 min", used, 6000, 180, 21_000, "header agrees"),
                                                ("Raw requests, 5 min", 8120, 61_000, 0, 171_000, "")]),
                ("bybit", "Bybit", 2, "throttling", [("Requests per address, 5 s", 561, 600, 30, 2_000, "14 waiting"),
                                                     ("Connects, 5 min", 42, 500, 0, 220_000, "")]),
                ("okx", "OKX", 3, "ok", [("Candles, 2 s", 19, 40, 4, 1_000, "2 waiting"),
                                         ("Subscriptions, 1 h", 61, 480, 0, 2_470_000, "")]),
                ("kucoin", "KuCoin", 4, "banned", [("Public pool, 30 s", 4012, 4000, 0, 362_000, "9 waiting")]),
                ("builtin", "Built-in", "sim", "ok", [("Orders, 1 s", self.rate, 100_000, 0, 1_000, "")]),
            ]  # fmt: skip
            for key, label, colour, state, windows in plan:
                venues.append(
                    {
                        "id": key,
                        "label": label,
                        "colour": colour,
                        "shown": True,
                        "state": {"ok": "within limits"}.get(state, state),
                        "until": at + 362_000 if state == "banned" else None,
                        "reason": "429 from GET /api/v1/bullet" if state == "banned" else "",
                        "waiting": 14 if state == "throttling" else 0,
                        "windows": [
                            {
                                "name": n,
                                "scope": "ip",
                                "used": u,
                                "limit": m,
                                "reserved": r,
                                "foreign": 0,
                                "resets": at + ms,
                                "note": note,
                            }
                            for n, u, m, r, ms, note in windows
                        ],
                    }
                )
        return {
            "t": [],
            "keep": 0,
            "step": 3,
            "venues": venues,
            "endpoints": [
                {
                    **{key: venue[key] for key in ("id", "label", "colour")},
                    "endpoint": f"GET /{name}",
                    "weight": 1,
                    "calls": calls,
                    "throttled": held,
                    "waiting": 0,
                    "mean_ms": 41.2,
                    "p99_ms": 188.0,
                    "max_ms": 611.0,
                    "refused": 0,
                    "status": 200,
                }
                for venue in venues[:4]
                for name, calls, held in (("depth", 1_840, 21 * (venue["id"] == "bybit")), ("klines", 960, 0))
            ],
            **(columns if venues else {k: [0] * len(rows) for k in columns}),
            "totals": {
                "allowed": 12_371,
                "throttled": 37,
                "waiting": 2,
                "refused": 1,
                "mean_wait_ms": 118.0,
                "max_wait_ms": 2_914.0,
            }
            if venues
            else {
                "allowed": 0,
                "throttled": 0,
                "waiting": 0,
                "refused": 0,
                "mean_wait_ms": None,
                "max_wait_ms": None,
            },
        }

    def _stages(self, primary: Any, second: int, at: float) -> Any:
        rows = []
        for i, (key, label, what, base) in enumerate(STAGES):
            b = 180.0 if primary["run"] == "sim" and i == 0 else base
            rows.append(
                {
                    "stage": key,
                    "label": label,
                    "what": what,
                    "n": 1_442_806 if i < 4 else 1_194,
                    **{q: round(b * f, 3) for q, f in QUANTILES if q != "p95"},
                    "max": round(b * 22, 3),
                    "spark": [
                        round(
                            b
                            * 3.3
                            * (
                                1
                                + 0.1 * gauss(self.seed, second - 60 + k, i, 60)
                                + 0.7 * self._bump(second - 60 + k)
                            ),
                            3,
                        )
                        for k in range(60)
                    ],
                }
            )
        return {"rows": rows}

    def _distribution(self, primary: Any, second: int, at: float) -> Any:
        base = 180.0 if primary["run"] == "sim" else 18_400.0
        nines = [round(k * 0.08, 2) for k in range(51)]
        return {
            "nines": nines,
            "us": [round(base * 0.8 * math.exp(0.42 * k + 0.05 * k * k), 2) for k in nines],
            "other": {
                "word": "last minute",
                "n": 288_561,
                "nines": nines[:45],
                "us": [round(base * 0.8 * math.exp(0.37 * k + 0.08 * k * k), 2) for k in nines[:45]],
            },
        }

    def _events(self, cursor: Any, second: int) -> Any:
        said = [
            ("info", "binance_usdm", "connected", "depth and trades of 3 symbols"),
            ("warn", "okx_swap", "gap", "sequence 58,201 to 58,209; resyncing BTC-USDT"),
            ("info", "okx_swap", "resynced", "BTC-USDT after 0.8 s"),
            ("warn", "bybit", "throttle", "31 calls held, longest 611 ms"),
            ("error", "kucoin", "ban", "429, held until 14:38:11"),
            ("info", "engine", "rate", "simulation rate 12,000 orders/s"),
        ]
        first = second - 1200 if cursor is None else cursor + 1
        rows = []
        for t in range(first, second + 1):
            if t % 20 == 0:
                level, source, what, text = said[(t // 20) % len(said)]
                about = "limits" if what in ("throttle", "ban") else "venue" if source != "engine" else ""
                row = {"t": t * 1000, "level": level, "source": source, "what": what, "text": text}
                rows.append(row | {"about": about})
        return {"rows": rows}

    def _health(self, primary: Any, second: int, at: float) -> Any:
        return {
            "tasks": [
                {"name": n, "state": s, "restarts": r, "error": e, "since": self.since - 3.9e6}
                for n, s, r, e in (
                    ("simulator", "running", 0, ""),
                    ("publisher", "running", 0, ""),
                    ("replay", "restarting" if self.mode == "error" else "running", 2, "BadFrame: bad 'u' in b'{...'"),
                    ("sampler", "running", 0, ""),
                    ("journal", "idle", 0, ""),
                )
            ],
            "rings": [
                {"name": n, "rows": min(c, second % 9999 + k), "capacity": c,
                 "written": 250_000 * k + second % 1000, "bytes": c * 48}
                for n, c, k in (("trades binance_usdm BTC-USDT", 65_536, 7),
                                ("candles builtin:sim BTC-USDT", 14_400, 3),
                                ("latency buckets builtin:sim sequence", 65_536, 2),
                                ("counters builtin:sim", 14_400, 1), ("events", 4_096, 1))
            ],
            "queues": [
                {"name": n, "depth": int(3 * noise(second, i)), "peak": 61 + i, "capacity": 1024,
                 "dropped": 214 if i == 2 else 0}
                for i, n in enumerate(("commands", "market", "orders", "replies"))
            ],
            "sources": [
                {"id": key, "label": label, "frames": 2_531_170 // (i + 1), "malformed": 3 if i == 1 else 0,
                 "gaps": 2 if i == 2 else 0, "resyncs": 2 if i == 2 else 0, "dropped": 0,
                 "agreement": [118_204 - (i == 1), 118_204], "late": 12 * (i == 1), "levels_dropped": 0,
                 "unchecked": 31 * i}
                for i, (key, label) in enumerate(
                    (("binance_usdm", "Binance"), ("bybit_linear", "Bybit"),
                     ("okx_swap", "OKX"), ("builtin", "Built-in"))
                )
            ],
            "streams": [],
            "venues": [],
            "loop": {"lag_p50_ms": 0.12, "lag_p99_ms": 1.84 + noise(second), "lag_max_ms": 9.7},
            "process": {"cpu_pct": 41.2 + 5 * noise(second, 2), "rss_bytes": 412_000_000, "threads": 14,
                        "uptime_s": 3_912 + second % 1000, "epoch": self.epoch, "lost_rows": 214},
            "log": {"mode": "async", "state": "open", "sequence": 3_122_004 + 5_000 * (second % 100),
                    "durable": 3_120_016 + 5_000 * (second % 100), "backlog_bytes": 159_040, "refused": 0,
                    "snapshots": 2, "written_bytes": 249_760_320},
            "bad_frames": self.bad_frames,
            "kernels": {"state": "ready", "done": 6, "total": 6, "seconds": 11.4, "directory": "kernels/8f21c0"},
        }  # fmt: skip

    def _matching(self, primary: Any, second: int, at: float) -> Any:
        books = (
            ("BTC-USDT", 5_987, 12, 1_272, 3, 1_254, 0, 6_050),
            ("ETH-USDT", 4_848, 0, 1_029, 0, 1_052, 0, 5_056),
            ("SOL-USDT", 3_982, 4, 603, 0, 607, 0, 4_054),
            ("BNB-USDT", 13_917, 0, 688, 0, 684, 0, 14_017),
            ("XRP-USDT", 3_695, 0, 620, 0, 644, 0, 4_020),
        )
        rates = (("Commands", 1.0), ("Events", 1.19), ("Trades", 0.16), ("Rejects", 0.006))
        measures = (
            ("Batch size", "", self.rate / 200),
            ("Batch time", "us", 92.0),
            ("Command time", "us", 4.13),
        )

        def wave(index: int, ago: int) -> float:
            return 1 + 0.1 * gauss(self.seed, second - ago, index, 70) * (self.rate > 0)

        return {
            "ts": (self.since if self.mode == "silent" else second * 1000),
            "engine": {"commands": 3_122_004 + second % 100_000, "now": at, "memory_bytes": 144_804_352,
                       "resident_bytes": 50_831_360},
            "symbols": [
                {"symbol": symbol, "phase": "auction" if symbol == "SOL-USDT" else "continuous", "resting": resting,
                 "waiting": waiting, "most": most, "slots": 16_384, "bid_levels": bids, "ask_levels": asks,
                 "far_bid_levels": far_bids, "far_ask_levels": far_asks, "trades": 1_000 + second % 10_000,
                 "used": resting + waiting}
                for symbol, resting, waiting, bids, far_bids, asks, far_asks, most in books
            ],
            "figures": [
                {"label": f"{label}/s", "unit": "", "n": 60, "last": round(self.rate * share * wave(i, 1)),
                 "p50": round(self.rate * share), "p99": None, "max": round(self.rate * share * 1.2),
                 "total": round(3_122_004 * share) + second % 10_000,
                 "spark": [round(self.rate * share * wave(i, 60 - k)) for k in range(60)]}
                for i, (label, share) in enumerate(rates)
            ] + [
                {"label": label, "unit": unit, "n": 11_900 * (self.rate > 0), "total": None,
                 **{key: round(middle * factor * wave(i, 1), 2 if unit else 0) if self.rate else None
                    for key, factor in (("last", 1.0), ("p50", 1.0), ("p99", 3.1), ("max", 14.0))},
                 "spark": [round(middle * 3 * wave(i, 60 - k), 2) if self.rate else None for k in range(60)]}
                for i, (label, unit, middle) in enumerate(measures, 5)
            ],
        }  # fmt: skip
