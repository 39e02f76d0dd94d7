"""Measure what ``import microg4m_hf`` adds to the imports of other libraries: processor time and modules.

    python benchmarks/imports.py                  # prints a table, writes benchmarks/results/imports.json

Each import runs in processes of its own, in turn without and with the package. Processor time is the smallest of the
rounds: other processes on the machine can only add to it.
"""

from __future__ import annotations

import argparse
import json
import platform
import subprocess
import sys
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

RESULTS = Path(__file__).resolve().parent / "results" / "imports.json"
LIMIT = 1.05  # with / without, in processor time and in modules, for a tokenizer
STATEMENTS = (
    "from transformers import AutoTokenizer",
    "from transformers import AutoModel",
    "from transformers import pipeline",
    "import datasets",
    "import evaluate",
)
CODE = """
import sys, time
start = time.process_time()
{own}
{statement}
print(time.process_time() - start, len(sys.modules))
"""


def measure(statement: str, own: str) -> tuple[float, int]:
    code = CODE.format(own=own, statement=statement)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    seconds, modules = done.stdout.split()[-2:]
    return float(seconds), int(modules)


def compare(statement: str, rounds: int) -> dict[str, float]:
    without, ours = [], []
    for _ in range(rounds):
        without.append(measure(statement, ""))
        ours.append(measure(statement, "import microg4m_hf"))
    seconds = min(s for s, _ in without), min(s for s, _ in ours)
    return {
        "seconds_without": round(seconds[0], 3),
        "seconds_with": round(seconds[1], 3),
        "seconds_ratio": round(seconds[1] / seconds[0], 3),
        "modules_without": without[0][1],
        "modules_with": ours[0][1],
        "modules_ratio": round(ours[0][1] / without[0][1], 3),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    table = {}
    print(f"{'':40}", *(f"{name:>6}" for name in ("s bare", "s with", "ratio", "bare", "with", "ratio")))
    for statement in STATEMENTS:
        row = table[statement] = compare(statement, args.rounds)
        cells = [f"{row[f'seconds_{name}']:6.3f}" for name in ("without", "with", "ratio")]
        cells += [f"{row[f'modules_{name}']:6}" for name in ("without", "with", "ratio")]
        print(f"{statement:40}", *cells)
    packages = ("datasets", "evaluate", "torch", "transformers")
    result = {
        "date": datetime.now(UTC).date().isoformat(),
        "machine": platform.processor() or platform.machine(),
        "python": platform.python_version(),
        "packages": {name: metadata.version(name) for name in packages},
        "rounds": args.rounds,
        "imports": table,
    }
    RESULTS.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    tokenizer = table[STATEMENTS[0]]
    return int(max(tokenizer["seconds_ratio"], tokenizer["modules_ratio"]) > LIMIT)


if __name__ == "__main__":
    sys.exit(main())
