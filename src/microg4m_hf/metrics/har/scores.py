"""The scores of human action recognition: ``har_scores``."""

from __future__ import annotations

import math
import os
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...errors import PredictionError
from ...taxonomy import ACTION_IDS, ACTIONS
from ..bootstrap import LEVEL, cluster_weights, interval
from ..signature import Recipe
from .alignment import Aligned, align
from .checks import class_columns
from .files import read_about
from .frame_ap import mean_defined
from .inputs import read_rows
from .matching import IOU
from .rows import Rows
from .statistics import PROTOCOLS, ClassScores, Statistics, Thresholds, statistics
from .subsets import CLIP_PARTS, check_parts, class_parts, clip_parts, of_clips
from .thresholds import DEFAULT, TunedThresholds, are_logits

MATTERS = 0.005  # mAP range over tie orders from which a result warns


class TieWarning(UserWarning):
    """Equal scores are so many that their order moves the mAP."""


@dataclass(frozen=True)
class Settings:
    """How to score; the fields are the keywords of ``har_scores``."""

    protocol: str = "paper"
    threshold: Thresholds | None = None
    scores_are: str | None = None
    classes: int | Sequence[int] | None = None
    iou: float = IOU
    missing: str = "error"
    unknown: str = "error"

    def __post_init__(self) -> None:
        if self.protocol not in PROTOCOLS:
            raise PredictionError(f"protocol={self.protocol!r} is not known; use 'paper' or 'instance'")
        if isinstance(self.threshold, Mapping) and self.protocol == "paper":
            raise PredictionError(
                "protocol='paper' has one threshold on raw scores; tuned ones need protocol='instance'"
            )
        if isinstance(self.threshold, (int, float)) and not math.isfinite(self.threshold):
            raise PredictionError(f"threshold={self.threshold} decides nothing; give a number, 0.5 as published")
        if not 0 < self.iou <= 1:
            raise PredictionError(f"iou={self.iou!r} is outside (0, 1]; the benchmark uses 0.5")


@dataclass(frozen=True)
class _Draws:
    """How to resample; none when ``resamples`` is 0."""

    resamples: int
    level: float
    seed: int


@dataclass(frozen=True)
class Scored:
    """A system with everything its scores, intervals and comparisons are derived from."""

    aligned: Aligned
    statistics: Statistics
    settings: Settings
    logits: bool


