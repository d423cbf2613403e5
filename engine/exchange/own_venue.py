"""A local venue for one run of the program: a child that ends with it."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

from engine.errors import BadSetting
from engine.settings import Settings

ROOT: Final = Path(__file__).resolve().parents[2]
LOCAL: Final = "local"
VENUE_START_S: Final = 30.0
VENUE_STOP_S: Final = 3.0


@contextlib.asynccontextmanager
async def own_venue(chosen: Settings) -> AsyncIterator[Settings]:
    """The settings, with the address of a local venue that lives as long as the block where `local` was asked for."""
    if chosen.venue_url != LOCAL:
        yield chosen
        return
    command = (sys.executable, "-m", "engine.exchange.serve", "--port", "0", "--seed", str(chosen.seed))
    child = await asyncio.create_subprocess_exec(
        *(*command, "--while-stdin-lasts"),
        cwd=ROOT,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        url = await _first_url(child)
        print(f"Local venue on {url}", flush=True)
        yield chosen.model_copy(update={"venue_url": url})
    finally:
        await _end(child)


async def _first_url(child: asyncio.subprocess.Process) -> str:
    """The address the local venue prints once it serves. BadSetting when it does not."""
    assert child.stdout is not None
    said = b""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(VENUE_START_S):
            said = await child.stdout.readline()
    url = said.decode().strip()
    if not url.startswith("http://"):
        raise BadSetting(
            "venue_url", LOCAL, "the local venue did not start; its reason, if any, stands above"
        )
    return url


async def _end(child: asyncio.subprocess.Process) -> None:
    """End a child of ours, within a few seconds."""
    if child.returncode is not None:
        return
    child.terminate()
    try:
        async with asyncio.timeout(VENUE_STOP_S):
            await child.wait()
    except TimeoutError:
        child.kill()
        await child.wait()
