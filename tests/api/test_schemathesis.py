"""Calls made from the description, against all routes really served: no 5xx, and answers as described."""

from __future__ import annotations

import asyncio
import re
from contextlib import suppress
from pathlib import Path
from sys import executable

import pytest

from tests.api.all_routes import access_side, market_side
from tests.api.server_rig import Served, market, serving

CHECKS = (
    "not_a_server_error,status_code_conformance,content_type_conformance,response_headers_conformance,"
    "response_schema_conformance,unsupported_method"
)


def called(folder: Path, phases: str, examples: int, base: str, within_s: float) -> tuple[str, Served]:
    """What schemathesis says of the API at one of its bases, and the server after that."""

    async def main() -> tuple[str, Served]:
        desk = market()
        routes, alerts = market_side(folder, desk)
        async with serving(folder, routes, desk=desk, access=access_side, rate=1_000_000) as served:
            running = asyncio.create_task(alerts.run())
            child = await asyncio.create_subprocess_exec(
                *(str(Path(executable).parent / "schemathesis"), "run", f"{served.server.url}/openapi.json"),
                *("--url", served.server.url + base, "--checks", CHECKS, "--phases", phases),
                *("-n", str(examples), "--seed", "7", "--no-color", "--generation-database", "none"),
                cwd=folder,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
            )
            try:
                said, _ = await asyncio.wait_for(child.communicate(), within_s)
            finally:
                if child.returncode is None:
                    child.kill()
                    await child.wait()
                running.cancel()
                with suppress(asyncio.CancelledError):
                    await running
            assert child.returncode == 0, said.decode()[-6_000:]
            return said.decode(), served

    return asyncio.run(main())


def judge(said: str, served: Served) -> None:
    """All operations were tested, and nothing broke."""
    tested = re.search(r"Tested: (\d+)", said)
    assert tested is not None
    assert int(tested[1]) == len(served.server.table.routes)
    view = served.server.view()
    assert view.broken == 0
    assert not [each for each in view.routes if each.status == 500]
    good = {(each.method, each.path) for each in view.routes if each.status < 300}
    assert {("GET", "/tick/{symbol}"), ("GET", "/book/{symbol}"), ("POST", "/alerts")} <= good


def test_answers_are_as_described(tmp_path: Path) -> None:
    judge(*called(tmp_path, "examples,fuzzing", 3, "/v1", 60))


@pytest.mark.nightly
@pytest.mark.timeout(900)
@pytest.mark.parametrize("base", ["/v1", ""])
def test_answers_are_as_described_to_many_calls(tmp_path: Path, base: str) -> None:
    judge(*called(tmp_path, "examples,coverage,fuzzing,stateful", 100, base, 800))
