"""The archive in a bucket of a real server: OpenStack Swift with its S3 face."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from engine.storage import archiver
from engine.storage.dates import DAY_NS
from engine.storage.names import RecordKind
from engine.storage.records import Stream
from engine.storage.steps import Sending
from engine.storage.upload import Place
from tests.storage.archiving import contents, killed_rounds, leaving, running, until
from tests.storage.drawn import drawn_block
from tests.storage.swift_server import KEY, SECRET, SwiftServer

pytestmark = [pytest.mark.nightly, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SwiftServer]:
    try:
        made = SwiftServer(tmp_path_factory.mktemp("swift"))
        made.start()
    except RuntimeError as error:
        pytest.skip(str(error))
    try:
        made.make_bucket()
        yield made
    finally:
        made.stop()


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archiver, "RETRY_FIRST_S", 0.05)
    monkeypatch.setattr(archiver, "RETRY_MAX_S", 0.5)
    monkeypatch.setattr(archiver, "LOOK_S", 0.02)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")


def uri_of(server: SwiftServer, name: str) -> str:
    return server.uri.replace("/archive?", f"/{name}?")


def in_bucket(uri: str) -> dict[str, bytes]:
    """All objects below a prefix, read by a client of its own."""
    from pyarrow.fs import FileSelector, FileSystem

    system, prefix = FileSystem.from_uri(uri)
    found = {}
    for info in system.get_file_info(FileSelector(prefix, recursive=True, allow_not_found=True)):
        if info.is_file:
            with system.open_input_stream(info.path) as file:
                found[info.path.removeprefix(prefix + "/")] = file.read()
    return found


def test_files_arrive_to_the_byte_and_merged_ones_leave(tmp_path: Path, server: SwiftServer) -> None:
    uri = uri_of(server, "arrive")
    odd = Stream("ve/nue", "a b%2F../\u20ac")

    async def scene() -> None:
        async with running(tmp_path, uri=uri) as store:
            for place in range(3):
                store.put(drawn_block(RecordKind.TRADES, 10, seq=1 + 10 * place))
                await store.archiver.compact_now()
            store.put(drawn_block(RecordKind.TRADES, 10, seq=31, stream=odd))
            await store.archiver.compact_now()
            await until(lambda: store.archiver.view().waiting == 0)
            assert in_bucket(uri) == contents(store.root)
            assert len(contents(store.root)) == 4
            assert store.archiver.view().uri == "s3://records/arrive"
            store.now_ns += DAY_NS
            await until(lambda: len(contents(store.root)) == 2 and leaving(store) == 0)
            await until(lambda: store.archiver.view().waiting == 0)
            assert in_bucket(uri) == contents(store.root)
            assert store.seqs() == list(range(1, 41))

    asyncio.run(scene())


def test_a_wrong_key_is_refused_and_said_without_it(
    tmp_path: Path, server: SwiftServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    uri = uri_of(server, "refused")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "not-the-s3cr3t")

    async def scene() -> None:
        async with running(tmp_path, uri=uri) as store:
            store.put(drawn_block(RecordKind.TRADES, 10))
            await until(lambda: store.archiver.view().state == "failing")
            detail = store.archiver.view().detail
            assert detail.startswith("s3://records/refused refuses the credentials (ACCESS_DENIED): ")
            assert "tried again at" in detail
            assert "not-the-s3cr3t" not in f"{store.archiver.view()} {store.notes}"
            assert len(store.files()) == 1
            monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
            await until(lambda: store.archiver.view().waiting == 0)
            assert in_bucket(uri) == contents(store.root)

    asyncio.run(scene())


def test_a_bucket_that_is_not_there_is_named(tmp_path: Path, server: SwiftServer) -> None:
    async def scene() -> None:
        async with running(tmp_path, uri=server.uri.replace("//records", "//no-such")) as store:
            store.put(drawn_block(RecordKind.TRADES, 10))
            await until(lambda: store.archiver.view().state == "failing")
            expected = "s3://no-such/archive does not take it: there is no such bucket"
            assert store.archiver.view().detail.startswith(expected)

    asyncio.run(scene())


def test_while_the_server_is_down_the_local_copy_stays_and_then_it_goes_on(
    tmp_path: Path, server: SwiftServer
) -> None:
    uri = uri_of(server, "down")

    async def scene() -> None:
        async with running(tmp_path, uri=uri, days=1) as store:
            await until(lambda: not store.archiver._sweep)
            await asyncio.to_thread(server.stop)
            try:
                store.put(drawn_block(RecordKind.TRADES, 10), drawn_block(RecordKind.EVENTS, 10, seq=11))
                await store.archiver.compact_now()
                store.now_ns += 9 * DAY_NS  # and too old
                await until(lambda: store.archiver.view().state == "failing")
                assert "s3://records/down cannot be reached" in store.archiver.view().detail
                await store.archiver._delete_due()
                local = contents(store.root)
                assert len(local) == 2
            finally:
                await asyncio.to_thread(server.start)
            await until(lambda: in_bucket(uri) == local)
            await until(lambda: store.files() == [])  # elsewhere by now, and so it may go here
            assert in_bucket(uri) == local

    asyncio.run(scene())


def test_a_large_file_goes_in_parts_and_is_the_same(tmp_path: Path, server: SwiftServer) -> None:
    data = np.random.default_rng(1).bytes(24 << 20)
    (tmp_path / "large.parquet").write_bytes(data)
    uri = uri_of(server, "large")
    sending = Sending(1, "large.parquet", len(data), hashlib.sha256(data).hexdigest())
    assert Place(uri).send(tmp_path, sending).error == ""
    assert in_bucket(uri) == {"large.parquet": data}


def test_another_object_under_its_name_is_written_over(tmp_path: Path, server: SwiftServer) -> None:
    from pyarrow.fs import FileSystem

    uri = uri_of(server, "over")
    system, prefix = FileSystem.from_uri(uri)
    data = b"the right bytes"
    (tmp_path / "a.parquet").write_bytes(data)
    sending = Sending(1, "a.parquet", len(data), hashlib.sha256(data).hexdigest())
    for before in (b"the wrong bytes", b"short", b""):
        with system.open_output_stream(f"{prefix}/a.parquet") as file:
            file.write(before)
        assert Place(uri).send(tmp_path, sending).error == ""
        assert in_bucket(uri) == {"a.parquet": data}


def test_kills_at_any_point_lose_nothing_there_either(tmp_path: Path, server: SwiftServer) -> None:
    uri = uri_of(server, "killed")
    killed_rounds(tmp_path, 8, 3.0, uri, lambda: in_bucket(uri))
