"""Prediction files in every accepted form, and the error for each malformed one."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest

from microg4m_hf.errors import DataError, MicroG4MError, PredictionError, RecipeError
from microg4m_hf.metrics import caption_scores, vqa_scores

CAPTIONS = {"film_001": "A crew eats.", "film_002": "She waves, smiling.", "other_001": 'A "big" window.'}
ANSWERS = [
    {"video_id": "film_001", "question": "Who eats?", "answer": "The crew."},
    {"video_id": "film_001", "question": "What is eaten?", "answer": "Not mentioned."},
    {"video_id": "other_001", "question": "What is big?", "answer": "The window, I'd say."},
]
RELEASED = [
    {
        "video_id": video_id,
        "caption": caption,
        "qa_pairs": [
            {"Q": row["question"] + " ", "A": row["answer"]} for row in ANSWERS if row["video_id"] == video_id
        ],
    }
    for video_id, caption in CAPTIONS.items()
]


def _write(path: Path, content: Any) -> Path:
    if path.suffix == ".json":
        path.write_text(json.dumps(content))
    elif path.suffix == ".jsonl":
        path.write_text("\ufeff" + "\r\n".join(json.dumps(row) for row in content) + "\r\n\r\n", encoding="utf-8")
    elif path.suffix == ".parquet":
        import pyarrow as pa
        import pyarrow.parquet as pq

        pq.write_table(pa.Table.from_pylist([{**row, "video": None} for row in content]), path)
    else:
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, list(content[0]), delimiter="\t" if path.suffix == ".tsv" else ",")
            writer.writeheader()
            writer.writerows(content)
    return path


def _caption_rows() -> list[dict[str, str]]:
    return [{"video_id": key, "caption": text} for key, text in CAPTIONS.items()]


@pytest.mark.parametrize("suffix", [".json", ".jsonl", ".csv", ".tsv", ".parquet"])
def test_caption_files(tmp_path: Path, suffix: str) -> None:
    path = _write(tmp_path / f"captions{suffix}", _caption_rows())
    result = caption_scores(path, str(path), resamples=0)
    assert result["scores"]["rouge_l"] == 1 and result["ids"] == list(CAPTIONS)


@pytest.mark.parametrize("suffix", [".json", ".jsonl", ".csv", ".tsv", ".parquet"])
def test_answer_files(tmp_path: Path, suffix: str) -> None:
    path = _write(tmp_path / f"answers{suffix}", ANSWERS)
    result = vqa_scores(path, RELEASED, resamples=0)
    assert result["scores"]["exact_match"] == 1 and result["counts"] == {
        "used": 3,
        "missing": 0,
        "unknown": 0,
        "empty": 0,
    }


def _dataset() -> Any:
    import datasets

    return datasets.Dataset.from_list(ANSWERS)


@pytest.mark.parametrize(
    "form",
    [
        lambda: RELEASED,
        lambda: {row["video_id"]: row["qa_pairs"] for row in RELEASED},
        lambda: {row["video_id"]: {pair["Q"]: pair["A"] for pair in row["qa_pairs"]} for row in RELEASED},
        lambda: {row["video_id"]: row for row in RELEASED},
        lambda: {(row["video_id"], row["question"]): row["answer"] for row in ANSWERS},
        lambda: {name: [row[name] for row in ANSWERS] for name in ANSWERS[0]},
        lambda: (row for row in ANSWERS),
        lambda: [*ANSWERS, {"video_id": "film_001", "caption": "of a mixed file"}],
        lambda: [row | {"prediction": row["answer"], "answer": "the reference's column"} for row in ANSWERS],
        _dataset,
        lambda: _dataset().with_format("arrow")[:],
        lambda: _dataset().to_pandas(),
    ],
)
def test_answers_in_memory(form: Any) -> None:
    result = vqa_scores(form(), RELEASED, resamples=0)
    assert result["scores"]["exact_match"] == 1 and len(result["ids"]) == 3


@pytest.mark.parametrize("form", [CAPTIONS, RELEASED, _caption_rows() + ANSWERS])
def test_captions_in_memory(form: Any) -> None:
    assert caption_scores(form, RELEASED, resamples=0)["scores"]["rouge_l"] == 1


def test_a_number_is_not_a_caption() -> None:
    with pytest.raises(PredictionError, match=r"1 of 1 predictions are not strings: .*film_001.*: 1 "):
        caption_scores({"film_001": 1}, CAPTIONS)


ROW = '{"video_id": "film_001", "caption": "A crew eats."}'
REST = ROW + '\n{"video_id": "film_002", "caption": "b"}\n{"video_id": "other_001", "caption": "c"}'
MALFORMED = [
    ("p.jsonl", REST.replace('"b"}', '"b"'), "p.jsonl, line 2: is not JSON"),
    ("p.jsonl", ROW[:-9], "line 1: is not JSON"),
    ("p.json", ROW + "\n" + ROW, "name a file of lines .jsonl"),
    ("p.json", "[" + ROW, "was it cut off"),
    ("p.json", '{"film_001": "a", "film_001": "b"}', r"1 keys are repeated .*film_001"),
    ("p.json", '"text"', "holds one str"),
    ("p.json", "[1, 2]", "entry 1 is a int, not an object"),
    ("p.json", '{"film_001": ' + "9" * 5000 + "}", "is not JSON that can be read: .*digits"),
    (
        "p.jsonl",
        '{"video_id": "film_001", "caption": ' + "9" * 5000 + "}",
        "line 1: is not JSON that can be read: .*digits",
    ),
    ("p.json", "[" * 100_000, "nests too deeply|is not JSON"),
    ("p.json", "[]", "no captions found"),
    ("p.json", "  \n", "is empty"),
    ("p.jsonl", '{"caption": "no id"}', "line 1 has no video_id"),
    ("p.jsonl", '{"video_id": 7, "caption": "a number"}', "line 1 has no video_id"),
    ("p.jsonl", '{"video_id": "film_001", "text": "?"}', "line 1 has no prediction or caption, only"),
    ("p.jsonl", REST.replace('"b"', "null"), r"1 of 3 predictions are not strings: 'film_002 \(line 2\)': None"),
    ("p.jsonl", REST.replace('"b"', "NaN"), r"1 of 3 predictions are not strings: 'film_002 \(line 2\)': nan"),
    ("p.jsonl", REST.replace('"b"', '["b"]'), "1 of 3 predictions are not strings"),
    ("p.jsonl", REST.replace('"b"', '" "'), r"1 of 3 predictions are empty: 'film_002 \(line 2\)'"),
    (
        "p.jsonl",
        REST + "\n" + ROW.replace("eats", "sleeps"),
        r"1 of 4 predictions are for an item .*'film_001 \(line 4\)'",
    ),
    ("p.jsonl", ROW, r"2 of 3 references have no prediction: 'film_002', 'other_001'"),
    ("p.jsonl", REST + '\n{"video_id": "film_9", "caption": "d"}', "1 of 4 predictions are for items .*'film_9'"),
    ("p.csv", "film_001,A crew eats.\n", r"line 1: the header \['film_001', 'A crew eats.'\] has no video_id"),
    ("p.csv", "video_id,caption,caption\n", "names a column twice"),
    ("p.csv", "video_id,caption\nfilm_001,A crew, eating.\n", "line 2: 3 fields where the header has 2"),
    ("p.csv", 'video_id,caption\nfilm_001,"open\n', "close every quote"),
    ("p.csv", "video_id,caption\nfilm_001,a\0b\n", "line 2: holds NUL bytes"),
    ("p.csv", "video_id,text\nfilm_001,a\n", "line 2 has no prediction or caption"),
    ("p.csv", "video_id,caption\nfilm_001,\nfilm_002,b\nother_001,c\n", "1 of 3 predictions are empty"),
    ("p.csv", "video_id,caption\n", "no captions found"),
    ("p.parquet", "PAR1 not really", "is not Parquet"),
    ("p.txt", ROW, r"cannot read a .txt \(use one of .json"),
    ("p", ROW, "cannot read a file without a suffix"),
    ("p.jsonl", "gar\udcffbage", "is not UTF-8 at byte 3"),
]


@pytest.mark.parametrize(("name", "content", "message"), MALFORMED)
def test_malformed_prediction_files(tmp_path: Path, name: str, content: str, message: str) -> None:
    path = tmp_path / name
    path.write_bytes(content.encode("utf-8", "surrogateescape"))
    with pytest.raises(PredictionError, match=message) as caught:
        caption_scores(path, CAPTIONS)
    assert "Traceback" not in str(caught.value) and len(str(caught.value)) < 600


QUESTION = {"video_id": "film_001", "question": "Who eats?", "answer": "The crew."}
MALFORMED_ANSWERS = [
    ([{"video_id": "film_001", "qa_pairs": "Q: …"}], "qa_pairs is a str"),
    ([{"video_id": "film_001", "qa_pairs": ["Who?"]}], "entry 1, pair 1 is a str"),
    ([{"video_id": "film_001", "qa_pairs": [{"Q": "Who?"}]}], "pair 1 has no prediction or answer or A"),
    ([{"video_id": "film_001", "qa_pairs": [{"A": "The crew."}]}], "pair 1 has no question"),
    ([{"video_id": "film_001", "qa_pairs": []}], "no answers found"),
    ([{"video_id": "film_001", "question": "", "answer": "x"}], "entry 1 has no question"),
    ([QUESTION, QUESTION | {"answer": "Nobody."}], "1 of 2 predictions are for an item that has another"),
    ([QUESTION | {"question": "Who sleeps?"}], r"lack: \('film_001', 'Who sleeps\?'\); .*use keys such as"),
    ({"train": type("Split", (), {"column_names": []})()}, r"is a dictionary of splits \['train'\]"),
    ({"video_id": ["a"], "question": []}, "different lengths"),
    (7, "cannot read a int"),
]


@pytest.mark.parametrize(("predictions", "message"), MALFORMED_ANSWERS)
def test_malformed_answers(predictions: Any, message: str) -> None:
    with pytest.raises(PredictionError, match=message):
        vqa_scores(predictions, RELEASED)


def test_errors_name_the_references(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"references nowhere\.json: there is no such file"):
        caption_scores(CAPTIONS, tmp_path / "nowhere.json")
    with pytest.raises(DataError, match="is a folder"):
        (tmp_path / "x.json").mkdir()
        caption_scores(CAPTIONS, tmp_path / "x.json")
    with pytest.raises(MicroG4MError, match="1 of 1 references are not strings"):
        caption_scores({"a_1": "x"}, {"a_1": None})


def test_missing_predictions_score_zero_or_are_dropped() -> None:
    some = {key: CAPTIONS[key] for key in ("film_001", "other_001")}
    zero = caption_scores(some, CAPTIONS, missing="zero", resamples=0)
    assert zero["scores"]["rouge_l"] == pytest.approx(2 / 3)
    assert zero["items"]["cider"][1] == 0 and zero["counts"] == {"used": 3, "missing": 1, "unknown": 0, "empty": 0}
    assert "1 of 3 items have no prediction and were scored as zero" in zero["warnings"]
    drop = caption_scores(some, CAPTIONS, missing="drop", resamples=0)
    assert drop["scores"]["rouge_l"] == 1 and drop["counts"] == {"used": 2, "missing": 1, "unknown": 0, "empty": 0}
    assert "|used:2|missing:1|" in drop["signature"] and drop["recipe"]["missing"] == 1
    extra = caption_scores({**CAPTIONS, "x_001": "?"}, CAPTIONS, unknown="drop", resamples=0)
    assert extra["counts"]["unknown"] == 1 and extra["scores"]["rouge_l"] == 1
    for options in ({"missing": "skip"}, {"unknown": "zero"}, {"on_empty": "drop"}, {"by": "domain"}):
        with pytest.raises(RecipeError):
            caption_scores(CAPTIONS, CAPTIONS, **options)
    with pytest.raises(PredictionError, match="nothing to score"):
        caption_scores({"x_001": "?"}, CAPTIONS, unknown="drop", missing="drop")


def test_on_empty_scores_empty_predictions() -> None:
    result = caption_scores({**CAPTIONS, "film_002": ""}, CAPTIONS, on_empty="score", resamples=0)
    assert result["items"]["rouge_l"][1] == 0 and result["counts"]["missing"] == 0


def test_the_last_of_two_references_counts_as_published() -> None:
    twice = [*_caption_rows(), {"video_id": "film_001", "caption": "Later caption."}]
    result = caption_scores({**CAPTIONS, "film_001": "Later caption."}, twice, resamples=0)
    assert result["ids"][0] == "film_001" and result["scores"]["rouge_l"] == 1
    assert "1 references share a key" in result["warnings"][0]


def test_a_model_that_always_refuses_is_visible() -> None:
    refusing = [{**row, "answer": "Not mentioned"} for row in ANSWERS]
    with pytest.warns(UserWarning, match="100% of the answers begin with 'Not mentioned', which is right for 33%"):
        result = vqa_scores(refusing, RELEASED, by="source")
    assert result["scores"]["refusal_rate"] == 1 and result["scores"]["exact_match"] == pytest.approx(1 / 3)
    parts = result["by"]["answerable"]
    assert parts["answerable"]["items"] == 2 and parts["answerable"]["scores"]["exact_match"] == 0
    assert parts["not mentioned"]["scores"]["exact_match"] == 1
    assert set(result["by"]["source"]) == {"film", "other"} and set(result["intervals"]) == set(result["scores"])


def test_released_annotations_score_against_themselves(released: Path) -> None:
    path = released / "vqa_and_captioning.json"
    captions = caption_scores(path, path, resamples=0)
    assert captions["counts"]["used"] == 1237 and captions["scores"]["rouge_l"] == 1
    answers = vqa_scores(path, path, resamples=0)
    assert answers["counts"]["used"] == 7528 and answers["by"]["answerable"]["not mentioned"]["items"] == 752


def test_groups_add_up_to_the_whole() -> None:
    predictions = [{**row, "answer": "The big window."} for row in ANSWERS]
    result = vqa_scores(predictions, RELEASED, resamples=0, by="source")
    for part in result["by"].values():
        total = sum(entry["items"] * entry["scores"]["cider"] for entry in part.values())
        assert total / 3 == pytest.approx(result["scores"]["cider"])
