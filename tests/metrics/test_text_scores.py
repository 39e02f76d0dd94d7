"""``text_scores`` equals the released evaluation, for the corpus and for every item, on real texts and on odd ones."""

from __future__ import annotations

import json
import math
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings, strategies as st

from microg4m_hf.errors import PredictionError, RecipeError
from microg4m_hf.metrics import text_scores

KEYS = ("bleu_1", "bleu_2", "bleu_3", "bleu_4", "cider", "rouge_l")

# Odd texts with the released evaluation's values worked out by hand (BLEU-1, CIDEr, ROUGE-L).
ODD = [
    (["A cat sits."], ["A cat sits."], (3 / (3 + 1e-9), 0.0, 1.0)),
    (["x y", "a b c d"], ["", "a b c d"], (4 / 6, 5.0, 0.5)),
    (["", "a b c d"], ["", "a b c d"], (1.0, 5.0, 1.0)),
    (["a b  c", "d e"], ["a  b c", "d e"], (1.0, 6.25, 0.875)),
    (["a b c d", "e\nf g h"], ["a b\nc\td", "e f g h"], (1.0, 10.0, None)),
]


def _scores(predictions: list[str], references: list[Any], **options: Any) -> dict[str, Any]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return text_scores(predictions, references, on_empty="score", **options)


@pytest.mark.parametrize(("predictions", "references", "expected"), ODD)
def test_odd_texts(predictions: list[str], references: list[str], expected: tuple[float | None, ...]) -> None:
    scores = _scores(predictions, references)["scores"]
    for name, value in zip(("bleu_1", "cider", "rouge_l"), expected, strict=True):
        assert value is None or scores[name] == pytest.approx(value, rel=1e-8)


def test_released_values(shared: Path) -> None:
    cases = json.loads((shared / "data" / "text_cases.json").read_text())
    checked = 0
    for case in cases["cases"] + cases["small_cases"]:
        result = _scores(case["predictions"], case["references"])
        for name in KEYS:
            theirs = name.replace("bleu_", "bleu")
            np.testing.assert_allclose(result["scores"][name], case["upstream"]["corpus"][theirs], rtol=1e-8)
            items = case["upstream"]["items"][theirs]
            np.testing.assert_allclose(result["items"][name][: len(items)], items, rtol=1e-8)
            checked += 1 + len(items)
    assert checked > 900


def test_several_references_take_the_closest_length_and_the_best_precision_and_recall() -> None:
    result = _scores(["a b c", "q"], [["a b", "a b c d e f", "x b c d"], ["q"]])
    bleu = result["statistics"]["bleu"][0]
    assert bleu[:2] == [3, 2]  # 2 and 4 words are equally near to 3: the shorter one
    assert bleu[6:] == [3, 2, 1, 0]
    precision, recall = 1.0, 1.0  # the second reference holds all of it, all of the first is in it
    assert result["items"]["rouge_l"][0] == pytest.approx((1 + 1.44) * precision * recall / (recall + 1.44 * precision))


def _slow_rouge(prediction: str, reference: str) -> float:
    predicted, expected = prediction.split(" "), reference.split(" ")
    table = [[0] * (len(expected) + 1) for _ in range(len(predicted) + 1)]
    for i, left in enumerate(predicted):
        for j, right in enumerate(expected):
            table[i + 1][j + 1] = table[i][j] + 1 if left == right else max(table[i][j + 1], table[i + 1][j])
    common = table[-1][-1]
    precision, recall = common / len(predicted), common / len(expected)
    return (1 + 1.44) * precision * recall / (recall + 1.44 * precision) if common else 0.0


