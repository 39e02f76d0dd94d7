"""One of two real processes: python -m tests.support.har_two_processes accumulator|evaluate FOLDER [RANK].

``accumulator`` is started by torchrun and works inside an Accelerate loop; ``evaluate`` numbers its processes itself.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from tests.support.har_split import dense, draw, labeled


def clips() -> list[dict]:
    """Thirteen key frames with one to three persons, scores and labels together."""
    truth, found = draw(21, clips=13, persons=3, ties=True)
    labels = {clip["video_id"]: clip["action_ids"] for clip in labeled(truth)}
    return [{**clip, "action_ids": labels[clip["video_id"]]} for clip in dense(found)]


def accumulate(folder: Path) -> None:
    from accelerate import Accelerator
    from torch.utils.data import DataLoader

    from microg4m_hf.metrics import HarAccumulator

    accelerator = Accelerator(cpu=True)
    loader = DataLoader(clips(), batch_size=2, collate_fn=list)
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
    if sys.argv[1] == "accumulator":
        accumulate(Path(sys.argv[2]))
    else:
        measure(Path(sys.argv[2]), int(sys.argv[3]))
    # gloo and evaluate's locks can fail while shutting down, after all is written.
    sys.stdout.flush()
    os._exit(0)
