"""Which key frames a process sees in which step.

The order is a function of seed, epoch and step: nothing is drawn from a running generator, so a resumed run continues
with exactly the batch it would have seen, whatever the number of workers.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np


class RunBatches:
    """A batch sampler over the remaining steps of a run, across epochs; yields lists of ``(epoch, index)``.

    One sampler, and so one loader, serves the whole run: workers stay alive and prefetch across the ends of epochs.

    Args:
        count: How many items the dataset has.
        batch: Items per step, over all processes.
        seed: Seed of the order.
        first_step: The first step to yield.
        end_step: The step after the last one.
        rank: The number of this process.
        world: How many processes there are.

    Example:
        >>> [len(batch) for batch in RunBatches(count=5, batch=2, seed=0, first_step=1, end_step=4)]
        [2, 2, 2]
    """

    def __init__(
        self, *, count: int, batch: int, seed: int, first_step: int, end_step: int, rank: int = 0, world: int = 1
    ) -> None:
        self.count, self.batch, self.seed = count, batch, seed
        self.first_step, self.end_step, self.rank, self.world = first_step, end_step, rank, world

    def __len__(self) -> int:
        return max(0, self.end_step - self.first_step)

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        steps = steps_in_epoch(self.count, self.batch)
        current_epoch, order = -1, np.empty(0, int)
        for step in range(self.first_step, self.end_step):
            epoch, place = divmod(step, steps)
            if epoch != current_epoch:
                current_epoch, order = epoch, epoch_order(self.count, self.seed, epoch)
            whole = order[place * self.batch : (place + 1) * self.batch]
            share = np.array_split(whole, self.world)[self.rank]  # shares differ by at most one item
            yield [(epoch, int(index)) for index in share]


def epoch_order(count: int, seed: int, epoch: int) -> np.ndarray:
    """Return the order of the items in an epoch.

    >>> sorted(epoch_order(4, seed=0, epoch=1).tolist())
    [0, 1, 2, 3]
    """
    return np.random.Generator(np.random.Philox(key=[seed, epoch])).permutation(count)


def steps_in_epoch(count: int, batch: int) -> int:
    """Return how many steps an epoch has: the last incomplete batch is dropped as published, but there is one step.

    >>> steps_in_epoch(10, 4), steps_in_epoch(3, 8)
    (2, 1)
    """
    return max(1, count // batch)
