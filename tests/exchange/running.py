"""The built-in exchange on free ports in a thread of its own: crowd, desk, all dialects, as the application runs it."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import msgspec

from engine.builtin import BuiltIn, Served
from engine.clock import SteadyClock
from engine.exchange.accounts import Key
from engine.exchange.floor import Floor
from engine.exchange.house import House
from engine.exchange.keystore import KeyStore
from engine.exchange_log import ExchangeLog
from engine.intake import Intake
from engine.limits.rules import Rules
from engine.telemetry.hub import Telemetry


class RunningExchange:
    """Serves as long as the block lasts. `url`, `order_url`; `key(account)`; `do(f)` calls f on the exchange's loop.

    with RunningExchange(rate=500) as exchange:
        key = exchange.key()
        exchange.do(lambda house: house.floor.desk.open_orders(key.account))
    """

    def __init__(
        self,
        *,
        rate: int = 500,
        seed: int = 7,
        history_s: int = 0,
        store: KeyStore | None = None,
        limits: Rules | None = None,
        log_folder: Path | None = None,
        on_turn: Callable[[House, Any], None] | None = None,
    ) -> None:
        """`on_turn(house, turn)` is called after each turn, on the loop."""
        self._clock = SteadyClock()
        log = ExchangeLog(log_folder, "async", seed) if log_folder is not None else None
        served = Served("127.0.0.1", 0, 0, store, limits)
        self._built_in = BuiltIn(seed, rate, history_s, self._clock, log, served)
        self.telemetry = Telemetry(self._clock())
        self._on_turn = on_turn
        self._thread = threading.Thread(target=self._run, name="exchange", daemon=True)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[None] | None = None
        self._error: BaseException | None = None
        self._ended = False

    @property
    def house(self) -> House:
        """The house; its parts belong to the exchange's loop: read them by `do`."""
        house = self._built_in.house
        assert house is not None
        return house

    @property
    def url(self) -> str:
        """Base address, "http://127.0.0.1:PORT"."""
        return self.house.url

    @property
    def order_url(self) -> str:
        """Base address of the order sockets, "ws://127.0.0.1:PORT"."""
        return self.house.order_url

    def key(self, account: str = "main", *, trade: bool = True) -> Key:
        """A new API key for an account."""
        return self.do(lambda house: house.admin.create_key(account, "test", trade=trade))

    def do(self, call: Callable[[House], Any]) -> Any:
        """What `call(house)` gives on the exchange's loop; its exceptions too."""
        assert self._loop is not None

        async def there() -> Any:
            return call(self.house)

        return asyncio.run_coroutine_threadsafe(there(), self._loop).result(10)

    def floor(self, call: Callable[[Floor], Any]) -> Any:
        """What `call(floor)` gives on the exchange's loop."""
        return self.do(lambda house: call(house.floor))

    def set_rate(self, rate: int) -> None:
        """Orders a second of the crowd."""
        self._built_in.rate = rate

    def __enter__(self) -> Self:
        self._thread.start()
        until = time.monotonic() + 60
        while self._error is None and time.monotonic() < until:
            house = self._built_in.house
            if house is not None and house.order_url:
                if self._on_turn is not None:
                    self.do(self._watch)
                return self
            time.sleep(0.01)
        self._stop()
        raise RuntimeError("the exchange did not start") from self._error

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop()
        if error is None and self._error is not None:
            raise RuntimeError("the exchange failed") from self._error

    def _stop(self) -> None:
        loop, task = self._loop, self._task
        if loop is not None and task is not None and not loop.is_closed():
            loop.call_soon_threadsafe(task.cancel)
        self._thread.join(10)

    def _run(self) -> None:
        import uvloop

        async def main() -> None:
            self._loop = asyncio.get_running_loop()
            intake = Intake(self.telemetry, self._clock)
            self._task = asyncio.ensure_future(self._built_in.run(intake))
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

        try:
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                runner.run(main())
        except BaseException as error:  # noqa: BLE001 - told to whoever waits
            self._error = error

    def _watch(self, house: House) -> None:
        told, on_turn = house.floor.on_turn, self._on_turn
        assert on_turn is not None

        def watched(turn: Any) -> None:
            told(turn)
            on_turn(house, turn)

        house.floor.on_turn = watched  # type: ignore[method-assign]


def decoded(body: bytes) -> Any:
    """A JSON answer."""
    return msgspec.json.decode(body)
