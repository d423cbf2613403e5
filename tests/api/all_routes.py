"""Every route of the API over a market made by hand, as a program serves them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from engine.alerts.alerts import Alerts
from engine.api import access_routes, alert_routes, market_routes, symbol_routes
from engine.api.ohlc import OhlcHistory
from engine.api.push import routes as push_routes
from engine.api.reading import Markets
from engine.api.route import Route
from engine.errors import BadCommand
from engine.sealing import Sealer
from tests.api.server_rig import Served
from tests.engine.markets import Desk


async def _command(name: str, args: dict[str, Any]) -> Any:
    raise BadCommand("the venue is not connected")


def market_side(folder: Path, desk: Desk) -> tuple[list[Route], Alerts]:
    """All routes but those of the program and of access, and the alerts behind them: not running yet."""
    markets = Markets(desk.telemetry, desk.intake, lambda: desk.now)
    alerts = Alerts(folder, Sealer(folder), desk.telemetry, lambda: desk.now, lambda *_: None)
    return [
        *market_routes.routes(markets, OhlcHistory(None)),
        *symbol_routes.routes(markets, desk.telemetry, _command),
        *alert_routes.routes(alerts),
        *push_routes.routes(),
    ], alerts


def access_side(served: Served) -> tuple[Route, ...]:
    """Routes of the door that a rig has."""
    return access_routes.routes(served.door)
