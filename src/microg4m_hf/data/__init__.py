"""Read the released annotations and clips, load them with ``datasets``, check, sample and publish them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..lazy import attach

if TYPE_CHECKING:
    from .load import load_dataset as load_dataset
    from .publish.push import push_dataset as push_dataset
    from .release.release import Release as Release
    from .release.release import read_release as read_release
    from .sample import ensure_sample as ensure_sample
    from .split_report import leak_report as leak_report
    from .video.clip import Clip as Clip
    from .video.clip import open_clip as open_clip
    from .video.clip import read_frames as read_frames
    from .video.probe import ClipInfo as ClipInfo
    from .video.probe import probe as probe
    from .video.sampling import every as every
    from .video.sampling import uniform as uniform
    from .video.sampling import window as window

__getattr__, __dir__, __all__ = attach(
    __name__,
    {
        "load": ["load_dataset"],
        "publish.push": ["push_dataset"],
        "release.release": ["Release", "read_release"],
        "sample": ["ensure_sample"],
        "split_report": ["leak_report"],
        "video.clip": ["Clip", "open_clip", "read_frames"],
        "video.probe": ["ClipInfo", "probe"],
        "video.sampling": ["every", "uniform", "window"],
    },
)
