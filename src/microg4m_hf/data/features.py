"""The columns of the three configs, the same for every version of ``datasets``."""

from __future__ import annotations

from typing import Any

from ..errors import MissingExtraError
from ..taxonomy import ACTION_NAMES

CONFIGS = ("har", "caption", "vqa")

_CLIP = {"video_id": "string", "source": "string", "clip_index": "int32", "domain": "string"}
_TEXT = {
    "caption": {"caption": "string"},
    "vqa": {"question_id": "string", "question": "string", "answer": "string", "answerable": "bool"},
}


def features_of(config: str, *, videos: bool = True) -> Any:
    """The ``datasets.Features`` of a config; ``videos=False`` leaves the column ``video`` out.

    >>> list(features_of("vqa", videos=False))
    ['video_id', 'source', 'clip_index', 'domain', 'question_id', 'question', 'answer', 'answerable']
    """
    from datasets import Features, Value

    columns: dict[str, Any] = {"video": _video()} if videos else {}
    columns |= {name: Value(kind) for name, kind in _CLIP.items()}
    if config == "har":
        columns["persons"] = [_person()]
    else:
        columns |= {name: Value(kind) for name, kind in _TEXT[config].items()}
    return Features(columns)


def _person() -> dict[str, Any]:
    from datasets import ClassLabel, Value

    # Python lists, not Sequence or List: a list of structs in every version (Sequence of a dict is a dict of lists).
    return {
        "person_id": Value("int32"),
        "actions": [ClassLabel(names=list(ACTION_NAMES))],
        "key_frame": Value("int32"),
        "key_box": [Value("float32")],
        "frames": [Value("int16")],
        "boxes": [[Value("float32")]],
    }


def _video() -> Any:
    """A reference to the file, never decoded by itself: rows pickle, and no decoder need be installed."""
    import datasets

    if hasattr(datasets, "Video"):
        return datasets.Video(decode=False)
    # datasets 2.21 to 3.0 has no Video; this is what a Video is stored as.
    return {"bytes": datasets.Value("binary"), "path": datasets.Value("string")}


# The columns of the published configs: those of the library, with a ``Video`` that decodes itself.


def published_features(config: str) -> Any:
    """``datasets.Features`` for readers who do not have this library.

    >>> published_features("caption")["video"].decode
    True
    """
    import datasets
    from datasets import Features

    if not hasattr(datasets, "Video"):
        version = datasets.__version__
        raise MissingExtraError(
            f"publishing needs datasets 3.1 or newer, {version} has no type Video; pip install -U datasets"
        )
    from datasets import Video

    return Features({"video": Video(), **features_of(config, videos=False)})
