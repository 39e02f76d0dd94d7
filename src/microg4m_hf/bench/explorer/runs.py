"""Runs and prediction files as the explorer shows them: what each says of a person, a clip or a question."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ...errors import MicroG4MError
from ..systems import System, find_systems
from .catalogue import Catalogue
from .words import readable


@dataclass(frozen=True)
class Ranked:
    """One person as a run sees them."""

    scores: np.ndarray  # (50,) as written, -inf where a class has none
    chances: np.ndarray  # (50,) as probabilities
    quality: float  # average precision of the person's ranking


@dataclass(frozen=True)
class Said:
    """One caption or answer of a run; ``rouge_l`` against the references of its item."""

    text: str
    rouge_l: float


@dataclass
class Run:
    """A system with its predictions joined to the clips; ``problem`` says why there are none."""

    name: str
    task: str | None
    path: str
    problem: str | None = None
    notes: list[str] = field(default_factory=list)
    score: np.ndarray = field(default_factory=lambda: np.empty(0))  # per clip, nan where nothing was predicted
    persons: dict[tuple[str, int], Ranked] = field(default_factory=dict)
    texts: dict[Any, Said] = field(default_factory=dict)  # by clip, or by (clip, question)
    system: System | None = None

    @property
    def measure(self) -> str:
        """What ``score`` is."""
        return "ranking precision" if self.task == "har" else "ROUGE-L"

    @property
    def clips(self) -> int:
        """How many clips the run says something about."""
        return int(np.isfinite(self.score).sum())


def read_runs(words: Iterable[str | os.PathLike[str]], catalogue: Catalogue, *, task: str | None = None) -> list[Run]:
    """The runs that are named, in the forms that ``microg4m report`` takes; what cannot be read keeps its reason."""
    given = list(words)
    if not given:
        return []
    return [_read(system, catalogue) for system in find_systems(given, task=task)]


def _read(system: System, catalogue: Catalogue) -> Run:
    from .actions_said import read_actions_said
    from .texts_said import read_texts_said

    run = Run(readable(system.name), system.task, str(system.path), system.problem, system.notes, system=system)
    run.score = np.full(len(catalogue), np.nan)
    if run.problem is None:
        try:
            (read_actions_said if run.task == "har" else read_texts_said)(run, catalogue)
        except (MicroG4MError, OSError, ValueError) as error:
            run.problem = " ".join(str(error).split())
    return run
