"""The first part of every section of a report: scores beside published rows, their chart, pairwise comparisons."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .pairwise import MAIN_SCORE, compare_runs
from .published import PublishedTable, differences_from_published, nearest_table
from .references import References
from .render import charts
from .render.document import Cell, ContentBlock, Figure, Paragraph, Table
from .render.formatting import BASELINE_NOTE, SCORE_NAMES, difference_cell, interval_text, score_cell
from .scoring import RunScores

_MATRIX_LIMIT = 20  # runs in the matrix on the page; the JSON has all pairs
_TITLES = {"har": "Human action recognition", "caption": "Captioning", "vqa": "Visual question answering"}


def score_blocks(
    name: str, runs: Sequence[RunScores], references: References, tables: Mapping[str, PublishedTable]
) -> tuple[list[ContentBlock], dict[str, Any]]:
    """Compare runs with the published rows and with each other; return the blocks of the page and the same as data."""
    task, main = references.task, MAIN_SCORE[references.task]
    shown = [] if references.sample else [table for table in tables.values() if table.task == task and table.size]
    columns = _columns(runs, shown)
    # Scores under "paper" are in the units of the published rows; other protocols do not belong in the same ranking.
    head = ["run", "frames", *(SCORE_NAMES.get(column, column) for column in columns), "protocol"]
    entries: list[tuple[list[Cell], str, charts.Bar]] = []
    for table in shown:
        for row in table.rows:
            cells = [Cell(f"{row.scores[column]:.2f}" if column in row.scores else "–") for column in columns]
            label = f"published, {table.title.split(', ')[-1]}" if table.id.endswith("zero_shot") else "published"
            setting = row.setting.removesuffix(" frames")
            bar = charts.Bar(
                f"{row.name.partition(',')[0]} {setting}", row.scores.get(main, float("nan")) / 100, published=True
            )
            entries.append(([Cell(row.name), Cell(setting), *cells, Cell(label)], "published", bar))
    verdicts: dict[str, list[str]] = {}
    for run in runs:
        table = nearest_table(task, run.result, dict(tables))
        differs = verdicts[run.name] = differences_from_published(run.result, references, table)
        scores, intervals = run.result["scores"], run.result.get("intervals", {})
        cells = [_score_with_ties(run.result, column) for column in columns]
        frames = str(run.info.about.get("frames", "–")).replace("x", "×")
        verdict = Cell("other", "; ".join(differs)) if differs else Cell("same")
        bar = charts.Bar(run.name, scores[main], *(intervals.get(main) or (None, None)))
        kind = "baseline" if run.info.is_baseline else "other protocol" if differs else "own"
        entries.append(([Cell(run.name, strong=True), Cell(frames), *cells, verdict], kind, bar))
    entries.sort(key=lambda entry: -entry[2].value if entry[2].value == entry[2].value else 1e9)
    caption = f"{_TITLES[task]}, × 100, with 95 % intervals by film"
    rows, kinds = [cells for cells, _, _ in entries], [kind for _, kind, _ in entries]
    bars = [bar for _, _, bar in entries]
    if any(run.result.get("ties", {}).get("matters") for run in runs):
        caption += "; ties: the range over all orders of equal scores"
    blocks: list[ContentBlock] = [
        Table(f"{name}-scores", caption, head, rows, kinds, (len(head) - 1,)),
        Figure(f"{name}-scores", charts.interval_chart(f"{SCORE_NAMES[main]} with 95 % intervals", bars)),
    ]
    if any(run.info.is_baseline for run in runs):
        blocks.insert(1, Paragraph(BASELINE_NOTE[0].upper() + BASELINE_NOTE[1:] + ". It is no competitor of a model."))
    blocks += _absent_metrics(columns, runs)
    pairs = compare_runs(runs, main)
    if pairs:
        blocks += _matrix(name, sorted(runs, key=lambda run: -run.result["scores"][main]), pairs, main)
    return blocks, {"verdicts": verdicts, "comparisons": pairs, "main_score": main}


# What the columns of the published tables need, if a run has no value there.
_REQUIREMENTS = {
    "meteor_1_5": 'METEOR 1.5 with `meteor_1_5` (pip install "microg4m-hf[meteor]", and Java)',
    "sbert": 'S-BERT with `sbert` (pip install "microg4m-hf[text]")',
    "svqa": 'S-VQA with `svqa` (pip install "microg4m-hf[text]")',
    "bertscore": 'BERTScore with `bertscore` (pip install "microg4m-hf[text]"; downloads roberta-large)',
}


def _absent_metrics(columns: Sequence[str], runs: Sequence[RunScores]) -> list[ContentBlock]:
    """Say how to get the metrics that the table shows a dash for."""
    absent = [
        name for name in columns if name in _REQUIREMENTS and any(name not in run.result["scores"] for run in runs)
    ]
    if not absent:
        return []
    words = ",".join(["bleu", "cider", "rouge_l", *absent])
    how = "; ".join(_REQUIREMENTS[name] for name in absent)
    return [Paragraph(f"– means not computed. Add --metrics {words} for all of them: {how}.")]


def _columns(runs: Sequence[RunScores], tables: Sequence[PublishedTable]) -> list[str]:
    columns = list(tables[0].columns) if tables else []
    hidden = {"bleu_1", "bleu_2", "bleu_3", *columns}
    return columns + [
        score for score in dict.fromkeys(key for run in runs for key in run.result["scores"]) if score not in hidden
    ]


def _matrix(name: str, runs: Sequence[RunScores], pairs: Sequence[dict[str, Any]], main: str) -> list[ContentBlock]:
    by_names = {(pair["first"], pair["second"]): (pair, 1) for pair in pairs}
    by_names |= {(pair["second"], pair["first"]): (pair, -1) for pair in pairs}
    shown = runs[:_MATRIX_LIMIT]
    head = ["row − column", *(str(number) for number in range(1, len(shown) + 1))]
    rows = [
        [
            Cell(f"{number} {row.name}"),
            *(Cell("·") if row is column else _pair_cell(*by_names[row.name, column.name]) for column in shown),
        ]
        for number, row in enumerate(shown, start=1)
    ]
    tested = sum(pair.get("p") is not None for pair in pairs)
    caption = (
        f"Differences of {SCORE_NAMES[main]}, × 100, with 95 % interval, p and p after Holm correction for {tested} "
        "comparisons; * corrected p < 0.05"
    )
    blocks: list[ContentBlock] = [Table(f"{name}-comparisons", caption, head, rows)]
    if len(shown) < len(runs):
        blocks.append(Paragraph(f"The {len(shown)} best of {len(runs)} runs; report.json has all pairs."))
    reasons = sorted({pair["why_not"] for pair in pairs if "why_not" in pair})
    if reasons:
        blocks.append(Paragraph(f"Some pairs are not tested: {', '.join(reasons)}."))
    return blocks


def _pair_cell(pair: dict[str, Any], sign: int) -> Cell:
    return difference_cell(pair, sign) if "difference" in pair else Cell("n/a")


def _score_with_ties(result: dict[str, Any], column: str) -> Cell:
    """Return the cell of a score; the mAP says so where the order of equal scores alone could move it."""
    cell = score_cell(result["scores"].get(column), result.get("intervals", {}).get(column))
    ties = result.get("ties", {})
    if column == "map" and ties.get("matters"):
        note = f"ties {interval_text(ties['map_range'])}"
        return Cell(cell.text, f"{cell.below}; {note}" if cell.below else note)
    return cell


def breakdown_table(name: str, run: RunScores, parts: Sequence[str], columns: Sequence[str]) -> Table | None:
    """Return the scores of parts of the data or of the classes, one row each, or ``None`` where there are none."""
    rows = []
    for part in parts:
        for label, entry in run.result.get("by", {}).get(part, {}).items():
            scores, intervals = entry.get("scores") or {}, entry.get("intervals") or {}
            size = entry.get("boxes") or entry.get("classes") or entry.get("items") or entry.get("used")
            unit = "boxes" if "boxes" in entry else "classes" if "classes" in entry else "items"
            cells = [score_cell(scores.get(column), intervals.get(column)) for column in columns]
            rows.append([Cell(str(label)), Cell(f"{size} {unit}" if size else ""), *cells])
    if not rows:
        return None
    head = ["part", "size", *(SCORE_NAMES.get(column, column) for column in columns)]
    return Table(f"{name}-parts-{run.info.file_name}", f"Parts, {run.name}, × 100", head, rows)
