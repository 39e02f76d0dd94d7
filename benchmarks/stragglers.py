"""Simulate slow and pre-empted machines for the runners of captions and answers, with real processes.

    python benchmarks/stragglers.py [--processes 4] [--clips 120] [--seconds 0.25] [--output FILE]

Each process runs `microg4m_hf.inference.run.run`, as `microg4m predict` does, on its share of the clips of one run
folder. In place of a model there is a delay per clip, so the script needs no GPU and few cores. Scenarios:

- even: all processes take the same time per clip;
- straggler: one process takes four times as long;
- straggler, restarted: as above, but when the others are finished the slow one is killed, and the same command starts
  with one process less, so that the clips that are left are divided anew;
- pre-empted: each process is killed with SIGKILL at random moments, and starts again with the same command;
- shrunk: after a third of the time all are killed, and half as many processes go on.

The script checks that the predictions of every scenario have the bytes of the first, and measures the time, the clips
that were begun again, and the time against the best possible: all work divided by the speed of the processes that run.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
SLOW = 4


def work(folder: Path, clips: int, seconds: float, rank: int, world_size: int) -> None:
    """Answer the share of one process, one delay per clip, and note in a file of its own every clip that it begins."""
    from microg4m_hf.inference.items import ClipQueries, Query, TextSettings
    from microg4m_hf.inference.run import run

    def answer(pending: Sequence[ClipQueries]) -> Iterator[tuple[Query, dict[str, Any]]]:
        with (folder / f"begun.{rank}.{os.getpid()}").open("a") as begun:
            for clip in pending:
                begun.write(f"{clip.video_id}\n")
                begun.flush()
                time.sleep(seconds)
                for query in clip.queries:
                    yield query, {"status": "ok", "text": f"an answer to {query.id}"}

    names = [f"film{number % 18}_{number:04d}" for number in range(clips)]
    items = [ClipQueries(None, name, tuple(Query(f"{name}_q{n}", "?") for n in range(6))) for name in names]
    settings = TextSettings("vqa", model="delays")
    run(settings, items, folder, lambda: answer, rank=rank, world_size=world_size)


@dataclass
class Cluster:
    """Start and kill processes, and know when they are finished."""

    folder: Path
    clips: int
    seconds: float

    def start(self, rank: int, world_size: int, slower: int = 1) -> subprocess.Popen[bytes]:
        words = [str(self.folder), str(self.clips), str(self.seconds * slower), str(rank), str(world_size)]
        environment = os.environ | {"PYTHONPATH": f"{ROOT / 'src'}", "TQDM_DISABLE": "1"}
        command = [sys.executable, "-W", "ignore", str(Path(__file__).resolve()), "--work", *words]
        return subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def even(self, n: int, _: random.Random) -> None:
        wait([self.start(rank, n) for rank in range(n)])

    def straggler(self, n: int, _: random.Random) -> None:
        wait([self.start(rank, n, SLOW if rank == 0 else 1) for rank in range(n)])

    def restarted(self, n: int, _: random.Random) -> None:
        slow, *others = [self.start(rank, n, SLOW if rank == 0 else 1) for rank in range(n)]
        wait(others)
        kill(slow)
        wait([self.start(rank, n - 1) for rank in range(n - 1)])

    def preempted(self, n: int, dice: random.Random) -> None:
        share = self.clips / n * self.seconds
        running = {rank: self.start(rank, n) for rank in range(n)}
        kills = sorted((dice.uniform(0.2, 0.9) * share, rank) for rank in range(n) for _ in range(2))
        begin = time.monotonic()
        for moment, rank in kills:
            time.sleep(max(0.0, begin + moment - time.monotonic()))
            kill(running[rank])
            running[rank] = self.start(rank, n)
        wait(list(running.values()))

    def shrunk(self, n: int, _: random.Random) -> None:
        first = [self.start(rank, n) for rank in range(n)]
        time.sleep(self.clips / n * self.seconds / 3)
        for process in first:
            kill(process)
        wait([self.start(rank, n // 2) for rank in range(n // 2)])


def wait(processes: Sequence[subprocess.Popen[bytes]]) -> None:
    codes = [process.wait(timeout=600) for process in processes]
    if any(codes):
        raise SystemExit(f"processes ended with {codes}")


def kill(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait()


def run_scenario(name: str, folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    folder.mkdir()
    cluster = Cluster(folder, options.clips, options.seconds)
    begin = time.monotonic()
    getattr(cluster, name)(options.processes, random.Random(options.seed))
    passed = time.monotonic() - begin
    begun = [line for path in folder.glob("begun.*") for line in path.read_text().splitlines()]
    is_slow = name in ("straggler", "restarted")
    speed = options.processes - 1 + 1 / SLOW if is_slow else options.processes
    work_seconds = options.clips * options.seconds
    best = work_seconds / speed
    if name == "shrunk":  # a third of the work by all processes, the rest by half of them
        best = best / 3 + work_seconds * 2 / 3 / (options.processes // 2)
    results = json.loads((folder / "results.json").read_text())
    return {
        "seconds": round(passed, 1),
        "best possible": round(best, 1),
        "clips begun again": len(begun) - len(set(begun)),
        "finished, failed, missing": [results[key] for key in ("finished", "failed", "missing")],
        "predictions": hashlib.sha256((folder / "predictions.jsonl").read_bytes()).hexdigest()[:16],
    }


def main() -> None:
    if sys.argv[1:2] == ["--work"]:
        folder, clips, seconds, rank, world_size = sys.argv[2:]
        work(Path(folder), int(clips), float(seconds), int(rank), int(world_size))
        return
    from effort import describe_machine

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--processes", type=int, default=4)
    parser.add_argument("--clips", type=int, default=120)
    parser.add_argument("--seconds", type=float, default=0.25, help="per clip")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "results" / "stragglers.json")
    options = parser.parse_args()
    found = describe_machine() | {
        "command": f"python benchmarks/stragglers.py --processes {options.processes} --clips {options.clips} "
        f"--seconds {options.seconds} --seed {options.seed}",
        "cores": os.cpu_count(),
        "load before": round(os.getloadavg()[0], 1),
        "scenarios": {},
    }
    with tempfile.TemporaryDirectory() as scratch:
        for name in ("even", "straggler", "restarted", "preempted", "shrunk"):
            found["scenarios"][name] = run_scenario(name, Path(scratch) / name, options)
            print(f"{name:10}", json.dumps(found["scenarios"][name]), flush=True)
    digests = {row["predictions"] for row in found["scenarios"].values()}
    assert len(digests) == 1, f"the predictions differ: {digests}"
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
