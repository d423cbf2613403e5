"""The `bots` command: robots over the wire, a line a second, a table at the end.

Their keys are good until the exchange ends. Each robot has an account of its own, named after its strategy, which a
later run of the same strategy goes on with; two such runs at a time would share accounts.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import signal
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from engine.bots import keys
from engine.bots.client import NativeClient
from engine.bots.errors import NoExchange
from engine.bots.robot import Market, Robot
from engine.bots.strategies import loading
from engine.bots.wire import Symbol
from engine.errors import BadSetting
from engine.market.instruments import format_decimal

URL: Final = "http://127.0.0.1:8051"
MAX_COUNT: Final = 200
MAX_RATE: Final = 5_000.0
MAX_SECONDS: Final = 86_400.0
CONNECTING: Final = 20  # at a time
FIRST_QUOTE_S: Final = 10.0
MAX_ACCOUNT: Final = 30  # characters of an account's name before its number

Say = Callable[[str], None]


def told(text: str) -> None:
    """Printed at once, also into a pipe."""
    print(text, flush=True)


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to run. `seconds` 0 = until Ctrl-C."""

    strategies: tuple[str, ...]
    count: int
    symbol: str
    rate: float
    seconds: float
    seed: int
    url: str


def plan(
    strategy: str = "random",
    count: int = 1,
    symbol: str = "BTC-USDT",
    rate: float = 0.0,
    seconds: float = 0.0,
    seed: int = 1,
    url: str = URL,
) -> Plan:
    """The plan for these arguments; `rate` 0 = two orders a second for each robot. BadSetting names what is wrong."""
    names = tuple(name.strip() for name in strategy.split(",") if name.strip())
    if not names or len(set(names)) < len(names):
        raise BadSetting(
            "strategy",
            strategy,
            f"choose of {', '.join(loading.BUILT_IN)}, each once, or path/to/file.py:ClassName",
        )
    if not 1 <= count <= MAX_COUNT:
        raise BadSetting("count", count, f"robots are 1 to {MAX_COUNT}")
    if not 0 <= rate <= MAX_RATE:
        raise BadSetting(
            "rate", rate, f"orders a second of all robots together are above 0, at most {MAX_RATE:g}"
        )
    if not 0 <= seconds <= MAX_SECONDS:
        raise BadSetting("seconds", seconds, f"at most {MAX_SECONDS:g}; 0 runs until Ctrl-C")
    if not 0 <= seed < 1 << 32:
        raise BadSetting("seed", seed, "0 to 4294967295")
    keys.address(url)
    return Plan(names, count, symbol, rate or 2.0 * count, seconds, seed, url)


def main(
    strategy: str = "random",
    count: int = 1,
    symbol: str = "BTC-USDT",
    rate: float = 0.0,
    seconds: float = 0.0,
    seed: int = 1,
    url: str = URL,
    say: Say = told,
) -> int:
    """Run robots until the time is over or Ctrl-C; the exit code. UserError for what cannot be."""
    chosen = plan(strategy, count, symbol, rate, seconds, seed, url)

    async def until_stopped() -> int:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            with contextlib.suppress(NotImplementedError):  # Windows: Ctrl-C cancels the run instead
                loop.add_signal_handler(number, stop.set)
        return await run(chosen, stop, say)

    return asyncio.run(until_stopped())


async def run(chosen: Plan, stop: asyncio.Event, say: Say = told) -> int:
    """Run the robots until `stop` or the time is over; 0, or 1 when orders may be left open."""
    made = [(name, loading.load(name)) for name in chosen.strategies]
    at = keys.address(chosen.url)
    borrowed = await _keys(at, chosen)
    jitter = random.Random(chosen.seed)  # noqa: S311 - jitter, not a secret
    robots: list[Robot] = []
    left_well = True
    async with contextlib.AsyncExitStack() as stack:
        data = await stack.enter_async_context(NativeClient(at.socket(), random=jitter))
        market = Market(_symbol(chosen, data.symbols))
        await data.subscribe([f"bbo:{chosen.symbol}"], market.on_quote)
        gate = asyncio.Semaphore(CONNECTING)

        async def enter(number: int) -> Robot:
            name, make = made[number % len(made)]
            key = borrowed[number]
            client = NativeClient(at.socket(), key.api_key, key.secret, random=jitter)
            async with gate:
                await stack.enter_async_context(client)
            robot = Robot(name, make(chosen.seed * 1_000 + number), client, market)
            await robot.enter()
            return robot

        robots = list(await asyncio.gather(*map(enter, range(chosen.count))))
        await _first_quote(market, chosen, stop)
        say(
            f"{chosen.count} robots ({', '.join(chosen.strategies)}) trade {chosen.symbol} on {at.url}, "
            f"at most {chosen.rate:g} orders/s (Ctrl-C ends it)"
        )
        began = time.monotonic()
        try:
            await _trade(robots, data, chosen, market, stop, say)
        finally:
            left = await asyncio.gather(*(each.leave() for each in robots))
            left_well = all(left)
            for line in table(robots, market, time.monotonic() - began):
                say(line)
            if not left_well:
                say(f"{left.count(False)} robots could not cancel their orders: the exchange did not answer")
    return 0 if left_well else 1


