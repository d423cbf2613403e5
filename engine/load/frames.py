"""The load generator's messages: orders made ahead of time but for their number, answers read no further than needed.

Pure. A message is what stands before its number, the number, and what stands behind it; all numbers have nine digits,
so that every message of a kind has one size. Answers are those of the native protocol; what of one is read is found by
its key, in any order, without decoding the rest.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from typing import Final, NamedTuple

import msgspec

from engine.market.instruments import format_decimal, parse_decimal

FIRST_ID: Final = 100_000_000
LAST_ID: Final = 999_999_999
ID_DIGITS: Final = 9
NOTIONAL_MARGIN: Final = 2  # orders are worth this many times the least allowed
AWAY: Final = 50  # parts of the price, 2 %: where orders rest that nobody shall take
NEAR: Final = 8
NO_ID: Final = -1

_ID: Final = b'"id":'
_OK: Final = b'"ok":true'
_ORDER_ID: Final = b'"order_id":'


class Message(NamedTuple):
    """What stands before the number, and behind it."""

    head: bytes
    tail: bytes

    def numbered(self, number: int) -> bytes:
        """The whole message."""
        return b"%b%d%b" % (self.head, number, self.tail)


class Listing(NamedTuple):
    """A symbol as the exchange's greeting lists it: units, and the least an order may be worth, all as text."""

    symbol: str
    tick: str
    lot: str
    min_notional: str


class Refusal(msgspec.Struct):
    """Why a request was refused."""

    code: int = 0
    error: str = ""


class Orders(NamedTuple):
    """The orders to send at one state of the market; sides alternate."""

    near: tuple[Message, ...]  # NEAR of them, to be sent in turn
    resting: tuple[Message, Message]


def login(api_key: str, secret: str, ts_ms: int, number: int) -> bytes:
    """A signed login."""
    sign = hmac.new(secret.encode(), f"login{ts_ms}{api_key}".encode(), hashlib.sha256).hexdigest()
    return msgspec.json.encode({"op": "login", "id": number, "key": api_key, "ts_ms": ts_ms, "sign": sign})


def place(symbol: str, side: str, price: str, size: str, time_in_force: str) -> Message:
    """A limit order that lacks its number."""
    order = f'"symbol":"{symbol}","side":"{side}","type":"limit","price":"{price}","size":"{size}"'
    return Message(b'{"op":"place","id":', f',{order},"tif":"{time_in_force}"}}'.encode())


def cancel(order_id: bytes) -> Message:
    """The cancel of an order, its id as it came, that lacks its number."""
    return Message(b'{"op":"cancel","id":', b',"order_id":' + order_id + b"}")


def orders_at(listing: Listing, bid: str, ask: str) -> Orders:
    """Orders for this best bid and ask.

    `near` ones are IOC, so that none stays: one in four meets the other side's best price, to trade if that is still
    there (a buy and a sell in turn, so that nobody's holdings drift), the others their own side's. `resting` ones
    (GTC) lie 2 % away. All have the least size that is worth twice the least notional: small enough
    that an account lasts for hours. ValueError when the texts are no decimals.
    """
    decimals, size_decimals = _decimals(listing.tick), _decimals(listing.lot)
    tick, lot = parse_decimal(listing.tick, decimals), parse_decimal(listing.lot, size_decimals)
    bid_units, ask_units = parse_decimal(bid, decimals), parse_decimal(ask, decimals)
    low = (bid_units - bid_units // AWAY) // tick * tick
    high = -((-ask_units - ask_units // AWAY) // tick) * tick
    least = parse_decimal(listing.min_notional, 8) * NOTIONAL_MARGIN
    # notional is price * size in units of 10^-(both decimals), the least one in units of 10^-8
    lots = -(-least * 10 ** (decimals + size_decimals) // (low * lot * 10**8))
    size = format_decimal(max(1, lots) * lot, size_decimals)
    symbol = listing.symbol
    takes = (place(symbol, "buy", ask, size, "ioc"), place(symbol, "sell", bid, size, "ioc"))
    misses = (place(symbol, "buy", bid, size, "ioc"), place(symbol, "sell", ask, size, "ioc"))
    return Orders(
        (takes[0], misses[1], misses[0], misses[1], misses[0], takes[1], misses[0], misses[1]),
        (
            place(symbol, "buy", format_decimal(low, decimals), size, "gtc"),
            place(symbol, "sell", format_decimal(high, decimals), size, "gtc"),
        ),
    )


def number_of(answer: bytes) -> int:
    """The number of the request this answers; NO_ID when it is no answer to one of ours."""
    at = answer.find(_ID)
    if at < 0:
        return NO_ID
    try:
        return int(answer[at + 5 : at + 5 + ID_DIGITS])
    except ValueError:
        return NO_ID


def is_done(answer: bytes) -> bool:
    """Whether the request was done, not refused."""
    return _OK in answer


def order_id_of(answer: bytes) -> bytes:
    """The order's id as it is written in the answer; empty when there is none."""
    at = answer.find(_ORDER_ID)
    if at < 0:
        return b""
    end = at + len(_ORDER_ID)
    start = end
    while end < len(answer) and answer[end] not in b",}":
        end += 1
    return answer[start:end]


def refusal_of(answer: bytes) -> Refusal:
    """Why it was refused; code 0 when the answer cannot be read."""
    try:
        return msgspec.json.decode(answer, type=Refusal)
    except msgspec.DecodeError:
        return Refusal(0, "an answer that cannot be read")


def described(refused: Mapping[int, int], sentences: Mapping[int, str]) -> str:
    """Refusals by code in words: "3 x 26 (not enough free balance)"."""
    return ", ".join(
        f"{count:,} x {code} ({sentences.get(code, 'no reason given')})"
        for code, count in sorted(refused.items(), key=lambda each: -each[1])
    )


def _decimals(unit: str) -> int:
    return len(unit.partition(".")[2])
