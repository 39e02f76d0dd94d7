"""One of two real processes: python -m tests.support.har_two_processes accumulator|several|evaluate FOLDER [RANK].

``accumulator`` and ``several`` (clips with several key frames) are started by torchrun and work inside an Accelerate
loop; ``evaluate`` numbers its processes itself.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import numpy as np

from microg4m_hf.taxonomy import ACTION_IDS
from tests.support.har_split import dense, draw, labeled


def clips() -> list[dict]:
    """Thirteen key frames with one to three persons, scores and labels together."""
    truth, found = draw(21, clips=13, persons=3, ties=True)
    labels = {clip["video_id"]: clip["action_ids"] for clip in labeled(truth)}
    return [{**clip, "action_ids": labels[clip["video_id"]]} for clip in dense(found)]


def several_key_frames() -> list[dict]:
    """Fourteen clips with one to three key frames of one or two persons: one dictionary per key frame."""
    random = np.random.RandomState(5)
    frames = []
    for clip in range(14):
        for number in range(1 + clip % 3):
            persons = random.randint(1, 3)
            boxes = [[0.45 * person, 0.1, 0.45 * person + 0.4, 0.9] for person in range(persons)]
            action_ids = [sorted(random.choice(ACTION_IDS[:12], 2, replace=False).tolist()) for _ in range(persons)]
            scores = random.randn(persons, 50).astype(np.float32) + 1.5 * np.isin([ACTION_IDS] * persons, action_ids)
            key = {"video_id": f"film{clip % 4}_{clip:03d}", "frame": 20 + 7 * number, "boxes": boxes}
            frames.append({**key, "scores": scores.astype(np.float32), "action_ids": action_ids})
    return sorted(frames, key=lambda frame: (frame["video_id"], frame["frame"]))


def accumulate(folder: Path, clips: list[dict]) -> None:
    from accelerate import Accelerator
    from torch.utils.data import DataLoader

    from microg4m_hf.metrics import HarAccumulator

    accelerator = Accelerator(cpu=True)
    loader = DataLoader(clips, batch_size=2, collate_fn=list)
    loader = accelerator.prepare(loader)  # shards, and repeats frames so that all processes have equally many
    results, seen = {}, 0
    for protocol in ("paper", "instance"):
        metric = HarAccumulator(protocol=protocol)
        for batch in loader:
            metric.update(batch)
            seen += len(batch)
        results[protocol] = metric.compute()
    (folder / f"rank{accelerator.process_index}.json").write_text(
        json.dumps({"world": accelerator.num_processes, "seen": seen, "results": results})
    )
    accelerator.wait_for_everyone()
    accelerator.end_training()


def measure(folder: Path, rank: int) -> None:
    import evaluate

    module = Path(__file__).resolve().parents[2] / "metrics" / "microg4m_har"
    metric = evaluate.load(
        str(module), num_process=2, process_id=rank, experiment_id="two", cache_dir=str(folder / "cache")
    )
    truth, found = draw(21, clips=13, persons=3, ties=True)
    for prediction, reference in list(zip(dense(found), labeled(truth), strict=True))[rank::2]:
        metric.add(predictions=prediction, references=reference)
    result = metric.compute(protocol=os.environ.get("PROTOCOL", "paper"))
    (folder / f"rank{rank}.json").write_text(json.dumps(result))


if __name__ == "__main__":
    if sys.argv[1] != "evaluate":
        accumulate(Path(sys.argv[2]), several_key_frames() if sys.argv[1] == "several" else clips())
    else:
        measure(Path(sys.argv[2]), int(sys.argv[3]))
    # gloo and evaluate's locks can fail while shutting down, after all is written.
    sys.stdout.flush()
    os._exit(0)
