"""Train in float32 and in bf16 from the same seeds on a CPU, and compare losses, scores and CPU seconds.

    python benchmarks/bf16_losses.py                 # about ten minutes, writes benchmarks/results/bf16_losses.json
    python benchmarks/bf16_losses.py --seeds 1 --out /tmp/losses.json loop.max_steps=20

The recipe is that of the demo, on the built-in sample; further ``key=value`` words change it. A curve has the mean loss
of each epoch, averaged over the seeds.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import mean, stdev
from typing import Any

PRECISIONS = ("no", "bf16")


def train(precision: str, seed: int, folder: Path, words: list[str]) -> dict[str, Any]:
    """Train once, and return the mean loss of each epoch, the test mAP and the CPU seconds."""
    command = [sys.executable, "-m", "microg4m_hf", "train", "har", "--config", "demo", "--out", str(folder)]
    command += [f"loop.mixed_precision={precision}", f"loop.seed={seed}", "loop.channels_last=true", *words]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, env=os.environ | {"OMP_NUM_THREADS": "1"}, check=True, stdout=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    epochs: dict[int, list[float]] = {}
    for line in (folder / "metrics.jsonl").read_text().splitlines():
        record = json.loads(line)
        if "loss" in record:
            epochs.setdefault(int(record["epoch"]), []).append(record["loss"])
    scores = json.loads((folder / "results.json").read_text())["test"]["scores"]
    seconds = sum(after[:2]) - sum(before[:2])
    return {"losses": [mean(losses) for losses in epochs.values()], "map": scores["map"], "cpu_seconds": seconds}


def main() -> None:
    from effort import describe_machine

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "bf16_losses.json")
    parser.add_argument("set", nargs="*", metavar="key=value")
    args = parser.parse_args()
    report = describe_machine("torch") | {"seeds": args.seeds, "set": args.set}
    with tempfile.TemporaryDirectory() as scratch:
        for precision in PRECISIONS:
            runs = [train(precision, n, Path(scratch) / f"{precision}{n}", args.set) for n in range(args.seeds)]
            maps = [100 * run["map"] for run in runs]
            report[precision] = {
                "losses": [round(mean(epoch), 4) for epoch in zip(*(run["losses"] for run in runs), strict=True)],
                "map": round(mean(maps), 2),
                "map_spread": round(stdev(maps), 2) if len(maps) > 1 else None,
                "cpu_seconds": round(mean(run["cpu_seconds"] for run in runs), 1),
            }
            print(precision, json.dumps(report[precision]), flush=True)
    args.out.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
