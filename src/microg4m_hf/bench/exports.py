"""What the exports for evaluation harnesses share: dataset rows, clips as files, corpus scores, and safe writing."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..data import load_dataset
from ..data.video.source import as_source
from ..errors import RecipeError, SourceError
from ..metrics import caption_scores, vqa_scores
from ..storage import cache_home, write_atomic

SCORES = {"caption": ("cider", "bleu_4", "rouge_l"), "vqa": ("cider", "bleu_4", "rouge_l", "exact_match")}
ENDINGS = {".mp4", ".mkv", ".mov", ".mpeg", ".webm"}
MARK = "Written by `microg4m report --export-"
_METRIC_OF = {"cider": "cider", "bleu_4": "bleu"}  # ROUGE-L comes with exact match


def check_repository(repository: str, *, or_sample: bool = True) -> None:
    """Check that a name can be the id of a Hub dataset, or is ``sample`` where a harness can load that.

    Raises:
        RecipeError: The repository is not of the form ``organization/name``.
    """
    is_sample = or_sample and repository == "sample"
    if not is_sample and (repository.count("/") != 1 or not all(repository.split("/"))):
        raise RecipeError(
            f"{repository!r} is not the id of a Hub dataset; give organization/name, as for microg4m data push"
            + (", or sample" if or_sample else "")
        )


def load_rows(task: str, repository: str, split: str = "test", revision: str | None = None) -> Any:
    """Load a config of a dataset that ``microg4m data push`` wrote, or of the built-in sample; clips stay encoded.

    Raises:
        SourceError: The dataset cannot be found or loaded.
    """
    if repository == "sample":
        return load_dataset(task, split=split, source="sample")  # type: ignore[arg-type]
    import datasets

    try:
        return keep_encoded(datasets.load_dataset(repository, task, split=split, revision=revision))
    except (OSError, ValueError) as error:
        why = " ".join(str(error).split())[:300]
        raise SourceError(
            f"the {split} split of {task} cannot be loaded from {repository}: {why}; give a dataset that microg4m data "
            "push wrote, and a token if it is private (hf auth login)"
        ) from error


def keep_encoded(rows: Any) -> Any:
    """Keep the clips of a dataset encoded, because harnesses read files."""
    from datasets import Video

    return rows.cast_column("video", Video(decode=False)) if "video" in rows.column_names else rows


def clip_file(video: Any, folder: str) -> str:
    """Return the path of a clip; a clip inside a Parquet file is written once to ``folder`` in the cache."""
    path = video.get("path") if isinstance(video, Mapping) else video
    if not (isinstance(video, Mapping) and video.get("bytes")) and path and Path(path).is_file():
        return str(path)
    name, data = clip_bytes(video)
    ending = Path(name).suffix.lower()
    file_name = hashlib.sha256(data).hexdigest()[:32] + (ending if ending in ENDINGS else ".mp4")
    target = cache_home() / folder / file_name
    if not target.is_file():
        write_atomic(target, data)
    return str(target)


def clip_bytes(video: Any) -> tuple[str, bytes]:
    """Return the name and the content of a clip."""
    source = as_source(video)
    with source.open() as file:
        return source.name, file.read()


def corpus_scores(
    task: str, items: Sequence[Mapping[str, Any]], scores: Sequence[str] | None = None
) -> dict[str, float]:
    """Return scores of all items together, × 100 as in the published tables.

    Args:
        task: ``"caption"`` or ``"vqa"``.
        items: One mapping per item with ``video_id``, for answers ``question``, ``prediction`` and ``reference``.
        scores: Names in ``SCORES[task]``; all by default.

    Example:
        >>> item = {"video_id": "a_001", "question": "Who?", "prediction": "the crew", "reference": "The crew."}
        >>> corpus_scores("vqa", [item], ["exact_match"])
        {'exact_match': 100.0}
    """
    names = tuple(scores or SCORES[task])
    score_all = caption_scores if task == "caption" else vqa_scores
    metrics = list(dict.fromkeys(_METRIC_OF.get(name, "rouge_l") for name in names))
    found = score_all(items, items, metrics=metrics, on_empty="score", resamples=0)["scores"]
    return {name: 100 * found[name] for name in names}


def item_score(prediction: str, references: Sequence[str]) -> float:
    """Return ROUGE-L of one text, × 100, to sort items by; the other scores mean nothing for a single item.

    >>> item_score("the crew eats", ["The crew sleeps.", "the crew eats"])
    100.0
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # an empty text is an answer, too
        item = {"video_id": "item", "prediction": prediction, "reference": references[-1]}
        return corpus_scores("caption", [item], ["rouge_l"])["rouge_l"]


def write_exported(files: Mapping[Path, str]) -> None:
    """Write files that hold :data:`MARK`, unless one of them exists and was written by someone else.

    Raises:
        RecipeError: A file was not written by this command; nothing is written then.
    """
    for path in files:
        if path.exists() and MARK not in _head(path):
            raise RecipeError(
                f"{path} exists and was not written by microg4m report; give another folder, or move the file away"
            )
    for path, text in files.items():
        write_atomic(path, text)


def _head(path: Path) -> str:
    if not path.is_file():
        return ""
    with open(path, "rb") as file:
        return file.read(4096).decode("utf-8", "replace")
