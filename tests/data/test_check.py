"""``microg4m data check`` lists the faults of all files, and its exit code tells whether there are any."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from microg4m_hf.cli.main import main
from microg4m_hf.data.check import check
from tests.support.fake_release import FakeRelease, make_release
from tests.support.videos import write_video


def write_clips(truth: FakeRelease, size: tuple[int, int] | None = None) -> None:
    for video_id, clip in truth.clips.items():
        path = truth.root / "videos" / clip.domain / truth.source_of[video_id] / f"{video_id}.mp4"
        path.parent.mkdir(parents=True, exist_ok=True)
        width, height = size or clip.size
        write_video(path, count=90, size=(height, width))  # boxes are in frames 1 to 90


def test_the_released_files_have_no_fault(released: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "check", "--data-dir", str(released), "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["faults"], report["problems"]) == (0, [])
    notes = "\n".join(report["notes"])
    assert "21 of 13261 label rows only repeat another" in notes
    assert "6 persons have labels and no key box" in notes and "PrqcwH8LhDU_051" in notes


def test_a_release_with_clips_has_no_fault(tmp_path: Path) -> None:
    truth = make_release(tmp_path, sources=3, clips=2, sizes=((64, 48),))
    write_clips(truth)
    report = check(tmp_path)
    assert report["problems"] == []
    persons = sum(len(clip.persons) for clip in truth.clips.values())
    assert f"the median rule gives {persons} of {persons} released key frames" in report["notes"]


def test_the_faults_of_all_files_are_listed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    truth = make_release(tmp_path, sources=3, clips=2, sizes=((64, 48),))
    write_clips(truth)
    with open(truth.files["actions.csv"], "a") as file:
        file.write("Film0_001,m,1,2\n")
    with open(truth.files["bounding_boxes.csv"], "a") as file:
        file.write("No_001,1,1,1,1,2,2\nFilm0_000,1,1,nan,1,2,2\n")
    truth.files["ava_test_predicted_boxes.csv"].write_text(f"{next(iter(truth.clips))},3,0.1,0.1,0.2,0.2,,1\n")
    truth.files["vqa_and_captioning.json"].write_text("[")
    (tmp_path / "label_map.pbtxt").write_text("junk")
    next(tmp_path.glob("videos/*/*/*.mp4")).write_bytes(b"")
    assert main(["data", "check", "--data-dir", str(tmp_path), "--json"]) == 1
    report = json.loads(capsys.readouterr().out)
    files = [Path(problem["file"]).name for problem in report["problems"]]
    assert sorted({name for name in files if not name.endswith(".mp4")}) == [
        "actions.csv", "ava_test_predicted_boxes.csv", "bounding_boxes.csv", "label_map.pbtxt",
        "vqa_and_captioning.json"]  # fmt: skip
    assert sum(name.endswith(".mp4") for name in files) == 1
    assert report["faults"] == len(files)
    assert main(["data", "check", "--data-dir", str(tmp_path)]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert "actions.csv, line" in lines[0] and "unknown action id" in lines[0]
    assert lines[-1].endswith(f": {report['faults']} faults")


def test_frame_sizes_are_compared_with_the_clips(tmp_path: Path) -> None:
    truth = make_release(tmp_path, sources=2, clips=1, sizes=((64, 48),))
    write_clips(truth, size=(80, 48))
    report = check(tmp_path)
    assert report["faults"] == 2
    assert "the clip is 80x48, its boxes are for: '64x48'" in report["problems"][0]["text"]


def test_a_key_box_that_differs_from_the_box_of_that_frame(tmp_path: Path) -> None:
    truth = make_release(tmp_path, sources=3, clips=4, sizes=((854, 480),))
    clip = next(clip for clip in truth.clips.values() if clip.split == "train")
    for name in ("ava_train.csv", "ava_all.csv"):
        lines = truth.files[name].read_text().splitlines()
        moved = [line.split(",") for line in lines]
        for cells in moved:
            if cells[0] == clip.video_id and cells[7] == "1":
                cells[2:6] = ["0.301", "0.302", "0.403", "0.404"]
        truth.files[name].write_text("".join(",".join(cells) + "\n" for cells in moved))
    report = check(tmp_path)
    reasons = [problem["reason"] for problem in report["problems"]]
    assert reasons == ["the key box differs from the person's box in that frame"]
    assert clip.video_id in report["problems"][0]["value"]
