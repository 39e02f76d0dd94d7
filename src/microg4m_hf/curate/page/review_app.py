"""Build and serve the review page: a player, a panel, and one event that carries what the keys ask for."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ...errors import SourceError
from ...extras import require
from ...web.html import with_noun
from ...web.serving import (
    EVENT_OPTIONS,
    HOST,
    PORT,
    check_port,
    page_file,
    serve_page,
    serve_until_interrupt,
)
from ..review_log import check_reviewer
from ..work import Work
from .board import LISTS, ReviewBoard
from .review_view import list_after, render_clip_player, render_end, render_panel, render_question_of_name

TITLE = "MicroG-4M review"
_MAX_ACTS = 100  # keys in one message


def review_work(
    work: str | os.PathLike[str],
    *,
    reviewer: str | None = None,
    rule: str = "unanimous",
    overlap: float = 0.1,
    host: str = HOST,
    port: int = PORT,
    browser: bool = False,
    block: bool = True,
) -> Any:
    """Review the clips of a work folder in a web page on this machine.

    Several people may use one page, or pages of their own on a shared folder, at the same time. Each key is on the disk
    before the page shows its effect.

    Args:
        work: The work folder, after ``microg4m curate run``.
        reviewer: Who reviews; without it, the page asks each visitor for a name.
        rule: How judgments of several reviewers become one, see :func:`microg4m_hf.curate.reviewed_state`.
        overlap: The share of the clips that every reviewer gets, to measure agreement.
        host: The address to serve on; ``"0.0.0.0"`` gives the network access, also to write reviews under any name.
        port: The port; 0 for any free port.
        browser: Whether to open a browser.
        block: Whether to serve until Ctrl-C. With ``False``, in a notebook for instance, the call returns at once.

    Returns:
        The page; ``.local_url`` is its address and ``.close()`` stops the server.

    Raises:
        SourceError: There is nothing to review.
        RecipeError: The name, the rule or the port cannot be used.

    Example:
        >>> page = review_work("work", reviewer="anna", port=0, block=False)  # doctest: +SKIP
    """
    if reviewer is not None:
        check_reviewer(reviewer)
    port = check_port(host, port)
    require("gradio", "the review page")
    board = ReviewBoard(Work(work), rule=rule, overlap=overlap)
    if not board.verdicts:
        raise SourceError(f"{work} has no clips to review; run `microg4m curate run {work}` first")

    def start() -> Any:
        page = build_page(board, reviewer)
        style = _asset("review.css")
        return serve_page(page, board.paths.get, host=host, port=port, browser=browser, style=style)

    return serve_until_interrupt(start, "review") if block else start()


def build_page(board: ReviewBoard, reviewer: str | None = None) -> Any:
    """Return the page as ``gradio.Blocks``.

    Args:
        board: The clips and reviews.
        reviewer: Who reviews; without it, the page asks for a name.
    """
    gr = require("gradio", "the review page")
    handlers = PageHandlers(board)
    with gr.Blocks(title=TITLE, analytics_enabled=False, fill_width=True) as page:
        state = gr.State(PageState(reviewer or ""))
        with gr.Row(elem_id="rv-main", equal_height=False):
            with gr.Column(elem_id="rv-left", min_width=0):
                player = gr.HTML("", js_on_load=page_file("player.js"), elem_id="rv-player")
                gr.HTML('<div class="rv-mode" hidden></div>', js_on_load=None, elem_id="rv-mode")
            with gr.Column(elem_id="rv-right", min_width=0):
                panel = gr.HTML("", js_on_load=_asset("review.js"), elem_id="rv-panel")
        _connect(gr, page, handlers, [state, player, panel])
    return page


def _connect(gr: Any, page: Any, handlers: PageHandlers, outputs: list[Any]) -> None:
    state, _, panel = outputs

    def load(request: gr.Request, state: PageState) -> Any:
        return handlers.open_page(state, dict(request.query_params))

    def act(state: PageState, event: gr.EventData) -> Any:
        return handlers.act(state, event.acts)

    # Gradio finds Request and EventData by their annotations, which are strings in this file.
    load.__annotations__["request"], act.__annotations__["event"] = gr.Request, gr.EventData
    page.load(load, [state], outputs, **EVENT_OPTIONS)
    panel.act(act, [state], outputs, trigger_mode="multiple", **EVENT_OPTIONS)


def _asset(name: str) -> str:
    return (Path(__file__).parent / "assets" / name).read_text(encoding="utf-8")


@dataclass(frozen=True)
class PageState:
    """What one visitor sees."""

    reviewer: str = ""
    clip: str = ""  # empty when nothing is left
    name: str = LISTS[0]
    notice: str = ""
    serial: int = 0
    player: str = ""  # the HTML of the player, to send it only when it changes


class PageHandlers:
    """Answer what visitors do with a new state and the parts of the page that change."""

    def __init__(self, board: ReviewBoard) -> None:
        self.board = board

    def open_page(self, state: PageState, query: dict[str, Any]) -> tuple[Any, ...]:
        """Show the clip and the reviewer that the address names, else the next clip to review."""
        if not state.reviewer and "reviewer" in query:
            state = self._named(state, str(query["reviewer"]))
        if state.reviewer:
            clip = str(query.get("clip", ""))
            state = replace(state, clip=clip) if clip in self.board.verdicts else self._next(state)
        return self._render(replace(state, player=""))

    def act(self, state: PageState, acts: Any) -> tuple[Any, ...]:
        """Do what the keys ask for, in their order. Keys that were meant for another clip do nothing."""
        for message in acts[:_MAX_ACTS] if isinstance(acts, Sequence) else ():
            if isinstance(message, dict):
                state = self._one(state, message)
        return self._render(state)

    def _one(self, state: PageState, message: dict[str, Any]) -> PageState:
        do = message.get("do")
        if do == "name":
            state = self._named(state, str(message.get("name", "")))
            return self._next(state) if state.reviewer else state
        if not state.reviewer or (message.get("clip") or "") != state.clip:
            return state
        if do == "next":
            return self._next(replace(state, name=LISTS[0], notice=""))
        if do == "list":
            name = list_after(state.name)
            clips = self.board.clips_of(name, state.reviewer)
            return replace(
                state, name=name, clip=clips[0] if clips else "", notice=f"{name}: {with_noun(len(clips), 'clip')}"
            )
        if do == "step":
            return self._step(state, 1 if message.get("by") == 1 else -1)
        said = self.board.do(state.reviewer, state.clip or next(iter(self.board.verdicts)), message)
        state = replace(state, notice=said)
        if said.startswith("!"):
            return state
        if do in ("undo", "redo"):
            changed = self.board.own_events(state.reviewer)[-1].clip
            # A film may have left the work folder since; the notice names the clip.
            return replace(state, clip=changed) if changed in self.board.verdicts else state
        if do in ("keep", "drop"):
            return self._next(state) if state.name == LISTS[0] else self._step(state, 1)
        return state

    def _named(self, state: PageState, name: str) -> PageState:
        try:
            return replace(state, reviewer=check_reviewer(name.strip()), notice="")
        except ValueError as error:
            return replace(state, reviewer="", notice=f"! {error}")

    def _next(self, state: PageState) -> PageState:
        return replace(state, clip=self.board.next_clip(state.reviewer, state.clip or None) or "")

    def _step(self, state: PageState, by: int) -> PageState:
        clips = self.board.clips_of(state.name, state.reviewer)
        if state.clip in clips:
            place = clips.index(state.clip) + by
        else:  # the clip has just left the list
            behind = sum(clip < state.clip for clip in clips)
            place = behind if by > 0 else behind - 1
        if not 0 <= place < len(clips):
            return replace(
                state, notice=f"This is the {'last' if by > 0 else 'first'} clip of the list “{state.name}”."
            )
        return replace(state, clip=clips[place])

    def _render(self, state: PageState) -> tuple[Any, ...]:
        import gradio as gr

        state = replace(state, serial=state.serial + 1)
        player, serial = "", state.serial
        if not state.reviewer:
            panel = render_question_of_name(state.notice, serial)
        elif not state.clip:
            panel = render_end(self.board, state.reviewer, notice=state.notice, name=state.name, serial=serial)
        else:
            self.board.refresh()
            view = self.board.view(state.clip, state.reviewer)
            player = render_clip_player(self.board, state.clip, view.mine.people)
            panel = render_panel(
                self.board, state.clip, state.reviewer, view=view, notice=state.notice, name=state.name, serial=serial
            )
        same = player == state.player and serial > 1
        return replace(state, player=player), gr.skip() if same else player, panel
