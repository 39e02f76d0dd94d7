"""Export the caption and question tasks for ``lmms-eval``, with the functions that the exported files import."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .._version import __version__
from ..inference.items import prompt_set
from .exports import MARK, SCORES, check_repository, clip_file, corpus_scores, keep_encoded, write_exported


def process_docs(rows: Any) -> Any:
    """Keep one row of each clip or question, and the videos encoded, because ``doc_to_visual`` returns files.

    The release has one clip twice. As published, its last row counts, and the model is asked once.
    """
    names = [name for name in ("video_id", "question") if name in rows.column_names]
    last = {key: place for place, key in enumerate(zip(*(rows[name] for name in names), strict=True))}
    return keep_encoded(rows.select(sorted(last.values())))


def doc_to_visual(doc: dict[str, Any]) -> list[str]:
    """Return the path of the clip; clips inside Parquet files are written to the cache once."""
    return [clip_file(doc["video"], "lmms-eval")]


def caption_text(doc: dict[str, Any], lmms_eval_specific_kwargs: dict[str, str] | None = None) -> str:
    """Return the instruction for a caption, which is the ``pre_prompt`` of the task."""
    own = lmms_eval_specific_kwargs or {}
    return own.get("pre_prompt", "") + own.get("post_prompt", "")


def question_text(doc: dict[str, Any], lmms_eval_specific_kwargs: dict[str, str] | None = None) -> str:
    """Return the question between the ``pre_prompt`` and the ``post_prompt`` of the task.

    >>> question_text({"question": "Who eats?"}, {"post_prompt": " Be brief."})
    'Who eats? Be brief.'
    """
    own = lmms_eval_specific_kwargs or {}
    return own.get("pre_prompt", "") + doc["question"].strip() + own.get("post_prompt", "")


def caption_results(doc: dict[str, Any], results: Sequence[str]) -> dict[str, Any]:
    """Return the item for every score; scores are computed on all items at the end."""
    item = {"video_id": doc["video_id"], "prediction": results[0].strip(), "reference": doc["caption"]}
    return dict.fromkeys(SCORES["caption"], item)


def question_results(doc: dict[str, Any], results: Sequence[str]) -> dict[str, Any]:
    """Return the item for every score; scores are computed on all items at the end."""
    pair = {"prediction": results[0].strip(), "reference": doc["answer"]}
    item = {"video_id": doc["video_id"], "question": doc["question"], **pair}
    return dict.fromkeys(SCORES["vqa"], item)


def aggregate_captions(items: Sequence[dict[str, Any]], score: str) -> float:
    """Return one score of all captions, × 100 as in the published table."""
    return corpus_scores("caption", items, [score])[score]


def aggregate_answers(items: Sequence[dict[str, Any]], score: str) -> float:
    """Return one score of all answers, × 100 as in the published table.

    >>> item = {"video_id": "a_001", "question": "Who?", "prediction": "the crew", "reference": "The crew."}
    >>> aggregate_answers([item], "exact_match")
    100.0
    """
    return corpus_scores("vqa", items, [score])[score]


_UTILS = '''"""Written by `microg4m report --export-lmms-eval`; the work is done in microg4m_hf.bench.lmms_tasks."""

from functools import partial

from microg4m_hf.bench.lmms_tasks import (  # noqa: F401
    aggregate_answers,
    aggregate_captions,
    caption_results,
    caption_text,
    doc_to_visual,
    process_docs,
    question_results,
    question_text,
)

'''


def export_lmms_eval(folder: str | os.PathLike[str], repository: str, *, prompts: str = "default") -> Path:
    """Write ``microg4m_caption.yaml``, ``microg4m_vqa.yaml`` and ``utils.py`` into a task folder for ``lmms-eval``.

    Run them with ``python -m lmms_eval --include_path FOLDER --tasks microg4m_caption,microg4m_vqa --model …``.

    Args:
        folder: The task folder.
        repository: A Hub dataset that ``microg4m data push`` wrote.
        prompts: Name of the prompt set.

    Returns:
        The task folder.

    Raises:
        RecipeError: The repository is not of the form ``organization/name``, or a file exists that somebody else wrote.
    """
    check_repository(repository, or_sample=False)
    target = Path(folder)
    texts = prompt_set(prompts)
    before, _, after = texts.question.partition("{question}")
    partials = [
        f'{task}_{score} = partial({function}, score="{score}")\n'
        for task, function in (("caption", "aggregate_captions"), ("vqa", "aggregate_answers"))
        for score in SCORES[task]
    ]
    files = {
        target / "microg4m_caption.yaml": _task("caption", repository, texts.caption, ""),
        target / "microg4m_vqa.yaml": _task("vqa", repository, before, after),
        target / "utils.py": _UTILS + "".join(partials),
    }
    write_exported(files)
    return target


def _task(task: str, repository: str, before: str, after: str) -> str:
    import yaml

    prefix, target = ("caption", "caption") if task == "caption" else ("question", "answer")
    plain = {
        "dataset_path": repository,
        "dataset_name": task,
        "task": f"microg4m_{task}",
        "test_split": "test",
        "output_type": "generate_until",
        "doc_to_target": target,
        "generation_kwargs": {"max_new_tokens": 256, "temperature": 0, "do_sample": False},
        "lmms_eval_specific_kwargs": {"default": {"pre_prompt": before, "post_prompt": after}},
        "metadata": [{"version": __version__}],
    }
    functions = {
        "process_docs": "process_docs",
        "doc_to_visual": "doc_to_visual",
        "doc_to_text": f"{prefix}_text",
        "process_results": f"{prefix}_results",
    }
    lines = [f"{key}: !function utils.{name}" for key, name in functions.items()] + ["metric_list:"]
    for score in SCORES[task]:
        lines += [f"  - metric: {score}", f"    aggregation: !function utils.{task}_{score}"]
        lines += ["    higher_is_better: true"]
    head = f"# {MARK}lmms-eval`.\n"
    return head + yaml.safe_dump(plain, sort_keys=False, allow_unicode=True) + "\n".join(lines) + "\n"
