"""Tracks against key frames and clips: the comparisons that only a check makes, as they cost a look at every clip."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ..errors import ClipError
from .box_checks import BOX
from .clip_files import clip_path
from .derived_key_frames import derive_key_frames
from .frame_size import ASSUMED
from .keyframes import SPLIT_OF_FILE
from .mp4_header import frame_size_of
from .problems import Faults
from .release import Release

# A key box has three decimals, a pixel box may be rounded to whole pixels.
_KEY_BOX_ROUNDING = 0.0005


def compare_boxes(release: Release, faults: Faults) -> list[str]:
    """Compares tracks with key frames and with the clips; faults go to ``faults``, the rest is told."""
    boxes, layout = release.boxes, release.layout
    assert boxes is not None and release.frame_sizes is not None and layout.boxes is not None
    notes = []
    counts = release.counts
    if counts["box_repeats"]:
        notes.append(f"{counts['box_repeats']} of {counts['box_rows']} boxes only repeat another")
    if counts["frame_sizes_from_assumed"]:
        assumed = f"{ASSUMED[0]}x{ASSUMED[1]}"
        notes.append(f"the frame size of {counts['frame_sizes_from_assumed']} clips is not known, {assumed} is assumed")
    extra = persons_of(boxes) - persons_of(release.labels)
    if extra:
        names = sorted(f"{video_id} person {person}" for video_id, person in extra)
        notes.append(f"{len(extra)} persons have boxes and no label: {few(names)}")
    notes += _compare_with_tracks(release, faults)
    if layout.videos is not None:
        _compare_with_headers(release, faults)
    return notes


def _compare_with_tracks(release: Release, faults: Faults) -> list[str]:
    """A key box must be the person's box in that frame; whether the median rule gives the frame is only told."""
    boxes, key_frames, sizes = release.boxes, release.key_frames, release.frame_sizes
    assert boxes is not None and sizes is not None and release.layout.boxes is not None
    if not any(getattr(release.layout, name) for name in SPLIT_OF_FILE):
        return []
    ids = release.clips["video_id"].combine_chunks()

    def keys(table: pa.Table, codes: np.ndarray) -> np.ndarray:
        return (codes.astype(np.int64) << 20 | table["person_id"].to_numpy()) << 15 | table["frame"].to_numpy()

    track = keys(boxes, boxes["video_id"].combine_chunks().indices.to_numpy())
    clip = np.asarray(pc.index_in(key_frames["video_id"], value_set=ids))
    key = keys(key_frames, clip)
    spot = np.minimum(np.searchsorted(track, key), max(len(track) - 1, 0))
    there = track[spot] == key if len(track) else np.zeros(len(key), dtype=bool)
    allowed = _KEY_BOX_ROUNDING + 1 / np.maximum(np.stack([sizes["width"], sizes["height"]] * 2, axis=1), 1)
    released = np.stack([key_frames[name].to_numpy() for name in BOX], axis=1)[there]
    shown = np.stack([boxes[name].to_numpy() for name in BOX], axis=1)[spot[there]]
    off = np.flatnonzero((np.abs(released - shown) > allowed[clip[there]]).any(axis=1))
    places = np.flatnonzero(there)[off]
    for place, box in zip(places.tolist(), shown[off].tolist(), strict=True):
        row = key_frames.slice(place, 1).to_pylist()[0]
        value = {**row, "track": [round(part, 3) for part in box]}
        faults.add(release.layout.name(release.layout.boxes), None, value, "the key box is not the box of the track")
    notes = []
    if not there.all():
        notes.append(f"{int((~there).sum())} of {len(there)} key frames are in no track")
    rule = keys(derived := derive_key_frames(boxes, release.labels), np.asarray(
        pc.index_in(derived["video_id"], value_set=ids)))  # fmt: skip
    notes.append(f"the median rule gives {int(np.isin(key, rule).sum())} of {len(key)} released key frames")
    return notes


def _compare_with_headers(release: Release, faults: Faults) -> None:
    assert release.frame_sizes is not None and release.layout.videos is not None
    sizes = release.frame_sizes
    for clip, width, height in zip(release.clips.to_pylist(), sizes["width"].to_pylist(), sizes["height"].to_pylist(),
                                   strict=True):  # fmt: skip
        path = clip_path(release.layout.videos, clip["domain"], clip["source"], clip["video_id"])
        try:
            found = frame_size_of(path) if width else None
        except ClipError:
            continue  # a missing or broken clip is a fault of its own
        if found and found != (width, height):
            reason = f"the clip is {found[0]}x{found[1]}, its boxes are of"
            faults.add(release.layout.name(path), None, f"{width}x{height}", reason)


def persons_of(table: pa.Table) -> set[tuple[str, int]]:
    pairs = pa.table({"video_id": table["video_id"].cast(pa.string()), "person_id": table["person_id"]})
    pairs = pairs.group_by(pairs.column_names, use_threads=False).aggregate([])
    return set(zip(pairs["video_id"].to_pylist(), pairs["person_id"].to_pylist(), strict=True))


def few(names: list[str], limit: int = 10) -> str:
    return ", ".join(names[:limit]) + (f" and {len(names) - limit} more" if len(names) > limit else "")
