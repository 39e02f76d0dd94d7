"""Pure functions of training: learning rate, parameter groups, order of items, geometry."""

from __future__ import annotations

import numpy as np
import pytest

from microg4m_hf.training.loading.dataset import RunBatches, epoch_order, steps_in_epoch
from microg4m_hf.training.loading.transforms import (
    Geometry,
    evaluation_geometry,
    move_boxes,
    scaled_size,
    training_geometry,
)
from microg4m_hf.training.optim import learning_rate
from microg4m_hf.training.recipe import Data, Optim, Schedule


def test_published_rate() -> None:
    plan = Schedule(steps=(0, 20, 30, 40), factors=(1.0, 0.1, 0.01, 0.001), warmup_epochs=5, warmup_start=1.25e-4)
    assert learning_rate(0.1, plan, 0.0) == pytest.approx(1.25e-4)
    assert learning_rate(0.1, plan, 1.0) == pytest.approx(1.25e-4 + (0.1 - 1.25e-4) / 5)
    assert learning_rate(0.1, plan, 4.999) < learning_rate(0.1, plan, 5.0) == pytest.approx(0.1)
    assert [learning_rate(0.1, plan, e) for e in (19.99, 20, 30, 40, 59)] == pytest.approx(
        [0.1, 0.01, 1e-3, 1e-4, 1e-4]
    )


@pytest.mark.parametrize("world", [1, 2, 3])
def test_processes_share_each_step_and_a_resumed_run_sees_the_same(world: int) -> None:
    def steps(first: int, rank: int, of: int) -> list[list[tuple[int, int]]]:
        return list(RunBatches(count=23, batch=6, seed=3, first_step=first, end_step=9, rank=rank, world=of))

    whole = steps(0, 0, 1)
    parts = [steps(0, rank, world) for rank in range(world)]
    for step, batch in enumerate(whole):
        assert [place for part in parts for place in part[step]] == batch
    assert steps(4, 0, 1) == whole[4:]
    assert steps_in_epoch(23, 6) == 3
    first_epoch = [index for batch in whole[:3] for _, index in batch]
    assert len(set(first_epoch)) == 18  # no item twice; the incomplete batch is dropped
    assert {epoch for batch in whole for epoch, _ in batch} == {0, 1, 2}


def test_orders_differ_between_epochs_and_seeds() -> None:
    orders = {tuple(epoch_order(50, seed, epoch)) for seed in (0, 1) for epoch in (0, 1)}
    assert len(orders) == 4


def test_training_geometry_stays_inside() -> None:
    data = Data(num_frames=8, stride=8, short_side=(256, 320), crop=224)
    sides = []
    for draw in range(200):
        geometry = training_geometry(480, 854, data, np.random.default_rng(draw))
        assert 0 <= geometry.top <= geometry.height - 224
        assert 0 <= geometry.left <= geometry.width - 224
        sides.append(geometry.height)
    assert 256 <= min(sides) < 262
    assert 314 < max(sides) <= 320
    assert np.mean(sides) < 287.5  # uniform in 1/side prefers small sides


def test_odd_shapes() -> None:
    assert scaled_size(854, 480, 256) == (455, 256)
    assert scaled_size(256, 400, 256) == (256, 400)
    assert evaluation_geometry(480, 854, 256, center_crop=True) == Geometry(256, 455, 0, 100, 256, 256)


def test_boxes_follow_the_pixels() -> None:
    """After scaling, cropping and flipping, a box drawn into a frame is where the moved box is."""
    import torch

    from microg4m_hf.training.loading.transforms import render

    frame = np.zeros((1, 120, 200, 3), np.uint8)
    frame[:, 40:80, 60:120] = 255
    box = np.array([[60 / 200, 40 / 120, 120 / 200, 80 / 120]])
    for flip in (False, True):
        geometry = Geometry(240, 400, 30, 50, 200, 200, flip)
        seen = render(torch.from_numpy(frame), geometry)[0, 0]
        rows, columns = np.nonzero(seen.numpy() > 127)
        moved = move_boxes(box, 120, 200, geometry)[0] * 200
        assert moved == pytest.approx([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1], abs=1.01)


def test_boxes_outside_the_crop_collapse_onto_its_border() -> None:
    moved = move_boxes(np.array([[0.0, 0.0, 0.1, 0.1]]), 100, 100, Geometry(200, 200, 100, 100, 64, 64))
    assert moved.tolist() == [[0.0, 0.0, 0.0, 0.0]]


def test_published_parameter_groups() -> None:
    import torch

    from microg4m_hf.training.optim import parameter_groups

    model = torch.nn.Sequential(torch.nn.Conv3d(3, 4, 1), torch.nn.BatchNorm3d(4), torch.nn.LayerNorm(4))
    groups_of = {
        kind: parameter_groups(model, Optim(no_decay=kind, weight_decay=0.05))
        for kind in ("batchnorm", "one_dimensional", "none")
    }
    sizes = {kind: [len(group["params"]) for group in groups] for kind, groups in groups_of.items()}
    assert sizes == {"batchnorm": [4, 2], "one_dimensional": [1, 5], "none": [6]}
    assert groups_of["batchnorm"][1]["weight_decay"] == 0.0
