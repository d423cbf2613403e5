"""The `bots` command against the built-in exchange as it runs, and what it says when that is not there."""

from __future__ import annotations

import asyncio
import contextlib
import re
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from engine.bots import client as client_module
from engine.bots import keys, run
from engine.bots.client import NativeClient
from engine.bots.errors import BadStrategy, NoAnswer, NoExchange
from engine.bots.robot import Market, Robot
from engine.bots.strategies import loading
from engine.bots.strategies.base import Action, Cancel, Place, Strategy, View
from engine.bots.wire import Message
from engine.errors import BadSetting
from engine.exchange.accounts import Key
from tests.exchange.running import RunningExchange

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def exchange() -> Iterator[RunningExchange]:
    with RunningExchange(rate=500) as running:
        yield running


def socket(exchange: RunningExchange) -> str:
    return keys.address(exchange.url).socket()


async def follow(exchange: RunningExchange, data: NativeClient) -> Market:
    market = Market(data.symbols["BTC-USDT"])
    await data.subscribe(["bbo:BTC-USDT"], market.on_quote)
    while market.touch is None:
        await asyncio.sleep(0.01)
    return market


class Scripted(Strategy):
    """Does what the test says, once each turn."""

    def __init__(self, *turns: Callable[[View], list[Action]]) -> None:
        super().__init__(0)
        self.turns = list(turns)
        self.views: list[tuple[int, int]] = []  # position, open orders

    def decide(self, view: View, now_ns: int) -> list[Action]:
        self.views.append((view.position_lots, len(view.orders)))
        return self.turns.pop(0)(view) if self.turns else []


def with_robot(exchange: RunningExchange, strategy: Strategy, body: Any, account: str) -> None:
    """Run `body(robot, client, key)` with a robot that has entered."""

    async def whole() -> None:
        key = exchange.key(account)
        async with asyncio.timeout(20), NativeClient(socket(exchange)) as data:
            market = await follow(exchange, data)
            async with NativeClient(socket(exchange), key.api_key, key.secret) as client:
                robot = Robot("scripted", strategy, client, market)
                await robot.enter()
                await body(robot, client, key)

    asyncio.run(whole())


def test_robots_of_all_strategies_trade_and_leave_nothing_open(exchange: RunningExchange) -> None:
    said: list[str] = []
    code = run.main(
        "random,market-maker,momentum,twap", count=8, rate=80, seconds=2.5, url=exchange.url, say=said.append
    )
    assert code == 0
    assert said[0].startswith(
        "8 robots (random, market-maker, momentum, twap) trade BTC-USDT on http://127.0.0.1:"
    )
    lines = [each for each in said if "orders" in each and " s  " in each]
    assert 1 <= len(lines) <= 2  # one a second
    assert re.search(
        r"orders \d+ \(\d+/s\)  fills \d+  rejects .*position -?\d\.\d{5} BTC  PnL random", lines[0]
    )
    table = said[said.index("") :]
    assert [row.split()[0] for row in table[3:7]] == ["random", "market-maker", "momentum", "twap"]
    orders = {row.split()[0]: int(row.split()[2]) for row in table[3:7]}
    assert orders["random"] > 5
    assert orders["market-maker"] >= 2
    assert orders["twap"] > 0
    names = exchange.floor(lambda floor: floor.accounts.numbers)
    robots = [
        number
        for name, number in names.items()
        if name.removesuffix("-1").removesuffix("-2") in loading.BUILT_IN
    ]
    assert len(robots) == 8
    for number in robots:
        assert exchange.floor(lambda floor, number=number: list(floor.desk.open_orders(number, None))) == []


