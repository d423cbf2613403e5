"""The clients whose sockets take orders: who they are, what they sent, what waits for them, and when one is cut.

A client's messages are never dropped: when more waits for it than it may, it is disconnected with a reason, so that one
who does not read costs the others nothing.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Callable
from typing import Final

from engine.exchange.entry import Session
from engine.telemetry.board import ClientView

MAX_CLIENTS: Final = 2_100  # the 2,000 that a stress run may have, and who watches
MAX_QUEUE: Final = 8 << 20  # bytes that may wait for a client
SHOWN: Final = 200
MAX_CALLERS: Final = 500
CALLER_STAYS_NS: Final = 60_000_000_000
CODES_KEPT: Final = 64  # of refusals, in all and of each client; the rest count as "other"
BUDGETS: Final = {"binance": "binance_spot"}
SLOW: Final = "too much waits to be read"


class Client:
    """One socket, as sessions see it (`entry.Link`). The edge gives it ways to write and to end."""

    __slots__ = (
        "_clients",
        "account",
        "address",
        "dialect",
        "ended",
        "id",
        "in_flight",
        "label",
        "messages",
        "messages_before",
        "messages_per_s",
        "opened_ns",
        "orders",
        "rejects",
        "sent_bytes",
        "session",
    )

    def __init__(self, clients: Clients, dialect: str, address: str, now_ns: int) -> None:
        self._clients = clients
        self.id = f"{dialect}-{clients.next_number()}"
        self.dialect, self.address = dialect, address
        self.session: Session | None = None
        self.opened_ns = now_ns
        self.account, self.label = 0, ""
        self.messages = self.messages_before = self.orders = self.in_flight = self.sent_bytes = 0
        self.messages_per_s = 0.0
        self.rejects: Counter[str] = Counter()
        self.ended = False

    # --- what the edge provides --------------------------------------------------------------------------

    @property
    def queued(self) -> int:
        """Bytes that wait to be sent."""
        raise NotImplementedError

    def write_text(self, message: bytes) -> None:
        """Send a text frame."""
        raise NotImplementedError

    def write_binary(self, message: bytes) -> None:
        """Send a binary frame."""
        raise NotImplementedError

    def close(self, code: int, reason: str) -> None:
        """End it in an orderly way."""
        raise NotImplementedError

    def abort(self) -> None:
        """End it at once."""
        raise NotImplementedError

    @property
    def budget(self) -> str:
        """What faults and limits call its dialect."""
        return BUDGETS.get(self.dialect, self.dialect)

    # --- Link --------------------------------------------------------------------------------------------

    def send(self, message: str | bytes) -> None:
        """A text message; a client for whom too much waits is cut."""
        if self.ended or ((faults := self._clients.faults) is not None and faults(self)):
            return
        data = message.encode() if isinstance(message, str) else message
        self.sent_bytes += len(data)
        self.write_text(data)
        if self.queued > MAX_QUEUE:
            self._cut()

    def send_binary(self, message: bytes) -> None:
        """A binary message, under the same rule."""
        if self.ended or ((faults := self._clients.faults) is not None and faults(self)):
            return
        self.sent_bytes += len(message)
        self.write_binary(message)
        if self.queued > MAX_QUEUE:
            self._cut()

    def ack(self, message: bytes) -> None:
        """A text message that answers one order."""
        if self.in_flight:
            self.in_flight -= 1
        self.send(message)

    def identify(self, account: int, label: str) -> None:
        """Whose it is."""
        self.account, self.label = account, label

    def count(self, orders: int = 0, acks: int = 0, reject: int | str | None = None) -> None:
        """Note orders, answers, or one refusal."""
        if reject is None:
            self.orders += orders
            self.in_flight += orders - acks
        else:
            self.in_flight -= 1
            _note(self.rejects, str(reject))
            self._clients.note_reject(self.dialect, reject)
        if self.in_flight < 0:  # what was refused was no order
            self.in_flight = 0

    # --- the edge's news ---------------------------------------------------------------------------------

    def gone(self) -> None:
        """The socket has ended."""
        if not self.ended:
            self.ended = True
            self._clients.forget(self)
            if self.session is not None:
                self.session.on_close()

    def _cut(self) -> None:
        self._clients.cut_slow += 1
        self.close(1008, SLOW)
        self.abort()


class _Caller:
    """Who calls by REST: an account, or an address without a key."""

    __slots__ = (
        "account",
        "address",
        "before",
        "calls",
        "dialect",
        "first_ns",
        "last_ns",
        "orders",
        "per_s",
        "rejects",
    )

    def __init__(self, dialect: str, account: str, address: str, now_ns: int) -> None:
        self.dialect, self.account, self.address = dialect, account, address
        self.first_ns = self.last_ns = now_ns
        self.calls = self.before = self.orders = 0
        self.per_s = 0.0
        self.rejects: Counter[str] = Counter()


class Clients:
    """All of them, and what they did in all. One thread."""

    def __init__(self) -> None:
        self.all: dict[str, Client] = {}
        self.messages = self.rejected = self.cut_slow = self.refused = 0
        self.rejects: Counter[str] = Counter()  # "native 23"
        self._number = 0
        self.faults: Callable[[Client], bool] | None = None  # whether one swallows what is to be sent
        self._callers: OrderedDict[tuple[str, str, str], _Caller] = OrderedDict()  # longest silent first

    def note_call(
        self, dialect: str, account: str, address: str, now_ns: int, orders: int, reject: str = ""
    ) -> None:
        """Count one private REST call of an account, and the orders in it; `reject` is the code it was refused with."""
        place = (dialect, account, address)
        caller = self._callers.get(place)
        if caller is None:
            if len(self._callers) >= MAX_CALLERS:
                self._callers.popitem(last=False)
            caller = self._callers[place] = _Caller(dialect, account, address, now_ns)
        self._callers.move_to_end(place)
        caller.last_ns = now_ns
        caller.calls += 1
        caller.orders += orders
        self.messages += 1
        if reject:
            _note(caller.rejects, reject)
            self.note_reject(dialect, reject)

    def next_number(self) -> int:
        """A number for a new client."""
        self._number += 1
        return self._number

    @property
    def is_full(self) -> bool:
        """Whether no more may come."""
        return len(self.all) >= MAX_CLIENTS

    def add(self, client: Client) -> None:
        """A client has come."""
        self.all[client.id] = client

    def forget(self, client: Client) -> None:
        """It has gone."""
        self.all.pop(client.id, None)

    def note_reject(self, dialect: str, code: int | str) -> None:
        """Count a refusal; those by REST come here too."""
        self.rejected += 1
        _note(self.rejects, f"{dialect} {code}")

    def turn(self, now_ns: int) -> None:
        """Let every session do what time asks for."""
        for client in list(self.all.values()):
            if client.session is not None:
                client.session.on_turn(now_ns)

    def close_second(self) -> None:
        """Make rates of what each sent since the last call, a second ago."""
        for client in self.all.values():
            came = client.messages - client.messages_before
            client.messages_per_s = float(came)
            client.messages_before = client.messages
            self.messages += came
        for caller in self._callers.values():
            caller.per_s, caller.before = float(caller.calls - caller.before), caller.calls

    def callers(self, now_ns: int) -> tuple[ClientView, ...]:
        """Who called by REST in the last minute."""
        while self._callers and next(iter(self._callers.values())).last_ns < now_ns - CALLER_STAYS_NS:
            self._callers.popitem(last=False)
        return tuple(
            ClientView(
                id=f"{each.dialect} REST",
                dialect=each.dialect,
                use="REST",
                address=each.address,
                account=each.account,
                since_ns=each.first_ns,
                messages=each.calls,
                messages_per_s=each.per_s,
                orders=each.orders,
                in_flight=0,
                queue_bytes=0,
                sent_bytes=0,
                conflated=0,
                rejects=tuple(each.rejects.most_common(8)),
            )
            for each in self._callers.values()
        )

    def views(self) -> tuple[ClientView, ...]:
        """The first 200, oldest first."""
        return tuple(
            ClientView(
                *(each.id, each.dialect, "orders", each.address, each.label, each.opened_ns),
                *(each.messages, each.messages_per_s, each.orders, each.in_flight),
                *(0 if each.ended else each.queued, each.sent_bytes, 0),
                tuple(each.rejects.most_common(8)),
            )
            for each in list(self.all.values())[:SHOWN]
        )

    def end_all(self, reason: str, wanted: Callable[[Client], bool] = lambda _: True) -> int:
        """Disconnect those wanted without a closing handshake; how many."""
        found = [each for each in self.all.values() if wanted(each)]
        for each in found:
            each.close(1012, reason)
            each.abort()
        return len(found)


def _note(counts: Counter[str], code: str) -> None:
    counts[code if code in counts or len(counts) < CODES_KEPT else "other"] += 1
