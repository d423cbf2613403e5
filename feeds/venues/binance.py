"""Binance market data: frames in, batches out. Pure: no sockets, no clock.

Compiled code reads whole chunks of frames (`binance_kernel`); what it cannot take goes, one frame at a time,
to the patient decoder in `binance_frames`, which also names what is wrong. Markets differ: spot depth has no
`pu`, spot bookTicker no times, COIN-M names the pair in `ps` and counts sizes in contracts.

Times: `ts_event_ns` is `E` (when the venue sent it) for depth and quotes, and `T` (when it happened) for
trades, since the trade's own time says which candle it belongs to.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final, Literal

import numpy as np

from engine.errors import BadFrame
from engine.market.batches import BBO, LEVEL, TRADE, Batch, Kind, Rows, Source
from engine.market.instruments import Instrument
from engine.market.sequencing import Rule
from feeds import levels
from feeds.frames import Frames
from feeds.venues import binance_frames, binance_kernel

Market = Literal["binance_spot", "binance_usdm", "binance_coinm"]
Decoded = Batch | Instrument | BadFrame

LABELS: Final[dict[Market, str]] = {
    "binance_spot": "Binance spot",
    "binance_usdm": "Binance USD-M",
    "binance_coinm": "Binance COIN-M",
}
MAX_LEVELS: Final = 16_384  # in one frame, and in one call of the kernel
MAX_SYMBOLS: Final = 32  # on one decoder: the telemetry has rings for 64 symbols of all sources
NAME_BYTES: Final = 32
# Longest first where one ends another: BTCFDUSD is BTC-FDUSD, not BTCFD-USD.
QUOTES: Final = (
    *("FDUSD", "USDT", "USDC", "TUSD", "BUSD", "USDP", "USD1", "DAI", "EURI", "AEUR"),
    *("BTC", "ETH", "BNB", "XRP", "TRX", "DOGE", "SOL", "DOT"),
    *(
        "USD",
        "EUR",
        "TRY",
        "BRL",
        "GBP",
        "AUD",
        "JPY",
        "MXN",
        "PLN",
        "ARS",
        "ZAR",
        "UAH",
        "RON",
        "CZK",
        "COP",
    ),
)


def rule_of(market: Market) -> Rule:
    """How the market's deltas follow one another."""
    return Rule.BINANCE_SPOT if market == "binance_spot" else Rule.BINANCE_FUTURES


def instrument_of(market: Market, native: str, price_decimals: int, size_decimals: int) -> Instrument:
    """The instrument a native symbol names: BTCUSDT, BTCUSDT_240927, BTCUSD_PERP.

    Where no known currency ends the pair, the universal symbol is the native one and the quote stays empty: a
    capture brings no list of instruments.
    """
    pair, _, term = native.partition("_")
    quote = next((known for known in QUOTES if pair.endswith(known) and len(pair) > len(known)), "")
    base = pair.removesuffix(quote) if quote else pair
    if market != "binance_spot" and not term:
        term = "PERP"
    symbol = "-".join(part for part in (base, quote, term) if part)
    # COIN-M sizes are contracts, of 100 USD for BTC and 10 USD for the others.
    contracts = market == "binance_coinm"
    units = (price_decimals, size_decimals)
    return Instrument(market, symbol, base, quote, *units, native=native, contracts=contracts)


