"""The one path: what a batch does to books, rings, counters, states and the event log."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from engine.desks import TURN_STAGES
from engine.errors import BadFrame
from engine.exchange.stages import SOURCE as HOUSE
from engine.exchange.stages import STAGES as HOUSE_STAGES
from engine.market.batches import CANDLE, FUNDING, TRADE, Batch, Kind, Source
from engine.market.instruments import Instrument
from engine.market.sequencing import Outcome, Rule
from engine.matching.statistics import EngineStatistics
from engine.service import PAGE_STAGES
from engine.telemetry.hub import SOURCES, TelemetryFull
from tests.engine.markets import BTC, SECOND, SIM, SPOT, START, Desk

KEY = (SPOT.key, "BTC-USDT")
MINUTE = 60 * SECOND
STATISTICS = EngineStatistics(7, START, 4_096, ())


def texts(desk: Desk, what: str) -> list[str]:
    return [event.text for event in desk.telemetry.events.since(0) if event.what == what]


def view(desk: Desk):  # type: ignore[no-untyped-def]
    (found,) = desk.telemetry.board.sources
    return found


def test_a_snapshot_and_deltas_give_the_published_book() -> None:
    desk = Desk().snapshot([(100, 5), (99, 7)], [(101, 2)]).delta([(100, 0)], [(102, 9)]).at(0.1)
    book = desk.telemetry.board.books[KEY]
    assert book.state == "SYNCED"
    assert book.bids.tolist() == [(99, 7)]
    assert book.asks.tolist() == [(101, 2), (102, 9)]
    assert (book.counts, book.sequence) == ((1, 2), 2)


def test_a_published_book_never_changes() -> None:
    desk = Desk().snapshot([(100, 5)], [(101, 2)]).at(0.1)
    before = desk.telemetry.board.books[KEY]
    desk.delta([(100, 6)], []).at(0.2)
    assert before.bids.tolist() == [(100, 5)]
    assert desk.telemetry.board.books[KEY].bids.tolist() == [(100, 6)]


def test_nothing_new_publishes_no_new_book() -> None:
    desk = Desk().snapshot([(100, 5)], [(101, 2)]).at(0.1)
    before = desk.telemetry.board.books[KEY]
    assert desk.at(0.2).telemetry.board.books[KEY] is before


def test_a_gap_marks_counts_logs_and_ends_with_the_resync() -> None:
    desk = Desk().snapshot([(100, 5)], [(101, 2)]).at(1.0)
    desk.delta([(100, 6)], [], skip=3).at(2.0)
    assert desk.telemetry.board.books[KEY].state != "SYNCED"
    assert (view(desk).state, view(desk).gaps) == ("resyncing", 1)
    assert desk.intake.wants_snapshot(SPOT) == ["BTC-USDT"]
    assert len(texts(desk, "gap")) == 1
    assert desk.telemetry.board.books[KEY].outages == ((START + SECOND, 0),)
    desk.snapshot([(100, 6)], [(101, 2)]).at(3.0)
    assert desk.telemetry.board.books[KEY].state == "SYNCED"
    assert desk.telemetry.board.books[KEY].outages == ((START + SECOND, START + 2 * SECOND),)
    assert view(desk).state == "live"
    counts = desk.telemetry.counters[SPOT.key]
    desk.at(4.0)
    assert counts.totals["gaps"] == 1


def test_trades_become_tape_candles_and_counts() -> None:
    desk = Desk().snapshot([(100, 5)], [(110, 2)])
    for step, price in enumerate((105, 107, 103, 104)):
        desk.now = START + step * SECOND // 4
        desk.trade(price, 10)
    desk.at(1.5).trade(108, 1).at(4.0)
    rings = desk.telemetry.market(SPOT.key, "BTC-USDT")
    assert rings.trades.since(0).rows["price"].tolist() == [105, 107, 103, 104, 108]
    candles = rings.candles.since(0).rows
    assert candles[["open", "high", "low", "close", "volume", "trades"]].tolist() == [
        (105, 107, 103, 104, 40, 4),
        (108, 108, 108, 108, 1, 1),
    ]
    assert desk.telemetry.counters[SPOT.key].totals["trades"] == 5


def test_the_running_candle_is_on_the_board_until_its_second_is_over() -> None:
    desk = Desk().snapshot([(100, 5)], [(110, 2)]).trade(105).at(0.2)
    running = desk.telemetry.board.books[KEY].candle
    assert running is not None
    assert running["close"].tolist() == [105]
    desk.at(3.0)
    assert desk.telemetry.board.books[KEY].candle is None


def test_latency_is_shown_less_the_running_minimum_and_the_offset_is_told() -> None:
    desk = Desk().snapshot([(100, 5)], [(110, 2)])
    desk.at(1.0)
    for latency_ms in (-1_300, -1_290, -1_200):
        desk.trade(105, latency_ns=latency_ms * 1_000_000)
    desk.at(3.0)
    rows = desk.telemetry.stages[SPOT.key, "receive"].seconds.since(0).rows
    assert rows["offset_ns"].tolist()[-1] == -1_300_000_000
    assert rows["greatest"].tolist()[-1] == 100_000_000
    assert view(desk).offset_ns == -1_300_000_000


def test_a_source_without_event_times_has_no_receive_latency() -> None:
    desk = Desk().snapshot([(100, 5)], [(110, 2)]).at(1.0)
    desk.trade(105, latency_ns=desk.now)  # event time 0: not given
    desk.at(3.0)
    stage = desk.telemetry.stages[SPOT.key, "receive"]
    assert stage.seconds.since(0).rows["count"].sum() == 1  # the snapshot's own


def test_a_quiet_source_becomes_stale_and_live_again() -> None:
    desk = Desk().snapshot([(100, 5)], [(110, 2)]).at(0.1)
    assert view(desk).state == "live"
    desk.at(6.5)
    assert view(desk).state == "stale"
    since = view(desk).since_ns
    desk.at(8.0)
    assert view(desk).since_ns == since
    desk.delta([(100, 6)], []).at(8.1)
    assert view(desk).state == "live"
    assert [text.split(" is ")[1].split(":")[0] for text in texts(desk, "state")] == ["live", "stale", "live"]


def test_what_a_source_does_before_it_is_live_is_no_warning() -> None:
    desk = Desk()
    desk.intake.condition(SPOT, up=False, detail="opening")
    desk.at(0.1)
    desk.intake.condition(SPOT, up=True, detail="")
    desk.at(0.2).snapshot([(100, 5)], [(110, 2)]).at(0.3)
    desk.intake.condition(SPOT, up=False, detail="connection lost")
    desk.at(0.4)
    found = [event for event in desk.telemetry.events.since(0) if event.what == "state"]
    assert "reconnecting" in found[0].text
    assert "connection lost" in found[-1].text
    assert [event.level for event in found] == ["info"] * (len(found) - 1) + ["warn"]


def test_counters_close_each_second_once_with_zeros_for_quiet_ones() -> None:
    desk = Desk().at(0.0).snapshot([(100, 5)], [(110, 2)])
    desk.intake.on_frames(SPOT, 3, 300, np.array([10, 20, 30]))
    desk.at(0.9).at(3.2)
    rows = desk.telemetry.counters[SPOT.key].ring.since(0).rows
    assert rows["ts_ns"].tolist() == [START, START + SECOND, START + 2 * SECOND]
    assert rows["messages"].tolist() == [3, 0, 0]
    assert rows["size_bytes"].tolist() == [300, 0, 0]
    assert desk.telemetry.board.closed_second_ns == START + 3 * SECOND


def test_bad_frames_are_counted_and_kept_up_to_a_bound() -> None:
    desk = Desk()
    for number in range(150):
        desk.intake.on_bad_frame(SPOT, BadFrame("binance", "p", f"frame {number}".encode()))
    desk.at(1.0)
    assert view(desk).malformed == 150
    assert desk.telemetry.bad_frames[-1].frame == b"frame 149"
    assert len(desk.telemetry.bad_frames) == 100
    desk.intake.on_bad_frame(SPOT, BadFrame("binance", "p", b"x" * 10_000))
    assert len(desk.telemetry.bad_frames[-1].frame) == 2_000


def test_trades_do_not_make_a_book_look_fresh() -> None:
    desk = Desk().snapshot([(100, 5)], [(110, 2)]).at(1.0).trade(105).at(2.0)
    assert desk.telemetry.board.books[KEY].ts_recv_ns == START
    assert desk.telemetry.board.books[KEY].last_trade_ns == START + SECOND


def test_a_quiet_simulator_is_told_apart_from_a_silent_venue() -> None:
    desk = Desk(SIM).snapshot([(100, 5)], [(110, 2)]).at(0.1)
    desk.at(7.0)
    assert (view(desk).state, view(desk).detail) == ("stale", "the simulation rate is 0")
    assert {event.level for event in desk.telemetry.events.since(0)} == {"info"}


def test_an_ended_source_keeps_what_it_showed() -> None:
    desk = Desk().snapshot([(100, 5)], [(110, 2)]).trade(105).at(0.1)
    desk.intake.close_source(SPOT, "ended")
    desk.at(30.0)
    assert view(desk).state == "ended"
    assert desk.telemetry.board.books[KEY].bids.tolist() == [(100, 5)]
    assert len(desk.telemetry.market(SPOT.key, "BTC-USDT").candles) == 1


def test_a_source_that_failed_says_so() -> None:
    desk = Desk()
    desk.intake.close_source(SPOT, "line 7 is cut off")
    desk.at(1.0)
    assert (view(desk).state, view(desk).detail) == ("error", "line 7 is cut off")
    assert desk.telemetry.events.since(0)[-1].level == "error"


def test_a_source_opened_again_begins_anew() -> None:
    desk = Desk().snapshot([(100, 5)], [(110, 2)]).trade(105).at(2.0)
    opened = view(desk).opened_ns
    held = desk.telemetry.bytes_held
    desk.now += 1
    desk.intake.open_source(SPOT, "Test venue", [BTC], Rule.BINANCE_SPOT, lambda wall_ns: wall_ns)
    desk.intake.publish()
    assert view(desk).opened_ns > opened
    assert view(desk).state == "loading"
    assert len(desk.telemetry.market(SPOT.key, "BTC-USDT").trades) == 0
    assert desk.telemetry.bytes_held <= held


def test_finer_decimals_rescale_the_book_and_begin_the_rings_anew() -> None:
    desk = Desk().snapshot([(100, 5)], [(110, 2)]).trade(105).at(0.1)
    desk.intake.revise(SPOT, Instrument("binance_spot", "BTC-USDT", "BTC", "USDT", 3, 5, revision=1))
    desk.at(0.2)
    book = desk.telemetry.board.books[KEY]
    assert book.bids.tolist() == [(1000, 5)]
    assert book.instrument.price_decimals == 3
    assert len(desk.telemetry.market(SPOT.key, "BTC-USDT").trades) == 0


def test_the_built_in_exchange_counts_orders_and_their_latency_from_intended_arrival() -> None:
    desk = Desk(SIM).snapshot([(100, 5)], [(110, 2)]).at(0.5)
    desk.intake.on_orders(SIM, 4, 2, np.array([1_000, 2_000, 3_000, 400_000]), 8_000)
    desk.at(2.0)
    row = desk.telemetry.stages[SIM.key, "ack"].seconds.since(0).rows[0]
    assert (int(row["count"]), int(row["greatest"])) == (4, 400_000)
    totals = desk.telemetry.counters[SIM.key].totals
    assert (totals["orders"], totals["skipped"]) == (4, 2)
    match = desk.telemetry.stages[SIM.key, "match"].seconds.since(0).rows[0]
    assert int(match["greatest"]) == 2_000


def test_turns_of_the_matching_engine_are_counted_and_measured() -> None:
    desk = Desk(SIM).snapshot([(100, 5)], [(110, 2)]).at(0.5)
    desk.intake.on_orders(SIM, 4, 0, np.full(4, 1_000), 8_000, events=6, rejects=1)
    desk.intake.on_orders(SIM, 0, 0, np.zeros(0, np.int64), 500)
    desk.intake.on_matching(SIM, STATISTICS, 12_345)
    found = desk.telemetry.board.matching
    assert found is not None
    assert (found.batch, found.batch_ns, found.statistics, found.resident_bytes) == (
        *(4, 8_000),
        STATISTICS,
        12_345,
    )
    desk.at(2.0)
    totals = desk.telemetry.counters[SIM.key].totals
    assert (totals["events"], totals["rejects"]) == (6, 1)
    for stage, value in (("batch", 4), ("turn", 8_000)):
        row = desk.telemetry.stages[SIM.key, stage].seconds.since(0).rows[0]
        assert (int(row["count"]), int(row["greatest"])) == (1, value)
    assert "batch" not in view(desk).stages
    desk.intake.open_source(SIM, "Test venue", [BTC], Rule.BINANCE_SPOT, lambda wall_ns: wall_ns)
    assert desk.telemetry.board.matching is None


def test_publishing_while_a_past_is_filled_in_cuts_no_candle() -> None:
    desk = Desk(SIM)
    for at in range(4):
        row = np.array([(START - 9 * SECOND + at, START - 9 * SECOND + at, at + 1, 100, 5, 1)], TRADE)
        desk.intake.backfill(Batch(Kind.TRADES, SIM, "BTC-USDT", row))
        desk.at(at / 20)
    desk.snapshot([(100, 5)], [(110, 2)]).at(1.0)
    (candle,) = desk.telemetry.market(SIM.key, "BTC-USDT").candles.since(0).rows
    assert int(candle["trades"]) == 4
    assert view(desk).late == 0


def test_backfilled_trades_make_candles_but_no_counts() -> None:
    desk = Desk(SIM)
    rows = np.array([(START - 9 * SECOND, START - 9 * SECOND, 1, 100, 5, 1)], TRADE)
    desk.intake.backfill(Batch(Kind.TRADES, SIM, "BTC-USDT", rows))
    desk.snapshot([(100, 5)], [(110, 2)]).at(1.0)
    assert len(desk.telemetry.market(SIM.key, "BTC-USDT").candles) == 1
    assert desk.at(2.0).telemetry.counters[SIM.key].totals["trades"] == 0


def test_an_unknown_source_is_a_mistake_of_ours() -> None:
    desk = Desk()
    with pytest.raises(KeyError):
        desk.intake.wants_snapshot(SIM)


LIVE = Source("binance_spot", "live")
ETH = replace(BTC, symbol="ETH-USDT", base="ETH", native="ETHUSDT")


def live_desk() -> Desk:
    desk = Desk(LIVE)
    desk.snapshot([(100, 5)], [(101, 2)]).at(0.1)
    return desk


def test_a_symbol_added_while_running_has_its_own_book_and_rings() -> None:
    desk = live_desk()
    desk.intake.add_symbol(LIVE, ETH)
    desk.at(0.2)
    assert view(desk).symbols == ("BTC-USDT", "ETH-USDT")
    assert desk.telemetry.board.books[LIVE.key, "ETH-USDT"].state == "EMPTY"
    assert (LIVE.key, "ETH-USDT") in desk.telemetry.markets


def test_a_removed_symbol_leaves_nothing_but_the_sources_totals() -> None:
    desk = live_desk()
    desk.delta([(100, 6)], [], skip=3).at(0.2)
    held = desk.telemetry.bytes_held
    desk.intake.add_symbol(LIVE, ETH)
    desk.intake.remove_symbol(LIVE, "BTC-USDT")
    desk.at(0.3)
    assert (LIVE.key, "BTC-USDT") not in desk.telemetry.markets
    assert (LIVE.key, "BTC-USDT") not in desk.telemetry.board.books
    assert desk.telemetry.bytes_held == held
    assert (view(desk).symbols, view(desk).gaps) == (("ETH-USDT",), 1)


def test_a_broken_stream_makes_its_books_stale_and_opens_an_outage() -> None:
    desk = live_desk()
    desk.intake.interrupted(LIVE, ["BTC-USDT"], "closed 1006")
    desk.at(0.2)
    book = desk.telemetry.board.books[LIVE.key, "BTC-USDT"]
    assert (book.state, len(book.outages), book.outages[0][1]) == ("STALE", 1, 0)
    assert texts(desk, "interrupted") == ["BTC-USDT: closed 1006"]


def test_a_live_source_that_is_down_says_why_and_recovers() -> None:
    desk = live_desk()
    desk.intake.condition(LIVE, False, "connection refused")
    desk.at(0.2)
    assert (view(desk).state, view(desk).detail) == ("reconnecting", "connection refused")
    desk.intake.condition(LIVE, True, "")
    desk.at(0.3)
    assert view(desk).state == "live"


def test_a_disconnected_live_source_is_forgotten() -> None:
    desk = live_desk()
    desk.intake.close_source(LIVE, "stopped")
    desk.at(0.2)
    assert desk.telemetry.board.sources == ()
    assert desk.telemetry.markets == {}
    assert desk.telemetry.bytes_held == 0


def test_frames_dropped_unread_are_counted_and_told() -> None:
    desk = live_desk()
    desk.intake.on_dropped(LIVE, 12)
    assert view(desk.at(0.2)).dropped == 12
    assert len(texts(desk, "dropped")) == 1


def minutes(*opens: int) -> np.ndarray:
    rows = np.zeros(len(opens), CANDLE)
    rows["ts_open_ns"] = [START - START % MINUTE + each * MINUTE for each in opens]
    rows["close"] = opens
    return rows


def test_the_venues_minutes_are_kept_once_closed_and_history_goes_before_them() -> None:
    desk = live_desk()
    rings = desk.telemetry.market(LIVE.key, "BTC-USDT")

    def give(*opens: int) -> list[int]:
        desk.intake.on_batch(Batch(Kind.CANDLES, LIVE, "BTC-USDT", minutes(*opens), interval_ns=MINUTE))
        return rings.minutes.since(0).rows["close"].tolist()

    assert give(0) == []  # it runs still
    assert give(-1, 0) == [-1]
    assert give(-4, -3, -2, -1, 0) == [-4, -3, -2, -1]
    assert give(-4, -3) == [-4, -3, -2, -1]
    desk.now += MINUTE
    assert give(0, 1) == [-4, -3, -2, -1, 0]


def test_funding_reaches_the_board() -> None:
    desk = live_desk()
    row = np.array([(START, START, 100_000_000, START + 8 * 3600 * SECOND, 28_800, 101)], FUNDING)
    assert desk.intake.on_batch(Batch(Kind.FUNDING, LIVE, "BTC-USDT", row)) is Outcome.NOTED
    funding = desk.at(0.2).telemetry.board.books[LIVE.key, "BTC-USDT"].funding
    assert funding is not None
    assert int(funding["rate_e12"][0]) == 100_000_000


def test_what_was_published_before_anything_came_is_of_no_second() -> None:
    desk = Desk().at(0.1).at(0.2)
    desk.snapshot([(100, 5)], [(110, 2)]).trade(105).at(3.0).trade(106).at(6.0)
    stages = [stage.seconds.since(0).rows["ts_ns"].tolist() for stage in desk.telemetry.stages.values()]
    assert any(stages)
    assert all(ts >= START for rows in stages for ts in rows)


def test_no_table_is_full_when_a_second_ends_with_as_many_sources_open_as_there_may_be() -> None:
    desk = Desk(SIM)
    sources = [Source(f"venue{number}", "replay" if number % 2 else "live") for number in range(1, SOURCES)]
    for source in sources:
        desk.intake.open_source(source, source.venue, [BTC], Rule.BINANCE_SPOT, lambda wall_ns: wall_ns)
    with pytest.raises(TelemetryFull, match="more than 20 sources"):
        desk.intake.open_source(SPOT, "One more", [BTC], Rule.BINANCE_SPOT, lambda wall_ns: wall_ns)
    others = [(HOUSE, stage) for stage in HOUSE_STAGES]
    others += [*(("page", stage) for stage in PAGE_STAGES), ("engine", "loop")]
    for source, stage in others:
        desk.telemetry.stage(source, stage)
    for second in range(2):
        desk.at(second)
        for source in (SIM, *sources):
            desk.source = source
            desk.snapshot([(100, 5)], [(101, 2)]).trade(100)
            desk.intake.on_frames(source, 1, 10, np.array([1_000]))
        desk.intake.on_orders(SIM, 20, 0, np.full(20, 1_000), 100_000, events=30, rejects=2)
    desk.at(3)
    assert len(desk.telemetry.stages) > 4 * SOURCES + len(others)
    assert set(TURN_STAGES) <= {stage for source, stage in desk.telemetry.stages if source == SIM.key}
