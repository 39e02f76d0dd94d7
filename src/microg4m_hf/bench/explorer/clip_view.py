"""Render one clip: the player with boxes, persons with their actions, caption, questions, and predictions of runs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ...taxonomy import ACTIONS
from ...visible import escape_html as escape
from ...web.html import breakable, element, with_noun
from ...web.player import COLORS, PlayerTrack, read_times, render_player
from ..render.formatting import percent
from .catalogue import Catalogue
from .predictions import ActionRanking, Prediction, Run
from .report_page import ReportPage

TOP_ACTIONS = 5  # actions of each run that are shown, or as many as the person does

_CORRECT = '<span class="mg-hit" aria-hidden="true">✓</span><span class="mg-hidden">correct: </span>'
_MISSED = '<span class="mg-miss" aria-hidden="true">✗</span><span class="mg-hidden">missed: </span>'
_FALSE = '<span class="mg-miss" aria-hidden="true">✗</span><span class="mg-hidden">wrong: </span>'
_TRUE = '<span class="mg-hit" aria-hidden="true">✓</span><span class="mg-hidden">true: </span>'
_OTHER = '<span class="mg-miss" aria-hidden="true">✗</span><span class="mg-hidden">another text: </span>'
_MARKS = (
    "For a person who does n actions: ✓ is a true action among the n top-ranked ones, ✗ a true one that is not, or a "
    "false one that is."
)


def render_clip(
    catalogue: Catalogue,
    place: int,
    runs: Sequence[Run],
    *,
    scheme: str = "official",
    report: ReportPage | None = None,
) -> str:
    """Return the right side of the page as HTML; with a report, names link to their rows in it."""
    facts = ClipFacts.read(catalogue, place)
    usable = [run for run in runs if run.problem is None]
    report = report or ReportPage(Path())
    parts = [_header(catalogue, facts, scheme, report), _player(facts), _persons(facts, usable, report)]
    parts += [_captions(catalogue, facts.video_id, usable), _questions(catalogue, facts.video_id, usable, report)]
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


def _header(catalogue: Catalogue, facts: ClipFacts, scheme: str, report: ReportPage) -> str:
    about = [facts.row["domain"], f"source {facts.row['source']}"]
    if scheme in catalogue.splits:
        about.append(f"{catalogue.splits[scheme][facts.place]} ({scheme})")
    about.append(with_noun(len(facts.persons), "person"))
    if facts.times:
        about.append(with_noun(len(facts.times), "frame"))
    if facts.size:
        about.append(f"{facts.size[0]}×{facts.size[1]}")
    line = escape(" · ".join(about))
    if link := report.link("clip", facts.video_id):
        line += f" · {element('a', 'this clip in the report', href=link)}"
    return f'<h2 id="mg-title">{breakable(facts.video_id)}</h2><p class="mg-quiet">{line}</p>'


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


def _persons(facts: ClipFacts, runs: Sequence[Run], report: ReportPage) -> str:
    """Render a card for every person: the labeled actions, and a table with the ranking of each run."""
    if not facts.persons:
        return ""
    own = [run for run in runs if run.task == "har"]
    predicted = [run for run in own if np.isfinite(run.score[facts.place])]
    others = ", ".join(run.name for run in own if not np.isfinite(run.score[facts.place]))
    note = element("p", f"No prediction for this clip: {others}.", "mg-quiet") if others else ""
    note += element("p", _MARKS, "mg-quiet") if predicted else ""
    cards = "".join(_person_card(facts, number, one, predicted, report) for number, one in enumerate(facts.persons))
    return f'<section aria-label="People and actions"><h3>People and actions</h3>{note}{cards}</section>'


def _person_card(facts: ClipFacts, number: int, person: dict[str, Any], runs: Sequence[Run], report: ReportPage) -> str:
    name, key = person["person_id"], person["key_frame"]
    mark = f'<span class="mg-mark mg-color-{number % COLORS}" aria-hidden="true">{name}</span>'
    key_frame = element("span", "no box", "mg-quiet")
    if key:
        key_frame = f'<button type="button" data-frame="{key}">key frame {key}</button>'
    labels = [ACTIONS[label] for label in person["actions"]]
    chips = "".join(f"<li>{element('span', one.name)}{element('small', one.group)}</li>" for one in labels)
    chips = chips or f"<li>{element('span', 'no labeled action')}</li>"
    found = {run: run.persons.get((facts.video_id, name)) for run in runs}
    rankings = _ranking_table(name, found, person["actions"], report) if found else ""
    return (
        f'<div class="mg-person"><h4>{mark}Person {name}{key_frame}</h4><ul class="mg-true">{chips}</ul>'
        f"{rankings}</div>"
    )


def _ranking_table(
    person: int, found: Mapping[Run, ActionRanking | None], actions: list[int], report: ReportPage
) -> str:
    """Compare runs: a row for every action that is true or that a run ranks high, the true ones first."""
    ranks: dict[str, dict[int, int]] = {}
    shown = dict.fromkeys(actions)
    most = max(TOP_ACTIONS, len(actions))
    for run, ranking in found.items():
        if ranking is not None:
            order = np.argsort(-ranking.scores, kind="stable").tolist()
            ranks[run.name] = {label: rank for rank, label in enumerate(order, 1) if np.isfinite(ranking.scores[label])}
            shown |= dict.fromkeys(label for label, rank in ranks[run.name].items() if rank <= most)
    rows = ""
    for label in shown:
        kind, note = ("mg-right", _TRUE) if label in actions else ("", "")
        name = _linked(ACTIONS[label].name, report.link("action", str(ACTIONS[label].action_id)))
        cells = f'<th scope="row" class="{kind}">{note}{name}</th>'
        for run, ranking in found.items():
            cell, rank = element("span", "–", "mg-quiet"), ranks.get(run.name, {}).get(label)
            if ranking is not None and rank is not None:
                value = element("span", f"{float(ranking.probabilities[label]):.2f}", "mg-number")
                cell = f"{_verdict(label in actions, rank <= len(actions))}{value} {element('small', f'rank {rank}')}"
            cells += f'<td data-column="{escape(run.name)}">{cell}</td>'
        rows += f"<tr>{cells}</tr>"
    cells = "".join(
        f'<td data-column="{escape(run.name)}">{percent(ranking.precision if ranking else None, 1)}</td>'
        for run, ranking in found.items()
    )
    if actions:
        rows += f'<tr><th scope="row">ranking precision</th>{cells}</tr>'
    head = [("action", ""), *((run.name, report.link("run", run.file_name)) for run in found)]
    return _table(f"Actions of person {person}, by run", head, rows)


def _table(label: str, head: Iterable[tuple[str, str]], rows: str) -> str:
    """Return a table that scrolls sideways, with links in its head."""
    names = "".join(f'<th scope="col">{_linked(name, link)}</th>' for name, link in head)
    table = f"<table><thead><tr>{names}</tr></thead><tbody>{rows}</tbody></table>"
    return f'<div class="mg-scroll" tabindex="0" role="region" aria-label="{label}">{table}</div>'


def _linked(name: str, link: str) -> str:
    tag = f'a href="{escape(link)}" title="in the report"' if link else "span"
    return f"<{tag}>{breakable(name)}</{tag.partition(' ')[0]}>"


def _verdict(is_true: bool, is_predicted: bool) -> str:
    """Mark a cell; an action is predicted if it is among the n top-ranked ones of a person who does n actions."""
    if is_true:
        return _CORRECT if is_predicted else _MISSED
    return _FALSE if is_predicted else ""


def _captions(catalogue: Catalogue, video_id: str, runs: Sequence[Run]) -> str:
    references = catalogue.captions.get(video_id)
    if not references:
        return ""
    lines = "".join(f"<dt>reference</dt>{element('dd', text)}" for text in references)
    for run in runs:
        if run.task == "caption":
            lines += f"<dt>{escape(run.name)}</dt><dd>{_prediction(run.texts.get(video_id))}</dd>"
    return f'<section aria-label="Caption"><h3>Caption</h3><dl class="mg-captions">{lines}</dl></section>'


def _questions(catalogue: Catalogue, video_id: str, runs: Sequence[Run], report: ReportPage) -> str:
    """Render a row for every question; on a narrow page each cell shows the name of its column."""
    questions = catalogue.questions.get(video_id)
    if not questions:
        return ""
    own = [run for run in runs if run.task == "vqa"]
    rows = ""
    for one in questions:
        cells = element("th", one.question, scope="row") + element("td", one.answer, data_column="reference")
        for run in own:
            answer = _prediction(run.texts.get((video_id, one.question.strip())), _OTHER)
            cells += f'<td data-column="{escape(run.name)}">{answer}</td>'
        rows += f"<tr>{cells}</tr>"
    note = element("p", "✓ is the text of the reference but for case and spaces, ✗ another text.", "mg-quiet")
    heads = [(name, "") for name in ("question", "reference")]
    heads += [(run.name, report.link("run", run.file_name)) for run in own]
    table = _table("Questions and answers", heads, rows)
    return f'<section aria-label="Questions"><h3>Questions</h3>{note if own else ""}{table}</section>'


def _prediction(one: Prediction | None, otherwise: str = "") -> str:
    """Render a text; one that is not the text of the reference has the mark ``otherwise``."""
    if one is None:
        return element("span", "no prediction", "mg-quiet")
    text = element("span", one.text) if one.text.strip() else element("span", "(empty)", "mg-quiet")
    mark = _CORRECT if one.is_right else otherwise
    return f'{mark}{text} <small class="mg-number">ROUGE-L {percent(one.rouge_l, 1)}</small>'
