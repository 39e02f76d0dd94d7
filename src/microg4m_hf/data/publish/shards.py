"""Write the ``har`` rows with their clips as Parquet shards, and find where in them each clip's bytes are."""

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

SHARD_BYTES = 450 << 20  # the Hub serves files up to 500 MB well
ROW_GROUP_BYTES = 32 << 20  # a streaming reader downloads one row group at a time


@dataclass(frozen=True)
class Shard:
    """Rows of one official and one source-disjoint split, so that the splits of both schemes are lists of shards."""

    path: str
    rows: pa.Table  # of the har config, the column ``video`` with local paths
    sizes: np.ndarray  # bytes of each row's clip


def plan_shards(rows: dict[str, pa.Table], disjoint: dict[str, str], *, shard_bytes: int = SHARD_BYTES) -> list[Shard]:
    """Divide the rows into shards.

    ``clips/official-test.disjoint-train-00000-of-00002.parquet`` belongs to ``test`` of one scheme and ``train`` of
    the other. The globs ``official-test.*`` and ``*.disjoint-train-*`` are thus splits of the two schemes, and no clip
    is stored twice.

    Args:
        rows: The rows of each official split.
        disjoint: The source-disjoint split of each clip.
        shard_bytes: Clips per shard, in bytes.
    """
    shards: list[Shard] = []
    for official, table in rows.items():
        other = np.array([disjoint[video_id] for video_id in table["video_id"].to_pylist()], dtype=object)
        for split in sorted(set(other)):
            part = table.filter(pa.array(other == split))
            sizes = np.array([Path(path).stat().st_size for path in _video_paths(part)], dtype=np.int64)
            pieces = _cut(sizes, shard_bytes)
            for number, piece in enumerate(pieces):
                name = f"official-{official}.disjoint-{split}-{number:05}-of-{len(pieces):05}"
                shards.append(Shard(f"clips/{name}.parquet", part[piece], sizes[piece]))
    return shards


def write_shard(shard: Shard, target: Path) -> dict[str, tuple[int, int]]:
    """Write a shard with the clips' bytes in it and return offset and length of each clip in the file.

    The bytes are stored plain (no compression, no dictionary, no statistics, which would repeat them), so one range
    request returns a whole mp4. Offsets are found by searching for the bytes in the written file.

    Raises:
        ClipError: A clip changed while it was read.
    """
    schema = published_features("har").arrow_schema
    target.parent.mkdir(parents=True, exist_ok=True)
    with pq.ParquetWriter(
        target,
        schema,
        compression={leaf: "NONE" if leaf.startswith("video.") else "ZSTD" for leaf in _leaf_columns(schema)},
        use_dictionary=False,
        write_statistics=["video_id", "source", "clip_index", "domain"],
        write_page_index=True,  # a reader that looks for some clips skips the pages of others
    ) as writer:
        for piece in _cut(shard.sizes, ROW_GROUP_BYTES):
            rows = shard.rows[piece]
            writer.write_table(_embed_clips(rows, shard.sizes[piece], schema), row_group_size=len(rows))
    return _find_clips(shard, target)


def _embed_clips(rows: pa.Table, sizes: np.ndarray, schema: pa.Schema) -> pa.Table:
    contents = [Path(path).read_bytes() for path in _video_paths(rows)]
    for path, content, size in zip(_video_paths(rows), contents, sizes, strict=True):
        if len(content) != size:
            raise ClipError(f"{path} changed while it was read; run the same command again")
    names = [f"{video_id}.mp4" for video_id in rows["video_id"].to_pylist()]
    video = pa.StructArray.from_arrays([pa.array(contents, pa.binary()), pa.array(names)], names=["bytes", "path"])
    columns = [video if field.name == "video" else rows[field.name].cast(field.type) for field in schema]
    return pa.Table.from_arrays(columns, schema=schema)


def _find_clips(shard: Shard, target: Path) -> dict[str, tuple[int, int]]:
    ranges: dict[str, tuple[int, int]] = {}
    position = 0
    with open(target, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as written:
        for video_id, path in zip(shard.rows["video_id"].to_pylist(), _video_paths(shard.rows), strict=True):
            content = Path(path).read_bytes()
            position = written.find(content, position)
            if position < 0:
                raise ClipError(f"{path} changed while it was written; run the same command again")
            ranges[video_id] = (position, len(content))
            position += len(content)
    return ranges


def _cut(sizes: np.ndarray, limit: int) -> list[slice]:
    """Cut a run of clips into pieces of at most ``limit`` bytes, or of one clip that is larger.

    >>> [(piece.start, piece.stop) for piece in _cut(np.array([4, 4, 4, 20, 1]), 10)]
    [(0, 2), (2, 3), (3, 4), (4, 5)]
    """
    starts, filled = [0], 0
    for row, size in enumerate(sizes.tolist()):
        if filled and filled + size > limit:
            starts.append(row)
            filled = 0
        filled += size
    return [slice(start, stop) for start, stop in zip(starts, [*starts[1:], len(sizes)], strict=True)]


def _video_paths(rows: pa.Table) -> Iterator[str]:
    yield from (video["path"] for video in rows["video"].to_pylist())


def _leaf_columns(schema: pa.Schema) -> list[str]:
    sink = pa.BufferOutputStream()
    pq.write_table(schema.empty_table(), sink)
    columns = pq.ParquetFile(pa.BufferReader(sink.getvalue())).schema
    return [columns.column(index).path for index in range(len(columns.names))]
