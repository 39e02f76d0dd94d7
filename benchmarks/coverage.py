"""Simulate how often intervals hold the value that they promise to hold, with clips clustered in films.

    python benchmarks/coverage.py                                # 5, 15 and 47 films; about ten minutes
    python benchmarks/coverage.py --films 15 --datasets 100 --output /tmp/coverage.json

Films are drawn from a population: few have many clips and many have few, and every film has its own actions, its own
difficulty and its own effect on each system. Each drawn dataset is scored with the code of the library for three
systems: A, B (as good as A, so the true difference is 0) and C (worse). The true value of a score is its mean over all
datasets of a size: what a test set with this number of films has on average.

Prints tables and writes ``benchmarks/results/coverage.json``. Finished pieces of ten datasets are kept in
``benchmarks/.coverage``, so that the same command continues an interrupted simulation.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from scipy.special import ndtr, ndtri

from microg4m_hf.metrics.har.result import HarSettings, score_har
from microg4m_hf.metrics.har.rows import ActionRows, Origin
from microg4m_hf.metrics.jackknife import Spread, interval, leave_one_out, spread_of, weighted_means
from microg4m_hf.metrics.significance import paired_test
from microg4m_hf.metrics.text.ngrams import pair_texts
from microg4m_hf.metrics.text.rouge_l import rouge_l_items
from microg4m_hf.taxonomy import ACTION_IDS

SYSTEMS = {"A": 0.0, "B": 0.0, "C": -0.4}  # how much better than A, in units of the noise
CLASSES = np.array(ACTION_IDS[:40])
SCORES = ("map", "f1", "auroc", "rouge_l")
VALUES = ("A", "A - B", "A - C")
PIECE = 10  # datasets


class Replicates(NamedTuple):
    """One score, or one difference, with everything that the methods need."""

    value: float
    drawn: np.ndarray  # in resamples that draw whole films with replacement
    smooth: np.ndarray  # in resamples with a random positive weight for every film
    left_out: np.ndarray  # without one film each
    weights: np.ndarray  # of `drawn`, (resamples, films)
    effective: float  # number of equally large films that carry as much as these


Edges = tuple[float, float]


def film_sizes(random: np.random.RandomState, films: int, middle: float) -> np.ndarray:
    """Draw sizes as uneven as those of the test split, where 47 films count as much as 11 equal ones."""
    return np.clip(np.rint(middle * np.exp(1.3 * random.randn(films))), 1, 20 * middle).astype(int)


def draw_actions(random: np.random.RandomState, films: int) -> tuple[ActionRows, dict[str, ActionRows]]:
    """Draw labeled boxes, one per clip, and the scores of the systems."""
    size = film_sizes(random, films, 5)
    film = np.repeat(np.arange(films), size)
    names = [f"film{number}_{clip:03d}" for number, count in enumerate(size) for clip in range(count)]
    common = np.linspace(0.5, -6.5, len(CLASSES)) - 1  # three frequent actions and a long tail
    common[:3] = 0.4
    own = 1.8 * random.randn(films, len(CLASSES))  # a film shows its own actions
    chance = 1 / (1 + np.exp(-(common + own)[film]))
    labeled = random.rand(*chance.shape) < chance
    labeled[~labeled.any(axis=1), 0] = True
    box_of, label = np.nonzero(labeled)
    count = len(names)
    boxes = np.tile([0.1, 0.1, 0.9, 0.9], (count, 1))
    videos = tuple(names)
    frames = np.ones(count, dtype=np.int64)
    truth = ActionRows(
        box_of, videos, frames[box_of], boxes[box_of], CLASSES[label], origin=Origin("references", references=True)
    )
    hard = 0.6 * random.randn(films)[film]
    looks = random.randn(films, len(CLASSES))[film]  # a film looks like some actions to every system
    systems = {}
    rows = np.repeat(np.arange(count), len(CLASSES))
    for name, better in SYSTEMS.items():
        skill = 2.6 + better + hard + 0.6 * random.randn(films)[film]
        noise = 0.7 * random.randn(films, len(CLASSES))[film] + 1.2 * random.randn(*chance.shape)
        score = 0.4 * common - 1.6 + skill[:, None] * labeled + looks + noise
        systems[name] = ActionRows(
            rows, videos, frames[rows], boxes[rows], np.tile(CLASSES, count), np.round(score, 3).ravel()
        )
    return truth, systems


def draw_texts(random: np.random.RandomState, films: int) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Draw the film of every question, and the ROUGE-L of every answer."""
    size = film_sizes(random, films, 12)
    film = np.repeat(np.arange(films), size)
    words = np.array([f"w{number}" for number in range(400)])
    references = words[random.randint(0, len(words), (len(film), 8))]
    hard = 0.8 * random.randn(films)[film] + 0.6 * random.randn(len(film))
    items = {}
    for name, better in SYSTEMS.items():
        skill = hard + better + 0.5 * random.randn(films)[film] + 0.5 * random.randn(len(film))
        kept = random.rand(*references.shape) < 1 / (1 + np.exp(0.5 - skill[:, None]))
        said = np.where(kept, references, "x")
        items[name] = rouge_l_items(
            pair_texts([" ".join(one) for one in said], [[" ".join(one)] for one in references])
        )
    return film, items


