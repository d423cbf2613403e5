"""What an account asks through Bybit's private REST calls: orders, executions, wallet, keys."""

from __future__ import annotations

import pytest

from engine.exchange.dialects import bybit_trading_codes as codes
from engine.exchange.trading import Order
from engine.market.batches import BUY, SELL
from engine.matching.orders import DECREMENT
from tests.exchange.bybit_calls import BTC, MS, Venue


@pytest.fixture
def venue() -> Venue:
    return Venue()


def test_lists_are_newest_first_in_pages(venue: Venue) -> None:
    placed = [venue.place(qty="0.001") for _ in range(7)]
    seen, cursor = [], ""
    while True:
        page = venue.get("/v5/order/realtime", category="spot", limit=3, cursor=cursor)
        seen.append([each["orderId"] for each in page["list"]])
        cursor = page["nextPageCursor"]
        if not cursor:
            break
    assert seen == [placed[6:3:-1], placed[3:0:-1], placed[:1]]
    body = venue.send(venue.call("GET", "/v5/order/realtime", category="spot", cursor="x"))[1]
    assert body["retCode"] == codes.BAD_PARAMETER


def test_a_page_goes_on_behind_an_order_that_is_gone(venue: Venue) -> None:
    placed = [venue.place(qty="0.001") for _ in range(4)]
    page = venue.get("/v5/order/realtime", category="spot", limit=2)
    venue.post("cancel", category="spot", symbol=BTC, orderId=placed[2])
    page = venue.get("/v5/order/realtime", category="spot", limit=2, cursor=page["nextPageCursor"])
    assert [each["orderId"] for each in page["list"]] == placed[1::-1]


