"""The probe reads mp4 headers without decoding, and damaged headers give an error."""

from __future__ import annotations

import struct
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import given, strategies as st

from microg4m_hf.data import ClipInfo, open_clip, probe, read_frames
from microg4m_hf.data.video import pyav
from microg4m_hf.data.video.h264 import parse_avcc_frame_size
from microg4m_hf.data.video.mp4 import read_mp4
from microg4m_hf.data.video.probe import read_frame_size
from microg4m_hf.errors import ClipError
from tests.support.videos import MIRROR, QUARTER, cut_without_decoding, mp4_bytes, rotate, write_mp4, write_video


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_video(tmp_path_factory.mktemp("probe") / "plain.mp4")


def test_header_fields(plain: Path) -> None:
    expected = ClipInfo(64, 48, 30.0, 30, 1.0, 0, "h264")
    assert probe(plain) == probe(plain.read_bytes()) == probe({"path": str(plain), "bytes": None}) == expected


def test_nothing_is_decoded(plain: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pyav, "decode_frames", None)
    monkeypatch.setitem(__import__("sys").modules, "av", None)  # not even a decoder is needed
    assert probe(plain).frames_in_header == 30


@pytest.mark.parametrize(("matrix", "rotation", "size"), [(QUARTER, 90, (48, 64)), (MIRROR, 0, (64, 48))])
def test_rotation(plain: Path, tmp_path: Path, matrix, rotation: int, size: tuple[int, int]) -> None:
    path = rotate(plain, tmp_path / "rotated.mp4", matrix)
    info = probe(path)
    assert (info.rotation, (info.width, info.height)) == (rotation, size)
    with open_clip(path) as clip:
        assert (clip.width, clip.height) == size


def test_header_counts_are_claims(plain: Path, tmp_path: Path) -> None:
    cut = cut_without_decoding(plain, tmp_path / "cut.mp4", 0.3)
    assert probe(cut).frames_in_header == 30
    assert len(open_clip(cut)) == 21


@pytest.mark.parametrize(
    ("suffix", "settings", "codec"),
    [
        ("mp4", {"fps": Fraction(30000, 1001)}, "h264"),
        ("mp4", {"codec": "mpeg4"}, "mpeg4"),
        ("mp4", {"codec": "libx265", "extra": {"x265-params": "log-level=none"}}, "hevc"),
        ("mov", {}, "h264"),
        ("mkv", {}, "h264"),
        ("mp4", {"muxer": {"movflags": "frag_keyframe+empty_moov"}}, "h264"),
    ],
)
def test_other_files(tmp_path: Path, suffix: str, settings: dict, codec: str) -> None:
    path = write_video(tmp_path / f"clip.{suffix}", count=12, **settings)
    info = probe(path)
    rate = float(settings.get("fps", 30))
    assert (info.width, info.height, info.codec, info.frames_in_header) == (64, 48, codec, 12)
    assert info.fps == pytest.approx(rate, rel=1e-3)
    assert info.duration == pytest.approx(12 / rate, rel=0.02)


def test_version_1_boxes_are_read(plain: Path, tmp_path: Path) -> None:
    """The same track header with 64-bit times, as some programs write it."""
    path = rotate(plain, tmp_path / "rotated.mp4", QUARTER)
    data = path.read_bytes()
    at = data.index(b"tkhd") + 4
    old = data[at : at + 84]
    new = b"\x01" + old[1:4] + bytes(4) + old[4:8] + bytes(4) + old[8:12] + old[12:20] + bytes(4) + old[20:]
    grown = bytearray(data[: at - 8] + (len(new) + 8).to_bytes(4, "big") + b"tkhd" + new + data[at + 84 :])
    for box in (b"trak", b"moov"):
        where = grown.index(box) - 4
        size = int.from_bytes(grown[where : where + 4], "big") + 12
        grown[where : where + 4] = size.to_bytes(4, "big")
    wide = tmp_path / "wide.mp4"
    wide.write_bytes(grown)
    assert probe(wide) == probe(path)
    with wide.open("rb") as file:
        assert read_mp4(file, "wide.mp4").matrix == (0, 65536, -65536, 0)


def test_a_truncated_file_is_refused_without_decoding(plain: Path, tmp_path: Path) -> None:
    path = tmp_path / "short.mp4"
    path.write_bytes(plain.read_bytes()[:3000])
    with pytest.raises(ClipError, match=r"short\.mp4"):
        probe(path)


