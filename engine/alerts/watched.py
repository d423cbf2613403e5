"""A rule that is watched: what is kept of it, its judge, and what is seen of it."""

from __future__ import annotations

from engine.alerts.judge import Judge
from engine.alerts.records import FiringRecord, RuleRecord
from engine.alerts.rules import SECOND_NS, Rule
from engine.alerts.views import RuleState, RuleView


class Watched:
    """`firing` is the one that goes on; a rule that was firing before a restart goes on with it."""

    def __init__(self, record: RuleRecord, rule: Rule, now_ns: int, firing: FiringRecord | None) -> None:
        self.record, self.rule, self.firing = record, rule, firing
        self.judge = self._new_judge(now_ns, firing)
        self._seen: tuple[RuleState, str, str] | None = None
        self.refresh()

    def begin_anew(self, rule: Rule, now_ns: int) -> None:
        """Judge by this rule, from nothing."""
        self.rule = rule
        self.record.text = rule.text
        self.judge = self._new_judge(now_ns, None)
        self.touched()

    def touched(self) -> None:
        """What is kept of it changed."""
        self._seen = None

    def refresh(self) -> bool:
        """Make `view` anew where something changed; whether it did."""
        judge = self.judge
        state: RuleState = judge.state if self.record.enabled else "off"
        seen = (state, judge.value, judge.where)
        if seen == self._seen:
            return False
        self._seen = seen
        record, rule = self.record, self.rule
        self.view = RuleView(
            id=record.id,
            text=record.text,
            metric=rule.metric,
            symbol=rule.symbol,
            venue=rule.venue,
            above=rule.above,
            threshold=rule.threshold_text,
            for_s=rule.for_ns / SECOND_NS,
            webhooks=record.webhooks,
            enabled=record.enabled,
            state=state,
            since_ns=judge.since_ns,
            value=judge.value,
            where=judge.where,
            fired=record.fired,
            fired_ns=record.fired_ns,
            created_ns=record.created_ns,
            stage=rule.stage,
        )
        return True

    def _new_judge(self, now_ns: int, firing: FiringRecord | None) -> Judge:
        rule = self.rule
        judge = Judge(
            rule.above, rule.threshold, rule.for_ns, now_ns, firing.source if firing is not None else ""
        )
        if firing is not None:
            judge.since_ns = firing.started_ns
        return judge
