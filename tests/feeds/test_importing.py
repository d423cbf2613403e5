"""Others' captures taken over: recorded ones where they are at hand, and files made up to be wrong."""

from __future__ import annotations

import asyncio
import gzip
import json
import math
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pytest

from engine.errors import BadFrame, BadImport
from engine.intake import Intake
from engine.market.batches import Batch, Kind, Source
from engine.market.instruments import Instrument
from engine.market.sequencing import BookState, Outcome, Rule
from engine.market.state import SymbolState
from engine.telemetry.hub import Telemetry
from feeds import importing
from feeds.foreign_lines import Frame, Opened
from feeds.foreign_venues import bybit_instrument, venue_at
from feeds.importing import EVERYTHING, Imported, files_of, fingerprints, run_import
from feeds.replay import ReplayFeed
from tests.feeds.live_desk import scene

DATA = Path(__file__).resolve().parents[2].parent / "shared" / "data"
START_S = 1_723_161_253
START_NS = START_S * 1_000_000_000


@dataclass
class Kept:
    """A sink that keeps books, and all that it is told."""

    states: dict[str, SymbolState] = field(default_factory=dict)
    batches: list[Batch] = field(default_factory=list)
    raw: list[tuple[str, bytes, int]] = field(default_factory=list)
    bad: list[BadFrame] = field(default_factory=list)
    said: list[str] = field(default_factory=list)
    frames: int = 0
    source: Source | None = None

    def open_source(
        self,
        source: Source,
        label: str,
        instruments: Sequence[Instrument],
        rule: Rule,
        clock: Callable[[int], int],
    ) -> None:
        self.said.append(f"open {label}")
        self.source = source
        self.states = {one.symbol: SymbolState(source, one, rule) for one in instruments}

    def revise(self, source: Source, instrument: Instrument) -> None:
        self.said.append(f"revise {instrument.symbol}")
        self.states[instrument.symbol].revise(instrument)

    def on_batch(self, batch: Batch) -> Outcome:
        assert batch.source == self.source
        self.batches.append(batch)
        return self.states[batch.symbol].on_batch(batch)

    def interrupted(self, source: Source, symbols: Sequence[str], reason: str) -> None:
        self.said.append(f"interrupted {len(symbols)}")

    def on_frames(self, source: Source, frames: int, size_bytes: int, decode_ns: np.ndarray) -> None:
        assert len(decode_ns) == frames
        self.frames += frames

    def on_raw(self, source: Source, path: str, frames: Sequence[bytes], recv_ns: Sequence[int]) -> None:
        self.raw += [(path, *each) for each in zip(frames, recv_ns, strict=True)]

    def on_bad_frame(self, source: Source, error: BadFrame) -> None:
        self.bad.append(error)

    def close_source(self, source: Source, reason: str) -> None:
        self.said.append(f"close {reason}")

    def of(self, kind: Kind, symbol: str = "") -> list[Batch]:
        return [one for one in self.batches if one.kind is kind and symbol in ("", one.symbol)]


def recorded(folder: str, pattern: str) -> Path:
    path = next(iter((DATA / folder).glob(pattern)), None)
    if path is None:
        pytest.skip(f"the recorded captures are not at {DATA}")
    return path


def imported(path: Path, **options: Any) -> tuple[Imported, Kept]:
    sink = Kept()
    return run_import(path, sink, **options), sink  # type: ignore[arg-type]


def levels(state: SymbolState) -> list[Any]:
    return [side.tolist() for side in state.book.top(state.book.capacity)]


