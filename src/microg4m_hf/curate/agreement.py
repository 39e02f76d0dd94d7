"""How far reviewers agree: Krippendorff's alpha of the decisions, of each action, and of whole sets of actions.

Alpha is 1 - D_o / D_e, the observed disagreement over the one that the same labels would show in random pairs: 1 for
full agreement, 0 for chance. Units that fewer than two reviewers judged do not count.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from typing import Any

from ..extras import require
from ..taxonomy import ACTIONS
from .reviews import ReviewedClip


def nominal_alpha(units: Iterable[Sequence[Hashable]]) -> float | None:
    """Return Krippendorff's alpha of labels that are equal or not.

    With n_c labels of category c among the n labels of units with at least two labels, and o_cc pairs of c within
    units, each weighted by 1 / (labels of its unit - 1): alpha = 1 - (n - 1)(n - sum o_cc) / (n² - sum n_c²).

    Args:
        units: The labels that each unit got, one per reviewer who judged it.

    Returns:
        Alpha; 1 where all labels are equal, None without a unit that two reviewers judged.

    Example:
        >>> nominal_alpha([["yes", "yes"], ["no", "no"], ["yes", "no"], ["yes", "yes"]])
        0.5333333333333333
        >>> nominal_alpha([["yes"], []]) is None
        True
    """
    pairable = [Counter(unit) for unit in units if len(unit) > 1]
    totals = sum(pairable, Counter())
    n = totals.total()
    if not n:
        return None
    expected = n * n - sum(count * count for count in totals.values())
    equal = sum(count * (count - 1) / (unit.total() - 1) for unit in pairable for count in unit.values())
    return 1 - (n - 1) * (n - equal) / expected if expected else 1.0


def masi_alpha(units: Iterable[Sequence[frozenset[int]]]) -> float | None:
    """Return Krippendorff's alpha over sets of labels with the MASI distance, as ``nltk`` computes it.

    MASI is 0 for equal sets and 1 for sets without a common label; between them, a set that contains the other is
    nearer than two that merely overlap.

    Args:
        units: The sets that each unit got, one per reviewer who judged it.

    Returns:
        Alpha, None without a unit that two reviewers judged.

    Raises:
        MissingExtraError: ``nltk`` is not installed.

    Example:
        >>> masi_alpha([[frozenset({12}), frozenset({12})], [frozenset({17}), frozenset({17})]])
        1.0
    """
    require("nltk", "agreement over sets of actions")
    from nltk.metrics.agreement import AnnotationTask
    from nltk.metrics.distance import masi_distance

    # nltk divides by the size of the union: two empty sets, which are equal, would fail.
    def distance(one: frozenset[int], other: frozenset[int]) -> float:
        return 0.0 if one == other else float(masi_distance(one, other))

    rows = [
        (str(reviewer), str(place), labels)
        for place, unit in enumerate(units)
        if len(unit) > 1
        for reviewer, labels in enumerate(unit)
    ]
    return float(AnnotationTask(rows, distance=distance).alpha()) if rows else None


def measure_agreement(state: Mapping[str, ReviewedClip], *, sets: bool = True) -> dict[str, Any]:
    """Return how far the reviewers of a work folder agree.

    Args:
        state: The clips, see :func:`reviewed_state`.
        sets: Whether to compute alpha over sets, which needs ``nltk``.

    Returns:
        ``clips`` and ``people``, the numbers of units that two reviewers judged; ``decision``, alpha of keep and drop;
        ``actions``, alpha of each action that anybody gave, by its name; ``mean_action``, their mean; and ``sets``,
        alpha over sets with the MASI distance. Values without such units are None.
    """
    decisions = [[one.keep for one in clip.finished.values()] for clip in state.values()]
    people = [labels for clip in state.values() for labels in _labels_of_people(clip)]
    used = frozenset().union(*(one for labels in people for one in labels))
    alphas = {
        action.name: nominal_alpha([[action.action_id in one for one in labels] for labels in people])
        for action in ACTIONS
        if action.action_id in used
    }
    known = [value for value in alphas.values() if value is not None]
    return {
        "clips": sum(len(labels) > 1 for labels in decisions),
        "people": len(people),
        "decision": nominal_alpha(decisions),
        "actions": alphas,
        "mean_action": sum(known) / len(known) if known else None,
        "sets": masi_alpha(people) if sets and people else None,
    }


def _labels_of_people(clip: ReviewedClip) -> list[list[frozenset[int]]]:
    """The actions of each person that several reviewers judged: those who mean the same boxes."""
    found: dict[Hashable, list[frozenset[int]]] = {}
    for judgment in clip.finished.values():
        for number, person in judgment.people.items():
            if judgment.keep and not person.excluded:
                found.setdefault((number, tuple(person.boxes)), []).append(person.actions)
    return [labels for labels in found.values() if len(labels) > 1]


def describe_agreement(measured: Mapping[str, Any]) -> list[str]:
    """Return the lines that ``microg4m curate status`` prints about agreement.

    >>> describe_agreement(measure_agreement({}))
    ['agreement: no clip was reviewed by two reviewers']
    """
    if not measured["clips"]:
        return ["agreement: no clip was reviewed by two reviewers"]
    shown: Callable[[float | None], str] = lambda value: "-" if value is None else f"{value:.3f}"  # noqa: E731
    lines = [
        f"agreement (Krippendorff's alpha) on {measured['clips']} clips and {measured['people']} people: "
        f"decision {shown(measured['decision'])}, actions {shown(measured['mean_action'])} on average, "
        f"sets {shown(measured['sets'])} (MASI)"
    ]
    worst = sorted(measured["actions"].items(), key=lambda item: (item[1] is None, item[1]))
    return lines + [f"  {shown(value)}  {name}" for name, value in worst]
