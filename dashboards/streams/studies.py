"""Studies over the candles of the window, beside `candles`: one value a candle, and the volume profile."""

from __future__ import annotations

from typing import Final

import numpy as np

from dashboards.streams.common import Json, head, ms_list
from dashboards.streams.market import candle_rows, first_candle_ms, joined, market_key, window_rows
from dashboards.view import NS_A_SECOND, View
from engine.market import studies as of
from engine.market.batches import Rows
from engine.market.candles import roll_up

DECIMALS: Final = 2  # of a price unit


def study_rows(view: View) -> tuple[Rows, dict[str, list[float | None]]]:
    """(the window's candles, by column the values at each): what the chart draws and the export writes.

    Columns are `sma-20`, `ema-50`, `bb-20-2`, `bb-20-2.upper`, `bb-20-2.lower` and `vwap.mean`, the candle's own mean
    price, of which the page makes the VWAP. Values rest on candles before the window as far as those are kept; None
    where there are too few. Prices are in units, to two decimals of them.
    """
    asked = view.params.studies
    warm_up = max((study.warm_up for study in asked), default=0)
    step_ns, from_ns = view.params.interval_s * NS_A_SECOND, first_candle_ms(view) * 1_000_000
    rows = roll_up(joined(view, warm_up)[0], step_ns)
    rows = rows[rows["ts_open_ns"] >= from_ns - warm_up * step_ns]
    shown = rows["ts_open_ns"] >= from_ns
    columns: dict[str, list[float | None]] = {}
    for study in asked:
        if study.kind == "vwap":
            columns["vwap.mean"] = of.means(rows[shown])
        elif study.period:
            for name, values in of.lines(study, before(study, rows, shown)).items():
                key = f"{study.token}.{name}" if name else study.token
                columns[key] = numbers(values[-int(shown.sum()) :] if shown.any() else values[:0])
    return rows[shown], columns


def before(study: of.Study, rows: Rows, shown: np.ndarray) -> Rows:
    """Those of `rows` a study is fed with: the shown ones and as many before them as it is warmed up by."""
    first = int(np.argmax(shown)) if shown.any() else len(rows)
    return rows[max(0, first - study.warm_up) :]


def numbers(values: of.Floats) -> list[float | None]:
    """For the wire: to two decimals of a price unit, None for what is not known."""
    return [None if value != value else value for value in values.round(DECIMALS).tolist()]


def volume_profile(view: View) -> of.Profile | None:
    """The window's volume by price, from seconds (before the seam: the venue's minutes); None without any."""
    return of.profile(window_rows(view)[0])


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
    key = f"{market_key(view)}|{view.params.interval_s}|{view.params.window_s}|{','.join(tokens)}"
    seam = joined(view)[1] if asked else 0
    if seam and view.market is not None:
        key += f"|{seam}|{view.heads.get(view.market.minutes.name, 0)}"
    book = view.book
    stream = head(view, key, cursor, book.last_trade_ns if book else 0, len(tokens)) | {
        "tokens": tokens,
        "keep": first_candle_ms(view),
        "t": [],
    }
    if not asked:
        return stream, {"k": key}
    held = cursor.get("k") == key
    changed, end = candle_rows(view, int(cursor["n"]) if held else None)
    second = view.now_ns // NS_A_SECOND
    if len(changed):
        rows, columns = study_rows(view)
        skip = int(np.searchsorted(rows["ts_open_ns"], changed["ts_open_ns"][0]))
        stream["t"] = ms_list(rows["ts_open_ns"][skip:])
        stream["values"] = {name: values[skip:] for name, values in columns.items()}
        if "vwap" in tokens:
            stream["values"]["vwap.volume"] = rows["volume"][skip:].tolist()
    if "profile" in tokens and (not held or cursor.get("s") != second):
        stream["profile"] = profile_fields(volume_profile(view))
    return stream, {"k": key, "n": end, "s": second}
