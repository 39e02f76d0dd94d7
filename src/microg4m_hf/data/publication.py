"""What a push publishes: shards of clips, the texts that refer to them, the card and the index, all planned first."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pyarrow as pa
import pyarrow.parquet as pq

from ..errors import DataError
from .card import PublishedFile, render_card
from .card_facts import card_facts
from .clip_shards import Shard, plan_shards
from .published_features import published_features
from .request import Request
from .rows import rows_of
from .sources import resolve_root
from .whereabouts import Whereabouts

INDEX = "clips.json"
Places = Mapping[str, tuple[str, int, int]]  # video_id -> shard, offset, length


@dataclass(frozen=True)
class Publication:
    """The rows of all configs; ``har`` is divided officially, ``disjoint`` gives each clip's other split."""

    root: Path
    har: dict[str, pa.Table]
    disjoint: dict[str, str]
    caption: pa.Table
    vqa: pa.Table
    shards: list[Shard]

    @property
    def clip_bytes(self) -> int:
        return sum(int(shard.sizes.sum()) for shard in self.shards)

    def rows(self) -> dict[str, dict[str, int]]:
        """Config -> split -> number of rows."""
        disjoint = list(self.disjoint.values())
        counted = {
            "har": {split: len(table) for split, table in self.har.items()},
            "har_source_disjoint": {split: disjoint.count(split) for split in self.har},
            "caption": {"test": len(self.caption)},
            "vqa": {"test": len(self.vqa)},
        }
        found = {config: {name: count for name, count in by.items() if count} for config, by in counted.items()}
        return {config: splits for config, splits in found.items() if splits}


def read_publication(
    *,
    data_dir: str | None,
    source: str | None,
    revision: str | None,
    on_error: Literal["raise", "skip"],
    shard_bytes: int,
) -> Publication:
    """Read everything that a push needs, and look at every clip, before anything is sent."""
    root = [
        resolve_root(config, data_dir=data_dir, source=source, revision=revision)
        for config in ("har", "caption", "vqa")
    ][-1]

    def rows(config: str, scheme: str | None = None) -> dict[str, pa.Table]:
        request = Request(config, data_dir=str(root), scheme=scheme, on_error=on_error)
        return rows_of(request, Whereabouts(str(root), ""))

    har = rows("har")
    disjoint = {
        video_id: split
        for split, table in rows("har", "source_disjoint").items()
        for video_id in table["video_id"].to_pylist()
    }
    shards = plan_shards(har, disjoint, shard_bytes=shard_bytes)
    if not shards:
        raise DataError("there is no clip to publish", file=root)
    return Publication(root, har, disjoint, rows("caption")["test"], rows("vqa")["test"], shards)


def clips_tag(shards: Mapping[str, PublishedFile]) -> str:
    """The name of the revision that holds these shards for good, made of their content.

    >>> clips_tag({"clips/a.parquet": PublishedFile("00ff", 1, 1, 1)})
    'clips-29db4efb1d1e'
    """
    listed = "\n".join(f"{name} {file.sha256}" for name, file in sorted(shards.items()))
    return f"clips-{hashlib.sha256(listed.encode()).hexdigest()[:12]}"


def index_of_clips(repo: str, tag: str, places: Places) -> bytes:
    """``clips.json``: each mp4 as a range of a shard, in the form that fsspec's ``reference://`` reads.

    The tag in it never moves, so the index stays right whatever is pushed later.
    """
    refs = {
        f"{video_id}.mp4": [f"hf://datasets/{repo}@{tag}/{shard}", offset, length]
        for video_id, (shard, offset, length) in sorted(places.items())
    }
    return json.dumps({"version": 1, "refs": refs}, indent=0).encode()


def texts_with_references(config: str, table: pa.Table, repo: str, tag: str, places: Places) -> bytes:
    """The Parquet file of captions or questions, whose videos are references into the shards."""
    video_ids = table["video_id"].to_pylist()
    lost = next((video_id for video_id in video_ids if video_id not in places), None)
    if lost is not None:
        raise DataError(f"a {config} row speaks of a clip that has no row in har", value=lost)
    references = [f"reference://{video_id}.mp4::hf://datasets/{repo}@{tag}/{INDEX}" for video_id in video_ids]
    empty = pa.nulls(len(table), pa.binary())
    video = pa.StructArray.from_arrays([empty, pa.array(references, pa.string())], names=["bytes", "path"])
    schema = published_features(config).arrow_schema
    columns = [video if field.name == "video" else table[field.name].cast(field.type) for field in schema]
    sink = pa.BufferOutputStream()
    pq.write_table(pa.Table.from_arrays(columns, schema=schema), sink, compression="zstd")
    return sink.getvalue().to_pybytes()


def file_of(content: bytes, table: pa.Table) -> PublishedFile:
    return PublishedFile(hashlib.sha256(content).hexdigest(), len(table), len(content), table.nbytes)


def card_of(repo: str, publication: Publication, files: Mapping[str, PublishedFile]) -> str:
    facts = card_facts(
        repo,
        publication.har,
        publication.disjoint,
        publication.caption,
        publication.vqa,
        publication.clip_bytes,
    )
    return render_card(facts, files)
