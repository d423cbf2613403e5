"""A journal whose process is killed has all it acknowledged, exactly once, and gives no number twice."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.storage import catalog
from engine.storage.journal import Journal
from tests.storage.journal_child import is_known
from tests.storage.journals import put, written

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="forks")

ROOT = Path(__file__).resolve().parents[2]


class Writers:
    """The process that forks writing ones."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.storage.journal_child"],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._pid = 0
        self._read("ready")

    def run(self, folder: Path, seed: int, kill_after_s: float, *, opening: bool) -> tuple[int, int]:
        """(first number, first that was not acknowledged) of a process that is killed so long after it begins.

        It begins with its first acknowledgement, or with the opening; (0, 0) when that did not end.
        """
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"folder": str(folder), "seed": seed}) + "\n")
        self._process.stdin.flush()
        first = acked = ended = 0
        begun = False
        timer = threading.Timer(kill_after_s, self._kill)
        while not ended:
            said = self._read()
            first, acked = said.get("first", first), said.get("acked", acked)
            self._pid = said.get("pid", self._pid)
            if ("pid" if opening else "acked") in said and not begun:
                begun = True
                timer.start()
            ended = said.get("ended", 0)
        timer.join()
        self._pid = 0
        assert ended == signal.SIGKILL
        return first, max(first, acked)

    def close(self) -> None:
        """The processes have ended."""
        self._kill()
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(20)
        assert self._process.stdout is not None
        self._process.stdout.close()

    def _kill(self) -> None:
        if self._pid:
            with contextlib.suppress(ProcessLookupError):  # it has ended by itself
                os.kill(self._pid, signal.SIGKILL)

    def _read(self, name: str = "") -> dict[str, int]:
        assert self._process.stdout is not None
        said: dict[str, int] = json.loads(self._process.stdout.readline())
        assert not name or name in said
        return said


@pytest.fixture
def writers() -> Iterator[Writers]:
    started = Writers()
    yield started
    started.close()


def numbers_in(folder: Path) -> Counter[int]:
    """How often each number is there, in journal and archive; every record is what its number says."""
    found = catalog.snapshot(folder)
    good, damaged = found.decoded()
    assert not damaged
    assert all(is_known(block) for block in good)
    numbers = Counter(number for block in good for number in block.rows["seq"].tolist())
    for file in found.files:
        numbers.update(json.loads(file.detail))
    return numbers


def kill_again_and_again(writers: Writers, folder: Path, rounds: int, seed: int) -> None:
    choice = random.Random(seed)
    acknowledged: list[range] = []
    killed_writing = 0
    for turn in range(rounds):
        opening = turn % 4 == 3
        wait_s = choice.uniform(0, 0.03) if opening else choice.uniform(0, 0.15)
        first, end = writers.run(folder, seed + turn, wait_s, opening=opening)
        numbers = numbers_in(folder)  # as a reader finds it, before anybody has repaired anything
        assert all(count == 1 for count in numbers.values())
        if first:
            assert first >= max((one.stop for one in acknowledged), default=0)
            acknowledged.append(range(first, end))
            killed_writing += end > first
        for one in acknowledged:
            missing = [number for number in one if number not in numbers]
            assert not missing, f"{len(missing)} acknowledged records are lost after round {turn}"
    assert killed_writing >= rounds // 2
    before = numbers_in(folder)
    journal = Journal.open(folder)
    assert journal.next_seq > max(before)
    assert numbers_in(folder) == before
    with catalog.reading(folder) as connection:
        assert connection.pragma("integrity_check") == "ok"
        rows = connection.execute("SELECT sum(rows) FROM spans").get
        assert rows == len(before)  # spans are of the same transactions
    put(journal)
    written(journal)
    assert journal.close()


def test_what_is_acknowledged_survives_a_kill(writers: Writers, tmp_path: Path) -> None:
    kill_again_and_again(writers, tmp_path / "store", rounds=10, seed=1)


@pytest.mark.nightly
def test_what_is_acknowledged_survives_a_hundred_kills(writers: Writers, tmp_path: Path) -> None:
    for store in range(4):
        kill_again_and_again(writers, tmp_path / str(store), rounds=25, seed=1_000 * (store + 1))
