# ruff: noqa: E501 (a text and its tokens stay on one line)
"""``tokenize_ptb`` gives the tokens of the reference program."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, strategies as st

from microg4m_hf.metrics import text_scores
from microg4m_hf.metrics.text.tokenizer_ptb import tokenize_ptb

# Printed by Stanford's PTBTokenizer 3.4.1 (-preserveLines -lowerCase) and COCO's list of what to remove.
REFERENCE = [
    ("don't can't cannot won't I'm he'll they've it's dogs'", "do n't ca n't can not wo n't i 'm he 'll they 've it 's dogs"),
    ("'tis gonna more'n rock'n'roll 'n' o'clock ma'am y'all", "'t is gon na more 'n rock 'n' roll 'n' o'clock ma'am y' all"),
    ("\"quoted\" 'single' “curly” ‘single’ it’s ``latex''", "quoted single curly single it 's latex"),
    ("(paren) [bracket] {brace} <b> a/b and/or 1/2 ½", "-lrb- paren -rrb- -lsb- bracket -rsb- -lcb- brace -rcb- <b> a/b and/or 1/2 1/2"),
    ("$5.00 £5 €5 5% #1 user@example.com http://example.com/a?b=c", "$ 5.00 # 5 $ 5 5 % # 1 user@example.com http://example.com/a?b=c"),
    ("wait... wait… a--b a—b a–b a - b x-ray T-shirt soft‑spoken", "wait wait a b a b a b a b x-ray t-shirt soft‑spoken"),
    ("U.S. U.S.A. e.g. etc. Mr. Smith Ph.D. 5 p.m. no. No. 5", "u.s. u.s.a. e.g. etc. mr. smith ph.d. 5 p.m. no no. 5"),
    ("1,000.50 .5 -5 12:30 '90s 90's 10am 10-km #tag @user", "1,000.50 .5 -5 12:30 '90s 90 's 10am 10-km #tag @user"),
    ("a&b AT&T &amp; ** a*b a_b c++ c# == < > | \\ /", "a & b at&t & ** a * b a_b c++ c# = = < > | \\ /"),
    (":) :-D <3 日本語 。， naïve ó\u200bzero 😀", ":-rrb- :-d < 3 日本語 。 ， naïve ó zero"),
    ("Hello,world Hello.World hello!! what?! no:5 end.", "hello world hello.world hello !! what ?! no :5 end"),
    ("plan b. The crew", "plan b the crew"),
    ("plan b. the crew", "plan b. the crew"),
    ("EVA-1 ISS's U.S.-based STS-135. 3,000-foot 21st-century", "eva-1 iss 's u.s.-based sts-135 3,000-foot 21st-century"),
    ("didn’t x² ²³ 5°C word., etc., colour", "did n't x ² ²³ 5 ° c word. etc. colour"),
    ("**Answer:** 1. two\n- item (EVA).", "** answer ** 1 two item -lrb- eva -rrb-"),
    ("see <image of two crew> at 5 1/2 m, v 3.x, (555) 555-1234 a+b.com", "see <image\xa0of\xa0two\xa0crew> at 5\xa01/2 m v 3.x -lrb-555-rrb-\xa0555-1234 a+b.com"),
    ("", ""),
    (" .,\t'", ""),
]  # fmt: skip


@pytest.mark.parametrize(("text", "tokens"), REFERENCE)
def test_tokens_of_the_reference_program(text: str, tokens: str) -> None:
    assert tokenize_ptb(text) == tokens


def _reference_tokens(texts: list[str], folder: Path) -> list[str]:
    package = pytest.importorskip("pycocoevalcap.tokenizer.ptbtokenizer")
    if shutil.which("java") is None:
        pytest.skip("the reference tokenizer needs Java")
    source = folder / "texts.txt"
    source.write_text("\n".join(texts), encoding="utf-8")
    jar = Path(package.__file__).parent / package.STANFORD_CORENLP_3_4_1_JAR
    command = [
        "java",
        "-cp",
        str(jar),
        "edu.stanford.nlp.process.PTBTokenizer",
        "-preserveLines",
        "-lowerCase",
        str(source),
    ]
    lines = subprocess.run(command, capture_output=True, check=True).stdout.decode().split("\n")[: len(texts)]
    return [" ".join(word for word in line.split(" ") if word and word not in package.PUNCTUATIONS) for line in lines]


def test_all_released_texts_against_the_reference_program(released: Path, tmp_path: Path) -> None:
    rows = json.loads((released / "vqa_and_captioning.json").read_text())
    texts = [row["caption"] for row in rows] + [pair["A"] for row in rows for pair in row["qa_pairs"]]
    theirs = _reference_tokens(texts, tmp_path)
    different = [
        (text, one, tokenize_ptb(text)) for text, one in zip(texts, theirs, strict=True) if tokenize_ptb(text) != one
    ]
    assert len(texts) == 8766 and different == []


def test_own_sentences_against_the_reference_program(tmp_path: Path) -> None:
    texts = [text.replace("\n", " ") for text, _ in REFERENCE if text]
    theirs = _reference_tokens(texts, tmp_path)
    assert [tokenize_ptb(text) for text in texts] == theirs


@given(st.text())
def test_any_text_gives_clean_tokens(text: str) -> None:
    tokens = tokenize_ptb(text)
    assert tokens == " ".join(tokens.split(" ")) and tokens.strip(" ") == tokens
    assert "\n" not in tokens


@pytest.mark.parametrize("separator", ["\r", "\f", "\v", "\u2028", "\x85", "\r\n"])
def test_line_separators_only_separate_words(separator: str) -> None:
    # The reference tokenizer would shift all later items here.
    plain = text_scores(["a cat sits", "two dogs"], ["a cat ran", "two dogs"], protocol="coco")
    odd = text_scores([f"A{separator}cat sits.", "two dogs"], ["a cat ran", "two dogs"], protocol="coco")
    assert odd["scores"] == plain["scores"]


def test_protocols_differ_in_what_a_word_is() -> None:
    paper = text_scores(["A CAT.", "dogs"], ["a cat", "dogs"])
    coco = text_scores(["A CAT.", "dogs"], ["a cat", "dogs"], protocol="coco")
    assert paper["scores"]["rouge_l"] == 0.5 and coco["scores"]["rouge_l"] == 1
    assert "tokenizer:ptb" in coco["signature"] and paper["signature"] != coco["signature"]
