"""The published results as data: every table with its source and with how it was scored."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ..models.registry import PUBLISHED
from .published_texts import CAPTION, JHMDB, VQA

PAPER = "Wen, Qi, Peng et al., “Go Beyond Earth: Understanding Human Actions and Scenes in Microgravity Environments”"

# What must be equal before a user's score may stand in one ranking with a published one. `labels` and
# `labelled_boxes` are counts of the references, `items` counts what was scored.
HAR_PROTOCOL = {
    "protocol": "paper",
    "iou": 0.5,
    "threshold": 0.5,
    "scores": "raw",
    "labels": "frame",
    "ties": "published",
    "boxes": "given",
}
TEXT_PROTOCOL = {"protocol": "paper", "tokenizer": "whitespace"}


@dataclass(frozen=True)
class PublishedRow:
    """One line of a published table; ``scores`` are percentages as printed, under the library's names."""

    name: str
    scores: Mapping[str, float]
    setting: str = ""  # frames × rate, or frames
    frames: int | None = None
    parameters: int | None = None
    model: str | None = None  # name in ``microg4m models list``
    note: str = ""


@dataclass(frozen=True)
class PublishedTable:
    """One published table. ``task`` is har, caption or vqa; ``data`` says on which clips it was scored."""

    id: str
    task: str
    title: str
    data: str
    columns: tuple[str, ...]
    rows: tuple[PublishedRow, ...]
    protocol: Mapping[str, Any]
    size: Mapping[str, int] = field(default_factory=dict)  # counts of the references that were scored
    source: str = PAPER

    def row(self, name: str) -> PublishedRow:
        """The row of a model, by its printed name or by its name in the library.

        >>> published_tables()["har"].row("i3d_8x8_r50").scores["map"]
        46.41
        """
        for row in self.rows:
            if name in (row.name, row.model):
                return row
        raise KeyError(f"{self.title} has no row {name!r}; it has {[row.name for row in self.rows]}")


def published_tables() -> dict[str, PublishedTable]:
    """All published tables by id: ``har``, ``har_zero_shot``, ``jhmdb_zero_shot``, ``caption``, ``vqa``.

    >>> {name: len(table.rows) for name, table in published_tables().items()}
    {'har': 12, 'har_zero_shot': 2, 'jhmdb_zero_shot': 2, 'caption': 8, 'vqa': 5}
    """
    official = "MicroG-4M, official test split"
    fine_tuned = [_har_row(name) for name, variant in PUBLISHED.items() if variant.num_labels == 50]
    zero_shot = [_har_row(name) for name, variant in PUBLISHED.items() if variant.num_labels == 80]
    size = {"labels": 2656, "labelled_boxes": 1136}
    columns = ("map", "f1", "recall", "auroc")
    tables = (
        PublishedTable(
            "har", "har", "HAR, fine-tuned", official, columns, tuple(fine_tuned), HAR_PROTOCOL | {"classes": 50}, size
        ),
        PublishedTable(
            "har_zero_shot",
            "har",
            "HAR, zero-shot from AVA",
            official,
            columns,
            tuple(zero_shot),
            HAR_PROTOCOL | {"classes": 80},
            size,
        ),
        PublishedTable(
            "jhmdb_zero_shot",
            "har",
            "JHMDB, zero-shot from AVA",
            "JHMDB in AVA format (on Earth)",
            ("map", "auroc"),
            tuple(_zero_shot_on_earth(row) for row in zero_shot),
            HAR_PROTOCOL | {"classes": 80},
        ),
        PublishedTable(
            "caption",
            "caption",
            "Captioning",
            "MicroG-4M, all captioned clips",
            ("cider", "bleu_4", "rouge_l", "meteor_1_5", "sbert", "bertscore"),
            tuple(_text_row(*row, similarity="sbert") for row in CAPTION),
            TEXT_PROTOCOL,
            {"used": 1237},
        ),
        PublishedTable(
            "vqa",
            "vqa",
            "Visual question answering",
            "MicroG-4M, all questions",
            ("cider", "bleu_4", "rouge_l", "meteor_1_5", "svqa", "bertscore"),
            tuple(_text_row(*row, similarity="svqa") for row in VQA),
            TEXT_PROTOCOL,
            {"used": 7528},
        ),
    )
    return {table.id: table for table in tables}


def _har_row(name: str) -> PublishedRow:
    variant = PUBLISHED[name]
    assert variant.published is not None
    printed = variant.published
    scores = {"map": printed.map50, "f1": printed.f1, "recall": printed.recall, "auroc": printed.auroc}
    setting = f"{variant.num_frames}×{variant.sampling_rate}"
    return PublishedRow(
        variant.title.replace(f" {setting}", ""),
        scores,
        setting,
        variant.num_frames,
        variant.parameters,
        name,
        variant.note,
    )


def _zero_shot_on_earth(row: PublishedRow) -> PublishedRow:
    assert row.model is not None
    mean_ap, auroc = JHMDB[row.model]
    scores = {"map": mean_ap, "auroc": auroc}
    return PublishedRow(row.name, scores, row.setting, row.frames, row.parameters, row.model)


def _text_row(
    name: str,
    frames: int,
    cider: float,
    bleu: float,
    rouge: float,
    meteor: float,
    cosine: float,
    bert: float,
    *,
    similarity: str,
) -> PublishedRow:
    scores = {
        "cider": cider,
        "bleu_4": bleu,
        "rouge_l": rouge,
        "meteor_1_5": meteor,
        similarity: cosine,
        "bertscore": bert,
    }
    return PublishedRow(name, scores, f"{frames} frames", frames)
