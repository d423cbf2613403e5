"""Market data of the native protocol against the engine's own books, and what happens to who reads slowly."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.market.batches import Kind
from tests.exchange.native_rig import MS, FloorRig, NativeClient

FORMS = [pytest.param(False, id="json"), pytest.param(True, id="msgpack")]
SYMBOLS = ("BTC-USDT", "XRP-USDT")
DEEP = 20_000


class Follower:
    """Keeps a book as PROTOCOL.md says."""

    def __init__(self) -> None:
        self.last = -1
        self.sides: dict[str, dict[str, str]] = {"bids": {}, "asks": {}}
        self.snapshots = self.deltas = self.old = 0

    def take(self, message: Any) -> None:
        """A message of the book's channel."""
        if message["type"] == "snapshot":
            assert message["first"] == message["last"]
            assert message["last"] >= self.last
            self.sides = {name: dict(message[name]) for name in self.sides}
            self.snapshots += 1
        else:
            if message["last"] <= self.last:
                self.old += 1
                return
            # The first after a snapshot may begin at or before it; each other is the next.
            assert message["first"] <= self.last + 1
            if self.deltas_since_snapshot:
                assert message["first"] == self.last + 1
            for name, side in self.sides.items():
                for price, size in message[name]:
                    if float(size):
                        side[price] = size
                    else:
                        side.pop(price, None)
            self.deltas += 1
        self.deltas_since_snapshot = message["type"] != "snapshot"
        self.last = message["last"]


def engine_book(rig: FloorRig, symbol: str) -> dict[str, dict[str, str]]:
    units = rig.floor.native.symbols[symbol].units
    sides = rig.simulator.engine.top(symbol, DEEP)
    return {
        name: {units.price_text(price): units.size_text(lots) for price, lots in rows.tolist()}
        for name, rows in zip(("bids", "asks"), sides, strict=True)
    }


def near(book: dict[str, dict[str, str]], count: int = 500) -> dict[str, dict[str, str]]:
    """The best levels: a snapshot has a thousand, deltas tell of any."""
    return {
        name: dict(
            sorted(book[name].items(), key=lambda row: float(row[0]) * (1 if name == "asks" else -1))[:count]
        )
        for name in book
    }


