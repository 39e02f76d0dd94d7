"""Scores of a split from its logits, by the library's own metrics."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..metrics import har_scores
from .key_frames import KeyFrame
from .predict import prediction_columns, reference_columns


def score(items: Sequence[KeyFrame], logits: dict[int, np.ndarray], **settings: Any) -> dict[str, Any]:
    """``har_scores`` of a split; key frames without logits (unreadable clips) count as missing predictions."""
    if len(logits) < len(items):
        settings.setdefault("missing", "zero")
    settings.setdefault("domains", {item.video_id: item.domain for item in items if item.domain})
    return har_scores(prediction_columns(items, logits), reference_columns(items), **settings)
