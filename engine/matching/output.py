"""What the rare paths put out: one event at a time."""

from __future__ import annotations

from typing import Any

from engine.matching.compiled import compiled
from engine.matching.layout import (
    ACCOUNT_SHIFT,
    O_ID,
    O_META,
    O_PRICE,
    SELLING,
    T_EVENTS,
    Words,
    events_of,
    orders_of,
)
from engine.matching.orders import (
    C_HEAD,
    C_ID,
    C_LOTS,
    C_PARTIES,
    C_PRICE,
    E_FEE,
    E_HEAD,
    E_ID,
    E_LOTS,
    E_MAKER,
    E_MAKER_FEE,
    E_MAKER_REMAINING,
    E_PARTIES,
    E_PRICE,
    E_REMAINING,
    E_SEQUENCE,
    E_TRADE,
    REJECTED,
)


@compiled
def put(
    memory: Words,
    sequence: int,
    head: int,
    order_id: int,
    parties: int,
    price: int,
    lots: int,
    remaining: int,
    maker: int,
    maker_remaining: int,
) -> Any:
    """Append an event without fees; its row."""
    events = events_of(memory)
    at = memory[T_EVENTS]
    memory[T_EVENTS] = at + 1
    event = events[at]
    event[E_HEAD] = head
    event[E_SEQUENCE] = sequence
    event[E_ID] = order_id
    event[E_PARTIES] = parties
    event[E_PRICE] = price
    event[E_LOTS] = lots
    event[E_REMAINING] = remaining
    event[E_MAKER] = maker
    event[E_MAKER_REMAINING] = maker_remaining
    event[E_FEE] = 0
    event[E_MAKER_FEE] = 0
    event[E_TRADE] = 0
    return at


@compiled
def put_order(
    memory: Words,
    sequence: int,
    kind: int,
    reason: int,
    symbol: int,
    slot: int,
    lots: int,
    rest: int,
    shown: int,
) -> Any:
    """Append an event about an open order; its row."""
    orders = orders_of(memory)
    meta = orders[slot, O_META]
    side = 0xFF if meta & SELLING else 1
    return put(
        memory,
        sequence,
        kind | side << 8 | reason << 16 | symbol << 32,
        orders[slot, O_ID],
        meta >> ACCOUNT_SHIFT,
        orders[slot, O_PRICE],
        lots,
        rest,
        0,
        shown,
    )


@compiled
def reject(memory: Words, sequence: int, commands: Any, at: int, reason: int) -> None:
    """Append the rejection of a command."""
    head = commands[at, C_HEAD]
    parties = commands[at, C_PARTIES]
    put(
        memory,
        sequence,
        REJECTED | (head & 0xFF00) | reason << 16 | (parties & 0xFFFFFFFF) << 32,
        commands[at, C_ID],
        (parties >> 32) & 0xFFFFFFFF,
        commands[at, C_PRICE],
        commands[at, C_LOTS],
        0,
        0,
        0,
    )
