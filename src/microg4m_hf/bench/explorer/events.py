"""Handle the events of the page: a filter changes, a page is turned, a clip is selected."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from .catalogue import Catalogue
from .clip_view import render_clip
from .filters import (
    ALL,
    ANY,
    NO_RUN,
    ORDERS,
    WORST_FIRST,
    Filter,
    as_filter,
    choices,
    read_address,
    select,
    write_address,
)
from .list_view import PAGE, page_count, render_count, render_list
from .predictions import Run
from .report_page import ReportPage

Update = tuple[Any, ...]  # state, count line, list, clip; gr.skip() for what does not change
FACETS = ("actions", "groups", "domains", "splits", "texts", "other")  # controls whose values have numbers of clips


@dataclass(frozen=True)
class ViewState:
    """What one visitor sees."""

    order: np.ndarray  # places of the clips that pass the filter
    page: int = 0
    selected: int = 0  # place of the clip that is shown
    scheme: str = "official"
    run: str | None = None
    address: str = ""  # query for the controls that are set


class EventHandlers:
    """Answer every event with a new state and the parts of the page that change."""

    def __init__(self, catalogue: Catalogue, runs: list[Run], scheme: str, report: ReportPage | None = None) -> None:
        self.catalogue, self.runs, self.scheme, self.report = catalogue, runs, scheme, report
        self.defaults: dict[str, Any] = {}  # the first value of every control, in the order of ``change_filter``

    @property
    def facets(self) -> list[str]:
        """The names of the controls whose numbers of clips follow the filters."""
        return [name for name in FACETS if name in self.defaults]

    def initial_state(self) -> ViewState:
        """Return the state of a new visitor: all clips, the worst of the first run first and selected."""
        run = next((run.name for run in self.runs if run.problem is None), None)
        wanted = Filter(scheme=self.scheme, order=WORST_FIRST)
        order = select(self.catalogue, wanted, self._find_run(run))  # by name, where there is no run
        selected = int(order[0]) if len(order) else 0
        return ViewState(order, selected=selected, scheme=self.scheme, run=run)

    def open_page(self, state: ViewState, address: Sequence[tuple[str, str]]) -> Update:
        """Show the clip and the filters that an address names; the controls follow. A report names runs as files."""
        allowed = {name: [value for _, value in pairs] for name, pairs in self._choices(self.defaults).items()}
        names = [run.name for run in self.runs if run.problem is None]
        of_file = {run.file_name: run.name for run in self.runs} | {name: name for name in names}
        address = [(name, of_file.get(text, text) if name in ("run", "other") else text) for name, text in address]
        allowed |= {"scheme": list(self.catalogue.splits), "run": names, "other": names}
        allowed |= {"together": [ANY, ALL], "order": list(ORDERS)}
        values = read_address(address, self.defaults, allowed)
        place = self.catalogue.place_of.get(dict(address).get("clip", ""))
        if values == self.defaults:
            update = self._unchanged(state) if place is None else self._select(state, place)
            return *update, *(_skip() for _ in values)
        new = self._filtered(state, values)
        if place is None:
            place = int(new.order[0]) if len(new.order) else new.selected
        found = self._choices(values)
        controls = (_control(value, found.get(name)) for name, value in self._settled(values, found).items())
        return *self._all(self._at(new, place)), *controls

    def change_filter(self, state: ViewState, *given: Any) -> Update:
        """Show the first page of the clips that pass, and the numbers of clips of the other values.

        The selected clip stays if it passes, too.
        """
        values = dict(zip(self.defaults, given, strict=True))
        if write_address(values, self.defaults) == state.address:  # the controls follow an address that is shown
            return *self._unchanged(state), *(_skip() for _ in self.facets)
        new, found = self._filtered(state, values), self._choices(values)
        facets = (
            _control(value, found[name]) for name, value in self._settled(values, found).items() if name in self.facets
        )
        if len(new.order) and state.selected not in new.order:
            return *self._all(replace(new, selected=int(new.order[0]))), *facets
        clip = self.render_clip(new) if new.scheme != state.scheme else _skip()
        return *self._list(new), clip, *facets

    def _filtered(self, state: ViewState, values: Mapping[str, Any]) -> ViewState:
        wanted, run, other = self._wanted(values)
        order = select(self.catalogue, wanted, run, other)
        address = write_address(values, self.defaults)
        return replace(state, order=order, page=0, scheme=wanted.scheme, run=run.name if run else None, address=address)

    def _wanted(self, values: Mapping[str, Any]) -> tuple[Filter, Run | None, Run | None]:
        """Return the filter, the run whose scores count, and the run that is wrong where that one is right."""
        run, other = self._find_run(values.get("run")), self._find_run(values.get("other"))
        if run is not None and other is not None and (other is run or other.task != run.task):
            other = None
        return as_filter(values, self.scheme), run, other

    def _choices(self, values: Mapping[str, Any]) -> dict[str, list[tuple[str, str]]]:
        wanted, run, other = self._wanted(values)
        return choices(self.catalogue, wanted, [one for one in self.runs if one.problem is None], run, other)

    def _settled(self, values: Mapping[str, Any], found: Mapping[str, Any]) -> dict[str, Any]:
        """Return the values in the order of the controls; runs of another task cannot be compared."""
        rivals = [value for _, value in found["other"]]
        return {name: NO_RUN if name == "other" and value not in rivals else value for name, value in values.items()}

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
            self.catalogue,
            state.order,
            state.page,
            selected=state.selected,
            run=run,
            scheme=state.scheme,
            address=state.address,
        )

    def render_clip(self, state: ViewState) -> str:
        """Return the HTML of the selected clip."""
        return render_clip(self.catalogue, state.selected, self.runs, scheme=state.scheme, report=self.report)

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
        new = self._at(state, place)
        if new.page == state.page:  # the browser itself marks the selected clip, so that the list keeps its focus
            return new, _skip(), _skip(), self.render_clip(new)
        return self._all(new)

    def _at(self, state: ViewState, place: int) -> ViewState:
        found = np.flatnonzero(state.order == place)
        return replace(state, selected=place, page=int(found[0]) // PAGE if len(found) else state.page)

    def _all(self, state: ViewState) -> Update:
        return *self._list(state), self.render_clip(state)

    def _list(self, state: ViewState) -> Update:
        return state, render_count(self.catalogue, state.order, state.page), self.render_list(state)

    def _unchanged(self, state: ViewState) -> Update:
        return state, _skip(), _skip(), _skip()

    def _find_run(self, name: Any) -> Run | None:
        return next((run for run in self.runs if run.name == name and run.problem is None), None)


def _control(value: Any, options: Sequence[tuple[str, str]] | None) -> Any:
    import gradio as gr

    return gr.update(value=value) if options is None else gr.update(value=value, choices=options)


def _skip() -> Any:
    import gradio as gr

    return gr.skip()
