"""Sealed secrets: opened with the same key and context alone. What happens to the master's file: see the keystore's."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.sealing import MASTER_BYTES, BadMaster, BadSeal, Sealer


def test_what_is_sealed_is_opened_in_its_context_alone(tmp_path: Path) -> None:
    sealer = Sealer(tmp_path / "config")
    text = sealer.seal(b"secret", b"webhook a")
    assert Sealer(tmp_path / "config").open(text, b"webhook a") == b"secret"
    assert sealer.seal(b"secret", b"webhook a") != text
    with pytest.raises(BadSeal) as caught:
        sealer.open(text, b"webhook b")
    assert not caught.value.damaged
    for damaged in ("", "abc", "é", "A" * 16):
        with pytest.raises(BadSeal) as caught:
            sealer.open(damaged, b"webhook a")
        assert caught.value.damaged


def test_a_derived_key_is_its_purposes_and_its_masters(tmp_path: Path) -> None:
    first, second = Sealer(tmp_path / "a"), Sealer(tmp_path / "b")
    keys = {
        first.derive("tokens"),
        first.derive("webhooks"),
        second.derive("tokens"),
        first.path.read_bytes(),
    }
    assert {len(key) for key in keys} == {32}
    assert len(keys) == 4
    assert Sealer(tmp_path / "a").derive("tokens") in keys


def test_opening_makes_no_master_key_and_a_wrong_one_is_named(tmp_path: Path) -> None:
    sealer = Sealer(tmp_path / "config")
    with pytest.raises(BadMaster, match=r"exchange-master\.key cannot be read"):
        sealer.open("A" * 80, b"")
    assert list(tmp_path.iterdir()) == []
    sealer.path.parent.mkdir()
    for wrong in (b"", bytes(16), bytes(MASTER_BYTES + 1)):
        sealer.path.write_bytes(wrong)
        for call in (lambda: sealer.seal(b"", b""), lambda: sealer.derive("x"), lambda: sealer.open("", b"")):
            with pytest.raises(BadMaster, match="is not a key of 32 bytes"):
                call()
