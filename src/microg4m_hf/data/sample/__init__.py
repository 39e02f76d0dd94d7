"""The built-in sample: a small MicroG-4M in the released layout that is drawn on first use.

Cartoon astronauts float and rotate in a spacecraft. Their limbs, motion and items show the labeled actions, so a small
network can learn them, and every caption and answer is true of the pixels.
"""

from __future__ import annotations

from pathlib import Path

from ...runtime import progress
from ...storage import atomic_folder, cache_home
from .render import frames
from .world import FPS, scenes
from .write import clip_path, write_annotations, write_clip

__all__ = ["CONTENT_VERSION", "ensure_sample", "make_sample"]

CONTENT_VERSION = "6"  # increase it whenever a pixel or a character of the sample changes


def ensure_sample() -> Path:
    """Return the folder of the sample, after drawing it on first use, which takes some seconds.

    Several processes may call it at once, such as the ranks of a training: one draws, the others wait.
    """
    target = cache_home() / f"sample-{CONTENT_VERSION}"
    if not target.is_dir():
        from filelock import FileLock

        target.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(target.with_name(f".{target.name}.lock")):
            if not target.is_dir():
                with atomic_folder(target) as scratch:
                    make_sample(scratch)
    return target


def make_sample(
    folder: str | Path,
    *,
    height: int = 144,
    upright: bool = False,
    lying: bool = False,
    clips: int | None = None,
    preset: str = "veryfast",
) -> Path:
    """Write a sample into a folder.

    Args:
        folder: The target folder.
        height: Height of the clips in pixels; 480 as in the release.
        upright: Draw the same scenes without rotation.
        lying: People only stand or lie asleep, to probe how much a model relies on the upright direction.
        clips: Number of clips, all by default.
        preset: The x264 preset; ``"medium"`` for clips that cost as much to decode as real ones.

    Example:
        >>> import tempfile
        >>> made = make_sample(tempfile.mkdtemp(), height=48, clips=1)
        >>> sorted(path.name for path in made.iterdir())
        ['annotation_files', 'label_map', 'train_ready', 'videos', 'vqa_and_captioning.json']
    """
    if height < 48 or height % 2:
        raise ValueError(f"height={height!r} cannot hold the astronauts in yuv420p; give an even number from 48 up")
    root = Path(folder)
    wanted = scenes(upright=upright, lying=lying)[:clips]
    for scene in progress(wanted, "drawing the sample", unit="clip"):
        write_clip(root / clip_path(scene), frames(scene, height), fps=FPS, preset=preset)
    write_annotations(root, wanted, height)
    return root
