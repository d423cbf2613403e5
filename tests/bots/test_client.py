"""The native client over loopback: answers by their number, pushes by channel, bounds, errors and reconnection."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from random import Random

import pytest

from engine.bots import client as module
from engine.bots.client import NativeClient
from engine.bots.errors import ConnectionLost, LoginRefused, NoAnswer, NoExchange, TooMany
from engine.bots.wire import Message
from tests.bots.fake_exchange import HELLO, SECRET, Fake, fake_exchange


def run(body: Callable[[Fake], Awaitable[None]]) -> None:
    async def whole() -> None:
        async with asyncio.timeout(20), fake_exchange() as fake:
            await body(fake)

    asyncio.run(whole())


def logged_in(fake: Fake, **more: float) -> NativeClient:
    return NativeClient(fake.url, "key", SECRET, random=Random(1), **more)  # type: ignore[arg-type]


async def until(condition: Callable[[], object]) -> None:
    while not condition():
        await asyncio.sleep(0.005)


def test_it_knows_its_account_and_the_symbols_units_once_entered() -> None:
    async def body(fake: Fake) -> None:
        async with logged_in(fake) as client:
            assert client.account == "main"
            symbol = client.symbols["BTC-USDT"]
            assert (symbol.price_text(1_042_387), symbol.size_text(12)) == ("104238.7", "0.00012")
            assert symbol.ticks("104238.7") == 1_042_387

    run(body)


def test_answers_find_their_requests_in_any_order() -> None:
    held: list[dict[str, object]] = []

    async def body(fake: Fake) -> None:
        fake.answer = held.append  # type: ignore[assignment]
        async with logged_in(fake) as client:
            asked = [asyncio.ensure_future(client.cancel(at)) for at in range(1, 6)]
            await until(lambda: len(held) == 5)
            for request in reversed(held):
                await fake.push(op="cancel", id=request["id"], ok=True, order_id=request["order_id"])
            assert [each.order_id for each in await asyncio.gather(*asked)] == [1, 2, 3, 4, 5]
            assert client.late == 0

    run(body)


def test_orders_say_what_they_are() -> None:
    async def body(fake: Fake) -> None:
        async with logged_in(fake) as client:
            await client.place("BTC-USDT", "buy", "0.1", price="100.0", tif="ioc")
            await client.place("BTC-USDT", "sell", "0.1")
            await client.place("BTC-USDT", "sell", "0.1", type="stop", trigger="99.0")
            await client.amend(7, price="1.0", size="2")
            await client.cancel(client_id="mine")
            await client.cancel_all("BTC-USDT")
        sent = [{k: v for k, v in each.items() if k != "id"} for each in fake.requests[1:]]
        order = {"op": "place", "symbol": "BTC-USDT", "size": "0.1"}
        assert sent == [
            order | {"side": "buy", "type": "limit", "price": "100.0", "tif": "ioc"},
            order | {"side": "sell", "type": "market"},
            order | {"side": "sell", "type": "stop", "trigger": "99.0"},
            {"op": "amend", "order_id": 7, "price": "1.0", "size": "2"},
            {"op": "cancel", "client_id": "mine"},
            {"op": "cancel_all", "symbol": "BTC-USDT"},
        ]

    run(body)


def test_a_refusal_is_an_answer() -> None:
    async def body(fake: Fake) -> None:
        fake.answer = lambda request: {"ok": False, "code": 23, "error": "it would trade"}
        async with logged_in(fake) as client:
            answer = await client.place("BTC-USDT", "buy", "0.1", price="1.0", post_only=True)
            assert (answer.ok, answer.code, answer.error) == (False, 23, "it would trade")

    run(body)


def test_pushes_come_to_their_channel_alone() -> None:
    async def body(fake: Fake) -> None:
        quotes: list[Message] = []
        events: list[Message] = []
        async with logged_in(fake) as client:
            await client.subscribe(["bbo:BTC-USDT"], quotes.append)
            await client.subscribe(["account"], events.append)
            await fake.push(ch="bbo:BTC-USDT", bid=["1.0", "2"], ask=["1.1", "3"], last=1, ts_ns=5)
            await fake.push(ch="trades:BTC-USDT", trades=[[1, "1.0", "2", "buy", 3]])
            await fake.push(ch="account", type="trade", order_id=4, fee="0.1")
            await until(lambda: events)
            assert [each.bid for each in quotes] == [("1.0", "2")]
            assert [(each.type, each.order_id) for each in events] == [("trade", 4)]

    run(body)


def test_a_refused_subscription_is_not_kept() -> None:
    async def body(fake: Fake) -> None:
        fake.answer = lambda request: {"ok": False, "code": 200, "error": "no such channel"}
        async with logged_in(fake) as client:
            assert not (await client.subscribe(["nothing"], print)).ok
            fake.cut()
            await until(lambda: len(fake.of("login")) == 2 and client.connected)
            assert len(fake.of("subscribe")) == 1

    run(body)


def test_a_lost_connection_fails_what_waits_and_is_opened_logged_in_and_subscribed_again() -> None:
    async def body(fake: Fake) -> None:
        events: list[Message] = []
        back = asyncio.Event()

        async def on_reconnect() -> None:
            assert (await client.request("ping")).ok  # requests work by now
            back.set()

        async with logged_in(fake) as client:
            client.on_reconnect = on_reconnect
            await client.subscribe(["account"], events.append)
            fake.answer = lambda request: None
            waiting = asyncio.ensure_future(client.cancel(1))
            await until(lambda: fake.of("cancel"))
            fake.answer = lambda request: {"ok": True}
            fake.cut()
            with pytest.raises(ConnectionLost):
                await waiting
            await back.wait()
            assert client.reconnects == 1
            assert [each["channels"] for each in fake.of("subscribe")] == [["account"], ["account"]]
            await fake.push(ch="account", type="new", order_id=9)
            await until(lambda: events)

    run(body)


def test_requests_while_disconnected_are_refused_at_once() -> None:
    async def body(fake: Fake) -> None:
        client = logged_in(fake)
        with pytest.raises(ConnectionLost):
            await client.cancel(1)

    run(body)


def test_requests_that_wait_are_bounded() -> None:
    async def body(fake: Fake) -> None:
        fake.answer = lambda request: None
        async with logged_in(fake, max_waiting=2) as client:
            waiting = [asyncio.ensure_future(client.cancel(at)) for at in range(2)]
            await until(lambda: len(fake.of("cancel")) == 2)
            with pytest.raises(TooMany):
                await client.cancel(3)
            assert len(fake.of("cancel")) == 2
            for each in waiting:
                each.cancel()
            await asyncio.gather(*waiting, return_exceptions=True)
            fake.answer = lambda request: {"ok": True}
            assert (await client.cancel(4)).ok  # their places are free again

    run(body)


def test_an_answer_that_stays_away_is_an_error_and_counted_when_it_comes_after_all() -> None:
    async def body(fake: Fake) -> None:
        fake.answer = lambda request: None
        async with logged_in(fake) as client:
            client._timeout_s = 0.05
            with pytest.raises(NoAnswer, match=r"no answer to .cancel. within 0\.05 s"):
                await client.cancel(1)
            await fake.push(op="cancel", id=fake.requests[-1]["id"], ok=True)
            await until(lambda: client.late == 1)

    run(body)


@pytest.mark.parametrize(("key", "secret", "code"), [("nobody", SECRET, 202), ("key", "another secret", 203)])
def test_a_key_that_is_refused_is_told_with_the_exchanges_words(key: str, secret: str, code: int) -> None:
    async def body(fake: Fake) -> None:
        with pytest.raises(LoginRefused, match=f"refuses the login: .* \\(code {code}\\)") as caught:
            async with NativeClient(fake.url, key, secret):
                pass
        assert caught.value.code == code

    run(body)


def test_a_key_that_is_refused_later_ends_the_client_with_that_error() -> None:
    async def body(fake: Fake) -> None:
        async with logged_in(fake) as client:
            client._api_key = "nobody"
            fake.cut()
            await until(lambda: client.ended)
            assert isinstance(client.ended, LoginRefused)

    run(body)


def test_nobody_there_is_one_sentence_with_what_to_do() -> None:
    async def body() -> None:
        with pytest.raises(NoExchange) as caught:
            async with NativeClient("ws://127.0.0.1:9/native"):
                pass
        assert "no exchange answers at ws://127.0.0.1:9/native" in str(caught.value)
        assert "start one with `uv run app.py`" in str(caught.value)

    asyncio.run(body())


def test_something_else_that_listens_is_no_exchange() -> None:
    async def body(fake: Fake) -> None:
        fake.hello = HELLO | {"version": 2}
        with pytest.raises(NoExchange, match="version 2 of the native protocol, not 1"):
            async with logged_in(fake):
                pass

    run(body)


def test_it_gives_up_after_its_tries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BACKOFF_S", 0.001)
    monkeypatch.setattr(module, "TRIES", 3)

    async def whole() -> None:
        async with asyncio.timeout(20):
            async with fake_exchange() as fake:
                client = await logged_in(fake).__aenter__()
            await until(lambda: client.ended)
            assert isinstance(client.ended, NoExchange)
            await client.close()

    asyncio.run(whole())


def test_pauses_grow_at_random_up_to_a_bound() -> None:
    random = Random(1)
    pauses = [[module.pause_s(tries, random) for _ in range(200)] for tries in range(12)]
    assert all(0 <= each <= module.BACKOFF_MAX_S for drawn in pauses for each in drawn)
    assert max(pauses[0]) <= module.BACKOFF_S < max(pauses[1])
    assert min(pauses[-1]) < module.BACKOFF_MAX_S / 2 < max(pauses[-1])