def draw_dataset(films: int, resamples: int, seed: int) -> dict[tuple[str, str], Replicates]:
    """Draw a dataset, score all systems, and return the replicates of every score and difference."""
    random = np.random.RandomState(seed)
    picks = np.random.RandomState(seed).randint(0, films, (resamples, films))
    drawn = (picks[:, :, None] == np.arange(films)).sum(axis=1)
    smooth = films * np.random.RandomState(seed).dirichlet(np.full(films, (films - 2) / films), resamples)
    kinds = (drawn, smooth, leave_one_out(films))
    found: dict[tuple[str, str], list[Any]] = {}
    effective = {}

    truth, systems = draw_actions(random, films)
    settings = HarSettings(classes=CLASSES.tolist(), missing="zero")
    for name, rows in systems.items():
        result = score_har(rows, truth, settings)
        own = [int(source[4:]) for source in result.statistics.sources]
        tables = [result.statistics.resample(weights[:, own]).macro() for weights in kinds]
        for score in ("map", "f1", "auroc"):
            found[name, score] = [result.scores[score], *(table[score] for table in tables)]
            effective[score] = _effective(np.array([int(video.split("_")[0][4:]) for video in truth.videos]))
    film, items = draw_texts(random, films)
    effective["rouge_l"] = _effective(film)
    for name, values in items.items():
        found[name, "rouge_l"] = [float(values.mean()), *(weighted_means(values, film, weights) for weights in kinds)]

    result_of = {}
    for score in SCORES:
        one, other, worse = (found[name, score] for name in SYSTEMS)
        differences = [[a - b for a, b in zip(one, two, strict=True)] for two in (other, worse)]
        for what, parts in zip(VALUES, (one, *differences), strict=True):
            result_of[score, what] = Replicates(*parts, drawn, effective[score])
    return result_of


def _effective(film: np.ndarray) -> float:
    size = np.bincount(film)
    return float(size.sum() ** 2 / np.square(size).sum())


def quantiles(samples: np.ndarray, tails: Edges = (0.025, 0.975)) -> Edges:
    low, high = np.nanquantile(samples, tails)
    return float(low), float(high)


def percentile(one: Replicates) -> Edges:
    """What this library did before, with ``shifted_p_value``."""
    return quantiles(one.drawn)


def shifted_p_value(one: Replicates) -> float:
    """The p-value that this library gave before: resamples shifted to the null."""
    reached = np.count_nonzero(np.abs(one.drawn - one.value) >= abs(one.value) - 1e-12)
    return (1 + reached) / (1 + one.drawn.size)


