"""Venuescope's command line: settings, wiring, start, stop. The only module that sees every package.

Kernel-using modules are imported inside functions: Numba must not be imported before `kernels.activate` has
named its cache.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import gc
import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import structlog
import typer

from engine import addresses, command_line, guard, kernels, logs, open_files, settings
from engine.clock import SteadyClock
from engine.errors import BadSetting, CallFailed, StorageError, UserError
from engine.exchange.own_venue import own_venue
from engine.storage.names import USUAL

if TYPE_CHECKING:
    from dashboards.login import Login
    from dashboards.server import Wsgi
    from engine.api.options import ApiOptions
    from engine.builtin import Served
    from engine.diagnosis import Reached
    from engine.replays import OpenRecorded
    from engine.service import Engine

# Each group is compiled by a child of its own: what the first finds in the cache already, the second has compiled.
KERNEL_GROUPS: Final = (
    ("engine.matching.kernel", "engine.flow.kernel"),
    (
        "engine.matching.administration",
        "engine.market.book_kernel",
        "engine.market.candle_kernel",
        "engine.telemetry.histogram_kernel",
        "feeds.levels",
        "feeds.venues.binance_kernel",
    ),
)
KERNEL_MODULES: Final = tuple(name for group in KERNEL_GROUPS for name in group)
SPEEDS: Final = {"1": 1.0, "10": 10.0, "100": 100.0, "max": float("inf")}
# Orders come and go without cycles: looking for these after every 700 objects cost a third of the exchange's time.
GARBAGE: Final = (50_000, 20, 50)

REFUSED: Final = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EPIPE, errno.EIO, errno.EBADF)

Recorded = tuple[str, tuple[str, ...], int, int, int, float, bool]  # as OpenRecorded takes it

cli = typer.Typer(add_completion=False, pretty_exceptions_enable=False, no_args_is_help=False)
command_line.add_to(cli)


@cli.callback(invoke_without_command=True)
def serve(
    context: typer.Context,
    host: Annotated[
        str | None, typer.Option(help="Address to bind; any but loopback demands a login.")
    ] = None,
    # Numbers are taken as text: the settings check them, and say what is wrong in one sentence.
    port: Annotated[
        str | None, typer.Option(metavar="NUMBER", help="Port of the dashboard. [default: 8050]")
    ] = None,
    rate: Annotated[
        str | None,
        typer.Option(metavar="NUMBER", help="Orders a second of the simulator at start. [default: 5000]"),
    ] = None,
    seed: Annotated[
        str | None, typer.Option(metavar="NUMBER", help="Seed of the simulated order flow.")
    ] = None,
    replay: Annotated[
        str | None, typer.Option(help="Recorded Binance capture to play, or `sample` for one made here.")
    ] = None,
    speed: Annotated[str | None, typer.Option(help="Replay speed: 1, 10, 100 or max. [default: 1]")] = None,
    record: Annotated[
        str | None, typer.Option(metavar="VENUES", help="Recorded from the start: builtin,binance_spot.")
    ] = None,
    table: Annotated[
        float | None,
        typer.Option(metavar="SECONDS", help="Print a table of latest prices each so many seconds."),
    ] = None,
    venues: Annotated[
        str | None,
        typer.Option(metavar="MARKETS", help="Live markets to connect at start: binance_spot,bybit_linear."),
    ] = None,
    venue_url: Annotated[
        str | None,
        typer.Option(
            metavar="URL", help="A local venue in place of the real ones; `local` starts one for this run."
        ),
    ] = None,
) -> None:
    """Show how exchanges behave, live, on http://localhost:8050."""
    if context.invoked_subcommand is not None:
        return
    if speed is not None and speed not in SPEEDS:
        raise BadSetting("speed", speed, f"choose one of {', '.join(SPEEDS)}")
    if speed is not None and replay is None:
        raise BadSetting("speed", speed, "it goes with --replay")
    chosen = settings.load(
        host=host,
        port=_number(port),
        rate=_number(rate),
        seed=_number(seed),
        venues=venues,
        venue_url=venue_url,
        record=record,
    )
    logs.configure(chosen.log_level, chosen.log_format)
    if not asyncio.run(run(chosen, replay, SPEEDS[speed or "1"], table_s=table or 0.0)):
        structlog.get_logger(__name__).error("the engine's thread did not end in time")
        raise typer.Exit(1)


