"""How the program logs: lines for people or JSON for programs, request ids, and nothing secret in either.

Lines of structlog and of the standard library's loggers (aiohttp, hypercorn, asyncio, warnings) take one way: made
plain, freed of secrets, written whole. Every line is bounded. A line below the level costs a call that does nothing.

What is secret goes by its name (`secret`, `token`, `cookie`, ...) wherever that stands: as a key, and in text before
`=` or `:`; and by its form: credentials in a URL, `vsk_` keys, JWTs, tokens of Telegram bots. Where it is doubtful how
far a secret reaches, more is left out rather than less.
"""

from __future__ import annotations

import json
import logging
import math
import re
import sys
import threading
from collections.abc import Mapping, MutableMapping, Sequence
from types import TracebackType
from typing import IO, Any, Final, Literal

import structlog
from structlog.contextvars import merge_contextvars
from structlog.processors import ExceptionRenderer, StackInfoRenderer, TimeStamper, add_log_level
from structlog.tracebacks import ExceptionDictTransformer
from structlog.typing import EventDict, Processor

Form = Literal["console", "json"]

HIDDEN: Final = "[redacted]"
TEXT_MOST: Final = 16_384  # characters of one value
DEPTH_MOST: Final = 6  # of values in values
ITEMS_MOST: Final = 100  # of one list or mapping
FRAMES_MOST: Final = 20  # of a traceback
FIRST: Final = ("timestamp", "level", "event")
FOREIGN_LEAST: Final = logging.WARNING  # others' loggers tell more than we want to know

_NAMES: Final = (
    r"secret|pass(?:wor[dt]|wd|phrase)|token|authori[sz]ation|api[\s_-]?key|signature|cookie|credential|jwt"
    r"|listen[\s_-]?key|private[\s_-]?key|api[_-]?sign"
)
_SECRET_KEY: Final = re.compile(_NAMES, re.IGNORECASE)
_COUNTS: Final = (bool, int, float, type(None))  # `tokens=5` tells nothing
# Rows are tried in turn. Each matches in time linear in the text: a line may hold what a stranger sent.
_FORMS: Final = (
    (re.compile(r"://[^\s/?#]*@"), f"://{HIDDEN}@"),
    (re.compile(r"vsk_[\w-]*"), HIDDEN),
    (re.compile(r"eyJ[\w-]*(?:\.[\w-]*)*"), HIDDEN),
    (re.compile(r"bot\d+(?::|%3a)[\w-]*", re.IGNORECASE), f"bot{HIDDEN}"),
    (re.compile(r"\d{6,12}:[\w-]{30,}"), HIDDEN),
    # A header's value is all of its line: `Cookie: a=1; b=2`, `Authorization: Bearer x`.
    (
        re.compile(r"""((?:authori[sz]ation|cookie)["'\\]{0,4}\s{0,4}[:=]\s{0,4})[^\r\n]+""", re.IGNORECASE),
        rf"\1{HIDDEN}",
    ),
    # name=value, "name": "value", 'name': b'value', name%3Dvalue: up to the closing quote or bracket, else to the next
    # argument of a query or the next gap.
    (
        re.compile(
            rf"""((?:{_NAMES})[\w-]{{0,24}}["'\\]{{0,4}}\]?\s{{0,4}}(?::|=>?|%3[ad])\s{{0,4}})"""
            r"""(?:b?\\{0,3}"(?:[^"\\]|\\+[^\\])*"?|b?\\{0,3}'(?:[^'\\]|\\+[^\\])*'?|[\[({][^\])}]*|"""
            r"""(?:bearer|basic)\s+\S+|[^\s&]+(?:&(?![\w.-]+=)[^\s&]*)*)""",
            re.IGNORECASE | re.DOTALL,
        ),
        rf"\1{HIDDEN}",
    ),
    (re.compile(r"((?:bearer|basic)\s{1,4})[\w.~+/=-]{8,}", re.IGNORECASE), rf"\1{HIDDEN}"),
)


def redacted(text: str) -> str:
    """The text without secrets, as far as they can be told by name or form. Cut after 16,384 characters."""
    if len(text) > TEXT_MOST:
        text = f"{text[:TEXT_MOST]}... ({len(text) - TEXT_MOST:,} characters more)"
    for pattern, instead in _FORMS:
        text = pattern.sub(instead, text)
    return text


def is_secret(key: str) -> bool:
    """Whether what stands under this name is not for the log."""
    return _SECRET_KEY.search(key) is not None


