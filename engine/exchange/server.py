"""Venues at one local address: Binance's and Bybit's REST and WebSocket, with limits and faults.

    async with LocalVenue(seed=7) as venue:
        ...  # venue.url + "/binance_spot/api/v3/depth?symbol=BTCUSDT"

Each budget has its own path prefix (`/binance_spot`, `/binance_usdm`, `/binance_coinm`, `/bybit`); below it are
exactly the venue's own paths. Beside them: `GET /statistics`; `GET`, `POST` and `DELETE /faults`; `POST /neighbour`.
`LocalVenue` serves the public side of random markets; the built-in exchange (`house.py`) is served by the same class,
with accounts, order sockets and calls of its own.
"""

from __future__ import annotations

import asyncio
import functools
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Annotated, Any, Final, Protocol, Self
from urllib.parse import unquote_plus

import msgspec
from aiohttp import web

from engine import guard
from engine.exchange.dialects.binance import BinanceRest
from engine.exchange.dialects.binance_streams import BinanceStreams
from engine.exchange.dialects.bybit import BybitRest
from engine.exchange.dialects.bybit_streams import BybitStreams
from engine.exchange.dialects.refusal import VenueRefusal
from engine.exchange.enforcement import Enforcement
from engine.exchange.entry import RestAnswer, RestCall, TradingDialect
from engine.exchange.faults import NATIVE, BadFault, Fault, Faults, read
from engine.exchange.hub import Hub
from engine.exchange.limit_windows import Rules, Verdict
from engine.exchange.listings import MARKETS, listings
from engine.exchange.market import Market
from engine.exchange.order_sockets import OrderSockets
from engine.exchange.random_market import RandomMarket
from engine.exchange.rest_faults import RestFaults
from engine.exchange.served import ServedMarket
from engine.exchange.sockets import Sockets
from engine.exchange.venue_rules import RULES

HOST: Final = "127.0.0.1"
TURN_S: Final = 0.01
STOP_WITHIN_S: Final = 1.0
IDLE_S: Final = (
    60.0  # a connection that asks nothing for so long is closed, or one that never ends its request
)
BODY_WITHIN_S: Final = 5.0
LINGER_S: Final = 1.0  # a body that nobody wants is read so long before its connection is closed
MAX_BODY: Final = 65_536
MAX_ARGUMENTS: Final = 64
BUDGETS: Final[Mapping[str, tuple[str, ...]]] = {
    "binance_spot": ("binance_spot",),
    "binance_usdm": ("binance_usdm",),
    "binance_coinm": ("binance_coinm",),
    "bybit": ("bybit_spot", "bybit_linear", "bybit_inverse"),
}
MakeMarket = Callable[[str], Market]
NoteCall = Callable[["Budget", RestCall, RestAnswer], None]
Control = Callable[[web.BaseRequest, str, str], Awaitable[web.Response | None]]  # request, path, query


