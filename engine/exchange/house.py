"""The built-in exchange as it is served: all dialects over one floor, at one port, and order sockets at another.

Paths: `/binance_spot/..` and `/bybit/..` as the venues', `/native`, `/admin/..` (`admin.py`), `/faults`, `/statistics`.
"""

from __future__ import annotations

import asyncio
import re
import time
from typing import Final

from engine.exchange.accounts import Key
from engine.exchange.admin import Admin
from engine.exchange.clients import SHOWN, Client
from engine.exchange.dialects.binance_trading import BinanceTrading
from engine.exchange.dialects.bybit_trading import BybitTrading
from engine.exchange.entry import Link, RestAnswer, RestCall, Session
from engine.exchange.faults import NATIVE, Faults
from engine.exchange.file_rules import SPOT, per_second, rules_from
from engine.exchange.floor import Floor
from engine.exchange.house_views import PHASES, account_view, key_view, stream_view
from engine.exchange.keystore import KeyStore
from engine.exchange.order_faults import OrderFaults
from engine.exchange.order_sockets import OrderSockets, Refusal
from engine.exchange.served import ServedMarket
from engine.exchange.server import HOST, Budget, VenueServer
from engine.exchange.trading import Answer, Order, Outcome
from engine.limits.rules import Rules, load
from engine.telemetry.board import ExchangeView
from engine.telemetry.hub import Telemetry

BUDGET_MARKETS: Final = {"binance_spot": "binance_spot", "bybit": "bybit_spot"}
STALL: Final = frozenset({"stall"})
DISCONNECT: Final = frozenset({"disconnect"})
REFUSE: Final = frozenset({"refuse"})
CARE_EVERY_NS: Final = 100_000_000
REFUSAL: Final = re.compile(rb'\{"(?:code|retCode)":(-?[1-9]\d*)')  # as both venues begin an error


class PortTaken(OSError):
    """A port that cannot be used. Its text names it, and says why."""

    def __init__(self, port: int, host: str, error: OSError) -> None:
        super().__init__(f"port {port} on {host} cannot be used: {error.strerror or error}")
        self.port = port