def har_scores(
    predictions: Any,
    references: Any,
    *,
    protocol: str = "paper",
    threshold: Thresholds | None = None,
    scores_are: str | None = None,
    classes: int | Sequence[int] | None = None,
    iou: float = IOU,
    missing: str = "error",
    unknown: str = "error",
    by: str | Sequence[str] = (),
    domains: Mapping[str, str] | None = None,
    class_counts: Mapping[int, int] | None = None,
    resamples: int = 0,
    level: float = LEVEL,
    seed: int = 0,
    model: str | None = None,
    revision: str | None = None,
) -> dict[str, Any]:
    """mAP, F1, recall, precision and AUROC of predictions, as fractions.

    ``predictions`` and ``references`` may be files (CSV, Parquet), tables, columns, rows or dictionaries per clip;
    ``read_rows`` lists the forms.

    ``protocol="paper"`` gives the published numbers: every row counts (also a box scored twice), a box is positive
    for what any person in its frame does, a class is predicted when its *raw* score reaches ``threshold`` (0.5),
    F1, recall and precision average over all classes (0 where undefined), equal scores rank as they did then.

    ``protocol="instance"`` scores each person against that person's own labels: repeated rows and labels count
    once, ``threshold`` applies to probabilities (``scores_are="logits"`` or ``"probabilities"``; when not said,
    scores outside 0..1 mean logits) and may come from ``tune_thresholds``, the best score claims a box first, and
    equal scores count with the expectation over random order. A person nobody detected counts as not predicted.

    ``classes``: 50, or 80 for models with AVA's outputs (their ids outside the 50 are left out of the mAP).
    ``missing``: labelled boxes without a prediction, when the predictions are for the labelled boxes: an error,
    ``"zero"`` (not predicted) or ``"drop"``. Boxes of a detector need not cover every person: in mAP the lost
    persons count as not found, in the paper's F1, recall and AUROC only detected boxes count.
    ``unknown``: clips that the references lack: an error, or ``"drop"``.
    ``by``: parts to score as well: ``"domain"`` (needs ``domains`` or a column), ``"source"``, ``"group"``,
    ``"frequency"`` (needs ``class_counts``, else counts the references).
    ``resamples``: bootstrap resamples of sources for ``intervals`` at ``level`` with ``seed``; 0 for none.

    >>> truth = [("a_001", 1, 0, 0, 1, 1, 12), ("b_001", 1, 0, 0, 1, 1, 14)]
    >>> found = [("a_001", 1, 0, 0, 1, 1, 12, 2.0), ("b_001", 1, 0, 0, 1, 1, 14, 0.1)]
    >>> result = har_scores(found, truth)
    >>> result["scores"]["map"], result["scores"]["f1"]
    (1.0, 0.02)
    """
    settings = Settings(protocol, threshold, scores_are, classes, iou, missing, unknown)
    parts = check_parts(by)
    about = read_about(predictions) if isinstance(predictions, (str, os.PathLike)) else {}
    if settings.scores_are is None and about.get("scores_are") is not None:
        settings = Settings(protocol, threshold, str(about["scores_are"]), classes, iou, missing, unknown)
    given, truth = read_rows(predictions, action_ids=_ids(classes)), read_rows(references, references=True)
    scored = score(given, truth, settings)
    per_class = scored.statistics.per_class()
    recipe = _recipe(
        scored, model or about.get("model"), revision or about.get("revision"), seed if resamples else None
    )
    result: dict[str, Any] = {
        "scores": {name: float(value) for name, value in per_class.macro().items()},
        "signature": recipe.signature,
        "recipe": recipe.as_dict(),
        "per_class": _class_table(scored.statistics, per_class),
        "ties": _ties(scored),
        "counts": _counts(scored),
    }
    samples = None
    if resamples:
        weights = cluster_weights(len(scored.statistics.sources), resamples, seed)
        samples = scored.statistics.resampled(weights, seed)
        result["intervals"] = _intervals(samples, level)
    if parts:
        result["by"] = {
            part: _clip_scores(part, given, truth, settings, domains, _Draws(resamples, level, seed))
            if part in CLIP_PARTS
            else _class_scores(part, scored, per_class, samples, truth, class_counts, level)
            for part in parts
        }
    if result["ties"]["matters"] and result["ties"]["rule"] == "published":
        low, high = result["ties"]["map_range"]
        warnings.warn(
            f"{result['ties']['boxes']:.1%} of the boxes have mostly scores that another box has too; their order "
            f"alone moves the mAP from {low:.4f} to {high:.4f}: say so beside the number, or take the mean over all "
            "orders with protocol='instance'",
            TieWarning,
            stacklevel=2,
        )
    return result


def score(predictions: Rows, references: Rows, settings: Settings) -> Scored:
    """Check, align and count; everything else is derived from this."""
    columns = class_columns(predictions, settings.classes)
    if isinstance(settings.threshold, TunedThresholds):
        settings.threshold.refuse(references)
    aligned = align(
        predictions, references, columns, iou=settings.iou, missing=settings.missing, unknown=settings.unknown
    )
    logits = are_logits(aligned.predictions, settings.scores_are) if settings.protocol == "instance" else False
    map_classes = [action for action in columns if action in set(ACTION_IDS)] or list(columns)
    counted = statistics(
        aligned,
        columns,
        map_classes,
        protocol=settings.protocol,
        threshold=DEFAULT if settings.threshold is None else settings.threshold,
        iou=settings.iou,
        logits=logits,
        strict=settings.missing == "error",
    )
    return Scored(aligned, counted, settings, logits)


def _ids(classes: int | Sequence[int] | None) -> Sequence[int] | None:
    return None if classes is None or isinstance(classes, (int, np.integer)) else classes


