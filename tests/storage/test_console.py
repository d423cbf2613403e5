"""What a recording without a page says: what is on the disk, and the exit code that goes with it."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from engine.storage.console import follow, sum_up
from engine.storage.views import RecordingView, StorageView
from engine.telemetry.board import EngineView
from engine.telemetry.hub import Telemetry


def board(state: str, rows: int) -> Telemetry:
    """A telemetry that shows a store in this state which was handed so many rows."""
    telemetry = Telemetry(0)
    recording = RecordingView(
        venue="builtin", symbols=(), what=("trades",), since_ns=0, rows=rows, rows_per_s=0.0, size_bytes=9,
        state="recording", detail="",
    )  # fmt: skip
    shown: Any = state
    telemetry.board.storage = StorageView(state=shown, detail="the disk", recordings=(recording,))
    telemetry.board.engine = replace(EngineView(), state="running")
    return telemetry


def test_what_is_on_the_disk_counts_not_what_was_handed_over(capsys: pytest.CaptureFixture[str]) -> None:
    assert sum_up(0, 1_000, ended=True) == 1
    said = capsys.readouterr()
    assert (said.out, said.err) == ("", "venuescope: nothing was recorded; 1,000 rows were given up\n")
    assert sum_up(1_234, 0, ended=True) == 0
    assert capsys.readouterr().out.startswith("1,234 rows recorded; the History page")
    assert sum_up(1_234, 5, ended=True) == 0
    assert capsys.readouterr().out.startswith("1,234 rows recorded; 5 rows were given up; the History")
    assert sum_up(1_234, 0, ended=False) == 1
    assert "the engine did not end in time" in capsys.readouterr().out


def test_a_store_that_cannot_be_opened_ends_it_and_one_that_fails_later_does_not(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert asyncio.run(follow(board("read only", 0), "builtin", (), 0.1, asyncio.Event())) == 1
    assert capsys.readouterr().err == "venuescope: the disk\n"

    async def later() -> int:
        telemetry = board("ready", 10)
        following = asyncio.create_task(follow(telemetry, "builtin", (), 1.5, asyncio.Event()))
        await asyncio.sleep(0.1)
        telemetry.board.storage = replace(telemetry.board.storage, state="failed")
        return await following

    assert asyncio.run(later()) == 0
    assert "builtin" in capsys.readouterr().out
