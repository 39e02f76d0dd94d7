"""A damaged annotation file raises a clear error, or its faulty rows are counted and skipped consistently."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from microg4m_hf.data.release.release import Release, read_release
from microg4m_hf.data.tables import caption_table, har_table, vqa_table
from microg4m_hf.errors import DataError, MicroG4MError

FATAL = -1  # the file as a whole is unusable: no policy skips it
HAR, TEXTS = ("har",), ("har", "caption", "vqa")

ACTIONS = """video_id,movie_or_real,person_id,action
Film_001,m,1,12
Film_001,m,1,79
Film_002,m,1,14
Tube-x_001,r,1,12
Tube-x_001,r,2,80
Tube-x_005,r,1,59
"""
BOXES = """video_id,frame_id,person_id,xmin,ymin,xmax,ymax
Film_001,10,1,85.4,48,427,240
Film_001,11,1,85.4,48,427,240
Film_002,30,1,85.4,48,427,470.4
Tube-x_001,52,1,0,0,427,480
Tube-x_001,52,2,427,0,854,480
Tube-x_005,7,1,170.8,96,683.2,384
"""
TRAIN = """Film_001,10,0.1,0.1,0.5,0.5,12,1
Film_001,10,0.1,0.1,0.5,0.5,79,1
Film_002,30,0.1,0.1,0.5,0.98,14,1
"""
VAL = "Tube-x_005,7,0.2,0.2,0.8,0.8,59,1\n"
TEST = """Tube-x_001,52,0.0,0.0,0.5,1.0,12,1
Tube-x_001,52,0.5,0.0,1.0,1.0,80,2
"""
TEXT = [
    {"video_id": "Tube-x_001", "caption": "One floats.", "qa_pairs": [{"Q": "Who?", "A": "A woman."}]},
    {"video_id": "Tube-x_005", "caption": "nan", "qa_pairs": [{"Q": "Where?", "A": "Not mentioned"}]},
]
LABEL_MAP = 'item {\n  name: "stand"\n  id: 12\n  label_type: PERSON_MOVEMENT\n}\n'
ACT, BOX, TRN, VALF, TST = "actions.csv", "bounding_boxes.csv", "ava_train.csv", "ava_val_gt.csv", "ava_test_gt.csv"
TXT, MAP = "vqa_and_captioning.json", "label_map.pbtxt"


def write_base(root: Path) -> None:
    files = {ACT: ACTIONS, BOX: BOXES, TRN: TRAIN, VALF: VAL, TST: TEST, "ava_all.csv": TRAIN + VAL + TEST}
    for name, text in {**files, TXT: json.dumps(TEXT, indent=1), MAP: LABEL_MAP}.items():
        (root / name).write_text(text, encoding="utf-8")


class Case(NamedTuple):
    name: str
    file: str
    damage: Callable[[bytes], bytes]
    reason: str
    line: int | None
    faults: int  # how many "skip" counts; FATAL: it stops all the same
    need: tuple[str, ...] = HAR


def swap(old: str, new: str | bytes) -> Callable[[bytes], bytes]:
    def damage(data: bytes) -> bytes:
        assert old.encode() in data
        return data.replace(old.encode(), new if isinstance(new, bytes) else new.encode(), 1)

    return damage


def add(line: str | bytes) -> Callable[[bytes], bytes]:
    return lambda data: data + (line if isinstance(line, bytes) else line.encode()) + b"\n"


def whole(content: str | bytes) -> Callable[[bytes], bytes]:
    return lambda data: content if isinstance(content, bytes) else content.encode()


def texts(edit: Callable[[list], object]) -> Callable[[bytes], bytes]:
    def damage(data: bytes) -> bytes:
        entries = json.loads(data)
        changed = edit(entries)
        return json.dumps(entries if changed is None else changed, indent=1).encode()

    return damage


CASES = [
    # actions.csv
    Case("unknown action id", ACT, add("Film_001,m,1,2"), "unknown action id", 8, 1),
    Case("action id past the last", ACT, add("Film_001,m,1,81"), "unknown action id", 8, 1),
    Case("negative action id", ACT, add("Film_001,m,1,-12"), "unknown action id", 8, 1),
    Case("action is a word", ACT, add("Film_001,m,1,stand"), "action: not a whole number", 8, 1),
    Case("action is empty", ACT, add("Film_001,m,1,"), "empty cell", 8, 1),
    Case("action of thirty digits", ACT, add("Film_001,m,1," + "9" * 30), "action: not a whole number", 8, 1),
    Case("negative person", ACT, add("Film_001,m,-1,12"), "person_id is not in", 8, 1),
    Case("person past all bounds", ACT, add("Film_001,m,1000000,12"), "person_id is not in", 8, 1),
    Case("clip both real and movie", ACT, add("Film_001,r,1,12"), "real in one row and movie in another", 8, 7),
    Case("neither m nor r", ACT, add("Film_009,x,1,12"), "neither m nor r", 8, 1),
    Case("id climbs out", ACT, add("../../etc/passwd_001,m,1,12"), "not a valid clip name", 8, 1),
    Case("id is absolute", ACT, add("/etc/passwd_001,m,1,12"), "not a valid clip name", 8, 1),
    Case("id with a backslash", ACT, add("..\\x_001,m,1,12"), "not a valid clip name", 8, 1),
    Case("id without a number", ACT, add("Film,m,1,12"), "not a valid clip name", 8, 1),
    Case("id with a zero byte", ACT, add(b"Fi\0lm_001,m,1,12"), "not a valid clip name", 8, 1),
    Case("id is empty", ACT, add(",m,1,12"), "not a valid clip name|empty cell", 8, 1),
    Case("id of a megabyte", ACT, add("F" * (1 << 20) + "_001,m,1,12"), "not CSV|not a valid clip name", 8, 1),
    Case("id with a line break", ACT, add('"Fi\nlm_001",m,1,12'), "not a valid clip name", 9, 1),
    Case("not UTF-8", ACT, add(b"Fi\xff\xfelm_001,m,1,12"), "not UTF-8", 8, 1),
    Case("a cell too many", ACT, add("Film_001,m,1,12,5"), "5 cells instead of 4", 8, 1),
    Case("a cell too few", ACT, add("Film_001,m,1"), "3 cells instead of 4", 8, 1),
    Case("cut off in a row", ACT, lambda data: data[:-8], "cells instead of 4", 7, 4),
    Case("open quote", ACT, add('"Film_001,m,1,12'), "1 cells instead of 4|not CSV", 8, 1),
    Case("wrong column name", ACT, swap("person_id", "person"), "column person_id is missing", 1, FATAL),
    Case("a column twice", ACT, swap("person_id", "action"), "missing|twice", 1, FATAL),
    Case("semicolons", ACT, lambda data: data.replace(b",", b";"), "is missing", 1, FATAL),
    Case("no header", ACT, lambda data: data.split(b"\n", 1)[1], "is missing", 1, FATAL),
    Case("empty file", ACT, whole(""), "the file is empty", None, FATAL),
    Case("header only", ACT, lambda data: data.split(b"\n", 1)[0] + b"\n", "names no clip", None, FATAL),
    Case("binary junk", ACT, whole(bytes(range(256)) * 40), "not a UTF-8 CSV|is missing", 1, FATAL),
    Case("UTF-16", ACT, lambda data: data.decode().encode("utf-16"), "not a UTF-8 CSV|is missing", 1, FATAL),
    # bounding_boxes.csv
    Case("box without a clip", BOX, add("Film_777,1,1,1,1,2,2"), "is not in actions.csv", 8, 1),
    Case("negative frame", BOX, add("Film_001,-1,1,1,1,2,2"), "frame number is not in", 8, 1),
    Case("frame past int16", BOX, add("Film_001,40000,1,1,1,2,2"), "frame number is not in", 8, 1),
    Case("frame is a fraction", BOX, add("Film_001,1.5,1,1,1,2,2"), "frame_id: not a whole number", 8, 1),
    Case("box right of the frame", BOX, add("Film_001,12,1,800,10,856,20"), "outside the frame", 8, 1),
    Case("box below the frame", BOX, add("Film_001,12,1,8,10,56,482"), "outside the frame", 8, 1),
    Case("box left of the frame", BOX, add("Film_001,12,1,-2,10,56,82"), "outside the frame", 8, 1),
    Case("box far away", BOX, add("Film_001,12,1,8,10,1e9,82"), "outside the frame", 8, 1),
    Case("box inside out", BOX, add("Film_001,12,1,300,10,200,82"), "swapped corners", 8, 1),
    Case("box upside down", BOX, add("Film_001,12,1,300,90,400,82"), "swapped corners", 8, 1),
    Case("box without area", BOX, add("Film_001,12,1,300,10,300,82"), "no area", 8, 1),
    Case("nan in a box", BOX, add("Film_001,12,1,nan,10,56,82"), "not a finite number", 8, 1),
    Case("infinite box", BOX, add("Film_001,12,1,1,10,inf,82"), "not a finite number", 8, 1),
    Case("empty corner", BOX, add("Film_001,12,1,,10,56,82"), "empty cell", 8, 1),
    Case("two boxes of one person", BOX, add("Film_001,11,1,90,48,427,240"), "another box in this frame", 8, 1),
    Case("boxes with other columns", BOX, swap("xmin", "x"), "column xmin is missing", 1, FATAL),
    # key frames
    Case("key frame without a clip", TRN, add("No_001,5,0.1,0.1,0.2,0.2,12,1"), "is not in actions.csv", 4, 1),
    Case("key frame without a label", TRN, add("Film_002,30,0.1,0.1,0.5,0.98,12,1"), "does not give this person", 4, 1),
    Case("key frame of a stranger", TRN, add("Film_002,30,0.1,0.1,0.5,0.98,14,9"), "does not give this person", 4, 1),
    Case("unknown action of a key frame", TRN, add("Film_002,30,0.1,0.1,0.5,0.98,4,1"), "unknown action id", 4, 1),
    Case("key box in pixels", TRN, swap("30,0.1,0.1,0.5,0.98", "30,85,48,427,470"), "outside the frame", 3, 2),
    Case("key box inside out", TRN, swap("30,0.1,", "30,0.6,"), "swapped corners", 3, 2),
    Case("key box not a number", TRN, swap("30,0.1,", "30,NaN,"), "not a finite number", 3, 2),
    Case("key frame below zero", TRN, swap("Film_002,30", "Film_002,-30"), "frame number is not in", 3, 2),
    Case("a second key frame", TRN, add("Film_002,31,0.1,0.1,0.5,0.98,14,1"), "another key frame or box", 4, 1),
    Case("a clip in two splits", TST, add("Film_002,30,0.1,0.1,0.5,0.98,14,1"), "in two splits", 3, 1),
    Case("key frames with a header", VALF, lambda data: b"video_id,frame,x1,y1,x2,y2,a,p\n" + data, "not a", 1, 1),
    Case("a cut test file", TST, lambda data: b"", "in none of the train, validation", 5, 1),
    Case("key frames of seven cells", VALF, swap(",59,1", ",59"), "7 cells instead of 8", 1, 2),
    # label map
    Case("label map with another meaning", MAP, swap("stand", "sit"), "action 12 is 'stand'", 1, FATAL),
    Case("label map with an unknown id", MAP, swap("id: 12", "id: 13"), "unknown action id", 1, FATAL),
    Case("label map of junk", MAP, whole(b"\xff\xfe\0junk"), "not UTF-8", None, FATAL),
    # texts
    Case("cut JSON", TXT, lambda data: data[:-30], "incomplete|not valid JSON", None, FATAL, TEXTS),
    Case("no JSON", TXT, whole("video_id,caption\n"), "not valid JSON", 1, FATAL, TEXTS),
    Case("empty JSON file", TXT, whole(""), "incomplete|not valid JSON", 1, FATAL, TEXTS),
    Case("binary JSON", TXT, whole(b"[\n\x80\x81]"), "not UTF-8", 2, FATAL, TEXTS),
    Case("JSON nested without end", TXT, whole("[" * 200_000), "nested too deeply", None, FATAL, TEXTS),
    Case(
        "a number of 10,000 digits",
        TXT,
        whole("[" + "9" * 10_000 + "]"),
        "not valid JSON|not an object",
        None,
        FATAL,
        TEXTS,
    ),
    Case("an object instead of a list", TXT, whole('{"video_id": 1}'), "a dict instead of a list", None, FATAL, TEXTS),
    Case(
        "a name twice",
        TXT,
        swap('"caption": "nan"', '"caption": "a", "caption": "b"'),
        "duplicate key",
        None,
        FATAL,
        TEXTS,
    ),
    Case("entry is text", TXT, texts(lambda e: e.append("x")), "entry is not an object", 22, 1, TEXTS),
    Case(
        "text of no clip", TXT, texts(lambda e: e[1].update(video_id="No_001")), "is not in actions.csv", 12, 1, TEXTS
    ),
    Case("id is a number", TXT, texts(lambda e: e[1].update(video_id=5)), "is not in actions.csv", 12, 1, TEXTS),
    Case("id is a path", TXT, texts(lambda e: e[1].update(video_id="../x_1")), "is not in actions.csv", 12, 1, TEXTS),
    Case(
        "caption is null", TXT, texts(lambda e: e[0].update(caption=None)), "caption of Tube-x_001 is not", 2, 1, TEXTS
    ),
    Case("caption is empty", TXT, texts(lambda e: e[0].update(caption=" \n")), "is empty", 2, 1, TEXTS),
    Case("half a character", TXT, texts(lambda e: e[0].update(caption="a\ud800")), "half a character", 2, 1, TEXTS),
    Case("no caption", TXT, texts(lambda e: e[0].pop("caption") and None), "has no caption", 2, 1, TEXTS),
    Case("questions are no list", TXT, texts(lambda e: e[0].update(qa_pairs="?")), "are not a list", 2, 1, TEXTS),
    Case("question without answer", TXT, texts(lambda e: e[0]["qa_pairs"].append({"Q": "?"})), 'no "A"', 2, 1, TEXTS),
    Case(
        "one question, two answers",
        TXT,
        texts(lambda e: e[0]["qa_pairs"].append({"Q": "Who? ", "A": "A man."})),
        "with different answers",
        2,
        1,
        TEXTS,
    ),
]


@pytest.fixture()
def root(tmp_path: Path) -> Path:
    write_base(tmp_path)
    return tmp_path


def test_undamaged_files_have_no_fault(root: Path) -> None:
    release = read_release(root, need=TEXTS)
    assert (release.counts["clips"], release.counts["labels"], release.counts["boxes"]) == (4, 6, 6)
    assert (release.counts["faults"], release.problems) == (0, [])
    assert release.counts["captions"] == release.counts["questions"] == 2
    assert_no_loose_end(release)


@pytest.mark.parametrize("case", CASES, ids=[case.name.replace(" ", "-") for case in CASES])
def test_hostile_file(root: Path, case: Case) -> None:
    path = root / case.file
    path.write_bytes(case.damage(path.read_bytes()))

    with pytest.raises(DataError, match=case.reason) as raised:
        read_release(root, need=case.need)
    where = raised.value.file
    assert where == (case.file if case.name != "a cut test file" else "ava_all.csv")
    assert case.line is None or raised.value.line == case.line
    assert len(str(raised.value)) < 700 and str(raised.value).isprintable()

    if case.faults == FATAL:
        with pytest.raises(MicroG4MError, match=case.reason):
            read_release(root, need=case.need, on_error="skip")
        return
    release = read_release(root, need=case.need, on_error="skip")
    assert release.counts["faults"] == len(release.problems) == case.faults
    first = release.problems[0]
    assert (first.file, first.line) == (raised.value.file, raised.value.line)
    assert repr(first.value) == repr(raised.value.value)  # nan differs from itself
    assert_no_loose_end(release)


def test_there_are_many_hostile_files() -> None:
    assert len(CASES) >= 50 and len({case.name for case in CASES}) == len(CASES)


def assert_no_loose_end(release: Release) -> None:
    """No row of any table speaks of a clip or a label that is not there, and all rows can be made."""
    clips = set(release.clips["video_id"].to_pylist())
    labels = {(row["video_id"], row["person_id"]) for row in release.labels.to_pylist()}
    assert {video_id for video_id, _ in labels} <= clips
    for row in release.key_frames.to_pylist():
        assert (row["video_id"], row["person_id"]) in labels
        assert 0 <= row["x1"] < row["x2"] <= 1 and 0 <= row["y1"] < row["y2"] <= 1
    for row in release.boxes.to_pylist():
        assert row["video_id"] in clips
        assert 0 <= row["x1"] < row["x2"] <= 1 and 0 <= row["y1"] < row["y2"] <= 1
    table = har_table(release)
    table.validate(full=True)
    assert table["video_id"].to_pylist() == sorted(clips)
    if release.captions is not None:
        assert set(caption_table(release)["video_id"].to_pylist()) <= clips
        assert set(vqa_table(release)["video_id"].to_pylist()) <= clips


# What looks odd and is right: the release as it is, and what other programs make of the files on the way.
ACCEPTED = [
    ("repeated label", ACT, add("Film_001,m,1,12")),
    ("label without a box", ACT, add("Film_001,m,5,12")),
    ("clip without a key frame", ACT, add("Film_050,m,1,12")),
    ("Windows line ends", ACT, lambda data: data.replace(b"\n", b"\r\n")),
    ("UTF-8 mark of a spreadsheet", ACT, lambda data: b"\xef\xbb\xbf" + data),
    ("no line end at the end", ACT, lambda data: data[:-1]),
    ("blank lines", ACT, lambda data: data.replace(b"\n", b"\n\n")),
    ("quoted cells", ACT, swap("Film_002,m,1,14", '"Film_002","m","1","14"')),
    ("columns in another order", BOX, lambda data: b"\n".join(
        b",".join(reversed(line.split(b","))) for line in data.splitlines())),
    ("repeated box", BOX, add("Film_001,11,1,85.4,48,427,240")),
    ("a box without a label", BOX, add("Film_001,11,9,85.4,48,427,240")),
    ("a box rounded past the border", BOX, add("Film_001,12,1,-0.5,0,854.9,480.6")),
    ("whole numbers with a point", BOX, swap("Film_001,10,1,", "Film_001,10.0,1.0,")),
    ("repeated key-frame row", TRN, add("Film_002,30,0.1,0.1,0.5,0.98,14,1")),
    ("key frame with an empty action", VALF, swap(",59,1", ",,1")),
    ("UTF-8 mark before key frames", VALF, lambda data: b"\xef\xbb\xbf" + data),
    ("odd characters", TXT, swap("One floats.", "O\u200bne\u2028 floats – \U0001f680 ‮")),
    ("the caption nan", TXT, swap("One floats.", "nan")),
    ("a clip with two captions", TXT, texts(lambda e: e.append({**e[0], "qa_pairs": [{"Q": "New?", "A": "Yes"}]}))),
    ("no questions", TXT, texts(lambda e: e[0].update(qa_pairs=[]))),
    ("a repeated question", TXT, texts(lambda e: e[0]["qa_pairs"].append({"Q": "Who?", "A": "A woman."}))),
    ("UTF-8 mark before JSON", TXT, lambda data: b"\xef\xbb\xbf" + data),
]  # fmt: skip


@pytest.mark.parametrize(("name", "file", "change"), ACCEPTED, ids=[name.replace(" ", "-") for name, *_ in ACCEPTED])
def test_accepted_file(root: Path, name: str, file: str, change: Callable[[bytes], bytes]) -> None:
    path = root / file
    path.write_bytes(change(path.read_bytes()))
    if name == "key frame with an empty action":
        (root / "ava_all.csv").unlink()
    release = read_release(root, need=TEXTS)
    assert release.counts["faults"] == 0
    assert release.counts["labels"] == (7 if name in ("label without a box", "clip without a key frame") else 6)
    assert len(release.key_frames) == 5
    assert_no_loose_end(release)


@pytest.mark.filterwarnings("ignore:the frame size of")
@pytest.mark.parametrize("seed", range(6))
def test_random_damage_raises_or_leaves_consistent_tables(root: Path, seed: int) -> None:
    """Whatever bytes are changed, cut or doubled: the clear error, or tables that hang together; no other error."""
    rng = np.random.default_rng(seed)
    files = {path: path.read_bytes() for path in sorted(root.iterdir())}
    seen = {"whole": 0, "raised": 0, "skipped": 0}
    for _ in range(25):
        for path in rng.choice(list(files), 2):
            path.write_bytes(_damaged(path.read_bytes(), rng))
        try:
            assert_no_loose_end(read_release(root, need=TEXTS))
            seen["whole"] += 1
        except MicroG4MError:
            seen["raised"] += 1
        try:
            release = read_release(root, need=TEXTS, on_error="skip")
            assert_no_loose_end(release)
            seen["skipped"] += release.counts["faults"]
        except MicroG4MError:
            pass
        for path, data in files.items():
            path.write_bytes(data)
    assert seen["raised"] > 0 and seen["skipped"] > 0


def _damaged(data: bytes, rng: np.random.Generator) -> bytes:
    if not data:
        return b"\x00"
    place, other = np.sort(rng.integers(0, len(data), 2)).tolist()
    kind = rng.integers(0, 5)
    if kind == 0:
        return data[:place] + rng.bytes(1) + data[place + 1 :]
    if kind == 1:
        return data[:place] + data[other:]
    if kind == 2:
        return data[:other] + data[place:]
    if kind == 3:
        return data[:place] + bytes([int(rng.choice(list(b'0123456789.,-"\n\r;[]{}eE ')))]) + data[place + 1 :]
    digits = [at for at, byte in enumerate(data) if chr(byte).isdigit()]
    at = int(rng.choice(digits)) if digits else 0
    return data[:at] + str(rng.integers(0, 10)).encode() + data[at + 1 :]
