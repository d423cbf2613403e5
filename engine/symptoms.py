"""What the doctor looks at: ports, folders, files, versions, limits of this machine. Facts only; nothing is changed."""

from __future__ import annotations

import errno
import os
import platform
import shutil
import socket
import ssl
import stat
import sys
import tempfile
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final, Literal

import apsw
import psutil

PortState = Literal["free", "ours", "taken", "forbidden", "elsewhere", "off"]
REMOTE: Final = frozenset(
    {"nfs", "nfs4", "cifs", "smbfs", "smb3", "sshfs", "fuse.sshfs", "9p", "afs", "webdav"}
)
CGROUP_MEMORY: Final = (
    Path("/sys/fs/cgroup/memory.max"),
    Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"),
)
PROJECT: Final = Path(__file__).resolve().parents[1]


@dataclass(frozen=True, slots=True)
class Port:
    """One address the program wants."""

    name: str  # what it is for
    setting: str
    number: int
    state: PortState
    holder: str = ""  # process that listens there, if it can be told


@dataclass(frozen=True, slots=True)
class Folder:
    """One folder the program writes to. It may not be there yet: then of the folder it would be made in."""

    setting: str
    path: Path
    exists: bool
    trouble: str  # why it cannot be written; "" = it can
    free_bytes: int
    remote: str = ""  # kind of file system, where it is another machine's


@dataclass(frozen=True, slots=True)
class KeyFile:
    """One file that is for its owner's eyes alone."""

    path: Path
    mode: int
    own: bool  # whether it belongs to who runs this


@dataclass(frozen=True, slots=True)
class Machine:
    """What the process has to itself."""

    cores: int
    memory_bytes: int  # that may still be used
    files_soft: int  # file descriptors; 0 = the system does not say
    files_hard: int


@dataclass(frozen=True, slots=True)
class Versions:
    """What runs."""

    python: tuple[int, int, int]
    sqlite: str
    wanted: Mapping[str, str]  # package -> version as pinned
    found: Mapping[str, str]  # those that are installed


def port(name: str, setting: str, host: str, number: int) -> Port:
    """Whether the program could bind there; who is there if not."""
    if number == 0:
        return Port(name, setting, number, "free")
    address = "127.0.0.1" if host == "localhost" else host
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as sock:
        if os.name == "posix":
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            sock.bind((address, number))
            sock.listen(1)
        except OSError as error:
            if error.errno == errno.EACCES:
                return Port(name, setting, number, "forbidden")
            if error.errno == errno.EADDRNOTAVAIL:
                return Port(name, setting, number, "elsewhere", address)
            state, holder = _holder(number)
            return Port(name, setting, number, state, holder)
    return Port(name, setting, number, "free")


def _holder(number: int) -> tuple[PortState, str]:
    """Who listens on a port of this machine, and whether it is a Venuescope."""
    try:
        found = next(
            (
                each.pid
                for each in psutil.net_connections("tcp")
                if each.status == psutil.CONN_LISTEN and each.laddr and each.laddr.port == number
            ),
            None,
        )
        if found is None:
            return "taken", ""
        process = psutil.Process(found)
        command = process.cmdline()
        ours = any(Path(part).name == "app.py" for part in command) and _is_ours(process)
        name = Path(command[0]).name if command else process.name()
        shown = " ".join([name, *command[1:]])[:80]
    except (psutil.Error, OSError):
        return "taken", ""
    return ("ours", f"process {found}") if ours else ("taken", f"process {found}: {shown}")


def _is_ours(process: psutil.Process) -> bool:
    """Whether an `app.py` is this project's; of a folder that cannot be read it is taken to be."""
    try:
        folder = Path(process.cwd())
    except psutil.Error:
        return True
    return any(
        (folder / part).resolve() == PROJECT / "app.py" or (folder / part).with_name("feeds").is_dir()
        for part in process.cmdline()
        if Path(part).name == "app.py"
    )


def folder(setting: str, path: Path) -> Folder:
    """The folder as it is. What is tried in it is removed again; one that is not there is not made."""
    nearest = path.absolute()
    while not nearest.exists() and nearest != nearest.parent:
        nearest = nearest.parent
    exists = nearest == path.absolute()
    try:
        free = shutil.disk_usage(nearest).free
        trouble = _written(nearest) if exists else _makeable(nearest)
    except OSError as error:
        free, trouble = 0, error.strerror or str(error)
    return Folder(setting, path, exists, trouble, free, _remote(nearest))


def _written(path: Path) -> str:
    if not path.is_dir():
        return "it is a file, not a folder"
    with tempfile.NamedTemporaryFile(prefix=".doctor-", dir=path) as file:
        file.write(b"x" * 4096)
        file.flush()
        os.fsync(file.fileno())
    return ""


def _makeable(nearest: Path) -> str:
    if not nearest.is_dir():
        return f"{nearest} is a file, not a folder"
    return "" if os.access(nearest, os.W_OK | os.X_OK) else f"it cannot be made in {nearest}"


def _remote(path: Path) -> str:
    """The kind of file system, if another machine's; "" where it is ours or cannot be told."""
    try:
        mounts = psutil.disk_partitions(all=True)
    except OSError:
        return ""
    over = [each for each in mounts if path.is_relative_to(each.mountpoint)]
    kind = max(over, key=lambda each: len(each.mountpoint)).fstype if over else ""
    return str(kind) if kind in REMOTE else ""


def key_files(paths: Sequence[Path]) -> list[KeyFile]:
    """Those of the files that are there."""
    found = []
    for path in paths:
        try:
            seen = path.stat()
        except OSError:
            continue
        own = not hasattr(os, "getuid") or seen.st_uid == os.getuid()
        found.append(KeyFile(path, stat.S_IMODE(seen.st_mode), own))
    return found


def tls_trouble(cert: Path, key: Path) -> str:
    """Why a certificate and its key cannot be used; "" = they can."""
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(cert, key, password=lambda: "")
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
        return str(error)
    return ""


def versions(project: Path = PROJECT / "pyproject.toml") -> Versions:
    """Python, SQLite, and the packages that the project pins."""
    wanted = {}
    declared = tomllib.loads(project.read_text(encoding="utf-8"))["project"]["dependencies"]
    for line in declared:
        name, _, rest = line.partition("==")
        number, _, marker = rest.partition(";")
        if "win32" in marker and os.name == "nt":
            continue
        wanted[name.strip()] = number.strip()
    found = {}
    for name in wanted:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    major, minor, micro = sys.version_info[:3]
    return Versions((major, minor, micro), apsw.sqlite_lib_version(), wanted, found)


def machine() -> Machine:
    """Cores, memory and file descriptors that this process may use."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    memory = int(psutil.virtual_memory().available)
    for path in CGROUP_MEMORY:
        try:
            memory = min(memory, int(path.read_text()))  # "max" is no number: there is no bound
        except (OSError, ValueError):
            continue
    soft = hard = 0
    if platform.system() != "Windows":
        import resource

        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        most = 2**62
        soft, hard = (most if soft < 0 else soft), (most if hard < 0 else hard)
    return Machine(cores, memory, soft, hard)
