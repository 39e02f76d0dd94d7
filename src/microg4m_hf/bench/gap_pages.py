"""The pages of ``microg4m gap``."""

from __future__ import annotations

from typing import Any

from ..metrics.jackknife import MIN_SOURCES
from ..metrics.significance import is_real
from .render.charts import DifferenceChart
from .render.document import Cell, ContentBlock, Document, Figure, Paragraph, Section, Table
from .render.formatting import difference_cell, interval_text, p_text, percent, score_cell, signed


def differences_document(title: str, text: str, found: dict[str, Any], name: str = "gap-actions") -> Document:
    """Show the result of ``transfer_gap`` or ``leak_gap``: both sides, action by action and on average.

    Args:
        title: The title of the page.
        text: What the reader must know.
        found: The result.
        name: The name of table and figure.
    """
    one, two = found["names"]
    matched = found["matched"]
    head = ["action", one, two, "difference", "labels", "chance", "AUROC"]

    def row(label: Cell, entry: dict[str, Any], labels: str) -> list[Cell]:
        frequencies = (Cell(" / ".join(percent(value, 1) for value in entry[key])) for key in ("chance", "auroc"))
        sides = [score_cell(entry[side]) for side in ("first", "second")]
        return [label, *sides, difference_cell(entry), Cell(labels), *frequencies]

    mean = Cell(f"mean of {matched['classes']} actions", strong=True)
    rows = [row(mean, matched | {"real": is_real(matched)}, "")]
    for entry in sorted(found["classes"], key=lambda entry: -entry["difference"]):
        rows.append(row(Cell(entry["name"]), entry, " / ".join(map(str, entry["labels"]))))
    caption = f"Average precision × 100, {one} − {two}, 95 % intervals by the jackknife over films; "
    caption += "* p < 0.05 after Holm correction"
    whole = f"mAP over all actions: {percent(found['map'][0])} and {percent(found['map'][1])}."
    blocks: list[ContentBlock] = [Paragraph(text), Paragraph(whole)]
    blocks += [Table(name, caption, head, rows), Figure(name, _chart(title, found["classes"]))]
    return Document(title, [_describe(found)], [Section("By action", blocks)])


def orientation_document(found: dict[str, Any]) -> Document:
    """Show the result of ``orientation_probe``: the mAP under each turn, the gap, and the gap by action."""
    head = ["turn", "mAP@0.5", "change"]
    rows = []
    for row in found["turns"]:
        change = Cell("·")
        if "difference" in row:
            change = difference_cell(row | {"interval": row["difference_interval"]})
        rows.append([Cell(row["turn"]), score_cell(row["map"], row["interval"]), change])
    caption = "The same model and clips, turned clockwise; * p < 0.05 after Holm correction"
    blocks: list[ContentBlock] = [Table("orientation-turns", caption, head, rows)]
    if "gap" in found:
        gap = found["gap"]
        text = f"Orientation gap (first turn minus mean of the quarter turns): {signed(gap['difference'])}"
        if gap["interval"] is None:
            text += f". There is no verdict: {gap['why_not']}."
        else:
            relies = is_real(gap) and gap["difference"] > 0
            verdict = "relies on the upright orientation" if relies else "shows no reliance on the upright orientation"
            text += f" ({interval_text(gap['interval'], is_signed=True)}), p {p_text(gap['p'])}: the model {verdict}."
        blocks.append(Paragraph(text))
    if found["left_out_clips"]:
        blocks.append(
            Paragraph(f"{found['left_out_clips']} key frames could not be read and count as missing predictions.")
        )
    sections = [Section("Turns", blocks)]
    if found.get("classes"):
        sections.append(Section("By action", _class_blocks(found["classes"])))
    if found.get("persons", {}).get("groups"):
        sections.append(Section("By person", _person_blocks(found["persons"])))
    about = [_describe(found)]
    if "asked" in found:
        asked = found["asked"]
        about.append(f"Each clip is asked under {', '.join(asked['turns'])} from there, pooled by {asked['pooling']}.")
    return Document("Orientation probe", about, sections)


def _person_blocks(persons: dict[str, Any]) -> list[ContentBlock]:
    names = list(persons["groups"][0]["map"])
    rows = [
        [
            Cell(entry["orientation"]),
            Cell(str(entry["persons"])),
            *(score_cell(entry["map"][name]) for name in names),
            difference_cell(entry) if "difference" in entry else Cell("·"),
        ]
        for entry in persons["groups"]
    ]
    source = "estimated from their boxes" if persons["from"] == "boxes" else "from the file of angles"
    caption = "mAP@0.5 of the persons of each orientation in the clip, under each turn of the clip"
    text = f"Orientations of persons are {source}; {persons['unknown']} are not known."
    blocks: list[ContentBlock] = [
        Paragraph(text),
        Table("orientation-persons", caption, ["in the clip", "persons", *names, "gap"], rows),
    ]
    if persons["shown"]:
        shown = []
        for row in persons["shown"]:
            change = Cell("·")
            if "difference" in row:
                change = difference_cell(row | {"interval": row["difference_interval"]})
            shown.append([Cell(row["shown"]), score_cell(row["map"], row["interval"]), change])
        caption = "All persons as they are shown in one orientation, each under the turn of the clip that does it"
        blocks.append(Table("orientation-shown", caption, ["shown with", "mAP@0.5", "change"], shown))
    return blocks


