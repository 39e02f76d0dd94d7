"""One clip as HTML: player with boxes, people with their actions, caption, questions, and what runs say of them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import Any

import numpy as np

from ...data import open_clip
from ...errors import ClipError
from ...taxonomy import ACTIONS
from .catalogue import Catalogue
from .html import clip_address, counted, element, hundredths, picture_address
from .runs import Ranked, Run, Said

# What the player in the browser must know of a clip: when each frame shows, and where each person is in it.

COLOURS = 6  # how many colours the style sheet has for persons


@dataclass(frozen=True)
class ClipFacts:
    """A clip with its file, or with the reason why it cannot be played."""

    video_id: str
    place: int
    row: dict[str, Any]
    file: Path | None
    trouble: str | None
    times: list[float] = field(default_factory=list)  # seconds at which frame 1, 2, … begins
    size: tuple[int, int] | None = None

    @property
    def persons(self) -> list[dict[str, Any]]:
        """The persons as the ``har`` config gives them."""
        return self.row["persons"]

    @property
    def last_frame(self) -> int:
        """Frames are numbered from 1, as in the annotations."""
        said = [frame for one in self.persons for frame in (*one["frames"], one["key_frame"]) if frame is not None]
        return max([len(self.times), *said, 1])

    def for_player(self) -> dict[str, Any]:
        """Numbers alone, ready for JSON."""
        return {
            "times": [round(time, 5) for time in self.times],
            "last": self.last_frame,
            "people": [
                {
                    "id": one["person_id"],
                    "colour": number % COLOURS,
                    "key": one["key_frame"],
                    "keyBox": _rounded(one["key_box"]) if len(one["key_box"]) == 4 else None,
                    "frames": list(one["frames"]),
                    "boxes": [_rounded(box) for box in one["boxes"]],
                }
                for number, one in enumerate(self.persons)
            ],
        }


def clip_facts(catalogue: Catalogue, place: int) -> ClipFacts:
    """Look a clip up; its file is opened to learn when its frames show, and decoded by nobody."""
    video_id = catalogue.ids[place]
    file, times, size = catalogue.clip_file(video_id), [], catalogue.frame_size(place)
    trouble = None if file else "The clip is not at hand"
    if file:
        try:
            with open_clip(file) as clip:
                times, size = clip.times().tolist(), (clip.width, clip.height)
        except ClipError as error:
            trouble, file = f"The clip cannot be played: {' '.join(str(error).split())}", None
    return ClipFacts(video_id, place, catalogue.row(place), file, trouble, times, size)


def _rounded(box: list[float]) -> list[float]:
    return [round(float(value), 5) for value in box]


# Persons of a clip with their true actions, and each run's ranking beside them.

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


# Caption and questions of a clip: the reference, and each run's words side by side.


def captions(catalogue: Catalogue, video_id: str, runs: Sequence[Run]) -> str:
    """The caption, and what runs said instead."""
    meant = catalogue.captions.get(video_id)
    own = [run for run in runs if run.task == "caption"]
    if not meant:
        return ""
    lines = "".join(f"<dt>reference</dt>{element('dd', text)}" for text in meant)
    for run in own:
        lines += f"<dt>{escape(run.name)}</dt><dd>{_said(run.texts.get(video_id))}</dd>"
    return f'<section aria-label="Caption"><h3>Caption</h3><dl class="mg-captions">{lines}</dl></section>'


def questions(catalogue: Catalogue, video_id: str, runs: Sequence[Run]) -> str:
    """A row for every question; on a narrow page each cell names its column."""
    asked = catalogue.questions.get(video_id)
    if not asked:
        return ""
    own = [run for run in runs if run.task == "vqa"]
    head = "".join(element("th", name, scope="col") for name in ("question", "reference", *(run.name for run in own)))
    rows = ""
    for one in asked:
        cells = element("th", one.question, scope="row") + element("td", one.answer, data_column="reference")
        for run in own:
            said = _said(run.texts.get((video_id, one.question.strip())))
            cells += f'<td data-column="{escape(run.name)}">{said}</td>'
        rows += f"<tr>{cells}</tr>"
    table = f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"
    scroll = f'<div class="mg-scroll" tabindex="0" role="region" aria-label="Questions and answers">{table}</div>'
    return f'<section aria-label="Questions"><h3>Questions</h3>{scroll}</section>'


def _said(one: Said | None) -> str:
    if one is None:
        return element("span", "no prediction", "mg-quiet")
    text = element("span", one.text) if one.text.strip() else element("span", "(nothing)", "mg-quiet")
    return f'{text} <small class="mg-number">ROUGE-L {hundredths(one.rouge_l)}</small>'


_ASPECT = (16, 9)  # of an empty stage whose frame size nothing tells


def clip_page(catalogue: Catalogue, place: int, runs: Sequence[Run], *, scheme: str = "official") -> str:
    """The whole right side of the explorer."""
    facts = clip_facts(catalogue, place)
    usable = [run for run in runs if run.problem is None]
    parts = [_head(catalogue, facts, scheme), _player(facts), people(facts, usable)]
    parts += [captions(catalogue, facts.video_id, usable), questions(catalogue, facts.video_id, usable)]
    return f'<article class="mg-view" data-place="{place}" aria-labelledby="mg-title">{"".join(parts)}</article>'


def _head(catalogue: Catalogue, facts: ClipFacts, scheme: str) -> str:
    row = facts.row
    about = [row["domain"], f"source {row['source']}"]
    if scheme in catalogue.splits:
        about.append(f"{catalogue.splits[scheme][facts.place]} ({scheme})")
    about.append(counted(len(facts.persons), "person"))
    if facts.times:
        about.append(counted(len(facts.times), "frame"))
    if facts.size:
        about.append(f"{facts.size[0]}×{facts.size[1]}")
    return element("h2", facts.video_id, id="mg-title") + element("p", " · ".join(about), "mg-quiet")


def _player(facts: ClipFacts) -> str:
    data = escape(json.dumps(facts.for_player(), separators=(",", ":")))
    width, height = facts.size or _ASPECT
    shown = below = ""
    if facts.file is not None:
        source, poster = clip_address(facts.video_id), picture_address(facts.video_id)
        shown = (
            f'<video controls loop muted playsinline preload="auto" src="{source}" poster="{poster}" '
            f'aria-label="Clip {escape(facts.video_id)}"></video>'
        )
    else:
        below = element("p", f"{facts.trouble}; its boxes stand on an empty stage.", "mg-quiet mg-absent")
    key = next((one["key_frame"] for one in facts.persons if one["key_frame"]), 1)
    if not any(one["key_frame"] or one["frames"] for one in facts.persons):
        below += element("p", "Nobody in this clip has a box.", "mg-quiet")
    return (
        f'<div class="mg-player" data-facts="{data}">'
        f'<div class="mg-stage" style="aspect-ratio:{width}/{height};--tall:{height / width:.4f}">{shown}'
        '<div class="mg-boxes" aria-hidden="true"></div></div>'
        '<div class="mg-tools"><label class="mg-toggle"><input type="checkbox" checked> boxes</label>'
        '<button type="button" data-step="-1" aria-label="One frame back">‹</button>'
        f'<input type="range" min="1" max="{facts.last_frame}" value="{key}" step="1" aria-label="Frame">'
        '<button type="button" data-step="1" aria-label="One frame on">›</button>'
        f'<span class="mg-frame">frame {key}</span></div>{below}</div>'
    )
