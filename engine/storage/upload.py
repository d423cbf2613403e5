"""Files of the archive at another place: a folder on another disk, or a bucket that speaks S3.

    python -m engine.storage.upload FOLDER URI      JSON lines in (Sending), one out for each (Sent)

A file counts as sent once it has been read back there and every byte was right. It has the same name there as here,
so that sending it again changes nothing. Credentials come from the usual AWS_* variables and files, never from the
URI. The process ends when its standard input does, whatever it waits for, and may be killed at any time.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import signal
import sys
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote, urlsplit

import msgspec

from engine.durable_files import make_folder, sync_folder, write_whole
from engine.errors import BadSetting
from engine.storage.steps import FOLDER, Sending, Sent

if TYPE_CHECKING:
    from pyarrow.fs import FileSystem

AT_ONCE: Final = 2  # files under way
LONGEST_REASON: Final = 300
_PIECE_BYTES: Final = 1 << 20
_SECRETS: Final = ("AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_ACCESS_KEY_ID")
_AWS_ERROR: Final = re.compile(r"AWS Error ([A-Z_]+)(?: \(HTTP status (\d+)\))?")
_REFUSED: Final = frozenset(
    (
        *("ACCESS_DENIED", "SIGNATURE_DOES_NOT_MATCH", "INVALID_ACCESS_KEY_ID", "INVALID_CLIENT_TOKEN_ID"),
        *("INVALID_SIGNATURE", "MISSING_AUTHENTICATION_TOKEN", "UNRECOGNIZED_CLIENT", "EXPIRED_TOKEN"),
    )
)


def checked(uri: str) -> str:
    """The URI of a place for files, as it was given; "" = none beside the store's folder.

    BadSetting when it is none; a secret in it is not repeated then.
    """
    parts = urlsplit(uri)
    if not is_folder(uri) and parts.scheme != "s3":
        raise BadSetting("archive", shown(uri), "must be a folder, or s3://bucket/prefix")
    if parts.scheme == "s3":
        if "@" in parts.netloc:
            allowed = (
                "must not have a key in it: they are taken from AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
            )
            raise BadSetting("archive", shown(uri), allowed)
        if not parts.netloc:
            raise BadSetting("archive", uri, "must name a bucket: s3://bucket/prefix")
    elif parts.scheme == "file" and parts.netloc not in ("", "localhost"):
        raise BadSetting("archive", shown(uri), "must be a folder of this machine: file:///folder")
    return uri


def is_folder(uri: str) -> bool:
    """Whether it is a path of this machine; "" is one."""
    scheme = urlsplit(uri).scheme
    return len(scheme) < 2 or scheme == "file"  # C:\ is a path


def shown(uri: str) -> str:
    """The URI for people: without what could be a secret."""
    if is_folder(uri):
        return uri
    parts = urlsplit(uri)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def why(error: Exception, uri: str, environment: Mapping[str, str]) -> str:
    """One sentence on why a file could not be sent, without anybody's secret in it."""
    text = str(error).splitlines()[0] if str(error) else type(error).__name__
    for secret in _SECRETS:
        if environment.get(secret):
            text = text.replace(environment[secret], "***")
    text, place = text[:LONGEST_REASON], shown(uri)
    found = _AWS_ERROR.search(text)
    if found is None:
        system = error.strerror if isinstance(error, OSError) else None
        return f"{place} does not take it: {system.lower() if system else text}"
    code, status = found.group(1), found.group(2) or ""
    if code in _REFUSED or status in ("401", "403"):
        named = code if code in _REFUSED else f"HTTP status {status}"
        return (
            f"{place} refuses the credentials ({named}): AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY must be those"
            " of somebody who may write there"
        )
    if code == "NO_SUCH_BUCKET":
        return f"{place} does not take it: there is no such bucket"
    if code == "NETWORK_CONNECTION":
        _, _, detail = text.partition("Details: ")
        return f"{place} cannot be reached: {detail or text}"
    return f"{place} does not take it: {text}"


