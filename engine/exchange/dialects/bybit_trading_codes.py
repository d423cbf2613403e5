"""Bybit v5's private refusals: its codes and sentences, and which of them each reason of the engine and the desk is.

From the venue's page of error codes: the spot table (17xxxx), and the general one (10xxx, 110xxx) where that has none.
"""

from __future__ import annotations

from typing import Final

from engine.exchange.dialects.refusal import VenueRefusal
from engine.exchange.trading import NO_PRICE, NOT_SERVED, ON_COMMAND, TOO_MANY_WAITING, Status
from engine.matching import orders as reasons

BAD_PARAMETER: Final = 10001
BAD_TIME: Final = 10002
BAD_KEY: Final = 10003
BAD_SIGNATURE: Final = 10004
NO_PERMISSION: Final = 10005
TOO_MANY_VISITS: Final = 10006
NOT_LOGGED_IN: Final = 10007
REPLAYED: Final = 10014
SERVER_ERROR: Final = 10016
NO_ROUTE: Final = 10017
BAD_OPERATION: Final = 10404  # on the trade socket, also for a category it does not take
REPEATED_LOGIN: Final = 20001
REPEATED_REQUEST: Final = 20006
NO_MARGIN: Final = 170036
EMPTY: Final = 170105
BAD_TIME_IN_FORCE: Final = 170115
BAD_ORDER_TYPE: Final = 170116
BAD_SIDE: Final = 170117
BAD_SYMBOL: Final = 170121
AMOUNT_TOO_LARGE: Final = 170124
NOT_VALID: Final = 170130
NO_FUNDS: Final = 170131
PRICE_TOO_HIGH: Final = 170132
PRICE_TOO_LOW: Final = 170133
PRICE_TOO_FINE: Final = 170134
TOO_LARGE: Final = 170135
TOO_SMALL: Final = 170136
TOO_FINE: Final = 170137
VALUE_TOO_SMALL: Final = 170140
DUPLICATE: Final = 170141
CANCELED: Final = 170142
AMOUNT_TOO_FINE: Final = 170148
NOT_OPEN: Final = 170151
BAD_FILTER: Final = 170201
NO_TRIGGER: Final = 170202
REJECTED: Final = 170210
NO_ORDER: Final = 170213
WOULD_TAKE: Final = 170218
NO_COIN: Final = 170221
NOT_SUPPORTED: Final = 170227
NO_AMENDING: Final = 170312
BELOW_FILLED: Final = 170313
TOO_MANY_ORDERS: Final = 170810
OUTSIDE_RANGE: Final = 110003
BAD_USER: Final = 110018
BAD_ID: Final = 110019
POSITION_LIMIT: Final = 110021
NOT_RISING: Final = 110092
NOT_FALLING: Final = 110093
BAD_SLIPPAGE_TICKS: Final = 110108
BAD_SLIPPAGE_PERCENT: Final = 110109

