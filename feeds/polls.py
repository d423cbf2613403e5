"""Endpoints fetched at an interval: a venue's clock, its instruments, funding and one-minute candles.

For `feeds/live.py`, one `Poller` for each connected market, on the loop of its `RestClient`:

    poller = Poller(client, source, lambda: decoder.instruments, Deliver(sink.on_batch, take_listing, take_offset),
                    intervals={"funding": 30})
    group.create_task(poller.run())          # until cancelled
    poller.set("candles", 0)                 # from a page; BadCommand when unknown or out of range
    poller.soon("candles", "BTC-USDT")       # a symbol was added: all its past, and not at the next time only
    view = replace(view, polls=poller.views())

What is delivered comes in the symbols' newest revisions and only for symbols that are followed at that moment, so
`sink.on_batch` can take it as it is. A poll that fails is counted and shown, and the next one comes at its time. Calls
wait for their permits, for hours where the venue has banned us: a poll that is still under way when the next is due
is not followed by those it missed, they are skipped and counted.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from engine.errors import BadCommand, CallFailed, LimitError
from engine.limits.limiter import Priority
from engine.market.batches import Batch, Source
from engine.market.instruments import Instrument
from engine.telemetry.board import PollView
from feeds.dialect import Call, Dialect, Listing
from feeds.rest import RestClient

SECOND_NS: Final = 1_000_000_000
MINUTE_NS: Final = 60 * SECOND_NS
LONGEST_S: Final = 86_400
# Seconds between two polls, 0 = never. Streams bring funding and candles as well; polls fill what a break left out.
DEFAULTS: Final[Mapping[str, int]] = {"time": 60, "instruments": 3600, "funding": 60, "candles": 60}
FIRST_WITHIN_S: Final = 1.0  # after the start or a change, so that venues don't all ask at once
JITTER_SHARE: Final = 0.05  # of the interval, at most
JITTER_MOST_S: Final = 5.0
CANDLES_BACK: Final = 1_500  # minutes fetched of a symbol that is new: as many as the rings keep
CANDLES_SETTLE_NS: Final = 2 * SECOND_NS  # after a minute's end before its candle is asked for


class Schedule:
    """When one endpoint is due. Pure: `now_ns` on a clock that never goes back, `chance` in [0, 1).

    Dues lie on a grid of the interval, each up to a twentieth of it later. What is still under way at a due skips it.
    """

    def __init__(self, interval_s: int, now_ns: int, chance: float) -> None:
        self.skipped = 0  # dues that passed while a poll was under way or the loop was late
        self.set(interval_s, now_ns, chance)

    def set(self, interval_s: int, now_ns: int, chance: float) -> None:
        """From now on each `interval_s` seconds, 0 = never; the first one soon."""
        self.interval_s = interval_s
        self._grid_ns = now_ns
        within_s = min(FIRST_WITHIN_S, float(interval_s))
        self.due_ns: int | None = now_ns + round(chance * within_s * SECOND_NS) if interval_s else None

    def soon(self, now_ns: int) -> None:
        """Due at once, where it is polled at all; the grid stays."""
        if self.due_ns is not None:
            self.due_ns = now_ns

    def wait_ns(self, now_ns: int) -> int | None:
        """Nanoseconds until it is due, 0 = now; None when it is not polled."""
        return None if self.due_ns is None else max(0, self.due_ns - now_ns)

    def done(self, now_ns: int, chance: float) -> None:
        """A poll ended, well or not: the next is due at the first point of the grid that is still to come."""
        if self.due_ns is None:
            return
        interval_ns = self.interval_s * SECOND_NS
        passed = max(-1, (now_ns - self._grid_ns) // interval_ns)  # -1: it was asked for before its time
        self.skipped += max(0, passed)
        self._grid_ns += (passed + 1) * interval_ns
        late_s = min(JITTER_MOST_S, JITTER_SHARE * self.interval_s) * chance
        self.due_ns = self._grid_ns + round(late_s * SECOND_NS)


@dataclass(frozen=True, slots=True)
class Deliver:
    """Where what was fetched goes. Called on the loop; must not block."""

    batch: Callable[[Batch], object]  # CANDLES (closed ones only) and FUNDING
    listing: Callable[[Listing], object]  # all that the venue lists
    offset: Callable[[int, int], object]  # the venue's clock less ours, and the round trip; ns


@dataclass(slots=True)
class _Endpoint:
    call: Call
    schedule: Schedule
    poll: Callable[[], Awaitable[None]]
    changed: asyncio.Event
    last_ns: int = 0
    error: str = ""
    done: int = 0
    failed: int = 0


class Poller:
    """All polled endpoints of one connected market.

    `symbols` gives the instruments followed now, in their newest revisions; `intervals` in seconds, those left out as
    in DEFAULTS. BadCommand when one is unknown or out of range.
    """

    def __init__(
        self,
        client: RestClient,
        source: Source,
        symbols: Callable[[], Sequence[Instrument]],
        deliver: Deliver,
        intervals: Mapping[str, int] | None = None,
        *,
        wall: Callable[[], int] = time.time_ns,
        monotonic: Callable[[], int] = time.monotonic_ns,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._client, self._dialect = client, client.dialect
        self._source = source
        self._symbols = symbols
        self._deliver = deliver
        self._wall, self._monotonic, self._chance = wall, monotonic, chance
        # Of each symbol: the revision its candles were delivered in, and when the newest of them opened.
        self._newest: dict[str, tuple[int, int]] = {}
        polls = {
            "time": self._poll_time,
            "instruments": self._poll_instruments,
            "funding": self._poll_funding,
            "candles": self._poll_candles,
        }
        now_ns = monotonic()
        self._endpoints = {
            name: _Endpoint(call, Schedule(DEFAULTS[name], now_ns, chance()), polls[name], asyncio.Event())
            for name, call in calls_of(self._dialect).items()
        }
        for name, interval_s in (intervals or {}).items():
            self.set(name, interval_s)

    async def run(self) -> None:
        """Poll until cancelled."""
        async with asyncio.TaskGroup() as group:
            for name, endpoint in self._endpoints.items():
                group.create_task(self._serve(endpoint), name=f"poll {self._source.key} {name}")

    def set(self, endpoint: str, interval_s: int) -> None:
        """Poll an endpoint each `interval_s` seconds, 0 = never; at once, also while running."""
        found = self._find(endpoint)
        if not 0 <= interval_s <= LONGEST_S:
            raise BadCommand(
                f"{endpoint} can be fetched each 1 to {LONGEST_S:,} s or never (0), not {interval_s}"
            )
        found.schedule.set(interval_s, self._monotonic(), self._chance())
        found.changed.set()

    def fetched(self, endpoint: str) -> None:
        """Somebody else fetched an endpoint just now: it is due again an interval later."""
        found = self._find(endpoint)
        found.done += 1
        found.last_ns = self._wall()
        found.schedule.done(self._monotonic(), self._chance())
        found.changed.set()

    def soon(self, endpoint: str, symbol: str = "") -> None:
        """Poll an endpoint now, if it is polled at all; of this symbol as if nothing had been fetched yet.

        Does nothing where the venue has no such endpoint.
        """
        self._newest.pop(symbol, None)
        found = self._endpoints.get(endpoint)
        if found is not None:
            found.schedule.soon(self._monotonic())
            found.changed.set()

    def views(self) -> tuple[PollView, ...]:
        """Each endpoint as it stands now, in a fixed order."""
        wall_ns, now_ns = self._wall(), self._monotonic()
        return tuple(
            PollView(
                endpoint=name,
                call=endpoint.call.endpoint,
                interval_s=endpoint.schedule.interval_s,
                last_ns=endpoint.last_ns,
                next_ns=0 if (wait_ns := endpoint.schedule.wait_ns(now_ns)) is None else wall_ns + wait_ns,
                error=endpoint.error,
                done=endpoint.done,
                failed=endpoint.failed,
            )
            for name, endpoint in self._endpoints.items()
        )

    @property
    def skipped(self) -> int:
        """Polls that were due while one was under way."""
        return sum(endpoint.schedule.skipped for endpoint in self._endpoints.values())

    def _find(self, endpoint: str) -> _Endpoint:
        found = self._endpoints.get(endpoint)
        if found is None:
            known = ", ".join(self._endpoints)
            raise BadCommand(
                f"{self._dialect.label} has no {endpoint!r} to fetch at an interval; it has {known}"
            )
        return found

    async def _serve(self, endpoint: _Endpoint) -> None:
        while True:
            endpoint.changed.clear()
            wait_ns = endpoint.schedule.wait_ns(self._monotonic())
            if wait_ns != 0:
                with contextlib.suppress(TimeoutError):
                    # Not wait_for: before Python 3.12 it loses a cancellation that comes together with the event.
                    async with asyncio.timeout(None if wait_ns is None else wait_ns / SECOND_NS):
                        await endpoint.changed.wait()
                continue  # the time may have changed, or the clock be a little behind
            try:
                await endpoint.poll()
            except (CallFailed, LimitError) as error:
                endpoint.failed += 1
                endpoint.error = str(error)
            else:
                endpoint.done += 1
                endpoint.error = ""
                endpoint.last_ns = self._wall()
            endpoint.schedule.done(self._monotonic(), self._chance())

    async def _poll_time(self) -> None:
        self._deliver.offset(*await self._client.measure_offset())

    async def _poll_instruments(self) -> None:
        self._deliver.listing(await self._client.instruments())

    async def _poll_funding(self) -> None:
        for symbol in [instrument.symbol for instrument in self._symbols()]:
            instrument = self._followed(symbol)
            call = self._dialect.funding_call(instrument) if instrument else None
            if call is None:
                continue
            answer = await self._client.fetch(call)
            # Its units may have become finer meanwhile, or it may be followed no more.
            if instrument := self._followed(symbol):
                self._deliver.batch(
                    self._dialect.parse_funding(instrument, answer.body, self._source, answer.recv_ns)
                )

    async def _poll_candles(self) -> None:
        symbols = [instrument.symbol for instrument in self._symbols()]
        self._newest = {symbol: self._newest[symbol] for symbol in symbols if symbol in self._newest}
        for symbol in symbols:
            await self._candles_of(symbol)

    async def _candles_of(self, symbol: str) -> None:
        """The closed candles since the newest delivered, as many calls as it takes."""
        end_ns = (
            (self._wall() + (self._client.offset.offset_ns or 0) - CANDLES_SETTLE_NS) // MINUTE_NS * MINUTE_NS
        )
        at = end_ns - CANDLES_BACK * MINUTE_NS
        first = self._followed(symbol)
        revision, newest_ns = self._newest.get(symbol, (-1, 0))
        if (
            first is not None and revision == first.revision
        ):  # in finer units all that was delivered began anew
            at = max(at, newest_ns + MINUTE_NS)
        most = self._dialect.candles_most
        while at < end_ns and (instrument := self._followed(symbol)):
            until_ns = min(at + most * MINUTE_NS, end_ns)
            count = (until_ns - at) // MINUTE_NS
            call = self._dialect.candles_call(instrument, 60, at, until_ns, count)
            priority = Priority.BULK if count > 10 else Priority.NORMAL
            answer = await self._client.fetch(call, priority=priority)
            instrument = self._followed(symbol)
            if instrument is None:
                return
            batch = self._client.parsed_candles(instrument, 60, at, until_ns, call, answer, self._source)
            if len(batch.rows):
                self._deliver.batch(batch)
            # The end rather than the last candle: a minute without trades has none on some venues.
            self._newest[symbol] = (instrument.revision, until_ns - MINUTE_NS)
            at = until_ns

    def _followed(self, symbol: str) -> Instrument | None:
        return next((instrument for instrument in self._symbols() if instrument.symbol == symbol), None)


def calls_of(dialect: Dialect) -> dict[str, Call]:
    """What can be polled of a market, each with a call such as it will make."""
    made_up = Instrument(dialect.key, dialect.default_symbols[0], "BTC", "USDT", 2, 2, native="BTCUSDT")
    calls = {
        "time": dialect.time_call(),
        "instruments": dialect.instruments_call(),
        "funding": dialect.funding_call(made_up),
        "candles": dialect.candles_call(made_up, 60, 0, MINUTE_NS, 1),
    }
    return {name: call for name, call in calls.items() if call is not None}
