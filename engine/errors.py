"""The exception tree. Normal outcomes (a reject, a gap) are values, not exceptions.

VenuescopeError
├── UserError          what a user gave is wrong: one sentence, exit code 2, no traceback
│   ├── BadSetting     a setting's value is not allowed
│   ├── BadCapture     a capture file is missing, truncated or foreign
│   ├── BadImport      a foreign capture cannot be taken over
│   ├── BadLimits      a file of rate limits is not valid
│   ├── BadDataFolder  a folder cannot be read, or holds what this start cannot go on with
│   ├── BadQuery       a question about what is kept cannot be answered as it was put
│   └── PortInUse      an address cannot be bound
├── FeedError          input from a venue cannot be used
│   ├── BadFrame       a frame doesn't match the venue's published format
│   └── CallFailed     a REST call brought no answer that can be used
│       ├── Unreachable   no connection, or no answer in time
│       ├── Refused       the venue refuses this call (4xx, or an error code in the body)
│       ├── OverLimit     the venue says too many (429, 418, 403, 10006): the limiter knows until when
│       ├── VenueBroken   5xx: the venue's own failure
│       └── BadAnswer     the body is not what the venue documents
├── LimitError         a call was not sent, because of its limits
│   ├── TooHeavy       heavier than the limit itself: it can never be sent
│   └── QueueFull      too many calls wait already
├── BadCommand         a page or client asked the engine for what it cannot do
├── StorageError       something cannot be stored, or read back
│   ├── LogFull        too much of the command log waits for the disk; the commands were not taken
│   ├── LogFailed      the disk or the system refused; nothing more is stored
│   ├── LogDamaged     a file of the command log is damaged, foreign or missing
│   ├── StoreLocked    another process writes to this store
│   ├── StoreFailed    the journal cannot go on
│   └── BlockDamaged   a block of the journal, or a file of the archive, is not as it was written
└── KernelError        a compiled kernel could not be built or refused its input
"""

from __future__ import annotations


class VenuescopeError(Exception):
    """Base of every error this project raises on purpose."""


def sentence_of(error: Exception) -> str:
    """What a user is told of an error: its sentence where it is one of ours; of any other, where to look."""
    return str(error) if isinstance(error, VenuescopeError) else "an error in the program; it is in the log"


class UserError(VenuescopeError):
    """A user's mistake; `str()` is the sentence to print, the exit code is 2."""


class BadSetting(UserError):
    """A setting's value is not allowed."""

    def __init__(self, key: str, value: object, allowed: str) -> None:
        super().__init__(key, value, allowed)
        self.key, self.value, self.allowed = key, value, allowed

    def __str__(self) -> str:
        return f"setting {self.key} cannot be {self.value!r}: {self.allowed}"


class BadCapture(UserError):
    """A capture file is missing, truncated or foreign; `line` counts from 1, 0 = the file as a whole."""

    def __init__(self, path: str, line: int, reason: str) -> None:
        super().__init__(path, line, reason)
        self.path, self.line, self.reason = path, line, reason

    def __str__(self) -> str:
        where = f"{self.path}, line {self.line:,}" if self.line else self.path
        return f"cannot replay {where}: {self.reason}"


class BadImport(UserError):
    """A foreign capture cannot be taken over: it is missing, or nothing in it can be read. Nothing was stored."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(path, reason)
        self.path, self.reason = path, reason

    def __str__(self) -> str:
        return f"cannot import {self.path}: {self.reason}"


class BadLimits(UserError):
    """A file of rate limits is not valid; `key` is the path of what is wrong, as `bybit.windows[0].limit`."""

    def __init__(self, path: str, key: str, reason: str) -> None:
        super().__init__(path, key, reason)
        self.path, self.key, self.reason = path, key, reason

    def __str__(self) -> str:
        where = f"{self.path}: {self.key}" if self.key else self.path
        return f"rate limits in {where}: {self.reason}"


class BadDataFolder(UserError):
    """A folder of kept data cannot be read, or holds what this start cannot go on with. Nothing was changed."""

    def __init__(self, folder: str, reason: str, remedy: str) -> None:
        super().__init__(folder, reason, remedy)
        self.folder, self.reason, self.remedy = folder, reason, remedy

    def __str__(self) -> str:
        ways = f"{self.remedy}, choose another data_dir, or move the folder away to begin anew"
        return f"{self.folder} {self.reason}: {ways}"


class BadQuery(UserError):
    """A question about what is kept cannot be answered as it was put; `what` is the SQL, the flag or the field."""

    def __init__(self, what: str, reason: str) -> None:
        super().__init__(what, reason)
        self.what, self.reason = what, reason

    def __str__(self) -> str:
        return f"{self.what}: {self.reason}"


class PortInUse(UserError):
    """The address the dashboard wants is taken."""

    def __init__(self, host: str, port: int) -> None:
        super().__init__(host, port)
        self.host, self.port = host, port

    def __str__(self) -> str:
        return f"port {self.port} on {self.host} is in use; choose another with --port, e.g. --port {self.port + 10}"


class FeedError(VenuescopeError):
    """Input from a venue cannot be used."""


class BadFrame(FeedError):
    """A frame doesn't match the venue's published format."""

    def __init__(self, venue: str, field: str, frame: bytes) -> None:
        super().__init__(venue, field, frame)
        self.venue, self.field, self.frame = venue, field, frame

    def __str__(self) -> str:
        return f"{self.venue}: bad {self.field!r} in {self.frame[:80]!r}"


class CallFailed(FeedError):
    """A REST call brought no answer that can be used; `call` is "GET /api/v3/depth"."""

    def __init__(self, venue: str, call: str, reason: str) -> None:
        super().__init__(venue, call, reason)
        self.venue, self.call, self.reason = venue, call, reason

    def __str__(self) -> str:
        return f"{self.venue}: {self.call}: {self.reason}"


class Unreachable(CallFailed):
    """No connection, or no answer in time. What was asked may have been done."""


class Refused(CallFailed):
    """The venue refuses this call; asking again changes nothing. `code` is the venue's own, or the HTTP status."""

    def __init__(self, venue: str, call: str, code: int, reason: str) -> None:
        CallFailed.__init__(self, venue, call, f"{code}: {reason}")
        self.code = code


