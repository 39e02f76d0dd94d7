"""The evaluate module: loaded from its folder, fed in batches, combined, and run by two processes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from microg4m_hf import load_dataset
from microg4m_hf.errors import DataError
from microg4m_hf.metrics import har_scores
from tests.support.har_split import dense, draw, labeled
from tests.support.warm_python import warm_python

pytestmark = pytest.mark.filterwarnings("ignore::microg4m_hf.metrics.TieWarning")
PROJECT = Path(__file__).resolve().parents[2]
MODULE = PROJECT / "metrics" / "microg4m_har"


@pytest.fixture
def metric():
    import evaluate

    return evaluate.load(str(MODULE), keep_in_memory=True)


def test_compute_and_add_batch(metric, tmp_path: Path) -> None:
    truth, found = draw(21, clips=13, persons=3)
    expected = har_scores(dense(found), labeled(truth))
    whole = metric.compute(predictions=dense(found), references=labeled(truth))
    assert {name: whole[name] for name in expected["scores"]} == expected["scores"]
    assert whole["signature"] == expected["signature"]
    for start in (0, 5, 10):
        metric.add_batch(predictions=dense(found)[start : start + 5], references=labeled(truth)[start : start + 5])
    assert metric.compute() == whole
    detailed = metric.compute(predictions=dense(found), references=labeled(truth), details=True, protocol="instance")
    assert detailed["recipe"]["protocol"] == "instance"
    import evaluate

    assert json.loads(evaluate.save(tmp_path / "saved.json", **whole).read_text())["map"] == whole["map"]


@pytest.mark.parametrize("name", ["microg4m_har", "microg4m_caption", "microg4m_vqa"])
def test_modules_load_by_their_bare_name(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import evaluate

    monkeypatch.chdir(tmp_path)
    loaded = evaluate.load(name, keep_in_memory=True)
    assert loaded.name == name and "microg4m" in type(loaded).__module__
    assert evaluate.loading.evaluation_module_factory.__microg4m_hf__.__module__ == "evaluate.loading"
    # A module of the same name in this folder goes first, as for every other name.
    (tmp_path / name).mkdir()
    (tmp_path / name / f"{name}.py").write_text(
        (PROJECT / "metrics" / name / f"{name}.py").read_text() + "\nLOCAL = 1\n"
    )
    assert sys.modules[type(evaluate.load(name, keep_in_memory=True)).__module__].LOCAL == 1


def test_arrays_persons_and_frames_in_any_order(metric) -> None:
    truth, found = draw(22, clips=8, persons=2)
    expected = metric.compute(predictions=dense(found), references=labeled(truth))
    arrays = [{**clip, "boxes": np.array(clip["boxes"]), "scores": np.array(clip["scores"])} for clip in dense(found)]
    for clip in arrays:
        clip["person_id"] = np.arange(len(clip["boxes"]))
    references = [{**clip, "person_id": list(range(len(clip["boxes"])))} for clip in labeled(truth)][::-1]
    import evaluate

    with_persons = evaluate.load(str(MODULE), "persons", keep_in_memory=True)
    assert with_persons.compute(predictions=arrays, references=references) == expected
    with pytest.raises(ValueError, match="is not known; use 'persons'"):
        evaluate.load(str(MODULE), "people")


def test_files(metric, tmp_path: Path) -> None:
    truth, found = draw(23)
    paths = []
    for name, rows in (("found", found), ("truth", truth)):
        paths.append(tmp_path / f"{name}.csv")
        paths[-1].write_text("".join(",".join(map(str, row)) + "\n" for row in rows))
    result = metric.compute(predictions=str(paths[0]), references=str(paths[1]))
    assert result["map"] == har_scores(found, truth)["scores"]["map"]
    assert metric.compute(predictions=paths[0], references=paths[1]) == result
    with pytest.raises(DataError, match="references: cannot use NoneType"):
        metric.compute(predictions=paths[0])


def test_references_may_be_rows_of_the_dataset(metric, tmp_path: Path) -> None:
    """The whole split at once, a list of rows, rows one by one, and batches as ``Dataset.iter`` gives them."""
    rows = load_dataset("har", source="sample", split="test")
    generator = np.random.default_rng(0)
    persons = [(row["video_id"], person) for row in rows for person in row["persons"]]
    found = [
        {"video_id": clip, "frame": person["key_frame"], "boxes": [person["key_box"]], "scores": [scores.tolist()]}
        for (clip, person), scores in zip(persons, generator.normal(size=(len(persons), 50)), strict=True)
    ]
    expected = har_scores(found, rows)["scores"]
    plain = [row for row in rows]  # noqa: C416
    assert har_scores(found, plain)["scores"] == expected
    for references in (rows, plain, rows.select_columns(["video_id", "persons"])):
        result = metric.compute(predictions=found, references=references)
        assert {name: result[name] for name in expected} == expected

    # evaluate stores pairs, so each row needs one prediction: that of all persons who are scored in one frame.
    frames = [row["persons"][0]["key_frame"] for row in plain]
    persons = [[p for p in row["persons"] if p["key_frame"] == frame] for row, frame in zip(plain, frames, strict=True)]
    rows = [{**row, "persons": kept} for row, kept in zip(plain, persons, strict=True)]
    found = [
        {
            "video_id": row["video_id"],
            "frame": frame,
            "boxes": [person["key_box"] for person in row["persons"]],
            "scores": generator.normal(size=(len(row["persons"]), 50)).tolist(),
        }
        for row, frame in zip(rows, frames, strict=True)
    ]
    expected = har_scores(found, rows)["scores"]
    for prediction, reference in zip(found, rows, strict=True):
        metric.add(prediction=prediction, reference=reference)
    assert metric.compute()["map"] == expected["map"]
    for start in (0, 6):
        part = rows[start : start + 6]
        columns = {name: [row[name] for row in part] for name in part[0]}
        metric.add_batch(predictions=found[start : start + 6], references=columns)
    assert metric.compute()["auroc"] == expected["auroc"]
    metric.add_batch(predictions=found, references=rows)
    assert metric.compute()["f1"] == expected["f1"]


def test_combine() -> None:
    import evaluate

    both = evaluate.combine([evaluate.load(str(MODULE), keep_in_memory=True)])
    truth, found = draw(24)
    for prediction, reference in zip(dense(found), labeled(truth), strict=True):
        both.add(prediction=prediction, reference=reference)
    assert both.compute()["map"] == har_scores(dense(found), labeled(truth))["scores"]["map"]


def test_loads_by_its_relative_path(monkeypatch: pytest.MonkeyPatch) -> None:
    import evaluate

    monkeypatch.chdir(PROJECT)
    assert evaluate.load("metrics/microg4m_har").name == "microg4m_har"


@pytest.mark.slow  # evaluate is imported by two more processes
def test_two_processes_equal_one(metric, tmp_path: Path) -> None:
    truth, found = draw(21, clips=13, persons=3, ties=True)
    command = [warm_python(), "-m", "tests.support.har_two_processes", "evaluate", str(tmp_path)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"}
    started = [
        subprocess.Popen([*command, str(rank)], cwd=PROJECT, env=environment, stderr=subprocess.PIPE, text=True)
        for rank in (0, 1)
    ]
    errors = [process.communicate(timeout=400)[1] for process in started]
    assert (tmp_path / "rank0.json").exists(), errors[0][-2000:]
    expected = metric.compute(predictions=dense(found), references=labeled(truth))
    assert json.loads((tmp_path / "rank0.json").read_text()) == expected
    assert json.loads((tmp_path / "rank1.json").read_text()) is None


def test_folder_is_ready_to_push() -> None:
    import yaml

    card = (MODULE / "README.md").read_text()
    head = yaml.safe_load(card.split("---")[1])
    assert head["sdk"] == "gradio"
    assert (MODULE / head["app_file"]).is_file()
    assert {"evaluate", "metric"} <= set(head["tags"])
    assert "microg4m-hf" in (MODULE / "requirements.txt").read_text()
