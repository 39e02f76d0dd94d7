"""Render one clip: the player with boxes, persons with their actions, caption, questions, and predictions of runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import Any

import numpy as np

from ...taxonomy import ACTIONS
from ...web.html import element, with_noun
from ...web.player import COLORS, PlayerTrack, read_times, render_player
from ..render.formatting import percent
from .catalogue import Catalogue
from .predictions import ActionRanking, Prediction, Run

TOP_ACTIONS = 5  # predicted actions that are shown, or as many as the person does

_CORRECT = '<span class="mg-hit" aria-hidden="true">✓</span><span class="mg-hidden">correct: </span>'
_MISSED = '<span class="mg-miss" aria-hidden="true">✗</span><span class="mg-hidden">missed: </span>'
_FALSE = '<span class="mg-miss" aria-hidden="true">✗</span><span class="mg-hidden">wrong: </span>'
_TRUE = '<span class="mg-hit" aria-hidden="true">✓ </span><span class="mg-hidden">true: </span>'
_WRONG = '<span class="mg-miss" aria-hidden="true">·</span>'


def render_clip(catalogue: Catalogue, place: int, runs: Sequence[Run], *, scheme: str = "official") -> str:
    """Return the right side of the page as HTML."""
    facts = ClipFacts.read(catalogue, place)
    usable = [run for run in runs if run.problem is None]
    parts = [_header(catalogue, facts, scheme), _player(facts), _persons(facts, usable)]
    parts += [_captions(catalogue, facts.video_id, usable), _questions(catalogue, facts.video_id, usable)]
    return f'<article class="mg-view" data-place="{place}" aria-labelledby="mg-title">{"".join(parts)}</article>'


@dataclass(frozen=True)
class ClipFacts:
    """What the page needs to know about a clip."""

    video_id: str
    place: int
    row: dict[str, Any]
    file: Path | None
    problem: str | None  # why the clip cannot be played
    times: list[float] = field(default_factory=list)  # seconds at which frame 1, 2, … begins
    size: tuple[int, int] | None = None

    @classmethod
    def read(cls, catalogue: Catalogue, place: int) -> ClipFacts:
        """Look up a clip, and open its file for the times of the frames, without decoding any."""
        video_id = catalogue.ids[place]
        file, size = catalogue.clip_file(video_id), catalogue.frame_size(place)
        times: list[float] = []
        problem = None if file else "The clip is not available"
        if file:
            times, found, why = read_times(file)
            size = found or size
            if why is not None:
                problem, file = f"The clip cannot be played: {why}", None
        return cls(video_id, place, catalogue.row(place), file, problem, times, size)

    @property
    def persons(self) -> list[dict[str, Any]]:
        """The persons as in the ``har`` config."""
        return self.row["persons"]

    @property
    def last_frame(self) -> int:
        """The last frame; frames are numbered from 1, as in the annotations."""
        frames = [frame for one in self.persons for frame in (*one["frames"], one["key_frame"]) if frame is not None]
        return max([len(self.times), *frames, 1])

    @property
    def tracks(self) -> list[PlayerTrack]:
        """The boxes of the persons for the player."""
        return [
            PlayerTrack(
                one["person_id"],
                dict(zip(one["frames"], one["boxes"], strict=True)),
                one["key_frame"],
                one["key_box"] if len(one["key_box"]) == 4 else None,
            )
            for one in self.persons
        ]


def _header(catalogue: Catalogue, facts: ClipFacts, scheme: str) -> str:
    about = [facts.row["domain"], f"source {facts.row['source']}"]
    if scheme in catalogue.splits:
        about.append(f"{catalogue.splits[scheme][facts.place]} ({scheme})")
    about.append(with_noun(len(facts.persons), "person"))
    if facts.times:
        about.append(with_noun(len(facts.times), "frame"))
    if facts.size:
        about.append(f"{facts.size[0]}×{facts.size[1]}")
    return element("h2", facts.video_id, id="mg-title") + element("p", " · ".join(about), "mg-quiet")


def _player(facts: ClipFacts) -> str:
    below = (
        "" if facts.file else element("p", f"{facts.problem}; its boxes are shown without video.", "mg-quiet mg-absent")
    )
    if not any(one["key_frame"] or one["frames"] for one in facts.persons):
        below += element("p", "No person in this clip has a box.", "mg-quiet")
    return render_player(
        facts.video_id,
        facts.tracks,
        times=facts.times,
        last_frame=facts.last_frame,
        size=facts.size,
        has_video=facts.file is not None,
        below=below,
    )


def _persons(facts: ClipFacts, runs: Sequence[Run]) -> str:
    """Render a card for every person: the labeled actions, and the ranking of each run."""
    if not facts.persons:
        return ""
    predicted = [run for run in runs if run.task == "har" and np.isfinite(run.score[facts.place])]
    others = ", ".join(run.name for run in runs if run.task == "har" and not np.isfinite(run.score[facts.place]))
    note = element("p", f"No prediction for this clip: {others}.", "mg-quiet") if others else ""
    cards = "".join(_person_card(facts, number, one, predicted) for number, one in enumerate(facts.persons))
    return f'<section aria-label="People and actions"><h3>People and actions</h3>{note}{cards}</section>'


def _person_card(facts: ClipFacts, number: int, person: dict[str, Any], runs: Sequence[Run]) -> str:
    name, key = person["person_id"], person["key_frame"]
    mark = f'<span class="mg-mark mg-color-{number % COLORS}" aria-hidden="true">{name}</span>'
    key_frame = element("span", "no box", "mg-quiet")
    if key:
        key_frame = f'<button type="button" data-frame="{key}">key frame {key}</button>'
    labels = [ACTIONS[label] for label in person["actions"]]
    chips = "".join(f"<li>{element('span', one.name)}{element('small', one.group)}</li>" for one in labels)
    chips = chips or f"<li>{element('span', 'no labeled action')}</li>"
    found = {run.name: run.persons.get((facts.video_id, name)) for run in runs}
    if len(found) > 1:
        rankings = _ranking_table(name, found, person["actions"])
    else:
        rankings = "".join(_ranking(run, ranking, person["actions"]) for run, ranking in found.items())
        rankings = f'<div class="mg-runs">{rankings}</div>' if rankings else ""
    return (
        f'<div class="mg-person"><h4>{mark}Person {name}{key_frame}</h4><ul class="mg-true">{chips}</ul>'
        f"{rankings}</div>"
    )


def _ranking_table(person: int, found: dict[str, ActionRanking | None], actions: list[int]) -> str:
    """Compare runs: a row for every action that is true or that a run ranks high, the true ones first."""
    ranks, shown = {}, dict.fromkeys(actions)
    most = max(TOP_ACTIONS, len(actions))
    for name, ranking in found.items():
        if ranking is not None:
            order = np.argsort(-ranking.scores, kind="stable").tolist()
            ranks[name] = {label: rank for rank, label in enumerate(order, 1) if np.isfinite(ranking.scores[label])}
            shown |= dict.fromkeys(label for label, rank in ranks[name].items() if rank <= most)
    head = "".join(element("th", name, scope="col") for name in ("action", *found))
    rows = ""
    for label in shown:
        kind, note = ("mg-right", _TRUE) if label in actions else ("", "")
        cells = f'<th scope="row" class="{kind}">{note}{element("span", ACTIONS[label].name)}</th>'
        for name, ranking in found.items():
            column = f'data-column="{escape(name)}"'
            rank = ranks.get(name, {}).get(label)
            if ranking is None or rank is None:
                cells += f"<td {column}>{element('span', '–', 'mg-quiet')}</td>"
                continue
            mark = _verdict(label in actions, rank <= len(actions))
            value = element("span", f"{float(ranking.probabilities[label]):.2f}", "mg-number")
            cells += f"<td {column}>{mark}{value} {element('small', f'rank {rank}')}</td>"
        rows += f"<tr>{cells}</tr>"
    table = f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"
    label_text = f"Actions of person {person}, by run"
    return f'<div class="mg-scroll" tabindex="0" role="region" aria-label="{label_text}">{table}</div>'


def _verdict(is_true: bool, is_predicted: bool) -> str:
    """Mark a cell; an action is predicted if it is among the n top-ranked ones of a person who does n actions."""
    if is_true:
        return _CORRECT if is_predicted else _MISSED
    return _FALSE if is_predicted else ""


def _ranking(name: str, ranking: ActionRanking | None, actions: list[int]) -> str:
    if ranking is None:
        return f'<div class="mg-run">{element("h5", name)}{element("p", "no prediction", "mg-quiet")}</div>'
    order = np.argsort(-ranking.scores, kind="stable")
    order = order[np.isfinite(ranking.scores[order])]
    top = order[: max(TOP_ACTIONS, len(actions))].tolist()
    lines = "".join(_ranked_action(label, float(ranking.probabilities[label]), label in actions) for label in top)
    rank_of = {int(label): rank for rank, label in enumerate(order, start=1)}
    missed = [
        f"{ACTIONS[label].name} ({f'rank {rank_of[label]}' if label in rank_of else 'not scored'})"
        for label in actions
        if label not in top
    ]
    below = element("p", f"ranked lower: {', '.join(missed)}", "mg-quiet") if missed else ""
    precision = element("small", f"ranking precision {percent(ranking.precision, 1)}") if actions else ""
    return f'<div class="mg-run"><h5>{element("span", name)}{precision}</h5><ol>{lines}</ol>{below}</div>'


def _ranked_action(label: int, probability: float, is_correct: bool) -> str:
    probability = max(0.0, min(1.0, probability))
    css_class, mark = ("mg-right", _CORRECT) if is_correct else ("mg-wrong", _WRONG)
    return (
        f'<li class="{css_class}" style="--part:{probability:.3f}">{mark}'
        f"{element('span', ACTIONS[label].name, 'mg-action')}{element('span', f'{probability:.2f}', 'mg-number')}</li>"
    )


def _captions(catalogue: Catalogue, video_id: str, runs: Sequence[Run]) -> str:
    references = catalogue.captions.get(video_id)
    if not references:
        return ""
    lines = "".join(f"<dt>reference</dt>{element('dd', text)}" for text in references)
    for run in runs:
        if run.task == "caption":
            lines += f"<dt>{escape(run.name)}</dt><dd>{_prediction(run.texts.get(video_id))}</dd>"
    return f'<section aria-label="Caption"><h3>Caption</h3><dl class="mg-captions">{lines}</dl></section>'


def _questions(catalogue: Catalogue, video_id: str, runs: Sequence[Run]) -> str:
    """Render a row for every question; on a narrow page each cell shows the name of its column."""
    questions = catalogue.questions.get(video_id)
    if not questions:
        return ""
    own = [run for run in runs if run.task == "vqa"]
    head = "".join(element("th", name, scope="col") for name in ("question", "reference", *(run.name for run in own)))
    rows = ""
    for one in questions:
        cells = element("th", one.question, scope="row") + element("td", one.answer, data_column="reference")
        for run in own:
            answer = _prediction(run.texts.get((video_id, one.question.strip())))
            cells += f'<td data-column="{escape(run.name)}">{answer}</td>'
        rows += f"<tr>{cells}</tr>"
    table = f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"
    scroll = f'<div class="mg-scroll" tabindex="0" role="region" aria-label="Questions and answers">{table}</div>'
    return f'<section aria-label="Questions"><h3>Questions</h3>{scroll}</section>'


def _prediction(one: Prediction | None) -> str:
    if one is None:
        return element("span", "no prediction", "mg-quiet")
    text = element("span", one.text) if one.text.strip() else element("span", "(empty)", "mg-quiet")
    mark = _CORRECT if one.is_right else ""
    return f'{mark}{text} <small class="mg-number">ROUGE-L {percent(one.rouge_l, 1)}</small>'
