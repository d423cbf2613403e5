"""The local venue as a process of its own: `python -m engine.exchange.serve --port 0 --symbols 100`.

Prints one line, its base address, once it serves; ends on SIGINT and SIGTERM.
"""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
from collections.abc import Sequence
from typing import Final

from engine.exchange.listings import MAX_SYMBOLS
from engine.exchange.random_market import MAX_RATE
from engine.exchange.server import HOST, LocalVenue

PORT: Final = 8051


async def serve(
    host: str,
    port: int,
    *,
    seed: int,
    rate: float,
    stop: asyncio.Event,
    symbols: int = 100,
    levels: int = 1_000,
) -> None:
    """Serve until `stop` is set. OSError when the port is taken."""
    venue = LocalVenue(seed=seed, rate=rate, symbols=symbols, levels=levels)
    print(await venue.start(port, host), flush=True)
    try:
        await stop.wait()
    finally:
        await venue.stop()


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until a signal; the process's exit code."""
    parser = argparse.ArgumentParser(prog="engine.exchange.serve", description=__doc__)
    parser.add_argument("--host", default=HOST)
    parser.add_argument("--port", type=int, default=PORT, help=f"0: any free one (default {PORT})")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--rate", type=float, default=10.0, help="moves a second of each symbol")
    parser.add_argument("--symbols", type=int, default=100, help="that each market lists")
    parser.add_argument("--levels", type=int, default=1_000, help="of each side of a book")
    parser.add_argument("--market", choices=["random"], default="random")
    given = parser.parse_args(arguments)
    if not 1 <= given.symbols <= MAX_SYMBOLS:
        parser.error(f"--symbols is 1 to {MAX_SYMBOLS}")
    if not 0 < given.rate <= MAX_RATE:
        parser.error(f"--rate is above 0, at most {MAX_RATE:g}")
    if not 1 <= given.levels <= 5_000:
        parser.error("--levels is 1 to 5000")

    async def run() -> None:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, stop.set)
        await serve(
            *(given.host, given.port),
            seed=given.seed,
            rate=given.rate,
            stop=stop,
            symbols=given.symbols,
            levels=given.levels,
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
