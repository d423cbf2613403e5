"""The bound on open files, raised."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from engine import open_files

resource: Any = pytest.importorskip("resource")


@pytest.fixture(autouse=True)
def as_it_was() -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_the_bound_is_raised_to_what_is_allowed() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    lower = min(soft, 1_000)
    resource.setrlimit(resource.RLIMIT_NOFILE, (lower, hard))
    now = open_files.raise_limit()
    assert resource.getrlimit(resource.RLIMIT_NOFILE) == (now, hard)
    assert now == (open_files.ENOUGH if hard == resource.RLIM_INFINITY else min(hard, open_files.ENOUGH))
    assert open_files.raise_limit() == now


def test_what_the_system_refuses_is_not_insisted_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """As macOS: it tells of no bound, and takes 10,240."""
    held = [256]

    def taken(_: int, limits: tuple[int, int]) -> None:
        if limits[0] > open_files.LIKELY:
            raise ValueError("not allowed to raise maximum limit")
        held[0] = limits[0]

    monkeypatch.setattr(resource, "getrlimit", lambda _: (held[0], resource.RLIM_INFINITY))
    monkeypatch.setattr(resource, "setrlimit", taken)
    assert open_files.raise_limit() == held[0] == open_files.LIKELY
    monkeypatch.undo()


def test_a_higher_bound_is_left() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < open_files.ENOUGH and soft != resource.RLIM_INFINITY:
        pytest.skip("this system's is lower")
    assert open_files.raise_limit() == (open_files.ENOUGH if soft == resource.RLIM_INFINITY else soft)
    assert resource.getrlimit(resource.RLIMIT_NOFILE) == (soft, hard)
