"""PROTOCOL.md says what the code does: every conversation in it is run, every table compared."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import msgspec

from engine.exchange import clients, desk, order_sockets
from engine.exchange.dialects import native, native_feed
from engine.exchange.dialects.native import NativeSession
from engine.exchange.trading import DESK_REASONS
from engine.matching.orders import REASONS
from tests.exchange.native_rig import FloorRig, NativeClient, login

DOCUMENT = Path(native.__file__).with_name("PROTOCOL.md")
FENCE = re.compile(r"^```native\n(.*?)^```$", re.MULTILINE | re.DOTALL)
MORE = "..."


class Conversation:
    """Plays the lines that begin with `>` or `#`; `heard` has what came since the last of them."""

    def __init__(self, rig: FloorRig) -> None:
        self.rig = rig
        self.key = rig.accounts.create("main", "", rig.now_ns)
        self.client: NativeClient = rig.connect()
        self.other = rig.connect(key=rig.accounts.create("other", "", rig.now_ns))
        rig.floor.endow(self.other.link.account)
        rig.settle()
        rig.turn()
        self.heard: list[Any] = [self.client.hello]

    def play(self, line: str) -> None:
        """Say a request, or let something happen."""
        what = line[2:]
        if line.startswith("> "):
            good = login(self.key, self.rig.now_ns)
            what = what.replace('"<now>"', str(good["ts_ms"])).replace("<api key>", good["key"])
            what = what.replace("<signature>", good["sign"])
            self.client.send(what.encode())
        elif what == "a turn":
            self.rig.turn()
        elif what == "the faucet pays 5 USDT in":
            self.rig.floor.desk.deposit(self.key.account, "USDT", 5 * 10**8)
        else:
            start, _, request = what.partition(": ")
            assert start == "another client", line
            assert self.other.say(msgspec.json.decode(request))[0]["ok"]
        self.rig.settle()
        self.heard += self.client.heard()


def alike(written: Any, got: Any) -> bool:
    """Whether they are equal; MORE at a list's end stands for any more."""
    if isinstance(written, dict) and isinstance(got, dict):
        return list(written) == list(got) and all(alike(written[name], got[name]) for name in written)
    if isinstance(written, list) and isinstance(got, list):
        if written and written[-1] == MORE:
            written = written[:-1]
            got = got[: len(written)]
        return len(written) == len(got) and all(map(alike, written, got))
    return type(written) is type(got) and bool(written == got)


def test_every_conversation_goes_as_it_is_written() -> None:
    said: set[str] = set()
    with FloorRig() as rig:
        talk = Conversation(rig)
        for block in FENCE.findall(DOCUMENT.read_text(encoding="utf-8")):
            for line in block.splitlines():
                if line.startswith("< "):
                    written = msgspec.json.decode(line[2:].replace(MORE, f'"{MORE}"'))
                    assert talk.heard, f"not sent: {line}"
                    got = talk.heard.pop(0)
                    assert alike(written, got), f"{line}\n{msgspec.json.encode(got).decode()}"
                else:
                    assert not talk.heard, f"sent, but not written before {line}: {talk.heard}"
                    talk.play(line)
                    said |= set(re.findall(r'"op":"(\w+)"', line))
            assert not talk.heard
    rig = FloorRig()
    with rig:
        ops = set(rig.connect().session._ops)
    assert said >= ops


def test_every_code_field_type_and_limit_is_in_the_document() -> None:
    text = DOCUMENT.read_text(encoding="utf-8")
    for code, words in {**REASONS, **DESK_REASONS}.items():
        assert f"| {code} | {words} |" in text
    codes = {int(code) for code in re.findall(r"^\| (\d+) \|", text, re.MULTILINE)}
    assert codes == {*REASONS, *DESK_REASONS, *range(200, 209)}
    for names in (
        native.KINDS,
        native.TIMES,
        native.SELF_TRADES,
        native.SIDES,
        native.Request.__struct_fields__,
    ):
        for name in names:
            assert f"`{name}`" in text or f'"{name}"' in text, name
    for limit in (
        f"at most {order_sockets.MAX_MESSAGE:,} bytes", f"| {order_sockets.MAX_MESSAGE:,} |",
        f"an array of 1 to {native.MAX_BATCH}", f"| {native.MAX_BATCH} |", f"up to {native.MAX_CHANNELS} channels",
        f"at most {native.LOGIN_WITHIN_MS:,} away", f"best {native_feed.SNAPSHOT_LEVELS:,} levels",
        f"more than {native_feed.SOFT_LIMIT >> 20} MB waits", f"more than {clients.MAX_QUEUE >> 20} MB waits",
        f"| {clients.MAX_CLIENTS:,}, then 503 |", f"| {desk.MAX_OPEN} |", f"| {desk.MAX_WAITING:,}, then code 100 |",
        f"the newest {native.USUAL_ROWS} rows", f"`limit` says, up to {native.MAX_ROWS:,}",
        f"`unsubscribe` cost {native.QUESTION_COST} each", f"{native.BOOK_COST} more for each book",
        f"Within {native.COST_WITHIN_NS // 1_000_000} ms a connection may spend {native.MAX_COST:,}",
        f"| {native.MAX_COST:,}, then code {native.TOO_MANY} |", f"of an answer | {native.MAX_ROWS:,} |",
        f"last {desk.KEPT_FILLS:,} trades", f"last {desk.KEPT_ORDERS:,} that ended", f"`{clients.SLOW}`",
        f"| {order_sockets.HANDSHAKE_S:.0f} s at port 8053",
    ):  # fmt: skip
        assert limit in text, limit
    assert NativeSession.__doc__
