"""The compiled order flow: simulated traders that write commands, and the market data of what they did.

Each symbol has a fair price that moves with time, not with orders: by news in some of the steps of STEP_NS,
of a volatility that is itself random (two mean-reverting factors of the market and two of the symbol:
clustering, fat tails), and by rare jumps. Orders follow it, so the same prices come at any rate:

- makers rest orders around it, at distances of a truncated power law, a share of them right at the touch;
- they cancel at random, the more the fuller the book is, so its size stays bounded at any rate;
- takers trade in runs of one sign with power-law lengths (order splitting: signs have long memory);
- when the fair price has left the quotes behind, makers pull the stale ones and takers hit them. Few orders
  a step each hit more, so that the market also moves at low rates.

The sources of these rules are in Bouchaud, Mezard, Potters (cond-mat/0203511, placement), Lillo, Mike,
Farmer (cond-mat/0412708, signs) and Cont (2001, stylised facts). Traders see the book as it was up to
CHUNK orders or CHUNK_NS ago.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt
from numba import njit

from engine.market.batches import BUY, SELL
from engine.matching.kernel import match
from engine.matching.layout import (
    ACCOUNT_SHIFT,
    H_STATE_AT,
    H_SYMBOLS,
    HEAD,
    O_ID,
    O_META,
    O_NEXT,
    S_ANCHOR_ASK,
    S_ANCHOR_BID,
    S_BEST_ASK,
    S_BEST_BID,
    S_FIRST,
    S_HIGH,
    S_OPEN,
    S_TRADES,
    S_UPDATES,
    T_CHANGED,
    T_EVENTS,
    WIDTH,
    allocate,
    changed_of,
    events_of,
    levels_of,
    orders_of,
    state_of,
)
from engine.matching.layout import LOTS as LEVEL_LOTS
from engine.matching.orders import (
    C_HEAD,
    C_ID,
    C_LOTS,
    C_PARTIES,
    C_PRICE,
    C_TS,
    CANCEL,
    COMMAND,
    E_HEAD,
    E_LOTS,
    E_PRICE,
    GTC,
    IOC,
    L_LOTS,
    L_PRICE,
    L_SIDE,
    L_SYMBOL,
    LIMIT,
    MARKET,
    REJECTED,
    TRADED,
    Matrix,
)

Floats = npt.NDArray[np.float64]
Words = npt.NDArray[np.uint64]

CHUNK: Final = 64
CHUNK_NS: Final = 1_000_000
STEP_NS: Final = 10_000_000
SLOTS: Final = 1_000  # of a block of the arrival schedule
TABLE: Final = 4_096
TRADERS: Final = 16  # accounts 1 to 16 are the flow's own; it cancels nobody else's orders

# Integers of a symbol: resting orders wanted, sign and rest of the takers' run, units of a tick and a lot,
# update number and trades published so far, stale quotes pulled in this chunk.
I_TARGET, I_SIGN, I_RUN, I_TICK, I_LOT, I_SEQUENCE, I_TRADES, I_PULLED = range(8)
# Floats of a symbol: fair price and its start (ticks), sigma (relative, per square root of a second), the
# two volatility factors, the volatility now (1 = usual), half the calm spread.
F_FAIR, F_START, F_SIGMA, F_FAST, F_SLOW, F_VOLATILITY, F_HALF = range(7)
# The last row of both is shared by all: market time not yet stepped (ns) and the market's two volatility
# factors; next order id and intended time of the last order.
M_PENDING_NS, M_FAST, M_SLOW = range(3)
N_ID, N_LAST_NS = range(2)
# Rows of `tables` after the two of each symbol (distances, lots): run lengths, and symbols by weight.

FAST_S: Final = 15.0
SLOW_S: Final = 300.0
REVERSION_S: Final = 200_000.0  # the fair price is drawn home within days
NEWS_SHARE: Final = 0.12  # of the steps move a price, in calm times
# Standard deviations of the logarithm of volatility: of the market and of each symbol, fast and slow.
MARKET_FAST: Final = 0.45
MARKET_SLOW: Final = 0.30
OWN_FAST: Final = 0.35
OWN_SLOW: Final = 0.30
SHARE_COMMON: Final = 0.6  # of a symbol's variance that all share
FACTOR_VARIANCE: Final = MARKET_FAST**2 + MARKET_SLOW**2 + OWN_FAST**2 + OWN_SLOW**2
JUMP_PER_S: Final = 1 / 45
JUMP_SIGMAS: Final = 3.0

GAMMA: Final = np.uint64(0x9E3779B97F4A7C15)
MIX_1: Final = np.uint64(0xBF58476D1CE4E5B9)
MIX_2: Final = np.uint64(0x94D049BB133111EB)
U16: Final = np.uint64(16)
U27: Final = np.uint64(27)
U30: Final = np.uint64(30)
U31: Final = np.uint64(31)
U32: Final = np.uint64(32)
U48: Final = np.uint64(48)
LOW_16: Final = np.uint64(0xFFFF)


@njit(nogil=True, cache=True)
def scramble(state: Any) -> Any:
    """SplitMix64's output for a state that grows by GAMMA: 64 good bits. Source: Steele et al., 2014."""
    word = (state ^ (state >> U30)) * MIX_1
    word = (word ^ (word >> U27)) * MIX_2
    return word ^ (word >> U31)


