"""Read the predictions of runs and join them to the persons, captions and questions of a catalogue."""

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
from ...metrics.text.caption_vqa import is_same_answer
from ...metrics.text.entries import join_key, read_entries
from ...metrics.text.ngrams import pair_texts
from ...metrics.text.rouge_l import rouge_l_items
from ...web.html import valid_unicode
from ..box_scores import aligned_box_scores
from ..examples import ranking_quality
from ..runs import RunInfo, find_runs
from ..scoring import read_actions
from .catalogue import Catalogue

_OTHER = "name the dataset that was predicted with --data-dir or --source"


@dataclass(frozen=True)
class ActionRanking:
    """The actions that a run predicts for one person."""

    scores: np.ndarray  # (50,) as in the predictions, -inf for classes without a score
    probabilities: np.ndarray  # (50,)
    precision: float  # average precision of the ranking


@dataclass(frozen=True)
class Prediction:
    """A caption or an answer of a run, with its ROUGE-L against the references of the item."""

    text: str
    rouge_l: float
    is_right: bool = False  # the text of a reference, as ``exact_match`` compares them


@dataclass(eq=False)
class Run:
    """A run with its predictions joined to the clips of a catalogue."""

    name: str
    task: str | None
    path: str
    problem: str | None = None  # why there are no predictions
    notes: list[str] = field(default_factory=list)
    score: np.ndarray = field(default_factory=lambda: np.empty(0))  # per clip, nan where nothing was predicted
    right: set[Any] = field(default_factory=set)  # keys of persons and texts, as below
    wrong: set[Any] = field(default_factory=set)
    persons: dict[tuple[str, int], ActionRanking] = field(default_factory=dict)
    texts: dict[Any, Prediction] = field(default_factory=dict)  # by clip, or by (clip, question)
    info: RunInfo | None = None

    @property
    def system(self) -> RunInfo | None:
        """The former name of ``info``."""
        return self.info

    @property
    def file_name(self) -> str:
        """The name of the run in file names, which a report uses as its key."""
        return self.info.file_name if self.info else self.name

    @property
    def measure(self) -> str:
        """The name of ``score``."""
        return "ranking precision" if self.task == "har" else "ROUGE-L"

    @property
    def clips(self) -> int:
        """The number of clips with predictions."""
        return int(np.isfinite(self.score).sum())


def read_runs(runs: Iterable[str | os.PathLike[str]], catalogue: Catalogue, *, task: str | None = None) -> list[Run]:
    """Read runs and join their predictions to the clips of a catalogue.

    Args:
        runs: Run folders, folders of run folders, and prediction files, as for ``make_report``.
        catalogue: The clips.
        task: The task of files whose entries do not show it.

    Returns:
        One entry per run. A run that cannot be read has a ``problem``.
    """
    paths = list(runs)
    return [_read(info, catalogue) for info in find_runs(paths, task=task)] if paths else []


def _read(info: RunInfo, catalogue: Catalogue) -> Run:
    run = Run(valid_unicode(info.name), info.task, str(info.path), info.problem, info.notes, info=info)
    run.score = np.full(len(catalogue), np.nan)
    if run.problem is None:
        try:
            (_join_actions if run.task == "har" else _join_texts)(run, info, catalogue)
        except (MicroG4MError, OSError, ValueError) as error:
            run.problem = " ".join(str(error).split())
    return run


