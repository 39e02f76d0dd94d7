"""Show reproduced rows: the table for the terminal, ``reproduce.json``, and the page."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..._version import __version__
from ...errors import list_some
from ...metrics.results import json_ready
from ...storage import write_atomic
from ..gap_pages import differences_document
from ..published import PAPER, published_tables
from ..render import write_document
from ..render.document import BulletList, Cell, Collapsible, ContentBlock, Document, Paragraph, Section, Table
from ..render.formatting import SCORE_NAMES, interval_text, percent, signed, slug
from .judgement import DIFFERS, Comparison, RowResult, exit_code


def table_rows(rows: Sequence[RowResult]) -> tuple[list[str], list[list[str]]]:
    """Return the head and the rows of a table for the terminal; the last column is the judgement.

    Args:
        rows: Rows of tables with the same scores.
    """
    columns = score_columns(rows)
    head = ["row", "setting", *(SCORE_NAMES.get(column, column) for column in columns)]
    body = []
    for row in rows:
        scores = {one.score: one for one in row.judgement.comparisons}
        cells = [
            f"{scores[column].value:.2f} ({scores[column].printed:.2f})" if column in scores else "–"
            for column in columns
        ]
        body.append([row.name, row.setting, *cells, row.judgement.summary])
    return head, body


def score_columns(rows: Sequence[RowResult]) -> list[str]:
    """Return the scores of the published tables of some rows, in their order."""
    tables = published_tables()
    every = sorted({tables[row.table].columns for row in rows}, key=len, reverse=True)
    return list(dict.fromkeys(column for columns in every for column in columns))


def remarks(row: RowResult) -> list[str]:
    """Return what a reader must know of a row besides its scores: faults, what may explain differences, notes."""
    judged = row.judgement
    return [*judged.faults[1:], *judged.causes, *judged.notes]


def remark_lines(rows: Sequence[RowResult]) -> list[str]:
    """Return the remarks on all rows for the terminal, each once, with the rows that it is about."""
    about: dict[str, list[str]] = {}
    for row in rows:
        for text in remarks(row):
            about.setdefault(text, []).append(row.name)
    return [
        f"{'all rows' if 1 < len(rows) == len(names) else list_some(names, 3)}: {text}" for text, names in about.items()
    ]


def write_results(rows: Sequence[RowResult], out: Path, *, what: str, settings: Mapping[str, Any]) -> Path:
    """Write ``reproduce.json`` and ``report/`` into a folder, and return the path of the page.

    Args:
        rows: The judged rows.
        out: The folder.
        what: ``"har"``, ``"gap"``, ``"caption"`` or ``"vqa"``: rows of several kinds can be reproduced into one folder.
        settings: How they were reproduced, as plain values.
    """
    path = out / "reproduce.json"
    known: Any = {}
    if path.is_file():
        with path.open(encoding="utf-8") as file:
            known = _read(file.read())
    entry = {"settings": settings, "exit_code": exit_code(rows), "rows": [row.as_dict() for row in rows]}
    data = {"version": __version__, "kinds": {**known, what: entry}}
    write_atomic(path, json.dumps(json_ready(data), indent=1, ensure_ascii=False, default=str, allow_nan=False) + "\n")
    return write_document(document_of(rows, what), entry, out / "report")


def _read(text: str) -> dict[str, Any]:
    """Return the kinds of an earlier file; one that cannot be read is replaced."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    kinds = value.get("kinds") if isinstance(value, dict) else None
    return kinds if isinstance(kinds, dict) else {}


def document_of(rows: Sequence[RowResult], what: str) -> Document:
    """Return the page of judged rows."""
    columns = score_columns(rows)
    head = ["row", "setting", *(SCORE_NAMES.get(column, column) for column in columns), "judgement"]
    body, kinds = [], []
    for row in rows:
        scores = {one.score: one for one in row.judgement.comparisons}
        cells = [_cell(scores.get(column)) for column in columns]
        body.append([Cell(row.title, row.name, strong=True), Cell(row.setting), *cells, Cell(row.judgement.summary)])
        kinds.append("own" if row.judgement.outcome == "reproduced" else "other protocol")
    caption = "Scores × 100, the published ones below; the judgement names the allowance that was needed"
    blocks: list[ContentBlock] = [Table(f"reproduction-{what}", caption, head, body, kinds, (len(head) - 1,))]
    for row in rows:
        if details := _details(row):
            blocks.append(Collapsible(f"{row.title} {row.setting}", details, row.judgement.outcome == DIFFERS))
    blocks.append(Paragraph(f"Published rows: {PAPER}."))
    counts = Counter(row.judgement.outcome for row in rows)
    text = ", ".join(f"{count} {outcome}" for outcome, count in counts.items())
    summary = f"{len(rows)} published rows with microg4m-hf {__version__}: {text}."
    return Document("MicroG-4M reproduction", [summary], [Section("Reproduction", blocks)])


