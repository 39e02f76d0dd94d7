"""Files that are not clips, damaged clips and malicious files: a quick error that names the file."""

from __future__ import annotations

import base64
import json
import os
import re
import resource
import struct
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from microg4m_hf.data import every, open_clip, probe, read_frames
from microg4m_hf.errors import ClipError
from tests.support.videos import audio_only, flip_bits, media, pictures, rotate, write_video

HTML = b"<!DOCTYPE html><html><title>404 Not Found</title></html>"
LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 12\n"


def _file(content: bytes, name: str = "bad.mp4") -> Callable[[Path, Path], Path]:
    def make(folder: Path, good: Path) -> Path:
        (folder / name).write_bytes(content)
        return folder / name

    return make


def _changed(change: Callable[[bytearray], Any], **settings: Any) -> Callable[[Path, Path], Path]:
    """The good clip with its bytes changed; ``change`` works in place or gives the new bytes."""

    def make(folder: Path, good: Path) -> Path:
        source = write_video(folder / "source.mp4", **settings) if settings else good
        data = bytearray(source.read_bytes())
        result = change(data)
        (folder / "bad.mp4").write_bytes(result if isinstance(result, bytes | bytearray) else data)
        return folder / "bad.mp4"

    return make


def _put(box: bytes, offset: int, fmt: str, *values: int) -> Callable[[bytearray], None]:
    """Write numbers at an offset behind the name of the first box of that kind."""

    def change(data: bytearray) -> None:
        struct.pack_into(fmt, data, data.index(box) + 4 + offset, *values)

    return change


def _fifo(folder: Path, good: Path) -> Path:
    os.mkfifo(folder / "pipe.mp4")
    return folder / "pipe.mp4"


def _loop(folder: Path, good: Path) -> Path:
    (folder / "loop.mp4").symlink_to(folder / "loop.mp4")
    return folder / "loop.mp4"


def _folder(folder: Path, good: Path) -> Path:
    return folder


def _playlist(text: str) -> Callable[[Path, Path], Path]:
    """A playlist that FFmpeg would follow to a real clip beside it."""

    def make(folder: Path, good: Path) -> Path:
        (folder / "secret.mp4").write_bytes(good.read_bytes())
        (folder / "bad.mp4").write_text(text.format(target=folder / "secret.mp4"))
        return folder / "bad.mp4"

    return make


def _nested(data: bytearray) -> bytes:
    depth = 5000
    boxes = b"".join(struct.pack(">I4s", 8 * (depth - i), b"trak") for i in range(depth))
    return data[: data.index(b"moov") - 4] + struct.pack(">I4s", len(boxes) + 8, b"moov") + boxes


def _zeroed(data: bytearray) -> None:
    start, length = media(data)
    data[start : start + length] = bytes(length)


def _early_mdat_end(data: bytearray) -> None:
    """The sample table points past the end of the file, no box is cut."""
    struct.pack_into(">I", data, data.index(b"stco") + 12, len(data) - 50)


def _text(value: Any) -> Callable[[Path, Path], Any]:
    return lambda folder, good: value


