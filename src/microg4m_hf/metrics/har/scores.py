"""Score human action recognition: ``har_scores`` for one system, ``compare`` for two on the same boxes."""

from __future__ import annotations

import inspect
import os
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any

import numpy as np

from ..._version import __version__
from ...errors import PredictionError
from ..jackknife import LEVEL, Spread, check_former_options, interval
from ..significance import compare_scores
from .files import read_about
from .inputs import listed_ids, read_rows
from .matching import IOU
from .result import HarSettings, score_har
from .statistics import Thresholds
from .subsets import check_parts


class TieWarning(UserWarning):
    """Many scores are equal, and their order alone moves the mAP."""


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
    """Compute mAP, F1, recall, precision and AUROC of predicted actions, as fractions.

    ``protocol="paper"`` gives the published numbers: every row counts (also a box scored twice), a box is positive
    for the actions of all persons in its frame, a class is predicted when its *raw* score reaches ``threshold``, F1,
    recall and precision are averaged over all classes (0 where undefined), and equal scores are ranked as published.

    ``protocol="instance"`` scores each person against that person's own labels: repeated rows and labels count
    once, ``threshold`` applies to probabilities, boxes are matched in order of score, and equal scores contribute the
    expected AP over random orders. A person without a detected box counts as not predicted.

    Boxes of a detector need not cover every person: in the mAP these persons count as not found, in the paper's F1,
    recall and AUROC only detected boxes count.

    Args:
        predictions: A CSV or Parquet file, table, columns, rows or dictionaries per clip; see ``read_rows``.
        references: The labeled boxes in any of the same forms.
        protocol: ``"paper"`` or ``"instance"``.
        threshold: One threshold, by default 0.5; with ``"instance"`` also one per action from ``tune_thresholds``.
        scores_are: ``"logits"`` or ``"probabilities"``; by default scores outside 0..1 mean logits.
        classes: 50, 80 for models with AVA's outputs (ids outside the 50 are left out of the mAP), or action ids.
        iou: Overlap from which a box counts as found.
        missing: What to do about labeled boxes without a prediction, when the predictions are for the labeled boxes:
            ``"error"``, ``"zero"`` (not predicted) or ``"drop"``.
        unknown: What to do about clips that are not in the references: ``"error"`` or ``"drop"``.
        by: Parts to score as well: ``"domain"``, ``"source"``, ``"group"``, ``"frequency"``.
        domains: Domain of each clip for ``by="domain"``, unless the references have a column ``domain``.
        class_counts: Labels per action for ``by="frequency"``, by default those of the references.
        resamples: Whether to compute intervals, by leaving out one source at a time: 0 for none, any other number for
            all. (Nothing is drawn at random; the name is from a time when that was different.)
        level: Level of the intervals.
        seed: Seed of the orders in which intervals rank equal scores under ``"instance"``.
        model: Name to write into the signature, by default the one in the prediction file.
        revision: Revision to write into the signature, by default the one in the prediction file.

    Returns:
        ``scores``, ``signature``, ``recipe``, ``per_class``, ``ties`` and ``counts``; with ``resamples`` also
        ``intervals`` (None with fewer than five sources), with ``by`` also ``by``.

    Raises:
        PredictionError: The predictions or the options cannot be used; the message names the row and the fix.
        DataError: The references cannot be used.

    Example:
        >>> truth = [("a_001", 1, 0, 0, 1, 1, 12), ("b_001", 1, 0, 0, 1, 1, 14)]
        >>> found = [("a_001", 1, 0, 0, 1, 1, 12, 2.0), ("b_001", 1, 0, 0, 1, 1, 14, 0.1)]
        >>> result = har_scores(found, truth)
        >>> result["scores"]["map"], result["scores"]["f1"]
        (1.0, 0.02)
    """
    about = read_about(predictions) if isinstance(predictions, (str, os.PathLike)) else {}
    scores_are = scores_are or _recorded_kind(predictions)
    settings = HarSettings(protocol, threshold, scores_are, classes, iou, missing, unknown)
    check_parts(by)
    rows = read_rows(predictions, action_ids=listed_ids(classes))
    scored = score_har(rows, read_rows(references, references=True), settings)
    result = scored.as_dict(
        by=by,
        domains=domains,
        class_counts=class_counts,
        resamples=resamples,
        level=level,
        seed=seed,
        model=model or about.get("model"),
        revision=revision or about.get("revision"),
    )
    if scored.tie_warning:
        warnings.warn(scored.tie_warning, TieWarning, stacklevel=2)
    return result


