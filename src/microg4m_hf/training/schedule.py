"""The learning rate at any point of training: steps with a linear warm-up into them, set every iteration."""

from __future__ import annotations

from bisect import bisect_right

from .recipe import Schedule


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
