"""``microg4m report``: scores, pages, files, and runs that cannot be scored."""

from __future__ import annotations

import html
import json
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from microg4m_hf.bench import make_report, published_tables
from microg4m_hf.bench.box_scores import BoxScores
from microg4m_hf.bench.examples import action_examples
from microg4m_hf.bench.render.formatting import p_text
from microg4m_hf.bench.scoring import ScoringOptions
from microg4m_hf.cli.main import main
from microg4m_hf.errors import PredictionError, RecipeError
from microg4m_hf.metrics import compare, har_scores
from tests.bench.conftest import ReportFolder
from tests.support.report_runs import caption_file, har_run, labeled_items

QUICK = ScoringOptions(resamples=20)


def _systems(data: dict[str, Any], title: str) -> dict[str, Any]:
    return {system["name"]: system for system in data["tasks"][title]["systems"]}


def test_released_predictions_give_the_published_rows(shared: Path, tmp_path: Path) -> None:
    """The five released files have the numbers of their published rows, and the same protocol."""
    folder = shared / "data" / "har_predictions"
    names = {
        "c2d_8x8_r50": "C2D_8x8_R50",
        "i3d_8x8_r50": "I3D_8x8_R50",
        "mvitv1_b_16x4": "MVIT_B_16x4",
        "slowfast_4x16_r50": "SLOWFAST_4x16_R50",
        "x3d_s": "X3D_S",
    }
    words = [f"{name}={folder / place / 'detections_test.csv'}" for name, place in names.items()]
    data = make_report(
        words,
        tmp_path / "out",
        data_dir=str(shared / "data" / "microg4m"),
        options=ScoringOptions(resamples=50),
        details=1,
    )
    systems = _systems(data, "Actions")
    page = (tmp_path / "out" / "report.md").read_text()
    for name, place in names.items():
        system, printed = systems[name], published_tables()["har"].row(name).scores
        assert system["same_protocol"], system["differs"]
        for score, value in printed.items():
            # Released scores are rounded to four decimals; the SlowFast row has 42.10 and its log 42.090.
            assert 100 * system["scores"][score] == pytest.approx(value, abs=0.011)
            low, high = system["intervals"][score]
            assert low < high
        text = (folder / place / "reported.json").read_text()
        reported = {"map": "map", "f1": "f1_macro", "recall": "recall_macro", "auroc": "auroc_macro"}
        for score, key in reported.items():
            logged = re.search(rf'"{key}": ([\d.]+)', text)
            assert logged is not None
            assert system["scores"][score] == pytest.approx(float(logged.group(1)), abs=4e-5)
        line = next(line for line in page.splitlines() if line.startswith(f"| **{name.replace('_', '_')}**"))
        assert f" {100 * system['scores']['map']:.2f} (" in line
        ties = f"ties {100 * system['ties']['map_range'][0]:.1f} to {100 * system['ties']['map_range'][1]:.1f}"
        assert (ties in line) == (name in {"mvitv1_b_16x4", "x3d_s"})  # where they move the mAP by points
    _check_findings(page, data, names)
    page, pairs = html.unescape(page), data["tasks"]["Actions"]["comparisons"]
    assert len(pairs) == 10
    for pair in pairs:
        assert (pair["interval"][0] > 0 or pair["interval"][1] < 0) == (pair["p"] < 0.05)
        assert pair["p"] <= pair["p_corrected"] <= 1
        assert f"p {p_text(pair['p'])}, corrected {p_text(pair['p_corrected'])}" in page


def _check_findings(page: str, data: dict[str, Any], names: dict[str, str]) -> None:
    """The page begins with the findings, and each run stands right below its published row."""
    found, lines = data["tasks"]["Actions"], page.splitlines()
    assert all(found["published_twins"][name]["agrees"] for name in names)
    assert found["sizes"] == {"labeled boxes": 1136, "labels": 2656, "clips": 953, "films": 47}
    first = page.partition("**Human action recognition")[0]
    assert "Best system: i3d_8x8_r50" in first
    assert "Agreement with the published rows: 5 of 5" in first
    real = sum(bool(pair["real"]) for pair in found["comparisons"])
    assert f"Significant differences: {real} of 10 pairs" in first
    assert "moves the mAP of mvitv1" in first
    assert "they cannot exceed 82.0" in page  # 41 of 50 actions have a label
    for name in names:
        place = next(at for at, line in enumerate(lines) if line.startswith(f"| **{name}**"))
        row = published_tables()["har"].row(name)
        assert lines[place - 1].startswith(f"| {row.name} {row.setting}, published |")
        assert "Δ " in lines[place]
    for system in found["systems"]:
        assert len(system["sha256"]) == 64 and system["sha256"][:16] in page


