"""CSV of what a panel drew: made from the server's rings as they stood in the view the browser names.

Each row carries UTC ISO time and epoch milliseconds; prices and sizes are exact decimals. Of a chart over time a row is
there when any of it is in sight (`sheet.in_sight`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np

from dashboards import (
    alerts_export,
    book_map_export,
    candle_cells,
    exchange_export,
    exchange_streams,
    history_export,
    history_streams,
    latency_map_export,
    studies_export,
)
from dashboards.sheet import TIMES, Table, check_kept, csv_text, file_name, in_sight, iso, when, x_range
from dashboards.streams import activity, impact, latency, limits, market, prices, venues
from dashboards.streams.common import Json, step_s
from dashboards.streams.depth import levels_of
from dashboards.view import FOREVER_NS, NS_A_SECOND, View
from engine.errors import BadCommand
from engine.market import metrics
from engine.market.instruments import format_decimal

TOP: Final = ("bid_price", "bid_size", "ask_price", "ask_size")
SIDES: Final = {1: "buy", -1: "sell", 0: ""}


def export(view: View, request: Json) -> tuple[str, str]:
    """(file name, CSV text) of `request` (`dashboards.source.PageSource.export`) from the view it names."""
    name = str(request.get("chart", ""))
    make = _EXPORTS.get(name)
    if make is None:
        raise BadCommand(f"there is no chart named {name[:40]!r}")
    return make(view, request)


def _export(view: View, request: Json) -> tuple[str, str]:
    """One of the tables of this module."""
    name, part = str(request.get("chart", "")), str(request.get("part") or "")
    low, high = x_range(request.get("range"), dated=name not in ("depth", "distribution"))
    return file_name(view, name, part), csv_text(*_TABLES[name](view, part, low, high))


# --- one function a stream ------------------------------------------------------------------------------------


def _depth(view: View, _part: str, low: float, high: float) -> Table:
    """Levels as they are drawn; a row that holds what the newest second left is of the older moment."""
    columns = (
        *TIMES,
        "sequence",
        "side",
        "level",
        "price",
        "size",
        "cumulative_size",
        "size_unit",
        "price_step",
    )
    book, found = view.book, levels_of(view)
    rows: list[Sequence[Any]] = []
    if book is not None and found is not None:
        unit = book.instrument
        for side, levels in zip(("bid", "ask"), found, strict=True):
            sums = np.cumsum(levels.sizes).tolist()
            listed = zip(*(each.tolist() for each in levels[:4]), sums, strict=True)
            for place, (price, size, step, older, total) in enumerate(listed):
                if low <= price / 10**unit.price_decimals <= high:
                    of = book.whole if older and book.whole is not None else book
                    rows.append(
                        (
                            *when(of.ts_recv_ns),
                            of.sequence,
                            side,
                            place + 1,
                            format_decimal(price, unit.price_decimals),
                            format_decimal(size, unit.size_decimals),
                            format_decimal(total, unit.size_decimals),
                            unit.size_unit,
                            format_decimal(step, unit.price_decimals),
                        )
                    )
    return columns, rows


def _impact(view: View, _part: str, _low: float, _high: float) -> Table:
    """Both sides of every amount, and of the one asked for."""
    columns = (
        *(
            *TIMES,
            "amount",
            "side",
            "average_price",
            "worst_price",
            "impact_bp",
            "filled",
            "levels",
            "exhausted",
        ),
    )
    book = view.book
    if book is None:
        return columns, []
    return columns, [
        (
            *(*when(book.ts_recv_ns), row["amount"], side),
            *(found[name] for name in ("average", "worst", "bp", "filled", "levels", "exhausted")),
        )
        for row in impact.rows_of(book, impact.own_amount(view.params.amount))
        for side in impact.SIDES
        if (found := row[side]) is not None
    ]


def _candles(view: View, _part: str, low: float, high: float) -> Table:
    columns, rows = (*TIMES, *candle_cells.COLUMNS), market.candle_rows(view)[0]
    if view.book is None:
        return columns, []
    candle_cells.check_candles(view, [view.market], low)
    step_ns = view.params.interval_s * NS_A_SECOND
    return columns, [
        cells
        for row, cells in zip(rows, candle_cells.cells(view, rows), strict=True)
        if in_sight(int(row["ts_open_ns"]), step_ns, low, high)
    ]


def _trades(view: View, _part: str, low: float, high: float) -> Table:
    columns = (*TIMES, "trade_id", "price", "size", "size_unit", "aggressor")
    rows, _ = market.tape(view)
    if view.book is None or view.market is None:
        return columns, []
    if len(rows) < min(market.TAPE_ROWS, view.heads.get(view.market.trades.name, 0)):
        check_kept(FOREVER_NS, 0, 0, low)
    unit = view.book.instrument
    return columns, [
        (
            *when(int(at)),
            int(row["trade_id"]),
            format_decimal(int(row["price"]), unit.price_decimals),
            format_decimal(int(row["size"]), unit.size_decimals),
            unit.size_unit,
            SIDES[int(row["aggressor"])],
        )
        for at, row in zip(market.trade_times(rows), rows, strict=True)
        if in_sight(int(at), 0, low, high)
    ]


def _metrics(view: View, _part: str, low: float, high: float) -> Table:
    columns = (*TIMES, "bid", "ask", "spread", "imbalance")
    if view.market is None or view.book is None:
        return columns, []
    rows = market.metric_rows(view, view.last(view.market.metrics, view.params.window_s + 2))
    digits, step_ns = view.book.instrument.price_decimals, step_s(view) * NS_A_SECOND
    check_kept(view.kept_ns(view.market.metrics), view.start_ns, step_ns, low)

    def row(values: Any) -> Sequence[Any]:
        bid, bid_size, ask, ask_size = (int(values[name]) for name in TOP)
        spread = metrics.spread((bid, bid_size, ask, ask_size))
        prices = (bid if bid_size else None, ask if ask_size else None, spread)
        texts = (None if price is None else format_decimal(price, digits) for price in prices)
        return (*when(int(values["ts_ns"])), *texts, int(values["imbalance_ppm"]) / 1e6)

    return columns, [row(values) for values in rows if in_sight(int(values["ts_ns"]), step_ns, low, high)]


def _latency(view: View, part: str, low: float, high: float) -> Table:
    """Percentiles of the chosen stage, or its sample counts alone (`count`)."""
    fields = () if part == "count" else ("p50", "p90", "p95", "p99", "p999", "greatest", "offset")
    columns = (
        *TIMES,
        "stage",
        "samples",
        *("clock_offset_ns" if f == "offset" else f"{f}_ns" for f in fields),
    )
    names = tuple("offset_ns" if f == "offset" else f for f in fields)
    stage, found = view.stage.stage if view.stage is not None else "", latency.summary_rows(view)
    step_ns = latency.lines_step_s(view) * NS_A_SECOND
    if view.stage is not None:
        ring = latency.summary_ring(view, view.stage)
        check_kept(view.kept_ns(ring), latency.start_by(view, view.stage), step_ns, low)
    return columns, [
        (
            *when(int(row["ts_ns"])),
            stage,
            int(row["count"]),
            *(latency.told(name, int(row[name]), int(row["count"])) for name in names),
        )
        for row in found
        if in_sight(int(row["ts_ns"]), step_ns, low, high)
    ]


def _stages(view: View, _part: str, _low: float, _high: float) -> Table:
    fields = ("p50", "p90", "p95", "p99", "p999", "max")
    columns = (
        "time_utc",
        "epoch_ms",
        "window_s",
        "stage",
        "measures",
        "samples",
        *(f"{name}_us" for name in fields),
    )
    rows = (latency.stage_row(view, stage) for stage in view.stages.values())
    return columns, [
        (
            *when(view.now_ns),
            view.params.window_s,
            row["stage"],
            row["what"],
            row["n"],
            *(row[f] for f in fields),
        )
        for row in rows
    ]


def _distribution(view: View, _part: str, low: float, high: float) -> Table:
    columns = (*TIMES, "window_s", "stage", "quantile", "nines", "latency_us")
    stage = view.stage.stage if view.stage is not None else ""
    return columns, [
        (*when(view.now_ns), view.params.window_s, stage, round(1 - 10**-nines, 6), nines, value)
        for nines, value in latency.distribution_points(view)
        if low <= nines <= high
    ]


def _throughput(view: View, part: str, low: float, high: float) -> Table:
    """One rate by source (`messages`, `orders`, `trades`), the table of means and peaks (`totals`), or what the
    overview stacks: messages of real sources and orders of simulated ones.
    """
    start_ns = activity.throughput_start(view)
    times, series = activity.throughput_rows(view, start_ns)
    for ring in (*view.counters.values(), *((view.clients,) if view.clients is not None else ())):
        check_kept(view.kept_ns(ring), start_ns, step_s(view) * NS_A_SECOND, low)
    drawn: list[tuple[str, str, dict[str, list[float | None]]]] = [
        (s.source.key, activity.identity(view, s)["run"], series[s.source.key])
        for s in view.counted
        if s.source.key in series
    ]
    if view.clients is not None:
        drawn.append((activity.CLIENTS["id"], activity.CLIENTS["run"], series[activity.CLIENTS["id"]]))
    if part == "totals":
        return _totals(view, drawn)
    columns = (*TIMES, "source", "run", "counts", "per_s")

    def rate_of(run: str) -> str:
        return part if part in activity.RATES else "orders" if run in ("sim", "clients") else "messages"

    return columns, [
        (*when(at), source, run, rate_of(run), rates[rate_of(run)][place])
        for place, at in enumerate(times)
        if in_sight(at, step_s(view) * NS_A_SECOND, low, high)
        for source, run, rates in drawn
        if rates[rate_of(run)][place] is not None
    ]


def _totals(view: View, drawn: Sequence[tuple[str, str, dict[str, list[float | None]]]]) -> Table:
    figures = [f"{rate}_{what}" for rate in activity.RATES for what in ("mean_per_s", "peak_per_s", "total")]
    rows = []
    for source, run, rates in drawn:
        cells: list[Any] = []
        for rate in activity.RATES:
            known = [value for value in rates[rate] if value is not None]
            mean = round(sum(known) / len(known), 3) if known else None
            cells += [mean, max(known, default=None), round(sum(known) * step_s(view)) if known else None]
        rows.append((*when(view.counted_ns), view.params.window_s, source, run, *cells))
    return (*TIMES, "window_s", "source", "run", *figures), rows


def _limits(view: View, part: str, low: float, high: float) -> Table:
    """Steps of what was held back (`series`), endpoints (`endpoints`), else every window of every budget."""
    if part == "series":
        return _limit_steps(view, low, high)
    if part == "endpoints":
        return _rows(view, limits.endpoint_rows(view), _ENDPOINT)
    tightest = part == "tightest"
    rows = []
    for budget in limits.budgets(view):
        row = limits.budget_row(view, budget)
        windows = sorted(row["windows"], key=limits.tightness) if tightest else row["windows"]
        for window in windows[:1] if tightest else windows:
            resets = "" if window["resets"] is None else iso(round(window["resets"] * 1e6))
            share = round(window["used"] / window["limit"] * 100, 2) if window["limit"] else None
            spent = (window["used"], window["limit"], share, window["reserved"], window["foreign"])
            until = iso(round(row["until"] * 1e6)) if row["until"] is not None else ""
            head = (row["id"], row["state"], until, window["name"], window["scope"])
            rows.append((*when(view.wall_ns), *head, *spent, resets, window["note"]))
    names = ("venue", "state", "banned_until", "window", "scope", "used", "limit", "used_pct")
    return (*TIMES, *names, "reserved", "foreign", "resets", "note"), rows


_ENDPOINT: Final = (
    *("id", "endpoint", "weight", "calls", "throttled", "waiting"),
    *("mean_ms", "p99_ms", "max_ms", "refused", "status"),
)


def _limit_steps(view: View, low: float, high: float) -> Table:
    names = ("allowed", "throttled", "refused", "waiting")
    start_ns = limits.limits_start(view)
    columns = limits.limit_rows(view, start_ns)
    venues = " ".join(budget.venue for budget in limits.chosen(view))
    step_s = limits.STEPS_S[view.params.window_s]
    for budget in limits.chosen(view):
        if (ring := view.limit_rings.get(budget.venue)) is not None:
            check_kept(view.kept_ns(ring), start_ns, step_s * NS_A_SECOND, low)
    return (*TIMES, "step_s", "venues", *names), [
        (*when(at), step_s, venues, *(columns[name][place] for name in names))
        for place, at in enumerate(columns["t"])
        if in_sight(at, step_s * NS_A_SECOND, low, high) and columns["allowed"][place] is not None
    ]


def _rows(view: View, found: Sequence[Json], names: Sequence[str]) -> Table:
    """Rows of one moment, some of their fields."""
    return (*TIMES, *names), [(*when(view.wall_ns), *(_flat(row[name]) for name in names)) for row in found]


def _prices(view: View, _part: str, _low: float, _high: float) -> Table:
    found, _ = prices.price_rows(view)
    decimals = prices.finest(view.quotes)
    columns = ("source", "symbol", "counts", "left_out", "book", "bid", "bid_size", "ask", "ask_size")
    rows = []
    for row in found:
        fine = decimals - row["price_decimals"]

        def price(value: int | None, row: Json = row, fine: int = fine) -> str | None:
            return None if value is None else format_decimal(value // 10**fine, row["price_decimals"])

        def size(value: int | None, row: Json = row) -> str | None:
            return None if value is None else format_decimal(value, row["size_decimals"])

        mid = None if row["mid2"] is None else format_decimal(row["mid2"] * 5, decimals + 1)
        sides = (price(row["bid"]), size(row["bid_size"]), price(row["ask"]), size(row["ask_size"]))
        told = (row["size_unit"], row["spread_bp"], mid, row["diff_bp"], row["age_ms"])
        head = (row["id"], row["symbol"], int(not row["why"]), row["why"], row["book"])
        rows.append((*when(view.wall_ns), *head, *sides, *told))
    return (*TIMES, *columns, "size_unit", "spread_bp", "mid", "mid_less_consensus_bp", "age_ms"), rows


def _mids(view: View, _part: str, low: float, high: float) -> Table:
    books = prices.comparable(view)
    start_ns = prices.mids_start(view)
    times, series = prices.mid_rows(view, start_ns)
    for quote in books:
        if quote.market is not None:
            check_kept(view.kept_ns(quote.market.metrics), start_ns, step_s(view) * NS_A_SECOND, low)
    return (*TIMES, "source", "symbol", "mid_less_consensus_bp"), [
        (*when(at), quote.source.source.key, quote.symbol, values[place])
        for place, at in enumerate(times)
        if in_sight(at, step_s(view) * NS_A_SECOND, low, high)
        for quote, values in zip(books, series, strict=True)
        if values[place] is not None
    ]


def _funding(view: View, _part: str, _low: float, _high: float) -> Table:
    found = prices.funding_fields(view)
    columns = ("rate_pct", "interval_s", "apr_pct", "next", "mark_price", "premium_bp", "said")
    if found is None:
        return (*TIMES, *columns), []
    mark = None if found["mark"] is None else format_decimal(found["mark"], found["decimals"])
    at, said = (None if found[name] is None else iso(round(found[name] * 1e6)) for name in ("next", "ts"))
    cells = (found["rate_pct"], found["interval_s"], found["apr_pct"], at, mark, found["premium_bp"], said)
    return (*TIMES, *columns), [(*when(view.counted_ns), *cells)]


def _venues(view: View, _part: str, _low: float, _high: float) -> Table:
    """Every live market, connected or not."""
    return _rows(view, venues.venue_fields(view), ("id", "label", "state", "detail", "books"))


def _listing(view: View, _part: str, _low: float, _high: float) -> Table:
    """Every symbol that can be followed."""
    return (*TIMES, "venue", "symbol"), [
        (*when(view.wall_ns), venue.venue, symbol) for venue in view.venues for symbol in venue.listed
    ]


def _tiles(view: View, _part: str, low: float, high: float) -> Table:
    names = ("real", "sim", "p50", "p99", "spread", "throttled", "gaps")
    values = activity.tile_values(view)
    columns = (*TIMES, *names)
    return columns, [
        (*when(at * 1_000_000), *(values[name][place] for name in names))
        for place, at in enumerate(values["t"])
        if in_sight(at * 1_000_000, NS_A_SECOND, low, high)
    ]


def _events(view: View, part: str, _low: float, _high: float) -> Table:
    """The newest events; `limits` and `venue`: those of them that are about it."""
    columns = (*TIMES, "number", "level", "source", "what", "text")
    found = [event for event in view.events.since(0) if event.number <= view.events_head]
    return columns, [
        (*when(e.ts_ns), e.number, e.level, e.source, e.what, e.text)
        for e in found[-activity.EVENTS_SHOWN :]
        if not part or activity.about(e) == part
    ]


def _health(view: View, part: str, _low: float, _high: float) -> Table:
    return _whole(view, "health", part or "tasks")


def _matching(view: View, part: str, _low: float, _high: float) -> Table:
    return _whole(view, "matching", part or "symbols")


def _whole(view: View, stream: str, part: str) -> Table:
    """One table of a stream that is tables of one moment, without the lines drawn in it."""
    table = view.tables.get(stream, {}).get(part)
    rows = table if isinstance(table, list) else [table] if isinstance(table, dict) else None
    if rows is None:
        raise BadCommand(f"the health page has no table named {part[:40]!r}")
    names = [name for name in (rows[0] if rows else ()) if name != "spark"]
    return (*TIMES, *names), [(*when(view.wall_ns), *(_flat(row[name]) for name in names)) for row in rows]


def _flat(value: Any) -> Any:
    return "/".join(str(item) for item in value) if isinstance(value, list) else value


_TABLES: Final[dict[str, Callable[[View, str, float, float], Table]]] = {
    "depth": _depth,
    "impact": _impact,
    "candles": _candles,
    "trades": _trades,
    "metrics": _metrics,
    "latency": _latency,
    "stages": _stages,
    "distribution": _distribution,
    "throughput": _throughput,
    "limits": _limits,
    "tiles": _tiles,
    "events": _events,
    "health": _health,
    "matching": _matching,
    "prices": _prices,
    "mids": _mids,
    "funding": _funding,
    "venues": _venues,
    "listing": _listing,
}
_EXPORTS: Final[dict[str, Callable[[View, Json], tuple[str, str]]]] = {
    **dict.fromkeys(_TABLES, _export),
    **dict.fromkeys(exchange_streams.NAMES, exchange_export.export),
    **dict.fromkeys(studies_export.NAMES, studies_export.export),
    history_streams.NAME: history_export.export,
    "alerts": alerts_export.export,
    "book_map": book_map_export.export,
    "latency_map": latency_map_export.export,
}
