"""Several engines as one, for more threads than one: each has symbols of its own, a batch is split by symbol.

What the engines share in one `MatchingEngine` they do not share here:

- **Symbols and assets** are numbered engine by engine, and commands and events name these numbers. An asset that two
  engines have is two: money is of one engine, and a DEPOSIT or WITHDRAW names the engine by the asset's number
  (`asset_index`).
- **Order ids** are used once among the open orders of an engine, not of all.
- **Time** is one: a command brings the latest time so far of all commands, and at a batch's end every engine has it. An
  order so expires before its engine's next command as it would in one engine, but its CANCELED may be among later
  commands' events.
- **Sequences** count the commands that were given here, as one engine would; the engines' own differ.

So each symbol has the same events as in one engine, sequences aside, if ids differ and no symbols of two engines spend
the same money.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, Final, NamedTuple

import numpy as np

from engine.errors import KernelError
from engine.market.batches import Rows
from engine.matching.compiled import compiled
from engine.matching.engine import Events, MatchingEngine, last_of_each
from engine.matching.kernel import match
from engine.matching.layout import EVENT_WORDS, T_NOW, T_RUN, Words
from engine.matching.orders import (
    C_HEAD,
    C_PARTIES,
    C_TS,
    COMMAND,
    DEPOSIT,
    DEPOSITED,
    E_HEAD,
    E_SEQUENCE,
    EVENT,
    LEVEL_CHANGE,
    MAX_TS_NS,
    REJECTED,
    TIME,
    WITHDRAW,
    WITHDRAWN,
    Matrix,
    as_matrix,
    as_rows,
)
from engine.workers import Workers

COMMAND_WORDS: Final = COMMAND.itemsize // 8


class Numbering(NamedTuple):
    """Of symbols, or of assets."""

    owner: Words  # the engine of a number
    own: Words  # what that engine calls it
    whole: tuple[Words, ...]  # of each engine: the numbers of its own numbers


class Shards:
    """Matching engines side by side, a thread for each; one of the threads is the caller's.

    One writer, as with a single engine. Between two calls the engines may be asked anything, but take no other
    commands. Threads meet once a batch, which costs some 50 us: on two cores two engines take as long as one for
    batches of 4,000 commands, and 0.7 of its time for 16,000.
    """

    def __init__(self, engines: Sequence[MatchingEngine]) -> None:
        self.engines: Final = tuple(engines)
        self.symbols: Final = tuple(symbol for engine in engines for symbol in engine.symbols)
        self.assets: Final = tuple(asset for engine in engines for asset in engine.assets)
        if not engines or len(set(self.symbols)) < len(self.symbols):
            raise KernelError("shards need engines, and each symbol in one of them")
        self._index = {symbol: at for at, symbol in enumerate(self.symbols)}
        self._symbols = _numbering([len(engine.symbols) for engine in engines])
        self._assets = _numbering([len(engine.assets) for engine in engines])
        self._taken = 0
        self._now_ns = max(engine.now_ns for engine in engines)
        # The commands of each engine, and where in the batch they are.
        self._own_commands: list[Matrix] = [np.zeros((0, COMMAND_WORDS), np.int64) for _ in engines]
        self._places: list[Words] = [np.zeros(0, np.int64) for _ in engines]
        self._workers = Workers(len(engines) - 1)

    def index(self, symbol: str) -> int:
        """The number that stands for `symbol` in commands and events. KeyError if there is none."""
        return self._index[symbol]

    def engine_of(self, symbol: str) -> MatchingEngine:
        """The engine that trades `symbol`. KeyError if none does."""
        return self.engines[int(self._symbols.owner[self._index[symbol]])]

    def asset_index(self, symbol: str, asset: str) -> int:
        """The number, in DEPOSIT and WITHDRAW, of an asset in the engine that trades `symbol`.

        KeyError if there is no such symbol, or its engine has no such asset.
        """
        at = int(self._symbols.owner[self._index[symbol]])
        return dict(zip(self.engines[at].assets, map(int, self._assets.whole[at]), strict=True))[asset]

    @property
    def commands_taken(self) -> int:
        """How many commands were given here: the sequence of the next one."""
        return self._taken

    def submit(self, commands: Rows) -> Events:
        """Everything these COMMAND rows do, in the order of the commands. The result is the caller's to keep."""
        words = _words(commands)
        parts = self._workers.run([partial(self._run, at, words) for at in range(len(self.engines))])
        ends = np.zeros(len(commands) + 1, np.int64)
        for part in parts:
            for run in part.events:
                _count(run, part.places, part.first, ends)
        np.cumsum(ends, out=ends)
        events: Matrix = np.empty((ends[-1], EVENT_WORDS), np.int64)
        changed = []
        for part, symbols, assets in zip(parts, self._symbols.whole, self._assets.whole, strict=True):
            for run in part.events:
                _place(run, part.places, part.first, ends, words, self._taken, symbols, assets, events)
            changed.append(part.changed_rows())
            changed[-1]["symbol"] = symbols[changed[-1]["symbol"]]
        self._taken += len(commands)
        self._now_ns = parts[0].now_ns
        return Events(as_rows(events, EVENT), np.concatenate(changed))

    def submit_each(self, commands: Rows) -> list[Events]:
        """The same, of each engine for itself and in its own numbers and sequences, as its feeds need it."""
        words = _words(commands)
        found = self._workers.run([partial(self._run_alone, at, words) for at in range(len(self.engines))])
        self._taken += len(commands)
        self._now_ns = found[0][1]
        return [events for events, _ in found]

    def close(self) -> bool:
        """End the threads; whether they ended in time."""
        return self._workers.close()

    def _run_alone(self, at: int, commands: Matrix) -> tuple[Events, int]:
        """What a batch does in one engine, and the time after it. On the engine's thread: copying takes time."""
        part = self._run(at, commands)
        return Events(as_rows(np.concatenate(part.events), EVENT), part.changed_rows()), part.now_ns

    def _run(self, at: int, commands: Matrix) -> _Part:
        """What a batch does in one engine. On the engine's thread."""
        engine = self.engines[at]
        if len(self._places[at]) <= len(commands):
            self._own_commands[at] = np.zeros((len(commands) + 1, COMMAND_WORDS), np.int64)
            self._places[at] = np.zeros(len(commands) + 1, np.int64)
        own, places, first = self._own_commands[at], self._places[at], engine.commands_taken
        runs = engine.memory[T_RUN]
        count, taken, now = _pick_and_match(
            engine.memory, commands, at, *self._symbols[:2], *self._assets[:2], self._now_ns, own, places
        )
        events, changed = [], []
        while taken < count or engine.unfinished:
            events.append(engine.event_words().copy())
            changed.append(as_matrix(engine.changed_rows()).copy())
            taken += engine.run(own, taken, count)
        events.append(engine.event_words())
        changed.append(as_matrix(engine.changed_rows()))
        once = engine.memory[T_RUN] == runs + 1  # no second run, and no ladder was moved, which counts as one
        return _Part(events, changed, once, places, first, now)


