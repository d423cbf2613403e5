"""What pages may have alerts do. Arguments come from a browser: each is checked, and refused with a sentence."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

from engine.alerts.alerts import WEBHOOKS_MOST, Alerts
from engine.alerts.deliver import Answer, BadTarget
from engine.alerts.rules import BadRule, Rule, parse, rule_of
from engine.arguments import Args, flag, names, text
from engine.errors import BadCommand

TEST_WAIT_S: Final = 1.5  # below what a page waits for a command
PARTS: Final = ("metric", "symbol", "venue", "stage", "above", "threshold", "for_s")
FIRING_MOST: Final = 1 << 53
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,39}")


async def carry_out(alerts: Alerts, name: str, args: Args) -> dict[str, Any] | None:
    """What came of it. BadCommand with a sentence when it cannot be done; nothing has changed then."""
    return await _COMMANDS[name](alerts, args)


def rule_in(alerts: Alerts, args: Args) -> Rule | None:
    """The rule in arguments, as a sentence in `text` or in parts; None where there is none. BadRule as `parse`."""
    given = args.get("text")
    if given is not None:
        if not isinstance(given, str):
            raise BadRule("", "text must be the rule's sentence")
        return parse(given, alerts.venues())
    return rule_of(args, alerts.venues()) if "metric" in args else None


def told(answer: Answer) -> str:
    """What came of a test, as a sentence."""
    if 200 <= answer.status < 300:
        return f"it arrived: HTTP {answer.status}"
    return answer.detail or f"it was refused: HTTP {answer.status}"


async def _alert_add(alerts: Alerts, args: Args) -> dict[str, Any]:
    rule = rule_in(alerts, args)
    if rule is None:
        raise BadCommand("alert_add needs a rule: its sentence in text, or metric, threshold and the rest")
    enabled = flag(args, "enabled") if "enabled" in args else True
    return {"id": await alerts.add(rule, names(args, "webhooks", WEBHOOKS_MOST), enabled)}


async def _alert_change(alerts: Alerts, args: Args) -> None:
    if "metric" not in args and "text" not in args and any(part in args for part in PARTS):
        raise BadCommand(
            "to change a rule give all of it: its sentence in text, or metric, threshold and the rest"
        )
    webhooks = names(args, "webhooks", WEBHOOKS_MOST) if "webhooks" in args else None
    enabled = flag(args, "enabled") if "enabled" in args else None
    await alerts.change(text(args, "id"), rule_in(alerts, args), webhooks, enabled)


async def _alert_remove(alerts: Alerts, args: Args) -> None:
    await alerts.remove(text(args, "id"))


async def _alert_acknowledge(alerts: Alerts, args: Args) -> dict[str, Any]:
    number = args.get("id")
    if not isinstance(number, int) or isinstance(number, bool) or not 0 <= number < FIRING_MOST:
        raise BadCommand("id must be the number of a firing, or 0 for all")
    return {"acknowledged": await alerts.acknowledge(number)}


async def _webhook_add(alerts: Alerts, args: Args) -> dict[str, Any]:
    return {"secret": await alerts.add_webhook(webhook_name(args), args)}


async def _webhook_remove(alerts: Alerts, args: Args) -> None:
    await alerts.remove_webhook(text(args, "name"))


async def _webhook_test(alerts: Alerts, args: Args) -> dict[str, Any]:
    test = asyncio.ensure_future(alerts.test_webhook(text(args, "name")))
    done, _ = await asyncio.wait([test], timeout=TEST_WAIT_S)
    if not done:
        test.add_done_callback(_looked_at)
        return {"detail": "no answer yet; the webhook's line will say if it failed"}
    answer = test.result()
    return {"arrived": 200 <= answer.status < 300, "detail": told(answer)}


def webhook_name(args: Args) -> str:
    """The name in arguments: it stands in addresses, so few characters are allowed."""
    name = args.get("name")
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise BadTarget(
            "a webhook's name is 1 to 40 letters, digits, points, dashes or underlines, as ops-team"
        )
    return name


def _looked_at(test: asyncio.Future[Answer]) -> None:
    """What comes late is shown in the webhook's line; what it raised, if it was removed meanwhile, is of no use."""
    if not test.cancelled():
        test.exception()


_COMMANDS: Final[Mapping[str, Callable[[Alerts, Args], Awaitable[dict[str, Any] | None]]]] = {
    "alert_add": _alert_add,
    "alert_change": _alert_change,
    "alert_remove": _alert_remove,
    "alert_acknowledge": _alert_acknowledge,
    "webhook_add": _webhook_add,
    "webhook_remove": _webhook_remove,
    "webhook_test": _webhook_test,
}
COMMANDS: Final = frozenset(_COMMANDS)
