"""What can be broken on purpose, in the words of the page. Pure.

The kinds are those the exchange knows; one that has no words here yet is offered by its own name.
"""

from __future__ import annotations

from typing import Any, Final

from engine.exchange import faults

# kind -> (label, what happens, whether it takes a delay); in the order they are offered
WORDS: Final = {
    "reject": ("Reject orders", "Orders are refused with the venue's own error", False),
    "slow_ack": ("Delay acknowledgements", "Answers to orders come late", True),
    "halt": ("Halt a symbol", "It stops trading, and goes on by itself at the end", False),
    "drop": ("Drop market data", "A message is not sent: clients see a gap in the sequence", False),
    "duplicate": ("Duplicate market data", "A message is sent twice", False),
    "reorder": ("Reorder market data", "A message comes after the next one of its stream", False),
    "malformed": ("Cut a frame", "Text that is no JSON is sent in its place", False),
    "huge": ("Send a huge frame", "A frame of 8 MB comes before the next one", False),
    "stall": ("Stall connections", "They stay open and say nothing", False),
    "disconnect": ("Disconnect at random", "A connection breaks as it is to be sent market data", False),
    "close": ("Break connections now", "They end without a closing handshake", False),
    "cut": ("Cut all connections", "All at once, as after 24 hours", False),
    "shutdown": ("Announce a shutdown", "Clients are told of the end, then cut", True),
    "refuse": ("Refuse connects", "WebSocket connects are broken off", False),
    "restart": ("Restart Bybit's books", "Update numbers begin at 1 again", False),
    "429": ("Answer 429", "Calls are refused as too many; Bybit's code is 10006", False),
    "418": ("Ban the address, 418", "All calls are refused for two minutes", False),
    "403": ("Ban the address, 403", "As by a firewall, for two minutes", False),
    "broken": ("Answer 503", "REST calls fail on the venue's side", False),
    "unreachable": ("Answer nothing", "REST calls get no answer", False),
    "jitter": ("Jitter REST calls", "Calls arrive late, each by its own random time", True),
    "slow_snapshot": ("Delay book snapshots", "The book by REST comes late, and is that old", True),
    "old_snapshot": ("Serve old snapshots", "The book by REST is older than it says", False),
}
PLACES: Final = (
    ("", "everywhere"),
    ("binance_spot", "Binance dialect"),
    ("bybit", "Bybit dialect"),
    ("native", "native"),
)


def choices() -> dict[str, Any]:
    """What the page offers. Kinds: `instant` = at once, `lasting` = needs a duration, `certain` = has no rate."""
    known = [kind for kind in WORDS if kind in faults.KINDS]
    return {
        "kinds": [choice(kind) for kind in (*known, *(kind for kind in faults.KINDS if kind not in WORDS))],
        "places": [list(place) for place in PLACES],
    }


def choice(kind: str) -> dict[str, Any]:
    """One kind as the page offers it."""
    label, what, delay = WORDS.get(kind, (kind.replace("_", " ").capitalize(), "", True))
    return {
        "kind": kind,
        "label": label,
        "what": what,
        "delay": delay,
        "instant": kind in faults.INSTANT_KINDS,
        "lasting": kind in faults.LASTING_KINDS,
        "certain": kind in faults.CERTAIN_KINDS,
    }