def _difference(one: Comparison) -> str:
    (low, high), name = one.allowed, SCORE_NAMES.get(one.score, one.score)
    return (
        f"{name} {one.value:.2f} differs by {one.difference:+.2f} from {one.printed:.2f}, which may lie between "
        f"{low:.2f} and {high:.2f}"
    )


def _cell(one: Comparison | None) -> Cell:
    return Cell("–") if one is None else Cell(f"{one.value:.2f}", f"published {one.printed:.2f}", one.within is None)


def transfer_line(transfer: Mapping[str, Any]) -> str:
    """Return the gap between Earth and space in one line."""
    if "reason" in transfer:
        return f"no gap by action: {transfer['reason']}"
    mean = transfer["matched"]
    text = (
        f"mean AP of the {mean['classes']} actions of both: {percent(mean['first'])} on Earth, "
        f"{percent(mean['second'])} in space, gap {signed(mean['difference'])}"
    )
    return f"{text} ({interval_text(mean['interval'], is_signed=True)})" if mean["interval"] else text


def _details(row: RowResult) -> list[ContentBlock]:
    blocks: list[ContentBlock] = []
    differing = [_difference(one) for one in row.judgement.comparisons if one.within is None]
    if lines := [*differing, *remarks(row)]:
        blocks.append(BulletList(lines))
    weights = row.evidence.get("weights")
    if weights:
        digest = f", SHA-256 {weights['sha256'][:16]}…" if weights["sha256"] else ""
        blocks.append(Paragraph(f"Weights: {weights['file']}{digest}."))
    if pixels := row.evidence.get("pixels"):
        blocks.append(Paragraph(f"{pixels['text'][:1].upper()}{pixels['text'][1:]}."))
    if corrected := row.evidence.get("corrected"):
        blocks.append(Paragraph(corrected_line(corrected)))
    if transfer := row.evidence.get("transfer"):
        blocks.append(Paragraph(f"{transfer_line(transfer)}."))
        if "classes" in transfer:
            blocks += (
                differences_document("Earth to space", "By action:", transfer, f"gap-{row.name}").sections[0].blocks
            )
    return [*blocks, *_class_table(row)]


def _class_table(row: RowResult) -> list[ContentBlock]:
    """Return the average precision of each action, beside that of the released file where there is one."""
    released, per_class = row.evidence.get("released", {}).get("per_class"), row.evidence.get("per_class")
    name, title = f"classes-{slug(row.name)}", f"Average precision × 100, {row.title}"
    if released:
        keys = ("ap", "released", "difference")
        body = [[Cell(one["name"]), *(Cell(percent(one[key])) for key in keys), Cell(str(one["labels"]))]
                for one in released]  # fmt: skip
        head = ["action", "this run", "released", "difference", "labels"]
        return [Table(name, f"{title}, beside the released file", head, body)]
    if not per_class:
        return []
    known = [one for one in per_class.values() if one["ap"] == one["ap"]]
    body = [[Cell(one["name"]), Cell(percent(one["ap"])), Cell(str(one["labels"]))] for one in known]
    return [Table(name, f"{title}; the paper prints no values by action", ["action", "this run", "labels"], body)]


def corrected_line(corrected: Mapping[str, Any]) -> str:
    """Return the corrected scores of a row in one line."""

    def scores(values: Mapping[str, float]) -> str:
        return ", ".join(f"{SCORE_NAMES[key]} {percent(values[key])}" for key in ("map", "f1", "recall", "auroc"))

    parts = [f"corrected protocol: {scores(corrected['instance'])}"] if "instance" in corrected else []
    if "network_instance" in corrected:
        parts.append(f"corrected network {corrected['network']}: {scores(corrected['network_instance'])}")
    elif "network" in corrected:
        parts.append(f"corrected network {corrected['network']}: {corrected['reason']}")
    return "; ".join(parts)
