"""The `stress` command against the built-in exchange as it runs, and what it says when that is not there."""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.bots.client import NativeClient
from engine.bots.errors import NoExchange
from engine.errors import BadSetting
from engine.load import stress
from engine.load.clients import Result
from engine.load.stress import Gateway
from tests.exchange.running import RunningExchange
from tests.load.fake_exchange import Fake, Said, fake_exchange

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def exchange() -> Iterator[RunningExchange]:
    with RunningExchange(rate=500) as running:
        yield running


def order_port(exchange: RunningExchange) -> int:
    return int(exchange.order_url.rpartition(":")[2])


def run(exchange: RunningExchange, **more: object) -> tuple[int, list[str]]:
    said: list[str] = []
    arguments = {"clients": 20, "rate": 500.0, "seconds": 1.2, "url": exchange.url} | more
    return stress.main(**arguments, say=said.append), said  # type: ignore[arg-type]


@pytest.mark.parametrize("door", ["own", "main"])
def test_a_run_on_a_schedule_loses_nothing_and_ends_with_a_table(
    exchange: RunningExchange, door: str
) -> None:
    port = order_port(exchange) if door == "own" else int(exchange.url.rpartition(":")[2])
    commands = exchange.floor(lambda floor: floor.desk.commands)
    code, said = run(exchange, order_port=port)
    assert code == 0, said
    assert exchange.floor(lambda floor: floor.desk.commands) - commands >= 600
    assert re.match(r" +\d+ s  sent \d+  acked \d+  rejected 0  waiting \d+  p50 .* ms  p99 .* ms", said[1])
    rows = {re.split(r"  +", row)[0]: re.split(r"  +", row)[-1] for row in said[said.index("") + 1 :]}
    assert [rows[name] for name in ("clients", "sent", "acked", "rejected", "lost", "reconnects", "offered")] == [
        "20", "600", "600", "0", "0", "0", "500/s",
    ]  # fmt: skip
    for name in ("average", "p50", "p95", "p99", "p99.9", "greatest"):
        assert re.fullmatch(r"[\d,]+\.\d\d ms", rows[name])
    assert said[-1] == "no order was lost"


def test_orders_trade_and_none_stays_in_the_book(exchange: RunningExchange) -> None:
    code, _ = run(exchange, mode="closed", seconds=0.5, order_port=order_port(exchange))
    assert code == 0
    names = exchange.floor(lambda floor: floor.accounts.numbers)
    numbers = [number for name, number in names.items() if name.startswith("stress-")]
    assert sum(exchange.floor(lambda floor: [len(floor.desk.fills(each, None)) for each in numbers])) > 0
    assert not any(
        exchange.floor(lambda floor: [list(floor.desk.open_orders(each, None)) for each in numbers])
    )


def test_placing_and_canceling_leaves_just_what_was_to_be_left(exchange: RunningExchange) -> None:
    async def whole() -> None:
        gateway = Gateway(exchange.url, order_port=order_port(exchange))
        load = await gateway.load(20, account="pairs")
        try:
            result = await load.place_and_cancel(0.5, sample=5)
        finally:
            await gateway.close()
        assert result.sound
        assert not result.refused
        assert [client for client, _ in result.resting] == list(range(5))
        left = {client: int(order_id) for client, order_id in result.resting}
        for client, key in enumerate(gateway.keys):
            async with NativeClient(gateway.at.socket(), key.api_key, key.secret) as asking:
                found = [each.order_id for each in (await asking.request("orders")).orders]
            assert found == ([left[client]] if client in left else [])

    asyncio.run(whole())


def test_a_lost_order_is_a_failure() -> None:
    lines = stress.table(Result(seconds=1.0, sent=10, acked=9, in_time=9, lost=1), 5, 10.0)
    assert lines[-1].startswith("NOT SOUND")
    assert ["lost", "1"] in [line.split() for line in lines]


def test_orders_that_are_lost_make_the_command_fail(exchange: RunningExchange) -> None:
    async def swallow(fake: Fake, connection: object, request: Said) -> None:
        pass

    async def whole() -> int:
        async with fake_exchange(swallow) as fake:
            port = int(fake.url.rpartition(":")[2].partition("/")[0])
            said: list[str] = []
            return await stress.run(2, 50.0, 0.2, 1, exchange.url, "open", port, said.append)

    assert asyncio.run(whole()) == 1


def test_clients_that_cannot_connect_are_a_failure(exchange: RunningExchange) -> None:
    code, said = run(exchange, clients=2, order_port=9)
    assert code == 1
    assert "not all clients could connect: client " in said[-1]


def test_no_exchange_is_one_sentence_with_what_to_do() -> None:
    with pytest.raises(
        NoExchange, match=r"no exchange answers at http://127\.0\.0\.1:9 .*start one with `uv run app.py`"
    ):
        stress.main(url="http://127.0.0.1:9")


def test_more_clients_than_the_system_has_files_for_is_said_before_anything_is_asked() -> None:
    code = (
        "import resource; resource.setrlimit(resource.RLIMIT_NOFILE, (256, 512));"
        "from engine.load import stress; stress._allow_files(300);"
        "assert resource.getrlimit(resource.RLIMIT_NOFILE) == (400, 512); stress._allow_files(500)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    assert "setting clients cannot be 500: this system allows 512 open files" in done.stderr


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("clients", 0), ("clients", 2_001), ("rate", 0.0), ("rate", 100_001.0), ("seconds", 0.0), ("seconds", 601.0),
        ("seed", -1), ("mode", "upside-down"), ("url", "http://192.168.0.1:8051"), ("url", "ftp://127.0.0.1:1"),
    ],
)  # fmt: skip
def test_bad_arguments_are_named(key: str, value: object) -> None:
    with pytest.raises(BadSetting, match=f"setting {key} cannot be"):
        stress.main(**{key: value})  # type: ignore[arg-type]
