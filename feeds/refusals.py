"""Which topics the venue refuses, and when each is asked for again. Pure: times are a steady clock's nanoseconds."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

TEXT_MOST: Final = 120  # characters of what the venue says


@dataclass(slots=True)
class _Refusal:
    symbol: str
    text: str
    again_ns: int | None  # None: it was asked for again, and not answered yet


class Refusals:
    """Topics that were refused and not accepted since. Each is asked for again after a while, for as long as it is
    wanted: a symbol may come back from a halt, and a venue may be at fault for an hour.
    """

    def __init__(self, again_after_ns: int) -> None:
        self._again_after_ns = again_after_ns
        self._of: dict[str, _Refusal] = {}  # by topic

    def __contains__(self, topic: object) -> bool:
        return topic in self._of

    @property
    def sentence(self) -> str:
        """What is refused, for a person; "" when nothing is."""
        symbols = list(dict.fromkeys(one.symbol for one in self._of.values()))
        if not symbols:
            return ""
        more = f" and {len(symbols) - 1} more" if len(symbols) > 1 else ""
        text = next(iter(self._of.values())).text
        return f"the venue refuses {symbols[0]}{more}" + (f": {text}" if text else "")

    def refused(self, symbol: str, topic: str, text: str, now_ns: int) -> bool:
        """A topic was refused; whether that is news."""
        is_new = topic not in self._of
        self._of[topic] = _Refusal(symbol, text.strip()[:TEXT_MOST], now_ns + self._again_after_ns)
        return is_new

    def accepted(self, topics: Iterable[str]) -> None:
        """The venue sends these."""
        for topic in topics:
            self._of.pop(topic, None)

    def forget(self, symbol: str) -> None:
        """The symbol is followed no more."""
        for topic in [topic for topic, one in self._of.items() if one.symbol == symbol]:
            del self._of[topic]

    def due(self, now_ns: int) -> list[tuple[str, str]]:
        """(symbol, topic) of those to be asked for now; each is told once, until it is refused again."""
        found = []
        for topic, one in self._of.items():
            if one.again_ns is not None and one.again_ns <= now_ns:
                one.again_ns = None
                found.append((one.symbol, topic))
        return found
