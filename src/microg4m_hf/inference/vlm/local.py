"""A vision-language model in this process: clips are read ahead, encoded once, asked in batches that fit."""

from __future__ import annotations

import time
import warnings
from collections.abc import Iterator, Sequence
from typing import Any

from ...errors import MicroG4MError, ModelError
from ..items import ClipQueries, Query, TextSettings, prompt_set
from ..run import Runner
from . import prefix_cache
from .generate import Generation, Generator
from .inputs import ClipInputs, PromptBuilder
from .loading import Placement, load_model
from .memory import BatchSizeHalver
from .prefetch import Prefetcher, Unready, short

_PATIENCE = 3  # failures in a row, before anything worked, that mean the model and not the clip is at fault
_NO_MEMORY = "out of memory with this item alone; use fewer frames, a quantised model, or --device-map auto"

Outcome = tuple[Query, dict[str, Any]]


def local_runner(settings: TextSettings, placement: Placement | None = None) -> Runner:
    """Load the model of ``settings`` and answer with it."""
    placement = placement or Placement()
    return LocalRunner(*load_model(settings, placement), settings, placement)


class LocalRunner:
    """Takes clips and yields ``(query, record)``; see :data:`microg4m_hf.inference.run.Runner`."""

    def __init__(self, model: Any, processor: Any, settings: TextSettings, placement: Placement) -> None:
        self.settings, self.placement = settings, placement
        self.generator = Generator(model, processor, settings)
        self.prompt_builder = PromptBuilder(processor, prompt_set(settings.prompts), as_images=settings.as_images)
        usual = 4 if model.device.type == "cpu" else 16
        self.halver = BatchSizeHalver(1 if self.generator.one_at_a_time else placement.batch_size or usual)
        self.shares: bool | None = None if placement.shared_prefix else False
        self._successes = self._failures = 0
        self._announced = False

    def __call__(self, work: Sequence[ClipQueries]) -> Iterator[Outcome]:
        depth = 2 * self.halver.size + self.placement.workers
        ahead = Prefetcher(self.prompt_builder, self.settings, workers=self.placement.workers, depth=depth)
        waiting: dict[Any, list[ClipInputs]] = {}
        for clip, ready in ahead.over(work):
            if isinstance(ready, Unready):
                yield from self._failed(clip.queries, "decode" if ready.the_clips_fault else "error", ready.why)
                continue
            self._announce(ahead.why_not_shared)
            for item in ready:
                bucket = waiting.setdefault((item.shape, len(item.queries) > 1), [])
                bucket.append(item)
                if sum(len(one.queries) for one in bucket) >= self.halver.size:
                    yield from self._done(waiting.pop((item.shape, len(item.queries) > 1)))
        for bucket in waiting.values():
            yield from self._done(bucket)

    def _done(self, items: Sequence[ClipInputs]) -> Iterator[Outcome]:
        """Answer clips of equal shape; what fails in company is tried alone before it is given up."""
        asked: set[str] = set()
        try:
            for outcome in self._answered(items):
                asked.add(outcome[0].id)
                yield outcome
        except MicroG4MError:
            raise
        except Exception as error:
            left = [
                (item, number) for item in items for number, query in enumerate(item.queries) if query.id not in asked
            ]
            if len(left) == 1:
                yield from self._failed([left[0][0].queries[left[0][1]]], "error", short(error))
                return
            for item, number in left:
                yield from self._alone(item, number)

    def _alone(self, item: ClipInputs, number: int) -> Iterator[Outcome]:
        try:
            yield from self._plain([(item, number)])
        except Exception as error:
            yield from self._failed([item.queries[number]], "error", short(error))

    def _answered(self, items: Sequence[ClipInputs]) -> Iterator[Outcome]:
        several = [item for item in items if len(item.queries) > 1]
        if several and self.shares is None:
            why = prefix_cache.why_not(self.generator, several[0])
            self.shares = why is None
            self._announce(why or "")
        if not several or not self.shares:
            yield from self._plain([(item, number) for item in items for number in range(len(item.queries))])
            return
        weight = max(len(item.queries) for item in items)
        began = time.perf_counter()
        for batch, said in self.halver.over(items, weight, self._shared):
            queries = [query for item in batch for query in item.queries]
            yield from self._records(queries, said, time.perf_counter() - began, shared=True)
            began = time.perf_counter()

    def _shared(self, batch: Sequence[ClipInputs], rows: int) -> list[Generation]:
        return [said for texts in prefix_cache.answers(self.generator, batch, rows) for said in texts]

    def _plain(self, table: Sequence[tuple[ClipInputs, int]]) -> Iterator[Outcome]:
        began = time.perf_counter()
        for batch, said in self.halver.over(table, 1, self._said):
            queries = [item.queries[number] for item, number in batch]
            yield from self._records(queries, said, time.perf_counter() - began, shared=False)
            began = time.perf_counter()

    def _said(self, batch: Sequence[tuple[ClipInputs, int]], _: int) -> list[Generation]:
        item, number = batch[0]
        return self.generator.say(
            name=item.queries[number].id, **prefix_cache.plain_inputs(self.generator.model, batch)
        )

    def _records(
        self, queries: Sequence[Query], said: Sequence[Generation] | None, seconds: float, *, shared: bool
    ) -> Iterator[Outcome]:
        if said is None:
            yield from self._failed(queries, "memory", _NO_MEMORY)
            return
        self._successes += len(queries)
        for query, one in zip(queries, said, strict=True):
            yield (
                query,
                {
                    "status": "ok",
                    "text": one.text,
                    "tokens": {"in": one.read, "out": one.tokens},
                    "seconds": round(seconds / len(queries), 4),
                    "shared_prefix": shared,
                    **({"flags": one.flags} if one.flags else {}),
                },
            )

    def _failed(self, queries: Sequence[Query], kind: str, why: str) -> Iterator[Outcome]:
        self._failures += kind != "decode"
        if not self._successes and self._failures >= _PATIENCE:
            raise ModelError(f"{self.settings.model} has answered nothing yet; the last of {_PATIENCE} failures: {why}")
        for query in queries:
            yield query, {"status": "failed", "kind": kind, "why": why}

    def _announce(self, why: str) -> None:
        """A fallback is said once, with its cause."""
        if not why or self._announced:
            return
        self._announced, self.shares = True, False
        warnings.warn(
            f"{self.settings.model}: every question encodes its clip anew, because {why}", RuntimeWarning, stacklevel=3
        )
