"""CSV of what the Exchange page shows, from the view the browser names; cells are guarded as in `export.py`."""

from __future__ import annotations

import re
from typing import Final

from dashboards import exchange_streams as streams
from dashboards.sheet import TIMES, Table, check_kept, csv_text, in_sight, iso, when, x_range
from dashboards.streams import latency
from dashboards.streams.common import Json, step_s
from dashboards.view import NS_A_SECOND, View
from engine.errors import BadCommand
from engine.market.instruments import format_decimal
from engine.telemetry.board import OrderView

ORDER: Final = (
    "symbol",
    "side",
    "kind",
    "price",
    "trigger",
    "size",
    "filled",
    "average",
    "status",
    "reason",
    "dialect",
)
FILL: Final = ("symbol", "side", "price", "size", "fee", "fee_asset", "maker")


def export(view: View, request: Json) -> tuple[str, str]:
    """(file name, CSV text) of one panel; BadCommand when there is no such table or nothing in it to name."""
    name, part = str(request.get("chart", "")), str(request.get("part") or "")
    low, high = x_range(request.get("range"), dated=True)
    text = csv_text(*_table(view, name, part, low, high))
    return file_name(view, name, part), text


def file_name(view: View, name: str, part: str) -> str:
    """What the file is, in any folder: the exchange, whose rows, which of them, window and time."""
    found = streams.of(view)
    of = found.symbol if name == "exchange_book" else ""
    if part in ("orders", "fills", "balances") and found.account is not None:
        of = found.account.name
    what = part or name.removeprefix("exchange_")
    if name == "exchange_latency":
        what += f"-{streams.chosen(view)}"
    at = iso(view.wall_ns)[:19].replace(":", "") + "Z"
    words = ("venuescope", "exchange", re.sub(r"[^\w.-]+", "-", of), what, f"{view.params.window_s}s", at)
    return "_".join(word for word in words if word) + ".csv"


def _table(view: View, name: str, part: str, low: float, high: float) -> Table:
    if name == "exchange" and part in _PARTS:
        return _PARTS[part](view)
    if name == "exchange":
        return _rates(view, low, high)
    if name == "exchange_book":
        return _book(view)
    if name == "exchange_latency":
        return _latency(view, low, high)
    if name == "exchange_stages":
        return _stages(view)
    if name == "profile":
        return _profile(view)
    raise BadCommand(f"there is no table named {name[:40]!r}")


def _rates(view: View, low: float, high: float) -> Table:
    rows, _ = streams.rate_rows(view, 0)
    names, step_ns, ring = streams.COLUMNS, step_s(view) * NS_A_SECOND, streams.of(view).ring
    if ring is not None:
        check_kept(streams.staged(view).kept_ns(ring), view.wall_start_ns, step_ns, low)
    return (*TIMES, *(name if name == "clients" else f"{name}_per_s" for name in names)), [
        (*when(at * 1_000_000), *(rows[name][place] for name in names))
        for place, at in enumerate(rows["t"])
        if in_sight(at * 1_000_000, step_ns, low, high) and rows["orders"][place] is not None
    ]


def _clients(view: View) -> Table:
    names = ("id", "dialect", "use", "address", "account", "messages", "messages_per_s", "orders", "in_flight",
             "queue_bytes", "sent_bytes", "conflated")  # fmt: skip
    return (*TIMES, *names, "since_utc", "rejects"), [
        (
            *when(view.wall_ns),
            *(getattr(client, name) for name in names),
            when(client.since_ns)[0],
            "; ".join(f"{code} x {count}" for code, count in client.rejects),
        )
        for client in streams.of(view).view.clients
    ]


def _rejects(view: View) -> Table:
    return (*TIMES, "code", "rejects"), [
        (*when(view.wall_ns), code, count) for code, count in streams.of(view).view.rejects
    ]


def _orders(view: View) -> Table:
    """Open orders, then ended ones; what the tabs show."""
    account = streams.of(view).account
    orders: tuple[OrderView, ...] = (*account.open, *account.ended) if account else ()
    return (*TIMES, "account", "order_id", "client_id", *ORDER, "updated_utc"), [
        (
            *when(order.created_ns),
            account.name if account else "",
            order.order_id,
            order.client_id,
            *(getattr(order, name) for name in ORDER),
            when(order.updated_ns)[0],
        )
        for order in orders
    ]


