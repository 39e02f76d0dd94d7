"""Every supported version of ``datasets`` can do what the table in the documents says."""

from __future__ import annotations

from pathlib import Path

import pytest

from microg4m_hf.data import ensure_sample
from tests.support.dataset_versions import CANNOT_BE_FETCHED, TABLE, all_outcomes, document, lower_bounds


@pytest.mark.slow
def test_every_version_of_datasets(own_home: Path) -> None:
    try:
        outcomes = all_outcomes(Path(ensure_sample()))
    except RuntimeError as error:
        if any(sign in str(error) for sign in CANNOT_BE_FETCHED):
            pytest.skip(f"the packages of the environments cannot be fetched: {str(error)[:300]}")
        raise
    for name, outcome in outcomes.items():
        scripts_run = name in ("lowest", "3.6")
        for what, word in outcome["outcome"].items():
            if what == "legacy script" and not scripts_run:
                assert "no longer supported" in word, (name, word)
            else:
                assert word == "yes", (name, what, word, outcome["log"][-3000:])
    installed = outcomes["lowest"]["versions"]
    for package, bound in lower_bounds().items():
        if package in installed:
            assert (installed[package] + ".0.0").startswith(bound), f"{package} is not at its lower bound {bound}"
    assert document(outcomes) == TABLE.read_text(), "python -m tests.support.dataset_versions writes the table anew"
