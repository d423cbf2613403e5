"""Alerts and impact as pages get them: what is sent, what is left out, what is exported, who may give commands."""

from __future__ import annotations

import csv
import io
from dataclasses import replace
from typing import Any

import pytest

from dashboards import ids, transport
from dashboards.alerts_export import _PARTS
from dashboards.past import OF_THE_PAST
from dashboards.shell import ADMIN, ONLY_LOOK, ROLE, allow, create_app
from dashboards.streams import alerts, impact
from engine.alerts.rules import METRICS
from engine.errors import BadCommand
from engine.exchange.commands import COMMANDS as OF_EXCHANGE
from tests.browser.alert_source import RULES, AlertSource

ALL = {"streams": ["alerts"]}
PARTS = ("rules", "values", "firings", "webhooks", "metrics")


class Clock:
    """A clock that stands until it is moved."""

    def __init__(self) -> None:
        self.now = 1_795_200_000.25

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def source(clock: Clock) -> AlertSource:
    return AlertSource(clock=clock, history_s=2)


def test_every_answer_says_how_many_want_to_be_looked_at_and_the_newest(source: AlertSource) -> None:
    answer = source.poll({"streams": []}, {})
    assert answer["streams"] == {}
    head = answer["alerts"]
    assert (head["state"], head["unacknowledged"], head["firing"]) == ("running", 2, 2)
    assert head["newest"]["id"] == 40
    assert head["newest"]["text"] == RULES[0][0]
    assert head["newest"]["ended"] is None
    source.switch("fresh")
    assert source.poll({"streams": []}, {})["alerts"] == {
        "state": "running",
        "unacknowledged": 0,
        "firing": 0,
        "newest": None,
    }


def test_parts_come_whole_at_first_and_again_only_when_they_changed(
    source: AlertSource, clock: Clock
) -> None:
    first = source.poll(ALL, {})
    stream = first["streams"]["alerts"]
    assert stream["reset"]
    assert set(PARTS) <= set(stream)
    assert [rule["text"] for rule in stream["rules"]] == [text for text, *_ in RULES]
    assert [value["id"] for value in stream["values"]] == [rule["id"] for rule in stream["rules"]]
    second = source.poll(ALL, first["cursors"])
    assert not set(PARTS) & set(second["streams"]["alerts"])
    clock.now += 1  # a value moves
    third = source.poll(ALL, second["cursors"])
    assert set(PARTS) & set(third["streams"]["alerts"]) == {"values"}
    source.command("alert_acknowledge", {"id": 0})
    fourth = source.poll(ALL, third["cursors"])
    assert set(PARTS) & set(fourth["streams"]["alerts"]) == {"firings"}
    assert fourth["alerts"]["unacknowledged"] == 0
    assert all(firing["acknowledged"] for firing in fourth["streams"]["alerts"]["firings"])


def test_a_page_is_told_of_so_many_firings_and_how_many_are_kept(source: AlertSource) -> None:
    one = source.alerts.firings[0]
    source.alerts = replace(source.alerts, firings=tuple(replace(one, id=200 - n) for n in range(200)))
    stream = source.poll(ALL, {})["streams"]["alerts"]
    assert [firing["id"] for firing in stream["firings"]] == list(range(200, 100, -1))
    assert stream["kept"] == 200


@pytest.mark.parametrize(
    ("above", "threshold", "value", "expected"),
    [
        (True, "70000", "69999.9", "0.1"),
        (True, "70000", "70000.1", "-0.1"),
        (False, "5", "7.25", "2.25"),
        (False, "5", "4", "-1"),
        (True, "0.00000001", "0.000000009", "0.000000001"),
        (True, "5", "", ""),
        (True, "5", "nan", ""),
    ],
)
def test_how_far_a_value_is_from_its_threshold(
    source: AlertSource, above: bool, threshold: str, value: str, expected: str
) -> None:
    rule = replace(source.alerts.rules[0], above=above, threshold=threshold, value=value)
    assert alerts.away(rule) == expected


@pytest.mark.parametrize(
    ("metric", "threshold", "value", "expected"),
    [
        ("bid", "70000", "69999.9", "0.1"),
        ("ask", "70000", "69999.9", "0.1"),
        ("mid", "70000", "70000.05", "-0.05"),
        ("last", "70000", "69999.9", "0.1"),
        ("spread_bp", "5", "0.019 bp", "4.981"),
        ("p99_ms", "250", "60.6 ms", "189.4"),
        ("p99_ms", "250", "1e+03 ms", "-750"),
        ("throttled", "10", "3 per minute", "7"),
        ("stale_s", "10", "12.4 s", "-2.4"),
        ("gaps", "3", "0 per minute", "3"),
    ],
)
def test_how_far_is_told_of_every_metric_in_its_unit(
    source: AlertSource, metric: str, threshold: str, value: str, expected: str
) -> None:
    """A value is a text with its unit, as the engine writes it."""
    rule = replace(source.alerts.rules[0], metric=metric, threshold=threshold, value=value)
    assert alerts.away(rule) == expected


