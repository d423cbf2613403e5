"""Shared by all tests: one compile cache, keyed like the application's, so that kernels compile once."""

from __future__ import annotations

from pathlib import Path

import hypothesis
import structlog

from app import KERNEL_MODULES
from engine import kernels

ROOT = Path(__file__).resolve().parent.parent
# A kernel's first call may compile it, and CI machines stall: no deadline for a single example. Each run draws other
# examples: a few of each property every time, many nightly (`tests/run --nightly`).
hypothesis.settings.register_profile("venuescope", deadline=None, max_examples=40)
hypothesis.settings.register_profile("nightly", deadline=None, max_examples=300)
hypothesis.settings.load_profile("venuescope")
# Tests that let the program fail: the locals of each frame, whole blocks of data, take seconds to write.
_plain = structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
structlog.configure(processors=[*structlog.get_config()["processors"][:-1], _plain])
kernels.activate(ROOT / ".venuescope" / "numba", KERNEL_MODULES)
