"""The page: Gradio's controls around our list and our clip."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ...extras import require
from .catalogue import Catalogue
from .clip_view import clip_page
from .events import Steps
from .filters import Controls, add_controls
from .html import counted, element
from .list_view import count_line, run_list
from .runs import Run

TITLE = "MicroG-4M explorer"
NARROW = 760  # pixels; as in explorer.css


def build(catalogue: Catalogue, runs: Sequence[Run] = (), *, scheme: str = "official") -> Any:
    """The explorer as ``gradio.Blocks``; start it with :func:`explore` or :func:`launch`.

    They add what Blocks cannot hold: the routes of the clips, the style and the headers. ``build`` alone is for a page
    of your own around it.

    >>> blocks = build(read_catalogue("microg4m"))  # doctest: +SKIP
    """
    gr = require("gradio", "the explorer")
    asked = scheme
    if asked not in catalogue.splits:
        scheme = next(iter(catalogue.splits), asked)
    steps = Steps(catalogue, list(runs), scheme)
    with gr.Blocks(title=TITLE, analytics_enabled=False, fill_width=True) as page:
        gr.HTML(_head(catalogue, asked, scheme), elem_id="mg-head", js_on_load=None)
        with gr.Row(elem_id="mg-main", equal_height=False):
            with gr.Column(elem_id="mg-filters", min_width=0):
                controls = add_controls(gr, catalogue, runs, scheme)
                steps.named(controls.names)
                with gr.Accordion("Runs", open=any(run.problem for run in runs), elem_id="mg-runs"):
                    gr.HTML(run_list(runs), js_on_load=None)
            with gr.Column(elem_id="mg-found", min_width=0):
                count = gr.HTML(count_line(catalogue, steps.everything, 0), js_on_load=None)
                listed = gr.HTML(
                    steps.first_list(),
                    js_on_load=_script("list.js"),
                    elem_id="mg-list",
                )
                with gr.Row(elem_id="mg-pager"):
                    back = gr.Button("‹ Page", size="sm", min_width=0, elem_id="mg-page-back")
                    on = gr.Button("Page ›", size="sm", min_width=0, elem_id="mg-page-on")
            with gr.Column(elem_id="mg-clip", min_width=0):
                with gr.Row(elem_id="mg-walk"):
                    earlier = gr.Button("‹ Previous clip", size="sm", min_width=0, elem_id="mg-earlier")
                    later = gr.Button("Next clip ›", size="sm", min_width=0, elem_id="mg-later")
                shown = gr.HTML(
                    clip_page(catalogue, 0, runs, scheme=scheme) if len(catalogue) else "",
                    js_on_load=_script("player.js"),
                    elem_id="mg-shown",
                )
        state = gr.State(steps.start())
        _welcome(gr, page, steps, [state, count, listed, shown, controls.fold])
        _wire(gr, steps, controls, [state, count, listed, shown], (back, on, earlier, later))
    return page


# Events go straight to the server and back: a filter answers in milliseconds, so nothing queues.
_QUICK: dict[str, Any] = {"queue": False, "show_progress": "hidden", "api_visibility": "private"}


def _welcome(gr: Any, page: Any, steps: Steps, outputs: list[Any]) -> None:
    """The address may name a clip; a narrow page starts with clips, its filters one tap away."""
    width = gr.Number(visible=False)

    def arrive(request: gr.Request, now: Any, wide: float) -> Any:
        return *steps.arrive(now, str(request.query_params.get("clip", ""))), gr.Accordion(open=wide >= NARROW)

    # Gradio finds Request and EventData by annotation, which are only names in this file.
    arrive.__annotations__["request"] = gr.Request
    page.load(arrive, [outputs[0], width], outputs, js="(now) => [now, window.innerWidth]", **_QUICK)


def _wire(gr: Any, steps: Steps, controls: Controls, outputs: list[Any], buttons: Sequence[Any]) -> None:
    state, _, listed, _ = outputs
    back, on, earlier, later = buttons

    def pick(now: Any, event: gr.EventData) -> Any:
        return steps.pick(now, event.place)

    pick.__annotations__["event"] = gr.EventData
    inputs = [state, *controls.all]
    gr.on([one.change for one in controls.all], steps.filtered, inputs, outputs, trigger_mode="always_last", **_QUICK)
    if controls.scheme is not None:
        controls.scheme.change(steps.splits_of, [controls.scheme], [controls.splits], **_QUICK)
    listed.pick(pick, [state], outputs, **_QUICK)
    for button, step in ((back, steps.page_back), (on, steps.page_on), (earlier, steps.earlier), (later, steps.later)):
        button.click(step, [state], outputs, trigger_mode="multiple", **_QUICK)


def look(gr: Any) -> dict[str, Any]:
    """Theme and style for ``launch``: fonts of the reader's own system, colours of the report."""
    theme = gr.themes.Base(
        primary_hue=gr.themes.colors.blue,
        neutral_hue=gr.themes.colors.slate,
        font=["system-ui", "sans-serif"],
        font_mono=["ui-monospace", "monospace"],
        radius_size=gr.themes.sizes.radius_sm,
        spacing_size=gr.themes.sizes.spacing_sm,
    )
    narrow = f"<style>{_script('narrow.css')}</style>"
    return {"theme": theme, "css": _script("explorer.css"), "head": narrow, "footer_links": []}


def _script(name: str) -> str:
    return (Path(__file__).parent / "page" / name).read_text(encoding="utf-8")


def _head(catalogue: Catalogue, asked: str, scheme: str) -> str:
    have = [counted(len(catalogue), "clip"), counted(int(catalogue.people.sum()), "person")]
    have += [counted(sum(map(len, catalogue.captions.values())), "caption")] if catalogue.captions else []
    have += [counted(sum(map(len, catalogue.questions.values())), "question")] if catalogue.questions else []
    about = f"{catalogue.where}: {', '.join(have)}"
    if catalogue.release.videos is None:
        about += "; the clips are not at hand"
    if scheme != asked:
        about += f"; without the files of its key frames there is no {asked} split, so {scheme} is shown"
    faults = catalogue.release.counts.get("faults", 0)
    if faults:
        about += f"; {counted(faults, 'faulty row')} left out (microg4m data check lists them)"
    return f"<header>{element('h1', TITLE)}{element('p', about, 'mg-quiet')}</header>"
