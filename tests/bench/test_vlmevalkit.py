"""The tables for VLMEvalKit, read and written as its loader and its dump do, and scored."""

from __future__ import annotations

import csv
import io
import json
import os
import subprocess
import zipfile
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

import pandas as pd
import pytest

from microg4m_hf.bench.vlmevalkit import COLUMNS, format_tsv, score_predictions
from microg4m_hf.cli.main import main
from microg4m_hf.data import load_dataset
from microg4m_hf.errors import PredictionError
from microg4m_hf.metrics import caption_scores, vqa_scores
from microg4m_hf.metrics.text.entries import read_entries
from tests.support.hub_server import HubServer
from tests.support.warm_python import warm_python

ODD = ["a\tb", 'two\nlines "quoted"', "\r\n", "\x0b\x0c\x1c\u2028\u0085", " blank ", "'", "é", '"', "_x000B_"]


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("vlmevalkit")
    assert main(["report", "--export-vlmevalkit", str(folder), "sample"]) == 0
    return folder


def read(path: Path) -> Any:
    return pd.read_csv(path, sep="\t")


def dump(frame: Any, path: Path) -> Path:
    """Write a prediction file in one of VLMEvalKit's three formats."""
    if path.suffix == ".tsv":
        frame.to_csv(path, sep="\t", index=False, encoding="utf-8", quoting=csv.QUOTE_ALL)
    elif path.suffix == ".json":
        path.write_text(json.dumps(frame.to_dict("records"), indent=4, ensure_ascii=False), encoding="utf-8")
    else:
        path.write_bytes(workbook([list(frame.columns), *frame.astype(object).values.tolist()]))
    return path


def workbook(table: list[list[Any]]) -> bytes:
    """Return a workbook with shared strings, where missing values have no cell."""
    space = 'xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"'
    strings: list[str] = []
    lines = []
    for number, row in enumerate(table, start=1):
        cells = []
        for column, value in enumerate(row):
            place = f'r="{chr(65 + column)}{number}"'
            if isinstance(value, str):
                strings.append(value)
                cells.append(f'<c {place} t="s"><v>{len(strings) - 1}</v></c>')
            elif value == value:
                cells.append(f"<c {place}><v>{value}</v></c>")
        lines.append(f'<row r="{number}">{"".join(cells)}</row>')
    shared = "".join(f'<si><t xml:space="preserve">{escape(text)}</t></si>' for text in strings)
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as book:
        book.writestr(
            "xl/worksheets/sheet1.xml", f"<worksheet {space}><sheetData>{''.join(lines)}</sheetData></worksheet>"
        )
        book.writestr("xl/sharedStrings.xml", f"<sst {space}>{shared}</sst>")
    return file.getvalue()


@pytest.mark.parametrize("ending", ["tsv", "json", "xlsx"])
@pytest.mark.parametrize("task", ["caption", "vqa"])
def test_predictions_are_scored_as_other_files_are(exported: Path, task: str, ending: str, tmp_path: Path) -> None:
    table = exported / f"MicroG4M_{'Caption' if task == 'caption' else 'VQA'}.tsv"
    frame = read(table)
    assert list(frame.columns) == list(COLUMNS)
    assert all((exported / path).read_bytes()[4:8] == b"ftyp" for path in frame["video_path"])
    prompts = frame["question"]
    assert prompts.str.contains("Answer in a few words" if task == "vqa" else "Describe in one or two").all()
    frame["prediction"] = [str(answer)[: 10 + index % 30] for index, answer in enumerate(frame["answer"])]
    file = dump(frame, tmp_path / f"model_{table.stem}.{ending}")
    keys = ["video_id", "microg4m_question"] if task == "vqa" else ["video_id"]
    rows = frame[[*keys, "prediction"]].rename(columns={"microg4m_question": "question"}).to_dict("records")
    references = load_dataset(task, split="test", source="sample", videos=False)  # type: ignore[arg-type]
    score_all = vqa_scores if task == "vqa" else caption_scores
    expected = score_all(rows, references, resamples=0)["scores"]
    assert expected["cider"] > 0
    assert score_all(file, references, resamples=0)["scores"] == expected
    own = score_predictions(str(file), str(table))
    assert own == pytest.approx({name: 100 * expected[name] for name in own})
    out = tmp_path / "scores.json"
    assert main(["score", task, "--predictions", str(file), "--source", "sample", "--out", str(out)]) == 0
    assert json.loads(out.read_text())["scores"]["cider"] == pytest.approx(expected["cider"])


