"""Train by paper and corrected recipes with two versions of the package, and compare losses and weights bit for bit.

    git worktree add ../before COMMIT
    python benchmarks/same_losses.py ../before       # writes benchmarks/results/same_losses.json

Each recipe keeps everything but the size of its network and of its frames: four steps on the sample, on one CPU thread,
in a process of its own. Losses are compared as they are logged, and weights by their hash.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

RESNET = "model.overrides={width: 8, stage_blocks: [1, 1, 1, 1]%s}"
NETWORKS = {
    "i3d_nln_8x8_r50": RESNET % ", nonlocal_after: [[], [0], [0], []]",
    "slowfast_8x8_r50": RESNET % ", beta_inv: 4",
    "mvitv1_b_16x4": "model.overrides={depth: 3, embed_dim: 16, double_at: [1, 2]}",
    "slowfast_4x16_r50_corrected": RESNET % ", beta_inv: 4",
    "mvitv2_s_16x4_corrected": "model.overrides={depth: 3, embed_dim: 16, double_at: [1, 2]}",
    "x3d_s_corrected": "model.overrides={width_factor: 1.0, depth_factor: 1.0}",
}
SMALL = [
    *("data.source=sample", "data.crop=64", "data.short_side=[64,80]", "data.eval_short_side=64", "data.workers=1"),
    *(
        "model.init=null",
        "model.init_partial=false",
        "loop.mixed_precision=no",
        "loop.max_steps=4",
        "loop.batch=4",
        "loop.channels_last=false",
    ),
]


def train(source: Path, recipe: str, folder: Path) -> dict[str, object]:
    """Train with the package in ``source``, and return the losses and a hash of the weights."""
    words = ["train", "har", "--config", recipe, "--out", str(folder), *SMALL, NETWORKS[recipe]]
    environment = os.environ | {"PYTHONPATH": str(source / "src"), "OMP_NUM_THREADS": "1"}
    subprocess.run([sys.executable, "-m", "microg4m_hf", *words], env=environment, check=True, capture_output=True)
    records = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    weights = hashlib.sha256((folder / "model" / "model.safetensors").read_bytes()).hexdigest()
    return {"losses": [record["loss"] for record in records if "loss" in record], "weights": weights}


def main() -> int:
    from effort import describe_machine

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("before", type=Path, help="a checkout of the version to compare with")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "same_losses.json")
    args = parser.parse_args()
    here = Path(__file__).resolve().parents[1]
    versions = {"before": args.before, "now": here}
    result: dict[str, object] = describe_machine("torch", "numpy") | {
        name: subprocess.check_output(["git", "-C", str(place), "rev-parse", "--short", "HEAD"], text=True).strip()
        for name, place in versions.items()
    }
    same = True
    with tempfile.TemporaryDirectory() as scratch:
        for recipe in NETWORKS:
            runs = {name: train(place, recipe, Path(scratch) / name / recipe) for name, place in versions.items()}
            equal = runs["before"] == runs["now"]
            same = same and equal
            result[recipe] = {"equal": equal} | runs
            print(f"{recipe:32}{'equal' if equal else 'DIFFERENT'}  {runs['now']['losses']}")
    args.out.write_text(json.dumps(result, indent=1) + "\n")
    return 0 if same else 1


if __name__ == "__main__":
    sys.exit(main())
