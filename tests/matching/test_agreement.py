"""The compiled book and the plain one give the same events and the same books, whatever comes in."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.market.batches import BUY, SELL
from engine.matching import kernel
from engine.matching.engine import BookSpec, MatchingEngine
from engine.matching.orders import ACCEPTED, CANCEL, CANCELED, COMMAND, GTC, IOC, LIMIT, MARKET, TRADED
from tests.matching.invariants import check
from tests.reference.matching_plain import PlainEngine, Row

CENTRES = [1_000_000, 50]
ROOM = 12

# Mostly sensible commands at a handful of prices, so that they meet; some of every field is nonsense.
INT64 = st.integers(-(2**63), 2**63 - 1)
COMMANDS = st.tuples(
    st.sampled_from([LIMIT] * 6 + [MARKET, CANCEL, CANCEL, 0, 99]),
    st.sampled_from([0, 0, 0, 1, 1, 2, -1, 2**62]),
    st.sampled_from([BUY] * 5 + [SELL] * 5 + [0]),
    st.sampled_from([GTC] * 6 + [IOC, 7]),
    st.one_of(st.integers(1, 25), st.integers(1, 25), st.sampled_from([0, -3, 2**63 - 1]), INT64),
    st.integers(1, 2),
    st.one_of(st.integers(999_996, 1_000_004), st.integers(46, 54), st.sampled_from([0, -1, 1]), INT64),
    st.one_of(st.integers(1, 9), st.integers(1, 9), st.sampled_from([0, -1, 2**40, 2**40 + 1])),
    st.just(0),
)


def engines() -> tuple[MatchingEngine, PlainEngine]:
    specs = [BookSpec(f"S{at}", centre) for at, centre in enumerate(CENTRES)]
    return MatchingEngine(specs, ROOM), PlainEngine(CENTRES, ROOM)


def agree(fast: MatchingEngine, plain: PlainEngine, commands: list[Row]) -> None:
    events = fast.submit(np.array(commands, COMMAND))
    rows, changed = plain.submit(commands)
    assert events.rows.tolist() == rows
    assert {row[:3]: row[3] for row in events.changed.tolist()} == changed
    assert len(events.changed) == len(changed)
    for symbol, book in zip(fast.symbols, plain.books, strict=True):
        assert fast.resting(symbol) == book.resting()
        assert fast.sequence(symbol) == book.sequence
        bids, asks = fast.top(symbol, 3)
        assert bids.tolist() == book.levels(BUY)[:3]
        assert asks.tolist() == book.levels(SELL)[:3]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.lists(COMMANDS, max_size=30), max_size=8))
def test_any_commands_give_the_same_events_and_books(runs: list[list[Row]]) -> None:
    fast, plain = engines()
    for commands in runs:
        agree(fast, plain, commands)
    check(fast)


def stream(seed: int, count: int, ids: int = 400, reach: int = 30) -> np.ndarray:
    """Random valid commands on two symbols, crossing often."""
    random = np.random.default_rng(seed)
    commands = np.zeros(count, COMMAND)
    commands["kind"] = random.choice([LIMIT, LIMIT, LIMIT, MARKET, CANCEL, CANCEL], count)
    commands["symbol"] = random.integers(0, 2, count)
    commands["side"] = random.choice([BUY, SELL], count)
    commands["time_in_force"] = random.random(count) < 0.1
    commands["order_id"] = random.integers(1, ids, count)
    commands["owner"] = random.integers(1, 3, count)
    commands["price_ticks"] = np.array(CENTRES)[commands["symbol"]] + random.integers(-reach, reach, count)
    commands["lots"] = random.integers(1, 20, count)
    return commands


def test_a_long_stream_gives_the_same_events_and_books() -> None:
    specs = [BookSpec(f"S{at}", centre) for at, centre in enumerate(CENTRES)]
    fast, plain = MatchingEngine(specs, 128), PlainEngine(CENTRES, 128)
    commands = stream(5, 12_000)
    for at in range(0, len(commands), 500):
        agree(fast, plain, commands[at : at + 500].tolist())
    check(fast)


def test_quantities_are_conserved() -> None:
    fast = MatchingEngine([BookSpec("A", CENTRES[0]), BookSpec("B", CENTRES[1])], 1_000)
    totals = dict.fromkeys((ACCEPTED, TRADED, CANCELED), 0)
    commands = stream(9, 50_000, ids=5_000)
    for at in range(0, len(commands), 1_000):
        rows = fast.submit(commands[at : at + 1_000]).rows
        for kind in totals:
            totals[kind] += int(rows["lots"][rows["kind"] == kind].sum())
    left = sum(order[4] for symbol in fast.symbols for order in fast.resting(symbol))
    assert totals[TRADED] > 0
    # Each trade takes its lots from two orders.
    assert totals[ACCEPTED] == 2 * totals[TRADED] + totals[CANCELED] + left


def test_one_long_submission_equals_many_short_ones() -> None:
    commands = stream(2, 90_000, ids=20_000)
    specs = [BookSpec("A", CENTRES[0]), BookSpec("B", CENTRES[1])]
    whole, parts = MatchingEngine(specs, 500), MatchingEngine(specs, 500)
    together = whole.submit(commands)
    assert len(together.rows) > len(whole.events)  # so it took more than one run
    pieces = []
    for at in range(0, len(commands), 997):
        piece = parts.submit(commands[at : at + 997]).rows
        piece["command"] += at
        pieces.append(piece)
    assert np.array_equal(together.rows, np.concatenate(pieces))
    assert whole.state_hash() == parts.state_hash()
    for symbol in (0, 1):
        for side, levels in zip((BUY, SELL), whole.top(whole.symbols[symbol], 1_000), strict=True):
            mine = (together.changed["symbol"] == symbol) & (together.changed["side"] == side)
            last = dict(together.changed[mine][["price_ticks", "lots"]].tolist())
            assert {price: lots for price, lots in last.items() if lots} == dict(levels.tolist())


UNCOMPILED = """
import warnings
warnings.simplefilter("ignore")  # NumPy's scalars warn where compiled code wraps around
from numba import config
from tests.matching.test_agreement import small_run
assert config.DISABLE_JIT
print(small_run())
"""


def small_run() -> str:
    """A hash of every event and the final state of 1,500 commands."""
    fast = MatchingEngine([BookSpec("A", CENTRES[0]), BookSpec("B", CENTRES[1])], 64)
    events = fast.submit(stream(3, 1_500))
    digest = hashlib.sha256(events.rows.tobytes() + events.changed.tobytes())
    return digest.hexdigest() + fast.state_hash()


def test_the_kernel_gives_the_same_uncompiled() -> None:
    done = subprocess.run(
        [sys.executable, "-c", UNCOMPILED],
        env=os.environ | {"NUMBA_DISABLE_JIT": "1", "PYTHONPATH": os.getcwd()},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == small_run()


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(1, 40), max_size=60), st.sampled_from([1, 2**20, 2**40]))
def test_the_id_table_is_a_dict(ids: list[int], stride: int) -> None:
    table = np.zeros((64, 2), np.int64)
    held: set[int] = set()
    for number in ids:
        order_id = number * stride
        at = kernel.find(table, order_id)
        assert (table[at, 0] == order_id) == (order_id in held)
        if order_id in held:
            kernel.forget(table, order_id)
            held.remove(order_id)
        elif len(held) < 32:
            table[at, 0] = order_id
            held.add(order_id)
        assert {kept for kept in table[:, 0].tolist() if kept} == held
        assert all(table[kernel.find(table, kept), 0] == kept for kept in held)
