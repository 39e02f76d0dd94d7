"""Agreement of reviewers against nltk, and what `curate status` says of it."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from microg4m_hf.curate.agreement import describe_agreement, masi_alpha, measure_agreement, nominal_alpha
from microg4m_hf.curate.review_log import ReviewLog
from microg4m_hf.curate.reviews import reviewed_state
from tests.support.curated import walker, work_folder

# Four observers, twelve units, missing values: Krippendorff (2011), "Computing Krippendorff's alpha-reliability".
OBSERVERS = ("123321412...", "1233224125.3", ".3332342251.", "12332441251.")


def _nltk(units: list[list[str]]) -> float:
    agreement_of = pytest.importorskip("nltk.metrics.agreement", reason="no nltk; pip install 'microg4m-hf[text]'")
    rows = [(str(who), str(unit), label) for unit, labels in enumerate(units) for who, label in enumerate(labels)]
    return agreement_of.AnnotationTask(rows).alpha()


def test_alpha_is_the_one_of_nltk() -> None:
    units = [[label for label in unit if label != "."] for unit in zip(*OBSERVERS, strict=True)]
    assert nominal_alpha(units) == pytest.approx(0.743421052631579, abs=1e-15)
    dice = random.Random(3)
    for _ in range(20):
        made = [[dice.choice("aabc") for _ in range(dice.randint(1, 4))] for _ in range(12)]
        assert nominal_alpha(made) == pytest.approx(_nltk(made), abs=1e-12)
    assert nominal_alpha([["a", "a"], ["a", "a"]]) == 1.0


def test_alpha_over_sets_is_nominal_for_single_labels() -> None:
    pytest.importorskip("nltk", reason="no nltk; pip install 'microg4m-hf[text]'")
    dice = random.Random(5)
    made = [[dice.choice("aabc") for _ in range(3)] for _ in range(12)]
    single = [[frozenset({ord(label)}) for label in unit] for unit in made]
    assert masi_alpha(single) == pytest.approx(nominal_alpha(made), abs=1e-12)
    same = [[frozenset({3}), frozenset({3})], [frozenset[int](), frozenset[int]()]]
    near = masi_alpha([[frozenset({1, 2}), frozenset({1})], *same])
    far = masi_alpha([[frozenset({1, 2}), frozenset({4})], *same])
    assert near is not None and far is not None and near > far


def test_agreement_of_a_review(tmp_path: Path) -> None:
    names = [f"ISS_{number:03d}" for number in range(6)]
    work = work_folder(tmp_path, {name: {1: walker(1, 90)} for name in names})
    anna, ben = ReviewLog(work, "anna"), ReviewLog(work, "ben")
    assert describe_agreement(measure_agreement(reviewed_state(work))) == [
        "agreement: no clip was reviewed by two reviewers"
    ]
    for number, name in enumerate(names):
        anna.append(name, "actions", person=1, actions=[12] if number % 2 else [17])
        anna.append(name, "keep", reason="")
        ben.append(name, "actions", person=1, actions=[12, 79] if number % 2 else [17])
        ben.append(name, "keep", reason="") if number else ben.append(name, "drop", reason="dark")
    measured = measure_agreement(reviewed_state(work))
    assert (measured["clips"], measured["people"]) == (6, 5)
    assert measured["actions"]["stand"] == 1.0 and measured["actions"]["carry/hold (an object)"] == 1.0
    assert measured["actions"]["talk to (e.g., self, a person, a group)"] < 0
    assert measured["decision"] < 0.1 and 0 < measured["sets"] < 1
    lines = describe_agreement(measured)
    assert "6 clips and 5 people" in lines[0] and "talk to" in lines[1]
