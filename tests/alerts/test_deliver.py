"""How an alert becomes a call of a webhook, and what each answer means."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from urllib.parse import parse_qs

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.alerts.deliver import (
    ATTEMPTS_MOST,
    TEMPLATES,
    Answer,
    BadTarget,
    after,
    asked_s,
    backoff_s,
    message_of,
    outgoing,
    signature,
    target_of,
)
from engine.alerts.records import DeliveryRecord, FiringRecord
from tests.alerts.market import SECOND, START

FIRING = FiringRecord(
    7,
    "r1",
    "BTC/USDT mid on any venue above 70000 for 5 s",
    "binance_spot:live",
    "BTC-USDT",
    "70012.50",
    START,
)
TWILIO = {"template": "twilio", "account": "AC1", "token": "t0p", "from": "+15550001", "to": "+15550002"}


def delivery(attempts: int = 1) -> DeliveryRecord:
    return DeliveryRecord("d1", 7, "ops", START, "sending", attempts)


def test_the_signature_covers_time_and_body() -> None:
    expected = hmac.new(b"s3cret", b"1795000000.{}", hashlib.sha256).hexdigest()
    assert signature("s3cret", 1_795_000_000, b"{}") == f"t=1795000000,v1={expected}"


def test_telegram_is_told_a_sentence_at_its_own_address() -> None:
    target = target_of("bot", {"template": "telegram", "token": "12:ab/c", "chat_id": -5}, "s")
    sent = outgoing(target, delivery(), FIRING, START)
    assert sent.url == "https://api.telegram.org/bot12:ab%2Fc/sendMessage"
    assert json.loads(sent.body) == {"chat_id": "-5", "text": message_of(FIRING)}
    assert "70012.50 at binance_spot, 2026-11-18" in message_of(FIRING)
    assert "Venuescope-Signature" not in sent.headers
    given = target_of(
        "bot", {"template": "telegram", "url": "http://127.0.0.1:9/bot1/sendMessage", "chat_id": "5"}, "s"
    )
    assert given.url == "http://127.0.0.1:9/bot1/sendMessage"


def test_twilio_is_told_by_a_form_with_basic_authorization() -> None:
    sent = outgoing(target_of("sms", TWILIO, "s"), delivery(), FIRING, START)
    assert sent.url == "https://api.twilio.com/2010-04-01/Accounts/AC1/Messages.json"
    assert sent.headers["Authorization"] == "Basic " + base64.b64encode(b"AC1:t0p").decode()
    assert sent.headers["Content-Type"] == "application/x-www-form-urlencoded"
    assert parse_qs(sent.body.decode()) == {
        "From": ["+15550001"],
        "To": ["+15550002"],
        "Body": [message_of(FIRING)],
    }


def test_what_a_user_gave_is_not_filled_in_again() -> None:
    target = target_of("bot", {"template": "telegram", "token": "t", "chat_id": "{message}{token}"}, "s")
    assert json.loads(outgoing(target, delivery(), FIRING, START).body)["chat_id"] == "{message}{token}"


@pytest.mark.parametrize(
    ("args", "helps"),
    [
        ({}, "needs its url"),
        ({"template": "fax"}, "json, telegram, twilio"),
        ({"url": "ftp://example.org"}, "https://"),
        ({"url": "https://"}, "names a host"),
        ({"url": "https://me:pass@example.org"}, "no user or password"),
        ({"url": "https://example.org/a b"}, "plain characters"),
        ({"url": "https://example.org:99999"}, "cannot be used"),
        ({"url": "https://example.org/\r\nX: y"}, "plain characters"),
        ({"url": "https://example.org/#x"}, "behind #"),
        ({"url": "https://" + "x" * 1_000}, "1,000"),
        ({"url": 5}, "plain characters"),
        ({"template": "telegram", "token": "t"}, "chat_id is missing"),
        ({"template": "telegram", "chat_id": "t"}, "token is missing"),
        ({**TWILIO, "to": "+1\r\nX"}, "to is missing or not text"),
        ({**TWILIO, "account": True}, "account is missing or not text"),
    ],
)
def test_a_webhook_that_cannot_be_is_refused_with_a_sentence(args: dict[str, object], helps: str) -> None:
    with pytest.raises(BadTarget, match=helps):
        target_of("x", args, "s")


@pytest.mark.parametrize(
    ("answer", "repeatable", "state"),
    [
        (Answer(200), False, "delivered"),
        (Answer(204), True, "delivered"),
        (Answer(302), True, "failed"),
        (Answer(400), True, "failed"),
        (Answer(401), True, "failed"),
        (Answer(410), True, "failed"),
        (Answer(408), False, "waiting"),
        (Answer(425), False, "waiting"),
        (Answer(429), False, "waiting"),
        (Answer(500), False, "waiting"),
        (Answer(503), True, "waiting"),
        (Answer(0, "no connection", sent=False), False, "waiting"),
        (Answer(0, "no answer within 10 s"), True, "waiting"),
        (Answer(0, "no answer within 10 s"), False, "unknown"),
    ],
)
def test_what_an_answer_means(answer: Answer, repeatable: bool, state: str) -> None:
    came = after(answer, delivery(), repeatable, START, 0.5)
    assert came.state == state
    assert came.detail
    assert (came.next_ns > START) == (state == "waiting")


def test_only_what_can_be_told_apart_is_sent_again_when_its_fate_is_not_known() -> None:
    assert [name for name, template in TEMPLATES.items() if template.repeatable] == ["json"]


def test_it_is_given_up_after_twenty_attempts_or_a_day() -> None:
    assert after(Answer(500), delivery(ATTEMPTS_MOST - 1), True, START, 0.5).state == "waiting"
    assert after(Answer(500), delivery(ATTEMPTS_MOST), True, START, 0.5).state == "failed"
    assert after(Answer(500), delivery(), True, START + 86_399 * SECOND, 0.99).state == "waiting"
    assert after(Answer(500), delivery(2), True, START + 86_399 * SECOND, 0.99).state == "failed"
    assert after(Answer(503, retry_after="86401"), delivery(), True, START, 0.5).state == "failed"


@given(st.integers(1, 10_000), st.floats(0, 0.999999))
def test_waits_double_to_five_minutes_and_are_spread(attempts: int, chance: float) -> None:
    bound = min(300.0, 2.0 ** min(attempts - 1, 20))
    assert bound / 2 <= backoff_s(attempts, chance) <= bound


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("", 0.0),
        ("7", 7.0),
        (" 120 ", 120.0),
        ("-5", 0.0),
        ("soon", 0.0),
        ("1e9", 0.0),
        ("9" * 50, 0.0),
        ("Wed, 18 Nov 2026 11:07:20 GMT", 600.0),
        ("Wed, 18 Nov 2020 11:07:20 GMT", 0.0),
        ("Wed, 18 Nov 2026 11:07:20 -0000", 600.0),
        ("Mon, 01 Jan 99999999999999999999 00:00:00 GMT", 0.0),
        ("Mon, 01 Jan 2027 00:00:00 +9999999999999999999", 0.0),
        ("Mon, 01 Jan 2027 00:00:00 +9999", 0.0),
        ("Mon, 01 Jan 0001 00:00:00 +2359", 0.0),
        ("Fri, 31 Dec 9999 23:59:59 -2359", 251_607_387_699.0),
    ],
)
def test_retry_after_is_seconds_or_a_date(header: str, seconds: float) -> None:
    now_ns = 1_795_000_040 * SECOND - 600 * SECOND
    assert asked_s(header, now_ns) == pytest.approx(seconds)
