"""The commands `query` and `export`: texts as a user gives them, what is printed, and the exit code."""

from __future__ import annotations

import errno
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any, Final, TextIO

from engine.errors import BadDataFolder, BadQuery, StorageError
from engine.moments import moment_of
from engine.storage import answers, catalog
from engine.storage.export import ExportResult, arrow_writer, export, whole_file
from engine.storage.export_request import (
    FORMS,
    MAX_NS,
    Canceled,
    ExportRequest,
    checked_form,
    checked_kind,
    file_name,
)
from engine.storage.jobs import JobReport
from engine.storage.schema import NAME
from engine.storage.sql import Answer, answered
from engine.storage.symbols import universal

ANSWER_FORMS: Final = ("table", "csv", "json", "parquet", "feather")
SHOWN: Final = 40
_SAY_S: Final = 0.2
_CANCELED: Final = 130  # as a shell has it for Ctrl-C

Wall = Callable[[], int]


def run_query(
    folder: Path,
    text: str,
    form: str = "table",
    out: Path | None = None,
    *,
    start: str = "",
    end: str = "",
    rows: int = SHOWN,
    wall: Wall = time.time_ns,
) -> int:
    """Print the answer, or write it to `out`; the exit code. UserError for what cannot be.

    `start` and `end` are moments: only records between them are looked at. Of a table `rows` are printed.
    """
    if form not in ANSWER_FORMS:
        raise BadQuery("--format", f"{form!r} is not one of {', '.join(ANSWER_FORMS)}")
    if out is None and form in ("parquet", "feather"):
        raise BadQuery("--format", f"{form} is no text: say with --out which file it goes to")
    from_ns, to_ns = _stretch(start, end, wall())
    with _ended_well() as ended:
        _say_empty(folder)

        def ask(stop: threading.Event) -> None:
            with answered(folder, text, from_ns=from_ns, to_ns=to_ns, stop=stop) as answer:
                written = _write(answer, form, out, rows)
                _say_skipped(answer.skipped)
            if out is not None:
                print(f"{out}: {written:,} rows, {_size(out.stat().st_size)}")

        _stoppable(ask)
    return ended[0]


def run_export(
    folder: Path,
    *,
    kind: str = "trades",
    venue: str = "",
    symbol: str = "",
    start: str = "",
    end: str = "",
    form: str = "",
    out: Path | None = None,
    job: str = "",
    wall: Wall = time.time_ns,
) -> int:
    """Write the file and say what it has; the exit code. UserError for what cannot be.

    Without a form the ending of `out` counts, else it is CSV; without `out` the file gets a name of its own, here.
    """
    checked = checked_kind(kind)
    chosen = checked_form(form or (out.suffix.removeprefix(".") if out and out.suffix else FORMS[0]))
    if not job:
        symbol = _checked_symbol(folder, venue, symbol)
    request = ExportRequest(checked, venue, symbol, *_stretch(start, end, wall()), chosen)
    target = out or Path(file_name(request))
    with _ended_well() as ended:
        _say_empty(folder)
        if job:
            _run_job(folder, request, target, job)
        else:
            with _counting(sys.stderr) as progress:
                result = export(folder, request, target, progress)
            _say_skipped(result.skipped)
            print(f"{target}: {result.rows:,} rows, {_size(result.size_bytes)}")
    return ended[0]


def _run_job(folder: Path, request: ExportRequest, out: Path, job: str) -> None:
    if hasattr(os, "nice"):
        os.nice(10)  # the program that asked for it has venues to serve
    with closing(JobReport(folder, job)) as report:
        result = export(folder, request, out, report)
        report.end(result.rows, result.size_bytes, _without(result))


def _without(result: ExportResult) -> str:
    if not result.skipped:
        return ""
    path, reason = result.skipped[0]
    others = f" and {len(result.skipped) - 1:,} more" if len(result.skipped) > 1 else ""
    return f"without {path} ({reason}){others}"


def _stoppable(work: Callable[[threading.Event], None]) -> None:
    """Do it in a thread, since Ctrl-C reaches nobody inside DuckDB; it is told by the event, and ended."""
    stop = threading.Event()
    with ThreadPoolExecutor(1) as pool:
        try:
            future = pool.submit(work, stop)
            while not wait((future,), timeout=_SAY_S).done:
                pass
        except KeyboardInterrupt:
            stop.set()
    if stop.is_set():
        raise Canceled
    future.result()


