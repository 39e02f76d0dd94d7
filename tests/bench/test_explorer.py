"""The explorer without a browser: filters, predictions of runs, clips, and requests that it refuses."""

from __future__ import annotations

import contextlib
import csv
import http.client
import io
import json
import os
import shutil
import socket
import subprocess
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from microg4m_hf.bench.explorer import Catalogue, Filter, export_space, read_catalogue, read_runs, select
from microg4m_hf.bench.explorer.clip_view import ClipFacts, render_clip
from microg4m_hf.bench.explorer.filters import BEST_FIRST, WORST_FIRST, choices
from microg4m_hf.bench.explorer.list_view import render_list, render_runs
from microg4m_hf.bench.explorer.report_page import ReportPage
from microg4m_hf.bench.explorer.serve import launch, load_catalogue
from microg4m_hf.citation import CITATION
from microg4m_hf.cli.main import main
from microg4m_hf.data import ensure_sample
from microg4m_hf.errors import RecipeError
from microg4m_hf.metrics import vqa_scores
from microg4m_hf.taxonomy import ACTION_IDS, ACTIONS, label_of
from microg4m_hf.web.routes import thumbnail
from tests.support.hub_release import put_release, tiny_release
from tests.support.hub_server import HubServer
from tests.support.videos import write_video

MARKUP = '<script>window.owned=1</script><img src=x onerror="window.owned=1">${window.owned=1} {{constructor}} \'"`'


@pytest.fixture(scope="module")
def catalogue() -> Catalogue:
    return read_catalogue(ensure_sample(), "the built-in sample")


def _rows(name: str, fields: list[str] | None = None) -> list[dict[str, str]]:
    with (next(ensure_sample().rglob(name))).open(newline="") as stream:
        return list(csv.DictReader(stream, fields))


def _clips_of_split(name: str) -> set[str]:
    return {row["video"] for row in _rows(name, ["video", *"abcdefg"])}


def _names(catalogue: Catalogue, wanted: Filter) -> set[str]:
    return {catalogue.ids[place] for place in select(catalogue, wanted)}


def test_filters_match_the_annotation_files(catalogue: Catalogue) -> None:
    actions = defaultdict(set)
    domain = {}
    for row in _rows("actions.csv"):
        actions[row["video_id"]].add(int(row["action"]))
        domain[row["video_id"]] = {"m": "movie", "r": "real"}[row["movie_or_real"]]
    assert set(catalogue.ids) == set(actions)
    for action in ACTIONS:
        wanted = {clip for clip, found in actions.items() if action.action_id in found}
        assert _names(catalogue, Filter(actions=[action.label])) == wanted
    pair = [label_of(12), label_of(80)]
    assert _names(catalogue, Filter(actions=pair)) == {clip for clip, found in actions.items() if found & {12, 80}}
    both = {clip for clip, found in actions.items() if {12, 80} <= found}
    assert _names(catalogue, Filter(actions=pair, all_actions=True)) == both != set()
    group = {action.action_id for action in ACTIONS if action.group == "person interaction"}
    wanted = {clip for clip, found in actions.items() if found & group}
    assert _names(catalogue, Filter(groups=["person interaction"])) == wanted
    test = _clips_of_split("ava_test_gt.csv")
    assert _names(catalogue, Filter(splits=["test"])) == test
    wanted = {clip for clip in test if domain[clip] == "real"}
    assert _names(catalogue, Filter(splits=["test"], domains=["real"])) == wanted != test
    disjoint = {
        split: {name.rpartition("_")[0] for name in _names(catalogue, Filter(scheme="source_disjoint", splits=[split]))}
        for split in ("train", "test")
    }
    assert disjoint["train"] and disjoint["test"] and not disjoint["train"] & disjoint["test"]


