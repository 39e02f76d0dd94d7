"""The ``datasets`` builder of MicroG-4M: plugs our tables into ``datasets``, and does no more than that.

``datasets`` replaces ``open``, ``os.path.join``, ``pathlib.Path`` and others in the module of a builder and in the
modules that it imports relatively; hence the absolute imports, and no reading of files in here.
"""

from __future__ import annotations

import contextlib
import functools
import inspect
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import datasets
import pyarrow as pa

from microg4m_hf._version import __version__
from microg4m_hf.data.features import CONFIGS, features_of
from microg4m_hf.data.request import Request, Whereabouts, locate, with_clips
from microg4m_hf.data.tables import Rows, rows_of
from microg4m_hf.errors import DataError

# Splits in parts: small objects that travel to worker processes and give their rows there.

# More parts let more processes share a split; the rows of a part are one batch of the Arrow file.
PARTS = 16


@dataclass(frozen=True)
class Part:
    """A run of rows of one split."""

    request: Request
    whereabouts: Whereabouts
    split: str
    index: int

    def table(self) -> pa.Table:
        rows = read(self.request, self.whereabouts).tables[self.split]
        start, stop = (rows.num_rows * bound // PARTS for bound in (self.index, self.index + 1))
        return rows.slice(start, stop - start)


def parts_of(request: Request, whereabouts: Whereabouts, split: str) -> list[Part]:
    """All parts of a split, in the order of its rows."""
    return [Part(request, whereabouts, split, index) for index in range(PARTS)]


# The fingerprint is part of the key, so changed files are read again. Two: a config and the one it is compared with.
@functools.lru_cache(maxsize=2)
def read(request: Request, whereabouts: Whereabouts) -> Rows:
    """The rows, read once in a process: all parts take theirs from them, and processes forked later have them too."""
    rows = rows_of(request, whereabouts)
    if not any(table.num_rows for table in rows.tables.values()):
        of_domain = f" in the domain {request.domain!r}" if request.domain else ""
        raise DataError(f"the release has nothing for {request.config}{of_domain}", file=whereabouts.root)
    if rows.left_out:
        warnings.warn(rows.left_out, UserWarning, stacklevel=2)
    return rows


# Tells datasets that there is nothing to replace in this module, which also saves its import of scipy (0.3 s).
_patched_for_streaming = True


@contextlib.contextmanager
def _splits_explained(request: Request) -> Iterator[None]:
    try:
        yield
    except ValueError as error:
        if not str(error).startswith(("Unknown split", "Bad split")):
            raise
        if request.division:
            raise DataError(f"{request.config} has no such split: {error}") from None
        hint = "scheme='official' or 'source_disjoint' divides it into train, validation and test"
        raise DataError(f"{request.config} is one split 'test'; {error}", hint=hint) from None


@dataclass
class MicroG4MConfig(datasets.BuilderConfig):
    """One of ``har``, ``caption``, ``vqa``; the fields are those of :class:`microg4m_hf.data.request.Request`."""

    source: str | None = None
    revision: str | None = None
    scheme: str | None = None
    domain: str | None = None
    videos: bool = True
    on_error: str = "raise"


def _config(name: str) -> MicroG4MConfig:
    return MicroG4MConfig(name=name, version=datasets.Version(__version__))


# Begins what the description of the built data set says about skipped rows.
_LEFT_OUT = "\nLeft out: "
_TAKEN_BY_DATASETS = inspect.signature(datasets.DatasetBuilder).parameters.keys()


class MicroG4M(datasets.ArrowBasedBuilder):
    """Builds the three configs; ``microg4m_hf.load_dataset`` is the convenient way to it."""

    VERSION = datasets.Version(__version__)
    BUILDER_CONFIG_CLASS = MicroG4MConfig
    BUILDER_CONFIGS: ClassVar = list(map(_config, CONFIGS))

    def __init__(self, *, cache_dir: Any = None, config_name: Any = None, data_dir: Any = None, **kwargs: Any) -> None:
        asked = {name: kwargs.pop(name) for name in Request.__dataclass_fields__ if name in kwargs}
        for name in kwargs.keys() - _TAKEN_BY_DATASETS:
            raise DataError("unknown argument", value=name, hint=f"use {', '.join(MicroG4MConfig.__annotations__)}")
        self.request = Request(config_name, data_dir=data_dir, **asked)
        self.whereabouts: Whereabouts = locate(self.request)
        # The name and the hash decide where the cache looks: without them all classes of one module share a place,
        # and neither changed data nor changed code would be noticed.
        kwargs |= {"dataset_name": "microg4m", "hash": self.whereabouts.fingerprint}
        super().__init__(cache_dir=cache_dir, config_name=config_name, **kwargs, **self.request.said())

    def _info(self) -> datasets.DatasetInfo:
        return datasets.DatasetInfo(
            description="MicroG-4M: what people do in microgravity, in three-second clips",
            homepage="https://huggingface.co/datasets/LEI-QI-233/MicroG-4M",
            license="cc-by-4.0",
            features=features_of(self.request.config, videos=self.request.videos),
        )

    def download_and_prepare(self, *args: Any, **kwargs: Any) -> None:
        with_clips(self.request, self.whereabouts)  # cached rows are of no use without the clips that they name
        self._has_read = False
        super().download_and_prepare(*args, **kwargs)
        _, _, left_out = (self.info.description or "").partition(_LEFT_OUT)
        if left_out and not self._has_read:  # rows that are cached are as incomplete as on the day they were built
            warnings.warn(left_out, UserWarning, stacklevel=2)

    def as_dataset(self, split: Any = None, *args: Any, **kwargs: Any) -> Any:
        with _splits_explained(self.request):
            return super().as_dataset(split, *args, **kwargs)

    def as_streaming_dataset(self, split: Any = None, *args: Any, **kwargs: Any) -> Any:
        self.whereabouts.folder()  # tell here, not at the first row, that there is no data
        if isinstance(split, (list, tuple)):
            return [self.as_streaming_dataset(one, *args, **kwargs) for one in split]
        with _splits_explained(self.request):
            return super().as_streaming_dataset(split, *args, **kwargs)

    def _split_generators(self, dl_manager: Any) -> list[datasets.SplitGenerator]:
        splits = self.request.splits
        if not dl_manager.is_streaming:
            # Reading the release here gives its errors to the user as they are, and its rows to forked processes.
            rows = read(self.request, self.whereabouts)
            self._has_read = True
            if rows.left_out:
                description = (self.info.description or "").partition(_LEFT_OUT)[0]
                self.info.description = f"{description}{_LEFT_OUT}{rows.left_out}"
            # A split without rows is left out because datasets can write it but not read it.
            splits = tuple(split for split in splits if rows.tables[split].num_rows)
        return [
            datasets.SplitGenerator(name=split, gen_kwargs={"parts": parts_of(self.request, self.whereabouts, split)})
            for split in splits
        ]

    def _generate_tables(self, parts: list[Part]) -> Iterator[tuple[Any, pa.Table]]:
        for part in parts:
            yield part.index, part.table()
