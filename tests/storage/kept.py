"""A store on the disk for tests, made without its journal's thread: blocks put in, blocks turned into files."""

from __future__ import annotations

from collections.abc import Sequence
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
        whole = joined(list(blocks))
        days = archive.dates_of(whole.kind, whole.rows)
        rows, paths = [], []
        for day in np.unique(days).tolist():
            part = selected(whole, days == day)
            written = archive.write_file(
                self.folder / archive.FOLDER,
                part.kind,
                part.stream,
                archive.date_text(day),
                arrow.to_table(part),
            )
            stream = schema.stream_id(self.connection, part.stream)
            rows.append(
                schema.FileRow(
                    *(written.path, part.kind, stream, part.stream, written.date, written.first_seq),
                    *(written.last_seq, written.rows, written.size_bytes, written.first_ns, written.last_ns),
                    *(written.sha256, 0),
                )
            )
            paths.append(self.folder / archive.FOLDER / written.path)
        with self.connection:
            schema.add_files_and_drop_blocks(self.connection, rows, [block.first_seq for block in blocks])
        return paths

    def forget(self, path: Path) -> None:
        """The file is in the manifest no more; it lies there still."""
        name = path.relative_to(self.folder / archive.FOLDER).as_posix()
        with self.connection:
            self.connection.execute("DELETE FROM files WHERE path = ?", (name,))

    def close(self) -> None:
        """The writer ends."""
        self.connection.close()
