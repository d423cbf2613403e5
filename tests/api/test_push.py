"""Push over real sockets: what listeners are told, in every form, at their own pace, and as long as they may."""

from __future__ import annotations

import asyncio
import json
import socket
from typing import Any

import aiohttp
import pytest
from websockets.asyncio.client import connect
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory

from engine.access.identity import Identity
from engine.api.push.hub import SUBSCRIPTIONS_MOST
from engine.api.push.protocol import MESSAGE_MOST
from engine.market.sequencing import Rule
from tests.api.push_rig import CANDLES, LIVE, Client, Served, listening, on_a_loop, serving
from tests.engine.markets import BTC, SECOND, SPOT, START, Desk

TOPIC = "candles:binance_spot:BTC-USDT"


def finals(messages: list[dict[str, Any]]) -> list[int]:
    """Seconds after the start of the closed candles among messages."""
    return [
        each["candle"]["ts_ms"] // 1_000 - START // SECOND
        for each in messages
        if each["type"] == "candle" and each["candle"]["final"]
    ]


async def seconds(served: Served, first: int, count: int) -> None:
    """Trades in each of some seconds, and turns at each of their begins."""
    for second in range(first, first + count):
        served.desk.now = START + second * SECOND + SECOND // 4
        served.desk.trade(10_000 + second, 100)
        await served.turn(second + 0.5)
        await served.turn(second + 1.0)


def test_two_hundred_listeners_get_every_closed_candle_once_aligned_to_the_second() -> None:
    async def run() -> None:
        async with (
            serving() as served,
            aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session,
        ):
            links = []
            for number in range(200):
                form = ("json", "msgpack", "protobuf")[number % 3]
                link = await session.ws_connect(f"{served.url}?format={form}", compress=15 * (number % 2))
                await link.send_str(json.dumps(CANDLES))
                links.append(Client(served, link, decoders()[form]))
            while served.push.view().subscriptions < 200:
                await asyncio.sleep(0)
                await served.turn()
            await served.turn(1.0)
            heard: list[list[dict[str, Any]]] = [[] for _ in links]

            async def hear(client: Client, into: list[dict[str, Any]]) -> None:
                while (found := await client.get(turning=False))["type"] != "closed":
                    into.append(found)

            tasks = [asyncio.create_task(hear(*pair)) for pair in zip(links, heard, strict=True)]
            await seconds(served, 1, 30)
            await served.turn(33.0)
            view = served.push.view()
            assert (view.listeners, view.conflated, view.cut_slow) == (200, 0, 0)
            for listener in list(served.push._listeners.values()):
                served.push._end(listener, 1001, "done")
            await asyncio.wait_for(asyncio.gather(*tasks), 10)
            for each in heard:
                assert finals(each) == list(range(1, 31))
                numbers = [one["seq"] for one in each if one["type"] == "candle"]
                assert numbers == list(range(1, len(numbers) + 1))
                running = [one for one in each if one["type"] == "candle" and not one["candle"]["final"]]
                # Each was made in the middle of its own second.
                assert len(running) == 30
                assert all(one["ts_ms"] - one["candle"]["ts_ms"] == 500 for one in running)

    on_a_loop(run())


def decoders() -> dict[str, Any]:
    import msgspec

    from tests.api.push_rig import decode_json, decode_protobuf

    return {"json": decode_json, "msgpack": msgspec.msgpack.decode, "protobuf": decode_protobuf}


