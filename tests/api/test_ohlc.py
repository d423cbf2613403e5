"""Candles of a stretch: out of the rings, the venue's minutes and what was recorded, without seams."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.api import models, ohlc
from engine.api.ohlc import OhlcHistory, Stretch, chosen, read_recorded
from engine.api.problems import Problem
from engine.market.batches import CANDLE
from engine.market.candles import INTERVALS_NS
from engine.market.instruments import Instrument
from engine.market.sequencing import Rule
from engine.storage.names import RecordKind
from engine.storage.records import DTYPES, STREAMED, Block, Stream
from tests.api.market_rig import MINUTE, SECOND, SIM, SPOT, START, Rig, coin
from tests.storage.kept import Kept

ROUTE = "GET /ohlc/{symbol}"


def asked(rig: Rig, query: str = "") -> models.Ohlc:
    found: models.Ohlc = rig.call(ROUTE, query, symbol="BTC-USDT")
    return found


def told(answer: models.Ohlc) -> list[tuple[Any, ...]]:
    """(seconds after the start, open, high, low, close, volume, vwap, trades, final) of each."""
    return [
        (
            (c.ts_ms - START // 10**6) / 1000,
            c.open,
            c.high,
            c.low,
            c.close,
            c.volume,
            c.vwap,
            c.trades,
            c.final,
        )
        for c in answer.candles
    ]


@pytest.fixture
def traded() -> Rig:
    """Trades in the seconds 0, 1, 3 and 64; the last one runs."""
    rig = Rig().open(SPOT).snapshot(SPOT, [(100, 5)], [(110, 2)])
    for at, price, size in ((0.1, 105, 2), (0.6, 107, 1), (1.2, 103, 4), (3.5, 104, 1), (64.2, 109, 3)):
        rig.at(at).trade(SPOT, price, size)
    return rig.at(64.3)


# (2 * 1.05 + 1.07) / 3 = 1.05666..
FIRST = (0.0, "1.05", "1.07", "1.05", "1.07", "0.00003", "1.0567", 2, True)


def test_the_latest_candle_is_the_running_one(traded: Rig) -> None:
    answer = asked(traded)
    assert told(answer) == [(64.0, "1.09", "1.09", "1.09", "1.09", "0.00003", "1.0900", 1, False)]
    assert (answer.interval, answer.candles[0].ts) == ("1s", "2027-01-15T08:01:04.000Z")
    later = asked(traded.at(70.0))
    assert [candle.final for candle in later.candles] == [True]


def test_seconds_are_those_that_traded_and_a_hole_stays_one(traded: Rig) -> None:
    answer = asked(traded, "limit=10")
    assert [row[0] for row in told(answer)] == [0.0, 1.0, 3.0, 64.0]
    assert told(answer)[0] == FIRST
    assert [row[-1] for row in told(answer)] == [True, True, True, False]
    assert [row[0] for row in told(asked(traded, "limit=2"))] == [3.0, 64.0]


def test_longer_candles_are_made_of_seconds_and_final_when_they_are_over(traded: Rig) -> None:
    answer = asked(traded, "interval=1m&limit=5")
    # 2 * 1.05 + 1.07 + 4 * 1.03 + 1.04 = 8.33 over 8
    assert told(answer) == [
        (0.0, "1.05", "1.07", "1.03", "1.04", "0.00008", "1.0413", 4, True),
        (60.0, "1.09", "1.09", "1.09", "1.09", "0.00003", "1.0900", 1, False),
    ]
    assert told(asked(traded.at(119.0), "interval=1m"))[0][-1] is False
    assert told(asked(traded.at(122.0), "interval=1m"))[0][-1] is True


def test_a_stretch_gives_the_oldest_first_and_says_when_it_is_cut_off(traded: Rig) -> None:
    base = START // 10**6
    answer = asked(traded, f"from={base + 1}&to={base + 64_000}")
    assert ([row[0] for row in told(answer)], answer.truncated) == ([1.0, 3.0], False)
    cut = asked(traded, f"from={base}&limit=2")
    assert ([row[0] for row in told(cut)], cut.truncated) == ([0.0, 1.0], True)
    before = asked(traded, f"to={base + 3_000}&limit=1")
    assert ([row[0] for row in told(before)], before.truncated) == ([1.0], False)
    assert asked(traded, f"from={base + 100_000}").candles == []
    with pytest.raises(Problem, match="from must be before to"):
        asked(traded, f"from={base}&to={base}")


def test_times_are_in_the_zone_asked_for(traded: Rig) -> None:
    assert asked(traded, "tz=Asia/Kolkata").candles[0].ts == "2027-01-15T13:31:04.000+05:30"


@pytest.mark.parametrize("query", ["limit=0", "limit=5001", "interval=2m", "from=x"])
def test_what_cannot_be_asked_is_refused(traded: Rig, query: str) -> None:
    with pytest.raises(Problem) as caught:
        asked(traded, query)
    assert caught.value.code in ("bad_argument", "bad_interval")


def test_the_venues_minutes_stand_before_our_first_whole_one() -> None:
    rig = Rig().open(SPOT).snapshot(SPOT, [(100, 5)], [(110, 2)])
    rig.at(90.0).trade(SPOT, 105, 2).at(130.0).trade(SPOT, 107, 1).at(135.0)
    rig.minutes(
        SPOT,
        [(-60, 90, 99, 80, 95, 7, 665, 3), (0, 95, 96, 94, 96, 2, 190, 2), (60, 96, 108, 96, 105, 9, 900, 5)],
    )
    answer = asked(rig, "interval=1m&limit=10")
    assert [row[0] for row in told(answer)] == [-60.0, 0.0, 60.0, 120.0]
    assert told(answer)[0][1:8] == ("0.90", "0.99", "0.80", "0.95", "0.00007", "0.9500", 3)
    assert told(answer)[2][5] == "0.00009"  # our 90th second alone had 2
    assert answer.venue_until_ms == START // 10**6 + 120_000
    assert answer.archive_until_ms is None
    seconds = asked(rig, "limit=10")
    assert ([row[0] for row in told(seconds)], seconds.venue_until_ms) == ([90.0, 130.0], None)


def test_thousands_of_candles_are_as_exact() -> None:
    rig = Rig().open(SPOT).snapshot(SPOT, [(100, 5)], [(110, 2)])
    for second in range(1_000):
        rig.now = START + second * SECOND
        rig.trade(SPOT, 100 + second % 10, 1)
    rig.at(1_000)
    answer = asked(rig, "limit=5000")
    assert [row[0] for row in told(answer)] == [float(second) for second in range(1_000)]
    assert [row[1] for row in told(answer)[:11]] == [*(f"1.0{n}" for n in range(10)), "1.00"]
    assert answer.candles[999].ts == "2027-01-15T08:16:39.000Z"


# --- against a plain twin ---------------------------------------------------------------------------------------

trades_of = st.lists(st.tuples(st.integers(0, 400), st.integers(1, 99), st.integers(1, 9)), max_size=60)


@given(
    trades_of,
    st.sampled_from(("1s", "5s", "1m")),
    st.integers(1, 8),
    st.none() | st.integers(0, 400),
    st.none() | st.integers(0, 400),
)
def test_candles_agree_with_ones_made_trade_by_trade(
    trades: list[tuple[int, int, int]], interval: Any, limit: int, from_s: int | None, to_s: int | None
) -> None:
    rig = Rig().open(SPOT)
    trades = sorted(trades, key=lambda trade: trade[0])
    for second, price, size in trades:
        rig.now = START + second * SECOND
        rig.trade(SPOT, price, size)
    rig.at(401)
    step = INTERVALS_NS[interval] // SECOND
    plain: dict[int, list[tuple[int, int]]] = {}
    for second, price, size in trades:
        plain.setdefault(second // step * step, []).append((price, size))
    expected = [
        (
            at,
            rows[0][0],
            max(p for p, _ in rows),
            min(p for p, _ in rows),
            rows[-1][0],
            sum(s for _, s in rows),
        )
        for at, rows in plain.items()
        if (from_s is None or at >= from_s) and (to_s is None or at < to_s)
    ]
    expected = expected[:limit] if from_s is not None else expected[-limit:]
    query = f"interval={interval}&limit={limit}"
    if from_s is not None:
        query += f"&from={START // 10**6 + from_s * 1000}"
    if to_s is not None:
        query += f"&to={START // 10**6 + to_s * 1000}"
    if from_s is not None and to_s is not None and from_s >= to_s:
        with pytest.raises(Problem):
            asked(rig, query)
    elif not trades:
        assert asked(rig, query).candles == []
    else:
        found = [
            (at, *(round(float(text) * 100) for text in prices), round(float(volume) * 10**5))
            for at, *prices, volume, _, _, _ in told(asked(rig, query))
        ]
        assert found == expected


def test_the_end_of_the_ring_is_enough_only_where_it_holds_all() -> None:
    rig = Rig().open(SPOT)
    for second in (*range(0, 100, 10), *range(100, 120)):
        rig.now = START + second * SECOND
        rig.trade(SPOT, 100)
    rig.at(130)
    rings = rig.markets.rings(rig.markets.source("binance_spot"), "BTC-USDT")
    few = ohlc.held(rings, None, Stretch(SECOND, 5, None, START + 130 * SECOND))[0]
    assert len(few) < len(rings.candles)
    early = ohlc.held(rings, None, Stretch(SECOND, 22, None, START + 100 * SECOND))[0]
    assert len(early) == len(rings.candles) == 30
    assert len(asked(rig, "limit=22").candles) == 22
    assert len(asked(rig, f"limit=2&to={START // 10**6 + 50_000}").candles) == 2


# --- what was recorded ------------------------------------------------------------------------------------------

UNIT = coin("binance_spot")


def block(
    seq: int, interval_ns: int, rows: list[tuple[int, ...]], unit: Instrument = UNIT, late_s: int = 0
) -> Block:
    """Recorded candles: (seconds after the start, open, high, low, close, volume, notional, trades)."""
    made = np.zeros(len(rows), DTYPES[RecordKind.CANDLES])
    own = np.array([(START + at * SECOND, *p, v, 0, n, count) for at, *p, v, n, count in rows], CANDLE)
    for name in CANDLE.names or ():
        made[name] = own[name]
    made["seq"] = seq + np.arange(len(rows))
    made["interval_ns"], made["origin"] = interval_ns, STREAMED
    made["ts_recv_ns"] = made["ts_open_ns"] + interval_ns + late_s * SECOND
    return Block(
        RecordKind.CANDLES, Stream("binance_spot", "BTC-USDT", unit, Rule.BINANCE_SPOT, "B"), made, b""
    )


def second(at: int, price: int = 100, size: int = 1) -> tuple[int, ...]:
    return (at, price, price, price, price, size, price * size, 1)


def stored(folder: Path, *blocks: Block) -> OhlcHistory:
    kept = Kept(folder)
    kept.put(*blocks)
    kept.close()
    return OhlcHistory(folder)


def with_history(history: OhlcHistory) -> Rig:
    """Our own candles begin in the 90th second."""
    rig = Rig(history).open(SPOT).snapshot(SPOT, [(100, 5)], [(110, 2)])
    return rig.at(90.0).trade(SPOT, 105, 2).at(91.0).trade(SPOT, 106, 1).at(91.1)


def test_what_was_recorded_stands_before_the_rings(tmp_path: Path) -> None:
    rows = [second(10, 90), second(11, 91), second(89, 99), second(90, 50), second(91, 50)]
    rig = with_history(stored(tmp_path, block(1, SECOND, rows)))
    answer = asked(rig, "limit=100")
    assert [(row[0], row[1]) for row in told(answer)] == [
        *((10.0, "0.90"), (11.0, "0.91"), (89.0, "0.99")),
        *((90.0, "1.05"), (91.0, "1.06")),  # where both have a second, ours counts
    ]
    assert answer.archive_until_ms == START // 10**6 + 90_000
    minutes = told(asked(rig, "interval=1m&limit=2"))
    assert [row[0] for row in minutes] == [0.0, 60.0]
    assert minutes[1][1:6] == ("0.99", "1.06", "0.99", "1.06", "0.00004")  # 1 recorded, 2 + 1 of our own


def test_the_latest_candles_do_not_ask_the_disk(tmp_path: Path) -> None:
    rig = with_history(OhlcHistory(tmp_path / "none"))

    def fail(*_: Any) -> None:
        raise AssertionError("the disk was asked")

    reading = ohlc.read_recorded
    ohlc.read_recorded = fail  # type: ignore[assignment]
    try:
        assert len(asked(rig).candles) == 1
        assert len(asked(rig, "limit=2").candles) == 2
        with pytest.raises(AssertionError):
            asked(rig, "limit=3")
    finally:
        ohlc.read_recorded = reading


def test_a_folder_without_a_store_has_nothing(tmp_path: Path) -> None:
    answer = asked(with_history(OhlcHistory(tmp_path / "none")), "from=2027-01-15")
    assert ([row[0] for row in told(answer)], answer.archive_until_ms) == ([90.0, 91.0], None)


def test_recorded_minutes_of_the_venue_stand_for_our_seconds_in_them(tmp_path: Path) -> None:
    whole = (-60, 80, 89, 79, 85, 40, 3_400, 9)
    blocks = (
        block(1, SECOND, [second(-70), second(-30), second(20, 97)]),
        block(10, MINUTE, [whole]),
        block(20, MINUTE, [(0, 1, 1, 1, 1, 1, 1, 1)], late_s=-30),  # it still ran when it came
    )
    rig = with_history(stored(tmp_path, *blocks))
    answer = asked(rig, "interval=1m&limit=10")
    assert [(row[0], row[1], row[7]) for row in told(answer)] == [
        (-120.0, "1.00", 1),
        (-60.0, "0.80", 9),
        (0.0, "0.97", 1),
        (60.0, "1.05", 2),
    ]


def test_units_that_were_coarser_are_brought_to_ours_exactly(tmp_path: Path) -> None:
    coarse = coin("binance_spot", (1, 3))
    rig = with_history(stored(tmp_path, block(1, SECOND, [second(10, 9, 2)], coarse)))
    row = told(asked(rig, "limit=100"))[0]
    assert row == (10.0, "0.90", "0.90", "0.90", "0.90", "0.00200", "0.9000", 1, True)


def test_units_that_were_finer_are_kept(tmp_path: Path) -> None:
    fine = coin("binance_spot", (3, 5))
    rig = with_history(stored(tmp_path, block(1, SECOND, [second(10, 901)], fine)))
    found = told(asked(rig, "limit=100"))
    assert (found[0][1], found[1][1]) == ("0.901", "1.050")


def test_a_replay_and_another_venue_have_none_of_it(tmp_path: Path) -> None:
    history = stored(tmp_path, block(1, SECOND, [second(10)]))
    rig = Rig(history).open(SIM).at(90.0).trade(SIM, 105).at(90.1)
    assert [row[0] for row in told(asked(rig, "limit=100"))] == [90.0]


def test_a_minute_that_lies_in_two_batches_is_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.storage.query.BATCH_ROWS", 7)
    rows = [second(at, 100 + at % 5) for at in range(200)]
    stored(tmp_path, block(1, SECOND, rows))
    found = read_recorded(tmp_path, "binance_spot", "BTC-USDT", MINUTE, START, START + 150 * SECOND)
    assert found.rows["ts_open_ns"].tolist() == [START, START + MINUTE, START + 2 * MINUTE]
    assert found.rows["trades"].tolist() == [60, 60, 30]
    assert found.rows["volume"].tolist() == [60, 60, 30]


def test_answers_of_the_disk_are_kept_a_while_and_questions_bounded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rig = with_history(stored(tmp_path, block(1, SECOND, [second(10)])))
    reads: list[int] = []
    reading = ohlc.read_recorded

    def counted(*args: Any) -> ohlc.Recorded:
        reads.append(1)
        return reading(*args)

    monkeypatch.setattr(ohlc, "read_recorded", counted)
    for _ in range(3):
        assert len(asked(rig, "limit=100").candles) == 3
    assert len(reads) == 1
    rig.at(91.1 + 31)
    assert len(asked(rig, "limit=200").candles) == 3
    assert len(reads) == 2

    async def many() -> list[Any]:
        # Each asks for another stretch, so that none finds an answer that is kept.
        calls = [
            rig.called(ROUTE, f"from={START // 10**6 - 60_000 * n}&limit=9", symbol="BTC-USDT")
            for n in range(3, 41)
        ]
        return await asyncio.gather(*calls, return_exceptions=True)

    answers = asyncio.run(many())
    refused = [answer for answer in answers if isinstance(answer, Problem)]
    assert len(refused) == 38 - ohlc.WAITING
    assert {problem.code for problem in refused} == {"not_ready"}
    assert all(isinstance(answer, (Problem, models.Ohlc)) for answer in answers)
    assert len(asked(rig, "limit=200").candles) == 3


def test_too_much_for_one_question_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ohlc, "ROWS_MOST", 50)
    rig = with_history(stored(tmp_path, block(1, SECOND, [second(at) for at in range(80)])))
    with pytest.raises(Problem, match="ask for less") as caught:
        asked(rig, "limit=100")
    assert caught.value.code == "bad_argument"


def test_a_damaged_store_is_not_ready(tmp_path: Path) -> None:
    rig = with_history(stored(tmp_path, block(1, SECOND, [second(10)])))
    (database,) = [path for path in tmp_path.iterdir() if path.suffix not in ("-wal", "-shm")][:1]
    database.write_bytes(b"not a database" * 1_000)
    with pytest.raises(Problem, match="cannot be read now") as caught:
        asked(rig, "limit=100")
    assert caught.value.code == "not_ready"


# --- choosing ---------------------------------------------------------------------------------------------------


def test_a_stretch_begins_at_an_aligned_time() -> None:
    assert Stretch(MINUTE, 3, None, START + 1).begin_ns == START - 2 * MINUTE
    assert Stretch(MINUTE, 3, None, START).begin_ns == START - 3 * MINUTE
    assert Stretch(MINUTE, 3, START + 1, START + 10 * MINUTE).begin_ns == START + MINUTE


def test_nothing_is_chosen_of_nothing() -> None:
    rows, truncated = chosen(np.empty(0, CANDLE), Stretch(SECOND, 5, None, START))
    assert (len(rows), truncated) == (0, False)
