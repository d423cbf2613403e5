from __future__ import annotations

import itertools
import json
from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from feeds.conversation import Conversation, Happened
from feeds.dialect import Control, KeepAlive, StreamRules

S = 1_000_000_000
RULES = StreamRules(messages_per_s=4, topics_per_message=3, topics_per_connection=100)


def compose(verb: str):
    return lambda topics, request: json.dumps([verb, list(topics), request])


def conversation(rules: StreamRules = RULES) -> Conversation:
    return Conversation(rules, compose("subscribe"), compose("unsubscribe"), 0)


def said(talk: Conversation, now_ns: int) -> tuple[str, list[str], str] | None:
    text = talk.next_message(now_ns)
    return None if text is None else tuple(json.loads(text))


def test_topics_go_out_in_messages_of_the_venues_size_and_pace() -> None:
    talk = conversation()
    talk.want(f"t{n}" for n in range(7))
    sent, now = [], 0
    while not talk.settled and len(sent) < 3:
        wait = talk.wait_ns(now)
        assert wait is not None
        now += wait
        message = said(talk, now)
        assert message is not None
        sent.append((now, len(message[1])))
    assert sent == [(0, 3), (S // 4, 3), (S // 2, 1)]


def test_a_message_has_at_most_so_many_characters() -> None:
    rules = StreamRules(
        messages_per_s=4, topics_per_message=100, topics_per_connection=100, characters_per_message=300
    )
    talk = conversation(rules)
    talk.want(f"topic-number-{n:04}" for n in range(30))
    now, topics = 0, []
    while (message := talk.next_message(now)) is not None:
        assert len(message) <= 300
        topics += json.loads(message)[1]
        now += S
    assert topics == [f"topic-number-{n:04}" for n in range(30)]


def test_answers_confirm_and_a_topic_wanted_twice_is_asked_for_once() -> None:
    talk = conversation()
    talk.want(["a", "b"])
    talk.want(["b"])
    assert said(talk, 0) == ("subscribe", ["a", "b"], "1")
    assert not talk.settled
    assert talk.on_control(Control("ack", "1")) == Happened("subscribed", ("a", "b"))
    assert talk.settled
    assert talk.confirmed == {"a", "b"}
    assert talk.next_message(S) is None
    assert talk.on_control(Control("ack", "1")) is None


def test_a_refused_request_is_halved_until_the_topic_at_fault_stands_alone() -> None:
    rules = StreamRules(messages_per_s=4, topics_per_message=8, topics_per_connection=100)
    talk = conversation(rules)
    topics = [f"t{n}" for n in range(8)]
    talk.want(topics)
    now, refused = 0, []
    for _ in range(40):
        message = said(talk, now)
        now += S
        if message is None:
            break
        _, asked, request = message
        happened = talk.on_control(
            Control("refused", request, "no such") if "t5" in asked else Control("ack", request)
        )
        if happened is not None and happened.kind == "refused":
            refused.append(happened)
    assert refused == [Happened("refused", ("t5",), "no such")]
    assert talk.settled
    assert talk.confirmed == set(topics) - {"t5"}
    assert talk.refused == {"t5": "no such"}
    assert "t5" not in talk.topics


def test_a_refusal_that_names_no_request_is_the_oldests() -> None:
    talk = conversation()
    talk.want(["a"])
    said(talk, 0)
    assert talk.on_control(Control("refused", "", "bad")) == Happened("refused", ("a",), "bad")
    assert talk.on_control(Control("refused", "", "bad")) is None


def test_a_topic_dropped_before_it_was_asked_for_is_never_asked_for() -> None:
    talk = conversation()
    talk.want(["a", "b"])
    talk.drop(["a"])
    assert said(talk, 0) == ("subscribe", ["b"], "1")
    talk.drop(["b"])
    assert said(talk, S) == ("unsubscribe", ["b"], "2")
    assert talk.on_control(Control("ack", "1")) == Happened("subscribed", ())
    assert talk.confirmed == set()
    assert talk.on_control(Control("refused", "2", "was not there")) is None
    assert talk.settled


def test_renewing_unsubscribes_first() -> None:
    talk = conversation()
    talk.want(["a", "b"])
    said(talk, 0)
    talk.on_control(Control("ack", "1"))
    talk.renew(["a", "never wanted"])
    assert said(talk, S) == ("unsubscribe", ["a"], "2")
    assert said(talk, S + 1) is None  # the venue's pace
    assert said(talk, 2 * S) == ("subscribe", ["a"], "3")


def test_no_answer_is_overdue_in_the_end() -> None:
    talk = conversation()
    talk.want(["a"])
    said(talk, 0)
    assert talk.wait_ns(0) == 10 * S
    assert not talk.overdue(10 * S - 1)
    assert talk.overdue(10 * S)


def test_keep_alives_come_in_their_interval_before_anything_else() -> None:
    rules = StreamRules(4, 10, 100, keep_alive=KeepAlive("ping", 20))
    talk = conversation(rules)
    assert talk.wait_ns(0) == 20 * S
    talk.want(["a"])
    assert talk.next_message(20 * S) == "ping"
    assert said(talk, 20 * S + S // 4) == ("subscribe", ["a"], "1")
    assert talk.next_message(40 * S - 1) is None
    assert talk.next_message(40 * S) == "ping"


def test_a_shutdown_notice_is_told() -> None:
    assert conversation().on_control(Control("shutdown", text="soon")) == Happened("shutdown", (), "soon")
    assert conversation().on_control(Control("pong")) is None


class Venue:
    """A venue that does as it is told: the topics it would send."""

    def __init__(self, bad: frozenset[str]) -> None:
        self.topics: set[str] = set()
        self.bad = bad

    def hear(self, verb: str, topics: Sequence[str]) -> str:
        if verb == "subscribe":
            if self.bad & set(topics):
                return "refused"
            self.topics |= set(topics)
        else:
            self.topics -= set(topics)
        return "ack"


def test_a_topic_is_not_blamed_for_one_that_was_dropped_meanwhile() -> None:
    talk = conversation()
    talk.want(["bad", "good"])
    _, _, number = said(talk, 0)
    talk.drop(["bad"])
    assert talk.on_control(Control("refused", number, "no")) is None
    assert talk.topics == ("good",)
    verb, topics, number = said(talk, S)
    assert (verb, list(topics)) == ("subscribe", ["good"])
    talk.on_control(Control("ack", number, ""))
    assert talk.confirmed == {"good"}


@given(st.data())
def test_whatever_is_wanted_and_dropped_the_venue_ends_with_what_is_wanted(data) -> None:
    names = [f"t{n}" for n in range(10)]
    venue = Venue(frozenset(data.draw(st.sets(st.sampled_from(names), max_size=3))))
    talk = conversation()
    wanted: set[str] = set()
    now, times = 0, []
    answers: list[Control] = []

    def step() -> None:
        nonlocal now
        message = said(talk, now)
        if message is not None:
            times.append(now)
            answers.append(Control(venue.hear(message[0], message[1]), message[2], "no"))

    for _ in range(data.draw(st.integers(0, 25))):
        now += data.draw(st.integers(0, S))
        some = data.draw(st.lists(st.sampled_from(names), max_size=5))
        match data.draw(st.sampled_from(["want", "drop", "renew", "send", "answer"])):
            case "want":
                talk.want(some)
                wanted |= set(some)
            case "drop":
                talk.drop(some)
                wanted -= set(some)
            case "renew":
                talk.renew(some)
            case "send":
                step()
            case "answer" if answers:
                talk.on_control(answers.pop(0))
    for _ in range(500):
        if talk.settled:
            break
        now += S
        step()
        while answers:
            talk.on_control(answers.pop(0))
    assert talk.settled
    assert venue.topics == wanted - venue.bad
    assert talk.confirmed == venue.topics
    assert all(later - earlier >= S // 4 for earlier, later in itertools.pairwise(times))