@cli.command("history")
def fetch_history(
    market: Annotated[str, typer.Argument(help="A live market: binance_spot, bybit_linear, ...")],
    symbols: Annotated[str, typer.Argument(help="Symbols, comma-separated: BTC-USDT,ETH-USDT.")],
    start: Annotated[str, typer.Option("--from", help="First moment, UTC: 2026-08-01, or 90d ago.")],
    end: Annotated[str, typer.Option("--to", help="End, UTC.")] = "now",
    interval: Annotated[str, typer.Option(help="Length of a candle: 1m, 1h, ...")] = "1m",
    concurrency: Annotated[str, typer.Option(help="Calls at a time; a sweep takes several: 1,4,16.")] = "4",
    batch: Annotated[
        str, typer.Option(help="Candles a call; a sweep takes several. [default: the venue's most]")
    ] = "",
    sweep: Annotated[
        bool, typer.Option("--sweep", help="Measure each pair of concurrency and batch instead.")
    ] = False,
    folder: Annotated[
        Path | None,
        typer.Option(help="Where candles are kept. [default: data_dir/history, or history-local]"),
    ] = None,
    venue_url: Annotated[str | None, typer.Option(help="A local venue in place of the real one.")] = None,
) -> None:
    """Fetch candles of many symbols over months, within the limits; a fetch that was broken off goes on."""
    chosen = settings.load(venue_url=venue_url)
    logs.configure(chosen.log_level, chosen.log_format)
    kernels.activate(chosen.cache_dir / "numba", KERNEL_MODULES)

    from engine.limits.desk import LimitDesk
    from engine.limits.store import BanStore
    from feeds import history, wiring
    from feeds.venues import DIALECTS

    if market not in DIALECTS:
        raise BadSetting("market", market, f"there is no such market; there are {', '.join(DIALECTS)}")
    names = [name.strip() for name in symbols.split(",") if name.strip()]

    async def run_it() -> int:
        desk = LimitDesk(wiring.limits_of(chosen), BanStore(wiring.bans_folder(chosen)))
        try:
            return await history.main(
                DIALECTS[market],
                desk,
                names,
                start=start,
                end=end,
                interval=interval,
                concurrency=concurrency,
                batch=batch,
                sweep=sweep,
                folder=folder or chosen.data_dir / wiring.kept("history", chosen),
                base=chosen.venue_url,
            )
        finally:
            desk.close()

    try:
        raise typer.Exit(asyncio.run(run_it()))
    except CallFailed as error:
        print(f"venuescope: {error}", file=sys.stderr)
        raise typer.Exit(1) from None


@cli.command("doctor")
def examine(
    json_form: Annotated[bool, typer.Option("--json", help="The findings as JSON.")] = False,
) -> None:
    """Check ports, disk, clock, versions, compiled kernels and whether venues answer; exit 1 when something is bad."""
    from engine import doctor

    raise typer.Exit(doctor.main(settings.load, _reach, KERNEL_MODULES, json_form=json_form))


async def _reach(chosen: settings.Settings) -> Sequence[Reached]:
    """Ask each venue for its time."""
    kernels.activate(chosen.cache_dir / "numba", KERNEL_MODULES)

    from feeds.reaching import reach

    return await reach(chosen)


def _number(text: str | None) -> int | str | None:
    """The number in a flag's text; text that is none stays, for the settings to refuse."""
    return int(text) if text is not None and text.lstrip("-").isdecimal() else text


