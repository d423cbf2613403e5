from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest

from engine.api.docs_page import curl_of, document
from engine.api.openapi import describe, description, operation_id
from engine.api.problems import CODES
from engine.api.route import Parameter, Route
from tests.api.all_routes import access_side, market_side
from tests.api.server_rig import ApiOptions, Served, market


@pytest.fixture(scope="module")
def routes(tmp_path_factory: pytest.TempPathFactory) -> tuple[Route, ...]:
    """All routes there are."""
    folder = tmp_path_factory.mktemp("api")
    desk = market()
    made, _ = market_side(folder, desk)
    return Served(folder, made, desk, ApiOptions(), access=access_side).server.table.routes


def references(value: Any) -> set[str]:
    """Every $ref in a description."""
    if isinstance(value, dict):
        own = {value["$ref"]} if isinstance(value.get("$ref"), str) else set()
        return own.union(*(references(each) for each in value.values()))
    return set().union(*(references(each) for each in value)) if isinstance(value, list) else set()


def test_every_route_is_described(routes: tuple[Route, ...]) -> None:
    told = json.loads(describe(routes))
    assert told["openapi"] == "3.1.0"
    assert [each["url"] for each in told["servers"]] == ["/v1", "/"]
    described = {(method.upper(), path) for path, item in told["paths"].items() for method in item}
    assert described == {(route.method, route.path) for route in routes}
    names = [operation["operationId"] for item in told["paths"].values() for operation in item.values()]
    assert len(set(names)) == len(names)
    for group in {route.group for route in routes}:
        assert group in [tag["name"] for tag in told["tags"]]


def test_every_reference_leads_somewhere(routes: tuple[Route, ...]) -> None:
    told = json.loads(describe(routes))
    found = references(told)
    assert found
    for reference in found:
        place = told
        for step in reference.removeprefix("#/").split("/"):
            place = place[step]


def test_every_schema_is_valid(routes: tuple[Route, ...]) -> None:
    from jsonschema_rs import Draft202012Validator, meta

    told = description(routes)
    schemas = list(told["components"]["schemas"].values())
    for item in told["paths"].values():
        for operation in item.values():
            schemas += [each["schema"] for each in operation["parameters"]]
    for schema in schemas:
        meta.validate({"$schema": "https://json-schema.org/draft/2020-12/schema", **schema})
    problem = Draft202012Validator(told["components"]["schemas"]["Problem"])
    assert not problem.is_valid({"type": "/docs#x", "status": 200})


def test_every_operation_tells_its_problems(routes: tuple[Route, ...]) -> None:
    told = json.loads(describe(routes))
    for route in routes:
        answers = told["paths"][route.path][route.method.lower()]["responses"]
        assert {"400", "403", "429", "500"} <= answers.keys()
        for code in route.problems:
            assert code in answers[str(CODES[code][0])]["description"]
        if route.role is not None:
            assert "401" in answers


def test_arguments_have_bounds_choices_and_examples() -> None:
    class Answer(msgspec.Struct):
        pair: tuple[str, int]
        level: tuple[str, str]

    route = Route(
        *("GET", "/a/{symbol}", "read", "Market", "A", lambda _: None, list[Answer]),
        parameters=(
            Parameter("symbol", "path", "text", "Symbol", example="BTC-USDT"),
            Parameter(
                "side", "query", "choice", "Side", default="buy", choices=("buy", "sell"), required=True
            ),
            Parameter("depth", "query", "whole", "Levels", default=10, least=1, most=50, example="5"),
        ),
    )
    told = description([route])
    symbol, side, depth = told["paths"]["/a/{symbol}"]["get"]["parameters"]
    assert symbol["required"]
    assert symbol["example"] == "BTC-USDT"
    assert side["schema"]["enum"] == ["buy", "sell"]
    assert side["required"]
    assert depth["schema"] == {"type": "integer", "minimum": 1, "maximum": 50, "default": 10}
    assert depth["example"] == 5
    levels = told["components"]["schemas"]["Answer"]["properties"]
    assert [each["type"] for each in levels["pair"]["prefixItems"]] == ["string", "integer"]
    assert levels["level"]["items"]["type"] == "string"
    assert (levels["level"]["minItems"], levels["level"]["maxItems"]) == (2, 2)
    assert operation_id(route) == "get_a_symbol"
    assert curl_of(route) == "curl 'http://127.0.0.1:8052/v1/a/BTC-USDT?side=buy&depth=5'"
    assert curl_of(route, demanded=True).startswith('curl -H "X-Api-Key: $VENUESCOPE_KEY" ')
    assert "X-Api-Key" not in curl_of(replace(route, role=None), demanded=True)


def test_the_page_shows_every_route_and_nothing_stands_inline(routes: tuple[Route, ...]) -> None:
    page = document(routes, demanded=True)
    for route in routes:
        assert f'id="{operation_id(route)}"' in page
        assert f'data-method="{route.method}" data-path="{route.path}"' in page
    for code in CODES:
        assert f'id="{code}"' in page
    for inline in ("<style", " style=", " onclick", "javascript:", "<script>"):
        assert inline not in page
    for elsewhere in ('src="http', 'href="http', "//cdn"):
        assert elsewhere not in page


def test_what_a_route_says_is_text_on_the_page() -> None:
    help_text = "<img src=x onerror=alert(1)> & `code`"
    route = Route(
        *("GET", "/x", None, "Market", "<b>bold</b>", lambda _: None, None),
        parameters=(Parameter("a", "query", "text", help_text, example='"><script>'),),
    )
    page = document([route], demanded=False)
    assert "<b>bold" not in page
    assert "<img" not in page
    assert '"><script>' not in page
    assert "&amp; <code>code</code>" in page


def test_the_script_makes_no_markup() -> None:
    script = (Path(__file__).parents[2] / "engine/api/page/docs.js").read_text(encoding="utf-8")
    for risky in ("innerHTML", "insertAdjacentHTML", "eval(", "document.write"):
        assert risky not in script
