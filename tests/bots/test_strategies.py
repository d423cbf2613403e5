"""What each strategy does with what it sees: no sockets, no clock. A small exchange fills orders for the long runs."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.bots.errors import BadStrategy
from engine.bots.strategies import base, loading, market_maker, momentum, random_orders, twap
from engine.bots.strategies.base import Action, Cancel, OpenOrder, Place, Strategy, View
from engine.bots.strategies.market_maker import MarketMaker
from engine.bots.strategies.momentum import Momentum
from engine.bots.strategies.random_orders import RandomOrders
from engine.bots.strategies.twap import Twap, slices

UNIT = 20
SECOND_NS = 1_000_000_000


def view(bid: int = 100_000, ask: int = 100_001, position: int = 0, *orders: OpenOrder) -> View:
    return View(
        "BTC-USDT",
        bid,
        500,
        ask,
        500,
        UNIT,
        5,
        position,
        (bid + ask) / 2,
        {each.order_id: each for each in orders},
    )


class Market:
    """Prices that a test moves, and a share of each order that is filled."""

    def __init__(self, strategy: Strategy, bid: int = 100_000, spread: int = 1) -> None:
        self.strategy, self.bid, self.spread = strategy, bid, spread
        self.position = 0
        self.orders: dict[int, OpenOrder] = {}
        self.now_ns = 0
        self.placed: list[Place] = []
        self.traded: list[tuple[str, int]] = []
        self._ids = count(1)

    def turn(self, filled: float = 1.0, step_ns: int = SECOND_NS) -> Sequence[Action]:
        """One decision, its orders placed; of one that takes, the share `filled` is."""
        ask = self.bid + self.spread
        actions = self.strategy.decide(view(self.bid, ask, self.position, *self.orders.values()), self.now_ns)
        self.now_ns += step_ns
        for action in actions:
            if isinstance(action, Cancel):
                del self.orders[action.order_id]
                continue
            assert action.lots > 0
            self.placed.append(action)
            takes = action.price_ticks >= ask if action.side == "buy" else action.price_ticks <= self.bid
            assert not (takes and action.post_only)
            if takes:
                self._fill(action.side, int(action.lots * filled))
            elif action.tif == "gtc":
                number = next(self._ids)
                self.orders[number] = OpenOrder(
                    number, action.side, action.price_ticks, action.lots, self.now_ns
                )
        return actions

    def move(self, ticks: int) -> None:
        """The price moves, through what lies in its way."""
        self.bid += ticks
        for each in list(self.orders.values()):
            reached = (
                each.price_ticks >= self.bid + self.spread
                if each.side == "buy"
                else each.price_ticks <= self.bid
            )
            if reached:
                del self.orders[each.order_id]
                self._fill(each.side, each.lots)

    def _fill(self, side: str, lots: int) -> None:
        if lots:
            self.position += lots if side == "buy" else -lots
            self.traded.append((side, lots))


MOVES = st.lists(st.integers(-60, 60), min_size=5, max_size=80)


@pytest.mark.parametrize("name", list(loading.BUILT_IN))
def test_the_same_seed_and_views_bring_the_same_actions(name: str) -> None:
    def run(seed: int) -> list[Place]:
        market = Market(loading.load(name)(seed))
        for at in range(60):
            market.turn(step_ns=300_000_000)
            market.move((at * 7) % 23 - 11)
        return market.placed

    assert run(3) == run(3)
    assert run(3)  # it does something


# --- market-maker -------------------------------------------------------------------------------------------


@given(MOVES, st.integers(1, 30))
def test_a_market_maker_never_crosses_itself_and_keeps_its_inventory_in_bounds(
    moves: list[int], spread: int
) -> None:
    market = Market(MarketMaker(1), spread=spread)
    for move in moves:
        market.turn()  # asserts that nothing post-only would trade
        bids = [each.price_ticks for each in market.orders.values() if each.side == "buy"]
        asks = [each.price_ticks for each in market.orders.values() if each.side == "sell"]
        assert len(bids) <= 1
        assert len(asks) <= 1
        if bids and asks:
            assert bids[0] < asks[0]
        market.move(move)
        assert abs(market.position) <= market_maker.MAX_UNITS * UNIT


@given(st.integers(-25, 25), st.integers(1, 50))
def test_a_market_makers_quotes_lean_against_what_it_holds(units: int, spread: int) -> None:
    maker = MarketMaker(1)
    flat = maker.quotes(view(1_000_000, 1_000_000 + spread))
    held = maker.quotes(view(1_000_000, 1_000_000 + spread, units * UNIT))
    assert held[0] < held[1]
    assert held[0] < 1_000_000 + spread  # never to the other side of the market
    assert held[1] > 1_000_000
    if units >= 0:
        assert held[1] <= flat[1]
    if units <= 0:
        assert held[0] >= flat[0]


def test_a_full_market_maker_quotes_only_the_side_that_empties_it() -> None:
    actions = MarketMaker(1).decide(view(100_000, 100_001, market_maker.MAX_UNITS * UNIT), 0)
    assert [each.side for each in actions if isinstance(each, Place)] == ["sell"]


def test_a_market_maker_replaces_a_quote_only_when_it_is_off() -> None:
    maker = MarketMaker(1)
    market = Market(maker)
    market.turn()
    assert {each.side for each in market.orders.values()} == {"buy", "sell"}
    assert market.turn() == []  # nothing has moved
    market.bid += 100
    assert {type(each) for each in market.turn()} == {Cancel}
    assert {type(each) for each in market.turn()} == {Place}


# --- momentum ------------------------------------------------------------------------------------------------


def test_momentum_follows_up_and_down_and_goes_flat_when_nothing_moves() -> None:
    market = Market(Momentum(1))
    for _ in range(20):
        market.turn()
        market.move(20)  # 200 parts in a million a second
    assert market.position == momentum.MAX_UNITS * UNIT
    for _ in range(30):
        market.turn()
    assert market.position == 0
    for _ in range(20):
        market.turn()
        market.move(-20)
    assert market.position == -momentum.MAX_UNITS * UNIT


def test_momentum_waits_until_it_has_seen_enough() -> None:
    market = Market(Momentum(1))
    for _ in range(2):
        assert market.turn() == []
        market.move(100)


@given(MOVES)
def test_momentum_never_holds_more_than_its_bound_and_leaves_nothing_open(moves: list[int]) -> None:
    market = Market(Momentum(1))
    for move in moves:
        market.turn(filled=0.5)
        market.move(move)
        assert abs(market.position) <= momentum.MAX_UNITS * UNIT
        assert not market.orders


# --- twap ----------------------------------------------------------------------------------------------------


@given(st.integers(0, 10**9), st.integers(1, 500))
def test_slices_sum_to_the_whole_and_differ_by_at_most_one(whole: int, parts: int) -> None:
    made = slices(whole, parts)
    assert len(made) == parts
    assert sum(made) == whole
    assert max(made) - min(made) <= 1


@given(st.lists(st.floats(0.0, 1.0), min_size=1, max_size=20), st.integers(50_000_000, 3 * SECOND_NS))
def test_twap_trades_no_more_than_is_due_and_the_whole_in_the_end(shares: list[float], step_ns: int) -> None:
    strategy = Twap(1)
    market = Market(strategy)
    whole = twap.WHOLE_UNITS * UNIT
    while strategy.side == "buy":
        begun = min(twap.SLICES, market.now_ns * twap.SLICES // twap.DURATION_NS + 1)
        share = shares[len(market.placed) % len(shares)] if market.now_ns < twap.DURATION_NS else 1.0
        market.turn(filled=share, step_ns=step_ns)
        assert market.position <= whole * begun // twap.SLICES
        assert market.now_ns < twap.DURATION_NS + 5 * step_ns
    assert whole - 5 < market.position <= whole  # but for a rest that is no order
    assert {side for side, _ in market.traded} == {"buy"}


def test_twap_turns_around_when_it_is_done() -> None:
    market = Market(Twap(2))
    for _ in range(70):
        market.turn()
    assert market.traded[0][0] == "sell"
    assert sum(lots for side, lots in market.traded if side == "sell") == twap.WHOLE_UNITS * UNIT
    assert market.traded[-1][0] == "buy"


# --- random --------------------------------------------------------------------------------------------------


@given(st.integers(0, 1_000), MOVES)
def test_random_orders_stay_within_their_bounds(seed: int, moves: list[int]) -> None:
    market = Market(RandomOrders(seed))
    for move in moves:
        market.turn()
        assert len(market.orders) <= random_orders.MAX_OPEN
        market.move(move)
        assert abs(market.position) <= (random_orders.MAX_UNITS + 3) * UNIT


def test_random_orders_come_on_both_sides_and_some_take() -> None:
    market = Market(RandomOrders(1))
    for _ in range(200):
        market.turn()
    assert {each.side for each in market.placed} == {"buy", "sell"}
    assert {each.tif for each in market.placed} == {"gtc", "ioc"}


# --- one's own -----------------------------------------------------------------------------------------------

OWN = """
from engine.bots.strategies.base import Place, Strategy