def _slow_cider(predictions: list[str], references: list[str]) -> list[float]:
    def grams(text: str, n: int) -> dict[tuple[str, ...], int]:
        words, found = text.split(), {}
        for start in range(len(words) - n + 1):
            gram = tuple(words[start : start + n])
            found[gram] = found.get(gram, 0) + 1
        return found

    scores = []
    for prediction, reference in zip(predictions, references, strict=True):
        total = 0.0
        for n in range(1, 5):
            holding: dict[tuple[str, ...], int] = {}
            for text in references:
                for gram in grams(text, n):
                    holding[gram] = holding.get(gram, 0) + 1

            def weighed(text: str, n: int = n, holding: dict[tuple[str, ...], int] = holding) -> dict[Any, float]:
                return {
                    gram: count * (math.log(len(references)) - math.log(max(1, holding.get(gram, 0))))
                    for gram, count in grams(text, n).items()
                }

            mine, theirs = weighed(prediction), weighed(reference)
            norm = math.sqrt(sum(v * v for v in mine.values())) * math.sqrt(sum(v * v for v in theirs.values()))
            shared = sum(min(value, theirs[gram]) * theirs[gram] for gram, value in mine.items() if gram in theirs)
            difference = max(len(prediction.split()) - 1, 0) - max(len(reference.split()) - 1, 0)
            total += shared / norm * math.exp(-(difference**2) / 72) if norm else 0.0
        scores.append(total / 4 * 10)
    return scores


texts = st.lists(
    st.sampled_from(
        ["a", "b", "the", "cat", "Cat", "é", "naïve", "\u200b", "\0", "\ufffc", "..", " ", "  ", "\n", "\t", "\u2028"]
    ),
    max_size=12,
).map(" ".join)
pairs = st.lists(st.tuples(texts, texts), min_size=2, max_size=7)


@settings(max_examples=60)
@given(pairs)
def test_equals_a_plain_implementation(items: list[tuple[str, str]]) -> None:
    predictions, references = [list(column) for column in zip(*items, strict=True)]
    result = _scores(predictions, references)
    np.testing.assert_allclose(result["items"]["cider"], _slow_cider(predictions, references), rtol=1e-9, atol=1e-12)
    slow = [_slow_rouge(*item) for item in items]
    np.testing.assert_allclose(result["items"]["rouge_l"], slow, rtol=1e-12)


several = st.lists(st.tuples(texts, st.lists(texts, min_size=1, max_size=3)), min_size=1, max_size=6)


@settings(max_examples=60)
@given(several)
def test_equals_pycocoevalcap(items: list[tuple[str, list[str]]]) -> None:
    bleu = pytest.importorskip("pycocoevalcap.bleu.bleu").Bleu()
    cider = pytest.importorskip("pycocoevalcap.cider.cider").Cider()
    rouge = pytest.importorskip("pycocoevalcap.rouge.rouge").Rouge()
    assume(any(text.split() for _, references in items for text in references))  # else it fails on an empty maximum
    references = {place: item[1] for place, item in enumerate(items)}
    predictions = {place: [item[0]] for place, item in enumerate(items)}
    corpus, rows = bleu.compute_score(references, predictions, verbose=0)
    theirs = {f"bleu_{n + 1}": (corpus[n], rows[n]) for n in range(4)}
    theirs["cider"] = cider.compute_score(references, predictions)
    theirs["rouge_l"] = rouge.compute_score(references, predictions)
    result = _scores([item[0] for item in items], [item[1] for item in items])
    for name, (score, values) in theirs.items():
        np.testing.assert_allclose(result["scores"][name], score, rtol=1e-12)
        np.testing.assert_allclose(result["items"][name], values, rtol=1e-12)


@settings(max_examples=30)
@given(pairs, st.randoms())
def test_order_changes_nothing(items: list[tuple[str, str]], random: Any) -> None:
    order = list(range(len(items)))
    random.shuffle(order)
    first = _scores(*[list(column) for column in zip(*items, strict=True)])
    second = _scores(*[list(column) for column in zip(*[items[place] for place in order], strict=True)])
    for name in KEYS:
        assert second["scores"][name] == pytest.approx(first["scores"][name], rel=1e-12, abs=1e-15)
        moved = [first["items"][name][place] for place in order]
        np.testing.assert_allclose(second["items"][name], moved, rtol=1e-12, atol=1e-15)


