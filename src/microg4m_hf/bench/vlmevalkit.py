"""Export the caption and question tasks for VLMEvalKit: a table per task, the clips, and a dataset class."""

from __future__ import annotations

import csv
import io
import os
from pathlib import Path
from typing import Any

from ..clip_ids import source_of
from ..errors import RecipeError
from ..inference.items import group_queries, prompt_set
from ..metrics import caption_scores, vqa_scores
from ..storage import write_atomic
from .exports import MARK, SCORES, check_repository, clip_bytes, load_rows, write_exported

DATASETS = {"caption": "MicroG4M_Caption", "vqa": "MicroG4M_VQA"}
# What VLMEvalKit reads, then what `microg4m score` needs: VLMEvalKit copies all columns into its prediction files.
COLUMNS = ("index", "video", "video_path", "question", "answer", "video_id", "microg4m_task", "microg4m_question")


def export_vlmevalkit(
    folder: str | os.PathLike[str], repository: str, *, split: str = "test", prompts: str = "default"
) -> Path:
    """Write ``MicroG4M_Caption.tsv``, ``MicroG4M_VQA.tsv``, their clips and ``microg4m_video.py`` for VLMEvalKit.

    The column ``question`` is the prompt. A clip with two captions is one row; the last caption is its answer.

    Args:
        folder: The folder of the files; clips are in its folder ``video``.
        repository: A Hub dataset that ``microg4m data push`` wrote, or ``sample``.
        split: The split.
        prompts: Name of the prompt set; a system prompt comes before the question.

    Returns:
        The folder.

    Raises:
        RecipeError: The repository is not of the form ``organization/name``, or a file exists that somebody else wrote.
    """
    check_repository(repository)
    texts, target = prompt_set(prompts), Path(folder)
    before = f"{texts.system}\n" if texts.system else ""
    tables: dict[Path, str] = {}
    clips: dict[str, Any] = {}
    for task, name in DATASETS.items():
        rows = load_rows(task, repository, split)
        key, text = ("video_id", "caption") if task == "caption" else ("question_id", "answer")
        answers = {row[key]: row[text] for row in rows.remove_columns("video")}
        lines: list[tuple[Any, ...]] = []
        for clip in group_queries(task, rows):
            source_of(clip.video_id)  # a name that leads out of the folder is an error
            clips[clip.video_id] = clip.video
            for query in clip.queries:
                prompt = before + texts.user_text(query)
                place = f"video/{clip.video_id}.mp4"
                known = (clip.video_id, place, prompt, answers[query.id], clip.video_id, task, query.question or "")
                lines.append((len(lines), *known))
        tables[target / f"{name}.tsv"] = format_tsv(lines)
    code = target / "microg4m_video.py"
    _refuse_foreign(tables, clips, target)
    write_exported({code: _CLASS})
    for video_id, video in clips.items():
        _, data = clip_bytes(video)
        path = target / "video" / f"{video_id}.mp4"
        if not (path.is_file() and path.read_bytes() == data):
            write_atomic(path, data)
    for path, table in tables.items():
        write_atomic(path, table)
    return target


def format_tsv(lines: list[tuple[Any, ...]]) -> str:
    """Return a table that pandas and ``microg4m score`` read back to the same texts; only NUL cannot be kept.

    >>> format_tsv([(0, "a_001", "video/a_001.mp4", "Who?", "Two\\tmen.", "a_001", "vqa", "Who?")]).splitlines()[1]
    '"0"\\t"a_001"\\t"video/a_001.mp4"\\t"Who?"\\t"Two\\tmen."\\t"a_001"\\t"vqa"\\t"Who?"'
    """
    file = io.StringIO()
    writer = csv.writer(file, delimiter="\t", quoting=csv.QUOTE_ALL, lineterminator="\n")
    writer.writerows([COLUMNS, *([str(value).replace("\0", "\ufffd") for value in line] for line in lines)])
    return file.getvalue()


def score_predictions(predictions: str, table: str) -> dict[str, float]:
    """Score a prediction file of VLMEvalKit, × 100, with the answers in an exported TSV.

    Args:
        predictions: The file, XLSX, TSV or JSON.
        table: The exported TSV.

    Raises:
        PredictionError: The file cannot be read, or items have no answer.
    """
    task = next(task for task, name in DATASETS.items() if Path(table).stem == name)
    score_all = caption_scores if task == "caption" else vqa_scores
    found = score_all(predictions, table, on_empty="score", resamples=0)["scores"]
    return {name: 100 * found[name] for name in SCORES[task]}


def _refuse_foreign(tables: dict[Path, str], clips: dict[str, Any], target: Path) -> None:
    head = "\t".join(f'"{name}"' for name in COLUMNS)
    for path in tables:
        if path.exists() and not path.read_text(encoding="utf-8", errors="replace").startswith(head):
            raise RecipeError(
                f"{path} exists and was not written by microg4m report; give another folder, or move the file away"
            )
    if not any(path.exists() for path in tables):
        there = next((path for name in clips if (path := target / "video" / f"{name}.mp4").exists()), None)
        if there:
            raise RecipeError(f"{there} exists, but no table of an earlier export; give another folder")


_CLASS = f'''"""{MARK}vlmevalkit`; the scores are computed in microg4m_hf.bench.vlmevalkit."""

from pathlib import Path

from vlmeval.dataset.video_base import VideoBaseDataset

FOLDER = Path(__file__).resolve().parent


class MicroG4M(VideoBaseDataset):
    """Captions (MicroG4M_Caption) and answers (MicroG4M_VQA), from the tables beside this file."""

    TYPE = "Video-VQA"

    def __init__(self, dataset="MicroG4M_VQA", pack=False, nframe=0, fps=-1):
        super().__init__(dataset=dataset, pack=pack, nframe=nframe, fps=fps)

    @classmethod
    def supported_datasets(cls):
        return ["MicroG4M_Caption", "MicroG4M_VQA"]

    def prepare_dataset(self, dataset):
        return {{"root": str(FOLDER / "video"), "data_file": str(FOLDER / f"{{dataset}}.tsv")}}

    def build_prompt(self, line, video_llm):
        row = self.data.iloc[line] if isinstance(line, int) else line
        if video_llm:
            clip = [{{"type": "video", "value": str(FOLDER / row["video_path"])}}]
        else:
            clip = [{{"type": "image", "value": path}} for path in self.save_video_frames(row["video"])]
        return [*clip, {{"type": "text", "value": row["question"]}}]

    def evaluate(self, eval_file, **judge_kwargs):
        from microg4m_hf.bench.vlmevalkit import score_predictions

        return score_predictions(eval_file, self.data_file)
'''
