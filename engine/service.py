"""The engine as the application sees it: started once, told what to do by commands, read through telemetry.

Order at start: the loop and the board at once, so that pages have something to read; kernels compiled in a
child process where the cache is cold and loaded in a worker thread; then the built-in exchange, the live venues and
the feeds.
"""

from __future__ import annotations

import asyncio
import gc
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import TimeoutError as FutureTimeout
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Final

import psutil
import structlog

from engine import kernels
from engine.access.tokens import PURPOSE
from engine.alerts import commands as alerting
from engine.alerts.alerts import Alerts
from engine.api.assembly import Api
from engine.api.options import ApiOptions
from engine.builtin import BuiltIn, Served
from engine.clock import SteadyClock
from engine.errors import BadCommand, KernelError
from engine.exchange.clients import MAX_CLIENTS
from engine.exchange.commands import COMMANDS, carry_out
from engine.exchange.desk import MAX_WAITING
from engine.exchange_log import FINAL, ExchangeLog
from engine.intake import Intake
from engine.profiling import Profiler
from engine.replays import OpenRecorded, OpenReplay, Replays
from engine.runtime import Runtime, every, watch_lag
from engine.sealing import Sealer, signing_secret
from engine.settings import RATE_MAX
from engine.storage import commands as storage
from engine.storage.store import Store, StoreOptions
from engine.telemetry.board import ExchangeView, ProcessView, QueueView
from engine.telemetry.events import Level
from engine.telemetry.histogram import Histogram, quantiles
from engine.telemetry.hub import Telemetry
from engine.venues import LiveMarkets, OpenMarkets, Venues

log = structlog.get_logger(__name__)

PUBLISH_S: Final = 0.05
LOOK_NS: Final = 200_000_000  # between two looks at the live venues
LAG_S: Final = 0.01
PROFILE_S: Final = 10
NAME_MAX: Final = 64
COMMAND_TIMEOUT_S: Final = 2.0
PAGE_STAGES: Final = ("poll", "draw", "total")


