"""The limits file as checked values: what each venue allows, and what each call costs there.

The packaged `rate_limits.json` is the default; a user copies and edits it. README.md beside it describes every key.
Anything that is not as described is refused with `BadLimits`, which names the path of the key
(`bybit.windows[0].limit`): a limit misread is a ban.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal, NoReturn, cast

from engine.errors import BadLimits

Scope = Literal["ip", "account", "order", "connect"]
Server = Literal["fixed", "sliding"]
Counts = Literal["used", "remaining"]

PACKAGED: Final = Path(__file__).with_name("rate_limits.json")
CONNECT: Final = "CONNECT"  # the endpoint of opening a WebSocket
LIMIT_MOST: Final = 10**9
WINDOW_MOST_S: Final = 7 * 86_400
SECOND_NS: Final = 1_000_000_000
SCOPES: Final = ("ip", "account", "order", "connect")
# A venue's body is bounded elsewhere; a limits file is small, and one this large is not one.
FILE_MOST_BYTES: Final = 4 << 20
VENUES_MOST: Final = 32  # each is counted by second, within the memory of `engine.telemetry.hub`
DIGITS_MOST: Final = 100  # of a whole number; no key takes as many


@dataclass(frozen=True, slots=True)
class Header:
    """The answer's header that tells how full a window is."""

    name: str  # "X-MBX-USED-WEIGHT-1M"
    counts: Counts  # what the number is
    limit_name: str = ""  # the header with the limit itself; "" = there is none


@dataclass(frozen=True, slots=True)
class WindowRule:
    """At most `limit` units in any `window_ns`, per address, account or connection."""

    label: str
    scope: Scope
    unit: str
    limit: int
    window_ns: int
    server: Server
    type: str  # exchangeInfo's rateLimitType; "" = it announces none
    share: float  # of the limit, what this program may use
    header: Header | None


@dataclass(frozen=True, slots=True)
class Cost:
    """Units that one call costs, by at most one of its arguments; negative `fixed` = by argument."""

    fixed: int = 0
    by: str = ""
    steps: tuple[tuple[float, int], ...] = ()  # (the argument is at most this, cost), ascending
    values: Mapping[str, int] = field(default_factory=dict)
    present: int = 0  # the argument is there, and nothing else says what it costs
    absent: int = 0

    def of(self, arguments: Mapping[str, object]) -> int:
        """Units of a call with these arguments. What cannot be judged costs the most it could."""
        if self.fixed >= 0:
            return self.fixed
        given = arguments.get(self.by)
        if given is None or given == "":
            return self.absent
        if self.values:
            return self.values.get(str(given), self.present)
        if not self.steps:
            return self.present
        try:
            value = float(cast(Any, given))
        except (TypeError, ValueError, OverflowError):
            return self.most
        for bound, cost in self.steps:
            if value <= bound:
                return cost
        return self.most

    @property
    def most(self) -> int:
        """The most a call can cost."""
        if self.fixed >= 0:
            return self.fixed
        return max([self.present, self.absent, *self.values.values(), *(cost for _, cost in self.steps)])


@dataclass(frozen=True, slots=True)
class VenueRules:
    """One budget: everything that is counted together."""

    venue: str
    label: str
    windows: tuple[WindowRule, ...]
    endpoints: Mapping[str, tuple[tuple[str, Cost], ...]]  # (unit, cost) of each
    default: tuple[tuple[str, Cost], ...]  # of an endpoint that is not listed
    guard_ns: int  # added to each window: the granularity of clocks
    lost_ns: int  # a call without an answer may arrive this long after it was given up
    reserve: float  # of each limit, what only orders and resyncs may use
    queue: int  # calls that may wait
    stops_ns: Mapping[int, int]  # by HTTP status: for how long, when the venue does not say
    codes: Mapping[int, Scope]  # venue's own codes that say too many, and of what

    def costs(self, endpoint: str) -> tuple[tuple[str, Cost], ...]:
        """What a call of the endpoint costs, unit by unit; the default's when it is not listed."""
        return self.endpoints.get(endpoint, self.default)


@dataclass(frozen=True, slots=True)
class Rules:
    """Every budget, by its name."""

    path: str
    venues: Mapping[str, VenueRules]


