"""Which split a clip is in: the released division, and the one without leaks."""

from __future__ import annotations

from ..errors import DataError
from .keyframes import SPLITS
from .release import Release
from .source_disjoint import divide_sources

SCHEMES = ("official", "source_disjoint")


def split_of(release: Release, scheme: str) -> dict[str, str]:
    """The split, ``train``, ``validation`` or ``test``, of every clip.

    ``official`` follows the released key-frame files. A clip that none of them names (nobody in it has a box, so
    nothing in it can be scored) goes to train, which leaves the scored splits as they were published.
    ``source_disjoint`` keeps all clips of a source together, see ``source_disjoint.divide_sources``.
    """
    ids = release.clips["video_id"].to_pylist()
    if scheme == "official":
        if release.official is None:
            files = {"ava_train": "ava_train.csv", "ava_val": "ava_val_gt.csv", "ava_test": "ava_test_gt.csv"}
            missing = [file for field, file in files.items() if getattr(release.layout, field) is None]
            raise DataError(
                f"the official split is in files that are not here: {', '.join(missing)}",
                file=release.root,
                hint="they are in the train-ready repository of the release; or use scheme='source_disjoint'",
            )
        return {name: split or SPLITS[0] for name, split in zip(ids, release.official.to_pylist(), strict=True)}
    if scheme == "source_disjoint":
        split_of_source = divide_sources(release)
        return {
            name: split_of_source[source] for name, source in zip(ids, release.clips["source"].to_pylist(), strict=True)
        }
    raise DataError("unknown scheme", value=scheme, hint=f"one of {', '.join(SCHEMES)}")
