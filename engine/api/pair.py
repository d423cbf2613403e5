"""One pair over venues as the API answers it: who bids most, who asks least, what they agree on. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import tzinfo

from engine.api import models
from engine.api.answers import NS_A_MS, half, iso, milliseconds, moment, place_of, price_and_size
from engine.market.comparison import Quote, basis_points, compare, left_out, top
from engine.market.instruments import format_decimal
from engine.telemetry.board import BookView, SourceView


def price(
    base: str,
    quote: str,
    books: Sequence[tuple[SourceView, str, BookView]],
    now_ns: int,
    zone: tzinfo,
) -> models.Price:
    """The books of a pair, compared: those of real venues; where none has the pair, the built-in exchange's alone.

    Compared is the spot form BASE-QUOTE, or another form (the perpetual) that more live venues have.
    """
    simulated = all(source.source.run == "sim" for source, _, _ in books)
    compared = _compared(f"{base}-{quote}", books, simulated)
    decimals = max((view.instrument.price_decimals for _, _, view in books), default=0)
    whys, quotes = [], []
    for place, (source, symbol, view) in enumerate(books):
        run = "live" if simulated and source.source.run == "sim" else source.source.run
        whys.append(left_out(run, source.state, view.state, symbol, compared))
        factor = 10 ** (decimals - view.instrument.price_decimals)
        bid, ask = top(view.bids), top(view.asks)
        quotes.append(Quote(place, bid[0] * factor if bid else None, ask[0] * factor if ask else None))
    counted = [one for one, why in zip(quotes, whys, strict=True) if not why]
    found = compare(counted)
    mids = [one.mid2 for one in counted if one.mid2 is not None]
    mid4 = found["consensus4"] if len(mids) > 1 else 2 * mids[0] if mids else None
    rows = [
        _price_row(entry, why, one, decimals, mid4, now_ns, zone)
        for entry, why, one in zip(books, whys, quotes, strict=True)
    ]
    bid, ask = found["bid"], found["ask"]
    return models.Price(
        base=base,
        quote=quote,
        symbol=compared,
        simulated=simulated,
        compared=found["compared"],
        bid=format_decimal(bid[0], decimals) if bid else None,
        bid_venue=books[bid[1]][0].source.venue if bid else None,
        ask=format_decimal(ask[0], decimals) if ask else None,
        ask_venue=books[ask[1]][0].source.venue if ask else None,
        mid=quarter(mid4, decimals) if mid4 is not None else None,
        spread=format_decimal(found["between"], decimals) if found["between"] is not None else None,
        spread_bp=found["between_bp"],
        apart_bp=found["apart_bp"],
        ts=iso(now_ns, zone),
        ts_ms=now_ns // NS_A_MS,
        venues=rows,
    )


def _compared(symbol: str, books: Sequence[tuple[SourceView, str, BookView]], simulated: bool) -> str:
    run = "sim" if simulated else "live"
    names = [name for source, name, _ in books if source.source.run == run]
    most = max(dict.fromkeys(names), key=names.count, default=symbol)
    return symbol if names.count(symbol) > 1 or (names.count(most) < 2 and symbol in names) else most


def quarter(value4: int, decimals: int) -> str:
    """The text of a quarter of a number, exact, without needless zeros."""
    text = format_decimal(value4 * 25, decimals + 2)
    for _ in range(2):
        text = text.removesuffix("0")
    return text.removesuffix(".")


def _price_row(
    entry: tuple[SourceView, str, BookView],
    why: str,
    quoted: Quote,
    decimals: int,
    mid4: int | None,
    now_ns: int,
    zone: tzinfo,
) -> models.PriceRow:
    source, symbol, view = entry
    unit = view.instrument
    bid_text, bid_size = price_and_size(top(view.bids), unit)
    ask_text, ask_size = price_and_size(top(view.asks), unit)
    mid2 = quoted.mid2
    spread_bp = difference_bp = None
    if mid2 is not None and quoted.bid is not None and quoted.ask is not None:
        spread_bp = basis_points(2 * (quoted.ask - quoted.bid), mid2)
        if mid4 and not why:
            difference_bp = basis_points(2 * mid2 - mid4, mid4)
    ts, ts_ms = moment(view.ts_recv_ns, zone)
    age_ns = max(0, source.clock(now_ns) - view.ts_recv_ns)
    return models.PriceRow(
        **place_of(source),
        symbol=symbol,
        counted=not why,
        left_out=why,
        bid=bid_text,
        bid_size=bid_size,
        ask=ask_text,
        ask_size=ask_size,
        mid=half(mid2, decimals) if mid2 is not None else None,
        spread_bp=spread_bp,
        difference_bp=difference_bp,
        size_unit=unit.size_unit,
        age_ms=milliseconds(age_ns) if view.ts_recv_ns else None,
        ts=ts,
        ts_ms=ts_ms,
    )