@settings(max_examples=30)
@given(st.lists(st.text(st.characters(codec="utf-8", exclude_categories=["Z", "C"]), min_size=1), min_size=4))
def test_identical_texts_score_one(words: list[str]) -> None:
    text = " ".join(words)
    result = _scores([text, "another text altogether, here"], [text, "another text altogether, here"])
    assert result["scores"]["rouge_l"] == 1
    assert result["scores"]["bleu_4"] == pytest.approx(1, abs=1e-8)


def test_long_texts_give_the_same_rouge_l() -> None:
    random = np.random.RandomState(0)
    predictions = [" ".join(map(str, random.randint(0, 30, size))) for size in (900, 70, 64, 63, 1, 300)]
    references = [" ".join(map(str, random.randint(0, 30, size))) for size in (700, 640, 63, 64, 127, 1)]
    expected = [_slow_rouge(*item) for item in zip(predictions, references, strict=True)]
    np.testing.assert_allclose(_scores(predictions, references)["items"]["rouge_l"], expected, rtol=1e-12)


def test_rouge_score_finds_the_same_subsequences() -> None:
    scorer = pytest.importorskip("rouge_score.rouge_scorer")

    class Words:
        def tokenize(self, text: str) -> list[str]:
            return text.split(" ")

    prediction, reference = "the cat sat on a mat", "a cat sat near the mat today"
    theirs = scorer.RougeScorer(["rougeL"], tokenizer=Words()).score(reference, prediction)["rougeL"]
    weighed = theirs.recall + 1.44 * theirs.precision
    expected = 2.44 * theirs.precision * theirs.recall / weighed
    assert _scores([prediction], [reference])["scores"]["rouge_l"] == pytest.approx(expected)


def test_cider_of_one_item_is_explained() -> None:
    with pytest.warns(UserWarning, match="CIDEr of one item is 0"):
        result = text_scores(["a cat"], ["a cat"])
    assert result["scores"]["cider"] == 0 and "score all items in one call" in result["warnings"][0]


@pytest.mark.parametrize(
    ("predictions", "references", "options", "message"),
    [
        (["a"], ["a", "b"], {}, "1 predictions for 2 references"),
        ([], [], {}, "nothing to score"),
        ("a", ["a"], {}, "give a list of texts"),
        (["a", None, float("nan")], ["a", "b", "c"], {}, "2 of 3 predictions are not strings: 1: None, 2: nan"),
        (["a", " "], ["a", "b"], {}, "1 of 2 predictions are empty: 1: ' '"),
        (["a", ""], ["a", "b"], {"ids": ["x", "y"]}, "'y': ''"),
        (["a"], [None], {}, "references are neither"),
        (["a"], [[]], {}, "references are neither"),
        (["a"], ["a"], {"ids": [1, 2]}, "2 ids for 1 predictions"),
        (["a"], ["a"], {"sources": ["x", "y"]}, "2 sources for 1 items"),
    ],
)
def test_wrong_input_raises(predictions: Any, references: Any, options: dict[str, Any], message: str) -> None:
    with pytest.raises(PredictionError, match=message):
        text_scores(predictions, references, metrics=["rouge_l"], **options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"metrics": ["meteor"]}, "meteor_1_5"),
        ({"metrics": ["blue"]}, "unknown text metrics"),
        ({"metrics": []}, "unknown text metrics"),
        ({"protocol": "ptb"}, "unknown protocol"),
        ({"on_empty": "zero"}, "on_empty"),
    ],
)
def test_wrong_options_raise(options: dict[str, Any], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        text_scores(["a"], ["a"], **options)


def test_ngram_metrics_import_nothing_heavy() -> None:
    import subprocess
    import sys

    code = (
        "import sys; from microg4m_hf.metrics import text_scores;"
        "text_scores(['a b', 'c'], ['a b', 'c'], sources=['x', 'y']);"
        "text_scores(['a b', 'c'], ['a b', 'c'], protocol='coco');"
        "print([m for m in ('torch', 'sklearn', 'pandas', 'datasets', 'nltk', 'transformers') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