class Place:
    """Where files go. Every call waits for the disk or the network, and may be made from several threads."""

    def __init__(self, uri: str) -> None:
        self._uri = checked(uri)
        self._opening = threading.Lock()
        self._opened: tuple[FileSystem, str] | None = None

    def send(self, root: Path, sending: Sending) -> Sent:
        """What became of one file; no failure is raised."""
        try:
            if sending.delete:
                self._delete(sending.path)
                return Sent(sending.file)
            try:
                data = (root / sending.path).read_bytes()
            except OSError as error:
                return Sent(
                    sending.file, f"it cannot be read: {(error.strerror or str(error)).lower()}", damaged=True
                )
            if hashlib.sha256(data).hexdigest() != sending.sha256:
                return Sent(sending.file, "its checksum is wrong", damaged=True)
            if not self._has(sending):
                self._write(sending.path, data)
                if not self._has(sending):
                    return Sent(sending.file, f"{shown(self._uri)} gives back other bytes than were sent")
            return Sent(sending.file)
        except Exception as error:  # noqa: BLE001  the outer edge of one file: its failure is an answer
            return Sent(sending.file, why(error, self._uri, os.environ))

    def _has(self, sending: Sending) -> bool:
        """Whether the file is there, to the byte."""
        if is_folder(self._uri):
            path = self._folder() / sending.path
            if not path.is_file() or path.stat().st_size != sending.size_bytes:
                return False
            with path.open("rb") as file:
                return hashlib.file_digest(file, "sha256").hexdigest() == sending.sha256
        system, prefix = self._system()
        key = f"{prefix}/{sending.path}"
        info = system.get_file_info(key)
        if not info.is_file or info.size != sending.size_bytes:
            return False
        digest = hashlib.sha256()
        with system.open_input_stream(key) as file:
            while piece := file.read(_PIECE_BYTES):
                digest.update(piece)
        return digest.hexdigest() == sending.sha256

    def _write(self, path: str, data: bytes) -> None:
        if is_folder(self._uri):
            target = self._folder() / path
            make_folder(target.parent)
            write_whole(target, (data,))
            return
        system, prefix = self._system()
        metadata = {"Content-Type": "application/vnd.apache.parquet"}
        # In a bucket a file appears when it is closed, whole.
        with system.open_output_stream(f"{prefix}/{path}", compression=None, metadata=metadata) as file:
            file.write(data)

    def _delete(self, path: str) -> None:
        with contextlib.suppress(FileNotFoundError):
            if is_folder(self._uri):
                target = self._folder() / path
                target.unlink()
                sync_folder(target.parent)
                return
            system, prefix = self._system()
            system.delete_file(f"{prefix}/{path}")

    def _folder(self) -> Path:
        folder = Path(unquote(urlsplit(self._uri).path) if self._uri.startswith("file:") else self._uri)
        return folder.expanduser()

    def _system(self) -> tuple[FileSystem, str]:
        with self._opening:
            if self._opened is None:
                from pyarrow.fs import FileSystem  # with it comes the S3 client, which a folder does not need

                system, path = FileSystem.from_uri(self._uri)  # may ask the server for its region
                self._opened = system, path.rstrip("/")
            return self._opened


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit code of the child."""
    folder, uri = sys.argv[1:] if arguments is None else arguments
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which then closes our input
    place, root = Place(uri), Path(folder) / FOLDER
    printing = threading.Lock()

    def work(sending: Sending) -> None:
        line = msgspec.json.encode(place.send(root, sending)) + b"\n"
        with printing, contextlib.suppress(BrokenPipeError):  # a parent that is gone
            sys.stdout.buffer.write(line)
            sys.stdout.buffer.flush()

    threads = ThreadPoolExecutor(AT_ONCE)
    decoder: msgspec.json.Decoder[Any] = msgspec.json.Decoder(Sending)
    for line in sys.stdin.buffer:
        threads.submit(work, decoder.decode(line))
    os._exit(0)  # whatever a server still owes us


if __name__ == "__main__":
    sys.exit(main())
