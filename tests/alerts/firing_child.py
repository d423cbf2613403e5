"""A program with alerts that is killed: `firing_child.py FOLDER URL RULES`. Ends when no delivery waits any more."""

from __future__ import annotations

import asyncio
import sys
import time
from pathlib import Path

from engine.alerts.rules import parse
from tests.alerts.market import Market
from tests.alerts.running import running


class Now(Market):
    """Its clock is the real one."""

    def clock(self) -> int:
        return time.time_ns()


async def main(folder: Path, url: str, rules: int) -> None:
    market = Now()
    market.book(market.source("binance_spot"), 60_000, 60_000)
    async with running(folder, market) as rig:
        if not rig.alerts.view.webhooks:
            for name in ("a", "b", "c"):
                await rig.alerts.add_webhook(name, {"url": f"{url}/{name}"})
        print("begun", flush=True)
        for at in range(rules):
            await rig.alerts.add(parse(f"BTC/USDT mid above {at}"), ("a", "b", "c"))
            rig.alerts.look(market.clock())
        while any(hook.waiting for hook in rig.alerts.view.webhooks):
            await asyncio.sleep(0.05)


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])))
