from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from engine.errors import BadCapture
from feeds import capture

START_NS = 1_723_161_253_937_085_768
DEPTH = {
    "e": "depthUpdate",
    "E": 1723161255208,
    "s": "BTCUSDT",
    "U": 11,
    "u": 14,
    "b": [["1.50", "2"]],
    "a": [],
}
QUOTE = {"u": 12, "s": "BTCUSDT", "b": "1.5", "B": "3", "a": "1.75", "A": "0.125"}
SNAPSHOT = {"lastUpdateId": 10, "bids": [["1.25", "3.5000"]], "asks": []}


def line(index: int, body: dict | bytes, stream: str | None = "btcusdt@depth") -> bytes:
    if isinstance(body, bytes):
        text = body
    else:
        text = json.dumps(
            {"stream": stream, "data": body} if stream else body, separators=(",", ":")
        ).encode()
    return b"%d %s\n" % (START_NS + index, text)


LINES = [line(0, DEPTH), line(1, SNAPSHOT, None), line(2, QUOTE, "btcusdt@bookTicker"), line(3, DEPTH)]


def write(path: Path, lines: list[bytes], packed: bool = True) -> Path:
    data = b"".join(lines)
    path.write_bytes(gzip.compress(data) if packed else data)
    return path


@pytest.mark.parametrize("packed", [True, False])
def test_a_capture_is_judged_by_its_content(tmp_path: Path, packed: bool) -> None:
    info = capture.probe(write(tmp_path / "usdm.parquet", LINES, packed))
    assert (info.market, info.native, info.frames) == ("binance_spot", ("BTCUSDT",), 4)
    assert (info.first_recv_ns, info.last_recv_ns) == (START_NS, START_NS + 3)
    assert info.decimals == {"BTCUSDT": (2, 3)}
    assert [instrument.symbol for instrument in info.instruments()] == ["BTC-USDT"]


