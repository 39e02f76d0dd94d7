"""Caption and questions of a clip: the reference, and each run's words side by side."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from .catalogue import Catalogue
from .runs import Run, Said
from .words import element, hundredths


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
