"""Handle the events of the page: a filter changes, a page is turned, a clip is selected."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from .catalogue import Catalogue
from .clip_view import render_clip
from .filters import WORST_FIRST, Filter, as_filter, choices, select
from .list_view import PAGE, page_count, render_count, render_list
from .predictions import Run

Update = tuple[Any, ...]  # state, count line, list, clip; gr.skip() for what does not change


@dataclass(frozen=True)
class ViewState:
    """What one visitor sees."""

    order: np.ndarray  # places of the clips that pass the filter
    page: int = 0
    selected: int = 0  # place of the clip that is shown
    scheme: str = "official"
    run: str | None = None


class EventHandlers:
    """Answer every event with a new state and the parts of the page that change."""

    def __init__(self, catalogue: Catalogue, runs: list[Run], scheme: str) -> None:
        self.catalogue, self.runs, self.scheme = catalogue, runs, scheme
        self.all_clips = np.arange(len(catalogue))
        self.control_names: list[str] = []  # the control that each value of ``change_filter`` belongs to

    def initial_state(self) -> ViewState:
        """Return the state of a new visitor: all clips, the worst of the first run first and selected."""
        run = next((run.name for run in self.runs if run.problem is None), None)
        wanted = Filter(scheme=self.scheme, order=WORST_FIRST)
        order = select(self.catalogue, wanted, self._find_run(run))  # by name, where there is no run
        selected = int(order[0]) if len(order) else 0
        return ViewState(order, selected=selected, scheme=self.scheme, run=run)

    def open_page(self, state: ViewState, video_id: str) -> Update:
        """Show the clip that the address names with ``?clip=``, if there is one."""
        place = self.catalogue.place_of.get(video_id)
        return self._unchanged(state) if place is None else self._select(state, place)

    def change_filter(self, state: ViewState, *values: Any) -> Update:
        """Show the first page of the clips that pass; the selected clip stays if it passes too."""
        settings = dict(zip(self.control_names, values, strict=True))
        wanted = as_filter(settings, self.scheme)
        run = self._find_run(settings.get("run"))
        order = select(self.catalogue, wanted, run, self._find_run(settings.get("other")))
        new = replace(state, order=order, page=0, scheme=wanted.scheme, run=run.name if run else None)
        if len(order) and state.selected not in order:
            return self._all(replace(new, selected=int(order[0])))
        if wanted.scheme != state.scheme:
            return self._all(new)
        return *self._list(new), _skip()

    def split_choices(self, scheme: str) -> Any:
        """Return the splits of a scheme with their numbers of clips."""
        import gradio as gr

        return gr.CheckboxGroup(choices=choices(self.catalogue, scheme)["splits"])

    def select_clip(self, state: ViewState, place: Any) -> Update:
        """Show a clip of the list; the place comes from the browser, so it is checked."""
        is_valid = isinstance(place, int) and 0 <= place < len(self.catalogue)
        return self._select(state, place) if is_valid else self._unchanged(state)

    def previous_page(self, state: ViewState) -> Update:
        """Turn the list one page back."""
        return self._turn(state, state.page - 1)

    def next_page(self, state: ViewState) -> Update:
        """Turn the list one page on."""
        return self._turn(state, state.page + 1)

    def previous_clip(self, state: ViewState) -> Update:
        """Show the clip before the selected one, in the order of the list."""
        return self._step(state, -1)

    def next_clip(self, state: ViewState) -> Update:
        """Show the clip after the selected one, in the order of the list."""
        return self._step(state, 1)

    def render_list(self, state: ViewState) -> str:
        """Return the HTML of the current page of the list."""
        run = self._find_run(state.run)
        return render_list(
            self.catalogue, state.order, state.page, selected=state.selected, run=run, scheme=state.scheme
        )

    def _turn(self, state: ViewState, page: int) -> Update:
        if not 0 <= page < page_count(len(state.order)):
            return self._unchanged(state)
        state = replace(state, page=page)
        return *self._list(state), _skip()

    def _step(self, state: ViewState, step: int) -> Update:
        found = np.flatnonzero(state.order == state.selected)
        spot = int(found[0]) + step if len(found) else 0
        if not 0 <= spot < len(state.order):
            return self._unchanged(state)
        return self._select(state, int(state.order[spot]))

    def _select(self, state: ViewState, place: int) -> Update:
        """Show a clip, and the page of the list that contains it."""
        found = np.flatnonzero(state.order == place)
        page = int(found[0]) // PAGE if len(found) else state.page
        new = replace(state, selected=place, page=page)
        if page == state.page:  # the browser itself marks the selected clip, so that the list keeps its focus
            return new, _skip(), _skip(), self._clip(new)
        return self._all(new)

    def _all(self, state: ViewState) -> Update:
        return *self._list(state), self._clip(state)

    def _list(self, state: ViewState) -> Update:
        return state, render_count(self.catalogue, state.order, state.page), self.render_list(state)

    def _unchanged(self, state: ViewState) -> Update:
        return state, _skip(), _skip(), _skip()

    def _clip(self, state: ViewState) -> str:
        return render_clip(self.catalogue, state.selected, self.runs, scheme=state.scheme)

    def _find_run(self, name: Any) -> Run | None:
        return next((run for run in self.runs if run.name == name and run.problem is None), None)


def _skip() -> Any:
    import gradio as gr

    return gr.skip()
