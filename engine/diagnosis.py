"""What the doctor's looks mean: each finding says what was seen, whether it will do, and what to do else. Pure.

Only what keeps the program from working is bad. No network is not: the built-in exchange works without.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from statistics import median
from typing import Final, Literal

from engine.settings import SETTINGS_FILE, Settings
from engine.symptoms import Folder, KeyFile, Machine, Port, PortState, Versions

State = Literal["ok", "warn", "bad"]

MB: Final = 1 << 20
DISK_BAD_BYTES: Final = 200 * MB
DISK_WARN_BYTES: Final = 2_048 * MB
MEMORY_BAD_BYTES: Final = 300 * MB
MEMORY_WARN_BYTES: Final = 1_024 * MB
FILES_SPARE: Final = 256  # beside connections: logs, databases, the venues
EXCHANGE_CLIENTS: Final = 500
OFF_WARN_NS: Final = 100_000_000
OFF_BAD_NS: Final = 1_000_000_000  # Binance takes no order whose time is a second ahead of its own
SQLITE_LEAST: Final = (3, 51, 3)  # before, a reset of the journal could damage it
PYTHON_LEAST: Final = (3, 11)
PYTHON_BELOW: Final = (3, 15)


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at: what was found, and what to do about it ("" = nothing)."""

    name: str
    state: State
    found: str
    advice: str = ""


@dataclass(frozen=True, slots=True)
class Reached:
    """What asking one venue for its time brought. `why` says why it did not answer; "" = it did."""

    venue: str
    why: str = ""
    round_trip_ns: int = 0
    offset_ns: int = 0  # the venue's clock less ours


def judge_port(port: Port) -> Finding:
    """A finding about one port."""
    name, other = f"port {port.number}" if port.number else port.setting, f"choose another {port.setting}"
    known: dict[PortState, tuple[State, str, str]] = {
        "off": ("ok", f"{port.name}: switched off", ""),
        "free": ("ok", f"{port.name}: free" if port.number else f"{port.name}: any free one", ""),
        "ours": ("ok", f"{port.name}: a Venuescope that runs has it ({port.holder})", ""),
        "taken": ("bad", f"{port.name}: taken by {port.holder or 'another program'}", f"end it, or {other}"),
        "forbidden": ("bad", f"{port.name}: this user may not bind it", other),
        "elsewhere": ("bad", f"{port.name}: {port.holder} is no address of this machine", "change host"),
    }
    return Finding(name, *known[port.state])


def judge_twins(ports: Sequence[Port]) -> list[Finding]:
    """A finding for each number that two settings name."""
    numbers: dict[int, list[str]] = {}
    for port in ports:
        if port.number and port.state != "off":
            numbers.setdefault(port.number, []).append(port.setting)
    return [
        Finding(f"port {number}", "bad", f"{' and '.join(names)} are the same", "give each its own")
        for number, names in numbers.items()
        if len(names) > 1
    ]


def judge_folder(folder: Folder, budget_bytes: int = 0) -> Finding:
    """A finding about a folder; `budget_bytes` is what may be recorded into it."""
    name, where = folder.setting, f"{folder.path}"
    free = f"{folder.free_bytes / 1e9:,.1f} GB free"
    if folder.trouble:
        return Finding(
            name,
            "bad",
            f"{where} cannot be written: {folder.trouble}",
            f"make it writable for this user, or choose another {name}",
        )
    found = f"{where}: {'writable' if folder.exists else 'made at the first start'}, {free}"
    if folder.free_bytes < DISK_BAD_BYTES:
        return Finding(name, "bad", found, f"make room, or choose a {name} on another disk")
    if folder.remote:
        return Finding(
            name,
            "warn",
            f"{found}, on a network drive ({folder.remote})",
            f"databases need a disk of this machine: choose another {name}",
        )
    if folder.free_bytes < DISK_WARN_BYTES:
        return Finding(name, "warn", found, "make room before recording")
    if budget_bytes > folder.free_bytes:
        return Finding(
            name,
            "warn",
            f"{found}, and {budget_bytes / 1e9:,.0f} GB may be recorded",
            "set disk_budget_gb to less than is free",
        )
    return Finding(name, "ok", found)


