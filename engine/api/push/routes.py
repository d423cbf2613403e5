"""What push publishes by plain calls: the description of its Protocol Buffers."""

from __future__ import annotations

from pathlib import Path

from engine.api.route import Call, Route


def proto_text() -> bytes:
    """`market.proto` as it is published."""
    return (Path(__file__).resolve().parent / "market.proto").read_bytes()


def routes() -> tuple[Route, ...]:
    """GET /market.proto, open to all."""
    text = proto_text()

    def answer(_: Call) -> bytes:
        return text

    return (
        Route(
            "GET",
            "/market.proto",
            None,
            "Program",
            "Messages of /ws?format=protobuf, as Protocol Buffers describe them",
            answer,
            str,
            text="text/plain; charset=utf-8",
        ),
    )
