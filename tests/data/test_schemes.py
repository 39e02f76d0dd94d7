"""The division without leaks, and the report that measures the leak of any division."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from microg4m_hf.data import splits
from microg4m_hf.data.release.release import read_release
from microg4m_hf.data.split_report import leak_report, scheme_report
from microg4m_hf.data.splits import split_of
from microg4m_hf.errors import DataError
from tests.support.fake_release import make_release


def slow_leak(split_of_clip: dict[str, str], window: int) -> tuple[int, int, int]:
    """Shared sources, test clips that share one, test clips with a neighbour: clip against clip."""
    clips = [(*name.rsplit("_", 1), split) for name, split in split_of_clip.items()]
    test = [(source, int(piece)) for source, piece, split in clips if split == "test"]
    train = [(source, int(piece)) for source, piece, split in clips if split == "train"]
    shared = {source for source, _ in test} & {source for source, _ in train}
    beside = [any(s == source and 0 < abs(p - piece) <= window for s, p in train) for source, piece in test]
    return len(shared), sum(source in shared for source, _ in test), sum(beside)


@settings(max_examples=60, deadline=None)
@given(
    st.dictionaries(
        st.tuples(st.sampled_from(["A", "B_1", "-c"]), st.integers(0, 30)),
        st.sampled_from(["train", "validation", "test"]),
        max_size=40,
    ),
    st.integers(1, 4),
)
def test_leak_equals_comparing_every_pair(found: dict[tuple[str, int], str], window: int) -> None:
    split_of_clip = {f"{source}_{piece:03d}": split for (source, piece), split in found.items()}
    report = leak_report(split_of_clip, window)
    names = ("shared_sources", "test_clips_sharing_source", "test_clips_with_neighbour")
    assert tuple(report[name] for name in names) == slow_leak(split_of_clip, window)


def test_leak_wants_clip_names_and_a_window() -> None:
    with pytest.raises(DataError, match="not a valid clip name"):
        leak_report({"readme": "test"})
    with pytest.raises(DataError, match="at least one"):
        leak_report({"A_001": "test"}, window=0)


def test_the_official_leak_is_the_published_one(released: Path) -> None:
    splits = split_of(read_release(released), "official")
    report = leak_report(splits)
    assert (report["shared_sources"], report["test_sources"]) == (47, 47)
    assert report["test_clips_sharing_source"] == report["test_clips"] == 953
    assert round(100 * report["test_clips_with_neighbour_share"]) == 78
    assert round(100 * leak_report(splits, window=3)["test_clips_with_neighbour_share"]) == 94


def test_source_disjoint_on_the_real_files(released: Path) -> None:
    release = read_release(released)
    report = scheme_report(release, "source_disjoint")
    assert report["leak"]["shared_sources"] == report["leak"]["sources_in_two_splits"] == 0
    assert report["leak"]["test_clips_with_neighbour"] == 0
    for split, part in (("train", 0.7), ("validation", 0.1), ("test", 0.2)):
        assert report["clips"][split]["share"] == pytest.approx(part, abs=0.005)
        assert min(report["domains"][domain][split]["clips"] for domain in ("real", "movie")) > 0
    # Only what one film or video alone shows is lost.
    assert [lost["action_id"] for lost in report["classes_lost"]] == [9, 20, 41, 63, 72]
    assert all(lost["unavoidable"] for lost in report["classes_lost"])


def test_the_division_of_the_real_files_is_frozen(released: Path) -> None:
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


def test_texts_are_divided_like_the_clips(released: Path) -> None:
    with_boxes, with_texts = read_release(released), read_release(released, need={"vqa"})
    for scheme in ("official", "source_disjoint"):
        assert split_of(with_boxes, scheme) == split_of(with_texts, scheme)


def test_without_key_frame_files_boxes_do_not_change_the_division(tmp_path: Path) -> None:
    make_release(tmp_path, sources=7, ava=False, sizes=((854, 480),))
    with pytest.warns(UserWarning, match="assumed"):
        whole = split_of(read_release(tmp_path), "source_disjoint")
    assert whole == split_of(read_release(tmp_path, need="vqa"), "source_disjoint")


def test_the_order_of_the_files_changes_nothing(tmp_path: Path) -> None:
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
    """Classes that are planted in pairs of sources which can all be told apart end up on both sides."""
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


def test_many_sources_are_divided_in_little_memory() -> None:
    rng = np.random.default_rng(0)
    sizes = rng.integers(1, 20, (300, 2))
    split = splits.divide(sizes, rng.random((300, 20)) < 0.02)
    shares = np.bincount(split, weights=sizes.sum(axis=1), minlength=3) / sizes.sum()
    assert shares == pytest.approx([0.7, 0.1, 0.2], abs=0.01)


def test_one_source_cannot_be_divided(tmp_path: Path) -> None:
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
