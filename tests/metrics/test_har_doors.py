"""One file of predictions gives one result, whichever way it is scored, and different references never look alike."""

from __future__ import annotations

import json
import os
import random
import subprocess
from pathlib import Path
from typing import Any

import pytest

import microg4m_hf
from microg4m_hf.cli.main import main
from microg4m_hf.data.export_ava import export_ava
from microg4m_hf.errors import PredictionError
from microg4m_hf.metrics import compare_texts, har_scores, text_scores
from microg4m_hf.metrics.har.inputs import read_rows
from tests.support.hub_server import HubServer
from tests.support.videos import pictures, write_video
from tests.support.warm_python import warm_python

PROJECT = Path(__file__).resolve().parents[2]
TRUTH = [  # clip, frame, box, action, person; the last row repeats the first
    ("a_001", 4, 0.1, 0.2, 0.5, 0.9, 12, 1),
    ("a_001", 4, 0.1, 0.2, 0.5, 0.9, 17, 1),
    ("a_001", 4, 0.4, 0.2, 0.8, 0.9, 12, 2),
    ("b_002", 9, 0.123, 0.2, 0.5, 0.9, 79, 1),
    ("a_001", 4, 0.1, 0.2, 0.5, 0.9, 12, 1),
]


def digest(rows: Any) -> str:
    return read_rows(rows, references=True).digest


def test_the_digest_does_not_depend_on_order_form_or_the_numbers_of_persons() -> None:
    shuffled = random.Random(3).sample(TRUTH, len(TRUTH))
    renumbered = [(*row[:7], row[7] + 40) for row in TRUTH]
    without_persons = [row[:7] for row in TRUTH]
    names = ("video_id", "frame", "x1", "y1", "x2", "y2", "action_id")
    columns = {name: [row[place] for row in TRUTH] for place, name in enumerate(names)}
    assert {digest(rows) for rows in (TRUTH, shuffled, renumbered, without_persons, columns)} == {digest(TRUTH)}


@pytest.mark.parametrize("place", range(7))
def test_the_digest_depends_on_every_value(place: int) -> None:
    value = TRUTH[3][place]
    other = {0: "b_003", 1: 10, 6: 80}.get(place) or float(value) + 1e-6
    changed = [*TRUTH[:3], (*TRUTH[3][:place], other, *TRUTH[3][place + 1 :]), TRUTH[4]]
    assert digest(changed) != digest(TRUTH)


def test_the_digest_depends_on_repeats_and_on_who_has_a_label() -> None:
    assert digest(TRUTH[:4]) != digest(TRUTH)
    assert digest([*TRUTH, TRUTH[4]]) != digest(TRUTH)
    shared = [("c_001", 1, 0, 0, 1, 1, action, person) for action, person in ((12, 1), (17, 1), (79, 2))]
    swapped = [("c_001", 1, 0, 0, 1, 1, action, person) for action, person in ((12, 1), (17, 2), (79, 2))]
    assert digest(shared) != digest(swapped)  # two persons on one box: the instance protocol tells them apart


def test_signatures_of_texts_tell_references_apart() -> None:
    items = {"a": "a crew eats", "b": "she waves"}
    options: dict[str, Any] = {"sources": ["a", "b"], "resamples": 0}
    one = text_scores(list(items.values()), list(items.values()), ids=list(items), **options)
    turned = text_scores(list(items.values())[::-1], list(items.values())[::-1], ids=list(items)[::-1], **options)
    other = text_scores(list(items.values()), ["a crew eats", "he waves"], ids=list(items), **options)
    assert one["signature"] == turned["signature"] != other["signature"]
    with pytest.raises(PredictionError, match="scored against different references"):
        compare_texts(one, other)


def test_rows_of_an_older_version_are_accepted_and_marked() -> None:
    person = {"person_id": 1, "actions": [9], "key_frame": 4, "key_box": [0.1, 0.2, 0.5, 0.9]}
    row = {"video_id": "a_001", "domain": "real", "persons": [person | {"repeated_actions": [9]}]}
    old = {"video_id": "a_001", "domain": "real", "persons": [person]}
    import pyarrow as pa

    new, former = (pa.Table.from_pylist([entry]) for entry in (row, old))
    with pytest.warns(UserWarning, match="no repeated_actions.*load the rows again"):
        assert digest(former) != digest(new)
    assert read_rows(new, references=True).action.tolist() == [12, 12]


