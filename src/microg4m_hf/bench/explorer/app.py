"""Build the page: Gradio controls around the list of clips and the selected clip."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ...extras import require
from ...visible import escape_html as escape
from ...web.html import element, with_noun
from ...web.serving import EVENT_OPTIONS, page_file
from .catalogue import Catalogue
from .events import EventHandlers
from .filters import add_controls
from .list_view import render_count, render_runs
from .predictions import Run
from .report_page import ADDRESS, ReportPage

TITLE = "MicroG-4M explorer"
NARROW = 1100  # pixels; as in style.css


def build(
    catalogue: Catalogue, runs: Sequence[Run] = (), *, scheme: str = "official", report: ReportPage | None = None
) -> Any:
    """Build the explorer as ``gradio.Blocks``, to embed it into a page of your own.

    Start it with :func:`explore` or :func:`launch`, which add what Blocks cannot hold: the routes of the clips, the
    style and the security headers.

    Args:
        catalogue: The clips.
        runs: The runs whose predictions are shown.
        scheme: The split scheme that is shown first.
        report: The report that names link to.

    Returns:
        The ``gradio.Blocks``.

    Example:
        >>> blocks = build(read_catalogue("microg4m"))  # doctest: +SKIP
    """
    gr = require("gradio", "the explorer")
    requested = scheme
    if scheme not in catalogue.splits:
        scheme = next(iter(catalogue.splits), scheme)
    handlers = EventHandlers(catalogue, list(runs), scheme, report)
    initial = handlers.initial_state()
    with gr.Blocks(title=TITLE, analytics_enabled=False, fill_width=True) as page:
        gr.HTML(_header(catalogue, requested, scheme, report), elem_id="mg-head", js_on_load=None)
        with gr.Row(elem_id="mg-main", equal_height=False):
            with gr.Column(elem_id="mg-filters", min_width=0):
                controls, accordion = add_controls(gr, catalogue, runs, scheme)
                handlers.defaults = {name: control.value for name, control in controls.items()} | {"words": ""}
                with gr.Accordion("Runs", open=any(run.problem for run in runs), elem_id="mg-runs"):
                    gr.HTML(render_runs(runs, report), js_on_load=None)
            with gr.Column(elem_id="mg-found", min_width=0):
                count = gr.HTML(render_count(catalogue, initial.order, 0), js_on_load=None)
                clips = gr.HTML(handlers.render_list(initial), js_on_load=_page_file("list.js"), elem_id="mg-list")
                with gr.Row(elem_id="mg-pager"):
                    previous_page = gr.Button("‹ Page", size="sm", min_width=0, elem_id="mg-page-back")
                    next_page = gr.Button("Page ›", size="sm", min_width=0, elem_id="mg-page-on")
            with gr.Column(elem_id="mg-clip", min_width=0):
                with gr.Row(elem_id="mg-walk"):
                    previous_clip = gr.Button("‹ Previous clip", size="sm", min_width=0, elem_id="mg-earlier")
                    next_clip = gr.Button("Next clip ›", size="sm", min_width=0, elem_id="mg-later")
                clip = gr.HTML(
                    handlers.render_clip(initial) if len(catalogue) else "",
                    js_on_load=page_file("player.js") + _page_file("clip.js"),
                    elem_id="mg-shown",
                )
        outputs = [gr.State(initial), count, clips, clip]
        _connect_page_load(gr, page, handlers, accordion, controls, outputs)
        _connect_controls(gr, handlers, controls, outputs)
        steps = (handlers.previous_page, handlers.next_page, handlers.previous_clip, handlers.next_clip)
        for button, step in zip((previous_page, next_page, previous_clip, next_clip), steps, strict=True):
            button.click(step, [outputs[0]], outputs, trigger_mode="multiple", **EVENT_OPTIONS)
    return page


def _connect_page_load(
    gr: Any, page: Any, handlers: EventHandlers, accordion: Any, controls: dict[str, Any], outputs: list[Any]
) -> None:
    """Open what the address names; on a narrow page, close the filters so that the clips come first."""
    width = gr.Number(visible=False)

    def load(request: gr.Request, state: Any, window_width: float) -> Any:
        update = handlers.open_page(state, request.query_params.multi_items())
        return *update, gr.Accordion(open=window_width >= NARROW)

    # Gradio finds Request and EventData by their annotations, which are strings in this file.
    load.__annotations__["request"] = gr.Request
    script = "(state) => [state, window.innerWidth]"
    page.load(load, [outputs[0], width], [*outputs, *controls.values(), accordion], js=script, **EVENT_OPTIONS)


def _connect_controls(gr: Any, handlers: EventHandlers, controls: dict[str, Any], outputs: list[Any]) -> None:
    state, _, clips, _ = outputs

    def select_clip(state: Any, event: gr.EventData) -> Any:
        return handlers.select_clip(state, event.place)

    select_clip.__annotations__["event"] = gr.EventData
    clips.pick(select_clip, [state], outputs, **EVENT_OPTIONS)
    # ``change`` would fire again when the numbers of clips change, but ``input`` of a text box misses pasted words.
    gr.on(
        [control.change if name == "words" else control.input for name, control in controls.items()],
        handlers.change_filter,
        [state, *controls.values()],
        [*outputs, *(controls[name] for name in handlers.facets)],
        trigger_mode="always_last",
        **EVENT_OPTIONS,
    )


def _page_file(name: str) -> str:
    return (Path(__file__).parent / "page" / name).read_text(encoding="utf-8")


def _header(catalogue: Catalogue, requested: str, scheme: str, report: ReportPage | None) -> str:
    counts = [with_noun(len(catalogue), "clip"), with_noun(int(catalogue.people.sum()), "person")]
    counts += [with_noun(sum(map(len, catalogue.captions.values())), "caption")] if catalogue.captions else []
    counts += [with_noun(sum(map(len, catalogue.questions.values())), "question")] if catalogue.questions else []
    about = f"{catalogue.where}: {', '.join(counts)}"
    if catalogue.release.videos is None:
        about += "; the clips are not available"
    if scheme != requested:
        about += f"; the {requested} split needs the key-frame files, which are missing, so {scheme} is shown"
    faults = catalogue.release.counts.get("faults", 0)
    if faults:
        about += f"; {with_noun(faults, 'faulty row')} skipped (microg4m data check lists them)"
    skip = '<a class="mg-skip" href="#mg-clip">Skip to the clip</a>'
    link = f" {element('a', 'The report of these runs', href=ADDRESS)}" if report else ""
    return f"<header>{skip}{element('h1', TITLE)}<p class='mg-quiet'>{escape(about)}{link}</p></header>"
