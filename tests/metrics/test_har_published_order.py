"""Equal scores rank in the order of numpy's scalar quicksort, with any version of numpy."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from microg4m_hf.metrics.har import published_order as module
from microg4m_hf.metrics.har.published_order import published_order

# Runs with numpy's SIMD sorts switched off, so that numpy itself is the reference.
AGAINST_NUMPY = """
import numpy as np
from microg4m_hf.metrics.har.published_order import published_order
random = np.random.RandomState(0)
for turn in range(1500):
    size = random.randint(0, 700)
    values = random.randint(0, random.choice([1, 2, 5, 50, 10**6]), size).astype(float)
    if turn % 4 == 1: values = np.sort(values)
    if turn % 4 == 2: values = np.sort(values)[::-1].copy()
    if turn % 8 == 3: values = np.concatenate([np.sort(values), np.sort(values)[::-1]])
    expected = np.argsort(values, kind="quicksort")
    assert (published_order(values) == expected).all(), (turn, size)
    marked = values == values[size // 2] if size else values > 0
    got = published_order(values, marked)
    assert (got[marked[got]] == expected[marked[expected]]).all(), (turn, size)
def against_the_median(size):
    half, values = size // 2, [0] * size
    for step in range(1, half + 1):
        if step % 2:
            values[step - 1], values[step] = step, half + step
        values[half + step - 1] = 2 * step
    return np.array(values, float)
for size in (100, 1000, 4000):
    for merge in (1, 3, 7):
        values = against_the_median(size) // merge
        assert (published_order(values) == np.argsort(values)).all(), (size, merge)
print("same")
"""


def scalar_numpy() -> dict[str, str]:
    """Environment that switches off every CPU feature numpy could use beyond its baseline."""
    try:
        from numpy._core._multiarray_umath import __cpu_dispatch__, __cpu_features__
    except ImportError:  # numpy < 2
        from numpy.core._multiarray_umath import __cpu_dispatch__, __cpu_features__
    present = [name for name in __cpu_dispatch__ if __cpu_features__.get(name)]
    return {"NPY_DISABLE_CPU_FEATURES": " ".join(present)}


def test_order_is_that_of_scalar_numpy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in scalar_numpy().items():
        monkeypatch.setenv(name, value)
    out = subprocess.run([sys.executable, "-c", AGAINST_NUMPY], capture_output=True, text=True, check=False)
    assert out.stdout.strip() == "same", out.stderr[-2000:]


def test_deep_recursion_reaches_heapsort(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    real = module._heapsorted
    monkeypatch.setattr(module, "_heapsorted", lambda values, order: calls.append(1) or real(values, order))
    half, values = 500, [0] * 1000
    for step in range(1, half + 1):
        if step % 2:
            values[step - 1], values[step] = step, half + step
        values[half + step - 1] = 2 * step
    order = published_order(np.array(values, float))
    assert calls
    assert (np.diff(np.array(values)[order]) >= 0).all()
    assert sorted(order.tolist()) == list(range(1000))


@pytest.mark.parametrize("size", [0, 1, 2, 16])
def test_few_elements_keep_their_order(size: int) -> None:
    assert published_order(np.ones(size)).tolist() == list(range(size))


def test_first_size_that_is_partitioned() -> None:
    assert published_order(np.ones(17)).tolist() != list(range(17))
