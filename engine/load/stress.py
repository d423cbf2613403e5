"""The `stress` command: orders from many clients on a schedule, a line a second, a table, and whether any was lost."""

from __future__ import annotations

import asyncio
import contextlib
import gc
from collections.abc import Callable
from typing import Final

from engine.bots import keys
from engine.bots.client import NativeClient
from engine.bots.errors import NoExchange
from engine.bots.wire import Message
from engine.errors import BadSetting
from engine.load import frames
from engine.load.clients import Account, CannotConnect, Load, Result, Second
from engine.load.frames import Listing

URL: Final = "http://127.0.0.1:8051"
MAX_CLIENTS: Final = 2_000
MAX_RATE: Final = 100_000.0
MAX_SECONDS: Final = 600.0
SPARE_FILES: Final = 100  # beside the clients' sockets
MODES: Final = ("open", "closed", "cancel-place")
FIRST_QUOTE_S: Final = 10.0
REPRICE_S: Final = 0.02
SYMBOL: Final = "BTC-USDT"
PERCENTILES: Final = ((0.5, "p50"), (0.95, "p95"), (0.99, "p99"), (0.999, "p99.9"))

Say = Callable[[str], None]


def told(text: str) -> None:
    """Printed at once, also into a pipe."""
    print(text, flush=True)


class Gateway:
    """An exchange under load: where its order door is, its prices, and keys for the clients."""

    def __init__(self, url: str = URL, *, symbol: str = SYMBOL, order_port: int = 0) -> None:
        """`order_port` 0 takes the one that the exchange tells, and the main one where there is none."""
        self.at: Final = keys.address(url)
        self.keys: list[keys.Key] = []
        self._symbol, self._order_port = symbol, order_port
        self._data: NativeClient | None = None
        self._quote: tuple[str, str] | None = None
        self._load: Load | None = None
        self._follow: asyncio.Task[None] | None = None

    async def load(self, clients: int, *, seed: int = 1, account: str = "stress") -> Load:
        """Connected, logged-in clients whose orders follow the market. NoExchange, CannotConnect."""
        self.keys = await keys.borrow(self.at, account, clients)
        self._data = await NativeClient(self.at.socket()).__aenter__()
        listed = self._data.symbols.get(self._symbol)
        if listed is None:
            raise BadSetting("symbol", self._symbol, f"the exchange trades {', '.join(self._data.symbols)}")
        listing = Listing(
            listed.name, listed.price_text(1), listed.size_text(1), _text(listed.min_notional_atoms)
        )
        await self._data.subscribe([f"bbo:{self._symbol}"], self._on_quote)
        try:
            async with asyncio.timeout(FIRST_QUOTE_S):
                while self._quote is None:
                    await asyncio.sleep(0.01)
        except TimeoutError:
            raise NoExchange(self.at.url, f"there are no prices of {self._symbol} yet") from None
        port = self._order_port or self._data.order_port
        load = Load(self.at.socket(port), frames.orders_at(listing, *self._quote), seed=seed)
        self._follow = asyncio.ensure_future(self._reprice(load, listing))
        await load.connect([Account(each.api_key, each.secret) for each in self.keys])
        self._load = load
        return load

    async def close(self) -> None:
        """Disconnect everything."""
        if self._follow is not None:
            self._follow.cancel()
            await asyncio.gather(self._follow, return_exceptions=True)
        if self._load is not None:
            await self._load.close()
        if self._data is not None:
            await self._data.close()

    def _on_quote(self, message: Message) -> None:
        if message.bid is not None and message.ask is not None:
            self._quote = (message.bid[0], message.ask[0])

    async def _reprice(self, load: Load, listing: Listing) -> None:
        """Orders for the newest prices, some times a second."""
        last = None
        while True:
            if self._quote is not None and self._quote != last:
                last = self._quote
                with contextlib.suppress(ValueError):
                    load.orders = frames.orders_at(listing, *last)
            await asyncio.sleep(REPRICE_S)


def check(clients: int, rate: float, seconds: float, seed: int, mode: str, url: str) -> None:
    """BadSetting names what is out of bounds."""
    if not 1 <= clients <= MAX_CLIENTS:
        raise BadSetting("clients", clients, f"clients are 1 to {MAX_CLIENTS:,}")
    if not 0 < rate <= MAX_RATE:
        raise BadSetting("rate", rate, f"orders a second are above 0, at most {MAX_RATE:,.0f}")
    if not 0 < seconds <= MAX_SECONDS:
        raise BadSetting("seconds", seconds, f"above 0, at most {MAX_SECONDS:g}")
    if not 0 <= seed < 1 << 32:
        raise BadSetting("seed", seed, "0 to 4294967295")
    if mode not in MODES:
        raise BadSetting("mode", mode, f"choose one of {', '.join(MODES)}")
    keys.address(url)


