"""``microg4m models list`` and ``microg4m models info``."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from microg4m_hf import models
from microg4m_hf.cli.main import main
from microg4m_hf.models.registry import PUBLISHED, VARIANTS


def test_list_shows_every_published_model_with_its_score(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "list"]) == 0
    lines = {line.split()[0]: line for line in capsys.readouterr().out.splitlines() if line.strip()}
    for name, variant in PUBLISHED.items():
        assert f"{variant.parameters:,}" in lines[name] and f"{variant.published.map50:.2f}" in lines[name]
    assert "tiny_slow" not in lines
    assert main(["models", "list", "--all"]) == 0
    listed = capsys.readouterr().out
    assert all(name in listed for name in VARIANTS)


def test_info_counts_parameters_and_quotes_published_scores(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "info", "slow_4x16_r50", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["parameters"] == 31_736_946
    assert facts["gflops"] == pytest.approx(31.8, abs=0.1)
    assert facts["published"] == {"map50": 46.37, "f1": 28.72, "recall": 25.38, "auroc": 88.3}
    assert main(["models", "info", "slow_4x16_r50", "--json", "--size", "448"]) == 0
    assert json.loads(capsys.readouterr().out)["gflops"] == pytest.approx(4 * facts["gflops"], rel=0.01)


def test_info_of_a_custom_model_shows_no_published_score(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    models.create("x3d_s", depth_factor=1.0, num_labels=3).save_pretrained(tmp_path)
    capsys.readouterr()
    assert main(["models", "info", str(tmp_path)]) == 0
    text = capsys.readouterr().out
    assert "settings" in text and "custom" in text and "published" not in text


def test_an_unknown_model_is_a_one_line_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "info", "x3d"]) == 2
    assert "did you mean" in capsys.readouterr().err


def test_a_checkpoint_that_does_not_fit_says_what_to_type(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    state = models.export_pyslowfast(models.create("tiny_slow"))
    torch.save({"model_state": state | {"s9.more": torch.zeros(1)}}, tmp_path / "more.pyth")
    words = ["models", "convert", str(tmp_path / "more.pyth"), str(tmp_path / "saved"), "--name", "tiny_slow"]
    assert main(words) == 2
    assert capsys.readouterr().err.endswith("; use --partial (model.init_partial=true in a recipe) to load what fits\n")
    with pytest.warns(UserWarning, match=r"1 unexpected: s9\.more"):
        assert main([*words, "--partial"]) == 0
    assert (tmp_path / "saved" / "config.json").is_file()

    torch.save({"model_state": {"encoder.x": torch.zeros(1)}}, tmp_path / "other.pyth")
    words = ["models", "convert", str(tmp_path / "other.pyth"), str(tmp_path / "none"), "--name", "tiny_slow"]
    for option in ([], ["--partial"]):
        assert main([*words, *option]) == 2
        advice = "; give the network of this checkpoint as --name, one of `microg4m models list`\n"
        assert capsys.readouterr().err.endswith(advice)
