"""Check a published dataset without this library: columns and row counts per config, and the first frame of a clip."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ...errors import HubError
from ..features import published_features
from ..video.clip import open_clip
from .plan import Publication, PushReport

_AGAIN = "run the same command again"


def verify_push(report: PushReport, publication: Publication, token: str | None) -> list[str]:
    """Load every config at the pushed commit with ``datasets``, count all rows and decode one clip of each config.

    The files that ``datasets`` finds are read with pyarrow: a streaming ``load_dataset`` that is not read to its end
    can crash the interpreter at exit (apache/arrow#45214).

    Returns:
        The clips that were decoded.

    Raises:
        HubError: Columns, rows or pixels differ from what was pushed.
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
    for config, expected in report.rows.items():
        builder = load_dataset_builder(report.repo_id, config, revision=report.commit, token=token)
        if builder.info.features != published_features(config.removesuffix("_source_disjoint")):
            raise HubError(f"{report.repo_id} was pushed, but the columns of {config} changed on the way; {_AGAIN}")
        data_files = builder.config.data_files
        found = {str(split): sum(_count_rows(hub, url) for url in files) for split, files in data_files.items()}
        if found != expected:
            raise HubError(
                f"{report.repo_id} was pushed, but {config} has {found} rows there, not {expected}; {_AGAIN}"
            )
        # One clip of each config is enough: all clips of a config are stored the same way.
        row = _read_first_row(hub, next(iter(data_files.values()))[0])
        video_id = row["video_id"]
        with open_clip(_read_video(row["video"], token)) as published, open_clip(paths[video_id]) as local:
            if not np.array_equal(published.frames([0]), local.frames([0])):
                raise HubError(f"{report.repo_id} was pushed, but clip {video_id} has other pixels there; {_AGAIN}")
        checked.append(video_id)
    return checked


def _count_rows(hub: Any, url: str) -> int:
    with hub.open(url) as file:
        return pq.read_metadata(file).num_rows


def _read_first_row(hub: Any, url: str) -> dict[str, Any]:
    with hub.open(url) as file:
        rows: pa.Table = pq.ParquetFile(file).read_row_group(0, columns=["video_id", "video"])
        return rows.slice(0, 1).to_pylist()[0]


def _read_video(video: dict[str, Any], token: str | None) -> bytes:
    """Return the mp4 of a published row, embedded or downloaded through fsspec, as ``datasets`` does."""
    if video["bytes"] is not None:
        return video["bytes"]
    import fsspec

    options = {"token": token} if token else {}
    with fsspec.open(video["path"], "rb", reference={"remote_protocol": "hf", "remote_options": options}) as file:
        return file.read()