def test_a_robots_books_equal_the_exchanges(exchange: RunningExchange) -> None:
    strategy = Scripted(
        lambda view: [Place("buy", 10 * view.unit_lots, view.ask_ticks + 100, "ioc")],
        lambda view: [
            Place("sell", 3 * view.unit_lots),
            Place("buy", view.unit_lots, view.bid_ticks * 9 // 20 * 2),  # not met meanwhile
        ],
        lambda view: [],
        lambda view: [Cancel(next(iter(view.orders)))],
    )

    async def body(robot: Robot, client: NativeClient, key: Key) -> None:
        before = (await client.request("balances")).balances
        assert await robot.turn() == 1
        assert await robot.turn() == 2
        await robot.turn()
        assert len(robot.ledger.orders) == 1
        await robot.turn()
        await robot.turn()
        unit = robot._view.unit_lots if robot._view else 0
        assert robot.ledger.position_lots == 7 * unit
        assert strategy.views[-1] == (7 * unit, 0)
        after = (await client.request("balances")).balances
        assert robot.ledger.base_atoms == _total(after, "BTC") - _total(before, "BTC")
        assert robot.ledger.cash_atoms == _total(after, "USDT") - _total(before, "USDT")
        assert (robot.counts.orders, robot.counts.cancels, robot.counts.rejects.total()) == (3, 1, 0)

    with_robot(exchange, strategy, body, "books")


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch) -> asyncio.Event:
    """Clients connect only once it is set."""
    open_now = asyncio.Event()
    connect = client_module.connect

    @contextlib.asynccontextmanager
    async def later(*given: Any, **named: Any) -> AsyncIterator[Any]:
        await open_now.wait()
        async with connect(*given, **named) as connection:
            yield connection

    open_now.set()
    monkeypatch.setattr(client_module, "connect", later)
    monkeypatch.setattr(client_module, "BACKOFF_S", 0.01)
    return open_now


async def cut(client: NativeClient, held: asyncio.Event) -> None:
    """Break a client's connection; it stays away until `held` is set."""
    held.clear()
    assert client._connection is not None
    client._connection.transport.abort()
    while client.connected:
        await asyncio.sleep(0.01)