@cli.command("record")
def record_venue(
    venue: Annotated[str, typer.Option(help="builtin, or a live market: binance_spot, bybit_linear, ...")],
    symbols: Annotated[
        str, typer.Option(help="Symbols, comma-separated: BTCUSDT,ETH-USDT. [default: those it follows]")
    ] = "",
    what: Annotated[
        str, typer.Option(help="trades, book, candles, funding, latency, counters, events, raw.")
    ] = ",".join(USUAL),
    seconds: Annotated[float, typer.Option(help="End by itself after so long; 0 = Ctrl-C ends it.")] = 0.0,
    rate: Annotated[str | None, typer.Option(metavar="NUMBER", help="Orders a second, of builtin.")] = None,
    venue_url: Annotated[str | None, typer.Option(help="A local venue in place of the real one.")] = None,
) -> None:
    """Record a venue without a page; what is acknowledged outlives a kill and a power cut."""
    if not seconds >= 0:  # nor is it nan
        raise BadSetting("seconds", seconds, "must be 0 (no end) or more")
    kernels.activate(settings.load().cache_dir / "numba", KERNEL_MODULES)

    from feeds import wiring

    market = wiring.market_of(venue)
    names = tuple(name.strip() for name in symbols.split(",") if name.strip())
    kinds = tuple(name.strip() for name in what.split(",") if name.strip())
    simulated = market == wiring.BUILT_IN
    chosen = settings.load(
        record=(market,),
        record_what=kinds,
        exchange="off",
        venue_url=venue_url,
        rate=_number(rate) if simulated else 0,
        history_s=0,
        venues=() if simulated else (market,),
        symbols={market: names} if names and not simulated else None,
    )
    logs.configure(chosen.log_level, chosen.log_format)
    raise typer.Exit(asyncio.run(_record(chosen, names, seconds)))


@cli.command("import")
def import_capture(
    path: Annotated[Path, typer.Argument(help="A capture: lines of `<time, ns> <frame>`, or cryptofeed's.")],
    venue: Annotated[str, typer.Option(help="Whose it is, where the capture does not tell.")] = "",
    what: Annotated[
        str, typer.Option(help="trades, book, candles, funding, raw.")
    ] = "trades,book,candles,funding,raw",
    local: command_line.LOCAL = False,
) -> None:
    """Take a foreign capture over into what is recorded: whole or not at all, and once."""
    chosen = settings.load()
    logs.configure(chosen.log_level, chosen.log_format)
    kernels.activate(chosen.cache_dir / "numba", KERNEL_MODULES)

    from engine.storage.console import Progress
    from engine.storage.imports import IMPORTED, ended_well, taking_over
    from feeds.importing import fingerprints, run_import

    kinds = tuple(name.strip() for name in what.split(",") if name.strip())
    for name in kinds:
        if name not in IMPORTED:
            raise BadSetting("what", name, f"choose of {', '.join(IMPORTED)}")
    files = fingerprints(path)
    shown = Progress()

    with ended_well(), taking_over(settings.store_folder(chosen, local), files, kinds) as inlet:

        def progress(done: int, total: int) -> None:
            inlet.flush()
            shown.at(done, total)

        found = run_import(path, inlet.sink, what=kinds, venue=venue, progress=progress)
    shown.end()
    rows = ", ".join(f"{count:,} {name}" for name, count in found.rows.items())
    print(
        f"{found.label}: {found.frames:,} frames of {', '.join(found.symbols) or 'no symbol we know'}: {rows}"
    )
    print(f"from {_utc(found.from_ns)} to {_utc(found.to_ns)}")
    for line in (*found.named, *([found.detail] if found.detail else [])):
        print(line, file=sys.stderr)
    if found.malformed > len(found.named):
        print(f"and {found.malformed - len(found.named):,} more that could not be read", file=sys.stderr)


