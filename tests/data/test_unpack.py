"""``videos.zip`` is checked before it is unpacked; a refused archive leaves nothing, a killed run is continued."""

from __future__ import annotations

import io
import os
import resource
import signal
import stat
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from microg4m_hf.cli.main import main
from microg4m_hf.data import unpack
from microg4m_hf.data.sources import resolve_root
from microg4m_hf.data.unpack import unpack_clips
from microg4m_hf.errors import DataError, SourceError

CLIP = "videos/real/ISS/ISS_001.mp4"


def zip_of(*entries: tuple[str | zipfile.ZipInfo, bytes], deflate: bool = False) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED if deflate else zipfile.ZIP_STORED) as archive:
        for name, content in entries:
            archive.writestr(name, content)
    return packed.getvalue()


def special(name: str, mode: int) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name)
    info.external_attr = mode << 16
    return info


def encrypted() -> bytes:
    content = bytearray(zip_of((CLIP, b"clip")))
    content[6] |= 1  # the flag in the local header
    at = content.rfind(b"PK\x01\x02")
    content[at + 8] |= 1  # and in the directory
    return bytes(content)


def wrong_crc() -> bytes:
    content = zip_of((CLIP, b"the pixels of a clip"))
    return content.replace(b"pixels", b"pixelz", 1)


def broken_deflate() -> bytes:
    content = bytearray(zip_of((CLIP, os.urandom(4000) + b"x" * 4000), deflate=True))
    content[200:260] = b"\xff" * 60
    return bytes(content)


def overlapping() -> bytes:
    """A second directory entry that points at the bytes of the first."""
    content = zip_of((CLIP, b"A" * 100), ("videos/real/ISS/ISS_002.mp4", b"A" * 100))
    at = content.rfind(b"PK\x01\x02")
    return content[: at + 42] + (0).to_bytes(4, "little") + content[at + 46 :]


def unknown_method() -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_BZIP2) as archive:
        archive.writestr(CLIP, b"clip" * 100)
    return packed.getvalue()


HOSTILE: dict[str, tuple[Callable[[], bytes], str]] = {
    "climbs out": (lambda: zip_of(("videos/real/../../../ISS_001.mp4", b"x")), "leaves the folder"),
    "absolute": (lambda: zip_of(("/etc/ISS/ISS_001.mp4", b"x")), "leaves the folder"),
    "a drive": (lambda: zip_of(("C:/videos/real/ISS/ISS_001.mp4", b"x")), "leaves the folder"),
    "backslashes": (lambda: zip_of(("videos\\real\\..\\ISS_001.mp4", b"x")), "leaves the folder"),
    "a link": (lambda: zip_of((special(CLIP, stat.S_IFLNK | 0o777), b"/etc/passwd")), "a link or a device"),
    "a device": (lambda: zip_of((special(CLIP, stat.S_IFCHR | 0o666), b"")), "a link or a device"),
    "a bomb": (lambda: zip_of((CLIP, bytes(8 << 20)), deflate=True), "zip bomb"),
    "a bomb of small entries": (
        lambda: zip_of(*((f"videos/real/ISS/ISS_{n:03}.mp4", bytes(1 << 20)) for n in range(1, 9)), deflate=True),
        "unpack to 8388608, like in a zip bomb",
    ),
    "overlap": (overlapping, "zip bomb"),
    "a name twice": (lambda: _quietly(zip_of, (CLIP, b"1"), (CLIP, b"2")), "appears twice"),
    "only case differs": (
        lambda: zip_of(("videos/real/ISS/ISS_001.mp4", b"1"), ("videos/real/iss/iss_001.mp4", b"2")),
        "only in case",
    ),
    "encrypted": (encrypted, "encrypted"),
    "cut short": (lambda: zip_of((CLIP, b"clip" * 1000))[:-200], "damaged"),
    "its head cut off": (lambda: zip_of((CLIP, b"clip" * 1000))[600:], "damaged"),
    "wrong checksum": (wrong_crc, "damaged"),
    "broken stream": (broken_deflate, "damaged"),
    "other compression": (unknown_method, "compression method"),
    "no zip at all": (lambda: b"<html>Not found</html>", "damaged"),
    "empty file": (lambda: b"", "damaged"),
    "no clip inside": (lambda: zip_of(("videos/readme.txt", b"hello")), "contains no clip"),
    "clip at a strange place": (lambda: zip_of(("videos/ISS_001.mp4", b"x")), "must be videos/"),
    "clip in another's folder": (lambda: zip_of(("videos/real/Apollo/ISS_001.mp4", b"x")), "belongs to source 'ISS'"),
    "long names": (
        lambda: zip_of((f"videos/real/ISS/{'x' * 60_000}.mp4", b"x")),
        "not a valid clip name",
    ),
    "long names that differ": (
        lambda: zip_of(("videos/real/ISS/ISS_001.mp4", b"x"), (f"videos/real/ISS/{'x' * 60_000}_1.txt", b"y")).replace(
            b"ISS/ISS_001", b"ISS/ISS_002", 1
        ),
        "damaged",
    ),
    "a name that is not UTF-8": (
        lambda: zip_of((CLIP, b"x"), ("videos/é.txt", b"y")).replace("é".encode(), b"\xff\xff"),
        "damaged",
    ),
    "not a valid clip name": (lambda: zip_of(("videos/real/ISS/holiday.mp4", b"x")), "not a valid clip name"),
}


