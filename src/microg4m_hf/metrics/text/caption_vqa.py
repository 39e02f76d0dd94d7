"""Scores of predicted answers, joined with their references by clip and question."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

from ...clip_ids import source_of
from ...errors import RecipeError
from ..bootstrap import LEVEL, RESAMPLES
from .entries import CAPTION, VQA, read_entries
from .join import Joined, join
from .resampling import parts_by
from .scores import NGRAM_METRICS, text_scores

# Scores of predicted captions, joined with their references by clip.


def caption_scores(
    predictions: Any,
    references: Any,
    *,
    metrics: Sequence[str] = NGRAM_METRICS,
    protocol: str = "paper",
    missing: str = "error",
    unknown: str = "error",
    on_empty: str = "error",
    by: str | Sequence[str] = (),
    resamples: int = RESAMPLES,
    level: float = LEVEL,
    seed: int = 0,
    encoder: Any = None,
    bert_model: Any = None,
    device: str | None = None,
) -> dict[str, Any]:
    """Scores of captions: ``text_scores`` on items joined by ``video_id``.

    Both sides may be a file (JSON, JSONL, CSV, Parquet), ``{video_id: caption}``, the list of the released
    annotation file, or the ``caption`` config as a ``datasets.Dataset``. A clip counts once, as published: of the
    two equal captions of the released clip ``PrqcwH8LhDU_051`` one is left, and 1,237 are scored.

    ``by="source"`` adds the scores of every film. Intervals are resampled by source. ``missing``, ``unknown`` and
    ``on_empty`` say what happens with items that do not fit; by default they are an error that names them.

    >>> truth = {"a_001": "A crew eats.", "b_001": "She waves."}
    >>> result = caption_scores({"b_001": "She waves.", "a_001": "They eat."}, truth, resamples=0)
    >>> result["ids"], result["items"]["rouge_l"]
    (['a_001', 'b_001'], [0.0, 1.0])
    """
    joined = join(
        read_entries(predictions, CAPTION, "predictions"),
        read_entries(references, CAPTION, "references"),
        missing=missing,
        unknown=unknown,
        on_empty=on_empty,
    )
    return scored(
        joined,
        [source_of(video_id) for video_id in joined.keys],
        by=by,
        metrics=metrics,
        protocol=protocol,
        resamples=resamples,
        level=level,
        seed=seed,
        encoder=encoder,
        bert_model=bert_model,
        device=device,
    )


def scored(joined: Joined, sources: list[str], *, by: str | Sequence[str], **options: Any) -> dict[str, Any]:
    """``text_scores`` of joined items, with the counts of the join and the parts that were asked for."""
    asked = [by] if isinstance(by, str) else list(by)
    if set(asked) - {"source"}:
        raise RecipeError(f"by={by!r} is not known for texts; use 'source' (all captioned clips are real footage)")
    result = text_scores(
        joined.predictions,
        joined.references,
        on_empty="score",
        ids=joined.keys,
        sources=sources,
        missing=joined.missing,
        zero=joined.zero,
        **options,
    )
    result["warnings"] = joined.notes + result["warnings"]
    result["counts"] = {"used": len(joined.keys), "missing": joined.missing, "unknown": joined.unknown}
    if asked:
        result["by"] = {"source": parts_by(result, sources)}
    return result


REFUSAL = "not mentioned"
_MANY_REFUSALS = 0.5


def vqa_scores(
    predictions: Any,
    references: Any,
    *,
    metrics: Sequence[str] = NGRAM_METRICS,
    protocol: str = "paper",
    missing: str = "error",
    unknown: str = "error",
    on_empty: str = "error",
    by: str | Sequence[str] = (),
    resamples: int = RESAMPLES,
    level: float = LEVEL,
    seed: int = 0,
    encoder: Any = None,
    bert_model: Any = None,
    device: str | None = None,
) -> dict[str, Any]:
    """Scores of answers: ``text_scores`` on items joined by ``video_id`` and question (without outer spaces).

    The inputs are those of ``caption_scores``, with ``question`` and ``answer`` or with ``qa_pairs`` in every row.

    Beside the text metrics, ``scores`` hold ``exact_match`` (equal but for case, spaces and the final period) and
    ``refusal_rate`` (answers that begin with "Not mentioned"), and ``by["answerable"]`` scores the questions that
    have an answer apart from those whose reference begins with "Not mentioned". A model that always refuses thus
    shows a refusal rate of 1 and zeros where there was something to say. ``by="source"`` adds every film.

    >>> truth = [{"video_id": "a_001", "question": "Who eats?", "answer": "The crew."},
    ...          {"video_id": "a_001", "question": "What for?", "answer": "Not mentioned."}]
    >>> result = vqa_scores([row | {"answer": "Not mentioned."} for row in truth], truth, resamples=0)
    >>> result["scores"]["refusal_rate"], result["by"]["answerable"]["answerable"]["scores"]["exact_match"]
    (1.0, 0.0)
    """
    joined = join(
        read_entries(predictions, VQA, "predictions"),
        read_entries(references, VQA, "references"),
        missing=missing,
        unknown=unknown,
        on_empty=on_empty,
    )
    extra = {
        "exact_match": [
            float(_plain(said) == _plain(meant))
            for said, meant in zip(joined.predictions, joined.references, strict=True)
        ],
        "refusal_rate": [float(is_refusal(said)) for said in joined.predictions],
    }
    result = scored(
        joined,
        [source_of(video_id) for video_id, _ in joined.keys],
        by=by,
        metrics=metrics,
        protocol=protocol,
        resamples=resamples,
        level=level,
        seed=seed,
        encoder=encoder,
        bert_model=bert_model,
        device=device,
        extra=extra,
    )
    kinds = ["not mentioned" if is_refusal(meant) else "answerable" for meant in joined.references]
    result.setdefault("by", {})["answerable"] = parts_by(result, kinds)
    rate = result["scores"]["refusal_rate"]
    if rate > _MANY_REFUSALS:
        share = kinds.count("not mentioned") / len(kinds)
        note = f"{rate:.0%} of the answers begin with 'Not mentioned', which is right for {share:.0%} of the questions"
        result["warnings"].append(note)
        warnings.warn(note, stacklevel=2)
    return result


def is_refusal(answer: str) -> bool:
    """Whether an answer says that the clip does not show it, in the words of the released answers.

    >>> is_refusal(" Not mentioned."), is_refusal("It is not mentioned.")
    (True, False)
    """
    return " ".join(answer.casefold().split()).startswith(REFUSAL)


def _plain(answer: str) -> str:
    return " ".join(answer.casefold().split()).rstrip(".").rstrip()
