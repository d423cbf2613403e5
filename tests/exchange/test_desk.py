"""The order desk: what it keeps of orders, compared with a desk that reads all events again and again."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.exchange.desk import FIRST_CLIENT, MAX_WAITING, Desk
from engine.exchange.trading import ON_COMMAND, TOO_MANY_WAITING, Order, Outcome
from engine.market.batches import BUY, SELL
from engine.matching.engine import BookSpec, MatchingEngine
from engine.matching.orders import (
    BAD_LOTS,
    CANCEL,
    CANCEL_ALL,
    COMMAND,
    CONFIGURE,
    DECREMENT,
    DEPOSIT,
    DUPLICATE_ID,
    EXPIRE_BOTH,
    EXPIRE_MAKER,
    EXPIRE_TAKER,
    FOK,
    GTC,
    IOC,
    LIMIT,
    MAKER_PPM,
    MARKET,
    NONE,
    POST_ONLY,
    SPOT,
    STOP,
    STOP_LIMIT,
    TAKER_PPM,
    TOO_MANY_ORDERS,
    UNKNOWN_ID,
)
from tests.exchange.desk_rig import EngineMatcher, Listening
from tests.reference.desk_plain import PlainDesk

ACCOUNTS = (FIRST_CLIENT, FIRST_CLIENT + 1, FIRST_CLIENT + 2)
CROWD = 1
MAX_OPEN = 4
BOOKS = (
    BookSpec("A-Q", "A", "Q", SPOT, lot_atoms=100, notional_atoms=10),
    BookSpec("B-Q", "B", "Q", SPOT, lot_atoms=100, notional_atoms=10),
)


def engine() -> MatchingEngine:
    made = MatchingEngine(BOOKS, accounts=32, orders_per_symbol=256)
    rows = np.zeros(8 + 3 * 4, COMMAND)
    at = 0
    for symbol in (0, 1):
        for parameter in (MAKER_PPM, TAKER_PPM):
            rows[at]["kind"], rows[at]["symbol"], rows[at]["parameter"], rows[at]["lots"] = (
                *(CONFIGURE, symbol, parameter),
                1_000,
            )
            at += 1
    for account in (CROWD, *ACCOUNTS):
        for asset in range(3):
            rows[at]["kind"], rows[at]["symbol"], rows[at]["account"], rows[at]["lots"] = (
                *(DEPOSIT, asset, account),
                30_000,
            )
            at += 1
    made.submit(rows[:at])
    return made


def row(**fields: int) -> Any:
    rows = np.zeros(1, COMMAND)
    for name, value in fields.items():
        rows[name] = value
    return rows


orders = st.builds(
    lambda **fields: ("place", fields),
    account=st.sampled_from(ACCOUNTS),
    symbol=st.integers(0, 1),
    side=st.sampled_from((BUY, SELL)),
    kind=st.sampled_from((LIMIT, LIMIT, LIMIT, MARKET, STOP, STOP_LIMIT)),
    lots=st.integers(1, 12),
    price_ticks=st.integers(95, 105),
    time_in_force=st.sampled_from((GTC, GTC, IOC, FOK)),
    post_only=st.booleans(),
    trigger_ticks=st.integers(95, 105),
    self_trade=st.sampled_from((NONE, EXPIRE_TAKER, EXPIRE_MAKER, EXPIRE_BOTH, DECREMENT)),
    client_id=st.sampled_from(("", "", "x", "y")),
)
changes = st.tuples(
    st.sampled_from(("cancel", "amend", "reduce", "total", "total", "cancel_all")),
    st.tuples(st.sampled_from(ACCOUNTS), st.integers(0, 30), st.integers(95, 105), st.integers(1, 12)),
)
crowd = st.tuples(
    st.just("crowd"),
    st.tuples(st.integers(0, 1), st.sampled_from((BUY, SELL)), st.integers(95, 105), st.integers(1, 20)),
)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.one_of(orders, changes, crowd), max_size=40))
def test_orders_are_what_all_their_events_say(commands: list[Any]) -> None:
    """One command at a time, each order compared with one read from all events."""
    pair = Pair(MAX_OPEN)
    for command in commands:
        pair.batch([command])
        pair.compare()


@settings(max_examples=150, deadline=None)
@given(st.lists(st.lists(st.one_of(orders, changes), max_size=10) | crowd, max_size=8))
def test_a_batch_does_what_its_commands_do_one_by_one(batches: list[Any]) -> None:
    """The desk's own refusals look at what is open when a command comes, so here it has no reason for any."""
    pair = Pair(10_000)
    for batch in batches:
        pair.batch([batch] if isinstance(batch, tuple) else batch, client_ids=False)
        pair.compare()