def test_what_happened_while_a_robot_was_away_is_in_its_books(
    exchange: RunningExchange, held: asyncio.Event
) -> None:
    # So far below the market that it is not met before it is canceled, however long that takes.
    strategy = Scripted(lambda view: [Place("buy", view.unit_lots, view.bid_ticks * 9 // 10)])

    async def body(robot: Robot, client: NativeClient, key: Key) -> None:
        await robot.turn()
        (order_id,) = robot.ledger.orders
        async with NativeClient(socket(exchange), key.api_key, key.secret) as other:
            await cut(client, held)
            assert (await other.cancel(order_id)).ok
            assert (await other.place("BTC-USDT", "buy", "0.00100")).filled == "0.00100"
            assert list(robot.ledger.orders) == [order_id]
            held.set()
            while robot.ledger.orders or not robot.ledger.position_lots:
                await asyncio.sleep(0.01)
        assert robot.ledger.position_lots == 100

    with_robot(exchange, strategy, body, "away")


def test_a_robot_that_gets_no_answer_after_a_reconnection_asks_again(
    exchange: RunningExchange, held: asyncio.Event
) -> None:
    strategy = Scripted(lambda view: [Place("buy", view.unit_lots, view.bid_ticks * 9 // 10)])

    async def body(robot: Robot, client: NativeClient, key: Key) -> None:
        await robot.turn()
        (order_id,) = robot.ledger.orders
        asked: list[str] = []
        request = client.request

        async def silent_once(op: str, **fields: Any) -> Message:
            asked.append(op)
            if asked == ["orders"]:
                raise NoAnswer("no answer to 'orders' within 5 s")
            return await request(op, **fields)

        client.request = silent_once  # type: ignore[method-assign]
        async with NativeClient(socket(exchange), key.api_key, key.secret) as other:
            await cut(client, held)
            assert (await other.cancel(order_id)).ok
            held.set()
            while robot.ledger.orders:
                await asyncio.sleep(0.01)
        assert asked == ["orders", "orders", "fills"]

    with_robot(exchange, strategy, body, "unanswered")


def test_refusals_are_counted_by_code_with_the_exchanges_words(exchange: RunningExchange) -> None:
    strategy = Scripted(
        lambda view: [Place("buy", view.unit_lots, view.ask_ticks + 100, post_only=True), Cancel(1)]
    )

    async def body(robot: Robot, client: NativeClient, key: Key) -> None:
        await robot.turn()
        assert robot.counts.rejects == {23: 1, 28: 1}
        assert robot.counts.sentences[23] == "the post-only order would trade at once"

    with_robot(exchange, strategy, body, "refused")


@pytest.mark.parametrize(
    ("action", "said"),
    [
        (lambda view: 1 / 0, r"decide failed: ZeroDivisionError: .*test_run.py, line \d+"),
        (lambda view: None, "decide failed: TypeError"),
        (lambda view: ["buy"], "decide returned 'buy': it returns Place and Cancel"),
        (lambda view: [Place("buy", 0)], "whole ticks and lots"),
        (lambda view: [Place("buy", 1.5)], "whole ticks and lots"),
        (lambda view: [Place("bid", 1)], "whole ticks and lots"),
    ],
)
def test_a_strategy_that_does_what_none_may_is_one_sentence(
    exchange: RunningExchange, action: Callable[[View], list[Action]], said: str
) -> None:
    async def body(robot: Robot, client: NativeClient, key: Key) -> None:
        with pytest.raises(BadStrategy, match=said):
            await robot.turn()
        assert robot.counts.orders == 0

    with_robot(exchange, Scripted(action), body, "wrong")


def test_what_a_decision_has_too_many_of_is_left_out(exchange: RunningExchange) -> None:
    async def body(robot: Robot, client: NativeClient, key: Key) -> None:
        assert await robot.turn() == 20
        assert (robot.counts.orders, robot.counts.left_out) == (20, 5)
        await client.cancel_all("BTC-USDT")

    with_robot(exchange, Scripted(lambda view: [Place("buy", view.unit_lots, 900_000)] * 25), body, "many")


def test_ctrl_c_ends_it_with_the_table_and_all_orders_canceled(exchange: RunningExchange) -> None:
    code = f"from engine.bots import run; raise SystemExit(run.main('market-maker', rate=20, url={exchange.url!r}))"
    with subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        while "PnL" not in child.stdout.readline():  # the first second is over
            assert child.poll() is None
        names = exchange.floor(lambda floor: floor.accounts.numbers)
        child.send_signal(signal.SIGINT)
        rest = child.stdout.read()
    assert child.returncode == 0
    assert re.search(r"^market-maker +1 ", rest, re.MULTILINE)
    assert exchange.floor(lambda floor: list(floor.desk.open_orders(names["market-maker"], None))) == []


@pytest.mark.parametrize("module", ["engine.bots.run", "engine.load.stress"])
def test_the_commands_start_without_numba(module: str) -> None:
    code = f"import sys, {module}; assert 'numba' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, timeout=60)


def test_a_strategys_failure_ends_the_command_with_its_orders_canceled(
    exchange: RunningExchange, tmp_path: Path
) -> None:
    file = tmp_path / "own.py"
    file.write_text(
        "from engine.bots.strategies.base import Place, Strategy\n"
        "class Mine(Strategy):\n"
        "    def decide(self, view, now_ns):\n"
        "        if view.orders:\n"
        "            raise RuntimeError('enough')\n"
        "        return [Place('buy', view.unit_lots, view.bid_ticks - 5000)]\n"
    )
    said: list[str] = []
    with pytest.raises(BadStrategy, match="enough"):
        run.main(f"{file}:Mine", rate=50, seconds=10, url=exchange.url, say=said.append)
    assert any(row.split()[1:5] == ["1", "1", "0", "0"] for row in said if row.startswith(str(file)))
    names = exchange.floor(lambda floor: floor.accounts.numbers)
    assert exchange.floor(lambda floor: list(floor.desk.open_orders(names["Mine"], None))) == []


def test_a_symbol_that_is_not_traded_is_named_with_those_that_are(exchange: RunningExchange) -> None:
    with pytest.raises(
        BadSetting, match="setting symbol cannot be 'DOGE-USDT': the exchange trades BTC-USDT, ETH"
    ):
        run.main(symbol="DOGE-USDT", seconds=1, url=exchange.url)


def test_no_exchange_is_one_sentence_with_what_to_do() -> None:
    with pytest.raises(NoExchange) as caught:
        run.main(seconds=1, url="http://127.0.0.1:9")
    assert str(caught.value).startswith("no exchange answers at http://127.0.0.1:9 (connection refused)")
    assert "start one with `uv run app.py`" in str(caught.value)


def test_an_exchange_that_goes_away_for_good_ends_the_command_with_the_table(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(client_module, "BACKOFF_S", 0.01)
    monkeypatch.setattr(client_module, "TRIES", 2)
    said: list[str] = []

    async def whole() -> None:
        with RunningExchange(rate=500) as own:
            task = asyncio.ensure_future(
                run.run(run.plan("random", 2, rate=50, url=own.url), asyncio.Event(), said.append)
            )
            while not any("fills" in each for each in said):
                await asyncio.sleep(0.01)
                assert not task.done()
            await asyncio.to_thread(own.__exit__, None, None, None)
            with pytest.raises(NoExchange, match="connection refused"):
                await task

    asyncio.run(whole())
    assert any(each.split()[:2] == ["random", "2"] for each in said)
    assert said[-1] == "2 robots could not cancel their orders: the exchange did not answer"


def test_keys_that_are_not_handed_out_are_told_with_the_exchanges_words(exchange: RunningExchange) -> None:
    with pytest.raises(NoExchange, match=r"it hands out no keys: .*count"):
        asyncio.run(keys.borrow(keys.address(exchange.url), "many", 1_000_000))


def test_something_else_that_answers_is_no_exchange() -> None:
    async def whole() -> None:
        async def hello(request: web.BaseRequest) -> web.Response:
            return web.Response(text="hello")

        server = web.Server(hello)
        runner = web.ServerRunner(server)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        try:
            with pytest.raises(NoExchange, match="it answers, but not as an exchange"):
                await keys.borrow(keys.Address("127.0.0.1", runner.addresses[0][1]), "robots", 1)
        finally:
            await runner.cleanup()

    asyncio.run(whole())


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("count", 0), ("count", 201), ("rate", -1.0), ("rate", 5_001.0), ("seconds", -1.0), ("seconds", 86_401.0),
        ("seed", -1), ("url", "http://example.com:8051"), ("url", "https://127.0.0.1:8051"),
        ("url", "http://127.0.0.1"), ("url", "127.0.0.1:8051"), ("url", "http://127.0.0.1:99999"), ("strategy", " , "),
        ("strategy", "random,random"),
    ],
)  # fmt: skip
def test_bad_arguments_are_named(key: str, value: object) -> None:
    with pytest.raises(BadSetting, match=f"setting {key} cannot be"):
        run.plan(**{key: value})  # type: ignore[arg-type]


def test_a_side_without_quotes_leaves_the_last_prices() -> None:
    from engine.bots.wire import Listed, Symbol

    market = Market(Symbol.of(Listed("BTC-USDT", "0.1", "0.00001", "5")))
    market.on_quote(Message(ch="bbo:BTC-USDT", bid=("100.0", "1.0"), ask=("100.2", "1.0")))
    assert market.touch is not None
    assert market.touch[0::2] == (1_000, 1_002)
    market.on_quote(Message(ch="bbo:BTC-USDT", bid=("0.0", "0.0"), ask=("100.2", "1.0")))
    market.on_quote(Message(ch="bbo:BTC-USDT"))
    assert market.touch[0::2] == (1_000, 1_002)


def _total(balances: dict[str, Any], asset: str) -> int:
    from engine.bots.wire import atoms

    held = balances[asset]
    return atoms(held.free) + atoms(held.reserved)
