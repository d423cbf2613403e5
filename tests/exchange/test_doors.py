"""The sockets that take orders, at both doors: frames, refusals, slow and broken clients, and what is left of them."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import struct
import time
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Any, Self

import msgspec
import pytest

from engine.exchange import clients, order_sockets, server
from engine.exchange.accounts import hmac_hex
from engine.exchange.order_sockets import MAX_MESSAGE
from tests.exchange.running import RunningExchange

TEXT, BINARY, CLOSE, PING, PONG, MORE = 1, 2, 8, 9, 10, 0
WITHIN_S = 8.0
doors = pytest.mark.parametrize("door", ["shared", "own"])


@pytest.fixture(scope="module")
def exchange() -> Iterator[RunningExchange]:
    with RunningExchange(rate=500) as running:
        yield running


def until(condition: Callable[[], Any], within_s: float = WITHIN_S) -> Any:
    end = time.monotonic() + within_s
    while not (found := condition()):
        assert time.monotonic() < end, "did not happen in time"
        time.sleep(0.02)
    return found


def port_of(exchange: RunningExchange, door: str) -> int:
    return int((exchange.url if door == "shared" else exchange.order_url).rpartition(":")[2])


class Raw:
    """A WebSocket client that sends exactly what it is told."""

    def __init__(self, port: int, receive_buffer: int = 0) -> None:
        self.socket = socket.socket()
        if receive_buffer:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.settimeout(WITHIN_S)
        self.socket.connect(("127.0.0.1", port))
        self.port = port
        self._rest = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.socket.close()

    def head(self, path: str = "/native", **headers: str) -> bytes:
        """The request of a handshake."""
        lines = {
            "Host": f"127.0.0.1:{self.port}", "Upgrade": "websocket", "Connection": "Upgrade",
            "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==", "Sec-WebSocket-Version": "13",
        } | headers  # fmt: skip
        text = "".join(f"{name}: {value}\r\n" for name, value in lines.items() if value)
        return f"GET {path} HTTP/1.1\r\n{text}\r\n".encode()

    def answer(self) -> bytes:
        """The head of the answer to a request; b"" when the connection ended instead."""
        while b"\r\n\r\n" not in self._rest:
            got = self.socket.recv(65_536)
            if not got:
                return self._rest
            self._rest += got
        head, _, self._rest = self._rest.partition(b"\r\n\r\n")
        return head

    def open(self, path: str = "/native", **headers: str) -> int:
        """Shake hands; the status."""
        self.socket.sendall(self.head(path, **headers))
        return int(self.answer().split()[1])

    def send(self, opcode: int, payload: bytes = b"", *, fin: bool = True) -> None:
        """One masked frame."""
        self.socket.sendall(framed(opcode, payload, fin=fin))

    def frame(self) -> tuple[int, bytes]:
        """The next frame; (-1, b"") when the connection has ended."""
        size, at = 2, 2
        while True:
            if len(self._rest) >= 2:
                short = self._rest[1] & 127
                at = 2 + {126: 2, 127: 8}.get(short, 0)
                size = at
                if len(self._rest) >= at:
                    length = short if at == 2 else int.from_bytes(self._rest[2:at])
                    size = at + length
                    if len(self._rest) >= size:
                        opcode, payload = self._rest[0] & 15, self._rest[at:size]
                        self._rest = self._rest[size:]
                        return opcode, payload
            try:
                got = self.socket.recv(65_536)
            except ConnectionError:
                return -1, b""
            if not got:
                return -1, b""
            self._rest += got

    def value(self) -> Any:
        """The next message's value."""
        opcode, payload = self.frame()
        assert opcode in (TEXT, BINARY), (opcode, payload)
        return json.loads(payload) if opcode == TEXT else msgspec.msgpack.decode(payload)

    def closed(self) -> int:
        """The code of the close frame that ends it, other frames passed over; -1 when it ends without."""
        code = -1
        while True:
            opcode, payload = self.frame()
            if opcode == -1:
                return code
            if opcode == CLOSE and code == -1:
                code = int.from_bytes(payload[:2]) if payload else 0
                self.send(CLOSE, payload[:2])

    def say(self, request: Any) -> Any:
        """The next message after a request."""
        self.send(TEXT, json.dumps(request).encode())
        return self.value()


