"""What an alert's rule says: read from a sentence, and written back in one form. Pure.

    <symbol> <metric> [on <venue> | on any venue] above|below <number>[unit] [for <number> s|m]

"BTC/USDT mid on any venue above 70000 for 5 s", "p99 of receive on binance_spot above 50 ms", "gaps on any venue above
3 per minute for 1 m". Without `on` any venue is meant; p99 without `of` is of each source's main stage: receive of
real venues, ack of the built-in exchange. `parse(rule.text)` is the rule again.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from typing import Any, Final

from engine.errors import BadCommand

EXAMPLE: Final = "BTC/USDT mid on any venue above 70000 for 5 s"
TEXT_MAX: Final = 200
THRESHOLD_BELOW: Final = Decimal(10) ** 10  # with its decimals, what Decimal works with exactly
THRESHOLD_DECIMALS: Final = 18
FOR_MAX_NS: Final = 24 * 3_600 * 10**9
SECOND_NS: Final = 10**9
MINUTE_NS: Final = 60 * SECOND_NS
STAGE_MAX: Final = 24
NUMBER_MAX: Final = 40

_SYMBOL: Final = re.compile(r"[A-Z0-9]{1,16}-[A-Z0-9]{1,16}(-[A-Z0-9]{1,16}){0,3}")
_VENUE: Final = re.compile(r"[a-z0-9_]{1,40}")
_STAGE: Final = re.compile(rf"[a-z0-9_]{{1,{STAGE_MAX}}}")
_NUMBER: Final = re.compile(r"([+-]?(?:[0-9]{1,3}(?:,[0-9]{3})+|[0-9]+)(?:\.[0-9]+)?)(.*)", re.DOTALL)
_QUOTES: Final = ("USDT", "USDC", "FDUSD", "TUSD", "BUSD", "USD", "EUR", "BTC", "ETH")


class BadRule(BadCommand):
    """A rule cannot be used. `word` is what is wrong in it, "" where something is missing."""

    def __init__(self, word: str, reason: str) -> None:
        super().__init__(word, reason)
        self.word, self.reason = word, reason

    def __str__(self) -> str:
        return f"“{self.word[:60]}” {self.reason}" if self.word else self.reason


@dataclass(frozen=True, slots=True)
class Metric:
    """One thing that can be watched. `units` gives what to multiply by to come to the metric's own unit."""

    name: str
    words: str  # as a rule's sentence says it
    unit: str  # behind its number; "" where it has none
    of_symbol: bool
    also: tuple[str, ...] = ()  # other words for it
    units: Mapping[str, Decimal] = field(default_factory=dict)


_PER_MINUTE: Final = {"per minute": Decimal(1), "a minute": Decimal(1), "/min": Decimal(1)}
METRICS: Final[Mapping[str, Metric]] = {
    metric.name: metric
    for metric in (
        Metric("bid", "bid", "", True, ("best bid", "bid price")),
        Metric("ask", "ask", "", True, ("best ask", "ask price", "offer")),
        Metric("mid", "mid", "", True, ("mid price", "middle")),
        Metric("last", "last", "", True, ("last price", "price", "last trade")),
        Metric(
            "spread_bp",
            "spread",
            "bp",
            True,
            ("spread_bp",),
            {"bp": Decimal(1), "bps": Decimal(1), "%": Decimal(100)},
        ),
        Metric(
            "p99_ms",
            "p99",
            "ms",
            False,
            ("p99 latency", "latency", "p99_ms"),
            {"ms": Decimal(1), "us": Decimal("0.001"), "µs": Decimal("0.001"), "s": Decimal(1_000)},
        ),
        Metric("throttled", "throttled calls", "per minute", False, ("throttled", "throttling"), _PER_MINUTE),
        Metric(
            "stale_s",
            "staleness",
            "s",
            False,
            ("stale", "stale_s", "silence"),
            {
                "s": Decimal(1),
                "ms": Decimal("0.001"),
                "m": Decimal(60),
                "min": Decimal(60),
            },
        ),
        Metric("gaps", "gaps", "per minute", False, ("gap rate", "gap"), _PER_MINUTE),
    )
}
_PHRASES: Final = sorted(
    (
        (tuple(phrase.split()), metric)
        for metric in METRICS.values()
        for phrase in (metric.words, *metric.also)
    ),
    key=lambda found: -len(found[0]),
)
_NAMED: Final = "bid, ask, mid, last, spread, p99, throttled calls, staleness or gaps"
_ABOVE: Final = {"above": True, "over": True, ">": True, "below": False, "under": False, "<": False}
_LONG: Final = {
    "ms": 10**6,
    "s": SECOND_NS,
    "sec": SECOND_NS,
    "second": SECOND_NS,
    "seconds": SECOND_NS,
    "m": MINUTE_NS,
    "min": MINUTE_NS,
    "minute": MINUTE_NS,
    "minutes": MINUTE_NS,
    "h": 60 * MINUTE_NS,
}


