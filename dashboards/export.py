"""CSV of what a panel drew: made from the server's rings as they stood in the view the browser names.

Each row carries UTC ISO time and epoch milliseconds; prices and sizes are exact decimals. Text cells are
guarded against spreadsheets that run formulas (OWASP's list of leading characters); numbers are not touched.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from typing import Any, Final

import numpy as np

from dashboards.streams import activity, impact, latency, limits, market, prices, venues
from dashboards.streams.common import Json, step_s
from dashboards.view import NS_A_SECOND, View
from engine.errors import BadCommand
from engine.market import metrics
from engine.market.instruments import format_decimal
from engine.telemetry.hub import Telemetry

FORMULA_STARTS: Final = ("=", "+", "-", "@", "\t", "\r", "\0")
TIMES: Final = ("time_utc", "epoch_ms")
TOP: Final = ("bid_price", "bid_size", "ask_price", "ask_size")
SIDES: Final = {1: "buy", -1: "sell", 0: ""}

Table = tuple[Sequence[str], Iterable[Sequence[Any]]]


def export(view: View, telemetry: Telemetry, request: Json) -> tuple[str, str]:
    """(file name, CSV text) of `request` (`dashboards.source.PageSource.export`) from the view it names."""
    name, part = str(request.get("chart", "")), str(request.get("part") or "")
    make = _TABLES.get(name)
    if make is None:
        raise BadCommand(f"there is no chart named {name[:40]!r}")
    low, high = x_range(request.get("range"), dated=name not in ("depth", "distribution"))
    text = csv_text(*make(view, telemetry, part, low, high))
    return file_name(view, name, part), text


def csv_text(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """A table as CSV, its cells guarded."""
    out = io.StringIO(newline="")
    writer = csv.writer(out)
    writer.writerow(columns)
    writer.writerows([guarded(cell) for cell in row] for row in rows)
    return out.getvalue()


def guarded(cell: Any) -> Any:
    """The cell; text that a spreadsheet might run as a formula gets a quote in front. Exact decimals stay."""
    if isinstance(cell, str) and cell.startswith(FORMULA_STARTS) and not _is_number(cell):
        return "'" + cell
    return "" if cell is None else cell


def _is_number(text: str) -> bool:
    digits = text[1:] if text[0] in "+-" else text
    return digits.replace(".", "", 1).isdigit()


def x_range(given: object, *, dated: bool) -> tuple[float, float]:
    """(low, high) of the visible x range; without one, everything. BadCommand for one that cannot be read.

    Times come as epoch ms or as Plotly writes them, `2026-11-20 14:32:08.4161` (UTC).
    """
    if given is None:
        return -np.inf, np.inf
    if not isinstance(given, list) or len(given) != 2:
        raise BadCommand("the range must be two values")
    try:
        low, high = sorted(_epoch_ms(x) if dated and isinstance(x, str) else float(x) for x in given)
    except (TypeError, ValueError) as error:
        raise BadCommand(f"the range {given!r:.60} is not two times or numbers") from error
    return low, high


def _epoch_ms(text: str) -> float:
    whole, _, fraction = text.partition(".")
    parsed = datetime.fromisoformat(whole).replace(tzinfo=UTC)
    return parsed.timestamp() * 1e3 + (float("0." + fraction) * 1e3 if fraction else 0.0)


def iso(at_ns: int) -> str:
    """UTC ISO 8601 with milliseconds."""
    return np.datetime_as_string(np.datetime64(at_ns // 1_000_000, "ms")).item() + "Z"


def when(at_ns: int) -> tuple[str, int]:
    """The two time columns."""
    return iso(at_ns), at_ns // 1_000_000


def file_name(view: View, name: str, part: str) -> str:
    """Source, symbol, chart, window and time: what the file is, in any folder."""
    source = view.source.source.key.replace(":", "-") if view.source else "engine"
    chart = f"{name}-{part}" if part else name
    if name == "candles":
        chart += f"-{view.params.interval_s}s"
    if name in ("latency", "distribution") and view.stage is not None:
        chart += f"-{view.stage.stage}"
    at = iso(view.now_ns)[:19].replace(":", "") + "Z"
    return (
        "_".join(("venuescope", source, view.symbol or "all", chart, f"{view.params.window_s}s", at)) + ".csv"
    )


def _seen(at_ns: int, low: float, high: float) -> bool:
    return low <= at_ns / 1e6 <= high


# --- one function a stream ------------------------------------------------------------------------------------


def _depth(view: View, _telemetry: Telemetry, _part: str, low: float, high: float) -> Table:
    columns = (*TIMES, "sequence", "side", "level", "price", "size", "cumulative_size", "size_unit")
    book = view.book
    rows: list[Sequence[Any]] = []
    if book is not None:
        unit = book.instrument
        for side, levels in (("bid", book.bids), ("ask", book.asks)):
            sums = np.cumsum(levels["size"]).tolist()
            for place, (price, size) in enumerate(levels[: market.DEPTH_LEVELS].tolist()):
                if low <= price / 10**unit.price_decimals <= high:
                    rows.append(
                        (
                            *when(book.ts_recv_ns),
                            book.sequence,
                            side,
                            place + 1,
                            format_decimal(price, unit.price_decimals),
                            format_decimal(size, unit.size_decimals),
                            format_decimal(sums[place], unit.size_decimals),
                            unit.size_unit,
                        )
                    )
    return columns, rows


def _impact(view: View, _telemetry: Telemetry, _part: str, _low: float, _high: float) -> Table:
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
            *(*when(book.ts_recv_ns), amount, side),
            *(found[name] for name in ("average", "worst", "bp", "filled", "levels", "exhausted")),
        )
        for amount in impact.amounts(view.params.amount)
        for side in impact.SIDES
        if (found := impact.walked(book, side, amount)) is not None
    ]


def _candles(view: View, _telemetry: Telemetry, _part: str, low: float, high: float) -> Table:
    columns = (
        *TIMES,
        "open",
        "high",
        "low",
        "close",
        "volume",
        "size_unit",
        "trades",
        "provisional",
        "made_by",
    )
    book = view.book
    if book is None:
        return columns, []
    unit = book.instrument
    found, _ = market.candle_rows(view)
    _, seam = market.window_rows(view)
    step_ns = view.params.interval_s * NS_A_SECOND

    def row(candle: Any, provisional: bool) -> Sequence[Any]:
        prices = (
            format_decimal(int(candle[f]), unit.price_decimals) for f in ("open", "high", "low", "close")
        )
        volume = format_decimal(int(candle["volume"]), unit.size_decimals)
        traded = (volume, unit.size_unit, int(candle["trades"]))
        opened_ns = int(candle["ts_open_ns"])
        made_by = "us" if opened_ns >= seam else "venue" if opened_ns + step_ns <= seam else "venue and us"
        return (*when(opened_ns), *prices, *traded, int(provisional), made_by)

    last = len(found) - 1
    return columns, [
        row(candle, place == last and book.candle is not None)
        for place, candle in enumerate(found)
        if _seen(int(candle["ts_open_ns"]), low, high)
    ]


def _trades(view: View, _telemetry: Telemetry, _part: str, low: float, high: float) -> Table:
    columns = (*TIMES, "trade_id", "price", "size", "size_unit", "aggressor")
    rows, _ = market.tape(view)
    if view.book is None:
        return columns, []
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
        if _seen(int(at), low, high)
    ]


def _metrics(view: View, _telemetry: Telemetry, _part: str, low: float, high: float) -> Table:
    columns = (*TIMES, "bid", "ask", "spread", "imbalance")
    if view.market is None or view.book is None:
        return columns, []
    rows = market.metric_rows(view, view.last(view.market.metrics, view.params.window_s + 2))
    digits = view.book.instrument.price_decimals

    def row(values: Any) -> Sequence[Any]:
        bid, bid_size, ask, ask_size = (int(values[name]) for name in TOP)
        spread = metrics.spread((bid, bid_size, ask, ask_size))
        prices = (bid if bid_size else None, ask if ask_size else None, spread)
        texts = (None if price is None else format_decimal(price, digits) for price in prices)
        return (*when(int(values["ts_ns"])), *texts, int(values["imbalance_ppm"]) / 1e6)

    return columns, [row(values) for values in rows if _seen(int(values["ts_ns"]), low, high)]


def _latency(view: View, _telemetry: Telemetry, part: str, low: float, high: float) -> Table:
    """Percentiles of the chosen stage, or its sample counts alone (`count`)."""
    fields = () if part == "count" else ("p50", "p90", "p95", "p99", "p999", "greatest", "offset")
    columns = (
        *TIMES,
        "stage",
        "samples",
        *("clock_offset_ns" if f == "offset" else f"{f}_ns" for f in fields),
    )
    names = tuple("offset_ns" if f == "offset" else f for f in fields)
    stage = view.stage.stage if view.stage is not None else ""
    return columns, [
        (*when(int(row["ts_ns"])), stage, int(row["count"]), *(int(row[name]) for name in names))
        for row in latency.summary_rows(view)
        if _seen(int(row["ts_ns"]), low, high)
    ]


def _stages(view: View, _telemetry: Telemetry, _part: str, _low: float, _high: float) -> Table:
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


def _distribution(view: View, _telemetry: Telemetry, _part: str, low: float, high: float) -> Table:
    columns = (*TIMES, "window_s", "stage", "quantile", "nines", "latency_us")
    stage = view.stage.stage if view.stage is not None else ""
    return columns, [
        (*when(view.now_ns), view.params.window_s, stage, round(1 - 10**-nines, 6), nines, value)
        for nines, value in latency.distribution_points(view)
        if low <= nines <= high
    ]


def _throughput(view: View, _telemetry: Telemetry, part: str, low: float, high: float) -> Table:
    """One rate by source (`messages`, `orders`, `trades`), the table of means and peaks (`totals`), or what the
    overview stacks: messages of real sources and orders of simulated ones.
    """
    times, series = activity.throughput_rows(view, activity.throughput_start(view))
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
        if _seen(at, low, high)
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


def _limits(view: View, _telemetry: Telemetry, part: str, low: float, high: float) -> Table:
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
    columns = limits.limit_rows(view, limits.limits_start(view))
    venues = " ".join(budget.venue for budget in limits.chosen(view))
    step_s = limits.STEPS_S[view.params.window_s]
    return (*TIMES, "step_s", "venues", *names), [
        (*when(at), step_s, venues, *(columns[name][place] for name in names))
        for place, at in enumerate(columns["t"])
        if _seen(at, low, high) and columns["allowed"][place] is not None
    ]


def _rows(view: View, found: Sequence[Json], names: Sequence[str]) -> Table:
    """Rows of one moment, some of their fields."""
    return (*TIMES, *names), [(*when(view.wall_ns), *(_flat(row[name]) for name in names)) for row in found]


def _prices(view: View, _telemetry: Telemetry, _part: str, _low: float, _high: float) -> Table:
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


def _mids(view: View, _telemetry: Telemetry, _part: str, low: float, high: float) -> Table:
    books = prices.comparable(view)
    times, series = prices.mid_rows(view, prices.mids_start(view))
    return (*TIMES, "source", "symbol", "mid_less_consensus_bp"), [
        (*when(at), quote.source.source.key, quote.symbol, values[place])
        for place, at in enumerate(times)
        if _seen(at, low, high)
        for quote, values in zip(books, series, strict=True)
        if values[place] is not None
    ]


def _funding(view: View, _telemetry: Telemetry, _part: str, _low: float, _high: float) -> Table:
    found = prices.funding_fields(view)
    columns = ("rate_pct", "interval_s", "apr_pct", "next", "mark_price", "premium_bp", "said")
    if found is None:
        return (*TIMES, *columns), []
    mark = None if found["mark"] is None else format_decimal(found["mark"], found["decimals"])
    at, said = (None if found[name] is None else iso(round(found[name] * 1e6)) for name in ("next", "ts"))
    cells = (found["rate_pct"], found["interval_s"], found["apr_pct"], at, mark, found["premium_bp"], said)
    return (*TIMES, *columns), [(*when(view.counted_ns), *cells)]


def _venues(view: View, _telemetry: Telemetry, _part: str, _low: float, _high: float) -> Table:
    """Every live market, connected or not."""
    return _rows(view, venues.venue_fields(view), ("id", "label", "state", "detail", "books"))


def _listing(view: View, _telemetry: Telemetry, _part: str, _low: float, _high: float) -> Table:
    """Every symbol that can be followed."""
    return (*TIMES, "venue", "symbol"), [
        (*when(view.wall_ns), venue.venue, symbol) for venue in view.venues for symbol in venue.listed
    ]


def _tiles(view: View, _telemetry: Telemetry, _part: str, low: float, high: float) -> Table:
    names = ("real", "sim", "p50", "p99", "spread", "throttled", "gaps")
    values = activity.tile_values(view)
    columns = (*TIMES, *names)
    return columns, [
        (*when(at * 1_000_000), *(values[name][place] for name in names))
        for place, at in enumerate(values["t"])
        if low <= at <= high
    ]


def _events(view: View, _telemetry: Telemetry, part: str, _low: float, _high: float) -> Table:
    """The newest events; `limits` and `venue`: those of them that are about it."""
    columns = (*TIMES, "number", "level", "source", "what", "text")
    found = [event for event in view.events.since(0) if event.number <= view.events_head]
    return columns, [
        (*when(e.ts_ns), e.number, e.level, e.source, e.what, e.text)
        for e in found[-activity.EVENTS_SHOWN :]
        if not part or activity.about(e) == part
    ]


def _health(view: View, _telemetry: Telemetry, part: str, _low: float, _high: float) -> Table:
    return _whole(view, "health", part or "tasks")


def _matching(view: View, _telemetry: Telemetry, part: str, _low: float, _high: float) -> Table:
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


_TABLES: Final[dict[str, Callable[[View, Telemetry, str, float, float], Table]]] = {
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
