"""What a REST call meets on its way while faults are ordered."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

import msgspec
from aiohttp import web

from engine.exchange.dialects.bybit import MARKETS
from engine.exchange.faults import Faults

if TYPE_CHECKING:
    from engine.exchange.server import Budget, VenueServer

_JITTER: Final = frozenset({"jitter"})
_LOST: Final = frozenset({"unreachable", "broken"})
_LIMITS: Final = frozenset({"429", "418", "403"})
_SNAPSHOTS: Final = frozenset({"slow_snapshot", "old_snapshot"})
JITTER_S: Final = 0.2
SLOW_S: Final = 2.0


class RestFaults:
    """Applies faults to REST calls."""

    def __init__(self, faults: Faults, seed: int) -> None:
        self._faults = faults
        self._random = random.Random(seed)  # noqa: S311 - jitter, not a secret

    async def around(
        self,
        venue: VenueServer,
        budget: Budget,
        request: web.BaseRequest,
        path: str,
        arguments: Mapping[str, str],
        address: str,
    ) -> web.Response | None:
        """The answer, when a fault makes or delays it; None when the call goes on as usual.

        Jitter comes before the limits are counted, so calls pass one another as on a real network.
        """
        names = _symbol(budget, arguments)
        market = _market(budget, arguments)

        fault = self._faults.take(time.monotonic_ns(), _JITTER, budget.name, market, names)
        if fault is not None:
            await asyncio.sleep(self._random.uniform(0.0, fault.delay_s or JITTER_S))
        fault = self._faults.take(time.monotonic_ns(), _LOST, budget.name, market, names)
        if fault is not None and fault.kind == "unreachable":
            _abort(request)
            return web.Response(status=500)
        if fault is not None:
            return web.Response(status=503, text="Service Unavailable")
        now_ns = venue.wall_ns()
        fault = self._faults.take(time.monotonic_ns(), _LIMITS, budget.name, market, names)
        if fault is not None:
            if fault.kind == "429":
                verdict = budget.enforcement.refuse(now_ns, address, fault.retry_after_s)
            else:
                budget.enforcement.ban(now_ns, address, fault.ban_s, status=int(fault.kind))
                verdict = budget.enforcement.request(now_ns, address, f"{request.method} {path}", arguments)
            return venue.refused(budget, verdict, now_ns)
        if not budget.rest.is_snapshot(path):
            return None
        fault = self._faults.take(time.monotonic_ns(), _SNAPSHOTS, budget.name, market, names)
        if fault is None:
            return None
        answer = venue.answer(budget, request.method, path, arguments, address, now_ns)
        if fault.kind == "slow_snapshot":
            await asyncio.sleep(fault.delay_s or SLOW_S)
        elif isinstance(answer.body, bytes) and answer.status == 200:
            answer.body = _older(answer.body, fault.lag)
        return answer


def _older(body: bytes, lag: int) -> bytes:
    """A snapshot that says it is `lag` updates older."""
    whole = msgspec.json.decode(body)
    if "lastUpdateId" in whole:
        whole["lastUpdateId"] -= lag
    elif isinstance(whole.get("result"), dict) and "u" in whole["result"]:
        whole["result"]["u"] -= lag
        whole["result"]["seq"] -= lag
    return msgspec.json.encode(whole)


def _market(budget: Budget, arguments: Mapping[str, str]) -> str:
    if budget.name == "bybit":
        return MARKETS.get(arguments.get("category", ""), "")
    return budget.name


def _symbol(budget: Budget, arguments: Mapping[str, str]) -> tuple[str, ...]:
    native = arguments.get("symbol", "")
    for market in budget.markets.values():
        listing = market.listings.get(native)
        if listing is not None:
            return native, listing.instrument.symbol
    return ()


def _abort(request: web.BaseRequest) -> None:
    if request.transport is not None:
        request.transport.abort()
