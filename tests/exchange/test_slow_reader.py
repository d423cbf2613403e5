"""One client of 500 that never reads: the others get everything, hardly later than before, and it is cut in the end.

The readers are a process of their own, on plain sockets, so that what is measured is the exchange and not they.
"""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from engine.exchange.connection import HARD_LIMIT
from engine.exchange.faults import Fault
from tests.exchange.running import RunningExchange

ROOT = Path(__file__).resolve().parents[2]
READERS = 499
PHASE_S = 5
USUAL_MS = 20.0  # a p99 below it is as good as it
HANDSHAKE = (
    "GET /binance_spot/ws/{streams} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\n"
    "Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
# Reads the same trades on every connection; prints {"p99_ms", "trades"} of each phase, one a line read from stdin.
CHILD = """
import asyncio, json, sys, time

port, readers, phase_s, request = int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]), sys.argv[4].encode()
late, counts, lost = [], [0] * readers, 0

class Reader(asyncio.Protocol):
    def __init__(self, at):
        self.at, self.rest = at, b""
    def connection_made(self, transport):
        transport.write(request)
    def data_received(self, data):
        now = time.time_ns()
        data = self.rest + data
        found = data.count(b'"e":"trade"')
        if found:
            counts[self.at] += found
            at = data.rfind(b'"E":')
            late.append(now - int(data[at + 4 : at + 17]) * 1_000_000)
        cut = data.rfind(b"}") + 1
        self.rest = data[cut:]
    def connection_lost(self, error):
        global lost
        lost += 1

async def main():
    loop = asyncio.get_running_loop()
    for at in range(readers):
        await loop.create_connection(lambda: Reader(at), "127.0.0.1", port)
    await asyncio.sleep(1)
    print("ready", flush=True)
    while await loop.run_in_executor(None, sys.stdin.readline):
        late.clear()
        before = list(counts)
        await asyncio.sleep(phase_s)
        rows = sorted(late)
        gained = [now - then for now, then in zip(counts, before)]
        figures = {"p50_ms": rows[len(rows) // 2] / 1e6, "p99_ms": rows[len(rows) * 99 // 100] / 1e6,
                   "least": min(gained), "most": max(gained), "lost": lost}
        print(json.dumps(figures), flush=True)

asyncio.run(main())
"""


@pytest.mark.nightly
def test_a_client_that_never_reads_does_not_hold_up_the_others() -> None:
    with RunningExchange(rate=2_000) as exchange:
        port = int(exchange.url.rpartition(":")[2])
        request = HANDSHAKE.format(streams="xrpusdt@trade", port=port)
        command = [sys.executable, "-c", CHILD, str(port), str(READERS), str(PHASE_S), request]
        with subprocess.Popen(
            command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as child:
            assert child.stdin is not None
            assert child.stdout is not None
            # More connects than a venue takes in five minutes.
            exchange.do(lambda house: house.budgets["binance_spot"].enforcement._connects.clear())
            assert child.stdout.readline().strip() == "ready"

            def phase() -> dict[str, Any]:
                assert child.stdin is not None
                assert child.stdout is not None
                child.stdin.write("go\n")
                child.stdin.flush()
                return json.loads(child.stdout.readline())  # type: ignore[no-any-return]

            phase()  # warm
            before = phase()
            streams = [
                f"{base}usdt@{what}"
                for base in ("btc", "eth", "sol", "bnb", "xrp")
                for what in ("trade", "aggTrade", "depth@100ms", "depth", "bookTicker", "ticker", "kline_1s")
            ]
            with socket.create_connection(("127.0.0.1", port)) as deaf:
                deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
                deaf.sendall(HANDSHAKE.format(streams="/".join(streams), port=port).encode())
                time.sleep(0.5)

                def waits(house: Any) -> int:
                    """Bytes that wait for the deaf client; -1 once it is cut."""
                    connections = house.budgets["binance_spot"].hub.connections.values()
                    found = [each for each in connections if len(each.names) == len(streams)]
                    return found[0]._waiting_bytes if found else -1

                deaf_id = exchange.do(
                    lambda house: next(
                        each.id
                        for each in house.budgets["binance_spot"].hub.connections.values()
                        if len(each.names) == len(streams)
                    )
                )
                queued, fills = 0, 0
                while queued < 4 << 20 and fills < 12:  # at first the system and the transport take it
                    fill = Fault("huge", bytes=2 << 20, connection=deaf_id)
                    exchange.do(lambda house, fill=fill: house.server.inject(fill))
                    time.sleep(0.3)
                    queued, fills = exchange.do(waits), fills + 1
                during = phase()
                after_phase = exchange.do(waits)
                more = Fault("huge", bytes=4 << 20, connection=deaf_id, count=2)
                exchange.do(lambda house: house.server.inject(more))
                cut = phase()
                cut_slow = exchange.do(
                    lambda house: house.server.statistics()["budgets"]["binance_spot"]["sockets"]["cut_slow"]
                )
            child.stdin.close()
        print(json.dumps({"before": before, "during": during, "cut": cut, "queued": [queued, after_phase]}))
        assert 4 << 20 < queued <= HARD_LIMIT
        assert after_phase == -1 or after_phase >= queued
        assert cut_slow == 1
        for each in (before, during, cut):
            assert each["lost"] == 0
            assert each["most"] - each["least"] <= each["most"] * 0.05 + 5  # all got the same trades
        for each in (during, cut):
            assert each["p99_ms"] <= 2 * max(before["p99_ms"], USUAL_MS)
