"""Sources and piece numbers of a whole column of clip names."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ..clip_ids import CLIP_ID


def split_clip_ids(video_ids: pa.Array) -> tuple[pa.Array, pa.Array, np.ndarray]:
    """Sources, piece numbers and a mask of the names that are none, for a whole column.

    >>> sources, pieces, wrong = split_clip_ids(pa.array(["ISS_004", "../etc_1"]))
    >>> sources.to_pylist(), pieces.to_pylist(), wrong.tolist()
    (['ISS', None], [4, None], [False, True])
    """
    wrong = np.asarray(pc.invert(pc.match_substring_regex(video_ids, CLIP_ID)))
    missing = pa.scalar(None, pa.string())
    # The last underscore divides; five times as fast as the groups of the regular expression.
    halves = pc.split_pattern(pc.if_else(pa.array(wrong), missing, video_ids), "_", max_splits=1, reverse=True)
    return pc.list_element(halves, 0), pc.cast(pc.list_element(halves, 1), pa.int32()), wrong
