"""Spans around holes."""

from __future__ import annotations

from engine.storage.journal_spans import Spans

KEY = ("binance_spot", "BTC-USDT", "trades")
SECOND_NS = 10**9


def stretches(spans: Spans) -> list[tuple[int, int, int]]:
    return [
        (change.from_ns // SECOND_NS, change.to_ns // SECOND_NS, change.rows)
        for change in spans.changes.values()
    ]


def test_behind_a_hole_recording_goes_on_from_its_end_even_where_nothing_trades() -> None:
    spans = Spans()
    spans.add(KEY, 0, 10 * SECOND_NS, 5, 1)
    spans.hole(*KEY, 20 * SECOND_NS)
    spans.alive(KEY, 50 * SECOND_NS)
    spans.add(KEY, 60 * SECOND_NS, 61 * SECOND_NS, 2, 1)
    assert stretches(spans) == [(0, 10, 5), (20, 61, 2)]


def test_a_hole_behind_which_nothing_comes_leaves_no_span() -> None:
    spans = Spans()
    spans.add(KEY, 0, 10 * SECOND_NS, 5, 1)
    spans.hole(*KEY, 20 * SECOND_NS)
    spans.hole(*KEY, 40 * SECOND_NS)
    assert stretches(spans) == [(0, 10, 5)]
