"""How much of an array is in physical memory."""

from __future__ import annotations

import mmap
import sys

import numpy as np
import pytest

from engine.resident import resident_bytes


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="other systems may keep other pages")
def test_pages_count_once_they_are_written() -> None:
    array = np.frombuffer(mmap.mmap(-1, 64 << 20), np.uint8)  # pages that nothing had before
    before = resident_bytes(array)
    assert before is not None
    assert before < 8 << 20
    array[: 32 << 20] = 1
    after = resident_bytes(array)
    assert after is not None
    assert 32 << 20 <= after - before + (4 << 20) < 44 << 20


def test_a_system_that_does_not_tell_gives_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "win32")
    assert resident_bytes(np.zeros(8)) is None
