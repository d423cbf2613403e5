"""What the Exchange page tells the engine to do, through the engine's commands: good and bad, and nothing half done."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from app import KERNEL_GROUPS
from engine.builtin import Served
from engine.errors import BadCommand
from engine.exchange.commands import COMMANDS
from engine.exchange.keystore import KeyStore
from engine.replays import Replay
from engine.service import Engine

ORDER = {
    "account": "main",
    "symbol": "BTC-USDT",
    "side": "buy",
    "type": "limit",
    "price": "95000",
    "size": "0.01",
}


def until(condition: Callable[[], Any], within_s: float = 90.0) -> Any:
    end = time.monotonic() + within_s
    while not (found := condition()):
        assert time.monotonic() < end, "did not happen in time"
        time.sleep(0.02)
    return found


async def no_sample() -> Replay:
    raise AssertionError


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    folder = tmp_path_factory.mktemp("keys")
    made = Engine(
        seed=7,
        rate=200,
        history_s=0,
        kernel_groups=KERNEL_GROUPS,
        kernel_directory=Path(os.environ["NUMBA_CACHE_DIR"]),
        open_sample=no_sample,
        served=Served("127.0.0.1", 0, 0, KeyStore(folder / "data", folder / "config")),
    )
    with pytest.raises(BadCommand, match=r"not running|did not answer"):
        made.command("exchange_cancel_all", {"account": "main", "symbol": "BTC-USDT"})
    made.start()
    try:
        until(lambda: made.built_in.house is not None and made.built_in.house.order_url)
        yield made
    finally:
        assert made.stop()


def there(engine: Engine, look: Callable[[Any], Any]) -> Any:
    """What `look(house)` gives on the engine's thread."""

    async def asked() -> Any:
        return look(engine.built_in.house)

    return engine.runtime.submit(asked).result(5)


def account(engine: Engine) -> tuple[Any, ...]:
    """What no refused command may change."""

    def look(house: Any) -> tuple[Any, ...]:
        desk = house.floor.desk
        orders = [
            (each.order_id, each.status, each.open_lots, each.price_ticks) for each in desk.open_orders(17)
        ]
        return orders, desk.balances(17), house.floor.accounts.keys, dict(house.floor.accounts.numbers)

    return there(engine, look)  # type: ignore[no-any-return]


def phases(engine: Engine) -> list[str]:
    return [phase for _, phase in there(engine, lambda house: house.view(1)).symbols]


def test_an_order_is_placed_replaced_and_canceled(engine: Engine) -> None:
    placed = engine.command("exchange_place", ORDER)
    assert placed["status"] == "new"
    assert placed["filled"] == "0.00000"
    assert placed["sentence"] == "buy 0.01000 BTC: new"
    order = there(engine, lambda house: house.floor.desk.order(17, placed["order_id"]))
    assert (order.dialect, order.price_ticks, order.lots) == ("page", 950_000, 1_000)
    number = {"account": "main", "order_id": placed["order_id"]}
    said = engine.command("exchange_replace", number | {"price": "95,100.5", "size": "0.02"})
    assert said == {"sentence": "limit order changed: new"}
    assert (order.price_ticks, order.open_lots) == (951_005, 2_000)
    # Pages hand ids over as text: browsers' numbers are too short.
    number = {"account": "main", "order_id": str(placed["order_id"])}
    assert engine.command("exchange_cancel", number) == {"sentence": "canceled"}
    for command in ("exchange_cancel", "exchange_replace"):
        with pytest.raises(BadCommand):
            engine.command(command, number | {"price": "95000", "size": "0.01"})


