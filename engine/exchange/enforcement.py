"""What a venue allows, counted on the venue's side. Pure: time is an argument, nothing is awaited.

This is the oracle that clients are measured against, so it shares no arithmetic with `engine.limits`. A call is
counted first and judged then, as the venues do: one that passes a limit is refused and stays counted; orders count
when they are placed, and not when they trade. Who goes on after refusals is banned, each ban twice as long as the one
before. Everything kept per address and account is bounded.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final, TypedDict

from engine.exchange.limit_windows import NO_ARGUMENTS, SECOND_NS, Counter, Rules, Verdict, Window

MAX_ADDRESSES: Final = 10_000  # beyond it the one that came first is forgotten
CONNECT: Final = "CONNECT"  # the endpoint of opening a WebSocket
SERVED: Final = Verdict(200, NO_ARGUMENTS)
TOO_MANY_VISITS: Final = "Too many visits. Exceeded the API Rate Limit."


class WindowUse(TypedDict):
    """One window's row in the statistics, of the address that used it most."""

    limit: int
    interval_s: float
    highest: int  # that was ever served within one window
    refused: int


class UseStatistics(TypedDict):
    """What one venue counted so far."""

    requests: int
    served: int
    weight: int  # of what was served
    connects: int
    refusals: dict[str, int]  # "429", "418", "403", "10006", "connect", "messages"
    bans: int
    windows: dict[str, WindowUse]


@dataclass(slots=True)
class _Address:
    """What is known of one client address."""

    counters: list[Counter]
    refusals: int = 0
    refused_ns: int = 0
    bans: int = 0
    banned_until_ns: int = 0
    ban_status: int = 418


@dataclass(slots=True)
class _Tally:
    requests: int = 0
    served: int = 0
    weight: int = 0
    connects: int = 0
    bans: int = 0
    refusals: dict[str, int] = field(default_factory=dict)


