"""Takes over what others recorded: a capture, played as fast as it goes through the venue's decoder into a sink.

A capture is read three times: to learn whose it is and which symbols it has, to learn how many decimals they need (so
that all of it is in the same units), and to hand it over. Where there is no decoder for its venue, one reading hands
over the frames as they came. What cannot be read is counted, the first of it named, and the rest goes on.

A file of REST answers that lies beside one of frames (`x.http.gz` beside `x.ws.gz`) belongs to it: the books in it are
what the frames' changes follow. Both are played together, by their times.
"""

from __future__ import annotations

import hashlib
import heapq
import itertools
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final
from urllib.parse import SplitResult

import numpy as np

from engine.errors import BadFrame, BadImport
from engine.market.batches import Batch, Kind, Source
from engine.market.instruments import Instrument
from engine.market.sink import Sink
from engine.telemetry.hub import TelemetryFull
from feeds.dialect import Decoded, Decoder
from feeds.foreign_lines import BadLine, ForeignLines, Frame, Item, Opened, arguments_of, path_of
from feeds.foreign_venues import UNKNOWN, Survey, decoder_of, label_of, rule_of, venue_at
from feeds.frames import join
from feeds.venues import DIALECTS

CHUNK: Final = 512  # lines read at once
TOGETHER_NS: Final = 20_000_000  # decoded at once: batches of one kind come before those of the next
NAMED_MOST: Final = 10  # of what could not be read
COMPANIONS: Final = ((".ws.gz", ".http.gz"), (".ws", ".http"))
READINGS: Final = 3
EMPTY: Final = "nothing is in it"
RAW: Final = "raw"
BARE_BOOK: Final = b'{"lastUpdateId"'  # a depth call's body among frames
NOT_DECODED: Final = "nothing of {} can be decoded in it: its frames were kept as they came"
WHAT_OF: Final[Mapping[Kind, str]] = {
    Kind.TRADES: "trades",
    Kind.QUOTES: "book",
    Kind.SNAPSHOT: "book",
    Kind.DELTA: "book",
    Kind.CANDLES: "candles",
    Kind.FUNDING: "funding",
}
EVERYTHING: Final = (*dict.fromkeys(WHAT_OF.values()), RAW)

Progress = Callable[[int, int], None]
Wanted = Sequence[str]


@dataclass(frozen=True, slots=True)
class ImportFile:
    """One of the files of a capture; the same `sha256` is the same capture, whatever it is called."""

    name: str
    size_bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Imported:
    """What came of an import."""

    venue: str  # under which it was handed over: "binance_usdm", "okx"
    label: str
    files: tuple[ImportFile, ...]
    symbols: tuple[str, ...]  # universal; none where there is no decoder
    decoded: bool  # whether there is one
    lines: int
    frames: int  # received, REST bodies included
    rows: Mapping[str, int]  # handed over, by what they are: trades, best prices and book changes, ..; frames
    malformed: int  # lines that cannot be read, and frames that are not as the venue documents
    named: tuple[str, ...]  # the first of them: "x.ws.gz, line 7: it is empty"
    ignored: Mapping[str, int]  # good frames that are nothing we use, by their names
    from_ns: int  # of what was received; 0 when nothing was
    to_ns: int
    detail: str  # what is to be known of it: cut off, no decoder; "" = nothing


def files_of(path: Path) -> tuple[Path, ...]:
    """A capture's files: itself, and what lies beside it and belongs to it."""
    for own, other in COMPANIONS:
        beside = path.with_name(path.name.removesuffix(own) + other)
        if path.name.endswith(own) and beside.is_file():
            return path, beside
    return (path,)


def fingerprints(path: Path) -> tuple[ImportFile, ...]:
    """A capture's files by what is in them, for whoever asks whether it was imported before. BadImport as below."""
    found = []
    for each in files_of(path):
        try:
            with each.open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
            found.append(ImportFile(each.name, each.stat().st_size, digest))
        except FileNotFoundError:
            raise BadImport(str(each), "there is no such file") from None
        except OSError as error:
            raise BadImport(str(each), f"it cannot be read ({error.strerror or error})") from None
    return tuple(found)