def test_values_of_played_rules_carry_the_unit_of_their_metric(source: AlertSource) -> None:
    for rule in source.alerts.rules:
        unit = METRICS[rule.metric].unit
        assert not rule.value or rule.value.endswith(f" {unit}" if unit else tuple("0123456789"))
    told = source.poll(ALL, {})["streams"]["alerts"]["values"]
    assert [one["away"] != "" for one in told] == [bool(rule.value) for rule in source.alerts.rules]


def test_the_form_offers_what_the_engine_watches() -> None:
    assert {name for name, *_ in alerts.METRIC_ROWS} == set(METRICS)


def test_a_webhook_is_told_of_by_its_host_alone(source: AlertSource) -> None:
    stream = source.poll(ALL, {})["streams"]["alerts"]
    assert all("://" not in str(hook) for hook in stream["webhooks"])


@pytest.mark.parametrize("part", ["rules", "firings", "webhooks"])
def test_tables_are_exported_and_formulas_are_not(source: AlertSource, part: str) -> None:
    rules = (replace(source.alerts.rules[0], text="=1+1"), *source.alerts.rules[1:])
    source.alerts = replace(source.alerts, rules=rules)
    answer = source.poll({**ALL, "client": "c"}, {})
    name, text = source.export({"chart": "alerts", "part": part, "view": answer["v"], "client": "c"})
    rows = list(csv.reader(io.StringIO(text)))
    assert name.startswith(f"venuescope_alerts_{part}_")
    assert rows[0][:2] == ["time_utc", "epoch_ms"]
    assert len(rows) == 1 + len(getattr(source.alerts, part))
    assert all(len(row) == len(rows[0]) for row in rows)
    if part == "rules":
        assert rows[1][3] == "'=1+1"
    assert set(_PARTS) == {"rules", "firings", "webhooks"}


def test_there_is_no_other_table_of_alerts(source: AlertSource) -> None:
    answer = source.poll({**ALL, "client": "c"}, {})
    with pytest.raises(BadCommand, match="no table named 'form'"):
        source.export({"chart": "alerts", "part": "form", "view": answer["v"], "client": "c"})


# ---------- impact ----------


def test_impact_walks_both_sides_for_every_amount_and_the_one_asked_for(source: AlertSource) -> None:
    asked = {"streams": ["impact"], "amount": "2500000.50"}
    first = source.poll(asked, {})
    rows = first["streams"]["impact"]["rows"]
    assert [row["amount"] for row in rows] == [*impact.AMOUNTS, "2500000.5"]
    assert [row["own"] for row in rows] == [False] * 4 + [True]
    for row in rows:
        buy, sell = row["buy"], row["sell"]
        assert float(sell["average"]) < float(buy["average"]) <= float(buy["worst"])
        assert min(buy["bp"], sell["bp"]) > 0
        assert not buy["exhausted"]
    assert [row["buy"]["levels"] for row in rows] == sorted(row["buy"]["levels"] for row in rows)
    again = source.poll(asked, first["cursors"])
    assert "rows" not in again["streams"]["impact"]
    other = source.poll({**asked, "amount": "10000"}, again["cursors"])
    assert [row["own"] for row in other["streams"]["impact"]["rows"]] == [False, True, False, False]


def test_an_amount_that_the_shown_book_does_not_have_is_said(source: AlertSource) -> None:
    rows = source.poll({"streams": ["impact"], "amount": "90000000000"}, {})["streams"]["impact"]["rows"]
    assert rows[-1]["buy"]["exhausted"]
    assert rows[-1]["buy"]["levels"] == 160
    assert int(rows[-1]["buy"]["cost"]) < 90_000_000_000


@pytest.mark.parametrize("amount", ["", "0", "-5", "1e6", "x", "1.123456789", "1" * 20, "٣"])
def test_what_is_no_amount_is_left_out(source: AlertSource, amount: str) -> None:
    rows = source.poll({"streams": ["impact"], "amount": amount}, {})["streams"]["impact"]["rows"]
    assert [row["amount"] for row in rows] == list(impact.AMOUNTS)


