"""``microg4m_hf.load_dataset``: the data set in one call, without patching anything."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Literal

from ..errors import DataError

if TYPE_CHECKING:
    from datasets import Dataset, DatasetDict, IterableDataset, IterableDatasetDict


class _Unsaid(str):
    """A default that a caller who writes the same word can be told from.

    ``load_dataset("vqa")`` gives one split, as the paper evaluates; ``load_dataset("vqa", scheme="official")`` three.
    """


OFFICIAL = _Unsaid("official")


def load_dataset(
    config: Literal["har", "caption", "vqa"],
    *,
    split: Any = None,
    data_dir: str | os.PathLike[str] | None = None,
    source: str | None = None,
    revision: str | None = None,
    scheme: str = OFFICIAL,
    domain: str | None = None,
    videos: bool = True,
    streaming: bool = False,
    num_proc: int | None = None,
    on_error: Literal["raise", "skip"] = "raise",
) -> Dataset | DatasetDict | IterableDataset | IterableDatasetDict | list[Any]:
    """Load MicroG-4M as a ``datasets`` data set.

    ``har`` has one row per clip, ``caption`` one per caption, ``vqa`` one per question. The column ``video`` refers to
    the clip's file and decodes nothing: ``microg4m_hf.data.open_clip(row["video"])`` reads frames, and
    ``cast_column("video", datasets.Video())`` gives decoders of ``datasets``.

    Args:
        split: as in ``datasets``: a name, a slice such as ``"train[:10%]"``, a list of them; all splits if not given.
        data_dir: a folder laid out like the released repositories; else the Hub is asked.
        source: ``"sample"`` for the sample that the library makes itself, ``"org/repo"`` for a copy on the Hub.
        revision: commit, tag or branch of the Hub repository. Whatever is named, the rows are cached by its commit.
        scheme: ``"official"`` divides by clip as published, ``"source_disjoint"`` keeps each film or YouTube video in
            one split. ``caption`` and ``vqa`` are one split ``test`` unless ``scheme`` is given.
        domain: only ``"real"`` or only ``"movie"`` clips.
        videos: ``False`` needs no clip and leaves the column ``video`` out.
        streaming: give iterable data sets, without writing anything.
        num_proc: processes that build the data set.
        on_error: what to do with rows that cannot be right: ``"raise"``, or ``"skip"`` and count them in a warning.

    >>> load_dataset("vqa", scheme="random")
    Traceback (most recent call last):
    microg4m_hf.errors.DataError: unknown scheme: 'random' (use 'official' or 'source_disjoint')
    """
    if num_proc is not None and (not isinstance(num_proc, int) or num_proc < 1):
        raise DataError("num_proc= is a number of processes", value=num_proc, hint="give 1 or more, or leave it out")
    if streaming and num_proc not in (None, 1):
        raise DataError("num_proc= builds files and streaming=True builds none", value=num_proc, hint="leave one out")
    from .builder import MicroG4M

    builder = MicroG4M(
        config_name=config,
        data_dir=None if data_dir is None else os.fspath(data_dir),
        source=source,
        revision=revision,
        scheme=None if isinstance(scheme, _Unsaid) else scheme,
        domain=domain,
        videos=videos,
        on_error=on_error,
    )
    if streaming:
        return builder.as_streaming_dataset(split=split)
    builder.download_and_prepare(num_proc=num_proc)
    return builder.as_dataset(split=split)
