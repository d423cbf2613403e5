"""What an export is asked for, checked, and the name of its file. Imports nothing heavy."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, Literal, get_args

from engine.errors import BadQuery
from engine.storage.names import RecordKind

Form = Literal["csv", "parquet", "feather"]
FORMS: Final[tuple[Form, ...]] = get_args(Form)
MAX_NS: Final = 2**63 - 1
_ENDINGS: Final = {"csv": ".csv", "parquet": ".parquet", "feather": ".feather"}
_FOREIGN: Final = re.compile(r"[^A-Za-z0-9._-]+")
_SECOND_NS: Final = 1_000_000_000


@dataclass(frozen=True, slots=True)
class ExportRequest:
    """What is taken away; "" = any, half open by `records.times_of`."""

    kind: RecordKind
    venue: str
    symbol: str
    from_ns: int
    to_ns: int
    form: str  # of FORMS


class Canceled(Exception):
    """Raised by a progress callback: the export ends, and leaves nothing."""


def file_name(request: ExportRequest) -> str:
    """`trades_builtin_BTC-USDT_20261120T120000Z_20261120T130000Z.csv`: letters, digits, `-`, `.` and `_` only."""
    parts = [str(request.kind), request.venue or "all", request.symbol or "all"]
    parts += [_stamp(request.from_ns), _stamp(request.to_ns)]
    plain = [_FOREIGN.sub("-", part).strip("._-")[:60] or "x" for part in parts]
    return "_".join(plain) + _ENDINGS[checked_form(request.form)]


def checked_form(text: str) -> Form:
    """The form of this name. BadQuery when there is none."""
    for form in FORMS:
        if form == text:
            return form
    raise BadQuery("--format", f"{text!r} is not one of {', '.join(FORMS)}")


def checked_kind(text: str) -> RecordKind:
    """The kind of this name. BadQuery when there is none."""
    if text not in tuple(RecordKind):
        raise BadQuery("--kind", f"{text!r} is not one of {', '.join(RecordKind)}")
    return RecordKind(text)


def _stamp(time_ns: int) -> str:
    if time_ns <= 0:
        return "begin"
    if time_ns >= MAX_NS:
        return "end"
    return f"{datetime.fromtimestamp(time_ns // _SECOND_NS, UTC):%Y%m%dT%H%M%SZ}"
