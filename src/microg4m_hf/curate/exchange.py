"""Take a review to an annotation tool and back: ``export_review`` and ``import_review``."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from ..errors import DataError, RecipeError, SourceError, list_some
from ..storage import write_atomic
from .cvat import action_legend, cvat_labels, read_cvat, write_cvat
from .label_studio import labeling_config, read_label_studio, write_label_studio
from .review_log import Event, ReviewLog, check_reviewer, event_fault, read_events
from .reviews import active_events, current_events, fold_judgment, read_tracks, reviewed_state, tracks_digest
from .sheet import Change, ClipSheet, changes

TOOLS = ("cvat", "label-studio")
TASKS = "tasks.json"


def export_review(
    work: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    to: str,
    reviewer: str | None = None,
    rule: str = "unanimous",
    videos: str = "",
) -> list[Path]:
    """Write the people of all clips, with their boxes and actions, as files of an annotation tool.

    Args:
        work: The work folder.
        out: The folder to write to.
        to: ``"cvat"`` for an XML file per clip, or ``"label-studio"`` for one JSON file, which has the texts as well.
        reviewer: Export what this reviewer thinks; by default what all reviews come to.
        rule: How judgments of several reviewers become one, see :func:`reviewed_state`.
        videos: For Label Studio, what to put before ``<video_id>.mp4`` to reach a clip.

    Returns:
        The files: the annotations, then the label definitions to create a task or project with.

    Raises:
        RecipeError: There is no such tool.
        SourceError: No clip has tracks yet.
    """
    _check_tool(to)
    if reviewer is not None:
        check_reviewer(reviewer)
    sheets = []
    for video_id, clip in reviewed_state(work, rule=rule).items():
        tracks = read_tracks(work, video_id)
        if tracks.width:
            people = clip.people
            if reviewer is not None and reviewer in clip.judgments:
                people = clip.judgments[reviewer].people
            size = tracks.width, tracks.height
            sheets.append(ClipSheet(video_id, *size, dict(sorted(people.items())), clip.caption, clip.questions))
    if not sheets:
        raise SourceError(f"{work} has no clip with tracks; run `microg4m curate run {work} --until people` first")
    folder = Path(out)
    if to == "cvat":
        written = [write_atomic(folder / f"{one.video_id}.xml", write_cvat(one)) for one in sheets]
        written.append(write_atomic(folder / "labels.json", json.dumps(cvat_labels(), indent=1)))
        return [*written, write_atomic(folder / "actions.txt", action_legend() + "\n")]
    config = write_atomic(folder / "labeling_config.xml", labeling_config())
    return [write_atomic(folder / TASKS, write_label_studio(sheets, videos)), config]


def import_review(
    work: str | os.PathLike[str], source: str | os.PathLike[str], *, to: str, reviewer: str
) -> dict[str, int]:
    """Read back what was annotated in a tool, as events of a reviewer. What did not change makes no event.

    All files are read before anything is written, so a faulty file changes nothing.

    Args:
        work: The work folder.
        source: A file that the tool exported, or a folder with such files.
        to: The tool, ``"cvat"`` or ``"label-studio"``.
        reviewer: Who made the annotations.

    Returns:
        The number of events of each clip that was read.

    Raises:
        DataError: A file is not valid, or names a clip that the work folder does not have.
        SourceError: There is no such file.
    """
    _check_tool(to)
    check_reviewer(reviewer)
    path = Path(source)
    suffix = ".xml" if to == "cvat" else ".json"
    files = sorted(path.glob(f"*{suffix}")) if path.is_dir() else [path]
    files = [file for file in files if file.name not in ("labeling_config.xml", "labels.json")]
    if not files or not all(file.is_file() for file in files):
        raise SourceError(f"{path} is neither a file nor a folder with {suffix} files; give what the tool exported")
    clips = {file.stem for file in (Path(work) / "tracks").glob("*.json")}
    events: dict[str, list[Event]] = {}
    for event in read_events(work):
        events.setdefault(event.clip, []).append(event)
    sheets: dict[str, ClipSheet] = {}
    for file in files:
        for sheet in _read(file, to, work, clips):
            if sheet.video_id not in clips:
                hint = "name the work folder that was exported"
                raise DataError("the work folder has no such clip", file=file, value=sheet.video_id, hint=hint)
            if sheet.video_id in sheets:
                hint = "leave one of them out"
                raise DataError("two tasks are about the same clip", file=file, value=sheet.video_id, hint=hint)
            sheets[sheet.video_id] = sheet
    found = {name: _changes(work, reviewer, sheet, events.get(name, [])) for name, sheet in sheets.items()}
    for name, edits in found.items():
        fault = next(filter(None, (event_fault(*edit) for edit in edits)), None)
        if fault:
            raise DataError(f"{name} cannot be imported: {fault}; correct it in the tool, and export it again")
    log = ReviewLog(work, reviewer)
    for edits in found.values():
        if edits:
            log.append_all(edits, tracks_digest(work, edits[0][0]))
    return {name: len(edits) for name, edits in sorted(found.items())}


def _read(file: Path, to: str, work: str | os.PathLike[str], clips: set[str]) -> list[ClipSheet]:
    if to == "cvat":
        return [read_cvat(file)]
    return read_label_studio(file, lambda name: read_tracks(work, name)[:2] if name in clips else (0, 0))


def _changes(work: str | os.PathLike[str], reviewer: str, sheet: ClipSheet, events: list[Event]) -> list[Change]:
    tracks = read_tracks(work, sheet.video_id)
    active = current_events(active_events(events), tracks.digest)
    judgment = fold_judgment(reviewer, tracks.people, [event for event in active if event.reviewer == reviewer])
    texts: dict[str, Any] = {"caption": "", "questions": []} | {
        event.do: event.values["text" if event.do == "caption" else "pairs"]
        for event in active
        if event.do in ("caption", "questions")
    }
    return changes(sheet, judgment, texts)


def _check_tool(to: str) -> None:
    if to not in TOOLS:
        raise RecipeError(f"--to {to} is not a tool; use {list_some(TOOLS)}")