@pytest.fixture(scope="module")
def publishable(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The released test split with two clips of the other splits, as a release whose clips are tiny."""
    released, root = shared / "data" / "microg4m", tmp_path_factory.mktemp("publishable")
    clips: set[str] = set()
    for name, rows in (("ava_train.csv", 4), ("ava_val_gt.csv", 4), ("ava_test_gt.csv", None)):
        lines = (released / "train_ready" / name).read_text().splitlines()[:rows]
        (root / name).write_text("\n".join(lines) + "\n")
        clips |= {line.split(",")[0] for line in lines}
    head, *lines = (released / "actions.csv").read_text().splitlines()
    kept = [line for line in lines if line.split(",")[0] in clips]
    (root / "actions.csv").write_text("\n".join([head, *kept]) + "\n")
    texts = json.loads((released / "vqa_and_captioning.json").read_text())
    (root / "vqa_and_captioning.json").write_text(json.dumps([text for text in texts if text["video_id"] in clips][:3]))
    movie = root / "clip.mp4"
    write_video(movie, pictures(3, 48, 64, seed=1))
    for video_id, domain in {tuple(line.split(",")[:2]) for line in kept}:
        folder = root / "videos" / {"m": "movie", "r": "real"}[domain] / video_id.rpartition("_")[0]
        folder.mkdir(parents=True, exist_ok=True)
        os.link(movie, folder / f"{video_id}.mp4")
    return root


_PUBLISHED_COPY = """
import json, sys
from datasets import load_dataset
truth = load_dataset("me/MicroG-4M", "har", split="test")
from microg4m_hf.metrics import har_scores
result = har_scores(sys.argv[1], truth)
print(json.dumps([result["scores"], result["signature"]]))
"""


def test_five_doors_give_one_result(
    shared: Path, publishable: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    released = shared / "data" / "microg4m"
    predictions = str(shared / "data" / "har_predictions" / "I3D_8x8_R50" / "detections_test.csv")
    file = str(released / "train_ready" / "ava_test_gt.csv")
    found: dict[str, tuple[dict[str, float], str]] = {}

    for door, options in {"data_dir": ["--data-dir", str(released)], "references": ["--references", file]}.items():
        output = tmp_path / f"{door}.json"
        words = ["score", "har", "--predictions", predictions, *options, "--resamples", "0", "--output", str(output)]
        assert main(words) == 0
        result = json.loads(output.read_text())
        found[door] = result["scores"], result["signature"]
        assert result["signature"] in capsys.readouterr().out

    rows = microg4m_hf.load_dataset("har", split="test", data_dir=str(released), videos=False)
    result = har_scores(predictions, rows)
    found["rows"] = result["scores"], result["signature"]

    import evaluate

    metric = evaluate.load(str(PROJECT / "metrics" / "microg4m_har"), keep_in_memory=True)
    for door, references in {"evaluate": file, "evaluate, rows": rows}.items():
        short = metric.compute(predictions=predictions, references=references)
        found[door] = {name: short[name] for name in found["rows"][0]}, short["signature"]

    export_ava(released, tmp_path / "exported")
    result = har_scores(predictions, tmp_path / "exported" / "ava_test_gt.csv")
    found["exported"] = result["scores"], result["signature"]

    with HubServer(tmp_path / "hub") as hub:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "MICROG4M_"))}
        home = {"HF_HOME": str(tmp_path / "hf"), "MICROG4M_HOME": str(tmp_path / "home")}
        environment = kept | hub.environment("hf_test") | home
        push = [warm_python(), "-m", "microg4m_hf", "data", "push", "me/MicroG-4M", "--data-dir", str(publishable)]
        for command in (push, [warm_python(), "-c", _PUBLISHED_COPY, predictions]):
            done = subprocess.run(
                command, env=environment, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=600
            )
            assert done.returncode == 0, done.stderr
    found["published copy"] = tuple(json.loads(done.stdout))

    scores, signature = found["data_dir"]
    assert round(100 * scores["map"], 3) == 46.409
    for door, (own, signed) in found.items():
        assert own == scores, door
        assert signed == signature, door
    assert f"|references:{digest(file)}|" in signature
    lines = Path(file).read_text().splitlines()
    assert len(set(lines)) == len(lines) - 6