class Pair:
    """The desk and its slow twin, each with an engine of its own, given the same."""

    def __init__(self, max_open: int) -> None:
        self.engine, self.slow = engine(), PlainDesk(engine(), max_open)
        self.desk = Desk(EngineMatcher(self.engine), BOOKS, lambda: None, first_id=1_000, max_open=max_open)
        self.placed: list[Order] = []
        self._crowd_id = 0

    def batch(self, commands: list[Any], *, client_ids: bool = True) -> None:
        """Give the desk all of it at once, the twin one after the other; their answers are the same."""
        answers: dict[int, int] = {}
        steps: list[Any] = []
        for at, (name, fields) in enumerate(commands):

            def answer(outcome: Outcome, at: int = at) -> None:
                answers[at] = outcome.reason

            if name == "crowd":
                self._crowd(*fields)
                steps.append(lambda: 0)
            elif name == "place":
                steps.append(self._place(fields if client_ids else fields | {"client_id": ""}, answer))
            else:
                steps.append(self._change(name, *fields, answer))
        self.desk.drain(0)
        expected = {at: step() for at, step in enumerate(steps) if commands[at][0] != "crowd"}
        assert answers == expected

    def compare(self) -> None:
        """Every order, and both engines."""
        slow = self.slow
        for order in self.placed:
            if order.order_id not in slow.asked:
                assert order.status == "rejected"
                continue
            state = slow.state(order.order_id)
            assert (order.status, order.lots, order.open_lots) == (state.status, state.lots, state.open_lots)
            assert (order.filled_lots, order.filled_notional) == (state.filled_lots, state.filled_notional)
            assert (order.price_ticks, order.reason) == (state.price_ticks, state.reason)
        for account in ACCOUNTS:
            opened = self.desk.open_orders(account)
            wanted = [i for i, each in slow.asked.items() if each.account == account and slow.is_open(i)]
            assert [each.order_id for each in opened] == wanted
            both = [*opened, *self.desk.ended_orders(account)]
            assert sum(each.lots for each in self.desk.fills(account)) == sum(
                each.filled_lots for each in both
            )
        assert self.engine.state_hash() == slow.engine.state_hash()

    def _crowd(self, symbol: int, side: int, price: int, lots: int) -> None:
        self._crowd_id += 1
        command = row(
            kind=LIMIT,
            account=CROWD,
            symbol=symbol,
            side=side,
            price_ticks=price,
            lots=lots,
            order_id=self._crowd_id,
        )
        self.slow.submit(command)
        self.engine.submit(command)
        self.desk.tell(self.desk.on_events(self.engine.event_words(), 0))

    def _place(self, fields: dict[str, Any], answer: Any) -> Any:
        order = Order(**fields)
        if order.kind in (MARKET, STOP):
            order.price_ticks = 0
            order.time_in_force = IOC if order.time_in_force == FOK else order.time_in_force
        if order.kind != LIMIT or order.time_in_force != GTC:
            order.post_only = False
        if order.kind not in (STOP, STOP_LIMIT):
            order.trigger_ticks = 0
        self.desk.place(order, answer)
        self.placed.append(order)
        asked = Order(**{name: getattr(order, name) for name in (*fields, "order_id")})
        command = row(
            kind=order.kind,
            side=order.side,
            time_in_force=order.time_in_force,
            self_trade=order.self_trade,
            flags=POST_ONLY if order.post_only else 0,
            symbol=order.symbol,
            account=order.account,
            order_id=order.order_id,
            price_ticks=order.price_ticks,
            lots=order.lots,
            trigger_ticks=order.trigger_ticks,
        )
        return lambda: self.slow.place(asked, command)

    def _change(self, name: str, account: int, which: int, price: int, lots: int, answer: Any) -> Any:
        if name == "cancel_all":
            self.desk.cancel_all(account, which % 2, answer)
            command = row(kind=CANCEL_ALL, symbol=which % 2, account=account)
            return lambda: len(self.slow.submit(command)) * 0
        order_id = 5
        if self.placed:
            wanted = self.placed[which % len(self.placed)]
            order_id = wanted.order_id
            account = wanted.account if name in ("reduce", "total") else account
        known = self.desk.order(account, order_id) or next(
            (each for each in self.placed if each.order_id == order_id and each.account == account), None
        )
        symbol = known.symbol if known is not None else 0
        if name == "reduce" and known is not None:
            price, lots = known.price_ticks, max(1, known.open_lots - 1)
        sent = known is not None and known in self.desk.open_orders(account)
        if name == "cancel":
            self.desk.cancel(account, order_id, answer)
            command = row(kind=CANCEL, symbol=symbol, account=account, order_id=order_id)
            return lambda: self.slow.change(account, order_id, command, sent)
        total = name == "total"
        self.desk.amend(account, order_id, price, lots, answer, total=total)

        def step() -> int:
            if not sent:
                return self.slow.change(account, order_id, row(), sent)
            return self.slow.amend(account, order_id, symbol, price, lots, total)

        return step


