"""What every task's section begins with: the table beside the published rows, the picture of it, the comparisons."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .pairwise import MAIN_SCORE, comparison_matrix
from .published import PublishedTable, differences_from_published, nearest_table
from .references import Truth
from .render import charts
from .render.document import Block, Cell, Figure, Paragraph, Table
from .render.names import SCORE_NAMES, between, cell, percent, signed, slug
from .scoring import Scored

_MATRIX_LIMIT = 20  # systems in the matrix on the page; the JSON has all pairs


def score_blocks(
    name: str, systems: Sequence[Scored], truth: Truth, tables: Mapping[str, PublishedTable]
) -> tuple[list[Block], dict[str, Any]]:
    """Blocks for people and the same as data."""
    task, main = truth.task, MAIN_SCORE[truth.task]
    shown = [] if truth.sample else [table for table in tables.values() if table.task == task and table.size]
    columns = _columns(task, systems, shown)
    # Under "paper" scores are in the published rows' units; other protocols do not stand in one ranking with them.
    head = ["system", "frames", *(SCORE_NAMES.get(column, column) for column in columns), "protocol"]
    entries: list[tuple[float, str, list[Cell]]] = []
    for table in shown:
        for row in table.rows:
            cells = [Cell(f"{row.scores[column]:.2f}" if column in row.scores else "–") for column in columns]
            score = row.scores.get(main, float("nan")) / 100
            kind = f"published, {table.title.split(', ')[-1]}" if table.id.endswith("zero_shot") else "published"
            setting = row.setting.removesuffix(" frames")
            entries.append((score, "published", [Cell(row.name), Cell(setting), *cells, Cell(kind)]))
    verdicts: dict[str, list[str]] = {}
    for scored in systems:
        table = nearest_table(task, scored.result, dict(tables))
        differs = differences_from_published(scored.result, truth, table)
        verdicts[scored.system.name] = differs
        scores, ranges = scored.result["scores"], scored.result.get("intervals", {})
        cells = [cell(scores.get(column), ranges.get(column)) for column in columns]
        frames = str(scored.system.about.get("frames", "–")).replace("x", "×")
        verdict = Cell("other", "; ".join(differs)) if differs else Cell("same")
        kind = "other protocol" if differs else "own"
        entries.append((scores[main], kind, [Cell(scored.system.name, strong=True), Cell(frames), *cells, verdict]))
    entries.sort(key=lambda entry: -entry[0] if entry[0] == entry[0] else 1e9)
    caption = f"{_title(task)}, × 100; 95 % intervals from films drawn again below the values"
    blocks: list[Block] = [
        Table(
            f"{name}-scores",
            caption,
            head,
            [cells for _, _, cells in entries],
            [kind for _, kind, _ in entries],
            (len(head) - 1,),
        )
    ]
    bars = [
        charts.Bar(
            _bar_name(row, kind), score, *_interval(systems, row[0].text, main, kind), published=kind == "published"
        )
        for score, kind, row in entries
    ]
    blocks.append(Figure(f"{name}-scores", charts.intervals(f"{SCORE_NAMES[main]} with 95 % intervals", bars)))
    pairs = comparison_matrix(systems, main)
    if pairs:
        blocks += _matrix(name, sorted(systems, key=lambda one: -one.result["scores"][main]), pairs, main)
    return blocks, {"verdicts": verdicts, "comparisons": pairs, "main_score": main}


def _bar_name(row: Sequence[Cell], kind: str) -> str:
    return f"{row[0].text.partition(',')[0]} {row[1].text}" if kind == "published" else row[0].text


def _interval(systems: Sequence[Scored], name: str, main: str, kind: str) -> tuple[float | None, float | None]:
    if kind == "published":
        return None, None
    found = next(one.result.get("intervals", {}).get(main) for one in systems if one.system.name == name)
    return (found[0], found[1]) if found else (None, None)


def _columns(task: str, systems: Sequence[Scored], tables: Sequence[PublishedTable]) -> list[str]:
    wanted = list(next(iter(tables)).columns) if tables else []
    own = [score for one in systems for score in one.result["scores"]]
    hidden = {"bleu_1", "bleu_2", "bleu_3"}
    wanted += [score for score in dict.fromkeys(own) if score not in wanted and score not in hidden]
    return wanted


def _title(task: str) -> str:
    return {"har": "Human action recognition", "caption": "Captioning", "vqa": "Visual question answering"}[task]


def _matrix(name: str, systems: Sequence[Scored], pairs: Sequence[dict[str, Any]], main: str) -> list[Block]:
    by_names = {(pair["first"], pair["second"]): (pair, 1) for pair in pairs}
    by_names |= {(pair["second"], pair["first"]): (pair, -1) for pair in pairs}
    shown = systems[:_MATRIX_LIMIT]
    head = ["row − column", *(str(place) for place in range(1, len(shown) + 1))]
    rows = []
    for place, one in enumerate(shown, start=1):
        row = [Cell(f"{place} {one.system.name}")]
        for two in shown:
            row.append(Cell("·") if one is two else _pair_cell(*by_names[one.system.name, two.system.name]))
        rows.append(row)
    tested = sum("p" in pair for pair in pairs)
    caption = (
        f"Differences of {SCORE_NAMES[main]}, × 100, with 95 % intervals; * p < 0.05 after Holm, {tested} compared"
    )
    blocks: list[Block] = [Table(f"{name}-comparisons", caption, head, rows)]
    if len(shown) < len(systems):
        blocks.append(Paragraph(f"The {len(shown)} best of {len(systems)} systems; report.json has all pairs."))
    reasons = sorted({pair["why_not"] for pair in pairs if "why_not" in pair})
    if reasons:
        blocks.append(Paragraph(f"Pairs marked n/a cannot be compared: {', '.join(reasons)}."))
    return blocks


def _pair_cell(pair: dict[str, Any], sign: int) -> Cell:
    if "p" not in pair:
        return Cell("n/a")
    low, high = sorted(sign * edge for edge in pair["interval"])
    star = "*" if pair["real"] else ""
    return Cell(f"{signed(sign * pair['difference'])}{star}", between([low, high], is_signed=True), pair["real"])


def breakdown_table(name: str, scored: Scored, parts: Sequence[str], columns: Sequence[str]) -> Table | None:
    """Scores of parts of the data or of the classes, one row each."""
    rows = []
    for part in parts:
        for label, entry in scored.result.get("by", {}).get(part, {}).items():
            scores = entry.get("scores") or {}
            size = entry.get("boxes") or entry.get("classes") or entry.get("items") or entry.get("used")
            what = "boxes" if "boxes" in entry else "classes" if "classes" in entry else "items"
            cells = [cell(scores.get(column), (entry.get("intervals") or {}).get(column)) for column in columns]
            rows.append([Cell(str(label)), Cell(f"{size} {what}" if size else ""), *cells])
    if not rows:
        return None
    head = ["part", "size", *(SCORE_NAMES.get(column, column) for column in columns)]
    return Table(f"{name}-parts-{slug(scored.system.name)}", f"Parts, {scored.system.name}, × 100", head, rows)


def number(value: Any, digits: int = 1) -> Cell:
    """A plain number."""
    return Cell("–" if value is None else f"{value:.{digits}f}" if isinstance(value, float) else str(value))


def share(value: float | None) -> Cell:
    """A fraction as a percentage."""
    return Cell("–" if value is None else f"{percent(value, 1)} %")
