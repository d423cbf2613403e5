"""Answers as bytes: JSON, msgpack or CSV, as the Accept header wishes. Pure, but for what it remembers.

CSV is RFC 4180 with one line for each row of the answer's list; texts that a spreadsheet would run get a `'` in front,
columns of numbers never do (as `engine.storage.csv_text` has it).
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any, Final, Literal, get_args

import msgspec

from engine.api.models import Book, Tick
from engine.api.problems import Problem
from engine.storage.csv_text import GUARDED

Format = Literal["json", "msgpack", "csv"]
FORMATS: Final[tuple[Format, ...]] = ("json", "msgpack", "csv")
CONTENT_TYPES: Final[dict[Format, str]] = {
    "json": "application/json",
    "msgpack": "application/msgpack",
    "csv": "text/csv; charset=utf-8",
}
# Further names under which a format may be asked for.
NAMES: Final[dict[str, Format]] = {
    "application/json": "json",
    "application/msgpack": "msgpack",
    "application/x-msgpack": "msgpack",
    "application/vnd.msgpack": "msgpack",
    "text/csv": "csv",
}
KEPT: Final = 512  # answers whose bytes are kept, of those that are handed out again unchanged
ACCEPT_MOST: Final = 1_000
_NUMBER: Final = re.compile(r"-?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?")
_JSON: Final = msgspec.json.Encoder()
_MSGPACK: Final = msgspec.msgpack.Encoder()


def encode(answer: Any, form: Format) -> bytes:
    """The answer's bytes. A Tick that is the same object as before costs a look into a table."""
    if type(answer) is Tick:
        return _kept.bytes_of(answer, form)
    return _encoded(answer, form)


def _encoded(answer: Any, form: Format) -> bytes:
    if form == "json":
        return _JSON.encode(answer)
    if form == "msgpack":
        return _MSGPACK.encode(answer)
    return csv_of(answer)


class Kept:
    """Bytes of the newest answers, by the answer itself: answers never change. Bounded; the oldest goes."""

    def __init__(self, most: int = KEPT) -> None:
        self._most = most
        self._held: OrderedDict[tuple[int, Format], tuple[Any, bytes]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._held)

    def bytes_of(self, answer: Any, form: Format) -> bytes:
        """The answer's bytes, encoded once while it is held."""
        key = (id(answer), form)
        held = self._held.get(key)
        if held is not None and held[0] is answer:
            return held[1]
        data = _encoded(answer, form)
        self._held.pop(key, None)
        self._held[key] = (answer, data)  # held with it: its id is no other's meanwhile
        if len(self._held) > self._most:
            self._held.popitem(last=False)
        return data


_kept = Kept()


def negotiate(accept: str | None, offered: Sequence[Format] = FORMATS) -> Format:
    """What of the offered formats the Accept header likes best; the first where it does not mind.

    Problem not_acceptable, naming them, where it takes none.
    """
    if not accept or accept == "*/*":
        return offered[0]
    return _liked(accept[:ACCEPT_MOST], tuple(offered))


@lru_cache(maxsize=256)  # programs say the same each time, and reading it took a sixth of a call
def _liked(accept: str, offered: tuple[Format, ...]) -> Format:
    wishes = _wishes(accept)
    best, liked = offered[0], 0.0
    for form in offered:
        # A format has several names: what is said of one of them by name counts before what is said of all types.
        _, quality = max(_quality(name, wishes) for name, known in NAMES.items() if known == form)
        if quality > liked:
            best, liked = form, quality
    if not liked:
        names = ", ".join(CONTENT_TYPES[form].partition(";")[0] for form in offered)
        raise Problem("not_acceptable", f"the answer can be {names}; Accept names none of these")
    return best


def _wishes(accept: str) -> list[tuple[str, float]]:
    """(media range, q) of each part; a q that is no number counts as 0, so that nothing is made up."""
    found = []
    for part in accept.split(","):
        name, *rest = (piece.strip().lower() for piece in part.split(";"))
        quality = 1.0
        for piece in rest:
            key, _, text = piece.partition("=")
            if key.strip() == "q":
                quality = float(text) if re.fullmatch(r"\s*[01](\.[0-9]{0,3})?\s*", text) else 0.0
        if name:
            found.append((name, min(quality, 1.0)))
    return found


