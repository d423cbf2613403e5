"""Clients of the native protocol without sockets: over a desk of empty books, or over a whole floor with its crowd.

rig = NativeRig()
client = rig.connect(binary=True)
client.login(rig.key)
answer, = client.say({"op": "ping", "id": 1})
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import TracebackType
from typing import Any, Final, Self

import msgspec
import numpy as np

from engine.exchange.accounts import Accounts, Key, hmac_hex
from engine.exchange.dialects.native import Native, NativeSession
from engine.exchange.dialects.native_feed import SOFT_LIMIT, NativeFeed
from engine.exchange.floor import Floor
from engine.flow.simulator import SOURCE, Simulator
from engine.market.batches import LEVEL, Batch, Kind
from tests.exchange.desk_rig import NOW_NS, Link, Rig

MS: Final = 1_000_000


class NativeLink(Link):
    """A socket for which as much waits as a test says."""

    waits = 0

    @property
    def queued(self) -> int:
        """Bytes that are not read yet."""
        return self.waits


class NativeClient:
    """One client, speaking JSON or msgpack."""

    def __init__(self, native: Native, now: Callable[[], int], settle: Callable[[], None], *, binary: bool):
        self._now, self._settle = now, settle
        self.binary = binary
        self.link: Final = NativeLink()
        session = native.session("/native", self.link, now())
        assert session is not None
        self.session: Final[NativeSession] = session
        self.hello: Final = msgspec.json.decode(self.link.sent.pop())
        assert not self.link.sent

    def send(self, frame: bytes, *, binary: bool | None = None) -> None:
        """A frame as it is."""
        if self.binary if binary is None else binary:
            self.session.on_binary(frame, self._now())
        else:
            self.session.on_text(frame, self._now())

    def begin(self, *requests: Any) -> None:
        """Send one request, or a batch; nothing is matched yet."""
        value = requests[0] if len(requests) == 1 else list(requests)
        self.send(msgspec.msgpack.encode(value) if self.binary else msgspec.json.encode(value))

    def say(self, *requests: Any) -> list[Any]:
        """Everything that is sent to it because of these."""
        self.begin(*requests)
        self._settle()
        return self.heard()

    def heard(self) -> list[Any]:
        """What came since the last time. In the client's form, each of them."""
        sent, self.link.sent = self.link.sent, []
        for each in sent:
            assert isinstance(each, bytes) is self.binary, each
        return [decoded(each) for each in sent]

    def login(self, key: Key, now_ns: int | None = None, **changed: Any) -> list[Any]:
        """Log in at the exchange's time, or another."""
        return self.say(login(key, self._now() if now_ns is None else now_ns) | changed)


def decoded(frame: str | bytes) -> Any:
    """A frame's value: text is JSON, bytes msgpack."""
    return msgspec.msgpack.decode(frame) if isinstance(frame, bytes) else msgspec.json.decode(frame)


def login(key: Key, now_ns: int) -> dict[str, Any]:
    """A good login."""
    ts_ms = now_ns // MS
    sign = hmac_hex(key.secret, f"login{ts_ms}{key.api_key}".encode())
    return {"op": "login", "id": 1, "key": key.api_key, "ts_ms": ts_ms, "sign": sign}


class NativeRig(Rig):
    """Empty books, and whatever a test rests in them."""

    def __init__(self, soft_limit: int = SOFT_LIMIT, **settings: Any) -> None:
        super().__init__(**settings)
        self.feed: Final = NativeFeed(
            tuple(self.units.values()), self.snapshot, self.engine.update_number, soft_limit
        )
        self.native: Final = Native(self.desk, self.accounts, self.guard, self.units, self.feed)

    def connect(self, *, binary: bool = False, key: Key | None = None) -> NativeClient:
        """A client, logged in with the key if there is one."""
        client = NativeClient(self.native, lambda: self.now_ns, self.turn, binary=binary)
        if key is not None:
            self.now_ns += MS  # or the signature would be one used before
            assert client.login(key)[0]["ok"]
        return client

    def snapshot(self, symbol: str, levels: int) -> Batch:
        """The engine's book."""
        instrument = next(each.instrument for each in self.units.values() if each.instrument.symbol == symbol)
        bids, asks = self.engine.top(symbol, levels)
        rows = np.empty(len(bids) + len(asks), LEVEL)
        rows["price"] = np.concatenate([bids["price_ticks"], asks["price_ticks"]]) * instrument.tick_size
        rows["size"] = np.concatenate([bids["lots"], asks["lots"]]) * instrument.lot_size
        number = self.engine.update_number(symbol)
        return Batch(
            *(Kind.SNAPSHOT, SOURCE, symbol, rows, len(bids), number, number),
            ts_event_ns=self.now_ns,
            ts_recv_ns=self.now_ns,
        )


class FloorRig:
    """A floor with its seeded crowd; time goes on only in `turn`."""

    def __init__(self, seed: int = 7, soft_limit: int = SOFT_LIMIT) -> None:
        self.now_ns = NOW_NS
        self._runner = asyncio.Runner()
        self.simulator: Final = Simulator(seed, on_events=self._on_events)
        self.accounts: Final = Accounts(self.simulator.engine.accounts)
        self._soft_limit = soft_limit
        self.floor: Floor

    def __enter__(self) -> Self:
        async def make() -> Floor:
            return Floor(self.simulator, self.accounts, wall=lambda: self.now_ns)

        self.floor = self._runner.run(make())
        object.__setattr__(self.floor.feed, "soft_limit", self._soft_limit)
        self._runner.run(self.floor.open())
        self.settle()
        self.turn()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._runner.close()

    def settle(self) -> None:
        """Let the loop match what waits."""
        self._runner.run(asyncio.sleep(0))
        self._runner.run(asyncio.sleep(0))

    def turn(self, later_ns: int = 5 * MS, rate: float = 0) -> list[Batch]:
        """The crowd's next turn, told to everyone; what it published."""
        self.now_ns += later_ns
        self.simulator.rate = rate
        turn = self.simulator.turn(self.now_ns)
        self.floor.tell(self.floor.crowd())
        self.floor.on_turn(turn)
        return turn.batches

    def connect(self, *, binary: bool = False, key: Key | None = None) -> NativeClient:
        """A client, logged in with the key if there is one."""
        client = NativeClient(self.floor.native, lambda: self.now_ns, self.settle, binary=binary)
        if key is not None:
            self.now_ns += MS
            assert client.login(key)[0]["ok"]
        return client

    def _on_events(self, events: Any) -> None:
        if hasattr(self, "floor"):
            self.floor.on_events(events)
