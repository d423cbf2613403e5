"""What Binance says when it refuses a trading call: codes, sentences and HTTP statuses."""

from __future__ import annotations

from typing import Any, Final, Literal

from engine.exchange import trading
from engine.exchange.dialects.refusal import VenueRefusal
from engine.exchange.trading import sentence
from engine.matching import orders as reasons

Verb = Literal["place", "cancel", "amend"]

_FILTER: Final = "Filter failure: "
_DEAD: Final = "Unknown order sent."
_NO_MONEY: Final = (-2010, "Account has insufficient balance for requested action.")
# Of orders that do not come to be. What a cancel or an amend says instead stands below.
_PLACING: Final[dict[int, tuple[int, str]]] = {
    reasons.BAD_KIND: (-1116, "Invalid orderType."),
    reasons.UNKNOWN_SYMBOL: (-1121, "Invalid symbol."),
    reasons.UNKNOWN_ACCOUNT: (-2015, "Invalid API-key, IP, or permissions for action."),
    reasons.BAD_ID: (-1130, "Data sent for parameter 'orderId' is not valid."),
    reasons.BAD_SIDE: (-1117, "Invalid side."),
    reasons.BAD_TIME_IN_FORCE: (-1115, "Invalid timeInForce."),
    reasons.BAD_SELF_TRADE: (-1130, "Data sent for parameter 'selfTradePreventionMode' is not valid."),
    reasons.BAD_FLAGS: (-1014, "Unsupported order combination."),
    reasons.BAD_LOTS: (-1013, _FILTER + "LOT_SIZE"),
    reasons.OFF_LOT: (-1013, _FILTER + "LOT_SIZE"),
    reasons.BAD_PRICE: (-1013, _FILTER + "PRICE_FILTER"),
    reasons.OFF_TICK: (-1013, _FILTER + "PRICE_FILTER"),
    reasons.BAD_DISPLAY: (-1013, _FILTER + "ICEBERG_PARTS"),
    reasons.BAD_TRIGGER: (-1013, _FILTER + "PRICE_FILTER"),
    reasons.BAD_EXPIRY: (-1115, "Invalid timeInForce."),
    reasons.NOTIONAL_TOO_LARGE: (-1013, _FILTER + "NOTIONAL"),
    reasons.NOTIONAL_TOO_SMALL: (-1013, _FILTER + "NOTIONAL"),
    reasons.WRONG_PHASE: (-2010, "Market is closed."),
    reasons.OUTSIDE_BAND: (-1013, _FILTER + "PERCENT_PRICE_BY_SIDE"),
    reasons.DUPLICATE_ID: (-2010, "Duplicate order sent."),
    reasons.BAD_LINK: (-1014, "Unsupported order combination."),
    reasons.WOULD_TRIGGER: (-2010, "Order would trigger immediately."),
    reasons.WOULD_TAKE: (-2010, "Order would immediately match and take."),
    reasons.TOO_MANY_ORDERS: (-1013, _FILTER + "MAX_NUM_ORDERS"),
    reasons.POSITION_LIMIT: (-1013, _FILTER + "MAX_POSITION"),
    reasons.INSUFFICIENT_FUNDS: _NO_MONEY,
    reasons.OUT_OF_FUNDS: _NO_MONEY,
    reasons.BOOK_FULL: (-1013, _FILTER + "EXCHANGE_MAX_NUM_ORDERS"),
    reasons.UNKNOWN_ID: (-2011, _DEAD),
    reasons.NOT_OWNER: (-2011, _DEAD),
    reasons.NOT_RESTING: (-2011, _DEAD),
    reasons.BAD_PARAMETER: (-1130, "Invalid data sent for a parameter."),
    reasons.BAD_VALUE: (-1130, "Invalid data sent for a parameter."),
    reasons.UNKNOWN_ASSET: (-1130, "Data sent for parameter 'asset' is not valid."),
    trading.TOO_MANY_WAITING: (-1003, "Too many requests queued."),
    trading.NOT_SERVED: (-1016, "This service is no longer available."),
    trading.NO_PRICE: (-2010, "Order book liquidity is less than symbol minimum quantity."),
}
_AMENDING: Final[dict[int, tuple[int, str]]] = {
    reasons.UNKNOWN_ID: (-2038, _DEAD),
    reasons.NOT_OWNER: (-2038, _DEAD),
    reasons.NOT_RESTING: (-2038, "The requested action would change no state; rejecting."),
    reasons.BAD_LOTS: (-2038, "Order amend (quantity increase) is not supported."),
    reasons.WRONG_PHASE: (-2038, "Market is closed."),
}
_STATUSES: Final = {-1003: 429, -1016: 503, -2014: 401, -2015: 401, -2021: 409}


class Nested(VenueRefusal):
    """A refusal that says more than a sentence: cancelReplace tells what became of either half."""

    def __init__(self, status: int, code: int, message: str, data: Any) -> None:
        super().__init__(status, code, message)
        self.data = data


def refuse(code: int, message: str) -> VenueRefusal:
    """The refusal with the HTTP status that goes with its code."""
    return VenueRefusal(_STATUSES.get(code, 400), code, message)


def refused_by_engine(reason: int, verb: Verb = "place") -> VenueRefusal:
    """What the venue says where the engine or the desk has this reason."""
    found = _AMENDING.get(reason) if verb == "amend" else None
    found = found or _PLACING.get(reason)
    if found is None:  # why orders end: nothing that a venue has a sentence for
        found = (
            -2011 if verb == "cancel" else -2010,
            f"{sentence(reason)[:1].upper()}{sentence(reason)[1:]}.",
        )
    return refuse(*found)


def missing(name: str) -> VenueRefusal:
    """A parameter that must be there is not."""
    return refuse(-1102, f"Mandatory parameter '{name}' was not sent, was empty/null, or malformed.")


def either(first: str, second: str) -> VenueRefusal:
    """One of two must be there."""
    return refuse(-1102, f"Param '{first}' or '{second}' must be sent, but both were empty/null!")


def illegal(name: str, pattern: str) -> VenueRefusal:
    """A parameter has characters that it may not have."""
    return refuse(-1100, f"Illegal characters found in parameter '{name}'; legal range is '{pattern}'.")


def not_valid(name: str) -> VenueRefusal:
    """A parameter is none of the values it may have."""
    return refuse(-1130, f"Data sent for parameter '{name}' is not valid.")


def not_required(name: str) -> VenueRefusal:
    """A parameter that this order type has no use for."""
    return refuse(-1106, f"Parameter '{name}' sent when not required.")


def failed_filter(name: str) -> VenueRefusal:
    """One of the filters of exchangeInfo."""
    return refuse(-1013, _FILTER + name)


def body_of(refusal: VenueRefusal) -> dict[str, Any]:
    """The refusal as JSON: `code`, `msg`, and `data` where there is more to say."""
    body: dict[str, Any] = {"code": refusal.code, "msg": refusal.message}
    if isinstance(refusal, Nested):
        body["data"] = refusal.data
    return body
