"""How much of an array is in physical memory: large arrays are set aside whole and used page by page."""

from __future__ import annotations

import ctypes
import mmap
import sys
from typing import Any

import numpy as np
import numpy.typing as npt


def resident_bytes(array: npt.NDArray[Any]) -> int | None:
    """Bytes of the array's pages that are in physical memory, or None where the system does not tell.

    Asks the system once (mincore): some 1 us a MB.
    """
    ask = getattr(ctypes.CDLL(None), "mincore", None) if sys.platform in ("linux", "darwin") else None
    if ask is None:
        return None
    first = array.ctypes.data // mmap.PAGESIZE * mmap.PAGESIZE
    length = array.ctypes.data + array.nbytes - first
    pages = np.zeros(-(-length // mmap.PAGESIZE), np.uint8)
    failed = ask(ctypes.c_void_p(first), ctypes.c_size_t(length), pages.ctypes.data_as(ctypes.c_void_p))
    return None if failed else int(np.count_nonzero(pages & 1)) * mmap.PAGESIZE
