"""When a rule fires and ends: once while it holds, never for want of data."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

from hypothesis import given, settings
from hypothesis import strategies as st

from engine.alerts.judge import Judge, Reading, Turn
from tests.reference import alert_plain

SECOND = 10**9


def reading(value: float | str) -> Reading:
    top, bottom = Decimal(str(value)).as_integer_ratio()
    return Reading(top, bottom, str(value))


class Watch:
    """A judge, and a clock that goes on a quarter of a second with each look."""

    def __init__(self, for_s: float = 0, fired_on: str = "", above: bool = True) -> None:
        self.now_ns = 1_000 * SECOND
        self.judge = Judge(above, Decimal(100), round(for_s * SECOND), self.now_ns, fired_on)

    def look(self, **values: float | str | None) -> str:
        self.now_ns += SECOND // 4
        readings = {name: None if value is None else reading(value) for name, value in values.items()}
        turn = self.judge.look(self.now_ns, readings)
        return turn.what if turn is not None else ""

    def looks(self, times: int, **values: float | str | None) -> list[str]:
        return [what for _ in range(times) if (what := self.look(**values))]


def test_it_fires_once_while_it_stays_true_and_again_after_it_was_not() -> None:
    watch = Watch()
    assert watch.look(a=100) == ""  # the threshold itself is not above it
    assert watch.judge.state == "quiet"
    assert watch.look(a="100.0000001") == "fired"
    assert watch.looks(100, a=101) == []
    assert watch.look(a=100) == "ended"
    assert watch.looks(40, a=100) == []
    assert watch.look(a=101) == "fired"


def test_it_waits_until_it_held_for_its_time() -> None:
    watch = Watch(for_s=2)
    assert watch.looks(8, a=101) == []
    assert watch.judge.state == "pending"
    assert watch.look(a=101) == "fired"


def test_a_dip_starts_its_time_anew() -> None:
    watch = Watch(for_s=2)
    watch.looks(7, a=101)
    watch.look(a=99)
    assert watch.judge.state == "quiet"
    assert watch.looks(8, a=101) == []
    assert watch.look(a=101) == "fired"


def test_a_value_that_swings_about_its_threshold_is_one_alert_in_five_seconds() -> None:
    watch = Watch()
    news = [watch.look(a=101 if at % 2 else 99) for at in range(80)]  # 20 s
    assert news.count("fired") <= 4


def test_no_data_neither_fires_nor_clears_and_its_time_does_not_count() -> None:
    watch = Watch(for_s=2)
    watch.looks(5, a=101)  # one second
    assert watch.looks(100, a=None) == []
    assert watch.judge.state == "no data"
    assert watch.looks(4, a=101) == []
    assert watch.looks(2, a=101) == ["fired"]
    assert watch.looks(1_000, a=None) == []
    assert watch.looks(1_000) == []
    assert watch.judge.state == "firing"
    assert watch.look(a=99) == "ended"


def test_two_sources_do_not_make_one_that_holds() -> None:
    watch = Watch(for_s=2)
    for _ in range(10):
        assert watch.look(a=101, b=99) == ""
        assert watch.look(a=99, b=101) == ""


def test_the_first_source_that_holds_long_enough_fires() -> None:
    watch = Watch(for_s=2)
    watch.looks(4, a=99, b=101)
    watch.looks(4, a=105, b=101)
    turn = watch.judge.look(watch.now_ns + SECOND // 4, {"a": reading(105), "b": reading(101)})
    assert turn == Turn("fired", "b", "101")
    assert watch.judge.where == "a"  # the nearest, or furthest past it


def test_it_goes_on_while_any_source_holds() -> None:
    watch = Watch()
    assert watch.look(a=101, b=99) == "fired"
    assert watch.look(a=101, b=101) == ""
    assert watch.look(a=99, b=101) == ""
    assert watch.look(a=99, b=99) == "ended"


def test_a_source_that_is_gone_for_a_minute_leaves_the_word_to_the_others() -> None:
    watch = Watch()
    assert watch.look(a=101, b=99) == "fired"
    assert watch.looks(200, b=99) == []
    assert watch.looks(80, b=99) == ["ended"]


def test_what_fired_before_a_restart_goes_on() -> None:
    watch = Watch(for_s=2, fired_on="a")
    assert watch.looks(100, a=None) == []
    assert watch.looks(20, a=101) == []
    assert watch.judge.state == "firing"
    assert watch.look(a=99) == "ended"


def test_below_is_strict_too_and_nearest_is_the_least() -> None:
    watch = Watch(above=False)
    assert watch.look(a=100, b=150) == ""
    assert (watch.judge.where, watch.judge.value) == ("a", "100")
    assert watch.look(a="99.999", b=150) == "fired"


def test_a_clock_that_goes_back_counts_nothing() -> None:
    watch = Watch(for_s=2)
    watch.look(a=101)
    watch.now_ns -= 100 * SECOND
    assert watch.looks(8, a=101) == []
    assert watch.looks(1, a=101) == ["fired"]


VALUES = st.one_of(st.none(), st.sampled_from([99, 100, 101]))
LOOKS = st.lists(
    st.tuples(
        st.sampled_from([0, SECOND // 4, SECOND, 7 * SECOND, 61 * SECOND]),
        st.dictionaries(st.sampled_from("abc"), VALUES),
    ),
    max_size=25,
)


@settings(max_examples=300)
@given(st.booleans(), st.sampled_from([0, SECOND // 2, 2 * SECOND]), LOOKS)
def test_the_judge_agrees_with_its_plain_twin(
    above: bool, for_ns: int, steps: list[tuple[int, dict[str, int | None]]]
) -> None:
    judge, now_ns, looks, news = Judge(above, Decimal(100), for_ns, 0), 0, [], []
    for passed_ns, values in steps:
        now_ns += passed_ns
        looks.append((now_ns, {k: None if v is None else Fraction(v) for k, v in values.items()}))
        turn = judge.look(now_ns, {k: None if v is None else reading(v) for k, v in values.items()})
        if turn is not None:
            news.append((now_ns, turn.what, turn.source if turn.what == "fired" else ""))
    assert news == alert_plain.fires(above, Fraction(100), for_ns, looks)
