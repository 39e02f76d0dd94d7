"""Plan what a push publishes: the rows of all configs, shards of clips, and the files that refer to them."""

from __future__ import annotations

import base64
import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, NamedTuple
from urllib.parse import quote

import pyarrow as pa
import pyarrow.parquet as pq

from ...errors import DataError
from ..features import published_features
from ..release.faults import FAULT_HINT
from ..request import Request
from ..sources import resolve_root
from ..tables import build_tables
from .shards import Shard, plan_shards

CLIP_INDEX = "clips.json"
ClipRanges = Mapping[str, tuple[str, int, int]]  # video_id -> shard, offset, length


@dataclass(frozen=True)
class Publication:
    """The rows of all configs; ``har`` by official split, ``disjoint`` with the source-disjoint split of each clip."""

    root: Path
    har: dict[str, pa.Table]
    disjoint: dict[str, str]
    caption: pa.Table
    vqa: pa.Table
    shards: list[Shard]
    left_out: str = ""  # a description, with on_error="skip"
    source: str | None = None  # "sample" or a Hub repository

    @property
    def clip_bytes(self) -> int:
        return sum(int(shard.sizes.sum()) for shard in self.shards)

    def count_rows(self) -> dict[str, dict[str, int]]:
        """Return config -> split -> number of rows, without empty splits and configs."""
        disjoint = list(self.disjoint.values())
        counts = {
            "har": {split: len(table) for split, table in self.har.items()},
            "har_source_disjoint": {split: disjoint.count(split) for split in self.har},
            "caption": {"test": len(self.caption)},
            "vqa": {"test": len(self.vqa)},
        }
        counts = {config: {split: n for split, n in splits.items() if n} for config, splits in counts.items()}
        return {config: splits for config, splits in counts.items() if splits}


class PublishedFile(NamedTuple):
    """A Parquet file of the repository: hash, rows, and size as a file and in Arrow."""

    sha256: str
    rows: int
    size: int
    arrow_size: int


@dataclass(frozen=True)
class PushReport:
    """The result of a push; ``commit`` is the revision to pin, empty after a dry run."""

    repo_id: str
    rows: dict[str, dict[str, int]]  # config -> split -> rows
    files: dict[str, int]  # Parquet file -> bytes
    clip_bytes: int
    left_out: str = ""  # a description, with on_error="skip"
    url: str = ""
    commit: str = ""
    clips_tag: str = ""
    removed: list[str] = field(default_factory=list)
    checked_clips: list[str] = field(default_factory=list)


def read_publication(
    *,
    data_dir: str | os.PathLike[str] | None,
    source: str | None,
    revision: str | None,
    on_error: Literal["raise", "skip"],
    shard_bytes: int,
) -> Publication:
    """Read the rows of all configs and check every clip, before anything is uploaded."""
    published_features("har")  # raises here if `datasets` is too old
    for config in ("har", "caption", "vqa"):
        root = resolve_root(config, data_dir=data_dir, source=source, revision=revision)
    left_out: list[str] = []

    def read_tables(config: str, scheme: str | None = None) -> dict[str, pa.Table]:
        built = build_tables(Request(config, data_dir=str(root), scheme=scheme, on_error=on_error), root)
        left_out.append(built.left_out)
        return built.tables

    har = read_tables("har")
    disjoint = {
        video_id: split
        for split, table in read_tables("har", "source_disjoint").items()
        for video_id in table["video_id"].to_pylist()
    }
    shards = plan_shards(har, disjoint, shard_bytes=shard_bytes)
    if not shards:
        raise DataError("there is no clip to publish", file=root, hint="give a release with videos/ or videos.zip")
    caption, vqa = read_tables("caption")["test"], read_tables("vqa")["test"]
    skipped = "; ".join(dict.fromkeys(filter(None, left_out)))
    return Publication(root, har, disjoint, caption, vqa, shards, skipped, source)


def clips_tag(shards: Mapping[str, PublishedFile]) -> str:
    """Return the tag that keeps these shards, a hash of their content.

    >>> clips_tag({"clips/a.parquet": PublishedFile("00ff", 1, 1, 1)})
    'clips-dd719e55ece2'
    """
    listing = "\n".join(f"{name} {file.sha256}" for name, file in sorted(shards.items()))
    return f"clips-{hashlib.sha256(listing.encode()).hexdigest()[:12]}"


def build_clip_index(ranges: ClipRanges) -> bytes:
    """Return ``clips.json``, for readers in other languages: shard, offset and length of each mp4."""
    return json.dumps({video_id: list(place) for video_id, place in sorted(ranges.items())}, indent=0).encode()


def build_text_file(config: str, table: pa.Table, repo: str, tag: str, ranges: ClipRanges) -> bytes:
    """Return the Parquet file of captions or questions, whose videos are references into the shards."""
    video_ids = table["video_id"].to_pylist()
    unknown = next((video_id for video_id in video_ids if video_id not in ranges), None)
    if unknown is not None:
        problem = f"a {config} row belongs to a clip that has no row in har"
        raise DataError(problem, value=unknown, hint=FAULT_HINT)
    references = [make_reference(repo, tag, video_id, ranges) for video_id in video_ids]
    empty = pa.nulls(len(table), pa.binary())
    video = pa.StructArray.from_arrays([empty, pa.array(references, pa.string())], names=["bytes", "path"])
    schema = published_features(config).arrow_schema
    columns = [video if field.name == "video" else table[field.name].cast(field.type) for field in schema]
    sink = pa.BufferOutputStream()
    pq.write_table(pa.Table.from_arrays(columns, schema=schema), sink, compression="zstd", write_page_index=True)
    return sink.getvalue().to_pybytes()


def make_reference(repo: str, tag: str, video_id: str, ranges: ClipRanges) -> str:
    """Return an address of one mp4 inside a shard that fsspec, and so ``datasets``, can open.

    fsspec's ``reference://`` looks a name up in a table of (file, offset, length). The table of this one name is the
    ``data:`` address after ``::``, so nothing else is downloaded first. The tag in it never moves.

    >>> make_reference("me/MicroG-4M", "clips-29db", "ISS_004", {"ISS_004": ("clips/a.parquet", 4, 9)})[:72]
    'reference://ISS_004.mp4::data:application/vnd.kerchunk.json;base64,eyJ2Z'
    """
    shard, offset, length = ranges[video_id]
    label = f"{quote(video_id, safe='')}.mp4"  # a bracket, for example, would not be a valid address
    table = {"version": 1, "refs": {label: [f"hf://datasets/{repo}@{tag}/{shard}", offset, length]}}
    content = json.dumps(table, separators=(",", ":")).encode()
    content += b" " * (-len(content) % 3)  # base64 without padding: fsspec (seen in 2024.6) strips the padding
    # ".json" in the media type tells fsspec (2024.6 to 2026.x) that the table is text, not a folder of Parquet files.
    return f"reference://{label}::data:application/vnd.kerchunk.json;base64,{base64.b64encode(content).decode()}"
