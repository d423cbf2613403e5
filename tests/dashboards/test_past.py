"""Pages that look at the past: one source, by its own clock, through pauses, seeks and exports; others see now."""

from __future__ import annotations

import csv
import io
from typing import Any

import orjson
import pytest

from dashboards.sheet import iso
from dashboards.streams.table import OF_THE_PAST, STREAMS
from engine.market.batches import Source
from engine.market.sequencing import Rule
from engine.storage.records import Block, Stream
from tests.dashboards.test_transport import ALL, Page
from tests.engine.markets import BTC, SECOND, SIM, SPOT
from tests.engine.replays import THEN, Played, counters, events, latencies

THEN_MS = THEN // 1_000_000
COUNTED = ["throughput", "tiles", "events", "stages", "latency", "distribution"]


def played(seconds: int, *, recorded: bool = True, desk: Played | None = None, start: int = 0) -> Played:
    """A replay of some seconds, with one trade in each; with recorded telemetry unless told otherwise."""
    desk = desk or Played()
    for second in range(start, start + seconds):
        desk.then(second + 0.5).traded(100 + second % 9)
        if recorded and second:
            desk.intake.on_recorded(SPOT, latencies([[1_000 * second] * 10], second - 1))
            desk.intake.on_recorded(
                SPOT, counters(second - 1, [{"messages": 40 + second, "trades": 7, "gaps": 1}])
            )
    return desk


def at_ms(*seconds: float) -> list[float]:
    return [THEN_MS + second * 1_000 for second in seconds]


