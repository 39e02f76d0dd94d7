"""What the gap commands found, as a document."""

from __future__ import annotations

from typing import Any

from .render.document import Block, Cell, Document, Figure, Paragraph, Section, Table
from .render.drawing import COLOURS, GRID, INK, PAPER, QUIET, Dot, Drawing, Line, Text
from .render.names import between, cell, percent, signed


def differences_document(title: str, text: str, found: dict[str, Any]) -> Document:
    """Two sides, action by action, and their mean over the actions that both have."""
    one, two = found["names"]
    matched = found["matched"]
    head = ["action", one, two, "difference", "labels", "chance", "AUROC"]
    rows = [
        [
            Cell(f"mean of {matched['classes']} actions", strong=True),
            cell(matched["first"]),
            cell(matched["second"]),
            _difference(matched | {"real": matched["p"] < 0.05}),
            Cell(""),
            _both(matched["chance"]),
            _both(matched["auroc"]),
        ]
    ]
    for entry in sorted(found["classes"], key=lambda entry: -entry["difference"]):
        rows.append(
            [
                Cell(entry["name"]),
                cell(entry["first"]),
                cell(entry["second"]),
                _difference(entry),
                Cell(" / ".join(map(str, entry["labels"]))),
                _both(entry["chance"]),
                _both(entry["auroc"]),
            ]
        )
    caption = f"Average precision × 100, {one} − {two}, 95 % intervals by film; * p < 0.05 after Holm over actions"
    whole = f"mAP over all actions of each side: {percent(found['map'][0])} and {percent(found['map'][1])}."
    blocks: list[Block] = [Paragraph(text), Paragraph(whole)]
    blocks += [Table("gap-actions", caption, head, rows), Figure("gap-actions", _chart(title, found["classes"]))]
    return Document(title, [_how(found)], [Section("By action", blocks)])


def orientation_document(found: dict[str, Any]) -> Document:
    """The mAP under each turn, the gap, and the actions that need to know what is up."""
    head = ["turn", "mAP@0.5", "change"]
    rows = [
        [Cell(row["turn"]), cell(row["map"], row["interval"]), _change(row) if "difference" in row else Cell("·")]
        for row in found["turns"]
    ]
    caption = "The same model and clips, turned clockwise; * p < 0.05 after Holm over turns"
    blocks: list[Block] = [Table("orientation-turns", caption, head, rows)]
    if "gap" in found:
        gap = found["gap"]
        said = "relies on what is up" if gap["p"] < 0.05 and gap["difference"] > 0 else "shows no need of what is up"
        blocks.append(
            Paragraph(
                f"Orientation gap (first turn minus mean of the quarter turns): {signed(gap['difference'])} "
                f"({between(gap['interval'], is_signed=True)}), p {gap['p']:.3f}: the model {said}."
            )
        )
    if found["left_out_clips"]:
        blocks.append(Paragraph(f"{found['left_out_clips']} key frames could not be read and count as not predicted."))
    sections = [Section("Turns", blocks)]
    if found.get("classes"):
        sections.append(Section("By action", _class_blocks(found["classes"])))
    return Document("Orientation probe", [_how(found)], sections)


def _class_blocks(classes: list[dict[str, Any]]) -> list[Block]:
    names = list(classes[0]["ap"])
    order = sorted(classes, key=lambda entry: -entry["difference"])
    rows = [[Cell(entry["name"]), *(cell(entry["ap"][name]) for name in names), _difference(entry)] for entry in order]
    caption = "Average precision × 100 under each turn; gap: first turn minus mean of the quarter turns"
    table = Table("orientation-actions", caption, ["action", *names, "gap"], rows)
    return [table, Figure("orientation-actions", _chart("Orientation gap by action", classes))]


def _chart(title: str, entries: list[dict[str, Any]]) -> Drawing:
    """Differences around zero with their intervals."""
    left, right, row, wide = 158, 330, 16, 380
    order = sorted(entries, key=lambda entry: -entry["difference"])
    says = "; ".join(f"{entry['name']} {signed(entry['difference'], 1)}" for entry in order[:8])
    drawing = Drawing(title, f"largest: {says}", wide, 40 + row * len(order))
    for tick in (-1, -0.5, 0, 0.5, 1):
        x = left + (right - left) * (tick + 1) / 2
        drawing.add(Line([(x, 22), (x, 30 + row * len(order))], INK if tick == 0 else GRID))
        drawing.add(Text(x, 15, f"{100 * tick:+.0f}".replace("-", "−").replace("+0", "0"), 10, "middle", QUIET))
    for place, entry in enumerate(order):
        y = 34 + row * place
        drawing.add(Text(left - 8, y + 3.5, entry["name"][:27], 10, "end"))
        low, high = entry["interval"]
        if low == low:
            ends = [(left + (right - left) * (edge + 1) / 2, y) for edge in (low, high)]
            drawing.add(Line(ends, COLOURS[0], 2))
        x = left + (right - left) * (entry["difference"] + 1) / 2
        drawing.add(Dot(x, y, 3.5, COLOURS[0], PAPER, f"{entry['name']}: {signed(entry['difference'])}"))
        drawing.add(Text(wide - 4, y + 3.5, signed(entry["difference"], 1), 10, "end"))
    return drawing


def _difference(entry: dict[str, Any]) -> Cell:
    star = "*" if entry["real"] else ""
    return Cell(f"{signed(entry['difference'])}{star}", between(entry["interval"], is_signed=True), entry["real"])


def _change(row: dict[str, Any]) -> Cell:
    return _difference(row | {"interval": row["difference_interval"]})


def _both(values: list[float]) -> Cell:
    return Cell(" / ".join(percent(value, 1) for value in values))


def _how(found: dict[str, Any]) -> str:
    drawn = "the same films on both sides" if found.get("paired", True) else "each side's films independently"
    return (
        f"Protocol {found['protocol']}; intervals and tests draw {drawn} again, {found['resamples']} times, "
        f"seed {found['seed']}."
    )
