"""A program that is killed, again and again: no alert arrives twice, and none that surely failed is lost."""

from __future__ import annotations

import asyncio
import os
import random
import sys
from pathlib import Path

from engine.alerts.courier import AT_ONCE
from engine.alerts.store import Database
from tests.alerts.receiver import Received, receiving

ROOT = Path(__file__).resolve().parents[2]
KILLS = 4
RULES = 8
FEW_S = 60.0


def test_after_kills_each_delivery_arrived_once_and_none_that_failed_is_lost(tmp_path: Path) -> None:
    asyncio.run(_killed_again_and_again(tmp_path, random.Random(7)))


async def _killed_again_and_again(folder: Path, chance: random.Random) -> None:
    answers: dict[str, list[int]] = {}

    def answer(one: Received) -> int:
        """Every third delivery is refused when it first comes."""
        given = answers.setdefault(one.headers["Venuescope-Delivery"], [])
        given.append(503 if not given and len(answers) % 3 == 0 else 200)
        return given[-1]

    async with receiving() as receiver:
        receiver.answer = answer
        for _ in range(KILLS):
            child = await _start(folder, receiver.url, RULES)
            enough = len(receiver.got) + chance.randrange(1, 12)
            async with asyncio.timeout(FEW_S):
                while len(receiver.got) < enough and child.returncode is None:
                    receiver.news.clear()
                    await receiver.news.wait()
            await asyncio.sleep(chance.random() * 0.01)
            child.kill()
            await child.wait()
        child = await _start(folder, receiver.url, RULES)
        async with asyncio.timeout(FEW_S):
            assert await child.wait() == 0

    assert all(given.count(200) <= 1 for given in answers.values())
    assert all(200 not in given[:-1] for given in answers.values())  # nothing came after it had arrived
    database = Database(folder)
    deliveries = [delivery for firing in database.load().firings for delivery in firing.deliveries]
    database.close()
    states = {delivery.id: delivery.state for delivery in deliveries}
    assert set(states.values()) <= {"delivered", "unknown"}
    assert sum(state == "unknown" for state in states.values()) <= KILLS * AT_ONCE
    assert set(answers) <= set(states)  # what arrived was on the disk before
    for id_, state in states.items():
        if state == "delivered":
            assert answers[id_][-1] == 200
    assert len(states) >= 3 * RULES


async def _start(folder: Path, url: str, rules: int) -> asyncio.subprocess.Process:
    child = await asyncio.create_subprocess_exec(
        sys.executable,
        str(Path(__file__).with_name("firing_child.py")),
        str(folder),
        url,
        str(rules),
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        cwd=ROOT,
    )
    assert child.stdout is not None
    async with asyncio.timeout(FEW_S):
        assert await child.stdout.readline() == b"begun\n"
    return child
