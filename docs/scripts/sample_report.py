"""Write a sample report for the site: four runs on the built-in sample, which need no training."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
import warnings
from pathlib import Path
from typing import Any

NAME = "sample_report.html"
# Name -> standard deviation of the noise that is added to the true labels, times 6.
NOISE = {"careful": 2.0, "hasty": 4.0}


def write_sample_report(folder: Path) -> Path:
    """Write the page into a folder and return its path."""
    import microg4m_hf
    from microg4m_hf.bench import make_report
    from microg4m_hf.inference import TextSettings, predict_texts

    folder = folder.resolve()
    with tempfile.TemporaryDirectory() as scratch, contextlib.chdir(scratch):  # the page names files as a user does
        runs = Path("runs")
        runs.mkdir()
        for seed, (name, noise) in enumerate(NOISE.items()):
            _write_noisy_labels(runs / f"{name}.parquet", noise, seed)
        rows = microg4m_hf.load_dataset("vqa", split="test", source="sample", videos=False)
        for model in ("blind", "majority"):
            predict_texts(TextSettings("vqa", model=model), rows, runs / model)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the page has them
            command = "microg4m report runs/* --source sample"
            make_report(sorted(runs.iterdir()), "report", source="sample", command=command)
        return Path(shutil.copyfile("report/report.html", folder / NAME))


def _write_noisy_labels(path: Path, noise: float, seed: int) -> None:
    import numpy as np

    import microg4m_hf
    from microg4m_hf.metrics import write_predictions
    from microg4m_hf.taxonomy import NUM_ACTIONS

    random = np.random.RandomState(seed)
    columns: dict[str, list[Any]] = {name: [] for name in ("video_id", "frame", "person_id", "boxes", "scores")}
    for clip in microg4m_hf.load_dataset("har", split="test", source="sample", videos=False):
        for person in clip["persons"]:
            labels = np.isin(np.arange(NUM_ACTIONS), person["actions"])
            columns["video_id"].append(clip["video_id"])
            columns["frame"].append(person["key_frame"])
            columns["person_id"].append(person["person_id"])
            columns["boxes"].append(person["key_box"])
            columns["scores"].append(6.0 * labels - 3.0 + noise * random.randn(NUM_ACTIONS))
    arrays: dict[str, Any] = {name: np.array(values) for name, values in columns.items()}
    write_predictions(path, **arrays, about={"model": path.stem, "scores_are": "logits"})
