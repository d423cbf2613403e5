"""A download in a process of its own, to be killed: `python history_child.py <folder> <base> <batch>`."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))


def main() -> int:
    from app import KERNEL_MODULES
    from engine import kernels

    root = Path(__file__).resolve().parents[2]
    kernels.activate(root / ".venuescope" / "numba", KERNEL_MODULES)
    from tests.feeds.history_venue import download

    folder, base, batch = sys.argv[1:]
    return asyncio.run(download(Path(folder), base, batch=batch, say=lambda text: print(text, flush=True)))


if __name__ == "__main__":
    sys.exit(main())
