"""What a prediction file holds: actions, captions or answers."""

from __future__ import annotations

import csv
import json
from pathlib import Path

from ..errors import PredictionError

FILE_KINDS = (".csv", ".tsv", ".parquet", ".json", ".jsonl", ".ndjson")
_HINTS = {"caption", "answer", "qa_pairs", "question", "Q", "prediction", "boxes", "scores"}


def task_of_file(path: Path) -> str:
    """Whether a prediction file holds actions, captions or answers, from its first entries.

    >>> import tempfile
    >>> file = Path(tempfile.mkdtemp()) / "p.json"
    >>> _ = file.write_text('{"film_001": "A crew eats."}')
    >>> task_of_file(file)
    'caption'
    """
    suffix = path.suffix.lower()
    if suffix not in FILE_KINDS:
        raise PredictionError(f"{path.name}: predictions come as {', '.join(FILE_KINDS)}")
    if suffix == ".parquet":
        import pyarrow as pa
        import pyarrow.parquet as pq

        try:
            return _task_of_names(pq.read_schema(path).names, path)
        except (pa.ArrowException, OSError) as error:
            raise PredictionError(f"{path.name} is not Parquet: {' '.join(str(error).split())[:100]}") from None
    if suffix in (".csv", ".tsv"):
        return _task_of_csv(path)
    return _task_of_json(path)


def _task_of_csv(path: Path) -> str:
    with path.open(newline="", encoding="utf-8-sig", errors="replace") as stream:
        fields = next(csv.reader(stream, delimiter="\t" if path.suffix == ".tsv" else ","), [])
    try:
        if len(fields) == 8 and [float(field) for field in fields[2:]]:
            return "har"  # the released form has no header
    except ValueError:
        pass
    return _task_of_names([field.strip() for field in fields], path)


def _task_of_json(path: Path) -> str:
    try:
        text = path.read_text(encoding="utf-8-sig")
        value = json.loads(text.split("\n", 1)[0] if path.suffix != ".json" else text)
    except (ValueError, RecursionError):
        raise PredictionError(f"{path.name} is no readable JSON; was it cut off?") from None
    first = value[0] if isinstance(value, list) and value else value
    if isinstance(value, dict) and "video_id" not in value and value:
        first = next(iter(value.values()))
        if isinstance(first, str):
            return "caption"
        if isinstance(first, dict) and not set(first) & _HINTS:
            return "vqa"  # {video_id: {question: answer}}
        first = first[0] if isinstance(first, list) and first else first
    if not isinstance(first, dict):
        raise PredictionError(f"{path.name} holds no predictions; say which task with --task")
    return _task_of_names(list(first), path)


def _task_of_names(names: list[str], path: Path) -> str:
    has = set(names)
    if has & {"scores", "score"} and has & {"frame", "frame_stamp", "timestamp", "boxes", "box", "x1"}:
        return "har"
    questions = has & {"question", "Q", "qa_pairs"}
    if questions:
        return "vqa"
    if has & {"caption", "prediction"}:
        return "caption"
    raise PredictionError(f"{path.name}: cannot tell actions, captions and answers apart by {names[:8]}; say --task")
