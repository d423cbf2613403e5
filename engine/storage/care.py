"""The commands `store verify` and `store compact`: whether all that is kept is as it was written; and files of it."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from engine.errors import BadSetting, BlockDamaged
from engine.storage import catalog
from engine.storage.journal import Journal
from engine.storage.schema import NAME, FileRow
from engine.storage.steps import FOLDER

ACTIONS: Final = ("verify", "compact")


def run(folder: Path, action: str) -> int:
    """Do it and say what was found; the exit code. UserError and StorageError for what cannot be."""
    if action not in ACTIONS:
        raise BadSetting("store", action, f"choose {' or '.join(ACTIONS)}")
    if not (folder / NAME).exists():
        print(f"venuescope: nothing has been recorded in {folder} yet", file=sys.stderr)
        return 0
    return _verify(folder) if action == "verify" else _compact(folder)


def _verify(folder: Path) -> int:
    with catalog.reading(folder) as connection:
        said = str(connection.pragma("quick_check", 1))
        files = [file for file in catalog.all_files(connection) if file.state != "deleting"]
    damaged = [] if said == "ok" else [(NAME, said.splitlines()[-1])]
    damaged += _damaged(folder / FOLDER, files)
    kept = catalog.snapshot(folder)
    _, blocks = kept.decoded()
    damaged += [(f"{NAME}, block {first_seq}", reason) for first_seq, reason in blocks]
    for name, reason in damaged:
        print(f"{name}: {reason}")
    there = f"{len(files):,} files of the archive and {len(kept.blocks):,} blocks of the journal"
    if damaged:
        print(f"{there}: {len(damaged):,} damaged")
        return 1
    print(f"{there}: all as they were written")
    return 0


def _damaged(root: Path, files: list[FileRow]) -> Iterator[tuple[str, str]]:
    """(path, reason) of each file whose bytes are not those that were written."""
    from engine.storage.archive import digest_of, examine  # pyarrow: only where files are looked at

    for file in files:
        path = root / file.path
        if not path.exists():
            yield file.path, "it is gone"
            continue
        try:
            rows = examine(path).rows
            if rows != file.rows or digest_of(path) != file.sha256:
                yield file.path, "it is another file than was written"
        except BlockDamaged as error:
            yield file.path, error.reason
        except OSError as error:
            yield file.path, f"it cannot be read: {error.strerror}"


def _compact(folder: Path) -> int:
    from engine.storage.archiver import Archiver

    journal = Journal.open(folder)
    try:
        asyncio.run(Archiver(folder, journal).compact_now())
    finally:
        journal.close()
    with catalog.reading(folder) as connection:
        totals = catalog.totals(connection)
    print(
        f"{totals.files:,} files of the archive have {totals.file_rows:,} rows, the journal {totals.block_rows:,}"
    )
    return 0
