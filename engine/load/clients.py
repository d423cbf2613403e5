"""Many lean clients in one loop, and how they are driven: on a schedule, each by its answers, placing and canceling.

A client sends one request a frame and reads of an answer only its number and whether it was done. What is waited for
is kept by client, so an answer that comes to another than its asker is noticed. Times are of the monotonic clock.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Final, NamedTuple

from picows import WSError, WSFrame, WSListener, WSMsgType, WSTransport, ws_connect

from engine.bots import errors
from engine.load import frames
from engine.load.frames import FIRST_ID, NEAR, Orders
from engine.load.latencies import Latencies

TEXT: Final = WSMsgType.TEXT
CONNECTING: Final = 50  # at a time
CONNECT_TRIES: Final = 5
CONNECT_TIMEOUT_S: Final = 10.0
BACKOFF_S: Final = 0.1  # doubled at each try, and drawn between 0 and that
BACKOFF_MAX_S: Final = 2.0
TURN_S: Final = 0.001  # uvloop's timers are no finer
BURST: Final = 64  # late orders sent before answers are read again
HOPELESS_S: Final = 3.0  # of orders unanswered: no use in going on
SAMPLE: Final = 10  # clients that leave an order in the book at the end of a place-and-cancel run
GRACE_S: Final = 3.0

now_ns = time.perf_counter_ns


class Account(NamedTuple):
    """An API key and its secret."""

    api_key: str
    secret: str


class Second(NamedTuple):
    """What one second brought, for a line of progress."""

    seconds: float
    sent: int
    acked: int
    refused: int
    waiting: int
    latencies: Latencies


@dataclass(slots=True)
class Result:
    """What a run found. Sent = acked + refused + lost."""

    seconds: float = 0.0
    sent: int = 0
    acked: int = 0
    refused: dict[int, int] = field(default_factory=dict)  # by code
    sentences: dict[int, str] = field(default_factory=dict)  # by code, as the exchange says them
    in_time: int = 0  # answers within `seconds`
    lost: int = 0  # sent and not answered, in time or because the connection ended
    unsent: int = 0  # due while no client was connected, or given up
    strange: int = 0  # answers to what that client did not ask
    reconnects: int = 0
    hopeless: bool = False  # broken off: answers fell behind by seconds
    cpu: float = 0.0  # of this process: its time over the run's
    latencies: Latencies = field(default_factory=Latencies)
    resting: list[tuple[int, bytes]] = field(default_factory=list)  # client, order id: left in the book

    @property
    def answered(self) -> int:
        """Orders with an answer, whatever it was."""
        return self.acked + sum(self.refused.values())

    @property
    def rate(self) -> float:
        """Answers a second."""
        return self.in_time / self.seconds if self.seconds else 0.0

    @property
    def sound(self) -> bool:
        """Whether every order was sent and answered, to its own client."""
        return not (self.lost or self.unsent or self.strange or self.hopeless)


class CannotConnect(Exception):
    """A client cannot connect or log in; the reason in words."""


class _Client(WSListener):
    """One connection. What it does with an answer is the run's: `after`."""

    def __init__(self, load: Load, at: int) -> None:
        self.load, self.at = load, at
        self.waiting: dict[int, int] = {}
        self.turn = at % NEAR
        self.transport: WSTransport | None = None  # while it may send
        self.answer: asyncio.Future[bytes] | None = None  # of a login
        self.resting = False
        self.placed = b""
        self.last = b""  # its newest answer

    def send(self, message: frames.Message, begun_ns: int) -> None:
        """One request, counted as begun at that time."""
        load = self.load
        number = load.number
        load.number = number + 1
        load.result.sent += 1
        self.waiting[number] = begun_ns
        transport = self.transport
        assert transport is not None
        transport.send(TEXT, b"%b%d%b" % (message.head, number, message.tail))

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:  # noqa: ARG002
        """An answer; anything else is passed over."""
        answer = frame.get_payload_as_bytes()
        try:
            at = answer.find(b'"id":')
            number = int(answer[at + 5 : at + 14])
            begun_ns = self.waiting.pop(number)
        except (ValueError, KeyError):
            self._other(answer)
            return
        load = self.load
        load.waits.append(now_ns() - begun_ns)
        self.last = answer
        if b'"ok":true' in answer:
            load.result.acked += 1
        else:
            load.refuse(answer)
        load.after(self, answer)

    def on_ws_disconnected(self, transport: WSTransport) -> None:  # noqa: ARG002
        """Nothing that waits will be answered."""
        if self.transport is not None:
            self.transport = None
            self.load.dropped(self)
        if self.answer is not None and not self.answer.done():
            self.answer.set_exception(CannotConnect("the exchange closed the connection"))

    def _other(self, answer: bytes) -> None:
        number = frames.number_of(answer)
        if self.answer is not None and not self.answer.done() and number == FIRST_ID:
            self.answer.set_result(answer)
        elif number >= self.load.first:
            self.load.result.strange += 1


