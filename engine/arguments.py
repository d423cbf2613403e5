"""Arguments of commands, checked: they come from a browser. BadCommand with a sentence for what cannot be."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from engine.errors import BadCommand

NAME_MAX: Final = 64
SYMBOLS_MAX: Final = 128
MS: Final = 1_000_000

Args = Mapping[str, Any]


def text(args: Args, name: str) -> str:
    """A name: 1 to NAME_MAX characters."""
    value = args.get(name)
    if not _is_name(value):
        raise BadCommand(f"the command needs {name}: 1 to {NAME_MAX} characters of text")
    return str(value)


def names(args: Args, name: str, most: int = SYMBOLS_MAX) -> tuple[str, ...]:
    """A list of names; () where it is not given."""
    value = args.get(name, [])
    if not isinstance(value, list) or len(value) > most:
        raise BadCommand(f"{name} must be a list of at most {most} names")
    if not all(map(_is_name, value)):
        raise BadCommand(f"each of {name} must be 1 to {NAME_MAX} characters of text")
    return tuple(value)


def whole(args: Args, name: str, most: int, unit: str) -> int:
    """A whole number from 0 to `most`."""
    value = args.get(name)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= most:
        raise BadCommand(f"{name} must be a whole number of {unit} from 0 to {most:,}")
    return value


def flag(args: Args, name: str) -> bool:
    """True or false; false where it is not given."""
    value = args.get(name, False)
    if not isinstance(value, bool):
        raise BadCommand(f"{name} must be true or false")
    return value


def moment_ns(args: Args, name: str) -> int:
    """A moment in milliseconds UTC, as ns; 0 where it is not given."""
    value = args.get(name, 0)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 1 << 43:
        raise BadCommand(f"{name} must be a whole number of milliseconds UTC")
    return value * MS


def stretch_ns(args: Args) -> tuple[int, int]:
    """From `from_ms` to `to_ms`, as ns."""
    from_ns, to_ns = moment_ns(args, "from_ms"), moment_ns(args, "to_ms")
    if not from_ns < to_ns:
        raise BadCommand("the stretch must begin before it ends: from_ms < to_ms")
    return from_ns, to_ns


def _is_name(value: object) -> bool:
    return isinstance(value, str) and 0 < len(value) <= NAME_MAX
