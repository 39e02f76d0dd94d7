"""Reviews: events on disk, crashes, several reviewers, undo, edits of people, and what reviewers disagree on."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from microg4m_hf.curate.review_log import Event, ReviewLog, ReviewReader, event_fault, read_events
from microg4m_hf.curate.reviews import Box, ReviewedClip, fold_clip, reviewed_state, tracks_digest
from microg4m_hf.errors import DataError, RecipeError
from tests.support.curated import walker, work_folder

CLIP = "ISS_001"
MERGE = [Event("m", 1.0, "a", CLIP, "merge", {"person": 1, "into": 2})]
TRACKS = {1: walker(1, 60), 2: walker(40, 90, 200.0), 3: walker(1, 90, 400.0)}


def _state(*events: tuple[Any, ...], rule: str = "unanimous") -> ReviewedClip:
    """Fold events given as reviewer, kind, fields; their ids are e0, e1, …"""
    made = [Event(f"e{n}", float(n), who, CLIP, do, values) for n, (who, do, values) in enumerate(events)]
    return fold_clip(CLIP, TRACKS, made, rule=rule)


def test_people_are_merged_split_deleted_and_excluded() -> None:
    acts = ("a", "actions", {"person": 1, "actions": [12, 79]})
    merged = _state(acts, ("a", "merge", {"person": 1, "into": 2}))
    assert set(merged.people) == {2, 3} and merged.people[2].actions == {12, 79}
    frames = [box.frame for box in merged.people[2].boxes]
    assert frames == list(range(1, 91))  # one box per frame where both had one
    assert merged.people[2].boxes == TRACKS[1][:39] + TRACKS[2]  # equal scores: the box of the person who stays
    scored = fold_clip(CLIP, {1: [Box(1, 0, 0, 9, 9, 0.5)], 2: [Box(1, 1, 1, 9, 9, 0.9, True)]}, MERGE)
    assert scored.people[2].boxes == [Box(1, 0, 0, 9, 9, 0.5)]  # a detected box comes before an interpolated one

    split = _state(acts, ("a", "split", {"person": 1, "frame": 30, "new": 4}))
    assert [len(split.people[number].boxes) for number in (1, 4)] == [29, 31]
    assert split.people[1].actions == {12, 79} and split.people[4].actions == frozenset()

    assert set(_state(("a", "delete", {"person": 3})).people) == {1, 2}
    excluded = _state(("a", "exclude", {"person": 3, "reason": "a poster"}))
    assert set(excluded.people) == {1, 2, 3} and set(excluded.released_people()) == {1, 2}
    again = _state(("a", "exclude", {"person": 3, "reason": ""}), ("a", "include", {"person": 3}))
    assert set(again.released_people()) == {1, 2, 3}


@pytest.mark.parametrize(
    "event",
    [
        ("merge", {"person": 9, "into": 1}),
        ("merge", {"person": 1, "into": 1}),
        ("split", {"person": 1, "frame": 1, "new": 4}),
        ("split", {"person": 1, "frame": 30, "new": 2}),
        ("delete", {"person": 9}),
        ("exclude", {"person": 9, "reason": ""}),
        ("include", {"person": 9}),
        ("actions", {"person": 9, "actions": [12]}),
    ],
)
def test_edits_that_do_not_fit_change_nothing_and_are_listed(event: tuple[str, dict[str, Any]]) -> None:
    state = _state(("a", *event))
    assert {number: one.boxes for number, one in state.people.items()} == TRACKS
    assert len(state.judgments["a"].ignored) == 1


def test_undo_restores_what_was_there_and_can_be_undone() -> None:
    split = ("a", "split", {"person": 1, "frame": 30, "new": 4})
    delete = ("a", "delete", {"person": 4})
    undo_split, redo = ("a", "undo", {"event": "e0"}), ("a", "undo", {"event": "e2"})
    assert set(_state(split, delete).people) == {1, 2, 3}
    undone = _state(split, delete, undo_split)
    assert {number: one.boxes for number, one in undone.people.items()} == TRACKS
    assert undone.judgments["a"].ignored == ["delete: there is no person 4"]
    assert len(_state(split, delete, undo_split, redo).people[1].boxes) == 29
    other = _state(split, ("b", "undo", {"event": "e0"}))  # nobody undoes the events of others
    assert set(other.judgments["a"].people) == {1, 2, 3, 4}


def test_clips_are_unreviewed_until_somebody_decides() -> None:
    assert _state().status == "unreviewed" and _state().keep is None
    busy = _state(("a", "actions", {"person": 1, "actions": [12]}))
    assert busy.status == "unreviewed" and busy.people[1].actions == {12}
    kept = _state(("a", "keep", {"reason": ""}))
    assert kept.status == "reviewed" and kept.keep is True
    dropped = _state(("a", "keep", {"reason": ""}), ("a", "drop", {"reason": "dark"}))
    assert dropped.keep is False and dropped.reason == "dark"  # the newest counts


def test_the_newest_text_of_anybody_counts() -> None:
    pairs = [{"Q": "Who?", "A": "Two."}]
    state = _state(
        ("a", "caption", {"text": "One."}), ("b", "caption", {"text": "Two."}), ("b", "questions", {"pairs": pairs})
    )
    assert (state.caption, state.questions) == ("Two.", pairs)
    assert _state(("a", "caption", {"text": "One."}), ("a", "caption", {"text": ""})).caption is None


def _two(one: list[int], other: list[int], *more: tuple[Any, ...], rule: str = "unanimous") -> ReviewedClip:
    events: list[tuple[Any, ...]] = [("c", "keep", {"reason": ""})] if rule == "majority" else []
    events += [("c", "actions", {"person": 1, "actions": one})] if rule == "majority" else []
    for name, actions in (("a", one), ("b", other)):
        events += [(name, "actions", {"person": 1, "actions": actions}), (name, "keep", {"reason": ""})]
    return _state(*events, *more, rule=rule)


def test_disagreements_are_listed_until_somebody_adjudicates() -> None:
    assert _two([12], [12]).status == "reviewed"
    disputed = _two([12], [12, 79])
    assert disputed.status == "disputed"
    assert [str(one) for one in disputed.disagreements] == [f"{CLIP}, actions of person 1: a: 12; b: 12 79"]
    settled = _two([12], [12, 79], ("c", "adjudicate", {"part": "actions", "person": 1, "take": "a"}))
    assert settled.status == "reviewed" and settled.people[1].actions == {12}
    newest = _two([12], [12, 79], rule="newest")
    assert newest.status == "reviewed" and newest.people[1].actions == {12, 79}
    assert _two([12], [79], rule="majority").people[1].actions == {12}
    tie = _state(("a", "keep", {"reason": ""}), ("b", "drop", {"reason": "dark"}), rule="majority")
    assert [one.part for one in tie.disagreements] == ["decision"]


def test_reviewers_may_disagree_on_people_and_decision() -> None:
    delete, keep = ("a", "delete", {"person": 3}), {"reason": ""}
    people = _state(delete, ("a", "keep", keep), ("b", "keep", keep))
    assert [(one.part, one.values["a"]) for one in people.disagreements] == [("people", "people 1, 2")]
    taken = _state(
        delete,
        ("a", "keep", keep),
        ("b", "keep", keep),
        ("b", "adjudicate", {"part": "people", "person": None, "take": "a"}),
    )
    assert taken.status == "reviewed" and set(taken.people) == {1, 2}
    drops = _state(("a", "drop", {"reason": "dark"}), ("b", "drop", {"reason": "blurred"}))
    assert drops.status == "reviewed" and drops.reason == "blurred"  # the reason is no judgment


def test_what_was_said_about_other_tracks_does_not_count(tmp_path: Path) -> None:
    """A changed tracker numbers people anew; changed back, the review counts again. Drops and texts always do."""
    work = work_folder(tmp_path, {CLIP: TRACKS})
    log = ReviewLog(work, "anna")
    seen = tracks_digest(work, CLIP)
    log.append(CLIP, "actions", tracks=seen, person=1, actions=[12])
    log.append(CLIP, "keep", tracks=seen, reason="")
    log.append(CLIP, "caption", tracks=seen, text="Somebody floats.")
    assert reviewed_state(work)[CLIP].keep is True
    before = (work / "tracks" / f"{CLIP}.json").read_bytes()
    work_folder(work, {CLIP: {1: TRACKS[3], 2: TRACKS[1]}})
    state = reviewed_state(work)[CLIP]
    assert state.status == "unreviewed" and state.people[1].actions == frozenset() and state.caption
    assert [why.partition(":")[0] for why in state.judgments["anna"].ignored] == ["actions", "keep"]
    (work / "tracks" / f"{CLIP}.json").write_bytes(before)
    assert reviewed_state(work)[CLIP].people[1].actions == {12}
    log.append(CLIP, "drop", tracks=seen, reason="dark")
    work_folder(work, {CLIP: {1: TRACKS[3]}})
    assert reviewed_state(work)[CLIP].keep is False


def test_events_are_on_disk_and_a_torn_line_costs_nothing_else(tmp_path: Path) -> None:
    work = work_folder(tmp_path, {CLIP: TRACKS})
    log = ReviewLog(work, "anna")
    log.append(CLIP, "actions", person=1, actions=[12])
    whole = log.path.read_bytes()
    for cut in (1, 20, len(whole) // 2):
        log.path.write_bytes(whole + whole[:cut])
        log.append(CLIP, "keep", reason="")
        assert [event.do for event in read_events(work)] == ["actions", "keep"]
        log.path.write_bytes(whole)
    reader = ReviewReader(work)
    assert len(reader.refresh()) == 1 and reader.refresh() == []
    with log.path.open("ab") as file:
        file.write(b'{"id": "half')
    assert reader.refresh() == []  # another process may be writing it
    ReviewLog(work, "ben").append(CLIP, "drop", reason="dark")
    log.append(CLIP, "keep", reason="")
    assert [event.do for event in reader.refresh()] == ["keep", "drop"]
    assert [event.do for event in reader.events] == ["actions", "drop", "keep"]
    assert len(reader.faults) == 1 and "anna.jsonl, line 2" in reader.faults[0]


def test_events_of_one_millisecond_keep_their_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    work = work_folder(tmp_path, {CLIP: TRACKS})
    start = 1_764_300_000.1234
    for number, reviewer in enumerate(["ben", "anna", "ben", "anna"]):
        monkeypatch.setattr("microg4m_hf.curate.review_log.time.time", lambda now=start + number * 2e-6: now)
        ReviewLog(work, reviewer).append(CLIP, "drop", reason=f"reason {number}")
    assert [event.values["reason"] for event in read_events(work)] == [f"reason {number}" for number in range(4)]


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ({"do": "explode"}, "not an event"),
        ({"do": "drop", "reason": ""}, "reason of"),
        ({"do": "actions", "person": 1, "actions": [2]}, "actions of"),
        ({"do": "keep", "reason": "", "clip": "../etc_1"}, "not a valid clip name"),
        ({"do": "keep", "reason": "", "more": 1}, "has the fields"),
        ({"do": "track", "person": 1, "boxes": [[1, 9, 9, 0, 0]]}, "boxes of"),
        ({"do": "track", "person": 1, "boxes": [[1, float("nan"), 9, 10, 10]]}, "boxes of"),
        ({"do": "keep", "reason": "", "time": "now"}, "no time"),
        ({"do": "keep", "reason": "", "tracks": 3}, "digest of the tracks"),
        ([], "not an object"),
    ],
)
def test_lines_that_are_no_events_are_reported_and_left_out(tmp_path: Path, line: Any, why: str) -> None:
    work = work_folder(tmp_path, {CLIP: TRACKS})
    (work / "review").mkdir()
    record = {"id": "x", "time": 1.0, "clip": CLIP, **line} if isinstance(line, dict) else line
    (work / "review" / "anna.jsonl").write_text(json.dumps(record) + "\n")
    reader = ReviewReader(work)
    assert reader.refresh() == []
    assert len(reader.faults) == 1 and why in reader.faults[0]
    assert reviewed_state(work)[CLIP].status == "unreviewed"


@pytest.mark.parametrize("name", ["", "../x", "a b", "a.b", ".hidden", "x" * 41, "a/b"])
def test_names_of_reviewers_are_names_of_files(tmp_path: Path, name: str) -> None:
    with pytest.raises(RecipeError, match="name of a reviewer"):
        ReviewLog(tmp_path, name)


def test_invalid_events_and_rules_are_refused(tmp_path: Path) -> None:
    work = work_folder(tmp_path, {CLIP: TRACKS})
    with pytest.raises(DataError, match="was not changed"):
        ReviewLog(work, "anna").append_all([(CLIP, "keep", {"reason": ""}), (CLIP, "drop", {"reason": ""})])
    assert read_events(work) == []  # all or none
    boxes = [[frame, *(0.123456789012345678 * side for side in (1, 2, 3, 4))] for frame in range(1, 250_000)]
    with pytest.raises(DataError, match=r"one event has 2\d,\d{3},\d{3} characters, more than"):
        ReviewLog(work, "anna").append_all([(CLIP, "track", {"person": 1, "boxes": boxes})])
    assert read_events(work) == []
    longest = [(CLIP, "track", {"person": 1, "boxes": boxes[:32_767]})]
    ReviewLog(work, "bea").append_all(longest)
    assert [len(event.values["boxes"]) for event in read_events(work)] == [32_767]
    with pytest.raises(RecipeError, match="no rule 'best'; choose one of unanimous, majority, newest"):
        reviewed_state(work, rule="best")
    (work / "tracks" / f"{CLIP}.json").write_text('{"boxes": [[1, 2]]}')
    with pytest.raises(DataError, match="tracks cannot be read"):
        reviewed_state(work)


WRITER = """
import sys
from microg4m_hf.curate.review_log import ReviewLog
log = ReviewLog(sys.argv[1], sys.argv[2])
for number in range(int(sys.argv[3])):
    event = log.append(f"ISS_{number:03d}", "drop", reason="r" * (number % 7 + 1))
    print(event.id, flush=True)