def test_a_run_of_another_model_has_no_published_twin(shared: Path, tmp_path: Path) -> None:
    """A twin has the name of a published model, or its scores; a name decides alone, and the difference is shown."""
    folder = shared / "data" / "har_predictions"
    words = [f"x3d_l={folder / 'X3D_S' / 'detections_test.csv'}", f"other={folder / 'X3D_S' / 'detections_test.csv'}"]
    data = make_report(words, tmp_path / "out", data_dir=str(shared / "data" / "microg4m"), options=QUICK, details=0)
    twins = data["tasks"]["Actions"]["published_twins"]
    assert twins["other"]["row"] == "X3D S" and twins["other"]["agrees"]
    assert twins["x3d_l"]["row"] == "X3D L" and not twins["x3d_l"]["agrees"]
    assert twins["x3d_l"]["differences"]["map"] == pytest.approx(14.068 - 18.70, abs=0.001)
    page = (tmp_path / "out" / "report.md").read_text()
    assert "Agreement with the published rows: 1 of 2" in page and "Δ −4.63" in page
    assert page.count("does not record its split") == 1  # a note of several runs is one line
    assert "x3d_l, other: does not record its split" in page or "other, x3d_l: does not record its split" in page
    assert "of 1 pair" in page and "1 pairs" not in page and "1 comparisons" not in page


def test_best_and_worst_examples_differ_and_say_why() -> None:
    rng = np.random.RandomState(0)
    labels = rng.rand(40, 50) < 0.05
    labels[:, 3] = True
    scores = rng.randn(40, 50) + 4 * labels * (np.arange(40) > 20)[:, None]
    videos = [f"film{place % 8}_{place:03d}" for place in range(40)]
    box = np.tile([0.1, 0.1, 0.5, 0.5], (40, 1))
    boxes = BoxScores(videos, np.ones(40, int), box, scores, labels, True, np.arange(40))
    worst, best = action_examples(boxes, {})
    assert len(worst) == len(best) == 3
    assert not {one.title for one in worst} & {one.title for one in best}
    assert all("is ranked" in dict(one.lines)["why"] for one in worst)
    assert all("lead the ranking" in dict(one.lines)["why"] for one in best)
    assert worst[0].link == f"http://127.0.0.1:7860/?clip={worst[0].title.partition(',')[0]}"
    perfect = BoxScores(videos, np.ones(40, int), box, labels * 2.0 - 1, labels, True, np.arange(40))
    assert action_examples(perfect, {})[0] == []  # nobody is ranked badly


def test_comparison_matrix_matches_compare(runs: Path, report: ReportFolder) -> None:
    first, second = (runs / name / "predictions" / "test.parquet" for name in ("good", "noisy & <b>odd"))
    alone = compare(first, second, _sample_references(), resamples=100)["scores"]["map"]
    [pair] = report.data["tasks"]["Actions on the sample"]["comparisons"]
    assert pair["difference"] == pytest.approx(alone["difference"])
    assert pair["p"] == alone["p"]
    assert pair["interval"] == pytest.approx(alone["interval"])


def _sample_references() -> Path:
    from microg4m_hf.data import ensure_sample
    from microg4m_hf.data.release.layout import find_layout

    references = find_layout(ensure_sample()).ava_test
    assert references is not None
    return references


def test_scores_match_har_scores(runs: Path, report: ReportFolder) -> None:
    own = har_scores(runs / "good" / "predictions" / "test.parquet", _sample_references())["scores"]
    assert _systems(report.data, "Actions on the sample")["good"]["scores"] == own


def test_sample_scores_are_never_shown_with_published_ones(report: ReportFolder) -> None:
    for title, found in report.data["tasks"].items():
        assert title.endswith("on the sample")
        assert found["published"] == []
        for system in found["systems"]:
            assert "scored on the built-in sample" in system["differs"]
    assert "47.12" not in (report.folder / "report.md").read_text()


def test_report_json_is_strict_json(report: ReportFolder) -> None:
    def refuse(word: str) -> None:
        raise AssertionError(f"{word} is not JSON")

    data = json.loads((report.folder / "report.json").read_text(), parse_constant=refuse)
    assert set(data["tasks"]) == {"Actions on the sample", "Captions on the sample", "Questions on the sample"}


class _Page(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in {"meta", "link", "img", "br", "rect", "circle", "polyline"}:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in {"rect", "circle", "polyline"}:
            assert self.open.pop() == tag

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))


def test_page_is_complete_self_contained_and_accessible(report: ReportFolder) -> None:
    text = (report.folder / "report.html").read_text()
    page = _Page(text)
    assert page.open == []
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    for tag, attributes in page.tags:
        if tag == "script":
            assert attributes == {}  # inline
        for name in ("src", "href"):
            if name in attributes:
                own = ("data:", "#", "http://127.0.0.1:7860/?") if tag == "a" else ("data:", "#")
                assert str(attributes[name]).startswith(own)
        for name in ("aria-labelledby", "href"):
            if name in attributes and not str(attributes[name]).startswith(("data:", "http:")):
                assert set(str(attributes[name]).lstrip("#").split()) <= set(ids)
        if tag == "img":
            assert attributes["alt"]
        if tag == "svg":
            assert attributes["role"] == "img"
    assert "@import" not in text
    assert "url(" not in text
    assert sum(tag == "script" for tag, _ in page.tags) == 1
    assert 'lang="en"' in text
    assert "<b>odd" not in text  # names of runs are text, not markup
    assert sum(tag == "img" for tag, _ in page.tags) >= 10  # key frames of the sample's clips


