"""Measure parts of the gap between Earth and space: transfer between datasets, and the leak of the official split."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..errors import PredictionError
from ..metrics.har.files import read_about
from ..metrics.har.inputs import read_rows
from ..metrics.har.result import HarResult, HarSettings, score_har
from ..taxonomy import ACTIONS
from .pairwise import class_differences
from .references import References
from .runs import find_runs
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
    resamples: int = 1000,
    seed: int = 0,
) -> dict[str, Any]:
    """Compare an AVA-trained model on a dataset from Earth (in AVA format, such as JHMDB) and on MicroG-4M.

    Only actions that occur in both references and mean the same are compared. The two datasets are resampled
    independently, each by its own films (by clips, where names do not show the film).

    Returns:
        Differences by action (``classes``) and on average (``matched``), and the mAP of both sides.
    """
    first = _score(Path(earth), earth_references, protocol)
    second = _score(Path(space), space_references, protocol)
    gap = class_differences(first, second, paired=False, resamples=resamples, seed=seed, left_out=REPLACED)
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
    resamples: int = 1000,
    seed: int = 0,
) -> dict[str, Any]:
    """Compare two runs of one recipe: one on the official split (by clip), one on the source-disjoint split.

    The difference is an upper bound of what a model gains from having seen the films of the official test split,
    because the two test splits also contain different clips.

    Without ``data_dir``, ``source`` and ``revision``, each run is scored on the data that it was made with.
    """
    runs = find_runs([official, disjoint])
    if len(runs) != 2:
        raise PredictionError(f"leak compares two run folders, but these are {len(runs)}; name two")
    for run, scheme in zip(runs, ("official", "source_disjoint"), strict=True):
        if run.problem is not None:
            raise PredictionError(f"{run.path}: {run.problem}")
        if run.scheme != scheme:
            raise PredictionError(f"{run.path} was made with the scheme {run.scheme}; give a run with {scheme} here")
    one, two = (run.about.get("settings", {}) for run in runs)
    changed = sorted(key for key in one.keys() | two.keys() if one.get(key) != two.get(key))
    if changed:
        raise PredictionError(
            f"the two runs do not have the same recipe, they differ in {', '.join(changed)}; train both with one recipe"
        )
    where = {"data_dir": data_dir, "source": source, "revision": revision}
    sides = []
    for run in runs:
        data = where if any(where.values()) else run.data
        references = References.from_dataset("har", **data, scheme=run.scheme, split=run.split)
        assert run.predictions is not None
        sides.append(_score(run.predictions, references.data, protocol))
    gap = class_differences(*sides, paired=False, resamples=resamples, seed=seed)
    return gap | _summary(["official", "source_disjoint"], sides, protocol)


def _score(path: Path, references: Any, protocol: str) -> HarResult:
    settings = HarSettings(protocol, scores_are=read_about(path).get("scores_are"), missing="zero")
    return score_har(read_actions(path), read_rows(references, references=True), settings)


def _summary(names: list[str], sides: list[HarResult], protocol: str) -> dict[str, Any]:
    return {"names": names, "map": [side.scores["map"] for side in sides], "protocol": protocol}
