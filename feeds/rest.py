"""One market's REST calls, each through the limiter: what went out, what came back, and what a failure was.

Every call acquires a permit and settles it exactly once: answered when the venue's headers were seen, unsent when
no connection was made, lost otherwise (also when it was cancelled: whether it had left nobody knows, and counting
a call that was not made costs less than missing one that was). Redirects are not followed: nothing an API answers
lies elsewhere, and the second call would have no permit.
"""

from __future__ import annotations

import asyncio
import random
import re
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

import aiohttp
import numpy as np
from yarl import URL

from engine.errors import BadAnswer, CallFailed, OverLimit, Refused, Unreachable, VenueBroken
from engine.limits.limiter import Priority
from engine.market.batches import CANDLE, Batch, Kind, Source
from engine.market.instruments import Instrument
from feeds.backoff import Backoff
from feeds.dialect import Call, Dialect, Listing

if TYPE_CHECKING:
    from engine.limits.gate import Gate

SECOND_NS: Final = 1_000_000_000
MAX_BODY_BYTES: Final = 64 << 20  # exchangeInfo of Binance spot is the largest, some 20 MB
MAX_CONNECTIONS: Final = 256  # 1,200 calls a second of 200 ms each need 240
CONNECT_TIMEOUT_S: Final = 5.0
KEEP_ALIVE_S: Final = 30.0  # shorter than the venues': a connection they just closed would lose a call
MAX_PAGES: Final = 64  # of one listing
SAFE_ATTEMPTS: Final = 3  # of the calls made here
RETRY_FIRST_S: Final = 0.5
RETRY_CAP_S: Final = 15.0
OFFSET_SAMPLES: Final = 3
OFFSET_SHARE: Final = 0.25  # of a new offset in the smoothed one
CLOCK_GRAIN_NS: Final = 1_000_000  # venues tell their time in milliseconds
OFFSET_JUMP_NS: Final = SECOND_NS // 2  # beyond this a clock was set: no smoothing

OVER_STATUSES: Final = frozenset({429, 418, 403})
# The venues' own numbers, in bodies: too many requests (Binance, Bybit by UID and by IP), too many orders.
OVER_CODES: Final = frozenset({-1003, -1015, 10006, 10018})
# Their own failures under another status: disconnected, backend timeout; server timeout, internal error.
BROKEN_CODES: Final = frozenset({-1001, -1007, 10000, 10016})
BROKEN_STATUSES: Final = frozenset({408})  # Binance: its backend did not answer in time

