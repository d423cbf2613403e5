"""WebSocket frames as a server sends them: whole and unmasked, so that one piece of bytes serves every client. Pure."""

from __future__ import annotations

import struct
from typing import Final

CONTINUATION: Final = 0
TEXT: Final = 1
BINARY: Final = 2
CLOSE: Final = 8
PING: Final = 9
PONG: Final = 10
DEFLATED: Final = 0x40  # RSV1: the payload is deflated, RFC 7692

CONTROL_MOST: Final = 125  # bytes of a control frame's payload


def frame(payload: bytes, opcode: int = TEXT) -> bytes:
    """One whole unmasked WebSocket frame, as a server sends it."""
    size = len(payload)
    if size < 126:
        return struct.pack("!BB", 0x80 | opcode, size) + payload
    if size < 1 << 16:
        return struct.pack("!BBH", 0x80 | opcode, 126, size) + payload
    return struct.pack("!BBQ", 0x80 | opcode, 127, size) + payload


def close_frame(code: int, reason: str) -> bytes:
    """A close frame; the reason is cut to what fits, never within a character."""
    text = reason.encode()[: CONTROL_MOST - 2].decode(errors="ignore").encode()
    return frame(struct.pack("!H", code) + text, CLOSE)
