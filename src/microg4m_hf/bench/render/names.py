"""What scores and numbers are called where people read them."""

from __future__ import annotations

import re

from .document import Cell

SCORE_NAMES = {
    "map": "mAP@0.5",
    "f1": "F1",
    "recall": "recall",
    "precision": "precision",
    "auroc": "AUROC",
    "bleu_1": "BLEU-1",
    "bleu_2": "BLEU-2",
    "bleu_3": "BLEU-3",
    "bleu_4": "BLEU-4",
    "cider": "CIDEr",
    "rouge_l": "ROUGE-L",
    "meteor_1_5": "METEOR 1.5",
    "meteor_nltk": "METEOR (NLTK)",
    "sbert": "S-BERT",
    "svqa": "S-VQA",
    "bertscore": "BERTScore",
    "exact_match": "exact match",
    "refusal_rate": "refusals",
}


def percent(value: float | None, digits: int = 2) -> str:
    """A fraction times 100, an en dash where there is none.

    >>> percent(0.46413), percent(None), percent(float("nan"))
    ('46.41', '–', '–')
    """
    return "–" if value is None or value != value else f"{100 * value:.{digits}f}"


def signed(value: float, digits: int = 2) -> str:
    """A difference times 100 with its sign.

    >>> signed(-0.0432), signed(0.1)
    ('−4.32', '+10.00')
    """
    return f"{100 * value:+.{digits}f}".replace("-", "−")


def between(interval: list[float] | tuple[float, float] | None, *, is_signed: bool = False) -> str:
    """An interval as small print.

    >>> between([0.401, 0.527]), between([-0.1, 0.2], is_signed=True), between(None)
    ('40.1 to 52.7', '−10.0 to +20.0', '')
    """
    if interval is None or interval[0] != interval[0]:
        return ""
    low, high = (signed(edge, 1) if is_signed else f"{100 * edge:.1f}" for edge in interval)
    return f"{low} to {high}"


def cell(value: float | None, interval: list[float] | None = None) -> Cell:
    """A score with its interval below."""
    return Cell(percent(value), between(interval))


def slug(text: str) -> str:
    """A name for files and ids.

    >>> slug("I3D R50, 8×8 (mine)")
    'i3d-r50-8-8-mine'
    """
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:60] or "unnamed"
