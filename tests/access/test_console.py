"""Keys at the command line: made, listed and revoked, of the API and of the exchange."""

from __future__ import annotations

import re
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from engine import command_line
from engine.access.console import end_of, table
from engine.access.keys import AccessKey, KeyRing
from engine.errors import BadSetting, UserError
from engine.exchange.keystore import KeyStore

SECOND_NS = 10**9
NOW_NS = 1_795_000_000 * SECOND_NS  # 2026-11-18T11:06:40Z


@pytest.fixture
def keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Any]]:
    """Runs `keys ...` over a folder of its own, where no exchange runs; what it said."""
    for name in ("DATA", "CONFIG"):
        monkeypatch.setenv(f"VENUESCOPE_{name}_DIR", str(tmp_path / name.lower()))
    cli = typer.Typer()
    command_line.add_to(cli)
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        monkeypatch.setenv("VENUESCOPE_EXCHANGE_PORT", str(nobody.getsockname()[1]))

        def run(*arguments: str) -> str:
            done = CliRunner().invoke(cli, ["keys", *arguments])
            if done.exception is not None and not isinstance(done.exception, SystemExit):
                raise done.exception
            return done.output

        yield run


def test_a_key_is_made_listed_without_its_secret_and_revoked(
    keys: Callable[..., str], tmp_path: Path
) -> None:
    ring = KeyRing(tmp_path / "data")
    (text,) = re.findall(r"vsk_\S+", keys("create", "--role", "trade", "--label", "desk", "--expires", "30d"))
    (key,) = ring.all()
    assert (key.role, key.label) == ("trade", "desk")
    assert abs(key.expires_ns - time.time_ns() - 30 * 86_400 * SECOND_NS) < 60 * SECOND_NS
    listed = keys("list")
    assert re.search(rf"^{key.id} +trade .* desk$", listed, re.MULTILINE)
    assert text.split("_", 2)[2] not in listed
    assert keys("revoke", key.id) == "revoked\n"
    assert ring.all() == ()
    with pytest.raises(UserError, match=r"^there is no key .*; `keys list` names"):
        keys("revoke", key.id)


def test_a_key_may_only_read_unless_told_and_is_revoked_by_its_text_too(
    keys: Callable[..., str], tmp_path: Path
) -> None:
    (text,) = re.findall(r"vsk_\S+", keys("create"))
    ring = KeyRing(tmp_path / "data")
    found = ring.find(text)
    assert found is not None
    assert (found.role, found.expires_ns) == ("read", 0)
    with pytest.raises(UserError) as caught:
        keys("revoke", "vsk_0_" + text[-20:])
    assert text[-20:] not in str(caught.value)
    assert keys("revoke", text) == "revoked\n"


def test_an_account_makes_it_a_key_of_the_exchange(keys: Callable[..., str], tmp_path: Path) -> None:
    store = KeyStore(tmp_path / "data", tmp_path / "config")
    keys("create", "--account", "bob", "--label", "mine")
    keys("create", "--read-only")
    assert [(each.name, each.label, each.trade) for each in store.load()] == [
        ("bob", "mine", True),
        ("main", "", False),
    ]
    assert KeyRing(tmp_path / "data").all() == ()
    listed = keys("list")
    assert all(each.api_key in listed and each.secret not in listed for each in store.load())
    assert keys("revoke", store.load()[0].api_key) == "revoked\n"
    assert len(store.load()) == 1


@pytest.mark.parametrize(
    "arguments",
    [
        ("create", "--role", "root"),
        ("create", "--expires", "yesterday"),
        ("create", "--expires", "0d"),
        ("create", "--account", "bob", "--role", "read"),
        ("revoke", ""),
        ("revoke", "a b"),
        ("make",),
    ],
)
def test_mistakes_are_one_sentence_and_change_nothing(
    keys: Callable[..., str], tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    with pytest.raises(BadSetting) as caught:
        keys(*arguments)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "data" / "access-keys.json").exists()


@pytest.mark.parametrize(
    ("text", "ends_ns"),
    [
        ("", 0),
        ("30d", NOW_NS + 30 * 86_400 * SECOND_NS),
        ("90 m", NOW_NS + 5_400 * SECOND_NS),
        ("2026-11-19", NOW_NS + (12 * 3_600 + 53 * 60 + 20) * SECOND_NS),
    ],
)
def test_an_end_is_how_long_or_until_when(text: str, ends_ns: int) -> None:
    assert end_of(text, NOW_NS) == ends_ns


@pytest.mark.parametrize("text", ["now", "2026-11-17", "30", "-3d", "soon", "3 d ago", "99999999999d"])
def test_an_end_lies_ahead(text: str) -> None:
    with pytest.raises(BadSetting, match="expires"):
        end_of(text, NOW_NS)


def test_a_key_that_has_ended_is_listed_as_such() -> None:
    key = AccessKey("abc", "", "read", NOW_NS - 10 * SECOND_NS, NOW_NS, "")
    assert "ended 2026-11-18" in table([key], NOW_NS)[1]
    assert "2026-11-18 11:06:40Z" in table([key], NOW_NS - 1)[1]
