"""The doctor: what is found, what is advised, and that it always ends."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

import pytest

from engine import diagnosis, doctor, kernels, symptoms
from engine.diagnosis import Finding, Reached
from engine.errors import BadLimits, BadSetting
from engine.settings import Settings
from engine.symptoms import Folder, KeyFile, Machine, Port, Versions

MS = 1_000_000
GB = 10**9
POSIX = pytest.mark.skipif(os.name != "posix", reason="modes of files")


def chosen(tmp_path: Path, **more: object) -> Settings:
    folders = {name: tmp_path / name for name in ("data_dir", "config_dir", "cache_dir")}
    return Settings(**{"port": 1, "exchange": "off", "api": "off", **folders, **more})  # type: ignore[arg-type]


async def nobody(_: Settings) -> Sequence[Reached]:
    return [
        Reached("Binance spot", "cannot resolve its address"),
        Reached("Bybit spot", "cannot resolve its address"),
    ]


def by_name(findings: Sequence[Finding]) -> dict[str, Finding]:
    return {each.name: each for each in findings}


def examined(settings: Settings, reach: doctor.Reach = nobody) -> dict[str, Finding]:
    return by_name(asyncio.run(doctor.examine(lambda: settings, reach, ["engine.kernels"])))


@pytest.mark.parametrize(
    ("port", "state", "says"),
    [
        (Port("dashboard", "port", 8050, "free"), "ok", "free"),
        (Port("dashboard", "port", 0, "free"), "ok", "any free one"),
        (Port("dashboard", "port", 8050, "ours", "process 7"), "ok", "process 7"),
        (Port("dashboard", "port", 8050, "taken", "process 7: nginx"), "bad", "nginx"),
        (Port("dashboard", "port", 80, "forbidden"), "bad", "may not"),
        (Port("dashboard", "port", 80, "elsewhere", "10.1.1.1"), "bad", "10.1.1.1"),
        (Port("market-data API", "api_port", 8052, "off"), "ok", "switched off"),
    ],
)
def test_a_port_is_bad_where_the_program_cannot_have_it(port: Port, state: str, says: str) -> None:
    found = diagnosis.judge_port(port)
    assert (found.state, says in found.found) == (state, True)
    assert bool(found.advice) == (state == "bad")


def test_two_settings_with_one_port_are_told_together() -> None:
    ports = [
        Port("a", "port", 8050, "free"),
        Port("b", "api_port", 8050, "free"),
        Port("c", "x", 8050, "off"),
    ]
    (found,) = diagnosis.judge_twins(ports)
    assert found == Finding("port 8050", "bad", "port and api_port are the same", "give each its own")
    assert diagnosis.judge_twins(ports[1:]) == []


@pytest.mark.parametrize(
    ("folder", "budget", "state"),
    [
        (Folder("data_dir", Path("/d"), True, "", 50 * GB), 20 * GB, "ok"),
        (Folder("data_dir", Path("/d"), False, "", 50 * GB), 0, "ok"),
        (Folder("data_dir", Path("/d"), True, "", 5 * GB), 20 * GB, "warn"),
        (Folder("data_dir", Path("/d"), True, "", GB), 0, "warn"),
        (Folder("data_dir", Path("/d"), True, "", 10_000_000), 0, "bad"),
        (Folder("data_dir", Path("/d"), True, "", 50 * GB, "nfs4"), 0, "warn"),
        (Folder("data_dir", Path("/d"), True, "Permission denied", 50 * GB), 0, "bad"),
    ],
)
def test_a_folder_needs_room_and_to_be_writable(folder: Folder, budget: int, state: str) -> None:
    found = diagnosis.judge_folder(folder, budget)
    assert (found.state, bool(found.advice)) == (state, state != "ok")


@pytest.mark.parametrize(
    ("offset_ms", "round_trip_ms", "state"),
    [
        (3, 20, "ok"),
        (-90, 20, "ok"),
        (300, 20, "warn"),
        (-300, 20, "warn"),
        (300, 800, "ok"),
        (1_500, 20, "bad"),
    ],
)
def test_the_clock_is_judged_by_what_is_certain(offset_ms: int, round_trip_ms: int, state: str) -> None:
    found = diagnosis.judge_clock([Reached("a", "", round_trip_ms * MS, offset_ms * MS)])
    assert found.state == state
    assert ("ahead of" if offset_ms < 0 else "behind") in found.found


def test_one_venue_with_a_wrong_clock_does_not_make_ours_wrong() -> None:
    heard = [
        Reached(name, "", 10 * MS, offset) for name, offset in (("a", MS), ("b", 2 * MS), ("c", 9_000 * MS))
    ]
    assert diagnosis.judge_clock(heard).state == "ok"


def test_no_network_is_a_warning_and_one_silent_venue_another() -> None:
    none = diagnosis.judge_reached([Reached("a", "no route"), Reached("b", "no route")])
    assert [each.state for each in none] == ["warn", "warn"]
    assert none[0].found == "none of 2 answers: no route"
    assert "the built-in exchange works without" in none[0].advice
    some = by_name(diagnosis.judge_reached([Reached("a", "", 5 * MS), Reached("b", "HTTP 500")]))
    assert (some["a"].state, some["b"].state, some["clock"].state) == ("ok", "warn", "ok")


def test_versions_are_those_the_project_pins() -> None:
    pins = {"numpy": "2.0", "aiohttp": "3.0"}
    good = by_name(diagnosis.judge_versions(Versions((3, 11, 0), "3.51.3", pins, pins)))
    assert {each.state for each in good.values()} == {"ok"}
    found = by_name(diagnosis.judge_versions(Versions((3, 9, 0), "3.51.2", pins, {"numpy": "2.1"})))
    assert (found["Python"].state, found["SQLite"].state) == ("bad", "bad")
    states = [
        (each.state, each.found)
        for each in diagnosis.judge_versions(Versions((3, 9, 0), "3.51.2", pins, {"numpy": "2.1"}))
        if each.name == "packages"
    ]
    assert states == [("bad", "missing: aiohttp"), ("warn", "numpy 2.1 in place of 2.0")]


def test_what_runs_here_is_what_the_project_pins() -> None:
    seen = symptoms.versions()
    assert seen.python == sys.version_info[:3]
    assert seen.wanted["aiohttp"] == seen.found["aiohttp"]
    assert ";" not in "".join(seen.wanted.values())


def test_the_machine_needs_memory_and_descriptors() -> None:
    good = by_name(diagnosis.judge_machine(Machine(2, 8 * GB, 4_096, 4_096), 1_000))
    assert {each.state for each in good.values()} == {"ok"}
    bad = by_name(diagnosis.judge_machine(Machine(1, 100_000_000, 256, 256), 1_000))
    assert (bad["memory"].state, bad["open files"].state) == ("bad", "warn")
    assert "ulimit -n 1756" in bad["open files"].advice
    assert "open files" not in by_name(diagnosis.judge_machine(Machine(2, 8 * GB, 0, 0)))


def test_kernels_are_warm_or_cost_a_while() -> None:
    assert diagnosis.judge_kernels(True, {"a": 20.0}, 2).state == "ok"
    cold = diagnosis.judge_kernels(False, {"a": 20.0, "b": 10.0}, 2)
    assert (cold.state, "some 15 s" in cold.found) == ("warn", True)
    assert "half a minute" in diagnosis.judge_kernels(False, {}, 2).found


def test_a_variable_that_is_no_setting_is_told() -> None:
    found = diagnosis.judge_environment(["VENUESCOPE_PORT", "VENUESCOPE_PROT"], True)
    assert (found.state, "VENUESCOPE_PROT" in found.found) == ("warn", True)
    assert (
        diagnosis.judge_environment(["VENUESCOPE_PORT"], True).found
        == "valid; from venuescope.toml, VENUESCOPE_PORT"
    )


def test_who_can_reach_it_without_tls_is_told() -> None:
    assert [
        diagnosis.judge_reachable(*each).state for each in (("::1", False), ("0.0.0.0", True), ("::", False))
    ] == [
        "ok",
        "ok",
        "warn",
    ]


def test_a_taken_port_is_found_with_who_has_it() -> None:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        sock.listen()
        number = sock.getsockname()[1]
        seen = symptoms.port("dashboard", "port", "localhost", number)
    assert seen.state == "taken"  # a test is no Venuescope
    assert seen.holder.startswith(f"process {os.getpid()}") or not seen.holder
    assert symptoms.port("dashboard", "port", "127.0.0.1", number).state == "free"
    assert symptoms.port("dashboard", "port", "192.0.2.1", number).state == "elsewhere"


@POSIX
def test_folders_and_key_files_are_looked_at_without_a_trace(tmp_path: Path) -> None:
    there = symptoms.folder("data_dir", tmp_path)
    assert (there.exists, there.trouble, there.free_bytes > 0) == (True, "", True)
    assert list(tmp_path.iterdir()) == []
    deep = symptoms.folder("data_dir", tmp_path / "a" / "b")
    assert (deep.exists, deep.trouble) == (False, "")
    assert not (tmp_path / "a").exists()
    file, secret = tmp_path / "file", tmp_path / "secret"
    file.touch(0o644)
    secret.touch(0o600)
    assert "not a folder" in symptoms.folder("data_dir", file).trouble
    assert "not a folder" in symptoms.folder("data_dir", file / "x").trouble
    seen = symptoms.key_files([file, secret, tmp_path / "none"])
    assert [each.path for each in seen] == [file, secret]
    found = diagnosis.judge_key_files(seen)
    assert [(each.state, str(file) in each.found) for each in found] == [("bad", True)]
    assert [each.state for each in diagnosis.judge_key_files([KeyFile(secret, 0o600, False)])] == ["warn"]
    assert diagnosis.judge_key_files([]) == [Finding("key files", "ok", "none yet")]


@POSIX
def test_all_is_looked_at_and_no_network_is_not_bad(tmp_path: Path) -> None:
    (tmp_path / "data_dir").mkdir()
    keys = tmp_path / "data_dir" / "access-keys.json"
    keys.touch(0o600)
    found = examined(chosen(tmp_path, port=_free()))
    assert [each for each in found.values() if each.state == "bad"] == []
    assert found["key files"].found.startswith("1,")
    assert {"settings", "address", "data_dir", "venues", "clock", "SQLite", "kernels", "memory"} <= set(found)
    keys.chmod(0o640)
    assert examined(chosen(tmp_path, port=_free()))["key files"].state == "bad"


def test_a_warm_cache_is_told_with_what_it_took(tmp_path: Path) -> None:
    folder = tmp_path / "cache_dir" / "numba" / kernels.cache_name(["engine.kernels"])
    folder.mkdir(parents=True)
    (folder / doctor.MARKER).write_text('{"a": 12.4}')
    found = examined(chosen(tmp_path))["kernels"]
    assert (found.state, "12 s" in found.found) == ("ok", True)


def test_it_ends_where_nothing_answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "REACH_WITHIN_S", 0.01)
    hang = threading.Event()

    async def silence(_: Settings) -> Sequence[Reached]:
        await asyncio.Event().wait()
        raise AssertionError

    async def one() -> list[Finding]:
        return await doctor._apart(
            "data_dir", lambda: [Finding("x", "ok", str(hang.wait(60)))], within_s=0.01
        )

    found = examined(chosen(tmp_path), silence)
    assert (found["venues"].state, "nothing within" in found["venues"].found) == ("warn", True)
    (gone,) = asyncio.run(one())
    hang.set()
    assert (gone.name, gone.state) == ("data_dir", "warn")
    assert doctor.REACH_WITHIN_S < 10 > doctor.LOOK_WITHIN_S


def test_what_cannot_be_asked_is_a_finding(tmp_path: Path) -> None:
    async def bad_limits(_: Settings) -> Sequence[Reached]:
        raise BadLimits("rate_limits.json", "bybit", "it is missing")

    async def broken(_: Settings) -> Sequence[Reached]:
        raise ZeroDivisionError("x")

    assert examined(chosen(tmp_path), bad_limits)["venues"].state == "bad"
    assert examined(chosen(tmp_path), broken)["venues"].state == "warn"
    assert examined(chosen(tmp_path, venue_url="local"), broken)["venues"].state == "ok"


def test_settings_that_are_not_valid_are_told_and_the_machine_still_looked_at() -> None:
    def load() -> Settings:
        raise BadSetting("port", "x", "a number")

    said: list[str] = []
    assert doctor.main(load, nobody, [], json_form=True, say=said.append) == 1
    told = json.loads(said[0])
    assert told["ok"] is False
    assert told["findings"][0]["found"] == "setting port cannot be 'x': a number"
    assert {"SQLite", "memory"} <= {each["name"] for each in told["findings"]}


def test_the_table_is_aligned_and_ends_with_a_verdict() -> None:
    findings = [
        Finding("a", "ok", "good"),
        Finding("longer", "warn", "word " * 40, "do this"),
        Finding("c", "bad", "broken", "mend it"),
    ]
    lines = doctor.table(findings).splitlines()
    at = lines[0].index("good")
    assert lines[0] == "ok    a       good"
    assert all(line[:at].strip() == "" for line in lines[2:4])
    assert lines[-3] == f"{' ' * at}-> mend it"
    assert max(map(len, lines)) <= doctor.WIDTH
    assert lines[-1] == "1 thing to put right first."
    assert doctor.verdict(findings[:1]) == "Fit to run."
    assert doctor.verdict(findings[:2]) == "Fit to run; 1 thing to know."


def _free() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])
