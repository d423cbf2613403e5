"""Every line of the dashboard's checklist names tests that exist, nightly ones as such."""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CHECKLIST = (ROOT / "dashboards" / "CHECKLIST.md").read_text(encoding="utf-8")
NAMED = re.compile(r"`(tests/[\w/]+\.py)::(test_\w+)`( \*\(n\)\*)?")


def found_in(path: str) -> dict[str, bool]:
    """Tests of a file; whether the whole of each is nightly."""
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    functions = [node for node in tree.body if isinstance(node, ast.FunctionDef)]
    return {
        one.name: any(ast.unparse(mark) == "pytest.mark.nightly" for mark in one.decorator_list)
        for one in functions
    }


def test_every_line_is_held_by_tests_that_exist() -> None:
    lines = [line for line in CHECKLIST.splitlines() if line.startswith("| ") and "held by" not in line]
    assert len(lines) == 22
    for line in lines:
        named = NAMED.findall(line)
        assert named, f"no test holds: {line}"
        for path, name, nightly in named:
            assert name in found_in(path), f"{path} has no {name}"
            assert found_in(path)[name] == bool(nightly), f"{name}: say whether it is nightly"
