"""The columns of the three configs, the same for every version of ``datasets``."""

from __future__ import annotations

from typing import Any

from ..errors import MissingExtraError
from ..taxonomy import ACTION_NAMES

CONFIGS = ("har", "caption", "vqa")

_CLIP = {"video_id": "string", "source": "string", "clip_index": "int32", "domain": "string"}
_TEXT: dict[str, dict[str, str]] = {
    "har": {},
    "caption": {"caption": "string"},
    "vqa": {"question_id": "string", "question": "string", "answer": "string", "answerable": "bool"},
}


def features_of(config: str, *, videos: bool = True) -> Any:
    """Return the ``datasets.Features`` of a config.

    Args:
        config: ``"har"``, ``"caption"`` or ``"vqa"``.
        videos: Whether there is a column ``video``: a reference to the file that is not decoded, so that rows can be
            pickled and no decoder needs to be installed.

    Example:
        >>> list(features_of("vqa", videos=False))
        ['video_id', 'source', 'clip_index', 'domain', 'question_id', 'question', 'answer', 'answerable']
    """
    import datasets
    from datasets import ClassLabel, Features, Value

    columns: dict[str, Any] = {}
    if videos and hasattr(datasets, "Video"):
        columns["video"] = datasets.Video(decode=False)
    elif videos:  # datasets 2.21 to 3.0 has no Video; this is how a Video is stored
        columns["video"] = {"bytes": Value("binary"), "path": Value("string")}
    columns |= {name: Value(kind) for name, kind in {**_CLIP, **_TEXT[config]}.items()}
    if config == "har":
        # Python lists are a list of structs in every version; Sequence of a dict is a dict of lists.
        person = {
            "person_id": Value("int32"),
            "actions": [ClassLabel(names=list(ACTION_NAMES))],
            "repeated_actions": [ClassLabel(names=list(ACTION_NAMES))],
            "key_frame": Value("int32"),
            "key_box": [Value("float32")],
            "frames": [Value("int16")],
            "boxes": [[Value("float32")]],
        }
        columns["persons"] = [person]
    return Features(columns)


def published_features(config: str) -> Any:
    """Return the features of a published config, for readers without this library: the column ``video`` is decoded.

    Args:
        config: ``"har"``, ``"caption"`` or ``"vqa"``.

    Raises:
        MissingExtraError: If ``datasets`` is too old to know videos.

    Example:
        >>> published_features("caption")["video"].decode
        True
    """
    import datasets

    if not hasattr(datasets, "Video"):
        problem = f"publishing needs datasets 3.1 or newer, {datasets.__version__} has no type Video"
        raise MissingExtraError(f"{problem}; pip install -U datasets")
    return datasets.Features({"video": datasets.Video(), **features_of(config, videos=False)})