def _desk(wakes: list[int] | None = None) -> Desk:
    woken = [] if wakes is None else wakes
    return Desk(EngineMatcher(engine()), BOOKS, lambda: woken.append(1), first_id=1_000, max_open=MAX_OPEN)


def _limit(
    price: int = 100, lots: int = 5, side: int = BUY, account: int = ACCOUNTS[0], client_id: str = ""
) -> Order:
    return Order(account, 0, side, LIMIT, lots, price, client_id=client_id)


def test_the_first_command_of_a_batch_wakes_whoever_drains() -> None:
    wakes: list[int] = []
    desk = _desk(wakes)
    desk.place(_limit())
    desk.place(_limit())
    desk.cancel(ACCOUNTS[0], 77)
    assert wakes == [1]
    desk.drain(5)
    desk.cancel(ACCOUNTS[0], 77)
    assert wakes == [1, 1]


def test_answers_say_the_order_as_it_was_after_its_own_command() -> None:
    desk, outcomes = _desk(), []
    order = _limit()
    desk.place(order, outcomes.append)
    desk.cancel(order.account, order.order_id, outcomes.append)
    desk.drain(9)
    assert [(each.reason, each.status, each.open_lots) for each in outcomes] == [
        (0, "new", 5),
        (0, "canceled", 0),
    ]
    assert order.status == "canceled"
    assert order.created_ns == order.updated_ns == 9


def test_fills_name_both_sides_with_their_fees_in_what_they_receive() -> None:
    desk, outcomes = _desk(), []
    maker = _limit(100, 5, SELL, ACCOUNTS[1])
    desk.place(maker)
    desk.drain(1)
    desk.place(_limit(101, 8), outcomes.append)
    desk.drain(2)
    (taken,) = outcomes[0].fills
    (made,) = desk.fills(ACCOUNTS[1])
    assert (taken.price_ticks, taken.lots, taken.fee_asset, taken.maker) == (100, 5, "A", False)
    assert (made.price_ticks, made.lots, made.fee_asset, made.maker) == (100, 5, "Q", True)
    assert taken.trade_id == made.trade_id == 1
    assert (outcomes[0].status, outcomes[0].open_lots) == ("partially_filled", 3)
    assert maker.status == "filled"


def test_an_order_knows_what_it_paid_however_few_fills_are_kept() -> None:
    desk = _desk()
    seller = [_limit(100, 2, SELL, ACCOUNTS[1]) for _ in range(3)]
    for each in seller:
        desk.place(each)
    taker = _limit(100, 5)
    desk.place(taker)
    desk.drain(1)
    for account, orders in ((taker.account, [taker]), (ACCOUNTS[1], seller)):
        fills = desk.fills(account)
        for order in orders:
            assert order.fee_atoms == sum(each.fee_atoms for each in fills if each.order_id == order.order_id)
    assert sum(each.fee_atoms for each in seller) > 0