# --- recorded ones ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["spot", "usdm", "coinm"])
def test_an_imported_capture_has_the_book_and_the_trades_of_its_replay(name: str) -> None:
    path = recorded(f"binance_{name}", "hftbacktest_*.gz")
    said, sink = imported(path)
    replayed = Kept()
    asyncio.run(ReplayFeed(path, math.inf).run(replayed))  # type: ignore[arg-type]

    (state,), (other,) = sink.states.values(), replayed.states.values()
    assert state.instrument == other.instrument
    assert levels(state) == levels(other)
    assert (state.state, state.sync.gaps, state.crossings) == (BookState.SYNCED, 0, 0)
    assert state.agreement == other.agreement
    for kind in (Kind.TRADES, Kind.QUOTES):
        rows, others = (np.concatenate([one.rows for one in each.of(kind)]) for each in (sink, replayed))
        assert rows.tobytes() == others.tobytes()
    assert sink.source == Source(f"binance_{name}", "live")
    assert sink.said == [f"open {said.label}", "close ended"]

    with gzip.open(path) as lines:
        whole = [line.rstrip(b"\n").split(b" ", 1) for line in lines]
    assert [(recv_ns, frame) for _, frame, recv_ns in sink.raw] == [(int(at), frame) for at, frame in whole]
    assert said.frames == said.lines == said.rows["raw"] == sink.frames == len(whole)
    assert (said.malformed, said.detail, said.decoded) == (0, "", True)
    assert (said.from_ns, said.to_ns) == (min(int(at) for at, _ in whole), max(int(at) for at, _ in whole))
    assert said.rows["trades"] == sum(len(one.rows) for one in sink.of(Kind.TRADES))
    assert sum(path.startswith("GET ") for path, _, _ in sink.raw) == 1


@pytest.mark.parametrize("name", ["spot", "usdm", "coinm"])
def test_frames_and_bodies_of_one_capture_are_played_together(name: str) -> None:
    path = recorded(f"binance_{name}", "cryptofeed_*.ws.gz")
    said, sink = imported(path)
    assert [one.name for one in said.files] == [path.name, path.name.replace(".ws.", ".http.")]
    assert (said.venue, said.malformed, said.detail) == (f"binance_{name}", 0, "")
    for snapshot in sink.of(Kind.SNAPSHOT):
        # Its symbol has changes before and behind it, by the numbers: it is where it was.
        assert any(one.ts_recv_ns > snapshot.ts_recv_ns for one in sink.of(Kind.DELTA, snapshot.symbol))
    synced = [state for state in sink.states.values() if state.state is BookState.SYNCED]
    assert len(synced) == len(sink.of(Kind.SNAPSHOT))
    assert all(state.sync.gaps == 0 for state in synced)
    assert sum(len(one.rows) for one in sink.of(Kind.TRADES)) == said.rows["trades"] > 0
    assert "revise" not in " ".join(sink.said)


@pytest.mark.parametrize(
    ("folder", "venue", "label"),
    [
        ("okx", "okx", "OKX"),
        ("kucoin", "kucoin", "KuCoin"),
        ("kraken_v1", "kraken", "Kraken"),
        ("kraken_futures", "kraken_futures", "Kraken Futures"),
        ("deribit", "deribit", "Deribit"),
        ("coinbase_exchange", "coinbase", "Coinbase"),
        ("htx", "htx", "HTX"),
    ],
)
def test_of_a_venue_without_decoder_the_frames_are_kept_as_they_came(
    folder: str, venue: str, label: str
) -> None:
    path = recorded(folder, "cryptofeed_*.ws.gz")
    said, sink = imported(path)
    assert (said.venue, said.label, said.decoded, said.symbols, said.malformed) == (
        venue,
        label,
        False,
        (),
        0,
    )
    assert said.detail == f"nothing of {label} can be decoded in it: its frames were kept as they came"
    assert sink.batches == []
    assert said.rows == {"raw": said.frames}
    for _, frame, _ in sink.raw[:200]:
        text = zlib.decompress(frame, 31) if venue == "htx" else frame
        assert json.loads(text) is not None
    with pytest.raises(BadImport, match="can be decoded in it; its frames can be kept as they came, raw"):
        run_import(path, Kept(), what=("trades", "book"))  # type: ignore[arg-type]