def _join_actions(run: Run, info: RunInfo, catalogue: Catalogue) -> None:
    """Join predicted actions to the labeled persons of all splits; a clip's score is its mean ranking precision."""
    assert info.predictions is not None
    predictions = read_actions(info.predictions)
    references = _action_references(catalogue)
    aligned = align(predictions, references, resolve_classes(predictions, None), missing="drop", unknown="drop")
    boxes = aligned_box_scores(aligned, read_about(info.predictions).get("scores_are"))
    if aligned.dropped:
        run.notes.append(f"{aligned.dropped} rows are for clips that are not in this dataset")
    unmatched = int((aligned.partner < 0).sum())
    if unmatched:
        run.notes.append(f"{unmatched} predicted boxes match no labeled person and are not shown")
    of_clip: dict[int, list[float]] = {}
    probabilities, repeated = boxes.probabilities, 0
    for row, video_id in enumerate(boxes.video):
        person = video_id, int(boxes.person[row])
        if person in run.persons:
            repeated += 1
            continue
        precision = ranking_quality(boxes.scores[row], boxes.labels[row])
        run.persons[person] = ActionRanking(boxes.scores[row], probabilities[row], precision)
        # Right is a person whose true actions lead the ranking.
        (run.right if precision == 1.0 else run.wrong).add(person)
        of_clip.setdefault(catalogue.place_of[video_id], []).append(precision)
    if repeated:
        run.notes.append(f"{repeated} boxes match a person that has another box already and are not shown")
    if not of_clip:
        raise PredictionError(f"no predicted box matches a labeled person of this dataset; {_OTHER}")
    for place, values in of_clip.items():
        run.score[place] = float(np.mean(values))


def _action_references(catalogue: Catalogue) -> ActionRows:
    """Return every label of every person with a key frame."""
    keys, labels = catalogue.release.key_frames, catalogue.release.labels
    videos = keys["video_id"].to_pylist()
    row_of = {person: row for row, person in enumerate(zip(videos, keys["person_id"].to_pylist(), strict=True))}
    persons = zip(labels["video_id"].to_pylist(), labels["person_id"].to_pylist(), strict=True)
    rows = np.array([row_of.get(person, -1) for person in persons], dtype=np.int64)
    visible = np.flatnonzero(rows >= 0)
    if not len(visible):
        raise PredictionError(
            "this dataset has no boxes, so predicted actions cannot be matched with persons; give --data-dir a folder "
            "with bounding_boxes.csv"
        )
    rows = rows[visible]
    columns = {
        "video_id": [videos[row] for row in rows],
        "frame": keys["frame"].to_numpy()[rows],
        **{name: keys[name].to_numpy()[rows] for name in BOX},
        "action_id": labels["action_id"].to_numpy()[visible],
        "person_id": keys["person_id"].to_numpy()[rows],
    }
    return read_rows(columns, references=True)


def _join_texts(run: Run, info: RunInfo, catalogue: Catalogue) -> None:
    """Join captions or answers to their references; a clip's score is the mean ROUGE-L of its texts."""
    assert info.task is not None
    if info.task == "caption":
        references: dict[Any, list[str]] = dict(catalogue.captions)
    else:
        references = {
            join_key((video_id, one.question)): [one.answer]
            for video_id, questions in catalogue.questions.items()
            for one in questions
        }
    entries = read_entries(info.predictions, info.task, "predictions")
    texts = {
        entry.key: valid_unicode(entry.text) if isinstance(entry.text, str) else ""
        for entry in entries
        if entry.key in references
    }
    unmatched = len({entry.key for entry in entries} - texts.keys())
    if unmatched:
        run.notes.append(f"{unmatched} predictions are for items that are not in this dataset")
    if not texts:
        raise PredictionError(f"no prediction is for an item of this dataset; {_OTHER}")
    values = rouge_l_items(pair_texts(list(texts.values()), [references[key] for key in texts]))
    of_clip: dict[str, list[float]] = {}
    for (key, text), value in zip(texts.items(), values.tolist(), strict=True):
        is_right = any(is_same_answer(text, one) for one in references[key])
        run.texts[key] = Prediction(text, value, is_right)
        (run.right if is_right else run.wrong).add(key)
        of_clip.setdefault(key if info.task == "caption" else key[0], []).append(value)
    for video_id, found in of_clip.items():
        run.score[catalogue.place_of[video_id]] = float(np.mean(found))
