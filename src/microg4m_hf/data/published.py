"""Loads a published data set back as a stranger would, and compares it with what was meant."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import HubError
from .clip import open_clip
from .publication import Publication
from .published_features import published_features

if TYPE_CHECKING:
    from .publish import PushReport


def check_published(report: PushReport, publication: Publication, token: str | None) -> list[str]:
    """Read the first row of every split at the pushed commit, decode a clip of each config; gives those clips.

    >>> check_published.__name__
    'check_published'
    """
    from datasets import Video, load_dataset

    paths = {
        row["video_id"]: row["video"]["path"]
        for table in publication.har.values()
        for row in table.select(["video_id", "video"]).to_pylist()
    }
    checked = []
    for config, splits in report.rows.items():
        for split in splits:
            stream = load_dataset(
                report.repo_id, config, split=split, revision=report.commit, streaming=True, token=token
            )
            wanted = published_features(config.removesuffix("_source_disjoint"))
            if stream.features != wanted:
                raise HubError(f"{report.repo_id} was pushed, but the columns of {config} come back changed")
            row = next(iter(stream.cast_column("video", Video(decode=False))))
        # One clip of each config is enough: all clips of a config come the same way.
        _compare(row, paths[row["video_id"]], token)
        checked.append(row["video_id"])
    return checked


def _compare(row: dict[str, Any], path: str, token: str | None) -> None:
    with open_clip(content_of(row["video"], token)) as published, open_clip(path) as local:
        if not np.array_equal(published.frames([0]), local.frames([0])):
            raise HubError(f"clip {row['video_id']} comes back with other pixels than it was pushed with")


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
