"""The journal: what is put is on the disk soon, exactly once, under numbers that never come back."""

from __future__ import annotations

import asyncio
import threading
import time
from functools import partial
from pathlib import Path

import apsw
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import StoreFailed, StoreLocked
from engine.storage import catalog, journal_pending
from engine.storage.journal import Draft, Journal
from engine.storage.journal_pending import DRAFT_BYTES, GIVEN_UP_IN_ORDER, Pending, merged
from engine.storage.journal_spans import HOLE_NS, Spans
from engine.storage.names import SHED_ORDER, RecordKind
from engine.storage.records import FILLED, Block, Stream
from engine.storage.schema import drop_file, put_value
from engine.storage.views import SpanView
from tests.storage.drawn import NOON_NS, OF_A_VENUE, STREAM, WHOLE, drawn_block
from tests.storage.journals import (
    WAIT_S,
    draft_of,
    file_of,
    gap_block,
    held_back,
    put,
    replace_blocks,
    same_rows,
    seqs_in,
    until,
    written,
)

SECOND_NS = 10**9


def _itself(block: Block) -> Block:
    return block


def spans_of(folder: Path) -> list[SpanView]:
    with catalog.reading(folder) as connection:
        return catalog.spans(connection)[0]


def test_what_is_put_of_every_kind_is_there_after_a_restart(tmp_path: Path) -> None:
    journal = Journal.open(tmp_path / "store")
    blocks = [put(journal, kind, 7) for kind in RecordKind]
    written(journal)
    assert journal.close()
    found, damaged = catalog.snapshot(tmp_path / "store").decoded()
    assert not damaged
    assert same_rows(found, blocks)
    again = Journal.open(tmp_path / "store")
    assert again.next_seq == journal.next_seq == 1 + 7 * len(RecordKind)
    view = again.view()
    assert (view.blocks, view.rows, view.durable_seq) == (
        len(RecordKind),
        7 * len(RecordKind),
        again.next_seq,
    )
    assert again.close()


def test_a_closed_journal_has_written_what_was_put_last(tmp_path: Path) -> None:
    journal = Journal.open(tmp_path)
    block = put(journal)
    assert journal.close()
    assert not (tmp_path / "journal.db-wal").exists()
    assert seqs_in(tmp_path) == block.rows["seq"].tolist()


def test_a_put_is_begun_within_the_pace_and_an_idle_journal_writes_nothing(tmp_path: Path) -> None:
    journal = Journal.open(tmp_path)
    packed: list[float] = []
    for place in range(5):
        block = drawn_block(RecordKind.TRADES, 3, seq=journal.next_seq)
        journal.next_seq += 3

        def pack(block: Block = block) -> Block:
            packed.append(time.monotonic())
            return block

        began = time.monotonic()
        journal.put([Draft(block.kind, block.stream, 3, 100, block.first_seq, pack)])
        until(lambda: journal.view().durable_seq == journal.next_seq, "on the disk without anybody waiting")
        assert len(packed) == place + 1
        assert packed[-1] - began < 0.5  # 0.05, on a machine that has time
    commits = journal.view().commits
    time.sleep(0.2)
    assert journal.view().commits == commits <= 5
    assert journal.close()


def test_puts_of_one_commit_become_one_block_a_kind_and_stream(tmp_path: Path) -> None:
    journal = Journal.open(tmp_path)
    with held_back(journal):
        blocks = [
            put(journal, kind, 4) for _ in range(20) for kind in (RecordKind.TRADES, RecordKind.SNAPSHOTS)
        ]
    written(journal)
    found, damaged = catalog.snapshot(tmp_path).decoded()
    assert not damaged
    assert [(block.kind, len(block.rows)) for block in found] == [
        (RecordKind.TRADES, 80),
        (RecordKind.SNAPSHOTS, 80),
    ]
    assert same_rows(found, blocks)
    assert journal.close()