def main(
    clients: int = 500,
    rate: float = 6_000.0,
    seconds: float = 20.0,
    seed: int = 1,
    url: str = URL,
    mode: str = "open",
    order_port: int = 0,
    say: Say = told,
) -> int:
    """Run it; 0, or 1 when an order was lost or a client could not connect. UserError for what cannot be."""
    check(clients, rate, seconds, seed, mode, url)
    _allow_files(clients)
    try:
        import uvloop
    except ImportError:
        factory = asyncio.new_event_loop
    else:
        factory = uvloop.new_event_loop
    with asyncio.Runner(loop_factory=factory) as runner:
        return runner.run(run(clients, rate, seconds, seed, url, mode, order_port, say))


async def run(
    clients: int, rate: float, seconds: float, seed: int, url: str, mode: str, order_port: int, say: Say
) -> int:
    """The same in a loop that runs."""
    gateway = Gateway(url, order_port=order_port)
    try:
        say(f"connecting {clients:,} clients to {gateway.at.url} ...")
        try:
            load = await gateway.load(clients, seed=seed)
        except CannotConnect as error:
            say(f"not all clients could connect: {error}")
            return 1
        gc.collect()
        gc.freeze()  # what is here now stays: collections look only at what is new

        def progress(second: Second) -> None:
            say(line(second))

        if mode == "closed":
            result = await load.closed(seconds, progress)
        elif mode == "cancel-place":
            result = await load.place_and_cancel(seconds, progress, sample=0)
        else:
            result = await load.open(rate, seconds, progress)
    finally:
        await gateway.close()
    for each in table(result, clients, rate if mode == "open" else 0.0):
        say(each)
    return 0 if result.sound else 1


def line(second: Second) -> str:
    """One line of progress."""
    waits = second.latencies
    return (
        f"{second.seconds:5.0f} s  sent {second.sent:,}  acked {second.acked:,}  rejected {second.refused:,}  "
        f"waiting {second.waiting:,}  p50 {waits.percentile_ms(0.5):.2f} ms  p99 {waits.percentile_ms(0.99):.2f} ms"
    )


def table(result: Result, clients: int, offered: float) -> list[str]:
    """The final table; `offered` 0 where the clients set the pace themselves."""
    waits = result.latencies
    rows = [
        ("clients", f"{clients:,}"),
        ("sent", f"{result.sent:,}"),
        ("acked", f"{result.acked:,}"),
        ("rejected", f"{sum(result.refused.values()):,}"),
        ("lost", f"{result.lost:,}"),
    ]
    for name, count in (("not sent", result.unsent), ("strange answers", result.strange)):
        if count:
            rows.append((name, f"{count:,}"))
    rows += [
        ("reconnects", f"{result.reconnects:,}"),
        ("average", f"{waits.mean_ms:.2f} ms"),
        *((name, f"{waits.percentile_ms(share):.2f} ms") for share, name in PERCENTILES),
        ("greatest", f"{waits.greatest_ms:.2f} ms"),
    ]
    if offered:
        rows.append(("offered", f"{offered:,.0f}/s"))
    rows.append(("achieved", f"{result.rate:,.0f}/s"))
    rows.append(("this client's CPU", f"{result.cpu:.0%} of a core"))
    width = max(len(name) for name, _ in rows)
    lines = ["", *(f"{name.ljust(width)}  {value:>12}" for name, value in rows)]
    if result.refused:
        lines.append(f"rejected: {frames.described(result.refused, result.sentences)}")
    if result.hopeless:
        lines.append("broken off: answers fell seconds behind the schedule; try a lower rate")
    lines.append(
        "no order was lost"
        if result.sound
        else "NOT SOUND: orders were lost, not sent, or answered to others"
    )
    return lines


def _allow_files(clients: int) -> None:
    """Let this process have a file for each client. BadSetting when the system does not allow that."""
    try:
        import resource
    except ImportError:  # Windows has no such limit
        return
    wanted = clients + SPARE_FILES
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return
    if hard != resource.RLIM_INFINITY and hard < wanted:
        allowed = f"this system allows {hard:,} open files, and each client is one"
        raise BadSetting("clients", clients, allowed)
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _text(atoms: int) -> str:
    return f"{atoms // 10**8}.{atoms % 10**8:08d}"
