"""Faults as the page offers them: every kind the exchange knows, in words, with what it needs."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from dashboards.exchange_faults import WORDS, choice, choices
from engine.exchange import faults


def test_every_kind_is_offered_once_and_has_words() -> None:
    offered = [one["kind"] for one in choices()["kinds"]]
    assert sorted(offered) == sorted(faults.KINDS)
    assert set(WORDS) == set(faults.KINDS)
    labels = [one["label"] for one in choices()["kinds"]]
    assert len(set(labels)) == len(labels)
    assert all(one["what"] for one in choices()["kinds"])


def test_a_kind_without_words_is_offered_by_its_name() -> None:
    assert choice("bit_flip")["label"] == "Bit flip"


@pytest.mark.parametrize("one", choices()["kinds"], ids=lambda one: one["kind"])
@pytest.mark.parametrize("place", [place for place, _ in choices()["places"]])
def test_what_the_form_sends_is_a_fault_the_exchange_takes(one: dict[str, Any], place: str) -> None:
    """As `assets/69_exchange_forms.js` fills it in."""
    sent = {
        "kind": one["kind"],
        "budget": place,
        "rate": 1 if one["certain"] else 0.5,
        "count": 1 if one["instant"] else 0,
        "duration_s": 0 if one["instant"] else 30,
        "delay_s": 0.05 if one["delay"] else 0,
    }
    msgspec.convert(sent, faults.Fault).check()
