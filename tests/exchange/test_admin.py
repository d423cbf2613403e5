"""The admin API: keys, money, profiles, and all that is refused."""

from __future__ import annotations

import asyncio
import gc
import http.client
import json
import time
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from engine.exchange import admin as module
from engine.exchange.accounts import MAX_NAME
from engine.exchange.admin import MAX_BODY, MAX_COUNT, MAX_KEPT, MAX_PASSING
from engine.exchange.desk import MAX_WAITING
from engine.exchange.floor import ENDOWMENT
from engine.exchange.keystore import KeyStore
from tests.exchange.running import RunningExchange


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> KeyStore:
    folder = tmp_path_factory.mktemp("keys")
    return KeyStore(folder / "data", folder / "config")


@pytest.fixture(scope="module")
def exchange(store: KeyStore) -> Iterator[RunningExchange]:
    with RunningExchange(rate=200, store=store) as running:
        yield running


def call(
    exchange: RunningExchange, method: str, path: str, body: Any = None, **headers: str
) -> tuple[int, Any]:
    """Status and value of the answer; a body of bytes is sent as it is."""
    connection = http.client.HTTPConnection(urlsplit(exchange.url).netloc, timeout=10)
    data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
    try:
        connection.request(method, path, data, headers)
        answer = connection.getresponse()
        text = answer.read()
    finally:
        connection.close()
    return answer.status, json.loads(text) if text[:1] in b"{[" else text.decode()


def made(exchange: RunningExchange, **order: Any) -> list[dict[str, Any]]:
    status, said = call(exchange, "POST", "/admin/keys", order)
    assert status == 200, said
    return list(said["keys"])


def facts(exchange: RunningExchange) -> Any:
    """What no refused call may change."""
    return exchange.floor(
        lambda floor: (
            floor.accounts.keys,
            dict(floor.accounts.numbers),
            floor.desk.balances(17),
            floor.desk.commands,
        )
    )


def balance(exchange: RunningExchange, account: str, asset: str) -> Decimal:
    return exchange.floor(lambda f: Decimal(f.desk.balance(f.accounts.numbers[account], asset).free) / 10**8)  # type: ignore[no-any-return]


def test_a_key_is_made_and_shown_once(exchange: RunningExchange, store: KeyStore) -> None:
    (key,) = made(exchange, account="one", label="my bot", trade=False)
    assert list(key) == ["api_key", "secret", "account", "number"]
    found = exchange.floor(lambda floor: floor.accounts.find(key["api_key"]))
    assert (found.secret, found.name, found.account) == (key["secret"], "one", key["number"])
    assert (found.label, found.trade) == ("my bot", False)
    assert found in store.load()
    status, listed = call(exchange, "GET", "/admin/keys")
    assert status == 200
    (row,) = (each for each in listed["keys"] if each["api_key"] == key["api_key"])
    assert row == {
        "api_key": key["api_key"], "account": "one", "label": "my bot", "trade": False,
        "created_ns": found.created_ns,
    }  # fmt: skip
    assert key["secret"] not in json.dumps(listed)


def test_no_body_makes_a_key_of_the_main_account(exchange: RunningExchange) -> None:
    status, said = call(exchange, "POST", "/admin/keys")
    assert status == 200
    assert [(each["account"], each["number"]) for each in said["keys"]] == [("main", 17)]


def test_each_of_several_keys_has_an_account_of_its_own_with_money(exchange: RunningExchange) -> None:
    keys = made(exchange, account="many", count=3)
    assert [each["account"] for each in keys] == ["many-1", "many-2", "many-3"]
    assert len({each["number"] for each in keys}) == 3
    exchange.do(lambda house: None)
    for each in keys:
        for asset, coins in ENDOWMENT.items():
            assert balance(exchange, each["account"], asset) == coins
    again = made(exchange, account="many", count=2)
    assert [each["number"] for each in again] == [each["number"] for each in keys[:2]]
    assert balance(exchange, "many-1", "USDT") == ENDOWMENT["USDT"]  # not paid in twice


