"""Sampling matches the published code, stays inside the clip, and refuses invalid arguments."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, strategies as st

from microg4m_hf.data import every, uniform, window
from microg4m_hf.errors import ClipError

# frames × rate of the twelve published models
PUBLISHED = [(8, 8), (4, 16), (16, 4), (13, 6), (16, 5), (32, 2)]


def published_window(n: int, centre: int, length: int, rate: int) -> list[int]:
    half = length * rate // 2
    return [min(max(i, 0), n - 1) for i in range(centre - half, centre + half, rate)]


@pytest.mark.parametrize(("length", "rate"), PUBLISHED)
@pytest.mark.parametrize("centre", [0, 1, 10, 45, 52, 89, 90])
def test_window_is_the_published_range(length: int, rate: int, centre: int) -> None:
    assert window(90, centre, length, rate).tolist() == published_window(90, centre, length, rate)


@given(st.integers(1, 200), st.integers(1, 200), st.integers(1, 40), st.integers(1, 40))
def test_window_always_has_its_length_and_stays_inside(n: int, centre: int, length: int, stride: int) -> None:
    got = window(n, centre, length, stride)
    assert len(got) == length
    assert got.min() >= 0 and got.max() <= n - 1
    assert (np.diff(got) >= 0).all()
    if length % 2 == 0 or stride > 1:
        assert got.tolist() == published_window(n, centre, length, stride)


def test_key_frames_of_the_release_count_from_one() -> None:
    paper, corrected = window(90, 45, 8, 8), window(90, 45, 8, 8, one_based=True)
    assert paper[4] == 45  # the published code used the number as it stands: one frame late
    assert corrected[4] == 44  # the 45th frame
    assert window(90, 90, 1, 2)[0] == 89  # frame 90, read as an index, is clamped


def test_uniform_reaches_both_ends_evenly() -> None:
    assert uniform(90, 8).tolist() == [0, 13, 25, 38, 51, 64, 76, 89]
    assert uniform(90, 90).tolist() == list(range(90))
    assert uniform(90, 1).tolist() == [44]
    assert uniform(1, 4).tolist() == [0, 0, 0, 0]


@given(st.integers(1, 500), st.integers(2, 100))
def test_uniform_rounds_the_even_spacing(n: int, count: int) -> None:
    got = uniform(n, count)
    exact = np.arange(count) * (n - 1) / (count - 1)
    assert len(got) == count and got[0] == 0 and got[-1] == n - 1
    assert np.abs(got - exact).max() <= 0.5 + 1e-9
    assert got.dtype == np.int64


def test_every() -> None:
    assert every(3).tolist() == [0, 1, 2]


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: every(0),
        lambda: uniform(0, 8),
        lambda: uniform(90, 0),
        lambda: uniform(-3, 8),
        lambda: window(0, 1, 8, 8),
        lambda: window(90, 45, 0, 8),
        lambda: window(90, 45, 8, 0),
        lambda: window(90, -1, 8, 8),
        lambda: window(90, 0, 8, 8, one_based=True),
    ],
)
def test_invalid_numbers_are_refused(wrong) -> None:
    with pytest.raises(ClipError):
        wrong()


@pytest.mark.parametrize("wrong", [lambda: uniform(90, 2.5), lambda: every("90"), lambda: window(90, True, 8, 8)])
def test_numbers_must_be_whole(wrong) -> None:
    with pytest.raises(TypeError, match="whole number"):
        wrong()
