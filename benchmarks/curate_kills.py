"""Kill `microg4m curate run` with SIGKILL at random moments until it has finished, and compare the release.

    python -m benchmarks.curate_kills --work FOLDER [--kills 20] [--seed 0] [--only one two ray] [--out FILE]

Drawn films are curated once without a kill. Then the same films are curated in new folders by one process, by two
processes of a launch, and by two workers of Ray; every attempt is killed at a random moment, until there were that many
kills. An attempt that ends before its kill begins a new folder. The last attempt runs to the end: the release must have
the bytes of the first one, and no scratch may be left beside the results.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks.effort import describe_machine
from tests.support.drawn_films import DETECTOR, write_films

ROOT = Path(__file__).resolve().parent.parent
MODES = ("one", "two", "ray")


def command(*words: str) -> list[str]:
    return [sys.executable, "-W", "ignore", "-m", "microg4m_hf", "curate", *words]


def environment(rank: int = 0, size: int = 1) -> dict[str, str]:
    paths = os.pathsep.join([str(ROOT / "src"), str(ROOT), os.environ.get("PYTHONPATH", "")])
    return os.environ | {"PYTHONPATH": paths, "RANK": str(rank), "WORLD_SIZE": str(size), "TQDM_DISABLE": "1"}


def start(work: Path, mode: str) -> list[subprocess.Popen[bytes]]:
    more = ["--executor", "ray", "--workers", "2"] if mode == "ray" else []
    size = 2 if mode == "two" else 1
    return [
        subprocess.Popen(
            command("run", str(work), *more), env=environment(rank, size), start_new_session=True, cwd=ROOT,
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
        )
        for rank in range(size)
    ]  # fmt: skip


def stop(processes: list[subprocess.Popen[bytes]]) -> None:
    for process in processes:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def finish(work: Path, mode: str) -> None:
    for process in start(work, mode):
        _, errors = process.communicate(timeout=900)
        if process.returncode:
            raise SystemExit(f"{mode}: {errors.decode()[-2000:]}")


def new_work(films: Path, work: Path) -> None:
    shutil.rmtree(work, ignore_errors=True)
    words = ("init", str(films), "--out", str(work), "--domain", "real", "--sources", str(films / "sources.csv"))
    small = ("--detector", DETECTOR, "--set", "cut.height=120")
    subprocess.run(command(*words, *small), env=environment(), cwd=ROOT, check=True, capture_output=True)


def release(work: Path) -> dict[str, str]:
    out = work.with_name(f"{work.name}-out") / "release"
    words = command("release", str(work), "--out", str(out), "--unreviewed")
    subprocess.run(words, env=environment(), cwd=ROOT, check=True, capture_output=True)
    files = [path for path in sorted(out.rglob("*")) if path.is_file()]
    return {path.relative_to(out).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", nargs="+", default=MODES, choices=MODES)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "curate_kills.json")
    args = parser.parse_args()
    rng = random.Random(args.seed)
    films = write_films(args.work / "films", tuple(f"film {number}" for number in range(4)), count=190)
    new_work(films, args.work / "whole")
    began = time.monotonic()
    finish(args.work / "whole", "one")
    length = {"one": time.monotonic() - began}
    expected = release(args.work / "whole")
    results: dict[str, Any] = json.loads(args.out.read_text()) if args.out.is_file() else {}
    for mode in args.only:
        work = args.work / mode
        new_work(films, work)
        if mode not in length:
            began = time.monotonic()
            finish(work, mode)
            length[mode] = time.monotonic() - began
            new_work(films, work)
        kills = finished = 0
        while kills < args.kills:
            processes = start(work, mode)
            time.sleep(rng.uniform(0.3, 0.9) * length[mode])
            if all(process.poll() is not None for process in processes):
                if any(process.returncode for process in processes):
                    raise SystemExit(f"{mode}: {processes[0].communicate()[1].decode()[-2000:]}")
                finished += 1
                assert release(work) == expected, mode
                new_work(films, work)
                continue
            stop(processes)
            kills += 1
            print(f"{mode}: {kills} kills, {finished} runs that finished between", flush=True)
        finish(work, mode)
        same = release(work) == expected
        left = [str(path) for path in work.rglob("*.part")]
        found = {"kills": kills, "finished between": finished, "same release": same, "scratch left": len(left)}
        results[mode] = describe_machine("av", "ray") | found
        print(mode, results[mode], flush=True)
        args.out.write_text(json.dumps(results, indent=1) + "\n")
    if not all(one["same release"] for one in results.values()):
        sys.exit("a release differs")


if __name__ == "__main__":
    main()
