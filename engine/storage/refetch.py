"""Holes that are fetched again: one after another, what the venue still has and is not kept yet is recorded.

On the engine's loop; what is kept around a hole is read in a thread.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Final, Protocol

import numpy as np
import structlog

from engine.errors import BadCommand, CallFailed, LimitError, StorageError, UserError
from engine.storage.names import RecordKind
from engine.storage.pens import Hole
from engine.storage.recorder import Recorder
from engine.storage.records import BACKFILLED
from engine.telemetry.events import Level
from engine.venues import Filled

log = structlog.get_logger(__name__)

WAITING_MOST: Final = 256
BACKFILL_S: Final = 300.0
AROUND_NS: Final = 60 * 10**9  # where the trades next to a hole are looked for

Note = Callable[[Level, str, str, str], None]


class Backfill(Protocol):
    """Fetches what a hole left out: `engine.venues.Venues.backfill`."""

    def __call__(
        self, venue: str, symbol: str, from_ns: int, to_ns: int, *, after_id: int = 0, before_id: int = 0
    ) -> Awaitable[Filled]: ...


class Refetch:
    """The holes that wait. `settle` returns once all that was recorded so far is on the disk."""

    def __init__(
        self,
        folder: Path,
        recorder: Recorder,
        backfill: Backfill | None,
        settle: Callable[[], Awaitable[None]],
        note: Note,
    ) -> None:
        self._folder, self._recorder, self._backfill = folder, recorder, backfill
        self._settle, self._note = settle, note
        self._holes: deque[Hole] = deque()
        self._came = asyncio.Event()
        self.left = self.failures = 0  # holes that stay: too many waited; something unforeseen happened

    @property
    def possible(self) -> bool:
        """Whether anything can be fetched."""
        return self._backfill is not None

    def on_hole(self, hole: Hole) -> None:
        """A hole closed: it is filled in its turn. One that has no room is left as it is, and told."""
        if self._backfill is None or hole.source.run != "live":
            return
        if len(self._holes) >= WAITING_MOST:
            self.left += 1
            text = f"{hole.symbol}: the hole stays: too many wait ({self.left:,} so far)"
            self._note("warn", hole.source.key, "backfill", text)
            return
        self._holes.append(hole)
        self._came.set()

    def ask(self, hole: Hole) -> None:
        """Somebody asks for it; once is enough. BadCommand when too many wait."""
        known = (hole.source, hole.symbol, hole.what, hole.from_ns, hole.to_ns)
        if any(
            (each.source, each.symbol, each.what, each.from_ns, each.to_ns) == known for each in self._holes
        ):
            return
        if len(self._holes) >= WAITING_MOST:
            raise BadCommand(f"{WAITING_MOST} holes wait to be fetched already")
        self.on_hole(hole)

    async def run(self) -> None:
        """For ever."""
        backfill = self._backfill
        if backfill is None:
            return
        while True:
            await self._came.wait()
            while self._holes:
                await self._fill(backfill, self._holes.popleft())
            self._came.clear()

    async def _fill(self, backfill: Backfill, hole: Hole) -> None:
        try:
            async with asyncio.timeout(BACKFILL_S):
                if not (hole.after_id and hole.before_id):
                    await self._settle()
                    hole = await asyncio.to_thread(with_edges, self._folder, hole)
                found = await backfill(
                    *(hole.source.venue, hole.symbol, hole.from_ns, hole.to_ns),
                    after_id=hole.after_id,
                    before_id=hole.before_id,
                )
                await self._settle()
                new = await asyncio.to_thread(without_kept, self._folder, hole, found)
            self._recorder.fill(hole, found, new)
        except (CallFailed, LimitError, BadCommand, UserError, StorageError, OSError, TimeoutError) as error:
            said = str(error) or "the venue did not answer in time"
            self._note("warn", hole.source.key, "backfill", f"{hole.symbol}: the hole stays: {said}")
            return
        except Exception as error:  # whatever is in a venue's answer, the next hole is another matter
            self.failures += 1
            log.exception("a hole could not be filled", venue=hole.source.venue, symbol=hole.symbol)
            said = f"{type(error).__name__}: {error}"
            self._note("error", hole.source.key, "backfill", f"{hole.symbol}: the hole stays: {said}")
            return
        text = f"{hole.symbol}: {len(new.trades):,} trades and {len(new.candles):,} candles fetched"
        self._note("info", hole.source.key, "backfill", f"{text} for a hole; {found.detail}")


def with_edges(folder: Path, hole: Hole) -> Hole:
    """The hole, with the numbers of the trades next to it, as far as they are kept. Reads the disk.

    By when they came, as holes are: the first trade behind one happened a moment before it ended.
    """
    from engine.storage.query import query  # pyarrow: only where something is fetched

    after_id, before_id = hole.after_id, hole.before_id
    for from_ns, to_ns, behind in (
        (hole.from_ns - AROUND_NS, hole.from_ns + 1, False),
        (hole.to_ns - AROUND_NS, hole.to_ns + AROUND_NS, True),
    ):
        if before_id if behind else after_id:
            continue
        columns = ("ts_event_ns", "ts_recv_ns", "trade_id", "origin")
        kept = query(
            *(folder, RecordKind.TRADES),
            venue=hole.source.venue,
            symbol=hole.symbol,
            from_ns=from_ns,
            to_ns=to_ns,
            columns=columns,
            order="seq",
        )
        came, numbers = kept["ts_recv_ns"].to_numpy(), kept["trade_id"].to_numpy()
        streamed = kept["origin"].to_numpy() != BACKFILLED
        found = numbers[streamed & (came >= hole.to_ns if behind else came <= hole.from_ns)]
        if len(found) and behind:
            before_id = int(found[0])
        elif len(found):
            after_id = int(found[-1])
    return replace(hole, after_id=after_id, before_id=before_id)


def without_kept(folder: Path, hole: Hole, found: Filled) -> Filled:
    """What was fetched for a hole, without what is kept already. Reads the disk."""
    from engine.storage.query import query

    trades, candles = found.trades, found.candles
    venue, symbol = hole.source.venue, hole.symbol
    if len(trades):
        times = trades["ts_event_ns"]
        ends = (
            min(hole.from_ns, int(times.min())) - AROUND_NS,
            max(hole.to_ns, int(times.max())) + AROUND_NS,
        )
        kept = query(
            *(folder, RecordKind.TRADES),
            venue=venue,
            symbol=symbol,
            from_ns=ends[0],
            to_ns=ends[1],
            columns=("trade_id",),
        )
        trades = trades[~np.isin(trades["trade_id"], kept["trade_id"].to_numpy())]
    if len(candles):
        opens = candles["ts_open_ns"]
        kept = query(
            *(folder, RecordKind.CANDLES),
            venue=venue,
            symbol=symbol,
            from_ns=int(opens.min()),
            to_ns=int(opens.max()) + 1,
            columns=("ts_open_ns", "interval_ns", "origin"),
        )
        same = (kept["interval_ns"].to_numpy() == found.interval_ns) & (
            kept["origin"].to_numpy() == BACKFILLED
        )
        candles = candles[~np.isin(opens, kept["ts_open_ns"].to_numpy()[same])]
    return replace(found, trades=trades, candles=candles)
