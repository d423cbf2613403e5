"""What questions of the native protocol may cost: rows of an answer, and of all answers within a tenth of a second."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.exchange.dialects import native
from engine.exchange.trading import Fill, Order
from engine.market.batches import SELL
from tests.exchange.native_rig import MS, FloorRig, NativeClient, NativeRig

BOOKS = [f"book:{base}-USDT" for base in ("BTC", "ETH", "SOL", "BNB", "XRP")]
LATER_NS = native.COST_WITHIN_NS
ASKED = [
    {"op": "fills"},
    {"op": "fills", "limit": 1_000},
    {"op": "orders"},
    {"op": "balances"},
    {"op": "subscribe", "channels": BOOKS},
    {"op": "subscribe", "channels": BOOKS[:1] * 64},
    {"op": "unsubscribe", "channels": BOOKS},
    {"op": "subscribe", "channels": ["account"]},
]


@pytest.fixture(scope="module")
def busy() -> tuple[NativeRig, Any]:
    """An account with a thousand trades of BTC-USDT and 300 open orders of two symbols."""
    rig = NativeRig()
    rig.rest("BTCUSDT", SELL, "104300.0", "9")
    client = rig.connect(key=rig.key)
    take = {"op": "place", "symbol": "BTC-USDT", "type": "market", "size": "0.0001"}
    for _ in range(6):
        client.say(*[take] * 200)
    for symbol, price in (("BTC-USDT", "100000.0"), ("ETH-USDT", "3800.00")):
        rest = {"op": "place", "symbol": symbol, "price": price, "size": "0.0100"}
        client.say(*[rest] * 150)
    fills, orders = rig.desk.fills(rig.account), rig.desk.open_orders(rig.account)
    assert (len(fills), len(orders)) == (1_000, 300)
    return rig, (fills, orders)


def ask(rig: NativeRig, client: NativeClient, *requests: Any) -> list[Any]:
    """Ask with nothing spent before."""
    rig.now_ns += LATER_NS
    return client.say(*requests)


def ids(rows: list[Fill] | list[Order]) -> list[int]:
    return [each.order_id for each in rows]


@pytest.mark.parametrize(
    ("op", "more", "limit"),
    [
        ("fills", True, 200),
        ("fills", True, 7),
        ("fills", False, 1_000),
        ("orders", True, 1),
        ("orders", False, 300),
    ],
)
def test_an_answer_has_the_newest_rows_and_says_if_there_are_more(
    busy: tuple[NativeRig, Any], op: str, more: bool, limit: int
) -> None:
    rig, (fills, orders) = busy
    client = rig.connect(key=rig.key)
    request = {"op": op, "id": 1} if limit == native.USUAL_ROWS else {"op": op, "id": 1, "limit": limit}
    (answer,) = ask(rig, client, request)
    all_rows = ids(fills) if op == "fills" else ids(orders)
    assert [row["order_id"] for row in answer[op]] == all_rows[-limit:]
    assert answer.get("more", False) is more


def test_the_rows_of_one_symbol_are_counted_alone(busy: tuple[NativeRig, Any]) -> None:
    rig, (_, orders) = busy
    client = rig.connect(key=rig.key)
    (answer,) = ask(rig, client, {"op": "orders", "symbol": "ETH-USDT"})
    assert [row["order_id"] for row in answer["orders"]] == [
        each.order_id for each in orders if each.symbol == 1
    ]
    assert "more" not in answer


def test_a_limit_that_cannot_be_is_refused_by_name(busy: tuple[NativeRig, Any]) -> None:
    rig, _ = busy
    client = rig.connect(key=rig.key)
    for op in ("orders", "fills"):
        (answer,) = ask(rig, client, {"op": op, "limit": 1_001})
        assert (answer["code"], answer["error"]) == (200, "limit: 1001 is more than 1,000")
        (answer,) = ask(rig, client, {"op": op, "limit": -1})
        assert answer["code"] == 200
        assert "$.limit" in answer["error"]


def test_a_frame_of_200_questions_is_answered_as_far_as_it_may_cost(busy: tuple[NativeRig, Any]) -> None:
    rig, _ = busy
    client = rig.connect(key=rig.key)
    answers = ask(rig, client, *({"op": "fills", "id": at} for at in range(200)))
    told = [each for each in answers if each["ok"]]
    assert len(answers) == 200
    assert len(told) == native.MAX_COST // (native.QUESTION_COST + native.USUAL_ROWS)
    assert {(each["code"], each["error"]) for each in answers if not each["ok"]} == {
        (native.TOO_MANY, "too many questions: ask again in 100 ms, or for fewer rows")
    }
    rig.now_ns += LATER_NS - 1
    assert client.say({"op": "fills"})[0]["ok"] is False
    rig.now_ns += 1
    assert client.say({"op": "fills"})[0]["ok"]
    rig.now_ns -= 60_000 * MS  # a clock that is set back does not lock anybody out
    assert client.say({"op": "fills", "limit": 1_000})[0]["ok"]
    rig.now_ns += 60_000 * MS


def test_frames_one_after_the_other_share_what_may_be_spent_and_clients_do_not(
    busy: tuple[NativeRig, Any],
) -> None:
    rig, _ = busy
    client, other = rig.connect(key=rig.key), rig.connect(key=rig.other())
    rig.now_ns += LATER_NS
    answers = [client.say({"op": "fills", "limit": 1_000})[0] for _ in range(9)]
    assert [each["ok"] for each in answers] == [True] * 2 + [False] * 7
    assert other.say({"op": "fills"})[0]["ok"]


def test_orders_go_on_when_no_more_questions_are_answered(busy: tuple[NativeRig, Any]) -> None:
    rig, _ = busy
    client = rig.connect(key=rig.key)
    ask(rig, client, *[{"op": "balances"}] * 200)
    assert client.say({"op": "balances"})[0]["code"] == native.TOO_MANY
    (placed,) = client.say({"op": "place", "symbol": "BTC-USDT", "price": "100000.0", "size": "0.01"})
    assert placed["ok"]
    assert client.say({"op": "cancel", "order_id": placed["order_id"]})[0]["ok"]
    assert client.say({"op": "ping"})[0]["ok"]


def test_nobody_gets_books_again_and_again_without_a_pause() -> None:
    with FloorRig() as rig:
        client = rig.connect()
        pair = [{"op": op, "channels": ["book:BTC-USDT"]} for op in ("subscribe", "unsubscribe")]
        answers = client.say(*pair * 100)
        assert sum(each.get("type") == "snapshot" for each in answers) <= native.MAX_COST // native.BOOK_COST
        fresh = rig.connect()
        answers = fresh.say({"op": "subscribe", "channels": BOOKS})
        assert sum(each.get("type") == "snapshot" for each in answers) == len(BOOKS)


@settings(max_examples=50)
@given(st.lists(st.tuples(st.sampled_from(ASKED), st.sampled_from([0, 1, 40, 99])), min_size=1, max_size=60))
def test_a_tenth_of_a_second_never_brings_more_rows_than_may_be_spent_in_two(
    busy: tuple[NativeRig, Any], steps: list[tuple[dict[str, Any], int]]
) -> None:
    rig, _ = busy
    client = rig.connect(key=rig.key)
    rig.now_ns += LATER_NS
    costs: list[tuple[int, int]] = []
    for request, later_ms in steps:
        rig.now_ns += later_ms * MS
        heard = client.say(request)
        rows = sum(len(each.get("fills", each.get("orders", ()))) for each in heard if each.get("ok"))
        books = sum(each.get("type") == "snapshot" for each in heard)
        costs.append((rig.now_ns, rows + books * native.BOOK_COST))
    for at, _ in costs:
        assert sum(cost for when, cost in costs if at <= when < at + LATER_NS) <= 2 * native.MAX_COST
