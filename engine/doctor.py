"""`uv run app.py doctor`: is this machine fit to run Venuescope, and what to do where it is not.

What is looked at is in `engine.symptoms` and in `reach`, which asks the venues; what it means in `engine.diagnosis`.
Looks run beside each other, each with its time: one that hangs (a dead network drive) is told of as such.
"""

from __future__ import annotations

import asyncio
import json
import os
import textwrap
import threading
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict
from functools import partial
from typing import Final

from engine import diagnosis, kernels, symptoms
from engine.diagnosis import Finding, Reached, State, counted
from engine.errors import UserError
from engine.exchange.own_venue import LOCAL
from engine.sealing import MASTER
from engine.settings import SETTINGS_FILE, Settings
from engine.symptoms import Port

LOOK_WITHIN_S: Final = 4.0
REACH_WITHIN_S: Final = 7.0
WIDTH: Final = 100
MARKS: Final[dict[State, str]] = {"ok": "ok  ", "warn": "warn", "bad": "BAD "}
EXCHANGE_KEYS: Final = "exchange-keys.json"
ACCESS_KEYS: Final = "access-keys.json"
MARKER: Final = "complete.json"

Reach = Callable[[Settings], Awaitable[Sequence[Reached]]]
Load = Callable[[], Settings]


async def examine(load: Load, reach: Reach, modules: Sequence[str]) -> list[Finding]:
    """All findings, within ten seconds; `modules` are those with kernels. Nothing is changed on this machine."""
    try:
        chosen = load()
    except UserError as error:
        advice = "correct it; ports, folders and venues are looked at then"
        found = [Finding("settings", "bad", str(error), advice)]
        return found + _flat(
            await asyncio.gather(_apart("versions", _look_versions), _apart("machine", _look_machine))
        )
    looks: list[Awaitable[list[Finding]]] = [
        _apart("settings", lambda: _look_settings(chosen)),
        _apart("ports", lambda: _look_ports(chosen)),
        *(
            _apart(name, partial(_look_folder, chosen, name))
            for name in ("data_dir", "config_dir", "cache_dir")
        ),
        _apart("key files", lambda: _look_key_files(chosen)),
        _ask(chosen, reach),
        _apart("versions", _look_versions),
        _apart("kernels", lambda: [_look_kernels(chosen, modules)]),
        _apart("machine", lambda: _look_machine(chosen.api_connections)),
    ]
    browser = Finding("browser", "ok", "any that is current; Chromium is needed for tests alone")
    return [*_flat(await asyncio.gather(*looks)), browser]


def _flat(parts: Sequence[list[Finding]]) -> list[Finding]:
    return [each for part in parts for each in part]


