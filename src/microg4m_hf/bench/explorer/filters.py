"""Filter and sort the clips of the list, and the Gradio controls for it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...taxonomy import ACTIONS, GROUPS, labels_of_group
from .catalogue import Catalogue
from .predictions import Run

DOMAINS, SPLITS, TEXTS = ("real", "movie"), ("train", "validation", "test"), ("captioned", "questioned")
BY_NAME, WORST_FIRST, BEST_FIRST = "name", "worst first", "best first"
ORDERS = (BY_NAME, WORST_FIRST, BEST_FIRST)


@dataclass(frozen=True)
class Filter:
    """What a clip must match. An empty field matches every clip; a field with several values matches any of them."""

    actions: Sequence[int] = ()  # packed labels
    all_actions: bool = False  # whether a clip must show all of the actions
    groups: Sequence[str] = ()
    domains: Sequence[str] = ()
    scheme: str = "official"
    splits: Sequence[str] = ()
    texts: Sequence[str] = ()
    words: str = ""  # each must occur in id, captions, questions or answers
    lowest: float = 0.0  # score of the run
    highest: float = 1.0
    order: str = BY_NAME


def select(catalogue: Catalogue, wanted: Filter, run: Run | None = None, other: Run | None = None) -> np.ndarray:
    """Return the places of the clips that pass a filter, in its order.

    Args:
        catalogue: The clips.
        wanted: The filter.
        run: The run whose scores are filtered and sorted by.
        other: A run that predicted the clip wrongly, where ``run`` is right.
    """
    keep = _matches_annotations(catalogue, wanted)
    for word in wanted.words.casefold().split():
        keep &= np.fromiter((word in text for text in catalogue.texts), bool, len(catalogue))
    if run is not None and (wanted.lowest > 0 or wanted.highest < 1):
        # A tolerance, because values of sliders and means of scores are rounded differently.
        keep &= (run.score >= wanted.lowest - 1e-9) & (run.score <= wanted.highest + 1e-9)
    if run is not None and other is not None:
        keep &= run.right & np.isfinite(other.score) & ~other.right
    places = np.flatnonzero(keep)
    if run is None or wanted.order == BY_NAME:
        return places
    score = run.score[places] if wanted.order == WORST_FIRST else -run.score[places]
    return places[np.argsort(score, kind="stable")]  # clips without a score come last


def _matches_annotations(catalogue: Catalogue, wanted: Filter) -> np.ndarray:
    keep = np.ones(len(catalogue), dtype=bool)
    if len(wanted.actions):
        selected = catalogue.actions[:, list(wanted.actions)]
        keep &= selected.all(axis=1) if wanted.all_actions else selected.any(axis=1)
    if wanted.groups:
        labels = [label for group in wanted.groups for label in labels_of_group(group)]
        keep &= catalogue.actions[:, labels].any(axis=1)
    if wanted.domains:
        keep &= np.isin(catalogue.domain, list(wanted.domains))
    if wanted.splits and wanted.scheme in catalogue.splits:
        keep &= np.isin(catalogue.splits[wanted.scheme], list(wanted.splits))
    for kind, texts in (("captioned", catalogue.captions), ("questioned", catalogue.questions)):
        if kind in wanted.texts:
            keep &= np.fromiter((name in texts for name in catalogue.ids), bool, len(catalogue))
    return keep


def choices(catalogue: Catalogue, scheme: str) -> dict[str, list[tuple[str, str]]]:
    """Return the values of every field with their numbers of clips, as ``(label, value)`` pairs for Gradio."""

    def with_count(value: str, wanted: Filter) -> tuple[str, str]:
        return f"{value} ({len(select(catalogue, wanted)):,})", value

    in_use = catalogue.actions.sum(axis=0)
    return {
        "actions": [(f"{one.name} ({in_use[one.label]:,})", str(one.label)) for one in ACTIONS if in_use[one.label]],
        "groups": [with_count(group, Filter(groups=[group])) for group in GROUPS],
        "domains": [with_count(domain, Filter(domains=[domain])) for domain in DOMAINS],
        "splits": [with_count(split, Filter(scheme=scheme, splits=[split])) for split in SPLITS],
        "texts": [with_count(kind, Filter(texts=[kind])) for kind in TEXTS],
    }


NO_RUN = "any run"
ANY, ALL = "any of them", "all of them"


def add_controls(gr: Any, catalogue: Catalogue, runs: Sequence[Run], scheme: str) -> tuple[dict[str, Any], Any]:
    """Add the controls that apply to the dataset to the page; return them by name, and the accordion around them."""
    options = choices(catalogue, scheme)
    usable = [run.name for run in runs if run.problem is None]
    placeholder = "clip, caption, question, answer"
    controls = {"words": gr.Textbox(label="Search", placeholder=placeholder, elem_id="mg-words", max_lines=1)}
    with gr.Accordion("Filters", open=True, elem_id="mg-fold") as accordion:
        controls |= {
            "actions": gr.Dropdown(
                options["actions"], label="Actions", multiselect=True, value=[], elem_id="mg-actions"
            ),
            "together": gr.Radio([ANY, ALL], value=ANY, label="Clips show", elem_id="mg-together"),
            "groups": gr.CheckboxGroup(options["groups"], label="Group", elem_id="mg-groups"),
            "domains": gr.CheckboxGroup(options["domains"], label="Domain", elem_id="mg-domains"),
        }
        if catalogue.splits:
            schemes = list(catalogue.splits)
            controls["scheme"] = gr.Radio(schemes, value=scheme, label="Split scheme", elem_id="mg-scheme")
            controls["splits"] = gr.CheckboxGroup(options["splits"], label="Split", elem_id="mg-splits")
        if catalogue.captions or catalogue.questions:
            controls["texts"] = gr.CheckboxGroup(options["texts"], label="Texts", elem_id="mg-texts")
        if usable:
            controls |= {
                "run": gr.Dropdown(usable, value=usable[0], label="Score of", elem_id="mg-run"),
                "lowest": gr.Slider(0, 100, 0, step=1, label="Score from", elem_id="mg-lowest"),
                "highest": gr.Slider(0, 100, 100, step=1, label="Score to", elem_id="mg-highest"),
                "order": gr.Radio(list(ORDERS), value=WORST_FIRST, label="Order", elem_id="mg-order"),
            }
        if len(usable) > 1:
            controls["other"] = gr.Dropdown(
                [NO_RUN, *usable], value=NO_RUN, label="Only where it is right, and wrong is", elem_id="mg-other"
            )
    return controls, accordion


def as_filter(values: Mapping[str, Any], scheme: str) -> Filter:
    """Return the filter for the values of the controls.

    >>> as_filter({"words": "eats", "actions": ["9"], "together": ALL, "lowest": 25}, "official").lowest
    0.25
    """
    return Filter(
        actions=[int(label) for label in values.get("actions") or ()],
        all_actions=values.get("together") == ALL,
        groups=values.get("groups") or (),
        domains=values.get("domains") or (),
        scheme=values.get("scheme") or scheme,
        splits=values.get("splits") or (),
        texts=values.get("texts") or (),
        words=str(values.get("words") or ""),
        lowest=float(values.get("lowest") or 0) / 100,
        highest=(100.0 if values.get("highest") is None else float(values["highest"])) / 100,
        order=values.get("order") or BY_NAME,
    )
