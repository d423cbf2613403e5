"""Bybit's book over a line that loses, doubles, swaps and damages frames, against a plain one."""

from __future__ import annotations

import gzip
import itertools
import json
from collections.abc import Iterator, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.errors import BadFrame
from engine.market.batches import Batch, Kind, Source
from engine.market.instruments import Instrument
from engine.market.sequencing import BookState, Outcome, Rule
from engine.market.state import SymbolState
from feeds.frames import join
from feeds.venues.bybit_frames import BybitDecoder
from tests.reference.bybit_plain import LEVELS, PlainBook, Side, Step, random_books, wire_frames

CAPTURE = Path(__file__).parents[3] / "shared/data/binance_usdm/hftbacktest_btcusdt_20240808.gz"
SOURCE = Source("bybit_linear", "live")
BTC = Instrument("bybit_linear", "BTC-USDT-PERP", "BTC", "USDT", 1, 3, native="BTCUSDT")
Fault = Literal["none", "withhold", "duplicate", "swap", "damage"]


class Client:
    """Decoder and book, and a subscription that is renewed when the book asks for it."""

    def __init__(self) -> None:
        self.decoder = BybitDecoder(SOURCE, [BTC])
        self.state = SymbolState(SOURCE, BTC, Rule.BYBIT)
        self.outcomes: list[Outcome] = []
        self.bad = 0
        self.sent_again = 0

    def take(self, frame: bytes) -> None:
        for item in self.decoder.decode(join([frame], [1])):
            if isinstance(item, BadFrame):
                self.bad += 1
            elif isinstance(item, Instrument):
                self.state.revise(item)
            else:
                self.outcomes.append(self.state.on_batch(item))

    def sides(self) -> tuple[list[tuple[Decimal, Decimal]], list[tuple[Decimal, Decimal]]]:
        instrument = self.state.instrument
        by_price, by_size = Decimal(10) ** instrument.price_decimals, Decimal(10) ** instrument.size_decimals
        bids, asks = self.state.book.top(2 * LEVELS)
        return tuple(  # type: ignore[return-value]
            [(Decimal(price) / by_price, Decimal(size) / by_size) for price, size in side.tolist()]
            for side in (bids, asks)
        )


def check(client: Client, plain: PlainBook) -> None:
    assert client.sides() == (plain.bids(), plain.asks())


def run(steps: Sequence[Step], fault: Fault, at: int, damaged_bytes: int = 0) -> Client:
    """The client after all frames, one of them mistreated; its book is compared whenever it says it is right."""
    client, plain = Client(), PlainBook()
    truth = {}
    for step in steps:
        plain.on_frame(step.change)
        truth[step.number] = (plain.bids(), plain.asks())
    order = list(range(len(steps)))
    if fault == "withhold":
        del order[at]
    elif fault == "duplicate":
        order.insert(at, at)
    elif fault == "swap":
        order[at], order[at + 1] = order[at + 1], order[at]
    for position, index in enumerate(order):
        frame = steps[index].change
        if fault == "damage" and index == at:
            frame = frame[: damaged_bytes % len(frame)]
        client.take(frame)
        if client.state.wants_snapshot:
            client.sent_again += 1
            newest = max(order[: position + 1])
            client.take(steps[newest].snapshot)
            assert client.state.state is BookState.SYNCED, "one snapshot repairs"
        if client.state.state is BookState.SYNCED:
            assert client.sides() == truth[client.state.sync.sequence]
    assert client.state.state is BookState.SYNCED
    check(client, plain)
    return client


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    fault=st.sampled_from(["withhold", "duplicate", "swap", "damage"]),
    at=st.integers(0, 37),
    damaged_bytes=st.integers(0, 10**6),
    spot=st.booleans(),
)
def test_one_mistreated_frame_is_noticed_and_repaired_within_one_snapshot(
    seed: int, fault: Fault, at: int, damaged_bytes: int, spot: bool
) -> None:
    steps = list(wire_frames(random_books(seed, 40), spot=spot))
    client = run(steps, fault, at, damaged_bytes)
    if fault == "duplicate":
        assert client.sent_again == 0
        assert at == 0 or client.outcomes.count(Outcome.STALE) == 1
    elif fault == "damage":
        assert (client.bad, client.sent_again) == (1, 1)
    else:
        # The first snapshot after a newer one turns the book back, which the next delta shows.
        assert client.sent_again == (2 if fault == "swap" and at == 0 else 1)
    assert client.state.sync.counts.snapshots <= 4


def test_a_good_line_needs_one_snapshot() -> None:
    client = run(list(wire_frames(random_books(7, 300))), "none", 0)
    assert (client.sent_again, client.state.sync.counts.snapshots, client.state.sync.gaps) == (0, 1, 0)


def test_a_restarted_service_begins_again_at_one() -> None:
    before = list(wire_frames(random_books(1, 20)))
    after = list(wire_frames(random_books(2, 20), first=1))
    client, plain = Client(), PlainBook()
    for step in (*before, *after):
        client.take(step.change)
        plain.on_frame(step.change)
        check(client, plain)
    assert client.state.sync.gaps == 0
    assert client.state.sync.counts.snapshots == 2


def test_a_restart_whose_snapshot_is_lost_is_noticed() -> None:
    client = Client()
    for step in wire_frames(random_books(1, 20)):
        client.take(step.change)
    steps = list(wire_frames(random_books(2, 40), first=1, began_ms=1_700_001_000_000))
    for step in steps[1:12]:
        client.take(step.change)
    assert client.state.state is BookState.STALE
    client.take(steps[11].snapshot)
    for step in steps[12:]:
        client.take(step.change)
    plain = PlainBook()
    plain.on_frame(steps[-1].snapshot)
    check(client, plain)


def captured_books(count: int) -> Iterator[tuple[Side, Side]]:
    """The first books of a real Binance capture, each as its frames say, snapshot included."""
    sides: tuple[Side, Side] = ({}, {})
    with gzip.open(CAPTURE, "rt") as lines:
        for line in lines:
            told = json.loads(line.split(" ", 1)[1])
            body = told.get("data", told)
            if "lastUpdateId" in body:
                sides[0].clear()
                sides[1].clear()
                changes = (body["bids"], body["asks"])
            elif body.get("e") == "depthUpdate" and sides[0]:
                changes = (body["b"], body["a"])
            else:
                continue
            for side, change in zip(sides, changes, strict=True):
                for price, size in change:
                    side[Decimal(price)] = Decimal(size)
                    if not Decimal(size):
                        del side[Decimal(price)]
            yield dict(sides[0]), dict(sides[1])
            count -= 1
            if not count:
                return


@pytest.mark.skipif(not CAPTURE.exists(), reason="no captures beside the project")
@pytest.mark.parametrize("fault", ["none", "withhold", "duplicate", "swap", "damage"])
def test_a_real_market_in_bybit_s_form(fault: Fault) -> None:
    steps = list(itertools.islice(wire_frames(captured_books(120)), 120))
    client = run(steps, fault, 60, damaged_bytes=100)
    assert client.state.sync.counts.applied >= 100
    assert client.sent_again == (fault not in ("none", "duplicate"))


def test_only_batches_come_of_good_frames() -> None:
    decoder = BybitDecoder(SOURCE, [BTC])
    steps = list(wire_frames(random_books(3, 5)))
    items = decoder.decode(join([step.change for step in steps], range(5)))
    kinds = [item.kind for item in items if isinstance(item, Batch)]
    assert kinds == [Kind.SNAPSHOT, *[Kind.DELTA] * 4]
