"""The REST client against a small server on loopback, with a gate that only counts."""

from __future__ import annotations

import asyncio
import gzip
import json
import random
import socket
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import numpy as np
import pytest
from aiohttp import web
from aiohttp.client_reqrep import ConnectionKey
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import BadAnswer, CallFailed, OverLimit, Refused, Unreachable, VenueBroken
from engine.limits.limiter import Priority
from engine.market.batches import CANDLE, Batch, Kind, Source
from engine.market.instruments import Instrument
from feeds.dialect import Call, Endpoints, Listing
from feeds.rest import Answer, Offset, RestClient, failure, is_retryable, query_of, reason_of

SECOND_NS = 1_000_000_000
SOURCE = Source("fake", "live")
BTC = Instrument("fake", "BTC-USDT", "BTC", "USDT", 2, 3, native="BTCUSDT")
PING = Call("/ping")


@dataclass
class CountingPermit:
    """Notes what it was settled with; a permit that is settled twice is a mistake of the client."""

    log: list[tuple[Any, ...]]
    times: int = 0

    def answered(self, status: int, headers: Mapping[str, str], code: int = 0) -> None:
        self._settle("answered", status, code, headers.get("x-used", ""))

    def lost(self) -> None:
        self._settle("lost")

    def unsent(self) -> None:
        self._settle("unsent")

    def _settle(self, *what: Any) -> None:
        self.log.append(what)
        self.times += 1


@dataclass
class CountingGate:
    acquired: list[tuple[str, dict[str, Any], Priority]] = field(default_factory=list)
    settled: list[tuple[Any, ...]] = field(default_factory=list)
    adopted: list[tuple[str, int, int]] = field(default_factory=list)
    permits: list[CountingPermit] = field(default_factory=list)

    async def acquire(
        self, endpoint: str, arguments: Mapping[str, object] = {}, *, priority: Priority = Priority.NORMAL
    ) -> CountingPermit:
        self.acquired.append((endpoint, dict(arguments), priority))
        self.permits.append(CountingPermit(self.settled))
        return self.permits[-1]

    def adopt(self, announced: Sequence[tuple[str, int, int]]) -> None:
        self.adopted += announced