def framed(opcode: int, payload: bytes, *, fin: bool = True) -> bytes:
    mask = os.urandom(4)
    head = bytes([opcode | (0x80 if fin else 0)])
    size = len(payload)
    if size < 126:
        head += bytes([0x80 | size])
    elif size < 1 << 16:
        head += bytes([0x80 | 126]) + struct.pack("!H", size)
    else:
        head += bytes([0x80 | 127]) + struct.pack("!Q", size)
    key = (mask * (size // 4 + 1))[:size]
    return head + mask + (int.from_bytes(payload) ^ int.from_bytes(key)).to_bytes(size)


def connected(exchange: RunningExchange, door: str, **settings: Any) -> Raw:
    client = Raw(port_of(exchange, door), **settings)
    assert client.open() == 101
    assert client.value()["op"] == "hello"
    return client


def logged_in(exchange: RunningExchange, door: str, account: str = "main", **settings: Any) -> Raw:
    key = exchange.key(account)
    client = connected(exchange, door, **settings)
    ts_ms = time.time_ns() // 1_000_000
    sign = hmac_hex(key.secret, f"login{ts_ms}{key.api_key}".encode())
    assert client.say({"op": "login", "key": key.api_key, "ts_ms": ts_ms, "sign": sign})["ok"]
    return client


def works(exchange: RunningExchange, door: str) -> None:
    """A new client is served."""
    with connected(exchange, door) as client:
        assert client.say({"op": "ping", "id": 1})["ok"]


def is_clean(exchange: RunningExchange) -> bool:
    """Whether nothing is left of any client."""
    return bool(
        exchange.floor(
            lambda floor: not (floor.clients.all or floor.desk._listeners or floor.feed._followers)
        )
    )


# --- frames ------------------------------------------------------------------------------------------------


@doors
def test_text_and_binary_frames_are_answered_alike(exchange: RunningExchange, door: str) -> None:
    with connected(exchange, door) as client:
        client.send(TEXT, b'{"op":"ping","id":1}')
        opcode, payload = client.frame()
        assert (opcode, json.loads(payload)["id"]) == (TEXT, 1)
        client.send(BINARY, msgspec.msgpack.encode({"op": "ping", "id": 2}))
        opcode, payload = client.frame()
        assert (opcode, msgspec.msgpack.decode(payload)["id"]) == (BINARY, 2)


@doors
@pytest.mark.parametrize("opcode", [TEXT, BINARY])
def test_a_message_may_come_in_many_frames_with_pings_between(
    exchange: RunningExchange, door: str, opcode: int
) -> None:
    with connected(exchange, door) as client:
        value = {"op": "ping", "id": 5}
        data = json.dumps(value).encode() if opcode == TEXT else msgspec.msgpack.encode(value)
        for at in range(len(data)):
            client.send(opcode if at == 0 else MORE, data[at : at + 1], fin=False)
            if at == 3:
                client.send(PING, b"still here")
                assert client.frame() == (PONG, b"still here")
        client.send(MORE, b"")
        got, payload = client.frame()
        assert got == opcode
        said = json.loads(payload) if opcode == TEXT else msgspec.msgpack.decode(payload)
        assert (said["op"], said["id"], said["ok"]) == ("ping", 5, True)
        assert client.say({"op": "ping", "id": 6})["id"] == 6


@doors
def test_bytes_may_come_one_by_one_and_frames_together(exchange: RunningExchange, door: str) -> None:
    with connected(exchange, door) as client:
        for byte in framed(TEXT, b'{"op":"ping","id":1}'):
            client.socket.sendall(bytes([byte]))
        assert client.value()["id"] == 1
        client.socket.sendall(b"".join(framed(TEXT, b'{"op":"ping","id":%d}' % at) for at in range(100)))
        assert [client.value()["id"] for _ in range(100)] == list(range(100))


@doors
def test_a_ping_is_answered_and_a_pong_is_not(exchange: RunningExchange, door: str) -> None:
    with connected(exchange, door) as client:
        client.send(PONG, b"unasked")
        client.send(PING, b"")
        client.send(PING, b"x" * 125)
        assert [client.frame(), client.frame()] == [(PONG, b""), (PONG, b"x" * 125)]


@doors
def test_a_message_of_the_greatest_size_is_taken_and_a_longer_one_closes(
    exchange: RunningExchange, door: str
) -> None:
    with connected(exchange, door) as client:
        request = b'{"op":"ping","id":1,"z":"' + b" " * (MAX_MESSAGE - 30) + b'"}'
        client.send(TEXT, request)
        assert client.value()["ok"]
        client.send(TEXT, b" " * (MAX_MESSAGE + 1))
        assert client.closed() == 1009
    works(exchange, door)


@doors
def test_frames_that_are_too_much_together_close(exchange: RunningExchange, door: str) -> None:
    with connected(exchange, door) as client:
        client.send(TEXT, b" " * 40_000, fin=False)
        client.send(MORE, b" " * 40_000, fin=False)
        assert client.closed() == 1009
    works(exchange, door)


@doors
@pytest.mark.parametrize(
    "frames",
    [
        [framed(MORE, b"{}")],
        [framed(MORE, b"{}", fin=False)],
        [framed(TEXT, b'{"op":', fin=False), framed(TEXT, b'"ping"}')],
        [framed(TEXT, b'{"op":', fin=False), framed(TEXT, b'"ping"}', fin=False)],
    ],
    ids=["more of nothing", "more and more of nothing", "another within", "another begun within"],
)
def test_frames_out_of_order_close(exchange: RunningExchange, door: str, frames: list[bytes]) -> None:
    with connected(exchange, door) as client:
        client.socket.sendall(b"".join(frames))
        assert client.closed() == 1002
    works(exchange, door)


FORBIDDEN = (b"\x03", b"\x00\x00", b"\x03\xed")  # cut short, and codes nobody may send


@doors
@pytest.mark.parametrize(
    "payload", [b"", b"\x03\xe8", b"\x03\xe8bye", b"\x0f\xa0", b"\x0b\xb8mine", *FORBIDDEN]
)
def test_a_close_is_answered_and_ends_the_connection(
    exchange: RunningExchange, door: str, payload: bytes
) -> None:
    with connected(exchange, door) as client:
        client.send(CLOSE, payload)
        opcode, answered = client.frame()
        if payload not in FORBIDDEN:
            assert opcode == CLOSE
            assert answered[:2] in (payload[:2], b"\x03\xe8")
        assert client.closed() != 0
    until(lambda: is_clean(exchange))


@doors
@pytest.mark.parametrize(
    "data",
    [
        b"\xff" * 20,
        b"\x83\x80abcd",
        b"\xf1\x80abcd",
        b"\x81\xff" + b"\xff" * 12,
        b"\x81\x05hello",
        os.urandom(500),
    ],
    ids=["ones", "opcode 3", "reserved bits", "endless", "unmasked", "random"],
)
def test_what_is_no_frame_hurts_nobody_else(exchange: RunningExchange, door: str, data: bytes) -> None:
    with connected(exchange, door) as client, connected(exchange, door) as other:
        client.socket.sendall(data)
        assert other.say({"op": "ping", "id": 1})["ok"]
    until(lambda: is_clean(exchange))


# --- who is let in -----------------------------------------------------------------------------------------


@doors
@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 101),
        ({"Host": "localhost"}, 101),
        ({"Origin": "http://127.0.0.1:8050"}, 101),
        ({"Host": "evil.example"}, 403),
        ({"Host": ""}, 403),
        ({"Host": "127.0.0.1.evil.example"}, 403),
        ({"Origin": "https://evil.example"}, 403),
        ({"Origin": "null"}, 403),
    ],
)
def test_only_this_machines_own_hosts_and_pages_are_let_in(
    exchange: RunningExchange, door: str, headers: dict[str, str], status: int
) -> None:
    with Raw(port_of(exchange, door)) as client:
        got = client.open(**headers)
        assert got == status or (status == 403 and got == 400 and headers == {"Host": ""})
    until(lambda: is_clean(exchange))


