"""What the engine is given of feeds: live venues and their limits, captures that play, names of markets.

Settings are checked here, before anything starts, so that a bad one ends the program with its sentence.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Final

from engine.clock import SteadyClock
from engine.errors import BadLimits, BadSetting
from engine.limits import rules
from engine.limits.desk import LimitDesk
from engine.limits.rules import Rules
from engine.limits.store import BanStore
from engine.replays import OpenReplay, Replay
from engine.settings import Settings
from engine.venues import LiveMarkets, Note, OpenMarkets
from feeds import sample
from feeds.capture import probe
from feeds.live import LiveVenues
from feeds.polls import calls_of
from feeds.replay import ReplayFeed
from feeds.venues import DIALECTS

BUILT_IN: Final = "builtin"
LIMITS_FILE: Final = "rate_limits.json"
SAMPLE: Final = "sample"


def market_of(name: str) -> str:
    """The market meant: `binance` is its spot market. BadSetting when there is none such."""
    known = (BUILT_IN, *DIALECTS)
    found = next((market for market in (name, f"{name}_spot") if market in known), None)
    if found is None:
        raise BadSetting("venue", name, f"there is no such market; there are {', '.join(known)}")
    return found


def market_opener(chosen: Settings, clock: SteadyClock) -> OpenMarkets:
    """A function that makes the live venues; settings and limits are checked now, so that bad ones end the program."""

    for key, names in (("venues", chosen.venues), ("symbols", chosen.symbols), ("polls", chosen.polls)):
        for name in names:
            if name not in DIALECTS:
                raise BadSetting(key, name, f"there is no such market; there are {', '.join(DIALECTS)}")
    for market, intervals in chosen.polls.items():
        for endpoint in intervals:
            known = calls_of(DIALECTS[market])
            if endpoint not in known:
                raise BadSetting(f"polls.{market}", endpoint, f"{market} is polled for {', '.join(known)}")
    limits, bans = limits_of(chosen), bans_folder(chosen)
    for key, dialect in DIALECTS.items():
        if dialect.limits not in limits.venues:
            raise BadLimits(limits.path, dialect.limits, f"it is missing, and {key} needs it; a file has all")
    spent = {dialect.limits for dialect in DIALECTS.values()}
    for name in limits.venues:
        if name not in spent:
            raise BadLimits(limits.path, name, f"no market spends it; there are {', '.join(sorted(spent))}")

    def open_markets(note: Note) -> LiveMarkets:
        desk = LimitDesk(limits, BanStore(bans), wall=clock, note=note)
        venues = LiveVenues(
            DIALECTS.values(),
            desk,
            base=chosen.venue_url,
            symbols=chosen.symbols,
            polls=chosen.polls,
            wall=clock,
            note=note,
        )
        for name in chosen.venues:
            venues.connect(name)
        return LiveMarkets(venues, desk)

    return open_markets


def limits_of(chosen: Settings) -> Rules:
    """The rate limits: the file that is named, else the one in the working directory, else our own."""
    own = Path(LIMITS_FILE)
    return rules.load(chosen.rate_limits or (own if own.exists() else None))


def bans_folder(chosen: Settings) -> Path:
    """Where bans are kept."""
    return chosen.data_dir / kept("bans", chosen)


def kept(name: str, chosen: Settings) -> str:
    """The folder's name: what a local venue said or sold must never pass for the real one's."""
    return f"{name}-local" if chosen.venue_url else name


def replay_opener(replay: str, speed: float, chosen: Settings, clock: SteadyClock) -> OpenReplay:
    """A function that opens the replay; a file is checked now, so that a bad one ends the program at once."""
    if replay != SAMPLE:
        path = Path(replay)
        info = probe(path)

        async def open_file() -> Replay:
            return ReplayFeed(path, speed, info, clock)

        return open_file

    async def open_sample() -> Replay:
        path = await sample.ensure(chosen.cache_dir / "samples", chosen.seed)
        return ReplayFeed(path, speed, await asyncio.to_thread(probe, path), clock)

    return open_sample
