"""Bybit v5's signatures, and how often a user may call each private endpoint. Pure: the time is an argument."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from typing import Final, NamedTuple

from engine.exchange.accounts import Accounts, Key, ReplayGuard, signed
from engine.exchange.dialects import bybit_trading_codes as codes
from engine.exchange.dialects.bybit_trading_codes import refusal
from engine.exchange.dialects.refusal import VenueRefusal
from engine.exchange.entry import RestCall
from engine.exchange.limit_windows import Counter, Window

MS: Final = 1_000_000
AHEAD_MS: Final = 1_000  # a client's clock may be so far ahead
USUAL_WINDOW_MS: Final = 5_000
LONGEST_WINDOW_MS: Final = 600_000
LONGEST_LOGIN_MS: Final = 60_000  # a login's `expires` may be so far away: ccxt takes 10 s, pybit 1 s
MAX_COUNTERS: Final = 10_000

# Calls a second of one user on a unified account, spot, from the venue's table. A batch counts each of its orders.
PER_SECOND: Final = {
    "/v5/order/create": 20,
    "/v5/order/amend": 20,
    "/v5/order/cancel": 20,
    "/v5/order/cancel-all": 20,
    "/v5/order/create-batch": 20,
    "/v5/order/amend-batch": 20,
    "/v5/order/cancel-batch": 20,
    "/v5/order/realtime": 50,
    "/v5/order/history": 50,
    "/v5/execution/list": 50,
    "/v5/position/list": 50,
    "/v5/account/wallet-balance": 50,
    "/v5/account/info": 50,
    "/v5/account/fee-rate": 5,
    "/v5/user/query-api": 10,
    "/v5/asset/coin/query-info": 5,
    "/v5/asset/transfer/query-account-coins-balance": 5,
}


class Allowance(NamedTuple):
    """How many of the calls asked for may be made, and what the headers say of it."""

    admitted: int
    limit: int
    left: int
    resets_ms: int

    @property
    def headers(self) -> dict[str, str]:
        """`X-Bapi-Limit` and its companions."""
        return {
            "X-Bapi-Limit": str(self.limit),
            "X-Bapi-Limit-Status": str(self.left),
            "X-Bapi-Limit-Reset-Timestamp": str(self.resets_ms),
        }


class UserLimits:
    """Calls of each user to each endpoint in any second. Refused ones do not count; the oldest user is forgotten."""

    def __init__(self, per_second: Mapping[str, int] = PER_SECOND) -> None:
        self._windows = {
            path: Window("ENDPOINT", 1, limit, sliding=True) for path, limit in per_second.items() if limit
        }
        self._counters: OrderedDict[tuple[int, str], Counter] = OrderedDict()

    def take(self, account: int, path: str, calls: int, now_ns: int) -> Allowance | None:
        """Count what fits of `calls`. None for a path without a limit."""
        window = self._windows.get(path)
        if window is None:
            return None
        counter = self._counters.get((account, path))
        if counter is None:
            if len(self._counters) >= MAX_COUNTERS:
                self._counters.popitem(last=False)
            counter = self._counters[account, path] = Counter(window)
        admitted = min(calls, max(window.limit - counter.used(now_ns), 0))
        used = counter.add(now_ns, admitted) if admitted else counter.used(now_ns)
        resets_ns = counter.frees_ns(now_ns) if admitted < calls else now_ns
        return Allowance(admitted, window.limit, window.limit - used, -(-resets_ns // MS))


def signer(accounts: Accounts, guard: ReplayGuard, call: RestCall) -> Key:
    """Whose call this is. VenueRefusal for a bad key, time or signature, and one used before where that matters."""
    api_key, sign = call.headers.get("X-BAPI-API-KEY", ""), call.headers.get("X-BAPI-SIGN", "")
    stamp = call.headers.get("X-BAPI-TIMESTAMP", "")
    window = call.headers.get("X-BAPI-RECV-WINDOW", "")
    if not (api_key and sign and stamp):
        raise VenueRefusal(
            401, codes.BAD_PARAMETER, f"empty value: apiTimestamp[{'*' * bool(stamp)}] "
            f"apiKey[{'*' * bool(api_key)}] apiSignature[{'*' * bool(sign)}]"
        )  # fmt: skip
    key = accounts.find(api_key)
    if key is None:
        raise refusal(codes.BAD_KEY)
    opened_ns = guard.opened_ns if call.method != "GET" else 0
    until_ms = timely(stamp, window, call.now_ns, opened_ns)
    payload = call.query.encode(errors="surrogateescape") if call.method == "GET" else call.body
    if not (sign.isascii() and signed(key.secret, f"{stamp}{api_key}{window}".encode() + payload, sign)):
        raise refusal(codes.BAD_SIGNATURE)
    if call.method != "GET":
        if not guard.admit(api_key, sign.lower(), call.now_ns, until_ms * MS):
            raise refusal(codes.REPLAYED)
        if not key.trade:
            raise refusal(codes.NO_PERMISSION)
    return key


def timely(stamp: object, window: object, now_ns: int, opened_ns: int = 0) -> int:
    """Until when (Unix ms) a request of this time is good. VenueRefusal when it is not within its window, or was made
    before `opened_ns`.
    """
    stamp_ms, window_ms = _milliseconds(stamp), _milliseconds(window or USUAL_WINDOW_MS)
    if stamp_ms is None or window_ms is None:
        raise VenueRefusal(200, codes.BAD_PARAMETER, "params error: timestamp or recv_window invalid")
    now_ms = now_ns // MS
    until_ms = stamp_ms + min(window_ms, LONGEST_WINDOW_MS)
    if not (now_ms <= until_ms and opened_ns // MS <= stamp_ms < now_ms + AHEAD_MS):
        raise VenueRefusal(
            200, codes.BAD_TIME, "invalid request, please check your server timestamp or recv_window param. "
            f"req_timestamp[{stamp_ms}],server_timestamp[{now_ms}],recv_window[{window_ms}]"
        )  # fmt: skip
    return until_ms


def login(accounts: Accounts, guard: ReplayGuard, arguments: object, now_ns: int) -> Key:
    """Who logs in with [key, expires, signature of "GET/realtime" + expires]. VenueRefusal otherwise."""
    if not isinstance(arguments, list) or len(arguments) != 3:
        raise VenueRefusal(200, codes.BAD_PARAMETER, "Params Error")
    api_key, expires, sign = arguments
    expires_ms = _milliseconds(expires)
    if not isinstance(api_key, str) or not isinstance(sign, str) or expires_ms is None:
        raise VenueRefusal(200, codes.BAD_PARAMETER, "Params Error")
    key = accounts.find(api_key)
    if key is None:
        raise refusal(codes.BAD_KEY)
    if not now_ns // MS < expires_ms <= now_ns // MS + LONGEST_LOGIN_MS + AHEAD_MS:
        raise refusal(codes.BAD_TIME)
    if not (sign.isascii() and signed(key.secret, f"GET/realtime{expires}".encode(), sign)):
        raise refusal(codes.BAD_SIGNATURE)
    if not guard.admit(api_key, sign.lower(), now_ns, expires_ms * MS):
        raise refusal(codes.REPLAYED)
    return key


def _milliseconds(value: object) -> int | None:
    """A whole number, as such or as text."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return value if 0 <= value < 10**15 else None
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= 15:
        return int(value)
    return None