def trade(client: NativeClient, rig: FloorRig, side: str, symbol: str = "BTC-USDT") -> None:
    """Take something from the book, and rest something in it."""
    best = rig.simulator.engine.bbo(symbol)
    units = rig.floor.native.symbols[symbol].units
    inside = units.price_text(best.bid_ticks - 3 if side == "buy" else best.ask_ticks + 3)
    lots = units.size_text(max(50, best.ask_lots // 2))
    client.say(
        {"op": "place", "symbol": symbol, "side": side, "type": "market", "size": lots},
        {"op": "place", "symbol": symbol, "side": side, "price": inside, "size": lots},
    )


@pytest.mark.parametrize("binary", FORMS)
@pytest.mark.parametrize("symbol", SYMBOLS)
def test_a_followed_book_is_the_engines_at_every_update(symbol: str, binary: bool) -> None:
    with FloorRig() as rig:
        trader = rig.connect(key=rig.accounts.create("main", "", rig.now_ns))
        books = []
        for at in range(60):
            if at % 12 == 0:  # some begin in the middle of a turn, after orders of a client
                client = rig.connect(binary=binary)
                client.begin({"op": "subscribe", "channels": [f"book:{symbol}"]})
                books.append((client, Follower()))
            if at % 3 == 0:
                trade(trader, rig, "buy" if at % 2 else "sell", symbol)
            rig.turn(rate=30_000)
            for client, book in books:
                for message in client.heard():
                    if message.get("ch") == f"book:{symbol}":
                        book.take(message)
                assert book.last == rig.simulator.engine.update_number(symbol)
                assert near(book.sides) == near(engine_book(rig, symbol))
        assert [book.snapshots for _, book in books] == [1] * 5
        assert all(book.deltas > 5 for _, book in books)


def test_a_delta_may_begin_at_or_before_the_snapshot_it_follows() -> None:
    with FloorRig() as rig:
        trader = rig.connect(key=rig.accounts.create("main", "", rig.now_ns))
        trade(trader, rig, "buy")  # changes the book, and is published with the next turn only
        client = rig.connect()
        _, snapshot = client.say({"op": "subscribe", "channels": ["book:BTC-USDT"]})
        rig.turn()
        (old,) = client.heard()
        assert old["first"] <= snapshot["last"] == old["last"]
        trade(trader, rig, "buy")
        rig.turn()
        (new,) = client.heard()
        assert new["first"] == snapshot["last"] + 1


@pytest.mark.parametrize("binary", FORMS)
def test_trades_and_quotes_are_those_of_the_engine(binary: bool) -> None:
    with FloorRig() as rig:
        client = rig.connect(binary=binary)
        client.say({"op": "subscribe", "channels": ["trades:BTC-USDT", "bbo:BTC-USDT"]})
        instrument = rig.floor.native.symbols["BTC-USDT"].units.instrument
        ids: list[int] = []
        quotes = 0
        for _ in range(80):
            batches = rig.turn(rate=30_000)
            heard = client.heard()
            wanted = [
                [
                    row[2], f"{row[3] / 10**instrument.price_decimals:.{instrument.price_decimals}f}",
                    f"{row[4] / 10**instrument.size_decimals:.{instrument.size_decimals}f}",
                    "buy" if row[5] == 1 else "sell", row[0],
                ]
                for batch in batches
                if batch.symbol == "BTC-USDT" and batch.kind is Kind.TRADES
                for row in batch.rows.tolist()
            ]  # fmt: skip
            assert [
                row for each in heard if each["ch"] == "trades:BTC-USDT" for row in each["trades"]
            ] == wanted
            ids += [row[0] for row in wanted]
            for each in heard:
                if each["ch"] == "bbo:BTC-USDT":
                    quotes += 1
                    book = near(engine_book(rig, "BTC-USDT"), 1)
                    assert {tuple(each["bid"])} == set(book["bids"].items())
                    assert {tuple(each["ask"])} == set(book["asks"].items())
                    assert each["last"] <= rig.simulator.engine.update_number("BTC-USDT")
                    assert each["ts_ns"] <= rig.now_ns
        assert len(ids) > 20
        assert ids == list(range(ids[0], ids[0] + len(ids)))
        assert quotes > 20


def test_the_side_of_a_trade_is_its_takers() -> None:
    with FloorRig() as rig:
        trader = rig.connect(key=rig.accounts.create("main", "", rig.now_ns))
        client = rig.connect()
        client.say({"op": "subscribe", "channels": ["trades:BTC-USDT"]})
        for side in ("buy", "sell"):
            trader.say({"op": "place", "symbol": "BTC-USDT", "side": side, "type": "market", "size": "0.001"})
            rig.turn()
            (message,) = client.heard()
            assert message["ch"] == "trades:BTC-USDT"
            assert {row[3] for row in message["trades"]} == {side}


def test_who_follows_twice_is_told_once_and_who_ends_not_at_all() -> None:
    with FloorRig() as rig:
        client, other = rig.connect(), rig.connect()
        channels = ["book:BTC-USDT", "bbo:BTC-USDT"]
        assert (
            len(client.say({"op": "subscribe", "channels": [*channels, *channels]})) == 3
        )  # the answer, a snapshot, a quote
        other.say({"op": "subscribe", "channels": channels})
        rig.turn(rate=30_000)
        first, second = client.heard(), other.heard()
        assert first == second != []
        client.say({"op": "unsubscribe", "channels": channels})
        rig.turn(rate=30_000)
        assert client.heard() == []
        assert other.heard()
        client.say({"op": "unsubscribe", "channels": channels})
        other.session.on_close()
        assert rig.floor.feed._followers == {}


def test_many_snapshots_of_an_unchanged_book_are_written_once() -> None:
    with FloorRig() as rig:
        client, other = rig.connect(), rig.connect(binary=True)
        taken: list[str] = []
        snapshot = rig.floor.feed._snapshot
        rig.floor.feed._snapshot = lambda symbol, levels: taken.append(symbol) or snapshot(symbol, levels)
        ask = [{"op": op, "channels": ["book:BTC-USDT"]} for op in ("subscribe", "unsubscribe")] * 4
        texts = {msgspec.json.encode(each) for each in client.say(*ask) if each.get("type") == "snapshot"}
        packed = {msgspec.json.encode(each) for each in other.say(*ask) if each.get("type") == "snapshot"}
        assert texts == packed
        assert len(texts) == 1
        assert taken == ["BTC-USDT"]
        trade(rig.connect(key=rig.accounts.create("main", "", rig.now_ns)), rig, "buy")
        after = [each for each in client.say(*ask) if each.get("type") == "snapshot"]
        assert {each["last"] for each in after} == {rig.simulator.engine.update_number("BTC-USDT")}
        assert taken == ["BTC-USDT"] * 2


@pytest.mark.parametrize("binary", FORMS)
def test_who_is_behind_gets_a_new_book_the_newest_quote_and_a_note_of_trades_it_missed(binary: bool) -> None:
    with FloorRig(soft_limit=1_000) as rig:
        slow, quick = rig.connect(binary=binary), rig.connect()
        channels = ["book:BTC-USDT", "trades:BTC-USDT", "bbo:BTC-USDT"]
        for each in (slow, quick):
            each.say({"op": "subscribe", "channels": channels})
        book = Follower()
        quick.heard()
        slow.link.waits = 1_001
        thinned = missed_trades = 0
        for _ in range(20):
            rig.turn(rate=30_000)
            heard = quick.heard()
            thinned += len(heard)
            missed_trades += sum(len(each.get("trades", ())) for each in heard)
        assert slow.heard() == []
        assert rig.floor.feed.thinned == thinned > 20
        assert missed_trades
        slow.link.waits = 1_000  # no more than it may
        got: list[Any] = []
        for _ in range(20):
            rig.turn(rate=30_000)
            got += slow.heard()
        quick_book = [each for each in quick.heard() if each["ch"] == channels[0]]
        books = [each for each in got if each["ch"] == channels[0]]
        trades = [each for each in got if each["ch"] == channels[1]]
        assert [each["type"] for each in books] == ["snapshot", *["delta"] * (len(books) - 1)]
        for each in books:
            book.take(each)
        assert near(book.sides) == near(engine_book(rig, "BTC-USDT"))
        assert book.last == quick_book[-1]["last"]
        assert trades[0] == {"ch": channels[1], "type": "missed", "count": missed_trades}
        assert all("type" not in each for each in trades[1:])
        assert all("type" not in each for each in got if each["ch"] == channels[2])


@settings(max_examples=15)
@given(st.lists(st.sampled_from(["turn", "quiet", "trade", "behind", "caught up", "again"]), max_size=25))
def test_a_book_is_right_whenever_its_follower_has_caught_up(steps: list[str]) -> None:
    with FloorRig(soft_limit=1_000) as rig:
        trader = rig.connect(key=rig.accounts.create("main", "", rig.now_ns))
        client, book = rig.connect(), Follower()
        subscribe = {"op": "subscribe", "channels": ["book:BTC-USDT"]}
        client.begin(subscribe)
        for at, step in enumerate([*steps, "caught up", "trade", "turn"]):
            if step in ("turn", "quiet"):
                rig.turn(rate=20_000 if step == "turn" else 0)
            elif step == "trade":
                trade(trader, rig, "buy" if at % 2 else "sell")
            elif step == "again":
                client.begin({"op": "unsubscribe", "channels": ["book:BTC-USDT"]}, subscribe)
            else:
                client.link.waits = 1_001 if step == "behind" else 0
            for message in client.heard():
                if "ch" in message:
                    book.take(message)
        assert book.last == rig.simulator.engine.update_number("BTC-USDT")
        assert near(book.sides) == near(engine_book(rig, "BTC-USDT"))


def test_following_one_symbol_tells_nothing_of_another() -> None:
    with FloorRig() as rig:
        client = rig.connect()
        client.say({"op": "subscribe", "channels": ["bbo:XRPUSDT"]})  # by its native name
        for _ in range(20):
            rig.turn(later_ns=5 * MS, rate=30_000)
        assert {each["ch"] for each in client.heard()} == {"bbo:XRP-USDT"}