def test_a_duplicate_client_id_and_too_many_orders_are_refused_before_the_engine() -> None:
    desk, reasons = _desk(), []
    before = desk.engine.commands_taken
    for client_id in ("x", "x", "", "", "", ""):
        desk.place(_limit(90, 1, client_id=client_id), lambda outcome: reasons.append(outcome.reason))
    desk.drain(1)
    assert sorted(reasons) == sorted([0, 0, 0, 0, DUPLICATE_ID, TOO_MANY_ORDERS])
    assert desk.engine.commands_taken == before + 4


def test_a_client_id_is_free_again_once_its_order_has_ended() -> None:
    desk, outcomes = _desk(), []
    first = _limit(client_id="x")
    desk.place(first)
    desk.drain(1)
    desk.cancel(first.account, first.order_id)
    desk.drain(2)
    desk.place(_limit(client_id="x"), outcomes.append)
    desk.drain(3)
    assert outcomes[0].reason == 0
    assert desk.by_client_id(first.account, "x") is outcomes[0].order


def test_nobody_cancels_anothers_order() -> None:
    desk, outcomes = _desk(), []
    order = _limit()
    desk.place(order)
    desk.drain(1)
    before = desk.engine.state_hash()
    desk.cancel(ACCOUNTS[1], order.order_id, outcomes.append)
    desk.amend(ACCOUNTS[1], order.order_id, 99, 1, outcomes.append)
    desk.drain(2)
    assert [each.reason for each in outcomes] == [UNKNOWN_ID, UNKNOWN_ID]
    assert desk.order(ACCOUNTS[1], order.order_id) is None
    assert desk.engine.state_hash() == before


def test_a_fault_rejects_an_order_without_a_trace() -> None:
    desk, outcomes = _desk(), []
    before = desk.engine.state_hash()
    desk.reject = lambda order: order.lots == 7
    desk.place(_limit(lots=7, client_id="x"), outcomes.append)
    desk.place(_limit(lots=6, client_id="x"), outcomes.append)
    desk.drain(1)
    assert sorted(each.reason for each in outcomes) == [0, ON_COMMAND]
    desk.cancel_all(ACCOUNTS[0], 0)
    desk.drain(2)
    assert desk.engine.state_hash() != before  # the update number of the one that was taken
    assert desk.order(ACCOUNTS[0], 1_000) is None


def test_more_than_one_drain_can_hold_is_refused_and_the_rest_is_done() -> None:
    desk, reasons = _desk(), []
    for _ in range(MAX_WAITING + 3):
        desk.cancel_all(ACCOUNTS[0], 0, lambda outcome: reasons.append(outcome.reason))
    desk.drain(1)
    assert reasons.count(TOO_MANY_WAITING) == 3
    assert reasons.count(0) == MAX_WAITING


def test_listeners_hear_of_their_account_alone_and_of_the_crowds_trades() -> None:
    desk = _desk()
    mine, others = Listening(), Listening()
    desk.listen(ACCOUNTS[0], mine)
    desk.listen(ACCOUNTS[1], others)
    desk.place(_limit(100, 5))
    desk.drain(1)
    taker = desk.engine
    taker.submit(row(kind=MARKET, account=CROWD, symbol=0, side=SELL, lots=2, order_id=1))
    desk.tell(desk.on_events(taker.event_words(), 7))
    assert [(each.kind, each.status, each.open_lots) for each in mine.reports] == [
        ("new", "new", 5),
        ("trade", "partially_filled", 3),
    ]
    assert mine.reports[1].ts_ns == 7
    assert not others.reports
    desk.unlisten(ACCOUNTS[0], mine)
    desk.place(_limit(99, 1))
    desk.drain(8)
    assert len(mine.reports) == 2


