"""The sample capture: a real capture in form, which replays to a book that agrees with its own quotes."""

from __future__ import annotations

import asyncio
import gzip
from pathlib import Path

import pytest

from engine.intake import Intake
from engine.telemetry.hub import Telemetry
from feeds import sample
from feeds.capture import probe
from feeds.replay import ReplayFeed


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("sample") / "sample.gz"
    sample.write(path, seed=7, seconds=12)
    return path


def test_it_probes_as_a_spot_capture(written: Path) -> None:
    info = probe(written)
    assert info.market == "binance_spot"
    assert [instrument.symbol for instrument in info.instruments()] == ["BTC-USDT"]
    assert info.frames > 1_000


def test_it_plays_to_its_end_synced_and_in_agreement(written: Path) -> None:
    telemetry = Telemetry(1)
    intake = Intake(telemetry)
    asyncio.run(ReplayFeed(written, float("inf")).run(intake))
    intake.publish()
    (view,) = telemetry.board.sources
    agreed, checked = view.agreement
    assert (view.state, view.gaps, view.malformed) == ("ended", 0, 0)
    assert agreed == checked > 90
    book = telemetry.board.books[view.source.key, "BTC-USDT"]
    assert book.state == "SYNCED"
    assert min(book.counts) > 200
    assert len(telemetry.market(view.source.key, "BTC-USDT").candles) >= 11


def test_latency_in_it_is_the_seeded_delay(written: Path) -> None:
    telemetry = Telemetry(1)
    intake = Intake(telemetry)
    asyncio.run(ReplayFeed(written, float("inf")).run(intake))
    rows = telemetry.stages["binance_spot:replay", "receive"].seconds.since(0).rows
    assert 1_000_000 < rows["p50"].mean() < 12_000_000


def test_the_same_seed_writes_the_same_capture(written: Path, tmp_path: Path) -> None:
    again = tmp_path / "again.gz"
    sample.write(again, seed=7, seconds=12)
    assert gzip.decompress(again.read_bytes()) == gzip.decompress(written.read_bytes())


def test_ensure_makes_it_once_in_a_child(tmp_path: Path) -> None:
    first = asyncio.run(sample.ensure(tmp_path, 9))
    made = first.stat().st_mtime_ns
    assert asyncio.run(sample.ensure(tmp_path, 9)) == first
    assert first.stat().st_mtime_ns == made
    assert [path.name for path in tmp_path.iterdir()] == [first.name]
