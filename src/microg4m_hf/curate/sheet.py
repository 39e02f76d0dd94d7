"""What an annotation tool sees of a clip: its people with boxes and actions, and its texts."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..clip_ids import split_clip_id
from ..errors import DataError, shorten
from ..taxonomy import ACTION_IDS
from .reviews import Box, Judgment, Person, next_person_id

CLIP_FRAMES = 90
FPS = 30
MAX_BYTES = 256 << 20  # of a file of an annotation tool
MAX_PERSON = 999_999
MAX_FRAME = 32_767
# Tools write coordinates with two decimals or as percentages; nobody moves a box by less.
TOLERANCE = 0.011  # pixels
_ACTIONS = frozenset(ACTION_IDS)

Change = tuple[str, str, dict[str, Any]]  # clip, kind of event, fields of the event


@dataclass
class ClipSheet:
    """A clip as an annotation tool shows it. Texts are None for a tool that has no place for them."""

    video_id: str
    width: int
    height: int
    people: dict[int, Person]
    caption: str | None = None
    questions: list[dict[str, str]] | None = None

    @property
    def frames(self) -> int:
        """The number of frames: 90, or more if boxes need them."""
        return max([CLIP_FRAMES, *(box.frame for one in self.people.values() for box in one.boxes)])


class SheetReader:
    """Collect the people of a clip while a file is read. Every value is checked; an error names file and value.

    Args:
        file: The file, for messages.
        video_id: The name of the clip.
    """

    def __init__(self, file: Path, video_id: str) -> None:
        self.file, self.video_id = file, clip_name(video_id, file)
        self.people: dict[int, Person] = {}
        self._unnamed: list[Person] = []

    def fault(self, problem: str, value: object = None, hint: str = "") -> DataError:
        """Return the error about a value of this file."""
        hint = hint or "correct it in the tool, and export it again"
        return DataError(f"clip {self.video_id}: {problem}", file=self.file, value=value, hint=hint)

    def box(self, frame: int, corners: Sequence[float]) -> Box:
        """Return a box, or raise a ``DataError``."""
        if not 1 <= frame <= MAX_FRAME:
            raise self.fault(f"a box has no frame from 1 to {MAX_FRAME}", frame)
        if not all(math.isfinite(value) and abs(value) < 1e6 for value in corners):
            raise self.fault(f"a box in frame {frame} has no finite corners", list(corners))
        x1, y1, x2, y2 = corners
        if x1 >= x2 or y1 >= y2:
            raise self.fault(f"a box in frame {frame} has swapped corners or no area", list(corners))
        return Box(frame, x1, y1, x2, y2)

    def actions(self, values: Iterable[Any]) -> frozenset[int]:
        """Return the action ids, given as numbers, or as names that begin with one, such as ``"12 stand"``."""
        found = set()
        for value in values:
            word = str(value).split(maxsplit=1)[0] if str(value).split() else ""
            if not word.isdecimal() or not word.isascii() or len(word) > 3 or int(word) not in _ACTIONS:
                raise self.fault("not one of the 50 action ids", value)
            found.add(int(word))
        return frozenset(found)

    def add(self, number: str | int | None, person: Person) -> None:
        """Add a person. One without an id, or with an id that is taken already, gets a new id at the end."""
        frames = [box.frame for box in person.boxes]
        if len(set(frames)) != len(frames):
            raise self.fault("a person has two boxes in one frame", number)
        person.boxes.sort()
        if not person.boxes:
            return
        text = str(number if number is not None else "").strip()
        if text and not (text.isdecimal() and text.isascii() and len(text) < 7):
            raise self.fault(f"person_id is not a number from 0 to {MAX_PERSON}", number)
        if not text or int(text) in self.people:
            self._unnamed.append(person)
        else:
            self.people[int(text)] = person

    def finish(self, known: Iterable[int] = ()) -> dict[int, Person]:
        """Return the people; new ones get ids that are neither in the file nor in ``known``."""
        taken = {*self.people, *known}
        for person in self._unnamed:
            number = next_person_id(taken)
            taken.add(number)
            self.people[number] = person
        self._unnamed = []
        return dict(sorted(self.people.items()))


def clip_name(video_id: object, file: Path) -> str:
    """Return the name of a clip in a file of a tool, or raise a ``DataError``."""
    name = str(video_id)
    try:
        split_clip_id(name)
    except DataError:
        raise DataError(
            "the file names no clip", file=file, value=name, hint="name the task, or the file, after its clip"
        ) from None
    return name


def read_bounded(path: Path) -> bytes:
    """Return the content of a file of a tool, or raise a ``DataError``."""
    try:
        if path.stat().st_size > MAX_BYTES:
            raise DataError(
                f"the file is larger than {MAX_BYTES >> 20} MiB", file=path, hint="export fewer clips at once"
            )
        return path.read_bytes()
    except OSError as error:
        raise DataError(
            f"the file cannot be read ({error.strerror or error})", file=path, hint="check the path"
        ) from None


def read_json(path: Path) -> Any:
    """Return the content of a JSON file of a tool, or raise a ``DataError``."""

    def refuse(name: str) -> float:
        raise ValueError(f"{name} is not JSON")

    try:
        return json.loads(read_bounded(path), parse_constant=refuse)
    except (ValueError, RecursionError) as error:
        problem = f"the file is not valid JSON ({shorten(str(error), 80)})"
        raise DataError(problem, file=path, hint="export it again") from None


def changes(sheet: ClipSheet, judgment: Judgment, texts: Mapping[str, Any]) -> list[Change]:
    """Return the events that turn a reviewer's judgment into what a sheet shows; none if it shows the same.

    Args:
        sheet: The clip as the tool left it.
        judgment: What the reviewer thinks so far.
        texts: ``caption`` and ``questions`` so far.
    """
    found: list[Change] = []
    for number, person in sheet.people.items():
        before = judgment.people.get(number, Person([]))
        boxes = _kept_where_equal(person.boxes, judgment)
        if boxes != before.boxes:
            rows = [[box.frame, *box.corners] for box in boxes]
            found.append((sheet.video_id, "track", {"person": number, "boxes": rows}))
        if person.actions != before.actions:
            found.append((sheet.video_id, "actions", {"person": number, "actions": sorted(person.actions)}))
        if person.excluded and not before.excluded:
            found.append((sheet.video_id, "exclude", {"person": number, "reason": person.reason}))
        elif before.excluded and not person.excluded:
            found.append((sheet.video_id, "include", {"person": number}))
    gone = [number for number in judgment.people if number not in sheet.people]
    found += [(sheet.video_id, "delete", {"person": number}) for number in gone]
    if sheet.caption is not None and sheet.caption != (texts.get("caption") or ""):
        found.append((sheet.video_id, "caption", {"text": sheet.caption}))
    if sheet.questions is not None and sheet.questions != (texts.get("questions") or []):
        found.append((sheet.video_id, "questions", {"pairs": sheet.questions}))
    return found


def _kept_where_equal(boxes: Iterable[Box], judgment: Judgment) -> list[Box]:
    """Replace boxes that only the rounding of the tool moved by those that it was given."""
    known: dict[int, list[Box]] = {}
    for person in judgment.people.values():
        for box in person.boxes:
            known.setdefault(box.frame, []).append(box)

    def distance(one: Box, other: Box) -> float:
        return max(abs(a - b) for a, b in zip(one.corners, other.corners, strict=True))

    kept = []
    for box in boxes:
        nearest = min(known.get(box.frame, []), key=lambda one: distance(box, one), default=None)
        kept.append(nearest if nearest is not None and distance(box, nearest) <= TOLERANCE else box)
    return kept