class _Part(NamedTuple):
    """What a batch did in one engine. The last of its runs is a view, overwritten by the next."""

    events: list[Matrix]
    changed: list[Matrix]
    once: bool  # each level is in `changed` once
    places: Words  # in the batch, of the engine's own commands
    first: int  # sequence of the first of them
    now_ns: int

    def changed_rows(self) -> Rows:
        """The changed levels, each once; a copy."""
        whole = as_rows(np.concatenate(self.changed), LEVEL_CHANGE)
        return whole if self.once else last_of_each(whole)


def _words(commands: Rows) -> Matrix:
    """The rows as words: always the same kind of array, so that there is one kernel."""
    return as_matrix(np.require(commands, COMMAND, ("C", "A", "W")))


def _numbering(counts: Sequence[int]) -> Numbering:
    """Numbers for what the engines have so many of, engine by engine."""
    ends = np.cumsum(counts)
    whole = tuple(np.arange(end - count, end) for count, end in zip(counts, ends.tolist(), strict=True))
    return Numbering(
        np.repeat(np.arange(len(counts)), counts),
        np.concatenate([np.arange(count) for count in counts]),
        whole,
    )


@compiled
def _pick(
    commands: Matrix,
    engine: int,
    symbol_owner: Words,
    symbol_own: Words,
    asset_owner: Words,
    asset_own: Words,
    now: int,
    told: int,
    out: Matrix,
    places: Words,
) -> Any:
    """(how many commands of a batch are one engine's, the time after the batch). `told` is the engine's own time.

    They are in `out`, as the engine numbers things, each with the time it has come to; at the end a TIME if that is not
    yet the batch's. `places` says where they are in the batch. A command for nothing that exists is the first engine's,
    to be rejected.
    """
    count = 0
    for at in range(commands.shape[0]):
        now = min(max(now, commands[at, C_TS]), MAX_TS_NS)
        kind = commands[at, C_HEAD] & 0xFF
        parties = commands[at, C_PARTIES]
        number = (parties << 32) >> 32
        owner = 0
        if kind == DEPOSIT or kind == WITHDRAW:
            if 0 <= number < asset_owner.shape[0]:
                owner = asset_owner[number]
                number = asset_own[number]
        elif kind == TIME:
            owner = engine
        elif 0 <= number < symbol_owner.shape[0]:
            owner = symbol_owner[number]
            number = symbol_own[number]
        if owner == engine:
            for word in range(COMMAND_WORDS):
                out[count, word] = commands[at, word]
            out[count, C_PARTIES] = (parties >> 32) << 32 | (number & 0xFFFFFFFF)
            out[count, C_TS] = now
            places[count] = at
            count += 1
            told = now
    if told < now and commands.shape[0] > 0:
        out[count] = 0
        out[count, C_HEAD] = TIME
        out[count, C_TS] = now
        places[count] = commands.shape[0] - 1
        count += 1
    return count, now


