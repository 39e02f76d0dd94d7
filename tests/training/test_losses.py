"""The losses against their definitions, and the consistency between clips and their turned copies."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn.functional import binary_cross_entropy_with_logits as bce

from microg4m_hf import models
from microg4m_hf.errors import RecipeError
from microg4m_hf.training.loading.dataset import Item, KeyFrame, collate
from microg4m_hf.training.loading.transforms import Geometry
from microg4m_hf.training.losses import build_loss, consistency, quarter_of_copy
from microg4m_hf.training.recipe import Data, Loop, Model, Recipe
from microg4m_hf.training.step import accumulate_gradients

LOGITS = torch.randn(40, 4, generator=torch.Generator().manual_seed(0)) * 3
LABELS = (torch.rand(40, 4, generator=torch.Generator().manual_seed(1)) < torch.tensor([0.5, 0.1, 0.02, 0.0])).float()


def _items(counts: tuple[int, ...] = (50, 10, 2, 0), persons: int = 100) -> list[KeyFrame]:
    """Key frames of two persons each, in which each action occurs this often."""
    labels = np.zeros((persons, len(counts)), np.uint8)
    for action, count in enumerate(counts):
        labels[:count, action] = 1
    boxes, ids = np.tile([0.0, 0.0, 1.0, 1.0], (2, 1)).astype(np.float32), np.arange(2)
    return [KeyFrame(None, "a_001", 1, boxes, labels[row : row + 2], ids) for row in range(0, persons, 2)]


def test_the_default_is_the_published_loss_bit_for_bit() -> None:
    expected = bce(LOGITS, LABELS, reduction="none")
    assert torch.equal(build_loss(Loop(), _items())(LOGITS, LABELS), expected)


def test_focal_loss_is_that_of_torchvision() -> None:
    from torchvision.ops import sigmoid_focal_loss

    for gamma in (0.0, 0.5, 2.0):
        expected = sigmoid_focal_loss(LOGITS, LABELS, alpha=-1, gamma=gamma)
        assert torch.allclose(
            build_loss(Loop(loss="focal", focal_gamma=gamma), [])(LOGITS, LABELS), expected, atol=1e-6
        )
    extreme = torch.tensor([[200.0, -200.0]], requires_grad=True)
    build_loss(Loop(loss="focal", focal_gamma=0.5), [])(extreme, torch.tensor([[1.0, 0.0]])).sum().backward()
    assert extreme.grad is not None and torch.isfinite(extreme.grad).all()


def test_balanced_loss_weighs_by_the_effective_number_of_persons() -> None:
    beta = 0.99
    effective = np.array([(1 - beta**count) / (1 - beta) for count in (50, 10, 2)])
    weights = np.append(1 / effective / (1 / effective).mean(), 1.0)
    expected = torch.from_numpy(weights).float() * bce(LOGITS, LABELS, reduction="none")
    loss = build_loss(Loop(loss="balanced", balance_beta=beta), _items())
    assert torch.allclose(loss(LOGITS, LABELS), expected)
    same = build_loss(Loop(loss="balanced", balance_beta=0.0), _items())
    assert torch.allclose(same(LOGITS, LABELS), bce(LOGITS, LABELS, reduction="none"))
    # Close to 1, the weights are the inverse numbers of persons.
    inverse = build_loss(Loop(loss="balanced", balance_beta=1 - 1e-9), _items())(LOGITS, LABELS)
    ratios = (inverse / bce(LOGITS, LABELS, reduction="none"))[0]
    assert (ratios[1] / ratios[0]).item() == pytest.approx(5, rel=1e-3)


def test_logit_adjustment_adds_the_log_odds_of_an_action() -> None:
    rates = torch.tensor([51 / 102, 11 / 102, 3 / 102, 1 / 102])
    expected = bce(LOGITS + 0.7 * torch.log(rates / (1 - rates)), LABELS, reduction="none")
    loss = build_loss(Loop(loss="logit_adjusted", adjust_tau=0.7), _items())
    assert torch.allclose(loss(LOGITS, LABELS), expected, atol=1e-6)
    # A model that sees nothing learns the same score for rare and frequent actions, where bce learns their rates.
    labels = torch.from_numpy(np.concatenate([item.labels for item in _items()])).float()
    constant = torch.zeros(1, 4, requires_grad=True)
    build_loss(Loop(loss="logit_adjusted"), _items())(constant.expand(100, 4), labels).mean().backward()
    assert constant.grad is not None and constant.grad.abs().max() < 3e-3


def test_losses_that_count_need_key_frames() -> None:
    for kind in ("balanced", "logit_adjusted"):
        with pytest.raises(RecipeError, match=f"loop.loss={kind} counts the actions"):
            build_loss(Loop(loss=kind), [])


def test_consistency_is_the_mean_divergence_in_both_directions() -> None:
    from torch.distributions import Bernoulli, kl_divergence

    other = LOGITS.roll(1, 0)
    one, two = Bernoulli(logits=LOGITS.double()), Bernoulli(logits=other.double())
    expected = (kl_divergence(one, two) + kl_divergence(two, one)) / 2
    assert torch.allclose(consistency(LOGITS, other).double(), expected, atol=1e-5)
    assert consistency(LOGITS, LOGITS).abs().max() == 0


def _batch(indices: tuple[int, ...], side: int = 32) -> dict[str, Any]:
    rng = np.random.default_rng(0)
    items = []
    for index in indices:
        frames = rng.integers(0, 256, (4, side, side, 3), dtype=np.uint8)
        boxes = np.array([[0.1, 0.2, 0.6, 0.9], [0.3, 0.0, 1.0, 0.5]], np.float32)
        items.append(Item(index, frames, Geometry(side, side, 0, 0, side, side), boxes, np.ones((2, 50), np.uint8)))
    return collate(items)


def _model(**settings: Any) -> torch.nn.Module:
    torch.manual_seed(0)
    model = models.create("tiny_slow", dropout=0.0, **settings)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.05)
    return model.eval()


def _step(model: torch.nn.Module, loop: Loop, micro_batch: int = 8, number: int = 0) -> float:
    from accelerate import Accelerator

    model.zero_grad()
    return accumulate_gradients(Accelerator(cpu=True), model, _batch((3, 4, 5)), loop, micro_batch, number=number)


def test_a_network_that_is_indifferent_to_turns_has_no_consistency_loss() -> None:
    loop = Loop(consistency=100.0)
    plain, pooled = _model(), _model(turn_pooling=True)
    assert _step(pooled, loop) == pytest.approx(_step(pooled, Loop()), rel=1e-5)
    assert _step(plain, loop) > 1.01 * _step(plain, Loop())


def test_consistency_is_the_distance_to_the_turned_copy_and_trains_both() -> None:
    model, added = _model(), []
    for number in range(3):
        values = [_step(model, Loop(consistency=weight), number=number) for weight in (0.0, 1.0, 2.0)]
        assert values[2] - values[0] == pytest.approx(2 * (values[1] - values[0]), rel=1e-3)
        added.append(values[1] - values[0])
    assert len({round(value, 7) for value in added}) == 3  # each step has another turn
    gradients = [parameter.grad.clone() for parameter in model.parameters() if parameter.grad is not None]
    alone = _step(model, Loop(consistency=2.0), micro_batch=1, number=2)
    assert alone == pytest.approx(values[2], rel=1e-5)  # micro batches do not change the turns
    again = [parameter.grad for parameter in model.parameters() if parameter.grad is not None]
    assert all(torch.allclose(a, b, atol=1e-6) for a, b in zip(gradients, again, strict=True))


def test_turns_of_copies_do_not_depend_on_how_a_step_is_shared() -> None:
    turns = [[quarter_of_copy(step, index) for index in range(9)] for step in range(9)]
    assert {turn for row in turns for turn in row} == {1, 2, 3}
    assert all(row.count(turn) == 3 for row in turns for turn in (1, 2, 3))


def test_whole_frames_have_no_turned_copies() -> None:
    data = Data(num_frames=2, stride=8, short_side=(64, 64), crop=None)
    recipe = Recipe("mine", "own", Model("tiny_slow"), data)
    with pytest.raises(RecipeError, match=r"must be squares; set data\.crop or data\.rotate"):
        dataclasses.replace(recipe, loop=Loop(consistency=1.0))
    dataclasses.replace(recipe, data=dataclasses.replace(data, rotate="any"), loop=Loop(consistency=1.0))
