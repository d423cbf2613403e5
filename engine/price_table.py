"""A table of latest prices on the console, each so many seconds: `--table`.

What is shown is read off the board at once; pandas makes a table of it and writes it in a thread of its own, since a
terminal may hold its output back for as long as its user likes. Only who asks for the table needs pandas, so nothing
here imports it before.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import select
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from engine.market import metrics
from engine.telemetry.board import BookView, SourceView
from engine.telemetry.hub import MarketRings, Telemetry

if TYPE_CHECKING:
    import pandas as pd

ROWS_MAX: Final = 40
RATE_SECONDS: Final = 10  # trades are counted over
SECOND_NS: Final = 1_000_000_000
STDOUT: Final = 1
GONE: Final = (errno.EPIPE, errno.EBADF, errno.EIO)  # the reader left, it was closed, the terminal hung up
NOTHING: Final = "\N{EN DASH}"
STATES: Final = {"SYNCED": "live", "BUFFERING": "resyncing", "STALE": "stale", "EMPTY": "no book"}
COLUMNS: Final = (
    *("venue", "symbol", "last", "bid", "ask", "spread_bp", "mid"),
    *("trades_per_s", "age_s", "state"),
)
HEADS: Final = {"spread_bp": "spread bp", "trades_per_s": "trades/s", "age_s": "age s"}


@dataclass(frozen=True, slots=True)
class PriceRow:
    """One symbol of one source. Prices are exact, None where there is none."""

    venue: str
    symbol: str
    last: Decimal | None
    bid: Decimal | None
    ask: Decimal | None
    spread_bp: float | None
    mid: Decimal | None
    trades_per_s: float  # over the last 10 whole seconds, by the source's clock
    age_s: float | None  # of the newest change of its book
    state: str


def price_rows(telemetry: Telemetry, wall_ns: int) -> list[PriceRow]:
    """One row for each book on the board: sources as the board has them, symbols by name. Cost: 10 us a row."""
    board = telemetry.board
    books = board.books.copy()
    return [
        _row(telemetry, source, symbol, book, wall_ns)
        for source in board.sources
        for symbol in sorted(source.symbols)
        if (book := books.get((source.source.key, symbol))) is not None
    ]


def _row(telemetry: Telemetry, source: SourceView, symbol: str, book: BookView, wall_ns: int) -> PriceRow:
    decimals, now_ns = book.instrument.price_decimals, source.clock(wall_ns)
    bid = int(book.bids["price"][0]) if len(book.bids) else None
    ask = int(book.asks["price"][0]) if len(book.asks) else None
    twice = bid + ask if bid is not None and ask is not None else None
    top = (bid or 0, int(bid is not None), ask or 0, int(ask is not None))
    return PriceRow(
        venue=source.label,
        symbol=symbol,
        last=_exact(book.last_price or None, decimals),
        bid=_exact(bid, decimals),
        ask=_exact(ask, decimals),
        spread_bp=metrics.spread_basis_points(top),
        mid=_exact(twice * 5 if twice is not None else None, decimals + 1),
        trades_per_s=_trades(telemetry.markets.get((source.source.key, symbol)), book, now_ns) / RATE_SECONDS,
        age_s=max(0, now_ns - book.ts_recv_ns) / SECOND_NS if book.ts_recv_ns else None,
        state=source.state if source.state != "live" else STATES.get(book.state, book.state.lower()),
    )


def _trades(market: MarketRings | None, book: BookView, now_ns: int) -> int:
    """Trades of the last 10 whole seconds; the newest of them may still wait to be closed."""
    if market is None:
        return 0
    rows = market.candles.last(RATE_SECONDS + 2).rows
    if book.candle is not None:
        rows = np.concatenate((rows[rows["ts_open_ns"] < book.candle["ts_open_ns"][0]], book.candle))
    end_ns = now_ns - now_ns % SECOND_NS
    opened = rows["ts_open_ns"]
    return int(rows["trades"][(opened >= end_ns - RATE_SECONDS * SECOND_NS) & (opened < end_ns)].sum())


def _exact(price: int | None, decimals: int) -> Decimal | None:
    return None if price is None else Decimal(price).scaleb(-decimals)


def frame(rows: Sequence[PriceRow]) -> pd.DataFrame:
    """The rows as a table with COLUMNS: prices as exact decimals, all other figures as floats, NaN for none.

    The first call imports pandas, which takes 0.7 s.
    """
    import pandas as pd

    values = [[getattr(row, name) for name in COLUMNS] for row in rows]
    table = pd.DataFrame(values, columns=list(COLUMNS), dtype=object)
    return table.astype(dict.fromkeys(("spread_bp", "trades_per_s", "age_s"), "float64"))


def text(table: pd.DataFrame, at_ns: int, rows_max: int = ROWS_MAX) -> str:
    """The table as aligned lines under a line with its time, the first `rows_max` rows of it; ends with a newline."""
    at = datetime.fromtimestamp(at_ns // SECOND_NS, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    if table.empty:
        return f"{at}  no prices yet\n"
    shown = table.head(rows_max)
    columns: dict[str, list[str]] = {}
    for name in COLUMNS:
        cells = [_cell(name, value) for value in shown[name].tolist()]
        head = HEADS.get(name, name)
        width = max(map(len, (head, *cells)))
        align = str.ljust if name in ("venue", "symbol", "state") else str.rjust
        gap = " " if columns else ""  # and the one that stands between columns anyway: heads have spaces too
        columns[gap + align(head, width)] = [gap + align(cell, width) for cell in cells]
    lines = type(table)(columns).to_string(index=False).splitlines()
    more = len(table) - len(shown)
    return (
        "\n".join([at, *(line.rstrip() for line in lines), *([f"and {more:,} more"] if more else [])]) + "\n"
    )


def _cell(name: str, value: Any) -> str:
    if value is None or value != value:  # NaN
        return NOTHING
    if isinstance(value, Decimal):
        return f"{value:f}"
    if name == "spread_bp":
        return f"{value:.3f}"
    return f"{value:.1f}" if isinstance(value, float) else str(value)


async def print_prices(
    telemetry: Telemetry,
    every_s: float,
    *,
    wall: Callable[[], int] = time.time_ns,
    out: int = STDOUT,
    rows_max: int = ROWS_MAX,
) -> None:
    """Write the table to the file descriptor `out` each `every_s` seconds, until that is closed: then return.

    A table that cannot be written yet holds up the next ones, and nothing else; being canceled leaves it there.
    """
    await _aside(_load)  # beside what else holds the interpreter at the start, not amid the market
    while True:
        await asyncio.sleep(every_s)
        at_ns = wall()
        rows = price_rows(telemetry, at_ns)
        if not await _aside(partial(_print, rows, at_ns, rows_max, out)):
            return


def _load() -> bool:
    frame([])
    return True


def _print(rows: Sequence[PriceRow], at_ns: int, rows_max: int, out: int) -> bool:
    return _write(out, text(frame(rows), at_ns, rows_max))


def _write(out: int, lines: str) -> bool:
    """Write all of it; False when nobody reads it any more."""
    left = memoryview(lines.encode())
    while left:
        try:
            left = left[os.write(out, left) :]
        except BlockingIOError:
            select.select([], [out], [], 1.0)
        except OSError as error:
            if error.errno not in GONE:
                raise
            return False
    return True


async def _aside(call: Callable[[], bool]) -> bool:
    """What the call returns, made in a thread that no exit waits for: one of a pool would be joined."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[bool] = loop.create_future()

    def tell(value: bool, error: BaseException | None) -> None:
        if done.cancelled():
            return
        if error is not None:
            done.set_exception(error)
        else:
            done.set_result(value)

    def work() -> None:
        value, error = False, None
        try:
            value = call()
        except Exception as failed:  # noqa: BLE001  the thread's outer edge: the task raises it
            error = failed
        with contextlib.suppress(RuntimeError):  # the loop ended meanwhile, and nobody waits
            loop.call_soon_threadsafe(tell, value, error)

    threading.Thread(target=work, name="price table", daemon=True).start()
    return await done
