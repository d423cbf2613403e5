"""Arguments of a call, checked against its route's table: texts become values, all else is a Problem. Pure.

Each Problem names the argument and says what would work.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, tzinfo
from functools import lru_cache
from typing import Any, Final
from urllib.parse import unquote_plus
from zoneinfo import ZoneInfo

import msgspec

from engine.api.bodies import why_not
from engine.api.problems import Problem
from engine.api.route import Parameter, Route
from engine.errors import BadSetting
from engine.moments import moment_of

TEXT_MOST: Final = 120  # characters of a text argument
QUERY_MOST: Final = 4_096  # of a whole query
NAMED_MOST: Final = 40  # characters of a value that a sentence repeats
BODY_TYPES: Final = ("application/json", "application/msgpack", "application/x-msgpack")

_WHOLE: Final = re.compile(r"[+-]?[0-9]{1,20}")
_DECIMAL: Final = re.compile(r"[0-9]{1,30}(\.[0-9]{1,30})?")
_MS: Final = re.compile(r"-?[0-9]{1,15}")
_NS_A_MS: Final = 1_000_000
_NS_MOST: Final = 2**63 - 1


def values_of(route: Route, path: Mapping[str, str], query: str, now_ns: int) -> dict[str, Any]:
    """The values of all a route's parameters, by name: of its path (percent-decoded texts) and of the raw query.

    Problem bad_argument for what is unknown, comes twice, is missing, or is not of its form.
    """
    values = {one.name: one.default for one in route.parameters}
    for one in route.parameters:
        if one.where == "path":
            values[one.name] = value_of(one, path[one.name], now_ns)
        elif one.required and not query:
            raise _missing(one)
    if query:
        _take_query(route.parameters, query, now_ns, values)
    return values


def _take_query(parameters: Sequence[Parameter], query: str, now_ns: int, values: dict[str, Any]) -> None:
    known = {one.name: one for one in parameters if one.where == "query"}
    seen: set[str] = set()
    for name, text in _pairs(query):
        one = known.get(name)
        if one is None:
            there = f"there are {', '.join(known)}" if known else "this path takes none"
            shown = name[:NAMED_MOST].encode("ascii", "backslashreplace").decode()
            raise Problem("bad_argument", f"there is no argument {shown!r}; {there}", argument=shown)
        if name in seen:
            raise Problem("bad_argument", f"{name} is given twice; give it once", argument=name)
        seen.add(name)
        values[name] = value_of(one, text, now_ns)
    for one in known.values():
        if one.required and one.name not in seen:
            raise _missing(one)


def _pairs(query: str) -> list[tuple[str, str]]:
    if len(query) > QUERY_MOST:
        raise Problem("bad_argument", f"the query has more than {QUERY_MOST:,} characters")
    found = []
    for part in query.split("&"):
        if part:
            name, _, text = part.partition("=")
            try:
                found.append((unquote_plus(name, errors="strict"), unquote_plus(text, errors="strict")))
            except UnicodeDecodeError as error:
                raise Problem("bad_argument", "the query is not UTF-8 where it is percent-encoded") from error
    return found


def value_of(parameter: Parameter, text: str, now_ns: int) -> Any:
    """The value of one argument's text, in the form `Parameter` says. Problem bad_argument where it has none."""
    match parameter.kind:
        case "text":
            if not 1 <= len(text) <= TEXT_MOST or not text.isprintable():
                raise _wrong(parameter, text, f"1 to {TEXT_MOST} printable characters")
            return text
        case "whole":
            number = int(text) if _WHOLE.fullmatch(text) else None
            if number is None or not parameter.least <= number <= parameter.most:
                raise _wrong(
                    parameter, text, f"a whole number from {parameter.least:,} to {parameter.most:,}"
                )
            return number
        case "decimal":
            if not _DECIMAL.fullmatch(text):
                raise _wrong(parameter, text, "a decimal number above 0, as 1000 or 0.25")
            return text
        case "choice":
            if text not in parameter.choices:
                code = "bad_interval" if parameter.name == "interval" else "bad_argument"
                raise _wrong(parameter, text, f"one of {', '.join(parameter.choices)}", code)
            return text
        case "moment":
            return _moment(parameter, text, now_ns)
        case "zone":
            return _zone(parameter, text)


def _moment(parameter: Parameter, text: str, now_ns: int) -> int:
    wanted = "milliseconds since 1970, ISO 8601 (2026-01-31T12:00:00Z), now, or so long ago (10m)"
    found: int
    if _MS.fullmatch(text):
        found = int(text) * _NS_A_MS
    else:
        try:
            found = moment_of(parameter.name, text, now_ns)
        except BadSetting as error:
            raise _wrong(parameter, text, wanted) from error
    if not 0 <= found <= _NS_MOST:
        raise _wrong(parameter, text, f"{wanted}, from 1970 to 2262")
    return found


def _zone(parameter: Parameter, text: str) -> tzinfo:
    found = zone_named(text)
    if found is None:
        raise _wrong(parameter, text, "a time zone by its name, as UTC, Europe/Berlin, America/New_York")
    return found


@lru_cache(maxsize=256)
def zone_named(name: str) -> tzinfo | None:
    """The time zone of an IANA name; None where there is none. Names are kept, since one is a read of a file."""
    if name.upper() == "UTC":
        return UTC
    if not name or len(name) > NAMED_MOST:
        return None
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):  # no such name; one that leaves the folder; the name of a folder
        return None


def body_of(route: Route, data: bytes, content_type: str) -> Any:
    """The body, decoded into the route's type; None where the route takes none. No bytes are an empty object.

    `content_type` is the header, "" where there is none: a body needs it, since any site's page may send one
    without. Problem unsupported_media or bad_body.
    """
    if route.body is None:
        return None
    kind = content_type.partition(";")[0].strip().lower()
    if not data:
        kind, data = BODY_TYPES[0], b"{}"
    if kind not in BODY_TYPES:
        wanted = " or ".join(BODY_TYPES[:2])
        raise Problem(
            "unsupported_media", f"a body needs its Content-Type, {wanted}, not {kind[:60] or 'none'}"
        )
    try:
        if kind == BODY_TYPES[0]:
            return msgspec.json.decode(data, type=route.body)
        return msgspec.msgpack.decode(data, type=route.body)
    except msgspec.ValidationError as error:
        raise Problem("bad_body", why_not(error, route.body)) from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        what = "JSON" if kind == BODY_TYPES[0] else "msgpack"
        raise Problem("bad_body", f"the body is no {what}: {error}") from error


def _missing(parameter: Parameter) -> Problem:
    example = f", as {parameter.name}={parameter.example}" if parameter.example else ""
    return Problem(
        "bad_argument", f"{parameter.name} is missing{example}: {parameter.help}", argument=parameter.name
    )


def _wrong(parameter: Parameter, text: str, wanted: str, code: str = "bad_argument") -> Problem:
    return Problem(
        code, f"{parameter.name} cannot be {text[:NAMED_MOST]!r}: give {wanted}", argument=parameter.name
    )