TEXT_SCORES = {"accuracy": "accuracy", "exact": "exact", "svqa": "S-VQA", "refusals": "refusals"}


def text_orientation_document(found: dict[str, Any]) -> Document:
    """Show the result of ``probe_texts``: scores under each turn, the gap, and accuracy by kind of question."""
    scores = [name for name in TEXT_SCORES if name in found["turns"][0]]
    rows = []
    for row in found["turns"]:
        change = Cell("·")
        if "difference" in row:
            change = difference_cell(row | {"interval": row["difference_interval"]})
        cells = [score_cell(row[name], row[f"{name}_interval"]) for name in scores]
        rows.append([Cell("without the video" if row["turn"] == "blind" else row["turn"]), *cells, change])
    head = ["turn", *(TEXT_SCORES[name] for name in scores), "change of accuracy"]
    caption = f"{found['items']} questions about clips of {found['films']} films, turned clockwise; × 100"
    text = (
        "Accuracy: the answer has the words of the reference, next to each other; exact: it has no others. Case, "
        "punctuation and articles do not count, and numbers are digits. Without the video: the answer to the most "
        "similar question about another film."
    )
    blocks: list[ContentBlock] = [Paragraph(text), Table("orientation-answers", caption, head, rows)]
    if "gaps" in found:
        named = [[Cell(TEXT_SCORES[name]), difference_cell(found["gaps"][name])] for name in scores]
        caption = "Orientation gap: first turn minus mean of the quarter turns"
        blocks.append(Table("orientation-answer-gaps", caption, ["score", "gap"], named))
    if found["svqa_note"]:
        blocks.append(Paragraph(f"No S-VQA: {found['svqa_note']}."))
    lost = ", ".join(f"{name}: {count}" for name, count in found["failed"].items() if count)
    if lost:
        blocks.append(Paragraph(f"Items without an answer count as wrong ({lost})."))
    names = list(found["kinds"][0]["accuracy"])
    table = [
        [
            Cell(entry["kind"]),
            Cell(str(entry["items"])),
            *(score_cell(entry["accuracy"][name]) for name in names),
            difference_cell(entry) if "difference" in entry else Cell("·"),
        ]
        for entry in found["kinds"]
    ]
    head = ["kind", "questions", *("without the video" if name == "blind" else name for name in names), "gap"]
    caption = "Accuracy × 100 by kind of question, which its words decide"
    note = (
        "Answers to questions of direction may themselves change when a clip is turned, as left becomes right, so "
        "their gap is not only a fault of the model."
    )
    sections = [
        Section("Turns", blocks),
        Section("By kind of question", [Paragraph(note), Table("orientation-kinds", caption, head, table)]),
    ]
    about = [f"Model {found['model']}. {_describe(found)}"]
    if "asked" in found:
        asked = found["asked"]
        about.append(f"Each clip is asked under {asked['turns']} turns from there; choice by {asked['choice']}.")
    return Document("Orientation probe", about, sections)


def _class_blocks(classes: list[dict[str, Any]]) -> list[ContentBlock]:
    names = list(classes[0]["ap"])
    order = sorted(classes, key=lambda entry: -entry["difference"])
    rows = [
        [
            Cell(entry["name"]),
            *(score_cell(entry["ap"][name]) for name in names),
            difference_cell(entry),
        ]
        for entry in order
    ]
    caption = "Average precision × 100 under each turn; gap: first turn minus mean of the quarter turns"
    table = Table("orientation-actions", caption, ["action", *names, "gap"], rows)
    return [table, Figure("orientation-actions", _chart("Orientation gap by action", classes))]


def _chart(title: str, entries: list[dict[str, Any]]) -> DifferenceChart:
    order = sorted(entries, key=lambda entry: -entry["difference"])
    return DifferenceChart(title, [(entry["name"], entry["difference"], entry["interval"]) for entry in order])


def _describe(found: dict[str, Any]) -> str:
    films = "the same films on both sides" if found.get("paired", True) else "the films of each side"
    unit = "an action counts the films that show it"
    if "kinds" in found:
        unit = "a kind of question counts the films that have it"
    protocol = f"Protocol {found['protocol']}; the" if "protocol" in found else "The"
    return (
        f"{protocol} error of a difference comes from leaving out one film at a time, {films}. "
        f"Below {MIN_SOURCES} films there is no interval (–); {unit}."
    )