def test_blocks_are_merged_up_to_a_size_and_not_over_holes_or_far_times() -> None:
    def trades(seq: int, count: int, at_s: float = 0.0) -> Block:
        return drawn_block(RecordKind.TRADES, count, seq=seq, at_ns=NOON_NS + round(at_s * SECOND_NS))

    assert [len(one.block.rows) for one in merged([trades(1 + 4_000 * n, 4_000) for n in range(5)])] == [
        *(8_000, 8_000, 4_000)
    ]
    assert len(merged([trades(1, 5), trades(6, 5, 80.0)])) == 1
    assert len(merged([trades(1, 5), trades(6, 5, -1_000.0)])) == 2
    hole = gap_block(6, NOON_NS, NOON_NS + 1, stream=STREAM)
    assert [one.block.first_seq for one in merged([trades(7, 5), hole, trades(1, 5)])] == [1, 6, 7]
    assert merged([Block(RecordKind.TRADES, STREAM, trades(1, 5).rows[:0])]) == []
    (one,) = merged([trades(1, 5, 10.0), trades(6, 5)])
    assert (one.first_ns, one.last_ns) == one.block.times_ns


def test_a_put_costs_little_and_waits_for_nothing(tmp_path: Path) -> None:
    journal = Journal.open(tmp_path)
    blocks = [drawn_block(RecordKind.TRADES, 100, seq=1 + 100 * place) for place in range(200)]
    journal.next_seq += 20_000
    took = []
    with held_back(journal):  # the disk takes long
        for block in blocks:
            drafts = [draft_of(block)]
            began = time.perf_counter()
            journal.put(drafts)
            took.append(time.perf_counter() - began)
        assert journal.view().pending_rows == 20_000
        assert not journal.wait_durable(journal.next_seq, 0.01)
    written(journal)
    assert np.median(took) < 0.001
    assert journal.view().pending_rows == journal.view().pending_bytes == 0
    assert sorted(seqs_in(tmp_path)) == list(range(1, 20_001))
    assert journal.close()


def test_durable_wakes_who_awaits_it_and_says_when_the_journal_ended(tmp_path: Path) -> None:
    async def scenario() -> None:
        journal = Journal.open(tmp_path)
        await asyncio.wait_for(journal.durable(journal.next_seq), WAIT_S)  # nothing was put
        put(journal)
        await asyncio.wait_for(journal.durable(journal.next_seq), WAIT_S)
        assert journal.view().durable_seq == journal.next_seq
        assert await asyncio.to_thread(journal.close)
        put(journal)
        with pytest.raises(StoreFailed, match="closed"):
            await journal.durable(journal.next_seq)
        with pytest.raises(StoreFailed, match="closed"):
            journal.wait_durable(journal.next_seq, 1.0)
        with pytest.raises(StoreFailed, match="closed"):
            journal.transact(lambda _connection: None).result(1.0)
        assert journal.view().shed == (("trades", 5),)

    asyncio.run(scenario())


def test_a_store_has_one_writer(tmp_path: Path) -> None:
    journal = Journal.open(tmp_path)
    with pytest.raises(StoreLocked):
        Journal.open(tmp_path)
    put(journal)
    assert journal.close()
    again = Journal.open(tmp_path)
    assert again.close()


def test_a_folder_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreFailed):
        Journal.open(tmp_path / "file" / "store")


def test_a_number_never_comes_back(tmp_path: Path) -> None:
    journal = Journal.open(tmp_path)
    put(journal)
    written(journal)
    rows = catalog.snapshot(tmp_path).blocks
    number = journal.transact(lambda c: replace_blocks(c, file_of(rows), [1])).result(WAIT_S)
    journal.transact(lambda c: drop_file(c, number)).result(WAIT_S)
    assert journal.close()
    again = Journal.open(tmp_path)
    assert again.next_seq == 6
    assert again.close()


def test_numbers_go_on_above_all_that_is_there_whatever_was_kept(tmp_path: Path) -> None:
    journal = Journal.open(tmp_path)
    put(journal)
    written(journal)
    journal.transact(lambda c: put_value(c, "next_seq", 2)).result(WAIT_S)
    assert journal.close()
    again = Journal.open(tmp_path)
    assert again.next_seq == 6
    assert again.close()


