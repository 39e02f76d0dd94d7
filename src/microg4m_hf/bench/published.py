"""The published tables: captions, answers and JHMDB here, actions from ``models/registry.py``; compared by protocol."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from ..models.registry import PUBLISHED
from .references import References

# Percentages as printed. Scores of networks are in models.registry.PUBLISHED.
# model, frames, CIDEr, BLEU-4, ROUGE-L, METEOR, S-BERT, BERTScore
CAPTION = (
    ("Video-ChatGPT", 3, 0.06, 0.12, 10.10, 4.33, 39.61, 85.40),
    ("mPLUG-Owl3", 3, 0.16, 0.40, 11.87, 5.88, 47.45, 85.91),
    ("LLaVA-NeXT", 8, 0.30, 1.88, 16.32, 14.45, 54.16, 84.98),
    ("Video-LLaVA", 8, 0.03, 0.07, 9.29, 4.12, 42.97, 84.89),
    ("Qwen2.5-VL", 9, 0.03, 1.34, 13.75, 15.67, 56.46, 84.01),
    ("InternVideo", 90, 0.77, 2.60, 16.57, 15.18, 55.28, 85.41),
    ("GPT-4o", 6, 1.74, 2.65, 16.46, 11.27, 62.18, 86.75),
    ("Gemini 1.5 Pro", 16, 3.52, 3.28, 17.34, 15.19, 63.38, 86.25),
)

# model, frames, CIDEr, BLEU-4, ROUGE-L, METEOR, S-VQA, BERTScore
VQA = (
    ("LLaVA-NeXT", 8, 24.00, 22.14, 15.56, 12.40, 38.08, 87.15),
    ("Video-LLaVA", 8, 25.70, 28.47, 15.90, 10.71, 35.39, 87.13),
    ("Qwen2.5-VL", 9, 2.99, 0.65, 8.35, 8.47, 40.65, 84.80),
    ("Gemini 1.5 Pro", 16, 8.78, 1.33, 13.03, 12.54, 43.15, 86.41),
    ("GPT-4o", 6, 33.98, 3.76, 18.11, 15.89, 44.56, 87.81),
)

# What the authors print for a score elsewhere: the newest BENCHMARK.md of the release has 42.09.
ALSO_PRINTED = {"slowfast_4x16_r50": {"map": 42.09}}

# model -> mAP and AUROC on JHMDB in AVA format, zero-shot
JHMDB = {"slow_8x8_r50_ava": (34.24, 76.96), "slowfast_32x2_r101_ava": (47.50, 83.98)}

HAR_SCORES = ("map", "f1", "recall", "auroc")
HAR_SIZE = {"labels": 2656, "labelled_boxes": 1136}  # of the official test split
HAR_DIGEST = "23897f661e0b"  # of its references, as signatures show it

PAPER = "Wen, Qi, Peng et al., “Go Beyond Earth: Understanding Human Actions and Scenes in Microgravity Environments”"

# What must be equal before a score can be ranked with the published ones.
HAR_PROTOCOL = {
    "protocol": "paper", "iou": 0.5, "threshold": 0.5, "scores": "raw", "labels": "frame", "ties": "published",
    "boxes": "given",
}  # fmt: skip
TEXT_PROTOCOL = {"protocol": "paper", "tokenizer": "whitespace"}


@dataclass(frozen=True)
class PublishedRow:
    """One row of a published table; ``scores`` are percentages as printed, under the library's names."""

    name: str
    scores: Mapping[str, float]
    setting: str = ""  # frames × sampling rate, or frames
    frames: int | None = None
    parameters: int | None = None
    model: str | None = None  # name in ``microg4m models list``
    note: str = ""
    also: Mapping[str, float] = field(default_factory=dict)  # what the authors print elsewhere

    @property
    def printed(self) -> dict[str, tuple[float, ...]]:
        """All printed values of each score."""
        return {name: (value, *([self.also[name]] if name in self.also else [])) for name, value in self.scores.items()}


@dataclass(frozen=True)
class PublishedTable:
    """One published table; ``task`` is har, caption or vqa."""

    id: str
    task: str
    title: str
    data: str  # the clips that were scored
    columns: tuple[str, ...]
    rows: tuple[PublishedRow, ...]
    protocol: Mapping[str, Any]
    size: Mapping[str, int] = field(default_factory=dict)  # counts of references and scored items
    source: str = PAPER

    def row(self, name: str) -> PublishedRow:
        """Return the row of a model.

        Args:
            name: The printed name of the model, or its name in the library.

        Raises:
            KeyError: The table has no such row.

        Example:
            >>> published_tables()["har"].row("i3d_8x8_r50").scores["map"]
            46.41
        """
        for row in self.rows:
            if name in (row.name, row.model):
                return row
        raise KeyError(f"{self.title} has no row {name!r}; choose from {[row.name for row in self.rows]}")


