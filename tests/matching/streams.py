"""Commands for tests: written tersely, drawn at random with every feature mixed in, and printed as a test.

A command is a plain tuple of COMMAND's fields, so that it can be compared, shrunk and printed; `rows` makes the array.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np
from hypothesis import strategies as st

from engine.market.batches import BUY, SELL, Rows
from engine.matching import orders as o
from engine.matching.engine import BookSpec

Row = tuple[int, ...]
FIELDS: Final = tuple(o.COMMAND.names or ())
PLAIN, COIN, FUTURE = 0, 1, 2  # symbols: unaccounted, spot, linear
BTC, USD = 0, 1  # assets
BOOKS: Final = [
    BookSpec("PLAIN"),
    BookSpec("COIN", "BTC", "USD", o.SPOT, lot_atoms=3, notional_atoms=2),
    BookSpec("FUTURE", "BTC", "USD", o.LINEAR, lot_atoms=1, notional_atoms=5),
]
ACCOUNTS: Final = 4
ROOM: Final = 12  # open orders of a symbol: few, so that books get full

# Commands by hand. Every one takes more fields by name: account, symbol, ts, ...

SHORT: Final = {
    "price": "price_ticks",
    "ts": "ts_ns",
    "tif": "time_in_force",
    "stp": "self_trade",
    "display": "display_lots",
    "trigger": "trigger_ticks",
    "expire": "expire_ns",
    "link": "link_id",
}


def command(kind: int, **fields: int) -> Row:
    """A command; fields not named are 0. Names as in COMMAND or SHORT."""
    values = {SHORT.get(name, name): value for name, value in fields.items()}
    assert values.keys() <= set(FIELDS), values
    return tuple((values | {"kind": kind}).get(name, 0) for name in FIELDS)


def limit(order_id: int, side: int, price: int, lots: int, **more: int) -> Row:
    return command(o.LIMIT, order_id=order_id, side=side, price=price, lots=lots, **more)


def market(order_id: int, side: int, lots: int, **more: int) -> Row:
    return command(o.MARKET, order_id=order_id, side=side, lots=lots, **more)


def stop(order_id: int, side: int, trigger: int, lots: int, kind: int = o.STOP, **more: int) -> Row:
    return command(kind, order_id=order_id, side=side, trigger=trigger, lots=lots, **more)


def stop_limit(order_id: int, side: int, trigger: int, price: int, lots: int, **more: int) -> Row:
    return stop(order_id, side, trigger, lots, o.STOP_LIMIT, price=price, **more)


def take_profit(order_id: int, side: int, trigger: int, lots: int, **more: int) -> Row:
    return stop(order_id, side, trigger, lots, o.TAKE_PROFIT, **more)


def take_profit_limit(order_id: int, side: int, trigger: int, price: int, lots: int, **more: int) -> Row:
    return stop(order_id, side, trigger, lots, o.TAKE_PROFIT_LIMIT, price=price, **more)


def trailing(order_id: int, side: int, distance: int, lots: int, **more: int) -> Row:
    return stop(order_id, side, distance, lots, o.TRAILING_STOP, **more)


def cancel(order_id: int, **more: int) -> Row:
    return command(o.CANCEL, order_id=order_id, **more)


def replace(order_id: int, price: int, lots: int, new_id: int = 0, **more: int) -> Row:
    return command(o.REPLACE, order_id=order_id, price=price, lots=lots, link=new_id, **more)


def amend(order_id: int, lots: int, **more: int) -> Row:
    return command(o.AMEND, order_id=order_id, lots=lots, **more)


def cancel_all(account: int = 0, **more: int) -> Row:
    return command(o.CANCEL_ALL, account=account, **more)


def phase(parameter: int, **more: int) -> Row:
    return command(o.PHASE, parameter=parameter, **more)


def configure(parameter: int, value: int, **more: int) -> Row:
    return command(o.CONFIGURE, parameter=parameter, lots=value, **more)


def deposit(asset: int, account: int, atoms: int, **more: int) -> Row:
    return command(o.DEPOSIT, symbol=asset, account=account, lots=atoms, **more)


def withdraw(asset: int, account: int, atoms: int, **more: int) -> Row:
    return command(o.WITHDRAW, symbol=asset, account=account, lots=atoms, **more)


def time(ts: int) -> Row:
    return command(o.TIME, ts=ts)


def rows(commands: Sequence[Row]) -> Rows:
    """Them as a COMMAND array."""
    return np.array(list(commands), o.COMMAND)


# Commands at random. Mostly sensible values from small pools, so that orders meet; a few of every field are bad.

OWN: Final = -99  # what goes with the order's id: symbol, account, and the id of a partner of both
BAD_NUMBERS: Final = [0, -1, 2**40, 2**40 + 1, 2**63 - 1, -(2**63)]
IDS: Final = [*range(1, 61)]
NEAR: Final = [*range(95, 106)]
FAR: Final = [1, 2, 100 + 2**17, *range(2**18 + 96, 2**18 + 104), 2**19, 2**19 + 1, 2**40 - 1, 2**40]
PRICES: Final = NEAR * 40 + FAR + BAD_NUMBERS
POOLS: Final[dict[str, list[int]]] = {
    "side": [BUY, SELL] * 99 + [0, 2, -128],
    "time_in_force": [o.GTC] * 120 + [o.GTD] * 20 + [o.IOC] * 12 + [o.FOK] * 12 + [4, -1],
    "self_trade": [o.NONE] * 90 + [o.EXPIRE_TAKER, o.EXPIRE_MAKER, o.EXPIRE_BOTH, o.DECREMENT] * 20 + [5, -1],
    "flags": [0] * 190 + [o.POST_ONLY] * 12 + [2, -1],
    "parameter": [0],
    "symbol": [OWN] * 200 + [PLAIN, COIN, FUTURE] + [3, -1],
    "account": [OWN] * 200 + [0, 1, 2] + [ACCOUNTS, -1],
    "order_id": [*IDS * 4, 2**62, 0, -1],
    "price_ticks": PRICES,
    "lots": [*range(1, 13)] * 20 + BAD_NUMBERS,
    "ts_ns": [0] * 6 + [1, 1, 2, 5],  # since the command before
    "trigger_ticks": PRICES,
    "display_lots": [0] * 200 + [1, 2, 3, 4] * 5 + [13, -1],
    "expire_ns": [*range(1, 99), 2**62, 0, -1],  # from now
    "link_id": [0] * 200 + [OWN] * 30 + [1, 2, -1],
}
SETTINGS: Final = {
    o.TICK_STEP: [1] * 9 + [2, 0],
    o.LOT_STEP: [1] * 9 + [2, 0],
    o.MIN_NOTIONAL: [0] * 9 + [300, -1],
    o.BAND_UP_PPM: [0] * 9 + [30_000, 4_000_001],
    o.BAND_DOWN_PPM: [0] * 9 + [30_000, 1_000_001],
    o.MAX_OPEN_ORDERS: [2**40] * 9 + [2, 0],
    o.MAX_POSITION_LOTS: [2**40] * 4 + [25, 2**40 + 1],
    o.MAKER_PPM: [0, -100, 333, 100_000, -100_000, 100_001],
    o.TAKER_PPM: [0, 500, -333, 100_000, -100_000, -100_001],
    o.PARAMETERS: [1],
    -1: [1],
}
MONEY: Final = [2, 20, 300, 1_000] * 7 + [2**60 + 1, 0, -1]
ASSETS: Final = {"symbol": [BTC, USD] * 10 + [2, -1], "account": [0, 1] * 9 + [2, -1], "lots": MONEY}
LINKS: Final = {"link_id": [0] * 20 + [OWN] * 10 + [1, 2, -1]}
KINDS: Final[list[tuple[int, int, dict[str, list[int]]]]] = [  # weight, kind, pools of its own
    (200, o.LIMIT, {}),
    (
        20,
        o.MARKET,
        {"time_in_force": [o.GTC, o.GTC, o.IOC, o.FOK], "lots": [*range(1, 13)] * 2 + [60, 400, 0]},
    ),
    (26, o.CANCEL, {}),
    (40, o.REPLACE, {"link_id": [0] * 40 + [-1, *IDS], "side": [0, 0, BUY, SELL]}),
    (20, o.AMEND, {"lots": [1, 1, 2, 2, 3, 4, 5, 0, -1]}),
    *((8, kind, LINKS) for kind in (o.STOP, o.STOP_LIMIT, o.TAKE_PROFIT, o.TAKE_PROFIT_LIMIT)),
    (12, o.TRAILING_STOP, LINKS | {"trigger_ticks": [1, 1, 2, 3, 4, 200, 2**40, 0, -1, 2**40 + 1]}),
    (1, o.CANCEL_ALL, {}),
    (16, o.PHASE, {"parameter": [o.CONTINUOUS] * 16 + [o.AUCTION] * 5 + [o.HALTED, o.CLOSED, 4, -1]}),
    *((1, o.CONFIGURE, {"parameter": [at], "lots": values}) for at, values in SETTINGS.items()),
    (3, o.DEPOSIT, ASSETS),
    (5, o.WITHDRAW, ASSETS),
    (2, o.TIME, {}),
    (1, 0, {}),
    (1, 17, {}),
    (1, -1, {}),
]
FUNDS: Final = [
    deposit(asset, account, atoms) for account in (0, 1, 2) for asset, atoms in ((BTC, 300), (USD, 5_000))
]


def finished(drawn: Sequence[Row]) -> list[Row]:
    """The commands as drawn, with times counted from the start instead of from the one before, and OWN settled."""
    now, whole = 0, []
    for row in drawn:
        fields = dict(zip(FIELDS, row, strict=True))
        now += fields["ts_ns"]
        fields["ts_ns"] = now
        fields["expire_ns"] += now
        if fields["symbol"] == OWN:
            fields["symbol"] = fields["order_id"] % 3
        if fields["account"] == OWN:
            fields["account"] = fields["order_id"] // 3 % 2
        if fields["link_id"] == OWN:
            fields["link_id"] = (fields["order_id"] + 5) % len(IDS) + 1
        whole.append(tuple(fields.values()))
    return whole


def _pools(kind: int, own: dict[str, list[int]]) -> list[list[int]]:
    return [[kind], *(own.get(name, POOLS[name]) for name in FIELDS[1:])]


ONE: Final = st.sampled_from([at for at, (weight, _, _) in enumerate(KINDS) for _ in range(weight)]).flatmap(
    lambda at: st.tuples(*(st.sampled_from(pool) for pool in _pools(*KINDS[at][1:])))
)
STREAMS: Final = st.lists(ONE, max_size=80).map(finished)  # for Hypothesis, which also shrinks them


def random_stream(seed: int, count: int) -> list[Row]:
    """As STREAMS draws them, but faster and as long as one likes."""
    source = random.Random(seed)
    weights = [weight for weight, _, _ in KINDS]
    pools = [_pools(kind, own) for _, kind, own in KINDS]
    chosen = source.choices(pools, weights, k=count)
    return finished([tuple(source.choice(pool) for pool in own) for own in chosen])


def moving_stream(seed: int, count: int) -> list[Row]:
    """Such a stream with hundreds of ids, near prices that jump now and then, and few that end it all.

    For deep books whose levels cross the ladder's ends.
    """
    source = random.Random(seed)
    centre, stream = 0, []
    for at, row in enumerate(random_stream(seed, count)):
        fields = dict(zip(FIELDS, row, strict=True))
        if at % 700 == 0:
            centre = source.choice([0, 1_000, 2**17, 2**18, 2**19 + 5, 2**20, 2**30])
        if fields["order_id"] in IDS:
            fields["order_id"] += len(IDS) * source.randrange(8)
        for name in ("price_ticks", "trigger_ticks"):
            if fields[name] in NEAR:
                fields[name] += centre + source.choice(
                    [0] * 12 + [1, 70, 2**17, 2**18 - 3, 2**18, 2**18 + 1, 2**20]
                )
        if fields["kind"] in (o.CONFIGURE, o.CANCEL_ALL) and source.random() < 0.9:
            fields["kind"] = o.LIMIT
        stream.append(tuple(fields.values()))
    return stream


def shrink(commands: list[Row], fails: Callable[[list[Row]], bool]) -> list[Row]:
    """A part of a failing stream that fails still, though not without any one of its commands."""
    size = len(commands)
    while size:
        at = 0
        while at < len(commands):
            fewer = commands[:at] + commands[at + size :]
            if fails(fewer):
                commands = fewer
            else:
                at += size
        size //= 2
    return commands


def as_test_case(commands: Sequence[Row]) -> str:
    """A test function, ready to paste into `test_agreement.py`, that runs these commands."""
    lines = "".join(f"            {_as_call(row)},\n" for row in commands)
    return f"def test_found_once() -> None:\n    agree(\n        [\n{lines}        ]\n    )\n"


NAMES: Final[dict[str, dict[int, str]]] = {
    "kind": {getattr(o, name): f"o.{name}" for name in (
        "LIMIT", "MARKET", "CANCEL", "REPLACE", "AMEND", "STOP", "STOP_LIMIT", "TAKE_PROFIT", "TAKE_PROFIT_LIMIT",
        "TRAILING_STOP", "CANCEL_ALL", "PHASE", "CONFIGURE", "DEPOSIT", "WITHDRAW", "TIME",
    )},
    "side": {BUY: "BUY", SELL: "SELL"},
    "time_in_force": {o.IOC: "o.IOC", o.FOK: "o.FOK", o.GTD: "o.GTD"},
    "self_trade": {getattr(o, n): f"o.{n}" for n in ("EXPIRE_TAKER", "EXPIRE_MAKER", "EXPIRE_BOTH", "DECREMENT")},
    "flags": {o.POST_ONLY: "o.POST_ONLY"},
}  # fmt: skip
LONG: Final = {name: short for short, name in SHORT.items()}


def _as_call(row: Row) -> str:
    named: dict[str, Any] = {n: NAMES.get(n, {}).get(v, v) for n, v in zip(FIELDS, row, strict=True)}
    more = [f"{LONG.get(n, n)}={v}" for n, v in named.items() if n != "kind" and v != 0]
    return f"command({', '.join([str(named['kind']), *more])})"
