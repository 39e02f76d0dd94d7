"""The rows of a config as Arrow tables, one per split, ready to be written as they are."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ..errors import DataError, SourceError
from .clip_files import check_clip_files
from .features import features_of
from .har_rows import har_table
from .keyframes import SPLITS
from .layout import Layout
from .problems import Faults, Problem
from .release import read_release
from .request import Request
from .schemes import split_of
from .texts import caption_table, vqa_table
from .whereabouts import Whereabouts, with_clips

_TABLE_OF: dict[str, Callable[..., pa.Table]] = {"har": har_table, "caption": caption_table, "vqa": vqa_table}


@dataclass(frozen=True)
class Rows:
    """A table for each split, and what was left out of them, in words (empty where nothing was)."""

    tables: dict[str, pa.Table]
    left_out: str = ""


def rows_of(request: Request, whereabouts: Whereabouts) -> Rows:
    """Read the release and give each split its rows, with a reference to the clip where clips are wanted."""
    release = read_release(with_clips(request, whereabouts), need={request.config}, on_error=request.on_error)
    faults = Faults(request.on_error)
    table = _TABLE_OF[request.config](release, domain=request.domain)
    if request.videos:
        table = _with_videos(table, release.layout, faults)
    if request.division:
        by_split = _divided(table, split_of(release, request.division), request.division, faults)
    else:
        by_split = {"test": table}
    listed, count = [*release.problems, *faults.problems], release.counts["faults"] + faults.total
    return Rows({split: _as_stored(rows, request) for split, rows in by_split.items()}, _in_words(listed, count))


def _with_videos(table: pa.Table, layout: Layout, faults: Faults) -> pa.Table:
    """The table with a column ``video``; every clip that a row names must be there and be a whole mp4 file."""
    if layout.videos is None:
        raise SourceError(
            f"{layout.root} holds no clips (a folder videos/ with movie/ and real/); "
            "videos=False loads the annotations alone"
        )
    place, clips = _distinct_clips(table)
    try:
        left_out = check_clip_files(layout, clips, faults)
    except DataError as error:
        hint = "on_error='skip' leaves such clips out, videos=False needs no clip"
        raise DataError(error.problem, file=error.file, value=error.value, hint=hint) from None
    folder = pa.scalar(os.fspath(layout.videos))
    names = pc.binary_join_element_wise(clips["video_id"], pa.scalar("mp4"), ".")
    # The place that ``clip_path`` gives, of thousands of clips at once.
    paths = pc.binary_join_element_wise(folder, clips["domain"], clips["source"], names, "/")
    paths = paths.combine_chunks().take(place)
    references = pa.StructArray.from_arrays([pa.nulls(len(table), pa.binary()), paths], names=["bytes", "path"])
    table = table.append_column("video", references)
    return table.filter(pa.array(~left_out).take(place)) if left_out.any() else table


def _distinct_clips(table: pa.Table) -> tuple[pa.Array, pa.Table]:
    """The clip of each row as a place in a table of distinct clips, so that no file is looked at twice."""
    names = table["video_id"].combine_chunks().dictionary_encode()
    first = np.unique(names.indices.to_numpy(), return_index=True)[1]
    return names.indices, table.select(["video_id", "source", "domain"]).take(pa.array(first))


def _divided(table: pa.Table, split_of_clip: Mapping[str, str], scheme: str, faults: Faults) -> dict[str, pa.Table]:
    clips = pa.array(list(split_of_clip), pa.string())
    place = pc.index_in(table["video_id"], value_set=clips)
    splits = pa.array(list(split_of_clip.values()), pa.string()).take(place.combine_chunks())
    for video_id in table.filter(pc.is_null(splits))["video_id"].unique().to_pylist():
        faults.add("the release", None, video_id, f"the scheme {scheme!r} puts this clip in no split")
    return {split: table.filter(pc.equal(splits, split)) for split in SPLITS}


def _as_stored(table: pa.Table, request: Request) -> pa.Table:
    """Exactly the columns and types of the features, so that ``datasets`` writes the table without a cast."""
    schema = features_of(request.config, videos=request.videos).arrow_schema
    columns = [table[field.name] for field in schema]
    columns = [
        column if column.type == field.type else column.cast(field.type)
        for column, field in zip(columns, schema, strict=True)
    ]
    return pa.Table.from_arrays(columns, schema=schema).combine_chunks()


def _in_words(listed: list[Problem], count: int) -> str:
    if not count:
        return ""
    more = f"; and {count - 5} more" if count > 5 else ""
    return f"{count} faults were left out of the data set: {'; '.join(map(str, listed[:5]))}{more}"
