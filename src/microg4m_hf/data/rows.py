"""The rows of a config as Arrow tables, one per split, ready to be written as they are."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ..errors import ClipError, DataError
from .clip_listing import listed_clips
from .features import features_of
from .har_rows import har_table
from .layout import find_layout
from .release import Release, read_release
from .request import DIVIDED, Request
from .schemes import split_of
from .texts import caption_table, vqa_table

if TYPE_CHECKING:
    from .whereabouts import Whereabouts

_TABLE_OF = {"har": har_table, "caption": caption_table, "vqa": vqa_table}


def rows_of(request: Request, whereabouts: Whereabouts) -> dict[str, pa.Table]:
    """Read the release and give each split its rows, with a reference to the clip where clips are wanted."""
    from .whereabouts import with_clips

    root = with_clips(request, whereabouts)
    release = read_release(root, need=needs_of(request), on_error=request.on_error)
    table = _TABLE_OF[request.config](release, domain=request.domain)
    left_out = [str(problem) for problem in release.problems]
    if request.videos:
        table = _with_videos(table, root, request, left_out)
    if request.division:
        by_split = _divided(table, split_of(release, request.division), request)
    else:
        by_split = {"test": table}
    if left_out:
        _say_left_out(left_out)
    return {split: _as_stored(rows, request) for split, rows in by_split.items()}


def needs_of(request: Request) -> set[str]:
    """Which files of a release a request reads: captions do not pull 390,000 boxes."""
    return {"har": {"actions", "boxes"}}.get(request.config, {"texts"}) | ({"splits"} if request.division else set())


def _with_videos(table: pa.Table, root: object, request: Request, left_out: list[str]) -> pa.Table:
    videos = find_layout(root).require("videos")  # type: ignore[arg-type]
    found = {clip.video_id: clip for clip in listed_clips(videos)}
    paths: list[str | None] = []
    for video_id in table["video_id"].to_pylist():
        clip = found.get(video_id)
        paths.append(clip.path if clip is not None and clip.size else None)
    column = pa.array(paths, pa.string())
    if column.null_count:
        wrong = table.filter(pc.is_null(column)).select(["video_id", "domain", "source"]).to_pylist()
        faults = [
            f"clip {row['video_id']}: its video "
            + ("is an empty file" if row["video_id"] in found else "is missing")
            + f" ({videos / row['domain'] / row['source'] / row['video_id']}.mp4)"
            for row in {row["video_id"]: row for row in wrong}.values()
        ]
        if request.on_error == "raise":
            more = f", and {len(faults) - 1} clips more" if len(faults) > 1 else ""
            hint = "on_error='skip' leaves such clips out, videos=False needs no clip at all"
            raise ClipError(f"{faults[0]}{more}; {hint}")
        left_out += faults
        table, column = table.filter(pc.is_valid(column)), column.drop_null()
    references = pa.StructArray.from_arrays([pa.nulls(len(column), pa.binary()), column], names=["bytes", "path"])
    return table.append_column("video", references)


def _divided(table: pa.Table, split_of_clip: Mapping[str, str], request: Request) -> dict[str, pa.Table]:
    number = {split: index for index, split in enumerate(DIVIDED)}
    video_ids = table["video_id"].to_pylist()
    numbers = np.array([number.get(split_of_clip.get(name, ""), -1) for name in video_ids], dtype=np.int8)
    if (numbers < 0).any() and request.on_error == "raise":
        lost = video_ids[int(np.argmax(numbers < 0))]
        raise DataError(f"the scheme {request.division!r} puts this clip in no split", value=lost)
    return {split: table.filter(pa.array(numbers == index)) for split, index in number.items()}


def _as_stored(table: pa.Table, request: Request) -> pa.Table:
    """Exactly the columns and types of the features, so that ``datasets`` writes the table without a cast."""
    schema = features_of(request.config, videos=request.videos).arrow_schema
    columns = [table[field.name] for field in schema]
    columns = [
        column if column.type == field.type else column.cast(field.type)
        for column, field in zip(columns, schema, strict=True)
    ]
    return pa.Table.from_arrays(columns, schema=schema).combine_chunks()


def _say_left_out(faults: list[str]) -> None:
    shown = "; ".join(faults[:5])
    more = f"; and {len(faults) - 5} more" if len(faults) > 5 else ""
    warnings.warn(f"{len(faults)} faults were left out of the data set: {shown}{more}", UserWarning, stacklevel=2)
