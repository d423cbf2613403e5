"""The simulated market: at the set rate, sane at every rate, and told so that a book can be rebuilt."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from engine.errors import KernelError
from engine.flow import kernel as flow_kernel
from engine.flow.simulator import SOURCE, Simulator, Turn
from engine.market.batches import BBO, BUY, LEVEL, SELL, TRADE, Batch, Kind
from engine.matching import kernel as matching_kernel
from engine.matching.orders import COMMAND, DEPOSIT, GTD, LIMIT, REJECTED, TRADED, as_matrix, as_rows
from tests.matching.invariants import check

START_NS = 1_700_000_000_123_456_789
SECOND = 1_000_000_000


def turns(simulator: Simulator, seconds: float, step_ns: int, start_ns: int = START_NS) -> Iterator[Turn]:
    simulator.turn(start_ns)
    for now_ns in range(start_ns + step_ns, start_ns + int(seconds * SECOND) + 1, step_ns):
        yield simulator.turn(now_ns)


@pytest.mark.parametrize(("rate", "seconds"), [(1, 20), (100, 20), (7_777.7, 4), (50_000, 3), (1_000_000, 2)])
def test_the_rate_is_kept(rate: float, seconds: int) -> None:
    done = list(turns(Simulator(1, rate), seconds, 5_000_000))
    assert sum(turn.orders for turn in done) == pytest.approx(rate * seconds, abs=1)
    assert sum(turn.skipped for turn in done) == 0


def test_a_new_rate_takes_effect_within_a_slot() -> None:
    simulator = Simulator(1, 1_000)
    before = sum(turn.orders for turn in turns(simulator, 0.5, 1_000_000))
    simulator.rate = 100_000
    after = [simulator.turn(START_NS + SECOND // 2 + at * 1_000_000).orders for at in range(1, 501)]
    assert 300 < before < 700
    assert sum(after[:20]) > 500
    assert sum(after) == pytest.approx(50_000, rel=0.3)
    simulator.rate = 0
    quiet = [simulator.turn(START_NS + SECOND + at * 10_000_000).orders for at in range(1, 400)]
    assert sum(quiet[1:]) == 0


@pytest.mark.parametrize("rate", [-1, 1_000_001, float("nan")])
def test_a_rate_outside_its_range_is_refused(rate: float) -> None:
    with pytest.raises(ValueError, match="simulation rate is 0 to 1,000,000"):
        Simulator(1).rate = rate


def test_arrivals_are_ascending_within_the_turn_and_come_in_bursts() -> None:
    arrivals = []
    last = START_NS
    for at, turn in enumerate(turns(Simulator(1, 20_000), 3, 5_000_000), 1):
        now_ns = START_NS + at * 5_000_000
        assert len(turn.arrivals_ns) == turn.orders
        if turn.orders:
            assert turn.arrivals_ns[0] >= last
            assert turn.arrivals_ns[-1] <= now_ns
            assert (turn.ack_ns >= 0).all()
            last = turn.arrivals_ns[-1]
        assert (np.diff(turn.arrivals_ns) >= 0).all()
        arrivals.append(turn.arrivals_ns)
    counts = np.bincount((np.concatenate(arrivals) - START_NS) // 10_000_000)
    assert counts.var() / counts.mean() > 2  # Poisson arrivals give 1


def test_what_is_later_than_the_backlog_is_skipped_and_counted() -> None:
    simulator = Simulator(1, 10_000, max_backlog_ns=200_000_000)
    simulator.turn(START_NS)
    late = simulator.turn(START_NS + 10 * SECOND)
    assert late.orders + late.skipped == pytest.approx(100_000, abs=2)
    assert 500 < late.orders < 5_000
    assert (late.ack_ns <= 200_000_000 + 1_000_000).all()
    assert simulator.skipped == late.skipped
    assert simulator.turn(START_NS + 10 * SECOND + 1_000_000).skipped == 0


def test_a_turn_is_bounded_and_the_next_ones_catch_up() -> None:
    simulator = Simulator(1, 100_000, orders_per_turn=1_000)
    simulator.turn(START_NS)
    now_ns = START_NS + 100_000_000
    orders = [simulator.turn(now_ns + at).orders for at in range(30)]
    assert max(orders) == 1_000
    assert orders[-1] <= 2
    assert sum(orders) == pytest.approx(10_000, rel=0.4)
    assert simulator.skipped == 0


def test_a_clock_set_back_is_followed() -> None:
    simulator = Simulator(1, 10_000)
    for _ in turns(simulator, 1.5, 10_000_000):
        pass
    assert simulator.turn(START_NS - 3_600 * SECOND).orders == 0
    again = sum(turn.orders for turn in turns(simulator, 2, 10_000_000, START_NS - 3_600 * SECOND))
    assert again == pytest.approx(20_000, abs=2)


def test_a_market_at_rest_stays_and_then_moves_on() -> None:
    simulator = Simulator(1, 0)
    before = simulator.engine.state_hash()
    assert sum(turn.orders for turn in turns(simulator, 5, 50_000_000)) == 0
    assert simulator.engine.state_hash() == before
    simulator.rate = 2_000
    later = [simulator.turn(START_NS + 5 * SECOND + at * 10_000_000) for at in range(1, 301)]
    assert sum(turn.orders for turn in later) == pytest.approx(6_000, rel=0.15)


def test_a_snapshot_is_as_of_the_last_turn_and_before_the_first_one_as_of_now() -> None:
    simulator = Simulator(1, 0)
    early = simulator.snapshot("BTC-USDT", now_ns=START_NS)
    assert (early.ts_event_ns, early.ts_recv_ns) == (START_NS, START_NS)
    simulator.turn(START_NS + SECOND)
    later = simulator.snapshot("BTC-USDT", now_ns=START_NS + 5 * SECOND)
    assert (later.ts_event_ns, later.ts_recv_ns) == (START_NS + SECOND, START_NS + SECOND)


def test_warm_up_compiles_every_signature_in_use() -> None:
    simulator = Simulator(1, 5_000)
    list(simulator.warm_up_history(1, START_NS))
    for _ in turns(simulator, 0.1, 5_000_000):
        pass
    simulator.snapshot("BTC-USDT")
    commands = simulator.commands[:5].copy()
    commands.flags.writeable = False
    simulator.engine.submit(as_rows(commands, COMMAND))
    for module in (flow_kernel, matching_kernel):
        kernels = [value for value in vars(module).values() if hasattr(value, "signatures")]
        assert len(kernels) >= 4
        assert all(len(kernel.signatures) <= 1 for kernel in kernels)


def fingerprint(seed: int, steps: list[int]) -> tuple[str, list[int]]:
    simulator = Simulator(seed, 30_000)
    now_ns, orders = START_NS, []
    for step in steps:
        now_ns += step
        orders.append(simulator.turn(now_ns).orders)
    return simulator.engine.state_hash(), orders


def test_the_same_seed_and_times_give_the_same_market() -> None:
    steps = [1, *np.random.default_rng(1).integers(1_000_000, 30_000_000, 60).tolist()]
    assert fingerprint(5, steps) == fingerprint(5, steps)
    assert fingerprint(5, steps) != fingerprint(6, steps)


class Rebuilt:
    """Books from a snapshot and deltas, as a client with Binance's spot rule would keep them."""

    def __init__(self, simulator: Simulator) -> None:
        self.levels: dict[str, dict[int, dict[int, int]]] = {}
        self.sequence: dict[str, int] = {}
        self.trades: dict[str, int] = defaultdict(int)
        for instrument in simulator.instruments:
            snapshot = simulator.snapshot(instrument.symbol, 1 << 18)
            bids, asks = snapshot.rows[: snapshot.bids].tolist(), snapshot.rows[snapshot.bids :].tolist()
            self.levels[instrument.symbol] = {BUY: dict(bids), SELL: dict(asks)}
            self.sequence[instrument.symbol] = snapshot.last_sequence

    def take(self, batch: Batch) -> None:
        assert batch.source == SOURCE
        if batch.kind is Kind.DELTA:
            assert batch.rows.dtype == LEVEL
            assert batch.first_sequence == self.sequence[batch.symbol] + 1
            assert batch.last_sequence >= batch.first_sequence
            assert batch.previous_sequence == -1
            self.sequence[batch.symbol] = batch.last_sequence
            for side, rows in ((BUY, batch.rows[: batch.bids]), (SELL, batch.rows[batch.bids :])):
                prices = rows["price"].tolist()
                assert len(set(prices)) == len(prices)
                for price, size in rows.tolist():
                    if size:
                        self.levels[batch.symbol][side][price] = size
                    else:
                        self.levels[batch.symbol][side].pop(price, None)
        elif batch.kind is Kind.QUOTES:
            assert batch.rows.dtype == BBO
            (quote,) = batch.rows
            bids, asks = self.levels[batch.symbol][BUY], self.levels[batch.symbol][SELL]
            assert quote["sequence"] == self.sequence[batch.symbol]
            assert (quote["bid_price"], quote["bid_size"]) == (max(bids), bids[max(bids)])
            assert (quote["ask_price"], quote["ask_size"]) == (min(asks), asks[min(asks)])
            assert quote["bid_price"] < quote["ask_price"]
        elif batch.kind is Kind.TRADES:
            assert batch.rows.dtype == TRADE
            first = self.trades[batch.symbol] or int(batch.rows["trade_id"][0])
            assert batch.rows["trade_id"].tolist() == list(range(first, first + len(batch.rows)))
            self.trades[batch.symbol] = first + len(batch.rows)
            assert (batch.rows["size"] > 0).all()
            assert set(batch.rows["aggressor"].tolist()) <= {BUY, SELL}


