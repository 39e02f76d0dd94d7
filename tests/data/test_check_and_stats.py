"""``microg4m data check``, ``stats`` and ``export-ava``: the whole list of faults, the whole count, the exit code."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from microg4m_hf.cli.main import main
from microg4m_hf.data.check import check
from microg4m_hf.data.stats import stats
from tests.support.fake_release import FakeRelease, make_release
from tests.support.tiny_mp4 import write_mp4


def write_clips(truth: FakeRelease, size: tuple[int, int] | None = None) -> None:
    for video_id, clip in truth.clips.items():
        write_mp4(
            truth.root / "videos" / clip.domain / truth.source_of[video_id] / f"{video_id}.mp4", *(size or clip.size)
        )


def test_the_real_files_are_without_fault(released: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "check", "--data-dir", str(released), "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["faults"], report["problems"]) == (0, [])
    notes = "\n".join(report["notes"])
    assert "21 of 13261 label rows only repeat another" in notes
    assert "6 persons have labels and no key box" in notes and "PrqcwH8LhDU_051" in notes


def test_stats_of_the_real_files(released: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = stats(released)
    assert found["clips_of_domain"] == {"movie": 1332, "real": 3427}
    assert found["label_rows_of_domain"] == {"real": 9610, "movie": 3651}
    assert found["classes_of_domain"] == {"real": 46, "movie": 42}
    assert (found["persons"], found["persons_with_box"], found["labels_without_box"]) == (5741, 5735, 10)
    assert (found["key_frames"], found["clips_with_several_key_frames"]) == (5468, 587)
    assert found["official"]["test"] == {"clips": 953, "key_frames": 1091, "key_boxes": 1136}
    assert found["official"]["train"] == {"clips": 3331, "key_frames": 3835, "key_boxes": 4029}
    assert (found["captions"], found["clips_with_caption"], found["questions"]) == (1238, 1237, 7528)
    assert (found["questions_per_entry"]["6"], found["questions_not_mentioned"]) == (1161, 752)
    assert found["schemes"]["official"]["classes"] == {"train": 50, "validation": 36, "test": 41}
    assert main(["data", "stats", "--data-dir", str(released), "--scheme", "official"]) == 0
    text = capsys.readouterr().out
    assert "47 of 47 test sources are in train" in text and "78% have a neighbour" in text
    assert "source_disjoint" not in text


def test_a_whole_release_with_clips_is_without_fault(tmp_path: Path) -> None:
    truth = make_release(tmp_path, sources=3, clips=2, sizes=((64, 48),))
    write_clips(truth)
    report = check(tmp_path)
    assert report["problems"] == []
    persons = sum(len(clip.persons) for clip in truth.clips.values())
    assert f"the median rule gives {persons} of {persons} released key frames" in report["notes"]


def test_one_run_lists_the_faults_of_all_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
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


def test_sizes_are_compared_with_the_clips(tmp_path: Path) -> None:
    truth = make_release(tmp_path, sources=2, clips=1, sizes=((64, 48),))
    write_clips(truth, size=(80, 48))
    report = check(tmp_path)
    assert report["faults"] == 2
    assert "the clip is 80x48, its boxes are for: '64x48'" in report["problems"][0]["text"]


def test_a_key_box_that_is_not_of_its_track(tmp_path: Path) -> None:
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


def test_stats_counts_what_is_left_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    truth = make_release(tmp_path, sources=4)
    with open(truth.files["actions.csv"], "a") as file:
        file.write("Film0_001,m,1,2\nFilm0_999,m,1,12\n")
    assert main(["data", "stats", "--data-dir", str(tmp_path), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["faults"], found["clips"]) == (1, 21)
    assert found["clips_without_official_place"] == ["Film0_999"]
    assert found["boxes"] == sum(len(who.frames) for clip in truth.clips.values() for who in clip.persons.values())
    assert main(["data", "stats", "--data-dir", str(tmp_path)]) == 0
    assert "1 clips, counted as train" in " ".join(capsys.readouterr().out.split())


def test_export_on_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    truth = make_release(tmp_path / "in")
    assert main(["data", "export-ava", "--data-dir", str(tmp_path / "in"), "--out", str(tmp_path / "out")]) == 0
    assert "ava_val_gt.csv: " in capsys.readouterr().out
    written = (tmp_path / "out" / "ava_train.csv").read_text().splitlines()
    assert sorted(written) == sorted(truth.files["ava_train.csv"].read_text().splitlines())
    wrong = ["data", "export-ava", "--data-dir", str(tmp_path / "in"), "--out", str(tmp_path / "o"), "--scheme", "x"]
    assert main(wrong) == 2
    assert "unknown scheme" in capsys.readouterr().err


def test_a_folder_without_a_release_is_one_line_and_exit_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "stats", "--data-dir", str(tmp_path)]) == 2
    captured = capsys.readouterr()
    assert captured.out == "" and captured.err.count("\n") == 1 and "actions.csv" in captured.err
