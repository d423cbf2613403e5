"""What topics of a whole source and of the program say: latencies and counts by second, alerts."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from datetime import UTC
from typing import Final

from engine.alerts.views import FiringView
from engine.api.answers import iso, moment
from engine.api.push.encodings import Kind
from engine.api.push.market_readers import NONE, Place
from engine.api.push.messages import Alert, Envelope, LatencyRow, ThroughputRow
from engine.api.push.topics import Said
from engine.market.batches import Rows
from engine.telemetry.hub import Telemetry
from engine.telemetry.ring import Ring

MS_NS: Final = 1_000_000
US_NS: Final = 1_000
ROWS_AT_ONCE: Final = 100  # of one ring; older ones are given up
ALERTS_HELD: Final = 1_000
ALERTS_SHOWN: Final = 50


class LatencyReader:
    """One row a second for each stage of a source that measured something in it."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._cursors: dict[str, tuple[Ring, int]] = {}
        for stage, ring in self._stages():
            self._cursors[stage] = ring, ring.head

    def gone(self) -> str:
        """Why there will be no more."""
        return self._place.gone()

    def read(self, now_ns: int) -> Sequence[Said]:
        """Rows of the seconds that have ended."""
        rows: list[LatencyRow] = []
        for stage, ring in self._stages():
            known = self._cursors.get(stage)
            cursor = known[1] if known is not None and known[0] is ring else 0
            if ring.head != cursor:
                rows += self._rows(stage, ring.since(max(cursor, ring.head - ROWS_AT_ONCE)).rows)
                self._cursors[stage] = ring, ring.head
        if not rows:
            return NONE
        return (Said(Envelope(type="latency", ts_ms=now_ns // MS_NS, latency=rows), Kind.KEPT),)

    def snapshot(self, now_ns: int) -> Envelope | None:
        """The newest row of each stage, up to what was read."""
        rows: list[LatencyRow] = []
        for stage, (ring, cursor) in self._cursors.items():
            rows += self._rows(stage, ring.last(1, cursor).rows)
        return Envelope(type="snapshot", ts_ms=now_ns // MS_NS, latency=rows)

    def _stages(self) -> list[tuple[str, Ring]]:
        stages = self._place.reading.telemetry.stages
        key = self._place.key[0]
        return [
            (stage, stages[key, stage].seconds)
            for stage in self._place.source.stages
            if (key, stage) in stages
        ]

    def _rows(self, stage: str, rows: Rows) -> list[LatencyRow]:
        return [
            LatencyRow(
                source=self._place.key[0],
                stage=stage,
                ts=iso(int(row["ts_ns"]), UTC),
                ts_ms=int(row["ts_ns"]) // MS_NS,
                count=int(row["count"]),
                p50_us=int(row["p50"]) / US_NS,
                p90_us=int(row["p90"]) / US_NS,
                p95_us=int(row["p95"]) / US_NS,
                p99_us=int(row["p99"]) / US_NS,
                p999_us=int(row["p999"]) / US_NS,
                max_us=int(row["greatest"]) / US_NS,
            )
            for row in rows
        ]


class ThroughputReader:
    """One row a second of what a source brought; of a replay by its own clock."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._ring = self._now()
        self._cursor = self._ring.head if self._ring is not None else 0

    def gone(self) -> str:
        """Why there will be no more."""
        return self._place.gone()

    def read(self, now_ns: int) -> Sequence[Said]:
        """Rows of the seconds that have ended."""
        ring = self._now()
        if ring is not self._ring:
            self._ring, self._cursor = ring, 0
        if ring is None or ring.head == self._cursor:
            return NONE
        found = ring.since(max(self._cursor, ring.head - ROWS_AT_ONCE))
        self._cursor = found.cursor
        rows = self._rows(found.rows)
        return (Said(Envelope(type="throughput", ts_ms=now_ns // MS_NS, throughput=rows), Kind.KEPT),)

    def snapshot(self, now_ns: int) -> Envelope | None:
        """The newest row that was read."""
        rows = self._rows(self._ring.last(1, self._cursor).rows) if self._ring is not None else []
        return Envelope(type="snapshot", ts_ms=now_ns // MS_NS, throughput=rows)

    def _now(self) -> Ring | None:
        telemetry, key = self._place.reading.telemetry, self._place.key[0]
        past = telemetry.pasts.get(key)
        if past is not None:
            return past.counts
        counters = telemetry.counters.get(key)
        return counters.ring if counters is not None else None

    def _rows(self, rows: Rows) -> list[ThroughputRow]:
        key = self._place.key[0]
        return [
            ThroughputRow(key, iso(ts_ns, UTC), ts_ns // MS_NS, *counts) for ts_ns, *counts in rows.tolist()
        ]


class AlertReader:
    """What became of alerts, as soon as it is told."""

    def __init__(self, telemetry: Telemetry) -> None:
        self._telemetry = telemetry
        self._waiting: deque[tuple[str, FiringView]] = deque(maxlen=ALERTS_HELD)
        self._lost = 0

    def on_alert(self, what: str, firing: FiringView) -> None:
        """Something happened to an alert."""
        self._lost += len(self._waiting) == ALERTS_HELD
        self._waiting.append((what, firing))

    def gone(self) -> str:
        """Alerts are there as long as the program is."""
        return ""

    def read(self, now_ns: int) -> Sequence[Said]:
        """All that was told since, each a message of its own."""
        if not self._waiting:
            return NONE
        lost, self._lost = self._lost, 0
        said = []
        while self._waiting:
            what, firing = self._waiting.popleft()
            envelope = Envelope(
                type="alert", ts_ms=now_ns // MS_NS, alert=alert_of(what, firing), lost=lost or None
            )
            said.append(Said(envelope, Kind.KEPT))
            lost = 0
        return said

    def snapshot(self, now_ns: int) -> Envelope | None:
        """The alerts that fire now."""
        firing = [each for each in self._telemetry.board.alerts.firings if not each.ended_ns][:ALERTS_SHOWN]
        alerts = [alert_of("fired", each) for each in firing]
        return Envelope(type="snapshot", ts_ms=now_ns // MS_NS, alerts=alerts)


def alert_of(what: str, firing: FiringView) -> Alert:
    """A firing as a message has it."""
    ended_ts, ended_ts_ms = moment(firing.ended_ns, UTC)
    seen_ts, seen_ts_ms = moment(firing.acknowledged_ns, UTC)
    return Alert(
        what=what,
        id=firing.id,
        rule=firing.rule,
        text=firing.text,
        source=firing.source,
        symbol=firing.symbol,
        value=firing.value,
        ts=iso(firing.started_ns, UTC),
        ts_ms=firing.started_ns // MS_NS,
        ended_ts=ended_ts,
        ended_ts_ms=ended_ts_ms,
        acknowledged_ts=seen_ts,
        acknowledged_ts_ms=seen_ts_ms,
    )
