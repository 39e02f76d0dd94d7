"""What the exported ``lmms-eval`` tasks call: how a row is shown and asked, and how all answers are scored."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..data.video.source import as_source
from ..metrics import caption_scores, vqa_scores
from ..storage import cache_home, write_atomic

SCORES = {"caption": ("cider", "bleu_4", "rouge_l"), "vqa": ("cider", "bleu_4", "rouge_l", "exact_match")}
_ENDINGS = {".mp4", ".mkv", ".mov", ".webm"}


def process_docs(rows: Any) -> Any:
    """Leave the videos encoded: ``doc_to_visual`` hands over files."""
    from datasets import Video

    return rows.cast_column("video", Video(decode=False)) if "video" in rows.column_names else rows


def doc_to_visual(doc: dict[str, Any]) -> list[str]:
    """The clip as a file, which is what lmms-eval's models open; clips inside Parquet are unpacked once."""
    given = doc["video"]
    path = given.get("path") if isinstance(given, dict) else given
    if not (isinstance(given, dict) and given.get("bytes")) and path and Path(path).is_file():
        return [str(path)]
    source = as_source(given)
    with source.open() as file:
        data = file.read()
    ending = Path(source.name).suffix.lower()
    name = hashlib.sha256(data).hexdigest()[:32] + (ending if ending in _ENDINGS else ".mp4")
    target = cache_home() / "lmms-eval" / name
    if not target.is_file():
        write_atomic(target, data)
    return [str(target)]


def caption_text(doc: dict[str, Any], lmms_eval_specific_kwargs: dict[str, str] | None = None) -> str:
    """The instruction of a caption; a task's ``pre_prompt`` is the instruction itself."""
    own = lmms_eval_specific_kwargs or {}
    return own.get("pre_prompt", "") + own.get("post_prompt", "")


def question_text(doc: dict[str, Any], lmms_eval_specific_kwargs: dict[str, str] | None = None) -> str:
    """The question between the task's ``pre_prompt`` and ``post_prompt``.

    >>> question_text({"question": "Who eats?"}, {"post_prompt": " Be brief."})
    'Who eats? Be brief.'
    """
    own = lmms_eval_specific_kwargs or {}
    return own.get("pre_prompt", "") + doc["question"].strip() + own.get("post_prompt", "")


def caption_results(doc: dict[str, Any], results: Sequence[str]) -> dict[str, Any]:
    """One item for every score; the scores are of the whole set, so nothing is computed yet."""
    item = {"video_id": doc["video_id"], "prediction": results[0].strip(), "reference": doc["caption"]}
    return dict.fromkeys(SCORES["caption"], item)


def question_results(doc: dict[str, Any], results: Sequence[str]) -> dict[str, Any]:
    """One item for every score."""
    item = {
        "video_id": doc["video_id"],
        "question": doc["question"],
        "prediction": results[0].strip(),
        "reference": doc["answer"],
    }
    return dict.fromkeys(SCORES["vqa"], item)


def aggregate_captions(items: Sequence[dict[str, Any]], score: str) -> float:
    """One score of all captions, × 100 as in the published table."""
    return 100 * caption_scores(items, items, metrics=_needed(score), on_empty="score", resamples=0)["scores"][score]


def aggregate_answers(items: Sequence[dict[str, Any]], score: str) -> float:
    """One score of all answers, × 100.

    >>> item = {"video_id": "a_001", "question": "Who?", "prediction": "the crew", "reference": "The crew."}
    >>> aggregate_answers([item], "exact_match")
    100.0
    """
    return 100 * vqa_scores(items, items, metrics=_needed(score), on_empty="score", resamples=0)["scores"][score]


def _needed(score: str) -> list[str]:
    return {"cider": ["cider"], "bleu_4": ["bleu"]}.get(score, ["rouge_l"])
