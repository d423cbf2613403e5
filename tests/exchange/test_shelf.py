"""What is kept of each account, beside lists that are cut."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from engine.exchange.shelf import Shelf


@given(st.lists(st.integers(0, 4), max_size=200), st.integers(1, 6), st.integers(1, 15))
def test_the_newest_of_each_and_of_all_are_kept(accounts: list[int], each: int, in_all: int) -> None:
    shelf: Shelf[int] = Shelf(each, in_all)
    kept: list[tuple[int, int]] = []
    for item, account in enumerate(accounts):
        kept.append((account, item))
        mine = [row for row in kept if row[0] == account]
        gone = mine[0] if len(mine) > each else kept[0] if len(kept) > in_all else None
        if gone is not None:
            kept.remove(gone)
        assert shelf.add(account, item) == (gone[1] if gone is not None else None)
        assert len(shelf) == len(kept)
        for other in range(5):
            assert list(shelf.of(other)) == [row[1] for row in kept if row[0] == other]
        assert len(shelf._order) <= 2 * in_all + 1


def test_a_busy_account_does_not_wipe_what_a_quiet_one_has() -> None:
    shelf: Shelf[int] = Shelf(10, 100)
    shelf.add(1, -1)
    for item in range(10_000):
        shelf.add(2, item)
    assert list(shelf.of(1)) == [-1]
    assert list(shelf.of(2)) == list(range(9_990, 10_000))
