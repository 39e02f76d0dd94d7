"""Texts under several turns of a clip: what the model sees, how likely a text is, the choice, and the run folder."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from microg4m_hf.cli.main import main
from microg4m_hf.data.turns import Turn, turn_frames
from microg4m_hf.errors import RecipeError
from microg4m_hf.inference import Endpoint, TextSettings, predict_texts
from microg4m_hf.inference.api.runner import api_runner
from microg4m_hf.inference.frames import read_frames
from microg4m_hf.inference.items import ClipQueries, Query
from microg4m_hf.inference.text_prediction import choosing_runner
from microg4m_hf.inference.turn_choice import choose_for_clip, choose_record
from microg4m_hf.metrics.text.entries import read_entries
from tests.support.bad_api_server import BadServer
from tests.support.videos import write_video

Tiny = Callable[[str], Path]


def _lines(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text().splitlines()]


@pytest.mark.parametrize("family", ["qwen2_5_vl", "llava"])
def test_the_likelihood_is_the_mean_over_the_tokens(tiny: Tiny, questions: list[ClipQueries], family: str) -> None:
    """In a batch, with and without the prefix cache."""
    import torch

    from microg4m_hf.inference.items import prompt_set
    from microg4m_hf.inference.vlm.generate import Generator
    from microg4m_hf.inference.vlm.inputs import InputPreparer, PromptBuilder
    from microg4m_hf.inference.vlm.loading import Placement, load_model
    from microg4m_hf.inference.vlm.prefix_cache import generate_from_prefix, plain_inputs

    settings = TextSettings("vqa", str(tiny(family)), frames=2, max_new_tokens=6, prompts="plain", turns=4)
    model, processor = load_model(settings, Placement())
    generator = Generator(model, processor, settings)
    clip = replace(questions[0], queries=questions[0].queries[:3])
    preparer = InputPreparer(PromptBuilder(processor, prompt_set("plain"), as_images=False))
    (item,) = preparer.prepare(clip, read_frames(clip.video, 2))
    rows = [(item, number) for number in range(3)]
    batch = generator.generate(**plain_inputs(model, rows))
    (cached,) = generate_from_prefix(generator, [item], 2)
    for row, one, other in zip(rows, batch, cached, strict=True):
        options = {"return_dict_in_generate": True, "output_logits": True}
        with torch.inference_mode():
            alone = model.generate(**plain_inputs(model, [row])["inputs"], **generator.options, **options)
        logits = torch.cat(alone.logits).float().log_softmax(-1)
        expected = float(logits.gather(1, alone.sequences[0, -len(logits) :, None]).mean())
        assert len(logits) == one.new_tokens
        assert (one.likelihood, other.likelihood) == pytest.approx((expected, expected), abs=1e-4)


def test_the_most_likely_text_is_kept_and_all_are_recorded(
    tiny: Tiny, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from microg4m_hf.data import load_dataset

    model = str(tiny("qwen2_5_vl"))
    words = ["predict", "vqa", "--model", model, "--source", "sample", "--limit", "2", "--frames", "2"]
    words += ["--max-new-tokens", "4", "--batch-size", "5", "--out", str(tmp_path / "run")]
    assert main([*words, "--turns", "4"]) == 0
    said = capsys.readouterr()
    assert "0°, 90°, 180° and 270°: 4 texts per item instead of 1; the most likely text is kept" in said.err
    records = {record["id"]: record for record in _lines(tmp_path / "run" / "items.rank0.jsonl")}
    rows = load_dataset("vqa", split="test", source="sample")
    for degrees in (0, 90):
        settings = TextSettings("vqa", model, frames=2, max_new_tokens=4, rotation=degrees)
        predict_texts(settings, rows, tmp_path / str(degrees), limit=2)
        for line in _lines(tmp_path / str(degrees) / "predictions.jsonl"):
            (seen,) = (one for one in records[line["question_id"]]["turns"] if one["turn"] == f"{degrees}°")
            assert seen["text"] == line["answer"]
    assert len({one["turn"] for record in records.values() for one in record["turns"]}) == 4
    for line in _lines(tmp_path / "run" / "predictions.jsonl"):
        record = records[line["question_id"]]
        best = max(record["turns"], key=lambda one: one["likelihood"])
        assert (line["answer"], line["turn"]) == (record["text"], record["turn"])
        assert record["likelihood"] == pytest.approx(best["likelihood"], abs=1e-4)
    results = json.loads((tmp_path / "run" / "results.json").read_text())
    assert sum(results["chosen_turns"].values()) == results["finished"] == len(records) == 12
    assert results["settings"]["turns"] == 4
    spent = results["phases"]
    assert sum(spent[name] for name in ("encoding", "prefill", "decoding")) == pytest.approx(
        results["seconds"], abs=0.1
    )
    assert len(read_entries(tmp_path / "run" / "predictions.jsonl", "vqa", "predictions")) == 12

    journal = (tmp_path / "run" / "items.rank0.jsonl").read_text()
    assert main([*words, "--turns", "4"]) == 0
    assert (tmp_path / "run" / "items.rank0.jsonl").read_text() == journal
    assert main([*words, "--turns", "2"]) == 2
    assert "turns: 4 -> 2" in capsys.readouterr().err
    assert main(words) == 2
    assert "turns: 4 -> None" in capsys.readouterr().err


def test_settings_of_earlier_runs_are_unchanged() -> None:
    assert not {"turns", "turn_choice", "rotation", "mirrored"} & set(TextSettings("vqa", "m").to_dict())
    plain, turned = TextSettings("vqa", "m"), TextSettings("vqa", "m", turns=2, turn_choice="majority", rotation=90)
    assert turned.to_dict() == plain.to_dict() | {"turns": 2, "turn_choice": "majority", "rotation": 90}
    assert turned.views == (Turn(90), Turn(270))
    assert TextSettings("vqa", "m", mirrored=True).views == (Turn(0, mirrored=True),)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"model": "blind", "turns": 4}, "blind does not look at the video; remove --turns 4"),
        ({"turn_choice": "majority"}, "needs several turns; add --turns 4"),
        ({"turn_choice": "clip"}, "needs several turns; add --turns 4"),
        ({"task": "caption", "turns": 4, "turn_choice": "clip"}, "which has one caption; use likelihood"),
        ({"runner": "api", "turns": 4, "turn_choice": "clip"}, r"--runner api does not return"),
        ({"task": "caption", "turns": 4, "turn_choice": "majority"}, "captions are hardly ever equal; use likelihood"),
        ({"runner": "api", "turns": 4}, r"--runner api does not return; add --turn-choice majority"),
        ({"turns": 3}, "--turns is 3, it can be 1, 2, 4"),
    ],
)
def test_turns_that_cannot_work_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        TextSettings(**{"task": "vqa", "model": "m", **options})


def _answers(**texts: str) -> dict[Turn, dict[str, Any]]:
    return {
        Turn(int(name[1:])): {"status": "ok", "text": text, "tokens": {"in": 5, "out": 2}, "likelihood": -1.0}
        for name, text in texts.items()
    }


def test_the_majority_ignores_case_and_ties_go_to_the_likelier_then_the_first() -> None:
    chosen = choose_record(_answers(_0="A", _90="B.", _180="b", _270="C"), "majority")
    assert (chosen["text"], chosen["turn"], chosen["tokens"]) == ("B.", "90°", {"in": 20, "out": 8})
    tied = _answers(_0="A", _90="B", _180="C", _270="D")
    assert choose_record(tied, "majority")["turn"] == "0°"
    tied[Turn(180)]["likelihood"] = -0.5
    assert choose_record(tied, "majority")["turn"] == "180°"
    assert choose_record(_answers(_0="", _90="", _180="C", _270=""), "majority")["text"] == "C"
    assert choose_record(_answers(_0="", _90="B"), "likelihood")["text"] == "B"
    assert choose_record(_answers(_0="", _90=""), "likelihood")["turn"] == "0°"
    noise = _answers(_0="A", _90="B")
    noise[Turn(90)]["likelihood"] = -1.0 + 1e-6
    assert choose_record(noise, "likelihood")["turn"] == "0°"
    sure = _answers(_0="A", _90="B")
    sure[Turn(0)]["likelihood"], sure[Turn(90)]["likelihood"] = -0.00014, -0.00012
    assert choose_record(sure, "likelihood")["turn"] == "90°"


def _views(*texts: tuple[str, float]) -> dict[str, Any]:
    return choose_record(
        {Turn(90 * number): {"status": "ok", "text": text, "likelihood": likelihood, "tokens": {"out": 1}}
         for number, (text, likelihood) in enumerate(texts)},
        "clip",
    )  # fmt: skip


def test_a_clip_has_the_texts_of_the_turn_that_makes_all_of_them_likely() -> None:
    clip = [_views(("A", -0.9), ("B", -0.1)), _views(("C", -0.1), ("D", -1.5)), _views(("E", -0.2), ("F", -0.3))]
    assert [record["text"] for record in clip] == ["B", "C", "E"]
    settled = choose_for_clip(clip)
    assert [record["text"] for record in settled] == ["A", "C", "E"]
    assert {record["turn"] for record in settled} == {"0°"} and settled[0]["likelihood"] == -0.9
    assert clip[0]["text"] == "B"  # the journal keeps what it has
    # A turn without a text is not chosen, however likely its others are; a failed record stays as it is.
    empty = [_views(("A", -0.9), ("B", -0.1)), _views(("", -0.1), ("D", -1.5))]
    failed = {"status": "failed", "kind": "timeout", "why": "late"}
    settled = choose_for_clip([*empty, failed])
    assert [record.get("text") for record in settled] == ["B", "D", None] and settled[2] is failed
    assert choose_for_clip([failed]) == [failed] and choose_for_clip([]) == []


def test_one_turn_is_chosen_for_each_clip_of_a_run_in_one_go_or_in_two(tiny: Tiny, tmp_path: Path) -> None:
    from microg4m_hf.data import load_dataset

    rows = load_dataset("vqa", split="test", source="sample")
    settings = TextSettings("vqa", str(tiny("qwen2_5_vl")), frames=2, max_new_tokens=4, turns=4, turn_choice="clip")
    whole = predict_texts(settings, rows, tmp_path / "whole", limit=2)
    lines = _lines(tmp_path / "whole" / "predictions.jsonl")
    turns = {line["video_id"]: line["turn"] for line in lines}
    assert [line["turn"] for line in lines] == [turns[line["video_id"]] for line in lines] and len(turns) == 2
    assert sum(whole["chosen_turns"].values()) == len(lines)

    (tmp_path / "killed").mkdir()
    journal = (tmp_path / "whole" / "items.rank0.jsonl").read_text().splitlines(keepends=True)
    (tmp_path / "killed" / "items.rank0.jsonl").write_text("".join(journal[:2]))
    predict_texts(settings, rows, tmp_path / "killed", limit=2)
    assert _lines(tmp_path / "killed" / "predictions.jsonl") == lines


def test_a_refusal_leaves_the_choice_to_the_others_and_an_outage_does_not() -> None:
    records = _answers(_0="A", _90="B")
    refused = records | {Turn(0): {"status": "failed", "kind": "refusal", "why": "no"}}
    chosen = choose_record(refused, "likelihood")
    assert (chosen["status"], chosen["text"]) == ("ok", "B")
    assert chosen["turns"][0] == {"turn": "0°", "kind": "refusal"}
    lost = choose_record(records | {Turn(90): {"status": "failed", "kind": "timeout", "why": "late"}}, "likelihood")
    assert (lost["status"], lost["why"]) == ("failed", "turned 90°: late")
    assert lost["tokens"] == {"in": 5, "out": 2}  # those of the other turn were paid for
    both = choose_record({turn: refused[Turn(0)] for turn in records}, "likelihood")
    assert (both["status"], both["kind"]) == ("failed", "refusal")


def test_a_server_gets_the_turned_frames(tmp_path: Path) -> None:
    video = write_video(tmp_path / "a_001.mp4")
    settings = TextSettings("vqa", "m", "api", prompts="plain", frames=2, turns=4, turn_choice="majority")
    clip = ClipQueries(str(video), "a_001", (Query("q0", "Who?"),))
    with BadServer() as server:
        endpoint = Endpoint(server.url, "key", concurrency=1)
        ((query, record),) = choosing_runner(api_runner(settings, endpoint), settings)([clip])
        bodies = list(server.bodies)
    assert query == clip.queries[0]
    assert (record["turn"], record["requests"], len(record["turns"])) == ("0°", 4, 4)
    frames = read_frames(str(video), 2).frames
    for turn, body in zip(settings.views, bodies, strict=True):
        url = body["messages"][0]["content"][0]["image_url"]["url"]
        picture = np.asarray(Image.open(io.BytesIO(base64.b64decode(url.split(",")[1]))), float)
        away = {one: _distance(picture, turn_frames(frames, one)[0]) for one in settings.views}
        assert min(away, key=away.__getitem__) == turn


def _distance(one: np.ndarray, other: np.ndarray) -> float:
    return float(np.abs(one - other).mean()) if one.shape == other.shape else float("inf")
