"""Live markets against the local venue: real protocols, real sockets, every fault on its list."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections.abc import Callable, Coroutine
from dataclasses import replace
from socket import gaierror
from typing import Any

import pytest
from aiohttp import ClientConnectorDNSError
from aiohttp.client_reqrep import ConnectionKey

from engine.errors import BadCommand, QueueFull, Unreachable
from engine.exchange.faults import Fault
from engine.exchange.venue_rules import RULES
from engine.market.sequencing import Outcome
from feeds import live_market
from feeds.live_market import LiveMarket
from feeds.stream import Stream
from feeds.upkeep import why
from feeds.venues import DIALECTS
from tests.feeds.live_desk import Scene, scene, shortened

SPOT = ("BTC-USDT", "ETH-USDT")
PERP = ("BTC-USDT-PERP", "ETH-USDT-PERP")
EVERY = {
    "binance_spot": SPOT,
    "binance_usdm": PERP,
    "binance_coinm": ("BTC-USD-PERP", "ETH-USD-PERP"),
    "bybit_spot": SPOT,
    "bybit_linear": PERP,
    "bybit_inverse": ("BTC-USD-PERP", "ETH-USD-PERP"),
}
BUDGETS = {key: "bybit" if key.startswith("bybit") else key for key in EVERY}


def play(act: Callable[[Scene], Coroutine[Any, Any, None]], *keys: str, **options: Any) -> Scene:
    """Run an act once the books of these markets are synced."""

    async def run() -> Scene:
        wanted = {key: EVERY[key] for key in keys}
        async with scene(wanted, **options) as stage:
            for key in keys:
                await stage.until(lambda key=key: stage.books.synced(key, len(wanted[key])))
            await act(stage)
        return stage

    return asyncio.run(run())


def test_every_market_syncs_and_has_the_venues_own_books() -> None:
    async def act(stage: Scene) -> None:
        for key in EVERY:
            await stage.until(lambda key=key: stage.view(key).state == "live")
            await stage.all_agree(key)
        for key in ("binance_usdm", "bybit_linear"):
            await stage.until(lambda key=key: len(stage.books.open[key].funding) == 2)
        for key, symbols in EVERY.items():
            await stage.until(
                lambda key=key: all(stage.books.open[key].minutes.get(s, 0) > 900 for s in EVERY[key])
            )
            await stage.until(lambda key=key: stage.view(key).offset_ns is not None)
            view = stage.view(key)
            assert [(one.symbol, one.state, one.waiting) for one in view.symbols] == [
                (symbol, "SYNCED", False) for symbol in symbols
            ]
            assert len(view.listed) == 20
            assert {stream.state for stream in view.streams} == {"open"}
            assert stage.books.open[key].conditions[-1] == (True, "")
            assert (stage.books.open[key].wrong, stage.books.open[key].bad) == ([], [])

    stage = play(act, *EVERY)
    assert [stream.name for stream in stage.view("binance_usdm").streams] == []  # it was closed
    assert {reason for _, reason in stage.books.closed} == {"stopped"}
    assert refusals(stage) == 0


def refusals(stage: Scene) -> int:
    """Calls and connects the venue refused, over all budgets."""
    counted = [budget.enforcement.statistics() for budget in stage.venue.budgets.values()]
    return sum(sum(one["refusals"].values()) + one["bans"] for one in counted)


@pytest.mark.parametrize("key", EVERY)
@pytest.mark.parametrize("fault", ["drop", "duplicate", "reorder", "malformed"])
def test_a_depth_frame_that_goes_wrong_costs_one_snapshot_of_its_symbol_alone(key: str, fault: str) -> None:
    first, second = EVERY[key]
    after_s = random.Random(f"{key} {fault}").random() * 0.3

    async def act(stage: Scene) -> None:
        await asyncio.sleep(after_s)
        shelf = stage.books.open[key]
        loaded = len(shelf.snapshots)
        # Bybit's best prices are frames of a book too, and each is whole: of those, one is no loss.
        tries = 0
        while not shelf.wrong and tries < (1 if fault == "duplicate" else 10):
            tries += 1
            stage.venue.inject(Fault(kind=fault, market=key, symbol=first, count=1))  # type: ignore[arg-type]
            await stage.until(lambda tries=tries: stage.venue.faults.done.get(fault) == tries)
            await asyncio.sleep(0.3)
        if fault == "duplicate":
            assert shelf.wrong == []
        else:
            await stage.until(lambda: len(shelf.snapshots) > loaded)
            assert shelf.wrong == [(first, Outcome.GAP)]
            assert shelf.snapshots[loaded:] == [first]
        assert tries == 1 or key.startswith("bybit")
        await stage.until(lambda: stage.books.synced(key, 2))
        await stage.all_agree(key)
        assert len(shelf.bad) == (tries if fault == "malformed" else 0)
        assert shelf.states[second].sync.gaps == 0
        assert {stream.reconnects for stream in stage.view(key).streams} == {0}

    assert refusals(play(act, key)) == 0


@pytest.mark.parametrize("key", ["binance_spot", "binance_usdm", "bybit_linear"])
@pytest.mark.parametrize("fault", ["cut", "close", "huge"])
def test_connections_that_end_are_opened_again_and_every_book_is_right_again(key: str, fault: str) -> None:
    async def act(stage: Scene) -> None:
        shelf = stage.books.open[key]
        stage.venue.inject(Fault(kind=fault, market=key, count=1))  # type: ignore[arg-type]
        await stage.until(
            lambda: {one for symbols, _ in shelf.interrupted for one in symbols} == set(EVERY[key])
        )
        await stage.until(lambda: stage.view(key).state == "live" and stage.books.synced(key, 2))
        await stage.all_agree(key)
        assert sum(one.reconnects for one in stage.view(key).streams) >= 1

    assert refusals(play(act, key)) == 0


def test_a_notice_of_shutdown_has_the_connection_replaced_before_it_is_cut() -> None:
    key = "binance_spot"

    async def act(stage: Scene) -> None:
        shelf = stage.books.open[key]
        stage.venue.inject(Fault(kind="shutdown", market=key, delay_s=1.5))
        await stage.until(lambda: stage.view(key).streams[0].rotations == 1)
        await asyncio.sleep(1.5)
        view = stage.view(key)
        assert (view.state, view.streams[0].reconnects, view.snapshots_done) == ("live", 0, 2)
        assert (shelf.interrupted, shelf.wrong) == ([], [])
        await stage.all_agree(key)
        for ids in shelf.trades.values():
            assert len(ids) == len(set(ids)) > 0  # one that came over both connections counts once

    assert refusals(play(act, key)) == 0


@pytest.mark.parametrize("key", ["binance_usdm", "bybit_linear"])
def test_a_planned_rotation_loses_and_repeats_nothing(key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    dialect = DIALECTS[key]
    monkeypatch.setattr(dialect, "streams", replace(dialect.streams, rotate_after_s=1.0))

    async def act(stage: Scene) -> None:
        shelf = stage.books.open[key]
        await stage.until(lambda: min(one.rotations for one in stage.view(key).streams) >= 2)
        assert {one.reconnects for one in stage.view(key).streams} == {0}
        assert (shelf.interrupted, shelf.wrong, shelf.bad) == ([], [], [])
        await stage.all_agree(key)
        for ids in shelf.trades.values():
            assert len(ids) == len(set(ids)) > 0

    play(act, key)


def test_a_rotation_gives_nothing_up_however_much_the_replacement_held(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    delivering = Stream._until_delivering

    async def late(self: Stream, *arguments: Any) -> None:
        await delivering(self, *arguments)
        await asyncio.sleep(1.0)  # its last answer comes late

    monkeypatch.setattr(Stream, "_until_delivering", late)
    monkeypatch.setattr(live_market, "EMPTY_NS", 0)  # a slow machine: it does not get far at once

    async def act(stage: Scene) -> None:
        market = stage.live._places["binance_spot"].market
        assert market is not None
        stream = market._streams[0]
        shelf = stage.books.open["binance_spot"]
        poured = []
        pour = stream.inbox.pour
        stream.inbox.pour = lambda other: (poured.append(len(other)), pour(other))  # type: ignore[method-assign]
        copies = market._overlap.copies
        stream._rotate.set()
        await stage.until(lambda: stream.rotations)
        assert poured[0] > 100
        await stage.until(lambda: not market._overlap.active)
        assert market._overlap.copies > copies
        await stage.all_agree("binance_spot")
        assert (shelf.dropped, shelf.wrong, shelf.interrupted) == (0, [], [])
        for ids in shelf.trades.values():
            assert ids == list(range(ids[0], ids[0] + len(ids)))

    play(act, "binance_spot", rate=100.0)


def test_a_connection_that_lags_is_read_on_until_it_brought_what_its_replacement_began_with() -> None:
    async def act(stage: Scene) -> None:
        market = stage.live._places["binance_spot"].market
        assert market is not None
        stream = market._streams[0]
        shelf = stage.books.open["binance_spot"]
        assert stream._current is not None
        assert stream._current._socket is not None
        lagging = stream._current._socket.transport
        lagging.pause_reading()
        await asyncio.sleep(0.5)
        stream._rotate.set()
        await stage.until(lambda: stream.rotations)
        await asyncio.sleep(0.3)
        await stage.all_agree("binance_spot")
        assert (shelf.dropped, shelf.wrong, shelf.interrupted) == (0, [], [])
        for ids in shelf.trades.values():
            assert ids == list(range(ids[0], ids[0] + len(ids)))

    play(act, "binance_spot", rate=50.0)


def test_a_silent_stall_is_noticed_by_the_data(monkeypatch: pytest.MonkeyPatch) -> None:
    dialect = DIALECTS["binance_spot"]
    monkeypatch.setattr(dialect, "streams", replace(dialect.streams, silent_after_s=2.0))

    async def act(stage: Scene) -> None:
        await asyncio.sleep(1.5)  # so that the stream's pace is known
        stage.venue.inject(Fault(kind="stall", market="binance_spot", duration_s=3.5))
        await stage.until(lambda: stage.view("binance_spot").streams[0].stalls == 1, within_s=4)
        reason = stage.books.open["binance_spot"].interrupted[0][1]
        assert reason.startswith("stream 1: no data for ")
        await stage.until(lambda: stage.books.synced("binance_spot", 2))
        await stage.all_agree("binance_spot")

    play(act, "binance_spot")


def test_refused_connections_are_tried_again_with_the_reason_shown() -> None:
    async def act(stage: Scene) -> None:
        stage.venue.inject(Fault(kind="refuse", budget="binance_usdm", count=3))
        stage.venue.inject(Fault(kind="cut", market="binance_usdm"))
        await stage.until(lambda: stage.view("binance_usdm").state == "reconnecting")
        await stage.until(lambda: stage.view("binance_usdm").state == "live")
        up, down = (
            stage.books.open["binance_usdm"].conditions[-1],
            stage.books.open["binance_usdm"].conditions[-2],
        )
        assert up == (True, "")
        assert down[0] is False
        assert down[1]
        assert stage.view("bybit_spot").streams[0].reconnects == 0
        await stage.until(lambda: stage.books.synced("binance_usdm", 2))

    play(act, "binance_usdm", "bybit_spot")


@pytest.mark.parametrize("fault", ["old_snapshot", "slow_snapshot", "broken", "unreachable"])
def test_a_snapshot_that_does_not_help_is_fetched_again(fault: str) -> None:
    async def act(stage: Scene) -> None:
        shelf = stage.books.open["binance_usdm"]
        stage.venue.inject(Fault(kind=fault, symbol="BTCUSDT", budget="binance_usdm", count=1, delay_s=0.4))  # type: ignore[arg-type]
        stage.venue.inject(Fault(kind="drop", market="binance_usdm", symbol="BTCUSDT", count=1))
        await stage.until(lambda: shelf.wrong)
        await stage.until(lambda: stage.books.synced("binance_usdm", 2))
        await stage.all_agree("binance_usdm")
        assert shelf.states["ETH-USDT-PERP"].sync.gaps == 0
        assert stage.view("binance_usdm").snapshots_failed >= (fault != "slow_snapshot")

    play(act, "binance_usdm")


def test_bybits_books_follow_a_restart_of_their_numbers() -> None:
    async def act(stage: Scene) -> None:
        shelf = stage.books.open["bybit_linear"]
        loaded = len(shelf.snapshots)
        stage.venue.inject(Fault(kind="restart", market="bybit_linear"))
        await stage.until(lambda: len(shelf.snapshots) >= loaded + 2)
        await stage.all_agree("bybit_linear")

    play(act, "bybit_linear")


@pytest.mark.parametrize("key", ["binance_usdm", "bybit_linear"])
def test_symbols_come_and_go_while_it_runs(key: str) -> None:
    async def act(stage: Scene) -> None:
        live = stage.live
        live.add_symbol(key, "sol-usdt-perp")
        await stage.until(lambda: stage.books.synced(key, 3))
        live.add_symbol(key, "XRPUSDT")  # the venue's own name
        await stage.until(lambda: stage.books.synced(key, 4))
        await stage.all_agree(key)
        with pytest.raises(BadCommand, match="already follows XRP-USDT-PERP"):
            live.add_symbol(key, "XRP-USDT-PERP")
        with pytest.raises(BadCommand, match=r"lists no 'BTC-USDT-PRP'; did you mean BTC-USDT-PERP"):
            live.add_symbol(key, "BTC-USDT-PRP")
        with pytest.raises(BadCommand, match="1 to 40 characters"):
            live.add_symbol(key, " " * 50)
        live.remove_symbol(key, "BTCUSDT")
        live.remove_symbol(key, "SOL-USDT-PERP")
        with pytest.raises(BadCommand, match="does not follow 'SOL-USDT-PERP'"):
            live.remove_symbol(key, "SOL-USDT-PERP")
        await asyncio.sleep(0.3)
        assert [one.symbol for one in stage.view(key).symbols] == ["ETH-USDT-PERP", "XRP-USDT-PERP"]
        assert set(stage.books.open[key].states) == {"ETH-USDT-PERP", "XRP-USDT-PERP"}
        assert stage.books.open[key].bad == []
        assert {one.reconnects for one in stage.view(key).streams} == {0}
        live.add_symbol(key, "BTC-USDT-PERP")
        await stage.until(lambda: stage.books.synced(key, 3))
        await stage.all_agree(key)
        # What is followed outlives a disconnect.
        live.disconnect(key)
        assert stage.view(key).state == "off"
        live.connect(key)
        await stage.until(lambda: stage.books.closed == [(key, "stopped")])
        await stage.until(lambda: stage.books.synced(key, 3))
        for symbol in list(stage.books.open[key].states):
            live.remove_symbol(key, symbol)
        await stage.until(lambda: not stage.view(key).streams)
        assert (stage.view(key).state, stage.view(key).detail) == ("live", "no symbol is followed")

    play(act, key)


def test_symbols_may_be_chosen_before_the_market_is_connected() -> None:
    async def act(stage: Scene) -> None:
        live, key = stage.live, "binance_spot"
        live.add_symbol(key, "SOL-USDT")
        live.add_symbol(key, "NO-SUCH")
        live.remove_symbol(key, "ETH-USDT")
        with pytest.raises(BadCommand, match="already follows SOL-USDT"):
            live.add_symbol(key, "sol-usdt")
        live.set_poll(key, "candles", 0)
        with pytest.raises(BadCommand, match="has no 'funding'"):
            live.set_poll(key, "funding", 5)
        with pytest.raises(BadCommand, match="not -1"):
            live.set_poll(key, "time", -1)
        assert [(one.endpoint, one.interval_s) for one in stage.view(key).polls][-1] == ("candles", 0)
        live.connect(key)
        live.add_symbol(key, "XRP-USDT")  # while it is still connecting
        await stage.until(lambda: stage.books.synced(key, 3))
        assert set(stage.books.open[key].states) == {"BTC-USDT", "SOL-USDT", "XRP-USDT"}
        assert any("lists no 'NO-SUCH'" in text for *_, text in stage.notes)
        live.set_poll(key, "time", 7)
        assert [one.interval_s for one in stage.view(key).polls] == [7, 3600, 0]

    play(act, "bybit_spot")


def test_a_market_that_is_switched_on_and_off_quickly_runs_once() -> None:
    async def act(stage: Scene) -> None:
        live, key = stage.live, "binance_spot"
        for _ in range(3):
            live.disconnect(key)
            await asyncio.sleep(0)
            live.connect(key)
            await asyncio.sleep(0)
        assert [name for name in stage.books.open if name == key]  # the first is still closing
        await stage.until(lambda: stage.books.closed == [(key, "stopped")])
        await stage.until(lambda: stage.books.synced(key, 2))
        await asyncio.sleep(0.5)
        assert (stage.view(key).state, stage.books.closed) == ("live", [(key, "stopped")])
        assert not [note for note in stage.notes if note[0] == "error"]
        live.disconnect(key)
        await stage.until(lambda: len(stage.books.closed) == 2)
        assert not stage.venue.budgets[key].hub.connections

    play(act, "binance_spot")


def test_a_name_that_the_venue_does_not_list_can_be_taken_back() -> None:
    async def run() -> None:
        async with scene({"binance_spot": ["BTC-USDT", "NOSUCH-COIN"]}) as stage:
            await stage.until(lambda: stage.books.synced("binance_spot", 1))
            stage.live.remove_symbol("binance_spot", "nosuch-coin")
            with pytest.raises(BadCommand, match="does not follow 'NOSUCH-COIN'"):
                stage.live.remove_symbol("binance_spot", "NOSUCH-COIN")
            stage.notes.clear()
            stage.live.disconnect("binance_spot")
            stage.live.connect("binance_spot")
            await stage.until(lambda: len(stage.books.closed) == 1 and stage.books.synced("binance_spot", 1))
            assert not [note for note in stage.notes if note[2] == "symbol"]

    asyncio.run(run())


def test_commands_for_a_market_that_is_not_there_are_refused() -> None:
    async def act(stage: Scene) -> None:
        for command in (stage.live.connect, stage.live.disconnect):
            with pytest.raises(BadCommand, match="there is no market 'kraken'; there are binance_spot"):
                command("kraken")
        stage.live.connect("binance_spot")  # it is on
        stage.live.disconnect("bybit_spot")  # it is off
        assert stage.view("bybit_spot").state == "off"

    play(act, "binance_spot")


def test_without_network_it_says_why_and_when_and_nothing_else_suffers() -> None:
    async def run() -> None:
        async with scene({"binance_spot": SPOT}, base="http://127.0.0.1:9") as stage:
            await stage.until(lambda: stage.view("binance_spot").state == "reconnecting")
            await stage.until(lambda: stage.view("binance_spot").next_try_ns > 0)
            view = stage.view("binance_spot")
            assert view.detail == "connection refused by 127.0.0.1:9"
            assert view.symbols == ()
            failed = ("warn", "binance_spot", "connect", f"Binance spot: {view.detail}")
            await asyncio.sleep(0.3)
            assert [note for note in stage.notes if note[2] == "connect"] == [failed]  # not one a try
            started = time.process_time()
            await asyncio.sleep(1)
            assert time.process_time() - started < 0.5
            stage.live.disconnect("binance_spot")
            assert stage.view("binance_spot").state == "off"
            assert stage.books.closed == []  # it never opened

    asyncio.run(run())


def test_a_name_that_is_not_resolved_is_said_in_few_words() -> None:
    failed = Unreachable("binance_spot", "GET /api/v3/exchangeInfo", "a long story")
    assert why(failed, "https://api.binance.com") == "a long story"
    key = ConnectionKey("api.binance.com", 443, True, True, None, None, None)
    failed.__cause__ = ClientConnectorDNSError(key, gaierror(-3, "Temporary failure in name resolution"))
    assert why(failed, "https://api.binance.com") == "cannot resolve api.binance.com"
    assert (
        why(QueueFull("binance_spot", 5), "https://api.binance.com") == "binance_spot: 5 calls wait already"
    )


def test_the_venue_going_away_and_coming_back() -> None:
    async def act(stage: Scene) -> None:
        port = int(stage.venue.url.rsplit(":", 1)[1])
        await stage.venue.stop()
        await stage.until(lambda: stage.view("binance_spot").state == "reconnecting")
        await stage.until(lambda: "refused" in stage.view("binance_spot").detail)
        assert {one.state for one in stage.view("binance_spot").symbols} <= {"STALE", "EMPTY"}
        await stage.venue.start(port)
        await stage.until(lambda: stage.books.synced("binance_spot", 2), within_s=15)
        await stage.all_agree("binance_spot")

    play(act, "binance_spot")


def test_a_fault_of_our_own_in_one_market_is_contained() -> None:
    async def act(stage: Scene) -> None:
        frames = stage.books.open["bybit_spot"].frames
        stage.books.fails_once.add("BTC-USDT-PERP")
        await stage.until(lambda: stage.books.closed)
        assert stage.books.closed == [("binance_usdm", "RuntimeError: a fault of our own")]
        view = stage.view("binance_usdm")
        assert (view.state, view.detail) == ("reconnecting", "RuntimeError: a fault of our own")
        await stage.until(lambda: stage.books.synced("binance_usdm", 2))
        assert stage.view("binance_usdm").state == "live"
        assert stage.view("bybit_spot").state == "live"
        assert stage.books.open["bybit_spot"].frames > frames
        assert [name for name, _ in stage.books.closed] == ["binance_usdm"]

    play(act, "binance_usdm", "bybit_spot")


def test_a_ban_is_waited_for_and_not_hammered() -> None:
    async def act(stage: Scene) -> None:
        enforcement = stage.venue.budgets["binance_spot"].enforcement
        stage.venue.inject(Fault(kind="429", budget="binance_spot", retry_after_s=2, count=1))
        stage.venue.inject(Fault(kind="drop", market="binance_spot", symbol="BTCUSDT", count=1))
        await stage.until(lambda: refusals(stage) == 1)
        requests = enforcement.statistics()["requests"]
        await asyncio.sleep(1)
        assert enforcement.statistics()["requests"] == requests
        await stage.until(lambda: stage.books.synced("binance_spot", 2))
        assert refusals(stage) == 1

    play(act, "binance_spot")


@pytest.mark.parametrize(
    "key",
    ["binance_spot", *(pytest.param(k, marks=pytest.mark.nightly) for k in ("binance_usdm", "bybit_linear"))],
)
def test_a_cut_of_a_hundred_symbols_costs_no_refusal_and_no_ban(key: str) -> None:
    window_s = 3

    async def run() -> None:
        # Real weights and limits; only Binance's minute is shorter, for the venue and for us.
        changed = {}
        if key.startswith("binance"):
            limit = 6_000 if key == "binance_spot" else 2_400
            changed = {key: RULES[key].with_window("REQUEST_WEIGHT", window_s, limit)}
        options = {"rules": changed, "symbols": 100, "levels": 100, "rate": 2.0}
        async with scene({key: []}, limits=shortened(window_s), **options) as stage:
            await stage.until(lambda: stage.view(key).state == "live")
            for symbol in stage.view(key).listed:
                stage.live.add_symbol(key, symbol)
            await stage.until(lambda: stage.books.synced(key, 100), within_s=20)
            shelf = stage.books.open[key]
            assert len(shelf.snapshots) == 100
            stage.venue.inject(Fault(kind="cut", market=key))
            await stage.until(lambda: sum(len(symbols) for symbols, _ in shelf.interrupted) >= 100)
            # The books are told to be wrong a moment after the cut: right again they are with their new snapshots.
            await stage.until(lambda: len(shelf.snapshots) >= 200, within_s=30)
            await stage.until(lambda: stage.books.synced(key, 100), within_s=20)
            statistics = stage.venue.budgets[BUDGETS[key]].enforcement.statistics()
            assert len(shelf.snapshots) == 200
            assert refusals(stage) == 0
            # One connect for each connection, and one for each time it was cut.
            assert statistics["connects"] == sum(1 + one.reconnects for one in stage.view(key).streams)
            for symbol in list(shelf.states)[::10]:
                await stage.until(lambda symbol=symbol: stage.agrees(key, symbol))

    asyncio.run(run())


STORM = (
    *("drop", "duplicate", "reorder", "malformed", "huge", "close", "cut", "refuse", "shutdown"),
    *("slow_snapshot", "old_snapshot", "broken", "unreachable", "stall"),
)


@pytest.mark.nightly
@pytest.mark.parametrize("seed", range(3))
def test_after_a_storm_of_faults_every_book_is_the_venues_own(seed: int) -> None:
    chance = random.Random(seed)

    async def act(stage: Scene) -> None:
        until_s = time.monotonic() + 20
        while time.monotonic() < until_s:
            kind, key = chance.choice(STORM), chance.choice(list(EVERY))
            lasts = {"duration_s": 1.0} if kind == "stall" else {"count": chance.randint(1, 3)}
            stage.venue.inject(Fault(kind=kind, market=key, delay_s=0.3, **lasts))  # type: ignore[arg-type]
            await asyncio.sleep(chance.random() * 0.4)
            symbol = chance.choice(stage.view(key).listed or ("BTC-USDT",))
            with contextlib.suppress(BadCommand):
                chance.choice((stage.live.add_symbol, stage.live.remove_symbol))(key, symbol)
        stage.venue.faults.clear(0)
        for key in EVERY:
            await stage.until(lambda key=key: stage.view(key).state == "live", within_s=40)
            followed = len(stage.view(key).symbols)
            await stage.until(lambda key=key, n=followed: stage.books.synced(key, n), within_s=40)
            await stage.all_agree(key)
            for ids in stage.books.open[key].trades.values():
                assert len(ids) == len(set(ids))
        assert {name for name, _ in stage.books.closed} == set()  # no fault of our own

    assert refusals(play(act, *EVERY)) == 0


@pytest.mark.parametrize("key", ["bybit_linear", "binance_usdm"])
def test_a_snapshot_that_is_lost_is_asked_for_however_quiet_the_symbol(
    key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def act(stage: Scene) -> None:
        hub = stage.venue.budgets[BUDGETS[key]].hub
        push, lost = hub._push, []

        def losing(connection: Any, frame: Any, wire: bytes) -> None:
            if b"orderbook.200" in wire and not lost:
                lost.append(wire)
                return
            push(connection, frame, wire)

        monkeypatch.setattr(hub, "_push", losing)
        if key.startswith("binance"):  # as if nobody had noticed that it was subscribed
            monkeypatch.setattr(LiveMarket, "subscribed", lambda *_: None)
        stage.venue.inject(Fault("cut", market=key))
        await stage.until(lambda: stage.books.open[key].interrupted)
        await stage.until(lambda: stage.books.synced(key, 2))
        await stage.all_agree(key)
        assert len(lost) == key.startswith("bybit")

    play(act, key, rate=0.001)


def test_a_refused_symbol_is_shown_and_asked_for_again_and_the_market_is_live(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    key, dialect = "bybit_linear", DIALECTS["bybit_linear"]
    subscribe, refuses = dialect.subscribe, [True]

    def misspelt(topics: Any, request: str) -> str:
        text = subscribe(topics, request)
        return text.replace("BTCUSDT", "NOPE") if refuses else text

    monkeypatch.setattr(dialect, "subscribe", misspelt, raising=False)

    async def run() -> None:
        async with scene({key: ["BTC-USDT-PERP"]}) as stage:
            await stage.until(lambda: "refuses BTC-USDT-PERP" in stage.view(key).detail)
            assert stage.view(key).state == "live"
            refused = [note for note in stage.notes if note[2] == "refused"]
            stage.venue.inject(Fault("cut"))
            await stage.until(lambda: stage.view(key).streams[0].reconnects == 1)
            await stage.until(lambda: stage.view(key).state == "live")
            assert "refuses BTC-USDT-PERP" in stage.view(key).detail
            await asyncio.sleep(2.2)
            assert [note for note in stage.notes if note[2] == "refused"] == refused  # once for each topic
            assert stage.view(key).snapshots_waiting == 0  # no use while it is refused
            refuses.clear()
            await stage.until(lambda: stage.books.synced(key, 1))
            await stage.until(lambda: stage.view(key).detail == "")
            await stage.all_agree(key)
            stage.live.remove_symbol(key, "BTC-USDT-PERP")
            assert stage.view(key).streams == ()

    asyncio.run(run())


def test_a_ban_while_connecting_is_said_with_its_end() -> None:
    async def act(stage: Scene) -> None:
        key = "binance_spot"
        stage.live.disconnect(key)
        await stage.until(lambda: stage.books.closed)
        stage.venue.inject(Fault("418", budget=key, ban_s=20, count=1))
        for _ in range(2):  # the second time the ban is known before anything is asked
            stage.live.connect(key)
            await stage.until(lambda: stage.view(key).detail.startswith("banned by the venue until "))
            view = stage.view(key)
            assert 10e9 < view.next_try_ns - time.time_ns() < 80e9
            end = time.strftime("%H:%M:%S", time.gmtime(view.next_try_ns // 10**9))
            assert view.detail == f"banned by the venue until {end} UTC"
            stage.live.disconnect(key)
            await asyncio.sleep(0.1)

    play(act, "binance_spot")
