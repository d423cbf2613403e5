"""Where pages get their data: the one boundary between the dashboards and whatever feeds them."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol


class PageSource(Protocol):
    """What the shell's callbacks need; the application and the tests each bring one. Thread-safe."""

    def poll(self, params: dict[str, Any], cursors: dict[str, Any]) -> dict[str, Any]:
        """The answer of one poll, as `dashboards/transport.py` describes it."""
        ...

    def export(self, request: dict[str, Any]) -> tuple[str, str]:
        """File name and CSV text of one drawn chart.

        `request` is {chart, part, view, range: [x0, x1] | null, client}: the stream, the part of it that the
        panel shows, the view number that was drawn and, where the user has zoomed, the visible x range.
        Raises BadCommand with a sentence when that view is gone.
        """
        ...

    def command(self, name: str, args: dict[str, Any]) -> dict[str, Any] | None:
        """What came of having the engine do `name`, None where there is nothing to tell.

        Raises BadCommand with a sentence when it cannot.
        """
        ...

    def download(self, job: str) -> Path:
        """The file of a finished export out of the store, by its job's id; BadCommand when there is none."""
        ...