def test_a_change_is_done_wholly_or_not_at_all(tmp_path: Path) -> None:
    def breaks(connection: apsw.Connection) -> None:
        put_value(connection, "retention_days", 3)
        raise KeyError("changed my mind")

    journal = Journal.open(tmp_path)
    with pytest.raises(KeyError, match="mind"):
        journal.transact(breaks).result(WAIT_S)
    put(journal)
    written(journal)
    assert journal.state == "ready"
    with catalog.reading(tmp_path) as connection:
        assert catalog.value(connection, "retention_days") is None
    journal.transact(lambda c: put_value(c, "retention_days", 4)).result(WAIT_S)
    with catalog.reading(tmp_path) as connection:
        assert catalog.value(connection, "retention_days") == 4
    assert journal.close()


def test_records_that_cannot_be_packed_are_given_up_and_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("engine.storage.journal.STRETCH_S", 0.0)

    def breaks() -> Block:
        raise ValueError("rows are missing")

    journal = Journal.open(tmp_path)
    said: list[tuple[object, ...]] = []
    journal.on_shed = lambda *given_up: said.append(given_up)
    with held_back(journal):
        kept = put(journal)
        journal.put([Draft(RecordKind.TRADES, STREAM, 9, 100, journal.next_seq, breaks)])
        journal.next_seq += 9
        more = put(journal)
    written(journal)
    assert seqs_in(tmp_path) == [*kept.rows["seq"].tolist(), *more.rows["seq"].tolist()]
    assert journal.view().shed == (("trades", 9),)
    until(lambda: said, "the stretch is said")
    ((venue, symbol, kind, _, _, rows, reason),) = said
    assert (venue, symbol, kind, rows) == ("builtin", "BTC-USDT", RecordKind.TRADES, 9)
    assert reason == "they could not be packed: rows are missing"
    assert journal.close()


