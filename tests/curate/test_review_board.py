"""What the keys of the review page do, without a browser: queue, edits, undo, texts, several reviewers."""

from __future__ import annotations

import hashlib
import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from microg4m_hf.curate.page.board import LISTS, ReviewBoard
from microg4m_hf.curate.page.review_app import PageHandlers, PageState
from microg4m_hf.curate.review_log import ReviewLog, read_events
from microg4m_hf.curate.reviews import reviewed_state
from tests.support.curated import work_of_sample

pytestmark = pytest.mark.skipif(find_spec("gradio") is None, reason="no Gradio; pip install 'microg4m-hf[explore]'")


@pytest.fixture
def board(tmp_path: Path) -> ReviewBoard:
    return ReviewBoard(work_of_sample(tmp_path, 6), overlap=0.0)


def _press(handlers: PageHandlers, state: PageState, *acts: dict[str, Any]) -> PageState:
    return handlers.act(state, [{"clip": state.clip, **act} for act in acts])[0]


def _begin(board: ReviewBoard, reviewer: str = "anna") -> tuple[PageHandlers, PageState]:
    handlers = PageHandlers(board)
    return handlers, handlers.open_page(PageState(reviewer), {})[0]


def test_a_clip_is_kept_when_everybody_has_an_action(board: ReviewBoard) -> None:
    handlers, state = _begin(board)
    first = state.clip
    assert first == min(clip for clip, one in board.verdicts.items() if one.kept)
    people = sorted(board.state(first).people)
    state = _press(handlers, state, {"do": "keep"})
    assert state.clip == first and "has no action yet" in state.notice
    state = _press(handlers, state, *[{"do": "toggle", "person": one, "action": 12} for one in people], {"do": "keep"})
    assert state.clip != first and state.notice == f"{first} is kept."
    assert reviewed_state(board.work.folder)[first].keep is True
    back = _press(handlers, state, {"do": "undo"})
    assert back.clip == first and board.state(first).status == "unreviewed"
    assert _press(handlers, back, {"do": "redo"}).notice == f"Restored in {first}: keep."
    assert board.state(first).keep is True
    assert _press(handlers, back, {"do": "redo"}).notice.startswith("!")


def test_undo_stays_where_it_is_when_the_film_has_left_the_work_folder(board: ReviewBoard) -> None:
    handlers, state = _begin(board)
    state = _press(handlers, state, {"do": "drop", "reason": "nobody is visible"})
    gone = next(event.clip for event in read_events(board.work.folder))
    assert state.clip != gone
    del board.verdicts[gone]  # as after a clip of it was cut or judged anew
    back = _press(handlers, state, {"do": "undo"})
    assert back.clip == state.clip and gone in back.notice
    assert board.state(gone).status == "unreviewed"


def test_keys_for_a_clip_that_has_gone_do_nothing(board: ReviewBoard) -> None:
    handlers, state = _begin(board)
    first = state.clip
    drop = {"do": "drop", "reason": "nobody is visible", "clip": first}
    state = handlers.act(state, [drop, drop, {"do": "toggle", "clip": first, "person": 1, "action": 12}])[0]
    assert [event.do for event in read_events(board.work.folder)] == ["drop"]
    assert state.clip != first


def test_people_are_edited_and_ids_are_never_used_again(board: ReviewBoard) -> None:
    handlers, state = _begin(board)
    clip = state.clip
    before = board.state(clip).people
    person, other = sorted(before)[:2]
    frame = before[person].boxes[20].frame
    state = _press(handlers, state, {"do": "split", "person": person, "frame": frame})
    new = max(board.state(clip).people)
    assert new == max(before) + 1 and f"person {new}" in state.notice
    state = _press(handlers, state, {"do": "undo"}, {"do": "split", "person": person, "frame": frame})
    assert max(board.state(clip).people) == new + 1  # the undone id stays unused
    state = _press(handlers, state, {"do": "merge", "person": new + 1, "into": person})
    assert {number: one.boxes for number, one in board.state(clip).people.items()} == {
        number: one.boxes for number, one in before.items()
    }
    state = _press(handlers, state, {"do": "exclude", "person": other})
    assert board.state(clip).people[other].excluded
    state = _press(handlers, state, {"do": "exclude", "person": other}, {"do": "delete", "person": other})
    assert other not in board.state(clip).people
    for wrong in (
        {"do": "split", "person": person, "frame": 1},
        {"do": "split", "person": person, "frame": "x"},
        {"do": "merge", "person": person, "into": person},
        {"do": "delete", "person": other},
        {"do": "toggle", "person": person, "action": 2},
        {"do": "explode"},
        {"do": "drop"},
        {"do": "adjudicate", "part": "everything", "person": None, "take": "anna"},
    ):
        count = len(read_events(board.work.folder))
        assert _press(handlers, state, wrong).notice.startswith("!"), wrong
        assert len(read_events(board.work.folder)) == count


