"""Answers as JSON, msgpack and CSV; which of them a caller gets."""

from __future__ import annotations

import csv
import io
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.api import models
from engine.api.encoding import Kept, encode, negotiate
from engine.api.problems import Problem

BOOK = models.Book(
    venue="builtin",
    source="builtin:sim",
    symbol="BTC-USDT",
    state="SYNCED",
    source_state="live",
    sequence=7,
    ts=None,
    ts_ms=None,
    received_ts="2027-01-15T08:00:00.000Z",
    received_ts_ms=1_800_000_000_000,
    size_unit="BTC",
    bid_levels=2,
    ask_levels=1,
    bids=[("1.00", "5"), ("0.99", "6")],
    asks=[("1.01", "7")],
)


def candle(at: int, vwap: str | None = "1.5") -> models.Candle:
    return models.Candle(
        ts="2027-01-15T08:00:00.000Z",
        ts_ms=at,
        interval="1s",
        open="1.0",
        high="2.0",
        low="-1.0",
        close="1.5",
        volume="3",
        vwap=vwap,
        trades=4,
        final=True,
    )


def ohlc(*candles: models.Candle) -> models.Ohlc:
    return models.Ohlc(
        venue="builtin",
        source="builtin:sim",
        symbol="BTC-USDT",
        interval="1s",
        truncated=False,
        venue_until_ms=None,
        archive_until_ms=5,
        candles=list(candles),
    )


def lines(answer: Any) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(encode(answer, "csv").decode(), newline="")))


@pytest.mark.parametrize("form", ["json", "msgpack"])
def test_what_is_encoded_comes_back(form: Any) -> None:
    decode = msgspec.json.decode if form == "json" else msgspec.msgpack.decode
    assert decode(encode(BOOK, form), type=models.Book) == BOOK
    assert decode(encode(ohlc(candle(1)), form), type=models.Ohlc) == ohlc(candle(1))


def test_a_list_becomes_lines_with_what_is_around_it() -> None:
    first, second = lines(ohlc(candle(1), candle(2, None)))
    assert list(first) == [
        *("venue", "source", "symbol", "truncated", "venue_until_ms", "archive_until_ms"),
        *("ts", "ts_ms", "interval", "open", "high", "low", "close", "volume", "vwap", "trades", "final"),
    ]
    assert (first["ts_ms"], first["low"], first["vwap"], first["final"]) == ("1", "-1.0", "1.5", "true")
    assert (second["ts_ms"], second["vwap"], second["venue_until_ms"]) == ("2", "", "")


def test_without_rows_there_is_the_header_alone() -> None:
    text = encode(ohlc(), "csv").decode()
    assert text.count("\r\n") == 1
    assert text.startswith("venue,source,symbol")
    assert text.rstrip().endswith("trades,final")


def test_a_book_is_a_line_a_level() -> None:
    assert encode(BOOK, "csv") == (
        b"symbol,side,level,price,size\r\nBTC-USDT,bid,1,1.00,5\r\nBTC-USDT,bid,2,0.99,6\r\nBTC-USDT,ask,1,1.01,7\r\n"
    )


def test_texts_that_a_spreadsheet_would_run_are_guarded_and_numbers_are_not() -> None:
    change = models.SymbolChange(venue="=cmd|x", symbol='a"b,c', state="removed", detail="+1+1")
    (row,) = lines(change)
    assert (row["venue"], row["symbol"], row["detail"]) == ("'=cmd|x", 'a"b,c', "'+1+1")
    (row,) = lines(ohlc(candle(1)))
    assert row["low"] == "-1.0"


def test_what_is_nested_deeper_is_json_in_its_cell() -> None:
    venue = models.AvailableVenue(venue="a", label="A", state="live", count=2, symbols=["X-Y", "Z-Y"])
    (row,) = lines(models.AvailableSymbols(venues=[venue]))
    assert row["symbols"] == '["X-Y","Z-Y"]'
    assert [row["symbols"] for row in lines(venue)] == ["X-Y", "Z-Y"]


@given(st.lists(st.text(max_size=8), min_size=1, max_size=6))
def test_any_text_comes_back_out_of_its_cell(texts: list[str]) -> None:
    changes = [
        models.AvailableVenue(venue=text, label="x", state=text, count=number, symbols=[])
        for number, text in enumerate(texts)
    ]
    rows = lines(models.AvailableSymbols(venues=changes))
    assert [int(row["count"]) for row in rows] == list(range(len(texts)))
    for row, text in zip(rows, texts, strict=True):
        assert row["venue"] == row["state"]
        assert row["venue"].removeprefix("'") == text.removeprefix("'")
        assert row["venue"][:1] not in "=+@\t\r" or row["venue"] == ""


@pytest.mark.parametrize(
    ("accept", "form"),
    [
        (None, "json"),
        ("", "json"),
        ("*/*", "json"),
        ("application/json", "json"),
        ("application/msgpack", "msgpack"),
        ("application/x-msgpack", "msgpack"),
        ("text/csv", "csv"),
        ("text/*", "csv"),
        ("TEXT/CSV; charset=utf-8", "csv"),
        ("text/csv;q=0.5, application/json;q=0.4", "csv"),
        ("text/csv;q=0.4, application/json;q=0.5", "json"),
        ("text/csv, application/json", "json"),  # liked alike: the first offered
        ("text/html, */*;q=0.1", "json"),
        ("application/*;q=0.2, application/json;q=0, text/csv;q=0.1", "msgpack"),
        ("*/*, application/json;q=0.1, application/msgpack;q=0.2", "csv"),
        ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", "json"),
    ],
)
def test_the_accept_header_is_followed(accept: str | None, form: str) -> None:
    assert negotiate(accept) == form


@pytest.mark.parametrize(
    "accept", ["text/html", "application/json;q=0", "image/*", ",", "application/json;q=x"]
)
def test_what_cannot_be_given_is_refused(accept: str) -> None:
    with pytest.raises(Problem, match="application/json, application/msgpack, text/csv") as caught:
        negotiate(accept)
    assert caught.value.status == 406


def test_bytes_of_an_answer_are_kept_while_it_is_and_no_longer_than_there_is_room() -> None:
    kept = Kept(2)
    answers = [candle(at) for at in range(3)]
    first = kept.bytes_of(answers[0], "json")
    assert kept.bytes_of(answers[0], "json") is first
    assert kept.bytes_of(candle(0), "json") == first
    for answer in answers:
        assert msgspec.json.decode(kept.bytes_of(answer, "json"))["ts_ms"] == answer.ts_ms
    assert len(kept) == 2
