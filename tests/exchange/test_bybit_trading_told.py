"""Bybit's private stream, put together, tells what its REST calls answer: whatever a client and the crowd do."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from engine.exchange.accounts import hmac_hex
from engine.market.batches import BUY, SELL
from tests.exchange.bybit_calls import BTC, MS, Venue, asked
from tests.exchange.desk_rig import Link

prices = st.integers(999_000, 1_001_000).map(lambda ticks: f"{ticks // 10}.{ticks % 10}")
sizes = st.integers(100, 50_000).map(lambda lots: f"{lots / 10**5:.5f}")
sides = st.sampled_from(["Buy", "Sell"])
limits = st.fixed_dictionaries(
    {"side": sides, "qty": sizes, "price": prices},
    optional={
        "timeInForce": st.sampled_from(["GTC", "IOC", "FOK", "PostOnly"]),
        "triggerPrice": prices,
        "smpType": st.sampled_from(["CancelMaker", "CancelTaker", "CancelBoth"]),
    },
)
markets = st.fixed_dictionaries(
    {
        "side": sides,
        "qty": sizes,
        "orderType": st.just("Market"),
        "price": st.none(),
        "marketUnit": st.just("baseCoin"),
    },
    optional={"triggerPrice": prices},
)
steps = st.one_of(
    st.tuples(st.just("create"), st.one_of(limits, markets)),
    st.tuples(st.just("amend"), st.tuples(st.integers(0, 5), prices, sizes)),
    st.tuples(st.just("cancel"), st.integers(0, 5)),
    st.tuples(st.just("cancel-all"), st.sampled_from(["Order", "StopOrder"])),
    st.tuples(st.just("crowd"), st.tuples(sides, prices, sizes)),
    st.tuples(st.just("taker"), st.tuples(sides, sizes)),
)


class Told:
    """A client that only listens."""

    def __init__(self, venue: Venue) -> None:
        self.link = Link()
        session = venue.dialect.session("/v5/private", "", self.link, venue.rig.now_ns)
        assert session is not None
        expires = venue.rig.now_ns // MS + 9_000
        sign = hmac_hex(venue.rig.key.secret, f"GET/realtime{expires}".encode())
        for message in (
            {"op": "auth", "args": [venue.rig.key.api_key, expires, sign]},
            {"op": "subscribe", "args": ["order", "execution", "wallet"]},
        ):
            session.on_text(json.dumps(message).encode(), venue.rig.now_ns)
        venue.rig.now_ns += 100 * MS
        session.on_turn(venue.rig.now_ns)
        self.link.sent.clear()

    def rows(self, topic: str) -> list[dict[str, Any]]:
        """All rows of a topic, oldest first."""
        messages = [json.loads(each) for each in self.link.sent]
        return [row for message in messages if message["topic"] == topic for row in message["data"]]


@settings(max_examples=100, deadline=None)
@given(done=st.lists(steps, min_size=1, max_size=14))
def test_the_stream_tells_what_the_calls_answer(done: list[tuple[str, Any]]) -> None:
    venue = Venue()
    told = Told(venue)
    placed: list[str] = []
    for step, given_values in done:
        if step == "create":
            body = venue.post("create", **asked(**given_values))
            placed += [body["result"]["orderId"]] if body["retCode"] == 0 else []
        elif step == "crowd":
            side, price, size = given_values
            venue.rig.rest(BTC, BUY if side == "Buy" else SELL, price, size)
        elif step == "taker":
            side, size = given_values
            venue.rig.take(BTC, BUY if side == "Buy" else SELL, size)
        elif step == "cancel-all":
            venue.post("cancel-all", category="spot", orderFilter=given_values)
        elif placed:
            values = given_values if step == "amend" else (given_values,)
            named = {"category": "spot", "symbol": BTC, "orderId": placed[values[0] % len(placed)]}
            if step == "amend":
                venue.post("amend", **named, price=values[1], qty=values[2])
            else:
                venue.post("cancel", **named)
    last = {row["orderId"]: row for row in told.rows("order")}
    assert set(last) == set(placed)
    for order_id, row in last.items():
        assert row == {"category": "spot"} | venue.order(order_id)
    executions = told.rows("execution")
    listed = venue.get("/v5/execution/list", category="spot", limit=100)["list"][::-1]
    assert [(row["orderId"], row["execId"]) for row in executions] == [
        (row["orderId"], row["execId"]) for row in listed
    ]
    for told_row, row in zip(executions, listed, strict=True):
        same = set(row) - {"orderPrice", "orderQty", "leavesQty"}  # which are of their time
        assert {name: told_row[name] for name in same} == {name: row[name] for name in same}
    for order_id, row in last.items():
        fills = [each for each in executions if each["orderId"] == order_id]
        assert atoms_of(fills, "execQty") == atoms_of([row], "cumExecQty")
        assert atoms_of(fills, "execValue") == atoms_of([row], "cumExecValue")
        assert atoms_of(fills, "execFee") == atoms_of([row], "cumExecFee")
    wallets = told.rows("wallet")
    if wallets:
        held = {each["coin"]: each for each in wallets[-1]["coin"]}
        for balance in venue.rig.desk.balances(venue.rig.account):
            if balance.asset in held:
                assert atoms_of([held[balance.asset]], "walletBalance") == balance.free + balance.reserved
                assert atoms_of([held[balance.asset]], "locked") == balance.reserved


def atoms_of(rows: list[dict[str, Any]], name: str) -> int:
    """A field's sum in units of 10^-8."""
    return sum(
        int(whole + fraction.ljust(8, "0")) for whole, _, fraction in (r[name].partition(".") for r in rows)
    )
