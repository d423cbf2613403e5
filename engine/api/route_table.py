"""Which route a path means. Pure: a dictionary for paths without arguments, a tree of segments for the others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import unquote

from engine.api.problems import Problem
from engine.api.route import Route

VERSION: Final = "/v1"
LONGEST: Final = 1_024  # characters of a path; longer ones are none of ours
_NOTHING: Final[Mapping[str, str]] = {}


@dataclass(slots=True)
class Place:
    """One path and the routes at it, by method."""

    path: str  # "/tick/{symbol}"
    names: tuple[str, ...]  # of the arguments in it, in order
    methods: dict[str, Route] = field(default_factory=dict)

    @property
    def allowed(self) -> str:
        """The Allow header: HEAD is taken wherever GET is."""
        taken = sorted(self.methods)
        return ", ".join([*taken, "HEAD"] if "GET" in self.methods else taken)


@dataclass(slots=True)
class _Node:
    below: dict[str, _Node] = field(default_factory=dict)
    any: _Node | None = None  # a segment that is an argument
    place: Place | None = None


class RouteTable:
    """All routes, each at its path and at `/v1` + path. ValueError for two of the same method and path."""

    def __init__(self, routes: Sequence[Route]) -> None:
        self.routes: Final = tuple(routes)
        self.places: dict[str, Place] = {}
        self._plain: dict[str, Place] = {}
        self._root = _Node()
        for route in self.routes:
            place = self._place(route.path)
            if route.method in place.methods:
                raise ValueError(f"{route.method} {route.path} is there twice")
            place.methods[route.method] = route

    def find(self, path: str) -> tuple[Place, Mapping[str, str]] | None:
        """The place that a request's path means and the arguments in it as text; None = there is none.

        `path` is as it was sent: an escaped slash belongs to its argument (`/tick/BTC%2FUSDT`).
        Problem bad_argument for an escaped argument that is no UTF-8.
        """
        place = self._plain.get(path)
        if place is not None:
            return place, _NOTHING
        if len(path) > LONGEST or path[:1] != "/":
            return None
        segments = path[1:].split("/")
        if segments[0] == "v1":
            del segments[0]
        node, values = self._root, []
        for segment in segments:
            below = node.below.get(segment)
            if below is None:
                below = node.any
                if below is None or not segment:
                    return None
                values.append(_decoded(segment) if "%" in segment else segment)
            node = below
        if node.place is None:
            return None
        return node.place, dict(zip(node.place.names, values, strict=True))

    def _place(self, path: str) -> Place:
        found = self.places.get(path)
        if found is not None:
            return found
        segments = path[1:].split("/")
        arguments = [segment[1:-1] for segment in segments if segment.startswith("{")]
        place = self.places[path] = Place(path, tuple(arguments))
        if not arguments:
            self._plain[path] = self._plain[VERSION + path] = place
            if path == "/":
                self._plain[VERSION] = place
        node = self._root
        for segment in segments:
            if segment.startswith("{"):
                node.any = node.any or _Node()
                node = node.any
            else:
                node = node.below.setdefault(segment, _Node())
        node.place = place
        return place


def _decoded(segment: str) -> str:
    try:
        return unquote(segment, errors="strict")
    except UnicodeDecodeError as error:
        raise Problem("bad_argument", "the path is not UTF-8 where it is percent-encoded") from error
