"""What waits for a client that reads slowly: conflated where only the newest counts, then cut."""

from __future__ import annotations

from typing import Any

from engine.exchange.connection import HARD_LIMIT, HIGH_WATER, SOFT_LIMIT, Connection
from engine.exchange.dialects.sessions import Opening
from engine.exchange.limit_windows import MessageRate


class Transport:
    """A transport that takes nothing while `full`."""

    def __init__(self) -> None:
        self.full = False
        self.written = b""
        self.aborted = False

    def write(self, data: bytes) -> None:
        assert not self.full
        self.written += data

    def get_write_buffer_size(self) -> int:
        return HIGH_WATER if self.full else 0

    def is_closing(self) -> bool:
        return self.aborted

    def abort(self) -> None:
        self.aborted = True


def connected() -> tuple[Connection, Any]:
    transport: Any = Transport()
    return Connection("c-1", "bybit", "a", Opening("bybit_spot"), transport, MessageRate(5), 0), transport


def test_all_that_waits_is_written_at_once_and_in_order() -> None:
    connection, transport = connected()
    for part in (b"one", b"two", b"three"):
        connection.push(part)
    assert transport.written == b""
    assert connection.flush()
    assert transport.written == b"onetwothree"
    assert (connection.sent.frames, connection.sent.bytes, connection.waiting) == (3, 11, False)


def test_while_a_client_does_not_read_only_the_newest_of_a_conflated_stream_is_kept() -> None:
    connection, transport = connected()
    transport.full = True
    size = SOFT_LIMIT // 8
    for at in range(6):
        connection.push(b"q%d" % at + bytes(size), "quotes")
        connection.push(b"d%d" % at + bytes(size))
        assert connection.flush()
    transport.full = False
    assert connection.flush()
    kept = [part[:2] for part in transport.written.replace(bytes(size), b"|").split(b"|")[:-1]]
    assert [each for each in kept if each[:1] == b"d"] == [b"d%d" % at for at in range(6)]
    quotes = [each for each in kept if each[:1] == b"q"]
    assert len(quotes) < 6
    assert quotes[-1] == b"q5"
    assert connection.sent.conflated == 6 - len(quotes)
    assert not transport.aborted


def test_a_client_that_never_reads_is_cut_with_a_bounded_amount_waiting() -> None:
    connection, transport = connected()
    transport.full = True
    frames = 0
    while connection.flush():
        connection.push(bytes(SOFT_LIMIT // 4))
        frames += 1
        assert frames * SOFT_LIMIT // 4 <= HARD_LIMIT + SOFT_LIMIT
    assert transport.aborted
    assert connection.slow
    assert not connection.waiting
