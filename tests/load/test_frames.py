"""Orders made ahead of time, and what is read of answers."""

from __future__ import annotations

from decimal import Decimal

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from engine.load import frames
from engine.load.frames import FIRST_ID, LAST_ID, Listing


@st.composite
def markets(draw: st.DrawFn) -> tuple[Listing, str, str]:
    price_decimals, size_decimals = draw(st.integers(0, 6)), draw(st.integers(0, 6))
    tick = Decimal(draw(st.sampled_from((1, 5, 25)))).scaleb(-price_decimals)
    lot = Decimal(draw(st.sampled_from((1, 10)))).scaleb(-size_decimals)
    bid = draw(st.integers(200, 10**7)) * tick
    ask = bid + draw(st.integers(1, 50)) * tick
    least = draw(st.sampled_from(("5", "5.00000000", "0.1", "100")))
    return Listing("A-B", f"{tick:f}", f"{lot:f}", least), f"{bid:f}", f"{ask:f}"


@given(markets())
def test_orders_are_on_tick_and_lot_worth_enough_and_on_their_side_of_the_market(
    market: tuple[Listing, str, str],
) -> None:
    listing, bid, ask = market
    orders = frames.orders_at(listing, bid, ask)
    tick, lot, least = Decimal(listing.tick), Decimal(listing.lot), Decimal(listing.min_notional)
    sent = [msgspec.json.decode(each.numbered(FIRST_ID)) for each in (*orders.near, *orders.resting)]
    for order in sent:
        price, size = Decimal(order["price"]), Decimal(order["size"])
        assert price % tick == 0
        assert size % lot == 0
        assert price * size >= least
    near, (low, high) = sent[: frames.NEAR], sent[frames.NEAR :]
    assert {each["tif"] for each in near} == {"ioc"}
    assert all(near[at]["side"] != near[at - 1]["side"] for at in range(len(near)))  # round and round
    takes = [each for each in near if each["price"] == (ask if each["side"] == "buy" else bid)]
    assert sorted(each["side"] for each in takes) == ["buy", "sell"]
    assert all(each["price"] == (bid if each["side"] == "buy" else ask) for each in near if each not in takes)
    assert Decimal(low["price"]) < Decimal(bid)
    assert (low["side"], low["tif"]) == ("buy", "gtc")
    assert Decimal(high["price"]) > Decimal(ask)
    assert (high["side"], high["tif"]) == ("sell", "gtc")


def test_all_orders_of_a_kind_have_one_size() -> None:
    message = frames.place("BTC-USDT", "buy", "104238.7", "0.00010", "ioc")
    assert len(message.numbered(FIRST_ID)) == len(message.numbered(LAST_ID))


@given(st.integers(FIRST_ID, LAST_ID), st.permutations(["op", "id", "ok", "order_id"]))
def test_an_answer_is_read_whatever_the_order_of_its_keys(number: int, keys: list[str]) -> None:
    values = {"op": "place", "id": number, "ok": True, "order_id": 1763667428000001}
    answer = msgspec.json.encode({key: values[key] for key in keys})
    assert frames.number_of(answer) == number
    assert frames.is_done(answer)
    assert frames.order_id_of(answer) == b"1763667428000001"


@given(st.binary(max_size=200))
def test_anything_else_is_no_answer(junk: bytes) -> None:
    number = frames.number_of(junk)
    assert number == frames.NO_ID or str(number).encode() in junk.replace(b"_", b"").replace(b"+", b"")
    frames.is_done(junk)
    frames.order_id_of(junk)
    assert frames.refusal_of(junk).code >= 0 or b"code" in junk


def test_a_refusal_is_read_and_put_in_words() -> None:
    refusal = frames.refusal_of(b'{"op":"place","id":100000001,"ok":false,"code":26,"error":"not enough"}')
    assert (refusal.code, refusal.error) == (26, "not enough")
    assert frames.described({26: 1_200, 23: 1}, {26: "not enough"}) == (
        "1,200 x 26 (not enough), 1 x 23 (no reason given)"
    )


def test_a_login_is_signed_as_the_protocol_says() -> None:
    said = msgspec.json.decode(frames.login("K", "S", 1_700_000_000_000, FIRST_ID))
    import hashlib
    import hmac

    assert said["sign"] == hmac.new(b"S", b"login1700000000000K", hashlib.sha256).hexdigest()
    assert (said["op"], said["key"], said["ts_ms"], said["id"]) == ("login", "K", 1_700_000_000_000, FIRST_ID)