class Enforcement:
    """One venue's limits over all its clients. A call costs a few microseconds."""

    def __init__(self, rules: Rules) -> None:
        self.rules: Final = rules
        self._addresses: dict[str, _Address] = {}
        self._accounts: dict[tuple[str, int], Counter] = {}
        self._tally = _Tally()
        self._highest = [0] * len(rules.windows)
        self._refused = [0] * len(rules.windows)
        self._placed_ns = 0  # when the newest order was
        windows = list(enumerate(rules.windows))
        self._shared = [(at, w) for at, w in windows if w.kind in ("REQUEST_WEIGHT", "RAW_REQUESTS")]
        self._own = [(at, w) for at, w in windows if w.kind == "ENDPOINT" and not w.by_account]
        self._users = [(at, w) for at, w in windows if w.kind == "ENDPOINT" and w.by_account]
        self._orders = [(at, w) for at, w in windows if w.kind == "ORDERS"]
        self._connects = [(at, w) for at, w in windows if w.kind == "CONNECTIONS"]
        self._weight_at = [at for at, w in windows if w.kind == "REQUEST_WEIGHT"]
        names = {at: "-{}{}".format(*w.unit[:2]) for at, w in windows}
        self._weight_header = {at: "X-MBX-USED-WEIGHT" + names[at] for at in self._weight_at}
        self._order_header = {at: "X-MBX-ORDER-COUNT" + names[at] for at, _ in self._orders}

    def request(
        self,
        now_ns: int,
        address: str,
        endpoint: str,
        arguments: Mapping[str, str] = NO_ARGUMENTS,
        *,
        account: str = "",
    ) -> Verdict:
        """Count one call and judge it. `now_ns` is wall time. Orders are judged when they are placed (`place`).

        Calls without an account count as their address's own where accounts have limits.
        """
        self._tally.requests += 1
        client = self._address(address)
        if now_ns < client.banned_until_ns:
            return self._banned(now_ns, client)
        weight = self.rules.weigh(endpoint, arguments)
        user = account or f"@{address}"
        passed = self._count(now_ns, client, endpoint, weight, arguments)
        own, over = self._count_user(now_ns, user, endpoint, arguments) if self._users else (None, None)
        if passed is not None:
            return self._refuse(now_ns, client, passed)
        if over is not None:
            return self._refuse_user(now_ns, user, over)
        self._tally.served += 1
        self._tally.weight += weight
        if own is not None:
            return Verdict(200, _bapi_headers(now_ns, self.rules.windows[own], self._account(user, own)))
        return Verdict(200, self._headers(now_ns, client, endpoint, ""))

    def place(self, now_ns: int, address: str, account: str, orders: int = 1) -> Verdict:
        """Judge orders that go to the book, and count them unless they are too many: the caller is surely who it says.

        Those that do not come to be after all are to be given back.
        """
        self._placed_ns = now_ns
        late = self._count_orders(now_ns, account, orders)
        if late is not None:
            return self._too_many_orders(now_ns, self._address(address), account, late)
        return SERVED

    def order_headers(self, now_ns: int, account: str) -> dict[str, str]:
        """What the venue says of an account's orders."""
        now_ns = max(now_ns, self._placed_ns)
        return {
            self._order_header[at]: str(
                counter.used(now_ns) if (counter := self._accounts.get((account, at))) else 0
            )
            for at, _ in self._orders
        }

    def filled(self, now_ns: int, account: str, *, maker: bool = False) -> None:
        """An order of the account traded for the first time: it counts no more.

        As Binance documents it: one less for a taker's order, and several for one that had to wait.
        """
        self.give_back(now_ns, account, self.rules.maker_gives_back if maker else 1)

    def give_back(self, now_ns: int, account: str, orders: int = 1) -> None:
        """Count so many orders less, as far as there are: they traded, or were not placed after all."""
        now_ns = max(now_ns, self._placed_ns)  # windows do not go back
        for at, _ in self._orders:
            counter = self._accounts.get((account, at))
            if counter is not None:
                counter.take_back(now_ns, orders)

    def orders_used(self, now_ns: int, account: str) -> list[tuple[Window, int]]:
        """Each window of orders, and what an account has in it."""
        now_ns = max(now_ns, self._placed_ns)
        return [
            (window, counter.used(now_ns) if (counter := self._accounts.get((account, at))) else 0)
            for at, window in self._orders
        ]

    def consume(self, now_ns: int, address: str, weight: int) -> bool:
        """A neighbour behind the same address takes `weight`: True if the venue serves it.

        It shows in the next answer's headers, nowhere else.
        """
        client = self._address(address)
        if now_ns < client.banned_until_ns:
            return False
        return self._count(now_ns, client, "", weight, NO_ARGUMENTS, foreign=True) is None

    def connect(self, now_ns: int, address: str) -> Verdict:
        """Count one WebSocket handshake and judge it."""
        self._tally.connects += 1
        client = self._address(address)
        if now_ns < client.banned_until_ns:
            return self._banned(now_ns, client)
        for at, window in self._shared:
            if window.weigh is not None and (amount := window.weigh(CONNECT, NO_ARGUMENTS)):
                used = client.counters[at].add(now_ns, amount)
                if used > window.limit:
                    return self._refuse(now_ns, client, at)
                self._highest[at] = max(self._highest[at], used)
        for at, window in self._connects:
            counter = client.counters[at]
            used = counter.add(now_ns, 1 if window.weigh is None else window.weigh(CONNECT, NO_ARGUMENTS))
            if used > window.limit:
                self._refused[at] += 1
                self._note("connect")
                wait_s = _seconds(counter.frees_ns(now_ns) - now_ns)
                if self.rules.style == "bybit":
                    return Verdict(403, {}, 10006, "access too frequent")
                return Verdict(
                    429, {"Retry-After": str(wait_s)}, -1003, "Too many connections; please wait and retry."
                )
            self._highest[at] = max(self._highest[at], used)
        return Verdict(200, {})

    def cut_for_messages(self) -> None:
        """Note a connection that was cut because its client sent too much."""
        self._note("messages")

    def ban(self, now_ns: int, address: str, seconds: float, status: int = 418) -> None:
        """Ban an address from `now_ns` on, as a fault on command. `status` is what it is answered."""
        client = self._address(address)
        client.banned_until_ns = now_ns + int(seconds * SECOND_NS)
        client.ban_status = status
        self._tally.bans += 1

    def refuse(self, now_ns: int, address: str, retry_after_s: int = 0) -> Verdict:
        """A refusal (429, Bybit 10006) whatever was used, as a fault on command. It is counted as one."""
        client = self._address(address)
        self._tally.requests += 1
        if now_ns < client.banned_until_ns:
            return self._banned(now_ns, client)
        at = next((at for at, _ in (*self._shared, *self._own)), 0)
        verdict = self._refuse(now_ns, client, at, ban_at_once=False)
        if retry_after_s and verdict.status == 429:
            return replace(verdict, headers={**verdict.headers, "Retry-After": str(retry_after_s)})
        return verdict

    def is_banned(self, address: str, now_ns: int) -> bool:
        """Whether an address is banned now. Nothing is counted."""
        client = self._addresses.get(address)
        return client is not None and now_ns < client.banned_until_ns

    def forget(self, address: str) -> None:
        """Forget everything of an address: bans, refusals, use."""
        self._addresses.pop(address, None)

    def used(self, now_ns: int, address: str) -> dict[str, int]:
        """What each window of an address holds now, by label; not those of accounts."""
        client = self._address(address)
        return {
            window.label: client.counters[at].used(now_ns)
            for at, window in enumerate(self.rules.windows)
            if window.kind != "ORDERS" and not window.by_account
        }

    def announced(self) -> list[dict[str, str | int]]:
        """The limits as Binance's exchangeInfo lists them (`rateLimits`)."""
        return [
            {
                "rateLimitType": window.kind,
                "interval": window.unit[2],
                "intervalNum": window.unit[0],
                "limit": window.limit,
            }
            for window in self.rules.windows
            if window.kind in ("REQUEST_WEIGHT", "RAW_REQUESTS", "ORDERS")
        ]

    def statistics(self) -> UseStatistics:
        """What was counted so far. Of several windows with one label the fullest is given."""
        windows: dict[str, WindowUse] = {}
        for at, window in enumerate(self.rules.windows):
            label = window.label
            if window.endpoints and not window.name:
                label += " " + ",".join(sorted(window.endpoints))
            windows[label] = WindowUse(
                limit=window.limit,
                interval_s=window.interval_s,
                highest=self._highest[at],
                refused=self._refused[at],
            )
        tally = self._tally
        return UseStatistics(
            requests=tally.requests,
            served=tally.served,
            weight=tally.weight,
            connects=tally.connects,
            refusals=dict(tally.refusals),
            bans=tally.bans,
            windows=windows,
        )

    def _address(self, address: str) -> _Address:
        client = self._addresses.get(address)
        if client is None:
            if len(self._addresses) >= MAX_ADDRESSES:
                del self._addresses[next(iter(self._addresses))]
            client = _Address([Counter(window) for window in self.rules.windows])
            self._addresses[address] = client
        return client

    def _count(
        self,
        now_ns: int,
        client: _Address,
        endpoint: str,
        weight: int,
        arguments: Mapping[str, str],
        *,
        foreign: bool = False,
    ) -> int | None:
        """Count a call in every window of its address; the first window that it passes, or None."""
        passed = None
        counters = client.counters
        for at, window in self._shared:
            if window.endpoints and endpoint not in window.endpoints:
                continue
            if window.weigh is not None and not foreign:
                amount = window.weigh(endpoint, arguments)
            else:
                amount = weight if window.kind == "REQUEST_WEIGHT" else 1
            used = counters[at].add(now_ns, amount)
            if used > window.limit:
                passed = at if passed is None else passed
            elif used > self._highest[at]:
                self._highest[at] = used
        for at, window in self._own:
            if endpoint in window.endpoints:
                used = counters[at].add(now_ns, window.weigh(endpoint, arguments) if window.weigh else 1)
                if used > window.limit:
                    passed = at if passed is None else passed
                elif used > self._highest[at]:
                    self._highest[at] = used
        return passed

    def _count_user(
        self, now_ns: int, user: str, endpoint: str, arguments: Mapping[str, str]
    ) -> tuple[int | None, int | None]:
        """Count a call in every window of its account: (the first that counts it, the first that it passes)."""
        own = passed = None
        for at, window in self._users:
            if endpoint not in window.endpoints:
                continue
            amount = window.weigh(endpoint, arguments) if window.weigh else 1
            if not amount:
                continue
            own = at if own is None else own
            used = self._account(user, at).add(now_ns, amount)
            if used > window.limit:
                passed = at if passed is None else passed
            else:
                self._highest[at] = max(self._highest[at], used)
        return own, passed

    def _count_orders(self, now_ns: int, account: str, orders: int) -> int | None:
        """Count orders if they fit every window; else the first that they do not fit."""
        counters = [(at, window, self._account(account, at)) for at, window in self._orders]
        for at, window, counter in counters:
            if counter.used(now_ns) + orders > window.limit:
                return at
        for at, _, counter in counters:
            self._highest[at] = max(self._highest[at], counter.add(now_ns, orders))
        return None

    def _account(self, account: str, at: int) -> Counter:
        counter = self._accounts.get((account, at))
        if counter is None:
            if len(self._accounts) >= MAX_ADDRESSES:
                del self._accounts[next(iter(self._accounts))]
            counter = self._accounts[account, at] = Counter(self.rules.windows[at])
        return counter

    def _headers(self, now_ns: int, client: _Address, endpoint: str, account: str) -> dict[str, str]:
        if self.rules.style == "bybit":
            return self._bybit_headers(now_ns, client, endpoint)
        headers: dict[str, str] = {}
        for at in self._weight_at:
            used = str(client.counters[at].used(now_ns))
            headers.setdefault("X-MBX-USED-WEIGHT", used)
            headers[self._weight_header[at]] = used
        if account:
            for at, _ in self._orders:
                headers[self._order_header[at]] = str(self._account(account, at).used(now_ns))
        return headers

    def _bybit_headers(self, now_ns: int, client: _Address, endpoint: str) -> dict[str, str]:
        """Of the endpoint's own window where it has one, else of the address's."""
        own = [each for each in self._own if endpoint in each[1].endpoints] or self._shared
        if not own:
            return {}
        at, window = own[0]
        return _bapi_headers(now_ns, window, client.counters[at])

    def _refuse_user(self, now_ns: int, user: str, at: int) -> Verdict:
        """A refusal to an account: of no consequence for its address."""
        window = self.rules.windows[at]
        self._refused[at] += 1
        headers = _bapi_headers(now_ns, window, self._account(user, at))
        if self.rules.style == "bybit":
            self._note("10006")
            return Verdict(200, headers, 10006, TOO_MANY_VISITS)
        self._note("429")
        wait_s = _seconds(self._account(user, at).frees_ns(now_ns) - now_ns)
        return Verdict(429, {"Retry-After": str(wait_s)}, -1003, _too_much(window))

    def _refuse(self, now_ns: int, client: _Address, at: int, *, ban_at_once: bool = True) -> Verdict:
        window = self.rules.windows[at]
        self._refused[at] += 1
        if self.rules.style == "bybit":
            if window.kind == "ENDPOINT" or not ban_at_once:
                self._note("10006")
                endpoint = next(iter(window.endpoints), "")
                headers = self._bybit_headers(now_ns, client, endpoint)
                return Verdict(200, headers, 10006, TOO_MANY_VISITS)
            self._start_ban(now_ns, client, 403)
            return self._banned(now_ns, client)
        if now_ns - client.refused_ns > self.rules.refusals_kept_s * SECOND_NS:
            client.refusals = 0
        client.refusals += 1
        client.refused_ns = now_ns
        if client.refusals > self.rules.refusals_before_ban:
            self._start_ban(now_ns, client, 418)
            return self._banned(now_ns, client)
        self._note("429")
        frees_ns = client.counters[at].frees_ns(now_ns)
        headers = self._headers(now_ns, client, "", "")
        headers["Retry-After"] = str(_seconds(frees_ns - now_ns))
        return Verdict(429, headers, -1003, _too_much(window))

    def _too_many_orders(self, now_ns: int, client: _Address, account: str, at: int) -> Verdict:
        window = self.rules.windows[at]
        self._refused[at] += 1
        if self.rules.style == "bybit":
            self._note("10006")
            return Verdict(200, {}, 10006, TOO_MANY_VISITS)
        self._note("429")
        counter = self._account(account, at)
        headers = self._headers(now_ns, client, "", account)
        headers["Retry-After"] = str(_seconds(counter.frees_ns(now_ns) - now_ns))
        number, _, unit = window.unit
        text = f"Too many new orders; current limit is {window.limit} orders per {number} {unit}."
        return Verdict(429, headers, -1015, text)

    def _start_ban(self, now_ns: int, client: _Address, status: int) -> None:
        rules = self.rules
        if now_ns - client.banned_until_ns > rules.bans_kept_s * SECOND_NS:
            client.bans = 0
        seconds = min(rules.first_ban_s * 2 ** min(client.bans, 40), rules.longest_ban_s)
        client.bans += 1
        client.refusals = 0
        client.banned_until_ns = now_ns + seconds * SECOND_NS
        client.ban_status = status
        self._tally.bans += 1

    def _banned(self, now_ns: int, client: _Address) -> Verdict:
        status = client.ban_status
        self._note(str(status))
        wait_s = _seconds(client.banned_until_ns - now_ns)
        if status == 403:
            code = 10006 if self.rules.style == "bybit" else 0
            text = (
                "access too frequent"
                if self.rules.style == "bybit"
                else "WAF Limit (Web Application Firewall)"
            )
            return Verdict(403, {}, code or 403, text)
        until_ms = client.banned_until_ns // 1_000_000
        text = (
            f"Way too much request weight used; IP banned until {until_ms}. "
            "Please use WebSocket Streams for live updates to avoid bans."
        )
        return Verdict(418, {"Retry-After": str(wait_s)}, -1003, text)

    def _note(self, kind: str) -> None:
        self._tally.refusals[kind] = self._tally.refusals.get(kind, 0) + 1


def _bapi_headers(now_ns: int, window: Window, counter: Counter) -> dict[str, str]:
    """What Bybit says of one limit."""
    left = max(window.limit - counter.used(now_ns), 0)
    resets_ns = now_ns if left else counter.frees_ns(now_ns)
    return {
        "X-Bapi-Limit": str(window.limit),
        "X-Bapi-Limit-Status": str(left),
        "X-Bapi-Limit-Reset-Timestamp": str(-(-resets_ns // 1_000_000)),
    }


def _seconds(wait_ns: int) -> int:
    """Whole seconds that surely cover `wait_ns`, at least 1."""
    return max(1, math.ceil(wait_ns / SECOND_NS))


def _too_much(window: Window) -> str:
    number, _, unit = window.unit
    if window.kind == "REQUEST_WEIGHT":
        return (
            f"Too much request weight used; current limit is {window.limit} request weight per {number} {unit}. "
            "Please use WebSocket Streams for live updates to avoid polling the API."
        )
    return (
        f"Too many requests; current limit is {window.limit} requests per {number} {unit}. "
        "Please use WebSocket Streams for live updates to avoid polling the API."
    )