def judge_key_files(files: Sequence[KeyFile]) -> list[Finding]:
    """Findings about files that open something: one for all that are right, one for each that is not."""
    open_ones = [each for each in files if each.mode & 0o077]
    foreign = [each for each in files if not each.own]
    found = [
        Finding(
            "key files",
            "bad",
            f"{each.path} can be read by others (mode {each.mode:04o})",
            f"chmod 600 {each.path}; who read it meanwhile has the keys: make new ones",
        )
        for each in open_ones
    ]
    found += [
        Finding(
            "key files", "warn", f"{each.path} belongs to another user", f"chown it, or remove {each.path}"
        )
        for each in foreign
    ]
    if not found:
        told = f"{len(files)}, readable by their owner alone" if files else "none yet"
        found.append(Finding("key files", "ok", told))
    return found


def judge_reached(reached: Sequence[Reached]) -> list[Finding]:
    """Findings about venues, and what their clocks say of ours."""
    found = [
        Finding(each.venue, "ok", f"answers in {each.round_trip_ns / 1e6:,.0f} ms")
        for each in reached
        if not each.why
    ]
    silent = [each for each in reached if each.why]
    without = "the built-in exchange works without"
    if silent and not found:
        reasons = dict.fromkeys(each.why for each in silent)
        found = [
            Finding(
                "venues",
                "warn",
                f"none of {len(silent)} answers: {'; '.join(list(reasons)[:3])}",
                f"check the network or its proxy; {without}",
            )
        ]
    else:
        found += [
            Finding(each.venue, "warn", f"does not answer: {each.why}", f"try again later; {without}")
            for each in silent
        ]
    return [*found, judge_clock(reached)]


def judge_clock(reached: Sequence[Reached]) -> Finding:
    """A finding about this machine's clock, by the venues': the middle one, since one of them may be wrong."""
    heard = [each for each in reached if not each.why]
    if not heard:
        return Finding(
            "clock",
            "warn",
            "not compared: no venue was asked, or none answered",
            "see that the system sets it, e.g. with timedatectl",
        )
    off_ns = median(each.offset_ns for each in heard)
    unsure_ns = median(each.round_trip_ns for each in heard) / 2
    way = "behind" if off_ns > 0 else "ahead of"
    found = f"{abs(off_ns) / 1e6:,.0f} ms {way} {counted(len(heard), 'venue')}, give or take {unsure_ns / 1e6:,.0f} ms"
    certain_ns = abs(off_ns) - unsure_ns
    if certain_ns >= OFF_BAD_NS:
        advice = "have the system set it (timedatectl set-ntp true): venues refuse signed calls, latencies are wrong"
        return Finding("clock", "bad", found, advice)
    if certain_ns >= OFF_WARN_NS:
        advice = "have the system set it (timedatectl set-ntp true): latencies are off by as much"
        return Finding("clock", "warn", found, advice)
    return Finding("clock", "ok", found)


def judge_versions(versions: Versions) -> list[Finding]:
    """Findings about Python, SQLite and packages."""
    python = ".".join(map(str, versions.python))
    fits = PYTHON_LEAST <= versions.python[:2] < PYTHON_BELOW
    wanted = f"from {'.'.join(map(str, PYTHON_LEAST))} on, below {'.'.join(map(str, PYTHON_BELOW))}"
    advice = "" if fits else f"it takes Python {wanted}: uv python install 3.11"
    found = [Finding("Python", "ok" if fits else "bad", python, advice)]
    good = tuple(int(part) for part in versions.sqlite.split(".")) >= SQLITE_LEAST
    told = (
        f"{versions.sqlite}, {'without' if good else 'with'} the fault that could damage a journal at a reset"
    )
    found.append(Finding("SQLite", "ok" if good else "bad", told, "" if good else "uv sync"))
    missing = [name for name in versions.wanted if name not in versions.found]
    others = [
        f"{name} {versions.found[name]} in place of {number}"
        for name, number in versions.wanted.items()
        if name in versions.found and versions.found[name] != number
    ]
    if missing:
        found.append(Finding("packages", "bad", f"missing: {', '.join(missing)}", "uv sync"))
    if others:
        found.append(Finding("packages", "warn", ", ".join(others), "uv sync"))
    if not missing and not others:
        found.append(
            Finding("packages", "ok", f"{len(versions.wanted)}, in the versions they were tested in")
        )
    return found


