"""Depth: levels joined as venues do, wide spans from the whole book, the CSV as it is drawn."""

from __future__ import annotations

import csv
import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dashboards.streams.depth import FAR, LEVELS, side_of
from engine.market.batches import LEVEL, Rows
from tests.dashboards.test_transport import Page
from tests.engine.markets import Desk
from tests.reference import depth_plain, impact_plain

JUMPS = st.lists(st.tuples(st.integers(1, 40), st.integers(1, 10**9)), min_size=1, max_size=400)


def rows_of(levels: list[tuple[int, int]]) -> Rows:
    """LEVEL rows."""
    rows = np.zeros(len(levels), LEVEL)
    rows["price"], rows["size"] = zip(*levels, strict=True)
    return rows


def levels_from(start: int, jumps: list[tuple[int, int]], sign: int) -> list[tuple[int, int]]:
    """(price, size) of one side, each so far from the one before."""
    found, price = [], start
    for jump, size in jumps:
        price += sign * jump
        found.append((price, size))
    return found


def deep(seconds: int = 2) -> Desk:
    """A book of 3,000 levels a side, ten units apart."""
    desk = Desk().at(0)
    bids = [(1_000_000 - 10 * i, 1 + i % 7) for i in range(3_000)]
    asks = [(1_000_010 + 10 * i, 1 + i % 5) for i in range(3_000)]
    return desk.snapshot(bids, asks).at(seconds)


@given(JUMPS, JUMPS, st.sampled_from([-1, 1]), st.sampled_from([1, 10, 100]), st.integers(1, 240))
def test_groups_are_those_of_the_plain_twin(
    fresh: list[tuple[int, int]], old: list[tuple[int, int]], sign: int, group: int, kept: int
) -> None:
    near, whole = levels_from(10**6, fresh, sign)[:kept], levels_from(10**6, old, sign)
    found = side_of(rows_of(near), rows_of(whole), sign, 1, group, None)
    wanted = depth_plain.side(near, whole, sign, group)
    assert list(zip(found.prices.tolist(), found.sizes.tolist(), strict=True)) == wanted
    assert found.reach == (whole[-1][0] if sign * whole[-1][0] > sign * near[-1][0] else near[-1][0])


@given(JUMPS, st.sampled_from([-1, 1]), st.integers(1, 60_000))
def test_sums_at_every_far_group_are_those_of_all_levels_up_to_it(
    jumps: list[tuple[int, int]], sign: int, edge: int
) -> None:
    whole = levels_from(10**6, jumps * 3, sign)
    rows = rows_of(whole)
    found = side_of(rows[:LEVELS], rows, sign, 1, 1, 10**6 + sign * edge)
    assert len(found.prices) <= LEVELS + FAR + 1
    for price, total in zip(found.prices.tolist(), np.cumsum(found.sizes).tolist(), strict=True):
        assert total == sum(size for at, size in whole if sign * at <= sign * price)
    # Nothing is left out up to the edge.
    reached = max(sign * int(found.prices[-1]), sign * whole[min(len(whole), LEVELS) - 1][0])
    assert all(sign * at <= reached for at, _ in whole if sign * at <= sign * (10**6 + sign * edge))


def test_a_span_reaches_past_the_levels_that_are_frozen_at_any_time() -> None:
    desk = deep()
    narrow = Page(desk, ["depth"]).stream("depth")
    wide = Page(desk, ["depth"], span="1").stream("depth")
    assert len(narrow["b"]["p"]) == LEVELS
    assert (narrow["span"], narrow["far"], wide["span"]) == (0, 0, 0.01)
    assert wide["far"] > 1
    assert sum(wide["b"]["p"]) <= 1_000_005 * 0.99
    assert wide["reach"] == [1_000_000 - 29_990, 1_000_010 + 29_990]
    assert LEVELS < len(wide["a"]["p"]) <= LEVELS + FAR + 1


def test_what_is_not_known_is_not_told_as_empty() -> None:
    stream = Page(deep(), ["depth"], span="5").stream("depth")
    assert stream["reach"][1] < 1_000_005 * 1.05
    assert sum(stream["a"]["q"]) == sum(1 + i % 5 for i in range(3_000))


def test_another_group_is_told_at_once_though_nothing_changed() -> None:
    desk = deep()
    page = Page(desk, ["depth"])
    page.poll()
    assert "b" not in page.stream("depth")
    page.params["group"] = "10"
    stream = page.stream("depth")
    assert stream["step"] == 10 * stream["tick"]
    assert all(price % stream["step"] == 0 for price in np.cumsum(stream["b"]["p"]))
    assert not stream["reset"]


@pytest.mark.parametrize("asked", [{}, {"span": "1"}, {"span": "5", "group": "100"}])
def test_csv_is_what_is_drawn(asked: dict[str, str]) -> None:
    desk = deep()
    page = Page(desk, ["depth"], **asked)
    answer = page.poll()
    drawn = answer["streams"]["depth"]
    desk.snapshot([(5, 1)], [(7, 1)]).at(4)
    _, text = page.transport.export({"chart": "depth", "view": answer["v"], "client": "tab", "range": None})
    rows = list(csv.DictReader(io.StringIO(text)))
    for name, side in (("bid", "b"), ("ask", "a")):
        mine = [row for row in rows if row["side"] == name]
        prices = [round(float(row["price"]) * 100) for row in mine]
        assert prices == np.cumsum(drawn[side]["p"]).tolist()
        sums = [round(float(row["cumulative_size"]) * 10**5) for row in mine]
        assert sums == np.cumsum(drawn[side]["q"]).tolist()


def test_the_whole_book_is_held_once_a_second_and_only_where_there_is_more_of_it() -> None:
    desk = deep()
    found = desk.telemetry.board.books[desk.source.key, "BTC-USDT"]
    assert found.whole is not None
    assert (len(found.whole.bids), len(found.bids)) == (3_000, LEVELS)
    shallow = Desk().at(0).snapshot([(100, 1)], [(102, 1)]).at(2)
    assert shallow.telemetry.board.books[shallow.source.key, "BTC-USDT"].whole is None


@pytest.mark.parametrize("amount", ["10", "100", "500", "900"])
def test_an_amount_past_the_levels_that_are_frozen_is_walked_through_the_whole_book(amount: str) -> None:
    desk = deep()
    page = Page(desk, ["impact"], amount=amount)
    row = page.stream("impact")["rows"][-1]
    asks = [(1_000_010 + 10 * i, 1 + i % 5) for i in range(3_000)]
    base, quote, levels, exhausted = impact_plain.filled(asks, int(amount) * 10**7, 1)
    found = row["buy"]
    assert (round(float(found["filled"]) * 10**5), found["levels"], found["exhausted"]) == (
        base,
        levels,
        exhausted,
    )
    assert float(found["average"]) == pytest.approx(float(quote) / base / 100, abs=0.01)
    assert (levels > LEVELS) == (amount != "10")
    desk.snapshot([(1_000_000, 1)], [(1_000_010, 10**9)]).at(3)
    assert page.stream("impact")["rows"][-1]["buy"]["levels"] == 1


def test_an_amount_that_the_whole_book_does_not_have_is_said() -> None:
    row = Page(deep(), ["impact"], amount="1000").stream("impact")["rows"][0]
    assert (row["buy"]["exhausted"], row["buy"]["levels"]) == (True, 3_000)
