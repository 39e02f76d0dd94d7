"""Parts of a result: some of the clips (by domain or source) or some of the classes (by action group or frequency)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import replace

import numpy as np

from ...clip_ids import source_of
from ...errors import PredictionError, list_some
from ...taxonomy import ACTIONS, GROUPS
from .rows import ActionRows

CLIP_PARTS = ("domain", "source")
CLASS_PARTS = ("group", "frequency")
PARTS = (*CLIP_PARTS, *CLASS_PARTS)
FREQUENCIES = ("head", "middle", "tail")


def check_parts(by: str | Sequence[str]) -> tuple[str, ...]:
    """Return the names of parts as a tuple, or raise an error that lists the known ones."""
    names = (by,) if isinstance(by, str) else tuple(by)
    for name in names:
        if name not in PARTS:
            raise PredictionError(f"by={name!r} is not known; use {', '.join(PARTS)}")
    return names


def group_clips(name: str, references: ActionRows, domains: Mapping[str, str] | None) -> dict[str, set[str]]:
    """Return the clips of each domain or source."""
    part_of: dict[str, str] = {}
    if name == "source":
        part_of = {video: source_of(video) for video in references.videos}
    elif domains is not None:
        unknown = [video for video in references.videos if video not in domains]
        if unknown:
            raise PredictionError(
                f"domains= lacks {len(unknown)} clips: {list_some(unknown)}; map every video_id to 'real' or 'movie'"
            )
        part_of = {video: str(domains[video]) for video in references.videos}
    elif references.domain is not None:
        part_of = {video: str(domain) for video, domain in zip(references.videos, references.domain, strict=True)}
    else:
        raise PredictionError(
            "by='domain' needs the domain of each clip; pass domains={video_id: 'real' or 'movie'}, "
            "or references with a column 'domain'"
        )
    parts: dict[str, set[str]] = {}
    for video, part in part_of.items():
        parts.setdefault(part, set()).add(video)
    return dict(sorted(parts.items()))


def group_classes(
    name: str, classes: Sequence[int], references: ActionRows, class_counts: Mapping[int, int] | None
) -> dict[str, np.ndarray]:
    """Return the classes of each action group or frequency, as masks.

    Frequency: the MicroG-4M classes sorted by their number of labels (``class_counts``, for example of the training
    split; by default of the references) and then by id, cut into thirds.
    """
    group_of = {action.action_id: action.group for action in ACTIONS}
    if name == "group":
        return {group: np.array([group_of.get(action) == group for action in classes]) for group in GROUPS}
    if class_counts is None:
        ids, counts = np.unique(references.action, return_counts=True)
        class_counts = dict(zip(ids.tolist(), counts.tolist(), strict=True))
    known = sorted(
        (action for action in classes if action in group_of), key=lambda action: (-class_counts.get(action, 0), action)
    )
    thirds = np.array_split(np.array(known), 3)
    return {part: np.isin(np.asarray(classes), third) for part, third in zip(FREQUENCIES, thirds, strict=True)}


def select_clips(rows: ActionRows, clips: Set[str]) -> ActionRows:
    """Return the rows of some clips."""
    wanted = np.array([video in clips for video in rows.videos], dtype=bool)
    kept = rows.take(np.flatnonzero(wanted[rows.video]))
    # Also drop the names of the other clips: they would count as sources.
    codes, video = np.unique(kept.video, return_inverse=True)
    domain = None if rows.domain is None else rows.domain[codes]
    return replace(kept, video=video, videos=tuple(rows.videos[code] for code in codes), domain=domain)