def test_a_market_order_tells_what_it_traded(engine: Engine) -> None:
    said = engine.command("exchange_place", ORDER | {"type": "market", "price": "", "size": "0.001"})
    assert said["status"] == "filled"
    assert said["filled"] == "0.00100"
    assert said["sentence"].startswith("buy 0.00100 BTC: filled, 0.00100 filled at 10")
    said = engine.command("exchange_place", ORDER | {"tif": "ioc"})
    assert said["status"] == "expired"
    assert said["sentence"].startswith("buy 0.01000 BTC: expired (")
    armed = engine.command("exchange_place", ORDER | {"side": "sell", "type": "stop", "trigger": "90000"})
    assert armed["status"] == "armed"
    limit = ORDER | {"post_only": True, "tif": "gtc"}
    assert engine.command("exchange_place", limit)["status"] == "new"
    said = engine.command("exchange_cancel_all", {"account": "main", "symbol": "BTCUSDT"})
    assert said == {"count": 2, "sentence": "2 canceled"}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"account": "nobody"}, "account: there is no 'nobody'"),
        ({"account": None}, "account: 1 to 80 characters of text are needed"),
        ({"account": 17}, "account: "),
        ({"symbol": "DOGE-USDT"}, "symbol: there is no 'DOGE-USDT'"),
        ({"symbol": ["BTC-USDT"]}, "symbol: "),
        ({"side": "hold"}, "side: choose one of buy, sell"),
        ({"side": {}}, "side: "),
        ({"type": "iceberg"}, "type: choose one of limit, market"),
        ({"tif": "day"}, "tif: choose one of gtc"),
        ({"price": ""}, "price: "),
        ({"price": 95_000}, "price: "),
        ({"price": "nan"}, "price: "),
        ({"price": "0"}, "price: it must be above 0"),
        ({"price": "-5"}, "price: it must be above 0"),
        ({"price": "9" * 70}, "price: "),
        ({"price": "95000.05"}, "price: "),
        ({"size": "0.000001"}, "size: "),
        ({"size": "x" * 100}, "size: "),
        ({"type": "stop"}, "trigger: "),
        ({"type": "stop", "trigger": "0"}, "trigger: "),
        ({"size": "50"}, "not enough free balance"),
        ({"price": "120000", "post_only": True}, "the post-only order would trade at once"),
        ({"price": "1"}, "price is outside the band around the last trade"),
    ],
)
def test_an_order_that_cannot_be_is_named_and_nothing_changes(
    engine: Engine, change: dict[str, Any], said: str
) -> None:
    before = account(engine)
    with pytest.raises(BadCommand) as caught:
        engine.command("exchange_place", ORDER | change)
    assert said in str(caught.value)
    assert account(engine) == before


@pytest.mark.parametrize("command", ["exchange_cancel", "exchange_replace"])
@pytest.mark.parametrize("order_id", [None, "", "abc", "-1", -1, 0, 1.5, True, [], "9" * 30, 1 << 80, 5])
def test_orders_that_are_not_there_are_not_touched(engine: Engine, command: str, order_id: Any) -> None:
    before = account(engine)
    with pytest.raises(BadCommand):
        engine.command(command, {"account": "main", "order_id": order_id, "price": "95000", "size": "0.01"})
    assert account(engine) == before


def test_another_accounts_order_is_not_touched(engine: Engine) -> None:
    key = engine.command("exchange_create_key", {"account": "stranger"})
    placed = engine.command("exchange_place", ORDER)
    number = {"account": "stranger", "order_id": placed["order_id"]}
    for command in ("exchange_cancel", "exchange_replace"):
        with pytest.raises(BadCommand):
            engine.command(command, number | {"price": "95000", "size": "0.02"})
    assert engine.command("exchange_cancel_all", {"account": "stranger", "symbol": "BTC-USDT"})["count"] == 0
    assert engine.command("exchange_cancel", number | {"account": "main"})
    assert engine.command("exchange_revoke_key", {"api_key": key["api_key"]})


def test_the_faucet_pays(engine: Engine) -> None:
    said = engine.command("exchange_faucet", {"account": "main", "asset": "SOL", "amount": "1.5"})
    assert said == {
        "account": "main",
        "asset": "SOL",
        "free": "2001.50000000",
        "sentence": "2001.50000000 SOL free now",
    }
    before = account(engine)
    for change in (
        {"amount": "0"},
        {"amount": "x"},
        {"amount": 1},
        {"asset": "EUR"},
        {"asset": ""},
        {"account": ""},
    ):
        with pytest.raises(BadCommand, match=next(iter(change))):
            engine.command("exchange_faucet", {"account": "main", "asset": "SOL", "amount": "1"} | change)
    assert account(engine) == before


