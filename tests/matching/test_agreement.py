"""The compiled engine and the plain one give the same events and the same state, whatever comes in."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, note, settings
from hypothesis import strategies as st

from engine.market.batches import BUY, SELL
from engine.matching import orders as o
from engine.matching.engine import MatchingEngine
from tests.matching.invariants import EVERY_LEVEL, apply, check, check_empty
from tests.matching.streams import (
    ACCOUNTS,
    BOOKS,
    FIELDS,
    FUNDS,
    FUTURE,
    ROOM,
    STREAMS,
    Row,
    as_test_case,
    cancel,
    cancel_all,
    command,
    limit,
    moving_stream,
    phase,
    random_stream,
    replace,
    rows,
    shrink,
    stop_limit,
)
from tests.reference.matching_plain import PlainEngine


class Pair:
    """Both engines, given the same commands and compared after each batch."""

    def __init__(self, room: int = ROOM) -> None:
        self.fast = MatchingEngine(BOOKS, ACCOUNTS, room)
        self.plain = PlainEngine(BOOKS, ACCOUNTS, room)
        self.levels: dict[tuple[int, int, int], int] = {}
        self.paid = 0  # in fees of the linear symbol
        self.submit(FUNDS)

    def submit(self, commands: Sequence[Row]) -> None:
        batch = rows(commands)
        fast, plain = self.fast.submit(batch), self.plain.submit(batch)
        names = o.EVENT.names or ()
        for got, wanted in zip(fast.rows.tolist(), plain.rows.tolist(), strict=False):
            assert got == wanted, {n: (a, b) for n, a, b in zip(names, got, wanted, strict=True) if a != b}
        assert len(fast.rows) == len(plain.rows)
        last = {tuple(row[:3]): row[3] for row in fast.changed.tolist()}
        assert len(last) == len(fast.changed)
        assert last == {tuple(row[:3]): row[3] for row in plain.changed.tolist()}
        assert self.fast.picture() == self.plain.picture()
        assert self.fast.state_hash() == self.plain.state_hash()
        apply(self.levels, fast.changed)
        linear = fast.rows[fast.rows["symbol"] == FUTURE]
        self.paid += int(linear["fee"].sum() + linear["maker_fee"].sum())

    def check(self) -> None:
        """The invariants, of the compiled engine."""
        check(self.fast, BOOKS)
        for at, symbol in enumerate(self.fast.symbols):
            for side, top in zip((BUY, SELL), self.fast.top(symbol, EVERY_LEVEL), strict=True):
                mine = {key[2]: lots for key, lots in self.levels.items() if key[:2] == (at, side)}
                assert mine == dict(top.tolist())
        cash = [row[4] for key, row in self.fast.picture()["accounts"].items() if key[1] == FUTURE]
        assert sum(cash) == -self.paid

    def end(self) -> None:
        """Cancel everything: nothing is held any more."""
        symbols, accounts = range(len(BOOKS)), range(ACCOUNTS)
        self.submit([cancel_all(account, symbol=symbol) for symbol in symbols for account in accounts])
        self.check()
        check_empty(self.fast)


def agree(commands: Sequence[Row], batch: int = 7, room: int = ROOM) -> None:
    """Run a stream through both engines, some commands at a time."""
    pair = Pair(room)
    for at in range(0, len(commands), batch):
        pair.submit(commands[at : at + batch])
        pair.check()
    pair.end()


def agree_or_tell(commands: list[Row], batch: int, room: int = ROOM) -> None:
    """As `agree`; a stream that fails is shortened and printed as a test."""

    def fails(part: list[Row]) -> bool:
        try:
            agree(part, batch, room)
        except AssertionError:
            return True
        return False

    try:
        agree(commands, batch, room)
    except AssertionError:
        shortest = shrink(commands, fails)
        print(as_test_case(shortest))
        agree(shortest, batch, room)
        raise


@settings(max_examples=300, deadline=None)
@given(STREAMS, st.integers(1, 20))
def test_any_commands_give_the_same_events_and_state(commands: list[Row], batch: int) -> None:
    note(as_test_case(commands))
    agree(commands, batch)


@pytest.mark.nightly
@pytest.mark.timeout(3_600)
@settings(max_examples=20_000, deadline=None)
@given(STREAMS, st.integers(1, 20))
def test_many_streams_give_the_same_events_and_state(commands: list[Row], batch: int) -> None:
    note(as_test_case(commands))
    agree(commands, batch)


@pytest.mark.parametrize("seed", range(4))
def test_long_streams_give_the_same_events_and_state(seed: int) -> None:
    agree_or_tell(random_stream(seed, 5_000), 50)


@pytest.mark.parametrize("seed", range(4))
def test_deep_books_of_moving_markets_agree(seed: int) -> None:
    agree_or_tell(moving_stream(seed, 5_000), 50, 150)


@pytest.mark.nightly
@pytest.mark.timeout(3_600)
@pytest.mark.parametrize("seed", range(100, 200))
def test_very_long_streams_give_the_same_events_and_state(seed: int) -> None:
    agree_or_tell(random_stream(seed, 20_000), 100)
    agree_or_tell(moving_stream(seed, 20_000), 100, 150)


def test_one_long_submission_equals_many_short_ones() -> None:
    # More events than one run has room for.
    commands = rows(FUNDS + random_stream(2, 150_000))
    whole, parts = (MatchingEngine(BOOKS, ACCOUNTS, ROOM) for _ in range(2))
    together = whole.submit(commands)
    pieces = [parts.submit(commands[at : at + 997]) for at in range(0, len(commands), 997)]
    assert np.array_equal(together.rows, np.concatenate([piece.rows for piece in pieces]))
    assert whole.picture() == parts.picture()
    levels: list[dict[tuple[int, int, int], int]] = [{}, {}]
    apply(levels[0], together.changed)
    for piece in pieces:
        apply(levels[1], piece.changed)
    assert levels[0] == levels[1]


def test_quantities_are_conserved() -> None:
    """What was ordered has traded, was canceled, taken off, prevented or replaced, or is open."""
    commands = FUNDS + [row for row in random_stream(9, 20_000) if row[0] != o.REPLACE]
    engine = MatchingEngine(BOOKS, ACCOUNTS, ROOM)
    events = engine.submit(rows(commands)).rows
    lots = {kind: int(events["lots"][events["kind"] == kind].astype(object).sum()) for kind in range(1, 16)}
    *_, resting, waiting = zip(*engine.picture()["symbols"], strict=True)
    left = sum(row[5] for book in (*resting, *waiting) for row in book)
    assert lots[o.TRADED] > 0 < lots[o.PREVENTED]
    # Each trade takes its lots from two orders; an order that waited was ordered when it was armed.
    spent = 2 * lots[o.TRADED] + 2 * lots[o.PREVENTED] + lots[o.CANCELED] + lots[o.AMENDED]
    assert lots[o.ACCEPTED] + lots[o.ARMED] == spent + left


UNCOMPILED = """
import warnings
warnings.simplefilter("ignore")  # NumPy's scalars warn where compiled code wraps around
from numba import config
from tests.matching.test_agreement import small_run
assert config.DISABLE_JIT
print(small_run())
"""


def small_run() -> str:
    """A hash of every event and the final state of some commands."""
    engine = MatchingEngine(BOOKS, ACCOUNTS, ROOM)
    events = engine.submit(rows(FUNDS + random_stream(3, 1_500)))
    digest = hashlib.sha256(events.rows.tobytes() + events.changed.tobytes())
    return digest.hexdigest() + engine.state_hash()


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


def test_a_stream_prints_as_a_test_that_runs_it() -> None:
    commands = random_stream(4, 50)
    ran: list[Any] = []
    scope = {"agree": ran.extend, "command": command, "o": o, "BUY": BUY, "SELL": SELL}
    exec(as_test_case(commands), scope)
    scope["test_found_once"]()  # type: ignore[operator]
    assert ran == commands
    assert all(len(row) == len(FIELDS) for row in ran)


# Found once.


def test_partners_that_trade_with_each_other_in_an_auction() -> None:
    for buy_lots, sell_lots in ((5, 3), (3, 5), (3, 3)):
        book = [limit(1, BUY, 101, buy_lots), limit(2, SELL, 99, sell_lots, link=1), limit(3, BUY, 100, 2)]
        agree([phase(o.AUCTION), *book, phase(o.CONTINUOUS)])


def test_partners_that_end_in_an_auction_leave_no_crossed_book() -> None:
    book = [limit(1, BUY, 105, 10), limit(2, BUY, 105, 10, link=1), limit(3, BUY, 100, 10)]
    agree([phase(o.AUCTION), *book, limit(4, SELL, 99, 20), phase(o.CONTINUOUS)])


def test_a_fill_or_kill_order_does_not_count_on_an_order_whose_partner_trades_first() -> None:
    for price in (100, 101, 2**19):
        book = [limit(1, SELL, 100, 3), limit(2, SELL, price, 3, link=1), limit(3, SELL, price, 1, account=1)]
        agree([*book, limit(4, BUY, 2**20, 5, tif=o.FOK, account=2)])


def test_a_replaced_order_has_nothing_of_an_order_that_was_in_its_place() -> None:
    gone = [stop_limit(1, BUY, 110, 111, 5, tif=o.IOC), cancel(1)]
    agree([*gone, limit(2, BUY, 100, 5), replace(2, 101, 5, new_id=3)], 1)


def test_a_rejected_command_of_a_bad_account_names_no_other() -> None:
    agree([limit(1, BUY, 100, 5, account=-1), limit(1, BUY, 100, 5, account=-(2**31), symbol=-1)])


def test_a_partner_may_end_between_two_parts() -> None:
    pair = [limit(1, BUY, 103, 3), limit(2, SELL, 95, 9, display=2, link=1)]
    agree([pair[0], phase(o.AUCTION), pair[1], phase(o.CONTINUOUS)])
