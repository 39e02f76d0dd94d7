"""The optimiser of a recipe and which parameters it decays."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .recipe import Optim

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
