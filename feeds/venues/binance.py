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
from feeds.dialect import Decoded as Decoded
from feeds.frames import Frames
from feeds.venues import binance_frames, binance_kernel

Market = Literal["binance_spot", "binance_usdm", "binance_coinm"]

LABELS: Final[dict[Market, str]] = {
    "binance_spot": "Binance spot",
    "binance_usdm": "Binance USD-M",
    "binance_coinm": "Binance COIN-M",
}
MAX_LEVELS: Final = 16_384  # in one frame, and in one call of the kernel
MAX_SYMBOLS: Final = 32  # in one capture: the telemetry has rings for 64 symbols of all sources
ROOM: Final = 512  # symbols on one decoder
NAME_BYTES: Final = 32
REMOVED_KEPT: Final = 1_024  # names of symbols no longer followed, whose last frames may still come
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
    streams). Trades are those of the `trade` stream, or of `aggTrade` where `aggregates`: a capture that has
    both would count each twice.
    """

    def __init__(
        self, source: Source, market: Market, instruments: Sequence[Instrument], *, aggregates: bool = False
    ) -> None:
        if len(instruments) > ROOM:
            raise ValueError(f"a decoder takes at most {ROOM} instruments, not {len(instruments)}")
        self.source = source
        self.market = market
        self.ignored: dict[str, int] = {}
        self.patient_frames = 0  # frames the kernel left to the patient decoder
        self._futures = market != "binance_spot"
        self._aggregates = aggregates
        self._places: list[Instrument | None] = []
        self._symbols: list[str] = []  # by place, for every delta
        self._place_of: dict[str, int] = {}  # by native name
        self._removed: dict[str, None] = {}
        self._names = np.zeros((0, NAME_BYTES), np.uint8)
        self._units = np.zeros((0, 3), np.int64)
        self._enlarge(max(1, len(instruments)))
        for instrument in instruments:
            self._put(instrument)
        self._levels = np.empty(MAX_LEVELS, LEVEL)
        self._result = np.zeros(binance_kernel.RESULT, np.int64)
        self._make_room(1024)

    @property
    def instruments(self) -> list[Instrument]:
        """In the revisions decoded so far."""
        return [instrument for instrument in self._places if instrument is not None]

    def add(self, instrument: Instrument) -> None:
        """Take frames of one more instrument. ValueError when it is there, or there is no room."""
        if instrument.native in self._place_of:
            raise ValueError(f"{instrument.native} is decoded already")
        if len(self._place_of) >= ROOM:
            raise ValueError(f"a decoder takes at most {ROOM} instruments")
        self._put(instrument)

    def remove(self, symbol: str) -> None:
        """Frames of the symbol are ignored from here on. ValueError when there is none such."""
        for place, instrument in enumerate(self._places):
            if instrument is not None and instrument.symbol == symbol:
                del self._place_of[instrument.native]
                self._places[place] = None
                self._units[place] = 0
                self._removed[instrument.native] = None
                if len(self._removed) > REMOVED_KEPT:
                    del self._removed[next(iter(self._removed))]
                binance_kernel.fill_slots(self._names, self._units, self._slots)
                return
        raise ValueError(f"{symbol} is not decoded")

    def snapshot(self, symbol: str, body: bytes, recv_ns: int) -> list[Decoded]:
        """A REST depth answer for one symbol: SNAPSHOT, behind a revised instrument if need be; or BadFrame."""
        try:
            parsed = binance_frames.parse_snapshot(body)
            place = next((at for at, one in enumerate(self._places) if one and one.symbol == symbol), None)
            if place is None:
                self._ignore("removed symbol")
                return []
            if parsed.native and self._place_of.get(parsed.native) != place:
                raise binance_frames.BadField("symbol")
            return self._fitted(place, parsed, recv_ns)
        except binance_frames.BadField as error:
            return [BadFrame(self.market, error.field, body)]

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
            self._slots,
            self._futures,
            self._aggregates,
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
            symbols = self._symbols
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
        first = int(owners[0])
        if not (owners != first).any():
            yield Batch(kind, self.source, self._symbols[first], rows)
            return
        order = np.argsort(owners, kind="stable")
        rows, owners = rows[order], owners[order]
        cuts = (np.flatnonzero(owners[1:] != owners[:-1]) + 1).tolist()
        for start, end in zip([0, *cuts], [*cuts, len(rows)], strict=True):
            yield Batch(kind, self.source, self._symbols[int(owners[start])], rows[start:end])

    def _read_patiently(self, frame: bytes, recv_ns: int) -> Iterable[Decoded]:
        try:
            parsed = binance_frames.parse(frame, self._futures)
            if isinstance(parsed, binance_frames.Extra) and (parsed.name != "aggTrade" or self._aggregates):
                parsed = parsed.parsed() or parsed
            if isinstance(parsed, binance_frames.Other) or (parsed.is_trade and self._aggregates):
                self._ignore(parsed.name if isinstance(parsed, binance_frames.Other) else "trade")
                return []
            place = self._place(parsed.native)
            if place is None:
                self._ignore("removed symbol")
                return []
            return self._fitted(place, parsed, recv_ns)
        except binance_frames.BadField as error:
            return [BadFrame(self.market, error.field, frame)]

    def _fitted(self, place: int, parsed: binance_frames.Parsed, recv_ns: int) -> list[Decoded]:
        """The frame's batch, behind the instrument's next revision where it needs finer units."""
        instrument = self._places[place]
        assert instrument is not None
        try:
            return [parsed.batch(self.source, instrument, recv_ns)]
        except binance_frames.BadField:
            revised = _revised(instrument, parsed)
            if revised is None:
                raise
        batch = parsed.batch(self.source, revised, recv_ns)
        self._set_units(place, revised)
        return [revised, batch]

    def _ignore(self, name: str) -> None:
        name = name if name in self.ignored or len(self.ignored) < 64 else "other"
        self.ignored[name] = self.ignored.get(name, 0) + 1

    def _place(self, native: str) -> int | None:
        """Where the symbol is; None when it was removed. BadField when it never was there."""
        if not native and len(self._place_of) == 1:
            return next(iter(self._place_of.values()))  # a REST snapshot names no symbol
        place = self._place_of.get(native)
        if place is None and native not in self._removed:
            raise binance_frames.BadField("s")
        return place

    def _put(self, instrument: Instrument) -> None:
        free = [place for place, taken in enumerate(self._places) if taken is None]
        if not free:
            self._enlarge(2 * len(self._places))
            free = [place for place, taken in enumerate(self._places) if taken is None]
        self._set_units(free[0], instrument)
        self._place_of[instrument.native] = free[0]
        self._removed.pop(instrument.native, None)
        binance_kernel.fill_slots(self._names, self._units, self._slots)

    def _enlarge(self, places: int) -> None:
        more = places - len(self._places)
        self._places += [None] * more
        self._symbols += [""] * more
        self._names = np.concatenate((self._names, np.zeros((more, NAME_BYTES), np.uint8)))
        self._units = np.concatenate((self._units, np.zeros((more, 3), np.int64)))
        self._slots = np.zeros(1 << (2 * places).bit_length(), np.int64)
        binance_kernel.fill_slots(self._names, self._units, self._slots)

    def _set_units(self, place: int, instrument: Instrument) -> None:
        name = instrument.native.encode()
        if not 1 <= len(name) <= NAME_BYTES:
            raise ValueError(f"{instrument.native!r} is no Binance symbol: 1 to {NAME_BYTES} bytes")
        self._names[place] = 0
        self._names[place, : len(name)] = np.frombuffer(name, np.uint8)
        self._units[place] = instrument.price_decimals, instrument.size_decimals, len(name)
        self._places[place], self._symbols[place] = instrument, instrument.symbol

    def _make_room(self, frames: int) -> None:
        self._deltas = np.empty((frames, binance_kernel.DELTA), np.int64)
        self._quotes = np.empty(frames, BBO)
        self._trades = np.empty(frames, TRADE)
        self._owners = np.empty((2, frames), np.int64)


def _revised(instrument: Instrument, parsed: binance_frames.Parsed) -> Instrument | None:
    """The instrument's next revision when the frame has more decimals than it; None when it hasn't."""
    price_decimals, size_decimals = parsed.decimals()
    if price_decimals <= instrument.price_decimals and size_decimals <= instrument.size_decimals:
        return None
    return instrument.with_decimals(
        max(price_decimals, instrument.price_decimals), max(size_decimals, instrument.size_decimals)
    )


def warm_up() -> None:
    """Compile every kernel the decoder uses."""
    levels.warm_up()
    binance_kernel.warm_up()
