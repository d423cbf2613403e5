"""Each refusal of Bybit's private REST calls: the venue's code, and nothing changed."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from engine.exchange.desk import MAX_WAITING
from engine.exchange.dialects import bybit_trading_codes as codes
from engine.exchange.dialects.bybit import BybitRest
from engine.exchange.dialects.bybit_trading_orders import MOST_LOTS, MOST_NOTIONAL_ATOMS
from engine.exchange.entry import RestAnswer, RestCall
from engine.exchange.trading import DESK_REASONS
from engine.exchange.units import atoms
from engine.flow.simulator import LEAST_NOTIONAL_ATOMS
from engine.market.batches import SELL
from engine.matching.orders import CONTINUOUS, HALTED, REASONS
from tests.exchange.bybit_calls import BTC, MS, Venue, asked


@pytest.fixture
def venue() -> Venue:
    return Venue()


@pytest.mark.parametrize(
    ("terms", "code"),
    [
        ({"category": "linear"}, codes.NO_PERMISSION),
        ({"category": "margin"}, codes.BAD_PARAMETER),
        ({"category": None}, codes.BAD_PARAMETER),
        ({"symbol": "BTCUSD"}, codes.BAD_SYMBOL),
        ({"symbol": None}, codes.EMPTY),
        ({"side": "buy"}, codes.BAD_SIDE),
        ({"side": None}, codes.EMPTY),
        ({"orderType": "limit"}, codes.BAD_ORDER_TYPE),
        ({"timeInForce": "GTD"}, codes.BAD_TIME_IN_FORCE),
        ({"timeInForce": "PostOnly", "triggerPrice": "101000"}, codes.BAD_TIME_IN_FORCE),
        ({"smpType": "Decrement"}, codes.NOT_VALID),
        ({"isLeverage": 1}, codes.NO_MARGIN),
        ({"takeProfit": "110000"}, codes.NOT_SUPPORTED),
        ({"orderFilter": "Stop"}, codes.BAD_FILTER),
        ({"orderFilter": "OcoOrder"}, codes.NOT_SUPPORTED),
        ({"orderFilter": "tpslOrder"}, codes.NO_TRIGGER),
        ({"orderFilter": "StopOrder"}, codes.NO_TRIGGER),
        ({"triggerPrice": "x"}, codes.NOT_VALID),
        ({"orderLinkId": "a b"}, codes.BAD_PARAMETER),
        ({"orderLinkId": "a" * 37}, codes.BAD_PARAMETER),
        ({"qty": None}, codes.EMPTY),
        ({"qty": 0.01}, codes.BAD_PARAMETER),
        ({"qty": "1e3"}, codes.NOT_VALID),
        ({"qty": "-1"}, codes.TOO_SMALL),
        ({"qty": "0.000"}, codes.TOO_SMALL),
        ({"qty": "0.000001"}, codes.TOO_FINE),
        ({"qty": "99999999999"}, codes.TOO_LARGE),
        ({"qty": "9" * 30}, codes.TOO_LARGE),
        ({"qty": "1" * 50}, codes.NOT_VALID),
        ({"qty": "10.00001"}, codes.TOO_LARGE),
        ({"symbol": "ETHUSDT", "qty": "99", "price": "20203"}, codes.AMOUNT_TOO_LARGE),
        ({"price": None}, codes.EMPTY),
        ({"price": "0"}, codes.PRICE_TOO_LOW),
        ({"price": "90000.05"}, codes.PRICE_TOO_FINE),
        ({"price": "9999999999999"}, codes.PRICE_TOO_HIGH),
        ({"price": "150000"}, codes.OUTSIDE_RANGE),
        ({"qty": "0.00001"}, codes.VALUE_TOO_SMALL),
        ({"qty": "10", "price": "119000"}, codes.NO_FUNDS),
        ({"side": "Sell", "symbol": "ETHUSDT", "qty": "100.0001", "price": "3900"}, codes.TOO_LARGE),
        ({"orderType": "Market", "qty": "4.99"}, codes.VALUE_TOO_SMALL),
        ({"orderType": "Market", "qty": "5.123456789"}, codes.AMOUNT_TOO_FINE),
        ({"orderType": "Market", "qty": "1000000.01"}, codes.NO_FUNDS),
        ({"orderType": "Market", "qty": "99999999999999999"}, codes.AMOUNT_TOO_LARGE),
        ({"orderType": "Market", "qty": "0.00001", "marketUnit": "baseCoin"}, codes.VALUE_TOO_SMALL),
        ({"orderType": "Market", "qty": "10", "marketUnit": "baseCoin"}, codes.NO_FUNDS),
        ({"orderType": "Market", "qty": "11", "marketUnit": "baseCoin"}, codes.TOO_LARGE),
        ({"orderType": "Market", "qty": "1", "marketUnit": "coin"}, codes.NOT_VALID),
        ({"orderType": "Market", "side": "Sell", "qty": "11"}, codes.TOO_LARGE),
    ],
)
def test_an_order_is_refused_in_the_venues_words(venue: Venue, terms: dict[str, Any], code: int) -> None:
    assert venue.refused("create", **asked(**terms)) == code


def test_what_is_reserved_cannot_be_sold(venue: Venue) -> None:
    venue.place(side="Sell", price="101000", qty="1")
    assert venue.refused("create", **asked(side="Sell", price="101000", qty="10")) == codes.NO_FUNDS
    by_market = {"side": "Sell", "orderType": "Market", "qty": "10", "price": None}
    assert venue.refused("create", **asked(**by_market)) == codes.NO_FUNDS


def test_orders_are_as_large_as_the_venue_lists(venue: Venue) -> None:
    rest = BybitRest({"bybit_spot": venue.rig.market("bybit_spot")}, lambda market, symbol: 1)
    path, arguments = "/v5/market/instruments-info", {"category": "spot", "symbol": BTC}
    row = json.loads(rest.answer("GET", path, arguments, venue.rig.now_ns))["result"]["list"][0]
    lots, units = row["lotSizeFilter"], venue.rig.units[BTC]
    assert units.lots(lots["maxOrderQty"]) == MOST_LOTS
    assert atoms(lots["maxOrderAmt"]) == MOST_NOTIONAL_ATOMS
    assert atoms(lots["minOrderAmt"]) == LEAST_NOTIONAL_ATOMS
    assert (units.lots(lots["minOrderQty"]), units.lots(lots["basePrecision"])) == (1, 1)
    assert units.ticks(row["priceFilter"]["tickSize"]) == 1


def test_a_market_order_by_value_has_no_more_than_the_listed_quantity(venue: Venue) -> None:
    venue.rig.rest("XRPUSDT", SELL, "2.4000", "500000")
    terms = {"symbol": "XRPUSDT", "orderType": "Market", "price": None}
    assert venue.refused("create", **asked(**terms, qty="300000")) == codes.TOO_LARGE
    assert venue.refused("create", **asked(**terms, qty="300000", triggerPrice="2.5")) == codes.TOO_LARGE
    venue.place(**terms, qty="240000")


def test_a_market_order_by_value_needs_somebody_to_trade_with(venue: Venue) -> None:
    venue.rig.leave(BTC)
    assert venue.refused("create", **asked(orderType="Market", qty="100")) == codes.REJECTED


def test_a_duplicate_link_id_is_refused_even_when_its_order_has_ended(venue: Venue) -> None:
    order_id = venue.place(orderLinkId="once")
    assert venue.refused("create", **asked(orderLinkId="once")) == codes.DUPLICATE
    venue.post("cancel", category="spot", symbol=BTC, orderId=order_id)
    assert venue.refused("create", **asked(orderLinkId="once")) == codes.DUPLICATE


def test_canceling_what_is_not_open_says_that_it_does_not_exist(venue: Venue) -> None:
    filled = venue.place(price="100020")
    for order_id in (filled, "1", "x", "9" * 30):
        assert (
            venue.refused("cancel", category="spot", symbol=BTC, orderId=order_id) == codes.NO_ORDER == 170213
        )
    assert venue.refused("cancel", category="spot", symbol=BTC, orderLinkId="none") == codes.NO_ORDER
    others = venue.rig.other()
    mine = venue.place()
    call = venue.call("POST", "/v5/order/cancel", others, category="spot", symbol=BTC, orderId=mine)
    assert venue.send(call)[1]["retCode"] == codes.NO_ORDER


def test_a_halted_market_takes_no_orders_but_lets_them_go(venue: Venue) -> None:
    order_id = venue.place()
    venue.rig.desk.set_phase(0, HALTED)
    venue.rig.turn()
    assert venue.refused("create", **asked()) == codes.NOT_OPEN
    assert (
        venue.refused("amend", category="spot", symbol=BTC, orderId=order_id, price="91000") == codes.NOT_OPEN
    )
    assert venue.post("cancel", category="spot", symbol=BTC, orderId=order_id)["retCode"] == 0
    venue.rig.desk.set_phase(0, CONTINUOUS)
    venue.rig.turn()
    venue.place()


def test_an_account_has_a_number_of_open_orders(venue: Venue) -> None:
    for _ in range(200):
        venue.place(qty="0.001")
    assert venue.refused("create", **asked(qty="0.001")) == codes.TOO_MANY_ORDERS


def test_an_exchange_with_too_much_to_do_says_so(venue: Venue) -> None:
    for _ in range(MAX_WAITING):
        venue.rig.desk.cancel_all(venue.rig.account, 0)
    call = venue.call("POST", "/v5/order/create", **asked())

    async def answered() -> RestAnswer:
        asyncio.get_running_loop().call_soon(venue.rig.drain)
        return await venue.dialect.answer(call)

    assert json.loads(venue.rig.run(answered()).body)["retCode"] == codes.SERVER_ERROR
    assert venue.rig.desk.open_orders(venue.rig.account) == []


def test_a_fault_on_command_rejects_orders(venue: Venue) -> None:
    venue.rig.desk.reject = lambda order: True
    assert venue.refused("create", **asked()) == codes.REJECTED


def test_every_reason_has_a_code_and_every_code_a_sentence() -> None:
    assert set(codes.CODES) == set(REASONS) | set(DESK_REASONS)
    for reason in (*REASONS, *DESK_REASONS, 9_999):
        refused = codes.refusal_for(reason)
        assert refused.code > 0
        assert refused.message
        assert refused.status == 200


# --- signatures and limits --------------------------------------------------------------------------------------


def test_signatures_are_checked_before_anything_else(venue: Venue) -> None:
    before = venue.rig.engine.state_hash()
    good = venue.call("POST", "/v5/order/create", **asked())
    stamp = int(good.headers["X-BAPI-TIMESTAMP"])

    def code(**headers: str) -> tuple[int, int]:
        call = RestCall(
            *("POST", good.path, "", good.body), {**good.headers, **headers}, good.address, good.now_ns
        )
        answer, body = venue.send(call)
        return answer.status, body["retCode"]

    names = {name.removeprefix("X-BAPI-"): name for name in good.headers}
    assert code(**{names["API-KEY"]: ""}) == (401, codes.BAD_PARAMETER)
    assert code(**{names["API-KEY"]: "nobody's"}) == (200, codes.BAD_KEY)
    assert code(**{names["TIMESTAMP"]: str(stamp - 5_001)}) == (200, codes.BAD_TIME)
    assert code(**{names["TIMESTAMP"]: str(stamp + 1_000)}) == (200, codes.BAD_TIME)
    assert code(**{names["TIMESTAMP"]: "soon"}) == (200, codes.BAD_PARAMETER)
    assert code(**{names["RECV-WINDOW"]: "5001"}) == (200, codes.BAD_SIGNATURE)
    for sign in ("0" * 64, "\udcff", "é", "x"):
        assert code(**{names["SIGN"]: sign}) == (200, codes.BAD_SIGNATURE)
    assert venue.rig.engine.state_hash() == before
    assert venue.send(good)[1]["retCode"] == 0
    placed = venue.rig.engine.state_hash()
    assert venue.send(good)[1]["retCode"] == codes.REPLAYED
    assert code(**{names["SIGN"]: good.headers[names["SIGN"]].upper()}) == (200, codes.REPLAYED)
    assert venue.rig.engine.state_hash() == placed


def test_a_signed_question_may_be_asked_again(venue: Venue) -> None:
    call = venue.call("GET", "/v5/account/info")
    assert [venue.send(call)[1]["retCode"] for _ in range(2)] == [0, 0]


def test_a_key_that_may_only_read_places_nothing(venue: Venue) -> None:
    reading = venue.rig.accounts.create("main", "", 0, trade=False)
    for path in ("create", "amend", "cancel", "cancel-all", "create-batch"):
        call = venue.call("POST", f"/v5/order/{path}", reading, **asked())
        assert venue.send(call)[1]["retCode"] == codes.NO_PERMISSION
    assert venue.send(venue.call("GET", "/v5/user/query-api", reading))[1]["result"]["readOnly"] == 1


def test_each_user_may_call_each_endpoint_so_often_a_second(venue: Venue) -> None:
    calls = [
        venue.signed("GET", "/v5/account/fee-rate", f"category=spot&limit={at}", b"", venue.rig.key)
        for at in range(6)
    ]
    now_ns = venue.rig.now_ns
    stood = [
        RestCall(*("GET", each.path, each.query, b"", each.headers, each.address), now_ns) for each in calls
    ]
    before = venue.rig.engine.state_hash()
    answers = [venue.send(each) for each in stood]
    assert [body["retCode"] for _, body in answers] == [0, 0, 0, 0, 0, codes.TOO_MANY_VISITS]
    assert [answer.headers["X-Bapi-Limit-Status"] for answer, _ in answers] == ["4", "3", "2", "1", "0", "0"]
    assert answers[-1][0].headers["X-Bapi-Limit"] == "5"
    assert int(answers[-1][0].headers["X-Bapi-Limit-Reset-Timestamp"]) == now_ns // MS + 1_000
    assert venue.enforcement.statistics()["refusals"] == {"10006": 1}
    assert venue.rig.engine.state_hash() == before
    assert venue.get("/v5/account/fee-rate", category="spot")["list"]  # a second later


def test_other_limits_stand_in_for_the_venues_where_they_name_a_path() -> None:
    venue = Venue(per_second={"/v5/order/create": 2, "/v5/account/fee-rate": 0})
    fees = venue.call("GET", "/v5/account/fee-rate", category="spot")
    assert all(venue.send(fees)[1]["retCode"] == 0 for _ in range(10))
    limits = [venue.call("POST", f"/v5/order/{name}", **asked()) for name in ("create", "cancel")]
    assert [venue.send(each)[0].headers["X-Bapi-Limit"] for each in limits] == ["2", "20"]


def test_of_a_batch_the_orders_beyond_the_limit_are_refused() -> None:
    venue = Venue(per_second={"/v5/order/create-batch": 3})
    good = {k: v for k, v in asked().items() if k != "category"}
    body = venue.post("create-batch", category="spot", request=[good] * 5)
    assert [each["code"] for each in body["retExtInfo"]["list"]] == [0, 0, 0, *[codes.TOO_MANY_VISITS] * 2]
    assert len(venue.rig.desk.open_orders(venue.rig.account)) == 3


def test_the_dialect_says_what_is_its_and_whose(venue: Venue) -> None:
    dialect = venue.dialect
    assert dialect.takes("GET", "/v5/order/realtime")
    assert not dialect.takes("GET", "/v5/market/time")
    assert dialect.caller(venue.call("GET", "/v5/account/info")) == "main"
    assert dialect.caller(RestCall("GET", "/v5/account/info", "", b"", {}, "", 0)) == ""
    assert dialect.orders_in(venue.call("POST", "/v5/order/create", **asked())) == 1
    assert dialect.orders_in(venue.call("POST", "/v5/order/create-batch", request=[{}] * 3)) == 3
    assert dialect.orders_in(venue.call("POST", "/v5/order/cancel")) == 0
    for method, path in (("GET", "/v5/order/create"), ("POST", "/v5/order/realtime"), ("GET", "/v5/order/x")):
        answer, body = venue.send(venue.call(method, path))
        assert (answer.status, body["retCode"]) == (404, codes.NO_ROUTE)


def test_what_was_signed_before_the_start_changes_nothing_and_may_ask(venue: Venue) -> None:
    guard = venue.rig.guard
    guard.opened_ns = (venue.rig.now_ns // MS + 1_000) * MS  # type: ignore[misc]
    early = venue.rig.now_ns // MS + 999
    body = json.dumps(asked()).encode()
    call = venue.signed("POST", "/v5/order/create", "", body, venue.rig.key, stamp_ms=early)
    before = venue.rig.engine.state_hash()
    assert venue.send(call)[1]["retCode"] == codes.BAD_TIME
    question = venue.signed("GET", "/v5/account/info", "", b"", venue.rig.key, stamp_ms=early)
    assert venue.send(question)[1]["retCode"] == 0
    assert venue.rig.engine.state_hash() == before
    assert venue.send(venue.call("POST", "/v5/order/create", **asked()))[1]["retCode"] == 0
