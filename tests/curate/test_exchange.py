"""Reviews to CVAT and Label Studio and back, exactly; and files of strangers."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from microg4m_hf.curate.exchange import export_review, import_review
from microg4m_hf.curate.review_log import ReviewLog, read_events
from microg4m_hf.curate.reviews import ReviewedClip, reviewed_state
from microg4m_hf.errors import MicroG4MError
from tests.support.curated import walker, work_folder

CLIP, OTHER = "W-2Rl_nn_007", "ISS_001"
PAIRS = [{"Q": "Who <waves>?", "A": "Nobody & nothing."}]


@pytest.fixture
def work(tmp_path: Path) -> Path:
    gap = [*walker(1, 30), *walker(41, 60)]
    work = work_folder(
        tmp_path / "work", {CLIP: {1: gap, 2: walker(40, 90, 333.3)}, OTHER: {7: walker(5, 90)}}, (854, 480)
    )
    log = ReviewLog(work, "anna")
    log.append(CLIP, "actions", person=1, actions=[12, 79])
    log.append(CLIP, "split", person=2, frame=70, new=3)
    log.append(CLIP, "exclude", person=3, reason='a "poster" & <more>')
    log.append(CLIP, "caption", text="Two people <float> & wave.\nOne sleeps.")
    log.append(CLIP, "questions", pairs=PAIRS)
    log.append(CLIP, "keep", reason="")
    return work


def _people(clip: ReviewedClip, reviewer: str) -> dict:
    found = clip.judgments[reviewer].people if reviewer in clip.judgments else clip.people
    return {number: (one.boxes, one.actions, one.excluded) for number, one in found.items()}


@pytest.mark.parametrize("tool", ["cvat", "label-studio"])
def test_round_trip_is_exact(work: Path, tmp_path: Path, tool: str) -> None:
    before = reviewed_state(work)
    written = export_review(work, tmp_path / "out", to=tool)
    counts = import_review(work, tmp_path / "out", to=tool, reviewer="anna")
    assert counts == {CLIP: 0, OTHER: 0}  # nothing changed, so there is nothing to write
    import_review(work, tmp_path / "out", to=tool, reviewer="tool")  # who starts from the tracker's people
    after = reviewed_state(work)
    for name in (CLIP, OTHER):
        assert _people(after[name], "tool") == _people(before[name], "anna")
    assert (after[CLIP].caption, after[CLIP].questions) == (before[CLIP].caption, before[CLIP].questions)
    assert import_review(work, tmp_path / "out", to=tool, reviewer="tool") == {CLIP: 0, OTHER: 0}
    assert all(path.is_file() for path in written)


def test_frames_begin_at_zero_in_cvat_and_at_one_in_label_studio(work: Path, tmp_path: Path) -> None:
    export_review(work, tmp_path / "c", to="cvat")
    export_review(work, tmp_path / "l", to="label-studio", videos="/data/")
    text = (tmp_path / "c" / f"{OTHER}.xml").read_text()
    assert re.findall(r'frame="(\d+)"', text)[0] == "4" and "<stop_frame>89</stop_frame>" in text
    held = re.findall(r'frame="(\d+)"[^>]*outside="1"', (tmp_path / "c" / f"{CLIP}.xml").read_text())
    assert held == ["30", "60", "69"]  # behind frame 30 of 1..30, behind 60, and where person 3 goes on without 2
    task = json.loads((tmp_path / "l" / "tasks.json").read_text())[0]
    assert task["data"]["video"] == f"/data/{OTHER}.mp4"
    sequence = task["annotations"][0]["result"][0]["value"]["sequence"]
    assert (sequence[0]["frame"], sequence[0]["enabled"], sequence[-1]["enabled"]) == (5, True, False)


def test_edits_in_cvat_become_events(work: Path, tmp_path: Path) -> None:
    export_review(work, tmp_path / "out", to="cvat")
    path = tmp_path / "out" / f"{OTHER}.xml"
    text = re.sub(r'(xtl|ytl|xbr|ybr)="([\d.]+)"', lambda m: f'{m[1]}="{float(m[2]):.2f}"', path.read_text())
    text = text.replace('<attribute name="actions" />', '<attribute name="actions">12, 80</attribute>')
    path.write_text(text)
    assert import_review(work, path, to="cvat", reviewer="cvat") == {OTHER: 1}  # rounding is not an edit
    state = reviewed_state(work)[OTHER]
    assert state.people[7].actions == {12, 80} and state.people[7].boxes == walker(5, 90)
    second = text[text.index("<track ") : text.index("</track>") + 8].replace('ybr="2', 'ybr="3')
    path.write_text(text.replace("</annotations>", second + "</annotations>"))  # CVAT copies the id when it splits
    assert import_review(work, path, to="cvat", reviewer="cvat") == {OTHER: 2}
    assert set(reviewed_state(work)[OTHER].people) == {7, 8}


def test_key_frames_of_label_studio_are_joined_by_lines(work: Path, tmp_path: Path) -> None:
    export_review(work, tmp_path, to="label-studio")
    path = tmp_path / "tasks.json"
    tasks = json.loads(path.read_text())[:1]
    value = tasks[0]["annotations"][0]["result"][0]["value"]
    value["sequence"] = [value["sequence"][0], value["sequence"][20]]
    path.write_text(json.dumps(tasks))
    import_review(work, path, to="label-studio", reviewer="ls")
    boxes = reviewed_state(work)[OTHER].people[7].boxes
    assert [box.frame for box in boxes] == list(range(5, 26))
    assert [box.x1 for box in boxes] == pytest.approx([box.x1 for box in walker(5, 25)])  # the walker walks straight


BOMB = '<!DOCTYPE a [<!ENTITY x "ha"><!ENTITY y "&x;&x;&x;&x;&x;&x;&x;&x;">]><annotations>&y;</annotations>'
EXTERNAL = '<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><annotations><meta>&x;</meta></annotations>'
TRACK = "<annotations><meta><task><name>{name}</name></task></meta><track><box {box}>{more}</box></track></annotations>"
BOX = 'frame="0" xtl="1" ytl="1" xbr="9" ybr="9"'


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (BOMB, "document type"),
        (EXTERNAL, "document type"),
        ("<annotations>", "not valid XML"),
        ("<svg/>", "not a file of CVAT"),
        ("<annotations><image/></annotations>", "CVAT for images"),
        ("<annotations>" + "<a>" * 30 + "</a>" * 30 + "</annotations>", "nested too deeply"),
        (TRACK.format(name="../../etc_1", box=BOX, more=""), "names no clip"),
        (TRACK.format(name="None_999", box=BOX, more=""), "no such clip"),
        (TRACK.format(name=OTHER, box='frame="0" xtl="1"', more=""), "cannot be read"),
        (TRACK.format(name=OTHER, box='frame="x" xtl="1" ytl="1" xbr="9" ybr="9"', more=""), "cannot be read"),
        (TRACK.format(name=OTHER, box=BOX.replace('"9"', '"nan"'), more=""), "no finite corners"),
        (TRACK.format(name=OTHER, box=BOX.replace('"9"', '"0"'), more=""), "swapped corners"),
        (TRACK.format(name=OTHER, box=BOX.replace('"0"', '"99999"'), more=""), "no frame from 1"),
        (TRACK.format(name=OTHER, box=BOX, more='<attribute name="actions">2</attribute>'), "50 action ids"),
        (TRACK.format(name=OTHER, box=BOX, more='<attribute name="person_id">-4</attribute>'), "person_id is not"),
    ],
)
def test_hostile_and_broken_xml_is_one_line(work: Path, tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "in.xml"
    path.write_text(text)
    before = len(read_events(work))
    with pytest.raises(MicroG4MError, match=message) as error:
        import_review(work, path, to="cvat", reviewer="anna")
    assert "\n" not in str(error.value) and "root:" not in str(error.value)
    assert len(read_events(work)) == before


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[" * 100_000, "not valid JSON"),
        ('[{"data": NaN}]', "not valid JSON"),
        ("{}", "not a list of tasks"),
        ('[{"data": {}}]', "a task cannot be read"),
        ('[{"data": {"video_id": "../etc_1"}, "annotations": []}]', "names no clip"),
        ('[{"data": {"video_id": "None_999"}, "annotations": []}]', "no tracks of this clip"),
        ('[{"data": {"video": "/x/ISS_001.mp4"}, "annotations": [{"result": [{"id": "1"}]}]}]', "cannot be read"),
    ],
)
def test_broken_json_is_one_line(work: Path, tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "in.json"
    path.write_text(text)
    with pytest.raises(MicroG4MError, match=message):
        import_review(work, path, to="label-studio", reviewer="anna")


def test_wrong_calls_are_one_line(work: Path, tmp_path: Path) -> None:
    for tool, source, message in (
        ("via", tmp_path, "use cvat, label-studio"),
        ("cvat", tmp_path / "no", "neither a file"),
    ):
        with pytest.raises(MicroG4MError, match=message):
            import_review(work, source, to=tool, reviewer="anna")
    with pytest.raises(MicroG4MError, match="no clip with tracks"):
        export_review(tmp_path, tmp_path / "out", to="cvat")
