"""What becomes of one message of market data when a fault meets it: the same for every protocol."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, NamedTuple, TypeVar

from engine.exchange.faults import Fault

M = TypeVar("M")


class Fate(NamedTuple, Generic[M]):
    """What a follower gets at once, in order, and what it gets after the next message of its stream."""

    padding: int  # bytes of a frame that comes before everything else; 0: none
    sent: tuple[M, ...]
    held: M | None


def fate(fault: Fault | None, message: M, held: M | None, spoil: Callable[[M], M]) -> Fate[M]:
    """The fate of `message`, with `held` what a `reorder` kept back before; `spoil` makes one that cannot be read.

    What is held goes with the next message, lost or not, whether faults are still active or not. A second `reorder`
    meanwhile changes nothing: the two would come in their order.
    """
    kind = "" if fault is None else fault.kind
    if kind == "reorder" and held is None:
        return Fate(0, (), message)
    after = () if held is None else (held,)
    if kind == "drop":
        return Fate(0, after, None)
    if kind == "malformed":
        return Fate(0, (spoil(message), *after), None)
    if kind == "duplicate":
        return Fate(0, (message, message, *after), None)
    return Fate(fault.bytes if fault is not None and kind == "huge" else 0, (message, *after), None)
