"""What was remembered becomes rows: each packing against a slow twin that goes row by row."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from engine.market.batches import BBO, CANDLE, FUNDING, LEVEL, TRADE, Batch, Kind, Source
from engine.storage import packing
from engine.storage.arrow import levels_of, text_of
from engine.storage.names import RecordKind
from engine.storage.packing import Book, Gap
from engine.storage.records import ASK, BID, NO_LEVEL
from tests.storage.drawn import STREAM, WHOLE

SOURCE = Source("builtin", "sim")
WORDS = st.integers(-(2**63), 2**63 - 1)


def rows_of(dtype: np.dtype[Any], least: int = 1) -> st.SearchStrategy[Any]:
    """Arrays of a few rows with any numbers in them."""
    row = st.tuples(*[WORDS for _ in dtype.names or ()])
    return st.lists(row, min_size=least, max_size=4).map(lambda rows: np.array(rows, dtype))


def numbered(items: list[Any], sizes: list[int], first: int) -> list[tuple[int, Any]]:
    """Each item with its first number; some numbers between belong to others."""
    found = []
    for item, size in zip(items, sizes, strict=True):
        found.append((first, item))
        first += size + 3
    return found


@given(st.lists(rows_of(TRADE), min_size=1, max_size=5), st.integers(0, 10**12))
def test_trades_keep_every_field_and_take_a_number_each(items: list[Any], first: int) -> None:
    given_items = numbered(items, [len(rows) for rows in items], first)
    block = packing.trades(STREAM, given_items)
    expected = [
        (seq + place, *row, 0) for seq, rows in given_items for place, row in enumerate(rows.tolist())
    ]
    assert block.rows.tolist() == expected


@given(st.lists(rows_of(BBO), min_size=1, max_size=5), st.lists(rows_of(FUNDING), min_size=1, max_size=3))
def test_quotes_and_funding_keep_every_field(quotes: list[Any], funding: list[Any]) -> None:
    for pack, items in ((packing.quotes, quotes), (packing.funding, funding)):
        given_items = numbered(items, [len(rows) for rows in items], 5)
        block = pack(STREAM, given_items)
        assert block.rows.tolist() == [
            (seq + place, *row) for seq, rows in given_items for place, row in enumerate(rows.tolist())
        ]


@given(
    st.lists(
        st.tuples(WORDS, st.sampled_from([10**9, 60 * 10**9]), st.integers(0, 2), rows_of(CANDLE)), min_size=1
    )
)
def test_candles_say_whose_they_are_and_how_long(items: list[Any]) -> None:
    given_items = numbered(items, [len(item[3]) for item in items], 1)
    block = packing.candles(STREAM, given_items)
    assert block.rows.tolist() == [
        (seq + place, recv, interval, origin, *row)
        for seq, (recv, interval, origin, rows) in given_items
        for place, row in enumerate(rows.tolist())
    ]


@st.composite
def changes(draw: Any) -> Batch:
    """A change of a book, of none to four levels."""
    rows = draw(rows_of(LEVEL, 0))
    first, last, before, event, recv = (draw(WORDS) for _ in range(5))
    return Batch(
        Kind.DELTA,
        SOURCE,
        "BTC-USDT",
        rows,
        draw(st.integers(0, len(rows))),
        first,
        last,
        before,
        event,
        recv,
    )


@given(st.lists(changes(), min_size=1, max_size=6))
def test_a_change_is_a_row_a_level_and_one_where_it_has_none(batches: list[Batch]) -> None:
    block = packing.deltas(STREAM, numbered(batches, [1] * len(batches), 9))
    expected = []
    for seq, batch in numbered(batches, [1] * len(batches), 9):
        head = (
            *(seq, batch.ts_event_ns, batch.ts_recv_ns),
            *(batch.first_sequence, batch.last_sequence, batch.previous_sequence),
        )
        for place, (price, size) in enumerate(batch.rows.tolist()):
            expected.append((*head, BID if place < batch.bids else ASK, price, size))
        if not len(batch.rows):
            expected.append((*head, NO_LEVEL, 0, 0))
    assert block.rows.tolist() == expected


@given(st.lists(st.tuples(rows_of(LEVEL, 0), rows_of(LEVEL, 0), WORDS, WORDS, WORDS), min_size=1, max_size=4))
def test_books_are_whole(books: list[Any]) -> None:
    items = [Book(event, recv, last, 1, bids, asks) for bids, asks, event, recv, last in books]
    block = packing.snapshots(STREAM, numbered(items, [1] * len(items), 1))
    for place, book in enumerate(items):
        bids, asks = levels_of(block, place)
        assert (bids.tolist(), asks.tolist()) == (book.bids.tolist(), book.asks.tolist())
        row = block.rows[place]
        assert (row["ts_event_ns"], row["ts_recv_ns"], row["last_sequence"], row["origin"]) == (
            *(book.ts_event_ns, book.ts_recv_ns),
            *(book.last_sequence, 1),
        )


@given(
    st.lists(st.tuples(st.sampled_from(["/ws", "GET /depth"]), st.lists(st.binary(), min_size=1)), min_size=1)
)
def test_frames_are_kept_to_the_byte(sent: list[Any]) -> None:
    items = [(path, frames, list(range(len(frames)))) for path, frames in sent]
    block = packing.raw(WHOLE, numbered(items, [len(frames) for _, frames, _ in items], 4))
    assert [text_of(block, place) for place in range(len(block.rows))] == [
        f for _, frames in sent for f in frames
    ]
    assert [bytes(path).decode() for path in block.rows["path"]] == [
        path for path, frames in sent for _ in frames
    ]
    assert block.rows["ts_recv_ns"].tolist() == [at for _, _, times in items for at in times]


@given(st.lists(st.tuples(WORDS, WORDS, st.text(max_size=40)), min_size=1, max_size=5))
def test_gaps_keep_their_reasons(holes: list[Any]) -> None:
    items = [Gap(from_ns, to_ns, "book", 0, 0, reason) for from_ns, to_ns, reason in holes]
    block = packing.gaps(STREAM, numbered(items, [1] * len(items), 1))
    assert [text_of(block, place).decode() for place in range(len(items))] == [gap.reason for gap in items]
    assert block.rows["from_ns"].tolist() == [gap.from_ns for gap in items]
    assert set(block.rows["what"]) == {b"book"}


def test_every_kind_that_batches_become_can_be_packed() -> None:
    made_elsewhere = {RecordKind.LATENCY, RecordKind.COUNTERS, RecordKind.EVENTS, RecordKind.GAPS}
    assert set(packing.PACK) == set(RecordKind) - made_elsewhere
