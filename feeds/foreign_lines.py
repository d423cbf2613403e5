"""Lines of others' captures, read patiently: what is wrong is named and passed over, what is cut off is kept so far.

Two forms, told apart line by line. hftbacktest's: `<receive time, ns> <frame>`. cryptofeed's:

    <address> <-> <seconds>             a connection was opened
    <address> <- <seconds>: <text>      we sent this on it
    <seconds>: <frame>                  a frame came
    <address> -> <seconds>: <body>      the answer to a REST call

A frame that was binary is written as a literal of Python's bytes.
"""

from __future__ import annotations

import ast
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import SplitResult, parse_qsl, urlsplit

from engine.errors import BadImport
from feeds.capture import EARLIEST_NS, LATEST_NS, MAX_LINE_BYTES, TIME_DIGITS

PACKED_BYTES: Final = 64 * 1024  # read at once
STEP_BYTES: Final = 64  # where a compressed file is damaged, it is read on in such steps, then byte by byte
UNPACKED_BYTES: Final = 1 << 20  # at once: 64 KB can hold 64 MB
GZIP: Final = b"\x1f\x8b"
CONFIGURATION: Final = b"configuration: {"  # what cryptofeed was asked for, at the end
FORM: Final = "it is of no form that is known"
KEPT_ARGUMENTS: Final = ("symbol", "category", "interval")  # without which a body cannot be read

_STAMP: Final = rb"(\d{9,10})(?:\.(\d{1,9}))?"
_TIMED: Final = re.compile(_STAMP + rb": (.*)", re.DOTALL)
_ADDRESSED: Final = re.compile(
    rb"((?:wss?|https?)://\S{1,60000}) (<->|<-|->) " + _STAMP + rb"(?:: (.*))?", re.DOTALL
)


@dataclass(frozen=True, slots=True)
class Frame:
    """Something that was received."""

    file: str  # its name
    line: int  # from 1
    recv_ns: int
    text: bytes
    address: SplitResult | None = None  # of a REST body; None: it came over the connection


@dataclass(frozen=True, slots=True)
class Opened:
    """A connection was opened."""

    file: str
    line: int
    address: SplitResult


@dataclass(frozen=True, slots=True)
class BadLine:
    """A line that cannot be read."""

    file: str
    line: int
    reason: str


Item = Frame | Opened | BadLine


