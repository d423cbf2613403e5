"""Bulk history: candles of many symbols over months, fetched, kept and checked; and how fast that goes.

`main` is the command: it fetches what is missing, chunk by chunk, through the venue's limits and with the lowest
priority, so that live feeds on the same limits go first. A chunk that is finished is kept at once: after a kill the
same command goes on where it was, whatever its batch size. With `sweep` it fetches without keeping, for some seconds
with each pair of concurrency and batch size, and says what came of it.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from engine.errors import BadAnswer, BadSetting, CallFailed, LimitError, Refused, TooHeavy
from engine.limits.desk import LimitDesk
from engine.limits.limiter import Priority
from engine.market.batches import Batch, Rows, Source
from engine.market.instruments import MAX_DECIMALS, Instrument
from engine.moments import moment_of
from feeds.dialect import Call, Dialect
from feeds.history_plan import SECOND_NS, Chunk, Progress, Range, Verdict, aligned, examine, missing, plan
from feeds.history_store import MAX_ROWS, HistoryStore
from feeds.history_words import (
    Cell,
    chosen,
    interval_of,
    interval_text,
    numbers_of,
    sentence_of,
    table,
    time_text,
)
from feeds.rest import Answer, RestClient

SAY_EVERY_S: Final = 1.0
ATTEMPTS: Final = 3  # of one chunk before it goes back into the queue
MOST_TROUBLE: Final = 30  # failures in a row, of any chunk, before it is given up
MOST_CONCURRENCY: Final = 256
GRACE_S: Final = 1.0  # for calls under way at the end of a timed run
SAMPLES_KEPT: Final = 200_000  # latencies
SETTLE_NS: Final = 2 * SECOND_NS  # a candle counts as closed this long after its end
SETTLE_MOST_NS: Final = 90 * SECOND_NS  # a longer window is not waited for between two cells of a sweep

Say = Callable[[str], None]
Keep = Callable[[Chunk, Rows, tuple[int, int]], None]


class Download:
    """Fetches chunks, so many calls at a time; counts and times them.

    `keep` gets each finished chunk: its candles (oldest first, each once) and their price and size decimals. Chunks a
    venue refuses or answers with nonsense are in `failed`; one that fails otherwise is tried again later, until
    MOST_TROUBLE failures in a row end it all: then `stopped` is the last.
    """

    def __init__(
        self,
        client: RestClient,
        instruments: Mapping[str, Instrument],
        interval_s: int,
        keep: Keep,
        *,
        wall: Callable[[], int] = time.time_ns,
        monotonic: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self._client, self._dialect = client, client.dialect
        self._source = Source(client.venue, "live")
        self._instruments, self._interval_s = instruments, interval_s
        self._keep = keep
        self._wall, self._monotonic = wall, monotonic
        self._chunks: deque[Chunk] = deque()
        self._trouble = 0
        self._started_ns, self._ended_ns = monotonic(), 0  # of `run`; 0 = not yet
        self.total = self.done = self.candles = 0
        self.waited_ns = 0  # for permits, of all calls together
        self.latencies_ns: list[int] = []
        self.failed: dict[Chunk, str] = {}
        self.stopped: CallFailed | LimitError | None = None

    async def run(self, chunks: Sequence[Chunk], concurrency: int, *, for_s: float | None = None) -> None:
        """Fetch them all, or as many as are answered within `for_s` seconds; what comes later is not counted.

        Calls that are under way then get a moment to end: one given up on the way weighs on the limits for long.
        """
        self._chunks.extend(chunks)
        self.total += len(chunks)
        self._started_ns, self._ended_ns = self._monotonic(), 0
        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(self._work(), name=f"history {n}") for n in range(concurrency)]
                if for_s is not None:
                    _, late = await asyncio.wait(tasks, timeout=for_s)
                    if late:
                        self._ended_ns = self._monotonic()
                        _, late = await asyncio.wait(late, timeout=GRACE_S)
                    for task in late:
                        task.cancel()
        except ExceptionGroup as failed:
            raise failed.exceptions[0] from failed  # `keep` failed; one of them says why
        self._ended_ns = self._ended_ns or self._monotonic()

    @property
    def elapsed_ns(self) -> int:
        """Since `run` began, to its end."""
        return (self._ended_ns or self._monotonic()) - self._started_ns

    def progress(self, weight: int) -> Progress:
        """How far it is; `weight` as the limits count it."""
        return Progress(self.done, self.total, len(self.failed), self.candles, weight, self.elapsed_ns)

    def _is_over(self) -> bool:
        return self._ended_ns > 0

    async def _work(self) -> None:
        while self._chunks and self.stopped is None and not self._is_over():
            chunk = self._chunks.popleft()
            try:
                batch, decimals = await self._fetch(chunk)
            except (Refused, BadAnswer, TooHeavy) as error:
                self.failed[chunk] = str(error)
                continue
            except (CallFailed, LimitError) as error:
                self._chunks.append(chunk)
                self._trouble += 1
                if self._trouble >= MOST_TROUBLE:
                    self.stopped = error
                continue
            if self._is_over():
                return
            self._trouble = 0
            self._keep(chunk, batch.rows, decimals)
            self.done += 1
            self.candles += len(batch.rows)

    async def _fetch(self, chunk: Chunk) -> tuple[Batch, tuple[int, int]]:
        instrument = self._instruments[chunk.symbol]
        count = (chunk.end_ns - chunk.start_ns) // (self._interval_s * SECOND_NS)
        call = self._dialect.candles_call(instrument, self._interval_s, chunk.start_ns, chunk.end_ns, count)
        asked_ns = self._wall()
        answer = await self._client.fetch(call, priority=Priority.BULK, attempts=ATTEMPTS)
        if not self._is_over():
            self.waited_ns += max(0, answer.sent_ns - asked_ns)
            if len(self.latencies_ns) < SAMPLES_KEPT:
                self.latencies_ns.append(answer.recv_ns - answer.sent_ns)
        return self._read(chunk, call, answer, instrument)

    def _read(
        self, chunk: Chunk, call: Call, answer: Answer, instrument: Instrument
    ) -> tuple[Batch, tuple[int, int]]:
        """The answer's candles. Where a venue once quoted finer than it does now, in units that hold them."""
        refused: BadAnswer | None = None
        for finer in (instrument, *finer_units(instrument)):
            try:
                batch = self._client.parsed_candles(
                    finer, self._interval_s, chunk.start_ns, chunk.end_ns, call, answer, self._source
                )
            except BadAnswer as error:
                refused = refused or error
                continue
            return batch, (finer.price_decimals, finer.size_decimals)
        assert refused is not None
        raise refused