@cli.command("replay")
def replay_recorded(
    venue: Annotated[str, typer.Option(help="What was recorded: builtin, binance_spot, ...")],
    start: Annotated[
        str, typer.Option("--from", help="First moment, UTC: 2026-11-20T14:00, or 10m ago.")
    ] = "",
    end: Annotated[str, typer.Option("--to", help="End, UTC. [default: the newest recording]")] = "",
    at: Annotated[str, typer.Option(help="Moment to begin at, within; what is before is made up fast.")] = "",
    symbols: Annotated[str, typer.Option(help="Symbols, comma-separated. [default: all]")] = "",
    speed: Annotated[str, typer.Option(help="1, 10, 100 or max.")] = "1",
    paused: Annotated[bool, typer.Option("--paused", help="Stand still there.")] = False,
    port: Annotated[str | None, typer.Option(metavar="NUMBER", help="Port of the dashboard.")] = None,
    local: command_line.LOCAL = False,
) -> None:
    """Show a recorded stretch on the pages, as if it were live."""
    if speed not in SPEEDS:
        raise BadSetting("speed", speed, f"choose one of {', '.join(SPEEDS)}")
    chosen = settings.load(port=_number(port))
    logs.configure(chosen.log_level, chosen.log_format)

    from engine.moments import moment_of
    from engine.storage import catalog
    from engine.storage.command_line import elsewhere

    now_ns, folder = time.time_ns(), settings.store_folder(chosen, local)
    if said := elsewhere(folder):
        print(f"venuescope: {said}", file=sys.stderr)
    names = tuple(name.strip() for name in symbols.split(",") if name.strip())
    with catalog.reading(folder) as connection:
        spans, _ = catalog.spans(connection)
    known = {span.venue for span in spans}
    market = next((name for name in (venue, f"{venue}_spot") if name in known), venue)
    newest = max((span for span in spans if span.venue == market), key=lambda span: span.to_ns, default=None)
    first_ns, last_ns = (newest.from_ns, newest.to_ns + 1) if newest is not None else (1, now_ns)
    wanted = (
        *(market, names),
        moment_of("--from", start, now_ns) if start else first_ns,
        moment_of("--to", end, now_ns) if end else last_ns,
        moment_of("--at", at, now_ns) if at else 0,
        *(SPEEDS[speed], paused),
    )
    asyncio.run(_check_recorded(chosen, wanted, folder))
    if not asyncio.run(run(chosen, recorded=wanted, folder=folder)):
        raise typer.Exit(1)


async def _check_recorded(chosen: settings.Settings, wanted: Recorded, folder: Path) -> None:
    """BadQuery, with what there is, when nothing of the stretch is recorded."""
    kernels.activate(chosen.cache_dir / "numba", KERNEL_MODULES)
    await _recorded_opener(folder, SteadyClock())(*wanted)


