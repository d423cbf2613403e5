"""Short-lived tokens (JWT, HS256) that a key is exchanged for: what a browser or a socket is given in its place."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import Final, NamedTuple

import jwt
import msgspec

from engine.access.identity import ROLES, Identity, Role
from engine.access.keys import AccessKey, KeyRing
from engine.access.rates import SECOND_NS
from engine.api.problems import Problem

LIFE_S: Final = 15 * 60
ISSUER: Final = "venuescope"
PURPOSE: Final = "api tokens"  # what the secret is derived for
AHEAD_S: Final = 60  # a token of a clock that was that far ahead is still good
TOKEN_CHARACTERS: Final = 1_024
_NOT_VALID: Final = "The token is not valid; get a new one with POST /token."
_KEY_GONE: Final = "The key that the token was made for is revoked or gone; log in with another key."


class _Claims(msgspec.Struct, frozen=True):
    sub: str
    role: Role
    exp: int
    iat: int
    jti: str


class Token(NamedTuple):
    """A token's text, what it allows, and when it ends (wall clock)."""

    text: str
    role: Role
    expires_ns: int


class Tokens:
    """Makes and reads tokens. A token is as good as its key: revoked with it, ended with it, never above its role."""

    def __init__(self, secret: Callable[[], bytes], keys: KeyRing) -> None:
        self._derive = secret  # when the first token is made or read: who uses none keeps no secret
        self._derived = b""
        self._keys = keys

    @property
    def _secret(self) -> bytes:
        self._derived = self._derived or self._derive()
        return self._derived

    def make(self, key: AccessKey, role: Role, now_ns: int) -> Token:
        """A new token of `role`, which the key's must hold, good for 15 minutes or until the key ends."""
        assert ROLES.index(role) <= ROLES.index(key.role)
        now_s = now_ns // SECOND_NS
        expires_s = now_s + LIFE_S
        if key.expires_ns:
            expires_s = min(expires_s, key.expires_ns // SECOND_NS)
        claims = {
            "iss": ISSUER,
            "sub": key.id,
            "role": role,
            "exp": expires_s,
            "iat": now_s,
            "jti": secrets.token_hex(8),
        }
        return Token(jwt.encode(claims, self._secret, "HS256"), role, expires_s * SECOND_NS)

    def read(self, text: str, now_ns: int) -> Identity:
        """Whose token it is. Problem bad_credentials, or expired."""
        if len(text) > TOKEN_CHARACTERS:
            raise Problem("bad_credentials", _NOT_VALID)
        try:
            # Times are compared below, with the clock that is given.
            said = jwt.decode(
                text,
                self._secret,
                ["HS256"],
                issuer=ISSUER,
                options={
                    "require": ["sub", "role", "exp", "iat", "jti"],
                    "verify_exp": False,
                    "verify_iat": False,
                    "verify_nbf": False,
                },
            )
            claims = msgspec.convert(said, _Claims)
        except (jwt.PyJWTError, msgspec.ValidationError, ValueError):
            # Without its cause: that could quote the token into a log.
            raise Problem("bad_credentials", _NOT_VALID) from None
        if now_ns >= claims.exp * SECOND_NS:
            raise Problem("expired", "The token has expired; get a new one with POST /token.")
        key = self._keys.get(claims.sub)
        if key is None:
            raise Problem("bad_credentials", _KEY_GONE)
        if (
            claims.iat * SECOND_NS > now_ns + AHEAD_S * SECOND_NS
            or claims.exp - claims.iat > LIFE_S
            or not key.good(now_ns)
            or ROLES.index(claims.role) > ROLES.index(key.role)
        ):
            raise Problem("bad_credentials", _NOT_VALID)
        return Identity(f"key {key.id}", claims.role, "token", key.id, claims.exp * SECOND_NS)
