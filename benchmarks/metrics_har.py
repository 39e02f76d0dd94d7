"""Compare the speed of HAR scoring with a slow evaluator like the released one, on the same files.

    python benchmarks/metrics_har.py                    # a random split of the size of the test split
    python benchmarks/metrics_har.py --shared ../shared # the released files

Prints a table and writes ``benchmarks/results/metrics_har.json``.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import sys
import tempfile
import warnings
from pathlib import Path

import numpy as np
from effort import best_time, describe_machine, peak_memory

SCALAR = {
    "NPY_DISABLE_CPU_FEATURES": "X86_V3 X86_V4 AVX512_ICL AVX512_SPR AVX2 AVX512F AVX512_SKX AVX512_CLX AVX512_CNL"
}


def draw_split(folder: Path, times: int = 1, seed: int = 0) -> tuple[Path, Path]:
    """Return a split of ``times`` the size of the test split: 1,090 frames, 1,136 boxes, 2,656 labels, 47 sources."""
    from microg4m_hf.taxonomy import ACTION_IDS

    random = np.random.RandomState(seed)
    rate = 2.3 * 0.72 ** np.arange(50) / (0.72 ** np.arange(50)).sum()
    truth, scores = [], []
    for number in range(1090 * times):
        video = f"source{number % (47 * times):03d}_{number // (47 * times):03d}"
        for person in range(2 if number % 24 == 0 else 1):
            x1, y1 = random.rand(2) * 0.5
            box = ",".join(f"{value:.3f}" for value in (x1, y1, x1 + 0.3, y1 + 0.4))
            labels = np.flatnonzero(random.rand(50) < rate)
            labels = labels if labels.size else np.array([0])
            truth += [f"{video},52,{box},{ACTION_IDS[label]},{person}" for label in labels]
            logits = random.randn(50) - 3
            logits[labels] += 2
            scores += [
                f"{video},0052,{box},{action},{logit:.4f}" for action, logit in zip(ACTION_IDS, logits, strict=True)
            ]
    references, predictions = folder / f"truth_{times}.csv", folder / f"detections_{times}.csv"
    references.write_text("\n".join(truth) + "\n")
    predictions.write_text("\n".join(scores) + "\n")
    return references, predictions


def measure(shared: Path | None, repeats: int) -> dict[str, object]:
    from slow_ava_evaluator import slow_frame_ap

    from microg4m_hf.metrics import frame_ap, har_scores
    from microg4m_hf.taxonomy import ACTION_IDS

    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as scratch:
        references, predictions = draw_split(Path(scratch))
        sets = {"drawn": (references, predictions)}
        if shared is not None:
            truth = shared / "data/microg4m/train_ready/ava_test_gt.csv"
            sets = {
                path.name: (truth, path / "detections_test.csv")
                for path in sorted((shared / "data/har_predictions").iterdir())
            }
        rows = {}
        for name, (truth, scores) in sets.items():
            fast, slow = frame_ap(truth, scores, ACTION_IDS), slow_frame_ap(truth, scores, ACTION_IDS)
            worst = max(
                abs(fast[a] - slow[a]) if not math.isnan(slow[a]) else float(not math.isnan(fast[a])) for a in fast
            )
            assert worst < 1e-12, f"{name}: values differ by {worst}"
            slow_time = best_time(lambda t=truth, s=scores: slow_frame_ap(t, s, ACTION_IDS), 2)
            map_time = best_time(lambda t=truth, s=scores: frame_ap(t, s, ACTION_IDS), repeats)
            all_time = best_time(lambda t=truth, s=scores: har_scores(s, t), repeats)
            rows[name] = {
                "slow evaluator, mAP [s]": slow_time,
                "frame_ap, mAP [s]": map_time,
                "har_scores, all five scores and tie range [s]": all_time,
                "times faster, mAP (wall, cpu)": [slow_time[i] / map_time[i] for i in (0, 1)],
                "times faster, all scores (wall, cpu)": [slow_time[i] / all_time[i] for i in (0, 1)],
                "largest difference": worst,
            }
            print(name, json.dumps(rows[name]))
        growth = {}
        for times in (1, 4, 16):
            truth, scores = draw_split(Path(scratch), times)
            growth[times] = {
                "har_scores [s] (wall, cpu)": best_time(lambda t=truth, s=scores: har_scores(s, t), 3),
                "peak [MiB]": peak_memory(lambda t=truth, s=scores: har_scores(s, t)),
            }
            print(f"{times} times the data", json.dumps(growth[times]))
        truth, scores = next(iter(sets.values()))
        intervals = best_time(lambda: har_scores(scores, truth, resamples=1), 2)
        print("all five scores with intervals [s] (wall, cpu)", intervals)
    return {"compared": rows, "growth": growth, "with intervals [s]": intervals}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shared", type=Path, help="folder with data/har_predictions (default: a random split)")
    parser.add_argument("--repeats", type=int, default=10)
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "results" / "metrics_har.json")
    options = parser.parse_args()
    if "NPY_DISABLE_CPU_FEATURES" not in os.environ:  # the slow evaluator needs the scalar argsort
        os.execve(sys.executable, [sys.executable, *sys.argv], {**os.environ, **SCALAR, "PYTHONWARNINGS": "ignore"})
    result = describe_machine("numpy") | measure(options.shared, options.repeats)
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
