"""Predicted actions joined to the labelled persons of all splits, whichever split a run predicted."""

from __future__ import annotations

import numpy as np

from ...data.release.bounding_boxes import BOX
from ...errors import PredictionError
from ...metrics.har.alignment import align
from ...metrics.har.checks import class_columns
from ...metrics.har.files import read_about
from ...metrics.har.inputs import read_rows
from ...metrics.har.rows import Rows
from ..boxes import aligned_scores
from ..examples import ranking_quality
from ..scoring import read_actions
from .catalogue import Catalogue
from .runs import Ranked, Run


def read_actions_said(run: Run, catalogue: Catalogue) -> None:
    """Fill ``run.persons``, and ``run.score`` with the mean ranking precision of a clip's persons."""
    assert run.system is not None and run.system.predictions is not None
    path = run.system.predictions
    given = read_actions(path)
    aligned = align(given, _references(catalogue), class_columns(given, None), missing="drop", unknown="drop")
    boxes = aligned_scores(aligned, read_about(path).get("scores_are"))
    if aligned.dropped:
        run.notes.append(f"{aligned.dropped} rows are for clips that this data set does not have")
    strangers = int((aligned.partner < 0).sum())
    if strangers:
        run.notes.append(f"{strangers} predicted boxes lie on no labelled person and are not shown")
    qualities: dict[int, list[float]] = {}
    chances, further = boxes.chances, 0
    for row, video_id in enumerate(boxes.video):
        if (video_id, int(boxes.person[row])) in run.persons:
            further += 1
            continue
        quality = ranking_quality(boxes.scores[row], boxes.truth[row])
        run.persons[video_id, int(boxes.person[row])] = Ranked(boxes.scores[row], chances[row], quality)
        qualities.setdefault(catalogue.place_of[video_id], []).append(quality)
    if further:
        run.notes.append(f"{further} boxes lie on a person that has one already and are not shown")
    if not qualities:
        raise PredictionError("no predicted box lies on a labelled person of this data set")
    for place, found in qualities.items():
        run.score[place] = float(np.mean(found))


def _references(catalogue: Catalogue) -> Rows:
    """Every label of every person with a key frame."""
    release = catalogue.release
    keys = release.key_frames
    place = {
        (video, person): row
        for row, (video, person) in enumerate(
            zip(keys["video_id"].to_pylist(), keys["person_id"].to_pylist(), strict=True)
        )
    }
    labels = release.labels
    persons = zip(labels["video_id"].to_pylist(), labels["person_id"].to_pylist(), strict=True)
    rows = np.array([place.get(person, -1) for person in persons], dtype=np.int64)
    shown = np.flatnonzero(rows >= 0)
    if not len(shown):
        raise PredictionError("nobody in this data set has a box, so predicted actions belong to no one")
    videos = keys["video_id"].to_pylist()
    columns = {
        "video_id": [videos[row] for row in rows[shown]],
        "frame": keys["frame"].to_numpy()[rows[shown]],
        **{name: keys[name].to_numpy()[rows[shown]] for name in BOX},
        "action_id": labels["action_id"].to_numpy()[shown],
        "person_id": keys["person_id"].to_numpy()[rows[shown]],
    }
    return read_rows(columns, references=True)