SENTENCES: Final = {
    BAD_PARAMETER: "Request parameter error.",
    BAD_TIME: "The request time exceeds the time window range.",
    BAD_KEY: "API key is invalid.",
    BAD_SIGNATURE: "Error sign, please check your signature generation algorithm.",
    NO_PERMISSION: "Permission denied, please check your API key permissions.",
    TOO_MANY_VISITS: "Too many visits. Exceeded the API Rate Limit.",
    NOT_LOGGED_IN: "User authentication failed.",
    REPLAYED: "Invalid duplicate request.",
    SERVER_ERROR: "Server error.",
    NO_ROUTE: "Route not found.",
    BAD_OPERATION: "op type is not found, or category is not supported",
    REPEATED_LOGIN: "Repeat auth",
    REPEATED_REQUEST: "reqId is duplicated",
    NO_MARGIN: "You haven't enabled Cross Margin Trading yet.",
    EMPTY: "Parameter '{}' was empty.",
    BAD_TIME_IN_FORCE: "Invalid timeInForce.",
    BAD_ORDER_TYPE: "Invalid orderType.",
    BAD_SIDE: "Invalid side.",
    BAD_SYMBOL: "Invalid symbol.",
    AMOUNT_TOO_LARGE: "Order amount too large.",
    NOT_VALID: "Data sent for paramter '{}' is not valid.",  # the venue's spelling
    NO_FUNDS: "Insufficient balance.",
    PRICE_TOO_HIGH: "Order price too high.",
    PRICE_TOO_LOW: "Order price lower than the minimum.",
    PRICE_TOO_FINE: "Order price decimal too long.",
    TOO_LARGE: "Order quantity too large.",
    TOO_SMALL: "Order quantity lower than the minimum.",
    TOO_FINE: "Order volume decimal too long.",
    VALUE_TOO_SMALL: "Order value exceeded lower limit.",
    DUPLICATE: "Duplicate clientOrderId.",
    CANCELED: "Order has been canceled.",
    AMOUNT_TOO_FINE: "Market order amount decimal too long.",
    NOT_OPEN: "The trading pair is not open yet.",
    BAD_FILTER: "Invalid orderFilter parameter.",
    NO_TRIGGER: "Please enter the TP/SL price.",
    REJECTED: "New order rejected.",
    NO_ORDER: "Order does not exist.",
    WOULD_TAKE: "The LIMIT-MAKER order is rejected due to invalid price.",
    NO_COIN: "This coin does not exist.",
    NOT_SUPPORTED: "This feature is not supported.",
    NO_AMENDING: "The current order does not support modification.",
    BELOW_FILLED: "The modified contract quantity cannot be less than to the filled quantity.",
    TOO_MANY_ORDERS: "Cannot exceed maximum of 200 conditional, TP/SL and active orders.",
    OUTSIDE_RANGE: "Order price exceeds the allowable range.",
    BAD_USER: "User ID is illegal.",
    BAD_ID: "Order ID is illegal.",
    POSITION_LIMIT: "Not allowed to exceeded position limits due to Open Interest.",
    NOT_RISING: "expect Rising, but trigger_price[{}] <= current[{}]??LastPrice",
    NOT_FALLING: "expect Falling, but trigger_price[{}] >= current[{}]??LastPrice",
    BAD_SLIPPAGE_TICKS: "Allowable range: 5 to 2000 tick size",
    BAD_SLIPPAGE_PERCENT: "Allowable range: 0.05% to 1%",
}
_STATUSES: Final = {NO_ROUTE: 404}  # everything else comes with 200

# Each reason to refuse. What ends an order that was accepted has a code too, should it ever come back for a request.
CODES: Final = {
    reasons.BAD_KIND: BAD_ORDER_TYPE,
    reasons.UNKNOWN_SYMBOL: BAD_SYMBOL,
    reasons.UNKNOWN_ACCOUNT: BAD_USER,
    reasons.BAD_ID: BAD_ID,
    reasons.BAD_SIDE: BAD_SIDE,
    reasons.BAD_TIME_IN_FORCE: BAD_TIME_IN_FORCE,
    reasons.BAD_SELF_TRADE: BAD_PARAMETER,
    reasons.BAD_FLAGS: BAD_TIME_IN_FORCE,  # post-only where it cannot be
    reasons.BAD_LOTS: TOO_LARGE,
    reasons.OFF_LOT: TOO_FINE,
    reasons.BAD_PRICE: PRICE_TOO_HIGH,
    reasons.OFF_TICK: PRICE_TOO_FINE,
    reasons.BAD_DISPLAY: BAD_PARAMETER,
    reasons.BAD_TRIGGER: NO_TRIGGER,
    reasons.BAD_EXPIRY: BAD_PARAMETER,
    reasons.NOTIONAL_TOO_LARGE: AMOUNT_TOO_LARGE,
    reasons.WRONG_PHASE: NOT_OPEN,
    reasons.OUTSIDE_BAND: OUTSIDE_RANGE,
    reasons.NOTIONAL_TOO_SMALL: VALUE_TOO_SMALL,
    reasons.DUPLICATE_ID: DUPLICATE,
    reasons.BAD_LINK: BAD_PARAMETER,
    reasons.WOULD_TRIGGER: NO_TRIGGER,  # with both prices known NOT_RISING or NOT_FALLING is told instead
    reasons.WOULD_TAKE: WOULD_TAKE,
    reasons.TOO_MANY_ORDERS: TOO_MANY_ORDERS,
    reasons.POSITION_LIMIT: POSITION_LIMIT,
    reasons.INSUFFICIENT_FUNDS: NO_FUNDS,
    reasons.BOOK_FULL: REJECTED,
    reasons.UNKNOWN_ID: NO_ORDER,
    reasons.NOT_OWNER: NO_ORDER,
    reasons.NOT_RESTING: NO_AMENDING,
    reasons.BAD_PARAMETER: BAD_PARAMETER,
    reasons.BAD_VALUE: BAD_PARAMETER,
    reasons.UNKNOWN_ASSET: NO_COIN,
    reasons.BY_CANCEL_ALL: CANCELED,
    reasons.IOC_REMAINDER: CANCELED,
    reasons.FOK_UNFILLED: CANCELED,
    reasons.SELF_TRADE: CANCELED,
    reasons.EXPIRED: CANCELED,
    reasons.PARTNER: CANCELED,
    reasons.OUT_OF_FUNDS: NO_FUNDS,
    TOO_MANY_WAITING: SERVER_ERROR,
    ON_COMMAND: REJECTED,
    NOT_SERVED: SERVER_ERROR,
    NO_PRICE: REJECTED,
}

