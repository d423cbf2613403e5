"""Orders through Bybit's private REST calls: every kind, from the ack to what is told of it later."""

from __future__ import annotations

import re

import pytest

from engine.exchange.dialects import bybit_trading_codes as codes
from engine.market.batches import BUY, SELL
from tests.exchange.bybit_calls import BTC, MS, Venue, asked


@pytest.fixture
def venue() -> Venue:
    return Venue()


def test_a_limit_order_rests_and_is_told_in_full(venue: Venue) -> None:
    order_id = venue.place(orderLinkId="mine-1", smpType="CancelBoth")
    row = venue.order(order_id)
    assert row | {"createdTime": "", "updatedTime": ""} == {
        "orderId": order_id, "orderLinkId": "mine-1", "blockTradeId": "", "symbol": BTC, "price": "90000.0",
        "qty": "0.01000", "side": "Buy", "isLeverage": "0", "positionIdx": 0, "orderStatus": "New",
        "cancelType": "UNKNOWN", "rejectReason": "EC_NoError", "avgPrice": "", "leavesQty": "0.01000",
        "leavesValue": "900.00000000", "cumExecQty": "0.00000", "cumExecValue": "0.00000000",
        "cumExecFee": "0.00000000", "cumFeeDetail": {}, "feeCurrency": "", "timeInForce": "GTC",
        "orderType": "Limit", "stopOrderType": "", "ocoTriggerBy": "OcoTriggerByUnknown", "orderIv": "",
        "marketUnit": "", "slippageToleranceType": "UNKNOWN", "slippageTolerance": "0", "triggerPrice": "0.0",
        "takeProfit": "", "stopLoss": "", "tpLimitPrice": "", "slLimitPrice": "", "tpTriggerBy": "",
        "slTriggerBy": "", "triggerDirection": 0, "triggerBy": "", "lastPriceOnCreated": row["lastPriceOnCreated"],
        "reduceOnly": False, "closeOnTrigger": False, "placeType": "", "smpType": "CancelBoth", "smpGroup": 0,
        "smpOrderId": "", "createdTime": "", "updatedTime": "",
    }  # fmt: skip
    assert row["createdTime"] == str(venue.desk_order(order_id).created_ns // MS)


def test_an_order_that_takes_is_filled_with_its_fee_and_its_executions(venue: Venue) -> None:
    order_id = venue.place(price="100020", qty="0.5")
    row = venue.order(order_id)
    assert (row["orderStatus"], row["avgPrice"], row["cumExecQty"]) == ("Filled", "100010", "0.50000")
    assert (row["cumExecValue"], row["leavesQty"]) == ("50005.00000000", "0.00000")
    assert row["cumFeeDetail"] == {"BTC": "0.00050000"}
    (execution,) = venue.get("/v5/execution/list", category="spot", symbol=BTC)["list"]
    assert execution["orderId"] == order_id
    assert (execution["execPrice"], execution["execQty"]) == ("100010.0", "0.50000")
    assert (execution["execFee"], execution["feeCurrency"]) == ("0.00050000", "BTC")
    assert (execution["orderPrice"], execution["orderQty"], execution["leavesQty"]) == (
        "100020.0",
        "0.50000",
        "0.00000",
    )
    assert (execution["isMaker"], execution["execType"], execution["feeRate"]) == (False, "Trade", "0.001")
    (fill,) = venue.rig.desk.fills(venue.rig.account)
    assert execution["execTime"] == str(fill.ts_ns // MS)
    assert execution["seq"] == fill.trade_id


def test_a_resting_order_is_partly_filled_by_the_crowd_and_then_canceled(venue: Venue) -> None:
    order_id = venue.place(side="Sell", price="100005", qty="0.02")
    venue.rig.take(BTC, BUY, "0.005")
    assert venue.order(order_id)["orderStatus"] == "PartiallyFilled"
    assert venue.order(order_id)["leavesQty"] == "0.01500"
    (execution,) = venue.get("/v5/execution/list", category="spot")["list"]
    assert execution["isMaker"]
    assert (execution["leavesQty"], execution["feeCurrency"]) == ("0.01500", "USDT")
    assert venue.post("cancel", category="spot", symbol=BTC, orderId=order_id)["retCode"] == 0
    row = venue.order(order_id)
    assert (row["orderStatus"], row["cancelType"], row["rejectReason"]) == (
        "PartiallyFilledCanceled",
        "CancelByUser",
        "EC_PerCancelRequest",
    )
    assert row["leavesQty"] == "0.00000"


NO_MORE = "EC_NoImmediateQtyToFill"


@pytest.mark.parametrize(
    ("terms", "status", "why", "filled"),
    [
        ({"timeInForce": "IOC", "price": "100010", "qty": "3"}, "PartiallyFilledCanceled", NO_MORE, "2"),
        ({"timeInForce": "IOC"}, "Cancelled", "EC_NoImmediateQtyToFill", "0"),
        ({"timeInForce": "FOK", "price": "100010", "qty": "3"}, "Cancelled", "EC_NoEnoughQtyToFill", "0"),
        ({"timeInForce": "FOK", "price": "100010", "qty": "2"}, "Filled", "EC_NoError", "2"),
        ({"timeInForce": "PostOnly"}, "New", "EC_NoError", "0"),
        ({"timeInForce": "PostOnly", "price": "100010"}, "Rejected", "EC_PostOnlyWillTakeLiquidity", "0"),
    ],
)  # fmt: skip
def test_time_in_force(venue: Venue, terms: dict[str, str], status: str, why: str, filled: str) -> None:
    row = venue.order(venue.place(**terms))
    assert (row["orderStatus"], row["rejectReason"]) == (status, why)
    assert float(row["cumExecQty"]) == float(filled)
    assert row["timeInForce"] == terms["timeInForce"]


def test_a_rejected_post_only_order_is_in_the_history_and_not_open(venue: Venue) -> None:
    order_id = venue.place(timeInForce="PostOnly", price="100010", orderLinkId="eager")
    assert venue.get("/v5/order/realtime", category="spot")["list"] == []
    for filters in ({}, {"orderId": order_id}, {"orderLinkId": "eager"}, {"orderStatus": "Rejected"}):
        (row,) = venue.get("/v5/order/history", category="spot", **filters)["list"]
        assert row["orderId"] == order_id
    assert venue.refused("cancel", category="spot", symbol=BTC, orderId=order_id) == codes.NO_ORDER


def test_a_market_buy_is_by_value_and_a_market_sell_by_quantity_unless_told(venue: Venue) -> None:
    by_value = venue.order(venue.place(orderType="Market", qty="2000", price=None))
    assert (by_value["qty"], by_value["marketUnit"], by_value["cumExecQty"]) == (
        "2000",
        "quoteCoin",
        "0.01999",
    )
    assert (by_value["orderStatus"], by_value["timeInForce"], by_value["price"]) == ("Filled", "IOC", "0")
    by_quantity = venue.order(venue.place(orderType="Market", qty="0.03", marketUnit="baseCoin", price=None))
    assert (by_quantity["qty"], by_quantity["cumExecQty"]) == ("0.03000", "0.03000")
    sold = venue.order(venue.place(side="Sell", orderType="Market", qty="0.02", price=None))
    assert (sold["marketUnit"], sold["cumExecQty"]) == ("baseCoin", "0.02000")
    for_money = venue.order(
        venue.place(side="Sell", orderType="Market", qty="1000", marketUnit="quoteCoin", price=None)
    )
    assert (for_money["qty"], for_money["cumExecQty"]) == ("1000", "0.01000")


def test_slippage_tolerance_bounds_a_market_order(venue: Venue) -> None:
    venue.rig.rest(BTC, SELL, "100020.0", "5")
    terms = {"orderType": "Market", "qty": "3", "marketUnit": "baseCoin", "price": None}
    near = venue.order(venue.place(**terms, slippageToleranceType="TickSize", slippageTolerance="50"))
    assert (near["orderStatus"], near["cumExecQty"]) == ("PartiallyFilledCanceled", "2.00000")
    assert (near["slippageToleranceType"], near["slippageTolerance"]) == ("TickSize", "50")
    assert (near["orderType"], near["price"]) == ("Market", "0")
    far = venue.order(venue.place(**terms, slippageToleranceType="Percent", slippageTolerance="0.05"))
    assert (far["orderStatus"], far["cumExecQty"]) == ("Filled", "3.00000")
    bounds = {"slippageToleranceType": "Percent", "slippageTolerance": "1.01"}
    assert venue.refused("create", **asked(**terms, **bounds)) == codes.BAD_SLIPPAGE_PERCENT
    for kind, value, code in (
        ("TickSize", "4", codes.BAD_SLIPPAGE_TICKS),
        ("TickSize", "5.5", codes.BAD_SLIPPAGE_TICKS),
        ("Percent", "0.055", codes.BAD_SLIPPAGE_PERCENT),
        ("Percent", "x", codes.BAD_SLIPPAGE_PERCENT),
        ("Share", "5", codes.NOT_VALID),
        ("TickSize", None, codes.EMPTY),
    ):
        bounds = {"slippageToleranceType": kind, "slippageTolerance": value}
        assert venue.refused("create", **asked(**terms, **bounds)) == code
    bounds = {"slippageToleranceType": "TickSize", "slippageTolerance": "5"}
    waiting = asked(**terms, **bounds, triggerPrice="101000")
    assert venue.refused("create", **waiting) == codes.NOT_SUPPORTED
    venue.rig.leave(BTC)
    assert venue.refused("create", **asked(**terms, **bounds)) == codes.REJECTED


@pytest.mark.parametrize(
    ("side", "trigger", "crossing", "direction"),
    [
        ("Buy", "101000", "101500", 1),
        ("Buy", "99000", "98500", 2),
        ("Sell", "99000", "98500", 2),
        ("Sell", "101000", "101500", 1),
    ],
)
@pytest.mark.parametrize("order_filter", [None, "StopOrder", "tpslOrder"])
def test_a_conditional_order_waits_either_way_and_becomes_an_order(
    venue: Venue, side: str, trigger: str, crossing: str, direction: int, order_filter: str | None
) -> None:
    limit = "101600" if side == "Sell" else "98400"
    order_id = venue.place(side=side, triggerPrice=trigger, price=limit, orderFilter=order_filter)
    kept = order_filter or "StopOrder"
    row = venue.order(order_id)
    assert (row["orderStatus"], row["triggerDirection"]) == ("Untriggered", direction)
    assert row["stopOrderType"] == {"StopOrder": "Stop", "tpslOrder": "tpslOrder"}[kept]
    assert float(row["triggerPrice"]) == float(trigger)
    assert venue.get("/v5/order/realtime", category="spot", orderFilter="Order")["list"] == []
    assert len(venue.get("/v5/order/realtime", category="spot", orderFilter=kept)["list"]) == 1
    venue.rig.leave(BTC)
    venue.rig.trade_at(BTC, crossing, "0.001")
    row = venue.order(order_id)
    assert (row["orderStatus"], row["price"]) == ("New", limit + ".0")
    assert venue.post("cancel", category="spot", symbol=BTC, orderId=order_id)["retCode"] == 0
    assert venue.order(order_id)["orderStatus"] == "Cancelled"


def test_the_engine_says_which_way_a_conditional_order_waits(venue: Venue) -> None:
    # The public side takes the best bid for the last price while nobody has asked for trades: 99990, not 100000.
    row = venue.order(venue.place(side="Sell", triggerPrice="99995", price="99000"))
    assert (row["orderStatus"], row["triggerDirection"]) == ("Untriggered", 2)


def test_a_conditional_order_at_the_last_price_is_refused(venue: Venue) -> None:
    for side in ("Buy", "Sell"):
        code = venue.refused("create", **asked(side=side, triggerPrice="100000"))
        assert code in (codes.NOT_RISING, codes.NOT_FALLING)


def test_a_conditional_order_canceled_while_it_waits_is_deactivated(venue: Venue) -> None:
    order_id = venue.place(triggerPrice="101000", orderType="Market", price=None, marketUnit="baseCoin")
    # As the venue has it, the filter has to be the order's.
    assert venue.refused("cancel", category="spot", symbol=BTC, orderId=order_id) == codes.NO_ORDER
    arguments = {"category": "spot", "symbol": BTC, "orderId": order_id, "orderFilter": "StopOrder"}
    assert venue.post("cancel", **arguments)["retCode"] == 0
    assert venue.order(order_id)["orderStatus"] == "Deactivated"


def test_a_conditional_market_buy_by_value_is_sized_by_its_trigger(venue: Venue) -> None:
    order_id = venue.place(orderType="Market", qty="1010", triggerPrice="101000", price=None)
    assert venue.desk_order(order_id).lots == 1_000  # 0.01 BTC
    assert venue.order(order_id)["qty"] == "1010"


def test_amending_sets_the_whole_quantity_and_keeps_the_place_when_it_only_shrinks(venue: Venue) -> None:
    order_id = venue.place(side="Sell", price="100005", qty="0.02")
    venue.rig.take(BTC, BUY, "0.005")
    behind = venue.rig.rest(BTC, SELL, "100005.0", "0.01")
    arguments = {"category": "spot", "symbol": BTC, "orderId": order_id}
    assert venue.post("amend", **arguments, qty="0.01")["retCode"] == 0
    row = venue.order(order_id)
    assert (row["qty"], row["leavesQty"], row["orderStatus"]) == ("0.01000", "0.00500", "PartiallyFilled")
    venue.rig.take(BTC, BUY, "0.005")
    assert venue.order(order_id)["orderStatus"] == "Filled"
    assert behind
    moved = venue.place(orderLinkId="by-link")
    assert (
        venue.post("amend", category="spot", symbol=BTC, orderLinkId="by-link", price="91000", qty="0.02")["result"]
        == {"orderId": moved, "orderLinkId": "by-link"}
    )  # fmt: skip
    row = venue.order(moved)
    assert (row["price"], row["qty"], row["leavesQty"]) == ("91000.0", "0.02000", "0.02000")


def test_amending_refuses_in_the_venues_words(venue: Venue) -> None:
    order_id = venue.place(side="Sell", price="100005", qty="0.02")
    venue.rig.take(BTC, BUY, "0.005")
    arguments = {"category": "spot", "symbol": BTC, "orderId": order_id}
    assert venue.refused("amend", **arguments, qty="0.005") == codes.BELOW_FILLED
    assert venue.refused("amend", **arguments, qty="0.02") == codes.BAD_PARAMETER
    assert venue.refused("amend", **arguments) == codes.BAD_PARAMETER
    assert venue.refused("amend", **arguments, price="0.05") == codes.PRICE_TOO_FINE
    assert venue.refused("amend", **arguments, qty="0.000001") == codes.TOO_FINE
    assert venue.refused("amend", **arguments, price="1") in (codes.OUTSIDE_RANGE, codes.VALUE_TOO_SMALL)
    assert venue.refused("amend", **arguments, qty="1000") == codes.TOO_LARGE
    venue.place(side="Sell", price="110000", qty="1")
    assert venue.refused("amend", **arguments, qty="10") == codes.NO_FUNDS
    assert venue.refused("amend", **arguments, triggerPrice="100500") == codes.NO_AMENDING
    assert venue.refused("amend", **(arguments | {"symbol": "ETHUSDT"}), qty="1") == codes.NO_ORDER
    assert venue.refused("amend", category="spot", symbol=BTC, qty="1") == codes.EMPTY
    gone = venue.place(price="100020")
    assert venue.refused("amend", category="spot", symbol=BTC, orderId=gone, qty="1") == codes.NO_ORDER
    waiting = venue.place(triggerPrice="101000", price="101000")
    assert (
        venue.refused("amend", category="spot", symbol=BTC, orderId=waiting, price="102000")
        == codes.NO_AMENDING
    )
    maker = venue.place(timeInForce="PostOnly")
    assert (
        venue.refused("amend", category="spot", symbol=BTC, orderId=maker, price="100010") == codes.WOULD_TAKE
    )


def test_cancel_all_takes_orders_of_the_filter_alone(venue: Venue) -> None:
    limits = [venue.place(), venue.place(symbol="ETHUSDT", price="3800", qty="1")]
    stop = venue.place(triggerPrice="101000", price="101000")
    body = venue.post("cancel-all", category="spot", baseCoin="BTC")
    assert body["result"] == {"list": [{"orderId": limits[0], "orderLinkId": ""}], "success": "1"}
    body = venue.post("cancel-all", category="spot")
    assert [each["orderId"] for each in body["result"]["list"]] == [limits[1]]
    assert [each["orderId"] for each in venue.get("/v5/order/realtime", category="spot")["list"]] == [stop]
    body = venue.post("cancel-all", category="spot", symbol=BTC, orderFilter="StopOrder")
    assert [each["orderId"] for each in body["result"]["list"]] == [stop]
    assert venue.post("cancel-all", category="spot", symbol=BTC)["result"]["list"] == []


def test_batches_answer_order_by_order(venue: Venue) -> None:
    good = {k: v for k, v in asked().items() if k != "category"}
    body = venue.post(
        "create-batch", category="spot", request=[good, good | {"qty": "0"}, good | {"side": "buy"}]
    )
    assert body["retCode"] == 0
    assert [each["code"] for each in body["retExtInfo"]["list"]] == [0, codes.TOO_SMALL, codes.BAD_SIDE]
    rows = body["result"]["list"]
    assert [bool(each["orderId"]) for each in rows] == [True, False, False]
    assert all(each["category"] == "spot" and each["symbol"] == BTC for each in rows)
    assert re.fullmatch(r"\d{13}", rows[0]["createAt"])
    first = rows[0]["orderId"]
    body = venue.post(
        "amend-batch", category="spot", request=[{"symbol": BTC, "orderId": first, "qty": "0.02"}]
    )
    assert body["retExtInfo"]["list"] == [{"code": 0, "msg": "OK"}]
    assert venue.order(first)["qty"] == "0.02000"
    ends = [{"symbol": BTC, "orderId": first}, {"symbol": BTC, "orderId": "1"}]
    body = venue.post("cancel-batch", category="spot", request=ends)
    assert [each["code"] for each in body["retExtInfo"]["list"]] == [0, codes.NO_ORDER]
    assert venue.refused("create-batch", category="spot", request=[good] * 11) == codes.BAD_PARAMETER
    assert venue.refused("create-batch", category="spot", request=[]) == codes.BAD_PARAMETER
    assert venue.refused("create-batch", category="spot", request=[1]) == codes.BAD_PARAMETER


def test_self_trades_are_prevented_as_asked(venue: Venue) -> None:
    resting = venue.place(side="Sell", price="100000", qty="0.01")
    taking = venue.place(price="100000", qty="0.01", smpType="CancelTaker")
    row = venue.order(taking)
    assert (row["orderStatus"], row["cancelType"], row["smpType"]) == (
        "Cancelled",
        "CancelBySmp",
        "CancelTaker",
    )
    venue.place(price="100000", qty="0.01", smpType="CancelMaker")
    assert venue.order(resting)["cancelType"] == "CancelBySmp"