# --- made-up ones -----------------------------------------------------------------------------------------


def depth(last: int, **more: Any) -> bytes:
    body = {"e": "depthUpdate", "E": START_S * 1000, "s": "BTCUSDT", "U": last, "u": last} | more
    body |= {"b": [["1.50", "3"]], "a": [["1.75", "0.125"]]}
    return json.dumps({"stream": "btcusdt@depth@100ms", "data": body}, separators=(",", ":")).encode()


def trade(number: int, kind: str = "trade") -> bytes:
    body = {"e": kind, "E": START_S * 1000, "s": "BTCUSDT", "t" if kind == "trade" else "a": number}
    body |= {"p": "1.5", "q": "2", "T": START_S * 1000, "m": True}
    return json.dumps({"stream": f"btcusdt@{kind}", "data": body}, separators=(",", ":")).encode()


def hft(frames: Sequence[bytes]) -> list[bytes]:
    return [b"%d %s" % (START_NS + at * 1_000_000, frame) for at, frame in enumerate(frames)]


def file(path: Path, lines: Sequence[bytes], packed: bool = True) -> Path:
    text = b"".join(line + b"\n" for line in lines)
    path.write_bytes(gzip.compress(text, mtime=0) if packed else text)
    return path


MANY = hft([depth(at) if at % 3 else trade(at) for at in range(1, 900)])


def test_bad_lines_are_counted_and_named_and_the_rest_goes_on(tmp_path: Path) -> None:
    lines = list(MANY)
    lines[4] = b"hello"
    lines[9] = b"17231612 " + depth(10)
    lines[12] = MANY[12].replace(b'"U":', b'"V":')
    lines[30] = b""
    lines[40] = b"x" * 5_000
    lines[50:70] = [b"?"] * 20
    said, sink = imported(file(tmp_path / "a.gz", lines))
    assert said.malformed == 24
    assert len(said.named) == 10
    assert said.named[:4] == (
        "a.gz, line 5: it is of no form that is known",
        "a.gz, line 10: it is of no form that is known",
        "a.gz, line 13: 'U' is not as it should be",
        "a.gz, line 41: it is of no form that is known",
    )
    assert said.rows["raw"] == said.frames == len(lines) - 24
    assert len(sink.bad) == 1
    assert len(sink.of(Kind.DELTA)) + said.rows["trades"] == said.frames - 1


def test_times_that_cannot_be_are_bad_lines(tmp_path: Path) -> None:
    lines = [*MANY, b"9223161253000000000 {}", b"000000001.5: {}", b"ws://a <-> 1723161253.0"]
    said, _ = imported(file(tmp_path / "a", lines, packed=False))
    assert said.named == tuple(
        f"a, line {len(MANY) + at}: its time is not between 2001 and 2096" for at in (1, 2)
    )


def test_a_line_without_end_is_not_held_in_memory(tmp_path: Path) -> None:
    lines = [*MANY[:100], b"%d " % START_NS + b"x" * (20 << 20), *MANY[100:200]]
    said, _ = imported(file(tmp_path / "a.gz", lines))
    assert said.named == ("a.gz, line 101: it is longer than 8,388,608 bytes",)
    assert said.frames == 200


@pytest.mark.parametrize("share", [0.05, 0.3, 0.77, 0.999])
def test_of_a_file_that_is_cut_off_all_is_kept_that_can_be_read(tmp_path: Path, share: float) -> None:
    path = file(tmp_path / "a.gz", MANY)
    whole = path.read_bytes()
    cut = whole[: int(len(whole) * share)]
    readable = zlib.decompressobj(wbits=31).decompress(cut).split(b"\n")[:-1]
    path.write_bytes(cut)
    if not readable:
        with pytest.raises(BadImport):
            imported(path)
        return
    said, sink = imported(path)
    assert [frame for _, frame, _ in sink.raw] == [line.split(b" ", 1)[1] for line in readable]
    assert said.detail == f"a.gz: the compressed file is cut off behind line {len(readable):,}"
    assert said.malformed == 0


