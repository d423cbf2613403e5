"""One robot: a strategy connected to the exchange. The strategy decides, this asks it, sends, and keeps its books."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import Callable
from typing import Any, Final, NamedTuple

from engine.bots.client import NativeClient
from engine.bots.errors import BadStrategy, ConnectionLost, NoAnswer, TooMany
from engine.bots.ledger import Ledger
from engine.bots.strategies.base import Action, Cancel, Place, Strategy, View
from engine.bots.wire import Message, Symbol

MAX_ACTIONS: Final = 20  # of one decision; what is more is left out and counted
MAX_LOTS: Final = 1 << 40
UNIT_NOTIONALS: Final = 4  # a usual order is worth so many times the least
LEAST_MARGIN_PPM: Final = 10_000  # on the least notional: the price may move before an order arrives


class Touch(NamedTuple):
    """The best bid and ask."""

    bid_ticks: int
    bid_lots: int
    ask_ticks: int
    ask_lots: int

    @property
    def mid_ticks(self) -> float:
        """Halfway."""
        return (self.bid_ticks + self.ask_ticks) / 2


class Market:
    """The best prices of a symbol, kept up to date for all robots by one connection."""

    def __init__(self, symbol: Symbol) -> None:
        self.symbol: Final = symbol
        self.touch: Touch | None = None

    def on_quote(self, message: Message) -> None:
        """One message of the bbo channel; a side that is empty leaves what was."""
        symbol, bid, ask = self.symbol, message.bid, message.ask
        if bid is None or ask is None:
            return
        touch = Touch(symbol.ticks(bid[0]), symbol.lots(bid[1]), symbol.ticks(ask[0]), symbol.lots(ask[1]))
        if 0 < touch.bid_ticks < touch.ask_ticks:
            self.touch = touch


class Counts:
    """What a robot has sent, and what came of it."""

    def __init__(self) -> None:
        self.orders = self.cancels = self.unanswered = self.left_out = 0
        self.rejects: Counter[int] = Counter()
        self.sentences: dict[int, str] = {}


class Robot:
    """A strategy with a client, an account and books of its own. `name` is the strategy's."""

    def __init__(
        self,
        name: str,
        strategy: Strategy,
        client: NativeClient,
        market: Market,
        *,
        wall_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        self.name, self.client = name, client
        self.ledger: Final = Ledger(market.symbol)
        self.counts: Final = Counts()
        self._strategy, self._market, self._wall_ns = strategy, market, wall_ns
        self._view: View | None = None

    async def enter(self) -> None:
        """Follow the account. The client is connected."""
        await self.client.subscribe(["account"], self.ledger.on_event)
        self.client.on_reconnect = self._resync

    async def trade(self, pace_s: float, first_s: float) -> None:
        """Ask the strategy and do what it says, at most one order each `pace_s`; never returns. BadStrategy."""
        await asyncio.sleep(first_s)
        due = time.monotonic()
        while True:
            placed = await self.turn()
            now = time.monotonic()
            due = max(due + pace_s * max(1, placed), now)
            await asyncio.sleep(due - now)

    async def turn(self) -> int:
        """One decision and all its answers; how many orders it placed."""
        view = self._look()
        if view is None or not self.client.connected:
            return 0
        try:
            actions = list(self._strategy.decide(view, self._wall_ns()))
        except Exception as error:
            raise BadStrategy(
                self.name, f"decide failed: {type(error).__name__}: {error} ({_line(error)})"
            ) from error
        self.counts.left_out += max(0, len(actions) - MAX_ACTIONS)
        actions = actions[:MAX_ACTIONS]
        for action in actions:
            self._check(action)
        await asyncio.gather(*(self._do(each) for each in actions))
        return sum(isinstance(each, Place) for each in actions)

    async def leave(self) -> bool:
        """Cancel what is open, and disconnect; whether the exchange has said that it is done."""
        done = False
        with contextlib.suppress(ConnectionLost, NoAnswer, TooMany):
            done = (await self.client.cancel_all(self._market.symbol.name)).ok
        await self.client.close()
        return done

    def _look(self) -> View | None:
        touch, symbol = self._market.touch, self._market.symbol
        if touch is None:
            return None
        least = symbol.least_lots(touch.bid_ticks)
        least += -(-least * LEAST_MARGIN_PPM // 1_000_000)
        if self._view is None:
            unit = symbol.least_lots(touch.bid_ticks) * UNIT_NOTIONALS
            self._view = View(symbol.name, *touch, unit_lots=unit, first_mid_ticks=touch.mid_ticks)
        view = self._view
        view.bid_ticks, view.bid_lots, view.ask_ticks, view.ask_lots = touch
        view.least_lots = least
        view.position_lots, view.orders = self.ledger.position_lots, dict(self.ledger.orders)
        return view

    def _check(self, action: object) -> None:
        if isinstance(action, Cancel):
            wrong = not isinstance(action.order_id, int)
        elif isinstance(action, Place):
            whole = isinstance(action.lots, int) and isinstance(action.price_ticks, int)
            wrong = not whole or action.side not in ("buy", "sell") or not 0 < action.lots < MAX_LOTS
        else:
            wrong = True
        if wrong:
            raise BadStrategy(
                self.name,
                f"decide returned {action!r}: it returns Place and Cancel, with whole ticks and lots",
            )

    async def _do(self, action: Action) -> None:
        try:
            if isinstance(action, Place):
                await self._place(action)
            else:
                await self._cancel(action)
        except (ConnectionLost, NoAnswer, TooMany):
            self.counts.unanswered += 1  # whether it was done is found out after the reconnection

    async def _place(self, action: Place) -> None:
        symbol = self._market.symbol
        more: dict[str, Any] = {"post_only": True} if action.post_only else {}
        price = ""
        if action.price_ticks:
            price, more["tif"] = symbol.price_text(action.price_ticks), action.tif
        self.counts.orders += 1
        size = symbol.size_text(action.lots)
        answer = await self.client.place(symbol.name, action.side, size, price=price, **more)
        if answer.ok:
            self.ledger.on_placed(answer, action.side, action.price_ticks, action.lots, self._wall_ns())
        else:
            self._refused(answer)

    async def _cancel(self, action: Cancel) -> None:
        self.counts.cancels += 1
        answer = await self.client.cancel(action.order_id)
        if not answer.ok:
            self._refused(answer)
        self.ledger.on_canceled(action.order_id)

    def _refused(self, answer: Message) -> None:
        self.counts.rejects[answer.code] += 1
        self.counts.sentences.setdefault(answer.code, answer.error)

    async def _resync(self) -> None:
        """After a reconnection: what happened meanwhile. ConnectionLost, NoAnswer: the client connects anew then."""
        orders = await self.client.request("orders")
        fills = await self.client.request("fills")
        if orders.ok and fills.ok:
            self.ledger.resync(orders.orders, fills.fills, self._wall_ns())


def _line(error: BaseException) -> str:
    """Where it happened: the innermost line."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    if trace is None:
        return "no line"
    return f"{trace.tb_frame.f_code.co_filename}, line {trace.tb_lineno}"
