"""The simulated market looks like one, at every rate: prices, spreads, depth, and the coarse stylised facts."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pytest

from engine.flow.simulator import Simulator
from engine.market.batches import BUY, Kind
from tests.flow.test_simulator import START_NS, turns

MAIN = ("BTC-USDT", "ETH-USDT", "SOL-USDT", "BNB-USDT", "XRP-USDT")


@dataclass
class Path:
    """What was seen at the end of each step; arrays of shape (steps, symbols), in ticks."""

    mids: npt.NDArray[np.float64]
    spreads: npt.NDArray[np.float64]
    least_levels: int


def walk(rate: float, seconds: int, step_ns: int, seed: int = 3) -> Path:
    simulator = Simulator(seed, rate)
    mids, spreads, least = [], [], 1 << 18
    for at, _ in enumerate(turns(simulator, seconds, step_ns)):
        quotes = [simulator.engine.bbo(symbol) for symbol in MAIN]
        assert all(quote.bid_lots > 0 and quote.ask_lots > 0 for quote in quotes)
        mids.append([(quote.bid_ticks + quote.ask_ticks) / 2 for quote in quotes])
        spreads.append([quote.ask_ticks - quote.bid_ticks for quote in quotes])
        if at % 20 == 0:
            least = min(least, *(len(side) for symbol in MAIN for side in simulator.engine.top(symbol, 400)))
    return Path(np.array(mids), np.array(spreads), least)


@pytest.mark.parametrize(
    ("rate", "seconds", "step_ns"),
    [(100, 900, 100_000_000), (5_000, 120, 20_000_000), (50_000, 30, 10_000_000), (1_000_000, 4, 5_000_000)],
)
def test_prices_are_sane_at_any_rate(rate: float, seconds: int, step_ns: int) -> None:
    path = walk(rate, seconds, step_ns)
    assert path.spreads.min() >= 1
    assert (np.median(path.spreads, axis=0) <= 4).all()
    assert (path.spreads.mean(axis=0) <= 20).all()
    assert path.least_levels >= 250
    dollars = path.mids[:, 0] / 10
    assert len(np.unique(dollars)) > 3  # it moves
    assert np.ptp(dollars) > 0.5
    assert np.ptp(dollars) < 60 * np.sqrt(seconds)  # and does not run away
    per_second = dollars[:: 1_000_000_000 // step_ns]
    assert np.abs(np.diff(per_second)).max() < 150
    # Nor does it flicker: the way gone within a second is not far from what diffusion at that pace goes.
    assert np.abs(np.diff(dollars)).max() < 150


def test_volatility_does_not_grow_with_the_rate() -> None:
    slow, fast = (np.diff(walk(rate, 40, 20_000_000).mids[::50, 0]).std() for rate in (2_000.0, 60_000.0))
    assert slow == pytest.approx(fast, rel=0.35)


@pytest.fixture(scope="module")
def hour() -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]:
    """Mid prices each second of 75 minutes, (seconds, symbols), and the aggressors of BTC's trades."""
    simulator = Simulator(11)
    mids: dict[str, dict[int, float]] = {symbol: {} for symbol in MAIN}
    aggressors: list[int] = []
    for batch in simulator.warm_up_history(4_500, START_NS):
        if batch.kind is Kind.QUOTES:
            quote = batch.rows[0]
            middle = (quote["bid_price"] + quote["ask_price"]) / 2
            mids[batch.symbol][int(quote["ts_event_ns"]) // 1_000_000_000] = middle
        elif batch.kind is Kind.TRADES and batch.symbol == MAIN[0]:
            # An order that meets several makers is one decision.
            turned = np.flatnonzero(np.diff(batch.rows["size"]) != 0)
            aggressors.extend(batch.rows["aggressor"][turned].tolist())
    seconds = sorted(set.intersection(*(set(each) for each in mids.values())))
    assert len(seconds) > 4_400
    return np.array([[mids[symbol][at] for symbol in MAIN] for at in seconds]), np.array(aggressors)


def correlation(values: npt.NDArray[np.float64], lag: int) -> float:
    return float(np.corrcoef(values[lag:], values[:-lag])[0, 1])


@pytest.mark.parametrize("at", [0, 1])
def test_returns_are_uncorrelated_clustered_and_fat_tailed(
    hour: tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]], at: int
) -> None:
    returns = np.diff(np.log(hour[0][:, at]))
    assert abs(correlation(returns, 1)) < 0.08
    assert abs(correlation(returns, 5)) < 0.08
    sizes = np.abs(returns)
    assert all(correlation(sizes, lag) > 0.08 for lag in (1, 2, 5, 10))
    assert correlation(sizes, 20) > 0.02
    assert np.mean([correlation(sizes, lag) for lag in range(1, 6)]) > np.mean(
        [correlation(sizes, lag) for lag in range(100, 106)]
    )

    def excess(values: npt.NDArray[np.float64]) -> float:
        return float(np.mean((values - values.mean()) ** 4) / values.var() ** 2 - 3)

    minutes = np.diff(np.log(hour[0][::60, at]))
    assert excess(returns) > 3
    assert excess(minutes) < excess(returns)


def test_symbols_move_together_but_not_as_one(
    hour: tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]],
) -> None:
    returns = np.diff(np.log(hour[0][::10, :2]), axis=0)
    assert 0.3 < np.corrcoef(returns.T)[0, 1] < 0.95


def test_aggressors_come_in_runs(hour: tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]) -> None:
    signs = hour[1].astype(np.float64)
    assert len(signs) > 10_000
    assert 0.4 < np.mean(signs == BUY) < 0.6
    assert all(correlation(signs, lag) > 0.02 for lag in (1, 2, 5, 10))


def test_depth_lies_around_the_touch_and_decays() -> None:
    simulator = Simulator(4, 20_000)
    profile = np.zeros((2, 12))
    for at, _ in enumerate(turns(simulator, 10, 10_000_000)):
        if at % 10 == 0:
            for side, levels in enumerate(simulator.engine.top("ETH-USDT", 4_000)):
                prices = levels["price_ticks"].astype(np.int64)
                distance = np.abs(prices - prices[0]) // 200
                profile[side] += np.bincount(distance, levels["lots"], 1 << 18)[:12]
    near, middle, far = profile[:, 0].sum(), profile[:, 3:5].mean(), profile[:, 9:12].mean()
    assert near > middle > far > 0
    assert profile[0].sum() == pytest.approx(profile[1].sum(), rel=0.35)