async def _keys(at: keys.Address, chosen: Plan) -> list[keys.Key]:
    """A key for each robot, its account named after the strategy; robots take strategies in turn."""
    found: list[list[keys.Key]] = []
    for number, name in enumerate(chosen.strategies):
        count = len(range(number, chosen.count, len(chosen.strategies)))
        account = name.rpartition(":")[2][:MAX_ACCOUNT]
        found.append(await keys.borrow(at, account, count) if count else [])
    return [found[number % len(found)][number // len(found)] for number in range(chosen.count)]


async def _trade(
    robots: Sequence[Robot], data: NativeClient, chosen: Plan, market: Market, stop: asyncio.Event, say: Say
) -> None:
    """Until it is over. A strategy's failure, or an exchange that stays away, ends it with the error."""
    pace_s = len(robots) / chosen.rate
    # spread over the first turn, so that they do not act in step
    tasks = [
        asyncio.ensure_future(robot.trade(pace_s, pace_s * number / len(robots)))
        for number, robot in enumerate(robots)
    ]
    ended = asyncio.ensure_future(stop.wait())
    began = last = time.monotonic()
    orders = 0
    try:
        while not stop.is_set():
            now = time.monotonic()
            wait_s = 1.0 - (now - last)
            if chosen.seconds:
                wait_s = min(wait_s, chosen.seconds - (now - began))
            done, _ = await asyncio.wait(
                (ended, *tasks), timeout=max(0.0, wait_s), return_when=asyncio.FIRST_COMPLETED
            )
            for task in done:
                if task is not ended:
                    task.result()
            for client in (data, *(each.client for each in robots)):
                if client.ended is not None:
                    raise client.ended
            now = time.monotonic()
            if chosen.seconds and now - began >= chosen.seconds:
                break
            if now - last >= 1.0:
                total = sum(each.counts.orders for each in robots)
                say(line(robots, market, now - began, (total - orders) / (now - last)))
                orders, last = total, now
    finally:
        for task in (*tasks, ended):
            task.cancel()
        await asyncio.gather(*tasks, ended, return_exceptions=True)


def _symbol(chosen: Plan, symbols: dict[str, Symbol]) -> Symbol:
    found = symbols.get(chosen.symbol)
    if found is None:
        raise BadSetting("symbol", chosen.symbol, f"the exchange trades {', '.join(symbols) or 'nothing'}")
    return found


async def _first_quote(market: Market, chosen: Plan, stop: asyncio.Event) -> None:
    until = time.monotonic() + FIRST_QUOTE_S
    while market.touch is None and not stop.is_set():
        if time.monotonic() > until:
            raise NoExchange(chosen.url, f"there are no prices of {chosen.symbol} yet")
        await asyncio.sleep(0.02)


# --- words -------------------------------------------------------------------------------------------------


def line(robots: Sequence[Robot], market: Market, seconds: float, rate: float) -> str:
    """One line of progress."""
    parts = [f"{seconds:5.0f} s", f"orders {sum(each.counts.orders for each in robots):,} ({rate:,.0f}/s)"]
    parts.append(f"fills {sum(each.ledger.fills for each in robots):,}")
    parts.append(f"rejects {_rejects(robots)}")
    parts.append(f"position {_position(robots, market.symbol)}")
    profits = ", ".join(f"{name} {_profit(mine, market)}" for name, mine in _by_strategy(robots).items())
    parts.append(f"PnL {profits} {market.symbol.quote}")
    away = sum(not each.client.connected for each in robots)
    if away:
        parts.append(f"disconnected {away}")
    return "  ".join(parts)


def table(robots: Sequence[Robot], market: Market, seconds: float) -> list[str]:
    """The final table: a row for each strategy, then why orders were refused."""
    symbol = market.symbol
    heads = ["strategy", "robots", "orders", "cancels", "fills", "rejects", "unanswered"]
    heads += [f"turnover {symbol.quote}", f"position {symbol.base}", f"PnL {symbol.quote}"]
    rows = [heads]
    for name, mine in _by_strategy(robots).items():
        counts = [each.counts for each in mine]
        rows.append(
            [
                name,
                f"{len(mine):,}",
                f"{sum(each.orders for each in counts):,}",
                f"{sum(each.cancels for each in counts):,}",
                f"{sum(each.ledger.fills for each in mine):,}",
                f"{sum(each.rejects.total() for each in counts):,}",
                f"{sum(each.unanswered for each in counts):,}",
                _money(sum(each.ledger.turnover_atoms for each in mine)),
                _position(mine, symbol).partition(" ")[0],
                _profit(mine, market),
            ]
        )
    widths = [max(len(row[at]) for row in rows) for at in range(len(heads))]
    lines = ["", f"after {seconds:,.1f} s"]
    for row in rows:
        cells = [
            row[0].ljust(widths[0]),
            *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)),
        ]
        lines.append("  ".join(cells))
    sentences: dict[int, str] = {}
    for robot in robots:
        sentences |= robot.counts.sentences
    for code, count in sorted(_reject_counts(robots).items()):
        lines.append(f"rejected {count:,} x {code}: {sentences[code]}")
    return lines


def _by_strategy(robots: Sequence[Robot]) -> dict[str, list[Robot]]:
    found: dict[str, list[Robot]] = {}
    for robot in robots:
        found.setdefault(robot.name, []).append(robot)
    return found


def _reject_counts(robots: Sequence[Robot]) -> Counter[int]:
    counts: Counter[int] = Counter()
    for robot in robots:
        counts += robot.counts.rejects
    return counts


def _rejects(robots: Sequence[Robot]) -> str:
    counts = _reject_counts(robots)
    return ", ".join(f"{count:,} x {code}" for code, count in sorted(counts.items())) or "0"


def _position(robots: Sequence[Robot], symbol: Symbol) -> str:
    units = sum(each.ledger.position_lots for each in robots) * symbol.lot_units
    return f"{format_decimal(units, symbol.size_decimals)} {symbol.base}"


def _profit(robots: Sequence[Robot], market: Market) -> str:
    mid = market.touch.mid_ticks if market.touch is not None else 0.0
    return _money(sum(each.ledger.profit_atoms(mid) for each in robots))


def _money(atoms: int) -> str:
    return f"{atoms / 1e8:,.2f}"
