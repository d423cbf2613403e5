"""The native protocol: every request in JSON and msgpack, what is refused, logins, and events of the account."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import msgspec
import pytest

from engine.exchange.accounts import hmac_hex
from engine.exchange.desk import MAX_OPEN, MAX_WAITING
from engine.exchange.dialects import native
from engine.exchange.dialects.native import MAX_BATCH, MAX_CHANNELS, VERSION
from engine.exchange.trading import ON_COMMAND, TOO_MANY_WAITING
from engine.market.batches import BUY, SELL
from engine.matching.orders import (
    BAD_LOTS,
    BAD_PRICE,
    BAD_TRIGGER,
    DUPLICATE_ID,
    HALTED,
    NOT_RESTING,
    OFF_LOT,
    OFF_TICK,
    REASONS,
    TOO_MANY_ORDERS,
    UNKNOWN_ID,
    UNKNOWN_SYMBOL,
)
from tests.exchange.native_rig import MS, NativeClient, NativeRig, login

PRICE, LOW, HIGH = "104300.0", "104000.0", "104600.0"
FORMS = [pytest.param(False, id="json"), pytest.param(True, id="msgpack")]
forms = pytest.mark.parametrize("binary", FORMS)


def order(**more: Any) -> dict[str, Any]:
    """A buy that rests."""
    return {
        "op": "place",
        "id": 7,
        "symbol": "BTC-USDT",
        "side": "buy",
        "type": "limit",
        "price": LOW,
        "size": "0.001",
    } | more


@pytest.fixture
def rig() -> NativeRig:
    made = NativeRig()
    made.rest("BTCUSDT", SELL, PRICE, "1")
    made.rest("BTCUSDT", BUY, "104200.0", "1")
    return made


def trader(rig: NativeRig, binary: bool) -> NativeClient:
    return rig.connect(binary=binary, key=rig.key)


def said(client: NativeClient, *requests: Any) -> Any:
    """The one answer."""
    (answer,) = client.say(*requests)
    return answer


def placed(client: NativeClient, **more: Any) -> int:
    answer = said(client, order(**more))
    assert answer["ok"], answer
    return int(answer["order_id"])


def refusal(answer: Any) -> tuple[int, str]:
    assert set(answer) == {"op", "id", "ok", "code", "error"}
    assert answer["ok"] is False
    return answer["code"], answer["error"]


# --- hello, ping -------------------------------------------------------------------------------------------


def test_the_greeting_lists_symbols_with_the_units_and_least_notional_that_are_enforced() -> None:
    rig = NativeRig()
    hello = rig.connect().hello
    assert (hello["op"], hello["version"], hello["time_ns"]) == ("hello", VERSION, rig.now_ns)
    assert [each["symbol"] for each in hello["symbols"]] == [
        *("BTC-USDT", "ETH-USDT", "SOL-USDT", "BNB-USDT", "XRP-USDT"),
    ]
    assert hello["symbols"][0] == {
        "symbol": "BTC-USDT", "tick": "0.1", "lot": "0.00001", "min_notional": "5",
    }  # fmt: skip
    client = trader(rig, False)
    for each in hello["symbols"]:
        name, tick, lot = each["symbol"], Decimal(each["tick"]), Decimal(each["lot"])
        price = 1_000 * tick
        rig.trade_at(name.replace("-", ""), str(price), str(lot * 1_000_000))
        least = int(Decimal(each["min_notional"]) / (price * lot))
        good = said(client, order(symbol=name, price=str(price), size=str((least + 1) * lot)))
        bad = said(client, order(symbol=name, price=str(price), size=str((least - 1) * lot)))
        assert good["ok"], good
        assert refusal(bad)[1] == "price times quantity is below the minimum", bad


@forms
def test_a_ping_tells_the_exchanges_time(rig: NativeRig, binary: bool) -> None:
    client = rig.connect(binary=binary)
    assert said(client, {"op": "ping", "id": "any text"}) == {
        "op": "ping", "id": "any text", "ok": True, "time_ns": rig.now_ns,
    }  # fmt: skip


@forms
@pytest.mark.parametrize("number", [0, -5, (1 << 63) - 1, -(1 << 63), "", "x" * 36, "é", None])
def test_any_request_comes_back_with_its_id(rig: NativeRig, binary: bool, number: Any) -> None:
    client = trader(rig, binary)
    for request in (
        {"op": "ping"},
        order(),
        order(size="0"),
        order(type="market", size="0.5", price=""),
        {"op": "cancel", "order_id": 5},
        {"op": "balances"},
        {"op": "nothing"},
    ):
        answer = said(client, request | {"id": number})
        assert answer["id"] == number
        assert answer["op"] == request["op"]


@forms
def test_ids_that_are_longer_are_refused(rig: NativeRig, binary: bool) -> None:
    client = trader(rig, binary)
    for number in (1 << 63, (1 << 64) - 1, "x" * 37, 1.5, True, [], {}):
        answer = said(client, {"op": "ping", "id": number})
        assert answer["op"] == "error"
        assert refusal(answer)[0] == native.BAD_MESSAGE
        assert "$.id" in answer["error"]


# --- login -------------------------------------------------------------------------------------------------


@forms
def test_a_login_is_answered_with_the_account(rig: NativeRig, binary: bool) -> None:
    client = rig.connect(binary=binary)
    assert client.login(rig.key) == [{"op": "login", "id": 1, "ok": True, "account": "main"}]
    assert (client.link.account, client.link.label) == (rig.account, "main")


def test_without_login_market_data_and_pings_alone_are_served(rig: NativeRig) -> None:
    client = rig.connect()
    for request in (
        order(),
        {"op": "cancel", "order_id": 1},
        {"op": "amend", "order_id": 1, "price": LOW},
        {"op": "cancel_all", "symbol": "BTC-USDT"},
        {"op": "orders"},
        {"op": "fills"},
        {"op": "balances"},
        {"op": "subscribe", "channels": ["trades:BTC-USDT", "account"]},
    ):
        assert refusal(said(client, request))[0] == native.NOT_LOGGED_IN
    assert not rig.feed._followers  # of a subscription refused nothing is done
    assert said(client, {"op": "subscribe", "channels": ["trades:BTC-USDT"]})["ok"]


@forms
def test_each_bad_login_is_refused_with_its_code(rig: NativeRig, binary: bool) -> None:
    client = rig.connect(binary=binary)
    other = rig.other()
    good = login(rig.key, rig.now_ns)
    wrong = hmac_hex("another secret", f"login{good['ts_ms']}{rig.key.api_key}".encode())
    for changed, code in (
        ({"key": "unknown"}, native.BAD_KEY),
        ({"key": ""}, native.BAD_KEY),
        ({"sign": wrong}, native.BAD_SIGNATURE),
        ({"sign": ""}, native.BAD_SIGNATURE),
        ({"sign": "é" * 100}, native.BAD_SIGNATURE),
        ({"ts_ms": good["ts_ms"] + 1}, native.BAD_SIGNATURE),
        ({"key": other.api_key}, native.BAD_SIGNATURE),
    ):
        assert refusal(said(client, good | changed))[0] == code
    for away_ms in (-10_001, 10_001):
        assert refusal(client.login(rig.key, rig.now_ns + away_ms * MS)[0])[0] == native.OLD_TIMESTAMP
    assert refusal(said(client, order()))[0] == native.NOT_LOGGED_IN
    for away_ms in (-10_000, 10_000):
        assert client.login(rig.key, rig.now_ns + away_ms * MS)[0]["ok"]


def test_a_login_signed_before_the_start_is_refused(rig: NativeRig) -> None:
    rig.native.guard.opened_ns = rig.now_ns // MS * MS  # type: ignore[misc]
    assert refusal(rig.connect().login(rig.key, rig.now_ns - MS)[0])[0] == native.OLD_TIMESTAMP
    assert rig.connect().login(rig.key, rig.now_ns)[0]["ok"]


def test_a_login_used_once_is_refused_ever_after_in_any_spelling(rig: NativeRig) -> None:
    good = login(rig.key, rig.now_ns)
    assert said(rig.connect(), good)["ok"]
    for sign in (good["sign"], good["sign"].upper()):
        assert refusal(said(rig.connect(), good | {"sign": sign}))[0] == native.REPLAYED
    for later_ms in (9_000, 1_000):
        rig.now_ns += later_ms * MS
        assert refusal(said(rig.connect(), good))[0] == native.REPLAYED
    rig.now_ns += MS
    assert refusal(said(rig.connect(), good))[0] == native.OLD_TIMESTAMP


def test_a_login_as_another_account_ends_the_events_of_the_one_before(rig: NativeRig) -> None:
    client, watcher = trader(rig, False), trader(rig, False)
    other = rig.other()
    client.say({"op": "subscribe", "channels": ["account"]})
    assert [each["ch"] for each in client.say(order())[1:]] == ["account"]
    assert client.login(other)[0]["account"] == "other"
    assert placed(watcher)
    assert client.heard() == []
    assert said(client, {"op": "orders"})["orders"] == []
    client.say({"op": "subscribe", "channels": ["account"]})
    answer, event = client.say(order())
    assert event["order_id"] == answer["order_id"]
    client.session.on_close()
    assert not rig.desk._listeners


def test_a_failed_login_leaves_the_one_before_as_it_is(rig: NativeRig) -> None:
    client = trader(rig, False)
    assert refusal(client.login(rig.other(), sign="0" * 64)[0])[0] == native.BAD_SIGNATURE
    assert said(client, order())["ok"]
    assert len(rig.desk.open_orders(rig.account)) == 1


def test_a_key_that_may_only_read_reads(rig: NativeRig) -> None:
    order_id = placed(trader(rig, False))
    key = rig.accounts.create("main", "", rig.now_ns, trade=False)
    client = rig.connect(key=key)
    for request in (
        order(),
        {"op": "cancel", "order_id": order_id},
        {"op": "amend", "order_id": order_id, "price": HIGH},
        {"op": "cancel_all", "symbol": "BTC-USDT"},
    ):
        before = rig.engine.state_hash()
        assert refusal(said(client, request))[0] == native.MAY_NOT_TRADE
        assert rig.engine.state_hash() == before
    assert [each["order_id"] for each in said(client, {"op": "orders"})["orders"]] == [order_id]
    assert said(client, {"op": "balances"})["ok"]
    assert said(client, {"op": "subscribe", "channels": ["account"]})["ok"]


def test_a_revoked_key_ends_its_sessions_and_no_others(rig: NativeRig) -> None:
    mine, other = trader(rig, False), rig.connect(key=rig.other())
    nobody = rig.connect()
    for each in (mine, other, nobody):
        each.session.on_turn(rig.now_ns)
        assert each.link.closed is None
    rig.accounts.revoke(rig.key.api_key)
    for each in (mine, other, nobody):
        each.session.on_turn(rig.now_ns)
    assert mine.link.closed == (1008, "the key was revoked")
    assert other.link.closed is None
    assert nobody.link.closed is None


# --- orders ------------------------------------------------------------------------------------------------


@forms
def test_a_place_that_rests_is_answered_alike_with_any_id(rig: NativeRig, binary: bool) -> None:
    client = trader(rig, binary)
    for number in (1, "one", None):
        answer = said(client, order(id=number))
        (known,) = rig.desk.open_orders(rig.account)[-1:]
        assert answer == {
            "op": "place", "id": number, "ok": True, "order_id": known.order_id, "status": "new",
            "filled": "0.00000", "ts_ns": rig.now_ns,
        }  # fmt: skip


@forms
def test_a_place_that_trades_tells_what_was_filled_and_the_average(rig: NativeRig, binary: bool) -> None:
    rig.rest("BTCUSDT", SELL, "104300.1", "1")
    client = trader(rig, binary)
    whole = said(client, order(type="limit", price=HIGH, size="1.5"))
    assert (whole["status"], whole["filled"]) == ("filled", "1.50000")
    assert whole["average"] == "104300.0"  # 104300.0333, rounded down to the tick
    partly = said(client, order(price=HIGH, size="0.7"))
    assert (partly["status"], partly["filled"]) == ("partially_filled", "0.50000")
    assert partly["average"] == "104300.1"


@forms
@pytest.mark.parametrize(
    ("more", "wanted"),
    [
        ({"tif": "ioc"}, {"status": "expired", "time_in_force": native.IOC}),
        ({"tif": "fok"}, {"status": "expired", "time_in_force": native.FOK}),
        ({"tif": "gtd", "expire_ns": 1 << 62}, {"time_in_force": native.GTD, "expire_ns": 1 << 62}),
        ({"post_only": True}, {"post_only": True}),
        ({"client_id": "mine-1"}, {"client_id": "mine-1"}),
        ({"display": "0.0005"}, {"display_lots": 50}),
        *[({"self_trade": name}, {"self_trade": code}) for name, code in native.SELF_TRADES.items()],
        ({"type": "market", "price": "", "size": "0.5"}, {"kind": native.MARKET, "status": "filled"}),
        (
            {"type": "market", "price": "ignored", "size": "0.5"},
            {"kind": native.MARKET, "price_ticks": 0},
        ),
        ({"type": "stop", "trigger": HIGH}, {"kind": native.STOP, "trigger_ticks": 1_046_000}),
        (
            {"type": "stop_limit", "trigger": HIGH},
            {"kind": native.STOP_LIMIT, "price_ticks": 1_040_000, "trigger_ticks": 1_046_000},
        ),
        ({"type": "take_profit", "trigger": LOW}, {"kind": native.TAKE_PROFIT, "trigger_ticks": 1_040_000}),
        (
            {"type": "take_profit_limit", "trigger": LOW},
            {"kind": native.TAKE_PROFIT_LIMIT, "price_ticks": 1_040_000, "trigger_ticks": 1_040_000},
        ),
        ({"type": "trailing_stop", "trigger": "100"}, {"kind": native.TRAILING_STOP, "trigger_ticks": 1_000}),
        ({"side": "sell", "price": HIGH}, {"side": SELL, "price_ticks": 1_046_000}),
        ({"symbol": "BTCUSDT"}, {"symbol": 0}),
        ({"symbol": "ETH-USDT", "price": "4000", "size": "1"}, {"symbol": 1}),
    ],
)
def test_every_field_reaches_the_order(
    rig: NativeRig, binary: bool, more: dict[str, Any], wanted: dict[str, Any]
) -> None:
    rig.trade_at("BTCUSDT", "104250.0", "1")
    rig.trade_at("ETHUSDT", "4010", "1")
    client = trader(rig, binary)
    answer = said(client, order(**more))
    assert answer["ok"], answer
    found = rig.desk.order(rig.account, answer["order_id"])
    assert found is not None
    usual = {
        "account": rig.account, "symbol": 0, "side": BUY, "kind": native.LIMIT, "time_in_force": native.GTC,
        "post_only": False, "display_lots": 0, "self_trade": native.NONE, "expire_ns": 0, "client_id": "",
        "link_id": 0, "dialect": "native",
    }  # fmt: skip
    for name, value in (usual | wanted).items():
        assert getattr(found, name) == value, name


def test_a_linked_order_cancels_its_partner(rig: NativeRig) -> None:
    client = trader(rig, False)
    first = placed(client, side="sell", price=HIGH)
    rig.trade_at("BTCUSDT", "104250.0", "1")
    second = placed(client, side="sell", type="stop", trigger=LOW, link=first)
    assert said(client, {"op": "cancel", "order_id": first})["status"] == "canceled"
    found = rig.desk.order(rig.account, second)
    assert found is not None
    assert not found.is_open


@forms
@pytest.mark.parametrize(
    ("more", "code", "field"),
    [
        ({"symbol": "DOGE-USDT"}, UNKNOWN_SYMBOL, "symbol"),
        ({"symbol": ""}, UNKNOWN_SYMBOL, "symbol"),
        ({"type": "iceberg"}, native.BAD_MESSAGE, "type"),
        ({"tif": "day"}, native.BAD_MESSAGE, "tif"),
        ({"self_trade": "both"}, native.BAD_MESSAGE, "self_trade"),
        ({"price": ""}, BAD_PRICE, "price"),
        ({"price": "0"}, BAD_PRICE, "price"),
        ({"price": "-1"}, BAD_PRICE, "price"),
        ({"price": "1e5"}, BAD_PRICE, "price"),
        ({"price": "9" * 40}, BAD_PRICE, "price"),
        ({"price": "104000.05"}, OFF_TICK, "price"),
        ({"size": ""}, BAD_LOTS, "size"),
        ({"size": "0"}, BAD_LOTS, "size"),
        ({"size": "-0.001"}, BAD_LOTS, "size"),
        ({"size": "9" * 40}, BAD_LOTS, "size"),
        ({"size": "0.000001"}, OFF_LOT, "size"),
        ({"type": "stop", "trigger": "0"}, BAD_TRIGGER, "trigger"),
        ({"type": "stop", "trigger": "1.05"}, OFF_TICK, "trigger"),
        ({"display": "0.000001"}, OFF_LOT, "display"),
        ({"display": "0"}, BAD_LOTS, "display"),
    ],
)
def test_a_field_that_cannot_be_is_named_and_nothing_changes(
    rig: NativeRig, binary: bool, more: dict[str, Any], code: int, field: str
) -> None:
    client = trader(rig, binary)
    before = rig.engine.state_hash()
    given, text = refusal(said(client, order(**more)))
    assert given == code
    assert text.startswith(f"{field}: ")
    assert rig.engine.state_hash() == before
    assert client.link.rejects == [code]
    assert client.link.orders == 0


@forms
def test_the_engines_refusals_come_with_its_codes_and_words(rig: NativeRig, binary: bool) -> None:
    client = trader(rig, binary)
    placed(client, client_id="twice")
    for more, text in (
        ({"price": HIGH, "post_only": True}, "the post-only order would trade at once"),
        ({"size": "100"}, "not enough free balance"),
        ({"type": "stop"}, REASONS[BAD_TRIGGER]),
        ({"tif": "gtd"}, None),
        ({"link": 99}, None),
        ({"client_id": "twice"}, REASONS[DUPLICATE_ID]),
        ({"display": "0.5"}, None),
        ({"price": "1.0", "size": "0.1"}, "price times quantity is below the minimum"),
    ):
        before = rig.engine.state_hash()
        code, words = refusal(said(client, order(**more)))
        assert words == REASONS[code]
        assert text is None or words == text, words
        assert rig.engine.state_hash() == before
    rig.desk.set_phase(0, HALTED)
    rig.turn()
    code, words = refusal(said(client, order()))
    assert words == REASONS[code]


def test_the_desks_refusals_come_with_codes_from_100(rig: NativeRig) -> None:
    client = trader(rig, False)
    rig.desk.reject = lambda _: True
    assert refusal(said(client, order())) == (ON_COMMAND, "rejected by a fault on command")
    rig.desk.reject = None
    first = True
    codes = []
    for _ in range(MAX_WAITING // MAX_BATCH + 1):  # more than one drain takes
        client.begin(*[{"op": "cancel_all", "id": 1, "symbol": "ETH-USDT"}] * MAX_BATCH)
    rig.turn()
    codes = [each.get("code") for each in client.heard()]
    assert first
    assert codes.count(None) == MAX_WAITING
    assert set(codes) == {None, TOO_MANY_WAITING}


def test_an_account_has_at_most_200_open_orders_in_a_symbol(rig: NativeRig) -> None:
    client = trader(rig, False)
    answers = client.say(*[order(size="0.0001")] * MAX_OPEN)
    assert all(each["ok"] for each in answers), answers
    assert refusal(said(client, order()))[0] == TOO_MANY_ORDERS
    assert said(client, order(symbol="ETH-USDT", price="4000", size="0.1"))["ok"]


@forms
def test_orders_are_canceled_by_either_id(rig: NativeRig, binary: bool) -> None:
    client = trader(rig, binary)
    first, second = placed(client), placed(client, client_id="mine")
    for request, order_id in (({"order_id": first}, first), ({"client_id": "mine"}, second)):
        assert said(client, {"op": "cancel", "id": 3} | request) == {
            "op": "cancel", "id": 3, "ok": True, "order_id": order_id, "status": "canceled",
            "filled": "0.00000", "open": "0.00000", "ts_ns": rig.now_ns,
        }  # fmt: skip
    for request in ({"order_id": first}, {"client_id": "mine"}, {"client_id": "no"}, {"order_id": 1 << 62}):
        assert refusal(said(client, {"op": "cancel"} | request))[0] == UNKNOWN_ID
    assert refusal(said(client, {"op": "cancel"})) == (
        native.BAD_MESSAGE,
        "order_id: it is needed, or client_id",
    )


@forms
def test_nobody_reaches_anothers_orders(rig: NativeRig, binary: bool) -> None:
    mine, other = trader(rig, binary), rig.connect(binary=binary, key=rig.other())
    order_id = placed(mine, client_id="mine")
    for request in (
        {"op": "cancel", "order_id": order_id},
        {"op": "cancel", "client_id": "mine"},
        {"op": "amend", "order_id": order_id, "price": HIGH},
        {"op": "orders", "order_id": order_id},
    ):
        assert refusal(said(other, request))[0] == UNKNOWN_ID
    assert said(other, {"op": "cancel_all", "symbol": "BTC-USDT"})["count"] == 0
    assert said(other, {"op": "orders"})["orders"] == said(other, {"op": "fills"})["fills"] == []
    assert len(rig.desk.open_orders(rig.account)) == 1
    assert placed(other, client_id="mine")  # ids of one's own are the account's


@forms
def test_an_amend_changes_price_or_open_size_or_both(rig: NativeRig, binary: bool) -> None:
    client = trader(rig, binary)
    order_id = placed(client, size="0.01", client_id="mine")
    for change, price, size in (
        ({"order_id": order_id, "size": "0.004"}, 1_040_000, 400),
        ({"client_id": "mine", "price": "104001.0"}, 1_040_010, 400),
        ({"order_id": order_id, "price": "104002.0", "size": "0.02"}, 1_040_020, 2_000),
    ):
        answer = said(client, {"op": "amend", "id": 4} | change)
        assert answer == {
            "op": "amend", "id": 4, "ok": True, "order_id": order_id, "status": "new",
            "filled": "0.00000", "open": rig.units["BTCUSDT"].size_text(size), "ts_ns": rig.now_ns,
        }  # fmt: skip
        found = rig.desk.order(rig.account, order_id)
        assert found is not None
        assert (found.price_ticks, found.open_lots) == (price, size)


@forms
def test_amends_that_cannot_be_change_nothing(rig: NativeRig, binary: bool) -> None:
    client = trader(rig, binary)
    rig.trade_at("BTCUSDT", "104250.0", "1")
    order_id, armed = placed(client), placed(client, type="stop", trigger=HIGH)
    ended = placed(client)
    said(client, {"op": "cancel", "order_id": ended})
    before = rig.engine.state_hash()
    for change, code in (
        ({"order_id": order_id}, native.BAD_MESSAGE),
        ({"price": LOW}, native.BAD_MESSAGE),
        ({"order_id": order_id, "price": "1.05"}, OFF_TICK),
        ({"order_id": order_id, "size": "0"}, BAD_LOTS),
        ({"order_id": ended, "size": "1"}, UNKNOWN_ID),
        ({"order_id": armed, "size": "0.1"}, NOT_RESTING),
    ):
        assert refusal(said(client, {"op": "amend"} | change))[0] == code, change
    assert rig.engine.state_hash() == before


def test_an_order_of_the_same_batch_is_amended(rig: NativeRig) -> None:
    client = trader(rig, False)
    change = {"op": "amend", "client_id": "mine", "price": "104001.0"}
    answers = client.say(order(client_id="mine"), change, change | {"size": "0.002"})
    assert sorted((each["op"], each["ok"]) for each in answers) == [
        ("amend", True), ("amend", True), ("place", True),
    ]  # fmt: skip
    (found,) = rig.desk.open_orders(rig.account)
    assert (found.price_ticks, found.open_lots) == (1_040_010, 200)


@forms
def test_cancel_all_counts_what_it_canceled_in_that_symbol(rig: NativeRig, binary: bool) -> None:
    client = trader(rig, binary)
    for _ in range(3):
        placed(client)
    eth = placed(client, symbol="ETH-USDT", price="4000", size="0.1")
    assert said(client, {"op": "cancel_all", "id": 5, "symbol": "BTC-USDT"}) == {
        "op": "cancel_all", "id": 5, "ok": True, "count": 3, "ts_ns": rig.now_ns,
    }  # fmt: skip
    assert [each.order_id for each in rig.desk.open_orders(rig.account)] == [eth]
    assert refusal(said(client, {"op": "cancel_all"}))[0] == UNKNOWN_SYMBOL


# --- frames ------------------------------------------------------------------------------------------------


@forms
def test_a_batch_is_done_in_its_order_and_each_is_answered(rig: NativeRig, binary: bool) -> None:
    client = trader(rig, binary)
    batch = [order(id=at, client_id=f"c{at}") for at in range(MAX_BATCH - 1)]
    answers = client.say(*batch, {"op": "cancel", "id": 999, "client_id": "c5"})
    assert [each["id"] for each in answers] == [*range(MAX_BATCH - 1), 999]
    assert len(rig.desk.open_orders(rig.account)) == MAX_BATCH - 2
    ids = [each["order_id"] for each in answers[:-1]]
    assert ids == sorted(ids)


@forms
@pytest.mark.parametrize("count", [0, MAX_BATCH + 1])
def test_a_batch_of_none_or_too_many_is_refused_whole(rig: NativeRig, binary: bool, count: int) -> None:
    client = trader(rig, binary)
    before = rig.engine.state_hash()
    encode = msgspec.msgpack.encode if binary else msgspec.json.encode
    client.send(encode([order()] * count))
    rig.turn()
    (answer,) = client.heard()
    assert (answer["op"], answer["id"]) == ("error", None)
    assert refusal(answer)[0] == native.BAD_MESSAGE
    assert rig.engine.state_hash() == before
    assert len(rig.desk.open_orders(rig.account)) == 0


def test_space_may_stand_before_a_batch(rig: NativeRig) -> None:
    client = rig.connect()
    client.send(b' \r\n\t[{"op":"ping"},{"op":"ping"}] ')
    assert len(client.heard()) == 2


@forms
def test_one_bad_object_refuses_its_whole_batch(rig: NativeRig, binary: bool) -> None:
    client = trader(rig, binary)
    answer = said(client, order(), order(side="hold"), order())
    assert refusal(answer)[0] == native.BAD_MESSAGE
    assert "$[1].side" in answer["error"]
    assert rig.desk.waiting == 0
    assert not rig.desk.open_orders(rig.account)


def test_answers_come_in_the_form_of_their_request_and_events_in_that_of_the_last(rig: NativeRig) -> None:
    client = trader(rig, False)
    client.say({"op": "subscribe", "channels": ["account"]})
    bought = order(type="market", size="0.5")
    for first, second in ((False, True), (True, False)):
        for request in (order(), order(size="0"), bought, {"op": "cancel_all", "symbol": "BTC-USDT"}):
            client.binary = first
            client.begin(request)
            client.binary = second
            client.begin({"op": "ping"})
            rig.turn()
            forms = []
            for each in client.link.sent:
                value = msgspec.msgpack.decode(each) if isinstance(each, bytes) else msgspec.json.decode(each)
                forms.append((value.get("op", "event"), isinstance(each, bytes)))
            client.link.sent.clear()
            for op, is_binary in forms:
                assert is_binary is (first if op == request["op"] else second), (op, forms)


@forms
def test_an_unknown_op_is_named_with_those_there_are(rig: NativeRig, binary: bool) -> None:
    code, text = refusal(said(rig.connect(binary=binary), {"op": "buy", "id": 3}))
    assert code == native.UNKNOWN_OP
    assert "'buy'" in text
    assert "place" in text


def test_a_client_that_was_cut_in_a_batch_does_no_more_of_it(rig: NativeRig) -> None:
    client = trader(rig, False)
    send = client.link.send

    def cut(message: str | bytes) -> None:
        send(message)
        client.session.on_close()

    client.link.send = cut  # type: ignore[method-assign]
    client.say({"op": "balances"}, order(), order())
    assert not rig.desk.open_orders(rig.account)


def test_counts_of_orders_answers_and_refusals_are_kept(rig: NativeRig) -> None:
    client = trader(rig, False)
    order_id = placed(client)
    said(client, {"op": "amend", "order_id": order_id, "size": "0.0005"})
    said(client, {"op": "cancel", "order_id": order_id})
    said(client, {"op": "cancel_all", "symbol": "BTC-USDT"})
    said(client, order(size="100"))
    said(client, {"op": "what"})
    assert (client.link.orders, client.link.acks) == (5, 5)  # a refused order is answered too
    assert client.link.rejects[1:] == [native.UNKNOWN_OP]


# --- questions ---------------------------------------------------------------------------------------------


@forms
def test_open_orders_are_listed_with_all_there_is_to_know(rig: NativeRig, binary: bool) -> None:
    client = trader(rig, binary)
    rig.trade_at("BTCUSDT", "104250.0", "0.1")
    partly = placed(client, price="104300.0", size="1.5", client_id="mine")
    armed = placed(client, type="stop", side="sell", trigger=LOW)
    rows = said(client, {"op": "orders", "id": 6})["orders"]
    assert rows == [
        {
            "order_id": partly, "client_id": "mine", "symbol": "BTC-USDT", "side": "buy", "type": "limit",
            "status": "partially_filled", "size": "1.50000", "filled": "1.00000", "open": "0.50000",
            "created_ns": rig.now_ns, "updated_ns": rig.now_ns, "price": "104300.0", "average": "104300.0",
        },
        {
            "order_id": armed, "client_id": "", "symbol": "BTC-USDT", "side": "sell", "type": "stop",
            "status": "armed", "size": "0.00100", "filled": "0.00000", "open": "0.00100",
            "created_ns": rig.now_ns, "updated_ns": rig.now_ns, "trigger": "104000.0",
        },
    ]  # fmt: skip
    assert said(client, {"op": "orders", "symbol": "ETH-USDT"})["orders"] == []
    assert said(client, {"op": "orders", "symbol": "BTCUSDT"})["orders"] == rows
    assert said(client, {"op": "orders", "order_id": armed})["orders"] == rows[1:]
    said(client, {"op": "cancel", "order_id": armed})
    assert said(client, {"op": "orders"})["orders"] == rows[:1]
    (ended,) = said(client, {"op": "orders", "order_id": armed})["orders"]
    assert (ended["status"], ended["open"]) == ("canceled", "0.00000")
    assert refusal(said(client, {"op": "orders", "order_id": 4}))[0] == UNKNOWN_ID
    assert refusal(said(client, {"op": "orders", "symbol": "X"}))[0] == UNKNOWN_SYMBOL


@forms
def test_fills_and_balances_add_up(rig: NativeRig, binary: bool) -> None:
    client = trader(rig, binary)
    before = said(client, {"op": "balances"})["balances"]
    assert before["USDT"] == {"free": "1000000.00000000", "reserved": "0.00000000"}
    order_id = placed(client, price=PRICE, size="0.5", client_id="mine")
    placed(client, side="sell", type="market", size="0.1")
    fills = said(client, {"op": "fills", "id": 8})["fills"]
    assert fills[0] == {
        "trade_id": fills[0]["trade_id"], "order_id": order_id, "client_id": "mine", "symbol": "BTC-USDT",
        "side": "buy", "price": "104300.0", "size": "0.50000", "fee": "0.00050000", "fee_asset": "BTC",
        "maker": False, "ts_ns": rig.now_ns,
    }  # fmt: skip
    assert (fills[1]["side"], fills[1]["fee_asset"], fills[1]["fee"]) == ("sell", "USDT", "10.42000000")
    assert said(client, {"op": "fills", "symbol": "ETH-USDT"})["fills"] == []
    placed(client)  # holds 104 USDT
    after = said(client, {"op": "balances"})["balances"]
    spent = Decimal("0.5") * Decimal(PRICE) - Decimal("0.1") * Decimal("104200.0") * Decimal("0.999")
    assert Decimal(after["BTC"]["free"]) == Decimal(10) + Decimal("0.5") * Decimal("0.999") - Decimal("0.1")
    assert Decimal(after["USDT"]["free"]) == Decimal(1_000_000) - spent - Decimal("104")
    assert after["USDT"]["reserved"] == "104.00000000"


# --- events ------------------------------------------------------------------------------------------------


@forms
def test_the_account_is_told_of_all_that_happens_to_its_orders_in_order(rig: NativeRig, binary: bool) -> None:
    watcher, client = trader(rig, binary), trader(rig, False)
    watcher.say({"op": "subscribe", "id": 1, "channels": ["account"]})
    rig.trade_at("BTCUSDT", "104250.0", "0.1")

    def told(*requests: Any) -> list[Any]:
        client.say(*requests)
        found = watcher.heard()
        assert all(each["ch"] == "account" and each["ts_ns"] == rig.now_ns for each in found)
        return found

    new, trade = told(order(price=PRICE, size="1.5", client_id="mine"))
    order_id = new["order_id"]
    assert new == {
        "ch": "account", "type": "new", "order_id": order_id, "client_id": "mine", "symbol": "BTC-USDT",
        "side": "buy", "status": "new", "filled": "0.00000", "open": "1.50000", "ts_ns": rig.now_ns,
    }  # fmt: skip
    assert trade == new | {
        "type": "trade", "status": "partially_filled", "filled": "1.00000", "open": "0.50000",
        "price": PRICE, "size": "1.00000", "fee": "0.00100000", "fee_asset": "BTC", "maker": False,
        "trade_id": trade["trade_id"],
    }  # fmt: skip
    (amended,) = told({"op": "amend", "order_id": order_id, "size": "0.4"})
    assert (amended["type"], amended["filled"], amended["open"]) == ("amended", "1.00000", "0.40000")
    (replaced,) = told({"op": "amend", "order_id": order_id, "price": "104299.0"})
    assert (replaced["type"], replaced["open"]) == ("replaced", "0.40000")
    rig.take("BTCUSDT", SELL, "0.1")
    (maker,) = watcher.heard()
    assert (maker["type"], maker["maker"], maker["price"], maker["size"]) == (
        "trade", True, "104299.0", "0.10000",
    )  # fmt: skip
    assert (maker["filled"], maker["open"], maker["status"]) == ("1.10000", "0.30000", "partially_filled")
    (canceled,) = told({"op": "cancel", "order_id": order_id})
    assert (canceled["type"], canceled["status"], canceled["open"]) == ("canceled", "canceled", "0.00000")
    assert "reason" not in canceled
    (armed,) = told(order(type="stop_limit", side="sell", trigger="104100.0", price=LOW, size="0.1"))
    assert (armed["type"], armed["status"]) == ("armed", "armed")
    rig.trade_at("BTCUSDT", "104100.0", "2")
    kinds = [each["type"] for each in watcher.heard()]
    assert kinds[0] == "triggered"
    _, expired = told(order(tif="ioc"))
    assert (expired["type"], expired["status"]) == ("expired", "expired")
    assert expired["reason"]
    (transfer,) = (rig.desk.deposit(rig.account, "USDT", 150_000_000), rig.turn(), watcher.heard())[2]
    assert transfer == {
        "ch": "account", "type": "transfer", "asset": "USDT", "amount": "1.50000000", "ts_ns": rig.now_ns,
    }  # fmt: skip


def test_an_order_kept_from_trading_with_itself_is_told_as_prevented(rig: NativeRig) -> None:
    client = trader(rig, False)
    rig.leave("BTCUSDT")
    resting = placed(client, side="sell", price=PRICE, size="0.2")
    client.say({"op": "subscribe", "channels": ["account"]})
    events = client.say(order(price=PRICE, size="0.5", self_trade="decrement"))
    prevented = [each for each in events if each.get("type") == "prevented"]
    assert {each["order_id"] for each in prevented} >= {resting}
    gone = next(each for each in prevented if each["order_id"] == resting)
    assert (gone["status"], gone["open"]) == ("expired", "0.00000")


def test_events_end_with_the_subscription_and_with_the_session(rig: NativeRig) -> None:
    client, other = trader(rig, False), trader(rig, False)
    for _ in range(2):  # twice is once
        assert client.say({"op": "subscribe", "channels": ["account", "account"]})[0]["ok"]
    placed(other)
    assert len(client.heard()) == 1
    assert said(client, {"op": "unsubscribe", "id": 2, "channels": ["account"]}) == {
        "op": "unsubscribe", "id": 2, "ok": True, "channels": ["account"],
    }  # fmt: skip
    placed(other)
    assert client.heard() == []
    client.say({"op": "subscribe", "channels": ["account", "book:BTC-USDT", "bbo:XRP-USDT"]})
    client.session.on_close()
    assert (rig.desk._listeners, rig.feed._followers) == ({}, {})


@pytest.mark.parametrize(
    "channel", ["", "account:BTC-USDT:", "book", "book:", "book:X", "quotes:BTC-USDT", "trades:BTC-USDT:1"]
)
def test_a_channel_that_is_not_there_refuses_the_whole_subscription(rig: NativeRig, channel: str) -> None:
    client = trader(rig, False)
    for op in ("subscribe", "unsubscribe"):
        code, text = refusal(said(client, {"op": op, "channels": ["trades:BTC-USDT", channel, "account"]}))
        assert code == native.BAD_MESSAGE
        assert repr(channel) in text
    assert (rig.desk._listeners, rig.feed._followers) == ({}, {})


def test_a_request_names_at_most_64_channels(rig: NativeRig) -> None:
    client = rig.connect()
    channels = ["trades:BTC-USDT"] * MAX_CHANNELS
    assert said(client, {"op": "subscribe", "channels": channels})["ok"]
    assert refusal(said(client, {"op": "subscribe", "channels": [*channels, "bbo:BTC-USDT"]}))[0] == 200
