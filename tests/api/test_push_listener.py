"""A listener whose transport is full: what is left out, what never is, and when it is cut."""

from __future__ import annotations

from typing import Any

import pytest

from engine.api.push import hub as hub_module
from engine.api.push.deflate import Deflater
from engine.api.push.encodings import Kind, Message
from engine.api.push.hub import Hub
from engine.api.push.listener import HARD_LIMIT, HIGH_WATER, STUCK_NS, Listener
from engine.api.push.messages import Envelope
from engine.api.push.protocol import Asked
from engine.api.push.topics import Said, Topic
from engine.api.reading import Markets
from tests.api.push_rig import LIVE
from tests.engine.markets import Desk


class Pipe:
    """A transport that takes nothing while `held` says it is full."""

    def __init__(self) -> None:
        self.held = 0
        self.written: list[bytes] = []

    def get_write_buffer_size(self) -> int:
        return self.held

    def is_closing(self) -> bool:
        return False

    def write(self, data: bytes) -> None:
        self.written.append(data)


class Given:
    """A reader that says what it is given."""

    def __init__(self) -> None:
        self.due: list[Said] = []

    def read(self, now_ns: int) -> list[Said]:
        due, self.due = self.due, []
        return due

    def snapshot(self, now_ns: int) -> Envelope | None:
        return Envelope(type="snapshot", ts_ms=0)

    def gone(self) -> str:
        return ""


def listener() -> tuple[Listener, Pipe]:
    pipe = Pipe()
    transport: Any = pipe
    return Listener(1, "", transport, 0, Deflater(), 0), pipe


def said(reader: Given, topic: Topic, who: Listener, kind: Kind, text: str) -> None:
    reader.due.append(Said(Envelope(type="news", ts_ms=0, detail=text), kind))
    for message in topic.read(0):
        who.push(topic, message)


def test_what_must_not_be_left_out_stays_in_order_and_the_rest_is_told_as_left_out() -> None:
    who, pipe = listener()
    readers = {name: Given() for name in ("candles", "book")}
    topics = {name: Topic(name, "e", reader, 0) for name, reader in readers.items()}
    who.topics.update(topics)
    pipe.held = HIGH_WATER
    long = "x" * 1_000
    for at in range(60):
        said(readers["candles"], topics["candles"], who, Kind.NEWEST, f"running {at} {long}")
        said(readers["book"], topics["book"], who, Kind.DIFF, f"diff {at}")
        if not at % 20:
            said(readers["candles"], topics["candles"], who, Kind.KEPT, f"closed {at}")
    assert not who.flush(1, 1)
    said(readers["book"], topics["book"], who, Kind.DIFF, "diff after")
    assert pipe.written == []
    pipe.held = 0
    assert who.flush(2, 2)
    (sent,) = pipe.written
    assert [sent.count(each) for each in (b"closed", b"running", b"diff")] == [3, 1, 0]
    assert (
        sent.index(b"closed 0")
        < sent.index(b"closed 20")
        < sent.index(b"closed 40")
        < sent.index(b"running 59")
    )
    assert sent.count(b'"conflated"') == 2
    assert sent.count(b'"snapshot"') == 1
    assert b'"skipped":61' in sent
    assert b'"skipped":59' in sent
    assert who.counts.conflated == 120


def test_who_takes_nothing_for_too_long_is_cut_with_a_reason() -> None:
    who, pipe = listener()
    pipe.held = HIGH_WATER
    who.push(None, Message(Envelope(type="pong", ts_ms=0)))
    assert not who.flush(1, 1)
    assert not who.flush(STUCK_NS, 1)
    pipe.held += 1  # it moved
    assert not who.flush(STUCK_NS + 2, 1)
    assert who.flush(2 * STUCK_NS + 3, 1)
    assert who.slow
    assert "nothing was read" in who.ended
    assert (1013).to_bytes(2, "big") in pipe.written[-1]


def test_who_is_owed_too_much_that_cannot_be_left_out_is_cut() -> None:
    who, pipe = listener()
    pipe.held = HIGH_WATER
    message = Message(Envelope(type="news", ts_ms=0, detail="x" * 60_000))
    pushed = 0
    while who.flush(1, 1) is False or not pushed:
        who.push(None, message)
        pushed += 60_000
        assert pushed < 2 * HARD_LIMIT
    assert who.slow
    assert "too slow" in who.ended


def test_messages_are_admitted_at_their_rate() -> None:
    who, _ = listener()
    assert sum(who.admit(1) for _ in range(300)) == 100
    assert who.ignored == 200
    assert sum(who.admit(1_000_000_001) for _ in range(300)) == 20
    assert sum(who.admit(0) for _ in range(3)) == 0  # a clock that goes back brings nothing


def test_topics_are_bounded_and_those_nobody_follows_make_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub_module, "TOPICS_MOST", 2)
    desk = Desk(LIVE).snapshot([(10_000, 5)], [(10_100, 2)]).at(0.0)
    hub = Hub(Markets(desk.telemetry, desk.intake, lambda: desk.now))
    who, _ = listener()

    def follow(channel: str) -> str:
        refused = hub.carry_out(who, Asked("subscribe", channel=channel, symbol="BTC-USDT"), desk.now)
        return refused.code if refused is not None else ""

    assert [follow(each) for each in ("candles", "ticks", "book")] == ["", "", "too_many_topics"]
    assert hub.carry_out(who, Asked("unsubscribe", channel="ticks", symbol="btc/usdt"), desk.now) is None
    assert follow("book") == ""
    assert set(hub.topics) == {"candles:binance_spot:BTC-USDT", "book:binance_spot:BTC-USDT"}
