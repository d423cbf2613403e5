"""The native protocol as a client sees it: declared shapes of what comes, and what has to be signed. Pure."""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass
from typing import Final

import msgspec

from engine.market.instruments import format_decimal, parse_decimal

VERSION: Final = 1
ATOM_DECIMALS: Final = 8
_POWERS: Final[tuple[int, ...]] = tuple(10**each for each in range(37))


class Listed(msgspec.Struct, frozen=True):
    """A symbol as the greeting lists it."""

    symbol: str
    tick: str
    lot: str
    min_notional: str = "0"


class Held(msgspec.Struct, frozen=True):
    """What an account has of one asset, as decimal text."""

    free: str
    reserved: str


class OrderState(msgspec.Struct, frozen=True):
    """One order, as `orders` answers."""

    order_id: int
    symbol: str
    side: str
    status: str
    size: str
    filled: str
    open: str
    client_id: str = ""
    type: str = ""
    price: str = ""
    average: str = ""


class FillState(msgspec.Struct, frozen=True):
    """One trade of the account, as `fills` answers."""

    trade_id: int
    order_id: int
    symbol: str
    side: str
    price: str
    size: str
    fee: str
    fee_asset: str
    maker: bool
    ts_ns: int


class Message(msgspec.Struct, frozen=True):
    """Anything the exchange sends: an answer (`op`, `id`) or a push (`ch`). Fields that a kind lacks are empty."""

    op: str = ""
    id: int | str | None = None
    ok: bool = False
    code: int = 0
    error: str = ""
    version: int = 0
    order_port: int = 0  # where orders are taken faster; 0: nowhere
    account: str = ""
    symbols: list[Listed] = []
    channels: list[str] = []
    orders: list[OrderState] = []
    fills: list[FillState] = []
    balances: dict[str, Held] = {}
    average: str = ""
    count: int = 0

    ch: str = ""
    type: str = ""
    order_id: int = 0
    client_id: str = ""
    symbol: str = ""
    side: str = ""
    status: str = ""
    filled: str = ""
    open: str = ""
    price: str = ""
    size: str = ""
    fee: str = ""
    fee_asset: str = ""
    maker: bool = False
    trade_id: int = 0
    reason: str = ""
    bid: tuple[str, str] | None = None
    ask: tuple[str, str] | None = None
    bids: list[tuple[str, str]] = []
    asks: list[tuple[str, str]] = []
    trades: list[tuple[int, str, str, str, int]] = []
    first: int = 0
    last: int = 0
    ts_ns: int = 0


_decoder: Final = msgspec.json.Decoder(Message | list[Message])


def read(frame: str | bytes) -> list[Message]:
    """The messages of a frame. ValueError when it is not of this protocol."""
    try:
        said = _decoder.decode(frame)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise ValueError(f"a frame is not of the native protocol: {error}") from None
    return said if isinstance(said, list) else [said]


def login_sign(secret: str, ts_ms: int, key: str) -> str:
    """The signature of a login."""
    return hmac.new(secret.encode(), f"login{ts_ms}{key}".encode(), hashlib.sha256).hexdigest()


@dataclass(frozen=True, slots=True)
class Symbol:
    """One symbol's units: whole ticks and lots on our side, decimal text on the wire. Money is in atoms of 10^-8."""

    name: str
    price_decimals: int
    size_decimals: int
    tick_units: int
    lot_units: int
    min_notional_atoms: int

    @classmethod
    def of(cls, listed: Listed) -> Symbol:
        """From the greeting. ValueError when its numbers are no decimals."""
        price_decimals = len(listed.tick.partition(".")[2])
        size_decimals = len(listed.lot.partition(".")[2])
        return cls(
            listed.symbol,
            price_decimals,
            size_decimals,
            parse_decimal(listed.tick, price_decimals),
            parse_decimal(listed.lot, size_decimals),
            parse_decimal(listed.min_notional, ATOM_DECIMALS),
        )

    @property
    def base(self) -> str:
        """What is traded: "BTC" of "BTC-USDT"."""
        return self.name.partition("-")[0]

    @property
    def quote(self) -> str:
        """What it is paid with."""
        return self.name.partition("-")[2]

    @property
    def atoms_per_tick_lot(self) -> int:
        """What one lot at a price of one tick costs."""
        decimals = self.price_decimals + self.size_decimals
        return self.tick_units * self.lot_units * _POWERS[ATOM_DECIMALS] // _POWERS[decimals]

    @property
    def atoms_per_lot(self) -> int:
        """One lot in atoms of the base."""
        return self.lot_units * _POWERS[ATOM_DECIMALS - self.size_decimals]

    def least_lots(self, price_ticks: int) -> int:
        """The fewest lots that are worth the least notional at this price."""
        return max(1, -(-self.min_notional_atoms // max(1, price_ticks * self.atoms_per_tick_lot)))

    def ticks(self, text: str) -> int:
        """A price in ticks."""
        return parse_decimal(text, self.price_decimals) // self.tick_units

    def lots(self, text: str) -> int:
        """A size in lots."""
        return parse_decimal(text, self.size_decimals) // self.lot_units

    def price_text(self, ticks: int) -> str:
        """A price as it is sent."""
        return format_decimal(ticks * self.tick_units, self.price_decimals)

    def size_text(self, lots: int) -> str:
        """A size as it is sent."""
        return format_decimal(lots * self.lot_units, self.size_decimals)


def atoms(text: str) -> int:
    """Money in atoms."""
    return parse_decimal(text, ATOM_DECIMALS)
