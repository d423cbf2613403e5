"""Counting trailing zeros: one instruction when compiled, plain Python when kernels run uncompiled."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import config

trailing_zeros: Any
if config.DISABLE_JIT:  # type: ignore[attr-defined]  # set at import, from the environment

    def _trailing_zeros(word: int) -> np.int64:
        """Index of the lowest set bit of a 64-bit word that is not 0."""
        bits = int(word) & (2**64 - 1)
        return np.int64((bits & -bits).bit_length() - 1)

    trailing_zeros = _trailing_zeros
else:
    from numba.cpython.unsafe import numbers

    trailing_zeros = numbers.trailing_zeros

__all__ = ["trailing_zeros"]