# Why an order ended: the venue's (cancelType, rejectReason).
_NOTHING_TO_TELL: Final = ("UNKNOWN", "EC_NoError")
_ENDS: Final = {
    reasons.NO_REASON: ("CancelByUser", "EC_PerCancelRequest"),
    reasons.BY_CANCEL_ALL: ("CancelByUser", "EC_PerCancelRequest"),
    reasons.IOC_REMAINDER: ("UNKNOWN", "EC_NoImmediateQtyToFill"),
    reasons.FOK_UNFILLED: ("UNKNOWN", "EC_NoEnoughQtyToFill"),
    reasons.SELF_TRADE: ("CancelBySmp", "EC_BySelfMatch"),
    reasons.EXPIRED: ("CancelByAdmin", "EC_Others"),
    reasons.PARTNER: ("UNKNOWN", "EC_Others"),
    reasons.OUT_OF_FUNDS: ("UNKNOWN", "EC_CancelForNoFullFill"),
    reasons.WOULD_TAKE: ("UNKNOWN", "EC_PostOnlyWillTakeLiquidity"),
}
_OPEN: Final = {
    "pending": "New",
    "armed": "Untriggered",
    "new": "New",
    "partially_filled": "PartiallyFilled",
    "filled": "Filled",
    "rejected": "Rejected",
}
STATUSES: Final = frozenset(
    {*_OPEN.values(), "PartiallyFilledCanceled", "Cancelled", "Deactivated", "Triggered"}
)


def refusal(code: int, *facts: str) -> VenueRefusal:
    """The venue's refusal with this code; `facts` fill the gaps of its sentence."""
    return VenueRefusal(_STATUSES.get(code, 200), code, SENTENCES[code].format(*facts))


def bad_parameter(text: str) -> VenueRefusal:
    """10001 with a sentence of its own."""
    return VenueRefusal(200, BAD_PARAMETER, text)


def refusal_for(reason: int) -> VenueRefusal:
    """The refusal for a reason of the engine or the desk."""
    return refusal(CODES.get(reason, REJECTED))


def ended_because(status: Status, reason: int) -> tuple[str, str]:
    """(cancelType, rejectReason) of an order."""
    if status not in ("canceled", "expired", "rejected"):
        return _NOTHING_TO_TELL
    return _ENDS.get(reason, ("UNKNOWN", "EC_Others"))


def status_text(status: Status, filled_lots: int, *, waited: bool) -> str:
    """The venue's orderStatus. `waited`: it ended while it waited for its trigger."""
    known = _OPEN.get(status)
    if known is not None:
        return known
    if filled_lots:
        return "PartiallyFilledCanceled"
    return "Deactivated" if waited else "Cancelled"
