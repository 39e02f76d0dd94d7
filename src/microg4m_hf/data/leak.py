"""How much a split gives away: sources in two splits, and test clips cut right beside a training clip."""

from __future__ import annotations

from collections.abc import Mapping

from ..clip_ids import split_clip_id
from ..errors import DataError


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
