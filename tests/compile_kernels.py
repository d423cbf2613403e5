"""Compile the kernels that tests use, once: `tests/run` does so before it runs tests side by side."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from app import KERNEL_GROUPS, KERNEL_MODULES  # noqa: E402
from engine import kernels  # noqa: E402

if __name__ == "__main__":
    directory = kernels.activate(ROOT / ".venuescope" / "numba", KERNEL_MODULES)
    if not kernels.is_warm(directory):
        asyncio.run(kernels.compile_in_children(KERNEL_GROUPS))