class FakeDialect:
    key = "fake"
    candles_most = 5

    def endpoints(self, base: str = "") -> Endpoints:
        return Endpoints(base, base)

    def error_code(self, status: int, body: bytes) -> tuple[int, str]:
        try:
            answer = json.loads(body)
        except ValueError as error:
            raise BadAnswer("fake", "?", "no JSON") from error
        return (answer["code"], answer["text"]) if isinstance(answer, dict) and "code" in answer else (0, "")

    def time_call(self) -> Call:
        return Call("/time")

    def parse_time(self, body: bytes) -> int:
        return int(json.loads(body)["ns"])

    def instruments_call(self) -> Call:
        return Call("/instruments", {"page": 0})

    def parse_instruments(self, body: bytes) -> Listing:
        page = json.loads(body)["page"]
        more = Call("/instruments", {"page": page + 1}) if page < 2 else None
        return Listing((BTC,), (("WEIGHT", 60, 6000),) if page == 0 else (), more)

    def candles_call(self, instrument: Instrument, interval_s: int, start: int, end: int, most: int) -> Call:
        return Call("/candles", {"from": start // SECOND_NS, "to": end // SECOND_NS, "most": most})

    def parse_candles(
        self, instrument: Instrument, interval_s: int, body: bytes, source: Source, recv_ns: int
    ) -> Batch:
        opened = [second * SECOND_NS for second in json.loads(body)]
        rows = np.array([(ns, 1, 1, 1, 1, 1, 0, 1, 1) for ns in opened], CANDLE)
        return Batch(Kind.CANDLES, source, instrument.symbol, rows, interval_ns=interval_s * SECOND_NS)


Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@asynccontextmanager
async def served(handler: Handler, **options: Any):
    """(client, gate) of a server that answers everything with `handler`."""
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handler)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    gate = CountingGate()
    client = RestClient(FakeDialect(), gate, base=f"http://127.0.0.1:{port}", **options)  # type: ignore[arg-type]
    try:
        yield client, gate
    finally:
        await client.close()
        await runner.cleanup()


def answering(*answers: tuple[int, Any] | web.Response, headers: Mapping[str, str] = {}) -> Handler:
    """Gives the answers one after the other, the last for ever."""
    left = list(answers)

    async def handler(request: web.Request) -> web.StreamResponse:
        answer = left.pop(0) if len(left) > 1 else left[0]
        if isinstance(answer, web.Response):
            return answer
        return web.json_response(answer[1], status=answer[0], headers=headers)

    return handler


def failing(handler: Handler, call: Call = PING, **options: Any) -> tuple[BaseException, CountingGate]:
    """What fetching raised, and the gate."""

    async def run() -> tuple[BaseException, CountingGate]:
        async with served(handler, **options) as (client, gate):
            with pytest.raises(Exception) as caught:  # noqa: PT011
                await client.fetch(call)
            return caught.value, gate

    return asyncio.run(run())


def test_an_answer_comes_whole_with_its_times() -> None:
    clock = iter([100, 350])

    async def run() -> None:
        handler = answering((200, {"a": 1}), headers={"X-Used": "7"})
        async with served(handler, wall=lambda: next(clock)) as (client, gate):
            answer = await client.fetch(
                Call("/x", {"symbol": "BTCUSDT", "limit": 5}), priority=Priority.RESYNC
            )
            assert json.loads(answer.body) == {"a": 1}
            assert (answer.status, answer.headers["x-used"]) == (200, "7")
            assert (answer.sent_ns, answer.recv_ns) == (100, 350)
            assert gate.acquired == [("GET /x", {"symbol": "BTCUSDT", "limit": 5}, Priority.RESYNC)]
            assert gate.settled == [("answered", 200, 0, "7")]

    asyncio.run(run())


def test_compressed_answers_are_read() -> None:
    body = gzip.compress(b'{"a": 2}')
    headers = {"Content-Encoding": "gzip", "Content-Type": "application/json"}

    async def run() -> None:
        async with served(answering(web.Response(body=body, headers=headers))) as (client, _):
            assert (await client.fetch(PING)).body == b'{"a": 2}'

    asyncio.run(run())


@pytest.mark.parametrize(
    ("status", "body", "kind", "code"),
    [
        (429, {}, OverLimit, 429),
        (418, {"code": -1003, "text": "banned"}, OverLimit, -1003),
        (403, {}, OverLimit, 403),
        (200, {"code": 10006, "text": "too many visits"}, OverLimit, 10006),
        (400, {"code": -1121, "text": "invalid symbol"}, Refused, -1121),
        (404, {}, Refused, 404),
        (200, {"code": 10001, "text": "params error"}, Refused, 10001),
        (302, {}, Refused, 302),
        (500, {}, VenueBroken, None),
        (503, {"code": -1008, "text": "overloaded"}, VenueBroken, None),
        (200, {"code": 10016, "text": "server error"}, VenueBroken, None),
    ],
)
def test_each_failure_is_told_from_the_others(status: int, body: dict, kind: type, code: int | None) -> None:
    error, gate = failing(answering((status, body)))
    assert type(error) is kind
    assert getattr(error, "code", None) == code
    assert "GET /ping" in str(error)
    assert gate.settled == [("answered", status, body.get("code", 0), "")]


def test_a_gateway_s_page_is_a_failure_of_the_venue() -> None:
    error, gate = failing(answering(web.Response(status=502, text="<html>Bad gateway")))
    assert type(error) is VenueBroken
    assert gate.settled == [("answered", 502, 0, "")]


def test_a_redirect_is_not_followed() -> None:
    seen = []

    async def handler(request: web.Request) -> web.StreamResponse:
        seen.append(request.path)
        return web.Response(status=302, headers={"Location": "/elsewhere"})

    error, _ = failing(handler)
    assert type(error) is Refused
    assert seen == ["/ping"]


def test_no_connection_gives_the_permit_back() -> None:
    async def run() -> None:
        with socket.socket() as taken:  # bound, not listening: refused at once
            taken.bind(("127.0.0.1", 0))
            gate = CountingGate()
            client = RestClient(FakeDialect(), gate, base=f"http://127.0.0.1:{taken.getsockname()[1]}")  # type: ignore[arg-type]
            with pytest.raises(Unreachable, match=r"no connection to 127\.0\.0\.1"):
                await client.fetch(PING)
            await client.close()
            assert gate.settled == [("unsent",)]

    asyncio.run(run())


async def silence(request: web.Request) -> web.StreamResponse:
    await asyncio.sleep(30)
    raise AssertionError


def test_no_answer_in_time_is_a_lost_call() -> None:
    error, gate = failing(silence, timeout_s=0.1)
    assert type(error) is Unreachable
    assert "within 0.1 s" in str(error)
    assert gate.settled == [("lost",)]


async def half(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Length": "100", "X-Used": "9"})
    await response.prepare(request)
    await response.write(b"{")
    assert request.transport is not None
    request.transport.close()
    return response


def test_half_an_answer_tells_the_gate_its_headers() -> None:
    error, gate = failing(half)
    assert type(error) is Unreachable
    assert gate.settled == [("answered", 200, 0, "9")]


def test_a_connection_that_ends_unanswered_is_a_lost_call_and_is_not_sent_again() -> None:
    seen = []

    async def handler(request: web.Request) -> web.StreamResponse:
        seen.append(request.path)
        if len(seen) == 2:
            assert request.transport is not None
            request.transport.close()
        return web.json_response({})

    async def run() -> None:
        async with served(handler) as (client, gate):
            await client.fetch(PING)
            with pytest.raises(Unreachable):
                await client.fetch(PING)  # on the kept connection, where aiohttp would send it again
            assert len(seen) == len(gate.acquired) == len(gate.settled) == 2
            assert gate.settled[1] == ("lost",)

    asyncio.run(run())


def test_a_cancelled_call_is_settled_once() -> None:
    async def run() -> None:
        async with served(silence) as (client, gate):
            task = asyncio.create_task(client.fetch(PING))
            while not gate.acquired:
                await asyncio.sleep(0.01)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert gate.settled == [("lost",)]

    asyncio.run(run())


def test_every_permit_is_settled_once_whatever_happens() -> None:
    """Many calls at once to a server that is slow, breaks off and fails, cancelled at any moment."""
    chance = random.Random(3)

    async def handler(request: web.Request) -> web.StreamResponse:
        await asyncio.sleep(chance.random() * 0.45)
        what = chance.random()
        if what < 0.15:
            assert request.transport is not None
            request.transport.close()
        if what < 0.3:
            return await half(request)
        return web.json_response({}, status=chance.choice((200, 200, 429, 500)))

    async def run() -> None:
        async with served(handler, timeout_s=0.4) as (client, gate):
            tasks = [asyncio.create_task(client.fetch(PING)) for _ in range(200)]
            for task in chance.sample(tasks, 100):
                await asyncio.sleep(chance.random() * 0.001)
                task.cancel()
            results = await asyncio.gather(*tasks, return_exceptions=True)
            kinds = (Answer, CallFailed, asyncio.CancelledError)
            assert all(isinstance(result, kinds) for result in results)
            assert [permit.times for permit in gate.permits] == [1] * len(gate.acquired)

    asyncio.run(run())


def test_a_body_over_the_bound_is_not_read_to_its_end() -> None:
    async def endless(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        try:
            while True:
                await response.write(b"x" * 10_000)
        except (ConnectionError, asyncio.CancelledError):
            return response

    error, gate = failing(endless, max_body_bytes=100_000)
    assert type(error) is BadAnswer
    assert gate.settled == [("answered", 200, 0, "")]


def test_safe_calls_are_tried_again_with_a_permit_for_each() -> None:
    waits: list[float] = []

    async def sleep(delay_s: float) -> None:
        waits.append(delay_s)

    async def run() -> None:
        handler = answering((500, {}), (503, {}), (200, {"ok": 1}))
        async with served(handler, sleep=sleep, chance=lambda: 0.5) as (client, gate):
            assert (await client.fetch(PING, attempts=3)).status == 200
            assert [what[1] for what in gate.settled] == [500, 503, 200]
            assert waits == [0.25, 0.5]

    asyncio.run(run())


@pytest.mark.parametrize(
    ("call", "answer", "tries"),
    [
        (PING, (500, {}), 2),
        (PING, (429, {}), 1),
        (PING, (400, {}), 1),
        (Call("/order", method="POST"), (500, {}), 1),
    ],
)
def test_what_is_tried_again(call: Call, answer: tuple[int, Any], tries: int) -> None:
    async def sleep(_: float) -> None:
        pass

    async def run() -> None:
        async with served(answering(answer), sleep=sleep) as (client, gate):
            with pytest.raises((VenueBroken, OverLimit, Refused)):
                await client.fetch(call, attempts=2)
            assert len(gate.settled) == tries

    asyncio.run(run())


def test_nothing_over_the_limit_is_retryable() -> None:
    assert not is_retryable(PING, OverLimit("fake", "GET /ping", 429, "slow down"))
    assert is_retryable(PING, Unreachable("fake", "GET /ping", "gone"))
    assert not is_retryable(Call("/o", method="DELETE"), Unreachable("fake", "DELETE /o", "gone"))


def test_the_offset_is_taken_at_the_middle_of_the_quickest_round_trip() -> None:
    wall = iter([1000, 1900, 2000, 2100, 3000, 3400])

    async def run() -> None:
        handler = answering((200, {"ns": 0}), (200, {"ns": 7050}), (200, {"ns": 0}))
        async with served(handler, wall=lambda: next(wall)) as (client, gate):
            assert await client.measure_offset() == (5000, 100)
            assert len(gate.settled) == 3

    asyncio.run(run())


def test_offsets_are_smoothed_until_a_clock_is_set() -> None:
    offset = Offset()
    assert offset.take([(1000, 50), (1400, 10)]) == (1400, 10)
    assert offset.take([(1800, 10)]) == (1500, 10)
    assert offset.take([(9 * SECOND_NS, 10)]) == (9 * SECOND_NS, 10)


def test_a_smoothed_offset_stays_where_the_newest_sample_allows_it() -> None:
    ms = 1_000_000
    offset = Offset()
    offset.take([(40 * ms, 60 * ms)])
    # Half a round trip of 200 us, and the millisecond in which venues tell their time.
    assert offset.take([(0, 200_000)]) == (1_100_000, 200_000)


def test_all_pages_of_a_listing_are_joined_and_its_limits_adopted() -> None:
    async def handler(request: web.Request) -> web.StreamResponse:
        return web.json_response({"page": int(request.query["page"])})

    async def run() -> None:
        async with served(handler) as (client, gate):
            listing = await client.instruments()
            assert len(listing.instruments) == 3
            assert listing.more is None
            assert gate.adopted == list(listing.limits) == [("WEIGHT", 60, 6000)]

    asyncio.run(run())


async def candles(request: web.Request) -> web.StreamResponse:
    """Candles of 10 s; like Binance's its end is inclusive, and some seconds have none."""
    first, last = int(request.query["from"]), int(request.query["to"])
    opened = [second for second in range(first, last + 1) if second % 10 == 0 and second not in (50, 60)]
    return web.json_response(opened[: int(request.query["most"])])


def test_candles_of_a_long_range_come_in_pages_each_once() -> None:
    async def run() -> None:
        async with served(candles) as (client, gate):
            batch = await client.candles(BTC, 10, 5 * SECOND_NS, 145 * SECOND_NS, SOURCE)
            opened = (batch.rows["ts_open_ns"] // SECOND_NS).tolist()
            assert opened == [10, 20, 30, 40, 70, 80, 90, 100, 110, 120, 130, 140]
            assert batch.interval_ns == 10 * SECOND_NS
            assert [arguments["from"] for _, arguments, _ in gate.acquired] == [10, 60, 110]
            assert {priority for *_, priority in gate.acquired} == {Priority.BULK}

    asyncio.run(run())


@pytest.mark.parametrize("seconds", [[10, 10], [20, 10], [10, 25]])
def test_candles_out_of_order_are_a_bad_answer(seconds: list[int]) -> None:
    async def run() -> None:
        async with served(answering((200, seconds))) as (client, _):
            with pytest.raises(BadAnswer, match="candles"):
                await client.candles(BTC, 10, 0, 50 * SECOND_NS, SOURCE)

    asyncio.run(run())


def test_a_closed_client_asks_for_no_permit() -> None:
    async def run() -> None:
        gate = CountingGate()
        client = RestClient(FakeDialect(), gate)  # type: ignore[arg-type]
        await client.close()
        with pytest.raises(Unreachable, match="closed"):
            await client.fetch(PING)
        assert gate.acquired == []

    asyncio.run(run())


def test_a_client_closed_while_a_call_waits_gives_its_permit_back() -> None:
    async def run() -> None:
        async with served(answering((200, {}))) as (client, gate):
            granted = asyncio.Event()
            acquire = gate.acquire

            async def slowly(*arguments: Any, **options: Any) -> CountingPermit:
                await granted.wait()
                return await acquire(*arguments, **options)

            gate.acquire = slowly  # type: ignore[method-assign]
            task = asyncio.create_task(client.fetch(PING))
            await asyncio.sleep(0)
            await client.close()
            granted.set()
            with pytest.raises(Unreachable, match="closed"):
                await task
            assert gate.settled == [("unsent",)]

    asyncio.run(run())


def test_calls_under_way_end_with_the_client() -> None:
    async def run() -> None:
        async with served(silence) as (client, gate):
            task = asyncio.create_task(client.fetch(PING))
            while not gate.acquired:
                await asyncio.sleep(0.01)
            await asyncio.sleep(0.05)
            await client.close()
            with pytest.raises(Unreachable):
                await task
            assert gate.settled == [("lost",)]

    asyncio.run(run())


def test_a_certificate_that_is_not_trusted_is_said_so() -> None:
    key = ConnectionKey("api.example", 443, True, True, None, None, None)
    error = aiohttp.ClientConnectorCertificateError(key, ValueError("self-signed"))
    assert reason_of(error) == "the certificate of api.example:443 is not trusted (self-signed)"


@given(st.dictionaries(st.text(min_size=1, max_size=8), st.text(max_size=8) | st.integers(), max_size=4))
def test_queries_survive_the_way(arguments: dict[str, str | int]) -> None:
    from urllib.parse import parse_qsl

    expected = [(name, str(value)) for name, value in arguments.items()]
    assert parse_qsl(query_of(arguments), keep_blank_values=True) == expected


def test_a_success_is_no_failure() -> None:
    assert failure("fake", "GET /x", 200, 0, "") is None
