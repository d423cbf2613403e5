"""Commands of the command line that need the engine's packages alone; `app.py` has those that need more.

What a command does is imported when it runs: the command line itself starts at once.
"""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Annotated

import typer

from engine import settings
from engine.errors import BadSetting, UserError

_engine = typer.Typer()


def add_to(cli: typer.Typer) -> None:
    """The command line has these commands too."""
    cli.registered_commands.extend(_engine.registered_commands)


@_engine.command(
    "venue",
    add_help_option=False,
    context_settings={"ignore_unknown_options": True, "allow_extra_args": True},
)
def serve_venue(context: typer.Context) -> None:
    """Serve a local venue: Binance's and Bybit's public protocols, their limits, and faults on command."""
    from engine.exchange import serve as local

    raise typer.Exit(local.main(context.args))


EXCHANGE_URL = Annotated[
    str, typer.Option("--url", help="The exchange. [default: http://127.0.0.1 and the exchange_port setting]")
]


@_engine.command("bots")
def run_bots(
    strategy: Annotated[
        str,
        typer.Option(
            help="random, market-maker, momentum, twap, or your own: path/to/file.py:ClassName; or several."
        ),
    ] = "random",
    count: Annotated[int, typer.Option(help="How many robots.")] = 1,
    symbol: Annotated[str, typer.Option(help="What they trade.")] = "BTC-USDT",
    rate: Annotated[
        float, typer.Option(help="Orders a second of all together. [default: two for each]")
    ] = 0.0,
    seconds: Annotated[float, typer.Option(help="End by itself after so long; 0 = Ctrl-C ends it.")] = 0.0,
    seed: Annotated[int, typer.Option(help="Of what is random in them.")] = 1,
    url: EXCHANGE_URL = "",
) -> None:
    """Connect robots to the built-in exchange, over the wire as any client."""
    from engine.bots import run as bots

    raise typer.Exit(bots.main(strategy, count, symbol, rate, seconds, seed, url or _exchange_url()))


@_engine.command("stress")
def run_stress(
    clients: Annotated[int, typer.Option(help="How many connections.")] = 500,
    rate: Annotated[float, typer.Option(help="Orders a second in all, sent on a schedule.")] = 6_000.0,
    seconds: Annotated[float, typer.Option(help="How long.")] = 20.0,
    seed: Annotated[int, typer.Option(help="Of the order in which clients take turns.")] = 1,
    mode: Annotated[
        str, typer.Option(help="open (on a schedule), closed (each waits for its answer) or cancel-place.")
    ] = "open",
    url: EXCHANGE_URL = "",
) -> None:
    """Load the built-in exchange and print latencies from when each order was due; exit 1 when one is lost."""
    from engine.load import stress

    raise typer.Exit(stress.main(clients, rate, seconds, seed, url or _exchange_url(), mode))


@_engine.command("profile")
def run_profile(
    seconds: Annotated[int, typer.Option(help="1 to 60.")] = 10,
    url: EXCHANGE_URL = "",
) -> None:
    """Profile the engine's thread of the program that is running, without stopping it."""
    from engine import owner

    print(asyncio.run(owner.profile(url or _exchange_url(), seconds)))


@_engine.command("keys")
def manage_keys(
    action: Annotated[str, typer.Argument(help="create, list or revoke.")] = "list",
    key: Annotated[str, typer.Argument(help="Of revoke: the key, or what `list` calls it.")] = "",
    role: Annotated[
        str, typer.Option(help="Of create: read, trade or admin; each holds those before it. [default: read]")
    ] = "",
    expires: Annotated[
        str, typer.Option(help="Of create: how long it is good (30d), or until when. [default: no end]")
    ] = "",
    label: Annotated[str, typer.Option(help="Of create: what you call it.")] = "",
    account: Annotated[
        str, typer.Option(help="Of create: make a key of the built-in exchange, for this account of it.")
    ] = "",
    read_only: Annotated[
        bool, typer.Option("--read-only", help="Of create: make a key of the exchange that may not trade.")
    ] = False,
    url: EXCHANGE_URL = "",
) -> None:
    """Make, list or revoke keys of the API and the dashboard, and of the built-in exchange; shown in full once."""
    if action == "create" and (account or read_only):
        if role or expires:
            raise BadSetting(
                "account", account or "main", "--role and --expires are of keys of the API; leave them out"
            )
        _create_exchange_key(account or "main", label, url, trade=not read_only)
    elif action == "create":
        _create_access_key(role or "read", label, expires)
    elif action == "list":
        _list_keys(url)
    elif action == "revoke":
        _revoke_key(key, url)
    else:
        raise BadSetting("keys", action, "choose create, list or revoke")


def _create_access_key(role: str, label: str, expires: str) -> None:
    from engine.access import console
    from engine.access.keys import KeyRing

    now_ns = time.time_ns()
    ring = KeyRing(settings.load().data_dir)
    made, text = ring.create(role, label, now_ns, console.end_of(expires, now_ns))
    print(f"key   {text}\nrole  {made.role}")
    print("It lets programs into the market-data API and browsers into the dashboard. It is not shown again.")


