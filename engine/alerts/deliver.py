"""How a firing becomes a call of a webhook, and what an answer means. Pure.

Templates are data: where a message goes, how it is written, what a user has to give. A new one is a row here.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Final, Literal
from urllib.parse import quote, urlencode, urlsplit

import orjson

from engine.alerts.records import DeliveryRecord, FiringRecord
from engine.alerts.rules import SECOND_NS
from engine.alerts.views import DeliveryState
from engine.errors import BadCommand

ATTEMPTS_MOST: Final = 20
GIVEN_UP_NS: Final = 24 * 3_600 * SECOND_NS  # after its firing
BACKOFF_FIRST_S: Final = 1.0
BACKOFF_MOST_S: Final = 300.0
TIMEOUT_S: Final = 10.0
RETRIED: Final = frozenset({408, 425, 429})  # of the 4xx; every other says that asking again changes nothing
URL_MAX: Final = 1_000
FIELD_MAX: Final = 256
SIGNATURE: Final = "Venuescope-Signature"
DELIVERY: Final = "Venuescope-Delivery"
_HOST: Final = re.compile(r"[A-Za-z0-9._:\[\]-]{1,255}")


class BadTarget(BadCommand):
    """A webhook is not described as its template needs it."""


@dataclass(frozen=True, slots=True)
class Template:
    """A kind of webhook. Texts in `url`, `auth` and `fields` are filled from what the user gave, and {message}."""

    name: str
    url: str  # where none is given; "" = one must be
    form: Literal["json", "form"]
    needed: tuple[str, ...] = ()  # what the user gives besides the address
    of_url: tuple[str, ...] = ()  # needed only where no address is given
    fields: Mapping[str, str] | None = None  # of the body; None: the whole alert
    auth: tuple[str, str] | None = None  # Basic
    signed: bool = False
    # The receiver can tell a second arrival of one delivery by its id, so one whose fate is not known is sent again.
    repeatable: bool = False


TEMPLATES: Final[Mapping[str, Template]] = {
    template.name: template
    for template in (
        Template("json", "", "json", signed=True, repeatable=True),
        Template(
            "telegram",
            "https://api.telegram.org/bot{token}/sendMessage",
            "json",
            ("chat_id",),
            ("token",),
            {"chat_id": "{chat_id}", "text": "{message}"},
        ),
        Template(
            "twilio",
            "https://api.twilio.com/2010-04-01/Accounts/{account}/Messages.json",
            "form",
            ("account", "token", "from", "to"),
            (),
            {"From": "{from}", "To": "{to}", "Body": "{message}"},
            ("{account}", "{token}"),
        ),
    )
}


@dataclass(frozen=True, slots=True)
class Target:
    """An opened webhook: all of it is secret but its name, template and host."""

    name: str
    template: str
    url: str
    secret: str  # deliveries are signed with it
    given: Mapping[str, str] = field(default_factory=dict)

    @property
    def host(self) -> str:
        """The address's host, and its port where it names one."""
        return urlsplit(self.url).netloc