def test_a_damaged_file_is_read_up_to_the_damage(tmp_path: Path) -> None:
    path = file(tmp_path / "a.gz", MANY)
    whole = path.read_bytes()
    at = len(whole) // 2
    path.write_bytes(whole[:at] + bytes(byte ^ 0xFF for byte in whole[at : at + 40]) + whole[at + 40 :])
    said, sink = imported(path)
    assert "the compressed file is damaged behind line" in said.detail
    kept = [frame for _, frame, _ in sink.raw]
    good = [line.split(b" ", 1)[1] for line in MANY]
    same = next(
        (n for n, (one, other) in enumerate(zip(kept, good, strict=False)) if one != other), len(kept)
    )
    # Damage shows a little later than it is; nothing before it is lost.
    assert same > 300
    path.write_bytes(whole[:-6] + bytes([whole[-6] ^ 1]) + whole[-5:])  # only the checksum
    said, sink = imported(path)
    assert len(sink.raw) == len(MANY)
    assert "incorrect data check" in said.detail


def test_members_one_behind_the_other_are_one_file(tmp_path: Path) -> None:
    path = tmp_path / "a.gz"
    path.write_bytes(
        gzip.compress(b"\n".join(MANY[:100]) + b"\n")
        + gzip.compress(b"\n".join(MANY[100:200]) + b"\n")
        + b"\0" * 9
    )
    said, _ = imported(path)
    assert (said.frames, said.detail) == (200, "")


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "nothing is in it"),
        (b"\n\n", "nothing is in it"),
        (b"time,price\n1,2\n", "line 1: it is of no form that is known"),
        (gzip.compress(b""), "nothing is in it"),
        (b"%d {}\n" % START_NS, "nothing in it tells whose it is"),
        (b"\x1f\x8bnot really", "nothing is in it"),
    ],
)
def test_what_is_no_capture_is_one_sentence(tmp_path: Path, content: bytes, says: str) -> None:
    path = tmp_path / "a.gz"
    path.write_bytes(content)
    sink = Kept()
    with pytest.raises(BadImport, match=says):
        run_import(path, sink)  # type: ignore[arg-type]
    assert sink.said == []
    with pytest.raises(BadImport, match=r"cannot import .*nowhere\.gz: there is no such file"):
        run_import(tmp_path / "nowhere.gz", sink)  # type: ignore[arg-type]
    with pytest.raises(BadImport, match="cannot be read"):
        run_import(tmp_path, sink)  # type: ignore[arg-type]


def test_only_what_is_wanted_is_handed_over(tmp_path: Path) -> None:
    path = file(tmp_path / "a.gz", MANY)
    said, sink = imported(path, what=("trades",))
    assert set(said.rows) == {"trades"}
    assert {one.kind for one in sink.batches} == {Kind.TRADES}
    assert sink.raw == []
    said, sink = imported(path, what=("raw",))
    assert (sink.batches, said.rows, said.decoded) == ([], {"raw": len(MANY)}, False)
    assert set(EVERYTHING) == {"trades", "book", "candles", "funding", "raw"}


def test_trades_that_come_single_and_aggregated_count_once(tmp_path: Path) -> None:
    both = hft([depth(1), trade(1), trade(1, "aggTrade"), trade(2), trade(2, "aggTrade")])
    said, _ = imported(file(tmp_path / "a.gz", both))
    assert said.rows["trades"] == 2
    aggregates = hft([depth(1), trade(1, "aggTrade"), trade(2, "aggTrade")])
    said, _ = imported(file(tmp_path / "b.gz", aggregates))
    assert said.rows["trades"] == 2


