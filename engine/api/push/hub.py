"""Who follows what: topics made when somebody asks for them, and what each turn brings handed to all that follow."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Literal, cast

from engine.alerts.views import FiringView
from engine.api.answers import Interval
from engine.api.problems import Problem
from engine.api.push import protocol
from engine.api.push.encodings import Message
from engine.api.push.listener import Listener
from engine.api.push.market_readers import BookReader, CandleReader, Place, Reading, TickReader, TradeReader
from engine.api.push.messages import Available, Envelope
from engine.api.push.program_readers import AlertReader, LatencyReader, ThroughputReader
from engine.api.push.protocol import Asked, Refused, topic_name
from engine.api.push.topics import Reader, Topic

TOPICS_MOST: Final = 512
SUBSCRIPTIONS_MOST: Final = 200  # of one listener
SYMBOLS_SHOWN: Final = 500
MS_NS: Final = 1_000_000


class Hub:
    """All topics. One thread: the engine's loop. Times are of the wall clock."""

    def __init__(self, reading: Reading) -> None:
        self.topics: Final[dict[str, Topic]] = {}
        self.dirty: Final[dict[Listener, None]] = {}  # something waits for them
        self._reading = reading
        self._made = 0

    def carry_out(self, listener: Listener, asked: Asked, now_ns: int) -> Refused | None:
        """Do what a listener asks, and answer it; or why it is refused. Not for `auth`."""
        if asked.op == "subscribe":
            return self._subscribe(listener, asked, now_ns)
        if asked.op == "unsubscribe":
            return self._unsubscribe(listener, asked, now_ns)
        if asked.op == "list":
            self.say(listener, self._listed(listener, asked, now_ns))
        else:
            self.say(listener, Envelope(type="pong", id=asked.id, ts_ms=now_ns // MS_NS))
        return None

    def say(self, listener: Listener, envelope: Envelope) -> None:
        """Tell one listener something that belongs to no topic."""
        self.push(listener, Message(envelope))

    def push(self, listener: Listener, message: Message) -> None:
        """As `say`, with a message that may be another's too."""
        listener.push(None, message)
        self.dirty[listener] = None

    def drop(self, listener: Listener, now_ns: int) -> None:
        """Forget a listener that has ended."""
        for topic in listener.topics.values():
            self._leave(topic, listener, now_ns)
        listener.topics.clear()
        self.dirty.pop(listener, None)

    def turn(self, topic: Topic, now_ns: int) -> None:
        """What is due of one topic, handed to its followers; nothing is written yet. Its end, when it has come."""
        messages = topic.read(now_ns)
        if messages:
            for listener in topic.followers:
                for message in messages:
                    listener.push(topic, message)
            self.dirty.update(topic.followers)
        reason = topic.reader.gone()
        if reason:
            self._finish(topic, reason, now_ns)
        elif topic.forgotten(now_ns):
            del self.topics[topic.name]

    def on_alert(self, what: Literal["fired", "ended", "acknowledged"], firing: FiringView) -> None:
        """Something happened to an alert. Costs nothing while nobody follows them."""
        topic = self.topics.get(protocol.ALERTS)
        if topic is not None and isinstance(topic.reader, AlertReader):
            topic.reader.on_alert(what, firing)

    def _subscribe(self, listener: Listener, asked: Asked, now_ns: int) -> Refused | None:
        try:
            place = self._place(asked)
        except Problem as problem:
            return Refused(asked.id, problem.code, problem.detail)
        symbol = place.symbol if place is not None else ""
        name = topic_name(
            asked.channel, place.source.source if place is not None else None, symbol, asked.variant
        )
        if name not in listener.topics and len(listener.topics) >= SUBSCRIPTIONS_MOST:
            detail = (
                f"one connection follows {SUBSCRIPTIONS_MOST} topics at most: unsubscribe, or open another"
            )
            return Refused(asked.id, "too_many_subscriptions", detail)
        topic = self.topics.get(name)
        reason = topic.reader.gone() if topic is not None else ""
        if topic is not None and reason:
            self._finish(topic, reason, now_ns)
            topic = None
        if topic is None:
            topic = self._begin(name, asked, place, now_ns)
        if topic is None:
            detail = f"the program follows {TOPICS_MOST} topics at once, and all are in use"
            return Refused(asked.id, "too_many_topics", detail)
        resumption = topic.resume(asked.resume)
        goes_on = asked.resume if resumption.resumed else None
        self.say(
            listener,
            Envelope(
                type="subscribed",
                id=asked.id,
                topic=name,
                epoch=topic.epoch,
                # What was missed comes after this: who breaks off in between must not count it as had.
                seq=goes_on.seq if goes_on is not None else topic.seq,
                resumed=resumption.resumed,
                ts_ms=now_ns // MS_NS,
            ),
        )
        snapshot = topic.snapshot(now_ns) if not resumption.resumed else None
        for message in resumption.missed if snapshot is None else (snapshot,):
            self.push(listener, message)
        topic.followers[listener] = None
        listener.topics[name] = topic
        return None

    def _place(self, asked: Asked) -> Place | None:
        """What is asked about; None: the program. Problem where there is no such thing."""
        if asked.channel == protocol.ALERTS:
            return None
        if asked.channel in protocol.OF_A_SYMBOL:
            source, symbol = self._reading.find(asked.venue, asked.symbol)
            self._reading.state(source, symbol)  # no_data where it has just gone
            return Place(self._reading, source, symbol)
        return Place(self._reading, self._reading.source(asked.venue))

    def _begin(self, name: str, asked: Asked, place: Place | None, now_ns: int) -> Topic | None:
        if len(self.topics) >= TOPICS_MOST:
            idle = [each for each in self.topics.values() if not each.followers]
            if not idle:
                return None
            del self.topics[min(idle, key=lambda each: each.left_ns).name]
        self._made += 1
        epoch = f"{self._reading.telemetry.epoch}-{self._made}"
        topic = self.topics[name] = Topic(name, epoch, self._reader(asked, place, now_ns), now_ns)
        return topic

    def _reader(self, asked: Asked, place: Place | None, now_ns: int) -> Reader:
        if place is None:
            return AlertReader(self._reading.telemetry)
        if asked.channel == protocol.CANDLES:
            return CandleReader(place, cast("Interval", asked.interval), now_ns)
        if asked.channel == protocol.BOOK:
            return BookReader(place, asked.depth)
        made: dict[str, Callable[[Place], Reader]] = {
            protocol.TICKS: TickReader,
            protocol.TRADES: TradeReader,
            protocol.LATENCY: LatencyReader,
            protocol.THROUGHPUT: ThroughputReader,
        }
        return made[asked.channel](place)

    def _unsubscribe(self, listener: Listener, asked: Asked, now_ns: int) -> Refused | None:
        names = [name for name in listener.topics if _means(asked, name)]
        if not names:
            what = asked.topic or " ".join(
                part for part in (asked.channel, asked.venue, asked.symbol) if part
            )
            return Refused(asked.id, "not_following", f"you do not follow {what}; `list` tells what you do")
        for name in names:
            self._leave(listener.topics.pop(name), listener, now_ns)
        self.say(listener, Envelope(type="unsubscribed", id=asked.id, topics=names, ts_ms=now_ns // MS_NS))
        return None

    def _leave(self, topic: Topic, listener: Listener, now_ns: int) -> None:
        topic.followers.pop(listener, None)
        listener.forget(topic)
        if not topic.followers:
            topic.left_ns = now_ns

    def _finish(self, topic: Topic, reason: str, now_ns: int) -> None:
        """The topic ends: all that follow it are told why."""
        envelope = Envelope(
            type="ended", topic=topic.name, seq=topic.seq, reason=reason, ts_ms=now_ns // MS_NS
        )
        message = Message(envelope)
        for listener in topic.followers:
            listener.push(None, message)
            listener.topics.pop(topic.name, None)
            listener.forget(topic)
            self.dirty[listener] = None
        topic.followers.clear()
        self.topics.pop(topic.name, None)

    def _listed(self, listener: Listener, asked: Asked, now_ns: int) -> Envelope:
        sources = self._reading.telemetry.board.sources
        return Envelope(
            type="topics",
            id=asked.id,
            ts_ms=now_ns // MS_NS,
            topics=list(listener.topics),
            channels=list(protocol.CHANNELS),
            available=[
                Available(one.source.venue, one.source.key, one.state, list(one.symbols[:SYMBOLS_SHOWN]))
                for one in sources
            ],
        )


def _means(asked: Asked, name: str) -> bool:
    """Whether an unsubscribe means the topic: by its name, or by what it was subscribed with."""
    if asked.topic:
        return name == asked.topic
    channel, _, rest = name.partition(":")
    if channel != asked.channel:
        return False
    variant = asked.variant
    if channel in (protocol.CANDLES, protocol.BOOK) and variant:
        head, _, tail = rest.rpartition(":")
        if tail != variant:
            return False
        rest = head
    venue, _, symbol = rest.rpartition(":") if channel in protocol.OF_A_SYMBOL else (rest, "", "")
    alike = symbol.upper() == asked.symbol.strip().upper().replace("/", "-")
    return alike and (not asked.venue or asked.venue.lower() in (venue, f"{venue}:live", f"{venue}:sim"))