def test_numbers_of_clips_follow_the_other_filters(catalogue: Catalogue, runs: Path) -> None:
    """A number is what a click shows: every number is counted again with the filter that the click makes."""
    good, noisy = read_runs([runs / "good", runs / "noisy & <b>odd"], catalogue)
    stand, sit = label_of(12), label_of(11)
    wanted = Filter(actions=[stand], domains=["real"], splits=["test"], words="cabin")
    found = choices(catalogue, wanted, [good, noisy], good)
    assert [value for _, value in found["splits"]] == ["train", "validation", "test"]

    def number(label: str) -> int:
        return int(label.rpartition("(")[2].rstrip(")"))

    for field, name in (("groups", "groups"), ("domains", "domains"), ("splits", "splits"), ("texts", "texts")):
        for label, value in found[field]:
            assert number(label) == len(select(catalogue, replace(wanted, **{name: [value]}))), label
    for label, value in found["actions"]:
        assert number(label) == len(select(catalogue, replace(wanted, actions=[label_of(int(value))]))), label
    ((no_run, _), (against, name)) = found["other"]
    assert (no_run, name) == ("any run", noisy.name)
    assert number(against) == len(select(catalogue, wanted, good, noisy))
    # A clip that must show both actions: the number is that of the clips with both.
    both = choices(catalogue, Filter(actions=[stand], all_actions=True))
    (label,) = (label for label, value in both["actions"] if value == "11")
    assert number(label) == len(select(catalogue, Filter(actions=[stand, sit], all_actions=True)))


def test_search_covers_names_captions_questions_and_answers(catalogue: Catalogue) -> None:
    entries = json.loads((ensure_sample() / "vqa_and_captioning.json").read_text())
    assert _names(catalogue, Filter(texts=["captioned"])) == {entry["video_id"] for entry in entries}
    wanted = {entry["video_id"] for entry in entries if "TREADMILL".lower() in json.dumps(entry).lower()}
    assert _names(catalogue, Filter(words="  TREADmill ")) == wanted != set()
    assert _names(catalogue, Filter(words="airlock9_008")) == {"Airlock9_008"}
    assert _names(catalogue, Filter(words="airlock9_008 nowhere")) == set()


def test_list_has_pages_and_marks_the_selected_clip(catalogue: Catalogue) -> None:
    everything = select(catalogue, Filter())
    first, last = render_list(catalogue, everything, 0, selected=3), render_list(catalogue, everything, 2, selected=3)
    assert first.count('class="mg-clip"') == 24
    assert last.count('class="mg-clip"') == 2
    assert first.count("aria-current") == 1
    assert "aria-current" not in last
    assert "No clip matches" in render_list(catalogue, everything[:0], 0)


def test_runs_are_joined_scored_and_sorted(catalogue: Catalogue, runs: Path) -> None:
    found = {run.name: run for run in read_runs([runs, runs / "captions.json"], catalogue)}
    assert [run.problem for run in found.values()] == [None] * 5
    test = _clips_of_split("ava_test_gt.csv")
    good, noisy = found["good"], found["noisy & <b>odd"]
    predicted = {catalogue.ids[place] for place in np.flatnonzero(np.isfinite(good.score))}
    assert predicted == test
    assert np.nanmean(good.score) > 0.9 > np.nanmean(noisy.score)
    worst = select(catalogue, Filter(order=WORST_FIRST), noisy)
    best = select(catalogue, Filter(order=BEST_FIRST), noisy)
    assert len(worst) == len(best) == len(catalogue)
    scored = noisy.score[worst][: len(test)]
    assert np.isfinite(scored).all() and (np.diff(scored) >= 0).all()
    assert (np.diff(noisy.score[best][: len(test)]) <= 0).all()
    half = float(np.nanmedian(noisy.score))
    low = select(catalogue, Filter(highest=half), noisy)
    assert set(low.tolist()) == set(np.flatnonzero(noisy.score <= half).tolist())
    page = render_clip(catalogue, catalogue.place_of[sorted(test)[0]], list(found.values()))
    assert "noisy &amp; &lt;b&gt;odd" in page
    assert "<b>odd" not in page
    assert page.count("correct: ") >= 2


