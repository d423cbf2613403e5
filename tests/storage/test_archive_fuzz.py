"""Whatever happens to an archive file's bytes: it gives exactly its rows, or BlockDamaged; never others, no crash."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from engine.errors import BlockDamaged
from engine.storage import archive
from engine.storage.arrow import to_table
from engine.storage.names import RecordKind
from tests.storage.drawn import drawn_block

DATE = "2025-11-20"
KINDS = (RecordKind.TRADES, RecordKind.SNAPSHOTS, RecordKind.RAW)


def _spoil(data: bytes, random: np.random.Generator) -> bytes:
    """The bytes with flipped bits, cut off, with a hole, with others in the middle, or twice."""
    spoilt = bytearray(data)
    at = int(random.integers(len(data)))
    match int(random.integers(6)):
        case 0:
            return data[:at]
        case 1:
            return data[at:]
        case 2:
            length = int(random.integers(1, 600))
            spoilt[at : at + length] = bytes(len(spoilt[at : at + length]))
        case 3:
            spoilt[at:at] = random.bytes(int(random.integers(1, 40)))
        case 4:
            return data + data[at:]
        case _:
            for place in random.integers(0, len(data), int(random.integers(1, 4))):
                spoilt[place] ^= 1 << int(random.integers(8))
    return bytes(spoilt)


def _rounds(folder: Path, kind: RecordKind, rounds: int) -> None:
    table = to_table(drawn_block(kind, 200))
    block = drawn_block(kind, 200)
    path = folder / archive.write_file(folder, kind, block.stream, DATE, table).path
    data = path.read_bytes()
    random = np.random.default_rng(7)
    refused = 0
    for _ in range(rounds):
        spoilt = _spoil(data, random)
        path.write_bytes(spoilt)
        archive._known.clear()
        try:
            found = archive.read_file(path)
        except BlockDamaged:
            refused += 1
            assert spoilt != data
        else:
            assert found.equals(table)
            assert spoilt == data
    assert refused >= rounds * 0.9


@pytest.mark.parametrize("kind", KINDS)
def test_a_spoilt_file_gives_its_rows_or_nothing(tmp_path: Path, kind: RecordKind) -> None:
    _rounds(tmp_path, kind, 300)


def test_each_single_flipped_bit_of_headers_seal_and_footer_is_seen(tmp_path: Path) -> None:
    block = drawn_block(RecordKind.FUNDING, 3)
    path = tmp_path / archive.write_file(tmp_path, block.kind, block.stream, DATE, to_table(block)).path
    data = path.read_bytes()
    for bit in range(0, 8 * len(data), 7):  # each byte, its bits in turn
        spoilt = bytearray(data)
        spoilt[bit // 8] ^= 1 << bit % 8
        path.write_bytes(spoilt)
        archive._known.clear()
        with pytest.raises(BlockDamaged):
            archive.examine(path)


@pytest.mark.nightly
@pytest.mark.parametrize("kind", RecordKind)
def test_many_spoilt_files_give_their_rows_or_nothing(tmp_path: Path, kind: RecordKind) -> None:
    _rounds(tmp_path, kind, 5_000)
