"""A client of the built-in exchange's native protocol: requests as awaitables, pushes to functions, reconnection.

    async with NativeClient("ws://127.0.0.1:8051/native", api_key, secret) as client:
        answer = await client.place("BTC-USDT", "buy", "0.001", price="104000.0")
        if not answer.ok:
            print(answer.code, answer.error)

A refusal is an answer like any other: `ok` False, with `code` and `error`. What waits is bounded; a lost connection is
opened again with growing, random pauses, logged in, and subscribed as before.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from random import Random
from types import TracebackType
from typing import Any, Final

import msgspec
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import InvalidHandshake, InvalidURI, WebSocketException

from engine.bots import wire
from engine.bots.errors import ConnectionLost, LoginRefused, NoAnswer, NoExchange, TooMany, reason
from engine.bots.wire import Message, Symbol

MAX_WAITING: Final = 1_000
ANSWER_TIMEOUT_S: Final = 5.0
OPEN_TIMEOUT_S: Final = 5.0
BACKOFF_S: Final = 0.2  # the first pause is drawn from 0 to this, each later one from twice as much
BACKOFF_MAX_S: Final = 10.0
TRIES: Final = 12  # to connect again, in a row
MAX_FRAME_BYTES: Final = 8 << 20

Push = Callable[[Message], None]
Reconnected = Callable[[], Awaitable[None]]


def pause_s(tries: int, random: Random) -> float:
    """How long to wait before the next try to connect, after this many that failed: full jitter."""
    return random.uniform(0, min(BACKOFF_MAX_S, BACKOFF_S * 2**tries))


class NativeClient:
    """One connection with one key (or none: market data alone). Everything happens in the loop it is entered in."""

    def __init__(
        self,
        url: str,
        api_key: str = "",
        secret: str = "",
        *,
        random: Random | None = None,
        wall_ns: Callable[[], int] = time.time_ns,
        answer_timeout_s: float = ANSWER_TIMEOUT_S,
        max_waiting: int = MAX_WAITING,
    ) -> None:
        """`url` is that of the socket, as "ws://127.0.0.1:8051/native"."""
        self.url: Final = url
        self.account = ""
        self.symbols: dict[str, Symbol] = {}
        self.order_port = 0  # of sockets that take orders faster; 0: there are none
        self.reconnects = self.pushes = self.late = 0
        self.on_reconnect: Reconnected | None = None  # awaited after each reconnection, subscriptions done
        self._api_key, self._secret = api_key, secret
        self._random = random or Random()  # noqa: S311 - jitter, not a secret
        self._wall_ns = wall_ns
        self._timeout_s, self._max_waiting = answer_timeout_s, max_waiting
        self._connection: ClientConnection | None = None
        self._waiting: dict[int, asyncio.Future[Message]] = {}
        self._next_id = 1
        self._followed: dict[str, Push] = {}
        self._task: asyncio.Task[None] | None = None

    # --- life ---------------------------------------------------------------------------------------------

    async def __aenter__(self) -> NativeClient:
        """Connect and log in. NoExchange, LoginRefused."""
        ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._task = asyncio.ensure_future(self._run(ready))
        try:
            await ready
        except BaseException:
            await self.close()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Disconnect. Orders stay open."""
        await self.close()

    async def close(self) -> None:
        """Disconnect; requests that wait fail with ConnectionLost."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    @property
    def connected(self) -> bool:
        """Whether requests can be sent now."""
        return self._connection is not None

    @property
    def ended(self) -> BaseException | None:
        """Why it has given up for good; None while it has not."""
        task = self._task
        return task.exception() if task is not None and task.done() and not task.cancelled() else None

    # --- requests -----------------------------------------------------------------------------------------

    async def request(self, op: str, **fields: Any) -> Message:
        """The answer to any request of the protocol, a refusal included. ConnectionLost, NoAnswer, TooMany."""
        if self._connection is None:
            raise ConnectionLost(f"{self.url} is not connected")
        return await self._ask(self._connection, op, fields)

    async def place(
        self,
        symbol: str,
        side: str,
        size: str,
        *,
        price: str = "",
        type: str = "",
        **more: Any,
    ) -> Message:
        """Place an order: limit when there is a price, else market, unless `type` says otherwise.

        Price and size are decimal text. `more`: tif, post_only, client_id, trigger, display, self_trade, ...
        """
        fields: dict[str, Any] = {"symbol": symbol, "side": side, "size": size, **more}
        if price:
            fields["price"] = price
        fields["type"] = type or ("limit" if price else "market")
        return await self.request("place", **fields)

    async def cancel(self, order_id: int = 0, *, client_id: str = "") -> Message:
        """Cancel an open order, by either id."""
        return await self.request("cancel", **_either(order_id, client_id))

    async def amend(self, order_id: int, *, price: str, size: str) -> Message:
        """Change price and what stays open."""
        return await self.request("amend", order_id=order_id, price=price, size=size)

    async def cancel_all(self, symbol: str) -> Message:
        """Cancel all open orders of the account in a symbol; `count` says how many there were."""
        return await self.request("cancel_all", symbol=symbol)

    async def subscribe(self, channels: Sequence[str], on_push: Push) -> Message:
        """Have `on_push` called with each message of these channels, now and after a reconnection."""
        self._followed.update(dict.fromkeys(channels, on_push))  # pushes may come with the answer
        answer = await self.request("subscribe", channels=list(channels))
        if not answer.ok:
            for channel in channels:
                self._followed.pop(channel, None)
        return answer

    async def unsubscribe(self, channels: Sequence[str]) -> Message:
        """End these channels."""
        for channel in channels:
            self._followed.pop(channel, None)
        return await self.request("unsubscribe", channels=list(channels))

    # --- inside -------------------------------------------------------------------------------------------

    async def _ask(self, connection: ClientConnection, op: str, fields: dict[str, Any]) -> Message:
        if len(self._waiting) >= self._max_waiting:
            raise TooMany(f"{self._max_waiting:,} requests wait for an answer already")
        number, self._next_id = self._next_id, self._next_id + 1
        future: asyncio.Future[Message] = asyncio.get_running_loop().create_future()
        self._waiting[number] = future
        try:
            async with asyncio.timeout(self._timeout_s):
                await connection.send(msgspec.json.encode({"op": op, "id": number, **fields}), text=True)
                return await future
        except TimeoutError:
            raise NoAnswer(f"{self.url}: no answer to {op!r} within {self._timeout_s:g} s") from None
        except WebSocketException as error:
            raise ConnectionLost(f"{self.url}: {error}") from None
        finally:
            self._waiting.pop(number, None)

    async def _run(self, ready: asyncio.Future[None]) -> None:
        """Connect, and connect again, until it is canceled or gives up."""
        tries = 0
        while True:
            try:
                async with connect(
                    self.url,
                    compression=None,
                    open_timeout=OPEN_TIMEOUT_S,
                    close_timeout=1,
                    max_size=MAX_FRAME_BYTES,
                    proxy=None,
                ) as connection:
                    await self._serve(connection, ready)
            except LoginRefused as error:
                if not ready.done():
                    ready.set_exception(error)
                    return
                raise
            except (OSError, TimeoutError, WebSocketException, ConnectionLost, NoAnswer, ValueError) as error:
                if not ready.done():
                    ready.set_exception(NoExchange(self.url, _reason(error)))
                    return
                if self._connection is not None:
                    tries = 0  # it was up
                if tries >= TRIES:
                    raise NoExchange(self.url, _reason(error)) from None
            finally:
                self._connection = None
                self._fail_waiting()
            self.reconnects += 1
            await asyncio.sleep(pause_s(tries, self._random))
            tries += 1

    async def _serve(self, connection: ClientConnection, ready: asyncio.Future[None]) -> None:
        """Greet and log in, then take what comes until the connection ends, which it always says by raising."""
        greeted: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        receiving = asyncio.ensure_future(self._receive(connection, greeted))
        entry = asyncio.ensure_future(self._enter(connection, greeted, again=ready.done()))
        try:
            await asyncio.wait((receiving, entry), return_when=asyncio.FIRST_COMPLETED)
            if receiving.done():
                receiving.result()
            entry.result()
            if not ready.done():
                ready.set_result(None)
            await receiving
        finally:
            for task in (receiving, entry):
                task.cancel()
            await asyncio.gather(receiving, entry, return_exceptions=True)

    async def _receive(self, connection: ClientConnection, greeted: asyncio.Future[None]) -> None:
        async for frame in connection:
            for message in wire.read(frame):
                self._take(message, greeted)
        raise ConnectionLost("the exchange closed the connection")

    async def _enter(
        self, connection: ClientConnection, greeted: asyncio.Future[None], *, again: bool
    ) -> None:
        async with asyncio.timeout(OPEN_TIMEOUT_S):
            await greeted
        if self._api_key:
            ts_ms = self._wall_ns() // 1_000_000
            sign = wire.login_sign(self._secret, ts_ms, self._api_key)
            answer = await self._ask(
                connection, "login", {"key": self._api_key, "ts_ms": ts_ms, "sign": sign}
            )
            if not answer.ok:
                raise LoginRefused(self.url, answer.code, answer.error)
            self.account = answer.account
        if self._followed:
            await self._ask(connection, "subscribe", {"channels": list(self._followed)})
        self._connection = connection
        if again and self.on_reconnect is not None:
            await self.on_reconnect()

    def _take(self, message: Message, greeted: asyncio.Future[None]) -> None:
        if message.ch:
            self.pushes += 1
            on_push = self._followed.get(message.ch)
            if on_push is not None:
                on_push(message)
        elif message.op == "hello":
            self._greet(message)
            if not greeted.done():
                greeted.set_result(None)
        else:
            future = self._waiting.get(message.id) if isinstance(message.id, int) else None
            if future is not None and not future.done():
                future.set_result(message)
            else:
                self.late += 1

    def _greet(self, hello: Message) -> None:
        if hello.version != wire.VERSION:
            raise ValueError(f"it speaks version {hello.version} of the native protocol, not {wire.VERSION}")
        self.symbols = {each.symbol: Symbol.of(each) for each in hello.symbols}
        self.order_port = hello.order_port

    def _fail_waiting(self) -> None:
        for future in self._waiting.values():
            if not future.done():
                future.set_exception(ConnectionLost(f"{self.url}: the connection ended"))


def _either(order_id: int, client_id: str) -> dict[str, Any]:
    return {"order_id": order_id} if order_id else {"client_id": client_id}


def _reason(error: BaseException) -> str:
    if isinstance(error, (InvalidHandshake, InvalidURI)):
        return f"it answers, but not as an exchange: {error}"
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, OSError):
        return reason(error)
    return str(error) or type(error).__name__
