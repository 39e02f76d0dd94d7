"""Run the stages on a Ray cluster: the same functions as in this process, as tasks and, for models, as actors.

All machines must see the work folder under the same path. The journal is written by the process that was started, so a
killed run resumes as any other, on a cluster or without one.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from typing import Any

from ..errors import ServerError
from ..extras import require
from .stages import WITH_MODEL, Executor, Item, Options, Record, load_stage_model, run_item
from .work import Work

_WAITING = 4  # tasks for each worker: enough to keep it busy, few enough to lose little


def ray_executor(
    *, address: str | None = None, workers: int | None = None, gpus_per_worker: float | None = None
) -> Executor:
    """Return an executor for :func:`run_work` on a Ray cluster, or on this machine where there is none.

    Args:
        address: The address of the cluster; by default that of ``RAY_ADDRESS``, else a local one is started.
        workers: How many tasks run at once; by default one for each processor, and for models one for each GPU.
        gpus_per_worker: GPUs of a worker with a model; by default 1 where the cluster has any.

    Raises:
        MissingExtraError: If Ray is not installed.
        ServerError: If the cluster cannot be reached.
    """
    ray: Any = require("ray", "executor='ray'")
    if not ray.is_initialized():
        address = address or os.environ.get("RAY_ADDRESS")
        # Workers find modules where this process does, so that module:function works there too.
        environment = {"env_vars": {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}}
        options: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR", "runtime_env": environment}
        if address is None:
            options |= {"include_dashboard": False, "num_cpus": workers}
        try:
            ray.init(address=address, **options)
        except Exception as error:  # Ray raises plain ones, as when a busy machine starts it too slowly
            reason = next(iter(str(error).splitlines()), type(error).__name__)
            where = f"be reached at {address}" if address else "be started on this machine"
            raise ServerError(f"Ray cannot {where}: {reason}; run the same command again") from error
    resources = ray.cluster_resources()

    def execute(stage: str, work: Work, items: Sequence[Item], options: Options) -> Iterator[tuple[str, Record]]:
        if stage in WITH_MODEL:
            gpus = gpus_per_worker if gpus_per_worker is not None else min(1.0, resources.get("GPU", 0.0))
            count = int(resources["GPU"] / gpus) if gpus else int(resources.get("CPU", 1))
            count = max(1, min(workers or count, count, len(items)))
            actor = ray.remote(num_gpus=gpus, num_cpus=1, max_restarts=2)(_Worker)
            actors = [actor.remote(stage, work, options) for _ in range(count)]
            yield from _stream(ray, [one.run.remote for one in actors], items)
            for one in actors:
                ray.kill(one)
            return
        count = max(1, workers or int(resources.get("CPU", 1)))
        task = ray.remote(num_cpus=1, max_retries=2)(run_item)
        yield from _stream(ray, [lambda item: task.remote(stage, work, item)] * count, items)

    return execute


class _Worker:
    """Holds a detector or an action model, which takes longer to load than a clip to look at."""

    def __init__(self, stage: str, work: Work, options: Options) -> None:
        self.stage, self.work = stage, work
        self.model = load_stage_model(stage, work, options)

    def run(self, item: Item) -> Record:
        return run_item(self.stage, self.work, item, self.model)


def _stream(ray: Any, workers: Sequence[Any], items: Sequence[Item]) -> Iterator[tuple[str, Record]]:
    """Yield results as they are finished, with a few items waiting for each worker."""
    running: dict[Any, tuple[Any, Item]] = {}
    waiting = list(reversed(items))
    slots = [worker for worker in workers for _ in range(_WAITING)]
    while waiting or running:
        while waiting and slots:
            worker, item = slots.pop(), waiting.pop()
            running[worker(item)] = worker, item
        done, _ = ray.wait(list(running), num_returns=1)
        worker, item = running.pop(done[0])
        slots.append(worker)
        try:
            yield item.id, ray.get(done[0])
        except ray.exceptions.RayTaskError as error:
            raise error.cause if isinstance(error.cause, Exception) else error from None
        except ray.exceptions.RayError as error:
            message = next(iter(str(error).splitlines()), type(error).__name__)
            raise ServerError(
                f"a worker of Ray was lost at {item.id.partition('@')[0]}: {message}; run again"
            ) from error
