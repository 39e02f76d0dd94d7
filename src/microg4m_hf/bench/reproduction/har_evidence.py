"""Score a prediction file of actions as the published test did, and find what its scores may differ by and why.

The published test drew the key frames in a random order (torch's ``DistributedSampler``, seed 0) and repeated the first
one to give every GPU equally many, so one key frame is scored twice. Both decide the published digits: equal scores are
ranked by their place in the file, and the repeated rows count. A file without repeated rows is put into that order.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from ...metrics.har.files import read_about
from ...metrics.har.inputs import read_rows
from ...metrics.har.result import HarResult, HarSettings, score_har
from ...metrics.har.rows import ActionRows
from ...taxonomy import ACTIONS
from ..published import HAR_DIGEST, HAR_SCORES, PublishedTable, differences_from_published
from ..references import References, Target, describe_release, find_data
from ..scoring import read_actions
from .judgement import Allowance

SAMPLER_SEED, GPUS = 0, 3  # with the four GPUs of some runs, the same key frame is repeated
SCORE_ROUNDING = 0.004  # points: the largest distance of the twelve released files from their logs
DRAWS = 20  # of moved logits
SIGMAS = 3.0


@dataclass
class HarEvidence:
    """A scored prediction file, and what is known about how it was made."""

    result: HarResult
    scores: dict[str, float]
    report: dict[str, Any]  # as ``har_scores`` returns it
    allowances: list[Allowance] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    causes: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    found: dict[str, Any] = field(default_factory=dict)  # for reproduce.json


def score_as_published(
    path: Path, references: References, table: PublishedTable, *, shifts: np.ndarray | None = None
) -> HarEvidence:
    """Score a prediction file under ``paper`` and collect the allowances and faults that it shows by itself.

    Args:
        path: A prediction file.
        references: The references of the test split.
        table: The published table of the row.
        shifts: How far the pixels of the published runs move the logits of some boxes, ``(boxes, classes)``, where the
            file was predicted from others and this was measured.
    """
    rows, about, notes = read_actions(path), read_about(path), []
    settings = HarSettings("paper", classes=table.protocol["classes"], missing="zero")
    repeated = len(rows) - len(np.unique(_row_keys(rows), axis=0))
    if not repeated:
        rows = in_published_order(rows, references.data)
        notes.append("rows are in the order of the published test, which scored its first key frame twice")
    har = score_har(rows, references.data, settings)
    report = har.as_dict(model=about.get("model"), revision=about.get("revision"))
    evidence = HarEvidence(har, {name: har.scores[name] for name in HAR_SCORES}, report, notes=notes)
    evidence.faults += differences_from_published(report, references, table)
    digest = references.data.digest
    if not evidence.faults and table.size and digest != HAR_DIGEST:
        evidence.faults.append(f"references with the digest {digest}, published {HAR_DIGEST}")
    score = rows.score if rows.score is not None else np.empty(0)
    if score.size and score.min() >= 0 and score.max() <= 1:
        evidence.causes.append(
            "the scores lie in 0..1 like probabilities; the published F1 and recall cut logits at 0.5"
        )
    evidence.allowances.append(
        Allowance(
            "rounding",
            "scores are rounded in prediction files, and another order of additions moves them as little: the twelve "
            "released files lie up to 0.004 points from their logs",
            dict.fromkeys(HAR_SCORES, (SCORE_ROUNDING, SCORE_ROUNDING)),
        )
    )
    low, high = har.ties["map_range"]
    value = har.scores["map"]
    text = (
        f"{har.ties['boxes']:.1%} of the boxes share scores with another box; their order alone moves the mAP from "
        f"{100 * low:.2f} to {100 * high:.2f}"
    )
    points = {"map": (100 * (value - low), 100 * (high - value))}
    evidence.allowances.append(Allowance("ties", text, points, always_shown=har.ties["matters"]))
    if shifts is not None and len(shifts):
        evidence.allowances.append(_pixel_allowance(har, shifts))
    evidence.found |= {
        "predictions": str(path),
        "signature": report["signature"],
        "ties": report["ties"],
        "counts": report["counts"],
        "per_class": {str(action): entry for action, entry in report["per_class"].items()},
    }
    return evidence


def in_published_order(rows: ActionRows, references: ActionRows) -> ActionRows:
    """Return the rows as the published test wrote them: its order of key frames, and those that it scored twice.

    Args:
        rows: Predictions of a split, every box once.
        references: The references of the split, which has key frames that the predictions may lack.
    """
    place: dict[tuple[str, int], list[int]] = {}
    for row, key in enumerate(_frames_of(rows)):
        place.setdefault(key, []).append(row)
    keys = sorted({*_frames_of(references), *place})
    order = sampler_order(len(keys))
    # A key frame that is scored twice stands where it stood first: the published file is grouped by key frame.
    twice = set(order[: -len(keys) % GPUS])
    index = [row for one in order for _ in range(1 + (one in twice)) for row in place.get(keys[one], ())]
    return rows.take(np.array(index, dtype=np.int64))


def _frames_of(rows: ActionRows) -> list[tuple[str, int]]:
    return [(rows.videos[code], frame) for code, frame in zip(rows.video.tolist(), rows.frame.tolist(), strict=True)]


def sampler_order(count: int, seed: int = SAMPLER_SEED) -> list[int]:
    """Return ``torch.randperm(count)`` of a seed, without torch.

    Args:
        count: How many items there are.
        seed: The seed of the generator.

    Example:
        >>> sampler_order(5)
        [4, 0, 1, 3, 2]
    """
    order = list(range(count))
    drawn = np.random.RandomState(seed).randint(0, 2**32, size=count, dtype=np.uint32).tolist()
    for place, number in enumerate(drawn[:-1]):
        other = place + number % (count - place)
        order[place], order[other] = order[other], order[place]
    return order


def compare_with_released(evidence: HarEvidence, path: Path, references: References, table: PublishedTable) -> None:
    """Compare class by class, and score by score, with the prediction file that the authors released for the row.

    The cause of a difference is then known: with scores that agree it is the metric, with scores that follow those of
    the released file closely it is the pixels, and otherwise the weights.
    """
    theirs = score_as_published(path, references, table)
    table_of = {int(action): entry for action, entry in theirs.report["per_class"].items()}
    names = {action.action_id: action.name for action in ACTIONS}
    per_class = [
        {
            "action_id": int(action),
            "name": names.get(int(action), str(action)),
            "ap": entry["ap"],
            "released": table_of[int(action)]["ap"],
            "difference": entry["ap"] - table_of[int(action)]["ap"],
            "labels": entry["labels"],
        }
        for action, entry in evidence.report["per_class"].items()
        if int(action) in table_of
        and entry["ap"] == entry["ap"]
        and table_of[int(action)]["ap"] == table_of[int(action)]["ap"]
    ]
    per_class.sort(key=lambda entry: -abs(entry["difference"]))
    ours, others = _score_of(evidence.result.predictions), _score_of(theirs.result.predictions)
    common = sorted(ours.keys() & others.keys())
    found: dict[str, Any] = {"file": str(path), "per_class": per_class, "scores_in_both": len(common)}
    if common:
        one, two = (np.array([scores[key] for key in common]) for scores in (ours, others))
        spread = float(one.std() * two.std())
        found["rms"], found["largest"] = float(np.sqrt(np.mean((one - two) ** 2))), float(np.abs(one - two).max())
        found["correlation"] = float(np.mean((one - one.mean()) * (two - two.mean())) / spread) if spread else 0.0
        found["points_to"] = _cause(found)
        evidence.causes.append(
            f"{found['points_to']}: the scores of {len(common) // max(len(evidence.result.classes), 1)} boxes lie "
            f"{found['rms']:.4f} (RMS) from those of {path.parent.name}/{path.name}, correlation "
            f"{found['correlation']:.4f}"
        )
    if per_class and abs(per_class[0]["difference"]) > 5e-5:
        worst = ", ".join(f"{one['name']} {100 * one['difference']:+.2f}" for one in per_class[:5])
        evidence.causes.append(f"classes that differ most from the released file: {worst}")
    evidence.found["released"] = found


def _cause(found: Mapping[str, Any]) -> str:
    if found["largest"] <= 1e-3:  # numerics move logits by 1e-4, rounding by 5e-5
        return "the metric or the references"
    return "pixels (decoder or resize)" if found["correlation"] > 0.99 else "the weights"


def _pixel_allowance(har: HarResult, shifts: np.ndarray) -> Allowance:
    """Move every logit as far as the pixels of the published runs may, some times, and see how far the scores go.

    A box gets the measured shift of a box that is drawn at random, with a random sign. Boxes with equal scores get the
    same one: they lie off the feature map, where pixels do not matter. The allowance is three times the root mean
    square of the changes.
    """
    rows = har.predictions
    assert rows.score is not None
    scores = rows.score.reshape(-1, shifts.shape[1])
    _, group = np.unique(scores, axis=0, return_inverse=True)
    groups, shared = int(group.max()) + 1, np.bincount(group) > 1
    random = np.random.default_rng(0)
    changes: dict[str, list[float]] = {name: [0.0] for name in HAR_SCORES}
    for _ in range(DRAWS if shifts.any() else 0):
        moved = shifts[random.integers(len(shifts), size=groups)] * random.choice([-1.0, 1.0], size=(groups, 1))
        moved[shared] = 0.0
        own = score_har(replace(rows, score=(scores + moved[group]).ravel()), har.references, har.settings).scores
        for name, values in changes.items():
            values.append(100 * (own[name] - har.scores[name]))
    points = {name: SIGMAS * float(np.sqrt(np.mean(np.square(values)))) for name, values in changes.items()}
    rms = float(np.sqrt(np.mean(np.square(shifts))))
    text = (
        f"other pixels: the JPEG frames of the published runs move these logits by {rms:.3f} (RMS, measured on "
        f"{len(shifts)} boxes of this run), which moves the mAP by up to {points['map']:.2f} points"
    )
    return Allowance("pixels", text, {name: (value, value) for name, value in points.items()})


def shifts_of(path: Path, other: Mapping[tuple[str, int], np.ndarray]) -> np.ndarray:
    """Return the logits of other pixels minus those of a prediction file, ``(boxes, classes)``.

    Args:
        path: The prediction file of a run.
        other: Logits of some of its key frames, by clip and frame.
    """
    own = logits_of(path)
    moved = [logits - own[key] for key, logits in other.items() if key in own and own[key].shape == logits.shape]
    return np.concatenate(moved) if moved else np.empty((0, next(iter(own.values())).shape[1] if own else 0))


def logits_of(path: Path) -> dict[tuple[str, int], np.ndarray]:
    """Return the logits of a prediction file, ``(boxes, classes)`` by clip and frame.

    Args:
        path: The prediction file of a run, in which every box has all classes.
    """
    rows = read_actions(path)
    assert rows.score is not None
    classes = rows.columns or len(np.unique(rows.action))
    scores = rows.score.reshape(-1, classes)
    places: dict[tuple[str, int], list[int]] = {}
    for place in range(len(scores)):
        row = place * classes
        places.setdefault((rows.videos[rows.video[row]], int(rows.frame[row])), []).append(place)
    return {key: scores[own] for key, own in places.items()}


def _row_keys(rows: ActionRows) -> np.ndarray:
    return np.column_stack([rows.video, rows.frame, rows.action, rows.box])


def _score_of(rows: ActionRows) -> dict[tuple[Any, ...], float]:
    """Return the score of every box and action; boxes are compared by the three decimals of the released files."""
    assert rows.score is not None
    boxes = [tuple(box) for box in np.round(rows.box, 3).tolist()]
    names = (rows.videos[code] for code in rows.video.tolist())
    keys = zip(names, rows.frame.tolist(), boxes, rows.action.tolist(), strict=True)
    return dict(zip(keys, rows.score.tolist(), strict=True))


def read_references(references: str | Path | None, where: Mapping[str, Any]) -> References:
    """Return the references of the official test split, or those of a file."""
    target = Target("har", None if references is None else str(references), **where, scheme="official")
    place = Path(references).name if references is not None else describe_release(**where)
    return References("har", read_rows(find_data(target), references=True), place, sample=where["source"] == "sample")
