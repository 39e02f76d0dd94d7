"""What a scheme does to the data: sizes, domains, classes, leaks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow.compute as pc

from ..clip_ids import split_clip_id
from ..errors import DataError
from ..taxonomy import ACTION_IDS, ACTIONS
from .release.actions import LABEL_OF_ID
from .release.key_frames import SPLITS
from .release.release import Release
from .splits import split_of

# How much a split gives away: sources in two splits, and test clips cut right beside a training clip.


def leak_report(split_of_clip: Mapping[str, str], window: int = 1, *, test: str = "test", train: str = "train") -> dict:
    """What the clips of ``test`` share with those of ``train``, for any division of clips.

    A neighbour is a clip of the same source at most ``window`` pieces before or after (piece N starts at second
    3 N). Shares are fractions of the test clips, 0 where there are none.

    >>> report = leak_report({"ISS_001": "train", "ISS_002": "test", "ISS_009": "test", "Gravity_003": "test"})
    >>> report["shared_sources"], report["test_sources"], report["test_clips_with_neighbour"]
    (1, 2, 1)
    """
    if window < 1:
        raise DataError("the window must be at least one piece", value=window)
    pieces = {video_id: split_clip_id(video_id) for video_id in split_of_clip}
    sources: dict[str, set[str]] = {}
    for video_id, split in split_of_clip.items():
        sources.setdefault(split, set()).add(pieces[video_id][0])
    in_train = {pieces[video_id] for video_id, split in split_of_clip.items() if split == train}
    of_test = [pieces[video_id] for video_id, split in split_of_clip.items() if split == test]
    shared = sources.get(test, set()) & sources.get(train, set())
    same_source = sum(source in shared for source, _ in of_test)
    steps = [step for step in range(-window, window + 1) if step]
    beside = sum(any((source, piece + step) in in_train for step in steps) for source, piece in of_test)
    all_sources = [source for names in sources.values() for source in names]
    return {
        "window": window,
        "test_sources": len(sources.get(test, set())),
        "shared_sources": len(shared),
        "shared_source_names": sorted(shared),
        "test_clips": len(of_test),
        "test_clips_sharing_source": same_source,
        "test_clips_sharing_source_share": same_source / len(of_test) if of_test else 0.0,
        "test_clips_with_neighbour": beside,
        "test_clips_with_neighbour_share": beside / len(of_test) if of_test else 0.0,
        "sources_in_two_splits": len({source for source in all_sources if all_sources.count(source) > 1}),
    }


def scheme_report(release: Release, scheme: str) -> dict[str, Any]:
    """Clips, sources, classes and key-frame rows per split, both domains' shares, the classes lost, the leak.

    A class is lost if it occurs and is not in both train and test; it was ``unavoidable`` for a scheme that never
    divides a source if all its clips come from one source.
    """
    split_of_clip = split_of(release, scheme)
    clips = release.clips.to_pylist()
    total = Counter(split_of_clip.values())
    domains: dict[str, Any] = {}
    for domain in ("real", "movie"):
        found = Counter(split_of_clip[clip["video_id"]] for clip in clips if clip["domain"] == domain)
        domains[domain] = {split: _share(found[split], sum(found.values())) for split in SPLITS}
    source_of = {clip["video_id"]: clip["source"] for clip in clips}
    sources: dict[str, set[str]] = {split: set() for split in SPLITS}
    for video_id, split in split_of_clip.items():
        sources[split].add(source_of[video_id])
    present, in_sources = _classes(release, split_of_clip, source_of)
    lost = [
        {"action_id": action.action_id, "name": action.name, "unavoidable": len(in_sources[action.label]) < 2}
        for action in ACTIONS
        if in_sources[action.label] and not (present["train"][action.label] and present["test"][action.label])
    ]
    return {
        "scheme": scheme,
        "clips": {split: _share(total[split], len(clips)) for split in SPLITS},
        "domains": domains,
        "sources": {split: len(sources[split]) for split in SPLITS},
        "classes": {split: int(present[split].sum()) for split in SPLITS},
        "classes_lost": lost,
        "leak": leak_report(split_of_clip),
    }


def _share(part: int, whole: int) -> dict[str, float]:
    return {"clips": part, "share": part / whole if whole else 0.0}


def _classes(
    release: Release, split_of_clip: dict[str, str], source_of: dict[str, str]
) -> tuple[dict[str, np.ndarray], list[set[str]]]:
    """Which classes each split has, and the sources of every class."""
    present = {split: np.zeros(len(ACTION_IDS), dtype=bool) for split in SPLITS}
    in_sources: list[set[str]] = [set() for _ in ACTION_IDS]
    labels = LABEL_OF_ID[release.labels["action_id"].to_numpy()].tolist()
    for video_id, label in zip(release.labels["video_id"].to_pylist(), labels, strict=True):
        present[split_of_clip[video_id]][label] = True
        in_sources[label].add(source_of[video_id])
    return present, in_sources


def clips_without_place(release: Release) -> list[str]:
    """Clips that no official file names; ``split_of`` puts them in train."""
    if release.official is None:
        return []
    return release.clips["video_id"].filter(pc.is_null(release.official)).to_pylist()