class Engine:
    """One engine a process. `start` and `stop` are the application's; the rest may be called from any thread.

    `open_replay` makes the replay asked for at the command line, if any; `open_sample` the one that pages
    can start, `open_recorded` a stretch out of the store. They may take seconds and must not block the loop.
    Without `exchange_log` the built-in exchange begins anew at each start. `open_markets` makes the live venues
    and their limits. Without `served` no client can connect to the built-in exchange. With `api` there are alerts,
    and, unless its port is None, the market-data API.
    """

    def __init__(
        self,
        *,
        seed: int,
        rate: int,
        history_s: int,
        kernel_groups: Sequence[Sequence[str]],
        kernel_directory: Path,
        open_sample: OpenReplay,
        open_replay: OpenReplay | None = None,
        open_recorded: OpenRecorded | None = None,
        exchange_log: ExchangeLog | None = None,
        open_markets: OpenMarkets | None = None,
        served: Served | None = None,
        store: StoreOptions | None = None,
        api: ApiOptions | None = None,
        clock: SteadyClock | None = None,
    ) -> None:
        self.clock = clock or SteadyClock()
        self.telemetry = Telemetry(self.clock())
        self.intake = Intake(self.telemetry, self.clock, self._close_second)
        self._live = open_markets(self._note_venue) if open_markets is not None else None
        self.store = self._open_store(store) if store is not None else None
        self._looked_ns = self._looked_at_house_ns = 0  # at the live venues; at the built-in exchange
        self.built_in = BuiltIn(seed, rate, history_s, self.clock, exchange_log, served)
        self.runtime = Runtime(self._report)
        self.alerts: Alerts | None = None
        self.api: Api | None = None
        if api is not None:
            self.alerts, self.api = self._open_api(api)
        self._groups = tuple(kernel_groups)
        self._modules = tuple(name for group in kernel_groups for name in group)
        self._directory = kernel_directory
        self._open_replay = open_replay
        self._replays = Replays(self.runtime, self.intake, open_sample, open_recorded)
        self._set_back_ns = 0
        self._profiler: Profiler | None = None
        self._process = psutil.Process()
        self._processed_ns = 0
        self._start_lag: Histogram | None = Histogram()  # until kernels are ready

    def start(self) -> None:
        """Start the engine's thread; returns when its loop runs."""
        self._show(
            kernels_total=len(self._modules), kernels_directory=str(self._directory), rate=self.built_in.rate
        )
        self.runtime.start(self._main)

    def stop(self) -> bool:
        """Stop everything within 4 s; False when the thread would not end."""
        return self.runtime.stop()

    def command(self, name: str, args: dict[str, Any]) -> Any:
        """Do `name` on the engine's thread and wait for it; what came of it, None where there is nothing to say.

        BadCommand with a sentence when it cannot be done.
        """
        handler = self._handler(name)
        done = self.runtime.submit(lambda: handler(args))
        try:
            return done.result(COMMAND_TIMEOUT_S)
        except FutureTimeout as error:
            done.cancel()
            raise BadCommand(
                "the engine did not answer within 2 s; the command may not have been done"
            ) from error

    def _handler(self, name: str) -> Callable[[dict[str, Any]], Any]:
        """What does a command. BadCommand when there is none of that name."""
        handler: Callable[[dict[str, Any]], Any] | None = {
            "set_rate": self._set_rate,
            "connect_venue": self._connect_venue,
            "disconnect_venue": self._disconnect_venue,
            "add_symbol": self._add_symbol,
            "remove_symbol": self._remove_symbol,
            "set_poll": self._set_poll,
            "profile": self._start_profile,
        }.get(name)
        if name in self._replays.commands:
            handler = partial(self._tell_replays, name)
        if name in COMMANDS:
            handler = partial(self._tell_house, name)
        if name in storage.COMMANDS:
            handler = partial(self._tell_store, name)
        if name in alerting.COMMANDS:
            handler = partial(self._tell_alerts, name)
        if handler is None:
            raise BadCommand(f"the engine has no command named {name[:40]!r}")
        return handler

    def note_page(self, stage: str, values_ns: list[int]) -> None:
        """Record latencies that pages measured; does not wait. Works while kernels are being compiled."""
        if stage in PAGE_STAGES:
            self.runtime.submit(lambda: self._record_page(stage, values_ns))

    # --- on the loop -------------------------------------------------------------------------------------

    async def _main(self) -> None:
        self._profiler = Profiler(asyncio.get_running_loop(), self.clock)
        self.runtime.supervise("loop lag", lambda: watch_lag(LAG_S, self._note_lag))
        self.runtime.supervise("publish", lambda: every(PUBLISH_S, self._publish))
        if self.api is not None:
            self.runtime.supervise("market-data API", self.api.server.run)
        await self._ready_kernels()
        if self.telemetry.board.engine.state == "failed":
            return
        if self.store is not None:
            self.intake.tap = self.store.recorder
            self.runtime.supervise("store", self.store.run)
        self.runtime.supervise(
            "built-in exchange",
            lambda: self.built_in.run(self.intake),
            final=FINAL,
        )
        if self._live is not None:
            live = self._live
            self.runtime.supervise("live venues", lambda: self._serve_venues(live))
        if self.api is not None:
            self.runtime.supervise("push", self.api.push.run)
        if self.alerts is not None:
            self.runtime.supervise("alerts", self.alerts.run)
        if self._open_replay is not None:
            self._replays.begin(self._open_replay)

    async def _ready_kernels(self) -> None:
        started = time.monotonic()
        try:
            if not kernels.is_warm(self._directory):
                self._show(state="compiling", detail="first start: compiling for this machine")
                await kernels.compile_in_children(
                    self._groups, lambda progress: self._show(kernels_done=progress.done)
                )
            self._show(detail="loading compiled kernels")
            await asyncio.to_thread(kernels.load, self._modules)
        except KernelError as error:
            self._show(state="failed", detail=str(error))
            self._event("error", "kernels", str(error))
            return
        # What is loaded by now stays: were it left to the collector, each full walk would stall all threads for 90 ms.
        gc.freeze()
        took = time.monotonic() - started
        self._show(state="running", detail="", kernels_done=len(self._modules), kernels_seconds=took)
        lag, self._start_lag = self._start_lag, None
        lag_ms = quantiles(lag.counts, [0.99], lag.greatest_ns)[0] / 1e6 if lag and lag.count else 0.0
        text = f"kernels ready after {took:.1f} s; loop lag p99 {lag_ms:.1f} ms meanwhile"
        self._event("info", "kernels", text)
        log.info("kernels ready", seconds=round(took, 2), loop_lag_p99_ms=round(lag_ms, 3))

    def _set_rate(self, args: dict[str, Any]) -> None:
        rate = args.get("orders_per_s")
        if not isinstance(rate, int) or isinstance(rate, bool) or not 0 <= rate <= RATE_MAX:
            raise BadCommand(f"the simulation rate must be a whole number from 0 to {RATE_MAX:,} orders/s")
        if rate != self.built_in.rate:
            self._event(
                "info",
                "rate",
                f"simulation rate {self.built_in.rate:,} \N{RIGHTWARDS ARROW} {rate:,} orders/s",
            )
        self.built_in.rate = rate
        self._show(rate=rate)

    def _tell_replays(self, name: str, args: dict[str, Any]) -> Any:
        self._check_running()
        return self._replays.commands[name](args)

    def _connect_venue(self, args: dict[str, Any]) -> None:
        self._check_running()
        self._venues().connect(_text(args, "venue"))

    def _disconnect_venue(self, args: dict[str, Any]) -> None:
        self._venues().disconnect(_text(args, "venue"))

    def _add_symbol(self, args: dict[str, Any]) -> None:
        self._venues().add_symbol(_text(args, "venue"), _text(args, "symbol"))

    def _remove_symbol(self, args: dict[str, Any]) -> None:
        self._venues().remove_symbol(_text(args, "venue"), _text(args, "symbol"))

    def _set_poll(self, args: dict[str, Any]) -> None:
        interval_s = args.get("interval_s")
        if not isinstance(interval_s, int) or isinstance(interval_s, bool):
            raise BadCommand("a poll's interval must be a whole number of seconds, 0 = not at all")
        self._venues().set_poll(_text(args, "venue"), _text(args, "endpoint"), interval_s)

    async def _tell_house(self, name: str, args: dict[str, Any]) -> dict[str, Any]:
        house = self.built_in.house
        if house is None:
            raise BadCommand("the built-in exchange is not running, or no clients are let in")
        return await carry_out(house, name, args)

    async def _tell_store(self, name: str, args: dict[str, Any]) -> Any:
        self._check_running()
        if self.store is None:
            raise BadCommand("nothing can be recorded here")
        return await storage.carry_out(self.store, name, args)

    async def _tell_alerts(self, name: str, args: dict[str, Any]) -> Any:
        self._check_running()
        if self.alerts is None:
            raise BadCommand("there are no alerts here")
        return await alerting.carry_out(self.alerts, name, args)

    def _open_api(self, options: ApiOptions) -> tuple[Alerts, Api | None]:
        sealer = Sealer(options.config_dir)
        alerts = Alerts(options.data_dir, sealer, self.telemetry, self.clock, self._note_store)
        if options.port is None:
            return alerts, None
        store = self.store.folder if self.store is not None else None
        api = Api(
            *(options, partial(self._token_secret, sealer), self.telemetry, self.intake, alerts, store),
            *(self._do, self.clock, self._note_store),
        )
        return alerts, api

    def _token_secret(self, sealer: Sealer) -> bytes:
        secret, trouble = signing_secret(sealer, PURPOSE)
        if trouble:
            self._event("warn", "api", f"the API's tokens end with the program: {trouble}")
        return secret

    async def _do(self, name: str, args: dict[str, Any]) -> Any:
        """A command of somebody on the engine's own loop."""
        found = self._handler(name)(args)
        return await found if asyncio.iscoroutine(found) else found

    def export_path(self, job: str) -> Path | None:
        """The finished file of an export, None when there is none. From any thread."""
        return self.store.jobs.path_of(job) if self.store is not None else None

    def _open_store(self, options: StoreOptions) -> Store:
        live = self._live
        backfill = live.venues.backfill if live is not None else None
        return Store(options, self.telemetry, self.clock, self._note_store, backfill)

    def _note_store(self, level: Level, source: str, what: str, text: str) -> None:
        self.telemetry.events.add(self.clock(), level, source, what, text)

    def _start_profile(self, args: dict[str, Any]) -> None:
        if self._profiler is None:
            raise BadCommand("the engine is not running yet; try again when it does")
        self._profiler.start(args.get("seconds", PROFILE_S), lambda _: None)

    def _venues(self) -> Venues:
        if self._live is None:
            raise BadCommand("this engine has no live venues")
        return self._live.venues

    def _check_running(self) -> None:
        if self.telemetry.board.engine.state != "running":
            raise BadCommand("the engine is not running yet; try again when it does")

    def _publish(self) -> None:
        board = self.telemetry.board
        self.intake.publish()
        board.tasks, board.queues = (
            self.runtime.tasks(),
            (
                self.runtime.queue(),
                *self._house_queues(),
                *(self.api.queues() if self.api is not None else ()),
            ),
        )
        command_log = self.built_in.command_log
        board.command_log = command_log.view() if command_log is not None else None
        view = self._replays.view()
        built_in = self.built_in
        if (view, built_in.skipped, built_in.rate_actual) != (
            board.engine.replay,
            board.engine.skipped,
            board.engine.rate_actual,
        ):
            self._show(replay=view, skipped=built_in.skipped, rate_actual=built_in.rate_actual)
        if self.store is not None:
            board.storage = self.store.view
        if self.alerts is not None:
            board.alerts = self.alerts.view
        board.profile = self._profiler.view if self._profiler is not None else None
        house = built_in.house
        if house is not None:
            house.floor.stages.record(self.telemetry, self.clock())
        self._look_at_venues()
        self._watch_clock()
        if board.closed_second_ns != self._processed_ns:
            self._processed_ns = board.closed_second_ns
            board.process = ProcessView(
                self._process.cpu_percent(), self._process.memory_info().rss, threading.active_count()
            )

    async def _serve_venues(self, live: LiveMarkets) -> None:
        try:
            await live.venues.run(self.intake)
        finally:
            live.limits.close()

    def _look_at_venues(self) -> None:
        now_ns = self.clock()
        if self._live is not None and now_ns - self._looked_ns >= LOOK_NS:
            self._looked_ns = now_ns
            board = self.telemetry.board
            board.venues = self._live.venues.views(now_ns)
            board.limits = self._live.limits.views(now_ns)
        if now_ns - self._looked_at_house_ns >= LOOK_NS:
            self._looked_at_house_ns = now_ns
            self._look_at_house(now_ns)

    def _house_queues(self) -> tuple[QueueView, ...]:
        """What waits at the built-in exchange, and who is connected: each has a bound."""
        house = self.built_in.house
        if house is None:
            return ()
        desk, clients = house.floor.desk, house.floor.clients
        return (
            QueueView("exchange commands", desk.waiting, desk.most_waiting, MAX_WAITING, desk.overfull),
            QueueView("exchange clients", len(clients.all), clients.most, MAX_CLIENTS, clients.refused),
        )

    def _look_at_house(self, now_ns: int) -> None:
        built_in, board = self.built_in, self.telemetry.board
        house, served = built_in.house, built_in.served
        if house is None:
            if served is not None and board.exchange.state != "starting":
                board.exchange = ExchangeView(state="starting")
            return
        house.admin.profiler = lambda: self._profiler
        if built_in.trouble:
            board.exchange = replace(house.view(now_ns), state="failed", detail=built_in.trouble)
        else:
            board.exchange = house.view(now_ns)

    def _close_second(self, second_ns: int) -> None:
        if self.built_in.house is not None:
            self.built_in.house.close_second(self.telemetry, second_ns)
        if self._live is not None:
            self._live.limits.close_second(self.telemetry, second_ns)

    def _note_venue(self, level: Level, venue: str, what: str, text: str) -> None:
        self.telemetry.events.add(self.clock(), level, venue, what, text)

    def _record_page(self, stage: str, values_ns: list[int]) -> None:
        found = self.telemetry.stage("page", stage)
        for value_ns in values_ns:
            found.record_one(self.clock(), value_ns)

    def _watch_clock(self) -> None:
        behind_ns = self.clock.behind_ns
        if behind_ns and not self._set_back_ns:
            seconds = behind_ns / 1e9
            self._event(
                "warn",
                "clock",
                f"the system's clock was set back by {seconds:.1f} s; times here go on as before",
            )
        elif self._set_back_ns and not behind_ns:
            self._event("info", "clock", "the system's clock has caught up")
        self._set_back_ns = behind_ns

    def _note_lag(self, lag_ns: int) -> None:
        self.telemetry.stage("engine", "loop").record_one(self.clock(), lag_ns)
        if self._start_lag is not None:
            self._start_lag.record_one(lag_ns)

    def _show(self, **fields: Any) -> None:
        board = self.telemetry.board
        board.engine = replace(board.engine, **fields)

    def _event(self, level: Any, what: str, text: str) -> None:
        self.telemetry.events.add(self.clock(), level, "", what, text)

    def _report(self, task: str, sentence: str) -> None:
        self._event("error", "task", f"{task}: {sentence}")


def _text(args: dict[str, Any], name: str) -> str:
    """An argument that must be a name; BadCommand when it is none."""
    value = args.get(name)
    if not isinstance(value, str) or not 0 < len(value) <= NAME_MAX:
        raise BadCommand(f"the command needs {name}: 1 to {NAME_MAX} characters of text")
    return value