def basic(one: Replicates) -> Edges:
    low, high = quantiles(one.drawn)
    return 2 * one.value - high, 2 * one.value - low


def centered(one: Replicates) -> Edges:
    shift = one.value - float(np.nanmean(one.drawn))
    low, high = quantiles(one.drawn)
    return low + shift, high + shift


def shifted(one: Replicates) -> Edges:
    """The interval that belongs to ``shifted_p_value``."""
    reach = float(np.nanquantile(np.abs(one.drawn - one.value), 0.95))
    return one.value - reach, one.value + reach


def positive_weights(one: Replicates) -> Edges:
    """A bootstrap in which no class can be missing: every film has a weight above 0."""
    return quantiles(one.smooth)


def bca(one: Replicates) -> Edges:
    drawn = one.drawn[~np.isnan(one.drawn)]
    below = (np.count_nonzero(drawn < one.value) + 0.5 * np.count_nonzero(drawn == one.value)) / drawn.size
    bias = ndtri(np.clip(below, 0.5 / drawn.size, 1 - 0.5 / drawn.size))
    gap = np.nanmean(one.left_out) - one.left_out
    spread = np.nansum(gap**2)
    acceleration = float(np.nansum(gap**3) / (6 * spread**1.5)) if spread > 0 else 0.0
    moved = [bias + ndtri(tail) for tail in (0.025, 0.975)]
    tails = sorted(float(ndtr(bias + one_tail / (1 - acceleration * one_tail))) for one_tail in moved)
    return quantiles(drawn, (tails[0], tails[1]))


def studentized(one: Replicates) -> Edges:
    """Bootstrap-t; the error of each resample comes from the influence of each film (its jackknife value)."""
    films = one.left_out.size
    influence = (films - 1) * (np.nanmean(one.left_out) - one.left_out)
    mean = one.weights @ influence / films
    variance = np.maximum(one.weights @ influence**2 / films - mean**2, 0) / (films - 1)
    with np.errstate(divide="ignore", invalid="ignore"):
        pivot = np.abs(one.drawn - np.nanmean(one.drawn)) / np.sqrt(variance)
    reach = float(np.quantile(pivot[np.isfinite(pivot)], 0.95)) * jackknife_error(one)
    return one.value - reach, one.value + reach


def jackknife_error(one: Replicates) -> float:
    spread = spread_of(one.left_out)
    assert spread is not None
    return spread.error


def with_t(one: Replicates, error: float, freedom: float) -> Edges:
    edges = interval(one.value, Spread(error, freedom))
    assert edges is not None
    return edges[0], edges[1]


def resampled_t(one: Replicates) -> Edges:
    films = one.left_out.size
    return with_t(one, float(np.nanstd(one.drawn)) * np.sqrt(films / (films - 1)), films - 1)


def jackknife_normal(one: Replicates) -> Edges:
    return with_t(one, jackknife_error(one), 1e6)


def jackknife_t(one: Replicates) -> Edges:
    """What this library does."""
    return with_t(one, jackknife_error(one), one.left_out.size - 1)


def jackknife_effective(one: Replicates) -> Edges:
    return with_t(one, jackknife_error(one), max(1.0, one.effective - 1))


METHODS: dict[str, Callable[[Replicates], Edges]] = {
    "percentile": percentile,
    "basic (reflected percentile)": basic,
    "percentile, centered on the score": centered,
    "shifted to the null, symmetric": shifted,
    "positive weights, percentile": positive_weights,
    "BCa": bca,
    "studentized bootstrap": studentized,
    "bootstrap error, t": resampled_t,
    "jackknife error, normal": jackknife_normal,
    "jackknife error, t (films - 1)": jackknife_t,
    "jackknife error, t (effective films - 1)": jackknife_effective,
}
CHOSEN = "jackknife error, t (films - 1)"


