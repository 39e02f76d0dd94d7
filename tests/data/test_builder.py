"""Every config, split and way of loading gives the rows of the release."""

from __future__ import annotations

import os
import pickle
import subprocess
from collections import Counter
from pathlib import Path

import datasets
import pytest

import microg4m_hf
from microg4m_hf.data import open_clip
from microg4m_hf.data.features import features_of
from microg4m_hf.errors import DataError, SourceError
from microg4m_hf.taxonomy import ACTION_NAMES, label_of
from tests.support.fake_release import FakeRelease, make_release, put_clips
from tests.support.warm_python import warm_python


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> FakeRelease:
    made = make_release(tmp_path_factory.mktemp("release"), sources=8, clips=5)
    put_clips(made)
    return made


@pytest.fixture(scope="module", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    datasets.config.HF_DATASETS_CACHE = tmp_path_factory.mktemp("cache")
    return datasets.config.HF_DATASETS_CACHE


def load(release: FakeRelease, config: str, **kwargs):
    return microg4m_hf.load_dataset(config, data_dir=release.root, **kwargs)


def test_har_rows_are_the_clips_of_the_release(release: FakeRelease) -> None:
    loaded = load(release, "har")
    assert list(loaded) == ["train", "validation", "test"]
    for split, rows in loaded.items():
        assert {row["video_id"] for row in rows} == {
            video_id for video_id, clip in release.clips.items() if clip.split == split
        }
        for row in rows:
            clip = release.clips[row["video_id"]]
            assert (row["source"], row["domain"]) == (release.source_of[row["video_id"]], clip.domain)
            assert f"{row['source']}_{row['clip_index']:03d}" == row["video_id"]
            assert row["video"] == {"bytes": None, "path": row["video"]["path"]}
            assert Path(row["video"]["path"]).samefile(
                release.root / "videos" / clip.domain / row["source"] / f"{row['video_id']}.mp4"
            )
            assert [person["person_id"] for person in row["persons"]] == sorted(clip.persons)
            for person in row["persons"]:
                expected = clip.persons[person["person_id"]]
                assert person["actions"] == [label_of(action) for action in expected.actions]
                assert person["key_frame"] == expected.key
                assert person["key_box"] == pytest.approx(clip.key_box(person["person_id"]), abs=1e-6)
                assert person["frames"] == expected.frames
                for box, pixels in zip(person["boxes"], expected.boxes, strict=True):
                    assert box == pytest.approx([v / clip.size[i % 2] for i, v in enumerate(pixels)], abs=1e-6)


def test_captions_and_questions(release: FakeRelease) -> None:
    texts = {entry["video_id"]: entry for entry in release.texts}
    captions = load(release, "caption")["test"]
    assert {row["video_id"]: row["caption"] for row in captions} == {k: v["caption"] for k, v in texts.items()}
    questions = load(release, "vqa")["test"]
    assert len(set(questions["question_id"])) == len(questions) == sum(len(e["qa_pairs"]) for e in texts.values())
    for row in questions:
        assert {"Q": row["question"], "A": row["answer"]} in texts[row["video_id"]]["qa_pairs"]
        assert row["answerable"] is not row["answer"].startswith("Not mentioned")


@pytest.mark.parametrize("config", ["caption", "vqa"])
def test_texts_are_one_split_unless_a_scheme_is_named(release: FakeRelease, config: str) -> None:
    whole = load(release, config)
    assert list(whole) == ["test"]
    for scheme in ("official", "source_disjoint"):
        divided = load(release, config, scheme=scheme)
        har = load(release, "har", scheme=scheme)
        assert list(divided) == ["train", "validation", "test"]
        assert sum(map(len, divided.values())) == len(whole["test"])
        for split, rows in divided.items():
            assert set(rows["video_id"]) <= set(har[split]["video_id"])
        by_name = datasets.load_dataset("microg4m", config, data_dir=str(release.root), scheme=scheme)
        assert {k: v[:] for k, v in by_name.items()} == {k: v[:] for k, v in divided.items()}


def test_no_source_is_in_two_splits_of_source_disjoint(release: FakeRelease) -> None:
    loaded = load(release, "har", scheme="source_disjoint")
    homes = {source: split for split, rows in loaded.items() for source in rows["source"]}
    assert Counter(source for rows in loaded.values() for source in set(rows["source"])) == Counter(homes.keys())
    assert sum(map(len, loaded.values())) == len(release.clips)


@pytest.mark.parametrize("domain", ["real", "movie"])
def test_domain(release: FakeRelease, domain: str) -> None:
    rows = datasets.concatenate_datasets(list(load(release, "har", domain=domain).values()))
    assert set(rows["video_id"]) == {name for name, clip in release.clips.items() if clip.domain == domain}
    if domain == "real":
        assert len(load(release, "caption", domain=domain)["test"]) == len(release.texts)
    else:
        with pytest.raises(DataError, match="nothing for caption in the domain 'movie'"):
            load(release, "caption", domain=domain)


def test_the_bare_name_loads_the_same_rows(release: FakeRelease) -> None:
    for config in ("har", "caption", "vqa"):
        for more in ({}, {"videos": False}, {"scheme": "source_disjoint"}):
            ours = load(release, config, **more)
            theirs = datasets.load_dataset("microg4m", config, data_dir=str(release.root), **more)
            assert {k: v[:] for k, v in theirs.items()} == {k: v[:] for k, v in ours.items()}
            assert theirs["test"].cache_files == ours["test"].cache_files


def test_slices_lists_and_processes(release: FakeRelease, tmp_path: Path) -> None:
    by_name = {"path": "microg4m", "name": "har", "data_dir": str(release.root)}
    whole = load(release, "har", split="train")
    assert load(release, "har", split="train[:50%]")[:] == whole[: round(len(whole) / 2)]
    first, test = datasets.load_dataset(**by_name, split=["train[:2]", "test"])
    assert first[:] == whole[:2] and len(test) == len(load(release, "har", split="test"))
    both = datasets.load_dataset(**by_name, split="train+test")
    assert len(both) == len(whole) + len(test)
    for num_proc in (2, 40):
        parallel = datasets.load_dataset(**by_name, num_proc=num_proc, cache_dir=str(tmp_path / str(num_proc)))
        assert parallel["train"][:] == whole[:] and parallel["test"][:] == test[:]


@pytest.mark.parametrize("config", ["har", "caption", "vqa"])
def test_streaming(release: FakeRelease, config: str) -> None:
    kept = load(release, config)
    streams = load(release, config, streaming=True)
    assert list(streams) == list(kept)
    for split, stream in streams.items():
        assert list(stream) == list(kept[split])
        assert stream.features == kept[split].features
    assert list(load(release, config, streaming=True, split=["test"])[0]) == list(kept["test"])
    stream = datasets.load_dataset("microg4m", config, data_dir=str(release.root), streaming=True, split="test")
    assert list(pickle.loads(pickle.dumps(stream))) == list(kept["test"])
    halves = [list(stream.shard(2, part)) for part in (0, 1)]
    assert [row for half in halves for row in half] == list(kept["test"])


def test_a_stream_is_read_by_workers(release: FakeRelease) -> None:
    torch_data = pytest.importorskip("torch.utils.data")
    stream = load(release, "vqa", streaming=True, split="test")
    kept = load(release, "vqa", split="test")["question_id"][:]
    loader = torch_data.DataLoader(stream, batch_size=None, num_workers=2)
    assert Counter(row["question_id"] for row in loader) == Counter(kept)
    # A spawned worker starts like this: nothing but the pickled stream.
    code = "import pickle, sys; print(*(row['question_id'] for row in pickle.load(sys.stdin.buffer)))"
    done = subprocess.run([warm_python(), "-c", code], input=pickle.dumps(stream), capture_output=True, check=True)
    assert done.stdout.decode().split() == kept


def test_names_and_infos(release: FakeRelease) -> None:
    where = {"data_dir": str(release.root)}
    assert datasets.get_dataset_config_names("microg4m") == ["har", "caption", "vqa"]
    assert datasets.get_dataset_split_names("microg4m", "har", **where) == ["train", "validation", "test"]
    assert datasets.get_dataset_split_names("microg4m", "vqa", **where) == ["test"]
    assert datasets.get_dataset_split_names("microg4m", "vqa", scheme="official", **where) == [
        "train",
        "validation",
        "test",
    ]
    infos = datasets.get_dataset_infos("microg4m", **where)
    assert {name: info.features for name, info in infos.items()} == {
        name: features_of(name) for name in ("har", "caption", "vqa")
    }
    builder = datasets.load_dataset_builder("microg4m", "har", **where)
    assert builder.info.features["persons"].feature["actions"].feature.names == list(ACTION_NAMES)
    assert pickle.loads(pickle.dumps(builder)).config_id == builder.config_id


def test_rows_can_be_processed(release: FakeRelease) -> None:
    train = load(release, "har", split="train")
    counted = train.map(lambda row: {"people": len(row["persons"])}, num_proc=2)
    assert counted["people"][:] == [len(row["persons"]) for row in train]
    assert counted[0]["video"] == train[0]["video"]
    assert pickle.loads(pickle.dumps(train[0])) == train[0]


def test_the_clip_opens_in_datasets_and_in_our_reader(release: FakeRelease) -> None:
    row = load(release, "har", split="train")[0]
    width, height = release.clips[row["video_id"]].size
    assert open_clip(row["video"]).frames([0]).shape == (1, height, width, 3)
    try:
        import torchcodec  # noqa: F401
    except (ImportError, RuntimeError):
        pytest.skip("torchcodec is not here or finds no FFmpeg")
    decoded = load(release, "har", split="train").cast_column("video", datasets.Video())
    assert tuple(decoded[0]["video"][0].shape) == (3, height, width)


def test_videos_false_needs_no_clip(release: FakeRelease, tmp_path: Path) -> None:
    bare = make_release(tmp_path, sources=8, clips=5)
    for config in ("har", "caption", "vqa"):
        rows = load(bare, config, split="test", videos=False)
        assert "video" not in rows.column_names
        assert rows[:] == load(release, config, split="test").remove_columns("video")[:]
        with pytest.raises(SourceError, match="videos=False"):
            load(bare, config)


def test_a_missing_or_broken_clip_is_named_or_left_out(tmp_path: Path) -> None:
    broken = make_release(tmp_path, sources=4, clips=4)
    videos = put_clips(broken)
    captioned = [entry["video_id"] for entry in broken.texts]
    lost, empty, junk = captioned[:3]
    files = {name: next(videos.rglob(f"{name}.mp4")) for name in (lost, empty, junk)}
    other = {name: path for name in broken.clips if name not in files for path in videos.rglob(f"{name}.mp4")}
    for path in files.values():
        path.unlink()  # the clips are links to one file
    files[empty].touch()
    files[junk].write_bytes(os.urandom(4000))
    with pytest.raises(DataError) as caught:
        load(broken, "har")
    assert any(f"{name}.mp4" in str(caught.value) for name in files) and "videos=False" in str(caught.value)
    with pytest.warns(UserWarning, match="3 faults were left out"):
        rows = datasets.concatenate_datasets(list(load(broken, "har", on_error="skip").values()))
    assert set(rows["video_id"]) == set(other)
    with pytest.warns(UserWarning, match=lost):
        questions = load(broken, "vqa", on_error="skip", streaming=True, split="test")
        assert {row["video_id"] for row in questions} == set(captioned) - set(files)
    assert len(load(broken, "vqa", videos=False, split="test")) > len(list(questions))


def test_only_the_clips_of_the_rows_must_exist(tmp_path: Path) -> None:
    made = make_release(tmp_path, sources=4, clips=4)
    for path in (put_clips(made) / "movie").rglob("*.mp4"):
        path.unlink()
    assert len(load(made, "caption", split="test")) == len(made.texts)
    assert sum(map(len, load(made, "har", domain="real").values())) == len(made.texts)
    with pytest.raises(DataError, match="missing"):
        load(made, "har")