def test_so_many_keys_at_once_have_their_money_and_hold_nobody_up() -> None:
    with RunningExchange(rate=100) as exchange:
        longest = 0.0

        async def watch() -> None:
            nonlocal longest
            while True:
                before = time.thread_time()
                await asyncio.sleep(0)
                longest = max(longest, time.thread_time() - before)

        tasks = [exchange.do(lambda house: asyncio.ensure_future(watch()))]
        gc.disable()  # some 60 ms at a time with all that the other tests left
        try:
            keys = made(exchange, account="many", count=MAX_COUNT, keep=False)
        finally:
            gc.enable()
        exchange.do(lambda house: tasks.pop().cancel())
        numbers = [each["number"] for each in keys]
        assert len(set(numbers)) == MAX_COUNT
        lacking = exchange.floor(
            lambda floor: [
                number
                for number in numbers
                if {each.asset: each.free for each in floor.desk.balances(number)}
                != {asset: coins * 10**8 for asset, coins in ENDOWMENT.items()}
            ]
        )
        assert lacking == []
        assert longest < 0.2  # some 10 ms where nobody else computes


def test_new_accounts_are_paid_in_when_too_much_waits() -> None:
    with RunningExchange(rate=0) as exchange:

        def crowded(house: Any) -> Any:
            for _ in range(MAX_WAITING - 2):
                house.floor.desk.deposit(17, "SOL", 1)
            return house.admin.create_key("late", "", keep=False)

        key = exchange.do(crowded)
        asyncio.run_coroutine_threadsafe(exchange.house.floor.paid(), exchange._loop).result(10)  # type: ignore[arg-type]
        for asset, coins in ENDOWMENT.items():
            assert balance(exchange, "late", asset) == coins
        assert key.name == "late"


def test_keys_that_are_not_kept_work_and_are_never_written(
    exchange: RunningExchange, store: KeyStore
) -> None:
    before = store.path.read_bytes()
    passing = made(exchange, account="load", count=5, keep=False)
    assert store.path.read_bytes() == before
    kept = made(exchange, account="kept")[0]  # writes the file anew
    written = store.path.read_text()
    assert kept["api_key"] in written
    for each in passing:
        assert each["api_key"] not in written
        assert exchange.floor(lambda f, each=each: f.accounts.find(each["api_key"]).secret) == each["secret"]
    assert not {each["api_key"] for each in call(exchange, "GET", "/admin/keys")[1]["keys"]} & {
        each["api_key"] for each in passing
    }
    assert call(exchange, "DELETE", f"/admin/keys?api_key={passing[0]['api_key']}") == (
        200,
        {"revoked": True},
    )
    assert exchange.floor(lambda f: f.accounts.find(passing[0]["api_key"])) is None


def test_of_too_many_passing_keys_the_oldest_goes() -> None:
    with RunningExchange(rate=0) as exchange:
        kept = exchange.key()
        first = made(exchange, account="a", count=MAX_COUNT, keep=False)
        assert MAX_PASSING == 2 * MAX_COUNT
        second = made(exchange, account="a", count=MAX_COUNT, keep=False)
        third = made(exchange, account="a", count=2, keep=False)

        def alive(house: Any) -> list[bool]:
            find = house.floor.accounts.find
            return [find(each["api_key"]) is not None for each in (*first, *second, *third)]

        assert exchange.do(alive) == [False, False, *[True] * (2 * MAX_COUNT)]
        assert exchange.floor(lambda floor: floor.accounts.find(kept.api_key)) == kept


