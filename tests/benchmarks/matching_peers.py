"""Order books from PyPI, driven with the public benchmark's messages, one call each.

They are installed into a directory of the caller's, never into the project's environment. Each is driven as lean as
its interface allows, its answers kept as they come. None knows IOC or modify: what an IOC leaves is canceled, a
modify cancels and places. Two give order objects instead of taking ids; these are kept, and say whether an order is
still open. Acks and rejects none of them writes, so they have less to do than ours.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, NamedTuple

Message = tuple[int, ...]  # as in public_workload.MESSAGE
Trade = tuple[int, int, int, int]  # aggressor's id, maker's id, price, quantity

NEW = 0
INSTALL_TIMEOUT_S: Final = 60.0


class Answer(NamedTuple):
    """What a peer made of the messages. `trades` None: it tells none. `book`: best bid and ask, the quantity open
    on each side and the number of open orders, where it tells that."""

    trades: list[Trade] | None
    book: tuple[int, ...] | None


class Peer(NamedTuple):
    """A package, and its driver: takes the messages, and gives what makes the answer of its raw results.

    So converting the results is not in the time of the driver's call.
    """

    package: str
    drive: Callable[[list[Message]], Callable[[], Answer]]


def install(peer: Peer, directory: Path) -> str | None:
    """Make the package importable; what went wrong, None if nothing."""
    uv = shutil.which("uv")
    if uv is None:
        return "uv is not on the path"
    target = directory / peer.package
    command = [uv, "pip", "install", "--quiet", "--python", sys.executable, "--target", str(target)]
    try:
        done = subprocess.run(
            [*command, "--no-deps", peer.package], capture_output=True, text=True, timeout=INSTALL_TIMEOUT_S
        )
    except subprocess.TimeoutExpired:
        return f"not installed within {INSTALL_TIMEOUT_S:.0f} s"
    if done.returncode:
        return f"uv could not install it (exit code {done.returncode})"
    sys.path.append(str(target))
    return None


def _limit_order_book(messages: list[Message]) -> Callable[[], Answer]:
    """C++ behind ctypes. It answers nothing: whether an order is open must be asked."""
    from limit_order_book import LimitOrderBook

    book = LimitOrderBook()
    has, place, cancel = book.has, (book.limit_buy, book.limit_sell), book.cancel
    for kind, side, ioc, _, quantity, _, order_id, price, _ in messages:
        if kind != NEW:
            if not has(order_id):
                continue
            cancel(order_id)
            if kind == 1:
                continue
        place[side](order_id, quantity, price)
        if ioc and has(order_id):
            cancel(order_id)

    def answer() -> Answer:
        found = (book.best_buy(), book.best_sell(), book.volume_buy(), book.volume_sell(), book.count())
        return Answer(None, found)

    return answer


def _lightmatchingengine(messages: list[Message]) -> Callable[[], Answer]:
    from lightmatchingengine.lightmatchingengine import LightMatchingEngine

    engine = LightMatchingEngine()
    place, cancel = engine.add_order, engine.cancel_order
    live: dict[int, Any] = {}
    ids = [0]  # it numbers orders itself, from 1
    traded = []
    for kind, side, ioc, _, quantity, _, order_id, price, _ in messages:
        if kind != NEW:
            order = live.pop(order_id, None)
            if order is None or not order.leaves_qty:
                continue
            cancel(order.order_id, "X")
            if kind == 1:
                continue
        order, trades = place("X", price, quantity, side + 1)
        ids.append(order_id)
        if trades:
            traded.append((order_id, trades))
        if order.leaves_qty:
            if ioc:
                cancel(order.order_id, "X")
            else:
                live[order_id] = order

    def answer() -> Answer:
        # The aggressor has rows of its own, one a level.
        found = [
            (order_id, ids[trade.order_id], trade.trade_price, trade.trade_qty)
            for order_id, trades in traded
            for trade in trades
            if ids[trade.order_id] != order_id
        ]
        return Answer(found, None)

    return answer


def _pyorderbook(messages: list[Message]) -> Callable[[], Answer]:
    from pyorderbook import Book, Order, Side

    book = Book()
    match, cancel = book.match, book.cancel
    sides = (Side.BID, Side.ASK)
    live: dict[int, Any] = {}
    ids = {}
    traded = []
    for kind, side, ioc, _, quantity, _, order_id, price, _ in messages:
        if kind != NEW:
            order = live.pop(order_id, None)
            if order is None or not order.quantity:
                continue
            cancel(order)
            if kind == 1:
                continue
        order = Order(sides[side], "X", price, quantity)
        ids[order.id] = order_id
        trades = match(order).trades
        if trades:
            traded.append((order_id, trades))
        if order.quantity:
            if ioc:
                cancel(order)
            else:
                live[order_id] = order

    def answer() -> Answer:
        found = [
            (order_id, ids[trade.standing_order_id], int(trade.fill_price), trade.fill_quantity)
            for order_id, trades in traded
            for trade in trades
        ]
        return Answer(found, None)

    return answer


PEERS: Final = (
    Peer("limit-order-book==2.0.0", _limit_order_book),
    Peer("lightmatchingengine==2019.1.4", _lightmatchingengine),
    Peer("pyorderbook==0.4.9", _pyorderbook),
)
