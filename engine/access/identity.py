"""Who calls, and what they may do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

Role = Literal["read", "trade", "admin"]
Way = Literal["nobody", "key", "token", "session"]

ROLES: Final[tuple[Role, ...]] = ("read", "trade", "admin")


@dataclass(frozen=True, slots=True)
class Identity:
    """A caller that was let in. `name` is what limits and logs know it by: "key 3f2a…", "127.0.0.1"."""

    name: str
    role: Role
    way: Way = "nobody"  # how it said who it is; nobody: it was not asked
    key: str = ""  # id of the key behind it; "" where there is none
    expires_ns: int = 0  # of a token, wall clock; 0 = does not


def may(identity: Identity, wanted: Role) -> bool:
    """Whether the caller's role holds `wanted`: an admin may trade, who trades may read."""
    return ROLES.index(identity.role) >= ROLES.index(wanted)
