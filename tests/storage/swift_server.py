"""OpenStack Swift with its S3 face on one node of this machine: a real server that nobody here wrote.

Its environment lies below `.venuescope/` under a name made of its requirements and is built once with uv. It needs
memcached, as a Debian package. Everything listens on free ports of 127.0.0.1 and keeps its data in a folder that is
given; everything is ended by `stop`.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from tempfile import gettempdir
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[2]
REQUIREMENTS: Final = ("swift==2.38.3", "setuptools<81")
INSTALLED_WITHIN_S: Final = 150.0
UP_WITHIN_S: Final = 30.0
KEY, SECRET = "test:tester", "testing-secret"
BUCKET: Final = "records"
STORAGE: Final = ("account", "container", "object")

_SWIFT: Final = """
[swift-hash]
swift_hash_path_suffix = only-for-tests
[storage-policy:0]
name = one
default = yes
"""
_STORAGE: Final = """
[DEFAULT]
bind_ip = 127.0.0.1
bind_port = {port}
swift_dir = {folder}
devices = {folder}/node
mount_check = false
disable_fallocate = true
workers = 0
log_level = ERROR
[pipeline:main]
pipeline = {kind}-server
[app:{kind}-server]
use = egg:swift#{kind}
"""
_PROXY: Final = """
[DEFAULT]
bind_ip = 127.0.0.1
bind_port = {port}
swift_dir = {folder}
workers = 0
log_level = ERROR
[pipeline:main]
pipeline = catch_errors gatekeeper proxy-logging cache listing_formats s3api tempauth bulk slo proxy-server
[app:proxy-server]
use = egg:swift#proxy
account_autocreate = true
[filter:tempauth]
use = egg:swift#tempauth
user_test_tester = {secret} .admin
[filter:s3api]
use = egg:swift#s3api
location = us-east-1
[filter:cache]
use = egg:swift#memcache
memcache_servers = 127.0.0.1:{memcached}
[filter:catch_errors]
use = egg:swift#catch_errors
[filter:gatekeeper]
use = egg:swift#gatekeeper
[filter:proxy-logging]
use = egg:swift#proxy_logging
[filter:listing_formats]
use = egg:swift#listing_formats
[filter:bulk]
use = egg:swift#bulk
[filter:slo]
use = egg:swift#slo
"""


def environment() -> Path:
    """The folder of its programs; built first if it is not there. RuntimeError with a sentence when it cannot be."""
    mark = hashlib.sha256(" ".join((*REQUIREMENTS, sys.version)).encode()).hexdigest()[:12]
    home = ROOT / ".venuescope" / f"swift-{mark}"
    programs = home / "bin"
    if (home / "complete").exists():
        return programs
    if os.name == "nt":
        raise RuntimeError("Swift does not run on Windows")
    uv = shutil.which("uv")
    if uv is None:
        raise RuntimeError("Swift's environment is built with uv, which is not there")
    home.parent.mkdir(exist_ok=True)
    for command in (
        [uv, "venv", "--quiet", "--clear", "--python", sys.executable, str(home)],
        [uv, "pip", "install", "--quiet", "--python", str(programs / "python"), *REQUIREMENTS],
    ):
        # Elsewhere, since in this project uv would hold Swift to the application's versions.
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=INSTALLED_WITHIN_S, check=False, cwd=gettempdir()
        )
        if done.returncode:
            raise RuntimeError(f"Swift's environment cannot be built: {done.stderr[-1_000:]}")
    (home / "complete").touch()
    return programs


class SwiftServer:
    """One node. RuntimeError with a sentence where it cannot run."""

    def __init__(self, folder: Path) -> None:
        if shutil.which("memcached") is None:
            raise RuntimeError("Swift needs memcached: install the package memcached")
        self._programs, self._folder = environment(), folder
        self._ports = dict(zip((*STORAGE, "proxy", "memcached"), _free_ports(5), strict=True))
        self._processes: list[subprocess.Popen[bytes]] = []
        self.endpoint = f"127.0.0.1:{self._ports['proxy']}"
        (folder / "node" / "sda1").mkdir(parents=True)
        try:
            os.setxattr(folder, "user.swift", b"x")
        except OSError:
            raise RuntimeError(
                f"Swift needs a file system with extended attributes, which {folder} has not"
            ) from None
        (folder / "swift.conf").write_text(_SWIFT)
        for kind in STORAGE:
            self._configure(kind, _STORAGE)
            self._make_ring(kind)
        self._configure("proxy", _PROXY)

    @property
    def uri(self) -> str:
        """The bucket, for pyarrow."""
        return f"s3://{BUCKET}/archive?scheme=http&region=us-east-1&endpoint_override={self.endpoint}"

    def start(self) -> None:
        """It answers now."""
        memcached = [
            "memcached",
            "-l",
            "127.0.0.1",
            "-U",
            "0",
            "-p",
            str(self._ports["memcached"]),
            "-m",
            "16",
        ]
        if os.geteuid() == 0:
            memcached += ["-u", "root"]
        self._run(memcached)
        for kind in (*STORAGE, "proxy"):
            program = self._programs / f"swift-{kind}-server"
            self._run([str(program), str(self._folder / f"{kind}.conf")])
        until = time.monotonic() + UP_WITHIN_S
        while not self._answers():
            ended = [process.args for process in self._processes if process.poll() is not None]
            if ended or time.monotonic() > until:
                said = (self._folder / "said").read_text(errors="replace")[-2_000:]
                self.stop()
                raise RuntimeError(f"Swift does not start ({ended}): {said}")
            time.sleep(0.1)

    def stop(self) -> None:
        """Nothing of it runs any more; its data stays."""
        processes, self._processes = self._processes, []
        for process in processes:
            process.kill()
        for process in processes:
            process.wait()

    def make_bucket(self) -> None:
        """The bucket exists."""
        from pyarrow.fs import S3FileSystem

        system = S3FileSystem(
            access_key=KEY, secret_key=SECRET, region="us-east-1", scheme="http",
            endpoint_override=self.endpoint, allow_bucket_creation=True,
        )  # fmt: skip
        system.create_dir(BUCKET)

    def _answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://{self.endpoint}/info", timeout=2):
                return True
        except urllib.error.HTTPError as error:
            return error.code < 500
        except OSError:
            return False

    def _configure(self, kind: str, text: str) -> None:
        filled = text.format(
            kind=kind,
            port=self._ports[kind],
            folder=self._folder,
            secret=SECRET,
            memcached=self._ports["memcached"],
        )
        (self._folder / f"{kind}.conf").write_text(filled)

    def _make_ring(self, kind: str) -> None:
        builder = str(self._folder / f"{kind}.builder")
        device = f"r1z1-127.0.0.1:{self._ports[kind]}/sda1"
        for arguments in (("create", "4", "1", "1"), ("add", device, "1"), ("rebalance",)):
            command = [str(self._programs / "swift-ring-builder"), builder, *arguments]
            done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
            if done.returncode > 1:  # 1 is a warning
                raise RuntimeError(f"Swift's ring cannot be built: {done.stdout}{done.stderr}")

    def _run(self, command: list[str]) -> None:
        with (self._folder / "said").open("ab") as said:
            self._processes.append(
                subprocess.Popen(
                    command, stdin=subprocess.DEVNULL, stdout=said, stderr=said, cwd=self._folder
                )
            )


def _free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    try:
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()
