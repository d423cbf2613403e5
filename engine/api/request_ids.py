"""Names of requests: told to the caller and written into the log, so that both speak of the same one."""

from __future__ import annotations

import itertools
import re
import secrets
from typing import Final

HEADER: Final = "X-Request-Id"
_SANE: Final = re.compile(r"[A-Za-z0-9._-]{1,64}").fullmatch


class RequestIds:
    """Gives each request a name: the caller's own where it is short plain text, else one that no other request has.

    A made one is a random start of the process and a number: `9f2c41d07a3e-0000002a`.
    """

    def __init__(self, start: str = "") -> None:
        self._start = start or secrets.token_hex(6)
        self._numbers = itertools.count(1)

    def of(self, given: str | None) -> str:
        """The name of a request that came with `given` in its X-Request-Id header."""
        if given is not None and _SANE(given) is not None:
            return given
        return f"{self._start}-{next(self._numbers):08x}"
