"""One symbol over venues: who bids most, who asks least, how far the mids are apart.

How they are compared is in `engine.market.comparison`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any, Final

from dashboards.streams.common import LONG_STEP_S, Json, head, ms, step_s
from dashboards.view import NS_A_SECOND, Quoted, View
from engine.market.comparison import Quote, basis_points, compare, left_out, median4, top


def compared_symbol(quotes: Sequence[Quoted], symbol: str) -> str:
    """The symbol whose books are compared: `symbol`, or another form of it (its perpetual) of which there are two
    live books or more where there are fewer of `symbol` itself.
    """
    live = Counter(quote.symbol for quote in quotes if quote.source.source.run == "live")
    most = max(live, key=lambda name: live[name], default=symbol)
    return symbol if live[symbol] > 1 or live[most] < 2 else most


def why_not(quote: Quoted, symbol: str) -> str:
    """Why a book is left out of the comparison, in a word or two; "" when it counts."""
    source = quote.source
    return left_out(source.source.run, source.state, quote.book.state, quote.symbol, symbol)


def finest(quotes: Sequence[Quoted]) -> int:
    """The most decimals any of their prices has; 0 without any."""
    return max((quote.book.instrument.price_decimals for quote in quotes), default=0)


def price_rows(view: View) -> tuple[list[Json], Json]:
    """(one row a book, what comparing them gave), prices in units of the finest decimals."""
    decimals = finest(view.quotes)
    rows: list[Json] = []
    counted: list[Quote] = []
    own: list[int] = []  # doubled mids of the symbol looked at, where another form is compared
    group = compared_symbol(view.quotes, view.symbol)
    for place, quote in enumerate(view.quotes):
        book, unit = quote.book, quote.book.instrument
        factor = 10 ** (decimals - unit.price_decimals)
        bid, ask = top(book.bids), top(book.asks)
        one = Quote(place, bid[0] * factor if bid else None, ask[0] * factor if ask else None)
        why = why_not(quote, group)
        if not why:
            counted.append(one)
        now_ns = quote.source.clock(view.wall_ns)
        mid2 = one.mid2
        if group != view.symbol and mid2 is not None and not why_not(quote, view.symbol):
            own.append(mid2)
        rows.append(
            {
                "id": quote.source.source.key,
                "label": quote.source.label,
                "colour": quote.source.colour,
                "run": quote.source.source.run,
                "symbol": quote.symbol,
                "same": quote.symbol == view.symbol,
                "why": why,
                "state": quote.source.state,
                "book": book.state,
                "bid": one.bid,
                "bid_size": bid[1] if bid else None,
                "ask": one.ask,
                "ask_size": ask[1] if ask else None,
                "price_decimals": unit.price_decimals,
                "size_decimals": unit.size_decimals,
                "size_unit": unit.size_unit,
                "mid2": mid2,
                "spread_bp": None
                if mid2 is None or one.bid is None or one.ask is None
                else basis_points(2 * (one.ask - one.bid), mid2),
                "age_ms": ms(max(0, now_ns - book.ts_recv_ns)) if book.ts_recv_ns else None,
            }
        )
    found = compare(counted)
    consensus4 = found["consensus4"]
    basis = basis_points(consensus4 - 2 * own[0], 2 * own[0]) if consensus4 is not None and own else None
    found |= {"symbol": group, "basis_bp": basis}
    for row in rows:
        known = consensus4 is not None and row["mid2"] is not None and row["run"] == "live"
        row["diff_bp"] = basis_points(2 * row["mid2"] - consensus4, consensus4) if known else None
    return rows, found


def prices(view: View, cursor: Json) -> tuple[Json, Json]:
    """The table, whole, whenever any top of book in it changed; ages go with every answer."""
    rows, found = price_rows(view)
    ages = [row.pop("age_ms") for row in rows]
    key = prices_key(view)
    counted = [age for row, age in zip(rows, ages, strict=True) if not row["why"] and age is not None]
    stream = head(view, key, cursor, 0, len(rows)) | {
        "age_ms": min(counted or [age for age in ages if age is not None], default=None),
        "ages": ages,
    }
    place = str(hash(repr((rows, found))))
    if cursor.get("k") != key or cursor.get("s") != place:
        stream |= {"decimals": finest(view.quotes), "rows": rows, "found": found}
    return stream, {"k": key, "s": place}


def prices_key(view: View) -> str:
    """What the comparison is of: the symbol, and the openings of the sources that are in it."""
    sources = (f"{q.source.source.key} {q.source.opened_ns} {q.symbol}" for q in view.quotes)
    return "|".join((view.epoch, view.symbol, *sources))


# --- mids over time -------------------------------------------------------------------------------------------


def comparable(view: View) -> list[Quoted]:
    """Books whose past can be compared: of live sources, for the symbol that is compared."""
    group = compared_symbol(view.quotes, view.symbol)
    return [
        quote
        for quote in view.quotes
        if quote.symbol == group and quote.source.source.run == "live" and quote.market is not None
    ]


def mid_rows(view: View, from_ns: int) -> tuple[list[int], list[list[float | None]]]:
    """(start of each second in ns, per comparable book: its mid less the consensus of that second, in basis
    points; None without both sides, or where fewer than two books had a mid).

    Past 15 minutes one second of each ten stands for them. Cost: one pass over the rows of the window.
    """
    books = comparable(view)
    decimals = finest(books)
    step_ns = step_s(view) * NS_A_SECOND
    end_ns = view.closed_ns - view.closed_ns % step_ns
    count = max(0, (end_ns - from_ns) // step_ns)
    mids: list[list[int | None]] = []
    for quote in books:
        column: list[int | None] = [None] * count
        mids.append(column)
        if quote.market is None:
            continue
        rows = view.last(quote.market.metrics, (view.wall_ns - from_ns) // NS_A_SECOND + 3)
        at = rows["ts_ns"]
        whole = (at >= from_ns) & (at < end_ns) & (rows["bid_size"] > 0) & (rows["ask_size"] > 0)
        if step_s(view) > 1:
            whole &= (at // NS_A_SECOND) % LONG_STEP_S == LONG_STEP_S - 1
        rows = rows[whole]
        factor = 10 ** (decimals - quote.book.instrument.price_decimals)
        places = ((rows["ts_ns"] - from_ns) // step_ns).tolist()
        for place, doubled in zip(places, (rows["bid_price"] + rows["ask_price"]).tolist(), strict=True):
            column[place] = doubled * factor
    series: list[list[float | None]] = [[None] * count for _ in books]
    for place in range(count):
        known = [column[place] for column in mids]
        consensus4 = median4([mid for mid in known if mid is not None])
        for index, mid in enumerate(known):
            if mid is not None and consensus4:
                series[index][place] = basis_points(2 * mid - consensus4, consensus4)
    return [from_ns + place * step_ns for place in range(count)], series


def mids_start(view: View) -> int:
    """Start of the first step of the window."""
    return view.wall_start_ns - view.wall_start_ns % (step_s(view) * NS_A_SECOND)


def mids(view: View, cursor: Json) -> tuple[Json, Json]:
    """Mid of each live book less the consensus, per second: the steps completed since the cursor."""
    books = comparable(view)
    key = f"{prices_key(view)}|{view.params.window_s}"
    start_ns = mids_start(view)
    from_ns = max(start_ns, int(cursor["t"])) if cursor.get("k") == key else start_ns
    times, series = mid_rows(view, from_ns)
    stream = head(view, key, cursor, view.closed_ns if books else 0, len(books), wall=True) | {
        "t": [at // 1_000_000 for at in times],
        "series": [
            {
                "id": quote.source.source.key,
                "label": quote.source.label,
                "colour": quote.source.colour,
                "run": quote.source.source.run,
                "bp": values,
            }
            for quote, values in zip(books, series, strict=True)
        ],
        "step": step_s(view),
        "keep": start_ns // 1_000_000,
    }
    return stream, {"k": key, "t": times[-1] + step_s(view) * NS_A_SECOND if times else from_ns}


# --- funding --------------------------------------------------------------------------------------------------

YEAR_S: Final = 365 * 86_400
RATE_UNIT: Final = 10**12


def funding_fields(view: View) -> Json | None:
    """The newest funding of the book looked at; None where it has none.

    `apr` is the rate times the payments of a year of 365 days, without compounding; None where the venue does not
    say how far payments are apart. `premium_bp` is the mark price less the mid.
    """
    book = view.book
    rows: Any = book.funding if book is not None else None
    if book is None or rows is None or not len(rows):
        return None
    row = rows[-1]
    rate, interval_s, mark = int(row["rate_e12"]), int(row["interval_s"]), int(row["mark_price"])
    bid, ask = top(book.bids), top(book.asks)
    mid2 = bid[0] + ask[0] if bid and ask else 0
    return {
        "rate_pct": rate * 100 / RATE_UNIT,
        "interval_s": interval_s or None,
        "apr_pct": rate * 100 * YEAR_S / (interval_s * RATE_UNIT) if interval_s else None,
        "next": ms(int(row["next_ns"])) if row["next_ns"] else None,
        "mark": mark or None,
        "premium_bp": basis_points(2 * mark - mid2, mid2) if mark and mid2 else None,
        "ts": ms(int(row["ts_event_ns"]) or int(row["ts_recv_ns"])),
        "decimals": book.instrument.price_decimals,
    }


def funding(view: View, cursor: Json) -> tuple[Json, Json]:
    """Funding of the symbol looked at; `funding` is null where there is none, as spot has none."""
    found = funding_fields(view)
    key = f"{view.epoch}|{view.source.source.key if view.source else ''}|{view.symbol}"
    newest_ns = round(found["ts"] * 1e6) if found else 0
    return head(view, key, cursor, newest_ns, 1 if found else 0) | {"funding": found}, {"k": key}
