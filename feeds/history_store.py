"""Where a bulk history is kept: one append-only file for each symbol and interval, a frame for each finished chunk.

    <folder>/<venue>/<symbol>.<interval in seconds>s.candles

A frame is 64 bytes and CANDLE rows. Header words, little-endian:

    magic 4, version 2, price decimals 1, size decimals 1, CANDLE's layout 4, rows 4, start 8, end 8, interval 8,
    zero 16, payload CRC 4, CRC 4

A chunk is there or it is not: what a kill or a power cut left of a frame fails its checksum, and the file is cut back
to its last whole frame when it is opened to be written. That loses nothing that cannot be fetched again, so the disk
is asked to sync only now and then. Frames lie in the order they finished; a reader sorts them.
"""

from __future__ import annotations

import os
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Final
from urllib.parse import quote

import numpy as np

from engine.durable_files import lock_folder, make_folder, open_append, sync_file, sync_folder, write_all
from engine.errors import BadDataFolder
from engine.market.batches import CANDLE, Rows
from engine.market.candles import rescale_candles

VERSION: Final = 1
HEADER_BYTES: Final = 64
MAX_ROWS: Final = 1 << 16  # of one frame
LAYOUT: Final = zlib.crc32(repr(CANDLE.descr).encode())

_FRAME: Final = struct.Struct("<4sHBBIIqqq16xI")
_CRC: Final = struct.Struct("<I")
_MAGIC: Final = b"VSCH"


@dataclass(frozen=True, slots=True)
class Held:
    """A finished chunk as it lies in its file."""

    start_ns: int
    end_ns: int
    decimals: tuple[int, int]  # of prices and of sizes
    rows: Rows


@dataclass(frozen=True, slots=True)
class Contents:
    """What could be read of one file."""

    chunks: tuple[Held, ...]
    whole_bytes: int  # up to the end of the last whole frame
    torn_bytes: int  # behind it, of no use

    def rows(self) -> tuple[Rows, tuple[int, int]]:
        """All candles, oldest first, each once (the newest fetched counts), and their decimals: the finest of any."""
        price = max((held.decimals[0] for held in self.chunks), default=0)
        size = max((held.decimals[1] for held in self.chunks), default=0)
        parts = [
            held.rows
            if held.decimals == (price, size)
            else rescale_candles(held.rows, 10 ** (price - held.decimals[0]), 10 ** (size - held.decimals[1]))
            for held in reversed(self.chunks)
        ]
        rows = np.concatenate(parts) if parts else np.empty(0, CANDLE)
        _, first = np.unique(rows["ts_open_ns"], return_index=True)  # sorted; the newest chunk comes first
        return rows[first], (price, size)


def path_of(folder: Path, venue: str, symbol: str, interval_s: int) -> Path:
    """Where a symbol's candles are."""
    return folder / venue / f"{quote(symbol, safe='')}.{interval_s}s.candles"


def frame(rows: Rows, start_ns: int, end_ns: int, interval_ns: int, decimals: tuple[int, int]) -> bytes:
    """One frame of contiguous CANDLE rows, at most MAX_ROWS, possibly none: that is known, too."""
    assert rows.dtype == CANDLE
    assert len(rows) <= MAX_ROWS
    payload = rows.tobytes()
    head = _FRAME.pack(
        _MAGIC, VERSION, *decimals, LAYOUT, len(rows), start_ns, end_ns, interval_ns, zlib.crc32(payload)
    )
    return head + _CRC.pack(zlib.crc32(head)) + payload


def read(path: Path, interval_s: int) -> Contents:
    """The file's whole frames; none where there is no file. Changes nothing.

    BadDataFolder when it is of another version or interval: then it is not ours to cut.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return Contents((), 0, 0)
    chunks = []
    at = 0
    while at + HEADER_BYTES <= len(data):
        head = data[at : at + HEADER_BYTES]
        if _CRC.unpack_from(head, HEADER_BYTES - 4)[0] != zlib.crc32(head[:-4]):
            break
        magic, version, *decimals, layout, count, start_ns, end_ns, interval_ns, crc = _FRAME.unpack_from(
            head
        )
        if (magic, version, layout) != (_MAGIC, VERSION, LAYOUT) or interval_ns != interval_s * 10**9:
            raise BadDataFolder(
                str(path), "holds candles of another version or interval", "delete it to fetch them again"
            )
        payload = data[at + HEADER_BYTES : at + HEADER_BYTES + count * CANDLE.itemsize]
        if len(payload) != count * CANDLE.itemsize or zlib.crc32(payload) != crc:
            break
        rows = np.frombuffer(payload, CANDLE)
        chunks.append(Held(start_ns, end_ns, (decimals[0], decimals[1]), rows))
        at += HEADER_BYTES + len(payload)
    return Contents(tuple(chunks), at, len(data) - at)


class HistoryStore:
    """The files of one venue, open to be written by one process at a time. BadDataFolder when another has them."""

    def __init__(self, folder: Path, venue: str, interval_s: int) -> None:
        self.folder, self.venue, self.interval_s = folder, venue, interval_s
        self.torn_bytes = 0  # cut off files when they were opened
        self._files: dict[str, int] = {}
        self._unsynced: set[str] = set()
        make_folder(folder / venue)
        try:
            self._lock = lock_folder(folder / venue)
        except BlockingIOError as error:
            raise BadDataFolder(
                str(folder / venue), "is in use by another download", "wait until it is done"
            ) from error

    def __enter__(self) -> HistoryStore:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def open(self, symbol: str) -> Contents:
        """What is held of a symbol; a torn end is cut off, and the file is ready for more."""
        path = path_of(self.folder, self.venue, symbol, self.interval_s)
        contents = read(path, self.interval_s)
        if contents.torn_bytes:
            os.truncate(path, contents.whole_bytes)
            self.torn_bytes += contents.torn_bytes
        if symbol not in self._files:
            new = not path.exists()
            self._files[symbol] = open_append(path, new=new)
            if new:
                sync_folder(path.parent)
        return contents

    def append(self, symbol: str, start_ns: int, end_ns: int, rows: Rows, decimals: tuple[int, int]) -> None:
        """Keep a finished chunk; outlives the process at once, a power cut when its file is synced next.

        BadDataFolder when the disk refuses: what it took of the chunk is cut off when the file is opened again.
        """
        data = frame(rows, start_ns, end_ns, self.interval_s * 10**9, decimals)
        try:
            write_all(self._files[symbol], data)
        except OSError as error:
            raise self._refused(error) from error
        self._unsynced.add(symbol)

    def unsynced(self) -> list[int]:
        """The files that something was appended to since the last call: to be given to `sync`, in any thread."""
        symbols, self._unsynced = self._unsynced, set()
        return [self._files[symbol] for symbol in symbols]

    def sync(self, files: list[int]) -> None:
        """What was appended to these files before is on the disk. Waits for it. BadDataFolder when it refuses."""
        try:
            for file in files:
                sync_file(file)
        except OSError as error:
            raise self._refused(error) from error

    def _refused(self, error: OSError) -> BadDataFolder:
        reason = f"cannot be written: {error.strerror or error}"
        return BadDataFolder(str(self.folder / self.venue), reason, "make room or mend it")

    def close(self) -> None:
        """Sync, and let others have the folder."""
        try:
            self.sync(self.unsynced())
        finally:
            for file in self._files.values():
                os.close(file)
            self._files.clear()
            os.close(self._lock)
