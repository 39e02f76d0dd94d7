"""Systems of one task on one truth, scored on the same draws of films, so that any two can be compared."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import MicroG4MError
from ..metrics import caption_scores, har_scores, vqa_scores
from ..metrics.bootstrap import LEVEL, cluster_weights, interval
from ..metrics.har.files import read_about
from ..metrics.har.inputs import read_rows
from ..metrics.har.result import HarResult, HarSettings, score_har
from ..metrics.har.rows import ActionRows
from ..metrics.har.subsets import class_parts, clip_parts, select_clips
from ..metrics.text.files import InputSource, read_text_rows
from ..metrics.text.resampling import resample_scores
from .references import Truth
from .runs import System


@dataclass(frozen=True)
class Options:
    """How to score and to resample; ``metrics`` are those of texts."""

    protocol: str = "paper"
    metrics: Sequence[str] = ("bleu", "cider", "rouge_l")
    encoder: str | None = None
    bert_model: str | None = None
    resamples: int = 1000
    seed: int = 0


@dataclass
class Scored:
    """A system with its scores; ``samples`` are its scores in every draw of films."""

    system: System
    result: dict[str, Any]
    samples: dict[str, np.ndarray] = field(default_factory=dict)
    har: HarResult | None = None
    texts: list[tuple[Any, str, str]] = field(default_factory=list)  # key, prediction, reference


def score_system(system: System, truth: Truth, options: Options) -> Scored | None:
    """Score one system; None when that is impossible, and ``system.problem`` then says why."""
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            scored = (_score_har if system.task == "har" else _score_texts)(system, truth, options)
    except (MicroG4MError, OSError) as error:
        system.problem = " ".join(str(error).split())
        return None
    notes = [*scored.result.get("warnings", []), *(str(one.message) for one in caught if _told(one))]
    system.notes += [note for note in dict.fromkeys(notes) if note not in system.notes]
    _compare_with_claim(scored)
    return scored


def _told(warning: warnings.WarningMessage) -> bool:
    return issubclass(warning.category, UserWarning) and not issubclass(warning.category, DeprecationWarning)


def _score_har(system: System, truth: Truth, options: Options) -> Scored:
    assert system.predictions is not None
    given = read_actions(system.predictions)
    references = read_rows(truth.references, references=True)
    about = read_about(system.predictions)
    settings = HarSettings(options.protocol, scores_are=about.get("scores_are"), missing="zero")
    result = har_scores(
        given,
        references,
        protocol=settings.protocol,
        scores_are=settings.scores_are,
        missing=settings.missing,
        by=["group", "frequency"] + (["domain"] if truth.domains is not None else []),
        domains=truth.domains,
        class_counts=truth.class_counts,
        model=system.about.get("model"),
    )
    counted = score_har(given, references, settings)
    missing = result["counts"]["missing"]
    if missing:
        boxes = result["counts"]["labelled_boxes"]
        system.notes.append(f"partial: {missing} of {boxes} labelled boxes have no prediction and count as missed")
    if result["counts"]["absent_scores"]:
        system.notes.append(f"{result['counts']['absent_scores']} class scores are absent and count as lowest")
    samples: dict[str, np.ndarray] = {}
    if options.resamples:
        weights = cluster_weights(len(counted.statistics.sources), options.resamples, options.seed)
        drawn = counted.statistics.resample(weights, options.seed)
        samples = drawn.macro()
        result["intervals"] = _intervals(samples)
        result["class_intervals"] = {
            action: list(interval(drawn.ap[:, place])) for place, action in enumerate(counted.statistics.classes)
        }
        for part in ("group", "frequency"):
            masks = class_parts(part, counted.statistics.classes, references, truth.class_counts)
            for name, mask in masks.items():
                result["by"][part][name]["intervals"] = _intervals(drawn.macro(mask))
    return Scored(system, result, samples, counted)


def add_domain_intervals(scored: Scored, truth: Truth, options: Options) -> None:
    """Intervals of the scores per domain; not done for every system, since each domain is resampled anew."""
    if scored.har is None or truth.domains is None or not options.resamples or scored.system.predictions is None:
        return
    given, references = read_actions(scored.system.predictions), read_rows(truth.references, references=True)
    for domain, clips in clip_parts("domain", references, truth.domains).items():
        own = select_clips(given, clips)
        if not len(own):
            continue
        counted = score_har(own, select_clips(references, clips), scored.har.settings).statistics
        if len(counted.sources) > 1:  # one film alone says nothing about how films differ
            weights = cluster_weights(len(counted.sources), options.resamples, options.seed)
            drawn = counted.resample(weights, options.seed).macro()
            scored.result["by"]["domain"][domain]["intervals"] = _intervals(drawn)


def read_actions(path: Path) -> ActionRows:
    """Predictions of actions from CSV, Parquet, or JSON with one entry per box or clip."""
    if path.suffix.lower() not in (".json", ".jsonl", ".ndjson"):
        return read_rows(path)
    value = read_text_rows(path, InputSource("predictions", path.name))
    return read_rows([row for _, row in value] if isinstance(value, list) else value)


def _score_texts(system: System, truth: Truth, options: Options) -> Scored:
    score = caption_scores if system.task == "caption" else vqa_scores
    result = score(
        system.predictions,
        truth.references,
        metrics=options.metrics,
        protocol="coco" if options.protocol == "coco" else "paper",
        missing="zero",
        on_empty="score",
        encoder=options.encoder,
        bert_model=options.bert_model,
        resamples=0,
    )
    if options.resamples:
        result_samples = resample_scores(result, options.resamples, options.seed)
        result["intervals"] = _intervals(result_samples)
    else:
        result_samples = {}
    if result["counts"]["missing"]:
        system.notes.append(f"partial: {result['counts']['missing']} items have no prediction and count as zero")
    return Scored(system, result, result_samples, texts=_pairs(system, truth, result))


def _pairs(system: System, truth: Truth, result: dict[str, Any]) -> list[tuple[Any, str, str]]:
    from ..metrics.text.entries import read_entries

    assert system.task is not None
    said = {entry.key: entry.text for entry in read_entries(system.predictions, system.task, "predictions")}
    meant = {entry.key: entry.text for entry in read_entries(truth.references, system.task, "references")}
    return [(key, said.get(key, ""), meant[key]) for key in result["ids"]]


def _intervals(samples: dict[str, np.ndarray]) -> dict[str, list[float]]:
    return {name: list(interval(values, LEVEL)) for name, values in samples.items()}


def _compare_with_claim(scored: Scored) -> None:
    """A run wrote its own scores down; say so when the predictions give others."""
    for name, claimed in scored.system.claimed.items():
        found = scored.result["scores"].get(name)
        if found is not None and abs(found - claimed) > 5e-5:
            scored.system.notes.append(
                f"results.json says {name} {100 * claimed:.2f}, its predictions give {100 * found:.2f}"
            )
            return
