"""The one form in which market data travels: a batch of rows from one source for one symbol.

Live, recorded and simulated data all become these. Prices and sizes are int64 in units of 10^-decimals of
the instrument revision (`engine.market.instruments.Instrument`); times are int64 nanoseconds UTC.
`ts_event_ns` is the venue's time (0 = not given: no latency sample), `ts_recv_ns` ours. Batches and their
rows are never changed after they are handed on.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt

Rows = npt.NDArray[Any]
Run = Literal["live", "sim", "replay"]

BUY: Final = 1
SELL: Final = -1

TRADE: Final = np.dtype(
    [
        ("ts_event_ns", np.int64),
        ("ts_recv_ns", np.int64),
        ("trade_id", np.int64),
        ("price", np.int64),
        ("size", np.int64),
        ("aggressor", np.int64),  # BUY, SELL, 0 = the venue does not say
    ]
)
BBO: Final = np.dtype(
    [
        ("ts_event_ns", np.int64),
        ("ts_recv_ns", np.int64),
        ("sequence", np.int64),
        ("bid_price", np.int64),
        ("bid_size", np.int64),
        ("ask_price", np.int64),
        ("ask_size", np.int64),
    ]
)
LEVEL: Final = np.dtype([("price", np.int64), ("size", np.int64)])  # in a delta, size 0 deletes the level
CANDLE: Final = np.dtype(
    [
        ("ts_open_ns", np.int64),  # aligned to the interval
        ("open", np.int64),
        ("high", np.int64),
        ("low", np.int64),
        ("close", np.int64),
        ("volume", np.int64),  # sum of sizes; an hour at 10^14 units a second still fits
        ("notional_high", np.int64),  # sum of price*size = notional_high * 2**40 + notional_low:
        ("notional_low", np.int64),  # one word would overflow within the hour at full rate
        ("trades", np.int64),
    ]
)
FUNDING: Final = np.dtype(
    [
        ("ts_event_ns", np.int64),  # when the venue said it; in a history, the moment the rate was paid
        ("ts_recv_ns", np.int64),
        ("rate_e12", np.int64),  # for one interval, in units of 10^-12; positive: longs pay shorts
        ("next_ns", np.int64),  # when it will be paid; in a history 0
        ("interval_s", np.int64),  # between payments; 0 where the venue does not say
        ("mark_price", np.int64),  # in the instrument's units; 0 where not given
    ]
)


class Kind(IntEnum):
    """What a batch's rows are."""

    TRADES = 0  # rows: TRADE, oldest first
    QUOTES = 1  # rows: BBO, oldest first
    SNAPSHOT = 2  # rows: LEVEL, the whole book: bids, then asks, each best first or in any order
    DELTA = 3  # rows: LEVEL, changed levels: bids, then asks; absolute sizes
    CANDLES = 4  # rows: CANDLE of the venue's own, `interval_ns` long, oldest first; the newest may still run
    FUNDING = 5  # rows: FUNDING, oldest first


@dataclass(frozen=True, slots=True)
class Source:
    """Where data comes from: venue and market, plus the run. It keys books, rings and rows.

    `venue` is e.g. `binance_usdm` or `builtin`; `run` tells live, simulated and replayed data apart.
    """

    venue: str
    run: Run

    @property
    def key(self) -> str:
        """`venue:run`, unique within a process."""
        return f"{self.venue}:{self.run}"


@dataclass(slots=True)
class Batch:
    """Rows of one kind from one source for one symbol. Treated as frozen once handed on.

    (Not `frozen=True`: that costs 0.6 us a batch, and futures deltas come 90,000 a second in replay.)
    The sequence fields mean something for SNAPSHOT (`last_sequence`) and DELTA only, in the venue's own
    numbering: `previous_sequence` is -1 where the venue gives none. `bids` counts the leading rows that
    are bids. For TRADES and QUOTES the times are in the rows.
    """

    kind: Kind
    source: Source
    symbol: str
    rows: Rows
    bids: int = 0
    first_sequence: int = 0
    last_sequence: int = 0
    previous_sequence: int = -1
    ts_event_ns: int = 0
    ts_recv_ns: int = 0
    interval_ns: int = 0  # of CANDLES
