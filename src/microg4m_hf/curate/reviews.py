"""What the reviewers decided: fold their events into the state of every clip, and settle what they disagree on.

Each reviewer judges the clip and its people alone, starting from the tracks that the tracker found. Texts are shared:
the newest caption and the newest questions of anybody count. Where several reviewers have finished a clip, a rule says
whose judgment counts; what it cannot settle is a disagreement until somebody adjudicates it.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from ..clip_ids import CLIP_ID_RULE, split_clip_id
from ..errors import DataError, RecipeError
from .review_log import Event, read_events

# How judgments of several reviewers become one.
RULES = {
    "unanimous": "all reviewers who finished the clip agree",
    "majority": "more than half of them agree",
    "newest": "the reviewer who worked on the clip last decides",
}
_MAX_BYTES = 64 << 20  # of a file of tracks


class Box(NamedTuple):
    """A person's box in one frame, in pixels; frames are numbered from 1."""

    frame: int
    x1: float
    y1: float
    x2: float
    y2: float
    score: float = 1.0
    interpolated: bool = False

    @property
    def corners(self) -> tuple[float, float, float, float]:
        """The corners x1, y1, x2, y2."""
        return self.x1, self.y1, self.x2, self.y2


Mark = tuple[int, "float | None"]  # from this frame on, the head of the person points there; None: nobody can tell
Tracks = dict[int, list[Box]]  # person -> boxes in the order of their frames


@dataclass
class Person:
    """A person of a clip after the edits of a reviewer."""

    boxes: list[Box]
    actions: frozenset[int] = frozenset()  # released action ids
    excluded: bool = False
    reason: str = ""  # of an excluded person
    marks: tuple[Mark, ...] = ()  # how the person is turned, in the order of the frames


@dataclass
class Judgment:
    """What one reviewer thinks of a clip. ``keep`` is None until the reviewer has decided."""

    reviewer: str
    people: dict[int, Person]
    keep: bool | None = None
    reason: str = ""
    time: float = 0.0  # of the newest event
    ignored: list[str] = field(default_factory=list)  # events that no longer fit, such as edits of a person now gone

    def value(self, part: str, person: int | None = None) -> Hashable:
        """Return the decision, the people or the actions of a person, in a form that can be compared."""
        if part == "decision":
            return self.keep
        if part == "people":
            return frozenset((number, one.excluded, tuple(one.boxes)) for number, one in self.people.items())
        found = self.people.get(person) if person is not None else None
        return None if found is None or found.excluded else found.actions


@dataclass(frozen=True)
class Disagreement:
    """A part of a clip on which reviewers differ: the decision, the people, or the actions of one person."""

    clip: str
    part: str
    person: int | None
    values: Mapping[str, str]  # reviewer -> the judgment, in words

    def __str__(self) -> str:
        about = self.part if self.person is None else f"{self.part} of person {self.person}"
        return f"{self.clip}, {about}: " + "; ".join(f"{name}: {value}" for name, value in self.values.items())


@dataclass
class ReviewedClip:
    """The state of a clip after all reviews."""

    video_id: str
    status: str  # "unreviewed", "reviewed" or "disputed"
    keep: bool | None  # None: nobody decided
    reason: str
    people: dict[int, Person]  # after all edits, with the excluded ones
    caption: str | None = None
    questions: list[dict[str, str]] | None = None
    judgments: dict[str, Judgment] = field(default_factory=dict)  # by reviewer, finished or not
    disagreements: list[Disagreement] = field(default_factory=list)

    @property
    def finished(self) -> dict[str, Judgment]:
        """The judgments of the reviewers who decided to keep or to drop the clip."""
        return {name: one for name, one in self.judgments.items() if one.keep is not None}

    def released_people(self) -> dict[int, Person]:
        """The people of a release: those who have boxes and are not excluded."""
        return {number: one for number, one in sorted(self.people.items()) if one.boxes and not one.excluded}


def reviewed_state(
    work: str | os.PathLike[str], *, rule: str = "unanimous", clips: Iterable[str] | None = None
) -> dict[str, ReviewedClip]:
    """Return the state of every clip of a work folder after all reviews. Nothing is written.

    Args:
        work: The work folder.
        rule: How judgments of several reviewers become one: ``"unanimous"``, ``"majority"`` or ``"newest"``.
        clips: The names of the clips; by default all with tracks and all that were reviewed.

    Returns:
        The state of each clip by its name, in the order of the names.

    Raises:
        RecipeError: There is no such rule.
        DataError: A file of tracks is not valid.
    """
    check_rule(rule)
    events: dict[str, list[Event]] = {}
    for event in read_events(work):
        events.setdefault(event.clip, []).append(event)
    if clips is None:
        clips = {path.stem for path in (Path(work) / "tracks").glob("*.json")} | set(events)
    found = {}
    for video_id in sorted(clips):
        tracks = read_tracks(work, video_id)
        own = events.get(video_id, [])
        found[video_id] = fold_clip(video_id, tracks.people, own, rule=rule, digest=tracks.digest)
    return found


