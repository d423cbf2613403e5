"""One client of a hundred that never reads: the others' orders are answered as fast as without it."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from engine.exchange import clients
from tests.exchange.running import RunningExchange
from tests.exchange.test_doors import TEXT, connected, framed

ROOT = Path(__file__).resolve().parents[2]
RUN_S = 3.0
PER_CLIENT_S = 10.0  # orders a second of each
RUNS = 3
USUAL_MS = 20.0  # a p99 below it is as good as it
# Logs clients in, then for each line read sends orders at times set before, and prints how long answers took.
CHILD = """
import asyncio, hashlib, hmac, json, sys, time
import aiohttp

url, keys, run_s, rate = sys.argv[1], json.loads(sys.argv[2]), float(sys.argv[3]), float(sys.argv[4])

async def main():
    late, loop = [], asyncio.get_running_loop()
    async with aiohttp.ClientSession() as session:
        sockets = []
        for key, secret in keys:
            socket = await session.ws_connect(url + "/native")
            await socket.receive()
            ts = time.time_ns() // 1_000_000
            sign = hmac.new(secret.encode(), f"login{ts}{key}".encode(), hashlib.sha256).hexdigest()
            await socket.send_json({"op": "login", "key": key, "ts_ms": ts, "sign": sign})
            assert (await socket.receive_json())["ok"]
            sockets.append(socket)
        print("ready", flush=True)

        async def trade(at, socket, begin, answers):
            for number in range(int(run_s * rate)):
                due = begin + (number + at / len(sockets)) / rate
                await asyncio.sleep(max(0, due - loop.time()))
                op = {"op": "place", "id": 1, "symbol": "BTC-USDT", "price": "95000.0", "size": "0.0001"}
                if number % 2:
                    op = {"op": "cancel_all", "id": 1, "symbol": "BTC-USDT"}
                await socket.send_json(op)
                answer = await socket.receive_json()
                assert answer["ok"], answer
                late.append(loop.time() - due)
                answers.append(1)

        while await loop.run_in_executor(None, sys.stdin.readline):
            late.clear()
            answers = []
            begin = loop.time() + 0.1
            await asyncio.gather(*[trade(at, each, begin, answers) for at, each in enumerate(sockets)])
            rows = sorted(late)
            print(json.dumps({"p99_ms": rows[len(rows) * 99 // 100] * 1e3, "answers": len(answers)}), flush=True)

asyncio.run(main())
"""


@pytest.mark.nightly
@pytest.mark.parametrize(("count", "door"), [(99, "own"), (99, "shared"), (499, "own")])
def test_one_that_never_reads_costs_the_others_nothing(
    count: int, door: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clients, "MAX_QUEUE", 64 << 20)  # so that it is not cut, but stays
    with RunningExchange(rate=1_000) as exchange:
        made = exchange.do(
            lambda house: [house.admin.create_key(f"load-{at}", "", keep=False) for at in range(count)]
        )
        url = exchange.order_url if door == "own" else exchange.url
        keys = json.dumps([(each.api_key, each.secret) for each in made])
        rate = PER_CLIENT_S * 99 / count
        command = [sys.executable, "-c", CHILD, url, keys, str(RUN_S), str(rate)]
        with subprocess.Popen(
            command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as child:
            stdin, stdout = child.stdin, child.stdout
            assert stdin is not None
            assert stdout is not None
            assert stdout.readline().strip() == "ready"

            def run() -> dict[str, Any]:
                stdin.write("go\n")
                stdin.flush()
                return json.loads(stdout.readline())  # type: ignore[no-any-return]

            run()  # warm
            without = [run() for _ in range(RUNS)]
            with connected(exchange, door, receive_buffer=4_096) as deaf:
                ask = [{"op": op, "channels": ["book:BTC-USDT"]} for op in ("subscribe", "unsubscribe")] * 40
                deaf.send(TEXT, b'{"op":"subscribe","channels":["book:ETH-USDT","trades:ETH-USDT"]}')

                def waits(house: Any) -> int:
                    return max(each.queued for each in house.floor.clients.all.values())

                queued, tries = 0, 0
                while queued <= 1 << 20 and tries < 40:  # at first the system takes it
                    deaf.socket.sendall(framed(TEXT, json.dumps(ask).encode()))
                    time.sleep(0.1)
                    queued, tries = exchange.do(waits), tries + 1
                beside = [run() for _ in range(RUNS)]
                assert exchange.floor(lambda floor: len(floor.clients.all)) == count + 1
                assert exchange.do(waits) >= queued > 1 << 20
            stdin.close()
        wanted = count * int(RUN_S * rate)
        assert [each["answers"] for each in (*without, *beside)] == [wanted] * (2 * RUNS)
        before, during = (statistics.median(each["p99_ms"] for each in runs) for runs in (without, beside))
        print(json.dumps({"without_ms": before, "beside_ms": during, "queued": queued}))
        assert during <= 2 * max(before, USUAL_MS)
