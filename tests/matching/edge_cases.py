"""The public benchmark's 34 edge cases, read from `edge_cases.txt`, and what an engine does differently."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np

from engine.market.batches import BUY, SELL, Rows
from engine.matching.orders import CANCEL, COMMAND, GTC, IOC, LIMIT, REPLACE
from tests.reference.public_workload import report_sha256, report_text

SIDES: Final = {"B": BUY, "S": SELL}
KINDS: Final = {"N": LIMIT, "C": CANCEL, "M": REPLACE}
LEVELS: Final = 16  # more than any case has on a side


class Case(NamedTuple):
    """One case: its commands, and for each the expected reports and state, where the file gives them."""

    name: str
    sha256: str  # as many digits as are known
    commands: Rows  # COMMAND
    expected: list[tuple[str, str]]  # ("0,0,0,1,100,10", "100 - 10"); several reports: one a line


def load() -> list[Case]:
    """All cases, in the file's order."""
    _, *blocks = (Path(__file__).parent / "edge_cases.txt").read_text(encoding="utf-8").split("\n# ")
    return [_case(block) for block in blocks]


def _case(block: str) -> Case:
    title, *lines = block.strip().splitlines()
    name, sha256 = title.split()
    commands: list[tuple[int, ...]] = []
    expected = []
    for line in lines:
        message, *answer = (part.strip() for part in line.split("|"))
        commands += _commands(message.split())
        if answer:
            reports, state = answer
            expected.append(("\n".join(reports.split("; ")), state))
    rows = np.zeros(len(commands), COMMAND)
    fields = ["kind", "order_id", "side", "lots", "price_ticks", "time_in_force"]
    for field, column in zip(fields, zip(*commands, strict=True), strict=True):
        rows[field] = column
    return Case(name, sha256, rows, expected)


def _commands(words: list[str]) -> list[tuple[int, ...]]:
    """Kind, id, side, quantity, price and time in force of each message that these words stand for."""
    kind, ids, *rest = words
    first, _, last = ids.partition("..")
    if rest:
        side, lots, price, *ioc = rest
        fields = (SIDES[side], int(lots), int(price), IOC if ioc else GTC)
    else:
        fields = (0, 0, 0, GTC)
    return [(KINDS[kind], order_id, *fields) for order_id in range(int(first), int(last or first) + 1)]


def differences(case: Case, engine: Any) -> list[str]:
    """What `engine`, fresh, with one symbol, does otherwise than expected: nothing, one hopes."""
    found = []
    symbol = engine.symbols[0]
    events = []
    for at, command in enumerate(case.commands):
        rows = engine.submit(case.commands[at : at + 1]).rows
        events.append(rows)
        if case.expected:
            have = report_text(rows, case.commands).decode(), _state(engine, symbol, command)
            if have != case.expected[at]:
                found.append(f"message {at}: {have} instead of {case.expected[at]}")
    have_hash, _ = report_sha256(np.concatenate(events), case.commands)
    if not have_hash.startswith(case.sha256):
        found.append(f"the reports' hash is {have_hash} instead of {case.sha256}")
    return found


def _state(engine: Any, symbol: str, command: Any) -> str:
    bids, asks = (side.tolist() for side in engine.top(symbol, LEVELS))
    there = dict(bids if command["side"] == BUY else asks)
    best = [str(levels[0][0]) if levels else "-" for levels in (bids, asks)]
    return f"{best[0]} {best[1]} {there.get(int(command['price_ticks']), 0) if command['side'] else 0}"