@pytest.mark.parametrize("compress", [0, 15])
def test_every_form_says_the_same(compress: int) -> None:
    async def hear(form: str) -> list[dict[str, Any]]:
        async with serving() as served, listening(served, form, compress) as client:
            assert bool(client.link.compress) == bool(compress)
            for channel in ("candles", "ticks", "book", "trades", "throughput", "latency", "alerts"):
                await client.send(op="subscribe", id=channel, channel=channel, symbol="BTC-USDT")
                assert (await client.get())["id"] == channel
                assert (await client.get())["type"] == "snapshot"
            await client.send(op="list", id=7)
            found = [await client.get()]
            served.desk.now = START + SECOND // 2
            served.desk.trade(10_050, 3).delta([(9_800, 4), (9_900, 0)], [(10_200, 0)])
            await served.turn(0.6)  # the running candle is said at the half of its second
            await served.turn(1.0)
            while len(found) < 6 or found[-1]["type"] == "latency":  # whose values are of this machine
                found.append(await client.get())
            return [{**each, "epoch": None} for each in found if each["type"] != "latency"]

    async def run() -> None:
        json_form, msgpack, protobuf = [await hear(form) for form in ("json", "msgpack", "protobuf")]
        assert json_form == msgpack
        assert json_form == protobuf
        assert {each["type"] for each in json_form} >= {"topics", "candle", "tick", "diff", "trades"}

    on_a_loop(run())


@pytest.mark.parametrize("bits", [None, 12, 15])
def test_another_librarys_client_reads_what_is_deflated(bits: int | None) -> None:
    async def run() -> None:
        async with serving(running=True) as served:
            levels = [(10_000 - at, 1 + at * 7919 % 1_000) for at in range(200)]
            served.desk.delta(levels, []).at(0.1)
            offer = ClientPerMessageDeflateFactory(server_max_window_bits=bits, client_max_window_bits=True)
            async with connect(served.url, extensions=[offer], compression=None) as link:
                (agreed,) = link.protocol.extensions
                assert agreed.remote_no_context_takeover  # type: ignore[attr-defined]
                for _ in range(5):
                    await link.send('{"op":"subscribe","channel":"book","symbol":"BTC-USDT","depth":200}')
                books = []
                while len(books) < 5:
                    message = json.loads(await link.recv())
                    books += [message["book"]] if "book" in message else []
                assert all(len(each["bids"]) == 200 for each in books)
            view = served.push.view()
            assert 0 < view.bytes < 5 * 200 * 20

    on_a_loop(run())


def test_one_who_comes_back_misses_no_closed_candle() -> None:
    async def run() -> None:
        async with serving() as served:
            async with listening(served) as client:
                await client.send(**CANDLES)
                await client.until("snapshot")
                await seconds(served, 1, 5)
                got = [await client.until("candle") for _ in range(9)]
            # Other listeners or none: the topic lives on for a while.
            await seconds(served, 6, 20)
            async with listening(served) as client:
                epoch = next(iter(served.push._hub.topics.values())).epoch
                await client.send(**CANDLES, resume={"epoch": epoch, "seq": got[-1]["seq"]})
                told = await client.until("subscribed")
                # The number of what came last, not of what comes next: the connection can break before that.
                assert (told["resumed"], told["seq"]) == (True, got[-1]["seq"])
                await seconds(served, 26, 2)
                while finals(got)[-1] < 26:
                    got.append(await client.until("candle"))
            assert finals(got) == list(range(1, 27))
            numbers = [each["seq"] for each in got]
            assert numbers == sorted(set(numbers))

    on_a_loop(run())


@pytest.mark.parametrize("resume", [{"epoch": "another", "seq": 3}, {"epoch": "", "seq": 10**9}])
def test_who_cannot_go_on_is_told_and_begins_with_a_snapshot(resume: dict[str, Any]) -> None:
    async def run() -> None:
        async with serving() as served, listening(served) as first:
            await first.send(**CANDLES)
            told = await first.until("subscribed")
            await seconds(served, 1, 3)
            given = {**resume, "epoch": resume["epoch"] or told["epoch"]}
            async with listening(served) as client:
                await client.send(**CANDLES, resume=given)
                assert (await client.until("subscribed"))["resumed"] is False
                snapshot = await client.until("snapshot")
                shown = [each["final"] for each in snapshot["candles"]]
                assert shown == [True, True, False]
                await served.turn(6.0)
                assert finals([await client.until("candle")]) == [3]

    on_a_loop(run())


