"""Why a body is refused, said so that the caller can mend it."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
import pytest
from msgspec import UNSET, Meta, Struct, UnsetType

from engine.api.alert_routes import RuleOrder, WebhookOrder
from engine.api.bodies import body_example, why_not


class Order(Struct, forbid_unknown_fields=True):
    name: Annotated[str, Meta(min_length=1, max_length=3, examples=["ops"])]
    side: Literal["buy", "sell"] = "buy"
    count: Annotated[int, Meta(ge=1)] | None = None
    names: Annotated[list[Annotated[str, Meta(max_length=2)]], Meta(max_length=2)] | UnsetType = UNSET
    on: bool = True
    code: Annotated[str, Meta(pattern="^a")] = "a"


def refusal(data: bytes, kind: Any = Order) -> str:
    with pytest.raises(msgspec.ValidationError) as caught:
        msgspec.json.decode(data, type=kind)
    return why_not(caught.value, kind)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"[1]", 'send an object, as {"name":"ops"}'),
        (b'"a"', 'send an object, as {"name":"ops"}'),
        (b"{}", 'name is missing: send {"name":"ops"}'),
        (b'{"name": "a", "x": 1}', "there is no field 'x'; there are name, side, count, names, on, code"),
        (b'{"name": "a", "side": "hold"}', "side is buy or sell"),
        (b'{"name": "a", "side": 1}', "side is buy or sell"),
        (b'{"name": 1}', "name is text, not a whole number"),
        (b'{"name": ""}', "name has at least 1 character"),
        (b'{"name": "abcd"}', "name has at most 3 characters"),
        (b'{"name": "a", "count": 0}', "count is at least 1"),
        (b'{"name": "a", "count": "1"}', "count is a whole number, not text"),
        (b'{"name": "a", "names": [1]}', "names[0] is text, not a whole number"),
        (b'{"name": "a", "names": ["a", "b", "c"]}', "names has at most 2 entries"),
        (b'{"name": "a", "on": null}', "on is true or false, not null"),
        (b'{"name": "a", "code": "b"}', "code: Expected `str` matching regex '^a'"),
    ],
)
def test_a_body_that_is_not_as_described_is_told_what_would_work(data: bytes, said: str) -> None:
    assert refusal(data) == said


def test_bodies_of_alerts_name_their_choices_and_an_example() -> None:
    assert (
        refusal(b'{"name": "a", "template": "foo"}', WebhookOrder) == "template is json, telegram or twilio"
    )
    assert refusal(b"[1]", RuleOrder).startswith('send an object, as {"text":"BTC/USDT mid')


def test_a_callers_own_names_are_cut() -> None:
    assert len(refusal(b'{"name": "a", "' + b"y" * 5_000 + b'": 1}')) < 200


@pytest.mark.parametrize("kind", [Order, RuleOrder, WebhookOrder])
def test_an_example_is_as_described(kind: Any) -> None:
    msgspec.json.decode(body_example(kind), type=kind)
