"""The first part of every section of a report: scores beside published rows, their chart, pairwise comparisons."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from ..metrics.significance import ALPHA
from .findings import MAIN_SCORE, Twin, best_first, ceiling_note, find_twin, series_of, sizes, sizes_text, tiles
from .pairwise import compare_runs
from .published import PublishedRow, PublishedTable, differences_from_published, nearest_table
from .references import References
from .render.charts import Bar, ScoreChart, Series
from .render.document import Cell, Collapsible, ContentBlock, Figure, Paragraph, Table
from .render.formatting import (
    BASELINE_NOTE,
    SCORE_NAMES,
    difference_cell,
    explorer_link,
    interval_text,
    score_cell,
    signed,
)
from .scoring import RunScores

_MATRIX_LIMIT = 12  # runs in the matrix on the page; the JSON has all pairs
_TITLES = {"har": "Human action recognition", "caption": "Captioning", "vqa": "Visual question answering"}


class _Row(NamedTuple):
    """A row of the table of scores; ``place`` sorts it: a run with a published twin stands right below the twin."""

    place: tuple[float, str, float]
    cells: list[Cell]
    kind: str
    bar: Bar
    run: str = ""


def score_blocks(
    name: str, runs: Sequence[RunScores], references: References, tables: Mapping[str, PublishedTable]
) -> tuple[list[ContentBlock], dict[str, Any]]:
    """Compare runs with the published rows and with each other; return the blocks of the page and the same as data."""
    task, main = references.task, MAIN_SCORE[references.task]
    shown = [] if references.sample else [table for table in tables.values() if table.task == task and table.size]
    columns = score_columns(runs, shown)
    verdicts: dict[str, list[str]] = {}
    twins: dict[str, Twin] = {}
    for run in runs:
        verdicts[run.name] = differences_from_published(
            run.result, references, nearest_table(task, run.result, dict(tables))
        )
        twin = None if verdicts[run.name] or run.info.is_baseline else find_twin(run, tables)
        if twin is not None:
            twins[run.name] = twin
    rows = [_published_row(table, row, columns, main) for table in shown for row in table.rows]
    series = series_of(runs, main)
    rows += [_own_row(run, columns, main, verdicts[run.name], twins.get(run.name), series[run.name]) for run in runs]
    rows.sort(key=lambda row: row.place)
    pairs = compare_runs(runs, main)
    found = sizes_text(sizes(runs))
    blocks: list[ContentBlock] = [tiles(runs, pairs, twins, verdicts, main)]
    if any(run.info.is_baseline for run in runs):
        blocks.append(Paragraph(BASELINE_NOTE[0].upper() + BASELINE_NOTE[1:] + ". It is no competitor of a model."))
    blocks.append(_score_table(name, task, columns, rows, runs, found))
    blocks += _absent_metrics(columns, runs)
    if len(rows) > 1:
        chart = ScoreChart(f"{SCORE_NAMES[main]} with 95 % intervals", [row.bar for row in rows])
        blocks.append(Figure(f"{name}-scores", chart, f"n: {found}. Hollow: published."))
    if any("difference" in pair for pair in pairs):  # beside the chart, where there is room
        blocks += _comparisons(name, best_first(runs, main), pairs, main)
    blocks += _untested(pairs)
    twin_data = {
        run: {"row": twin.row.name, "setting": twin.row.setting, "differences": twin.differences, "agrees": twin.agrees}
        for run, twin in twins.items()
    }
    return blocks, {
        "verdicts": verdicts,
        "comparisons": pairs,
        "main_score": main,
        "sizes": sizes(runs),
        "published_twins": twin_data,
    }


def _published_name(row: PublishedRow) -> str:
    first, comma, rest = row.name.partition(",")
    setting = "" if row.setting.endswith("frames") else f" {row.setting}"
    return f"{first}{setting}{comma}{rest}"


def _rank(value: float) -> float:
    return -value if value == value else 1e9


def _published_row(table: PublishedTable, row: PublishedRow, columns: Sequence[str], main: str) -> _Row:
    cells = [Cell(f"{row.scores[column]:.2f}" if column in row.scores else "–") for column in columns]
    label = f"published, {table.title.split(', ')[-1]}" if table.id.endswith("zero_shot") else "published"
    name, value = _published_name(row), row.scores.get(main, float("nan")) / 100
    bar = Bar(f"{name.partition(',')[0]}, published", value, published=True)
    frames = Cell(row.setting.removesuffix(" frames"))
    return _Row(
        (_rank(value), row.name, -1e9), [Cell(f"{name}, published"), frames, *cells, Cell(label)], "published", bar
    )


def _own_row(
    run: RunScores, columns: Sequence[str], main: str, differs: list[str], twin: Twin | None, series: Series
) -> _Row:
    value, interval = run.result["scores"][main], run.result.get("intervals", {}).get(main)
    cells = [_score_cell(run.result, column, twin) for column in columns]
    frames = str(run.info.about.get("frames", "–")).replace("x", "×")
    verdict = Cell("other", "; ".join(differs)) if differs else Cell("same")
    if twin is not None:
        verdict = Cell("same", "reproduces the row above" if twin.agrees else "Δ: minus the row above")
    place = (_rank(value), "", _rank(value))
    if twin is not None:
        place = (_rank(twin.row.scores.get(main, float("nan")) / 100), twin.row.name, _rank(value))
    kind = "baseline" if run.info.is_baseline else "other protocol" if differs else "own"
    low, high = interval or (None, None)
    bar = Bar(run.name, value, low, high, series=series)
    return _Row(place, [Cell(run.name, strong=True), Cell(frames), *cells, verdict], kind, bar, series.key)


def _score_table(
    name: str, task: str, columns: Sequence[str], rows: Sequence[_Row], runs: Sequence[RunScores], found: str
) -> Table:
    # Scores under "paper" are in the units of the published rows; other protocols do not belong in the same ranking.
    head = ["run", "frames", *(SCORE_NAMES.get(column, column) for column in columns), "protocol"]
    caption = f"{_TITLES[task]}, × 100, on {found}; 95 % intervals by the jackknife over films"
    if any(run.result.get("ties", {}).get("matters") for run in runs):
        caption += "; ties: the range over all orders of equal scores"
    last = len(head) - 1
    return Table(
        f"{name}-scores",
        caption,
        head,
        [row.cells for row in rows],
        [row.kind for row in rows],
        (last,),
        row_runs=[row.run for row in rows],
        row_links=[explorer_link(run=row.run) if row.run else "" for row in rows],
        sortable=True,
        short_head=[
            "run",
            "frames",
            *(_SHORT.get(column, SCORE_NAMES.get(column, column)) for column in columns),
            "protocol",
        ],
        note=ceiling_note(runs),
        page_columns=(1, last),
        best_columns=tuple(range(2, last)),
    )


_SHORT = {"map": "mAP", "recall": "recall", "precision": "prec."}


# What the columns of the published tables need, if a run has no value there.
_REQUIREMENTS = {
    "meteor_1_5": 'METEOR 1.5 with meteor_1_5 (pip install "microg4m-hf[meteor]", and Java)',
    "sbert": 'S-BERT with sbert (pip install "microg4m-hf[text]")',
    "svqa": 'S-VQA with svqa (pip install "microg4m-hf[text]")',
    "bertscore": 'BERTScore with bertscore (pip install "microg4m-hf[text]"; downloads roberta-large)',
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


def score_columns(runs: Sequence[RunScores], tables: Sequence[PublishedTable]) -> list[str]:
    """Return the scores that tables show: first those of the published table, in its order."""
    columns = list(tables[0].columns) if tables else []
    hidden = {"bleu_1", "bleu_2", "bleu_3", *columns}
    return columns + [
        score for score in dict.fromkeys(key for run in runs for key in run.result["scores"]) if score not in hidden
    ]


def _comparisons(
    name: str, runs: Sequence[RunScores], pairs: Sequence[dict[str, Any]], main: str
) -> list[ContentBlock]:
    """Return the matrix of differences, better minus worse, and the list of pairs with intervals and p-values."""
    by_names = {(pair["first"], pair["second"]): (pair, 1) for pair in pairs}
    by_names |= {(pair["second"], pair["first"]): (pair, -1) for pair in pairs}
    shown = runs[:_MATRIX_LIMIT]
    tested = sum(pair.get("p") is not None for pair in pairs)
    rows, listed, keys, links = [], [], [], []
    for number, row in enumerate(shown[:-1], start=1):
        cells = [Cell(f"{number} {row.name}")]
        for place, column in enumerate(shown[1:], start=1):
            if place < number:
                cells.append(Cell(""))
                continue
            cell = _pair_cell(*by_names[row.name, column.name])
            cells.append(
                Cell(cell.text, strong=cell.strong, hint=f"{row.name} − {column.name}: {cell.text} ({cell.below})")
            )
            listed.append([Cell(f"{row.name} − {column.name}"), cell])
            links.append(explorer_link(run=row.info.file_name, other=column.info.file_name))
        rows.append(cells)
        keys.append(row.info.file_name)
    score = SCORE_NAMES[main]
    star = f"* p < {ALPHA} after Holm correction for {tested} comparison{'s' * (tested != 1)}"
    head = [f"{number} {run.name}" for number, run in enumerate(shown, start=1)][1:]
    matrix = Table(
        f"{name}-comparisons",
        f"Differences of {score}, × 100, row minus column; {star}",
        ["row − column", *head],
        rows,
        row_runs=keys,
        short_head=["row − column", *(str(number) for number in range(2, len(shown) + 1))],
        is_matrix=True,
        paper_note=f"{len(shown)} {shown[-1].name}" if len(shown) > 1 else "",
    )
    caption = f"Differences of {score}, × 100, with 95 % interval (jackknife over films), p and corrected p; {star}"
    table = Table(
        f"{name}-pairs", caption, ["pair", "difference"], listed, text_columns=(1,), row_links=links, sortable=True
    )
    title = f"{len(listed)} pair{'s' * (len(listed) != 1)} with intervals and p-values"
    blocks: list[ContentBlock] = [matrix, Collapsible(title, [table])]
    if len(shown) < len(runs):
        blocks.append(Paragraph(f"The {len(shown)} best of {len(runs)} runs; report.json has all pairs."))
    return blocks


def _untested(pairs: Sequence[dict[str, Any]]) -> list[ContentBlock]:
    reasons = sorted({pair["why_not"] for pair in pairs if "why_not" in pair})
    return [Paragraph(f"Some pairs are not tested: {', '.join(reasons)}.")] if reasons else []


def _pair_cell(pair: dict[str, Any], sign: int) -> Cell:
    return difference_cell(pair, sign) if "difference" in pair else Cell("n/a")


def _score_cell(result: dict[str, Any], column: str, twin: Twin | None) -> Cell:
    """Return the cell of a score with its interval, the range over orders of ties, and the published difference."""
    cell = score_cell(result["scores"].get(column), result.get("intervals", {}).get(column))
    below = [cell.below] if cell.below else []
    ties = result.get("ties", {})
    if column == "map" and ties.get("matters"):
        below.append(f"ties {interval_text(ties['map_range'])}")
    if twin is not None and column in twin.differences:
        below.append(f"Δ {signed(twin.differences[column] / 100)}")
    return Cell(cell.text, "; ".join(below))


def breakdown_table(name: str, run: RunScores, parts: Sequence[str], columns: Sequence[str]) -> Table | None:
    """Return the scores of parts of the data or of the classes, one row each, or ``None`` where there are none."""
    rows = []
    for part in parts:
        for label, entry in run.result.get("by", {}).get(part, {}).items():
            scores, intervals = entry.get("scores") or {}, entry.get("intervals") or {}
            size = entry.get("boxes") or entry.get("classes") or entry.get("items") or entry.get("used")
            unit = "predicted boxes" if "boxes" in entry else "classes" if "classes" in entry else "items"
            cells = [score_cell(scores.get(column), intervals.get(column)) for column in columns]
            rows.append([Cell(str(label)), Cell(f"{size} {unit}" if size else ""), *cells])
    if not rows:
        return None
    head = ["part", "size", *(SCORE_NAMES.get(column, column) for column in columns)]
    short = ["part", "size", *(_SHORT.get(column, SCORE_NAMES.get(column, column)) for column in columns)]
    caption = f"Parts, {run.name}, × 100"
    if any(cell.below for row in rows for cell in row):
        caption += ", with 95 % intervals by the jackknife over films"
    return Table(f"{name}-parts-{run.info.file_name}", caption, head, rows, sortable=True, short_head=short)
