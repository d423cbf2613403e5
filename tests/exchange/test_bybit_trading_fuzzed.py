"""Whatever is sent to Bybit's private side: it answers, never raises, and a refusal changes nothing."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from engine.exchange.accounts import hmac_hex
from engine.exchange.dialects import bybit_trading_codes as codes
from engine.exchange.dialects.bybit_trading_login import PER_SECOND
from engine.exchange.entry import RestCall
from tests.exchange.bybit_calls import BTC, MS, Venue
from tests.exchange.desk_rig import Link

EXAMPLES = settings(max_examples=120, deadline=None)
KNOWN = {0, *codes.SENTENCES}
PATHS = sorted(PER_SECOND)
POSTS = [each for each in PATHS if each.startswith("/v5/order/") and each[10:] not in ("realtime", "history")]

odd = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), st.text(max_size=45),
    st.lists(st.integers(), max_size=2), st.dictionaries(st.text(max_size=3), st.integers(), max_size=2),
)  # fmt: skip
decimals = st.one_of(
    st.decimals(0, 200_000, places=5).map(str),
    st.sampled_from(["100010", "99990", "0", "-1", "1e5", "0.01", "9" * 19, "９"]),
)
FIELDS: dict[str, st.SearchStrategy[Any]] = {
    "category": st.sampled_from(["spot", "spot", "spot", "linear", "x"]),
    "symbol": st.sampled_from([BTC, BTC, "ETHUSDT", "NOPE"]),
    "side": st.sampled_from(["Buy", "Sell"]),
    "orderType": st.sampled_from(["Limit", "Market"]),
    "qty": decimals,
    "price": decimals,
    "triggerPrice": decimals,
    "timeInForce": st.sampled_from(["GTC", "IOC", "FOK", "PostOnly", "RPI"]),
    "orderFilter": st.sampled_from(["Order", "StopOrder", "tpslOrder", "OcoOrder"]),
    "marketUnit": st.sampled_from(["baseCoin", "quoteCoin"]),
    "smpType": st.sampled_from(["None", "CancelMaker", "CancelTaker", "CancelBoth"]),
    "orderLinkId": st.sampled_from(["a", "b", "c d"]),
    "orderId": st.integers(1_000_000, 1_000_020).map(str),
    "slippageToleranceType": st.sampled_from(["TickSize", "Percent"]),
    "slippageTolerance": decimals,
    "request": st.lists(st.fixed_dictionaries({}, optional={"symbol": st.just(BTC), "qty": decimals}), max_size=3),
}  # fmt: skip
NEEDED = ("category", "symbol", "side", "orderType", "qty", "price")
arguments = st.fixed_dictionaries(
    {name: FIELDS[name] for name in NEEDED},
    optional={name: each for name, each in FIELDS.items() if name not in NEEDED},
)
strange = st.fixed_dictionaries({}, optional={name: st.one_of(each, odd) for name, each in FIELDS.items()})


@EXAMPLES
@given(calls=st.lists(st.tuples(st.sampled_from(POSTS), st.one_of(arguments, strange)), max_size=6))
def test_order_calls_are_answered_and_refusals_change_nothing(
    calls: list[tuple[str, dict[str, Any]]],
) -> None:
    venue = Venue()
    for path, given_arguments in calls:
        before = venue.rig.engine.state_hash()
        answer, body = venue.send(venue.call("POST", path, **given_arguments))
        assert answer.status == 200
        assert body["retCode"] in KNOWN
        if body["retCode"]:
            assert body["result"] == {}
            assert venue.rig.engine.state_hash() == before
        open_ids = {each.order_id for each in venue.rig.desk.open_orders(venue.rig.account)}
        listed = venue.get("/v5/order/realtime", category="spot", limit=50)["list"]
        assert {int(each["orderId"]) for each in listed} == open_ids


@EXAMPLES
@given(
    path=st.sampled_from(PATHS),
    names=st.dictionaries(
        st.sampled_from(
            ["category", "symbol", "orderId", "orderLinkId", "cursor", "limit", "coin", "accountType"]
        ),
        st.one_of(st.text(max_size=12), st.sampled_from(["spot", BTC, "UNIFIED", "1:2", "1_2:3", "%3A"])),
    ),
)
def test_questions_are_answered_and_change_nothing(path: str, names: dict[str, str]) -> None:
    venue = Venue()
    venue.place(price="100010", qty="0.001")
    before = venue.rig.engine.state_hash()
    answer, body = venue.send(venue.call("GET", path, **({"category": "spot"} | names)))
    assert answer.status in (200, 404)
    assert body["retCode"] in KNOWN
    assert venue.rig.engine.state_hash() == before


@EXAMPLES
@given(
    body=st.binary(max_size=60),
    query=st.text(max_size=40),
    method=st.sampled_from(["GET", "POST", "PUT", ""]),
)
def test_any_signed_bytes_are_answered(body: bytes, query: str, method: str) -> None:
    venue = Venue()
    before = venue.rig.engine.state_hash()
    text = query.encode("utf-8", "replace").decode()
    call = venue.signed(method, "/v5/order/create", text if method == "GET" else "", body, venue.rig.key)
    answer, got = venue.send(call)
    assert got["retCode"] in KNOWN - {0}
    assert answer.status in (200, 404)
    assert venue.dialect.orders_in(call) in (0, 1)
    assert venue.rig.engine.state_hash() == before


@EXAMPLES
@given(
    headers=st.dictionaries(
        st.sampled_from(["X-BAPI-API-KEY", "X-BAPI-TIMESTAMP", "X-BAPI-SIGN", "X-BAPI-RECV-WINDOW"]),
        st.one_of(st.text(max_size=20), st.sampled_from(["KEY", "NOW", "5000"])),
    )
)
def test_any_headers_are_refused(headers: dict[str, str]) -> None:
    venue = Venue()
    usual = {"KEY": venue.rig.key.api_key, "NOW": str(venue.rig.now_ns // MS)}
    shown = {name: usual.get(value, value) for name, value in headers.items()}
    body = venue.send(RestCall("GET", "/v5/account/info", "", b"", shown, "", venue.rig.now_ns))[1]
    assert body["retCode"] in KNOWN - {0}
    assert venue.dialect.caller(RestCall("GET", "/", "", b"", shown, "", 0)) in ("", "main")


messages = st.one_of(
    st.binary(max_size=80),
    st.fixed_dictionaries(
        {"op": st.one_of(st.sampled_from(["subscribe", "unsubscribe", "ping", "auth", "order.create"]), odd)},
        optional={
            "args": st.one_of(
                odd, st.lists(st.sampled_from(["order", "order.spot", "wallet", "x"]), max_size=3)
            ),
            "req_id": odd,
            "reqId": odd,
            "header": odd,
        },
    ).map(lambda each: json.dumps(each).encode()),
    st.builds(
        lambda op, each, stamp: json.dumps(
            {"op": op, "args": [each], "header": {"X-BAPI-TIMESTAMP": stamp}}
        ).encode(),
        st.sampled_from(["order.create", "order.amend", "order.cancel", "order.create-batch"]),
        st.one_of(arguments, strange),
        st.one_of(st.just(1_795_000_001_000), odd),
    ),
)


@EXAMPLES
@given(
    sent=st.lists(messages, max_size=8),
    path=st.sampled_from(["/v5/private", "/v5/trade"]),
    known=st.booleans(),
)
def test_any_messages_are_survived_and_refusals_change_nothing(
    sent: list[bytes], path: str, known: bool
) -> None:
    venue = Venue()
    venue.rig.now_ns = 1_795_000_001_000 * MS
    link = Link()
    session = venue.dialect.session(path, "", link, venue.rig.now_ns)
    assert session is not None
    if known:
        expires = venue.rig.now_ns // MS + 5_000
        sign = hmac_hex(venue.rig.key.secret, f"GET/realtime{expires}".encode())
        login = {"op": "auth", "args": [venue.rig.key.api_key, expires, sign]}
        session.on_text(json.dumps(login).encode(), venue.rig.now_ns)
        assert link.account == venue.rig.account
    for message in sent:
        before, orders = venue.rig.engine.state_hash(), link.acks
        rejects = len(link.rejects)
        session.on_text(message, venue.rig.now_ns)
        venue.rig.turn()
        session.on_turn(venue.rig.now_ns)
        if len(link.rejects) > rejects or link.acks == orders:
            assert venue.rig.engine.state_hash() == before
    session.on_binary(b"\x00\x01", venue.rig.now_ns)
    session.on_close()
    assert link.closed is None
    for text in link.sent:
        assert isinstance(json.loads(text), dict)
