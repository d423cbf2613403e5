"""The built-in exchange made by hand: the real transport over telemetry that a played exchange fills.

Clients, accounts, keys, faults and a profile beside the made-up venues of `venue_source.py`. Commands do to them what
the engine would. `switch(mode)`: "live", "fresh" (serving; no key, no client, no order yet), "off", "starting",
"failed" (the port is taken), "silent" (its figures stopped coming), "halted" (BTC-USDT).
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from engine.errors import BadCommand
from engine.profiling import ProfileView, checked, view_of
from engine.telemetry.board import (
    AccountView,
    BalanceView,
    ClientView,
    ExchangeView,
    FaultView,
    FillView,
    KeyView,
    OrderView,
)
from tests.browser.fake_source import gauss, noise
from tests.browser.venue_source import SECOND, Market, VenueSource

SYMBOLS = ("BTC-USDT", "ETH-USDT", "SOL-USDT", "BNB-USDT", "XRP-USDT")
ASSETS = (("USDT", 1_000_000), ("BTC", 10), ("ETH", 100), ("SOL", 2_000), ("BNB", 500), ("XRP", 200_000))
MODES = ("live", "fresh", "off", "starting", "failed", "silent", "halted")
STAGES = {
    "socket": 9_000,
    "decode": 21_000,
    "wait": 48_000,
    "match": 6_400,
    "encode": 12_000,
    "send": 17_000,
    "ack": 118_000,
}
REJECTS = (("binance -2010", 812), ("bybit 170131", 604), ("binance -2011", 301), ("binance -1013", 118),
           ("native 23", 57), ("binance -1022", 19), ("bybit 10003", 4))  # fmt: skip


class ExchangeSource(VenueSource):
    """VenueSource with an exchange that is played."""

    def __init__(
        self, *, seed: int = 7, clock: Callable[[], float] = time.time, history_s: int = 330
    ) -> None:
        self.shown = "live"
        self.keys: list[KeyView] = []
        self.faults: list[FaultView] = []
        self.accounts: dict[str, AccountView] = {}
        self.phases = dict.fromkeys(SYMBOLS, "trading")
        self.profile: ProfileView | None = None
        self._profile_ends_ns = 0
        self._last = 7_213_000
        self.answers: list[dict[str, Any] | None] = []
        self.delay_s = 0.0  # how long a command takes
        super().__init__(seed=seed, clock=clock, history_s=history_s)
        self.telemetry.board.exchange = ExchangeView()
        self.switch("live")

    # ---------- commands ----------

    def command(self, name: str, args: dict[str, Any]) -> dict[str, Any] | None:  # type: ignore[override]
        """As the engine takes them."""
        act = getattr(self, f"_do_{name}", None)
        if act is None:
            super().command(name, args)
            return None
        self.commands.append((name, args))
        if self.delay_s:
            time.sleep(self.delay_s)
        result: dict[str, Any] | None = act(**args)
        self.answers.append(result)
        self.advance()
        return result

    def _account(self, name: str) -> AccountView:
        if name not in self.accounts:
            raise BadCommand(f"there is no account {name!r}")
        return self.accounts[name]

    def _change(self, name: str, **fields: Any) -> None:
        self.accounts[name] = replace(self._account(name), **fields)

    def _next(self) -> int:
        self._last += 1
        return self._last

    def _do_exchange_place(
        self, account: str, symbol: str, side: str, size: str, **more: Any
    ) -> dict[str, Any]:
        held, kind, price = self._account(account), str(more["type"]), str(more["price"])
        if float(size) > 100:
            raise BadCommand("the account has not enough of it free")
        if self.phases[symbol] == "halted":
            raise BadCommand(f"{symbol} is halted")
        now, number = self._now(), self._next()
        order = OrderView(
            order_id=number, client_id="", symbol=symbol, side=side, kind=kind, price=price,
            trigger=str(more["trigger"]), size=size, filled="0.00000", average="", status="new", reason="",
            dialect="page", created_ns=now, updated_ns=now,
        )  # fmt: skip
        if kind == "market":
            order = replace(order, status="filled", filled=size, average="104238.70")
            fill = FillView(
                self._next(), number, symbol, side, "104238.7", size, "0.00000100", "BTC", False, now
            )
            self._change(account, ended=(order, *held.ended)[:50], fills=(fill, *held.fills)[:50])
        else:
            self._change(account, open=(order, *held.open), open_count=held.open_count + 1)
        return {"order_id": number, "status": order.status, "filled": order.filled, "sentence": ""}

    def _end(self, account: str, found: OrderView, reason: str) -> None:
        held = self._account(account)
        ended = replace(found, status="canceled", reason=reason, updated_ns=self._now())
        left = tuple(order for order in held.open if order is not found)
        self._change(account, open=left, open_count=len(left), ended=(ended, *held.ended)[:50])

    def _find(self, account: str, order_id: str) -> OrderView:
        found = next((o for o in self._account(account).open if str(o.order_id) == order_id), None)
        if found is None:
            raise BadCommand(f"there is no open order {order_id}")
        return found

    def _do_exchange_cancel(self, account: str, order_id: str) -> dict[str, Any]:
        self._end(account, self._find(account, order_id), "")
        return {"order_id": order_id}

    def _do_exchange_replace(self, account: str, order_id: str, price: str, size: str) -> dict[str, Any]:
        found = self._find(account, order_id)
        if float(price) <= 0:
            raise BadCommand("the price must be above 0")
        changed = replace(found, price=price, size=size, updated_ns=self._now())
        orders = tuple(changed if o is found else o for o in self._account(account).open)
        self._change(account, open=orders)
        return {"order_id": order_id}

    def _do_exchange_cancel_all(self, account: str, symbol: str) -> dict[str, Any]:
        orders = [o for o in self._account(account).open if symbol == o.symbol]
        for order in orders:
            self._end(account, order, "")
        return {"count": len(orders)}

    def _do_exchange_faucet(self, account: str, asset: str, amount: str) -> dict[str, Any]:
        balances = tuple(
            replace(each, free=f"{float(each.free) + float(amount):.8f}") if each.asset == asset else each
            for each in self._account(account).balances
        )
        self._change(account, balances=balances)
        return {}

    def _do_exchange_create_key(self, account: str, label: str, trade: bool) -> dict[str, Any]:
        if len(account) > 32:
            raise BadCommand("an account's name has 1 to 32 characters")
        if account not in self.accounts:
            self.accounts[account] = fresh_account(account, len(self.accounts) + 1)
        number = self._next()
        key = f"vsk{number * 7_919_393:018x}"
        self.keys.append(KeyView(key, account, label, trade, self._now(), 0))
        return {"api_key": key, "secret": f"{number * 104_729_561:048x}", "account": account}

    def _do_exchange_revoke_key(self, api_key: str) -> dict[str, Any]:
        self.keys = [key for key in self.keys if key.api_key != api_key]
        return {}

    def _do_exchange_fault(self, kind: str, budget: str, symbol: str, rate: float, count: int,
                           duration_s: float, delay_s: float) -> dict[str, Any]:  # fmt: skip
        if kind == "stall" and not duration_s:
            raise BadCommand("fault: duration_s: 'stall' needs one")
        ends_ns = self._now() + round(duration_s * SECOND) if duration_s else 0
        where = " ".join(filter(None, (budget, symbol))) or "everywhere"
        number = self._next()
        self.faults.append(FaultView(number, kind, where, rate, 0, count or -1, ends_ns))
        return {"id": number}

    def _do_exchange_clear_fault(self, id: int) -> dict[str, Any]:
        self.faults = [each for each in self.faults if id and each.id != id]
        return {}

    def _do_exchange_halt(self, symbol: str, halted: bool) -> dict[str, Any]:
        self.phases[symbol] = "halted" if halted else "trading"
        return {}

    def _do_profile(self, seconds: float) -> dict[str, Any]:
        if self.profile is not None and self.profile.state == "running":
            raise BadCommand("a profile is being taken; it is done in 3 s")
        self.profile = ProfileView("running", self._now(), checked(seconds))
        self._profile_ends_ns = self.profile.ends_ns
        return {}

    # ---------- states ----------

    def switch(self, mode: str) -> None:
        """Enter a state now."""
        if mode not in MODES:
            super().switch(mode)
            return
        self.shown = mode
        super().switch("live" if mode not in ("off", "fresh") else "off")
        self.keys, self.faults, self.accounts, self.profile = [], [], {}, None
        self.phases = dict.fromkeys(SYMBOLS, "trading")
        if mode in ("live", "silent", "halted"):
            self._populate()
        if mode == "halted":
            self.phases["BTC-USDT"] = "halted"
        self.commands.clear()
        self.advance()

    def _populate(self) -> None:
        now = self._now()
        for account, label, trade, used in (
            ("main", "notebook", True, 4),
            ("main", "", False, 0),
            ("grid", "pybit", True, 41),
        ):
            self._do_exchange_create_key(account, label, trade)
            self.keys[-1] = replace(
                self.keys[-1], created_ns=now - 3_600 * SECOND, used_ns=now - used * SECOND if used else 0
            )
        bid = self._tops(self._builtin(), "BTC-USDT", now / 1e9)[0]
        plan = (
            ("BTC-USDT", "buy", "limit", bid - 3, "0.20000", "0.08000", "partially_filled", "binance", 41),
            ("BTC-USDT", "buy", "limit", bid - 6, "0.15000", "0.00000", "new", "page", 120),
            ("BTC-USDT", "sell", "limit", bid + 5, "0.35000", "0.00000", "new", "bybit", 361),
            ("BTC-USDT", "sell", "stop", 0, "0.35000", "0.00000", "armed", "native", 900),
        )  # fmt: skip
        orders = tuple(
            OrderView(
                order_id=self._next(), client_id=f"x-{ago}", symbol=symbol, side=side, kind=kind,
                price=f"{price / 10:.1f}" if price else "", trigger="" if price else "103900.0", size=size,
                filled=filled, average=f"{price / 10:.2f}" if float(filled) else "", status=status, reason="",
                dialect=dialect, created_ns=now - ago * SECOND, updated_ns=now - ago * SECOND // 2,
            )
            for symbol, side, kind, price, size, filled, status, dialect, ago in plan
        )  # fmt: skip
        endings = (("filled", ""), ("canceled", ""), ("rejected", "the post-only order would trade at once"),
                   ("expired", "nothing was left to trade with within its price"))  # fmt: skip
        ended = tuple(
            replace(
                orders[k % 3], order_id=self._next(), status=endings[k % 4][0], reason=endings[k % 4][1],
                filled=orders[k % 3].size if k % 4 == 0 else "0.00000",
                average="104236.10" if k % 4 == 0 else "", updated_ns=now - (k + 2) * 37 * SECOND,
            )
            for k in range(41)
        )  # fmt: skip
        fills = tuple(
            FillView(self._next(), ended[k].order_id, "BTC-USDT", ("buy", "sell")[k % 2], f"{(bid - k) / 10:.1f}",
                     f"0.0{k % 8 + 1}000", f"0.0000{k % 8 + 1}000", ("BTC", "USDT")[k % 2], k % 3 > 0,
                     now - (k + 1) * 29 * SECOND)
            for k in range(24)
        )  # fmt: skip
        balances = tuple(
            replace(each, reserved="27864.91200000" if each.asset == "USDT" else each.reserved)
            if each.asset != "BTC" else replace(each, free="9.30214000", reserved="0.70000000")
            for each in self.accounts["main"].balances
        )  # fmt: skip
        self._change("main", open=orders, open_count=len(orders), ended=ended, fills=fills, balances=balances)
        self._do_exchange_fault("duplicate", "binance_spot", "BTC-USDT", 0.005, 0, 181.0, 0.0)
        self._do_exchange_fault("429", "bybit", "", 0.02, 500, 0.0, 0.0)

    # ---------- telemetry ----------

    def _builtin(self) -> Market:
        market = super()._builtin()
        market.symbols = list(SYMBOLS)
        return market

    def _close(self, second: int) -> None:
        super()._close(second)
        if self.shown in ("off", "starting", "failed", "silent"):
            return
        busy = self.shown != "fresh"
        orders = round(11_900 * (1 + 0.06 * math.sin(second / 17) + 0.03 * gauss(second, 5))) * busy
        rejects = round(orders * 0.004 * (1 + 8 * math.exp(-((((second % 90) - 45) / 4) ** 2))))
        self.telemetry.exchange.publish_one(
            (
                second * SECOND,
                orders,
                orders - rejects,
                rejects,
                round(orders * 0.21),
                round(orders * 1.04),
                504 * busy,
            )
        )
        for place, (stage, middle) in enumerate(STAGES.items()):
            if busy:
                draw = np.random.default_rng(second * 16 + place)
                values = middle * np.exp(np.abs(draw.normal(0, 0.45, 200)) * (1 + draw.random(200) ** 8))
                found = self.telemetry.stage("exchange", stage)
                found.record(second * SECOND, values.astype(np.int64))
                found.advance((second + 1) * SECOND)

    def _advance(self) -> None:
        super()._advance()
        now_ns, board = self._now(), self.telemetry.board
        builtin = self._builtin()
        for symbol in SYMBOLS:
            board.books["builtin:sim", symbol] = self._book(builtin, symbol, now_ns)
        if self.profile is not None and self.profile.state == "running" and now_ns >= self._profile_ends_ns:
            self.profile = played_profile(self.profile)
        board.profile = self.profile
        board.exchange = self._exchange(now_ns)

    def _exchange(self, now_ns: int) -> ExchangeView:
        if self.shown == "off":
            return ExchangeView()
        if self.shown == "starting":
            return ExchangeView(state="starting", detail="kernels 3 of 8")
        common: dict[str, Any] = {
            "symbols": tuple(self.phases.items()),
            "accounts": tuple(self.accounts.values()),
            "keys": tuple(self.keys),
        }
        if self.shown == "failed":
            return ExchangeView(state="failed", detail="port 8051 on 127.0.0.1 is in use", **common)
        second = now_ns // SECOND
        busy = self.shown != "fresh"
        rate = 11_900 * (0.97 + 0.06 * noise(second, 3)) * busy
        self.faults = [
            replace(each, done=(second + each.id) % 90)
            for each in self.faults
            if not each.ends_ns or each.ends_ns > now_ns
        ]
        return ExchangeView(
            state="serving",
            url="http://127.0.0.1:8051",
            order_url="ws://127.0.0.1:8053",
            clients=played_clients(now_ns) if busy else (),
            client_count=504 * busy,
            orders=3_584_112 * busy,
            rejects=REJECTS if busy else (),
            rejected=sum(count for _, count in REJECTS) * busy,
            fills=752_663 * busy,
            trades=9_103_442 + second % 100_000,
            orders_per_s=rate,
            acks_per_s=rate * 0.996,
            fills_per_s=rate * 0.21,
            cut_slow=3 * busy,
            waiting=int(60 * noise(second, 9)) * busy,
            faults=tuple(self.faults),
            faults_done=(("duplicate", 37), ("429", 12)) if self.faults else (),
            **common,
        )


def fresh_account(name: str, number: int) -> AccountView:
    """An account with the usual endowment."""
    balances = tuple(BalanceView(asset, f"{amount}.00000000", "0.00000000") for asset, amount in ASSETS)
    return AccountView(name, number, (), 0, (), (), balances)


def played_clients(now_ns: int) -> tuple[ClientView, ...]:
    """Clients as they come: robots, notebooks, one that does not read, one that is new."""
    plan = (
        ("bots", "native", "orders", 8_912.0, 104, 64, 0, (("23", 211), ("31", 12))),
        (
            "stress-1",
            "binance",
            "orders",
            884.0,
            12,
            1_204,
            0,
            (("-2010", 1_204), ("-1013", 402), ("-2011", 18)),
        ),
        ("grid", "bybit", "orders", 212.0, 3, 0, 0, (("170131", 71),)),
        ("main", "binance", "orders", 61.0, 1, 0, 0, (("-2010", 4),)),
        ("main", "binance", "market data", 0.2, 0, 2_411_220, 18_204, ()),
        ("", "bybit", "market data", 0.1, 0, 0, 0, ()),
        ("main", "native", "orders", 0.0, 0, 0, 0, ()),
    )
    second = now_ns // SECOND
    return tuple(
        ClientView(
            id=f"c{k}", dialect=dialect, use=use, address=f"127.0.0.1:{50_118 + 7 * k}", account=account,
            since_ns=now_ns - (k * 611 + 44) * SECOND, messages=round(rate * 3_000),
            messages_per_s=round(rate * (0.96 + 0.08 * noise(second, k)), 1),
            orders=round(rate * 2_900) * (use == "orders"),
            in_flight=flight, queue_bytes=queued, sent_bytes=round(rate * 611_000) + 41_200,
            conflated=conflated, rejects=rejects,
        )
        for k, (account, dialect, use, rate, flight, queued, conflated, rejects) in enumerate(plan)
    )  # fmt: skip


def played_profile(running: ProfileView) -> ProfileView:
    """A profile of what an engine's thread does, as cProfile would have counted it."""
    rows: tuple[tuple[str, str, int, float, tuple[tuple[str, float], ...]], ...] = (
        ("engine/builtin.py:84", "turn", 2_000, 0.21, ()),
        ("engine/exchange/desk.py:412", "drain", 2_000, 0.34, (("turn", 1.0),)),
        ("engine/matching/engine.py:233", "match", 2_000, 1.42, (("drain", 0.55), ("turn", 0.45))),
        ("engine/flow/simulator.py:118", "orders", 2_000, 0.61, (("turn", 1.0),)),
        ("engine/exchange/sockets.py:77", "on_frames", 9_120, 0.44, ()),
        ("engine/exchange/dialects/binance.py:301", "place", 41_200, 0.52, (("on_frames", 1.0),)),
        ("engine/exchange/accounts.py:93", "signed", 41_200, 0.83, (("place", 1.0),)),
        ("engine/exchange/units.py:61", "ticks", 82_400, 0.24, (("place", 1.0),)),
        ("engine/intake.py:290", "publish", 40, 0.31, ()),
        ("engine/telemetry/latency.py:61", "record", 91_000, 0.18, (("publish", 0.4), ("drain", 0.6))),
        ("site-packages/aiohttp/http_websocket.py:310", "_feed_data", 9_120, 0.29, ()),
        ("python/hmac.py:164", "new", 41_200, 0.27, (("signed", 1.0),)),
        ("", "_hashlib.hmac_digest", 41_200, 0.46, (("signed", 1.0),)),
        ("", "msgspec.json.decode", 41_200, 0.11, (("place", 1.0),)),
        ("", "socket.send", 9_900, 0.66, (("on_frames", 0.7), ("publish", 0.3))),
    )

    def key(where: str, name: str) -> tuple[str, int, str]:
        path, _, line = where.rpartition(":")
        return (path, int(line), name) if where else ("~", 0, name)

    whole: dict[str, float] = {}
    for _, name, _, own, _ in reversed(rows):
        below = sum(
            whole[child] * share
            for _, child, _, _, callers in rows
            if child in whole
            for caller, share in callers
            if caller == name
        )
        whole[name] = own + below
    names = {name: key(where, name) for where, name, *_ in rows}
    stats = {
        names[name]: (
            calls, calls, own, whole[name],
            {names[caller]: (calls, calls, own * share, whole[name] * share) for caller, share in callers},
        )
        for _, name, calls, own, callers in rows
    }  # fmt: skip
    made = view_of(stats, running.started_ns, running.asked_s, running.asked_s + 0.004)

    def home(where: str) -> str:
        found = next((w for w, *_ in rows if w and w.endswith("/" + where)), where)
        return found

    return replace(
        made,
        rows=tuple(replace(row, where=home(row.where)) for row in made.rows),
        nodes=tuple(replace(node, where=home(node.where)) for node in made.nodes),
    )