def _write(answer: Answer, form: str, out: Path | None, rows: int) -> int:
    """How many rows were written; a table is printed."""
    batches, schema = answer.reader, answer.reader.schema
    if out is None:
        if sys.stdout is None:  # closed by whoever started this
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))
        texts = _texts(batches, schema, form, rows)
        for text in texts:
            sys.stdout.write(text)
        return 0
    written = 0
    with whole_file(out) as file, ExitStack() as stack:
        if form in FORMS[1:]:
            writer = stack.enter_context(arrow_writer(checked_form(form), schema, file))
            for batch in batches:
                writer.write_batch(batch)
                written += len(batch)
        else:

            def counted() -> Iterator[Any]:
                nonlocal written
                for batch in batches:
                    written += len(batch)
                    yield batch

            for text in _texts(counted(), schema, form, rows):
                file.write(text.encode())
    return written


def _texts(batches: Any, schema: Any, form: str, rows: int) -> Iterator[str]:
    if form == "table":
        for line in answers.table(batches, schema, rows):
            yield line + "\n"
    elif form == "csv":
        yield answers.csv_header(schema)
        yield from map(answers.csv_lines, batches)
    else:
        yield from map(answers.json_lines, batches)


def _stretch(start: str, end: str, now_ns: int) -> tuple[int, int]:
    from_ns = moment_of("--from", start, now_ns) if start else 0
    to_ns = moment_of("--to", end, now_ns) if end else MAX_NS
    if from_ns >= to_ns:
        raise BadQuery("--from", f"{start} must be before --to ({end or 'now'})")
    return from_ns, to_ns


def _checked_symbol(folder: Path, venue: str, symbol: str) -> str:
    """The symbol's universal name; BadQuery with what there is, when nothing of these names was ever recorded."""
    with catalog.reading(folder) as connection:
        known = list(catalog.streams(connection).values())
    venues = sorted({stream.venue for stream in known if stream.venue})
    if venue and venues and venue not in venues:
        raise BadQuery("--venue", f"nothing of {venue!r} was recorded; there is {', '.join(venues[:20])}")
    return universal(known, venue, symbol) if symbol and known else symbol


def elsewhere(folder: Path) -> str:
    """What to say where this store is empty and the one beside it is not: what real venues said and what a local one
    did are kept apart. "" where there is nothing to say.
    """
    beside = {"store": "store-local", "store-local": "store"}.get(folder.name)
    if beside is None or _holds(folder) or not _holds(folder.with_name(beside)):
        return ""
    how = "--local asks" if beside == "store-local" else "without --local you ask"
    return f"nothing is recorded here, but {folder.with_name(beside)} has something: {how} for it"


def _holds(folder: Path) -> bool:
    """Whether anything was ever recorded there, as far as that can be read."""
    try:
        with catalog.reading(folder) as connection:
            return bool(catalog.streams(connection))
    except (BadDataFolder, StorageError):
        return False


def _say_empty(folder: Path) -> None:
    """What whoever asks should know of a store without anything in it."""
    if not (folder / NAME).exists():
        print(f"venuescope: nothing has been recorded in {folder} yet", file=sys.stderr)
    if said := elsewhere(folder):
        print(f"venuescope: {said}", file=sys.stderr)


@contextmanager
def _ended_well() -> Iterator[list[int]]:
    """[the exit code], known when the block has ended."""
    ended = [0]
    try:
        yield ended
        sys.stdout.flush()
    except StorageError as error:
        print(f"venuescope: {error}", file=sys.stderr)
        ended[0] = 1
    except (KeyboardInterrupt, Canceled):
        print("venuescope: ended before it was done; no file was left", file=sys.stderr)
        ended[0] = _CANCELED
    except BrokenPipeError:  # `| head` has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


@contextmanager
def _counting(stream: TextIO) -> Iterator[Callable[[int, int], None]]:
    """A progress line, where somebody looks."""
    shows = stream.isatty()
    next_s = 0.0

    def say(rows: int, total: int) -> None:
        nonlocal next_s
        if shows and time.monotonic() >= next_s:
            next_s = time.monotonic() + _SAY_S
            print(f"\r{rows:,} of about {total:,} rows", end="", file=stream, flush=True)

    yield say
    if shows:
        print("\r\x1b[K", end="", file=stream, flush=True)


def _say_skipped(skipped: Sequence[tuple[str, str]]) -> None:
    for path, reason in skipped[:10]:
        print(f"venuescope: left out: {path}: {reason}", file=sys.stderr)
    if len(skipped) > 10:
        print(f"venuescope: and {len(skipped) - 10:,} more", file=sys.stderr)


def _size(size_bytes: int) -> str:
    return f"{size_bytes / 1e6:,.1f} MB" if size_bytes >= 100_000 else f"{size_bytes:,} bytes"
