"""Recorded blocks as events again: their order, where books begin, what is placed by time, what is lost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.errors import BadQuery, BlockDamaged
from engine.market.batches import CANDLE, LEVEL, TRADE, Batch, Kind, Source
from engine.market.instruments import Instrument
from engine.market.sequencing import BookState, Rule
from engine.storage import packing, reader
from engine.storage.names import RecordKind
from engine.storage.packing import Book, Gap
from engine.storage.playback import Played, play_all, play_stretch
from engine.storage.reader import Reader
from engine.storage.records import BACKFILLED, DELIVERED, KEYFRAME, OPEN, Block, Stream, joined
from engine.storage.stretch import Piece, Stretch, find
from engine.storage.timeline import Events
from feeds import sample
from tests.storage.drawn import NOON_NS, drawn_block
from tests.storage.kept import Kept
from tests.storage.recorded import (
    Market,
    capture_path,
    cut,
    joined_rows,
    record_capture,
    recorder,
    stretch_of,
)

SECOND_NS = 10**9
UNIT = Instrument("somewhere", "BTC-USDT", "BTC", "USDT", 2, 3, native="BTCUSDT")
LIVE = Source("somewhere", "live")
TOTAL_CHUNKS = (1 << 30, 5_000, 300)


def stream(unit: Instrument = UNIT, rule: Rule = Rule.BINANCE_SPOT) -> Stream:
    return Stream("somewhere", unit.symbol, unit, rule, "Somewhere")


def played(stretch: Stretch, **more: int) -> tuple[Played, Market]:
    market = Market()
    return play_stretch(stretch, market, **more), market  # type: ignore[arg-type]


def whole(stretch: Stretch, chunk_rows: int = 1 << 30) -> list[Events]:
    return [events for events in Reader(stretch, chunk_rows=chunk_rows).chunks() if len(events)]


@pytest.fixture(scope="module")
def simulated(tmp_path_factory: pytest.TempPathFactory) -> Market:
    path = tmp_path_factory.mktemp("reader") / "sample.gz"
    sample.write(path, seed=3, seconds=25)
    return record_capture(path, keyframe_s=3)


@pytest.mark.parametrize("name", ["spot", "usdm", "coinm"])
def test_a_recorded_market_ends_in_the_same_book_trades_and_candles(name: str) -> None:
    path = capture_path(name)
    if path is None:
        pytest.skip("the recorded captures are not here")
    live = record_capture(path)
    found, again = played(stretch_of(live.blocks))
    assert again.picture() == live.picture()
    for symbol in live.states:
        assert again.tape(symbol).tobytes() == live.tape(symbol).tobytes()
    assert found.events == sum(
        max(1, len(b.rows)) if b.kind in (Kind.TRADES, Kind.QUOTES) else 1 for b in live.batches
    )

    stretch = stretch_of(live.blocks)
    middle = (stretch.from_ns + stretch.to_ns) // 2
    _, half = played(replace(stretch, from_ns=middle))
    (symbol,) = live.states
    assert half.states[symbol].sync.gaps == 0
    assert half.book(symbol) == live.book(symbol)
    assert half.tape(symbol).tolist() == [row for row in live.tape(symbol).tolist() if row[1] >= middle]


def test_a_simulated_market_is_told_again_batch_by_batch(simulated: Market) -> None:
    _, again = played(stretch_of(simulated.blocks))
    assert again.picture() == simulated.picture()
    for kind in (Kind.DELTA, Kind.SNAPSHOT):
        before, after = ([b for b in m.batches if b.kind is kind] for m in (simulated, again))
        assert len(before) == len(after) > 0
        for one, other in zip(before, after, strict=True):
            assert one.rows.tobytes() == other.rows.tobytes()
            assert replace(one, rows=other.rows, source=other.source) == other


def test_neither_chunks_nor_blocks_change_what_is_told(simulated: Market) -> None:
    asked = stretch_of(simulated.blocks)
    expected, _ = played(asked, chunk_rows=1 << 30)
    assert expected.events > 1_000
    for events in (7, 100):
        for chunk_rows in TOTAL_CHUNKS:
            found, again = played(stretch_of(list(cut(simulated.blocks, events))), chunk_rows=chunk_rows)
            assert (found.events, found.hash) == (expected.events, expected.hash)
            assert again.picture() == simulated.picture()


def test_another_row_or_another_order_is_another_hash(simulated: Market) -> None:
    expected, _ = played(stretch_of(simulated.blocks))
    for place, block in enumerate(simulated.blocks[:6]):
        rows = block.rows.copy()
        rows[rows.dtype.names[-2]][len(rows) // 2] += 1
        changed = [*simulated.blocks]
        changed[place] = replace(block, rows=rows)
        if block.kind is not RecordKind.SNAPSHOTS:
            found, _ = played(stretch_of(changed))
            assert found.hash != expected.hash


def test_chunks_are_bounded(simulated: Market) -> None:
    blocks = list(cut(simulated.blocks, 20))
    chunks = list(Reader(stretch_of(blocks), chunk_rows=500).chunks())
    sizes = [sum(len(part.rows) for part in events.parts) for events in chunks]
    assert len(chunks) > 5
    assert max(sizes) < 2_500


# --- against the obvious way ----------------------------------------------------------------------------------


def naive_order(blocks: Sequence[Block]) -> list[tuple[str, int, int]]:
    """(kind, seq, due) of each event: by seq, due at the greatest receive time so far."""
    events: dict[tuple[str, int], int] = {}
    for block in blocks:
        for row in block.rows:
            events[block.kind, int(row["seq"])] = int(row["ts_recv_ns"])
    found, newest = [], 0
    for (kind, seq), recv_ns in sorted(events.items(), key=lambda item: item[0][1]):
        newest = max(newest, recv_ns)
        found.append((kind, seq, newest))
    return found


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**31), chunk_rows=st.sampled_from([8, 40, 1_000]))
def test_events_agree_with_a_plain_sort(seed: int, chunk_rows: int) -> None:
    random = np.random.default_rng(seed)
    kinds = [RecordKind.TRADES, RecordKind.QUOTES, RecordKind.DELTAS, RecordKind.FUNDING]
    blocks = []
    owner = random.integers(0, len(kinds), 150)
    times = NOON_NS + np.arange(150) * 1_000 + random.integers(-3_000, 3_000, 150)
    for number, kind in enumerate(kinds):
        rows = drawn_block(kind, int((owner == number).sum()) or 1, seed=seed).rows
        own = np.flatnonzero(owner == number)[: len(rows)]
        if not len(own):
            continue
        rows["seq"], rows["ts_recv_ns"] = own + 1, times[own]
        if "origin" in rows.dtype.names:
            rows["origin"] = 0
        if kind is RecordKind.DELTAS:  # some have several levels
            rows = np.repeat(rows, random.integers(1, 4, len(rows)))
        blocks += list(cut([Block(kind, stream(), rows)], int(random.integers(1, 30))))
    asked = Stretch(
        "somewhere", ("BTC-USDT",), NOON_NS - 10**9, NOON_NS + 10**9, tuple(map(Piece.of_block, blocks))
    )
    found = []
    for events in whole(asked, chunk_rows):
        for at in range(len(events)):
            part = events.parts[events.part[at]]
            rows = part.block.rows[events.first[at] : events.end[at]]
            assert len(set(rows["seq"].tolist())) == 1
            assert events.run_end[at] > at
            found.append((part.kind, int(rows["seq"][0]), int(events.due_ns[at])))
    assert found == naive_order(blocks)


# --- where books begin -----------------------------------------------------------------------------------------

RULES = list(Rule)


class Venue:
    """Numbered deltas of one symbol as a venue of some rule sends them, one each 100 ms, recorded."""

    def __init__(self, rule: Rule, keyframe_s: int = 2) -> None:
        self.rule = rule
        self.now_ns = NOON_NS
        self.market = Market(recorder(keyframe_s=keyframe_s, wall=lambda: self.now_ns))
        self.market.recorder.start("somewhere")  # type: ignore[union-attr]
        self.update = 100
        self.levels: dict[int, int] = {}
        self.shown: dict[int, list[tuple[tuple[int, ...], ...]]] = {}
        self.market.open_source(LIVE, "Somewhere", [UNIT], rule, lambda wall_ns: wall_ns)

    def snapshot(self) -> None:
        rows = np.array([(price, size) for price, size in sorted(self.levels.items(), reverse=True)], LEVEL)
        self.market.on_batch(Batch(Kind.SNAPSHOT, LIVE, UNIT.symbol, rows, len(rows), last_sequence=self.update,
                                   ts_event_ns=self.now_ns, ts_recv_ns=self.now_ns))  # fmt: skip

    def delta(self, *, lost: bool = False) -> None:
        self.now_ns += SECOND_NS // 10
        step = 1 if self.rule is Rule.BYBIT else 3
        price, before = 1_000 + self.update % 37, self.update
        first, self.update = self.update + step - (0 if step == 1 else 1), self.update + step
        if self.rule is not Rule.BINANCE_FUTURES:
            first = before + 1
        self.levels[price] = self.update
        batch = Batch(Kind.DELTA, LIVE, UNIT.symbol, np.array([(price, self.update)], LEVEL), 1, first, self.update,
                      before if self.rule is Rule.BINANCE_FUTURES else -1, self.now_ns, self.now_ns)  # fmt: skip
        if not lost:
            self.market.on_batch(batch)

    def trade(self) -> None:
        rows = np.array([(self.now_ns, self.now_ns, self.update, 1_000, 5, 1)], TRADE)
        self.market.on_batch(Batch(Kind.TRADES, LIVE, UNIT.symbol, rows))

    def blocks(self) -> list[Block]:
        self.market.flush()
        return self.market.blocks

    def agrees(self, market: Market) -> bool:
        return dict(market.book(UNIT.symbol)[0]) == self.levels  # type: ignore[comparison-overlap]


@pytest.mark.parametrize("rule", RULES)
def test_a_book_begins_with_our_own_snapshot_under_every_rule(rule: Rule) -> None:
    venue = Venue(rule)
    venue.snapshot()
    for _ in range(100):
        venue.delta()
    stretch = stretch_of(venue.blocks())
    for seconds in (0.05, 2.0, 3.55, 9.9):
        found, market = played(replace(stretch, from_ns=NOON_NS + round(seconds * SECOND_NS)))
        first = next(batch for batch in market.batches)
        assert first.kind is Kind.SNAPSHOT
        assert first.ts_recv_ns <= NOON_NS + round(seconds * SECOND_NS)
        assert [said for said in market.said if "STALE" in said] == []
        assert market.states[UNIT.symbol].state is BookState.SYNCED
        assert market.states[UNIT.symbol].sync.gaps == 0
        assert venue.agrees(market)
        assert found.events == 100 - round(np.ceil(seconds * 10 - 1e-9)) + 1


@pytest.mark.parametrize("rule", RULES)
def test_a_book_begins_with_the_venues_snapshot_where_there_is_no_other(rule: Rule) -> None:
    """A fetched one is older than the changes that came before it."""
    venue = Venue(rule, keyframe_s=10**6)
    for _ in range(20):
        venue.delta()
    old = replace_levels(venue)
    for _ in range(5):
        venue.delta()
    if rule is Rule.BYBIT:
        venue.snapshot()
    else:
        old()
    assert venue.market.states[UNIT.symbol].state is BookState.SYNCED
    venue.market.recorder._keyframe_ns = 10**18  # type: ignore[union-attr]
    for _ in range(30):
        venue.delta()
    blocks = [block for block in venue.blocks() if block.kind is not RecordKind.SNAPSHOTS]
    books = [block for block in venue.market.blocks if block.kind is RecordKind.SNAPSHOTS]
    blocks += [replace(block, rows=block.rows[block.rows["origin"] == DELIVERED]) for block in books]
    stretch = stretch_of(blocks)
    _, market = played(replace(stretch, from_ns=NOON_NS + 4 * SECOND_NS))
    assert market.states[UNIT.symbol].state is BookState.SYNCED
    assert market.states[UNIT.symbol].sync.gaps == 0
    assert venue.agrees(market)


def replace_levels(venue: Venue):  # type: ignore[no-untyped-def]
    """A snapshot of now, to be delivered later."""
    rows = np.array(sorted(venue.levels.items(), reverse=True), LEVEL)
    update, market = venue.update, venue.market

    def deliver() -> None:
        market.on_batch(Batch(Kind.SNAPSHOT, LIVE, UNIT.symbol, rows, len(rows), last_sequence=update,
                              ts_event_ns=venue.now_ns, ts_recv_ns=venue.now_ns))  # fmt: skip

    return deliver


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("chunk_rows", [1 << 30, 16])
def test_a_hole_is_shown_as_a_hole_and_ends_with_the_next_book(rule: Rule, chunk_rows: int) -> None:
    venue = Venue(rule)
    venue.snapshot()
    for _ in range(30):
        venue.delta()
    venue.market.interrupted(LIVE, [UNIT.symbol], "the connection broke")
    broke_ns = venue.now_ns
    for _ in range(200):
        venue.delta(lost=True)
    if rule is not Rule.BYBIT:
        venue.delta()
        venue.delta()
    venue.snapshot()
    for _ in range(20):
        venue.delta()
    assert venue.agrees(venue.market)
    found, market = played(stretch_of(venue.blocks()), chunk_rows=chunk_rows)
    assert "interrupted BTC-USDT: the connection broke" in market.said
    assert [said for said in market.said if said.startswith("BTC-USDT ")] == [
        "BTC-USDT SYNCED",
        "BTC-USDT SYNCED",
    ]
    assert venue.agrees(market)
    (expected, _), (from_the_hole, later) = (
        played(stretch_of(venue.blocks())),
        played(replace(stretch_of(venue.blocks()), from_ns=broke_ns + SECOND_NS)),
    )
    assert found.hash == expected.hash
    assert "interrupted BTC-USDT: the connection broke" in later.said
    assert from_the_hole.events < expected.events
    assert venue.agrees(later)


@pytest.mark.parametrize("rule", RULES)
def test_what_was_given_up_leaves_the_book_stale_until_our_own_next_one(rule: Rule) -> None:
    venue = Venue(rule)
    venue.snapshot()
    for _ in range(100):
        venue.delta()
    lost = (NOON_NS + 3 * SECOND_NS + 1, NOON_NS + 3 * SECOND_NS + 9 * SECOND_NS // 10)
    blocks = []
    for block in venue.blocks():
        if block.kind is RecordKind.DELTAS:
            received = block.rows["ts_recv_ns"]
            block = replace(block, rows=block.rows[(received < lost[0]) | (received > lost[1])])
        blocks.append(block)
    gap = packing.gaps(stream(rule=rule), [(10_000, Gap(*lost, "book", OPEN, 0, "the disk was full"))])
    _, market = played(stretch_of([*blocks, gap]))
    assert "interrupted BTC-USDT: the disk was full" in market.said
    assert market.said[-2] == "BTC-USDT SYNCED"
    assert market.states[UNIT.symbol].sync.resyncs == 1
    assert venue.agrees(market)


# --- what is placed by its time --------------------------------------------------------------------------------


@pytest.mark.parametrize("chunk_rows", [1 << 30, 8])
def test_trades_fetched_for_a_hole_are_told_where_they_belong(chunk_rows: int) -> None:
    venue = Venue(Rule.BINANCE_SPOT)
    venue.snapshot()
    for _ in range(100):
        venue.delta()
        venue.trade()
    blocks = venue.blocks()
    kept = []
    for block in blocks:
        if block.kind is RecordKind.TRADES:
            times = block.rows["ts_event_ns"]
            hole = (times > NOON_NS + 4 * SECOND_NS) & (times <= NOON_NS + 6 * SECOND_NS)
            late = block.rows[hole].copy()
            late["seq"], late["origin"] = np.arange(len(late)) + 50_000, BACKFILLED
            late["ts_recv_ns"] += 3600 * SECOND_NS
            kept += [replace(block, rows=block.rows[~hole]), replace(block, rows=late)]
        else:
            kept.append(block)
    stretch = replace(stretch_of(blocks), pieces=tuple(map(Piece.of_block, kept)))
    _, market = played(stretch, chunk_rows=chunk_rows)
    assert market.states[UNIT.symbol].candles.late == 0
    assert joined_rows(market.candles[UNIT.symbol]) == joined_rows(venue.market.candles[UNIT.symbol])
    tape = market.tape(UNIT.symbol)
    assert tape["trade_id"].tolist() == venue.market.tape(UNIT.symbol)["trade_id"].tolist()
    fetched = tape[tape["ts_event_ns"] == 0]  # so they say nothing of latency
    assert len(fetched) == 20
    assert np.all(np.diff(tape["ts_recv_ns"]) >= 0)
    (expected, _), (found, _) = played(stretch), played(stretch, chunk_rows=chunk_rows)
    assert (found.hash, found.events) == (expected.hash, expected.events)


def test_the_venues_candles_of_the_day_before_are_told_first(tmp_path: Path) -> None:
    venue = Venue(Rule.BINANCE_SPOT)
    venue.snapshot()
    minute = 60 * SECOND_NS
    opened = NOON_NS // minute * minute
    candles = np.zeros(6, CANDLE)
    candles["ts_open_ns"] = opened + np.arange(-6, 0) * minute
    candles["close"] = np.arange(6)
    running = candles[-2:].copy()
    running["close"] = 70
    for rows in (candles, running):  # the last two ran when they were fetched first
        venue.market.on_batch(Batch(Kind.CANDLES, LIVE, UNIT.symbol, rows, interval_ns=minute))
    for _ in range(100):
        venue.delta()
    late = candles[-1:].copy()
    late["close"] = 99
    venue.market.on_batch(Batch(Kind.CANDLES, LIVE, UNIT.symbol, late, interval_ns=minute))
    blocks = venue.blocks()
    store = Kept(tmp_path / "store")
    for part in (0, 1):
        if part:
            store.archive([block for block in blocks if block.kind is RecordKind.CANDLES])
        else:
            store.put(*sorted(blocks, key=lambda block: block.first_seq))
        market = Market()
        times = (NOON_NS + 5 * SECOND_NS, NOON_NS + 11 * SECOND_NS)
        found = play_all(store.folder, "somewhere", (), *times, market)  # type: ignore[arg-type]
        told = [batch.rows["close"].tolist() for batch in market.batches if batch.kind is Kind.CANDLES]
        assert told == [[0, 1, 2, 3, 70, 70], [99]]
        assert found.events == 51 + 1
    store.close()


# --- what cannot be read ----------------------------------------------------------------------------------------


def test_a_piece_that_is_damaged_becomes_a_gap_and_is_named() -> None:
    venue = Venue(Rule.BINANCE_SPOT)
    venue.snapshot()
    for _ in range(100):
        venue.delta()
    blocks = list(cut(venue.blocks(), 20))
    pieces = [Piece.of_block(block) for block in blocks]
    place = [n for n, piece in enumerate(pieces) if piece.kind is RecordKind.DELTAS][2]

    def broken(*_: int) -> Block:
        raise BlockDamaged("x.parquet", "its checksum is wrong")

    pieces[place] = replace(pieces[place], read=broken, name="x.parquet")
    stretch = replace(stretch_of(blocks), pieces=tuple(pieces))
    for chunk_rows in (1 << 30, 16):
        found, market = played(stretch, chunk_rows=chunk_rows)
        assert found.lost == ("x.parquet: its checksum is wrong",)
        assert "interrupted BTC-USDT: x.parquet: its checksum is wrong" in market.said
        assert market.said[-2] == "BTC-USDT SYNCED"
        assert venue.agrees(market)


def test_a_recorder_that_was_killed_left_a_hole_though_numbers_begin_anew(tmp_path: Path) -> None:
    first, second = Venue(Rule.BINANCE_SPOT), Venue(Rule.BINANCE_SPOT)
    second.now_ns = NOON_NS + 60 * SECOND_NS
    second.market.recorder._numbers.next_seq = 10_000  # type: ignore[union-attr]
    store = Kept(tmp_path / "store")
    for number, (venue, changes) in enumerate([(first, 400), (second, 100)]):
        venue.snapshot()
        began_ns = venue.now_ns
        for _ in range(changes):
            venue.delta()
        store.put(*sorted(venue.blocks(), key=lambda block: block.first_seq))
        with store.connection:
            values = (number, "somewhere", UNIT.symbol, "book", began_ns, venue.now_ns, 1, 1, number)
            store.connection.execute("INSERT INTO spans VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", values)
    store.close()
    market = Market()
    play_all(store.folder, "somewhere", (), NOON_NS, NOON_NS + 100 * SECOND_NS, market)  # type: ignore[arg-type]
    assert market.said[1:-1] == [
        "BTC-USDT SYNCED",
        "interrupted BTC-USDT: it was not being recorded",
        "BTC-USDT SYNCED",
    ]
    assert second.agrees(market)


def test_telemetry_is_told_as_it_was_recorded_and_counts_for_nothing() -> None:
    venue = Venue(Rule.BINANCE_SPOT)
    venue.snapshot()
    for _ in range(100):
        venue.delta()
    blocks = venue.blocks()
    whole = Stream("somewhere", label="Somewhere")
    told = [
        drawn_block(kind, 12, seq=seq, at_ns=NOON_NS - SECOND_NS, stream=whole)
        for kind, seq in ((RecordKind.LATENCY, 3), (RecordKind.COUNTERS, 17), (RecordKind.EVENTS, 31))
    ]
    for block in told:
        block.rows["ts_ns"] = NOON_NS + np.arange(-1, 11) * SECOND_NS
    expected, _ = played(stretch_of(blocks))
    for chunk_rows in (1 << 30, 16):
        found, market = played(
            replace(stretch_of(blocks), pieces=tuple(map(Piece.of_block, [*blocks, *told]))),
            chunk_rows=chunk_rows,
        )
        assert (found.hash, found.events) == (expected.hash, expected.events)
        for block in told:
            own = [each.rows for each in market.told if each.kind is block.kind]
            assert np.concatenate(own).tolist() == block.rows[1:].tolist()


# --- units --------------------------------------------------------------------------------------------------------


def test_finer_units_revise_and_coarser_ones_are_brought_to_those_in_use() -> None:
    finer = UNIT.with_decimals(4, 3)
    parts = []
    for number, (unit, price) in enumerate([(UNIT, 100), (finer, 10_001), (UNIT, 102)]):
        rows = np.array([(NOON_NS + number, NOON_NS + number, number, price, 7, 1)], TRADE)
        parts.append(packing.trades(stream(unit), [(number + 1, rows)]))
    _, market = played(stretch_of(parts))
    assert market.said[1:-1] == ["revise BTC-USDT 4 3"]
    assert market.tape(UNIT.symbol)["price"].tolist() == [100, 10_001, 10_200]
    assert market.states[UNIT.symbol].instrument == finer


# --- out of a store ------------------------------------------------------------------------------------------------


def test_a_stretch_is_the_same_out_of_journal_and_archive(tmp_path: Path, simulated: Market) -> None:
    asked = stretch_of(simulated.blocks)
    expected = play_stretch(asked, Market())  # type: ignore[arg-type]
    store = Kept(tmp_path / "store")
    blocks = list(cut(sorted(simulated.blocks, key=lambda block: block.first_seq), 200))
    store.put(*blocks)

    def found(**more: int) -> tuple[Played, Market]:
        market = Market()
        times = (asked.from_ns, asked.to_ns)
        return play_all(store.folder, asked.venue, (), *times, market, **more), market  # type: ignore[arg-type]

    for part in (0, 1, 2):
        if part:  # a half of each kind goes into the archive, then the other
            for kind in (RecordKind.DELTAS, RecordKind.TRADES, RecordKind.QUOTES, RecordKind.SNAPSHOTS):
                own = [block for block in blocks if block.kind is kind]
                half = (own[: len(own) // 2], own[len(own) // 2 :])[part - 1]
                if half:
                    store.archive(half)
        for chunk_rows in (1 << 30, 700):
            told, market = found(chunk_rows=chunk_rows)
            assert (told.events, told.hash, told.lost) == (expected.events, expected.hash, ())
            assert market.picture() == simulated.picture()
    store.close()


@pytest.mark.parametrize("held_rows", [0, 131_072])
def test_a_file_that_is_damaged_or_gone_is_skipped_and_named(
    tmp_path: Path, simulated: Market, monkeypatch: pytest.MonkeyPatch, held_rows: int
) -> None:
    monkeypatch.setattr(reader, "HELD_ROWS", held_rows)
    asked = stretch_of(simulated.blocks)
    store = Kept(tmp_path / "store")
    blocks = list(cut(sorted(simulated.blocks, key=lambda block: block.first_seq), 50))
    store.put(*blocks)
    deltas = [block for block in blocks if block.kind is RecordKind.DELTAS]
    (first,) = store.archive(deltas[1:2])
    store.archive(deltas[2:3])
    trades = [block for block in blocks if block.kind is RecordKind.TRADES]
    (second,) = store.archive(trades[:1])
    store.close()
    damaged = bytearray(first.read_bytes())
    damaged[len(damaged) // 3] ^= 4
    first.write_bytes(damaged)
    second.unlink()
    market = Market()
    found = play_all(store.folder, asked.venue, (), asked.from_ns, asked.to_ns, market, chunk_rows=700)  # type: ignore[arg-type]
    assert len(found.lost) == 2
    assert any("its checksum is wrong" in lost for lost in found.lost)
    assert any("no such file" in lost for lost in found.lost)
    (symbol,) = market.states
    assert any(said.startswith(f"interrupted {symbol}: ") for said in market.said)
    assert market.book(symbol) == simulated.book(symbol)  # it went on with our own next book
    assert len(market.tape(symbol)) == len(simulated.tape(symbol)) - len(trades[0].rows)


def test_files_that_are_merged_while_a_stretch_is_played_are_read_where_they_went(
    tmp_path: Path, simulated: Market
) -> None:
    asked = stretch_of(simulated.blocks)
    expected = play_stretch(asked, Market())  # type: ignore[arg-type]
    store = Kept(tmp_path / "store")
    blocks = list(cut(sorted(simulated.blocks, key=lambda block: block.first_seq), 100))
    store.put(*blocks)
    deltas = [block for block in blocks if block.kind is RecordKind.DELTAS]
    small = [path for block in deltas[:4] for path in store.archive([block])]
    stretch = find(store.folder, asked.venue, (), asked.from_ns, asked.to_ns)
    for path in small:
        store.forget(path)
        path.unlink()
    again = joined(deltas[:4])
    store.put(again)
    store.archive([again])
    store.close()
    for chunk_rows in (1 << 30, 700):
        found, market = played(stretch, chunk_rows=chunk_rows)
        assert (found.events, found.hash, found.lost) == (expected.events, expected.hash, ())
        assert market.picture() == simulated.picture()


def test_what_is_not_recorded_is_refused_and_what_is_is_named(tmp_path: Path, simulated: Market) -> None:
    with pytest.raises(BadQuery, match="nothing is recorded yet"):
        find(tmp_path / "none", "binance_spot", (), NOON_NS, NOON_NS + 1)
    store = Kept(tmp_path / "store")
    store.put(*sorted(simulated.blocks, key=lambda block: block.first_seq))
    spans = "INSERT INTO spans VALUES (1, ?, ?, 'book', ?, ?, 1, 1, 1)"
    asked = stretch_of(simulated.blocks)
    with store.connection:
        store.connection.execute(spans, (asked.venue, asked.symbols[0], asked.from_ns, asked.to_ns))
    folder = store.folder
    with pytest.raises(BadQuery, match=f"nothing of it is recorded; recorded: {asked.venue}"):
        find(folder, "kraken", (), asked.from_ns, asked.to_ns)
    with pytest.raises(BadQuery, match=f"recorded: {asked.symbols[0]}"):
        find(folder, asked.venue, ("DOGE-USDT",), asked.from_ns, asked.to_ns)
    with pytest.raises(BadQuery, match="nothing is recorded then; recorded: 20"):
        find(folder, asked.venue, (), asked.to_ns + 10**15, asked.to_ns + 2 * 10**15)
    with pytest.raises(BadQuery, match="begin before it ends"):
        find(folder, asked.venue, (), asked.to_ns, asked.from_ns)
    native = simulated.states[asked.symbols[0]].instrument.native
    assert (
        find(folder, asked.venue, (native.lower(),), asked.from_ns, asked.to_ns).symbols == asked.symbols[:1]
    )


def test_symbols_are_in_the_order_in_which_they_were_recorded_first(tmp_path: Path) -> None:
    store, names = Kept(tmp_path / "store"), ("ETH-USDT", "BTC-USDT", "SOL-USDT", "BNB-USDT")
    for place, name in enumerate(names):
        of = stream(replace(UNIT, symbol=name))
        store.put(drawn_block(RecordKind.TRADES, 5, seq=1 + 5 * place, stream=replace(of, symbol=name)))
    store.close()
    stretch = find(store.folder, stream().venue, (), NOON_NS, NOON_NS + 10**9)
    assert stretch.symbols == names
    assert tuple(stretch.instruments()) == names


def test_our_own_books_are_not_told_where_the_book_is_right() -> None:
    venue = Venue(Rule.BINANCE_SPOT)
    venue.snapshot()
    for _ in range(100):
        venue.delta()
    own = [b for b in venue.blocks() if b.kind is RecordKind.SNAPSHOTS]
    assert sum(int((block.rows["origin"] == KEYFRAME).sum()) for block in own) >= 4
    _, market = played(stretch_of(venue.blocks()))
    assert len([batch for batch in market.batches if batch.kind is Kind.SNAPSHOT]) == 1


def test_books_are_told_to_the_level(simulated: Market) -> None:
    book = Book(1, NOON_NS, 7, KEYFRAME, np.array([(5, 1), (4, 2)], LEVEL), np.array([(6, 3)], LEVEL))
    _, market = played(stretch_of([packing.snapshots(stream(), [(1, book)])]))
    assert market.book(UNIT.symbol) == ([(5, 1), (4, 2)], [(6, 3)])
