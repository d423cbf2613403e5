"""Streams of the Exchange page: clients, rates, latency by stage, one account, one book, the newest profile.

What a poll saw of the exchange is one frozen `Seen`, kept with its view, so that an export shows the same.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np

from dashboards.streams import latency as latency_of
from dashboards.streams.common import Json, head, ms, step_s, us
from dashboards.view import NS_A_SECOND, View
from engine.market.batches import Rows
from engine.profiling import ProfileView, fields
from engine.telemetry.board import AccountView, BookView, ClientView, ExchangeView, FillView, OrderView
from engine.telemetry.histogram import QUANTILES, quantiles
from engine.telemetry.hub import EXCHANGE, Telemetry
from engine.telemetry.latency import StageLatency
from engine.telemetry.ring import Ring

NAMES: Final = ("exchange", "exchange_book", "exchange_latency", "exchange_stages", "profile")
OF_IT: Final = frozenset(NAMES)
SOURCE: Final = "exchange"  # of its latency stages
WHOLE: Final = "ack"
# stage -> (label, what is measured); in the order a command passes them, the whole way last
STAGES: Final = {
    "socket": ("Socket", "after other messages of the same turn of the loop"),
    "decode": ("Decode", "read and checked, signature and limits too; command queued"),
    "wait": ("Wait", "until its batch is matched"),
    "match": ("Match", "its batch in the engine"),
    "encode": ("Encode", "answer made and written, a mean of its batch"),
    "send": ("Send", "answer handed to the socket"),
    "ack": ("Acknowledge", "whole way, read to answered"),
}
COLUMNS: Final = tuple(name for name in EXCHANGE.names or () if name != "ts_ns")
BOOK_LEVELS: Final = 16
NAME_MAX: Final = 80
ACCOUNTS_MAX: Final = 1_000
KEYS_MAX: Final = 200  # the newest


@dataclass(frozen=True, slots=True)
class Seen:
    """The exchange as one poll saw it, and what the page chose to look at."""

    view: ExchangeView
    account: AccountView | None
    symbol: str  # of the ticket; "" while there is none
    book: BookView | None
    book_age_ms: float | None  # of the newest event in it
    ring: Ring | None
    head: int
    stages: dict[str, StageLatency]
    heads: dict[str, int]
    profile: ProfileView | None


def seen(telemetry: Telemetry, raw: Json, wall_ns: int) -> Seen:
    """What a page with these parameters (`account`, `traded`, checked here) looks at; an unknown name is the first."""
    board = telemetry.board
    view = board.exchange
    asked = str(raw.get("account") or "")[:NAME_MAX]
    account = next((one for one in view.accounts if one.name == asked), None) or next(
        iter(view.accounts), None
    )
    source = next((one for one in board.sources if one.source.run == "sim"), None)
    names = [symbol for symbol, _ in view.symbols]
    if not names and source is not None:  # off: its books trade without clients
        names = list(source.symbols)
    traded = str(raw.get("traded") or "")[:NAME_MAX]
    symbol = traded if traded in names else next(iter(names), "")
    book = board.books.get((source.source.key, symbol)) if source is not None else None
    age_ms = None
    if book is not None and source is not None and book.ts_recv_ns:
        age_ms = ms(max(0, source.clock(wall_ns) - book.ts_recv_ns))
    stages = {
        stage: found for stage in STAGES if (found := telemetry.stages.get((SOURCE, stage))) is not None
    }
    ring = telemetry.exchange if view.state == "serving" else None  # made by the engine by then
    return Seen(
        view=view,
        account=account,
        symbol=symbol,
        book=book,
        book_age_ms=age_ms,
        ring=ring,
        head=ring.head if ring is not None else 0,
        stages=stages,
        heads={
            each.name: each.head
            for each in (*(ring for stage in stages.values() for ring in stage.rings), *filter(None, (ring,)))
        },
        profile=board.profile,
    )


def looked(telemetry: Telemetry, raw: Json, wall_ns: int) -> Json:
    """What a view keeps for these streams."""
    return {
        "seen": seen(telemetry, raw, wall_ns),
        "stage": str(raw.get("part") or "")[:NAME_MAX],
        "clients": raw.get("exview") in (None, "clients"),
    }


def of(view: View) -> Seen:
    """What the poll of this view saw."""
    found: Seen = view.tables[SOURCE]["seen"]
    return found


def exchange(view: View, cursor: Json) -> tuple[Json, Json]:
    """New rows of rates; head, load (while looked at), lists and account each whole when it changed."""
    found = of(view)
    key = f"{view.epoch}|{view.params.window_s}"
    again = cursor if cursor.get("k") == key else {}
    rows, newest_ns = rate_rows(view, int(again.get("t", 0)))
    stream = head(view, key, cursor, newest_ns, found.view.orders, wall=True) | rows
    stream["keep"] = view.wall_start_ns // 1_000_000
    stream["step"] = step_s(view)
    place = {"k": key, "t": rows["t"][-1] * 1_000_000 if rows["t"] else int(again.get("t", 0))}
    second = view.wall_ns // NS_A_SECOND
    # Each part with what it is made of: a change there sends it again. What counts on all the time, uses of keys
    # and faults, does so once a second.
    lists = marked(
        found.view.symbols,
        tuple(key.api_key for key in found.view.keys),
        tuple(fault.id for fault in found.view.faults),
        names_of(found),
    )
    counting = marked(found.view.keys, found.view.faults, found.view.faults_done)
    if again.get("lists") == lists and (again.get("counting") == counting or again.get("second") == second):
        counting = again["counting"]
    place |= {"counting": counting, "second": second}
    marks = {
        "head": marked(found.view.state, found.view.detail, second),
        "load": second if view.tables[SOURCE]["clients"] else None,
        "lists": lists,
        "account": marked(found.account),
    }
    for name, mark in marks.items():
        if mark is None:
            continue
        place[name] = mark
        if again.get(name) != mark or (name == "lists" and again.get("counting") != counting):
            stream[name] = PARTS[name](found)
    return stream, place


def marked(*values: Any) -> int:
    """A number that changes with the values; small enough for a browser's own numbers."""
    return hash(values) & 0xFFFFFFFF


