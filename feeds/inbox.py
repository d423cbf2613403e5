"""Frames between a socket and its decoder: bounded, so that a slow reader never blocks the socket."""

from __future__ import annotations

from typing import Final

MOST_FRAMES: Final = 32_768  # twice what one read brings of the shortest frames
MOST_BYTES: Final = 32 << 20
SPARED: Final = 8  # one in so many is given up at a time, so that giving up is rare and not once a frame


class Inbox:
    """Frames in their order of arrival. Past its bounds the oldest are given up and counted in `dropped`.

    The oldest and not the newest: the books concerned find a gap whichever it is, and the newest are worth more.
    `gone` counts all that left, taken or given up.
    """

    def __init__(self, most_frames: int = MOST_FRAMES, most_bytes: int = MOST_BYTES) -> None:
        self.dropped = 0
        self.gone = 0
        self.size_bytes = 0
        self._most_frames, self._most_bytes = most_frames, most_bytes
        self._frames: list[bytes] = []
        self._recv_ns: list[int] = []

    def __len__(self) -> int:
        return len(self._frames)

    def put(self, frame: bytes, recv_ns: int) -> None:
        """One more frame."""
        self._frames.append(frame)
        self._recv_ns.append(recv_ns)
        self.size_bytes += len(frame)
        if len(self._frames) > self._most_frames or self.size_bytes > self._most_bytes:
            self._give_up()

    def take(self, most: int) -> tuple[list[bytes], list[int]]:
        """At most so many of the oldest frames, and when they came."""
        frames, recv_ns = self._frames[:most], self._recv_ns[:most]
        del self._frames[:most], self._recv_ns[:most]
        self.size_bytes -= sum(map(len, frames))
        self.gone += len(frames)
        return frames, recv_ns

    def clear(self) -> None:
        """Forget all; not counted as dropped."""
        self.gone += len(self._frames)
        self._frames.clear()
        self._recv_ns.clear()
        self.size_bytes = 0

    def abandon(self) -> None:
        """Give up all; counted."""
        self.dropped += len(self._frames)
        self.clear()

    def pour(self, other: Inbox) -> None:
        """Take over what another holds, behind what is here."""
        for frame, recv_ns in zip(*other.take(len(other)), strict=True):
            self.put(frame, recv_ns)
        self.dropped += other.dropped
        other.dropped = 0

    def _give_up(self) -> None:
        count = max(1, len(self._frames) // SPARED)
        while True:
            self.take(count)
            self.dropped += count
            if len(self._frames) <= self._most_frames and self.size_bytes <= self._most_bytes:
                return
            count = max(1, len(self._frames) // SPARED)
