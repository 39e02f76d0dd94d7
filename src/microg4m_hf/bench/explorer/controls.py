"""The filters as Gradio controls."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .catalogue import Catalogue
from .filters import BY_NAME, ORDERS, Filter, choices
from .runs import Run

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
