"""Alerts as a whole: a rule fires, is told, delivered and kept, over restarts and failing disks."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path
from typing import Any

import pytest

from engine.alerts import alerts as module
from engine.alerts import courier
from engine.alerts.commands import carry_out
from engine.alerts.deliver import Answer, Outgoing, signature
from engine.alerts.rules import BadRule
from engine.alerts.store import AlertsUnusable, Database
from engine.errors import BadCommand
from tests.alerts.market import Market
from tests.alerts.receiver import receiving
from tests.alerts.running import ABOVE, on_a_loop, running


class Refusing:
    """A `Post` that answers what it is told to, and keeps what it was given."""

    def __init__(self, *answers: Answer) -> None:
        self.answers = list(answers)
        self.sent: list[Outgoing] = []

    async def __call__(self, request: Outgoing) -> Answer:
        self.sent.append(request)
        return self.answers.pop(0) if self.answers else Answer(200)

    async def close(self) -> None:
        pass


@on_a_loop
async def test_a_rule_fires_is_told_acknowledged_and_ends(tmp_path: Path, market: Market) -> None:
    async with running(tmp_path, market) as rig:
        id_ = await rig.add(ABOVE)
        rig.look()
        (rule,) = rig.alerts.view.rules
        assert (rule.id, rule.state, rule.value, rule.where) == (id_, "quiet", "600.00", "binance_spot:live")
        market.book("builtin:sim", 70_001, 70_001)
        rig.look()
        assert rig.alerts.view.rules[0].state == "pending"
        rig.look(10)
        view = rig.alerts.view
        assert (view.rules[0].state, view.rules[0].fired, view.firing, view.unacknowledged) == (
            "firing",
            1,
            1,
            1,
        )
        (firing,) = view.firings
        assert (firing.source, firing.value, firing.text) == ("builtin:sim", "700.01", ABOVE)
        await rig.until(lambda: rig.told == [("fired", 1)])
        assert await rig.alerts.acknowledge(0) == 1
        assert await rig.alerts.acknowledge(firing.id) == 0
        market.book("builtin:sim", 1, 1)
        rig.look()
        await rig.until(lambda: rig.told == [("fired", 1), ("acknowledged", 1), ("ended", 1)])
        (firing,) = rig.alerts.view.firings
        assert firing.ended_ns == market.now_ns > firing.started_ns
        assert (rig.alerts.view.unacknowledged, rig.alerts.view.firing) == (0, 0)
        assert [note[0] for note in rig.notes] == ["warn", "info"]


@on_a_loop
async def test_a_delivery_is_signed_and_says_everything(tmp_path: Path, market: Market) -> None:
    async with receiving() as receiver, running(tmp_path, market) as rig:
        secret = await rig.alerts.add_webhook("ops", {"url": receiver.url + "/hook?x=1"})
        await rig.add(ABOVE, "ops")
        market.book("builtin:sim", 70_001, 70_001)
        rig.look(4)
        await rig.until(lambda: rig.alerts.view.webhooks[0].delivered)
        (got,) = receiver.got
        said = json.loads(got.body)
        (firing,) = rig.alerts.view.firings
        assert said["text"] == ABOVE
        assert (said["value"], said["source"], said["symbol"]) == ("700.01", "builtin:sim", "BTC-USDT")
        assert (said["firing"], said["started_ms"]) == (firing.id, firing.started_ns // 10**6)
        assert said["id"] == got.headers["Venuescope-Delivery"] == firing.deliveries[0].id
        moment = int(got.headers["Venuescope-Signature"].partition(",")[0][2:])
        assert got.headers["Venuescope-Signature"] == signature(secret, moment, got.body)
        assert (firing.deliveries[0].state, firing.deliveries[0].detail) == ("delivered", "HTTP 200")
        assert rig.alerts.view.webhooks[0].host == receiver.url.removeprefix("http://")


@on_a_loop
async def test_a_failed_delivery_is_tried_again_until_it_arrives(tmp_path: Path, market: Market) -> None:
    post = Refusing(Answer(503), Answer(0, "no connection", sent=False), Answer(429, retry_after="40"))
    async with running(tmp_path, market, post) as rig:
        await rig.alerts.add_webhook("ops", {"url": "https://example.org"})
        await rig.add(ABOVE, "ops")
        market.book("builtin:sim", 70_001, 70_001)
        rig.look(4)
        for attempt, at_least, at_most in ((1, 0.5, 1), (2, 1, 2), (3, 40, 40)):
            await rig.until(lambda n=attempt: rig.alerts.view.firings[0].deliveries[0].attempts == n)
            await rig.until(lambda: rig.alerts.view.firings[0].deliveries[0].state == "waiting")
            delivery = rig.alerts.view.firings[0].deliveries[0]
            assert at_least * 10**9 <= delivery.next_ns - market.now_ns <= at_most * 10**9
            assert len(post.sent) == attempt
            market.wait(at_most)
            rig.alerts._courier._wake.set()
        await rig.until(lambda: rig.alerts.view.webhooks[0].delivered)
        assert len({sent.headers["Venuescope-Delivery"] for sent in post.sent}) == 1
        assert len({sent.body for sent in post.sent}) == 1
        assert rig.alerts.view.webhooks[0].detail == ""


class Broken(Refusing):
    """A `Post` with a mistake in it."""

    async def __call__(self, request: Outgoing) -> Answer:
        await super().__call__(request)
        if len(self.sent) == 1:
            raise OverflowError("a mistake")
        return Answer(200)


@on_a_loop
async def test_a_mistake_of_ours_is_an_attempt_that_failed(tmp_path: Path, market: Market) -> None:
    post = Broken()
    async with running(tmp_path, market, post) as rig:
        await rig.alerts.add_webhook("ops", {"url": "https://example.org"})
        await rig.add(ABOVE, "ops")
        market.book("builtin:sim", 70_001, 70_001)
        rig.look(4)
        await rig.until(lambda: rig.alerts.view.firings[0].deliveries[0].detail)
        delivery = rig.alerts.view.firings[0].deliveries[0]
        assert (delivery.state, delivery.detail) == ("waiting", "it could not be sent: the log says more")
        market.wait(1)
        rig.alerts._courier._wake.set()
        await rig.until(lambda: rig.alerts.view.webhooks[0].delivered)


@on_a_loop
async def test_an_answer_that_asks_for_a_year_that_is_none_is_tried_again(
    tmp_path: Path, market: Market
) -> None:
    async with receiving() as receiver, running(tmp_path, market) as rig:
        receiver.answer = lambda _: 503 if len(receiver.got) == 1 else 200
        receiver.headers = {"Retry-After": "Mon, 01 Jan 99999999999999999999 00:00:00 GMT"}
        await rig.alerts.add_webhook("ops", {"url": receiver.url})
        await rig.add(ABOVE, "ops")
        market.book("builtin:sim", 70_001, 70_001)
        rig.look(4)
        await rig.until(lambda: rig.alerts.view.firings[0].deliveries[0].detail)
        delivery = rig.alerts.view.firings[0].deliveries[0]
        assert (delivery.state, delivery.detail) == ("waiting", "HTTP 503")
        market.wait(1)
        rig.alerts._courier._wake.set()
        await rig.until(lambda: rig.alerts.view.webhooks[0].delivered)


@on_a_loop
async def test_few_deliveries_are_under_way_at_once(tmp_path: Path, market: Market) -> None:
    async with receiving() as receiver, running(tmp_path, market) as rig:
        receiver.gate = asyncio.Event()
        names = ["a", "b", "c"]
        for name in names:
            await rig.alerts.add_webhook(name, {"url": f"{receiver.url}/{name}"})
        for at in range(4):
            await rig.add(f"BTC/USDT mid above {100 + at}", *names)
        rig.look(2)
        await rig.until(lambda: len(receiver.got) == courier.AT_ONCE)
        assert [one.path for one in receiver.got].count("/a") == courier.AT_ONCE_EACH
        receiver.gate.set()
        await rig.until(lambda: sum(w.delivered for w in rig.alerts.view.webhooks) == 12)
        assert receiver.most_under_way == courier.AT_ONCE
        assert set(receiver.arrivals().values()) == {1}


@on_a_loop
async def test_what_was_firing_at_the_end_does_not_fire_again_and_numbers_go_on(
    tmp_path: Path, market: Market
) -> None:
    post = Refusing()
    async with running(tmp_path, market, post) as rig:
        await rig.alerts.add_webhook("ops", {"url": "https://example.org"})
        id_ = await rig.add(ABOVE, "ops")
        market.book("builtin:sim", 70_001, 70_001)
        rig.look(4)
        await rig.until(lambda: rig.alerts.view.webhooks[0].delivered)
    market.book("builtin:sim", 70_001, 70_001, state="BUFFERING")
    async with running(tmp_path, market, post) as rig:
        rig.look(8)
        assert rig.alerts.view.rules[0].state == "firing"
        market.book("builtin:sim", 70_001, 70_001)
        rig.look(8)
        assert (rig.alerts.view.rules[0].fired, len(rig.alerts.view.firings), len(post.sent)) == (1, 1, 1)
        market.book("builtin:sim", 1, 1)
        rig.look(40)
        market.book("builtin:sim", 70_001, 70_001)
        rig.look(4)
        assert [(f.id, f.rule, bool(f.ended_ns)) for f in rig.alerts.view.firings] == [
            (2, id_, False),
            (1, id_, True),
        ]
        await rig.until(lambda: len(post.sent) == 2)


@on_a_loop
async def test_an_attempt_under_way_at_the_end_is_unknown_and_not_sent_again(
    tmp_path: Path, market: Market, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(courier, "ENDING_S", 0.01)
    async with receiving() as receiver:
        receiver.gate = asyncio.Event()
        async with running(tmp_path, market) as rig:
            await rig.alerts.add_webhook("ops", {"url": receiver.url})
            await rig.add(ABOVE, "ops")
            market.book("builtin:sim", 70_001, 70_001)
            rig.look(4)
            await receiver.news.wait()
        receiver.gate.set()
        async with running(tmp_path, market) as rig:
            (delivery,) = rig.alerts.view.firings[0].deliveries
            assert (delivery.state, delivery.attempts) == ("unknown", 1)
            assert "not sent again" in delivery.detail
            await rig.alerts.test_webhook("ops")  # whatever was due went before it
            assert len(receiver.got) == 2


@on_a_loop
async def test_a_rule_that_is_changed_starts_anew(tmp_path: Path, market: Market) -> None:
    async with running(tmp_path, market) as rig:
        id_ = await rig.add("BTC/USDT mid above 550")
        rig.look()
        assert rig.alerts.view.rules[0].state == "firing"
        await carry_out(rig.alerts, "alert_change", {"id": id_, "webhooks": []})
        assert rig.alerts.view.rules[0].state == "firing"
        await carry_out(rig.alerts, "alert_change", {"id": id_, "text": "BTC/USDT mid above 590 for 1 s"})
        assert (rig.alerts.view.rules[0].state, rig.alerts.view.firings[0].ended_ns) == (
            "no data",
            market.now_ns,
        )
        rig.look(4)
        assert rig.alerts.view.rules[0].state == "pending"
        rig.look()
        assert rig.alerts.view.rules[0].state == "firing"
        await carry_out(rig.alerts, "alert_change", {"id": id_, "enabled": False})
        rig.look()
        assert (rig.alerts.view.rules[0].state, rig.alerts.view.firing) == ("off", 0)
        await carry_out(rig.alerts, "alert_remove", {"id": id_})
        assert rig.alerts.view.rules == ()
        assert len(rig.alerts.view.firings) == 2


@on_a_loop
async def test_everything_is_there_again_after_a_restart(tmp_path: Path, market: Market) -> None:
    async with running(tmp_path, market) as rig:
        await rig.alerts.add_webhook("bot", {"template": "telegram", "token": "1:abc", "chat_id": 5})
        await rig.add(ABOVE, "bot")
        rig.look()
        await carry_out(
            rig.alerts, "alert_add", {"metric": "gaps", "above": True, "threshold": "3", "enabled": False}
        )
        before = rig.alerts.view
    raw = b"".join(path.read_bytes() for path in tmp_path.glob("alerts.sqlite*"))
    assert b"api.telegram.org" in raw  # the host is shown
    assert b"1:abc" not in raw
    async with running(tmp_path, market) as rig:
        after = rig.alerts.view
        assert [(r.id, r.text, r.webhooks, r.enabled) for r in after.rules] == [
            (r.id, r.text, r.webhooks, r.enabled) for r in before.rules
        ]
        assert after.webhooks == before.webhooks
        assert rig.alerts._targets["bot"].url == "https://api.telegram.org/bot1:abc/sendMessage"


@on_a_loop
async def test_what_is_kept_is_bounded(
    tmp_path: Path, market: Market, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "FIRINGS_KEPT", 4)
    monkeypatch.setattr(module, "RULES_MOST", 2)
    monkeypatch.setattr(module, "WEBHOOKS_MOST", 1)
    async with running(tmp_path, market) as rig:
        await rig.add(ABOVE)
        await rig.add("BTC/USDT mid above 1")  # goes on firing
        with pytest.raises(BadCommand, match="2 rules already"):
            await rig.add(ABOVE)
        await rig.alerts.add_webhook("ops", {"url": "https://example.org"})
        with pytest.raises(BadCommand, match="1 webhooks already"):
            await rig.alerts.add_webhook("more", {"url": "https://example.org"})
        for at in range(6):
            market.book("builtin:sim", 70_001, 70_001)
            rig.look(4)
            market.book("builtin:sim", 1, 1)
            rig.look(21)
            if at == 1:
                await rig.alerts.acknowledge(3)
        await rig.alerts.acknowledge(0)
        kept = [firing.id for firing in rig.alerts.view.firings]
        assert kept == [7, 6, 5, 1]
    async with running(tmp_path, market) as rig:
        assert [firing.id for firing in rig.alerts.view.firings] == kept


@on_a_loop
async def test_an_acknowledged_firing_goes_before_an_older_one(
    tmp_path: Path, market: Market, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "FIRINGS_KEPT", 3)
    async with running(tmp_path, market) as rig:
        await rig.add(ABOVE)
        for at in range(4):
            market.book("builtin:sim", 70_001, 70_001)
            rig.look(4)
            market.book("builtin:sim", 1, 1)
            rig.look(21)
            if at == 2:
                await rig.alerts.acknowledge(2)
        assert [firing.id for firing in rig.alerts.view.firings] == [4, 3, 1]


@on_a_loop
async def test_a_webhook_that_is_removed_takes_what_waits_for_it(tmp_path: Path, market: Market) -> None:
    post = Refusing(Answer(500))
    async with running(tmp_path, market, post) as rig:
        await rig.alerts.add_webhook("ops", {"url": "https://example.org"})
        await rig.add("BTC/USDT mid above 1", "ops")
        rig.look()
        await rig.until(lambda: rig.alerts.view.firings[0].deliveries[0].detail == "HTTP 500")
        await carry_out(rig.alerts, "webhook_remove", {"name": "ops"})
        (delivery,) = rig.alerts.view.firings[0].deliveries
        assert (delivery.state, delivery.detail) == ("failed", "the webhook was removed")
        assert (rig.alerts.view.webhooks, rig.alerts.view.rules[0].webhooks) == ((), ())
        with pytest.raises(BadRule, match="“ops” is no webhook"):
            await rig.add(ABOVE, "ops")


@on_a_loop
async def test_a_damaged_file_is_left_alone_and_alerts_say_so(
    tmp_path: Path, market: Market, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "RETRY_S", 0.01)
    path = tmp_path / "alerts.sqlite"
    path.write_bytes(b"no database at all" * 1_000)
    async with running(tmp_path, market, until="failed") as rig:
        assert "damaged" in rig.alerts.view.detail
        assert str(path) in rig.alerts.view.detail
        with pytest.raises(BadCommand, match="alerts do not run"):
            await rig.add(ABOVE)
        assert path.read_bytes() == b"no database at all" * 1_000
        assert len(rig.notes) == 1
        path.rename(tmp_path / "elsewhere")
        await rig.until(lambda: rig.alerts.view.state == "running")


@on_a_loop
async def test_a_disk_that_fails_stops_alerts_until_it_works_again(
    tmp_path: Path, market: Market, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "RETRY_S", 0.01)
    monkeypatch.setattr(module, "LOOK_S", 0.01)
    post = Refusing()
    async with running(tmp_path, market, post) as rig:
        await rig.alerts.add_webhook("ops", {"url": "https://example.org"})
        id_ = await rig.add(ABOVE, "ops")
        with monkeypatch.context() as broken:

            def full(self: Database, steps: list[Any]) -> None:
                raise AlertsUnusable(str(self.path), "cannot be written: disk full")

            broken.setattr(Database, "apply", full)
            broken.setattr(module, "RETRY_S", 60.0)
            with pytest.raises(BadCommand, match="disk full"):
                await rig.add("BTC/USDT mid above 2")
            await rig.until(lambda: rig.alerts.view.state == "failed")
            assert post.sent == []
    async with running(tmp_path, market, post) as rig:
        assert [rule.id for rule in rig.alerts.view.rules] == [id_]


@on_a_loop
async def test_two_programs_do_not_share_a_folder(tmp_path: Path, market: Market) -> None:
    async with running(tmp_path, market) as first:
        assert not list(tmp_path.rglob("alerts.sqlite"))  # nobody has a rule yet
        await first.add("BTC/USDT mid above 900")
        async with running(tmp_path, market, until="failed") as second:
            assert "another Venuescope" in second.alerts.view.detail


@on_a_loop
async def test_a_test_says_what_came_of_it(tmp_path: Path, market: Market) -> None:
    async with receiving() as receiver, running(tmp_path, market) as rig:
        await rig.alerts.add_webhook("ops", {"url": receiver.url})
        assert await carry_out(rig.alerts, "webhook_test", {"name": "ops"}) == {
            "arrived": True,
            "detail": "it arrived: HTTP 200",
        }
        receiver.answer = lambda _: 404
        assert await carry_out(rig.alerts, "webhook_test", {"name": "ops"}) == {
            "arrived": False,
            "detail": "it was refused: HTTP 404",
        }
        rig.look()
        assert rig.alerts.view.webhooks[0].detail == "test: HTTP 404"
        assert json.loads(receiver.got[0].body)["text"].startswith("This is a test")


@on_a_loop
async def test_two_hundred_rules_are_judged_without_holding_the_loop(tmp_path: Path, market: Market) -> None:
    async with running(tmp_path, market) as rig:
        metrics = ("bid", "ask", "mid", "spread")
        for at in range(200):
            await rig.add(f"BTC/USDT {metrics[at % 4]} above {900 + at}")
        calls = 0
        real = rig.alerts._values._price

        def counted(*args: Any) -> Any:
            nonlocal calls
            calls += 1
            return real(*args)

        rig.alerts._values._price = counted
        started = time.perf_counter()
        rig.look(40)
        print(f"{(time.perf_counter() - started) / 40 * 1e3:.2f} ms a round")
        assert (
            calls == 40 * len(metrics) * 2
        )  # each metric of each source once a round, however many rules ask
