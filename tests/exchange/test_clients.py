"""What is counted of clients, when one is cut, what a stall holds back, and failures that stay one client's."""

from __future__ import annotations

from typing import Any

import pytest

from engine.exchange import clients as module
from engine.exchange.clients import CODES_KEPT, FAILED, MAX_QUEUE, SHOWN, SLOW, Client, Clients


class Session:
    """Counts turns and ends."""

    def __init__(self) -> None:
        self.turns: list[int] = []
        self.revoked: list[tuple[str, int]] = []
        self.ends = 0

    def on_text(self, message: bytes, now_ns: int) -> None: ...

    def on_binary(self, message: bytes, now_ns: int) -> None: ...

    def on_turn(self, now_ns: int) -> None:
        self.turns.append(now_ns)

    def on_revoked(self, api_key: str, now_ns: int) -> None:
        self.revoked.append((api_key, now_ns))

    def on_close(self) -> None:
        self.ends += 1


class Socket(Client):
    """A client whose queue a test fills."""

    waits = 0

    def __init__(self, clients: Clients, dialect: str = "native") -> None:
        super().__init__(clients, dialect, "127.0.0.1", 5)
        self.written: list[tuple[str, bytes]] = []
        self.closes: list[tuple[int, str]] = []
        self.aborts = 0
        self.broken = False
        self.session = Session()
        clients.add(self)

    @property
    def queued(self) -> int:
        return self.waits + self.held_bytes

    def write_text(self, message: bytes) -> None:
        self._write_any("text", message)

    def write_binary(self, message: bytes) -> None:
        self._write_any("binary", message)

    def write_close(self, code: int, reason: str) -> None:
        self.closes.append((code, reason))

    def break_off(self) -> None:
        self.aborts += 1

    def _write_any(self, kind: str, message: bytes) -> None:
        if self.broken:
            raise RuntimeError("the handler is closed")
        self.written.append((kind, message))


@pytest.fixture
def clients() -> Clients:
    return Clients()


def ends(client: Socket) -> int:
    assert isinstance(client.session, Session)
    return client.session.ends


def test_messages_are_written_as_they_are_and_counted(clients: Clients) -> None:
    client = Socket(clients)
    client.send("é")
    client.send(b"text")
    client.send_binary(b"\x00\x01")
    assert client.written == [("text", "é".encode()), ("text", b"text"), ("binary", b"\x00\x01")]
    assert client.sent_bytes == 2 + 4 + 2


@pytest.mark.parametrize("binary", [False, True])
def test_a_client_for_whom_more_waits_than_may_is_cut_once(clients: Clients, binary: bool) -> None:
    client, other = Socket(clients), Socket(clients)
    send: Any = client.send_binary if binary else client.send
    client.waits = MAX_QUEUE
    send(b"it may")
    assert (client.closes, clients.cut_slow) == ([], 0)
    client.waits = MAX_QUEUE + 1
    send(b"it may not")
    send(b"it is gone")
    assert client.closes == [(1008, SLOW)]
    assert (client.aborts, clients.cut_slow, client.ended, ends(client)) == (0, 1, True, 1)
    assert len(client.written) == 2
    assert list(clients.all.values()) == [other]
    client.gone()
    assert ends(client) == 1


def test_what_clients_do_is_counted_for_each_and_for_all(clients: Clients) -> None:
    first, second = Socket(clients), Socket(clients, "bybit")
    first.count(3)
    first.count(0, 1)
    second.count(orders=2, acks=2)
    assert (first.orders, first.in_flight) == (3, 2)
    assert (second.orders, second.in_flight) == (2, 0)
    first.count(reject=201)  # what was refused was no order
    assert first.in_flight == 2
    first.count(acks=1, reject=23)
    second.count(acks=1, reject="10001")
    second.count(acks=9)
    assert (first.in_flight, second.in_flight) == (1, 0)
    clients.note_reject("binance", -1013)
    assert clients.rejected == 4
    assert clients.rejects == {"native 201": 1, "native 23": 1, "bybit 10001": 1, "binance -1013": 1}


def test_codes_nobody_knows_do_not_fill_the_memory(clients: Clients) -> None:
    client = Socket(clients)
    for code in range(1_000):
        client.count(reject=code)
    client.count(reject=0)
    assert len(client.rejects) == len(clients.rejects) == CODES_KEPT + 1
    assert client.rejects["other"] == 1_000 - CODES_KEPT
    assert client.rejects["0"] == 2
    assert clients.rejected == 1_001


def test_every_session_has_its_turn_even_if_one_ends_in_it(clients: Clients) -> None:
    made = [Socket(clients) for _ in range(3)]
    first = made[0].session
    assert isinstance(first, Session)
    first.on_turn = lambda now_ns: made[0].gone()  # type: ignore[method-assign]
    clients.turn(9)
    assert [each.session.turns for each in made[1:] if isinstance(each.session, Session)] == [[9], [9]]
    assert len(clients.all) == 2


def test_rates_are_of_the_last_second(clients: Clients) -> None:
    client = Socket(clients)
    client.messages = 30
    clients.close_second()
    client.messages = 45
    clients.close_second()
    assert (client.messages_per_s, clients.messages) == (15.0, 45)
    clients.close_second()
    assert client.messages_per_s == 0.0


