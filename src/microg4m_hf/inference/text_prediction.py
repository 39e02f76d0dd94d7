"""Predict captions or answers in one call: fill in the settings, choose the runner, and run what is pending."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..data.run_data import RunData
from ..data.turns import UPRIGHT, Turn, describe_turns
from ..errors import RecipeError
from ..runtime import rank_and_world_size
from .items import BASELINES, ClipQueries, Query, TextSettings, group_queries, hash_queries, item_keys
from .run import Results, Runner, run
from .turn_choice import choose_record

if TYPE_CHECKING:
    from .api.client import Endpoint
    from .isolated.runner import IsolatedEnvironment
    from .vlm.loading import Placement

_KEPT = {
    "likelihood": "the most likely text is kept",
    "majority": "the most frequent answer is kept",
    "clip": "those of the turn that makes all answers of a clip most likely are kept",
}


def predict_texts(
    settings: TextSettings,
    rows: Any,
    out: str | os.PathLike[str],
    *,
    limit: int | None = None,
    retry_failed: bool = False,
    placement: Placement | None = None,
    endpoint: Endpoint | None = None,
    environment: IsolatedEnvironment | None = None,
    cache: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Generate a caption for every clip or an answer to every question, as ``microg4m predict caption|vqa`` does.

    Call it again with the same arguments to resume a run. Under ``torchrun`` or ``accelerate launch``, each process
    takes its share of the clips.

    Args:
        settings: The model, the runner, and everything else that can change a text.
        rows: A split of the ``caption`` or ``vqa`` config, see :func:`microg4m_hf.load_dataset`.
        out: The run folder. ``predictions.jsonl`` in it is what ``microg4m score`` reads.
        limit: Use only the first clips, in the order of their names.
        retry_failed: Run items again that failed before.
        placement: For the local runner: device, batch size, and number of reading threads.
        endpoint: For the API runner: the server, and how to retry.
        environment: For the isolated runner: the Python environment of the model. Required there.
        cache: For the local runner: keeps the loaded model for further calls about the same model and placement.

    Returns:
        The summary that ``results.json`` holds, with ``done_now`` and ``seconds_now`` of this call.

    Raises:
        RecipeError: The settings contradict each other or the run in ``out``.
        ModelError: The model cannot be loaded, or it answers nothing.
        ServerError: The server or the worker of the model fails on every item.

    Example:
        >>> import tempfile, microg4m_hf
        >>> rows = microg4m_hf.load_dataset("vqa", split="test", source="sample", videos=False)
        >>> summary = predict_texts(TextSettings("vqa", model="blind"), rows, tempfile.mkdtemp(), limit=2)
        >>> summary["finished"], summary["failed"], summary["missing"]
        (12, 0, 0)
    """
    if limit is not None and limit < 1:
        raise RecipeError(f"--limit must be at least 1, given {limit}; leave it out for all clips")
    check_runner_options(settings, placement=placement, endpoint=endpoint, environment=environment)
    settings = resolve_settings(settings, environment)
    clips = group_queries(settings.task, rows)
    settings = replace(settings, data=hash_queries(clips))
    rank, world_size = rank_and_world_size()

    def make() -> Runner:
        if settings.runner in BASELINES:
            from .baselines import baseline_runner

            return baseline_runner(settings, rows)
        if settings.turns > 1 and rank == 0:
            asked, kept = describe_turns(settings.views), _KEPT[settings.turn_choice]
            print(f"{asked}: {settings.turns} texts per item instead of 1; {kept}", file=sys.stderr)
        return make_runner(settings, placement=placement, endpoint=endpoint, environment=environment, cache=cache)

    chosen = clips[:limit]
    data = RunData.of_rows(settings.task, rows, item_keys(settings.task, chosen))
    return run(settings, chosen, out, make, data, retry_failed=retry_failed, rank=rank, world_size=world_size)


def check_runner_options(settings: TextSettings, **given: Any) -> None:
    """Refuse options of a runner that the settings do not use.

    Args:
        settings: The settings of a run.
        given: ``placement``, ``endpoint`` and ``environment``, as for :func:`predict_texts`.

    Raises:
        RecipeError: An option belongs to another runner.
    """
    runner_of = {"placement": "local", "endpoint": "api", "environment": "isolated"}
    for name, value in given.items():
        if value is not None and runner_of[name] != settings.runner:
            raise RecipeError(
                f"{type(value).__name__} is an option of the runner {runner_of[name]!r}, but this run uses "
                f"{settings.runner!r}; remove it or change TextSettings.runner"
            )