def test_figures_and_tables_are_files(report: ReportFolder) -> None:
    svg = {path.stem for path in (report.folder / "figures").glob("*.svg")}
    assert svg == {path.stem for path in (report.folder / "figures").glob("*.png")}
    assert {"actions-on-the-sample-precision-recall", "questions-on-the-sample-scores"} <= svg
    latex = (report.folder / "tables" / "actions-on-the-sample-scores.tex").read_text()
    assert r"noisy \& <b>odd" in latex
    named = re.findall(r"\(figures/(.+?)\.svg\)", (report.folder / "report.md").read_text())
    assert set(named) == svg


def test_command_prints_the_path_and_overwrites_only_reports(
    runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "report"
    words = ["report", str(runs / "good"), "--out", str(out), "--resamples", "0"]  # the data of the run
    assert main(words) == 0
    assert str(out / "report.html") in capsys.readouterr().out
    assert main(words) == 0  # a report can be replaced
    assert main(["report", str(runs / "good"), "--out", str(runs)]) == 2  # other folders cannot
    assert "contains no report" in capsys.readouterr().err


def test_broken_partial_and_mixed_runs(tmp_path: Path) -> None:
    """Every broken run is listed with its reason, and the others are scored."""
    items = labeled_items()
    whole = har_run(tmp_path / "whole", items, noise=1.0)
    har_run(tmp_path / "partial", items, noise=1.0, share=0.5)
    (har_run(tmp_path / "unfinished", items, noise=1.0) / "results.json").unlink()
    shutil.rmtree(har_run(tmp_path / "unpredicted", items, noise=1.0) / "predictions")
    (tmp_path / "unpredicted" / "results.json").write_text('{"test": {"scores": {"map": 0.77}}}')
    cut = har_run(tmp_path / "cut", items, noise=1.0) / "predictions" / "test.parquet"
    cut.write_bytes(cut.read_bytes()[:300])
    (har_run(tmp_path / "yaml", items, noise=1.0) / "config.yaml").write_text("a: [")
    boast = har_run(tmp_path / "boast", items, noise=1.0) / "results.json"
    boast.write_text('{"test": {"scores": {"map": 0.99}}}')
    (tmp_path / "empty").mkdir()
    captions = caption_file(tmp_path / "strangers.json", keep=0.5)
    captions.write_text(captions.read_text().replace("cabinCam", "Cam"))
    half = tmp_path / "half.jsonl"
    half.write_text('{"video_id": "x"')
    places = [tmp_path / name for name in ("partial", "unfinished", "unpredicted", "cut", "yaml", "boast", "empty")]
    data = make_report(
        [whole, *places, captions, half, tmp_path / "nowhere"], tmp_path / "out", source="sample", options=QUICK
    )
    systems = _systems(data, "Actions on the sample")
    assert set(systems) == {"whole", "partial", "unfinished", "boast"}
    assert any("partial: " in note and "labeled boxes" in note for note in systems["partial"]["notes"])
    assert any("items without a prediction" in why for why in systems["partial"]["differs"])
    assert any("not finished" in note for note in systems["unfinished"]["notes"])
    assert any("results.json records map 99.00" in note for note in systems["boast"]["notes"])
    why = {one["name"]: one["why"] for one in data["not_scored"]}
    assert "predictions/test.parquet is missing" in why["unpredicted"]
    assert "mAP 77.00" in why["unpredicted"]  # in the reason, but not in the table
    assert "Parquet" in why["cut"]
    assert "YAML" in why["yaml"]
    assert "not a run folder" in why["empty"]
    assert "references lack" in why["strangers"]
    assert "JSON" in why["half"]
    assert "does not exist" in why["nowhere"]
    page = (tmp_path / "out" / "report.md").read_text()
    assert all(name in page for name in why)
    table = page.partition("**Human action")[2].partition("![")[0]
    assert "77.00" not in table


def test_no_run_that_can_be_scored_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(PredictionError, match="does not exist"):
        make_report([tmp_path / "nothing.csv"], tmp_path / "out")
    with pytest.raises(RecipeError, match="both name the references"):
        make_report([tmp_path / "x.csv"], tmp_path / "out", references="y.csv", source="sample")
    assert not (tmp_path / "out").exists()


def test_report_of_fifty_runs(tmp_path: Path) -> None:
    items = labeled_items()
    for number in range(50):
        har_run(tmp_path / "runs" / f"run{number:02d}", items, noise=0.2 * number, seed=number)
    data = make_report([tmp_path / "runs"], tmp_path / "out", source="sample", options=QUICK, details=2)
    assert len(data["tasks"]["Actions on the sample"]["systems"]) == 50
    assert len(data["tasks"]["Actions on the sample"]["comparisons"]) == 50 * 49 / 2
