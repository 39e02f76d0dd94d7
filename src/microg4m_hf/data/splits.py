"""Assign every clip to a split: the official one, or ``source_disjoint``, in which no film or video is in two splits.

The algorithm of ``source_disjoint`` uses whole numbers only, so that every machine finds the same splits:

1. Sources are sorted by number of clips, then by name. One after the other is added to the split that lacks the most
   clips of its target (70, 10 and 20 percent of all clips; ties: train, validation, test).
2. The assignment is improved in steps. A step moves one source to another split or swaps two sources of different
   splits. The step with the lowest cost is taken, the first if several are equal, until no step lowers the cost.
3. The best assignment is perturbed (some sources moved at random, by a fixed generator) and improved again, a fixed
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
from .release.actions import LABEL_OF_ID, person_keys
from .release.key_frames import FIELD_OF_SPLIT, SPLITS
from .release.layout import FILE_NAMES
from .release.release import Release

SCHEMES = ("official", "source_disjoint")
TRAIN, VALIDATION, TEST = range(3)
TARGETS = np.array([7, 1, 2])  # tenths of the clips in train, validation and test
_PERTURBATIONS = 4
_BATCH = 2048  # assignments whose cost is computed at once
_MAX_SWAPPED = 128  # with more sources than this, moves alone reach the targets


def split_of(release: Release, scheme: str) -> dict[str, str]:
    """Return the split of every clip: ``"train"``, ``"validation"`` or ``"test"``.

    A clip that no official file names (nobody in it has a box, so nothing in it can be scored) is in train, which
    keeps the scored splits as they were published.

    Args:
        release: The clips, their labels and the official splits.
        scheme: ``"official"`` follows the released key-frame files; ``"source_disjoint"`` keeps all clips of a source
            in one split.

    Raises:
        DataError: If the scheme is unknown, if an official file is missing, or if there is only one source.
    """
    ids = release.clips["video_id"].to_pylist()
    if scheme == "official":
        if release.official is None:
            fields = [field for field in FIELD_OF_SPLIT.values() if getattr(release.layout, field) is None]
            missing = ", ".join(FILE_NAMES[field] for field in fields)
            problem = f"the official split is in files that are missing: {missing}"
            hint = "they are in the train-ready repository of the release; or use scheme='source_disjoint'"
            raise DataError(problem, file=release.root, hint=hint)
        return {name: split or SPLITS[0] for name, split in zip(ids, release.official.to_pylist(), strict=True)}
    if scheme == "source_disjoint":
        split_of_source = split_sources(release)
        sources = release.clips["source"].to_pylist()
        return {name: split_of_source[source] for name, source in zip(ids, sources, strict=True)}
    raise DataError("unknown scheme", value=scheme, hint=f"one of {', '.join(SCHEMES)}")


def split_sources(release: Release) -> dict[str, str]:
    """Return the split of every source by the scheme ``source_disjoint``."""
    clips = release.clips
    names = sorted(set(clips["source"].to_pylist()))
    if len(names) < 2:
        problem = "the clips come from one source, and source_disjoint never divides a source"
        hint = "use scheme='official', or add clips of other sources"
        raise DataError(problem, file=release.root, value=", ".join(names), hint=hint)
    source = np.asarray(pc.index_in(clips["source"].combine_chunks(), value_set=pa.array(names, pa.string())))
    domains = clips["domain"].to_numpy(zero_copy_only=False)
    sizes = np.stack([np.bincount(source[domains == name], minlength=len(names)) for name in ("movie", "real")], axis=1)
    split = divide(sizes, _classes(release, source, len(names)))
    return {name: SPLITS[place] for name, place in zip(names, split, strict=True)}


def _classes(release: Release, source_of_clip: np.ndarray, sources: int) -> np.ndarray:
    """Return which classes occur in which source: by all labels, then by the labels of persons with a key frame."""
    ids = release.clips["video_id"].combine_chunks()
    person = person_keys(release.labels, ids)
    source = source_of_clip[person >> 20]
    label = LABEL_OF_ID[release.labels["action_id"].to_numpy()]
    scored = np.isin(person, person_keys(release.key_frames, ids))
    if not release.layout.has_key_frames:
        # Key frames were derived from boxes, which not every config reads; the splits of all configs must be equal.
        scored[:] = True
    found = np.zeros((2, sources, int(LABEL_OF_ID.max()) + 1), dtype=bool)
    found[0, source, label] = True
    found[1, source[scored], label[scored]] = True
    return np.concatenate(found, axis=1)


def divide(sizes: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """Return the splits (0, 1, 2) of sources with ``sizes`` (sources, domains) and ``classes`` (sources, classes).

    Example:
        >>> sizes = np.array([[7, 0], [2, 0], [1, 0]])
        >>> divide(sizes, np.zeros((3, 1), dtype=bool)).tolist()
        [0, 2, 1]
    """
    best = _improve(_greedy_split(sizes.sum(axis=1)), sizes, classes)
    lowest = _costs(best[None], sizes, classes)[0]
    state = 1
    for _ in range(_PERTURBATIONS):
        perturbed = best.copy()
        for _ in range(max(2, len(best) // 8)):
            state = state * 1103515245 + 12345 & 0x7FFFFFFF
            perturbed[(state >> 8) % len(best)] = (state >> 4) % 3
        perturbed = _improve(perturbed, sizes, classes)
        cost = _costs(perturbed[None], sizes, classes)[0]
        if cost < lowest:
            best, lowest = perturbed, cost
    return best


def _greedy_split(sizes: np.ndarray) -> np.ndarray:
    split = np.zeros(len(sizes), dtype=np.int64)
    filled = np.zeros(3, dtype=np.int64)
    for place in np.argsort(-sizes, kind="stable"):
        split[place] = np.argmax(TARGETS * sizes.sum() - 10 * filled)
        filled[split[place]] += sizes[place]
    return split


def _improve(split: np.ndarray, sizes: np.ndarray, classes: np.ndarray) -> np.ndarray:
    cost = _costs(split[None], sizes, classes)[0]
    while True:
        steps = _steps(split)
        batches = (steps[i : i + _BATCH] for i in range(0, len(steps), _BATCH))
        costs = np.concatenate([_costs(batch, sizes, classes) for batch in batches])
        if costs.min() >= cost:
            return split
        split, cost = steps[np.argmin(costs)], costs.min()


def _steps(split: np.ndarray) -> np.ndarray:
    """Return all assignments that are one move or one swap away."""
    sources = len(split)
    moved = np.repeat(split[None], 2 * sources, axis=0)
    moved[np.arange(2 * sources), np.tile(np.arange(sources), 2)] = np.concatenate([split + 1, split + 2]) % 3
    if sources > _MAX_SWAPPED:
        return moved
    one, other = np.triu_indices(sources, 1)
    differ = split[one] != split[other]
    one, other = one[differ], other[differ]
    swapped = np.repeat(split[None], len(one), axis=0)
    swapped[np.arange(len(one)), one], swapped[np.arange(len(one)), other] = split[other], split[one]
    return np.concatenate([moved, swapped])


def _costs(splits: np.ndarray, sizes: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """Return the costs of many assignments, as whole numbers (float64 sums of whole numbers are exact)."""
    member = splits[:, None, :] == np.arange(3)[None, :, None]  # (assignments, 3, sources)
    weights = np.concatenate([sizes, classes], axis=1).astype(np.float64)
    sums = np.rint(member.astype(np.float64) @ weights).astype(np.int64)
    clips, present = sums[:, :, : sizes.shape[1]], sums[:, :, sizes.shape[1] :] > 0
    in_sources = classes.sum(axis=0)
    lost = ((in_sources >= 2) & ~(present[:, TRAIN] & present[:, TEST])).sum(axis=1)
    unseen = ((in_sources >= 3) & ~present[:, VALIDATION]).sum(axis=1)
    off = np.abs(10 * clips.sum(axis=2) - TARGETS * sizes.sum()).sum(axis=1)
    off_domain = np.abs(10 * clips - TARGETS[None, :, None] * sizes.sum(axis=0)[None, None]).sum(axis=(1, 2))
    total = 1000 * max(int(sizes.sum()), 1)
    return lost * total * 1000 + (2 * off + off_domain) * 100 + unseen
