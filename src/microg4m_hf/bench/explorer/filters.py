"""Which clips are listed, and in which order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ...taxonomy import ACTIONS, GROUPS, labels_of_group
from .catalogue import Catalogue
from .runs import Run

DOMAINS, SPLITS, TEXTS = ("real", "movie"), ("train", "validation", "test"), ("captioned", "questioned")
BY_NAME, WORST_FIRST, BEST_FIRST = "name", "worst first", "best first"
ORDERS = (BY_NAME, WORST_FIRST, BEST_FIRST)


@dataclass(frozen=True)
class Filter:
    """What a clip must be. An empty choice asks for nothing; of several choices in one field any will do."""

    actions: Sequence[int] = ()  # packed labels
    all_actions: bool = False  # the clip must show all of them
    groups: Sequence[str] = ()
    domains: Sequence[str] = ()
    scheme: str = "official"
    splits: Sequence[str] = ()
    texts: Sequence[str] = ()
    words: str = ""  # each must occur in id, captions, questions or answers
    lowest: float = 0.0  # score of the chosen run
    highest: float = 1.0
    order: str = BY_NAME


def select(catalogue: Catalogue, wanted: Filter, run: Run | None = None) -> np.ndarray:
    """The places of the clips that pass, in the order that was asked for."""
    keep = _annotated(catalogue, wanted)
    for word in wanted.words.casefold().split():
        keep &= np.fromiter((word in text for text in catalogue.haystack), bool, len(catalogue))
    if run is not None and (wanted.lowest > 0 or wanted.highest < 1):
        # A hair of room: sliders and means of thirds do not end on the same digit.
        keep &= (run.score >= wanted.lowest - 1e-9) & (run.score <= wanted.highest + 1e-9)
    places = np.flatnonzero(keep)
    if run is None or wanted.order == BY_NAME:
        return places
    score = run.score[places] if wanted.order == WORST_FIRST else -run.score[places]
    return places[np.argsort(score, kind="stable")]  # clips without a score come last


def _annotated(catalogue: Catalogue, wanted: Filter) -> np.ndarray:
    keep = np.ones(len(catalogue), dtype=bool)
    if len(wanted.actions):
        chosen = catalogue.actions[:, list(wanted.actions)]
        keep &= chosen.all(axis=1) if wanted.all_actions else chosen.any(axis=1)
    if wanted.groups:
        labels = [label for group in wanted.groups for label in labels_of_group(group)]
        keep &= catalogue.actions[:, labels].any(axis=1)
    if wanted.domains:
        keep &= np.isin(catalogue.domain, list(wanted.domains))
    if wanted.splits and wanted.scheme in catalogue.splits:
        keep &= np.isin(catalogue.splits[wanted.scheme], list(wanted.splits))
    if "captioned" in wanted.texts:
        keep &= _has(catalogue, catalogue.captions)
    if "questioned" in wanted.texts:
        keep &= _has(catalogue, catalogue.questions)
    return keep


def _has(catalogue: Catalogue, texts: Mapping[str, object]) -> np.ndarray:
    return np.fromiter((name in texts for name in catalogue.ids), bool, len(catalogue))


def choices(catalogue: Catalogue, scheme: str) -> dict[str, list[tuple[str, str]]]:
    """For every field the values with the number of clips: ``(label, value)`` pairs as Gradio takes them."""

    def counted(value: str, wanted: Filter, name: str | None = None) -> tuple[str, str]:
        return f"{name or value} ({len(select(catalogue, wanted)):,})", value

    in_use = catalogue.actions.sum(axis=0)
    return {
        "actions": [(f"{one.name} ({in_use[one.label]:,})", str(one.label)) for one in ACTIONS if in_use[one.label]],
        "groups": [counted(group, Filter(groups=[group])) for group in GROUPS],
        "domains": [counted(domain, Filter(domains=[domain])) for domain in DOMAINS],
        "splits": [counted(split, Filter(scheme=scheme, splits=[split])) for split in SPLITS],
        "texts": [counted(kind, Filter(texts=[kind])) for kind in TEXTS],
    }
