"""Find the references of a split: what its predictions are scored against, and what else scores need to know of it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from ..taxonomy import ACTION_IDS
from .load import load_dataset
from .release.layout import find_layout
from .sources import resolve_root

if TYPE_CHECKING:
    from datasets import Dataset


def find_references(
    task: str,
    split: str = "test",
    *,
    scheme: str | None = None,
    data_dir: str | os.PathLike[str] | None = None,
    source: str | None = None,
    revision: str | None = None,
) -> Path | Dataset:
    """Return the references of a split: the released key-frame file where there is one, else rows of the dataset.

    The released files repeat some labels, and a repeated label counts twice in the published numbers. The rows of the
    ``har`` config hold these in ``repeated_actions``, so both give the same scores and the same signature.

    Args:
        task: ``"har"``, ``"caption"`` or ``"vqa"``.
        split: The split that was predicted.
        scheme: ``"official"``, ``"source_disjoint"``, or ``None`` for the default of ``load_dataset``.
        data_dir: A local folder with the released files.
        source: ``"sample"``, ``"hub"`` or a Hub repository.
        revision: Commit, tag or branch of the Hub repository.

    Example:
        >>> find_references("har", source="sample").name
        'ava_test_gt.csv'
        >>> find_references("har", scheme="source_disjoint", source="sample").column_names[:2]
        ['video_id', 'source']
    """
    where: dict[str, Any] = {"data_dir": data_dir, "source": source, "revision": revision}
    released = released_references(split, scheme=scheme, **where) if task == "har" else None
    return _rows(task, split, scheme, where) if released is None else released


def released_references(split: str, *, scheme: str | None = None, **where: Any) -> Path | None:
    """Return the released key-frame file of a split, or ``None``: only the official scheme has such files."""
    if scheme not in (None, "official"):
        return None
    files = find_layout(resolve_root("har", videos=False, **where))
    return {"train": files.ava_train, "validation": files.ava_val, "test": files.ava_test}.get(split)


def training_label_counts(*, scheme: str | None = None, **where: Any) -> dict[int, int]:
    """Count how often each action occurs in training, by action id: this decides which actions are frequent or rare."""
    counts = dict.fromkeys(ACTION_IDS, 0)
    for persons in _rows("har", "train", scheme, where)["persons"]:
        for person in persons:
            for label in person["actions"]:
                counts[ACTION_IDS[label]] += 1
    return counts


def _rows(task: str, split: str, scheme: str | None, where: dict[str, Any]) -> Dataset:
    options = where | ({"scheme": scheme} if scheme else {})
    return cast("Dataset", load_dataset(task, split=split, videos=False, **options))  # type: ignore[arg-type]
