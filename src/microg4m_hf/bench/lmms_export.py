"""Our caption and question tasks as a task folder for ``lmms-eval``."""

from __future__ import annotations

import os
from pathlib import Path

from .._version import __version__
from ..errors import RecipeError
from ..inference.items import prompt_set
from ..storage import write_atomic
from .lmms_tasks import SCORES

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
    """Write ``microg4m_caption.yaml``, ``microg4m_vqa.yaml`` and ``utils.py``.

    ``repository`` is a Hub data set as ``microg4m data push`` writes it (configs ``caption`` and ``vqa``). Then
    ``python -m lmms_eval --include_path FOLDER --tasks microg4m_caption,microg4m_vqa --model …``.
    """
    if repository.count("/") != 1 or not all(repository.split("/")):
        raise RecipeError(f"{repository!r} names no Hub data set; give organisation/name, as data push wrote it")
    target = Path(folder)
    words = prompt_set(prompts)
    before, _, after = words.question.partition("{question}")
    write_atomic(target / "microg4m_caption.yaml", _task("caption", repository, words.caption, ""))
    write_atomic(target / "microg4m_vqa.yaml", _task("vqa", repository, before, after))
    partials = [
        f'{task}_{score} = partial({function}, score="{score}")\n'
        for task, function in (("caption", "aggregate_captions"), ("vqa", "aggregate_answers"))
        for score in SCORES[task]
    ]
    write_atomic(target / "utils.py", _UTILS + "".join(partials))
    return target


def _task(task: str, repository: str, before: str, after: str) -> str:
    import yaml

    asked, target = ("caption", "caption") if task == "caption" else ("question", "answer")
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
        "doc_to_text": f"{asked}_text",
        "process_results": f"{asked}_results",
    }
    lines = [f"{key}: !function utils.{name}" for key, name in functions.items()] + ["metric_list:"]
    for score in SCORES[task]:
        lines += [f"  - metric: {score}", f"    aggregation: !function utils.{task}_{score}"]
        lines += ["    higher_is_better: true"]
    return yaml.safe_dump(plain, sort_keys=False, allow_unicode=True) + "\n".join(lines) + "\n"