def make_runner(
    settings: TextSettings,
    *,
    placement: Placement | None = None,
    endpoint: Endpoint | None = None,
    environment: IsolatedEnvironment | None = None,
    cache: dict[str, Any] | None = None,
) -> Runner:
    """Load the model of some settings, or connect to its server, and return the runner.

    Args:
        settings: The settings, see :func:`resolve_settings`. The model is no baseline.
        placement: As for :func:`predict_texts`.
        endpoint: As for :func:`predict_texts`.
        environment: As for :func:`predict_texts`.
        cache: As for :func:`predict_texts`.

    Raises:
        RecipeError: The runner needs another number of processes, or a Python environment.
        ModelError: The model cannot be loaded.
    """
    runner = _model_runner(settings, placement, endpoint, environment, cache)
    return runner if settings.views == (UPRIGHT,) else choosing_runner(runner, settings)


def _model_runner(
    settings: TextSettings,
    placement: Placement | None,
    endpoint: Endpoint | None,
    environment: IsolatedEnvironment | None,
    cache: dict[str, Any] | None,
) -> Runner:
    if settings.runner == "isolated":
        from .isolated.runner import isolated_runner

        return isolated_runner(settings, _require_environment(environment))
    if settings.runner == "api":
        if rank_and_world_size()[1] > 1:
            raise RecipeError("--runner api needs a single process; raise --concurrency instead")
        from .api.runner import api_runner

        return api_runner(settings, endpoint)
    from .vlm.local import local_runner

    return local_runner(settings, placement, cache)


def resolve_settings(settings: TextSettings, environment: IsolatedEnvironment | None = None) -> TextSettings:
    """Fill in the fields that identify the model: ``weights``, ``adapter``, and the default ``image_detail``.

    :func:`predict_texts` does this by itself. Call it first to notice a wrong model before a dataset is downloaded.

    Args:
        settings: The settings of a run.
        environment: The Python environment of the isolated runner.

    Returns:
        The settings as ``settings.json`` records them.

    Raises:
        ModelError: There is no such model.
        RecipeError: The isolated runner lacks its environment.
    """
    if settings.runner == "api":
        return replace(settings, image_detail=settings.image_detail or "low")
    if settings.runner in BASELINES:
        return settings
    from .vlm.loading import identify_weights

    if settings.runner == "isolated":
        from .isolated.runner import adapter_name

        adapter = _require_environment(environment).adapter
        settings = replace(settings, adapter=adapter_name(adapter))
        if adapter is not None and adapter.endswith(".py") and not Path(settings.model).is_dir():
            return settings  # the adapter decides what it loads
    return replace(settings, weights=identify_weights(settings.model, settings.revision))


def _require_environment(environment: IsolatedEnvironment | None) -> IsolatedEnvironment:
    if environment is None:
        raise RecipeError("--runner isolated needs the interpreter of the model's environment; give it with --python")
    return environment


def choosing_runner(runner: Runner, settings: TextSettings) -> Runner:
    """Return a runner that shows each clip to another runner under the turns of the settings.

    With several turns, a query is done when its texts under all of them are there; the record holds all of them, and
    the sums of their tokens, seconds and cost.
    """
    views = settings.views

    def choose(clips: Sequence[ClipQueries]) -> Results:
        shown: list[ClipQueries] = []
        origin: dict[str, tuple[Query, Turn]] = {}
        for clip in clips:
            for number, turn in enumerate(views):
                # The first turn keeps the ids, which seed sampled answers.
                queries = {
                    replace(query, id=f"{query.id}@{turn.name}") if number else query: query for query in clip.queries
                }
                origin |= {one.id: (query, turn) for one, query in queries.items()}
                shown.append(replace(clip, queries=tuple(queries), turn=turn))
        waiting: dict[str, dict[Turn, dict[str, Any]]] = {}
        for one, record in runner(shown):
            query, turn = origin[one.id]
            records = waiting.setdefault(query.id, {})
            records[turn] = record
            if len(records) == len(views):
                del waiting[query.id]
                yield query, choose_record({turn: records[turn] for turn in views}, settings.turn_choice)

    return choose