def run_import(
    path: Path,
    sink: Sink,
    *,
    what: Wanted = EVERYTHING,
    venue: str = "",
    progress: Progress = lambda *_: None,
) -> Imported:
    """Hand a capture over to a sink, and say what came of it. Blocks: for a process or a thread of its own.

    The sink is told of a live source of the capture's venue, or of `venue`, where that is given. `what` is of
    EVERYTHING; the frames as they came are only handed over with "raw". `progress(done, total)` is called after each
    few hundred frames, in bytes over all readings; it may wait, for a journal say, and may raise to stop. BadImport
    when nothing in the file can be read, or nothing of it is wanted: then the sink was told nothing.
    """
    capture = _Capture(path, progress)
    survey = Survey(str(path), venue)
    for chunk in capture.read():
        capture.count(chunk)
        for item in chunk:
            if isinstance(item, Opened):
                survey.at(item.address)
        survey.take([item for item in chunk if isinstance(item, Frame)])
    if not capture.frames:
        raise BadImport(str(path), capture.nothing)
    source = Source(survey.venue, "live")
    if source.venue == UNKNOWN:
        raise BadImport(str(path), "nothing in it tells whose it is; say it with the venue's name")
    label = label_of(source.venue)
    wanted = frozenset(what)
    instruments = survey.instruments() if wanted - {RAW} else []
    decoder = decoder_of(survey, source, instruments) if instruments else None
    if decoder is None and RAW not in wanted:
        raise BadImport(
            str(path), f"nothing of {label} can be decoded in it; its frames can be kept as they came, raw"
        )
    if decoder is not None:
        measuring = _Player(source.venue, decoder)
        for chunk in capture.read():
            for _ in measuring.parts(chunk):
                pass
        decoder = decoder_of(survey, source, [_first(one) for one in decoder.instruments])
    units = decoder.instruments if decoder is not None else []
    delivery = _Delivery(source, sink, wanted, [one.symbol for one in units])
    player = _Player(source.venue, decoder)
    try:
        sink.open_source(source, label, units, rule_of(source.venue), lambda _: capture.last_ns)
    except TelemetryFull as error:
        raise BadImport(str(path), f"its {len(units):,} symbols are too many: {error}") from error
    reason = "stopped"
    try:
        for chunk in capture.read():
            for part in player.parts(chunk):
                delivery.take(part)
        reason = "ended"
    except Exception as error:
        reason = str(error) or type(error).__name__
        raise
    finally:
        sink.close_source(source, reason)
    return Imported(
        venue=source.venue,
        label=label,
        files=capture.files,
        symbols=tuple(one.symbol for one in units),
        decoded=decoder is not None,
        lines=capture.lines,
        frames=capture.frames,
        rows=dict(sorted(delivery.rows.items())),
        malformed=delivery.malformed,
        named=tuple(delivery.named),
        ignored=dict(getattr(decoder, "ignored", {})),
        from_ns=capture.first_ns,
        to_ns=capture.last_ns,
        detail="; ".join([*capture.ended, *([] if decoder is not None else [NOT_DECODED.format(label)])]),
    )


class _Capture:
    """A capture's files, to be read several times, and what the first reading has counted."""

    def __init__(self, path: Path, progress: Progress) -> None:
        self.files = fingerprints(path)
        self.lines = self.frames = 0
        self.first_ns = self.last_ns = 0
        self.ended: list[str] = []
        self.nothing = EMPTY
        self._paths, self._progress = files_of(path), progress
        self._size_bytes = sum(each.size_bytes for each in self.files)
        self._readings = 0

    def read(self) -> Iterator[list[Item]]:
        """All of it once more, some hundred items at a time, by their times where there are several files."""
        readers = [ForeignLines(each) for each in self._paths]
        items: Iterator[Item] = iter(readers[0])
        if len(readers) > 1:
            timed = heapq.merge(*map(_timed, readers), key=lambda one: one[0])
            items = (item for _, item in timed)
        while chunk := list(itertools.islice(items, CHUNK)):
            yield chunk
            done = self._readings * self._size_bytes + sum(one.read_bytes for one in readers)
            self._progress(done, READINGS * self._size_bytes)
        self._readings += 1
        self.lines = sum(one.lines for one in readers)
        self.ended = [f"{one.path.name}: {one.ended}" for one in readers if one.ended]

    def count(self, chunk: Sequence[Item]) -> None:
        """Take note of a chunk of the first reading."""
        times = [item.recv_ns for item in chunk if isinstance(item, Frame)]
        if times:
            self.frames += len(times)
            self.first_ns = min(times) if not self.first_ns else min(self.first_ns, *times)
            self.last_ns = max(self.last_ns, *times)
        bad = next((item for item in chunk if isinstance(item, BadLine)), None)
        if bad is not None and not self.frames and self.nothing is EMPTY:
            self.nothing = f"line {bad.line:,}: {bad.reason}"


@dataclass(frozen=True, slots=True)
class _Part:
    """Frames of one path, or one body, and what they say."""

    path: str
    frames: list[Frame]
    decoded: list[Decoded]
    decode_ns: int