def test_a_key_is_revoked_once_and_forgotten(exchange: RunningExchange, store: KeyStore) -> None:
    (key,) = made(exchange)
    path = f"/admin/keys?api_key={key['api_key']}"
    assert call(exchange, "DELETE", path) == (200, {"revoked": True})
    assert key["api_key"] not in store.path.read_text()
    for again in (path, "/admin/keys", "/admin/keys?api_key=", "/admin/keys?api_key=%00%ff"):
        assert call(exchange, "DELETE", again) == (200, {"revoked": False})


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"{", "truncated"),
        (b"\xff", ""),
        (b"[]", "object"),
        (b"[" * 4_000, "object"),
        (b'{"account":"\xff"}', ""),
        ({"name": "x"}, "name"),
        ({"account": 5}, "$.account"),
        ({"account": ""}, "$.account"),
        ({"account": "x" * (MAX_NAME + 1)}, "$.account"),
        ({"account": "a\nb"}, "account: "),
        ({"account": " a"}, "account: "),
        ({"account": "x" * (MAX_NAME - 3), "count": 100}, "account: "),
        ({"label": "x" * 41}, "$.label"),
        ({"label": "a\tb", "account": "new label"}, "label: "),
        ({"count": 0}, "$.count"),
        ({"count": MAX_COUNT + 1}, "$.count"),
        ({"count": 1.5}, "$.count"),
        ({"count": MAX_KEPT + 1, "account": "toomany"}, "count: at most 500 keys are kept"),
        ({"trade": 1}, "$.trade"),
        ({"keep": "no"}, "$.keep"),
    ],
)
def test_orders_of_keys_that_cannot_be_are_refused_and_nothing_is_made(
    exchange: RunningExchange, store: KeyStore, body: Any, said: str
) -> None:
    before, written = facts(exchange), store.path.read_bytes()
    status, answer = call(exchange, "POST", "/admin/keys", body)
    assert status == 400
    assert said in answer["error"]
    assert facts(exchange) == before
    assert store.path.read_bytes() == written


@pytest.mark.parametrize(
    ("keep", "end", "next_one"), [(False, "_most", "_next_passing"), (True, "_split", "_next")]
)
def test_no_account_is_made_when_there_is_no_room_for_all(
    exchange: RunningExchange, keep: bool, end: str, next_one: str
) -> None:
    name = f"full {keep}"
    room = exchange.floor(lambda f: f.accounts.room + f.accounts.passing_room)
    usual = exchange.floor(lambda f: getattr(f.accounts, end))
    exchange.floor(lambda f: setattr(f.accounts, end, getattr(f.accounts, next_one) + 3))
    try:
        before = facts(exchange)
        status, answer = call(exchange, "POST", "/admin/keys", {"account": name, "count": 4, "keep": keep})
        assert (status, answer) == (400, {"error": "count: there is room for 3 more accounts"})
        assert facts(exchange) == before
        assert len(made(exchange, account=name, count=3, keep=keep)) == 3
    finally:
        exchange.floor(lambda f: setattr(f.accounts, end, usual))
    assert exchange.floor(lambda f: f.accounts.room + f.accounts.passing_room) == room - 3


def test_a_key_that_cannot_be_written_is_not_made(tmp_path: Path) -> None:
    store = KeyStore(tmp_path / "data", tmp_path / "config")
    with RunningExchange(rate=0, store=store) as exchange:
        (key,) = made(exchange)
        store.path.unlink()
        store.path.mkdir()
        for body in ({}, {"count": 3}):
            status, answer = call(exchange, "POST", "/admin/keys", body)
            assert status == 400
            assert "cannot be written" in answer["error"]
        assert [each["api_key"] for each in call(exchange, "GET", "/admin/keys")[1]["keys"]] == [
            key["api_key"]
        ]
        status, answer = call(exchange, "DELETE", f"/admin/keys?api_key={key['api_key']}")
        assert status == 400
        assert exchange.floor(lambda floor: floor.accounts.find(key["api_key"])) is not None