class House:
    """Serves a floor until stopped. One loop, the engine's."""

    def __init__(self, floor: Floor, store: KeyStore | None = None, limits: Rules | None = None) -> None:
        """`limits` are those that clients' limiters read from the file; our own copy of it otherwise."""
        limits = limits or load()
        self.floor: Final = floor
        self.faults: Final = Faults(floor.seed)
        self.order_faults: Final = OrderFaults(self.faults, floor.simulator.instruments, floor.accounts.name)
        self.faults.on_first = self._arm
        rules = {
            "binance_spot": rules_from(limits, "binance_spot"),
            # Its dialect counts each user's calls itself, since they come by REST and by WebSocket.
            "bybit": rules_from(limits, "bybit", assumed=SPOT, accounts=False),
        }
        self.budgets: Final = {
            name: Budget(name, rules[name], {key: ServedMarket(floor.markets[key], floor.seed)}, self.faults)
            for name, key in BUDGET_MARKETS.items()
        }
        binance, bybit = self.budgets["binance_spot"], self.budgets["bybit"]
        floor.desk.first_fill, floor.desk.never_was = self._note_first_fill, self._note_refused
        binance.trading = BinanceTrading(
            floor.desk, floor.accounts, floor.guard, binance.markets["binance_spot"], binance.enforcement
        )
        bybit.trading = BybitTrading(
            *(floor.desk, floor.accounts, floor.guard, bybit.markets, bybit.enforcement),
            per_second=per_second(limits),
        )
        self.sockets: Final = OrderSockets(
            floor.clients, self._session, self._dialect, floor.stages, floor.wall, self._admit
        )
        floor.accounts.on_revoke = self._end_sessions
        self.admin: Final = Admin(floor, store)
        self.server: Final = VenueServer(
            self.budgets,
            self.faults,
            seed=floor.seed,
            wall=floor.wall,
            order_sockets=self.sockets,
            control=self.admin.answer,
            note_call=self._note_call,
        )
        self.order_url = ""
        self._trouble = ""  # with the port of orders
        self._cared_ns = 0
        self._totals = (0, 0, 0, 0, 0)
        self._rates = (0.0, 0.0, 0.0)

    @property
    def url(self) -> str:
        """The base address, once it serves."""
        return self.server.url

    async def start(self, port: int = 0, order_port: int = 0, host: str = HOST) -> str:
        """Begin to serve at both ports (0: any free one); the base address. PortTaken when one cannot be used.

        Without the port of orders the other is served all the same, with an `order_url` of ""; the next call tries the
        missing one again.
        """
        if not self.url:
            try:
                await self.server.start(port, host)
            except OSError as error:
                raise PortTaken(port, host, error) from error
        if not self.order_url:
            try:
                bound = await self.sockets.listen(host, order_port)
            except OSError as error:
                taken = PortTaken(order_port, host, error)
                self._trouble = str(taken)
                raise taken from error
            self._trouble = ""
            self.floor.native.order_port = bound
            self.order_url = f"ws://{'[::1]' if host == '::1' else host}:{bound}"
        return self.url

    def care(self, now_ns: int) -> None:
        """What is to be done now and then: keep-alive, logins, ends of halts. To be called after every turn."""
        if abs(now_ns - self._cared_ns) >= CARE_EVERY_NS:
            self._cared_ns = now_ns
            self.floor.clients.turn(now_ns)
            self.floor.accounts.note_use(now_ns)
            if self.floor.clients.stalled:
                self._release()
            if not self.faults.any:
                self._disarm()
            for symbol, phase in self.order_faults.halts(time.monotonic_ns()):
                self.floor.desk.set_phase(symbol, phase)

    def close_second(self, telemetry: Telemetry, second_ns: int) -> None:
        """Make rates and one EXCHANGE row of what came since the last call, a second ago."""
        floor, clients = self.floor, self.floor.clients
        clients.close_second()
        totals = (
            floor.desk.orders,
            floor.desk.done,
            clients.rejected,
            floor.desk.trades,
            clients.messages,
        )
        orders, acks, rejects, fills, messages = (
            now - before for now, before in zip(totals, self._totals, strict=True)
        )
        self._totals = totals
        self._rates = (float(orders), float(acks), float(fills))
        row = (second_ns, orders, acks, rejects, fills, messages, len(clients.all))
        telemetry.exchange.publish_one(row)

    def view(self, now_ns: int) -> ExchangeView:
        """Everything the page shows, frozen; some 100 us, and 1 us a row."""
        floor, clients, desk = self.floor, self.floor.clients, self.floor.desk
        monotonic_ns = time.monotonic_ns()
        streams = [
            stream_view(each, budget.name.partition("_")[0], now_ns - monotonic_ns)
            for budget in self.budgets.values()
            for each in budget.hub.connections.values()
        ]
        callers = clients.callers(now_ns)
        orders_per_s, acks_per_s, fills_per_s = self._rates
        units = sorted(floor.units.values(), key=lambda each: each.index)
        statistics = desk.engine.statistics().symbols
        return ExchangeView(
            state="serving" if self.url else "starting",
            detail=self._trouble,
            url=self.url,
            order_url=self.order_url,
            clients=(*callers, *clients.views(), *streams)[:SHOWN],
            client_count=len(callers) + len(clients.all) + len(streams),
            orders=desk.orders,
            rejects=tuple(clients.rejects.most_common(12)),
            rejected=clients.rejected,
            fills=desk.trades,
            trades=sum(each.trades for each in statistics),
            orders_per_s=orders_per_s,
            acks_per_s=acks_per_s,
            fills_per_s=fills_per_s,
            cut_slow=clients.cut_slow,
            refused=clients.refused,
            waiting=desk.waiting,
            symbols=tuple((each.symbol, PHASES.get(each.phase, "")) for each in statistics),
            accounts=tuple(
                account_view(desk, name, floor.accounts.numbers[name], units)
                for name in self.admin.shown_accounts()
            ),
            keys=tuple(key_view(each, floor.accounts) for each in self.admin.shown_keys()),
            faults=self.faults.views(time.monotonic_ns(), now_ns),
            faults_done=tuple(sorted(self.faults.done.items())),
        )

    async def stop(self) -> None:
        """Disconnect everyone and give the ports back."""
        await self.sockets.stop()
        await self.server.stop()

    def _note_call(self, budget: Budget, call: RestCall, answer: RestAnswer) -> None:
        trading = budget.trading
        if trading is None:
            return
        caller = trading.caller(call)
        name = (self.floor.accounts.name(int(caller)) if caller.isdecimal() else "") or caller
        found = REFUSAL.match(answer.body[:64])
        self.floor.clients.note_call(
            budget.name.partition("_")[0],
            name,
            call.address,
            call.now_ns,
            trading.orders_in(call),
            found[1].decode() if found is not None else "",
        )

    def _note_refused(self, order: Order) -> None:
        """Nor does it count those it refused."""
        if order.dialect == "binance":
            self.budgets["binance_spot"].enforcement.give_back(self.floor.wall(), str(order.account))

    def _arm(self) -> None:
        """Ask the faults from here on: asking costs a tenth of an order's time, so without any nobody does."""
        floor = self.floor
        floor.desk.reject, floor.desk.postpone = self.order_faults.reject, self._postpone
        floor.clients.faults, floor.feed.faults = self._stalls, self.faults

    def _disarm(self) -> None:
        floor = self.floor
        floor.desk.reject = floor.desk.postpone = floor.clients.faults = floor.feed.faults = None

    def _stalls(self, client: Client) -> bool:
        """Whether a stall holds a message back from this client; one that a disconnect meets is ended."""
        if not self.faults.any:
            return False
        place = (client.budget, "", (), client.id)
        now_ns = time.monotonic_ns()
        if self.faults.take(now_ns, STALL, *place, account=client.label) is not None:
            return True
        if self.faults.take(now_ns, DISCONNECT, *place, account=client.label) is not None:
            client.abort()
        return False

    def _release(self) -> None:
        """Send clients what was held back by stalls that are over."""
        stalls = self.faults.active(time.monotonic_ns(), "stall").values()
        for client in list(self.floor.clients.stalled):
            place = (client.budget, "", (), client.id, client.label)
            if not any(each.matches(*place) for each in stalls):
                client.release()

    def _admit(self, budget: str, address: str) -> Refusal | None:
        """Why a handshake at an order socket is refused: as at any other of its venue."""
        found, now_ns = self.budgets.get(budget), self.floor.wall()
        if found is not None:
            verdict = found.enforcement.connect(now_ns, address)
            if not verdict.served:
                kind, body = found.rest.refused(verdict, now_ns)
                return Refusal(verdict.status, body, kind, verdict.headers)
        if self.faults.any and self.faults.take(time.monotonic_ns(), REFUSE, budget) is not None:
            return Refusal(503, b"refused by a fault on command", broken=True)
        return None

    def _end_sessions(self, key: Key) -> None:
        """A key was revoked: what was begun with it ends before anything else comes."""
        self.floor.clients.revoked(key.api_key, self.floor.wall())

    def _note_first_fill(self, order: Order, maker: bool) -> None:
        """Binance counts orders that have not traded: give this one back."""
        if order.dialect == "binance":
            enforcement = self.budgets["binance_spot"].enforcement
            enforcement.filled(self.floor.wall(), str(order.account), maker=maker)

    def _postpone(self, answer: Answer, outcome: Outcome) -> bool:
        """Whether a fault makes this answer wait; then it comes by itself."""
        if outcome.order is None or not self.faults.any:
            return False
        delay_s = self.order_faults.delay_s(outcome.order)
        if not delay_s:
            return False
        asyncio.get_running_loop().call_later(delay_s, answer, outcome)
        return True

    def _dialect(self, path: str) -> str:
        """Whose order socket a path is; "" for none."""
        return ORDER_PATHS.get(path, "")

    def _session(self, path: str, query: str, link: Link, now_ns: int) -> Session | None:
        if path == "/native":
            return self.floor.native.session(path, link, now_ns)
        head, _, rest = path[1:].partition("/")
        budget = self.budgets.get(head)
        if budget is None or budget.trading is None:
            return None
        return budget.trading.session(f"/{rest}", query, link, now_ns)


ORDER_PATHS: Final = {
    "/native": NATIVE,
    "/binance_spot/ws-api/v3": "binance",
    "/bybit/v5/private": "bybit",
    "/bybit/v5/trade": "bybit",
}
