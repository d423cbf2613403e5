"""The compile cache: named by everything compiled code depends on, filled by a child, never stale."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import pytest

from engine import kernels
from engine.errors import KernelError

HELPER = """
from numba import njit

@njit(nogil=True, cache=True)
def step(x):
    return x + {amount}
"""
KERNEL = """
from numba import njit
from sample_kernels.helper import step

@njit(nogil=True, cache=True)
def twice(x):
    return step(step(x))

def warm_up():
    twice(1)
"""
MODULES = ("sample_kernels.kernel",)
# What a program does at start, in a process of its own: numba reads its directory once.
PROGRAM = """
import asyncio, sys
from pathlib import Path
from engine import kernels
directory = kernels.activate(Path(sys.argv[1]), {modules!r})
if not kernels.is_warm(directory):
    print("compiling")
    asyncio.run(kernels.compile_in_children([{modules!r}], lambda p: print("ready", p.module, p.done, p.total)))
loaded = kernels.load({modules!r})
from sample_kernels.kernel import twice
print("compiled here", len(loaded.compiled), "answer", twice(0))
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory with the package `sample_kernels`, importable here and in children."""
    package = tmp_path / "code" / "sample_kernels"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "helper.py").write_text(HELPER.format(amount=1))
    (package / "kernel.py").write_text(KERNEL)
    monkeypatch.syspath_prepend(str(package.parent))
    monkeypatch.delitem(sys.modules, "sample_kernels", raising=False)
    return package


def program(project: Path, root: Path) -> str:
    paths = os.pathsep.join([str(project.parent), os.getcwd()])
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(modules=MODULES), str(root)],
        env=os.environ | {"PYTHONPATH": paths},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def entries(root: Path) -> set[tuple[str, int]]:
    return {(str(path), path.stat().st_mtime_ns) for path in root.rglob("*.nb*")}


def test_an_edited_helper_gives_the_new_answer_and_unchanged_sources_reuse_the_cache(
    project: Path, tmp_path: Path
) -> None:
    root = tmp_path / "cache"
    first = program(project, root)
    assert "ready sample_kernels.kernel 1 1" in first
    assert "compiled here 0 answer 2" in first
    before = entries(root)
    assert before

    again = program(project, root)
    assert "compiling" not in again
    assert "compiled here 0 answer 2" in again
    assert entries(root) == before

    (project / "helper.py").write_text(HELPER.format(amount=5))
    edited = program(project, root)
    assert "compiling" in edited
    assert "compiled here 0 answer 10" in edited


def test_a_second_child_over_a_filled_cache_writes_no_entries(project: Path, tmp_path: Path) -> None:
    root = tmp_path / "cache"
    program(project, root)
    before = entries(root)
    (marker,) = root.rglob("complete.json")
    marker.unlink()
    assert "compiling" in program(project, root)
    assert entries(root) == before


def test_the_name_changes_with_any_source_beside_the_kernels(project: Path) -> None:
    first = kernels.cache_name(MODULES)
    assert first == kernels.cache_name(MODULES)
    assert first.startswith("kernels-")
    (project / "helper.py").write_text(HELPER.format(amount=2))
    second = kernels.cache_name(MODULES)
    (project / "another.py").write_text("")
    assert len({first, second, kernels.cache_name(MODULES)}) == 3


def test_a_package_name_covers_everything_below_it(project: Path) -> None:
    (project / "deeper").mkdir()
    (project / "deeper" / "more.py").write_text("")
    names = [path.name for path in kernels.source_files(["sample_kernels"])]
    assert names == ["__init__.py", "more.py", "helper.py", "kernel.py"]


def test_a_missing_module_is_named() -> None:
    with pytest.raises(KernelError, match=r"kernel module no_such_package\.kernel cannot be found"):
        kernels.cache_name(["no_such_package.kernel"])


def test_a_failed_child_says_why(project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (project / "kernel.py").write_text("def warm_up():\n    raise RuntimeError('no such instruction')\n")
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))
    with pytest.raises(KernelError, match="compiling the kernels failed with exit code 1") as caught:
        asyncio.run(kernels.compile_in_children([MODULES]))
    assert "no such instruction" in str(caught.value)
    assert not kernels.is_warm(tmp_path)


def test_compiling_needs_an_activated_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NUMBA_CACHE_DIR", raising=False)
    with pytest.raises(KernelError, match="was not activated"):
        asyncio.run(kernels.compile_in_children([MODULES]))


def test_cancelling_kills_the_child(project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pid_file = tmp_path / "pid"
    (project / "kernel.py").write_text(
        "import os, pathlib, time\n\ndef warm_up():\n"
        f"    pathlib.Path({str(pid_file)!r}).write_text(str(os.getpid()))\n    time.sleep(60)\n"
    )
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))

    async def start_and_cancel() -> int:
        task = asyncio.create_task(kernels.compile_in_children([MODULES]))
        while not (pid_file.exists() and pid_file.read_text()):
            await asyncio.sleep(0.02)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return int(pid_file.read_text())

    pid = asyncio.run(asyncio.wait_for(start_and_cancel(), 30))
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_numba_imported_with_another_directory_is_refused(project: Path, tmp_path: Path) -> None:
    import numba  # noqa: F401

    with pytest.raises(KernelError, match="numba was imported before"):
        kernels.activate(tmp_path, MODULES)


def test_only_the_newest_three_caches_are_kept(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NUMBA_CACHE_DIR", "")
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    monkeypatch.delitem(sys.modules, "numba", raising=False)
    for age in range(5):
        old = tmp_path / f"kernels-{age}"
        old.mkdir()
        os.utime(old, (1_000 - age, 1_000 - age))
    (tmp_path / "other").mkdir()
    active = kernels.activate(tmp_path, MODULES)
    assert {path.name for path in tmp_path.glob("kernels-*")} == {active.name, "kernels-0", "kernels-1"}
    assert (tmp_path / "other").is_dir()


def test_bytecode_is_kept_in_the_cache_where_python_would_not_write_it(project: Path, tmp_path: Path) -> None:
    root = tmp_path / "cache"
    subprocess.run(
        [sys.executable, "-c", PROGRAM.format(modules=MODULES), str(root)],
        env=os.environ
        | {"PYTHONPATH": os.pathsep.join([str(project.parent), os.getcwd()]), "PYTHONDONTWRITEBYTECODE": "1"}
        | {"PYTHONPYCACHEPREFIX": ""},
        check=True,
        capture_output=True,
        timeout=120,
    )
    assert list((root / "bytecode").rglob("numba/__init__.*.pyc"))
    assert not list(project.rglob("*.pyc"))