"""


def test_two_reviewers_at_once_and_kills_lose_nothing_that_was_confirmed(tmp_path: Path) -> None:
    """Two processes write under one name and one under another; one of them is killed again and again."""
    command = [sys.executable, "-c", WRITER, str(tmp_path)]
    steady = [subprocess.Popen([*command, name, "60"], stdout=subprocess.PIPE, text=True) for name in ("anna", "ben")]
    confirmed: list[str] = []
    for lines in (1, 4, 9):
        victim = subprocess.Popen([*command, "anna", "100000"], stdout=subprocess.PIPE, text=True)
        assert victim.stdout is not None
        confirmed += [victim.stdout.readline().strip() for _ in range(lines)]
        os.kill(victim.pid, signal.SIGKILL)
        confirmed += victim.stdout.read().split()[:-1]  # the last word may be cut
        victim.wait()
        victim.stdout.close()
    for process in steady:
        confirmed += process.communicate()[0].split()
        assert process.returncode == 0
    reader = ReviewReader(tmp_path)
    reader.refresh()
    assert set(confirmed) <= {event.id for event in reader.events}
    assert len({event.id for event in reader.events if event.reviewer == "ben"}) == 60


def test_marks_of_heads_follow_the_people_and_are_no_disagreement() -> None:
    def mark(frame: int, degrees: float | None, person: int = 1, who: str = "a") -> tuple[Any, ...]:
        return who, "angle", {"person": person, "frame": frame, "degrees": degrees}

    assert _state(mark(40, 90), mark(1, 0), mark(40, 180)).people[1].marks == ((1, 0), (40, 180))
    split = _state(mark(1, 0), mark(40, 90), ("a", "split", {"person": 1, "frame": 30, "new": 4}))
    assert (split.people[1].marks, split.people[4].marks) == (((1, 0),), ((40, 90),))
    merged = _state(mark(1, 0), mark(50, 90), mark(50, 270, 2), ("a", "merge", {"person": 1, "into": 2}))
    assert merged.people[2].marks == ((1, 0), (50, 270))  # at one frame, that of the person who stays
    keep = [(who, "keep", {"reason": ""}) for who in "ab"]
    agreed = _state(mark(1, 45, who="a"), *keep)  # b keeps last, and has marked nothing
    assert agreed.status == "reviewed" and agreed.people[1].marks == ((1, 45),)
    assert _state(mark(1, 0, 9)).judgments["a"].ignored == ["angle: there is no person 9"]
    for degrees in (360, -1, "up", True, float("nan")):
        assert event_fault(CLIP, "angle", {"person": 1, "frame": 1, "degrees": degrees})
    assert event_fault(CLIP, "angle", {"person": 1, "frame": 1, "degrees": None}) is None
