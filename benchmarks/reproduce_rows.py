"""Time `microg4m reproduce har` for all fourteen networks at full size, in reduced resolution, on the built-in sample.

    python benchmarks/reproduce_rows.py                       # about ten minutes, writes results/reproduce_rows.json
    python benchmarks/reproduce_rows.py --only x3d_s --side 96

Every row runs as a user runs it: a process of its own, a checkpoint of random weights in the layout of the authors'
repository, the test split of the sample, both kinds of pixels. One row is also run by two processes of torchrun, and
another one is killed with SIGKILL and resumed. Seconds are those of one CPU core for the whole command, including about
twelve for imports.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from importlib import metadata
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).resolve().parent / "results" / "reproduce_rows.json"
LAUNCH = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]


def write_weights(name: str, folder: Path) -> float:
    """Write a checkpoint of random weights where the released one would lie, and return its size in MB."""
    import torch

    from microg4m_hf import models
    from microg4m_hf.models.weights import WEIGHTS

    weights = WEIGHTS[name]
    place = f"{weights.released[0]}/epoch_{weights.epochs[0]}.pyth" if weights.released else str(weights.pretrained)
    path = folder / place
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(0)
    torch.save({"epoch": 0, "model_state": models.export_pyslowfast(models.create(name))}, path)
    return path.stat().st_size / 1e6


def command(name: str, out: Path, side: int, launch: list[str] | None = None) -> list[str]:
    """Return the command that reproduces a row."""
    start = launch or [sys.executable]
    options = ["--source", "sample", "--out", str(out), "--workers", "0"]
    return [*start, "-m", "microg4m_hf", "reproduce", "har", name, f"data.eval_short_side={side}", *options]


def run(words: list[str], environment: dict[str, str], kill_when: Path | None = None) -> tuple[int, float, str]:
    """Run a command, or kill it as soon as a file has content; return exit code, CPU seconds and output."""
    began = cpu_seconds()
    process = subprocess.Popen(words, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    while kill_when is not None and process.poll() is None:
        if kill_when.is_file() and kill_when.stat().st_size:
            process.send_signal(signal.SIGKILL)
            break
        time.sleep(0.02)
    output = process.communicate()[0]
    return process.returncode, cpu_seconds() - began, output


def cpu_seconds() -> float:
    """Return the CPU seconds of all commands that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def measure(name: str, side: int, work: Path) -> dict[str, Any]:
    """Reproduce a row, and return its figures."""
    weights, out = work / "weights" / name, work / "out" / name
    size = write_weights(name, weights)
    environment = os.environ | {"MICROG4M_WEIGHTS": str(weights), "OMP_NUM_THREADS": "1"}
    code, seconds, output = run(command(name, out, side), environment)
    assert code == 1, output  # random weights on the sample are not the published row
    (row,) = json.loads((out / "reproduce.json").read_text())["kinds"]["har"]["rows"]
    found = {"cpu_seconds": round(seconds, 1), "checkpoint_mb": round(size), "judged": row["outcome"]}
    found["logits_moved_by_released_pixels"] = row["pixels"].get("rms")
    if name == "x3d_s":
        code, seconds, output = run(command(name, work / "two", side, LAUNCH), environment)
        assert code == 1 and "differs" in output, output
        found["cpu_seconds_of_two_processes"] = round(seconds, 1)
    if name == "slow_8x8_r50":
        again, journal = work / "killed", work / "killed" / name / "journal" / "test" / "items.rank0.jsonl"
        code, _, output = run(command(name, again, side), environment, kill_when=journal)
        assert code == -signal.SIGKILL, output
        code, seconds, output = run(command(name, again, side), environment)
        tables = [folder / name / "predictions" / "test.parquet" for folder in (out, again)]
        assert code == 1 and "key frames of test are in" in output, output
        found["killed_and_resumed"] = "same bytes" if tables[0].read_bytes() == tables[1].read_bytes() else "differs"
    shutil.rmtree(weights)
    return found


def main() -> None:
    from microg4m_hf.data import ensure_sample
    from microg4m_hf.models import PUBLISHED

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="+", help="some of the rows")
    parser.add_argument("--side", type=int, default=64, help="short side of the frames (64)")
    args = parser.parse_args()
    ensure_sample()
    rows = {}
    with tempfile.TemporaryDirectory() as folder:
        for name in args.only or PUBLISHED:
            rows[name] = measure(name, args.side, Path(folder))
            print(name, rows[name], flush=True)
    found = {
        "date": datetime.date.today().isoformat(),
        "machine": f"{platform.system()} {platform.machine()}, one thread",
        "torch": metadata.version("torch"),
        "short_side": args.side,
        "key_frames": "15 of the sample's test split, and the same 15 from JPEG frames",
        "rows": rows,
    }
    RESULTS.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