@njit(nogil=True, cache=True)
def bell(word: Any) -> float:
    """Near-normal, variance 1, from 64 random bits: the sum of four uniforms, at most 3.46."""
    total = (word & LOW_16) + (word >> U16 & LOW_16) + (word >> U32 & LOW_16) + (word >> U48)
    return (float(total) / 65536.0 - 2.0) * 1.7320508


@njit(nogil=True, cache=True)
def step_fair_prices(floats: Floats, random: Words) -> None:
    """Move every fair price by one step of STEP_NS."""
    dt = STEP_NS * 1e-9
    symbols = floats.shape[0] - 1
    shared = floats[symbols]
    state = random[1]
    pull_fast = dt / FAST_S
    pull_slow = dt / SLOW_S
    push_fast = np.sqrt(2 * pull_fast)
    push_slow = np.sqrt(2 * pull_slow)
    state += GAMMA
    shared[M_FAST] += push_fast * bell(scramble(state)) - pull_fast * shared[M_FAST]
    state += GAMMA
    shared[M_SLOW] += push_slow * bell(scramble(state)) - pull_slow * shared[M_SLOW]
    # Prices stand still most of the time: few steps bring news, to all symbols or to one, more of them
    # when the market is restless. Steady small steps would never let a spread close at a small tick.
    market = MARKET_FAST * shared[M_FAST] + MARKET_SLOW * shared[M_SLOW]
    share = min(NEWS_SHARE * np.exp(market), 1.0)
    state += GAMMA
    word = scramble(state)
    common = 0.0
    if float(word >> U32) < share * 4294967296.0:
        common = bell(scramble(word)) * np.sqrt(SHARE_COMMON / share)
    for symbol in range(symbols):
        own = floats[symbol]
        state += GAMMA
        own[F_FAST] += push_fast * bell(scramble(state)) - pull_fast * own[F_FAST]
        state += GAMMA
        own[F_SLOW] += push_slow * bell(scramble(state)) - pull_slow * own[F_SLOW]
        factor = market + OWN_FAST * own[F_FAST] + OWN_SLOW * own[F_SLOW]
        own[F_VOLATILITY] = np.exp(min(factor, 2.5) - FACTOR_VARIANCE)
        shock = common
        state += GAMMA
        word = scramble(state)
        if float(word >> U32) < share * 4294967296.0:
            shock += bell(scramble(word)) * np.sqrt((1 - SHARE_COMMON) / share)
        change = own[F_SIGMA] * own[F_VOLATILITY] * np.sqrt(dt) * shock
        state += GAMMA
        word = scramble(state)
        if float(word >> U32) < JUMP_PER_S * dt * 4294967296.0:
            change += own[F_SIGMA] * JUMP_SIGMAS * bell(scramble(word))
            own[F_FAST] += 1.0  # and unrest after it
        change -= (own[F_FAIR] / own[F_START] - 1) * dt / REVERSION_S
        own[F_FAIR] *= 1 + change
    random[1] = state


