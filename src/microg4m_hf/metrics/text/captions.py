"""Scores of predicted captions, joined with their references by clip."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ...clip_ids import source_of
from ...errors import RecipeError
from ..bootstrap import LEVEL, RESAMPLES
from .entries import CAPTION, read_entries
from .join import Joined, join
from .parts import parts_by
from .scores import NGRAM_METRICS, text_scores


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
