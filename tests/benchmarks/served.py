"""The real application in a process of its own, for the benchmarks that open it in a browser."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
START_TIMEOUT_S = 60.0
# Of all but the dashboard: several applications may run beside each other.
FREE_PORTS = {"VENUESCOPE_EXCHANGE_PORT": "0", "VENUESCOPE_ORDER_PORT": "0", "VENUESCOPE_API_PORT": "0"}


def free_port() -> int:
    """A port that was free a moment ago, and that the system gives to nobody who calls from any port.

    Below the range of such ports (32,768 up on Linux): of those, a client that knocks until a server listens
    may be given the very port it knocks at, is then connected to itself, and the server finds it taken.
    """
    for port in random.SystemRandom().sample(range(12_000, 32_000), 100):
        with socket.socket() as sock, contextlib.suppress(OSError):
            sock.bind(("127.0.0.1", port))
            return port
    raise SystemExit("no free port among a hundred")


def answers(port: int) -> bool:
    """Whether something listens there."""
    with socket.socket() as sock:
        sock.settimeout(0.2)
        return sock.connect_ex(("127.0.0.1", port)) == 0


@contextlib.contextmanager
def served(command: Sequence[str], port: int, **environment: str) -> Iterator[subprocess.Popen[str]]:
    """Run `python command...`, wait until `port` answers; ended by SIGTERM, which must give exit code 0."""
    # python caches its own bytecode as a user's would: a benchmark of the start must not differ there
    env = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    env |= FREE_PORTS | environment
    process = subprocess.Popen(
        [sys.executable, *command],
        cwd=ROOT,
        env=env,
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
    )
    try:
        until = time.monotonic() + START_TIMEOUT_S
        while not answers(port):
            if process.poll() is not None or time.monotonic() > until:
                said = process.stderr.read() if process.poll() is not None and process.stderr else ""
                raise SystemExit(f"the application did not start: {said[-2000:]}")
            time.sleep(0.02)
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        code = process.wait(10)
        if code != 0:
            raise SystemExit(f"the application ended with exit code {code}")
