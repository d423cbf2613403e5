"""Shared by all tests: one compile cache, keyed like the application's, so that kernels compile once."""

from __future__ import annotations

from pathlib import Path

import hypothesis

from app import KERNEL_MODULES
from engine import kernels

ROOT = Path(__file__).resolve().parent.parent
# A kernel's first call may compile it, and CI machines stall: no deadline for a single example.
hypothesis.settings.register_profile("venuescope", deadline=None)
hypothesis.settings.load_profile("venuescope")
kernels.activate(ROOT / ".venuescope" / "numba", KERNEL_MODULES)
