from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import BadAnswer, BadCommand, OverLimit
from engine.limits.limiter import Priority
from engine.market.batches import CANDLE, FUNDING, Batch, Kind, Source
from engine.market.instruments import Instrument
from feeds.dialect import Call, Listing
from feeds.polls import CANDLES_BACK, DEFAULTS, JITTER_SHARE, Deliver, Poller, Schedule
from feeds.rest import Answer, Offset

SECOND_NS = 1_000_000_000
MINUTE_NS = 60 * SECOND_NS
NOW_NS = 1_000_000 * MINUTE_NS + 30 * SECOND_NS
SOURCE = Source("fake", "live")
BTC = Instrument("fake", "BTC-USDT-PERP", "BTC", "USDT", 2, 3, native="BTCUSDT")
ETH = Instrument("fake", "ETH-USDT-PERP", "ETH", "USDT", 2, 3, native="ETHUSDT")


# --- the schedule ------------------------------------------------------------------------------------------


@given(
    st.integers(1, 600),
    st.lists(st.tuples(st.integers(0, 2_000), st.floats(0, 0.999)), min_size=1, max_size=30),
)
def test_dues_lie_on_a_grid_and_what_is_late_is_skipped_not_queued(
    interval_s: int, polls: list[tuple[int, float]]
) -> None:
    """Each poll takes so many seconds; every point of the grid is either polled or counted as skipped."""
    schedule = Schedule(interval_s, 0, 0.0)
    now_ns, interval_ns = 0, interval_s * SECOND_NS
    for count, (took_s, chance) in enumerate(polls, 1):
        wait_ns = schedule.wait_ns(now_ns)
        assert wait_ns is not None
        now_ns += wait_ns
        now_ns += took_s * SECOND_NS
        schedule.done(now_ns, chance)
        due_ns = schedule.due_ns
        assert due_ns is not None
        point, late_ns = divmod(due_ns, interval_ns)
        assert late_ns <= JITTER_SHARE * interval_ns
        assert point == count + schedule.skipped
        assert point * interval_ns > now_ns
        assert (point - 1) * interval_ns <= now_ns


def test_a_schedule_of_zero_is_never_due() -> None:
    schedule = Schedule(0, 0, 0.5)
    schedule.soon(5)
    schedule.done(9, 0.5)
    assert schedule.wait_ns(10**18) is None


def test_soon_is_now_and_does_not_move_the_grid() -> None:
    schedule = Schedule(60, 0, 0.0)
    schedule.done(SECOND_NS, 0.0)
    assert schedule.due_ns == 60 * SECOND_NS
    schedule.soon(20 * SECOND_NS)
    assert schedule.wait_ns(20 * SECOND_NS) == 0
    schedule.done(21 * SECOND_NS, 0.0)
    assert (schedule.due_ns, schedule.skipped) == (60 * SECOND_NS, 0)


# --- the poller --------------------------------------------------------------------------------------------


class FakeDialect:
    key, label, default_symbols, candles_most = "fake", "Fake", ("BTC-USDT-PERP",), 1000

    def time_call(self) -> Call:
        return Call("/time")

    def instruments_call(self) -> Call:
        return Call("/instruments")

    def funding_call(self, instrument: Instrument) -> Call | None:
        return Call("/funding", {"symbol": instrument.native}) if "PERP" in instrument.symbol else None

    def parse_funding(self, instrument: Instrument, body: bytes, source: Source, recv_ns: int) -> Batch:
        row = (1, recv_ns, 2, 3, 4, 10**instrument.price_decimals)
        return Batch(Kind.FUNDING, source, instrument.symbol, np.array([row], FUNDING))

    def candles_call(self, instrument: Instrument, interval_s: int, start: int, end: int, most: int) -> Call:
        return Call("/candles", {"symbol": instrument.native, "start": start, "end": end, "most": most})


class FakeClient:
    """Answers at once, or as `answer` says; notes what was asked."""

    def __init__(self, answer: Callable[[Call], Any] = lambda call: None) -> None:
        self.dialect = FakeDialect()
        self.offset = Offset()
        self.calls: list[tuple[str, Mapping[str, Any], Priority]] = []
        self.answer = answer

    async def fetch(self, call: Call, *, priority: Priority = Priority.NORMAL) -> Answer:
        self.calls.append((call.path, call.arguments, priority))
        held = self.answer(call)
        if held is not None:
            await held
        return Answer(b"", 200, {}, 5, 9)

    async def measure_offset(self) -> tuple[int, int]:
        await self.fetch(Call("/time"))
        return 11, 22

    async def instruments(self) -> Listing:
        await self.fetch(Call("/instruments"))
        return Listing((BTC, ETH))

    def parsed_candles(
        self,
        instrument: Instrument,
        interval_s: int,
        start: int,
        end: int,
        call: Call,
        answer: Answer,
        source: Source,
    ) -> Batch:
        rows = np.array([(at, 1, 1, 1, 1, 1, 0, 1, 1) for at in range(start, end, MINUTE_NS)], CANDLE)
        return Batch(Kind.CANDLES, source, instrument.symbol, rows, interval_ns=MINUTE_NS)