@doors
@pytest.mark.parametrize(
    "path", ["/", "/nativ", "/native/", "/native/x", "/NATIVE", "//native", "/%6eative", "/bybit"]
)
def test_other_paths_are_not_found(exchange: RunningExchange, door: str, path: str) -> None:
    with Raw(port_of(exchange, door)) as client:
        status = client.open(path)
        assert status == 404 or (door == "shared" and path == "/bybit" and status in (400, 404))


@doors
@pytest.mark.parametrize(
    "path", ["/native?x=1", "/binance_spot/ws-api/v3", "/bybit/v5/private", "/bybit/v5/trade"]
)
def test_every_order_socket_is_at_both_doors(exchange: RunningExchange, door: str, path: str) -> None:
    with Raw(port_of(exchange, door)) as client:
        assert client.open(path) == 101
        assert until(lambda: len(exchange.floor(lambda floor: floor.clients.all)) == 1)


@doors
def test_no_more_clients_come_than_may(
    exchange: RunningExchange, door: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    until(lambda: is_clean(exchange))
    monkeypatch.setattr(clients, "MAX_CLIENTS", 2)
    refused = exchange.floor(lambda floor: floor.clients.refused)
    with connected(exchange, door) as first, connected(exchange, door):
        with Raw(port_of(exchange, door)) as third:
            assert third.open() == 503
        assert exchange.floor(lambda floor: floor.clients.refused) == refused + 1
        assert first.say({"op": "ping"})["ok"]
        first.send(CLOSE)
        first.closed()
        until(lambda: exchange.floor(lambda floor: len(floor.clients.all)) == 1)
        works(exchange, door)


# --- what is left of those who went ------------------------------------------------------------------------


@doors
@pytest.mark.parametrize("way", ["close", "end", "break"])
def test_whoever_goes_leaves_open_orders_and_nothing_else(
    exchange: RunningExchange, door: str, way: str
) -> None:
    account = f"left-{door}-{way}"
    client = logged_in(exchange, door, account)
    channels = ["account", "book:BTC-USDT", "trades:ETH-USDT", "bbo:SOL-USDT"]
    client.send(TEXT, json.dumps({"op": "subscribe", "channels": channels}).encode())
    best = exchange.floor(lambda floor: floor.desk.engine.bbo("BTC-USDT"))
    price = f"{best.bid_ticks * 9 // 10 / 10:.1f}"
    order = {"op": "place", "id": 9, "symbol": "BTC-USDT", "side": "buy", "price": price, "size": "0.01"}
    client.send(TEXT, json.dumps(order).encode())
    until(lambda: exchange.floor(lambda f: len(f.desk.open_orders(f.accounts.account(account)))))
    assert not is_clean(exchange)
    if way == "close":
        client.send(CLOSE, b"\x03\xe8")
        client.closed()
    elif way == "break":
        client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.socket.close()
    until(lambda: is_clean(exchange))
    found = exchange.floor(lambda f: f.desk.open_orders(f.accounts.account(account)))
    assert [each.is_open for each in found] == [True]
    with logged_in(exchange, door, account) as again:
        answer = again.say({"op": "orders"})
        assert [each["order_id"] for each in answer["orders"]] == [found[0].order_id]
        assert again.say({"op": "cancel", "order_id": found[0].order_id})["ok"]


@doors
def test_a_revoked_key_ends_its_sockets_alone(exchange: RunningExchange, door: str) -> None:
    with logged_in(exchange, door) as mine, logged_in(exchange, door, "other") as other:
        found = exchange.floor(lambda f: [each.api_key for each in f.accounts.keys if each.name == "main"])
        for api_key in found:
            exchange.do(lambda house, api_key=api_key: house.admin.revoke(api_key))
        assert mine.closed() == 1008
        assert other.say({"op": "ping"})["ok"]
    until(lambda: is_clean(exchange))


@doors
def test_who_never_reads_is_cut_with_a_reason_and_the_others_go_on(
    exchange: RunningExchange, door: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clients, "MAX_QUEUE", 1 << 20)
    cut = exchange.floor(lambda floor: floor.clients.cut_slow)
    with connected(exchange, door) as other, connected(exchange, door, receive_buffer=4_096) as deaf:
        ask = [{"op": op, "channels": ["book:BTC-USDT"]} for op in ("subscribe", "unsubscribe")] * 50
        request = framed(TEXT, json.dumps(ask).encode())
        deaf.socket.settimeout(0.2)
        end = time.monotonic() + WITHIN_S
        while exchange.floor(lambda floor: floor.clients.cut_slow) == cut:
            assert time.monotonic() < end
            try:
                deaf.socket.sendall(request)
            except (TimeoutError, ConnectionError):
                break
            assert other.say({"op": "ping"})["ok"]
        until(lambda: exchange.floor(lambda floor: floor.clients.cut_slow) == cut + 1)
        assert exchange.floor(lambda floor: len(floor.clients.all)) == 1
        assert other.say({"op": "ping"})["ok"]
        # What was on its way is cut off with it, or ends with the reason.
        deaf.socket.settimeout(WITHIN_S)
        assert deaf.closed() in (-1, 1008)
    until(lambda: is_clean(exchange))


@doors
def test_nothing_is_written_to_a_connection_that_was_just_lost(exchange: RunningExchange, door: str) -> None:
    """Between its loss and the news of it; uvloop raises an error then, in whatever turn the message comes."""
    failed = exchange.floor(lambda floor: floor.clients.failed)

    async def lose() -> None:
        (client,) = exchange.house.floor.clients.all.values()
        transport: Any = client._transport  # type: ignore[attr-defined]
        getattr(transport, "underlying_transport", transport).abort()
        for _ in range(20):
            for send in (client.send, client.send_binary, client.ack):
                send(b"{}")
            await asyncio.sleep(0)
        assert client.ended

    with connected(exchange, door):
        assert exchange._loop is not None
        asyncio.run_coroutine_threadsafe(lose(), exchange._loop).result(WITHIN_S)
    assert exchange.floor(lambda floor: floor.clients.failed) == failed
    until(lambda: is_clean(exchange))


@doors
@pytest.mark.parametrize("way", ["end", "break", "close"])
def test_followers_that_vanish_end_nobody_else(door: str, way: str) -> None:
    channels = [
        f"{kind}:{symbol}-USDT" for symbol in ("BTC", "ETH", "SOL") for kind in ("book", "trades", "bbo")
    ]
    with RunningExchange(rate=4_000) as exchange, connected(exchange, "own") as other:
        for _ in range(6):
            clients = [connected(exchange, door) for _ in range(10)]
            for client in clients:
                client.send(TEXT, json.dumps({"op": "subscribe", "channels": channels}).encode())
            time.sleep(0.02)
            for client in clients:
                if way == "close":
                    client.send(CLOSE, b"\x03\xe8")
                elif way == "break":
                    client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                client.socket.close()
            assert other.say({"op": "ping"})["ok"]
        until(lambda: exchange.floor(lambda floor: len(floor.clients.all)) == 1)
        assert exchange.floor(lambda floor: floor.clients.failed) == 0


# --- HTTP --------------------------------------------------------------------------------------------------


@doors
@pytest.mark.parametrize(
    "data",
    [
        b"\r\n\r\n", b"GET\r\n\r\n", b"GET /native\r\n\r\n", b"\x00\x01\x02\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"GET /native HTTP/1.1\r\nHost\r\n\r\n", b"A" * 100_000,
        b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\n\r\n",
        b"GET /native HTTP/1.1\r\n" + b"".join(b"X-%d: y\r\n" % at for at in range(20_000)) + b"\r\n",
        b"GET /native HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\n\r\n",
        b"GET /native HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
        b"GET /native HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
    ],
)  # fmt: skip
def test_what_is_no_http_is_refused_and_hurts_nobody(
    exchange: RunningExchange, door: str, data: bytes
) -> None:
    with Raw(port_of(exchange, door)) as client:
        try:
            client.socket.sendall(data)
            client.socket.shutdown(socket.SHUT_WR)
            answer = client.answer()
        except OSError:
            answer = b""
        assert b" 101 " not in answer.partition(b"\r\n")[0]
        assert b" 500 " not in answer.partition(b"\r\n")[0]
    works(exchange, door)


def ended_while_others_go_on(exchange: RunningExchange, door: str, slow: Raw, drip: bytes) -> None:
    """`drip` is sent byte by byte; the connection ends all the same, and another is served meanwhile."""
    slow.socket.setblocking(False)
    with connected(exchange, door) as other:
        end = time.monotonic() + WITHIN_S
        for byte in drip:
            assert time.monotonic() < end, "it was not ended"
            try:
                if slow.socket.recv(4_096) == b"":
                    return
            except BlockingIOError:
                pass
            except ConnectionError:
                return
            try:
                slow.socket.send(bytes([byte]))
            except ConnectionError:
                return
            assert other.say({"op": "ping"})["ok"]
            time.sleep(0.05)
    raise AssertionError("it was not ended")


@doors
def test_a_head_that_comes_byte_by_byte_is_not_waited_for(door: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "IDLE_S", 1.0)
    monkeypatch.setattr(order_sockets, "HANDSHAKE_S", 1.0)
    with RunningExchange(rate=200) as exchange, Raw(port_of(exchange, door)) as slow:
        ended_while_others_go_on(exchange, door, slow, slow.head("/native", Extra="x" * 500))


@pytest.mark.parametrize(
    "path", ["/admin/keys", "/admin/faucet", "/faults", "/neighbour", "/binance_spot/api/v3/order"]
)
@pytest.mark.parametrize("length", ["Content-Length: 1000", "Transfer-Encoding: chunked"])
def test_a_body_that_never_ends_is_not_waited_for(
    exchange: RunningExchange, path: str, length: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "BODY_WITHIN_S", 0.5)
    with Raw(port_of(exchange, "shared")) as slow:
        slow.socket.sendall(f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n{length}\r\n\r\n".encode())
        drip = b"{" + b" " * 800 if "Length" in length else b"1\r\n \r\n" * 200
        ended_while_others_go_on(exchange, "shared", slow, drip)


@pytest.mark.parametrize("path", ["/admin/keys", "/faults"])
def test_a_body_in_chunks_is_bounded_like_any_other(exchange: RunningExchange, path: str) -> None:
    before = exchange.floor(lambda floor: floor.accounts.keys)
    with Raw(port_of(exchange, "shared")) as client:
        chunk = b"10000\r\n" + b" " * 65_536 + b"\r\n"
        client.socket.sendall(
            f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
            + b"2\r\n{}\r\n"
            + chunk * 2
            + b"0\r\n\r\n"
        )
        assert b" 413 " in client.answer().partition(b"\r\n")[0]
    assert exchange.floor(lambda floor: floor.accounts.keys) == before
