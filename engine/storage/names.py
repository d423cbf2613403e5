"""What can be kept, by name. Imports nothing heavy: settings and the command line need it before all else."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Final


class RecordKind(StrEnum):
    """What a block's rows are; also the archive's `kind=` folder and the name of its SQL view."""

    TRADES = "trades"
    QUOTES = "quotes"
    DELTAS = "deltas"  # a row for each changed level
    SNAPSHOTS = "snapshots"  # a row for each book
    CANDLES = "candles"
    FUNDING = "funding"
    LATENCY = "latency"  # a row for each second and stage, with its histogram
    COUNTERS = "counters"  # a row for each second
    EVENTS = "events"
    GAPS = "gaps"
    RAW = "raw"  # frames as they came, to the byte


# What a user chooses from, and the kinds it stands for. Gaps are always recorded.
WHAT: Final[Mapping[str, tuple[RecordKind, ...]]] = {
    "trades": (RecordKind.TRADES,),
    "book": (RecordKind.SNAPSHOTS, RecordKind.DELTAS, RecordKind.QUOTES),
    "candles": (RecordKind.CANDLES,),
    "funding": (RecordKind.FUNDING,),
    "latency": (RecordKind.LATENCY,),
    "counters": (RecordKind.COUNTERS,),
    "events": (RecordKind.EVENTS,),
    "raw": (RecordKind.RAW,),
}
USUAL: Final = tuple(name for name in WHAT if name != "raw")
# What is given up first where the disk is full; what is not named is kept longest.
SHED_ORDER: Final = (RecordKind.DELTAS, RecordKind.RAW, RecordKind.QUOTES, RecordKind.SNAPSHOTS)
