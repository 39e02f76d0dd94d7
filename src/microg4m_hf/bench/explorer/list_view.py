"""The list of clips: a page of buttons with picture, name and what is known of each."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .catalogue import Catalogue
from .html import counted, element, hundredths, picture_address
from .runs import Run

PAGE = 24  # clips on a page


def pages(count: int) -> int:
    """How many pages a number of clips fills; an empty list is one empty page.

    >>> pages(0), pages(24), pages(25)
    (1, 1, 2)
    """
    return max(1, -(-count // PAGE))


def clip_list(
    catalogue: Catalogue,
    order: np.ndarray,
    page: int,
    *,
    chosen: int | None = None,
    run: Run | None = None,
    scheme: str = "official",
) -> str:
    """One page of the list as HTML; the chosen clip is marked for eyes and for screen readers."""
    shown = order[page * PAGE : (page + 1) * PAGE]
    if not len(shown):
        return element("p", "No clip fits. Take a filter away.", "mg-none")
    items = "".join(_item(catalogue, int(place), chosen, run, scheme) for place in shown)
    return f'<ol class="mg-list" start="{page * PAGE + 1}" aria-label="Clips">{items}</ol>'


def count_line(catalogue: Catalogue, order: np.ndarray, page: int) -> str:
    """How many clips fit, and which of them are shown.

    The number in bold is what a screen reader hears after every change of a filter.
    """
    first = page * PAGE + 1 if len(order) else 0
    last = min(len(order), (page + 1) * PAGE)
    said = f"{len(order):,} of {len(catalogue):,} clips"
    part = element("span", f"{first:,}–{last:,}") if len(order) else ""
    return f'<p class="mg-count" role="status"><strong>{said}</strong>{part}</p>'


def _item(catalogue: Catalogue, place: int, chosen: int | None, run: Run | None, scheme: str) -> str:
    name = catalogue.ids[place]
    about = [str(catalogue.domain[place])]
    if scheme in catalogue.splits:
        about.append(str(catalogue.splits[scheme][place]))
    about.append(counted(int(catalogue.people[place]), "person"))
    texts = [kind for kind, has in (("caption", catalogue.captions), ("questions", catalogue.questions)) if name in has]
    # Where no clip is at hand there are no pictures; where one is missing, its gap shows.
    picture = '<span class="mg-thumb mg-blank"></span>' if catalogue.release.videos is not None else ""
    if catalogue.clip_file(name) is not None:
        # The name stands beside it; the picture tells a screen reader nothing more.
        picture = f'<img class="mg-thumb" src="{picture_address(name)}" alt="" loading="lazy" width="96" height="54">'
    score = element("span", hundredths(float(run.score[place])), "mg-score", title=run.measure) if run else ""
    lines = element("span", name, "mg-name") + element("span", _line(about), "mg-about")
    lines += element("span", _line(texts), "mg-about") if texts else ""
    current = ' aria-current="true"' if place == chosen else ""
    kind = "mg-clip" if picture else "mg-clip mg-bare"
    button = f'<button type="button" class="{kind}" data-place="{place}"{current}>'
    return f'<li>{button}{picture}<span class="mg-lines">{lines}</span>{score}</button></li>'


def _line(parts: list[str]) -> str:
    """Parts of a line that breaks between them only."""
    return " · ".join(part.replace(" ", "\N{NO-BREAK SPACE}") for part in parts)


# The runs that were given, what each is about, and why one is not shown.

_TASKS = {"har": "actions", "caption": "captions", "vqa": "answers"}


def run_list(runs: Sequence[Run]) -> str:
    """A list as HTML; nothing that was named is left out."""
    if not runs:
        line = "No runs were given: microg4m explore RUN_OR_FILE … shows their predictions here."
        return element("p", line, "mg-quiet")
    return f'<ul class="mg-given">{"".join(map(_run_item, runs))}</ul>'


def _run_item(run: Run) -> str:
    name = element("strong", run.name)
    if run.problem is not None:
        return f"<li>{name} {element('span', 'not shown: ' + run.problem, 'mg-problem')}</li>"
    mean = hundredths(float(np.nanmean(run.score)))
    about = f"{_TASKS[str(run.task)]} of {counted(run.clips, 'clip')}, mean {run.measure} {mean}"
    notes = "".join(element("span", note, "mg-quiet") for note in run.notes)
    return f"<li>{name} {element('span', about)}{notes}</li>"
