"""The workload of the public matching benchmark, made anew, and the report text whose hash it publishes.

Facts and figures (draws, parameters, report lines, hashes) are those of
https://github.com/flash1-dev/matching-engine-benchmark, commit 41656c885d98aead35fb5a36a1b63304e75f46aa, MIT licence,
Copyright (c) 2026 Flash One Technologies LLC; see also arXiv 2606.01183. No code is taken from it. `report_sha256` is
published there; the other hashes were derived by independent implementations that reproduce the published ones.

One instrument, seed 23: N new orders along a price path, shuffled, each given a life of modify and cancel. The five
scenarios differ in the price path alone, so the draws are made once for each N.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from functools import lru_cache
from math import cos, exp, log, pi, sqrt
from typing import Any, Final, NamedTuple

import numpy as np
from numba import njit

from engine.market.batches import BUY, SELL, Rows
from engine.matching.orders import (
    ACCEPTED,
    BAND_DOWN_PPM,
    BAND_UP_PPM,
    C_HEAD,
    CANCEL,
    CANCELED,
    COMMAND,
    CONFIGURE,
    DEPOSIT,
    E_HEAD,
    E_ID,
    E_LOTS,
    E_MAKER,
    E_PRICE,
    E_SEQUENCE,
    EVENT,
    GTC,
    IOC,
    LIMIT,
    MAKER_PPM,
    MAX_OPEN_ORDERS,
    MAX_POSITION_LOTS,
    MIN_NOTIONAL,
    NONE,
    REJECTED,
    REPLACE,
    REPLACED,
    TAKER_PPM,
    TRADED,
    as_matrix,
)

SEED: Final = 23
ORDERS: Final = 1_000_000
SMALL_ORDERS: Final = 10_000
START_MID: Final = 167.52
TICK: Final = 0.005
LEVELS: Final = 800
DEPOSIT_ATOMS: Final = 10**14

NEW_MESSAGE, CANCEL_MESSAGE, MODIFY_MESSAGE = range(3)
# The source's own 40-byte record.
MESSAGE: Final = np.dtype(
    [
        ("type", "u1"),
        ("side", "u1"),  # 0 buy, 1 sell
        ("ioc", "u1"),
        ("zero", "u1"),
        ("quantity", "<u4"),
        ("sequence", "<u8"),
        ("order_id", "<u8"),
        ("price", "<i8"),
        ("unused", "<i8"),
    ]
)

ORDER_ACK, TRADE, CANCEL_ACK, MODIFY_ACK, CANCEL_REJECT, MODIFY_REJECT, NO_REPORT = range(7)
LINE_BYTES: Final = 6 * 21  # the longest report: six numbers of at most 20 digits, and what parts them


class Scenario(NamedTuple):
    """A price path and what must come of it. Counts are of the report types, ORDER_ACK to MODIFY_REJECT."""

    volatility: float
    swing: float
    records_sha256: str  # of the messages as MESSAGE rows
    report_sha256: str
    report_counts: tuple[int, ...]
    report_bytes: int
    book_sha256: str  # of the best prices after each message whose sequence ends in 999
    small_report_sha256: str  # the same construction with SMALL_ORDERS
    small_report_counts: tuple[int, ...]


SCENARIOS: Final = {
    "static": Scenario(
        volatility=0.0,
        swing=0.0,
        records_sha256="c93cdd71f5fabe750a58ab72af306be5fe4a24f1fd215878120db348b81af89b",
        report_sha256="9803843ee404fc29c9a0aa5614f8f0d5a58b5c44fcac9ef89067886fcaaa30d1",
        report_counts=(1_000_000, 827, 957_377, 169_577, 16_279, 3_098),
        report_bytes=55_515_232,
        book_sha256="e1ebbcfd7f974c1f0307ff4060c7329b2e06d2bf8661df0fca42a6d546ae1b70",
        small_report_sha256="691da9e9391d3a5046b3acf2a9d586e5aef5a75c9b8747edc67858cbe490cfa6",
        small_report_counts=(10_000, 6, 9_604, 1_664, 159, 28),
    ),
    "normal": Scenario(
        volatility=0.15,
        swing=0.02,
        records_sha256="0b12097cabb5902573af2b8ae17c3b0881dc3a18b2cbf36cb3c46eabb468956e",
        report_sha256="e9b2e3926854410b01a035aeb25dd05f1e597c233be8263de9eb49b6713d367e",
        report_counts=(1_000_000, 62_474, 931_363, 164_857, 38_131, 7_818),
        report_bytes=57_170_498,
        book_sha256="118ca24d2cda0c6a02af002e821076a98cc127f6665aec7d94554d66a5cbd85b",
        small_report_sha256="fb91d8c1ab5f656eb9a7eed8f7c109c455e57fe75e4f35684b1a0bf60c30a0a8",
        small_report_counts=(10_000, 415, 9_426, 1_634, 305, 58),
    ),
    "swing-25": Scenario(
        volatility=0.50,
        swing=0.25,
        records_sha256="d9d5c4c2a2e451f85ce9a8dba4371f021a8fb4c2ff8d0a214b0caaceda8b6a68",
        report_sha256="61a84be9469661bd039e00dbc9a7c011e70b6ace37aadfe60045ea083b05f4df",
        report_counts=(1_000_000, 66_908, 929_823, 164_640, 39_462, 8_035),
        report_bytes=57_292_688,
        book_sha256="48858368af7438cb16868c6f548698cee428c991997ecf94f8dae563b2ae87fd",
        small_report_sha256="f5953bfe67337ad35e56cfabd5ef52ba13bbcbce60d1a42906da9a7b2f0c4a77",
        small_report_counts=(10_000, 492, 9_393, 1_624, 331, 68),
    ),
    "swing-40": Scenario(
        volatility=0.50,
        swing=0.40,
        records_sha256="a864928b45723d879474302700de49641dcbb6c10a0b637db79d0a5845d7a422",
        report_sha256="3cb0175e7982ff09ea220d1feaee3844cf9116a5ce455757879dea1d880b9b9f",
        report_counts=(1_000_000, 68_803, 929_071, 164_521, 40_113, 8_154),
        report_bytes=57_344_130,
        book_sha256="3f5569436a7c33a0247d697945442b7d472de04d9848783181e1853842e97dcd",
        small_report_sha256="16d3031a85c771c5856d55b6011e82ae123ba63cd8408b00308b82cba3cbfb3c",
        small_report_counts=(10_000, 510, 9_389, 1_620, 339, 72),
    ),
    "flash-crash": Scenario(
        volatility=0.50,
        swing=0.60,
        records_sha256="5b2ed7ddb5551165801dd5815d6372891d29178351cc1fc5fd10c487517512de",
        report_sha256="cff8d3f94b709fc64a8b2058a6ca4fb6920364904796e46906895e362d2bb16b",
        report_counts=(1_000_000, 70_178, 928_614, 164_441, 40_464, 8_234),
        report_bytes=57_380_725,
        book_sha256="813f404119e5dd76a13fb1be5428ae13e2597b07070bd4019cefebd9b9eab84c",
        small_report_sha256="36586bbf9bf2dfc8f736a052c2afab39bb6b672e7b863197315c78a9a844a441",
        small_report_counts=(10_000, 549, 9_372, 1_621, 357, 71),
    ),
}


class Draws(NamedTuple):
    """All that the scenarios share: per order its draws, and the messages in order, prices left out."""

    normal: Any  # per order, float64
    level: Any  # ticks from the mid, less one
    quantity: Any
    order: Any  # per message: the order's index
    type: Any
    ioc: Any
    message_quantity: Any
    shift: Any  # ticks added to the order's first price
    time_us: Any


@lru_cache(maxsize=2)
def draws(orders: int = ORDERS) -> Draws:
    """The draws for N = `orders`; kept, since five scenarios use them (71 MB at a million)."""
    weights = [1 / (k + 1) ** 2.23 + 5 * exp(-0.5 * (k - 8) ** 2) for k in range(LEVELS)]
    normal, level, quantity, *columns, count = _draw(SEED, orders, np.cumsum(weights))
    return Draws(normal, level, quantity, *(column[:count].copy() for column in columns))


def messages(scenario: str, orders: int = ORDERS) -> Rows:
    """The scenario's messages (MESSAGE), in order; `sequence` counts them from 0."""
    drawn = draws(orders)
    rule = SCENARIOS[scenario]
    dt = (rule.swing / rule.volatility) ** 2 / orders if rule.volatility else 0.0
    prices = _prices(rule.volatility * sqrt(dt), drawn.normal, drawn.level)
    rows = np.zeros(len(drawn.order), MESSAGE)
    rows["type"], rows["ioc"], rows["quantity"] = drawn.type, drawn.ioc, drawn.message_quantity
    rows["side"] = drawn.order >= orders // 2
    rows["sequence"] = np.arange(len(rows))
    rows["order_id"] = drawn.order + 1
    rows["price"] = prices[drawn.order] + drawn.shift
    return rows


