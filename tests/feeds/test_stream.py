"""The WebSocket shell against a small server on loopback that does everything a venue may do."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import time
from collections.abc import Callable, Coroutine
from socket import gaierror
from typing import Any

import pytest
from websockets.asyncio.server import ServerConnection, serve
from websockets.datastructures import Headers
from websockets.http11 import Response

from feeds.connection import Timing, reason_of
from feeds.dialect import Control, KeepAlive, StreamRules
from feeds.stream import Stream

QUICK = Timing(
    open_s=1.0,
    answer_s=0.8,
    close_s=0.2,
    quiet_s=0.1,
    meet_s=0.3,
    rotate_gap_s=0.3,
    healthy_s=5.0,
    backoff_s=0.02,
    most_bytes=100_000,
)
RULES = StreamRules(
    messages_per_s=200, topics_per_message=3, topics_per_connection=100, rotate_after_s=0, silent_after_s=0.4
)


BURST = 20_000  # frames, sent at once


class Dialect:
    """As much of a dialect as a stream needs."""

    def __init__(self, rules: StreamRules = RULES) -> None:
        self.streams = rules

    def subscribe(self, topics: Any, request: str) -> str:
        return json.dumps({"subscribe": list(topics), "id": request})

    def unsubscribe(self, topics: Any, request: str) -> str:
        return json.dumps({"unsubscribe": list(topics), "id": request})

    def control(self, frame: bytes) -> Control | None:
        if not frame.startswith(b'{"control"'):
            return None
        said = json.loads(frame)
        return Control(said["control"], said.get("id", ""), said.get("text", ""))


class Permit:
    def __init__(self, settled: list[str]) -> None:
        self.settled = settled

    def answered(self, status: int, headers: Any, code: int = 0) -> None:
        self.settled.append(str(status))

    def lost(self) -> None:
        self.settled.append("lost")

    def unsent(self) -> None:
        self.settled.append("unsent")


class Desk:
    """A listener that keeps what it is told, and what came."""

    def __init__(self) -> None:
        self.said: list[tuple[str, Any]] = []
        self.frames: list[bytes] = []
        self.permits: list[str] = []
        self.stream: Stream | None = None
        self.reads = True

    async def acquire(self) -> Permit:
        return Permit(self.permits)

    def arrived(self) -> None:
        if self.reads and self.stream is not None:
            self.frames += self.stream.inbox.take(1_000)[0]
            self.stream.decoded()

    def subscribed(self, stream: Stream, topics: tuple[str, ...]) -> None:
        self.said.append(("subscribed", topics))

    def refused(self, stream: Stream, topic: str, text: str) -> None:
        self.said.append(("refused", topic))

    def broken(self, stream: Stream, reason: str) -> None:
        self.said.append(("broken", reason))

    def overlapping(self, stream: Stream, begins: bool) -> None:
        self.said.append(("overlap", begins))

    def changed(self, stream: Stream) -> None:
        self.said.append(("state", stream.state))

    def of(self, kind: str) -> list[Any]:
        return [what for one, what in self.said if one == kind]


class Venue:
    """Numbers each frame of a topic, over all connections; one `fault` at a time."""

    def __init__(self) -> None:
        self.fault = ""
        self.connections = 0
        self.heard: list[dict[str, Any]] = []
        self.pings = 0
        self.number = itertools.count()
        self.every_s = 0.01
        self.open: set[ServerConnection] = set()

    async def handle(self, socket: ServerConnection) -> None:
        self.connections += 1
        self.open.add(socket)
        topics: set[str] = set()
        deaf = False
        sending = asyncio.create_task(self.send(socket, topics))
        try:
            async for text in socket:
                if text == "ping":
                    self.pings += 1
                    await socket.send('{"control": "pong"}')
                    continue
                said = json.loads(text)
                self.heard.append(said)
                if self.fault == "deaf":
                    self.fault, deaf = "", True  # this connection alone, or the next may meet it as well
                if deaf:
                    continue
                if self.fault == "slow":
                    await asyncio.sleep(0.2)
                if "bad" in said.get("subscribe", ()):
                    await socket.send(
                        json.dumps({"control": "refused", "id": said["id"], "text": "no such topic"})
                    )
                    continue
                topics |= set(said.get("subscribe", ()))
                topics -= set(said.get("unsubscribe", ()))
                await socket.send(json.dumps({"control": "ack", "id": said["id"]}))
        finally:
            self.open.discard(socket)
            sending.cancel()

    async def send(self, socket: ServerConnection, topics: set[str]) -> None:
        with contextlib.suppress(Exception):
            while True:
                await asyncio.sleep(self.every_s)
                fault, frames = (
                    self.fault,
                    [json.dumps([topic, next(self.number)]) for topic in sorted(topics)],
                )
                if fault == "stall":
                    continue
                for frame in frames:
                    await socket.send(frame)
                if not frames:
                    continue
                if fault == "huge":
                    self.fault = ""
                    await socket.send("x" * 200_000)
                elif fault == "1006":
                    self.fault = ""
                    socket.transport.abort()
                elif fault == "cut":
                    self.fault = ""
                    await socket.close(1001, "24 hours are over")
                elif fault == "shutdown":
                    self.fault = ""
                    await socket.send('{"control": "shutdown", "text": "soon"}')
                elif fault == "malformed":
                    self.fault = ""
                    await socket.send("\x00{nonsense")
                elif fault == "always leaving":
                    await socket.send('{"control": "shutdown", "text": "soon"}')
                elif fault == "burst":
                    self.fault = ""
                    texts = [json.dumps(["burst", number]).encode().ljust(100) for number in range(BURST)]
                    socket.transport.write(b"".join(bytes([0x81, len(text)]) + text for text in texts))
                elif fault == "binary":
                    self.fault = ""
                    await socket.send(b"as bytes")
                    await socket.send(["in ", "three ", "parts"])


async def until(condition: Callable[[], object], within_s: float = 5.0) -> None:
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, "it did not come about"
        await asyncio.sleep(0.005)


def against(
    venue: Venue, scenario: Callable[[Stream, Desk], Coroutine[Any, Any, None]], rules: StreamRules = RULES
) -> Desk:
    """Run a stream with two topics against the venue while the scenario lasts; no task is left behind."""

    async def run() -> Desk:
        desk = Desk()
        async with serve(venue.handle, "127.0.0.1", 0, compression=None) as server:
            port = server.sockets[0].getsockname()[1]
            before = asyncio.all_tasks()
            stream = Stream(
                "test 1", f"ws://127.0.0.1:{port}/x", Dialect(rules), desk.acquire, desk, timing=QUICK
            )  # type: ignore[arg-type]
            desk.stream = stream
            stream.want(["a", "b"])
            running = asyncio.create_task(stream.run())
            try:
                await until(lambda: stream.settled)
                await scenario(stream, desk)
                assert not running.done()
            finally:
                started = time.monotonic()
                running.cancel()
                await asyncio.wait([running])
                took_s = time.monotonic() - started
            assert stream.state == "closed"
            assert took_s < 2
            for socket in list(venue.open):
                await socket.close()
            await until(lambda: not {t for t in asyncio.all_tasks() - before if "Connection" not in repr(t)})
        return desk

    return asyncio.run(run())


def test_it_subscribes_delivers_and_stamps() -> None:
    async def scenario(stream: Stream, desk: Desk) -> None:
        await until(lambda: len(desk.frames) > 10)
        view = stream.view(time.time_ns())
        assert (view.state, view.subscriptions, view.reconnects) == ("open", 2, 0)
        assert view.frames >= 10
        assert abs(view.newest_ns - time.time_ns()) < 5e9

    desk = against(Venue(), scenario)
    assert desk.of("subscribed") == [("a", "b")]
    assert desk.permits == ["101"]
    numbers = [json.loads(frame)[1] for frame in desk.frames]
    assert numbers == sorted(numbers)


def test_topics_come_and_go_while_it_runs() -> None:
    venue = Venue()

    async def scenario(stream: Stream, desk: Desk) -> None:
        stream.want(["c"])
        stream.drop(["a"])
        await until(lambda: stream.settled and len(venue.heard) == 3)
        desk.frames.clear()
        await until(lambda: len(desk.frames) > 10)
        await until(lambda: {json.loads(frame)[0] for frame in desk.frames[-6:]} == {"b", "c"})
        assert stream.renew(["b"])
        await until(lambda: len(venue.heard) == 5)

    against(venue, scenario)
    assert [next(iter(said)) for said in venue.heard[-2:]] == ["unsubscribe", "subscribe"]


def test_a_refused_topic_is_told_and_the_others_come() -> None:
    async def scenario(stream: Stream, desk: Desk) -> None:
        stream.want(["c", "bad", "d"])
        await until(lambda: desk.of("refused") and stream.settled)
        desk.frames.clear()
        await until(lambda: {json.loads(frame)[0] for frame in desk.frames} == {"a", "b", "c", "d"})
        assert stream.topics == ("a", "b", "c", "d")

    assert against(Venue(), scenario).of("refused") == ["bad"]


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ("stall", "no data for 0.4 s"),
        ("1006", "connection lost"),
        ("cut", "closed by the venue: 1001 (going away) 24 hours are over"),
        ("huge", "a frame above the size allowed"),
    ],
)
def test_a_broken_connection_is_told_counted_and_opened_again(fault: str, reason: str) -> None:
    venue = Venue()

    async def scenario(stream: Stream, desk: Desk) -> None:
        await asyncio.sleep(1.1 if fault == "stall" else 0)  # so that its pace is known
        venue.fault = fault
        await until(lambda: desk.of("broken"))
        venue.fault = ""
        await until(lambda: stream.settled)
        desk.frames.clear()
        await until(lambda: len(desk.frames) > 4)
        view = stream.view(time.time_ns())
        assert (view.reconnects, view.stalls, view.reason) == (1, int(fault == "stall"), reason)
        assert stream.oversized == int(fault == "huge")

    desk = against(venue, scenario)
    assert desk.of("broken") == [reason]
    assert venue.connections == 2
    assert desk.of("subscribed") == [("a", "b"), ("a", "b")]


@pytest.mark.parametrize("fault", ["malformed", "binary"])
def test_odd_frames_are_the_decoders_business(fault: str) -> None:
    venue = Venue()

    async def scenario(stream: Stream, desk: Desk) -> None:
        venue.fault = fault
        await until(lambda: len(desk.frames) > 20 and not venue.fault)

    desk = against(venue, scenario)
    odd = [frame for frame in desk.frames if not frame.startswith(b"[")]
    assert odd == {"malformed": [b"\x00{nonsense"], "binary": [b"as bytes", b"in three parts"]}[fault]
    assert desk.of("broken") == []


def test_slow_answers_are_waited_for_and_none_at_all_are_not() -> None:
    venue = Venue()

    async def scenario(stream: Stream, desk: Desk) -> None:
        venue.fault = "slow"
        stream.want(["c"])
        await until(lambda: stream.settled)
        assert not desk.of("broken")
        venue.fault = "deaf"
        stream.want(["d"])
        await until(lambda: desk.of("broken"))
        await until(lambda: stream.settled)
        desk.frames.clear()
        await until(lambda: {json.loads(frame)[0] for frame in desk.frames} == {"a", "b", "c", "d"})

    desk = against(venue, scenario)
    assert desk.of("broken") == ["no answer to a subscription within 0.8 s"]


@pytest.mark.parametrize("how", ["planned", "notice"])
def test_a_replacement_takes_over_before_the_old_one_goes_and_nothing_is_missed(how: str) -> None:
    venue = Venue()
    rules = StreamRules(200, 3, 100, rotate_after_s=0.5 if how == "planned" else 0, silent_after_s=5)

    async def scenario(stream: Stream, desk: Desk) -> None:
        if how == "notice":
            venue.fault = "shutdown"
        await until(lambda: stream.rotations == 1)
        await until(lambda: len(venue.open) == 1)
        seen = len(desk.frames)
        await until(lambda: len(desk.frames) > seen + 10)
        assert stream.state == "open"
        assert stream.view(time.time_ns()).reconnects == 0
        if how == "planned":
            await until(lambda: stream.rotations == 2)

    desk = against(venue, scenario, rules)
    assert desk.of("broken") == []
    assert desk.of("overlap")[:2] == [True, False]
    assert "backing off" not in desk.of("state")
    # Each connection numbers its frames from one counter, so what each sent is told apart by gaps; none may be long.
    numbers = sorted({json.loads(frame)[1] for frame in desk.frames})
    assert max(b - a for a, b in itertools.pairwise(numbers)) <= 4


def test_what_came_twice_is_compared_until_all_that_a_replacement_held_is_decoded() -> None:
    venue = Venue()

    async def scenario(stream: Stream, desk: Desk) -> None:
        desk.reads = False
        venue.fault = "shutdown"
        await until(lambda: stream.rotations == 1)
        assert stream._overlap_until is not None
        held = stream._overlap_until - stream.inbox.gone
        assert held > 10
        assert desk.of("overlap") == [True]
        desk.frames += stream.take(held - 1)[0]
        stream.decoded()
        assert desk.of("overlap") == [True]
        desk.frames += stream.take(1)[0]
        assert desk.of("overlap") == [True]
        stream.decoded()
        assert desk.of("overlap") == [True, False]
        assert stream.inbox.dropped == 0

    against(venue, scenario)


def test_a_replacement_carries_what_is_wanted_while_it_is_prepared(monkeypatch: pytest.MonkeyPatch) -> None:
    venue = Venue()
    delivering = Stream._until_delivering

    async def changes_its_mind(self: Stream, *arguments: Any) -> None:
        await delivering(self, *arguments)
        self.want(["c"])
        self.drop(["a"])

    monkeypatch.setattr(Stream, "_until_delivering", changes_its_mind)

    async def scenario(stream: Stream, desk: Desk) -> None:
        venue.fault = "shutdown"
        await until(lambda: len(venue.heard) > 1)
        venue.fault = "slow"  # 0.2 s for each answer: not behind the takeover, then
        confirmed: list[set[str]] = []
        end = stream._end_overlap
        monkeypatch.setattr(
            stream, "_end_overlap", lambda: (confirmed.append(set(stream._current.talk.confirmed)), end())
        )
        await until(lambda: stream.rotations == 1)
        assert confirmed == [{"b", "c"}]
        assert stream.topics == ("b", "c")

    against(venue, scenario)


@pytest.mark.parametrize("turns", range(5))
def test_a_connection_that_breaks_as_its_replacement_is_ready_leaves_nothing_behind(
    turns: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    venue = Venue()
    delivering = Stream._until_delivering

    async def cut_then(self: Stream, *arguments: Any) -> None:
        await delivering(self, *arguments)
        assert self._current is not None
        assert self._current._socket is not None
        self._current._socket.transport.abort()
        self._current.nudge()
        for _ in range(turns):
            await asyncio.sleep(0)

    monkeypatch.setattr(Stream, "_until_delivering", cut_then)

    async def scenario(stream: Stream, desk: Desk) -> None:
        venue.fault = "shutdown"
        await until(lambda: desk.of("broken") or stream.rotations)
        await until(lambda: stream.state == "open" and stream.settled)
        await until(lambda: len(venue.open) == 1)
        await until(lambda: desk.of("overlap") == [True, False])

    against(venue, scenario)


def test_a_venue_that_always_gives_notice_does_not_cost_the_budget_of_connects() -> None:
    venue = Venue()

    async def scenario(stream: Stream, desk: Desk) -> None:
        venue.fault = "always leaving"
        started = time.monotonic()
        await until(lambda: stream.rotations >= 3)
        # The first at once, the others a gap apart.
        assert time.monotonic() - started >= 2 * QUICK.rotate_gap_s

    assert against(venue, scenario).of("broken") == []


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (gaierror(-2, "Name or service not known"), "cannot resolve stream.binance.com"),
        (ConnectionRefusedError(111, "refused"), "connection refused by stream.binance.com:9443"),
        (TimeoutError("timed out during opening handshake"), "no answer from stream.binance.com:9443"),
        (
            OSError(101, "Network is unreachable"),
            "no connection to stream.binance.com:9443: Network is unreachable",
        ),
        (
            OSError(
                "Multiple exceptions: [Errno 111] Connect call failed ('::1', 9443, 0, 0), [Errno 111] ..."
            ),
            "connection refused by stream.binance.com:9443",
        ),
    ],
)
def test_why_a_connection_could_not_be_opened(error: OSError, reason: str) -> None:
    assert reason_of(error, "wss://stream.binance.com:9443/stream") == reason


def test_a_venue_that_refuses_is_tried_again_with_its_reason_shown() -> None:
    async def run() -> tuple[Desk, list[str]]:
        desk = Desk()

        async def refuse(socket: ServerConnection, request: Any) -> Response:
            return Response(429, "Too Many Requests", Headers({"Retry-After": "3"}), b"")

        async with serve(Venue().handle, "127.0.0.1", 0, process_request=refuse) as server:
            port = server.sockets[0].getsockname()[1]
            stream = Stream("x", f"ws://127.0.0.1:{port}/x", Dialect(), desk.acquire, desk, timing=QUICK)  # type: ignore[arg-type]
            running = asyncio.create_task(stream.run())
            await until(lambda: stream.reconnects >= 2)
            refusals = [stream.reason]
            running.cancel()
            await asyncio.wait([running])
        stream = Stream("x", f"ws://127.0.0.1:{port}/x", Dialect(), desk.acquire, desk, timing=QUICK)  # type: ignore[arg-type]
        running = asyncio.create_task(stream.run())
        await until(lambda: stream.reconnects >= 2)
        assert stream.view(time.time_ns()).state in ("backing off", "connecting")
        refusals.append(stream.reason)
        running.cancel()
        await asyncio.wait([running])
        return desk, [text.replace(str(port), "PORT") for text in refusals]

    desk, reasons = asyncio.run(run())
    assert reasons == [
        "127.0.0.1:PORT refused the connection: HTTP 429",
        "connection refused by 127.0.0.1:PORT",
    ]
    assert desk.permits[0] == "429"
    assert desk.permits[-1] == "unsent"
    assert desk.of("broken") == []  # nothing was there to break


def test_keep_alives_are_sent() -> None:
    venue = Venue()
    rules = StreamRules(200, 3, 100, keep_alive=KeepAlive("ping", 0.05), rotate_after_s=0, silent_after_s=5)

    async def scenario(stream: Stream, desk: Desk) -> None:
        await until(lambda: venue.pings >= 3)

    desk = against(venue, scenario, rules)
    assert all(b"pong" not in frame for frame in desk.frames)


def test_a_slow_reader_loses_the_oldest_and_the_socket_goes_on() -> None:
    venue = Venue()
    venue.every_s = 0.0005

    async def scenario(stream: Stream, desk: Desk) -> None:
        await until(lambda: desk.frames)
        desk.reads = False
        stream.inbox._most_frames = 50
        await until(lambda: stream.inbox.dropped > 100)
        assert len(stream.inbox) <= 50
        assert stream.view(time.time_ns()).dropped == stream.inbox.dropped
        frames, _ = stream.inbox.take(100)
        assert json.loads(frames[-1])[1] > json.loads(desk.frames[-1])[1] + 100
        assert stream.state == "open"

    assert against(venue, scenario).of("broken") == []


def bursts(desk: Desk) -> list[int]:
    return [number for topic, number in map(json.loads, desk.frames) if topic == "burst"]


def test_a_burst_waits_in_the_systems_buffers_and_none_of_it_is_lost() -> None:
    venue = Venue()

    async def scenario(stream: Stream, desk: Desk) -> None:
        desk.reads = False
        stream.inbox._most_frames = 9_000
        venue.fault = "burst"
        while not desk.frames or stream.view(0).frames < BURST or len(stream.inbox):
            desk.frames += stream.take(500)[0]  # a decoder that has a little time in each turn
            await asyncio.sleep(0)
        assert stream.inbox.dropped == 0

    desk = against(venue, scenario)
    assert bursts(desk) == list(range(BURST))


def test_a_reader_that_does_not_come_does_not_block_the_socket() -> None:
    venue = Venue()

    async def scenario(stream: Stream, desk: Desk) -> None:
        desk.reads = False
        stream.inbox._most_frames = 6_000
        venue.fault = "burst"
        await until(lambda: stream.view(0).frames >= BURST)
        assert len(stream.inbox) <= 6_000
        assert stream.inbox.dropped >= BURST - 6_000
        heard = len(venue.heard)
        stream.want(["c"])
        await until(lambda: len(venue.heard) > heard and stream.settled)

    assert against(venue, scenario).of("broken") == []
