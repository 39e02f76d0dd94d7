"""Write and read "CVAT for video 1.1", the XML of a task of CVAT: one file per clip, frames numbered from 0."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from xml.etree import ElementTree
from xml.parsers import expat

from ..errors import DataError
from ..taxonomy import ACTIONS
from .reviews import Box, Person
from .sheet import ClipSheet, SheetReader, read_bounded

LABEL = "person"
_CORNERS = ("xtl", "ytl", "xbr", "ybr")
_MAX_DEPTH = 16
_EXPORT = 'export it as "CVAT for video 1.1"'
_ATTRIBUTES = {"person_id": "number", "actions": "text", "excluded": "checkbox", "reason": "text"}


def cvat_labels() -> list[dict[str, Any]]:
    """Return the label for the "Raw" tab of CVAT: a person, with id and actions as attributes.

    >>> [one["name"] for one in cvat_labels()[0]["attributes"]]
    ['person_id', 'actions', 'excluded', 'reason']
    """
    rules = {"number": ["0", "999999", "1"], "checkbox": ["false"], "text": [""]}
    attributes = [
        {
            "name": name,
            "input_type": kind,
            "mutable": False,
            "values": rules[kind],
            "default_value": "0" if kind == "number" else rules[kind][0],
        }
        for name, kind in _ATTRIBUTES.items()
    ]
    return [{"name": LABEL, "type": "rectangle", "attributes": attributes}]


def write_cvat(sheet: ClipSheet) -> str:
    """Return the XML of a clip. A box that is outside ends a track wherever a person has none.

    Args:
        sheet: The clip.

    Example:
        >>> sheet = ClipSheet("ISS_001", 640, 480, {3: Person([Box(1, 0.5, 0, 9, 9)], frozenset({12}))})
        >>> text = write_cvat(sheet)
        >>> '<box frame="0" keyframe="1" outside="0"' in text, '<box frame="1" keyframe="1" outside="1"' in text
        (True, True)
    """
    root = ElementTree.Element("annotations")
    _leaf(root, "version", "1.1")
    task = ElementTree.SubElement(ElementTree.SubElement(root, "meta"), "task")
    about = {"name": sheet.video_id, "size": sheet.frames, "mode": "interpolation", "start_frame": 0}
    for name, value in {**about, "stop_frame": sheet.frames - 1}.items():
        _leaf(task, name, value)
    label = ElementTree.SubElement(ElementTree.SubElement(task, "labels"), "label")
    _leaf(label, "name", LABEL)
    attributes = ElementTree.SubElement(label, "attributes")
    for name, kind in _ATTRIBUTES.items():
        attribute = ElementTree.SubElement(attributes, "attribute")
        for field, value in (("name", name), ("mutable", "False"), ("input_type", kind)):
            _leaf(attribute, field, value)
    size = ElementTree.SubElement(task, "original_size")
    _leaf(size, "width", sheet.width)
    _leaf(size, "height", sheet.height)
    for place, (number, person) in enumerate(sheet.people.items()):
        track = ElementTree.SubElement(root, "track", {"id": str(place), "label": LABEL, "source": "manual"})
        values = {
            "person_id": number,
            "actions": " ".join(map(str, sorted(person.actions))),
            "excluded": str(person.excluded).lower(),
            "reason": person.reason,
        }
        for box, outside in _with_ends(person.boxes, sheet.frames):
            shape = {"frame": str(box.frame - 1), "keyframe": "1", "outside": str(int(outside)), "occluded": "0"}
            shape |= dict(zip(_CORNERS, map(repr, box.corners), strict=True))
            element = ElementTree.SubElement(track, "box", {**shape, "z_order": "0"})
            for name, value in values.items():
                _leaf(element, "attribute", value, {"name": name})
    ElementTree.indent(root)
    return "<?xml version='1.0' encoding='utf-8'?>\n" + ElementTree.tostring(root, encoding="unicode") + "\n"


def _leaf(parent: ElementTree.Element, tag: str, text: object, attributes: Mapping[str, str] | None = None) -> None:
    # XML has no place for control characters.
    clean = re.sub("[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]", " ", str(text))
    ElementTree.SubElement(parent, tag, dict(attributes or {})).text = clean


def _with_ends(boxes: list[Box], frames: int) -> list[tuple[Box, bool]]:
    """The boxes with whether each is outside: behind a box that no other follows, CVAT would go on drawing it."""
    found: list[tuple[Box, bool]] = []
    for place, box in enumerate(boxes):
        found.append((box, False))
        after = boxes[place + 1].frame if place + 1 < len(boxes) else frames + 1
        if after > box.frame + 1:
            found.append((box._replace(frame=box.frame + 1), True))
    return found


def read_cvat(path: Path, known: Any = ()) -> ClipSheet:
    """Read a task that CVAT exported.

    The file is checked value by value. A document type, without which there are no entities, ends the reading at once.

    Args:
        path: The XML file.
        known: Person ids that new persons must not get.

    Raises:
        DataError: The file is not valid.
    """
    handler = _Handler(path)
    parser = expat.ParserCreate()
    parser.buffer_text = True
    parser.StartDoctypeDeclHandler = handler.refuse
    parser.EntityDeclHandler = handler.refuse
    parser.ExternalEntityRefHandler = handler.refuse
    parser.StartElementHandler, parser.EndElementHandler = handler.start, handler.end
    parser.CharacterDataHandler = handler.text
    try:
        parser.Parse(read_bounded(path), True)
    except expat.ExpatError as error:
        problem = f"the file is not valid XML ({str(error)[:80]})"
        raise DataError(problem, file=path, line=error.lineno, hint=_EXPORT) from None
    except (ValueError, LookupError, TypeError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(
            f"a value cannot be read ({type(error).__name__}: {str(error)[:80]})",
            file=path,
            line=parser.CurrentLineNumber,
            hint='export it as "CVAT for video 1.1"',
        ) from None
    return handler.finish(known)


class _Handler:
    """Collects tracks; names outside of them are read where they say which clip this is."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.stack: list[str] = []
        self.words: list[str] = []
        self.name, self.version = "", ""
        self.size = [0, 0]
        self.tracks: list[tuple[dict[str, str], list[tuple[int, list[float]]]]] = []
        self.attribute = ""

    def refuse(self, *_: object) -> int:
        raise DataError(
            "the file declares a document type or entities, which CVAT never writes", file=self.path, hint=_EXPORT
        )

    def start(self, tag: str, given: dict[str, str]) -> None:
        self.stack.append(tag)
        self.words = []
        if len(self.stack) > _MAX_DEPTH:
            raise DataError("the XML is nested too deeply", file=self.path, hint=_EXPORT)
        if self.stack == ["annotations", "track"]:
            self.tracks.append(({}, []))
        elif self.stack == ["annotations", "track", "box"] and given.get("outside", "0") != "1":
            corners = [float(given[side]) for side in _CORNERS]
            self.tracks[-1][1].append((int(given["frame"]) + 1, corners))
        elif self.stack[1:2] == ["track"] and tag == "attribute":
            self.attribute = given["name"]
        elif self.stack == ["annotations", "image"]:
            raise DataError('this is "CVAT for images"; export it as "CVAT for video 1.1"', file=self.path)
        elif len(self.stack) == 1 and tag != "annotations":
            raise DataError("this is not a file of CVAT", file=self.path, value=tag, hint=_EXPORT)

    def text(self, text: str) -> None:
        self.words.append(text)

    def end(self, tag: str) -> None:
        text = "".join(self.words).strip()
        where = "/".join(self.stack)
        if where in ("annotations/meta/task/name", "annotations/meta/job/name"):
            self.name = text
        elif where.endswith("original_size/width"):
            self.size[0] = int(text)
        elif where.endswith("original_size/height"):
            self.size[1] = int(text)
        elif self.stack[1:2] == ["track"] and tag == "attribute":
            self.tracks[-1][0].setdefault(self.attribute, text)
        self.stack.pop()
        self.words = []

    def finish(self, known: Any) -> ClipSheet:
        try:
            reader = SheetReader(self.path, self.name)
        except DataError:
            reader = SheetReader(self.path, self.path.stem)
        for attributes, shapes in self.tracks:
            boxes = [reader.box(frame, corners) for frame, corners in shapes]
            excluded = attributes.get("excluded", "") == "true"
            actions = reader.actions(attributes.get("actions", "").replace(",", " ").split())
            person = Person(boxes, actions, excluded, attributes.get("reason", "") if excluded else "")
            reader.add(attributes.get("person_id"), person)
        return ClipSheet(reader.video_id, self.size[0], self.size[1], reader.finish(known))


def action_legend() -> str:
    """Return the 50 action ids and names, for the guide of a task."""
    return "\n".join(f"{action.action_id} {action.name}" for action in ACTIONS)