def test_the_page_is_shown_the_oldest(clients: Clients) -> None:
    made = [Socket(clients) for _ in range(SHOWN + 5)]
    made[0].identify(17, "main")
    made[0].count(2, 1)
    made[0].count(acks=1, reject=23)
    made[0].waits = 77
    views = clients.views()
    assert [each.id for each in views] == [each.id for each in made[:SHOWN]]
    first = views[0]
    assert (first.dialect, first.use, first.address, first.account) == (
        "native",
        "orders",
        "127.0.0.1",
        "main",
    )
    assert (first.orders, first.in_flight, first.queue_bytes, first.rejects) == (2, 0, 77, (("23", 1),))
    assert len({each.id for each in made}) == len(made)


def test_there_is_room_for_so_many(clients: Clients, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_CLIENTS", 2)
    first = Socket(clients)
    assert not clients.is_full
    Socket(clients)
    assert clients.is_full
    first.gone()
    assert not clients.is_full


def test_all_or_some_are_disconnected_at_once(clients: Clients) -> None:
    mine, other = Socket(clients), Socket(clients)
    mine.identify(17, "main")
    assert clients.end_all("a fault", lambda client: client.account == 17) == 1
    assert (mine.closes, other.closes) == ([(1012, "a fault")], [])
    assert list(clients.all.values()) == [other]
    assert clients.end_all("the exchange stops") == 1
    assert clients.all == {}
    assert (ends(mine), ends(other)) == (1, 1)


# --- failures ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", ["send", "send_binary", "ack"])
def test_a_socket_that_cannot_be_written_to_ends_that_client_alone(clients: Clients, way: str) -> None:
    client, other = Socket(clients), Socket(clients)
    client.broken = True
    getattr(client, way)(b"{}")
    assert (client.ended, client.aborts, ends(client), clients.failed) == (True, 1, 1, 1)
    other.send(b"{}")
    assert list(clients.all.values()) == [other]


def test_a_session_that_fails_in_its_turn_ends_that_client_alone(clients: Clients) -> None:
    made = [Socket(clients) for _ in range(3)]

    def fail(*_: Any) -> None:
        raise ValueError("a mistake of ours")

    made[0].session.on_turn = fail  # type: ignore[method-assign, union-attr]
    made[1].session.on_revoked = fail  # type: ignore[method-assign, union-attr]
    clients.turn(9)
    clients.revoked("a key", 10)
    assert [each.closes for each in made] == [[(1011, FAILED)], [(1011, FAILED)], []]
    assert (list(clients.all.values()), clients.failed) == ([made[2]], 2)
    last = made[2].session
    assert isinstance(last, Session)
    assert (last.turns, last.revoked) == ([9], [("a key", 10)])


def test_a_session_that_fails_at_its_end_is_gone_all_the_same(clients: Clients) -> None:
    client = Socket(clients)

    def fail() -> None:
        raise ValueError("a mistake of ours")

    client.session.on_close = fail  # type: ignore[method-assign, union-attr]
    client.close(1000, "")
    assert (clients.all, clients.failed) == ({}, 1)


def test_a_close_ends_the_session_before_it_returns(clients: Clients) -> None:
    client = Socket(clients)
    client.close(1008, "enough")
    assert (client.ended, ends(client), clients.all) == (True, 1, {})
    client.send(b"too late")
    client.close(1000, "again")
    assert (client.closes, client.written) == ([(1008, "enough")], [])


# --- stalls ------------------------------------------------------------------------------------------------


def stall(clients: Clients) -> dict[str, bool]:
    """Whether all are stalled, to be changed by a test."""
    state = {"on": True}
    clients.faults = lambda _: state["on"]
    return state


@pytest.mark.parametrize("end", ["next message", "care"])
def test_a_stall_holds_messages_back_in_order(clients: Clients, end: str) -> None:
    client = Socket(clients)
    state = stall(clients)
    client.send("one")
    client.send_binary(b"two")
    client.ack(b"three")
    assert (client.written, client.sent_bytes, client.queued) == ([], 0, 11)
    assert list(clients.stalled) == [client]
    state["on"] = False
    if end == "care":
        client.release()
    client.send(b"four")
    assert client.written == [("text", b"one"), ("binary", b"two"), ("text", b"three"), ("text", b"four")]
    assert (client.sent_bytes, client.queued, clients.stalled) == (15, 0, {})


def test_what_is_held_back_is_bounded_as_what_waits_is(clients: Clients) -> None:
    client = Socket(clients)
    state = stall(clients)
    client.waits = MAX_QUEUE - 10
    client.send(b"0123456789")
    assert not client.ended
    client.send(b"0")
    assert (client.closes, clients.cut_slow, clients.stalled) == ([(1008, SLOW)], 1, {})
    state["on"] = False
    client.release()
    client.send(b"x")
    assert (client.written, client.held_bytes) == ([], 0)


def test_whoever_goes_while_stalled_leaves_nothing(clients: Clients) -> None:
    client = Socket(clients)
    stall(clients)
    client.send(b"one")
    client.gone()
    assert (clients.stalled, client.held_bytes, client.written) == ({}, 0, [])