class _Player:
    """Walks through a capture's items with a decoder, where there is one."""

    def __init__(self, venue: str, decoder: Decoder | None) -> None:
        self._venue, self._decoder = venue, decoder
        self._dialect = DIALECTS.get(venue)
        self._path = "/stream"

    def parts(self, chunk: Sequence[Item]) -> Iterator[_Part | Opened | BadLine]:
        """What to hand over, in the capture's order."""
        held: list[Frame] = []
        for item in chunk:
            if isinstance(item, Frame) and item.address is None and not item.text.startswith(BARE_BOOK):
                if held and item.recv_ns - held[0].recv_ns > TOGETHER_NS:
                    yield self._streamed(self._path, held)
                    held = []
                held.append(item)
                continue
            if held:
                yield self._streamed(self._path, held)
                held = []
            if not isinstance(item, Frame):
                if isinstance(item, Opened):
                    self._path = path_of(item.address)
                yield item
            elif item.address is None:
                yield self._streamed(self._book_path(), [item])
            else:
                yield self._body(item, item.address)
        if held:
            yield self._streamed(self._path, held)

    def _streamed(self, path: str, frames: list[Frame]) -> _Part:
        if self._decoder is None:
            return _Part(path, frames, [], 0)
        joined = join([one.text for one in frames], [one.recv_ns for one in frames])
        started_ns = time.perf_counter_ns()
        decoded = self._decoder.decode(joined)
        return _Part(path, frames, decoded, time.perf_counter_ns() - started_ns)

    def _book_path(self) -> str:
        """Of a book that lies among the frames: where there is only one symbol, it is that one's."""
        known = self._decoder.instruments if self._decoder is not None else []
        call = self._dialect.snapshot_call(known[0]) if self._dialect is not None and known else None
        if call is None:
            return self._path
        return f"{call.endpoint}?symbol={known[0].native}" if len(known) == 1 else call.endpoint

    def _body(self, frame: Frame, address: SplitResult) -> _Part:
        """A book is decoded; of other bodies only the bytes are of use."""
        path = path_of(address)
        native = arguments_of(address).get("symbol", "")
        known = self._decoder.instruments if self._decoder is not None else []
        instrument = next((one for one in known if one.native == native), None)
        if instrument is None or self._decoder is None or self._dialect is None:
            return _Part(path, [frame], [], 0)
        call = self._dialect.snapshot_call(instrument)
        if call is None or not address.path.endswith(call.path) or venue_at(address) != self._venue:
            return _Part(path, [frame], [], 0)
        started_ns = time.perf_counter_ns()
        decoded = self._decoder.snapshot(instrument.symbol, frame.text, frame.recv_ns)
        return _Part(path, [frame], decoded, time.perf_counter_ns() - started_ns)


class _Delivery:
    """Hands parts over to a sink, as far as they are wanted, and counts."""

    def __init__(self, source: Source, sink: Sink, wanted: frozenset[str], symbols: Sequence[str]) -> None:
        self.rows: dict[str, int] = {}
        self.malformed = 0
        self.named: list[str] = []
        self._source, self._sink, self._wanted, self._symbols = source, sink, wanted, symbols
        self._opened: set[str] = set()

    def take(self, part: _Part | Opened | BadLine) -> None:
        """The next of it."""
        if isinstance(part, BadLine):
            self._bad(part.file, part.line, part.reason)
        elif isinstance(part, Opened):
            self._open(part)
        else:
            self._hand_over(part)

    def _open(self, opened: Opened) -> None:
        """What comes after a connection was opened anew does not follow what came before."""
        where = f"{opened.address.netloc}{opened.address.path}"
        if where in self._opened:
            self._sink.interrupted(
                self._source, self._symbols, "the connection was opened anew in the capture"
            )
        self._opened.add(where)

    def _hand_over(self, part: _Part) -> None:
        frames = part.frames
        if RAW in self._wanted:
            texts, times = [one.text for one in frames], [one.recv_ns for one in frames]
            self._sink.on_raw(self._source, part.path, texts, times)
            self.rows[RAW] = self.rows.get(RAW, 0) + len(frames)
        at = 0
        for item in part.decoded:
            if isinstance(item, Batch):
                self._batch(item)
            elif isinstance(item, BadFrame):
                at = next((n for n in range(at, len(frames)) if frames[n].text == item.frame), at)
                self._bad(frames[at].file, frames[at].line, f"{item.field!r} is not as it should be")
                self._sink.on_bad_frame(self._source, item)
                at = min(at + 1, len(frames) - 1)
            else:
                self._sink.revise(self._source, item)
        sizes = np.fromiter((len(one.text) for one in frames), np.int64, len(frames))
        total = max(int(sizes.sum()), 1)
        self._sink.on_frames(self._source, len(frames), total, part.decode_ns * sizes // total)

    def _batch(self, batch: Batch) -> None:
        what = WHAT_OF[batch.kind]
        if what in self._wanted:
            self._sink.on_batch(batch)
            books = batch.kind in (Kind.SNAPSHOT, Kind.DELTA)
            self.rows[what] = self.rows.get(what, 0) + (1 if books else len(batch.rows))

    def _bad(self, file: str, line: int, reason: str) -> None:
        self.malformed += 1
        if len(self.named) < NAMED_MOST:
            self.named.append(f"{file}, line {line:,}: {reason}")


def _timed(reader: ForeignLines) -> Iterator[tuple[int, Item]]:
    """Each item with its time; what has none goes with what came before it."""
    recv_ns = 0
    for item in reader:
        if isinstance(item, Frame):
            recv_ns = item.recv_ns
        yield recv_ns, item


def _first(instrument: Instrument) -> Instrument:
    """In the same units, as if it had always been in them."""
    return replace(instrument, revision=0, tick_size=1, lot_size=1)
