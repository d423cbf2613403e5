from __future__ import annotations

import asyncio
from collections.abc import Callable

from engine.errors import VenueBroken
from feeds.repairs import Repairs


def run(
    scenario: Callable[[Repairs, asyncio.Event, list[str]], object], fails: int = 0
) -> tuple[Repairs, list[str]]:
    """Repairs whose fetches wait for an event, the first `fails` of them failing; what was fetched, in order."""
    fetched: list[str] = []

    async def act() -> Repairs:
        answered = asyncio.Event()
        left = fails

        async def fetch(symbol: str, is_wanted: Callable[[], bool]) -> bool:
            nonlocal left
            fetched.append(symbol)
            await answered.wait()
            if left:
                left -= 1
                raise VenueBroken("x", "GET /depth", "HTTP 503")
            return is_wanted()

        repairs = Repairs(fetch, lambda symbol, error: fetched.append(f"{symbol} failed"), lambda: 0.0)
        running = asyncio.create_task(repairs.run())
        await asyncio.sleep(0)
        await scenario(repairs, answered, fetched)  # type: ignore[misc]
        running.cancel()
        await asyncio.wait([running])
        assert len(asyncio.all_tasks()) == 1
        return repairs

    return asyncio.run(act()), fetched


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0.005)


def test_two_are_fetched_at_a_time_and_each_once() -> None:
    async def scenario(repairs: Repairs, answered: asyncio.Event, fetched: list[str]) -> None:
        for symbol in "abcabc":
            repairs.want(symbol)
        await until(lambda: len(fetched) == 2)
        await asyncio.sleep(0.02)
        assert fetched == ["a", "b"]
        answered.set()
        await until(lambda: repairs.queue.fetched == 3)

    repairs, fetched = run(scenario)
    assert fetched == ["a", "b", "c"]
    assert len(repairs.queue) == 0


def test_what_failed_is_told_and_tried_again() -> None:
    async def scenario(repairs: Repairs, answered: asyncio.Event, fetched: list[str]) -> None:
        answered.set()
        repairs.want("a")
        await until(lambda: repairs.queue.fetched == 1)

    repairs, fetched = run(scenario, fails=1)
    assert fetched == ["a", "a failed", "a"]
    assert repairs.queue.failures == 1


def test_a_fetch_that_waits_is_given_up_when_its_book_needs_none() -> None:
    async def scenario(repairs: Repairs, answered: asyncio.Event, fetched: list[str]) -> None:
        repairs.want("a")
        repairs.want("b")
        await until(lambda: len(fetched) == 2)
        repairs.forget("a")
        repairs.want("c")
        await until(lambda: fetched == ["a", "b", "c"])  # its place is free at once
        repairs.want("a")
        answered.set()
        await until(lambda: repairs.queue.fetched == 3)

    repairs, fetched = run(scenario)
    assert fetched == ["a", "b", "c", "a"]
    assert repairs.queue.failures == 0