def names_of(found: Seen) -> tuple[str, ...]:
    """Accounts there are, the first thousand."""
    return tuple(account.name for account in found.view.accounts[:ACCOUNTS_MAX])


def rate_rows(view: View, after_ns: int) -> tuple[dict[str, list[Any]], int]:
    """(columns `t` in ms and per-second means of each step behind `after_ns`, end of the newest second, 0 = none).

    A step no second of which was counted is null; `clients` is the number at the step's end.
    """
    found, step_ns = of(view), step_s(view) * NS_A_SECOND
    columns: dict[str, list[Any]] = {"t": [], **{name: [] for name in COLUMNS}}
    rows = seconds(view)
    if not len(rows):
        return columns, 0
    newest_ns = int(found.ring.last(1, found.head).rows["ts_ns"][0]) + NS_A_SECOND if found.ring else 0
    place = rows["ts_ns"] // step_ns
    first = int(place[0])
    if after_ns:
        first = max(first, after_ns // step_ns + 1)
    # The newest step is told once all of its seconds are over.
    for number in range(first, int(place[-1]) + 1):
        if (number + 1) * step_ns > view.closed_ns and step_ns > NS_A_SECOND:
            break
        inside = rows[place == number]
        columns["t"].append(number * step_ns // 1_000_000)
        for name in COLUMNS:
            if not len(inside):
                columns[name].append(None)
            elif name == "clients":
                columns[name].append(int(inside[name][-1]))
            else:
                columns[name].append(round(float(inside[name].mean()), 1))
    return columns, newest_ns


def seconds(view: View) -> Rows:
    """EXCHANGE rows of the window."""
    found = of(view)
    if found.ring is None:
        return np.empty(0, EXCHANGE)
    rows = found.ring.last(view.params.window_s + 2, found.head).rows
    return rows[rows["ts_ns"] >= view.wall_start_ns]


def head_fields(found: Seen) -> Json:
    """State and sums."""
    view = found.view
    whole = found.stages.get(WHOLE)
    return {
        "state": view.state,
        "detail": view.detail,
        "url": view.url,
        "order_url": view.order_url,
        "clients": view.client_count,
        "orders": view.orders,
        "rejected": view.rejected,
        "fills": view.fills,
        "trades": view.trades,
        "orders_per_s": view.orders_per_s,
        "acks_per_s": view.acks_per_s,
        "fills_per_s": view.fills_per_s,
        "cut_slow": view.cut_slow,
        "refused": view.refused,
        "waiting": view.waiting,
        "measured": whole is not None,
    }


def load_fields(found: Seen) -> Json:
    """Clients and rejects by code."""
    return {
        "clients": [client_fields(client) for client in found.view.clients],
        "rejects": [[code, count] for code, count in found.view.rejects],
    }


def client_fields(client: ClientView) -> Json:
    """One client."""
    return {
        "id": client.id,
        "dialect": client.dialect,
        "use": client.use,
        "address": client.address,
        "account": client.account,
        "since": ms(client.since_ns),
        "messages": client.messages,
        "messages_per_s": round(client.messages_per_s, 1),
        "orders": client.orders,
        "in_flight": client.in_flight,
        "queue_bytes": client.queue_bytes,
        "sent_bytes": client.sent_bytes,
        "conflated": client.conflated,
        "rejects": [[code, count] for code, count in client.rejects],
    }


def list_fields(found: Seen) -> Json:
    """Symbols with their phase, accounts, keys, faults."""
    view = found.view
    return {
        "symbols": [[symbol, phase] for symbol, phase in view.symbols],
        "accounts": list(names_of(found)),
        "keys": [
            {
                "api_key": key.api_key,
                "account": key.account,
                "label": key.label,
                "trade": key.trade,
                "created": ms(key.created_ns),
                "used": ms(key.used_ns) if key.used_ns else None,
            }
            for key in view.keys[-KEYS_MAX:]
        ],
        "keys_count": len(view.keys),
        "faults": [
            {
                "id": fault.id,
                "kind": fault.kind,
                "where": fault.where,
                "rate": fault.rate,
                "done": fault.done,
                "left": None if fault.left < 0 else fault.left,
                "ends": ms(fault.ends_ns) if fault.ends_ns else None,
            }
            for fault in view.faults
        ],
        "faults_done": [[kind, count] for kind, count in view.faults_done],
    }


def account_fields(found: Seen) -> Json | None:
    """The account looked at: open orders, ended ones and trades, the newest first; balances."""
    account = found.account
    if account is None:
        return None
    return {
        "name": account.name,
        "open_count": account.open_count,
        "open": [order_fields(order) for order in account.open],
        "ended": [order_fields(order) for order in account.ended],
        "fills": [fill_fields(fill) for fill in account.fills],
        "balances": [[each.asset, each.free, each.reserved] for each in account.balances],
    }


def order_fields(order: OrderView) -> Json:
    """One order; ids as text, which a browser's numbers might not hold."""
    return {
        "id": str(order.order_id),
        "client_id": order.client_id,
        "symbol": order.symbol,
        "side": order.side,
        "kind": order.kind,
        "price": order.price,
        "trigger": order.trigger,
        "size": order.size,
        "filled": order.filled,
        "average": order.average,
        "status": order.status,
        "reason": order.reason,
        "dialect": order.dialect,
        "created": ms(order.created_ns),
        "updated": ms(order.updated_ns),
    }


def fill_fields(fill: FillView) -> Json:
    """One trade of an account."""
    return {
        "id": str(fill.trade_id),
        "order": str(fill.order_id),
        "symbol": fill.symbol,
        "side": fill.side,
        "price": fill.price,
        "size": fill.size,
        "fee": fill.fee,
        "fee_asset": fill.fee_asset,
        "maker": fill.maker,
        "t": ms(fill.ts_ns),
    }


PARTS: Final[dict[str, Callable[[Seen], Json | None]]] = {
    "head": head_fields,
    "load": load_fields,
    "lists": list_fields,
    "account": account_fields,
}


def book(view: View, cursor: Json) -> tuple[Json, Json]:
    """The top levels of the ticket's symbol at the built-in exchange; without them when nothing changed."""
    found = of(view)
    key = f"{view.epoch}|{found.symbol}"
    stream = head(view, key, cursor, 0, 0)
    stream["symbol"] = found.symbol
    shown = found.book
    if shown is None:
        return stream | {"state": "EMPTY", "bids": [], "asks": []}, {"k": key}
    stream |= {
        "age_ms": found.book_age_ms,
        "n": sum(shown.counts),
        "state": shown.state,
        "seq": shown.sequence,
    }
    place = {"k": key, "q": shown.sequence, "s": shown.state, "r": shown.instrument.revision}
    if place != cursor:
        unit = shown.instrument
        stream |= {
            "base": unit.base,
            "quote": unit.quote,
            "price_decimals": unit.price_decimals,
            "size_decimals": unit.size_decimals,
            "last": shown.last_price or None,
            "bids": shown.bids[["price", "size"]][:BOOK_LEVELS].tolist(),
            "asks": shown.asks[["price", "size"]][:BOOK_LEVELS].tolist(),
        }
    return stream, place


def staged(view: View, stage: str = "") -> View:
    """The view with the exchange's stages in place of the source's, by the wall clock."""
    found = of(view)
    return replace(
        view,
        source=None,
        now_ns=view.wall_ns,
        stages=found.stages,
        heads={**view.heads, **found.heads},
        params=replace(view.params, stage=stage or chosen(view)),
    )


def chosen(view: View) -> str:
    """The stage the page looks at; one that is not known is the whole way."""
    asked = view.tables[SOURCE].get("stage", "")
    return asked if asked in STAGES else WHOLE


def latency(view: View, cursor: Json) -> tuple[Json, Json]:
    """New percentile rows of the chosen stage."""
    stage = chosen(view)
    stream, place = latency_of.latency(staged(view, stage), cursor)
    label, what = STAGES[stage]
    return stream | {"stage": stage, "label": label, "what": what}, place


def stages(view: View, cursor: Json) -> tuple[Json, Json]:
    """Every stage over the window; whole, once a second."""
    key = f"{view.epoch}|{view.params.window_s}"
    second = view.wall_ns // NS_A_SECOND
    rows = stage_rows(view) if cursor.get("k") != key or cursor.get("s") != second else None
    whole = of(view).stages.get(WHOLE)
    newest_ns = 0
    if whole is not None and len(whole.seconds):
        newest_ns = int(whole.seconds.last(1).rows["ts_ns"][0]) + NS_A_SECOND
    stream = head(view, key, cursor, newest_ns, len(of(view).stages), wall=True)
    if rows is not None:
        stream["rows"] = rows
    return stream, {"k": key, "s": second}


def stage_rows(view: View) -> list[Json]:
    """Samples, percentiles and maximum of each measured stage over the window; latencies in us."""
    looked, rows = staged(view), []
    for name, stage in looked.stages.items():
        label, what = STAGES[name]
        counts, greatest = latency_of.window_counts(looked, stage)
        total = int(counts.sum())
        found = quantiles(counts, QUANTILES, greatest) if total else [None] * len(QUANTILES)
        row: Json = {"stage": name, "label": label, "what": what, "n": total}
        row |= {
            each: us(value) if value is not None and latency_of.told(each, value, total) is not None else None
            for each, value in zip(latency_of.PERCENTILES, found, strict=True)
        }
        rows.append(row | {"max": us(greatest) if total else None})
    return rows


def profile(view: View, cursor: Json) -> tuple[Json, Json]:
    """The newest profile, whole when it changed: while it runs without rows."""
    found = of(view).profile
    key = f"{view.epoch}|profile"
    mark = f"{found.started_ns}|{found.state}" if found is not None else ""
    ended_ns = found.ends_ns if found is not None and found.state == "done" else 0
    stream = head(view, key, cursor, ended_ns, found.calls if found is not None else 0, wall=True)
    if cursor.get("k") != key or cursor.get("m") != mark:
        stream["profile"] = None
        if found is not None:
            plain = fields(found)
            stream["profile"] = plain | {
                "started": ms(plain.pop("started_ns")),
                "ends": ms(plain.pop("ends_ns")),
            }
    return stream, {"k": key, "m": mark}
