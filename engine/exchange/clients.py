"""The clients whose sockets take orders: who they are, what they sent, what waits for them, and when one is cut.

A client's messages are never dropped: while a fault stalls it they are held back, in order, and when more waits for it
than it may, it is disconnected with a reason, so that one who does not read costs the others nothing. Nor does one
whose socket or session fails: it alone is ended.
"""

from __future__ import annotations

from collections import Counter, OrderedDict, deque
from collections.abc import Callable
from typing import Final

import structlog

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
FAILED: Final = "the exchange failed to serve this client"

log = structlog.get_logger(__name__)


class Client:
    """One socket, as sessions see it (`entry.Link`). The edge gives it ways to write and to end."""

    __slots__ = (
        "_clients",
        "_held",
        "account",
        "address",
        "dialect",
        "ended",
        "held_bytes",
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
        self._held: deque[tuple[bool, bytes]] = deque()  # by a stall: whether it is text, the message
        self.held_bytes = 0

    # --- what the edge provides --------------------------------------------------------------------------

    @property
    def queued(self) -> int:
        """Bytes that wait to be sent, `held_bytes` included."""
        raise NotImplementedError

    def write_text(self, message: bytes) -> None:
        """Send a text frame."""
        raise NotImplementedError

    def write_binary(self, message: bytes) -> None:
        """Send a binary frame."""
        raise NotImplementedError

    def write_close(self, code: int, reason: str) -> None:
        """Begin the closing handshake, and break off by and by if it is not answered. Called once at most."""
        raise NotImplementedError

    def break_off(self) -> None:
        """Drop the connection now, whatever still waits to be sent."""
        raise NotImplementedError

    @property
    def budget(self) -> str:
        """What faults and limits call its dialect."""
        return budget_of(self.dialect)

    # --- Link --------------------------------------------------------------------------------------------

    def send(self, message: str | bytes) -> None:
        """A text message; a client for whom too much waits is cut."""
        if self.ended:
            return
        data = message.encode() if isinstance(message, str) else message
        if self._clients.faults is not None and self.meets_fault(data, is_text=True):
            return
        self.sent_bytes += len(data)  # as `_write`, in one step: every answer comes this way
        try:
            self.write_text(data)
            if self.queued > MAX_QUEUE:
                self._cut()
        except Exception as error:  # noqa: BLE001 - it alone is to suffer
            self.failed(error)

    def send_binary(self, message: bytes) -> None:
        """A binary message, under the same rule."""
        if not self.ended and (self._clients.faults is None or not self.meets_fault(message, is_text=False)):
            self._write(message, is_text=False)

    def ack(self, message: bytes) -> None:
        """A text message that answers one order."""
        if self.in_flight:
            self.in_flight -= 1
        self.send(message)

    def close(self, code: int, reason: str) -> None:
        """End it in an orderly way. The session ends now: what the client still sends is nobody's."""
        if self.ended:
            return
        try:
            self.write_close(code, reason)
        except Exception as error:  # noqa: BLE001 - it alone is to suffer
            self.failed(error)
        self.gone()

    def abort(self) -> None:
        """End it at once, without a word."""
        try:
            self.break_off()
        except Exception as error:  # noqa: BLE001 - it alone is to suffer
            self._clients.note_failure(self.id, error)
        self.gone()

    def identify(self, account: int, label: str) -> None:
        """Whose it is."""
        self.account, self.label = account, label

    def count(self, orders: int = 0, acks: int = 0, reject: int | str | None = None) -> None:
        """Note orders, answers to orders, and one refusal, be it of an order or of anything else."""
        self.orders += orders
        self.in_flight = max(0, self.in_flight + orders - acks)
        if reject is not None:
            _note(self.rejects, str(reject))
            self._clients.note_reject(self.dialect, reject)

    # --- faults and failures ---------------------------------------------------------------------------------

    def meets_fault(self, message: bytes, *, is_text: bool) -> bool:
        """Whether a message is not to be sent now: a stall holds it back, or the client was ended."""
        faults = self._clients.faults
        stalled = faults is not None and faults(self)
        if not stalled and self._held:  # the stall is over: what was held back goes first
            self.release()
        if self.ended:
            return True
        if stalled:
            self._held.append((is_text, message))
            self.held_bytes += len(message)
            self._clients.stalled[self] = None
            if self.queued > MAX_QUEUE:
                self._cut()
        return stalled

    def release(self) -> None:
        """Send what a stall held back, in order."""
        self._clients.stalled.pop(self, None)
        while self._held:
            is_text, message = self._held.popleft()
            self.held_bytes -= len(message)
            self._write(message, is_text=is_text)

    def failed(self, error: Exception) -> None:
        """Sending to it failed, or its session did: it is ended, and nobody else hears of it."""
        self._clients.note_failure(self.id, error)
        self.abort()

    def _write(self, message: bytes, *, is_text: bool) -> None:
        self.sent_bytes += len(message)
        try:
            if is_text:
                self.write_text(message)
            else:
                self.write_binary(message)
            if self.queued > MAX_QUEUE:
                self._cut()
        except Exception as error:  # noqa: BLE001 - it alone is to suffer
            self.failed(error)

    # --- the edge's news ---------------------------------------------------------------------------------

    def gone(self) -> None:
        """The socket has ended."""
        if self.ended:
            return
        self.ended = True
        self._held.clear()
        self.held_bytes = 0
        self._clients.forget(self)
        if self.session is not None:
            try:
                self.session.on_close()
            except Exception as error:  # noqa: BLE001 - it alone is to suffer
                self._clients.note_failure(self.id, error)

    def _cut(self) -> None:
        self._clients.cut_slow += 1
        self.close(1008, SLOW)


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
        self.most = 0  # at a time
        self.messages = self.rejected = self.cut_slow = self.refused = self.failed = 0
        self.rejects: Counter[str] = Counter()  # "native 23"
        self._number = 0
        self.stalled: dict[Client, None] = {}  # those for whom something is held back, longest first
        # Whether one of them is stalled, asked of every message; it may end the client.
        self.faults: Callable[[Client], bool] | None = None
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
        self.most = max(self.most, len(self.all))

    def forget(self, client: Client) -> None:
        """It has gone."""
        self.all.pop(client.id, None)
        self.stalled.pop(client, None)

    def note_failure(self, client: str, error: Exception) -> None:
        """Count and log what went wrong with one client: nobody else is to suffer from it."""
        self.failed += 1
        log.warning("a client of the exchange could not be served", client=client, exc_info=error)

    def note_reject(self, dialect: str, code: int | str) -> None:
        """Count a refusal; those by REST come here too."""
        self.rejected += 1
        _note(self.rejects, f"{dialect} {code}")

    def turn(self, now_ns: int) -> None:
        """Let every session do what time asks for."""
        for client in list(self.all.values()):
            if client.session is not None and not client.ended:
                try:
                    client.session.on_turn(now_ns)
                except Exception as error:  # noqa: BLE001 - it alone is to suffer
                    self._failed(client, error)

    def revoked(self, api_key: str, now_ns: int) -> None:
        """A key is gone: whatever sessions hold by it ends, before this returns."""
        for client in list(self.all.values()):
            if client.session is not None and not client.ended:
                try:
                    client.session.on_revoked(api_key, now_ns)
                except Exception as error:  # noqa: BLE001 - it alone is to suffer
                    self._failed(client, error)

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
        """Disconnect those wanted, telling them why; how many."""
        found = [each for each in self.all.values() if wanted(each)]
        for each in found:
            each.close(1012, reason)
        return len(found)

    @staticmethod
    def _failed(client: Client, error: Exception) -> None:
        """End a client whose session failed, with a reason: what it was told last may be half of something."""
        client._clients.note_failure(client.id, error)
        client.close(1011, FAILED)


def _note(counts: Counter[str], code: str) -> None:
    counts[code if code in counts or len(counts) < CODES_KEPT else "other"] += 1


def budget_of(dialect: str) -> str:
    """What faults and limits call a dialect."""
    return BUDGETS.get(dialect, dialect)
