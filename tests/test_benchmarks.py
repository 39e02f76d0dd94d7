"""The benchmarks whose results the documentation cites run, and the committed results are those of the scripts."""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from unittest.mock import patch

import pytest

from microg4m_hf import models
from microg4m_hf.inference.items import paper_frames
from microg4m_hf.training import load_recipe
from tests.support.warm_python import warm_python

PROJECT = Path(__file__).resolve().parent.parent


@pytest.fixture(autouse=True)
def _variables() -> Iterator[None]:
    """Scripts set variables such as OMP_NUM_THREADS when they are loaded, which later tests must not see."""
    with patch.dict(os.environ):
        yield


@pytest.fixture(scope="module")
def coverage() -> ModuleType:
    spec = importlib.util.spec_from_file_location("coverage_of_intervals", PROJECT / "benchmarks" / "coverage.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_coverage_simulation_runs(coverage: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(coverage, "PIECE", 6)
    first, again = (coverage.simulate_piece(7, 20, 0) for _ in range(2))
    assert all((first[name] == again[name]).all() for name in first)
    table = coverage.summarize(**first)
    assert set(table) == set(coverage.SCORES)
    for parts in table.values():
        for what, entry in parts.items():
            assert set(entry["methods"]) == set(coverage.METHODS)
            own = entry["methods"][coverage.CHOSEN]
            assert own["without its own score"] == 0 < own["width"]
            if what != "A":
                assert entry["interval and p disagree"]["now"] == 0


def test_the_committed_coverage_is_good_and_the_documented_one(coverage: ModuleType) -> None:
    found = json.loads((PROJECT / "benchmarks" / "results" / "coverage.json").read_text())
    page = (PROJECT / "docs" / "har_scores.md").read_text()
    documented = {tuple(cell.strip() for cell in line.split("|")[1:-1]) for line in page.splitlines() if "|" in line}
    for films in (5, 15, 47):
        for score, parts in found[f"{films} films"].items():
            cells = []
            for what, entry in parts.items():
                now, before = entry["methods"][coverage.CHOSEN], entry["methods"]["percentile"]
                assert now["covered"] >= max(before["covered"], 0.85)
                if score != "rouge_l" and films > 5:
                    assert 0.9 < now["covered"] < 0.99, (films, score, what)
                cells.append(f"{100 * now['covered']:.1f} ({100 * before['covered']:.1f})")
                if what != "A":
                    assert entry["interval and p disagree"]["now"] == 0 < entry["interval and p disagree"]["before"]
            assert any(row[:1] == (str(films),) and row[2:] == tuple(cells) for row in documented), (
                films,
                score,
                cells,
            )
    assert re.search(r"benchmarks/coverage\.py", page)


def _load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, PROJECT / "benchmarks" / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_documented_memory_is_the_committed_one() -> None:
    found = json.loads((PROJECT / "benchmarks" / "results" / "memory.json").read_text())["recipes"]
    page = (PROJECT / "docs" / "gpu_memory.md").read_text()
    for name, entry in found.items():
        fixed, clip = entry["weights, gradients, optimizer"], entry["activations of one key frame"]
        one, four = (round(entry[f"batch on {gpus}"] / 1e9) for gpus in ("one GPU", "four GPUs"))
        cells = (f"`{name}`", entry["precision"], f"{fixed / 1e9:.1f}", f"{clip / 1e9:.2f}", entry["batch"], one, four)
        assert f"| {' | '.join(map(str, cells))} |" in page, name


def test_the_documented_figures_of_a_gpu_are_the_committed_ones() -> None:
    parts = json.loads((PROJECT / "benchmarks" / "results" / "gpu" / "results.json").read_text())["parts"]
    assert not [one for part in parts.values() for one in part["findings"] if one.get("ok") is False]
    page = (PROJECT / "docs" / "fine_tuning.md").read_text()
    steps = [one for one in parts["steps"]["findings"] if not one.get("benchmark", True)]
    for label, name in (("I3D NLN 8×8", "step, i3d_nln_8x8_r50"), ("SlowFast 8×8", "step, slowfast_8x8_r50")):
        plain, last = sorted((one for one in steps if one["figure"] == name), key=lambda one: one["channels_last"])
        ways = {one["compiled"]: one for one in parts["compiled"]["findings"] if one["figure"] == name}
        gain = ways[None]["seconds"] / ways["inductor"]["seconds"]
        speeds = " | ".join(f"{one['clips_per_second']:.0f} clips/s" for one in (plain, last))
        assert f"| {label} | {speeds} | {100 * last['share_of_limit']:.2g} % | " in page
        assert f"| {last['memory_gib']} GiB | {gain:.2f} times as fast, {ways['inductor']['memory_gib']} GiB |" in page
        memory = (PROJECT / "docs" / "gpu_memory.md").read_text()
        assert f"{last['memory_gib'] * 2**30 / 1e9:.1f} GB" in memory
        eager, fast = (f"{ways[way]['clips_per_second']:.0f}" for way in (None, "inductor"))
        assert re.search(rf"\b{eager}\b.* or {fast}\b", memory)
        assert f"{eager} clips/s with {label.split(' 8')[0]}" in page
    for run in parts["loading"]["findings"]:
        assert f"at {run['clips_per_second']:.0f} clips/s, {100 * run['wait_share']:.1f} % of it waiting" in page
    assert f"reaches the GPU in {1e3 * parts['copies']['findings'][-1]['seconds']['locked slots']:.0f} ms" in page
    decoding = parts["decoding"]["findings"][-1]["seconds"]
    assert f"took {1e3 * decoding['card']:.0f} ms, and {1e3 * decoding['cpu']:.0f} ms on one CPU core" in page


def test_the_memory_of_a_small_network_is_what_torch_keeps() -> None:
    found, recipe = _load("memory").measure("demo"), load_recipe("demo")
    parameters = sum(parameter.numel() for parameter in models.create(recipe.model.name).parameters())
    assert found["weights"] == 4 * parameters
    assert found["weights, gradients, optimizer"] in (12 * parameters, 16 * parameters)
    side = recipe.data.crop or recipe.data.eval_short_side
    assert found["activations of one key frame"] > 2 * 3 * recipe.data.num_frames * side**2  # more than the pixels
    assert found["batch on four GPUs"] < found["batch on one GPU"]


@pytest.mark.slow
def test_a_part_of_the_gpu_script_runs_on_a_cpu(tmp_path: Path) -> None:
    script = PROJECT / "benchmarks" / "gpu" / "run.sh"
    command = [str(script), str(tmp_path / "out"), "--dry-run", "--only", "decoding"]
    environment = os.environ | {"PYTHON": warm_python(), "WHEELS": str(tmp_path)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    part = json.loads((tmp_path / "out" / "results.json").read_text())["parts"]["decoding"]
    assert part["state"] == "complete" and part["findings"]
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"log.txt", "results.json", "results.md"}
    done = subprocess.run([*command[:-1], "dancing"], env=environment, capture_output=True)
    assert done.returncode == 2 and done.stderr.decode().startswith("dancing is no part; these are: networks")


def test_a_part_that_exceeds_its_budget_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(PROJECT)
    monkeypatch.syspath_prepend(str(PROJECT))
    from benchmarks.gpu.day import run_part

    with open(tmp_path / "log.txt", "w") as log:
        part = run_part("steps", 0.5, tmp_path, dry_run=True, log=log)
    assert part["state"] == "over 0.5 s" and part["findings"] == []


def test_recipes_of_published_rows_were_compared_with_the_version_before_rotations() -> None:
    found = json.loads((PROJECT / "benchmarks" / "results" / "same_losses.json").read_text())
    runs = {name: entry for name, entry in found.items() if isinstance(entry, dict) and "equal" in entry}
    corrected = [name for name in runs if name.endswith("_corrected")]
    assert len(corrected) >= 2 and len(runs) - len(corrected) >= 2
    for entry in runs.values():
        assert entry["equal"] and entry["before"] == entry["now"] and len(entry["now"]["losses"]) == 4


def test_losses_in_bf16_are_those_of_float32_and_the_documented_ones() -> None:
    found = json.loads((PROJECT / "benchmarks" / "results" / "bf16_losses.json").read_text())
    page = (PROJECT / "docs" / "fine_tuning.md").read_text()
    pairs = list(zip(found["no"]["losses"], found["bf16"]["losses"], strict=True))
    assert all(abs(low - full) < 0.05 * full for full, low in pairs)
    assert abs(found["no"]["map"] - found["bf16"]["map"]) < found["no"]["map_spread"] + found["bf16"]["map_spread"]
    for epoch in (1, 2, 5, 10, 15, 20, 22):
        full, low = pairs[epoch - 1]
        assert f"| {epoch} | {full:.4f} | {low:.4f} |" in page


def test_the_committed_times_are_of_all_rows_of_reproduce() -> None:
    found = json.loads((PROJECT / "benchmarks" / "results" / "reproduce_rows.json").read_text())
    assert list(found["rows"]) == list(models.PUBLISHED)
    assert {row["judged"] for row in found["rows"].values()} == {"differs"}  # random weights, another resolution
    assert all(row["logits_moved_by_released_pixels"] > 0 for row in found["rows"].values())
    assert found["rows"]["slow_8x8_r50"]["killed_and_resumed"] == "same bytes"
    seconds = [row["cpu_seconds"] for row in found["rows"].values()]
    page = (PROJECT / "docs" / "reproduce.md").read_text()
    assert f"take {min(seconds):.0f} to {max(seconds):.0f} CPU seconds" in page


def test_the_committed_remedies_are_good_and_the_documented_ones() -> None:
    """The gap is there, every remedy closes it, and rotated training clips cost no upright mAP."""
    script = _load("orientation")
    found = json.loads((PROJECT / "benchmarks" / "results" / "orientation.json").read_text())
    page = (PROJECT / "docs" / "orientation.md").read_text()
    assert all(line in page for line in script.tables(found))
    for test in ("sample", "new scenes"):
        remedies = found["har"]["remedies"][test]
        assert set(remedies) == set(script.REMEDIES)
        assert remedies["trained upright"]["gap"]["interval"][0] > 0.1
        for remedy, one in remedies.items():
            if remedy == "data.align=box":  # what surrounds a person still says how the clip is turned
                assert one["gap"]["interval"][0] > 0.1
            elif remedy != "trained upright":
                assert abs(one["gap"]["difference"]) < 0.03, (test, remedy)
        difference = remedies["data.rotate=quarter"]["difference"]
        assert difference["interval"][1] > 0 and difference["difference"] > 0
    answers = found["vlm"]["remedies"]
    assert answers["trained upright"]["gap"]["interval"][0] > 0.2
    assert all(abs(one["gap"]["difference"]) < 0.03 for name, one in answers.items() if name != "trained upright")
    low, high = answers["trained on quarter turns, --turns 4"]["difference"]["interval"]
    assert low < 0 < high


def test_the_scenes_of_the_orientation_benchmark() -> None:
    """Answers are true of the scene."""
    script = _load("orientation")
    scenes = [scene for scene in script.practice_scenes(8, lying=True, upright=True) if script.is_clear(scene)]
    for scene in scenes:
        doing, count, wall = (pair["A"] for pair in script.questions(scene))
        angles = {astronaut.angle % 180 for astronaut in scene.astronauts}
        assert doing == {0.0: "Standing.", 90.0: "Sleeping."}[angles.pop()] and not angles
        assert count == ("One.", "Two.", "Three.")[len(scene.astronauts) - 1]
        assert wall[:-1].lower() in script.caption(scene).lower()
    record = {
        "turns": [{"turn": "0°", "text": "A.", "likelihood": -2.0}, {"turn": "90°", "text": "B.", "likelihood": -1.0}]
    }
    for how in ("majority", "clip"):
        (chosen,) = script.choose_texts([{"id": "a_001_q1", "status": "ok", "text": "A.", **record}], how)
        assert chosen["text"] == "B."


def test_the_costs_on_the_page_follow_from_the_measured_parts() -> None:
    from benchmarks import scale

    found = json.loads((PROJECT / "benchmarks" / "results" / "scale.json").read_text())
    assert scale.compute(found["measured"], found["networks"]) == found
    page = (PROJECT / "docs" / "scale.md").read_text()
    assert scale.tables(found) in page
    hours = found["hours on 1, 8, 64 GPUs"]
    assert all(row[0] >= row[1] >= row[2] > 0 for row in hours.values())
    assert found["networks"]["x3d_s"]["parameters"] == 2_015_828
    rows = json.loads((PROJECT / "benchmarks" / "results" / "stragglers.json").read_text())["scenarios"]
    assert len({row["predictions"] for row in rows.values()}) == 1
    for row in rows.values():
        assert f"| {row['best possible']} s | {row['seconds']} s | {row['clips begun again']} |" in page


def test_killed_processes_of_the_simulation_leave_whole_predictions(tmp_path: Path) -> None:
    from benchmarks import stragglers

    options = argparse.Namespace(clips=6, seconds=0.01, processes=2, seed=0)
    rows = [stragglers.run_scenario(name, tmp_path / name, options) for name in ("even", "shrunk")]
    assert [row["finished, failed, missing"] for row in rows] == [[36, 0, 0]] * 2
    assert rows[0]["predictions"] == rows[1]["predictions"]


def test_prefix_hits_are_read_from_the_counters_of_both_servers() -> None:
    from benchmarks.vlm_served import server_figures

    vllm = """# TYPE vllm:prefix_cache_queries counter
vllm:prefix_cache_queries_total{{engine="0",model_name="m"}} {0}.0
vllm:prefix_cache_hits_total{{engine="0",model_name="m"}} {1}.0
vllm:prefix_cache_hits_created{{engine="0",model_name="m"}} 1.7957908598114972e+09
vllm:mm_cache_queries_total{{engine="0",model_name="m"}} {5}.0
vllm:mm_cache_hits_total{{engine="0",model_name="m"}} {6}.0
vllm:generation_tokens_total{{engine="0",model_name="m"}} {2}
vllm:time_to_first_token_seconds_bucket{{engine="0",le="0.1",model_name="m"}} 7.0
vllm:time_to_first_token_seconds_sum{{engine="0",model_name="m"}} {3}
vllm:time_to_first_token_seconds_count{{engine="0",model_name="m"}} {4}
vllm:cache_config_info{{_block_size_resolved="True",block_size="16",engine="0",hash_block_size="None"}} 1.0
"""
    rows = ((100, 0, 5, 1.5, 1, 8, 0), (1100, 800, 25, 4.5, 7, 56, 40))
    before, after = (vllm.format(*row) for row in rows)
    assert server_figures(before, after) == {
        "generated tokens": 20.0,
        "prefix looked up": 1000.0,
        "prefix found": 800.0,
        "images looked up": 48.0,
        "images found": 40.0,
        "prefix hit rate": 0.8,
        "tokens per block of the prefix cache": 16,
        "first token [s], mean": 0.5,
    }
    sglang = """sglang:prompt_tokens_total{{model_name="m"}} {0}
sglang:cached_tokens_total{{cache_source="device",model_name="m"}} {1}
sglang:cached_tokens_total{{cache_source="host",model_name="m"}} 1.0
"""
    before, after = (sglang.format(*row) for row in ((10, 2), (50, 12)))
    assert server_figures(before, after)["prefix hit rate"] == 0.25
    assert "none at /metrics" in server_figures(None, None)["metrics"]


def test_the_committed_run_of_vllm_found_what_its_prompts_share() -> None:
    from benchmarks.vlm_served import prefix_tokens

    rows = json.loads((PROJECT / "benchmarks" / "results" / "vlm_served.json").read_text())
    rows = {name: row for name, row in rows.items() if name.startswith("vLLM")}
    assert ["no prefix cache" in name for name in rows] == [False, True]
    for name, row in rows.items():
        must, said = row["as the counters must say"], row["as the server's counters say"]
        assert {key: said[key] for key in must} == must and row["requests, failed"][1] == 0
        assert (must["prefix found"] > 0) == ("with prefix cache" in name)
        assert must["images found"] / must["images looked up"] == pytest.approx(5 / 6)
        same, answers = row["answers equal to transformers' on the JPEG images that were sent"]
        assert same == answers == row["requests, failed"][0]
    clip = [["a"] * 7, ["b"] * 7]  # of three questions each; two tokens of text, of which one may be shared
    prompts = [[*images, first, second] for images in clip for first, second in ((1, 2), (1, 3), (4, 5))]
    assert prefix_tokens(prompts, 4) == 2 * (8 + 4) and prefix_tokens(prompts, 2) == 2 * (8 + 6)


def test_the_memory_of_the_page_on_servers_is_computed_from_the_shapes() -> None:
    from benchmarks import vlm_memory

    page = (PROJECT / "docs" / "served_models.md").read_text()
    assert vlm_memory.tables() in page
    assert vlm_memory.parameters("3B") == 3_754_622_976
    for figure in (vlm_memory.hit_rate(), vlm_memory.hit_rate(448)):
        assert f"{figure:.2f}" in page
    assert paper_frames("Qwen2.5-VL") == vlm_memory.FRAMES
    assert f"{9 * vlm_memory.frame_tokens():,} tokens" in page and f"{9 * vlm_memory.frame_tokens(448):,}" in page
