"""Live markets as pages get them: toggles, what is followed and listed, connections on the Health page."""

from __future__ import annotations

import dataclasses

import pytest

from dashboards.streams import activity
from dashboards.streams.venues import MARKETS, connection_tables, last_error
from engine.intake import COLOURS
from engine.telemetry.events import Event
from tests.dashboards.test_prices import Tab


def test_every_market_is_told_connected_or_not_with_its_fixed_colour() -> None:
    tab = Tab([])
    tab.poll()
    found = {venue["id"]: venue for venue in tab.answer["venues"]}
    assert list(found) == list(MARKETS)
    assert found["binance_coinm"]["state"] == "off"
    assert (found["bybit_linear"]["venue"], found["bybit_linear"]["short"]) == ("Bybit", "Linear")
    assert found["binance_spot"]["books"] == [2, 2]
    sources = {source["id"] for source in tab.answer["sources"]}
    assert {venue["source"] for venue in found.values() if venue["state"] == "live"} <= sources


def test_a_market_has_one_colour_wherever_it_is_drawn() -> None:
    assert {key: market.colour for key, market in MARKETS.items()} == COLOURS


def test_a_market_that_cannot_be_reached_says_when_it_is_tried_again_and_why() -> None:
    tab = Tab([], "away")
    tab.poll()
    spot = tab.answer["venues"][0]
    assert (spot["state"], spot["detail"]) == ("reconnecting", "cannot resolve api.binance.com")
    assert spot["next_try"] > tab.answer["now"] > spot["since"]
    (source,) = (one for one in tab.answer["sources"] if one["id"] == spot["source"])
    assert source["state"] == "reconnecting"


def test_lists_are_sent_once_and_again_when_they_change() -> None:
    tab = Tab(["listing"])
    lists = tab.poll()["listing"]["lists"]
    assert "BTC-USDT-PERP" in lists["bybit_linear"]
    assert lists["binance_coinm"] == []  # not known before it is connected
    assert "lists" not in tab.poll()["listing"]
    tab.source.command("connect_venue", {"venue": "binance_coinm"})
    assert list(tab.poll()["listing"]["lists"]) == ["binance_coinm"]


def test_what_is_followed_and_polled_comes_when_it_changes() -> None:
    tab = Tab(["venues"])
    rows = {row["id"]: row for row in tab.poll()["venues"]["rows"]}
    assert [one["symbol"] for one in rows["binance_usdm"]["symbols"]] == ["BTC-USDT-PERP", "ETH-USDT-PERP"]
    assert rows["binance_usdm"]["streams"] == [2, 2]
    assert rows["binance_coinm"]["symbols"] == []
    assert "rows" not in tab.poll()["venues"]
    tab.source.command("add_symbol", {"venue": "binance_usdm", "symbol": "SOL-USDT-PERP"})
    tab.source.command("set_poll", {"venue": "binance_usdm", "endpoint": "funding", "interval_s": 60})
    row = next(row for row in tab.poll()["venues"]["rows"] if row["id"] == "binance_usdm")
    assert row["symbols"][-1]["symbol"] == "SOL-USDT-PERP"
    assert next(poll for poll in row["polls"] if poll["endpoint"] == "funding")["interval_s"] == 60


def test_connections_and_clocks_are_listed_of_connected_markets() -> None:
    tab = Tab(["health"], "away")
    health = tab.poll()["health"]
    streams = {(row["id"], row["stream"]): row for row in health["streams"]}
    assert ("binance_usdm", "market 1") in streams
    assert ("bybit_inverse", "public 1") not in streams
    lost = streams["binance_spot", "spot 1"]
    assert (lost["state"], lost["reason"]) == ("backing off", "cannot resolve api.binance.com")
    assert lost["next_try"] is not None
    clocks = {row["id"]: row for row in health["venues"]}
    assert clocks["bybit_linear"]["gaps"] == 2
    assert clocks["bybit_linear"]["offset_ms"] == pytest.approx(2.82)
    assert [row["id"] for row in tab.table("health", part="venues")] == list(clocks)
    exported = tab.table("health", part="streams")
    assert [(row["id"], row["stream"]) for row in exported] == list(streams)
    assert [int(row["reconnects"]) for row in exported] == [row["reconnects"] for row in streams.values()]