class Load:
    """Connected clients, for one run after another. `orders` is set anew as the market moves."""

    def __init__(self, url: str, orders: Orders, *, seed: int = 1, grace_s: float = GRACE_S) -> None:
        """`url` is that of the socket; an order not answered `grace_s` after the end of a run is lost."""
        self.orders = orders
        self.number = self.first = FIRST_ID + 1
        self.result = Result()
        self.waits: list[int] = []
        self.after: Callable[[_Client, bytes], None] = _nothing
        self.clients: list[_Client] = []
        self._url, self._grace_s = url, grace_s
        self._random = Random(seed)  # noqa: S311 - turns and jitter, not a secret
        self._accounts: Sequence[Account | None] = ()
        self._running = False
        self._until_ns = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._placing = False
        self._leaving = 0

    # --- connections ------------------------------------------------------------------------------------

    async def connect(self, accounts: Sequence[Account | None]) -> None:
        """Connect and log in a client for each account (None: without login). CannotConnect names the first failure."""
        self._accounts = accounts
        self.clients = [_Client(self, at) for at in range(len(accounts))]
        gate = asyncio.Semaphore(CONNECTING)

        async def one(client: _Client) -> None:
            async with gate:
                await self._connect(client)

        tasks = [asyncio.ensure_future(one(each)) for each in self.clients]
        try:
            await asyncio.gather(*tasks)
        except CannotConnect:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await self.close()
            raise

    async def close(self) -> None:
        """Disconnect all."""
        self._running = False
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for client in self.clients:
            transport, client.transport = client.transport, None
            if transport is not None:
                transport.disconnect()
        self.clients = []
        await asyncio.sleep(0)

    async def _connect(self, client: _Client) -> None:
        """CannotConnect once all tries have failed."""
        for number in range(CONNECT_TRIES):
            try:
                async with asyncio.timeout(CONNECT_TIMEOUT_S):
                    client.transport = await self._log_in(client)
                return
            except TimeoutError:
                reason = "no answer in time"
            except OSError as error:
                reason = errors.reason(error)
            except WSError as error:
                reason = str(error) or type(error).__name__
            except CannotConnect as error:
                if "refused" in str(error):
                    raise
                reason = str(error)
            await asyncio.sleep(self._random.uniform(0, min(BACKOFF_MAX_S, BACKOFF_S * 2**number)))
        raise CannotConnect(f"client {client.at + 1:,} of {len(self.clients):,} cannot connect: {reason}")

    async def _log_in(self, client: _Client) -> WSTransport:
        transport, _ = await ws_connect(lambda: client, self._url)
        account = self._accounts[client.at]
        if account is None:
            return transport
        client.answer = asyncio.get_running_loop().create_future()
        try:
            transport.send(TEXT, frames.login(*account, time.time_ns() // 1_000_000, FIRST_ID))
            answer = await client.answer
            if not frames.is_done(answer):
                refusal = frames.refusal_of(answer)
                raise CannotConnect(f"a login was refused: {refusal.error} (code {refusal.code})")
        except BaseException:
            transport.disconnect()
            raise
        finally:
            client.answer = None
        return transport

    def dropped(self, client: _Client) -> None:
        """A client's connection ended while it was in use: what it waits for is lost; it comes again during a run."""
        self.result.lost += len(client.waiting)
        client.waiting.clear()
        if self._running:
            task = asyncio.ensure_future(self._again(client))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _again(self, client: _Client) -> None:
        self.result.reconnects += 1
        await asyncio.sleep(self._random.uniform(0, BACKOFF_S))
        try:
            await self._connect(client)
        except CannotConnect:
            self.result.unsent += 1  # counted, so that the run is not called sound
            return
        client.resting = False
        if self._running and self.after is not _nothing:
            self._next(client)

    def refuse(self, answer: bytes) -> None:
        """Count a refusal by its code."""
        refusal = frames.refusal_of(answer)
        refused = self.result.refused
        refused[refusal.code] = refused.get(refusal.code, 0) + 1
        self.result.sentences.setdefault(refusal.code, refusal.error)

    # --- runs -------------------------------------------------------------------------------------------

    async def closed(self, seconds: float, say: Callable[[Second], None] | None = None) -> Result:
        """Each client sends its next order at the answer to the last; the rate is what comes of it."""
        self._placing = False
        self.after = self._next_order
        return await self._loop(seconds, say)

    async def place_and_cancel(
        self, seconds: float, say: Callable[[Second], None] | None = None, *, sample: int = SAMPLE
    ) -> Result:
        """Each client places an order, cancels it, and so on. `sample` clients leave their last one in the book."""
        self._placing = True
        self.after = self._next_of_pair
        for client in self.clients:
            client.resting = False
        result = await self._loop(seconds, say, sample)
        result.resting = [(each.at, each.placed) for each in self.clients[:sample] if each.resting]
        return result

    async def open(self, rate: float, seconds: float, say: Callable[[Second], None] | None = None) -> Result:
        """Send `rate` orders a second, evenly, whatever comes back; latency counts from when each was due."""
        self.after = _nothing
        self._begin()
        turns = list(range(len(self.clients)))
        self._random.shuffle(turns)
        clients = [self.clients[at] for at in turns]
        total, interval_ns = round(rate * seconds), 1e9 / rate
        hopeless = max(1_000, int(rate * HOPELESS_S))
        watch = asyncio.ensure_future(self._watch(say))
        cpu, start = time.process_time(), now_ns()
        at = 0
        try:
            while at < total:
                due = min(total, int((now_ns() - start) / interval_ns) + 1)
                until = min(due, at + BURST)
                while at < until:
                    self._send_due(clients, at, start + int(at * interval_ns))
                    at += 1
                await asyncio.sleep(0 if at < due else TURN_S)
                if self.result.sent - self.result.answered > hopeless:
                    self.result.hopeless = True
                    self.result.unsent += total - at
                    break
            return await self._end(start, cpu)
        finally:
            watch.cancel()

    def _send_due(self, clients: Sequence[_Client], at: int, due_ns: int) -> None:
        count = len(clients)
        client = clients[at % count]
        if client.transport is None:  # its turn goes to the next that is connected
            for step in range(1, count):
                client = clients[(at + step) % count]
                if client.transport is not None:
                    break
            else:
                self.result.unsent += 1
                return
        client.turn = turn = (client.turn + 1) % NEAR
        client.send(self.orders.near[turn], due_ns)

    async def _loop(self, seconds: float, say: Callable[[Second], None] | None, leaving: int = 0) -> Result:
        self._begin()
        self._leaving = leaving
        watch = asyncio.ensure_future(self._watch(say))
        cpu, start = time.process_time(), now_ns()
        self._until_ns = start + int(seconds * 1e9)
        try:
            for client in self.clients:
                if client.transport is not None:
                    self._next(client)
            await asyncio.sleep(seconds)
            return await self._end(start, cpu)
        finally:
            watch.cancel()

    def _next(self, client: _Client) -> None:
        if self._placing:
            self._next_of_pair(client, b"")
        else:
            self._next_order(client, b"")

    def _next_order(self, client: _Client, _answer: bytes) -> None:
        if self._running and client.transport is not None:
            client.turn = turn = (client.turn + 1) % NEAR
            client.send(self.orders.near[turn], now_ns())

    def _next_of_pair(self, client: _Client, answer: bytes) -> None:
        if client.transport is None:
            return
        if answer and not client.resting and frames.is_done(answer):
            client.resting, client.placed = True, frames.order_id_of(answer)
            if self._running or client.at >= self._leaving:
                client.send(frames.cancel(client.placed), now_ns())
            return
        canceled, client.resting = client.resting, False
        # Those that leave an order behind place a last one where the end fell between two.
        if self._running or (canceled and client.at < self._leaving):
            client.turn ^= 1
            client.send(self.orders.resting[client.turn & 1], now_ns())

    def _begin(self) -> None:
        self.result, self.waits = Result(), []
        self.first = self.number
        self._running = True

    async def _end(self, start_ns: int, cpu: float) -> Result:
        """Stop sending, wait for what is on its way, and sum up."""
        stopped_ns = now_ns()
        self._running = False
        result = self.result
        result.in_time = result.answered
        result.cpu = (time.process_time() - cpu) / ((stopped_ns - start_ns) / 1e9)
        result.seconds = (stopped_ns - start_ns) / 1e9
        until = stopped_ns + int(self._grace_s * 1e9)
        while now_ns() < until and any(each.waiting for each in self.clients):
            await asyncio.sleep(0.005)
        if self.after is _nothing:  # an open run lasts until its last answer
            result.seconds, result.in_time = (now_ns() - start_ns) / 1e9, result.answered
        for client in self.clients:
            result.lost += len(client.waiting)
            client.waiting.clear()
        result.latencies.record(self.waits)
        self.waits = []
        self.after = _nothing
        return result

    async def _watch(self, say: Callable[[Second], None] | None) -> None:
        """Once a second: what was measured goes into the histogram, and is told."""
        began = now_ns()
        sent = acked = refused = 0
        result = self.result
        while True:
            await asyncio.sleep(1.0)
            waits, self.waits = self.waits, []
            second = Latencies()
            second.record(waits)
            result.latencies.add(second)
            if say is None:
                continue
            refusals = sum(result.refused.values())
            waiting = sum(len(each.waiting) for each in self.clients)
            say(
                Second(
                    (now_ns() - began) / 1e9,
                    result.sent - sent,
                    result.acked - acked,
                    refusals - refused,
                    waiting,
                    second,
                )
            )
            sent, acked, refused = result.sent, result.acked, refusals


def _nothing(_client: _Client, _answer: bytes) -> None:
    """After an answer of an open run: nothing."""
