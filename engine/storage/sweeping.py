"""What lies in the archive's folder and is not as the manifest has it: leftovers go, all else is told and kept.

A leftover is a draft, or a whole file of ours whose rows are all elsewhere: in blocks of the journal, or in other files
of the manifest. Each row is compared before such a file goes.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final, cast

import apsw

from engine.durable_files import DRAFT
from engine.errors import BlockDamaged
from engine.storage import catalog
from engine.storage.archive import FileInfo, digest_of, examine, is_ours, read_file
from engine.storage.arrow import from_table
from engine.storage.compaction import in_order, tables_of_block
from engine.storage.dates import day_of
from engine.storage.schema import FileRow, body_of
from engine.storage.steps import FOLDER, Spoilt, Told

if TYPE_CHECKING:
    import pyarrow as pa

TOLD_MAX: Final = 1_000
_NOT_OURS: Final = frozenset(("lock",))  # the folder's own, where a folder cannot be locked by itself


def sweep(folder: Path, tell: Callable[[Told], None], stopped: Callable[[], bool]) -> None:
    """Take leftovers away; tell which files are missing, foreign or damaged, and which damaged ones are whole again.

    Nobody else may write to the archive meanwhile. Files the manifest has are looked for, and read only if they
    were damaged when last seen.
    """
    root = folder / FOLDER
    with catalog.reading(folder) as connection:
        rows = {row.path: row for row in catalog.all_files(connection)}
    told = 0
    lying = set()
    for path in _files(root):
        if stopped():
            return
        name = path.relative_to(root).as_posix()
        lying.add(name)
        if name not in rows and name not in _NOT_OURS:
            reason = _stranger(folder, path)
            if reason and told < TOLD_MAX:
                told += 1
                tell(Told(spoilt=Spoilt(name, reason)))
    for name, row in rows.items():
        if stopped():
            return
        if row.state == "here" and name not in lying:
            tell(Told(spoilt=Spoilt(name, "it is gone", file=row.id)))
        elif row.state == "damaged" and name in lying and _is_whole(root / name, row):
            tell(Told(spoilt=Spoilt(name, "", file=row.id, mended=True)))


def verify(folder: Path) -> Iterator[tuple[FileRow, str]]:
    """Each file of the manifest, by time, and what is wrong with it: "" where every bit is as it was written.

    Cost: reads all of them, some 500 MB/s.
    """
    with catalog.reading(folder) as connection:
        rows = catalog.files_between(connection, from_ns=-catalog.MAX_NS)
    for row in rows:
        path = folder / FOLDER / row.path
        try:
            rows_there = examine(path).rows
            if digest_of(path) != row.sha256 or rows_there != row.rows:
                yield row, "it is not the file that was written in its place"
                continue
        except BlockDamaged as error:
            yield row, error.reason
        except OSError as error:
            yield row, error.strerror or str(error)
        else:
            yield row, ""


def _files(root: Path) -> Iterator[Path]:
    """All that is no folder, below the root; links are not followed."""
    for place, _, names in os.walk(root):
        for name in names:
            yield Path(place) / name


def _stranger(folder: Path, path: Path) -> str:
    """Why a file that the manifest does not have stays; "" when it was a leftover, and is gone."""
    if path.is_symlink() or not path.is_file():
        return "it is no file of the archive"
    if not is_ours(path):
        return "it is not named as the archive's files are"
    try:
        if not path.name.endswith(DRAFT) and not _is_elsewhere(folder, path):
            return "the journal does not know it, and has not all of its rows"
        path.unlink(missing_ok=True)
    except BlockDamaged as error:
        return f"the journal does not know it; {error.reason}"
    except OSError as error:
        return f"it cannot be deleted: {error.strerror}"
    return ""


def _is_elsewhere(folder: Path, path: Path) -> bool:
    """Whether each row of the file is in the journal or in a file of the manifest."""
    info = examine(path)
    ours = read_file(path)
    tables: list[pa.Table] = []
    with catalog.reading(folder) as connection:
        known = catalog.streams(connection)
        body = body_of(info.stream)
        stream_id = next((number for number, stream in known.items() if body_of(stream) == body), None)
        if stream_id is None:
            return False
        tables = _of_blocks(connection, info, stream_id)
        others = catalog.files_between(
            connection, info.kind, info.stream.venue, info.stream.symbol, info.first_ns, info.last_ns + 1
        )
    for other in others:
        same = (other.state, other.stream_id, other.date) == ("here", stream_id, info.date)
        if same and other.first_seq <= info.last_seq and other.last_seq >= info.first_seq:
            tables.append(read_file(folder / FOLDER / other.path))
    return bool(tables) and _same(info, ours, in_order(tables))


def _of_blocks(connection: apsw.Connection, info: FileInfo, stream_id: int) -> list[pa.Table]:
    found = connection.execute(
        "SELECT first_seq FROM blocks WHERE stream = ? AND kind = ? AND first_seq <= ? AND last_seq >= ?"
        " ORDER BY first_seq",
        (stream_id, str(info.kind), info.last_seq, info.first_seq),
    ).fetchall()
    day = day_of(info.date)
    tables = []
    for (first_seq,) in cast("list[tuple[int]]", found):
        with contextlib.suppress(BlockDamaged):
            parts = tables_of_block(connection, info.kind, stream_id, info.stream, first_seq)
            if day in parts:
                tables.append(parts[day])
    return tables


def _same(info: FileInfo, ours: pa.Table, others: pa.Table) -> bool:
    """Whether the rows of both are the same, to the bit, as far as `info` reaches."""
    import pyarrow.compute as pc

    sequences = others["seq"]
    inside = others.filter(
        pc.and_(pc.greater_equal(sequences, info.first_seq), pc.less_equal(sequences, info.last_seq))
    )
    if len(inside) != len(ours):
        return False
    (rows, heap), (other_rows, other_heap) = from_table(info.kind, ours), from_table(info.kind, inside)
    return rows.tobytes() == other_rows.tobytes() and heap == other_heap


def _is_whole(path: Path, row: FileRow) -> bool:
    with contextlib.suppress(BlockDamaged, OSError):
        return digest_of(path) == row.sha256 and examine(path).rows == row.rows
    return False
