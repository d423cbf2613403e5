"""Candles of a symbol out of the rings, the venue's own minutes and what was recorded, put together without seams.

Each stretch of time comes from one place: our seconds, as far back as their ring reaches; for candles of a minute and
more the venue's own minutes before that; before both, what was recorded. The disk is read in threads, two at once.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np

from engine.api.problems import Problem
from engine.errors import StorageError, UserError
from engine.market.batches import CANDLE, Rows
from engine.market.candles import SECOND_NS, rescale_candles, roll_up
from engine.market.instruments import Instrument
from engine.market.seams import MINUTE_NS, joined, once_each, with_running
from engine.storage.names import RecordKind
from engine.storage.query import Scan, batches, times
from engine.telemetry.hub import MarketRings

READERS: Final = 2  # threads that read the disk at once
WAITING: Final = 16  # questions that wait for them
ROWS_MOST: Final = 3_000_000  # recorded candles that one question may go through: some five weeks of seconds
KEPT: Final = 16  # answers of the disk that are kept
KEPT_NS: Final = 30 * SECOND_NS
_COLUMNS: Final = (
    "price_decimals",
    "size_decimals",
    "ts_recv_ns",
    "interval_ns",
    *(CANDLE.names or ()),
)


@dataclass(frozen=True, slots=True)
class Stretch:
    """Which candles are wanted: those that open in [from_ns, to_ns), the oldest `limit` where `from_ns` is given, else
    the newest.
    """

    step_ns: int
    limit: int
    from_ns: int | None
    to_ns: int

    @property
    def begin_ns(self) -> int:
        """Where the oldest of them may open, aligned."""
        if self.from_ns is not None:
            return -(-self.from_ns // self.step_ns) * self.step_ns
        return max(0, self.to_ns - 1 - (self.to_ns - 1) % self.step_ns - (self.limit - 1) * self.step_ns)


@dataclass(frozen=True, slots=True)
class Candles:
    """CANDLE rows of the interval, oldest first, in units of `instrument`."""

    rows: Rows
    instrument: Instrument
    truncated: bool  # the limit left out later ones
    venue_until_ns: int  # those that open before are the venue's own; 0 = none is
    archive_until_ns: int  # those that open before were recorded; 0 = none was


def held(rings: MarketRings, running: Rows | None, stretch: Stretch) -> tuple[Rows, int]:
    """(what the rings have for a stretch: CANDLE rows of seconds and, where seconds do not reach, of the venue's
    minutes, oldest first; the time before which they are the venue's, 0 = never).
    """
    ring = rings.candles
    # At most one row a second: for the newest candles the end of the ring is enough, unless there are holes in it.
    few = (stretch.limit + 1) * stretch.step_ns // SECOND_NS + 2
    rows = ring.last(min(few, ring.capacity)).rows
    if len(rows) < len(ring) and not _enough(rows, stretch):
        rows = ring.last(ring.capacity).rows
    rows = with_running(rows, running)
    if stretch.step_ns < MINUTE_NS:
        return rows, 0
    return joined(rows, rings.minutes.last(rings.minutes.capacity).rows, 0)


def _enough(rows: Rows, stretch: Stretch) -> bool:
    """Whether the newest rows hold all the candles wanted, the oldest of them whole."""
    if stretch.from_ns is not None:
        return bool(len(rows)) and int(rows["ts_open_ns"][0]) <= stretch.begin_ns
    opened = rows["ts_open_ns"]
    return len(np.unique(opened[opened < stretch.to_ns] // stretch.step_ns)) > stretch.limit


def chosen(rows: Rows, stretch: Stretch) -> tuple[Rows, bool]:
    """(candles of the stretch made of finer rows, whether its limit left out later ones)."""
    rolled = roll_up(rows, stretch.step_ns)
    opened = rolled["ts_open_ns"]
    if stretch.from_ns is None:
        return rolled[opened < stretch.to_ns][-stretch.limit :], False
    inside = rolled[(opened >= stretch.from_ns) & (opened < stretch.to_ns)]
    return inside[: stretch.limit], len(inside) > stretch.limit


def closed_before(rings: MarketRings, running: Rows | None, now_ns: int, late_ns: int) -> int:
    """The time before which no candle changes any more, ns by the source's clock: trades from before the running
    second, or from before the last closed one, are too late for any; and nothing comes `late_ns` late.
    """
    newest = rings.candles.last(1).rows
    closed_ns = int(newest["ts_open_ns"][0]) + SECOND_NS if len(newest) else 0
    opened_ns = int(running["ts_open_ns"][0]) if running is not None else now_ns - late_ns
    return max(closed_ns, opened_ns)


def in_units(rows: Rows, own: tuple[int, int], wanted: tuple[int, int]) -> Rows:
    """CANDLE rows of some (price decimals, size decimals) in finer ones, exactly."""
    factors = 10 ** (wanted[0] - own[0]), 10 ** (wanted[1] - own[1])
    return rows if factors == (1, 1) else rescale_candles(rows, *factors)


class OhlcHistory:
    """What was recorded, as candles. `folder` is the store's; None, or one without a store: nothing was."""

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self._reading = asyncio.Semaphore(READERS)
        self._waiting = 0
        self._kept: OrderedDict[tuple[str, str, int, int, int], tuple[int, Recorded]] = OrderedDict()

    async def candles(
        self, venue: str, instrument: Instrument, stretch: Stretch, rings: tuple[Rows, int], now_ns: int
    ) -> Candles:
        """The candles of a stretch: what the rings have (as of `held`), and what was recorded of the venue
        before that; "" = nothing was.

        Problem not_ready where the disk cannot be read now, bad_argument where more was recorded than one question may
        go through.
        """
        rows, seam_ns = rings
        first_ns = int(rows["ts_open_ns"][0]) if len(rows) else stretch.to_ns
        begin_ns = stretch.begin_ns
        # What is kept may begin earlier: so the next question a second later finds it.
        step_ns = max(stretch.step_ns, MINUTE_NS)
        start_ns, end_ns = begin_ns - begin_ns % step_ns, min(first_ns, stretch.to_ns)
        recorded = NOTHING
        if (
            venue
            and self._folder is not None
            and begin_ns - begin_ns % stretch.step_ns < first_ns - first_ns % stretch.step_ns
        ):
            recorded = await self._recorded(
                venue, instrument.symbol, stretch.step_ns, start_ns, end_ns, now_ns
            )
        if not len(recorded.rows):
            found, truncated = chosen(rows, stretch)
            return Candles(found, instrument, truncated, seam_ns, 0)
        price_decimals = max(instrument.price_decimals, recorded.decimals[0])
        size_decimals = max(instrument.size_decimals, recorded.decimals[1])
        unit = (price_decimals, size_decimals)
        own = (instrument.price_decimals, instrument.size_decimals)
        both = np.concatenate((in_units(recorded.rows, recorded.decimals, unit), in_units(rows, own, unit)))
        found, truncated = chosen(both, stretch)
        if unit != own:
            instrument = replace(instrument.with_decimals(*unit), revision=instrument.revision)
        return Candles(found, instrument, truncated, seam_ns, first_ns)

    async def _recorded(
        self, venue: str, symbol: str, step_ns: int, start_ns: int, end_ns: int, now_ns: int
    ) -> Recorded:
        assert self._folder is not None
        unit_ns = MINUTE_NS if step_ns >= MINUTE_NS else SECOND_NS
        key = (venue, symbol, unit_ns, start_ns, end_ns)
        kept = self._kept.get(key)
        if kept is not None and now_ns - kept[0] < KEPT_NS:
            return kept[1]
        if self._waiting >= WAITING:
            raise Problem(
                "not_ready", "too many questions wait for the disk; try again in a second", retry_after_s=1.0
            )
        self._waiting += 1
        try:
            async with self._reading:
                found = await asyncio.to_thread(
                    read_recorded, self._folder, venue, symbol, unit_ns, start_ns, end_ns
                )
        except (StorageError, UserError) as error:
            raise Problem(
                "not_ready", f"what was recorded cannot be read now: {error}", retry_after_s=5.0
            ) from error
        finally:
            self._waiting -= 1
        self._kept.pop(key, None)
        self._kept[key] = (now_ns, found)
        while len(self._kept) > KEPT:
            self._kept.popitem(last=False)
        return found


@dataclass(frozen=True, slots=True)
class Recorded:
    """CANDLE rows, oldest first, each opening time once, in units of these (price, size) decimals."""

    rows: Rows
    decimals: tuple[int, int]


NOTHING: Final = Recorded(np.empty(0, CANDLE), (0, 0))


def read_recorded(
    folder: Path, venue: str, symbol: str, unit_ns: int, start_ns: int, end_ns: int
) -> Recorded:
    """What was recorded of [start_ns, end_ns), in candles of `unit_ns`: a second, or a minute. Waits for the disk.

    In minutes, the venue's own that were closed when they came stand for what we made; a minute that is not over at
    `end_ns` is made of our seconds. Problem bad_argument where there are more than ROWS_MOST.
    """
    scan = batches(
        folder,
        RecordKind.CANDLES,
        venue=venue,
        symbol=symbol,
        from_ns=start_ns,
        to_ns=end_ns,
        columns=_COLUMNS,
    )
    if scan.expected > ROWS_MOST:
        raise Problem(
            "bad_argument",
            f"some {scan.expected:,} candles were recorded in that stretch and {ROWS_MOST:,} can be gone through: "
            "ask for less, by `from`, `to` or `limit`",
            argument="from",
        )
    parts, decimals = _read(scan, unit_ns, end_ns)
    ours = [in_units(rows, own, decimals) for rows, own, theirs in parts if not theirs]
    theirs = [in_units(rows, own, decimals) for rows, own, theirs in parts if theirs]
    rows = once_each(np.concatenate(ours)) if ours else np.empty(0, CANDLE)
    if theirs:
        minutes = once_each(np.concatenate(theirs))
        rows = rows[~np.isin(rows["ts_open_ns"], minutes["ts_open_ns"])]
        rows = np.concatenate((minutes, rows))
        rows = rows[np.argsort(rows["ts_open_ns"], kind="stable")]
    return Recorded(rows, decimals)


_Part = tuple[Rows, tuple[int, int], bool]  # rows of the unit, their decimals, whether they are the venue's


def _read(scan: Scan, unit_ns: int, end_ns: int) -> tuple[list[_Part], tuple[int, int]]:
    """(parts, each of one kind and one revision's units; the finest units of all)."""
    parts: list[_Part] = []
    left: dict[tuple[int, int], Rows] = {}  # seconds of the minute that a batch ended in
    decimals = (0, 0)
    for batch in scan:
        rows = np.empty(len(batch), CANDLE)
        for name in CANDLE.names or ():
            rows[name] = batch.column(name).to_numpy()
        interval = batch.column("interval_ns").to_numpy()
        received = batch.column("ts_recv_ns").to_numpy()
        units = np.stack(
            (batch.column("price_decimals").to_numpy(), batch.column("size_decimals").to_numpy())
        )
        opened = times(RecordKind.CANDLES, batch)
        closed = (opened + MINUTE_NS <= received) & (opened + MINUTE_NS <= end_ns)
        for pair in np.unique(units, axis=1).T.tolist():
            own = (int(pair[0]), int(pair[1]))
            decimals = max(decimals[0], own[0]), max(decimals[1], own[1])
            mine = (units[0] == own[0]) & (units[1] == own[1])
            seconds = once_each(rows[mine & (interval == SECOND_NS)])
            if unit_ns == MINUTE_NS:
                minutes = rows[mine & (interval == MINUTE_NS) & closed]
                if len(minutes):
                    parts.append((minutes, own, True))
                seconds = once_each(np.concatenate((left.pop(own, seconds[:0]), seconds)))
                if len(seconds):
                    last_ns = int(seconds["ts_open_ns"][-1])
                    whole = seconds["ts_open_ns"] < last_ns - last_ns % MINUTE_NS
                    left[own], seconds = seconds[~whole], roll_up(seconds[whole], MINUTE_NS)
            if len(seconds):
                parts.append((seconds, own, False))
    parts += [(roll_up(seconds, MINUTE_NS), own, False) for own, seconds in left.items() if len(seconds)]
    return parts, decimals
