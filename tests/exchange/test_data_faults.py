"""What becomes of messages under faults: by itself, and as followers of the native protocol see it."""

from __future__ import annotations

import itertools
import time
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.exchange.data_faults import Fate, fate
from engine.exchange.faults import Fault, Faults
from tests.exchange.native_rig import FloorRig, NativeClient

FORMS = [pytest.param(False, id="json"), pytest.param(True, id="msgpack")]
TRADES = "trades:BTC-USDT"


def sent_of(kinds: list[str]) -> tuple[list[str], str | None, int]:
    """Everything a stream of messages "0", "1", .. sends, what is held in the end, and the padding in all."""
    sent: list[str] = []
    held, padding = None, 0
    for at, kind in enumerate(kinds):
        fault = Fault(kind, bytes=10 + at) if kind else None  # type: ignore[arg-type]
        became: Fate[str] = fate(fault, str(at), held, lambda message: message + "!")
        sent += became.sent
        held, padding = became.held, padding + became.padding
    return sent, held, padding


@pytest.mark.parametrize(
    ("kinds", "sent", "held", "padding"),
    [
        (["", ""], ["0", "1"], None, 0),
        (["drop", ""], ["1"], None, 0),
        (["duplicate", ""], ["0", "0", "1"], None, 0),
        (["malformed", ""], ["0!", "1"], None, 0),
        (["", "huge"], ["0", "1"], None, 11),
        (["reorder", "", ""], ["1", "0", "2"], None, 0),
        (["reorder", "reorder", ""], ["1", "0", "2"], None, 0),
        (["reorder", "drop", ""], ["0", "2"], None, 0),
        (["reorder", "duplicate"], ["1", "1", "0"], None, 0),
        (["reorder"], [], "0", 0),
    ],
)
def test_a_message_meets_one_fate(kinds: list[str], sent: list[str], held: str | None, padding: int) -> None:
    assert sent_of(kinds) == (sent, held, padding)


@given(
    st.lists(st.sampled_from(["", "drop", "duplicate", "reorder", "malformed", "huge", "other"]), max_size=40)
)
def test_each_message_comes_as_often_as_its_fault_says_and_at_most_one_place_late(kinds: list[str]) -> None:
    kinds = ["" if kind == "other" else kind for kind in kinds]
    sent, held, padding = sent_of(kinds)
    for at, kind in enumerate(kinds):
        times = {"drop": 0, "duplicate": 2}.get(kind, 1) - (held == str(at))
        assert sum(each.rstrip("!") == str(at) for each in sent) == times
        assert (f"{at}!" in sent) == (kind == "malformed")
    assert held in (None, str(len(kinds) - 1))
    assert padding == sum(10 + at for at, kind in enumerate(kinds) if kind == "huge")
    numbers = [int(each.rstrip("!")) for each in sent]
    assert all(later >= earlier - 1 for earlier, later in itertools.pairwise(numbers))


def traded(rig: FloorRig, trader: NativeClient) -> None:
    """One turn with exactly one trade."""
    trader.say({"op": "place", "symbol": "BTC-USDT", "side": "buy", "type": "market", "size": "0.00010"})
    rig.turn()


def ids(messages: list[Any]) -> list[int]:
    return [each["trades"][0][0] for each in messages]


def ordered(rig: FloorRig, fault: Fault) -> Faults:
    """Order a fault as the house does: the feed has the faults only while there are some."""
    faults = Faults()
    faults.add(time.monotonic_ns(), fault)
    rig.floor.feed.faults = faults
    return faults


@pytest.mark.parametrize("binary", FORMS)
def test_what_a_reorder_held_comes_with_the_next_message_though_the_fault_is_over(binary: bool) -> None:
    with FloorRig() as rig:
        trader = rig.connect(key=rig.accounts.create("main", "", rig.now_ns))
        client, other = rig.connect(binary=binary), rig.connect()
        for each in (client, other):
            each.say({"op": "subscribe", "channels": [TRADES]})
        client.link.id = "native-7"
        faults = ordered(rig, Fault("reorder", budget="native", data="trades", connection="native-7"))
        traded(rig, trader)
        assert client.heard() == []
        assert not faults.any
        rig.floor.feed.faults = None  # as `House.care` does then
        traded(rig, trader)
        traded(rig, trader)
        first, second, third = ids(other.heard())
        assert ids(client.heard()) == [second, first, third]
        assert rig.floor.feed._held == {}


def test_who_leaves_or_gets_a_new_book_is_not_sent_what_was_held() -> None:
    with FloorRig(soft_limit=1_000) as rig:
        trader = rig.connect(key=rig.accounts.create("main", "", rig.now_ns))
        client = rig.connect()
        client.say({"op": "subscribe", "channels": ["book:BTC-USDT"]})
        ordered(rig, Fault("reorder", budget="native"))
        traded(rig, trader)
        assert client.heard() == []
        client.link.waits = 1_001
        traded(rig, trader)
        client.link.waits = 0
        traded(rig, trader)
        assert [each["type"] for each in client.heard()] == ["snapshot"]
        traded(rig, trader)
        assert [each["type"] for each in client.heard()] == ["delta"]
        ordered(rig, Fault("reorder", budget="native"))
        traded(rig, trader)
        client.session.on_close()
        assert rig.floor.feed._held == {}


@pytest.mark.parametrize("kind", ["drop", "duplicate", "reorder", "malformed", "huge"])
def test_a_fault_of_one_connection_meets_no_other(kind: Any) -> None:
    with FloorRig() as rig:
        trader = rig.connect(key=rig.accounts.create("main", "", rig.now_ns))
        named, other = rig.connect(), rig.connect()
        for each in (named, other):
            each.say({"op": "subscribe", "channels": [TRADES]})
        named.link.id, other.link.id = "native-7", "native-8"
        faults = ordered(
            rig, Fault(kind, connection="native-8", data="trades", duration_s=60, count=5, bytes=9)
        )
        for _ in range(4):
            traded(rig, trader)
        assert len(ids(named.heard())) == 4
        assert faults.done == {kind: 4}


@pytest.mark.parametrize("binary", FORMS)
def test_a_huge_message_and_a_cut_one_come_in_the_followers_form(binary: bool) -> None:
    with FloorRig() as rig:
        trader = rig.connect(key=rig.accounts.create("main", "", rig.now_ns))
        client = rig.connect(binary=binary)
        client.say({"op": "subscribe", "channels": [TRADES]})
        ordered(rig, Fault("huge", data="trades", bytes=2 << 20))
        traded(rig, trader)
        padding, message = client.heard()
        assert padding == {"ch": "padding", "x": "0" * (2 << 20)}
        assert message["ch"] == TRADES
        ordered(rig, Fault("malformed", data="trades"))
        traded(rig, trader)
        (cut,) = client.link.sent
        assert isinstance(cut, bytes) is binary
        with pytest.raises(msgspec.DecodeError):
            (msgspec.msgpack if binary else msgspec.json).decode(cut)
