"""A store on the disk for tests, made without its journal's thread: blocks put in, blocks turned into files."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import apsw
import numpy as np

from engine.storage import archive, arrow, schema
from engine.storage.records import Block, encode, joined, selected


class Kept:
    """The one writer of a store's folder."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.connection = apsw.Connection(str(folder / schema.NAME))
        self.connection.pragma("journal_mode", "wal")
        self.connection.pragma("synchronous", "off")
        schema.migrate(self.connection, str(folder))

    def put(self, *blocks: Block) -> None:
        """In the journal, in one transaction."""
        with self.connection:
            for block in blocks:
                stream = schema.stream_id(self.connection, block.stream)
                self.connection.execute(
                    "INSERT INTO blocks VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                    (
                        *(block.first_seq, block.last_seq, str(block.kind), stream, len(block.rows)),
                        *(*block.times_ns, encode(block.rows, block.heap)),
                    ),
                )
            highest = max(block.last_seq for block in blocks) + 1
            before = schema.value(self.connection, "next_seq", 1)
            schema.put_value(self.connection, "next_seq", max(highest, before))

    def archive(self, blocks: Sequence[Block]) -> list[Path]:
        """Blocks of one kind and stream that are in the journal are files now, one for each date."""
        paths, change = archived(self.folder, blocks)
        with self.connection:
            change(self.connection)
        return paths

    def forget(self, path: Path) -> None:
        """The file is in the manifest no more; it lies there still."""
        name = path.relative_to(self.folder / archive.FOLDER).as_posix()
        with self.connection:
            self.connection.execute("DELETE FROM files WHERE path = ?", (name,))

    def close(self) -> None:
        """The writer ends."""
        self.connection.close()


def archived(folder: Path, blocks: Sequence[Block]) -> tuple[list[Path], Callable[[apsw.Connection], None]]:
    """(files of these blocks, which are of one kind and stream; what has them take the blocks' place)."""
    whole = joined(list(blocks))
    days = archive.dates_of(whole.kind, whole.rows)
    files = []
    for day in np.unique(days).tolist():
        part = selected(whole, days == day)
        table, date = arrow.to_table(part), archive.date_text(day)
        files.append(archive.write_file(folder / archive.FOLDER, part.kind, part.stream, date, table))

    def change(connection: apsw.Connection) -> None:
        stream = schema.stream_id(connection, whole.stream)
        rows = [
            schema.FileRow(
                *(file.path, whole.kind, stream, whole.stream, file.date, file.first_seq, file.last_seq),
                *(file.rows, file.size_bytes, file.first_ns, file.last_ns, file.sha256, 0),
            )
            for file in files
        ]
        schema.add_files_and_drop_blocks(connection, rows, [block.first_seq for block in blocks])

    return [folder / archive.FOLDER / file.path for file in files], change
