"""Key frames of a release that has none: by the rule that made the released ones."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from .box_checks import BOX
from .keyframes import KEY_FRAME_SCHEMA


def derive_key_frames(boxes: pa.Table, labels: pa.Table) -> pa.Table:
    """Key frames by the authors' rule: the annotated frame closest to the median of a person's annotated frames.

    The median of an even number of frames lies between two of them and both may be equally close: the earlier
    frame is taken, as the first minimum. Only persons with a label have a key frame. ``boxes`` are sorted by
    clip, person and frame, as ``read_boxes`` gives them.
    """
    place = boxes["video_id"].combine_chunks().indices.to_numpy().astype(np.int64)
    ids = boxes["video_id"].combine_chunks().dictionary
    person = place << 20 | boxes["person_id"].to_numpy()
    labelled = pc.index_in(labels["video_id"], value_set=ids).to_numpy().astype(np.int64) << 20
    labelled |= labels["person_id"].to_numpy()
    starts = np.flatnonzero(np.diff(person, prepend=-1))
    stops = np.append(starts[1:], len(person))
    # Frames ascend and differ, so the frame closest to the median is the middle one or the lower of the two
    # middle ones: of an odd number the median itself, of an even number the earlier neighbour.
    middle = (starts + stops - 1) // 2
    middle = middle[np.isin(person[middle], labelled)] if len(middle) else middle
    chosen = boxes.take(pa.array(middle))
    return pa.table(
        [
            chosen["video_id"].cast(pa.string()),
            chosen["frame"].cast(pa.int32()),
            chosen["person_id"],
            *(chosen[name].cast(pa.float64()) for name in BOX),
            pa.nulls(len(middle), pa.string()),
        ],
        schema=KEY_FRAME_SCHEMA,
    )
