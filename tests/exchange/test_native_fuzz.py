"""Anything at all sent to the native protocol: no exception, an answer for each, and no state changed by a refusal."""

from __future__ import annotations

import math
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.exchange.dialects import native
from engine.market.batches import BUY, SELL
from tests.exchange.native_rig import NativeClient, NativeRig, decoded, login

OPS = (
    "place", "cancel", "amend", "cancel_all", "login", "ping", "orders", "fills", "balances", "subscribe",
    "unsubscribe",
)  # fmt: skip
CODES = {*range(200, 209), *range(1, 47), *range(100, 104)}
READ = {"op": "ping"}, {"op": "orders"}, {"op": "fills"}, {"op": "balances"}

plain = (
    st.none()
    | st.booleans()
    | st.integers(-(1 << 63), (1 << 64) - 1)
    | st.floats()
    | st.text(max_size=60)
    | st.binary(max_size=20)
)
anything = st.recursive(
    plain, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4)
)
prices = st.sampled_from(
    ["104000.0", "104300.0", "104600.0", "1.0", "0.1", "0", "-1", "9" * 40, "1e9", "", "NaN", "١"]
)
sizes = st.sampled_from(["0.001", "0.5", "5", "100", "0.00001", "0", "-1", "9" * 40, ".", "", "0.000001"])
fields: dict[str, st.SearchStrategy[Any]] = {
    "op": st.sampled_from(OPS),
    "id": st.none() | st.integers(-(1 << 63), (1 << 63) - 1) | st.text(max_size=36),
    "symbol": st.sampled_from(["BTC-USDT", "BTCUSDT", "ETH-USDT", "X", ""]),
    "side": st.sampled_from(["buy", "sell"]),
    "type": st.sampled_from([*native.KINDS, "x"]),
    "price": prices,
    "size": sizes,
    "tif": st.sampled_from([*native.TIMES, "x"]),
    "trigger": prices,
    "display": sizes,
    "self_trade": st.sampled_from([*native.SELF_TRADES, "x"]),
    "post_only": st.booleans(),
    "client_id": st.text(max_size=40),
    "order_id": st.integers(1_000_001, 1_000_020) | st.integers(0, 1 << 62),
    "expire_ns": st.integers(0, 1 << 62),
    "link": st.integers(1_000_001, 1_000_020) | st.integers(0, 1 << 62),
    "limit": st.integers(0, 1_001) | st.integers(0, 1 << 62),
    "key": st.text(max_size=100),
    "sign": st.text(max_size=100),
    "ts_ms": st.integers(0, 1 << 62),
    "channels": st.lists(
        st.sampled_from(["account", "book:BTC-USDT", "trades:BTC-USDT", "bbo:ETH-USDT", "book:", "x"])
        | st.text(max_size=40),
        max_size=5,
    ),
}
good_requests = st.fixed_dictionaries(
    {"op": fields["op"]}, optional={k: v for k, v in fields.items() if k != "op"}
)


@st.composite
def spoiled_requests(draw: st.DrawFn) -> dict[str, Any]:
    """A request of which some fields are anything."""
    request = draw(good_requests)
    for name in draw(st.lists(st.sampled_from([*fields, "unknown"]), max_size=3)):
        request[name] = draw(anything)
    return request


def new_rig(orders: int = 8) -> NativeRig:
    rig = NativeRig(accounts=32, orders_per_symbol=256)
    rig.rest("BTCUSDT", SELL, "104300.0", "1")
    rig.rest("BTCUSDT", BUY, "104200.0", "1")
    client = rig.connect(key=rig.key)
    for at in range(orders):
        rest = {
            "op": "place",
            "symbol": "BTC-USDT",
            "price": "104000.0",
            "size": "0.001",
            "client_id": str(at),
        }
        assert client.say(rest)[0]["ok"]
    return rig


RIG = new_rig()


def encoded(value: Any, *, binary: bool) -> bytes | None:
    """Its frame; None when JSON or msgpack cannot say it."""
    try:
        return msgspec.msgpack.encode(value) if binary else msgspec.json.encode(value)
    except (OverflowError, UnicodeEncodeError, ValueError, TypeError):
        return None


def tried(rig: NativeRig, client: NativeClient, frame: bytes) -> list[Any]:
    """What a frame is answered; refused commands leave the engine as it was."""
    before = rig.engine.state_hash()
    client.link.sent.clear()
    client.send(frame)
    rig.turn()
    answers = [decoded(each) for each in client.link.sent]
    client.link.sent.clear()
    replies = [each for each in answers if "op" in each]
    for each in replies:
        if not each["ok"]:
            assert each["code"] in CODES, each
            assert isinstance(each["error"], str)
            assert len(each["error"]) <= 400
    if not any(each["ok"] and each["op"] in ("place", "cancel", "amend", "cancel_all") for each in replies):
        assert rig.engine.state_hash() == before
    assert client.link.closed is None
    return replies


@settings(max_examples=300)
@given(st.binary(max_size=300), st.booleans())
def test_bytes_of_any_kind_are_answered_and_change_nothing(frame: bytes, binary: bool) -> None:
    client = RIG.connect(binary=binary)
    before = RIG.engine.state_hash()
    assert tried(RIG, client, frame)
    assert RIG.engine.state_hash() == before


@settings(max_examples=300)
@given(anything, st.booleans())
def test_values_of_any_kind_are_answered(value: Any, binary: bool) -> None:
    frame = encoded(value, binary=binary)
    if frame is not None:
        assert tried(RIG, RIG.connect(binary=binary), frame)


