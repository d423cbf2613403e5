"""Frames a second, parsed and applied, on three recorded Binance markets, beside plain Python and ccxt.pro in the same
run.

Run: uv run python tests/benchmarks/bench_feed.py [--quick]

Both take the same frames in memory (unzipping and splitting lines are not timed), parse every one (depth,
bookTicker, trade), keep the sequence rules, apply every delta and compare the book's top after each with the
venue's quote. Ours goes through the feed's own decoder, in the chunks that a replay reads, and `SymbolState`, which
builds candles besides; "one_by_one" is the same with a chunk made for each frame, as for a socket that never has two
waiting. The rivals are `tests/reference/feed_plain.py` (msgspec structs, dicts and bisect; it does all that ours does
but candles) and ccxt.pro's own handlers (`feed_peers.py`; they compare no tops). The answers are compared before
anything is timed. CPU time counts (all use one thread), repeats are interleaved, medians are shown. "socket" is the
whole live path over loopback, wall time, the sender on the other core: see `feed_socket.py`. The last line is one JSON
object.
"""

from __future__ import annotations

import gc
import json
import platform
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from importlib.metadata import version
from pathlib import Path
from statistics import median

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from engine.market import state
from engine.market.batches import Batch, Source
from engine.market.instruments import Instrument, format_decimal
from engine.market.sequencing import BookState
from engine.market.state import SymbolState
from feeds import capture
from feeds.frames import Frames, join
from feeds.venues import binance
from tests.benchmarks import feed_socket
from tests.benchmarks.feed_peers import CcxtFeed
from tests.reference.feed_plain import PlainFeed

DATA = ROOT.parent / "shared" / "data"
MARKETS = ("spot", "usdm", "coinm")
BARS = {"spot": 3.0, "usdm": 3.0, "coinm": 2.0}
CCXT_BARS = {"spot": 7.0, "usdm": 7.0, "coinm": 5.0}
SOCKET_RATE = 10_000.0  # frames a second for its latencies: thirty times what Binance spot BTC sends
AGREEMENT_BARS = {"spot": 0.999, "usdm": 1.0, "coinm": 1.0}


def ours(info: capture.CaptureInfo, chunks: Iterable[Frames]) -> SymbolState:
    """The market after all frames."""
    source = Source(info.market, "replay")
    instruments = info.instruments()
    decoder = binance.BinanceDecoder(source, info.market, instruments)
    symbol = SymbolState(source, instruments[0], binance.rule_of(info.market))
    for chunk in chunks:
        for item in decoder.decode(chunk):
            if isinstance(item, Batch):
                symbol.on_batch(item)
            elif isinstance(item, Instrument):
                symbol.revise(item)
            else:
                raise item
    symbol.settle()
    return symbol


def singly(recorded: Iterable[tuple[int, bytes]]) -> Iterator[Frames]:
    """Each frame as a chunk of its own, made as a socket's reader would."""
    return (join((frame,), (recv_ns,)) for recv_ns, frame in recorded)


def plain(info: capture.CaptureInfo, frames: list[bytes]) -> PlainFeed:
    """The rival's market after all frames."""
    feed = PlainFeed(futures=info.market != "binance_spot")
    for frame in frames:
        feed.on_frame(frame)
    feed.compare(float("inf"))
    return feed


def ccxt(info: capture.CaptureInfo, frames: list[bytes]) -> CcxtFeed:
    """ccxt.pro's market after all frames."""
    instrument = info.instruments()[0]
    feed = CcxtFeed(info.market, instrument.native, instrument.base, instrument.quote)
    for frame in frames:
        feed.on_frame(frame)
    assert not feed.client.failed, f"ccxt refused: {feed.client.failed[0]}"
    return feed


def check(name: str, symbol: SymbolState, rival: PlainFeed) -> None:
    """Both must have the same book, agreement and trades, and ours a whole one."""
    units = symbol.instrument
    for rows, levels in zip(symbol.book.top(symbol.book.capacity), (rival.bids, rival.asks), strict=True):
        have = {
            float(format_decimal(price, units.price_decimals)): float(
                format_decimal(size, units.size_decimals)
            )
            for price, size in rows.tolist()
        }
        assert have == levels, f"{name}: the books differ"
    assert tuple(symbol.agreement) == (rival.agreed, rival.checked), f"{name}: agreement differs"
    assert symbol.sync.counts.applied == rival.applied, f"{name}: different deltas applied"
    assert symbol.trades == len(rival.trades), f"{name}: different trades"
    assert symbol.state is BookState.SYNCED, f"{name}: not synced at the end"
    assert symbol.sync.gaps == rival.gaps == 0, f"{name}: gaps"


