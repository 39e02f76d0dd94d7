"""Write and read Label Studio's JSON: one file for all clips, frames numbered from 1, places in percent."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from ..errors import DataError
from ..taxonomy import ACTIONS
from ..visible import escape_html
from .reviews import Box, Person
from .sheet import FPS, ClipSheet, SheetReader, read_json

_NAMES = {action.action_id: f"{action.action_id} {action.name}" for action in ACTIONS}
_EXCLUDED = "excluded"


def labeling_config() -> str:
    """Return the labeling interface of the project, to paste into Label Studio.

    >>> 'VideoRectangle name="box"' in labeling_config()
    True
    """
    choices = "".join(f'    <Choice value="{escape_html(name)}"/>\n' for name in _NAMES.values())
    return (
        "<View>\n"
        '  <Labels name="label" toName="video"><Label value="person"/></Labels>\n'
        f'  <Video name="video" value="$video" frameRate="{FPS}"/>\n'
        '  <VideoRectangle name="box" toName="video"/>\n'
        '  <Number name="person_id" toName="video" perRegion="true"/>\n'
        f'  <Choices name="actions" toName="video" choice="multiple" perRegion="true">\n{choices}  </Choices>\n'
        f'  <Choices name="status" toName="video" perRegion="true"><Choice value="{_EXCLUDED}"/></Choices>\n'
        '  <TextArea name="reason" toName="video" perRegion="true"/>\n'
        '  <TextArea name="caption" toName="video" maxSubmissions="1" editable="true"/>\n'
        '  <TextArea name="questions" toName="video" editable="true" placeholder="question, new line, answer"/>\n'
        "</View>\n"
    )


def write_label_studio(sheets: Iterable[ClipSheet], videos: str = "") -> str:
    """Return the tasks with their annotations as JSON.

    Args:
        sheets: The clips.
        videos: What to put before ``<video_id>.mp4`` to reach a clip from Label Studio, such as
            ``/data/local-files/?d=clips/``.

    Example:
        >>> sheet = ClipSheet("ISS_001", 640, 480, {3: Person([Box(1, 0, 0, 64, 48)], frozenset({12}))})
        >>> [one["type"] for one in json.loads(write_label_studio([sheet]))[0]["annotations"][0]["result"]]
        ['videorectangle', 'number', 'choices']
    """
    tasks = [
        {
            "data": {"video": f"{videos}{sheet.video_id}.mp4", "video_id": sheet.video_id},
            "annotations": [{"result": _results(sheet)}],
        }
        for sheet in sheets
    ]
    return json.dumps(tasks, ensure_ascii=False, indent=1) + "\n"


def _results(sheet: ClipSheet) -> list[dict[str, Any]]:
    found = []

    def add(kind: str, name: str, value: dict[str, Any], region: str | None = None) -> None:
        size = {"original_width": sheet.width, "original_height": sheet.height} if kind == "videorectangle" else {}
        one = {"type": kind, "from_name": name, "to_name": "video", "value": value} | size
        found.append({"id": region or f"{sheet.video_id}-{name}", **one})

    for number, person in sheet.people.items():
        region = f"{sheet.video_id}-{number}"
        sequence = []
        for place, box in enumerate(person.boxes):
            follows = place + 1 < len(person.boxes) and person.boxes[place + 1].frame == box.frame + 1
            sequence.append(
                {
                    "frame": box.frame,
                    "time": round((box.frame - 1) / FPS, 6),
                    "enabled": follows,  # whether Label Studio draws the box on until the next one
                    "rotation": 0,
                    "x": 100 * box.x1 / sheet.width,
                    "y": 100 * box.y1 / sheet.height,
                    "width": 100 * (box.x2 - box.x1) / sheet.width,
                    "height": 100 * (box.y2 - box.y1) / sheet.height,
                }
            )
        value = {"framesCount": sheet.frames, "duration": sheet.frames / FPS, "sequence": sequence}
        add("videorectangle", "box", value | {"labels": ["person"]}, region)
        add("number", "person_id", {"number": number}, region)
        if person.actions:
            add("choices", "actions", {"choices": [_NAMES[one] for one in sorted(person.actions)]}, region)
        if person.excluded:
            add("choices", "status", {"choices": [_EXCLUDED]}, region)
            if person.reason:
                add("textarea", "reason", {"text": [person.reason]}, region)
    if sheet.caption:
        add("textarea", "caption", {"text": [sheet.caption]})
    if sheet.questions:
        add("textarea", "questions", {"text": [f"{one['Q']}\n{one['A']}" for one in sheet.questions]})
    return found


def read_label_studio(path: Path, size_of: Callable[[str], tuple[int, int]]) -> list[ClipSheet]:
    """Read the tasks that Label Studio exported as JSON. A task with several annotations counts by its last one.

    Args:
        path: The JSON file.
        size_of: Gives width and height of the frames of a clip, which turn percentages into pixels; zeros for a clip
            that is not known.

    Raises:
        DataError: The file is not valid.
    """
    tasks = read_json(path)
    if not isinstance(tasks, list):
        raise DataError('the file is not a list of tasks; export it as "JSON"', file=path)
    return [sheet for task in tasks if (sheet := _read_task(path, task, size_of)) is not None]


def _read_task(path: Path, task: Any, size_of: Callable[[str], tuple[int, int]]) -> ClipSheet | None:
    try:
        data, annotations = task["data"], task["annotations"]
        name = data.get("video_id") or str(data["video"]).rsplit("/", 1)[-1].rsplit("=", 1)[-1].removesuffix(".mp4")
        reader = SheetReader(path, name)
        size = size_of(reader.video_id)
        if not all(size):
            raise reader.fault(
                "the work folder has no tracks of this clip", hint="name the work folder that was exported"
            )
        if not annotations:
            return None
        regions: dict[str, dict[str, Any]] = {}
        texts: dict[str, list[str]] = {"caption": [], "questions": []}
        for one in annotations[-1]["result"]:
            kind, value = one["from_name"], one["value"]
            if kind in texts:
                texts[kind] += [str(text) for text in value["text"]]
            else:
                regions.setdefault(str(one["id"]), {})[kind] = value
        for fields in regions.values():
            if "box" in fields:
                _read_region(reader, fields, *size)
    except (LookupError, TypeError, AttributeError, ValueError, OverflowError) as error:
        if isinstance(error, DataError):
            raise
        what = f"a task cannot be read ({type(error).__name__}: {str(error)[:80]})"
        raise DataError(what, file=path, hint='export it as "JSON", not "JSON-MIN"') from None
    questions = []
    for text in texts["questions"]:
        question, newline, answer = text.strip().partition("\n")
        if not newline or not question.strip() or not answer.strip():
            raise reader.fault("a question is not followed by its answer on the next line", text)
        questions.append({"Q": question.strip(), "A": answer.strip()})
    caption = "\n".join(texts["caption"]).strip()
    return ClipSheet(reader.video_id, *size, reader.finish(), caption, questions)


def _read_region(reader: SheetReader, fields: dict[str, Any], width: int, height: int) -> None:
    boxes = []
    sequence = sorted(fields["box"]["sequence"], key=lambda one: int(one["frame"]))
    for place, one in enumerate(sequence):
        if one.get("rotation"):
            raise reader.fault("a box is rotated", one["rotation"], "draw it upright, and export it again")
        box = _to_pixels(reader, one, width, height)
        boxes.append(box)
        after = sequence[place + 1] if place + 1 < len(sequence) else None
        if after is not None and one.get("enabled", True) and int(after["frame"]) > box.frame + 1:
            boxes += _between(box, _to_pixels(reader, after, width, height))  # Label Studio stores key frames only
    actions = reader.actions(fields.get("actions", {}).get("choices", []))
    excluded = _EXCLUDED in fields.get("status", {}).get("choices", [])
    reason = "\n".join(map(str, fields.get("reason", {}).get("text", []))) if excluded else ""
    number = fields.get("person_id", {}).get("number")
    if isinstance(number, float) and number.is_integer():
        number = int(number)
    reader.add(number, Person(boxes, actions, excluded, reason))


def _to_pixels(reader: SheetReader, one: dict[str, Any], width: int, height: int) -> Box:
    x, y, across, down = (float(one[side]) / 100 for side in ("x", "y", "width", "height"))
    return reader.box(int(one["frame"]), [x * width, y * height, (x + across) * width, (y + down) * height])


def _between(first: Box, last: Box) -> list[Box]:
    """The boxes between two key frames, on a straight line."""
    found = []
    for frame in range(first.frame + 1, last.frame):
        part = (frame - first.frame) / (last.frame - first.frame)
        x1, y1, x2, y2 = (a + part * (b - a) for a, b in zip(first.corners, last.corners, strict=True))
        found.append(Box(frame, x1, y1, x2, y2, interpolated=True))
    return found
