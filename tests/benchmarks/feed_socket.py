"""A recorded market through a socket: `feeds.live` as the application runs it, over loopback, into the rings.

The venue is a process of its own (`capture_venue.py`). Throughput: frames sent as fast as they are read, from the
first to the last one in the books and rings, wall time. Latency: frames sent at a rate, from the moment their bytes
were read off the socket to the end of the call that put what they say into the books and rings; p50, p99 and greatest
of all trades, quotes and deltas.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import uvloop

from engine.intake import Intake
from engine.limits import rules
from engine.limits.desk import LimitDesk
from engine.market.batches import Batch, Kind, Source
from engine.market.sequencing import BookState, Outcome
from engine.telemetry.hub import Telemetry
from feeds.live import LiveVenues
from feeds.venues import DIALECTS

HERE = Path(__file__).resolve().parent
VENUE = "binance_spot"
TIMEOUT_S = 60.0


class Timed(Intake):
    """An intake that notes how long after its receipt each batch was done."""

    def __init__(self, telemetry: Telemetry) -> None:
        super().__init__(telemetry, time.time_ns)
        self.waits_ns: list[np.ndarray[Any, np.dtype[np.int64]]] = []
        self.frames = 0
        self.first_ns = self.last_ns = 0

    def on_batch(self, batch: Batch) -> Outcome:
        outcome = super().on_batch(batch)
        if batch.kind in (Kind.TRADES, Kind.QUOTES):
            self.waits_ns.append(time.time_ns() - batch.rows["ts_recv_ns"])
        elif batch.kind is Kind.DELTA:
            self.waits_ns.append(np.array([time.time_ns() - batch.ts_recv_ns]))
        return outcome

    def on_frames(self, source: Source, frames: int, size_bytes: int, decode_ns: Any) -> None:
        super().on_frames(source, frames, size_bytes, decode_ns)
        self.frames += frames
        self.last_ns = time.perf_counter_ns()


async def through(url: str, frames: int, skip: int) -> tuple[float, Sequence[float]]:
    """(seconds from the first frame behind the first `skip` to the last, waits of these in ns), the market checked."""
    telemetry = Telemetry(time.time_ns())
    intake = Timed(telemetry)
    venues = LiveVenues(
        [DIALECTS[VENUE]],
        LimitDesk(rules.load()),
        base=url,
        symbols={VENUE: ["BTC-USDT"]},
        polls={VENUE: dict.fromkeys(("time", "instruments", "funding", "candles"), 0)},
        random=Random(1),
    )
    venues.connect(VENUE)
    task = asyncio.create_task(venues.run(intake))
    until = time.monotonic() + TIMEOUT_S
    while intake.frames < skip:
        await asyncio.sleep(0.001)
        assert time.monotonic() < until, "no frames"
    assert intake.frames == skip, "more frames than the venue may send before its snapshot was fetched"
    while intake.frames == skip:
        started = time.perf_counter_ns()
        await asyncio.sleep(0)
    intake.waits_ns.clear()  # of what waited for the snapshot
    while intake.frames < frames:
        await asyncio.sleep(0.01)
        assert time.monotonic() < until, f"{intake.frames} of {frames} frames"
        intake.publish()
    took = (intake.last_ns - started) / 1e9
    state = intake._desks[Source(VENUE, "live")].markets["BTC-USDT"].state
    assert state.state is BookState.SYNCED
    assert state.sync.gaps == 0
    assert state.sync.counts.applied > 3_000
    agreed, checked = state.settle()
    assert agreed / checked >= 0.999
    assert telemetry.market(f"{VENUE}:live", "BTC-USDT").trades.head == state.trades
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    waits = np.concatenate(intake.waits_ns)
    return took, waits


def run(path: Path, frames_per_s: float) -> tuple[float, Any, int]:
    """(seconds, waits in ns, frames) of one run against a venue of its own."""
    from tests.benchmarks.capture_venue import FIRST_FRAMES

    command = [sys.executable, str(HERE / "capture_venue.py"), str(path), str(frames_per_s)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        try:
            assert child.stdout is not None
            url, frames = child.stdout.readline().split()
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                took, waits = runner.run(through(url, int(frames), FIRST_FRAMES))
        finally:
            child.kill()
    return took, waits, int(frames) - FIRST_FRAMES


def measure(path: Path, repeats: int, frames_per_s: float) -> dict[str, float]:
    """The figures of the socket path."""
    rates = []
    for _ in range(repeats):
        took, _, frames = run(path, 0)
        rates.append(frames / took)
    _, waits, _ = run(path, frames_per_s)
    p50, p99, greatest = (float(each) / 1e3 for each in np.quantile(waits, (0.5, 0.99, 1.0)))
    return {
        "socket_frames_per_s": round(float(np.median(rates))),
        "recv_to_ring_p50_us": round(p50, 1),
        "recv_to_ring_p99_us": round(p99, 1),
        "recv_to_ring_max_us": round(greatest, 1),
        "at_frames_per_s": frames_per_s,
    }
