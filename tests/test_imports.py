"""The design's import directions, and that importing starts nothing."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("engine", "feeds", "dashboards")
MAY_IMPORT = {"engine": {"engine"}, "feeds": {"feeds", "engine"}, "dashboards": {"dashboards", "engine"}}
EDGES = {
    "asyncio", "socket", "threading", "subprocess", "aiohttp", "websockets", "dash", "flask", "hypercorn",
    "structlog", "pydantic_settings", "psutil",
}  # fmt: skip
PURE = ("engine/market", "engine/matching", "engine/flow", "engine/telemetry")


def modules(package: str) -> list[Path]:
    return sorted((ROOT / package).rglob("*.py"))


def imported(path: Path) -> set[str]:
    """Top-level and nested imports of a file, as dotted names."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            names.add(node.module or "")
    return names


@pytest.mark.parametrize("package", PACKAGES)
def test_packages_import_only_in_the_designs_directions(package: str) -> None:
    own = {*PACKAGES, "app", "tests"}
    wrong = [
        f"{path.relative_to(ROOT)} imports {name}"
        for path in modules(package)
        for name in imported(path)
        if (top := name.split(".")[0]) in own and top not in MAY_IMPORT[package]
    ]
    assert wrong == []


@pytest.mark.parametrize("folder", PURE)
def test_pure_packages_import_no_edge(folder: str) -> None:
    wrong = [
        f"{path.relative_to(ROOT)} imports {name}"
        for path in modules(folder)
        for name in imported(path)
        if name.split(".")[0] in EDGES
    ]
    assert wrong == []


WATCH = """
import os
import sys
opened = []
def mine(path):  # Numba tries, with a file that it removes, whether its cache can be written
    return str(path).startswith(os.environ["NUMBA_CACHE_DIR"])
def watch(event, args):
    if event in ("socket.connect", "socket.bind", "subprocess.Popen", "os.posix_spawn", "os.fork"):
        opened.append((event, str(args)[:200]))
    if event == "open" and isinstance(args[1], str) and set(args[1]) & set("wax+") and not mine(args[0]):
        opened.append((event, str(args)[:200]))
import threading
started = []
begin = threading.Thread.start
threading.Thread.start = lambda self: (started.append(self.name), begin(self))
sys.dont_write_bytecode = True
sys.addaudithook(watch)
import importlib
for name in sys.argv[1:]:
    importlib.import_module(name)
import asyncio
assert not opened, opened
assert not started, started
assert threading.active_count() == 1, threading.enumerate()
print("quiet")
"""


def test_importing_anything_starts_no_thread_socket_or_written_file() -> None:
    names = ["app"] + [
        ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        for package in PACKAGES
        for path in modules(package)
    ]
    # Numba and the system's own libraries may probe the machine as they load: they are not this project's.
    first = [
        "numba",
        "dash",
        "plotly",
        "psutil",
        "hypercorn.asyncio",
        "structlog",
        "uvloop",
        "pydantic_settings",
    ]
    code = "import " + ", ".join(first) + "\n" + WATCH
    done = subprocess.run(
        [sys.executable, "-c", code, *names],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.stdout.strip() == "quiet", done.stderr[-2000:]