def check_settings(settings: Mapping[str, Any]) -> None:
    """Refuse keywords that ``har_scores`` would refuse whatever the predictions are.

    Raises:
        PredictionError: A keyword or its value is not known.
        RecipeError: A number is out of range.
    """
    known = [name for name in inspect.signature(har_scores).parameters if name not in ("predictions", "references")]
    for name in settings:
        if name not in known:
            raise PredictionError(f"{name}= is not an option of har_scores; use {', '.join(known)}")
    HarSettings(**{field.name: settings[field.name] for field in fields(HarSettings) if field.name in settings})
    check_parts(settings.get("by", ()))
    check_former_options(settings.get("resamples", 0), settings.get("seed", 0))
    interval(0.0, Spread(0.0, 1), settings.get("level", LEVEL))


def compare(
    first: Any,
    second: Any,
    references: Any,
    *,
    protocol: str = "paper",
    resamples: int = 1,
    level: float = LEVEL,
    seed: int = 0,
    names: Sequence[str] = ("first", "second"),
    **settings: Any,
) -> dict[str, Any]:
    """Compare two systems on the same boxes with a paired test by source.

    Interval and p-value come from one standard error, that of the difference without each source (``jackknife``), so
    the 95 % interval excludes 0 exactly when ``p`` is below 0.05. With fewer than five sources there is neither.

    Args:
        first: Predictions of the first system.
        second: Predictions of the second system.
        references: The labeled boxes.
        protocol: ``"paper"`` or ``"instance"``.
        resamples: The former number of bootstrap resamples; it has no effect, because nothing is drawn any more.
        level: Level of the intervals.
        seed: Seed of the orders in which tests rank equal scores under ``"instance"``.
        names: Keys of the two values in each entry.
        settings: Keywords of ``har_scores`` that say how to score.

    Returns:
        ``scores`` with an entry per score (both values, ``difference`` = first - second, ``interval``, ``p``,
        ``p_corrected`` (for testing five scores) and ``real`` (``p_corrected`` < 0.05; these four are None where there
        is no test, and ``why_not`` says why)), ``ties`` of each system, ``signature``, ``level``, and ``counts`` of the
        boxes of each system and of those without a prediction.

    Raises:
        PredictionError: The systems were not scored on the same boxes and classes.

    Example:
        >>> truth = [(f"{film}_001", 1, 0, 0, 1, 1, 12 if film < "c" else 14) for film in "abcde"]
        >>> found = [(f"{film}_001", 1, 0, 0, 1, 1, 12, 1.0) for film in "abcde"]
        >>> compare(found, found, truth)["scores"]["map"]["p"]
        1.0
    """
    truth = read_rows(references, references=True)
    systems = []
    for predictions in (first, second):
        options = HarSettings(protocol, **{"scores_are": _recorded_kind(predictions), **settings})
        rows = read_rows(predictions, action_ids=listed_ids(options.classes))
        systems.append(score_har(rows, truth, options))
    one, two = (system.statistics for system in systems)
    if (
        one.sources != two.sources
        or one.classes != two.classes
        or not np.array_equal(one.label_counts, two.label_counts)
    ):
        raise PredictionError(
            "the two systems were not scored on the same boxes and classes; "
            "predict the same split with both, and use missing='zero' instead of 'drop'"
        )
    left_out = [system.left_out(seed).macro() for system in systems]
    return {
        "scores": compare_scores([system.scores for system in systems], left_out, names=names, level=level),
        "ties": {name: system.ties for name, system in zip(names, systems, strict=True)},
        "signature": f"har|protocol:{protocol}|test:paired-jackknife|sources:{len(one.sources)}"
        f"|references:{truth.digest}|version:{__version__}",
        "level": level,
        "counts": {
            name: {"boxes": system.statistics.boxes, "missing": int(system.alignment.missing.size)}
            for name, system in zip(names, systems, strict=True)
        },
    }


def _recorded_kind(predictions: Any) -> str | None:
    """Return what the scores of a prediction file are, ``"logits"`` or ``"probabilities"``, if the file says so."""
    if not isinstance(predictions, (str, os.PathLike)):
        return None
    kind = read_about(predictions).get("scores_are")
    return None if kind is None else str(kind)
