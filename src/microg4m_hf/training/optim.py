"""The optimizer of a recipe, the parameters without weight decay, and the learning rate of every step."""

from __future__ import annotations

from bisect import bisect_right
from typing import TYPE_CHECKING, Any

from .recipe import Optim, Schedule

if TYPE_CHECKING:
    import torch


def build_optimizer(model: torch.nn.Module, optim: Optim, *, sharded: bool = False) -> torch.optim.Optimizer:
    """Return SGD or AdamW with the settings of the recipe, fused on a GPU: faster, and mathematically the same.

    Args:
        model: The model to train.
        optim: The settings.
        sharded: Whether FSDP will shard the parameters; torch has no fused SGD for these.
    """
    import torch

    groups = parameter_groups(model, optim)
    fused = any(parameter.is_cuda for group in groups for parameter in group["params"])
    if optim.name == "sgd":
        fused = fused and not sharded
        return torch.optim.SGD(groups, lr=optim.lr, momentum=optim.momentum, nesterov=optim.nesterov, fused=fused)
    return torch.optim.AdamW(groups, lr=optim.lr, betas=optim.betas, eps=optim.eps, fused=fused)


def parameter_groups(model: torch.nn.Module, optim: Optim) -> list[dict[str, Any]]:
    """Divide the parameters into those with weight decay and those without.

    Args:
        model: The model to train.
        optim: ``no_decay`` selects the parameters without decay: ``"batchnorm"`` weights and biases of BatchNorm only
            (biases of convolutions and linear layers decay, as in the published runs), ``"one_dimensional"`` all
            vectors and scalars, ``"none"`` no parameter.

    Returns:
        One or two groups, as optimizers of torch take them.

    Example:
        >>> import torch
        >>> model = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.BatchNorm1d(2))
        >>> [len(group["params"]) for group in parameter_groups(model, Optim(no_decay="batchnorm"))]
        [2, 2]
    """
    from torch.nn.modules.batchnorm import _BatchNorm

    decay: list[torch.nn.Parameter] = []
    no_decay: list[torch.nn.Parameter] = []
    seen: set[int] = set()
    for module in model.modules():
        for parameter in module.parameters(recurse=False):
            if id(parameter) in seen or not parameter.requires_grad:
                continue
            seen.add(id(parameter))
            exempt = (optim.no_decay == "batchnorm" and isinstance(module, _BatchNorm)) or (
                optim.no_decay == "one_dimensional" and parameter.ndim <= 1
            )
            (no_decay if exempt else decay).append(parameter)
    groups = [{"params": decay, "weight_decay": optim.weight_decay}]
    if no_decay:
        groups.append({"params": no_decay, "weight_decay": 0.0})
    return groups


def learning_rate(base: float, schedule: Schedule, epoch: float) -> float:
    """Return the learning rate at a point of training.

    Args:
        base: The rate where the factor is 1.
        schedule: Its steps and factors, and the warmup: linear from ``warmup_start`` to the rate at its end.
        epoch: The epoch as a float, counted from 0, that grows with every step.

    Example:
        >>> plan = Schedule(steps=(0, 20), factors=(1.0, 0.1), warmup_epochs=5, warmup_start=0.0)
        >>> [round(learning_rate(0.1, plan, epoch), 4) for epoch in (0, 2.5, 5, 20)]
        [0.0, 0.05, 0.1, 0.01]
    """

    def stepped(epoch: float) -> float:
        return base * schedule.factors[bisect_right(schedule.steps, epoch) - 1]

    if epoch < schedule.warmup_epochs:
        end = stepped(schedule.warmup_epochs)
        return schedule.warmup_start + epoch * (end - schedule.warmup_start) / schedule.warmup_epochs
    return stepped(epoch)