def test_runs_are_compared_action_by_action(catalogue: Catalogue, runs: Path) -> None:
    """A table per person marks what each run gets right; a filter finds where one run is right and the other wrong."""
    good, noisy = read_runs([runs / "good", runs / "noisy & <b>odd"], catalogue)
    found = select(catalogue, Filter(), good, noisy)
    assert 0 < len(found) <= len(_clips_of_split("ava_test_gt.csv"))
    assert len(select(catalogue, Filter(), noisy, good)) == 0
    for place in found.tolist():
        assert good.score[place] == 1.0 > noisy.score[place]
    assert not len(select(catalogue, Filter(), good, good))
    page = render_clip(catalogue, int(found[0]), [good, noisy])
    persons = [key for key in good.persons if key[0] == catalogue.ids[found[0]]]
    assert page.count("<table") == page.count("Actions of person") >= len(persons)
    assert "missed: " in page and "wrong: " in page and "correct: " in page
    assert page.count("ranking precision") == len(persons)
    alone = render_clip(catalogue, int(found[0]), [good])
    assert "missed: " not in alone and "wrong: " not in alone


def test_texts_of_runs_are_shown_with_the_references(catalogue: Catalogue, runs: Path) -> None:
    blind, captions = read_runs([runs / "vqa-blind", runs / "captions.json"], catalogue)
    video_id = next(iter(catalogue.questions))
    page = render_clip(catalogue, catalogue.place_of[video_id], [blind, captions])
    assert page.count('data-column="vqa-blind"') == len(catalogue.questions[video_id])
    assert "ROUGE-L" in page
    # Every answer is marked: ✓ is what exact_match counts, and the filter compares the same verdicts.
    given = {key: text for key, text in blind.texts.items() if key[0] == video_id}
    marks = [page.count(f'aria-hidden="true">{mark}</span><span class="mg-hidden">{words}: ')
             for mark, words in (("✓", "correct"), ("✗", "another text"))]  # fmt: skip
    assert marks[0] == len(blind.right & given.keys()) and sum(marks) == len(given)
    truth = {(name, one.question): one.answer for name, found in catalogue.questions.items() for one in found}
    predicted, expected = (
        [{"video_id": name, "question": question, "answer": text} for (name, question), text in answers]
        for answers in (
            [(key, one.text) for key, one in blind.texts.items()],
            [(key, truth[key]) for key in blind.texts],
        )
    )
    score = vqa_scores(predicted, expected, metrics=["rouge_l"], resamples=0)["scores"]["exact_match"]
    assert score == pytest.approx(len(blind.right) / len(blind.texts)) and 0 < score < 1
    assert len(captions.texts) == len(catalogue.captions)
    assert captions.system is captions.info and catalogue.haystack is catalogue.texts  # the former names


def test_one_person_is_enough_for_a_run_to_be_better(catalogue: Catalogue, tmp_path: Path) -> None:
    """A clip is found for one person that only one run has right, whatever the runs say about the others."""
    counts = Counter(key["video_id"] for key in catalogue.release.key_frames.to_pylist())
    name = next(name for name, count in counts.items() if count > 1)
    persons = [key for key in catalogue.release.key_frames.to_pylist() if key["video_id"] == name]
    actions = defaultdict(set)
    for row in _rows("actions.csv"):
        actions[row["video_id"], int(row["person_id"])].add(int(row["action"]))
    for file, right in (("first", persons[0]), ("second", persons[1])):
        lines = []
        for key in persons:
            box = ",".join(f"{key[side]:.4f}" for side in ("x1", "y1", "x2", "y2"))
            true = actions[name, key["person_id"]]
            for action in ACTION_IDS:
                score = float((action in true) == (key is right))
                lines.append(f"{name},{key['frame']},{box},{action},{score:.4f}")
        (tmp_path / f"{file}.csv").write_text("\n".join(lines))
    first, second = read_runs([tmp_path / "first.csv", tmp_path / "second.csv"], catalogue)
    place = [catalogue.place_of[name]]
    assert select(catalogue, Filter(), first, second).tolist() == place
    assert select(catalogue, Filter(), second, first).tolist() == place


