"""Scoring, training and reports find their references in one place."""

from __future__ import annotations

import argparse
import ast
from pathlib import Path
from typing import Any

import pytest

import microg4m_hf
from microg4m_hf.bench.references import References
from microg4m_hf.cli import options
from microg4m_hf.data import references
from microg4m_hf.metrics.har.inputs import read_rows
from microg4m_hf.training import predict_run
from microg4m_hf.training.recipe import Data, Model, Recipe
from microg4m_hf.training.run_folder import RunFolder


def _of_the_command_line(scheme: str, split: str) -> Any:
    parser = argparse.ArgumentParser()
    options.add_reference_options(parser)
    args = parser.parse_args(["--source", "sample", "--scheme", scheme, "--split", split])
    args.what = "har"
    return options.find_references(args)[0]


def _of_training(scheme: str, split: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """Return the references that ``_predict_split`` passes on, or the rows of its own key frames."""
    from microg4m_hf.training.predict import reference_columns

    passed: dict[str, Any] = {}

    def predict_items(*arguments: Any, **settings: Any) -> dict[str, Any]:
        passed.update(settings, items=arguments[4])
        return {}

    monkeypatch.setattr(predict_run, "_predict_items", predict_items)
    data = Data(num_frames=4, stride=8, source="sample", scheme=scheme)
    recipe = Recipe("test", "own", Model("tiny_slow"), data=data)
    predict_run._predict_split(None, recipe, RunFolder(tmp_path), split, None)  # type: ignore[arg-type]
    return passed.get("references", reference_columns(passed["items"]))


def _table(rows: Any) -> list[tuple[Any, ...]]:
    found = read_rows(rows, references=True)
    boxes = found.box.round(3).tolist()
    return sorted(
        (found.videos[video], frame, *box, action)
        for video, frame, box, action in zip(
            found.video, found.frame.tolist(), boxes, found.action.tolist(), strict=True
        )
    )


@pytest.mark.parametrize("scheme", ["official", "source_disjoint"])
@pytest.mark.parametrize("split", ["validation", "test"])
def test_all_three_use_the_same_references(
    scheme: str, split: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    of_reports = References.from_dataset("har", source="sample", scheme=scheme, split=split)
    of_the_command_line = _of_the_command_line(scheme, split)
    of_training = _of_training(scheme, split, monkeypatch, tmp_path)
    if scheme == "official":
        assert of_the_command_line == of_training
        assert of_training.name == {"validation": "ava_val_gt.csv", "test": "ava_test_gt.csv"}[split]
    assert _table(of_the_command_line) == _table(of_training) == _table(of_reports.data) != []


def test_the_released_files_of_splits_are_chosen_in_one_file() -> None:
    package = Path(microg4m_hf.__file__).parent
    choosing = []
    for path in package.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Dict) and ".ava_test" in ast.unparse(node):
                choosing.append(path)
    assert choosing == [Path(references.__file__)]
