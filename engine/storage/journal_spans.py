"""Which stretch of recording each block belongs to. Pure: what is decided here, the journal's transaction writes.

A span is a stretch without a hole of one of WHAT of one symbol. It ends where a hole is recorded, where the journal
is opened anew and, for what flows each second, where nothing came for a while; what is quiet by nature is quiet, and
its span goes on. Records of another time than the running span's (history that was fetched) make spans of their own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

FLOWS: Final = frozenset(("book", "latency", "counters"))  # each second, as long as there is any
HOLE_NS: Final = 90 * 10**9  # silence of what flows that ends its span
LATE_NS: Final = 5 * 10**9  # how much older than a span a record may be that still belongs to it
KEPT: Final = 4  # spans of one key that still grow: the running one, and fetched history

Key = tuple[str, str, str]  # venue, symbol, what


@dataclass(frozen=True, slots=True)
class Span:
    """One that may still grow."""

    id: int
    from_ns: int
    to_ns: int

    def joins(self, first_ns: int, last_ns: int, ahead_ns: int | None) -> bool:
        """Whether records from `first_ns` to `last_ns` belong to it; None: however far ahead they are."""
        if last_ns < self.from_ns - LATE_NS:
            return False
        return ahead_ns is None or first_ns <= self.to_ns + ahead_ns


@dataclass(slots=True)
class Change:
    """What a transaction adds to a span; the span is made where it does not exist."""

    key: Key
    from_ns: int
    to_ns: int
    rows: int = 0
    size_bytes: int = 0


class Spans:
    """The spans that grow. `next_id` is the first number that no span has."""

    def __init__(self, next_id: int = 1, growing: dict[Key, tuple[Span, ...]] | None = None) -> None:
        self._next_id = next_id
        self._growing = growing or {}
        self.changes: dict[int, Change] = {}

    def draft(self) -> Spans:
        """The same, for one transaction: it takes this one's place once that is committed. Its `changes` are empty."""
        return Spans(self._next_id, dict(self._growing))

    def add(self, key: Key, first_ns: int, last_ns: int, rows: int, size_bytes: int) -> None:
        """A block of records was written."""
        growing = self._growing.get(key, ())
        newest = max((span.to_ns for span in growing), default=0)
        joined = None
        for span in growing:
            ahead_ns = None if key[2] not in FLOWS and span.to_ns == newest else HOLE_NS
            if span.joins(first_ns, last_ns, ahead_ns):
                joined = Span(span.id, min(span.from_ns, first_ns), max(span.to_ns, last_ns))
                self._growing[key] = tuple(joined if one is span else one for one in growing)
                break
        if joined is None:
            joined = Span(self._next_id, first_ns, last_ns)
            self._next_id += 1
            kept = sorted(growing, key=lambda span: span.to_ns)[-KEPT + 1 :]
            self._growing[key] = (joined, *kept)
        self._change(joined.id, key, first_ns, last_ns, rows, size_bytes)

    def alive(self, key: Key, now_ns: int) -> None:
        """What is quiet was recorded up to now; nothing where nothing of it was recorded."""
        growing = self._growing.get(key, ())
        if not growing:
            return
        newest = max(growing, key=lambda span: span.to_ns)
        if newest.to_ns < now_ns:
            longer = Span(newest.id, newest.from_ns, now_ns)
            self._growing[key] = tuple(longer if one is newest else one for one in growing)
            self._change(longer.id, key, newest.to_ns, now_ns, 0, 0)

    def hole(self, venue: str, symbol: str, what: str, to_ns: int) -> None:
        """A hole up to `to_ns` was recorded: what began before its end does not go on, but begins anew there.

        "" = all symbols; "all". What begins anew is a span once there is more of it, if only a sign of life.
        """
        for key, growing in list(self._growing.items()):
            if key[0] != venue or symbol not in ("", key[1]) or what not in ("all", key[2]):
                continue
            left = tuple(span for span in growing if span.from_ns >= to_ns)
            if not left:
                left = (Span(self._next_id, to_ns, to_ns),)
                self._next_id += 1
            self._growing[key] = left

    def _change(self, span: int, key: Key, from_ns: int, to_ns: int, rows: int, size_bytes: int) -> None:
        change = self.changes.setdefault(span, Change(key, from_ns, to_ns))
        change.from_ns = min(change.from_ns, from_ns)
        change.to_ns = max(change.to_ns, to_ns)
        change.rows += rows
        change.size_bytes += size_bytes
