"""Rules as sentences: what is read, how it is written back, and what is said of a wrong word."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.alerts.rules import METRICS, BadRule, Rule, parse, rule_of

VENUES = ("binance_spot", "binance_usdm", "bybit", "builtin")


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("BTC/USDT mid on any venue above 70000 for 5 s", "BTC/USDT mid on any venue above 70000 for 5 s"),
        ("btc-usdt MID above 70,000.50 usdt for 5s", "BTC/USDT mid on any venue above 70000.5 for 5 s"),
        ("BTC/USDT best bid on Binance spot > 1", "BTC/USDT bid on binance_spot above 1"),
        (
            "BTC/USDT-PERP spread on binance_usdm over 3bps for 120 s",
            "BTC/USDT-PERP spread on binance_usdm above 3 bp for 2 m",
        ),
        ("ETH/USDT spread above 0.05 %", "ETH/USDT spread on any venue above 5 bp"),
        ("ETH/BTC last price under 0.05", "ETH/BTC last on any venue below 0.05"),
        ("p99 of receive on binance_spot above 50 ms", "p99 of receive on binance_spot above 50 ms"),
        ("latency on builtin above 1.5s", "p99 on builtin above 1500 ms"),
        ("p99 above 250 us for 0.5 m", "p99 on any venue above 0.25 ms for 30 s"),
        ("throttled calls on bybit above 10", "throttled calls on bybit above 10 per minute"),
        ("staleness on binance_spot:live above 1 m", "staleness on binance_spot above 60 s"),
        ("gap rate over 3 per minute for 1 minute", "gaps on any venue above 3 per minute for 1 m"),
        ("BTC/USDT mid below 70000 for 250 ms", "BTC/USDT mid on any venue below 70000 for 0.25 s"),
    ],
)  # fmt: skip
def test_a_sentence_is_read_and_written_back_in_one_form(said: str, meant: str) -> None:
    rule = parse(said, VENUES)
    assert rule.text == meant
    assert parse(rule.text, VENUES) == rule


@pytest.mark.parametrize(
    ("said", "word", "helps"),
    [
        ("", "", "BTC/USDT mid on any venue above 70000 for 5 s"),
        ("BTC/USDT", "BTC/USDT", "mid"),
        ("BTC/USDT mdi above 4", "mdi", "did you mean mid?"),
        ("BTC/USDT mid abov 4", "abov", "above or below"),
        ("BTC/USDT mid", "", "above or below"),
        ("BTC/USDT mid above", "", "which number"),
        ("BTC/USDT mid above lots", "lots", "70000"),
        ("BTC/USDT mid above 4 ms", "ms", "no unit"),
        ("BTC/USDT mid above 4 EUR", "EUR", "no unit"),
        ("BTC/USDT spread above 4 ms", "ms", "bp"),
        ("BTC/USDT mid above 4 for ever", "ever", "for 5 s"),
        ("BTC/USDT mid above 4 for 5", "5", "s or m"),
        ("BTC/USDT mid above 4 for 5 days", "days", "s or m"),
        ("BTC/USDT mid above 4 for 25 h", "for", "24 hours"),
        ("BTC/USDT mid above 4 for 5 s please", "please", "too many"),
        ("BTC/USDT mid on above 4", "on", "any venue"),
        ("BTC/USDT mid on binanc_spot above 4", "binanc_spot", "binance_spot"),
        ("BTC/USDT mid on binance_spot:replay above 4", "binance_spot:replay", "never alerted on"),
        ("BTC/USDT mid of receive above 4", "of", "only p99"),
        ("BTCUSDT mid above 4", "BTCUSDT", "BTC/USDT"),
        ("mid above 4", "", "which symbol"),
        ("BTC/USDT p99 above 4", "BTC/USDT", "by venue"),
        ("BTC/USDT mid below 0", "0", "never"),
        ("BTC/USDT mid above -3", "-3", "never"),
        ("BTC/USDT mid above 99999999999999999999", "99999999999999999999", "out of range"),
        ("BTC/USDT " * 40, "", "200 characters"),
        ("BTC/USDT mid above \ud800", "?", "no number"),
    ],
)
def test_an_error_names_the_wrong_word_and_what_would_work(said: str, word: str, helps: str) -> None:
    with pytest.raises(BadRule) as refused:
        parse(said, VENUES)
    assert refused.value.word == word
    assert helps in str(refused.value)
    assert word in str(refused.value)


@st.composite
def rules(draw: st.DrawFn) -> Rule:
    metric = draw(st.sampled_from(sorted(METRICS)))
    parts = {
        "metric": metric,
        "symbol": draw(st.sampled_from(["BTC-USDT", "1INCH-USDC", "BTC-USD-PERP", "ETH-USDT-240927"]))
        if METRICS[metric].of_symbol
        else "",
        "venue": draw(st.sampled_from(["", *VENUES])),
        "stage": draw(st.sampled_from(["", "decode", "publish"])) if metric == "p99_ms" else "",
        "above": draw(st.booleans()),
    }
    units, decimals = draw(st.integers(1, 10**14)), draw(st.integers(5, 18))
    parts["threshold"] = format(Decimal(units).scaleb(-decimals), "f")
    parts["for_s"] = draw(st.integers(0, 86_400)) if draw(st.booleans()) else draw(st.integers(0, 10**5)) / 8
    return rule_of(parts, VENUES)


@given(rules())
def test_every_rule_is_read_back_from_its_sentence(rule: Rule) -> None:
    assert parse(rule.text, VENUES) == rule
    assert parse(rule.text).text == rule.text


WORDS = (
    *("BTC/USDT", "mid", "p99", "of", "on", "any", "venue", "above", "below", "7", "7,000", "5s"),
    *("for", "s", "m", "%", "bp"),
)


@given(st.text(max_size=60) | st.lists(st.sampled_from(WORDS), max_size=12).map(" ".join))
def test_any_text_is_a_rule_or_refused_with_a_sentence(said: str) -> None:
    try:
        rule = parse(said, VENUES)
    except BadRule as refused:
        str(refused).encode()
    else:
        assert parse(rule.text, VENUES) == rule


@pytest.mark.parametrize(
    ("parts", "helps"),
    [
        ({}, "what to watch"),
        ({"metric": "volume"}, "choose bid"),
        ({"metric": "mid", "symbol": "BTC-USDT"}, "threshold must be a number"),
        ({"metric": "mid", "symbol": "BTC-USDT", "threshold": "7e4"}, "no number"),
        ({"metric": "mid", "symbol": "BTC-USDT", "threshold": "1" * 60}, "no number"),
        ({"metric": "mid", "symbol": "BTC-USDT", "threshold": True}, "must be a number"),
        ({"metric": "mid", "symbol": "BTC-USDT", "threshold": "1", "above": "yes"}, "true, or false"),
        ({"metric": "mid", "threshold": "1"}, "which symbol"),
        ({"metric": "gaps", "threshold": "1", "stage": "ack"}, "only p99"),
        ({"metric": "gaps", "threshold": "1", "for_s": 90_000}, "24 hours"),
        ({"metric": "gaps", "threshold": "1", "for_s": "1" * 39}, "24 hours"),
        ({"metric": "p99_ms", "threshold": "1", "stage": "a b"}, "no stage"),
    ],
)
def test_parts_that_cannot_be_are_refused(parts: dict[str, object], helps: str) -> None:
    with pytest.raises(BadRule, match=helps):
        rule_of(parts, VENUES)