async def _apart(
    name: str, look: Callable[[], list[Finding]], within_s: float = LOOK_WITHIN_S
) -> list[Finding]:
    """What a look finds, in a thread that nobody waits for when it hangs."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[list[Finding]] = loop.create_future()

    def settle(found: list[Finding]) -> None:
        if not done.done():
            done.set_result(found)

    def run() -> None:
        try:
            found = look()
        except Exception as error:  # noqa: BLE001  one look that fails is a finding; the others go on
            found = [_failed(name, error)]
        if not loop.is_closed():
            loop.call_soon_threadsafe(settle, found)

    threading.Thread(target=run, name=f"look at {name}", daemon=True).start()
    try:
        return await asyncio.wait_for(done, within_s)
    except TimeoutError:
        return [
            Finding(
                name, "warn", f"no answer from the system within {within_s:g} s", "is a network drive gone?"
            )
        ]


def _failed(name: str, error: Exception) -> Finding:
    said = str(error) if isinstance(error, UserError) else f"{type(error).__name__}: {error}"
    return Finding(name, "bad" if isinstance(error, UserError) else "warn", f"cannot be looked at: {said}")


async def _ask(chosen: Settings, reach: Reach) -> list[Finding]:
    if chosen.venue_url == LOCAL:
        return [
            Finding("venues", "ok", "a local one is started with the program; the real ones are not asked")
        ]
    try:
        async with asyncio.timeout(REACH_WITHIN_S):
            return diagnosis.judge_reached(await reach(chosen))
    except TimeoutError:
        return diagnosis.judge_reached([Reached("venues", f"nothing within {REACH_WITHIN_S:g} s")])
    except Exception as error:  # noqa: BLE001  whatever it is, the rest of the findings is told
        return [_failed("venues", error), diagnosis.judge_clock(())]


def _look_settings(chosen: Settings) -> list[Finding]:
    names = [name for name in os.environ if name.upper().startswith("VENUESCOPE_")]
    found = [diagnosis.judge_environment(names, SETTINGS_FILE.exists())]
    if chosen.tls_cert is not None and chosen.tls_key is not None:
        found.append(diagnosis.judge_tls(symptoms.tls_trouble(chosen.tls_cert, chosen.tls_key)))
    return [*found, diagnosis.judge_reachable(chosen.host, chosen.tls_cert is not None)]


def _look_ports(chosen: Settings) -> list[Finding]:
    wanted = (
        ("dashboard", "port", chosen.port, True),
        ("built-in exchange", "exchange_port", chosen.exchange_port, chosen.exchange == "on"),
        ("market-data API", "api_port", chosen.api_port, chosen.api == "on"),
        ("order sockets of the exchange", "order_port", chosen.order_port, chosen.exchange == "on"),
    )
    ports = [
        symptoms.port(name, setting, chosen.host, number) if on else Port(name, setting, number, "off")
        for name, setting, number, on in wanted
    ]
    return [*map(diagnosis.judge_port, ports), *diagnosis.judge_twins(ports)]


def _look_folder(chosen: Settings, name: str) -> list[Finding]:
    records = name == "data_dir" and not chosen.archive
    seen = symptoms.folder(name, getattr(chosen, name))
    return [diagnosis.judge_folder(seen, chosen.disk_budget_gb * 10**9 if records else 0)]


def _look_key_files(chosen: Settings) -> list[Finding]:
    paths = [chosen.config_dir / MASTER, chosen.data_dir / EXCHANGE_KEYS, chosen.data_dir / ACCESS_KEYS]
    if os.name != "posix":
        return [Finding("key files", "ok", "their folder's permissions hold, which Windows keeps itself")]
    return diagnosis.judge_key_files(
        symptoms.key_files([*paths, *([chosen.tls_key] if chosen.tls_key else [])])
    )


def _look_versions() -> list[Finding]:
    return diagnosis.judge_versions(symptoms.versions())


def _look_machine(api_connections: int = 0) -> list[Finding]:
    return diagnosis.judge_machine(symptoms.machine(), api_connections)


def _look_kernels(chosen: Settings, modules: Sequence[str]) -> Finding:
    root = chosen.cache_dir / "numba"
    own = root / kernels.cache_name(modules)
    marks = sorted(root.glob(f"*/{MARKER}"), key=lambda path: path.stat().st_mtime)
    mark = own / MARKER if kernels.is_warm(own) else marks[-1] if marks else None
    seconds = json.loads(mark.read_text(encoding="utf-8")) if mark is not None else {}
    return diagnosis.judge_kernels(kernels.is_warm(own), seconds, symptoms.machine().cores)


# --- telling -------------------------------------------------------------------------------------------------


def table(findings: Sequence[Finding]) -> str:
    """The findings as an aligned table; what to do stands below what was found."""
    wide = max((len(each.name) for each in findings), default=0)
    indent = " " * (len(MARKS["ok"]) + wide + 4)
    lines = []
    for each in findings:
        head = f"{MARKS[each.state]}  {each.name:<{wide}}  "
        lines += textwrap.wrap(each.found, WIDTH, initial_indent=head, subsequent_indent=indent) or [
            head.rstrip()
        ]
        if each.advice:
            lines += textwrap.wrap(
                each.advice, WIDTH, initial_indent=f"{indent}-> ", subsequent_indent=f"{indent}   "
            )
    return "\n".join([*lines, "", verdict(findings)])


def verdict(findings: Sequence[Finding]) -> str:
    """The last line: is it fit?"""
    bad = sum(each.state == "bad" for each in findings)
    warned = sum(each.state == "warn" for each in findings)
    if bad:
        return f"{counted(bad, 'thing')} to put right first."
    return f"Fit to run; {counted(warned, 'thing')} to know." if warned else "Fit to run."


def as_json(findings: Sequence[Finding]) -> str:
    """The findings as one JSON object."""
    ok = not any(each.state == "bad" for each in findings)
    return json.dumps({"ok": ok, "findings": [asdict(each) for each in findings]}, indent=2)


def main(
    load: Load,
    reach: Reach,
    modules: Sequence[str],
    *,
    json_form: bool = False,
    say: Callable[[str], None] = print,
) -> int:
    """Look, tell, and the exit code: 1 when something is bad."""
    findings = asyncio.run(examine(load, reach, modules))
    say(as_json(findings) if json_form else table(findings))
    return int(any(each.state == "bad" for each in findings))


__all__ = ["Finding", "Reached", "examine", "main"]
