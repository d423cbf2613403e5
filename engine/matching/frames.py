"""The command log's files as bytes: frames of commands in segments, and snapshots. Written by `log.py`.

    commands-<sequence>.log    frames, one after the other; the first holds the command of that sequence
    snapshot-<sequence>.bin    the engine as it was before the command of that sequence

A frame is 32 bytes and COMMAND rows, a snapshot 32 bytes and the engine's own bytes. Header words, little-endian:

    frame      magic 4, version 2, zero 2, COMMAND's layout 4, payload bytes 4, first sequence 8, payload CRC 4, CRC 4
    snapshot   magic 4, version 2, zero 2, sequence 8, payload bytes 8, payload CRC 4, CRC 4

In every version magic and version come first and the header's CRC-32 is in bytes 28 to 31, so that a foreign
version is told from damage. That the header has a CRC of its own makes its length trustworthy: a broken
length in the middle of a file would look like a torn end.
"""

from __future__ import annotations

import os
import re
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Final

import numpy as np

from engine.errors import LogDamaged
from engine.market.batches import Rows
from engine.matching.orders import COMMAND

VERSION: Final = 1
LAYOUT: Final = zlib.crc32(repr(COMMAND.descr).encode())
HEADER_BYTES: Final = 32
MAX_ROWS: Final = 1 << 16  # of one frame: what a reader holds at a time
MAX_TORN_BYTES: Final = (
    1 << 27
)  # more than the log ever leaves unsynced: a longer unreadable end is not a torn one

_FRAME: Final = struct.Struct("<4sHHIIqI")
_SNAPSHOT: Final = struct.Struct("<4sHHqqI")
_CRC: Final = struct.Struct("<I")
_FRAME_MAGIC: Final = b"VSCL"
_SNAPSHOT_MAGIC: Final = b"VSSN"
_BLOCK_BYTES: Final = 1 << 20
_NAME: Final = re.compile(r"(commands|snapshot)-(\d{20})\.(log|bin)")


def segment_path(folder: Path, sequence: int) -> Path:
    """Where the commands from `sequence` on are."""
    return folder / f"commands-{sequence:020}.log"


def snapshot_path(folder: Path, sequence: int) -> Path:
    """Where the engine before the command `sequence` is."""
    return folder / f"snapshot-{sequence:020}.bin"


def segments(folder: Path) -> list[tuple[int, Path]]:
    """Each segment's first sequence and file, in order. Other files are passed over."""
    return _numbered(folder, "commands-*.log")


def snapshots(folder: Path) -> list[tuple[int, Path]]:
    """Each snapshot's sequence and file, in order. Other files are passed over."""
    return _numbered(folder, "snapshot-*.bin")


def _numbered(folder: Path, pattern: str) -> list[tuple[int, Path]]:
    named = ((_NAME.fullmatch(path.name), path) for path in folder.glob(pattern))
    return sorted((int(match[2]), path) for match, path in named if match)


def frame(rows: Rows, sequence: int) -> bytes:
    """One frame of contiguous COMMAND rows, at most MAX_ROWS; the first has this sequence."""
    assert rows.dtype == COMMAND
    assert 0 < len(rows) <= MAX_ROWS
    head = _FRAME.pack(_FRAME_MAGIC, VERSION, 0, LAYOUT, rows.nbytes, sequence, zlib.crc32(rows.data))
    return b"".join((_sealed(head), rows.data))


def snapshot_header(data: bytes, sequence: int) -> bytes:
    """What comes before the engine's bytes in a snapshot file."""
    return _sealed(_SNAPSHOT.pack(_SNAPSHOT_MAGIC, VERSION, 0, sequence, len(data), zlib.crc32(data)))


def _sealed(head: bytes) -> bytes:
    return head + _CRC.pack(zlib.crc32(head))


def _is_whole(header: bytes) -> bool:
    return len(header) == HEADER_BYTES and _CRC.unpack_from(header, 28)[0] == zlib.crc32(header[:28])