class ForeignLines:
    """One file, gzipped or plain, read once. BadImport when it cannot be opened."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.lines = 0  # read so far
        self.sent = 0  # of those, what we sent
        self.read_bytes = 0  # as the file has them
        self.size_bytes = 0
        self.ended = ""  # why before its end

    def __iter__(self) -> Iterator[Item]:
        """What the lines say, in their order. `ended` is known at the end."""
        for line in self._lines():
            self.lines += 1
            item = self._item(line.rstrip(b"\r")) if line.strip() else None
            if item is not None:
                yield item

    def _item(self, line: bytes) -> Item | None:
        if len(line) > MAX_LINE_BYTES:
            return BadLine(self.path.name, self.lines, f"it is longer than {MAX_LINE_BYTES:,} bytes")
        try:
            return self._read(line)
        except ValueError as error:
            return BadLine(self.path.name, self.lines, str(error))

    def _read(self, line: bytes) -> Item | None:
        """ValueError says what is wrong."""
        stamp, _, text = line.partition(b" ")
        if len(stamp) == TIME_DIGITS and stamp.isdigit():
            return Frame(self.path.name, self.lines, _in_range(int(stamp)), text)
        timed = _TIMED.fullmatch(line)
        if timed is not None:
            return Frame(self.path.name, self.lines, _nanoseconds(timed[1], timed[2]), _literal(timed[3]))
        addressed = _ADDRESSED.fullmatch(line)
        if addressed is None:
            if line.startswith(CONFIGURATION):
                return None
            raise ValueError(FORM)
        address = urlsplit(addressed[1].decode())
        recv_ns, text = _nanoseconds(addressed[3], addressed[4]), addressed[5]
        if addressed[2] == b"<->":
            return Opened(self.path.name, self.lines, address)
        if addressed[2] == b"<-":
            self.sent += 1
            return None
        if text is None:
            raise ValueError("it has no body")
        arguments_of(address)  # may be too many
        return Frame(self.path.name, self.lines, recv_ns, _literal(text), address)

    def _lines(self) -> Iterator[bytes]:
        """Whole lines without their ends. The last of a file that was cut off is none."""
        rest: list[bytes] = []
        held = 0  # bytes of it; of a line that is too long only the first are kept
        for block in self._blocks():
            first, *others = block.split(b"\n")
            if held <= MAX_LINE_BYTES:
                rest.append(first)
            held += len(first)
            if others:
                yield b"".join(rest)
                yield from others[:-1]
                rest, held = [others[-1]], len(others[-1])
        if held and not self.ended:
            yield b"".join(rest)

    def _blocks(self) -> Iterator[bytes]:
        try:
            with self.path.open("rb") as file:
                self.size_bytes = self.path.stat().st_size
                packed = file.read(len(GZIP)) == GZIP
                file.seek(0)
                unpacker = _Unpacker()
                while chunk := file.read(PACKED_BYTES):
                    self.read_bytes += len(chunk)
                    yield from unpacker.feed(chunk) if packed else (chunk,)
                    if unpacker.damage:
                        self.ended = (
                            f"the compressed file is damaged behind line {self.lines:,} ({unpacker.damage})"
                        )
                        return
                if packed and not unpacker.whole:
                    self.ended = f"the compressed file is cut off behind line {self.lines:,}"
        except FileNotFoundError:
            raise BadImport(str(self.path), "there is no such file") from None
        except OSError as error:
            raise BadImport(str(self.path), f"it cannot be read ({error.strerror or error})") from None


class _Unpacker:
    """Unpacks gzip, one member behind the other, to the byte at which it is damaged."""

    def __init__(self) -> None:
        self.damage = ""
        self._state = zlib.decompressobj(wbits=31)
        self._begun = False

    @property
    def whole(self) -> bool:
        """Whether it may end here: behind a member, not within one."""
        return not self._begun

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        """What the next bytes unpack to, some at a time."""
        while chunk and not self.damage:
            before = self._state.copy()
            try:
                out = self._state.decompress(chunk, UNPACKED_BYTES)
            except zlib.error as error:
                self.damage = str(error)
                yield from _up_to_damage(before, chunk)
                return
            self._begun = True
            chunk = self._state.unconsumed_tail
            if out:
                yield out
            if self._state.eof:
                # Some recorders write members one by one; zeros behind the last are padding.
                chunk = self._state.unused_data.lstrip(b"\0")
                self._state, self._begun = zlib.decompressobj(wbits=31), False


def _up_to_damage(state: zlib._Decompress, chunk: bytes) -> Iterator[bytes]:
    """What bytes unpack to, of which some cannot be: in smaller and smaller steps up to those."""
    step = STEP_BYTES
    at = 0
    while at < len(chunk) and step:
        before = state.copy()
        try:
            out = state.decompress(chunk[at : at + step])
        except zlib.error:
            state, step = before, step // STEP_BYTES
            continue
        at += step
        if out:
            yield out


def path_of(address: SplitResult) -> str:
    """What raw frames from an address are kept under: "/stream", "GET /fapi/v1/depth?symbol=BTCUSDT"."""
    path = address.path or "/"
    if address.scheme in ("ws", "wss"):
        return path
    told = "&".join(
        f"{name}={value}" for name, value in arguments_of(address).items() if name in KEPT_ARGUMENTS
    )
    return f"GET {path}" + (f"?{told}" if told else "")


def arguments_of(address: SplitResult) -> dict[str, str]:
    """The arguments of a REST call."""
    return dict(parse_qsl(address.query, max_num_fields=64))


def _nanoseconds(seconds: bytes, fraction: bytes | None) -> int:
    return _in_range(int(seconds) * 1_000_000_000 + int((fraction or b"0").ljust(9, b"0")))


def _in_range(moment_ns: int) -> int:
    if not EARLIEST_NS <= moment_ns < LATEST_NS:
        raise ValueError("its time is not between 2001 and 2096")
    return moment_ns


def _literal(text: bytes) -> bytes:
    """The bytes a literal stands for; any other text as it is."""
    if not text.startswith((b"b'", b'b"')):
        return text
    try:
        value = ast.literal_eval(text.decode())
    except (ValueError, SyntaxError, RecursionError, MemoryError) as error:
        raise ValueError("its literal of bytes cannot be read") from error
    if not isinstance(value, bytes):
        raise ValueError("its literal of bytes cannot be read")
    return value
