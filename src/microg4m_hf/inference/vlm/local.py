"""Generate texts with a vision-language model in this process, in batches that fit into memory."""

from __future__ import annotations

import gc
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any, TypeVar

from ...errors import MicroG4MError, ModelError
from ...runtime import is_out_of_memory
from ..items import ClipQueries, Query, TextSettings, prompt_set
from ..run import Results, Runner
from .generate import Generation, Generator, Row
from .inputs import ClipInputs, Prefetcher, PrepareFailure, PromptBuilder, format_error
from .loading import Placement, load_model
from .phases import IN_THREADS, PhaseClock
from .prefix_cache import find_mismatch, generate_from_prefix, plain_inputs

Item = TypeVar("Item")
Answer = TypeVar("Answer")

_MAX_FAILURES = 3  # without any success: the model is broken, not the clips
_OUT_OF_MEMORY = "out of memory with this item alone; use fewer frames, --quantization, or --device-map auto"


def local_runner(
    settings: TextSettings, placement: Placement | None = None, cache: dict[str, Any] | None = None
) -> Runner:
    """Load the model of ``settings``, unless ``cache`` has it from an earlier call, and return a runner for it."""
    placement, cache = placement or Placement(), {} if cache is None else cache
    if "model" not in cache:
        cache["model"], cache["processor"] = load_model(settings, placement)
    return LocalRunner(cache["model"], cache["processor"], settings, placement)


class LocalRunner:
    """Generate with a loaded model; see :data:`microg4m_hf.inference.run.Runner`."""

    def __init__(self, model: Any, processor: Any, settings: TextSettings, placement: Placement) -> None:
        self.settings, self.placement = settings, placement
        self.generator = Generator(model, processor, settings)
        self.prompt_builder = PromptBuilder(processor, prompt_set(settings.prompts), as_images=settings.as_images)
        default = 4 if model.device.type == "cpu" else 16
        self.halver = BatchSizeHalver(1 if self.generator.needs_batch_size_one else placement.batch_size or default)
        self.shares_prefix: bool | None = None if placement.shared_prefix else False  # None: not yet checked
        self._successes = self._failures = 0
        self._clock, self._waited = PhaseClock(model), 0.0

    def __call__(self, clips: Sequence[ClipQueries]) -> Results:
        with self._clock.watch():
            yield from self._withhold(self._answer_clips(clips))

    def _withhold(self, results: Results) -> Results:
        """Pass failures on once an item succeeded, or at the end: those of a broken setup are tried again."""
        withheld: list[tuple[Query, dict[str, Any]]] = []
        for query, record in results:
            if record.get("kind") == "decode":
                yield query, record
                continue
            withheld.append((query, record))
            if self._successes:
                yield from withheld
                withheld.clear()
        yield from withheld

    def _answer_clips(self, clips: Sequence[ClipQueries]) -> Results:
        prefetcher = Prefetcher(self.prompt_builder, self.settings)
        workers = self.placement.workers
        buckets: dict[Any, list[ClipInputs]] = {}  # items that can share a batch
        askable: list[ClipQueries] = []
        for clip in clips:
            marked = {query: self.prompt_builder.special_token_in(query) for query in clip.queries}
            for query, token in marked.items():
                if token is not None:
                    why = f"the question contains {token}, a token with which this model marks its prompts; remove it"
                    yield query, {"status": "failed", "kind": "error", "why": why}
            kept = tuple(query for query, token in marked.items() if token is None)
            if kept:
                askable.append(replace(clip, queries=kept))
        ahead = prefetcher(askable, workers=workers, depth=2 * self.halver.size + workers)
        for clip, prepared in self._time_waiting(ahead):
            if isinstance(prepared, PrepareFailure):
                yield from self._fail(clip.queries, "decode" if prepared.is_decode_error else "error", prepared.why)
                continue
            self._stop_sharing(prefetcher.not_shared_because)
            for item in prepared:
                key = item.shape, len(item.queries) > 1
                bucket = buckets.setdefault(key, [])
                bucket.append(item)
                if sum(len(one.queries) for one in bucket) >= self.halver.size:
                    yield from self._answer_bucket(buckets.pop(key))
        for bucket in buckets.values():
            yield from self._answer_bucket(bucket)

    def _time_waiting(self, clips: Iterator[Item]) -> Iterator[Item]:
        while True:
            start = time.perf_counter()
            try:
                clip = next(clips)
            except StopIteration:
                return
            self._waited += time.perf_counter() - start
            yield clip

    def _answer_bucket(self, items: Sequence[ClipInputs]) -> Results:
        """Answer all queries of a bucket. After an error, retry the remaining ones one by one."""
        done: set[str] = set()
        try:
            for query, record in self._answer(items):
                done.add(query.id)
                yield query, record
        except MicroG4MError:
            raise
        except Exception as error:
            rows = [(item, n) for item in items for n, query in enumerate(item.queries) if query.id not in done]
            if len(rows) == 1:
                yield from self._fail_row(rows[0], error)
                return
            for row in rows:
                try:
                    yield from self._answer_rows([row])
                except MicroG4MError:
                    raise
                except Exception as row_error:
                    yield from self._fail_row(row, row_error)

    def _answer(self, items: Sequence[ClipInputs]) -> Results:
        several = [item for item in items if len(item.queries) > 1]
        if several and self.shares_prefix is None:
            mismatch = find_mismatch(self.generator, several[0])
            self._stop_sharing(mismatch)
            self.shares_prefix = mismatch is None
        if not several or not self.shares_prefix:
            yield from self._answer_rows([(item, number) for item in items for number in range(len(item.queries))])
            return

        def generate(batch: Sequence[ClipInputs], rows: int) -> list[Generation]:
            return [answer for answers in generate_from_prefix(self.generator, batch, rows) for answer in answers]

        longest = max(len(item.queries) for item in items)
        yield from self._answer_batches(items, longest, generate, lambda item: item.queries, shared_prefix=True)

    def _answer_rows(self, rows: Sequence[Row]) -> Results:
        def generate(batch: Sequence[Row], _: int) -> list[Generation]:
            name = batch[0][0].queries[batch[0][1]].id
            return self.generator.generate(name=name, **plain_inputs(self.generator.model, batch))

        yield from self._answer_batches(rows, 1, generate, lambda row: [row[0].queries[row[1]]], shared_prefix=False)

    def _answer_batches(
        self,
        items: Sequence[Any],
        rows_per_item: int,
        generate: Callable[[Sequence[Any], int], list[Generation]],
        queries_of: Callable[[Any], Sequence[Query]],
        *,
        shared_prefix: bool,
    ) -> Results:
        start = time.perf_counter()
        self._clock.split(0)  # leave out the check of the prefix cache
        for batch, answers in self.halver(items, rows_per_item, generate):
            asked = [(query, item) for item in batch for query in queries_of(item)]
            queries = [query for query, _ in asked]
            if answers is None:
                yield from self._fail(queries, "memory", _OUT_OF_MEMORY)
            else:
                self._successes += len(queries)
                passed = time.perf_counter() - start
                seconds = round(passed / len(queries), 4)
                phases = {"waiting": self._waited, **self._clock.split(passed)}
                phases = {name: round(value / len(queries), 6) for name, value in phases.items()}
                self._waited = 0.0
                for (query, item), answer in zip(asked, answers, strict=True):
                    clip = item[0] if isinstance(item, tuple) else item
                    record = {
                        "status": "ok",
                        "text": answer.text,
                        "tokens": {"in": answer.prompt_tokens, "out": answer.new_tokens},
                        "seconds": seconds,
                        "phases": {name: round(clip.seconds.get(name, 0.0), 6) for name in IN_THREADS} | phases,
                        "shared_prefix": shared_prefix,
                    }
                    if answer.likelihood is not None:
                        record["likelihood"] = round(answer.likelihood, 6)
                    yield query, record | ({"flags": answer.flags} if answer.flags else {})
            start = time.perf_counter()

    def _fail(self, queries: Sequence[Query], kind: str, why: str) -> Results:
        self._failures += kind != "decode"
        if not self._successes and self._failures >= _MAX_FAILURES:
            raise ModelError(
                f"{self.settings.model} failed on each of the first {_MAX_FAILURES} items ({why}); correct the "
                "settings, and try them with --limit 1 and another --out"
            )
        for query in queries:
            yield query, {"status": "failed", "kind": kind, "why": why}

    def _fail_row(self, row: Row, error: Exception) -> Results:
        yield from self._fail([row[0].queries[row[1]]], "error", format_error(error))

    def _stop_sharing(self, why: str | None) -> None:
        """Stop using the prefix cache and warn once about the reason."""
        if why and self.shares_prefix is not False:
            warnings.warn(
                f"{self.settings.model}: every question encodes its clip again, because {why}",
                RuntimeWarning,
                stacklevel=3,
            )
            self.shares_prefix = False


