"""The log of a review: one JSON line per event, appended and on the disk before the page says so.

Each reviewer has a file ``review/<name>.jsonl`` in the work folder. Nothing in it is ever changed: undoing is an event
too. A line that a crash cut off is ignored, and the next event begins on a line of its own.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from filelock import FileLock

from ..clip_ids import split_clip_id
from ..errors import DataError, RecipeError, shorten
from ..taxonomy import ACTION_IDS

FOLDER = "review"
MAX_TEXT = 20_000  # characters of a caption, a question, an answer or a reason
MAX_QUESTIONS = 50
_REVIEWER = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,39}")
_MAX_LINE = 1 << 24  # characters of an event
_ACTIONS = frozenset(ACTION_IDS)


@dataclass(frozen=True)
class Event:
    """One thing that a reviewer did. ``values`` has the fields of :data:`EVENTS` for ``do``.

    ``tracks`` is the digest of the tracks that the reviewer saw, empty if that is not known.
    """

    id: str
    time: float  # seconds since 1970
    reviewer: str
    clip: str
    do: str
    values: Mapping[str, Any]
    tracks: str = ""


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip()) and len(value) <= MAX_TEXT and _is_unicode(value)


def _is_unicode(text: str) -> bool:
    return not any("\ud800" <= letter <= "\udfff" for letter in text)


def _is_reason(value: Any) -> bool:
    return value == "" or _is_text(value)


def _is_number(value: Any) -> bool:
    return type(value) is int and 0 <= value < 1_000_000


def _are_actions(value: Any) -> bool:
    return isinstance(value, list) and all(type(one) is int and one in _ACTIONS for one in value)


def _are_questions(value: Any) -> bool:
    if not isinstance(value, list) or len(value) > MAX_QUESTIONS:
        return False
    return all(isinstance(one, dict) and set(one) == {"Q", "A"} and all(map(_is_text, one.values())) for one in value)


def _is_reviewer(value: Any) -> bool:
    return isinstance(value, str) and _REVIEWER.fullmatch(value) is not None


def _is_part(value: Any) -> bool:
    return value in ("decision", "people", "actions")


# What a reviewer can do: the fields of each kind of event, and what each field must be.
EVENTS: dict[str, dict[str, Callable[[Any], bool]]] = {
    "keep": {"reason": _is_reason},
    "drop": {"reason": _is_text},
    "merge": {"person": _is_number, "into": _is_number},
    "split": {"person": _is_number, "frame": _is_number, "new": _is_number},
    "delete": {"person": _is_number},  # the boxes are no person
    "exclude": {"person": _is_number, "reason": _is_reason},  # a person whom nobody can judge; boxes stay in exports
    "include": {"person": _is_number},
    "track": {"person": _is_number, "boxes": lambda value: _are_boxes(value)},  # boxes of an annotation tool
    "actions": {"person": _is_number, "actions": _are_actions},
    "angle": {"person": _is_number, "frame": _is_number, "degrees": lambda value: _is_angle(value)},
    "caption": {"text": _is_reason},
    "questions": {"pairs": _are_questions},
    "undo": {"event": _is_text},
    "adjudicate": {"part": _is_part, "person": lambda value: value is None or _is_number(value), "take": _is_reviewer},
}


def _is_angle(value: Any) -> bool:
    """Whether a value is degrees clockwise to the head of a person, or None where nobody can tell."""
    return value is None or (type(value) in (int, float) and 0 <= value < 360)


def _are_boxes(value: Any) -> bool:
    """Whether a value is a list of ``[frame_id, x1, y1, x2, y2]`` with at most one box per frame."""
    if not isinstance(value, list):
        return False
    for box in value:
        if not (isinstance(box, list) and len(box) == 5 and _is_number(box[0])):
            return False
        if not all(isinstance(one, (int, float)) and abs(one) < 1e6 for one in box[1:]):  # false for nan as well
            return False
        if box[1] >= box[3] or box[2] >= box[4]:
            return False
    return len({box[0] for box in value}) == len(value)


def check_reviewer(name: str) -> str:
    """Return the name of a reviewer, which is also the name of a file.

    Raises:
        RecipeError: The name cannot be one.

    Example:
        >>> check_reviewer("anna")
        'anna'
    """
    if not _is_reviewer(name):
        raise RecipeError(
            f"{shorten(name, 40)} cannot be the name of a reviewer; use up to 40 letters, digits, - and _, such as anna"
        )
    return name


def event_fault(clip: Any, do: Any, values: Mapping[str, Any]) -> str | None:
    """Return what is wrong with an event, ``None`` if nothing is.

    >>> event_fault("ISS_001", "merge", {"person": 1, "into": 2}) is None
    True
    >>> event_fault("ISS_001", "actions", {"person": 1, "actions": [2]})
    'actions of a "actions" event is [2]'
    """
    try:
        split_clip_id(clip if isinstance(clip, str) else "")
    except DataError:
        return f"{shorten(clip, 60)} is not a valid clip name"
    if not isinstance(do, str) or do not in EVENTS:
        return f"{shorten(do, 40)} is not an event; the events are {', '.join(EVENTS)}"
    fields = EVENTS[do]
    if set(values) != set(fields):
        return f'a "{do}" event has the fields {", ".join(sorted(fields))}, given {shorten(sorted(map(str, values)))}'
    wrong = next((name for name, is_valid in fields.items() if not is_valid(values[name])), None)
    return f'{wrong} of a "{do}" event is {shorten(values[wrong], 60)}' if wrong else None


class ReviewLog:
    """Append the events of one reviewer. Any number of processes may write, also under the same name.

    Args:
        work: The work folder.
        reviewer: The name of the reviewer.

    Raises:
        RecipeError: The name cannot be one.

    Example:
        >>> import tempfile
        >>> work = tempfile.mkdtemp()
        >>> event = ReviewLog(work, "anna").append("ISS_001", "drop", reason="no person")
        >>> [(one.reviewer, one.clip, one.do) for one in read_events(work)]
        [('anna', 'ISS_001', 'drop')]
    """

    def __init__(self, work: str | os.PathLike[str], reviewer: str) -> None:
        self.reviewer = check_reviewer(reviewer)
        self.path = Path(work) / FOLDER / f"{reviewer}.jsonl"

    def append(self, clip: str, do: str, *, tracks: str = "", **values: Any) -> Event:
        """Write one event. It is on the disk when this returns.

        Args:
            clip: The name of the clip.
            do: The kind of the event, a key of :data:`EVENTS`.
            tracks: The digest of the tracks that the reviewer sees, see :func:`~.reviews.tracks_digest`.
            values: Its fields.

        Returns:
            The event.

        Raises:
            DataError: A field is missing or has an invalid value.
        """
        return self.append_all([(clip, do, values)], tracks)[0]

    def append_all(self, events: Sequence[tuple[str, str, Mapping[str, Any]]], tracks: str = "") -> list[Event]:
        """Write several events, given as clip, kind and fields: all of them, or none if one is invalid."""
        written = []
        for clip, do, values in events:
            fault = event_fault(clip, do, values)
            if fault:
                raise DataError(
                    f"the review of {shorten(clip, 60)} was not changed: {fault}", hint="load the page again"
                )
            # The time is not rounded: events of two reviewers in one millisecond keep their order.
            written.append(Event(secrets.token_hex(8), time.time(), self.reviewer, clip, do, dict(values), tracks))
        about = {"tracks": tracks} if tracks else {}
        lines = [
            json.dumps({"id": one.id, "time": one.time, "clip": one.clip, "do": one.do, **about, **one.values}) + "\n"
            for one in written
        ]
        for one, line in zip(written, lines, strict=True):
            if len(line) > _MAX_LINE:
                raise DataError(
                    f"the review of {shorten(one.clip, 60)} was not changed: one event has {len(line):,} characters, "
                    f"more than {_MAX_LINE:,}",
                    hint="use fewer boxes or shorter texts",
                )
        text = "".join(lines)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(self.path.with_name(f".{self.reviewer}.lock")), self.path.open("ab+", 0) as file:
            size = file.seek(0, os.SEEK_END)
            if size and os.pread(file.fileno(), 1, size - 1) != b"\n":
                text = "\n" + text  # a crash cut the last line off
            # Without a buffer, which would be written once more when the file is closed.
            rest = memoryview(text.encode())
            try:
                while rest:
                    rest = rest[file.write(rest) :]
                os.fsync(file.fileno())
            except OSError:
                os.truncate(self.path, size)  # a full disk: what was not acknowledged is not there
                raise
        return written


class ReviewReader:
    """Read the events of all reviewers; reading again costs only what was added.

    Args:
        work: The work folder.
    """

    def __init__(self, work: str | os.PathLike[str]) -> None:
        self.folder = Path(work) / FOLDER
        self._places: dict[Path, int] = {}
        self._lines: dict[Path, int] = {}
        self._times: dict[Path, float] = {}
        self.events: list[Event] = []
        self.faults: list[str] = []  # lines that are no events, with file and line

    def refresh(self) -> list[Event]:
        """Return what was added since the last call, in the order of each file."""
        added = [event for path in sorted(self.folder.glob("*.jsonl")) for event in self._read(path)]
        if added:
            self.events.extend(added)
            self.events.sort(key=lambda event: event.time)  # stable: a file keeps its order within a moment
        return added

    def _read(self, path: Path) -> Iterator[Event]:
        if not _is_reviewer(path.stem):
            if path not in self._places:
                self._places[path] = 0
                self.faults.append(f"{path}: the name of the file cannot be the name of a reviewer")
            return
        with path.open("rb") as file:
            file.seek(self._places.get(path, 0))
            for line in file:
                if not line.endswith(b"\n"):
                    return  # being written, or cut off by a crash
                self._places[path] = file.tell()
                self._lines[path] = self._lines.get(path, 0) + 1
                event = _parse(line, path.stem)
                if isinstance(event, Event):
                    # A clock that is set back does not change the order of a file.
                    self._times[path] = max(event.time, self._times.get(path, 0.0))
                    yield replace(event, time=self._times[path])
                elif event:
                    self.faults.append(f"{path}, line {self._lines[path]}: {event}")


def read_events(work: str | os.PathLike[str]) -> list[Event]:
    """Return the events of all reviewers in the order of time.

    Args:
        work: The work folder.

    Returns:
        The valid events. Lines that are none are left out; :class:`ReviewReader` lists them.
    """
    reader = ReviewReader(work)
    reader.refresh()
    return reader.events


def _parse(line: bytes, reviewer: str) -> Event | str:
    """Return an event, or why a line is none; an empty text for a line that a crash cut off."""
    if not line.strip():
        return ""
    try:
        record = json.loads(line) if len(line) <= _MAX_LINE else None
    except (ValueError, RecursionError):
        return "the line is not valid JSON, as after a crash; what was not complete was not confirmed either"
    if not isinstance(record, dict):
        return f"the line is not an object, or longer than {_MAX_LINE:,} characters"
    values = dict(record)
    name, when, clip, do = (values.pop(field, None) for field in ("id", "time", "clip", "do"))
    if not _is_text(name) or not isinstance(when, (int, float)) or not 0 <= when < 1e12:
        return "the event has no id or no time"
    tracks = values.pop("tracks", "")
    if not isinstance(tracks, str) or len(tracks) > 64:
        return "the digest of the tracks is not a short text"
    fault = event_fault(clip, do, values)
    return fault or Event(name, float(when), reviewer, clip, do, values, tracks)
