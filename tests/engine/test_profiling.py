"""Profiles of the engine's thread: taken without stopping it, one at a time, and shown without anybody's folders."""

from __future__ import annotations

import asyncio
import cProfile
import json
import os
import re
import time
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import BadCommand
from engine.profiling import (
    BUILT_IN,
    NODES_MAX,
    ROWS_MAX,
    Profiler,
    ProfileView,
    Stats,
    fields,
    from_fields,
    named,
    report,
    shortened,
    view_of,
)

EPOLL = (BUILT_IN, 0, "<method 'poll' of 'select.epoll' objects>")


def at(name: str) -> tuple[str, int, str]:
    return ("<made>", 1, name)


def made(*rows: tuple[str, int, float, float, dict[str, float]]) -> Stats:
    """Stats of (name, calls, own s, all s, {caller: s})."""
    return {
        at(name): (calls, calls, own, whole, {at(c): (1, 1, 0.0, s) for c, s in callers.items()})
        for name, calls, own, whole, callers in rows
    }


def view(stats: Stats, took_s: float = 10.0) -> ProfileView:
    return view_of(stats, 1_000, 10.0, took_s)


def burn(seconds: float) -> int:
    end, turns = time.perf_counter() + seconds, 0
    while time.perf_counter() < end:
        turns += inner(turns)
    return turns


def inner(turns: int) -> int:
    return turns % 2 + 1


def profiled(seconds: float, before: Callable[[Profiler], Any] = lambda _: None) -> ProfileView:
    """A profile of a loop that burns half its time."""

    async def run() -> ProfileView:
        loop = asyncio.get_running_loop()
        profiler = Profiler(loop)
        found: asyncio.Future[ProfileView] = loop.create_future()
        running = profiler.start(seconds, found.set_result)
        assert (running.state, profiler.view) == ("running", running)
        before(profiler)
        while not found.done():
            burn(0.02)
            await asyncio.sleep(0.02)
        assert profiler.view is found.result()
        return found.result()

    return asyncio.run(run())


def test_a_profile_names_what_the_thread_did_and_leaves_out_its_waiting() -> None:
    found = profiled(1)
    assert found.state == "done"
    assert found.took_s >= 1
    names = {row.function: row for row in found.rows}
    assert names["burn"].where == f"tests/engine/test_profiling.py:{burn.__code__.co_firstlineno}"
    assert names["inner"].calls > 100
    assert names["burn"].cumulative_ms > names["burn"].own_ms
    assert found.busy_s < found.took_s
    assert found.busy_s * 1e3 == pytest.approx(
        sum(row.own_ms for row in found.rows if "epoll" not in row.function), rel=0.02
    )
    drawn = {node.label for node in found.nodes}
    assert "burn" in drawn
    assert not any("epoll" in label for label in drawn)


def test_one_profile_at_a_time_and_the_refusal_says_for_how_long() -> None:
    def again(profiler: Profiler) -> None:
        with pytest.raises(BadCommand, match=r"being taken; it is done in 1 s"):
            profiler.start(5, lambda _: None)

    assert profiled(1, again).asked_s == 1


@pytest.mark.parametrize("seconds", [0, 0.5, 61, -1, True, "10", None, float("nan")])
def test_a_length_that_cannot_be_is_refused_and_nothing_starts(seconds: object) -> None:
    loop = asyncio.new_event_loop()
    profiler = Profiler(loop)
    with pytest.raises(BadCommand, match="1 to 60 seconds"):
        profiler.start(seconds, lambda _: None)
    assert profiler.view is None
    loop.close()


def test_a_stopped_profile_tells_nobody_and_another_can_follow() -> None:
    async def run() -> list[ProfileView]:
        told: list[ProfileView] = []
        profiler = Profiler(asyncio.get_running_loop())
        profiler.start(1, told.append)
        profiler.stop()
        profiler.start(1, told.append)
        while not told:
            await asyncio.sleep(0.05)
        return told

    assert len(asyncio.run(run())) == 1


def test_shares_are_of_busy_time_and_rows_have_the_most_own_time_first() -> None:
    stats = dict(made(("turn", 10, 1.0, 4.0, {}), ("match", 50, 3.0, 3.0, {"turn": 3.0})))
    stats[EPOLL] = (9, 9, 6.0, 6.0, {})
    found = view(stats)
    assert found.busy_s == 4.0
    assert [(row.function, row.share) for row in found.rows[1:]] == [("match", 0.75), ("turn", 0.25)]
    assert (found.rows[0].own_ms, found.rows[0].share) == (6000.0, 0.0)


def test_the_tree_spreads_a_function_over_its_callers_by_their_time() -> None:
    found = view(
        made(
            ("a", 1, 1.0, 4.0, {}),
            ("b", 1, 1.0, 2.0, {}),
            ("shared", 2, 2.0, 4.0, {"a": 3.0, "b": 1.0}),
            ("leaf", 2, 2.0, 2.0, {"shared": 2.0}),
        )
    )
    paths = {path(found, place): node.value_ms for place, node in enumerate(found.nodes)}
    assert paths["engine thread/a/shared"] == 3000
    assert paths["engine thread/b/shared"] == 1000
    assert paths["engine thread/a/shared/leaf"] == 1500
    assert paths["engine thread/b/shared/leaf"] == 500


