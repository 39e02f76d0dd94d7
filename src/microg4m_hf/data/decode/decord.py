"""Decoding with decord. Slower than the PyAV path; there for comparison and for those who have standardised on it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from ...extras import require
from .index import Index
from .source import Source
from .unsuited import Unsuited, must_agree, must_suit


def load() -> Any:
    """The package, without the noise it makes about every damaged file."""
    decord = require("decord", "backend='decord'")
    decord.logging.set_level(decord.logging.QUIET)
    return decord


def read(source: Source, index: Index, wanted: list[int]) -> Iterator[tuple[int, np.ndarray]]:
    """Yield (i, stored picture) of the wanted frames, ascending and distinct (in another order decord is wrong)."""
    decord = load()
    must_suit(index, wanted)
    try:
        with source.open() as file:
            reader = decord.VideoReader(file, num_threads=1)
            if len(reader) != len(index.times):
                raise Unsuited("another number of frames")
            times = reader.get_frame_timestamp(wanted)[:, 0]
            batch = reader.get_batch(wanted).asnumpy()
    except (decord.DECORDError, RuntimeError, IndexError) as error:
        raise Unsuited("a clip it fails on") from error
    must_agree(index, wanted, times, batch)
    yield from zip(wanted, batch, strict=True)
