"""``microg4m_hf.load_dataset``: load the dataset in one call, without patching ``datasets``."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Literal

from ..errors import DataError

if TYPE_CHECKING:
    from datasets import Dataset, DatasetDict, IterableDataset, IterableDatasetDict


class _Default(str):
    """The default of ``scheme``, which differs from the same word passed by a caller.

    ``load_dataset("vqa")`` returns one split, as the paper evaluates; ``load_dataset("vqa", scheme="official")`` three.
    """


def load_dataset(
    config: Literal["har", "caption", "vqa"],
    *,
    split: Any = None,
    data_dir: str | os.PathLike[str] | None = None,
    source: str | None = None,
    revision: str | None = None,
    scheme: str = _Default("official"),
    domain: str | None = None,
    videos: bool = True,
    streaming: bool = False,
    num_proc: int | None = None,
    on_error: Literal["raise", "skip"] = "raise",
) -> Dataset | DatasetDict | IterableDataset | IterableDatasetDict | list[Any]:
    """Load MicroG-4M with ``datasets``.

    ``har`` has one row per clip, ``caption`` one per caption, ``vqa`` one per question. The column ``video`` refers to
    the file of the clip and decodes nothing: ``microg4m_hf.data.open_clip(row["video"])`` reads frames, and
    ``cast_column("video", datasets.Video())`` gives the decoders of ``datasets``.

    Args:
        config: ``"har"``, ``"caption"`` or ``"vqa"``.
        split: As in ``datasets``: a name, a slice such as ``"train[:10%]"``, or a list of them; by default all splits.
        data_dir: A folder with the same files as the released repositories; by default they come from the Hub.
        source: ``"sample"`` for the built-in sample, or ``"org/repo"`` for a copy of the release on the Hub.
        revision: Commit, tag or branch of the Hub repository. The rows are cached by the commit it stands for.
        scheme: ``"official"`` for the published splits, or ``"source_disjoint"`` to keep each film or YouTube video in
            one split. ``caption`` and ``vqa`` are one split ``test`` unless ``scheme`` is passed.
        domain: Load only ``"real"`` or only ``"movie"`` clips.
        videos: Whether rows have the column ``video``; ``False`` needs no clips.
        streaming: Return iterable datasets and write no files.
        num_proc: The number of processes that build the dataset.
        on_error: ``"raise"`` the first fault in the files, or ``"skip"`` faulty rows and count them in a warning.

    Returns:
        What ``datasets.load_dataset`` returns for the same ``split`` and ``streaming``.

    Raises:
        DataError: If an argument or a row of the files is wrong.
        SourceError: If the files cannot be found or downloaded.

    Example:
        >>> load_dataset("vqa", scheme="random")
        Traceback (most recent call last):
        microg4m_hf.errors.DataError: unknown scheme: 'random' (use 'official' or 'source_disjoint')
    """
    if num_proc is not None and (not isinstance(num_proc, int) or num_proc < 1):
        raise DataError(
            "num_proc= must be a number of processes", value=num_proc, hint="give 1 or more, or leave it out"
        )
    if streaming and num_proc not in (None, 1):
        raise DataError("num_proc= builds files, but streaming=True builds none", value=num_proc, hint="leave one out")
    from .builder import MicroG4M

    builder = MicroG4M(
        config_name=config,
        data_dir=None if data_dir is None else os.fspath(data_dir),
        source=source,
        revision=revision,
        scheme=None if isinstance(scheme, _Default) else scheme,
        domain=domain,
        videos=videos,
        on_error=on_error,
    )
    if streaming:
        return builder.as_streaming_dataset(split=split)
    builder.download_and_prepare(num_proc=num_proc)
    return builder.as_dataset(split=split)