def load(path: Path | None = None) -> Rules:
    """The rules of a file; None: the packaged ones. BadLimits names the path of the key that is wrong."""
    chosen = PACKAGED if path is None else path
    try:
        size = chosen.stat().st_size
        text = chosen.read_text(encoding="utf-8") if size <= FILE_MOST_BYTES else ""
    except OSError as error:
        raise BadLimits(str(chosen), "", f"it cannot be read: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise BadLimits(str(chosen), "", "it is not UTF-8 text") from error
    if size > FILE_MOST_BYTES:
        raise BadLimits(str(chosen), "", f"it has {size:,} bytes, more than {FILE_MOST_BYTES:,}")
    return parse(text, str(chosen))


def parse(text: str, path: str = "rate_limits.json") -> Rules:
    """The rules of a file's text; `path` is what errors call it."""
    try:
        document = json.loads(text, object_pairs_hook=lambda pairs: _unique(path, pairs), parse_int=_integer)
    except (json.JSONDecodeError, RecursionError) as error:
        raise BadLimits(path, "", f"it is not valid JSON: {error}") from error
    return _Reader(path).rules(document)


def _integer(digits: str) -> int | float:
    """A whole number; one beyond reason as a float, possibly infinite, which every key refuses by its path."""
    return int(digits) if len(digits) <= DIGITS_MOST else float(digits)


def _unique(path: str, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise BadLimits(path, key, "this key is there twice")
        found[key] = value
    return found


_WINDOW_KEYS: Final = frozenset(
    (
        "label",
        "scope",
        "unit",
        "limit",
        "window_s",
        "server",
        "type",
        "share",
        "header",
        "counts",
        "limit_header",
    )
)
_VENUE_KEYS: Final = frozenset(
    (
        "label",
        "guard_ms",
        "lost_s",
        "reserve",
        "queue",
        "stops_s",
        "codes",
        "windows",
        "each",
        "default",
        "endpoints",
    )
)
_COST_KEYS: Final = frozenset(("by", "steps", "values", "present", "absent"))


class _Reader:
    """Checks a document, key by key."""

    def __init__(self, path: str) -> None:
        self._path = path

    def rules(self, document: object) -> Rules:
        venues = self._object(document, "")
        if not venues:
            self._refuse("", "it names no venue")
        if len(venues) > VENUES_MOST:
            self._refuse("", f"it names {len(venues):,} venues, more than {VENUES_MOST}")
        return Rules(self._path, {name: self._venue(name, value) for name, value in venues.items()})

    def _venue(self, venue: str, value: object) -> VenueRules:
        given = self._object(value, venue, _VENUE_KEYS, needs=("label", "windows", "default", "endpoints"))
        rows = self._list(given["windows"], f"{venue}.windows")
        if not rows:
            self._refuse(f"{venue}.windows", "there must be at least one")
        windows = tuple(self._window(row, f"{venue}.windows[{at}]") for at, row in enumerate(rows))
        units = {window.unit: window for window in windows}
        labels: set[str] = set()
        for at, window in enumerate(windows):
            if window.label in labels:
                self._refuse(f"{venue}.windows[{at}].label", f"another window is called {window.label!r}")
            labels.add(window.label)
        each = self._costs(given.get("each", {}), f"{venue}.each", units)
        endpoints: dict[str, tuple[tuple[str, Cost], ...]] = {}
        for endpoint, costs in self._object(given["endpoints"], f"{venue}.endpoints").items():
            where = f'{venue}.endpoints["{endpoint}"]'
            if endpoint != CONNECT and not (endpoint.split(" ", 1)[0].isupper() and " /" in endpoint):
                self._refuse(where, 'an endpoint is a method and a path, as "GET /api/v3/depth", or CONNECT')
            own = self._costs(costs, where, units)
            endpoints[endpoint] = own if endpoint == CONNECT else _merged(each, own)
        default = _merged(each, self._costs(given["default"], f"{venue}.default", units))
        if not any(cost.most for _, cost in default):
            self._refuse(f"{venue}.default", "a call that is not listed must cost something")
        endpoints.setdefault(CONNECT, ())
        reserve = self._number(given.get("reserve", 0.05), f"{venue}.reserve", 0.0, 0.9)
        for endpoint, costs in endpoints.items():
            self._check_fits(f'{venue}.endpoints["{endpoint}"]', costs, windows, reserve)
        self._check_fits(f"{venue}.default", default, windows, reserve)
        return VenueRules(
            venue=venue,
            label=self._text(given["label"], f"{venue}.label"),
            windows=windows,
            endpoints=endpoints,
            default=default,
            guard_ns=self._ns(given.get("guard_ms", 5), f"{venue}.guard_ms", 0, 60_000, 1_000_000),
            lost_ns=self._ns(given.get("lost_s", 15), f"{venue}.lost_s", 0, 3_600, SECOND_NS),
            reserve=reserve,
            queue=self._whole(given.get("queue", 10_000), f"{venue}.queue", 1, 1_000_000),
            stops_ns=self._stops(given.get("stops_s", {}), f"{venue}.stops_s"),
            codes=self._codes(given.get("codes", {}), f"{venue}.codes"),
        )

    def _check_fits(
        self,
        where: str,
        costs: tuple[tuple[str, Cost], ...],
        windows: tuple[WindowRule, ...],
        reserve: float,
    ) -> None:
        """A call that fits no empty window could never be sent."""
        for unit, cost in costs:
            for window in windows:
                own = int(window.limit * window.share)
                room = own - int(own * reserve)
                if window.unit == unit and cost.most > room:
                    self._refuse(
                        f"{where}.{unit}",
                        f"{cost.most:,} is more than {window.label} leaves to a call ({room:,})",
                    )

    def _window(self, value: object, where: str) -> WindowRule:
        needs = ("label", "scope", "unit", "limit", "window_s", "server")
        given = self._object(value, where, _WINDOW_KEYS, needs=needs)
        header: Header | None = None
        if "header" in given:
            if "counts" not in given:
                self._refuse(f"{where}.counts", "it is missing: a header counts what is used or what remains")
            header = Header(
                self._text(given["header"], f"{where}.header"),
                self._one_of(given["counts"], f"{where}.counts", ("used", "remaining")),
                self._text(given["limit_header"], f"{where}.limit_header") if "limit_header" in given else "",
            )
        else:
            for key in ("counts", "limit_header"):
                if key in given:
                    self._refuse(f"{where}.{key}", "it says nothing without a header")
        window = WindowRule(
            label=self._text(given["label"], f"{where}.label"),
            scope=self._one_of(given["scope"], f"{where}.scope", SCOPES),
            unit=self._text(given["unit"], f"{where}.unit"),
            limit=self._whole(given["limit"], f"{where}.limit", 1, LIMIT_MOST),
            window_ns=self._ns(given["window_s"], f"{where}.window_s", 0.001, WINDOW_MOST_S, SECOND_NS),
            server=self._one_of(given["server"], f"{where}.server", ("fixed", "sliding")),
            type=self._text(given["type"], f"{where}.type") if "type" in given else "",
            share=self._number(given.get("share", 1.0), f"{where}.share", 0.0, 1.0),
            header=header,
        )
        if int(window.limit * window.share) < 1:
            self._refuse(f"{where}.share", f"nothing of a limit of {window.limit:,} is left")
        return window

    def _costs(
        self, value: object, where: str, units: Mapping[str, WindowRule]
    ) -> tuple[tuple[str, Cost], ...]:
        found = []
        for unit, cost in self._object(value, where).items():
            if unit not in units:
                self._refuse(f"{where}.{unit}", f"no window counts it; there are {', '.join(sorted(units))}")
            found.append((unit, self._cost(cost, f"{where}.{unit}")))
        return tuple(found)

    def _cost(self, value: object, where: str) -> Cost:
        if not isinstance(value, dict):
            return Cost(fixed=self._whole(value, where, 0, LIMIT_MOST))
        given = self._object(value, where, _COST_KEYS, needs=("by", "absent"))
        forms = [key for key in ("steps", "values", "present") if key in given]
        if forms not in (["steps"], ["present"], ["values", "present"]):
            self._refuse(
                where, "beside `by` and `absent` it has `steps`, or `present`, or `values` and `present`"
            )
        steps: list[tuple[float, int]] = []
        for at, row in enumerate(self._list(given.get("steps", []), f"{where}.steps")):
            step = f"{where}.steps[{at}]"
            pair = self._list(row, step)
            if len(pair) != 2:
                self._refuse(step, "a step is two numbers: the argument is at most, the cost")
            bound = self._number(pair[0], f"{step}[0]", 0.0, float(LIMIT_MOST))
            if steps and bound <= steps[-1][0]:
                self._refuse(f"{step}[0]", "steps go upwards")
            steps.append((bound, self._whole(pair[1], f"{step}[1]", 0, LIMIT_MOST)))
        if "steps" in given and not steps:
            self._refuse(f"{where}.steps", "there must be at least one")
        values = {
            name: self._whole(cost, f"{where}.values.{name}", 0, LIMIT_MOST)
            for name, cost in self._object(given.get("values", {}), f"{where}.values").items()
        }
        return Cost(
            fixed=-1,
            by=self._text(given["by"], f"{where}.by"),
            steps=tuple(steps),
            values=values,
            present=self._whole(given.get("present", 0), f"{where}.present", 0, LIMIT_MOST),
            absent=self._whole(given["absent"], f"{where}.absent", 0, LIMIT_MOST),
        )

    def _stops(self, value: object, where: str) -> Mapping[int, int]:
        found = {429: 60 * SECOND_NS, 418: 300 * SECOND_NS, 403: 600 * SECOND_NS}
        for status, seconds in self._object(value, where).items():
            if status not in ("429", "418", "403"):
                self._refuse(f"{where}.{status}", "a stop follows one of 429, 418, 403")
            found[int(status)] = self._ns(seconds, f"{where}.{status}", 0.001, WINDOW_MOST_S, SECOND_NS)
        return found

    def _codes(self, value: object, where: str) -> Mapping[int, Scope]:
        found: dict[int, Scope] = {}
        for code, scope in self._object(value, where).items():
            digits = code.removeprefix("-")
            if not digits.isdecimal() or not code.isascii() or len(digits) > 18 or int(code) == 0:
                self._refuse(f"{where}.{code:.60}", "a code is a whole number other than 0")
            found[int(code)] = self._one_of(scope, f"{where}.{code}", SCOPES)
        return found

    def _object(
        self, value: object, where: str, keys: frozenset[str] | None = None, needs: tuple[str, ...] = ()
    ) -> dict[str, Any]:
        if not isinstance(value, dict):
            self._refuse(where, f"it must be an object, not {_kind(value)}")
        for key in value:
            if keys is not None and key not in keys:
                self._refuse(_below(where, key), f"there is no such key; there are {', '.join(sorted(keys))}")
        for key in needs:
            if key not in value:
                self._refuse(_below(where, key), "it is missing")
        return value

    def _list(self, value: object, where: str) -> list[Any]:
        if not isinstance(value, list):
            self._refuse(where, f"it must be a list, not {_kind(value)}")
        return value

    def _text(self, value: object, where: str) -> str:
        if not isinstance(value, str) or not value.strip() or len(value) > 200:
            self._refuse(where, f"it must be a text, not {_kind(value)}")
        return value

    def _one_of(self, value: object, where: str, allowed: tuple[str, ...]) -> Any:
        if not isinstance(value, str) or value not in allowed:
            self._refuse(where, f"it is {value!r:.60}; it must be one of {', '.join(allowed)}")
        return value

    def _number(self, value: object, where: str, least: float, most: float) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            self._refuse(where, f"it must be a number, not {_kind(value)}")
        if not least <= value <= most:
            self._refuse(where, f"it is {value:,}; it must be from {least:,} to {most:,}")
        return float(value)

    def _whole(self, value: object, where: str, least: int, most: int) -> int:
        if isinstance(value, bool) or not isinstance(value, int):
            self._refuse(where, f"it must be a whole number, not {_kind(value)}")
        if not least <= value <= most:
            self._refuse(where, f"it is {value:,}; it must be from {least:,} to {most:,}")
        return value

    def _ns(self, value: object, where: str, least: float, most: float, unit_ns: int) -> int:
        return round(self._number(value, where, least, most) * unit_ns)

    def _refuse(self, where: str, reason: str) -> NoReturn:
        raise BadLimits(self._path, where, reason)


def _merged(
    each: tuple[tuple[str, Cost], ...], own: tuple[tuple[str, Cost], ...]
) -> tuple[tuple[str, Cost], ...]:
    named = {unit for unit, _ in own}
    return tuple(pair for pair in each if pair[0] not in named) + own


def _below(where: str, key: str) -> str:
    return f"{where}.{key}" if where else key


_KINDS: Final[Mapping[type, Callable[[Any], str]]] = {
    bool: lambda value: "true" if value else "false",
    type(None): lambda _: "null",
    dict: lambda _: "an object",
    list: lambda _: "a list",
    str: lambda value: f"the text {value!r:.60}",
}


def _kind(value: object) -> str:
    return _KINDS.get(type(value), lambda other: f"{other!r:.60}")(value)
