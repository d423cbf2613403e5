"""Rings: what a reader gets, what it loses, and that a racing writer never hands it torn rows."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.telemetry.ring import Ring

NUMBER = np.dtype([("n", np.int64), ("twice", np.int64), ("pad", np.int64, 6)])


def rows(start: int, count: int) -> np.ndarray:
    made = np.zeros(count, NUMBER)
    made["n"] = np.arange(start, start + count)
    made["twice"] = made["n"] * 2
    return made


@given(st.lists(st.integers(0, 25), max_size=30), st.integers(1, 12), st.integers(0, 400))
def test_since_gives_what_a_list_would(chunks: list[int], capacity: int, cursor: int) -> None:
    ring, written = Ring("r", NUMBER, capacity), 0
    for count in chunks:
        ring.publish(rows(written, count))
        written += count
    found = ring.since(cursor)
    kept = [n for n in range(written) if n >= max(cursor, written - capacity)]
    assert found.rows["n"].tolist() == kept
    assert found.cursor == written
    assert found.lost == max(0, written - capacity - cursor) if cursor < written else found.lost == 0


@given(st.integers(1, 9), st.lists(st.integers(0, 20), max_size=12))
def test_one_by_one_equals_in_batch(capacity: int, chunks: list[int]) -> None:
    single, batched, written = Ring("a", NUMBER, capacity), Ring("b", NUMBER, capacity), 0
    for count in chunks:
        batch = rows(written, count)
        batched.publish(batch)
        for row in batch:
            single.publish_one(tuple(row))
        written += count
    assert np.array_equal(single.since(0).rows, batched.since(0).rows)
    assert single.head == batched.head == written


def test_until_ends_a_read_where_an_earlier_one_ended() -> None:
    ring = Ring("r", NUMBER, 8)
    ring.publish(rows(0, 5))
    seen = ring.since(0)
    ring.publish(rows(5, 2))
    assert np.array_equal(ring.since(0, seen.cursor).rows, seen.rows)
    assert ring.last(3, seen.cursor).rows["n"].tolist() == [2, 3, 4]


def test_rows_handed_out_are_copies() -> None:
    ring = Ring("r", NUMBER, 4)
    ring.publish(rows(0, 4))
    found = ring.since(0).rows
    ring.publish(rows(4, 4))
    assert found["n"].tolist() == [0, 1, 2, 3]


def test_a_cursor_of_another_process_reads_as_the_present() -> None:
    ring = Ring("r", NUMBER, 4)
    ring.publish(rows(0, 3))
    found = ring.since(1_000)
    assert (len(found.rows), found.cursor, found.lost) == (0, 3, 0)


def test_capacity_must_be_positive() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        Ring("r", NUMBER, 0)


@pytest.fixture
def hasty_switching() -> Iterator[None]:
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


@pytest.mark.parametrize("capacity", [7, 64, 1_000])
def test_readers_racing_the_writer_get_whole_rows_in_order_and_know_what_they_lost(
    capacity: int, hasty_switching: None
) -> None:
    ring = Ring("r", NUMBER, capacity)
    done = threading.Event()
    faults: list[str] = []
    reads = [0, 0, 0]

    def write() -> None:
        written, random = 0, np.random.default_rng(1)
        until = time.monotonic() + 1.0
        while time.monotonic() < until:
            count = int(random.integers(1, 2 * capacity))
            ring.publish(rows(written, count))
            written += count
        done.set()

    def read(me: int) -> None:
        cursor = got = lost = 0
        while True:
            last = done.is_set()
            found = ring.since(cursor)
            n = found.rows["n"]
            if (found.rows["twice"] != 2 * n).any():
                faults.append("torn row")
            if len(n) and (
                (np.diff(n) != 1).any() or n[0] != cursor + found.lost or n[-1] != found.cursor - 1
            ):
                faults.append(f"rows {n[0]}..{n[-1]} for cursor {cursor} with {found.lost} lost")
            got, lost, cursor = got + len(n), lost + found.lost, found.cursor
            reads[me] += 1
            if last or faults:
                break
        if got + lost != ring.head and not faults:
            faults.append(f"{got} read and {lost} lost of {ring.head}")

    threads = [threading.Thread(target=write), *(threading.Thread(target=read, args=(i,)) for i in range(3))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert faults == []
    assert min(reads) > 10
