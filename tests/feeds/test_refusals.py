"""Topics that a venue refuses."""

from __future__ import annotations

from feeds.refusals import TEXT_MOST, Refusals

SECOND = 1_000_000_000


def test_a_topic_is_asked_for_again_after_a_while_once_for_each_refusal() -> None:
    refusals = Refusals(60 * SECOND)
    assert refusals.refused("A", "book.A", "no such topic", 0)
    assert refusals.due(59 * SECOND) == []
    assert refusals.due(60 * SECOND) == [("A", "book.A")]
    assert refusals.due(500 * SECOND) == []
    assert not refusals.refused("A", "book.A", "no such topic", 500 * SECOND)  # no news
    assert refusals.due(559 * SECOND) == []
    assert refusals.due(560 * SECOND) == [("A", "book.A")]


def test_what_was_accepted_or_is_followed_no_more_is_forgotten() -> None:
    refusals = Refusals(60 * SECOND)
    for topic in ("book.A", "trade.A", "book.B"):
        refusals.refused(topic[-1], topic, "halted", 0)
    refusals.accepted(["trade.A", "never.heard"])
    assert "trade.A" not in refusals
    refusals.forget("A")
    assert "book.A" not in refusals
    assert refusals.due(60 * SECOND) == [("B", "book.B")]
    refusals.accepted(["book.B"])
    assert refusals.sentence == ""


def test_the_sentence_names_the_symbol_how_many_more_and_what_the_venue_said() -> None:
    refusals = Refusals(60 * SECOND)
    refusals.refused("A", "book.A", " no such topic ", 0)
    refusals.refused("A", "trade.A", "x" * 500, 0)
    assert refusals.sentence == "the venue refuses A: no such topic"
    refusals.refused("B", "book.B", "", 0)
    assert refusals.sentence == "the venue refuses A and 1 more: no such topic"
    refusals.forget("A")
    assert refusals.sentence == "the venue refuses B"
    refusals.refused("B", "book.B", "x" * 500, 0)
    assert refusals.sentence == "the venue refuses B: " + "x" * TEXT_MOST
