from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from aiohttp import WSMsgType, web
from structlog.testing import capture_logs

from engine.api.connections import MAX_HEADERS, Connections
from engine.api.problems import Problem
from engine.api.push.push import Push
from engine.api.reading import Markets
from engine.api.request_ids import RequestIds
from engine.api.route import Call, Parameter, Route
from engine.api.route_table import RouteTable
from engine.api.server import MAX_BODY
from tests.api.push_rig import FakeDoor
from tests.api.server_rig import Served, market, serving


class Thing(msgspec.Struct, kw_only=True, frozen=True):
    symbol: str
    depth: int
    at_ns: int = 0


class Order(msgspec.Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    name: str
    count: int = 1


def thing(call: Call) -> Thing:
    if call.arguments["symbol"] == "NONE":
        raise Problem("unknown_symbol", "there is BTC-USDT", symbols=["BTC-USDT"])
    if call.arguments["symbol"] == "BOOM":
        raise RuntimeError("the secret of the house")
    return Thing(
        symbol=call.arguments["symbol"], depth=call.arguments["depth"], at_ns=call.arguments["at"] or 0
    )


async def order(call: Call) -> Thing:
    return Thing(symbol=call.body.name, depth=call.body.count)


SYMBOL = Parameter("symbol", "path", "text", "Symbol", example="BTC-USDT")
DEPTH = Parameter("depth", "query", "whole", "Levels", default=10, least=1, most=100)
AT = Parameter("at", "query", "moment", "When")
ROUTES = (
    Route("GET", "/thing/{symbol}", "read", "Market", "A thing", thing, Thing, (SYMBOL, DEPTH, AT)),
    Route("POST", "/thing", "trade", "Market", "Makes one", order, Thing, body=Order, status=201),
    Route("DELETE", "/thing/{symbol}", "admin", "Market", "Ends one", lambda _: None, None, (SYMBOL,)),
)
Test = Callable[[Served], Awaitable[None]]


def run(folder: Path, test: Test, routes: tuple[Route, ...] = ROUTES, **options: Any) -> Served:
    """The test against a server; the server after its end."""

    async def main() -> Served:
        async with serving(folder, routes, **options) as served:
            await test(served)
        return served

    return asyncio.run(main())


def test_a_route_answers_at_both_its_paths_in_each_form(tmp_path: Path) -> None:
    async def test(api: Served) -> None:
        for path in ("/thing/BTC-USDT", "/v1/thing/BTC-USDT", "/v1/thing/BTC-USDT?depth=10"):
            for _ in range(2):  # the second time its arguments are known
                status, headers, told = await api.ask(path)
                assert (status, told) == (200, {"symbol": "BTC-USDT", "depth": 10, "at_ns": 0})
                assert headers["Content-Type"] == "application/json"
        _, headers, told = await api.ask(
            "/thing/BTC%2FUSDT?depth=3", headers={"Accept": "application/msgpack"}
        )
        assert msgspec.msgpack.decode(told) == {"symbol": "BTC/USDT", "depth": 3, "at_ns": 0}
        _, headers, told = await api.ask("/thing/BTC-USDT", headers={"Accept": "text/csv"})
        assert headers["Content-Type"].startswith("text/csv")
        assert told == b"symbol,depth,at_ns\r\nBTC-USDT,10,0\r\n"

    run(tmp_path, test)


def test_a_moment_is_read_anew_each_time(tmp_path: Path) -> None:
    async def test(api: Served) -> None:
        first = (await api.ask("/thing/A?at=10m"))[2]["at_ns"]
        api.desk.now += 5_000_000_000
        assert (await api.ask("/thing/A?at=10m"))[2]["at_ns"] == first + 5_000_000_000

    run(tmp_path, test)


@pytest.mark.parametrize(
    ("method", "path", "options", "status", "code"),
    [
        ("GET", "/nothing", {}, 404, "no_route"),
        ("GET", "/v1", {}, 200, ""),
        ("GET", "/v1/v1/thing/A", {}, 404, "no_route"),
        ("GET", "/thing/", {}, 404, "no_route"),
        ("GET", "/thing/A/B", {}, 404, "no_route"),
        ("GET", "/" + "x" * 3_000, {}, 404, "no_route"),
        ("GET", "/thing/NONE", {}, 404, "unknown_symbol"),
        ("GET", "/thing/A?depth=0", {}, 400, "bad_argument"),
        ("GET", "/thing/A?wrong=1", {}, 400, "bad_argument"),
        ("GET", "/thing/%ff", {}, 400, "bad_argument"),
        ("GET", "/thing/BOOM", {}, 500, "broken"),
        ("GET", "/thing/A", {"headers": {"Accept": "image/png"}}, 406, "not_acceptable"),
        ("GET", "/thing/A", {"headers": {"Host": "evil.example"}}, 403, "foreign"),
        ("GET", "/thing/A", {"headers": {"Origin": "https://evil.example"}}, 403, "foreign"),
        ("GET", "/ws", {"headers": {"Origin": "https://evil.example"}}, 403, "foreign"),
        ("GET", "/docs", {"headers": {"Host": "evil.example"}}, 403, "foreign"),
        ("GET", "/thing/A", {"headers": {"Origin": "http://["}}, 403, "foreign"),
        ("GET", "/docs", {"headers": {"Origin": "http://["}}, 403, "foreign"),
        ("GET", "/ws", {"headers": {"Origin": "http://["}}, 403, "foreign"),
        ("GET", "/thing/A", {"headers": {"Origin": "http://localhost:9"}}, 200, ""),
        ("GET", "/thing/A", {"headers": {"Sec-Fetch-Site": "cross-site"}}, 200, ""),
        ("GET", "/ws", {"headers": {"Origin": "http://localhost:9"}}, 403, "foreign"),
        ("GET", "/v1/ws", {"headers": {"Sec-Fetch-Site": "same-site"}}, 403, "foreign"),
        ("DELETE", "/thing/A", {"headers": {"Origin": "http://localhost:9"}}, 403, "foreign"),
        ("DELETE", "/thing/A", {"headers": {"Sec-Fetch-Site": "same-site"}}, 403, "foreign"),
        ("POST", "/thing", {"json": {"name": "a"}, "headers": {"Origin": "null"}}, 403, "foreign"),
        (
            "POST",
            "/thing",
            {"json": {"name": "a"}, "headers": {"Sec-Fetch-Site": "cross-site"}},
            403,
            "foreign",
        ),
        ("POST", "/thing", {"json": {"name": "a"}, "headers": {"Sec-Fetch-Site": "same-origin"}}, 201, ""),
        ("POST", "/ws", {}, 405, "bad_method"),
        ("GET", "/thing/A", {"headers": {"X-Api-Key": "vsk_wrong"}}, 401, "bad_credentials"),
        ("GET", "/healthz", {"headers": {"Authorization": "Bearer wrong"}}, 401, "bad_credentials"),
        ("PUT", "/thing/A", {}, 405, "bad_method"),
        ("OPTIONS", "/thing/A", {}, 405, "bad_method"),
        ("POST", "/docs", {}, 405, "bad_method"),
        ("POST", "/thing", {"data": b"{"}, 400, "bad_body"),
        ("POST", "/thing", {"json": {"name": 1}}, 400, "bad_body"),
        ("POST", "/thing", {"json": {"name": "a", "more": 1}}, 400, "bad_body"),
        ("POST", "/thing", {"json": {}}, 400, "bad_body"),
        (
            "POST",
            "/thing",
            {"data": b"<a/>", "headers": {"Content-Type": "text/xml"}},
            415,
            "unsupported_media",
        ),
        (
            "POST",
            "/thing",
            {"data": b'{"name": "a"}', "headers": {}, "skip_auto_headers": ["Content-Type"]},
            415,
            "unsupported_media",
        ),
        ("POST", "/thing", {"json": {}, "headers": {"Content-Encoding": "gzip"}}, 415, "unsupported_media"),
        ("POST", "/thing", {"data": b"x" * (MAX_BODY + 1)}, 413, "too_large"),
        ("POST", "/thing", {"json": {"name": "a"}}, 201, ""),
        ("DELETE", "/thing/A", {}, 204, ""),
    ],
)
def test_what_is_refused_says_so(
    tmp_path: Path, method: str, path: str, options: dict[str, Any], status: int, code: str
) -> None:
    if "data" in options:
        options = {"headers": {"Content-Type": "application/json"}, **options}

    async def test(api: Served) -> None:
        found, headers, told = await api.ask(path, method, **options)
        assert found == status
        assert headers["X-Content-Type-Options"] == "nosniff"
        if code:
            assert headers["Content-Type"] == "application/problem+json"
            assert (told["code"], told["status"]) == (code, status)
            assert told["request_id"] == headers["X-Request-Id"]
            assert told["title"]
            assert told["detail"]
            assert told["type"] == f"/docs#{code}"
            assert "secret" not in json.dumps(told)
            assert dict(api.server.view().refused) == {code: 1}

    run(tmp_path, test)


def test_a_path_tells_its_methods(tmp_path: Path) -> None:
    async def test(api: Served) -> None:
        assert (await api.ask("/thing/A", "POST"))[1]["Allow"] == "DELETE, GET, HEAD"
        status, headers, body = await api.ask("/thing/A", "HEAD")
        assert (status, body, int(headers["Content-Length"]) > 0) == (200, b"", True)
        for path, allowed in (("/docs", "GET, HEAD"), ("/ws", "GET")):
            status, headers, _ = await api.ask(path, "POST")
            assert (status, headers["Allow"]) == (405, allowed)
            assert headers["RateLimit-Limit"] == "10000"

    run(tmp_path, test)


def test_a_page_of_the_api_itself_may_call_it(tmp_path: Path) -> None:
    async def test(api: Served) -> None:
        headers = {"Origin": api.server.url, "Sec-Fetch-Site": "same-origin"}
        assert (await api.ask("/thing", "POST", json={"name": "a"}, headers=headers))[0] == 201
        assert (await api.ask("/ws", headers=headers))[0] == 200

    run(tmp_path, test)


@pytest.mark.parametrize(
    ("target", "host", "status"),
    [
        (b"http://localhost/thing/A?depth=7", b"localhost", 200),
        (b"HTTP://127.0.0.1:8052/thing/A?depth=7", b"evil.example", 200),  # the target goes before
        (b"http://localhost/docs", b"localhost", 200),
        (b"http://localhost", b"localhost", 200),
        (b"http://localhost?depth=7", b"localhost", 400),
        (b"http://localhost/nothing", b"localhost", 404),
        (b"http://evil.example/thing/A", b"localhost", 403),
    ],
)
def test_a_target_may_name_the_server_too(tmp_path: Path, target: bytes, host: bytes, status: int) -> None:
    async def test(api: Served) -> None:
        told = await api.raw(b"GET %s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n" % (target, host))
        assert told.startswith(b"HTTP/1.1 %d " % status)
        if target.endswith(b"A?depth=7"):
            assert json.loads(told.partition(b"\r\n\r\n")[2])["depth"] == 7

    run(tmp_path, test)


@pytest.mark.skipif(not socket.has_dualstack_ipv6(), reason="there is no IPv6 here")
def test_every_address_is_served_for_both_families(tmp_path: Path) -> None:
    async def test(api: Served) -> None:
        port = int(api.server.url.rpartition(":")[2])
        for host in ("127.0.0.1", "[::1]"):
            async with api.session.get(f"http://{host}:{port}/healthz") as answer:
                assert answer.status == 200

    run(tmp_path, test, host="::")


def test_a_request_bears_one_name_all_the_way(tmp_path: Path) -> None:
    async def test(api: Served) -> None:
        given = {"headers": {"X-Request-Id": "my-request.7"}}
        assert (await api.ask("/thing/A", **given))[1]["X-Request-Id"] == "my-request.7"
        assert (await api.ask("/thing/NONE", **given))[2]["request_id"] == "my-request.7"
        made = [(await api.ask("/thing/A", headers={"X-Request-Id": "<b>"}))[1]["X-Request-Id"] for _ in "ab"]
        assert made[0] != made[1]
        assert "<" not in made[0]

    run(tmp_path, test)


def test_the_short_way_answers_as_the_long_one(tmp_path: Path) -> None:
    async def test(api: Served) -> None:
        _, short, body = await api.ask("/thing/A")
        _, long, same = await api.ask("/thing/A", headers={"Connection": "close"})
        assert body == same
        assert long["Connection"] == "close"
        own = {"x-request-id", "ratelimit-remaining", "ratelimit-reset", "date", "connection"}
        assert {name: value for name, value in short.items() if name.lower() not in own} == {
            name: value for name, value in long.items() if name.lower() not in own
        }
        assert own - {"connection"} <= {name.lower() for name in short}
        old = await api.raw(b"GET /thing/A HTTP/1.0\r\nHost: localhost\r\n\r\n")
        assert old.startswith(b"HTTP/1.0 200 OK\r\n")
        many = b"GET /thing/A HTTP/1.1\r\nHost: localhost\r\n\r\n" * 20
        last = b"GET /thing/A HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
        assert (await api.raw(many + last)).count(b"HTTP/1.1 200 OK\r\n") == 21

    run(tmp_path, test)


def test_names_of_requests_are_sane_and_differ() -> None:
    ids = RequestIds("start")
    assert ids.of(None) == "start-00000001"
    assert ids.of("x" * 65) == "start-00000002"
    assert ids.of("a\nb") == "start-00000003"
    assert ids.of("abc") == "abc"


def test_too_many_requests_are_told_when_to_come_again(tmp_path: Path) -> None:
    async def test(api: Served) -> None:
        answers = [await api.ask("/thing/A") for _ in range(4)]
        assert [status for status, _, _ in answers] == [200, 200, 200, 429]
        assert [each["RateLimit-Remaining"] for _, each, _ in answers] == ["2", "1", "0", "0"]
        assert answers[3][1]["Retry-After"] == "1"
        assert answers[3][1]["RateLimit-Limit"] == "3"
        assert answers[3][2]["code"] == "too_many_requests"
        api.desk.now += 1_000_000_000
        assert (await api.ask("/nothing"))[0] == 404  # counted too
        assert (await api.ask("/docs"))[0] == 200
        assert (await api.ask("/healthz"))[0] == 200
        assert (await api.ask("/docs"))[0] == 429

    run(tmp_path, test, rate=3)


def test_roles_open_what_they_hold(tmp_path: Path) -> None:
    calls = (
        ("GET", "/thing/A", {}),
        ("POST", "/thing", {"json": {"name": "a"}}),
        ("DELETE", "/thing/A", {}),
        ("GET", "/metrics", {}),
        ("GET", "/healthz", {}),
        ("GET", "/docs", {}),
    )

    async def test(api: Served) -> None:
        async def statuses(headers: dict[str, str]) -> list[int]:
            return [(await api.ask(path, method, headers=headers, **more))[0] for method, path, more in calls]

        made = {role: api.keys.create(role, role, api.desk.now) for role in ("read", "trade", "admin")}
        assert await statuses({}) == [401, 401, 401, 401, 200, 200]
        assert await statuses({"X-Api-Key": made["read"][1]}) == [200, 403, 403, 200, 200, 200]
        assert await statuses({"Authorization": f"Bearer {made['trade'][1]}"}) == [
            200,
            201,
            403,
            200,
            200,
            200,
        ]
        token = api.tokens.make(made["admin"][0], "admin", api.desk.now).text
        assert await statuses({"Authorization": f"Bearer {token}"}) == [200, 201, 204, 200, 200, 200]
        assert "WWW-Authenticate" in (await api.ask("/thing/A"))[1]
        assert (await api.ask("/ws"))[2]["identity"] is None  # it says who it is in its first message
        api.keys.revoke(made["read"][0].id)
        assert (await api.ask("/thing/A", headers={"X-Api-Key": made["read"][1]}))[0] == 401

    run(tmp_path, test, demanded=True)


def test_without_demand_a_websocket_is_handed_on_with_its_caller(tmp_path: Path) -> None:
    async def test(api: Served) -> None:
        for path in ("/ws", "/v1/ws?format=json"):
            assert (await api.ask(path))[2] == {"identity": "127.0.0.1", "address": "127.0.0.1"}

    run(tmp_path, test)


def test_what_aiohttp_refuses_is_told_as_a_problem(tmp_path: Path) -> None:
    class Strict:
        async def serve(self, request: web.BaseRequest, identity: Any, address: str) -> web.StreamResponse:
            await web.WebSocketResponse().prepare(request)
            raise AssertionError

    async def test(api: Served) -> None:
        status, _, told = await api.ask("/ws", headers={"Upgrade": "websocket"})
        assert (status, told["code"]) == (400, "bad_request")
        assert (api.server.view().broken, dict(api.server.view().refused)) == (0, {"bad_request": 1})

    run(tmp_path, test, push=Strict())


_GOOD = {
    "Upgrade": "websocket",
    "Connection": "Upgrade",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
}


@pytest.mark.parametrize(
    ("method", "version", "changed", "status"),
    [
        ("GET", "1.1", {"Connection": "keep-alive, upgrade", "Upgrade": "WebSocket"}, 101),
        ("GET", "1.1", {"Connection": ""}, 400),
        ("GET", "1.1", {"Upgrade": ""}, 400),
        ("GET", "1.1", {"Sec-WebSocket-Key": ""}, 400),
        ("GET", "1.1", {"Sec-WebSocket-Key": "abc"}, 400),
        ("GET", "1.1", {"Sec-WebSocket-Version": "7"}, 426),
        ("GET", "1.1", {"Sec-WebSocket-Version": ""}, 426),
        ("GET", "1.0", {}, 400),
        ("POST", "1.1", {}, 405),
        ("HEAD", "1.1", {}, 405),
    ],
)
def test_a_handshake_is_as_the_standard_wants_it(
    tmp_path: Path, method: str, version: str, changed: dict[str, str], status: int
) -> None:
    async def main() -> None:
        desk = market()
        push = Push(
            Markets(desk.telemetry, desk.intake, lambda: desk.now),
            desk.telemetry,
            lambda: desk.now,
            FakeDoor(),
        )
        async with serving(tmp_path, (), desk=desk, push=push) as api:
            lines = [f"{name}: {text}" for name, text in {**_GOOD, **changed}.items() if text]
            reader, writer = await asyncio.open_connection(*api.address)
            writer.write(
                "\r\n".join([f"{method} /ws HTTP/{version}", "Host: localhost", *lines, "", ""]).encode()
            )
            async with asyncio.timeout(5):
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                assert int(head.split()[1]) == status
                if status != 101:
                    assert "application/problem+json" in head
                    await reader.read()  # it ends here
                assert ("Sec-WebSocket-Version: 13" in head) is (status == 426)
            writer.close()
            assert api.server.view().broken == 0

    asyncio.run(main())


def test_a_websocket_that_breaks_is_cut_and_no_call_that_is_answered(tmp_path: Path) -> None:
    class Breaking:
        api: Served

        async def serve(self, request: web.BaseRequest, identity: Any, address: str) -> web.StreamResponse:
            assert (identity.name, address) == ("127.0.0.1", "127.0.0.1")
            socket = web.WebSocketResponse()
            await socket.prepare(request)
            await socket.receive()
            await socket.send_str(str(self.api.server.view().in_flight))
            raise RuntimeError("broken")

    async def test(api: Served) -> None:
        push.api = api
        async with api.session.ws_connect(f"{api.server.url}/ws") as link:
            await link.send_str("go on")
            assert await link.receive_str() == "0"
            assert (await link.receive()).type in (WSMsgType.CLOSED, WSMsgType.CLOSE, WSMsgType.ERROR)
        view = api.server.view()
        assert (view.broken, view.bad_requests, view.in_flight) == (1, 0, 0)

    push = Breaking()
    run(tmp_path, test, push=push)


@pytest.mark.parametrize(
    "sent",
    [
        b"NONSENSE\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
        b"GET /thing/A HTTP/9.9\r\nHost: localhost\r\n\r\n",
        b"GET /thing/A HTTP/1.1\r\nHost: localhost\r\nX: " + b"y" * 20_000 + b"\r\n\r\n",
        b"GET /" + b"y" * 20_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\n" + b"A: b\r\n" * (2 * MAX_HEADERS) + b"\r\n",
        b"POST /thing HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nBad Header: x\r\n\r\n",
    ],
)
def test_what_is_no_http_is_answered_400_and_cut(tmp_path: Path, sent: bytes) -> None:
    async def test(api: Served) -> None:
        told = await api.raw(sent)
        assert told.startswith(b"HTTP/1.1 400 ") or told.startswith(b"HTTP/1.0 400 ")
        head, _, body = told.partition(b"\r\n\r\n")
        assert b"application/problem+json" in head
        assert json.loads(body)["code"] == "bad_request"
        assert api.server.view().bad_requests == 1

    run(tmp_path, test)


@pytest.mark.parametrize(
    "chunks", [b"zz\r\nhello\r\n0\r\n\r\n", b"5\r\nhelloXX\r\n0\r\n\r\n"], ids=["length", "end"]
)
def test_broken_chunks_are_no_body(tmp_path: Path, chunks: bytes) -> None:
    async def test(api: Served) -> None:
        head = b"POST /thing HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
        told = await api.raw(head + chunks)
        assert told.split(b" ")[1] == b"400"
        assert api.server.view().broken == 0

    run(tmp_path, test)


def test_a_body_in_chunks_is_bounded_too(tmp_path: Path) -> None:
    async def chunks() -> Any:
        for _ in range(20):
            yield b" " * 8_192

    async def test(api: Served) -> None:
        status, headers, told = await api.ask(
            "/thing", "POST", data=chunks(), headers={"Content-Type": "application/json"}
        )
        assert (status, told["code"], headers["Connection"]) == (413, "too_large", "close")

    run(tmp_path, test)


def test_an_address_holds_so_many_connections(tmp_path: Path) -> None:
    async def test(api: Served) -> None:
        held = [await asyncio.open_connection(*api.address) for _ in range(3)]
        told = await api.raw(b"")
        assert told.startswith(b"HTTP/1.1 429 ")
        assert json.loads(told.partition(b"\r\n\r\n")[2])["code"] == "too_many_connections"
        view = api.server.view()
        assert (view.connections, view.turned_away) == (3, 1)
        for _, writer in held:
            writer.close()
        async with asyncio.timeout(5):
            while api.server.view().connections:
                await asyncio.sleep(0)
        assert (await api.ask("/healthz"))[0] == 200

    run(tmp_path, test, connections=3)


def test_a_taken_port_is_noted_once_and_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.api.server.RETRY_S", 0.01)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]

        async def main() -> None:
            from tests.api.server_rig import ApiOptions
            from tests.api.server_rig import Served as Rig

            rig = Rig(tmp_path, ROUTES, market(), ApiOptions(port=port))
            task = asyncio.create_task(rig.server.run())
            async with asyncio.timeout(5):
                while rig.server.view().state != "port taken":
                    await asyncio.sleep(0.001)
                await asyncio.sleep(0.05)
                assert len(rig.notes) == 1
                assert str(port) in rig.server.view().detail
                taken.close()
                while rig.server.view().state != "serving":
                    await asyncio.sleep(0.001)
            assert [level for level, *_ in rig.notes] == ["error", "info"]
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            assert rig.server.view().state == "stopped"
            with pytest.raises(ConnectionRefusedError):
                await asyncio.open_connection("127.0.0.1", port)

        with capture_logs() as said:
            asyncio.run(main())
        assert [each["log_level"] for each in said] == ["error"]
        assert f"port {port} of 127.0.0.1 cannot be served" in said[0]["event"]


def test_a_connection_of_which_nothing_is_taken_is_cut() -> None:
    class Transport:
        aborted = False

        def get_write_buffer_size(self) -> int:
            return 100

        def abort(self) -> None:
            self.aborted = True

    class Handler:
        transport = Transport()

    async def main() -> None:
        from engine.api.counts import Counts

        async def nothing(_: Any) -> Any:
            raise AssertionError

        server = Connections(nothing, Counts(), RequestIds(), 10)
        handler: Any = Handler()
        server._callers[handler] = "127.0.0.1"
        for now in (100.0, 110.0, 130.0):
            server.cut_stalled(now)
            assert not Transport.aborted
            assert not handler.transport.aborted
        server.cut_stalled(130.5)
        assert handler.transport.aborted
        assert server.counts.stalled == 1

    asyncio.run(main())


def test_two_routes_cannot_be_the_same() -> None:
    with pytest.raises(ValueError, match=r"GET /thing/\{symbol\} is there twice"):
        RouteTable([ROUTES[0], ROUTES[0]])


def test_plain_paths_go_before_arguments() -> None:
    routes = [
        Route("GET", "/alerts/{id}", None, "Alerts", "", thing, None, (SYMBOL,)),
        Route("GET", "/alerts/firings", None, "Alerts", "", thing, None),
        Route("POST", "/alerts/firings/{id}/acknowledge", None, "Alerts", "", thing, None),
    ]
    table = RouteTable(routes)
    found = {
        path: table.find(path)
        for path in (
            "/alerts/firings",
            "/v1/alerts/7",
            "/alerts/firings/7/acknowledge",
            "/alerts",
            "/alerts/7/x",
        )
    }
    assert [each[0].path if each else None for each in found.values()] == [
        "/alerts/firings",
        "/alerts/{id}",
        "/alerts/firings/{id}/acknowledge",
        None,
        None,
    ]
    assert found["/v1/alerts/7"] is not None
    assert found["/v1/alerts/7"][1] == {"id": "7"}
