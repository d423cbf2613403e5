"""What the API has done since it started: counted on the way of each request, told to pages and `/metrics`."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass
from typing import Final, Literal

ServingState = Literal["starting", "serving", "port taken", "failed", "stopped"]

OTHER: Final = "other"  # the route of what is none: its paths are without number
BOUNDS_S: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0)
_BOUNDS_NS: Final = tuple(int(bound * 1e9) for bound in BOUNDS_S)


@dataclass(frozen=True, slots=True)
class RouteCount:
    """Answers of one route with one status."""

    method: str  # "GET"; "other" where the path is none of ours
    path: str  # "/tick/{symbol}"
    status: int
    answers: int


@dataclass(frozen=True, slots=True)
class ApiView:
    """The server as it stands. Counts are since the start."""

    url: str  # "http://127.0.0.1:8052"; "" while it does not serve
    state: ServingState
    detail: str  # why it does not serve
    requests: int
    in_flight: int  # being answered now, open WebSockets left out
    refused: tuple[tuple[str, int], ...]  # problems by code, most first
    broken: int  # errors in the program
    bad_requests: int  # that are no HTTP
    connections: int  # open now
    connections_most: int
    turned_away: int  # connections over the limit of their address
    stalled: int  # connections cut because an answer was not taken
    routes: tuple[RouteCount, ...]
    seconds: tuple[int, ...]  # answers by how long they took: up to each of BOUNDS_S, and longer
    seconds_sum: float


class Counts:
    """Counters of one server. Bounded: by routes and their statuses, and by codes of problems."""

    def __init__(self) -> None:
        self.requests = self.in_flight = self.broken = self.bad_requests = 0
        self.turned_away = self.stalled = self.connections_most = 0
        self._answers: dict[tuple[str, str], dict[int, int]] = {}
        self._refused: dict[str, int] = {}
        self._seconds = [0] * (len(BOUNDS_S) + 1)
        self._sum_ns = 0

    def answered(self, method: str, path: str, status: int, took_ns: int) -> None:
        """An answer of a route is on its way; it took so long to make."""
        answers = self._answers.get((method, path))
        if answers is None:
            answers = self._answers[method, path] = {}
        answers[status] = answers.get(status, 0) + 1
        self._seconds[bisect_left(_BOUNDS_NS, took_ns)] += 1
        self._sum_ns += took_ns

    def refused(self, code: str) -> None:
        """A call was refused with a problem."""
        self._refused[code] = self._refused.get(code, 0) + 1

    def view(self, url: str, state: ServingState, detail: str, connections: int) -> ApiView:
        """All of it, frozen."""
        return ApiView(
            url=url,
            state=state,
            detail=detail,
            requests=self.requests,
            in_flight=self.in_flight,
            refused=tuple(sorted(self._refused.items(), key=lambda each: -each[1])),
            broken=self.broken,
            bad_requests=self.bad_requests,
            connections=connections,
            connections_most=self.connections_most,
            turned_away=self.turned_away,
            stalled=self.stalled,
            routes=tuple(
                RouteCount(method, path, status, count)
                for (method, path), answers in self._answers.items()
                for status, count in answers.items()
            ),
            seconds=tuple(self._seconds),
            seconds_sum=self._sum_ns / 1e9,
        )