def test_more_symbols_than_there_is_room_for_are_refused(tmp_path: Path) -> None:
    frames = [depth(1, s=f"A{at}USDT").replace(b"btcusdt@", b"a%dusdt@" % at) for at in range(150)]
    with pytest.raises(BadImport, match=r"its 150 symbols are too many: .*more than 140 markets"):
        run_import(file(tmp_path / "a.gz", hft(frames)), Intake(Telemetry(START_NS)))


def test_a_venue_that_is_given_names_what_the_file_does_not(tmp_path: Path) -> None:
    path = file(tmp_path / "a.gz", [b"%d {}" % (START_NS + at) for at in range(5)])
    said, sink = imported(path, venue="okx")
    assert (said.venue, len(sink.raw)) == ("okx", 5)


def test_a_connection_that_was_opened_anew_breaks_the_stream(tmp_path: Path) -> None:
    opened = b"wss://stream.binance.com:9443/stream?streams=btcusdt@depth@100ms <-> %d.5" % START_S
    timed = [b"%d.25: %s" % (START_S + at, depth(at)) for at in range(1, 7)]
    said, sink = imported(file(tmp_path / "a.ws.gz", [opened, *timed[:3], opened, *timed[3:]]))
    assert sink.said == ["open Binance spot", "interrupted 1", "close ended"]
    assert said.from_ns == (START_S + 1) * 1_000_000_000 + 250_000_000
    assert {path for path, _, _ in sink.raw} == {"/stream"}


def test_progress_is_told_and_may_stop_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importing, "CHUNK", 50)
    path = file(tmp_path / "a.gz", MANY)
    told: list[tuple[int, int]] = []
    imported(path, progress=lambda done, total: told.append((done, total)))
    assert len(told) > 40
    assert told == sorted(told)
    assert told[-1] == (3 * path.stat().st_size,) * 2

    def enough(done: int, total: int) -> None:
        if done > total * 0.8:
            raise KeyboardInterrupt

    sink = Kept()
    with pytest.raises(KeyboardInterrupt):
        run_import(path, sink, progress=enough)  # type: ignore[arg-type]
    assert sink.said[-1] == "close stopped"


def test_the_same_content_has_the_same_fingerprint(tmp_path: Path) -> None:
    first, second = file(tmp_path / "a.ws.gz", MANY), file(tmp_path / "b.ws.gz", MANY)
    assert fingerprints(first)[0].sha256 == fingerprints(second)[0].sha256
    assert imported(first)[0].files == fingerprints(first)
    beside = file(tmp_path / "a.http.gz", [b"https://api.binance.com/api/v3/time -> %d.0: {}" % START_S])
    assert files_of(first) == (first, beside)
    assert files_of(second) == (second,)
    assert len(fingerprints(first)) == 2


@pytest.mark.parametrize(
    ("address", "venue"),
    [
        ("wss://stream.binance.com:9443/stream?streams=a@trade", "binance_spot"),
        ("https://data-api.binance.vision/api/v3/depth", "binance_spot"),
        ("wss://fstream.binance.com/public/stream", "binance_usdm"),
        ("https://dapi.binance.com/dapi/v1/depth", "binance_coinm"),
        ("wss://stream.bybit.com/v5/public/inverse", "bybit_inverse"),
        ("https://api.bybit.com/v5/market/kline?category=linear&symbol=BTCUSDT", "bybit_linear"),
        ("ws://127.0.0.1:8051/bybit/v5/public/spot", "bybit_spot"),
        ("ws://127.0.0.1:8051/binance_usdm/market/stream", "binance_usdm"),
        ("wss://ws.okx.com:8443/ws/v5/public", "okx"),
        ("wss://ws-feed.pro.coinbase.com", "coinbase"),
        ("wss://ws.kraken.com/v2", "kraken"),
        ("ws://127.0.0.1:9/ws", "unknown"),
        ("ws://localhost/ws", "unknown"),
    ],
)
def test_an_address_tells_the_venue(address: str, venue: str) -> None:
    assert venue_at(urlsplit(address)) == venue


