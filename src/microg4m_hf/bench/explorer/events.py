"""What happens when somebody filters, turns a page or chooses a clip: state in, state and new HTML out."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from .catalogue import Catalogue
from .clip_view import clip_page
from .filters import Filter, as_filter, choices, select
from .list_view import PAGE, clip_list, count_line, pages
from .runs import Run


@dataclass(frozen=True)
class Now:
    """Where one visitor is."""

    order: np.ndarray  # the clips that fit
    page: int = 0
    chosen: int = 0  # place of the clip that is shown
    scheme: str = "official"
    run: str | None = None


class Steps:
    """Answers every event with ``state, count, list, clip``; what does not change is not sent."""

    def __init__(self, catalogue: Catalogue, runs: list[Run], scheme: str) -> None:
        self.catalogue, self.runs, self.scheme = catalogue, runs, scheme
        self.everything = np.arange(len(catalogue))
        self._names: list[str] = []

    def start(self) -> Now:
        """All clips, the first one shown, with the scores of the first run."""
        run = next((run.name for run in self.runs if run.problem is None), None)
        return Now(self.everything, scheme=self.scheme, run=run)

    def first_list(self) -> str:
        """What is listed before anything was asked for."""
        return self._list(self.start())

    def named(self, names: list[str]) -> None:
        """Which control each value of :meth:`filtered` belongs to."""
        self._names = names

    def arrive(self, now: Now, video_id: str) -> tuple[Any, ...]:
        """A visitor comes, perhaps with ``?clip=NAME`` in the address."""
        place = self.catalogue.place_of.get(video_id)
        return self._nothing(now) if place is None else self._show(now, place)

    def filtered(self, now: Now, *values: Any) -> tuple[Any, ...]:
        """A filter changed: the first page of what fits; the clip on the right stays if it still fits."""
        said = dict(zip(self._names, values, strict=True))
        wanted: Filter = as_filter(said, self.scheme)
        run = self._run(said.get("run"))
        order = select(self.catalogue, wanted, run)
        moved = replace(now, order=order, page=0, scheme=wanted.scheme, run=run.name if run else None)
        if len(order) and now.chosen not in order:
            return self._all(replace(moved, chosen=int(order[0])))
        if wanted.scheme != now.scheme:
            return self._all(moved)
        return moved, self._count(moved), self._list(moved), _skip()

    def splits_of(self, scheme: str) -> Any:
        """The splits with the number of clips that each has in a scheme."""
        import gradio as gr

        return gr.CheckboxGroup(choices=choices(self.catalogue, scheme)["splits"])

    def pick(self, now: Now, place: Any) -> tuple[Any, ...]:
        """A clip of the list was chosen; the browser's word for it is not trusted."""
        known = isinstance(place, int) and 0 <= place < len(self.catalogue)
        return self._show(now, place) if known else self._nothing(now)

    def page_back(self, now: Now) -> tuple[Any, ...]:
        """The page before."""
        return self._turn(now, now.page - 1)

    def page_on(self, now: Now) -> tuple[Any, ...]:
        """The next page."""
        return self._turn(now, now.page + 1)

    def earlier(self, now: Now) -> tuple[Any, ...]:
        """The clip before the one that is shown, in the order of the list."""
        return self._walk(now, -1)

    def later(self, now: Now) -> tuple[Any, ...]:
        """The next clip."""
        return self._walk(now, 1)

    def _turn(self, now: Now, page: int) -> tuple[Any, ...]:
        if not 0 <= page < pages(len(now.order)):
            return self._nothing(now)
        now = replace(now, page=page)
        return now, self._count(now), self._list(now), _skip()

    def _walk(self, now: Now, step: int) -> tuple[Any, ...]:
        found = np.flatnonzero(now.order == now.chosen)
        spot = int(found[0]) + step if len(found) else 0
        return self._show(now, int(now.order[spot])) if 0 <= spot < len(now.order) else self._nothing(now)

    def _show(self, now: Now, place: int) -> tuple[Any, ...]:
        """Show a clip, and turn to the page of the list that holds it."""
        found = np.flatnonzero(now.order == place)
        page = int(found[0]) // PAGE if len(found) else now.page
        moved = replace(now, chosen=place, page=page)
        if page == now.page:  # the browser marks the chosen clip itself, so the list keeps its focus
            return moved, _skip(), _skip(), self._clip(moved)
        return self._all(moved)

    def _all(self, now: Now) -> tuple[Any, ...]:
        return now, self._count(now), self._list(now), self._clip(now)

    def _nothing(self, now: Now) -> tuple[Any, ...]:
        return now, _skip(), _skip(), _skip()

    def _count(self, now: Now) -> str:
        return count_line(self.catalogue, now.order, now.page)

    def _list(self, now: Now) -> str:
        run = self._run(now.run)
        return clip_list(self.catalogue, now.order, now.page, chosen=now.chosen, run=run, scheme=now.scheme)

    def _clip(self, now: Now) -> str:
        return clip_page(self.catalogue, now.chosen, self.runs, scheme=now.scheme)

    def _run(self, name: Any) -> Run | None:
        return next((run for run in self.runs if run.name == name and run.problem is None), None)


def _skip() -> Any:
    import gradio as gr

    return gr.skip()
