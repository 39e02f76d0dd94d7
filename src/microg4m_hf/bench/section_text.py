"""The section of a report on captions or answers: lengths, refusals, frames, parts, examples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..metrics.text.caption_vqa import is_refusal
from .examples import text_examples
from .findings import MAIN_SCORE, best_first, series_of
from .published import PublishedTable
from .references import References
from .render.charts import FramesChart, FramesPoint
from .render.document import Cell, Collapsible, ContentBlock, ExampleGrid, Figure, Paragraph, Table
from .render.formatting import SCORE_NAMES, number_cell, share_cell
from .scoring import RunScores
from .section_scores import breakdown_table, score_columns


def text_blocks(
    name: str, runs: Sequence[RunScores], references: References, details: int, tables: Mapping[str, PublishedTable]
) -> tuple[list[ContentBlock], dict[str, Any]]:
    """Return blocks with tables of all runs and details of the first ``details``, and their data by run."""
    main = MAIN_SCORE[references.task]
    best = best_first(runs, main)
    expected = text_statistics([text for _, _, text in best[0].texts])
    facts = {run.name: text_statistics([text for _, text, _ in run.texts]) for run in best}
    keys = ["", *(run.info.file_name for run in best)]
    blocks: list[ContentBlock] = [
        _statistics_table(name, expected, facts, keys),
        _lengths_table(name, expected, facts, keys),
    ]
    figure = _frames_figure(name, best, references, main, tables)
    if figure is not None:
        blocks.append(figure)
    for place, run in enumerate(best[:details]):
        inner = _details(name, run, references, tables[references.task])
        blocks.append(Collapsible(run.name, inner, is_open=place == 0, run=run.info.file_name))
    if len(best) > details:
        blocks.append(Paragraph(f"Details of the {details} best of {len(best)} runs; use --details to show more."))
    return blocks, {"references": expected, **{key: {"texts": value} for key, value in facts.items()}}


def text_statistics(texts: Sequence[str]) -> dict[str, Any]:
    """Return words per text, shares of empty texts and refusals, and the share of the most common text.

    >>> found = text_statistics(["Not mentioned.", "A crew eats.", "Not mentioned.", ""])
    >>> found["refusals"], found["empty"], found["words_median"], found["commonest_share"]
    (0.5, 0.25, 2.0, 0.5)
    """
    if not texts:
        return {"texts": 0}
    words = np.array([len(text.split()) for text in texts])
    _, counts = np.unique(np.array(list(texts), dtype=object).astype(str), return_counts=True)
    return {
        "texts": len(texts),
        "words_mean": float(words.mean()),
        "words_median": float(np.median(words)),
        "words_5": float(np.percentile(words, 5)),
        "words_95": float(np.percentile(words, 95)),
        "empty": float((words == 0).mean()),
        "refusals": float(np.mean([is_refusal(text) for text in texts])),
        "distinct": float(counts.size / len(texts)),
        "commonest_share": float(counts.max() / len(texts)),
        "histogram": length_histogram(words),
    }


def length_histogram(words: np.ndarray, edges: Sequence[int] = (0, 1, 2, 4, 8, 16, 32, 64, 128)) -> dict[str, int]:
    """Count texts by their number of words, in bins that double.

    >>> length_histogram(np.array([0, 3, 200]), (0, 1, 4))
    {'0': 1, '1–3': 1, '4 and more': 1}
    """
    found: dict[str, int] = {}
    for low, high in zip(edges, [*edges[1:], None], strict=True):
        inside = words >= low if high is None else (words >= low) & (words < high)
        name = f"{low} and more" if high is None else str(low) if high == low + 1 else f"{low}–{high - 1}"
        found[name] = int(inside.sum())
    return found


def _statistics_table(
    name: str, expected: dict[str, Any], facts: Mapping[str, dict[str, Any]], keys: list[str]
) -> Table:
    head = [
        "texts",
        "number",
        "words, median",
        "5 % to 95 %",
        "mean",
        "“Not mentioned”",
        "empty",
        "distinct",
        "most common",
    ]
    rows = []
    for label, one in {"references": expected, **facts}.items():
        spread = Cell(f"{one['words_5']:.0f} to {one['words_95']:.0f}")
        shares = [share_cell(one[key]) for key in ("refusals", "empty", "distinct", "commonest_share")]
        words = [number_cell(one["words_median"], 0), spread, number_cell(one["words_mean"])]
        rows.append([Cell(label, strong=label != "references"), Cell(str(one["texts"])), *words, *shares])
    caption = "Length, refusals and variety of the texts"
    return Table(f"{name}-texts", caption, head, rows, ["published"], row_runs=keys, sortable=True)


def _lengths_table(name: str, expected: dict[str, Any], facts: Mapping[str, dict[str, Any]], keys: list[str]) -> Table:
    rows = [
        [Cell(label), *(share_cell(count / one["texts"]) for count in one["histogram"].values())]
        for label, one in {"references": expected, **facts}.items()
    ]
    caption = "Share of texts by number of words"
    head = ["words", *expected["histogram"]]
    return Table(f"{name}-lengths", caption, head, rows, ["published"], row_runs=keys, sortable=True)


def _frames_figure(
    name: str, runs: Sequence[RunScores], references: References, main: str, tables: Mapping[str, PublishedTable]
) -> Figure | None:
    """Draw the score against the number of frames, for runs that record how many they read."""
    series = series_of(runs, main)
    own = [
        FramesPoint(run.name, run.info.frames, run.result["scores"][main], series=series[run.name])
        for run in runs
        if run.info.frames
    ]
    published = [
        FramesPoint(row.name, row.frames, row.scores[main] / 100, published=True)
        for row in (() if references.sample else tables[references.task].rows)
        if row.frames
    ]
    if not own or len({point.frames for point in [*own, *published]}) < 2:
        return None  # one number of frames is no trend
    title = f"{SCORE_NAMES[main]} against frames of a clip"
    return Figure(f"{name}-frames", FramesChart(title, [*own, *published], SCORE_NAMES[main]))


def _details(name: str, run: RunScores, references: References, table: PublishedTable) -> list[ContentBlock]:
    blocks: list[ContentBlock] = []
    columns = [score for score in score_columns([run], [table]) if score in run.result["scores"]]
    parts = breakdown_table(name, run, ("answerable",), columns)
    if parts is not None:
        blocks.append(parts)
    values = run.result["items"].get("rouge_l")
    if values is None:
        blocks.append(Paragraph("No examples: they are selected by ROUGE-L, which --metrics does not include."))
        return blocks
    worst, best = text_examples(run.texts, values, references.clips)
    if not worst and not best:
        return blocks
    if not any(example.jpeg for example in [*worst, *best]):
        blocks.append(Paragraph("No pictures: the clips are not available."))
    grids = [ExampleGrid(f"{end} ROUGE-L, {run.name}", some) for end, some in (("Lowest", worst), ("Highest", best))]
    return [*blocks, *grids]