@dataclass(frozen=True, slots=True)
class Rule:
    """What must hold, and how long. Made by `parse` and `rule_of`, which check it."""

    metric: str  # of METRICS
    symbol: str  # universal; "" where the metric has none
    venue: str  # "" = any
    above: bool  # strictly; else strictly below
    threshold: Decimal  # in the metric's unit, exact
    for_ns: int = 0
    stage: str = ""  # of p99_ms; "" = the main one of each source

    @property
    def threshold_text(self) -> str:
        """The threshold without zeros at its end, never as 7E+4."""
        return plain(self.threshold)

    @property
    def text(self) -> str:
        """The rule as a sentence, in the one form."""
        metric = METRICS[self.metric]
        unit = f" {metric.unit}" if metric.unit else ""
        parts = [
            *([shown(self.symbol)] if self.symbol else []),
            metric.words,
            *([f"of {self.stage}"] if self.stage else []),
            f"on {self.venue or 'any venue'}",
            "above" if self.above else "below",
            f"{self.threshold_text}{unit}",
            *([f"for {duration(self.for_ns)}"] if self.for_ns else []),
        ]
        return " ".join(parts)


def plain(number: Decimal) -> str:
    """A decimal as digits, without zeros at its end."""
    text = format(number, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


def shown(symbol: str) -> str:
    """A universal symbol as sentences write it: "BTC/USDT", "BTC/USDT-PERP"."""
    return symbol.replace("-", "/", 1)


def duration(for_ns: int) -> str:
    """ "5 s", "0.25 s", "2 m": whole minutes as such."""
    if for_ns and for_ns % MINUTE_NS == 0:
        return f"{for_ns // MINUTE_NS} m"
    return f"{plain(Decimal(for_ns) / SECOND_NS)} s"


def parse(text: str, venues: Collection[str] = ()) -> Rule:
    """The rule a sentence says. BadRule names the word that is wrong, and what would work.

    `venues` are those there are; empty: any name is taken.
    """
    if len(text) > TEXT_MAX:
        raise BadRule("", f"a rule has at most {TEXT_MAX} characters, as in {EXAMPLE}")
    words = text.encode("utf-8", "replace").decode().split()
    if not words:
        raise BadRule("", f"write a rule, as in {EXAMPLE}")
    symbol = ""
    found = _metric_at(words, 0)
    if found is None:
        symbol, words = words[0], words[1:]
        found = _metric_at(words, 0)
    if found is None:
        if not words:
            raise BadRule(symbol, f"is not a rule: say what to watch ({_NAMED}), as in {EXAMPLE}")
        guess = difflib.get_close_matches(words[0].lower(), [m.words for m in METRICS.values()], 1)
        also = f"did you mean {guess[0]}? " if guess else ""
        raise BadRule(words[0], f"is nothing to watch: {also}Choose {_NAMED}" if also else _unwatched())
    metric, length = found
    words = words[length:]
    stage, words = _stage(metric, words)
    venue, words = _venue(words)
    if not words or words[0].lower() not in _ABOVE:
        raise BadRule(words[0] if words else "", "must be above or below" if words else _no_side())
    above = _ABOVE[words[0].lower()]
    threshold, words = _threshold(metric, symbol, words[1:])
    for_ns, words = _for(words)
    if words:
        raise BadRule(
            words[0], f"is one word too many: a rule ends after its number, or after “for 5 s” ({EXAMPLE})"
        )
    return _checked(Rule(metric.name, symbol, venue, above, threshold, for_ns, stage), venues)


def rule_of(args: Mapping[str, Any], venues: Collection[str] = ()) -> Rule:
    """The rule of its parts: {metric, symbol, venue, stage, above, threshold, for_s}. BadRule says what is wrong.

    Numbers are taken as decimal text, so that none is rounded; whole numbers and floats as their shortest text.
    """
    name = str(args.get("metric", ""))
    metric = METRICS.get(name) or next(
        (m for words, m in _PHRASES if words == tuple(name.lower().split())), None
    )
    if metric is None:
        raise BadRule(name, _unwatched()) if name else BadRule("", f"say what to watch: {_NAMED}")
    above = args.get("above", True)
    if not isinstance(above, bool):
        raise BadRule("above", "must be true, or false for below")
    threshold = _number(args.get("threshold"), "the threshold")
    seconds = _number(args.get("for_s") or 0, "for_s")
    venue, stage = str(args.get("venue") or ""), str(args.get("stage") or "").lower()
    if venue.lower() in ("any", "any venue"):
        venue = ""
    for_ns = int(min(seconds, Decimal(FOR_MAX_NS)) * SECOND_NS)
    symbol = str(args.get("symbol") or "")
    return _checked(Rule(metric.name, symbol, venue, above, threshold, for_ns, stage), venues)


def _checked(rule: Rule, venues: Collection[str]) -> Rule:
    """The rule with its names in their one form. BadRule for what cannot be."""
    metric = METRICS[rule.metric]
    symbol = _symbol(metric, rule.symbol)
    venue = _known(rule.venue, venues)
    stage = rule.stage
    if rule.metric == "p99_ms":
        if stage and not _STAGE.fullmatch(stage):
            raise BadRule(
                stage, "is no stage: write receive, decode, sequence, publish, or ack and match of builtin"
            )
    elif stage:
        raise BadRule(stage, f"is not needed: only p99 has stages, {metric.words} has none")
    threshold = rule.threshold
    exponent = threshold.as_tuple().exponent
    if isinstance(exponent, str) or threshold >= THRESHOLD_BELOW or exponent < -THRESHOLD_DECIMALS:
        raise BadRule(
            str(threshold), f"is out of range: below {THRESHOLD_BELOW:,}, {THRESHOLD_DECIMALS} decimals"
        )
    if threshold < 0 or (threshold == 0 and not rule.above):
        raise BadRule(plain(threshold), f"can never be: {metric.words} is not below 0; take a greater number")
    if not 0 <= rule.for_ns <= FOR_MAX_NS:
        raise BadRule("for", "takes at most 24 hours (1440 m)")
    return Rule(metric.name, symbol, venue, rule.above, _short(threshold), rule.for_ns, stage)


def _short(number: Decimal) -> Decimal:
    return Decimal(plain(number)) if number else Decimal(0)


def _symbol(metric: Metric, given: str) -> str:
    name = given.rstrip(":").upper().replace("/", "-")
    if not metric.of_symbol:
        if name:
            raise BadRule(
                given, f"is not needed: {metric.words} is counted by venue; begin with “{metric.words}”"
            )
        return ""
    if not name:
        raise BadRule("", f"say of which symbol, as in BTC/USDT {metric.words}")
    if not _SYMBOL.fullmatch(name):
        base = next(
            (name[: -len(q)] + "/" + q for q in _QUOTES if name.endswith(q) and name != q), "BTC/USDT"
        )
        raise BadRule(given, f"is no symbol: write base and quote, as in {base}")
    return name


def _known(given: str, venues: Collection[str]) -> str:
    """A venue in its one form: lower case, without its run."""
    name, _, run = given.lower().partition(":")
    if run == "replay":
        raise BadRule(given, "is a replay, and replays are never alerted on: name the venue alone")
    if name and (not _VENUE.fullmatch(name) or (venues and name not in venues)):
        near = difflib.get_close_matches(name, venues, 3, 0.5) or sorted(venues)[:6]
        ways = f"write {', '.join(near)} or any venue" if near else "write its name, or any venue"
        raise BadRule(given, f"is no venue: {ways}")
    return name


def _metric_at(words: list[str], at: int) -> tuple[Metric, int] | None:
    rest = [word.lower() for word in words[at : at + 3]]
    for phrase, metric in _PHRASES:
        if rest[: len(phrase)] == list(phrase):
            return metric, len(phrase)
    return None


def _stage(metric: Metric, words: list[str]) -> tuple[str, list[str]]:
    if not words or words[0].lower() != "of":
        return "", words
    if metric.name != "p99_ms":
        raise BadRule(
            words[0], f"does not fit here: only p99 has stages; write {metric.words} on any venue above …"
        )
    if len(words) < 2:
        raise BadRule("of", "must be followed by a stage, as in p99 of receive")
    return words[1].lower(), words[2:]


def _venue(words: list[str]) -> tuple[str, list[str]]:
    if not words or words[0].lower() != "on":
        return "", words
    end = next((at for at, word in enumerate(words) if word.lower() in _ABOVE), len(words))
    named = [word.lower() for word in words[1:end]]
    if not named:
        raise BadRule("on", "must be followed by a venue, as in on binance_spot, or on any venue")
    if named in (["any"], ["any", "venue"]):
        return "", words[end:]
    if len(named) > 3:
        raise BadRule(words[2], f"does not fit here: write above or below behind the venue, as in {EXAMPLE}")
    return "_".join(named), words[end:]


def _threshold(metric: Metric, symbol: str, words: list[str]) -> tuple[Decimal, list[str]]:
    """The number in the metric's own unit, and the words behind it and its unit."""
    if not words:
        raise BadRule("", f"say above or below which number, as in {EXAMPLE}")
    found = _NUMBER.fullmatch(words[0])
    if found is None:
        raise BadRule(words[0], "is no number: write 70000 or 70000.5")
    number, glued = Decimal(found[1].replace(",", "")), found[2]
    rest = ([glued] if glued else []) + words[1:]
    units = metric.units
    for unit, factor in sorted(units.items(), key=lambda known: -len(known[0])):
        parts = unit.split()
        if [word.lower() for word in rest[: len(parts)]] == parts:
            return number * factor, rest[len(parts) :]
    quote = symbol.upper().replace("/", "-").split("-")[1:2]
    if rest and metric.of_symbol and not units and [rest[0].upper()] == quote:
        return number, rest[1:]
    if rest and (glued or rest[0].lower() != "for"):
        which = f"its unit is {', '.join(units)}" if units else "a price has no unit"
        raise BadRule(rest[0], f"does not fit behind {metric.words}'s number: {which}")
    return number, rest


def _for(words: list[str]) -> tuple[int, list[str]]:
    if not words or words[0].lower() != "for":
        return 0, words
    found = _NUMBER.fullmatch(words[1]) if len(words) > 1 else None
    if found is None:
        raise BadRule(words[1] if len(words) > 1 else "for", "must say how long, as in for 5 s or for 2 m")
    rest = ([found[2]] if found[2] else []) + words[2:]
    unit = _LONG.get(rest[0].lower()) if rest else None
    if unit is None:
        raise BadRule(rest[0] if rest else words[1], "must be followed by s or m, as in for 5 s or for 2 m"
                      if not rest else "is no length of time: write s or m, as in for 5 s or for 2 m")  # fmt: skip
    exact = Decimal(found[1].replace(",", "")) * unit
    if exact != int(exact):
        raise BadRule(found[1], "is finer than a nanosecond")
    return int(exact), rest[1:]


def _number(given: object, what: str) -> Decimal:
    if isinstance(given, bool) or not isinstance(given, str | int | float | Decimal):
        raise BadRule("", f"{what} must be a number")
    found = _NUMBER.fullmatch(str(given).strip()) if len(str(given)) < NUMBER_MAX else None
    try:
        if found is None or found[2]:
            raise BadRule(str(given), f"is no number for {what}: write 70000 or 70000.5")
        return Decimal(found[1].replace(",", ""))
    except InvalidOperation as error:
        raise BadRule(str(given), f"is no number for {what}") from error


def _unwatched() -> str:
    return f"is nothing to watch: choose {_NAMED}"


def _no_side() -> str:
    return f"say above or below which number, as in {EXAMPLE}"
