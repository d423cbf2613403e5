"""Holes as the recorder tells them: over a new choice of what is recorded, one after another, and by trade numbers."""

from __future__ import annotations

import pytest

from engine.storage.arrow import text_of
from engine.storage.names import RecordKind
from engine.storage.records import NOT_RECORDED, OPEN
from tests.storage.test_recorder import LIVE, OTHER, SECOND_NS, START_NS, UNIT, Desk


def gaps(desk: Desk) -> list[tuple[str, str, float, float, int, str]]:
    """(symbol, what, from, to in seconds of the start, state, reason) of the gaps since the last call."""
    found = []
    for draft in desk.recorder.flush():
        if draft.kind is not RecordKind.GAPS:
            continue
        block = draft.pack()
        for at, row in enumerate(block.rows):
            ends = ((int(row[name]) - START_NS) / SECOND_NS for name in ("from_ns", "to_ns"))
            what, said = row["what"].decode(), text_of(block, at).decode()
            found.append((draft.stream.symbol, what, *ends, int(row["state"]), said))
    return found


def test_a_symbol_that_is_left_out_for_a_while_was_not_recorded_meanwhile() -> None:
    desk = Desk()
    desk.open(LIVE, UNIT, OTHER)
    desk.record("trades", "book")
    desk.trades(symbol="ETH-USDT")
    desk.trades()
    desk.recorder.start("binance_spot", ("BTC-USDT",), ("trades", "book"))
    desk.now_ns += 3600 * SECOND_NS
    desk.trades(2, 2)
    desk.recorder.start("binance_spot", (), ("trades", "book"))
    desk.trades(symbol="ETH-USDT", first=9)
    assert gaps(desk) == [("ETH-USDT", "all", 0, 3600, NOT_RECORDED, "it was not being recorded")]


def test_a_kind_that_is_left_out_for_a_while_was_not_recorded_meanwhile_and_the_others_go_on() -> None:
    desk = Desk()
    desk.open()
    desk.record("trades", "book", "events")
    desk.trades()
    desk.recorder.start("binance_spot", (), ("trades",))
    desk.now_ns += 60 * SECOND_NS
    desk.trades(1, 2)
    desk.recorder.start("binance_spot", (), ("trades", "book", "events"))
    desk.trades(1, 3)
    assert gaps(desk) == [
        ("BTC-USDT", "book", 0, 60, NOT_RECORDED, "it was not being recorded"),
        ("", "all", 0, 60, NOT_RECORDED, "it was not being recorded"),
    ]


def test_a_hole_that_is_open_outlives_a_new_choice() -> None:
    desk = Desk()
    desk.open()
    desk.record("trades", "book")
    desk.trades(4)
    desk.intake.interrupted(LIVE, ["BTC-USDT"], "cut")
    desk.now_ns += 5 * SECOND_NS
    desk.recorder.start("binance_spot", (), ("trades",))
    assert gaps(desk) == [("BTC-USDT", "book", 0, 5, OPEN, "cut")]
    desk.now_ns += 5 * SECOND_NS
    desk.trades(1, 9)
    assert gaps(desk) == [("BTC-USDT", "trades", 0, 10, OPEN, "cut")]
    assert [(hole.from_ns, hole.after_id, hole.before_id) for hole in desk.holes] == [(START_NS, 4, 9)]


def test_what_is_being_missed_when_recording_stops_is_a_hole_up_to_then() -> None:
    desk = Desk()
    desk.open()
    desk.record("trades")
    desk.trades(4)
    desk.intake.interrupted(LIVE, ["BTC-USDT"], "cut")
    desk.now_ns += 5 * SECOND_NS
    desk.recorder.stop("binance_spot")
    desk.now_ns += 5 * SECOND_NS
    desk.recorder.start("binance_spot", (), ("trades",))
    assert gaps(desk) == [
        ("BTC-USDT", "trades", 0, 5, OPEN, "cut"),
        ("BTC-USDT", "all", 5, 10, NOT_RECORDED, "it was not being recorded"),
    ]
    assert [(hole.after_id, hole.before_id) for hole in desk.holes] == [(4, 0)]


def test_each_of_two_holes_before_the_next_trade_is_told() -> None:
    desk = Desk()
    desk.open()
    desk.record()
    desk.snapshot()
    desk.trades(4)
    for reason in ("first", "second"):
        desk.intake.interrupted(LIVE, ["BTC-USDT"], reason)
        desk.now_ns += 3 * SECOND_NS
        desk.snapshot()
    desk.trades(1, 60)
    told = [
        (hole.reason, (hole.to_ns - START_NS) / SECOND_NS, hole.after_id, hole.before_id)
        for hole in desk.holes
    ]
    assert told == [("first", 3, 4, 60), ("second", 6, 4, 60)]


