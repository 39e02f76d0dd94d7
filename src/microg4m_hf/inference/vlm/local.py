"""A vision-language model in this process: clips are read ahead, encoded once, asked in batches that fit."""

from __future__ import annotations

import time
import warnings
from collections.abc import Iterator, Sequence
from typing import Any

from ...errors import MicroG4MError, ModelError
from ..items import Ask, ClipWork, Settings, prompt_set
from ..run import Runner
from . import prefix_cache
from .generate import Said, Speaker
from .inputs import Messenger, Prepared
from .loading import Placement, load
from .memory import Halving
from .prefetch import Ahead, Unready, short

_PATIENCE = 3  # failures in a row, before anything worked, that mean the model and not the clip is at fault
_NO_MEMORY = "out of memory with this item alone; use fewer frames, a quantised model, or --device-map auto"

Outcome = tuple[Ask, dict[str, Any]]


def local_runner(settings: Settings, placement: Placement | None = None) -> Runner:
    """Load the model of ``settings`` and answer with it."""
    placement = placement or Placement()
    return LocalRunner(*load(settings, placement), settings, placement)


class LocalRunner:
    """Takes clips and yields ``(ask, record)``; see :data:`microg4m_hf.inference.run.Runner`."""

    def __init__(self, model: Any, processor: Any, settings: Settings, placement: Placement) -> None:
        self.settings, self.placement = settings, placement
        self.speaker = Speaker(model, processor, settings)
        self.messenger = Messenger(processor, prompt_set(settings.prompts), as_images=settings.as_images)
        usual = 4 if model.device.type == "cpu" else 16
        self.halving = Halving(1 if self.speaker.one_at_a_time else placement.batch or usual)
        self.shares: bool | None = None if placement.shared_prefix else False
        self._successes = self._failures = 0
        self._announced = False

    def __call__(self, work: Sequence[ClipWork]) -> Iterator[Outcome]:
        depth = 2 * self.halving.size + self.placement.workers
        ahead = Ahead(self.messenger, self.settings, workers=self.placement.workers, depth=depth)
        waiting: dict[Any, list[Prepared]] = {}
        for clip, ready in ahead.over(work):
            if isinstance(ready, Unready):
                yield from self._failed(clip.asks, "decode" if ready.the_clips_fault else "error", ready.why)
                continue
            self._announce(ahead.why_not_shared)
            for item in ready:
                bucket = waiting.setdefault((item.shape, len(item.asks) > 1), [])
                bucket.append(item)
                if sum(len(one.asks) for one in bucket) >= self.halving.size:
                    yield from self._done(waiting.pop((item.shape, len(item.asks) > 1)))
        for bucket in waiting.values():
            yield from self._done(bucket)

    def _done(self, items: Sequence[Prepared]) -> Iterator[Outcome]:
        """Answer clips of equal shape; what fails in company is tried alone before it is given up."""
        asked: set[str] = set()
        try:
            for outcome in self._answered(items):
                asked.add(outcome[0].id)
                yield outcome
        except MicroG4MError:
            raise
        except Exception as error:
            left = [(item, number) for item in items for number, ask in enumerate(item.asks) if ask.id not in asked]
            if len(left) == 1:
                yield from self._failed([left[0][0].asks[left[0][1]]], "error", short(error))
                return
            for item, number in left:
                yield from self._alone(item, number)

    def _alone(self, item: Prepared, number: int) -> Iterator[Outcome]:
        try:
            yield from self._plain([(item, number)])
        except Exception as error:
            yield from self._failed([item.asks[number]], "error", short(error))

    def _answered(self, items: Sequence[Prepared]) -> Iterator[Outcome]:
        several = [item for item in items if len(item.asks) > 1]
        if several and self.shares is None:
            why = prefix_cache.why_not(self.speaker, several[0])
            self.shares = why is None
            self._announce(why or "")
        if not several or not self.shares:
            yield from self._plain([(item, number) for item in items for number in range(len(item.asks))])
            return
        weight = max(len(item.asks) for item in items)
        began = time.perf_counter()
        for batch, said in self.halving.over(items, weight, self._shared):
            asks = [ask for item in batch for ask in item.asks]
            yield from self._records(asks, said, time.perf_counter() - began, shared=True)
            began = time.perf_counter()

    def _shared(self, batch: Sequence[Prepared], rows: int) -> list[Said]:
        return [said for texts in prefix_cache.answers(self.speaker, batch, rows) for said in texts]

    def _plain(self, table: Sequence[tuple[Prepared, int]]) -> Iterator[Outcome]:
        began = time.perf_counter()
        for batch, said in self.halving.over(table, 1, self._said):
            asks = [item.asks[number] for item, number in batch]
            yield from self._records(asks, said, time.perf_counter() - began, shared=False)
            began = time.perf_counter()

    def _said(self, batch: Sequence[tuple[Prepared, int]], _: int) -> list[Said]:
        item, number = batch[0]
        return self.speaker.say(name=item.asks[number].id, **prefix_cache.plain_inputs(self.speaker.model, batch))

    def _records(
        self, asks: Sequence[Ask], said: Sequence[Said] | None, seconds: float, *, shared: bool
    ) -> Iterator[Outcome]:
        if said is None:
            yield from self._failed(asks, "memory", _NO_MEMORY)
            return
        self._successes += len(asks)
        for ask, one in zip(asks, said, strict=True):
            yield (
                ask,
                {
                    "status": "ok",
                    "text": one.text,
                    "tokens": {"in": one.read, "out": one.tokens},
                    "seconds": round(seconds / len(asks), 4),
                    "shared_prefix": shared,
                    **({"flags": one.flags} if one.flags else {}),
                },
            )

    def _failed(self, asks: Sequence[Ask], kind: str, why: str) -> Iterator[Outcome]:
        self._failures += kind != "decode"
        if not self._successes and self._failures >= _PATIENCE:
            raise ModelError(f"{self.settings.model} has answered nothing yet; the last of {_PATIENCE} failures: {why}")
        for ask in asks:
            yield ask, {"status": "failed", "kind": kind, "why": why}

    def _announce(self, why: str) -> None:
        """A fallback is said once, with its cause."""
        if not why or self._announced:
            return
        self._announced, self.shares = True, False
        warnings.warn(
            f"{self.settings.model}: every question encodes its clip anew, because {why}", RuntimeWarning, stacklevel=3
        )
