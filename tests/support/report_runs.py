"""Make run folders and prediction files on the sample, with noise of any strength."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from microg4m_hf.data import ensure_sample, load_dataset
from microg4m_hf.data.run_data import RunData
from microg4m_hf.metrics import write_predictions
from microg4m_hf.training.loading.dataset import KeyFrame, key_frames
from microg4m_hf.training.predict import prediction_columns


def labeled_items(scheme: str = "official", split: str = "test") -> list[KeyFrame]:
    """Return the labeled key frames of a split of the sample."""
    rows: Any = load_dataset("har", split=split, source="sample", videos=False, scheme=scheme)
    return key_frames(rows)


def har_run(
    folder: Path,
    items: list[KeyFrame],
    *,
    noise: float,
    seed: int = 0,
    share: float = 1.0,
    scheme: str = "official",
    split: str = "test",
) -> Path:
    """Write a training run with logits from labels and noise, for a ``share`` of the key frames."""
    random = np.random.RandomState(seed)
    logits = {
        place: (6.0 * item.labels - 3.0 + noise * random.randn(*item.labels.shape)).astype(np.float32)
        for place, item in enumerate(items[: round(share * len(items))])
    }
    folder.mkdir(parents=True)
    data = {"source": "sample", "scheme": scheme, "num_frames": 4, "stride": 8}
    recipe = {"name": folder.name, "variant": "own", "model": {"name": "tiny_slow"}, "data": data}
    (folder / "config.yaml").write_text(yaml.safe_dump(recipe))
    about: dict[str, Any] = {"model": "tiny_slow", "scores_are": "logits", "split": split, "scheme": scheme}
    keys = tuple((item.video_id, item.frame) for item in items)
    about["data"] = RunData("har", keys, split, scheme, source="sample").to_dict()
    write_predictions(folder / "predictions" / f"{split}.parquet", **prediction_columns(items, logits), about=about)
    (folder / "results.json").write_text(json.dumps({"name": folder.name, "skipped_clips": 0}))
    return folder


def caption_file(path: Path, *, keep: float, seed: int = 0) -> Path:
    """Write the captions of the sample without some random words."""
    random = np.random.RandomState(seed)
    entries = json.loads((ensure_sample() / "vqa_and_captioning.json").read_text())
    captions = {
        entry["video_id"]: " ".join(word for word in entry["caption"].split() if random.rand() < keep) or "…"
        for entry in entries
        if entry.get("caption")
    }
    path.write_text(json.dumps(captions))
    return path


def as_csv(predictions: Path) -> bytes:
    """Return predictions in the released format: a row per box and class, without a header."""
    import pyarrow.parquet as pq

    from microg4m_hf.taxonomy import ACTION_IDS

    lines = []
    for row in pq.read_table(predictions).to_pylist():
        place = ",".join(f"{row[side]:.3f}" for side in ("x1", "y1", "x2", "y2"))
        for action, score in zip(ACTION_IDS, row["scores"], strict=True):
            lines.append(f"{row['video_id']},{row['frame']},{place},{action},{score:.4f}")
    return "\n".join(lines).encode()
