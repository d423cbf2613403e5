"""How the program does, for people, load balancers and Prometheus: `/`, `/healthz`, `/readyz`, `/metrics`."""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Annotated, Final, Literal

from msgspec import Meta, Struct

from engine.api.metrics import Metrics
from engine.api.problems import Problem
from engine.api.route import Call, Route
from engine.storage.views import StorageView
from engine.telemetry.board import Board
from engine.telemetry.hub import Telemetry

NAME: Final = "Venuescope"
LAG_MOST_NS: Final = 1_000_000_000
LAG_WINDOW_NS: Final = 10_000_000_000
METRICS_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
_NS_A_MS: Final = 1_000_000

Version = Annotated[str, Meta(description="Version of the program", examples=["0.1.0"])]
Moment = Annotated[str, Meta(description="Now, ISO 8601, UTC", examples=["2026-11-20T12:00:00.123Z"])]
Ms = Annotated[int, Meta(description="The same time as milliseconds since 1970")]


class Welcome(Struct, kw_only=True, frozen=True):
    """What this is, and where to go on."""

    name: str
    status: Literal["ok", "compiling", "failed"]
    message: Annotated[str, Meta(description="How it does, as a sentence")]
    version: Version
    docs: Annotated[str, Meta(description="Page that describes and tries every route", examples=["/docs"])]
    openapi: Annotated[str, Meta(description="The same for programs", examples=["/openapi.json"])]
    push: Annotated[str, Meta(description="Path of the WebSocket", examples=["/ws"])]
    health: str
    ready: str
    metrics: str


class Health(Struct, kw_only=True, frozen=True):
    """The program answers; whether it has data is another matter: `/readyz`."""

    status: Literal["ok"]
    version: Version
    uptime_s: Annotated[float, Meta(ge=0, description="Since the start, seconds")]
    started_ms: Annotated[int, Meta(description="When it started, milliseconds since 1970")]
    ts: Moment
    ts_ms: Ms


class Ready(Struct, kw_only=True, frozen=True):
    """There is live data, and the program keeps up."""

    ready: Literal[True]
    live: Annotated[list[str], Meta(description="Sources that are live", examples=[["builtin:sim"]])]
    ts: Moment
    ts_ms: Ms


@cache
def program_version() -> str:
    """The program's version, as its project file has it; "unknown" where it was installed without one."""
    path = Path(__file__).parents[2] / "pyproject.toml"
    try:
        return str(tomllib.loads(path.read_text(encoding="utf-8"))["project"]["version"])
    except (OSError, KeyError, tomllib.TOMLDecodeError):
        return "unknown"


def routes(telemetry: Telemetry, clock: Callable[[], int], metrics: Metrics) -> tuple[Route, ...]:
    """The program's own routes. `clock` is the wall clock in ns."""
    version = program_version()

    def welcome(_: Call) -> Welcome:
        engine = telemetry.board.engine
        live = live_sources(telemetry.board)
        status: Literal["ok", "compiling", "failed"] = "ok"
        if engine.state == "running":
            number = f"{len(live)} source{'s' if len(live) != 1 else ''}"
            message = f"{NAME} is running with {number} live; /docs tells what there is."
        else:
            status = "compiling" if engine.state == "compiling" else "failed"
            message = (
                f"{NAME} is {status}: {engine.detail or 'the engine starts'}; /docs tells what there is."
            )
        return Welcome(
            name=NAME,
            status=status,
            message=message,
            version=version,
            docs="/docs",
            openapi="/openapi.json",
            push="/ws",
            health="/healthz",
            ready="/readyz",
            metrics="/metrics",
        )

    def health(call: Call) -> Health:
        return Health(
            status="ok",
            version=version,
            uptime_s=round(max(0, call.now_ns - telemetry.started_ns) / 1e9, 3),
            started_ms=telemetry.started_ns // _NS_A_MS,
            ts=iso(call.now_ns),
            ts_ms=call.now_ns // _NS_A_MS,
        )

    def ready(call: Call) -> Ready:
        reasons = why_not_ready(telemetry, call.now_ns)
        if reasons:
            raise Problem("not_ready", "; ".join(reasons), retry_after_s=2.0, reasons=reasons)
        return Ready(
            ready=True,
            live=live_sources(telemetry.board),
            ts=iso(call.now_ns),
            ts_ms=call.now_ns // _NS_A_MS,
        )

    def figures(_: Call) -> bytes:
        return metrics.text(clock())

    return (
        Route("GET", "/", None, "Program", "What this is and how it does", welcome, Welcome),
        Route("GET", "/healthz", None, "Program", "Whether the program answers", health, Health),
        Route(
            "GET", "/readyz", None, "Program", "Whether it has live data and keeps up", ready, Ready,
            problems=("not_ready",),
        ),
        Route(
            "GET", "/metrics", "read", "Program", "Figures for Prometheus", figures, None, text=METRICS_TYPE
        ),
    )  # fmt: skip


def why_not_ready(telemetry: Telemetry, now_ns: int) -> list[str]:
    """Why the program should be sent no requests now, each reason a sentence's part; empty when it is ready."""
    board = telemetry.board
    reasons = []
    if board.engine.state != "running":
        what = "kernels are being compiled" if board.engine.state == "compiling" else "the engine has failed"
        reasons.append(f"{what}: {board.engine.detail}" if board.engine.detail else what)
    elif not live_sources(board):
        reasons.append("no source is live")
    lag_ns = loop_lag_ns(telemetry, now_ns)
    if lag_ns > LAG_MOST_NS:
        reasons.append(f"the loop was held up for {lag_ns / 1e9:.1f} s")
    return [*reasons, *_store_trouble(board.storage)]


def live_sources(board: Board) -> list[str]:
    """Keys of the sources that are live."""
    return [source.source.key for source in board.sources if source.state == "live"]


def loop_lag_ns(telemetry: Telemetry, now_ns: int) -> int:
    """The longest time that the loop was late in the newest ten seconds; 0 where nothing is known."""
    stage = telemetry.stages.get(("engine", "loop"))
    if stage is None:
        return 0
    rows = stage.seconds.last(10).rows
    rows = rows[rows["ts_ns"] >= now_ns - LAG_WINDOW_NS]
    return int(rows["greatest"].max()) if len(rows) else 0


def iso(moment_ns: int) -> str:
    """A moment as ISO 8601 text, UTC, to the millisecond."""
    moment = datetime.fromtimestamp(moment_ns // _NS_A_MS / 1_000, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{moment_ns // _NS_A_MS % 1_000:03d}Z"


def _store_trouble(store: StorageView) -> list[str]:
    if store.state in ("full", "read only", "failed"):
        detail = f": {store.detail}" if store.detail else ""
        return [f"the journal cannot be written, it is {store.state}{detail}"]
    return []
