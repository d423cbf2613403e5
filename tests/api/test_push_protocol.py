"""Pure parts of push: what is asked, what is agreed on, how messages are written."""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.api.push import generate
from engine.api.push.deflate import WINDOW_BITS, Deflater, agreed
from engine.api.push.encodings import Message, form_of
from engine.api.push.messages import Available, Book, Envelope, Level
from engine.api.push.protocol import Asked, Refused, Resume, parse, topic_name
from engine.api.push.routes import proto_text, routes
from engine.market.batches import Source
from engine.websocket_frames import CONTROL_MOST, close_frame
from tests.api.push_rig import decode_protobuf


def test_a_subscription_is_read_with_all_it_has() -> None:
    asked = parse(
        b'{"op":"subscribe","id":"a","channel":"book","venue":"builtin","symbol":"BTC-USDT","depth":50,'
        b'"resume":{"epoch":"e","seq":4}}'
    )
    assert asked == Asked("subscribe", "a", "book", "builtin", "BTC-USDT", depth=50, resume=Resume("e", 4))
    assert asked.variant == "50"


@given(st.binary(max_size=200))
def test_no_bytes_break_the_parser(data: bytes) -> None:
    found = parse(data)
    assert isinstance(found, Refused)
    assert found.code in ("bad_json", "bad_message", "bad_operation")


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(["op", "id", "channel", "depth", "resume", "seq", "epoch"]), inner, max_size=4
            )
        ),
        max_leaves=8,
    )
)
def test_no_json_breaks_the_parser(message: Any) -> None:
    found = parse(msgspec.json.encode(message))
    assert isinstance(found, Refused | Asked)


def test_a_refusal_bears_the_id_even_of_what_is_malformed() -> None:
    found = parse(b'{"op":"subscribe","id":12,"depth":"deep"}')
    assert isinstance(found, Refused)
    assert (found.id, found.code) == (12, "bad_message")
    assert "depth" in found.detail
    deep = parse(b"[" * 60_000)
    assert isinstance(deep, Refused)
    assert (deep.id, deep.code) == (None, "bad_message")


@pytest.mark.parametrize(
    ("channel", "source", "symbol", "variant", "name"),
    [
        ("candles", Source("binance_spot", "live"), "BTC-USDT", "", "candles:binance_spot:BTC-USDT"),
        ("candles", Source("builtin", "sim"), "BTC-USDT", "1m", "candles:builtin:BTC-USDT:1m"),
        ("book", Source("bybit_spot", "replay"), "ETH-USDT", "50", "book:bybit_spot:replay:ETH-USDT:50"),
        ("latency", Source("builtin", "sim"), "", "", "latency:builtin"),
        ("alerts", None, "", "", "alerts"),
    ],
)
def test_topics_have_names(channel: str, source: Source | None, symbol: str, variant: str, name: str) -> None:
    assert topic_name(channel, source, symbol, variant) == name


@pytest.mark.parametrize(
    ("offer", "answer"),
    [
        ("", ""),
        ("permessage-deflate", "permessage-deflate; server_no_context_takeover"),
        (
            "permessage-deflate; client_max_window_bits",
            "permessage-deflate; server_no_context_takeover",
        ),
        (
            "permessage-deflate; server_max_window_bits=13; client_no_context_takeover",
            "permessage-deflate; server_no_context_takeover; server_max_window_bits=13",
        ),
        (
            "permessage-deflate; server_max_window_bits=15",
            "permessage-deflate; server_no_context_takeover; server_max_window_bits=14",
        ),
        ("permessage-deflate; server_max_window_bits=9", ""),  # our frames refer further back
        ("permessage-deflate; server_max_window_bits=16", ""),
        ("permessage-deflate; server_max_window_bits", ""),
        ("permessage-deflate; unheard_of", ""),
        ("permessage-deflate; client_max_window_bits; client_max_window_bits=9", ""),
        ("x-webkit-deflate-frame, permessage-deflate", "permessage-deflate; server_no_context_takeover"),
        (
            "permessage-deflate; server_max_window_bits=9, permessage-deflate",
            "permessage-deflate; server_no_context_takeover",
        ),
    ],
)
def test_what_is_agreed_is_never_more_than_every_frame_keeps(offer: str, answer: str) -> None:
    assert agreed(offer) == answer


@given(st.lists(st.binary(max_size=9_000) | st.just(b"price" * 3_000), max_size=6), st.integers(12, 15))
def test_each_deflated_frame_stands_alone_in_any_window(payloads: list[bytes], window: int) -> None:
    deflater = Deflater()
    keeping = zlib.decompressobj(wbits=-window)  # of a listener that keeps its window from frame to frame
    for payload in payloads:
        whole = deflater.frame(payload, 2)
        size = whole[1] & 127
        body = whole[2 if size < 126 else 4 if size == 126 else 10 :]
        if not whole[0] & 0x40:
            assert body == payload
            continue
        assert len(body) < len(payload)
        assert keeping.decompress(body + b"\x00\x00\xff\xff") == payload
        alone = zlib.decompressobj(wbits=-WINDOW_BITS)
        assert alone.decompress(body + b"\x00\x00\xff\xff") == payload


def test_a_message_is_encoded_once_for_each_form(monkeypatch: pytest.MonkeyPatch) -> None:
    message, deflater = Message(Envelope(type="pong", ts_ms=1)), Deflater()
    frames = [
        message.frame(form_of(name, small), deflater) for name in ("json", "msgpack") for small in (0, 1)
    ]
    again = [
        message.frame(form_of(name, small), deflater) for name in ("json", "msgpack") for small in (0, 1)
    ]
    assert all(one is other for one, other in zip(frames, again, strict=True))


texts = st.text(max_size=8)
levels = st.lists(st.builds(Level, texts, texts), max_size=4)
whole = st.integers(-(2**53), 2**53)
books = st.builds(
    Book, texts, texts, texts, st.just(20), texts, whole, texts | st.none(), whole | st.none(), levels, levels
)
envelopes = st.builds(
    Envelope,
    type=texts,
    topic=texts | st.none(),
    seq=whole | st.none(),
    ts_ms=whole,
    id=texts | whole | st.none(),
    resumed=st.booleans() | st.none(),
    book=books | st.none(),
    reason=texts | st.none(),
    available=st.lists(st.builds(Available, texts, texts, texts, st.just(["x"])), min_size=1) | st.none(),
)


@given(envelopes)
def test_the_three_formats_decode_to_the_same(envelope: Envelope) -> None:
    message = Message(envelope)
    json_form = msgspec.json.decode(message.payload(0))
    assert msgspec.msgpack.decode(message.payload(1)) == json_form
    assert decode_protobuf(message.payload(2)) == json_form


def test_what_is_made_of_the_published_description_is_up_to_date(tmp_path: Path) -> None:
    generate.generate(tmp_path)
    for name in generate.MADE:
        assert (tmp_path / name).read_bytes() == (generate.HERE / name).read_bytes(), "make it anew"
    (route,) = routes()
    assert route.path == "/market.proto"
    assert route.handler(None) == proto_text()  # type: ignore[arg-type]
    assert b"message Envelope" in proto_text()


def test_a_close_frame_fits_whatever_the_reason() -> None:
    assert close_frame(1013, "slow") == b"\x88\x06\x03\xf5slow"
    long = close_frame(1008, "ä" * 100)
    assert len(long) - 2 <= CONTROL_MOST
    assert long[4:].decode() == "ä" * 61
