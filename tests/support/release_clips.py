"""Clips for the releases of ``fake_release``: one encoded frame per picture size, linked under every clip's name."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from tests.support.fake_release import FakeRelease
from tests.support.videos import write_video


def put_clips(release: FakeRelease, size_of: Mapping[str, tuple[int, int]] | None = None) -> Path:
    """Give every clip its file below ``videos/``; ``size_of`` a source overrules the size that the clip says."""
    made: dict[tuple[int, int], Path] = {}
    for video_id, clip in release.clips.items():
        source = release.source_of[video_id]
        width, height = size_of[source] if size_of else clip.size
        target = release.root / "videos" / clip.domain / source / f"{video_id}.mp4"
        target.parent.mkdir(parents=True, exist_ok=True)
        if (width, height) in made:
            os.link(made[width, height], target)
        else:
            made[width, height] = write_video(target, count=1, size=(height, width))
    return release.root / "videos"
