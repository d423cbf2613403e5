"""The poll: deltas add up to the whole, resets come when they must, and an answer is what the contract says."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dashboards import exchange_streams as exchange
from dashboards import history_streams as history
from dashboards.streams.table import STREAMS
from dashboards.transport import Transport
from dashboards.view import INTERVALS_S, PAGE_SOURCE, WINDOWS_S
from engine.errors import BadCommand, BadFrame
from engine.market.sequencing import Rule
from engine.matching.log import LogView
from engine.matching.orders import HALTED
from engine.matching.statistics import EngineStatistics, SymbolStatistics
from tests.engine.markets import BTC, SECOND, SIM, SPOT, START, Desk

# Every stream there is but those that look at more than markets: they have tables of their own and their own tests.
ALL = [name for name in STREAMS if name not in {*exchange.NAMES, history.NAME, "alerts"}]


class FakeEngine:
    """Telemetry with a notebook for what pages ask."""

    def __init__(self, desk: Desk) -> None:
        self.telemetry = desk.telemetry
        self.asked: list[tuple[str, Any]] = []

    def command(self, name: str, args: dict[str, Any]) -> None:
        self.asked.append((name, args))

    def note_page(self, stage: str, values_ns: list[int]) -> None:
        self.asked.append((stage, values_ns))


class Page:
    """A browser tab: keeps cursors, merges what comes."""

    def __init__(self, desk: Desk, streams: list[str] = ALL, **params: Any) -> None:
        self.engine = FakeEngine(desk)
        self.transport = Transport(self.engine, lambda: desk.now)
        self.params: dict[str, Any] = {"client": "tab", "streams": streams, "window": 60, **params}
        self.cursors: dict[str, Any] = {}

    def poll(self, **params: Any) -> dict[str, Any]:
        self.params |= params
        answer = self.transport.poll(self.params, self.cursors)
        self.cursors = answer["cursors"]
        return answer

    def stream(self, name: str, **params: Any) -> dict[str, Any]:
        found: dict[str, Any] = self.poll(**params)["streams"][name]
        return found


def busy(seconds: int, desk: Desk | None = None, start: int = 0) -> Desk:
    """A desk with a synced book and one trade and one delta each quarter of a second."""
    desk = desk or Desk().at(0).snapshot([(100, 5), (99, 7)], [(110, 2)])
    for quarter in range(start * 4, (start + seconds) * 4):
        desk.at(quarter / 4)
        desk.delta([(100, quarter + 1)], []).trade(101 + quarter % 9, 10, latency_ns=1_000 * (quarter + 1))
    return desk


def matched(seconds: int) -> Desk:
    """A built-in exchange that took a turn of 20 commands in 100 us each half of a second."""
    desk = Desk(SIM).at(0).snapshot([(100, 5)], [(110, 2)])
    for half in range(seconds * 2):
        desk.at(half / 2)
        desk.intake.on_orders(SIM, 20, 0, np.full(20, 1_000), 100_000, events=30 + half, rejects=2)
    desk.at(seconds)
    book = SymbolStatistics("BTC-USDT", HALTED, 5, 2, 9, 16, 4, 3, 1, 0, 77)
    desk.intake.on_matching(SIM, EngineStatistics(500, START, 4_096, (book,)), None)
    return desk


def test_a_change_says_over_how_many_seconds_it_is() -> None:
    market = Page(busy(17), ["candles"]).poll()["market"]
    assert market["window"] == 60
    assert market["change_s"] in (16, 17)
    assert market["change"] is not None


def test_an_answer_has_every_stream_asked_for_and_no_other_and_is_json() -> None:
    page = Page(busy(3))
    answer = page.poll()
    assert list(answer["streams"]) == ALL
    assert set(answer) == {
        *(
            "v",
            "epoch",
            "now",
            "cursors",
            "engine",
            "past",
            "sources",
            "market",
            "venues",
            "bans",
            "streams",
            "alerts",
        ),
    }
    for stream in answer["streams"].values():
        assert {"key", "reset", "age_ms", "n", "lost", "note"} <= set(stream)
    assert b"NaN" not in orjson.dumps(answer)
    assert list(Page(busy(3), ["depth", "nonsense"]).poll()["streams"]) == ["depth"]


def test_an_engine_without_sources_answers_emptily() -> None:
    desk = Desk()
    desk.intake._desks.clear()
    desk.at(1)
    answer = Page(desk).poll()
    assert answer["market"] is None
    assert answer["sources"] == []
    assert answer["streams"]["depth"]["state"] == "EMPTY"
    orjson.dumps(answer)


def test_depth_decodes_to_the_book_and_is_left_out_while_unchanged() -> None:
    desk = Desk().snapshot([(100, 5), (97, 7), (90, 1)], [(101, 2), (105, 4)]).at(0.1)
    page = Page(desk)
    depth = page.stream("depth")
    assert np.cumsum(depth["b"]["p"]).tolist() == [100, 97, 90]
    assert np.cumsum(depth["a"]["p"]).tolist() == [101, 105]
    assert depth["a"]["q"] == [2, 4]
    assert (depth["bid"], depth["ask"], depth["levels"], depth["state"]) == (100, 101, [3, 2], "SYNCED")
    desk.at(0.2)
    again = page.stream("depth")
    assert "b" not in again
    assert again["age_ms"] == pytest.approx(200, abs=1)
    desk.delta([(100, 6)], []).at(0.3)
    assert page.stream("depth")["b"]["q"] == [6, 7, 1]


def test_candles_merged_by_opening_time_equal_a_fresh_page() -> None:
    desk = busy(2)
    page = Page(desk, ["candles"], interval=1)
    merged: dict[int, list[Any]] = {}

    def merge() -> None:
        stream = page.stream("candles")
        if stream["reset"]:
            merged.clear()
        columns = [stream[name] for name in ("t", "o", "h", "l", "c", "v", "n_trades")]
        for row in zip(*columns, strict=True):
            merged[row[0]] = list(row)
        for t in [t for t in merged if t < stream["keep"]]:
            del merged[t]

    merge()
    for second in range(2, 80):
        busy(1, desk, second)
        merge()
    fresh = Page(desk, ["candles"], interval=1).stream("candles")
    assert [row[0] for row in sorted(merged.values())] == fresh["t"]
    assert [row[4] for row in sorted(merged.values())] == fresh["c"]
    assert [row[5] for row in sorted(merged.values())] == fresh["v"]


@given(st.lists(st.integers(1, 7), min_size=1, max_size=8), st.sampled_from([1, 5, 60]))
def test_candles_of_any_interval_survive_polls_at_any_time(pauses: list[int], interval: int) -> None:
    desk = busy(1)
    page = Page(desk, ["candles"], interval=interval, window=60)
    merged: dict[int, tuple[Any, ...]] = {}
    second = 1
    for pause in [0, *pauses]:
        if pause:
            busy(pause, desk, second)
            second += pause
        stream = page.stream("candles")
        merged |= {
            row[0]: row for row in zip(*(stream[n] for n in ("t", "o", "h", "l", "c", "v")), strict=True)
        }
    fresh = Page(desk, ["candles"], interval=interval, window=60).stream("candles")
    expected = list(zip(*(fresh[n] for n in ("t", "o", "h", "l", "c", "v")), strict=True))
    assert [merged[t] for t in sorted(merged)] == expected


def test_vwap_and_trade_count_are_of_the_whole_window_running_second_included() -> None:
    desk = Desk().at(0).snapshot([(100, 5)], [(900, 2)])
    for second, (price, size) in enumerate([(200, 1), (300, 3), (500, 2)]):
        desk.at(second + 0.5).trade(price, size)
    page = Page(desk.at(2.6), ["candles"], interval=5)
    page.poll()
    stream = page.stream("candles")
    assert stream["n"] == 3
    assert stream["vwap"] == pytest.approx((200 + 900 + 1000) / 6, abs=0.01)


def test_latency_rows_come_once_and_a_hole_is_a_row_of_nulls() -> None:
    desk = busy(3)
    page = Page(desk, ["latency"], stage="receive")
    first = page.stream("latency")
    assert first["reset"]
    desk.at(6)
    busy(2, desk, 6)
    second = page.stream("latency")
    assert not second["reset"]
    times = first["t"] + second["t"]
    assert times == sorted(set(times))
    null = (first["p50"] + second["p50"]).index(None)
    assert times[null] > times[null - 1]
    assert times[null + 1] - times[null - 1] > 1_000
    fresh = Page(desk, ["latency"], stage="receive").stream("latency")
    assert fresh["t"] == times
    assert fresh["p99"] == first["p99"] + second["p99"]


def test_latencies_of_a_source_have_its_outages_those_of_pages_have_none() -> None:
    desk = busy(5)
    desk.intake.interrupted(desk.source, ["BTC-USDT"], "a test")
    desk.at(9).snapshot([(100, 5)], [(110, 2)])
    busy(3, desk, 9)
    page = Page(desk, ["latency"], stage="receive")
    assert len(page.stream("latency")["gaps"]) == 1
    desk.telemetry.stage(PAGE_SOURCE, "draw").record(desk.now, np.array([1_000], np.int64), 0)
    assert page.stream("latency", stage="draw")["stage"] == "draw"
    assert page.stream("latency")["gaps"] == []


def test_throughput_steps_are_sent_once_when_complete() -> None:
    desk = busy(3)
    page = Page(desk, ["throughput"])
    first = page.stream("throughput")
    assert page.stream("throughput")["t"] == []
    busy(2, desk, 3)
    desk.at(5.2)
    second = page.stream("throughput")
    assert second["t"] == [(START + s * SECOND) // 1_000_000 for s in (2, 3, 4)]
    (series,) = second["series"]
    assert series["trades"] == [4.0, 4.0, 4.0]
    assert first["series"][0]["trades"][-1] == 4.0
    assert first["series"][0]["trades"][0] is None  # before the source began


def test_trades_come_once_newest_120_at_most_and_lost_rows_are_told() -> None:
    desk = Desk().at(0).snapshot([(100, 5)], [(110, 2)])
    page = Page(desk, ["trades"])
    page.poll()
    for _ in range(300):
        desk.trade(105)
    desk.at(1)
    stream = page.stream("trades")
    assert (len(stream["t"]), stream["n"], stream["lost"]) == (120, 300, 0)
    assert stream["id"] == list(range(181, 301))
    assert page.stream("trades")["t"] == []
    for _ in range(20_000):
        desk.trade(105)
    desk.at(2)
    assert page.stream("trades")["lost"] == 20_000 - 16_384


def test_streams_sent_whole_come_once_a_second() -> None:
    desk = busy(3)
    page = Page(desk, ["stages", "distribution", "tiles", "health"])
    first = page.poll()["streams"]
    assert "rows" in first["stages"]
    assert "us" in first["distribution"]
    assert "figures" in first["tiles"]
    assert "rings" in first["health"]
    desk.now += 1_000
    second = page.poll()["streams"]
    assert "rows" not in second["stages"]
    assert "figures" not in second["tiles"]
    busy(1, desk, 3)
    desk.at(4.1)
    assert "rows" in page.poll()["streams"]["stages"]


@pytest.mark.parametrize("change", [{"window": 300}, {"symbol": "x"}, {"stage": "sequence"}, {"interval": 5}])
def test_a_changed_parameter_resets_what_it_changes(change: dict[str, Any]) -> None:
    page = Page(busy(3))
    page.poll()
    assert not any(stream["reset"] for name, stream in page.poll()["streams"].items() if name != "tiles")
    reset = {name for name, stream in page.poll(**change)["streams"].items() if stream["reset"]}
    assert {
        "window": {"candles", "latency", "throughput", "metrics"} <= reset,
        "symbol": "depth" not in reset,
        "stage": "latency" in reset,
        "interval": "candles" in reset,
    }[next(iter(change))]


def test_a_restarted_server_resets_everything() -> None:
    desk, other = busy(3), busy(3)
    page, elsewhere = Page(desk), Page(other)
    page.poll()
    elsewhere.cursors = page.cursors
    assert all(stream["reset"] for stream in elsewhere.poll()["streams"].values())


@given(st.dictionaries(st.sampled_from(ALL), st.one_of(st.none(), st.text(), st.integers()), max_size=4))
def test_foreign_cursors_are_no_error(cursors: dict[str, Any]) -> None:
    page = Page(busy(1))
    page.cursors = cursors
    assert all(stream["reset"] for stream in page.poll()["streams"].values())


JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
NAMES = ["client", "symbol", "hidden", "source", "window", "interval", "stage", "painted"]


@given(st.dictionaries(st.sampled_from(NAMES), JUNK))
def test_bad_parameters_become_defaults(params: dict[str, Any]) -> None:
    page = Page(busy(1))
    answer = page.poll(**params)
    assert answer["streams"]["candles"]["interval"] in (1, 5, 15, 60, 300, 900, 3_600)
    orjson.dumps(answer)


def test_hidden_sources_are_not_counted_nor_primary() -> None:
    desk = busy(3)
    answer = Page(desk, hidden=[SPOT.key]).poll()
    assert answer["market"] is None
    assert answer["streams"]["throughput"]["series"] == []
    assert [source["shown"] for source in answer["sources"]] == [False]


def test_a_recorded_source_is_primary_before_a_simulated_one() -> None:
    desk = busy(2)
    desk.intake.open_source(SIM, "Built-in", [BTC], Rule.BINANCE_SPOT, lambda wall_ns: wall_ns)
    desk.at(3)
    assert Page(desk).poll()["market"]["source"] == SPOT.key
    assert Page(desk, source=SIM.key).poll()["streams"]["depth"]["state"] == "EMPTY"
    assert Page(desk, source=SIM.key, hidden=[SIM.key]).poll()["market"]["source"] == SPOT.key


def test_what_pages_measured_goes_to_the_engine_bounded() -> None:
    page = Page(busy(1))
    page.poll(painted=[[12.5, 80.0], [2.5, None]] * 20 + ["x"])
    stages = dict(page.engine.asked)
    assert stages["draw"] == [12_500_000, 2_500_000] * 8
    assert stages["total"] == [80_000_000] * 8
    assert len(stages["poll"]) == 1


def test_one_side_of_a_book_has_no_spread() -> None:
    desk = Desk().at(0).snapshot([(100, 5)], [])
    page = Page(desk.at(2.5))
    answer = page.poll()["streams"]
    assert set(answer["metrics"]["bid"]) == {100}
    assert set(answer["metrics"]["ask"]) == {None}
    assert answer["tiles"]["figures"]["spread"] is None
    assert answer["depth"]["ask"] is None


def test_tiles_show_the_main_stage_of_the_source_or_nothing() -> None:
    desk = busy(3)
    desk.telemetry.stage("page", "poll").record_one(desk.now - 2 * SECOND, 5_000_000)
    desk.telemetry.stage("page", "poll").advance(desk.now)
    figures = Page(desk).poll()["streams"]["tiles"]["figures"]
    assert (figures["stage"], figures["stage_label"]) == ("receive", "Receive")
    figures = Page(desk, hidden=[SPOT.key]).poll()["streams"]["tiles"]["figures"]
    assert (figures["stage"], figures["p50"], figures["throttled"]) == (None, None, None)


def test_loop_lag_is_over_all_samples_of_the_minute() -> None:
    desk = busy(1)
    loop = desk.telemetry.stage("engine", "loop")
    for second in range(10):
        for _ in range(99):
            loop.record_one(desk.now - (20 - second) * SECOND, 1_000_000)
        loop.record_one(desk.now - (20 - second) * SECOND, 500_000_000)
    loop.advance(desk.now)
    lag = Page(desk).poll()["streams"]["health"]["loop"]
    assert lag["lag_p50_ms"] == pytest.approx(1, rel=0.01)
    assert lag["lag_p99_ms"] == pytest.approx(1, rel=0.01)
    assert lag["lag_max_ms"] == 500


def test_the_command_log_is_told_when_there_is_one() -> None:
    desk = busy(1)
    page = Page(desk, ["health"])
    assert page.stream("health")["log"] is None
    desk.telemetry.board.command_log = LogView("sync", "open", 10, 7, backlog_bytes=240, written_bytes=832)
    desk.now += SECOND
    log = page.stream("health")["log"]
    assert (log["mode"], log["state"], log["sequence"], log["durable"]) == ("sync", "open", 10, 7)
    assert (log["backlog_bytes"], log["written_bytes"]) == (240, 832)


def test_the_matching_engine_is_told_by_symbol_and_over_the_last_minute() -> None:
    page = Page(matched(90), ["matching"])
    stream = page.stream("matching")
    assert stream["age_ms"] == 0
    assert stream["ts"] == (START + 90 * SECOND) / 1e6
    assert stream["engine"] == {
        "commands": 500,
        "now": START / 1e6,
        "memory_bytes": 4_096,
        "resident_bytes": None,
    }
    (book,) = stream["symbols"]
    assert (book["symbol"], book["phase"], book["resting"], book["waiting"]) == ("BTC-USDT", "halted", 5, 2)
    assert (book["used"], book["slots"], book["far_bid_levels"], book["bid_levels"]) == (7, 16, 1, 4)
    rows = {row["label"]: row for row in stream["figures"]}
    columns = ("last", "p50", "p99", "max", "total")
    assert [rows["Commands/s"][name] for name in columns] == [40, 40, None, 40, 90 * 40]
    events = [60 + 4 * second + 1 for second in range(90)]
    assert rows["Events/s"]["spark"] == events[-60:]
    assert [rows["Events/s"][name] for name in columns] == [
        *(events[-1], round(np.median(events[-60:])), None, events[-1]),
        sum(events),
    ]
    assert [rows["Rejects/s"][name] for name in columns] == [4, 4, None, 4, 90 * 4]
    assert [rows["Batch size"][name] for name in columns] == [20, 20, 20, 20, None]
    assert rows["Batch size"]["n"] == 120
    assert rows["Batch time"]["unit"] == "us"
    assert rows["Batch time"]["max"] == 100
    assert rows["Command time"]["last"] == 5
    assert set(rows["Command time"]["spark"]) == {5}
    assert all(len(row["spark"]) == 60 for row in stream["figures"])


def test_the_matching_engine_is_told_anew_only_when_it_was_looked_at_again() -> None:
    desk = matched(3)
    page = Page(desk, ["matching"])
    page.poll()
    desk.at(4.5)
    stream = page.stream("matching")
    assert "symbols" not in stream
    assert stream["age_ms"] == 1_500  # nothing looks any more: the page calls it stale
    desk.intake.on_matching(SIM, EngineStatistics(501, START, 4_096, ()), 1_024)
    stream = page.stream("matching")
    assert (stream["engine"]["commands"], stream["engine"]["resident_bytes"]) == (501, 1_024)


def test_before_the_matching_engine_starts_there_is_nothing_of_it() -> None:
    page = Page(Desk(SIM).at(1), ["matching"])
    stream = page.stream("matching")
    assert (stream["age_ms"], stream["symbols"], stream["figures"]) == (None, [], [])


def test_a_matching_engine_without_commands_has_no_batches_and_says_why() -> None:
    desk = Desk(SIM).snapshot([(100, 5)], [(110, 2)]).at(0).at(50)
    desk.intake.on_matching(SIM, EngineStatistics(0, 0, 4_096, ()), None)
    desk.telemetry.board.engine = replace(desk.telemetry.board.engine, state="running", rate=0)
    stream = Page(desk, ["matching"]).stream("matching")
    assert "the simulation rate is 0" in stream["note"]
    for row in stream["figures"]:
        assert (row["last"], row["max"]) == ((0, 0) if row["total"] == 0 else (None, None))


def test_lost_rows_of_all_pages_are_counted_on_the_health_page() -> None:
    desk = Desk().at(0).snapshot([(100, 5)], [(110, 2)])
    page = Page(desk, ["trades"])
    page.poll()
    for _ in range(17_000):
        desk.trade(105)
    page.poll()
    desk.at(2)
    health = page.stream("health", streams=["health"])
    assert health["process"]["lost_rows"] == 17_000 - 16_384


def test_malformed_frames_can_be_inspected() -> None:
    desk = busy(1)
    desk.intake.on_bad_frame(SPOT, BadFrame("binance", "p", b'{"p":"\xff"}'))
    (row,) = Page(desk).poll()["streams"]["health"]["bad_frames"]
    assert (row["source"], row["field"], row["frame"]) == (SPOT.key, "p", '{"p":"\\xff"}')


@pytest.mark.parametrize("given", [None, [], "x", 5])
def test_a_poll_that_is_no_object_is_answered_with_defaults(given: Any) -> None:
    page = Page(busy(1))
    assert page.transport.poll(given, given)["streams"] == {}


def test_events_have_an_age_whether_or_not_new_ones_came() -> None:
    desk = busy(3)
    page = Page(desk)
    page.poll()
    assert page.stream("events")["age_ms"] > 0


def test_commands_reach_the_engine() -> None:
    page = Page(busy(1))
    page.transport.command("set_rate", {"orders_per_s": 5})
    assert page.engine.asked == [("set_rate", {"orders_per_s": 5})]


def test_an_engine_that_stops_does_not_spoil_the_answer() -> None:
    page = Page(busy(1))

    def refuse(stage: str, values_ns: list[int]) -> None:
        raise BadCommand("the engine is not running")

    page.engine.note_page = refuse  # type: ignore[method-assign]
    assert page.poll()["v"] == 1


SENT = """client symbol hidden source window interval stage budget account traded slo amount span group studies part
    exview histzoom histat histwhat histof painted"""


@pytest.mark.parametrize(
    "bad", [True, 1.0, -1, 10**400, 1e308, float("nan"), "x", "1e999", None, {}, [[]], [10**400]]
)
def test_whatever_a_page_sends_it_gets_an_answer(bad: Any) -> None:
    desk = busy(2)
    for name in SENT.split():
        answer = Page(desk, [*STREAMS]).poll(**{name: bad})
        assert answer["market"]["window"] in WINDOWS_S
        assert answer["streams"]["candles"]["interval"] in INTERVALS_S
        assert {type(answer["market"]["window"]), type(answer["streams"]["candles"]["interval"])} == {int}
