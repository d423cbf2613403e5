"""Rules, and one limiter against the local venue's own enforcement in simulated time."""

from __future__ import annotations

import heapq
import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from engine.exchange.enforcement import Enforcement
from engine.exchange.venue_rules import BINANCE_SPOT
from engine.limits import rules as limit_rules
from engine.limits.foreign import NEVER
from engine.limits.limiter import Call, Limiter, Priority
from engine.limits.rules import Cost, Header, VenueRules, WindowRule

MS = 1_000_000
SECOND = 1_000 * MS
USED = "X-Used"


def window(
    limit: int = 100,
    window_ns: int = SECOND,
    *,
    unit: str = "weight",
    scope: str = "ip",
    server: str = "fixed",
    header: Header | None = None,
    type_: str = "REQUEST_WEIGHT",
    share: float = 1.0,
    label: str = "Weight",
) -> WindowRule:
    """One window's rule."""
    return WindowRule(label, scope, unit, limit, window_ns, server, type_, share, header)  # type: ignore[arg-type]


def venue(*windows: WindowRule, **changes: Any) -> VenueRules:
    """A venue whose calls are named by their weight: "GET /7" costs 7 units of weight."""
    chosen = windows or (window(),)
    units = {each.unit for each in chosen}
    endpoints = {f"GET /{n}": (("weight", Cost(fixed=n)),) for n in range(1, 300)}
    if "orders" in units:
        endpoints |= {"POST /order": (("weight", Cost(fixed=1)), ("orders", Cost(fixed=1)))}
    if "orders" in units:
        endpoints |= {"POST /only": (("orders", Cost(fixed=1)),)}
    if "connects" in units:
        endpoints |= {"CONNECT": (("connects", Cost(fixed=1)),)}
    made = VenueRules(
        venue="test",
        label="Test",
        windows=chosen,
        endpoints=endpoints,
        default=(("weight", Cost(fixed=50)),),
        guard_ns=0,
        lost_ns=0,
        reserve=0.0,
        queue=1_000,
        stops_ns={429: SECOND, 418: 300 * SECOND, 403: 600 * SECOND},
        codes={-1003: "ip", -1015: "order", 10006: "account"},
    )
    return replace(made, **changes)


def ask(
    limiter: Limiter,
    weight: int | str,
    now: int,
    priority: Priority = Priority.NORMAL,
    account: str = "",
) -> Call:
    """A call that is sent at once if it may be, and waits if not."""
    call = Call()
    endpoint = f"GET /{weight}" if isinstance(weight, int) else weight
    if not limiter.take(call, endpoint, {}, priority, account, now):
        limiter.enqueue(call, now)
        limiter.pump(now)
    return call


@dataclass
class Outcome:
    """What the venue saw, over whole windows after the first whole one."""

    utilisation: float  # of what the neighbour left
    refused: int
    served: int
    neighbour_served: int  # calls
    neighbour_refused: int


MIX: Sequence[tuple[str, dict[str, str], int]] = (
    *[("GET /api/v3/depth", {"limit": "100"}, 5)] * 6,
    *[("GET /api/v3/klines", {}, 2)] * 6,
    *[("GET /api/v3/depth", {"limit": "500"}, 25)] * 2,
    ("GET /api/v3/depth", {"limit": "1000"}, 50),
    *[("GET /api/v3/aggTrades", {}, 4)] * 3,
    ("GET /api/v3/trades", {}, 25),
)


