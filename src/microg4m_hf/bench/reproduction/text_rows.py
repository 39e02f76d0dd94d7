"""Reproduce rows of the caption and question tables: the published number of frames, and what the paper does not tell.

The paper prints the model and the number of frames, and nothing else about how the texts were made. So every row says
which settings it does not tell, and what the run has in their place.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ...errors import MicroG4MError, PredictionError, RecipeError
from ...inference.items import PAPER_FRAMES
from ...metrics import caption_scores, vqa_scores
from ..published import PublishedRow, PublishedTable, differences_from_published, published_tables
from ..references import References, Target, describe_release, find_data
from ..render.formatting import SCORE_NAMES
from ..runs import RunInfo, find_runs
from .har_rows import result_of
from .judgement import NOT_POSSIBLE, Judgement, RowResult, judge
from .row_runner import error_line

# score of the published tables -> the metric that computes it
_METRICS = {"bleu_4": "bleu", "meteor_1_5": "meteor_1_5"}


def find_text_row(task: str, model: str) -> tuple[PublishedRow, PublishedTable]:
    """Return the published row of a model.

    Args:
        task: ``"caption"`` or ``"vqa"``.
        model: A Hub id, the name of a served model, or the printed name of the row.

    Raises:
        RecipeError: The table has no row of this model.

    Example:
        >>> row, table = find_text_row("vqa", "Qwen/Qwen2.5-VL-7B-Instruct")
        >>> row.name, row.frames
        ('Qwen2.5-VL', 9)
    """
    table = published_tables()[task]
    words = _spell(model)
    for row in table.rows:
        part = next((part for part in PAPER_FRAMES if part in _spell(row.name)), _spell(row.name))
        if part in words:
            return row, table
    names = ", ".join(row.name for row in table.rows)
    raise RecipeError(f"{model} is no model of the published {task} table; name its row with --row: {names}")


def _spell(name: str) -> str:
    return name.lower().replace(" ", "-").replace("_", "-")


def unknown_settings(about: Mapping[str, Any]) -> str:
    """Say what the paper does not tell about how texts were made, beside what a run records.

    Args:
        about: What the run records.

    Example:
        >>> unknown_settings({"prompts": "plain"}).rpartition(": ")[2]
        'the checkpoint and its revision, the prompts (here plain), which frames and their size, the decoding'
    """
    names = {
        "the checkpoint and its revision": ("model", "revision"),
        "the prompts": ("prompts",),
        "which frames and their size": ("pick",),
        "the decoding": ("max_new_tokens", "temperature"),
    }
    parts = []
    for text, keys in names.items():
        own = [
            f"{key.replace('_', ' ')} {about[key]}" if len(keys) > 1 else str(about[key])
            for key in keys
            if key in about
        ]
        parts.append(f"{text} (here {', '.join(own)})" if own else text)
    return f"the paper tells the number of frames only; it does not tell: {', '.join(parts)}"


def judge_texts(
    row: PublishedRow,
    table: PublishedTable,
    run: RunInfo,
    references: References,
    *,
    metrics: Sequence[str] = (),
    encoder: str | None = None,
    bert_model: str | None = None,
) -> RowResult:
    """Score texts as published and judge the row.

    Each metric is computed by itself: one that cannot run, because a package or a model is missing, is named and not
    compared.

    Args:
        row: The row.
        table: Its table.
        run: The texts, with what their run records.
        references: All captions or questions.
        metrics: Scores of the table to compute; by default all.
        encoder: As for :func:`microg4m_hf.metrics.caption_scores`.
        bert_model: The same.
    """
    unknown = [name for name in metrics if name not in table.columns]
    if unknown:
        raise RecipeError(f"the {table.id} table has no score {unknown[0]!r}; choose among {', '.join(table.columns)}")
    score: Any = caption_scores if table.task == "caption" else vqa_scores
    wanted = [name for name in table.columns if not metrics or name in metrics]
    scores: dict[str, float] = {}
    notes, faults, result = [unknown_settings(run.about), *run.notes], [], None
    found: dict[str, Any] = {"predictions": str(run.predictions), "about": run.about}
    if run.is_baseline:
        faults.append(f"texts of the baseline {run.about.get('model')}, published {row.name}")
    elif run.frames not in (None, row.frames):
        faults.append(f"{run.frames} frames, published {row.frames}")
    for name in wanted:
        try:
            result = score(
                str(run.predictions),
                references.data,
                metrics=[_METRICS.get(name, name)],
                missing="zero",
                on_empty="score",
                encoder=encoder,
                bert_model=bert_model,
                resamples=0,
            )
        except PredictionError:
            raise
        except (MicroG4MError, OSError) as error:
            notes.append(f"{SCORE_NAMES.get(name, name)} cannot be computed: {error_line(error)}")
            continue
        scores[name] = result["scores"][name]
        found.setdefault("signatures", {})[name] = result["signature"]
        found["counts"] = result["counts"]
    if result is not None:
        faults += differences_from_published(result, references, table)
    printed = {name: row.printed[name] for name in wanted}
    causes = ["another checkpoint, prompt, choice of frames or decoding gives other texts"]
    judgement = judge(printed, scores, faults=faults, causes=causes, notes=notes)
    return result_of(row, table, judgement, found)


def not_possible(row: PublishedRow, table: PublishedTable, error: Exception) -> RowResult:
    """Return the row whose texts or references cannot be had."""
    return result_of(row, table, Judgement(NOT_POSSIBLE, reason=error_line(error)))


def text_references(task: str, file: str | None, where: Mapping[str, Any]) -> References:
    """Return all references of a task, or those of a file.

    Args:
        task: ``"caption"`` or ``"vqa"``.
        file: A file of references instead of the dataset.
        where: ``data_dir``, ``source`` and ``revision`` of the dataset.
    """
    data = find_data(Target(task, file, **where))
    place = Path(file).name if file is not None else describe_release(**where)
    return References(task, data, place, sample=where["source"] == "sample")


def text_run(path: str | Path, task: str) -> RunInfo:
    """Return the run of a prediction file or a run folder.

    Args:
        path: The file or folder.
        task: ``"caption"`` or ``"vqa"``.

    Raises:
        PredictionError: There are no predictions of this task.
    """
    if not Path(path).exists():
        raise PredictionError(f"{path} does not exist; give a prediction file or a run folder")
    runs = find_runs([path], task=task)
    if len(runs) == 1 and runs[0].problem is None and runs[0].predictions is not None and runs[0].task == task:
        return runs[0]
    problem = runs[0].problem if len(runs) == 1 else None
    raise PredictionError(problem or f"{path} does not hold one run of the task {task}; give its file or folder")
