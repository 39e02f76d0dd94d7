"""Filter and sort the clips of the list, and the Gradio controls for it."""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

import numpy as np

from ...taxonomy import ACTIONS, GROUPS, label_of, labels_of_group
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
        other: A run that is wrong about a person or a text of the clip, where ``run`` is right.
    """
    places = np.flatnonzero(_all_of(_passed(catalogue, wanted, run, other).values()))
    if run is None or wanted.order == BY_NAME:
        return places
    score = run.score[places] if wanted.order == WORST_FIRST else -run.score[places]
    return places[np.argsort(score, kind="stable")]  # clips without a score come last


def _passed(catalogue: Catalogue, wanted: Filter, run: Run | None, other: Run | None) -> dict[str, np.ndarray]:
    """Return which clips pass each control with counts, and under ``rest`` which pass all other controls."""
    rest = np.ones(len(catalogue), dtype=bool)
    for word in wanted.words.casefold().split():
        rest &= np.fromiter((word in text for text in catalogue.texts), bool, len(catalogue))
    if run is not None and (wanted.lowest > 0 or wanted.highest < 1):
        # A tolerance, because values of sliders and means of scores are rounded differently.
        rest &= (run.score >= wanted.lowest - 1e-9) & (run.score <= wanted.highest + 1e-9)
    passed = {"rest": rest}
    if run is not None and other is not None:
        passed["other"] = _is_better(run, other, catalogue)
    members = _members(catalogue, wanted.scheme)
    actions = [str(ACTIONS[label].action_id) for label in wanted.actions]
    chosen = {"actions": actions, "groups": wanted.groups, "domains": wanted.domains}
    for field, values in {**chosen, "splits": wanted.splits, "texts": wanted.texts}.items():
        if len(values) and field in members:
            columns = [members[field][value] for value in values]
            passed[field] = np.all(columns, axis=0) if _wants_all(field, wanted) else np.any(columns, axis=0)
    return passed


def _all_of(passed: Iterable[np.ndarray]) -> np.ndarray:
    return np.logical_and.reduce(list(passed))


def _wants_all(field: str, wanted: Filter) -> bool:
    return field == "texts" or (field == "actions" and wanted.all_actions)


def _members(catalogue: Catalogue, scheme: str) -> dict[str, dict[str, np.ndarray]]:
    """Return for each control the values that occur, and which clips have them."""
    texts_of: dict[str, Container[str]] = {"captioned": catalogue.captions, "questioned": catalogue.questions}
    members: dict[str, dict[str, np.ndarray]] = {
        "actions": {str(one.action_id): catalogue.actions[:, one.label] for one in ACTIONS},
        "groups": {group: np.any(catalogue.actions[:, list(labels_of_group(group))], axis=1) for group in GROUPS},
        "domains": {domain: catalogue.domain == domain for domain in DOMAINS},
        "texts": {
            kind: np.fromiter((name in texts for name in catalogue.ids), bool, len(catalogue))
            for kind, texts in texts_of.items()
        },
    }
    if scheme in catalogue.splits:
        members["splits"] = {split: catalogue.splits[scheme] == split for split in SPLITS}
    return members


def _is_better(run: Run, other: Run, catalogue: Catalogue) -> np.ndarray:
    """Return which clips have a person, a caption or an answer that ``run`` has right and ``other`` wrong."""
    better = np.zeros(len(catalogue), dtype=bool)
    keys = run.right & other.wrong
    better[[catalogue.place_of[key if isinstance(key, str) else key[0]] for key in keys]] = True
    return better


def choices(
    catalogue: Catalogue, wanted: Filter, runs: Sequence[Run] = (), run: Run | None = None, other: Run | None = None
) -> dict[str, list[tuple[str, str]]]:
    """Return the values of the controls as ``(label, value)`` pairs for Gradio, with their numbers of clips.

    A number counts the clips that the value would show, or add where a clip needs only one of several values, under
    the filters that are set in all other controls.
    """
    passed = _passed(catalogue, wanted, run, other)
    members = _members(catalogue, wanted.scheme)
    members["actions"] = {value: has for value, has in members["actions"].items() if has.any()}
    if run is not None:
        rivals = [one for one in runs if one.task == run.task and one is not run]
        members["other"] = {one.name: _is_better(run, one, catalogue) for one in rivals}
    found = {}
    for field, values in members.items():
        rest = _all_of(mask for key, mask in passed.items() if key != field or _wants_all(field, wanted))
        names = _ACTION_NAMES if field == "actions" else {}
        found[field] = [
            (f"{names.get(value, value)} ({np.count_nonzero(has & rest):,})", value) for value, has in values.items()
        ]
    found["other"] = [(NO_RUN, NO_RUN), *found.get("other", ())]
    return found


_ACTION_NAMES = {str(one.action_id): one.name for one in ACTIONS}
NO_RUN = "any run"
ANY, ALL = "any of them", "all of them"


def add_controls(gr: Any, catalogue: Catalogue, runs: Sequence[Run], scheme: str) -> tuple[dict[str, Any], Any]:
    """Add the controls that apply to the dataset to the page; return them by name, and the accordion around them."""
    usable = [run for run in runs if run.problem is None]
    options = choices(catalogue, Filter(scheme=scheme), usable, *usable[:1])
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
            names = [run.name for run in usable]
            controls["run"] = gr.Dropdown(names, value=names[0], label="Score of", elem_id="mg-run")
            if len(usable) > 1:
                controls["other"] = gr.Dropdown(
                    options["other"], value=NO_RUN, label="It is right where this run is wrong", elem_id="mg-other"
                )
            controls |= {
                "lowest": gr.Slider(0, 100, 0, step=1, label="Score from", elem_id="mg-lowest"),
                "highest": gr.Slider(0, 100, 100, step=1, label="Score to", elem_id="mg-highest"),
                "order": gr.Radio(list(ORDERS), value=WORST_FIRST, label="Order", elem_id="mg-order"),
            }
    return controls, accordion


def as_filter(values: Mapping[str, Any], scheme: str) -> Filter:
    """Return the filter for the values of the controls.

    >>> as_filter({"words": "eats", "actions": ["12"], "together": ALL, "lowest": 25}, "official").lowest
    0.25
    """
    return Filter(
        actions=[label_of(int(action)) for action in values.get("actions") or ()],
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


def write_address(values: Mapping[str, Any], defaults: Mapping[str, Any]) -> str:
    """Return the query of an address for the values of the controls that are not the first ones.

    >>> write_address({"actions": ["12", "14"], "run": "mine", "lowest": 0}, {"actions": [], "run": "a", "lowest": 0})
    'actions=12&actions=14&run=mine'
    """
    changed = {name: value for name, value in values.items() if value != defaults[name]}
    return urlencode(changed, doseq=True)


def read_address(
    pairs: Iterable[tuple[str, str]], defaults: Mapping[str, Any], allowed: Mapping[str, Sequence[str]]
) -> dict[str, Any]:
    """Return the values of all controls under an address; what cannot be chosen on the page is left out.

    >>> read_address([("domains", "real"), ("domains", "x"), ("lowest", "7")], {"domains": [], "lowest": 0},
    ...     {"domains": ["real", "movie"]})
    {'domains': ['real'], 'lowest': 7}
    """
    values = dict(defaults)
    for name, text in pairs:
        default = defaults.get(name)
        if default is None or (name in allowed and text not in allowed[name]):
            continue
        if isinstance(default, list):
            values[name] = [*dict.fromkeys([*values[name], text])]
        elif isinstance(default, str):
            values[name] = text
        elif text.isascii() and text.isdigit():
            values[name] = min(int(text[:4]), 100)
    return values
