"""What to say on one venue connection, and when: subscriptions in the venue's pace, keep-alives, answers. Pure.

Time is an argument, in nanoseconds of a clock that never goes back. `feeds.stream` sends what `next_message` gives
and hands in what `Dialect.control` reads.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from feeds.dialect import Control, StreamRules

SECOND_NS: Final = 1_000_000_000
ANSWER_WITHIN_S: Final = 10.0
FRAMING: Final = 96  # characters of a request besides its topics
QUOTING: Final = 3  # characters around each topic

Verb = Literal["subscribe", "unsubscribe"]
Compose = Callable[[Sequence[str], str], str]  # (topics, id of the request) -> its text


@dataclass(frozen=True, slots=True)
class Happened:
    """What an answer of the venue did."""

    kind: Literal["subscribed", "unsubscribed", "refused", "shutdown"]
    topics: tuple[str, ...] = ()
    text: str = ""


@dataclass(slots=True)
class _Group:
    """Topics to be sent in as few messages as fit; `alone`: not joined with others."""

    verb: Verb
    topics: list[str]
    alone: bool = False


@dataclass(frozen=True, slots=True)
class _Request:
    verb: Verb
    topics: tuple[str, ...]
    sent_ns: int


class Conversation:
    """One connection's topics. Each is wanted, then asked for, then confirmed or refused.

    A request that is refused as a whole is asked again in halves until the topic at fault stands alone: one bad
    topic costs some messages, not the others' data. Answers that name no request are the oldest's.
    """

    def __init__(
        self,
        rules: StreamRules,
        subscribe: Compose,
        unsubscribe: Compose,
        now_ns: int,
        answer_within_s: float = ANSWER_WITHIN_S,
    ) -> None:
        self.confirmed: set[str] = set()
        self.refused: dict[str, str] = {}  # and what the venue said
        self._compose = {"subscribe": subscribe, "unsubscribe": unsubscribe}
        self._rules = rules
        self._gap_ns = round(SECOND_NS / rules.messages_per_s)
        self._answer_within_ns = round(answer_within_s * SECOND_NS)
        self._queue: deque[_Group] = deque()
        self._pending: dict[str, _Request] = {}  # in the order they were sent
        self._number = 0
        self._free_ns = now_ns  # when the next message may be sent
        self._alive_ns = now_ns  # when the venue last heard a keep-alive
        self._wanted: dict[str, None] = {}

    @property
    def topics(self) -> tuple[str, ...]:
        """Topics that are wanted, in the order they were first asked for; those refused are not."""
        return tuple(self._wanted)

    @property
    def settled(self) -> bool:
        """Whether nothing is left to be sent or answered."""
        return not self._queue and not self._pending

    def want(self, topics: Iterable[str]) -> None:
        """Subscribe to these, those that are wanted already left out."""
        new = [topic for topic in dict.fromkeys(topics) if topic not in self._wanted]
        self._wanted.update(dict.fromkeys(new))
        for topic in new:
            self.refused.pop(topic, None)
        self._say("subscribe", new)

    def drop(self, topics: Iterable[str]) -> None:
        """Unsubscribe from these; those not yet asked for are simply not asked for."""
        leaving = [topic for topic in dict.fromkeys(topics) if topic in self._wanted]
        unsent = {t for group in self._queue if group.verb == "subscribe" for t in group.topics}
        for topic in leaving:
            del self._wanted[topic]
            self.confirmed.discard(topic)
        for group in self._queue:
            if group.verb == "subscribe":
                group.topics = [topic for topic in group.topics if topic not in leaving]
        self._queue = deque(group for group in self._queue if group.topics)
        self._say("unsubscribe", [topic for topic in leaving if topic not in unsent])

    def renew(self, topics: Iterable[str]) -> None:
        """Unsubscribe from these and subscribe again, so that the venue sends their snapshots anew."""
        again = [topic for topic in topics if topic in self._wanted]
        self.drop(again)
        self.want(again)

    def next_message(self, now_ns: int) -> str | None:
        """What may and should be sent now; None when nothing. What is returned counts as sent."""
        if now_ns < self._free_ns:
            return None
        keep_alive = self._rules.keep_alive
        if keep_alive is not None and now_ns - self._alive_ns >= keep_alive.every_s * SECOND_NS:
            self._alive_ns = now_ns
            self._free_ns = now_ns + self._gap_ns
            return keep_alive.text
        if not self._queue:
            return None
        group = self._queue[0]
        count = self._fitting(group.topics)
        topics, group.topics = tuple(group.topics[:count]), group.topics[count:]
        if not group.topics:
            self._queue.popleft()
        self._number += 1
        request = str(self._number)
        self._pending[request] = _Request(group.verb, topics, now_ns)
        self._free_ns = now_ns + self._gap_ns
        return self._compose[group.verb](topics, request)

    def wait_ns(self, now_ns: int) -> int | None:
        """Nanoseconds until something is to be sent, or an answer is overdue; None when neither will be."""
        moments = []
        if self._queue:
            moments.append(self._free_ns)
        if self._rules.keep_alive is not None:
            due_ns = self._alive_ns + round(self._rules.keep_alive.every_s * SECOND_NS)
            moments.append(max(due_ns, self._free_ns))
        if self._pending:
            moments.append(next(iter(self._pending.values())).sent_ns + self._answer_within_ns)
        return max(0, min(moments) - now_ns) if moments else None

    def overdue(self, now_ns: int) -> bool:
        """Whether the venue owes an answer for too long."""
        oldest = next(iter(self._pending.values()), None)
        return oldest is not None and now_ns - oldest.sent_ns >= self._answer_within_ns

    def on_control(self, control: Control) -> Happened | None:
        """What an answer means for the topics; None when it means nothing for them."""
        if control.kind == "shutdown":
            return Happened("shutdown", text=control.text)
        if control.kind not in ("ack", "refused"):
            return None
        request = self._pending.pop(control.request, None)
        if request is None:
            if control.request or not self._pending:
                return None  # an answer to what was never asked, or was answered before
            request = self._pending.pop(next(iter(self._pending)))
        if control.kind == "ack":
            if request.verb == "unsubscribe":
                return Happened("unsubscribed", request.topics)
            now = tuple(topic for topic in request.topics if topic in self._wanted)
            self.confirmed.update(now)
            return Happened("subscribed", now)
        if request.verb == "unsubscribe":
            return None  # what we asked to be rid of and was not there is no loss
        left = [topic for topic in request.topics if topic in self._wanted]
        if len(request.topics) > 1:  # any of them may be the bad one, also one that was dropped since
            half = len(left) // 2
            for part in (left[half:], left[:half]):
                if part:
                    self._queue.appendleft(_Group("subscribe", part, True))
            return None
        for topic in left:
            del self._wanted[topic]
            self.refused[topic] = control.text
        return Happened("refused", tuple(left), control.text)

    def _say(self, verb: Verb, topics: list[str]) -> None:
        if not topics:
            return
        last = self._queue[-1] if self._queue else None
        if last is not None and last.verb == verb and not last.alone:
            last.topics += topics
        else:
            self._queue.append(_Group(verb, list(topics)))

    def _fitting(self, topics: list[str]) -> int:
        """How many leading topics one message takes; at least one."""
        room = self._rules.characters_per_message - FRAMING
        count = 0
        for topic in topics[: self._rules.topics_per_message]:
            room -= len(topic) + QUOTING
            if room < 0:
                break
            count += 1
        return max(1, count)
