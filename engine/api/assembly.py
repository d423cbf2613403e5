"""The market-data API, its parts put together: what the engine runs and shows."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final, Literal

from engine.access.door import Door
from engine.access.keys import KeyRing
from engine.access.tokens import Tokens
from engine.alerts.alerts import Alerts
from engine.api import access_routes, alert_routes, market_routes, program_routes, symbol_routes
from engine.api.metrics import Metrics
from engine.api.ohlc import OhlcHistory
from engine.api.options import ApiOptions
from engine.api.push import routes as push_routes
from engine.api.push.push import LISTENERS_MOST, Push
from engine.api.reading import Markets
from engine.api.server import ApiServer, Note
from engine.api.symbol_routes import Command
from engine.intake import Intake
from engine.telemetry.board import QueueView
from engine.telemetry.hub import Telemetry

Figure = tuple[str, Literal["counter", "gauge"], str, float]


class Api:
    """Everything of the API: `server` and `push` are to be run, both for ever. One loop, the engine's.

    `secret` gives what tokens are signed with. `store` is the folder of what is recorded, None where nothing is.
    `command` does an engine's command on the loop.
    """

    def __init__(
        self,
        options: ApiOptions,
        secret: Callable[[], bytes],
        telemetry: Telemetry,
        intake: Intake,
        alerts: Alerts | None,
        store: Path | None,
        command: Command,
        clock: Callable[[], int],
        note: Note,
    ) -> None:
        markets = Markets(telemetry, intake, clock)
        ring = KeyRing(options.data_dir)
        self.door: Final = Door(
            ring,
            Tokens(secret, ring),
            demanded=options.demanded,
            rate=options.rate,
            connections=options.connections,
        )
        self.push: Final = Push(markets, telemetry, clock, self.door)
        if alerts is not None:
            alerts.on_event = self.push.on_alert
        metrics = Metrics(telemetry, lambda: self.server.view(), self._figures)
        self.server: Final = ApiServer(
            options,
            (
                *program_routes.routes(telemetry, clock, metrics),
                *market_routes.routes(markets, OhlcHistory(store)),
                *symbol_routes.routes(markets, telemetry, command),
                *(alert_routes.routes(alerts) if alerts is not None else ()),
                *access_routes.routes(self.door),
                *push_routes.routes(),
            ),
            self.door,
            self.push,
            clock,
            note,
        )
        self._most_connections, self._most_listeners = options.connections, 0

    def queues(self) -> tuple[QueueView, ...]:
        """What is bounded here, as the health page shows it."""
        push, served = self.push.view(), self.server.view()
        self._most_listeners = max(self._most_listeners, push.listeners)
        return (
            QueueView(
                *("API connections", served.connections, served.connections_most),
                *(self._most_connections, served.turned_away),
            ),
            QueueView("API listeners", push.listeners, self._most_listeners, LISTENERS_MOST, push.cut_slow),
        )

    def _figures(self) -> Iterable[Figure]:
        """What `/metrics` tells of push and of the door."""
        push, door = self.push.view(), self.door.view()
        yield "api_listeners", "gauge", "WebSocket listeners now", push.listeners
        yield "api_subscriptions", "gauge", "Subscriptions of all listeners", push.subscriptions
        yield "api_messages_sent", "counter", "Messages pushed", push.messages
        yield "api_bytes_sent", "counter", "Bytes pushed", push.bytes
        yield "api_conflated", "counter", "Messages left out for slow listeners", push.conflated
        yield "api_cut_slow", "counter", "Listeners disconnected because they did not read", push.cut_slow
        yield "api_failed_logins", "counter", "Wrong, expired or revoked credentials", door.failures
        yield "api_limited", "counter", "Requests refused by their limit", door.limited
