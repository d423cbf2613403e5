"""The load generator's clients over loopback, against an exchange that does what a test asks for."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable

import pytest
from websockets.asyncio.server import ServerConnection

from engine.load.clients import Account, CannotConnect, Load, Second
from tests.load.fake_exchange import Fake, Said, Take, accept, fake_exchange, orders

ACCOUNTS = [Account(f"key-{at}", "secret") for at in range(8)]


def with_load(
    body: Callable[[Fake, Load], Awaitable[None]], take: Take = accept, grace_s: float = 3.0
) -> None:
    """Run with clients connected to such an exchange."""

    async def run() -> None:
        async with fake_exchange(take) as fake:
            load = Load(fake.url, orders(), grace_s=grace_s)
            await load.connect(ACCOUNTS)
            try:
                await body(fake, load)
            finally:
                await load.close()

    asyncio.run(run())


def test_each_client_logs_in_with_its_own_key() -> None:
    async def body(fake: Fake, load: Load) -> None:
        assert {each["key"] for each in fake.logins} == {each.api_key for each in ACCOUNTS}

    with_load(body)


def test_a_closed_loop_answers_every_order_and_alternates_sides() -> None:
    async def body(fake: Fake, load: Load) -> None:
        seconds: list[Second] = []
        result = await load.closed(1.2, seconds.append)
        assert result.sound
        assert result.sent == result.acked == len(fake.requests) == result.latencies.count > 8
        assert len({each["id"] for each in fake.requests}) == result.sent
        sides = Counter(each["side"] for each in fake.requests)
        assert abs(sides["buy"] - sides["sell"]) <= len(ACCOUNTS)
        assert seconds
        assert 0 < seconds[0].acked <= result.acked

    with_load(body)


def test_an_open_run_sends_what_was_planned_through_all_clients() -> None:
    async def body(fake: Fake, load: Load) -> None:
        result = await load.open(400, 0.5)
        assert result.sound
        assert (result.sent, result.acked, len(fake.requests)) == (200, 200, 200)
        again = await load.open(400, 0.1)
        assert (again.sent, again.sound) == (40, True)

    with_load(body)


def test_latency_counts_from_when_an_order_was_due() -> None:
    stalled = asyncio.Event()

    async def stall_once(fake: Fake, connection: ServerConnection, request: Said) -> None:
        if len(fake.requests) == 20 and not stalled.is_set():
            stalled.set()
            time.sleep(0.25)  # the whole loop, the sender included
        await accept(fake, connection, request)

    async def body(fake: Fake, load: Load) -> None:
        result = await load.open(400, 0.5)
        assert result.sound
        # a fifth of the orders came due while nothing moved; from when they were sent they took no time at all
        assert result.latencies.percentile_ms(0.9) > 100

    with_load(body, stall_once)


def test_an_order_without_an_answer_is_lost() -> None:
    async def swallow(fake: Fake, connection: ServerConnection, request: Said) -> None:
        if len(fake.requests) % 10:
            await accept(fake, connection, request)

    async def body(fake: Fake, load: Load) -> None:
        result = await load.open(400, 0.25)
        assert (result.sent, result.acked, result.lost) == (100, 90, 10)
        assert not result.sound
        assert (await load.open(400, 0.02)).strange == 0  # what was lost is forgotten

    with_load(body, swallow, grace_s=1.0)


def test_refusals_are_counted_by_code_and_lose_nothing() -> None:
    async def refuse(fake: Fake, connection: ServerConnection, request: Said) -> None:
        code = 26 if len(fake.requests) % 2 else 23
        await fake.answer(connection, request, ok=False, code=code, error=f"reason {code}")

    async def body(fake: Fake, load: Load) -> None:
        result = await load.open(400, 0.1)
        assert (result.acked, result.refused) == (0, {26: 20, 23: 20})
        assert result.sentences == {26: "reason 26", 23: "reason 23"}
        assert result.sound

    with_load(body, refuse)


def test_an_answer_to_another_client_is_noticed() -> None:
    async def mix_up(fake: Fake, connection: ServerConnection, request: Said) -> None:
        other = next(each for each in fake.connections if each is not connection)
        await fake.answer(other if len(fake.requests) == 5 else connection, request, order_id=1)

    async def body(fake: Fake, load: Load) -> None:
        result = await load.open(400, 0.05)
        assert (result.strange, result.lost, result.acked) == (1, 1, 19)
        assert not result.sound

    with_load(body, mix_up, grace_s=1.0)


def test_an_answer_given_twice_is_noticed() -> None:
    async def twice(fake: Fake, connection: ServerConnection, request: Said) -> None:
        await accept(fake, connection, request)
        if len(fake.requests) == 5:
            await fake.answer(connection, request, order_id=1)

    async def body(fake: Fake, load: Load) -> None:
        result = await load.open(400, 0.05)
        assert (result.strange, result.acked) == (1, 20)
        assert not result.sound

    with_load(body, twice)


def test_a_client_that_is_disconnected_loses_what_waits_and_comes_again() -> None:
    async def cut_once(fake: Fake, connection: ServerConnection, request: Said) -> None:
        if len(fake.requests) == 10:
            connection.transport.abort()
        else:
            await accept(fake, connection, request)

    async def body(fake: Fake, load: Load) -> None:
        result = await load.closed(0.8)
        assert (result.lost, result.reconnects) == (1, 1)
        assert result.acked == result.sent - 1
        while any(each.transport is None for each in load.clients):
            await asyncio.sleep(0.01)
        assert len(fake.connections) == len(ACCOUNTS) + 1

    with_load(body, cut_once)


def test_a_run_whose_answers_stay_away_is_broken_off(monkeypatch: pytest.MonkeyPatch) -> None:
    async def nothing(fake: Fake, connection: ServerConnection, request: Said) -> None:
        pass

    async def body(fake: Fake, load: Load) -> None:
        result = await load.open(10_000, 60.0)
        assert result.hopeless
        assert result.sent + result.unsent == 600_000
        assert result.lost == result.sent

    monkeypatch.setattr("engine.load.clients.HOPELESS_S", 0.1)
    with_load(body, nothing, grace_s=0.1)


def test_placing_and_canceling_cancels_exactly_what_it_placed() -> None:
    async def body(fake: Fake, load: Load) -> None:
        result = await load.place_and_cancel(0.3, sample=3)
        assert result.sound
        placed = [each for each in fake.requests if each["op"] == "place"]
        canceled = [each["order_id"] for each in fake.requests if each["op"] == "cancel"]
        assert len(placed) - len(canceled) == len(result.resting)
        assert len(set(canceled)) == len(canceled)
        assert result.acked == len(placed) + len(canceled)
        assert {at for at, _ in result.resting} <= {0, 1, 2}
        assert not {int(order_id) for _, order_id in result.resting} & set(canceled)

    with_load(body)


def test_a_refused_login_ends_it_with_the_exchanges_words() -> None:
    async def run() -> None:
        async with fake_exchange() as fake:
            load = Load(fake.url, orders())
            with pytest.raises(CannotConnect, match=r"a login was refused: no such key \(code 202\)"):
                await load.connect([ACCOUNTS[0], Account("wrong", "secret")])
            assert load.clients == []

    asyncio.run(run())


def test_nobody_there_ends_it_with_the_systems_words() -> None:
    async def run() -> None:
        load = Load("ws://127.0.0.1:9/native", orders())
        with pytest.raises(CannotConnect, match="client 1 of 1 cannot connect: connection refused"):
            await load.connect(ACCOUNTS[:1])

    asyncio.run(run())
