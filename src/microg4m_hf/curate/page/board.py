"""What the review page knows and does: the states of the clips, the queue of each reviewer, and what each key does."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ...errors import MicroG4MError, RecipeError
from ...taxonomy import ACTION_IDS
from ..action_proposals import read_proposals
from ..angles import Angle, find_angles, read_detected
from ..drafting import Drafts, clip_drafts, read_text_records
from ..review_log import Event, ReviewLog, ReviewReader, check_reviewer
from ..reviews import (
    Judgment,
    Person,
    ReviewedClip,
    active_events,
    check_rule,
    decisions,
    fold_clip,
    fold_judgment,
    next_person_id,
    read_tracks,
    tracks_digest,
)
from ..verdicts import NOT_JUDGED, Verdict, judge_clips
from ..work import Work

# The lists that a reviewer can walk through.
LISTS = ("to review", "kept by the filter", "dropped by the filter", "disputed")
_HELD = 600.0  # seconds for which a clip that another reviewer has open is not offered


@dataclass
class ClipView:
    """What the page shows of a clip to one reviewer."""

    state: ReviewedClip
    mine: Judgment
    verdict: Verdict
    size: tuple[int, int]
    drafts: Drafts
    proposals: Mapping[int, list[tuple[int, float]]]  # of each person: action ids with scores, best first
    caption: str | None
    questions: list[dict[str, str]] | None
    angles: Mapping[int, Mapping[int, Angle]]  # of each person: angles by frame


class ReviewBoard:
    """The clips of a work folder and the reviews of all reviewers; safe to use from several threads.

    Args:
        work: The work folder.
        rule: How judgments of several reviewers become one, see :func:`microg4m_hf.curate.reviewed_state`.
        overlap: The share of the clips that every reviewer gets, to measure agreement; the others are reviewed once.
    """

    def __init__(self, work: Work, *, rule: str = "unanimous", overlap: float = 0.1) -> None:
        if not 0 <= overlap <= 1:
            raise RecipeError(f"overlap is {overlap:g}; give a share of the clips from 0 to 1")
        self.work, self.rule, self.overlap = work, check_rule(rule), overlap
        self.verdicts = {name: one for name, one in sorted(judge_clips(work).items()) if one.reason != NOT_JUDGED}
        self.paths = {clip.video_id: clip.path for clip in work.clips()}
        self.sizes = {clip.video_id: (clip.width, clip.height) for clip in work.clips()}
        self.text_records = read_text_records(work.folder)
        self.proposals = read_proposals(work.folder)
        self._reader = ReviewReader(work.folder)
        self._events: dict[str, list[Event]] = {}
        self._open: dict[str, tuple[str, float]] = {}  # clip -> who looks at it, and since when
        self._states: dict[str, ReviewedClip] = {}
        self._decisions: dict[str, dict[str, bool]] = {}
        self._seen: dict[str, str] = {}  # clip -> the digest of the tracks that are shown
        self._lock = threading.RLock()

    def refresh(self) -> None:
        """Read what this and other processes have added to the logs."""
        with self._lock:
            for event in self._reader.refresh():
                events = self._events.setdefault(event.clip, [])
                events.append(event)
                events.sort(key=lambda one: one.time)
                self._states.pop(event.clip, None)
                self._decisions.pop(event.clip, None)

    def state(self, video_id: str) -> ReviewedClip:
        """Return the state of a clip after all reviews."""
        with self._lock:
            if video_id not in self._states:
                tracks, events = read_tracks(self.work.folder, video_id), self._events.get(video_id, [])
                self._seen[video_id] = tracks.digest
                self._states[video_id] = fold_clip(
                    video_id, tracks.people, events, rule=self.rule, digest=tracks.digest
                )
            return self._states[video_id]

    def view(self, video_id: str, reviewer: str) -> ClipView:
        """Return what the page shows of a clip, and note that this reviewer looks at it."""
        with self._lock:
            self._open[video_id] = reviewer, time.monotonic()
            state = self.state(video_id)
            mine = state.judgments.get(reviewer)
            if mine is None:
                mine = fold_judgment(reviewer, read_tracks(self.work.folder, video_id).people, [])
            drafts = self.drafts(video_id)
            proposals = self.proposals.get(video_id, {})
            detected = read_detected(self.work, video_id)
            angles = {number: find_angles(one.boxes, one.marks, detected) for number, one in mine.people.items()}
            return ClipView(
                state, mine, self.verdicts[video_id], self.sizes[video_id], drafts, proposals, state.caption,
                state.questions, angles,
            )  # fmt: skip

    def drafts(self, video_id: str) -> Drafts:
        """Return what the model proposes for a clip and its caption as it is now."""
        return clip_drafts(video_id, self.text_records, self._events.get(video_id, []))

    def clips_of(self, name: str, reviewer: str) -> list[str]:
        """Return the clips of one of :data:`LISTS`."""
        self.refresh()
        if name == "dropped by the filter":
            return [clip for clip, one in self.verdicts.items() if not one.kept]
        kept = [clip for clip, one in self.verdicts.items() if one.kept]
        if name == "disputed":
            return [clip for clip in self.verdicts if self._is_disputed(clip)]
        return [clip for clip in kept if self._is_open(clip, reviewer)] if name == "to review" else kept

    def _decided(self, video_id: str) -> dict[str, bool]:
        """Who decided about a clip, and how. Its tracks are not read for that."""
        if video_id not in self._events:
            return {}
        if video_id not in self._decisions:
            digest = tracks_digest(self.work.folder, video_id)
            self._decisions[video_id] = decisions(self._events[video_id], digest)
        return self._decisions[video_id]

    def _is_disputed(self, video_id: str) -> bool:
        return len(self._decided(video_id)) > 1 and self.state(video_id).status == "disputed"

    def _is_open(self, video_id: str, reviewer: str) -> bool:
        """Whether this reviewer should review a clip: nobody did, or everybody should and this one did not."""
        decided = self._decided(video_id)
        share = int.from_bytes(hashlib.sha256(video_id.encode()).digest()[:4], "big") / 2**32
        return not decided or (share < self.overlap and reviewer not in decided)

    def next_clip(self, reviewer: str, after: str | None = None) -> str | None:
        """Return the next clip to review, behind ``after`` if there is one; None when nothing is left.

        Clips that others have open come last.
        """
        waiting = self.clips_of("to review", reviewer)
        waiting = [clip for clip in waiting if clip != after]
        now = time.monotonic()

        def rank(video_id: str) -> tuple[bool, bool]:
            who, since = self._open.get(video_id, (reviewer, now))
            return who != reviewer and now - since < _HELD, after is not None and video_id < after

        return min(waiting, key=lambda clip: (*rank(clip), clip), default=None)

    def counts(self, reviewer: str) -> dict[str, int]:
        """Return how many clips the filter kept, this reviewer finished and has left, and how many are disputed."""
        kept = self.clips_of("kept by the filter", reviewer)
        return {
            "kept": len(kept),
            "mine": sum(reviewer in self._decided(clip) for clip in self.verdicts),
            "left": len(self.clips_of("to review", reviewer)),
            "disputed": len(self.clips_of("disputed", reviewer)),
        }

    def do(self, reviewer: str, video_id: str, message: Mapping[str, Any]) -> str:
        """Do what a reviewer asks for, write it to the log, and return a sentence about it.

        Args:
            reviewer: The name of the reviewer.
            video_id: The clip.
            message: ``do`` and further fields, as the page sends them; every value is checked.

        Returns:
            What was done. A sentence that begins with ``!`` says why nothing was.
        """
        try:
            check_reviewer(reviewer)
            if video_id not in self.verdicts:
                return "! This work folder has no such clip."
            with self._lock:
                self.refresh()
                act = _ACTS.get(str(message.get("do")))
                if act is None:
                    return "! The page asks for something that does not exist; load it again."
                said = act(self, reviewer, video_id, message)
                self.refresh()
                return said
        except MicroG4MError as error:
            return f"! {' '.join(str(error).split())}"
        except (LookupError, TypeError, ValueError, AttributeError):
            return "! The page sent something invalid; load it again."
        except OSError as error:  # a full disk
            return f"! Nothing was saved: {error.strerror or error}. Free some space and press the key again."

    def write(self, reviewer: str, video_id: str, do: str, **values: Any) -> Event:
        """Append one event."""
        tracks = self._seen.get(video_id, "")
        return ReviewLog(self.work.folder, reviewer).append(video_id, do, tracks=tracks, **values)

    def mine(self, reviewer: str, video_id: str) -> Judgment:
        """Return what a reviewer thinks of a clip."""
        return self.view(video_id, reviewer).mine

    def own_events(self, reviewer: str) -> list[Event]:
        """Return the events of one reviewer, oldest first."""
        return [event for event in self._reader.events if event.reviewer == reviewer]


def _keep(board: ReviewBoard, reviewer: str, video_id: str, message: Mapping[str, Any]) -> str:
    people = board.mine(reviewer, video_id).people
    judged = {number: one for number, one in people.items() if one.boxes and not one.excluded}
    if not judged:
        return "! Nobody is left in this clip: drop it (d), or undo (u)."
    without = [str(number) for number, one in judged.items() if not one.actions]
    if without:
        return f"! Person {', '.join(without)} has no action yet: give one (1–0, a), exclude (e) or delete (x)."
    board.write(reviewer, video_id, "keep", reason="")
    return f"{video_id} is kept."


def _drop(board: ReviewBoard, reviewer: str, video_id: str, message: Mapping[str, Any]) -> str:
    board.write(reviewer, video_id, "drop", reason=str(message["reason"]).strip())
    return f"{video_id} is dropped: {message['reason']}."


def _person(board: ReviewBoard, reviewer: str, video_id: str, message: Mapping[str, Any]) -> tuple[int, Person]:
    number = int(message["person"])
    return number, board.mine(reviewer, video_id).people[number]


def _toggle(board: ReviewBoard, reviewer: str, video_id: str, message: Mapping[str, Any]) -> str:
    number, person = _person(board, reviewer, video_id, message)
    action = int(message["action"])
    if action not in ACTION_IDS:
        return "! There is no such action."
    board.write(reviewer, video_id, "actions", person=number, actions=sorted(person.actions ^ {action}))
    return ""


def _merge(board: ReviewBoard, reviewer: str, video_id: str, message: Mapping[str, Any]) -> str:
    number, _ = _person(board, reviewer, video_id, message)
    target = int(message["into"])
    if target == number or target not in board.mine(reviewer, video_id).people:
        return "! Merge with another person of this clip."
    board.write(reviewer, video_id, "merge", person=number, into=target)
    return f"Person {number} is now part of person {target}."


def _split(board: ReviewBoard, reviewer: str, video_id: str, message: Mapping[str, Any]) -> str:
    number, person = _person(board, reviewer, video_id, message)
    frame = int(message["frame"])
    if not person.boxes or not person.boxes[0].frame < frame <= person.boxes[-1].frame:
        first, last = (person.boxes[0].frame + 1, person.boxes[-1].frame) if person.boxes else (0, 0)
        return f"! Go to the first frame of the other person, from {first} to {last}, and split there."
    # An id that no person of this clip has had, so that an undone event never means somebody else.
    used = {*read_tracks(board.work.folder, video_id).people, *board.mine(reviewer, video_id).people}
    used |= {
        event.values["new"] for event in board.own_events(reviewer) if event.clip == video_id and event.do == "split"
    }
    new = next_person_id(used)
    board.write(reviewer, video_id, "split", person=number, frame=frame, new=new)
    return f"From frame {frame} on, person {number} is person {new}."


def _delete(board: ReviewBoard, reviewer: str, video_id: str, message: Mapping[str, Any]) -> str:
    number, _ = _person(board, reviewer, video_id, message)
    board.write(reviewer, video_id, "delete", person=number)
    return f"Person {number} is deleted."


def _exclude(board: ReviewBoard, reviewer: str, video_id: str, message: Mapping[str, Any]) -> str:
    number, person = _person(board, reviewer, video_id, message)
    if person.excluded:
        board.write(reviewer, video_id, "include", person=number)
        return f"Person {number} is included again."
    board.write(reviewer, video_id, "exclude", person=number, reason=str(message.get("reason", "")))
    return f"Person {number} is excluded."


def _angle(board: ReviewBoard, reviewer: str, video_id: str, message: Mapping[str, Any]) -> str:
    number, _ = _person(board, reviewer, video_id, message)
    frame, degrees = int(message["frame"]), message["degrees"]
    board.write(reviewer, video_id, "angle", person=number, frame=frame, degrees=degrees)
    if degrees is None:
        return f"From frame {frame} on, nobody can tell how person {number} is turned."
    return f"From frame {frame} on, the head of person {number} points to {degrees:g}°."


def _caption(board: ReviewBoard, reviewer: str, video_id: str, message: Mapping[str, Any]) -> str:
    text = " ".join(str(message["text"]).split())
    if text == (board.state(video_id).caption or ""):
        return ""
    board.write(reviewer, video_id, "caption", text=text)
    return "The caption is saved." if text else "The caption is removed."


def _questions(board: ReviewBoard, reviewer: str, video_id: str, message: Mapping[str, Any]) -> str:
    pairs = []
    for block in str(message["text"]).replace("\r", "").split("\n\n"):
        question, _, answer = block.strip().partition("\n")
        if question and not answer.strip():
            return f"! The question “{question[:60]}” has no answer on the next line."
        if question:
            pairs.append({"Q": " ".join(question.split()), "A": " ".join(answer.split())})
    if pairs == (board.state(video_id).questions or []):
        return ""
    board.write(reviewer, video_id, "questions", pairs=pairs)
    return f"{len(pairs)} questions are saved."


def _accept(board: ReviewBoard, reviewer: str, video_id: str, message: Mapping[str, Any]) -> str:
    """Accept what the model proposes: a refined caption, the draft where there is none, then the questions."""
    state, drafts = board.state(video_id), board.drafts(video_id)
    proposed = drafts.refined or (None if state.caption else drafts.caption)
    if proposed and proposed != state.caption:
        board.write(reviewer, video_id, "caption", text=proposed)
        return "The proposed caption is accepted."
    if drafts.questions and not state.questions:
        board.write(reviewer, video_id, "questions", pairs=drafts.questions)
        return "The proposed questions are accepted."
    return "! There is no proposal to accept; the model proposes texts with `microg4m curate texts`."


def _undo(board: ReviewBoard, reviewer: str, video_id: str, message: Mapping[str, Any]) -> str:
    """Undo the newest event of this reviewer that still counts, in whatever clip."""
    active = active_events(board.own_events(reviewer))
    if not active:
        return "! There is nothing to undo."
    event = active[-1]
    board.write(reviewer, event.clip, "undo", event=event.id)
    return f"Undone in {event.clip}: {event.do}."


def _redo(board: ReviewBoard, reviewer: str, video_id: str, message: Mapping[str, Any]) -> str:
    """Undo an undo, as long as nothing else was done since."""
    events = board.own_events(reviewer)
    undone = {event.values["event"] for event in events if event.do == "undo"}
    kinds = {event.id: event for event in events}
    for event in reversed(events):
        if event.do != "undo":
            break
        target = kinds.get(event.values["event"])
        if event.id not in undone and target is not None and target.do != "undo":
            board.write(reviewer, event.clip, "undo", event=event.id)
            return f"Restored in {event.clip}: {target.do}."
    return "! There is nothing to restore."


def _adjudicate(board: ReviewBoard, reviewer: str, video_id: str, message: Mapping[str, Any]) -> str:
    person = message.get("person")
    part, take = str(message["part"]), check_reviewer(str(message["take"]))
    board.write(reviewer, video_id, "adjudicate", part=part, person=None if person is None else int(person), take=take)
    return f"The {part} of {take} count."


_Act = Callable[[ReviewBoard, str, str, Mapping[str, Any]], str]
_ACTS: dict[str, _Act] = {
    "keep": _keep,
    "drop": _drop,
    "toggle": _toggle,
    "merge": _merge,
    "split": _split,
    "delete": _delete,
    "exclude": _exclude,
    "angle": _angle,
    "caption": _caption,
    "questions": _questions,
    "accept": _accept,
    "undo": _undo,
    "redo": _redo,
    "adjudicate": _adjudicate,
}
