"""Leaderboard files and the lmms-eval task folder, read as the programs that they are for read them."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml
from huggingface_hub import parse_eval_result_entries

from microg4m_hf.bench import make_report
from microg4m_hf.bench.inspect_tasks import export_inspect
from microg4m_hf.bench.lmms_tasks import export_lmms_eval
from microg4m_hf.bench.scoring import ScoringOptions
from microg4m_hf.bench.vlmevalkit import export_vlmevalkit
from microg4m_hf.cli.main import main
from microg4m_hf.data import ensure_sample, load_dataset
from microg4m_hf.errors import RecipeError
from microg4m_hf.hub import LEADERBOARD, eval_results
from microg4m_hf.metrics import caption_scores, vqa_scores

PROJECT = Path(__file__).resolve().parents[2]


def test_leaderboard_tasks_match_eval_yaml() -> None:
    tasks = yaml.safe_load((PROJECT / "loading_scripts" / "eval.yaml").read_text())["tasks"]
    assert {task["id"]: task["config"] for task in tasks} == {name: task for name, (task, _) in LEADERBOARD.items()}


def test_missing_leaderboard_score_is_an_error_that_names_it() -> None:
    with pytest.raises(RecipeError, match="svqa"):
        eval_results("vqa", {"scores": {"cider": 1.0}, "signature": "text"})


def test_only_the_published_protocol_is_exported_to_the_leaderboard(shared: Path, runs: Path, tmp_path: Path) -> None:
    file = shared / "data" / "har_predictions" / "I3D_8x8_R50" / "detections_test.csv"
    data_dir = str(shared / "data" / "microg4m")
    make_report(
        [f"i3d={file}"], tmp_path / "a", data_dir=data_dir, options=ScoringOptions(resamples=0), eval_results=True
    )
    [entry] = parse_eval_result_entries(yaml.safe_load((tmp_path / "a" / "eval_results" / "i3d.yaml").read_text()))
    assert (entry.dataset_id, entry.task_id, entry.value) == ("LEI-QI-233/MicroG-4M", "har-map50", 46.41)
    assert "protocol:paper" in str(entry.notes)
    make_report(
        [runs / "good"], tmp_path / "b", options=ScoringOptions(resamples=0), eval_results=True
    )  # on the sample
    assert not (tmp_path / "b" / "eval_results").exists()


class _Loader(yaml.SafeLoader):
    """YAML with ``!function``, as lmms-eval reads it."""


@pytest.fixture
def exported(tmp_path: Path) -> tuple[dict[str, Any], ModuleType]:
    assert main(["report", "--export-lmms-eval", str(tmp_path / "tasks"), "me/MicroG-4M"]) == 0
    spec = importlib.util.spec_from_file_location("exported_utils", tmp_path / "tasks" / "utils.py")
    assert spec is not None
    assert spec.loader is not None
    utils = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(utils)
    _Loader.add_constructor("!function", lambda loader, node: getattr(utils, str(node.value).removeprefix("utils.")))
    tasks = {path.stem: yaml.load(path.read_text(), _Loader) for path in (tmp_path / "tasks").glob("*.yaml")}
    return tasks, utils


@pytest.mark.parametrize(("name", "config"), [("microg4m_caption", "caption"), ("microg4m_vqa", "vqa")])
def test_task_gives_the_scores_of_the_library(
    exported: tuple[dict[str, Any], ModuleType], name: str, config: str
) -> None:
    """Run the steps of the harness: rows, clip, prompt, answer, aggregation."""
    task = exported[0][name]
    rows: Any = task["process_docs"](load_dataset(config, split="test", source="sample"))
    kwargs = task["lmms_eval_specific_kwargs"]["default"]
    collected: dict[str, list[Any]] = {}
    predictions = []
    for number, doc in enumerate(rows.select(range(12))):
        [clip] = task["doc_to_visual"](doc)
        assert Path(clip).read_bytes()[4:8] == b"ftyp"
        prompt = task["doc_to_text"](doc, kwargs)
        assert doc.get("question", "Describe") in prompt
        answer = " ".join(doc[task["doc_to_target"]].split()[number % 2 :]) or "nothing"
        predictions.append({key: doc[key] for key in ("video_id", "question") if key in doc} | {"prediction": answer})
        for score, item in task["process_results"](doc, [answer]).items():
            collected.setdefault(score, []).append(item)
    score_all = caption_scores if config == "caption" else vqa_scores
    own = score_all(predictions, rows.select(range(12)).remove_columns("video"), resamples=0)["scores"]
    assert [metric["metric"] for metric in task["metric_list"]] == list(collected)
    for metric in task["metric_list"]:
        assert metric["aggregation"](collected[metric["metric"]]) == pytest.approx(100 * own[metric["metric"]])


def test_a_clip_that_is_there_twice_is_asked_once(exported: tuple[dict[str, Any], ModuleType]) -> None:
    """As published, the last caption of such a clip counts."""
    rows: Any = load_dataset("caption", split="test", source="sample").select([0, 1, 0, 2])
    captions = ["first", "other", "last", "another"]
    rows = rows.remove_columns("caption").add_column("caption", captions)
    kept = exported[0]["microg4m_caption"]["process_docs"](rows)
    assert list(kept["caption"]) == ["other", "last", "another"]
    asked: Any = load_dataset("vqa", split="test", source="sample").select([0, 1, 0])
    assert len(exported[0]["microg4m_vqa"]["process_docs"](asked)) == 2


def test_clips_inside_a_table_are_written_to_files(exported: tuple[dict[str, Any], ModuleType]) -> None:
    clip = next((ensure_sample() / "videos").rglob("*.mp4"))
    doc = {"video": {"path": "odd ../name.exe", "bytes": clip.read_bytes()}}
    [first] = exported[1].doc_to_visual(doc)
    assert Path(first).read_bytes() == clip.read_bytes()
    assert Path(first).suffix == ".mp4"
    assert Path(first).parent.name == "lmms-eval"  # the name cannot lead out of the cache
    assert exported[1].doc_to_visual(doc) == [first]


@pytest.mark.parametrize(
    ("option", "file"),
    [
        ("--export-lmms-eval", "utils.py"),
        ("--export-lmms-eval", "microg4m_vqa.yaml"),
        ("--export-inspect", "microg4m_tasks.py"),
        ("--export-vlmevalkit", "MicroG4M_VQA.tsv"),
        ("--export-vlmevalkit", "microg4m_video.py"),
        ("--export-vlmevalkit", "video/cabinCam-04_001.mp4"),
    ],
)
def test_files_of_others_are_not_overwritten(
    option: str, file: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / file
    path.parent.mkdir(exist_ok=True)
    path.write_text("mine = 1\n")
    repository = "me/MicroG-4M" if option == "--export-lmms-eval" else "sample"
    assert main(["report", option, str(tmp_path), repository]) == 2
    assert str(path) in capsys.readouterr().err
    assert [found for found in tmp_path.rglob("*") if found.is_file()] == [path]
    assert path.read_text() == "mine = 1\n"
    path.unlink()
    assert main(["report", option, str(tmp_path), repository]) == 0
    assert main(["report", option, str(tmp_path), repository]) == 0  # its own files are replaced


def test_repository_must_be_a_hub_id(tmp_path: Path) -> None:
    for name in ("MicroG-4M", "sample"):  # lmms-eval loads from the Hub
        with pytest.raises(RecipeError, match="organization/name"):
            export_lmms_eval(tmp_path, name)
    with pytest.raises(RecipeError, match="organization/name"):
        export_inspect(tmp_path, "a/b/c")
    with pytest.raises(RecipeError, match="organization/name"):
        export_vlmevalkit(tmp_path, "me/")
    assert json.dumps(list(tmp_path.iterdir())) == "[]"
