"""What pages may have the store do. Arguments come from a browser: each is checked, and refused with a sentence."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

from engine.errors import BadCommand, UserError
from engine.storage.jobs import ExportRequest
from engine.storage.names import USUAL, WHAT, RecordKind
from engine.storage.store import Store

NAME_MAX: Final = 64
SYMBOLS_MAX: Final = 128
DAYS_MAX: Final = 36_500
BUDGET_GB_MAX: Final = 1_000_000
GB: Final = 10**9
MS: Final = 1_000_000
FORMS: Final = ("csv", "parquet", "feather")

Args = Mapping[str, Any]


async def carry_out(store: Store, name: str, args: Args) -> dict[str, Any] | None:
    """What came of it. BadCommand with a sentence when it cannot be done; nothing has changed then."""
    try:
        return await _COMMANDS[name](store, args)
    except UserError as error:
        raise BadCommand(str(error)) from error


async def _record_start(store: Store, args: Args) -> None:
    what = _names(args, "what", len(WHAT)) or USUAL
    await store.record(_text(args, "venue"), _names(args, "symbols", SYMBOLS_MAX), what)


async def _record_stop(store: Store, args: Args) -> None:
    store.stop(_text(args, "venue"))


async def _retention_set(store: Store, args: Args) -> None:
    days = _whole(args, "days", DAYS_MAX, "days")
    await store.retain(days, _whole(args, "budget_gb", BUDGET_GB_MAX, "GB") * GB)


async def _gap_backfill(store: Store, args: Args) -> None:
    if "gap" in args:
        number = args["gap"]
        if not isinstance(number, int) or isinstance(number, bool):
            raise BadCommand("gap must be the number of a hole")
        store.fill(number)
    else:
        store.fill_between(_text(args, "venue"), _text(args, "symbol"), *_stretch(args))


async def _export_start(store: Store, args: Args) -> dict[str, Any]:
    kind, form = _text(args, "kind"), _text(args, "form")
    if kind not in set(RecordKind):
        raise BadCommand(f"{kind!r} is not recorded; choose of {', '.join(RecordKind)}")
    if form not in FORMS:
        raise BadCommand(f"{form!r} is no format of an export; choose of {', '.join(FORMS)}")
    symbol = _text(args, "symbol") if args.get("symbol") else ""
    venue = _text(args, "venue") if args.get("venue") else ""
    return {"job": store.jobs.start(ExportRequest(RecordKind(kind), venue, symbol, *_stretch(args), form))}


async def _export_cancel(store: Store, args: Args) -> None:
    store.jobs.cancel(_text(args, "job"))


async def _export_forget(store: Store, args: Args) -> None:
    store.jobs.forget(_text(args, "job"))


_COMMANDS: Final[Mapping[str, Callable[[Store, Args], Awaitable[dict[str, Any] | None]]]] = {
    "record_start": _record_start,
    "record_stop": _record_stop,
    "retention_set": _retention_set,
    "gap_backfill": _gap_backfill,
    "export_start": _export_start,
    "export_cancel": _export_cancel,
    "export_forget": _export_forget,
}
COMMANDS: Final = frozenset(_COMMANDS)


def _text(args: Args, name: str) -> str:
    value = args.get(name)
    if not isinstance(value, str) or not 0 < len(value) <= NAME_MAX:
        raise BadCommand(f"the command needs {name}: 1 to {NAME_MAX} characters of text")
    return value


def _names(args: Args, name: str, most: int) -> tuple[str, ...]:
    value = args.get(name, [])
    if not isinstance(value, list) or len(value) > most:
        raise BadCommand(f"{name} must be a list of at most {most} names")
    if not all(isinstance(item, str) and 0 < len(item) <= NAME_MAX for item in value):
        raise BadCommand(f"each of {name} must be 1 to {NAME_MAX} characters of text")
    return tuple(value)


def _whole(args: Args, name: str, most: int, unit: str) -> int:
    value = args.get(name)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= most:
        raise BadCommand(f"{name} must be a whole number of {unit} from 0 to {most:,}")
    return value


def _stretch(args: Args) -> tuple[int, int]:
    """(from, to) in ns."""
    found = []
    for name in ("from_ms", "to_ms"):
        value = args.get(name)
        if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 1 << 43:
            raise BadCommand(f"{name} must be a whole number of milliseconds UTC")
        found.append(value * MS)
    if not found[0] < found[1]:
        raise BadCommand("the stretch must begin before it ends")
    return found[0], found[1]
