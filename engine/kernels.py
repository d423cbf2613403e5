"""The compile cache: kernels are compiled by child processes, and loaded here from the cache they filled.

Numba notices an edit in the file that holds a kernel, not one in a helper the kernel calls from another
module, and compiling holds the interpreter lock for seconds. So the cache directory's name hashes every
kernel source, where it lies, the versions and the CPU, and a directory counts as warm once children
have compiled everything and a marker lies there. A module with kernels has `warm_up() -> None`, which calls
each of them with tiny data for every signature in use.

The order at start: `activate` (before numba is imported), `compile_in_children` unless `is_warm`, then `load`.
Importing this module imports neither numba nor llvmlite.
"""

from __future__ import annotations

import asyncio
import hashlib
import importlib
import importlib.util
import json
import os
import platform
import shutil
import sys
import time
import traceback
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Final

from engine.errors import KernelError

KEPT_CACHES: Final = 3
_PREFIX: Final = "kernels-"
_MARKER: Final = "complete.json"
_BYTECODE: Final = "bytecode"
_LAST_LINES: Final = 12
_NICENESS: Final = 10
_LINE_LIMIT_BYTES: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class Progress:
    """One module is ready: the `done`-th of `total`, `seconds` after its own start."""

    module: str
    done: int
    total: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Loaded:
    """What `load` did. `compiled` names kernels that were not in the cache: 0 from a warm one."""

    seconds: dict[str, float]
    compiled: tuple[str, ...]

    @property
    def total_s(self) -> float:
        """Seconds for all modules together, numba's own import included."""
        return sum(self.seconds.values())


def source_files(modules: Sequence[str]) -> list[Path]:
    """Every .py file beside the given modules (for a package: below it), sorted, each once.

    Imports the parents of a dotted name but not the module. KernelError when a name cannot be found.
    """
    files: set[Path] = set()
    for name in modules:
        try:
            spec = importlib.util.find_spec(name)
        except ModuleNotFoundError:
            spec = None
        if spec is None or spec.origin is None:
            raise KernelError(f"kernel module {name} cannot be found")
        folder = Path(spec.origin).resolve().parent
        files.update(folder.rglob("*.py") if spec.submodule_search_locations else folder.glob("*.py"))
    return sorted(files)


def cache_name(modules: Sequence[str]) -> str:
    """The directory name for these modules as they are now, e.g. `kernels-5c0a...` (24 hex digits).

    Reads every source (well under 10 ms for this project). Two checkouts have two names: numba files its
    entries by the path of the source.
    """
    digest = hashlib.sha256()
    for path in source_files(modules):
        for part in (str(path).encode(), path.read_bytes()):
            digest.update(len(part).to_bytes(8, "little"))
            digest.update(part)
    digest.update(repr((sorted(modules), _environment())).encode())
    return _PREFIX + digest.hexdigest()[:24]


def _environment() -> tuple[str, ...]:
    """Whatever else compiled code depends on: versions and CPU."""
    import llvmlite.binding as llvm

    packages = tuple(version(name) for name in ("numba", "llvmlite", "numpy"))
    features = llvm.get_host_cpu_features().flatten()
    return (*packages, platform.python_version(), sys.platform, llvm.get_host_cpu_name(), features)


def activate(root: Path, modules: Sequence[str]) -> Path:
    """The cache directory for these modules, created, and from now on the one numba uses.

    Must run before numba is imported: KernelError if it was imported with another directory. Older
    directories under `root` beyond the newest three are deleted. Where Python is told not to write bytecode
    (as in most containers), it is kept under `root` from now on.
    """
    directory = root / cache_name(modules)
    numba = sys.modules.get("numba")
    if numba is not None and str(directory) != numba.config.CACHE_DIR:
        used = numba.config.CACHE_DIR or "none"
        raise KernelError(f"numba was imported before its cache directory was set (it uses {used!r})")
    directory.mkdir(parents=True, exist_ok=True)
    os.environ["NUMBA_CACHE_DIR"] = str(directory)
    os.utime(directory)
    _prune(root, directory)
    _keep_bytecode(root / _BYTECODE)
    return directory


def is_warm(directory: Path) -> bool:
    """Whether everything has been compiled into this directory."""
    return (directory / _MARKER).is_file()


def _prune(root: Path, active: Path) -> None:
    """Delete all but the newest caches. One another process deletes meanwhile is no error."""
    dated: list[tuple[float, Path]] = []
    for path in root.glob(_PREFIX + "*"):
        if path != active:
            try:
                dated.append((path.stat().st_mtime, path))
            except FileNotFoundError:
                continue
    for _, path in sorted(dated, reverse=True)[KEPT_CACHES - 1 :]:
        shutil.rmtree(path, ignore_errors=True)


