"""Symbols as a user names them, in any case: by their universal name, or the venue's own. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from engine.errors import BadQuery
from engine.storage.records import Stream

NAMED: Final = 8


def universal(known: Iterable[Stream], venue: str, name: str) -> str:
    """The universal name of a symbol that was recorded of a venue ("" = of any).

    BadQuery when it was not, or when venues call different ones so.
    """
    asked = name.strip().upper()
    streams = [stream for stream in known if stream.symbol and venue in ("", stream.venue)]
    for stream in streams:
        if stream.symbol.upper() == asked:
            return stream.symbol
    found = sorted(
        {s.symbol for s in streams if s.instrument is not None and s.instrument.native.upper() == asked}
    )
    if len(found) == 1:
        return found[0]
    where = f"of {venue}" if venue else "of any venue"
    if found:
        reason = f"{' and '.join(found[:NAMED])} are called so: name one of these"
        raise BadQuery(f"symbol {name[:40]!r}", reason)
    held = sorted({stream.symbol for stream in streams})
    more = f" and {len(held) - NAMED} more" if len(held) > NAMED else ""
    there = f"recorded: {', '.join(held[:NAMED])}{more}" if held else "nothing is recorded yet"
    raise BadQuery(f"symbol {name[:40]!r}", f"nothing of it is recorded {where}; {there}")
