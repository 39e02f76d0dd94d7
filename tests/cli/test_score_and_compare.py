"""``microg4m score`` and ``compare`` on the command line."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from microg4m_hf.cli.main import main
from microg4m_hf.data import ensure_sample
from microg4m_hf.data.release.layout import find_layout
from microg4m_hf.taxonomy import ACTION_IDS
from tests.support.har_split import draw


@pytest.fixture(scope="module")
def predictions(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Perfect and poor predictions for the test split of the sample."""
    references = find_layout(ensure_sample()).ava_test
    assert references is not None
    rows = list(csv.reader(references.read_text().splitlines()))
    boxes: dict[tuple[str, ...], set[int]] = {}
    for *box, action, _person in rows:
        boxes.setdefault(tuple(box), set()).add(int(action))
    folder = tmp_path_factory.mktemp("predictions")
    files = {}
    for name, right in (("perfect", 3.0), ("poor", -3.0)):
        files[name] = folder / f"{name}.csv"
        with files[name].open("w") as file:
            writer = csv.writer(file)
            for box, actions in boxes.items():
                for action in ACTION_IDS:
                    writer.writerow([*box, action, right if action in actions else 0.0])
    return files


def test_har(predictions: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = tmp_path / "scores.json"
    words = ["score", "har", "--predictions", str(predictions["perfect"]), "--source", "sample", "--per-class"]
    assert main([*words, "--by", "domain", "--by", "frequency", "--resamples", "20", "--output", str(output)]) == 0
    shown = capsys.readouterr().out
    result = json.loads(output.read_text())
    assert result["scores"]["map"] == 1.0
    assert set(result["by"]["domain"]) == {"real", "movie"}
    assert "protocol:paper" in shown
    assert "hand wave" in shown


@pytest.mark.parametrize("missing", ["zero", "drop"])
def test_film_without_predictions_has_its_own_row(
    missing: str, predictions: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = predictions["perfect"].read_text().splitlines(keepends=True)
    missing_film = lines[0].partition(",")[0].rpartition("_")[0]
    kept = tmp_path / "kept.csv"
    kept.write_text("".join(line for line in lines if not line.startswith(f"{missing_film}_")))
    words = ["score", "har", "--predictions", str(kept), "--source", "sample", "--by", "source", "--resamples", "0"]
    assert main([*words, "--missing", missing]) == 0
    row = next(line for line in capsys.readouterr().out.splitlines() if line.startswith(missing_film))
    assert not set("0123456789") & set(row.removeprefix(missing_film))


def test_references_cannot_be_named_twice(predictions: dict[str, Path], capsys: pytest.CaptureFixture[str]) -> None:
    words = ["score", "har", "--predictions", str(predictions["perfect"]), "--references", "x.csv"]
    assert main([*words, "--source", "sample"]) == 2
    assert "both name the references" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--resamples", "-1"], "-1 resamples"),
        (["--resamples", "5", "--seed", "-1"], "--seed -1 is out of range"),
        (["--resamples", "0", "--threshold", "nan"], "--threshold nan is not finite"),
        (["--resamples", "0", "--scheme", "source_disjoint", "--split", "dev"], "har has no such split"),
        (["--resamples", "0", "--output", "/dev/null/scores.json"], "/dev/null"),
    ],
)
def test_invalid_options_are_one_line_errors(
    words: list[str], message: str, predictions: dict[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["score", "har", "--predictions", str(predictions["perfect"]), "--source", "sample", *words]) == 2
    shown = capsys.readouterr().err.strip().splitlines()
    assert message in shown[-1] and shown[-1].startswith("microg4m: ")
    assert "Traceback" not in "".join(shown)


def test_actions_have_no_empty_texts(predictions: dict[str, Path], capsys: pytest.CaptureFixture[str]) -> None:
    words = ["compare", "har", str(predictions["perfect"]), str(predictions["poor"]), "--source", "sample"]
    assert main([*words, "--on-empty", "error"]) == 2
    assert "--on-empty error is about texts; remove it to compare actions" in capsys.readouterr().err


def test_compare(predictions: dict[str, Path], capsys: pytest.CaptureFixture[str]) -> None:
    words = ["compare", "har", str(predictions["perfect"]), str(predictions["poor"]), "--source", "sample"]
    assert main([*words, "--resamples", "200"]) == 0
    first_row = capsys.readouterr().out.splitlines()[2]
    assert first_row.startswith("map")
    assert first_row.endswith("real")


def test_tables_say_where_the_order_of_ties_moves_the_map(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    truth, found = draw(3, clips=30, sources=6)
    flat = [(*row[:7], 0.5 if place % 3 else row[7]) for place, row in enumerate(found)]
    paths = {}
    for name, rows in (("truth", truth), ("own", found), ("flat", flat)):
        paths[name] = tmp_path / f"{name}.csv"
        paths[name].write_text("".join(",".join(map(str, row)) + "\n" for row in rows))
    references = ["--references", str(paths["truth"])]
    assert main(["score", "har", "--predictions", str(paths["flat"]), *references, "--missing", "zero"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "by order of ties" in lines[0]
    assert lines[2].startswith("map") and lines[2].count(" to ") == 2
    assert main(["score", "har", "--predictions", str(paths["own"]), *references, "--missing", "zero"]) == 0
    assert "by order of ties" not in capsys.readouterr().out
    assert main(["compare", "har", str(paths["own"]), str(paths["flat"]), *references]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [head.strip() for head in lines[0].split("|")[3:6]] == ["difference", "95 % by film", "p"]
    assert lines[2].split("|")[2].strip().endswith("†") and "†" not in lines[2].split("|")[1]
    assert any(line.startswith("† flat: between") for line in lines)


def test_options_of_the_former_bootstrap_are_accepted(
    predictions: dict[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["score", "har", "--predictions", str(predictions["poor"]), "--source", "sample"]
    shown = []
    for options in ([], ["--resamples", "50", "--seed", "3"], ["--no-intervals"], ["--resamples", "0"]):
        assert main([*words, *options]) == 0
        shown.append(capsys.readouterr().out)
    assert "95 % by film" in shown[0] == shown[1]
    assert "95 % by film" not in shown[2] == shown[3]
    with pytest.raises(SystemExit):
        main(["score", "har", "--help"])
    text = capsys.readouterr().out
    assert "--no-intervals" in text and "--resamples" not in text


@pytest.mark.parametrize("what", ["caption", "vqa"])
def test_texts(what: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    references = find_layout(ensure_sample()).texts
    assert references is not None
    words = ["score", what, "--predictions", str(references), "--source", "sample", "--metrics", "bleu,rouge_l"]
    assert main([*words, "--resamples", "20", "--output", str(tmp_path / "scores.json")]) == 0
    result = json.loads((tmp_path / "scores.json").read_text())
    assert result["scores"]["bleu_4"] == pytest.approx(1.0)
    assert "tokenizer:whitespace" in capsys.readouterr().out


def test_released_predictions_give_the_published_scores(shared: Path, tmp_path: Path) -> None:
    detections = shared / "data" / "har_predictions" / "I3D_8x8_R50" / "detections_test.csv"
    output = tmp_path / "scores.json"
    words = ["score", "har", "--predictions", str(detections), "--data-dir", str(shared / "data" / "microg4m")]
    assert main([*words, "--resamples", "0", "--output", str(output)]) == 0
    scores = json.loads(output.read_text())["scores"]
    assert [round(100 * scores[name], 2) for name in ("map", "f1", "recall", "auroc")] == [46.41, 26.37, 22.25, 88.79]
