"""Alerts made by hand: the real transport over an `AlertsView` with rules, firings, deliveries and webhooks.

Commands do to it what the engine would. `switch(mode)`: "live" (six rules, two of them true), "calm" (rules, and all is
acknowledged), "fresh" (no rule yet), "off", "failed".
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from engine.alerts.rules import METRICS, Rule, parse, rule_of
from engine.alerts.views import AlertsView, DeliveryView, FiringView, RuleView, WebhookView
from engine.errors import BadCommand
from tests.browser.venue_source import SECOND, VenueSource

MODES = ("live", "calm", "fresh", "off", "failed")
RULES = (
    ("BTC/USDT mid on any venue above 104000 for 5 s", ("desk", "phone"), "firing", "104236.425"),
    ("ETH/USDT spread on binance_spot above 5 bp for 2 s", ("desk",), "pending", "5.4 bp"),
    ("p99 of receive on any venue above 250 ms for 10 s", (), "quiet", "61.3 ms"),
    ("staleness on bybit_spot above 10 s", ("desk",), "firing", "12.4 s"),
    ("gaps on any venue above 3 per minute for 1 m", (), "no data", ""),
    ("SOL/USDT last on bybit_linear below 180.5", (), "off", ""),
)


def _quiet(metric: str) -> str:
    """A value of the metric with its unit, as the engine writes it."""
    return f"1.25 {METRICS[metric].unit}".strip()


class AlertSource(VenueSource):
    """VenueSource with alerts that are played."""

    def __init__(self, *, seed: int = 7, clock: Callable[[], float] = time.time, history_s: int = 70) -> None:
        self.alerts = AlertsView()
        self._made = 0
        super().__init__(seed=seed, clock=clock, history_s=history_s)

    def switch(self, mode: str) -> None:
        """Enter a state now; the market's own modes are left to VenueSource."""
        super().switch("live" if mode in MODES else mode)
        now = self._now()
        if mode == "off":
            self.alerts = AlertsView()
        elif mode == "fresh":
            self.alerts = AlertsView("running", rules_most=500)
        else:
            self._made = 0
            rules = tuple(self._rule(parse(text), hooks, state, value) for text, hooks, state, value in RULES)
            self.alerts = AlertsView(
                "failed" if mode == "failed" else "running",
                "the file of rules cannot be read: alerts.json: line 3" if mode == "failed" else "",
                rules,
                self._firings(rules, now),
                (
                    WebhookView("desk", "hooks.example.org", "json", 128, 0, 1, ""),
                    WebhookView(
                        "phone", "api.telegram.org", "telegram", 31, 2, 1, "HTTP 429: too many requests"
                    ),
                ),
                rules_most=500,
            )
            if mode == "calm":
                kept = tuple(
                    replace(each, ended_ns=each.ended_ns or now, acknowledged_ns=each.acknowledged_ns or now)
                    for each in self.alerts.firings
                )
                quiet = tuple(
                    replace(each, state="quiet" if each.enabled else "off") for each in self.alerts.rules
                )
                self.alerts = replace(self.alerts, firings=kept, rules=quiet)
        self.advance()

    def _rule(self, rule: Rule, hooks: tuple[str, ...], state: Any, value: str) -> RuleView:
        self._made += 1
        now = self._now()
        return RuleView(
            f"r{self._made}",
            rule.text,
            rule.metric,
            rule.symbol,
            rule.venue,
            rule.above,
            rule.threshold_text,
            rule.for_ns / SECOND,
            hooks,
            state != "off",
            state,
            now - self._made * 47 * SECOND,
            value,
            "binance_spot:live" if value else "",
            self._made * 3 % 7,
            now - 70 * SECOND if value else 0,
            now - 86_400 * SECOND,
        )

    def _firings(self, rules: tuple[RuleView, ...], now: int) -> tuple[FiringView, ...]:
        def sent(hook: str, state: Any, tries: int, at: int, detail: str) -> DeliveryView:
            return DeliveryView(f"{hook}-{at}", hook, state, tries, at, detail, now - 60 * SECOND)

        found = []
        for number, (rule, ago, lasted, seen, deliveries) in enumerate(
            (
                (0, 62, 0, False, (sent("desk", "delivered", 1, 0, "HTTP 200"),
                                   sent("phone", "waiting", 2, now + 21 * SECOND, "HTTP 429"))),
                (3, 190, 0, False, (sent("desk", "delivered", 1, 0, "HTTP 200"),)),
                (1, 1_240, 14, True, (sent("desk", "failed", 8, 0, "cannot connect"),)),
                (2, 5_300, 320, True, ()),
                (0, 90_400, 4_000, True, (sent("desk", "delivered", 3, 0, "HTTP 200"),)),
            )
        ):  # fmt: skip
            started = now - ago * SECOND
            found.append(
                FiringView(
                    40 - number,
                    rules[rule].id,
                    rules[rule].text,
                    "bybit_spot:live" if rule == 3 else "binance_spot:live",
                    rules[rule].symbol,
                    rules[rule].value or "1",
                    started,
                    started + lasted * SECOND if lasted else 0,
                    started + 30 * SECOND if seen else 0,
                    deliveries,
                )
            )
        return tuple(found)

    def fire(self) -> None:
        """Have the first rule come true once more."""
        rule, now = self.alerts.rules[0], self._now()
        last = self.alerts.firings[0].id if self.alerts.firings else 0
        new = FiringView(
            last + 1, rule.id, rule.text, "bybit_spot:live", rule.symbol, "104300.5", now, 0, 0, ()
        )
        self.alerts = replace(self.alerts, firings=(new, *self.alerts.firings))
        self.advance()

    def _advance(self) -> None:
        super()._advance()
        rules = tuple(
            replace(rule, value=f"{104_236.425 + 20 * math.sin(self._now() / 1e9):.3f}")
            if rule.metric == "mid" and rule.enabled
            else rule
            for rule in self.alerts.rules
        )
        self.alerts = replace(
            self.alerts,
            rules=rules,
            unacknowledged=sum(not each.acknowledged_ns for each in self.alerts.firings),
            firing=sum(rule.state == "firing" for rule in rules),
        )
        self.telemetry.board.alerts = self.alerts

    # ---------- commands ----------

    def command(self, name: str, args: dict[str, Any]) -> dict[str, Any] | None:  # type: ignore[override]
        """As the engine takes them."""
        act = getattr(self, f"_do_{name}", None)
        if act is None:
            super().command(name, args)
            return None
        self.commands.append((name, args))
        result: dict[str, Any] | None = act(dict(args))
        self.advance()
        return result

    def _read(self, args: dict[str, Any]) -> Rule:
        venues = [*self.markets, "builtin"]
        return parse(args["text"], venues) if "text" in args else rule_of(args, venues)

    def _made_rule(self, args: dict[str, Any]) -> RuleView:
        rule = self._read(args)
        return self._rule(rule, tuple(args.get("webhooks", ())), "quiet", _quiet(rule.metric))

    def _do_alert_add(self, args: dict[str, Any]) -> dict[str, Any]:
        rule = self._made_rule(args)
        self.alerts = replace(self.alerts, rules=(*self.alerts.rules, rule))
        return {"id": rule.id}

    def _do_alert_change(self, args: dict[str, Any]) -> None:
        found = next((rule for rule in self.alerts.rules if rule.id == args["id"]), None)
        if found is None:
            raise BadCommand("there is no such rule")
        if "enabled" in args:
            on = bool(args["enabled"])
            new = replace(
                found, enabled=on, state="quiet" if on else "off", value=_quiet(found.metric) if on else ""
            )
        else:
            made = self._made_rule(args)
            new = replace(made, id=found.id)
        self.alerts = replace(
            self.alerts, rules=tuple(new if rule is found else rule for rule in self.alerts.rules)
        )

    def _do_alert_remove(self, args: dict[str, Any]) -> None:
        self.alerts = replace(
            self.alerts, rules=tuple(rule for rule in self.alerts.rules if rule.id != args["id"])
        )

    def _do_alert_acknowledge(self, args: dict[str, Any]) -> None:
        now = self._now()
        self.alerts = replace(
            self.alerts,
            firings=tuple(
                replace(each, acknowledged_ns=each.acknowledged_ns or now)
                if args["id"] in (0, each.id)
                else each
                for each in self.alerts.firings
            ),
        )

    def _do_webhook_add(self, args: dict[str, Any]) -> dict[str, Any]:
        if args["template"] == "json" and not str(args["url"]).startswith(("https://", "http://")):
            raise BadCommand("a webhook's url begins with https:// or http:// and names a host")
        host = str(args["url"]).split("/")[2] if "url" in args else "api.telegram.org"
        new = WebhookView(args["name"], host, args["template"], 0, 0, 0, "")
        self.alerts = replace(self.alerts, webhooks=(*self.alerts.webhooks, new))
        return {"secret": "whs_5vK2mVxw9QyA7cH0r3TzLpE8sJdNfGbU"}

    def _do_webhook_remove(self, args: dict[str, Any]) -> None:
        self.alerts = replace(
            self.alerts, webhooks=tuple(each for each in self.alerts.webhooks if each.name != args["name"])
        )

    def _do_webhook_test(self, args: dict[str, Any]) -> dict[str, Any]:
        if args["name"] == "phone":
            return {"arrived": False, "detail": "it was refused: HTTP 404"}
        return {"arrived": True, "detail": "it arrived: HTTP 200"}
