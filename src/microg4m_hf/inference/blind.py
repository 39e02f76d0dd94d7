"""The baselines as a runner."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from ..errors import RecipeError
from .baselines import blind_answers, majority_answers
from .items import Ask, ClipWork
from .run import Runner
from .settings import Settings


def baseline_runner(settings: Settings, rows: Any) -> Runner:
    """Answers every question of ``rows`` (a ``vqa`` data set) once, then hands them out."""
    if settings.task != "vqa":
        raise RecipeError(f"the baseline {settings.model!r} answers questions; for captions give a model")
    answer = blind_answers if settings.model == "blind" else majority_answers
    answers = answer(rows["question"], rows["answer"], rows["source"])
    by_id = dict(zip(rows["question_id"], answers, strict=True))

    def runner(work: Sequence[ClipWork]) -> Iterator[tuple[Ask, dict[str, Any]]]:
        for clip in work:
            for ask in clip.asks:
                yield ask, {"status": "ok", "text": by_id[ask.id]}

    return runner