def test_recursion_ends_and_no_child_is_wider_than_its_parent() -> None:
    found = view(
        made(
            ("root", 1, 0.1, 3.0, {}),
            ("down", 9, 1.0, 2.9, {"root": 2.9, "down": 2.0, "up": 1.5}),
            ("up", 9, 1.9, 2.0, {"down": 2.0}),
        )
    )
    assert [path(found, place) for place in range(len(found.nodes))] == [
        "engine thread",
        "engine thread/root",
        "engine thread/root/down",
        "engine thread/root/down/up",
    ]


def path(found: ProfileView, place: int) -> str:
    node = found.nodes[place]
    return node.label if node.parent < 0 else f"{path(found, node.parent)}/{node.label}"


@st.composite
def graphs(draw: st.DrawFn) -> Stats:
    """Any call graph, with loops, and times that need not agree."""
    names = [f"f{i}" for i in range(draw(st.integers(1, 12)))]
    seconds = st.floats(0, 10, allow_nan=False)
    return made(
        *(
            (
                name,
                draw(st.integers(1, 99)),
                draw(seconds),
                draw(seconds),
                draw(st.dictionaries(st.sampled_from(names), seconds, max_size=4)),
            )
            for name in names
        )
    )


@given(graphs())
def test_any_call_graph_becomes_a_bounded_tree(stats: Stats) -> None:
    found = view(stats)
    assert 1 <= len(found.nodes) <= NODES_MAX
    below = [0.0] * len(found.nodes)
    for place, node in enumerate(found.nodes[1:], 1):
        assert 0 <= node.parent < place
        assert node.value_ms >= 0
        assert node.own_ms >= -0.001
        below[node.parent] += node.value_ms
    for node, inside in zip(found.nodes[1:], below[1:], strict=True):
        assert inside <= node.value_ms + 0.02
    assert from_fields(json.loads(json.dumps(fields(found)))) == found


def test_rows_and_nodes_are_bounded_and_what_is_left_out_is_counted() -> None:
    stats = made(("root", 1, 0.0, 900.0, {}), *((f"f{i}", 1, 1.0, 1.0, {"root": 1.0}) for i in range(900)))
    found = view(stats)
    assert (len(found.rows), found.functions) == (ROWS_MAX, 901)
    assert len(found.nodes) == NODES_MAX
    assert found.hidden_ms == pytest.approx(402_000)
    assert "and 871 more" in report(found)


def test_no_path_is_absolute() -> None:
    profile = cProfile.Profile()
    profile.enable()
    json.dumps({"a": [1, 2]}, indent=1)
    re.sub("a+", "b", "caat" * 9)
    view_of({}, 0, 1.0, 1.0)
    profile.disable()
    profile.create_stats()
    found = view(profile.stats)
    everything = json.dumps(fields(found)) + report(found)
    assert "engine/profiling.py:" in everything
    assert "python/json/" in everything
    assert not re.search(r'"[/\\]|[A-Z]:\\', everything)
    assert os.getcwd() not in everything


@pytest.mark.parametrize(
    ("path_", "short"),
    [
        ("/opt/venv/lib/python3.11/site-packages/aiohttp/web.py", "site-packages/aiohttp/web.py"),
        (r"C:\venv\Lib\site-packages\aiohttp\web.py", "site-packages/aiohttp/web.py"),
        ("/elsewhere/notes/script.py", "script.py"),
        ("<frozen importlib._bootstrap>", "<frozen importlib._bootstrap>"),
    ],
)
def test_files_outside_the_project_are_named_by_package_or_name(path_: str, short: str) -> None:
    assert shortened(path_) == short


def test_what_is_written_in_c_has_a_plain_name() -> None:
    names = {
        "<method 'reduce' of 'numpy.ufunc' objects>": "numpy.ufunc.reduce",
        "<built-in method builtins.len>": "len",
        "<built-in method _hashlib.hmac_digest>": "_hashlib.hmac_digest",
    }
    assert {name: named((BUILT_IN, 0, name)) for name in names} == {
        name: (short, "") for name, short in names.items()
    }


def test_the_report_gives_own_time_share_and_place() -> None:
    text = report(
        view(made(("turn", 1_200, 1.0, 4.0, {}), ("match", 50, 3.0, 3.0, {"turn": 3.0})), took_s=8.0)
    )
    assert "8.0 s of the engine's thread: 4.00 s busy (50 %), 1,250 calls of 2 functions" in text
    assert re.search(r"3,000\.0 +75\.0 % +3,000\.0 +50  match  <made>:1", text)
    assert report(ProfileView("running", 1, 10.0)) == "a profile of 10 s is being taken\n"
