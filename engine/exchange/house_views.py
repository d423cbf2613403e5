"""The exchange as pages see it: frozen views of clients, accounts, orders, keys and faults. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from engine.exchange.accounts import Accounts, Key
from engine.exchange.connection import Connection
from engine.exchange.desk import Desk
from engine.exchange.dialects.native import KIND_NAMES, SIDE_NAMES
from engine.exchange.trading import Fill, Order, sentence
from engine.exchange.units import Units, atoms_text
from engine.matching.orders import AUCTION, CLOSED, CONTINUOUS, HALTED
from engine.telemetry.board import AccountView, BalanceView, ClientView, FillView, KeyView, OrderView

SHOWN_ROWS: Final = 50
PHASES: Final = {CONTINUOUS: "trading", AUCTION: "auction", HALTED: "halted", CLOSED: "closed"}


def account_view(desk: Desk, name: str, number: int, units: Sequence[Units]) -> AccountView:
    """One account, the newest 50 rows of each kind first."""
    opened = desk.open_orders(number)
    return AccountView(
        name,
        number,
        tuple(order_view(each, units[each.symbol]) for each in opened[: -SHOWN_ROWS - 1 : -1]),
        len(opened),
        tuple(
            order_view(each, units[each.symbol]) for each in desk.ended_orders(number)[: -SHOWN_ROWS - 1 : -1]
        ),
        tuple(fill_view(each, units[each.symbol]) for each in desk.fills(number)[: -SHOWN_ROWS - 1 : -1]),
        tuple(
            BalanceView(each.asset, atoms_text(each.free), atoms_text(each.reserved))
            for each in desk.balances(number)
        ),
    )


def order_view(order: Order, units: Units) -> OrderView:
    """One order as text."""
    average = units.price_text(order.filled_notional // order.filled_lots) if order.filled_lots else ""
    return OrderView(
        order_id=order.order_id,
        client_id=order.client_id,
        symbol=units.instrument.symbol,
        side=SIDE_NAMES[order.side],
        kind=KIND_NAMES[order.kind],
        price=units.price_text(order.price_ticks) if order.price_ticks else "",
        trigger=units.price_text(order.trigger_ticks) if order.trigger_ticks else "",
        size=units.size_text(order.lots),
        filled=units.size_text(order.filled_lots),
        average=average,
        status=order.status,
        reason=sentence(order.reason) if order.reason else "",
        dialect=order.dialect,
        created_ns=order.created_ns,
        updated_ns=order.updated_ns,
    )


def fill_view(fill: Fill, units: Units) -> FillView:
    """One trade as text."""
    return FillView(
        trade_id=fill.trade_id,
        order_id=fill.order_id,
        symbol=units.instrument.symbol,
        side=SIDE_NAMES[fill.side],
        price=units.price_text(fill.price_ticks),
        size=units.size_text(fill.lots),
        fee=atoms_text(fill.fee_atoms),
        fee_asset=fill.fee_asset,
        maker=fill.maker,
        ts_ns=fill.ts_ns,
    )


def stream_view(connection: Connection, dialect: str, wall_less_monotonic_ns: int) -> ClientView:
    """One client of public streams."""
    return ClientView(
        id=connection.id,
        dialect=dialect,
        use="market data",
        address=connection.address,
        account="",
        since_ns=connection.opened_ns + wall_less_monotonic_ns,
        messages=connection.messages,
        messages_per_s=0.0,
        orders=0,
        in_flight=0,
        queue_bytes=0 if connection.transport.is_closing() else connection.transport.get_write_buffer_size(),
        sent_bytes=connection.sent.bytes,
        conflated=connection.sent.conflated,
        rejects=(),
    )


def key_view(key: Key, accounts: Accounts) -> KeyView:
    """One key, without its secret."""
    return KeyView(
        key.api_key, key.name, key.label, key.trade, key.created_ns, accounts.used_ns.get(key.api_key, 0)
    )
