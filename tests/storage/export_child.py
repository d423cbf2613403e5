"""The process of an export for tests: `python export_child.py MODE --store ... --job ...`, as app.py's command is."""

from __future__ import annotations

import argparse
import sys
import time
from contextlib import closing
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from engine.storage.jobs import JobReport


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("mode")
    for name in ("--store", "--job", "--kind", "--venue", "--symbol", "--from", "--to", "--format", "--out"):
        parser.add_argument(name, default="")
    given = vars(parser.parse_args())
    if given["mode"] == "fail":
        print("a warning", file=sys.stderr)
        print("venuescope: the disk is full", file=sys.stderr)
        return 1
    if given["mode"] == "crash":
        import os
        import signal

        os.kill(os.getpid(), signal.SIGKILL)
    if given["mode"] in ("slow", "stubborn"):  # half done until it is canceled, or for ever
        draft = Path(given["out"] + ".1.tmp")
        draft.write_text("half")
        with closing(JobReport(Path(given["store"]), given["job"])) as report:
            while True:
                if given["mode"] == "slow":
                    report(5, 10)
                time.sleep(0.05)
    if given["mode"] == "quick":
        Path(given["out"]).write_text("seq\n1\n")
        with closing(JobReport(Path(given["store"]), given["job"])) as report:
            report.end(1, 6, "")
        return 0
    from engine.storage.command_line import run_export

    return run_export(
        Path(given["store"]),
        kind=given["kind"],
        venue=given["venue"],
        symbol=given["symbol"],
        start=given["from"],
        end=given["to"],
        form=given["format"],
        out=Path(given["out"]),
        job=given["job"],
    )


if __name__ == "__main__":
    sys.exit(main())
