"""Bybit's order book in plain Python, and a canonical flow of books in Bybit's wire form.

`PlainBook` reads frames with the standard library, keeps Decimals in dicts, and knows nothing of sequences: it is given
good frames only. `wire_frames` says of a market's successive books what Bybit's topic of 200 levels would say.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from decimal import Decimal

Side = dict[Decimal, Decimal]  # price -> size
LEVELS = 200


class PlainBook:
    def __init__(self) -> None:
        self.sides: dict[str, Side] = {"b": {}, "a": {}}

    def on_frame(self, frame: bytes) -> None:
        told = json.loads(frame)
        for name, side in self.sides.items():
            if told["type"] == "snapshot":
                side.clear()
            for price, size in told["data"][name]:
                if Decimal(size):
                    side[Decimal(price)] = Decimal(size)
                else:
                    side.pop(Decimal(price), None)

    def bids(self) -> list[tuple[Decimal, Decimal]]:
        return sorted(self.sides["b"].items(), reverse=True)

    def asks(self) -> list[tuple[Decimal, Decimal]]:
        return sorted(self.sides["a"].items())


@dataclass(frozen=True)
class Step:
    """One book of the flow: the change that leads to it, and what a subscriber would be sent who comes then."""

    number: int  # u
    change: bytes
    snapshot: bytes


def best(bids: Side, asks: Side) -> tuple[Side, Side]:
    """What of a book is within the topic's levels."""
    return (
        dict(sorted(bids.items(), reverse=True)[:LEVELS]),
        dict(sorted(asks.items())[:LEVELS]),
    )


def wire_frames(
    books: Iterable[tuple[Side, Side]],
    native: str = "BTCUSDT",
    first: int = 1000,
    spot: bool = False,
    began_ms: int = 1_700_000_000_000,
) -> Iterator[Step]:
    """Bybit's frames of successive books; the first book's change is a snapshot, as at a subscription."""
    before: tuple[Side, Side] | None = None
    for number, whole in enumerate(books, first):
        book = best(*whole)
        snapshot = frame("snapshot", number, native, book[0], book[1], spot, began_ms)
        if before is None:
            yield Step(number, snapshot, snapshot)
        else:
            changes = [difference(old, new) for old, new in zip(before, book, strict=True)]
            yield Step(
                number, frame("delta", number, native, changes[0], changes[1], spot, began_ms), snapshot
            )
        before = book


def difference(old: Side, new: Side) -> Side:
    changed = {price: size for price, size in new.items() if old.get(price) != size}
    return changed | {price: Decimal(0) for price in old if price not in new}


def frame(
    kind: str,
    number: int,
    native: str,
    bids: Side,
    asks: Side,
    spot: bool = False,
    began_ms: int = 1_700_000_000_000,
) -> bytes:
    data = {
        "s": native,
        "b": [[str(price), str(size)] for price, size in bids.items()],
        "a": [[str(price), str(size)] for price, size in asks.items()],
        "u": number,
        "seq": 7_000_000 + 3 * number,
    }
    when = began_ms + 100 * number
    topic = f"orderbook.{LEVELS}.{native}"
    told = (
        {"topic": topic, "ts": when, "type": kind, "data": data, "cts": when - 2}
        if spot
        else {"topic": topic, "type": kind, "ts": when, "data": data, "cts": when - 2}
    )
    return json.dumps(told, separators=(",", ":")).encode()


def random_books(seed: int, steps: int, levels: int = 30) -> Iterator[tuple[Side, Side]]:
    """A seeded market around 100.0 with ticks of 0.1 and sizes of three decimals: levels come, go and change."""
    chance = random.Random(seed)
    mid = 1000  # ticks
    bids: Side = {}
    asks: Side = {}
    for _ in range(steps):
        mid += chance.choice((-1, 0, 0, 0, 1))
        for side, way in ((bids, -1), (asks, 1)):
            for price in [price for price in side if (price * 10 - mid) * way < 1]:
                del side[price]
            for _ in range(chance.randint(1, 5)):
                price = Decimal(mid + way * chance.randint(1, levels)) / 10
                if chance.random() < 0.25:
                    side.pop(price, None)
                else:
                    side[price] = Decimal(chance.randint(1, 9999)) / 1000
            side.setdefault(Decimal(mid + way) / 10, Decimal("0.5"))
        yield dict(bids), dict(asks)