def timed(work: Callable[[], object]) -> float:
    """CPU seconds of one run (neighbours on a shared machine don't count), the collector held off as in `timeit`."""
    gc.collect()
    gc.disable()
    started = time.thread_time()
    work()
    took = time.thread_time() - started
    gc.enable()
    return took


def cpu_name() -> str:
    """The processor's name, as far as the system tells."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")


def main() -> int:
    """Print the figures; 1 when a bar is missed, 2 when the captures are absent."""
    paths = {name: next(iter((DATA / f"binance_{name}").glob("hftbacktest_*.gz")), None) for name in MARKETS}
    if None in paths.values():
        print(f"the recorded captures are not at {DATA}", file=sys.stderr)
        return 2
    repeats = 4 if "--quick" in sys.argv[1:] else 15
    state.warm_up()
    binance.warm_up()
    figures: dict[str, object] = {}
    agreement: dict[str, float] = {}
    met = True
    for name, path in paths.items():
        assert path is not None
        info = capture.measure(capture.probe(path))
        recorded = list(capture.read(path))
        frames = [frame for _, frame in recorded]
        chunks = list(capture.chunks(path))
        symbol, rival = ours(info, chunks), plain(info, frames)
        check(name, symbol, rival)
        check(name, ours(info, singly(recorded)), rival)
        assert ccxt(info, frames).top() == rival.top(), f"{name}: ccxt's top differs"
        agreed, checked = symbol.agreement
        agreement[name] = agreed / checked
        deltas = symbol.sync.counts.applied
        del symbol, rival
        took: dict[str, list[float]] = {"ours": [], "one_by_one": [], "plain": [], "ccxt": []}
        for repeat in range(repeats):
            took["ours"].append(timed(lambda: ours(info, chunks)))  # noqa: B023
            if repeat % 5 == 0:
                took["one_by_one"].append(timed(lambda: ours(info, singly(recorded))))  # noqa: B023
                took["ccxt"].append(timed(lambda: ccxt(info, frames)))  # noqa: B023
            took["plain"].append(timed(lambda: plain(info, frames)))  # noqa: B023
        fast, single, slow, peer = (median(took[key]) for key in ("ours", "one_by_one", "plain", "ccxt"))
        # Of each pair, so that a change of the machine's pace between pairs doesn't count.
        ratio = median(b / a for a, b in zip(took["ours"], took["plain"], strict=True))
        figures[name] = {
            "frames_per_s": round(len(frames) / fast),
            "vs_plain": round(ratio, 2),
            "plain_frames_per_s": round(len(frames) / slow),
            "one_by_one_frames_per_s": round(len(frames) / single),
            "one_by_one_vs_plain": round(slow / single, 2),
            "vs_ccxt": round(peer / fast, 2),
            "ccxt_frames_per_s": round(len(frames) / peer),
            "one_by_one_vs_ccxt": round(peer / single, 2),
            "frames": len(frames),
            "deltas": deltas,
            "bar": BARS[name],
            "ccxt_bar": CCXT_BARS[name],
        }
        met &= ratio >= BARS[name] and peer / fast >= CCXT_BARS[name]
        met &= agreement[name] >= AGREEMENT_BARS[name]
        print(f"{name}: {figures[name]} agreement {agreed} of {checked}", flush=True)
    path = paths["spot"]
    assert path is not None
    figures["socket"] = feed_socket.measure(path, repeats=3, frames_per_s=SOCKET_RATE)
    print(f"socket: {figures['socket']}", flush=True)
    figures["top_agreement"] = agreement
    figures["conditions"] = {
        "repeats": repeats,
        "chunk_bytes": capture.BLOCK_BYTES,
        "cpu": cpu_name(),
        "python": platform.python_version(),
        **{package: version(package) for package in ("numpy", "numba", "msgspec", "orjson", "ccxt")},
    }
    print(json.dumps(figures))
    return 0 if met else 1


if __name__ == "__main__":
    raise SystemExit(main())
