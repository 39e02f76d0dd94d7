"""The references that runs are scored against: which a run needs, and what a report shows about their clips."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from ..data.references import find_references, training_label_counts
from ..data.release.clip_files import clip_path
from ..data.release.layout import find_layout
from ..data.release.release import read_release
from ..data.run_data import RunData
from ..data.sources import resolve_root
from ..errors import PredictionError, RecipeError, SourceError
from ..metrics.har.inputs import read_rows
from ..metrics.har.rows import ActionRows
from ..metrics.text.entries import join_key, read_entries
from .runs import RunInfo

_LOCATION = ("data_dir", "source", "revision")
_UNITS = {"har": "key frames", "caption": "captions", "vqa": "questions"}


@dataclass(frozen=True)
class Target:
    """Which references a run is scored against: a file, or a split of the dataset.

    Args:
        task: ``"har"``, ``"caption"`` or ``"vqa"``.
        file: A file of references; the next five are then unknown.
        data_dir: As for ``load_dataset``.
        source: As for ``load_dataset``.
        revision: As for ``load_dataset``.
        scheme: The split scheme; ``None`` for captions and questions that are not divided.
        split: The split.
        assumed: What neither the run nor the caller names, in words.
    """

    task: str
    file: str | None = None
    data_dir: str | None = None
    source: str | None = None
    revision: str | None = None
    scheme: str | None = None
    split: str = "test"
    assumed: str = field(default="", compare=False)

    @property
    def location(self) -> dict[str, str | None]:
        """The release, as keywords of ``load_dataset``."""
        return {name: getattr(self, name) for name in _LOCATION}

    def describe(self) -> str:
        """Return what a reader of the scores must know about the references.

        >>> Target("har", source="sample").describe()
        'the built-in sample, scheme official, split test'
        >>> Target("vqa", file="x/answers.json").describe()
        'answers.json'
        """
        if self.file is not None:
            return Path(self.file).name
        scheme = self.scheme or ("official" if self.task == "har" else None)
        parts = f"scheme {scheme}, split {self.split}" if scheme else "not divided into splits"
        return f"{describe_release(self.data_dir, self.source, self.revision)}, {parts}"


def choose_target(
    run: RunInfo, *, references: str | os.PathLike[str] | None = None, split: str | None = None, **named: str | None
) -> Target:
    """Return the references that a run is scored against: what the caller names, and otherwise what the run records.

    Args:
        run: The run.
        references: A file of references.
        split: The split that was predicted.
        named: ``data_dir``, ``source``, ``revision`` and ``scheme`` of the dataset, ``None`` where not given.

    Raises:
        RecipeError: The caller names the references twice, or another split than the run was made on.
    """
    assert run.task is not None
    recorded = run.asked is not None or run.scheme is not None
    if references is not None:
        others = [name for name, value in {**named, "split": split}.items() if value is not None]
        if others:
            raise RecipeError(
                f"--references and --{others[0].replace('_', '-')} both name the references; leave one of them out"
            )
        return Target(run.task, os.fspath(references))
    scheme = named.pop("scheme", None)
    own_scheme = run.scheme or ("official" if run.task == "har" and run.asked is not None else None)
    for option, given, own, is_known in (
        ("scheme", scheme, own_scheme, recorded),
        ("split", split, run.split, run.split is not None),
    ):
        if given is not None and is_known and given != own:
            raise RecipeError(
                f"{run.path} predicts {_split_text(run, own_scheme)}, so --{option} {given} does not fit it; "
                f"leave --{option} out, or predict with --{option} {given}"
            )
    assumed = []
    if scheme is None and not recorded and run.task == "har":
        assumed.append("scheme official")
    if split is None and run.split is None:
        assumed.append("split test" if run.task == "har" or scheme or recorded else "all of them")
    text = f"{run.path.name} does not record its split: {' and '.join(assumed)} assumed" if assumed else ""
    location = named if any(named.values()) else run.data
    where = {name: location.get(name) for name in _LOCATION}
    scheme = scheme or own_scheme or ("official" if run.task == "har" else None)
    return Target(run.task, None, **where, scheme=scheme, split=split or run.split or "test", assumed=text)


def _split_text(run: RunInfo, scheme: str | None) -> str:
    return f"split {run.split or 'test'} of scheme {scheme}" if scheme else f"all {run.task} items, without a scheme"


def find_data(target: Target, run: RunInfo | None = None) -> Any:
    """Return the references of a target: a file, or rows of the dataset.

    Raises:
        SourceError: The release is not there; the message names the options, if the release is the run's own.
    """
    if target.file is not None:
        return target.file
    try:
        return find_references(target.task, target.split, scheme=target.scheme, **target.location)
    except SourceError as error:
        if run is None or run.data != {name: value for name, value in target.location.items() if value is not None}:
            raise
        cure = "give --data-dir or --source to name another place"
        raise SourceError(f"{error}; {run.path} was made with it: {cure}") from None


def only_items(data: Any, target: Target, runs: Sequence[RunInfo]) -> tuple[Any, str]:
    """Return the references of the items that all runs were asked for, and in words which part that is.

    Runs that do not record their items were asked for all of them.

    Args:
        data: The references, from :func:`find_data`.
        target: Where they are from.
        runs: The runs that are scored on them.

    Returns:
        The references, unchanged where they are all needed, and a text that is then empty.

    Raises:
        PredictionError: A run was asked for items that the references lack, or two runs share no item.
    """
    recorded = [(run, run.asked) for run in runs if run.asked is not None and run.asked.items]
    if not recorded:
        return data, ""
    actions = read_rows(data, references=True) if target.task == "har" else None
    entries = read_entries(data, target.task, "references") if actions is None else []
    keys = [entry.key for entry in entries] if actions is None else _frame_keys(actions)
    known = set(keys)
    common = set(known)
    for run, asked in recorded:
        own = {join_key(item) for item in asked.items}
        if not own <= known:
            raise PredictionError(_foreign(run, asked, own - known, target))
        common &= own
    if not common:
        raise PredictionError("the runs were not asked for a common item; predict the same split with both")
    if common == known:
        return data, ""
    part = f"{len(common)} of {len(known)} {_UNITS[target.task]}"
    if actions is not None:
        return actions.take(np.flatnonzero([key in common for key in keys])), part
    return [_text_row(entry.key, entry.text) for entry in entries if entry.key in common], part


def _frame_keys(rows: ActionRows) -> list[tuple[str, int]]:
    return [(rows.videos[video], frame) for video, frame in zip(rows.video.tolist(), rows.frame.tolist(), strict=True)]


def _text_row(key: Any, text: Any) -> dict[str, Any]:
    if isinstance(key, tuple):
        return {"video_id": key[0], "question": key[1], "reference": text}
    return {"video_id": key, "reference": text}


def _foreign(run: RunInfo, asked: RunData, foreign: set[Any], target: Target) -> str:
    text = (
        f"{len(foreign)} of {len(set(asked.items))} items that {run.path} was asked for are not in "
        f"{target.describe()}, for example {sorted(map(str, foreign))[0]}"
    )
    cure = "give --references a file that has them" if target.file else "name another --data-dir or --source"
    return f"{text}; it was made with {asked.options()}: leave the options out, or {cure}"


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
    split: str | None = None
    part: str = ""  # which items these are, if not all of the split

    @classmethod
    def from_file(cls, task: str, path: str | os.PathLike[str]) -> References:
        """Read a file of references; domains, training counts and clips stay unknown."""
        return cls(task, read_rows(path, references=True) if task == "har" else os.fspath(path), Path(path).name)

    @classmethod
    def of_target(cls, target: Target, run: RunInfo | None = None) -> References:
        """Read the references of a target; ``run`` is named in the error if they cannot be found."""
        if target.file is not None:
            return cls.from_file(target.task, target.file)
        data = find_data(target, run)
        return cls._with_clips(target.task, data, target.location, target.scheme, target.split)

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
        return cls._with_clips(task, find_references(task, split, scheme=scheme, **where), where, scheme, split)

    @classmethod
    def _with_clips(cls, task: str, data: Any, where: dict[str, Any], scheme: str | None, split: str) -> References:
        root = resolve_root(task, videos=False, **where)
        clips, videos = read_release(root, need=()).clips, find_layout(root).videos
        names, domains, films = (clips[name].to_pylist() for name in ("video_id", "domain", "source"))
        return cls(
            task,
            read_rows(data, references=True) if task == "har" else data,
            describe_release(**where),
            scheme or "official",
            where["source"] == "sample",
            dict(zip(names, domains, strict=True)),
            training_label_counts(scheme=scheme, **where) if task == "har" else None,
            {
                name: clip_path(videos, domain, film, name)
                for name, domain, film in zip(names, domains, films, strict=True)
                if videos is not None
            },
            split if task == "har" or scheme else None,
        )

    def describe(self) -> str:
        """Return what these references are, as the introduction of a report says it."""
        divided = f"split scheme {self.scheme}, split {self.split}" if self.split else "not divided into splits"
        return ", ".join(filter(None, [self.where, divided if self.domains is not None else "", self.part]))

    def only(self, target: Target, runs: Sequence[RunInfo]) -> References:
        """Keep the items that all runs were asked for; see :func:`only_items`."""
        data, part = only_items(self.data, target, runs)
        return replace(self, data=data, part=part) if part else self


def describe_release(data_dir: str | None, source: str | None, revision: str | None) -> str:
    """Name a release for readers.

    >>> describe_release(None, "sample", None), describe_release("/data/microg4m", None, None)
    ('the built-in sample', 'files in microg4m')
    """
    if source == "sample":
        return "the built-in sample"
    if data_dir:
        return f"files in {Path(data_dir).name}"
    commits = ",".join(one[:12] for one in (revision or "").split(","))
    return f"{'the Hub' if source in (None, 'hub') else source}{f' at {commits}' if commits else ''}"
