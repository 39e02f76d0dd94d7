"""Captions and answers of a run joined to their references, with ROUGE-L of each."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...errors import PredictionError
from ...metrics.text.entries import read_entries
from ...metrics.text.ngrams import pair_words
from ...metrics.text.rouge_l import rouge_l_items
from .catalogue import Catalogue
from .runs import Run, Said
from .words import readable


def read_texts_said(run: Run, catalogue: Catalogue) -> None:
    """Fill ``run.texts``, and ``run.score`` with the mean ROUGE-L of what the run said about a clip."""
    assert run.system is not None and run.task is not None
    meant = _references(run.task, catalogue)
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
    values = rouge_l_items(pair_words([said[key] for key in keys], [meant[key] for key in keys]))
    of_clip: dict[str, list[float]] = {}
    for key, value in zip(keys, values.tolist(), strict=True):
        run.texts[key] = Said(said[key], value)
        of_clip.setdefault(key if run.task == "caption" else key[0], []).append(value)
    for video_id, found in of_clip.items():
        run.score[catalogue.place_of[video_id]] = float(np.mean(found))


def _references(task: str, catalogue: Catalogue) -> dict[Any, list[str]]:
    if task == "caption":
        return dict(catalogue.captions)
    return {
        (video_id, one.question.strip()): [one.answer]
        for video_id, asked in catalogue.questions.items()
        for one in asked
    }
