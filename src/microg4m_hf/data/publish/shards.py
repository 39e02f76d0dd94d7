"""The ``har`` rows with their clips as Parquet shards, and where in them each clip's bytes lie."""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ...errors import ClipError
from ..features import published_features

# The Hub serves shards up to 500 MB well; a row group is what a reader that streams fetches at once.
SHARD_BYTES = 450 << 20
ROW_GROUP_BYTES = 32 << 20
NO_SPLIT = "none"


@dataclass(frozen=True)
class Shard:
    """Rows of one official and one source-disjoint split, so that both divisions are lists of shards."""

    path: str
    rows: pa.Table  # of the har config, the column ``video`` with local paths
    sizes: np.ndarray  # bytes of each row's clip


def plan_shards(rows: dict[str, pa.Table], disjoint: dict[str, str], *, shard_bytes: int = SHARD_BYTES) -> list[Shard]:
    """Divide the rows of the official splits into shards; ``disjoint`` gives the other split of each clip.

    ``clips/official-test.disjoint-train-00000-of-00002.parquet`` belongs to ``test`` of one scheme and ``train`` of
    the other, so the globs ``official-test.*`` and ``*.disjoint-train-*`` are the two divisions, and no clip is
    stored twice.
    """
    shards: list[Shard] = []
    for official, table in rows.items():
        other = np.array([disjoint[video_id] for video_id in table["video_id"].to_pylist()], dtype=object)
        for split in sorted(set(other)):
            part = table.filter(pa.array(other == split))
            sizes = np.array([Path(path).stat().st_size for path in _paths(part)], dtype=np.int64)
            starts = _starts(sizes, shard_bytes)
            for number, (start, stop) in enumerate(zip(starts, [*starts[1:], len(sizes)], strict=True)):
                name = f"official-{official}.disjoint-{split}-{number:05}-of-{len(starts):05}"
                shards.append(Shard(f"clips/{name}.parquet", part.slice(start, stop - start), sizes[start:stop]))
    return shards


def write_shard(shard: Shard, target: Path) -> dict[str, tuple[int, int]]:
    """Write a shard with the clips' bytes in it; gives offset and length of each clip in the file.

    The bytes are stored plain (no compression, no dictionary, no statistics, which would repeat them), so one range
    request to the file gives a whole mp4. Offsets are found by looking for the bytes in what was written.
    """
    schema = published_features("har").arrow_schema
    leaves = _leaves(schema)
    target.parent.mkdir(parents=True, exist_ok=True)
    with pq.ParquetWriter(
        target,
        schema,
        compression={leaf: "NONE" if leaf.startswith("video.") else "ZSTD" for leaf in leaves},
        use_dictionary=False,
        write_statistics=["video_id", "source", "clip_index", "domain"],
    ) as writer:
        starts = _starts(shard.sizes, ROW_GROUP_BYTES)
        for start, stop in zip(starts, [*starts[1:], len(shard.sizes)], strict=True):
            rows = shard.rows.slice(start, stop - start)
            writer.write_table(_embedded(rows, shard.sizes[start:stop], schema), row_group_size=len(rows))
    return _places(shard, target)


def _embedded(rows: pa.Table, sizes: np.ndarray, schema: pa.Schema) -> pa.Table:
    contents = [_content(path, size) for path, size in zip(_paths(rows), sizes, strict=True)]
    names = [f"{video_id}.mp4" for video_id in rows["video_id"].to_pylist()]
    video = pa.StructArray.from_arrays([pa.array(contents, pa.binary()), pa.array(names)], names=["bytes", "path"])
    columns = [video if field.name == "video" else rows[field.name].cast(field.type) for field in schema]
    return pa.Table.from_arrays(columns, schema=schema)


def _content(path: str, size: int) -> bytes:
    content = Path(path).read_bytes()
    if len(content) != size:
        raise ClipError(f"{path} changed while it was read; run the same command again")
    return content


def _places(shard: Shard, target: Path) -> dict[str, tuple[int, int]]:
    places: dict[str, tuple[int, int]] = {}
    position = 0
    with open(target, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as written:
        for video_id, path in zip(shard.rows["video_id"].to_pylist(), _paths(shard.rows), strict=True):
            content = Path(path).read_bytes()
            position = written.find(content, position)
            if position < 0:
                raise ClipError(f"{path} changed while it was written; run the same command again")
            places[video_id] = (position, len(content))
            position += len(content)
    return places


def _starts(sizes: np.ndarray, limit: int) -> list[int]:
    """Where to cut a run of clips so that no piece is larger than ``limit`` unless one clip alone is.

    >>> _starts(np.array([4, 4, 4, 20, 1]), 10)
    [0, 2, 3, 4]
    """
    starts, filled = [0], 0
    for row, size in enumerate(sizes.tolist()):
        if filled and filled + size > limit:
            starts.append(row)
            filled = 0
        filled += size
    return starts


def _paths(rows: pa.Table) -> Iterator[str]:
    yield from (video["path"] for video in rows["video"].to_pylist())


def _leaves(schema: pa.Schema) -> list[str]:
    sink = pa.BufferOutputStream()
    pq.write_table(schema.empty_table(), sink)
    columns = pq.ParquetFile(pa.BufferReader(sink.getvalue())).schema
    return [columns.column(index).path for index in range(len(columns.names))]
