"""Who may call: keys, signatures, times and replays, in the venue's words."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

import pytest

from engine.exchange.accounts import Key, hmac_hex
from engine.exchange.dialects.binance_trading_arguments import parse
from tests.exchange.binance_calls import Client

MS = 1_000_000
FORMAT = (401, -2014, "API-key format invalid.")
REJECTED = (401, -2015, "Invalid API-key, IP, or permissions for action.")
SIGNATURE = (400, -1022, "Signature for this request is not valid.")
LATE = (400, -1021, "Timestamp for this request is outside of the recvWindow.")
EARLY = (400, -1021, "Timestamp for this request was 1000ms ahead of the server's time.")


def said(answer: tuple[int, Any]) -> tuple[int, int, str]:
    status, body = answer
    return status, body["code"], body["msg"]


def query(client: Client, secret: str = "", **params: Any) -> str:
    text = urlencode({"timestamp": client.rig.now_ns // MS, **params})
    return f"{text}&signature={hmac_hex(secret or client.key.secret, text.encode())}"


def test_the_documented_signatures_are_right() -> None:
    secret = "NhqPtmdSJYdKjVHjA7PZj4Mge3R5YNiP1e3UZjInClVN65XAbvqqM6A7H5fATj0j"
    head, tail = "symbol=LTCBTC&side=BUY&type=LIMIT&timeInForce=GTC", "quantity=1&price=0.1&recvWindow=5000"
    tail += "&timestamp=1499827319559"
    whole = "c8db56825ae71d6d79447849e617115f4a920fa2acdcab2b053c4b2838bd6b71"
    mixed = "0fd168b8ddb4876a0358a8d14d0c9f3da0e9b20c5d52b2a00fcf7d1c602f9a77"
    for parts, expected in (
        ((f"{head}&{tail}&signature={whole}", ""), whole),
        (("", f"{head}&{tail}&signature={whole}"), whole),
        ((head, f"{tail}&signature={mixed}"), mixed),
    ):
        arguments, signature, payload = parse(*parts)
        assert signature == hmac_hex(secret, payload.encode()) == expected
        assert arguments.values["quantity"] == "1"


@pytest.mark.parametrize("key", [None, "", "has space", "é"])
def test_a_key_must_look_like_one(key: str | None) -> None:
    client = Client()
    headers = {} if key is None else {"X-MBX-APIKEY": key}
    assert said(client.raw("GET", "/api/v3/account", query(client), headers=headers)) == FORMAT


def test_an_unknown_or_revoked_key_is_rejected() -> None:
    client = Client()
    asked = ("GET", "/api/v3/account", query(client))
    assert said(client.raw(*asked, headers={"X-MBX-APIKEY": "unknown"})) == REJECTED
    client.rig.accounts.revoke(client.key.api_key)
    assert said(client.raw(*asked)) == REJECTED


def test_a_signature_must_be_the_keys_own() -> None:
    client = Client()
    path = "/api/v3/account"
    text = query(client, omitZeroBalances="true")
    assert client.raw("GET", path, text)[0] == 200
    assert client.raw("GET", path, text.replace(text[-64:], text[-64:].upper()))[0] == 200
    assert said(client.raw("GET", path, text.replace("true", "false"))) == SIGNATURE
    assert said(client.raw("GET", path, query(client, secret="another"))) == SIGNATURE
    assert said(client.raw("GET", path, text[:-1])) == SIGNATURE
    other: Key = client.rig.other()
    assert said(client.raw("GET", path, text, headers={"X-MBX-APIKEY": other.api_key})) == SIGNATURE
    for missing, left in (
        ("signature", text.partition("&signature")[0]),
        ("timestamp", f"a=1&signature={hmac_hex(client.key.secret, b'a=1')}"),
    ):
        assert said(client.raw("GET", path, left)) == (
            400,
            -1102,
            f"Mandatory parameter '{missing}' was not sent, was empty/null, or malformed.",
        )


@pytest.mark.parametrize(
    ("off_ms", "window", "expected"),
    [
        (0, "1", None),
        (-5_000, None, None),
        (-5_001, None, LATE),
        (-60_000, "60000", None),
        (-10, "9.999", LATE),
        (999, None, None),
        (1_000, None, EARLY),
        (0, "60001", (400, -1131, "recvWindow must be less than 60000.")),
        (0, "", (400, -1105, "Parameter 'recvWindow' was empty.")),
    ],
)
def test_a_request_counts_for_its_window(
    off_ms: int, window: str | None, expected: tuple[int, int, str] | None
) -> None:
    client = Client()
    for unit in (1, 1_000):  # milliseconds, microseconds
        params: dict[str, Any] = {"timestamp": (client.rig.now_ns // MS + off_ms) * unit}
        if window is not None:
            params["recvWindow"] = window
        answer = client.raw("GET", "/api/v3/account", query(client, **params))
        assert (answer[0] == 200) if expected is None else (said(answer) == expected)


def test_what_was_signed_before_the_start_changes_nothing() -> None:
    client = Client()
    client.rig.guard.opened_ns = client.rig.now_ns // MS * MS  # type: ignore[misc]
    before = client.rig.engine.state_hash()
    early = client.rig.now_ns // MS - 1
    assert said(client.raw("POST", "/api/v3/order", query(client, timestamp=early, **client.order()))) == LATE
    assert client.raw("GET", "/api/v3/account", query(client, timestamp=early))[0] == 200
    assert client.rig.engine.state_hash() == before
    assert client.raw("POST", "/api/v3/order", query(client, **client.order()))[0] == 200


def test_more_signatures_than_are_remembered_are_refused_and_none_is_used_twice() -> None:
    client = Client()
    client.rig.guard._most_of_key = 2
    texts = [query(client, recvWindow=5_000 - at, **client.order()) for at in range(3)]
    assert [client.raw("POST", "/api/v3/order", each)[0] for each in texts] == [200, 200, 400]
    assert [client.raw("POST", "/api/v3/order", each)[0] for each in texts] == [400, 400, 400]
    client.key = client.rig.other()
    assert client.raw("POST", "/api/v3/order", query(client, **client.order()))[0] == 200


def test_a_used_signature_places_no_second_order_and_questions_may_repeat() -> None:
    client = Client()
    text = query(client, **client.order())
    assert client.raw("POST", "/api/v3/order", text)[0] == 200
    before = client.rig.engine.state_hash()
    assert said(client.raw("POST", "/api/v3/order", text))[:2] == (400, -1022)
    assert said(client.raw("POST", "/api/v3/order", "", text))[:2] == (400, -1022)
    assert client.rig.engine.state_hash() == before
    ask = query(client)
    assert client.raw("GET", "/api/v3/openOrders", ask) == client.raw("GET", "/api/v3/openOrders", ask)


def test_a_reading_key_reads_alone() -> None:
    client = Client()
    client.key = client.rig.accounts.create("main", "reader", 0, trade=False)
    assert client.good("GET", "/account")["canTrade"] is False
    for method, path in (("POST", "/order"), ("DELETE", "/order"), ("DELETE", "/openOrders")):
        assert said(client.call(method, path, **client.order())) == REJECTED


def test_the_body_is_signed_as_it_was_sent_and_the_query_counts_first() -> None:
    client = Client()
    head = "symbol=BTCUSDT&side=BUY&newClientOrderId=a%3Ab"
    tail = urlencode(
        {
            "type": "LIMIT",
            "side": "SELL",
            "timeInForce": "GTC",
            "quantity": "0.01",
            "price": "100000",
            "timestamp": client.rig.now_ns // MS,
        }
    )
    signature = hmac_hex(client.key.secret, (head + tail).encode())
    status, body = client.raw("POST", "/api/v3/order", head, f"{tail}&signature={signature}")
    assert (status, body["side"], body["clientOrderId"]) == (200, "BUY", "a:b")


def test_a_parameter_comes_once_and_there_are_not_too_many() -> None:
    client = Client()
    assert said(client.raw("GET", "/api/v3/account", "timestamp=1&timestamp=1&signature=a")) == (
        400,
        -1101,
        "Duplicate values for a parameter detected.",
    )
    many = "&".join(f"p{at}=1" for at in range(65))
    assert said(client.raw("GET", "/api/v3/account", many))[1] == -1101


def test_calls_are_counted_for_the_account_of_the_key() -> None:
    client = Client()
    call = client.dialect

    def asked(method: str, path: str, key: str = client.key.api_key) -> tuple[str, int]:
        from engine.exchange.entry import RestCall
        from tests.exchange.binance_calls import Headers

        one = RestCall(method, path, "", b"", Headers({"X-MBX-APIKEY": key}), "127.0.0.1", 0)
        return call.caller(one), call.orders_in(one)

    account = str(client.rig.account)
    assert asked("POST", "/api/v3/order") == (account, 1)
    assert asked("POST", "/api/v3/order/cancelReplace") == (account, 1)
    assert asked("POST", "/api/v3/orderList/oco") == (account, 2)
    assert asked("POST", "/api/v3/order/test") == (account, 0)
    assert asked("GET", "/api/v3/order", "nobody") == ("", 0)


def test_paths_that_are_not_there() -> None:
    client = Client()
    assert client.dialect.takes("GET", "/api/v3/order")
    assert not client.dialect.takes("GET", "/api/v3/depth")
    assert said(client.call("PATCH", "/order"))[:2] == (405, -5000)
    assert said(client.call("GET", "/sapi/v1/nothing"))[:2] == (404, -5000)
