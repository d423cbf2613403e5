"""One depth frame of a real capture goes wrong, drawn at random: it is noticed, and one snapshot repairs the book."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.errors import BadFrame
from engine.market.batches import Batch, Source
from engine.market.instruments import Instrument, parse_decimal
from engine.market.sequencing import BookState, Outcome
from engine.market.state import SymbolState
from feeds import capture
from feeds.frames import join
from feeds.venues import DIALECTS
from feeds.venues.binance import instrument_of

DATA = Path(__file__).resolve().parents[2].parent / "shared" / "data"
CAPTURES = {
    "binance_spot": ("hftbacktest_btcusdt_20240808.gz", "BTCUSDT", (2, 8)),
    "binance_usdm": ("hftbacktest_btcusdt_20240808.gz", "BTCUSDT", (2, 3)),
    "binance_coinm": ("hftbacktest_btcusd_perp_20240808.gz", "BTCUSD_PERP", (1, 0)),
}
FRAMES = 200  # depth frames of each capture: drawn faults lie among them


@dataclass(frozen=True)
class Change:
    """A depth frame, or a snapshot, in plain numbers."""

    sequence: int
    bids: list[tuple[int, int]]
    asks: list[tuple[int, int]]


@dataclass
class Reference:
    """The same book in plain Python, which misses nothing: its levels, and what the venue would answer by REST."""

    instrument: Instrument
    bids: dict[int, int] = field(default_factory=dict)
    asks: dict[int, int] = field(default_factory=dict)
    sequence: int = 0

    def apply(self, change: Change) -> None:
        if change.sequence > self.sequence:
            self.sequence = change.sequence
            for side, levels in ((self.bids, change.bids), (self.asks, change.asks)):
                for price, size in levels:
                    if size:
                        side[price] = size
                    else:
                        side.pop(price, None)

    def top(self) -> tuple[int, int, int, int]:
        bid, ask = max(self.bids), min(self.asks)
        return bid, self.bids[bid], ask, self.asks[ask]

    def snapshot(self) -> bytes:
        units = self.instrument

        def text(side: dict[int, int]) -> list[list[str]]:
            return [[shown(p, units.price_decimals), shown(s, units.size_decimals)] for p, s in side.items()]

        answer = {"lastUpdateId": self.sequence, "bids": text(self.bids), "asks": text(self.asks)}
        return json.dumps(answer, separators=(",", ":")).encode()

    def levels(self) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
        return sorted(self.bids.items(), reverse=True), sorted(self.asks.items())


def shown(value: int, decimals: int) -> str:
    whole, fraction = divmod(value, 10**decimals)
    return f"{whole}.{fraction:0{decimals}}" if decimals else str(whole)


@cache
def recorded(market: str) -> tuple[bytes, list[bytes], list[Change]]:
    """The capture's snapshot, the depth frames that follow from where it bridges, and both in plain numbers."""
    path = DATA / market / CAPTURES[market][0]
    if not path.exists():
        pytest.skip(f"no recorded capture at {path}")
    start, frames = b"", []
    for _, frame in capture.read(path):
        if frame.startswith(b'{"stream"'):
            if b'"depthUpdate"' in frame[:120]:
                frames.append(frame)
        elif b'"lastUpdateId"' in frame:
            start = frame
        if start and len(frames) > FRAMES + 400:
            break
    first = json.loads(start)
    bodies = [(frame, json.loads(frame)["data"]) for frame in frames]
    follow = [(frame, body) for frame, body in bodies if body["u"] >= first["lastUpdateId"]][:FRAMES]
    price_decimals, size_decimals = CAPTURES[market][2]

    def numbers(levels: list[list[str]]) -> list[tuple[int, int]]:
        return [(parse_decimal(p, price_decimals), parse_decimal(s, size_decimals)) for p, s in levels]

    changes = [Change(first["lastUpdateId"], numbers(first["bids"]), numbers(first["asks"]))]
    changes += [Change(body["u"], numbers(body["b"]), numbers(body["a"])) for _, body in follow]
    return start, [frame for frame, _ in follow], changes


