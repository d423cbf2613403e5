"""Compiled code does not check its bounds: here it is compiled so that it does, and run."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

CHECKED = """
from numba import config
assert config.BOUNDSCHECK == 1
from engine.flow.simulator import Simulator
from tests.matching.test_agreement import small_run
small_run()
for rate in (300, 60_000, 1_000_000):
    simulator = Simulator(2, rate)
    list(simulator.warm_up_history(2, 10**18))
    orders = sum(simulator.turn(10**18 + at * 5_000_000).orders for at in range(40))
    assert orders > 0
print(simulator.engine.state_hash())
"""


@pytest.mark.nightly  # it compiles all of them anew
def test_no_kernel_leaves_its_arrays_and_checking_changes_nothing(tmp_path: Path) -> None:
    def run(**settings: str) -> str:
        done = subprocess.run(
            [sys.executable, "-c", CHECKED if settings else CHECKED.replace("== 1", "!= 1")],
            env=os.environ | {"PYTHONPATH": os.getcwd()} | settings,
            capture_output=True,
            text=True,
            timeout=150,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert run(NUMBA_BOUNDSCHECK="1", NUMBA_CACHE_DIR=str(tmp_path)) == run()
