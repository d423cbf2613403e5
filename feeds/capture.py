"""Reads recorded streams: one line is `<receive time, ns> <frame>`, gzipped or plain.

The frames are what a venue sent over its combined stream, and the depth snapshots fetched beside it. A file
is judged by its content, never its name. Lines of another form make the whole file foreign (BadCapture,
naming the line); a frame that is no good JSON does not: that is for the decoder to count.
"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import PurePath
from typing import BinaryIO, Final, cast

import msgspec
import numpy as np

from engine.errors import BadCapture
from engine.market.batches import Source
from engine.market.instruments import Instrument
from feeds.frames import Frames, as_text
from feeds.levels import ZERO
from feeds.venues import binance, binance_frames

BLOCK_BYTES: Final = 128 * 1024  # read at once: half a millisecond of unpacking
MAX_LINE_BYTES: Final = 8 * 1024 * 1024  # a 5000-level snapshot has 0.3 MB
NEWLINE: Final = 0x0A
SPACE: Final = 0x20
# Receive times between 2001 and 2096: anything else is in another unit, or no time.
EARLIEST_NS: Final = 10**18
LATEST_NS: Final = 4 * 10**18
TIME_DIGITS: Final = 19
POWERS: Final = 10 ** np.arange(TIME_DIGITS - 1, -1, -1, dtype=np.int64)
FORM: Final = "it is not of the form '<receive time in ns> <JSON frame>'"


@dataclass(frozen=True, slots=True)
class CaptureInfo:
    """What a capture holds. `native` symbols in the order they appear; `decimals` (price, size) by symbol."""

    path: str
    market: binance.Market
    native: tuple[str, ...]
    frames: int
    size_bytes: int  # unpacked
    first_recv_ns: int
    last_recv_ns: int
    decimals: dict[str, tuple[int, int]]

    def instruments(self) -> list[Instrument]:
        """The instruments in it, first revision."""
        return [binance.instrument_of(self.market, name, *self.decimals[name]) for name in self.native]


def probe(path: str | PurePath) -> CaptureInfo:
    """Reads the whole file once and says what it holds; BadCapture when it is not a whole capture.

    Half a second for 100 MB unpacked; no compiled code, so that a bad file is refused at once. Decimals are
    judged by the snapshot and the first frame of each stream (trailing zeros need none): see `measure`.
    """
    judge = Judge(str(path))
    for frames in chunks(path):
        judge.take(frames)
    return judge.info()


def measure(info: CaptureInfo) -> CaptureInfo:
    """The same with decimals that hold every number in the file, so that playing it takes no revision.

    Decodes the whole file, some 0.5 s for 100 MB unpacked, mostly without the interpreter lock.
    """
    decoder = binance.BinanceDecoder(Source(info.market, "replay"), info.market, info.instruments())
    for frames in chunks(info.path):
        decoder.decode(frames)
    found = {has.native: (has.price_decimals, has.size_decimals) for has in decoder.instruments}
    return replace(info, decimals=found)


def read(path: str | PurePath) -> Iterator[tuple[int, bytes]]:
    """(receive time in ns, frame) for each line. BadCapture as `probe`, when the line is reached."""
    for frames in chunks(path):
        for index in range(len(frames)):
            yield int(frames.recv_ns[index]), frames[index]


def chunks(path: str | PurePath, block_bytes: int = BLOCK_BYTES) -> Iterator[Frames]:
    """The file's frames, as many at once as a block of `block_bytes` ends. BadCapture as `read`."""
    path = str(path)
    line = 1
    rest = b""
    for block in _blocks(path, block_bytes):
        text = rest + block if rest else block
        cut = text.rfind(b"\n") + 1
        rest = text[cut:]
        if len(rest) > MAX_LINE_BYTES:
            reason = f"longer than {MAX_LINE_BYTES:,} bytes, so {FORM}"
            raise BadCapture(path, line + text.count(b"\n"), reason)
        if cut:
            frames = _split(path, text[:cut], line)
            line += len(frames)
            if len(frames):
                yield frames
    if rest:
        frames = _split(path, rest, line)
        if not frames[0].endswith(b"}"):
            raise BadCapture(path, line, "the file is cut off in this line")
        line += 1
        yield frames
    if line == 1:
        raise BadCapture(path, 0, "it is empty")


def _blocks(path: str, block_bytes: int) -> Iterator[bytes]:
    lines = 1
    try:
        with open(path, "rb") as plain:
            packed = plain.read(2) == b"\x1f\x8b"
            plain.seek(0)
            source = cast(BinaryIO, gzip.GzipFile(fileobj=plain)) if packed else plain
            while block := source.read(block_bytes):
                yield block
                lines += block.count(b"\n")
    except FileNotFoundError:
        raise BadCapture(path, 0, "there is no such file") from None
    except EOFError:
        raise BadCapture(path, lines, "the compressed file is cut off here") from None
    except (gzip.BadGzipFile, zlib.error) as error:
        raise BadCapture(path, lines, f"the compressed file is damaged here ({error})") from None
    except OSError as error:
        raise BadCapture(path, 0, f"it cannot be read ({error.strerror or error})") from None


