"""Runs and prediction files as the explorer shows them: what each says of a person, a clip or a question."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ...data.release.bounding_boxes import BOX
from ...errors import MicroG4MError, PredictionError
from ...metrics.har.alignment import align
from ...metrics.har.checks import resolve_classes
from ...metrics.har.files import read_about
from ...metrics.har.inputs import read_rows
from ...metrics.har.rows import ActionRows
from ...metrics.text.entries import read_entries
from ...metrics.text.ngrams import pair_texts
from ...metrics.text.rouge_l import rouge_l_items
from ..box_scores import aligned_scores
from ..examples import ranking_quality
from ..runs import System, find_systems
from ..scoring import read_actions
from .catalogue import Catalogue
from .html import readable


@dataclass(frozen=True)
class Ranked:
    """One person as a run sees them."""

    scores: np.ndarray  # (50,) as written, -inf where a class has none
    chances: np.ndarray  # (50,) as probabilities
    quality: float  # average precision of the person's ranking


@dataclass(frozen=True)
class Said:
    """One caption or answer of a run; ``rouge_l`` against the references of its item."""

    text: str
    rouge_l: float


@dataclass
class Run:
    """A system with its predictions joined to the clips; ``problem`` says why there are none."""

    name: str
    task: str | None
    path: str
    problem: str | None = None
    notes: list[str] = field(default_factory=list)
    score: np.ndarray = field(default_factory=lambda: np.empty(0))  # per clip, nan where nothing was predicted
    persons: dict[tuple[str, int], Ranked] = field(default_factory=dict)
    texts: dict[Any, Said] = field(default_factory=dict)  # by clip, or by (clip, question)
    system: System | None = None

    @property
    def measure(self) -> str:
        """What ``score`` is."""
        return "ranking precision" if self.task == "har" else "ROUGE-L"

    @property
    def clips(self) -> int:
        """How many clips the run says something about."""
        return int(np.isfinite(self.score).sum())


def read_runs(words: Iterable[str | os.PathLike[str]], catalogue: Catalogue, *, task: str | None = None) -> list[Run]:
    """The runs that are named, in the forms that ``microg4m report`` takes; what cannot be read keeps its reason."""
    given = list(words)
    if not given:
        return []
    return [_read(system, catalogue) for system in find_systems(given, task=task)]


def _read(system: System, catalogue: Catalogue) -> Run:

    run = Run(readable(system.name), system.task, str(system.path), system.problem, system.notes, system=system)
    run.score = np.full(len(catalogue), np.nan)
    if run.problem is None:
        try:
            (read_actions_said if run.task == "har" else read_texts_said)(run, catalogue)
        except (MicroG4MError, OSError, ValueError) as error:
            run.problem = " ".join(str(error).split())
    return run


# Predicted actions joined to the labelled persons of all splits, whichever split a run predicted.


def read_actions_said(run: Run, catalogue: Catalogue) -> None:
    """Fill ``run.persons``, and ``run.score`` with the mean ranking precision of a clip's persons."""
    assert run.system is not None and run.system.predictions is not None
    path = run.system.predictions
    given = read_actions(path)
    aligned = align(given, _action_references(catalogue), resolve_classes(given, None), missing="drop", unknown="drop")
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


def _action_references(catalogue: Catalogue) -> ActionRows:
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


# Captions and answers of a run joined to their references, with ROUGE-L of each.


def read_texts_said(run: Run, catalogue: Catalogue) -> None:
    """Fill ``run.texts``, and ``run.score`` with the mean ROUGE-L of what the run said about a clip."""
    assert run.system is not None and run.task is not None
    meant = _text_references(run.task, catalogue)
    entries = read_entries(run.system.predictions, run.task, "predictions")
    said = {
        entry.key: readable(entry.text) if isinstance(entry.text, str) else ""
        for entry in entries
        if entry.key in meant
    }
    strangers = len({entry.key for entry in entries} - said.keys())
    if strangers:
        run.notes.append(f"{strangers} predictions are for items that this data set does not have")
    if not said:
        raise PredictionError("no prediction is for an item of this data set")
    keys = list(said)
    values = rouge_l_items(pair_texts([said[key] for key in keys], [meant[key] for key in keys]))
    of_clip: dict[str, list[float]] = {}
    for key, value in zip(keys, values.tolist(), strict=True):
        run.texts[key] = Said(said[key], value)
        of_clip.setdefault(key if run.task == "caption" else key[0], []).append(value)
    for video_id, found in of_clip.items():
        run.score[catalogue.place_of[video_id]] = float(np.mean(found))


def _text_references(task: str, catalogue: Catalogue) -> dict[Any, list[str]]:
    if task == "caption":
        return dict(catalogue.captions)
    return {
        (video_id, one.question.strip()): [one.answer]
        for video_id, asked in catalogue.questions.items()
        for one in asked
    }
