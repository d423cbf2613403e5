"""A matching engine that is killed has, after recovery, taken everything it acknowledged, and goes on alike."""

from __future__ import annotations

import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.matching.log import CommandLog
from engine.matching.recovery import recover
from tests.matching.crash_child import between, make_engine

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="forks")

ROOT = Path(__file__).resolve().parents[2]


class Exchange:
    """The process that forks trading ones, with the compile cache of the tests."""

    def __init__(self) -> None:
        assert "NUMBA_CACHE_DIR" in os.environ
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.matching.crash_child"],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._pid = 0
        self._read("ready")

    def run(self, folder: Path, seed: int, kill_after_s: float = 60.0, **job: int) -> tuple[int, int]:
        """Trade, and be killed so long after the first acknowledgement; -> the last one, and the exit code."""
        assert self._process.stdin is not None
        line = json.dumps({"folder": str(folder), "seed": seed, **job})
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()
        self._pid = self._read("pid")["pid"]
        acked = self._read("acked")["acked"]
        timer = threading.Timer(kill_after_s, os.kill, (self._pid, signal.SIGKILL))
        timer.start()
        while "ended" not in (said := self._read("acked", "ended")):
            acked = said["acked"]
        timer.cancel()
        self._pid = 0
        return acked, said["ended"]

    def close(self) -> None:
        if self._pid:
            os.kill(self._pid, signal.SIGKILL)
        self._process.kill()
        self._process.communicate()

    def _read(self, *expected: str) -> dict[str, int]:
        assert self._process.stdout is not None
        said: dict[str, int] = json.loads(self._process.stdout.readline() or "{}")
        assert said.keys() <= set(expected), said
        assert said, "the process ended"
        return said


@pytest.fixture(scope="module")
def exchange() -> Iterator[Exchange]:
    running = Exchange()
    yield running
    running.close()


def agrees_with_a_run_without_crashes(folder: Path, seed: int, acked: int) -> None:
    """Nothing acknowledged is missing, and events and state are as if nothing had happened; also later on."""
    events = hashlib.sha256()
    again = recover(folder, make_engine, lambda done: events.update(done.rows.tobytes()))
    assert again.sequence >= acked
    assert again.engine.commands_taken == again.sequence
    assert again.unusable == ()

    straight = make_engine()
    straight.submit(between(seed, 0, again.snapshot_sequence))
    replayed = straight.submit(between(seed, again.snapshot_sequence, again.sequence))
    assert events.hexdigest() == hashlib.sha256(replayed.rows.tobytes()).hexdigest()
    assert again.engine.picture() == straight.picture()

    more = between(seed, again.sequence, again.sequence + 300)
    log = CommandLog(folder, "sync", again.sequence)
    log.append(more)
    log.close()
    assert again.engine.submit(more).rows.tobytes() == straight.submit(more).rows.tobytes()
    assert again.engine.picture() == straight.picture()


@pytest.mark.parametrize("snapshot_every", [0, 25])
@pytest.mark.parametrize("seed", range(3))
def test_killed_while_trading(tmp_path: Path, exchange: Exchange, seed: int, snapshot_every: int) -> None:
    choice = random.Random(seed)
    for crash in range(2):
        acked, status = exchange.run(
            tmp_path, seed, choice.uniform(0.02, 0.7), choice=crash, snapshot_every=snapshot_every
        )
        assert status == -signal.SIGKILL
        agrees_with_a_run_without_crashes(tmp_path, seed, acked)


def test_killed_at_every_step_of_a_snapshot(tmp_path: Path, exchange: Exchange) -> None:
    for step in range(100):
        folder = tmp_path / str(step)
        acked, status = exchange.run(folder, 7, choice=7, die_at=step)
        agrees_with_a_run_without_crashes(folder, 7, acked)
        if status == 0:
            break
        assert status == -signal.SIGKILL
    assert step >= 15  # sync, begin a segment, write, sync, name, and delete the older
