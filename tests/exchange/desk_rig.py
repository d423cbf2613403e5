"""A desk over a matching engine without sockets, simulator or clock: what the tests of the dialects trade on.

    rig = Rig()
    rig.rest("BTCUSDT", SELL, "104300.0", "0.5")  # the crowd's
    answer = rig.run(dialect.answer(call))

Books are those of the application's symbols, empty at first, with its fees, least notional and price bands. Time
stands still unless `rig.now_ns` is set. A command waits for `turn`, or inside `run` for the loop's next round.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Iterable, Sequence
from typing import Any, Final

import numpy as np

from engine.exchange.accounts import MAIN, Accounts, Key, ReplayGuard
from engine.exchange.desk import Desk
from engine.exchange.listings import LISTED_S, MARKETS
from engine.exchange.market import Change, Listing, Quote, Snapshot
from engine.exchange.served import ServedMarket
from engine.exchange.trading import Report, sentence
from engine.exchange.units import Units, atoms, units_of
from engine.flow.simulator import books
from engine.flow.symbols import SYMBOLS
from engine.market.batches import BUY, SELL
from engine.matching.engine import MatchingEngine
from engine.matching.orders import (
    BAND_DOWN_PPM,
    BAND_UP_PPM,
    CANCEL_ALL,
    COMMAND,
    CONTINUOUS,
    LIMIT,
    MAKER_PPM,
    MARKET,
    MIN_NOTIONAL,
    REJECTED,
    TAKER_PPM,
    Matrix,
    as_matrix,
)

NOW_NS: Final = 1_795_000_000 * 1_000_000_000
CROWD: Final = 1  # the account that stands for everybody else
FEE_PPM: Final = 1_000
BAND_PPM: Final = 200_000
MIN_NOTIONAL_ATOMS: Final = 5 * 10**8
PLENTY: Final = 1 << 50
WITHIN_S: Final = 10.0
DEPOSITS: Final = {
    "USDT": "1000000", "BTC": "10", "ETH": "100", "SOL": "2000", "BNB": "500", "XRP": "200000",
}  # fmt: skip


class EngineMatcher:
    """The plainest matcher: an engine's runs, one after the other."""

    def __init__(self, engine: MatchingEngine) -> None:
        self.engine: Final = engine

    def match(self, commands: Matrix, count: int) -> list[list[int]]:
        """Match the first rows; their events."""
        engine = self.engine
        taken, events = engine.run(commands, 0, count), engine.event_words().tolist()
        while taken < count or engine.unfinished:
            taken += engine.run(commands, taken, count)
            events += engine.event_words().tolist()
        return events


class EngineMarket:
    """The engine's books as a market of one key. Nothing in it moves by itself."""

    def __init__(self, key: str, engine: MatchingEngine) -> None:
        self.key: Final = key
        self.past: Final = None  # it is invented
        self._engine = engine
        self.listings: Final[Sequence[Listing]] = tuple(
            Listing(each.instrument, MARKETS[key], each.start_ticks * each.instrument.tick_size, LISTED_S)
            for each in SYMBOLS
        )
        self._symbols = {each.instrument.native: each.instrument for each in SYMBOLS}

    def activate(self, symbol: str, now_ns: int) -> None:
        """KeyError for an unknown one."""
        self._symbols[symbol]

    def advance(self, now_ns: int) -> Iterable[Change]:
        """Nothing."""
        return ()

    def snapshot(self, symbol: str, levels: int) -> Snapshot:
        """The engine's book."""
        instrument = self._symbols[symbol]
        sides = [
            [(p * instrument.tick_size, s * instrument.lot_size) for p, s in side.tolist()]
            for side in self._engine.top(instrument.symbol, levels)
        ]
        return Snapshot(symbol, self._engine.now_ns, self.last_update(symbol), *sides)

    def last_update(self, symbol: str) -> int:
        """The engine's number."""
        return self._engine.update_number(self._symbols[symbol].symbol)

    def is_halted(self, symbol: str) -> bool:
        """Whether it is in any phase but continuous trading."""
        at = self._engine.index(self._symbols[symbol].symbol)
        return self._engine.statistics().symbols[at].phase != CONTINUOUS

    def quote(self, symbol: str) -> Quote:
        """Best prices."""
        return Quote(*self._engine.bbo(self._symbols[symbol].symbol))


class Listening:
    """Remembers what an account was told."""

    def __init__(self) -> None:
        self.reports: list[Report] = []
        self.transfers: list[tuple[str, int]] = []

    def on_reports(self, reports: Sequence[Report]) -> None:
        """Keep them."""
        self.reports += reports

    def on_transfer(self, asset: str, atoms: int, ts_ns: int) -> None:
        """Keep it."""
        self.transfers.append((asset, atoms))