@dataclass(frozen=True, slots=True)
class Outgoing:
    """One POST to be made."""

    url: str
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of a POST. `status` 0: no answer; `sent` then says whether the request may have arrived."""

    status: int
    detail: str = ""  # why there is no answer, as a sentence
    sent: bool = True
    retry_after: str = ""  # the header


@dataclass(frozen=True, slots=True)
class After:
    """What a delivery becomes after an attempt; `next_ns` of one that is tried again."""

    state: DeliveryState
    detail: str
    next_ns: int = 0


def target_of(name: str, args: Mapping[str, Any], secret: str) -> Target:
    """The target a user describes: {template, url, ...}. BadTarget with a sentence for what cannot be."""
    template = TEMPLATES.get(str(args.get("template") or "json"))
    if template is None:
        raise BadTarget(
            f"there is no template {str(args['template'])[:40]!r}; choose of {', '.join(TEMPLATES)}"
        )
    url = args.get("url") or ""
    needed = template.needed + (() if url else template.of_url)
    given = {}
    for key in needed:
        value = args.get(key)
        if isinstance(value, int) and not isinstance(value, bool):
            value = str(value)  # Telegram's chats are numbers
        if not isinstance(value, str) or not 0 < len(value.strip()) <= FIELD_MAX or not value.isprintable():
            raise BadTarget(
                f"a webhook of {template.name} needs {', '.join(needed)}: {key} is missing or not text"
            )
        given[key] = value.strip()
    if not url and not template.url:
        raise BadTarget("a webhook needs its url, as https://example.org/alerts")
    if not url:
        url = _filled(template.url, {key: quote(value, safe=":") for key, value in given.items()})
    return Target(name, template.name, _address(url), secret, given)


def _address(url: object) -> str:
    if (
        not isinstance(url, str)
        or len(url) > URL_MAX
        or not url.isascii()
        or not url.isprintable()
        or " " in url
    ):
        raise BadTarget(
            f"url must be text of at most {URL_MAX:,} plain characters, as https://example.org/alerts"
        )
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise BadTarget(f"the url cannot be used: {error}") from error
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise BadTarget("a webhook's url begins with https:// or http:// and names a host")
    if parts.username is not None or "@" in parts.netloc or not _HOST.fullmatch(parts.netloc) or port == 0:
        raise BadTarget("a webhook's url names a host, and maybe a port, but no user or password")
    if parts.fragment:
        raise BadTarget("a webhook's url has no part behind #")
    return url


def outgoing(target: Target, delivery: DeliveryRecord, firing: FiringRecord, now_ns: int) -> Outgoing:
    """The POST of a delivery: the same body each time, signed for `now_ns`."""
    template = TEMPLATES[target.template]
    if template.fields is None:
        body = orjson.dumps(alert_of(delivery, firing))
    else:
        filled = {name: _filled(text, {**target.given, "message": message_of(firing)}) for name, text in
                  template.fields.items()}  # fmt: skip
        body = orjson.dumps(filled) if template.form == "json" else urlencode(filled).encode()
    kind = "application/json" if template.form == "json" else "application/x-www-form-urlencoded"
    headers = {"Content-Type": kind, "User-Agent": "Venuescope", DELIVERY: delivery.id}
    if template.signed:
        headers[SIGNATURE] = signature(target.secret, now_ns // SECOND_NS, body)
    if template.auth is not None:
        pair = ":".join(_filled(text, target.given) for text in template.auth)
        headers["Authorization"] = "Basic " + b64encode(pair.encode()).decode()
    return Outgoing(target.url, headers, body)


def signature(secret: str, at_s: int, body: bytes) -> str:
    """ "t=<unix seconds>,v1=<hex HMAC-SHA256 of "t.body">"."""
    signed = hmac.new(secret.encode(), f"{at_s}.".encode() + body, hashlib.sha256).hexdigest()
    return f"t={at_s},v1={signed}"


def alert_of(delivery: DeliveryRecord, firing: FiringRecord) -> dict[str, Any]:
    """The whole alert, as the json template sends it. `id` is the delivery's: the same each time it is tried."""
    return {
        "id": delivery.id,
        "firing": firing.id,
        "rule": firing.rule,
        "text": firing.text,
        "value": firing.value,
        "source": firing.source,
        "symbol": firing.symbol,
        "started": _iso(firing.started_ns),
        "started_ms": firing.started_ns // 10**6,
        "message": message_of(firing),
    }


def message_of(firing: FiringRecord) -> str:
    """The alert as one sentence, for those who read it."""
    when = datetime.fromtimestamp(firing.started_ns // SECOND_NS, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    where = f" at {firing.source.partition(':')[0]}" if firing.source else ""
    value = f": {firing.value}{where}" if firing.value else ""
    return f"{firing.text}{value}, {when}"


def after(answer: Answer, delivery: DeliveryRecord, repeatable: bool, now_ns: int, random: float) -> After:
    """What becomes of a delivery whose attempt, already counted in it, came to this. `random` in [0, 1)."""
    status = answer.status
    if 200 <= status < 300:
        return After("delivered", f"HTTP {status}")
    if status == 0:
        said = answer.detail or "no answer"
        if answer.sent and not repeatable:
            return After("unknown", f"{said}; it may have arrived, so it is not sent again")
    elif 300 <= status < 400:
        return After("failed", f"HTTP {status}: redirects are not followed; give the final address")
    elif 400 <= status < 500 and status not in RETRIED:
        return After("failed", f"HTTP {status}: the receiver refuses it")
    else:
        said = f"HTTP {status}"
    if delivery.attempts >= ATTEMPTS_MOST:
        return After("failed", f"{said}; given up after {ATTEMPTS_MOST} attempts")
    wait_ns = int(max(backoff_s(delivery.attempts, random), asked_s(answer.retry_after, now_ns)) * SECOND_NS)
    if now_ns + wait_ns - delivery.created_ns > GIVEN_UP_NS:
        return After("failed", f"{said}; given up after 24 hours")
    return After("waiting", said, now_ns + wait_ns)


def backoff_s(attempts: int, random: float) -> float:
    """Seconds after failed attempt number `attempts`: half to all of 1, 2, 4 … 300."""
    bound: float = min(BACKOFF_MOST_S, BACKOFF_FIRST_S * 2.0 ** min(max(0, attempts - 1), 20))
    return bound * (0.5 + random / 2)


def asked_s(header: str, now_ns: int) -> float:
    """Seconds a Retry-After header asks for; 0.0 where it says nothing that can be read."""
    text = header.strip()
    if text.isascii() and text.isdigit() and len(text) < 10:
        return float(text)
    try:
        when = parsedate_to_datetime(text)
        if when.tzinfo is None:
            when = when.replace(tzinfo=UTC)
        asked_at_s = when.timestamp()
    except (ValueError, OverflowError):  # a year or a zone can be any number
        return 0.0
    return max(0.0, asked_at_s - now_ns / SECOND_NS)


def _filled(text: str, values: Mapping[str, str]) -> str:
    """`text` with {name} replaced; values are put in as they are, and not filled themselves."""
    return re.sub(r"\{(\w+)\}", lambda found: values[found[1]], text)


def _iso(ns: int) -> str:
    return (
        datetime.fromtimestamp(ns // 10**6 / 1_000, UTC)
        .isoformat(timespec="milliseconds")
        .replace("+00:00", "Z")
    )
