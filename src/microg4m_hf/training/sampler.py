"""Which key frames a process sees in which step: a pure function of seed, epoch and step.

Because nothing is drawn from a running generator, a run that was stopped goes on with exactly the batch it would
have seen, whatever the number of loader workers.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np


def epoch_order(count: int, seed: int, epoch: int) -> np.ndarray:
    """The order of one epoch.

    >>> sorted(epoch_order(4, seed=0, epoch=1).tolist())
    [0, 1, 2, 3]
    """
    return np.random.Generator(np.random.Philox(key=[seed, epoch])).permutation(count)


def share(batch: np.ndarray, rank: int, world: int) -> np.ndarray:
    """The part of a step's batch that one process takes; parts differ by at most one item.

    >>> [share(np.arange(5), rank, 2).tolist() for rank in (0, 1)]
    [[0, 1, 2], [3, 4]]
    """
    return np.array_split(batch, world)[rank]


class RunBatches:
    """A batch sampler over the rest of a whole run, epoch after epoch; yields lists of ``(epoch, index)``.

    One sampler and so one loader serve the run: its workers live on and decode ahead across the ends of epochs.

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
        known, order = -1, np.empty(0, int)
        for step in range(self.first_step, self.end_step):
            epoch, place = divmod(step, steps)
            if epoch != known:
                known, order = epoch, epoch_order(self.count, self.seed, epoch)
            whole = order[place * self.batch : (place + 1) * self.batch]
            yield [(epoch, int(index)) for index in share(whole, self.rank, self.world)]


def steps_in_epoch(count: int, batch: int) -> int:
    """Whole batches only, but at least one: the last incomplete batch is dropped as published.

    >>> steps_in_epoch(10, 4), steps_in_epoch(3, 8)
    (2, 1)
    """
    return max(1, count // batch)