def plain(value: Any, depth: int = DEPTH_MOST) -> Any:
    """The value as JSON has it, bounded and without secrets; what JSON does not have becomes text."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int):
        return value if abs(value) < 2**63 else str(value)[:100]
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, str):
        return redacted(str(value))
    if isinstance(value, (bytes, bytearray, memoryview)):
        return redacted(bytes(value[: TEXT_MOST + 1]).decode("utf-8", "backslashreplace"))
    if depth and isinstance(value, Mapping):
        return {
            redacted(str(key)): HIDDEN
            if is_secret(str(key)) and not isinstance(each, _COUNTS)
            else plain(each, depth - 1)
            for key, each in list(value.items())[:ITEMS_MOST]
        }
    if depth and isinstance(value, (Sequence, set, frozenset)):
        return [plain(each, depth - 1) for each in list(value)[:ITEMS_MOST]]
    return redacted(_told(value))


def _told(value: object) -> str:
    try:
        return str(value) if isinstance(value, BaseException) else repr(value)
    except Exception as error:  # noqa: BLE001  a line must not fail on what it is to tell of
        return f"<{type(value).__name__} that cannot be shown: {type(error).__name__}>"


def redact(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> EventDict:
    """A structlog processor: everything plain, nothing secret. After those that make text of exceptions."""
    found: dict[str, Any] = plain(dict(event))
    return found


def _json_line(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> str:
    first = {key: event[key] for key in FIRST if key in event}
    return json.dumps({**first, **event}, separators=(",", ":"))


def _console_line(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> str:
    """`time  level  what happened  key=value ...`, and what an exception says indented below."""
    rest = {key: value for key, value in event.items() if key not in FIRST}
    below = [str(rest.pop(key)) for key in ("stack", "exception") if key in rest]
    fields = "".join(f"  {_visible(key)}={_shown(value)}" for key, value in rest.items())
    level = f"{event.get('level', ''):<8}"
    line = f"{event.get('timestamp', '')}  {level}  {_visible(str(event.get('event', '')))}{fields}"
    return "\n    ".join([line, *(_visible(each) for text in below for each in text.split("\n"))])


def _shown(value: Any) -> str:
    if isinstance(value, str) and value and not re.search(r"[\s=\"']", value):
        return _visible(value)
    return json.dumps(value, ensure_ascii=False) if not isinstance(value, str) else _visible(repr(value))


def _visible(text: str) -> str:
    """The text with control characters escaped: a terminal must not obey what a stranger sent."""
    return text if text.isprintable() else "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


class Lines:
    """Writes lines whole, from any thread. One that cannot be written is counted: nothing is ended by its log."""

    def __init__(self, stream: IO[str] | None = None) -> None:
        self._stream = stream  # None: whatever standard error is then
        self._lock = threading.Lock()
        self.lost = 0

    def write(self, line: str) -> None:
        """One line, without its end."""
        stream = self._stream or sys.stderr
        if stream is None:  # closed by whoever started this
            return
        try:
            with self._lock:
                stream.write(f"{line}\n")
                stream.flush()
        except (OSError, ValueError):  # the disk is full, or nobody reads any more
            self.lost += 1

    msg = debug = info = warning = warn = error = critical = exception = fatal = log = failure = write


class Foreign(logging.Handler):
    """Lines of the standard library's loggers, taken the same way as our own."""

    def __init__(self, chain: Sequence[Processor], lines: Lines) -> None:
        super().__init__()
        self._chain, self._lines = chain, lines

    def emit(self, record: logging.LogRecord) -> None:
        """Write it. A line whose arguments do not fit its text is written without them."""
        try:
            event = record.getMessage()
        except (TypeError, ValueError, KeyError):
            event = str(record.msg)
        taken: Any = {"event": event, "logger": record.name}
        if record.exc_info:
            taken["exc_info"] = _tidy(record.exc_info)
        if record.stack_info:
            taken["stack"] = record.stack_info
        for processor in self._chain:
            taken = processor(None, record.levelname.lower(), taken)
        self._lines.write(taken)


def _tidy(exc_info: Any) -> tuple[type[BaseException], BaseException, TracebackType | None] | None:
    return exc_info if isinstance(exc_info, tuple) and exc_info[0] is not None else None


def processors(form: Form) -> list[Processor]:
    """What a line goes through, the last makes it text."""
    last: Processor = _json_line if form == "json" else _console_line
    told: Processor = (
        ExceptionRenderer(ExceptionDictTransformer(show_locals=False, max_frames=FRAMES_MOST))
        if form == "json"
        else structlog.processors.format_exc_info
    )
    return [
        merge_contextvars,  # request ids, bound by whoever serves the request
        add_log_level,
        TimeStamper(fmt="iso", utc=True),
        StackInfoRenderer(),
        told,
        redact,
        last,
    ]


def configure(level: str, form: Form, stream: IO[str] | None = None) -> Lines:
    """From now on lines from `level` on ("debug", "info", "warning", "error") are written in that form.

    To standard error where no stream is given. Others' loggers are heard from warnings on. What is returned writes
    the lines, and counts those it could not.
    """
    least = logging.getLevelNamesMapping()[level.upper()]
    lines = Lines(stream)
    chain = processors(form)
    structlog.configure(
        processors=chain,
        wrapper_class=structlog.make_filtering_bound_logger(least),
        logger_factory=lambda *_: lines,
        cache_logger_on_first_use=False,  # a test that captures lines changes what is configured
    )
    root = logging.getLogger()
    for handler in [each for each in root.handlers if isinstance(each, Foreign)]:
        root.removeHandler(handler)
    root.addHandler(Foreign(chain, lines))
    root.setLevel(max(least, FOREIGN_LEAST))
    logging.captureWarnings(True)
    return lines
