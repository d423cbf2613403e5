"""What the built-in exchange enforces, from the limits file that clients' limiters read: who edits it changes both.

Of a window counts what it allows, in how long, and whether of an address, an account, orders or connects; the shares,
reserves and guards in the file are the limiter's own. What a venue does to those who pass a limit is in `venue_rules`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from engine.errors import BadLimits
from engine.exchange import limit_windows, venue_rules
from engine.exchange.limit_windows import NO_ARGUMENTS, SECOND_NS, Kind, Weigher, Window
from engine.limits import rules as file

NOTHING: Final = file.Cost(fixed=0)
# On the built-in exchange there is only spot: calls count as spot's where they do not say, as in a body not read here.
SPOT: Final[Mapping[str, str]] = {"category": "spot"}


def rules_from(
    limits: file.Rules,
    budget: str,
    *,
    assumed: Mapping[str, str] = NO_ARGUMENTS,
    accounts: bool = True,
) -> limit_windows.Rules:
    """The rules of a budget. BadLimits when the file lacks it.

    `assumed` are arguments of calls that do not give them. Without `accounts` an account's calls are not counted: a
    dialect that counts them on all its ways in does it by `per_second`.
    """
    venue = _venue(limits, budget)
    windows = tuple(
        _window(venue, window, assumed) for window in venue.windows if accounts or window.scope != "account"
    )
    weights = [each.weigh for each in windows if each.kind == "REQUEST_WEIGHT"]
    usual = venue_rules.RULES[budget]
    return replace(
        usual, windows=windows, weigh=weights[0] if weights and weights[0] else venue_rules.weigh_bybit
    )


def per_second(
    limits: file.Rules, budget: str = "bybit", *, assumed: Mapping[str, str] = SPOT
) -> dict[str, int]:
    """How many calls a second each path allows an account: the least of its windows, at least 1."""
    venue = _venue(limits, budget)
    found: dict[str, int] = {}
    for window in venue.windows:
        if window.scope != "account":
            continue
        for endpoint in venue.endpoints:
            cost = _cost(venue, endpoint, window.unit).of(assumed)
            if cost:
                path = endpoint.partition(" ")[2]
                allowed = max(1, window.limit * SECOND_NS // window.window_ns // cost)
                found[path] = min(allowed, found.get(path, allowed))
    return found


def _venue(limits: file.Rules, budget: str) -> file.VenueRules:
    venue = limits.venues.get(budget)
    if venue is None:
        raise BadLimits(limits.path, budget, "it is missing: the built-in exchange enforces it")
    return venue


def _window(venue: file.VenueRules, window: file.WindowRule, assumed: Mapping[str, str]) -> Window:
    """One window as the exchange counts it."""
    kind = _kind(venue, window)
    counted = frozenset(endpoint for endpoint in venue.endpoints if _cost(venue, endpoint, window.unit).most)
    return Window(
        kind,
        window.window_ns / SECOND_NS,
        window.limit,
        sliding=window.server == "sliding",
        endpoints=counted if kind == "ENDPOINT" else frozenset(),
        by_account=window.scope == "account",
        weigh=None if kind == "ORDERS" else _weigher(venue, window.unit, assumed),
        name=window.label if kind == "ENDPOINT" else "",
    )


def _kind(venue: file.VenueRules, window: file.WindowRule) -> Kind:
    if window.scope == "connect":
        return "CONNECTIONS"
    if window.scope == "order":
        return "ORDERS"
    if window.scope == "account":
        return "ENDPOINT"
    if window.type == "REQUEST_WEIGHT":
        return "REQUEST_WEIGHT"
    # What calls cost that are not listed is counted of all calls.
    return "RAW_REQUESTS" if dict(venue.default).get(window.unit, NOTHING).most else "ENDPOINT"


def _weigher(venue: file.VenueRules, unit: str, assumed: Mapping[str, str]) -> Weigher:
    """What a call adds in this unit."""
    known = {endpoint: _cost(venue, endpoint, unit) for endpoint in venue.endpoints}
    other = dict(venue.default).get(unit, NOTHING)

    def weigh(endpoint: str, arguments: Mapping[str, str]) -> int:
        cost = known.get(endpoint, other)
        if cost.fixed >= 0:
            return cost.fixed
        return cost.of({**assumed, **arguments} if assumed else arguments)

    return weigh


def _cost(venue: file.VenueRules, endpoint: str, unit: str) -> file.Cost:
    return dict(venue.costs(endpoint)).get(unit, NOTHING)