@pytest.mark.parametrize(("rate", "seconds"), [(200, 20), (50_000, 2), (1_000_000, 0.5)])
def test_a_book_rebuilt_from_the_deltas_is_the_engines(rate: float, seconds: float) -> None:
    simulator = Simulator(3, rate)
    rebuilt = Rebuilt(simulator)
    trades = 0
    for turn in turns(simulator, seconds, 5_000_000):
        rows = simulator.engine.event_rows()
        assert len(rows) == turn.events
        for batch in turn.batches:
            rebuilt.take(batch)
        told = sum(len(batch.rows) for batch in turn.batches if batch.kind is Kind.TRADES)
        assert told == turn.trades
        trades += told
    assert trades > 0
    for instrument in simulator.instruments:
        bids, asks = simulator.engine.top(instrument.symbol, 1 << 18)
        for side, levels in ((BUY, bids), (SELL, asks)):
            scaled = {p * instrument.tick_size: s * instrument.lot_size for p, s in levels.tolist()}
            assert rebuilt.levels[instrument.symbol][side] == scaled
        assert rebuilt.sequence[instrument.symbol] == simulator.engine.update_number(instrument.symbol)
    check(simulator.engine, simulator.engine.books)


def test_batches_are_not_touched_by_later_turns() -> None:
    simulator = Simulator(3, 50_000)
    kept = [batch for turn in turns(simulator, 0.1, 5_000_000) for batch in turn.batches]
    copies = [batch.rows.copy() for batch in kept]
    for at in range(1, 20):
        simulator.turn(START_NS + SECOND // 10 + at * 5_000_000)
    assert all(np.array_equal(batch.rows, copy) for batch, copy in zip(kept, copies, strict=True))


def test_units_are_the_instruments() -> None:
    simulator = Simulator(3, 50_000)
    prices = {}
    for turn in turns(simulator, 0.2, 5_000_000):
        for batch in turn.batches:
            if batch.kind is Kind.QUOTES:
                prices[batch.symbol] = int(batch.rows["bid_price"][0])
    for instrument in simulator.instruments:
        value = prices[instrument.symbol] / 10**instrument.price_decimals
        assert value == pytest.approx(
            {"BTC": 104_238.7, "ETH": 3_904.62, "SOL": 187.35, "BNB": 912.8, "XRP": 2.4173}[instrument.base],
            rel=0.01,
        )


def test_history_is_quick_stamped_in_the_past_and_leads_on() -> None:
    simulator = Simulator(3, 5_000)
    rebuilt = Rebuilt(simulator)
    stamps = []
    for batch in simulator.warm_up_history(60, START_NS):
        rebuilt.take(batch)
        if batch.kind is Kind.TRADES:
            stamps.extend(batch.rows["ts_event_ns"].tolist())
    assert stamps == sorted(stamps)
    assert START_NS - 60 * SECOND < stamps[0] < START_NS - 58 * SECOND
    assert START_NS - 2 * SECOND < stamps[-1] <= START_NS
    assert len({stamp // SECOND for stamp in stamps}) >= 59
    for turn in turns(simulator, 0.2, 5_000_000):
        for batch in turn.batches:
            rebuilt.take(batch)
    with pytest.raises(KernelError, match="before its first turn"):
        next(simulator.warm_up_history(1, START_NS))


def test_rejects_are_few_and_books_stay_bounded() -> None:
    simulator = Simulator(8, 200_000)
    kinds: dict[int, int] = defaultdict(int)
    for turn in turns(simulator, 3, 5_000_000):
        rows = simulator.engine.event_rows()
        assert turn.rejects == np.count_nonzero(rows["kind"] == REJECTED)
        for kind, count in enumerate(np.bincount(rows["kind"]).tolist()):
            kinds[kind] += count
    assert kinds[REJECTED] < 0.08 * 600_000
    assert kinds[TRADED] > 0
    for each in simulator.symbols:
        live = simulator.engine.live(each.instrument.symbol)
        assert 0.6 * each.resting_orders < live < 1.2 * each.resting_orders
    check(simulator.engine, simulator.engine.books)


def test_dated_orders_expire_without_any_flow() -> None:
    simulator = Simulator(3, 0)
    now_ns = 1_700_000_000_000_000_000
    simulator.turn(now_ns)
    rows = np.zeros(1, COMMAND)
    rows["kind"], rows["side"], rows["time_in_force"], rows["account"] = LIMIT, BUY, GTD, 20
    rows["order_id"], rows["lots"], rows["ts_ns"] = 1 << 50, 1_000, now_ns
    rows["price_ticks"] = simulator.engine.bbo("BTC-USDT").bid_ticks - 50
    rows["expire_ns"] = now_ns + 10_000_000
    simulator.engine.submit(deposit(20))
    simulator.match(as_matrix(rows), 1)
    simulator.turn(now_ns + 5_000_000)
    live = simulator.engine.live("BTC-USDT")
    turn = simulator.turn(now_ns + 15_000_000)
    assert simulator.engine.live("BTC-USDT") == live - 1
    assert [batch.kind for batch in turn.batches] == [Kind.DELTA, Kind.QUOTES]


def deposit(account: int) -> np.ndarray[Any, Any]:
    rows = np.zeros(1, COMMAND)
    rows["kind"], rows["symbol"], rows["account"], rows["lots"] = DEPOSIT, 1, account, 1 << 50
    return rows
