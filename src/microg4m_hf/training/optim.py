"""The optimiser of a recipe and which parameters it decays."""

from __future__ import annotations

from bisect import bisect_right
from typing import TYPE_CHECKING, Any

from .recipe import Optim, Schedule

if TYPE_CHECKING:
    import torch


def parameter_groups(model: torch.nn.Module, optim: Optim) -> list[dict[str, Any]]:
    """Two groups, decayed and not: ``undecayed`` names who is spared.

    ``batchnorm`` spares BatchNorm weights and biases only (biases of convolutions and linears are decayed, as in
    the published runs), ``one_dimensional`` every vector and scalar, ``none`` nobody.

    >>> import torch
    >>> model = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.BatchNorm1d(2))
    >>> [len(group["params"]) for group in parameter_groups(model, Optim(undecayed="batchnorm"))]
    [2, 2]
    """
    from torch.nn.modules.batchnorm import _BatchNorm

    decayed: list[torch.nn.Parameter] = []
    spared: list[torch.nn.Parameter] = []
    seen: set[int] = set()
    for module in model.modules():
        for parameter in module.parameters(recurse=False):
            if id(parameter) in seen or not parameter.requires_grad:
                continue
            seen.add(id(parameter))
            spare = (optim.undecayed == "batchnorm" and isinstance(module, _BatchNorm)) or (
                optim.undecayed == "one_dimensional" and parameter.ndim <= 1
            )
            (spared if spare else decayed).append(parameter)
    groups = [{"params": decayed, "weight_decay": optim.weight_decay}]
    if spared:
        groups.append({"params": spared, "weight_decay": 0.0})
    return groups


def build_optimizer(model: torch.nn.Module, optim: Optim) -> torch.optim.Optimizer:
    """SGD or AdamW with the recipe's settings; fused on a GPU, which changes speed and not the mathematics."""
    import torch

    groups = parameter_groups(model, optim)
    fused = any(parameter.is_cuda for group in groups for parameter in group["params"])
    if optim.name == "sgd":
        return torch.optim.SGD(groups, lr=optim.lr, momentum=optim.momentum, nesterov=optim.nesterov, fused=fused)
    return torch.optim.AdamW(groups, lr=optim.lr, betas=optim.betas, eps=optim.eps, fused=fused)


# The learning rate at any point of training: steps with a linear warm-up into them, set every iteration.


def stepped_rate(base: float, schedule: Schedule, epoch: float) -> float:
    """``base`` times the factor of the last step at or before ``epoch``."""
    return base * schedule.factors[bisect_right(schedule.steps, epoch) - 1]


def learning_rate(base: float, schedule: Schedule, epoch: float) -> float:
    """The rate at ``epoch``, a float that counts from 0 and moves on every iteration.

    During the warm-up it runs linearly from ``warmup_start`` to the value the steps give at its end.

    >>> plan = Schedule(steps=(0, 20), factors=(1.0, 0.1), warmup_epochs=5, warmup_start=0.0)
    >>> [round(learning_rate(0.1, plan, epoch), 4) for epoch in (0, 2.5, 5, 20)]
    [0.0, 0.05, 0.1, 0.01]
    """
    if epoch < schedule.warmup_epochs:
        end = stepped_rate(base, schedule, schedule.warmup_epochs)
        return schedule.warmup_start + epoch * (end - schedule.warmup_start) / schedule.warmup_epochs
    return stepped_rate(base, schedule, epoch)
