"""The loss of each person and action: binary cross-entropy as published, or for rare actions; consistency under turns.

``z`` is a logit, ``y`` its label, ``p = sigmoid(z)`` and ``bce(z, y) = -y log p - (1 - y) log (1 - p)``. ``n`` is the
number of persons with an action in the training split, and ``N`` that of all persons.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

import numpy as np

from ..errors import RecipeError
from .recipe import Loop

if TYPE_CHECKING:
    from torch import Tensor

    from .loading.dataset import KeyFrame

Loss = Callable[["Tensor", "Tensor"], "Tensor"]  # from logits and labels (persons, actions) to losses of the same shape


def build_loss(loop: Loop, items: Iterable[KeyFrame]) -> Loss:
    """Return the loss of a recipe.

    - ``bce``: ``bce(z, y)``.
    - ``balanced`` (Cui et al. 2019): ``w bce(z, y)`` with ``w = (1 - b) / (1 - b^n)``, divided by its mean over the
      actions with ``n > 0``; ``b`` is ``loop.balance_beta``. Actions without a person have ``w = 1``.
    - ``focal`` (Lin et al. 2017): ``(1 - q)^g bce(z, y)``, where ``q`` is the probability of the true label and ``g``
      is ``loop.focal_gamma``.
    - ``logit_adjusted`` (Menon et al. 2021): ``bce(z + t log(r / (1 - r)), y)`` with ``r = (n + 1) / (N + 2)``;
      ``t`` is ``loop.adjust_tau``. The adjustment is in training only.

    Args:
        loop: The settings.
        items: The key frames of the training split.

    Raises:
        RecipeError: If the loss needs key frames, and there are none.

    Example:
        >>> import torch
        >>> loss = build_loss(Loop(loss="focal", focal_gamma=1.0), [])
        >>> round(float(loss(torch.zeros(1, 1), torch.ones(1, 1))), 4)  # half of log 2
        0.3466
    """
    import torch
    from torch.nn.functional import binary_cross_entropy_with_logits as bce, logsigmoid

    if loop.loss == "bce":
        return lambda logits, labels: bce(logits, labels, reduction="none")
    if loop.loss == "focal":

        def focal(logits: Tensor, labels: Tensor) -> Tensor:
            # As an exponential of logarithms, whose gradient stays finite where the probability of an error is 0.
            error = torch.exp(loop.focal_gamma * logsigmoid(torch.where(labels > 0.5, -logits, logits)))
            return error * bce(logits, labels, reduction="none")

        return focal
    tables = [item.labels for item in items]
    if not tables:
        raise RecipeError(f"loop.loss={loop.loss} counts the actions of the training split; give its key frames")
    labels = np.concatenate(tables)
    counts = labels.sum(0, dtype=np.float64)
    if loop.loss == "balanced":
        weights = torch.from_numpy(_balanced_weights(counts, loop.balance_beta)).float()
        return lambda logits, labels: weights.to(logits.device) * bce(logits, labels, reduction="none")
    rates = (counts + 1) / (len(labels) + 2)
    shift = torch.from_numpy(loop.adjust_tau * np.log(rates / (1 - rates))).float()
    return lambda logits, labels: bce(logits + shift.to(logits.device), labels, reduction="none")


def _balanced_weights(counts: np.ndarray, beta: float) -> np.ndarray:
    """The weight of each action by its effective number of persons.

    >>> _balanced_weights(np.array([1.0, 3.0, 0.0]), 0.5).round(3).tolist()
    [1.273, 0.727, 1.0]
    """
    weights = np.ones(len(counts))
    present = counts > 0
    weights[present] = (1 - beta) / (1 - beta ** counts[present])
    weights[present] /= weights[present].mean()
    return weights


def consistency(logits: Tensor, turned: Tensor) -> Tensor:
    """Return how far predictions for clips and for their turned copies are apart: 0 where they are equal.

    ``(p - p') (z - z') / 2`` is the mean of the Kullback-Leibler divergences in both directions.

    Args:
        logits: Logits (persons, actions).
        turned: Logits of the same persons in the turned copies.
    """
    return (logits.sigmoid() - turned.sigmoid()) * (logits - turned) / 2


def quarter_of_copy(step: int, index: int) -> int:
    """Return by how many quarters the copy of an item is turned in a step: 1, 2 and 3 in turn.

    >>> [quarter_of_copy(step, 0) for step in range(4)]
    [1, 2, 3, 1]
    """
    return 1 + (step + index) % 3