def test_however_many_holes_without_a_trade_all_are_told() -> None:
    desk = Desk()
    desk.open()
    desk.record()
    desk.snapshot()
    desk.trades(4)
    for _ in range(30):
        desk.intake.interrupted(LIVE, ["BTC-USDT"], "cut")
        desk.now_ns += SECOND_NS
        desk.snapshot()
    desk.trades(1, 60)
    assert len({hole.from_ns for hole in desk.holes}) == len(desk.holes) == 30


def test_a_hole_ends_with_the_first_of_the_trades_that_came_together() -> None:
    desk = Desk()
    desk.open()
    desk.record("trades")
    desk.trades(4)
    desk.intake.interrupted(LIVE, ["BTC-USDT"], "cut")
    desk.now_ns += SECOND_NS
    rows = desk.rows(2, 9)
    rows["ts_recv_ns"][1] += SECOND_NS
    desk.batch(rows)
    assert gaps(desk) == [("BTC-USDT", "trades", 0, 1, OPEN, "cut")]


def test_what_is_being_missed_is_told_while_it_is() -> None:
    desk = Desk()
    desk.open()
    desk.record("trades", "book")
    desk.trades()
    desk.intake.interrupted(LIVE, ["BTC-USDT"], "cut")
    desk.now_ns += SECOND_NS
    assert desk.recorder.open_holes() == [
        ("binance_spot", "BTC-USDT", "trades", START_NS, "cut"),
        ("binance_spot", "BTC-USDT", "book", START_NS, "cut"),
    ]
    assert desk.recorder.alive(desk.now_ns) == []
    desk.snapshot()
    assert desk.recorder.open_holes() == []


@pytest.mark.parametrize(
    ("first", "count", "says"),
    [(5, 1, None), (6, 1, "trade number 5 is missing"), (10, 3, "trade numbers 5 to 9 are missing")],
)
def test_numbers_missing_between_trades_are_a_hole(first: int, count: int, says: str | None) -> None:
    desk = Desk()
    desk.open()
    desk.record("trades")
    desk.trades(4)
    desk.now_ns += SECOND_NS
    desk.trades(count, first)
    desk.now_ns += 5 * SECOND_NS
    desk.recorder.alive(desk.now_ns)
    assert gaps(desk) == ([] if says is None else [("BTC-USDT", "trades", 0, 1, OPEN, says)])
    assert [(hole.after_id, hole.before_id) for hole in desk.holes] == ([] if says is None else [(4, first)])


def test_numbers_missing_in_a_batch_are_one_hole() -> None:
    desk = Desk()
    desk.open()
    desk.record("trades")
    rows = desk.rows(6, 1)
    rows["trade_id"] = 1, 2, 5, 6, 9, 10
    rows["ts_recv_ns"] += range(6)
    desk.batch(rows)
    desk.recorder.alive(desk.now_ns + 5 * SECOND_NS)
    ((*_, said),) = gaps(desk)
    assert said == "some of trade numbers 3 to 8 are missing"
    (hole,) = desk.holes
    assert (hole.from_ns, hole.to_ns, hole.after_id, hole.before_id) == (START_NS + 1, START_NS + 4, 2, 9)


def test_trades_that_only_come_late_or_again_are_no_hole() -> None:
    desk = Desk()
    desk.open()
    desk.record("trades")
    for first, count in ((1, 4), (6, 2), (5, 1), (8, 1), (3, 2), (9, 1), (1, 1), (2, 1)):
        desk.trades(count, first)
    desk.recorder.alive(desk.now_ns + 60 * SECOND_NS)
    assert gaps(desk) == []
    assert desk.holes == []


def test_a_jump_over_a_hole_that_is_known_is_not_told_again() -> None:
    desk = Desk()
    desk.open()
    desk.record()
    desk.snapshot()
    desk.trades(4)
    desk.intake.interrupted(LIVE, ["BTC-USDT"], "cut")
    desk.now_ns += SECOND_NS
    desk.snapshot()
    desk.now_ns += 20 * SECOND_NS
    desk.recorder.alive(desk.now_ns)  # nothing trades: the hole is told without the trade behind it
    desk.trades(1, 9)
    desk.recorder.alive(desk.now_ns + 60 * SECOND_NS)
    assert [what for _, what, *_ in gaps(desk)] == ["trades", "book"]
    assert len(desk.holes) == 1


def test_of_other_kinds_no_number_is_asked_for() -> None:
    desk = Desk()
    desk.open()
    desk.record("book")
    desk.trades(4)
    desk.trades(4, 90)
    desk.recorder.alive(desk.now_ns + 60 * SECOND_NS)
    assert gaps(desk) == []


def test_numbers_missing_in_a_capture_that_is_imported_prove_nothing() -> None:
    desk = Desk(always=("trades",))
    desk.recorder.use(desk)
    desk.open()
    desk.trades(4)
    desk.trades(4, 90)
    desk.intake.close_source(LIVE, "ended")
    assert gaps(desk) == []
