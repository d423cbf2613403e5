"""Alerts over the API: what each route answers and refuses, and that answers are as described."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import msgspec
import pytest

from engine.access.identity import Identity
from engine.alerts import alerts as module
from engine.api.alert_routes import routes
from engine.api.arguments import body_of, values_of
from engine.api.problems import CODES, Problem
from engine.api.route import Call, Route
from engine.api.route_table import RouteTable
from tests.alerts.market import Market
from tests.alerts.receiver import receiving
from tests.alerts.running import ABOVE, Running, on_a_loop, running

ADMIN = Identity("test", "admin")


class Api:
    """Calls routes as the server does, and reads their answers back through JSON."""

    def __init__(self, rig: Running) -> None:
        self.table = RouteTable(routes(rig.alerts))

    def route(self, method: str, path: str) -> tuple[Route, dict[str, str]]:
        found = self.table.find(path)
        assert found is not None
        place, values = found
        return place.methods[method], dict(values)

    async def call(self, method: str, path: str, body: Any = None, query: str = "") -> Any:
        route, values = self.route(method, path)
        taken = None
        if body is not None:
            taken = body_of(route, msgspec.json.encode(body), "application/json")
        arguments = values_of(route, values, query, 0)
        answer = route.handler(Call(arguments, taken, ADMIN, "127.0.0.1", "r", 0))
        if inspect.isawaitable(answer):
            answer = await answer
        if route.answer is None:
            assert answer is None
            return None
        msgspec.json.decode(msgspec.json.encode(answer), type=route.answer)
        return msgspec.to_builtins(answer)

    async def refused(self, method: str, path: str, body: Any = None, query: str = "") -> tuple[str, str]:
        with pytest.raises(Problem) as problem:
            await self.call(method, path, body, query)
        route, _ = self.route(method, path)
        declared = {*route.problems, "bad_argument", "bad_body"}
        assert problem.value.code in declared
        return problem.value.code, problem.value.detail


@on_a_loop
async def test_a_rule_is_made_read_changed_and_removed(tmp_path: Path, market: Market) -> None:
    async with running(tmp_path, market) as rig:
        api = Api(rig)
        made = await api.call("POST", "/alerts", {"text": "btc/usdt mid over 700 for 0.5s"})
        assert (made["text"], made["threshold"], made["for_s"], made["state"]) == (
            ABOVE,
            "700",
            0.5,
            "no data",
        )
        parts = {
            "metric": "spread_bp",
            "symbol": "BTC/USDT",
            "threshold": "3.5",
            "above": False,
            "enabled": False,
        }
        other = await api.call("POST", "/alerts", parts, "tz=Europe/Berlin")
        assert (other["text"], other["state"]) == ("BTC/USDT spread on any venue below 3.5 bp", "off")
        assert other["created"].endswith("+01:00")
        assert [rule["id"] for rule in (await api.call("GET", "/alerts"))["rules"]] == [
            made["id"],
            other["id"],
        ]
        assert await api.call("GET", f"/alerts/{other['id']}", query="tz=Europe/Berlin") == other
        changed = await api.call("PUT", f"/alerts/{other['id']}", {"text": "gaps above 1", "enabled": True})
        assert (changed["text"], changed["enabled"]) == ("gaps on any venue above 1 per minute", True)
        await api.call("DELETE", f"/alerts/{made['id']}")
        assert (await api.refused("GET", f"/alerts/{made['id']}"))[0] == "not_found"
        assert (await api.refused("DELETE", f"/alerts/{made['id']}"))[0] == "not_found"


@on_a_loop
async def test_firings_are_listed_newest_first_and_acknowledged(tmp_path: Path, market: Market) -> None:
    async with running(tmp_path, market) as rig:
        api = Api(rig)
        for price in (1, 2, 3):
            await api.call("POST", "/alerts", {"text": f"BTC/USDT mid above {price}"})
            rig.look()
        found = await api.call("GET", "/alerts/firings", query="limit=2")
        assert [firing["id"] for firing in found["firings"]] == [3, 2]
        assert found["unacknowledged"] == 3
        assert found["firings"][0]["ended"] is None
        assert await api.call("POST", "/alerts/firings/2/acknowledge") == {"acknowledged": 1}
        assert await api.call("POST", "/alerts/firings/0/acknowledge") == {"acknowledged": 2}
        assert (await api.refused("POST", "/alerts/firings/9/acknowledge"))[0] == "not_found"


@on_a_loop
async def test_a_webhooks_secret_is_told_once(tmp_path: Path, market: Market) -> None:
    async with receiving() as receiver, running(tmp_path, market) as rig:
        api = Api(rig)
        made = await api.call("POST", "/webhooks", {"name": "ops", "url": receiver.url + "/s3cret"})
        assert made["secret"].startswith("whsec_")
        (shown,) = (await api.call("GET", "/webhooks"))["webhooks"]
        assert "s3cret" not in str(shown)
        assert shown["host"] == receiver.url.removeprefix("http://")
        assert await api.call("POST", "/webhooks/ops/test") == {
            "arrived": True, "status": 200, "detail": "it arrived: HTTP 200",
        }  # fmt: skip
        assert (await api.refused("POST", "/webhooks", {"name": "ops", "url": receiver.url}))[0] == "conflict"
        await api.call("DELETE", "/webhooks/ops")
        assert (await api.refused("DELETE", "/webhooks/ops"))[0] == "not_found"
        twilio = {"template": "twilio", "account": "a", "token": "t", "from": "+1", "to": "+2"}
        assert (await api.call("POST", "/webhooks", {"name": "sms", **twilio}))["name"] == "sms"


@pytest.mark.parametrize(
    ("method", "path", "body", "code", "helps"),
    [
        ("POST", "/alerts", {"text": "BTC/USDT mdi above 4"}, "bad_rule", "did you mean mid"),
        ("POST", "/alerts", {"text": "BTC/USDT mid on nowhere above 4"}, "bad_rule", "no venue"),
        ("POST", "/alerts", {"text": "gaps above 4", "webhooks": ["ops"]}, "bad_rule", "no webhook"),
        ("POST", "/alerts", {}, "bad_rule", "sentence"),
        ("POST", "/alerts", None, "bad_body", "JSON"),
        ("POST", "/alerts", {"text": 5}, "bad_body", "text"),
        ("POST", "/alerts", {"wording": "x"}, "bad_body", "wording"),
        ("PUT", "/alerts/x", {"threshold": "3"}, "bad_rule", "all of it"),
        ("PUT", "/alerts/x", {"enabled": False}, "not_found", "no rule"),
        ("POST", "/webhooks", {"name": "a/b", "url": "https://example.org"}, "bad_body", "letters"),
        ("POST", "/webhooks", {"name": "ops"}, "bad_body", "url"),
        ("POST", "/webhooks", {"name": "ops", "template": "fax"}, "bad_body", "telegram or twilio"),
        ("POST", "/webhooks/ops/test", None, "not_found", "none yet"),
    ],
)
def test_what_cannot_be_is_refused_with_its_code_and_a_sentence(
    tmp_path: Path,
    market: Market,
    method: str,
    path: str,
    body: Any,
    code: str,
    helps: str,
) -> None:
    @on_a_loop
    async def refused() -> None:
        async with running(tmp_path, market) as rig:
            given = await Api(rig).refused(method, path, body)
            assert given[0] == code
            assert helps in given[1]

    refused()


@on_a_loop
async def test_while_alerts_do_not_run_every_route_says_so(
    tmp_path: Path,
    market: Market,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "RETRY_S", 60.0)
    (tmp_path / "alerts.sqlite").write_bytes(b"?" * 4_096)
    async with running(tmp_path, market, until="failed") as rig:
        api = Api(rig)
        for method, path, body in (
            ("GET", "/alerts", None),
            ("GET", "/alerts/x", None),
            ("GET", "/alerts/firings", None),
            ("GET", "/webhooks", None),
            ("POST", "/alerts", {"text": ABOVE}),
            ("PUT", "/alerts/x", {"enabled": True}),
            ("DELETE", "/alerts/x", None),
            ("POST", "/alerts/firings/0/acknowledge", None),
            ("POST", "/webhooks", {"name": "ops", "url": "https://example.org"}),
            ("DELETE", "/webhooks/ops", None),
            ("POST", "/webhooks/ops/test", None),
        ):
            code, detail = await api.refused(method, path, body)
            assert code == "not_ready"
            assert "damaged" in detail


def test_every_problem_is_known_and_the_roles_are_as_agreed() -> None:
    table: Any = routes(None)  # type: ignore[arg-type]
    assert {code for route in table for code in route.problems} <= set(CODES)
    roles = {(route.method, route.path): route.role for route in table}
    assert len(roles) == len(table) == 11
    for (method, path), role in roles.items():
        expected = "admin" if path.startswith("/webhooks") else "read" if method == "GET" else "trade"
        assert role == expected
    types = [kind for route in table for kind in (route.answer, route.body) if kind is not None]
    _, described = msgspec.json.schema_components(types)
    assert {"RuleOrder", "WebhookOrder", "Firings"} <= set(described)
    assert "from" in described["WebhookOrder"]["properties"]
