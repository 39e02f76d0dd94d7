"""Make small test videos of every unusual kind with PyAV, in milliseconds."""

from __future__ import annotations

import functools
import io
import struct
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

# One thread keeps the bytes the same on every machine.
_X264 = {"preset": "veryfast", "threads": "1", "x264-params": "log-level=none"}


def pictures(count: int, height: int = 48, width: int = 64, seed: int = 0) -> np.ndarray:
    """Return textured frames that pan, with a moving square: (count, height, width, 3), no two alike."""
    rng = np.random.default_rng(seed)
    big = rng.random((height // 4 + 20, width // 4 + 20, 3))
    big = np.kron(big, np.ones((6, 6, 1)))
    smooth = (big + np.roll(big, 3, 0) + np.roll(big, 3, 1) + np.roll(big, (2, 2), (0, 1))) / 4
    out = np.empty((count, height, width, 3), np.uint8)
    for i in range(count):
        dy, dx = i // 2 % 30, i % 30
        out[i] = (smooth[dy : dy + height, dx : dx + width] * 200 + 20).astype(np.uint8)
        side = max(2, height // 4)
        y, x = (3 * i) % max(1, height - side), (5 * i) % max(1, width - side)
        out[i, y : y + side, x : x + side] = (250, 40 + i % 200, 20)
    return out


def write_video(
    path: Path | str,
    frames: np.ndarray | None = None,
    *,
    count: int = 30,
    size: tuple[int, int] = (48, 64),
    fps: Fraction | int = 30,
    gop: int = 250,
    bframes: int = 3,
    crf: int = 23,
    pts: Sequence[int] | None = None,
    tags: dict[str, int] | None = None,
    pix_fmt: str = "yuv420p",
    codec: str = "libx264",
    faststart: bool = False,
    extra: dict[str, str] | None = None,
    muxer: dict[str, str] | None = None,
) -> Path:
    """Encode frames; ``pts`` in units of one frame makes a variable rate, ``tags`` sets color fields."""
    if frames is None:
        frames = pictures(count, *size)
    options = dict(muxer or {})
    if faststart:
        options["movflags"] = "+faststart"
    with av.open(str(path), "w", options=options) as container:
        stream = container.add_stream(codec, rate=fps)
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = pix_fmt
        stream.codec_context.thread_count = 1
        if codec == "libx264":
            stream.options = {**_X264, "crf": str(crf), "g": str(gop), "bf": str(bframes), **(extra or {})}
        else:
            stream.options = dict(extra or {})
        stream.codec_context.time_base = 1 / Fraction(fps)
        for name, value in (tags or {}).items():
            setattr(stream.codec_context, name, value)
        for i, picture in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24").reformat(format=pix_fmt)
            for name, value in (tags or {}).items():
                setattr(frame, name, value)
            frame.time_base = 1 / Fraction(fps)
            frame.pts = int(pts[i]) if pts is not None else i
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return Path(path)


@functools.lru_cache(maxsize=16)
def mp4_bytes(width: int, height: int, frames: int = 3) -> bytes:
    """Return an H.264 clip of a few frames; each size is encoded once."""
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=30)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for number in range(frames):
            image = np.full((height, width, 3), 20 * number % 256, dtype=np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode())
    return file.getvalue()


def write_mp4(path: Path, width: int, height: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(mp4_bytes(width, height))


def cut_without_decoding(source: Path | str, target: Path | str, seconds: float) -> Path:
    """Cut as ``ffmpeg -ss SECONDS -c copy`` does: from key frame on, with an edit list that hides frames."""
    with av.open(str(source)) as given, av.open(str(target), "w", options={"avoid_negative_ts": "disabled"}) as out:
        stream = given.streams.video[0]
        copy = out.add_stream_from_template(stream)
        shift = round(seconds / stream.time_base)
        for packet in given.demux(stream):
            if packet.dts is None:
                continue
            packet.pts -= shift
            packet.dts -= shift
            packet.stream = copy
            out.mux(packet)
    return Path(target)


def rotate(source: Path | str, target: Path | str, matrix: Sequence[float]) -> Path:
    """Write a copy whose track header has the 2×2 part ``(a, b, c, d)`` of a display matrix."""
    data = bytearray(Path(source).read_bytes())
    start = data.index(b"tkhd") + 4
    version = data[start]
    at = start + (52 if version else 40)
    a, b, c, d = (round(value * 65536) for value in matrix)
    data[at : at + 36] = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30)
    Path(target).write_bytes(data)
    return Path(target)


def add_cover(source: Path | str, target: Path | str) -> Path:
    """Write a copy with a cover picture that the index lists before the video."""
    with av.open(str(source)) as given, av.open(str(target), "w") as out:
        picture = out.add_stream("mjpeg", rate=1)
        picture.width, picture.height, picture.pix_fmt = 32, 32, "yuvj420p"
        picture.disposition = 1 << 10
        stream = given.streams.video[0]
        copy = out.add_stream_from_template(stream)
        frame = av.VideoFrame.from_ndarray(pictures(1, 32, 32)[0], format="rgb24").reformat(format="yuvj420p")
        out.mux(picture.encode(frame) + picture.encode(None))
        for packet in given.demux(stream):
            if packet.dts is not None:
                packet.stream = copy
                out.mux(packet)
    data = Path(target).read_bytes()
    start = data.index(b"moov") + 4
    end = start - 8 + int.from_bytes(data[start - 8 : start - 4], "big")
    cover = data.rindex(b"udta") - 4
    Path(target).write_bytes(data[:start] + data[cover:end] + data[start:cover] + data[end:])
    return Path(target)


# Clockwise rotations as phones write them, and a mirror.
QUARTER, HALF, THREE_QUARTERS, MIRROR = (0, 1, -1, 0), (-1, 0, 0, -1), (0, -1, 1, 0), (-1, 0, 0, 1)


def flip_bits(source: Path | str, target: Path | str, *, seed: int = 0, bits: int = 8) -> Path:
    """Write a copy with a few flipped bits in the picture data; the index stays valid."""
    data = bytearray(Path(source).read_bytes())
    first, length = media(data)
    rng = np.random.default_rng(seed)
    for at in rng.integers(first + length // 8, first + length, bits):
        data[at] ^= 1 << int(rng.integers(8))
    Path(target).write_bytes(data)
    return Path(target)


def media(data: bytes | bytearray) -> tuple[int, int]:
    """Return start and length of the picture data (``mdat``) in an mp4 file."""
    at = 0
    while at + 8 <= len(data):
        size, kind = struct.unpack(">I4s", data[at : at + 8])
        if kind == b"mdat":
            return at + 8, size - 8
        at += size
    raise ValueError("no mdat in this file")


def audio_only(path: Path | str) -> Path:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=16000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        frame.sample_rate = 16000
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return Path(path)


# name -> settings of write_video; some decoder fails on each kind
KINDS: dict[str, dict[str, Any]] = {
    "long_gop": {},
    "short_gop": {"gop": 12, "bframes": 0},
    "short_gop_b": {"gop": 8},
    "ntsc": {"fps": Fraction(30000, 1001)},
    "vfr": {"pts": np.cumsum([0, *[1, 2, 1, 5, 1, 1, 3] * 4, 1]).tolist()},
    "open_gop": {"gop": 10, "extra": {"x264-params": "open-gop=1:log-level=none"}},
    "intra_refresh": {"extra": {"x264-params": "intra-refresh=1:log-level=none"}},
    "strict_pyramid": {"extra": {"b-pyramid": "strict"}},
    "interlaced": {"extra": {"flags": "+ildct+ilme"}},
    "bt709": {"tags": {"colorspace": 1, "color_range": 1, "color_primaries": 1, "color_trc": 1}},
    "bt601": {"tags": {"colorspace": 6, "color_range": 1}},
    "full_range": {"tags": {"colorspace": 1, "color_range": 2}},
    "gbr_tag": {"tags": {"colorspace": 0, "color_range": 2}},
    "yuvj": {"pix_fmt": "yuvj420p"},
    "yuv444": {"size": (47, 63), "pix_fmt": "yuv444p"},
    "ten_bit": {"pix_fmt": "yuv420p10le"},
    "odd_mpeg4": {"size": (47, 63), "codec": "mpeg4"},
    "not_of_16": {"size": (50, 62)},
    "tiny": {"size": (16, 16)},
    "one_frame": {"count": 1},
    "two_frames": {"count": 2},
    "faststart": {"faststart": True},
    "fragmented": {"muxer": {"movflags": "frag_keyframe+empty_moov"}, "gop": 10},
    "hevc": {"codec": "libx265", "extra": {"x265-params": "log-level=none"}},
    "vp9": {"codec": "libvpx-vp9", "extra": {"deadline": "realtime", "cpu-used": "8"}},
}


def write_every_kind(folder: Path) -> dict[str, Path]:
    """Write one small clip of each kind, including cut and rotated ones."""
    clips = {name: write_video(folder / f"{name}.mp4", **settings) for name, settings in KINDS.items()}
    clips["mkv"] = write_video(folder / "mkv.mkv")
    clips["webm"] = write_video(folder / "webm.webm", **KINDS["vp9"])
    clips["cover"] = add_cover(clips["long_gop"], folder / "cover.mp4")
    clips["cut"] = cut_without_decoding(clips["long_gop"], folder / "cut.mp4", 0.3)
    clips["cut_short_gop"] = cut_without_decoding(clips["short_gop"], folder / "cut_short_gop.mp4", 0.5)
    clips["cut_open_gop"] = cut_without_decoding(clips["open_gop"], folder / "cut_open_gop.mp4", 0.5)
    for name, matrix in (("quarter", QUARTER), ("half", HALF), ("three_quarters", THREE_QUARTERS), ("mirror", MIRROR)):
        clips[name] = rotate(clips["long_gop"], folder / f"{name}.mp4", matrix)
    return clips
