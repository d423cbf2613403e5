"""Who calls, and whether a call is really theirs: keys, signatures and the time they were made."""

from __future__ import annotations

import re
from typing import Final

from engine.exchange.accounts import Accounts, Key, ReplayGuard, signed
from engine.exchange.dialects.binance_trading_arguments import Arguments
from engine.exchange.dialects.binance_trading_errors import illegal, missing, refuse

MS: Final = 1_000_000
USUAL_WINDOW_MS: Final = 5_000
MOST_WINDOW_MS: Final = 60_000
AHEAD_MS: Final = 1_000
MICROSECONDS_FROM: Final = 10**14  # timestamps as great as this are in microseconds
_KEY: Final = re.compile(r"[A-Za-z0-9_-]{1,128}")
_WINDOW: Final = re.compile(r"[0-9]{1,9}(\.[0-9]{1,3})?")
_USED: Final = "it was used before, or too many of this key are remembered"
_REJECTED: Final = (-2015, "Invalid API-key, IP, or permissions for action.")


class Access:
    """Checks calls against the accounts' keys, and remembers the signatures of those that change something."""

    def __init__(self, accounts: Accounts, guard: ReplayGuard) -> None:
        self._accounts = accounts
        self._guard = guard

    def key(self, api_key: str | None) -> Key:
        """The key of this name. VenueRefusal when it is malformed or there is none."""
        if not api_key or not _KEY.fullmatch(api_key):
            raise refuse(-2014, "API-key format invalid.")
        found = self._accounts.find(api_key)
        if found is None:
            raise refuse(*_REJECTED)
        return found

    def find(self, api_key: str) -> Key | None:
        """The key, whatever the name looks like."""
        return self._accounts.find(api_key)

    def check(
        self,
        key: Key,
        arguments: Arguments,
        signature: str,
        payload: str,
        now_ns: int,
        *,
        trade: bool,
        once: bool,
    ) -> None:
        """VenueRefusal unless `payload` was signed with the key's secret, lately, by one who may.

        `trade`: the key must be allowed to; `once`: the signature must not have been used before.
        """
        if not signature:
            raise missing("signature")
        stamp = arguments.whole("timestamp")
        if stamp is None:
            raise missing("timestamp")
        window_ms = self._window_ms(arguments)
        if not (signature.isascii() and signed(key.secret, payload.encode(errors="replace"), signature)):
            raise refuse(-1022, "Signature for this request is not valid.")
        made_ns = stamp * (1_000 if stamp >= MICROSECONDS_FROM else MS)
        if made_ns >= now_ns + AHEAD_MS * MS:
            raise refuse(-1021, "Timestamp for this request was 1000ms ahead of the server's time.")
        until_ns = made_ns + int(window_ms * MS)
        if until_ns < now_ns or (once and made_ns < self._guard.opened_ns):
            raise refuse(-1021, "Timestamp for this request is outside of the recvWindow.")
        if trade and not key.trade:
            raise refuse(*_REJECTED)
        if once and not self._guard.admit(key.api_key, signature.lower(), now_ns, until_ns):
            # The venue would take it twice, and two orders of the same millisecond look alike.
            raise refuse(-1022, f"Signature for this request is not valid: {_USED}.")

    def _window_ms(self, arguments: Arguments) -> float:
        text = arguments.text("recvWindow")
        if text is None:
            return USUAL_WINDOW_MS
        if not (text.isascii() and _WINDOW.fullmatch(text)):
            raise illegal("recvWindow", "^[0-9]{1,9}(\\.[0-9]{1,3})?$")
        window_ms = float(text)
        if window_ms > MOST_WINDOW_MS:
            raise refuse(-1131, f"recvWindow must be less than {MOST_WINDOW_MS}.")
        return window_ms