def _utc(time_ns: int) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(time_ns // 10**9))


async def _record(chosen: settings.Settings, symbols: tuple[str, ...], seconds: float) -> int:
    """Run an engine that records until told to stop; the exit code."""
    from engine.storage.console import follow, sum_up

    stop = asyncio.Event()
    _on_signals(stop.set)
    gc.set_threshold(*GARBAGE)
    async with own_venue(chosen) as chosen:
        engine = build_engine(chosen, symbols=symbols)
        engine.start()
        try:
            refused = await follow(engine.telemetry, chosen.record[0], symbols, seconds, stop)
        finally:
            ended = await asyncio.to_thread(engine.stop)
    store = engine.store
    return refused or (sum_up(store.written, store.given_up, ended) if store is not None else 1)


@dataclass(frozen=True, slots=True)
class Application:
    """Everything wired, nothing started."""

    engine: Engine
    wsgi: Wsgi
    login: Login | None  # where all must say who they are


def build_engine(
    chosen: settings.Settings,
    replay: str | None = None,
    speed: float = 1.0,
    *,
    recorded: Recorded | None = None,
    symbols: tuple[str, ...] = (),
    clock: SteadyClock | None = None,
    folder: Path | None = None,
) -> Engine:
    """The engine for these settings. BadCapture, BadDataFolder: what is to be gone on with is no good.

    `recorded` is a stretch to replay. `symbols` are those recorded of venues recorded from the start; () = all.
    `folder` is of the store, in place of the settings'.
    """
    directory = kernels.activate(chosen.cache_dir / "numba", KERNEL_MODULES)

    from engine.exchange_log import ExchangeLog
    from engine.service import Engine
    from engine.storage.store import StoreOptions
    from engine.storage.upload import checked
    from feeds import wiring
    from feeds.venues import DIALECTS

    checked(chosen.archive)
    for name in chosen.record:
        if name not in (wiring.BUILT_IN, *DIALECTS):
            known = ", ".join((wiring.BUILT_IN, *DIALECTS))
            raise BadSetting("record", name, f"there is no such market; there are {known}")
    clock = clock or SteadyClock()
    exchange_log = None
    if chosen.command_log != "off":
        exchange_log = ExchangeLog(chosen.data_dir / "exchange", chosen.command_log, chosen.seed)
        exchange_log.check()
    folder = folder or settings.store_folder(chosen)
    open_replay, open_recorded = None, _recorded_opener(folder, clock)
    if replay is not None:
        open_replay = wiring.replay_opener(replay, speed, chosen, clock)
    elif recorded is not None:
        open_replay = partial(open_recorded, *recorded)
    return Engine(
        seed=chosen.seed,
        rate=chosen.rate,
        history_s=chosen.history_s,
        kernel_groups=KERNEL_GROUPS,
        kernel_directory=directory,
        open_sample=wiring.replay_opener(wiring.SAMPLE, SPEEDS["1"], chosen, clock),
        open_replay=open_replay,
        open_recorded=open_recorded,
        exchange_log=exchange_log,
        open_markets=wiring.market_opener(chosen, clock),
        served=_served(chosen),
        store=StoreOptions(
            folder=folder,
            uri=chosen.archive,
            snapshot_s=chosen.snapshot_interval_s,
            snapshot_depth=chosen.snapshot_depth,
            record=chosen.record,
            what=chosen.record_what,
            symbols=symbols,
            days=chosen.retention_days,
            budget_bytes=chosen.disk_budget_gb * 10**9,
        ),
        api=_api(chosen),
        clock=clock,
    )


def build(
    chosen: settings.Settings,
    replay: str | None = None,
    speed: float = 1.0,
    *,
    recorded: Recorded | None = None,
    folder: Path | None = None,
) -> Application:
    """The application for these settings; as `build_engine`."""
    clock = SteadyClock()
    engine = build_engine(chosen, replay, speed, recorded=recorded, clock=clock, folder=folder)

    from dashboards.login import Login
    from dashboards.server import guarded, script_hashes
    from dashboards.shell import create_app
    from dashboards.transport import Transport
    from engine.access.keys import KeyRing

    pages = create_app(Transport(engine, clock))
    login = Login(KeyRing(chosen.data_dir)) if addresses.demanded(chosen) else None
    wsgi = guarded(pages.server.wsgi_app, addresses.names(chosen), login, script_hashes(pages))
    return Application(engine, wsgi, login)


def _api(chosen: settings.Settings) -> ApiOptions:
    from engine.api.options import ApiOptions

    return ApiOptions(
        host="127.0.0.1" if chosen.host == "localhost" else chosen.host,
        port=chosen.api_port if chosen.api == "on" else None,
        allowed_hosts=addresses.names(chosen),
        rate=chosen.api_rate,
        connections=chosen.api_connections,
        demanded=addresses.demanded(chosen),
        tls=addresses.tls(chosen),
        config_dir=chosen.config_dir,
        data_dir=chosen.data_dir,
    )


def _recorded_opener(folder: Path, clock: SteadyClock) -> OpenRecorded:
    """A function that opens a stretch recorded in a store; BadQuery when nothing of it is there."""
    from engine.storage.playback import Playback

    async def open_recorded(
        venue: str, symbols: tuple[str, ...], from_ns: int, to_ns: int, at_ns: int, speed: float, paused: bool
    ) -> Playback:
        found = Playback(
            *(folder, venue, symbols, from_ns, to_ns), at_ns=at_ns, speed=speed, paused=paused, wall=clock
        )
        await found.check()
        return found

    return open_recorded


async def run(
    chosen: settings.Settings,
    replay: str | None = None,
    speed: float = 1.0,
    *,
    recorded: Recorded | None = None,
    folder: Path | None = None,
    table_s: float = 0.0,
) -> bool:
    """Serve until SIGINT or SIGTERM; False when the engine's thread would not end in time.

    With `table_s`, a table of latest prices is printed each so many seconds.
    """
    from dashboards import server

    files = open_files.raise_limit()
    stop = asyncio.Event()
    _on_signals(stop.set)
    gc.set_threshold(*GARBAGE)
    tls = addresses.tls(chosen)
    if tls is not None:
        server.check_tls(tls)
    sock = server.listen(chosen.host, chosen.port)
    async with own_venue(chosen) as chosen:
        application = build(chosen, replay, speed, recorded=recorded, folder=folder)
        if table_s:
            _load_table()
        application.engine.start()
        _greet(chosen, application.login)
        table = _print_table(application.engine, table_s) if table_s else None
        try:
            await server.serve(application.wsgi, sock, stop, tls, files)
        finally:
            if table is not None:
                table.cancel()
            ended = application.engine.stop()
    return ended


def _greet(chosen: settings.Settings, login: Login | None) -> None:
    """Say where the pages are, and how one gets in."""
    url, everywhere = addresses.url(chosen), addresses.everywhere(chosen)
    print(f"Venuescope on {url} (Ctrl-C ends it)", flush=True)
    if login is not None:
        print(f"Log in with this link, or a key of `keys create`: {login.link(url)}", flush=True)
    if everywhere:
        print("From elsewhere, an address of this machine does as well as its name.", flush=True)
    if chosen.tls_cert is None and not guard.is_loopback(chosen.host):
        print("Nothing is encrypted on the way: set tls_cert and tls_key, or use a tunnel.", flush=True)


def _load_table() -> None:
    """What the table needs is imported: a second of the interpreter, before anything waits for it."""
    from engine import price_table

    price_table.frame([])


def _print_table(engine: Engine, every_s: float) -> asyncio.Task[None]:
    """A task that prints the latest prices each so many seconds, until nobody reads them any more."""
    from engine.price_table import print_prices

    return asyncio.create_task(print_prices(engine.telemetry, every_s, wall=engine.clock))


def _served(chosen: settings.Settings) -> Served | None:
    """Where the built-in exchange lets clients in, if it does; the limits it enforces are those of the file."""
    if chosen.exchange == "off":
        return None
    from engine.builtin import Served
    from engine.exchange.keystore import KeyStore
    from feeds import wiring

    # Nobody is asked there who they are, so it stays on this machine whatever the pages are bound to.
    host = chosen.host if chosen.host == "::1" else "127.0.0.1"
    store = KeyStore(chosen.data_dir, chosen.config_dir)
    return Served(host, chosen.exchange_port, chosen.order_port, store, wiring.limits_of(chosen))


def _on_signals(stop: Callable[[], None]) -> None:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        try:
            loop.add_signal_handler(number, stop)
        except NotImplementedError:  # Windows has none on its loops
            signal.signal(number, lambda *_: loop.call_soon_threadsafe(stop))


def main(arguments: list[str] | None = None) -> Any:
    """Run the command line; a user's mistake is one sentence and exit code 2, what the disk refuses exit code 1."""
    with contextlib.suppress(KeyboardInterrupt):
        try:
            try:
                return cli(arguments, standalone_mode=True)
            finally:
                if sys.stdout is not None:  # closed by whoever started this
                    sys.stdout.flush()  # here, where what it refuses can still be told
        except UserError as error:
            print(f"venuescope: {error}", file=sys.stderr)
            raise SystemExit(2) from None
        except StorageError as error:
            print(f"venuescope: {error}", file=sys.stderr)
            raise SystemExit(1) from None
        except OSError as error:
            # What is written to has no name by then; any other is our own mistake, or says itself which file it is.
            if error.filename is not None or error.errno not in REFUSED:
                raise
            print(f"venuescope: the output cannot be written: {error.strerror}", file=sys.stderr)
            if sys.stdout is not None:  # what still waits for it would be tried again at the end
                os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise SystemExit(1) from None
    return 0


if __name__ == "__main__":
    main()