@compiled
def _pick_and_match(
    memory: Words,
    commands: Matrix,
    engine: int,
    symbol_owner: Words,
    symbol_own: Words,
    asset_owner: Words,
    asset_own: Words,
    now: int,
    out: Matrix,
    places: Words,
) -> Any:
    """(how many commands of a batch are the engine's, how many of them one run took, the time after the batch)."""
    count, now = _pick(
        commands, engine, symbol_owner, symbol_own, asset_owner, asset_own, now, memory[T_NOW], out, places
    )
    return count, match(memory, out, 0, count, True), now


@compiled
def _count(events: Matrix, places: Words, first: int, counts: Words) -> None:
    """Count the events of each command of the batch, one place behind it."""
    for at in range(events.shape[0]):
        counts[places[events[at, E_SEQUENCE] - first] + 1] += 1


@compiled
def _place(
    events: Matrix,
    places: Words,
    first: int,
    starts: Words,
    commands: Matrix,
    base: int,
    symbols: Words,
    assets: Words,
    whole: Matrix,
) -> None:
    """Put an engine's events behind those their commands have already, in the numbers of the whole.

    `first` is the sequence of the engine's first command of the batch, `base` that of the batch's.
    """
    for at in range(events.shape[0]):
        place = places[events[at, E_SEQUENCE] - first]
        row = starts[place]
        starts[place] += 1
        for word in range(EVENT_WORDS):
            whole[row, word] = events[at, word]
        head = events[at, E_HEAD]
        kind = head & 0xFF
        number = head >> 32
        if kind == REJECTED:
            number = (commands[place, C_PARTIES] << 32) >> 32  # it may have named anything
        elif kind == DEPOSITED or kind == WITHDRAWN:
            number = assets[number]
        else:
            number = symbols[number]
        whole[row, E_HEAD] = (head & 0xFFFFFFFF) | number << 32
        whole[row, E_SEQUENCE] = base + place
