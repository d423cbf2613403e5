"""Component ids. Scope first, then the widget; panels are named, so theirs are made by functions."""

from __future__ import annotations

TICK = "shell-tick"
PARAMS = "shell-params"
PAINTED = "shell-painted"
CURSORS = "shell-cursors"
ANSWER = "shell-answer"
REDRAW = "shell-redraw"
SPECS = "shell-specs"
COMMAND = "shell-command"
EXPORT = "shell-export"
DOWNLOAD = "shell-download"
TOAST = "shell-toast"
TOASTED = "shell-toasted"
KEYS = "shell-keys"
PAGE = "shell-page"


def chart(name: str) -> dict[str, str]:
    """Id of the graph that draws `name`; the renderer's output matches all of them."""
    return {"type": "chart", "name": name}


def panel(name: str) -> str:
    """Id of the panel's section element."""
    return f"panel-{name}"