def simulate_piece(films: int, resamples: int, first: int) -> dict[str, np.ndarray]:
    """Return values, interval edges and p-values (this library's and the former) of the datasets of one piece."""
    values, edges, p_values = [], [], []
    for number in range(first, first + PIECE):
        replicates = draw_dataset(films, resamples, 1_000_003 * films + number).values()
        values.append([one.value for one in replicates])
        edges.append([[method(one) for method in METHODS.values()] for one in replicates])
        p_values.append([(paired_test(one.value, one.left_out)["p"], shifted_p_value(one)) for one in replicates])
    return {"values": np.array(values), "edges": np.array(edges), "p": np.array(p_values, dtype=float)}


def summarize(values: np.ndarray, edges: np.ndarray, p: np.ndarray) -> dict[str, Any]:
    """Return coverage, misses, width and contradictions by score, value and method."""
    table: dict[str, Any] = {}
    chosen = list(METHODS).index(CHOSEN)
    for place, (score, what) in enumerate((score, what) for score in SCORES for what in VALUES):
        true = 0.0 if what == "A - B" else float(values[:, place].mean())
        entry: dict[str, Any] = {"true value": true, "methods": {}}
        for method, (low, high) in zip(METHODS, edges[:, place].transpose(1, 2, 0), strict=True):
            entry["methods"][method] = {
                "covered": float(np.mean((low <= true) & (true <= high))),
                "too high": float(np.mean(true < low)),
                "too low": float(np.mean(high < true)),
                "width": float(np.mean(high - low)),
                "without its own score": float(np.mean((values[:, place] < low) | (values[:, place] > high))),
            }
        if what != "A":
            excludes = (edges[:, place, :, 0] > 0) | (edges[:, place, :, 1] < 0)
            entry["interval and p disagree"] = {
                "before": float(np.mean(excludes[:, 0] != (p[:, place, 1] < 0.05))),
                "now": float(np.mean(excludes[:, chosen] != (p[:, place, 0] < 0.05))),
            }
        table.setdefault(score, {})[what] = entry
    return table


def main() -> None:
    from effort import describe_machine

    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--films", type=int, nargs="+", default=[5, 15, 47])
    parser.add_argument("--datasets", type=int, nargs="+", default=[1000, 700, 300], help="for each number of films")
    parser.add_argument("--resamples", type=int, default=300, help="of the bootstraps")
    folder = Path(__file__).parent
    parser.add_argument("--pieces", type=Path, default=folder / ".coverage")
    parser.add_argument("--output", type=Path, default=folder / "results" / "coverage.json")
    args = parser.parse_args()
    args.pieces.mkdir(parents=True, exist_ok=True)
    sizes = dict(zip(args.films, args.datasets * len(args.films), strict=False))
    found = describe_machine("numpy", "scipy")
    found |= {"nominal": 0.95, "datasets": sizes, "bootstrap resamples": args.resamples}
    for films, datasets in sizes.items():
        pieces = []
        for first in range(0, datasets, PIECE):
            path = args.pieces / f"{films}-films-{args.resamples}-{first}.npz"
            if not path.exists():
                unfinished = args.pieces / "unfinished.npz"
                np.savez(unfinished, **simulate_piece(films, args.resamples, first))
                unfinished.replace(path)
            pieces.append(np.load(path))
        found[f"{films} films"] = summarize(
            *(np.concatenate([piece[name] for piece in pieces]) for name in ("values", "edges", "p"))
        )
        for score, parts in found[f"{films} films"].items():
            print(f"\n{films} films, {score}: covered % (mean width) of {', '.join(VALUES)}")
            for method in METHODS:
                cells = [parts[what]["methods"][method] for what in VALUES]
                text = "  ".join(f"{100 * cell['covered']:5.1f} ({100 * cell['width']:6.2f})" for cell in cells)
                print(f"  {method:42s} {text}", flush=True)
    args.output.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
