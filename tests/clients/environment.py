"""The environment in which clients nobody here wrote are run, and how they are run: a process each.

It lies below `.venuescope/` under a name made of its requirements, and is built once with uv: by the first test that
needs it, or ahead with `python tests/clients/environment.py`.

    seen = run("ccxt_binance.py", url=exchange.url, key=key.api_key, secret=key.secret)

A script reads one JSON object from its standard input and ends by printing another.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from tempfile import gettempdir
from typing import Any, Final

HERE: Final = Path(__file__).resolve().parent
ROOT: Final = HERE.parent.parent
REQUIREMENTS: Final = HERE / "requirements.txt"
WITHIN_S: Final = 25.0
INSTALLED_WITHIN_S: Final = 150.0  # less than a test may take
KEPT_TEXT: Final = 4_000


def folder() -> Path:
    """Where the environment lies."""
    mark = hashlib.sha256(REQUIREMENTS.read_bytes() + sys.version.encode()).hexdigest()[:12]
    return ROOT / ".venuescope" / f"clients-{mark}"


def python() -> Path:
    """The environment's interpreter; the environment is built first if it is not there. RuntimeError with what the
    installer said when that fails.
    """
    home = folder()
    interpreter = home / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    complete = home / "complete"
    if complete.exists():
        return interpreter
    uv = shutil.which("uv")
    if uv is None:
        raise RuntimeError("the clients' environment is built with uv, which is not there")
    home.parent.mkdir(exist_ok=True)
    _do([uv, "venv", "--quiet", "--clear", "--python", sys.executable, str(home)])
    _do([uv, "pip", "install", "--quiet", "--python", str(interpreter), "-r", str(REQUIREMENTS)])
    complete.touch()
    return interpreter


def run(script: str, within_s: float = WITHIN_S, **given: Any) -> dict[str, Any]:
    """What the script prints at its end. AssertionError with what it said when it fails or takes too long."""
    command = [str(python()), str(HERE / script)]
    environment = {name: value for name, value in os.environ.items() if "proxy" not in name.lower()}
    try:
        done = subprocess.run(
            command, input=json.dumps(given), capture_output=True, text=True, timeout=within_s,
            env=environment, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired as error:
        said = (error.stdout or b"", error.stderr or b"")
        raise AssertionError(f"{script} took more than {within_s} s: {_end(*said)}") from None
    if done.returncode:
        raise AssertionError(f"{script} failed: {_end(done.stdout, done.stderr)}")
    result = json.loads(done.stdout.strip().splitlines()[-1])
    assert isinstance(result, dict)
    return result


def _do(command: list[str]) -> None:
    # Elsewhere, since in this project uv would hold the clients to the application's versions.
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=INSTALLED_WITHIN_S, check=False, cwd=gettempdir()
    )
    if done.returncode:
        raise RuntimeError(f"the clients' environment cannot be built: {_end(done.stdout, done.stderr)}")


def _end(*texts: str | bytes) -> str:
    whole = "\n".join(each.decode(errors="replace") if isinstance(each, bytes) else each for each in texts)
    return whole[-KEPT_TEXT:]


if __name__ == "__main__":
    print(python())