class Mine(Strategy):
    def decide(self, view, now_ns):
        return [Place("buy", view.unit_lots, view.ask_ticks, "ioc")]

class Empty:
    def __init__(self, seed):
        pass

class Fragile:
    def __init__(self, seed):
        raise RuntimeError("not today")
    def decide(self, view, now_ns):
        return []

number = 5
"""


def test_a_strategy_of_ones_own_is_loaded_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "own.py"
    file.write_text(OWN)
    strategy = loading.load(f"{file}:Mine")(7)
    assert strategy.seed == 7
    assert strategy.decide(view(), 0) == [Place("buy", UNIT, 100_001, "ioc")]


def test_the_example_in_the_documentation_works(tmp_path: Path) -> None:
    lines = (base.__doc__ or "").splitlines()
    example = "\n".join(each[4:] for each in lines if each.startswith("    "))
    file = tmp_path / "dip.py"
    file.write_text(f"from engine.bots.strategies.base import Place, Strategy\n{example}")
    strategy = loading.load(f"{file}:BuyTheDip")(1)
    seen = view(100_000, 100_001)
    assert strategy.decide(seen, 0) == []
    seen.bid_ticks, seen.ask_ticks = 99_800, 99_801
    assert strategy.decide(seen, 1) == [Place("buy", UNIT, 99_801, "ioc")]
    seen.position_lots = 10 * UNIT
    assert strategy.decide(seen, 2) == []


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("nothing", "there is none; there are random, market-maker, momentum, twap"),
        ("missing.py:Mine", "there is no file missing.py"),
        ("{file}:Other", "has no class Other"),
        ("{file}:number", "has no class number"),
        ("{file}:Empty", r"Empty has no decide\(view, now_ns\)"),
        ("{file}:Fragile", r"Fragile\(seed\) failed: RuntimeError: not today"),
        ("{broken}:Mine", "cannot be imported: SyntaxError"),
    ],
)
def test_a_strategy_that_cannot_be_loaded_is_one_sentence(name: str, said: str, tmp_path: Path) -> None:
    file, broken = tmp_path / "own.py", tmp_path / "broken.py"
    file.write_text(OWN)
    broken.write_text("def :")
    with pytest.raises(BadStrategy, match=said):
        loading.load(name.format(file=file, broken=broken))
