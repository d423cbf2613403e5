"""A process of our own that is told JSON lines and answers in JSON lines, and that does not outlive its block."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from collections import deque
from collections.abc import AsyncIterator, Sequence
from typing import Final, TypeVar

import msgspec

from engine.errors import StorageError

LINE_BYTES: Final = 16 << 20  # the longest line: one step of compaction with all its blocks
LAST_LINES: Final = 20
END_S: Final = 5.0  # for one that has told all it had to

T = TypeVar("T")


class Child:
    """Made by `child`."""

    def __init__(self, process: asyncio.subprocess.Process, name: str) -> None:
        self._process, self._name = process, name
        self._said: deque[str] = deque(maxlen=LAST_LINES)
        self._listening = asyncio.create_task(self._listen(), name=f"what {name} says")

    async def tell(self, message: msgspec.Struct) -> None:
        """It is on its way; a child that has ended is noticed by `hear`."""
        assert self._process.stdin is not None
        with contextlib.suppress(ConnectionError):
            self._process.stdin.write(msgspec.json.encode(message) + b"\n")
            await self._process.stdin.drain()

    async def hear(self, kind: type[T]) -> T:
        """Its next line. StorageError with its last words when there is none, or it is something else."""
        assert self._process.stdout is not None
        line = await self._process.stdout.readline()
        if not line:
            raise StorageError(await self._last_words())
        try:
            return msgspec.json.decode(line, type=kind)
        except msgspec.DecodeError as error:
            raise StorageError(f"{self._name} told {line[:80]!r}: {error}") from None

    async def end(self) -> None:
        """It has ended: by itself when it has nothing left to do and its input is closed, or else at once."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._process.wait(), END_S)

    async def kill(self) -> None:
        """It is no more."""
        self._listening.cancel()
        if self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()
            await self._process.wait()

    async def _last_words(self) -> str:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._process.wait(), END_S)
            await asyncio.wait_for(self._listening, END_S)
        code = self._process.returncode
        how = (
            "does not end"
            if code is None
            else f"ended by signal {-code}"
            if code < 0
            else f"ended with {code}"
        )
        return f"{self._name} {how}" + (f": {self._said[-1]}" if self._said else "")

    async def _listen(self) -> None:
        assert self._process.stderr is not None
        async for line in self._process.stderr:
            text = line.decode(errors="replace").strip()
            if text:
                self._said.append(text)


@contextlib.asynccontextmanager
async def child(command: Sequence[str], name: str) -> AsyncIterator[Child]:
    """Python with these arguments, from here on; it is ended on the way out, and killed when that is an exception."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(entry or os.getcwd() for entry in sys.path)}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, *command),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=environment,
        limit=LINE_BYTES,
    )
    made = Child(process, name)
    try:
        yield made
        await made.end()
    finally:
        await made.kill()
