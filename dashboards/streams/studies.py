"""Studies over the candles of the window, beside `candles`: one value a candle, and the volume profile."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import replace
from threading import Lock
from typing import Final

import numpy as np

from dashboards.streams.common import Json, head, ms_list
from dashboards.streams.market import candle_rows, first_candle_ms, joined, window_key, window_rows
from dashboards.view import NS_A_SECOND, View
from engine.market import studies as of
from engine.market.batches import Rows
from engine.market.candles import roll_up

DECIMALS: Final = 2  # of a price unit
PROFILE: Final = of.Study("profile")
PROFILES_KEPT: Final = 64


def study_rows(view: View, from_ns: int | None = None) -> tuple[Rows, dict[str, list[float | None]]]:
    """(the window's candles, or those of them from `from_ns`, by column the values at each): what the chart draws and
    the export writes.

    Columns are `sma-20`, `ema-50`, `bb-20-2`, `bb-20-2.upper`, `bb-20-2.lower` and `vwap.mean`, the candle's own mean
    price, of which the page makes the VWAP. Values rest on candles before those, however long ago, as far as they are
    kept; None where there are too few. Prices are in units, to two decimals of them. Cost: of what comes back and of
    what the studies rest on.
    """
    asked = view.params.studies
    if from_ns is None:
        from_ns = first_candle_ms(view) * 1_000_000
    warm_up = max((study.warm_up for study in asked), default=0)
    rows = roll_up(joined(view, from_ns, warm_up), view.params.interval_s * NS_A_SECOND)
    first = int(np.searchsorted(rows["ts_open_ns"], from_ns))
    columns: dict[str, list[float | None]] = {}
    for study in asked:
        if study.kind == "vwap":
            columns["vwap.mean"] = of.means(rows[first:])
        elif study.period:
            fed = min(first, study.warm_up)
            for name, values in of.lines(study, rows[first - fed :]).items():
                columns[f"{study.token}.{name}" if name else study.token] = numbers(values[fed:])
    return rows[first:], columns


def numbers(values: of.Floats) -> list[float | None]:
    """For the wire: to two decimals of a price unit, None for what is not known."""
    return [None if value != value else value for value in values.round(DECIMALS).tolist()]


class Profiles:
    """The volume profiles of the second: each is made once, for all pages that look at the same and for their exports.
    Safe from any thread; the newest 64 are kept.
    """

    def __init__(self) -> None:
        self._made: OrderedDict[str, Json] = OrderedDict()
        self._lock = Lock()

    def of(self, view: View) -> Json:
        """{profile: of the window's volume, None without any; at_ns: by the source's clock, when it was made}."""
        key = f"{window_key(view)}|{view.now_ns // NS_A_SECOND}"
        with self._lock:
            found = self._made.get(key)
        if found is None:
            # From seconds; before the seam from the venue's minutes.
            found = {"profile": of.profile(window_rows(view)[0]), "at_ns": view.now_ns}
            with self._lock:
                found = self._made.setdefault(key, found)
                while len(self._made) > PROFILES_KEPT:
                    self._made.popitem(last=False)
        return found


def with_profile(view: View, profiles: Profiles) -> View:
    """The view with its second's profile among its tables, where a page that shows studies asks for one."""
    if "studies" not in view.params.streams or PROFILE not in view.params.studies:
        return view
    return replace(view, tables=view.tables | {"profile": profiles.of(view)})


def profile_fields(found: of.Profile | None) -> Json | None:
    """A profile for the wire."""
    if found is None:
        return None
    names = ("base", "step", "control", "low", "high")
    return {name: getattr(found, name) for name in names} | {"volumes": list(found.volumes)}


def studies(view: View, cursor: Json) -> tuple[Json, Json]:
    """Values at candles that are new or changed, the running one's with every answer in which it changed; the
    profile whole, once a second.
    """
    asked = view.params.studies
    tokens = [study.token for study in asked]
    key = f"{window_key(view)}|{','.join(tokens)}"
    book = view.book
    stream = head(view, key, cursor, book.last_trade_ns if book else 0, len(tokens)) | {
        "tokens": tokens,
        "keep": first_candle_ms(view),
        "t": [],
    }
    if not asked:
        return stream, {"k": key}
    held = cursor.get("k") == key
    fresh, place = candle_rows(view, cursor if held else None)
    if len(fresh):
        rows, columns = study_rows(view, int(fresh["ts_open_ns"][0]))
        stream |= {"t": ms_list(rows["ts_open_ns"]), "values": columns}
        if "vwap" in tokens:
            columns["vwap.volume"] = rows["volume"].tolist()
    second = view.now_ns // NS_A_SECOND
    if "profile" in view.tables and (not held or cursor.get("s") != second):
        stream["profile"] = profile_fields(view.tables["profile"]["profile"])
    return stream, {"k": key, "s": second} | place
