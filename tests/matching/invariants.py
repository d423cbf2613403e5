"""What must hold of a matching engine between commands, whatever was submitted; from its picture alone."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from engine.market.batches import BUY, SELL, Rows
from engine.matching.engine import Bbo, BookSpec
from engine.matching.orders import CONTINUOUS, GTD, LINEAR, SPOT

EVERY_LEVEL = 1 << 20


def check(engine: Any, books: Sequence[BookSpec]) -> None:
    """Books, counts, reserves and money agree with the open orders, and with each other."""
    picture = engine.picture()
    partners: dict[int, int] = {}
    places: dict[int, int] = {}
    reserved: dict[tuple[int, int], int] = defaultdict(int)
    for at, (book, row) in enumerate(zip(books, picture["symbols"], strict=True)):
        symbol, phase, _, _, _, _, resting, waiting = row
        assert symbol == book.symbol
        assert engine.live(symbol) == len(resting) + len(waiting)
        check_levels(engine, symbol, phase, resting)
        counts: dict[int, list[int]] = defaultdict(lambda: [0, 0, 0])
        orders = [(r[2], r[0], r[3], r[1], r[5], r[11], r[12]) for r in resting]
        orders += [(w[0], w[1], w[3], w[4], w[5], w[12], w[13]) for w in waiting]
        for order_id, side, account, price, lots, partner, sequence in orders:
            assert order_id not in places
            assert min(order_id, lots) > 0
            places[order_id] = sequence
            if partner:
                partners[order_id] = partner
            counts[account][0] += 1
            counts[account][1 if side == BUY else 2] += lots
            if book.accounting == SPOT:
                name, atoms = (
                    (book.quote, price * book.notional_atoms) if side == BUY else (book.base, book.lot_atoms)
                )
                reserved[account, engine.assets.index(name)] += lots * atoms
        own = {key[0]: account for key, account in picture["accounts"].items() if key[1] == at}
        if book.accounting:
            assert {key: list(row[:3]) for key, row in own.items() if row[0]} == dict(counts)
            assert not any(row[1] or row[2] for row in own.values() if not row[0])
        else:
            assert not own
        assert book.accounting == LINEAR or not any(row[3] or row[4] for row in own.values())
        assert sum(row[3] for row in own.values()) == 0
    assert all(partners[partner] == order_id for order_id, partner in partners.items())
    assert len(set(places.values())) == len(places)
    held = {key: row[1] for key, row in picture["balances"].items() if row[1]}
    assert held == {key: atoms for key, atoms in reserved.items() if atoms}
    for asset, (fees, supply) in enumerate(zip(picture["fees"], picture["supply"], strict=True)):
        rows = [row for (_, owned), row in picture["balances"].items() if owned == asset]
        assert all(free >= 0 for free, _ in rows)
        cash = [
            row[4] for (_, at), row in picture["accounts"].items() if books[at].quote == engine.assets[asset]
        ]
        assert sum(free + atoms for free, atoms in rows) + sum(cash) + fees == supply


def check_levels(engine: Any, symbol: str, phase: int, resting: list[tuple[int, ...]]) -> None:
    """Levels are sorted, display what their orders do, and do not cross in continuous trading."""
    tops = dict(zip((BUY, SELL), engine.top(symbol, EVERY_LEVEL), strict=True))
    for side, top in tops.items():
        shown: dict[int, int] = defaultdict(int)
        for order in resting:
            assert 0 < order[4] <= order[5]
            assert order[4] == min(order[5], order[9] or order[5]) or order[9]
            assert (order[6] == GTD) == (order[10] > 0)
            if order[0] == side:
                shown[order[1]] += order[4]
        assert top.tolist() == sorted(shown.items(), reverse=side == BUY)
    best = [tops[side].tolist()[0] if len(tops[side]) else (0, 0) for side in (BUY, SELL)]
    assert engine.bbo(symbol) == Bbo(*best[0], *best[1])
    if phase == CONTINUOUS and best[0][0] and best[1][0]:
        assert best[0][0] < best[1][0]


def check_empty(engine: Any) -> None:
    """Nothing is open, so nothing is reserved or counted."""
    picture = engine.picture()
    assert all(not resting and not waiting for *_, resting, waiting in picture["symbols"])
    assert all(reserved == 0 for _, reserved in picture["balances"].values())
    assert all(row[:3] == (0, 0, 0) for row in picture["accounts"].values())


def apply(levels: dict[tuple[int, int, int], int], changed: Rows) -> None:
    """Bring a book of {(symbol, side, price): lots} up to date."""
    for symbol, side, price, lots in changed.tolist():
        levels[symbol, side, price] = lots
        if not lots:
            del levels[symbol, side, price]