def check_rule(rule: str) -> str:
    """Return the name of a rule, or raise a ``RecipeError``."""
    if rule not in RULES:
        raise RecipeError(f"there is no rule {rule!r}; choose one of {', '.join(RULES)}")
    return rule


class ClipTracks(NamedTuple):
    """What the tracker left of a clip: the size of its frames in pixels, 0 where it has not run, and its people."""

    width: int
    height: int
    people: Tracks
    digest: str = ""


def read_tracks(work: str | os.PathLike[str], video_id: str) -> ClipTracks:
    """Return the tracks of a clip as the tracker left them; nobody where it has not run.

    Args:
        work: The work folder.
        video_id: The name of the clip.

    Returns:
        The size of the frames, and the boxes of each person in the order of the frames.

    Raises:
        DataError: The file is not valid, or the name of the clip is not.
    """
    try:
        split_clip_id(video_id)
    except DataError:
        raise DataError("not a valid clip name", value=video_id, hint=CLIP_ID_RULE) from None
    path = _tracks_file(work, video_id)
    try:
        content = path.read_bytes() if path.stat().st_size <= _MAX_BYTES else b""
        record = json.loads(content)
        width, height = int(record["width"]), int(record["height"])
        tracks: Tracks = {}
        for frame, person, x1, y1, x2, y2, score, interpolated in record["boxes"]:
            box = Box(int(frame), float(x1), float(y1), float(x2), float(y2), float(score), bool(interpolated))
            tracks.setdefault(int(person), []).append(box)
    except FileNotFoundError:
        return ClipTracks(0, 0, {})
    except (ValueError, TypeError, LookupError, RecursionError) as error:
        hint = "delete the file and run `microg4m curate run` again"
        raise DataError(f"the tracks cannot be read ({type(error).__name__})", file=path, hint=hint) from None
    people = {person: sorted(boxes) for person, boxes in sorted(tracks.items())}
    return ClipTracks(width, height, people, hashlib.sha256(content).hexdigest()[:16])


def tracks_digest(work: str | os.PathLike[str], video_id: str) -> str:
    """Return the digest of the tracks of a clip, by which an event says what its reviewer saw; empty without tracks."""
    try:
        return hashlib.sha256(_tracks_file(work, video_id).read_bytes()).hexdigest()[:16]
    except OSError:
        return ""


def _tracks_file(work: str | os.PathLike[str], video_id: str) -> Path:
    return Path(work) / "tracks" / f"{video_id}.json"


def fold_clip(
    video_id: str, tracks: Tracks, events: Sequence[Event], *, rule: str = "unanimous", digest: str = ""
) -> ReviewedClip:
    """Fold the events of one clip, in the order of time, into its state.

    Args:
        video_id: The name of the clip.
        tracks: The people as the tracker found them.
        events: The events of all reviewers about this clip.
        rule: See :func:`reviewed_state`.
        digest: The digest of the tracks. What reviewers said about the people of other tracks does not count.

    Returns:
        The state. With disagreements, its values are those of the newest judgment.

    Example:
        >>> tracks = {1: [Box(1, 0, 0, 9, 9)]}
        >>> event = Event("e1", 1.0, "anna", "ISS_001", "actions", {"person": 1, "actions": [12]})
        >>> sorted(fold_clip("ISS_001", tracks, [event]).people[1].actions)
        [12]
    """
    every = active_events(events)
    active = current_events(every, digest)
    judgments = {
        reviewer: fold_judgment(reviewer, tracks, [event for event in active if event.reviewer == reviewer])
        for reviewer in sorted({event.reviewer for event in events})
    }
    for event in every:
        if event not in active:
            judgments[event.reviewer].ignored.append(f"{event.do}: the tracks have changed since")
    texts = {event.do: event for event in active if event.do in ("caption", "questions")}
    state = ReviewedClip(video_id, "unreviewed", None, "", _untouched(tracks), judgments=judgments)
    if "caption" in texts:
        state.caption = texts["caption"].values["text"] or None
    if "questions" in texts:
        state.questions = texts["questions"].values["pairs"] or None
    by_age = sorted(judgments.values(), key=lambda one: (one.time, one.reviewer))
    if not state.finished:
        if by_age:
            state.people = by_age[-1].people  # work in progress
        return state
    _settle(state, [one for one in by_age if one.keep is not None], _adjudications(active), rule)
    state.status = "disputed" if state.disagreements else "reviewed"
    return state


