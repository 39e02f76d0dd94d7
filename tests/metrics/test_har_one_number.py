"""Every way into the scores gives one number for clips with several key frames, or an error."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from microg4m_hf.errors import DataError, MicroG4MError, PredictionError, RecipeError
from microg4m_hf.metrics import HarAccumulator, har_scores, make_compute_metrics
from microg4m_hf.taxonomy import ACTION_IDS
from tests.support.har_two_processes import several_key_frames
from tests.support.warm_python import warm_python

PROJECT = Path(__file__).resolve().parents[2]
PROTOCOLS = ("paper", "instance")
FRAMES = several_key_frames()
PREDICTIONS = [{key: value for key, value in frame.items() if key != "action_ids"} for frame in FRAMES]
REFERENCES = [{key: value for key, value in frame.items() if key != "scores"} for frame in FRAMES]
EXPECTED = {protocol: har_scores(PREDICTIONS, REFERENCES, protocol=protocol)["scores"] for protocol in PROTOCOLS}


def _clips() -> list[dict[str, np.ndarray]]:
    """One row per clip, with the persons of all its key frames, as a loader of clips has them."""
    rows: dict[str, dict[str, list[Any]]] = {}
    for frame in FRAMES:
        row = rows.setdefault(frame["video_id"], {"logits": [], "labels": [], "key_frames": []})
        row["logits"] += list(frame["scores"])
        row["labels"] += [np.isin(ACTION_IDS, ids).astype(np.float32) for ids in frame["action_ids"]]
        row["key_frames"] += [frame["frame"]] * len(frame["boxes"])
    return [{name: np.array(values) for name, values in row.items()} for row in rows.values()]


def _padded(rows: list[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    most = max(len(row["logits"]) for row in rows)
    batch = {}
    for name in rows[0]:
        values = [np.concatenate([row[name], np.full((most, *row[name].shape[1:]), -100)])[:most] for row in rows]
        batch[name] = np.stack(values)
    return batch


class Output:
    def __init__(self, predictions: Any, label_ids: Any) -> None:
        self.predictions, self.label_ids = predictions, label_ids


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_compute_metrics_takes_the_key_frames_along_or_refuses(protocol: str) -> None:
    batch = _padded(_clips())
    metric = make_compute_metrics(protocol=protocol)
    assert metric(Output(batch["logits"], (batch["labels"], batch["key_frames"]))) == EXPECTED[protocol]
    assert (
        metric(Output(batch["logits"], {name: batch[name] for name in ("labels", "key_frames")})) == EXPECTED[protocol]
    )
    with pytest.raises(PredictionError, match="label_names"):
        metric(Output(batch["logits"], batch["labels"]))
    with pytest.raises(PredictionError, match=r"give \(rows, boxes\)"):
        metric(Output(batch["logits"], (batch["labels"], batch["key_frames"][:, 0])))
    wrong = make_compute_metrics(protocol=protocol, one_key_frame=True)(Output(batch["logits"], batch["labels"]))
    if protocol == "paper":  # what the error protects from
        assert abs(wrong["auroc"] - EXPECTED[protocol]["auroc"]) > 0.01


def test_accumulator_in_one_and_in_two_processes(tmp_path: Path) -> None:
    command = [warm_python(), "-m", "torch.distributed.run", "--nproc_per_node", "2", "--rdzv_backend", "c10d"]
    command += ["--rdzv_endpoint", "localhost:0", "-m", "tests.support.har_two_processes", "several", str(tmp_path)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore", "CUDA_VISIBLE_DEVICES": ""}
    environment["PYTHON_EXEC"] = warm_python()  # torchrun starts the processes with it
    ran = subprocess.run(command, cwd=PROJECT, env=environment, capture_output=True, text=True, check=False)
    ranks = [json.loads(path.read_text()) for path in tmp_path.glob("rank*.json")]
    assert [rank["world"] for rank in ranks] == [2, 2], ran.stderr[-2000:]
    for protocol in PROTOCOLS:
        metric = HarAccumulator(protocol=protocol)
        for frame in FRAMES[::-1]:
            metric.update(frame)
        assert metric.compute()["scores"] == EXPECTED[protocol]
        assert all(rank["results"][protocol]["scores"] == EXPECTED[protocol] for rank in ranks)


def test_evaluate() -> None:
    import evaluate

    metric = evaluate.load(str(PROJECT / "metrics" / "microg4m_har"), keep_in_memory=True)
    for protocol in PROTOCOLS:
        found = metric.compute(predictions=PREDICTIONS, references=REFERENCES, protocol=protocol)
        assert {name: found[name] for name in EXPECTED[protocol]} == EXPECTED[protocol]


def test_trainer(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")

    class Echo(torch.nn.Module):  # type: ignore[misc, name-defined]
        """Returns its input as logits."""

        def __init__(self) -> None:
            super().__init__()
            self.weight = torch.nn.Parameter(torch.ones(1))

        def forward(self, logits: Any, labels: Any = None, key_frames: Any = None) -> dict[str, Any]:
            return {"loss": (logits * self.weight).mean(), "logits": logits}

    def evaluate(label_names: list[str]) -> dict[str, float]:
        trainer = transformers.Trainer(
            model=Echo(),
            args=transformers.TrainingArguments(
                str(tmp_path), per_device_eval_batch_size=3, use_cpu=True, report_to=[], disable_tqdm=True,
                remove_unused_columns=False, label_names=label_names,
            ),
            data_collator=lambda rows: {name: torch.as_tensor(value) for name, value in _padded(rows).items()},
            eval_dataset=_clips(),
            compute_metrics=make_compute_metrics(),
        )  # fmt: skip
        return trainer.evaluate()

    found = evaluate(["labels", "key_frames"])
    assert {name: found[f"eval_{name}"] for name in EXPECTED["paper"]} == EXPECTED["paper"]
    with pytest.raises(PredictionError, match="which of them share a key frame"):
        evaluate(["labels"])


def test_lightning(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    lightning = pytest.importorskip("lightning", reason="Lightning is not among the development packages")

    class Module(lightning.LightningModule):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.metric = HarAccumulator()
            self.scores: dict[str, float] = {}

        def validation_step(self, batch: list[dict[str, Any]], _: int) -> None:
            self.metric.update(batch)

        def on_validation_epoch_end(self) -> None:
            self.scores = self.metric.compute()["scores"]
            self.metric.reset()

    module, loader = Module(), torch.utils.data.DataLoader(FRAMES, batch_size=4, collate_fn=list)
    quiet = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False}
    trainer = lightning.Trainer(accelerator="cpu", devices=1, default_root_dir=tmp_path, **quiet)
    trainer.validate(module, loader, verbose=False)
    assert module.scores == EXPECTED["paper"]


def _with(key: str, values: Any) -> list[dict[str, Any]]:
    """Return the references with other labels; ``values`` maps the released ids of a person."""
    rows = []
    for frame in REFERENCES:
        row = {name: value for name, value in frame.items() if name != "action_ids"}
        rows.append(row | {key: [values(ids) for ids in frame["action_ids"]]})
    return rows


def _packed(ids: list[int]) -> list[int]:
    return [ACTION_IDS.index(one) for one in ids]


def _table(ids: list[int]) -> list[bool]:
    return np.isin(ACTION_IDS, ids).tolist()


@pytest.mark.parametrize(
    ("key", "values"), [("action_ids", list), ("labels", _packed), ("labels", _table), ("label", _packed)]
)
def test_packed_and_released_labels_give_one_number(key: str, values: Any) -> None:
    references = _with(key, values)
    assert har_scores(PREDICTIONS, references)["scores"] == EXPECTED["paper"]
    if key != "label":
        metric = HarAccumulator()
        metric.update([{**one, **two} for one, two in zip(PREDICTIONS, references, strict=True)])
        assert metric.compute()["scores"] == EXPECTED["paper"]


@pytest.mark.parametrize(
    ("key", "values", "message"),
    [
        ("action_ids", _packed, "labels"),
        ("action_ids", _table, "labels"),
        ("labels", list, "action_ids"),
        ("labels", lambda ids: [0.5] * 50, "whole number|other values"),
        ("actions", list, "ambiguous|neither"),
    ],
)
def test_mixed_up_labels_are_refused_in_every_door(key: str, values: Any, message: str) -> None:
    """29 of the 50 packed indices are also released ids, so scores would only be low, not absent."""
    references = _with(key, lambda ids: values([*ids, 80, 79]) if values is list else values(ids))
    with pytest.raises((DataError, PredictionError), match=message):
        har_scores(PREDICTIONS, references)
    columns = {name: [frame[name] for frame in references] for name in references[0]}
    with pytest.raises((DataError, PredictionError), match=message):
        har_scores(PREDICTIONS, [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)])
    metric = HarAccumulator()
    with pytest.raises(MicroG4MError, match=message):
        metric.update([{**one, **two} for one, two in zip(PREDICTIONS, references, strict=True)])
    if key == "action_ids":
        import evaluate

        module = evaluate.load(str(PROJECT / "metrics" / "microg4m_har"), keep_in_memory=True)
        with pytest.raises(MicroG4MError, match=message):
            module.compute(predictions=PREDICTIONS, references=references)


def test_class_labels_are_packed_by_their_type() -> None:
    import datasets

    rows = [
        {"video_id": frame["video_id"], "frame": frame["frame"], "box": box, "action_ids": _packed(ids)}
        for frame in REFERENCES
        for box, ids in zip(frame["boxes"], frame["action_ids"], strict=True)
    ]
    names = datasets.ClassLabel(names=[str(one) for one in ACTION_IDS])
    table = datasets.Dataset.from_list(rows)
    table = table.cast_column("action_ids", datasets.Sequence(names))
    with pytest.raises(DataError, match="class labels"):
        har_scores(PREDICTIONS, table)
    assert har_scores(PREDICTIONS, table.rename_column("action_ids", "labels"))["scores"] == EXPECTED["paper"]


@pytest.mark.parametrize(
    "settings",
    [
        {"protocol": "coco"},
        {"treshold": 0.5},
        {"threshold": float("nan")},
        {"missing": "skip"},
        {"unknown": "keep"},
        {"classes": 51},
        {"scores_are": "votes"},
        {"by": "color"},
        {"iou": 2},
        {"resamples": -1},
        {"resamples": 10, "seed": -1},
        {"level": 95},
    ],
    ids=str,
)
def test_the_accumulator_checks_its_options_when_it_is_made(settings: dict[str, Any]) -> None:
    with pytest.raises((PredictionError, RecipeError)):
        HarAccumulator(**settings)
