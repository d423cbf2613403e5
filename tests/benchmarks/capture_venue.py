"""A recorded Binance spot market as a venue on loopback: REST as far as a client needs it, and the recorded frames.

`python capture_venue.py CAPTURE FRAMES_PER_S` prints its address; 0 frames a second sends as fast as the client reads.
Frames up to the recorded snapshot are sent at once after the subscription, the rest when the client has fetched the
snapshot. WebSocket frames are made before, so sending costs next to nothing.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import struct
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from feeds import capture

MAGIC = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
BURST_BYTES = 1 << 18
FIRST_FRAMES = 200


def framed(payload: bytes) -> bytes:
    """One unmasked text message."""
    size = len(payload)
    if size < 126:
        return struct.pack("!BB", 0x81, size) + payload
    return (
        struct.pack("!BBH", 0x81, 126, size) if size < 65_536 else struct.pack("!BBQ", 0x81, 127, size)
    ) + payload


class CaptureVenue:
    """Serves one capture to one client."""

    def __init__(self, path: str, frames_per_s: float) -> None:
        info = capture.probe(path)
        self.native = info.native[0]
        recorded = [frame for _, frame in capture.read(path)]
        at = next(i for i, frame in enumerate(recorded) if frame.startswith(b'{"lastUpdateId"'))
        self.snapshot = recorded.pop(at)
        self.frames = [framed(frame) for frame in recorded]
        self.frames_per_s = frames_per_s
        self.fetched = asyncio.Event()

    def answer(self, path: str) -> bytes:
        """A REST answer's body."""
        now_ms = time.time_ns() // 1_000_000
        if path.endswith("/exchangeInfo"):
            symbol = {
                "symbol": self.native,
                "status": "TRADING",
                "baseAsset": "BTC",
                "quoteAsset": "USDT",
                "isSpotTradingAllowed": True,
                "filters": [
                    {"filterType": "PRICE_FILTER", "tickSize": "0.01000000"},
                    {"filterType": "LOT_SIZE", "stepSize": "0.00000100"},
                ],
            }
            return json.dumps({"symbols": [symbol], "rateLimits": []}).encode()
        if path.endswith("/time"):
            return json.dumps({"serverTime": now_ms}).encode()
        if path.endswith("/depth"):
            self.fetched.set()
            return self.snapshot
        return b"[]"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection: REST calls until it asks for a WebSocket."""
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                lines = head.decode("latin-1").split("\r\n")
                path = lines[0].split(" ")[1].partition("?")[0]
                fields = dict(line.split(": ", 1) for line in lines[1:] if ": " in line)
                key = {name.lower(): value for name, value in fields.items()}.get("sec-websocket-key")
                if key is not None:
                    await self.stream(reader, writer, key)
                    return
                body = self.answer(path)
                writer.write(
                    b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
                    % len(body)
                    + body
                )
        except (asyncio.IncompleteReadError, ConnectionError):
            return
        finally:
            writer.close()

    async def stream(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, key: str) -> None:
        """Accept, answer the first subscription, send everything."""
        accept = base64.b64encode(hashlib.sha1(key.encode() + MAGIC).digest())
        writer.write(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n"
        )
        request = json.loads(await self.read_text(reader))
        writer.write(framed(json.dumps({"result": None, "id": request["id"]}).encode()))
        writer.write(b"".join(self.frames[:FIRST_FRAMES]))
        await self.fetched.wait()
        await asyncio.sleep(0.3)  # what the client does at its start is not what is measured
        rest = self.frames[FIRST_FRAMES:]
        if self.frames_per_s:
            await self.pace(writer, rest)
        else:
            burst: list[bytes] = []
            size = 0
            for frame in rest:
                burst.append(frame)
                size += len(frame)
                if size >= BURST_BYTES:
                    writer.write(b"".join(burst))
                    await writer.drain()
                    burst, size = [], 0
            writer.write(b"".join(burst))
        await writer.drain()
        await reader.read()  # until the client leaves

    async def pace(self, writer: asyncio.StreamWriter, frames: list[bytes]) -> None:
        """Send on a schedule: a late frame is not waited for again."""
        started = time.perf_counter()
        for number, frame in enumerate(frames):
            ahead = started + number / self.frames_per_s - time.perf_counter()
            if ahead > 0.001:
                await asyncio.sleep(ahead)
            writer.write(frame)

    async def read_text(self, reader: asyncio.StreamReader) -> bytes:
        """The payload of one masked message from the client."""
        _, size = await reader.readexactly(2)
        size &= 0x7F
        if size == 126:
            (size,) = struct.unpack("!H", await reader.readexactly(2))
        mask = await reader.readexactly(4)
        data = await reader.readexactly(size)
        return bytes(byte ^ mask[at % 4] for at, byte in enumerate(data))


async def main() -> None:
    """Serve until killed."""
    venue = CaptureVenue(sys.argv[1], float(sys.argv[2]))
    server = await asyncio.start_server(venue.serve, "127.0.0.1", 0, limit=1 << 20)
    print(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]} {len(venue.frames)}", flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
