"""The ``datasets`` builder of MicroG-4M: it hands the tables of :mod:`microg4m_hf.data.tables` to ``datasets``.

``datasets`` replaces ``open``, ``os.path.join``, ``pathlib.Path`` and others in the module of a builder and in the
modules that it imports relatively. Hence the absolute imports, and no reading of files in this module.
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
from microg4m_hf.data.request import Request
from microg4m_hf.data.resolve import ResolvedRequest, fetch_clips, origin_of, resolve_request
from microg4m_hf.data.run_data import description_of, loaded_with
from microg4m_hf.data.tables import SplitTables, build_tables
from microg4m_hf.errors import DataError

# Tells datasets that there is nothing to replace in this module, which also saves its import of scipy (0.3 s).
_patched_for_streaming = True

# More shards let more processes share a split; the rows of a shard are one batch of the Arrow file.
SHARDS = 16

# Starts the part of a built dataset's description that lists the skipped rows.
_LEFT_OUT = "\nLeft out: "
_BUILDER_ARGUMENTS = inspect.signature(datasets.DatasetBuilder).parameters.keys()


@dataclass
class MicroG4MConfig(datasets.BuilderConfig):
    """One of ``har``, ``caption``, ``vqa``; see :class:`microg4m_hf.data.request.Request` for the fields."""

    source: str | None = None
    revision: str | None = None
    scheme: str | None = None
    domain: str | None = None
    videos: bool = True
    on_error: str = "raise"


class MicroG4M(datasets.ArrowBasedBuilder):
    """Builds the three configs; ``microg4m_hf.load_dataset`` is the convenient way to use it."""

    VERSION = datasets.Version(__version__)
    BUILDER_CONFIG_CLASS = MicroG4MConfig
    BUILDER_CONFIGS: ClassVar = [MicroG4MConfig(name=name, version=datasets.Version(__version__)) for name in CONFIGS]

    def __init__(self, *, cache_dir: Any = None, config_name: Any = None, data_dir: Any = None, **kwargs: Any) -> None:
        options = {name: kwargs.pop(name) for name in Request.__dataclass_fields__ if name in kwargs}
        for name in kwargs.keys() - _BUILDER_ARGUMENTS:
            raise DataError("unknown argument", value=name, hint=f"use {', '.join(MicroG4MConfig.__annotations__)}")
        self.request = Request(config_name, data_dir=data_dir, **options)
        self.resolved: ResolvedRequest = resolve_request(self.request)
        # The name and the hash decide where the cache looks: without them all classes of one module share a folder,
        # and neither changed data nor changed code would be noticed.
        kwargs |= {"dataset_name": "microg4m", "hash": self.resolved.fingerprint}
        super().__init__(cache_dir=cache_dir, config_name=config_name, **kwargs, **self.request.config_kwargs())

    def _info(self) -> datasets.DatasetInfo:
        return datasets.DatasetInfo(
            description="MicroG-4M: what people do in microgravity, in three-second clips",
            homepage="https://huggingface.co/datasets/LEI-QI-233/MicroG-4M",
            license="cc-by-4.0",
            features=features_of(self.request.config, videos=self.request.videos),
        )

    def download_and_prepare(self, *args: Any, **kwargs: Any) -> None:
        fetch_clips(self.request, self.resolved)  # cached rows are useless without the clips that they refer to
        self._has_read = False
        super().download_and_prepare(*args, **kwargs)
        _, _, left_out = (self.info.description or "").partition(_LEFT_OUT)
        if left_out and not self._has_read:  # cached rows are as incomplete as they were when they were built
            warnings.warn(left_out, UserWarning, stacklevel=2)

    def as_dataset(self, split: Any = None, *args: Any, **kwargs: Any) -> Any:
        self._record_origin()
        with _explain_unknown_split(self.request):
            return super().as_dataset(split, *args, **kwargs)

    def _record_origin(self) -> None:
        """Name the release and the scheme in the description, so that a run on these rows can record them."""
        text, mark, left_out = (self.info.description or "").partition(_LEFT_OUT)
        if not loaded_with(text):
            self.info.description = text + description_of(origin_of(self.request, self.resolved)) + mark + left_out

    def as_streaming_dataset(self, split: Any = None, *args: Any, **kwargs: Any) -> Any:
        self.resolved.folder()  # raises here, not at the first row, if there is no data
        self._record_origin()
        if isinstance(split, (list, tuple)):
            return [self.as_streaming_dataset(one, *args, **kwargs) for one in split]
        with _explain_unknown_split(self.request):
            return super().as_streaming_dataset(split, *args, **kwargs)

    def _split_generators(self, dl_manager: Any) -> list[datasets.SplitGenerator]:
        splits = self.request.splits
        if not dl_manager.is_streaming:
            # Reading here raises the errors of the release unchanged, and gives forked processes the rows.
            built = read_tables(self.request, self.resolved)
            self._has_read = True
            if built.left_out:
                description = (self.info.description or "").partition(_LEFT_OUT)[0]
                self.info.description = f"{description}{_LEFT_OUT}{built.left_out}"
            # datasets can write a split without rows, but not read it.
            splits = tuple(split for split in splits if built.tables[split].num_rows)
        return [
            datasets.SplitGenerator(
                name=split,
                gen_kwargs={"shards": [SplitShard(self.request, self.resolved, split, i) for i in range(SHARDS)]},
            )
            for split in splits
        ]

    def _generate_tables(self, shards: list[SplitShard]) -> Iterator[tuple[Any, pa.Table]]:
        for shard in shards:
            yield shard.index, shard.table()


@dataclass(frozen=True)
class SplitShard:
    """A contiguous piece of one split: a small object that travels to a worker process and reads its rows there."""

    request: Request
    resolved: ResolvedRequest
    split: str
    index: int

    def table(self) -> pa.Table:
        rows = read_tables(self.request, self.resolved).tables[self.split]
        start, stop = (rows.num_rows * bound // SHARDS for bound in (self.index, self.index + 1))
        return rows.slice(start, stop - start)


# The fingerprint is part of the key, so changed files are read again. Two: a config and the one it is compared with.
@functools.lru_cache(maxsize=2)
def read_tables(request: Request, resolved: ResolvedRequest) -> SplitTables:
    """Read the rows once per process: all shards slice them, and processes forked later inherit them."""
    built = build_tables(request, fetch_clips(request, resolved))
    if not any(table.num_rows for table in built.tables.values()):
        of_domain = f" in the domain {request.domain!r}" if request.domain else ""
        hint = "leave out domain=" if request.domain else "see what it has with `microg4m data stats`"
        raise DataError(f"the release has nothing for {request.config}{of_domain}", file=resolved.root, hint=hint)
    if built.left_out:
        warnings.warn(built.left_out, UserWarning, stacklevel=2)
    return built


@contextlib.contextmanager
def _explain_unknown_split(request: Request) -> Iterator[None]:
    try:
        yield
    except ValueError as error:
        if not str(error).startswith(("Unknown split", "Bad split")):
            raise
        if request.split_scheme:
            hint = "use train, validation or test"
            raise DataError(f"{request.config} has no such split: {error}", hint=hint) from None
        hint = "scheme='official' or 'source_disjoint' divides it into train, validation and test"
        raise DataError(f"{request.config} is one split 'test'; {error}", hint=hint) from None
