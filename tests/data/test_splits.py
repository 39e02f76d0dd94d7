"""The splits of ``source_disjoint`` share no source, stay as they are, and meet their targets."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from microg4m_hf.data import splits
from microg4m_hf.data.release.release import read_release
from microg4m_hf.data.splits import split_of
from microg4m_hf.errors import DataError
from tests.support.fake_release import make_release


def test_the_source_disjoint_split_of_the_released_files_never_changes(released: Path) -> None:
    """Results are only comparable on one division: a change of the algorithm must be a new scheme."""
    release = read_release(released)
    splits = split_of(release, "source_disjoint")
    sources = zip(release.clips["source"].to_pylist(), release.clips["video_id"].to_pylist(), strict=True)
    found: dict[str, set[str]] = {"train": set(), "validation": set(), "test": set()}
    for source, video_id in sources:
        found[splits[video_id]].add(source)
    assert " ".join(sorted(found["test"])) == (
        "3VoeRAR0YgE 94-puZit3DA Apollo13 FXv9AZl3fw4 G8gZRWJ4jSo JUUvlnnVMSQ Pwv6Hcn-0HY SAQ-iIJkLzA UyFYgeE32f0 "
        "Wam7poPzG1w X9vOoXU56KI Z9avV_kNdOU egbN4zDcYcU mm-ywDOOTbM onm7P_iFueE zAxtRSNBXtM"
    )
    assert len(found["train"]) == 18 and len(found["validation"]) == 14


def test_texts_have_the_split_of_their_clip(released: Path) -> None:
    with_boxes, with_texts = read_release(released), read_release(released, need={"vqa"})
    for scheme in ("official", "source_disjoint"):
        assert split_of(with_boxes, scheme) == split_of(with_texts, scheme)


def test_without_key_frame_files_boxes_do_not_change_the_splits(tmp_path: Path) -> None:
    make_release(tmp_path, sources=7, ava=False, sizes=((854, 480),))
    with pytest.warns(UserWarning, match="assumed"):
        whole = split_of(read_release(tmp_path), "source_disjoint")
    assert whole == split_of(read_release(tmp_path, need="vqa"), "source_disjoint")


def test_the_order_of_rows_does_not_change_the_splits(tmp_path: Path) -> None:
    truth = make_release(tmp_path, sources=9)
    before = split_of(read_release(tmp_path), "source_disjoint")
    path = truth.files["actions.csv"]
    header, *lines = path.read_text().splitlines()
    path.write_text("\n".join([header, *sorted(lines, reverse=True)]) + "\n")
    assert split_of(read_release(tmp_path), "source_disjoint") == before
    assert set(before) == set(truth.clips)
    assert max(Counter((truth.source_of[clip], split) for clip, split in before.items()).values()) == 5


@pytest.mark.parametrize("seed", range(4))
def test_classes_of_two_sources_are_in_train_and_test(seed: int) -> None:
    """Classes that are planted in pairs of separable sources are in train and in test."""
    rng = np.random.default_rng(seed)
    sizes = rng.integers(5, 60, (40, 2))
    side = rng.integers(0, 2, 40)
    classes = np.zeros((40, 12), dtype=bool)
    for column in range(12):
        classes[rng.choice(np.flatnonzero(side == 0)), column] = True
        classes[rng.choice(np.flatnonzero(side == 1)), column] = True
    split = splits.divide(sizes, classes)
    for column in range(12):
        assert {0, 2} <= set(split[classes[:, column]].tolist())
    shares = np.bincount(split, weights=sizes.sum(axis=1), minlength=3) / sizes.sum()
    assert shares == pytest.approx([0.7, 0.1, 0.2], abs=0.02)
    assert (splits.divide(sizes, classes) == split).all()


def test_many_sources_are_split_with_little_memory() -> None:
    rng = np.random.default_rng(0)
    sizes = rng.integers(1, 20, (300, 2))
    split = splits.divide(sizes, rng.random((300, 20)) < 0.02)
    shares = np.bincount(split, weights=sizes.sum(axis=1), minlength=3) / sizes.sum()
    assert shares == pytest.approx([0.7, 0.1, 0.2], abs=0.01)


def test_one_source_cannot_be_split(tmp_path: Path) -> None:
    make_release(tmp_path, sources=1)
    with pytest.raises(DataError, match="come from one source"):
        split_of(read_release(tmp_path), "source_disjoint")


def test_two_sources_give_train_and_test(tmp_path: Path) -> None:
    make_release(tmp_path, sources=2)
    assert set(split_of(read_release(tmp_path), "source_disjoint").values()) == {"train", "test"}


def test_an_unknown_scheme_is_refused(tmp_path: Path) -> None:
    make_release(tmp_path, sources=2)
    with pytest.raises(DataError, match=r"unknown scheme.*official, source_disjoint"):
        split_of(read_release(tmp_path), "random")
