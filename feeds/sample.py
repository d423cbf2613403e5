"""A short capture of the built-in exchange in Binance's spot wire form, for a first replay without a file.

It is written by a child process (`python -m feeds.sample FILE SEED`), since making it takes seconds of Python.
Network delay is simulated too: receive is later than event by a seeded log-normal delay.
"""

from __future__ import annotations

import asyncio
import gzip
import os
import sys
from pathlib import Path
from typing import Any, Final, TextIO

import msgspec
import numpy as np

from engine.errors import VenuescopeError
from engine.flow.simulator import Simulator
from engine.market.batches import SELL, Batch, Kind
from engine.market.instruments import Instrument, format_decimal

VERSION: Final = 2
START_NS: Final = 1_700_000_000 * 10**9
SECONDS: Final = 120
RATE: Final = 2_000
TURN_NS: Final = 10_000_000
DEPTH_NS: Final = 100_000_000
SNAPSHOT_AFTER_NS: Final = 500_000_000
SNAPSHOT_LEVELS: Final = 1_000
SYMBOLS: Final = ("BTC-USDT",)  # a bare snapshot does not say whose it is, so one a capture
DECIMALS: Final = 8  # Binance spot writes all numbers with eight
DELAY_MEDIAN_NS: Final = 4_000_000
DELAY_SIGMA: Final = 0.5


async def ensure(folder: Path, seed: int) -> Path:
    """The sample's path, made in a child process if it is not there yet."""
    path = folder / f"sample_{VERSION}_{seed}.gz"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(entry or os.getcwd() for entry in sys.path)}
        child = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "feeds.sample", str(path), str(seed)),
            stderr=asyncio.subprocess.PIPE,
            env=environment,
        )
        try:
            _, said = await child.communicate()
        finally:
            if child.returncode is None:
                child.kill()
                await child.wait()
        if child.returncode:
            raise VenuescopeError(
                f"the sample capture could not be made: {said.decode(errors='replace')[-500:]}"
            )
    return path


class Writer:
    """Batches of the simulator as lines of a capture, one symbol each; depth is gathered over 100 ms."""

    def __init__(self, out: TextIO, instrument: Instrument, random: np.random.Generator) -> None:
        self._out = out
        self._instrument = instrument
        self._native = instrument.base + instrument.quote
        self._random = random
        self._sides: tuple[dict[int, int], dict[int, int]] = ({}, {})
        self._first = self._last = 0
        self._recv_ns = 0

    def take(self, batch: Batch, now_ns: int) -> None:
        """Write trades and quotes at once; keep changed levels until `flush`."""
        if batch.kind is Kind.DELTA:
            self._first = self._first or batch.first_sequence
            self._last = batch.last_sequence
            for place, level in enumerate(batch.rows):
                self._sides[place >= batch.bids][int(level["price"])] = int(level["size"])
        elif batch.kind is Kind.QUOTES:
            row = batch.rows[-1]
            fields = {"u": int(row["sequence"]), "s": self._native}
            prices = zip("bBaA", ("bid_price", "bid_size", "ask_price", "ask_size"), strict=True)
            data = fields | {key: self._text(int(row[name]), "price" in name) for key, name in prices}
            self._write("bookTicker", data, now_ns)
        else:
            for row in batch.rows:
                at_ms = int(row["ts_event_ns"]) // 1_000_000
                data = {
                    "e": "trade",
                    "E": at_ms,
                    "s": self._native,
                    "t": int(row["trade_id"]),
                    "p": self._text(int(row["price"]), True),
                    "q": self._text(int(row["size"]), False),
                    "T": at_ms,
                    "m": int(row["aggressor"]) == SELL,
                    "M": True,
                }
                self._write("trade", data, now_ns)

    def flush(self, now_ns: int) -> None:
        """Write the levels changed since the last call as one depth event, if there are any."""
        if not self._last:
            return
        bids, asks = ([self._level(*level) for level in sorted(side.items())] for side in self._sides)
        data = {
            "e": "depthUpdate",
            "E": now_ns // 1_000_000,
            "s": self._native,
            "U": self._first,
            "u": self._last,
            "b": bids[::-1],
            "a": asks,
        }
        self._write("depth@100ms", data, now_ns)
        self._first = self._last = 0
        for side in self._sides:
            side.clear()

    def snapshot(self, batch: Batch, now_ns: int) -> None:
        """Write a whole book in the form of a REST answer."""
        levels = [self._level(int(row["price"]), int(row["size"])) for row in batch.rows]
        data = {
            "lastUpdateId": batch.last_sequence,
            "bids": levels[: batch.bids],
            "asks": levels[batch.bids :],
        }
        self._line(data, now_ns)

    def _level(self, price: int, size: int) -> list[str]:
        return [self._text(price, True), self._text(size, False)]

    def _text(self, value: int, is_price: bool) -> str:
        own = self._instrument.price_decimals if is_price else self._instrument.size_decimals
        return format_decimal(value * 10 ** (DECIMALS - own), DECIMALS)

    def _write(self, stream: str, data: dict[str, Any], now_ns: int) -> None:
        self._line({"stream": f"{self._native.lower()}@{stream}", "data": data}, now_ns)

    def _line(self, frame: dict[str, Any], now_ns: int) -> None:
        delay_ns = int(DELAY_MEDIAN_NS * self._random.lognormal(0, DELAY_SIGMA))
        # One connection delivers in order, however the delays fall.
        self._recv_ns = max(self._recv_ns + 1, now_ns + delay_ns)
        self._out.write(f"{self._recv_ns} {msgspec.json.encode(frame).decode()}\n")


def write(path: Path, seed: int, seconds: int = SECONDS, symbols: tuple[str, ...] = SYMBOLS) -> None:
    """Write a capture of the simulated market; the file appears whole or not at all."""
    simulator = Simulator(seed, RATE)
    random = np.random.default_rng([seed, 3])
    draft = path.with_name(f"{path.name}.{os.getpid()}")
    with gzip.open(draft, "wt", compresslevel=6, encoding="ascii", newline="\n") as out:
        writers = {
            instrument.symbol: Writer(out, instrument, random)
            for instrument in simulator.instruments
            if instrument.symbol in symbols
        }
        for now_ns in range(START_NS, START_NS + seconds * 10**9, TURN_NS):
            for batch in simulator.turn(now_ns).batches:
                if batch.symbol in writers:
                    writers[batch.symbol].take(batch, now_ns)
            if now_ns % DEPTH_NS == 0:
                for writer in writers.values():
                    writer.flush(now_ns)
            if now_ns == START_NS + SNAPSHOT_AFTER_NS:
                for symbol, writer in writers.items():
                    writer.snapshot(simulator.snapshot(symbol, SNAPSHOT_LEVELS), now_ns)
    os.replace(draft, path)


if __name__ == "__main__":
    write(Path(sys.argv[1]), int(sys.argv[2]))