class Simulation:
    """A saturating load through one limiter to the local venue's enforcement; time is simulated, nothing waits."""

    def __init__(
        self,
        *,
        seed: int,
        jitter_ms: tuple[int, int],
        neighbour: float = 0.0,
        sizes: Sequence[int] = (2, 4, 5, 25),
        window_s: int = 6,
        limit: int = 6_000,
        sliding: bool = False,
        loss: float = 0.0,
        headless: float = 0.0,
    ) -> None:
        """`loss` of all calls are given up after a second, half of which arrive; `headless` answers tell nothing."""
        self._random = random.Random(seed)
        spot = limit_rules.load().venues["binance_spot"]
        weight, *others = spot.windows
        unit = f"{window_s // 60}M" if window_s % 60 == 0 else f"{window_s}S"
        header = Header(f"X-MBX-USED-WEIGHT-{unit}", "used")
        weight = replace(
            weight,
            window_ns=window_s * SECOND,
            limit=limit,
            header=header,
            server="sliding" if sliding else "fixed",
        )
        self.limiter = Limiter(replace(spot, windows=(weight, *others), reserve=0.0))
        served = BINANCE_SPOT.with_window("REQUEST_WEIGHT", window_s, limit)
        if sliding:
            first, *rest = served.windows
            served = replace(served, windows=(replace(first, sliding=True), *rest))
        self._venue = Enforcement(served)
        self._wall = 1_790_000_000 * SECOND + self._random.randrange(window_s * SECOND)
        self._window, self._limit = window_s * SECOND, limit
        self._jitter = jitter_ms
        self._sizes = sizes
        self._every_s = window_s * sum(sizes) / len(sizes) / (neighbour * limit) if neighbour else 0.0
        self._events: list[tuple[int, int, str, Any]] = []
        self._count = 0
        self._calls: dict[int, tuple[Call, str, dict[str, str], int]] = {}
        self._rows: dict[
            int, list[int]
        ] = {}  # served weight, neighbour's, refused, neighbour's, served, its calls
        self._timer = NEVER
        self._loss, self._headless = loss, headless

    def run(self, seconds: int, waiting: int = 100) -> Outcome:
        """So many calls wait all the time."""
        now = 5 * SECOND
        end = now + seconds * SECOND
        if self._every_s:  # he was there before
            self._on_neighbour(now - self._window, None)
            while self._events[0][0] < now:
                at, *_ = heapq.heappop(self._events)
                self._on_neighbour(at, None)
        self._fill(now, waiting)
        while now < end:
            at = self._events[0][0] if self._events else NEVER
            if self._timer < at:
                now, self._timer = max(now, self._timer), NEVER
                self._pump(now)
            else:
                now, _, kind, what = heapq.heappop(self._events)
                getattr(self, f"_on_{kind}")(now, what)
            self._fill(now, waiting)
        rows = [self._rows[key] for key in sorted(self._rows)[3:-1]]
        weight, foreign, refused, its_refused, served, its_served = (sum(c) for c in zip(*rows, strict=True))
        rest = self._limit * len(rows) - foreign
        return Outcome(weight / rest, refused, served, its_served, its_refused)

    def _push(self, at: int, kind: str, what: Any) -> None:
        self._count += 1
        heapq.heappush(self._events, (at, self._count, kind, what))

    def _row(self, now: int) -> list[int]:
        return self._rows.setdefault((self._wall + now) // self._window, [0] * 6)

    def _fill(self, now: int, waiting: int) -> None:
        while self.limiter.waiting < waiting:
            endpoint, arguments, weight = self._random.choice(MIX)
            call = Call()
            self._calls[id(call)] = (call, endpoint, arguments, weight)
            if self.limiter.take(call, endpoint, arguments, Priority.NORMAL, "", now):
                self._send(call, now)
            else:
                self.limiter.enqueue(call, now)
                self._pump(now)

    def _pump(self, now: int) -> None:
        for call in self.limiter.pump(now):
            self._send(call, now)
        self._timer = self.limiter.wake_at()

    def _send(self, call: Call, now: int) -> None:
        if self._random.random() < self._loss:
            self._push(now + SECOND, "loss", call)
            if self._random.random() < 0.5:
                self._push(now + self._random.randrange(2 * SECOND), "ghost", call)
            return
        self._push(now + self._random.randrange(self._jitter[0] * MS + 1) + MS // 5, "arrival", call)

    def _on_arrival(self, now: int, call: Call) -> None:
        _, endpoint, arguments, weight = self._calls[id(call)]
        verdict = self._venue.request(self._wall + now, "a", endpoint, arguments)
        row = self._row(now)
        row[0] += weight if verdict.served else 0
        row[2] += 0 if verdict.served else 1
        row[4] += 1 if verdict.served else 0
        self._push(
            now + self._random.randrange(self._jitter[1] * MS + 1) + MS // 5, "answer", (call, verdict)
        )

    def _on_answer(self, now: int, what: Any) -> None:
        call, verdict = what
        del self._calls[id(call)]
        headers = {} if self._random.random() < self._headless else verdict.headers
        self.limiter.answered(call, verdict.status, headers, verdict.code, now, self._wall + now)
        self._pump(now)

    def _on_loss(self, now: int, call: Call) -> None:
        self.limiter.lost(call, now)
        self._pump(now)

    def _on_ghost(self, now: int, call: Call) -> None:
        """A call that was given up reaches the venue."""
        _, endpoint, arguments, _ = self._calls[id(call)]
        if not self._venue.request(self._wall + now, "a", endpoint, arguments).served:
            self._row(now)[2] += 1

    def _on_neighbour(self, now: int, _: None) -> None:
        weight = self._random.choice(self._sizes)
        row = self._row(now)
        if self._venue.consume(self._wall + now, "a", weight):
            row[1] += weight
            row[5] += 1
        else:
            row[3] += 1
        self._push(now + int(self._random.expovariate(1 / self._every_s) * SECOND), "neighbour", None)