def read_snapshot(path: Path, sequence: int) -> bytes:
    """The engine's bytes. LogDamaged if a single bit of the file, or its name, is not as it was written."""
    with path.open("rb") as file:
        header = file.read(HEADER_BYTES)
        data = file.read()
    if not _is_whole(header):
        raise LogDamaged(str(path), 0, "the header is damaged")
    magic, version, _, stored, size_bytes, crc = _SNAPSHOT.unpack_from(header)
    if magic != _SNAPSHOT_MAGIC:
        raise LogDamaged(str(path), 0, "it is not a snapshot")
    if version != VERSION:
        raise LogDamaged(str(path), 0, f"it is of version {version}, this program reads {VERSION}")
    if stored != sequence:
        raise LogDamaged(str(path), 0, f"it is the snapshot {stored:,}")
    if len(data) != size_bytes:
        raise LogDamaged(str(path), HEADER_BYTES, f"{size_bytes:,} bytes should follow, not {len(data):,}")
    if zlib.crc32(data) != crc:
        raise LogDamaged(str(path), HEADER_BYTES, "the checksum is wrong")
    return data


class SegmentReader:
    """Reads a segment frame by frame; holds one frame. After the last: where the next would begin.

    What is left of a frame whose writing was cut short ends the reading and is counted in `torn_bytes`. It is only
    taken for that where no whole frame follows; anything else that is wrong raises LogDamaged. Changes nothing.
    """

    def __init__(self, path: Path, sequence: int) -> None:
        self.path = path
        self.sequence = sequence  # of the next command
        self.end = 0  # of the last whole frame
        self.torn_bytes = 0

    def __iter__(self) -> Iterator[Rows]:
        """The frames' rows, read-only."""
        with self.path.open("rb", buffering=_BLOCK_BYTES) as file:
            while header := file.read(HEADER_BYTES):
                rows = self._rows(file, header)
                if rows is None:
                    self.torn_bytes = os.fstat(file.fileno()).st_size - self.end
                    if self.torn_bytes > MAX_TORN_BYTES:
                        raise self._damaged(f"no readable frame in {self.torn_bytes:,} bytes")
                    return
                self.end += HEADER_BYTES + rows.nbytes
                self.sequence += len(rows)
                yield rows

    def _rows(self, file: BinaryIO, header: bytes) -> Rows | None:
        """The frame at `end`; None if it is torn."""
        if not _is_whole(header):
            self._check_last(file, self.end + 1, "the frame's header is damaged")
            return None
        magic, version, _, layout, size_bytes, sequence, crc = _FRAME.unpack_from(header)
        if magic != _FRAME_MAGIC:
            raise self._damaged("it is not a frame of commands")
        if version != VERSION:
            raise self._damaged(f"the frame is of version {version}, this program reads {VERSION}")
        if layout != LAYOUT or size_bytes % COMMAND.itemsize or size_bytes > MAX_ROWS * COMMAND.itemsize:
            raise self._damaged("the frame's commands have another layout")
        if sequence != self.sequence:
            raise self._damaged(f"command {self.sequence:,} should follow, not {sequence:,}")
        payload = file.read(size_bytes)
        if len(payload) < size_bytes:
            return None
        if zlib.crc32(payload) != crc:
            self._check_last(file, self.end + HEADER_BYTES + size_bytes, "the frame's checksum is wrong")
            return None
        return np.frombuffer(payload, COMMAND)

    def _check_last(self, file: BinaryIO, offset: int, reason: str) -> None:
        """LogDamaged where another frame begins from `offset` on: then this one isn't the last."""
        file.seek(offset)
        block = b""
        while more := file.read(_BLOCK_BYTES):
            block = block[1 - HEADER_BYTES :] + more
            at = block.find(_FRAME_MAGIC)
            while at >= 0:
                if _is_whole(block[at : at + HEADER_BYTES]):
                    raise self._damaged(reason)
                at = block.find(_FRAME_MAGIC, at + 1)

    def _damaged(self, reason: str) -> LogDamaged:
        return LogDamaged(str(self.path), self.end, reason)
