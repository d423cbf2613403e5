"""Files that survive a power cut: what to sync, and when. Every call here waits for the disk.

Nothing is retried after a failed sync: the system may have dropped what could not be written, and would report the
next sync as good.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Final

if sys.platform != "win32":
    import fcntl

DRAFT: Final = ".tmp"  # ends the name of a file that is not whole yet
_BINARY: Final[int] = getattr(os, "O_BINARY", 0)
_PIECE_BYTES: Final = 1 << 20


def open_append(path: Path, *, new: bool = False) -> int:
    """A descriptor whose writes go to the end of the file, never over what is there. `new`: it must not exist yet."""
    flags = os.O_WRONLY | os.O_APPEND | _BINARY
    return os.open(path, flags | os.O_CREAT | os.O_EXCL if new else flags, 0o644)


def write_all(file: int, data: bytes) -> None:
    """Write all of it: one write, unless the disk fills up meanwhile."""
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(file, rest) :]


def sync_file(file: int) -> None:
    """The file's bytes and length are on the disk."""
    if sys.platform == "darwin":
        fcntl.fcntl(file, fcntl.F_FULLFSYNC)  # its fsync leaves them in the drive's cache
    elif sys.platform == "win32":
        os.fsync(file)
    else:
        os.fdatasync(file)


def sync_folder(folder: Path) -> None:
    """The names in the folder are on the disk."""
    if sys.platform == "win32":
        return  # a folder can't be opened there, and names are journaled
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def make_folder(folder: Path) -> None:
    """The folder exists, and so do those above it, after a power cut too."""
    if folder.is_dir():
        return
    make_folder(folder.parent)
    folder.mkdir(exist_ok=True)
    sync_folder(folder.parent)


def write_whole(path: Path, parts: Iterable[bytes]) -> None:
    """The file appears under its name with all of this, or not at all; a failure leaves no draft.

    Synced megabyte by megabyte, so that another file's sync never waits for all of it.
    """
    draft = path.with_name(path.name + DRAFT)
    try:
        with draft.open("wb", buffering=0) as file:
            for part in parts:
                for at in range(0, len(part), _PIECE_BYTES):
                    write_all(file.fileno(), part[at : at + _PIECE_BYTES])
                    sync_file(file.fileno())
        os.replace(draft, path)
    except OSError:
        draft.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def lock_folder(folder: Path) -> int:
    """A descriptor: while it is open no other may be had. BlockingIOError when another is open, in any process."""
    if sys.platform == "win32":
        return os.open(folder / "lock", os.O_RDWR | os.O_CREAT)  # a reminder; another process isn't kept out
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BaseException:
        os.close(handle)
        raise
    return handle
