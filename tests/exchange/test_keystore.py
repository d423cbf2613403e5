"""Keys on the disk: what a thief of the file gets, what a damaged one is called, and what survives a crash."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from engine import durable_files
from engine.errors import BadDataFolder
from engine.exchange.accounts import Accounts, Key, Table
from engine.exchange.keystore import Held, KeyStore
from engine.sealing import MASTER_BYTES
from tests.exchange.running import RunningExchange

NOW_NS = 1_795_000_000 * 10**9


def keys(count: int = 3) -> tuple[Key, ...]:
    accounts = Accounts(64)
    for at in range(count):
        accounts.create("main" if at % 2 else f"naïve {at}", f"label {at}", NOW_NS + at, trade=at % 2 == 0)
    return accounts.keys


@pytest.fixture
def store(tmp_path: Path) -> KeyStore:
    return KeyStore(tmp_path / "data", tmp_path / "config")


def trouble(store: KeyStore) -> str:
    with pytest.raises(BadDataFolder) as caught:
        store.load()
    text = str(caught.value)
    assert str(store.path) in text
    assert "\n" not in text
    return text


def test_keys_come_back_as_they_were_saved(store: KeyStore) -> None:
    assert store.load() == ()
    for count in (3, 1, 0, 5):
        made = keys(count)
        store.save(made)
        assert KeyStore(store.path.parent, store.master_path.parent).load() == made


def test_accounts_are_kept_with_the_keys_and_without_any(store: KeyStore) -> None:
    accounts = Accounts(64)
    accounts.create("bob", "", NOW_NS)
    for kept in (accounts.keys, ()):
        store.save(kept, accounts.table)
        assert store.read() == Held(kept, accounts.table)


def test_a_file_of_the_version_before_is_read(store: KeyStore) -> None:
    made = keys()
    store.save(made)
    held = json.loads(store.path.read_bytes())
    del held["accounts"]
    store.path.write_text(json.dumps(held | {"version": 1}))
    assert store.read() == Held(made, None)


def test_no_secret_is_in_the_file_and_no_two_are_sealed_alike(store: KeyStore) -> None:
    made = keys()
    store.save(made)
    first = store.path.read_bytes()
    store.save(made)
    second = store.path.read_bytes()
    for key in made:
        for data in (first, second):
            assert key.api_key.encode() in data
            assert key.secret.encode() not in data
            assert key.secret[:12].encode() not in data
    sealed = [each["sealed"] for data in (first, second) for each in json.loads(data)["keys"]]
    assert len(set(sealed)) == 2 * len(made)
    assert store.master_path.read_bytes() not in first


@pytest.mark.skipif(sys.platform == "win32", reason="it has no such modes")
def test_the_files_are_their_owners_alone(store: KeyStore) -> None:
    before = os.umask(0)
    try:
        store.save(keys())
    finally:
        os.umask(before)
    modes = [
        path.stat().st_mode & 0o777 for path in (store.path, store.master_path, store.master_path.parent)
    ]
    assert modes == [0o600, 0o600, 0o700]
    assert sorted(path.name for path in store.master_path.parent.iterdir()) == [store.master_path.name]


def test_another_master_key_or_none_opens_nothing(store: KeyStore) -> None:
    made = keys()
    store.save(made)
    kept, master = store.path.read_bytes(), store.master_path.read_bytes()
    store.master_path.write_bytes(bytes(MASTER_BYTES))
    assert "has a key that exchange-master.key does not open" in trouble(store)
    for wrong in (b"", b"short", bytes(MASTER_BYTES + 1)):
        store.master_path.write_bytes(wrong)
        assert "cannot be opened without exchange-master.key" in trouble(store)
        with pytest.raises(BadDataFolder, match="is not a key of 32 bytes"):
            store.save(made)
    store.master_path.unlink()
    assert "cannot be opened without exchange-master.key" in trouble(store)
    assert store.path.read_bytes() == kept
    store.master_path.write_bytes(master)
    assert store.load() == made


def spoiled(change: Callable[[Any], None]) -> Callable[[bytes], bytes]:
    def spoil(data: bytes) -> bytes:
        held = json.loads(data)
        change(held)
        return json.dumps(held).encode()

    return spoil


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda data: data[:-5], "is damaged"),
        (lambda _: b"", "is damaged"),
        (lambda _: b"[]", "is damaged"),
        (lambda _: b"[" * 100_000, "is damaged"),
        (lambda _: b"\xff\xfe", "is damaged"),
        (lambda data: data.replace(b"label", b"\xff\xfe\xfd"), "is damaged"),
        (spoiled(lambda held: held.update(version=3)), "is of version 3"),
        (spoiled(lambda held: held.pop("accounts")), "is damaged"),
        (spoiled(lambda held: held["accounts"]["numbers"].update(x=3)), "is damaged"),
        (spoiled(lambda held: held["accounts"]["numbers"].update(x=17, y=17)), "is damaged"),
        (spoiled(lambda held: held["accounts"].update(next=1 << 40)), "is damaged"),
        (spoiled(lambda held: held.update(more=1)), "is damaged"),
        (spoiled(lambda held: held["keys"][0].pop("sealed")), "is damaged"),
        (spoiled(lambda held: held["keys"][0].update(sealed="")), "is damaged"),
        (spoiled(lambda held: held["keys"][0].update(sealed="abc")), "is damaged"),
        (spoiled(lambda held: held["keys"][0].update(sealed="é" * 40)), "is damaged"),
        (spoiled(lambda held: held["keys"][0].update(sealed="A" * 16)), "is damaged"),
        (spoiled(lambda held: held["keys"][0].update(sealed="A" * 80)), "does not open"),
        (spoiled(lambda held: held["keys"][0].update(api_key="another")), "does not open"),
        (spoiled(lambda held: held["keys"][0].update(account=3)), "is damaged"),
        (spoiled(lambda held: held["keys"][0].update(account=1 << 40)), "is damaged"),
        (spoiled(lambda held: held["keys"][0].update(trade="yes")), "is damaged"),
    ],
)
def test_a_file_that_is_no_good_is_named_with_what_is_wrong(
    store: KeyStore, spoil: Callable[[bytes], bytes], said: str
) -> None:
    store.save(keys())
    data = spoil(store.path.read_bytes())
    store.path.write_bytes(data)
    assert said in trouble(store)
    assert store.path.read_bytes() == data


def test_a_file_that_cannot_be_read_or_written_is_named(store: KeyStore) -> None:
    store.path.mkdir(parents=True)
    assert "cannot be read" in trouble(store)
    with pytest.raises(BadDataFolder, match="cannot be written"):
        store.save(keys())


@pytest.mark.parametrize("call", ["replace", "fdatasync"])
def test_a_crash_while_writing_leaves_the_old_file(
    store: KeyStore, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    if not hasattr(os, call):
        pytest.skip("not on this system")
    old = keys()
    store.save(old)
    before = {path.name: path.read_bytes() for path in store.path.parent.iterdir()}

    def crash(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(durable_files.os, call, crash)
        with pytest.raises(BadDataFolder, match="No space left"):
            store.save(keys(7))
    assert {path.name: path.read_bytes() for path in store.path.parent.iterdir()} == before
    assert store.load() == old


def test_a_crash_while_the_master_key_is_made_leaves_none(
    store: KeyStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def crash(*_: object) -> None:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(durable_files, "sync_file", crash)
        with pytest.raises(BadDataFolder):
            store.save(keys())
    assert list(store.master_path.parent.iterdir()) == []
    store.save(keys(2))
    assert len(store.load()) == 2


def test_two_that_make_the_master_key_at_once_have_the_same(
    store: KeyStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    link = os.link

    def late(source: Path, target: Path) -> None:
        monkeypatch.setattr(os, "link", link)
        Path(target).write_bytes(b"o" * MASTER_BYTES)  # another was first
        link(source, target)

    monkeypatch.setattr(os, "link", late)
    made = keys()
    store.save(made)
    assert store.master_path.read_bytes() == b"o" * MASTER_BYTES
    assert store.load() == made


@pytest.mark.parametrize("others", [False, True])
def test_without_hard_links_there_is_a_master_key_too(
    store: KeyStore, monkeypatch: pytest.MonkeyPatch, others: bool
) -> None:
    def refuse(source: Path, target: Path) -> None:
        if others:
            Path(target).write_bytes(b"o" * MASTER_BYTES)  # another was first
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(os, "link", refuse)
    made = keys()
    store.save(made)
    assert store.load() == made
    assert (store.master_path.read_bytes() == b"o" * MASTER_BYTES) is others
    assert [path.name for path in store.master_path.parent.iterdir()] == [store.master_path.name]
    if sys.platform != "win32" and not others:
        assert store.master_path.stat().st_mode & 0o777 == 0o600


def test_without_hard_links_a_crash_leaves_no_half_of_a_master_key(
    store: KeyStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(95, "Operation not supported")

    calls: list[int] = []

    def crash(handle: int) -> None:
        calls.append(handle)
        if len(calls) == 2:
            raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "link", refuse)
    monkeypatch.setattr(durable_files, "sync_file", crash)
    with pytest.raises(BadDataFolder):
        store.save(keys())
    assert len(calls) == 2
    assert list(store.master_path.parent.iterdir()) == []


def test_an_exchange_whose_keys_cannot_be_read_serves_without_them_and_leaves_the_file(
    store: KeyStore,
) -> None:
    made = keys()
    store.save(made)
    store.path.write_bytes(store.path.read_bytes()[:-9])
    data = store.path.read_bytes()
    with RunningExchange(rate=100, store=store) as exchange:
        assert exchange.floor(lambda floor: floor.accounts.keys) == ()
        noted = [each.text for each in exchange.telemetry.events.since(0) if each.level == "error"]
        assert len(noted) == 1
        assert "API keys are not known, and new ones are not kept" in noted[0]
        fresh = exchange.key()
        assert exchange.floor(lambda floor: floor.accounts.find(fresh.api_key)) == fresh
        assert exchange.do(lambda house: house.admin.revoke(fresh.api_key))
    assert store.path.read_bytes() == data


def test_keys_made_in_a_running_exchange_are_there_after_its_restart(store: KeyStore) -> None:
    with RunningExchange(rate=100, store=store) as exchange:
        first, second = exchange.key(), exchange.key("other", trade=False)
        passing = exchange.do(lambda house: house.admin.create_key("load", "", keep=False))
        assert exchange.do(lambda house: house.admin.revoke(first.api_key))
        assert store.load() == (second,)
    with RunningExchange(rate=100, store=store) as exchange:
        assert exchange.floor(lambda floor: floor.accounts.keys) == (second,)
        assert exchange.floor(lambda floor: floor.accounts.find(passing.api_key)) is None


def test_a_start_writes_the_numbers_of_accounts_into_a_file_of_the_version_before(store: KeyStore) -> None:
    accounts = Accounts(64)
    for name in ("other", "gone"):
        accounts.create(name, "", NOW_NS)
    store.save(accounts.keys[:1])
    held = json.loads(store.path.read_bytes())
    del held["accounts"]
    store.path.write_text(json.dumps(held | {"version": 1}))
    with RunningExchange(rate=100, store=store):
        pass
    assert store.read() == Held(accounts.keys[:1], Table(19, {"main": 17, "other": 18}))