@njit(nogil=True, cache=True)
def advance(
    done: int,
    count: int,
    start_ns: int,
    slot_ns: int,
    arrivals: Floats,
    activity: float,
    sweep: float,
    commands: Matrix,
    at: int,
    numbers: Matrix,
    floats: Floats,
    random: Words,
    tables: Matrix,
    memory: Any,
) -> int:
    """Write and match the orders `done` to `done + count` of a schedule block; how many were matched.

    `arrivals[slot]` is how many orders the block has up to the start of each of its slots, so the n-th
    order's intended time is where that count passes n. Commands go to `commands[at:]` in that order, with
    the intended time as C_TS. `activity` is market time over time, `sweep` how many usual sizes a taker
    hits stale quotes with. Fewer than `count` only when the run is full.
    """
    state = state_of(memory)
    orders = orders_of(memory)
    levels = levels_of(memory)
    symbols = memory[H_SYMBOLS]
    shared = floats[symbols]
    shared_numbers = numbers[symbols]
    mask = np.uint64(TABLE - 1)
    flow = random[0]
    slot = 0
    last_at = at + count
    first = at
    ordinal = done
    step_ns = float(STEP_NS)
    while at < last_at:
        # Write up to CHUNK commands that lie within CHUNK_NS.
        begin = at
        begin_ns = 0
        numbers[:symbols, I_PULLED] = 0
        while at < last_at and at - begin < CHUNK:
            target = float(ordinal + 1)
            while slot < SLOTS - 1 and arrivals[slot + 1] < target:
                slot += 1
            inside = (target - arrivals[slot]) / max(arrivals[slot + 1] - arrivals[slot], 1e-9)
            ts_ns = start_ns + slot * slot_ns + int(min(max(inside, 0.0), 1.0) * slot_ns)
            if at == begin:
                begin_ns = ts_ns
                passed = min(max(ts_ns - shared_numbers[N_LAST_NS], 0), 1_000_000_000)
                shared_numbers[N_LAST_NS] = max(ts_ns, shared_numbers[N_LAST_NS])
                shared[M_PENDING_NS] += passed * activity
                while shared[M_PENDING_NS] >= step_ns:
                    shared[M_PENDING_NS] -= step_ns
                    step_fair_prices(floats, random)
            elif ts_ns - begin_ns > CHUNK_NS:
                break

            flow += GAMMA
            word = scramble(flow)
            flow += GAMMA
            more = scramble(flow)
            symbol = np.int64(tables[2 * symbols + 1, word & mask])
            chance = float(word >> np.uint64(12) & LOW_16) / 65536.0
            side = BUY if word >> np.uint64(28) & np.uint64(1) else SELL
            quantile = word >> np.uint64(29) & mask
            fraction = np.int64(word >> np.uint64(41) & np.uint64(255))
            lots = tables[2 * symbol + 1, word >> np.uint64(49) & mask]
            coin = np.int64(word >> np.uint64(61))  # 0 to 7
            own = numbers[symbol]
            fair = floats[symbol, F_FAIR]
            unrest = floats[symbol, F_VOLATILITY]
            bid = state[symbol, S_ANCHOR_BID] - state[symbol, S_BEST_BID]
            ask = state[symbol, S_ANCHOR_ASK] + state[symbol, S_BEST_ASK]
            fullness = state[symbol, S_OPEN] / own[I_TARGET]

            kind = LIMIT
            tif = GTC
            price = np.int64(0)
            victim = np.int64(0)
            stale = 0
            if ask < fair - 1 and state[symbol, S_BEST_ASK] < WIDTH:
                stale = BUY
            elif bid > fair + 1 and state[symbol, S_BEST_BID] < WIDTH:
                stale = SELL
            if stale != 0 and coin < 6:
                side = stale
                if coin < 5 and sweep < 8.0:
                    # A maker pulls a stale quote: the first at the best price that nobody pulled yet.
                    kind = CANCEL
                    row = 2 * symbol + (1 if stale == BUY else 0)
                    victim = levels[row * WIDTH + state[symbol, row & 1], HEAD]
                    for _ in range(own[I_PULLED]):
                        victim = orders[victim, O_NEXT]  # of the null order: itself
                    own[I_PULLED] += 1
                else:
                    tif = IOC
                    lots = np.int64(lots * sweep) + 1
                    price = np.int64(np.floor(fair)) if stale == BUY else np.int64(np.ceil(fair))
            elif chance < 0.035 * min(0.5 + 0.5 * unrest, 2.5):
                if own[I_RUN] <= 0:
                    own[I_RUN] = tables[2 * symbols, quantile]
                    tilt = min(max((fair - 0.5 * (bid + ask)) * 0.1, -0.3), 0.3)
                    own[I_SIGN] = BUY if fraction / 256.0 < 0.5 + tilt else SELL
                own[I_RUN] -= 1
                side = own[I_SIGN]
                if coin < 4:
                    kind = MARKET
                else:
                    tif = IOC
                    price = ask + coin if side == BUY else bid - coin
            elif chance > 0.54 - 4.0 * (fullness - 1.0):
                # Cancel a random order of this symbol; slots in use are dense, so a few tries find one.
                span = np.uint64(max(state[symbol, S_HIGH] - state[symbol, S_FIRST], 1))
                for _ in range(6):
                    candidate = state[symbol, S_FIRST] + np.int64((more >> U32) * span >> U32)
                    trader = orders[candidate, O_META] >> ACCOUNT_SHIFT
                    if orders[candidate, O_ID] != 0 and 0 < trader <= TRADERS:
                        kind = CANCEL
                        victim = candidate
                        break
                    more = scramble(more)
            if kind == CANCEL:
                trader = orders[victim, O_META] >> ACCOUNT_SHIFT
                if victim == 0 or not 0 < trader <= TRADERS:
                    kind = LIMIT
            if kind == LIMIT and tif == GTC:
                half = floats[symbol, F_HALF] * (0.5 + 0.5 * unrest)
                if coin < 3:
                    # At the touch, or a tick or few behind it.
                    distance = np.int64(0)
                    while distance < 6 and more >> np.uint64(40 + distance) & np.uint64(1):
                        distance += 1
                else:
                    near = tables[2 * symbol, quantile]
                    distance = near + ((tables[2 * symbol, quantile + np.uint64(1)] - near) * fraction >> 8)
                if side == BUY:
                    price = np.int64(np.floor(fair - half)) - distance
                else:
                    price = np.int64(np.ceil(fair + half)) + distance

            command = commands[at]
            command[C_HEAD] = kind | (side & 0xFF) << 8 | tif << 16
            if kind == CANCEL:
                command[C_ID] = orders[victim, O_ID]
                command[C_PARTIES] = symbol | orders[victim, O_META] >> ACCOUNT_SHIFT << 32
                command[C_LOTS] = 0
            else:
                command[C_ID] = shared_numbers[N_ID]
                command[C_PARTIES] = symbol | (1 + np.int64(more & np.uint64(TRADERS - 1))) << 32
                command[C_LOTS] = lots
                shared_numbers[N_ID] += 1
            command[C_PRICE] = price
            command[C_TS] = ts_ns
            ordinal += 1
            at += 1
        taken = match(memory, commands, begin, at, False)
        if taken < at - begin:
            at = begin + taken
            break
    random[0] = flow
    return at - first


