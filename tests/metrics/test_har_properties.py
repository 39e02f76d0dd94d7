"""Properties of the HAR scores on random inputs (Hypothesis)."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from microg4m_hf.errors import PredictionError
from microg4m_hf.metrics import HarAccumulator, frame_ap, har_scores
from microg4m_hf.metrics.har.published_order import published_order
from tests.support.har_split import IDS, dense, draw, labeled

pytestmark = pytest.mark.filterwarnings("ignore::microg4m_hf.metrics.TieWarning")
LIGHT = settings(max_examples=25)
SEEDS = st.integers(0, 10_000)
PROTOCOLS = st.sampled_from(["paper", "instance"])


def assert_equal(one: dict, two: dict) -> None:
    for name, value in one["scores"].items():
        assert two["scores"][name] == pytest.approx(value, abs=1e-12, nan_ok=True), name


@LIGHT
@given(SEEDS, PROTOCOLS, st.randoms(use_true_random=False))
def test_order_of_rows_changes_nothing(seed: int, protocol: str, random) -> None:
    truth, found = draw(seed)
    expected = har_scores(found, truth, protocol=protocol)
    random.shuffle(found)
    random.shuffle(truth)
    assert_equal(expected, har_scores(found, truth, protocol=protocol))


@LIGHT
@given(SEEDS, st.randoms(use_true_random=False))
def test_order_of_rows_changes_no_instance_score_even_with_ties(seed: int, random) -> None:
    truth, found = draw(seed, ties=True)
    expected = har_scores(found, truth, protocol="instance")
    random.shuffle(found)
    assert_equal(expected, har_scores(found, truth, protocol="instance"))


@LIGHT
@given(SEEDS, PROTOCOLS, st.integers(1, 5), st.integers(1, 3), st.randoms(use_true_random=False))
def test_batching_and_processes_change_nothing(seed: int, protocol: str, batch: int, world: int, random) -> None:
    truth, found = draw(seed, persons=3, ties=True)
    items = [{**clip, **reference} for clip, reference in zip(dense(found), labeled(truth), strict=True)]
    whole = HarAccumulator(protocol=protocol)
    whole.update(items)
    expected = whole.compute()
    random.shuffle(items)
    parts = [HarAccumulator(protocol=protocol) for _ in range(world)]
    for rank, part in enumerate(parts):
        own = items[rank::world] + items[:1]  # every process also sees the first, as padded samplers do
        for start in range(0, len(own), batch):
            part.update(own[start : start + batch])
    for other in parts[1:]:
        parts[0].merge(other.state())
    assert str(parts[0].compute()) == str(expected)


@LIGHT
@given(SEEDS, st.sampled_from([lambda x: x / 7 - 2, math.exp, math.atan, lambda x: x**3]))
def test_monotone_transforms_change_no_ranking_score(seed: int, transform) -> None:
    truth, found = draw(seed, ties=True)
    transformed = [(*row[:7], transform(row[7])) for row in found]
    for ties in ("published", "expected"):
        assert list(frame_ap(truth, transformed, IDS, ties=ties).values()) == pytest.approx(
            list(frame_ap(truth, found, IDS, ties=ties).values()), nan_ok=True
        )
    one, two = har_scores(found, truth), har_scores(transformed, truth)
    assert one["scores"]["auroc"] == pytest.approx(two["scores"]["auroc"], nan_ok=True)


@LIGHT
@given(SEEDS, st.integers(0, 9), st.floats(0.1, 5))
def test_repeated_rows_change_nothing_or_are_an_error(seed: int, which: int, more: float) -> None:
    truth, found = draw(seed)
    again = found[which % len(found)]
    same = har_scores([*found, again], truth, protocol="instance")
    assert_equal(har_scores(found, truth, protocol="instance"), same)
    assert same["counts"]["repeated_rows"] == 1
    for protocol in ("paper", "instance"):
        with pytest.raises(PredictionError, match="two scores"):
            har_scores([*found, (*again[:7], again[7] + more)], truth, protocol=protocol)


@LIGHT
@given(SEEDS, PROTOCOLS)
def test_perfect_predictions_give_one(seed: int, protocol: str) -> None:
    truth, _ = draw(seed, persons=1)
    true = {(row[:6], row[6]) for row in truth}
    boxes = sorted({row[:6] for row in truth})
    found = [(*box, action, 4.0 if (box, action) in true else -4.0) for box in boxes for action in IDS]
    result = har_scores(found, truth, protocol=protocol, classes=IDS)
    present = {row[6] for row in truth}
    assert result["scores"]["map"] == 1.0
    assert result["scores"]["f1"] == pytest.approx(len(present) / len(IDS))
    assert math.isnan(result["scores"]["auroc"]) or result["scores"]["auroc"] == 1.0


@LIGHT
@given(SEEDS, PROTOCOLS)
def test_disjoint_boxes_give_zero(seed: int, protocol: str) -> None:
    truth, found = draw(seed)
    away = [(*row[:2], 0.97, 0.97, 1.0, 1.0, *row[6:]) for row in found[: len(IDS)]]
    result = har_scores(away, truth, protocol=protocol, classes=IDS)
    assert result["scores"]["map"] == 0.0
    if protocol == "instance":
        assert result["scores"]["f1"] == result["scores"]["recall"] == 0.0


@LIGHT
@given(SEEDS)
def test_scores_lie_in_their_range(seed: int) -> None:
    truth, found = draw(seed, ties=True)
    result = har_scores(found, truth)
    low, high = result["ties"]["map_range"]
    assert 0 <= low <= result["scores"]["map"] <= high <= 1
    assert low - 1e-12 <= np.nanmean(list(frame_ap(truth, found, IDS, ties="expected").values())) <= high + 1e-12


@LIGHT
@given(st.lists(st.integers(0, 6), max_size=300))
def test_published_order_sorts(values: list[int]) -> None:
    order = published_order(np.array(values, dtype=float))
    assert sorted(order.tolist()) == list(range(len(values)))
    assert [values[i] for i in order] == sorted(values)