def active_events(events: Iterable[Event]) -> list[Event]:
    """Return the events that are not undone. Reviewers undo their own events only; undoing an undo restores the event.

    >>> drop = Event("e1", 1.0, "anna", "ISS_001", "drop", {"reason": "dark"})
    >>> undo = Event("e2", 2.0, "anna", "ISS_001", "undo", {"event": "e1"})
    >>> redo = Event("e3", 3.0, "anna", "ISS_001", "undo", {"event": "e2"})
    >>> [len(active_events(events)) for events in ([drop], [drop, undo], [drop, undo, redo])]
    [1, 0, 1]
    """
    undone: set[tuple[str, str]] = set()
    active = []
    for event in reversed(list(events)):
        if (event.reviewer, event.id) in undone:
            continue
        if event.do == "undo":
            undone.add((event.reviewer, event.values["event"]))
        else:
            active.append(event)
    return active[::-1]


def current_events(events: Iterable[Event], digest: str) -> list[Event]:
    """Return the events that fit the tracks: an event about people fits those that its reviewer saw.

    Dropping a clip and writing a text do not depend on tracks.
    """

    def fits(event: Event) -> bool:
        is_bound = event.do in _EDITS or event.do in ("track", "keep", "adjudicate")
        return not (is_bound and digest and event.tracks) or event.tracks == digest

    return [event for event in events if fits(event)]


def decisions(events: Iterable[Event], digest: str = "") -> dict[str, bool]:
    """Return for each reviewer who decided whether the clip is kept, without looking at its people.

    >>> decisions([Event("e1", 1.0, "anna", "ISS_001", "drop", {"reason": "dark"})])
    {'anna': False}
    """
    active = current_events(active_events(events), digest)
    return {event.reviewer: event.do == "keep" for event in active if event.do in ("keep", "drop")}


def fold_judgment(reviewer: str, tracks: Tracks, events: Iterable[Event]) -> Judgment:
    """Apply the active events of one reviewer to the tracks. Events that do not fit are listed, not applied."""
    judgment = Judgment(reviewer, _untouched(tracks))
    for event in events:
        judgment.time = event.time
        if event.do in ("keep", "drop"):
            judgment.keep, judgment.reason = event.do == "keep", event.values["reason"]
        elif event.do == "track":
            _replace_boxes(judgment.people, event.values, tracks)
        elif event.do in _EDITS:
            problem = _EDITS[event.do](judgment.people, event.values)
            if problem:
                judgment.ignored.append(f"{event.do}: {problem}")
    return judgment


def _untouched(tracks: Tracks) -> dict[int, Person]:
    return {number: Person(list(boxes)) for number, boxes in tracks.items()}


def next_person_id(people: Iterable[int]) -> int:
    """Return the id for a person that a split makes: one that no person of the clip has had.

    >>> next_person_id({1: "", 4: ""})
    5
    """
    return max(people, default=0) + 1


def _missing(people: Mapping[int, Person], *numbers: int) -> str:
    missing = next((number for number in numbers if number not in people), None)
    return "" if missing is None else f"there is no person {missing}"


def _merge(people: dict[int, Person], values: Mapping[str, Any]) -> str:
    """Join two persons. Where both have a box, a detected one comes before an interpolated one, then the score."""
    source, target = values["person"], values["into"]
    problem = _missing(people, source, target) or ("a person cannot be merged into itself" if source == target else "")
    if problem:
        return problem
    boxes: dict[int, Box] = {}
    for box in (*people[target].boxes, *people[source].boxes):
        held = boxes.get(box.frame)
        if held is None or (held.interpolated, -held.score) > (box.interpolated, -box.score):
            boxes[box.frame] = box
    joined, gone = people[target], people.pop(source)
    marks = tuple(sorted((dict(gone.marks) | dict(joined.marks)).items()))
    actions = joined.actions | gone.actions
    people[target] = Person(sorted(boxes.values()), actions, joined.excluded, joined.reason, marks)
    return ""


def _split(people: dict[int, Person], values: Mapping[str, Any]) -> str:
    """Give the boxes from a frame on to a new person, whose actions nobody has seen yet."""
    number, new = values["person"], values["new"]
    problem = _missing(people, number) or (f"person {new} exists already" if new in people else "")
    if problem:
        return problem
    boxes = people[number].boxes
    later = [box for box in boxes if box.frame >= values["frame"]]
    if not later or len(later) == len(boxes):
        return f"person {number} has no boxes on both sides of frame {values['frame']}"
    first = people[number]
    first.boxes = boxes[: len(boxes) - len(later)]
    people[new] = Person(later, marks=tuple(mark for mark in first.marks if mark[0] >= values["frame"]))
    first.marks = tuple(mark for mark in first.marks if mark[0] < values["frame"])
    return ""


