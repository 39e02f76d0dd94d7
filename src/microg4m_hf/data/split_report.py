"""Report the effect of a split scheme on the dataset: sizes, domains, classes, and what test shares with train."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

import pyarrow.compute as pc

from ..clip_ids import split_clip_id
from ..errors import DataError
from ..taxonomy import ACTIONS
from .release.key_frames import SPLITS
from .release.release import Release
from .splits import split_of


def leak_report(split_of_clip: Mapping[str, str], window: int = 1, *, test: str = "test", train: str = "train") -> dict:
    """Report what the test clips share with the training clips, for any assignment of clips to splits.

    Args:
        split_of_clip: The split of each clip.
        window: A neighbor is a clip of the same source at most this many clips before or after (clip N of a source
            starts at second 3 N).
        test: The name of the test split.
        train: The name of the training split.

    Returns:
        Counts of sources and clips, and shares as fractions of the test clips (0 if there are none).

    Raises:
        DataError: If the window is smaller than 1, or a key is not a clip name.

    Example:
        >>> report = leak_report({"ISS_001": "train", "ISS_002": "test", "ISS_009": "test", "Gravity_003": "test"})
        >>> report["shared_sources"], report["test_sources"], report["test_clips_with_neighbour"]
        (1, 2, 1)
    """
    if window < 1:
        raise DataError("the window must be at least one clip", value=window, hint="give 1 or more")
    clips: dict[str, list[tuple[str, int]]] = {test: [], train: []}
    for video_id, split in split_of_clip.items():
        clips.setdefault(split, []).append(split_clip_id(video_id))
    sources = {split: {source for source, _ in found} for split, found in clips.items()}
    splits_of_source = Counter(source for found in sources.values() for source in found)
    shared = sources[test] & sources[train]
    same_source = sum(source in shared for source, _ in clips[test])
    steps = [step for step in range(-window, window + 1) if step]
    in_train = set(clips[train])
    beside = sum(any((source, number + step) in in_train for step in steps) for source, number in clips[test])
    count = max(len(clips[test]), 1)
    return {
        "window": window,
        "test_sources": len(sources[test]),
        "shared_sources": len(shared),
        "shared_source_names": sorted(shared),
        "test_clips": len(clips[test]),
        "test_clips_sharing_source": same_source,
        "test_clips_sharing_source_share": same_source / count,
        "test_clips_with_neighbour": beside,
        "test_clips_with_neighbour_share": beside / count,
        "sources_in_two_splits": sum(number > 1 for number in splits_of_source.values()),
    }


def scheme_report(release: Release, scheme: str) -> dict[str, Any]:
    """Return clips, sources, classes and domains of each split, the classes lost, and the leak.

    A class is lost if it occurs and is not in both train and test. This is ``unavoidable`` for a scheme that never
    divides a source if all clips of the class come from one source.
    """
    split_of_clip = split_of(release, scheme)
    clips = release.clips.to_pylist()
    source_of = {clip["video_id"]: clip["source"] for clip in clips}
    splits_of: dict[str, list[str]] = {"real": [], "movie": []}
    sources: dict[str, set[str]] = {split: set() for split in SPLITS}
    for clip in clips:
        splits_of[clip["domain"]].append(split_of_clip[clip["video_id"]])
        sources[split_of_clip[clip["video_id"]]].add(clip["source"])
    classes: dict[str, set[int]] = {split: set() for split in SPLITS}
    sources_of_class: dict[int, set[str]] = {action.action_id: set() for action in ACTIONS}
    labels = (release.labels[name].to_pylist() for name in ("video_id", "action_id"))
    for video_id, action_id in zip(*labels, strict=True):
        classes[split_of_clip[video_id]].add(action_id)
        sources_of_class[action_id].add(source_of[video_id])
    kept = classes["train"] & classes["test"]
    lost = [
        {"action_id": action.action_id, "name": action.name, "unavoidable": len(homes) < 2}
        for action in ACTIONS
        if (homes := sources_of_class[action.action_id]) and action.action_id not in kept
    ]
    return {
        "scheme": scheme,
        "clips": _share_of_splits(split_of_clip.values()),
        "domains": {domain: _share_of_splits(splits_of[domain]) for domain in ("real", "movie")},
        "sources": {split: len(sources[split]) for split in SPLITS},
        "classes": {split: len(classes[split]) for split in SPLITS},
        "classes_lost": lost,
        "leak": leak_report(split_of_clip),
    }


def _share_of_splits(splits: Iterable[str]) -> dict[str, dict[str, float]]:
    count = Counter(splits)
    total = max(count.total(), 1)
    return {split: {"clips": count[split], "share": count[split] / total} for split in SPLITS}


def clips_without_split(release: Release) -> list[str]:
    """Return the clips that no official file names; ``split_of`` puts them in train."""
    if release.official is None:
        return []
    return release.clips["video_id"].filter(pc.is_null(release.official)).to_pylist()
