"""Everything that is wrong in a release, in one list."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..errors import MicroG4MError
from .box_checks import BOX
from .check_boxes import compare_boxes, few, persons_of
from .clip_files import check_clip_files
from .label_map import check_label_map
from .layout import Layout, find_layout
from .predicted_boxes import read_predicted_boxes
from .problems import Faults
from .release import Release, read_release
from .scheme_report import clips_without_place


def check(root: str | os.PathLike[str]) -> dict[str, Any]:
    """Read every file of a release and list all faults, each with file, line and value; and what is odd, but right.

    ``faults`` counts them all, ``problems`` lists up to a thousand of each kind and file, ``notes`` says in words
    what is accepted as released, and which files there are not.
    """
    layout = find_layout(root)
    faults = Faults("skip")
    notes: list[str] = []
    release = _attempt(lambda: read_release(layout, need=(), on_error="skip"), layout, faults)
    if release is not None:
        _adopt(release, faults, None)
        if layout.label_map is not None:
            label_map = layout.label_map
            _attempt(lambda: check_label_map(label_map, name=layout.name(label_map)), layout, faults)
        for need, path in (("har", layout.boxes), ("caption", layout.texts)):
            if path is not None:
                whole = _attempt(lambda need=need: _part(layout, need), layout, faults)  # type: ignore[misc]
                if whole is not None:
                    _adopt(whole, faults, layout.name(path))
                    notes += compare_boxes(whole, faults) if need == "har" else _notes_of_texts(whole)
        for path in (layout.val_predicted_boxes, layout.test_predicted_boxes):
            if path is not None:
                _attempt(lambda path=path: _predicted(path, layout, release, faults), layout, faults)  # type: ignore[misc]
        if layout.videos is not None:
            check_clip_files(layout, release.clips, faults, deep=True)
        notes = _notes(layout, release) + notes
    return {
        "root": str(layout.root),
        "faults": faults.total,
        "problems": [
            {"file": at.file, "line": at.line, "value": _plain(at.value), "reason": at.reason, "text": str(at)}
            for at in faults.problems
        ],
        "notes": notes,
    }


def _plain(value: object) -> object:
    """A value that JSON can say: nan, infinity and half characters become text."""
    return value if value is None or (isinstance(value, str) and value.isprintable()) else repr(value)


def _part(layout: Layout, need: str) -> Release:
    """One part of a release; a label map that is wrong is reported once, elsewhere."""
    return read_release(Layout(**{**layout.__dict__, "label_map": None}), need={need}, on_error="skip")


def _attempt(read: Callable[[], Any], layout: Layout, faults: Faults) -> Any:
    """What ``read`` gives; ``None``, and a fault, for a file that cannot be read at all."""
    try:
        return read()
    except MicroG4MError as error:
        file = getattr(error, "file", None) or getattr(error, "filename", None) or layout.root
        reason = getattr(error, "problem", None) or str(error)
        faults.add(str(file), getattr(error, "line", None), getattr(error, "value", None), reason)
        return None


def _adopt(release: Release, faults: Faults, file: str | None) -> None:
    """Take over the faults of one file, or of all that were read."""
    faults.problems += [problem for problem in release.problems if file is None or problem.file == file]
    faults.by_reason.update({key: count for key, count in release.faults_of.items() if file is None or key[0] == file})


def _predicted(path: Path, layout: Layout, release: Release, faults: Faults) -> None:
    """Predicted boxes must be the ground-truth boxes of their split: the benchmark gives every model the same."""
    name = layout.name(path)
    boxes = read_predicted_boxes(path, release.clips, faults, name=name)
    known = set(zip(*(release.key_frames[column].to_pylist() for column in ("video_id", "frame", *BOX)), strict=True))
    for row in zip(*(boxes[column].to_pylist() for column in ("video_id", "frame", *BOX)), strict=True):
        if row not in known:
            faults.add(name, None, row, "a predicted box that is no key box of the ground truth")


def _notes(layout: Layout, release: Release) -> list[str]:
    counts = release.counts
    fields = ("boxes", "label_map", "texts", "ava_train", "ava_val", "ava_test", "videos")
    notes = [f"no {name}: {layout.wanted(name)} is not here" for name in fields if getattr(layout, name) is None]
    notes += [f"the link {link} leads out of the folder and was not followed" for link in layout.refused_links]
    if counts["label_repeats"]:
        notes.append(f"{counts['label_repeats']} of {counts['label_rows']} label rows only repeat another")
    lost = clips_without_place(release)
    if lost:
        notes.append(f"{len(lost)} clips are in no official split file and count as train: {few(lost)}")
    if len(release.key_frames):
        bare = persons_of(release.labels) - persons_of(release.key_frames)
        names = sorted(f"{video_id} person {person}" for video_id, person in bare)
        if names:
            notes.append(f"{len(names)} persons have labels and no key box, so cannot be scored: {few(names)}")
    return notes


def _notes_of_texts(release: Release) -> list[str]:
    assert release.captions is not None
    names = release.captions["video_id"].to_pylist()
    twice = sorted({name for name in names if names.count(name) > 1}) if len(set(names)) < len(names) else []
    notes = [f"{len(twice)} clips have more than one caption: {few(twice)}"] if twice else []
    if release.counts["question_repeats"]:
        notes.append(f"{release.counts['question_repeats']} questions only repeat another of their clip")
    return notes