def test_one_who_never_reads_is_cut_and_nobody_else_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    # Others are gone at once after their end: one that is slow has time to read as far as the reason.
    monkeypatch.setattr("engine.api.push.push.CLOSE_WITHIN_S", 0.0)

    async def run() -> None:
        async with serving() as served:
            served.send_buffer = 4_096
            mute = socket.socket()
            mute.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
            mute.setblocking(False)
            loop = asyncio.get_running_loop()
            await loop.sock_connect(mute, ("127.0.0.1", served.port))
            await loop.sock_sendall(mute, handshake(served.port))
            asked = [
                {"op": "subscribe", "channel": each, "symbol": "BTC-USDT"} for each in ("trades", "book")
            ]
            await loop.sock_sendall(mute, b"".join(masked(json.dumps(each).encode()) for each in asked))
            async with listening(served) as client:
                await client.send(**asked[0])
                await client.until("snapshot")
                while served.push.view().subscriptions < 3:
                    await served.turn()
                    await asyncio.sleep(0)
                trades = 0
                for turn in range(1, 2_000):
                    served.desk.now = START + turn * 10_000_000
                    for _ in range(40):
                        served.desk.trade(10_000, 1)
                    served.desk.delta([(10_000, turn)], [])
                    await served.turn(turn / 100)
                    trades += 40
                    got = await client.until("trades", turning=False)
                    assert len(got["trades"]) == 40
                    assert "lost" not in got
                    if served.push.view().cut_slow:
                        break
                view = served.push.view()
                assert (view.cut_slow, view.listeners) == (1, 2)
                assert view.conflated > 0
                await asyncio.sleep(0.01)
                # It reads at last: every frame it gets is whole, and the last one says why it was cut.
                mute.setblocking(True)
                data = await asyncio.to_thread(drained, mute, b"too slow")
                assert b"too slow" in data
                assert data[data.rindex(b"too slow") - 2 :][:2] == (1013).to_bytes(2, "big")

    on_a_loop(run())


def handshake(port: int, more: str = "") -> bytes:
    return (
        f"GET /ws HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n{more}\r\n"
    ).encode()


def masked(payload: bytes) -> bytes:
    assert len(payload) < 126
    return bytes([0x81, 0x80 | len(payload), 0, 0, 0, 0]) + payload


def drained(link: socket.socket, last: bytes) -> bytes:
    """All that still comes, up to what is said last."""
    link.settimeout(5)
    found = b""
    while last not in found[-200:]:
        try:
            part = link.recv(65_536)
        except ConnectionError:
            return found
        if not part:
            return found
        found += part
    return found


def test_a_slow_listener_gets_the_newest_and_a_whole_book_when_it_reads_again() -> None:
    async def run() -> None:
        async with serving() as served, listening(served) as client:
            for channel in ("ticks", "book"):
                await client.send(op="subscribe", channel=channel, symbol="BTC-USDT")
                await client.until("snapshot")
            (listener,) = served.push._listeners.values()
            full = Stopped(listener.transport)
            listener.transport = full  # type: ignore[assignment]
            for turn in range(1, 800):
                served.desk.delta([(9_000 - turn, turn), (10_000, turn)], [(10_100 + turn, 3)])
                await served.turn(turn / 10)
            assert served.push.view().conflated > 100
            full.held = 0
            served.desk.delta([(10_000, 77)], [])
            await served.turn(81.0)
            book: dict[str, Any] = {}
            ticks = [await client.get(turning=False) for _ in range(3)]
            while not book:
                found = await client.get()
                ticks.append(found)
                if found["type"] == "snapshot":
                    book = found["book"]
            assert sum(each["type"] == "conflated" for each in ticks) == 2
            assert book["bids"][0] == ["100.00", "0.00077"]

    on_a_loop(run())


