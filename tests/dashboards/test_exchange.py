"""The built-in exchange as pages get it: parts when they change, rows once, one account, exports of what was shown."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace
from typing import Any

import pytest

from dashboards.exchange_streams import STAGES
from engine.telemetry.board import BalanceView
from tests.browser.exchange_source import ASSETS, REJECTS, SYMBOLS, ExchangeSource, fresh_account
from tests.dashboards.test_prices import CLOCK, SECOND, Tab

STREAMS = ["exchange", "exchange_book", "exchange_latency", "exchange_stages", "profile"]


class ExchangeTab(Tab):
    """A browser tab at a played exchange whose clock stands until it is moved."""

    def __init__(self, streams: list[str], mode: str = "live", *, history_s: int = 70, **params: Any) -> None:
        self.now = CLOCK
        self.source: ExchangeSource = ExchangeSource(clock=lambda: self.now, history_s=history_s)
        if mode != "live":
            self.source.switch(mode)
        self.params = {"client": "tab", "streams": streams, "window": 60, **params}
        self.cursors: dict[str, Any] = {}
        self.answer: dict[str, Any] = {}


def exchange(tab: ExchangeTab, **params: Any) -> dict[str, Any]:
    found: dict[str, Any] = tab.poll(**params)["exchange"]
    return found


def test_an_exchange_that_is_off_says_so_and_has_nothing() -> None:
    stream = exchange(ExchangeTab(STREAMS, "off"))
    assert stream["head"]["state"] == "off"
    assert stream["account"] is None
    assert stream["lists"]["keys"] == []
    assert stream["lists"]["accounts"] == []
    assert stream["age_ms"] is None


def test_a_failed_start_tells_why() -> None:
    head = exchange(ExchangeTab(["exchange"], "failed"))["head"]
    assert (head["state"], head["detail"]) == ("failed", "port 8051 on 127.0.0.1 is in use")


def test_parts_come_when_they_change_and_only_those() -> None:
    tab = ExchangeTab(["exchange"])
    first = exchange(tab)
    assert {"head", "load", "lists", "account"} <= first.keys()
    assert not {"head", "load", "lists", "account"} & exchange(tab).keys()
    tab.source.command("exchange_faucet", {"account": "main", "asset": "BTC", "amount": "1"})
    paid = exchange(tab)
    assert {"head", "load", "lists"}.isdisjoint(paid)
    assert ["BTC", "10.30214000", "0.70000000"] in paid["account"]["balances"]
    tab.source.command("exchange_halt", {"symbol": "ETH-USDT", "halted": True})
    assert dict(exchange(tab)["lists"]["symbols"])["ETH-USDT"] == "halted"
    tab.now += 1
    second = exchange(tab)
    assert {"head", "load", "lists"} <= second.keys()  # a fault's count went on
    assert "account" not in second


def test_what_counts_on_all_the_time_is_told_once_a_second() -> None:
    tab = ExchangeTab(["exchange"])
    exchange(tab)
    for used in (7, 8):
        tab.source.keys[0] = replace(tab.source.keys[0], used_ns=round((CLOCK + used) * SECOND))
        assert "lists" not in exchange(tab)
    tab.now += 1
    assert exchange(tab)["lists"]["keys"][0]["used"] == pytest.approx((CLOCK + 8) * 1e3)


def test_clients_are_told_while_they_are_looked_at() -> None:
    tab = ExchangeTab(["exchange"], exview="trade")
    first = exchange(tab)
    assert "load" not in first
    tab.now += 1
    assert "load" not in exchange(tab)
    assert len(exchange(tab, exview="clients")["load"]["clients"]) == 7
    tab.now += 1
    assert len(exchange(tab)["load"]["clients"]) == 7


def test_keys_are_the_newest_and_counted_when_there_are_many() -> None:
    tab = ExchangeTab(["exchange"])
    for number in range(300):
        tab.source.command("exchange_create_key", {"account": "main", "label": str(number), "trade": True})
    lists = exchange(tab)["lists"]
    assert (len(lists["keys"]), lists["keys_count"], lists["keys"][-1]["label"]) == (200, 303, "299")


def test_rates_are_one_row_a_second_and_each_row_comes_once() -> None:
    tab = ExchangeTab(["exchange"])
    first = exchange(tab)
    assert len(first["t"]) == 60
    assert exchange(tab)["t"] == []
    tab.now += 3
    later = exchange(tab)
    assert later["t"] == [first["t"][-1] + 1_000 * k for k in (1, 2, 3)]
    rows = tab.source.telemetry.exchange.last(63).rows
    assert first["orders"] + later["orders"] == rows["orders"].tolist()
    assert all(o == a + r for o, a, r in zip(later["orders"], later["acks"], later["rejects"], strict=True))


def test_seconds_without_a_row_are_null_and_the_age_grows() -> None:
    tab = ExchangeTab(["exchange"])
    exchange(tab)
    tab.source.shown = "silent"
    tab.now += 4
    assert exchange(tab)["age_ms"] == pytest.approx(4_250, abs=1)
    tab.source.shown = "live"
    tab.now += 2
    assert exchange(tab)["orders"][:4] == [None] * 4


def test_long_windows_give_means_of_ten_seconds_once_they_are_whole() -> None:
    tab = ExchangeTab(["exchange"], history_s=125, window=3_600)
    first = exchange(tab)
    assert first["step"] == 10
    assert all(t % 10_000 == 0 for t in first["t"])
    rows = tab.source.telemetry.exchange.last(125).rows
    at = first["t"][3]
    inside = rows[(rows["ts_ns"] >= at * 10**6) & (rows["ts_ns"] < (at + 10_000) * 10**6)]
    assert first["fills"][3] == pytest.approx(inside["fills"].mean(), abs=0.06)
    tab.now += 10
    assert len(exchange(tab)["t"]) == 1


def test_an_account_is_the_one_asked_for_else_the_first() -> None:
    tab = ExchangeTab(["exchange"])
    assert exchange(tab)["account"]["name"] == "main"
    grid = exchange(tab, account="grid")["account"]
    assert (grid["name"], grid["open"]) == ("grid", [])
    assert grid["balances"] == [[asset, f"{amount}.00000000", "0.00000000"] for asset, amount in ASSETS]
    assert exchange(tab, account="nobody")["account"]["name"] == "main"
    assert exchange(tab, account={"not": "text"}).get("account") is None  # as before: nothing changed


def test_numbers_of_orders_are_text_since_a_browser_would_round_them() -> None:
    tab = ExchangeTab(["exchange"])
    big = 2**62 + 1
    account = tab.source.accounts["main"]
    tab.source.accounts["main"] = replace(account, open=(replace(account.open[0], order_id=big),))
    assert exchange(tab)["account"]["open"][0]["id"] == str(big)


def test_orders_of_clients_are_a_source_of_their_own_that_is_not_simulated() -> None:
    tab = ExchangeTab(["throughput"])
    stream = tab.poll()["throughput"]
    clients = stream["series"][-1]
    assert (clients["id"], clients["label"], clients["run"]) == ("clients", "Clients", "clients")
    rows = tab.source.telemetry.exchange.last(70).rows
    counted = {row["ts_ns"] // 10**6: row["orders"] for row in rows}
    assert clients["orders"] == [counted.get(at) for at in stream["t"]]
    assert set(clients["messages"]) == {None}
    table = [row for row in tab.table("throughput", part="orders") if row["source"] == "clients"]
    assert [float(row["per_s"]) for row in table] == [
        value for value in clients["orders"] if value is not None
    ]
    assert "clients" in [row["source"] for row in tab.table("throughput", part="totals")]
    hidden = tab.poll(hidden=["builtin:sim"])["throughput"]
    assert "clients" not in [one["id"] for one in hidden["series"]]


def test_clients_have_no_orders_where_the_exchange_is_off_and_its_book_is_shown_all_the_same() -> None:
    tab = ExchangeTab(["throughput", "exchange_book"], "off")
    streams = tab.poll()
    assert "clients" not in [one["id"] for one in streams["throughput"]["series"]]
    assert (streams["exchange_book"]["symbol"], len(streams["exchange_book"]["bids"])) == ("BTC-USDT", 16)


def test_no_answer_holds_a_secret() -> None:
    tab = ExchangeTab(STREAMS)
    result = tab.source.command("exchange_create_key", {"account": "new", "label": "", "trade": True})
    assert result is not None
    text = json.dumps(exchange(tab)) + json.dumps(tab.answer)
    assert result["api_key"] in text
    assert result["secret"] not in text
    assert tab.table("exchange", part="keys")
    assert (
        result["secret"]
        not in tab.source.export(
            {"chart": "exchange", "part": "keys", "view": tab.answer["v"], "client": "tab", "range": None}
        )[1]
    )


def test_the_book_is_the_built_in_ones_of_the_ticket_and_comes_when_it_changes() -> None:
    tab = ExchangeTab(["exchange_book"], traded="ETH-USDT")
    stream = tab.poll()["exchange_book"]
    assert (stream["symbol"], stream["base"], stream["quote"]) == ("ETH-USDT", "ETH", "USDT")
    book = tab.source.telemetry.board.books["builtin:sim", "ETH-USDT"]
    assert [list(row) for row in stream["bids"]] == book.bids[["price", "size"]][:16].tolist() or [
        tuple(row) for row in stream["bids"]
    ] == book.bids[["price", "size"]][:16].tolist()
    assert stream["bids"][0][0] < stream["asks"][0][0]
    assert stream["age_ms"] == pytest.approx(42, abs=0.1)
    assert "bids" not in tab.poll()["exchange_book"]
    tab.now += 0.2
    assert "bids" in tab.poll()["exchange_book"]
    other = tab.poll(traded="NONE-USDT")["exchange_book"]
    assert (other["symbol"], other["reset"]) == (SYMBOLS[0], True)


def test_stages_are_the_exchanges_own_in_the_order_of_the_way() -> None:
    tab = ExchangeTab(["exchange_stages", "exchange_latency"])
    rows = tab.poll()["exchange_stages"]["rows"]
    assert [row["stage"] for row in rows] == list(STAGES)
    for row in rows:
        assert row["n"] == 60 * 200
        assert row["p50"] <= row["p90"] <= row["p95"] <= row["p99"] <= row["p999"] <= row["max"]
    line = tab.answer["streams"]["exchange_latency"]
    assert (line["stage"], line["label"], len(line["t"])) == ("ack", "Acknowledge", 60)
    assert "rows" not in tab.poll()["exchange_stages"]
    wait = tab.poll(part="wait")["exchange_latency"]
    assert (wait["stage"], wait["reset"]) == ("wait", True)
    assert wait["p50"][0] < line["p50"][0]
    assert tab.poll(part="nonsense")["exchange_latency"]["stage"] == "ack"


def test_a_profile_is_told_while_it_runs_and_whole_at_its_end_once() -> None:
    tab = ExchangeTab(["profile"])
    assert tab.poll()["profile"]["profile"] is None
    tab.source.command("profile", {"seconds": 10})
    running = tab.poll()["profile"]["profile"]
    assert (running["state"], running["rows"]) == ("running", [])
    assert running["ends"] - running["started"] == pytest.approx(10_000)
    assert "profile" not in tab.poll()["profile"]
    tab.now += 11
    done = tab.poll()["profile"]["profile"]
    assert done["state"] == "done"
    assert done["rows"][0][0] == "match"
    assert done["nodes"][0][2] == -1
    assert "profile" not in tab.poll()["profile"]
    table = tab.table("profile")
    assert [row["function"] for row in table] == [row[0] for row in done["rows"]]


def test_exports_are_what_the_panels_showed_though_more_has_come_since() -> None:
    tab = ExchangeTab(STREAMS)
    drawn = tab.poll()
    number = tab.answer["v"]
    stream = drawn["exchange"]
    tab.source.command("exchange_cancel_all", {"account": "main", "symbol": "BTC-USDT"})
    tab.source.command("exchange_clear_fault", {"id": 0})
    tab.now += 5
    tab.poll()

    def table(chart: str, part: str = "", **more: Any) -> list[dict[str, str]]:
        request = {"chart": chart, "part": part, "view": number, "client": "tab", "range": None, **more}
        return list(csv.DictReader(io.StringIO(tab.source.export(request)[1])))

    account = stream["account"]
    assert [row["order_id"] for row in table("exchange", "orders")] == [
        order["id"] for order in (*account["open"], *account["ended"])
    ]
    assert [row["trade_id"] for row in table("exchange", "fills")] == [
        fill["id"] for fill in account["fills"]
    ]
    assert [[row["asset"], row["free"], row["reserved"]] for row in table("exchange", "balances")] == account[
        "balances"
    ]
    assert [int(row["id"]) for row in table("exchange", "faults")] == [
        one["id"] for one in stream["lists"]["faults"]
    ]
    assert [row["api_key"] for row in table("exchange", "keys")] == [
        key["api_key"] for key in stream["lists"]["keys"]
    ]
    assert [[row["symbol"], row["phase"]] for row in table("exchange", "phases")] == stream["lists"][
        "symbols"
    ]
    assert [(row["code"], int(row["rejects"])) for row in table("exchange", "rejects")] == list(REJECTS)
    assert [row["id"] for row in table("exchange", "clients")] == [
        one["id"] for one in stream["load"]["clients"]
    ]
    rates = table("exchange", "rates")
    assert [int(row["epoch_ms"]) for row in rates] == stream["t"]
    assert [float(row["orders_per_s"]) for row in rates] == stream["orders"]
    some = table("exchange", "rates", range=[stream["t"][5], stream["t"][9]])
    assert [int(row["epoch_ms"]) for row in some] == stream["t"][5:9]
    book = table("exchange_book")
    assert len(book) == 32
    assert float(book[0]["price"]) * 10 == drawn["exchange_book"]["bids"][0][0]
    assert [row["stage"] for row in table("exchange_stages")] == list(STAGES)
    line = drawn["exchange_latency"]
    assert [int(row["p99_ns"]) / 1e3 for row in table("exchange_latency")] == pytest.approx(
        line["p99"], abs=1
    )


def test_files_are_named_by_what_is_in_them() -> None:
    tab = ExchangeTab(STREAMS, account="main", traded="ETH-USDT", part="wait")
    tab.poll()
    request = {"view": tab.answer["v"], "client": "tab", "range": None}

    def name(chart: str, part: str = "") -> str:
        found: str = tab.source.export({"chart": chart, "part": part, **request})[0]
        return found.rpartition("_")[0]

    assert name("exchange", "orders") == "venuescope_exchange_main_orders_60s"
    assert name("exchange", "rates") == "venuescope_exchange_rates_60s"
    assert name("exchange_book") == "venuescope_exchange_ETH-USDT_book_60s"
    assert name("exchange_latency") == "venuescope_exchange_latency-wait_60s"
    assert name("profile") == "venuescope_exchange_profile_60s"


def test_cells_that_a_spreadsheet_would_run_are_text() -> None:
    tab = ExchangeTab(["exchange"])
    tab.source.command("exchange_create_key", {"account": "=1+1", "label": "@cmd", "trade": False})
    tab.poll()
    row = tab.table("exchange", part="keys")[-1]
    assert (row["account"], row["label"]) == ("'=1+1", "'@cmd")


def test_hundreds_of_accounts_cost_an_answer_their_names_alone() -> None:
    tab = ExchangeTab(["exchange"])
    before = len(json.dumps(exchange(tab)))
    for number in range(500):
        account = fresh_account(f"load-{number}", number)
        tab.source.accounts[account.name] = replace(account, balances=(BalanceView("USDT", "1.0", "0.0"),))
    tab.cursors = {}
    assert len(json.dumps(exchange(tab))) < before + 500 * 16
    assert tab.source.telemetry.board.closed_second_ns % SECOND == 0