def test_a_published_copy_gives_the_same_files(exported: Path, hub: HubServer, tmp_path: Path) -> None:
    environment = os.environ | hub.environment() | {"HF_HOME": str(tmp_path / "hf")}

    def run(line: str) -> tuple[int, str]:
        words = [warm_python(), "-m", "microg4m_hf", *line.split()]
        done = subprocess.run(words, env=environment, cwd=tmp_path, capture_output=True, text=True)
        return done.returncode, done.stderr

    assert run("data push me/MicroG-4M --source sample")[0] == 0
    code, message = run("report --export-vlmevalkit tables me/MicroG-4M")
    assert code == 0, message
    files = {path.relative_to(exported): path.read_bytes() for path in exported.rglob("*") if path.is_file()}
    assert {path: (tmp_path / "tables" / path).read_bytes() for path in files} == files
    code, message = run("report --export-vlmevalkit other me/Nothing")
    assert code == 2 and message.count("\n") == 1 and "me/Nothing" in message
    assert not (tmp_path / "other").exists()


def test_odd_texts_survive_the_table(tmp_path: Path) -> None:
    lines = [(n, "a_001", "video/a_001.mp4", text, text, "a_001", "vqa", f"{n}{text}") for n, text in enumerate(ODD)]
    path = tmp_path / "MicroG4M_VQA.tsv"
    path.write_bytes(format_tsv(lines).encode())
    frame = read(path)
    assert list(frame["answer"]) == ODD
    frame["prediction"] = ODD
    for file in (path, dump(frame, tmp_path / "p.tsv"), dump(frame, tmp_path / "p.json")):
        entries = read_entries(file, "vqa", "references")
        assert [entry.text for entry in entries] == ODD
    assert [entry.text for entry in read_entries(tmp_path / "p.tsv", "vqa", "predictions")] == ODD


def test_items_that_failed_have_no_prediction(exported: Path, tmp_path: Path) -> None:
    frame = read(exported / "MicroG4M_VQA.tsv")
    frame["prediction"] = ["Failed to obtain answer via API.", *["Two."] * (len(frame) - 1)]
    file = dump(frame, tmp_path / "p.tsv")
    assert len(read_entries(file, "vqa", "predictions")) == len(frame) - 1
    with pytest.raises(PredictionError, match="1 of"):
        vqa_scores(file, exported / "MicroG4M_VQA.tsv", resamples=0)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"PK no archive", "not an Excel file"),
        (workbook([["index", "prediction"], [0, "Two."]]), "no video_id"),
        (workbook([]), "no video_id"),
    ],
)
def test_other_workbooks_are_refused(content: bytes, says: str, tmp_path: Path) -> None:
    path = tmp_path / "p.xlsx"
    path.write_bytes(content)
    with pytest.raises(PredictionError, match=says):
        read_entries(path, "vqa", "predictions")


def test_a_workbook_cannot_fill_the_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("microg4m_hf.metrics.text.files._MAX_SHEET_BYTES", 1 << 20)
    path = tmp_path / "p.xlsx"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as book:
        book.writestr("xl/worksheets/sheet1.xml", b" " * (2 << 20))
    with pytest.raises(PredictionError, match="more than 1 MiB"):
        read_entries(path, "vqa", "predictions")