_PLAIN: Final = re.compile(r"[\w.~=&,:-]*", re.ASCII)  # a query that needs no escapes, ":" and "," included


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer that is a success. Times are wall clock: just before sending, and when the last byte was there."""

    body: bytes
    status: int
    headers: Mapping[str, str]  # names in any case
    sent_ns: int
    recv_ns: int


@dataclass(slots=True)
class Offset:
    """A venue's clock less ours, from its time endpoint. Pure.

    The middle of the round trip is off by at most half of it, so of a few samples the quickest counts; then it is
    smoothed, for offsets move slowly, but never to where the newest sample says it cannot be. One that jumps was set,
    and is taken as it is.
    """

    offset_ns: int | None = None
    round_trip_ns: int = 0  # of the sample that counted last

    def take(self, samples: list[tuple[int, int]]) -> tuple[int, int]:
        """(offset, round trip) with these (offset, round trip) samples, at least one, taken in."""
        offset_ns, self.round_trip_ns = min(samples, key=lambda sample: sample[1])
        before = self.offset_ns
        if before is not None and abs(offset_ns - before) <= OFFSET_JUMP_NS + self.round_trip_ns // 2:
            smoothed = before + round((offset_ns - before) * OFFSET_SHARE)
            off_ns = self.round_trip_ns // 2 + CLOCK_GRAIN_NS
            offset_ns = min(max(smoothed, offset_ns - off_ns), offset_ns + off_ns)
        self.offset_ns = offset_ns
        return offset_ns, self.round_trip_ns


def is_retryable(call: Call, error: CallFailed) -> bool:
    """Whether the call may be sent again: it changes nothing, and the venue may do better the next time.

    Never when the venue says too many: trying on is how bans begin.
    """
    return call.method == "GET" and isinstance(error, Unreachable | VenueBroken)


def failure(venue: str, call: str, status: int, code: int, text: str) -> CallFailed | None:
    """What an answer's status and the venue's own code and sentence mean; None for a success."""
    if status in OVER_STATUSES or code in OVER_CODES:
        return OverLimit(venue, call, code or status, text or "too many requests")
    if status >= 500 or status in BROKEN_STATUSES or code in BROKEN_CODES:
        return VenueBroken(venue, call, f"HTTP {status}" + (f", {code}: {text}" if code or text else ""))
    if 300 <= status < 400:
        return Refused(venue, call, status, "the venue sends the call elsewhere")
    if status >= 400 or code:
        return Refused(venue, call, code or status, text or f"HTTP {status}")
    return None


def query_of(arguments: Mapping[str, str | int]) -> str:
    """The query string: escaped where it must be, in the order given."""
    plain = "&".join([f"{name}={value}" for name, value in arguments.items()])
    if plain.count("&") < len(arguments) and plain.count("=") == len(arguments) and _PLAIN.fullmatch(plain):
        return plain
    return "&".join(
        f"{quote(name, safe='')}={quote(str(value), safe='')}" for name, value in arguments.items()
    )


class RestClient:
    """One market's REST, behind its gate. Belongs to one asyncio loop; any number of calls at a time.

    `base` is a local venue's address ("http://127.0.0.1:8051"), "" the venue's own. A `session` that is given is not
    closed; aiohttp sends a GET again by itself where a kept connection turns out closed, unless told otherwise as it is
    here, so give one only where two calls for one permit do no harm. `heard` is told of every answer that is a success,
    before who asked for it.
    """

    def __init__(
        self,
        dialect: Dialect,
        gate: Gate,
        *,
        base: str = "",
        wall: Callable[[], int] = time.time_ns,
        timeout_s: float = 10.0,
        session: aiohttp.ClientSession | None = None,
        chance: Callable[[], float] = random.random,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        max_body_bytes: int = MAX_BODY_BYTES,
        heard: Callable[[Call, Answer], None] | None = None,
    ) -> None:
        self.dialect = dialect
        self.venue = dialect.key
        self.offset = Offset()
        self._gate = gate
        self._base = dialect.endpoints(base).rest
        self._wall = wall
        self._timeout = aiohttp.ClientTimeout(total=timeout_s, sock_connect=min(CONNECT_TIMEOUT_S, timeout_s))
        self._timeout_s = timeout_s
        self._session = session
        self._owned = session is None
        self._closed = False
        self._chance = chance
        self._sleep = sleep
        self._max_body_bytes = max_body_bytes
        self._heard = heard

    async def fetch(self, call: Call, *, priority: Priority = Priority.NORMAL, attempts: int = 1) -> Answer:
        """The venue's answer, when it is a success.

        Waits for its permit, so it may take long before it is sent. Raises a kind of CallFailed, or a LimitError
        (TooHeavy, QueueFull) when it was not sent at all. Up to `attempts` tries where `is_retryable`.
        """
        backoff: Backoff | None = None
        for left in range(max(attempts, 1), 0, -1):
            try:
                return await self._once(call, priority)
            except CallFailed as error:
                if left == 1 or not is_retryable(call, error):
                    raise
            backoff = backoff or Backoff(RETRY_FIRST_S, RETRY_CAP_S)
            backoff.failed()
            await self._sleep(backoff.delay_s(self._chance()))
        raise AssertionError("the last try returns or raises")

    async def measure_offset(self, samples: int = OFFSET_SAMPLES) -> tuple[int, int]:
        """(the venue's clock less ours, the round trip it was seen with), ns; smoothed over the calls of this.

        Costs `samples` calls, one after the other; one that fails is passed over while another succeeds.
        """
        call = self.dialect.time_call()
        seen: list[tuple[int, int]] = []
        for left in range(samples, 0, -1):
            try:
                answer = await self.fetch(call)
            except (Unreachable, VenueBroken):
                if left == 1 and not seen:
                    raise
                continue
            venue_ns = self.dialect.parse_time(answer.body)
            middle_ns = (answer.sent_ns + answer.recv_ns) // 2
            seen.append((venue_ns - middle_ns, answer.recv_ns - answer.sent_ns))
        return self.offset.take(seen)

    async def instruments(self) -> Listing:
        """Everything the venue lists, all pages in one; limits it announces are made known to the gate."""
        call: Call | None = self.dialect.instruments_call()
        found: list[Instrument] = []
        limits: tuple[tuple[str, int, int], ...] = ()
        pages = 0
        while call is not None:
            if pages >= MAX_PAGES:
                raise BadAnswer(self.venue, call.endpoint, f"the listing has more than {MAX_PAGES} pages")
            answer = await self.fetch(call, attempts=SAFE_ATTEMPTS)
            page = self.dialect.parse_instruments(answer.body)
            found += page.instruments
            limits = limits or page.limits
            call = page.more
            pages += 1
        if limits:
            self._gate.adopt(limits)
        return Listing(tuple(found), limits)

    async def candles(
        self,
        instrument: Instrument,
        interval_s: int,
        start_ns: int,
        end_ns: int,
        source: Source,
        *,
        priority: Priority = Priority.BULK,
        most: int = 0,
    ) -> Batch:
        """CANDLES that open in [start_ns, end_ns), oldest first, each once; holes stay holes.

        As many calls as it takes, at most `most` candles in each (0 = the most the venue gives).
        """
        interval_ns = interval_s * SECOND_NS
        most = min(most or self.dialect.candles_most, self.dialect.candles_most)
        parts = []
        at = -(-start_ns // interval_ns) * interval_ns
        while at < end_ns:
            end = min(at + most * interval_ns, end_ns)
            parts.append(
                await self.candle_page(
                    instrument, interval_s, at, end, source, priority=priority, attempts=SAFE_ATTEMPTS
                )
            )
            at += most * interval_ns
        if len(parts) == 1:
            return parts[0]
        rows = np.concatenate([part.rows for part in parts]) if parts else np.empty(0, CANDLE)
        return Batch(Kind.CANDLES, source, instrument.symbol, rows, interval_ns=interval_ns)

    async def candle_page(
        self,
        instrument: Instrument,
        interval_s: int,
        start_ns: int,
        end_ns: int,
        source: Source,
        *,
        priority: Priority = Priority.BULK,
        attempts: int = 1,
    ) -> Batch:
        """One call's worth of `candles`: [start_ns, end_ns) must not hold more than the venue gives at once.

        BadAnswer when they are out of order, or open between the interval's steps.
        """
        interval_ns = interval_s * SECOND_NS
        most = max(1, -(-(end_ns - start_ns) // interval_ns))
        call = self.dialect.candles_call(instrument, interval_s, start_ns, end_ns, most)
        answer = await self.fetch(call, priority=priority, attempts=attempts)
        return self.parsed_candles(instrument, interval_s, start_ns, end_ns, call, answer, source)

    def parsed_candles(
        self,
        instrument: Instrument,
        interval_s: int,
        start_ns: int,
        end_ns: int,
        call: Call,
        answer: Answer,
        source: Source,
    ) -> Batch:
        """The candles of an answer that open in [start_ns, end_ns). BadAnswer as `candle_page`."""
        interval_ns = interval_s * SECOND_NS
        batch = self.dialect.parse_candles(instrument, interval_s, answer.body, source, answer.recv_ns)
        opened = batch.rows["ts_open_ns"]
        inside = (opened >= start_ns) & (opened < end_ns)  # venues differ in what they count as the end
        if not inside.all():
            batch = replace(batch, rows=batch.rows[inside])
            opened = batch.rows["ts_open_ns"]
        if np.any(opened[1:] <= opened[:-1]):
            raise BadAnswer(self.venue, call.endpoint, "candles repeat or are out of order")
        if np.any(opened % interval_ns):
            raise BadAnswer(self.venue, call.endpoint, f"candles do not open on steps of {interval_s} s")
        return batch

    async def close(self) -> None:
        """Close the connections; calls under way fail. Nothing can be fetched any more."""
        self._closed = True
        if self._owned and self._session is not None:
            await self._session.close()
            self._session = None

    def _opened(self, call: str) -> aiohttp.ClientSession:
        if self._closed:
            raise Unreachable(self.venue, call, "the client was closed")
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=MAX_CONNECTIONS, keepalive_timeout=KEEP_ALIVE_S),
                timeout=self._timeout,
                headers={"User-Agent": "venuescope", "Accept": "application/json"},
                cookie_jar=aiohttp.DummyCookieJar(),
                trust_env=self._base.startswith("https:"),  # the system's proxies, as for streams
            )
            # One permit, one call: aiohttp would send a GET twice where a kept connection turns out closed.
            self._session._retry_connection = False
        return self._session

    async def _once(self, call: Call, priority: Priority) -> Answer:
        endpoint = call.endpoint
        session = self._opened(endpoint)
        query = query_of(call.arguments)
        url = URL(f"{self._base}{call.path}?{query}" if query else self._base + call.path, encoded=True)
        permit = await self._gate.acquire(endpoint, call.arguments, priority=priority)
        if self._closed:
            permit.unsent()
            raise Unreachable(self.venue, endpoint, "the client was closed")
        settle: Callable[[], None] = permit.lost
        try:
            sent_ns = self._wall()
            async with session.request(
                call.method, url, allow_redirects=False, timeout=self._timeout
            ) as response:
                status, headers = response.status, response.headers
                settle = lambda: permit.answered(status, headers)  # noqa: E731
                body = await self._body(response, endpoint)
                recv_ns = self._wall()
            code, text = self._error_code(status, body)
            settle = lambda: permit.answered(status, headers, code)  # noqa: E731
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError, aiohttp.InvalidURL) as error:
            settle = permit.unsent
            raise Unreachable(self.venue, endpoint, reason_of(error)) from error
        except TimeoutError as error:
            raise Unreachable(self.venue, endpoint, f"no answer within {self._timeout_s:g} s") from error
        except (aiohttp.ClientError, OSError) as error:
            raise Unreachable(self.venue, endpoint, reason_of(error)) from error
        finally:
            settle()
        failed = failure(self.venue, endpoint, status, code, text)
        if failed is not None:
            raise failed
        answer = Answer(body, status, headers, sent_ns, recv_ns)
        if self._heard is not None:
            self._heard(call, answer)
        return answer

    def _error_code(self, status: int, body: bytes) -> tuple[int, str]:
        try:
            return self.dialect.error_code(status, body)
        except BadAnswer:
            return 0, ""  # a gateway's page, not the venue's answer: the status says what it is

    async def _body(self, response: aiohttp.ClientResponse, endpoint: str) -> bytes:
        """The whole body. BadAnswer when it passes the bound, counted as it inflates; what is left is not read."""
        chunks, size_bytes = [], 0
        while chunk := await response.content.readany():
            chunks.append(chunk)
            size_bytes += len(chunk)
            if size_bytes > self._max_body_bytes:
                response.close()
                raise BadAnswer(self.venue, endpoint, f"the answer is over {self._max_body_bytes:,} bytes")
        return chunks[0] if len(chunks) == 1 else b"".join(chunks)


def reason_of(error: Exception) -> str:
    """One sentence, without what is only of interest to aiohttp."""
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return f"the certificate of {error.host}:{error.port} is not trusted ({error.certificate_error})"
    if isinstance(error, aiohttp.ClientConnectorError):
        return f"no connection to {error.host}:{error.port} ({error.os_error.strerror or error.os_error})"
    return str(error) or type(error).__name__