def published_tables() -> dict[str, PublishedTable]:
    """Return all published tables by id.

    Example:
        >>> {name: len(table.rows) for name, table in published_tables().items()}
        {'har': 12, 'har_zero_shot': 2, 'jhmdb_zero_shot': 2, 'caption': 8, 'vqa': 5}
    """
    fine_tuned = tuple(_har_row(name) for name, variant in PUBLISHED.items() if variant.num_labels == 50)
    zero_shot = tuple(_har_row(name) for name, variant in PUBLISHED.items() if variant.num_labels == 80)
    earth_scores = {name: dict(zip(("map", "auroc"), scores, strict=True)) for name, scores in JHMDB.items()}
    on_earth = tuple(replace(row, scores=earth_scores[row.model or ""], note="") for row in zero_shot)
    har, har_80 = ({**HAR_PROTOCOL, "classes": classes} for classes in (50, 80))
    split, size = "MicroG-4M, official test split", HAR_SIZE
    zero_shot_title, earth = "zero-shot from AVA", "JHMDB in AVA format (on Earth)"
    tables = (
        PublishedTable("har", "har", "HAR, fine-tuned", split, HAR_SCORES, fine_tuned, har, size),
        PublishedTable("har_zero_shot", "har", f"HAR, {zero_shot_title}", split, HAR_SCORES, zero_shot, har_80, size),
        PublishedTable(
            "jhmdb_zero_shot", "har", f"JHMDB, {zero_shot_title}", earth, ("map", "auroc"), on_earth, har_80
        ),
        _text_table("caption", "Captioning", "MicroG-4M, all captioned clips", "sbert", CAPTION, 1237),
        _text_table("vqa", "Visual question answering", "MicroG-4M, all questions", "svqa", VQA, 7528),
    )
    return {table.id: table for table in tables}


def _har_row(name: str) -> PublishedRow:
    variant = PUBLISHED[name]
    printed, frames = variant.published, variant.num_frames
    assert printed is not None
    scores = dict(zip(HAR_SCORES, (printed.map50, printed.f1, printed.recall, printed.auroc), strict=True))
    setting = f"{frames}×{variant.sampling_rate}"
    title = variant.title.replace(f" {setting}", "")
    also = ALSO_PRINTED.get(name, {})
    return PublishedRow(title, scores, setting, frames, variant.parameters, name, variant.note, also)


def _text_table(
    task: str, title: str, data: str, similarity: str, printed: Sequence[tuple[Any, ...]], used: int
) -> PublishedTable:
    columns = ("cider", "bleu_4", "rouge_l", "meteor_1_5", similarity, "bertscore")
    rows = tuple(
        PublishedRow(name, dict(zip(columns, scores, strict=True)), f"{frames} frames", frames)
        for name, frames, *scores in printed
    )
    return PublishedTable(task, task, title, data, columns, rows, TEXT_PROTOCOL, {"used": used})


def differences_from_published(result: dict[str, Any], references: References, table: PublishedTable) -> list[str]:
    """List how a score's recipe and references differ from those of a published table; empty means the same protocol.

    >>> result = {"recipe": {"protocol": "paper", "tokenizer": "whitespace", "used": 1237, "missing": 0}}
    >>> references, table = References("caption", None, "files"), published_tables()["caption"]
    >>> differences_from_published(result, references, table)
    []
    >>> result["recipe"] |= {"used": 30, "missing": 3}
    >>> differences_from_published(result, references, table)
    ['used: 30, published 1237', '3 items without a prediction']
    """
    recipe = result["recipe"]
    counts = result.get("counts", {}) | {"used": recipe.get("used")}
    found = []
    if references.sample:
        found.append("scored on the built-in sample")
    if references.scheme != "official":
        found.append(f"split scheme {references.scheme}, published official")
    for name, value in table.protocol.items():
        if recipe.get(name) != value:
            found.append(f"{name}: {recipe.get(name)}, published {value}")
    if not references.sample and references.scheme == "official":
        for name, value in table.size.items():
            if counts.get(name) != value:
                found.append(f"{name.replace('_', ' ')}: {counts.get(name)}, published {value}")
    if recipe.get("missing"):
        found.append(f"{recipe['missing']} items without a prediction")
    return found


def nearest_table(task: str, result: dict[str, Any], tables: dict[str, PublishedTable]) -> PublishedTable:
    """Return the published table that a result is compared with."""
    if task == "har" and result["recipe"].get("classes") == 80:
        return tables["har_zero_shot"]
    return tables[task]