def test_links_to_the_report_only_where_it_has_the_name(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="is not a report"):
        ReportPage.read(tmp_path)
    page = '<tr data-run="a &amp; b" data-action="12"></tr><article data-clip="ISS_004"></article>'
    (tmp_path / "report.html").write_text(page)
    report = ReportPage.read(tmp_path)
    assert report.link("run", "a & b") == "microg4m/report#run=a%20%26%20b"
    assert report.link("action", "12") and report.link("clip", "ISS_004")
    assert (
        report.link("clip", "ISS_005") == report.link("action", "11") == ReportPage(Path()).link("run", "a & b") == ""
    )


def test_markup_in_predictions_is_escaped(catalogue: Catalogue, tmp_path: Path) -> None:
    video_id = next(iter(catalogue.captions))
    file = tmp_path / "<i>evil.json"
    file.write_text(json.dumps({video_id: MARKUP, "<b>no_001": MARKUP}))
    (run,) = read_runs([file], catalogue)
    assert run.problem is None
    assert run.notes == ["1 predictions are for items that are not in this dataset"]
    shown = render_clip(catalogue, catalogue.place_of[video_id], [run]) + render_runs([run])
    assert "<script" not in shown and "<img src=x" not in shown and "<i>" not in shown
    assert "&lt;script&gt;" in shown


def test_unreadable_runs_are_listed_with_the_reason(catalogue: Catalogue, tmp_path: Path) -> None:
    (tmp_path / "odd.csv").write_text("nothing,here\n1,2\n")
    (tmp_path / "strangers.json").write_text('{"Nowhere_001": "A crew eats."}')
    (tmp_path / "other_001.csv").write_text("Nowhere_001,1,0.1,0.1,0.9,0.9,12,0.5\n")
    words = [tmp_path / "odd.csv", tmp_path / "strangers.json", tmp_path / "other_001.csv", tmp_path / "absent.json"]
    found = read_runs(words, catalogue)
    assert all(run.problem for run in found)
    shown = render_runs(found).replace("<wbr>", "")
    for name in ("odd", "strangers", "other_001", "absent"):
        assert f"<strong>{name}" in shown
    assert shown.count("not shown: ") == 4


def test_missing_and_broken_clips_show_boxes_without_video(tmp_path: Path) -> None:
    shutil.copytree(ensure_sample(), tmp_path / "copy")
    clips = sorted((tmp_path / "copy").rglob("*.mp4"))
    missing, broken, outside = (path.stem for path in clips[:3])
    clips[0].unlink()
    clips[1].write_bytes(clips[1].read_bytes()[:2000])
    clips[2].rename(tmp_path / "elsewhere.mp4")
    clips[2].symlink_to(tmp_path / "elsewhere.mp4")
    catalogue = read_catalogue(tmp_path / "copy")
    assert catalogue.clip_file(missing) is None
    assert catalogue.clip_file(outside) is None
    assert ClipFacts.read(catalogue, catalogue.place_of[broken]).problem is not None
    for name, reason in ((missing, "not available"), (broken, "cannot be played"), (outside, "not available")):
        page = render_clip(catalogue, catalogue.place_of[name], [])
        assert reason in page and "<video" not in page and "data-facts" in page


def test_annotations_without_other_files_are_enough(tmp_path: Path) -> None:
    shutil.copy(next(ensure_sample().rglob("actions.csv")), tmp_path)
    catalogue = read_catalogue(tmp_path)
    assert len(catalogue) == 50
    assert list(catalogue.splits) == ["source_disjoint"]  # the files of the official split are missing
    page = render_clip(catalogue, 0, [])
    assert "No person in this clip has a box" in page
    assert "no box" in page


