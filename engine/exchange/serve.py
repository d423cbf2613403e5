"""The local venue as a process of its own: `uv run app.py venue --port 0 --symbols 100`.

Prints one line, its base address, once it serves; ends on SIGINT and SIGTERM.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import signal
import sys
import threading
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final, cast

from engine.exchange.limit_windows import Kind, Rules
from engine.exchange.listings import MAX_SYMBOLS
from engine.exchange.random_market import MAX_RATE
from engine.exchange.server import HOST, LocalVenue, MakeMarket
from engine.exchange.venue_rules import RULES
from engine.guard import LOOPBACK

PORT: Final = 8061


async def serve(
    host: str,
    port: int,
    *,
    seed: int,
    rate: float,
    stop: asyncio.Event,
    symbols: int = 100,
    levels: int = 1_000,
    rules: Mapping[str, Rules] | None = None,
    make: MakeMarket | None = None,
) -> None:
    """Serve until `stop` is set; arguments as `LocalVenue`'s. OSError when the port is taken.

    Prints one line, the base address. With `make` the markets are others than random ones.
    """
    venue = LocalVenue(seed=seed, rate=rate, symbols=symbols, levels=levels, rules=rules, make=make)
    print(await venue.start(port, host), flush=True)
    try:
        await stop.wait()
    finally:
        await venue.stop()


def limits(
    windows: Sequence[str] = (),
    refusals_before_ban: int | None = None,
    first_ban_s: int | None = None,
    connection_lasts_s: float | None = None,
) -> dict[str, Rules]:
    """The venues' limits with other windows (`BUDGET:KIND:SECONDS:LIMIT`), bans and ends of connections.

    ValueError names what is wrong.
    """
    rules = dict(RULES)
    for text in windows:
        budget, _, rest = text.partition(":")
        parts = rest.split(":")
        if budget not in rules or len(parts) != 3 or not all(each.isdecimal() for each in parts[1:]):
            raise ValueError(
                f"--window {text!r} is not BUDGET:KIND:SECONDS:LIMIT; budgets are {', '.join(rules)}"
            )
        rules[budget] = rules[budget].with_window(cast(Kind, parts[0]), int(parts[1]), int(parts[2]))
    for budget, each in rules.items():
        if refusals_before_ban is not None and each.style == "binance":
            rules[budget] = each = replace(each, refusals_before_ban=max(refusals_before_ban, 0))
        if first_ban_s is not None:
            longest = max(first_ban_s, each.longest_ban_s)
            rules[budget] = each = replace(each, first_ban_s=max(first_ban_s, 1), longest_ban_s=longest)
        if connection_lasts_s is not None and each.connection_lasts_s:
            rules[budget] = replace(each, connection_lasts_s=max(connection_lasts_s, 1.0))
    return rules


def _watch_stdin(loop: asyncio.AbstractEventLoop, stop: asyncio.Event) -> None:
    """Set `stop` when standard input ends. Not through `sys.stdin`: its lock would be held as the interpreter ends."""
    while os.read(0, 4_096):
        pass
    with contextlib.suppress(RuntimeError):  # the loop has ended by itself
        loop.call_soon_threadsafe(stop.set)


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until a signal; the process's exit code."""
    parser = argparse.ArgumentParser(prog="app.py venue", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--host", default=HOST, choices=sorted(LOOPBACK))
    parser.add_argument("--port", type=int, default=PORT, help=f"0: any free one (default {PORT})")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--rate", type=float, default=10.0, help="moves a second of each symbol")
    parser.add_argument("--symbols", type=int, default=100, help="that each market lists")
    parser.add_argument("--levels", type=int, default=1_000, help="of each side of a book")
    parser.add_argument(
        "--window",
        action="append",
        default=[],
        metavar="BUDGET:KIND:SECONDS:LIMIT",
        help="another window for a budget, as binance_spot:REQUEST_WEIGHT:6:6000; may be repeated",
    )
    parser.add_argument("--refusals-before-ban", type=int, help="429s that Binance's budgets forgive")
    parser.add_argument("--first-ban-s", type=int, help="a first ban's length, in all budgets")
    parser.add_argument("--connection-lasts-s", type=float, help="in place of Binance's 24 hours")
    parser.add_argument(
        "--while-stdin-lasts", action="store_true", help="end when standard input does, as with its parent"
    )
    given = parser.parse_args(arguments)
    if not 1 <= given.symbols <= MAX_SYMBOLS:
        parser.error(f"--symbols is 1 to {MAX_SYMBOLS}")
    if not 0 < given.rate <= MAX_RATE:
        parser.error(f"--rate is above 0, at most {MAX_RATE:g}")
    if not 1 <= given.levels <= 5_000:
        parser.error("--levels is 1 to 5000")
    try:
        rules = limits(given.window, given.refusals_before_ban, given.first_ban_s, given.connection_lasts_s)
    except ValueError as error:
        parser.error(str(error))

    async def run() -> None:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, stop.set)
        if given.while_stdin_lasts:
            # Whoever holds the other end may be killed without a word: then nobody needs this venue any more.
            threading.Thread(target=_watch_stdin, args=(loop, stop), daemon=True).start()
        await serve(
            *(given.host, given.port),
            seed=given.seed,
            rate=given.rate,
            stop=stop,
            symbols=given.symbols,
            levels=given.levels,
            rules=rules,
        )

    try:
        import uvloop
    except ImportError:
        factory = asyncio.new_event_loop
    else:
        factory = uvloop.new_event_loop
    try:
        with asyncio.Runner(loop_factory=factory) as runner:
            runner.run(run())
    except OSError as error:
        print(f"port {given.port} on {given.host} cannot be used: {error.strerror}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
