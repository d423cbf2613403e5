"""The recorder: what of the intake's batches becomes records, which numbers they get, and what a hole leaves."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from engine.errors import BadCommand
from engine.intake import Intake
from engine.market.batches import BBO, CANDLE, FUNDING, LEVEL, TRADE, Batch, Kind, Source
from engine.market.instruments import Instrument
from engine.market.sequencing import Rule
from engine.storage.arrow import levels_of, text_of
from engine.storage.journal import Draft
from engine.storage.names import RecordKind
from engine.storage.pens import Hole
from engine.storage.recorder import Recorder
from engine.storage.records import BACKFILLED, DELIVERED, FILLED, KEYFRAME, NO_LEVEL, Block
from engine.telemetry.hub import Telemetry
from engine.venues import Filled

LIVE = Source("binance_spot", "live")
UNIT = Instrument("binance_spot", "BTC-USDT", "BTC", "USDT", 2, 3, native="BTCUSDT")
OTHER = Instrument("binance_spot", "ETH-USDT", "ETH", "USDT", 2, 3, native="ETHUSDT")
START_NS = 1_763_640_000 * 10**9
SECOND_NS = 10**9


class Desk:
    """An intake with a recorder, a clock in hand, and what the journal would have got."""

    def __init__(self, **options: Any) -> None:
        self.now_ns = START_NS
        self.next_seq = 1
        self.holes: list[Hole] = []
        self.telemetry = Telemetry(START_NS)
        self.intake = Intake(self.telemetry, lambda: self.now_ns)
        self.recorder = Recorder(lambda: self.now_ns, on_hole=self.holes.append, **options)
        self.intake.tap = self.recorder
        self.sequence = 100

    def open(self, source: Source = LIVE, *units: Instrument) -> None:
        self.intake.open_source(source, "Binance spot", units or (UNIT,), Rule.BINANCE_SPOT, lambda ns: ns)

    def record(self, *what: str, symbols: tuple[str, ...] = ()) -> None:
        self.recorder.use(self)
        self.recorder.start("binance_spot", symbols, what or ("trades", "book"))

    def rows(self, count: int, first: int) -> Any:
        rows = np.zeros(count, TRADE)
        rows["trade_id"] = np.arange(first, first + count)
        rows["ts_event_ns"] = rows["ts_recv_ns"] = self.now_ns
        rows["price"], rows["size"] = 5_000_000, 7
        return rows

    def batch(self, rows: Any, symbol: str = "BTC-USDT", source: Source = LIVE) -> None:
        self.intake.on_batch(Batch(Kind.TRADES, source, symbol, rows))

    def trades(self, count: int = 1, first: int = 1, symbol: str = "BTC-USDT", source: Source = LIVE) -> None:
        self.batch(self.rows(count, first), symbol, source)

    def snapshot(self) -> None:
        rows = np.array([(5_000_000, 10), (4_999_900, 20), (5_000_100, 30)], LEVEL)
        self.book(Kind.SNAPSHOT, rows, 2)

    def delta(self, *levels: tuple[int, int], bids: int = 0, skip: int = 0) -> None:
        self.sequence += 1 + skip
        self.book(Kind.DELTA, np.array(list(levels), LEVEL), bids, self.sequence)

    def book(self, kind: Kind, rows: Any, bids: int, first: int = 0) -> None:
        batch = Batch(kind, LIVE, "BTC-USDT", rows, bids, first, self.sequence, -1, self.now_ns, self.now_ns)
        self.intake.on_batch(batch)

    def blocks(self) -> dict[RecordKind, Block]:
        """What came since the last call, by kind; one block each."""
        drafts: list[Draft] = self.recorder.flush()
        found = {}
        for draft in drafts:
            block = draft.pack()
            assert block.kind is draft.kind
            assert len(block.rows) == draft.rows
            assert block.first_seq == draft.first_seq
            assert draft.kind not in found
            found[draft.kind] = block
        return found


def test_what_is_not_asked_for_is_not_recorded() -> None:
    desk = Desk()
    desk.open()
    desk.record("trades")
    desk.snapshot()
    desk.trades(3)
    assert set(desk.blocks()) == {RecordKind.TRADES}
    assert desk.blocks() == {}


def test_records_are_numbered_in_the_order_of_arrival_over_all_kinds() -> None:
    desk = Desk()
    desk.open()
    desk.record()
    desk.trades(2)
    desk.snapshot()
    desk.delta((5_000_000, 0), (5_000_100, 1), bids=1)
    desk.delta()
    desk.trades(1, 3)
    found = desk.blocks()
    assert found[RecordKind.TRADES].rows["seq"].tolist() == [1, 2, 7]
    assert found[RecordKind.SNAPSHOTS].rows["seq"].tolist() == [3, 4]  # the venue's, and our own at once
    assert found[RecordKind.SNAPSHOTS].rows["origin"].tolist() == [DELIVERED, KEYFRAME]
    assert found[RecordKind.DELTAS].rows["seq"].tolist() == [5, 5, 6]
    assert found[RecordKind.DELTAS].rows["side"].tolist() == [1, -1, NO_LEVEL]
    assert desk.next_seq == 8


def test_our_own_book_is_kept_each_interval_and_only_so_deep() -> None:
    desk = Desk(keyframe_s=10, depth=1)
    desk.open()
    desk.record("book")
    desk.snapshot()
    for _ in range(25):
        desk.now_ns += SECOND_NS
        desk.delta((5_000_200, 5))
    block = desk.blocks()[RecordKind.SNAPSHOTS]
    own = np.flatnonzero(block.rows["origin"] == KEYFRAME)
    assert [(int(block.rows[at]["ts_recv_ns"]) - START_NS) // SECOND_NS for at in own] == [0, 10, 20]
    bids, asks = levels_of(block, int(own[-1]))
    assert (bids.tolist(), asks.tolist()) == ([(5_000_000, 10)], [(5_000_100, 30)])
    assert block.rows[own[-1]]["last_sequence"] == desk.sequence - 5


def test_a_book_that_was_there_before_recording_began_is_kept_with_its_next_change() -> None:
    desk = Desk()
    desk.open()
    desk.snapshot()
    desk.record("book")
    desk.delta((5_000_000, 11), bids=1)
    block = desk.blocks()[RecordKind.SNAPSHOTS]
    assert block.rows["origin"].tolist() == [KEYFRAME]
    assert levels_of(block, 0)[0].tolist() == [(5_000_000, 11), (4_999_900, 20)]


def test_only_the_symbols_asked_for_by_either_name() -> None:
    desk = Desk()
    desk.open(LIVE, UNIT, OTHER)
    desk.record("trades", symbols=("ethusdt",))
    desk.trades()
    desk.trades(symbol="ETH-USDT")
    assert desk.blocks()[RecordKind.TRADES].stream.symbol == "ETH-USDT"
    with pytest.raises(BadCommand, match=r"does not follow XRPUSDT; it follows BTC-USDT, ETH-USDT"):
        desk.recorder.start("binance_spot", ("XRPUSDT",))
    with pytest.raises(BadCommand, match="'noise' cannot be recorded; choose of trades, book"):
        desk.recorder.start("binance_spot", (), ("noise",))
    desk.trades(symbol="ETH-USDT")
    assert set(desk.blocks()) == {RecordKind.TRADES}  # the refused commands changed nothing


def test_a_venue_that_opens_later_is_recorded_from_then_on() -> None:
    desk = Desk()
    desk.record("trades")
    assert desk.recorder.recordable == ()
    desk.open()
    desk.trades()
    assert len(desk.blocks()[RecordKind.TRADES].rows) == 1
    assert desk.recorder.recordable == (("binance_spot", ("BTC-USDT",)),)


def test_replays_are_not_recorded_again() -> None:
    desk = Desk()
    desk.record("trades", "book")
    source = Source("binance_spot", "replay")
    desk.open(source)
    desk.trades(source=source)
    assert desk.blocks() == {}
    assert desk.recorder.recordable == ()


def test_finer_units_are_another_stream() -> None:
    desk = Desk()
    desk.open()
    desk.record("trades")
    desk.trades(2)
    finer = UNIT.with_decimals(4, 3)
    desk.intake.revise(LIVE, finer)
    desk.trades(1, 3)
    drafts = desk.recorder.flush()
    assert [(draft.stream.instrument, draft.rows) for draft in drafts] == [(UNIT, 2), (finer, 1)]


def test_a_cut_stream_leaves_holes_that_end_where_data_goes_on() -> None:
    desk = Desk()
    desk.open()
    desk.record()
    desk.snapshot()
    desk.trades(4, 1)
    desk.blocks()
    desk.now_ns += 3 * SECOND_NS
    desk.intake.interrupted(LIVE, ["BTC-USDT"], "the venue closed the connection")
    assert desk.recorder.alive(desk.now_ns) == []
    desk.now_ns += 2 * SECOND_NS
    desk.delta((5_000_000, 9), bids=1)  # trades flow again, the book waits for its snapshot
    gaps = desk.blocks()[RecordKind.GAPS]
    assert gaps.rows["what"].tolist() == [b"trades"]
    assert (gaps.rows["from_ns"][0], gaps.rows["to_ns"][0]) == (START_NS, desk.now_ns)
    assert text_of(gaps, 0) == b"the venue closed the connection"
    desk.now_ns += SECOND_NS
    desk.snapshot()
    desk.delta((5_000_000, 8), bids=1)
    found = desk.blocks()
    assert found[RecordKind.GAPS].rows["what"].tolist() == [b"book"]
    assert KEYFRAME in found[RecordKind.SNAPSHOTS].rows["origin"]
    assert {what for _, _, what, _ in desk.recorder.alive(desk.now_ns)} == {"trades", "book"}
    desk.trades(1, 9)
    assert desk.holes == [
        Hole(LIVE, "BTC-USDT", START_NS, START_NS + 5 * SECOND_NS, "the venue closed the connection", 4, 9)
    ]


def test_what_comes_by_rest_meanwhile_ends_no_hole() -> None:
    desk = Desk()
    desk.open()
    desk.record()
    desk.snapshot()
    desk.trades(4, 1)
    desk.blocks()
    desk.intake.interrupted(LIVE, ["BTC-USDT"], "cut")
    desk.now_ns += SECOND_NS
    desk.intake.on_batch(
        Batch(Kind.CANDLES, LIVE, "BTC-USDT", np.zeros(1, CANDLE), interval_ns=60 * SECOND_NS)
    )
    assert RecordKind.GAPS not in desk.blocks()
    desk.now_ns += SECOND_NS
    desk.trades(1, 9)
    assert [(hole.from_ns, hole.to_ns, hole.after_id, hole.before_id) for hole in desk.holes] == [
        (START_NS, START_NS + 2 * SECOND_NS, 4, 9)
    ]


def test_where_only_trades_were_missed_the_book_goes_on_and_a_trade_ends_the_hole() -> None:
    desk = Desk()
    desk.open()
    desk.record()
    desk.snapshot()
    desk.trades(4, 1)
    desk.blocks()
    desk.intake.missed(LIVE, ["BTC-USDT"], "market 1: cut")
    desk.now_ns += SECOND_NS
    desk.delta((5_000_000, 9), bids=1)
    assert {what for _, _, what, _ in desk.recorder.alive(desk.now_ns)} == {"book"}
    assert RecordKind.GAPS not in desk.blocks()
    desk.now_ns += SECOND_NS
    desk.trades(1, 9)
    gaps = desk.blocks()[RecordKind.GAPS]
    assert gaps.rows["what"].tolist() == [b"trades"]
    assert int(gaps.rows["to_ns"][0]) == START_NS + 2 * SECOND_NS
    assert [(hole.after_id, hole.before_id) for hole in desk.holes] == [(4, 9)]


def test_a_missing_sequence_number_is_a_hole_in_the_book_alone() -> None:
    desk = Desk()
    desk.open()
    desk.record()
    desk.snapshot()
    desk.delta((5_000_000, 9), bids=1)
    desk.now_ns += SECOND_NS
    desk.delta((5_000_000, 9), bids=1, skip=3)
    desk.now_ns += SECOND_NS
    desk.snapshot()
    desk.delta((5_000_000, 9), bids=1)
    gaps = desk.blocks()[RecordKind.GAPS]
    assert gaps.rows["what"].tolist() == [b"book"]
    assert (int(gaps.rows["to_ns"][0]) - int(gaps.rows["from_ns"][0])) == SECOND_NS
    assert desk.holes == []


def test_a_hole_behind_which_nothing_trades_is_told_after_a_while() -> None:
    desk = Desk()
    desk.open()
    desk.record()
    desk.snapshot()
    desk.trades(4, 1)
    desk.intake.interrupted(LIVE, ["BTC-USDT"], "silence")
    desk.now_ns += SECOND_NS
    desk.snapshot()
    desk.now_ns += SECOND_NS
    desk.recorder.alive(desk.now_ns)
    assert desk.holes == []
    desk.now_ns += 20 * SECOND_NS
    desk.recorder.alive(desk.now_ns)
    assert [(hole.after_id, hole.before_id) for hole in desk.holes] == [(4, 0)]


def test_what_was_fetched_for_a_hole_is_marked_so() -> None:
    desk = Desk()
    desk.open()
    desk.record()
    desk.trades(4, 1)
    desk.blocks()
    rows = np.zeros(2, TRADE)
    rows["trade_id"] = 5, 6
    hole = Hole(LIVE, "BTC-USDT", START_NS, START_NS + 5, "cut", 4, 7)
    found = Filled(UNIT, rows, np.zeros(0, CANDLE), 60 * SECOND_NS, True, "all 2 trades")
    desk.recorder.fill(hole, found)
    blocks = desk.blocks()
    assert blocks[RecordKind.TRADES].rows["origin"].tolist() == [BACKFILLED, BACKFILLED]
    assert blocks[RecordKind.GAPS].rows["state"].tolist() == [FILLED]
    assert blocks[RecordKind.GAPS].rows["filled"].tolist() == [2]
    assert text_of(blocks[RecordKind.GAPS], 0) == b"cut; fetched: all 2 trades"


def test_time_without_recording_is_a_hole_and_a_change_of_what_is_recorded_is_none() -> None:
    desk = Desk()
    desk.open()
    desk.record("trades")
    desk.trades()
    assert RecordKind.GAPS not in desk.blocks()
    desk.recorder.start("binance_spot", (), ("trades", "book"))
    desk.trades()
    assert RecordKind.GAPS not in desk.blocks()
    desk.recorder.stop("binance_spot")
    with pytest.raises(BadCommand, match="binance_spot is not being recorded"):
        desk.recorder.stop("binance_spot")
    desk.trades()
    desk.now_ns += 9 * SECOND_NS
    desk.recorder.start("binance_spot", (), ("trades",))
    desk.trades()
    found = desk.blocks()
    assert len(found[RecordKind.TRADES].rows) == 1
    gap = found[RecordKind.GAPS]
    assert (gap.rows["what"][0], gap.rows["to_ns"][0] - gap.rows["from_ns"][0]) == (b"all", 9 * SECOND_NS)


def test_what_the_journal_gave_up_becomes_a_hole() -> None:
    desk = Desk()
    desk.open()
    desk.record("book")
    desk.recorder.shed("binance_spot", "BTC-USDT", RecordKind.DELTAS, 5, 9, 1_234, "the disk is full")
    gap = desk.blocks()[RecordKind.GAPS]
    assert (gap.rows["what"][0], gap.rows["from_ns"][0], gap.rows["to_ns"][0]) == (b"book", 5, 9)
    assert text_of(gap, 0) == b"the disk is full: 1,234 rows of deltas were not kept"
    assert gap.stream.instrument == UNIT


def test_frames_are_wanted_only_while_they_are_recorded() -> None:
    desk = Desk()
    desk.open()
    desk.record("trades")
    assert not desk.intake.wants_raw(LIVE)
    desk.recorder.start("binance_spot", (), ("raw",))
    assert desk.intake.wants_raw(LIVE)
    desk.intake.on_raw(LIVE, "/stream", [b'{"a":1}', b"\xff\x00"], [5, 6])
    block = desk.blocks()[RecordKind.RAW]
    assert [text_of(block, at) for at in (0, 1)] == [b'{"a":1}', b"\xff\x00"]
    assert block.stream.symbol == ""
    desk.recorder.stop("binance_spot")
    assert not desk.intake.wants_raw(LIVE)


def test_quotes_funding_and_seconds_are_recorded() -> None:
    desk = Desk()
    desk.open()
    desk.record("book", "funding", "candles")
    quote, funding = np.zeros(1, BBO), np.zeros(1, FUNDING)
    quote["ts_recv_ns"] = quote["bid_price"] = 5
    funding["rate_e12"] = 100_000_000
    desk.intake.on_batch(Batch(Kind.QUOTES, LIVE, "BTC-USDT", quote))
    desk.intake.on_batch(Batch(Kind.FUNDING, LIVE, "BTC-USDT", funding))
    desk.trades()
    desk.now_ns += 5 * SECOND_NS
    desk.trades()
    found = desk.blocks()
    assert found[RecordKind.QUOTES].rows["bid_price"].tolist() == [5]
    assert found[RecordKind.FUNDING].rows["rate_e12"].tolist() == [100_000_000]
    candle = found[RecordKind.CANDLES].rows
    assert (candle["interval_ns"].tolist(), candle["close"].tolist()) == ([SECOND_NS], [5_000_000])


def test_a_venue_that_is_closed_and_opened_again_goes_on_with_a_hole() -> None:
    desk = Desk()
    desk.open()
    desk.record("trades")
    desk.trades()
    desk.intake.close_source(LIVE, "stopped")
    assert set(desk.blocks()) == {RecordKind.TRADES}
    desk.now_ns += 4 * SECOND_NS
    desk.open()
    desk.trades()
    found = desk.blocks()
    assert set(found) == {RecordKind.TRADES, RecordKind.GAPS}
    assert text_of(found[RecordKind.GAPS], 0) == b"the source was closed: stopped"


def test_rates_and_sizes_are_counted() -> None:
    desk = Desk()
    desk.open()
    desk.record("trades")
    desk.trades(500)
    desk.blocks()
    desk.recorder.second()
    taken = desk.recorder.taken["binance_spot"]
    assert (taken.rows, taken.rate) == (500, 500.0)
    assert taken.size_bytes == 500 * 57


def test_nothing_is_taken_without_a_journal_and_the_time_between_is_a_hole() -> None:
    desk = Desk()
    desk.open()
    desk.record("trades")
    desk.trades(2)
    (left,) = desk.recorder.release()
    assert left.pack().rows["seq"].tolist() == [1, 2]
    desk.now_ns += SECOND_NS
    desk.trades(3, 3)
    assert desk.recorder.flush() == []
    assert desk.recorder.recorded() == []
    assert desk.next_seq == 3  # no number was taken
    desk.now_ns += SECOND_NS
    desk.recorder.use(desk)
    desk.trades(1, 6)
    found = desk.blocks()
    assert found[RecordKind.TRADES].rows["trade_id"].tolist() == [6]
    (gap,) = found[RecordKind.GAPS].rows
    assert (int(gap["from_ns"]), int(gap["to_ns"])) == (START_NS, START_NS + 2 * SECOND_NS)
    assert found[RecordKind.GAPS].heap == b"recording was interrupted"
