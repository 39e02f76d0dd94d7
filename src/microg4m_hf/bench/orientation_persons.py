"""The orientation probe by person: scores by how a person is turned in the clip, and by how the person is shown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from ..data.orientation import Angles, angle_from_box
from ..data.turns import Turn
from ..data.video.probe import probe
from ..errors import ClipError, RecipeError
from ..metrics.har.inputs import read_rows
from ..metrics.har.result import HarResult, HarSettings, score_har
from ..metrics.significance import add_corrected_p_values, paired_test
from ..training.loading.dataset import KeyFrame
from ..training.predict import prediction_columns, reference_columns

Logits = Mapping[int, np.ndarray]  # of the persons of each key frame, by its index

_HEADS = ("head up", "head to the right", "head down", "head to the left")  # by quarter turns clockwise
_BOXES = ("tall box", "wide box")
_UNKNOWN = -1


def person_quarters(items: Sequence[KeyFrame], angles: Angles | None = None) -> list[np.ndarray]:
    """Return by how many quarter turns, clockwise, the head of each person is turned; -1 if it is not known.

    Args:
        items: The key frames.
        angles: The angles of persons, from ``read_orientations``. By default, a tall box counts as 0 and a wide one
            as 1, in pixels of the clip.

    Raises:
        RecipeError: The angles are those of other persons.
    """
    found = []
    for item in items:
        if angles is not None:
            keys = [(item.video_id, item.frame, int(person)) for person in item.person_ids]
            own = [angles.get(key) for key in keys]
        else:
            try:
                size = probe(item.video)
                own = [angle_from_box(box, size.height, size.width) for box in item.boxes]
            except ClipError:
                own = [None] * len(item.boxes)
        quarters = [_UNKNOWN if angle is None else round(angle / 90) % 4 for angle in own]
        found.append(np.asarray(quarters, np.int64))
    if angles is not None and all((quarters == _UNKNOWN).all() for quarters in found):
        raise RecipeError(
            f"none of the {sum(map(len, found))} persons of the key frames is in the file of angles; its video_id, "
            "frame_id (the key frame, counted from 1) and person_id must be those of the dataset"
        )
    return found


def score_persons(
    items: Sequence[KeyFrame],
    logits: Mapping[Turn, Logits],
    quarters: Sequence[np.ndarray],
    settings: HarSettings,
    *,
    from_boxes: bool,
    seed: int = 0,
) -> dict[str, Any]:
    """Score a probe by the orientation of persons.

    Args:
        items: The key frames.
        logits: What a model says under each turn; the first turn is the baseline.
        quarters: What :func:`person_quarters` returned.
        settings: Of the scores.
        from_boxes: Whether the orientations are only tall and wide boxes.
        seed: Of the orders in which tests rank equal scores.

    Returns:
        ``groups``: for each orientation in the clip, the mAP of its persons under each turn, and their gap.
        ``shown``, if all quarter turns are there: the mAP of all persons as they are shown in one orientation: each
        is taken from the turn of the clip that brings the person there. Persons and labels are the same in each row.
    """
    names = _BOXES if from_boxes else _HEADS
    first = next(iter(logits))
    rotated = [turn for turn in logits if turn.degrees % 360 != first.degrees % 360]
    groups = []
    for number, name in enumerate(names):
        keep = [own == number for own in quarters]
        if not any(mask.any() for mask in keep):
            continue
        scored = {turn: _score(items, found, keep, settings) for turn, found in logits.items()}
        maps = {turn.name: result.scores["map"] for turn, result in scored.items()}
        entry = {"orientation": name, "persons": int(sum(mask.sum() for mask in keep)), "map": maps}
        if rotated:
            entry |= _gap(scored[first], [scored[turn] for turn in rotated], seed)
        groups.append(entry)
    if rotated:
        add_corrected_p_values(groups)
    unknown = int(sum((own == _UNKNOWN).sum() for own in quarters))
    found = {"from": "boxes" if from_boxes else "file", "groups": groups, "unknown": unknown}
    return found | {"shown": _as_shown(items, logits, quarters, settings, names, seed)}


def _as_shown(
    items: Sequence[KeyFrame],
    logits: Mapping[Turn, Logits],
    quarters: Sequence[np.ndarray],
    settings: HarSettings,
    names: Sequence[str],
    seed: int,
) -> list[dict[str, Any]]:
    turns = [Turn(90 * quarter) for quarter in range(4)]
    keep = [own != _UNKNOWN for own in quarters]
    if not all(turn in logits for turn in turns) or not any(mask.any() for mask in keep):
        return []
    readable = set.intersection(*(set(logits[turn]) for turn in turns))
    scored: list[HarResult] = []
    for number in range(len(names)):
        shown = {
            index: np.stack([logits[turns[(number - q) % 4]][index][place] for place, q in enumerate(quarters[index])])
            for index in sorted(readable)
        }
        scored.append(_score(items, shown, keep, settings))
    rows = []
    for name, result in zip(names, scored, strict=True):
        row = {"shown": name, "map": result.scores["map"], "interval": result.intervals(seed=seed)["map"]}
        if result is not scored[0]:
            tested = _gap(result, [scored[0]], seed)
            row |= {"difference": tested["difference"], "difference_interval": tested["interval"], "p": tested["p"]}
        rows.append(row)
    add_corrected_p_values(rows[1:])
    return rows


def _gap(first: HarResult, others: Sequence[HarResult], seed: int) -> dict[str, Any]:
    """Test the mAP of one result minus the mean of others, on the same persons."""
    value = first.scores["map"] - float(np.mean([result.scores["map"] for result in others]))
    without = np.mean([result.left_out(seed).macro()["map"] for result in others], axis=0)
    return paired_test(value, first.left_out(seed).macro()["map"] - without)


def _score(items: Sequence[KeyFrame], logits: Logits, keep: Sequence[np.ndarray], settings: HarSettings) -> HarResult:
    """Score some of the persons."""
    kept: list[KeyFrame] = []
    found = {}
    for index, (item, mask) in enumerate(zip(items, keep, strict=True)):
        if mask.any():
            if index in logits:
                found[len(kept)] = logits[index][mask]
            repeats = tuple(one for one, is_kept in zip(item.repeats, mask, strict=False) if is_kept)
            own = {"boxes": item.boxes[mask], "labels": item.labels[mask], "person_ids": item.person_ids[mask]}
            kept.append(replace(item, **own, repeats=repeats))
    references = read_rows(reference_columns(kept), references=True)
    return score_har(read_rows(prediction_columns(kept, found)), references, settings)