class BinanceDecoder:
    """Turns one source's frames into batches. Keeps units and counters, nothing of the market.

    `ignored` counts, by event name, good frames that are no market data we use (subscription replies, other
    streams).
    """

    def __init__(self, source: Source, market: Market, instruments: Sequence[Instrument]) -> None:
        if not 1 <= len(instruments) <= MAX_SYMBOLS:
            raise ValueError(f"a decoder takes 1 to {MAX_SYMBOLS} instruments, not {len(instruments)}")
        self.source = source
        self.market = market
        self.instruments = list(instruments)
        self.ignored: dict[str, int] = {}
        self.patient_frames = 0  # frames the kernel left to the patient decoder
        self._futures = market != "binance_spot"
        self._names = np.zeros((len(instruments), NAME_BYTES), np.uint8)
        self._units = np.zeros((len(instruments), 3), np.int64)
        for index, instrument in enumerate(self.instruments):
            self._set_units(index, instrument)
        self._levels = np.empty(MAX_LEVELS, LEVEL)
        self._result = np.zeros(binance_kernel.RESULT, np.int64)
        self._make_room(1024)

    def decode(self, frames: Frames) -> list[Decoded]:
        """What the frames say: batches, revised instruments (batches after one are in its units), bad frames.

        Deltas and snapshots are in their order, each a batch. Quotes and trades of a symbol are collected
        into one batch each, behind the deltas: books are checked by sequence, not by arrival. Never raises
        for bad input.
        """
        if len(frames) > len(self._deltas):
            self._make_room(len(frames))
        out: list[Decoded] = []
        at = 0
        while at < len(frames):
            at, stopped = self._read(frames, at, out)
            if stopped == binance_kernel.ODD:
                self.patient_frames += 1
                out.extend(self._read_patiently(frames[at], int(frames.recv_ns[at])))
                at += 1
        return out

    def _read(self, frames: Frames, first: int, out: list[Decoded]) -> tuple[int, int]:
        binance_kernel.read_frames(
            frames.buffer,
            frames.starts,
            frames.ends,
            frames.recv_ns,
            first,
            self._names,
            self._units,
            self._futures,
            self._levels,
            self._deltas,
            self._quotes,
            self._trades,
            self._owners,
            self._result,
        )
        at, n_deltas, n_quotes, n_trades, n_levels, stopped = self._result.tolist()
        source = self.source
        if n_deltas:
            rows = self._levels[:n_levels].copy()
            symbols = [instrument.symbol for instrument in self.instruments]
            delta = Kind.DELTA
            # Fields in DELTA's order; positional, since this runs for every delta.
            out += [
                Batch(
                    delta,
                    source,
                    symbols[index],
                    rows[start:end],
                    bids,
                    opens,
                    ends,
                    before,
                    event_ns,
                    recv_ns,
                )
                for index, bids, opens, ends, before, event_ns, recv_ns, start, end in (
                    self._deltas[:n_deltas].tolist()
                )
            ]
        if n_quotes:
            rows, owners = self._quotes[:n_quotes].copy(), self._owners[0, :n_quotes]
            out.extend(self._collected(Kind.QUOTES, rows, owners))
        if n_trades:
            rows, owners = self._trades[:n_trades].copy(), self._owners[1, :n_trades]
            out.extend(self._collected(Kind.TRADES, rows, owners))
        return at, stopped

    def _collected(self, kind: Kind, rows: Rows, owners: Rows) -> Iterator[Batch]:
        if len(self.instruments) == 1:
            yield Batch(kind, self.source, self.instruments[0].symbol, rows)
            return
        for index in np.unique(owners).tolist():
            yield Batch(kind, self.source, self.instruments[index].symbol, rows[owners == index])

    def _read_patiently(self, frame: bytes, recv_ns: int) -> Iterable[Decoded]:
        try:
            parsed = binance_frames.parse(frame, self._futures)
            if isinstance(parsed, binance_frames.Other):
                name = parsed.name if parsed.name in self.ignored or len(self.ignored) < 64 else "other"
                self.ignored[name] = self.ignored.get(name, 0) + 1
                return []
            index = self._index_of(parsed.native)
            try:
                return [parsed.batch(self.source, self.instruments[index], recv_ns)]
            except binance_frames.BadField:
                revised = self._revised(index, parsed)
                if revised is None:
                    raise
            batch = parsed.batch(self.source, revised, recv_ns)
            self._set_units(index, revised)
            self.instruments[index] = revised
            return [revised, batch]
        except binance_frames.BadField as error:
            return [BadFrame(self.market, error.field, frame)]

    def _index_of(self, native: str) -> int:
        if not native and len(self.instruments) == 1:
            return 0  # a REST snapshot names no symbol
        for index, instrument in enumerate(self.instruments):
            if instrument.native == native:
                return index
        raise binance_frames.BadField("s")

    def _revised(self, index: int, parsed: binance_frames.Parsed) -> Instrument | None:
        """The instrument's next revision when the frame has more decimals than it; None when it hasn't."""
        instrument = self.instruments[index]
        price_decimals, size_decimals = parsed.decimals()
        if price_decimals <= instrument.price_decimals and size_decimals <= instrument.size_decimals:
            return None
        return instrument.with_decimals(
            max(price_decimals, instrument.price_decimals), max(size_decimals, instrument.size_decimals)
        )

    def _set_units(self, index: int, instrument: Instrument) -> None:
        name = instrument.native.encode()
        if not 1 <= len(name) <= NAME_BYTES:
            raise ValueError(f"{instrument.native!r} is no Binance symbol: 1 to {NAME_BYTES} bytes")
        self._names[index] = 0
        self._names[index, : len(name)] = np.frombuffer(name, np.uint8)
        self._units[index] = instrument.price_decimals, instrument.size_decimals, len(name)

    def _make_room(self, frames: int) -> None:
        self._deltas = np.empty((frames, binance_kernel.DELTA), np.int64)
        self._quotes = np.empty(frames, BBO)
        self._trades = np.empty(frames, TRADE)
        self._owners = np.empty((2, frames), np.int64)


def warm_up() -> None:
    """Compile every kernel the decoder uses."""
    levels.warm_up()
    binance_kernel.warm_up()
