"""The section on actions: classes, parts, curves, calibration, confusions, examples."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..taxonomy import ACTIONS
from .box_scores import BoxScores, box_scores, most_confused, pairs_together, precision_recall, reliability
from .examples import action_examples
from .references import Truth
from .render import charts
from .render.document import Block, Cell, Examples, Figure, Fold, Paragraph, Table
from .render.names import slug
from .scoring import Options, Scored, add_domain_intervals
from .section_scores import breakdown_table

_CURVES = 8  # systems in one chart


def har_blocks(
    name: str, systems: Sequence[Scored], truth: Truth, details: int, options: Options
) -> tuple[list[Block], dict[str, Any]]:
    """Curves of the best systems together, then a fold for each of the first ``details``."""
    best = sorted(systems, key=lambda one: -_defined(one.result["scores"]["map"]))
    boxes = {one.system.name: box_scores(one.har) for one in best[: max(details, _CURVES)] if one.har is not None}
    data: dict[str, Any] = {}
    recalls, gaps = [], []
    for one in best[:_CURVES]:
        assert one.har is not None
        curve, trust = precision_recall(one.har), reliability(boxes[one.system.name])
        data[one.system.name] = {"precision_recall": curve, "reliability": trust}
        recalls.append(charts.Curve(one.system.name, curve["recall"], curve["precision"]))
        said, found = ([part[key] for part in trust["bins"]] for key in ("said", "found"))
        gaps.append(charts.Curve(f"{one.system.name}, mean gap {100 * trust['ece']:.1f}", said, found))
    blocks: list[Block] = [
        Figure(
            f"{name}-precision-recall",
            charts.lines("Precision and recall, mean over actions", recalls, across="recall", up="precision"),
        ),
        Figure(
            f"{name}-reliability",
            charts.lines(
                "Reliability of the probabilities",
                gaps,
                across="probability said (sigmoid of the score), %",
                up="found true, %",
                diagonal=True,
                dots=True,
            ),
        ),
    ]
    for place, one in enumerate(best[:details]):
        add_domain_intervals(one, truth, options)
        inner, more = _details(name, one, boxes[one.system.name], truth)
        data[one.system.name] = data.get(one.system.name, {}) | more
        blocks.append(Fold(one.system.name, inner, shown=place == 0))
    if len(best) > details:
        blocks.append(Paragraph(f"Details of the {details} best of {len(best)} systems; --details asks for more."))
    return blocks, data


def _details(name: str, one: Scored, boxes: BoxScores, truth: Truth) -> tuple[list[Block], dict[str, Any]]:
    own = f"{name}-{slug(one.system.name)}"
    without = [entry["name"] for entry in one.result["per_class"].values() if not entry["labels"]]
    blocks: list[Block] = [Figure(f"{own}-classes", class_bars(one, truth))]
    if without:
        blocks.append(Paragraph(f"{len(without)} classes have no label in this split: {', '.join(without)}."))
    table = breakdown_table(name, one, ("domain", "group", "frequency"), ("map", "f1", "recall", "precision", "auroc"))
    if table is not None:
        blocks.append(table)
    confused, pairs = most_confused(boxes), pairs_together(boxes)
    if confused["actions"]:
        title = "Actions named instead of others (persons)"
        blocks.append(Figure(f"{own}-confusions", charts.heat(title, confused["actions"], confused["named_instead"])))
    if pairs:
        blocks.append(_pairs_table(own, pairs))
    worst, best = action_examples(boxes, truth.clips)
    if not any(example.jpeg for example in [*worst, *best]):
        blocks.append(Paragraph("No pictures: the clips are not at hand."))
    blocks += [Examples("Worst ranked persons", worst), Examples("Best ranked persons", best)]
    return blocks, {"confusions": confused, "pairs": pairs}


def class_bars(one: Scored, truth: Truth) -> Any:
    """Average precision of every action, best first, with labels in the test split and in training."""
    rows = []
    for action in ACTIONS:
        entry = one.result["per_class"].get(action.action_id)
        if entry is None or not entry["labels"]:
            continue
        low, high = one.result.get("class_intervals", {}).get(action.action_id, (None, None))
        trained = f" / {truth.class_counts.get(action.action_id, 0)}" if truth.class_counts is not None else ""
        rows.append(charts.Bar(action.name, entry["ap"], low, high, f"{entry['labels']}{trained}"))
    rows.sort(key=lambda bar: (-_defined(bar.value), bar.name))
    beside = "labels: test / train" if truth.class_counts is not None else "labels"
    return charts.bars(f"Average precision, {one.system.name}", rows, beside=beside)


def _pairs_table(own: str, pairs: list[dict[str, Any]]) -> Table:
    head = ["done together", "persons", "both found", "first only", "second only", "none"]
    rows = [
        [
            Cell(f"{pair['first']} + {pair['second']}"),
            *(Cell(str(pair[key])) for key in ("together", "both", "only_first", "only_second", "none")),
        ]
        for pair in pairs
    ]
    caption = "Actions that occur together, and which of them are among the person's first-ranked"
    return Table(f"{own}-pairs", caption, head, rows)


def _defined(value: float) -> float:
    return value if value == value else -1.0