def _quietly(make: Callable[..., bytes], *entries: object) -> bytes:
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # zipfile warns of the double name that is wanted here
        return make(*entries)


@pytest.mark.parametrize("case", HOSTILE)
def test_an_unsafe_archive_is_refused_and_leaves_nothing(case: str, tmp_path: Path) -> None:
    make, message = HOSTILE[case]
    (tmp_path / "in").mkdir()
    archive = tmp_path / "in" / "videos.zip"
    archive.write_bytes(make())
    with pytest.raises(DataError, match=message) as caught:
        unpack_clips(archive, tmp_path / "out" / "videos")
    assert "videos.zip" in str(caught.value) and len(str(caught.value)) < 1_000
    assert not (tmp_path / "out" / "videos").exists()
    outside = [path for path in tmp_path.rglob("*") if path.is_file() and not path.name.startswith(".")]
    assert outside == [archive]


def test_clips_are_unpacked_and_other_files_are_not(tmp_path: Path) -> None:
    archive = tmp_path / "videos.zip"
    archive.write_bytes(
        zip_of(
            ("videos/", b""),
            (CLIP, b"one"),
            ("videos/movie/Gravity/Gravity_012.mp4", b"two"),
            ("videos/.DS_Store", b"junk"),
            ("__MACOSX/videos/real/ISS/._ISS_001.mp4", b"junk"),
            ("README.md", b"hello"),
        )
    )
    assert unpack_clips(archive, tmp_path / "videos") == 2
    files = {path.relative_to(tmp_path).as_posix(): path.read_bytes() for path in (tmp_path / "videos").rglob("*.*")}
    assert files == {CLIP: b"one", "videos/movie/Gravity/Gravity_012.mp4": b"two"}


def test_a_full_disk_raises_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    archive = tmp_path / "videos.zip"
    archive.write_bytes(zip_of((CLIP, b"one")))
    monkeypatch.setattr(unpack, "SPARE_DISK_BYTES", 1 << 62)
    with pytest.raises(SourceError, match=r"free some space or unpack it to a larger disk$"):
        unpack_clips(archive, tmp_path / "videos")
    with pytest.raises(
        SourceError, match=f"`microg4m data unpack --data-dir {tmp_path} --out NEW_FOLDER`, and use that"
    ):
        resolve_root("har", data_dir=tmp_path)
    assert main(["data", "unpack", "--data-dir", str(tmp_path), "--out", str(tmp_path / "new")]) == 2
    assert capsys.readouterr().err.endswith("; free some space or give --out a folder on a larger disk\n")
    assert not (tmp_path / "videos").exists() and not (tmp_path / "new" / "videos").exists()


