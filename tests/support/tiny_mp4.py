"""Real H.264 clips of a few frames and any size, encoded once per size."""

from __future__ import annotations

import functools
import io
from pathlib import Path

import numpy as np


@functools.lru_cache(maxsize=16)
def mp4_bytes(width: int, height: int, frames: int = 3) -> bytes:
    import av

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
