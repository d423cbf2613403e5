"""The decorators of the engine's kernels: compiled by Numba, cached, releasing the interpreter lock.

Numba compiles a function anew for each constant that another compiled function passes to it: with event kinds
and reasons as arguments that is dozens of versions. Here a constant is an integer like any other.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from numba import config, njit, types


def _once(function: Callable[..., Any], **options: bool) -> Any:
    # Nothing here divides by zero, so Numba need not prepare to raise for it.
    jit: Any = njit
    dispatcher = jit(nogil=True, cache=True, error_model="numpy", **options)(function)
    if config.DISABLE_JIT:  # type: ignore[attr-defined]  # set at import, from the environment
        return dispatcher
    template = dispatcher.get_call_template
    plain: Any = types.unliteral

    def for_any_value(args: Any, keywords: Any) -> Any:
        return template(tuple(map(plain, args)), {name: plain(kind) for name, kind in keywords.items()})

    dispatcher.get_call_template = for_any_value
    return dispatcher


def compiled(function: Callable[..., Any]) -> Any:
    """A kernel."""
    return _once(function)


def inlined(function: Callable[..., Any]) -> Any:
    """A kernel that becomes part of its callers: for the hot path."""
    return _once(function, forceinline=True)
