"""Films whose frames show their own number as a pattern of black and white cells, to check which frame is shown."""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

_ROWS, _COLUMNS = 3, 4


def draw_number(number: int, height: int = 72, width: int = 96) -> np.ndarray:
    """Return a gray picture with the lowest twelve bits of a number as cells."""
    bits = np.array([number >> bit & 1 for bit in range(_ROWS * _COLUMNS)], dtype=np.uint8).reshape(_ROWS, _COLUMNS)
    return np.kron(bits * 255, np.ones((height // _ROWS, width // _COLUMNS), dtype=np.uint8))


def read_number(picture: np.ndarray) -> int:
    """Return the number that a gray picture shows, from the middle of each cell."""
    height, width = picture.shape
    number = 0
    for bit in range(_ROWS * _COLUMNS):
        row, column = divmod(bit, _COLUMNS)
        y, x = (row + 0.5) * height / _ROWS, (column + 0.5) * width / _COLUMNS
        cell = picture[int(y - 3) : int(y + 3), int(x - 3) : int(x + 3)]
        number |= int(cell.mean() > 128) << bit
    return number


def write_bit_film(
    path: Path,
    times: Iterable[Fraction],
    *,
    rate: Fraction | int = 30,
    codec: str = "libx264",
    pix_fmt: str = "yuv420p",
    interlaced: bool = False,
    tags: dict[str, int] | None = None,
    aspect: Fraction | None = None,
    time_base: Fraction | None = None,
) -> Path:
    """Write a film whose n-th frame, shown at the n-th time in seconds, shows n; an interlaced one 2n and 2n + 1."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=rate)
        context: Any = stream.codec_context
        context.width, context.height, context.pix_fmt, context.thread_count = 96, 72, pix_fmt, 1
        context.time_base = time_base or 1 / Fraction(rate)
        if aspect:
            context.sample_aspect_ratio = aspect
        if codec == "libx264":
            stream.options = {"preset": "ultrafast", "crf": "10", "threads": "1"}
            if interlaced:
                stream.options |= {"x264-params": "tff=1", "flags": "+ildct+ilme"}
        for name, value in (tags or {}).items():
            setattr(context, name, value)
        for number, time in enumerate(times):
            picture = draw_number(2 * number if interlaced else number)
            if interlaced:
                picture[1::2] = draw_number(2 * number + 1)[1::2]
            frame = av.VideoFrame.from_ndarray(picture, format="gray").reformat(format=pix_fmt)
            for name, value in (tags or {}).items():
                setattr(frame, name, value)
            frame.time_base, frame.pts = context.time_base, round(time / context.time_base)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path
