"""Run one of two processes of `evaluate`: python -m tests.support.text_two_processes FOLDER RANK."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

WORDS = ("the", "a", "crew", "astronaut", "floats", "eats", "near", "station", "window", "Not mentioned", ".", "blue")


def items(task: str, count: int = 23) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Return predictions and references without files, the same in every process."""
    import random

    draw = random.Random(5)
    predictions, references = [], []
    for number in range(count):
        key = {"video_id": f"film{number % 5}_{number:03d}"}
        field = "caption"
        if task == "vqa":
            key["question"], field = f"What is shown in {number}?", "answer"
        predictions.append(key | {field: " ".join(draw.choices(WORDS, k=draw.randint(1, 9)))})
        references.append(key | {field: " ".join(draw.choices(WORDS, k=draw.randint(1, 9)))})
    return predictions, references


if __name__ == "__main__":
    import evaluate

    folder, rank = Path(sys.argv[1]), int(sys.argv[2])
    results = {}
    for task in ("caption", "vqa"):
        module = Path(__file__).resolve().parents[2] / "metrics" / f"microg4m_{task}"
        metric = evaluate.load(
            str(module), num_process=2, process_id=rank, experiment_id=task, cache_dir=str(folder / "cache")
        )
        predictions, references = items(task)
        metric.add_batch(predictions=predictions[rank::2], references=references[rank::2])
        results[task] = metric.compute()
    (folder / f"rank{rank}.json").write_text(json.dumps(results))
    # evaluate's locks can fail while shutting down, after all is written.
    sys.stdout.flush()
    os._exit(0)
