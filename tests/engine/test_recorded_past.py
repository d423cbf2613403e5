"""A replay's recorded telemetry, its clock that stands still or jumps, and its being opened again."""

from __future__ import annotations

import numpy as np
import pytest

from engine.intake import SAMPLES_HELD
from engine.market.batches import Source
from engine.storage.names import RecordKind
from engine.storage.records import DTYPES, Block, Stream
from engine.telemetry.hub import Telemetry
from tests.engine.markets import SECOND, SIM, SPOT, Desk
from tests.engine.replays import STREAM, THEN, Played, counters, events, latencies


def stage_rows(desk: Desk, stage: str) -> np.ndarray:
    return desk.telemetry.stages[SPOT.key, stage].seconds.since(0).rows


def state(desk: Desk) -> tuple[str, str]:
    (found,) = desk.telemetry.board.sources
    return found.state, found.detail


def counted(desk: Desk, name: str) -> list[tuple[int, int]]:
    rows = desk.telemetry.pasts[SPOT.key].counts.since(0).rows
    return [((at - THEN) // SECOND, value) for at, value in rows[["ts_ns", name]].tolist()]


def test_without_recorded_latencies_a_replay_measures_its_own() -> None:
    desk = Played()
    for second in range(4):
        desk.then(second).traded()
    assert stage_rows(desk, "receive")["count"].sum() > 0
    (source,) = desk.telemetry.board.sources
    assert source.recorded == ()


def test_recorded_latencies_replace_what_was_measured_and_nothing_is_measured_any_more() -> None:
    desk = Played()
    for second in range(3):
        desk.then(second).traded()
    desk.intake.on_recorded(SPOT, latencies([[5_000] * 7, [6_000] * 8]))
    desk.intake.on_frames(SPOT, 1, 10, np.array([400]))
    for second in range(3, 9):
        desk.then(second).traded()
    assert stage_rows(desk, "receive")["count"].tolist() == [7, 8]
    assert stage_rows(desk, "receive")["p50"].tolist() == pytest.approx([5_000, 6_000], rel=0.01)
    assert {stage for _, stage in desk.telemetry.stages} == {"receive"}
    (source,) = desk.telemetry.board.sources
    assert source.recorded == ("latency",)
    assert source.offset_ns == 0  # that of the record


def test_recorded_stages_of_the_built_in_exchange_are_its_own() -> None:
    desk = Played()
    replay = Source("builtin", "replay")
    desk.intake.open_source(replay, "Built-in replay", [], desk.intake._rules[SPOT], lambda _: desk.played_ns)
    for stage in ("ack", "turn", "client.socket"):
        block = latencies([[10, 20]], stage=stage)
        desk.intake.on_recorded(replay, Block(block.kind, Stream("builtin"), block.rows, block.heap))
    desk.intake.publish()
    (found,) = (s for s in desk.telemetry.board.sources if s.source == replay)
    assert found.stages == ("ack", "match", "sequence", "publish")
    assert {stage for source, stage in desk.telemetry.stages if source == replay.key} == {"ack", "turn"}


def test_recorded_counts_replace_those_of_what_is_played() -> None:
    desk = Played()
    for second in range(3):
        desk.then(second).traded().traded()
    assert counted(desk, "trades") == [(0, 2), (1, 2)]
    desk.intake.on_recorded(SPOT, counters(0, [{"trades": 50}, {"trades": 60}]))
    desk.intake.on_recorded(SPOT, counters(1, [{"trades": 60}, {"trades": 70}]))  # said once more
    for second in range(3, 6):
        desk.then(second).traded()
    assert counted(desk, "trades") == [(0, 50), (1, 60), (2, 70)]
    assert desk.telemetry.pasts[SPOT.key].closed_ns == THEN + 3 * SECOND


def test_a_recorded_second_that_never_comes_is_over_after_a_while() -> None:
    desk = Played().then(0)
    desk.intake.on_recorded(SPOT, counters(0, [{"trades": 50}]))
    desk.then(9.5)
    assert desk.telemetry.pasts[SPOT.key].closed_ns == THEN + 6 * SECOND


def test_counts_of_what_is_played_are_by_the_replays_seconds_however_fast_it_plays() -> None:
    desk = Played()
    for tenth in range(60):  # six seconds of the stretch in 0.6 s
        desk.then(tenth / 10, wall=0.01).traded()
    desk.intake.on_frames(SPOT, 3, 300, np.array([10, 10, 10]))
    desk.then(6, wall=0.01)
    assert counted(desk, "trades") == [(second, 10) for second in range(6)]
    assert counted(desk, "messages")[-1] == (5, 3)


def test_a_silence_counts_as_seconds_of_nothing_and_a_long_one_as_a_hole() -> None:
    desk = Played()
    for second in (0, 1, 5, 500):
        desk.then(second).traded()
    assert counted(desk, "trades") == [(0, 1), (1, 1), (2, 0), (3, 0), (4, 0), (5, 1)]


def test_events_are_kept_with_their_time_level_and_venue_and_not_in_the_log_of_now() -> None:
    desk = Played().then(0)
    said = desk.telemetry.events.written
    desk.intake.on_recorded(SPOT, events((0.5, "warn", "BTC-USDT: sequence gap"), (0.75, "fatal", "?")))
    first, second = desk.telemetry.pasts[SPOT.key].events.since(0)
    assert (first.ts_ns, first.level, first.source) == (THEN + SECOND // 2, "warn", "binance_spot")
    assert first.text == "BTC-USDT: sequence gap"
    assert second.level == "info"
    assert desk.telemetry.events.written == said


def test_events_are_bounded() -> None:
    desk = Played().then(0)
    desk.intake.on_recorded(SPOT, events(*[(number / 1e4, "info", str(number)) for number in range(1_500)]))
    kept = desk.telemetry.pasts[SPOT.key].events.since(0)
    assert len(kept) == 1_000
    assert kept[-1].text == "1499"


def test_only_telemetry_of_a_replay_is_taken() -> None:
    desk = Played()
    trades = Block(RecordKind.TRADES, STREAM, np.zeros(1, DTYPES[RecordKind.TRADES]))
    with pytest.raises(ValueError, match="trades"):
        desk.intake.on_recorded(SPOT, trades)
    with pytest.raises(ValueError, match="builtin:sim"):
        Desk(SIM).intake.on_recorded(SIM, counters(0, [{}]))
    with pytest.raises(KeyError):
        desk.intake.on_recorded(Source("bybit_spot", "replay"), counters(0, [{}]))


def test_opening_again_forgets_what_was_recorded_and_begins_anew() -> None:
    desk = Played().then(50)
    desk.intake.on_recorded(SPOT, latencies([[10]], 49))
    desk.intake.on_recorded(SPOT, counters(49, [{"trades": 4}]))
    desk.intake.on_recorded(SPOT, events((49, "info", "then")))
    desk.then(51).traded().then(53)
    (before,) = desk.telemetry.board.sources
    desk.played_ns = THEN + 10 * SECOND  # back
    desk.open()
    desk.intake.publish()
    (after,) = desk.telemetry.board.sources
    assert after.opened_ns > before.opened_ns
    assert (after.recorded, after.newest_ns, after.state) == ((), 0, "loading")
    assert (SPOT.key, "BTC-USDT") not in desk.telemetry.board.books or not len(
        desk.telemetry.board.books[SPOT.key, "BTC-USDT"].bids
    )
    desk.then(10).then(10.5).traded().then(11).then(14)
    desk.intake.on_recorded(SPOT, counters(10, [{"trades": 1}]))
    assert counted(desk, "trades") == [(10, 1)]  # though it lies before what had been shown
    candles = desk.telemetry.market(SPOT.key, "BTC-USDT").candles.since(0).rows
    assert candles["ts_open_ns"].tolist() == [THEN + 10 * SECOND]


def test_openings_within_one_tick_of_the_clock_are_told_apart() -> None:
    desk = Played()
    opened = set()
    for _ in range(3):
        desk.open()
        desk.intake.publish()
        opened.add(desk.telemetry.board.sources[0].opened_ns)
    assert len(opened) == 3


def test_a_replay_that_is_closed_is_forgotten_and_its_memory_given_back() -> None:
    held = Telemetry(0).bytes_held
    desk = Played().then(0).traded()
    desk.intake.on_recorded(SPOT, latencies([[10]]))
    desk.intake.close_source(SPOT, "closed")
    desk.intake.publish()
    assert desk.telemetry.board.sources == ()
    assert desk.telemetry.pasts == {}
    assert desk.telemetry.bytes_held == held
    assert desk.telemetry.rings() == []


def test_a_paused_replay_neither_goes_stale_nor_ends_its_second() -> None:
    desk = Played().then(0).then(1.25).traded().then(1.5)
    desk.wait(3_600, step=5)
    assert state(desk) == ("live", "")
    (source,) = desk.telemetry.board.sources
    assert source.clock(desk.now) - source.newest_ns == 0
    rings = desk.telemetry.market(SPOT.key, "BTC-USDT")
    assert len(rings.candles) == 0
    assert desk.telemetry.board.books[SPOT.key, "BTC-USDT"].candle is not None
    assert len(rings.metrics) == 1
    assert counted(desk, "trades") == [(0, 0)]


def test_a_replay_paused_in_a_quiet_stretch_does_not_turn_stale_by_waiting() -> None:
    desk = Played().then(0).then(1)
    desk.played_ns += 20 * SECOND  # at once: nothing was due in between
    desk.wait(0.5)
    assert state(desk)[0] == "live"
    desk.wait(60)
    assert state(desk)[0] == "live"


@pytest.mark.parametrize("ended", [False, True])
def test_samples_do_not_pile_up_while_the_clock_stands_still(ended: bool) -> None:
    desk = Played().then(0).then(1)
    if ended:
        desk.intake.close_source(SPOT, "ended")
    desk.wait(600, step=0.05)
    assert sum(map(len, desk.intake._desks[SPOT].samples.values())) < 10 < SAMPLES_HELD


def test_a_replay_whose_clock_moves_on_without_data_is_stale_after_a_while() -> None:
    desk = Played().then(0).then(1)
    for _ in range(60):
        desk.played_ns += SECOND // 10
        desk.wait(0.1, step=0.1)
    assert state(desk)[0] == "live"
    for _ in range(10):
        desk.played_ns += SECOND // 10
        desk.wait(0.1, step=0.1)
    assert state(desk) == ("stale", "no data for more than 6 s")
    assert desk.then(9)
    assert state(desk)[0] == "live"


def test_a_clock_that_is_ahead_of_the_data_for_a_moment_is_no_silence() -> None:
    desk = Played().then(0).then(1)
    said = desk.telemetry.events.written
    desk.played_ns = THEN + 500 * SECOND  # sent there: what lies between is still being read
    desk.wait(0.2, step=0.05)
    desk.then(500)
    assert state(desk)[0] == "live"
    assert desk.telemetry.events.written == said


def test_at_a_hundred_times_its_speed_a_short_silence_is_none() -> None:
    desk = Played().then(0)
    said = desk.telemetry.events.written
    for second in range(10, 300, 10):  # nothing for 10 s of its own clock each time
        desk.then(second, wall=0.1)
    assert desk.telemetry.events.written == said


def test_a_clock_that_goes_back_a_little_changes_nothing_that_is_closed() -> None:
    desk = Played()
    for second in (0, 1, 2, 3):
        desk.then(second).traded()
    desk.played_ns = THEN + SECOND
    desk.wait(1)
    desk.then(4)
    candles = desk.telemetry.market(SPOT.key, "BTC-USDT").candles.since(0).rows["ts_open_ns"]
    metrics = desk.telemetry.market(SPOT.key, "BTC-USDT").metrics.since(0).rows["ts_ns"]
    assert (np.diff(candles) > 0).all()
    assert (np.diff(metrics) > 0).all()


def test_the_last_second_is_counted_when_the_replay_ends() -> None:
    desk = Played().then(0).traded().then(1.5).traded()
    desk.intake.close_source(SPOT, "ended")
    desk.intake.publish()
    assert counted(desk, "trades") == [(0, 1), (1, 1)]
    assert desk.telemetry.pasts[SPOT.key].closed_ns == THEN + 2 * SECOND


def test_a_live_source_has_no_past() -> None:
    desk = Desk(Source("binance_spot", "live"))
    desk.snapshot([(100, 5)], [(110, 2)]).at(1)
    assert desk.telemetry.pasts == {}