class Wanted:
    """A poller of a fake client whose wall clock stands, and what it delivered."""

    def __init__(self, client: FakeClient, intervals: Mapping[str, int] | None = None) -> None:
        self.batches: list[Batch] = []
        self.listings: list[Listing] = []
        self.offsets: list[tuple[int, int]] = []
        self.followed = [BTC]
        self.client = client
        self.wall_ns = NOW_NS
        self.poller = Poller(
            client,  # type: ignore[arg-type]
            SOURCE,
            lambda: self.followed,
            Deliver(self.batches.append, self.listings.append, lambda *both: self.offsets.append(both)),
            intervals,
            wall=lambda: self.wall_ns,
            chance=lambda: 0.0,
        )

    def view(self, endpoint: str) -> Any:
        return next(view for view in self.poller.views() if view.endpoint == endpoint)

    async def until(self, condition: Callable[[], bool]) -> None:
        """Run the poller until something is so."""
        task = asyncio.create_task(self.poller.run())
        async with asyncio.timeout(5):
            while not condition():
                await asyncio.sleep(0.001)
                assert not task.done()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


OFF = dict.fromkeys(DEFAULTS, 0)


def test_everything_is_polled_soon_after_the_start() -> None:
    wanted = Wanted(FakeClient())
    asyncio.run(wanted.until(lambda: all(view.done for view in wanted.poller.views())))
    assert wanted.offsets == [(11, 22)]
    assert [len(listing.instruments) for listing in wanted.listings] == [2]
    assert {batch.kind for batch in wanted.batches} == {Kind.FUNDING, Kind.CANDLES}
    views = {view.endpoint: view for view in wanted.poller.views()}
    assert {name: view.interval_s for name, view in views.items()} == dict(DEFAULTS)
    assert views["funding"].call == "GET /funding"
    assert all((view.last_ns, view.error, view.failed) == (NOW_NS, "", 0) for view in views.values())
    assert all(view.next_ns > NOW_NS for view in views.values())


def test_an_interval_of_zero_is_never_polled_and_can_be_set_while_running() -> None:
    wanted = Wanted(FakeClient(), OFF)

    async def run() -> None:
        running = asyncio.create_task(wanted.until(lambda: wanted.view("time").done == 1))
        await asyncio.sleep(0.02)
        assert wanted.client.calls == []
        wanted.poller.set("time", 5)
        await running

    asyncio.run(run())
    assert [path for path, *_ in wanted.client.calls] == ["/time"]
    assert wanted.view("time").interval_s == 5
    assert wanted.view("candles").next_ns == 0


def test_a_failed_poll_is_shown_and_the_others_go_on() -> None:
    def answer(call: Call) -> None:
        if call.path == "/funding":
            raise OverLimit("fake", "GET /funding", 429, "slow down")
        if call.path == "/candles":
            raise BadAnswer("fake", "GET /candles", "bad 'open'")

    wanted = Wanted(FakeClient(answer))
    asyncio.run(
        wanted.until(
            lambda: wanted.view("funding").failed == 1 == wanted.view("candles").failed == len(wanted.offsets)
        )
    )
    assert wanted.view("funding").error == "fake: GET /funding: 429: slow down"
    assert (wanted.view("funding").done, wanted.view("funding").last_ns) == (0, 0)
    assert wanted.view("time").error == ""


@pytest.mark.parametrize(
    ("endpoint", "interval_s", "why"),
    [("depth", 5, "no 'depth'"), ("time", -1, "1 to"), ("time", 86_401, "1 to")],
)
def test_what_cannot_be_set(endpoint: str, interval_s: int, why: str) -> None:
    wanted = Wanted(FakeClient())
    with pytest.raises(BadCommand, match=why):
        wanted.poller.set(endpoint, interval_s)
    with pytest.raises(BadCommand, match=why):
        Wanted(FakeClient(), {endpoint: interval_s})


