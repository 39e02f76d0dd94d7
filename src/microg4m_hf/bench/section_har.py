"""The section of a report on actions: curves, calibration, classes, parts, confusions, examples."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..taxonomy import ACTIONS
from .box_scores import BoxScores, action_pairs, box_scores, precision_recall, reliability, top_confusions
from .examples import action_examples
from .references import References
from .render import charts
from .render.document import Cell, Collapsible, ContentBlock, ExampleGrid, Figure, Paragraph, Table
from .render.drawing import Drawing
from .scoring import RunScores, ScoringOptions, add_domain_intervals
from .section_scores import breakdown_table

_CURVES = 8  # runs in one chart


def har_blocks(
    name: str, runs: Sequence[RunScores], references: References, details: int, options: ScoringOptions
) -> tuple[list[ContentBlock], dict[str, Any]]:
    """Return blocks with charts of the best runs and details of the first ``details``, and their data by run."""
    best = sorted(runs, key=lambda run: -_or_minus_one(run.result["scores"]["map"]))
    boxes = {run.name: box_scores(run.har) for run in best[: max(details, _CURVES)] if run.har is not None}
    data: dict[str, Any] = {}
    recalls, calibrations = [], []
    for run in best[:_CURVES]:
        assert run.har is not None
        curve, calibration = precision_recall(run.har), reliability(boxes[run.name])
        data[run.name] = {"precision_recall": curve, "reliability": calibration}
        recalls.append(charts.Curve(run.name, curve["recall"], curve["precision"]))
        predicted, observed = ([part[key] for part in calibration["bins"]] for key in ("said", "found"))
        calibrations.append(charts.Curve(f"{run.name}, ECE {100 * calibration['ece']:.1f}", predicted, observed))
    blocks: list[ContentBlock] = [
        Figure(
            f"{name}-precision-recall",
            charts.line_chart(
                "Precision and recall, mean over actions", recalls, x_label="recall", y_label="precision"
            ),
        ),
        Figure(
            f"{name}-reliability",
            charts.line_chart(
                "Reliability of the probabilities",
                calibrations,
                x_label="predicted probability (sigmoid of the score), %",
                y_label="observed frequency, %",
                diagonal=True,
                dots=True,
            ),
        ),
    ]
    for place, run in enumerate(best[:details]):
        add_domain_intervals(run, references, options)
        inner, more = _details(name, run, boxes[run.name], references)
        data[run.name] = data.get(run.name, {}) | more
        blocks.append(Collapsible(run.name, inner, is_open=place == 0))
    if len(best) > details:
        blocks.append(Paragraph(f"Details of the {details} best of {len(best)} runs; use --details to show more."))
    return blocks, data


def _details(
    name: str, run: RunScores, boxes: BoxScores, references: References
) -> tuple[list[ContentBlock], dict[str, Any]]:
    prefix = f"{name}-{run.info.file_name}"
    unlabeled = [entry["name"] for entry in run.result["per_class"].values() if not entry["labels"]]
    blocks: list[ContentBlock] = [Figure(f"{prefix}-classes", _class_chart(run, references))]
    if unlabeled:
        blocks.append(Paragraph(f"{len(unlabeled)} classes have no label in this split: {', '.join(unlabeled)}."))
    table = breakdown_table(name, run, ("domain", "group", "frequency"), ("map", "f1", "recall", "precision", "auroc"))
    if table is not None:
        blocks.append(table)
    confusions, pairs = top_confusions(boxes), action_pairs(boxes)
    if confusions["actions"]:
        heatmap = charts.heatmap("Confused actions (persons)", confusions["actions"], confusions["named_instead"])
        blocks.append(Figure(f"{prefix}-confusions", heatmap))
    if pairs:
        blocks.append(_pairs_table(prefix, pairs))
    worst, best = action_examples(boxes, references.clips)
    if not any(example.jpeg for example in [*worst, *best]):
        blocks.append(Paragraph("No pictures: the clips are not available."))
    blocks += [ExampleGrid("Persons ranked worst", worst), ExampleGrid("Persons ranked best", best)]
    return blocks, {"confusions": confusions, "pairs": pairs}


def _class_chart(run: RunScores, references: References) -> Drawing:
    """Draw the average precision of every action, best first, with its labels in the test split and in training."""
    counts, intervals = references.class_counts, run.result.get("class_intervals", {})
    bars = []
    for action in ACTIONS:
        entry = run.result["per_class"].get(action.action_id)
        if entry is None or not entry["labels"]:
            continue
        low, high = intervals.get(action.action_id) or (None, None)
        in_training = f" / {counts.get(action.action_id, 0)}" if counts is not None else ""
        bars.append(charts.Bar(action.name, entry["ap"], low, high, f"{entry['labels']}{in_training}"))
    bars.sort(key=lambda bar: (-_or_minus_one(bar.value), bar.name))
    notes = "labels: test / train" if counts is not None else "labels"
    return charts.bar_chart(f"Average precision, {run.name}", bars, notes=notes)


def _pairs_table(prefix: str, pairs: list[dict[str, Any]]) -> Table:
    head = ["actions of one person", "persons", "both found", "first only", "second only", "none"]
    keys = ("together", "both", "only_first", "only_second", "none")
    rows = [[Cell(f"{pair['first']} + {pair['second']}"), *(Cell(str(pair[key])) for key in keys)] for pair in pairs]
    caption = "Actions that occur together, and which of them are among the person's top-ranked actions"
    return Table(f"{prefix}-pairs", caption, head, rows)


def _or_minus_one(value: float) -> float:
    return value if value == value else -1.0
