"""Persons of a clip with their true actions, and each run's ranking beside them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ...taxonomy import ACTIONS
from .clip_facts import COLOURS, ClipFacts
from .runs import Ranked, Run
from .words import element, hundredths

RANKED = 5  # actions of a run that are shown, or as many as the person does

_TRUE = '<span class="mg-hit" aria-hidden="true">✓</span><span class="mg-said">true: </span>'
_FALSE = '<span class="mg-miss" aria-hidden="true">·</span>'


def people(facts: ClipFacts, runs: Sequence[Run]) -> str:
    """A card for every person."""
    if not facts.persons:
        return ""
    own = [run for run in runs if run.task == "har"]
    speak = [run for run in own if run.score[facts.place] == run.score[facts.place]]
    cards = "".join(_card(facts, number, one, speak) for number, one in enumerate(facts.persons))
    silent = ", ".join(run.name for run in own if not any(run is one for one in speak))
    note = element("p", f"No prediction for this clip: {silent}.", "mg-quiet") if silent else ""
    return f'<section aria-label="People and actions"><h3>People and actions</h3>{note}{cards}</section>'


def _card(facts: ClipFacts, number: int, person: dict[str, Any], runs: Sequence[Run]) -> str:
    name = person["person_id"]
    mark = f'<span class="mg-mark mg-colour-{number % COLOURS}" aria-hidden="true">{name}</span>'
    key = person["key_frame"]
    jump = f'<button type="button" data-frame="{key}">key frame {key}</button>' if key else ""
    missing = "" if key else element("span", "no box", "mg-quiet")
    true = [ACTIONS[label] for label in person["actions"]]
    chips = "".join(f"<li>{element('span', one.name)}{element('small', one.group)}</li>" for one in true)
    chips = chips or f"<li>{element('span', 'no labelled action')}</li>"
    said = "".join(_ranking(run, run.persons.get((facts.video_id, name)), person["actions"]) for run in runs)
    return (
        f'<div class="mg-person"><h4>{mark}Person {name}{jump}{missing}</h4><ul class="mg-true">{chips}</ul>'
        f"{f'<div class={chr(34)}mg-runs{chr(34)}>{said}</div>' if said else ''}</div>"
    )


def _ranking(run: Run, ranked: Ranked | None, actions: list[int]) -> str:
    if ranked is None:
        return f'<div class="mg-run">{element("h5", run.name)}{element("p", "no prediction", "mg-quiet")}</div>'
    order = np.argsort(-ranked.scores, kind="stable")
    order = order[np.isfinite(ranked.scores[order])]  # of the others the run said nothing
    top = order[: max(RANKED, len(actions))].tolist()
    lines = "".join(_line(label, float(ranked.chances[label]), label in actions) for label in top)
    places = {int(label): place for place, label in enumerate(order, start=1)}
    lost = [
        f"{ACTIONS[label].name} ({f'rank {places[label]}' if label in places else 'not scored'})"
        for label in actions
        if label not in top
    ]
    below = element("p", f"further down: {', '.join(lost)}", "mg-quiet") if lost else ""
    quality = element("small", f"ranking precision {hundredths(ranked.quality)}") if actions else ""
    return f'<div class="mg-run"><h5>{element("span", run.name)}{quality}</h5><ol>{lines}</ol>{below}</div>'


def _line(label: int, chance: float, hit: bool) -> str:
    chance = max(0.0, min(1.0, chance))
    return (
        f'<li class="{"mg-right" if hit else "mg-wrong"}" style="--part:{chance:.3f}">{_TRUE if hit else _FALSE}'
        f"{element('span', ACTIONS[label].name, 'mg-action')}{element('span', f'{chance:.2f}', 'mg-number')}</li>"
    )
