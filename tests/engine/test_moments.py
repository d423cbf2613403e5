"""Moments as users write them."""

from __future__ import annotations

import pytest

from engine.errors import BadSetting
from engine.moments import moment_of

SECOND_NS = 1_000_000_000
DAY_NS = 86_400 * SECOND_NS


@pytest.mark.parametrize(
    ("text", "expected_ns"),
    [
        ("now", 100 * DAY_NS),
        ("90d", 10 * DAY_NS),
        ("-90d", 10 * DAY_NS),
        ("90d ago", 10 * DAY_NS),
        ("10 m ago", 100 * DAY_NS - 600 * SECOND_NS),
        ("2 w ago", 86 * DAY_NS),
        ("1763640000123", 1763640000123000000),
        ("1763640000123456", 1763640000123456000),
        ("1763640000123456789", 1763640000123456789),
        ("1970-01-03T00:00:00.123456Z", 2 * DAY_NS + 123_456_000),
        ("1970-01-03 00:00:01", 2 * DAY_NS + SECOND_NS),
        ("36h", 100 * DAY_NS - 36 * 3600 * SECOND_NS),
        ("1970-01-03", 2 * DAY_NS),
        ("1970-01-03T12:00", 2 * DAY_NS + DAY_NS // 2),
        ("1970-01-03T12:00+02:00", 2 * DAY_NS + 10 * 3600 * SECOND_NS),
    ],
)
def test_moments(text: str, expected_ns: int) -> None:
    assert moment_of("--from", text, 100 * DAY_NS) == expected_ns


@pytest.mark.parametrize(
    "text", ["yesterday", "", "2026-13-01", "--5d", "ago", "5 ago", "9999-01-01", "12", "1" * 18]
)
def test_what_is_no_moment(text: str) -> None:
    with pytest.raises(BadSetting, match="--from"):
        moment_of("--from", text, 0)
