"""What a route is: one table of these serves calls, describes itself (OpenAPI, docs page) and is tested by. Pure."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from engine.access.identity import Identity, Role

Method = Literal["GET", "POST", "PUT", "DELETE"]
ArgumentKind = Literal["text", "whole", "decimal", "moment", "choice", "zone"]


@dataclass(frozen=True, slots=True)
class Parameter:
    """One argument of a route, in its path or its query.

    text -> str; whole -> int; decimal -> exact decimal text; moment -> int nanoseconds UTC, given as epoch ms, ISO 8601
    or "10m" ago; choice -> one of `choices`; zone -> zoneinfo.ZoneInfo. Absent: `default`, as a value of that form.
    """

    name: str
    where: Literal["path", "query"]
    kind: ArgumentKind
    help: str
    default: Any = None
    choices: tuple[str, ...] = ()
    least: int = 0  # of whole
    most: int = 2**53
    example: str = ""
    required: bool = False  # of query; those of the path always are


@dataclass(frozen=True, slots=True)
class Call:
    """One call, checked: `arguments` by name, `body` decoded into the route's type."""

    arguments: Mapping[str, Any]
    body: Any
    identity: Identity
    address: str
    request_id: str
    now_ns: int


Handler = Callable[[Call], Any | Awaitable[Any]]  # an answer of the route's type; raises Problem


@dataclass(frozen=True, slots=True)
class Route:
    """One route, served at `path` and at `/v1` + `path`.

    `answer` is the msgspec Struct, or list of them, that comes back; None: nothing (204). `role` None: open to all,
    without a limit but the address's.
    """

    method: Method
    path: str  # "/tick/{symbol}"
    role: Role | None
    group: str  # heading it stands under: "Market", "Symbols", "Alerts", "Program", "Access"
    summary: str  # one line
    handler: Handler
    answer: Any
    parameters: tuple[Parameter, ...] = ()
    body: Any = None  # msgspec Struct of the request's body
    problems: tuple[str, ...] = ()  # codes of its own, beside those every route has
    text: str = ""  # content type of an answer that is text and not a Struct (/metrics)
    status: int = 200
    more: Mapping[str, Any] = field(default_factory=dict)
