"""Starts real training processes on the sample, watches them, kills them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

RECIPE = """
name: probe
variant: own
model: {name: tiny_slow}
data:
  num_frames: 4
  stride: 8
  source: sample
  key_frame: exact
  short_side: [72, 96]
  crop: 64
  eval_short_side: 64
  workers: 1
optim: {name: sgd, lr: 0.05}
schedule: {epochs: 100, warmup_epochs: 1.0}
loop: {batch: 8, mixed_precision: "no", eval_every: 1000, checkpoint_every: 3, max_steps: 20}
"""


def write_recipe(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "probe.yaml"
    path.write_text(RECIPE)
    return path


def command(recipe: Path, out: Path, *words: str, processes: int = 1) -> list[str]:
    """The command a user types: plain Python for one process, torchrun for several on a CPU."""
    tail = ["-m", "microg4m_hf.training.har", "--config", str(recipe), "--out", str(out), *words]
    if processes == 1:
        return [sys.executable, *tail]
    return [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={processes}", *tail]


def start(words: list[str], log: Path) -> subprocess.Popen[bytes]:
    """Start in a process group of its own, one thread per process so that sums have one order."""
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"}
    return subprocess.Popen(
        words, stdout=log.open("ab"), stderr=subprocess.STDOUT, env=environment, start_new_session=True
    )


def finish(process: subprocess.Popen[bytes], log: Path, seconds: float = 300) -> None:
    code = process.wait(seconds)
    assert code == 0, log.read_text()[-3000:]


def steps_logged(out: Path) -> int:
    """The last step that the run has written down."""
    try:
        lines = (out / "metrics.jsonl").read_text().splitlines()
    except FileNotFoundError:
        return 0
    last = 0
    for line in lines:
        try:
            last = max(last, json.loads(line)["step"])
        except (ValueError, KeyError):
            continue
    return last


def kill_at(process: subprocess.Popen[bytes], out: Path, step: int, log: Path, seconds: float = 300) -> None:
    """Kill -9 every process of the run as soon as it has logged ``step``."""
    deadline = time.monotonic() + seconds
    while steps_logged(out) < step:
        assert process.poll() is None, log.read_text()[-3000:]
        assert time.monotonic() < deadline, log.read_text()[-3000:]
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait(30)


def losses(out: Path) -> dict[int, float]:
    """Loss by step."""
    records = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    return {record["step"]: record["loss"] for record in records if "loss" in record}