def judge_machine(machine: Machine, api_connections: int = 0) -> list[Finding]:
    """Findings about cores, memory and file descriptors."""
    memory = f"{machine.memory_bytes / 1e9:,.1f} GB may be used"
    state: State = "ok"
    if machine.memory_bytes < MEMORY_WARN_BYTES:
        state = "bad" if machine.memory_bytes < MEMORY_BAD_BYTES else "warn"
    found = [
        Finding("memory", state, memory, "" if state == "ok" else "end other programs; it takes half a GB")
    ]
    cores = counted(machine.cores, "core")
    slow = "one is enough for the pages; with two, the engine is not held up by exports and compiling"
    found.append(Finding("processor", "ok", cores, slow if machine.cores < 2 else ""))
    if machine.files_soft:
        needed = FILES_SPARE + EXCHANGE_CLIENTS + api_connections
        enough = machine.files_soft >= needed
        found.append(
            Finding(
                "open files",
                "ok" if enough else "warn",
                f"{machine.files_soft:,} at a time",
                ""
                if enough
                else f"ulimit -n {needed:,}".replace(",", "") + ", for all the clients it admits",
            )
        )
    return found


def judge_kernels(warm: bool, seconds: Mapping[str, float], cores: int) -> Finding:
    """A finding about compiled kernels. `seconds` is what each module took, here or for an earlier version."""
    took = sum(seconds.values())
    if warm:
        return Finding("kernels", "ok", f"compiled ({took:,.0f} s of work that starts are spared)")
    about = f"some {max(took / min(cores, 2), 1):,.0f} s" if took else "half a minute or so"
    return Finding(
        "kernels",
        "warn",
        f"not compiled for this version: the next start takes {about}",
        "nothing; the page is up meanwhile and says so",
    )


def judge_environment(names: Sequence[str], settings_file: bool) -> Finding:
    """A finding about where settings come from; `names` are those of variables that begin with VENUESCOPE_."""
    known = {f"VENUESCOPE_{name}".upper() for name in Settings.model_fields}
    strange = sorted(name for name in names if name.upper() not in known)
    given = sorted(name for name in names if name.upper() in known)
    where = [str(SETTINGS_FILE)] if settings_file else []
    found = f"valid; from {', '.join([*where, *given])}" if where or given else "valid; the defaults"
    if strange:
        return Finding(
            "settings",
            "warn",
            f"{', '.join(strange)}: no such setting",
            "README.md lists them; correct the name",
        )
    return Finding("settings", "ok", found)


def judge_reachable(host: str, tls: bool) -> Finding:
    """A finding about who can reach the program."""
    if host == "localhost" or ip_address(host).is_loopback:
        return Finding("address", "ok", f"{host}: this machine alone")
    if tls:
        return Finding("address", "ok", f"{host}: other machines too, with a login, over TLS")
    advice = "set tls_cert and tls_key, or put a proxy with TLS before it: keys are sent in clear"
    return Finding("address", "warn", f"{host}: other machines too, with a login, without TLS", advice)


def judge_tls(trouble: str) -> Finding:
    """A finding about the certificate."""
    if trouble:
        return Finding("TLS", "bad", f"the certificate cannot be used: {trouble}", "see tls_cert and tls_key")
    return Finding("TLS", "ok", "the certificate and its key go together")


def counted(number: int, name: str) -> str:
    """`2 venues`, `1 venue`."""
    return f"{number:,} {name}{'' if number == 1 else 's'}"
