"""The isolated runner: models with code for transformers 4, and every way in which a worker can fail."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from microg4m_hf.cli.main import main
from microg4m_hf.data import ensure_sample
from microg4m_hf.errors import RecipeError, ServerError
from microg4m_hf.inference.isolated.runner import IsolatedEnvironment, adapter_name, isolated_runner
from microg4m_hf.inference.items import ClipQueries, Query, TextSettings
from microg4m_hf.inference.run import run
from tests.support.dataset_versions import DOWNLOAD_ERRORS
from tests.support.hub_code_model import CODE, model_with_code
from tests.support.transformers_4 import python_with_transformers_4
from tests.support.videos import write_video

COLORS = {"red": (220, 10, 10), "green": (10, 200, 10), "blue": (10, 10, 220)}
PREDICTED = {"red": "green", "green": "blue", "blue": "red"}
ADAPTER = """
import os, signal, sys, time
from pathlib import Path

import numpy  # here, or it would be part of the time of the first answer

def load(model, revision):
    folder = Path(model).parent
    if revision == "broken":
        raise OSError("no such weights")
    print("loaded", revision)
    return folder

def answer(folder, frames, prompt, settings):
    what, _, number = prompt.partition(" ")
    seen = folder / f"seen_{what}_{number}"
    again = seen.exists()
    seen.touch()
    (folder / "pid").write_text(str(os.getpid()))
    if what == "dies" or (what == "dies_once" and not again):
        print("last line\\rof the worker", file=sys.stderr, flush=True)
        os.kill(os.getpid(), signal.SIGSEGV)
    if what == "leaves":
        sys.exit(7)
    if what == "hangs":
        time.sleep(600)
    if what == "raises" and not again:
        raise ValueError(f"cannot do {prompt}")
    if what == "environment":
        return " ".join(sorted(os.environ))
    if what == "floods":
        sys.stderr.write("x" * 2_000_000)
        print("y" * 2_000_000)
    return {"quiet": "", "odd": None, "half": "half \\ud800"}.get(
        what, f"{frames.shape} {frames.dtype} {settings['max_new_tokens']}"
    )