class Stopped:
    """A transport that seems full until it is told otherwise."""

    def __init__(self, inner: asyncio.Transport) -> None:
        self._inner = inner
        self.held = 1 << 20
        self._asked = 0

    def get_write_buffer_size(self) -> int:
        self._asked += 1
        return self.held + self._asked % 2 if self.held else 0  # it moves: it is slow, not stuck

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        ("{", "bad_json"),
        ("[1]", "bad_message"),
        ('{"op": "fly"}', "bad_operation"),
        ('{"op": "subscribe", "channel": "news"}', "bad_channel"),
        ('{"op": "subscribe", "channel": "book"}', "bad_message"),
        ('{"op": "subscribe", "channel": "book", "symbol": "BTC-USDT", "depth": 7}', "bad_argument"),
        ('{"op": "subscribe", "channel": "candles", "symbol": "BTC-USDT", "interval": "7s"}', "bad_interval"),
        ('{"op": "subscribe", "channel": "candles", "symbol": "NO-SUCH"}', "unknown_symbol"),
        ('{"op": "subscribe", "channel": "ticks", "symbol": "BTC-USDT", "venue": "moon"}', "unknown_venue"),
        ('{"op": "unsubscribe", "topic": "ticks:moon:BTC-USDT"}', "not_following"),
        ('{"op": "subscribe", "chanel": "book"}', "bad_message"),
        (b"\x00\x01", "binary"),
        ('"' + "x" * MESSAGE_MOST + '"', "too_large"),
    ],
)
def test_what_is_refused_has_a_stable_code_and_the_connection_goes_on(sent: str | bytes, code: str) -> None:
    async def run() -> None:
        async with serving() as served, listening(served) as client:
            await (client.link.send_str(sent) if isinstance(sent, str) else client.link.send_bytes(sent))
            refused = await client.get()
            assert (refused["type"], refused["code"]) == ("error", code)
            assert refused["detail"]
            await client.send(op="ping", id="still here")
            assert (await client.get())["id"] == "still here"

    on_a_loop(run())


def test_an_enormous_message_ends_the_connection() -> None:
    async def run() -> None:
        async with serving(running=True) as served, listening(served) as client:
            await client.link.send_str("x" * (5 * MESSAGE_MOST))
            found = await client.get(turning=False)
            assert found["type"] == "closed"
            assert found["code"] in (1009, 1006)  # what is still unread may reset the connection

    on_a_loop(run())


def test_subscriptions_are_limited() -> None:
    async def run() -> None:
        async with serving() as served, listening(served) as client:
            (listener,) = served.push._listeners.values()
            listener.topics.update(dict.fromkeys(map(str, range(SUBSCRIPTIONS_MOST)), None))  # type: ignore[arg-type]
            await client.send(**CANDLES, id=1)
            assert (await client.get())["code"] == "too_many_subscriptions"
            listener.topics.clear()

    on_a_loop(run())


def test_messages_are_limited_and_who_does_not_stop_is_cut() -> None:
    async def run() -> None:
        async with serving(running=True) as served, listening(served) as client:
            for _ in range(120):
                await client.send(op="ping")
            answers = [await client.get(turning=False) for _ in range(101)]
            assert [each["type"] for each in answers].count("pong") >= 100
            found = (
                answers[-1] if answers[-1]["type"] == "error" else await client.until("error", turning=False)
            )
            assert found["code"] == "too_many_messages"
            for _ in range(400):
                await client.send(op="ping")
            while (found := await client.get(turning=False))["type"] != "closed":
                pass
            assert found["code"] == 1008
            assert served.push.view().cut_messages == 1

    on_a_loop(run())