@pytest.mark.parametrize(
    "settings",
    [
        {"size": (50, 62)},
        {"size": (480, 854), "count": 2},
        {"size": (47, 63), "pix_fmt": "yuv444p"},
        {"size": (52, 66), "pix_fmt": "yuv422p"},
        {"size": (46, 66), "pix_fmt": "yuv420p10le"},
        {"pix_fmt": "gray"},
        {"size": (72, 66), "extra": {"flags": "+ildct+ilme"}},
        {"extra": {"profile": "baseline"}, "bframes": 0},
        {"extra": {"x264-params": "cqm=jvt:log-level=none"}},
    ],
    ids=str,
)
def test_the_size_in_the_parameter_set_equals_the_decoders(tmp_path: Path, settings: dict) -> None:
    path = write_video(tmp_path / "clip.mp4", **{"count": 3, **settings})
    with av.open(str(path)) as container, path.open("rb") as file:
        context = container.streams.video[0].codec_context
        assert parse_avcc_frame_size(read_mp4(file, "clip.mp4").avcc) == (context.width, context.height)


@given(st.binary(max_size=60))
def test_random_parameter_sets_raise_nothing(junk: bytes) -> None:
    assert parse_avcc_frame_size(junk) is None
    header = b"\x01\x64\x00\x1f\xff\xe1" + (len(junk) + 1).to_bytes(2, "big") + b"\x67" + junk
    size = parse_avcc_frame_size(header)
    assert size is None or len(size) == 2


def test_the_stream_decides_where_header_and_stream_differ_in_size(plain: Path) -> None:
    data = bytearray(plain.read_bytes())
    struct.pack_into(">HH", data, data.index(b"stsd") + 44, 100, 30)
    with open_clip(bytes(data)) as clip:
        assert (clip.width, clip.height) == (64, 48)
        np.testing.assert_array_equal(clip.frames([7]), read_frames(plain, [7]))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda data: struct.pack_into(">HH", data, data.index(b"stsd") + 44, 65535, 65535), "65535×65535"),
        (lambda data: struct.pack_into(">i", data, data.index(b"tkhd") + 48, 9999), "not a rotation by 90 degrees"),
    ],
)
def test_probe_and_frame_size_refuse_the_same_headers(plain: Path, tmp_path: Path, change, message: str) -> None:
    data = bytearray(plain.read_bytes())
    change(data)
    (tmp_path / "bad.mp4").write_bytes(data)
    for read in (probe, read_frame_size):
        with pytest.raises(ClipError, match=message):
            read(tmp_path / "bad.mp4")


@pytest.mark.parametrize("size", [(854, 480), (64, 48), (480, 854)])
def test_frame_size_equals_the_decoders(tmp_path: Path, size: tuple[int, int]) -> None:
    path = tmp_path / "clip.mp4"
    write_mp4(path, *size)
    with av.open(path) as container:
        stream = container.streams.video[0]
        assert read_frame_size(path) == (stream.width, stream.height) == size


def test_a_quarter_turn_swaps_width_and_height(tmp_path: Path) -> None:
    data = bytearray(mp4_bytes(64, 48))
    matrix = data.index(b"tkhd") + 4 + 40
    one, minus = (1 << 16).to_bytes(4, "big"), (-(1 << 16) & 0xFFFFFFFF).to_bytes(4, "big")
    data[matrix : matrix + 20] = bytes(4) + one + bytes(4) + minus + bytes(4)
    (tmp_path / "rotated.mp4").write_bytes(data)
    assert read_frame_size(tmp_path / "rotated.mp4") == (48, 64)


def test_a_header_cut_anywhere_is_an_error(tmp_path: Path) -> None:
    data, path = mp4_bytes(64, 48), tmp_path / "cut.mp4"
    for length in [*range(0, len(data) - 1, 37), len(data) - 1]:
        path.write_bytes(data[:length])
        with pytest.raises(ClipError, match=r"cut\.mp4: "):
            read_frame_size(path)


def test_random_header_bytes_raise_nothing_but_clip_errors(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    data, path = mp4_bytes(64, 48), tmp_path / "bent.mp4"
    for _ in range(300):
        bent = bytearray(data)
        for place in rng.integers(0, len(data), 8).tolist():
            bent[place] = int(rng.integers(0, 256))
        path.write_bytes(bent)
        try:
            width, height = read_frame_size(path)
        except ClipError:
            continue
        assert 0 < width < 1 << 16 and 0 < height < 1 << 16


@pytest.mark.parametrize(
    "junk",
    [
        b"",
        b"\0" * 4096,
        b"RIFF....AVI " + b"\0" * 100,
        b"\0\0\0\x01ftyp" + (1 << 62).to_bytes(8, "big"),
        (b"\0\0\0\x08free") * 5000,  # boxes without end
        b"\0\0\0\x10ftypisom\0\0\0\0" + b"\x7f\xff\xff\xffmoov",
    ],
)
def test_junk_is_an_error(tmp_path: Path, junk: bytes) -> None:
    (tmp_path / "junk.mp4").write_bytes(junk)
    with pytest.raises(ClipError, match=r"junk\.mp4: "):
        read_frame_size(tmp_path / "junk.mp4")