@pytest.fixture
def large_annotations(tmp_path: Path) -> Path:
    """A release of one clip with 100 kB of annotations."""
    folder = tmp_path / "downloaded"
    folder.mkdir()
    (folder / "videos.zip").write_bytes(zip_of((CLIP, b"one")))
    (folder / "actions.csv").write_bytes(b"row\n" * 25_000)
    return folder


def test_an_annotation_file_that_cannot_be_written_is_not_left_in_part(large_annotations: Path, tmp_path: Path) -> None:
    """The limit on the size of a file acts like a disk that is full."""
    copy = tmp_path / "whole" / "actions.csv"
    words = ["data", "unpack", "--data-dir", str(large_annotations), "--out", str(copy.parent)]
    ran = subprocess.run(
        [sys.executable, "-m", "microg4m_hf", *words],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000)),
    )
    assert ran.returncode == 2 and "ulimit -f" in ran.stderr
    assert not copy.exists()
    assert main(words) == 0
    assert copy.read_bytes() == (large_annotations / "actions.csv").read_bytes()


def test_an_annotation_file_of_another_release_is_refused(
    large_annotations: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = tmp_path / "whole" / "actions.csv"
    copy.parent.mkdir()
    copy.write_bytes(b"row\n" * 5_000)  # another release, or what earlier versions left after a kill
    words = ["data", "unpack", "--data-dir", str(large_annotations), "--out", str(copy.parent)]
    assert main(words) == 2
    assert capsys.readouterr().err == (
        f"microg4m: {copy}: this is not the file of the release in {large_annotations.resolve()} (give --out a new "
        "folder, or delete the file if its copying was interrupted)\n"
    )
    assert not (copy.parent / "videos").exists()
    copy.unlink()
    assert main(words) == 0 == main(words)
    assert copy.read_bytes() == (large_annotations / "actions.csv").read_bytes()


# Kills itself as the third clip is about to get its name.
_KILLED = """
import os, signal, sys
from microg4m_hf.data import unpack
real, count = os.replace, 0
def replace(*names):
    global count
    count += 1
    if count == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    real(*names)
unpack.os.replace = replace
unpack.unpack_clips(sys.argv[1], sys.argv[2])
"""


def test_a_killed_run_leaves_no_folder_and_is_continued(tmp_path: Path) -> None:
    archive, target = tmp_path / "videos.zip", tmp_path / "videos"
    clips = {f"videos/real/ISS/ISS_{number:03}.mp4": os.urandom(1000) for number in range(5)}
    archive.write_bytes(zip_of(*clips.items()))
    ended = subprocess.run([sys.executable, "-c", _KILLED, str(archive), str(target)], check=False)
    assert ended.returncode == -signal.SIGKILL
    assert not target.exists()
    kept = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.mp4")}
    assert len(kept) == 2
    assert unpack_clips(archive, target) == 5
    assert {
        f"videos/{path.relative_to(target).as_posix()}": path.read_bytes() for path in target.rglob("*.mp4")
    } == clips
    times = [path.stat().st_mtime_ns for path in sorted(target.rglob("*.mp4"))[:2]]
    assert times == [kept[path] for path in sorted(kept)]  # what was there was not written again
    assert sorted(path.name for path in tmp_path.iterdir()) == ["videos", "videos.zip"]


def test_leftovers_of_another_archive_are_not_used(tmp_path: Path) -> None:
    archive, target = tmp_path / "videos.zip", tmp_path / "videos"
    archive.write_bytes(zip_of((CLIP, b"old clip")))
    left = tmp_path / ".videos.unpacking" / "real" / "ISS"
    left.mkdir(parents=True)
    (left / "ISS_001.mp4").write_bytes(b"new clip")  # the same length
    unpack_clips(archive, target)
    assert (target / "real" / "ISS" / "ISS_001.mp4").read_bytes() == b"old clip"