# name -> (function that makes the input, pattern of the message)
HOSTILE: dict[str, tuple[Callable[[Path, Path], Any], str]] = {
    "missing": (lambda folder, good: folder / "gone.mp4", r"gone\.mp4: No such file"),
    "a folder": (_folder, "is a folder"),
    "a pipe that never answers": (_fifo, "not a regular file"),
    "an endless device": (_text("/dev/zero"), "/dev/zero: is not a regular file"),
    "a link to itself": (_loop, "loop.mp4: Too many levels"),
    "a path with a zero byte": (_text("clip\0.mp4"), "is not a file path"),
    "an empty path": (_text(""), "is not a file path"),
    "a web address": (_text("http://127.0.0.1:9/clip.mp4"), "download the file first"),
    "ffmpeg's concat protocol": (lambda folder, good: f"concat:{good}|{good}", "No such file"),
    "ffmpeg's subfile protocol": (lambda folder, good: f"subfile,,start,0,end,0,,:{good}", "No such file"),
    "ffmpeg's file protocol": (lambda folder, good: f"file:{good}", "No such file"),
    "ffmpeg's test source": (_text("testsrc=size=64x48"), "No such file"),
    "an empty file": (_file(b""), r"bad\.mp4: is empty"),
    "junk": (_file(bytes(range(256)) * 40), "not a video file"),
    "an error page": (_file(HTML), "not a video file"),
    "a pointer of git lfs": (_file(LFS), "not a video file"),
    "a playlist": (_playlist("#EXTM3U\n#EXTINF:3,\n{target}\n#EXT-X-ENDLIST\n"), "not a video file"),
    "a concat list": (_playlist("ffconcat version 1.0\nfile '{target}'\n"), "not a video file"),
    "a picture": (_file(b"\x89PNG\r\n\x1a\n" + bytes(100)), "not a video file"),
    "only a start": (_file(b"\0\0\0\x18ftypisom\0\0\2\0isomiso2"), "no index"),
    "boxes of size 3": (_file(b"\0\0\0\x10ftypisom\0\0\2\0" + b"\0\0\0\x03free"), "boxes are damaged"),
    "a box larger than the world": (_file(b"\0\0\0\x01mdat" + b"\xff" * 8 + bytes(9)), "cut short"),
    "a million boxes": (_file(b"\0\0\0\x08free" * 1_000_000), "more than 20,000 boxes"),
    "tracks inside tracks": (_changed(_nested), "no video track"),
    "matroska in name only": (_file(b"\x1a\x45\xdf\xa3" + bytes(200)), "header is damaged"),
    "an empty matroska": (_file(bytes.fromhex("1a45dfa380 18538067ff") + bytes(60)), "cannot be read|no video"),
    "sound only": (lambda folder, good: audio_only(folder / "sound.mp4"), r"sound\.mp4: holds no video"),
    "no frames": (_changed(_put(b"stsz", 4, ">II", 0, 0)), "holds no frames"),
    "cut short, index first": (_changed(lambda data: data[: len(data) * 6 // 10], faststart=True), "cut short"),
    "cut short, index last": (_changed(lambda data: data[: len(data) * 6 // 10]), "cut short|no index"),
    "its last byte is missing": (_changed(lambda data: data[:-1], faststart=True), "cut short"),
    "frames behind the end of the file": (_changed(_early_mdat_end), "cut short|damaged"),
    "picture data all zero": (_changed(_zeroed), "damaged"),
    "four billion frames": (_changed(_put(b"stsz", 4, ">II", 1, 0xFFFFFFFF)), "4,294,967,295 frames"),
    "pictures of 65535×65535": (_changed(_put(b"stsd", 40, ">HH", 65535, 65535)), "65535×65535"),
    "a codec nobody has": (_changed(_put(b"stsd", 12, ">I", 0x78797A77)), "'xyzw'"),
    "a sheared picture": (
        lambda folder, good: rotate(good, folder / "bad.mp4", (0.7, 0.7, -0.7, 0.7)),
        "not a rotation by 90 degrees",
    ),
    "None": (_text(None), "cannot be opened from NoneType"),
    "a number": (_text(7), "cannot be opened from int"),
    "no bytes at all": (_text(b""), "<bytes>: is empty"),
    "a row without a video": (_text({"path": None, "bytes": None}), "both missing or None"),
    "a row of something else": (_text({"video_id": "x"}), "both missing or None"),
    "a row with text as bytes": (_text({"path": "a.mp4", "bytes": "text"}), "a.mp4: 'bytes' holds str"),
}


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_video(tmp_path_factory.mktemp("good") / "good.mp4")


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_input_is_refused_quickly_with_its_name(name: str, good: Path, tmp_path: Path) -> None:
    make, says = HOSTILE[name]
    source = make(tmp_path, good)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    started = time.monotonic()
    with pytest.raises(ClipError, match=re.compile(says)) as caught:
        read_frames(source, every)
    assert time.monotonic() - started < 5
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - memory < 200_000  # kB
    if isinstance(source, Path):
        assert source.name in str(caught.value)


@pytest.mark.parametrize("name", HOSTILE)
def test_the_probe_raises_nothing_but_clip_errors(name: str, good: Path, tmp_path: Path) -> None:
    """The probe sees no damage inside frames; everything that it cannot read is a ``ClipError``."""
    try:
        info = probe(HOSTILE[name][0](tmp_path, good))
    except ClipError:
        return
    assert name in {"frames behind the end of the file", "picture data all zero", "a codec nobody has"}
    assert (info.width, info.height) == (64, 48)


@pytest.mark.parametrize(("name", "faststart"), [("whole.mp4", True), ("whole.mp4", False), ("whole.mkv", False)])
def test_a_file_cut_anywhere_is_refused(tmp_path: Path, name: str, faststart: bool) -> None:
    data = write_video(tmp_path / name, pictures(6), faststart=faststart).read_bytes()
    for length in range(1, len(data), 41):
        with pytest.raises(ClipError):
            read_frames(data[:length], every)


def test_random_header_bytes_raise_nothing_but_clip_errors(good: Path) -> None:
    """The result is a ``ClipError`` or frames of a valid shape; nothing else is raised, nothing hangs."""
    data = good.read_bytes()
    start, length = media(data)
    header = [*range(start - 8), *range(start + length, len(data))]
    rng = np.random.default_rng(0)
    read = 0
    for _ in range(300):
        broken = bytearray(data)
        for at in rng.choice(header, 3):
            broken[at] = rng.integers(256)
        try:
            with open_clip(bytes(broken)) as clip:
                assert clip.frames([0, len(clip) - 1]).shape == (2, clip.height, clip.width, 3)
                read += 1
        except ClipError:
            pass
    assert 0 < read < 300


def test_a_damaged_clip_is_named(good: Path, tmp_path: Path) -> None:
    source = write_video(tmp_path / "big.mp4", pictures(10, 144, 176))
    refused = 0
    for seed in range(10):
        broken = flip_bits(source, tmp_path / f"Apollo13_{seed:03d}.mp4", seed=seed, bits=20)
        try:
            read_frames(broken, every)
        except ClipError as error:
            assert broken.name in str(error)
            refused += 1
    assert refused >= 9  # no video format has a checksum over every bit


def _reference(*entry: object) -> str:
    table = base64.b64encode(json.dumps({"refs": {"a.mp4": entry}}).encode()).decode()
    return f"reference://a.mp4::data:application/vnd.kerchunk.json;base64,{table}"


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("reference://a.mp4", "not a reference"),
        ("reference://a.mp4::data:application/vnd.kerchunk.json;base64,%%%", "not a reference"),
        (_reference("file:///etc/passwd", 0, 99), "not a reference"),
        (_reference("https://elsewhere.org/a.mp4", 0, 99), "not a reference"),
        (_reference("hf://datasets/me/d@v1/c.parquet", -9, 99), "not a reference"),
        (_reference("hf://datasets/me/d@v1/c.parquet", 0, True), "not a reference"),
        (_reference("hf://datasets/me/d@v1/c.parquet"), "not a reference"),
        (_reference("hf://datasets/me/d@v1/c.parquet", 0, 1 << 40), "asks for 1,099,511,627,776 bytes"),
    ],
)
def test_a_reference_only_opens_clips_on_the_hub(address: str, message: str) -> None:
    with pytest.raises(ClipError, match=message):
        open_clip({"bytes": None, "path": address})