def test_spans_grow_with_what_is_written_and_begin_anew_with_each_session(tmp_path: Path) -> None:
    for session in range(2):
        journal = Journal.open(tmp_path)
        for second in range(3):
            at_ns = NOON_NS + (100 * session + second) * SECOND_NS
            for kind in (RecordKind.TRADES, RecordKind.DELTAS, RecordKind.QUOTES, RecordKind.EVENTS):
                put(journal, kind, 2, at_ns=at_ns)
            written(journal)
        assert journal.close()
    found = [
        (span.symbol, span.what, (span.from_ns - NOON_NS) // SECOND_NS, span.rows)
        for span in spans_of(tmp_path)
    ]
    assert found == [
        ("", "events", 0, 6),
        ("", "events", 100, 6),
        ("BTC-USDT", "book", 0, 12),
        ("BTC-USDT", "book", 100, 12),
        ("BTC-USDT", "trades", 0, 6),
        ("BTC-USDT", "trades", 100, 6),
    ]
    assert all(span.to_ns - span.from_ns == 2 * SECOND_NS + 1_000_000 for span in spans_of(tmp_path))
    assert all(span.size_bytes > 0 for span in spans_of(tmp_path))


def test_a_recorded_hole_ends_the_spans_it_is_of(tmp_path: Path) -> None:
    journal = Journal.open(tmp_path)

    def both(second: int) -> None:
        for kind in (RecordKind.TRADES, RecordKind.QUOTES, RecordKind.EVENTS):
            put(journal, kind, 1, at_ns=NOON_NS + second * SECOND_NS)
        written(journal)

    def hole(from_s: int, to_s: int, what: str, state: int = 0) -> None:
        ends = (NOON_NS + from_s * SECOND_NS, NOON_NS + to_s * SECOND_NS)
        block = gap_block(journal.next_seq, *ends, what=what, state=state, stream=STREAM, filled=3 * state)
        journal.next_seq += 1
        journal.put([draft_of(block)])

    both(0)
    hole(0, 2, "book")
    both(3)
    hole(3, 5, "all")
    both(6)
    hole(3, 5, "all", FILLED)  # later; nothing ends by it
    both(7)
    found = [
        (span.what, *((ns - NOON_NS) // SECOND_NS for ns in (span.from_ns, span.to_ns)))
        for span in spans_of(tmp_path)
    ]
    assert found == [
        *[("events", 0, 7)],
        *[("book", 0, 0), ("book", 3, 3), ("book", 6, 7)],
        *[("trades", 0, 3), ("trades", 6, 7)],
    ]
    with catalog.reading(tmp_path) as connection:
        gaps = [(gap.what, gap.state, gap.filled, gap.reason) for gap in catalog.gaps(connection)]
    assert gaps == [("book", "open", 0, "disconnected"), ("all", "filled", 3, "disconnected")]
    assert journal.close()


def test_a_hole_of_the_whole_venue_ends_all_its_spans() -> None:
    spans = Spans()
    for key in (("v", "A", "trades"), ("v", "B", "book"), ("w", "A", "trades")):
        spans.add(key, 10, 20, 1, 1)
    spans.hole("v", "", "all", 30)
    for key in (("v", "A", "trades"), ("v", "B", "book"), ("w", "A", "trades")):
        spans.add(key, 40, 50, 1, 1)
    assert sorted(change.key for change in spans.changes.values()) == [
        *[("v", "A", "trades")] * 2,
        *[("v", "B", "book")] * 2,
        ("w", "A", "trades"),
    ]


def test_silence_ends_the_span_of_what_flows_only() -> None:
    spans = Spans()
    far = NOON_NS + 2 * HOLE_NS
    for what in ("book", "trades"):
        spans.add(("v", "A", what), NOON_NS, NOON_NS, 1, 1)
        spans.add(("v", "A", what), far, far, 1, 1)
    assert [(change.key[2], change.to_ns - change.from_ns) for change in spans.changes.values()] == [
        *[("book", 0), ("book", 0)],
        ("trades", 2 * HOLE_NS),
    ]


def test_history_that_was_fetched_makes_a_span_of_its_own() -> None:
    spans = Spans()
    key = ("v", "A", "trades")
    hour = 3_600 * SECOND_NS
    spans.add(key, NOON_NS, NOON_NS, 1, 1)
    spans.add(key, NOON_NS - hour, NOON_NS - hour + SECOND_NS, 5, 5)
    spans.add(key, NOON_NS + SECOND_NS, NOON_NS + SECOND_NS, 1, 1)
    spans.add(key, NOON_NS - hour + SECOND_NS, NOON_NS - hour + 2 * SECOND_NS, 5, 5)
    assert [(change.rows, change.to_ns - change.from_ns) for change in spans.changes.values()] == [
        (2, SECOND_NS),
        (10, 2 * SECOND_NS),
    ]


def test_what_is_alive_though_quiet_is_covered_up_to_now(tmp_path: Path) -> None:
    journal = Journal.open(tmp_path)
    put(journal)
    written(journal)
    marks = [
        ("builtin", "BTC-USDT", "trades", NOON_NS + 60 * SECOND_NS),
        ("builtin", "BTC-USDT", "funding", NOON_NS),
    ]
    journal.alive(marks)
    until(lambda: spans_of(tmp_path)[0].to_ns == NOON_NS + 60 * SECOND_NS, "the span goes on")
    commits = journal.view().commits
    for second in range(100):  # again within the second: not worth a transaction
        journal.alive([("builtin", "BTC-USDT", "trades", NOON_NS + (61 + second) * SECOND_NS)])
    put(journal, RecordKind.EVENTS)
    written(journal)
    assert journal.view().commits == commits + 1
    assert [(span.what, span.rows) for span in spans_of(tmp_path)] == [("events", 5), ("trades", 5)]
    assert spans_of(tmp_path)[1].to_ns == NOON_NS + 160 * SECOND_NS  # and comes with the next one
    assert journal.close()


def test_a_view_says_how_it_stands(tmp_path: Path) -> None:
    journal = Journal.open(tmp_path, pending_limit_bytes=1 << 20)
    for _ in range(4):
        put(journal)
        written(journal)
    view = journal.view()
    assert (view.commits, view.blocks, view.rows, view.durable_seq) == (4, 4, 20, 21)
    assert 0 < view.commit_p50_ns <= view.commit_p99_ns
    assert view.newest_ns > 0
    assert view.size_bytes >= (tmp_path / "journal.db").stat().st_size > 0
    assert (view.pending_limit_bytes, view.shed, view.sqlite) == (1 << 20, (), apsw.sqlite_lib_version())
    assert journal.close()


def test_the_write_ahead_log_stays_small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.storage.journal_writer.CHECKPOINT_BYTES", 256 << 10)
    journal = Journal.open(tmp_path)
    for _ in range(60):
        put(journal, RecordKind.RAW, 1_000)
        written(journal)
    assert journal.view().wal_bytes < 1 << 20
    until(lambda: journal.view().size_bytes > 2 << 20, "what was written is in the database")
    assert journal.close()


def test_readers_that_follow_each_other_cannot_make_the_log_grow_without_bound(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, size in (("CHECKPOINT_BYTES", 256 << 10), ("LARGE_BYTES", 1 << 20), ("RESTART_EVERY_S", 0.0)):
        monkeypatch.setattr(f"engine.storage.journal_writer.{name}", size)
    journal = Journal.open(tmp_path)
    stop = threading.Event()

    def read() -> None:
        while not stop.is_set():
            with catalog.reading(tmp_path) as connection:
                connection.execute("SELECT count(*) FROM blocks").fetchall()
                stop.wait(0.02)

    readers = [threading.Thread(target=read) for _ in range(3)]
    for reader in readers:
        reader.start()
    try:
        for _ in range(100):
            put(journal, RecordKind.RAW, 1_000)
            written(journal)
    finally:
        stop.set()
        for reader in readers:
            reader.join()
    assert journal.view().wal_bytes < 4 << 20  # of 6 MB that were written
    assert len(set(seqs_in(tmp_path))) == 100_000
    assert journal.close()


def test_a_reader_that_stays_is_counted_and_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, size in (("CHECKPOINT_BYTES", 64 << 10), ("LARGE_BYTES", 256 << 10), ("RESTART_EVERY_S", 0.0)):
        monkeypatch.setattr(f"engine.storage.journal_writer.{name}", size)
    monkeypatch.setattr("engine.storage.journal_writer.RESTART_BUSY_MS", 1)
    journal = Journal.open(tmp_path)
    put(journal)
    written(journal)
    with catalog.reading(tmp_path) as connection:
        assert connection.execute("SELECT count(*) FROM blocks").get == 1
        for _ in range(10):
            put(journal, RecordKind.RAW, 1_000)
            written(journal)
        assert journal.view().held_up > 0
        assert journal.view().wal_bytes > 256 << 10
        assert connection.execute("SELECT count(*) FROM blocks").get == 1  # its moment
    put(journal, RecordKind.RAW, 1_000)
    written(journal)
    until(lambda: journal.view().wal_bytes < 256 << 10, "the log is begun anew")
    assert len(seqs_in(tmp_path)) == 11_005
    assert journal.close()


def test_a_database_that_a_burst_made_large_becomes_smaller(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, size in (("CHECKPOINT_BYTES", 64 << 10), ("FREE_BYTES", 256 << 10)):
        monkeypatch.setattr(f"engine.storage.journal_writer.{name}", size)
    journal = Journal.open(tmp_path)
    for _ in range(20):
        put(journal, RecordKind.RAW, 1_000)
        written(journal)
    until(lambda: journal.view().size_bytes > 1 << 20, "it is large")
    journal.transact(lambda c: c.execute("DELETE FROM blocks").get).result(WAIT_S)
    for _ in range(8):
        put(journal, RecordKind.RAW, 1_000)
        written(journal)
        journal.transact(lambda c: c.execute("DELETE FROM blocks").get).result(WAIT_S)
    last = put(journal)
    written(journal)
    until(lambda: (tmp_path / "journal.db").stat().st_size < 512 << 10, "it is small")
    assert seqs_in(tmp_path) == last.rows["seq"].tolist()
    assert journal.close()


def test_what_is_least_wanted_is_given_up_first_and_the_oldest_of_it() -> None:
    limit = 10 * (1_000 + DRAFT_BYTES)
    pending = Pending(limit)
    for ticket, kind in enumerate(list(RecordKind) * 3):
        block = drawn_block(kind, 1, seq=1 + ticket)
        draft = Draft(kind, block.stream, 1, 1_000, 1 + ticket, partial(_itself, block))
        pending.put([draft], ticket, ticket, ticket + 1)
    pending.give_up_excess("full", 0.0)
    assert [kind for kind, count in pending.shed.items() if count] == list(GIVEN_UP_IN_ORDER[:8])
    assert pending.shed[RecordKind.TRADES] == pending.shed[RecordKind.GAPS] == 0
    assert GIVEN_UP_IN_ORDER[: len(SHED_ORDER)] == SHED_ORDER
    assert pending.size_bytes <= limit == pending.limit_bytes
    left = [waiting.ticket for waiting in pending.waiting() if waiting.kind is GIVEN_UP_IN_ORDER[7]]
    assert left == sorted(left)
    stretch = pending.stretches["builtin", "BTC-USDT", RecordKind.DELTAS]
    place = list(RecordKind).index(RecordKind.DELTAS)
    assert (stretch.from_ns, stretch.to_ns, stretch.rows) == (place, place + 2 * len(RecordKind) + 1, 3)


def test_taking_is_in_the_order_of_puts_and_of_a_put_all_or_nothing() -> None:
    pending = Pending(1 << 20)
    block = drawn_block(RecordKind.TRADES, 1)
    for ticket in range(6):
        drafts = [
            Draft(kind, STREAM, 1, 100, 1, lambda: block) for kind in (RecordKind.TRADES, RecordKind.QUOTES)
        ]
        pending.put(drafts, ticket, 0, 0)
    taken = pending.take(3 * (100 + DRAFT_BYTES))
    assert sorted(waiting.ticket for waiting in taken) == [0, 0, 1, 1]
    pending.put_back(taken)
    assert pending.oldest_ticket() == 0
    taken = pending.take(1 << 20)
    assert len(taken) == 12
    assert pending.oldest_ticket() is None
    assert pending.rows == 12  # those that are being written are not gone
    pending.done(taken)
    assert (pending.rows, pending.size_bytes) == (0, 0)


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["put", "put", "take and write", "take and fail"]),
            st.lists(
                st.tuples(st.sampled_from(list(RecordKind)), st.integers(1, 900)), min_size=1, max_size=5
            ),
        ),
        max_size=30,
    )
)
def test_what_waits_is_bounded_and_each_draft_is_written_or_given_up(
    steps: list[tuple[str, list[tuple[RecordKind, int]]]],
) -> None:
    limit = 3_000 + 4 * DRAFT_BYTES
    pending, every, written_rows = Pending(limit), dict.fromkeys(RecordKind, 0), dict.fromkeys(RecordKind, 0)
    newest = -1
    for ticket, (step, drafts) in enumerate(steps):
        if step == "put":
            pending.put(
                [Draft(kind, STREAM, rows, rows, ticket, _never) for kind, rows in drafts],
                ticket,
                ticket,
                ticket,
            )
            for kind, rows in drafts:
                every[kind] += rows
        else:
            taken = pending.take(1_000 + DRAFT_BYTES)
            tickets = [waiting.ticket for waiting in taken]
            if step == "take and fail":
                pending.put_back(taken)
            else:
                assert all(place > newest for place in tickets)
                newest = max(tickets, default=newest)
                pending.done(taken)
                for waiting in taken:
                    written_rows[waiting.kind] += waiting.rows
        pending.give_up_excess("full", 0.0)
        left_over = list(pending.waiting())
        assert pending.rows == sum(waiting.rows for waiting in left_over)
        assert pending.size_bytes == pending.rows + len(left_over) * DRAFT_BYTES <= limit
    for kind in RecordKind:
        left = sum(waiting.rows for waiting in pending.waiting() if waiting.kind is kind)
        assert every[kind] == written_rows[kind] + pending.shed[kind] + left
    assert sum(stretch.rows for stretch in pending.stretches.values()) == sum(pending.shed.values())


def _never() -> Block:
    raise AssertionError


def test_blocks_of_a_venue_and_of_a_symbol_are_kept_apart(tmp_path: Path) -> None:
    journal = Journal.open(tmp_path)
    for kind in OF_A_VENUE:
        put(journal, kind)
    put(journal)
    written(journal)
    with catalog.reading(tmp_path) as connection:
        assert sorted(stream.symbol for stream in catalog.streams(connection).values()) == ["", "BTC-USDT"]
        assert WHOLE in catalog.streams(connection).values()
    assert journal.close()
    assert journal_pending.BLOCK_ROWS == 10_000


def test_numbers_of_another_journal_are_refused_and_counted(tmp_path: Path) -> None:
    journal = Journal.open(tmp_path)
    put(journal)
    written(journal)
    assert journal.close()
    again = Journal.open(tmp_path)
    stale = drawn_block(RecordKind.TRADES, 3, seq=2)
    again.put([draft_of(stale)])
    kept = put(again)
    written(again)
    assert again.state == "ready"
    assert again.view().shed == (("trades", 3),)
    assert seqs_in(tmp_path) == [1, 2, 3, 4, 5, *kept.rows["seq"].tolist()]
    assert again.close()


def test_a_number_that_comes_twice_costs_only_its_own_records(tmp_path: Path) -> None:
    journal = Journal.open(tmp_path)
    first = put(journal)
    written(journal)
    journal.put([draft_of(drawn_block(RecordKind.TRADES, 2, seq=1))])
    quotes = put(journal, RecordKind.QUOTES)
    written(journal)
    assert (journal.state, journal.view().shed) == ("ready", (("trades", 2),))
    assert seqs_in(tmp_path) == [*first.rows["seq"].tolist(), *quotes.rows["seq"].tolist()]
    assert journal.close()


def test_little_drafts_that_are_put_together_are_all_there_in_few_pieces() -> None:
    pending = Pending(16 << 20)
    streams = [Stream("builtin", f"S{number}") for number in range(5)]
    seq, ticket, tickets = 1, 0, 200
    for ticket in range(1, tickets + 1):
        drafts = []
        for stream in streams:
            block = drawn_block(RecordKind.TRADES, 1, seq=seq, stream=stream)
            drafts.append(draft_of(block))
            seq += 1
        pending.put(drafts, ticket, ticket, ticket + 1)
        if ticket % 20 == 0:
            loose = pending.take_loose()
            blocks = [waiting.pack() for waiting in loose if waiting.pack is not None]
            pending.keep(loose, merged(blocks))
    assert (pending.rows, pending.oldest_ticket(), pending.lowest_seq()) == (seq - 1, 1, 1)
    held = list(pending.waiting())
    assert len(held) == len(streams)
    assert pending.size_bytes == sum(waiting.size_bytes for waiting in held)
    assert {(waiting.from_ns, waiting.to_ns) for waiting in held} == {(1, tickets + 1)}
    taken = pending.take(16 << 20)
    found = [number for each in taken for block in each.blocks for number in block.rows["seq"].tolist()]
    assert sorted(found) == list(range(1, seq))
    pending.done(taken)
    assert (pending.rows, pending.size_bytes) == (0, 0)


def test_a_hole_stays_between_what_is_put_together() -> None:
    pending = Pending(16 << 20)
    numbers = {RecordKind.TRADES: (1, 3, 5), RecordKind.GAPS: (2,)}
    for ticket, seq in enumerate((1, 2, 3, 5), 1):
        kind = RecordKind.GAPS if seq in numbers[RecordKind.GAPS] else RecordKind.TRADES
        pending.put([draft_of(drawn_block(kind, 1, seq=seq, stream=STREAM))], ticket, 0, 0)
    loose = pending.take_loose()
    pending.keep(loose, merged([waiting.pack() for waiting in loose if waiting.pack is not None]))
    found = [[block.rows["seq"].tolist() for block in waiting.blocks] for waiting in pending.take(1 << 20)]
    assert sorted(found) == [[[1]], [[2]], [[3, 5]]]
