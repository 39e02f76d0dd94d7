"""Which clips are listed, and in which order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

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


# The filters as Gradio controls.

ANY, ALL = "any of them", "all of them"


@dataclass(frozen=True)
class Controls:
    """The controls; those that make no sense for a data set are ``None``."""

    words: Any
    actions: Any
    together: Any
    groups: Any
    domains: Any
    scheme: Any
    splits: Any
    texts: Any
    run: Any
    lowest: Any
    highest: Any
    order: Any
    fold: Any  # what they lie in

    @property
    def _named(self) -> dict[str, Any]:
        return {name: one for name, one in vars(self).items() if one is not None and name != "fold"}

    @property
    def all(self) -> list[Any]:
        """The controls there are."""
        return list(self._named.values())

    @property
    def names(self) -> list[str]:
        """What each of ``all`` sets."""
        return list(self._named)


def add_controls(gr: Any, catalogue: Catalogue, runs: Sequence[Run], scheme: str) -> Controls:
    """Place the controls where the page is being built."""
    offered = choices(catalogue, scheme)
    usable = [run.name for run in runs if run.problem is None]
    words = gr.Textbox(label="Search", placeholder="clip, caption, question, answer", elem_id="mg-words", max_lines=1)
    with gr.Accordion("Filters", open=True, elem_id="mg-fold") as fold:
        actions = gr.Dropdown(offered["actions"], label="Actions", multiselect=True, value=[], elem_id="mg-actions")
        together = gr.Radio([ANY, ALL], value=ANY, label="A clip shows", elem_id="mg-together")
        groups = gr.CheckboxGroup(offered["groups"], label="Group", elem_id="mg-groups")
        domains = gr.CheckboxGroup(offered["domains"], label="Domain", elem_id="mg-domains")
        division = splits = texts = run = lowest = highest = order = None
        if catalogue.splits:
            division = gr.Radio(list(catalogue.splits), value=scheme, label="Split scheme", elem_id="mg-scheme")
            splits = gr.CheckboxGroup(offered["splits"], label="Split", elem_id="mg-splits")
        if catalogue.captions or catalogue.questions:
            texts = gr.CheckboxGroup(offered["texts"], label="Texts", elem_id="mg-texts")
        if usable:
            run = gr.Dropdown(usable, value=usable[0], label="Score of", elem_id="mg-run")
            lowest = gr.Slider(0, 100, 0, step=1, label="Score from", elem_id="mg-lowest")
            highest = gr.Slider(0, 100, 100, step=1, label="Score to", elem_id="mg-highest")
            order = gr.Radio(list(ORDERS), value=BY_NAME, label="Order", elem_id="mg-order")
    return Controls(
        words, actions, together, groups, domains, division, splits, texts, run, lowest, highest, order, fold
    )


def as_filter(said: Mapping[str, Any], scheme: str) -> Filter:
    """What the values of the controls ask for.

    >>> as_filter({"words": "eats", "actions": ["9"], "together": ALL, "lowest": 25}, "official").lowest
    0.25
    """
    return Filter(
        actions=[int(label) for label in said.get("actions") or ()],
        all_actions=said.get("together") == ALL,
        groups=said.get("groups") or (),
        domains=said.get("domains") or (),
        scheme=said.get("scheme") or scheme,
        splits=said.get("splits") or (),
        texts=said.get("texts") or (),
        words=str(said.get("words") or ""),
        lowest=float(said.get("lowest") or 0) / 100,
        highest=(100.0 if said.get("highest") is None else float(said["highest"])) / 100,
        order=said.get("order") or BY_NAME,
    )
