"""The ``source_disjoint`` scheme: no film and no video in two splits.

The algorithm, in whole numbers only, so that every machine finds the same division:

1. Sources are put in order: most clips first, equal ones by name. One after the other goes to the split that
   lacks most clips of its target (70, 10 and 20 per cent of all clips; ties: train, validation, test).
2. The division is improved in steps. A step moves one source to another split or swaps two sources of different
   splits. Of all steps the one with the lowest cost is taken, the first of equals, until none lowers the cost.
3. The best division is shaken (some sources moved at random, by a fixed generator) and improved again, a fixed
   number of times; a result is kept if its cost is lower.

The cost, most important first: classes that occur in at least two sources, so could be in train and in test, and
are not in both; how many clips the splits are off their targets, over all clips and, with half the weight, within
each domain; classes of at least three sources that validation lacks. A class is counted by its labels and, a
second time, by its labels that have a key frame, as only those can be scored.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ..errors import DataError
from .release.actions import LABEL_OF_ID
from .release.key_frames import SPLITS
from .release.release import Release

PARTS = np.array([7, 1, 2])  # of ten: train, validation, test
TRAIN, VALIDATION, TEST = range(3)
SHAKES = 4
_AT_ONCE = 2048
_MOST_SWAPPED = 128  # with more sources than this, moves alone reach the targets


def divide_sources(release: Release) -> dict[str, str]:
    """The split of every source."""
    clips = release.clips
    names = sorted(set(clips["source"].to_pylist()))
    if len(names) < 2:
        raise DataError(
            "the clips come from one source, and source_disjoint never divides a source",
            file=release.root,
            value=", ".join(names),
            hint="use scheme='official', or add clips of other sources",
        )
    source = np.asarray(pc.index_in(clips["source"].combine_chunks(), value_set=pa.array(names, pa.string())))
    domains = clips["domain"].to_numpy(zero_copy_only=False)
    sizes = np.stack([np.bincount(source[domains == name], minlength=len(names)) for name in ("movie", "real")], axis=1)
    split = divide(sizes, _classes(release, source, len(names)))
    return {name: SPLITS[place] for name, place in zip(names, split, strict=True)}


def _classes(release: Release, source_of_clip: np.ndarray, sources: int) -> np.ndarray:
    """Which classes occur in which source: by all labels, then by the labels of persons with a key frame."""
    ids = release.clips["video_id"].combine_chunks()
    clip = pc.index_in(release.labels["video_id"].combine_chunks(), value_set=ids).to_numpy().astype(np.int64)
    label = LABEL_OF_ID[release.labels["action_id"].to_numpy()]
    person = clip << 20 | release.labels["person_id"].to_numpy()
    key_clip = pc.index_in(release.key_frames["video_id"].combine_chunks(), value_set=ids).to_numpy().astype(np.int64)
    scored = np.isin(person, key_clip << 20 | release.key_frames["person_id"].to_numpy())
    if not release.layout.has_key_frames:
        # Derived from boxes, which not every config reads; and all configs must be divided alike.
        scored[:] = True
    found = np.zeros((2, sources, int(LABEL_OF_ID.max()) + 1), dtype=bool)
    found[0, source_of_clip[clip], label] = True
    found[1, source_of_clip[clip[scored]], label[scored]] = True
    return np.concatenate(found, axis=1)


def divide(sizes: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """Splits (0, 1, 2) of sources with ``sizes`` (sources, domains) and ``classes`` (sources, classes).

    >>> sizes = np.array([[7, 0], [2, 0], [1, 0]])
    >>> divide(sizes, np.zeros((3, 1), dtype=bool)).tolist()
    [0, 2, 1]
    """
    best = _improve(_first(sizes.sum(axis=1)), sizes, classes)
    lowest = _costs(best[None], sizes, classes)[0]
    state = 1
    for _ in range(SHAKES):
        shaken = best.copy()
        for _ in range(max(2, len(best) // 8)):
            state = state * 1103515245 + 12345 & 0x7FFFFFFF
            shaken[(state >> 8) % len(best)] = (state >> 4) % 3
        shaken = _improve(shaken, sizes, classes)
        cost = _costs(shaken[None], sizes, classes)[0]
        if cost < lowest:
            best, lowest = shaken, cost
    return best


def _first(sizes: np.ndarray) -> np.ndarray:
    split = np.zeros(len(sizes), dtype=np.int64)
    filled = np.zeros(3, dtype=np.int64)
    for place in np.argsort(-sizes, kind="stable"):
        split[place] = np.argmax(PARTS * sizes.sum() - 10 * filled)
        filled[split[place]] += sizes[place]
    return split


def _improve(split: np.ndarray, sizes: np.ndarray, classes: np.ndarray) -> np.ndarray:
    cost = _costs(split[None], sizes, classes)[0]
    while True:
        steps = _steps(split)
        costs = np.concatenate(
            [_costs(steps[i : i + _AT_ONCE], sizes, classes) for i in range(0, len(steps), _AT_ONCE)]
        )
        if costs.min() >= cost:
            return split
        split, cost = steps[np.argmin(costs)], costs.min()


def _steps(split: np.ndarray) -> np.ndarray:
    """All divisions that one move or one swap away."""
    sources = len(split)
    moved = np.repeat(split[None], 2 * sources, axis=0)
    moved[np.arange(2 * sources), np.tile(np.arange(sources), 2)] = np.concatenate([split + 1, split + 2]) % 3
    if sources > _MOST_SWAPPED:
        return moved
    one, other = np.triu_indices(sources, 1)
    differ = split[one] != split[other]
    one, other = one[differ], other[differ]
    swapped = np.repeat(split[None], len(one), axis=0)
    swapped[np.arange(len(one)), one], swapped[np.arange(len(one)), other] = split[other], split[one]
    return np.concatenate([moved, swapped])


def _costs(splits: np.ndarray, sizes: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """The cost of many divisions at once, as whole numbers (float64 sums of whole numbers are exact)."""
    member = splits[:, None, :] == np.arange(3)[None, :, None]  # (divisions, 3, sources)
    weights = np.concatenate([sizes, classes], axis=1).astype(np.float64)
    sums = np.rint(member.astype(np.float64) @ weights).astype(np.int64)
    clips, present = sums[:, :, : sizes.shape[1]], sums[:, :, sizes.shape[1] :] > 0
    in_sources = classes.sum(axis=0)
    lost = ((in_sources >= 2) & ~(present[:, TRAIN] & present[:, TEST])).sum(axis=1)
    unseen = ((in_sources >= 3) & ~present[:, VALIDATION]).sum(axis=1)
    off = np.abs(10 * clips.sum(axis=2) - PARTS * sizes.sum()).sum(axis=1)
    off_domain = np.abs(10 * clips - PARTS[None, :, None] * sizes.sum(axis=0)[None, None]).sum(axis=(1, 2))
    total = 1000 * max(int(sizes.sum()), 1)
    return lost * total * 1000 + (2 * off + off_domain) * 100 + unseen


# Which split a clip is in: the released division, and the one without leaks.

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
