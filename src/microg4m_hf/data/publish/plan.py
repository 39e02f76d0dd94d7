"""What a push publishes: shards of clips, the texts that refer to them, the card and the index, all planned first."""

from __future__ import annotations

import base64
import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from urllib.parse import quote

import pyarrow as pa
import pyarrow.parquet as pq

from ...errors import DataError
from ..features import published_features
from ..request import Request
from ..sources import resolve_root
from ..tables import build_tables
from .card import PublishedFile, card_facts, render_card
from .shards import Shard, plan_shards

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
    left_out: str = ""  # in words, with on_error="skip"

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
    data_dir: str | os.PathLike[str] | None,
    source: str | None,
    revision: str | None,
    on_error: Literal["raise", "skip"],
    shard_bytes: int,
) -> Publication:
    """Read everything that a push needs, and look at every clip, before anything is sent."""
    published_features("har")  # tells here that `datasets` is too old
    root = [
        resolve_root(config, data_dir=data_dir, source=source, revision=revision)
        for config in ("har", "caption", "vqa")
    ][-1]

    left_out: list[str] = []

    def rows(config: str, scheme: str | None = None) -> dict[str, pa.Table]:
        request = Request(config, data_dir=str(root), scheme=scheme, on_error=on_error)
        found = build_tables(request, root)
        left_out.append(found.left_out)
        return found.tables

    har = rows("har")
    disjoint = {
        video_id: split
        for split, table in rows("har", "source_disjoint").items()
        for video_id in table["video_id"].to_pylist()
    }
    shards = plan_shards(har, disjoint, shard_bytes=shard_bytes)
    if not shards:
        raise DataError("there is no clip to publish", file=root)
    caption, vqa = rows("caption")["test"], rows("vqa")["test"]
    words = "; ".join(dict.fromkeys(filter(None, left_out)))
    return Publication(root, har, disjoint, caption, vqa, shards, words)


def clips_tag(shards: Mapping[str, PublishedFile]) -> str:
    """The name of the revision that holds these shards for good, made of their content.

    >>> clips_tag({"clips/a.parquet": PublishedFile("00ff", 1, 1, 1)})
    'clips-dd719e55ece2'
    """
    listed = "\n".join(f"{name} {file.sha256}" for name, file in sorted(shards.items()))
    return f"clips-{hashlib.sha256(listed.encode()).hexdigest()[:12]}"


def index_of_clips(places: Places) -> bytes:
    """``clips.json`` for people and other languages: in which shard, from which byte on, how many bytes."""
    return json.dumps({video_id: list(place) for video_id, place in sorted(places.items())}, indent=0).encode()


def reference(repo: str, tag: str, video_id: str, places: Places) -> str:
    """An address of one mp4 inside a shard that fsspec, and so ``datasets``, can open.

    fsspec's ``reference://`` looks a name up in a table of (file, offset, length); the table of this one name is the
    ``data:`` address behind ``::``, so nothing else has to be fetched first. The tag in it never moves.

    >>> reference("me/MicroG-4M", "clips-29db", "ISS_004", {"ISS_004": ("clips/a.parquet", 4, 9)})[:72]
    'reference://ISS_004.mp4::data:application/vnd.kerchunk.json;base64,eyJ2Z'
    """
    shard, offset, length = places[video_id]
    label = f"{quote(video_id, safe='')}.mp4"  # brackets, say, would make it no address
    table = {"version": 1, "refs": {label: [f"hf://datasets/{repo}@{tag}/{shard}", offset, length]}}
    # The blanks make the length a multiple of three: older fsspec (seen in 2024.6) strips what base64 may end in.
    content = json.dumps(table, separators=(",", ":")).encode()
    content += b" " * (-len(content) % 3)
    # ".json" in the media type tells fsspec (2024.6 to 2026.x) that the table is text, not a folder of Parquet files.
    media_type = "application/vnd.kerchunk.json"
    return f"reference://{label}::data:{media_type};base64,{base64.b64encode(content).decode()}"


def texts_with_references(config: str, table: pa.Table, repo: str, tag: str, places: Places) -> bytes:
    """The Parquet file of captions or questions, whose videos are references into the shards."""
    video_ids = table["video_id"].to_pylist()
    lost = next((video_id for video_id in video_ids if video_id not in places), None)
    if lost is not None:
        raise DataError(f"a {config} row speaks of a clip that has no row in har", value=lost)
    references = [reference(repo, tag, video_id, places) for video_id in video_ids]
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
