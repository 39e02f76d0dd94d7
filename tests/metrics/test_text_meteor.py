"""METEOR 1.5 equals the Java program, computed from its counts; METEOR of nltk runs with a WordNet of two words."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from microg4m_hf.errors import MicroG4MError, MissingExtraError
from microg4m_hf.metrics import compare_texts, text_scores
from microg4m_hf.metrics.text import meteor_1_5, meteor_nltk

needs_java = pytest.mark.skipif(shutil.which("java") is None, reason="METEOR 1.5 is a Java program")


def _released_cases(shared: Path) -> list[dict]:
    cases = json.loads((shared / "data" / "text_cases.json").read_text())
    first = [{**case, **{side: case[side][:20] for side in ("references", "predictions")}} for case in cases["cases"]]
    return first + cases["small_cases"]


@pytest.mark.slow
@needs_java
def test_released_values_of_the_java_program(shared: Path) -> None:
    pytest.importorskip("pycocoevalcap")
    cases = _released_cases(shared)
    predictions = [text for case in cases for text in case["predictions"]]
    references = [[one] if isinstance(one, str) else one for case in cases for one in case["references"]]
    counts = meteor_1_5.meteor_counts(predictions, references)  # one start of the program for all cases
    start = 0
    for case in cases:
        rows = counts[start : start + len(case["predictions"])]
        start += len(rows)
        values = case["upstream"]
        np.testing.assert_allclose(meteor_1_5.meteor_from_statistics(rows)[:20], values["items"]["meteor"], rtol=1e-8)
        if "note" in case:  # the small cases are whole
            corpus = meteor_1_5.meteor_from_statistics(rows.sum(0))
            np.testing.assert_allclose(corpus, values["corpus"]["meteor"], rtol=1e-8)


@pytest.mark.slow
@needs_java
def test_texts_with_separators_of_the_program() -> None:
    pytest.importorskip("pycocoevalcap")
    predictions = ["a cat\nsits", "two ||| dogs", "", "naïve \u2028 ünï", "\ud800 lone"]
    references = ["a cat sits", "two dogs", "x", "naïve ünï", "lone"]
    sources = ["p", "q", "r", "s", "t"]
    result = text_scores(predictions, references, metrics=["meteor_1_5", "rouge_l"], on_empty="score", sources=sources)
    items = result["items"]["meteor_1_5"]
    assert items[:4] == pytest.approx([1, 1, 0, 1]) and items[4] > 0
    low, high = result["intervals"]["meteor_1_5"]
    assert low <= result["scores"]["meteor_1_5"] <= high and "meteor:1.5-en-norm" in result["signature"]
    table = compare_texts(result, json.loads(json.dumps(result)))
    assert table["scores"]["meteor_1_5"]["p"] == 1


def test_corpus_score_comes_from_summed_counts() -> None:
    # content 1 of 2 exact | all of 3 words in one chunk: the counts as the program prints them, chunks of equals 0
    counts = np.array([[2, 2, 0, 0, 1, 1] + [0] * 14 + [1, 1, 1], [3, 3, 1, 1, 2, 2, 1, 1] + [0] * 12 + [0, 3, 3]])
    items = meteor_1_5.meteor_from_statistics(counts)
    assert items.tolist() == pytest.approx([0.5 * 0.4, 1.0])
    share = (0.75 * 3 + 0.25) / (0.75 * 4 + 0.25)
    expected = share * (1 - 0.6 * (1 / 4) ** 0.2)
    assert meteor_1_5.meteor_from_statistics(counts.sum(0)) == pytest.approx(expected)


def test_missing_java_is_explained(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    pytest.importorskip("pycocoevalcap")
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("JAVA_HOME", raising=False)
    with pytest.raises(MissingExtraError, match=r"no java on the PATH.*meteor_nltk"):
        text_scores(["a", "b"], ["a", "b"], metrics=["meteor_1_5"])


def test_the_message_of_a_failing_java_is_shown(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    pytest.importorskip("pycocoevalcap")
    java = tmp_path / "bin" / "java"
    java.parent.mkdir()
    java.write_text("#!/bin/sh\necho 'no room for the heap' >&2\nexit 3\n")
    java.chmod(0o755)
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    with pytest.raises(MicroG4MError, match=r"answered 0 of 2 items \(exit code 3\): no room for the heap"):
        text_scores(["a", "b"], ["a", "b"], metrics=["meteor_1_5"])


def _wordnet(folder: Path) -> Path:
    """A WordNet in which a dog and a hound are the same."""
    folder.mkdir()
    for part in ("noun", "verb", "adj", "adv"):
        (folder / f"data.{part}").write_text("")
        (folder / f"index.{part}").write_text("")
    (folder / "data.noun").write_text("00000000 05 n 02 dog 0 hound 0 000 | a domestic animal  \n")
    (folder / "index.noun").write_text("dog n 1 0 1 0 00000000  \nhound n 1 0 1 0 00000000  \n")
    return folder


@pytest.fixture
def no_wordnet(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    nltk = pytest.importorskip("nltk")
    from nltk.corpus import wordnet

    monkeypatch.setattr(nltk.data, "path", [])
    monkeypatch.setattr(type(wordnet), "ensure_loaded", _not_found, raising=False)
    monkeypatch.setattr(meteor_nltk, "_DEBIAN", tmp_path / "none")
    meteor_nltk.load_wordnet.cache_clear()
    yield tmp_path
    meteor_nltk.load_wordnet.cache_clear()


def _not_found(_: object) -> None:
    raise LookupError("no corpus here")


def test_nltk_meteor_with_a_local_wordnet(no_wordnet: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WNSEARCHDIR", str(_wordnet(no_wordnet / "dict")))
    result = text_scores(
        ["the dog barks", "Yes", ""], ["the hound barks", "yes", "no"], metrics=["meteor_nltk"], on_empty="score"
    )
    # three matches (one by WordNet) in one chunk: 1 - 0.5 (1/3)³; one identical word scores 0.5 by nltk's formula
    assert result["items"]["meteor_nltk"] == pytest.approx([1 - 0.5 / 27, 0.5, 0])
    assert "wordnet:local" in result["signature"]


def test_missing_wordnet_is_explained(no_wordnet: Path) -> None:
    with pytest.raises(MissingExtraError, match=r"nltk\.downloader wordnet"):
        text_scores(["a", "b"], ["a", "b"], metrics=["meteor_nltk"])
