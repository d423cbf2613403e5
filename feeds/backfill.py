"""Holes in what was received, filled afterwards over REST as far as the venue still has it.

Trades are had exactly where a venue finds them by number (Binance; on futures its stream's aggregates): those between
the last that was received before the hole and the first behind it. Bybit gives only the newest: enough for a fresh
hole of a quiet symbol. Candles are always to be had. Changes of the book are not, anywhere.

One hole at a time, with the lowest priority and at most a share of the budget: live books and polls go first.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from engine.errors import BadAnswer, BadCommand, CallFailed, LimitError
from engine.limits.limiter import Priority
from engine.limits.rules import VenueRules
from engine.market.batches import CANDLE, TRADE, Rows, Source
from engine.market.instruments import Instrument
from engine.venues import Filled
from feeds.connection import Timing
from feeds.dialect import Call
from feeds.rest import SAFE_ATTEMPTS, RestClient

SECOND_NS: Final = 1_000_000_000
TRADES_WITHIN_NS: Final = 3_600 * SECOND_NS  # of a longer hole only candles are fetched
TRADES_MOST: Final = 120_000  # of one hole
CANDLES_MOST: Final = 10_000
SHARE: Final = 0.25  # of the tightest limit
WAITING_MOST: Final = 256
LATE_TRIES: Final = 3  # for a last trade that its database does not have yet
LATE_S: Final = 1.0  # between them
NO_BOOKS: Final = "changes of the book cannot be had again"
GONE: Final = "some are not to be had any more"
LATE: Final = "the venue does not have the last of them"


@dataclass(frozen=True, slots=True)
class Hole:
    """What is missing: [from_ns, to_ns) by the venue's clock, between two trades; 0 = such a trade is not known."""

    from_ns: int
    to_ns: int
    after_id: int = 0
    before_id: int = 0


@dataclass(slots=True)
class _Trades:
    """Those found so far."""

    parts: list[Rows]
    whole: bool = False
    why: str = ""  # it is not whole

    @property
    def rows(self) -> Rows:
        return np.concatenate(self.parts) if self.parts else np.empty(0, TRADE)


