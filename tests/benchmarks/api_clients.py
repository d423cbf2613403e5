"""The load of `bench_api.py`: lean callers and listeners, the same for the API and for what it is measured beside."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from picows import WSFrame, WSListener, WSMsgType, WSTransport, ws_connect

CONNECTING = 50  # at a time
TEXT = WSMsgType.TEXT
OK = b"HTTP/1.1 200 "
STAMP = b'"ts_ms":'


@dataclass(slots=True)
class Pulled:
    """What callers were answered."""

    answered: int = 0
    seconds: float = 0.0
    cpu: float = 0.0  # of this process: its time over the run's
    bodies: list[bytes] = field(default_factory=list)  # the last of each caller
    strange: list[bytes] = field(default_factory=list)  # answers with another status, or that begin otherwise

    @property
    def rps(self) -> float:
        """Answers a second."""
        return self.answered / self.seconds


class Caller(asyncio.Protocol):
    """One keep-alive connection that asks again once it is answered."""

    def __init__(self, request: bytes, found: Pulled, begins: bytes) -> None:
        self.request, self.found, self.begins = request, found, begins
        self.asking = False
        self.gone = False
        self.held = b""
        self.size = 0  # of the answer before, whole: most are alike, and need no reading again
        self.last = b""
        self.transport: Any = None  # uvloop's is no asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """It may ask from now on."""
        self.transport = transport

    def connection_lost(self, error: Exception | None) -> None:
        """No more answers come."""
        self.gone = True

    def ask(self) -> None:
        """One more request."""
        self.transport.write(self.request)

    def data_received(self, data: bytes) -> None:
        """An answer, or a part of one."""
        if self.held or len(data) != self.size or not data.startswith(OK):
            data = self.held + data
            at = data.find(b"\r\n\r\n")
            length = data.find(b"Content-Length: ", 0, at) if at >= 0 else -1
            if length < 0 or len(data) < at + 4 + int(data[length + 16 : data.index(b"\r", length)]):
                self.held = data
                return
            self.held, self.size = b"", len(data)
        found = self.found
        found.answered += 1
        if not data.startswith(OK) or self.begins not in data:
            found.strange.append(data)
        self.last = data
        if self.asking:
            self.ask()


async def pull(port: int, path: str, connections: int, seconds: float, begins: bytes) -> Pulled:
    """What so many callers get, each asking again once it is answered."""
    loop, found = asyncio.get_running_loop(), Pulled()
    request = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nAccept: application/json\r\n\r\n".encode()
    callers = [
        (await loop.create_connection(lambda: Caller(request, found, begins), "127.0.0.1", port))[1]
        for _ in range(connections)
    ]
    started, spent = time.perf_counter(), time.process_time()
    for each in callers:
        each.asking = True
        each.ask()
    await asyncio.sleep(seconds)
    found.seconds = time.perf_counter() - started
    found.cpu = (time.process_time() - spent) / found.seconds
    answered = found.answered
    for each in callers:
        each.asking = False
    await asyncio.sleep(0.05)  # what is under way
    found.answered = answered
    found.bodies = [each.last.partition(b"\r\n\r\n")[2] for each in callers]
    assert not any(each.gone for each in callers), "a connection ended"
    for each in callers:
        each.transport.close()
    return found


async def ask(
    port: int, path: str, address: str, count: int, pause_s: float = 0.0
) -> list[tuple[int, dict[str, str]]]:
    """Statuses and headers of so many requests over one connection from an address of this machine."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, local_addr=(address, 0))
    answers = []
    try:
        for _ in range(count):
            writer.write(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n".encode())
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            status, *lines = head.split("\r\n")
            headers = {
                name.lower(): value for name, _, value in (line.partition(": ") for line in lines) if name
            }
            await reader.readexactly(int(headers.get("content-length", "0")))
            answers.append((int(status.split()[1]), headers))
            if pause_s:
                await asyncio.sleep(pause_s)
    finally:
        writer.close()
    return answers


class Listener(WSListener):
    """One connection that counts what it is told, and of candles how late they are."""

    def __init__(self, listeners: Listeners, at: int) -> None:
        self.listeners, self.at = listeners, at
        self.messages = 0
        self.transport: WSTransport | None = None
        self.closed = ""
        self.kept: list[bytes] | None = None  # of some: all messages, to check

    def on_ws_connected(self, transport: WSTransport) -> None:
        """It is there."""
        self.transport = transport

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        """One message."""
        if frame.msg_type != TEXT:
            if frame.msg_type == WSMsgType.CLOSE:
                self.closed = f"{frame.get_close_code()} {frame.get_close_message()}"
                transport.disconnect()
            return
        self.messages += 1
        listeners = self.listeners
        if not listeners.reads:
            if self.kept is not None:
                self.kept.append(frame.get_payload_as_bytes())
            return
        now_ns = time.time_ns()
        data = frame.get_payload_as_bytes()
        if self.kept is not None:
            self.kept.append(data)
        if data.startswith(b'{"type":"candle"') or data.startswith(b'{"type": "candle"'):
            stamp = data.index(STAMP) + len(STAMP)
            listeners.waits.append(now_ns - int(data[stamp : stamp + 14].strip(b" ,}")) * 1_000_000)


class Listeners:
    """So many connections to one server."""

    def __init__(self, url: str, count: int, kept_of: int = 25) -> None:
        self.url, self.count, self._kept_of = url, count, kept_of
        self.each: list[Listener] = []
        self.reads = False  # candles' times are looked at: it costs this process more
        self.waits: list[int] = []

    async def connect(self) -> None:
        """All are connected."""
        for start in range(0, self.count, CONNECTING):
            some = range(start, min(start + CONNECTING, self.count))
            made = await asyncio.gather(
                *(ws_connect(lambda at=at: Listener(self, at), self.url) for at in some)
            )
            self.each += [listener for _, listener in made]

    def say(self, messages: Sequence[dict[str, Any]]) -> None:
        """The same, from each."""
        frames = [json.dumps(message).encode() for message in messages]
        for each in self.each:
            assert each.transport is not None
            for frame in frames:
                each.transport.send(TEXT, frame)

    def keep(self) -> None:
        """From now on every 25th keeps what it is told."""
        for each in self.each[:: self._kept_of]:
            each.kept = []

    def kept(self) -> list[list[dict[str, Any]]]:
        """What those were told."""
        found = [[json.loads(data) for data in each.kept] for each in self.each if each.kept is not None]
        for each in self.each:
            each.kept = None
        return found

    @property
    def messages(self) -> int:
        """Messages so far, of all."""
        return sum(each.messages for each in self.each)

    @property
    def cut(self) -> list[str]:
        """Why connections ended."""
        return [each.closed or "?" for each in self.each if each.closed or each.transport is None]

    async def count_for(self, seconds: float) -> tuple[float, float]:
        """Messages a second that came in that time, and how busy this process was."""
        before, started, spent = self.messages, time.perf_counter(), time.process_time()
        await asyncio.sleep(seconds)
        took = time.perf_counter() - started
        return (self.messages - before) / took, (time.process_time() - spent) / took

    async def time_candles(self, seconds: float) -> dict[str, float]:
        """How long after they were made candles came, ms."""
        self.waits.clear()
        self.reads = True
        await asyncio.sleep(seconds)
        self.reads = False
        assert self.waits, "no candles came"
        waits = np.array(self.waits) / 1e6
        return {
            "candles": len(waits),
            "p50_ms": round(float(np.percentile(waits, 50)), 2),
            "p99_ms": round(float(np.percentile(waits, 99)), 2),
            "max_ms": round(float(waits.max()), 2),
        }

    def close(self) -> None:
        """End all connections."""
        for each in self.each:
            if each.transport is not None:
                each.transport.disconnect()
        self.each.clear()
