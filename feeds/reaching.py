"""Whether venues answer, and what their clocks say: each is asked for its time, within its limits."""

from __future__ import annotations

import asyncio

from engine.diagnosis import Reached
from engine.errors import CallFailed, LimitError
from engine.limits.desk import LimitDesk
from engine.limits.store import BanStore
from engine.settings import Settings
from feeds import wiring
from feeds.dialect import Dialect
from feeds.rest import RestClient
from feeds.upkeep import why
from feeds.venues import DIALECTS

WITHIN_S = 5.0
SAMPLES = 2


async def reach(chosen: Settings) -> list[Reached]:
    """Every market, asked beside each other, in their usual order. A ban of an earlier run holds here too."""
    desk = LimitDesk(wiring.limits_of(chosen), BanStore(wiring.bans_folder(chosen)))
    try:
        return await asyncio.gather(*(_ask(each, desk, chosen.venue_url) for each in DIALECTS.values()))
    finally:
        desk.close()


async def _ask(dialect: Dialect, desk: LimitDesk, base: str) -> Reached:
    client = RestClient(dialect, desk.gate(dialect.limits), base=base, timeout_s=WITHIN_S)
    try:
        async with asyncio.timeout(WITHIN_S):
            offset_ns, round_trip_ns = await client.measure_offset(SAMPLES)
    except TimeoutError:
        return Reached(dialect.label, f"no answer within {WITHIN_S:g} s")
    except (CallFailed, LimitError) as error:
        return Reached(dialect.label, why(error, dialect.endpoints(base).rest))
    finally:
        await client.close()
    return Reached(dialect.label, "", round_trip_ns, offset_ns)