def _create_exchange_key(account: str, label: str, url: str, *, trade: bool) -> None:
    from engine import owner
    from engine.exchange.keystore import KeyStore

    chosen = settings.load()
    store = KeyStore(chosen.data_dir, chosen.config_dir)
    made = asyncio.run(owner.create_key(url or _exchange_url(), store, account, label, trade=trade))
    print(f"API key  {made['api_key']}\nsecret   {made['secret']}\naccount  {made['account']}")
    print("The secret is not shown again.")


def _list_keys(url: str) -> None:
    from engine import owner
    from engine.access import console
    from engine.access.keys import KeyRing
    from engine.exchange.keystore import KeyStore

    chosen = settings.load()
    print("Of the API and the dashboard:")
    print("\n".join(console.table(KeyRing(chosen.data_dir).all(), time.time_ns())))
    store = KeyStore(chosen.data_dir, chosen.config_dir)
    rows = asyncio.run(owner.list_keys(url or _exchange_url(), store))
    print("\nOf the built-in exchange:")
    print(f"{'API key':<34}{'account':<16}{'may':<8}label")
    for row in rows:
        may = "trade" if row["trade"] else "read"
        print(f"{row['api_key']:<34}{row['account']:<16}{may:<8}{row['label']}")


def _revoke_key(key: str, url: str) -> None:
    from engine import owner
    from engine.access import console
    from engine.access.keys import KeyRing
    from engine.exchange.keystore import KeyStore

    chosen = settings.load()
    wanted = console.id_of(key)
    if not KeyRing(chosen.data_dir).revoke(wanted):
        store = KeyStore(chosen.data_dir, chosen.config_dir)
        if not asyncio.run(owner.revoke_key(url or _exchange_url(), store, wanted)):
            # Not what was given: it may be a whole key of another folder.
            raise UserError(f"there is no key {wanted!r}; `keys list` names those there are")
    print("revoked")


STORE = Annotated[
    Path | None, typer.Option(help="Folder of the store. [default: store, in the data_dir setting]")
]


LOCAL = Annotated[
    bool, typer.Option("--local", help="Of what a local venue said (venue_url), not of the real ones.")
]


@_engine.command("query")
def run_query(
    text: Annotated[str, typer.Argument(help='"select venue, count(*) from trades group by venue"')],
    start: Annotated[
        str, typer.Option("--from", help="Only what is recorded from then on: 10m, 2026-11-20.")
    ] = "",
    end: Annotated[str, typer.Option("--to", help="And before then.")] = "",
    form: Annotated[str, typer.Option("--format", help="table, csv, json, parquet or feather.")] = "table",
    out: Annotated[Path | None, typer.Option(help="File to write; needed for parquet and feather.")] = None,
    rows: Annotated[int, typer.Option(help="So many rows of a table are printed.")] = 40,
    store: STORE = None,
    local: LOCAL = False,
) -> None:
    """Ask for what is recorded in SQL, read-only: trades, quotes, deltas, snapshots, candles, funding, gaps, ..."""
    from engine.storage import command_line as storage

    folder = store or _store(local)
    raise typer.Exit(storage.run_query(folder, text, form, out, start=start, end=end, rows=rows))


@_engine.command("export")
def run_export(
    kind: Annotated[
        str, typer.Option(help="trades, quotes, deltas, snapshots, candles, funding, ...")
    ] = "trades",
    venue: Annotated[str, typer.Option(help="builtin, binance_spot, ... [default: all]")] = "",
    symbol: Annotated[str, typer.Option(help="BTC-USDT. [default: all]")] = "",
    start: Annotated[str, typer.Option("--from", help="First moment, UTC: 2026-11-20T14:00, or 10m.")] = "",
    end: Annotated[str, typer.Option("--to", help="End, UTC.")] = "",
    form: Annotated[
        str, typer.Option("--format", help="csv, parquet or feather. [default: by the file]")
    ] = "",
    out: Annotated[Path | None, typer.Option(help="File to write. [default: named by what is in it]")] = None,
    job: Annotated[str, typer.Option(hidden=True)] = "",
    store: STORE = None,
    local: LOCAL = False,
) -> None:
    """Take what is recorded away as CSV, Parquet or Feather."""
    from engine.storage import command_line as storage

    found = storage.run_export(
        store or _store(local),
        kind=kind,
        venue=venue,
        symbol=symbol,
        start=start,
        end=end,
        form=form,
        out=out,
        job=job,
    )
    raise typer.Exit(found)


@_engine.command("store")
def run_care(
    action: Annotated[str, typer.Argument(help="verify or compact.")],
    store: STORE = None,
) -> None:
    """Verify that all that is kept is as it was written, or move it from the journal into files; exit 1 for damage."""
    from engine.storage import care

    raise typer.Exit(care.run(store or _store(), action))


def _store(local: bool = False) -> Path:
    """The store of the settings, or that of local venues."""
    return settings.store_folder(settings.load(), local)


def _exchange_url() -> str:
    """Where this machine's exchange is by the settings."""
    chosen = settings.load()
    host = "[::1]" if chosen.host == "::1" else "127.0.0.1"
    return f"http://{host}:{chosen.exchange_port}"
