"""Venuescope's command line: settings, wiring, start, stop. The only module that sees every package.

Kernel-using modules are imported inside functions: Numba must not be imported before `kernels.activate` has
named its cache.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import signal
import sys
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import structlog
import typer

from engine import command_line, kernels, settings
from engine.clock import SteadyClock
from engine.errors import BadLimits, BadSetting, CallFailed, UserError

if TYPE_CHECKING:
    from dashboards.server import Wsgi
    from engine.builtin import Served
    from engine.limits.rules import Rules
    from engine.service import Engine, OpenReplay, Replay
    from engine.venues import OpenMarkets

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
SPEEDS: Final = {"1": 1.0, "10": 10.0, "max": float("inf")}
SAMPLE: Final = "sample"
# Orders come and go without cycles: looking for these after every 700 objects cost a third of the exchange's time.
GARBAGE: Final = (50_000, 20, 50)
LOCAL: Final = "local"
LIMITS_FILE: Final = "rate_limits.json"
VENUE_START_S: Final = 30.0
VENUE_STOP_S: Final = 3.0

cli = typer.Typer(add_completion=False, pretty_exceptions_enable=False, no_args_is_help=False)
command_line.add_to(cli)


@cli.callback(invoke_without_command=True)
def serve(
    context: typer.Context,
    host: Annotated[str | None, typer.Option(help="Address to bind; loopback only.")] = None,
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
    speed: Annotated[str | None, typer.Option(help="Replay speed: 1, 10 or max. [default: 1]")] = None,
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
    )
    _configure_log(chosen.log_level)
    if not asyncio.run(run(chosen, replay, SPEEDS[speed or "1"])):
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
    _configure_log(chosen.log_level)
    kernels.activate(chosen.cache_dir / "numba", KERNEL_MODULES)

    from engine.limits.desk import LimitDesk
    from engine.limits.store import BanStore
    from feeds import history
    from feeds.venues import DIALECTS

    if market not in DIALECTS:
        raise BadSetting("market", market, f"there is no such market; there are {', '.join(DIALECTS)}")
    names = [name.strip() for name in symbols.split(",") if name.strip()]

    async def run_it() -> int:
        desk = LimitDesk(_limits(chosen), BanStore(_bans(chosen)))
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
                folder=folder or chosen.data_dir / _kept("history", chosen),
                base=chosen.venue_url,
            )
        finally:
            desk.close()

    try:
        raise typer.Exit(asyncio.run(run_it()))
    except CallFailed as error:
        print(f"venuescope: {error}", file=sys.stderr)
        raise typer.Exit(1) from None


def _number(text: str | None) -> int | str | None:
    """The number in a flag's text; text that is none stays, for the settings to refuse."""
    return int(text) if text is not None and text.lstrip("-").isdecimal() else text


@dataclass(frozen=True, slots=True)
class Application:
    """Everything wired, nothing started."""

    engine: Engine
    wsgi: Wsgi


def build(chosen: settings.Settings, replay: str | None = None, speed: float = 1.0) -> Application:
    """The application for these settings. BadCapture, BadDataFolder: what is to be gone on with is no good."""
    directory = kernels.activate(chosen.cache_dir / "numba", KERNEL_MODULES)

    from dashboards.server import guarded
    from dashboards.shell import create_app
    from dashboards.transport import Transport
    from engine.exchange_log import ExchangeLog
    from engine.service import Engine

    clock = SteadyClock()
    served = _served(chosen)
    exchange_log = None
    if chosen.command_log != "off":
        exchange_log = ExchangeLog(chosen.data_dir / "exchange", chosen.command_log, chosen.seed)
        exchange_log.check()
    engine = Engine(
        seed=chosen.seed,
        rate=chosen.rate,
        history_s=chosen.history_s,
        kernel_groups=KERNEL_GROUPS,
        kernel_directory=directory,
        open_sample=_opener(SAMPLE, SPEEDS["1"], chosen, clock),
        open_replay=_opener(replay, speed, chosen, clock) if replay is not None else None,
        exchange_log=exchange_log,
        open_markets=_market_opener(chosen, clock),
        served=served,
        clock=clock,
    )
    pages = create_app(Transport(engine, clock))
    return Application(engine, guarded(pages.server.wsgi_app, chosen.allowed_hosts))


async def run(chosen: settings.Settings, replay: str | None = None, speed: float = 1.0) -> bool:
    """Serve until SIGINT or SIGTERM; False when the engine's thread would not end in time."""
    from dashboards import server

    stop = asyncio.Event()
    _on_signals(stop.set)
    gc.set_threshold(*GARBAGE)
    sock = server.listen(chosen.host, chosen.port)
    async with _own_venue(chosen) as chosen:
        application = build(chosen, replay, speed)
        application.engine.start()
        name = "[::1]" if chosen.host == "::1" else "localhost"
        print(f"Venuescope on http://{name}:{chosen.port} (Ctrl-C ends it)", flush=True)
        try:
            await server.serve(application.wsgi, sock, stop)
        finally:
            ended = application.engine.stop()
    return ended