def test_dataset_from_the_hub_with_and_without_clips(
    hub: HubServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", hub.endpoint)
    monkeypatch.setenv("MICROG4M_HOME", str(tmp_path / "home"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub-cache"))
    put_release(hub, tiny_release(tmp_path / "release"))
    without = load_catalogue(clips=False)
    assert without.where == "the Hub"
    assert without.captions and without.clip_file(without.ids[0]) is None
    whole = load_catalogue(revision="main")
    assert len(whole) == len(without) == 12
    assert all(whole.clip_file(name) for name in whole.ids)
    assert whole.where == "the Hub at main"


def test_released_files_without_clips(released: Path) -> None:
    catalogue = read_catalogue(released)
    assert len(catalogue) == 4759
    assert sum(map(len, catalogue.questions.values())) == 7528
    assert len(select(catalogue, Filter(splits=["test"]))) == len(
        {line.split(",")[0] for line in (released / "train_ready" / "ava_test_gt.csv").read_text().splitlines()}
    )
    assert "not available" in render_clip(catalogue, 0, [])


def test_used_port_is_a_one_line_error_with_a_free_port(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert main(["explore", "--source", "sample", "--port", str(port)]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert f"port {port}" in error and "use --port " in error


def test_an_address_of_another_machine_is_a_one_line_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explore", "--source", "sample", "--host", "192.0.2.1"]) == 2  # reserved for documentation
    error = capsys.readouterr().err
    assert error == "microg4m: host '192.0.2.1' is not an address of this machine; use --host 127.0.0.1\n"


def test_missing_gradio_is_an_error_that_names_the_extra() -> None:
    code = (
        "import sys; sys.modules['gradio'] = None; from microg4m_hf.cli.main import main; "
        "sys.exit(main(['explore', '--source', 'sample']))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "pip install 'microg4m-hf[explore]'" in done.stderr
    assert done.stderr.count("\n") == 1


def test_space_contains_predictions_and_overwrites_nothing(runs: Path, tmp_path: Path) -> None:
    folder = tmp_path / "space"
    assert main(["explore", str(runs), f"mine={runs / 'captions.json'}", "--export-space", str(folder)]) == 0
    held = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert {"README.md", "app.py", "requirements.txt"} < held
    assert sum(name.startswith("runs/") for name in held) == 5
    card = (folder / "README.md").read_text()
    assert card.endswith(f"\n\n{CITATION}")
    assert card.startswith("---\ntitle: ")
    assert "\nsdk: gradio\n" in card and "\napp_file: app.py\n" in card and "\nsdk_version: 6" in card
    assert len((folder / "app.py").read_text().splitlines()) < 20
    with pytest.raises(RecipeError, match="not empty"):
        export_space(folder)
    with pytest.raises(RecipeError, match="cannot read a folder of this machine"):
        export_space(tmp_path / "other", data_dir=tmp_path)
    with pytest.raises(RecipeError, match="cannot be added to the Space"):
        export_space(tmp_path / "other", [tmp_path / "absent.json"])
    assert not (tmp_path / "other").exists()


def test_lone_surrogate_is_shown_as_a_question_mark(catalogue: Catalogue, tmp_path: Path) -> None:
    video_id = next(iter(catalogue.captions))
    file = tmp_path / "captions.json"
    file.write_text(json.dumps({video_id: "\ud800 bad"}))
    (run,) = read_runs([file], catalogue)
    page = render_clip(catalogue, catalogue.place_of[video_id], [run])
    assert "? bad" in page
    page.encode("utf-8")


def test_only_actions_with_scores_are_ranked(catalogue: Catalogue, tmp_path: Path) -> None:
    key = catalogue.release.key_frames.slice(0, 1).to_pylist()[0]
    box = ",".join(f"{key[side]:.4f}" for side in ("x1", "y1", "x2", "y2"))
    file = tmp_path / "one.csv"
    file.write_text(f"{key['video_id']},{key['frame']},{box},12,0.9\n")
    (run,) = read_runs([file], catalogue)
    page = render_clip(catalogue, catalogue.place_of[key["video_id"]], [run])
    rows = page[page.index("<tbody>") : page.index("</tbody>")].split("</tr>")
    ranked = [row for row in rows if "rank 1" in row or "rank 2" in row]
    assert len(ranked) == 1 and "stand" in ranked[0]


def test_boxes_of_another_dataset_are_a_problem_with_a_way_out(catalogue: Catalogue, tmp_path: Path) -> None:
    key = catalogue.release.key_frames.slice(0, 1).to_pylist()[0]
    file = tmp_path / "other.csv"
    file.write_text(f"{key['video_id']},{key['frame']},0.0001,0.0001,0.0002,0.0002,12,0.9\n")
    (run,) = read_runs([file], catalogue)
    assert "name the dataset that was predicted with --data-dir" in str(run.problem)


def test_other_hosts_origins_routes_and_large_bodies_are_refused(catalogue: Catalogue) -> None:
    pytest.importorskip("gradio", reason="no Gradio; pip install 'microg4m-hf[explore]'")
    page = launch(catalogue, [], port=0)
    port = int(page.local_url.split(":")[-1].rstrip("/"))
    try:
        clip = f"/microg4m/clips/{catalogue.release.clips['video_id'][0].as_py()}.mp4"
        own, evil = f"127.0.0.1:{port}", f"evil.example:{port}"
        assert _request(port, clip, own, own) == (200, True)
        assert _request(port, clip, f"localhost:{port}", own)[0] == 200
        assert _request(port, clip, f"[::1]:{port}", f"[::1]:{port}")[0] == 200
        assert _request(port, clip, own, evil) == (403, False)
        assert _request(port, clip, own, f"127.0.0.1.evil.example:{port}")[0] == 403
        assert _request(port, clip, own, "127.0.0.1:1")[0] == 403
        for host in (
            evil,
            f"127.0.0.1.evil.example:{port}",
            "127.evil.example",
            "localhost.evil.example",
            "[::1",
            "x@127.0.0.1",
        ):
            assert _request(port, clip, host, own)[0] == 421, host
        for route in (
            *(
                "upload",
                "process_recording",
                "call/predict",
                "api/predict",
                "queue/join",
                "component_server",
                "vibe-edit",
            ),
            *("reset", "cancel", "stream/1", "run/predict/", "run/other", "profiling/clear"),
        ):
            assert _request(port, f"/gradio_api/{route}", own, own, method="POST")[0] == 404, route
        for path in ("/gradio_api/file=/etc/passwd", "/proxy=http://127.0.0.1:1/", "/monitoring", "/runs", "/login"):
            assert _request(port, path, own, own)[0] == 404, path
        assert _request(port, "/gradio_api/run/predict", own, evil, method="POST")[0] == 403
        assert _request(port, "/gradio_api/run/predict", own, own, method="POST", body=b"x" * 300_000)[0] == 413
        chunks = (b"x" * 60_000 for _ in range(100))
        with contextlib.suppress(ConnectionError):  # the server need not read the rest
            assert _request(port, "/gradio_api/run/predict", own, own, method="POST", body=chunks)[0] >= 400
        assert _request(port, clip, own, own)[0] == 200
    finally:
        page.close(verbose=False)


def test_the_page_starts_although_the_environment_names_a_proxy(
    catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("gradio", reason="no Gradio; pip install 'microg4m-hf[explore]'")
    for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")  # nothing listens there
    monkeypatch.setenv("NO_PROXY", "internal.example")
    monkeypatch.delenv("no_proxy", raising=False)
    launch(catalogue, [], port=0).close(verbose=False)
    assert os.environ["NO_PROXY"] == "internal.example" and "no_proxy" not in os.environ


def test_a_picture_of_a_clip_of_odd_shape_is_small(tmp_path: Path) -> None:
    for size, expected in (
        ((64, 48), (192, 144)),
        ((48, 64), (192, 256)),
        ((16, 4000), (2, 384)),
        ((16, 5000), (192, 108)),
    ):
        width, height = size
        clip = write_video(tmp_path / f"{height}.mp4", np.zeros((2, height, width, 3), np.uint8))
        assert Image.open(io.BytesIO(thumbnail(clip))).size == expected  # the last one is the gray picture


def _request(
    port: int, path: str, host: str, origin: str, method: str = "GET", body: bytes | Iterable[bytes] | None = None
) -> tuple[int, bool]:
    """Return the status of the response, and whether pages of ``origin`` may read it."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=600)
    connection.request(method, path, body, headers={"Host": host, "Origin": f"http://{origin}"})
    answer = connection.getresponse()
    answer.read()
    connection.close()
    return answer.status, answer.getheader("access-control-allow-origin") is not None