def _fills(view: View) -> Table:
    account = streams.of(view).account
    return (*TIMES, "account", "trade_id", "order_id", *FILL), [
        (
            *when(fill.ts_ns),
            account.name if account else "",
            fill.trade_id,
            fill.order_id,
            *(getattr(fill, name) for name in FILL),
        )
        for fill in (account.fills if account else ())
    ]


def _balances(view: View) -> Table:
    account = streams.of(view).account
    return (*TIMES, "account", "asset", "free", "reserved"), [
        (*when(view.wall_ns), account.name if account else "", each.asset, each.free, each.reserved)
        for each in (account.balances if account else ())
    ]


def _faults(view: View) -> Table:
    return (*TIMES, "id", "kind", "where", "rate", "done", "left", "ends_utc"), [
        (
            *when(view.wall_ns),
            fault.id,
            fault.kind,
            fault.where,
            fault.rate,
            fault.done,
            None if fault.left < 0 else fault.left,
            when(fault.ends_ns)[0] if fault.ends_ns else None,
        )
        for fault in streams.of(view).view.faults
    ]


def _keys(view: View) -> Table:
    return (*TIMES, "api_key", "account", "label", "trade", "used_utc"), [
        (
            *when(key.created_ns),
            key.api_key,
            key.account,
            key.label,
            key.trade,
            when(key.used_ns)[0] if key.used_ns else None,
        )
        for key in streams.of(view).view.keys
    ]


def _phases(view: View) -> Table:
    return (*TIMES, "symbol", "phase"), [
        (*when(view.wall_ns), *each) for each in streams.of(view).view.symbols
    ]


_PARTS: Final = {
    "clients": _clients,
    "rejects": _rejects,
    "orders": _orders,
    "fills": _fills,
    "balances": _balances,
    "faults": _faults,
    "keys": _keys,
    "phases": _phases,
}


def _book(view: View) -> Table:
    found = streams.of(view)
    columns = (*TIMES, "symbol", "sequence", "side", "level", "price", "size")
    book = found.book
    if book is None:
        return columns, []
    unit = book.instrument
    return columns, [
        (
            *when(book.ts_recv_ns),
            found.symbol,
            book.sequence,
            side,
            place + 1,
            format_decimal(price, unit.price_decimals),
            format_decimal(size, unit.size_decimals),
        )
        for side, levels in (("bid", book.bids), ("ask", book.asks))
        for place, (price, size) in enumerate(levels[["price", "size"]][: streams.BOOK_LEVELS].tolist())
    ]


def _latency(view: View, low: float, high: float) -> Table:
    fields = ("p50", "p90", "p95", "p99", "p999", "greatest")
    staged, step_ns = streams.staged(view), latency.lines_step_s(view) * NS_A_SECOND
    found = latency.summary_rows(staged)
    if staged.stage is not None:
        ring = latency.summary_ring(staged, staged.stage)
        check_kept(staged.kept_ns(ring), latency.start_by(staged, staged.stage), step_ns, low)
    return (*TIMES, "stage", "samples", *(f"{name}_ns" for name in fields)), [
        (
            *when(int(row["ts_ns"])),
            streams.chosen(view),
            int(row["count"]),
            *(latency.told(name, int(row[name]), int(row["count"])) for name in fields),
        )
        for row in found
        if in_sight(int(row["ts_ns"]), step_ns, low, high)
    ]


def _stages(view: View) -> Table:
    fields = (*latency.PERCENTILES, "max")
    return (*TIMES, "window_s", "stage", "measures", "samples", *(f"{name}_us" for name in fields)), [
        (
            *when(view.wall_ns),
            view.params.window_s,
            row["stage"],
            row["what"],
            row["n"],
            *(row[name] for name in fields),
        )
        for row in streams.stage_rows(view)
    ]


def _profile(view: View) -> Table:
    found = streams.of(view).profile
    columns = (*TIMES, "function", "where", "calls", "recursive", "own_ms", "with_calls_ms", "share_of_busy")
    if found is None:
        return columns, []
    return columns, [
        (
            *when(found.started_ns),
            row.function,
            row.where,
            row.calls,
            row.recursive,
            row.own_ms,
            row.cumulative_ms,
            row.share,
        )
        for row in found.rows
    ]