def test_a_market_without_funding_does_not_poll_it() -> None:
    client = FakeClient()
    client.dialect.default_symbols = ("BTC-USDT",)
    assert [view.endpoint for view in Wanted(client).poller.views()] == ["time", "instruments", "candles"]


async def candles_polled(wanted: Wanted) -> None:
    """One more poll of the candles, now."""
    before = wanted.view("candles").done
    wanted.poller.soon("candles")
    await wanted.until(lambda: wanted.view("candles").done == before + 1)


def test_candles_go_back_a_day_and_then_on_from_the_newest() -> None:
    asyncio.run(_candles_go_on())


async def _candles_go_on() -> None:
    wanted = Wanted(FakeClient(), OFF | {"candles": 3600})
    await candles_polled(wanted)
    opened = np.concatenate([batch.rows["ts_open_ns"] for batch in wanted.batches])
    last_closed_ns = NOW_NS // MINUTE_NS * MINUTE_NS - MINUTE_NS
    assert opened.tolist() == [last_closed_ns - n * MINUTE_NS for n in reversed(range(CANDLES_BACK))]
    assert [arguments["most"] for _, arguments, _ in wanted.client.calls] == [1000, 500]
    assert {priority for *_, priority in wanted.client.calls} == {Priority.BULK}

    wanted.wall_ns += 2 * MINUTE_NS
    await candles_polled(wanted)
    assert wanted.batches[-1].rows["ts_open_ns"].tolist() == [
        last_closed_ns + MINUTE_NS,
        last_closed_ns + 2 * MINUTE_NS,
    ]
    assert wanted.client.calls[-1][2] is Priority.NORMAL

    calls = len(wanted.client.calls)
    await candles_polled(wanted)
    assert len(wanted.client.calls) == calls, "no minute has closed since"


def test_a_symbol_added_later_gets_its_own_past() -> None:
    wanted = Wanted(FakeClient(), OFF | {"candles": 3600})

    async def run() -> None:
        await candles_polled(wanted)
        wanted.followed = [BTC, ETH]
        await candles_polled(wanted)

    asyncio.run(run())
    assert sum(len(batch.rows) for batch in wanted.batches if batch.symbol == ETH.symbol) == CANDLES_BACK


@pytest.mark.parametrize("how", ["added again", "revised"])
def test_a_symbol_whose_candles_were_forgotten_gets_its_past_again(how: str) -> None:
    wanted = Wanted(FakeClient(), OFF | {"candles": 3600})

    async def run() -> None:
        await candles_polled(wanted)
        if how == "revised":
            wanted.followed = [BTC.with_decimals(3, 3)]
        else:
            wanted.poller.soon("candles", BTC.symbol)
        await candles_polled(wanted)

    asyncio.run(run())
    assert sum(len(batch.rows) for batch in wanted.batches) == 2 * CANDLES_BACK


@pytest.mark.parametrize("endpoint", ["funding", "candles"])
def test_what_changed_during_a_call_counts(endpoint: str) -> None:
    """A symbol removed meanwhile gets nothing; one in finer units gets its numbers in those."""
    finer = BTC.with_decimals(3, 3)

    async def meanwhile() -> None:
        wanted.followed = [finer]

    wanted = Wanted(FakeClient(lambda call: meanwhile()), OFF | {endpoint: 3600})
    wanted.followed = [BTC, ETH]
    asyncio.run(wanted.until(lambda: wanted.view(endpoint).done == 1))
    assert {batch.symbol for batch in wanted.batches} == {BTC.symbol}
    if endpoint == "funding":
        assert wanted.batches[0].rows["mark_price"].tolist() == [1000]


def test_a_poll_that_waits_for_its_permit_is_not_followed_by_those_it_missed() -> None:
    released = asyncio.Event()
    wanted = Wanted(FakeClient(lambda call: released.wait()), OFF | {"time": 1})
    now_ns = [0]
    wanted.poller._monotonic = lambda: now_ns[0]
    wanted.poller.set("time", 1)

    async def run() -> None:
        running = asyncio.create_task(wanted.until(lambda: wanted.view("time").done == 1))
        while not wanted.client.calls:
            await asyncio.sleep(0)
        now_ns[0] = 10 * SECOND_NS + 1
        released.set()
        await running

    asyncio.run(run())
    assert (len(wanted.client.calls), wanted.poller.skipped) == (1, 10)
    assert wanted.view("time").next_ns == NOW_NS + SECOND_NS - 1
