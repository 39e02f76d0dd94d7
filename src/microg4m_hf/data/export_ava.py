"""Key frames back out as AVA-style CSV files, the form that PySlowFast and the AVA evaluators read."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ..errors import DataError
from ..storage import write_atomic
from ..taxonomy import ACTION_IDS
from .release.key_frames import SPLITS
from .release.layout import Layout
from .release.release import Release, read_release
from .splits import split_of
from .tables import har_table

FILES = dict(zip(SPLITS, ("ava_train.csv", "ava_val_gt.csv", "ava_test_gt.csv"), strict=True))


def export_ava(
    release: Release | Layout | str | os.PathLike[str], out_dir: str | os.PathLike[str], scheme: str = "official"
) -> dict[str, int]:
    """Write ``ava_train.csv``, ``ava_val_gt.csv`` and ``ava_test_gt.csv``; the number of rows in each.

    The rows come from the ``har`` rows of the data set. With the official scheme they are those of the released
    files, value by value as text, each once and sorted by clip, person and action. A file that is already there
    and says something else is not overwritten.
    """
    if not isinstance(release, Release):
        release = read_release(release)
    split_of_clip = split_of(release, scheme)
    table = har_table(release)
    splits = pa.array([split_of_clip[video_id] for video_id in table["video_id"].to_pylist()], pa.string())
    texts = {}
    for split, name in FILES.items():
        lines = ava_lines(table.filter(pc.equal(splits, split)))
        texts[name] = "".join(f"{line}\n" for line in lines)
    folder = Path(out_dir).expanduser()
    for name, text in texts.items():
        if (folder / name).exists() and (folder / name).read_bytes() != text.encode():
            raise DataError(
                "the file is already there and says something else; nothing is overwritten",
                file=folder / name,
                hint="give a new folder",
            )
    for name, text in texts.items():
        write_atomic(folder / name, text)
    return {name: text.count("\n") for name, text in texts.items()}


def ava_lines(table: pa.Table) -> list[str]:
    """The rows ``video_id,frame,x1,y1,x2,y2,action_id,person_id`` of a table of ``har`` rows.

    >>> person = {"person_id": 1, "actions": [9], "key_frame": 52, "key_box": [0.25, 0.1, 0.7, 0.99]}
    >>> ava_lines(pa.Table.from_pylist([{"video_id": "ISS_004", "persons": [person]}]))
    ['ISS_004,52,0.25,0.1,0.7,0.99,12,1']
    """
    persons = table["persons"].combine_chunks()
    clip = pc.list_parent_indices(persons)
    persons = persons.flatten()
    # Persons without a key frame cannot be scored and are in no such file.
    scored = pc.is_valid(persons.field("key_frame"))
    ids = table["video_id"].take(clip.filter(scored)).to_pylist()
    frames, numbers = (persons.field(name).filter(scored).to_pylist() for name in ("key_frame", "person_id"))
    boxes = persons.field("key_box").filter(scored).flatten().to_numpy().astype(np.float64).reshape(-1, 4)
    actions = persons.field("actions").filter(scored).to_pylist()
    lines = []
    for video_id, frame, box, person, labels in zip(ids, frames, boxes.tolist(), numbers, actions, strict=True):
        # Three decimals, shortest form: 0.99 and 1.0, as released. A float32 keeps seven digits.
        corners = ",".join(repr(round(value, 3)) for value in box)
        lines += [f"{video_id},{frame},{corners},{ACTION_IDS[label]},{person}" for label in labels]
    return lines