class BatchSizeHalver:
    """Process items in batches, and halve the batch size after an out-of-memory error.

    >>> [answer for _, answer in BatchSizeHalver(4)([1, 2, 3, 4, 5, 6], 2, lambda batch, rows: sum(batch))]
    [3, 7, 11]
    """

    def __init__(self, size: int) -> None:
        self.size = max(1, size)  # in rows

    def __call__(
        self, items: Sequence[Item], rows_per_item: int, process: Callable[[Sequence[Item], int], Answer]
    ) -> Iterator[tuple[Sequence[Item], Answer | None]]:
        """Yield batches with the result of ``process(batch, rows)``, or with None if a single row does not fit.

        One item may have more rows than fit. ``process`` is then called with this item, and with the number of rows
        that it may process at the same time.
        """
        import torch

        start = 0
        while start < len(items):
            batch = items[start : start + max(1, self.size // rows_per_item)]
            rows = min(self.size, len(batch) * rows_per_item)
            answer, fits = None, True
            try:
                answer = process(batch, rows)
            except Exception as error:
                if not is_out_of_memory(error):
                    raise
                fits = False
            if not fits:  # outside of `except`, where the traceback still references the tensors
                gc.collect()
                if torch.cuda.is_available():
                    torch.cuda.empty_cache()
                if rows > 1:
                    self.size = rows // 2
                    warnings.warn(
                        f"out of memory with batch size {rows}; continuing with batch size {self.size}", stacklevel=2
                    )
                    continue
            yield batch, answer
            start += len(batch)