def _recipe(scored: Scored, model: Any, revision: Any, seed: int | None) -> Recipe:
    settings = scored.settings
    threshold: Any = DEFAULT if settings.threshold is None else settings.threshold
    instance = settings.protocol == "instance"
    return Recipe(
        "har",
        settings.protocol,
        model=None if model is None else str(model),
        revision=None if revision is None else str(revision),
        used=scored.statistics.boxes,
        missing=int(scored.aligned.missing.size),
        seed=seed,
        settings={
            "iou": settings.iou,
            "classes": len(scored.statistics.classes),
            "threshold": "tuned" if isinstance(threshold, Mapping) else float(threshold),
            "scores": ("logits" if scored.logits else "probabilities") if instance else "raw",
            "labels": "person" if instance else "frame",
            "ties": "expected" if instance else "published",
            "boxes": "given" if scored.aligned.given else "detected",
            **({"missing_rule": settings.missing} if scored.aligned.missing.size else {}),
        },
    )


def _class_table(counted: Statistics, per_class: ClassScores) -> dict[int, dict[str, Any]]:
    names = {action.action_id: action.name for action in ACTIONS}
    labels = np.zeros(len(counted.classes), dtype=np.int64)
    labels[counted.scored] = counted.frame_map.positives
    positive = counted.counts[2].sum(axis=0)
    return {
        action: {
            "name": names.get(action, f"AVA {action}"),
            "ap": float(per_class.ap[place]),
            "f1": float(per_class.f1[place]),
            "recall": float(per_class.recall[place]),
            "precision": float(per_class.precision[place]),
            "auroc": float(per_class.auroc[place]),
            "labels": int(labels[place]),
            "positive_boxes": int(positive[place]),
        }
        for place, action in enumerate(counted.classes)
    }


def _ties(scored: Scored) -> dict[str, Any]:
    result = scored.statistics.frame_map
    low, high = mean_defined(result.lowest), mean_defined(result.highest)
    return {
        "map_range": [low, high],
        "share": result.tied_share,
        "boxes": scored.statistics.tied_boxes,
        "rule": "expected" if scored.settings.protocol == "instance" else "published",
        "matters": bool(high - low >= MATTERS),
    }


def _counts(scored: Scored) -> dict[str, int]:
    aligned = scored.aligned
    return {
        "rows": len(aligned.predictions),
        "boxes": scored.statistics.boxes,
        "labelled_boxes": len(aligned.persons),
        "labels": len(aligned.references),
        "clips": len(set(aligned.references.video.tolist())),
        "sources": len(scored.statistics.sources),
        "missing": int(aligned.missing.size),
        "repeated_rows": aligned.repeated,
        "absent_scores": scored.statistics.absent,
        "degenerate_rows": scored.statistics.frame_map.degenerate,
        "dropped_rows": aligned.dropped,
    }


def _intervals(samples: ClassScores, level: float, chosen: np.ndarray | None = None) -> dict[str, list[float]]:
    return {name: list(interval(values, level)) for name, values in samples.macro(chosen).items()}


def _clip_scores(
    part: str, given: Rows, truth: Rows, settings: Settings, domains: Mapping[str, str] | None, draws: _Draws
) -> dict[str, Any]:
    table: dict[str, dict[str, Any]] = {}
    for name, clips in clip_parts(part, truth, domains).items():
        own = of_clips(given, clips)
        if not len(own):
            table[name] = {"scores": None, "boxes": 0}
            continue
        scored = score(own, of_clips(truth, clips), settings)
        macro = scored.statistics.per_class().macro()
        table[name] = {
            "scores": {key: float(value) for key, value in macro.items()},
            "boxes": scored.statistics.boxes,
            "classes_with_labels": int((scored.statistics.frame_map.positives > 0).sum()),
        }
        sources = len(scored.statistics.sources)
        if draws.resamples and sources > 1:  # one source alone says nothing about how sources differ
            weights = cluster_weights(sources, draws.resamples, draws.seed)
            table[name]["intervals"] = _intervals(scored.statistics.resampled(weights, draws.seed), draws.level)
    return table


def _class_scores(
    part: str,
    scored: Scored,
    per_class: ClassScores,
    samples: ClassScores | None,
    truth: Rows,
    class_counts: Mapping[int, int] | None,
    level: float,
) -> dict[str, Any]:
    table = {}
    for name, chosen in class_parts(part, scored.statistics.classes, truth, class_counts).items():
        entry: dict[str, Any] = {
            "scores": {key: float(value) for key, value in per_class.macro(chosen).items()},
            "classes": int(chosen.sum()),
        }
        if samples is not None:
            entry["intervals"] = _intervals(samples, level, chosen)
        table[name] = entry
    return table