def test_who_does_not_say_who_it_is_hears_nothing() -> None:
    async def run() -> None:
        async with serving() as served:
            served.identity = None
            served.door.tokens["good"] = Identity("key 1", "read", "key", "1")
            async with listening(served) as client:
                await client.send(**CANDLES, id=1)
                assert (await client.get())["code"] == "unauthenticated"
                await client.send(op="auth", id=2, token="bad")
                assert (await client.get())["code"] == "bad_credentials"
                await client.send(op="auth", id=3, token="good")
                assert (await client.get())["type"] == "authenticated"
                await client.send(**CANDLES)
                assert (await client.get())["type"] == "subscribed"

    on_a_loop(run())


def test_a_connection_counts_for_the_key_it_is_authenticated_with() -> None:
    async def run() -> None:
        async with serving() as served:
            served.identity = None
            served.door.tokens["good"] = Identity("key 1", "read", "key", "1")
            async with listening(served) as client, listening(served) as other:
                await client.send(op="auth", token="good")
                await client.until("authenticated")
                assert served.door.holders == {"": 1, "1": 1}
                served.door.most_of_a_key = 1
                await other.send(op="auth", token="good")
                assert (await other.get())["code"] == "too_many_connections"
                assert served.door.holders == {"": 1, "1": 1}
            while served.door.connected:
                await asyncio.sleep(0.001)
            assert served.door.holders == {"": 0, "1": 0}

    on_a_loop(run())


def test_who_says_nothing_in_time_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.api.push.push.AUTHENTICATE_S", 0.01)

    async def run() -> None:
        async with serving() as served:
            served.identity = None
            async with listening(served) as client:
                assert (await client.get())["code"] == "unauthenticated"
                assert (await client.get())["code"] == 1008
            assert served.push.view().cut_access == 1

    on_a_loop(run())


@pytest.mark.parametrize("how", ["revoked", "expired"])
def test_one_who_may_not_listen_any_more_is_told_and_ended(how: str) -> None:
    async def run() -> None:
        async with serving() as served:
            served.identity = Identity("key 1", "read", "token", "1", START + 10 * SECOND)
            async with listening(served) as client, listening(served) as other:
                await client.send(**CANDLES)
                await client.until("snapshot")
                await other.send(op="auth", token="fresh")
                if how == "revoked":
                    served.door.revoked.add("1")
                    await served.turn(3.0)
                else:
                    await served.turn(11.0)
                error = await client.until("error")
                assert error["code"] == ("bad_credentials" if how == "revoked" else "expired")
                found = await client.get()
                assert (found["code"], how in found["reason"]) == (1008, True)
                assert served.push.view().cut_access == 2
            while served.door.connected:  # the server hears of their end a little later
                await asyncio.sleep(0.001)

    on_a_loop(run())


def test_a_fresh_token_keeps_the_connection() -> None:
    async def run() -> None:
        async with serving() as served:
            served.identity = Identity("key 1", "read", "token", "1", START + 10 * SECOND)
            served.door.tokens["fresh"] = Identity("key 1", "read", "token", "1", START + 900 * SECOND)
            async with listening(served) as client:
                await client.send(op="auth", token="fresh")
                await client.until("authenticated")
                await served.turn(11.0)
                await client.send(op="ping", id=1)
                assert (await client.until("pong"))["id"] == 1

    on_a_loop(run())


def test_too_many_connections_and_unknown_formats_are_refused_before_the_handshake() -> None:
    async def run() -> None:
        async with serving() as served, aiohttp.ClientSession() as session:
            for url, status in ((f"{served.url}?format=xml", 400), (served.url, 429)):
                served.door.most = 0 if status == 429 else 10
                with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
                    await session.ws_connect(url)
                assert refused.value.status == status
            served.door.most = 10
            async with session.get(served.url.replace("ws:", "http:")) as answer:
                assert answer.status == 400
            assert served.door.connected == 0

    on_a_loop(run())


