"""Reads a published data set back as a stranger would find it, and compares it with what was meant."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ...errors import HubError
from ..features import published_features
from ..video.clip import open_clip
from .card import config_of_features
from .plan import Publication

if TYPE_CHECKING:
    from .push import PushReport


def check_published(report: PushReport, publication: Publication, token: str | None) -> list[str]:
    """Let ``datasets`` find every config at the pushed commit, count all rows, decode a clip of each config.

    Gives the clips that were decoded. The files that ``datasets`` resolved are read with pyarrow here: a streaming
    ``load_dataset`` that is left before its end can take the interpreter down as it exits (apache/arrow#45214).
    """
    from datasets import load_dataset_builder
    from huggingface_hub import HfFileSystem

    hub = HfFileSystem(token=token)
    paths = {
        row["video_id"]: row["video"]["path"]
        for table in publication.har.values()
        for row in table.select(["video_id", "video"]).to_pylist()
    }
    checked = []
    for config, wanted in report.rows.items():
        builder = load_dataset_builder(report.repo_id, config, revision=report.commit, token=token)
        if builder.info.features != published_features(config_of_features(config)):
            raise HubError(f"{report.repo_id} was pushed, but the columns of {config} come back changed")
        found: dict[str, int] = {}
        for split, files in builder.config.data_files.items():
            found[str(split)] = sum(_rows_in(hub, url) for url in files)
        if found != wanted:
            raise HubError(f"{report.repo_id} was pushed, but {config} comes back with {found} rows, not {wanted}")
        # One clip of each config is enough: all clips of a config come the same way.
        first = next(iter(builder.config.data_files.values()))[0]
        checked.append(_compare(_first_row(hub, first), paths, token))
    return checked


def _rows_in(hub: Any, url: str) -> int:
    with hub.open(url) as file:
        return pq.read_metadata(file).num_rows


def _first_row(hub: Any, url: str) -> dict[str, Any]:
    with hub.open(url) as file:
        rows: pa.Table = pq.ParquetFile(file).read_row_group(0, columns=["video_id", "video"])
        return rows.slice(0, 1).to_pylist()[0]


def _compare(row: dict[str, Any], paths: dict[str, str], token: str | None) -> str:
    video_id: str = row["video_id"]
    with open_clip(content_of(row["video"], token)) as published, open_clip(paths[video_id]) as local:
        if not np.array_equal(published.frames([0]), local.frames([0])):
            raise HubError(f"clip {video_id} comes back with other pixels than it was pushed with")
    return video_id


def content_of(video: dict[str, Any], token: str | None = None) -> bytes:
    """The mp4 of a published row, embedded or fetched through its reference.

    >>> content_of({"bytes": b"mp4", "path": "ISS_004.mp4"})
    b'mp4'
    """
    if video["bytes"] is not None:
        return video["bytes"]
    import fsspec

    options = {"token": token} if token else {}
    with fsspec.open(video["path"], "rb", reference={"remote_protocol": "hf", "remote_options": options}) as file:
        return file.read()
