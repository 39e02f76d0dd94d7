"""Precision against recall, and how far a model's probabilities can be believed."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..metrics.har.scores import Scored
from .boxes import BoxScores

_RECALLS = np.linspace(0, 1, 51)


def precision_recall(scored: Scored) -> dict[str, list[float]]:
    """Mean over actions of the interpolated precision at each recall; its area is the mAP up to the grid."""
    table = scored.statistics.frame_map
    curves = []
    for place, positives in enumerate(table.positives):
        hit = table.ranking.hit[table.ranking.start[place] : table.ranking.start[place + 1]]
        if positives > 0:
            curves.append(_interpolated(hit, int(positives)))
    mean = np.mean(curves, axis=0) if curves else np.full(_RECALLS.size, np.nan)
    return {"recall": _RECALLS.tolist(), "precision": mean.tolist()}


def _interpolated(hit: np.ndarray, positives: int) -> np.ndarray:
    """Best precision at each recall or beyond; 0 where a recall is never reached."""
    found = np.cumsum(hit)
    envelope = np.maximum.accumulate((found / np.arange(1, hit.size + 1))[::-1])[::-1]
    at = np.searchsorted(found, np.maximum(np.ceil(_RECALLS * positives - 1e-9), 1))
    return np.append(envelope, 0.0)[np.minimum(at, hit.size)]


def reliability(boxes: BoxScores, bins: int = 10) -> dict[str, Any]:
    """Said probability against found frequency in equal bins over all boxes and actions, and the mean gap (ECE)."""
    defined = np.isfinite(boxes.scores)
    said, true = boxes.chances[defined], boxes.truth[defined]
    if not said.size:
        return {"bins": [], "ece": float("nan")}
    place = np.minimum((said * bins).astype(int), bins - 1)
    count = np.bincount(place, minlength=bins)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean_said = np.bincount(place, said, minlength=bins) / count
        mean_true = np.bincount(place, true, minlength=bins) / count
    gap = np.nansum(np.abs(mean_said - mean_true) * count) / count.sum()
    return {
        "bins": [
            {"count": int(n), "said": float(s), "found": float(t)}
            for n, s, t in zip(count, mean_said, mean_true, strict=True)
            if n
        ],
        "ece": float(gap),
        "scores_are": "logits" if boxes.logits else "probabilities",
    }
