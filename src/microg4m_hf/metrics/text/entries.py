"""Captions and answers out of every form in which people keep them: one entry per caption or answer."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from .files import Row, Trouble, read_rows

CAPTION, VQA = "caption", "vqa"
# What a field may be called. A table may hold predictions beside references, so the role's own name comes first.
_TEXT_FIELDS = {
    (CAPTION, "predictions"): ("prediction", "caption"),
    (CAPTION, "references"): ("reference", "caption"),
    (VQA, "predictions"): ("prediction", "answer", "A"),
    (VQA, "references"): ("reference", "answer", "A"),
}
_QUESTION_FIELDS = ("question", "Q")
_HOW = {
    CAPTION: "give {video_id: caption}, rows with video_id and caption, or a file of them",
    VQA: "give rows with video_id, question and answer, or rows with video_id and qa_pairs, or a file of them",
}


class Entry(NamedTuple):
    """One caption or answer as it was found; the text is not checked yet."""

    key: Any  # video_id, or (video_id, question)
    text: Any
    place: str


def read_entries(source: Any, task: str, role: str) -> list[Entry]:
    """The captions or answers in a file, a mapping, a list of rows, a ``datasets.Dataset``, a table or a frame.

    >>> read_entries({"film_001": "A crew eats."}, "caption", "predictions")
    [Entry(key='film_001', text='A crew eats.', place="key 'film_001'")]
    >>> row = {"video_id": "film_001", "caption": "…", "qa_pairs": [{"Q": "Who eats? ", "A": "The crew."}]}
    >>> [entry.key for entry in read_entries([row], "vqa", "references")]
    [('film_001', 'Who eats?')]
    """
    name = Path(source).name if isinstance(source, (str, os.PathLike)) else ""
    trouble = Trouble(role, name)
    entries = []
    for place, row in _rows(source, task, trouble):
        entries += _entries_of(place, row, task, trouble)
    if not entries:
        raise trouble.error(f"no {'captions' if task == CAPTION else 'answers'} found", hint=_HOW[task])
    return entries


def _rows(source: Any, task: str, trouble: Trouble) -> Iterable[Row]:
    if isinstance(source, (str, os.PathLike)):
        source = read_rows(Path(source), trouble)
        if isinstance(source, list):
            return source
    if isinstance(source, Mapping):
        if source and all(hasattr(part, "column_names") for part in source.values()):
            splits = list(source)
            raise trouble.error(f"is a dictionary of splits {splits}", hint=f"choose one, for example [{splits[0]!r}]")
        if isinstance(source.get("video_id"), (list, tuple)):
            return _rows_of_columns(source, trouble)
        return _rows_of_mapping(source, task)
    if hasattr(source, "column_names"):  # datasets.Dataset, or an Arrow table
        return _rows_of_table(source)
    if hasattr(source, "to_dict") and hasattr(source, "columns"):  # a pandas frame
        source = source.to_dict("records")
    if isinstance(source, bytes) or not isinstance(source, Iterable):
        raise trouble.error(f"cannot read a {type(source).__name__}", hint=_HOW[task])
    return ((f"entry {number}", row) for number, row in enumerate(source, start=1))


def _rows_of_table(table: Any) -> Iterable[Row]:
    wanted = {"video_id", "qa_pairs", *_QUESTION_FIELDS, *(name for names in _TEXT_FIELDS.values() for name in names)}
    keep = [name for name in table.column_names if name in wanted]
    # Only these columns: a row of the data set would otherwise open its video.
    table = table.select_columns(keep) if hasattr(table, "select_columns") else table.select(keep)
    rows = table.to_pylist() if hasattr(table, "to_pylist") else table
    return ((f"row {number}", row) for number, row in enumerate(rows, start=1))


def _rows_of_columns(columns: Mapping[str, Any], trouble: Trouble) -> list[Row]:
    lengths = {name: len(values) for name, values in columns.items()}
    if len(set(lengths.values())) > 1:
        raise trouble.error(f"the columns have different lengths: {lengths}")
    rows = zip(*columns.values(), strict=True)
    return [(f"row {number}", dict(zip(columns, row, strict=True))) for number, row in enumerate(rows, start=1)]


def _rows_of_mapping(source: Mapping[Any, Any], task: str) -> Iterator[Row]:
    for key, value in source.items():
        place = f"key {key!r}"
        if isinstance(key, tuple) and len(key) == 2:
            yield place, {"video_id": key[0], "question": key[1], "prediction": value, "reference": value}
        elif isinstance(value, Mapping) and task == VQA and "qa_pairs" not in value:
            pairs = [{"question": question, "answer": answer} for question, answer in value.items()]
            yield place, {"video_id": key, "qa_pairs": pairs}
        elif isinstance(value, Mapping):
            yield place, {"video_id": key, **value}
        elif isinstance(value, (list, tuple)) and task == VQA:
            yield place, {"video_id": key, "qa_pairs": value}
        else:
            yield place, {"video_id": key, "caption": value}


def _entries_of(place: str, row: Any, task: str, trouble: Trouble) -> list[Entry]:
    if not isinstance(row, Mapping):
        raise trouble.error(f"{place} is a {type(row).__name__}, not an object with named fields", hint=_HOW[task])
    video_id = row.get("video_id")
    if not isinstance(video_id, str) or not video_id.strip():
        raise trouble.error(f"{place} has no video_id: {_short(row)}", hint=_HOW[task])
    video_id = video_id.strip()
    fields = _TEXT_FIELDS[task, trouble.role]
    is_question = any(name in row for name in _QUESTION_FIELDS)
    if task == CAPTION:
        field = next((name for name in fields if name in row), None)
        if field is None or is_question:
            if is_question or "qa_pairs" in row:  # a question of a mixed file
                return []
            raise trouble.error(f"{place} has no {' or '.join(fields)}, only {sorted(row)}", hint=_HOW[task])
        return [Entry(video_id, row[field], place)]
    if row.get("qa_pairs") is not None:
        pairs = row["qa_pairs"]
        if isinstance(pairs, (Mapping, str)) or not isinstance(pairs, Iterable):
            raise trouble.error(f"{place}: qa_pairs is a {type(pairs).__name__}", hint="a list of {'Q': …, 'A': …}")
        numbered = enumerate(pairs, start=1)
        return [_answer(video_id, f"{place}, pair {number}", pair, fields, trouble) for number, pair in numbered]
    if not is_question and "caption" in row:
        return []
    return [_answer(video_id, place, row, fields, trouble)]


def _answer(video_id: str, place: str, pair: Any, fields: tuple[str, ...], trouble: Trouble) -> Entry:
    if not isinstance(pair, Mapping):
        raise trouble.error(f"{place} is a {type(pair).__name__}", hint="expected {'Q': question, 'A': answer}")
    question = next((pair[name] for name in _QUESTION_FIELDS if name in pair), None)
    field = next((name for name in fields if name in pair), None)
    if not isinstance(question, str) or not question.strip() or field is None:
        lacking = "no question" if field is not None else f"no {' or '.join(fields)}"
        raise trouble.error(f"{place} has {lacking}, only {sorted(map(str, pair))}", hint=_HOW[VQA])
    return Entry((video_id, question.strip()), pair[field], place)


def _short(row: Mapping[Any, Any]) -> str:
    text = repr(dict(row))
    return text if len(text) < 80 else text[:79] + "…"
