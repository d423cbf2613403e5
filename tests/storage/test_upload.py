"""Files at another place: which places there are, what counts as sent, and what is said when it fails."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from engine.errors import BadSetting
from engine.storage import upload
from engine.storage.steps import FOLDER, Sending, Sent
from engine.storage.upload import Place, checked, is_folder, shown, why

ROOT = Path(__file__).resolve().parents[2]
DATA = b"the bytes of a file"


def sending(path: str = "kind=trades/1-2.parquet", *, delete: bool = False) -> Sending:
    return Sending(7, path, len(DATA), hashlib.sha256(DATA).hexdigest(), delete)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    path = tmp_path / FOLDER / sending().path
    path.parent.mkdir(parents=True)
    path.write_bytes(DATA)
    return tmp_path / FOLDER


@pytest.mark.parametrize(
    "uri", ["", "/srv/archive", "some/folder", "C:\\archive", "file:///srv/archive", "s3://b/x?a=1"]
)
def test_folders_and_buckets_are_places(uri: str) -> None:
    assert checked(uri) == uri
    assert is_folder(uri) == (not uri.startswith("s3:"))


@pytest.mark.parametrize(
    ("uri", "sentence"),
    [
        ("ftp://host/x", "setting archive cannot be 'ftp://host/x': must be a folder, or s3://bucket/prefix"),
        ("gs://bucket/x", "must be a folder, or s3://bucket/prefix"),
        ("s3:///x", "must name a bucket"),
        ("file://host/x", "must be a folder of this machine"),
        ("s3://KEY:s3cr3t@bucket/x", "cannot be 's3://bucket/x': must not have a key in it"),
        ("https://user:s3cr3t@host/x?token=s3cr3t", "cannot be 'https://host/x'"),
    ],
)
def test_other_places_are_refused_in_a_sentence_without_secrets(uri: str, sentence: str) -> None:
    with pytest.raises(BadSetting) as refused:
        checked(uri)
    assert sentence in str(refused.value)
    assert "s3cr3t" not in str(refused.value)


def test_what_is_shown_of_a_place_has_no_secret() -> None:
    assert shown("s3://K:s3cr3t@bucket/x?secret=s3cr3t#s3cr3t") == "s3://bucket/x"
    assert shown("/srv/archive") == "/srv/archive"


@pytest.mark.parametrize("form", ["{}", "file://{}"])
def test_a_file_is_there_to_the_byte_under_its_own_name(root: Path, tmp_path: Path, form: str) -> None:
    there = tmp_path / "other disk"
    place = Place(form.format(there).replace(" ", "%20" if form.startswith("file") else " "))
    assert place.send(root, sending()) == Sent(7)
    assert (there / sending().path).read_bytes() == DATA
    assert [path.name for path in there.rglob("*") if path.is_file()] == ["1-2.parquet"]
    assert place.send(root, sending(delete=True)) == Sent(7)
    assert not (there / sending().path).exists()
    assert place.send(root, sending(delete=True)) == Sent(7)


def test_a_file_that_is_there_already_is_not_written_again(root: Path, tmp_path: Path) -> None:
    place = Place(str(tmp_path / "there"))
    assert place.send(root, sending()) == Sent(7)
    before = (tmp_path / "there" / sending().path).stat()
    assert place.send(root, sending()) == Sent(7)
    after = (tmp_path / "there" / sending().path).stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


@pytest.mark.parametrize("before", [b"", b"the bytes of a life", b"longer than it should be"])
def test_other_bytes_under_its_name_are_replaced(root: Path, tmp_path: Path, before: bytes) -> None:
    target = tmp_path / "there" / sending().path
    target.parent.mkdir(parents=True)
    target.write_bytes(before)
    assert Place(str(tmp_path / "there")).send(root, sending()) == Sent(7)
    assert target.read_bytes() == DATA


def test_bytes_that_come_back_otherwise_do_not_count(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Place._write
    monkeypatch.setattr(Place, "_write", lambda self, path, data: real(self, path, data[:-1] + b"?"))
    sent = Place(str(tmp_path / "there")).send(root, sending())
    assert sent.error == f"{tmp_path / 'there'} gives back other bytes than were sent"
    assert not sent.damaged


def test_a_damaged_or_missing_file_of_ours_is_never_sent(root: Path, tmp_path: Path) -> None:
    place = Place(str(tmp_path / "there"))
    (root / sending().path).write_bytes(DATA[:-1] + b"!")
    assert place.send(root, sending()) == Sent(7, "its checksum is wrong", damaged=True)
    (root / sending().path).unlink()
    assert place.send(root, sending()) == Sent(
        7, "it cannot be read: no such file or directory", damaged=True
    )
    assert not (tmp_path / "there").exists()


def test_a_place_that_takes_nothing_says_why(root: Path, tmp_path: Path) -> None:
    (tmp_path / "there").write_text("no folder")
    sent = Place(str(tmp_path / "there")).send(root, sending())
    assert sent == Sent(7, f"{tmp_path / 'there'} does not take it: file exists")


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (
            "When initiating multiple part upload for key 'k' in bucket 'b': AWS Error SIGNATURE_DOES_NOT_MATCH during"
            " CreateMultipartUpload operation: The request signature we calculated does not match",
            "s3://b/x refuses the credentials (SIGNATURE_DOES_NOT_MATCH): AWS_ACCESS_KEY_ID",
        ),
        (
            "When getting information for key 'x': AWS Error UNKNOWN (HTTP status 403) during HeadObject operation: No",
            "s3://b/x refuses the credentials (HTTP status 403): ",
        ),
        (
            "When x: AWS Error NO_SUCH_BUCKET during PutObject operation: The specified bucket does not exist.",
            "s3://b/x does not take it: there is no such bucket",
        ),
        (
            "When x: AWS Error NETWORK_CONNECTION during HeadObject operation: curlCode: 7, Could not connect; Details:"
            " Failed to connect to 127.0.0.1 port 1",
            "s3://b/x cannot be reached: Failed to connect to 127.0.0.1 port 1",
        ),
        (
            "When x: AWS Error SLOW_DOWN (HTTP status 503) during PutObject operation: Please reduce",
            "s3://b/x does not take it: When x: AWS Error SLOW_DOWN (HTTP status 503)",
        ),
    ],
)
def test_what_a_server_says_becomes_a_sentence(text: str, sentence: str) -> None:
    assert why(OSError(text), "s3://b/x?endpoint_override=e", {}).startswith(sentence)


def test_a_secret_in_an_error_is_not_repeated_and_its_length_is_bounded() -> None:
    secrets = {"AWS_SECRET_ACCESS_KEY": "s3cr3t/+", "AWS_ACCESS_KEY_ID": "AKIAKEY", "AWS_SESSION_TOKEN": ""}
    told = why(OSError("AKIAKEY and s3cr3t/+ " + "x" * 5_000 + "\nmore"), "s3://b", secrets)
    assert told.startswith("s3://b does not take it: *** and *** xxx")
    assert len(told) < 400


def test_the_process_answers_each_line_and_ends_with_its_input(root: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "engine.storage.upload", str(tmp_path), str(tmp_path / "there")]
    running = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT)
    assert running.stdin is not None
    assert running.stdout is not None
    for asked in (sending(), sending("gone.parquet")):
        running.stdin.write(msgspec.json.encode(asked) + b"\n")
    running.stdin.flush()
    answers = [msgspec.json.decode(running.stdout.readline(), type=Sent) for _ in range(2)]
    assert sorted(answers, key=lambda sent: sent.damaged) == [
        Sent(7),
        Sent(7, "it cannot be read: no such file or directory", damaged=True),
    ]
    running.stdin.close()
    assert running.wait(10) == 0
    running.stdout.close()


def test_a_process_whose_server_never_answers_ends_with_its_input_all_the_same(
    root: Path, tmp_path: Path
) -> None:
    code = (
        "import sys, time\nfrom engine.storage import upload\n"
        "upload.Place._write = lambda *given: time.sleep(600)\nsys.exit(upload.main())"
    )
    command = [sys.executable, "-c", code, str(tmp_path), str(tmp_path / "there")]
    running = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT)
    running.communicate(msgspec.json.encode(sending()) + b"\n", timeout=20)
    assert running.returncode == 0


def test_making_a_place_reaches_for_nothing() -> None:
    assert upload.Place("s3://bucket/x")._opened is None