@contextlib.asynccontextmanager
async def _own_venue(chosen: settings.Settings) -> AsyncIterator[settings.Settings]:
    """The settings, with the address of a local venue that lives as long as the block where `local` was asked for."""
    if chosen.venue_url != LOCAL:
        yield chosen
        return
    command = (sys.executable, "-m", "engine.exchange.serve", "--port", "0", "--seed", str(chosen.seed))
    child = await asyncio.create_subprocess_exec(
        *(*command, "--while-stdin-lasts"),
        cwd=Path(__file__).resolve().parent,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        url = await _first_url(child)
        print(f"Local venue on {url}", flush=True)
        yield chosen.model_copy(update={"venue_url": url})
    finally:
        await _end(child)


async def _first_url(child: asyncio.subprocess.Process) -> str:
    """The address the local venue prints once it serves. BadSetting when it does not."""
    assert child.stdout is not None
    said = b""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(VENUE_START_S):
            said = await child.stdout.readline()
    url = said.decode().strip()
    if not url.startswith("http://"):
        raise BadSetting(
            "venue_url", LOCAL, "the local venue did not start; its reason, if any, stands above"
        )
    return url


async def _end(child: asyncio.subprocess.Process) -> None:
    """End a child of ours, within a few seconds."""
    if child.returncode is not None:
        return
    child.terminate()
    try:
        async with asyncio.timeout(VENUE_STOP_S):
            await child.wait()
    except TimeoutError:
        child.kill()
        await child.wait()


def _market_opener(chosen: settings.Settings, clock: SteadyClock) -> OpenMarkets:
    """A function that makes the live venues; settings and limits are checked now, so that bad ones end the program."""
    from engine.limits.desk import LimitDesk
    from engine.limits.store import BanStore
    from engine.venues import LiveMarkets, Note
    from feeds.live import LiveVenues
    from feeds.polls import calls_of
    from feeds.venues import DIALECTS

    for key, names in (("venues", chosen.venues), ("symbols", chosen.symbols), ("polls", chosen.polls)):
        for name in names:
            if name not in DIALECTS:
                raise BadSetting(key, name, f"there is no such market; there are {', '.join(DIALECTS)}")
    for market, intervals in chosen.polls.items():
        for endpoint in intervals:
            known = calls_of(DIALECTS[market])
            if endpoint not in known:
                raise BadSetting(f"polls.{market}", endpoint, f"{market} is polled for {', '.join(known)}")
    limits, bans = _limits(chosen), _bans(chosen)
    for key, dialect in DIALECTS.items():
        if dialect.limits not in limits.venues:
            raise BadLimits(limits.path, dialect.limits, f"it is missing, and {key} needs it; a file has all")
    spent = {dialect.limits for dialect in DIALECTS.values()}
    for name in limits.venues:
        if name not in spent:
            raise BadLimits(limits.path, name, f"no market spends it; there are {', '.join(sorted(spent))}")

    def open_markets(note: Note) -> LiveMarkets:
        desk = LimitDesk(limits, BanStore(bans), wall=clock, note=note)
        venues = LiveVenues(
            DIALECTS.values(),
            desk,
            base=chosen.venue_url,
            symbols=chosen.symbols,
            polls=chosen.polls,
            wall=clock,
            note=note,
        )
        for name in chosen.venues:
            venues.connect(name)
        return LiveMarkets(venues, desk)

    return open_markets


def _served(chosen: settings.Settings) -> Served | None:
    """Where the built-in exchange lets clients in, if it does; the limits it enforces are those of the file."""
    if chosen.exchange == "off":
        return None
    from engine.builtin import Served
    from engine.exchange.keystore import KeyStore

    host = "127.0.0.1" if chosen.host == "localhost" else chosen.host
    store = KeyStore(chosen.data_dir, chosen.config_dir)
    return Served(host, chosen.exchange_port, chosen.order_port, store, _limits(chosen))


def _limits(chosen: settings.Settings) -> Rules:
    """The rate limits: the file that is named, else the one in the working directory, else our own."""
    from engine.limits import rules

    own = Path(LIMITS_FILE)
    return rules.load(chosen.rate_limits or (own if own.exists() else None))


def _bans(chosen: settings.Settings) -> Path:
    """Where bans are kept."""
    return chosen.data_dir / _kept("bans", chosen)


def _kept(name: str, chosen: settings.Settings) -> str:
    """The folder's name: what a local venue said or sold must never pass for the real one's."""
    return f"{name}-local" if chosen.venue_url else name


def _opener(replay: str, speed: float, chosen: settings.Settings, clock: SteadyClock) -> OpenReplay:
    """A function that opens the replay; a file is checked now, so that a bad one ends the program at once."""
    from feeds import sample
    from feeds.capture import probe
    from feeds.replay import ReplayFeed

    if replay != SAMPLE:
        path = Path(replay)
        info = probe(path)

        async def open_file() -> Replay:
            return ReplayFeed(path, speed, info, clock)

        return open_file

    async def open_sample() -> Replay:
        path = await sample.ensure(chosen.cache_dir / "samples", chosen.seed)
        return ReplayFeed(path, speed, await asyncio.to_thread(probe, path), clock)

    return open_sample


def _on_signals(stop: Callable[[], None]) -> None:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        try:
            loop.add_signal_handler(number, stop)
        except NotImplementedError:  # Windows has none on its loops
            signal.signal(number, lambda *_: loop.call_soon_threadsafe(stop))


def _configure_log(level: str) -> None:
    minimum = logging.getLevelNamesMapping()[level.upper()]
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.KeyValueRenderer(key_order=["timestamp", "level", "event"]),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(minimum),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    logging.basicConfig(level=max(minimum, logging.WARNING))


def main(arguments: list[str] | None = None) -> Any:
    """Run the command line; a user's mistake is one sentence and exit code 2."""
    with contextlib.suppress(KeyboardInterrupt):
        try:
            return cli(arguments, standalone_mode=True)
        except UserError as error:
            print(f"venuescope: {error}", file=sys.stderr)
            raise SystemExit(2) from None
    return 0


if __name__ == "__main__":
    main()
