"""Whose a capture is, and what decodes it: by the addresses in it, or by what its frames say. Pure.

Where there is a decoder, the symbols are found in the frames themselves: a capture brings no list of instruments. So
tick and lot sizes are unknown, and universal symbols are guessed from the native ones.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import SplitResult

from engine.market.batches import Source
from engine.market.instruments import Instrument
from engine.market.sequencing import Rule
from feeds.capture import Judge
from feeds.dialect import Decoder
from feeds.foreign_lines import Frame, arguments_of
from feeds.frames import join
from feeds.venues import DIALECTS, binance, bybit_frames

# Names of venues that are not in their addresses.
HOSTS: Final = {
    "api.huobi.pro": "htx",
    "api-aws.huobi.pro": "htx",
    "futures.kraken.com": "kraken_futures",
    "www.cryptofacilities.com": "kraken_futures",
    "fapi.binance.com": "binance_usdm",
    "fstream.binance.com": "binance_usdm",
    "dapi.binance.com": "binance_coinm",
    "dstream.binance.com": "binance_coinm",
}
LABELS: Final = {"htx": "HTX", "okx": "OKX", "kucoin": "KuCoin"}
CATEGORIES: Final = ("spot", "linear", "inverse")
UNKNOWN: Final = "unknown"
STREAM: Final = b'{"stream":"'
TOPIC: Final = b'{"topic":"'
NAMES_MOST: Final = 4_096  # of streams that are remembered
_EVENT: Final = re.compile(rb'\{"e":"(\w{1,32})"')  # of a frame without its stream's name
_NAME: Final = re.compile(r"[a-z0-9_]{1,32}")
# Quotes that end a Bybit symbol, and what a contract without one is in.
_BYBIT: Final = re.compile(r"([A-Z0-9]{1,20}?)(USDT|USDC|USD|BTC|ETH|EUR|DAI|BRL|PLN|TRY|MNT)")


def venue_at(address: SplitResult) -> str:
    """The market at an address (`binance_usdm`), or the venue where its markets are not told apart ("kraken")."""
    host = (address.hostname or "").lower()
    _, *parts = address.path.split("/")
    if parts and parts[0] in DIALECTS:  # a local venue serves a market at its key
        return parts[0]
    if host in HOSTS:
        return HOSTS[host]
    names = host.split(".")
    name = names[-2] if len(names) > 1 and not names[-1].isdigit() else UNKNOWN
    if name == "binance" or name.startswith("data-api"):
        return "binance_spot"
    if name in ("bybit", "bytick") or parts[:1] == ["bybit"]:
        category = next((part for part in parts if part in CATEGORIES), "") or arguments_of(address).get(
            "category", ""
        )
        return f"bybit_{category}" if category in CATEGORIES else "bybit"
    name = name.replace("-", "_")
    return name if _NAME.fullmatch(name) else UNKNOWN


def label_of(venue: str) -> str:
    """What a page calls it."""
    if venue in DIALECTS:
        return DIALECTS[venue].label
    return LABELS.get(venue, venue.replace("_", " ").title())


def rule_of(venue: str) -> Rule:
    """How its deltas follow one another; of a venue without a decoder there are none, and any rule will do."""
    return DIALECTS[venue].rule if venue in DIALECTS else Rule.BYBIT


def bybit_instrument(market: str, native: str) -> Instrument:
    """The instrument a native symbol names, in units that the decoder makes finer as it needs."""
    pair = _BYBIT.fullmatch(native)
    contracts = market == "bybit_inverse"
    parts: tuple[str, ...] = (native,)  # dated ones: BTCUSDU24, BTC-27SEP24
    if pair is not None:
        parts = (pair[1], pair[2]) if market == "bybit_spot" else (pair[1], pair[2], "PERP")
    elif native.endswith("PERP") and len(native) > len("PERP"):
        parts = (native.removesuffix("PERP"), "USDC", "PERP")
    base, quote = (parts[0], parts[1]) if len(parts) > 1 else (native, "")
    return Instrument(market, "-".join(parts), base, quote, 0, 0, native=native, contracts=contracts)


@dataclass
class Survey:
    """What a capture holds, found out as its frames pass. `hint` names the venue where the file cannot."""

    path: str
    hint: str = ""
    addressed: dict[str, int] = field(default_factory=dict)  # venues by their addresses: how often
    natives: dict[str, None] = field(default_factory=dict)
    _names: set[bytes] = field(default_factory=set)
    _kinds: set[bytes] = field(default_factory=set)

    def __post_init__(self) -> None:
        self._judge = Judge(self.path)

    def at(self, address: SplitResult) -> None:
        """An address in the capture."""
        venue = venue_at(address)
        if venue != UNKNOWN:
            self.addressed[venue] = self.addressed.get(venue, 0) + 1

    def take(self, frames: Sequence[Frame]) -> None:
        """More of it."""
        for frame in frames:
            if frame.address is not None:
                self.at(frame.address)
                native = arguments_of(frame.address).get("symbol", "")
                if native:
                    self.natives[native] = None
                continue
            self._note(frame.text)
        texts = [frame for frame in frames if frame.text]
        if texts and self._is_binance:
            self._judge.take(join([one.text for one in texts], [one.recv_ns for one in texts]))

    @property
    def venue(self) -> str:
        """Whose it is: what the user says, or its addresses, or its frames."""
        if self.hint:
            return self.hint
        if self.addressed:
            # Of Bybit's bodies the address may not tell the market; where one does, they are its.
            return max(self.addressed, key=lambda venue: (venue in DIALECTS, self.addressed[venue]))
        return next(iter(self._judge.markets), UNKNOWN)

    @property
    def aggregates(self) -> bool:
        """Whether Binance's trades come aggregated, and not one by one as well."""
        return b"aggTrade" in self._kinds and b"trade" not in self._kinds

    def instruments(self) -> list[Instrument]:
        """Of the symbols in it, in units for those frames that were looked at; the decoder finds what is finer."""
        venue, market = self.venue, _binance_market(self.venue)
        if market is not None:
            found = {**dict.fromkeys(self.natives, (0, 0)), **self._judge.decimals}
            names = [name for name in found if 1 <= len(name.encode()) <= binance.NAME_BYTES]
            if len(names) == 1:
                found[names[0]] = _most(found[names[0]], self._judge.unnamed)
            return [binance.instrument_of(market, name, *found[name]) for name in names[: binance.ROOM]]
        if venue.startswith("bybit_"):
            names = [name for name in self.natives if 1 <= len(name) <= binance.NAME_BYTES]
            return [bybit_instrument(venue, name) for name in names[: bybit_frames.MAX_SYMBOLS]]
        return []

    @property
    def _is_binance(self) -> bool:
        return not self.addressed or any(venue in binance.LABELS for venue in self.addressed)

    def _note(self, text: bytes) -> None:
        """The stream's name, which has the symbol's."""
        begin = STREAM if text.startswith(STREAM) else TOPIC
        if not text.startswith(begin):
            event = _EVENT.match(text)
            if event is not None and len(self._kinds) < NAMES_MOST:
                self._kinds.add(event[1])
            return
        name = text[len(begin) : text.find(b'"', len(begin))]
        if name in self._names or len(self._names) >= NAMES_MOST or not name.isascii():
            return
        self._names.add(name)
        if begin is TOPIC:
            native = name.rpartition(b".")[2].decode()
        else:
            symbol, _, kind = name.partition(b"@")
            self._kinds.add(kind.partition(b"_")[0].partition(b"@")[0])
            native = symbol.decode().upper() if kind and not symbol.startswith(b"!") else ""
        if native:
            self.natives[native] = None


def decoder_of(survey: Survey, source: Source, instruments: Sequence[Instrument]) -> Decoder | None:
    """What decodes the capture; None where there is no decoder for its venue."""
    market = _binance_market(source.venue)
    if market is not None:
        return binance.BinanceDecoder(source, market, instruments, aggregates=survey.aggregates)
    if source.venue in DIALECTS:
        return DIALECTS[source.venue].decoder(source, instruments)
    return None


def _binance_market(venue: str) -> binance.Market | None:
    return next((market for market in binance.LABELS if market == venue), None)


def _most(first: tuple[int, int], second: tuple[int, int]) -> tuple[int, int]:
    return max(first[0], second[0]), max(first[1], second[1])
