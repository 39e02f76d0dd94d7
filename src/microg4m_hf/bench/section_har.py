"""The section of a report on actions: scores per action, curves, calibration, parts, confusions, examples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .box_scores import BoxScores, action_pairs, box_scores, precision_recall, reliability, top_confusions
from .examples import action_examples
from .findings import best_first, series_of
from .references import References
from .render.charts import (
    FEW_LABELS,
    ActionChart,
    ActionRow,
    ConfusionChart,
    Curve,
    CurveChart,
    FrequencyChart,
    Series,
    known,
)
from .render.document import Cell, Collapsible, ContentBlock, ExampleGrid, Figure, Paragraph, Table
from .render.formatting import explorer_link, percent, score_cell
from .scoring import RunScores, ScoringOptions, add_domain_intervals
from .section_scores import breakdown_table

_CURVES = 8  # runs in a chart of curves
_ACTION_RUNS = 12  # runs in the charts and the table of actions
_MIN_CASES = 30  # fewer confusions, or fewer cases of a point, make no chart
_PARTS = ("domain", "group", "frequency")
_COLUMNS = ("map", "f1", "recall", "auroc", "precision")  # the order of the published tables


def har_blocks(
    name: str, runs: Sequence[RunScores], references: References, details: int, options: ScoringOptions
) -> tuple[list[ContentBlock], dict[str, Any]]:
    """Return blocks with charts of the best runs and details of the first ``details``, and their data by run."""
    best, series = best_first(runs, "map"), series_of(runs, "map")
    boxes = {run.name: box_scores(run.har) for run in best[: max(details, _CURVES)] if run.har is not None}
    blocks, tables = _action_blocks(name, best, references, series)
    data: dict[str, Any] = {}
    for run in best[:_CURVES]:
        assert run.har is not None
        data[run.name] = {"precision_recall": precision_recall(run.har), "reliability": reliability(boxes[run.name])}
    figures, calibration = _curves(name, {series[run]: found for run, found in data.items()})
    blocks += [*figures, *tables, calibration]
    for place, run in enumerate(best[:details]):
        add_domain_intervals(run, references, options)
        inner, more = _details(name, run, boxes[run.name], references)
        data[run.name] = data.get(run.name, {}) | more
        blocks.append(Collapsible(run.name, inner, is_open=place == 0, run=run.info.file_name))
    if len(best) > details:
        blocks.append(Paragraph(f"Details of the {details} best of {len(best)} runs; use --details to show more."))
    return blocks, data


def _action_blocks(
    name: str, best: Sequence[RunScores], references: References, series: Mapping[str, Series]
) -> tuple[list[ContentBlock], list[ContentBlock]]:
    """Show the average precision of every action for all runs: two linked charts, and the same as a table."""
    shown = best[:_ACTION_RUNS]
    counts = references.class_counts
    rows: list[ActionRow] = []
    unlabeled: list[str] = []
    for action, entry in shown[0].result["per_class"].items():
        if not entry["labels"]:
            unlabeled.append(entry["name"])
            continue
        values = []
        for run in shown:
            low, high = run.result.get("class_intervals", {}).get(action) or (None, None)
            own = run.result["per_class"].get(action)
            values.append((own["ap"] if own else float("nan"), low, high))
        in_training = counts.get(action, 0) if counts is not None else None
        rows.append(ActionRow(action, entry["name"], entry["labels"], in_training, values))
    if not rows:
        return [], []
    rows.sort(key=lambda row: (-row.labels, row.name))
    runs = [series[run.name] for run in shown]
    boxes = shown[0].result["counts"]["labelled_boxes"]
    labels = sum(row.labels for row in rows)
    few = sum(row.few for row in rows)
    note = f"n: {labels:,} labels of {len(rows)} actions. Faded: {few} actions with fewer than {FEW_LABELS} labels."
    if len(shown) < len(best):
        note += f" The {len(shown)} best of {len(best)} runs."
    lines = " Lines: 95 % intervals by the jackknife over films"
    lines += ", of the best run or the chosen one." if len(runs) > 6 else "; none below five films that show an action."
    blocks: list[ContentBlock] = [
        Figure(f"{name}-actions", ActionChart("Average precision by action", runs, rows), note + lines),
        Figure(f"{name}-frequency", FrequencyChart("Average precision and frequency", runs, rows, boxes), note),
    ]
    table = _action_table(name, runs, rows, note)
    tables: list[ContentBlock] = [Collapsible(f"Average precision of {len(rows)} actions as a table", [table])]
    if unlabeled:
        tables.append(Paragraph(f"{len(unlabeled)} classes have no label in this split: {', '.join(unlabeled)}."))
    return blocks, tables


def _action_table(name: str, runs: Sequence[Series], rows: Sequence[ActionRow], note: str) -> Table:
    head = ["action", "labels", "in training", *(run.name for run in runs)]
    cells = []
    for row in rows:
        top = max((value for value, _, _ in row.values if known(value)), default=None)
        scores = []
        for value, low, high in row.values:
            cell = score_cell(value, None if low is None or high is None else [low, high])
            scores.append(Cell(percent(value, 1), cell.below, value == top and len(runs) > 1))
        training = "–" if row.in_training is None else str(row.in_training)
        cells.append([Cell(row.name), Cell(str(row.labels)), Cell(training), *scores])
    numbers = [str(place) for place in range(1, len(runs) + 1)]
    legend = ", ".join(f"{number} {run.name}" for number, run in zip(numbers, runs, strict=True))
    return Table(
        f"{name}-actions",
        "Average precision by action, × 100, with 95 % intervals by the jackknife over films",
        head,
        cells,
        ["few" if row.few else "" for row in rows],
        row_actions=[row.action for row in rows],
        row_links=[explorer_link(actions=str(row.action)) for row in rows],
        sortable=True,
        short_head=["action", "n", "in training", *numbers],
        note=note,
        paper_note=f"n: labels in the test split. Runs: {legend}.",
        page_columns=(2,),
    )


def _curves(name: str, found: Mapping[Series, dict[str, Any]]) -> tuple[list[ContentBlock], Table]:
    """Show precision against recall, and the calibration of the probabilities with the sizes of its bins."""
    recalls, calibrations, rows = [], [], []
    for run, one in found.items():
        curve, calibration = one["precision_recall"], one["reliability"]
        recalls.append(Curve(run, curve["recall"], curve["precision"]))
        large = [part for part in calibration["bins"] if part["count"] >= _MIN_CASES]
        points = ([part[key] for part in large] for key in ("said", "found", "count"))
        if len(large) > 1:
            calibrations.append(Curve(run, *points))
        counts = dict.fromkeys(range(10), 0)
        counts |= {min(int(10 * part["said"]), 9): part["count"] for part in calibration["bins"]}
        cells = [Cell(f"{count:,}") for count in counts.values()]
        rows.append([Cell(run.name), Cell(percent(calibration["ece"], 1)), *cells])
    blocks: list[ContentBlock] = [
        Figure(
            f"{name}-precision-recall",
            CurveChart("Precision and recall, mean over actions", recalls, "recall, %", "precision, %"),
        )
    ]
    if calibrations:
        x_label = "predicted probability (sigmoid of the score), %"
        chart = CurveChart(
            "Reliability of the probabilities", calibrations, x_label, "observed frequency, %", True, True
        )
        note = f"Bins with fewer than {_MIN_CASES} cases have no point; the table below has all counts."
        blocks.append(Figure(f"{name}-reliability", chart, note))
    head = ["run", "ECE, %", *(f"{10 * place}–{10 * place + 10} %" for place in range(10))]
    caption = "Expected calibration error, and the number of predictions (person and action) by predicted probability"
    keys = [run.key for run in found]
    return blocks, Table(f"{name}-calibration", caption, head, rows, row_runs=keys, sortable=True)


def _details(
    name: str, run: RunScores, boxes: BoxScores, references: References
) -> tuple[list[ContentBlock], dict[str, Any]]:
    prefix = f"{name}-{run.info.file_name}"
    blocks: list[ContentBlock] = []
    table = breakdown_table(name, run, _PARTS, _COLUMNS)
    if table is not None:
        blocks.append(table)
    confusions, pairs = top_confusions(boxes), action_pairs(boxes)
    cases = sum(map(sum, confusions["named_instead"]))
    if cases >= _MIN_CASES:
        chart = ConfusionChart(
            f"Confused actions, {run.name}",
            confusions["actions"],
            confusions["named_instead"],
            confusions["true"],
            confusions["found"],
        )
        note = (
            f"{cases:.0f} persons among the {len(confusions['actions'])} actions that are confused most. Found: among "
            "the n top-ranked actions of a person who does n actions; a missed action is shared among the wrong ones."
        )
        blocks.append(Figure(f"{prefix}-confusions", chart, note))
    elif cases:
        blocks.append(Paragraph(f"{cases:.0f} confusions are too few for a chart; report.json has them."))
    if pairs:
        blocks.append(_pairs_table(prefix, run.name, pairs))
    worst, best = action_examples(boxes, references.clips)
    if (worst or best) and not any(example.jpeg for example in [*worst, *best]):
        blocks.append(Paragraph("No pictures: the clips are not available."))
    blocks += [ExampleGrid("Persons ranked worst", worst), ExampleGrid("Persons ranked best", best)]
    return blocks, {"confusions": confusions, "pairs": pairs}


def _pairs_table(prefix: str, name: str, pairs: list[dict[str, Any]]) -> Table:
    head = ["actions of one person", "persons", "both found", "first only", "second only", "none"]
    keys = ("together", "both", "only_first", "only_second", "none")
    rows = [[Cell(f"{pair['first']} + {pair['second']}"), *(Cell(str(pair[key])) for key in keys)] for pair in pairs]
    caption = f"Actions that occur together, and which of them are among the top-ranked actions, {name}"
    short = ["actions of one person", "n", "both", "first", "second", "none"]
    return Table(f"{prefix}-pairs", caption, head, rows, sortable=True, short_head=short)
