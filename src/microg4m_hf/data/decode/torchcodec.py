"""Decoding with torchcodec, in its exact mode: the approximate one is wrong on clips of varying rate."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any

import numpy as np

from ...errors import MissingExtraError
from ...extras import installed, require
from .index import Index
from .source import Source
from .unsuited import Unsuited, must_agree, must_suit


@functools.cache
def load() -> Any:
    """``torchcodec.decoders``; it needs FFmpeg's shared libraries, which pip does not bring."""
    if not installed("torchcodec"):
        require("torchcodec", "backend='torchcodec'")
    try:
        import torchcodec.decoders as decoders

        try:
            decoders.VideoDecoder(b"no video")  # 0.17 loads its library at the first use, older ones at import
        except (RuntimeError, ValueError) as error:
            if "libtorchcodec" in str(error):
                raise
    except (ImportError, RuntimeError, OSError, ValueError) as error:
        first = str(error).strip().partition("\n")[0] or type(error).__name__
        raise MissingExtraError(
            f"torchcodec is installed but cannot be loaded ({first}); it needs FFmpeg's shared libraries "
            "(Debian: apt-get install ffmpeg) and the torch that its release was built for; or use backend='pyav'"
        ) from error
    return decoders


def read(source: Source, index: Index, wanted: list[int]) -> Iterator[tuple[int, np.ndarray]]:
    """Yield (i, stored picture) of the wanted frames."""
    decoders = load()
    must_suit(index, wanted)
    try:
        decoder = decoders.VideoDecoder(
            source.data if source.data is not None else str(source.path),
            seek_mode="exact",
            num_ffmpeg_threads=1,
            dimension_order="NHWC",
        )
        if len(decoder) != len(index.times):
            raise Unsuited("another number of frames")
        batch = decoder.get_frames_at(wanted)
    except (RuntimeError, ValueError, IndexError) as error:
        raise Unsuited("a clip it fails on") from error
    pictures = batch.data.numpy()
    must_agree(index, wanted, batch.pts_seconds.numpy(), pictures)
    yield from zip(wanted, pictures, strict=True)