def test_a_market_orders_money_becomes_whole_lots_by_the_book() -> None:
    desk = _desk()
    for price, lots in ((100, 5), (102, 5)):
        desk.place(_limit(price, lots, SELL, ACCOUNTS[1]))
    desk.drain(1)
    worth = BOOKS[0].notional_atoms
    assert desk.lots_for(0, BUY, 100 * 5 * worth) == 5
    assert desk.lots_for(0, BUY, (100 * 5 + 102 * 2) * worth + 1) == 7
    assert desk.lots_for(0, BUY, 99 * worth) == 0
    assert desk.lots_for(0, SELL, 10**12) == 0


@pytest.mark.parametrize("ended", [3, 1_200])
def test_ended_orders_are_kept_to_a_number(ended: int) -> None:
    desk = _desk()
    for at in range(ended):
        order = _limit(client_id=f"c{at}")
        order.time_in_force = IOC
        desk.place(order)
        desk.drain(1)
    kept = desk.ended_orders(ACCOUNTS[0])
    assert len(kept) == min(ended, 1_000)
    assert kept[-1].client_id == f"c{ended - 1}"
    assert desk.order(ACCOUNTS[0], kept[0].order_id) is kept[0]
    if ended > 1_000:
        assert desk.order(ACCOUNTS[0], 1_000) is None
        assert desk.by_client_id(ACCOUNTS[0], "c0") is None


def test_a_reduced_order_counts_what_was_filled_before() -> None:
    desk, outcomes = _desk(), []
    order = _limit(100, 8)
    desk.place(order)
    desk.drain(1)
    desk.place(_limit(100, 3, SELL, ACCOUNTS[1]))
    desk.drain(2)
    desk.amend(order.account, order.order_id, 100, 2, outcomes.append)
    desk.drain(3)
    assert (order.lots, order.open_lots, order.filled_lots) == (5, 2, 3)
    assert (outcomes[0].status, outcomes[0].open_lots) == ("partially_filled", 2)


def test_an_amended_total_is_never_passed_whatever_the_batch_filled_before() -> None:
    desk, outcomes = _desk(), []
    order = _limit(100, 10)
    desk.place(order)
    desk.drain(1)
    desk.place(_limit(100, 3, SELL, ACCOUNTS[1]))
    desk.amend(order.account, order.order_id, 0, 6, outcomes.append, total=True)
    desk.place(_limit(100, 9, SELL, ACCOUNTS[1]))
    desk.drain(2)
    assert (outcomes[0].reason, outcomes[0].open_lots) == (0, 3)
    assert (order.status, order.lots, order.filled_lots) == ("filled", 6, 6)


def test_an_amended_total_that_is_filled_already_is_refused() -> None:
    desk, outcomes = _desk(), []
    order = _limit(100, 10)
    desk.place(order)
    desk.drain(1)
    desk.place(_limit(100, 6, SELL, ACCOUNTS[1]))
    desk.amend(order.account, order.order_id, 0, 5, outcomes.append, total=True)
    desk.drain(2)
    assert outcomes[0].reason == BAD_LOTS
    assert (order.lots, order.open_lots) == (10, 4)


def test_a_refused_reuse_of_a_client_id_leaves_the_older_order_found_by_it() -> None:
    desk = _desk()
    first = _limit(client_id="x")
    desk.place(first)
    desk.drain(1)
    desk.cancel(first.account, first.order_id)
    desk.drain(2)
    desk.place(_limit(lots=1 << 39, client_id="x"))
    desk.drain(3)
    assert desk.by_client_id(first.account, "x") is first


def test_who_cannot_be_told_does_not_keep_others_from_it() -> None:
    desk, outcomes, failed = _desk(), [], []
    desk.failed = failed.append

    def broken(_: Outcome) -> None:
        raise ValueError

    class Deaf:
        def on_reports(self, reports: object) -> None:
            raise KeyError

        def on_transfer(self, asset: str, atoms: int, ts_ns: int) -> None:
            raise AssertionError

    heard = Listening()
    desk.listen(ACCOUNTS[0], Deaf())
    desk.listen(ACCOUNTS[0], heard)
    desk.place(_limit(), broken)
    desk.place(_limit(), outcomes.append)
    desk.drain(1)
    assert [type(each) for each in failed] == [ValueError, KeyError]
    assert len(outcomes) == 1
    assert len(heard.reports) == 2