def finer_units(instrument: Instrument) -> Iterator[Instrument]:
    """The instrument with four more decimals of prices, of sizes, and of both."""
    for price, size in ((4, 0), (0, 4), (4, 4)):
        yield instrument.with_decimals(
            min(MAX_DECIMALS, instrument.price_decimals + price),
            min(MAX_DECIMALS, instrument.size_decimals + size),
        )


def cell_of(download: Download, concurrency: int, batch: int, weight: int, refused: int) -> Cell:
    """The figures of a download that just ended."""
    seconds = download.elapsed_ns / SECOND_NS
    latencies = np.array(download.latencies_ns or [0], np.int64)
    return Cell(
        concurrency=concurrency,
        batch=batch,
        candles=download.candles,
        calls=download.done,
        seconds=round(seconds, 3),
        candles_per_s=round(download.candles / seconds, 1),
        calls_per_s=round(download.done / seconds, 1),
        mean_ms=round(float(latencies.mean()) / 1e6, 2),
        p99_ms=round(float(np.percentile(latencies, 99)) / 1e6, 2),
        waited_ms=round(download.waited_ns / 1e6 / max(1, download.done), 2),
        weight=weight,
        refused=refused,
    )


# --- the command -------------------------------------------------------------------------------------------


async def main(
    dialect: Dialect,
    desk: LimitDesk,
    symbols: Sequence[str],
    *,
    start: str,
    end: str = "now",
    interval: str = "1m",
    concurrency: str = "4",
    batch: str = "",
    sweep: bool = False,
    cell_s: float = 10.0,
    folder: Path,
    base: str = "",
    say: Say = print,
    wall: Callable[[], int] = time.time_ns,
) -> int:
    """Fetch candles of these symbols into `folder`, or sweep; the exit code: 0 when nothing failed.

    All texts are as a user gives them; `concurrency` and `batch` are lists for a sweep, of which a download takes the
    first. `base` is a local venue's address. What `say` is given last is one JSON object with the figures. Raises
    UserError for what cannot be, CallFailed when the venue's list of instruments is not to be had.
    """
    interval_s = interval_of(dialect, interval)
    now_ns = wall()
    start_ns, end_ns = moment_of("--from", start, now_ns), moment_of("--to", end, now_ns)
    most = min(dialect.candles_most, MAX_ROWS)
    calls_at_once = numbers_of("--concurrency", concurrency, MOST_CONCURRENCY)
    batches = numbers_of("--batch", batch or str(most), most)
    client = RestClient(dialect, desk.gate(dialect.limits), base=base, timeout_s=30.0, wall=wall)
    try:
        instruments = chosen((await client.instruments()).instruments, symbols)
        offset_ns, _ = await client.measure_offset()
        closed_ns = (wall() + offset_ns - SETTLE_NS) // (interval_s * SECOND_NS) * interval_s * SECOND_NS
        wanted = aligned(start_ns, min(end_ns, closed_ns), interval_s * SECOND_NS)
        if wanted[0] >= wanted[1]:
            raise BadSetting(
                "--from", start, f"it must be before the end ({end}), by a closed candle at least"
            )
        job = _Job(client, desk, instruments, interval_s, wanted, say, wall)
        if sweep:
            return await job.sweep(calls_at_once, batches, cell_s)
        return await job.download(calls_at_once[0], batches[0], folder)
    finally:
        await client.close()


