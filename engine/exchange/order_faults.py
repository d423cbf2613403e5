"""What clients' orders meet while faults are ordered: refusals, late answers, halted symbols."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Final

from engine.exchange.faults import NATIVE, Faults
from engine.exchange.trading import Order
from engine.market.instruments import Instrument
from engine.matching.orders import CONTINUOUS, HALTED

SLOW_S: Final = 1.0
# Where an order came from, as a fault names it: (budget, market).
PLACES: Final = {
    "binance": ("binance_spot", "binance_spot"),
    "bybit": ("bybit", "bybit_spot"),
    NATIVE: (NATIVE, ""),
}
_REJECT: Final = frozenset({"reject"})
_SLOW: Final = frozenset({"slow_ack"})


def resumed(phases: Sequence[int]) -> list[tuple[int, int]]:
    """(symbol, phase) to be set when an exchange starts with symbols in these phases, as its log had them.

    Nobody who halts symbols outlives a stop: whatever a fault or a person had halted then trades again.
    """
    return [(symbol, CONTINUOUS) for symbol, phase in enumerate(phases) if phase == HALTED]


class OrderFaults:
    """Asked of every order and at every turn. `name_of` an account's number gives its name."""

    def __init__(
        self,
        faults: Faults,
        instruments: Sequence[Instrument],
        name_of: Callable[[int], str] = lambda _: "",
        clock: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        """`instruments` in the engine's order."""
        self._faults = faults
        self._name_of = name_of
        self._clock = clock
        self._names = [(each.native, each.symbol) for each in instruments]
        self._halts: dict[int, tuple[int, ...]] = {}  # fault -> symbols it holds halted
        self._halted: set[int] = set()  # symbols that somebody halted, faults or not

    def reject(self, order: Order) -> bool:
        """Whether this order is refused, for `Desk.reject`."""
        return self._faults.any and self._taken(_REJECT, order) is not None

    def delay_s(self, order: Order) -> float:
        """How much later the answer to this order comes: 0.0 = not at all."""
        return (self._taken(_SLOW, order) or 0.0) if self._faults.any else 0.0

    def halts(self, now_ns: int) -> list[tuple[int, int]]:
        """(symbol, phase) to be set now, since a halt has begun or ended. `now_ns` is monotonic; cheap.

        A symbol that several halts hold trades again when the last of them is over; one that somebody halted too,
        when they let it.
        """
        if not self._faults.any and not self._halts:
            return []
        active = self._faults.active(now_ns, "halt")
        due: list[tuple[int, int]] = []
        for number in [each for each in self._halts if each not in active]:
            symbols = self._halts.pop(number)
            due += [
                (symbol, CONTINUOUS)
                for symbol in symbols
                if symbol not in self._halted and not self.holds(symbol)
            ]
        for number, fault in active.items():
            if number not in self._halts:
                symbols = tuple(
                    at for at, names in enumerate(self._names) if not fault.symbol or fault.symbol in names
                )
                self._halts[number] = symbols
                self._faults.note(fault, 1)
                due += [(symbol, HALTED) for symbol in symbols]
        return due

    def holds(self, symbol: int) -> bool:
        """Whether a fault keeps the symbol halted now: nobody can let it trade before that is over."""
        return any(symbol in each for each in self._halts.values())

    def note_halt(self, symbol: int, halted: bool) -> None:
        """Somebody has halted the symbol, or let it trade: what stays so, or comes so, when no fault holds it."""
        (self._halted.add if halted else self._halted.discard)(symbol)

    def _taken(self, kinds: frozenset[str], order: Order) -> float | None:
        """The delay of a fault that happens to this order; None when none does."""
        budget, market = PLACES.get(order.dialect, (order.dialect, ""))
        fault = self._faults.take(
            *(self._clock(), kinds, budget, market, self._names[order.symbol]),
            account=self._name_of(order.account),
        )
        return None if fault is None else fault.delay_s or SLOW_S
