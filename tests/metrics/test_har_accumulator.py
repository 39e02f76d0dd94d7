"""The accumulator: ragged boxes, repeats, tensors, and two real processes equal to one."""

from __future__ import annotations

import json
import os
import pickle
import subprocess
from pathlib import Path

import numpy as np
import pytest

from microg4m_hf.errors import PredictionError
from microg4m_hf.metrics import HarAccumulator, har_scores
from microg4m_hf.taxonomy import ACTION_IDS
from tests.support.har_split import dense, draw, labeled
from tests.support.har_two_processes import clips
from tests.support.warm_python import warm_python

pytestmark = pytest.mark.filterwarnings("ignore::microg4m_hf.metrics.TieWarning")
PROJECT = Path(__file__).resolve().parents[2]


def accumulate(batches: list[list[dict]], **settings) -> dict:
    metric = HarAccumulator(**settings)
    for batch in batches:
        metric.update(batch)
    return metric.compute()


def test_equals_har_scores() -> None:
    truth, found = draw(20, clips=11, persons=3)
    for protocol in ("paper", "instance"):
        expected = har_scores(dense(found), labeled(truth), protocol=protocol)
        given = [{**clip, **reference} for clip, reference in zip(dense(found), labeled(truth), strict=True)]
        assert accumulate([given], protocol=protocol)["scores"] == expected["scores"]
        assert accumulate([dense(found)], protocol=protocol, references=truth)["scores"] == expected["scores"]


def test_batches_order_and_repeats_change_nothing() -> None:
    items = clips()
    expected = json.dumps(accumulate([items]))
    for seed in range(3):
        order = np.random.RandomState(seed).permutation(len(items))
        batches = [[items[i] for i in part] for part in np.array_split(order, 4)]
        batches.append([items[order[0]], items[order[1]]])  # a padded sampler brings some again
        assert json.dumps(accumulate(batches)) == expected


def test_columns_per_batch() -> None:
    items = clips()
    metric = HarAccumulator()
    for start in range(0, len(items), 4):
        part = items[start : start + 4]
        metric.update(**{name: [clip[name] for clip in part] for name in part[0]})
    assert json.dumps(metric.compute()) == json.dumps(accumulate([items]))
    metric.reset()
    with pytest.raises(PredictionError, match="nothing was added"):
        metric.compute()


def test_tensors_arrays_and_lists_are_alike() -> None:
    torch = pytest.importorskip("torch")
    items = [{**clip, "scores": np.round(np.array(clip["scores"]) * 4) / 4} for clip in clips()]
    expected = accumulate([items])

    def converted(clip: dict, kind) -> dict:
        return {**clip, "boxes": torch.tensor(clip["boxes"], dtype=torch.float64), "scores": kind(clip["scores"])}

    kinds = (
        lambda scores: torch.tensor(scores, dtype=torch.bfloat16),
        lambda scores: torch.tensor(scores, dtype=torch.float32, requires_grad=True),
        lambda scores: np.asarray(scores, dtype=np.float16),
        lambda scores: scores.tolist(),
    )
    for kind in kinds:
        assert accumulate([[converted(clip, kind) for clip in items]])["scores"] == expected["scores"]


def test_multi_hot_labels() -> None:
    items = clips()
    hot = [{key: value for key, value in clip.items() if key != "action_ids"} for clip in items]
    for clip, original in zip(hot, items, strict=True):
        clip["labels"] = np.stack([np.isin(ACTION_IDS, ids).astype(np.float32) for ids in original["action_ids"]])
    assert json.dumps(accumulate([hot])) == json.dumps(accumulate([items]))


def test_state_pickles_and_merges() -> None:
    items = clips()
    one, two = HarAccumulator(), HarAccumulator()
    one.update(items[:7])
    two.update(items[5:])
    one.merge(pickle.loads(pickle.dumps(two.state())))
    assert json.dumps(one.compute()) == json.dumps(accumulate([items]))
    assert one.repeated == sum(len(clip["boxes"]) for clip in items[5:7])


def test_faults() -> None:
    clip = clips()[0]
    changed = {**clip, "scores": [[score + 1 for score in row] for row in clip["scores"]]}
    for bad, message in (
        ([clip, changed], "came twice with different scores"),
        ([{key: value for key, value in clip.items() if key != "boxes"}], "no 'boxes'"),
        ([{**clip, "scores": clip["scores"][0]}], "give \\(boxes, classes\\)"),
        ([{key: value for key, value in clip.items() if key != "action_ids"}], "neither 'labels' nor 'action_ids'"),
        ([{**clip, "action_ids": [[1]] * 9}], "labels for 9"),
        ([{**clip, "person_id": [1] * 9}], "9 person ids"),
    ):
        with pytest.raises(PredictionError, match=message):
            HarAccumulator().update(bad)


def test_two_accelerate_processes_equal_one(tmp_path: Path) -> None:
    pytest.importorskip("accelerate")
    command = [warm_python(), "-m", "torch.distributed.run", "--nproc_per_node", "2", "--master_port", "0"]
    command += ["--rdzv_backend", "c10d", "--rdzv_endpoint", "localhost:0", "-m", "tests.support.har_two_processes"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore", "CUDA_VISIBLE_DEVICES": ""}
    environment["PYTHON_EXEC"] = warm_python()  # torchrun starts the processes with it
    out = subprocess.run(
        [*command, "accumulator", str(tmp_path)],
        cwd=PROJECT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    written = sorted(tmp_path.glob("rank*.json"))
    assert len(written) == 2, out.stderr[-3000:]
    ranks = [json.loads(path.read_text()) for path in written]
    assert [rank["world"] for rank in ranks] == [2, 2]
    assert sum(rank["seen"] for rank in ranks) > 2 * 13  # the sampler did repeat frames
    for protocol in ("paper", "instance"):
        expected = json.loads(json.dumps(accumulate([clips()], protocol=protocol)))
        for rank in ranks:
            assert json.dumps(rank["results"][protocol]) == json.dumps(expected)