class Desk:
    """A symbol's state fed by the market's decoder, as the engine would, with the outcomes kept."""

    def __init__(self, market: str) -> None:
        dialect = DIALECTS[market]
        _, native, decimals = CAPTURES[market]
        source = Source(market, "live")
        instrument = instrument_of(market, native, *decimals)  # type: ignore[arg-type]
        self.decoder = dialect.decoder(source, [instrument])
        self.state = SymbolState(source, instrument, dialect.rule, book_capacity=20_000)
        self.outcomes: list[Outcome] = []
        self.bad = 0

    def take(self, items: list[Any]) -> None:
        for item in items:
            if isinstance(item, Batch):
                self.outcomes.append(self.state.on_batch(item))
            elif isinstance(item, BadFrame):
                self.bad += 1
            else:
                self.state.revise(item)

    def frame(self, frame: bytes) -> None:
        self.take(self.decoder.decode(join([frame], [1_800_000_000_000_000_000])))

    def snapshot(self, body: bytes) -> None:
        self.take(self.decoder.snapshot(self.state.instrument.symbol, body, 1_800_000_000_000_000_000))

    def levels(self) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
        bids, asks = self.state.book.top(20_000)
        return bids.tolist(), asks.tolist()


@pytest.mark.parametrize("market", CAPTURES)
@settings(max_examples=25)
@given(
    fault=st.sampled_from(["withheld", "doubled", "late", "unreadable", "cut short"]),
    at=st.integers(2, FRAMES - 60),
    by=st.integers(1, 5),
    answer_after=st.integers(0, 40),
)
def test_one_bad_depth_frame_is_noticed_and_repaired_by_one_snapshot(
    market: str, fault: str, at: int, by: int, answer_after: int
) -> None:
    start, frames, changes = recorded(market)
    desk = Desk(market)
    truth = Reference(desk.state.instrument)
    desk.snapshot(start)
    truth.apply(changes[0])
    arriving = list(enumerate(frames))
    if fault == "withheld":
        del arriving[at]
    elif fault == "doubled":
        arriving.insert(at + by, arriving[at])
    elif fault == "late":
        arriving.insert(at + by, arriving.pop(at))
    elif fault == "unreadable":
        arriving[at] = at, b"\x00" + frames[at][1:]
    else:
        arriving[at] = at, frames[at][: len(frames[at]) // 2]

    snapshots = waited = told = 0
    for index, frame in arriving:
        # The venue's own book has every frame, whatever became of it on its way to us.
        while told <= index:
            told += 1
            truth.apply(changes[told])
        desk.frame(frame)
        if desk.state.state is not BookState.SYNCED:
            waited += 1
            if waited > answer_after:
                snapshots, waited = snapshots + 1, 0
                desk.snapshot(truth.snapshot())
        elif desk.state.sync.sequence == truth.sequence:
            assert desk.state.book.bbo() == truth.top()

    assert desk.bad == (fault in ("unreadable", "cut short"))
    assert snapshots == (fault != "doubled")
    assert (Outcome.GAP in desk.outcomes) == (fault != "doubled")
    assert desk.state.state is BookState.SYNCED
    assert desk.state.instrument.revision == 0
    assert desk.levels() == truth.levels()


@pytest.mark.parametrize("market", CAPTURES)
def test_a_snapshot_older_than_the_stream_is_refused_and_the_next_one_taken(market: str) -> None:
    _, frames, changes = recorded(market)
    desk = Desk(market)
    truth = Reference(desk.state.instrument)
    for change in changes[:51]:
        truth.apply(change)
    for frame in frames[60:90]:
        desk.frame(frame)
    desk.snapshot(truth.snapshot())
    assert desk.outcomes[-1] is Outcome.UNUSABLE
    for change in changes[51:81]:
        truth.apply(change)
    desk.snapshot(truth.snapshot())
    for change in changes[81:]:
        truth.apply(change)
    for frame in frames[90:]:
        desk.frame(frame)
    assert desk.state.state is BookState.SYNCED
    assert desk.levels() == truth.levels()
