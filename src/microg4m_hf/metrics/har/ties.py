"""Expected average precision when equal scores are put in random order: computed, not sampled.

With the precision envelope, AP is the integral over x in (0, 1) of K(x) / positives, where K(x) counts the hits up to
the last place whose precision reaches x. The expectation of K(x) is needed for each x. Groups of equal scores are
independent, and the precision at the end of a group is not random, so the last group that reaches x decides.

Inside a group of m places with t hits, let A(k) be the last place at which k hits still reach x. "k was the last
to reach x" means: exactly k hits among the first A(k) places, and none later that reaches x. The chance w(k) of
the second, given the first, follows from k = t downwards: w(k) = 1 - sum over j > k of P(j hits at A(j) | k hits at
A(k)) w(j), with hypergeometric P. E[K(x)] is constant between the precisions that can occur, so the integral is a
finite sum over them. Where those are too many (thousands of boxes with one score), the integral of the falling
function E[K] is bracketed between two sums and the bracket is narrowed as far as the budget goes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .average_precision import Ranking, average_precisions

EXACT = 150_000_000  # terms of the recursion for one class that are computed exactly: below a second
BRACKET = 20_000_000  # terms to spend on narrowing the bracket where there are more


@dataclass(frozen=True)
class _Group:
    """Places with one score, after ``before`` places with ``hits_before`` hits."""

    before: int
    hits_before: int
    size: int
    hits: int

    @property
    def last_precision(self) -> float:
        return (self.hits_before + self.hits) / (self.before + self.size)


def expected_precisions(ranking: Ranking, positives: np.ndarray) -> np.ndarray:
    """Return the expected average precision of each class over random order of ties; nan without a labeled box."""
    result = average_precisions(ranking.hit, ranking.start, positives)
    sizes = ranking.group_size
    bounds = np.searchsorted(ranking.group_start, ranking.start)
    mixed = ranking.mixed
    for label in np.flatnonzero(positives > 0):
        own = slice(bounds[label], bounds[label + 1])
        if not mixed[own].any():
            continue
        hits = ranking.group_hits[own]
        before = ranking.group_start[own] - ranking.start[label]
        hits_before = np.cumsum(hits) - hits
        groups = [
            _Group(int(place), int(earlier), int(size), int(count))
            for place, earlier, size, count in zip(before, hits_before, sizes[own], hits, strict=True)
            if count
        ]
        result[label] = _integral(groups) / positives[label]
    return result


def _integral(groups: list[_Group]) -> float:
    random = [group for group in groups if group.hits < group.size]
    points = sum(group.size * group.hits for group in random)
    if points * max(group.hits for group in random) ** 2 > EXACT:
        return _bracketed(groups)
    levels = [np.array([group.last_precision for group in groups])]
    for group in random:
        hits = np.arange(1, group.hits + 1)
        places = np.arange(1, group.size + 1)
        grid = (group.hits_before + hits)[:, None] / (group.before + places)[None, :]
        levels.append(grid[(places >= hits[:, None]) & (places <= group.size - group.hits + hits[:, None])])
    level = np.unique(np.concatenate(levels))
    return float(np.diff(level, prepend=0.0) @ _expected_hits(level, groups))


def _bracketed(groups: list[_Group]) -> float:
    """Return the integral between two sums over a grid that is refined where they differ most."""
    level = np.linspace(0, 1, 65)
    value = _expected_hits(level, groups)
    left = BRACKET // max(group.hits**2 for group in groups if group.hits < group.size)
    while left > 0:
        gap = np.diff(level) * -np.diff(value)
        if gap.sum() < 1e-10 * value[0]:
            break
        widest = np.sort(np.argsort(gap)[-64:])
        middle = (level[widest] + level[widest + 1]) / 2
        value = np.insert(value, widest + 1, _expected_hits(middle, groups))
        level = np.insert(level, widest + 1, middle)
        left -= 64
    return float(np.diff(level) @ (value[1:] + value[:-1]) / 2)


def _expected_hits(level: np.ndarray, groups: list[_Group]) -> np.ndarray:
    """Return E[K] at each level: hits up to the last place whose precision is at least the level."""
    expected = np.zeros(level.size)
    open_chance = np.ones(level.size)  # that no later group reaches the level
    for group in reversed(groups):
        reached = (level <= group.last_precision) & (open_chance > 0)
        expected[reached] += open_chance[reached] * (group.hits_before + group.hits)
        open_chance[reached] = 0
        if group.hits < group.size:
            highest = (group.hits_before + group.hits) / (group.before + group.hits)
            unsure = np.flatnonzero((level <= highest) & (open_chance > 0))
            if not unsure.size:
                continue
            binomial = _binomial_table(group)
            for part in np.array_split(unsure, 1 + unsure.size * group.hits // 200_000):
                chance = _last_reaching(level[part], group, binomial)
                counts = group.hits_before + np.arange(1, group.hits + 1)
                expected[part] += open_chance[part] * (chance @ counts)
                open_chance[part] *= np.maximum(0.0, 1 - chance.sum(axis=1))
    return expected


def _last_reaching(level: np.ndarray, group: _Group, binomial: np.ndarray) -> np.ndarray:
    """Return P(the k-th hit of the group is the last to reach the level) for k = 1..hits in columns."""
    size, hits = group.size, group.hits
    count = np.arange(1, hits + 1)
    wanted = group.hits_before + count
    place = np.floor(wanted / level[:, None]).astype(np.int64)  # over all places, then within the group
    place += wanted / (place + 1) >= level[:, None]  # undo rounding at the border
    place -= wanted / np.maximum(place, 1) < level[:, None]
    place = np.clip(place - group.before, 0, size)

    rest = binomial[size - place, hits - count]
    here = binomial[place, count] * rest / binomial[size, hits]
    possible = here > 0
    stays = np.zeros(place.shape)
    weight = np.zeros(place.shape)  # chance to stay below from there, times `rest`
    flat = binomial.ravel()
    start = place * binomial.shape[1]
    for k in range(hits - 1, -1, -1):
        later = slice(k + 1, hits)
        step = start[:, later] - start[:, k : k + 1] + (count[later] - count[k])
        moved = np.einsum("ij,ij->i", flat[step], weight[:, later])
        with np.errstate(divide="ignore", invalid="ignore"):
            stays[:, k] = np.where(possible[:, k], 1 - moved / rest[:, k], 0.0)
        np.clip(stays[:, k], 0.0, 1.0, out=stays[:, k])
        weight[:, k] = stays[:, k] * rest[:, k]
    return here * stays


def _binomial_table(group: _Group) -> np.ndarray:
    """Return P(r hits in n places), (size + 1, hits + 1); in the ratios above the rate of hits cancels."""
    places = np.arange(group.size + 1)[:, None]
    picked = np.arange(group.hits + 1)[None, :]
    log_factorial = np.concatenate([[0.0], np.cumsum(np.log(np.arange(1, group.size + 1)))])
    rate = group.hits / group.size
    missed = np.maximum(places - picked, 0)
    log_choose = log_factorial[places] - log_factorial[picked] - log_factorial[missed]
    chance = np.exp(log_choose + picked * np.log(rate) + missed * np.log1p(-rate))
    return np.where(picked <= places, chance, 0.0)