"""


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("clips")
    return {
        name: str(write_video(folder / f"{name}.mp4", np.full((8, 48, 64, 3), color, np.uint8)))
        for name, color in COLORS.items()
    }


@pytest.fixture
def adapter(tmp_path: Path) -> str:
    (tmp_path / "adapter.py").write_text(ADAPTER)
    return str(tmp_path / "adapter.py")


def group(video: str, *questions: str) -> list[ClipQueries]:
    return [ClipQueries(video, "a_001", tuple(Query(question, question) for question in questions))]


def settings(model: Path, **more: Any) -> TextSettings:
    return TextSettings("vqa", str(model), "isolated", prompts="plain", frames=3, **more)


def answers(
    run_settings: TextSettings, work: list[ClipQueries], python: str = sys.executable, **more: Any
) -> dict[str, Any]:
    return {
        query.id: record for query, record in isolated_runner(run_settings, IsolatedEnvironment(python, **more))(work)
    }


@pytest.fixture(scope="module")
def transformers_4() -> str:
    try:
        return str(python_with_transformers_4())
    except subprocess.CalledProcessError as error:
        if any(sign in error.stderr for sign in DOWNLOAD_ERRORS):
            pytest.skip(f"transformers 4 cannot be fetched: {error.stderr[:300]}")
        raise


def test_the_code_of_the_test_models_needs_transformers_4() -> None:
    from transformers import __file__ as newer

    needed = "apply_chunking_to_forward"
    assert needed in CODE and needed not in (Path(newer).parent / "modeling_utils.py").read_text()


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "adapter"), [("TinyChat", "internvl"), ("TinyOwl", None)])
def test_code_from_the_hub_under_transformers_4(
    transformers_4: str, clips: dict[str, str], tmp_path: Path, kind: str, adapter: str | None
) -> None:
    model = model_with_code(tmp_path / "model", kind)
    work = [
        ClipQueries(video, f"{name}_001", tuple(Query(f"{name}_{n}", f"which {word}") for n, word in enumerate(WORDS)))
        for name, video in clips.items()
    ]
    run_settings = settings(model, adapter=adapter_name(adapter))
    summary = run(
        run_settings,
        work,
        tmp_path / "run",
        lambda: isolated_runner(run_settings, IsolatedEnvironment(transformers_4, adapter, trust_remote_code=True)),
    )
    assert (summary["finished"], summary["failed"]) == (6, 0), summary["failures"]
    (versions,) = summary["served"]
    assert "transformers 4." in versions and "torch" in versions
    texts = [json.loads(line)["answer"] for line in (tmp_path / "run" / "predictions.jsonl").read_text().splitlines()]
    assert texts == [f"3 {' '.join([PREDICTED[name]] * 3)} {word}" for name in clips for word in WORDS]


WORDS = ("colour?", "many?")


@pytest.mark.slow
def test_code_from_the_hub_runs_only_with_trust_remote_code(
    transformers_4: str, clips: dict[str, str], tmp_path: Path
) -> None:
    model = model_with_code(tmp_path / "model", "TinyChat")
    with pytest.raises(ServerError, match="read the model's code, then allow it with --trust-remote-code"):
        answers(settings(model), group(clips["red"], "colour?"), transformers_4)


def test_every_way_a_worker_can_fail(clips: dict[str, str], adapter: str, tmp_path: Path) -> None:
    questions = ["fine 1", "dies_once 1", "dies 1", "fine 2", "hangs 1", "fine 3", "leaves 1", "raises 1", "fine 4"]
    questions += ["floods 1", "quiet 1", "odd 1", "half 1", "fine 5"]
    results = answers(settings(tmp_path / "model"), group(clips["red"], *questions), adapter=adapter, timeout=2.0)
    assert list(results) == questions
    fine = "(3, 48, 64, 3) uint8 256"
    for name in ("fine 1", "fine 2", "fine 3", "fine 4", "fine 5", "dies_once 1", "floods 1"):
        assert results[name] | {"served": ""} == {"status": "ok", "text": fine, "served": ""}, name
    assert results["half 1"]["text"] == "half ?"
    kinds = {name: record["kind"] for name, record in results.items() if record["status"] != "ok"}
    assert kinds == {
        "dies 1": "crash",
        "hangs 1": "timeout",
        "leaves 1": "crash",
        "raises 1": "error",
        "quiet 1": "empty",
        "odd 1": "error",
    }
    assert "signal SIGSEGV" in results["dies 1"]["why"] and "| of the worker" in results["dies 1"]["why"]
    assert "exit code 7" in results["leaves 1"]["why"] and "within 2 s" in results["hangs 1"]["why"]
    assert results["raises 1"]["why"].startswith("ValueError: cannot do raises 1 (adapter.py:")
    assert "NoneType" in results["odd 1"]["why"]


def test_a_worker_that_hangs_is_killed_without_process_groups(
    clips: dict[str, str], adapter: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(os, "killpg")  # Windows has no such function
    asked = group(clips["red"], "hangs 1", "fine 1")
    results = answers(settings(tmp_path / "model"), asked, adapter=adapter, timeout=2.0)
    assert results["hangs 1"]["kind"] == "timeout" and results["fine 1"]["status"] == "ok"


def test_a_worker_sees_no_keys_and_no_tokens(
    clips: dict[str, str], adapter: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    secrets = ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "OPENAI_API_KEY", "AWS_SECRET_ACCESS_KEY", "WANDB_API_KEY")
    secrets += (
        "AWS_ACCESS_KEY_ID",
        "PGPASSWORD",
        "SSH_AUTH_SOCK",
        "MYAPIKEY",
        "GH_PAT",
        "GOOGLE_APPLICATION_CREDENTIALS",
    )
    kept = ("HF_HOME", "HF_HUB_CACHE", "CUDA_VISIBLE_DEVICES", "KEYBOARD_LAYOUT", "TOKENIZERS_PARALLELISM")
    for name in secrets + kept:
        monkeypatch.setenv(name, "value")
    monkeypatch.setenv("BROKER", "amqp://user:password@host/queue")
    (record,) = answers(settings(tmp_path / "model"), group(clips["red"], "environment 1"), adapter=adapter).values()
    seen = set(record["text"].split())
    assert seen >= {"PATH", *kept} and not seen & {"BROKER", *secrets}


def test_failures_are_recorded_and_retried_on_request(clips: dict[str, str], adapter: str, tmp_path: Path) -> None:
    work, run_settings = group(clips["red"], "fine 1", "raises 1"), settings(tmp_path / "model")
    here = IsolatedEnvironment(sys.executable, adapter)
    summaries = [
        run(run_settings, work, tmp_path / "run", lambda: isolated_runner(run_settings, here), **retry)
        for retry in ({}, {}, {"retry_failed": True})
    ]
    assert [(one["finished"], one["failed"], one["done_now"]) for one in summaries] == [(1, 1, 2), (1, 1, 0), (2, 0, 1)]


def test_a_model_that_always_dies_ends_the_run(clips: dict[str, str], adapter: str, tmp_path: Path) -> None:
    work = group(clips["red"], *(f"dies {n}" for n in range(9)))
    with pytest.raises(ServerError, match="5 items in a row failed, the last one with: the worker died"):
        answers(settings(tmp_path / "model"), work, adapter=adapter)
    assert len(list(tmp_path.glob("seen_dies_*"))) == 5


def test_errors_at_the_start_say_why(clips: dict[str, str], adapter: str, tmp_path: Path) -> None:
    work = group(clips["red"], "fine 1")
    with pytest.raises(RecipeError, match=r"is not an executable; did you mean .*bin/python\?"):
        answers(settings(tmp_path / "model"), work, python=str(tmp_path))
    with pytest.raises(RecipeError, match="not an existing Python file; use one, or internvl, owl3"):
        answers(settings(tmp_path / "model"), work, adapter="nowhere.py")
    with pytest.raises(ServerError, match=r"cannot be loaded under .*: OSError: no such weights \(adapter.py:\d+ load"):
        answers(settings(tmp_path / "model", revision="broken"), work, adapter=adapter)
    with pytest.raises(ServerError, match=r"cannot be loaded under .*worker died \(exit code 0\)"):
        answers(settings(tmp_path / "model"), work, python="true", adapter=adapter)
    (tmp_path / "bad.py").write_text("def load(:")
    with pytest.raises(ServerError, match="SyntaxError"):
        answers(settings(tmp_path / "model"), work, adapter=str(tmp_path / "bad.py"))


def test_a_clip_that_cannot_be_decoded(clips: dict[str, str], adapter: str, tmp_path: Path) -> None:
    work = [ClipQueries(str(tmp_path / "none.mp4"), "b_001", (Query("b"),)), *group(clips["red"], "fine 1")]
    results = answers(settings(tmp_path / "model"), work, adapter=adapter)
    assert results["b"]["kind"] == "decode" and results["fine 1"]["status"] == "ok"


def test_an_adapter_with_another_content_is_another_setting(adapter: str) -> None:
    before = adapter_name(adapter)
    Path(adapter).write_text(ADAPTER + "\n")
    assert before.startswith("adapter.py ") and adapter_name(adapter) != before


def running(pid: int) -> bool:
    """Whether a process is running. Containers keep exited orphans as zombies."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_a_killed_command_leaves_no_worker_and_no_files(
    adapter: str, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    model = tmp_path / "model"
    model.mkdir()
    words = ["predict", "vqa", "--model", str(model), "--runner", "isolated", "--python", sys.executable]
    words += ["--adapter", adapter, "--source", "sample", "--limit", "2", "--frames", "2", "--prompts", "plain"]
    words += ["--out", str(tmp_path / "run")]
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    slow = ADAPTER.replace('what == "hangs"', 'seen.name and (folder / "block").exists()')
    Path(adapter).write_text(slow)
    (tmp_path / "block").touch()
    ensure_sample()
    process = subprocess.Popen(
        [sys.executable, "-m", "microg4m_hf", *words], env={**os.environ, "TMPDIR": str(temporary)}
    )
    end = time.monotonic() + 600
    while not (tmp_path / "pid").exists() or not (tmp_path / "pid").read_text():
        assert process.poll() is None and time.monotonic() < end
        time.sleep(0.02)
    worker = int((tmp_path / "pid").read_text())
    assert list(temporary.rglob("*.npy"))
    process.send_signal(signal.SIGKILL)
    process.wait()
    while running(worker) and time.monotonic() < end:
        time.sleep(0.05)
    assert not running(worker) and not list(temporary.rglob("*.npy"))
    (tmp_path / "block").unlink()
    assert main(words) == 0
    assert "12 finished (12 now" in capsys.readouterr().out


def test_files_of_a_run_that_died_with_its_worker_are_removed_by_the_next(
    clips: dict[str, str], adapter: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after a power failure, when no worker is left that could remove them."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    script = (
        "import sys; from pathlib import Path; from microg4m_hf.scratch import scratch_folder\n"
        "import os, signal\n"
        "with scratch_folder(Path(sys.argv[1])) as scratch:\n"
        "    (scratch / '0.npy').touch(); os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    subprocess.run([sys.executable, "-c", script, str(tmp_path / "microg4m-frames")], check=False)
    assert len(list(tmp_path.rglob("*.npy"))) == 1
    assert answers(settings(tmp_path / "model"), group(clips["red"], "fine 1"), adapter=adapter)
    assert not list(tmp_path.rglob("*.npy"))
