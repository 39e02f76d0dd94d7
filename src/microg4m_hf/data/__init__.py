"""Read the released annotations and clips, load them with ``datasets``, check, sample and publish them."""

from typing import TYPE_CHECKING

from ..lazy import attach

if TYPE_CHECKING:
    from .load import load_dataset as load_dataset
    from .publish.push import push_dataset as push_dataset
    from .release.release import Release as Release, read_release as read_release
    from .sample import ensure_sample as ensure_sample
    from .split_report import leak_report as leak_report
    from .video.clip import Clip as Clip, open_clip as open_clip, read_frames as read_frames
    from .video.probe import ClipInfo as ClipInfo, probe as probe
    from .video.sampling import every as every, uniform as uniform, window as window

__getattr__, __dir__, __all__ = attach(__name__)
