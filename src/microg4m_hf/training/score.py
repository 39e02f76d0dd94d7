"""Scores of a split from its logits, by the library's own metrics."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..metrics import har_scores
from ..taxonomy import NUM_AVA_CLASSES
from .key_frames import KeyFrame
from .predict import prediction_columns, reference_columns
from .recipe import Data


def score_logits(items: Sequence[KeyFrame], logits: dict[int, np.ndarray], **settings: Any) -> dict[str, Any]:
    """``har_scores`` of a split; key frames without logits (unreadable clips) count as missing predictions."""
    if len(logits) < len(items):
        settings.setdefault("missing", "zero")
    settings.setdefault("domains", {item.video_id: item.domain for item in items if item.domain})
    settings.setdefault("references", reference_columns(items))
    columns = prediction_columns(items, logits)
    if columns["scores"].shape[1] == NUM_AVA_CLASSES:  # a model with AVA's outputs: to the 50 by their ids
        settings.setdefault("classes", NUM_AVA_CLASSES)
    return har_scores(columns, settings.pop("references"), **settings)


def chance_map(items: Sequence[KeyFrame], draws: int = 20) -> float:
    """The mAP that random scores reach on these items: the mean of some draws, scored like any prediction.

    It is near the mean share of people who do a thing, and above it where a split is small.
    """
    references, rng = reference_columns(items), np.random.default_rng(0)
    shape = (len(references["labels"]), items[0].labels.shape[1])
    own = {key: value for key, value in references.items() if key != "labels"}
    drawn = [har_scores(own | {"scores": rng.random(shape)}, references)["scores"]["map"] for _ in range(draws)]
    return float(np.mean(drawn))


def released_references(data: Data, split: str) -> str | None:
    """The released key-frame file of a split, where there is one.

    It repeats some labels, and a repeated label counts twice in the published numbers; the rows of the data set
    hold each once.
    """
    if data.scheme != "official":
        return None
    from ..data.release.layout import find_layout
    from ..data.sources import resolve_root

    root = resolve_root("har", data_dir=data.data_dir, source=data.source, revision=data.revision, videos=False)
    files = find_layout(root)
    file = {"train": files.ava_train, "validation": files.ava_val, "test": files.ava_test}.get(split)
    return None if file is None else str(file)
