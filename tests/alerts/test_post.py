"""One POST over real sockets: what is told of each way it can end, and that secrets are in none of it."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable

from engine.alerts.deliver import Answer, Outgoing
from engine.alerts.post import HttpPost
from tests.alerts.receiver import Receiver, receiving


def ask(receiver_says: Callable[[Receiver], None], timeout_s: float = 5.0) -> tuple[Answer, Receiver]:
    """The answer of one POST to a receiver that was told what to say."""

    async def run() -> tuple[Answer, Receiver]:
        async with receiving() as receiver:
            receiver_says(receiver)
            post = HttpPost(timeout_s)
            try:
                answer = await post(Outgoing(receiver.url + "/s3cret", {"Venuescope-Delivery": "d"}, b"{}"))
            finally:
                await post.close()
            if receiver.gate is not None:
                receiver.gate.set()
            return answer, receiver

    return asyncio.run(run())


def test_an_answer_is_its_status_and_what_it_asks_for() -> None:
    def busy(receiver: Receiver) -> None:
        receiver.answer, receiver.headers = lambda _: 503, {"Retry-After": "7"}

    answer, receiver = ask(busy)
    assert answer == Answer(503, retry_after="7")
    assert (receiver.got[0].body, receiver.got[0].path) == (b"{}", "/s3cret")


def test_redirects_are_not_followed() -> None:
    def moved(receiver: Receiver) -> None:
        receiver.answer, receiver.headers = lambda _: 307, {"Location": receiver.url + "/elsewhere"}

    answer, receiver = ask(moved)
    assert answer.status == 307
    assert len(receiver.got) == 1


def test_no_answer_in_time_may_have_arrived() -> None:
    def hangs(receiver: Receiver) -> None:
        receiver.gate = asyncio.Event()

    answer, receiver = ask(hangs, timeout_s=0.3)
    assert (answer.status, answer.sent, answer.detail) == (0, True, "no answer within 0.3 s")
    assert len(receiver.got) == 1


def test_a_connection_that_breaks_after_sending_may_have_arrived() -> None:
    def hangs_up(receiver: Receiver) -> None:
        receiver.answer = lambda _: None

    answer, _ = ask(hangs_up)
    assert (answer.status, answer.sent) == (0, True)
    assert "s3cret" not in answer.detail


def _refused(url: str) -> Answer:
    async def run() -> Answer:
        post = HttpPost(2.0)
        try:
            return await post(Outgoing(url, {}, b"{}"))
        finally:
            await post.close()

    return asyncio.run(run())


def test_no_connection_has_surely_not_arrived() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))  # taken, and nobody listens
        answer = _refused(f"http://127.0.0.1:{unused.getsockname()[1]}/s3cret")
    assert (answer.status, answer.sent) == (0, False)
    assert answer.detail == "no connection: nothing listens there"
    assert "s3cret" not in answer.detail


def test_an_unknown_host_has_surely_not_arrived() -> None:
    answer = _refused("http://nowhere.invalid/s3cret")
    assert (answer.status, answer.sent) == (0, False)
    assert "s3cret" not in answer.detail


def test_an_answer_that_is_no_http_is_no_answer() -> None:
    async def run() -> Answer:
        async def babble(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(b"\x00" * 100_000)
            writer.close()

        server = await asyncio.start_server(babble, "127.0.0.1", 0)
        post: HttpPost = HttpPost(2.0)
        send: Callable[[Outgoing], Awaitable[Answer]] = post
        async with server:
            answer = await send(
                Outgoing(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/", {}, b"{}")
            )
        await post.close()
        return answer

    answer = asyncio.run(run())
    assert (answer.status, answer.sent) == (0, True)
