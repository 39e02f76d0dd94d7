"""Measure parts of the gap between Earth and space: transfer between datasets, and the leak of the official split."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..errors import PredictionError
from ..metrics.har.files import read_about
from ..metrics.har.inputs import read_rows
from ..metrics.har.result import HarResult, HarSettings, score_har
from ..taxonomy import ACTIONS
from .pairwise import class_differences
from .references import choose_target, find_data, only_items
from .runs import RunInfo, find_runs
from .scoring import read_actions

# Ids that stand for another action in MicroG-4M than in AVA cannot be compared between Earth and space.
REPLACED = frozenset(action.action_id for action in ACTIONS if action.ava_relation == "replaced")


def transfer_gap(
    earth: str | Path,
    earth_references: Any,
    space: str | Path,
    space_references: Any,
    *,
    protocol: str = "paper",
    resamples: int = 1,
    seed: int = 0,
) -> dict[str, Any]:
    """Compare an AVA-trained model on a dataset from Earth (in AVA format, such as JHMDB) and on MicroG-4M.

    Only actions that occur in both references and mean the same are compared. Errors come from the films of each
    dataset (from its clips, where names do not show the film), and add up. An action that fewer than five films of
    either side show has no interval. ``resamples`` is the former number of bootstrap resamples and has no effect.

    Returns:
        Differences by action (``classes``) and on average (``matched``), and the mAP of both sides.
    """
    first = _score(Path(earth), earth_references, protocol)
    second = _score(Path(space), space_references, protocol)
    gap = class_differences(first, second, seed=seed, left_out=REPLACED)
    if not gap["classes"]:
        raise PredictionError("the two references share no action that both models are scored on; check the action ids")
    return gap | _summary(["Earth", "space"], [first, second], protocol)


def leak_gap(
    official: str | Path,
    disjoint: str | Path,
    *,
    data_dir: str | None = None,
    source: str | None = None,
    revision: str | None = None,
    protocol: str = "paper",
    resamples: int = 1,
    seed: int = 0,
) -> dict[str, Any]:
    """Compare two runs of one recipe: one on the official split (by clip), one on the source-disjoint split.

    The difference is an upper bound of what a model gains from having seen the films of the official test split,
    because the two test splits also contain different clips.

    Each side is a run folder or a file of predictions. A file that does not record its scheme is taken for what its
    place says, and then nothing shows whether both have one recipe; ``assumed`` in the result says so. Without
    ``data_dir``, ``source`` and ``revision``, each run is scored on the data that it was made with.
    """
    runs = find_runs([official, disjoint], task="har")
    if len(runs) != 2:
        raise PredictionError(f"leak compares two runs or files, but these are {len(runs)}; name two")
    assumed = []
    for run, scheme in zip(runs, ("official", "source_disjoint"), strict=True):
        if run.problem is not None:
            raise PredictionError(f"{run.path}: {run.problem}")
        if run.task != "har":
            raise PredictionError(f"{run.path} holds {run.task} predictions; give predicted actions to leak")
        if run.scheme is None:
            run.scheme = scheme
            assumed.append(f"{run.path.name} does not record its scheme, {scheme} is assumed")
        if run.scheme != scheme:
            raise PredictionError(f"{run.path} was made with the scheme {run.scheme}; give a run with {scheme} here")
    if runs[0].split != runs[1].split and None not in (runs[0].split, runs[1].split):
        raise PredictionError(
            f"{runs[0].path} predicts {runs[0].split} and {runs[1].path} {runs[1].split}; give equals"
        )
    one, two = (_recipe(run, runs) for run in runs)
    changed = sorted(key for key in one.keys() | two.keys() if one.get(key) != two.get(key))
    if changed:
        raise PredictionError(
            f"the two runs do not have the same recipe, they differ in {', '.join(changed)}; train both with one recipe"
        )
    if not one or not two:
        assumed.append("the files do not record a recipe, one for both is assumed")
    where = {"data_dir": data_dir, "source": source, "revision": revision}
    sides = []
    for run in runs:
        target = choose_target(run, **where)
        references, _ = only_items(find_data(target, run), target, [run])
        assert run.predictions is not None
        sides.append(_score(run.predictions, references, protocol))
    gap = class_differences(*sides, seed=seed)
    return gap | _summary(["official", "source_disjoint"], sides, protocol) | {"assumed": assumed}


def _recipe(run: RunInfo, runs: Sequence[RunInfo]) -> dict[str, Any]:
    """Return the settings of a run, or what its file records of them if not both are run folders."""
    if all("settings" in one.about for one in runs):
        return run.about["settings"]
    keys = ("model", "recipe", "frames", "key_frame")
    return {key: run.about[key] for key in keys if all(one.about.get(key) is not None for one in runs)}


def _score(path: Path, references: Any, protocol: str) -> HarResult:
    settings = HarSettings(protocol, scores_are=read_about(path).get("scores_are"), missing="zero")
    return score_har(read_actions(path), read_rows(references, references=True), settings)


def _summary(names: list[str], sides: list[HarResult], protocol: str) -> dict[str, Any]:
    return {"names": names, "map": [side.scores["map"] for side in sides], "protocol": protocol}
