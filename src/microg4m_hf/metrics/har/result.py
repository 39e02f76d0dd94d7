"""One system scored once. ``HarResult`` holds the statistics that its scores, intervals, parts and tests come from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from ...taxonomy import ACTIONS
from ..jackknife import LEVEL, check_former_options, interval, leave_one_out, spread_of
from ..results import Signature
from .alignment import Alignment, align, refuse_no_match
from .checks import resolve_classes
from .frame_ap import mean_defined
from .rows import ActionRows
from .statistics import ClassScores, HarSettings, Statistics, compute_statistics
from .subsets import CLIP_PARTS, check_parts, group_classes, group_clips, select_clips
from .thresholds import TunedThresholds, are_logits

TIE_RANGE = 0.005  # mAP range over tie orders from which a result warns


@dataclass(frozen=True)
class HarResult:
    """The predictions of one system, checked, aligned with the references and counted.

    ``left_out`` and ``subset`` keep what they computed, so a result can be used in many tables at no further cost.
    """

    predictions: ActionRows
    references: ActionRows
    settings: HarSettings
    alignment: Alignment
    statistics: Statistics
    logits: bool
    _left_out: dict[int, ClassScores] = field(default_factory=dict, init=False, repr=False, compare=False)
    _subsets: dict[frozenset[str], HarResult | None] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    @property
    def classes(self) -> tuple[int, ...]:
        """The action ids that F1, recall and precision average over."""
        return self.statistics.classes

    @cached_property
    def per_class(self) -> ClassScores:
        """The scores of each class."""
        return self.statistics.per_class()

    @cached_property
    def scores(self) -> dict[str, float]:
        """mAP, F1, recall, precision and AUROC over all classes, as fractions."""
        return {name: float(value) for name, value in self.per_class.macro().items()}

    def left_out(self, seed: int = 0) -> ClassScores:
        """Return the scores of each class without each of the sources; ``seed`` is of the random orders of ties."""
        if seed not in self._left_out:
            self._left_out[seed] = self.statistics.resample(leave_one_out(len(self.statistics.sources)), seed)
        return self._left_out[seed]

    def intervals(
        self, level: float = LEVEL, mask: np.ndarray | None = None, seed: int = 0
    ) -> dict[str, list[float] | None]:
        """Return the interval of each score over the classes in ``mask``, all by default; None with too few sources."""
        values, left_out = self.per_class.macro(mask), self.left_out(seed).macro(mask)
        return {
            name: interval(float(value), spread_of(left_out[name]), level, (0.0, 1.0)) for name, value in values.items()
        }

    def class_intervals(self, level: float = LEVEL, seed: int = 0) -> dict[int, list[float] | None]:
        """Return the interval of the average precision of each class; None where too few sources show it."""
        left_out, films = self.left_out(seed).ap, self.statistics.films_of_class.tolist()
        return {
            action: interval(float(value), spread_of(left_out[:, place], films[place]), level, (0.0, 1.0))
            for place, (action, value) in enumerate(zip(self.classes, self.per_class.ap, strict=True))
        }

    def subset(self, clips: Set[str]) -> HarResult | None:
        """Score some clips alone; None when no prediction is for them."""
        key = frozenset(clips)
        if key not in self._subsets:
            rows = select_clips(self.predictions, clips)
            own = score_har(rows, select_clips(self.references, clips), self.settings) if len(rows) else None
            self._subsets[key] = own
        return self._subsets[key]

    @cached_property
    def ties(self) -> dict[str, Any]:
        """How far the order of equal scores alone could move the mAP, and how many boxes have equal scores."""
        table = self.statistics.frame_ap
        low, high = mean_defined(table.lowest), mean_defined(table.highest)
        return {
            "map_range": [low, high],
            "share": table.tied_share,
            "boxes": self.statistics.tied_boxes,
            "rule": "expected" if self.settings.protocol == "instance" else "published",
            "matters": bool(high - low >= TIE_RANGE),
        }

    @property
    def tie_warning(self) -> str | None:
        """The text of a ``TieWarning``, when the mAP depends on the order of equal scores."""
        if not self.ties["matters"] or self.ties["rule"] != "published":
            return None
        low, high = self.ties["map_range"]
        return (
            f"{self.ties['boxes']:.1%} of the boxes have mostly scores that another box has too; their order "
            f"alone moves the mAP from {low:.4f} to {high:.4f}: report this range beside the number, or take the mean "
            "over all orders with protocol='instance'"
        )

    def as_dict(
        self,
        *,
        by: str | Sequence[str] = (),
        domains: Mapping[str, str] | None = None,
        class_counts: Mapping[int, int] | None = None,
        resamples: int = 0,
        level: float = LEVEL,
        seed: int = 0,
        model: Any = None,
        revision: Any = None,
    ) -> dict[str, Any]:
        """Return what ``har_scores`` returns, which also documents the keywords."""
        parts = check_parts(by)
        check_former_options(resamples, seed)
        signature = self._signature(model, revision)
        result: dict[str, Any] = {
            "scores": dict(self.scores),
            "signature": str(signature),
            "recipe": signature.as_dict(),
            "per_class": self._class_table(),
            "ties": dict(self.ties),
            "counts": self._counts(),
        }
        if resamples:
            result["intervals"] = self.intervals(level, seed=seed)
        for part in parts:
            table: dict[str, dict[str, Any]] = {}
            if part in CLIP_PARTS:
                for name, clips in group_clips(part, self.references, domains).items():
                    own = self.subset(clips)
                    table[name] = {"scores": None, "boxes": 0} if own is None else own._summary()
                    if own is not None and resamples:
                        table[name]["intervals"] = own.intervals(level, seed=seed)
            else:
                for name, mask in group_classes(part, self.classes, self.references, class_counts).items():
                    scores = {key: float(value) for key, value in self.per_class.macro(mask).items()}
                    table[name] = {"scores": scores, "classes": int(mask.sum())}
                    if resamples:
                        table[name]["intervals"] = self.intervals(level, mask, seed)
            result.setdefault("by", {})[part] = table
        return result

    def _summary(self) -> dict[str, Any]:
        labels = self.statistics.frame_ap.positives
        boxes = self.statistics.boxes
        return {"scores": dict(self.scores), "boxes": boxes, "classes_with_labels": int((labels > 0).sum())}

    def _signature(self, model: Any, revision: Any) -> Signature:
        settings = self.settings
        instance = settings.protocol == "instance"
        missing = int(self.alignment.missing.size)
        return Signature(
            "har",
            settings.protocol,
            model=None if model is None else str(model),
            revision=None if revision is None else str(revision),
            used=self.statistics.boxes,
            missing=missing,
            references=self.references.digest,
            settings={
                "iou": settings.iou,
                "classes": len(self.classes),
                "threshold": "tuned" if isinstance(settings.cut, Mapping) else float(settings.cut),
                "scores": ("logits" if self.logits else "probabilities") if instance else "raw",
                "labels": "person" if instance else "frame",
                "ties": self.ties["rule"],
                "boxes": "given" if self.alignment.on_labeled_boxes else "detected",
                **({"missing_rule": settings.missing} if missing else {}),
            },
        )

    def _class_table(self) -> dict[int, dict[str, Any]]:
        names = {action.action_id: action.name for action in ACTIONS}
        labels = np.zeros(len(self.classes), dtype=np.int64)
        labels[self.statistics.scored] = self.statistics.frame_ap.positives
        positive = self.statistics.counts[2].sum(axis=0)
        return {
            action: {
                "name": names.get(action, f"AVA {action}"),
                **{score: float(values[place]) for score, values in vars(self.per_class).items()},
                "labels": int(labels[place]),
                "positive_boxes": int(positive[place]),
            }
            for place, action in enumerate(self.classes)
        }

    def _counts(self) -> dict[str, int]:
        alignment = self.alignment
        return {
            "rows": len(alignment.predictions),
            "boxes": self.statistics.boxes,
            "labelled_boxes": len(alignment.persons),
            "labels": len(alignment.references),
            "clips": len(set(alignment.references.video.tolist())),
            "sources": len(self.statistics.sources),
            "missing": int(alignment.missing.size),
            "repeated_rows": alignment.repeated,
            "absent_scores": self.statistics.absent,
            "degenerate_rows": self.statistics.frame_ap.degenerate,
            "dropped_rows": alignment.dropped,
        }


def score_har(predictions: ActionRows, references: ActionRows, settings: HarSettings) -> HarResult:
    """Check, align and count once.

    Args:
        predictions: ActionRows with scores, from ``read_rows``.
        references: ActionRows of labeled boxes, from ``read_rows(..., references=True)``.
        settings: How to score.

    Returns:
        The result, from which scores, intervals, parts and comparisons are derived.

    Raises:
        PredictionError: The predictions cannot be scored.
        DataError: The references cannot be used.
    """
    columns = resolve_classes(predictions, settings.classes)
    if isinstance(settings.threshold, TunedThresholds):
        settings.threshold.refuse(references)
    alignment = align(
        predictions, references, columns, iou=settings.iou, missing=settings.missing, unknown=settings.unknown
    )
    refuse_no_match(alignment, settings.iou)
    logits = are_logits(alignment.predictions, settings.scores_are) if settings.protocol == "instance" else False
    statistics = compute_statistics(alignment, columns, settings, logits=logits)
    return HarResult(predictions, references, settings, alignment, statistics, logits)