def test_executions_come_in_pages_too(venue: Venue) -> None:
    placed = [venue.place(price="100010", qty="0.001") for _ in range(5)]
    first = venue.get("/v5/execution/list", category="spot", limit=2)
    second = venue.get("/v5/execution/list", category="spot", limit=9, cursor=first["nextPageCursor"])
    assert [each["orderId"] for each in (*first["list"], *second["list"])] == placed[::-1]
    assert second["nextPageCursor"] == ""
    for filters in ({"orderId": placed[1]}, {"symbol": "ETHUSDT", "orderId": placed[1]}):
        (row,) = venue.get("/v5/execution/list", category="spot", **filters)["list"]
        assert row["orderId"] == placed[1]
    assert venue.get("/v5/execution/list", category="spot", baseCoin="ETH")["list"] == []
    assert venue.get("/v5/execution/list", category="spot", execType="Funding")["list"] == []
    far = str(venue.rig.now_ns // MS + 3_600_000)
    assert venue.get("/v5/execution/list", category="spot", startTime=far)["list"] == []


def test_history_has_what_ended_and_realtime_what_is_open(venue: Venue) -> None:
    filled = venue.place(price="100020")
    canceled, stays = venue.place(), venue.place()
    venue.post("cancel", category="spot", symbol=BTC, orderId=canceled)
    ids = [each["orderId"] for each in venue.get("/v5/order/history", category="spot")["list"]]
    assert ids == [canceled, filled]
    for status, order_id in (("Filled", filled), ("Cancelled", canceled)):
        (row,) = venue.get("/v5/order/history", category="spot", orderStatus=status, symbol=BTC)["list"]
        assert (row["orderId"], row["orderStatus"]) == (order_id, status)
    assert [each["orderId"] for each in venue.get("/v5/order/realtime", category="spot")["list"]] == [stays]
    recent = venue.get("/v5/order/realtime", category="spot", openOnly=1)["list"]
    assert [each["orderId"] for each in recent] == [canceled, filled]


@pytest.mark.parametrize(
    ("path", "arguments"),
    [
        ("/v5/order/realtime", {}),
        ("/v5/order/realtime", {"category": "linear"}),
        ("/v5/order/realtime", {"category": "spot", "limit": "0"}),
        ("/v5/order/realtime", {"category": "spot", "openOnly": "7"}),
        ("/v5/order/realtime", {"category": "spot", "symbol": "NOPE"}),
        ("/v5/order/realtime", {"category": "spot", "orderFilter": "NOPE"}),
        ("/v5/order/history", {"category": "spot", "orderStatus": "NOPE"}),
        ("/v5/order/history", {"category": "spot", "startTime": "x"}),
        ("/v5/order/history", {"category": "spot", "startTime": "1", "endTime": "999999999"}),
        ("/v5/position/list", {"category": "spot"}),
        ("/v5/position/list", {"category": "linear"}),
        ("/v5/account/wallet-balance", {"accountType": "SPOT"}),
        ("/v5/account/wallet-balance", {"accountType": "UNIFIED", "coin": "DOGE"}),
        ("/v5/asset/transfer/query-account-coins-balance", {"accountType": "UNIFIED"}),
        ("/v5/asset/coin/query-info", {"coin": "DOGE"}),
    ],
)
def test_bad_questions_are_refused(venue: Venue, path: str, arguments: dict[str, str]) -> None:
    answer, body = venue.send(venue.call("GET", path, **arguments))
    assert answer.status == 200
    assert body["retCode"] in (codes.BAD_PARAMETER, codes.BAD_SYMBOL, codes.BAD_FILTER, codes.NO_COIN)
    assert body["result"] == {}


def test_other_categories_are_empty(venue: Venue) -> None:
    for path in ("/v5/order/realtime", "/v5/order/history", "/v5/execution/list", "/v5/position/list"):
        result = venue.get(path, category="linear", symbol=BTC)
        assert result == {"category": "linear", "list": [], "nextPageCursor": ""}


def test_the_wallet_is_what_the_engine_holds_and_worth_the_middle_of_the_book(venue: Venue) -> None:
    venue.place(qty="0.5", price="90000")
    venue.place(side="Sell", qty="1", price="101000")
    (wallet,) = venue.get("/v5/account/wallet-balance", accountType="UNIFIED")["list"]
    coins = {each["coin"]: each for each in wallet["coin"]}
    assert set(coins) == set(venue.rig.engine.assets)
    for balance in venue.rig.desk.balances(venue.rig.account):
        row = coins[balance.asset]
        assert int(row["walletBalance"].replace(".", "")) == balance.free + balance.reserved
        assert int(row["locked"].replace(".", "")) == balance.reserved
    assert (coins["USDT"]["locked"], coins["BTC"]["locked"]) == ("45000.00000000", "1.00000000")
    assert coins["BTC"]["usdValue"] == "1000000.00000000"  # 10 at (99990 + 100010) / 2
    assert wallet["totalEquity"] == "2000000.00000000"  # the other books are empty
    assert wallet["totalAvailableBalance"] == "1855000.00000000"
    only = venue.get("/v5/account/wallet-balance", accountType="UNIFIED", coin="ETH,BTC")["list"][0]["coin"]
    assert {each["coin"] for each in only} == {"BTC", "ETH"}


def test_what_clients_ask_before_they_trade(venue: Venue) -> None:
    info = venue.get("/v5/user/query-api")
    assert (info["uta"], info["unified"], info["readOnly"], info["apiKey"]) == (
        1,
        0,
        0,
        venue.rig.key.api_key,
    )
    assert venue.get("/v5/account/info")["unifiedMarginStatus"] == 5
    rates = venue.get("/v5/account/fee-rate", category="spot", symbol=BTC)
    assert rates["list"] == [{"symbol": BTC, "takerFeeRate": "0.001", "makerFeeRate": "0.001"}]
    rows = venue.get("/v5/asset/coin/query-info")["rows"]
    assert {each["coin"] for each in rows} == set(venue.rig.engine.assets)
    held = venue.get("/v5/asset/transfer/query-account-coins-balance", accountType="UNIFIED", coin="USDT")
    assert held["balance"][0]["walletBalance"] == "1000000.00000000"
    funding = venue.get("/v5/asset/transfer/query-account-coins-balance", accountType="FUND")
    assert all(each["walletBalance"] == "0" for each in funding["balance"])


def test_orders_of_other_dialects_are_told_too(venue: Venue) -> None:
    venue.rig.desk.place(Order(venue.rig.account, 0, BUY, 1, 100, price_ticks=900_000, dialect="native"))
    venue.rig.desk.place(
        Order(venue.rig.account, 0, SELL, 6, 100, trigger_ticks=990_000, dialect="native", extra="x")
    )
    venue.rig.turn()
    stop, limit = venue.get("/v5/order/realtime", category="spot")["list"]
    assert (stop["leavesQty"], limit["leavesQty"]) == ("0.00100", "0.00100")
    assert (limit["orderType"], limit["timeInForce"], limit["price"]) == ("Limit", "GTC", "90000.0")
    assert (stop["orderType"], stop["orderStatus"], stop["stopOrderType"]) == (
        "Market",
        "Untriggered",
        "Stop",
    )


def test_what_a_prevented_self_trade_took_off_is_not_left(venue: Venue) -> None:
    order_id = venue.place(side="Sell", price="100000", qty="0.02")
    venue.rig.desk.place(
        Order(
            venue.rig.account, 0, BUY, 1, 500, price_ticks=1_000_000, self_trade=DECREMENT, dialect="native"
        )
    )
    venue.rig.turn()
    row = venue.order(order_id)
    assert (row["orderStatus"], row["qty"], row["leavesQty"]) == ("New", "0.02000", "0.01500")
