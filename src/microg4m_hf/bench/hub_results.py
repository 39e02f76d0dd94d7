"""Leaderboard entries for the Hub: ``.eval_results/*.yaml`` files as huggingface_hub's own classes write them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..errors import RecipeError

BENCHMARK = "LEI-QI-233/MicroG-4M"
# task id of the benchmark's eval.yaml -> (task, score); one value stands for a task
LEADERBOARD = {"har-map50": ("har", "map"), "caption-cider": ("caption", "cider"), "vqa-svqa": ("vqa", "svqa")}


def eval_results(
    task: str, result: Mapping[str, Any], *, benchmark: str = BENCHMARK, revision: str | None = None
) -> str:
    """The file for one scored system, value × 100, with the score's recipe as a note.

    >>> print(eval_results("har", {"scores": {"map": 0.46413}, "signature": "har|protocol:paper"}))
    - dataset:
        id: LEI-QI-233/MicroG-4M
        task_id: har-map50
      value: 46.41
      notes: har|protocol:paper
    <BLANKLINE>
    """
    import yaml
    from huggingface_hub import EvalResultEntry, eval_result_entries_to_yaml

    entries = [
        EvalResultEntry(
            dataset_id=benchmark,
            task_id=task_id,
            value=round(100 * result["scores"][score], 2),
            dataset_revision=revision,
            notes=str(result["signature"]),
        )
        for task_id, (kind, score) in LEADERBOARD.items()
        if kind == task and score in result["scores"]
    ]
    if not entries:
        wanted = next(score for kind, score in LEADERBOARD.values() if kind == task)
        raise RecipeError(f"the leaderboard's score of {task} is {wanted}, which was not computed; add it to --metrics")
    return yaml.safe_dump(eval_result_entries_to_yaml(entries), sort_keys=False)
