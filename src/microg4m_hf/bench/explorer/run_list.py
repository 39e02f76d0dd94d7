"""The runs that were given, what each is about, and why one is not shown."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .runs import Run
from .words import counted, element, hundredths

_TASKS = {"har": "actions", "caption": "captions", "vqa": "answers"}


def run_list(runs: Sequence[Run]) -> str:
    """A list as HTML; nothing that was named is left out."""
    if not runs:
        line = "No runs were given: microg4m explore RUN_OR_FILE … shows their predictions here."
        return element("p", line, "mg-quiet")
    return f'<ul class="mg-given">{"".join(map(_item, runs))}</ul>'


def _item(run: Run) -> str:
    name = element("strong", run.name)
    if run.problem is not None:
        return f"<li>{name} {element('span', 'not shown: ' + run.problem, 'mg-problem')}</li>"
    mean = hundredths(float(np.nanmean(run.score)))
    about = f"{_TASKS[str(run.task)]} of {counted(run.clips, 'clip')}, mean {run.measure} {mean}"
    notes = "".join(element("span", note, "mg-quiet") for note in run.notes)
    return f"<li>{name} {element('span', about)}{notes}</li>"