class Link:
    """A socket that keeps what is sent."""

    id = "link-1"
    address = "127.0.0.1"

    def __init__(self) -> None:
        self.sent: list[Any] = []
        self.closed: tuple[int, str] | None = None
        self.account, self.label = 0, ""
        self.orders = self.acks = 0
        self.rejects: list[int | str] = []

    @property
    def queued(self) -> int:
        """Nothing waits."""
        return 0

    def send(self, message: str | bytes) -> None:
        """Keep a text."""
        self.sent.append(message.decode() if isinstance(message, bytes) else message)

    def send_binary(self, message: bytes) -> None:
        """Keep bytes."""
        self.sent.append(message)

    def close(self, code: int, reason: str) -> None:
        """Remember why."""
        self.closed = (code, reason)

    def ack(self, message: bytes) -> None:
        """Keep a text, and add it up."""
        self.acks += 1
        self.send(message)

    def identify(self, account: int, label: str) -> None:
        """Remember whose it is."""
        self.account, self.label = account, label

    def count(self, orders: int = 0, acks: int = 0, reject: int | str | None = None) -> None:
        """Add up."""
        self.orders += orders
        self.acks += acks
        if reject is not None:
            self.rejects.append(reject)


class Rig:
    """Engine, desk, accounts with one key, and the engine's books as public markets."""

    def __init__(
        self, *, accounts: int = 64, orders_per_symbol: int = 1 << 10, band_ppm: int = BAND_PPM
    ) -> None:
        self.now_ns = NOW_NS
        specs = books()
        self.engine: Final = MatchingEngine(specs, accounts, orders_per_symbol)
        self.matcher: Final = EngineMatcher(self.engine)
        self.desk: Final = Desk(self.matcher, specs, self._wake, first_id=1_000_001)
        self.accounts: Final = Accounts(accounts)
        self.guard: Final = ReplayGuard()
        self.key: Final[Key] = self.accounts.create(MAIN, "test", NOW_NS)
        self.account: Final = self.key.account
        self.units: Final[dict[str, Units]] = units_of([each.instrument for each in SYMBOLS], specs)
        self._ids = 1
        for at, spec in enumerate(specs):
            for parameter, value in (
                (MAKER_PPM, FEE_PPM), (TAKER_PPM, FEE_PPM), (BAND_UP_PPM, band_ppm), (BAND_DOWN_PPM, band_ppm),
                (MIN_NOTIONAL, -(-MIN_NOTIONAL_ATOMS // spec.notional_atoms)),
            ):  # fmt: skip
                self.desk.configure(at, parameter, value)
        for asset in self.engine.assets:
            self.desk.deposit(CROWD, asset, PLENTY)
        self.turn()
        self.endow(self.account)

    def market(self, key: str) -> ServedMarket:
        """The books as the public market of this key ("binance_spot", "bybit_spot")."""
        return ServedMarket(EngineMarket(key, self.engine))

    def endow(self, account: int) -> None:
        """Pay in what new accounts get."""
        for asset, amount in DEPOSITS.items():
            self.desk.deposit(account, asset, atoms(amount))
        self.turn()

    def other(self, name: str = "other") -> Key:
        """A key of another account, with money of its own."""
        key = self.accounts.create(name, "", self.now_ns)
        self.endow(key.account)
        return key

    def turn(self, later_ns: int = 0) -> None:
        """Match what waits, after `later_ns` more."""
        self.now_ns += later_ns
        self.desk.drain(self.now_ns)

    def drain(self) -> None:
        """Match what waits, now."""
        self.desk.drain(self.now_ns)

    def run(self, work: Awaitable[Any]) -> Any:
        """What `work` returns, matching whatever it places."""

        async def bounded() -> Any:
            async with asyncio.timeout(WITHIN_S):
                return await work

        return asyncio.run(bounded())

    def rest(self, native: str, side: int, price: str, size: str, kind: int = LIMIT) -> int:
        """An order of the crowd, past the desk as the simulator's are; its id."""
        units = self.units[native]
        row = np.zeros(1, COMMAND)
        self._ids += 1
        row["kind"], row["side"], row["symbol"], row["account"] = kind, side, units.index, CROWD
        row["order_id"], row["lots"], row["ts_ns"] = self._ids, units.lots(size), self.now_ns
        row["price_ticks"] = units.ticks(price) if kind == LIMIT else 0
        self._crowd(row)
        return self._ids

    def take(self, native: str, side: int, size: str) -> None:
        """A market order of the crowd."""
        self.rest(native, side, "0", size, MARKET)

    def leave(self, native: str) -> None:
        """The crowd cancels all it has in a symbol."""
        row = np.zeros(1, COMMAND)
        row["kind"], row["symbol"], row["account"] = CANCEL_ALL, self.units[native].index, CROWD
        row["ts_ns"] = self.now_ns
        self._crowd(row)

    def trade_at(self, native: str, price: str, size: str = "1") -> None:
        """The crowd trades with itself, so that there is a last price."""
        self.rest(native, SELL, price, size)
        self.rest(native, BUY, price, size)

    def _crowd(self, row: Any) -> None:
        events = self.matcher.match(as_matrix(row), 1)
        refused = [sentence(each[0] >> 16 & 0xFF) for each in events if each[0] & 0xFF == REJECTED]
        assert not refused, refused
        self.desk.tell(self.desk.on_events(np.array(events, np.int64), self.now_ns))

    def _wake(self) -> None:
        with contextlib.suppress(RuntimeError):  # outside a loop the test turns it itself
            asyncio.get_running_loop().call_soon(self.drain)