class OverLimit(CallFailed):
    """The venue says too many. The limiter was told, and holds further calls back until it is over."""

    def __init__(self, venue: str, call: str, code: int, reason: str) -> None:
        CallFailed.__init__(self, venue, call, f"{code}: {reason}")
        self.code = code


class VenueBroken(CallFailed):
    """The venue failed (5xx)."""


class BadAnswer(CallFailed):
    """The answer is not what the venue documents."""


class LimitError(VenuescopeError):
    """A call was not sent, because of its limits."""


class TooHeavy(LimitError):
    """A call that weighs more than a whole window allows."""

    def __init__(self, venue: str, endpoint: str, weight: int, limit: int, window: str) -> None:
        super().__init__(venue, endpoint, weight, limit, window)
        self.venue, self.endpoint, self.weight, self.limit, self.window = (
            venue,
            endpoint,
            weight,
            limit,
            window,
        )

    def __str__(self) -> str:
        return f"{self.venue}: {self.endpoint} weighs {self.weight:,}, more than {self.window} allows ({self.limit:,})"


class QueueFull(LimitError):
    """Too many calls wait for their turn already."""

    def __init__(self, venue: str, waiting: int) -> None:
        super().__init__(venue, waiting)
        self.venue, self.waiting = venue, waiting

    def __str__(self) -> str:
        return f"{self.venue}: {self.waiting:,} calls wait already"


class BadCommand(VenuescopeError):
    """A command names something the engine does not have, or a value out of range."""


class KernelError(VenuescopeError):
    """A compiled kernel could not be built, or was handed input outside its bounds."""


class StorageError(VenuescopeError):
    """Something cannot be stored, or read back."""


class LogFull(StorageError):
    """Too much of the command log waits for the disk. Nothing of the append was written; later it may fit."""

    def __init__(self, backlog_bytes: int, limit_bytes: int) -> None:
        super().__init__(backlog_bytes, limit_bytes)
        self.backlog_bytes, self.limit_bytes = backlog_bytes, limit_bytes

    def __str__(self) -> str:
        return f"{self.backlog_bytes:,} bytes of the command log wait for the disk; at most {self.limit_bytes:,} may"


class LogFailed(StorageError):
    """The disk or the system refused. What is not known to be durable by now must not be acknowledged."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(path, reason)
        self.path, self.reason = path, reason

    def __str__(self) -> str:
        return f"the command log cannot go on with {self.path}: {self.reason}"


class LogDamaged(StorageError):
    """A file of the command log is damaged, foreign or missing from `offset` on. Nothing was changed."""

    def __init__(self, path: str, offset: int, reason: str) -> None:
        super().__init__(path, offset, reason)
        self.path, self.offset, self.reason = path, offset, reason

    def __str__(self) -> str:
        return f"{self.path} cannot be used from byte {self.offset:,} on: {self.reason}"


class StoreLocked(StorageError):
    """Another process writes to this store. It can still be read."""

    def __init__(self, folder: str) -> None:
        super().__init__(folder)
        self.folder = folder

    def __str__(self) -> str:
        return f"another Venuescope writes to {self.folder}: stop it, or choose another data_dir"


class StoreFailed(StorageError):
    """The journal cannot go on. What was acknowledged is on the disk; nothing more is."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(path, reason)
        self.path, self.reason = path, reason

    def __str__(self) -> str:
        return f"{self.path} cannot be written: {self.reason}"


class BlockDamaged(StorageError):
    """A block of the journal, or a file of the archive, is not as it was written. It is left out and left alone."""

    def __init__(self, where: str, reason: str) -> None:
        super().__init__(where, reason)
        self.where, self.reason = where, reason

    def __str__(self) -> str:
        return f"a block of {self.where} cannot be used: {self.reason}"
