"""What a strategy sees, what it may do, and the class to begin one's own with.

A strategy is a class with `decide(view, now_ns) -> actions`. It is asked some times a second, each time when all it did
before has been answered. It opens no sockets, reads no clock and draws from its own seeded `random`, so the same views
bring the same actions. Prices are whole ticks and sizes whole lots of the symbol:

    class BuyTheDip(Strategy):
        def decide(self, view, now_ns):
            if view.position_lots < 10 * view.unit_lots and view.mid_ticks < 0.999 * view.first_mid_ticks:
                return [Place("buy", view.unit_lots, view.ask_ticks, "ioc")]
            return []
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Literal, NamedTuple

Side = Literal["buy", "sell"]
Ticks = int
Lots = int
Nanos = int


class OpenOrder(NamedTuple):
    """An order of the robot that can still trade."""

    order_id: int
    side: Side
    price_ticks: Ticks
    lots: Lots  # still open
    placed_ns: Nanos


@dataclass(slots=True)
class View:
    """The market and the robot's own state at one moment. Strategies only read it."""

    symbol: str
    bid_ticks: Ticks
    bid_lots: Lots
    ask_ticks: Ticks
    ask_lots: Lots
    unit_lots: Lots  # a usual order: worth four times the least notional when the robot began
    least_lots: Lots = 1  # fewer are below the least notional now
    position_lots: Lots = 0  # bought less sold since the robot began, fees left out
    first_mid_ticks: float = 0.0  # when the robot began
    orders: Mapping[int, OpenOrder] = field(default_factory=dict)  # by id, oldest first

    @property
    def mid_ticks(self) -> float:
        """Halfway between best bid and best ask."""
        return (self.bid_ticks + self.ask_ticks) / 2

    def open_lots(self, side: Side) -> Lots:
        """What the robot's open orders of a side would still trade."""
        return sum(each.lots for each in self.orders.values() if each.side == side)


class Place(NamedTuple):
    """Place an order: a limit at `price_ticks`, or at market when that is 0."""

    side: Side
    lots: Lots
    price_ticks: Ticks = 0
    tif: Literal["gtc", "ioc", "fok"] = "gtc"
    post_only: bool = False


class Cancel(NamedTuple):
    """Cancel an open order."""

    order_id: int


Action = Place | Cancel


class Strategy:
    """Begin one's own with this: `self.random` is seeded, `decide` is to be written."""

    def __init__(self, seed: int = 0) -> None:
        """Robots of one run have different seeds; the same seed makes the same robot."""
        self.seed = seed
        self.random = Random(seed)  # noqa: S311 - a market's, not a secret's

    def decide(self, view: View, now_ns: Nanos) -> Sequence[Action]:
        """What to do now, most often nothing. `now_ns` only ever grows."""
        raise NotImplementedError(f"{type(self).__name__} has no decide(view, now_ns)")
