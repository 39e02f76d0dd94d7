"""Export the caption and question tasks for ``inspect_ai``, with the function that the exported file imports."""

from __future__ import annotations

import asyncio
import base64
import os
import warnings
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .._version import __version__
from ..errors import RecipeError
from ..inference.api.messages import encode_images
from ..inference.frames import read_frames
from ..inference.items import group_queries, prompt_set
from .exports import MARK, SCORES, check_repository, clip_file, corpus_scores, item_score, load_rows, write_exported

_FORMATS = {".mp4": "mp4", ".mov": "mov", ".mpeg": "mpeg"}  # those of ContentVideo
_REFERENCE = {"caption": "caption", "vqa": "answer"}


def inspect_task(
    task: str,
    repository: str,
    *,
    split: str = "test",
    revision: str | None = None,
    prompts: str = "default",
    frames: int = 0,
) -> Any:
    """Return a task of ``inspect_ai``: the clip and its prompt as one message, ``generate()``, and corpus scores.

    The log has CIDEr, BLEU-4 and ROUGE-L of all texts together (and exact match of answers), × 100, as ``microg4m
    score`` computes them from the same texts. The score of a single sample is its ROUGE-L, × 100. With several epochs,
    each epoch is scored and the mean is reported.

    Args:
        task: ``"caption"`` or ``"vqa"``.
        repository: A Hub dataset that ``microg4m data push`` wrote, or ``sample``.
        split: The split.
        revision: Commit, tag or branch of the dataset.
        prompts: Name of the prompt set.
        frames: Send this many frames as images, for models that take no video; 0 sends the clip.
    """
    from inspect_ai import Task
    from inspect_ai.dataset import MemoryDataset, Sample
    from inspect_ai.model import ChatMessageSystem, ChatMessageUser, ContentText, ContentVideo, GenerateConfig

    texts = prompt_set(prompts)
    rows = load_rows(task, repository, split, revision)
    references = defaultdict(list)
    for row in rows.remove_columns("video"):
        references[row["video_id" if task == "caption" else "question_id"]].append(row[_REFERENCE[task]])
    samples = []
    for clip in group_queries(task, rows):
        path = clip_file(clip.video, "inspect")
        kind = _FORMATS.get(Path(path).suffix.lower(), "mp4" if frames else None)
        if kind is None:
            raise RecipeError(f"{path}: inspect_ai takes mp4, mov and mpeg only; send images with -T frames=8")
        for query in clip.queries:
            parts = [ContentVideo(video=path, format=kind), ContentText(text=texts.user_text(query))]
            messages: list[Any] = [ChatMessageUser(content=parts)]
            if texts.system:
                messages.insert(0, ChatMessageSystem(content=texts.system))
            known = {"video_id": clip.video_id, "question": query.question}
            samples.append(Sample(messages, target=references[query.id], id=query.id, metadata=known))
    return Task(
        dataset=MemoryDataset(samples, name=f"{repository} {task} {split}", location=repository),
        setup=_frames_as_images(frames) if frames else None,
        scorer=_corpus_scorer(task),
        config=GenerateConfig(temperature=0, max_tokens=256),
        version=__version__,
        metadata={"dataset": repository, "revision": revision, "split": split, "prompts": prompts, "frames": frames},
    )


def _frames_as_images(frames: int) -> Any:
    """Replace the clip in the message by frames, when its sample is due."""
    from inspect_ai.model import ContentImage
    from inspect_ai.solver import solver

    @solver(name="microg4m_frames_as_images")
    def replace_video(frames: int) -> Any:
        async def solve(state: Any, generate: Any) -> Any:
            content = state.user_prompt.content
            clip = content[0].video
            if clip.startswith("data:"):  # inspect_ai puts files into messages before it runs a sample
                clip = base64.b64decode(clip.partition(",")[2])
            shown = await asyncio.to_thread(read_frames, clip, frames, "uniform")
            urls = [part["image_url"]["url"] for part in encode_images(shown.frames)]
            state.user_prompt.content = [*(ContentImage(image=url, detail="low") for url in urls), *content[1:]]
            return state

        return solve

    return replace_video(frames)


def _corpus_scorer(task: str) -> Any:
    """Keep the texts of each sample, and score all of them together at the end."""
    from inspect_ai.scorer import SampleScore, Score, metric, scorer

    # Every epoch is a prediction of its own: a mean of texts does not exist.
    @metric(name="microg4m_corpus", scores="unreduced")
    def corpus(task: str) -> Any:
        def compute(scores: Sequence[Any]) -> dict[str, float]:
            epochs: dict[int, list[Any]] = defaultdict(list)
            seen: Counter[Any] = Counter()
            for score in scores:
                epochs[seen[score.sample_id]].append(score.score)
                seen[score.sample_id] += 1
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # this is called after each sample, too
                each = [corpus_scores(task, _items(of_epoch)) for of_epoch in epochs.values()]
            return {name: sum(one[name] for one in each) / len(each) for name in SCORES[task]}

        compute.__annotations__ = {"scores": list[SampleScore]}  # tells inspect_ai to pass the texts, too
        return compute

    @scorer(metrics=[corpus(task)], name=f"microg4m_{task}_scores")
    def texts(task: str) -> Any:
        async def score(state: Any, target: Any) -> Any:
            answer = state.output.completion.strip()
            known = {**state.metadata, "references": list(target)}
            return Score(value=item_score(answer, list(target)), answer=answer, metadata=known)

        return score

    return texts(task)


def _items(scores: Sequence[Any]) -> list[dict[str, Any]]:
    items = []
    for score in scores:
        known = score.metadata
        key = {"video_id": known["video_id"]} | ({"question": known["question"]} if known["question"] else {})
        items += [key | {"prediction": score.answer, "reference": reference} for reference in known["references"]]
    return items


_FILE = '''"""{mark}inspect`; the work is done in microg4m_hf.bench.inspect_tasks.

    inspect eval {name} --model google/gemini-2.5-flash
    inspect eval {name} --model openai/gpt-4o -T frames=8
"""

from inspect_ai import Task, task

from microg4m_hf.bench.inspect_tasks import inspect_task

REPOSITORY = {repository!r}


@task
def microg4m_caption(
    split: str = "test", revision: str | None = None, prompts: str = {prompts!r}, frames: int = 0
) -> Task:
    """One caption for each clip."""
    return inspect_task("caption", REPOSITORY, split=split, revision=revision, prompts=prompts, frames=frames)


@task
def microg4m_vqa(split: str = "test", revision: str | None = None, prompts: str = {prompts!r}, frames: int = 0) -> Task:
    """One answer for each question."""
    return inspect_task("vqa", REPOSITORY, split=split, revision=revision, prompts=prompts, frames=frames)
'''


def export_inspect(folder: str | os.PathLike[str], repository: str, *, prompts: str = "default") -> Path:
    """Write ``microg4m_tasks.py`` with the tasks ``microg4m_caption`` and ``microg4m_vqa`` for ``inspect_ai``.

    Run them with ``inspect eval FOLDER/microg4m_tasks.py --model …``.

    Args:
        folder: The folder of the file.
        repository: A Hub dataset that ``microg4m data push`` wrote, or ``sample``.
        prompts: Name of the prompt set.

    Returns:
        The file.

    Raises:
        RecipeError: The repository is not of the form ``organization/name``, or the file exists and somebody else wrote
            it.
    """
    check_repository(repository)
    prompt_set(prompts)
    target = Path(folder) / "microg4m_tasks.py"
    values = {"mark": MARK, "name": target.name, "repository": repository, "prompts": prompts}
    write_exported({target: _FILE.format(**values)})
    return target