def as_commands(rows: Rows, accounts: int = 0, self_trade: int = NONE, step_ns: int = 0) -> Rows:
    """The same messages as COMMAND rows for symbol 0, message n at time `n * step_ns`.

    `accounts` 0: all are account 0's. Otherwise (an even number) accounts 1 to `accounts` take turns by order id,
    buyers the odd and sellers the even ones: no order meets one of its own account, so every self-trade mode
    must give the published answer.
    """
    out = np.zeros(len(rows), COMMAND)
    out["kind"] = np.array([LIMIT, CANCEL, REPLACE], np.int8)[rows["type"]]
    out["side"] = np.where(rows["side"] == 0, BUY, SELL)
    out["time_in_force"] = np.where(rows["ioc"] == 1, IOC, GTC)
    out["self_trade"] = self_trade
    out["order_id"] = rows["order_id"]
    out["price_ticks"] = rows["price"]
    out["lots"] = rows["quantity"]
    out["ts_ns"] = rows["sequence"] * np.uint64(step_ns)
    if accounts:
        out["account"] = 1 + 2 * (rows["order_id"] % np.uint64(accounts // 2)) + rows["side"]
    return out


def account_commands(accounts: int, assets: int) -> Rows:
    """What an accounted symbol 0 needs for the workload: all limits and fees on, none of the limits ever met.

    Every account from 1 to `accounts` gets the same of every asset.
    """
    settings = (
        (MIN_NOTIONAL, 1),
        (BAND_UP_PPM, 2_000_000),
        (BAND_DOWN_PPM, 900_000),
        (MAX_OPEN_ORDERS, ORDERS),
        (MAX_POSITION_LOTS, 101 * ORDERS),
        (MAKER_PPM, 100),
        (TAKER_PPM, 500),
    )
    out = np.zeros(len(settings) + accounts * assets, COMMAND)
    out["kind"] = DEPOSIT
    out["symbol"][len(settings) :] = np.repeat(np.arange(assets), accounts)
    out["account"][len(settings) :] = np.tile(np.arange(1, accounts + 1), assets)
    out["lots"] = DEPOSIT_ATOMS
    configure = out[: len(settings)]
    configure["kind"] = CONFIGURE
    configure["parameter"], configure["lots"] = np.array(settings).T
    return out


def report_types(events: Rows, commands: Rows, first_sequence: int = 0) -> Any:
    """The report type that each event is. ValueError when one is none of the six."""
    found = _types(*_matrices(events, commands), first_sequence)
    if len(found) and found.max() == NO_REPORT:
        raise ValueError(f"the benchmark has no report for {events[int(found.argmax())]}")
    return found


def report_counts(events: Rows, commands: Rows, first_sequence: int = 0) -> tuple[int, ...]:
    """How many reports of each type."""
    found = np.bincount(report_types(events, commands, first_sequence), minlength=NO_REPORT)
    return tuple(int(count) for count in found)


def report_text(events: Rows, commands: Rows, first_sequence: int = 0) -> bytes:
    """The report lines of these EVENT rows, joined with LF.

    `commands` are those that caused them; the first had the engine's sequence `first_sequence`, and is number 0
    in the text.
    """
    return b"".join(_pieces(events, commands, first_sequence))[:-1]


def report_sha256(events: Rows, commands: Rows, first_sequence: int = 0) -> tuple[str, int]:
    """The hash of `report_text`, which is never whole in memory, and its length in bytes."""
    digest = hashlib.sha256()
    length, last = 0, b""
    for piece in _pieces(events, commands, first_sequence):
        digest.update(last)
        length += len(last)
        last = piece
    digest.update(last[:-1])  # no LF after the last line
    return digest.hexdigest(), max(0, length + len(last) - 1)


def _pieces(events: Rows, commands: Rows, first_sequence: int) -> Iterator[bytes]:
    """The text in pieces of whole lines, each line ended by LF."""
    types = report_types(events, commands, first_sequence)
    # The published order. Within a message ours differs: REPLACED comes before the trades.
    order = np.argsort(events["sequence"] * NO_REPORT + types, kind="stable")
    matrix, _ = _matrices(events, commands)
    out = np.empty(1 << 21, np.uint8)
    done = 0
    while done < len(order):
        done, length = _write(matrix, types, order, done, first_sequence, out)
        yield out[:length].tobytes()


def _matrices(events: Rows, commands: Rows) -> tuple[Any, Any]:
    return as_matrix(np.require(events, EVENT, "C")), as_matrix(np.require(commands, COMMAND, "C"))


@njit(cache=True)
def _integer(low: int, high: int) -> int:
    return low + int(np.floor(np.random.random() * (high - low + 1)))


@njit(cache=True)
def _draw(seed: int, orders: int, cdf: Any) -> Any:
    """All draws in the source's order: placing, arrival, lives. A row that does not apply draws nothing."""
    np.random.seed(seed)  # MT19937 seeded from one word, 53-bit uniforms: the source's generator
    normal = np.empty(orders, np.float64)
    level = np.empty(orders, np.int64)
    quantity = np.empty(orders, np.int64)
    for i in range(orders):
        u1 = max(np.random.random(), 1e-300)
        normal[i] = sqrt(-2 * log(u1)) * cos(2 * pi * np.random.random())
        level[i] = min(np.searchsorted(cdf, np.random.random() * cdf[-1]), len(cdf) - 1)
        quantity[i] = _integer(1, 100)

    arrival = np.arange(orders)
    for i in range(orders - 1, 0, -1):
        j = _integer(0, i)
        arrival[i], arrival[j] = arrival[j], arrival[i]

    room = 5 * orders
    order = np.empty(room, np.int64)
    kind = np.empty(room, np.uint8)
    ioc = np.zeros(room, np.uint8)
    lots = np.empty(room, np.int64)
    shift = np.zeros(room, np.int64)
    time_us = np.empty(room, np.int64)
    now = 0
    n = 0
    for i in arrival:
        first = quantity[i]
        is_ioc = np.random.random() < 0.15
        order[n], kind[n], ioc[n], lots[n], time_us[n] = i, NEW_MESSAGE, is_ioc, first, now
        n += 1
        if is_ioc:
            now += 1
            continue
        modified = np.random.random() < 0.20
        nearer = 0
        if modified:
            now += 30 + int(np.floor(70 * np.random.random()))
            if np.random.random() < 0.80:
                nearer = 1 if i < orders // 2 else -1
            order[n], kind[n], lots[n], shift[n], time_us[n] = i, MODIFY_MESSAGE, first + 1, nearer, now
            n += 1
        if np.random.random() < 0.95:
            rate = (log(2) / 431) / sqrt(1 + level[i])
            now += int(np.floor(-log(max(np.random.random(), 1e-300)) / rate))
            order[n], kind[n], lots[n], time_us[n] = i, CANCEL_MESSAGE, first, now
            n += 1
            if np.random.random() < 0.02:  # sent twice
                now += 1 + int(np.floor(20 * np.random.random()))
                order[n], kind[n], lots[n], time_us[n] = i, CANCEL_MESSAGE, first, now
                n += 1
            if modified and np.random.random() < 0.02:  # sent again, too late
                now += 1 + int(np.floor(20 * np.random.random()))
                order[n], kind[n], lots[n], shift[n], time_us[n] = i, MODIFY_MESSAGE, first + 1, nearer, now
                n += 1
        now += 1
    return normal, level, quantity, order, kind, ioc, lots, shift, time_us, n


@njit(cache=True)
def _prices(step: float, normal: Any, level: Any) -> Any:
    """Each order's first price. The first half of the orders buys, the second sells.

    Scalar `exp`, not NumPy's: that differs in the last digit often enough to move two prices.
    """
    prices = np.empty(len(normal), np.int64)
    mid = START_MID
    for i in range(len(normal)):
        mid = mid * exp(-0.5 * step * step + step * normal[i])
        mid_ticks = int(np.floor(mid / TICK + 0.5))
        away = level[i] + 1
        prices[i] = max(1, mid_ticks - away if i < len(normal) // 2 else mid_ticks + away)
    return prices


@njit(cache=True)
def _types(events: Any, commands: Any, first_sequence: int) -> Any:
    types = np.empty(len(events), np.uint8)
    for i in range(len(events)):
        kind = events[i, E_HEAD] & 0xFF
        found = NO_REPORT
        if kind == ACCEPTED:
            found = ORDER_ACK
        elif kind == TRADED:
            found = TRADE
        elif kind == CANCELED:
            found = CANCEL_ACK
        elif kind == REPLACED:
            found = MODIFY_ACK
        elif kind == REJECTED:
            at = events[i, E_SEQUENCE] - first_sequence
            cause = commands[at, C_HEAD] & 0xFF if 0 <= at < len(commands) else 0
            if cause == CANCEL:
                found = CANCEL_REJECT
            elif cause == REPLACE:
                found = MODIFY_REJECT
        types[i] = found
    return types


@njit(cache=True)
def _put(out: Any, at: int, number: int, end: int) -> int:
    """Where the next number goes, after this one in decimal and the byte `end`."""
    if number < 0:
        out[at] = 45
        at += 1
    ten = np.uint64(10)  # unsigned, because dividing by a constant is several times faster so
    left = np.uint64(abs(number))
    digits, power = 1, ten
    while left >= power and digits < 19:
        digits, power = digits + 1, power * ten
    for place in range(at + digits - 1, at - 1, -1):
        rest = left // ten
        out[place] = np.uint64(48) + left - rest * ten
        left = rest
    out[at + digits] = end
    return at + digits + 1


@njit(cache=True)
def _write(events: Any, types: Any, order: Any, done: int, first_sequence: int, out: Any) -> tuple[int, int]:
    """Write lines from `order[done]` on while there is room: how many are done now, and the bytes written."""
    comma, line_feed = 44, 10
    at = 0
    while done < len(order) and at + LINE_BYTES <= len(out):
        row = events[order[done]]
        kind = types[order[done]]
        side = 0 if (row[E_HEAD] >> 8 & 0xFF) == BUY else 1
        at = _put(out, at, kind, comma)
        at = _put(out, at, row[E_SEQUENCE] - first_sequence, comma)
        if kind == TRADE:
            at = _put(out, at, row[E_PRICE], comma)
            at = _put(out, at, row[E_LOTS], comma)
            at = _put(out, at, row[E_MAKER], comma)
            at = _put(out, at, row[E_ID], line_feed)
        elif kind in (CANCEL_REJECT, MODIFY_REJECT):
            at = _put(out, at, row[E_ID], line_feed)
        else:
            at = _put(out, at, side, comma)
            at = _put(out, at, row[E_ID], comma)
            if kind == CANCEL_ACK:
                at = _put(out, at, row[E_PRICE], line_feed)
            else:
                at = _put(out, at, row[E_PRICE], comma)
                at = _put(out, at, row[E_LOTS], line_feed)
        done += 1
    return done, at
