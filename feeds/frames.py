"""Frames on their way to a decoder: many in one buffer, so that compiled code can walk them all at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Bytes = npt.NDArray[np.uint8]

NO_TEXT = np.frombuffer(b" ", np.uint8)[:0]


@dataclass(frozen=True, slots=True)
class Frames:
    """Frame i is buffer[starts[i]:ends[i]], received at recv_ns[i]. Treated as frozen."""

    buffer: Bytes
    starts: Ints
    ends: Ints
    recv_ns: Ints

    def __len__(self) -> int:
        return len(self.starts)

    def __getitem__(self, index: int) -> bytes:
        """A copy of one frame's bytes."""
        return bytes(self.buffer[self.starts[index] : self.ends[index]])

    def between(self, first: int, end: int) -> Frames:
        """Frames `first` to `end` - 1; shares memory."""
        return Frames(self.buffer, self.starts[first:end], self.ends[first:end], self.recv_ns[first:end])

    @property
    def sizes(self) -> Any:
        """Bytes of each frame, int64 (n,)."""
        return self.ends - self.starts


def join(frames: Sequence[bytes], recv_ns: Sequence[int] | Ints) -> Frames:
    """Separate frames, as sockets give them, in one buffer. Copies each once."""
    lengths = np.fromiter(map(len, frames), np.int64, len(frames))
    ends = np.cumsum(lengths)
    return Frames(as_text(b"".join(frames)), ends - lengths, ends, np.asarray(recv_ns, np.int64))


def as_text(data: bytes) -> Bytes:
    """Bytes as kernels read them: uint8, not writable (one type, so kernels are compiled once)."""
    return np.frombuffer(data, np.uint8) if data else NO_TEXT
