"""Write key frames as AVA-style CSV files, the format that PySlowFast and the AVA evaluators read."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ..errors import DataError
from ..storage import write_atomic
from ..taxonomy import ACTION_IDS
from .release.key_frames import FIELD_OF_SPLIT
from .release.layout import FILE_NAMES, Layout
from .release.release import Release, read_release
from .splits import split_of
from .tables import har_table

FILES = {split: FILE_NAMES[field] for split, field in FIELD_OF_SPLIT.items()}


def export_ava(
    release: Release | Layout | str | os.PathLike[str], out_dir: str | os.PathLike[str], scheme: str = "official"
) -> dict[str, int]:
    """Write ``ava_train.csv``, ``ava_val_gt.csv`` and ``ava_test_gt.csv``.

    With the official scheme, the rows are those of the released files, value by value as text and as often as they are
    listed there, sorted by clip, person and action. A file that exists with other content is not overwritten.

    Args:
        release: A release, its layout, or the folder with its files.
        out_dir: The folder to write to.
        scheme: ``"official"`` or ``"source_disjoint"``.

    Returns:
        The number of rows by file name.

    Raises:
        DataError: If a file exists with other content, or if the scheme does not fit the release.
    """
    if not isinstance(release, Release):
        release = read_release(release)
    split_of_clip = split_of(release, scheme)
    table = har_table(release)
    splits = pa.array([split_of_clip[video_id] for video_id in table["video_id"].to_pylist()], pa.string())
    lines = {name: ava_lines(table.filter(pc.equal(splits, split))) for split, name in FILES.items()}
    texts = {name: "".join(f"{line}\n" for line in rows) for name, rows in lines.items()}
    folder = Path(out_dir).expanduser()
    for name, text in texts.items():
        if (folder / name).exists() and (folder / name).read_bytes() != text.encode():
            problem = "the file exists with other content; nothing is overwritten"
            raise DataError(problem, file=folder / name, hint="give a new folder")
    for name, text in texts.items():
        write_atomic(folder / name, text)
    return {name: len(rows) for name, rows in lines.items()}


def ava_lines(table: pa.Table) -> list[str]:
    """Return the rows ``video_id,frame,x1,y1,x2,y2,action_id,person_id`` of a table of ``har`` rows.

    Example:
        >>> person = {"person_id": 1, "actions": [9], "repeated_actions": [], "key_frame": 52}
        >>> person["key_box"] = [0.25, 0.1, 0.7, 0.99]
        >>> ava_lines(pa.Table.from_pylist([{"video_id": "ISS_004", "persons": [person]}]))
        ['ISS_004,52,0.25,0.1,0.7,0.99,12,1']
    """
    persons = table["persons"].combine_chunks()
    clip = pc.list_parent_indices(persons)
    persons = persons.flatten()
    # Persons without a key frame cannot be scored and are in none of these files.
    scored = pc.is_valid(persons.field("key_frame"))
    ids = table["video_id"].take(clip.filter(scored)).to_pylist()
    frames, numbers = (persons.field(name).filter(scored).to_pylist() for name in ("key_frame", "person_id"))
    boxes = persons.field("key_box").filter(scored).flatten().to_numpy().astype(np.float64).reshape(-1, 4)
    actions, repeats = (persons.field(name).filter(scored).to_pylist() for name in ("actions", "repeated_actions"))
    lines = []
    every = [sorted([*once, *again]) for once, again in zip(actions, repeats, strict=True)]
    for video_id, frame, box, person, labels in zip(ids, frames, boxes.tolist(), numbers, every, strict=True):
        # Three decimals in the shortest form, 0.99 and 1.0, as released; a float32 has seven digits.
        corners = ",".join(repr(round(value, 3)) for value in box)
        lines += [f"{video_id},{frame},{corners},{ACTION_IDS[label]},{person}" for label in labels]
    return lines
