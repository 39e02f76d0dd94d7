"""``microg4m predict caption|vqa`` with local models on the sample, and its error messages."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from safetensors.numpy import load_file, save_file

from microg4m_hf.cli.main import main
from microg4m_hf.errors import ModelError
from tests.support.warm_python import warm_python

Tiny = Callable[[str], Path]
FIVE = ("qwen2_5_vl", "qwen3_vl", "llava_next_video", "internvl", "smolvlm")


def predict(task: str, model: Path | str, out: Path, *more: str) -> int:
    words = ["predict", task, "--model", str(model), "--source", "sample", "--limit", "3", "--out", str(out)]
    return main([*words, "--frames", "3", "--max-new-tokens", "8", *more])


def rows(folder: Path) -> list[dict[str, str]]:
    return [json.loads(line) for line in (folder / "predictions.jsonl").read_text().splitlines()]


@pytest.mark.parametrize("family", FIVE)
@pytest.mark.filterwarnings("ignore")
def test_caption_vqa_and_score(tiny: Tiny, tmp_path: Path, family: str, capsys: pytest.CaptureFixture[str]) -> None:
    for task, count in (("caption", 3), ("vqa", 18)):
        folder = tmp_path / task
        assert predict(task, tiny(family), folder) == 0
        said = capsys.readouterr().out
        assert f"{count} finished ({count} now" in said and re.search(
            r"% encoding, \d+ % prefill, \d+ % decoding", said
        )
        assert len(rows(folder)) == count
        results = json.loads((folder / "results.json").read_text())
        spent = results["phases"]
        assert min(spent[name] for name in ("reading", "preparing", "encoding", "prefill", "decoding")) > 0
        assert sum(spent[name] for name in ("encoding", "prefill", "decoding")) == pytest.approx(
            results["seconds"], abs=0.1
        )
        assert results["prefix_hit_rate"] == (1.0 if task == "vqa" else 0.0)
        assert results["tokens_per_second"] > 0
        assert results["settings"]["weights"].startswith("files-")
        assert "transformers" in json.loads((folder / "environment.json").read_text())["packages"]
        command = ["score", task, "--predictions", str(folder / "predictions.jsonl"), "--source", "sample"]
        assert (
            main([*command, "--metrics", "bleu", "--missing", "drop", "--on-empty", "score", "--resamples", "0"]) == 0
        )
        assert "BLEU" in capsys.readouterr().out.upper()


def test_more_clips_later_run_only_what_is_missing(
    tiny: Tiny, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = tiny("llava")
    assert predict("vqa", model, tmp_path, "--limit", "1") == 0
    assert predict("vqa", model, tmp_path) == 0
    assert "18 finished (12 now" in capsys.readouterr().out
    assert predict("vqa", model, tmp_path, "--frames", "4") == 2
    assert "frames: 3 -> 4" in capsys.readouterr().err


def test_new_weights_in_the_same_folder_are_another_run(
    tiny: Tiny, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = tmp_path / "model"
    shutil.copytree(tiny("llava"), model)
    assert predict("caption", model, tmp_path / "run", "--limit", "1") == 0
    weights = bytearray((model / "model.safetensors").read_bytes())
    weights[-5] ^= 1
    (model / "model.safetensors").write_bytes(weights)
    assert predict("caption", model, tmp_path / "run", "--limit", "1") == 2
    assert "weights: 'files-" in capsys.readouterr().err


def test_a_clip_that_cannot_be_decoded_is_recorded_and_retried_on_request(
    tiny: Tiny, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from microg4m_hf.data import ensure_sample
    from tests.support.videos import media

    data = tmp_path / "data"
    shutil.copytree(ensure_sample(), data)
    clip = data / "videos/real/cabinCam-04/cabinCam-04_002.mp4"
    intact = clip.read_bytes()
    start, length = media(intact)  # the index stays intact, so only decoding fails
    clip.write_bytes(intact[:start] + bytes(length) + intact[start + length :])
    words = ["predict", "vqa", "--model", str(tiny("llava")), "--data-dir", str(data), "--limit", "2"]
    words += ["--frames", "2", "--max-new-tokens", "4", "--out", str(tmp_path / "run")]
    assert main(words) == 1
    assert "6 finished (12 now" in capsys.readouterr().out
    results = json.loads((tmp_path / "run" / "results.json").read_text())
    assert (results["failed"], results["missing"]) == (6, 0)
    assert {failure["kind"] for failure in results["failures"]} == {"decode"}
    assert "cabinCam-04_002.mp4" in results["failures"][0]["why"]
    clip.write_bytes(intact)
    assert main(words) == 1  # not retried without the option
    assert main([*words, "--retry-failed"]) == 0
    assert len(rows(tmp_path / "run")) == 12


def test_errors_are_one_line_that_says_what_to_do(
    tiny: Tiny, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from tests.support.tiny_vlm_tokenizer import tokenizer

    text_only = tmp_path / "text"
    tokenizer(["<s>"], "<s>", "<s>").save_pretrained(text_only)
    (text_only / "config.json").write_text('{"model_type": "llama"}')
    remote = tmp_path / "remote"
    shutil.copytree(tiny("llava"), remote)
    config = json.loads((remote / "config.json").read_text()) | {
        "model_type": "owl",
        "auto_map": {"AutoConfig": "owl.OwlConfig", "AutoModelForCausalLM": "owl.Owl"},
    }
    (remote / "config.json").write_text(json.dumps(config))
    (remote / "owl.py").write_text("raise SystemExit('this code must never run')")
    silent = tmp_path / "silent"
    shutil.copytree(tiny("llava"), silent)
    (silent / "chat_template.jinja").unlink()
    half = tmp_path / "half"
    shutil.copytree(tiny("llava"), half)
    weights = load_file(half / "model.safetensors")
    save_file(dict(sorted(weights.items())[1:]), half / "model.safetensors", metadata={"format": "pt"})
    for model, more, what in (
        (text_only, [], "takes no images"),
        (remote, [], "--runner isolated"),
        (silent, [], "has no chat template"),
        (half, [], f"{half} is not whole: "),
        (tmp_path / "nowhere", [], "neither a folder nor a Hub repository; give a folder or owner/name"),
        (tiny("llava"), ["--quantization", "4bit"], "pip install bitsandbytes"),
        (tiny("llava"), ["--prompts", "loud"], "there is no prompt set 'loud'"),
        (tiny("llava"), ["--batch-size", "0"], "--batch-size must be at least 1"),
        (tiny("llava"), ["--device", "gpu"], "--device gpu cannot be used"),
        (tiny("llava"), ["--device", "cpu", "--device-map", "auto"], "remove one of them"),
        (tiny("llava"), ["--runner", "api", "--dtype", "float16"], "--dtype has no effect with --runner api"),
    ):
        assert predict("vqa", model, tmp_path / "out", *more) == 2, what
        message = capsys.readouterr().err.strip().splitlines()[-1]
        assert message.startswith("microg4m: ") and what in message
    assert predict("vqa", tiny("llava"), tmp_path / "out", "--limit", "1") == 0  # in the folder of all attempts


def test_a_model_that_does_not_fit_or_a_full_disk_is_not_a_wrong_model() -> None:
    import errno

    import torch

    from microg4m_hf.inference.vlm.loading import _translated_errors

    with (
        pytest.raises(ModelError, match=r"owner/large does not fit into memory .*; use --quantization 8bit or 4bit"),
        _translated_errors("owner/large"),
    ):
        torch.empty(1 << 52, dtype=torch.uint8)
    with pytest.raises(OSError, match="No space left"), _translated_errors("owner/large"):
        raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.slow
def test_two_processes_write_the_file_of_one(tiny: Tiny, tmp_path: Path) -> None:
    words = ["-m", "microg4m_hf", "predict", "vqa", "--model", str(tiny("video_llava")), "--source", "sample"]
    words += ["--limit", "3", "--frames", "3", "--max-new-tokens", "8", "--out", str(tmp_path / "two")]
    launcher = [warm_python(), "-m", "torch.distributed.run", "--nproc_per_node", "2", "--master_port", "0"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHON_EXEC": warm_python()}
    done = subprocess.run([*launcher, *words], env=environment, capture_output=True, text=True, timeout=400)
    assert done.returncode == 0, done.stderr[-3000:]
    assert "18 finished" in done.stdout
    assert predict("vqa", tiny("video_llava"), tmp_path / "one") == 0
    assert (tmp_path / "two" / "predictions.jsonl").read_bytes() == (
        tmp_path / "one" / "predictions.jsonl"
    ).read_bytes()
    assert [len((tmp_path / "two" / f"items.rank{rank}.jsonl").read_text().splitlines()) for rank in (0, 1)] == [12, 6]
