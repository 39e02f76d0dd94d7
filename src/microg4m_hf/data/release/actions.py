"""Read ``actions.csv`` (the clips, and the actions of every person in them) and check ``label_map.pbtxt``."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ...clip_ids import CLIP_ID_RULE, split_clip_ids
from ...errors import DataError
from ...taxonomy import ACTION_IDS, ACTIONS, NUM_AVA_CLASSES, RELEASED_GROUPS
from .csv_reader import TEXT, WHOLE, CsvRows, read_csv_rows
from .faults import FAULT_HINT, ErrorPolicy
from .layout import read_text

CLIP_COLUMNS = {"video_id": TEXT, "movie_or_real": TEXT}
COLUMNS = {**CLIP_COLUMNS, "person_id": WHOLE, "action": WHOLE}
DOMAINS = {"m": "movie", "r": "real"}
MAX_PERSON = 999_999  # 20 bits in the keys below
MAX_FRAME = 32_767  # frames are stored as int16

# From action id to packed label, -1 for ids that are not among the 50 actions.
LABEL_OF_ID = np.full(NUM_AVA_CLASSES + 1, -1, dtype=np.int64)
LABEL_OF_ID[list(ACTION_IDS)] = np.arange(len(ACTION_IDS))

ACTION_HINT = "label_map.pbtxt names the 50 ids that exist, 1 to 80"


class Actions(NamedTuple):
    """What ``actions.csv`` holds."""

    clips: pa.Table  # video_id, source, clip_index, domain; sorted by video_id
    labels: pa.Table  # video_id, person_id, action_id; distinct rows
    repeats: pa.Table  # the same columns: a row for each further time that a label is listed
    counts: dict[str, int]


def read_actions(path: Path, policy: ErrorPolicy, *, name: str | None = None, listed: CsvRows | None = None) -> Actions:
    """Read the clips, the labels of every person, and which labels are listed more than once.

    ``listed`` are the rows of ``clips.csv``, which also names clips without a label.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "actions.csv"
        >>> _ = path.write_text("video_id,movie_or_real,person_id,action\\nISS_004,m,1,12\\nISS_004,m,1,12\\n")
        >>> found = read_actions(path, ErrorPolicy())
        >>> found.clips.to_pylist(), found.labels.num_rows, found.repeats.num_rows
        ([{'video_id': 'ISS_004', 'source': 'ISS', 'clip_index': 4, 'domain': 'movie'}], 1, 1)
    """
    rows = read_csv_rows(path, COLUMNS, policy, name=name)
    letters, letter_names = rows.codes("movie_or_real")
    found = np.bincount(letters, minlength=len(letter_names)).tolist()
    rows_of = dict(zip(letter_names.to_pylist(), found, strict=True))
    counts = {"label_rows": len(rows)} | {f"label_rows_{name}": rows_of.get(one, 0) for one, name in DOMAINS.items()}
    rows = rows.drop(is_no_action(rows.numbers("action")), "unknown action id", "action", hint=ACTION_HINT)
    rows = _drop_bad_clips(drop_bad_persons(rows))
    if not len(rows) and listed is None:
        raise DataError("the file names no clip", file=rows.name, hint=FAULT_HINT)
    clips, place, ids = _clip_table(rows)
    if listed is not None:
        clips = _add_listed(clips, listed)
    codes = rows.codes("video_id")[0]
    person, action = rows.numbers("person_id").astype(np.int64), rows.numbers("action")
    key, count = np.unique(place[codes] << 26 | person << 6 | LABEL_OF_ID[action], return_counts=True)
    repeats = label_table(ids, np.repeat(key, count - 1))
    return Actions(clips, label_table(ids, key), repeats, {**counts, "label_repeats": len(repeats)})


def _drop_bad_clips(rows: CsvRows) -> CsvRows:
    codes, ids = rows.codes("video_id")
    wrong = split_clip_ids(ids)[2]
    rows = rows.drop(wrong[codes], "not a valid clip name", "video_id", hint=CLIP_ID_RULE)
    letters, letter_names = rows.codes("movie_or_real")
    known = np.array([letter in DOMAINS for letter in letter_names.to_pylist()], dtype=bool)
    rows = rows.drop(~known[letters], "movie_or_real is neither m nor r", "movie_or_real")
    return _drop_clips_of_two_domains(rows)


def _clip_table(rows: CsvRows) -> tuple[pa.Table, np.ndarray, pa.Array]:
    """Return the clips of the rows, the place of each code of ``video_id`` among them, and their names."""
    codes, ids = rows.codes("video_id")
    sources, indices, _ = split_clip_ids(ids)
    used = np.unique(codes)  # the dictionary may name clips whose rows were all dropped
    used = used[np.asarray(pc.sort_indices(ids.take(pa.array(used))))]
    place = np.empty(codes.max(initial=-1) + 1, dtype=np.int64)
    place[used] = np.arange(len(used))
    ids, sources, indices = (column.take(pa.array(used)) for column in (ids, sources, indices))
    letters, letter_names = rows.codes("movie_or_real")
    domains = np.array([DOMAINS.get(letter, "") for letter in letter_names.to_pylist()], dtype=object)
    domain = pa.array(domains[letters[_first_rows(codes)[used]]], pa.string())
    return pa.table({"video_id": ids, "source": sources, "clip_index": indices, "domain": domain}), place, ids


def _add_listed(clips: pa.Table, listed: CsvRows) -> pa.Table:
    """Return the clips with those that only ``clips.csv`` names."""
    listed = _drop_bad_clips(listed)
    if not len(listed):
        return clips
    others = _clip_table(listed)[0]
    known = pc.index_in(others["video_id"], value_set=clips["video_id"].combine_chunks())
    if clips.num_rows:
        differs = pc.not_equal(others["domain"], clips["domain"].combine_chunks().take(known.combine_chunks()))
        for video_id in others.filter(pc.fill_null(differs, False))["video_id"].to_pylist():
            listed.policy.report(listed.name, None, video_id, "actions.csv gives the clip another domain")
    return pa.concat_tables([clips, others.filter(pc.is_null(known))]).sort_by("video_id").combine_chunks()


def label_table(ids: pa.Array, keys: np.ndarray) -> pa.Table:
    """Return video_id, person_id and action_id of labels given as ``place in ids << 26 | person << 6 | label``.

    Example:
        >>> label_table(pa.array(["A_1"]), np.array([2 << 6 | 9])).to_pylist()
        [{'video_id': 'A_1', 'person_id': 2, 'action_id': 12}]
    """
    return pa.table(
        {
            "video_id": ids.take(pa.array(keys >> 26)),
            "person_id": (keys >> 6 & 0xFFFFF).astype(np.int32),
            "action_id": np.asarray(ACTION_IDS, dtype=np.int32)[keys & 63],
        }
    )


def _drop_clips_of_two_domains(rows: CsvRows) -> CsvRows:
    codes, letters = rows.codes("video_id")[0], rows.codes("movie_or_real")[0]
    differs = letters != letters[_first_rows(codes)[codes]]
    if not differs.any():
        return rows
    clips, where = np.unique(codes[differs], return_index=True)
    for row in np.sort(np.flatnonzero(differs)[where]):
        rows.report(int(row), "the clip is real in one row and movie in another", ("video_id", "movie_or_real"))
    return rows.filter(~np.isin(codes, clips))


def _first_rows(codes: np.ndarray) -> np.ndarray:
    """Return the first row of each code, 0 for codes without a row."""
    first = np.zeros(codes.max(initial=-1) + 1, dtype=np.int64)
    first[codes[::-1]] = np.arange(len(codes))[::-1]
    return first


def is_no_action(ids: np.ndarray) -> np.ndarray:
    """Return a mask of the numbers that are not among the 50 action ids."""
    return LABEL_OF_ID[np.clip(ids, 0, NUM_AVA_CLASSES)] + (ids > NUM_AVA_CLASSES) * -NUM_AVA_CLASSES < 0


def drop_bad_persons(rows: CsvRows) -> CsvRows:
    person = rows.numbers("person_id")
    return rows.drop((person < 0) | (person > MAX_PERSON), f"person_id is not in 0..{MAX_PERSON}", "person_id")


def person_keys(table: pa.Table, ids: pa.Array) -> np.ndarray:
    """Return ``clip << 20 | person`` for each row; ``clip`` is its place in ``ids``, and the key of others is negative.

    Example:
        >>> table = pa.table({"video_id": ["B_2", "A_1"], "person_id": pa.array([3, 1], pa.int32())})
        >>> person_keys(table, pa.array(["A_1"])).tolist()
        [-1048573, 1]
    """
    rows = table["video_id"].combine_chunks()
    if pa.types.is_dictionary(rows.type):
        place = pc.index_in(rows.dictionary, value_set=ids).take(rows.indices)
    else:
        place = pc.index_in(rows, value_set=ids)
    return pc.fill_null(place, -1).to_numpy().astype(np.int64) << 20 | table["person_id"].to_numpy()


def persons_of(table: pa.Table) -> set[tuple[str, int]]:
    """Return the distinct pairs of video_id and person_id in a table."""
    pairs = pa.table({"video_id": table["video_id"].cast(pa.string()), "person_id": table["person_id"]})
    pairs = pairs.group_by(pairs.column_names, use_threads=False).aggregate([])
    return set(zip(pairs["video_id"].to_pylist(), pairs["person_id"].to_pylist(), strict=True))


_ITEM = re.compile(r"item\s*\{(.*?)\n\s*\}", re.DOTALL)
_FIELD = re.compile(r'^\s*(\w+)\s*:\s*(?:"([^"\n]*)"|(\S+))\s*$', re.MULTILINE)
_MAX_BYTES = 1 << 20


def check_label_map(path: Path, *, name: str | None = None) -> int:
    """Check that a label map gives the ids the meaning that they have in this library; return the number of classes.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "label_map.pbtxt"
        >>> _ = path.write_text('item {\\n  name: "sit"\\n  id: 12\\n}\\n')
        >>> check_label_map(path)
        Traceback (most recent call last):
        microg4m_hf.errors.DataError: label_map.pbtxt, line 1: action 12 is 'stand', but the file calls it: 'sit' (...)
    """
    name = name or path.name
    text = read_text(path, name, _MAX_BYTES)
    known = {action.action_id: action for action in ACTIONS}
    seen: set[int] = set()
    for item in _ITEM.finditer(text):
        line = text.count("\n", 0, item.start()) + 1
        fields = {key: quoted or bare for key, quoted, bare in _FIELD.findall(item[1])}
        number = fields.get("id", fields.get("label_id", ""))
        if not re.fullmatch(r"[0-9]{1,9}", number) or int(number) not in known:
            raise DataError("unknown action id", file=name, line=line, value=number, hint=FAULT_HINT)
        action = known[int(number)]
        if action.action_id in seen:
            raise DataError("the action id appears twice", file=name, line=line, value=number, hint=FAULT_HINT)
        seen.add(action.action_id)
        if fields.get("name") != action.name:
            what = f"action {number} is {action.name!r}, but the file calls it"
            raise DataError(what, file=name, line=line, value=fields.get("name"), hint=FAULT_HINT)
        if "label_type" in fields and RELEASED_GROUPS.get(fields["label_type"]) != action.group:
            what = f"action {number} is a {action.group}, but the file calls it"
            raise DataError(what, file=name, line=line, value=fields["label_type"], hint=FAULT_HINT)
    if not seen:
        raise DataError("the file contains no action", file=name, hint='items look like item { name: "stand" id: 12 }')
    return len(seen)