def _delete(people: dict[int, Person], values: Mapping[str, Any]) -> str:
    problem = _missing(people, values["person"])
    if not problem:
        del people[values["person"]]
    return problem


def _exclude(people: dict[int, Person], values: Mapping[str, Any]) -> str:
    problem = _missing(people, values["person"])
    if not problem:
        people[values["person"]].excluded, people[values["person"]].reason = True, values["reason"]
    return problem


def _include(people: dict[int, Person], values: Mapping[str, Any]) -> str:
    problem = _missing(people, values["person"])
    if not problem:
        people[values["person"]].excluded, people[values["person"]].reason = False, ""
    return problem


def _replace_boxes(people: dict[int, Person], values: Mapping[str, Any], tracks: Tracks) -> None:
    """Replace the boxes of a person, or add the person. Boxes that the tracker found keep their scores."""
    known = {(box.frame, box.corners): box for boxes in tracks.values() for box in boxes}
    boxes = [Box(int(frame), float(x1), float(y1), float(x2), float(y2)) for frame, x1, y1, x2, y2 in values["boxes"]]
    boxes = [known.get((box.frame, box.corners), box) for box in boxes]
    people.setdefault(values["person"], Person([])).boxes = sorted(boxes)


def _act(people: dict[int, Person], values: Mapping[str, Any]) -> str:
    problem = _missing(people, values["person"])
    if not problem:
        people[values["person"]].actions = frozenset(values["actions"])
    return problem


def _turn(people: dict[int, Person], values: Mapping[str, Any]) -> str:
    problem = _missing(people, values["person"])
    if not problem:
        person = people[values["person"]]
        person.marks = tuple(sorted((dict(person.marks) | {values["frame"]: values["degrees"]}).items()))
    return problem


_EDITS: dict[str, Callable[[dict[int, Person], Mapping[str, Any]], str]] = {
    "merge": _merge,
    "split": _split,
    "delete": _delete,
    "exclude": _exclude,
    "include": _include,
    "actions": _act,
    "angle": _turn,
}

_Part = tuple[str, "int | None"]


def _adjudications(active: Iterable[Event]) -> dict[_Part, str]:
    """The reviewer whose judgment counts for a part of the clip, by the newest adjudication of anybody."""
    return {
        (event.values["part"], event.values["person"]): event.values["take"]
        for event in active
        if event.do == "adjudicate"
    }


def _settle(state: ReviewedClip, judgments: list[Judgment], taken: Mapping[_Part, str], rule: str) -> None:
    """Set decision, people and actions of a clip that some reviewers, oldest first, have finished."""

    def settle(part: str, person: int | None, among: list[Judgment]) -> Judgment:
        value_of = {one.reviewer: one.value(part, person) for one in among}
        named = next((one for one in among if one.reviewer == taken.get((part, person))), None)
        if named is not None:
            return named
        newest = among[-1]
        if rule == "newest" or len(set(value_of.values())) == 1:
            return newest
        (value, votes), *_ = Counter(value_of.values()).most_common(1)
        if rule == "majority" and 2 * votes > len(among):
            return next(one for one in reversed(among) if value_of[one.reviewer] == value)
        words = {one.reviewer: _in_words(one, part, person) for one in among}
        state.disagreements.append(Disagreement(state.video_id, part, person, words))
        return newest

    decision = settle("decision", None, judgments)
    state.keep, state.reason = decision.keep, decision.reason
    keeping = [one for one in judgments if one.keep]
    if not state.keep or not keeping:
        state.people = decision.people
        return
    chosen = settle("people", None, keeping)
    state.people = {}
    for number, person in chosen.people.items():
        # Actions are compared where reviewers mean the same boxes.
        same = [one for one in keeping if number in one.people and one.people[number].boxes == person.boxes]
        judged = [one for one in same if not one.people[number].excluded] or same
        winner = settle("actions", number, judged) if not person.excluded else chosen
        actions = winner.people[number].actions
        # How somebody is turned is no judgment: whoever said it, newest first, and first of all whose people count.
        marks = next((found for one in (chosen, *reversed(same)) if (found := one.people[number].marks)), ())
        state.people[number] = Person(person.boxes, actions, person.excluded, person.reason, marks)


def _in_words(judgment: Judgment, part: str, person: int | None) -> str:
    if part == "decision":
        return "keep" if judgment.keep else f"drop ({judgment.reason})"
    if part == "people":
        people = [f"{number}{' (excluded)' * one.excluded}" for number, one in sorted(judgment.people.items())]
        return f"people {', '.join(people)}" if people else "nobody"
    found = judgment.people.get(person) if person is not None else None
    return " ".join(map(str, sorted(found.actions))) or "none" if found else "none"
