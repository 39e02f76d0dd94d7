"""Score predicted captions and answers: join them with their references, then call ``text_scores``."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

from ...clip_ids import source_of
from ...errors import RecipeError
from ..jackknife import LEVEL
from .base import find_empty
from .entries import CAPTION, VQA, read_entries
from .join import JoinedTexts, join_texts
from .resampling import scores_by_group
from .scores import NGRAM_METRICS, text_scores

_REFUSAL = "not mentioned"
_MANY_REFUSALS = 0.5


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
    resamples: int = 1,
    level: float = LEVEL,
    seed: int = 0,
    encoder: Any = None,
    bert_model: Any = None,
    device: str | None = None,
) -> dict[str, Any]:
    """Score captions that are joined with their references by ``video_id``.

    A clip counts once, as published: of the two equal captions of the released clip ``PrqcwH8LhDU_051`` one is left,
    and 1,237 are scored. Intervals leave out one film at a time.

    Args:
        predictions: A file (JSON, JSONL, CSV, Parquet), ``{video_id: caption}``, the list of the released annotation
            file, or the ``caption`` config as a ``datasets.Dataset``.
        references: The same.
        metrics, protocol, resamples, level, seed, encoder, bert_model, device: As for ``text_scores``.
        missing: ``"zero"`` scores a clip without a prediction as zero, ``"drop"`` leaves it out.
        unknown: ``"drop"`` leaves out predictions for clips that the references lack.
        on_empty: ``"score"`` scores predictions without a word as they are.
        by: ``"source"`` adds the scores of every film.

    Returns:
        The result of ``text_scores`` with ``counts`` of used, missing, unknown and empty items, and ``by`` on request.

    Raises:
        PredictionError: If items do not fit and no option says what to do with them.

    Example:
        >>> references = {"a_001": "A crew eats.", "b_001": "She waves."}
        >>> result = caption_scores({"b_001": "She waves.", "a_001": "They eat."}, references, resamples=0)
        >>> result["ids"], result["items"]["rouge_l"]
        (['a_001', 'b_001'], [0.0, 1.0])
    """
    joined = _join(predictions, references, CAPTION, missing=missing, unknown=unknown, on_empty=on_empty)
    options = {"metrics": metrics, "protocol": protocol, "resamples": resamples, "level": level, "seed": seed}
    models = {"encoder": encoder, "bert_model": bert_model, "device": device}
    return _score(joined, [source_of(video_id) for video_id in joined.keys], by, **options, **models)


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
    resamples: int = 1,
    level: float = LEVEL,
    seed: int = 0,
    encoder: Any = None,
    bert_model: Any = None,
    device: str | None = None,
) -> dict[str, Any]:
    """Score answers that are joined with their references by ``video_id`` and question (without outer spaces).

    Args:
        predictions: As for ``caption_scores``, with ``question`` and ``answer`` or with ``qa_pairs`` in every row.
        references: The same.
        metrics, protocol, resamples, level, seed, encoder, bert_model, device: As for ``text_scores``.
        missing, unknown, on_empty, by: As for ``caption_scores``.

    Returns:
        The result of ``caption_scores``, and beside the text metrics ``exact_match`` (equal but for case, spaces and
        the final period) and ``refusal_rate`` (answers that begin with "Not mentioned"). ``by["answerable"]`` holds
        the scores of the questions with an answer, and of those whose reference begins with "Not mentioned". A model
        that always refuses has a refusal rate of 1, and zeros where there is an answer.

    Raises:
        PredictionError: If items do not fit and no option says what to do with them.

    Example:
        >>> references = [{"video_id": "a_001", "question": "Who eats?", "answer": "The crew."},
        ...               {"video_id": "a_001", "question": "What for?", "answer": "Not mentioned."}]
        >>> result = vqa_scores([row | {"answer": "Not mentioned."} for row in references], references, resamples=0)
        >>> result["scores"]["refusal_rate"], result["by"]["answerable"]["answerable"]["scores"]["exact_match"]
        (1.0, 0.0)
    """
    joined = _join(predictions, references, VQA, missing=missing, unknown=unknown, on_empty=on_empty)
    options = {"metrics": metrics, "protocol": protocol, "resamples": resamples, "level": level, "seed": seed}
    models = {"encoder": encoder, "bert_model": bert_model, "device": device}
    pairs = zip(joined.predictions, joined.references, strict=True)
    extra = {
        "exact_match": [float(is_same_answer(answer, reference)) for answer, reference in pairs],
        "refusal_rate": [float(is_refusal(answer)) for answer in joined.predictions],
    }
    result = _score(joined, [source_of(video_id) for video_id, _ in joined.keys], by, extra=extra, **options, **models)
    kinds = [_REFUSAL if is_refusal(reference) else "answerable" for reference in joined.references]
    result.setdefault("by", {})["answerable"] = scores_by_group(result, kinds)
    rate = result["scores"]["refusal_rate"]
    if rate > _MANY_REFUSALS:
        share = kinds.count(_REFUSAL) / len(kinds)
        note = f"{rate:.0%} of the answers begin with 'Not mentioned', which is right for {share:.0%} of the questions"
        result["warnings"].append(note)
        warnings.warn(note, stacklevel=2)
    return result


def is_refusal(answer: str) -> bool:
    """Return whether an answer says, in the words of the released answers, that the clip does not show it.

    Example:
        >>> is_refusal(" Not mentioned."), is_refusal("It is not mentioned.")
        (True, False)
    """
    return " ".join(answer.casefold().split()).startswith(_REFUSAL)


def is_same_answer(answer: str, reference: str) -> bool:
    """Return whether two texts are equal but for case, spaces and the final period, as ``exact_match`` counts them.

    >>> is_same_answer("a  laptop", "A laptop."), is_same_answer("A laptop", "A laptop computer")
    (True, False)
    """
    return _normalize(answer) == _normalize(reference)


def _normalize(answer: str) -> str:
    return " ".join(answer.casefold().split()).rstrip(".").rstrip()


def _join(predictions: Any, references: Any, task: str, **options: str) -> JoinedTexts:
    entries = read_entries(predictions, task, "predictions")
    return join_texts(entries, read_entries(references, task, "references"), **options)


def _score(joined: JoinedTexts, sources: list[str], by: str | Sequence[str], **options: Any) -> dict[str, Any]:
    """Score joined texts; add the counts of the join and the scores of the groups that were asked for."""
    groups = [by] if isinstance(by, str) else list(by)
    if set(groups) - {"source"}:
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
    empty = len(find_empty(joined.predictions)) - len(joined.zero)  # an item without a prediction is not empty
    counts = {"used": len(joined.keys), "missing": joined.missing, "unknown": joined.unknown, "empty": empty}
    result["counts"] = counts
    if groups:
        result["by"] = {"source": scores_by_group(result, sources)}
    return result