def _quality(name: str, wishes: Iterable[tuple[str, float]]) -> tuple[int, float]:
    """(how exactly it is named, how much it is liked) of a media type: its most exact range counts."""
    ranges = {"*/*": 1, name.partition("/")[0] + "/*": 2, name: 3}
    exact, quality = 0, 0.0
    for wish, liked in wishes:
        if ranges.get(wish, 0) > exact:
            exact, quality = ranges[wish], liked
    return exact, quality


# --- CSV ------------------------------------------------------------------------------------------------------


def csv_of(answer: Any) -> bytes:
    """The answer as CSV with a header: a line for each row of its list, or one line where it has none.

    A book's lines are side, level, price, size. What is nested deeper is JSON text in its cell; null is empty. Cost:
    some 1.5 us a line of 16 cells.
    """
    header, lines = _table(answer)
    columns = [_column(values) for values in zip(*lines, strict=True)]
    texts = [",".join(_column(header)), *map(",".join, zip(*columns, strict=True)), ""]
    return "\r\n".join(texts).encode()


def _table(answer: Any) -> tuple[list[str], Iterable[Sequence[Any]]]:
    if isinstance(answer, Book):
        levels = [
            [answer.symbol, side, place, *level]
            for side, rows in (("bid", answer.bids), ("ask", answer.asks))
            for place, level in enumerate(rows, 1)
        ]
        return ["symbol", "side", "level", "price", "size"], levels
    if isinstance(answer, list):
        return _rows([], [], answer, "value", type(answer[0]) if answer else None)
    if not isinstance(answer, msgspec.Struct):
        return ["value"], [[answer]]
    fields = msgspec.structs.fields(answer)
    values = {field.name: getattr(answer, field.name) for field in fields}
    nested = [name for name, value in values.items() if isinstance(value, list)]
    if not nested:
        return list(values), [list(values.values())]
    inner = nested[0]
    scalars = {name: value for name, value in values.items() if name not in nested}
    wanted = next(field.type for field in fields if field.name == inner)
    kind = next(iter(get_args(wanted)), None)
    return _rows(list(scalars), list(scalars.values()), values[inner], inner, kind)


def _rows(
    names: list[str], values: list[Any], rows: Sequence[Any], called: str, kind: Any
) -> tuple[list[str], Iterable[Sequence[Any]]]:
    """Outer values beside each row's own; an outer name that rows have too is theirs."""
    if not (isinstance(kind, type) and issubclass(kind, msgspec.Struct)):
        return [*names, called], [[*values, row] for row in rows]
    own = [field.name for field in msgspec.structs.fields(kind)]
    kept = [(name, value) for name, value in zip(names, values, strict=True) if name not in own]
    outer = tuple(value for _, value in kept)
    return [*(name for name, _ in kept), *own], [outer + msgspec.structs.astuple(row) for row in rows]


def _column(values: Sequence[Any]) -> Sequence[str]:
    """A column's cells. Looked at as one text first: mostly there is nothing in it to guard or to quote."""
    kinds = set(map(type, values))
    if kinds == {str}:
        lines = "\n".join(values)
        if lines.count("\n") == len(values) - 1 and _SPECIAL.search(f"\n{lines}") is None:
            return values
    elif kinds <= {int, float}:
        return list(map(str, values))
    elif kinds <= _FEW:
        return [_FEW_CELLS[value] for value in values]
    return list(map(_cell, values))


def _cell(value: Any) -> str:
    """A value as a cell: exact, quoted where it must be, and nothing that a spreadsheet would run."""
    if value is None or isinstance(value, bool):
        return _FEW_CELLS[value]
    if isinstance(value, (list, tuple, dict, msgspec.Struct)):
        value = _JSON.encode(value).decode()
    text = str(value)
    if text[:1] in _GUARDED and not _NUMBER.fullmatch(text):
        text = f"'{text}"
    if _QUOTED.search(text):
        text = '"' + text.replace('"', '""') + '"'
    return text


_GUARDED: Final = frozenset(GUARDED)
_FEW: Final = {bool, type(None)}
_FEW_CELLS: Final[dict[bool | None, str]] = {True: "true", False: "false", None: ""}
_QUOTED: Final = re.compile('[",\r\n]')
_SPECIAL: Final = re.compile(f'[",\r]|\n[{re.escape(GUARDED)}]')  # in cells, one on a line