def _keep_bytecode(directory: Path) -> None:
    """Numba's own modules are compiled too. Without bytecode that takes 0.6 s at each start instead of 0.1,
    in pieces of up to 50 ms in which no other thread runs. It does not go beside the sources."""
    if sys.dont_write_bytecode and sys.pycache_prefix is None:
        sys.dont_write_bytecode = False
        sys.pycache_prefix = str(directory)
    if sys.pycache_prefix == str(directory):
        os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # children do the same
        os.environ["PYTHONPYCACHEPREFIX"] = str(directory)


async def compile_in_children(
    groups: Sequence[Sequence[str]], on_progress: Callable[[Progress], None] | None = None
) -> None:
    """Compile these modules' kernels into the active cache, each group in a child process of low priority.

    A child imports its modules in their order and calls their `warm_up()`; `on_progress` is called on the loop
    after each. Children are killed when one fails or this task is cancelled. KernelError with the child's last
    lines when one fails, or when `activate` was not called.
    """
    directory = os.environ.get("NUMBA_CACHE_DIR")
    if not directory:
        raise KernelError("kernels cannot be compiled: the cache directory was not activated")
    reports: list[Progress] = []

    def note(module: str, seconds: float) -> None:
        reports.append(Progress(module, len(reports) + 1, sum(map(len, groups)), seconds))
        if on_progress is not None:
            on_progress(reports[-1])

    try:
        async with asyncio.TaskGroup() as children:
            for modules in groups:
                children.create_task(_compile_in_child(modules, note))
    except ExceptionGroup as failures:
        raise failures.exceptions[0] from None
    # Written whole or not at all: from now on the cache counts as warm.
    draft = Path(directory) / f"{_MARKER}.{os.getpid()}"
    draft.write_text(json.dumps({report.module: report.seconds for report in reports}), encoding="utf-8")
    os.replace(draft, Path(directory) / _MARKER)


async def _compile_in_child(modules: Sequence[str], note: Callable[[str, float], None]) -> None:
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(entry or os.getcwd() for entry in sys.path)}
    child = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "engine.kernels", "--compile", *modules),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env=environment,
        limit=_LINE_LIMIT_BYTES,
    )
    last: deque[str] = deque(maxlen=_LAST_LINES)
    try:
        assert child.stdout is not None
        async for line in child.stdout:
            text = line.decode(errors="replace").rstrip()
            report = _report(text)
            if report is None:
                last.append(text)
            else:
                note(*report)
        code = await child.wait()
    finally:
        if child.returncode is None:
            child.kill()
            await child.wait()
    if code != 0:
        raise KernelError(f"compiling the kernels failed with exit code {code}: " + "\n".join(last))


def _report(line: str) -> tuple[str, float] | None:
    """The module and seconds a child reports in this line, None if it is anything else."""
    if not line.startswith('{"module"'):
        return None
    try:
        told = json.loads(line)
        return str(told["module"]), float(told["seconds"])
    except (ValueError, TypeError, KeyError):
        return None


def load(modules: Sequence[str]) -> Loaded:
    """Import and warm these modules in this process. For a worker thread: takes some 0.3 s.

    From a warm cache nothing is compiled; what had to be, for whatever reason, is named in the result.
    """
    seconds: dict[str, float] = {}
    compiled: list[str] = []
    for name in modules:
        start = time.perf_counter()
        module = importlib.import_module(name)
        module.warm_up()
        seconds[name] = time.perf_counter() - start
        for attribute, value in vars(module).items():
            stats = getattr(value, "stats", None)
            if getattr(value, "__module__", None) == name and stats is not None and stats.cache_misses:
                compiled.append(f"{name}.{attribute}")
    return Loaded(seconds, tuple(compiled))


def _compile(modules: Sequence[str]) -> None:
    """The child's work: compile all, and report each."""
    if hasattr(os, "nice"):
        os.nice(_NICENESS)
    for name in modules:
        start = time.perf_counter()
        importlib.import_module(name).warm_up()
        report = {"module": name, "seconds": round(time.perf_counter() - start, 3)}
        print(json.dumps(report), flush=True)


if __name__ == "__main__":
    if len(sys.argv) < 3 or sys.argv[1] != "--compile":
        sys.exit("usage: python -m engine.kernels --compile MODULE...")
    try:
        _compile(sys.argv[2:])
    except Exception:  # noqa: BLE001  the child's outer edge: the parent reads these lines
        traceback.print_exc(file=sys.stdout)
        sys.exit(1)