def test_contracts_and_empty_books_have_no_impact(source: AlertSource) -> None:
    source.connect("binance_coinm")
    answer = source.poll(
        {"streams": ["impact"], "source": "binance_coinm:live", "symbol": "BTC-USD-PERP"}, {}
    )
    assert all(row["buy"] is None and row["sell"] is None for row in answer["streams"]["impact"]["rows"])
    book = source.telemetry.board.books["binance_spot:live", "BTC-USDT"]
    empty = replace(book, asks=book.asks[:0])
    # Of one side there is nothing; of the other there is no mid to compare with.
    assert all(row["buy"] is None and row["sell"] is None for row in impact.rows_of(empty, ""))


def test_impact_is_exported_as_it_is_shown(source: AlertSource) -> None:
    answer = source.poll({"streams": ["impact"], "amount": "7", "client": "c"}, {})
    _, text = source.export({"chart": "impact", "part": "", "view": answer["v"], "client": "c"})
    rows = list(csv.DictReader(io.StringIO(text)))
    assert [(row["amount"], row["side"]) for row in rows] == [
        (amount, side) for amount in (*impact.AMOUNTS, "7") for side in ("buy", "sell")
    ]
    assert rows[0]["average_price"] == answer["streams"]["impact"]["rows"][0]["buy"]["average"]


# ---------- who may give commands ----------


@pytest.mark.parametrize(
    "command", ["alert_add", "set_rate", "webhook_add", "exchange_place", "connect_venue"]
)
def test_a_session_that_may_look_gives_no_command(command: str) -> None:
    with pytest.raises(BadCommand, match=ONLY_LOOK):
        allow(command, "read")
    with pytest.raises(BadCommand, match=ONLY_LOOK):
        allow(command, "a role that is not known")


def test_webhooks_and_keys_take_an_admin_and_trading_does_not() -> None:
    for command in ADMIN:
        with pytest.raises(BadCommand, match="takes a session with the role admin"):
            allow(command, "trade")
        allow(command, "admin")
    for command in ("alert_add", "alert_acknowledge", "exchange_place", "set_rate", "record_start"):
        allow(command, "trade")
    assert {name for name in ADMIN if name.startswith("exchange_")} <= set(OF_EXCHANGE)


def given(source: AlertSource, role: str | None) -> dict[str, Any]:
    """What the page is told of a command given by a session with that role."""
    client = create_app(source).server.test_client()
    body = {
        "output": f"{ids.TOAST}.data",
        "outputs": {"id": ids.TOAST, "property": "data"},
        "inputs": [
            {
                "id": ids.COMMAND,
                "property": "data",
                "value": {"id": "c-1", "name": "alert_acknowledge", "args": {"id": 0}},
            }
        ],
        "changedPropIds": [f"{ids.COMMAND}.data"],
    }
    environ = {} if role is None else {ROLE: role}
    answer = client.post("/_dash-update-component", json=body, environ_overrides=environ).get_json()
    found: dict[str, Any] = answer["response"][ids.TOAST]["data"]
    return found


def test_the_role_of_the_request_decides(source: AlertSource) -> None:
    refused = given(source, "read")
    assert (refused["id"], refused["text"]) == ("c-1", ONLY_LOOK)
    assert source.alerts.unacknowledged == 2
    assert given(source, "trade")["text"] == ""
    assert source.alerts.unacknowledged == 0
    assert given(source, None)["text"] == ""  # no login is demanded


@pytest.mark.parametrize(("role", "session"), [(None, False), ("read", True), ("admin", True)])
def test_an_answer_says_whether_there_is_a_session_to_leave(
    source: AlertSource, role: str | None, session: bool
) -> None:
    client = create_app(source).server.test_client()
    body = {
        "output": f"{ids.ANSWER}.data",
        "outputs": {"id": ids.ANSWER, "property": "data"},
        "inputs": [
            {"id": ids.TICK, "property": "n_intervals", "value": 1},
            {"id": ids.PARAMS, "property": "data", "value": {"streams": []}},
        ],
        "state": [
            {"id": ids.CURSORS, "property": "data", "value": None},
            {"id": ids.PAINTED, "property": "data", "value": None},
        ],
        "changedPropIds": [f"{ids.TICK}.n_intervals"],
    }
    environ = {} if role is None else {ROLE: role}
    answer = client.post("/_dash-update-component", json=body, environ_overrides=environ).get_json()
    found = answer["response"][ids.ANSWER]["data"]
    assert (found["role"], found["session"]) == (role or "admin", session)


def test_the_contract_tells_of_both() -> None:
    contract = transport.__doc__ or ""
    assert "    alerts   {state" in contract
    assert "    amount    str" in contract


def test_impact_is_of_the_past_that_is_looked_at_and_alerts_never_are() -> None:
    assert "impact" in OF_THE_PAST
    assert "alerts" not in OF_THE_PAST
