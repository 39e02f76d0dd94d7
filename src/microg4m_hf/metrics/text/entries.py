"""Read captions and answers from every form in which people keep them, as one entry per caption or answer."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from ...errors import Origin, shorten
from .files import LocatedRow, read_text_rows

CAPTION, VQA = "caption", "vqa"
# Accepted field names of predictions and (True) references. A table may hold both, so the name of the role comes first.
_TEXT_FIELDS = {
    (CAPTION, False): ("prediction", "caption"),
    (CAPTION, True): ("reference", "caption"),
    (VQA, False): ("prediction", "answer", "A"),
    (VQA, True): ("reference", "answer", "A"),
}
_QUESTION_FIELDS = ("question", "Q")
_NO_ANSWER = "Failed to obtain answer"  # VLMEvalKit's prediction for an item that failed
_HINTS = {
    CAPTION: "give {video_id: caption}, rows with video_id and caption, or a file of them",
    VQA: "give rows with video_id, question and answer, or rows with video_id and qa_pairs, or a file of them",
}


class TextEntry(NamedTuple):
    """One caption or answer; its text is not checked yet."""

    key: Any  # video_id, or (video_id, question)
    text: Any
    location: str


def read_entries(source: Any, task: str, role: str) -> list[TextEntry]:
    """Read the captions or answers of one side.

    Args:
        source: A file, a mapping, a list of rows, a ``datasets.Dataset``, an Arrow table or a pandas frame.
        task: ``"caption"`` or ``"vqa"``.
        role: ``"predictions"`` or ``"references"``.

    Returns:
        One entry per caption or answer, in the order of the source.

    Raises:
        PredictionError: If they cannot be read or there is no entry; a ``DataError`` for references.

    Example:
        >>> read_entries({"film_001": "A crew eats."}, "caption", "predictions")
        [TextEntry(key='film_001', text='A crew eats.', location="key 'film_001'")]
        >>> row = {"video_id": "film_001", "caption": "…", "qa_pairs": [{"Q": "Who eats? ", "A": "The crew."}]}
        >>> [entry.key for entry in read_entries([row], "vqa", "references")]
        [('film_001', 'Who eats?')]
    """
    name = f"{role} {Path(source).name}" if isinstance(source, (str, os.PathLike)) else role
    origin = Origin(name, role == "references")
    entries = [
        entry for location, row in _read_rows(source, task, origin) for entry in _read_row(location, row, task, origin)
    ]
    if not entries:
        raise origin.error(f"no {'captions' if task == CAPTION else 'answers'} found", hint=_HINTS[task])
    return entries


def join_key(key: Any) -> Any:
    """Return a key as it is joined: without outer spaces, in Unicode normal form C.

    Files on macOS, and some servers, write é as two characters where the release has one.

    >>> join_key((" a_001", "Who waves to Rene\u0301? ")) == ("a_001", "Who waves to Ren\u00e9?")
    True
    """
    if isinstance(key, (tuple, list)):
        return tuple(map(join_key, key))
    return unicodedata.normalize("NFC", key.strip()) if isinstance(key, str) else key


def _read_rows(value: Any, task: str, origin: Origin) -> Iterable[LocatedRow]:
    if isinstance(value, (str, os.PathLike)):
        value = read_text_rows(Path(value), origin)
        if isinstance(value, list):
            return value
    if isinstance(value, Mapping):
        if value and all(hasattr(split, "column_names") for split in value.values()):
            splits = list(value)
            raise origin.error(f"is a dictionary of splits {splits}", hint=f"choose one, for example [{splits[0]!r}]")
        if isinstance(value.get("video_id"), (list, tuple)):
            return _rows_of_columns(value, origin)
        return _rows_of_mapping(value, task)
    if hasattr(value, "column_names"):  # datasets.Dataset, or an Arrow table
        return _rows_of_table(value)
    if hasattr(value, "to_dict") and hasattr(value, "columns"):  # a pandas frame
        value = value.to_dict("records")
    if isinstance(value, bytes) or not isinstance(value, Iterable):
        raise origin.error(f"cannot read a {type(value).__name__}", hint=_HINTS[task])
    return ((f"entry {number}", row) for number, row in enumerate(value, start=1))


def _rows_of_table(table: Any) -> Iterable[LocatedRow]:
    wanted = {"video_id", "qa_pairs", *_QUESTION_FIELDS, *(name for names in _TEXT_FIELDS.values() for name in names)}
    columns = [name for name in table.column_names if name in wanted]
    # Without the other columns, a row of the dataset does not open its video.
    table = table.select_columns(columns) if hasattr(table, "select_columns") else table.select(columns)
    rows = table.to_pylist() if hasattr(table, "to_pylist") else table
    return ((f"row {number}", row) for number, row in enumerate(rows, start=1))


def _rows_of_columns(columns: Mapping[str, Any], origin: Origin) -> list[LocatedRow]:
    lengths = {name: len(values) for name, values in columns.items()}
    if len(set(lengths.values())) > 1:
        raise origin.error(f"the columns have different lengths: {lengths}", hint="give one value per row in each")
    rows = zip(*columns.values(), strict=True)
    return [(f"row {number}", dict(zip(columns, row, strict=True))) for number, row in enumerate(rows, start=1)]


def _rows_of_mapping(mapping: Mapping[Any, Any], task: str) -> Iterator[LocatedRow]:
    for key, value in mapping.items():
        location = f"key {key!r}"
        if isinstance(key, tuple) and len(key) == 2:
            yield location, {"video_id": key[0], "question": key[1], "prediction": value, "reference": value}
        elif isinstance(value, Mapping) and task == VQA and "qa_pairs" not in value:
            pairs = [{"question": question, "answer": answer} for question, answer in value.items()]
            yield location, {"video_id": key, "qa_pairs": pairs}
        elif isinstance(value, Mapping):
            yield location, {"video_id": key, **value}
        elif isinstance(value, (list, tuple)) and task == VQA:
            yield location, {"video_id": key, "qa_pairs": value}
        else:
            yield location, {"video_id": key, "caption": value}


def _read_row(location: str, row: Any, task: str, origin: Origin) -> list[TextEntry]:
    if not isinstance(row, Mapping):
        problem = f"{location} is a {type(row).__name__}, not an object with named fields"
        raise origin.error(problem, hint=_HINTS[task])
    video_id = row.get("video_id")
    if not isinstance(video_id, str) or not video_id.strip():
        raise origin.error(f"{location} has no video_id: {shorten(dict(row), 79)}", hint=_HINTS[task])
    if "microg4m_task" in row:
        if row["microg4m_task"] != task or str(row.get("prediction")).startswith(_NO_ANSWER):
            return []
        row = _from_vlmevalkit(row)
    video_id = join_key(video_id)
    fields = _TEXT_FIELDS[task, origin.references]
    is_question = any(name in row for name in _QUESTION_FIELDS)
    if task == CAPTION:
        field = next((name for name in fields if name in row), None)
        if field is not None and not is_question:
            return [TextEntry(video_id, row[field], location)]
        if is_question or "qa_pairs" in row:  # a question in a file that also holds captions
            return []
        raise origin.error(f"{location} has no {' or '.join(fields)}, only {sorted(row)}", hint=_HINTS[task])
    pairs = row.get("qa_pairs")
    if pairs is not None:
        if isinstance(pairs, (Mapping, str)) or not isinstance(pairs, Iterable):
            problem = f"{location}: qa_pairs is a {type(pairs).__name__}"
            raise origin.error(problem, hint="give a list of {'Q': …, 'A': …}")
        numbered = enumerate(pairs, start=1)
        return [_read_answer(video_id, f"{location}, pair {number}", pair, fields, origin) for number, pair in numbered]
    if not is_question and "caption" in row:
        return []
    return [_read_answer(video_id, location, row, fields, origin)]


def _from_vlmevalkit(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return the texts of a row that `microg4m report` exported for VLMEvalKit, whose question is the prompt."""
    names = {"video_id": "video_id", "prediction": "prediction", "answer": "reference"}
    if row["microg4m_task"] == VQA:
        names["microg4m_question"] = "question"
    return {new: row[old] for old, new in names.items() if old in row}


def _read_answer(video_id: str, location: str, pair: Any, fields: tuple[str, ...], origin: Origin) -> TextEntry:
    if not isinstance(pair, Mapping):
        problem = f"{location} is a {type(pair).__name__}"
        raise origin.error(problem, hint="give {'Q': question, 'A': answer}")
    question = next((pair[name] for name in _QUESTION_FIELDS if name in pair), None)
    field = next((name for name in fields if name in pair), None)
    if not isinstance(question, str) or not question.strip() or field is None:
        absent = "no question" if field is not None else f"no {' or '.join(fields)}"
        raise origin.error(f"{location} has {absent}, only {sorted(map(str, pair))}", hint=_HINTS[VQA])
    return TextEntry((video_id, join_key(question)), pair[field], location)
