"""Studies against pandas, and against their definitions in exact fractions."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.market.batches import CANDLE, Rows
from engine.market.candles import notional
from engine.market.metrics import vwap
from engine.market.studies import (
    MOST,
    Study,
    lines,
    means,
    notionals,
    parse,
    parse_all,
    profile,
    running_vwap,
)
from tests.reference import studies_plain

SECOND = 1_000_000_000
closes = st.lists(st.integers(1, 2**50), min_size=0, max_size=80)
near = st.integers(1, 2**45).flatmap(
    lambda base: st.lists(st.integers(base, base + 500), min_size=1, max_size=80)
)
traded = st.lists(st.tuples(st.integers(1, 2**40), st.integers(0, 2**30)), max_size=40)


def rows_of(values: list[int], volumes: list[int] | None = None) -> Rows:
    rows = np.zeros(len(values), CANDLE)
    for i, value in enumerate(values):
        volume = volumes[i] if volumes else 1
        high, low = divmod(value * volume, 1 << 40)
        rows[i] = (i * SECOND, value, value, value, value, volume, high, low, 1)
    return rows


def agrees(found: np.ndarray, wanted: list[float | None], scale: float) -> None:
    """Equal to a millionth of the least decimal that is shown, or of a float's own precision."""
    assert [x != x for x in found.tolist()] == [x is None or x != x for x in wanted]
    for a, b in zip(found.tolist(), wanted, strict=True):
        if b is not None and b == b:
            assert math.isclose(a, b, rel_tol=1e-12, abs_tol=1e-9 * scale)


@settings(deadline=None)
@given(closes | near, st.integers(2, 30))
def test_averages_agree_with_their_definitions_and_with_pandas(values: list[int], period: int) -> None:
    rows, scale = rows_of(values), float(max(values, default=1))
    simple = lines(Study("sma", period), rows)[""]
    agrees(simple, [None if x is None else float(x) for x in studies_plain.sma(values, period)], scale)
    moving = lines(Study("ema", period), rows)[""]
    agrees(moving, [None if x is None else float(x) for x in studies_plain.ema(values, period)], scale)
    series = pd.Series(values, dtype=float)
    agrees(simple, series.rolling(period).mean().tolist(), scale)
    if (
        len(values) >= period
    ):  # begun with the mean of the first n, as charts do; pandas begins with the first
        begun = pd.concat([pd.Series([series[:period].mean()]), series[period:]])
        later = begun.ewm(span=period, adjust=False).mean().tolist()
        agrees(moving, [None] * (period - 1) + later, scale)


@settings(deadline=None)
@given(near, st.integers(2, 30), st.sampled_from([0.5, 1.0, 2.0, 2.5, 5.0]))
def test_bands_are_exact_however_large_the_price(values: list[int], period: int, width: float) -> None:
    found = lines(Study("bb", period, width), rows_of(values))
    plain = studies_plain.sma(values, period), studies_plain.variance(values, period)
    for name, sign in (("upper", 1), ("lower", -1), ("", 0)):
        wanted = [
            None if mean is None or var is None else float(mean) + sign * width * math.sqrt(var)
            for mean, var in zip(*plain, strict=True)
        ]
        agrees(found[name], wanted, float(max(values)))


@given(traded)
def test_vwap_is_exact_and_ends_at_the_window_s(trades: list[tuple[int, int]]) -> None:
    rows = rows_of([price for price, _ in trades], [volume for _, volume in trades])
    found = running_vwap(rows)
    paid = volume = 0
    for (price, size), value in zip(trades, found, strict=True):
        paid, volume = paid + price * size, volume + size
        assert value == (None if not volume else pytest.approx(paid / volume))
        assert value is None or value * volume == paid
    assert sum(notionals(rows)) == notional(rows)
    assert not trades or vwap(rows) == (None if found[-1] is None else pytest.approx(float(found[-1])))
    assert means(rows) == [float(price) if size else None for price, size in trades]


@given(
    st.lists(st.tuples(st.integers(1, 3_000), st.integers(0, 2**40)), max_size=60),
    st.integers(4, 60),
    st.integers(0, 2**40),
)
def test_the_profile_agrees_with_its_plain_twin(
    trades: list[tuple[int, int]], most_rows: int, base: int
) -> None:
    trades = [(price + base, volume) for price, volume in trades]
    found = profile(rows_of([p for p, _ in trades], [v for _, v in trades]), most_rows)
    plain = studies_plain.profile(trades, most_rows)
    if found is None or plain is None:
        assert found is plain
        return
    rows, step, control, low, high = plain
    assert list(found.volumes) == list(rows.values())
    assert (found.base, found.step) == (min(rows), step)
    assert [found.base + row * step for row in (found.control, found.low, found.high)] == [control, low, high]
    assert found.total == sum(volume for _, volume in trades)
    assert len(found.volumes) <= most_rows + 1


def test_the_value_area_grows_to_the_larger_side_and_up_where_both_are_equal() -> None:
    found = profile(rows_of([10, 11, 12, 13, 14], [5, 20, 30, 20, 5]))
    assert found is not None
    assert (found.control, found.low, found.high) == (2, 1, 3)
    assert sum(found.volumes[1:4]) * 10 >= found.total * 7


@pytest.mark.parametrize(
    ("token", "study"),
    [
        ("sma-20", Study("sma", 20)),
        ("ema-200", Study("ema", 200)),
        ("bb-20-2", Study("bb", 20, 2.0)),
        ("bb-20-2.5", Study("bb", 20, 2.5)),
        ("vwap", Study("vwap")),
        ("profile", Study("profile")),
        *((bad, None) for bad in ("sma", "sma-1", "sma-201", "sma-20-2", "bb-20", "bb-20-9", "rsi-14", "")),
    ],
)
def test_tokens_name_studies_within_bounds(token: str, study: Study | None) -> None:
    assert parse(token) == study
    if study is not None:
        assert study.token == token


def test_at_most_six_studies_each_once() -> None:
    tokens = ["sma-9", "sma-9", "no", *(f"ema-{n}" for n in range(2, 30))]
    assert [study.token for study in parse_all(tokens)] == ["sma-9", *(f"ema-{n}" for n in range(2, 7))]
    assert len(parse_all(tokens)) == MOST


@given(near, near, st.integers(2, 12))
def test_what_an_ema_began_with_is_gone_after_its_warm_up(a: list[int], b: list[int], period: int) -> None:
    base = min(a)
    tail = [base + (i * 37) % 500 for i in range(8 * period)]
    values = []
    for start in (a, b):
        near_start = [base + value % 500 for value in start]
        values.append(lines(Study("ema", period), rows_of((near_start * period)[:period] + tail))[""][-1])
    assert abs(values[0] - values[1]) < 500 * 4e-7 + 1e-6 + base * 1e-12


def test_a_study_without_lines_says_so() -> None:
    with pytest.raises(ValueError, match="vwap"):
        lines(Study("vwap"), rows_of([1]))
