"""The stages whose latency is measured: what each is called, and between which two points it lies."""

from __future__ import annotations

from typing import Final

# stage -> (label, what is measured between which two points)
STAGES: Final = {
    "receive": ("Receive", "venue's clock to our receipt, less clock offset"),
    "decode": ("Decode", "bytes to batch, one frame"),
    "sequence": ("Sequence", "order and gap check, book, candle, one batch"),
    "publish": ("Publish", "rings and board, one turn"),
    "ack": ("Ack", "order due to order matched"),
    "match": ("Match", "kernel time of an order, mean of its turn"),
    "poll": ("Poll", "page's request to the server's reply"),
    "draw": ("Draw", "reply to painted frame, in the browser"),
    "total": ("Total", "newest event received to painted frame"),
}
