"""The arithmetic is pure: only the gate awaits, only the store touches a disk, and nothing reads a clock by itself."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

FOLDER = Path(__file__).resolve().parents[2] / "engine" / "limits"
ALLOWED = {"gate.py": {"asyncio", "time"}, "desk.py": {"time"}, "store.py": {"sqlite3", "diskcache"}}
EDGES = {
    "asyncio",
    "time",
    "datetime",
    "socket",
    "threading",
    "sqlite3",
    "diskcache",
    "aiohttp",
    "random",
    "numba",
}


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.py")), ids=lambda path: path.name)
def test_a_module_imports_no_edge_that_is_not_its_own(path: Path) -> None:
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add((node.module or "").split(".")[0])
    assert found & EDGES <= ALLOWED.get(path.name, set())