def test_keys_are_made_and_revoked(engine: Engine) -> None:
    key = engine.command("exchange_create_key", {"account": "main", "label": "page", "trade": False})
    assert set(key) == {"api_key", "secret", "account"}
    found = there(engine, lambda house: house.floor.accounts.find(key["api_key"]))
    assert (found.secret, found.label, found.trade) == (key["secret"], "page", False)
    assert engine.command("exchange_revoke_key", {"api_key": key["api_key"]}) == {"sentence": "revoked"}
    before = account(engine)
    for command, args in (
        ("exchange_revoke_key", {"api_key": key["api_key"]}),
        ("exchange_revoke_key", {}),
        ("exchange_create_key", {}),
        ("exchange_create_key", {"account": "x" * 50}),
        ("exchange_create_key", {"account": "unmade", "label": "y" * 50}),
    ):
        with pytest.raises(BadCommand):
            engine.command(command, args)
    assert account(engine) == before


def test_faults_are_ordered_and_forgotten(engine: Engine) -> None:
    number = engine.command(
        "exchange_fault", {"kind": "slow_ack", "delay_s": 0.5, "market": "", "duration_s": 60}
    )
    active = there(engine, lambda house: house.server.faults.rows(time.monotonic_ns()))
    assert [each["fault"]["kind"] for each in active] == ["slow_ack"]
    assert engine.command("exchange_clear_fault", {"id": number["id"]}) == {"forgotten": 1}
    for args in (
        {},
        {"kind": "unheard of"},
        {"kind": "reject", "symbol": "nowhere"},
        {"kind": "reject", "more": 1},
    ):
        with pytest.raises(BadCommand):
            engine.command("exchange_fault", args)
    for bad in (None, "1", -1, True, 1.0):
        with pytest.raises(BadCommand, match="named by its number"):
            engine.command("exchange_clear_fault", {"id": bad})
    assert engine.command("exchange_clear_fault", {"id": 0}) == {"forgotten": 0}


def test_a_symbol_is_halted_and_trades_again(engine: Engine) -> None:
    said = engine.command("exchange_halt", {"symbol": "XRPUSDT", "halted": True})
    assert said == {"sentence": "XRP-USDT is halted"}
    assert phases(engine) == ["trading"] * 4 + ["halted"]
    with pytest.raises(BadCommand, match=r"halt|trad"):
        engine.command("exchange_place", ORDER | {"symbol": "XRP-USDT", "price": "2.0", "size": "100"})
    assert engine.command("exchange_halt", {"symbol": "XRP-USDT"}) == {"sentence": "XRP-USDT trades again"}
    assert phases(engine) == ["trading"] * 5
    for symbol in (None, "", "X"):
        with pytest.raises(BadCommand, match="symbol"):
            engine.command("exchange_halt", {"symbol": symbol, "halted": True})


def test_a_halt_of_somebody_and_a_halt_of_a_fault_do_not_end_each_other(engine: Engine) -> None:
    house = engine.built_in.house
    assert house is not None
    xrp = {"symbol": "XRP-USDT"}

    def fault() -> int:
        number = engine.command("exchange_fault", {"kind": "halt", "duration_s": 60, **xrp})["id"]
        until(lambda: house.order_faults.holds(4))
        return int(number)

    engine.command("exchange_halt", xrp | {"halted": True})
    engine.command("exchange_clear_fault", {"id": fault()})
    until(lambda: not house.order_faults.holds(4))
    assert engine.command("exchange_halt", xrp) == {
        "sentence": "XRP-USDT trades again"
    }  # not "it does already"
    number = fault()
    engine.command("exchange_halt", xrp | {"halted": True})
    said = engine.command("exchange_halt", xrp)
    assert said == {"sentence": "XRP-USDT trades again when the fault that halts it is over"}
    assert phases(engine) == ["trading"] * 4 + ["halted"]
    engine.command("exchange_clear_fault", {"id": number})
    until(lambda: phases(engine) == ["trading"] * 5)


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_no_command_does_anything_without_arguments(engine: Engine, name: str) -> None:
    before = account(engine)
    for args in (
        {},
        {"account": [1], "symbol": [1], "api_key": [1], "order_id": [1], "id": [1], "kind": [1]},
    ):
        with pytest.raises(BadCommand):
            engine.command(name, args)
    assert account(engine) == before


def test_commands_wait_for_an_exchange_that_lets_clients_in() -> None:
    made = Engine(
        seed=7, rate=0, history_s=0, kernel_groups=(), kernel_directory=Path(os.environ["NUMBA_CACHE_DIR"]),
        open_sample=no_sample,
    )  # fmt: skip
    for name in COMMANDS:
        with pytest.raises(BadCommand, match="not running, or no clients are let in"):
            asyncio.run(made._tell_house(name, {}))