def test_a_market_whose_books_are_not_right_is_not_called_live() -> None:
    tab = Tab(["health"])
    market = tab.source.markets["binance_spot"]
    rows = {row["id"]: row for row in tab.poll()["health"]["venues"]}
    sources = {one["venue"]: one for one in tab.answer["sources"]}
    assert market.state == "live"
    for name, row in rows.items():
        assert row["state"] == sources[name]["state"]


def test_the_newest_failure_of_a_market_is_told_with_its_time() -> None:
    tab = Tab(["health"])
    (venue,) = (one for one in tab.source.telemetry.board.venues if one.venue == "binance_spot")
    old = Event(1, 5_000_000, "warn", "binance_spot", "snapshot", "BTC-USDT: timed out")
    new = Event(2, 6_000_000, "warn", "binance_spot", "snapshot", "ETH-USDT: refused")
    assert last_error(venue, None, new) == ("ETH-USDT: refused", 6_000_000)
    board = tab.source.telemetry.board
    sources = tuple(dataclasses.replace(one, opened_ns=6_000_000) for one in board.sources)
    shown = dataclasses.replace(board, sources=sources)
    (row,) = (r for r in connection_tables(shown, [old, new])["venues"] if r["id"] == "binance_spot")
    assert (row["error"], row["error_at"]) == ("ETH-USDT: refused", 6)
    (row,) = (r for r in connection_tables(shown, [old])["venues"] if r["id"] == "binance_spot")
    assert row["error"] == ""  # of before it was connected


def test_a_market_that_has_no_connection_yet_is_listed_with_its_own_state() -> None:
    tab = Tab(["health"])
    market = tab.source.markets["bybit_inverse"]
    market.streams, market.state, market.detail = (), "connecting", "asking for its instruments"
    (row,) = (row for row in tab.poll()["health"]["streams"] if row["id"] == "bybit_inverse")
    assert (row["stream"], row["state"], row["reason"]) == ("", "connecting", "asking for its instruments")


def test_a_symbol_is_looked_at_where_there_is_one_unless_a_source_is_asked_for() -> None:
    tab = Tab([], symbol="BTC-USDT-PERP")
    tab.poll()
    assert tab.answer["market"]["source"] == "binance_usdm:live"
    tab.poll(source="bybit_spot:live")
    assert (tab.answer["market"]["source"], tab.answer["market"]["symbol"]) == ("bybit_spot:live", "BTC-USDT")
    tab.poll(source="", symbol="NO-SUCH")
    assert tab.answer["market"]["source"] == "binance_spot:live"


@pytest.mark.parametrize(
    ("source", "what", "about"),
    [
        ("bybit", "limits", "limits"),
        ("binance_spot", "ban", "limits"),
        ("binance_spot:live", "gap", "venue"),
        ("bybit_linear", "refused", "venue"),  # a topic, not a call
        ("binance_spot:replay", "gap", ""),
        ("", "limits", ""),
        ("builtin:sim", "log", ""),
    ],
)
def test_events_are_sorted_by_what_they_are_about(source: str, what: str, about: str) -> None:
    assert activity.about(Event(1, 0, "info", source, what, "")) == about


def test_sources_are_stacked_in_the_order_of_their_markets_and_count_from_their_opening() -> None:
    tab = Tab(["throughput"])
    board = tab.source.telemetry.board
    now_ns = round(tab.now * 1e9)
    late = tuple(
        dataclasses.replace(one, opened_ns=now_ns - 3_000_000_000)
        if one.source.venue == "binance_spot"
        else one
        for one in reversed(board.sources)
    )
    shown = [one.source.venue for one in activity.in_order(late) if one.source.run == "live"]
    assert shown == [venue for venue in MARKETS if venue in shown]
    tab.source.opened["binance_spot"] = now_ns - 3_000_000_000
    stream = tab.poll()["throughput"]
    series = {one["id"]: one["messages"] for one in stream["series"]}
    known = [at for at, x in zip(stream["t"], series["binance_spot:live"], strict=True) if x is not None]
    assert known[0] == (now_ns - 3_000_000_000) // 1_000_000_000 * 1000
    assert sum(x is not None for x in series["bybit_spot:live"]) > len(known)
