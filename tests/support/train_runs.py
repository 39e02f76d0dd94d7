"""Start real trainings on the sample, wait for a step, and kill them."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.ports import free_port

RECIPE = """
name: probe
variant: own
model: {name: tiny_slow}
data:
  num_frames: 4
  stride: 8
  source: sample
  key_frame: exact
  short_side: [40, 56]
  crop: 32
  eval_short_side: 32
  workers: 1
optim: {name: sgd, lr: 0.05}
schedule: {epochs: 100, warmup_epochs: 1.0}
loop: {batch: 8, mixed_precision: "no", eval_every: 1000, checkpoint_every: 2, max_steps: 10}
"""


def write_recipe(folder: Path, text: str = RECIPE) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "probe.yaml"
    path.write_text(text)
    return path


@dataclass
class Training:
    """A running training with one process per rank."""

    trainers: Trainers
    pids: list[int]
    out: Path
    log: Path

    def ended(self, seconds: float = 900) -> list[int]:
        """Return the exit status of every rank. A training that hangs is killed, which fails the test."""
        timer = threading.Timer(seconds, self._kill)
        timer.start()
        try:
            return [self.trainers.ask({"wait": pid})["status"] for pid in self.pids]
        finally:
            timer.cancel()

    def finish(self) -> None:
        assert self.ended() == [0] * len(self.pids), self.log.read_text()[-3000:]

    def kill_at(self, step: int, seconds: float = 900) -> None:
        """Kill -9 every process of the training as soon as it has logged ``step``."""
        self.reach(step, seconds)
        self._kill()
        self.ended()

    def reach(self, step: int, seconds: float = 900) -> None:
        deadline = time.monotonic() + seconds
        while steps_logged(self.out) < step:
            assert time.monotonic() < deadline, self.log.read_text()[-3000:]
            assert all(_runs(pid) for pid in self.pids), self.log.read_text()[-3000:]
            time.sleep(0.005)

    def _kill(self) -> None:
        for pid in self.pids:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(pid, signal.SIGKILL)


class Trainers:
    """Forks trainings from a process that has imported everything.

    It is a Python of its own: a process that was itself forked from `warm_python` has a pool of threads of torch that
    is not its own, with which compiled trainings now and then abort.
    """

    def __init__(self) -> None:
        script = Path(__file__).with_name("fork_server.py")
        environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"}
        self.server = subprocess.Popen(
            [sys.executable, str(script)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        )
        assert self.server.stdout
        assert json.loads(self.server.stdout.readline()) == {"ready": True}

    def ask(self, request: Mapping[str, object]) -> dict[str, int]:
        assert self.server.stdin
        assert self.server.stdout
        self.server.stdin.write(json.dumps(request) + "\n")
        self.server.stdin.flush()
        answer: dict[str, int] = json.loads(self.server.stdout.readline())
        return answer

    def start(
        self, recipe: Path, out: Path, *words: str, processes: int = 1, env: Mapping[str, str] | None = None
    ) -> Training:
        needs_gpus(processes)
        log = recipe.with_name("log.txt")
        port = str(free_port())
        pids = []
        for rank in range(processes):
            ranks = {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(processes)}
            ranks |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
            environment = (ranks if processes > 1 else {}) | dict(env or {})
            start = ["--config", str(recipe), "--out", str(out), *words]
            pids.append(self.ask({"start": start, "env": environment, "log": str(log)})["pid"])
        return Training(self, pids, out, log)

    def close(self) -> None:
        assert self.server.stdin
        self.server.stdin.close()
        self.server.wait(300)
        assert self.server.stdout
        self.server.stdout.close()


def needs_gpus(processes: int) -> None:
    """Skip a test of several processes on a machine with fewer GPUs: each process of a training has its own."""
    import torch

    if processes > 1 and 0 < torch.cuda.device_count() < processes:
        pytest.skip(f"{processes} processes need {processes} GPUs, or none")


def command(recipe: Path, out: Path, *words: str, processes: int = 1) -> list[str]:
    """Return the command that users type: Python for one process, torchrun for several on a CPU."""
    tail = ["-m", "microg4m_hf.training.har", "--config", str(recipe), "--out", str(out), *words]
    if processes == 1:
        return [sys.executable, *tail]
    needs_gpus(processes)
    return [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={processes}", *tail]


def run_command(
    words: Sequence[str], seconds: float = 1200, env: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"} | dict(env or {})
    return subprocess.run(words, env=environment, capture_output=True, text=True, timeout=seconds)


def records(out: Path) -> list[dict[str, float]]:
    """Return the records of ``metrics.jsonl``, without a line that is being written."""
    found = []
    with contextlib.suppress(FileNotFoundError):
        for line in (out / "metrics.jsonl").read_text().splitlines():
            with contextlib.suppress(ValueError):
                found.append(json.loads(line))
    return found


def steps_logged(out: Path) -> int:
    """Return the last step in the log."""
    return int(max((record["step"] for record in records(out)), default=0))


def losses(out: Path) -> dict[int, float]:
    """Return the loss of each step."""
    return {int(record["step"]): record["loss"] for record in records(out) if "loss" in record}


def _runs(pid: int) -> bool:
    """Whether a process is alive; a zombie is not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"
