"""Render the list of clips, page by page, and the list of runs."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ...visible import escape_html as escape
from ...web.html import breakable, element, thumbnail_address, with_noun
from ..render.formatting import percent
from .catalogue import Catalogue
from .predictions import Run
from .report_page import ReportPage

PAGE = 24  # clips on a page
_PREDICTIONS = {"har": "actions", "caption": "captions", "vqa": "answers"}


def page_count(clips: int) -> int:
    """Return how many pages a number of clips fills; an empty list is one empty page.

    >>> page_count(0), page_count(24), page_count(25)
    (1, 1, 2)
    """
    return max(1, -(-clips // PAGE))


def render_list(
    catalogue: Catalogue,
    order: np.ndarray,
    page: int,
    *,
    selected: int | None = None,
    run: Run | None = None,
    scheme: str = "official",
    address: str = "",
) -> str:
    """Return one page of the list as HTML; the selected clip is marked, also for screen readers.

    ``address`` is the query that the script writes into the address of the page.
    """
    places = order[page * PAGE : (page + 1) * PAGE]
    if not len(places):
        return element("p", "No clip matches. Remove a filter.", "mg-none", data_address=address)
    items = "".join(_clip_item(catalogue, int(place), selected, run, scheme) for place in places)
    head = ""
    if run is not None:
        head = f'<p class="mg-columns"><span>clip</span><span>{run.measure}, {breakable(run.name)}</span></p>'
    start = f'start="{page * PAGE + 1}" aria-label="Clips" data-address="{escape(address)}"'
    return f'{head}<ol class="mg-list" {start}>{items}</ol>'


def render_count(catalogue: Catalogue, order: np.ndarray, page: int) -> str:
    """Return how many clips pass the filter, which screen readers announce after a change, and which are shown."""
    total = f"{len(order):,} of {len(catalogue):,} clips"
    first, last = page * PAGE + 1, min(len(order), (page + 1) * PAGE)
    shown = element("span", f"{first:,}–{last:,}") if len(order) else ""
    return f'<p class="mg-count" role="status"><strong>{total}</strong>{shown}</p>'


def _clip_item(catalogue: Catalogue, place: int, selected: int | None, run: Run | None, scheme: str) -> str:
    name = catalogue.ids[place]
    about = [str(catalogue.domain[place])]
    if scheme in catalogue.splits:
        about.append(str(catalogue.splits[scheme][place]))
    about.append(with_noun(int(catalogue.people[place]), "person"))
    texts = [kind for kind, has in (("caption", catalogue.captions), ("questions", catalogue.questions)) if name in has]
    # Without any clips there are no thumbnails; where a single clip is missing, its place stays empty.
    picture = '<span class="mg-thumb mg-blank"></span>' if catalogue.release.videos is not None else ""
    if catalogue.clip_file(name) is not None:
        # The name is beside the thumbnail, so the alternative text stays empty.
        picture = f'<img class="mg-thumb" src="{thumbnail_address(name)}" alt="" loading="lazy" width="96" height="54">'
    score = element("span", percent(float(run.score[place]), 1), "mg-score", title=run.measure) if run else ""
    lines = f'<span class="mg-name">{breakable(name)}</span>' + element("span", _join([*about, *texts]), "mg-about")
    current = ' aria-current="true"' if place == selected else ""
    css_class = "mg-clip" if picture else "mg-clip mg-bare"
    button = f'<button type="button" class="{css_class}" data-place="{place}"{current}>'
    return f'<li>{button}{picture}<span class="mg-lines">{lines}</span>{score}</button></li>'


def _join(parts: list[str]) -> str:
    """Join parts into a line that breaks only between them."""
    return "\N{NO-BREAK SPACE}· ".join(part.replace(" ", "\N{NO-BREAK SPACE}") for part in parts)


def render_runs(runs: Sequence[Run], report: ReportPage | None = None) -> str:
    """Return the list of all runs as HTML, including those that cannot be shown; with a report, they link to it."""
    if not runs:
        line = "No runs are shown. Start with microg4m explore RUN_OR_FILE … to see predictions."
        return element("p", line, "mg-quiet")
    return f'<ul class="mg-given">{"".join(_run_item(run, report) for run in runs)}</ul>'


def _run_item(run: Run, report: ReportPage | None) -> str:
    name = f"<strong>{breakable(run.name)}</strong>"
    if run.problem is not None:
        return f"<li>{name} {element('span', 'not shown: ' + run.problem, 'mg-problem')}</li>"
    mean = percent(float(np.nanmean(run.score)), 1)
    about = f"{_PREDICTIONS[str(run.task)]} of {with_noun(run.clips, 'clip')}, mean {run.measure} {mean}"
    notes = "".join(element("span", note, "mg-quiet") for note in run.notes)
    link = report.link("run", run.file_name) if report else ""
    notes += element("a", "in the report", href=link) if link else ""
    return f"<li>{name} {element('span', about)}{notes}</li>"
