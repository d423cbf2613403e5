"""One order at a time: the same events as rows give, and a rejection for everything that is no command."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from decimal import Decimal
from enum import IntEnum
from typing import Any

import numpy as np
import pytest

from engine.market.batches import BUY, SELL, Rows
from engine.matching import layout
from engine.matching import orders as o
from engine.matching.engine import MatchingEngine
from engine.matching.entry import OrderEntry
from tests.matching.invariants import check
from tests.matching.streams import (
    ACCOUNTS,
    BOOKS,
    FIELDS,
    FUNDS,
    FUTURE,
    ROOM,
    SHORT,
    Row,
    limit,
    moving_stream,
    random_stream,
    rows,
    stop,
)

METHODS = {  # and the field of COMMAND that each parameter is, where the names differ
    "limit": (o.LIMIT, {"post_only": "flags"}),
    "market": (o.MARKET, {}),
    "stop": (o.STOP, {}),
    "stop_limit": (o.STOP_LIMIT, {}),
    "take_profit": (o.TAKE_PROFIT, {}),
    "take_profit_limit": (o.TAKE_PROFIT_LIMIT, {}),
    "trailing_stop": (o.TRAILING_STOP, {"distance_ticks": "trigger_ticks"}),
    "cancel": (o.CANCEL, {}),
    "cancel_all": (o.CANCEL_ALL, {}),
    "replace": (o.REPLACE, {"new_id": "link_id"}),
    "amend": (o.AMEND, {}),
    "phase": (o.PHASE, {"phase": "parameter"}),
    "configure": (o.CONFIGURE, {"value": "lots"}),
    "deposit": (o.DEPOSIT, {"asset": "symbol", "atoms": "lots"}),
    "withdraw": (o.WITHDRAW, {"asset": "symbol", "atoms": "lots"}),
    "time": (o.TIME, {}),
}
KINDS = {kind: name for name, (kind, _) in METHODS.items()}
REASONS = {
    "symbol": o.UNKNOWN_SYMBOL,
    "asset": o.UNKNOWN_ASSET,
    "account": o.UNKNOWN_ACCOUNT,
    "order_id": o.BAD_ID,
    "new_id": o.BAD_ID,
    "side": o.BAD_SIDE,
    "time_in_force": o.BAD_TIME_IN_FORCE,
    "self_trade": o.BAD_SELF_TRADE,
    "post_only": o.BAD_FLAGS,
    "lots": o.BAD_LOTS,
    "atoms": o.BAD_LOTS,
    "price_ticks": o.BAD_PRICE,
    "display_lots": o.BAD_DISPLAY,
    "trigger_ticks": o.BAD_TRIGGER,
    "distance_ticks": o.BAD_TRIGGER,
    "expire_ns": o.BAD_EXPIRY,
    "link_id": o.BAD_LINK,
    "parameter": o.BAD_PARAMETER,
    "phase": o.BAD_VALUE,
    "value": o.BAD_VALUE,
    "ts_ns": o.BAD_VALUE,
}
GOOD: dict[str, Any] = dict.fromkeys(REASONS, 1) | {
    "symbol": "PLAIN",
    "asset": "USD",
    "price_ticks": 100,
    "post_only": False,
}
BAD = [
    1.5,
    1.0,
    float("nan"),
    float("inf"),
    None,
    "1",
    b"PLAIN",
    Decimal(1),
    2**70,
    -(2**70),
    10**400,
    [],
    (),
    object(),
]
BAD += [np.float64(1), np.array([1, 2]), np.datetime64("now"), 1j, 2**63]


def parameters(method: Any) -> list[str]:
    return list(inspect.signature(method).parameters)


def as_call(engine: MatchingEngine, row: Row) -> tuple[str, dict[str, Any], Row] | None:
    """Method and parameters that give a command, without the fields they leave out; None if its names are unknown."""
    given = dict(zip(FIELDS, row, strict=True))
    kind = given["kind"]
    names = engine.assets if kind in (o.DEPOSIT, o.WITHDRAW) else engine.symbols
    if kind not in KINDS or not 0 <= given["symbol"] < len(names):
        return None
    fields = {
        each: METHODS[KINDS[kind]][1].get(each, each)
        for each in parameters(getattr(OrderEntry, KINDS[kind]))[1:]
    }
    values: dict[str, Any] = {each: given[field] for each, field in fields.items()}
    left = {field: given[field] for field in ("kind", *fields.values())}
    for each in {"symbol", "asset"}.intersection(values):
        values[each] = names[values[each]]
    return KINDS[kind], values, tuple(left.get(field, 0) for field in FIELDS)


def last(changed: Rows) -> dict[tuple[int, ...], int]:
    """What each level displays at last."""
    return {tuple(level[:3]): level[3] for level in changed.tolist()}


@pytest.mark.parametrize(("stream", "room"), [(random_stream, ROOM), (moving_stream, 150)])
def test_calls_do_what_rows_do(stream: Callable[[int, int], list[Row]], room: int) -> None:
    one, other = (MatchingEngine(BOOKS, ACCOUNTS, room) for _ in range(2))
    entry = OrderEntry(one)
    calls = [found for row in FUNDS + stream(21, 6_000) if (found := as_call(one, row)) is not None]
    kept: list[tuple[Rows, Rows]] = []
    for name, values, row in calls:
        got, wanted = getattr(entry, name)(**values), other.submit(rows([row]))
        assert got.tolist() == wanted.rows.tolist()
        assert last(entry.changed_rows()) == last(wanted.changed)
        kept.append((got, wanted.rows))
    assert len(calls) > 5_000
    assert one.picture() == other.picture()
    assert one.commands_taken == other.commands_taken
    check(one, BOOKS)
    assert all(np.array_equal(got, wanted) for got, wanted in kept)  # later calls have not changed them


def test_every_command_has_a_method_and_every_parameter_a_reason() -> None:
    public = {
        name for name, _ in inspect.getmembers(OrderEntry, inspect.isfunction) if not name.startswith("_")
    }
    assert public == set(METHODS) | {"changed_rows"}
    assert sorted(kind for kind, _ in METHODS.values()) == list(range(o.LIMIT, o.TIME + 1))
    used = {name for method in METHODS for name in parameters(getattr(OrderEntry, method))} - {"self"}
    assert used == set(REASONS)
    assert set(SHORT.values()) <= set(FIELDS)


@pytest.mark.parametrize("method", METHODS)
def test_what_is_no_whole_number_of_its_size_is_rejected_and_changes_nothing(method: str) -> None:
    engine = MatchingEngine(BOOKS, ACCOUNTS, ROOM)
    engine.submit(rows(FUNDS + random_stream(3, 300)))
    entry = OrderEntry(engine)
    before, taken = engine.snapshot(), engine.commands_taken
    names = parameters(getattr(entry, method))
    for name in names:
        for bad in BAD:
            (event,) = getattr(entry, method)(**{other: GOOD[other] for other in names} | {name: bad})
            assert (event["kind"], event["reason"]) == (o.REJECTED, REASONS[name]), (name, bad)
            assert event["sequence"] == taken
            field = METHODS[method][1].get(name, name)
            if field in (o.EVENT.names or ()):
                assert event[field] == (-1 if field == "symbol" else 0)
    assert engine.snapshot() == before


def test_a_rejection_echoes_what_is_known() -> None:
    entry = OrderEntry(MatchingEngine(BOOKS, ACCOUNTS, ROOM))
    not_known: Any = 100.5
    (event,) = entry.limit("COIN", SELL, not_known, 7, order_id=3, account=2)
    wanted = {
        "kind": o.REJECTED,
        "side": SELL,
        "reason": o.BAD_PRICE,
        "symbol": 1,
        "order_id": 3,
        "account": 2,
        "lots": 7,
    }
    assert (
        dict(zip(event.dtype.names, event.tolist(), strict=True))
        == dict.fromkeys(event.dtype.names, 0) | wanted
    )


def test_what_is_wrong_otherwise_the_engine_finds() -> None:
    entry = OrderEntry(MatchingEngine(BOOKS, ACCOUNTS, ROOM))
    found = [
        entry.limit("PLAIN", BUY, 0, 1, order_id=1),
        entry.limit("PLAIN", BUY, 2**41, 1, order_id=1),
        entry.limit("PLAIN", BUY, 100, -1, order_id=1),
        entry.limit("PLAIN", 0, 100, 1, order_id=1),
        entry.limit("PLAIN", BUY, 100, 1, order_id=1, account=ACCOUNTS),
        entry.limit("PLAIN", BUY, 100, 1, order_id=1, post_only=2),  # type: ignore[arg-type]
        entry.cancel("PLAIN", 9),
    ]
    wanted = [o.BAD_PRICE, o.BAD_PRICE, o.BAD_LOTS, o.BAD_SIDE, o.UNKNOWN_ACCOUNT, o.BAD_FLAGS, o.UNKNOWN_ID]
    assert [int(events["reason"][0]) for events in found] == wanted
    assert [int(events["sequence"][0]) for events in found] == list(range(7))


def test_any_whole_number_will_do() -> None:
    class Side(IntEnum):
        SELL = -1

    entry = OrderEntry(MatchingEngine(BOOKS, ACCOUNTS, ROOM))
    (event,) = entry.limit("PLAIN", Side.SELL, np.int64(100), np.uint8(5), order_id=True, post_only=True)
    assert (event["kind"], event["side"], event["price_ticks"], event["lots"]) == (o.ACCEPTED, SELL, 100, 5)


def test_commands_may_have_no_event() -> None:
    entry = OrderEntry(MatchingEngine(BOOKS, ACCOUNTS, ROOM))
    assert entry.time(5).tolist() == []
    assert entry.engine.now_ns == 5


def test_a_command_may_take_several_runs() -> None:
    one, other = (MatchingEngine(BOOKS, ACCOUNTS, 50) for _ in range(2))
    entry = OrderEntry(one)
    dated = [limit(100 + at, SELL, 40 + at, 1, symbol=FUTURE, tif=o.GTD, expire=9) for at in range(40)]
    asks = [limit(200 + at, SELL, 50 + at, 1) for at in range(9)]
    chain = [stop(300 + at, BUY, 50 + at // 3, 1) for at in range(24)]  # some set the next ones off
    for engine in (one, other):
        engine.submit(rows(dated + asks + chain))
    one.memory[layout.H_ROOM] = 120  # as if there were little room for events
    runs = one.memory[layout.T_RUN]
    got = entry.limit("PLAIN", BUY, 50, 1, order_id=900, ts_ns=9)
    assert one.memory[layout.T_RUN] > runs + 1
    wanted = other.submit(rows([limit(900, BUY, 50, 1, ts=9)]))
    assert got.tolist() == wanted.rows.tolist()
    assert last(entry.changed_rows()) == last(wanted.changed)
    entry.cancel("PLAIN", 1)
    assert entry.changed_rows().tolist() == []
