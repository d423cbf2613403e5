"""Keys at the command line: asked of a running exchange, else written for its next start."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from engine import owner
from engine.bots.errors import NoExchange
from engine.errors import BadDataFolder, BadSetting, UserError
from engine.exchange.desk import FIRST_CLIENT
from engine.exchange.keystore import KeyStore
from tests.exchange.running import RunningExchange


@pytest.fixture
def store(tmp_path: Path) -> KeyStore:
    return KeyStore(tmp_path / "data", tmp_path / "config")


@pytest.fixture
def nowhere() -> str:
    """An address where nobody listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    return f"http://127.0.0.1:{port}"


@pytest.fixture
def silent() -> Iterator[str]:
    """An address where somebody listens, and says nothing."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"


def create(url: str, store: KeyStore, account: str = "main", **more: Any) -> dict[str, Any]:
    return asyncio.run(
        owner.create_key(url, store, account, more.get("label", ""), trade=more.get("trade", True))
    )


def test_without_an_exchange_keys_are_written_for_the_next_start(store: KeyStore, nowhere: str) -> None:
    first = create(nowhere, store, label="mine")
    second = create(nowhere, store, "other", trade=False)
    assert set(first) == {"api_key", "secret", "account"}
    kept = store.load()
    assert [(each.api_key, each.secret, each.account, each.label, each.trade) for each in kept] == [
        (first["api_key"], first["secret"], FIRST_CLIENT, "mine", True),
        (second["api_key"], second["secret"], FIRST_CLIENT + 1, "", False),
    ]
    listed = asyncio.run(owner.list_keys(nowhere, store))
    assert [each["account"] for each in listed] == ["main", "other"]
    assert first["secret"] not in repr(listed)
    with RunningExchange(rate=0, store=store) as exchange:
        assert exchange.floor(lambda floor: floor.accounts.keys) == kept
    assert asyncio.run(owner.revoke_key(nowhere, store, first["api_key"]))
    assert not asyncio.run(owner.revoke_key(nowhere, store, first["api_key"]))
    assert store.load() == kept[1:]


def test_a_running_exchange_makes_lists_and_revokes_them(store: KeyStore) -> None:
    unused = KeyStore(store.path.parent / "no", store.path.parent / "no")
    with RunningExchange(rate=0, store=store) as exchange:
        made = create(exchange.url, unused, "main", label="mine")
        found = exchange.floor(lambda floor: floor.accounts.find(made["api_key"]))
        assert (found.secret, found.label) == (made["secret"], "mine")
        assert [each["api_key"] for each in asyncio.run(owner.list_keys(exchange.url, unused))] == [
            made["api_key"]
        ]
        assert store.load() == (found,)
        assert asyncio.run(owner.revoke_key(exchange.url, unused, made["api_key"]))
        assert not asyncio.run(owner.revoke_key(exchange.url, unused, made["api_key"]))
        assert exchange.floor(lambda floor: floor.accounts.find(made["api_key"])) is None
    assert not unused.path.exists()


def test_what_a_running_exchange_refuses_is_told_in_its_words(store: KeyStore) -> None:
    with RunningExchange(rate=0, store=store) as exchange:
        with pytest.raises(BadSetting, match="label"):
            create(exchange.url, store, label="x" * 41)
        with pytest.raises(BadSetting, match="the engine is not running"):
            asyncio.run(owner.profile(exchange.url, 1))
    assert store.load() == ()


def test_bad_names_are_refused_without_an_exchange_too(store: KeyStore, nowhere: str) -> None:
    with pytest.raises(UserError, match="account"):
        create(nowhere, store, "x" * 41)
    assert not store.path.exists()


@pytest.mark.parametrize("api_key", ["", "a b", "a&b=c", "a/b", "?", "a\n"])
def test_only_what_may_be_a_key_is_revoked(store: KeyStore, nowhere: str, api_key: str) -> None:
    with pytest.raises(BadSetting, match="letters, digits"):
        asyncio.run(owner.revoke_key(nowhere, store, api_key))


@pytest.mark.parametrize(
    "url", ["http://example.com:80", "https://127.0.0.1:1", "127.0.0.1:8051", "http://127.0.0.1"]
)
def test_exchanges_on_other_machines_are_not_asked(store: KeyStore, url: str) -> None:
    with pytest.raises(BadSetting):
        create(url, store)
    assert not store.path.exists()


def test_a_file_that_may_be_in_an_exchanges_hands_is_not_written(
    store: KeyStore, silent: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would write its own over it."""
    monkeypatch.setattr(owner, "ANSWER_WITHIN_S", 0.3)
    monkeypatch.setattr(owner.asked, "__defaults__", (None, 0.3))
    with pytest.raises(NoExchange, match="no answer in time"):
        create(silent, store)
    with pytest.raises(NoExchange):
        asyncio.run(owner.revoke_key(silent, store, "abc"))
    assert not store.path.exists()


def test_a_damaged_file_is_named_and_left(store: KeyStore, nowhere: str) -> None:
    create(nowhere, store)
    store.path.write_bytes(b"{")
    for call in (
        owner.create_key(nowhere, store, "main", "", trade=True),
        owner.list_keys(nowhere, store),
        owner.revoke_key(nowhere, store, "abc"),
    ):
        with pytest.raises(BadDataFolder, match="is damaged"):
            asyncio.run(call)
    assert store.path.read_bytes() == b"{"


def test_without_an_exchange_there_is_nothing_to_profile(nowhere: str) -> None:
    with pytest.raises(NoExchange):
        asyncio.run(owner.profile(nowhere, 1))
