"""The built-in exchange as it is served: all dialects over one floor, at one port, and order sockets at another.

Paths: `/binance_spot/..` and `/bybit/..` as the venues', `/native`, `/admin/..` (`admin.py`), `/faults`, `/statistics`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from engine.exchange.admin import Admin
from engine.exchange.dialects.binance_trading import BinanceTrading
from engine.exchange.dialects.bybit_trading import BybitTrading
from engine.exchange.entry import Link, Session
from engine.exchange.faults import Faults
from engine.exchange.floor import Floor
from engine.exchange.keystore import KeyStore
from engine.exchange.limit_windows import Rules
from engine.exchange.order_sockets import OrderSockets
from engine.exchange.served import ServedMarket
from engine.exchange.server import HOST, Budget, VenueServer
from engine.exchange.venue_rules import RULES

BUDGET_MARKETS: Final = {"binance_spot": "binance_spot", "bybit": "bybit_spot"}
NATIVE: Final = "native"
CARE_EVERY_NS: Final = 100_000_000


class House:
    """Serves a floor until stopped. One loop, the engine's."""

    def __init__(
        self, floor: Floor, store: KeyStore | None = None, rules: Mapping[str, Rules] | None = None
    ) -> None:
        """`rules` are the limits of the budgets, by name; the venues' own otherwise."""
        self.floor: Final = floor
        self.faults: Final = Faults()
        self.budgets: Final = {
            name: Budget(
                name,
                (rules or RULES)[name],
                {key: ServedMarket(floor.markets[key], floor.seed)},
                self.faults,
            )
            for name, key in BUDGET_MARKETS.items()
        }
        binance, bybit = self.budgets["binance_spot"], self.budgets["bybit"]
        binance.trading = BinanceTrading(
            floor.desk, floor.accounts, floor.guard, binance.markets["binance_spot"], binance.enforcement
        )
        bybit.trading = BybitTrading(
            floor.desk, floor.accounts, floor.guard, bybit.markets, bybit.enforcement
        )
        self.sockets: Final = OrderSockets(
            floor.clients, self._session, self._dialect, floor.stages, floor.wall
        )
        self.admin: Final = Admin(floor, store)
        self.server: Final = VenueServer(
            self.budgets,
            self.faults,
            seed=floor.seed,
            wall=floor.wall,
            order_sockets=self.sockets,
            control=self.admin.answer,
        )
        self.order_url = ""
        self._cared_ns = 0

    @property
    def url(self) -> str:
        """The base address, once it serves."""
        return self.server.url

    async def start(self, port: int = 0, order_port: int = 0, host: str = HOST) -> str:
        """Begin to serve at both ports (0: any free one); the base address. OSError when one is taken."""
        url = await self.server.start(port, host)
        try:
            bound = await self.sockets.listen(host, order_port)
        except OSError:
            await self.server.stop()
            raise
        self.order_url = f"ws://{'[::1]' if host == '::1' else host}:{bound}"
        return url

    def care(self, now_ns: int) -> None:
        """What is to be done now and then: keep-alive, logins, ends of halts. To be called after every turn."""
        if abs(now_ns - self._cared_ns) >= CARE_EVERY_NS:
            self._cared_ns = now_ns
            self.floor.clients.turn(now_ns)

    async def stop(self) -> None:
        """Disconnect everyone and give the ports back."""
        await self.sockets.stop()
        await self.server.stop()

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
