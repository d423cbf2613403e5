"""How the API is served: where, to whom, how much at a time."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

PORT: Final = 8052


@dataclass(frozen=True, slots=True)
class ApiOptions:
    """Settings of the API, checked. `rate` requests a second and `connections` are for each address and each key."""

    host: str = "127.0.0.1"
    port: int | None = PORT  # 0 = any free one; None = it is not served
    allowed_hosts: tuple[str, ...] = ()  # further names that Host and Origin headers may bear
    rate: int = 200
    connections: int = 1_000
    demanded: bool = False  # all callers must say who they are
    tls: tuple[Path, Path] | None = None  # certificate chain and key, PEM
    config_dir: Path = Path()
    data_dir: Path = Path()
