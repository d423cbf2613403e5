"""The L2 book as two dicts: the slow twin of `engine.market.book`."""

from __future__ import annotations


class PlainBook:
    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.bids: dict[int, int] = {}
        self.asks: dict[int, int] = {}
        self.dropped = 0

    def load(self, bids: list[tuple[int, int]], asks: list[tuple[int, int]]) -> None:
        self.bids.clear()
        self.asks.clear()
        # Worst first, as the fast book does, so that a full side drops the same levels.
        self.apply(sorted(bids, key=lambda level: level[0]), sorted(asks, key=lambda level: -level[0]))

    def apply(self, bids: list[tuple[int, int]], asks: list[tuple[int, int]]) -> None:
        for side, farthest, changes in ((self.bids, min, bids), (self.asks, max, asks)):
            for price, size in changes:
                if size == 0:
                    side.pop(price, None)
                else:
                    side[price] = size
                if len(side) > self.capacity:
                    del side[farthest(side)]
                    self.dropped += 1

    def top(self, n: int) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
        return sorted(self.bids.items(), reverse=True)[:n], sorted(self.asks.items())[:n]

    def bbo(self) -> tuple[int, int, int, int]:
        bids, asks = self.top(1)
        return (*(bids[0] if bids else (0, 0)), *(asks[0] if asks else (0, 0)))

    @property
    def crossed(self) -> bool:
        return bool(self.bids and self.asks) and max(self.bids) >= min(self.asks)
