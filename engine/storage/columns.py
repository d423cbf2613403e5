"""Which columns a user is given of each kind, in SQL and in exports, and what they are made of.

What is kept is whole numbers in an instrument's units and nanoseconds; what a user asks for is prices, sizes and
times. A column here has a name, the column of `engine.storage.arrow.SCHEMAS` it is made of, and a form:

moment    ns UTC (`ROW_TIME`: of `records.times_of`)   SQL TIMESTAMPTZ; files timestamp[ns, UTC]; CSV ISO 8601
number    int64                                        as it is
price     units of 10^-price_decimals                  SQL and files float64, and exact in `<name>_units`; CSV exact
size      units of 10^-size_decimals                   as price
rate      units of 10^-12                              as price
notional  two words, of both decimals together         SQL and files float64, and the words; CSV exact
text      text                                         as it is; CSV guarded against formulas
choice    small numbers with names                     the names
prices    list of price                                as price; not in CSV
sizes     list of size                                 as price; not in CSV
counts    list of whole numbers                        as it is; not in CSV
frame     bytes                                        SQL and files as they are; CSV text

Floats beside whole numbers, not decimals: pandas makes slow objects of decimals, and most sums need no more.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

from engine.storage import records
from engine.storage.names import RecordKind

Form = Literal[
    "moment",
    "number",
    "price",
    "size",
    "rate",
    "notional",
    "text",
    "choice",
    "prices",
    "sizes",
    "counts",
    "frame",
]
ROW_TIME: Final = ""  # in place of a source: when the row happened
RATE_DECIMALS: Final = 12


@dataclass(frozen=True, slots=True)
class Column:
    """One column a user sees."""

    name: str
    source: str
    form: Form = "number"
    words: tuple[tuple[int, str], ...] = ()  # of a choice; other numbers are ""


_HEAD: Final = (
    Column("time", ROW_TIME, "moment"),
    Column("time_ns", ROW_TIME),
    Column("venue", "venue", "text"),
    Column("symbol", "symbol", "text"),
)
_SEQ: Final = Column("seq", "seq")
_RECEIVED: Final = Column("received_ns", "ts_recv_ns")
_FETCHED: Final = Column(
    "origin",
    "origin",
    "choice",
    ((records.STREAMED, "streamed"), (records.FETCHED, "fetched"), (records.BACKFILLED, "backfilled")),
)


def _same(*names: str) -> tuple[Column, ...]:
    return tuple(Column(name, name) for name in names)


def _levels(*names: str) -> tuple[Column, ...]:
    return tuple(Column(name, name, "price" if name.endswith("price") else "size") for name in names)


_MIDDLE: Final[Mapping[RecordKind, tuple[Column, ...]]] = {
    RecordKind.TRADES: (
        Column("side", "aggressor", "choice", ((1, "buy"), (-1, "sell"))),
        *_levels("price", "size"),
        Column("trade_id", "trade_id"),
        _FETCHED,
        _RECEIVED,
    ),
    RecordKind.QUOTES: (
        *_levels("bid_price", "bid_size", "ask_price", "ask_size"),
        *_same("sequence"),
        _RECEIVED,
    ),
    RecordKind.DELTAS: (
        Column("side", "side", "choice", ((records.BID, "bid"), (records.ASK, "ask"))),
        *_levels("price", "size"),
        *_same("first_sequence", "last_sequence", "previous_sequence"),
        _RECEIVED,
    ),
    RecordKind.SNAPSHOTS: (
        Column("bids", "bids", "text"),
        Column("asks", "asks", "text"),
        Column("bid_prices", "bid_price", "prices"),
        Column("bid_sizes", "bid_size", "sizes"),
        Column("ask_prices", "ask_price", "prices"),
        Column("ask_sizes", "ask_size", "sizes"),
        *_same("last_sequence"),
        Column(
            "origin",
            "origin",
            "choice",
            ((records.DELIVERED, "delivered"), (records.KEYFRAME, "keyframe")),
        ),
        _RECEIVED,
    ),
    RecordKind.CANDLES: (
        *_same("interval_ns"),
        *(Column(name, name, "price") for name in ("open", "high", "low", "close")),
        Column("volume", "volume", "size"),
        Column("notional", "notional_high", "notional"),
        *_same("trades"),
        _FETCHED,
        _RECEIVED,
    ),
    RecordKind.FUNDING: (
        Column("rate", "rate_e12", "rate"),
        *_same("next_ns", "interval_s"),
        Column("mark_price", "mark_price", "price"),
        _RECEIVED,
    ),
    RecordKind.LATENCY: (
        Column("stage", "stage", "text"),
        *_same("count"),
        *(
            Column(f"{name}_ns", name)
            for name in ("p50", "p90", "p95", "p99", "p999", "least", "greatest", "sum")
        ),
        *_same("offset_ns"),
        Column("bucket", "bucket", "counts"),
        Column("bucket_count", "bucket_count", "counts"),
    ),
    RecordKind.COUNTERS: _same(
        *(name for name in records.DTYPES[RecordKind.COUNTERS].names or () if name not in ("seq", "ts_ns"))
    ),
    RecordKind.EVENTS: (
        Column("level", "level", "text"),
        Column("what", "what", "text"),
        Column("text", "text", "text"),
    ),
    RecordKind.GAPS: (
        *_same("from_ns", "to_ns"),
        Column("what", "what", "text"),
        Column("reason", "reason", "text"),
        Column(
            "state",
            "state",
            "choice",
            (
                (records.OPEN, "open"),
                (records.FILLED, "filled"),
                (records.PARTLY_FILLED, "partly filled"),
                (records.NOT_RECORDED, "not recorded"),
            ),
        ),
        *_same("filled"),
    ),
    RecordKind.RAW: (Column("path", "path", "text"), Column("frame", "frame", "frame")),
}
COLUMNS: Final[Mapping[RecordKind, tuple[Column, ...]]] = {
    kind: (*_HEAD, *_MIDDLE[kind], _SEQ) for kind in RecordKind
}
# Forms that a line of text has no place for; the same lies in `bids` and `asks`, or is summed up beside it.
NOT_IN_CSV: Final = frozenset(("prices", "sizes", "counts"))


_EXACT: Final = frozenset(("price", "size", "rate", "prices", "sizes"))


def exact_of(kind: RecordKind) -> tuple[tuple[str, str], ...]:
    """(name, source) of the columns behind the others that keep, in SQL and in files, what a float cannot."""
    found: list[tuple[str, str]] = []
    for column in COLUMNS[kind]:
        if column.form in _EXACT:
            found.append((f"{column.name}_units", column.source))
        elif column.form == "notional":
            found += [("notional_high", "notional_high"), ("notional_low", "notional_low")]
    forms = {column.form for column in COLUMNS[kind]}
    if forms & {"price", "prices"}:
        found += [("price_decimals", "price_decimals"), ("size_decimals", "size_decimals")]
    return tuple(found)
