"""What pages may have the store do. Arguments come from a browser: each is checked, and refused with a sentence."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

from engine.arguments import Args, names, stretch_ns, text, whole
from engine.errors import BadCommand, UserError
from engine.storage.jobs import ExportRequest
from engine.storage.names import USUAL, WHAT, RecordKind
from engine.storage.store import Store

DAYS_MAX: Final = 36_500
BUDGET_GB_MAX: Final = 1_000_000
PREVIEW_DAYS: Final = 20
GB: Final = 10**9
FORMS: Final = ("csv", "parquet", "feather")


async def carry_out(store: Store, name: str, args: Args) -> dict[str, Any] | None:
    """What came of it. BadCommand with a sentence when it cannot be done; nothing has changed then."""
    try:
        return await _COMMANDS[name](store, args)
    except UserError as error:
        raise BadCommand(str(error)) from error


async def _record_start(store: Store, args: Args) -> None:
    what = names(args, "what", len(WHAT)) or USUAL
    await store.record(text(args, "venue"), names(args, "symbols"), what)


async def _record_stop(store: Store, args: Args) -> None:
    store.stop(text(args, "venue"))


async def _retention_set(store: Store, args: Args) -> None:
    days = whole(args, "days", DAYS_MAX, "days")
    await store.retain(days, whole(args, "budget_gb", BUDGET_GB_MAX, "GB") * GB)


async def _retention_preview(store: Store, args: Args) -> dict[str, Any]:
    days = whole(args, "days", DAYS_MAX, "days")
    found = await store.preview(days, whole(args, "budget_gb", BUDGET_GB_MAX, "GB") * GB)
    return {
        "rows": found.rows,
        "bytes": found.size_bytes,
        "days": [list(day) for day in found.days[:PREVIEW_DAYS]],
        "more": max(0, len(found.days) - PREVIEW_DAYS),
        "dates": len({day[0] for day in found.days}),
        "venues": sorted({day[1] for day in found.days}),
    }


async def _gap_backfill(store: Store, args: Args) -> None:
    if "gap" in args:
        number = args["gap"]
        if not isinstance(number, int) or isinstance(number, bool):
            raise BadCommand("gap must be the number of a hole")
        store.fill(number)
    else:
        store.fill_between(text(args, "venue"), text(args, "symbol"), *stretch_ns(args))


async def _export_start(store: Store, args: Args) -> dict[str, Any]:
    kind, form = text(args, "kind"), text(args, "form")
    if kind not in set(RecordKind):
        raise BadCommand(f"{kind!r} is not recorded; choose of {', '.join(RecordKind)}")
    if form not in FORMS:
        raise BadCommand(f"{form!r} is no format of an export; choose of {', '.join(FORMS)}")
    symbol = text(args, "symbol") if args.get("symbol") else ""
    venue = text(args, "venue") if args.get("venue") else ""
    return {"job": store.jobs.start(ExportRequest(RecordKind(kind), venue, symbol, *stretch_ns(args), form))}


async def _export_cancel(store: Store, args: Args) -> None:
    store.jobs.cancel(text(args, "job"))


async def _export_forget(store: Store, args: Args) -> None:
    store.jobs.forget(text(args, "job"))


_COMMANDS: Final[Mapping[str, Callable[[Store, Args], Awaitable[dict[str, Any] | None]]]] = {
    "record_start": _record_start,
    "record_stop": _record_stop,
    "retention_set": _retention_set,
    "retention_preview": _retention_preview,
    "gap_backfill": _gap_backfill,
    "export_start": _export_start,
    "export_cancel": _export_cancel,
    "export_forget": _export_forget,
}
COMMANDS: Final = frozenset(_COMMANDS)
