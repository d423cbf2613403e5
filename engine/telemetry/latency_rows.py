"""Rows of latency histograms. Apart from what counts them, since whoever only reads them needs no compiler."""

from __future__ import annotations

from typing import Final

import numpy as np

SUMMARY: Final = np.dtype(
    [
        ("ts_ns", np.int64),  # start of the step, by the source's clock
        ("count", np.int64),
        ("p50", np.int64),  # nanoseconds, as all below
        ("p90", np.int64),
        ("p95", np.int64),
        ("p99", np.int64),
        ("p999", np.int64),
        ("least", np.int64),
        ("greatest", np.int64),
        ("sum", np.int64),
        ("offset_ns", np.int64),  # clock offset already taken off; add it to get the raw difference
    ]
)
BUCKET: Final = np.dtype([("ts_ns", np.int64), ("bucket", np.int32), ("count", np.int32)])
# Of steps of 30 s, and of seconds by eighths of octaves; 10 bytes.
STEP_BUCKET: Final = np.dtype([("second", np.uint32), ("bucket", np.uint16), ("count", np.uint32)])
