"""The public matching benchmark: its edge cases, and the hashes of its reports, from both engines."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import pytest

from engine.market.batches import Rows
from engine.matching.engine import BookSpec, MatchingEngine
from engine.matching.orders import EXPIRE_BOTH, LINEAR, SPOT, UNACCOUNTED
from tests.matching import edge_cases
from tests.reference import public_workload
from tests.reference.matching_plain import PlainEngine
from tests.reference.public_workload import SCENARIOS, SMALL_ORDERS

ENGINES = (MatchingEngine, PlainEngine)
SYMBOL = "PUBLIC"
ACCOUNTS = 1_000


def build(kind: Any, accounting: int = UNACCOUNTED) -> Any:
    """An engine with one symbol and room for whatever rests."""
    return kind([BookSpec(SYMBOL, "BASE", "QUOTE", accounting)], ACCOUNTS + 1, 1 << 16)


def run(engine: Any, commands: Rows, batch: int) -> Rows:
    """All events, the commands submitted in batches."""
    parts = [engine.submit(commands[at : at + batch]).rows for at in range(0, len(commands), batch)]
    return np.concatenate(parts)


def test_there_are_34_edge_cases() -> None:
    assert len(edge_cases.load()) == 34


@pytest.mark.parametrize("kind", ENGINES)
@pytest.mark.parametrize("case", edge_cases.load(), ids=lambda case: case.name)
def test_edge_case(case: edge_cases.Case, kind: Any) -> None:
    assert edge_cases.differences(case, build(kind)) == []


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_the_workload_is_the_public_one(scenario: str) -> None:
    rows = public_workload.messages(scenario)
    assert hashlib.sha256(rows.tobytes()).hexdigest() == SCENARIOS[scenario].records_sha256


@pytest.mark.parametrize("kind", ENGINES)
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_small_run(scenario: str, kind: Any) -> None:
    commands = public_workload.as_commands(public_workload.messages(scenario, SMALL_ORDERS))
    events = run(build(kind), commands, 256)
    expected = SCENARIOS[scenario]
    assert public_workload.report_counts(events, commands) == expected.small_report_counts
    assert public_workload.report_sha256(events, commands)[0] == expected.small_report_sha256


@pytest.mark.parametrize("kind", ENGINES)
@pytest.mark.parametrize("accounting", [SPOT, LINEAR])
def test_accounts_limits_and_fees_change_no_report(accounting: int, kind: Any) -> None:
    engine = build(kind, accounting)
    setup = public_workload.account_commands(ACCOUNTS, len(engine.assets))
    engine.submit(setup)
    rows = public_workload.messages("normal", SMALL_ORDERS)
    commands = public_workload.as_commands(rows, ACCOUNTS, EXPIRE_BOTH)
    events = run(engine, commands, 256)
    found = public_workload.report_sha256(events, commands, first_sequence=len(setup))[0]
    assert found == SCENARIOS["normal"].small_report_sha256
    assert events["fee"].any()


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_published_hash_and_the_book_on_the_way(scenario: str) -> None:
    engine = build(MatchingEngine)
    commands = public_workload.as_commands(public_workload.messages(scenario))
    parts, lines = [], []
    for at in range(0, len(commands), 1_000):
        parts.append(engine.submit(commands[at : at + 1_000]).rows)
        if at + 1_000 <= len(commands):
            bbo = engine.bbo(SYMBOL)
            fields = (at + 999, bbo.bid_ticks or "-", bbo.ask_ticks or "-", bbo.bid_lots, bbo.ask_lots)
            lines.append(",".join(map(str, fields)))
    events = np.concatenate(parts)
    expected = SCENARIOS[scenario]
    assert public_workload.report_counts(events, commands) == expected.report_counts
    assert public_workload.report_sha256(events, commands) == (expected.report_sha256, expected.report_bytes)
    assert hashlib.sha256("\n".join(lines).encode()).hexdigest() == expected.book_sha256