def test_so_many_keys_are_kept_and_no_more(
    exchange: RunningExchange, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = len(call(exchange, "GET", "/admin/keys")[1]["keys"])
    monkeypatch.setattr(module, "MAX_KEPT", kept + 1)
    assert call(exchange, "POST", "/admin/keys", {"count": 2})[0] == 400
    made(exchange)
    assert call(exchange, "POST", "/admin/keys")[0] == 400
    assert made(exchange, keep=False)


def test_the_faucet_pays_in_and_tells_what_is_free(exchange: RunningExchange) -> None:
    before = balance(exchange, "main", "USDT")
    status, said = call(exchange, "POST", "/admin/faucet", {"asset": "USDT", "amount": "12.5"})
    assert status == 200
    assert said == {"account": "main", "asset": "USDT", "free": f"{before + Decimal('12.5'):.8f}"}
    assert balance(exchange, "main", "USDT") == before + Decimal("12.5")
    order = {"asset": "BTC", "amount": "0.00000001", "account": "of the faucet"}
    assert call(exchange, "POST", "/admin/faucet", order)[1]["free"] == "10.00000001"


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({}, "asset"),
        ({"asset": "USDT"}, "amount"),
        ({"asset": "USDT", "amount": 5}, "$.amount"),
        ({"asset": "USDT", "amount": "0"}, "amount: it is above 0 and at most 1,000,000,000"),
        ({"asset": "USDT", "amount": "-1"}, "amount: "),
        ({"asset": "USDT", "amount": "1000000000.00000001"}, "amount: it is above 0"),
        ({"asset": "USDT", "amount": "9" * 4_000}, "amount: "),
        ({"asset": "USDT", "amount": "1e3"}, "amount: "),
        ({"asset": "USDT", "amount": "NaN"}, "amount: "),
        ({"asset": "USDT", "amount": "0.000000001"}, "amount: "),
        ({"asset": "EUR", "amount": "1"}, "asset: there is no 'EUR'; there are "),
        ({"asset": "EUR", "amount": "1", "account": "new one"}, "asset: "),
        ({"asset": "USDT", "amount": "1", "account": ""}, "account: "),
        ({"asset": "USDT", "amount": "1", "account": "x" * 41}, "account: "),
        ({"asset": "USDT", "amount": "1", "to": "main"}, "to"),
    ],
)
def test_the_faucet_names_what_it_cannot_do_and_pays_nothing(
    exchange: RunningExchange, body: Any, said: str
) -> None:
    before = facts(exchange)
    status, answer = call(exchange, "POST", "/admin/faucet", body)
    assert status == 400
    assert said in answer["error"]
    assert facts(exchange) == before


@pytest.mark.parametrize("body", [{"seconds": 0}, {"seconds": 61}, {"seconds": "5"}, {"second": 5}, b"x"])
def test_a_profile_of_no_good_length_is_refused(exchange: RunningExchange, body: Any) -> None:
    status, answer = call(exchange, "POST", "/admin/profile", body)
    assert status == 400
    assert answer["error"]


def test_without_an_engine_there_is_no_profile(exchange: RunningExchange) -> None:
    answer = call(exchange, "POST", "/admin/profile", {"seconds": 1})
    assert answer == (400, {"error": "profile: the engine is not running"})


@pytest.mark.parametrize("path", ["/admin/keys", "/admin/faucet", "/admin/profile"])
def test_a_body_that_is_too_long_is_not_read(exchange: RunningExchange, path: str) -> None:
    before = facts(exchange)
    body = b'{"label":"' + b" " * MAX_BODY + b'"}'
    assert call(exchange, "POST", path, body) == (413, {"error": "body: longer than 4,096 bytes"})
    assert facts(exchange) == before


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/admin/"), ("GET", "/admin/faucet"), ("PUT", "/admin/keys"), ("POST", "/admin/keys/"),
        ("DELETE", "/admin/faucet"), ("GET", "/admin/../admin/keys"), ("POST", "/admin/x"),
    ],
)  # fmt: skip
def test_other_calls_do_not_exist(exchange: RunningExchange, method: str, path: str) -> None:
    status, answer = call(exchange, method, path)
    assert status == 404
    assert "does not exist" in answer["error"]


@pytest.mark.parametrize(
    "headers", [{"Host": "evil.example"}, {"Origin": "https://evil.example"}, {"Origin": "null"}]
)
@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/admin/keys"), ("POST", "/admin/keys"), ("DELETE", "/admin/keys?api_key=x")]
)
def test_pages_of_other_sites_reach_nothing(
    exchange: RunningExchange, headers: dict[str, str], method: str, path: str
) -> None:
    before = facts(exchange)
    assert call(exchange, method, path, None, **headers)[0] == 403
    assert facts(exchange) == before
