"""permessage-deflate such that one deflated frame serves all listeners: no message refers to an earlier one. Pure."""

from __future__ import annotations

import re
import zlib
from typing import Final

from engine.websocket_frames import DEFLATED, frame

WINDOW_BITS: Final = (
    12  # 4 KiB: messages are seldom longer, and listeners that ask for a small window get one
)
LEAST_BYTES: Final = 128  # shorter ones gain nothing
LARGEST_SAID: Final = 14  # aiohttp leaves a window of 15 out of its answer, where some clients want one
_TAIL: Final = b"\x00\x00\xff\xff"
_WINDOW: Final = re.compile(r"\s*server_max_window_bits\s*=\s*\"?([0-9]{1,2})\"?\s*")


def agreed(offers: str) -> str:
    """What to ask of the server's own handshake for a listener's Sec-WebSocket-Extensions: the first offer that can be
    taken, with `server_no_context_takeover`; "" when there is none.

    The answer never promises more than every frame keeps: no context is taken over and no window is larger than
    2**WINDOW_BITS.
    """
    for offer in offers[:2_000].split(","):
        name, *parameters = (part.strip() for part in offer.split(";"))
        if name.lower() != "permessage-deflate":
            continue
        window = _window(parameters)
        if window is None:
            continue
        bits = f"; server_max_window_bits={window}" if window else ""
        return f"permessage-deflate; server_no_context_takeover{bits}"
    return ""


def _window(parameters: list[str]) -> int | None:
    """The window a listener asks of the server: 0 where it does not, None when the offer cannot be taken."""
    window = 0
    seen: set[str] = set()
    for each in parameters:
        key = each.split("=", 1)[0].strip()
        if key in seen:
            return None
        seen.add(key)
        if key == "server_max_window_bits":
            match = _WINDOW.fullmatch(each)
            if match is None or not WINDOW_BITS <= int(match[1]) <= 15:
                return None
            window = min(int(match[1]), LARGEST_SAID)
        elif key not in (
            "server_no_context_takeover",
            "client_no_context_takeover",
            "client_max_window_bits",
        ):
            return None
    return window


class Deflater:
    """Makes deflated frames. One deflater for all messages: a full flush lets each stand alone."""

    def __init__(self) -> None:
        self._deflate = zlib.compressobj(level=3, wbits=-WINDOW_BITS)

    def frame(self, payload: bytes, opcode: int) -> bytes:
        """The payload as one frame, deflated where that makes it shorter."""
        if len(payload) < LEAST_BYTES:
            return frame(payload, opcode)
        small = self._deflate.compress(payload) + self._deflate.flush(zlib.Z_FULL_FLUSH)
        small = small.removesuffix(_TAIL)
        return frame(small, opcode | DEFLATED) if len(small) < len(payload) else frame(payload, opcode)