def known(stream: dict[str, Any], rate: str) -> list[tuple[int, float]]:
    """(second of the stretch, value) where the one series has a value."""
    (series,) = stream["series"]
    return [
        ((t - THEN_MS) // 1_000, v) for t, v in zip(stream["t"], series[rate], strict=True) if v is not None
    ]


def table(page: Page, chart: str, part: str = "", view: int | None = None) -> list[dict[str, str]]:
    number = page.poll()["v"] if view is None else view
    _, text = page.transport.export({"client": "tab", "view": number, "chart": chart, "part": part})
    return list(csv.DictReader(io.StringIO(text)))


def test_a_page_of_the_past_says_so_and_what_of_it_is_of_now() -> None:
    desk = played(5)
    answer = Page(desk).poll()
    assert answer["past"] == {
        "source": SPOT.key,
        "label": "Binance Spot replay",
        "at": THEN_MS + 4_500,
        "state": "playing",
        "offset_ms": 0.0,
        "recorded": ["counters", "latency"],
        "now": ["limits", "health", "matching", "prices", "mids", "venues", "listing"],
    }
    assert b"NaN" not in orjson.dumps(answer)
    desk.intake.open_source(SIM, "Built-in", [BTC], Rule.BINANCE_SPOT, lambda wall_ns: wall_ns)
    desk.then(5)
    assert Page(desk, source=SIM.key).poll()["past"] is None


def test_of_a_replayed_past_is_every_panel_that_follows_its_source() -> None:
    asked = [*STREAMS]
    now = Page(played(5), asked, studies=["sma-2"]).poll()["past"]["now"]
    assert set(now) == {
        *("limits", "health", "matching", "prices", "mids", "venues", "listing", "history", "alerts"),
        *("exchange", "exchange_book", "exchange_latency", "exchange_stages", "profile"),
    }
    ages = {
        name: stream["age_ms"]
        for name, stream in Page(played(5), asked, studies=["sma-2"]).poll()["streams"].items()
        if name in OF_THE_PAST and stream["age_ms"] is not None
    }
    assert {"candles", "studies", "indexed", "book_map"} <= set(ages)
    assert max(ages.values()) < 5_000  # by the past's clock, which is far from ours


def test_where_something_is_live_a_past_is_looked_at_only_when_it_is_asked_for() -> None:
    desk = played(5)
    for source in (SIM, Source("bybit_spot", "live")):
        desk.intake.open_source(source, source.key, [BTC], Rule.BINANCE_SPOT, lambda wall_ns: wall_ns)
        desk.source, desk.sequence = source, 0
        desk.snapshot([(1, 1)], [(2, 1)]).at(10**6)
        primary = SPOT if source == SIM else source
        assert Page(desk).poll()["market"]["source"] == primary.key
    assert Page(desk, source=SPOT.key).poll()["market"]["source"] == SPOT.key
    assert Page(desk, source=SPOT.key, hidden=[SPOT.key]).poll()["past"] is None


def test_a_replay_of_a_file_is_no_past() -> None:
    desk = played(3, recorded=False, desk=Played(recorded=False))
    answer = Page(desk).poll()
    assert answer["past"] is None
    assert answer["streams"]["throughput"]["t"][-1] > THEN_MS + 10**9 / 2


def test_rates_are_those_recorded_by_second_of_the_stretch_at_any_speed() -> None:
    desk = played(6)  # 6 s of the stretch in 0.3 s of the wall's
    stream = Page(desk, ["throughput"]).stream("throughput")
    assert known(stream, "messages") == [(second, 41 + second) for second in range(5)]
    assert known(stream, "trades") == [(second, 7) for second in range(5)]
    assert stream["n"] == sum(41 + second for second in range(5))
    assert stream["age_ms"] == 500
    assert stream["keep"] == THEN_MS + 5_000 - 60_000


def test_without_recorded_counts_rates_are_of_what_is_played() -> None:
    stream = Page(played(6, recorded=False), ["throughput"]).stream("throughput")
    assert known(stream, "trades") == [(second, 1) for second in range(5)]
    assert stream["note"] == "messages not recorded; trades counted from what is replayed"
    assert known(stream, "messages") == []
    assert stream["n"] is None


def test_how_many_frames_a_recorded_stretch_had_is_not_known() -> None:
    (source,) = Page(played(3, recorded=False), ["health"]).stream("health")["sources"]
    assert source["frames"] is None


def test_a_stage_that_was_not_recorded_says_that_it_is_measured_anew() -> None:
    desk = played(6, recorded=False)
    for stage, said in (
        ("sequence", "not recorded; measured while it is replayed"),
        ("receive", "clock offset"),
    ):
        assert said in Page(desk, ["latency"], stage=stage).stream("latency")["note"]
        assert said in Page(desk, ["distribution"], stage=stage).stream("distribution")["note"]
    assert Page(played(6), ["throughput"]).stream("throughput")["note"] == ""


def test_each_second_of_the_past_is_sent_once() -> None:
    desk = played(3)
    page = Page(desk, ["throughput"])
    seen = known(page.stream("throughput"), "messages")
    for second in range(3, 9):
        played(1, desk=desk, start=second)
        stream = page.stream("throughput")
        assert not stream["reset"]
        seen += known(stream, "messages")
    assert seen == known(Page(desk, ["throughput"]).stream("throughput"), "messages")
    assert [second for second, _ in seen] == list(range(8))


def test_when_recorded_figures_take_over_their_streams_begin_anew_and_others_go_on() -> None:
    desk = played(4, recorded=False)
    page = Page(desk)
    page.poll()
    played(2, desk=desk, start=4)
    streams = page.poll()["streams"]
    assert {
        name
        for name in ("throughput", "latency", "stages", "distribution", "tiles")
        if streams[name]["reset"]
    } == {
        *("throughput", "latency", "stages", "distribution", "tiles"),
    }
    assert not any(streams[name]["reset"] for name in ("depth", "trades", "metrics", "candles", "health"))
    assert streams["latency"]["count"] == [10, 10]
    assert not any(stream["reset"] for stream in page.poll()["streams"].values())


def test_latencies_are_those_recorded_and_the_pages_own_are_left_out() -> None:
    desk = played(5)
    desk.telemetry.stage("page", "poll").record_one(desk.now, 5_000_000)
    desk.telemetry.stage("page", "poll").advance(desk.now + SECOND)
    page = Page(desk, ["latency", "stages", "distribution", "tiles"])
    streams = page.poll()["streams"]
    assert streams["latency"]["t"] == at_ms(0, 1, 2, 3)
    assert streams["latency"]["p50"] == pytest.approx([1, 2, 3, 4], rel=0.01)
    assert [row["stage"] for row in streams["stages"]["rows"]] == ["receive"]
    assert streams["stages"]["rows"][0]["n"] == 40
    assert streams["distribution"]["n"] == 40
    assert streams["tiles"]["figures"]["stage"] == "receive"
    spark = streams["stages"]["rows"][0]["spark"]
    assert spark[-4:] == pytest.approx([1, 2, 3, 4], rel=0.01)


def test_tiles_are_of_the_past_and_limits_have_no_place_among_them() -> None:
    desk = played(5)
    tiles = Page(desk).stream("tiles")
    assert tiles["t"][-1] == THEN_MS + 3_000
    assert tiles["real"][-4:] == [41, 42, 43, 44]
    assert tiles["gaps"][-4:] == [1, 1, 1, 1]
    assert (tiles["figures"]["real"], tiles["figures"]["sim"], tiles["figures"]["throttled"]) == (
        44,
        None,
        None,
    )
    assert tiles["figures"]["books"] == [1, 1]


def test_the_built_in_exchanges_past_counts_its_orders() -> None:
    desk = Played()
    replay = Source("builtin", "replay")
    desk.intake.close_source(SPOT, "closed")
    desk.intake.open_source(replay, "Built-in replay", [BTC], Rule.BINANCE_SPOT, lambda _: desk.played_ns)
    desk.show("playing", replay)
    desk.played_ns = THEN + 2 * SECOND
    rows = counters(0, [{"orders": 300}, {"orders": 400}])
    desk.intake.on_recorded(replay, Block(rows.kind, Stream("builtin"), rows.rows))
    desk.intake.publish()
    streams = Page(desk, ["throughput", "tiles"]).poll()["streams"]
    (series,) = streams["throughput"]["series"]
    assert series["run"] == "sim"
    assert known(streams["throughput"], "orders") == [(0, 300), (1, 400)]
    assert (streams["tiles"]["figures"]["sim"], streams["tiles"]["figures"]["real"]) == (400, None)


def test_events_are_what_was_said_then() -> None:
    desk = played(3)
    page = Page(desk, ["events"])
    assert page.stream("events")["rows"] == []
    desk.intake.on_recorded(SPOT, events((1.5, "warn", "BTC-USDT: sequence gap")))
    desk.then(3)
    stream = page.stream("events")
    assert [(row["t"], row["level"], row["text"]) for row in stream["rows"]] == [
        (THEN_MS + 1_500, "warn", "BTC-USDT: sequence gap")
    ]
    assert stream["age_ms"] == 1_500
    assert page.stream("events")["rows"] == []
    (row,) = table(page, "events")
    assert row["text"] == "BTC-USDT: sequence gap"
    assert row["epoch_ms"] == str(THEN_MS + 1_500)


def test_pages_of_now_do_not_count_what_another_page_replays() -> None:
    desk = played(4)
    desk.intake.open_source(SIM, "Built-in", [BTC], Rule.BINANCE_SPOT, lambda wall_ns: wall_ns)
    for second in range(4, 40):
        played(1, desk=desk, start=second)
    page = Page(desk, source=SIM.key)
    answer = page.poll()
    assert [one["id"] for one in answer["streams"]["throughput"]["series"]] == [SIM.key]
    assert answer["streams"]["tiles"]["figures"]["gaps"] == 0
    assert answer["streams"]["tiles"]["figures"]["books"] == [0, 1]
    assert [(one["id"], one["shown"]) for one in answer["sources"]] == [(SPOT.key, True), (SIM.key, True)]
    assert answer["streams"]["throughput"]["t"][-1] > THEN_MS + 10**8
    texts = [row["text"] for row in answer["streams"]["events"]["rows"]]
    assert any(
        "Binance Spot replay opened" in text for text in texts
    )  # what happens to the replay happens now


def test_turning_to_the_past_and_back_resets_what_is_counted() -> None:
    desk = played(4)
    desk.intake.open_source(SIM, "Built-in", [BTC], Rule.BINANCE_SPOT, lambda wall_ns: wall_ns)
    desk.then(4)
    page = Page(desk, source=SIM.key)
    page.poll()
    there = page.poll(source=SPOT.key)
    back = page.poll(source=SIM.key)
    for answer in (there, back):
        assert all(answer["streams"][name]["reset"] for name in COUNTED)
        assert not answer["streams"]["health"]["reset"]


def test_a_page_of_a_paused_replay_stands_still() -> None:
    desk = played(5)
    page = Page(desk)
    page.poll()
    desk.show("paused").wait(0.5)
    first = page.poll()
    desk.wait(120)
    second = page.poll()
    assert first["sources"][0]["paused"]
    assert second["past"] == first["past"]
    assert second["sources"][0]["state"] == "live"
    assert second["sources"][0]["age_ms"] == first["sources"][0]["age_ms"] == 0
    for name in (*COUNTED, "candles", "metrics", "trades", "depth"):
        stream = second["streams"][name]
        assert not stream["reset"] or name == "tiles", name  # those come whole, always
        assert stream.get("t", []) == [] or name in ("tiles", "candles"), name
        assert stream["age_ms"] == first["streams"][name]["age_ms"], name
    assert second["streams"]["tiles"]["figures"] == Page(desk).stream("tiles")["figures"]
    assert second["streams"]["candles"]["open"] == first["streams"]["candles"]["open"]


def test_a_seek_back_begins_every_stream_of_the_source_anew() -> None:
    desk = played(50)
    desk.intake.on_recorded(SPOT, events((49, "info", "late")))
    page = Page(desk)
    assert page.poll()["streams"]["throughput"]["t"]
    page.poll()
    desk.open()
    played(6, desk=desk, start=10)
    streams = page.poll()["streams"]
    fresh = Page(desk).poll()["streams"]
    for name in (*COUNTED, "candles", "metrics", "trades", "depth"):
        assert streams[name]["reset"], name
    assert known(streams["throughput"], "messages") == [(second, 41 + second) for second in range(9, 15)]
    assert streams["latency"]["t"] == at_ms(*range(9, 15))
    assert streams["events"]["rows"] == []
    assert streams["candles"]["t"][0] == THEN_MS + 10_000
    for name in ("throughput", "latency", "metrics", "candles"):
        assert streams[name]["t"] == fresh[name]["t"], name
    assert not any(stream["reset"] for stream in page.poll()["streams"].values())


def test_a_jump_forward_leaves_a_hole_and_no_second_twice() -> None:
    desk = played(5)
    page = Page(desk, ["throughput", "latency", "metrics"], window=300)
    first = page.poll()["streams"]
    played(5, desk=desk, start=200)
    second = page.poll()["streams"]
    assert not any(stream["reset"] for stream in second.values())
    assert known(second["throughput"], "messages")[0] == (199, 240)
    times = first["throughput"]["t"] + second["throughput"]["t"]
    assert times == sorted(set(times))
    assert second["latency"]["p50"][0] is None  # no line over the hole
    times = first["latency"]["t"] + second["latency"]["t"]
    assert times == sorted(set(times))


def test_exports_of_the_past_carry_its_times() -> None:
    desk = played(6)
    page = Page(desk)
    number = page.poll()["v"]
    desk.wait(30)  # the wall's clock says nothing about them
    desk.open()  # nor does a seek after the view
    name, _ = page.transport.export(
        {"client": "tab", "view": number, "chart": "throughput", "part": "messages"}
    )
    assert name.endswith(iso(THEN + 5 * SECOND)[:19].replace(":", "") + "Z.csv")
    rates = table(page, "throughput", "messages", number)
    assert [(int(row["epoch_ms"]), float(row["per_s"])) for row in rates] == [
        (THEN_MS + second * 1_000, 41 + second) for second in range(5)
    ]
    (totals,) = table(page, "throughput", "totals", number)
    assert int(totals["epoch_ms"]) == THEN_MS + 5_500
    assert float(totals["messages_total"]) == sum(41 + second for second in range(5))
    tiles = table(page, "tiles", "", number)
    assert int(tiles[-1]["epoch_ms"]) == THEN_MS + 4_000
    assert [int(row["epoch_ms"]) for row in table(page, "latency", "", number)] == at_ms(0, 1, 2, 3, 4)
    (stage,) = table(page, "stages", "", number)
    assert (stage["stage"], int(stage["epoch_ms"])) == ("receive", THEN_MS + 5_500)
    assert {int(row["epoch_ms"]) for row in table(page, "distribution", "", number)} == {THEN_MS + 5_500}
    assert table(page, "events", "", number) == []


def test_every_stream_answers_before_the_replay_has_anything() -> None:
    desk = Played()
    desk.intake.publish()
    answer = Page(desk).poll()
    assert list(answer["streams"]) == ALL
    assert answer["past"]["recorded"] == []
    orjson.dumps(answer)


def test_a_past_that_is_closed_is_left() -> None:
    desk = played(3)
    desk.intake.open_source(SIM, "Built-in", [BTC], Rule.BINANCE_SPOT, lambda wall_ns: wall_ns)
    desk.then(4)
    page = Page(desk, source=SPOT.key)
    assert page.poll()["past"] is not None
    desk.intake.close_source(SPOT, "closed")
    desk.intake.publish()
    answer = page.poll()
    assert answer["past"] is None
    assert answer["streams"]["throughput"]["reset"]


@pytest.mark.parametrize("window", [60, 300, 900, 3_600, 14_400])
def test_every_window_is_of_the_past(window: int) -> None:
    streams = Page(played(40), window=window).poll()["streams"]
    for name in ("throughput", "latency", "candles", "metrics"):
        assert streams[name]["t"], name
        assert THEN_MS - window * 1_000 - 60_000 <= streams[name]["t"][0], name
        assert streams[name]["t"][-1] <= THEN_MS + 40_000, name
    newest = 20_000 if window >= 3_600 else 38_000  # the newest whole step
    assert streams["throughput"]["t"][-1] == THEN_MS + newest
