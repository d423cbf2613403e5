"""The floor over restarts: what a command log brings back to clients, and who is told what when."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from engine import owner
from engine.exchange.desk import FIRST_CLIENT
from engine.exchange.floor import ENDOWMENT, ask
from engine.exchange.house import House
from engine.exchange.keystore import KeyStore
from engine.exchange.trading import Order
from engine.market.batches import BUY, SELL
from engine.matching.orders import EXPIRE_TAKER, GTD, LIMIT, MARKET, STOP, STOP_LIMIT, TRAILING_STOP
from tests.exchange.running import RunningExchange

BTC = 0
FAR_NS = 4_000_000_000_000_000_000


def outcome(exchange: RunningExchange, command: Any, *given: Any) -> Any:
    """What became of a desk's command, given on the exchange's loop."""
    assert exchange._loop is not None

    async def there() -> Any:
        return await ask(command, *given)

    return asyncio.run_coroutine_threadsafe(there(), exchange._loop).result(10)


def place(exchange: RunningExchange, order: Order) -> Any:
    found = outcome(exchange, exchange.house.floor.desk.place, order)
    assert not found.reason, found
    return found


def facts(order: Order) -> tuple[Any, ...]:
    return (
        *(order.account, order.symbol, order.side, order.kind, order.price_ticks, order.trigger_ticks),
        *(order.open_lots, order.status, order.post_only, order.display_lots, order.self_trade),
        *(order.expire_ns, order.link_id, order.time_in_force, order.order_id),
    )


def a_book_of_orders(exchange: RunningExchange, account: int) -> None:
    """One of each kind that can be open, none near the market."""
    best = exchange.floor(lambda floor: floor.desk.engine.bbo("BTC-USDT"))
    low, high = best.bid_ticks * 9 // 10, best.ask_ticks * 11 // 10
    first = Order(account, BTC, BUY, LIMIT, 1_000, low, client_id="mine", dialect="native")
    place(exchange, first)
    for order in (
        Order(account, BTC, SELL, LIMIT, 2_000, high, post_only=True, self_trade=EXPIRE_TAKER),
        Order(account, BTC, SELL, LIMIT, 3_000, high + 1, display_lots=500),
        Order(account, BTC, BUY, LIMIT, 1_000, low - 1, time_in_force=GTD, expire_ns=FAR_NS),
        Order(account, BTC, SELL, STOP, 1_500, trigger_ticks=low),
        Order(account, BTC, BUY, STOP_LIMIT, 1_600, high + 5, trigger_ticks=high),
        Order(account, BTC, SELL, TRAILING_STOP, 1_700, trigger_ticks=high // 10),
        Order(account, BTC, SELL, STOP, 1_000, trigger_ticks=low - 7, link_id=first.order_id),
    ):
        place(exchange, order)


def test_after_a_restart_an_account_lists_and_cancels_the_orders_it_had(tmp_path: Path) -> None:
    store = KeyStore(tmp_path / "data", tmp_path / "config")
    settings: dict[str, Any] = {"log_folder": tmp_path / "log", "store": store, "rate": 300}
    with RunningExchange(**settings) as exchange:
        key = exchange.key("other")
        place(exchange, Order(key.account, BTC, BUY, MARKET, 2_000))
        a_book_of_orders(exchange, key.account)
        before = exchange.floor(lambda f: [facts(each) for each in f.desk.open_orders(key.account)])
        before_money = exchange.floor(lambda f: f.desk.balances(key.account))
        assert len(before) == 8
    with RunningExchange(**settings) as exchange:
        desk = exchange.house.floor.desk
        assert exchange.floor(lambda floor: floor.accounts.find(key.api_key)) == key
        after = exchange.floor(lambda f: [facts(each) for each in f.desk.open_orders(key.account)])
        # The partner's order is named by both from the engine.
        assert sorted(row[:12] + row[13:] for row in after) == sorted(row[:12] + row[13:] for row in before)
        assert [row[-1] for row in after] == [row[-1] for row in before]
        assert after[-1][12] == after[0][-1]
        assert exchange.floor(lambda f: f.desk.balances(key.account)) == before_money
        fresh = Order(key.account, BTC, BUY, LIMIT, 1_000, before[0][4] - 9)
        place(exchange, fresh)
        assert fresh.order_id > max(row[-1] for row in before)
        canceled = outcome(exchange, desk.cancel, key.account, before[2][-1])
        assert (canceled.reason, canceled.status) == (0, "canceled")
        rest = outcome(exchange, desk.cancel_all, key.account, BTC)
        assert (rest.reason, rest.count) == (0, 8)
        assert exchange.floor(lambda f: f.desk.open_orders(key.account)) == []
        assert not any(each.reserved for each in exchange.floor(lambda f: f.desk.balances(key.account)))
    with RunningExchange(**settings) as exchange:
        assert exchange.floor(lambda floor: floor.desk.open_orders(key.account)) == []


def test_ids_do_not_come_again_after_a_restart_with_a_clock_set_back(tmp_path: Path) -> None:
    settings: dict[str, Any] = {"log_folder": tmp_path / "log", "rate": 200}
    with RunningExchange(**settings) as exchange:
        order = Order(FIRST_CLIENT, BTC, BUY, LIMIT, 1_000, 900_000)
        place(exchange, order)
        assert outcome(exchange, exchange.house.floor.desk.cancel, FIRST_CLIENT, order.order_id).reason == 0
    behind = RunningExchange(**settings)
    clock = behind._clock
    behind._built_in._clock = lambda: clock() - 3_600 * 10**9
    with behind as exchange:
        again = Order(FIRST_CLIENT, BTC, BUY, LIMIT, 1_000, 900_000)
        place(exchange, again)
        assert again.order_id > order.order_id


def test_whoever_is_new_after_a_restart_gets_no_money_or_orders_of_one_forgotten(tmp_path: Path) -> None:
    settings: dict[str, Any] = {"log_folder": tmp_path / "log", "rate": 200}
    with RunningExchange(**settings) as exchange:
        passing = exchange.do(lambda house: house.admin.create_key("load-1", "", keep=False))
        place(exchange, Order(passing.account, BTC, BUY, LIMIT, 1_000, 900_000))
        main = exchange.key()
        outcome(exchange, exchange.house.floor.desk.deposit, main.account, "USDT", 10**8)
    with RunningExchange(**settings) as exchange:
        fresh = exchange.key("fresh")
        assert fresh.account != passing.account
        assert exchange.floor(lambda floor: floor.desk.open_orders(fresh.account)) == []
        wait = outcome(exchange, exchange.house.floor.desk.deposit, fresh.account, "SOL", 1)
        assert wait.reason == 0
        assert (
            exchange.floor(lambda f: f.desk.balance(fresh.account, "USDT").free) == ENDOWMENT["USDT"] * 10**8
        )
        again = exchange.key()
        assert again.account == main.account == FIRST_CLIENT
        money = exchange.floor(lambda f: f.desk.balance(again.account, "USDT").free)
        assert money == (ENDOWMENT["USDT"] + 1) * 10**8


def test_nobody_gets_the_account_of_one_who_revoked_the_last_key(tmp_path: Path) -> None:
    store = KeyStore(tmp_path / "data", tmp_path / "config")
    settings: dict[str, Any] = {"log_folder": tmp_path / "log", "store": store, "rate": 100}
    with RunningExchange(**settings) as exchange:
        bob = exchange.key("bob")
        order = Order(bob.account, BTC, BUY, LIMIT, 1_000, 900_000)
        place(exchange, order)
        paid = exchange.do(lambda house: house.admin._account("paid"))
        assert exchange.do(lambda house: house.admin.revoke(bob.api_key))
    made = asyncio.run(owner.create_key("http://127.0.0.1:9", store, "alice", "", trade=True))
    with RunningExchange(**settings) as exchange:
        alice = exchange.floor(lambda floor: floor.accounts.find(made["api_key"]))
        assert alice.account not in (bob.account, paid)
        assert exchange.floor(lambda floor: floor.desk.open_orders(alice.account)) == []
        assert (
            exchange.floor(lambda f: f.desk.balance(alice.account, "USDT").free) == ENDOWMENT["USDT"] * 10**8
        )
        again = exchange.key("bob")
        assert again.account == bob.account
        assert [each.order_id for each in exchange.floor(lambda f: f.desk.open_orders(bob.account))] == [
            order.order_id
        ]


def test_what_passing_accounts_leave_is_canceled_and_their_numbers_are_used_again(tmp_path: Path) -> None:
    store = KeyStore(tmp_path / "data", tmp_path / "config")
    settings: dict[str, Any] = {"log_folder": tmp_path / "log", "store": store, "rate": 100}

    def loaded(exchange: RunningExchange) -> list[int]:
        return exchange.do(  # type: ignore[no-any-return]
            lambda house: [house.admin.create_key(f"load-{at}", "", keep=False).account for at in range(60)]
        )

    with RunningExchange(**settings) as exchange:
        main = exchange.key()
        mine = Order(main.account, BTC, BUY, LIMIT, 1_000, 900_000)
        place(exchange, mine)
        room = exchange.floor(lambda floor: floor.accounts.passing_room)
        numbers = loaded(exchange)
        for at in (0, 59):
            place(exchange, Order(numbers[at], BTC, BUY, LIMIT, 1_000, 900_000))
            place(exchange, Order(numbers[at], BTC, BUY, MARKET, 1_000))
    for _ in range(2):
        with RunningExchange(**settings) as exchange:
            assert exchange.floor(lambda f: [f.desk.open_orders(each) for each in numbers]) == [[]] * 60
            assert [each.order_id for each in exchange.floor(lambda f: f.desk.open_orders(main.account))] == [
                mine.order_id
            ]
            assert exchange.floor(lambda floor: floor.accounts.passing_room) == room
            assert sorted(loaded(exchange)) == sorted(numbers)
            outcome(exchange, exchange.house.floor.desk.deposit, main.account, "SOL", 1)
            for number in numbers:  # whatever its former owner did with it
                assert {b.asset: b.free for b in exchange.floor(lambda f, n=number: f.desk.balances(n))} == {
                    asset: coins * 10**8 for asset, coins in ENDOWMENT.items()
                }


def test_nobody_is_told_before_the_log_has_the_command(tmp_path: Path) -> None:
    with RunningExchange(log_folder=tmp_path / "log", rate=0) as exchange:
        command_log = exchange._built_in.command_log
        assert command_log is not None
        told: list[tuple[int, int]] = []

        def watch(house: House) -> None:
            tell = house.floor.tell

            def watched(what: Any) -> None:
                if what.tickets:
                    assert command_log._log is not None
                    told.append((command_log._log.sequence, house.floor.desk.engine.commands_taken))
                tell(what)

            house.floor.tell = watched  # type: ignore[method-assign]

        exchange.do(watch)
        for _ in range(5):
            place(exchange, Order(FIRST_CLIENT, BTC, BUY, LIMIT, 1_000, 900_000))
        assert len(told) == 5
        assert all(written == taken for written, taken in told)