@pytest.mark.parametrize(
    ("body", "market"),
    [
        (DEPTH, "binance_spot"),
        (QUOTE, "binance_spot"),
        (DEPTH | {"pu": 10}, "binance_usdm"),
        (QUOTE | {"e": "bookTicker", "E": 1, "T": 1}, "binance_usdm"),
        (DEPTH | {"pu": 10, "s": "BTCUSD_PERP", "ps": "BTCUSD"}, "binance_coinm"),
        ({"e": "trade", "T": 1, "s": "BTCUSDT", "t": 1, "p": "1", "q": "1", "m": True, "M": True}, "binance_spot"),
        ({"e": "trade", "T": 1, "s": "BTCUSDT", "t": 1, "p": "1", "q": "1", "m": True, "X": "MARKET"}, "binance_usdm"),
        ({"e": "trade", "T": 1, "s": "BTCUSD_PERP", "t": 1, "p": "1", "q": "1", "m": True, "X": "M"}, "binance_coinm"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("stream", ["btcusdt@x", None])
def test_the_market_is_told_by_the_fields(
    tmp_path: Path, body: dict, market: str, stream: str | None
) -> None:
    assert capture.probe(write(tmp_path / "c", [line(0, body, stream)])).market == market


def test_reading_gives_times_and_frames(tmp_path: Path) -> None:
    path = write(tmp_path / "c", LINES)
    have = list(capture.read(path))
    assert [recv_ns - START_NS for recv_ns, _ in have] == [0, 1, 2, 3]
    assert [b"%d %s\n" % pair for pair in have] == LINES


@pytest.mark.parametrize("block_bytes", [1, 7, 64, 1000])
def test_frames_do_not_depend_on_where_blocks_end(tmp_path: Path, block_bytes: int) -> None:
    path = write(tmp_path / "c", LINES * 5)
    have = [frames[i] for frames in capture.chunks(path, block_bytes) for i in range(len(frames))]
    assert have == [frame for _, frame in capture.read(path)]
    assert len(have) == 20


def test_the_last_line_needs_no_newline(tmp_path: Path) -> None:
    path = write(tmp_path / "c", [*LINES[:-1], LINES[-1].rstrip(b"\n")], packed=False)
    assert capture.probe(path).frames == 4


def refused(path: Path) -> BadCapture:
    with pytest.raises(BadCapture) as caught:
        capture.probe(path)
    assert str(path) in str(caught.value)
    return caught.value


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    error = refused(tmp_path / "none.gz")
    assert (error.line, "no such file" in error.reason) == (0, True)


def test_a_directory_is_refused(tmp_path: Path) -> None:
    assert refused(tmp_path).line == 0


@pytest.mark.parametrize("packed", [True, False])
def test_an_empty_file_is_refused(tmp_path: Path, packed: bool) -> None:
    error = refused(write(tmp_path / "c", [], packed))
    assert (error.line, "empty" in error.reason) == (0, True)


def test_a_cut_off_gzip_names_the_line(tmp_path: Path) -> None:
    path = write(tmp_path / "c", [line(n, DEPTH | {"U": n * n, "u": n * n * 7}) for n in range(20_000)])
    path.write_bytes(path.read_bytes()[:-200])
    error = refused(path)
    assert "cut off" in error.reason
    assert 15_000 < error.line <= 20_000


def test_a_damaged_gzip_names_the_line(tmp_path: Path) -> None:
    path = write(tmp_path / "c", [line(n, DEPTH | {"U": n * n, "u": n * n * 7}) for n in range(20_000)])
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0xFF
    path.write_bytes(data)
    assert refused(path).line > 1000


def test_a_cut_off_text_file_names_its_last_line(tmp_path: Path) -> None:
    path = write(tmp_path / "c", LINES, packed=False)
    path.write_bytes(path.read_bytes()[:-20])
    error = refused(path)
    assert (error.line, "cut off" in error.reason) == (4, True)


@pytest.mark.parametrize(
    "foreign",
    [
        b"wss://stream.binance.com:9443 <-> 1617000000.123\n",
        b"time,price,size\n1,2,3\n",
        b"1723161253937 {}\n",
        b"9999999999999999999 {}\n",
        b'{"e":"depthUpdate"}\n',
        b"\n",
        b"\x00" * 300_000,
    ],
)
def test_a_foreign_file_names_line_1(tmp_path: Path, foreign: bytes) -> None:
    assert refused(write(tmp_path / "c", [foreign, *LINES])).line == 1


def test_a_foreign_line_in_the_middle_is_named(tmp_path: Path) -> None:
    assert refused(write(tmp_path / "c", [*LINES, b"hello\n", *LINES])).line == 5


def test_a_line_without_end_is_refused_before_memory_ends(tmp_path: Path) -> None:
    path = write(tmp_path / "c", [*LINES, b"%d " % START_NS, b"x" * (capture.MAX_LINE_BYTES + 1_000_000)])
    error = refused(path)
    assert (error.line, "longer" in error.reason) == (5, True)


def test_a_file_without_market_data_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "c", [line(0, {"result": None, "id": 1}, None), line(1, b"noise")])
    assert "no line" in refused(path).reason


def test_two_markets_in_one_file_are_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "c", [*LINES, line(9, DEPTH | {"pu": 10}, "btcusdt@depth@0ms")])
    error = refused(path)
    assert (error.line, "mixes" in error.reason) == (5, True)


def test_a_malformed_frame_does_not_make_the_file_foreign(tmp_path: Path) -> None:
    path = write(tmp_path / "c", [LINES[0], line(1, b'{"stream":"btcusdt@depth","data":{"e":'), *LINES[1:]])
    assert capture.probe(path).frames == 5


def test_decimals_are_raised_to_what_any_frame_needs(tmp_path: Path) -> None:
    late = line(9, DEPTH | {"b": [["1.00001", "0.0000001"]]})
    info = capture.probe(write(tmp_path / "c", [*LINES, late]))
    assert info.decimals == {"BTCUSDT": (2, 3)}
    assert capture.measure(info).decimals == {"BTCUSDT": (5, 7)}