def test_a_topic_ends_with_its_symbol_and_its_source() -> None:
    async def run() -> None:
        async with serving() as served, listening(served) as client:
            for channel in ("candles", "book"):
                await client.send(op="subscribe", channel=channel, symbol="BTC-USDT")
                await client.until("snapshot")
            await client.send(op="subscribe", channel="throughput")
            await client.until("snapshot")
            served.desk.intake.remove_symbol(LIVE, "BTC-USDT")
            await served.turn(0.1)
            ended = [await client.until("ended") for _ in range(2)]
            assert {each["topic"] for each in ended} == {TOPIC, "book:binance_spot:BTC-USDT"}
            assert all("no longer followed" in each["reason"] for each in ended)
            served.desk.intake.close_source(LIVE, "closed")
            await served.turn(0.2)
            ended = [await client.until("ended")]
            assert ended[0]["reason"] == "binance_spot:live was closed"
            assert served.push.view().topics == 0

    on_a_loop(run())


def test_a_replay_that_is_opened_anew_ends_its_topics_once_and_can_be_followed_again() -> None:
    async def run() -> None:
        desk = Desk(SPOT).snapshot([(10_000, 5)], [(10_100, 2)]).at(0.0)
        async with serving(desk) as served, listening(served) as client:
            asked = [
                {**CANDLES, "channel": each, "venue": SPOT.key} for each in ("candles", "book", "trades")
            ]
            epochs = []
            for each in asked:
                await client.send(**each)
                epochs.append((await client.until("subscribed"))["epoch"])
                await client.until("snapshot")
            desk.intake.open_source(SPOT, "Test venue", [BTC], Rule.BINANCE_SPOT, lambda wall_ns: wall_ns)
            await served.turn(0.1)
            ended = [await client.get() for _ in asked]
            assert [each["type"] for each in ended] == ["ended"] * 3
            assert {each["reason"] for each in ended} == {
                "binance_spot:replay was opened anew: subscribe again"
            }
            desk.snapshot([(9_000, 1)], [(9_100, 1)]).at(0.2)
            for each, epoch in zip(asked, epochs, strict=True):
                await client.send(**each, resume={"epoch": epoch, "seq": 0})
                told = await client.until("subscribed")
                assert (told["resumed"], told["topic"]) == (
                    False,
                    f"{each['channel']}:binance_spot:replay:BTC-USDT",
                )
                snapshot = await client.until("snapshot")
                assert "book" not in snapshot or snapshot["book"]["bids"] == [["90.00", "0.00001"]]

    on_a_loop(run())


def test_a_stopping_program_says_goodbye() -> None:
    async def run() -> None:
        async with serving(running=True) as served, listening(served) as client:
            await client.send(**CANDLES)
            await client.until("snapshot", turning=False)
            for task in asyncio.all_tasks():
                if task.get_coro().__qualname__ == "Push.run":  # type: ignore[union-attr]
                    task.cancel()
            found = await client.get(turning=False)
            assert (found["code"], found["reason"]) == (1001, "the program is stopping")

    on_a_loop(run())


def test_heartbeats_come_each_five_seconds_and_pings_are_answered() -> None:
    async def run() -> None:
        async with serving() as served, listening(served) as client:
            for second in range(1, 12):
                await served.turn(second)
            await client.send(op="ping", id=0)
            await client.until("pong")
            assert [each["ts_ms"] // 1_000 - START // SECOND for each in client.beats] == [0, 5, 10]
            await client.link.ping(b"hello")  # the client would fail if the pong were not as sent
            await client.send(op="ping", id=1)
            assert (await client.until("pong"))["id"] == 1

    on_a_loop(run())


def test_an_idle_push_sleeps() -> None:
    async def run() -> None:
        async with serving(running=True) as served:
            turns = 0
            turn = served.push.turn

            async def counted() -> None:
                nonlocal turns
                turns += 1
                await turn()

            served.push.turn = counted  # type: ignore[method-assign]
            await asyncio.sleep(0.05)
            assert turns == 0
            async with listening(served) as client:
                await client.send(op="ping", id=1)
                assert (await client.get(turning=False))["type"] == "pong"
            assert turns > 0

    on_a_loop(run())