@dataclass(frozen=True, slots=True)
class Spent:
    """Candle calls as the limits count them."""

    calls: int
    weight: int  # of the newest
    refused: int  # answers of any call that say too many

    def weight_since(self, before: Spent) -> int:
        """Of the calls since; the batch size is one, so is their weight, but for the last of a range."""
        return (self.calls - before.calls) * self.weight


def _forgotten(chunk: Chunk, rows: Rows, decimals: tuple[int, int]) -> None:
    """A sweep keeps nothing."""
    del chunk, rows, decimals


@dataclass(slots=True)
class _Job:
    """A command whose words are understood."""

    client: RestClient
    desk: LimitDesk
    instruments: dict[str, Instrument]
    interval_s: int
    wanted: Range
    say: Say
    wall: Callable[[], int]

    async def download(self, concurrency: int, batch: int, folder: Path) -> int:
        before = self._spent()
        with HistoryStore(folder, self.client.venue, self.interval_s) as store:
            ranges = []
            for symbol in self.instruments:
                held = [(chunk.start_ns, chunk.end_ns) for chunk in store.open(symbol).chunks]
                ranges.append((symbol, missing(self.wanted, held)))
            if store.torn_bytes:
                self.say(f"{store.torn_bytes:,} bytes of an unfinished chunk were dropped")
            chunks = plan(ranges, self.interval_s * SECOND_NS, batch)
            download = Download(
                self.client,
                self.instruments,
                self.interval_s,
                lambda chunk, rows, decimals: store.append(
                    chunk.symbol, chunk.start_ns, chunk.end_ns, rows, decimals
                ),
            )
            self.say(self._opening(chunks, batch, concurrency))
            await self._watched(download, chunks, concurrency, store, before)
            spent = self._spent()
            progress = download.progress(spent.weight_since(before))
            self.say(str(progress))
            verdicts = [self._verdict(store, symbol) for symbol in self.instruments]
        for verdict in verdicts:
            self.say(sentence_of(verdict, self.interval_s))
        for chunk, reason in list(download.failed.items())[:10]:
            self.say(f"failed: {chunk.symbol} from {time_text(chunk.start_ns)}: {reason}")
        if download.stopped is not None:
            self.say(f"given up after {MOST_TROUBLE} failures in a row: {download.stopped}")
        self.say(json.dumps(self._figures(progress, verdicts, download, spent.refused - before.refused)))
        wrong = any(verdict.wrong for verdict in verdicts)
        return 1 if download.failed or download.stopped or wrong else 0

    async def sweep(self, calls_at_once: Sequence[int], batches: Sequence[int], cell_s: float) -> int:
        """Each pair starts with windows that nothing is spent of, and fetches the same range from its beginning."""
        cells: list[Cell] = []
        for batch in batches:
            chunks = plan(
                [(symbol, [self.wanted]) for symbol in self.instruments], self.interval_s * SECOND_NS, batch
            )
            for concurrency in calls_at_once:
                await self._settled(len(cells) + 1)
                before = self._spent()
                download = Download(self.client, self.instruments, self.interval_s, _forgotten)
                await download.run(chunks, concurrency, for_s=cell_s)
                spent = self._spent()
                weight, refused = spent.weight_since(before), spent.refused - before.refused
                cells.append(cell_of(download, concurrency, batch, weight, refused))
                self.say(f"{concurrency} at once, {batch:,} each: {cells[-1].candles_per_s:,.0f} candles/s")
                if download.failed or download.stopped:
                    reason = str(download.stopped or next(iter(download.failed.values())))
                    self.say(f"given up: {reason}")
                    return 1
        self.say(table(cells))
        figures = {
            "venue": self.client.venue,
            "interval_s": self.interval_s,
            "symbols": len(self.instruments),
            "cells": [asdict(cell) for cell in cells],
        }
        self.say(json.dumps(figures))
        return 0

    async def _watched(
        self, download: Download, chunks: list[Chunk], concurrency: int, store: HistoryStore, before: Spent
    ) -> None:
        """Run it, saying how far it is, and syncing, each second. A disk that refuses ends it."""
        running = asyncio.create_task(download.run(chunks, concurrency))
        try:
            while not running.done():
                await asyncio.wait((running,), timeout=SAY_EVERY_S)
                # To its end even when cancelled: the files are closed after it.
                syncing = asyncio.ensure_future(asyncio.to_thread(store.sync, store.unsynced()))
                try:
                    await asyncio.shield(syncing)
                finally:
                    await asyncio.wait((syncing,))
                if not running.done():
                    self.say(f"{download.progress(self._spent().weight_since(before))}{self._held()}")
            await running
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)

    def _held(self) -> str:
        """What holds calls back now; "" = nothing."""
        now_ns = self.wall()
        view = next(view for view in self.desk.views(now_ns) if view.venue == self.client.dialect.limits)
        if view.banned_until_ns:
            return f"; banned until {time_text(view.banned_until_ns)}: {view.ban_reason}"
        if not view.waiting:
            return ""
        tight = max(view.windows, key=lambda window: window.used / window.limit)
        others = f", {tight.foreign:,} of it by others" if tight.foreign > tight.limit // 50 else ""
        return f"; {view.waiting} calls wait: {tight.name} {tight.used:,} of {tight.limit:,}{others}"

    async def _settled(self, cell: int) -> None:
        """Nothing is spent of any short window any more; it is said how long that takes."""
        told = False
        while True:
            now_ns = self.wall()
            view = next(view for view in self.desk.views(now_ns) if view.venue == self.client.dialect.limits)
            resets = [
                window.resets_ns
                for window in view.windows
                if window.used and 0 < window.resets_ns - now_ns < SETTLE_MOST_NS
            ]
            if not resets:
                return
            left_s = (max(resets) - now_ns) / SECOND_NS
            if not told and left_s > 1:
                self.say(f"measurement {cell}: waiting {left_s:.0f} s until nothing is spent of the limits")
                told = True
            await asyncio.sleep(max(0.01, left_s))

    def _spent(self) -> Spent:
        """What the limits have counted so far."""
        view = next(view for view in self.desk.views(self.wall()) if view.venue == self.client.dialect.limits)
        instrument = next(iter(self.instruments.values()))
        name = self.client.dialect.candles_call(instrument, self.interval_s, 0, SECOND_NS, 1).endpoint
        endpoint = next((one for one in view.endpoints if one.endpoint == name), None)
        refused = view.refused_429 + view.refused_418 + view.refused_403
        return Spent(endpoint.calls, endpoint.weight, refused) if endpoint else Spent(0, 0, refused)

    def _verdict(self, store: HistoryStore, symbol: str) -> Verdict:
        rows, _ = store.open(symbol).rows()
        inside = (rows["ts_open_ns"] >= self.wanted[0]) & (rows["ts_open_ns"] < self.wanted[1])
        return examine(symbol, rows[inside], self.wanted, self.interval_s * SECOND_NS)

    def _opening(self, chunks: list[Chunk], batch: int, concurrency: int) -> str:
        steps = (self.wanted[1] - self.wanted[0]) // (self.interval_s * SECOND_NS) * len(self.instruments)
        left = sum((chunk.end_ns - chunk.start_ns) // (self.interval_s * SECOND_NS) for chunk in chunks)
        return (
            f"{self.client.dialect.label}: {len(self.instruments)} symbols, {interval_text(self.interval_s)}, "
            f"{time_text(self.wanted[0])} to {time_text(self.wanted[1])}: {steps:,} candles, "
            f"{steps - left:,} are here; {len(chunks):,} chunks of {batch:,}, {concurrency} at once"
        )

    def _figures(
        self, progress: Progress, verdicts: list[Verdict], download: Download, refused: int
    ) -> dict[str, Any]:
        return {
            "venue": self.client.venue,
            "interval_s": self.interval_s,
            "chunks": progress.chunks_done,
            "failed": progress.chunks_failed,
            "candles": progress.candles,
            "weight": progress.weight,
            "refused": refused,
            "seconds": round(progress.elapsed_ns / SECOND_NS, 3),
            "candles_per_s": round(progress.candles_per_s, 1),
            "stopped": str(download.stopped or ""),
            "symbols": {
                verdict.symbol: {
                    "candles": verdict.candles,
                    "expected": verdict.expected,
                    "gaps": verdict.gap_count,
                    "wrong": list(verdict.wrong),
                }
                for verdict in verdicts
            },
        }
