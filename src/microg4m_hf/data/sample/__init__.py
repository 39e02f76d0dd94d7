"""The built-in sample: a small MicroG-4M that is drawn on first use, in exactly the released layout.

Cartoon astronauts float and turn in a spacecraft; limbs, their motion and the things in their hands show what the
labels say, so a small network can learn the actions and every caption and answer is true of the pixels.
"""

from __future__ import annotations

from pathlib import Path

from ...runtime import progress
from ...storage import atomic_folder, cache_home
from .render import frames
from .world import FPS, scenes
from .write import clip_path, write_annotations, write_clip

__all__ = ["CONTENT_VERSION", "ensure_sample", "make_sample"]

CONTENT_VERSION = "6"  # raise it whenever a pixel or a letter of the sample changes


def ensure_sample() -> Path:
    """The folder of the sample; made when it is not there yet, which takes some seconds.

    Several processes may ask at once, as the ranks of a training do: one draws, the others wait for it.
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
    """Write a sample into a folder: ``height=480`` for clips as large as the released ones.

    ``upright=True`` draws the same scenes with no figure rotated; with ``lying=True`` people only stand or lie asleep,
    to probe how much a model leans on what is up. ``clips`` stops after that many; ``preset`` is x264's: ``"medium"``
    for clips that cost as much to decode as real ones.

    >>> import tempfile
    >>> made = make_sample(tempfile.mkdtemp(), height=48, clips=1)
    >>> sorted(path.name for path in made.iterdir())
    ['annotation_files', 'label_map', 'train_ready', 'videos', 'vqa_and_captioning.json']
    """
    if height < 48 or height % 2:
        raise ValueError(f"height={height!r} cannot hold the figures in yuv420p; give an even number from 48 up")
    root = Path(folder)
    chosen = scenes(upright=upright, lying=lying)[:clips]
    for scene in progress(chosen, "drawing the sample", unit="clip"):
        write_clip(root / clip_path(scene), frames(scene, height), fps=FPS, preset=preset)
    write_annotations(root, chosen, height)
    return root