class Neighbour(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """The body of `POST /neighbour`: weight that someone behind the same address takes."""

    budget: str
    weight: Annotated[int, msgspec.Meta(ge=1, le=1_000_000)]
    address: str = ""  # empty: the caller's own


# A page of any site could order faults otherwise. The same few hosts come with every call.
_foreign: Final = functools.lru_cache(maxsize=64)(guard.refusal)


class RestDialect(Protocol):
    """One budget's REST protocol."""

    def answer(self, method: str, path: str, arguments: Mapping[str, str], now_ns: int) -> bytes:
        """The body of a good answer. VenueRefusal otherwise."""
        ...

    def is_snapshot(self, path: str) -> bool:
        """Whether the call asks for a book."""
        ...

    def refusal(self, status: int, code: int, message: str, now_ns: int) -> tuple[str, bytes]:
        """(content type, body) of an error."""
        ...

    def refused(self, verdict: Verdict, now_ns: int) -> tuple[str, bytes]:
        """(content type, body) of a refusal by limits."""
        ...


class Budget:
    """One budget: its markets, protocols and limits; `trading` is its private side, where it has one."""

    def __init__(self, name: str, rules: Rules, markets: Mapping[str, ServedMarket], faults: Faults) -> None:
        self.name: Final = name
        self.enforcement: Final = Enforcement(rules)
        self.markets: Final = dict(markets)
        self.trading: TradingDialect | None = None
        self.rest: RestDialect
        if name == "bybit":
            streams = BybitStreams(self.markets)
            self.hub = Hub(name, self.markets, streams, faults)
            self.rest = BybitRest(self.markets, streams.book_number)
        else:
            market = next(iter(self.markets.values()))
            self.hub = Hub(name, self.markets, BinanceStreams(market), faults)
            self.rest = BinanceRest(market, self.enforcement)


class VenueServer:
    """Serves budgets until stopped. One asyncio loop, on 127.0.0.1 unless told otherwise.

    `order_sockets` take the WebSocket paths that are theirs; `control` is asked first about calls outside the budgets;
    `note_call` hears of every private call that was answered.
    """

    def __init__(
        self,
        budgets: Mapping[str, Budget],
        faults: Faults,
        *,
        seed: int = 1,
        turn_s: float = TURN_S,
        wall: Callable[[], int] = time.time_ns,
        order_sockets: OrderSockets | None = None,
        control: Control | None = None,
        note_call: NoteCall | None = None,
    ) -> None:
        self.faults: Final = faults
        self.budgets: Final = budgets
        self.url = ""
        self._wall = wall
        self._turn_s = turn_s
        self._order_sockets = order_sockets
        self._control_first = control
        self._note_call = note_call
        self.sockets: Final = Sockets(
            {name: each.hub for name, each in self.budgets.items()}, self.faults, wall
        )
        self._rest_faults = RestFaults(self.faults, seed)
        self._runner: web.ServerRunner | None = None
        self._turns: asyncio.Task[None] | None = None
        self._late_turns = 0

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def start(self, port: int = 0, host: str = HOST) -> str:
        """Begin to serve; the base address, without a slash at the end. OSError when the port is taken, ValueError
        when the host is not this machine's own: nobody is asked who they are.
        """
        if host not in guard.LOOPBACK:
            raise ValueError(f"{host} is not a loopback address")
        server = web.Server(self._handle, access_log=None, keepalive_timeout=IDLE_S, lingering_time=LINGER_S)
        runner = web.ServerRunner(server, shutdown_timeout=STOP_WITHIN_S)
        await runner.setup()
        site = web.TCPSite(runner, host, port, backlog=1_024)
        try:
            await site.start()
        except OSError:
            await runner.cleanup()
            raise
        self._runner = runner
        bound = runner.addresses[0]
        self.url = f"http://{bound[0]}:{bound[1]}"
        self._turns = asyncio.create_task(self._turn_forever(), name="local venue")
        return self.url

    async def stop(self) -> None:
        """Close all connections and the address."""
        if self._turns is not None:
            self._turns.cancel()
            await asyncio.gather(self._turns, return_exceptions=True)
            self._turns = None
        await self.sockets.stop()
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    def inject(self, fault: Fault) -> int:
        """Order a fault; its number, or for one that happens at once how many it hit. BadFault when it cannot be."""
        now_ns = time.monotonic_ns()
        self._check_names(fault)
        hit = self.sockets.carry_out(fault)
        if hit is None:
            return self.faults.add(now_ns, fault)
        if self._order_sockets is not None:
            more = self._order_sockets.carry_out(fault, hit)
            self.faults.note(fault, more)
            hit += more
        return hit

    def statistics(self) -> dict[str, Any]:
        """Everything counted so far, as `GET /statistics` answers it."""
        return {
            "url": self.url,
            "late_turns": self._late_turns,
            "faults_done": dict(self.faults.done),
            "budgets": {
                name: {
                    **each.enforcement.statistics(),
                    "streams": each.hub.topics,
                    "sockets": self.sockets.statistics(name),
                }
                for name, each in self.budgets.items()
            },
        }

    def consume(self, budget: str, address: str, weight: int) -> bool:
        """A neighbour behind `address` takes weight of a budget; whether the venue served it."""
        return self.budgets[budget].enforcement.consume(self._wall(), address, weight)

    async def _turn_forever(self) -> None:
        loop = asyncio.get_running_loop()
        due = loop.time()
        while True:
            self.turn()
            due += self._turn_s
            late = loop.time() - due
            if late > self._turn_s:
                self._late_turns += 1
                due = loop.time()
            await asyncio.sleep(max(0.0, due - loop.time()))

    def turn(self) -> None:
        """Turn all markets to now, and send what they bring."""
        now_ns, monotonic_ns = self._wall(), time.monotonic_ns()
        for budget in self.budgets.values():
            budget.hub.turn(now_ns, monotonic_ns)
        self.sockets.flush(monotonic_ns)

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        foreign = _foreign(request.headers.get("Host"), request.headers.get("Origin"))
        if foreign is not None:
            return web.Response(status=403, text=foreign)
        path, _, query = request.raw_path.partition("?")
        head, _, rest = path[1:].partition("/")
        budget = self.budgets.get(head)
        upgrades = request.headers.get("Upgrade", "").lower() == "websocket"
        orders = self._order_sockets
        if upgrades and orders is not None and orders.takes(path):  # they judge handshakes themselves
            return await orders.serve(request, path, query)
        if budget is None:
            return await self._control(request, path, query)
        rest = f"/{rest}"
        now_ns = self._wall()
        address = request.remote or ""
        if upgrades:
            verdict = budget.enforcement.connect(now_ns, address)
            if not verdict.served:
                return self.refused(budget, verdict, now_ns)
            return await self.sockets.serve(budget.hub, budget.enforcement, request, rest, query)
        arguments = arguments_of(query)
        if self.faults.any:
            answer = await self._rest_faults.around(self, budget, request, rest, arguments, address)
            if answer is not None:
                return answer
            now_ns = self._wall()
        if budget.trading is not None and budget.trading.takes(request.method, rest):
            return await self._trade(budget, budget.trading, request, rest, query, arguments)
        return self.answer(budget, request.method, rest, arguments, address, now_ns)

    async def _trade(
        self,
        budget: Budget,
        trading: TradingDialect,
        request: web.BaseRequest,
        path: str,
        query: str,
        arguments: Mapping[str, str],
    ) -> web.Response:
        """A private call, judged and answered."""
        body = await body_of(request, MAX_BODY)
        if not isinstance(body, bytes):
            return body
        now_ns, address = self._wall(), request.remote or ""
        call = RestCall(request.method, path, query, body, request.headers, address, now_ns)
        verdict = budget.enforcement.request(
            now_ns,
            address,
            f"{request.method} {path}",
            arguments,
        )
        if not verdict.served:
            return self.refused(budget, verdict, now_ns)
        answer = await trading.answer(call)
        if self._note_call is not None:
            self._note_call(budget, call, answer)
        return web.Response(
            status=answer.status,
            body=answer.body,
            content_type=answer.content_type,
            headers={**verdict.headers, **answer.headers},
        )

    def answer(
        self,
        budget: Budget,
        method: str,
        path: str,
        arguments: Mapping[str, str],
        address: str,
        now_ns: int,
    ) -> web.Response:
        """One call, judged and answered."""
        verdict = budget.enforcement.request(now_ns, address, f"{method} {path}", arguments)
        if not verdict.served:
            return self.refused(budget, verdict, now_ns)
        try:
            body = budget.rest.answer(method, path, arguments, now_ns)
        except VenueRefusal as refusal:
            kind, body = budget.rest.refusal(refusal.status, refusal.code, refusal.message, now_ns)
            return web.Response(status=refusal.status, body=body, content_type=kind, headers=verdict.headers)
        return web.Response(body=body, content_type="application/json", headers=verdict.headers)

    def wall_ns(self) -> int:
        """The venue's clock."""
        return self._wall()

    def refused(self, budget: Budget, verdict: Verdict, now_ns: int) -> web.Response:
        """The answer to a call that is over a limit."""
        kind, body = budget.rest.refused(verdict, now_ns)
        return web.Response(status=verdict.status, body=body, content_type=kind, headers=verdict.headers)

    async def _control(self, request: web.BaseRequest, path: str, query: str) -> web.Response:
        """`/statistics` and `/faults`: they count against no limit."""
        if self._control_first is not None:
            answer = await self._control_first(request, path, query)
            if answer is not None:
                return answer
        call = f"{request.method} {path}"
        if call == "GET /statistics":
            return json_answer(self.statistics())
        if call == "GET /faults":
            return json_answer({"active": self.faults.rows(time.monotonic_ns()), "done": self.faults.done})
        if call == "DELETE /faults":
            number = arguments_of(query).get("id", "0")
            if not (number.isascii() and number.isdigit() and len(number) < 10):
                return json_answer({"error": f"fault: id: {number[:32]!r} is not a number"}, 400)
            return json_answer({"forgotten": self.faults.clear(int(number))})
        if call in ("POST /faults", "POST /neighbour"):
            body = await body_of(request, MAX_BODY)
            if not isinstance(body, bytes):
                return body
            try:
                if path == "/faults":
                    return json_answer({"id": self.inject(read(body))})
                return json_answer({"served": self._neighbour(body, request.remote or "")})
            except (BadFault, msgspec.DecodeError) as error:
                return json_answer({"error": str(error)}, 400)
        return json_answer({"error": f"{call[:100]} does not exist", "budgets": list(self.budgets)}, 404)

    def _neighbour(self, body: bytes, address: str) -> bool:
        taken = msgspec.json.decode(body, type=Neighbour)
        if taken.budget not in self.budgets:
            raise BadFault("budget", f"{taken.budget!r} does not exist; there are {', '.join(self.budgets)}")
        return self.consume(taken.budget, taken.address or address, taken.weight)

    def _check_names(self, fault: Fault) -> None:
        budgets = [*self.budgets, *([NATIVE] if self._order_sockets is not None else [])]
        if fault.budget and fault.budget not in budgets:
            raise BadFault("budget", f"{fault.budget!r} does not exist; there are {', '.join(budgets)}")
        if fault.market and fault.market not in MARKETS:
            raise BadFault("market", f"{fault.market!r} does not exist; there are {', '.join(MARKETS)}")
        known = any(
            fault.symbol in market.listings or fault.symbol in market.by_symbol
            for budget in self.budgets.values()
            for market in budget.markets.values()
        )
        if fault.symbol and not known:
            raise BadFault("symbol", f"{fault.symbol!r} is listed nowhere")


def arguments_of(query: str) -> dict[str, str]:
    """A query's arguments; of a name given twice the first counts."""
    arguments: dict[str, str] = {}
    if not query:
        return arguments
    for part in query.split("&", MAX_ARGUMENTS)[:MAX_ARGUMENTS]:
        name, _, value = part.partition("=")
        if "%" in value or "+" in value:
            value = unquote_plus(value)
        arguments.setdefault(name, value)
    return arguments


class LocalVenue(VenueServer):
    """The public side of random markets, all four budgets.

    `symbols` is how many each market lists (1 to 200), `rate` how often each that is asked for moves in a second.
    `rules` replaces the limits of budgets, e.g. `{"binance_spot": BINANCE_SPOT.with_window(...)}`; `make` the
    random markets, given a market key.
    """

    def __init__(
        self,
        *,
        seed: int = 1,
        rate: float = 10.0,
        symbols: int = 100,
        levels: int = 1_000,
        rules: Mapping[str, Rules] | None = None,
        make: MakeMarket | None = None,
        turn_s: float = TURN_S,
        wall: Callable[[], int] = time.time_ns,
    ) -> None:
        def random_market(key: str) -> Market:
            return RandomMarket(key, listings(key, symbols), seed, rate, levels)

        faults = Faults(seed)
        limits = {**RULES, **(rules or {})}
        made = make or random_market
        budgets = {
            name: Budget(name, limits[name], {key: ServedMarket(made(key), seed) for key in markets}, faults)
            for name, markets in BUDGETS.items()
        }
        super().__init__(budgets, faults, seed=seed, turn_s=turn_s, wall=wall)


async def body_of(request: web.BaseRequest, most: int) -> bytes | web.Response:
    """A request's body, or the answer to one that is longer than `most` bytes, or does not come in time."""
    if (request.content_length or 0) > most:
        return _unread({"error": f"body: longer than {most:,} bytes"}, 413)
    parts, size = [], 0
    try:
        async with asyncio.timeout(BODY_WITHIN_S):
            async for part in request.content.iter_any():
                parts.append(part)
                size += len(part)
                if size > most:  # sent in chunks, it need not say how long it is
                    return _unread({"error": f"body: longer than {most:,} bytes"}, 413)
    except TimeoutError:
        return _unread({"error": "body: it did not come in time"}, 408)
    return b"".join(parts)


def _unread(value: object, status: int) -> web.Response:
    """An answer before the body is read: the connection ends with it, what still comes is no request."""
    answer = json_answer(value, status)
    answer.force_close()
    return answer


def json_answer(value: object, status: int = 200) -> web.Response:
    """A value as a JSON answer."""
    return web.Response(status=status, body=msgspec.json.encode(value), content_type="application/json")
