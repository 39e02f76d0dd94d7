"""A release that is read equals the annotations that were written, and the released files have the published counts."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from microg4m_hf.data.release.release import Release, read_release
from microg4m_hf.data.splits import split_of
from microg4m_hf.data.tables import HAR_SCHEMA, caption_table, har_table, vqa_table
from microg4m_hf.errors import DataError, SourceError
from microg4m_hf.taxonomy import label_of
from tests.support.fake_release import FakeRelease, full_size_boxes, make_release


def assert_equals_truth(release: Release, truth: FakeRelease, *, boxes: bool, domain: str | None = None) -> None:
    """Row by row, slowly and without our arrays: the table says what the release was made of."""
    table = har_table(release, domain=domain)
    table.validate(full=True)
    assert table.schema == HAR_SCHEMA
    wanted = sorted(video_id for video_id, clip in truth.clips.items() if domain in (None, clip.domain))
    assert table["video_id"].to_pylist() == wanted
    for row in table.to_pylist():
        clip = truth.clips[row["video_id"]]
        width, height = clip.size
        assert row["domain"] == clip.domain
        assert f"{row['source']}_{row['clip_index']:03d}" == row["video_id"]
        assert [person["person_id"] for person in row["persons"]] == sorted(clip.persons)
        for person in row["persons"]:
            true = clip.persons[person["person_id"]]
            assert person["actions"] == [label_of(action) for action in true.actions]
            assert person["frames"] == (true.frames if boxes else [])
            for box, pixels in zip(person["boxes"], true.boxes if boxes else [], strict=True):
                assert [box[0] * width, box[1] * height, box[2] * width, box[3] * height] == pytest.approx(
                    pixels, abs=1e-3
                )
            if boxes or release.official is not None:
                assert person["key_frame"] == true.key
                assert person["key_box"] == pytest.approx(clip.key_box(person["person_id"]), abs=6e-4)
            else:
                assert (person["key_frame"], person["key_box"]) == (None, [])


@pytest.mark.parametrize("layout", ["flat", "authors"])
@pytest.mark.parametrize("seed", range(3))
def test_rows_equal_the_generated_annotations(tmp_path: Path, layout: str, seed: int) -> None:
    truth = make_release(tmp_path, seed=seed, layout=layout)
    release = read_release(tmp_path, need={"har", "vqa"})
    assert_equals_truth(release, truth, boxes=True)
    assert_equals_truth(release, truth, boxes=True, domain="movie")
    assert_equals_truth(release, truth, boxes=True, domain="real")
    assert split_of(release, "official") == {video_id: clip.split for video_id, clip in truth.clips.items()}
    captions = {row["video_id"]: row["caption"] for row in caption_table(release).to_pylist()}
    assert captions == {entry["video_id"]: entry["caption"] for entry in truth.texts}
    questions = [(row["video_id"], row["question"], row["answer"]) for row in vqa_table(release).to_pylist()]
    written = [(e["video_id"], pair["Q"], pair["A"]) for e in truth.texts for pair in e["qa_pairs"]]
    assert sorted(questions) == sorted(written)


def test_without_boxes_there_are_key_frames_and_no_tracks(tmp_path: Path) -> None:
    truth = make_release(tmp_path, boxes=False)
    release = read_release(tmp_path)
    assert release.boxes is None
    assert_equals_truth(release, truth, boxes=False)


def test_without_key_frame_files_key_frames_are_derived(tmp_path: Path) -> None:
    truth = make_release(tmp_path, seed=5, ava=False, sizes=((854, 480),))
    with pytest.warns(UserWarning, match="854x480 is assumed"):
        release = read_release(tmp_path)
    assert_equals_truth(release, truth, boxes=True)
    assert release.counts["frame_sizes_from_assumed"] == len(truth.clips)
    with pytest.raises(DataError, match=r"ava_train\.csv, ava_val_gt\.csv, ava_test_gt\.csv"):
        split_of(release, "official")
    assert set(split_of(release, "source_disjoint")) == set(truth.clips)


def test_without_boxes_and_key_frames_there_are_labels(tmp_path: Path) -> None:
    truth = make_release(tmp_path, ava=False, boxes=False)
    assert_equals_truth(read_release(tmp_path), truth, boxes=False)


def test_the_error_of_the_official_scheme_names_the_missing_file(tmp_path: Path) -> None:
    truth = make_release(tmp_path)
    truth.files["ava_val_gt.csv"].unlink()
    with pytest.raises(DataError, match=r"missing: ava_val_gt\.csv"):
        split_of(read_release(tmp_path), "official")


def test_a_clip_that_no_split_file_names_is_train(tmp_path: Path) -> None:
    truth = make_release(tmp_path)
    with open(truth.files["actions.csv"], "a") as file:
        file.write("Film0_999,m,1,12\n")
    splits = split_of(read_release(tmp_path), "official")
    assert splits.pop("Film0_999") == "train"
    assert splits == {video_id: clip.split for video_id, clip in truth.clips.items()}


def test_only_needed_files_are_read(tmp_path: Path) -> None:
    truth = make_release(tmp_path)
    for name in ("bounding_boxes.csv", "vqa_and_captioning.json"):
        truth.files[name].write_bytes(b"\xff junk")
    assert read_release(tmp_path, need=()).counts["clips"] == len(truth.clips)
    with pytest.raises(DataError, match="bounding_boxes"):
        read_release(tmp_path, need={"har"})
    with pytest.raises(DataError, match="vqa_and_captioning"):
        read_release(tmp_path, need={"caption"})
    truth.files["vqa_and_captioning.json"].unlink()
    with pytest.raises(SourceError, match=r"contains no vqa_and_captioning"):
        read_release(tmp_path, need="vqa")
    with pytest.raises(SourceError, match="contains no folder videos/"):
        read_release(tmp_path, need={"videos"})
    with pytest.raises(DataError, match="unknown need"):
        read_release(tmp_path, need={"boxes"})


def test_rows_in_any_order_give_the_same_tables(tmp_path: Path) -> None:
    truth = make_release(tmp_path)
    before = read_release(tmp_path)
    path = truth.files["bounding_boxes.csv"]
    header, *lines = path.read_text().splitlines()
    path.write_text("\n".join([header, *lines[::-1]]) + "\n")
    after = read_release(tmp_path)
    assert after.boxes.to_pylist() == before.boxes.to_pylist()
    assert har_table(after).equals(har_table(before))


def test_question_ids_are_unique_over_two_entries_of_a_clip(released: Path) -> None:
    release = read_release(released, need={"caption", "vqa"})
    table = vqa_table(release)
    ids = table["question_id"].to_pylist()
    assert len(set(ids)) == 7528
    twice = [name for name in ids if name.startswith("PrqcwH8LhDU_051_")]
    assert twice == [f"PrqcwH8LhDU_051_q{number}" for number in range(1, 13)]


def test_the_released_files_have_the_published_counts(released: Path) -> None:
    release = read_release(released, need={"har", "caption", "vqa"})
    counts = release.counts
    assert counts["clips"] == 4759
    assert release.clips["domain"].value_counts().to_pylist() == [
        {"values": "real", "counts": 3427}, {"values": "movie", "counts": 1332}]  # fmt: skip
    assert (counts["label_rows"], counts["label_repeats"], counts["labels"]) == (13261, 21, 13240)
    assert (counts["ava_train_rows"], counts["ava_val_rows"], counts["ava_test_rows"]) == (9266, 1329, 2656)
    assert (counts["captions"], counts["questions"], counts["faults"]) == (1238, 7528, 0)
    rows = har_table(release).to_pylist()
    persons = [person for row in rows for person in row["persons"]]
    assert (len(rows), len(persons)) == (4759, 5741)
    assert sum(person["key_frame"] is not None for person in persons) == 5735
    assert sum(len(person["actions"]) for person in persons) == 13240
    assert max(len(row["persons"]) for row in rows) == 7 and max(len(person["actions"]) for person in persons) == 6
    splits = list(split_of(release, "official").values())
    assert [splits.count(name) for name in ("train", "validation", "test")] == [3331, 475, 953]
    assert sum(not row["answerable"] for row in vqa_table(release).to_pylist()) == 752
    captions = caption_table(release)
    assert len(captions) == 1238 and len(captions["video_id"].unique()) == 1237
    assert len(caption_table(release, domain="movie")) == 0


@pytest.mark.slow
def test_a_release_of_full_size(released: Path, tmp_path: Path) -> None:
    """The real key frames with 390,000 boxes that fit them: sizes are found, all boxes are in place."""
    for path in released.rglob("*"):
        if path.name in ("actions.csv", "ava_all.csv", "ava_train.csv", "ava_val_gt.csv", "ava_test_gt.csv"):
            (tmp_path / path.name).write_bytes(path.read_bytes())
    sizes = full_size_boxes(tmp_path / "ava_all.csv", tmp_path / "bounding_boxes.csv")
    release = read_release(tmp_path)
    assert len(release.boxes) == 390_000
    found = release.frame_sizes.to_pylist()
    assert len(found) == 4759
    assert all((row["width"], row["height"]) == sizes[row["video_id"].rpartition("_")[0]] for row in found)
    table = har_table(release)
    table.validate(full=True)
    row = table.filter(table["video_id"].combine_chunks().is_valid()).slice(1234, 1).to_pylist()[0]
    width, height = sizes[row["source"]]
    with open(tmp_path / "bounding_boxes.csv") as file:
        lines = [line for line in csv.DictReader(file) if line["video_id"] == row["video_id"]]
    for person in row["persons"]:
        true = [line for line in lines if int(line["person_id"]) == person["person_id"]]
        assert person["frames"] == [int(line["frame_id"]) for line in true]
        for box, line in zip(person["boxes"], true, strict=True):
            pixels = [float(line[name]) for name in ("xmin", "ymin", "xmax", "ymax")]
            assert [box[0] * width, box[1] * height, box[2] * width, box[3] * height] == pytest.approx(pixels, abs=1e-2)


def _csv_release(folder: Path, actions: list[str], **ava: list[str]) -> Path:
    folder.mkdir()
    (folder / "actions.csv").write_text("\n".join(["video_id,movie_or_real,person_id,action", *actions]) + "\n")
    for name, rows in ava.items():
        (folder / f"{name}.csv").write_text("".join(f"{row}\n" for row in rows))
    return folder


def test_repeated_labels_are_kept_beside_the_distinct_ones(tmp_path: Path) -> None:
    """As often as one key-frame file lists them, although ava_all.csv has every row again."""
    once, twice = "ISS_004,52,0.1,0.1,0.9,0.9,12,1", "ISS_004,52,0.1,0.1,0.9,0.9,79,1"
    rows = [once, twice, twice, "ISS_005,40,0.2,0.1,0.9,0.9,12,3"]
    actions = ["ISS_004,r,1,12", "ISS_004,r,1,79", "ISS_005,r,3,12", "ISS_005,r,3,12"]
    files = {"ava_train": [], "ava_val_gt": [], "ava_test_gt": rows, "ava_all": rows}
    release = read_release(_csv_release(tmp_path / "files", actions, **files))
    persons = [person for clip in har_table(release)["persons"].to_pylist() for person in clip]
    assert [person["actions"] for person in persons] == [[label_of(12), label_of(79)], [label_of(12)]]
    assert [person["repeated_actions"] for person in persons] == [[label_of(79)], []]
    derived = read_release(_csv_release(tmp_path / "derived", actions))
    persons = [person for clip in har_table(derived)["persons"].to_pylist() for person in clip]
    assert [person["repeated_actions"] for person in persons] == [[], [label_of(12)]]
