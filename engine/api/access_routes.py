"""Routes about the caller: who they are, and a short-lived token for their key."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final, Literal

import msgspec

from engine.access.door import Door
from engine.access.identity import Role, Way, may
from engine.api.problems import Problem
from engine.api.route import Call, Route

GROUP: Final = "Access"


class TokenOrder(msgspec.Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """What a token is to allow: no more than its key does. Absent: as much."""

    role: Role | None = None


class TokenAnswer(msgspec.Struct, kw_only=True, frozen=True):
    """A token, sent as `Authorization: Bearer <token>`, and when it ends."""

    token: str
    token_type: Literal["Bearer"] = "Bearer"  # noqa: S105
    role: Role
    expires: str
    expires_ms: int


class WhoAnswer(msgspec.Struct, kw_only=True, frozen=True):
    """Who the server takes the caller for. `expires` is null where nothing ends."""

    name: str
    role: Role
    way: Way
    key: str
    label: str
    expires: str | None
    expires_ms: int | None


def routes(door: Door) -> tuple[Route, ...]:
    """POST /token and GET /whoami."""

    def token(call: Call) -> TokenAnswer:
        caller = call.identity
        if caller.way != "key":
            raise Problem(
                "forbidden",
                "A token is given for a key; send one as `Authorization: Bearer <key>` or `X-Api-Key: <key>`.",
            )
        wanted = (call.body.role if call.body is not None else None) or caller.role
        if not may(caller, wanted):
            raise Problem("forbidden", f"The key's role is {caller.role}, which does not hold {wanted}.")
        key = door.keys.get(caller.key)
        if key is None:
            raise Problem("bad_credentials", "The key was revoked.")
        made = door.tokens.make(key, wanted, call.now_ns)
        return TokenAnswer(
            token=made.text,
            role=made.role,
            expires=_iso(made.expires_ns),
            expires_ms=made.expires_ns // 1_000_000,
        )

    def whoami(call: Call) -> WhoAnswer:
        caller = call.identity
        key = door.keys.get(caller.key) if caller.key else None
        ends = caller.expires_ns
        return WhoAnswer(
            name=caller.name,
            role=caller.role,
            way=caller.way,
            key=caller.key,
            label=key.label if key is not None else "",
            expires=_iso(ends) if ends else None,
            expires_ms=ends // 1_000_000 if ends else None,
        )

    return (
        Route(
            "POST",
            "/token",
            "read",
            GROUP,
            "A token for 15 minutes, in exchange for a key, of the key's role or a lesser one.",
            token,
            TokenAnswer,
            body=TokenOrder,
            problems=("forbidden", "bad_body"),
        ),
        Route(
            "GET",
            "/whoami",
            "read",
            GROUP,
            "Who the server takes you for, and what you may do.",
            whoami,
            WhoAnswer,
        ),
    )


def _iso(moment_ns: int) -> str:
    """ISO 8601 in UTC, to the millisecond."""
    at = datetime.fromtimestamp(moment_ns // 1_000_000 / 1e3, UTC)
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
