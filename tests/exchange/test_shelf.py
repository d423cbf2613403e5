"""What is kept of each account, beside lists that are cut."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from engine.exchange.shelf import LEAST, Shelf


@given(st.lists(st.integers(0, 4), max_size=300), st.integers(20, 60), st.integers(20, 200))
def test_each_account_keeps_its_newest_by_its_share(accounts: list[int], each: int, in_all: int) -> None:
    shelf: Shelf[int] = Shelf(each, in_all)
    kept: dict[int, list[int]] = {}
    for item, account in enumerate(accounts):
        mine = kept.setdefault(account, [])
        mine.append(item)
        share = min(each, max(LEAST, in_all // len(kept)))
        gone = mine.pop(0) if len(mine) > share else None
        assert shelf.add(account, item) == gone
    for account in range(5):
        assert list(shelf.of(account)) == kept.get(account, [])
    assert len(shelf) == sum(map(len, kept.values()))


def test_a_busy_account_does_not_wipe_what_a_quiet_one_has() -> None:
    shelf: Shelf[int] = Shelf(10, 100)
    shelf.add(1, -1)
    for item in range(10_000):
        shelf.add(2, item)
    assert list(shelf.of(1)) == [-1]
    assert list(shelf.of(2)) == list(range(9_990, 10_000))


def test_many_accounts_share_the_room() -> None:
    shelf: Shelf[int] = Shelf(1_000, 32_000)
    for item in range(200):
        for account in range(500):
            shelf.add(account, item)
    assert len(shelf) <= 500 * 200 / 3
    assert list(shelf.of(499))[-1] == 199
