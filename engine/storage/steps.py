"""What the application and the processes that work on its archive tell each other: one JSON line each."""

from __future__ import annotations

from typing import Final

import msgspec

FOLDER: Final = "archive"  # in the store's folder
GroupKey = tuple[str, int]  # (kind, stream's id)


class Request(msgspec.Struct, frozen=True):
    """What the compacting process is to do."""

    groups: list[GroupKey]
    today: str  # UTC
    skip: list[int] = []  # first_seq of blocks known to be damaged
    sweep: bool = False  # first of all look at each file, and take leftovers away
    merge: bool = True


class Written(msgspec.Struct, frozen=True):
    """A file that is on the disk: what the manifest needs to know. `path` is relative to the archive, with `/`."""

    path: str
    kind: str
    date: str
    first_seq: int
    last_seq: int
    rows: int
    size_bytes: int
    first_ns: int
    last_ns: int
    sha256: str


class Step(msgspec.Struct, frozen=True):
    """What one transaction has to do: these files are new, and stand for these blocks, or for these older files."""

    stream: int
    files: list[Written]
    blocks: list[int] = []  # first_seq
    merged: list[int] = []  # files' ids


class Spoilt(msgspec.Struct, frozen=True):
    """What was skipped and is kept: a file, or a block where `first_seq` is not 0."""

    path: str
    reason: str
    first_seq: int = 0
    file: int = 0  # its id; 0 = not in the manifest
    mended: bool = False  # it is whole again


class Told(msgspec.Struct, frozen=True):
    """A line of the compacting process: one of these, or neither, which is its last."""

    step: Step | None = None
    spoilt: Spoilt | None = None


class Sending(msgspec.Struct, frozen=True):
    """What the uploading process is to do with one file: send it, or delete what was sent."""

    file: int  # its id
    path: str
    size_bytes: int
    sha256: str
    delete: bool = False


class Sent(msgspec.Struct, frozen=True):
    """What became of it: "" = it is there and was read back, or is there no more; otherwise why not."""

    file: int
    error: str = ""
    damaged: bool = False  # our own copy is at fault: another try would not help