@settings(max_examples=400)
@given(st.lists(good_requests | spoiled_requests(), min_size=1, max_size=6), st.booleans(), st.booleans())
def test_requests_with_any_fields_are_each_answered_once(
    requests: list[dict[str, Any]], binary: bool, logged_in: bool
) -> None:
    rig = RIG if not logged_in else new_rig()
    client = rig.connect(binary=binary, key=rig.key if logged_in else None)
    frame = encoded(requests, binary=binary)
    if frame is None:
        return
    replies = tried(rig, client, frame)
    if any(each["op"] == "error" for each in replies):
        assert len(replies) == 1  # the whole frame
    else:
        came = (
            msgspec.msgpack.decode(frame) if binary else msgspec.json.decode(frame)
        )  # bytes as JSON are text
        assert sorted(repr((each["op"], each["id"])) for each in replies) == sorted(
            repr((each["op"], each.get("id"))) for each in came
        )
    client.session.on_close()
    assert not rig.feed._followers


@settings(max_examples=100)
@given(good_requests, st.sampled_from(sorted(fields)), anything)
def test_one_bad_field_never_raises_from_a_good_request(
    request: dict[str, Any], name: str, value: Any
) -> None:
    rig = new_rig(2)
    for binary in (False, True):
        frame = encoded(request | {name: value}, binary=binary)
        if frame is not None:
            assert tried(rig, rig.connect(binary=binary, key=rig.key), frame)


@pytest.mark.parametrize(
    "frame",
    [
        b"", b" ", b"[", b"{", b"null", b"[]", b"[[]]", b"{}", b'{"op":null}', b'{"op":1}', b'"op"', b"\x00",
        b"[" * 50_000, b'{"a":' * 30_000, b'{"op":"ping","x":' + b"[" * 50_000,
        b'{"op":"ping","x":' + b"[" * 30_000 + b"]" * 30_000 + b"}",
        b'{"op":"ping","id":' + b"9" * 60_000 + b"}", b'{"op":"ping","id":1e999}', b'{"op":"ping","id":NaN}',
        b'{"op":"ping","id":-Infinity}', b'{"op":"place","size":0.001}', b'{"op":"place","price":' + b"9" * 400 + b"}",
        b'{"op":"ping","order_id":-1}', b'{"op":"ping","order_id":4611686018427387905}',
        b'{"op":"\\ud800"}', b'{"op":"\\udc00\\ud800"}', b'{"op":"ping","client_id":"\\ud83d"}',
        b'{"op":"\xff"}', b'{"op":"\xed\xa0\x80"}', b'{"op":"\xc0\xaf"}', b'\xef\xbb\xbf{"op":"ping"}',
        b'{"op":"ping"}{"op":"ping"}', b'{"op":"ping",}', b"{'op':'ping'}", b'{"op":"ping","id":01}',
        b'{"op":"' + b"x" * 60_000 + b'"}',
    ],
)  # fmt: skip
def test_bad_json_is_one_refusal(frame: bytes) -> None:
    (answer,) = tried(RIG, RIG.connect(), frame)
    assert (answer["op"], answer["id"], answer["code"]) == ("error", None, native.BAD_MESSAGE)
    assert answer["error"].startswith("message: ")


@pytest.mark.parametrize(
    "frame",
    [
        b"", b"\xc1", b"\x90", b"\x91\x90", b"\x80", b"\x91" * 60_000, b"\x81\xa2op" * 20_000, b"\xdd\xff\xff\xff\xff",
        b"\xdf\xff\xff\xff\xff", b"\xc6\xff\xff\xff\xff", b"\x82\xa2op\xa4ping\xa1x" + b"\x91" * 60_000,
        b"\x81\xa2op\xa1\xff", b"\x81\xa2op\xa3\xed\xa0\x80", b"\x81\xa2op\xc0", b"\x81\xa2op\xa4ping\xc0",
        b"\x82\xa2op\xa4ping\xa2id\xcb\x7f\xf8\x00\x00\x00\x00\x00\x00", b"\x82\xa2op\xa4ping\xa2id\xc3",
        b"\x82\xa2op\xa4ping\xa2id\xcf" + b"\xff" * 8, b"\x82\xa2op\xa4ping\xa2id\xd6\xff\x00\x00\x00\x00",
    ],
)  # fmt: skip
def test_bad_msgpack_is_one_refusal(frame: bytes) -> None:
    (answer,) = tried(RIG, RIG.connect(binary=True), frame)
    assert (answer["op"], answer["id"], answer["code"]) == ("error", None, native.BAD_MESSAGE)


def test_a_session_serves_on_after_all_that_was_bad() -> None:
    client = RIG.connect()
    for frame in (b"[" * 50_000, b"\xff", b"", b'{"op":"nothing"}', b'{"op":"login"}'):
        assert not tried(RIG, client, frame)[0]["ok"]
    (answer,) = client.say(login(RIG.key, RIG.now_ns + 77_000_000))
    assert answer["ok"]
    for request in READ:
        assert client.say(request)[0]["ok"]


def test_no_float_is_taken_for_a_number_of_money() -> None:
    client = RIG.connect(key=RIG.key, binary=True)
    for value in (0.001, 1, math.inf, math.nan, True):
        for name in ("price", "size", "trigger", "display"):
            (answer,) = client.say(
                {"op": "place", "symbol": "BTC-USDT", "price": "1", "size": "1"} | {name: value}
            )
            assert answer["code"] == native.BAD_MESSAGE
