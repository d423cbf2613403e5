"""The OpenAPI 3.1 description of the API, made from the table of routes. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from engine.api.arguments import TEXT_MOST
from engine.api.encoding import CONTENT_TYPES
from engine.api.problems import CODES
from engine.api.replies import PROBLEM
from engine.api.route import Parameter, Route

VERSION: Final = "1.0.0"
REF: Final = "#/components/schemas/{name}"
GROUPS: Final[Mapping[str, str]] = {
    "Market": "Prices, candles, books, trades of every venue, real and simulated.",
    "Symbols": "What is followed, and what can be.",
    "Alerts": "Rules on prices and health, what they said, and webhooks that are told.",
    "Access": "Short-lived tokens for keys.",
    "Program": "How the program does: health, figures for Prometheus.",
}
ABOUT: Final = """\
Market data of every venue that Venuescope follows, and of its built-in exchange.

Every path is served under `/v1` and, as an alias, without it. Prices and sizes are exact decimal text. Every time
comes twice: `ts`, ISO 8601 in the zone that `tz` names (UTC), and `ts_ms`, milliseconds since 1970. `venue` names a
venue or a source; without it the first live one counts. The `Accept` header chooses JSON, msgpack or CSV.

What is refused is told as `application/problem+json` (RFC 9457) with a stable `code`, and each answer bears an
`X-Request-Id`. Limits are told by `RateLimit-Limit`, `RateLimit-Remaining`, `RateLimit-Reset`, and with 429 by
`Retry-After`.

**Push.** A WebSocket at `/ws` (`/v1/ws`) sends candles, ticks, books, trades, latency, throughput and alerts as they
come: `{"op": "subscribe", "id": 1, "channel": "candles", "symbol": "BTC-USDT"}`. `?format=json`, `msgpack` or
`protobuf` (`/market.proto`) chooses the form of its messages. Each message bears `topic` and `seq`, which grows by
one; a listener that lost its connection goes on with `"resume": {"epoch": .., "seq": ..}`. Where credentials are
demanded and no header can be sent, the first message says who it is: `{"op": "auth", "token": ".."}`.
"""
# Codes that any route may answer with, whatever it does.
EVERYWHERE: Final = (
    "bad_argument",
    "bad_request",
    "foreign",
    "too_many_requests",
    "broken",
)
GUARDED: Final = ("unauthenticated", "bad_credentials", "expired", "forbidden", "too_many_failures")
WITH_BODY: Final = ("bad_body", "too_large", "too_slow", "unsupported_media")
_MOMENT: Final = r"^([0-9]{1,13}|[0-9]{4}-[0-9]{2}-[0-9]{2}.*|now|[0-9]{1,6}[a-z]{1,3})$"


def describe(routes: Sequence[Route]) -> bytes:
    """The description as JSON."""
    return msgspec.json.format(msgspec.json.encode(description(routes)), indent=1)


def description(routes: Sequence[Route]) -> dict[str, Any]:
    """The description. Struct names in the answers must be unique, or they are told apart by their modules."""
    types = [kind for route in routes for kind in (route.answer, route.body) if kind is not None]
    schemas, components = msgspec.json.schema_components(types, ref_template=REF)
    by_type = iter(_plain(schemas))
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        answer = next(by_type) if route.answer is not None else None
        body = next(by_type) if route.body is not None else None
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route, answer, body)
    used = {route.group for route in routes}
    return {
        "openapi": "3.1.0",
        "info": {"title": "Venuescope market data", "version": VERSION, "description": ABOUT},
        "servers": [
            {"url": "/v1", "description": "this version"},
            {"url": "/", "description": "the same paths, bare"},
        ],
        "tags": [
            {"name": name, "description": GROUPS.get(name, name)}
            for name in [*GROUPS, *sorted(used - GROUPS.keys())]
            if name in used
        ],
        "paths": paths,
        "components": {
            "schemas": {**_plain(components), "Problem": _problem_schema()},
            "headers": _headers(),
            "securitySchemes": {
                "bearer": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "A key (`vsk_...`) or a token of `POST /token`.",
                },
                "key": {"type": "apiKey", "in": "header", "name": "X-Api-Key", "description": "A key."},
            },
        },
    }


def _plain(schema: Any) -> Any:
    """A schema where tuples of one kind, as [price, size], are lists of fixed length: tools know those better."""
    if isinstance(schema, Mapping):
        made = {name: _plain(value) for name, value in schema.items()}
        kinds = made.get("prefixItems")
        if kinds and all(kind == kinds[0] for kind in kinds):
            del made["prefixItems"]
            made["items"] = kinds[0]
        return made
    return [_plain(each) for each in schema] if isinstance(schema, list | tuple) else schema


def statuses(route: Route) -> dict[int, list[str]]:
    """The codes of problems that a route may answer with, by their status."""
    codes = [*EVERYWHERE, *GUARDED, *route.problems]
    if route.answer is not None and not route.text:
        codes.append("not_acceptable")
    if route.body is not None:
        codes += WITH_BODY
    found: dict[int, list[str]] = {}
    for code in dict.fromkeys(codes):
        found.setdefault(CODES[code][0], []).append(code)
    return dict(sorted(found.items()))


def schema_of(one: Parameter) -> dict[str, Any]:
    """The JSON schema of an argument's text."""
    schema: dict[str, Any]
    match one.kind:
        case "whole":
            schema = {"type": "integer", "minimum": one.least, "maximum": one.most}
        case "decimal":
            schema = {"type": "string", "pattern": r"^[0-9]{1,30}(\.[0-9]{1,30})?$"}
        case "choice":
            schema = {"type": "string", "enum": list(one.choices)}
        case "moment":
            schema = {"type": "string", "minLength": 1, "maxLength": 40, "pattern": _MOMENT}
        case "zone":
            schema = {"type": "string", "minLength": 1, "maxLength": 40, "examples": ["UTC", "Europe/Berlin"]}
        case "text":
            schema = {"type": "string", "minLength": 1, "maxLength": TEXT_MOST}
            if one.where == "path":
                schema["pattern"] = r"^[^/]+$"
    if one.default is not None and one.default != "" and isinstance(one.default, int | str):
        schema["default"] = one.default
    return schema