class Backfill:
    """Fills one market's holes, each in its turn. Belongs to the loop of its client."""

    def __init__(
        self,
        client: RestClient,
        source: Source,
        rules: VenueRules,
        *,
        wall: Callable[[], int] = time.time_ns,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        timing: Timing | None = None,
    ) -> None:
        self._client, self._dialect, self._source = client, client.dialect, source
        self._rules = rules
        self._wall, self._sleep = wall, sleep
        self._settle_s = (timing or Timing()).settle_s
        self._turn = asyncio.Lock()
        self._tasks: set[asyncio.Task[Filled]] = set()

    async def fill(self, instrument: Instrument, hole: Hole) -> Filled:
        """What the venue still has of it. BadCommand when it is no hole, too many wait, or the market is closed."""
        hole = replace(hole, to_ns=min(hole.to_ns, self._now()))
        if hole.after_id and hole.before_id:
            hole = replace(
                hole, to_ns=max(hole.to_ns, hole.from_ns + 1)
            )  # it is between two trades, however short
        if not 0 < hole.from_ns < hole.to_ns:
            raise BadCommand("a hole begins before it ends, and not in the future")
        if len(self._tasks) >= WAITING_MOST:
            raise BadCommand(f"{self._dialect.label}: {WAITING_MOST} holes wait to be filled already")
        task = asyncio.create_task(self._in_turn(instrument, hole), name=f"{self._source.key} backfill")
        self._tasks.add(task)
        try:
            await asyncio.wait([task])
        finally:
            self._tasks.discard(task)
            task.cancel()  # who asked for it may have gone
        if task.cancelled():
            raise BadCommand(f"{self._dialect.label} was disconnected before the hole was filled")
        return task.result()

    def close(self) -> None:
        """The market ends: what waits is given up, and those who asked are told."""
        for task in self._tasks:
            task.cancel()

    async def _in_turn(self, instrument: Instrument, hole: Hole) -> Filled:
        async with self._turn:
            return await self._fill(instrument, hole)

    async def _fill(self, instrument: Instrument, hole: Hole) -> Filled:
        await self._settled(hole.to_ns)
        trades = await self._trades(instrument, hole)
        rows = trades.rows
        interval_s, candles, why = await self._candles(instrument, hole)
        number = f"{len(rows):,} {'trade' if len(rows) == 1 else 'trades'}"
        parts = [f"all {number}" if trades.whole and len(rows) else number]
        if trades.why:
            parts.append(trades.why)
        parts.append(f"{len(candles):,} candles of {interval_s:,} s" + (f" ({why})" if why else ""))
        parts.append(NO_BOOKS)
        detail = "; ".join(parts)
        return Filled(instrument, rows, candles, interval_s * SECOND_NS, trades.whole, detail)

    async def _settled(self, to_ns: int) -> None:
        """Wait until the second of a hole's end is so long over that the venue knows all of it."""
        over_ns = -(-to_ns // SECOND_NS) * SECOND_NS
        left_s = (over_ns - self._now()) / SECOND_NS + self._settle_s
        if left_s > 0:
            await self._sleep(min(left_s, self._settle_s + 1))

    def _now(self) -> int:
        """By the venue's clock."""
        return self._wall() + (self._client.offset.offset_ns or 0)

    # --- trades ------------------------------------------------------------------------------------------

    async def _trades(self, instrument: Instrument, hole: Hole) -> _Trades:
        found = _Trades([])
        if hole.to_ns - hole.from_ns > TRADES_WITHIN_NS:
            found.why = f"trades are not fetched of more than {TRADES_WITHIN_NS // SECOND_NS // 60} min"
            return found
        try:
            by_time = self._dialect.first_trade_call(instrument, hole.from_ns)
            if by_time is None:
                await self._newest(instrument, hole, found)
            else:
                await self._numbered(instrument, hole, by_time, found)
        except (CallFailed, LimitError) as error:
            found.whole, found.why = False, str(error)
        return found

    async def _numbered(self, instrument: Instrument, hole: Hole, by_time: Call, found: _Trades) -> None:
        """Page after page, each beginning with the last one had: so nothing can lie between two pages."""
        had = at = hole.after_id
        if not at:
            answer = await self._client.fetch(by_time, priority=Priority.BULK, attempts=SAFE_ATTEMPTS)
            first = self._dialect.parse_first_trade(answer.body)
            if first is None:
                found.whole = not hole.before_id  # nothing has traded since
                found.why = "" if found.whole else LATE
                return
            # The one before has to be there as well: else the venue may have forgotten more of them.
            had, at = first - 1, max(first - 1, 0)
        seamless = True
        count = late = 0
        while count < TRADES_MOST:
            call = self._dialect.trades_call(instrument, at)
            rows = await self._page(instrument, call)
            numbers = rows["trade_id"]
            if np.any(numbers[1:] <= numbers[:-1]):
                raise BadAnswer(self._client.venue, call.endpoint, "trades repeat or are out of order")
            seamless = seamless and (at != had or (len(rows) > 0 and int(numbers[0]) == had))
            new = rows[numbers > had]
            inside = new[_before_end(new, hole)]
            if not hole.after_id:
                inside = inside[inside["ts_event_ns"] >= hole.from_ns]
            found.parts.append(inside)
            count += len(inside)
            at_end = len(new) > 0 and not _before_end(new[-1:], hole)[0]
            if not len(new):
                late += 1
                at_end = not hole.before_id
            if at_end or late > LATE_TRIES:
                found.whole = at_end and seamless
                found.why = "" if found.whole else GONE if not seamless else LATE
                return
            if len(new):
                had = at = int(new["trade_id"][-1])
            await self._sleep(max(self._pause_s(call), 0.0 if len(new) else LATE_S))
        found.why = f"not more than {TRADES_MOST:,} are fetched of one hole"

    async def _newest(self, instrument: Instrument, hole: Hole, found: _Trades) -> None:
        """What of the newest belongs to the hole. Numbers tell which are the same, not always which are newer."""
        call = self._dialect.trades_call(instrument, 0)
        rows = await self._page(instrument, call)
        numbers, times = rows["trade_id"], rows["ts_event_ns"]
        if np.any(times[1:] < times[:-1]):
            raise BadAnswer(self._client.venue, call.endpoint, "trades are out of order")
        after = _places(numbers, hole.after_id)
        before = _places(numbers, hole.before_id)
        start = after[-1] + 1 if after else int(np.searchsorted(times, hole.from_ns))
        if before:
            end = before[0]
        elif hole.before_id:
            end = len(rows) if after else start  # behind the hole is not in it, where that is not known
        else:
            end = int(np.searchsorted(times, hole.to_ns))
        found.parts.append(rows[start:end])
        reaches = bool(after) or (not hole.after_id and len(rows) > 0 and int(times[0]) < hole.from_ns)
        found.whole = reaches and (bool(before) or not hole.before_id)
        if not reaches:
            found.why = f"only the newest {self._dialect.trades_most:,} are to be had, and they begin later"
        elif not found.whole:
            found.why = LATE

    async def _page(self, instrument: Instrument, call: Call) -> Rows:
        answer = await self._client.fetch(call, priority=Priority.BULK, attempts=SAFE_ATTEMPTS)
        return self._dialect.parse_trades(instrument, answer.body, self._source, answer.recv_ns).rows

    def _pause_s(self, call: Call) -> float:
        """Between two such calls, so that they take no more than their share of any limit."""
        costs = dict(self._rules.costs(call.endpoint))
        return max(
            (
                costs[rule.unit].of(call.arguments) * rule.window_ns / SECOND_NS / (rule.limit * SHARE)
                for rule in self._rules.windows
                if rule.unit in costs and rule.limit
            ),
            default=0.0,
        )

    # --- candles -----------------------------------------------------------------------------------------

    async def _candles(self, instrument: Instrument, hole: Hole) -> tuple[int, Rows, str]:
        """(interval in seconds, the closed candles that a hole touches, why some are missing)."""
        interval_s = interval_of(self._dialect.candle_intervals_s, hole.to_ns - hole.from_ns)
        interval_ns = interval_s * SECOND_NS
        start_ns = hole.from_ns // interval_ns * interval_ns
        closed_ns = (self._now() - round(self._settle_s / 2 * SECOND_NS)) // interval_ns * interval_ns
        end_ns = min(-(-hole.to_ns // interval_ns) * interval_ns, closed_ns)
        why = "" if end_ns == -(-hole.to_ns // interval_ns) * interval_ns else "the last one still runs"
        if start_ns >= end_ns:
            return interval_s, np.empty(0, CANDLE), why
        try:
            batch = await self._client.candles(instrument, interval_s, start_ns, end_ns, self._source)
        except (CallFailed, LimitError) as error:
            return interval_s, np.empty(0, CANDLE), str(error)
        return interval_s, batch.rows, why


def interval_of(offered_s: tuple[int, ...], span_ns: int) -> int:
    """The finest interval of those offered, ascending, of which CANDLES_MOST cover the span; else the coarsest."""
    fits = (each for each in offered_s if span_ns <= CANDLES_MOST * each * SECOND_NS)
    return next(fits, offered_s[-1])


def _before_end(rows: Rows, hole: Hole) -> Rows:
    """Which of the trades lie before the hole's end."""
    before: Rows = rows["trade_id"] < hole.before_id if hole.before_id else rows["ts_event_ns"] < hole.to_ns
    return before


def _places(numbers: Rows, wanted: int) -> list[int]:
    """Where a number is; nowhere when it is 0."""
    found: list[int] = np.flatnonzero(numbers == wanted).tolist() if wanted else []
    return found
