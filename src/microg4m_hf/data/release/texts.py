"""Read captions and questions from ``vqa_and_captioning*.json``, with every character as released."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa

from ...errors import DataError
from .faults import FAULT_HINT, ErrorPolicy
from .layout import read_text

UNANSWERABLE = "Not mentioned"
_MAX_BYTES = 1 << 30

CAPTION_SCHEMA = pa.schema(dict.fromkeys(("video_id", "caption"), pa.string()))
QUESTION_SCHEMA = pa.schema(dict.fromkeys(("video_id", "question_id", "question", "answer"), pa.string()))


def read_texts(
    path: Path, clips: pa.Table, policy: ErrorPolicy, *, name: str | None = None
) -> tuple[pa.Table, pa.Table, dict[str, int]]:
    """Return captions (one row per entry of the file), questions, counts.

    A question's id is its clip and its number there, counted over all entries of the clip: ``PrqcwH8LhDU_051_q7``. A
    repeated question with the same answer is kept once; a different answer is a fault.
    """
    name = name or path.name
    text = read_text(path, name, _MAX_BYTES)
    entries = _parse_entries(text, name)
    known = set(clips["video_id"].to_pylist())
    captions: list[tuple[str, str]] = []
    questions: list[tuple[str, str, str, str]] = []
    answers: dict[tuple[str, str], str] = {}
    last_number: Counter[str] = Counter()  # of the questions of each clip
    entries_of_size: Counter[int] = Counter()
    question_rows = repeats = 0

    def report(place: int, value: object, reason: str) -> None:
        policy.report(name, _line_of_entry(text, place), value, reason)

    for place, entry in enumerate(entries):
        pairs = entry.get("qa_pairs") if isinstance(entry, dict) else None
        question_rows += len(pairs) if isinstance(pairs, list) else 0
        reason, value = _fault_of_entry(entry, known)
        if reason:
            report(place, value, reason)
            continue
        video_id, pairs = entry["video_id"], entry["qa_pairs"]
        captions.append((video_id, entry["caption"]))
        entries_of_size[len(pairs)] += 1
        for pair in pairs:
            last_number[video_id] += 1
            reason, value = _fault_of_pair(pair)
            if reason:
                report(place, value, reason)
                continue
            key = (video_id, pair["Q"].strip())
            if key not in answers:
                answers[key] = pair["A"]
                questions.append((video_id, f"{video_id}_q{last_number[video_id]}", pair["Q"], pair["A"]))
            elif answers[key] == pair["A"]:
                repeats += 1
            else:
                report(place, pair["Q"], f"{video_id} has this question twice, with different answers")
    counts = {"caption_rows": len(entries), "question_rows": question_rows, "question_repeats": repeats}
    counts |= {f"entries_with_{size}_questions": entries_of_size[size] for size in sorted(entries_of_size)}
    return _table(captions, CAPTION_SCHEMA), _table(questions, QUESTION_SCHEMA), counts


def _table(rows: list[tuple], schema: pa.Schema) -> pa.Table:
    columns = list(zip(*rows, strict=True)) if rows else [()] * len(schema)
    return pa.table([pa.array(column, pa.string()) for column in columns], schema=schema)


def _parse_entries(text: str, name: str) -> list[Any]:
    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) != len(pairs):
            names = [key for key, _ in pairs]
            twice = next(key for key in names if names.count(key) > 1)
            raise DataError("an object has a duplicate key", file=name, value=twice, hint=FAULT_HINT)
        return found

    try:
        entries = json.loads(text, object_pairs_hook=unique)
    except json.JSONDecodeError as error:
        what = "the JSON is incomplete" if error.pos >= len(text.rstrip()) else f"this is not valid JSON ({error.msg})"
        value = text[max(error.pos - 20, 0) : error.pos + 20]
        raise DataError(what, file=name, line=error.lineno, value=value, hint=FAULT_HINT) from None
    except RecursionError:
        raise DataError("the JSON is nested too deeply", file=name, hint=FAULT_HINT) from None
    except DataError:
        raise
    except ValueError as error:  # an integer of thousands of digits
        raise DataError(f"this is not valid JSON ({error})", file=name, hint=FAULT_HINT) from None
    if not isinstance(entries, list):
        hint = 'it must be a list of {"video_id": …, "caption": …, "qa_pairs": [{"Q": …, "A": …}, …]}'
        raise DataError(f"the file contains a {type(entries).__name__} instead of a list", file=name, hint=hint)
    return entries


def _fault_of_entry(entry: Any, known: set[str]) -> tuple[str | None, object]:
    if not isinstance(entry, dict):
        return "the entry is not an object", entry
    for field in ("video_id", "caption", "qa_pairs"):
        if field not in entry:
            return f"the entry has no {field}", entry.get("video_id", list(entry))
    video_id = entry["video_id"]
    if not isinstance(video_id, str) or video_id not in known:
        return "text of a clip that is not in actions.csv", video_id
    if not isinstance(entry["qa_pairs"], list):
        return f"the qa_pairs of {video_id} are not a list", entry["qa_pairs"]
    return _fault_of_text(entry["caption"], f"the caption of {video_id}")


def _fault_of_pair(pair: Any) -> tuple[str | None, object]:
    if not isinstance(pair, dict) or "Q" not in pair or "A" not in pair:
        return 'a question has no "Q" or no "A"', pair
    reason, value = _fault_of_text(pair["Q"], "the question")
    return (reason, value) if reason else _fault_of_text(pair["A"], f"the answer to {pair['Q']!r}")


def _fault_of_text(text: Any, what: str) -> tuple[str | None, object]:
    if not isinstance(text, str):
        return f"{what} is not text", text
    if not text.strip():
        return f"{what} is empty", text
    if not text.isascii() and any("\ud800" <= char <= "\udfff" for char in text):
        return f"{what} contains half a character (a lone surrogate)", ascii(text)
    return None, None


def _line_of_entry(text: str, place: int) -> int:
    decoder = json.JSONDecoder()
    position = text.index("[")
    for index in range(place + 1):
        position = decoder.raw_decode(text, position)[1] if index else position + 1
        while text[position] in " \t\r\n,":
            position += 1
    return text.count("\n", 0, position) + 1