def _operation(route: Route, answer: Any, body: Any) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "operationId": operation_id(route),
        "tags": [route.group],
        "summary": route.summary,
        "parameters": [_parameter(one) for one in route.parameters],
        "responses": _responses(route, answer),
        # Credentials are asked for where the server demands them; sent, they are checked everywhere.
        "security": [{}] if route.role is None else [{"bearer": []}, {"key": []}, {}],
    }
    if route.role is not None:
        operation["description"] = f"Takes the role {route.role}, where the server asks who calls."
        operation["x-role"] = route.role
    if body is not None:
        operation["requestBody"] = {
            "required": not _is_optional(route.body),
            "content": {"application/json": {"schema": body}},
        }
    return operation


def _is_optional(body: Any) -> bool:
    """Whether a body may be left out: nothing of it is needed."""
    return all(not field.required for field in msgspec.structs.fields(body))


def operation_id(route: Route) -> str:
    """A name that no other route has: `get_tick_symbol`."""
    words = route.path.replace("{", "").replace("}", "").strip("/").replace("/", "_")
    return f"{route.method.lower()}_{words or 'root'}"


def _parameter(one: Parameter) -> dict[str, Any]:
    told: dict[str, Any] = {
        "name": one.name,
        "in": one.where,
        "required": one.where == "path" or one.required,
        "description": one.help,
        "schema": schema_of(one),
    }
    if one.example:
        told["example"] = int(one.example) if one.kind == "whole" else one.example
    return told


def _responses(route: Route, answer: Any) -> dict[str, Any]:
    headers = {name: {"$ref": f"#/components/headers/{name}"} for name in _headers() if name != "Retry-After"}
    good: dict[str, Any] = {"description": route.summary, "headers": headers}
    if route.text:
        good["content"] = {route.text.partition(";")[0]: {"schema": {"type": "string"}}}
    elif answer is not None:
        good["content"] = {
            "application/json": {"schema": answer},
            "application/msgpack": {"schema": {}},
            CONTENT_TYPES["csv"].partition(";")[0]: {"schema": {"type": "string"}},
        }
    status = 204 if route.answer is None and not route.text else route.status
    told: dict[str, Any] = {str(status): good}
    for number, codes in statuses(route).items():
        problem: dict[str, Any] = {
            "description": "; ".join(f"`{code}`: {CODES[code][1]}" for code in codes),
            "content": {PROBLEM: {"schema": {"$ref": "#/components/schemas/Problem"}}},
        }
        if number == 429:
            problem["headers"] = {"Retry-After": {"$ref": "#/components/headers/Retry-After"}}
        told.setdefault(str(number), problem)
    return told


def _headers() -> dict[str, Any]:
    return {
        "X-Request-Id": {
            "description": "The request's name: the caller's own, or one made here. The log has it.",
            "schema": {"type": "string"},
        },
        "RateLimit-Limit": {
            "description": "Requests that may come at once.",
            "schema": {"type": "integer"},
        },
        "RateLimit-Remaining": {"description": "Of those, left now.", "schema": {"type": "integer"}},
        "RateLimit-Reset": {
            "description": "Seconds until all are left again.",
            "schema": {"type": "integer"},
        },
        "Retry-After": {"description": "Seconds to wait.", "schema": {"type": "integer", "minimum": 1}},
    }


def _problem_schema() -> dict[str, Any]:
    return {
        "type": "object",
        "title": "Problem",
        "description": "What is refused, as RFC 9457 writes it.",
        "required": ["type", "title", "status", "code", "detail", "request_id"],
        "properties": {
            "type": {"type": "string", "description": "address of the code's description"},
            "title": {"type": "string", "description": "what kind of trouble it is"},
            "status": {"type": "integer", "minimum": 400, "maximum": 599},
            "code": {"type": "string", "enum": sorted(CODES), "description": "stable"},
            "detail": {"type": "string", "description": "what would work"},
            "instance": {"type": "string", "description": "the path that was asked for"},
            "request_id": {"type": "string"},
        },
    }
