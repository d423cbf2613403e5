"""What a trading call was given, read as the venue reads it. VenueRefusal names the parameter that is wrong."""

from __future__ import annotations

import re
from collections.abc import Container, Iterable, Mapping
from typing import Any, Final
from urllib.parse import unquote_plus

import msgspec

from engine.exchange.dialects.binance_trading_errors import illegal, missing, not_valid, refuse

MAX_ARGUMENTS: Final = 64
MAX_LONG: Final = (1 << 63) - 1
COMMON: Final = frozenset({"timestamp", "recvWindow", "signature", "apiKey", "returnRateLimits"})

_LONG: Final = "^[0-9]{1,20}$"
_DECIMAL: Final = "^([0-9]{1,20})(\\.[0-9]{1,20})?$"
_ID: Final = "^[\\.A-Z\\:/a-z0-9_-]{1,36}$"
_SYMBOL: Final = "^[A-Z0-9-_.]{1,20}$"
_PATTERNS: Final = {each: re.compile(each) for each in (_LONG, _DECIMAL, _ID, _SYMBOL)}


class Arguments:
    """Named texts. An empty one counts as not sent where it must be there, else as an error."""

    __slots__ = ("values",)

    def __init__(self, values: Mapping[str, str]) -> None:
        self.values: Final = values

    def only(self, names: Container[str]) -> None:
        """Refuse anything that is not among `names` or common to all calls."""
        read = sum(name in names or name in COMMON for name in self.values)
        if read != len(self.values):
            raise refuse(
                -1104,
                f"Not all sent parameters were read; read '{read}' parameter(s) but was sent '{len(self.values)}'.",
            )

    def has(self, name: str) -> bool:
        """Whether it was sent, empty or not."""
        return name in self.values

    def text(self, name: str) -> str | None:
        """As it was sent; None when it was not."""
        value = self.values.get(name)
        if value == "":
            raise refuse(-1105, f"Parameter '{name}' was empty.")
        return value

    def needed(self, name: str) -> str:
        """As it was sent."""
        value = self.values.get(name)
        if not value:
            raise missing(name)
        return value

    def whole(self, name: str) -> int | None:
        """A number without sign, fraction or exponent."""
        value = self._matching(name, _LONG)
        if value is None:
            return None
        number = int(value)
        if number > MAX_LONG:
            raise refuse(-1108, f"Parameter '{name}' overflowed.")
        return number

    def decimal(self, name: str) -> str | None:
        """Decimal text with at most 8 places behind the point that are not zero."""
        value = self._matching(name, _DECIMAL)
        if value is not None and len(value.partition(".")[2].rstrip("0")) > 8:
            raise refuse(-1111, f"Parameter '{name}' has too much precision.")
        return value

    def identity(self, name: str) -> str | None:
        """A client's own id."""
        return self._matching(name, _ID)

    def symbol(self) -> str:
        """The symbol, which may not exist."""
        self.needed("symbol")
        return self._matching("symbol", _SYMBOL) or ""

    def choice(self, name: str, choices: Iterable[str]) -> str | None:
        """One of `choices`."""
        value = self.values.get(name)
        if value is None:
            return None
        if value not in choices:
            self.text(name)
            raise not_valid(name)
        return value

    def flag(self, name: str) -> bool:
        """ "true" or "false"; False when it was not sent."""
        return self.choice(name, ("true", "false", "TRUE", "FALSE")) in ("true", "TRUE")

    def limit(self, usual: int, most: int) -> int:
        """`limit`, at most `most`."""
        limit = self.whole("limit")
        if limit == 0:
            raise not_valid("limit")
        return usual if limit is None else min(limit, most)

    def _matching(self, name: str, pattern: str) -> str | None:
        value = self.values.get(name)
        if value is None:
            return None
        if not (value.isascii() and _PATTERNS[pattern].fullmatch(value)):
            self.text(name)  # an empty one has words of its own
            raise illegal(name, pattern)
        return value


def parse(query: str, body: str) -> tuple[Arguments, str, str]:
    """(arguments, signature, what was signed) of a REST call: its query and form body as they were sent.

    A parameter in both counts as in the query. VenueRefusal when one is there twice, or there are too many.
    """
    values: dict[str, str] = {}
    signature, signed = "", []
    for part in (query, body):
        own: dict[str, str] = {}
        kept = []
        pieces = part.split("&") if part else []
        if len(pieces) > MAX_ARGUMENTS:
            raise refuse(
                -1101, f"Too many parameters; expected '{MAX_ARGUMENTS}' and received '{len(pieces)}'."
            )
        for piece in pieces:
            name, _, value = piece.partition("=")
            if "%" in piece or "+" in piece:
                name, value = unquote_plus(name), unquote_plus(value)
            if name in own:
                raise refuse(-1101, "Duplicate values for a parameter detected.")
            own[name] = value
            if name == "signature":
                signature = signature or value
            else:
                kept.append(piece)
        signed.append("&".join(kept))
        values = own | values
    return Arguments(values), signature, "".join(signed)


def from_json(params: Mapping[str, Any]) -> Arguments:
    """Arguments of a WebSocket request: numbers and flags as the text a query would have."""
    if len(params) > MAX_ARGUMENTS:
        raise refuse(-1101, f"Too many parameters; expected '{MAX_ARGUMENTS}' and received '{len(params)}'.")
    return Arguments(
        {
            name: value if isinstance(value, str) else _text(value)
            for name, value in params.items()
            if value is not None
        }
    )


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return msgspec.json.encode(value).decode()