def _split(path: str, text: bytes, line: int) -> Frames:
    """The frames of whole lines; `line` is the number of the first, for the error."""
    buffer = as_text(text)
    ends = np.flatnonzero(buffer == NEWLINE)
    if not text.endswith(b"\n"):
        ends = np.append(ends, len(text))
    starts = np.append(0, ends[:-1] + 1)
    # A time in range has 19 digits, so all sits in fixed places. Lines too short for it read further, harmlessly.
    whole = ends - starts > TIME_DIGITS + 1
    places = np.minimum(starts[:, None] + np.arange(TIME_DIGITS), len(text) - 1)
    digits = buffer[places] - np.uint8(ZERO)  # wraps round below "0"
    recv_ns = digits.astype(np.int64) @ POWERS
    good = (
        whole
        & (digits <= 9).all(axis=1)
        & (buffer[np.minimum(starts + TIME_DIGITS, len(text) - 1)] == SPACE)
        & (recv_ns >= EARLIEST_NS)
        & (recv_ns < LATEST_NS)
    )
    if not good.all():
        raise BadCapture(path, line + int(np.argmin(good)), FORM)
    return Frames(buffer, starts + TIME_DIGITS + 1, ends, recv_ns)


class _Evidence(msgspec.Struct):
    """Fields that tell markets apart."""

    s: str = ""
    symbol: str = ""
    e: str = ""
    pu: int | None = None
    ps: str | None = None
    T: int | None = None
    M: bool | None = None
    X: str | None = None


_evidence: Final = msgspec.json.Decoder(_Evidence)


class Judge:
    """Collects what frames say about their capture: the markets and symbols in it, and the streams."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._frames = 0
        self._size_bytes = 0
        self._first_ns = LATEST_NS
        self._last_ns = 0
        self.streams: set[bytes] = set()
        self.markets: dict[binance.Market, int] = {}  # and the line that says so
        self.decimals: dict[str, tuple[int, int]] = {}
        self.unnamed = (0, 0)  # decimals of snapshots that name no symbol

    def take(self, frames: Frames) -> None:
        """Look at each frame's stream name; decode the first of each stream, and those outside any."""
        text = frames.buffer.tobytes()
        streams = self.streams
        starts, ends = frames.starts.tolist(), frames.ends.tolist()
        for index, start in enumerate(starts):
            if text.startswith(b'{"stream":"', start):
                name = text[start + 11 : text.find(b'"', start + 11, ends[index])]
                if name in streams:
                    continue
                if self._look(text[start : ends[index]], self._frames + index + 1) and len(streams) < 65_536:
                    streams.add(name)
            else:
                self._look(text[start : ends[index]], self._frames + index + 1)
        self._frames += len(frames)
        self._size_bytes += len(text)
        self._first_ns = min(self._first_ns, int(frames.recv_ns.min()))
        self._last_ns = max(self._last_ns, int(frames.recv_ns.max()))

    def info(self) -> CaptureInfo:
        """The verdict; BadCapture when nothing in the file is Binance's, or two markets are."""
        if not self.markets:
            raise BadCapture(self._path, 1, "no line of the file holds Binance market data")
        if len(self.markets) > 1:
            (first, _), (second, line) = sorted(self.markets.items(), key=lambda item: item[1])[:2]
            raise BadCapture(self._path, line, f"it mixes {first} and {second}; one market to a file")
        market = next(iter(self.markets))
        native = tuple(self.decimals)
        if len(native) > binance.MAX_SYMBOLS:
            raise BadCapture(
                self._path, 0, f"it has {len(native):,} symbols; {binance.MAX_SYMBOLS:,} are the most"
            )
        if len(native) == 1:
            self._raise(native[0], self.unnamed)
        return CaptureInfo(
            self._path,
            market,
            native,
            self._frames,
            self._size_bytes,
            self._first_ns,
            self._last_ns,
            self.decimals,
        )

    def _look(self, frame: bytes, line: int) -> bool:
        """Whether the frame is market data we know."""
        try:
            outer = msgspec.json.decode(frame, type=binance_frames.Outer)
            body = frame if isinstance(outer.data, msgspec.UnsetType) else bytes(outer.data)
            seen = _evidence.decode(body)
            parsed = binance_frames.parse(frame, futures=seen.pu is not None)
            if isinstance(parsed, binance_frames.Other):
                return False
            decimals = parsed.decimals()
        except (msgspec.DecodeError, UnicodeDecodeError, binance_frames.BadField):
            return False  # one frame that is no good says nothing of the others: the decoder will count it
        native = parsed.native
        if not native:
            self.unnamed = max(self.unnamed[0], decimals[0]), max(self.unnamed[1], decimals[1])
            return True
        if not 1 <= len(native.encode()) <= binance.NAME_BYTES:
            return False
        self._raise(native, decimals)
        market = _market_of(seen, native)
        if market is not None:
            self.markets.setdefault(market, line)
        return True

    def _raise(self, native: str, decimals: tuple[int, int]) -> None:
        price_decimals, size_decimals = self.decimals.get(native, (0, 0))
        self.decimals[native] = max(price_decimals, decimals[0]), max(size_decimals, decimals[1])


def _market_of(seen: _Evidence, native: str) -> binance.Market | None:
    """The market whose frames have these fields; None where they leave it open (REST snapshots)."""
    if seen.symbol:
        return None
    if seen.ps is not None or (native.partition("_")[0].endswith("USD") and "_" in native):
        return "binance_coinm"
    if seen.e == "trade":
        return "binance_spot" if seen.X is None else "binance_usdm"
    if seen.e == "depthUpdate":
        return "binance_spot" if seen.pu is None else "binance_usdm"
    return "binance_usdm" if seen.e == "bookTicker" else "binance_spot"
