"""The report measures the leak of any assignment of clips to splits, and what a scheme does to the dataset."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings, strategies as st

from microg4m_hf.data.release.release import read_release
from microg4m_hf.data.split_report import leak_report, scheme_report
from microg4m_hf.data.splits import split_of
from microg4m_hf.errors import DataError


def slow_leak(split_of_clip: dict[str, str], window: int) -> tuple[int, int, int]:
    """Shared sources, test clips that share one, test clips with a neighbour: clip against clip."""
    clips = [(*name.rsplit("_", 1), split) for name, split in split_of_clip.items()]
    test = [(source, int(piece)) for source, piece, split in clips if split == "test"]
    train = [(source, int(piece)) for source, piece, split in clips if split == "train"]
    shared = {source for source, _ in test} & {source for source, _ in train}
    beside = [any(s == source and 0 < abs(p - piece) <= window for s, p in train) for source, piece in test]
    return len(shared), sum(source in shared for source, _ in test), sum(beside)


@settings(max_examples=60)
@given(
    st.dictionaries(
        st.tuples(st.sampled_from(["A", "B_1", "-c"]), st.integers(0, 30)),
        st.sampled_from(["train", "validation", "test"]),
        max_size=40,
    ),
    st.integers(1, 4),
)
def test_leak_equals_a_comparison_of_all_pairs(found: dict[tuple[str, int], str], window: int) -> None:
    split_of_clip = {f"{source}_{piece:03d}": split for (source, piece), split in found.items()}
    report = leak_report(split_of_clip, window)
    names = ("shared_sources", "test_clips_sharing_source", "test_clips_with_neighbour")
    assert tuple(report[name] for name in names) == slow_leak(split_of_clip, window)


def test_leak_needs_clip_names_and_a_window() -> None:
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


def test_report_of_source_disjoint_on_the_released_files(released: Path) -> None:
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
