"""The references that runs are scored against, with what a report shows about their clips."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..data.references import find_references, training_label_counts
from ..data.release.clip_files import clip_path
from ..data.release.layout import find_layout
from ..data.release.release import read_release
from ..data.sources import resolve_root
from ..metrics.har.inputs import read_rows


@dataclass(frozen=True)
class References:
    """References of one task and split."""

    task: str
    data: Any  # har: the rows that the metrics read; caption and vqa: a file or rows of the dataset
    where: str  # for readers: which dataset or file this is
    scheme: str = "official"
    sample: bool = False
    domains: Mapping[str, str] | None = None
    class_counts: Mapping[int, int] | None = None  # labels in training, by action id
    clips: Mapping[str, Path] = field(default_factory=dict)  # the file of every clip, where clips are available

    @classmethod
    def from_file(cls, task: str, path: str | os.PathLike[str]) -> References:
        """Read a file of references; domains, training counts and clips stay unknown."""
        return cls(task, read_rows(path, references=True) if task == "har" else os.fspath(path), Path(path).name)

    @classmethod
    def from_dataset(
        cls,
        task: str,
        *,
        data_dir: str | None = None,
        source: str | None = None,
        revision: str | None = None,
        scheme: str | None = None,
        split: str = "test",
    ) -> References:
        """Read the references of a split of the dataset."""
        where: dict[str, Any] = {"data_dir": data_dir, "source": source, "revision": revision}
        data: Any = find_references(task, split, scheme=scheme, **where)
        root = resolve_root(task, videos=False, **where)
        clips, videos = read_release(root, need=()).clips, find_layout(root).videos
        names, domains, films = (clips[name].to_pylist() for name in ("video_id", "domain", "source"))
        return cls(
            task,
            read_rows(data, references=True) if task == "har" else data,
            _describe(data_dir, source, revision),
            scheme or "official",
            source == "sample",
            dict(zip(names, domains, strict=True)),
            training_label_counts(scheme=scheme, **where) if task == "har" else None,
            {
                name: clip_path(videos, domain, film, name)
                for name, domain, film in zip(names, domains, films, strict=True)
                if videos is not None
            },
        )


def _describe(data_dir: str | None, source: str | None, revision: str | None) -> str:
    if source == "sample":
        return "the built-in sample"
    if data_dir:
        return f"files in {Path(data_dir).name}"
    return f"{source or 'the Hub'}{f' at {revision}' if revision else ''}"
