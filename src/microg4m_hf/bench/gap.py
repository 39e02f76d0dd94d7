"""Where the gap between Earth and space comes from: transfer, leak of the split, orientation."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..errors import PredictionError
from ..metrics.har.files import read_about
from ..metrics.har.inputs import read_rows
from ..metrics.har.result import HarResult, HarSettings, score_har
from ..taxonomy import ACTIONS
from .pairwise import differences
from .references import Truth, from_data_set
from .runs import System, find_systems
from .scoring import read_actions

# Ids that mean another action in MicroG-4M than in AVA cannot be compared between Earth and space.
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
    """One AVA-trained model on a data set from Earth (AVA format, such as JHMDB) and on MicroG-4M, matched by action.

    Only actions that occur in both references and mean the same are compared; the two data sets are drawn
    independently, each by its own films (clips, where a name shows no film).
    """
    first = _scored(Path(earth), earth_references, protocol)
    second = _scored(Path(space), space_references, protocol)
    result = differences(first, second, paired=False, resamples=resamples, seed=seed, left_out=REPLACED)
    if not result["classes"]:
        raise PredictionError("the two references share no action that both models are scored on; check the action ids")
    whole = [one.scores["map"] for one in (first, second)]
    return result | {"names": ["Earth", "space"], "map": whole, "protocol": protocol}


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
    """Two runs of one recipe, one on the official split (by clip), one on the source-disjoint split.

    What the official split scores more than the other is an upper bound for what the model owes to having seen the
    test films: the two test splits also hold different clips.
    """
    systems = find_systems([official, disjoint])
    if len(systems) != 2:
        raise PredictionError(f"two run folders are compared, these are {len(systems)}")
    for system, scheme in zip(systems, ("official", "source_disjoint"), strict=True):
        if system.problem is not None:
            raise PredictionError(f"{system.path}: {system.problem}")
        if system.scheme != scheme:
            raise PredictionError(f"{system.path} was made with the scheme {system.scheme}, wanted is {scheme}")
    changed = _changed(*systems)
    if changed:
        raise PredictionError(f"the two runs are not of one recipe, they differ in {', '.join(changed)}")
    where = {"data_dir": data_dir, "source": source, "revision": revision}
    truths = [_truth(system, where) for system in systems]
    pairs = [
        _scored(system.predictions, truth.references, protocol) for system, truth in zip(systems, truths, strict=True)
    ]
    result = differences(*pairs, paired=False, resamples=resamples, seed=seed)
    whole = [one.scores["map"] for one in pairs]
    return result | {"names": ["official", "source_disjoint"], "map": whole, "protocol": protocol}


def _scored(path: Path | None, references: Any, protocol: str) -> HarResult:
    assert path is not None
    settings = HarSettings(protocol, scores_are=read_about(path).get("scores_are"), missing="zero")
    return score_har(read_actions(path), read_rows(references, references=True), settings)


def _changed(first: System, second: System) -> list[str]:
    one, two = (system.about.get("settings", {}) for system in (first, second))
    return sorted(key for key in one.keys() | two.keys() if one.get(key) != two.get(key))


def _truth(system: System, where: dict[str, Any]) -> Truth:
    place = where if any(where.values()) else system.data
    return from_data_set("har", **place, scheme=system.scheme, split=system.split)
