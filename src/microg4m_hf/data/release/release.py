"""Read and check a release as Arrow tables in which no row refers to a clip that is missing."""

from __future__ import annotations

import os
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ...errors import DataError
from .actions import CLIP_COLUMNS, check_label_map, read_actions
from .bounding_boxes import read_boxes
from .clip_files import check_clip_files, clip_path
from .csv_reader import read_csv_rows
from .faults import ErrorPolicy, Fault, OnError
from .key_frames import derive_key_frames, read_key_frames
from .layout import Layout, find_layout
from .texts import read_texts

NEEDS = frozenset({"har", "caption", "vqa", "videos"})


@dataclass(frozen=True)
class Release:
    """The annotations of a release, as Arrow tables that are consistent with each other.

    Args:
        root: The folder that was read.
        layout: Where each file is.
        clips: video_id, source, clip_index, domain; sorted by video_id.
        labels: video_id, person_id, action_id; distinct rows.
        repeats: video_id, person_id, action_id; a row for each further time that the key-frame files (without them,
            ``actions.csv``) list a label. The published numbers count such a label as often as it is listed.
        key_frames: video_id, frame, person_id, x1, y1, x2, y2 (0..1), split (official, or null).
        official: The official split of each clip, null if no file names the clip; ``None`` if a file is missing.
        boxes: video_id (dictionary, whose codes are rows of ``clips``), frame, person_id, x1, y1, x2, y2 (0..1).
        captions: video_id, caption; ``None`` unless it was needed.
        questions: video_id, question_id, question, answer; ``None`` unless it was needed.
        frame_sizes: video_id, width, height.
        counts: Numbers of rows, repeats and faults.
        problems: The faults, up to a thousand of each kind and file.
        faults_of: The number of faults by file and reason, whether they are listed or not.
    """

    root: Path
    layout: Layout
    clips: pa.Table
    labels: pa.Table
    repeats: pa.Table
    key_frames: pa.Table
    official: pa.Array | None = None
    boxes: pa.Table | None = None
    captions: pa.Table | None = None
    questions: pa.Table | None = None
    frame_sizes: pa.Table | None = None
    counts: dict[str, int] = field(default_factory=dict)
    problems: list[Fault] = field(default_factory=list)
    faults_of: dict[tuple[str, str], int] = field(default_factory=dict)

    @property
    def videos(self) -> Path | None:
        """The folder that contains ``movie/`` and ``real/``."""
        return self.layout.videos

    def video_path(self, video_id: str) -> Path:
        """Return where a clip's file belongs.

        Args:
            video_id: The clip.

        Raises:
            KeyError: If the release has no such clip.
        """
        place = self.clips["video_id"].index(video_id).as_py()
        if place < 0:
            raise KeyError(video_id)
        row = self.clips.slice(place, 1).to_pylist()[0]
        return clip_path(self.layout.require("videos"), row["domain"], row["source"], video_id)


def read_release(
    root: str | os.PathLike[str] | Layout,
    *,
    need: Collection[str] | str = frozenset({"har"}),
    on_error: OnError = "raise",
) -> Release:
    """Read and check the files that ``need`` asks for, and no others.

    Some oddities of the authors' release are not faults: repeated labels, persons without a box, a clip with two
    captions, any number of questions, unusual characters.

    Args:
        root: A folder with the released files, or its layout.
        need: ``"har"`` reads actions, key frames and boxes; ``"caption"`` and ``"vqa"`` read actions, key frames (for
            the official split) and texts; ``"videos"`` also checks that every clip is a complete mp4 file.
        on_error: ``"raise"`` stops at the first fault; ``"skip"`` leaves faulty rows out, with everything that depends
            on them, and lists them in ``problems``. A file that cannot be read at all always stops.

    Returns:
        The tables, with ``None`` for what was not needed.

    Raises:
        DataError: With file, line and value of the first fault.
        SourceError: If a needed file is missing.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> _ = (folder / "actions.csv").write_text("video_id,movie_or_real,person_id,action\\nISS_004,m,1,12\\n")
        >>> release = read_release(folder)
        >>> release.clips["domain"].to_pylist(), release.counts["labels"]
        (['movie'], 1)
    """
    need = {need} if isinstance(need, str) else set(need)
    if wrong := need - NEEDS:
        raise DataError("unknown need", value=sorted(wrong)[0], hint=f"use one or more of {sorted(NEEDS)}")
    layout = root if isinstance(root, Layout) else find_layout(root)
    policy = ErrorPolicy(on_error)
    actions = layout.require("actions")
    texts = layout.require("texts") if {"caption", "vqa"} & need else None
    if layout.label_map is not None and "har" in need:
        check_label_map(layout.label_map, name=layout.name(layout.label_map))
    listed = None
    if layout.clips is not None:
        listed = read_csv_rows(layout.clips, CLIP_COLUMNS, policy, name=layout.name(layout.clips))
    clips, labels, repeats, counts = read_actions(actions, policy, name=layout.name(actions), listed=listed)
    files = read_key_frames(layout, clips, labels, policy)
    key_frames, official, left_out = files.table, files.official, files.left_out
    counts |= files.counts
    if "videos" in need:
        left_out |= check_clip_files(layout, clips, policy)
    boxes = frame_sizes = None
    if "har" in need and layout.boxes is not None:
        boxes, sizes, found = read_boxes(layout, clips, key_frames, policy)
        frame_sizes = pa.table({"video_id": clips["video_id"], "width": sizes.size[:, 0], "height": sizes.size[:, 1]})
        counts |= found
        if not layout.has_key_frames:
            key_frames = derive_key_frames(boxes, labels)
    captions = questions = None
    if texts is not None:
        captions, questions, found = read_texts(texts, clips, policy, name=layout.name(texts))
        counts |= found
    tables: dict[str, Any] = {
        "clips": clips, "labels": labels, "repeats": repeats if files.repeats is None else files.repeats,
        "key_frames": key_frames, "boxes": boxes, "captions": captions, "questions": questions,
        "frame_sizes": frame_sizes,
    }  # fmt: skip
    if left_out.any():
        tables, official = _drop_clips(tables, official, left_out)
    counts |= {name: len(table) for name, table in tables.items() if table is not None and name != "frame_sizes"}
    counts |= {"clips_left_out": int(left_out.sum()), "faults": policy.total}
    faults: dict[str, Any] = {"problems": policy.faults, "faults_of": dict(policy.by_reason)}
    return Release(layout.root, layout, official=official, counts=counts, **faults, **tables)


def _drop_clips(
    tables: dict[str, Any], official: pa.Array | None, left_out: np.ndarray
) -> tuple[dict[str, Any], pa.Array | None]:
    """Return all tables without the clips of a mask."""
    ids = tables["clips"]["video_id"].filter(pa.array(~left_out)).combine_chunks()
    rest = {}
    for name, table in tables.items():
        if table is not None:
            codes = pc.index_in(table["video_id"].cast(pa.string()).combine_chunks(), value_set=ids)
            stays = pc.is_valid(codes)
            table = table.filter(stays)
            if name == "boxes":
                column = pa.DictionaryArray.from_arrays(codes.filter(stays), ids)
                table = table.set_column(0, "video_id", column)
        rest[name] = table
    return rest, None if official is None else official.filter(pa.array(~left_out))
