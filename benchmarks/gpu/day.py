"""Run every part on a GPU within its own time budget, and keep what finished: results.json, results.md, log.txt.

    benchmarks/gpu/run.sh OUT [--dry-run] [--only NAME,NAME] [--seconds N]

Each part is a process of its own that prints one JSON object per finding, so that a part which fails, hangs or exceeds
its budget loses neither its own findings nor those of the others. Checks come before figures.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import signal
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

# part -> seconds at most. Checks run side by side, as does what prepares figures. Figures follow one by one, with those
# last that take long and for which less than that may be left.
CHECKS = {"networks": 90, "precision": 130, "sharded": 90, "shared_prefix": 60, "tests": 150, "release": 60}
CHECKS |= {"compiling": 150}
FIGURES = {"decoding": 20, "copies": 30, "steps": 45, "loading": 120}
FIGURES |= {"predictions": 40, "answers": 60, "compiled": 150}
BUDGETS = CHECKS | FIGURES


def run_part(name: str, budget: float, home: Path, dry_run: bool, log: Any) -> dict[str, Any]:
    """Run a part, and return what it found in time.

    Args:
        name: The part.
        budget: Its seconds.
        home: The cache that all parts share.
        dry_run: Use the CPU and tiny sizes.
        log: Where the messages of the part go.
    """
    words = [sys.executable, "-m", "benchmarks.gpu.parts", name, *(["--dry-run"] if dry_run else [])]
    machine = describe_machine(dry_run)
    began, findings = time.perf_counter(), []
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as scratch:
        child = subprocess.Popen(
            words,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            start_new_session=True,
            env=os.environ
            | {"MICROG4M_HOME": str(home), "TORCHINDUCTOR_CACHE_DIR": str(home / "inductor"), "TMPDIR": scratch},
        )
        ended_late: list[bool] = []

        def stop() -> None:
            ended_late.append(True)
            os.killpg(child.pid, signal.SIGKILL)

        timer = threading.Timer(budget, stop)
        timer.start()
        assert child.stdout is not None
        for line in child.stdout:
            if line.startswith("{"):
                findings.append(json.loads(line))
                print(f"  {name}: {findings[-1]}", flush=True)
            else:
                log.write(line)
        child.wait()
        child.stdout.close()
        timer.cancel()
    failed = [one for one in findings if one.get("ok") is False]
    state = f"over {budget:g} s" if ended_late else f"exit code {child.returncode}" if child.returncode else "complete"
    if failed and state == "complete":
        state = f"{len(failed)} failed"
    date = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    return {
        "state": state,
        "date": date,
        "device": machine["device"],
        "versions": machine["versions"],
        "seconds": round(time.perf_counter() - began, 1),
        "findings": findings,
    }


def describe_machine(dry_run: bool) -> dict[str, Any]:
    """Return what the results depend on."""
    import torch
    import transformers

    found: dict[str, Any] = {
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
        "device": "cpu (dry run)" if dry_run else torch.cuda.get_device_name(),
        "versions": {
            "python": platform.python_version(),
            "torch": torch.__version__,
            "cuda": torch.version.cuda,
            "transformers": transformers.__version__,
        },
    }
    if not dry_run:
        found["memory, GiB"] = round(torch.cuda.get_device_properties(0).total_memory / 2**30, 1)
    return found


def as_markdown(results: dict[str, Any]) -> str:
    """Return the results as a page."""
    lines = ["# A GPU day", ""]
    lines += [f"- {key}: {value}" for key, value in results.items() if key != "parts"]
    for name, part in results["parts"].items():
        lines += ["", f"## {name}: {part['state']}, {part['seconds']} s, {part['date']}", ""]
        lines += [f"- {key}: {part[key]}" for key in ("device", "versions") if key in part]
        lines += [f"- {', '.join(f'{key}: {value}' for key, value in one.items())}" for one in part["findings"]]
    return "\n".join(lines) + "\n"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, help="folder of the results")
    parser.add_argument("--dry-run", action="store_true", help="use the CPU and tiny sizes")
    parser.add_argument("--only", help="names of parts, separated by commas")
    parser.add_argument("--seconds", type=float, default=480, help="seconds at most for all parts (default: 480)")
    args = parser.parse_args()
    names = args.only.split(",") if args.only else list(BUDGETS)
    unknown = [name for name in names if name not in BUDGETS]
    if unknown:
        print(f"{', '.join(unknown)} is no part; these are: {', '.join(BUDGETS)}", file=sys.stderr)
        return 2
    import torch

    if not (args.dry_run or torch.cuda.is_available()):
        print("no CUDA device was found; --dry-run runs every part on the CPU", file=sys.stderr)
        return 2
    args.out.mkdir(parents=True, exist_ok=True)
    results = describe_machine(args.dry_run) | {"parts": {}}
    earlier = args.out / "results.json"
    if args.only and earlier.exists():  # what was found by other parts
        results["parts"] = json.loads(earlier.read_text())["parts"]
    began, writing = time.monotonic(), threading.Lock()
    # A CPU takes longer, and its times mean nothing.
    stretch = 20.0 if args.dry_run else 1.0
    with (
        tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as home,
        open(args.out / "log.txt", "w", encoding="utf-8") as log,
    ):

        def run(name: str) -> None:
            left = args.seconds * stretch - (time.monotonic() - began)
            if left < 5:
                part: dict[str, Any] = {"state": "no time left", "date": None, "seconds": 0.0, "findings": []}
            else:
                part = run_part(name, min(BUDGETS[name] * stretch, left), Path(home), args.dry_run, log)
            with writing:
                results["parts"][name] = part
                print(f"{name}: {part['state']}, {part['seconds']} s", flush=True)
                (args.out / "results.json").write_text(json.dumps(results, indent=1) + "\n")
                (args.out / "results.md").write_text(as_markdown(results))

        # Checks do not measure anything, so they may share the machine.
        with ThreadPoolExecutor(1 if args.dry_run else len(CHECKS)) as pool:
            list(pool.map(run, [name for name in names if name in CHECKS]))
        for name in names:
            if name in FIGURES:
                run(name)
    bad = {name: results["parts"][name]["state"] for name in names if results["parts"][name]["state"] != "complete"}
    print(f"results are in {args.out / 'results.md'}" + (f"; not complete: {bad}" if bad else ""))
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
