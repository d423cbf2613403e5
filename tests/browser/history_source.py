"""A store made by hand: the real transport over a `StorageView` with weeks of spans, holes, exports and a replay.

What is recorded is awkward on purpose: days with many holes, a market that was given up weeks ago, a symbol with a long
name, books that were recorded later than trades, venues without a symbol. Commands do to it what the engine would.
`switch(mode)`: "live" (three venues are recorded), "idle" (none is), "fresh" (nothing was ever recorded), "off",
"opening", "full" (of the disk), "readonly" (another process writes), "failed", "silent" (nothing is committed).
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from engine.errors import BadCommand
from engine.storage.names import USUAL
from engine.storage.views import (
    ArchiveView,
    DeletionView,
    GapView,
    JobView,
    JournalView,
    RecordingView,
    RetentionView,
    SpanView,
    StorageView,
)
from engine.telemetry.board import ReplayView
from tests.browser.fake_source import noise
from tests.browser.venue_source import SECOND, VenueSource

MINUTE, HOUR, DAY = 60 * SECOND, 3_600 * SECOND, 86_400 * SECOND
MODES = ("live", "idle", "fresh", "off", "opening", "full", "readonly", "failed", "silent")
MARKETS = {
    "binance_spot": ("BTC-USDT", "ETH-USDT", "SOL-USDT"),
    "binance_usdm": ("BTC-USDT-PERP", "ETH-USDT-PERP", "1000000MOG-USDT-PERP"),
    "bybit_linear": ("BTC-USDT-PERP", "ETH-USDT-PERP"),
    "builtin": ("BTC-USDT", "ETH-USDT", "SOL-USDT", "BNB-USDT", "XRP-USDT"),
}
OLD = ("bybit_inverse", "BTC-USD-PERP")  # not recorded since three weeks ago
DAYS = 41
RATE = {
    "book": 61.0,
    "trades": 9.0,
    "candles": 0.05,
    "funding": 0.07,
    "latency": 1.0,
    "counters": 1.0,
    "events": 0.01,
}
BYTES = {"book": 46, "trades": 31, "latency": 210, "counters": 44}
REASONS = ("connection lost: code 1006", "sequence gap", "Venuescope was not running", "the disk was full")
WHATS = ("book", "candles", "trades")
SPEEDS = {"1": 1.0, "10": 10.0, "100": 100.0, "max": 2_000.0}
GB = 1_000_000_000


class HistorySource(VenueSource):
    """VenueSource with a store that is played."""

    def __init__(self, *, seed: int = 7, clock: Callable[[], float] = time.time, history_s: int = 70) -> None:
        self.shown = "live"
        self.storage = StorageView()
        self.replay: ReplayView | None = None
        self.shed = False
        self._replay_at: tuple[int, int] = (0, 0)  # (wall, the replay's own) when it last went on
        self._folder: tempfile.TemporaryDirectory[str] | None = None  # of exports that were asked for
        super().__init__(seed=seed, clock=clock, history_s=history_s)
        self.switch("live")

    def export_path(self, job: str) -> Path | None:
        """As the engine has it."""
        found = next((each for each in self.storage.jobs if each.id == job and each.state == "done"), None)
        if found is None:
            return None
        if self._folder is None:
            self._folder = tempfile.TemporaryDirectory(prefix="venuescope-exports-")
        path = Path(self._folder.name) / found.name
        path.write_text(f"time_utc,price\n2026-11-20T14:32:08.416Z,{found.rows}\n", encoding="utf-8")
        return path

    # ---------- commands ----------

    def command(self, name: str, args: dict[str, Any]) -> dict[str, Any] | None:  # type: ignore[override]
        """As the engine takes them."""
        act = getattr(self, f"_do_{name}", None)
        if act is None:
            super().command(name, args)
            return None
        self.commands.append((name, args))
        if self.shown == "readonly" and not name.startswith("replay"):
            raise BadCommand("another Venuescope writes to this store; here it can only be read")
        with self._turn:
            result: dict[str, Any] | None = act(**args)
            self.advance()
        return result

    def _do_record_start(self, venue: str, symbols: list[str], what: list[str]) -> None:
        if not what:
            raise BadCommand("choose something to record")
        kept = tuple(each for each in self.storage.recordings if each.venue != venue)
        new = RecordingView(venue, tuple(symbols), tuple(what), self._now(), 0, 0.0, 0, "recording", "")
        self.storage = replace(
            self.storage, recordings=tuple(sorted((*kept, new), key=lambda one: one.venue))
        )
        if self.shown == "fresh":
            self.shown = "live"

    def _do_record_stop(self, venue: str) -> None:
        kept = tuple(each for each in self.storage.recordings if each.venue != venue)
        self.storage = replace(self.storage, recordings=kept)

    def _do_retention_set(self, days: int, budget_gb: float) -> None:
        if days < 0 or budget_gb < 0:
            raise BadCommand("days and budget must be 0 or more")
        kept = self.storage.retention
        assert kept is not None
        self.storage = replace(
            self.storage, retention=replace(kept, days=days, budget_bytes=round(budget_gb * GB))
        )

    def _do_retention_preview(self, days: int, budget_gb: float) -> dict[str, Any]:
        limit = time.strftime("%Y-%m-%d", time.gmtime(self._now() / 1e9 - days * 86_400)) if days else ""
        found: dict[tuple[str, str], list[int]] = {}
        for span in self.storage.spans:
            date = time.strftime("%Y-%m-%d", time.gmtime(span.from_ns / 1e9))
            if date < limit:
                sums = found.setdefault((date, span.venue), [0, 0])
                sums[0] += span.size_bytes
                sums[1] += span.rows
        gone = [[*key, *sums] for key, sums in sorted(found.items())]
        return {
            "rows": sum(day[3] for day in gone),
            "bytes": sum(day[2] for day in gone),
            "days": gone[:20],
            "more": max(0, len(gone) - 20),
            "dates": len({day[0] for day in gone}),
            "venues": sorted({day[1] for day in gone}),
        }

    def _do_export_start(
        self, kind: str, venue: str, symbol: str, from_ms: int, to_ms: int, form: str
    ) -> dict[str, Any]:
        if to_ms <= from_ms:
            raise BadCommand("the stretch ends before it begins")
        number = f"j{len(self.storage.jobs) + 1}-{self._now() % 1_000_000}"
        name = f"{kind}_{venue}_{symbol}.{ {'feather': 'arrow'}.get(form, form) }"
        job = JobView(
            number, name, kind, venue, symbol, from_ms * 1_000_000, to_ms * 1_000_000, form, "running", "", 0,
            184_220, 0, self._now(), 0,
        )  # fmt: skip
        self.storage = replace(
            self.storage, jobs=(job, *self.storage.jobs)[:50], version=self.storage.version + 1
        )
        return {"job": number}

    def _job(self, job: str) -> JobView:
        found = next((each for each in self.storage.jobs if each.id == job), None)
        if found is None:
            raise BadCommand(f"there is no export {job!r}")
        return found

    def _do_export_cancel(self, job: str) -> None:
        found = self._job(job)
        ended = replace(found, state="canceled", ended_ns=self._now())
        self.storage = replace(
            self.storage, jobs=tuple(ended if each is found else each for each in self.storage.jobs)
        )

    def _do_export_forget(self, job: str) -> None:
        found = self._job(job)
        self.storage = replace(
            self.storage, jobs=tuple(each for each in self.storage.jobs if each is not found)
        )

    def _do_gap_backfill(self, gap: int) -> None:
        if not any(each.id == gap for each in self.storage.gaps):
            raise BadCommand("there is no such hole any more")
        gaps = tuple(
            replace(each, state="filled", filled=412) if each.id == gap else each
            for each in self.storage.gaps
        )
        self.storage = replace(self.storage, gaps=gaps, version=self.storage.version + 1)

    def _do_replay_open(self, venue: str, symbols: list[str], from_ms: int, to_ms: int, at_ms: int,
                        speed: Any, paused: bool) -> None:  # fmt: skip
        if to_ms <= from_ms:
            raise BadCommand("the stretch ends before it begins")
        start, end, at = (each * 1_000_000 for each in (from_ms, to_ms, at_ms or from_ms))
        self.replay = ReplayView(
            f"{venue}, a stretch", str(speed) if speed == "max" else f"{speed}x",
            "paused" if paused else "playing", 0.0, "", f"{venue}:replay", True, start, end, at, 0,
            "9f3c51d20b7e4a68",
        )  # fmt: skip
        self._replay_at = (self._now(), at)

    def _playing(self, **fields: Any) -> None:
        if self.replay is None or not self.replay.recorded:
            raise BadCommand("there is no recorded replay")
        self._play()
        self.replay = replace(self.replay, **fields)
        self._replay_at = (self._now(), self.replay.at_ns)

    def _do_replay_pause(self) -> None:
        self._playing(state="paused")

    def _do_replay_resume(self) -> None:
        self._playing(state="playing")

    def _do_replay_step(self, by: str) -> None:
        assert self.replay is not None
        self._playing(at_ns=self.replay.at_ns + {"second": SECOND, "back": -SECOND}.get(by, 41_000_000))

    def _do_replay_seek(self, at_ms: int) -> None:
        ended = self.replay is not None and self.replay.state == "ended"
        self._playing(at_ns=at_ms * 1_000_000, events=0, **({"state": "paused"} if ended else {}))

    def _do_replay_speed(self, speed: Any) -> None:
        self._playing(speed="max" if speed == "max" else f"{speed}x")

    def _do_replay_close(self) -> None:
        self.replay = None

    def _do_restart_replay(self) -> None:
        if self.replay is None:
            raise BadCommand("there is no replay to play again")
        self._replay_at = (self._now(), self.replay.from_ns)
        self.replay = replace(self.replay, state="playing", at_ns=self.replay.from_ns, events=0)

    # ---------- states ----------

    def switch(self, mode: str) -> None:
        """Enter a state now."""
        self.shown = mode if mode in MODES else "live"
        super().switch("live" if mode in MODES else mode)
        self.replay = None
        self._fill()
        self.commands.clear()
        self.advance()

    def capture(self) -> None:
        """Have a capture of another day play, which cannot be sought in."""
        start = self._now() - self._now() % DAY - 834 * DAY + 36_000 * SECOND
        self.replay = ReplayView("sample", "1x", "playing", 0.0, "", "binance_spot:replay", False, start,
                                 start + 600 * SECOND, start + 61 * SECOND, 0, "")  # fmt: skip
        self._replay_at = (self._now(), start + 61 * SECOND)

    def _fill(self) -> None:
        now = self._now()
        if self.shown in ("off", "opening"):
            self.storage = StorageView(state=self.shown)  # type: ignore[arg-type]
            return
        fresh = self.shown == "fresh"
        spans, gaps = ((), ()) if fresh else played_past(now)
        words = {"full": "full", "readonly": "read only", "failed": "failed"}
        details = {
            "full": "the disk is full: 3.1 MB are free, 61.4 MB wait to be written",
            "readonly": "another Venuescope (process 41127) writes to this store",
            "failed": "the journal cannot be written: disk I/O error at journal.db-wal",
        }
        what = tuple(name for name in USUAL if name != "funding")
        recordings = tuple(
            RecordingView(venue, symbols, kinds, now - hours * HOUR, 18_400_221 + 7 * k, 1_204.0 / (k + 1),
                          1_140_000_000 // (k + 1), "waiting" if k == 1 else "recording",
                          "reconnecting: code 1006" if k == 1 else "")
            for k, (venue, symbols, kinds, hours) in enumerate((
                ("binance_spot", (), what, 26),
                ("bybit_linear", ("BTC-USDT-PERP", "ETH-USDT-PERP"), (*what, "funding"), 9),
                ("builtin", ("BTC-USDT",), ("trades", "book"), 3),
            ))
        )  # fmt: skip
        self.storage = StorageView(
            state=words.get(self.shown, "ready"),  # type: ignore[arg-type]
            detail=details.get(self.shown, ""),
            folder="/home/ada/.local/share/venuescope/store",
            recordings=() if self.shown in ("idle", "fresh", "readonly", "failed") else recordings,
            spans=spans,
            gaps=gaps,
            jobs=() if fresh else played_jobs(now),
            retention=RetentionView(
                *(30, 50 * GB, 0 if fresh else 41_820_000_000, 212 * GB, 0 if fresh else now + 12 * DAY),
                () if fresh else played_deletions(now),
                0 if fresh else 3_120_000_000,
            ),
            version=1,
        )

    # ---------- the store ----------

    def _advance(self) -> None:
        super()._advance()
        self._play()
        self._store()
        board = self.telemetry.board
        board.engine = replace(board.engine, replay=self.replay)
        board.storage = self.storage
        if self.replay is not None:
            self._show_replay(self.replay)

    def _show_replay(self, replay: ReplayView) -> None:
        board, market = self.telemetry.board, self.markets[replay.source.partition(":")[0]]
        source = self._source(market, self._now(), "replay")
        lead = replay.at_ns - self._now()
        ended = replay.state == "ended"
        shown = replace(
            source, label=f"{market.label}, past", colour=7, clock=lambda wall_ns: wall_ns + lead,
            newest_ns=replay.at_ns - 40_000_000, state="ended" if ended else "live",
        )  # fmt: skip
        for symbol in market.symbols:
            book = self._book(market, symbol, self._now())
            board.books[replay.source, symbol] = replace(
                book, ts_event_ns=replay.at_ns, ts_recv_ns=replay.at_ns, last_trade_ns=replay.at_ns
            )
        board.sources = (*board.sources, shown)

    def _play(self) -> None:
        if self.replay is None:
            return
        wall, at = self._replay_at
        now = self._now()
        if self.replay.state == "playing":
            speed = SPEEDS[self.replay.speed.removesuffix("x")]
            at = min(self.replay.to_ns, at + round((now - wall) * speed))
        else:
            at = self.replay.at_ns
        length = max(1, self.replay.to_ns - self.replay.from_ns)
        self._replay_at = (now, at)
        self.replay = replace(
            self.replay,
            at_ns=at,
            state="ended" if at >= self.replay.to_ns else self.replay.state,
            progress=(at - self.replay.from_ns) / length,
            events=(at - self.replay.from_ns) // 31_000_000,
        )

    def _store(self) -> None:
        storage, now = self.storage, self._now()
        if storage.state in ("off", "opening"):
            return
        second = now // SECOND
        on = tuple(m for m in self.markets.values() if m.state == "live")
        offered = [(m.key, tuple(MARKETS.get(m.key, m.symbols))) for m in on]
        writing = [each for each in storage.recordings if each.state == "recording"]
        stuck = self.shown in ("full", "failed", "silent", "readonly")
        rate = 0.0 if stuck or not writing else 1_890.0 * (0.96 + 0.08 * noise(second, 4))
        waiting = 61_400_000 if self.shown == "full" else 18_300 if rate else 0
        empty = not storage.spans
        rows = 0 if empty else 4_218_331 + second % 1_000_000
        journal = JournalView(
            rows=rows, blocks=rows // 900, size_bytes=0 if empty else 148_300_000, durable_seq=rows,
            pending_rows=waiting // 47, pending_bytes=waiting, pending_limit_bytes=134_217_728,
            commits=0 if empty else 184_220, commit_p50_ns=0 if empty else 1_900_000,
            commit_p99_ns=0 if empty else 7_400_000, rows_per_s=rate,
            newest_ns=0 if empty else now - (184 if stuck else 0 if writing else 3_841) * SECOND - 31_000_000,
            shed=(("deltas", 124_402), ("raw", 310)) if self.shown == "full" or self.shed else (), sqlite="3.54.1",
        )  # fmt: skip
        archive = ArchiveView(
            files=0 if empty else 1_412, rows=0 if empty else 1_184_201_377, size_bytes=0 if empty else 41_671_700_000,
            uri="s3://recordings/venuescope", remote=True, waiting=0 if empty else 3,
            state="idle" if empty else "uploading", detail="", newest_ns=0 if empty else now - 47 * SECOND,
            damaged=() if empty else (("kind=trades/date=2026-10-28/pair=BTC-USDT/venue=bybit/81-97.parquet",
                                       "the footer is cut off"),),
        )  # fmt: skip
        live = {each.venue for each in writing} if not stuck else set()
        ended = now - now % SECOND
        spans = tuple(
            replace(span, to_ns=ended) if span.venue in live and span.to_ns > ended - 90 * SECOND else span
            for span in storage.spans
        )
        recordings = tuple(
            replace(each, rows=round((now - each.since_ns) / 1e9 * 412), rows_per_s=each.rows_per_s or 412.0)
            if each.venue in live
            else each
            for each in storage.recordings
        )
        jobs = tuple(self._worked(job) for job in storage.jobs)
        self.storage = replace(
            storage,
            journal=journal,
            archive=archive,
            spans=spans,
            jobs=jobs,
            recordings=recordings,
            recordable=(*offered, ("builtin", MARKETS["builtin"])),
            version=storage.version + (storage.spans != spans),
        )

    def _worked(self, job: JobView) -> JobView:
        if job.state != "running":
            return job
        done = min(job.total, round((self._now() - job.started_ns) / 1e9 * 9_000))
        if done < job.total:
            return replace(job, rows=done, size_bytes=done * 21)
        return replace(job, rows=done, size_bytes=done * 21, state="done", ended_ns=self._now())


def played_past(now: int) -> tuple[tuple[SpanView, ...], tuple[GapView, ...]]:
    """(spans, holes) of six weeks: long stretches, bad days, one market that was given up."""
    spans: list[SpanView] = []
    gaps: list[GapView] = []
    today = now - now % DAY
    for v, (venue, symbols) in enumerate(MARKETS.items()):
        first = today - (DAYS - 11 * v) * DAY + (7 + v) * HOUR + 13 * MINUTE
        cuts = [
            (
                today - (3 + 5 * k + v) * DAY + round(noise(v, k, 2) * 20) * HOUR,
                round(3 + 57 * noise(v, k, 3)) * MINUTE,
                k,
            )
            for k in range(7)
        ]
        cuts += [
            (now - (41 + 53 * k + 9 * v) * MINUTE, round(20 + 340 * noise(v, k, 5)) * SECOND, k + 1)
            for k in range(9)
        ]
        if v == 2:
            cuts.append((today - 6 * DAY + 3 * HOUR, 31 * HOUR, 2))
        cuts = sorted(cut for cut in cuts if cut[0] > first and cut[0] + cut[1] < now)
        for s, symbol in enumerate(symbols):
            if symbol.startswith("1000000"):
                begin = now - 5 * HOUR
            elif symbol.startswith("SOL"):
                begin = today - 8 * DAY + 2 * HOUR
            else:
                begin = first
            for what in WHATS:
                start = max(begin, today - 12 * DAY + 9 * HOUR) if what == "book" else begin
                _stretches(spans, gaps, venue, symbol, what, start, now, cuts, s)
        _stretches(spans, gaps, venue, "", "events", first, now, [], 0)
    spans.append(_span(*OLD, "trades", today - 38 * DAY, today - 24 * DAY + 5 * HOUR))
    gaps.append(
        GapView(*OLD, "trades", today - 30 * DAY, today - 29 * DAY, REASONS[2], "partly filled", 8_112)
    )
    return (
        tuple(sorted(spans, key=lambda one: (one.venue, one.symbol, one.what, one.from_ns))),
        tuple(replace(gap, id=1 + k) for k, gap in enumerate(sorted(gaps, key=lambda one: one.from_ns))),
    )


def _stretches(spans: list[SpanView], gaps: list[GapView], venue: str, symbol: str, what: str, start: int, now: int,
               cuts: list[tuple[int, int, int]], s: int) -> None:  # fmt: skip
    at = start
    for begin, length, k in cuts:
        if begin <= at:
            continue
        spans.append(_span(venue, symbol, what, at, begin))
        filled = what != "book" and k % 3 == 1
        state = "filled" if filled else "partly filled" if what == "trades" and k % 5 == 3 else "open"
        gaps.append(GapView(venue, symbol, what, begin, begin + length, REASONS[(k + s) % 3], state,  # type: ignore[arg-type]
                            round(length / 1e9 * RATE[what]) if state != "open" else 0))  # fmt: skip
        at = begin + length
    if now > at:
        spans.append(_span(venue, symbol, what, at, now - now % SECOND))


def _span(venue: str, symbol: str, what: str, start: int, end: int) -> SpanView:
    rows = round((end - start) / 1e9 * RATE.get(what, 1.0))
    return SpanView(venue, symbol, what, start, end, rows, rows * BYTES.get(what, 60))


def played_jobs(now: int) -> tuple[JobView, ...]:
    """Exports in every state."""
    hour = now - now % HOUR - HOUR
    plan: tuple[tuple[str, str, str, str, str, str, str, int, int, int], ...] = (
        ("trades", "binance_spot", "BTC-USDT", "parquet", "running", "", "j9", 212_400, 1_894_221, 31),
        ("deltas", "binance_usdm", "1000000MOG-USDT-PERP", "csv", "waiting", "", "j8", 0, 0, 12),
        ("quotes", "bybit_linear", "BTC-USDT-PERP", "feather", "done", "", "j7", 8_412_204, 8_412_204, 611),
        ("candles", "builtin", "BTC-USDT", "csv", "done", "", "j6", 1_440, 1_440, 3_021),
        ("deltas", "binance_spot", "ETH-USDT", "csv", "failed",
         "the disk is full: 1.2 GB are needed, 310 MB are free", "j5", 4_118_200, 22_190_331, 7_212),
        ("latency", "builtin", "", "parquet", "canceled", "", "j4", 12_004, 86_400, 9_011),
    )  # fmt: skip
    return tuple(
        JobView(
            id=number, name=f"{kind}_{venue}_{symbol or 'all'}_2026-11-20T13.{'arrow' if form == 'feather' else form}",
            kind=kind, venue=venue, symbol=symbol, from_ns=hour, to_ns=hour + HOUR, form=form,
            state=state, detail=detail, rows=rows, total=total, size_bytes=rows * 21,  # type: ignore[arg-type]
            started_ns=now - ago * SECOND,
            ended_ns=now - (ago - 9) * SECOND if state in ("done", "failed", "canceled") else 0,
        )
        for kind, venue, symbol, form, state, detail, number, rows, total, ago in plan
    )  # fmt: skip


def played_deletions(now: int) -> tuple[DeletionView, ...]:
    """What goes next."""
    today = now - now % DAY

    def date(days: int) -> str:
        return time.strftime("%Y-%m-%d", time.gmtime((today - days * DAY) / 1e9))

    return (
        DeletionView(date(41), "binance_spot", 31, 812_000_000, 0, "over the disk budget"),
        DeletionView(date(30), "binance_spot", 28, 790_400_000, today + DAY, "older than 30 days"),
        DeletionView(date(30), "binance_usdm", 30, 1_204_100_000, today + DAY, "older than 30 days"),
        DeletionView(date(30), "bybit_inverse", 4, 31_000_000, today + DAY, "older than 30 days"),
        DeletionView(date(29), "binance_spot", 29, 801_200_000, today + 2 * DAY, "older than 30 days"),
        DeletionView(date(29), "binance_usdm", 31, 1_190_000_000, today + 2 * DAY, "older than 30 days"),
    )