@pytest.mark.parametrize(
    ("market", "native", "symbol"),
    [
        ("bybit_spot", "BTCUSDT", "BTC-USDT"),
        ("bybit_linear", "BTCUSDT", "BTC-USDT-PERP"),
        ("bybit_linear", "BTCPERP", "BTC-USDC-PERP"),
        ("bybit_inverse", "BTCUSD", "BTC-USD-PERP"),
        ("bybit_inverse", "BTCUSDU24", "BTCUSDU24"),
        ("bybit_linear", "BTC-27SEP24", "BTC-27SEP24"),
    ],
)
def test_bybits_symbols_are_guessed_from_their_names(market: str, native: str, symbol: str) -> None:
    assert bybit_instrument(market, native).symbol == symbol


def test_what_the_live_markets_handed_over_raw_imports_to_the_same_data(tmp_path: Path) -> None:
    """Both dialects, written in cryptofeed's form from the frames of the local venue."""
    follow = {"bybit_spot": ("BTC-USDT", "ETH-USDT"), "binance_usdm": ("BTC-USDT-PERP", "ETH-USDT-PERP")}

    async def run() -> dict[str, tuple[list[Batch], list[tuple[str, bytes, int]], list[Instrument]]]:
        out = {}
        for key, symbols in follow.items():
            async with scene({key: symbols}, keeps_raw=True) as stage:
                await stage.until(lambda key=key: stage.books.synced(key, 2))
                await stage.until(lambda key=key: len(stage.books.open[key].trades) == 2)
                units = [one.instrument for one in stage.books.open[key].states.values()]
                out[key] = (list(stage.books.batches or ()), list(stage.books.raw), units)
        return out

    for key, (batches, raw, units) in asyncio.run(run()).items():
        budget = "bybit" if key.startswith("bybit") else key
        base, lines, opened = f"127.0.0.1:8051/{budget}", [], set()
        for path, frame, recv_ns in raw:
            stamp = f"{recv_ns // 10**9}.{recv_ns % 10**9:09d}"
            if path.startswith("GET "):
                lines.append(f"http://{base}{path[4:]} -> {stamp}: ".encode() + frame)
                continue
            if path not in opened:
                opened.add(path)
                lines.append(f"ws://{base}{path} <-> {stamp}".encode())
            lines.append(f"{stamp}: ".encode() + frame)
        said, sink = imported(file(tmp_path / f"{key}.ws.gz", lines))
        assert (said.venue, said.malformed, set(said.symbols)) == (key, 0, set(follow[key]))
        for unit in units:
            state = sink.states[unit.symbol]
            by_price = 10 ** (unit.price_decimals - state.instrument.price_decimals)
            by_size = 10 ** (unit.size_decimals - state.instrument.size_decimals)
            for kind in (Kind.TRADES, Kind.QUOTES):
                live = [one.rows for one in batches if one.kind is kind and one.symbol == unit.symbol]
                rows, whole = (
                    np.concatenate(live),
                    np.concatenate([one.rows for one in sink.of(kind, unit.symbol)]),
                )
                names = ("price", "bid_price", "ask_price", "size", "bid_size", "ask_size")
                for name in rows.dtype.names or ():
                    factor = (by_price if "price" in name else by_size) if name in names else 1
                    assert (whole[name][: len(rows)] * factor).tolist() == rows[name].tolist(), (
                        key,
                        kind,
                        name,
                    )
            numbers = [
                one.last_sequence for one in batches if one.kind is Kind.DELTA and one.symbol == unit.symbol
            ]
            assert [one.last_sequence for one in sink.of(Kind.DELTA, unit.symbol)][: len(numbers)] == numbers
            assert state.state is BookState.SYNCED
            assert state.sync.gaps == 0


def test_items_name_their_file_and_line() -> None:
    address = urlsplit("wss://a/b")
    assert (Frame("x", 3, 1, b"").file, Opened("x", 4, address).line) == ("x", 4)