@njit(cache=True)
def publish(
    now_ns: int,
    trades: Matrix,
    quotes: Matrix,
    deltas: Matrix,
    counts: Matrix,
    numbers: Matrix,
    memory: Any,
) -> int:
    """The run's market data, grouped by symbol, in the instruments' scaled units; how many rejects it had.

    Writes `trades` (columns of TRADE), `quotes` (BBO, one row a symbol), `deltas` (LEVEL; of each symbol bids
    before asks) and `counts[symbol]` = trades, bids, asks, first and last update number. Not `nogil`: it
    takes some 20 us, and taking the lock back could take milliseconds while other threads are busy.
    """
    state = state_of(memory)
    levels = levels_of(memory)
    events = events_of(memory)
    changed = changed_of(memory)
    symbols = memory[H_SYMBOLS]
    n_events = memory[T_EVENTS]
    n_changed = memory[T_CHANGED]
    for symbol in range(symbols):
        book = state[symbol]
        counts[symbol, 0] = book[S_TRADES] - numbers[symbol, I_TRADES]
        counts[symbol, 1] = 0
        counts[symbol, 2] = 0
        counts[symbol, 3] = numbers[symbol, I_SEQUENCE] + 1
        counts[symbol, 4] = book[S_UPDATES]
        numbers[symbol, I_SEQUENCE] = book[S_UPDATES]
        bid = book[S_BEST_BID]
        ask = book[S_BEST_ASK]
        tick = numbers[symbol, I_TICK]
        lot = numbers[symbol, I_LOT]
        quotes[symbol, 0] = now_ns
        quotes[symbol, 1] = now_ns
        quotes[symbol, 2] = book[S_UPDATES]
        quotes[symbol, 3] = (book[S_ANCHOR_BID] - bid) * tick if bid < WIDTH else 0
        quotes[symbol, 4] = levels[2 * symbol * WIDTH + bid, LEVEL_LOTS] * lot if bid < WIDTH else 0
        quotes[symbol, 5] = (book[S_ANCHOR_ASK] + ask) * tick if ask < WIDTH else 0
        quotes[symbol, 6] = levels[(2 * symbol + 1) * WIDTH + ask, LEVEL_LOTS] * lot if ask < WIDTH else 0
    # Where each symbol's rows start: counts[:, 5] trades, [:, 6] bids, [:, 7] asks.
    for at in range(n_changed):
        counts[changed[at, L_SYMBOL], 1 if changed[at, L_SIDE] == BUY else 2] += 1
    trade_at = 0
    level_at = 0
    for symbol in range(symbols):
        counts[symbol, 5] = trade_at
        counts[symbol, 6] = level_at
        counts[symbol, 7] = level_at + counts[symbol, 1]
        trade_at += counts[symbol, 0]
        level_at += counts[symbol, 1] + counts[symbol, 2]
    for at in range(n_changed):
        symbol = changed[at, L_SYMBOL]
        column = 6 if changed[at, L_SIDE] == BUY else 7
        to = counts[symbol, column]
        counts[symbol, column] += 1
        deltas[to, 0] = changed[at, L_PRICE] * numbers[symbol, I_TICK]
        deltas[to, 1] = changed[at, L_LOTS] * numbers[symbol, I_LOT]
    rejects = 0
    for at in range(n_events):
        head = events[at, E_HEAD]
        kind = head & 0xFF
        if kind == REJECTED:
            rejects += 1
        elif kind == TRADED:
            symbol = head >> 32
            to = counts[symbol, 5]
            counts[symbol, 5] += 1
            numbers[symbol, I_TRADES] += 1
            trades[to, 0] = now_ns
            trades[to, 1] = now_ns
            trades[to, 2] = numbers[symbol, I_TRADES]
            trades[to, 3] = events[at, E_PRICE] * numbers[symbol, I_TICK]
            trades[to, 4] = events[at, E_LOTS] * numbers[symbol, I_LOT]
            trades[to, 5] = (head << 48) >> 56
    return rejects


def warm_up() -> None:
    """Compile, or load from the cache, every kernel of this module."""
    memory = allocate(1, 1, 1, 1)
    memory[memory[H_STATE_AT] + S_BEST_BID] = memory[memory[H_STATE_AT] + S_BEST_ASK] = WIDTH
    one = np.zeros((2, 16), np.int64)
    commands = np.zeros((1, COMMAND.itemsize // 8), np.int64)
    floats = np.ones((2, 8))
    random = np.zeros(2, np.uint64)
    advance(0, 0, 0, 1, np.zeros(SLOTS + 1), 0.0, 1.0, commands, 0, one, floats, random, one, memory)
    publish(0, one, one, one, one, one, memory)
