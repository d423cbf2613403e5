"""Access keys on the disk: what is kept of them, who is recognised, and that a revoke is seen at once."""

from __future__ import annotations

import os
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from engine.access import keys as keys_module
from engine.access.keys import KeyRing
from engine.errors import BadDataFolder, BadSetting, UserError

NOW_NS = 1_795_000_000 * 10**9


class Steady:
    """A clock that the test moves."""

    def __init__(self) -> None:
        self.now_ns = 0

    def __call__(self) -> int:
        return self.now_ns


def test_a_key_is_recognised_and_nothing_else_is(tmp_path: Path) -> None:
    ring = KeyRing(tmp_path / "data")
    assert ring.find("vsk__") is None
    key, text = ring.create("trade", "naïve", NOW_NS)
    other, other_text = ring.create("read", "", NOW_NS, NOW_NS + 5)
    assert ring.all() == (key, other) == KeyRing(tmp_path / "data").all()
    assert (ring.find(text), ring.find(other_text)) == (key, other)
    secret = text.split("_", 2)[2]
    wrong = ["", "vsk", "vsk_", f"vsk_{key.id}", f"vsk_{key.id}_", f"vsk_{other.id}_{secret}", text[:-1]]
    wrong += [f"{text}x", text.upper(), f"VSK{text[3:]}", f"vsk_{key.id}_{key.digest}", "\ud800", f"{text}\n"]
    assert [ring.find(each) for each in wrong] == [None] * len(wrong)
    assert (other.good(NOW_NS + 4), other.good(NOW_NS + 5), key.good(2**62)) == (True, False, True)


def test_no_secret_is_in_the_file_which_is_its_owners_alone(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        ring = KeyRing(tmp_path)
        _, text = ring.create("admin", "", NOW_NS)
    finally:
        os.umask(before)
    assert text.split("_", 2)[2].encode() not in ring.path.read_bytes()
    assert [path.name for path in tmp_path.iterdir()] == [ring.path.name]
    if sys.platform != "win32":
        assert ring.path.stat().st_mode & 0o777 == 0o600


def test_what_another_program_makes_or_revokes_is_seen_at_once(tmp_path: Path) -> None:
    clock = Steady()
    running, command_line = KeyRing(tmp_path, clock), KeyRing(tmp_path)
    assert running.get("x") is None
    key, text = command_line.create("read", "", NOW_NS)
    assert running.find(text) is None  # it looks each 100 ms
    clock.now_ns += keys_module.LOOK_EVERY_NS
    assert running.find(text) == key
    assert command_line.revoke(key.id)
    assert not command_line.revoke(key.id)
    clock.now_ns += keys_module.LOOK_EVERY_NS
    assert (running.find(text), running.get(key.id)) == (None, None)
    assert running.revoke(key.id) is False


def test_own_changes_are_seen_before_the_next_look(tmp_path: Path) -> None:
    ring = KeyRing(tmp_path, Steady())
    key, text = ring.create("read", "", NOW_NS)
    assert ring.find(text) == key
    ring.revoke(key.id)
    assert ring.find(text) is None


@pytest.mark.parametrize(
    "data",
    [b"", b"[]", b"{", b"\xff", b'{"version":2,"keys":[]}', b'{"version":1,"keys":[{}]}', b"[" * 9_999],
)
def test_a_damaged_file_lets_nobody_in_until_it_is_whole_again(tmp_path: Path, data: bytes) -> None:
    clock = Steady()
    ring = KeyRing(tmp_path, clock)
    key, text = ring.create("admin", "", NOW_NS)
    assert ring.find(text) == key
    whole = ring.path.read_bytes()
    ring.path.write_bytes(data)
    clock.now_ns += keys_module.LOOK_EVERY_NS
    assert ring.find(text) is None
    assert str(ring.path) in ring.trouble
    for refused in (ring.all, lambda: ring.create("read", "", NOW_NS), lambda: ring.revoke(key.id)):
        with pytest.raises(BadDataFolder):
            refused()
    assert ring.path.read_bytes() == data
    ring.path.write_bytes(whole)
    clock.now_ns += keys_module.LOOK_EVERY_NS
    assert ring.find(text) == key
    assert ring.trouble == ""


@pytest.mark.parametrize(
    ("role", "label", "expires_ns"),
    [("root", "", 0), ("", "", 0), ("read", "x" * 41, 0), ("read", "a\x1b[2J", 0), ("read", "", NOW_NS)],
)
def test_what_cannot_be_a_key_is_not_made(tmp_path: Path, role: str, label: str, expires_ns: int) -> None:
    ring = KeyRing(tmp_path)
    with pytest.raises(BadSetting):
        ring.create(role, label, NOW_NS, expires_ns)
    assert list(tmp_path.iterdir()) == []


def test_there_is_a_most_of_keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keys_module, "KEYS", 2)
    ring = KeyRing(tmp_path)
    for _ in range(2):
        ring.create("read", "", NOW_NS)
    with pytest.raises(UserError, match="revoke"):
        ring.create("read", "", NOW_NS)
    assert len(ring.all()) == 2


def test_keys_made_at_the_same_time_are_all_kept(tmp_path: Path) -> None:
    with ThreadPoolExecutor(4) as pool:
        made = list(pool.map(lambda _: KeyRing(tmp_path).create("read", "", NOW_NS)[0], range(12)))
    assert sorted(key.id for key in KeyRing(tmp_path).all()) == sorted(key.id for key in made)
