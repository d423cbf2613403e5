"""What is being replayed: one capture or recorded stretch at a time, begun and steered by commands.

Everything here is called on the engine's loop. What the replay delivers goes the way all data goes: into the sink.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, Literal, Protocol

from engine.arguments import flag, moment_ns, names, stretch_ns, text
from engine.errors import BadCommand, UserError, VenuescopeError, sentence_of
from engine.market.batches import Source
from engine.market.sink import Sink
from engine.runtime import Runtime
from engine.telemetry.board import ReplayView

TASK: Final = "replay"
SECOND_NS: Final = 1_000_000_000
SPEEDS: Final[Mapping[object, float]] = {1: 1.0, 10: 10.0, 100: 100.0, "max": math.inf}


class Replay(Protocol):
    """A capture or a recorded stretch that plays into a sink: `feeds.replay`, `engine.storage.playback`.

    One that is `recorded` can be sought in, and run again after its end. While it is `opened`, the
    sink shows its source.
    """

    @property
    def name(self) -> str: ...
    @property
    def speed_label(self) -> str: ...
    @property
    def state(self) -> str: ...
    @property
    def detail(self) -> str: ...
    @property
    def progress(self) -> float: ...
    @property
    def source(self) -> Source: ...
    @property
    def opened(self) -> bool: ...
    @property
    def recorded(self) -> bool: ...
    @property
    def from_ns(self) -> int: ...
    @property
    def to_ns(self) -> int: ...
    @property
    def at_ns(self) -> int: ...
    @property
    def next_hole_ns(self) -> int: ...
    @property
    def events(self) -> int: ...
    @property
    def hash(self) -> str: ...
    async def run(self, sink: Sink) -> None: ...
    def pause(self) -> None: ...
    def resume(self) -> None: ...
    def step(self, by: Literal["event", "second"]) -> None: ...
    def seek(self, at_ns: int) -> None: ...
    def set_speed(self, speed: float) -> None: ...
    def close(self) -> None: ...


OpenReplay = Callable[[], Awaitable[Replay]]
# (venue, symbols or () for all, from_ns, to_ns, at_ns or 0, speed, paused); UserError when nothing of it is recorded.
OpenRecorded = Callable[[str, tuple[str, ...], int, int, int, float, bool], Awaitable[Replay]]


class Replays:
    """The one replay of this engine, if any. Commands raise BadCommand with a sentence and change nothing then."""

    def __init__(
        self, runtime: Runtime, sink: Sink, open_sample: OpenReplay, open_recorded: OpenRecorded | None = None
    ) -> None:
        self._runtime = runtime
        self._sink = sink
        self._open_sample = open_sample
        self._open_recorded = open_recorded
        self._opener: OpenReplay | None = None
        self._replay: Replay | None = None
        self._state, self._detail = "", ""  # while there is no replay to ask
        self.commands: Final[Mapping[str, Callable[[dict[str, Any]], Any]]] = {
            "restart_replay": self._restart,
            "start_replay": self._start,
            "replay_open": self._open,
            "replay_pause": lambda _: self._playing().pause(),
            "replay_resume": lambda _: self._playing().resume(),
            "replay_step": self._step,
            "replay_seek": self._seek,
            "replay_speed": lambda args: self._playing().set_speed(_speed(args)),
            "replay_close": self._close,
        }

    def begin(self, opener: OpenReplay) -> None:
        """Open and play; what was playing is stopped first. Opening may take seconds and must not block the loop."""
        self._opener = opener
        self._runtime.supervise(TASK, lambda: self._play(opener), restart=False)

    def view(self) -> ReplayView | None:
        """What pages see of it."""
        replay = self._replay
        if replay is None:
            return ReplayView("", "", self._state, 0.0, self._detail) if self._state else None
        return ReplayView(
            file=replay.name,
            speed=replay.speed_label,
            state=self._state or replay.state,
            progress=replay.progress,
            detail=self._detail or replay.detail,
            source=replay.source.key,
            recorded=replay.recorded,
            from_ns=replay.from_ns,
            to_ns=replay.to_ns,
            at_ns=replay.at_ns,
            events=replay.events,
            hash=replay.hash,
        )

    async def _play(self, opener: OpenReplay) -> None:
        self._replay, self._state, self._detail = None, "opening", ""
        try:
            self._replay = await opener()
            self._state = ""
            await self._replay.run(self._sink)
        except Exception as error:
            said = sentence_of(error)
            ours = isinstance(error, VenuescopeError)
            self._state, self._detail = "failed", said if ours else f"the replay failed: {said}"
            raise

    def _restart(self, _args: dict[str, Any]) -> None:
        if self._opener is None:
            raise BadCommand("there is no replay to play again")
        replay = self._replay
        if replay is not None and replay.recorded and replay.state in ("ended", "failed"):
            replay.resume()  # it may have come to its end by steps
        self.begin(self._opener)

    def _start(self, args: dict[str, Any]) -> None:
        if args.get("file") != "sample":
            raise BadCommand("pages can start the sample replay only; files are named at the command line")
        if self._replay is not None and self._replay.recorded:
            self._leave(self._replay)
        self.begin(self._open_sample)

    async def _open(self, args: dict[str, Any]) -> None:
        opener = self._open_recorded
        if opener is None:
            raise BadCommand("nothing is recorded here, so nothing can be replayed")
        venue, symbols = text(args, "venue"), names(args, "symbols")
        from_ns, to_ns = stretch_ns(args)
        at_ns, paused = moment_ns(args, "at_ms"), flag(args, "paused")
        if at_ns and not from_ns <= at_ns <= to_ns:
            raise BadCommand("at_ms must lie in the stretch, or be 0 for its beginning")
        try:
            # Looked up before what plays now is stopped: a stretch that is not there changes nothing.
            found = await opener(venue, symbols, from_ns, to_ns, at_ns, _speed(args), paused)
        except UserError as error:
            raise BadCommand(str(error)) from error
        if self._replay is not None and self._replay.source != found.source:
            self._leave(self._replay)
        self.begin(_opened(found))

    def _step(self, args: dict[str, Any]) -> None:
        by = args.get("by")
        if by == "back":  # to the second before
            replay = self._sought()
            at_ns = max(replay.from_ns, (replay.at_ns - 1) // SECOND_NS * SECOND_NS)
            replay.pause()
            self._go_to(replay, at_ns)
        elif by == "hole":
            replay = self._sought()
            at_ns = replay.next_hole_ns
            if not at_ns:
                raise BadCommand("there is no hole ahead in this stretch")
            self._go_to(replay, at_ns)
        elif by in ("event", "second"):
            self._playing().step(by)
        else:
            raise BadCommand('a step is by "event" or "second", "back" by a second, or to the next "hole"')

    def _seek(self, args: dict[str, Any]) -> None:
        at_ns = moment_ns(args, "at_ms")
        replay = self._sought()
        if not replay.from_ns <= at_ns <= replay.to_ns:
            raise BadCommand("that moment is not in the stretch that is replayed")
        self._go_to(replay, at_ns)

    def _sought(self) -> Replay:
        """The replay that can be sought in."""
        if self._replay is None or not self._replay.recorded:
            raise BadCommand("only what was recorded can be sought in")
        return self._replay

    def _go_to(self, replay: Replay, at_ns: int) -> None:
        ended = replay.state in ("ended", "failed")
        replay.seek(at_ns)
        if ended:
            self.begin(_opened(replay))  # this very one: it knows where to go

    def _close(self, _args: dict[str, Any]) -> None:
        replay = self._replay
        if replay is None and not self._state:
            raise BadCommand("nothing is being replayed")
        self._runtime.cancel(TASK)
        if replay is not None:
            self._leave(replay)
        self._opener = self._replay = None
        self._state = self._detail = ""

    def _leave(self, replay: Replay) -> None:
        """It is not to be seen any more: another's source would not take its place. Its task is yet to be ended."""
        replay.close()
        if replay.opened and replay.state in ("ended", "failed"):
            self._sink.close_source(replay.source, "closed")

    def _playing(self) -> Replay:
        replay = self._replay
        if replay is None or self._state or replay.state in ("ended", "failed"):
            raise BadCommand("nothing is being replayed")
        return replay


def _opened(replay: Replay) -> OpenReplay:
    """An opener of what is open already."""

    async def found() -> Replay:
        return replay

    return found


def _speed(args: dict[str, Any]) -> float:
    value = args.get("speed", 1)
    if not isinstance(value, int | str) or isinstance(value, bool) or value not in SPEEDS:
        raise BadCommand('the speed is 1, 10, 100 or "max"')
    return SPEEDS[value]