def test_people_overrule_the_filter(board: ReviewBoard) -> None:
    handlers, state = _begin(board)
    dropped = next(clip for clip, one in board.verdicts.items() if not one.kept)
    while state.name != "dropped by the filter":
        state = _press(handlers, state, {"do": "list"})
    assert state.clip == dropped
    acts = [{"do": "toggle", "person": one, "action": 79} for one in board.state(dropped).people]
    _press(handlers, state, *acts, {"do": "keep"})
    assert board.state(dropped).keep is True


def test_reviewers_get_different_clips_and_the_overlap_both(board: ReviewBoard) -> None:
    handlers, anna = _begin(board, "anna")
    _, ben = _begin(board, "ben")
    assert anna.clip != ben.clip  # anna has the first one open
    drop = {"do": "drop", "reason": "dark"}
    while anna.clip:
        anna = _press(handlers, anna, drop)
    assert not PageHandlers(board).open_page(PageState("ben"), {})[0].clip  # nothing is left
    both = ReviewBoard(board.work, overlap=1.0)
    handlers, ben = _begin(both, "ben")
    assert len(both.clips_of(LISTS[0], "ben")) == 5 and len(both.clips_of(LISTS[0], "anna")) == 0
    first = ben.clip
    for person in both.state(first).people:
        ReviewLog(board.work.folder, "ben").append(first, "actions", person=person, actions=[12])
    ben = _press(handlers, ben, {"do": "keep"})
    assert both.state(first).status == "disputed" and both.counts("ben")["disputed"] == 1
    while ben.name != "disputed":
        ben = _press(handlers, ben, {"do": "list"})
    _press(handlers, ben, {"do": "adjudicate", "part": "decision", "person": None, "take": "ben"})
    assert both.state(first).status == "reviewed" and both.state(first).keep is True


def test_texts_are_written_and_proposals_accepted(board: ReviewBoard) -> None:
    handlers, state = _begin(board)
    clip = state.clip
    draft, pairs = "A draft <b>in bold</b>.", [{"Q": "What is bold?", "A": "A draft."}]
    asked = hashlib.sha256(draft.encode()).hexdigest()[:16]
    board.text_records = {
        f"{clip}:caption": {"status": "ok", "text": draft},
        f"{clip}:questions:{asked}": {"status": "ok", "text": json.dumps(pairs)},
    }
    panel = handlers.open_page(PageState("anna"), {"clip": clip})[2]
    assert "A draft &lt;b&gt;in bold&lt;/b&gt;." in panel and "<b>in bold" not in panel
    assert reviewed_state(board.work.folder)[clip].caption is None  # proposals are not released by themselves
    _press(handlers, state, {"do": "accept"}, {"do": "accept"})
    assert board.state(clip).caption == "A draft <b>in bold</b>."
    assert board.state(clip).questions == [{"Q": "What is bold?", "A": "A draft."}]
    said = _press(handlers, state, {"do": "questions", "text": "Who waves?\nNobody.\n\nWho\n"}).notice
    assert said.startswith("!") and "no answer" in said
    _press(
        handlers, state, {"do": "questions", "text": "Who waves?\r\nNobody."}, {"do": "caption", "text": " One\n line "}
    )
    assert board.state(clip).questions == [{"Q": "Who waves?", "A": "Nobody."}]
    assert board.state(clip).caption == "One line"


def test_a_full_disk_changes_nothing_and_says_so(board: ReviewBoard, monkeypatch: pytest.MonkeyPatch) -> None:
    import errno
    import os

    handlers, state = _begin(board)
    state = _press(handlers, state, {"do": "drop", "reason": "dark"})
    whole = (board.work.folder / "review" / "anna.jsonl").read_bytes()

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    refused = _press(handlers, state, {"do": "drop", "reason": "dark"})
    assert "Nothing was saved" in refused.notice and refused.clip == state.clip
    monkeypatch.undo()
    assert (board.work.folder / "review" / "anna.jsonl").read_bytes() == whole
    assert _press(handlers, refused, {"do": "drop", "reason": "dark"}).clip != state.clip


@pytest.mark.parametrize("acts", [None, "x", 3, [None, 3, "x", {}, {"do": {}}], [{"do": "keep"}] * 1000])
def test_nonsense_from_a_browser_changes_nothing(board: ReviewBoard, acts: Any) -> None:
    handlers, state = _begin(board)
    handlers.act(state, acts)
    assert read_events(board.work.folder) == []


def test_names_are_asked_for_and_checked(board: ReviewBoard) -> None:
    handlers = PageHandlers(board)
    state, _, panel = handlers.open_page(PageState(), {})
    assert "Your name" in panel and not state.clip
    state = handlers.act(state, [{"do": "name", "name": "../x", "clip": ""}])[0]
    assert not state.reviewer and "cannot be the name" in state.notice
    state = handlers.act(state, [{"do": "name", "name": " ben ", "clip": ""}])[0]
    assert state.reviewer == "ben" and state.clip
    assert handlers.open_page(PageState(), {"reviewer": "eve", "clip": state.clip})[0].clip == state.clip
