"""The truth that systems are scored against, with what is known of its clips."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..metrics.har.inputs import read_rows
from ..taxonomy import ACTION_IDS


@dataclass(frozen=True)
class Truth:
    """References of one task and split. ``clips`` maps a clip to its file, for those that are at hand."""

    task: str
    references: Any
    where: str
    scheme: str = "official"
    sample: bool = False
    domains: Mapping[str, str] | None = None
    class_counts: Mapping[int, int] | None = None  # labels in training, by action id
    clips: Mapping[str, Path] = field(default_factory=dict)


def from_file(task: str, path: str | os.PathLike[str]) -> Truth:
    """A file with the truth and nothing else: no domains, no training counts, no pictures."""
    references = read_rows(path, references=True) if task == "har" else os.fspath(path)
    return Truth(task, references, Path(path).name)


def from_data_set(
    task: str, *, data_dir: str | None = None, source: str | None = None, revision: str | None = None,
    scheme: str | None = None, split: str = "test",
) -> Truth:  # fmt: skip
    """The truth of a split of the data set.

    Of the official HAR split the released key-frame file is read: it repeats some labels, and a repeated label counts
    twice in the published numbers.
    """
    from ..data import load_dataset, read_release
    from ..data.release.layout import find_layout
    from ..data.sources import resolve_root

    where: dict[str, Any] = {"data_dir": data_dir, "source": source, "revision": revision}
    root = resolve_root(task, videos=False, **where)
    files = find_layout(root)
    references: Any = None
    if task == "har" and scheme in (None, "official"):
        references = {"train": files.ava_train, "validation": files.ava_val, "test": files.ava_test}.get(split)
    chosen: dict[str, Any] = {"scheme": scheme} if scheme else {}
    if references is None:
        references = load_dataset(task, split=split, videos=False, **where, **chosen)  # type: ignore[arg-type]
    if task == "har":
        references = read_rows(references, references=True)
    clips = read_release(root, need=()).clips
    counts = None
    if task == "har":
        counts = _label_counts(load_dataset("har", split="train", videos=False, **where, **chosen))
    names = clips["video_id"].to_pylist()
    return Truth(
        task,
        references,
        _place(data_dir, source, revision),
        scheme or "official",
        source == "sample",
        dict(zip(names, clips["domain"].to_pylist(), strict=True)),
        counts,
        _files(files.videos, clips),
    )


def _label_counts(rows: Any) -> dict[int, int]:
    counts = dict.fromkeys(ACTION_IDS, 0)
    for persons in rows["persons"]:
        for person in persons:
            for label in person["actions"]:
                counts[ACTION_IDS[label]] += 1
    return counts


def _files(videos: Path | None, clips: Any) -> dict[str, Path]:
    if videos is None:
        return {}
    from ..data.release.clip_files import clip_path

    columns = (clips[name].to_pylist() for name in ("domain", "source", "video_id"))
    return {name: clip_path(videos, domain, film, name) for domain, film, name in zip(*columns, strict=True)}


def _place(data_dir: str | None, source: str | None, revision: str | None) -> str:
    if source == "sample":
        return "the built-in sample"
    if data_dir:
        return f"files in {Path(data_dir).name}"
    return f"{source or 'the Hub'}{f' at {revision}' if revision else ''}"
