"""Score the runs of one task on the same references and films, so that any two can be compared."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import MicroG4MError, Origin
from ..metrics import caption_scores, vqa_scores
from ..metrics.har.files import read_about
from ..metrics.har.inputs import read_rows
from ..metrics.har.result import HarResult, HarSettings, score_har
from ..metrics.har.rows import ActionRows
from ..metrics.har.scores import TieWarning
from ..metrics.har.subsets import group_classes, group_clips
from ..metrics.text.entries import read_entries
from ..metrics.text.files import read_text_rows
from ..metrics.text.resampling import scores_left_out, text_intervals
from .references import References
from .runs import RunInfo

_JSON = (".json", ".jsonl", ".ndjson")


@dataclass(frozen=True)
class ScoringOptions:
    """How a report scores. ``resamples`` is 0 for no intervals, and ``seed`` of the random orders of equal scores."""

    protocol: str = "paper"
    metrics: Sequence[str] = ("bleu", "cider", "rouge_l")  # for captions and answers
    encoder: str | None = None
    bert_model: str | None = None
    resamples: int = 1
    seed: int = 0


@dataclass
class RunScores:
    """A run with its scores."""

    info: RunInfo
    result: dict[str, Any]
    left_out: dict[str, np.ndarray] = field(default_factory=dict)  # every score without each film
    har: HarResult | None = None
    texts: list[tuple[Any, str, str]] = field(default_factory=list)  # key, prediction, reference

    @property
    def name(self) -> str:
        """The name of the run."""
        return self.info.name


def score_run(run: RunInfo, references: References, options: ScoringOptions) -> RunScores | None:
    """Score a run, or set ``run.problem`` and return ``None`` when that is impossible.

    Warnings of the metrics, and recorded scores that the predictions do not reproduce, become ``run.notes``.
    """
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            scores = (_score_har if run.task == "har" else _score_texts)(run, references, options)
    except (MicroG4MError, OSError) as error:
        run.problem = " ".join(str(error).split())
        return None
    shown = [one for one in caught if issubclass(one.category, UserWarning)]
    notes = [*scores.result.get("warnings", []), *(str(one.message) for one in shown)]
    run.notes += [note for note in dict.fromkeys(notes) if note not in run.notes]
    for name, recorded in run.recorded_scores.items():
        computed = scores.result["scores"].get(name)
        if computed is not None and abs(computed - recorded) > 5e-5:
            run.notes.append(
                f"results.json records {name} {100 * recorded:.2f}, but the predictions give {100 * computed:.2f}"
            )
            break
    return scores


def _score_har(run: RunInfo, references: References, options: ScoringOptions) -> RunScores:
    assert run.predictions is not None
    about = read_about(run.predictions)
    settings = HarSettings(options.protocol, scores_are=about.get("scores_are"), missing="zero")
    har = score_har(read_actions(run.predictions), references.data, settings)
    if har.tie_warning:
        warnings.warn(har.tie_warning, TieWarning, stacklevel=2)
    counts = references.class_counts
    result = har.as_dict(
        by=["group", "frequency"] + (["domain"] if references.domains is not None else []),
        domains=references.domains,
        class_counts=counts,
        model=run.about.get("model"),
    )
    missing, absent = (result["counts"][key] for key in ("missing", "absent_scores"))
    if missing:
        boxes = result["counts"]["labelled_boxes"]
        run.notes.append(f"partial: {missing} of {boxes} labeled boxes have no prediction and count as missed")
    if absent:
        run.notes.append(f"{absent} class scores are absent and count as lowest")
    if not options.resamples:
        return RunScores(run, result, har=har)
    result["intervals"] = har.intervals(seed=options.seed)
    result["class_intervals"] = har.class_intervals(seed=options.seed)
    for part in ("group", "frequency"):
        for name, mask in group_classes(part, har.classes, references.data, counts).items():
            result["by"][part][name]["intervals"] = har.intervals(mask=mask, seed=options.seed)
    return RunScores(run, result, har.left_out(options.seed).macro(), har)


def add_domain_intervals(scores: RunScores, references: References, options: ScoringOptions) -> None:
    """Add intervals to the scores per domain. Each domain is scored anew, so only detailed runs get them."""
    if scores.har is None or references.domains is None or not options.resamples:
        return
    for domain, clips in group_clips("domain", references.data, references.domains).items():
        result = scores.har.subset(clips)
        if result is not None:
            scores.result["by"]["domain"][domain]["intervals"] = result.intervals(seed=options.seed)


def readable_actions(path: Path) -> Path | ActionRows:
    """Return a file that the metrics read, with what it records about itself, or the rows of a JSON file."""
    return read_actions(path) if path.suffix.lower() in _JSON else path


def read_actions(path: Path) -> ActionRows:
    """Read predicted actions from CSV, Parquet, or JSON with one entry per box or clip."""
    if path.suffix.lower() not in _JSON:
        return read_rows(path)
    value = read_text_rows(path, Origin(f"predictions {path.name}"))
    return read_rows([row for _, row in value] if isinstance(value, list) else value)


def _score_texts(run: RunInfo, references: References, options: ScoringOptions) -> RunScores:
    assert run.task is not None
    score = caption_scores if run.task == "caption" else vqa_scores
    result = score(
        run.predictions,
        references.data,
        metrics=options.metrics,
        protocol="coco" if options.protocol == "coco" else "paper",
        missing="zero",
        on_empty="score",
        encoder=options.encoder,
        bert_model=options.bert_model,
        resamples=0,
    )
    left_out: dict[str, np.ndarray] = {}
    if options.resamples:
        left_out = scores_left_out(result)
        result["intervals"] = text_intervals(result["scores"], left_out)
    if result["counts"]["missing"]:
        run.notes.append(f"partial: {result['counts']['missing']} items have no prediction and count as zero")
    if result["counts"]["empty"]:
        run.notes.append(f"{result['counts']['empty']} predictions are empty texts and are scored as they are")
    predicted, expected = (
        {entry.key: entry.text for entry in read_entries(source, run.task, role)}
        for source, role in ((run.predictions, "predictions"), (references.data, "references"))
    )
    texts = [(key, predicted.get(key, ""), expected[key]) for key in result["ids"]]
    return RunScores(run, result, left_out, texts=texts)
