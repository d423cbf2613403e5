"""Topics over a market made by hand: what they say when it is due, once, and in exact text."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.alerts.views import FiringView
from engine.api.push import topics as topics_module
from engine.api.push.encodings import Kind, Message
from engine.api.push.market_readers import (
    TRADES_AT_ONCE,
    TRADES_BEHIND,
    BookReader,
    CandleReader,
    Place,
    TickReader,
    TradeReader,
)
from engine.api.push.messages import Envelope
from engine.api.push.program_readers import AlertReader, LatencyReader, ThroughputReader
from engine.api.push.protocol import Resume
from engine.api.push.topics import LINGERS_NS, Reader, Said, Topic
from engine.api.reading import Markets
from engine.market.batches import TRADE, Batch
from engine.market.batches import Kind as BatchKind
from engine.market.sequencing import Rule
from tests.api.push_rig import LIVE
from tests.engine.markets import BTC, SECOND, START, Desk
from tests.reference.push_plain import NaiveListener


def market() -> Desk:
    return Desk(LIVE).snapshot([(10_000, 5), (9_900, 7)], [(10_100, 2)]).at(0.0)


def place(desk: Desk, symbol: str = "BTC-USDT") -> Place:
    markets = Markets(desk.telemetry, desk.intake, lambda: desk.now)
    return Place(markets, markets.source("binance_spot"), symbol)


def topic(desk: Desk, reader: Reader) -> Topic:
    return Topic("a topic", "e-1", reader, desk.now)


def candles(messages: list[Message]) -> list[tuple[float, str, bool]]:
    """(opening second after the start, volume, final) of what was said."""
    found = [each.envelope.candle for each in messages]
    return [(each.ts_ms / 1e3 - START / 1e9, each.volume, each.final) for each in found if each is not None]


def traded(desk: Desk, at: float, size: int = 100, price: int = 10_000) -> None:
    desk.now = START + round(at * SECOND)
    desk.trade(price, size)


# --- candles ----------------------------------------------------------------------------------------------------


def test_a_running_candle_is_said_once_in_its_second_and_a_closed_one_as_soon_as_it_closes() -> None:
    desk = market()
    said = topic(desk, CandleReader(place(desk), "1s", desk.now))
    traded(desk, 0.3)
    assert said.read(desk.at(0.49).now) == []
    assert candles(said.read(desk.at(0.5).now)) == [(0, "0.00100", False)]
    assert said.read(desk.at(1.1).now) == []
    traded(desk, 1.2)  # the first of the next second closes the one before
    assert candles(said.read(desk.at(1.2).now)) == [(0, "0.00100", True)]
    assert candles(said.read(desk.at(1.51).now)) == [(1, "0.00100", False)]
    assert said.read(desk.at(2.4).now) == []
    assert candles(said.read(desk.at(3.0).now)) == [(1, "0.00100", True)]  # its second is long over
    assert said.read(desk.at(4.0).now) == []  # a second without trades has no candle
    assert said.seq == 4


def test_a_revision_of_the_units_loses_no_candle_and_every_price_stays_right() -> None:
    desk = market()
    said = topic(desk, CandleReader(place(desk), "1s", desk.now))
    traded(desk, 0.5, price=10_050)
    traded(desk, 1.5, price=10_060)  # closes the first, in the old units, unread
    desk.intake.revise(LIVE, BTC.with_decimals(4, 6))
    traded(desk, 2.5, price=1_007_012)
    found = said.read(desk.at(2.6).now) + said.read(desk.at(2.7).now)
    closes = [
        (each.envelope.candle.close, each.envelope.candle.final) for each in found if each.envelope.candle
    ]
    assert [close for close, final in closes if final] == ["100.50", "100.6000"]
    assert closes[-1] == ("100.7012", False) or closes[-2] == ("100.7012", False)


def test_a_longer_candle_goes_on_through_a_revision() -> None:
    desk = market()
    said = topic(desk, CandleReader(place(desk), "5s", desk.now))
    for second in range(3):
        traded(desk, second + 0.5)
        said.read(desk.at(second + 0.6).now)
    desk.intake.revise(LIVE, BTC.with_decimals(3, 6))
    traded(desk, 3.5, size=1_000)
    found = [message for half in range(8, 20) for message in said.read(desk.at(half / 2).now)]
    assert [each for each in candles(found) if each[2]] == [(0, "0.004000", True)]


def test_longer_candles_close_once_with_all_their_seconds() -> None:
    desk = market()
    said = topic(desk, CandleReader(place(desk), "5s", desk.now))
    found: list[Message] = []
    for half in range(1, 40):
        if half % 2 and half != 13:
            traded(desk, half / 2)
        found += said.read(desk.at(half / 2 + 0.25).now)
    for second in range(21, 26):
        found += said.read(desk.at(second).now)
    closed = [each for each in candles(found) if each[2]]
    assert closed == [
        (0, "0.00500", True),
        (5, "0.00400", True),
        (10, "0.00500", True),
        (15, "0.00500", True),
    ]
    running = [each for each in candles(found) if not each[2]]
    assert running[0] == (0, "0.00100", False)
    assert max(each[0] for each in running) == 15


@given(
    st.lists(st.tuples(st.integers(0, 3_000), st.integers(1, 50)), max_size=25), st.sampled_from(["1s", "5s"])
)
def test_whenever_it_is_read_each_closed_candle_is_said_once_and_holds_all(
    steps: list[tuple[int, int]], interval: Any
) -> None:
    desk = market()
    said = topic(desk, CandleReader(place(desk), interval, desk.now))
    found: list[Message] = []
    at, total = 0.0, 0
    for wait_ms, size in steps:
        at += wait_ms / 1e3
        traded(desk, at, size)
        total += size
        if size % 3:
            found += said.read(desk.at(at).now)
    for _ in range(24):
        at += 0.5
        found += said.read(desk.at(at).now)
    closed = [each for each in candles(found) if each[2]]
    opened = [each[0] for each in closed]
    assert opened == sorted(set(opened))
    assert sum(Decimal(each[1]) for each in closed) == Decimal(total).scaleb(-5)
    assert [each.envelope.seq for each in found] == list(range(1, len(found) + 1))


def test_a_snapshot_has_what_was_said_and_no_more() -> None:
    desk = market()
    for second in range(5):
        traded(desk, second + 0.5)
    said = topic(desk, CandleReader(place(desk), "1s", desk.now))
    traded(desk, 5.5)  # closes one that was not said yet
    snapshot = said.snapshot(desk.now)
    assert snapshot is not None
    shown = snapshot.envelope.candles or []
    assert [(each.ts_ms / 1e3 - START / 1e9, each.final) for each in shown] == [
        *((second, True) for second in range(4)),
        (5, False),
    ]
    assert candles(said.read(desk.now))[0] == (4, "0.00100", True)


# --- books ------------------------------------------------------------------------------------------------------

changes = st.lists(
    st.tuples(
        st.lists(st.tuples(st.integers(9_960, 9_999), st.integers(0, 4)), max_size=12),
        st.lists(st.tuples(st.integers(10_001, 10_040), st.integers(0, 4)), max_size=12),
        st.sampled_from([0.02, 0.05, 0.1, 0.3]),
    ),
    max_size=20,
)


@given(changes, st.sampled_from([10, 20]))
def test_snapshot_and_diffs_give_the_book_at_every_number(
    steps: list[tuple[list[tuple[int, int]], list[tuple[int, int]], float]], depth: int
) -> None:
    desk = market()
    where = place(desk)
    said = topic(desk, BookReader(where, depth))
    first = said.snapshot(desk.now)
    assert first is not None
    naive, late = NaiveListener(), NaiveListener()
    naive.hear(first.envelope)
    at, heard = 0.0, 0
    for bids, asks, wait in steps:
        at += wait
        desk.delta(bids, asks).at(at)
        for message in said.read(desk.now):
            heard += 1
            naive.hear(message.envelope)
            view = where.view
            assert view is not None
            want = [
                [(Decimal(p).scaleb(-2), Decimal(s).scaleb(-5)) for p, s in side[:depth].tolist()]
                for side in (view.bids, view.asks)
            ]
            assert list(naive.levels()) == want
            assert naive.sequence == view.sequence
        whole = said.snapshot(desk.now)
        assert whole is not None
        late.hear(whole.envelope)  # one who comes now begins where the others are
        assert (late.seq, late.levels()) == (naive.seq, naive.levels())
    assert heard <= at * 10 + 1  # at most ten a second


def test_finer_units_bring_a_whole_book_anew() -> None:
    desk = market()
    said = topic(desk, BookReader(place(desk), 20))
    desk.intake.revise(LIVE, BTC.with_decimals(3, 5))
    (message,) = said.read(desk.at(0.5).now)
    assert (message.envelope.type, message.envelope.seq, message.kind) == ("snapshot", 1, Kind.DIFF)
    assert message.envelope.book is not None
    assert message.envelope.book.bids[0] == ("100.000", "0.00005")


def test_a_book_that_is_not_synced_any_more_says_so() -> None:
    desk = market()
    said = topic(desk, BookReader(place(desk), 20))
    desk.intake.interrupted(LIVE, ["BTC-USDT"], "the line broke")
    (message,) = said.read(desk.at(0.5).now)
    assert message.envelope.book is not None
    assert (message.envelope.type, message.envelope.book.state) == ("diff", "STALE")


# --- trades, ticks, rows ----------------------------------------------------------------------------------------


def test_trades_are_said_in_order_and_those_too_many_are_counted() -> None:
    desk = market()
    said = topic(desk, TradeReader(place(desk)))
    for at in range(3):
        traded(desk, at / 10, price=10_000 + at)
    (message,) = said.read(desk.now)
    assert [each.price for each in message.envelope.trades or ()] == ["100.00", "100.01", "100.02"]
    count = TRADES_BEHIND + 1
    rows = np.zeros(count, TRADE)
    rows["ts_recv_ns"] = rows["ts_event_ns"] = desk.now
    rows["trade_id"], rows["price"], rows["size"] = np.arange(count), 10_000, 1
    desk.intake.on_batch(Batch(BatchKind.TRADES, LIVE, "BTC-USDT", rows))
    (message,) = said.read(desk.now)
    assert (len(message.envelope.trades or ()), message.envelope.lost) == (
        TRADES_AT_ONCE,
        count - TRADES_AT_ONCE,
    )
    assert said.read(desk.now) == []


def test_a_tick_is_said_when_it_changed_and_only_then() -> None:
    desk = market()
    said = topic(desk, TickReader(place(desk)))
    desk.delta([(9_000, 5)], []).at(0.1)  # far from the best
    assert said.read(desk.now) == []
    desk.delta([(10_000, 6)], []).at(0.2)
    (message,) = said.read(desk.now)
    assert message.kind is Kind.NEWEST
    assert message.envelope.tick is not None
    assert (message.envelope.tick.bid, message.envelope.tick.bid_size) == ("100.00", "0.00006")


def test_latencies_and_counts_come_by_second() -> None:
    desk = market()
    latency = topic(desk, LatencyReader(place(desk, "")))
    counts = topic(desk, ThroughputReader(place(desk, "")))
    traded(desk, 0.5)
    desk.at(0.6).at(1.2)
    traded(desk, 1.3)
    desk.at(2.2)
    (message,) = counts.read(desk.now)
    assert [each.trades for each in message.envelope.throughput or ()] == [1, 1]
    (message,) = latency.read(desk.now)
    assert {each.stage for each in message.envelope.latency or ()} >= {"receive", "sequence"}
    assert latency.read(desk.now) == []


def test_alerts_are_said_each_and_those_that_fire_are_the_snapshot() -> None:
    desk = market()
    reader = AlertReader(desk.telemetry)
    said = topic(desk, reader)
    firing = FiringView(7, "r1", "mid above 1", "binance_spot:live", "BTC-USDT", "2", START, 0, 0, ())
    reader.on_alert("fired", firing)
    (message,) = said.read(desk.now)
    assert message.envelope.alert is not None
    assert (message.envelope.alert.what, message.envelope.alert.ended_ts) == ("fired", None)
    snapshot = said.snapshot(desk.now)
    assert snapshot is not None
    assert snapshot.envelope.alerts == []


# --- what is kept ------------------------------------------------------------------------------------------------


class Counting:
    """A reader that says `due` messages when asked."""

    def __init__(self, kinds: list[Kind] | None = None) -> None:
        self.due: list[Kind] = kinds or []

    def read(self, now_ns: int) -> list[Said]:
        found = [Said(Envelope(type="news", ts_ms=now_ns // 1_000_000), kind) for kind in self.due]
        self.due = []
        return found

    def snapshot(self, now_ns: int) -> Envelope | None:
        return Envelope(type="snapshot", ts_ms=now_ns // 1_000_000)

    def gone(self) -> str:
        return ""


def test_what_was_missed_comes_in_order_with_the_newest_of_what_only_counts_then() -> None:
    reader = Counting([Kind.KEPT, Kind.NEWEST, Kind.KEPT, Kind.NEWEST, Kind.KEPT])
    said = Topic("t", "e", reader, 0)
    said.read(0)
    resumed, missed = said.resume(Resume("e", 1))
    assert resumed
    assert [each.envelope.seq for each in missed] == [3, 4, 5]
    assert said.resume(Resume("e", 5)) == (True, ())
    assert not said.resume(Resume("e", 6)).resumed
    assert not said.resume(Resume("another", 3)).resumed
    assert not said.resume(None).resumed


def test_what_is_kept_is_bounded_and_who_was_away_too_long_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(topics_module, "KEPT", 10)
    reader = Counting([Kind.KEPT] * 25)
    said = Topic("t", "e", reader, 0)
    said.read(0)
    assert not said.resume(Resume("e", 14)).resumed
    assert len(said.resume(Resume("e", 15)).missed) == 10
    monkeypatch.setattr(topics_module, "KEPT_BYTES", 1_500)
    reader.due = [Kind.KEPT]
    said.read(0)
    assert said.kept_bytes <= 1_500
    assert not said.resume(Resume("e", 20)).resumed


def test_a_topic_nobody_follows_is_forgotten_after_a_while() -> None:
    said = Topic("t", "e", Counting(), 0)
    assert not said.forgotten(LINGERS_NS)
    assert said.forgotten(LINGERS_NS + 1)


def test_a_snapshot_is_made_once_for_all_who_come_between_two_messages() -> None:
    reader = Counting()
    said = Topic("t", "e", reader, 0)
    assert said.snapshot(0) is said.snapshot(1)
    before = said.snapshot(1)
    reader.due = [Kind.KEPT]
    said.read(2)
    after = said.snapshot(2)
    assert after is not None
    assert after is not before
    assert after.envelope.seq == 1


def test_a_source_that_is_opened_anew_ends_its_topics() -> None:
    desk = market()
    reader = BookReader(place(desk), 20)
    assert reader.gone() == ""
    desk.intake.close_source(LIVE, "closed")
    desk.now += SECOND
    desk.intake.open_source(LIVE, "Again", [BTC], Rule.BINANCE_SPOT, lambda wall_ns: wall_ns)
    desk.at(1.0)
    assert "opened anew" in reader.gone()
