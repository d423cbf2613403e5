"""A call that a venue refuses for what it asks, in the venue's own numbers."""

from __future__ import annotations

from engine.errors import VenuescopeError


class VenueRefusal(VenuescopeError):
    """What the local venue answers instead of data: HTTP status, the venue's code, its sentence."""

    def __init__(self, status: int, code: int, message: str) -> None:
        super().__init__(status, code, message)
        self.status, self.code, self.message = status, code, message

    def __str__(self) -> str:
        return f"{self.status}, {self.code}: {self.message}"
