"""The API runner against ``transformers serve`` with a tiny model, whose answers can be computed directly."""

from __future__ import annotations

import base64
import io
import json
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from microg4m_hf.cli.main import main
from microg4m_hf.curate import drafting
from microg4m_hf.data import ensure_sample, load_dataset
from microg4m_hf.inference.api.client import Endpoint
from microg4m_hf.inference.api.messages import encode_images
from microg4m_hf.inference.frames import read_frames
from microg4m_hf.inference.vlm.loading import Placement
from tests.support.ports import free_port

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def model(tiny: Callable[[str], Path]) -> Path:
    return tiny("qwen2_5_vl")


@pytest.fixture(scope="module")
def served(model: Path) -> Iterator[str]:
    from transformers.cli.serve import Serve

    port = free_port()
    server = Serve(
        force_model=str(model),
        device="cpu",
        host="127.0.0.1",
        port=port,
        non_blocking=True,
        dtype="float32",
        log_level="error",
    )
    end = time.monotonic() + 600
    while True:
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5).read()
            break
        except (urllib.error.URLError, OSError):
            assert time.monotonic() < end, "the server did not start"
            time.sleep(0.1)
    yield f"http://127.0.0.1:{port}/v1"
    server.kill_server()


def test_captions_and_answers_are_those_of_the_model(served: str, model: Path, tmp_path: Path) -> None:
    ensure_sample()
    out = {task: tmp_path / task for task in ("caption", "vqa")}
    for task, folder in out.items():
        words = ["predict", task, "--runner", "api", "--base-url", served, "--model", str(model), "--out", str(folder)]
        words += ["--source", "sample", "--limit", "2", "--frames", "2", "--max-new-tokens", "8"]
        assert main([*words, "--prompts", "plain", "--concurrency", "3"]) == 0
    results = json.loads((out["vqa"] / "results.json").read_text())
    assert (results["finished"], results["requests"]) == (12, 12)
    # A greedy answer has eight tokens, or fewer if it ends by itself.
    assert 12 <= results["tokens"]["out"] <= 96 and results["tokens"]["in"] > 12 * 20
    predictions = [json.loads(line) for folder in out.values() for line in lines_of(folder)]
    assert len(predictions) == 14
    clips = {row["video_id"]: row["video"] for row in load_dataset("caption", split="test", source="sample")}
    texts = set()
    for prediction in (predictions[0], predictions[1], predictions[2], predictions[-1]):
        text = prediction.get("question", "Describe this video.")
        answer = prediction["caption" if "caption" in prediction else "answer"]
        assert answer == generated(model, clips[prediction["video_id"]], text).strip()
        texts.add(answer)
    assert len(texts) > 1


def lines_of(folder: Path) -> list[str]:
    return (folder / "predictions.jsonl").read_text().splitlines()


def generated(folder: Path, video: Any, text: str) -> str:
    """Generate with the model itself, from the images that were sent."""
    import torch
    from PIL import Image
    from transformers import AutoModelForImageTextToText, AutoProcessor

    processor = AutoProcessor.from_pretrained(folder)
    model = AutoModelForImageTextToText.from_pretrained(folder, dtype=torch.float32)
    sent = encode_images(read_frames(video, 2, "uniform").frames)
    files = [base64.b64decode(part["image_url"]["url"].split(",")[1]) for part in sent]
    content = [{"type": "image", "image": Image.open(io.BytesIO(file))} for file in files]
    messages = [{"role": "user", "content": [*content, {"type": "text", "text": text}]}]
    inputs = processor.apply_chat_template(
        messages, add_generation_prompt=True, tokenize=True, return_dict=True, return_tensors="pt"
    )
    with torch.inference_mode():
        ids = model.generate(**inputs, max_new_tokens=8, do_sample=False)
    return processor.decode(ids[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True)


def test_drafts_of_texts_are_those_of_the_model(served: str, model: Path, tmp_path: Path) -> None:
    """The stage ``texts`` of ``microg4m curate``: caption, then questions about it; noise is no question."""
    clip = sorted((ensure_sample() / "videos").rglob("*.mp4"))[0]
    copy = drafting.clip_file(tmp_path, clip.stem)
    copy.parent.mkdir(parents=True)
    copy.symlink_to(clip)
    settings = drafting.text_settings(str(model), runner="api", frames=2, max_new_tokens=8)
    summary = drafting.draft_texts(tmp_path, settings, endpoint=Endpoint(served, key=""))
    assert (summary["finished"], summary["failed"], summary["missing"], summary["requests"]) == (2, 0, 0, 2)
    assert summary["clips_with_unreadable_questions"] == 1
    proposed = drafting.read_drafts(tmp_path)[clip.stem]
    assert proposed.caption == generated(model, copy, drafting.CAPTION).strip()

    local = drafting.text_settings(str(model), frames=2, max_new_tokens=8, as_images=True)
    summary = drafting.draft_texts(tmp_path, local, placement=Placement(device="cpu", batch_size=1))
    assert (summary["finished"], summary["failed"], summary["missing"]) == (2, 0, 0)
    assert drafting.read_drafts(tmp_path)[clip.stem].caption  # now those of the newest settings
