"""Judge a row: compare scores with the printed ones, and say reproduced, differs or not possible.

A printed score has two decimals, so a score that lies within half a unit of the last one is *to the digit*. Where it is
not, the allowances are added in order, and the first sum that reaches the printed score is the one that is named. An
allowance is how far a score can move for a reason that is not the model: the rounding of a prediction file, the order
of equal scores, other pixels. Each comes from the run itself or from a measurement that its text names. What makes a
run another test (other clips, missing predictions, changed settings) is no allowance: such a row *differs*, whatever
its scores are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..render.formatting import SCORE_NAMES

REPRODUCED, DIFFERS, NOT_POSSIBLE = "reproduced", "differs", "not possible"
EXIT_CODES = {REPRODUCED: 0, DIFFERS: 1, NOT_POSSIBLE: 2}
HALF_UNIT = 0.005  # of a percentage with two decimals
_EXACT = 1e-9  # floating-point noise of the comparison itself


@dataclass(frozen=True)
class Allowance:
    """How far scores can move for a reason that is not the model.

    Args:
        name: One word: ``"rounding"``, ``"ties"``, ``"pixels"``.
        text: The reason, for readers.
        points: By score, how many percentage points the printed score may lie below and above.
        always_shown: Whether a reader must know the reason even where the allowance is not needed.
    """

    name: str
    text: str
    points: Mapping[str, tuple[float, float]]
    always_shown: bool = False


@dataclass(frozen=True)
class Comparison:
    """One score beside the printed one, in percent; ``within`` is the allowance that was needed, if one is enough."""

    score: str
    value: float
    printed: float
    within: str | None
    allowed: tuple[float, float]

    @property
    def difference(self) -> float:
        """Percentage points from the printed score."""
        return self.value - self.printed


@dataclass(frozen=True)
class Judgement:
    """What a row came to.

    Args:
        outcome: ``"reproduced"``, ``"differs"`` or ``"not possible"``.
        comparisons: The scores beside the printed ones.
        faults: What makes the run another test than the published one.
        causes: What may explain scores that differ, as far as the run can check it.
        notes: What a reader of the scores must know in any case.
        reason: What is missing, if the row is not possible.
    """

    outcome: str
    comparisons: tuple[Comparison, ...] = ()
    faults: tuple[str, ...] = ()
    causes: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    reason: str = ""

    @property
    def summary(self) -> str:
        """The judgement in a few words."""
        if self.outcome == NOT_POSSIBLE:
            return f"{NOT_POSSIBLE}: {self.reason}"
        if self.outcome == DIFFERS:
            off = [f"{_shown(one.score)} {one.difference:+.2f}" for one in self.comparisons if one.within is None]
            return f"{DIFFERS}: {'; '.join([*self.faults[:1], *([', '.join(off)] if off else [])])}"
        needed = dict.fromkeys(one.within for one in self.comparisons if one.within != "digits")
        return f"{REPRODUCED} within {' and '.join(map(str, needed))}" if needed else f"{REPRODUCED} to the digit"


@dataclass(frozen=True)
class RowResult:
    """A published row with its judgement.

    Args:
        name: The name of the row on the command line.
        title: The printed name.
        setting: Frames and rate, as printed.
        table: The id of the published table.
        judgement: What it came to.
        evidence: What the judgement is based on, as plain values for ``reproduce.json``.
    """

    name: str
    title: str
    setting: str
    table: str
    judgement: Judgement
    evidence: Mapping[str, Any] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """Return plain values, as ``reproduce.json`` holds them."""
        judged = self.judgement
        scores = {
            one.score: {
                "value": one.value,
                "published": one.printed,
                "difference": one.difference,
                "within": one.within,
                "allowed": list(one.allowed),
            }
            for one in judged.comparisons
        }
        words = {key: list(getattr(judged, key)) for key in ("faults", "causes", "notes")}
        about = {key: getattr(self, key) for key in ("name", "title", "setting", "table")}
        outcome = {"outcome": judged.outcome, "summary": judged.summary, "reason": judged.reason or None}
        return about | outcome | {"scores": scores} | words | dict(self.evidence)


def judge(
    printed: Mapping[str, float | Sequence[float]],
    scores: Mapping[str, float],
    allowances: Sequence[Allowance] = (),
    *,
    faults: Sequence[str] = (),
    causes: Sequence[str] = (),
    notes: Sequence[str] = (),
) -> Judgement:
    """Compare scores with the printed ones.

    Args:
        printed: The printed percentages by score. Where the authors print two values for one score, either will do.
        scores: The scores as fractions; a score that is absent or nan is not compared, and a note says so.
        allowances: What may move scores, in the order in which they are tried; they add up.
        faults: What makes the run another test than the published one.
        causes: What may explain a difference; kept only if there is one.
        notes: What a reader must know in any case.

    Returns:
        The judgement; not possible if no score can be compared.

    Example:
        >>> judge({"map": 46.41}, {"map": 0.464089}).summary
        'reproduced to the digit'
        >>> ties = Allowance("ties", "the order of equal scores", {"map": (0.7, 6.1)})
        >>> judge({"map": 12.86}, {"map": 0.1244}, [ties]).summary
        'reproduced within ties'
        >>> judge({"map": 12.86}, {"map": 0.14}, [ties]).summary
        'differs: mAP@0.5 +1.14'
        >>> judge({"map": 42.10, "f1": 23.69}, {"map": 0.421, "f1": 0.2369}, faults=["3 clips are missing"]).summary
        'differs: 3 clips are missing'
    """
    compared = tuple(
        _compare(name, [values] if isinstance(values, int | float) else values, 100 * scores[name], allowances)
        for name, values in printed.items()
        if scores.get(name) is not None and scores[name] == scores[name]
    )
    if not compared:
        return Judgement(
            NOT_POSSIBLE, faults=tuple(faults), reason=f"none of {', '.join(map(_shown, printed))} could be computed"
        )
    absent = [name for name in printed if name not in {one.score for one in compared}]
    remarks = (*notes, *([f"not compared: {', '.join(map(_shown, absent))}"] if absent else []))
    several = {name: values for name, values in printed.items() if not isinstance(values, int | float)}
    remarks += tuple(
        f"{_shown(name)} is printed as {' and as '.join(f'{one:.2f}' for one in values)}"
        for name, values in several.items()
        if len(values) > 1
    )
    used = {one.within for one in compared}
    remarks += tuple(one.text for one in allowances if one.name in used or one.always_shown)
    if faults or None in used:
        return Judgement(DIFFERS, compared, tuple(faults), tuple(causes), remarks)
    return Judgement(REPRODUCED, compared, notes=remarks)


def _shown(score: str) -> str:
    return SCORE_NAMES.get(score, score)


def _compare(name: str, printed: Sequence[float], value: float, allowances: Sequence[Allowance]) -> Comparison:
    low, high = value - HALF_UNIT, value + HALF_UNIT
    nearest = min(printed, key=lambda one: abs(one - value))

    def reached() -> bool:
        return any(low - _EXACT <= one <= high + _EXACT for one in printed)

    within = "digits" if reached() else None
    for allowance in allowances:
        below, above = allowance.points.get(name, (0.0, 0.0))
        low, high = low - below, high + above
        if within is None and reached():
            within = allowance.name
    return Comparison(name, value, nearest, within, (low, high))


def exit_code(rows: Sequence[RowResult]) -> int:
    """Return 0 if every row is reproduced, 1 if one differs, 2 if one is not possible."""
    return max((EXIT_CODES[row.judgement.outcome] for row in rows), default=2)
