"""One order at a time from Python: a method for each command, and what comes back are its events.

A call costs some 0.7 us more than running the kernel on a row that is there, which takes 0.4. What comes back is a
copy: a view would save 0.2 us, and change under its holder. Whoever has many commands at once makes rows of them.
"""

from __future__ import annotations

import operator
import struct
from typing import Any, Final

import numpy as np

from engine.market.batches import Rows
from engine.matching import kernel
from engine.matching.engine import MatchingEngine
from engine.matching.layout import H_EVENTS_AT, HEADER_WORDS, T_EVENTS, T_QUEUE_HEAD, T_RUN
from engine.matching.orders import (
    AMEND,
    BAD_DISPLAY,
    BAD_EXPIRY,
    BAD_FLAGS,
    BAD_ID,
    BAD_LINK,
    BAD_LOTS,
    BAD_PARAMETER,
    BAD_PRICE,
    BAD_SELF_TRADE,
    BAD_SIDE,
    BAD_TIME_IN_FORCE,
    BAD_TRIGGER,
    BAD_VALUE,
    CANCEL,
    CANCEL_ALL,
    COMMAND,
    CONFIGURE,
    DEPOSIT,
    EVENT,
    GTC,
    LIMIT,
    MARKET,
    NONE,
    PHASE,
    REJECTED,
    REPLACE,
    STOP,
    STOP_LIMIT,
    TAKE_PROFIT,
    TAKE_PROFIT_LIMIT,
    TIME,
    TRAILING_STOP,
    UNKNOWN_ACCOUNT,
    UNKNOWN_ASSET,
    UNKNOWN_SYMBOL,
    WITHDRAW,
    as_matrix,
)

CODES: Final = dict(
    zip(COMMAND.names or (), "bbbbhhiiqqqqqqqq", strict=True)
)  # fields as `struct` writes them
ROW: Final = struct.Struct("=" + "".join(CODES.values()))
EVENT_BYTES: Final = EVENT.itemsize
# Why a command is refused that has no whole number in a field, or one that does not fit; the first that applies.
REASONS: Final = {
    "symbol": UNKNOWN_SYMBOL,
    "account": UNKNOWN_ACCOUNT,
    "order_id": BAD_ID,
    "side": BAD_SIDE,
    "time_in_force": BAD_TIME_IN_FORCE,
    "self_trade": BAD_SELF_TRADE,
    "flags": BAD_FLAGS,
    "parameter": BAD_PARAMETER,
    "lots": BAD_LOTS,
    "price_ticks": BAD_PRICE,
    "display_lots": BAD_DISPLAY,
    "trigger_ticks": BAD_TRIGGER,
    "expire_ns": BAD_EXPIRY,
    "link_id": BAD_LINK,
    "ts_ns": BAD_VALUE,
}
OTHER_REASONS: Final = {  # where the field means something else
    REPLACE: {"link_id": BAD_ID},
    PHASE: {"parameter": BAD_VALUE},
    CONFIGURE: {"lots": BAD_VALUE},
    DEPOSIT: {"symbol": UNKNOWN_ASSET},
    WITHDRAW: {"symbol": UNKNOWN_ASSET},
}
ECHOED: Final = ("side", "symbol", "order_id", "account", "price_ticks", "lots")


