"""make_compute_metrics: padded boxes are masked by labels of -100, also in a real Trainer."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from microg4m_hf.errors import PredictionError
from microg4m_hf.metrics import har_scores, make_compute_metrics
from microg4m_hf.taxonomy import ACTION_IDS
from tests.support.har_split import dense, draw, labeled

pytestmark = pytest.mark.filterwarnings("ignore::microg4m_hf.metrics.TieWarning")


def padded() -> tuple[np.ndarray, np.ndarray, dict]:
    """Return logits and labels of eleven ragged clips, and their expected scores."""
    truth, found = draw(30, clips=11, persons=2)
    clips, references = dense(found), labeled(truth)
    logits, labels = np.full((11, 3, 50), 7.0, dtype=np.float32), np.full((11, 3, 50), -100.0, dtype=np.float32)
    for place, (clip, reference) in enumerate(zip(clips, references, strict=True)):
        count = len(clip["boxes"])
        logits[place, :count] = clip["scores"]
        labels[place, :count] = [np.isin(ACTION_IDS, ids) for ids in reference["action_ids"]]
        for one in (clip, reference):  # side by side, so that nothing overlaps
            one["boxes"] = [[slot / 3, 0, (slot + 1) / 3, 1] for slot in range(count)]
        clip["scores"] = logits[place, :count].tolist()
    return logits, labels, har_scores(clips, references, missing="zero")["scores"]


class Output:
    def __init__(self, predictions, label_ids) -> None:
        self.predictions, self.label_ids = predictions, label_ids


def test_padding_is_left_out() -> None:
    logits, labels, expected = padded()
    got = make_compute_metrics(one_key_frame=True)(Output((logits, "hidden states"), labels))
    assert got == pytest.approx(expected, abs=1e-12)
    assert make_compute_metrics(prefix="har_", one_key_frame=True)(Output(logits, labels))["har_map"] == got["map"]
    instance = make_compute_metrics(protocol="instance", one_key_frame=True)(Output(logits, {"labels": labels}))
    assert instance["f1"] != got["f1"]


def test_faults() -> None:
    logits, labels, _ = padded()
    with pytest.raises(PredictionError, match="pad boxes in the collator"):
        make_compute_metrics()(Output(logits[0], labels[0]))
    with pytest.raises(PredictionError, match="every box is padding"):
        make_compute_metrics()(Output(logits, np.full_like(labels, -100)))


@pytest.mark.slow  # imports transformers
def test_through_a_trainer(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    logits, labels, expected = padded()

    class Echo(torch.nn.Module):
        """Returns its input as logits; ragged clips are padded by the collator below."""

        def __init__(self) -> None:
            super().__init__()
            self.weight = torch.nn.Parameter(torch.ones(1))

        def forward(self, values, labels=None):
            return {"loss": (values * self.weight).mean(), "logits": values * self.weight}

    items = [
        {"values": logits[i][labels[i, :, 0] != -100], "labels": labels[i][labels[i, :, 0] != -100]} for i in range(11)
    ]

    def collate(rows: list[dict]) -> dict:
        most = max(len(row["values"]) for row in rows)
        batch = {"values": torch.zeros(len(rows), most, 50), "labels": torch.full((len(rows), most, 50), -100.0)}
        for place, row in enumerate(rows):
            for name in batch:
                batch[name][place, : len(row[name])] = torch.as_tensor(row[name])
        return batch

    trainer = transformers.Trainer(
        model=Echo(),
        args=transformers.TrainingArguments(
            str(tmp_path), per_device_eval_batch_size=4, use_cpu=True, report_to=[], remove_unused_columns=False,
            label_names=["labels"], disable_tqdm=True,
        ),
        data_collator=collate,
        eval_dataset=items,
        compute_metrics=make_compute_metrics(one_key_frame=True),
    )  # fmt: skip
    found = trainer.evaluate()
    assert {name: found[f"eval_{name}"] for name in expected} == pytest.approx(expected, abs=1e-12)
