"""Makes `market_pb2.py` and its types anew out of `market.proto`: `uv run python -m engine.api.push.generate`.

Needs grpcio-tools, which only developers have.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

HERE: Final = Path(__file__).resolve().parent
MADE: Final = ("market_pb2.py", "market_pb2.pyi")
LEFT_ALONE: Final = "# ruff: noqa\n# mypy: ignore-errors\n# fmt: off\n"  # made code is nobody's to tidy


def generate(folder: Path) -> None:
    """Write what is made of `market.proto` into a folder. RuntimeError when the compiler refuses it."""
    from grpc_tools import protoc  # type: ignore[import-untyped, unused-ignore]

    arguments = ["protoc", f"-I{HERE}", f"--python_out={folder}", f"--pyi_out={folder}"]
    code = protoc.main([*arguments, str(HERE / "market.proto")])
    if code:
        raise RuntimeError(f"protoc ended with {code}")
    for name in MADE:
        made = (folder / name).read_text(encoding="utf-8").removeprefix("# -*- coding: utf-8 -*-\n")
        (folder / name).write_text(LEFT_ALONE + made, encoding="utf-8")


if __name__ == "__main__":
    generate(HERE)
    sys.stdout.write(f"made {', '.join(MADE)}\n")