class OrderEntry:
    """Commands to one engine, one a call, on the engine's thread; other callers may come in between.

    Each method returns the command's events (EVENT rows, the caller's to keep). Symbols and assets go by name. What
    is no whole number (1.5, NaN, None), does not fit its field or is no name comes back as one REJECTED event with
    that field's reason, BAD_VALUE for `ts_ns`. It never becomes a command: nothing changes, the time neither, and the
    event's sequence is that of the next command; such a field is echoed as 0, an unknown name as -1. Whatever else
    is wrong with a command the engine finds.
    """

    def __init__(self, engine: MatchingEngine) -> None:
        self.engine: Final = engine
        self._symbols = {symbol: at for at, symbol in enumerate(engine.symbols)}
        self._assets = {asset: at for at, asset in enumerate(engine.assets)}
        self._matrix = as_matrix(np.zeros(1, COMMAND))
        self._row = self._matrix.data.cast("B")
        self._memory, self._match = engine.memory, kernel.match
        # As memoryviews: what Python needs of them they give in a third of an array's time.
        self._header = engine.memory[:HEADER_WORDS].data
        self._events = engine.memory[engine.memory[H_EVENTS_AT] :].data.cast("B")
        self._changed: list[Rows] = []  # by all runs but the last, of a command that took several
        self._changed_until = -1  # the number of that last run

    def limit(
        self,
        symbol: str,
        side: int,
        price_ticks: int,
        lots: int,
        order_id: int,
        account: int = 0,
        time_in_force: int = GTC,
        self_trade: int = NONE,
        post_only: bool = False,
        display_lots: int = 0,
        expire_ns: int = 0,
        link_id: int = 0,
        ts_ns: int = 0,
    ) -> Rows:
        """LIMIT."""
        return self._send(
            self._symbols, LIMIT, symbol, account, order_id, ts_ns, side, lots, price_ticks,
            time_in_force, self_trade, 0, expire_ns, link_id, post_only, display_lots,
        )  # fmt: skip

    def market(
        self,
        symbol: str,
        side: int,
        lots: int,
        order_id: int,
        account: int = 0,
        time_in_force: int = GTC,
        self_trade: int = NONE,
        ts_ns: int = 0,
    ) -> Rows:
        """MARKET."""
        return self._send(
            self._symbols, MARKET, symbol, account, order_id, ts_ns, side, lots, 0, time_in_force, self_trade
        )

    def stop(
        self,
        symbol: str,
        side: int,
        trigger_ticks: int,
        lots: int,
        order_id: int,
        account: int = 0,
        time_in_force: int = GTC,
        self_trade: int = NONE,
        expire_ns: int = 0,
        link_id: int = 0,
        ts_ns: int = 0,
    ) -> Rows:
        """STOP."""
        return self._send(
            self._symbols, STOP, symbol, account, order_id, ts_ns, side, lots, 0,
            time_in_force, self_trade, trigger_ticks, expire_ns, link_id,
        )  # fmt: skip

    def stop_limit(
        self,
        symbol: str,
        side: int,
        trigger_ticks: int,
        price_ticks: int,
        lots: int,
        order_id: int,
        account: int = 0,
        time_in_force: int = GTC,
        self_trade: int = NONE,
        expire_ns: int = 0,
        link_id: int = 0,
        ts_ns: int = 0,
    ) -> Rows:
        """STOP_LIMIT."""
        return self._send(
            self._symbols, STOP_LIMIT, symbol, account, order_id, ts_ns, side, lots, price_ticks,
            time_in_force, self_trade, trigger_ticks, expire_ns, link_id,
        )  # fmt: skip

    def take_profit(
        self,
        symbol: str,
        side: int,
        trigger_ticks: int,
        lots: int,
        order_id: int,
        account: int = 0,
        time_in_force: int = GTC,
        self_trade: int = NONE,
        expire_ns: int = 0,
        link_id: int = 0,
        ts_ns: int = 0,
    ) -> Rows:
        """TAKE_PROFIT."""
        return self._send(
            self._symbols, TAKE_PROFIT, symbol, account, order_id, ts_ns, side, lots, 0,
            time_in_force, self_trade, trigger_ticks, expire_ns, link_id,
        )  # fmt: skip

    def take_profit_limit(
        self,
        symbol: str,
        side: int,
        trigger_ticks: int,
        price_ticks: int,
        lots: int,
        order_id: int,
        account: int = 0,
        time_in_force: int = GTC,
        self_trade: int = NONE,
        expire_ns: int = 0,
        link_id: int = 0,
        ts_ns: int = 0,
    ) -> Rows:
        """TAKE_PROFIT_LIMIT."""
        return self._send(
            self._symbols, TAKE_PROFIT_LIMIT, symbol, account, order_id, ts_ns, side, lots, price_ticks,
            time_in_force, self_trade, trigger_ticks, expire_ns, link_id,
        )  # fmt: skip

    def trailing_stop(
        self,
        symbol: str,
        side: int,
        distance_ticks: int,
        lots: int,
        order_id: int,
        account: int = 0,
        time_in_force: int = GTC,
        self_trade: int = NONE,
        expire_ns: int = 0,
        link_id: int = 0,
        ts_ns: int = 0,
    ) -> Rows:
        """TRAILING_STOP, at this distance from the market."""
        return self._send(
            self._symbols, TRAILING_STOP, symbol, account, order_id, ts_ns, side, lots, 0,
            time_in_force, self_trade, distance_ticks, expire_ns, link_id,
        )  # fmt: skip

    def cancel(self, symbol: str, order_id: int, account: int = 0, ts_ns: int = 0) -> Rows:
        """CANCEL."""
        return self._send(self._symbols, CANCEL, symbol, account, order_id, ts_ns)

    def cancel_all(self, symbol: str, account: int = 0, ts_ns: int = 0) -> Rows:
        """CANCEL_ALL."""
        return self._send(self._symbols, CANCEL_ALL, symbol, account, 0, ts_ns)

    def replace(
        self,
        symbol: str,
        order_id: int,
        price_ticks: int,
        lots: int,
        account: int = 0,
        new_id: int = 0,
        side: int = 0,
        ts_ns: int = 0,
    ) -> Rows:
        """REPLACE. `new_id` 0 keeps the id; `side` 0 is the order's."""
        return self._send(
            self._symbols, REPLACE, symbol, account, order_id, ts_ns, side, lots, price_ticks, link=new_id
        )

    def amend(self, symbol: str, order_id: int, lots: int, account: int = 0, ts_ns: int = 0) -> Rows:
        """AMEND. `lots` stay open."""
        return self._send(self._symbols, AMEND, symbol, account, order_id, ts_ns, 0, lots)

    def phase(self, symbol: str, phase: int, ts_ns: int = 0) -> Rows:
        """PHASE."""
        return self._send(self._symbols, PHASE, symbol, 0, 0, ts_ns, parameter=phase)

    def configure(self, symbol: str, parameter: int, value: int, ts_ns: int = 0) -> Rows:
        """CONFIGURE."""
        return self._send(self._symbols, CONFIGURE, symbol, 0, 0, ts_ns, 0, value, parameter=parameter)

    def deposit(self, asset: str, account: int, atoms: int, ts_ns: int = 0) -> Rows:
        """DEPOSIT."""
        return self._send(self._assets, DEPOSIT, asset, account, 0, ts_ns, 0, atoms)

    def withdraw(self, asset: str, account: int, atoms: int, ts_ns: int = 0) -> Rows:
        """WITHDRAW."""
        return self._send(self._assets, WITHDRAW, asset, account, 0, ts_ns, 0, atoms)

    def time(self, ts_ns: int) -> Rows:
        """TIME. Its events are the orders that expire."""
        return self._send(self._symbols, TIME, self.engine.symbols[0], 0, 0, ts_ns)

    def changed_rows(self) -> Rows:
        """The levels the last command changed (LEVEL_CHANGE), in order: a level's last row counts.

        May be a view, overwritten by the next command.
        """
        changed = self.engine.changed_rows()
        if self._header[T_RUN] != self._changed_until:
            return changed
        return np.concatenate([*self._changed, changed])

    def _send(
        self,
        places: dict[str, int],
        kind: int,
        name: str,
        account: int,
        order_id: int,
        ts_ns: int,
        side: int = 0,
        lots: int = 0,
        price: int = 0,
        time_in_force: int = 0,
        self_trade: int = 0,
        trigger: int = 0,
        expire: int = 0,
        link: int = 0,
        flags: int = 0,
        display: int = 0,
        parameter: int = 0,
    ) -> Rows:
        try:
            ROW.pack_into(
                self._row, 0, kind, side, time_in_force, self_trade, flags, parameter, places[name], account,
                order_id, price, lots, ts_ns, trigger, display, expire, link,
            )  # fmt: skip
        except (struct.error, KeyError, TypeError):
            place = places.get(name) if isinstance(name, str) else None
            return self._refused(
                kind, side, time_in_force, self_trade, flags, parameter, place, account,
                order_id, price, lots, ts_ns, trigger, display, expire, link,
            )  # fmt: skip
        taken = self._match(self._memory, self._matrix, 0, 1, True)
        if not taken or self._header[T_QUEUE_HEAD]:
            return self._go_on(taken)
        size = self._header[T_EVENTS] * EVENT_BYTES
        return np.frombuffer(self._events[:size].tobytes(), EVENT)

    def _go_on(self, taken: int) -> Rows:
        """All events of a command that takes several runs."""
        engine = self.engine
        events, changed = [engine.event_rows().copy()], []
        while not taken or engine.unfinished:
            changed.append(engine.changed_rows().copy())
            taken += engine.run(self._matrix, taken, 1)
            events.append(engine.event_rows().copy())
        self._changed, self._changed_until = changed, self._header[T_RUN]
        return np.concatenate(events)

    def _refused(self, *values: Any) -> Rows:
        """The rejection of what cannot become a command."""
        given = dict(zip(CODES, values, strict=True))
        fitting = {name for name, code in CODES.items() if _fits(code, given[name])}
        reasons = REASONS | OTHER_REASONS.get(given["kind"], {})
        event = np.zeros(1, EVENT)
        event["kind"] = REJECTED
        event["reason"] = next(reason for name, reason in reasons.items() if name not in fitting)
        event["sequence"] = self.engine.commands_taken
        event["symbol"] = -1
        for name in fitting.intersection(ECHOED):
            event[name] = operator.index(given[name])
        return event


def _fits(code: str, value: Any) -> bool:
    """Whether a value can be written as `code` says."""
    try:
        struct.pack(code, value)
    except (struct.error, TypeError):
        return False
    return True
